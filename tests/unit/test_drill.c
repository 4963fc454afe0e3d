/* SPDX-License-Identifier: Apache-2.0 */
/* Drills of a replica that is whole, damaged, or away; what is away is no damage. */
#include "restore_kit.h"

#include "drill.h"

#include <stdatomic.h>

static struct {
    char folder[STORE_WAIT_PATH_SIZE + 16], away[STORE_WAIT_PATH_SIZE + 32];
    atomic_bool stop;
    uint64_t window_ms;
    const char *other_url; /* the store says that it is this one; NULL: it says what it is */
    struct fsys fs;
    int opens;   /* of the file of a drill, so far */
    int away_at; /* with this one of them the replica goes away; 0: it stays */
    struct drill_report report;
} d;

static void take_away(void)
{
    assert_int_equal(rename(kit.root, d.away), 0);
}

static void bring_back(void)
{
    assert_int_equal(rename(d.away, kit.root), 0);
}

static int open_and_unmount(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    (void)fs;
    if (strstr(path, "/state.db") != NULL && ++d.opens == d.away_at)
        take_away();
    return fsys_real.open(&fsys_real, path, flags, mode);
}

static struct rc run_drill(void *ctx, struct work *w, struct store *s, struct err *err)
{
    const struct drill_opts opts = {
        .fs = &d.fs,
        .path = kit.h.db_path,
        .folder = d.folder,
        .timeline = 3,
        .tip_txid = tip()->txid,
        .tip_ms = tip()->time_ms,
        .window_ms = d.window_ms,
        .stop = &d.stop,
    };
    char *url = s->url;
    struct rc rc;

    (void)ctx;
    if (d.other_url != NULL)
        s->url = (char *)(uintptr_t)d.other_url; /* it is only read */
    rc = drill_run(w, s, &opts, &d.report, err);
    s->url = url;
    return rc;
}

static struct rc drill(void)
{
    d.opens = 0;
    return session_run(&fsys_real, kit.url, run_drill, NULL, &kit.err);
}

static int begin(void **state)
{
    d.fs = fsys_real;
    d.fs.open = open_and_unmount;
    d.away_at = 0;
    d.window_ms = 0;
    d.other_url = NULL;
    (void)snprintf(d.folder, sizeof d.folder, "%s/drill", kit.dir);
    (void)snprintf(d.away, sizeof d.away, "%s.away", kit.root);
    return clean(state);
}

static void assert_good(void)
{
    assert_ok_err(drill(), &kit.err);
    assert_string_equal(d.report.skipped, "");
    assert_int_not_equal(access(d.folder, F_OK), 0);
}

static void assert_away(void)
{
    assert_fails(drill(), E_IO);
    assert_non_null(strstr(kit.err.msg, "there is nothing at file://"));
    assert_non_null(strstr(kit.err.msg, "is its disk mounted?"));
    assert_int_not_equal(access(d.folder, F_OK), 0);
}

static void assert_damaged(const char *msg)
{
    assert_fails(drill(), E_CORRUPT);
    if (strstr(kit.err.msg, msg) == NULL || strncmp(kit.err.msg, "drill: txid ", 12) != 0) {
        print_error("'%s' is not in '%s'\n", msg, kit.err.msg);
        fail();
    }
}

static void test_good(void **state)
{
    (void)state;
    assert_good();
    assert_int_equal(d.report.txid, tip()->txid);
    d.window_ms = 3600 * 1000;
    assert_good();
    assert_in_range(d.report.txid, 1, tip()->txid);
}

/* With and without a window: the one looks at the replica before it chooses, the other while it restores. */
static void test_folder_is_gone(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        d.window_ms = i == 0 ? 0 : 3600 * 1000;
        take_away();
        assert_away();
        bring_back();
        assert_good();
    }
}

/* The place where a disk is mounted is an empty folder without it. */
static void test_folder_is_empty(void **state)
{
    (void)state;
    take_away();
    assert_int_equal(mkdir(kit.root, 0700), 0);
    assert_away();
    assert_int_equal(rmdir(kit.root), 0);
    bring_back();
    assert_good();
}

/* Turn a bit of the snapshot that a drill of the newest commit begins with, or turn it back. */
static void flip_snapshot(void)
{
    const struct make_history_state *s = make_history_find(&kit.h, 1, 10);
    layout_text key;
    char path[PATH_SIZE];
    struct buf bytes;

    layout_snapshot(key, 1, s->txid, s->time_ms);
    (void)snprintf(path, sizeof path, "%s/%s", kit.root, key);
    bytes = read_file(path);
    bytes.data[bytes.size / 2] ^= 0x10;
    write_file(path, bytes.data, bytes.size);
    buf_fini(&bytes);
}

static void test_gone_while_it_is_read(void **state)
{
    (void)state;
    d.away_at = 1;
    assert_away();
    assert_int_equal(d.opens, 1);
    bring_back();
    d.away_at = 0;
    assert_good();
}

/* What is found is looked at a second time; the replica goes away under that. */
static void test_gone_at_the_second_look(void **state)
{
    int each;

    (void)state;
    flip_snapshot();
    assert_damaged("it can be restored, but only around damage: ");
    assert_true(d.opens >= 2);
    assert_int_equal(d.opens % 2, 0);
    each = d.opens / 2;
    d.away_at = each + 1;
    assert_away();
    bring_back();
    d.away_at = 0;
    assert_damaged("it can be restored, but only around damage: ");
    flip_snapshot();
    assert_good();
}

/* A bucket that answers and has nothing is no disk that is not mounted: what was there is lost. */
static void test_nothing_in_a_bucket(void **state)
{
    (void)state;
    d.other_url = "s3://bucket/prefix";
    take_away();
    assert_damaged("no replica at s3://bucket/prefix");
    bring_back();
    assert_good();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good, begin),
        cmocka_unit_test_setup(test_folder_is_gone, begin),
        cmocka_unit_test_setup(test_folder_is_empty, begin),
        cmocka_unit_test_setup(test_gone_while_it_is_read, begin),
        cmocka_unit_test_setup(test_gone_at_the_second_look, begin),
        cmocka_unit_test_setup(test_nothing_in_a_bucket, begin),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
