/* SPDX-License-Identifier: Apache-2.0 */
/* restore_kit - for tests: restores of a history built by hand, every state known. */
#ifndef RESTORE_KIT_H
#define RESTORE_KIT_H

#include "check.h"
#include "kill_kit.h"

#include "fault_fsys.h"
#include "local_state.h"
#include "make_history.h"
#include "restore.h"
#include "session.h"
#include "store_wait.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, PATH_SIZE = 2048, FORK = 13 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    char target[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h;
    const struct fsys *fs;
    struct restore_report report;
    struct err err;
    uint64_t found; /* by restore_find_time() */
} kit;

/* --- a history -----------------------------------------------------------------------------------------------------
 */

static inline void insert(unsigned flags)
{
    char sql[160];
    struct make_history *h = &kit.h;

    (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES(NULL, %zu, randomblob(%zu))", h->count, h->count * 37 % 900);
    make_history_sql(h, sql, flags);
}

/* Timeline 1: 1 to 20, with a shrinking at 11, a resync at 14, a new beginning at 16.  2 follows it.  3 leaves at 13.
 */
static inline void build(void)
{
    struct make_history *h = &kit.h;

    make_history_init(h, kit.root, PAGE_SIZE);
    make_history_timeline(h, 0, 0);
    make_history_sql(h, "CREATE TABLE t(id INTEGER PRIMARY KEY, n, b); CREATE INDEX i ON t(n)", SEG_SNAPSHOT);
    make_history_snapshot(h);
    for (unsigned txid = 2; txid <= 20; txid++) {
        if (txid == 11)
            make_history_sql(h, "DELETE FROM t WHERE id % 3 != 0; VACUUM", 0);
        else
            insert(txid == 14 ? SEG_RESYNC : txid == 16 ? SEG_SNAPSHOT : 0);
        if (txid == 10 || txid == 16)
            make_history_snapshot(h);
        else if (txid % 3 == 0)
            make_history_cut(h);
    }
    make_history_cut(h);
    make_history_seal(h, 2);
    make_history_timeline(h, 1, 20);
    for (unsigned txid = 21; txid <= 25; txid++)
        insert(0);
    make_history_cut(h);
    make_history_timeline(h, 1, FORK);
    for (unsigned i = 0; i < 4; i++)
        insert(0);
    make_history_cut(h);
}

static inline int set_up(void **state)
{
    (void)state;
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.root, sizeof kit.root, "%s/r", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    kit.fs = &fsys_real;
    build();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    make_history_fini(&kit.h);
    store_wait_unscratch(kit.dir);
    return 0;
}

/* --- restoring -----------------------------------------------------------------------------------------------------
 */

static inline struct rc run_restore(void *ctx, struct work *w, struct store *s, struct err *err)
{
    return restore_run(w, s, kit.fs, ctx, &kit.report, err);
}

static inline struct rc restore(struct restore_opts opts)
{
    opts.output = kit.target;
    return session_run(&fsys_real, kit.url, run_restore, &opts, &kit.err);
}

/* For killed_at(). */
static inline struct rc restore_on(const struct fsys *fs, void *opts)
{
    kit.fs = fs;
    return restore(*(const struct restore_opts *)opts);
}

static inline void remove_target(void)
{
    char path[PATH_SIZE];
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", kit.target, suffixes[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s-weir", kit.target);
    if (access(path, F_OK) == 0)
        store_wait_unscratch(path);
}

static inline struct buf read_file(const char *path)
{
    struct buf b;

    buf_init(&b, 1 << 24);
    assert_ok_err(fsys_read_file(&fsys_real, path, &b, &kit.err), &kit.err);
    return b;
}

static inline void write_file(const char *path, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(close(fd), 0);
}

static inline bool target_is(const struct make_history_state *s)
{
    struct buf got = read_file(kit.target);
    bool same = got.size == (size_t)s->page_count * PAGE_SIZE && memcmp(got.data, s->image, got.size) == 0;

    buf_fini(&got);
    return same;
}

static inline const struct make_history_state *tip(void)
{
    return &kit.h.states[kit.h.count - 1];
}

/* Nothing of a restore that failed may lie around. */
static inline void assert_only(const char *const *names)
{
    DIR *d = opendir(kit.dir);

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        bool known = strncmp(e->d_name, "t.db", 4) != 0;

        for (size_t i = 0; names[i] != NULL; i++)
            known = known || strcmp(e->d_name, names[i]) == 0;
        if (!known) {
            print_error("%s was left behind\n", e->d_name);
            fail();
        }
    }
    (void)closedir(d);
}

/* What a test that failed has left is nobody's concern. */
static inline int clean(void **state)
{
    (void)state;
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    kit.fs = &fsys_real;
    remove_target();
    return 0;
}

static inline void assert_refused(struct restore_opts opts, enum err_code code, const char *msg)
{
    static const char *const names[] = {NULL};

    assert_fails(restore(opts), code);
    if (strstr(kit.err.msg, msg) == NULL) {
        print_error("'%s' is not in '%s'\n", msg, kit.err.msg);
        fail();
    }
    assert_only(names);
}

static inline void copy_file(const char *from, const char *to)
{
    struct buf b = read_file(from);

    write_file(to, b.data, b.size);
    buf_fini(&b);
}

/* A database with commits that are only in its log, as a killed application leaves it. */
static inline void make_old(void)
{
    char live[STORE_WAIT_PATH_SIZE + 16], wal[sizeof live + 8], target_wal[PATH_SIZE];
    sqlite3 *db = NULL;

    remove_target();
    (void)snprintf(live, sizeof live, "%s/live.db", kit.dir);
    (void)snprintf(wal, sizeof wal, "%s-wal", live);
    (void)snprintf(target_wal, sizeof target_wal, "%s-wal", kit.target);
    (void)unlink(live);
    assert_int_equal(sqlite3_open(live, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                         "PRAGMA page_size=512; PRAGMA journal_mode=WAL; CREATE TABLE mine(a); PRAGMA wal_checkpoint;"
                         "INSERT INTO mine VALUES(17); INSERT INTO mine VALUES(25)",
                         NULL, NULL, NULL),
        SQLITE_OK);
    copy_file(live, kit.target);
    copy_file(wal, target_wal);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static inline int on_row(void *ctx, int n, char **values, char **names)
{
    (void)n;
    (void)names;
    *(int *)ctx = values[0] != NULL ? (int)strtol(values[0], NULL, 10) : 0;
    return 0;
}

/* Through SQLite, with whatever logs and journals lie beside it. */
static inline bool old_is_whole(void)
{
    sqlite3 *db = NULL;
    int sum = 0, code;

    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    code = sqlite3_exec(db, "SELECT sum(a) FROM mine", on_row, &sum, NULL);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return code == SQLITE_OK && sum == 42;
}

static inline bool new_is_whole(const struct make_history_state *want)
{
    sqlite3 *db = NULL;
    sqlite3_int64 size = 0;
    unsigned char *image;
    bool same;

    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    image = sqlite3_exec(db, "SELECT count(*) FROM t", NULL, NULL, NULL) == SQLITE_OK
                ? sqlite3_serialize(db, "main", &size, 0)
                : NULL;
    same = image != NULL && size == (sqlite3_int64)want->page_count * PAGE_SIZE
           && memcmp(image, want->image, (size_t)size) == 0;
    sqlite3_free(image);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return same;
}

#endif
