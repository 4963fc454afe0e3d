/* SPDX-License-Identifier: Apache-2.0 */
#include "live_kit.h"

#include "db_freeze.h"
#include "wal_image.h"
#include "wal_still.h"

/* Nothing is in the log, so pages are read from the file. */
#define SETUP LIVE_FILL(200, 300) "; PRAGMA wal_checkpoint(TRUNCATE)"

/* How many pages are not in the state that the index knows, as they are read at our position. */
static unsigned wrong_pages(struct live *g)
{
    uint8_t *page = malloc(g->page_size);
    unsigned wrong = 0;

    assert_non_null(page);
    for (uint32_t p = 1; p <= page_hash_count(g->l->hashes); p++) {
        assert_ok_err(wal_image_current(g->l->reader, p, 1, page, &g->err), &g->err);
        wrong += digest_page(p, page, g->page_size) != page_hash_get(g->l->hashes, p);
    }
    free(page);
    return wrong;
}

static void freeze(struct live *g, bool want)
{
    bool frozen = false;

    assert_ok_err(db_freeze_begin(g->l, &frozen, &g->err), &g->err);
    assert_int_equal(frozen, want);
    assert_int_equal(g->l->hold, want);
    assert_int_equal(g->l->conn->gate_pinned, want);
}

/* An application that changes every page, and a checkpoint of its own. */
static void change_all(struct live *g)
{
    live_sql(g, "UPDATE t SET b = randomblob(300)");
    live_sql(g, "PRAGMA wal_checkpoint(PASSIVE)");
}

static void test_file_stands_still(void **state)
{
    struct live g;

    (void)state;
    live_begin(&g, 1024, SETUP);
    freeze(&g, true);
    for (int i = 0; i < 3; i++) {
        change_all(&g);
        assert_int_equal(wrong_pages(&g), 0);
    }
    db_freeze_end(g.l);
    assert_false(g.l->hold);
    change_all(&g); /* now they are copied, and not read yet */
    assert_true(wrong_pages(&g) > 0);
    live_ship(&g);
    assert_int_equal(wrong_pages(&g), 0);
    live_check(&g);
    live_end(&g);
}

/* The file is ahead of what was read: as much is read first. */
static void test_reads_on(void **state)
{
    struct live g;

    (void)state;
    live_begin(&g, 1024, SETUP);
    change_all(&g);
    assert_true(wrong_pages(&g) > 0);
    freeze(&g, true);
    assert_int_equal(wrong_pages(&g), 0);
    live_sql(&g, "UPDATE t SET b = randomblob(300)");
    assert_int_equal(wrong_pages(&g), 0);
    db_freeze_end(g.l);
    live_ship(&g);
    live_check(&g);
    live_end(&g);
}

/* There is no room for what would be read, or a checkpoint is copying: not now, and nothing is left behind. */
static void test_not_now(void **state)
{
    struct live g;

    (void)state;
    live_begin(&g, 1024, SETUP);
    change_all(&g);
    g.l->parts_waiting = DB_LIVE_PARTS_MAX;
    freeze(&g, false);
    g.l->parts_waiting = 0;
    freeze(&g, true);
    db_freeze_end(g.l);
    db_freeze_end(g.l); /* it may be called at any time */
    live_ship(&g);
    live_check(&g);
    live_end(&g);
}

/* Who wants to prove a page meanwhile finds that it cannot. */
static void test_scrub_waits(void **state)
{
    struct live g;
    uint8_t page[1024];
    enum wal_still what = WAL_STILL_READ;

    (void)state;
    live_begin(&g, 1024, SETUP);
    freeze(&g, true);
    assert_ok_err(wal_still_prove(g.l->reader, 1, page, &what, &g.err), &g.err);
    assert_int_equal(what, WAL_STILL_MOVING);
    assert_true(g.l->conn->gate_pinned);
    db_freeze_end(g.l);
    live_end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_stands_still),
        cmocka_unit_test(test_reads_on),
        cmocka_unit_test(test_not_now),
        cmocka_unit_test(test_scrub_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
