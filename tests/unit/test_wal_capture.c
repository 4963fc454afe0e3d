/* SPDX-License-Identifier: Apache-2.0 */
#include "capture_kit.h"

/* --- exact ----------------------------------------------------------------------------------------------------------
 */

static void every_commit(uint32_t page_size)
{
    struct rig g;

    begin(&g, page_size);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < 15; i++) {
            uint32_t before, after;
            struct wal_index_header h;

            assert_true(wal_index_read(g.w.conn->shm, &h));
            before = h.change_count;
            assert_int_equal(sql_child_call(&g.w.app, wal_world_random, 100 * round + i, 1), 0);
            assert_true(wal_index_read(g.w.conn->shm, &h));
            after = h.change_count;
            if (after != before) /* it was not rolled back */
                note(&g);
        }
        step_to_end(&g);
        assert_int_equal(g.cap.txid, 100 + g.expected_count);
        assert_int_equal(g.cap.commit_count, g.expected_count);
        assert_int_equal(g.cap.pos.frame, wal_reader_pos(g.w.reader)->frame);
        ship(&g);
        assert_int_equal(g.applied, g.expected_count);
    }
    assert_true(g.cap.delta_count > 0);
    assert_true(g.cap.whole_count > 0);
    end(&g);
}

static void small_pages(void **state)
{
    (void)state;
    every_commit(512);
}

static void usual_pages(void **state)
{
    (void)state;
    every_commit(4096);
}

static void large_pages(void **state)
{
    (void)state;
    every_commit(65536);
}

/* Random bytes do not compress: the transaction sheds parts. */
static void big_transaction(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, 4096);
    commit(&g, "BEGIN; WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i < 3000) "
               "INSERT INTO t(a, b) SELECT i, randomblob(3500) FROM c; COMMIT");
    commit(&g, "UPDATE t SET a = a + 1");
    step_to_end(&g);
    assert_true(g.part_count > 0);
    ship(&g);
    end(&g);
}

/* A page that was written but not changed is not worth a byte. */
static void unchanged_pages(void **state)
{
    struct rig g;
    uint64_t pages;

    (void)state;
    begin(&g, 4096);
    commit(&g, "UPDATE t SET a = a");
    step_to_end(&g);
    pages = g.cap.delta_count + g.cap.whole_count;
    assert_int_equal(g.cap.txid, 101);
    assert_true(g.cap.frame_count > pages);
    ship(&g);
    end(&g);
}

/* --- the database shrinks and grows ---------------------------------------------------------------------------------
 */

static void sizes(const char *setup, const char *const *steps, unsigned count)
{
    struct rig g;

    begin_with(&g, 1024, setup);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < count; i++) {
            commit(&g, steps[i]);
            if (round % 2 == 0) { /* one by one, or all at once */
                step_to_end(&g);
                ship(&g);
            }
        }
        if (round % 2 == 1) {
            step_to_end(&g);
            ship(&g);
        }
        sql(&g, "PRAGMA wal_checkpoint(PASSIVE)");
    }
    assert_int_equal(g.applied, g.expected_count);
    end(&g);
}

static void vacuum(void **state)
{
    static const char *const steps[] = {
        FILL, "DELETE FROM t WHERE id % 3 < 2", "VACUUM", FILL, "DELETE FROM t", "VACUUM"};

    (void)state;
    sizes("SELECT 1", steps, sizeof steps / sizeof *steps);
}

static void incremental_vacuum(void **state)
{
    static const char *const steps[] = {
        FILL,
        "DELETE FROM t WHERE id % 3 < 2",
        "PRAGMA incremental_vacuum(20)",
        "BEGIN; DELETE FROM t; PRAGMA incremental_vacuum; " FILL "; COMMIT",
        "BEGIN; DELETE FROM t WHERE id % 2 = 0; PRAGMA incremental_vacuum; CREATE TABLE u AS SELECT * FROM t; COMMIT",
        "BEGIN; DROP TABLE u; SAVEPOINT s; PRAGMA incremental_vacuum; ROLLBACK TO s; DELETE FROM t; COMMIT",
        "PRAGMA incremental_vacuum",
    };

    (void)state;
    sizes("PRAGMA auto_vacuum=INCREMENTAL; VACUUM", steps, sizeof steps / sizeof *steps);
}

static void full_auto_vacuum(void **state)
{
    static const char *const steps[] = {FILL, "DELETE FROM t WHERE id % 3 < 2", FILL, "DELETE FROM t",
        "BEGIN; " FILL "; DELETE FROM t WHERE id % 2 = 0; COMMIT"};

    (void)state;
    sizes("PRAGMA auto_vacuum=FULL; VACUUM", steps, sizeof steps / sizeof *steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_pages),
        cmocka_unit_test(usual_pages),
        cmocka_unit_test(large_pages),
        cmocka_unit_test(big_transaction),
        cmocka_unit_test(unchanged_pages),
        cmocka_unit_test(vacuum),
        cmocka_unit_test(incremental_vacuum),
        cmocka_unit_test(full_auto_vacuum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
