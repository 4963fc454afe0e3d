/* SPDX-License-Identifier: Apache-2.0 */
/* What store.h promises of objects, listings and conditions, tried on a whole store.  Listings are compared with a
 * model. */
#include "store_check_kit.h"

#include "alloc.h"

#include <inttypes.h>

static struct rc put(const char *key, const void *bytes, size_t size, bool create_only)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = span_of(bytes, size);
    req.create_only = create_only;
    rc = run(&req);
    store_req_fini(&req);
    return rc;
}

static void put_text(const char *key, const char *text)
{
    assert_ok_err(put(key, text, strlen(text), false), &kit.err);
}

static void assert_object(const char *key, const char *text)
{
    CLEANUP(buf_fini) struct buf b;

    buf_init(&b, STORE_GET_MAX);
    assert_ok_err(store_wait_get(&kit.w, key, &b, &kit.err), &kit.err);
    assert_string_equal(buf_str(&b), text);
}

/* --- single objects ----------------------------------------------------------------------------------------------- */

static void test_put_get_delete(void **state)
{
    CLEANUP(buf_fini) struct buf none;
    uint64_t size;

    (void)state;
    buf_init(&none, 100);
    assert_fails(store_wait_get(&kit.w, "a/b", &none, &kit.err), E_NOTFOUND);
    assert_fails(head("a/b", &size), E_NOTFOUND);
    assert_ok(store_wait_delete(&kit.w, "a/b", &kit.err));
    put_text("a/b", "one");
    assert_object("a/b", "one");
    put_text("a/b", "three");
    assert_object("a/b", "three");
    assert_ok_err(head("a/b", &size), &kit.err);
    assert_int_equal(size, 5);
    put_text("empty", "");
    assert_object("empty", "");
    assert_ok_err(head("empty", &size), &kit.err);
    assert_int_equal(size, 0);
    put_text("A-Z_0.x/..y/z..", "odd");
    assert_object("A-Z_0.x/..y/z..", "odd");
    assert_ok_err(store_wait_delete(&kit.w, "a/b", &kit.err), &kit.err);
    assert_fails(head("a/b", &size), E_NOTFOUND);
}

static void test_create_only(void **state)
{
    (void)state;
    assert_ok_err(put("c", "first", 5, true), &kit.err);
    assert_fails(put("c", "second", 6, true), E_EXISTS);
    assert_object("c", "first");
    assert_ok(store_wait_delete(&kit.w, "c", &kit.err));
    assert_ok_err(put("c", "third", 5, true), &kit.err);
    assert_object("c", "third");
}

static void on_race(struct store_req *req)
{
    --*(int *)req->ctx;
}

/* Of many that want to create the same object one wins.  The others learn it, or that nothing is known. */
static void test_race(void **state)
{
    enum { RACERS = 8 };
    struct store_req reqs[RACERS];
    char texts[RACERS][8];
    int left = RACERS, winner = -1;

    (void)state;
    assert_false(kit.no_conditions);
    for (int i = 0; i < RACERS; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "text%d", i);
        store_req_init(&reqs[i], STORE_PUT, "race", on_race, &left);
        reqs[i].body = span_of(texts[i], strlen(texts[i]));
        reqs[i].create_only = true;
        store_submit(kit.w.store, &reqs[i]);
    }
    while (left > 0)
        (void)uv_run(&kit.w.loop, UV_RUN_ONCE);
    for (int i = 0; i < RACERS; i++) {
        if (reqs[i].err.code == E_OK) {
            assert_int_equal(winner, -1);
            winner = i;
        } else
            assert_int_equal(reqs[i].err.code, E_EXISTS);
        store_req_fini(&reqs[i]);
    }
    assert_int_not_equal(winner, -1);
    assert_object("race", texts[winner]);
}

static void test_ranges(void **state)
{
    static const uint64_t offsets[] = {0, 1, 9, 10, 11, 1000}, lengths[] = {0, 1, 5, 9, 10, 11, STORE_GET_MAX};
    static const char text[] = "0123456789";
    struct store_req req;

    (void)state;
    put_text("r", text);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        for (size_t j = 0; j < sizeof lengths / sizeof lengths[0]; j++) {
            uint64_t offset = offsets[i], length = lengths[j], want;
            struct rc rc;

            store_req_init(&req, STORE_GET, "r", NULL, NULL);
            req.offset = offset;
            req.length = length;
            rc = run(&req);
            if (offset >= 10) {
                assert_fails(rc, E_NOTFOUND);
                continue;
            }
            assert_ok_err(rc, &kit.err);
            want = length == 0 || length > 10 - offset ? 10 - offset : length;
            assert_int_equal(req.data.size, want);
            assert_memory_equal(req.data.data, text + offset, want);
            assert_int_equal(req.size, 10);
            store_req_fini(&req);
        }
    }
    put_text("r", "");
    store_req_init(&req, STORE_GET, "r", NULL, NULL);
    req.length = 1;
    assert_fails(run(&req), E_NOTFOUND);
    store_req_fini(&req);
}

/* --- listings, compared with a model ------------------------------------------------------------------------------ */

/* In byte order. */
static const char *const keys[] = {"A", "a-b", "a.b", "a/1", "a/2/x", "a/2/y", "a/20", "a/3", "a0", "b-x/1", "b/1",
    "b/2", "b0/1", "t/00000001/log/0000000000000001", "t/00000001/log/0000000000000002", "t/00000001/timeline.json",
    "t/00000002/log/0000000000000003", "t/00000002/timeline.json", "t/0000000a/timeline.json", "t/0000000a0",
    "weir.json", "z"};

enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

struct model {
    char entries[KEY_COUNT][64];
    size_t count;
};

static void model_list(struct model *m, const char *prefix, const char *after, bool by_folder)
{
    m->count = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *slash;
        char entry[64];

        if (strncmp(keys[i], prefix, strlen(prefix)) != 0)
            continue;
        (void)snprintf(entry, sizeof entry, "%s", keys[i]);
        slash = by_folder ? strchr(keys[i] + strlen(prefix), '/') : NULL;
        if (slash != NULL)
            entry[slash - keys[i] + 1] = 0;
        if (strcmp(entry, after) <= 0 || (m->count > 0 && strcmp(m->entries[m->count - 1], entry) == 0))
            continue;
        memcpy(m->entries[m->count++], entry, sizeof entry);
    }
}

/* All pages of a listing; answers hold at most `limit` entries. */
static void assert_listing(const char *prefix, const char *after, bool by_folder, unsigned limit)
{
    struct store_req req;
    struct model m;
    size_t seen = 0;

    model_list(&m, prefix, after, by_folder);
    store_req_init(&req, STORE_LIST, prefix, NULL, NULL);
    req.by_folder = by_folder;
    req.limit = limit;
    (void)snprintf(req.after, sizeof req.after, "%s", after);
    do {
        assert_ok_err(run(&req), &kit.err);
        if (limit > 0)
            assert_in_range(req.entry_count, 0, limit);
        if (req.more)
            assert_true(req.entry_count > 0);
        for (size_t i = 0; i < req.entry_count; i++) {
            const struct store_entry *e = &req.entries[i];

            if (seen == m.count || strcmp(e->key, m.entries[seen]) != 0)
                fail_msg("list %s after %s, by folder %d, limit %u: entry %zu is %s, not %s", prefix, after, by_folder,
                    limit, seen, e->key, seen == m.count ? "the end" : m.entries[seen]);
            assert_int_equal(e->is_prefix, e->key[strlen(e->key) - 1] == '/');
            assert_int_equal(e->size, e->is_prefix ? 0 : strlen(e->key));
            seen++;
        }
        if (req.entry_count > 0)
            (void)snprintf(req.after, sizeof req.after, "%s", req.entries[req.entry_count - 1].key);
    } while (req.more);
    if (seen != m.count)
        fail_msg("list %s after %s, by folder %d, limit %u: ends before %s", prefix, after, by_folder, limit,
            m.entries[seen]);
    store_req_fini(&req);
}

static void test_listings(void **state)
{
    static const char *const prefixes[] = {"", "a", "a/", "a/2", "b", "t/", "t/00000001/log/", "nothing", "z"};
    static const char *const afters[] = {"", "a", "a/", "a/1", "a/2/", "a/2/x", "a0", "b-x/", "t/", "t/00000001/",
        "t/00000001/log/0000000000000001", "t/0000000a/", "z", "zz"};
    static const unsigned limits[] = {0, 1, 3};

    (void)state;
    for (size_t i = 0; i < KEY_COUNT; i++)
        put_text(keys[i], keys[i]);
    for (size_t p = 0; p < sizeof prefixes / sizeof prefixes[0]; p++) {
        for (size_t a = 0; a < sizeof afters / sizeof afters[0]; a++) {
            for (int by_folder = 0; by_folder < 2; by_folder++)
                assert_listing(prefixes[p], afters[a], by_folder == 1, limits[(p + a) % 3]);
        }
    }
    for (size_t l = 0; l < 3; l++) {
        assert_listing("", "", false, limits[l]);
        assert_listing("t/", "", true, limits[l]);
    }
}

/* --- many --------------------------------------------------------------------------------------------------------- */

static void test_delete_many(void **state)
{
    static const char *const some[] = {"d/1", "d/none", "d/3"};
    struct store_req req;

    (void)state;
    clean();
    put_text("d/1", "1");
    put_text("d/2", "2");
    put_text("d/3", "3");
    store_req_init(&req, STORE_DELETE_MANY, "", NULL, NULL);
    req.keys = some;
    req.key_count = 3;
    assert_ok_err(run(&req), &kit.err);
    assert_ok_err(run(&req), &kit.err); /* there is nothing left to delete */
    store_req_fini(&req);
    assert_count(1);
    assert_object("d/2", "2");
}

/* --- what only S3 has --------------------------------------------------------------------------------------------- */

static struct rc put_over(const char *key, const char *text, const char *etag, char out[STORE_ETAG_SIZE])
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = span_of(text, strlen(text));
    (void)snprintf(req.if_match, sizeof req.if_match, "%s", etag);
    rc = run(&req);
    memcpy(out, req.etag, STORE_ETAG_SIZE);
    store_req_fini(&req);
    return rc;
}

static void test_if_match(void **state)
{
    char first[STORE_ETAG_SIZE], second[STORE_ETAG_SIZE], third[STORE_ETAG_SIZE];

    (void)state;
    if (!kit.is_s3 || kit.no_conditions) {
        assert_fails(put_over("m", "x", "etag", first), E_UNSUPPORTED);
        return;
    }
    assert_fails(put_over("m", "x", "\"00000000000000000000000000000000\"", first), E_EXISTS);
    assert_ok_err(put_over("m", "one", "", first), &kit.err);
    assert_string_not_equal(first, "");
    assert_ok_err(put_over("m", "two", first, second), &kit.err);
    assert_fails(put_over("m", "three", first, third), E_EXISTS);
    assert_object("m", "two");
    assert_ok_err(put_over("m", "three", second, third), &kit.err);
    assert_object("m", "three");
}

static void test_wrong_secret(void **state)
{
    const struct store_option wrong[] = {{"access-key", "TESTKEY"}, {"secret-key", "not-it"}};
    const enum store_verb verbs[] = {STORE_PUT, STORE_GET, STORE_HEAD, STORE_LIST, STORE_DELETE};
    struct store *s = NULL;
    struct err err;

    (void)state;
    assert_true(kit.is_s3);
    open_store(&s, kit.url, wrong, 2);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        struct store_req req;

        store_req_init(&req, verbs[i], verbs[i] == STORE_LIST ? "" : "w", NULL, NULL);
        assert_fails(store_wait_run(&kit.w.loop, s, &req, &err), E_DENIED);
        assert_null(strstr(err.msg, "not-it"));
        store_req_fini(&req);
    }
    store_wait_stop(&kit.w.loop, s);
}

/* Every HTTP request is counted by its kind. */
static void test_counts(void **state)
{
    const struct store_counts *c = store_counts_of(kit.w.store);
    struct store_counts before;
    uint64_t size;

    (void)state;
    put_text("first", ""); /* the first request may find out the region */
    before = *c;
    put_text("n", "abc");
    assert_fails(put("n", "abc", 3, true), E_EXISTS);
    assert_ok(head("n", &size));
    assert_object("n", "abc");
    assert_fails(head("none", &size), E_NOTFOUND);
    assert_int_equal(c->outcomes[STORE_PUT][STORE_OUTCOME_OK] - before.outcomes[STORE_PUT][STORE_OUTCOME_OK], 1);
    assert_int_equal(c->outcomes[STORE_PUT][STORE_OUTCOME_ANSWER] - before.outcomes[STORE_PUT][STORE_OUTCOME_ANSWER],
        kit.no_conditions ? 0 : 1);
    assert_int_equal(c->requests[STORE_HEAD] - before.requests[STORE_HEAD], kit.no_conditions ? 3 : 2);
    assert_int_equal(
        c->outcomes[STORE_HEAD][STORE_OUTCOME_ANSWER] - before.outcomes[STORE_HEAD][STORE_OUTCOME_ANSWER], 1);
    assert_int_equal(c->requests[STORE_GET] - before.requests[STORE_GET], 1);
    assert_int_equal(c->bytes_out - before.bytes_out, 3);
    assert_int_equal(c->bytes_in - before.bytes_in, 3);
}

int main(void)
{
    const struct CMUnitTest for_all[] = {
        cmocka_unit_test_setup_teardown(test_put_get_delete, begin, end),
        cmocka_unit_test_setup_teardown(test_create_only, begin, end),
        cmocka_unit_test_setup_teardown(test_ranges, begin, end),
        cmocka_unit_test_setup_teardown(test_listings, begin, end),
        cmocka_unit_test_setup_teardown(test_delete_many, begin, end),
        cmocka_unit_test_setup_teardown(test_if_match, begin, end),
        cmocka_unit_test_setup_teardown(test_counts, begin, end),
        cmocka_unit_test_setup_teardown(test_race, begin, end), /* the last: not where nothing is conditional */
    };
    const struct CMUnitTest on_s3[] = {cmocka_unit_test_setup_teardown(test_wrong_secret, begin, end)};
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    size_t left_out = getenv("WEIR_TEST_S3_CONDITIONS") != NULL;

    return run_on_store("store_check", for_all, sizeof for_all / sizeof for_all[0] - left_out, on_s3, 1);
}
