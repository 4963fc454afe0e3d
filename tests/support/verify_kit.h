/* SPDX-License-Identifier: Apache-2.0 */
/* verify_kit - for tests: a history built by hand in which something is damaged, and what a verification says of it. */
#ifndef VERIFY_KIT_H
#define VERIFY_KIT_H

#include "check.h"

#include "fault_store.h"
#include "make_history.h"
#include "restore.h"
#include "session.h"
#include "store_wait.h"
#include "verify.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE_SIZE = 1024, PATH_SIZE = 1024, FORK = 13, KEYS_MAX = 128 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    char target[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h;
    struct verify_opts opts;
    struct verify_report report;
    struct restore_report restored;
    struct err err;
    char *keys[KEYS_MAX];
    size_t key_count;
} kit;

/* --- a history -----------------------------------------------------------------------------------------------------
 */

static inline int on_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)where;
    if (kind == FTW_F) {
        assert_true(kit.key_count < KEYS_MAX);
        kit.keys[kit.key_count++] = strdup(path + strlen(kit.root) + 1);
    }
    return 0;
}

static inline int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void insert(unsigned flags)
{
    char sql[160];
    struct make_history *h = &kit.h;

    (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES(NULL, %zu, randomblob(%zu))", h->count, h->count * 37 % 900);
    make_history_sql(h, sql, flags);
}

static inline void merge(uint64_t base, uint64_t txid, unsigned level)
{
    struct make_history *h = &kit.h;

    make_history_merge(
        h, level, make_history_find(h, 1, base), make_history_find(h, 1, txid), make_history_find(h, 1, txid)->time_ms);
}

/* Timeline 1: 1 to 20, with merges, a resync at 14 and a new beginning at 16.  2 follows it.  3 leaves 1 at 13, inside
 * of a segment, with a large transaction at its end; 4 leaves 3. */
static inline void build(void)
{
    struct make_history *h = &kit.h;

    make_history_init(h, kit.root, PAGE_SIZE);
    make_history_timeline(h, 0, 0);
    make_history_sql(h, "CREATE TABLE t(id INTEGER PRIMARY KEY, n, b); CREATE INDEX i ON t(n)", SEG_SNAPSHOT);
    make_history_snapshot(h);
    for (unsigned txid = 2; txid <= 20; txid++) {
        insert(txid == 14 ? SEG_RESYNC : txid == 16 ? SEG_SNAPSHOT : 0);
        if (txid == 10 || txid == 16)
            make_history_snapshot(h);
        else if (txid % 3 == 0)
            make_history_cut(h);
        if (txid == 6 || txid == 9)
            merge(txid == 6 ? 1 : 6, txid, 1);
        if (txid == 9)
            merge(1, 9, 2);
        if (txid == 10 || txid == 12)
            merge(txid == 10 ? 9 : 10, txid, 1);
    }
    make_history_cut(h);
    make_history_seal(h, 2);
    make_history_timeline(h, 1, 20);
    for (unsigned txid = 21; txid <= 25; txid++)
        insert(0);
    make_history_cut(h);
    make_history_seal(h, 3);
    make_history_timeline(h, 1, FORK);
    insert(0);
    insert(0);
    make_history_cut(h);
    make_history_sql(h, "INSERT INTO t VALUES(NULL, 0, randomblob(9500000))", 0);
    make_history_snapshot(h);
    make_history_sql(h, "DELETE FROM t WHERE n = 0; VACUUM", 0);
    make_history_snapshot(h);
    make_history_seal(h, 4);
    make_history_timeline(h, 3, 17);
    insert(0);
    make_history_cut(h);
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
    build();
    assert_true(kit.h.parts >= 2);
    assert_int_equal(nftw(kit.root, on_file, 16, FTW_PHYS), 0);
    qsort(kit.keys, kit.key_count, sizeof kit.keys[0], by_name);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    verify_fini(&kit.report);
    for (size_t i = 0; i < kit.key_count; i++)
        free(kit.keys[i]);
    make_history_fini(&kit.h);
    store_wait_unscratch(kit.dir);
    return 0;
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

static inline void path_of(char out[PATH_SIZE], const char *key)
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", kit.root, key);
}

static inline struct buf read_key(const char *key)
{
    char path[PATH_SIZE];
    struct buf b;

    path_of(path, key);
    buf_init(&b, 1 << 26);
    assert_ok_err(fsys_read_file(&fsys_real, path, &b, &kit.err), &kit.err);
    return b;
}

static inline void write_key(const char *key, const void *data, size_t n)
{
    char path[PATH_SIZE];
    int fd;

    path_of(path, key);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(close(fd), 0);
}

static inline void remove_key(const char *key)
{
    char path[PATH_SIZE];

    path_of(path, key);
    assert_int_equal(unlink(path), 0);
}

static inline bool is_document(const char *key)
{
    return strstr(key, ".json") != NULL;
}

/* --- looking -------------------------------------------------------------------------------------------------------
 */

static inline struct rc run_verify(void *ctx, struct work *w, struct store *s, struct err *err)
{
    (void)ctx;
    return verify_run(w, s, &kit.opts, &kit.report, err);
}

static inline void verify(void)
{
    verify_fini(&kit.report);
    assert_ok_err(session_run(&fsys_real, kit.url, run_verify, NULL, &kit.err), &kit.err);
}

static inline void print_findings(void)
{
    for (size_t i = 0; i < kit.report.finding_count; i++)
        print_error("  %s %s: %s\n", verify_answer_name(kit.report.findings[i].answer), kit.report.findings[i].key,
            kit.report.findings[i].text);
}

/* A snapshot that is not there has no time. */
static inline bool names(const struct verify_finding *f, const char *key)
{
    size_t n = strlen(f->key);

    return strcmp(f->key, key) == 0
           || (n > 4 && strcmp(f->key + n - 4, "-...") == 0 && strncmp(f->key, key, n - 3) == 0);
}

/* The report names these and nothing else. */
static inline void assert_findings(const char *what, enum verify_answer answer, const char *const *keys, size_t count)
{
    bool same = kit.report.finding_count == count;

    for (size_t i = 0; same && i < count; i++) {
        bool found = false;

        for (size_t k = 0; k < count; k++)
            found = found || (names(&kit.report.findings[k], keys[i]) && kit.report.findings[k].answer == answer);
        same = found;
    }
    if (same)
        return;
    print_error("%s: expected %zu %s:", what, count, verify_answer_name(answer));
    for (size_t i = 0; i < count; i++)
        print_error(" %s", keys[i]);
    print_error("\n");
    print_findings();
    fail();
}

static inline void assert_finding(const char *what, enum verify_answer answer, const char *key)
{
    assert_findings(what, answer, &key, 1);
}

/* --- restores against the report ------------------------------------------------------------------------------------
 */

static inline struct rc run_restore(void *ctx, struct work *w, struct store *s, struct err *err)
{
    return restore_run(w, s, &fsys_real, ctx, &kit.restored, err);
}

static inline bool can_restore(const struct make_history_state *s)
{
    struct restore_opts opts = {
        .output = kit.target, .by_txid = true, .txid = s->txid, .timeline = s->timeline, .force = true};
    struct rc rc = session_run(&fsys_real, kit.url, run_restore, &opts, &kit.err);

    (void)unlink(kit.target);
    if (rc_failed(rc) && rc.code != E_CORRUPT && rc.code != E_NOTFOUND)
        assert_ok_err(rc, &kit.err);
    return !rc_failed(rc);
}

static inline bool reported(const struct make_history_state *s)
{
    for (size_t i = 0; i < kit.report.timeline_count; i++) {
        const struct verify_timeline *t = &kit.report.timelines[i];

        for (size_t k = 0; t->number == s->timeline && k < t->range_count; k++)
            if (s->txid >= t->ranges[k].first_txid && s->txid <= t->ranges[k].last_txid)
                return true;
    }
    return false;
}

static inline bool reported_lost(const struct make_history_state *s)
{
    for (size_t i = 0; i < kit.report.timeline_count; i++) {
        const struct verify_timeline *t = &kit.report.timelines[i];

        for (size_t k = 0; t->number == s->timeline && k < t->loss_count; k++)
            if (s->txid >= t->losses[k].first_txid
                && (t->losses[k].last_txid == 0 || s->txid <= t->losses[k].last_txid))
                return true;
    }
    return false;
}

static inline void assert_restorable_as_reported(const char *what)
{
    for (size_t i = 0; i < kit.h.count; i++) {
        const struct make_history_state *s = &kit.h.states[i];
        bool can = can_restore(s);

        if (can == reported(s) && !(can && reported_lost(s)))
            continue;
        print_error("%s: txid %" PRIu64 " of timeline %" PRIu32 " can %sbe restored (%s), the report says otherwise\n",
            what, s->txid, s->timeline, can ? "" : "not ", can ? "" : kit.err.msg);
        print_findings();
        fail();
    }
}

#endif
