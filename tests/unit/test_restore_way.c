/* SPDX-License-Identifier: Apache-2.0 */
/* Restores through merges: every state, with growing and shrinking databases, and the ways around each lost object. */
#include "check.h"

#include "fault_fsys.h"
#include "make_history.h"
#include "restore.h"
#include "session.h"
#include "store_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, TIP = 60, PATH_SIZE = 2048, ROWS = 3000 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    char target[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h;
    struct restore_report report;
    struct err err;
} kit;

/* --- a history -----------------------------------------------------------------------------------------------------
 */

static const struct make_history_state *at(uint64_t txid)
{
    return make_history_find(&kit.h, 1, txid);
}

/* Updates here and there; growth at 15, a VACUUM at 25, everything deleted at 35, and rows again. */
static void commit(uint64_t txid)
{
    char sql[200];

    if (txid == 15 || txid == 41)
        (void)snprintf(sql, sizeof sql,
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<%d) "
            "INSERT INTO t SELECT NULL, randomblob(200) FROM c",
            ROWS);
    else if (txid == 25)
        (void)snprintf(sql, sizeof sql, "DELETE FROM t WHERE id %% 3 != 0; VACUUM");
    else if (txid == 35)
        (void)snprintf(sql, sizeof sql, "DELETE FROM t; VACUUM");
    else
        (void)snprintf(sql, sizeof sql,
            "INSERT INTO t VALUES(NULL, randomblob(100)); UPDATE t SET b = randomblob(180) WHERE id %% 50 = %u",
            (unsigned)txid % 50);
    make_history_sql(&kit.h, sql, 0);
}

/* A segment each; merges of level 1 every 5 txids, one of level 2 every 20, each ending where a segment does. */
static void build(void)
{
    struct make_history *h = &kit.h;

    make_history_init(h, kit.root, PAGE_SIZE);
    make_history_timeline(h, 0, 0);
    make_history_sql(h, "CREATE TABLE t(id INTEGER PRIMARY KEY, b)", SEG_SNAPSHOT);
    make_history_snapshot(h);
    for (uint64_t txid = 2; txid <= TIP; txid++) {
        commit(txid);
        make_history_cut(h);
        if (txid % 5 == 0)
            make_history_merge(h, 1, at(txid == 5 ? 1 : txid - 5), at(txid), at(txid)->time_ms);
        if (txid % 20 == 0)
            make_history_merge(h, 2, at(txid == 20 ? 1 : txid - 20), at(txid), at(txid)->time_ms);
    }
}

static int set_up(void **state)
{
    (void)state;
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.root, sizeof kit.root, "%s/r", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    build();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    make_history_fini(&kit.h);
    store_wait_unscratch(kit.dir);
    return 0;
}

/* --- restoring -----------------------------------------------------------------------------------------------------
 */

static struct rc run_restore(void *ctx, struct work *w, struct store *s, struct err *err)
{
    return restore_run(w, s, &fsys_real, ctx, &kit.report, err);
}

static struct rc restore(uint64_t txid)
{
    struct restore_opts opts = {
        .output = kit.target, .by_txid = true, .txid = txid, .timeline = 1, .verify = RESTORE_VERIFY_STATE};

    (void)unlink(kit.target);
    return session_run(&fsys_real, kit.url, run_restore, &opts, &kit.err);
}

static void assert_restores(uint64_t txid)
{
    const struct make_history_state *want = at(txid);
    struct buf got;

    assert_ok_err(restore(txid), &kit.err);
    buf_init(&got, 1 << 24);
    assert_ok_err(fsys_read_file(&fsys_real, kit.target, &got, &kit.err), &kit.err);
    assert_int_equal(got.size, (size_t)want->page_count * PAGE_SIZE);
    assert_memory_equal(got.data, want->image, got.size);
    buf_fini(&got);
    assert_int_equal(kit.report.txid, txid);
    assert_true(kit.report.checksum == want->checksum);
    assert_int_equal(kit.report.time_ms, want->time_ms);
}

static void assert_warns(const char *text)
{
    if (strstr(kit.report.warning, text) == NULL) {
        print_error("'%s' is not in '%s'\n", text, kit.report.warning);
        fail();
    }
}

static void test_every_txid(void **state)
{
    size_t merges = 0;

    (void)state;
    for (uint64_t txid = 1; txid <= TIP; txid++) {
        assert_restores(txid);
        assert_string_equal(kit.report.warning, "");
        merges += kit.report.merge_count;
        assert_true(txid < 10 || kit.report.merge_count > 0);
        assert_in_range(kit.report.object_count, 1, 10);
    }
    assert_in_range(merges, TIP, 6 * TIP);
}

/* Nothing is fetched that is not needed: pages that a newer merge has, or that are gone. */
static void test_reads_little(void **state)
{
    uint64_t behind;

    (void)state;
    assert_restores(40); /* everything was deleted at 35 */
    behind = kit.report.bytes_read;
    assert_restores(20);
    assert_true(behind < kit.report.bytes_read / 2);
}

/* --- lost objects --------------------------------------------------------------------------------------------------
 */

enum damage { REMOVED, CUT, FLIPPED, EMPTY };

struct lost {
    char path[PATH_SIZE];
    struct buf bytes;
};

static void write_file(const char *path, const struct buf *b, size_t n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(b->data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void lose(struct lost *l, const char *key, enum damage damage)
{
    (void)snprintf(l->path, sizeof l->path, "%s/%s", kit.root, key);
    buf_init(&l->bytes, 1 << 24);
    assert_ok_err(fsys_read_file(&fsys_real, l->path, &l->bytes, &kit.err), &kit.err);
    if (damage == REMOVED)
        assert_int_equal(unlink(l->path), 0);
    else if (damage == FLIPPED) {
        l->bytes.data[l->bytes.size / 2] ^= 4;
        write_file(l->path, &l->bytes, l->bytes.size);
        l->bytes.data[l->bytes.size / 2] ^= 4;
    } else
        write_file(l->path, &l->bytes, damage == EMPTY ? 0 : l->bytes.size - 3);
}

static void find_again(struct lost *l)
{
    write_file(l->path, &l->bytes, l->bytes.size);
    buf_fini(&l->bytes);
}

static void merge_key(layout_text key, unsigned level, uint64_t base, uint64_t txid)
{
    layout_merge(key, 1, level, base, txid, at(txid)->time_ms);
}

/* Around each merge in turn, whatever became of it, for a state that needs it and for states that do not. */
static void test_each_merge_lost(void **state)
{
    (void)state;
    for (uint64_t txid = 5; txid <= TIP; txid += 5)
        for (unsigned level = 1; level <= (txid % 20 == 0 ? 2u : 1u); level++)
            for (enum damage d = REMOVED; d <= EMPTY; d++) {
                uint64_t step = level == 2 ? 20 : 5, base = txid == step ? 1 : txid - step;
                char text[96];
                layout_text key;
                struct lost lost;

                merge_key(key, level, base, txid);
                lose(&lost, key, d);
                assert_restores(txid);
                (void)snprintf(
                    text, sizeof text, "the merge from txid %" PRIu64 " to %" PRIu64 " was passed over", base, txid);
                if (d != REMOVED && kit.report.warning[0] != 0) {
                    assert_warns(text);
                    assert_warns(key);
                }
                assert_true(d == REMOVED || kit.report.warning[0] != 0 || (level == 1 && txid % 20 == 0));
                assert_restores(2);
                assert_string_equal(kit.report.warning, "");
                find_again(&lost);
            }
}

/* A segment between two merges is bridged by them, and the states inside are gone, which is said. */
static void test_lost_segment_is_bridged(void **state)
{
    struct lost lost, merge;
    layout_text key;

    (void)state;
    merge_key(key, 2, 20, 40);
    lose(&merge, key, REMOVED);
    merge_key(key, 1, 45, 50);
    layout_log(key, 1, 48);
    for (enum damage d = REMOVED; d <= EMPTY; d++) {
        lose(&lost, key, d);
        assert_restores(50);
        assert_restores(52);
        assert_string_equal(kit.report.warning, "");
        assert_fails(restore(49), E_CORRUPT);
        assert_non_null(strstr(kit.err.msg, key));
        assert_non_null(strstr(kit.err.msg, "txid 47 is the last that can be restored"));
        assert_restores(47);
        find_again(&lost);
    }
    find_again(&merge);
}

/* Both a merge and the log beneath it: around by a larger merge, or not at all. */
static void test_two_lost(void **state)
{
    struct lost merge, segment, large;
    layout_text key, log;

    (void)state;
    merge_key(key, 1, 5, 10);
    lose(&merge, key, FLIPPED);
    layout_log(log, 1, 8);
    lose(&segment, log, CUT);
    assert_fails(restore(10), E_CORRUPT);
    assert_non_null(strstr(kit.err.msg, key));
    assert_non_null(strstr(kit.err.msg, log));
    assert_restores(20); /* by level 2 */
    assert_string_equal(kit.report.warning, "");
    merge_key(key, 2, 1, 20);
    lose(&large, key, FLIPPED);
    assert_fails(restore(20), E_CORRUPT);
    assert_non_null(strstr(kit.err.msg, key));
    assert_restores(7);
    find_again(&large);
    find_again(&segment);
    find_again(&merge);
}

/* --- liars ---------------------------------------------------------------------------------------------------------
 */

/* A merge of a writer that was fenced before its commits got there: whole, but to a state that the log does not have.
 */
static void test_merge_to_another_state(void **state)
{
    struct make_history_state other = *at(28);
    layout_text key;
    char path[PATH_SIZE];

    (void)state;
    other.txid = 30;
    make_history_merge(&kit.h, 3, at(20), &other, INT64_MAX);
    for (uint64_t txid = 30; txid <= 31; txid++) {
        assert_restores(txid);
        if (kit.report.warning[0] != 0)
            assert_warns("the merge from txid 20 to 30 was passed over");
    }
    layout_merge(key, 1, 3, 20, 30, INT64_MAX);
    (void)snprintf(path, sizeof path, "%s/%s", kit.root, key);
    assert_int_equal(unlink(path), 0);
}

/* From a state that the log does not have: its base's checksum is not what is there. */
static void test_merge_from_another_state(void **state)
{
    struct make_history_state other = *at(18);
    layout_text key;
    char path[PATH_SIZE];

    (void)state;
    other.txid = 20;
    other.checksum ^= 1;
    make_history_merge(&kit.h, 3, &other, at(40), INT64_MAX);
    for (uint64_t txid = 40; txid <= 42; txid++)
        assert_restores(txid);
    layout_merge(key, 1, 3, 20, 40, INT64_MAX);
    (void)snprintf(path, sizeof path, "%s/%s", kit.root, key);
    assert_int_equal(unlink(path), 0);
}

/* It claims a state that its pages do not give. */
static void test_merge_that_lies(void **state)
{
    struct make_history_state other = *at(40);
    struct lost lost;
    layout_text key, log;
    char path[PATH_SIZE];

    (void)state;
    merge_key(key, 2, 20, 40);
    lose(&lost, key, REMOVED);
    other.checksum ^= 0x100;
    make_history_merge(&kit.h, 2, at(20), &other, at(40)->time_ms);
    assert_restores(41);
    assert_warns("the merge from txid 20 to 40 was passed over");
    assert_warns("the state checksum of its pages is");
    (void)log;
    layout_merge(key, 1, 2, 20, 40, at(40)->time_ms);
    (void)snprintf(path, sizeof path, "%s/%s", kit.root, key);
    assert_int_equal(unlink(path), 0);
    find_again(&lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_txid),
        cmocka_unit_test(test_reads_little),
        cmocka_unit_test(test_each_merge_lost),
        cmocka_unit_test(test_lost_segment_is_bridged),
        cmocka_unit_test(test_two_lost),
        cmocka_unit_test(test_merge_to_another_state),
        cmocka_unit_test(test_merge_from_another_state),
        cmocka_unit_test(test_merge_that_lies),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
