/* SPDX-License-Identifier: Apache-2.0 */
/* reuse_kit - for tests: restores over files that are here already, of two histories built by hand, and
 * what they read. */
#ifndef REUSE_KIT_H
#define REUSE_KIT_H

#include "check.h"
#include "kill_kit.h"

#include "digest.h"
#include "fault_fsys.h"
#include "fault_store.h"
#include "image.h"
#include "local_state.h"
#include "make_history.h"
#include "restore.h"
#include "store_wait.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_SIZE = 4096, TIP = 10, MERGED = 6, ROWS = 160, PATH_SIZE = 2048, FAR = 1 << 30 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], target[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h[2]; /* with page hashes, and without, as older versions wrote it */
    struct make_history *now;
    const struct fsys *fs;
    struct restore_report report;
    struct err err;
    uint64_t full; /* bytes of a restore of the tip from nothing */
} kit;

static char roots[2][STORE_WAIT_PATH_SIZE + 16];

/* --- histories -----------------------------------------------------------------------------------------------------
 */

static inline const struct make_history_state *at(uint64_t txid)
{
    return make_history_find(kit.now, 1, txid);
}

/* A few megabytes of noise, then one row after the other; the first half of that is in a merge, too. */
static inline void build(struct make_history *h, const char *root, bool hashed)
{
    make_history_init(h, root, PAGE_SIZE);
    h->hashed = hashed;
    make_history_timeline(h, 0, 0);
    make_history_sql(h,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c "
        "WHERE x<160) INSERT INTO t SELECT x, randomblob(20000) FROM c",
        SEG_SNAPSHOT);
    make_history_snapshot(h);
    for (unsigned txid = 2; txid <= TIP; txid++) {
        char sql[128];

        (void)snprintf(sql, sizeof sql, "UPDATE t SET b = randomblob(20000) WHERE id = %u", txid * 13 % ROWS);
        make_history_sql(h, sql, 0);
        make_history_cut(h);
    }
    kit.now = h;
    make_history_merge(h, 1, at(1), at(MERGED), at(MERGED)->time_ms);
}

static inline void set_names(size_t i)
{
    (void)snprintf(roots[i], sizeof roots[i], "%s/%c", kit.dir, "rp"[i]);
    build(&kit.h[i], roots[i], i == 0);
}

/* --- restoring -----------------------------------------------------------------------------------------------------
 */

struct run {
    struct work_item item;
    struct fault_store store;
    struct work *work;
    struct restore_opts opts;
    struct rc rc;
};

static inline void run_it(struct work_item *item)
{
    struct run *r = (struct run *)item;

    r->rc = restore_run(r->work, &r->store.base, kit.fs, &r->opts, &kit.report, &kit.err);
}

static inline void on_stopped(void *ctx)
{
    (void)ctx;
}

static inline void on_done(struct work_item *item)
{
    struct run *r = (struct run *)item;

    store_stop(&r->store.base, on_stopped, r);
    work_stop(r->work);
}

/* The n-th request fails, and all behind it; 0: none does. */
static inline struct rc restore_with(struct restore_opts opts, long n)
{
    struct run r = {.item = {.run = run_it, .done = on_done}, .opts = opts};
    struct store_wait below;

    r.opts.output = kit.target;
    r.opts.parallel = 1;
    store_wait_open(&below, &fsys_real, kit.now->root);
    fault_store_init(&r.store, &below.loop, below.store);
    if (n > 0)
        fault_store_arm(&r.store, FAULT_STORE_REFUSED, n, true);
    r.work = work_new(&below.loop, 2);
    work_job(r.work, &r.item);
    assert_int_equal(uv_run(&below.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&below.loop), 0);
    return r.rc;
}

static inline struct rc restore(struct restore_opts opts)
{
    return restore_with(opts, 0);
}

/* For killed_at(). */
static inline struct rc restore_on(const struct fsys *fs, void *opts)
{
    kit.fs = fs;
    return restore(*(const struct restore_opts *)opts);
}

static inline bool file_is(const char *path, const struct make_history_state *s)
{
    struct buf got;
    bool same;

    buf_init(&got, 1 << 24);
    assert_ok_err(fsys_read_file(&fsys_real, path, &got, &kit.err), &kit.err);
    same = got.size == (size_t)s->page_count * PAGE_SIZE && memcmp(got.data, s->image, got.size) == 0;
    buf_fini(&got);
    return same;
}

/* Everything at or beside the target. */
static inline size_t list_target(char names[][PATH_SIZE], size_t most)
{
    const char *dir = kit.dir;
    DIR *d = opendir(dir);
    size_t n = 0;

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strncmp(e->d_name, "t.db", 4) == 0) {
            assert_true(n < most);
            (void)snprintf(names[n++], PATH_SIZE, "%.64s/%s", dir, e->d_name);
        }
    (void)closedir(d);
    return n;
}

static inline void remove_target(void)
{
    static char names[64][PATH_SIZE];

    for (size_t n = list_target(names, 64); n-- > 0;)
        if (unlink(names[n]) != 0)
            store_wait_unscratch(names[n]);
}

static inline size_t count_left(void)
{
    static char names[64][PATH_SIZE];
    size_t left = 0;

    for (size_t n = list_target(names, 64); n-- > 0;)
        left += strstr(names[n], IMAGE_LEFT_MARK) != NULL;
    return left;
}

static inline void write_target(const void *data, size_t n)
{
    int fd = open(kit.target, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(close(fd), 0);
}

static inline void put_old(const struct make_history_state *s)
{
    remove_target();
    write_target(s->image, (size_t)s->page_count * PAGE_SIZE);
}

static inline int set_up(void **state)
{
    (void)state;
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    kit.fs = &fsys_real;
    set_names(1);
    set_names(0);
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    kit.full = kit.report.bytes_read;
    assert_in_range(kit.full, 3000000, 6000000);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    make_history_fini(&kit.h[0]);
    make_history_fini(&kit.h[1]);
    store_wait_unscratch(kit.dir);
    return 0;
}

static inline int clean(void **state)
{
    (void)state;
    kit.fs = &fsys_real;
    kit.now = &kit.h[0];
    remove_target();
    return 0;
}

/* --- over an existing file ------------------------------------------------------------------------------------------
 */

static const struct restore_opts in_place = {.in_place = true};

static inline void assert_restored(uint64_t txid, uint64_t bytes_max)
{
    assert_true(file_is(kit.target, at(txid)));
    assert_int_equal(kit.report.warning[0], 0);
    assert_in_range(kit.report.bytes_read, 1, bytes_max);
    assert_int_equal(count_left(), 0);
}

#endif
