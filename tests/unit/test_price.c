/* SPDX-License-Identifier: Apache-2.0 */
/* Prices as they are written, and predictions against figures that were worked out by hand or measured. */
#include "check.h"

#include "config_table.h"
#include "price.h"

#include <math.h>
#include <string.h>

static struct err err;

static struct config_db usual(void)
{
    struct config_db db = {0};

    config_table_defaults(&db);
    return db;
}

static void assert_near(double got, double want, double percent)
{
    if (fabs(got - want) > fabs(want) * percent / 100) {
        print_error("%f, not %f\n", got, want);
        fail();
    }
}

static void test_list_prices(void **state)
{
    static const char *const known[] = {"aws", "r2", "gcs", "tigris", "b2", "wasabi"};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct price p = price_of(known[i]);

        assert_true(p.known);
        assert_true(p.gb_month > 0);
        assert_non_null(strstr(p.source, "US dollars"));
    }
    assert_false(price_of("ceph").known);
    assert_false(price_of("other").known);
    assert_true(price_of(NULL).known);
    assert_true(price_of(NULL).put <= 0);
    assert_near(price_of("aws").put, 0.005, 0);
    assert_near(price_of("b2").list, 0.004, 0);
}

static void test_override(void **state)
{
    struct price p = price_of("aws");

    (void)state;
    assert_ok_err(price_override(&p, "put=0.01", &err), &err);
    assert_near(p.put, 0.01, 0);
    assert_near(p.get, 0.0004, 0);
    assert_near(p.list, 0.005, 0);
    assert_non_null(strstr(p.source, "put=0.01"));
    p = price_of("other");
    assert_ok_err(price_override(&p, "gb-month=2,put=3", &err), &err);
    assert_true(p.known);
    assert_near(p.gb_month, 2, 0);
    assert_near(p.list, 3, 0);
    assert_ok_err(price_override(&p, "list=0", &err), &err);
    assert_true(p.list <= 0);
}

static void test_override_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "'' is not one of put="},
        {"put", "'put' is not one of put="},
        {"put=", "'' is not a number"},
        {"put=1,", "'' is not one of put="},
        {"put=1,put=2", "twice"},
        {"push=1", "'push=1' is not one of put="},
        {"pu=1", "'pu=1' is not one of put="},
        {"put=-1", "'-1' is not a number"},
        {"put=1e3", "'1e3' is not a number"},
        {"put=nan", "'nan' is not a number"},
        {"put=.5", "'.5' is not a number"},
        {"put=5.", "'5.' is not a number"},
        {"put=1.2.3", "'1.2.3' is not a number"},
        {"put=9999999", "9999999 is more than 1000000"},
        {"put=123456789012345678901234567890", "is not a number"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct price p = {0};

        assert_fails(price_override(&p, cases[i].text, &err), E_CONFIG);
        if (strstr(err.msg, cases[i].why) == NULL) {
            print_error("%s: %s\n", cases[i].text, err.msg);
            fail();
        }
        assert_false(p.known);
    }
}

/* docs/benchmarks.md: a commit a second at the usual settings was 88,394 PUTs a day. */
static void test_measured_day(void **state)
{
    struct config_db db = usual();
    struct price_load load = {1, 500, 1e6, 5 << 20};
    struct price price = price_of("aws");
    struct price_estimate e = price_predict(&db, &load, &price);

    (void)state;
    assert_near(e.put / 30, 88394, 2);
    assert_near(e.request_cost, (e.put + e.list) * 0.000005 + e.get * 0.0000004, 0.001);
    assert_near(e.storage_cost, e.stored_bytes / 1e9 * 0.023, 0.001);
    /* Log, and merges of two levels with half of it each; the first snapshot and those of four weeks and a bit. */
    assert_near(e.growth_bytes, 2592000.0 * 500 * 2 + 30.0 / 7 * 1e6, 0.001);
    assert_near(e.stored_bytes, e.growth_bytes + 1e6, 0.001);
}

static void test_interval_and_count(void **state)
{
    struct config_db db = usual();
    struct price_load load = {100, 100, 0, 5 << 20};
    struct price price = price_of("aws");
    double one, ten;

    (void)state;
    db.fold_count = 0;
    db.merge_interval_ms = db.merge_long_interval_ms = db.snapshot_interval_ms = 0;
    one = price_predict(&db, &load, &price).put;
    assert_near(one, 2592000, 0.001);
    db.sync_interval_ms = 10000;
    ten = price_predict(&db, &load, &price).put;
    assert_near(ten, one / 10, 0.001);
    db.sync_commits = 50; /* twice a second, whatever the interval says */
    assert_near(price_predict(&db, &load, &price).put, 2 * one, 0.001);
    db.sync_interval_ms = CONFIG_INTERVAL_OFF;
    assert_near(price_predict(&db, &load, &price).put, 2 * one, 0.001);
    db.sync_commits = 0; /* only what somebody asks for */
    assert_true(price_predict(&db, &load, &price).put <= 0);
    db.sync_interval_ms = 10000;
    db.sync_commits = 50;
    load.commits_per_s = 0.001; /* no more objects than commits */
    assert_near(price_predict(&db, &load, &price).put, 2592, 0.001);
    assert_true(price_predict(&db, &load, &price).list <= 0);
    load.commits_per_s = 0;
    assert_true(price_predict(&db, &load, &price).put <= 0);
}

/* A writer of one commit an hour looks before nearly each of them, one that is never quiet does not. */
static void test_looks(void **state)
{
    struct config_db db = usual();
    struct price_load load = {1.0 / 3600, 100, 0, 5 << 20};
    struct price price = price_of("aws");
    struct price_estimate e = price_predict(&db, &load, &price);

    (void)state;
    assert_near(e.list, 3 * 720, 10);
    load.commits_per_s = 1;
    assert_true(price_predict(&db, &load, &price).list < 1);
}

static void test_retention(void **state)
{
    struct config_db db = usual();
    struct price_load load = {1, 1000, 1e8, 5 << 20};
    struct price price = price_of("aws");
    struct price_estimate all = price_predict(&db, &load, &price), e;
    char place[] = "weir.yml:1:1";

    (void)state;
    db.at[CONFIG_DB_RETENTION_EXACT] = place;
    db.retention_exact_ms = 86400ULL * 1000;
    db.retention_daily = 7;
    e = price_predict(&db, &load, &price);
    assert_true(e.growth_bytes <= 0);
    assert_true(e.stored_bytes < all.stored_bytes);
    /* A day and the week up to the snapshot before it, with their merges; two snapshots; seven daily states. */
    assert_near(e.stored_bytes, 8 * 86400.0 * 1000 * 2 + 2e8 + 7 * 86400.0 * 1000, 0.001);
    assert_true(e.list > all.list);
}

static void test_parts(void **state)
{
    struct config_db db = usual();
    struct price_load load = {1, 1, 100e6, 10 * 1000 * 1000};
    struct price price = {0};
    struct price_estimate small, large;

    (void)state;
    db.snapshot_interval_ms = 86400ULL * 1000;
    large = price_predict(&db, &load, &price);
    load.snapshot_bytes = 1;
    small = price_predict(&db, &load, &price);
    assert_near(large.put - small.put, 30 * 12, 0.001); /* ten parts, begun, completed, copied, for one PUT */
    assert_true(large.request_cost <= 0);
}

/* --- counted ------------------------------------------------------------------------------------------------------ */

static void test_counted_by_class(void **state)
{
    static const struct {
        int kind;
        double cost; /* of a million */
    } cases[] = {
        {STORE_PUT, 5},
        {STORE_UPLOAD_START, 5},
        {STORE_UPLOAD_PART, 5},
        {STORE_UPLOAD_FINISH, 5},
        {STORE_KIND_COPY, 5},
        {STORE_LIST, 7},
        {STORE_UPLOAD_SWEEP, 7},
        {STORE_GET, 0.4},
        {STORE_HEAD, 0.4},
        {STORE_DELETE, 0},
        {STORE_DELETE_MANY, 0},
        {STORE_UPLOAD_ABORT, 0},
    };
    struct price price = {.known = true, .put = 0.005, .get = 0.0004, .list = 0.007, .gb_month = 1};

    (void)state;
    assert_int_equal(sizeof cases / sizeof cases[0], STORE_KIND_COUNT); /* a new kind belongs here */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_counts counts = {0};
        struct price_counted c = {.counts = &counts, .elapsed_ms = 30ULL * 24 * 3600 * 1000};
        struct price_measure m;

        counts.requests[cases[i].kind] = 1000000;
        m = price_measured(&c, &price);
        assert_true(m.requests_known);
        assert_near(m.requests, cases[i].cost, 0.000001);
    }
}

static void test_counted_time(void **state)
{
    struct store_counts counts = {.requests[STORE_PUT] = 1000};
    struct price price = price_of("aws");
    struct price_counted c = {.counts = &counts, .elapsed_ms = PRICE_MEASURED_MIN_MS - 1};

    (void)state;
    assert_false(price_measured(&c, &price).requests_known);
    assert_true(price_measured(&c, &price).requests <= 0);
    c.elapsed_ms = PRICE_MEASURED_MIN_MS;
    assert_true(price_measured(&c, &price).requests_known);
    assert_near(price_measured(&c, &price).requests, 0.005 * 720, 0.000001);
    c.elapsed_ms *= 10;
    assert_near(price_measured(&c, &price).requests, 0.005 * 72, 0.000001);
    counts.requests[STORE_PUT] = 0; /* an idle one costs nothing, and that is known */
    assert_true(price_measured(&c, &price).requests_known);
    assert_true(price_measured(&c, &price).requests <= 0);
}

static void test_counted_storage(void **state)
{
    struct store_counts counts = {.requests[STORE_PUT] = 1000};
    struct price price = price_of("aws"), unknown = price_of("ceph"), only_put = {0};
    struct price_counted c = {.counts = &counts, .elapsed_ms = 2ULL * PRICE_MEASURED_MIN_MS};

    (void)state;
    c.stored_bytes = 5000000000; /* nobody says that it is true */
    assert_false(price_measured(&c, &price).storage_known);
    assert_true(price_measured(&c, &price).storage <= 0);
    c.stored_known = true;
    assert_true(price_measured(&c, &price).storage_known);
    assert_near(price_measured(&c, &price).storage, 0.115, 0.000001);
    assert_false(price_measured(&c, &unknown).storage_known);
    assert_false(price_measured(&c, &unknown).requests_known);
    c.stored_known = false;
    assert_ok_err(price_override(&only_put, "put=1", &err), &err); /* a byte costs nothing, however many there are */
    assert_true(price_measured(&c, &only_put).storage_known);
    assert_true(price_measured(&c, &only_put).storage <= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_prices),
        cmocka_unit_test(test_override),
        cmocka_unit_test(test_override_refused),
        cmocka_unit_test(test_measured_day),
        cmocka_unit_test(test_interval_and_count),
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_counted_by_class),
        cmocka_unit_test(test_counted_time),
        cmocka_unit_test(test_counted_storage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
