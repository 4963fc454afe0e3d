/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a price is told, and nothing else; requests are counted, so the clock and the counts are made up. */
#include "check.h"

#include "status.h"
#include "status_price.h"

#include <math.h>
#include <string.h>

static int64_t wall(const struct clock *c)
{
    (void)c;
    return 1700000100500;
}

static uint64_t mono(const struct clock *c)
{
    (void)c;
    return 10000ULL * PRICE_MEASURED_MIN_MS; /* microseconds: ten hours */
}

static const struct clock then = {wall, mono};

static const char *aws(const struct store *s)
{
    (void)s;
    return "aws";
}

static const char *ceph(const struct store *s)
{
    (void)s;
    return "ceph";
}

static const struct store_ops at_aws = {.provider = aws}, at_ceph = {.provider = ceph}, folder = {0};

struct rig {
    struct db db;
    struct db_settings settings;
    struct store store, around;
    char price[60], path[10];
};

/* Ten hours, 1,000 PUTs; nothing is known about stored bytes. */
static void begin(struct rig *g, const struct store_ops *ops)
{
    memset(g, 0, sizeof *g);
    memcpy(g->path, "/a.db", sizeof "/a.db");
    g->settings.path = g->path;
    g->store.ops = ops;
    g->store.counts.requests[STORE_PUT] = 1000;
    g->around.below = &g->store; /* as with retries */
    g->db.settings = &g->settings;
    g->db.clock = &then;
    g->db.store = &g->around;
}

static void prune(struct rig *g)
{
    g->settings.retention.exact_ms = 1000;
    g->db.prune.time_ms = 1700000000000;
    g->db.prune.kept_bytes = 10000000000;
}

static void is_null(struct rig *g)
{
    CLEANUP(json_decrefp) json_t *o = status_price_object(&g->db);

    assert_true(json_is_null(o));
}

/* NAN: null. */
static void field(const json_t *o, const char *name, double want)
{
    const json_t *value = json_object_get(o, name);

    assert_non_null(value);
    if (isnan(want))
        assert_true(json_is_null(value));
    else if (!json_is_real(value) || fabs(json_real_value(value) - want) > 0.000001)
        fail_msg("%s is %f, not %f", name, json_real_value(value), want);
}

static void expect(struct rig *g, double requests, double storage, double total)
{
    CLEANUP(json_decrefp) json_t *o = status_price_object(&g->db);

    assert_true(json_is_object(o));
    field(o, "requests", requests);
    field(o, "storage", storage);
    field(o, "total", total);
}

static void test_not_known(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, &at_ceph);
    is_null(&g);
    begin(&g, &folder);
    is_null(&g); /* its disk costs something, and nobody knows what */
    begin(&g, &at_aws);
    g.db.store = NULL;
    is_null(&g);
}

static void test_list_prices(void **state)
{
    CLEANUP(json_decrefp) json_t *o = NULL;
    struct rig g;

    (void)state;
    begin(&g, &at_aws);
    expect(&g, 0.36, NAN, NAN);
    prune(&g);
    expect(&g, 0.36, 0.23, 0.59);
    o = status_price_object(&g.db);
    assert_int_equal(json_object_size(o), 6);
    assert_string_equal(json_string_value(json_object_get(o, "currency")), "USD");
    assert_non_null(strstr(json_string_value(json_object_get(o, "source")), "Amazon S3 Standard"));
    assert_int_equal(json_integer_value(json_object_get(o, "measured_seconds")), 36000);
}

static void test_first_hour(void **state)
{
    CLEANUP(json_decrefp) json_t *o = NULL;
    struct rig g;

    (void)state;
    begin(&g, &at_aws);
    prune(&g);
    g.db.store_ms = 9ULL * PRICE_MEASURED_MIN_MS + 1;
    expect(&g, NAN, 0.23, NAN);
    o = status_price_object(&g.db);
    assert_int_equal(json_integer_value(json_object_get(o, "measured_seconds")), 3599);
    g.db.store_ms = 11ULL * PRICE_MEASURED_MIN_MS; /* never, but then nothing is known rather than 292 million years */
    expect(&g, NAN, 0.23, NAN);
}

/* What a prune left before a reload took retention away grows from then on. */
static void test_retention_taken_away(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, &at_aws);
    prune(&g);
    memset(&g.settings.retention, 0, sizeof g.settings.retention);
    expect(&g, 0.36, NAN, NAN);
}

static void test_own_prices(void **state)
{
    CLEANUP(json_decrefp) json_t *o = NULL;
    struct rig g;

    (void)state;
    begin(&g, &folder);
    memcpy(g.price, "put=2,gb-month=0", sizeof "put=2,gb-month=0");
    g.settings.price = g.price;
    expect(&g, 144, 0, 144);
    o = status_price_object(&g.db);
    assert_true(json_is_null(json_object_get(o, "currency")));
    assert_string_equal(json_string_value(json_object_get(o, "source")), "your prices: put=2,gb-month=0");
    g.store.ops = &at_aws; /* the rest is the provider's */
    memcpy(g.price, "put=2", sizeof "put=2");
    expect(&g, 144, NAN, NAN);
    prune(&g);
    expect(&g, 144, 0.23, 144.23);
}

/* The document of a database has it, open or not. */
static void test_in_the_status(void **state)
{
    const struct status_closed parked = {.path = "/b.db", .url = "file:///r", .state = "replicating", .parked = true};
    CLEANUP(json_decrefp) json_t *open = NULL, *closed = status_closed(&parked);
    char url[] = "s3://b/p";
    struct rig g;

    (void)state;
    begin(&g, &at_aws);
    g.around.url = url;
    open = status_database(&g.db, true);
    field(json_object_get(open, "price"), "requests", 0.36);
    assert_true(json_is_null(json_object_get(closed, "price")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_known),
        cmocka_unit_test(test_list_prices),
        cmocka_unit_test(test_first_hour),
        cmocka_unit_test(test_retention_taken_away),
        cmocka_unit_test(test_own_prices),
        cmocka_unit_test(test_in_the_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
