/* SPDX-License-Identifier: Apache-2.0 */
#include "outrun.h"

/* Takes what is shipped: to the copy, unless it is the n-th. */
struct ship {
    struct live *g;
    long count, fail_at;
    const char *sql; /* what the application does meanwhile, each time; NULL: nothing */
    const struct local_scrub *known;
    uint32_t left_out;
};

static struct rc ship(void *ctx, struct db_segment *segment, struct err *err)
{
    struct ship *s = ctx;
    bool fails = ++s->count == s->fail_at;

    if (!fails)
        live_apply(s->g, segment);
    if (s->sql != NULL)
        live_sql(s->g, s->sql);
    db_live_free_segment(segment);
    return fails ? rc_raise(err, E_NETWORK, "told to") : RC_OK;
}

/* Compare, with the index and the copy as they are now. */
static struct rc compare(struct live *g, struct ship *s, bool *changed, struct db_segment **last)
{
    const struct wal_resume anew = {.how = WAL_RESUME_COMPARE};
    struct pos pos = {.timeline = 1, .txid = g->txid, .checksum = page_hash_checksum(g->l->hashes)};
    struct db_copy copy = {.live = g->l, .ship = ship, .ctx = s, .known = s->known};
    struct rc rc;

    assert_ok_err(db_live_follow(g->l, &anew, &pos, &g->err), &g->err);
    rc = db_copy_compare(&copy, &g->err);
    *changed = copy.changed;
    *last = copy.last;
    s->left_out = copy.left_out;
    return rc;
}

/* It must find this many pages or so, as one commit, and bring the copy to the file's state. */
static void expect_change(struct live *g, uint64_t pages_min, uint64_t pages_max)
{
    struct ship s = {.g = g};
    struct db_segment *last = NULL;
    uint64_t txid = g->txid;
    bool changed = false;

    assert_ok_err(compare(g, &s, &changed, &last), &g->err);
    assert_true(changed);
    assert_non_null(last);
    assert_in_range(last->raw_bytes / g->page_size, pages_min, pages_max);
    live_apply(g, last);
    db_live_free_segment(last);
    assert_int_equal(g->txid, txid + 1);
    assert_int_equal(g->last_flags, SEG_RESYNC);
    live_check(g);
}

/* --- hashing -------------------------------------------------------------------------------------------------------
 */

/* Pages in the file, in the log, and in both. */
static void test_hash(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct live g;

        live_begin(&g, sizes[i], LIVE_FILL(200, 700));
        live_sql(&g, "PRAGMA wal_checkpoint(PASSIVE)");
        live_sql(&g, "UPDATE t SET b = randomblob(700) WHERE id % 7 = 0");
        page_hash_clear(g.l->hashes);
        live_follow(&g, 100);
        live_adopt(&g);
        live_check(&g);
        assert_false(g.l->cap.absorbing);
        live_sql(&g, "DELETE FROM t WHERE id % 3 = 0"); /* and from here on it is followed */
        live_ship(&g);
        live_check(&g);
        live_end(&g);
    }
}

/* --- comparing ------------------------------------------------------------------------------------------------------
 */

static void test_nothing_differs(void **state)
{
    struct db_segment *last = NULL;
    bool changed = true;
    struct ship s = {0};
    struct live g;

    (void)state;
    live_begin(&g, 1024, LIVE_FILL(100, 700));
    s.g = &g;
    assert_ok_err(compare(&g, &s, &changed, &last), &g.err);
    assert_false(changed);
    assert_null(last);
    assert_int_equal(s.count, 0);
    assert_int_equal(db_live_pos(g.l).txid, 100);
    live_sql(&g, "INSERT INTO t(a) VALUES (1)");
    live_ship(&g);
    live_check(&g);
    live_end(&g);
}

/* Exactly what is different in the copy, wherever it lies. */
static void test_what_differs(void **state)
{
    struct live g;

    (void)state;
    live_begin(&g, 1024, LIVE_FILL(100, 700) "; PRAGMA wal_checkpoint(TRUNCATE)");
    for (uint32_t p = 2; p <= g.copy_count; p += g.copy_count / 3) {
        live_page(&g, p)[17] ^= 1;
        assert_ok(page_hash_set(g.l->hashes, p, digest_page(p, live_page(&g, p), 1024), &g.err));
    }
    expect_change(&g, 3, 4);
    live_sql(&g, "UPDATE t SET a = 5 WHERE id = 5"); /* and from here on it is followed */
    live_ship(&g);
    live_check(&g);
    live_end(&g);
}

/* What is known to be damaged, and still as it was found, is nobody's change. */
static void test_known_damage(void **state)
{
    struct local_scrub note = {0};
    struct db_segment *last = NULL;
    bool changed = false;
    struct ship s = {.known = &note};
    struct live g;

    (void)state;
    live_begin(&g, 1024, LIVE_FILL(100, 700) "; PRAGMA wal_checkpoint(TRUNCATE)");
    s.g = &g;
    for (uint32_t p = 10; p <= 40; p += 10) {
        uint64_t have = page_hash_get(g.l->hashes, p), want;

        live_page(&g, p)[17] ^= 1; /* that was committed; what the file has is the damage */
        want = digest_page(p, live_page(&g, p), 1024);
        assert_ok(page_hash_set(g.l->hashes, p, want, &g.err));
        *local_scrub_add(&note, p) = (struct local_scrub_page){.pgno = p, .want = want, .have = have};
    }
    note.pages[1].have++;   /* it has changed since */
    note.pages[2].want++;   /* another state was found damaged */
    note.pages[3].have = 0; /* it could not be read then */
    assert_ok_err(compare(&g, &s, &changed, &last), &g.err);
    assert_true(changed);
    assert_int_equal(s.left_out, 1);
    assert_int_equal(last->raw_bytes / 1024, 3);
    live_apply(&g, last); /* compares the state with the index's */
    db_live_free_segment(last);
    note.count = 1;
    assert_ok_err(compare(&g, &s, &changed, &last), &g.err);
    assert_false(changed);
    assert_int_equal(s.left_out, 1);
    local_scrub_fini(&note);
    live_end(&g);
}

/* While nobody watched: commits, growth, a shrunk file, a new log. */
static void test_missed_commits(void **state)
{
    static const char *const stories[] = {
        "UPDATE t SET b = randomblob(500) WHERE id = 3",
        LIVE_FILL(300, 700),
        "DELETE FROM t; VACUUM",
        "DELETE FROM t WHERE id % 2 = 0; PRAGMA wal_checkpoint(RESTART); INSERT INTO t(a) VALUES (3)",
    };

    (void)state;
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        struct page_hash *before = page_hash_new();
        struct live g;

        live_begin(&g, 1024, LIVE_FILL(100, 700));
        for (uint32_t p = 1; p <= g.copy_count; p++)
            assert_ok(page_hash_set(before, p, page_hash_get(g.l->hashes, p), &g.err));
        db_live_close(g.l, false);
        live_sql(&g, stories[i]);
        live_attach(&g);
        page_hash_free(g.l->hashes);
        g.l->hashes = before;
        expect_change(&g, 1, 1000);
        live_end(&g);
    }
}

/* The application goes on while pages are compared: what it commits meanwhile is in the one commit, too. */
static void test_beside_a_writer(void **state)
{
    struct live g;

    (void)state;
    live_begin(&g, 1024, LIVE_FILL(3000, 700));
    for (uint64_t i = 0; i < 4; i++) {
        struct ship s = {.g = &g};
        struct db_segment *last = NULL;
        bool changed = false;

        sql_child_send_call(&g.w.app, wal_world_busy, i, 60);
        assert_ok_err(compare(&g, &s, &changed, &last), &g.err);
        assert_int_equal(sql_child_wait(&g.w.app), 0);
        if (last != NULL)
            live_apply(&g, last);
        db_live_free_segment(last);
        live_ship(&g);
        live_check(&g);
    }
    live_end(&g);
}

/* Writers for whom a part takes so long to ship that everything has changed when it is done. */
static void test_outrun(void **state)
{
    static const char *const change = "UPDATE t SET b = randomblob(1000000); PRAGMA wal_checkpoint(PASSIVE)";
    struct db_segment *last = NULL;
    bool changed = false;
    struct live g;
    struct ship s = {.g = &g, .fail_at = 30, .sql = change};

    (void)state;
    live_begin(&g, 4096, "SELECT 1");
    live_sql(&g, LIVE_FILL(20, 1000000));
    assert_ok_err(compare(&g, &s, &changed, &last), &g.err);
    assert_true(changed);
    assert_in_range(last->raw_bytes, 20 * 1000000, 32 * 1000000);
    live_apply(&g, last); /* compares the state with the index's */
    db_live_free_segment(last);
    assert_false(g.l->conn->gate_pinned);
    assert_false(g.l->hold);
    live_ship(&g);
    live_check(&g);
    live_end(&g);
}

/* Nobody can keep them from committing while pages are only read: what counts is how far the log was behind the walk.
 */
static void test_hash_outrun(void **state)
{
    struct outrun o;
    struct live g;
    struct db_copy copy = {.live = NULL};
    struct db_step step = {.due = true, .may_finish = true, .state = WAL_READER_MORE};

    (void)state;
    live_begin(&g, 1024, LIVE_FILL(3000, 700) "; PRAGMA wal_checkpoint(TRUNCATE)");
    copy.live = g.l;
    live_sql(&g, "UPDATE t SET b = randomblob(700)");
    outrun_begin(&o, &g);
    assert_ok_err(db_copy_hash(&copy, &g.err), &g.err);
    outrun_end(&o);
    while (step.state != WAL_READER_QUIET) {
        assert_ok_err(db_live_step(g.l, &step, &g.err), &g.err);
        for (const struct db_segment *q = step.ready; q != NULL; q = q->next)
            if (q->is_part)
                db_live_part_done(g.l);
        live_free_all(step.ready);
    }
    live_adopt(&g);
    live_check(&g); /* the index is what it is when everything was followed from there */
    live_end(&g);
}

/* Whoever wants to stop does not wait for the end. */
static void test_stop(void **state)
{
    const struct wal_resume anew = {.how = WAL_RESUME_COMPARE};
    const struct pos pos = {.timeline = 1, .txid = 100};
    const atomic_bool stop = true;
    struct db_copy copy;
    struct live g;

    (void)state;
    live_begin(&g, 1024, LIVE_FILL(100, 700));
    copy = (struct db_copy){.live = g.l, .stop = &stop};
    assert_ok_err(db_live_follow(g.l, &anew, &pos, &g.err), &g.err);
    assert_fails(db_copy_compare(&copy, &g.err), E_CANCELED);
    assert_null(copy.last);
    assert_null(g.l->changed);
    assert_fails(db_copy_hash(&copy, &g.err), E_CANCELED);
    live_end(&g);
}

/* --- failures -------------------------------------------------------------------------------------------------------
 */

/* Larger than a part: each is shipped as it comes; when that fails, it ends there. */
static void test_shipping_fails(void **state)
{
    long n = 1;

    (void)state;
    for (;; n++) {
        struct db_segment *last = NULL;
        bool changed = false;
        struct live g;
        struct ship s = {.g = &g, .fail_at = n};
        struct rc rc;

        live_begin(&g, 4096, "SELECT 1");
        live_sql(&g, LIVE_FILL(20, 1000000));
        rc = compare(&g, &s, &changed, &last);
        if (s.count < n) {
            assert_ok_err(rc, &g.err);
            live_apply(&g, last);
            live_check(&g);
        } else {
            assert_fails(rc, E_NETWORK);
            assert_non_null(strstr(g.err.msg, "told to"));
            assert_null(last);
            assert_int_equal(g.txid, 100);
        }
        db_live_free_segment(last);
        live_end(&g);
        if (s.count < n)
            break;
    }
    assert_in_range(n, 3, 10);
}

/* Every read of the database or the log fails in turn: it is told, and the next try works. */
static void test_reading_fails(void **state)
{
    const struct wal_resume anew = {.how = WAL_RESUME_COMPARE};
    const struct pos pos = {.timeline = 1, .txid = 100};
    struct live g;
    long n = 1;

    (void)state;
    live_begin(&g, 1024, LIVE_FILL(2500, 700));
    live_sql(&g, "PRAGMA wal_checkpoint(PASSIVE)");
    live_sql(&g, "UPDATE t SET b = randomblob(700) WHERE id % 100 = 0");
    live_adopt(&g);
    for (;; n++) {
        struct db_copy copy = {.live = g.l};
        struct rc rc;

        assert_ok_err(db_live_follow(g.l, &anew, &pos, &g.err), &g.err);
        g.f.ops = FAULT_PREAD;
        g.f.fired = 0;
        g.f.countdown = n;
        rc = db_copy_hash(&copy, &g.err);
        g.f.countdown = 0;
        if (g.f.fired == 0) {
            assert_ok_err(rc, &g.err);
            break;
        }
        assert_fails(rc, E_IO);
        assert_non_null(strstr(g.err.msg, "hash "));
        assert_non_null(strstr(g.err.msg, strerrordesc_np(EIO)));
    }
    assert_in_range(n, 4, 5000);
    live_check(&g);
    live_end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_nothing_differs),
        cmocka_unit_test(test_what_differs),
        cmocka_unit_test(test_known_damage),
        cmocka_unit_test(test_missed_commits),
        cmocka_unit_test(test_beside_a_writer),
        cmocka_unit_test(test_outrun),
        cmocka_unit_test(test_hash_outrun),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_shipping_fails),
        cmocka_unit_test(test_reading_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
