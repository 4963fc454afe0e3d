/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What store.h promises, tried on a whole store: a directory, and where WEIR_TEST_S3_URL names one (with a prefix of
 * its own, which is left empty), a bucket.  Listings are compared with a model.
 */
#include "check.h"

#include "alloc.h"
#include "store.h"
#include "store_s3_intern.h"
#include "store_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kit {
    struct store_wait w;
    struct store_env *env;
    struct err err;
    char dir[STORE_WAIT_PATH_SIZE], url[1024];
    bool is_s3, no_conditions;
};

static struct kit kit;

static void open_store(struct store **out, const char *url, const struct store_option *options, size_t count)
{
    assert_ok_err(store_open(kit.env, url, options, count, out, &kit.err), &kit.err);
}

static int begin(void **state)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody changes the environment */
    const char *url = getenv("WEIR_TEST_S3_URL"), *conditions = getenv("WEIR_TEST_S3_CONDITIONS");
    /* NOLINTEND(concurrency-mt-unsafe) */

    (void)state;
    memset(&kit, 0, sizeof kit);
    kit.is_s3 = url != NULL;
    kit.no_conditions = kit.is_s3 && conditions != NULL && strcmp(conditions, "none") == 0;
    if (kit.is_s3)
        (void)snprintf(kit.url, sizeof kit.url, "%s", url);
    else {
        store_wait_scratch(kit.dir);
        (void)snprintf(kit.url, sizeof kit.url, "file://%s/r", kit.dir);
    }
    assert_int_equal(uv_loop_init(&kit.w.loop), 0);
    kit.env = store_env_new(&kit.w.loop, &fsys_real);
    open_store(&kit.w.store, kit.url, NULL, 0);
    if (kit.no_conditions)
        store_without_conditions(kit.w.store);
    return 0;
}

static struct rc run(struct store_req *req)
{
    return store_wait_run(&kit.w.loop, kit.w.store, req, &kit.err);
}

/* Everything below the prefix. */
static void clean(void)
{
    for (bool more = true; more;) {
        const char *keys[STORE_LIST_MAX];
        struct store_req list, away;

        store_req_init(&list, STORE_LIST, "", NULL, NULL);
        assert_ok_err(run(&list), &kit.err);
        for (size_t i = 0; i < list.entry_count; i++)
            keys[i] = list.entries[i].key;
        more = list.more;
        if (list.entry_count > 0) {
            store_req_init(&away, STORE_DELETE_MANY, "", NULL, NULL);
            away.keys = keys;
            away.key_count = list.entry_count;
            assert_ok_err(run(&away), &kit.err);
            store_req_fini(&away);
        }
        store_req_fini(&list);
    }
}

static int end(void **state)
{
    (void)state;
    clean();
    store_wait_stop(&kit.w.loop, kit.w.store);
    store_wait_stop_env(&kit.w.loop, kit.env);
    assert_int_equal(uv_run(&kit.w.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&kit.w.loop), 0);
    if (!kit.is_s3)
        store_wait_unscratch(kit.dir);
    return 0;
}

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

static struct rc head(const char *key, uint64_t *size)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_HEAD, key, NULL, NULL);
    rc = run(&req);
    *size = req.size;
    store_req_fini(&req);
    return rc;
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

/* --- uploads ------------------------------------------------------------------------------------------------------ */

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 2654435761u >> 11);
}

static char *start(const char *key, bool key_final)
{
    struct store_req req;
    char *id;

    store_req_init(&req, STORE_UPLOAD_START, key, NULL, NULL);
    req.key_final = key_final;
    assert_ok_err(run(&req), &kit.err);
    id = MOVE(req.upload_id);
    store_req_fini(&req);
    return id;
}

static void send_part(const char *key, char *id, uint32_t part, size_t size)
{
    size_t part_size = kit.w.store->part_size;
    uint8_t *bytes = malloc(size + 1);
    struct store_req req;

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at((uint64_t)(part - 1) * part_size + i);
    store_req_init(&req, STORE_UPLOAD_PART, key, NULL, NULL);
    req.upload = id;
    req.part = part;
    req.body = span_of(bytes, size);
    assert_ok_err(run(&req), &kit.err);
    store_req_fini(&req);
    free(bytes);
}

static struct rc end_upload(enum store_verb verb, const char *key, char *id, uint32_t count)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, verb, key, NULL, NULL);
    req.upload = id;
    req.part = count;
    rc = run(&req);
    store_req_fini(&req);
    return rc;
}

static void assert_bytes(const char *key, uint64_t size)
{
    uint64_t there = 0, at = 0;

    assert_ok_err(head(key, &there), &kit.err);
    assert_true(there == size);
    while (at < size) {
        struct store_req req;

        store_req_init(&req, STORE_GET, key, NULL, NULL);
        req.offset = at;
        req.length = 1 << 20;
        assert_ok_err(run(&req), &kit.err);
        for (size_t i = 0; i < req.data.size; i++) {
            if (req.data.data[i] != byte_at(at + i))
                fail_msg("%s: byte %" PRIu64, key, at + i);
        }
        at += req.data.size;
        store_req_fini(&req);
    }
}

static void assert_count(size_t want)
{
    struct store_req req;

    store_req_init(&req, STORE_LIST, "", NULL, NULL);
    assert_ok_err(run(&req), &kit.err);
    assert_int_equal(req.entry_count, want);
    store_req_fini(&req);
}

/* The key is known at FINISH only; before that nothing shows. */
static void test_uploads(void **state)
{
    size_t part_size = kit.w.store->part_size;
    const struct {
        const char *key;
        uint32_t count;
        size_t last;
        bool key_final;
    } cases[] = {
        {"up/short", 1, 5, false},
        {"up/full", 1, part_size, false},
        {"up/three", 3, 12345, false},
        {"up/final", 2, 1, true},
    };
    size_t before = 0;

    (void)state;
    clean();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *first_key = cases[i].key_final ? cases[i].key : "up/provisional";
        char *id = start(first_key, cases[i].key_final);

        for (uint32_t part = cases[i].count; part > 0; part--) /* in any order */
            send_part(first_key, id, part, part == cases[i].count ? cases[i].last : part_size);
        assert_count(before);
        assert_ok_err(end_upload(STORE_UPLOAD_FINISH, cases[i].key, id, cases[i].count), &kit.err);
        assert_count(++before);
        assert_bytes(cases[i].key, (uint64_t)(cases[i].count - 1) * part_size + cases[i].last);
        assert_ok_err(end_upload(STORE_UPLOAD_ABORT, first_key, id, 0), &kit.err); /* it is gone */
        assert_count(before);
        mem_free(id);
    }
}

/* What is too large for one copy is copied in ranges. */
static void test_copy_in_ranges(void **state)
{
    size_t part_size = kit.w.store->part_size;
    char *id;

    (void)state;
    assert_true(kit.is_s3);
    clean();
    ((struct s3_store *)kit.w.store->below)->copy_max = part_size;
    id = start("up/a", false);
    for (uint32_t part = 1; part <= 3; part++)
        send_part("up/a", id, part, part < 3 ? part_size : 777);
    assert_ok_err(end_upload(STORE_UPLOAD_FINISH, "up/b", id, 3), &kit.err);
    mem_free(id);
    assert_bytes("up/b", 2 * (uint64_t)part_size + 777);
    assert_int_equal(store_counts_of(kit.w.store)->outcomes[STORE_KIND_COPY][STORE_OUTCOME_OK], 3);
    assert_count(1);
}

static void test_abort(void **state)
{
    size_t part_size = kit.w.store->part_size;
    char *id;

    (void)state;
    clean();
    id = start("up/a", false);
    assert_ok_err(end_upload(STORE_UPLOAD_ABORT, "up/a", id, 0), &kit.err);
    mem_free(id);
    id = start("up/a", false);
    send_part("up/a", id, 1, 10);
    assert_ok_err(end_upload(STORE_UPLOAD_ABORT, "up/a", id, 0), &kit.err);
    assert_fails(end_upload(STORE_UPLOAD_FINISH, "up/a", id, 1), E_NOTFOUND);
    mem_free(id);
    id = start("up/a", false);
    send_part("up/a", id, 1, part_size);
    assert_ok_err(end_upload(STORE_UPLOAD_ABORT, "up/a", id, 0), &kit.err);
    assert_fails(end_upload(STORE_UPLOAD_FINISH, "up/a", id, 1), E_NOTFOUND);
    mem_free(id);
    assert_count(0);
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

/* A test that cannot hold on this store is left out rather than skipped: a skipped one would count as run. */
int main(void)
{
    const struct CMUnitTest for_all[] = {
        cmocka_unit_test_setup_teardown(test_put_get_delete, begin, end),
        cmocka_unit_test_setup_teardown(test_create_only, begin, end),
        cmocka_unit_test_setup_teardown(test_ranges, begin, end),
        cmocka_unit_test_setup_teardown(test_listings, begin, end),
        cmocka_unit_test_setup_teardown(test_uploads, begin, end),
        cmocka_unit_test_setup_teardown(test_abort, begin, end),
        cmocka_unit_test_setup_teardown(test_delete_many, begin, end),
        cmocka_unit_test_setup_teardown(test_if_match, begin, end),
        cmocka_unit_test_setup_teardown(test_counts, begin, end),
    };
    const struct CMUnitTest with_conditions[] = {cmocka_unit_test_setup_teardown(test_race, begin, end)};
    const struct CMUnitTest on_s3[] = {
        cmocka_unit_test_setup_teardown(test_copy_in_ranges, begin, end),
        cmocka_unit_test_setup_teardown(test_wrong_secret, begin, end),
    };
    struct CMUnitTest tests[12];
    size_t count = 0;

    for (size_t i = 0; i < sizeof for_all / sizeof for_all[0]; i++)
        tests[count++] = for_all[i];
    if (getenv("WEIR_TEST_S3_CONDITIONS") == NULL)
        tests[count++] = with_conditions[0];
    for (size_t i = 0; getenv("WEIR_TEST_S3_URL") != NULL && i < sizeof on_s3 / sizeof on_s3[0]; i++)
        tests[count++] = on_s3[i];
    return _cmocka_run_group_tests("store_check", tests, count, NULL, NULL);
}
