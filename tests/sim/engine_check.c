/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include "prune.h"
#include "restore.h"
#include "store_dir.h"
#include "strx.h"

#include <dirent.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct judge {
    struct work_item item; /* must be first */
    struct engine_world *w;
    struct work *work;
    struct store *store;
    char target[ENGINE_PATH_SIZE];
    void (*fn)(struct judge *j);
    const void *arg;
    bool done;
};

static int64_t now_of(const struct engine_world *w)
{
    return (int64_t)atomic_load(&w->clock.wall_ms);
}

/* --- one state ------------------------------------------------------------------------------------------------------
 */

static uint64_t column(sqlite3_stmt *s, int i)
{
    return (uint64_t)sqlite3_column_int64(s, i);
}

/* The application's commit that this file is the state of; false: it is none. */
static bool read_state(const char *path, uint64_t *number, uint64_t *digest, bool *whole)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    bool good;

    *digest = 0;
    good = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK
           && sqlite3_prepare_v2(db, "SELECT n FROM meta", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW;
    *number = good ? column(s, 0) : 0;
    (void)sqlite3_finalize(s); /* repeats the step's result */
    s = NULL;
    good = good && sqlite3_prepare_v2(db, "SELECT id, v, length(pad) FROM t", -1, &s, NULL) == SQLITE_OK;
    while (good && sqlite3_step(s) == SQLITE_ROW)
        *digest += engine_app_mix(column(s, 0), column(s, 1), column(s, 2));
    (void)sqlite3_finalize(s);
    s = NULL;
    *whole = good && sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &s, NULL) == SQLITE_OK
             && sqlite3_step(s) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    return good;
}

/* Commits are between those that were acknowledged before and after. */
static void judge_place(struct engine_world *w, uint32_t timeline, uint64_t txid, uint64_t number)
{
    for (size_t i = 0; i < w->mark_count; i++) {
        const struct engine_mark *m = &w->marks[i];

        if (m->timeline != timeline)
            continue;
        if ((m->txid <= txid && number < m->number) || (m->txid >= txid && number > m->number))
            engine_wrong(w, "txid %" PRIu64 " of timeline %u is commit %" PRIu64 ", but txid %" PRIu64 " was %" PRIu64,
                txid, timeline, number, m->txid, m->number);
    }
}

void engine_judge_file(struct engine_world *w, const char *path, uint32_t timeline, uint64_t txid, const char *why)
{
    uint64_t number, digest;
    bool whole;

    if (!read_state(path, &number, &digest, &whole) || !whole || number > w->number || digest != w->digests[number])
        engine_wrong(
            w, "txid %" PRIu64 " of timeline %u, %s: not the state of commit %" PRIu64, txid, timeline, why, number);
    judge_place(w, timeline, txid, number);
}

static void judge_restore(struct judge *j, uint32_t timeline, uint64_t txid, const char *why)
{
    const struct restore_opts opts = {
        .output = j->target, .by_txid = true, .txid = txid, .timeline = timeline, .parallel = 1, .force = true};
    struct restore_report report = {0};
    struct err err;

    j->w->restores++;
    if (rc_failed(restore_run(j->work, j->store, &fsys_real, &opts, &report, &err))) {
        engine_wrong(j->w, "txid %" PRIu64 " of timeline %u, %s, is gone: %s", txid, timeline, why, err.msg);
        return;
    }
    if (report.warning[0] != 0)
        engine_wrong(j->w, "txid %" PRIu64 " of timeline %u, %s: %s", txid, timeline, why, report.warning);
    engine_judge_file(j->w, j->target, timeline, txid, why);
}

/* --- what is promised -----------------------------------------------------------------------------------------------
 */

static void forget(struct engine_world *w, int64_t now_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < w->promise_count; i++)
        if (w->promises[i].until_ms > now_ms)
            w->promises[n++] = w->promises[i];
    w->promise_count = n;
}

static bool is_promised(const struct engine_world *w, const struct retention_point *p)
{
    for (size_t i = 0; i < w->promise_count; i++)
        if (w->promises[i].timeline == p->timeline && w->promises[i].txid == p->txid
            && w->promises[i].until_ms >= p->until_ms)
            return true;
    return false;
}

static void remember(struct engine_world *w, const struct retention *d)
{
    for (size_t i = 0; i < d->point_count; i++) {
        const struct retention_point *p = &d->points[i];

        if (p->lost)
            engine_wrong(w, "txid %" PRIu64 " of timeline %u, a %s, cannot be restored", p->txid, p->timeline,
                retention_class_name(p->why));
        if (p->until_ms != 0 && !is_promised(w, p) && w->promise_count < ENGINE_PROMISES_MAX)
            w->promises[w->promise_count++] = (struct engine_promise){p->timeline, p->txid, p->until_ms};
    }
}

static void judge_promise(struct judge *j, const struct engine_promise *p)
{
    char until[STRX_TIME_SIZE], now[STRX_TIME_SIZE], why[160];

    (void)snprintf(why, sizeof why, "promised until %s, at %s", strx_format_time(p->until_ms, until),
        strx_format_time(now_of(j->w), now));
    judge_restore(j, p->timeline, p->txid, why);
}

/* What the policy says by itself, whatever the code under test makes of it: every commit of the exact part. */
static void judge_exact(struct judge *j, bool all)
{
    const struct engine_world *w = j->w;
    const int64_t edge_ms = now_of(w) - (int64_t)w->policy.exact_ms;
    size_t within = 0;

    for (size_t i = 0; i < w->mark_count; i++)
        within += w->marks[i].time_ms >= edge_ms;
    for (size_t i = 0; i < w->mark_count && w->wrong[0] == 0; i++)
        if (w->marks[i].time_ms >= edge_ms && engine_pick(j->w, all ? 1 + within / 40 : 1 + within / 4) == 0)
            judge_restore(j, w->marks[i].timeline, w->marks[i].txid, "of the exact part");
}

static void judge_newest(struct judge *j)
{
    const struct restore_opts opts = {.output = j->target, .parallel = 1, .force = true, .dry_run = true};
    struct restore_report report = {0};
    struct err err;

    if (j->w->tip == 0)
        return;
    judge_restore(j, j->w->timeline, j->w->tip, "the last that was acknowledged");
    if (rc_failed(restore_run(j->work, j->store, &fsys_real, &opts, &report, &err)))
        engine_wrong(j->w, "no plan for the newest state: %s", err.msg);
    else if (report.object_count > ENGINE_OBJECTS_MAX)
        engine_wrong(j->w, "the newest state takes %zu objects", report.object_count);
    if (report.object_count > j->w->most_objects)
        j->w->most_objects = report.object_count;
}

/* --- what is left ---------------------------------------------------------------------------------------------------
 */

static size_t count_files(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t n = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of our own */
        char path[1024];

        if (entry->d_name[0] == '.' || snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= 1024)
            continue;
        n += entry->d_type == DT_DIR ? count_files(path) : 1;
    }
    (void)closedir(dir);
    return n;
}

uint64_t engine_object_count(const struct engine_world *w)
{
    return count_files(w->root);
}

static bool prune(struct judge *j, bool dry_run, struct prune_report *report)
{
    struct engine_world *w = j->w;
    const struct prune_opts opts = {
        .policy = w->policy, .grace_ms = PRUNE_GRACE_MS, .local_ms = now_of(w), .dry_run = dry_run};
    struct err err;

    if (!rc_failed(prune_run(j->work, j->store, &opts, report, &err)))
        return true;
    engine_wrong(w, "prune: %s", err.msg);
    return false;
}

static void tell_more(struct engine_world *w, const struct prune_report *second)
{
    const struct retention *d = &second->decision;
    layout_text key = "";

    if (d->drop_count > 0)
        layout_text_of(key, &d->drops[0].key);
    engine_wrong(w, "a second prune found %" PRIu64 " objects to delete and %zu notes to write: %s", second->deleted,
        d->range_count, key);
}

/* Documents and notes on what was pruned are not counted as kept. */
static void judge_rest(struct judge *j, const struct prune_report *first)
{
    struct prune_report second = {0};
    char path[ENGINE_PATH_SIZE + 32];
    size_t others = 0, there;

    for (uint32_t t = 1;; t++) { /* a timeline may have been begun, and nothing more */
        (void)snprintf(path, sizeof path, "%s/t/%08x", j->w->root, t);
        if (access(path, F_OK) != 0)
            break;
        (void)snprintf(path, sizeof path, "%s/t/%08x/pruned", j->w->root, t);
        others += 1 + count_files(path);
    }
    (void)snprintf(path, sizeof path, "%s/t", j->w->root);
    there = count_files(path);
    if (first->now_ms != INT64_MIN && there != first->kept.objects + others)
        engine_wrong(j->w, "%zu objects are left, %" PRIu64 " were to be kept, and %zu documents and notes", there,
            first->kept.objects, others);
    if (prune(j, false, &second) && (second.deleted != 0 || second.decision.range_count != 0))
        tell_more(j->w, &second);
    prune_fini(&second);
}

static void judge_all(struct judge *j)
{
    const struct engine_question *q = j->arg;
    struct engine_world *w = j->w;
    struct prune_report report = {0};

    if (w->tip == 0)
        return;
    if (prune(j, !q->prune, &report)) {
        forget(w, now_of(w)); /* no prune has counted from a later time */
        remember(w, &report.decision);
        if (q->prune)
            judge_rest(j, &report);
    }
    prune_fini(&report);
    for (size_t i = 0; i < w->promise_count && w->wrong[0] == 0; i++)
        if (q->all || engine_pick(w, w->promise_count) < 2)
            judge_promise(j, &w->promises[i]);
    judge_newest(j);
    judge_exact(j, q->all);
}

/* --- the next database ----------------------------------------------------------------------------------------------
 */

static void restore_next(struct judge *j)
{
    const uint64_t *txid = j->arg;
    struct restore_opts opts = {
        .output = j->w->db, .by_txid = *txid != 0, .txid = *txid, .with_state = true, .parallel = 1};
    struct restore_report report = {0};
    struct err err;

    if (rc_failed(restore_run(j->work, j->store, &fsys_real, &opts, &report, &err)))
        engine_wrong(j->w, "the state to go on with, txid %" PRIu64 ": %s", *txid, err.msg);
}

/* --- running it -----------------------------------------------------------------------------------------------------
 */

static void run_judge(struct work_item *item)
{
    struct judge *j = (struct judge *)item;

    j->fn(j);
}

static void on_judged(struct work_item *item)
{
    ((struct judge *)item)->done = true;
}

struct order {
    void (*fn)(struct judge *j);
    const void *arg;
};

static void judge(struct engine_world *w, const void *arg)
{
    const struct order *order = arg;
    struct judge j = {.item = {.run = run_judge, .done = on_judged}, .w = w, .fn = order->fn, .arg = order->arg};
    uv_loop_t loop;
    struct err err;

    (void)snprintf(j.target, sizeof j.target, "%s/restored.db", w->dir);
    if (uv_loop_init(&loop) != 0 || rc_failed(store_dir_open(&loop, &fsys_real, w->root, &j.store, &err)))
        abort();
    j.work = work_new(&loop, 1);
    work_job(j.work, &j.item);
    turns_use(&w->turns, 1);
    while (!j.done)
        if (!turns_take())
            engine_wrong(w, "the judge waits for nothing"), j.done = true;
}

static void ask(struct engine_world *w, const struct order *order)
{
    const int status = engine_apart(w, judge, order);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        engine_wrong(w, "the judge ended with status %#x", (unsigned)status);
}

void engine_check(struct engine_world *w, const struct engine_question *q)
{
    if (w->wrong[0] == 0)
        ask(w, &(struct order){judge_all, q});
}

void engine_take_over(struct engine_world *w, size_t back)
{
    uint64_t txid = 0;
    size_t n = 0;

    /* One of the newest timeline that is promised: an acknowledged one of the exact part. */
    if (back > 0 && back < w->mark_count) {
        const struct engine_mark *m = &w->marks[w->mark_count - 1 - back];

        if (m->timeline == w->timeline && m->time_ms >= now_of(w) - (int64_t)w->policy.exact_ms)
            txid = m->txid;
    }
    engine_app_close(w);
    engine_app_name_next(w);
    ask(w, &(struct order){restore_next, &txid});
    if (w->wrong[0] != 0)
        return;
    engine_app_open(w);
    engine_app_adopt(w);
    /* What stood still at the end of the old one was the state of later periods, too; now it is not. */
    for (size_t i = 0; i < w->promise_count; i++)
        if (txid == 0 || w->promises[i].txid <= txid)
            w->promises[n++] = w->promises[i];
    w->promise_count = n;
}
