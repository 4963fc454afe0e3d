/* SPDX-License-Identifier: Apache-2.0 */
/* Histories whose segments are in folds: every commit is read, once, wherever it is, also while it moves. */
#include "check.h"

#include "alloc.h"
#include "catalog_read.h"
#include "fault_store.h"
#include "fold_kit.h"
#include "make_history.h"
#include "session.h"
#include "store_dir.h"
#include "store_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_SIZE = 4096, PAGES = 60, TIP = 40, PATH_SIZE = 1024 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    struct make_history h;
    struct err err;
    struct rc (*fn)(struct catalog *c, struct work *w, struct store *s, struct err *err);
    /* What a job saw: assertions leave by longjmp, which its thread must not. */
    uint64_t commits, wrong, objects, gets, lists;
    uint64_t from;
} kit;

/* --- a history ---------------------------------------------------------------------------------------------------- */

/* Segments of one commit, with `pages` random pages each: about 4 KiB a page. */
static void build(uint32_t pages)
{
    static uint8_t image[(size_t)PAGES * PAGE_SIZE];
    uint64_t seed = 5;

    kit.from = 1;
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.root, sizeof kit.root, "%s/r", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    make_history_init(&kit.h, kit.root, PAGE_SIZE);
    make_history_timeline(&kit.h, 0, 0);
    for (uint64_t txid = 1; txid <= TIP; txid++) {
        for (size_t i = 0; i < (size_t)pages * PAGE_SIZE; i++)
            image[i] = (uint8_t)check_random(&seed);
        make_history_commit(&kit.h, image, PAGES, txid == 1 ? SEG_SNAPSHOT : 0);
        if (txid == 1)
            make_history_snapshot(&kit.h);
        else
            make_history_cut(&kit.h);
    }
}

static int set_up(void **state)
{
    (void)state;
    build(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    make_history_fini(&kit.h);
    store_wait_unscratch(kit.dir);
    return 0;
}

static void fold(uint64_t first, uint64_t last, bool drop)
{
    fold_kit_make(kit.root, 1, &kit.h.database, first, last, drop);
}

static void path_of(char out[PATH_SIZE], const char *key)
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", kit.root, key);
}

static void drop_fold(uint64_t first, uint64_t last)
{
    char path[PATH_SIZE];
    layout_text key;

    layout_fold(key, 1, first, last);
    path_of(path, key);
    assert_int_equal(unlink(path), 0);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool on_commit(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    const struct make_history_state *s = make_history_find(&kit.h, 1, commit->txid);

    (void)ctx;
    kit.commits++;
    kit.wrong += s == NULL || s->checksum != commit->checksum || segment->object_size == 0
                 || commit->txid != kit.from + kit.commits - 1;
    return true;
}

static struct rc walk(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    kit.commits = kit.wrong = 0;
    return catalog_commits(c, w, s, 1, kit.from, on_commit, NULL, err);
}

static struct rc job(void *ctx, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct rc rc;

    (void)ctx;
    TRY(catalog_load(&c, w, s, err));
    kit.gets = s->counts.requests[STORE_GET];
    kit.lists = s->counts.requests[STORE_LIST];
    rc = kit.fn(c, w, s, err);
    kit.gets = s->counts.requests[STORE_GET] - kit.gets;
    kit.lists = s->counts.requests[STORE_LIST] - kit.lists;
    return rc;
}

static struct rc run(struct rc (*fn)(struct catalog *c, struct work *w, struct store *s, struct err *err))
{
    kit.fn = fn;
    return session_run(&fsys_real, kit.url, job, NULL, &kit.err);
}

static void assert_all_there(void)
{
    assert_ok_err(run(walk), &kit.err);
    assert_int_equal(kit.commits, TIP - kit.from + 1);
    assert_int_equal(kit.wrong, 0);
}

/* Each segment by itself, through its step and through the expanded one; and the tip. */
static struct rc one_by_one(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    size_t count = 0;

    kit.commits = kit.wrong = 0;
    TRY(catalog_load_tip(c, w, s, 1, err));
    kit.wrong += c->timelines[0].tip_txid != TIP;
    TRY(catalog_route(c, 1, &steps, &count, err));
    for (size_t i = 0; i < count; i++) {
        CLEANUP(mem_freep) struct catalog_step *inner = NULL;
        size_t n = 0;

        if (catalog_step_is_fold(&steps[i]))
            TRY(catalog_read_expand(w, s, &steps[i], &inner, &n, err));
        for (uint64_t txid = steps[i].first_txid; txid <= steps[i].last_txid && txid <= TIP; txid++) {
            CLEANUP(catalog_object_fini) struct catalog_object o = {0};
            CLEANUP(catalog_object_fini) struct catalog_object again = {0};
            size_t at = (size_t)(txid - steps[i].first_txid);

            TRY(catalog_read_one(&o, w, s, &steps[i], txid, err));
            TRY(catalog_read_one(&again, w, s, n > 0 ? &inner[at] : &steps[i], txid, err));
            kit.wrong += o.segment == NULL || seg_dec_info(o.segment)->base_txid + 1 != txid;
            kit.wrong += again.segment == NULL || seg_dec_info(again.segment)->base_txid + 1 != txid;
            kit.commits++;
        }
        kit.wrong += n > 0 && n != steps[i].last_txid - steps[i].first_txid + 1;
    }
    return RC_OK;
}

static void assert_each_alone(void)
{
    assert_ok_err(run(one_by_one), &kit.err);
    assert_int_equal(kit.commits, TIP);
    assert_int_equal(kit.wrong, 0);
}

static void test_none(void **state)
{
    (void)state;
    assert_all_there();
    assert_int_equal(kit.gets, TIP);
    assert_each_alone();
}

/* One GET for a fold, whatever stands beside it. */
static void test_folds(void **state)
{
    (void)state;
    fold(2, 9, false);
    fold(10, 17, false);
    assert_all_there();
    assert_int_equal(kit.gets, TIP - 16 + 2);
    fold(2, 17, true);
    assert_all_there();
    assert_int_equal(kit.gets, TIP - 16 + 1);
    drop_fold(2, 9);
    assert_all_there();
    fold(30, TIP, true);
    assert_all_there();
    assert_each_alone();
    assert_int_equal(kit.lists, 0);
    for (kit.from = 1; kit.from <= TIP; kit.from++)
        assert_all_there();
    kit.from = 1;
}

/* Two that overlap: the second one from where the first one ends. */
static void test_overlap(void **state)
{
    (void)state;
    fold(2, 12, false);
    fold(8, 20, false);
    fold(15, 18, false);
    for (uint64_t txid = 2; txid <= 20; txid++) {
        char path[PATH_SIZE];
        layout_text key;

        layout_log(key, 1, txid);
        path_of(path, key);
        assert_int_equal(unlink(path), 0);
    }
    assert_all_there();
    assert_int_equal(kit.gets, TIP - 19 + 2);
    assert_each_alone();
}

/* Above this size the table and one segment are fetched. */
static void test_large(void **state)
{
    (void)state;
    assert_int_equal(tear_down(NULL), 0);
    build(PAGES); /* 240 KiB */
    fold(2, 25, true);
    assert_all_there();
    assert_each_alone();
    assert_true(kit.gets > 24u * 4);
}

/* --- while it moves ----------------------------------------------------------------------------------------------- */

/* After the listing everything is folded, some of it twice, and deleted. */
static struct rc walk_moving(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    fold(5, 12, false);
    fold(13, 20, false);
    fold(5, 20, true);
    return walk(c, w, s, err);
}

static struct rc one_moving(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    fold(21, 28, false);
    fold(21, 36, true);
    return one_by_one(c, w, s, err);
}

static void test_moving(void **state)
{
    (void)state;
    fold(5, 12, false);
    assert_ok_err(run(walk_moving), &kit.err);
    assert_int_equal(kit.commits, TIP);
    assert_int_equal(kit.wrong, 0);
    assert_in_range(kit.lists, 1, 2); /* one look for all that are gone side by side */
    assert_ok_err(run(one_moving), &kit.err);
    assert_int_equal(kit.commits, TIP);
    assert_int_equal(kit.wrong, 0);
}

static struct rc walk_lost(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    char path[PATH_SIZE];

    path_of(path, "t/00000001/log/0000000000000007");
    if (unlink(path) != 0)
        return rc_raise(err, E_BUG, "%s is not there", path);
    return walk(c, w, s, err);
}

static void test_really_gone(void **state)
{
    (void)state;
    fold(20, 30, true);
    assert_fails(run(walk_lost), E_NOTFOUND);
    assert_non_null(strstr(kit.err.msg, "t/00000001/log/0000000000000007"));
    assert_int_equal(kit.commits, 6);
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

static void test_damage(void **state)
{
    char path[PATH_SIZE], other[PATH_SIZE];
    struct buf good;
    layout_text key;

    (void)state;
    fold(2, 9, true);
    fold(10, 17, true);
    layout_fold(key, 1, 10, 17);
    path_of(path, key);
    buf_init(&good, 1 << 20);
    assert_ok_err(fsys_read_file(&fsys_real, path, &good, &kit.err), &kit.err);
    for (size_t i = 0; i < good.size; i += good.size / 40) {
        int fd = open(path, O_WRONLY);
        uint8_t bad = good.data[i] ^ 0x10;

        assert_int_equal(pwrite(fd, &bad, 1, (off_t)i), 1);
        assert_fails(run(walk), E_CORRUPT);
        assert_non_null(strstr(kit.err.msg, key));
        assert_int_equal(kit.commits, 9);
        assert_int_equal(pwrite(fd, &good.data[i], 1, (off_t)i), 1);
        assert_int_equal(close(fd), 0);
    }
    buf_fini(&good);
    assert_all_there();
    /* Another fold under its key. */
    layout_fold(key, 1, 2, 9);
    path_of(other, key);
    assert_int_equal(rename(other, path), 0);
    kit.from = 10;
    assert_fails(run(walk), E_CORRUPT);
    assert_string_equal(
        kit.err.msg, "t/00000001/fold/000000000000000a-0000000000000011: it says that it is txid 2 to 9 of timeline 1");
}

/* --- requests that fail ------------------------------------------------------------------------------------------- */

struct faulty {
    struct work_item item;
    struct fault_store store;
    struct work *work;
    struct rc rc;
};

static void run_faulty(struct work_item *item)
{
    struct faulty *f = (struct faulty *)item;

    f->rc = job(NULL, f->work, &f->store.base, &kit.err);
}

static void on_faulty_stopped(void *ctx)
{
    (void)ctx;
}

static void on_faulty_done(struct work_item *item)
{
    struct faulty *f = (struct faulty *)item;

    store_stop(&f->store.base, on_faulty_stopped, f);
    work_stop(f->work);
}

static long with_fault(enum fault_store_kind kind, long n, struct rc *rc)
{
    struct faulty f = {.item = {.run = run_faulty, .done = on_faulty_done}};
    struct store_wait below;

    store_wait_open(&below, &fsys_real, kit.root);
    fault_store_init(&f.store, &below.loop, below.store);
    fault_store_arm(&f.store, kind, n, false);
    f.work = work_new(&below.loop, 2);
    work_job(f.work, &f.item);
    assert_int_equal(uv_run(&below.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&below.loop), 0);
    *rc = f.rc;
    return f.store.fired;
}

static void test_every_request_fails(void **state)
{
    static const enum fault_store_kind kinds[] = {FAULT_STORE_REFUSED, FAULT_STORE_HALF_BODY, FAULT_STORE_WRONG_BODY};

    (void)state;
    fold(2, 9, true);
    fold(10, 25, true);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct rc rc = RC_OK;
        long n;

        kit.fn = i == 1 ? one_by_one : walk;
        for (n = 1; with_fault(kinds[i], n, &rc) > 0; n++)
            if (!rc_failed(rc)) /* what a document says is not needed here */
                assert_int_equal(kit.wrong, 0);
        assert_ok_err(rc, &kit.err);
        assert_int_equal(kit.commits, TIP);
        assert_in_range(n, 15, 300);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overlap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_really_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_request_fails, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
