/* SPDX-License-Identifier: Apache-2.0 */
/* Restores over files that are here already, and restores that go on where others ended: what is fetched, and that
 * nothing but the state that was asked for ever comes of it. */
#include "check.h"

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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static const struct make_history_state *at(uint64_t txid)
{
    return make_history_find(kit.now, 1, txid);
}

/* A few megabytes of noise, then one row after the other; the first half of that is in a merge, too. */
static void build(struct make_history *h, const char *root, bool hashed)
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

static void set_names(size_t i)
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

static void run_it(struct work_item *item)
{
    struct run *r = (struct run *)item;

    r->rc = restore_run(r->work, &r->store.base, kit.fs, &r->opts, &kit.report, &kit.err);
}

static void on_stopped(void *ctx)
{
    (void)ctx;
}

static void on_done(struct work_item *item)
{
    struct run *r = (struct run *)item;

    store_stop(&r->store.base, on_stopped, r);
    work_stop(r->work);
}

/* The n-th request fails, and all behind it; 0: none does. */
static struct rc restore_with(struct restore_opts opts, long n)
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

static struct rc restore(struct restore_opts opts)
{
    return restore_with(opts, 0);
}

static bool file_is(const char *path, const struct make_history_state *s)
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
static size_t list_target(char names[][PATH_SIZE], size_t most)
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

static void remove_target(void)
{
    static char names[64][PATH_SIZE];

    for (size_t n = list_target(names, 64); n-- > 0;)
        if (unlink(names[n]) != 0)
            store_wait_unscratch(names[n]);
}

static size_t count_left(void)
{
    static char names[64][PATH_SIZE];
    size_t left = 0;

    for (size_t n = list_target(names, 64); n-- > 0;)
        left += strstr(names[n], IMAGE_LEFT_MARK) != NULL;
    return left;
}

static void write_target(const void *data, size_t n)
{
    int fd = open(kit.target, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(close(fd), 0);
}

static void put_old(const struct make_history_state *s)
{
    remove_target();
    write_target(s->image, (size_t)s->page_count * PAGE_SIZE);
}

static int set_up(void **state)
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

static int tear_down(void **state)
{
    (void)state;
    make_history_fini(&kit.h[0]);
    make_history_fini(&kit.h[1]);
    store_wait_unscratch(kit.dir);
    return 0;
}

static int clean(void **state)
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

static void assert_restored(uint64_t txid, uint64_t bytes_max)
{
    assert_true(file_is(kit.target, at(txid)));
    assert_int_equal(kit.report.warning[0], 0);
    assert_in_range(kit.report.bytes_read, 1, bytes_max);
    assert_int_equal(count_left(), 0);
}

/* Every state over every other: never more than a few frames more than what differs. */
static void test_all_pairs(void **state)
{
    (void)state;
    for (uint64_t from = 1; from <= TIP; from += 3)
        for (uint64_t to = 1; to <= TIP; to++) {
            put_old(at(from));
            assert_ok_err(restore((struct restore_opts){.in_place = true, .by_txid = true, .txid = to}), &kit.err);
            assert_true(file_is(kit.target, at(to)));
            assert_int_equal(kit.report.warning[0], 0);
            assert_int_equal(kit.report.reused_txid, 0);
            assert_in_range(kit.report.reused_bytes, (uint64_t)at(to)->page_count * PAGE_SIZE * 9 / 10, kit.full * 2);
        }
}

/* Without a word of where it comes from: by page hashes. */
static void test_old_file(void **state)
{
    (void)state;
    put_old(at(9));
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full / 3);
}

/* Its local state says what it is: only the log behind it is read. */
static void test_known_state(void **state)
{
    const struct restore_opts first = {.with_state = true, .by_txid = true, .txid = 8};

    (void)state;
    assert_ok_err(restore(first), &kit.err);
    assert_ok_err(restore(in_place), &kit.err);
    assert_int_equal(kit.report.reused_txid, 8);
    assert_int_equal(kit.report.object_count, 2);
    assert_restored(TIP, 150000);
    /* The tip itself needs nothing but the word of the log. */
    assert_ok_err(restore((struct restore_opts){.in_place = true, .with_state = true}), &kit.err);
    assert_ok_err(restore(in_place), &kit.err);
    assert_int_equal(kit.report.reused_txid, TIP);
    assert_true(file_is(kit.target, at(TIP)));
}

/* An older state is wanted than the file has: what changed since is fetched. */
static void test_going_back(void **state)
{
    (void)state;
    assert_ok_err(restore((struct restore_opts){.with_state = true}), &kit.err);
    assert_ok_err(restore((struct restore_opts){.in_place = true, .by_txid = true, .txid = MERGED}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 0);
    assert_restored(MERGED, kit.full / 2);
}

/* Somewhere in it bytes are wrong, and nobody knows where. */
static void test_damaged_file(void **state)
{
    int fd;

    (void)state;
    assert_ok_err(restore((struct restore_opts){.with_state = true}), &kit.err);
    fd = open(kit.target, O_WRONLY);
    for (off_t page = 300; page < 303; page++)
        assert_int_equal(pwrite(fd, "damage", 6, page * PAGE_SIZE + 100), 6);
    assert_int_equal(close(fd), 0);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full / 2);
}

static void test_cut_and_extended(void **state)
{
    (void)state;
    put_old(at(TIP));
    assert_int_equal(truncate(kit.target, 100 * PAGE_SIZE + 17), 0);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full);
    assert_in_range(kit.report.reused_bytes, 60 * PAGE_SIZE, 101 * PAGE_SIZE);
    put_old(at(TIP));
    assert_int_equal(truncate(kit.target, 2000 * PAGE_SIZE), 0);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full / 2);
}

/* Nothing of it is of use: another database, no database at all, no file. */
static void test_foreign_file(void **state)
{
    (void)state;
    remove_target();
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full * 2);
    write_target("hello", 5);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full * 2);
    put_old(&kit.h[1].states[TIP - 1]);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full * 2);
}

/* Objects without page hashes: a known state is of use all the same. */
static void test_older_format(void **state)
{
    (void)state;
    kit.now = &kit.h[1];
    put_old(at(9));
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full);
    assert_int_equal(kit.report.reused_bytes, 0);
    remove_target();
    assert_ok_err(restore((struct restore_opts){.with_state = true, .by_txid = true, .txid = 8}), &kit.err);
    assert_ok_err(restore(in_place), &kit.err);
    assert_int_equal(kit.report.reused_txid, 8);
    assert_restored(TIP, 150000);
}

/* The local state of another history, or of a state that the log does not confirm. */
static void test_state_that_lies(void **state)
{
    struct local_state_content content = {.database = kit.h[0].database};
    struct local_state *ls = NULL;
    char *dir = local_place_dir(kit.target, NULL);

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct page_hash *hashes = page_hash_new();
        const struct make_history_state *s = at(4);

        put_old(s);
        for (uint32_t p = 1; p <= s->page_count; p++)
            assert_ok_err(
                page_hash_set(hashes, p, digest_page(p, s->image + (size_t)(p - 1) * PAGE_SIZE, PAGE_SIZE), &kit.err),
                &kit.err);
        content.database = i == 0 ? kit.h[1].database : kit.h[0].database;
        content.pos = (struct pos){.timeline = i == 1 ? 7 : 1,
            .txid = i == 2 ? 8 : 4,
            .checksum = s->checksum,
            .page_size = PAGE_SIZE,
            .page_count = s->page_count};
        assert_ok_err(local_state_open(&ls, &fsys_real, dir, &kit.err), &kit.err);
        assert_ok_err(local_state_checkpoint(ls, &content, hashes, &kit.err), &kit.err);
        local_state_close(ls);
        page_hash_free(hashes);
        assert_ok_err(restore(in_place), &kit.err);
        assert_restored(TIP, kit.full);
        assert_int_equal(kit.report.reused_txid, 0);
    }
    free(dir);
}

/* A table that names a hash which the old file has and the frame has not: the state checksum finds out, and the object
 * is not blamed for it. */
static void test_table_that_lies(void **state)
{
    static struct make_history h;
    char root[STORE_WAIT_PATH_SIZE + 16];
    struct make_history_state *s;
    uint8_t *image;

    (void)state;
    (void)snprintf(root, sizeof root, "%s/l", kit.dir);
    make_history_init(&h, root, PAGE_SIZE);
    h.hashed = true;
    h.wrong_hash = 3;
    make_history_timeline(&h, 0, 0);
    make_history_sql(&h, "CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(400000))", SEG_SNAPSHOT);
    make_history_snapshot(&h);
    kit.now = &h;
    s = &h.states[0];
    image = malloc((size_t)s->page_count * PAGE_SIZE);
    memcpy(image, s->image, (size_t)s->page_count * PAGE_SIZE);
    memset(image + 2 * PAGE_SIZE, 0, PAGE_SIZE);
    write_target(image, (size_t)s->page_count * PAGE_SIZE);
    free(image);
    assert_ok_err(restore(in_place), &kit.err);
    assert_true(file_is(kit.target, s));
    assert_int_equal(kit.report.warning[0], 0);
    assert_int_equal(kit.report.reused_bytes, 0);
    make_history_fini(&h);
}

/* The log of the old file has a state of its own: neither is it lost before the end, nor is it played into the new. */
static void test_log_of_the_old(void **state)
{
    char wal[PATH_SIZE];
    sqlite3 *db = NULL;

    (void)state;
    put_old(at(TIP));
    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; DELETE FROM t", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    (void)snprintf(wal, sizeof wal, "%s-wal", kit.target);
    assert_int_equal(access(wal, F_OK), 0);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full / 2);
    assert_int_equal(access(wal, F_OK), -1);
}

static void test_in_use(void **state)
{
    sqlite3 *db = NULL;

    (void)state;
    put_old(at(5));
    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM t", NULL, NULL, NULL), SQLITE_OK);
    assert_fails(restore(in_place), E_BUSY);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(file_is(kit.target, at(5)));
}

static int copying_clone(const struct fsys *fs, int to, int from)
{
    static char bytes[1 << 16];

    (void)fs;
    for (off_t off = 0;; off += (off_t)sizeof bytes) {
        ssize_t n = pread(from, bytes, sizeof bytes, off);

        if (n <= 0)
            return 0;
        assert_int_equal(pwrite(to, bytes, (size_t)n, off), n);
    }
}

/* Where blocks can be shared, pages that stay are not written at all. */
static void test_clone(void **state)
{
    struct fsys fs = fsys_real;

    (void)state;
    fs.clone = copying_clone;
    for (uint64_t from = 1; from <= TIP; from++) {
        put_old(at(from));
        kit.fs = &fs;
        assert_ok_err(
            restore((struct restore_opts){.in_place = true, .by_txid = true, .txid = TIP - from + 1}), &kit.err);
        kit.fs = &fsys_real;
        assert_true(file_is(kit.target, at(TIP - from + 1)));
        assert_true(kit.report.reused_bytes > 0);
    }
}

static void test_dry_run(void **state)
{
    uint64_t bytes;

    (void)state;
    put_old(at(9));
    assert_ok_err(restore((struct restore_opts){.in_place = true, .dry_run = true}), &kit.err);
    bytes = kit.report.bytes_read;
    assert_in_range(bytes, 1, kit.full / 3);
    assert_in_range(kit.report.reused_bytes, kit.full / 2, kit.full * 2);
    assert_true(file_is(kit.target, at(9)));
    assert_ok_err(restore((struct restore_opts){.force = true, .dry_run = true}), &kit.err);
    assert_int_equal(kit.report.reused_bytes, 0);
    assert_in_range(kit.report.bytes_read, 2 * bytes, kit.full * 2);
    remove_target();
    assert_ok_err(restore((struct restore_opts){.with_state = true, .by_txid = true, .txid = 8}), &kit.err);
    assert_ok_err(restore((struct restore_opts){.in_place = true, .dry_run = true}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 8);
    assert_in_range(kit.report.bytes_read, 1, 150000);
}

/* --- interrupted -----------------------------------------------------------------------------------------------------
 */

/* The network goes at every request in turn: what the next restore reads is what was missing. */
static void test_network(void **state)
{
    uint64_t least = FAR;
    long n, left = 0;

    (void)state;
    for (n = 1;; n++) {
        struct rc rc = restore_with((struct restore_opts){0}, n);
        uint64_t first = kit.report.bytes_read;

        if (!rc_failed(rc))
            break;
        assert_int_equal(rc.code, E_NETWORK);
        assert_int_equal(count_left(), kit.report.left[0] != 0);
        left += kit.report.left[0] != 0;
        assert_int_equal(access(kit.target, F_OK), -1);
        assert_ok_err(restore((struct restore_opts){0}), &kit.err);
        assert_restored(TIP, kit.full + 300000);
        /* Twice: page hashes, and the indexes. */
        assert_in_range(first + kit.report.bytes_read, kit.full, kit.full + 400000);
        least = kit.report.bytes_read < least ? kit.report.bytes_read : least;
        remove_target();
    }
    assert_in_range(n, 8, 40);
    assert_in_range(left, 4, n);
    assert_in_range(least, 1, 60000); /* all but the last segment was there */
}

/* Killed at each of its writes. */
static void test_killed(void **state)
{
    uint64_t least = FAR;
    bool killed = true;
    long n;

    (void)state;
#ifdef __SANITIZE_THREAD__
    check_skip("the sanitizer loses its way among the threads of a child of a process that had some");
#endif
    for (n = 1; killed; n += n < 40 ? 3 : 1) {
        int status;
        pid_t pid;

        remove_target();
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fsys f;

            fault_fsys_init(&f, FAULT_KILL, n, EIO);
            f.ops = FAULT_CHANGES;
            kit.fs = &f.fs;
            _exit(rc_failed(restore((struct restore_opts){0})) ? 1 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (killed && access(kit.target, F_OK) != 0) {
            assert_ok_err(restore((struct restore_opts){0}), &kit.err);
            assert_restored(TIP, kit.full + 300000);
            least = kit.report.bytes_read < least ? kit.report.bytes_read : least;
        }
    }
    assert_in_range(n, 10, 400);
    assert_in_range(least, 1, kit.full / 2);
}

/* What was left is of another target, of another history, or rubbish. */
static void test_other_target(void **state)
{
    (void)state;
    assert_int_equal(restore_with((struct restore_opts){.by_txid = true, .txid = 4}, 9).code, E_NETWORK);
    assert_int_equal(count_left(), 1);
    assert_ok_err(restore((struct restore_opts){.by_txid = true, .txid = 2}), &kit.err);
    assert_restored(2, kit.full);
    remove_target();
    kit.now = &kit.h[1];
    assert_int_equal(restore_with((struct restore_opts){0}, 9).code, E_NETWORK);
    assert_int_equal(count_left(), 1);
    kit.now = &kit.h[0];
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_in_range(kit.report.reused_bytes, 0, 4 * PAGE_SIZE); /* any SQLite database has such pages */
    assert_restored(TIP, kit.full + 300000);
}

/* A left-over that says that it is a whole state, rightly or not. */
static void leave_state(const struct make_history_state *s, uint64_t txid, const struct nonce *database)
{
    struct image_left_note note = {*database, 1, txid, s->checksum, PAGE_SIZE, s->page_count};
    struct image *im = NULL;

    assert_ok_err(image_create(&im, &fsys_real, kit.target, PAGE_SIZE, s->page_count, &kit.err), &kit.err);
    assert_ok_err(image_put(im, 1, s->image, s->page_count, &kit.err), &kit.err);
    assert_ok_err(image_leave(im, &note, &kit.err), &kit.err);
    image_free(im);
}

static void test_notes(void **state)
{
    (void)state;
    leave_state(at(7), 7, &kit.h[0].database);
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 7);
    assert_restored(TIP, 200000);
    remove_target();
    leave_state(at(7), 8, &kit.h[0].database);
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 0);
    assert_restored(TIP, kit.full + 300000);
    remove_target();
    leave_state(at(7), 7, &kit.h[1].database);
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 0);
    assert_restored(TIP, kit.full + 300000);
}

/* --- keeping the old one
 * ---------------------------------------------------------------------------------------------- */

static void test_keep_old(void **state)
{
    char first[ERR_MSG_SIZE];

    (void)state;
    put_old(at(3));
    assert_ok_err(restore((struct restore_opts){.in_place = true, .keep_old = true}), &kit.err);
    assert_true(kit.report.replaced);
    assert_true(file_is(kit.target, at(TIP)));
    assert_true(file_is(kit.report.kept, at(3)));
    assert_int_equal(strncmp(kit.report.kept, kit.target, strlen(kit.target)), 0);
    memcpy(first, kit.report.kept, sizeof first);
    assert_ok_err(
        restore((struct restore_opts){.force = true, .keep_old = true, .by_txid = true, .txid = 2}), &kit.err);
    assert_string_not_equal(kit.report.kept, first);
    assert_true(file_is(kit.report.kept, at(TIP)));
    assert_true(file_is(first, at(3)));
    assert_true(file_is(kit.target, at(2)));
    remove_target();
    assert_ok_err(restore((struct restore_opts){.force = true, .keep_old = true}), &kit.err);
    assert_false(kit.report.replaced);
    assert_int_equal(kit.report.kept[0], 0);
}

/* --- failing file operations
 * ------------------------------------------------------------------------------------------ */

static const struct restore_opts careful = {.in_place = true, .keep_old = true, .with_state = true};

static void assert_old_or_new(long n)
{
    if (access(kit.target, F_OK) != 0 || (!file_is(kit.target, at(9)) && !file_is(kit.target, at(TIP)))) {
        print_error("fault %ld: neither the old file nor the new one\n", n);
        fail();
    }
}

static void fail_at_every_call(enum fault_mode mode, int sys)
{
    long n, failed = 0;

    for (n = 1;; n += n < 100 ? 1 : 7) {
        struct fault_fsys f;
        struct rc rc;

        put_old(at(9));
        fault_fsys_init(&f, mode, n, sys);
        kit.fs = &f.fs;
        rc = restore(careful);
        kit.fs = &fsys_real;
        assert_int_equal(f.open_fds, 0);
        failed += rc_failed(rc);
        assert_old_or_new(n);
        if (!rc_failed(rc))
            assert_true(file_is(kit.target, at(TIP)));
        if (kit.report.kept[0] != 0)
            assert_true(file_is(kit.report.kept, at(9)));
        if (f.fired == 0)
            break;
    }
    assert_in_range(n, 40, 2000);
    assert_in_range(failed, 15, n);
}

static void test_fault_once(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_ONCE, EIO);
}

static void test_disk_full_for_ever(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_FOREVER, ENOSPC);
}

/* A crash with the kept name there, or not yet: the old file is there under the old name. */
static void test_crash_over_old(void **state)
{
    bool killed = true;
    long n;

    (void)state;
#ifdef __SANITIZE_THREAD__
    check_skip("the sanitizer loses its way among the threads of a child of a process that had some");
#endif
    for (n = 1; killed; n += n < 20 ? 2 : 1) {
        int status;
        pid_t pid;

        put_old(at(9));
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fsys f;

            fault_fsys_init(&f, FAULT_KILL, n, EIO);
            f.ops = FAULT_CHANGES;
            kit.fs = &f.fs;
            _exit(rc_failed(restore(careful)) ? 1 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        assert_old_or_new(n);
        if (n % 5 == 0) {
            assert_ok_err(restore(careful), &kit.err);
            assert_true(file_is(kit.target, at(TIP)));
            assert_int_equal(count_left(), 0);
        }
    }
    assert_in_range(n, 15, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_pairs, clean),
        cmocka_unit_test_setup(test_old_file, clean),
        cmocka_unit_test_setup(test_known_state, clean),
        cmocka_unit_test_setup(test_going_back, clean),
        cmocka_unit_test_setup(test_damaged_file, clean),
        cmocka_unit_test_setup(test_cut_and_extended, clean),
        cmocka_unit_test_setup(test_foreign_file, clean),
        cmocka_unit_test_setup(test_older_format, clean),
        cmocka_unit_test_setup(test_state_that_lies, clean),
        cmocka_unit_test_setup(test_table_that_lies, clean),
        cmocka_unit_test_setup(test_log_of_the_old, clean),
        cmocka_unit_test_setup(test_in_use, clean),
        cmocka_unit_test_setup(test_clone, clean),
        cmocka_unit_test_setup(test_dry_run, clean),
        cmocka_unit_test_setup(test_network, clean),
        cmocka_unit_test_setup(test_killed, clean),
        cmocka_unit_test_setup(test_other_target, clean),
        cmocka_unit_test_setup(test_notes, clean),
        cmocka_unit_test_setup(test_keep_old, clean),
        cmocka_unit_test_setup(test_fault_once, clean),
        cmocka_unit_test_setup(test_disk_full_for_ever, clean),
        cmocka_unit_test_setup(test_crash_over_old, clean),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
