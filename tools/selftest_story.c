/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest_story.h"

#include "alloc.h"
#include "clock.h"
#include "config_replica.h"
#include "interrupt.h"
#include "plain_url.h"
#include "restore.h"
#include "rng.h"
#include "selftest_place.h"
#include "session.h"
#include "strx.h"
#include "verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COPY_TRIES = 20, VERIFY_PATIENCE_MS = 2000, PAUSE_US = 2000 };

/* --- names -------------------------------------------------------------------------------------------------------- */

static struct rc name_places(struct selftest_story *t, struct err *err)
{
    CLEANUP(mem_freep) char *inside = NULL;
    CLEANUP(plain_url_fini) struct plain_url plain = {0};
    struct nonce nonce = nonce_new();
    char text[NONCE_TEXT_SIZE], name[NONCE_TEXT_SIZE + 16];
    const char *parent = t->scratch_dir != NULL ? t->scratch_dir : getenv("TMPDIR");

    (void)snprintf(name, sizeof name, "weir-selftest-%s", nonce_format(&nonce, text)); /* fits */
    t->scratch = mem_printf("%s/%s", parent != NULL && parent[0] != 0 ? parent : "/tmp", name);
    if (t->scratch[0] != '/')
        return rc_raise(err, E_CONFIG, "the folder for scratch files, %s, is not an absolute path", t->scratch);
    t->db = mem_printf("%s/app.db", t->scratch);
    t->socket = mem_printf("%s/control.sock", t->scratch);
    inside = selftest_place_folder_url(t->scratch);
    TRY(settings_find(&t->from, t->fs, t->file, t->source != NULL ? t->source : inside, err));
    TRY(selftest_place_url(t->from.url, t->source != NULL ? name : "replica", &t->url, err));
    t->shown_url = config_replica_redact(t->url);
    if (strncmp(t->url, "file://", 7) != 0)
        return RC_OK;
    TRY(plain_url_parse(t->url, &plain, err));
    t->folder = MOVE(plain.path);
    t->above = selftest_place_above(t->fs, t->folder);
    return RC_OK;
}

struct rc selftest_story_prepare(struct selftest_story *t, struct err *err)
{
    CLEANUP(mem_freep) char *log = NULL;
    int rc = pthread_mutex_init(&t->lock, NULL);

    (void)rc; /* always 0 with glibc */
    TRY(name_places(t, err));
    log = mem_printf("%s/daemon.log", t->scratch);
    TRY(selftest_daemon_fork(&t->daemon,
        &(struct selftest_daemon_plan){
            .fs = t->fs, .db = t->from.db, .path = t->db, .url = t->url, .socket = t->socket, .log_path = log},
        err));
    selftest_print_init(&t->print, t->json);
    return RC_OK;
}

/* --- writing and shipping ----------------------------------------------------------------------------------------- */

static struct rc go_on(struct err *err)
{
    return interrupt_came() != 0 ? rc_raise(err, E_CANCELED, "interrupted") : RC_OK;
}

static struct rc begin(struct selftest_story *t, struct work *w, struct store *s, struct err *err)
{
    if (t->fs->mkdir(t->fs, t->scratch, 0700) != 0)
        return rc_raise_sys(err, errno == ENOENT ? E_CONFIG : rc_from_errno(errno), errno, "make %s", t->scratch);
    t->scratch_made = true;
    TRY(selftest_place_check_empty(w, s, err));
    t->ours = true;
    TRY(go_on(err));
    TRY(selftest_app_open(&t->app, t->db, err));
    TRY(selftest_daemon_go(t->daemon, err));
    TRY(selftest_daemon_ready(t->daemon, t->timeout_ms, err));
    selftest_print_step(&t->print, "begin", NULL, "replicating a scratch database to %s", t->shown_url);
    return RC_OK;
}

/* The daemon commits, too, when it starts the log over: a copy is of a txid when that is the same behind it. */
static struct rc take_point(struct selftest_story *t, struct err *err)
{
    struct selftest_point *p = &t->points[t->point_count];
    uint64_t before = 0;

    p->copy = mem_printf("%s/copy-%zu.db", t->scratch, t->point_count + 1);
    for (int i = 0; i < COPY_TRIES; i++) {
        TRY(go_on(err));
        TRY(selftest_daemon_sync(t->daemon, t->timeout_ms, &before, err));
        TRY(selftest_app_copy(t->app, t->fs, p->copy, &p->size, err));
        TRY(selftest_daemon_sync(t->daemon, t->timeout_ms, &p->txid, err));
        if (p->txid != before)
            continue;
        p->time_ms = clock_wall_ms(&clock_real);
        while (clock_wall_ms(&clock_real) <= p->time_ms)
            (void)usleep(PAUSE_US);
        t->point_count++;
        return RC_OK;
    }
    return rc_raise(
        err, E_BUSY, "copy %s: it changes all the time, and nobody should write to it but this test", t->db);
}

/* The last round is always one of them. */
static void choose_points(bool chosen[SELFTEST_ROUNDS], size_t rounds)
{
    size_t wanted = rounds < SELFTEST_POINTS ? rounds : SELFTEST_POINTS, count = 1;

    memset(chosen, 0, SELFTEST_ROUNDS * sizeof *chosen);
    chosen[rounds - 1] = true;
    while (count < wanted) {
        size_t i = rng_u64() % rounds;

        count += !chosen[i];
        chosen[i] = true;
    }
}

static struct rc write_round(struct selftest_story *t, uint64_t commits, struct err *err)
{
    uint64_t begin_us, txid;

    for (uint64_t i = 0; i < commits; i++) {
        TRY(go_on(err));
        TRY(selftest_app_commit(t->app, err));
    }
    begin_us = clock_mono_us(&clock_real);
    TRY(selftest_daemon_sync(t->daemon, t->timeout_ms, &txid, err));
    t->lags_us[t->lag_count++] = clock_mono_us(&clock_real) - begin_us;
    return RC_OK;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static struct rc write_and_ship(struct selftest_story *t, struct err *err)
{
    const size_t rounds = t->commits < SELFTEST_ROUNDS ? (size_t)t->commits : SELFTEST_ROUNDS;
    const uint64_t begin_ms = clock_mono_ms(&clock_real);
    bool chosen[SELFTEST_ROUNDS];
    char took[STRX_HUMAN_SIZE], size[STRX_HUMAN_SIZE];
    double p50, p99;

    choose_points(chosen, rounds);
    for (size_t i = 0; i < rounds; i++) {
        TRY(write_round(t, t->commits * (i + 1) / rounds - t->commits * i / rounds, err));
        if (chosen[i])
            TRY(take_point(t, err));
    }
    qsort(t->lags_us, t->lag_count, sizeof *t->lags_us, by_number);
    p50 = (double)t->lags_us[t->lag_count / 2] / 1000;
    p99 = (double)t->lags_us[t->lag_count * 99 / 100] / 1000;
    selftest_print_step(&t->print, "write",
        json_pack("{s:I, s:I, s:I, s:I}", "commits", (json_int_t)selftest_app_commits(t->app), "rows",
            (json_int_t)selftest_app_rows(t->app), "bytes", (json_int_t)t->points[t->point_count - 1].size,
            "duration_ms", (json_int_t)(clock_mono_ms(&clock_real) - begin_ms)),
        "%" PRIu64 " commits of %" PRIu64 " rows, a database of %s, in %s", selftest_app_commits(t->app),
        selftest_app_rows(t->app), strx_format_size(t->points[t->point_count - 1].size, size),
        strx_format_duration(clock_mono_ms(&clock_real) - begin_ms, took));
    TRY(selftest_daemon_stop(t->daemon, err));
    selftest_print_step(&t->print, "ship",
        json_pack("{s:I, s:f, s:f, s:I}", "txid", (json_int_t)t->points[t->point_count - 1].txid, "lag_p50_ms", p50,
            "lag_p99_ms", p99, "samples", (json_int_t)t->lag_count),
        "all durable; a commit that is waited for is after %.1f ms (p50), %.1f ms (p99 of %zu)", p50, p99,
        t->lag_count);
    return RC_OK;
}

/* The machine is lost: database, log and local state. */
static struct rc wipe(struct selftest_story *t, struct err *err)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    CLEANUP(mem_freep) char *state = mem_printf("%s-weir", t->db);

    selftest_app_close(t->app);
    t->app = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        CLEANUP(mem_freep) char *path = mem_printf("%s%s", t->db, parts[i]);

        TRY(fsys_remove(t->fs, path, err));
    }
    TRY(selftest_place_remove_folder(t->fs, state, t->scratch, err));
    selftest_print_step(&t->print, "wipe", NULL, "database, log and local state are gone");
    return RC_OK;
}

/* --- restoring ---------------------------------------------------------------------------------------------------- */

/* What was durable and is not there is no "no such backup". */
static struct rc lost(struct err *err)
{
    CLEANUP(mem_freep) char *text = mem_strdup(err->msg);

    return rc_raise(err, E_CORRUPT, "it was durable, and now: %s", text);
}

static struct rc restore_point(struct selftest_story *t, struct work *w, struct store *s, struct restore_opts *opts,
    const struct selftest_point *p, struct err *err)
{
    CLEANUP(mem_freep) struct restore_report *r = mem_new(sizeof *r);
    const char *how = opts->by_txid ? "by its txid" : opts->by_time ? "by its time" : "the newest";
    char size[STRX_HUMAN_SIZE], read[STRX_HUMAN_SIZE], took[STRX_HUMAN_SIZE];
    struct rc rc;

    opts->verify = RESTORE_VERIFY_FULL;
    rc = restore_run(w, s, t->fs, opts, r, err);
    if (rc.code == E_NOTFOUND)
        rc = lost(err);
    TRY(rc);
    if (r->txid != p->txid)
        return rc_raise(
            err, E_CORRUPT, "the state %s is txid %" PRIu64 ", but restored was %" PRIu64, how, p->txid, r->txid);
    TRY(selftest_app_compare(t->fs, p->copy, opts->output, err));
    selftest_print_step(&t->print, "restore",
        json_pack("{s:I, s:s, s:I, s:I, s:I, s:I}", "txid", (json_int_t)r->txid, "how", how, "bytes",
            (json_int_t)p->size, "bytes_read", (json_int_t)r->bytes_read, "objects", (json_int_t)r->object_count,
            "duration_ms", (json_int_t)r->duration_ms),
        "txid %" PRIu64 ", %s: %s from %zu objects with %s in %s; every byte is the same, integrity_check: ok", r->txid,
        how, strx_format_size(p->size, size), r->object_count, strx_format_size(r->bytes_read, read),
        strx_format_duration(r->duration_ms, took));
    return RC_OK;
}

/* The last one in place of the database that was lost, the others beside it. */
static struct rc restore_all(struct selftest_story *t, struct work *w, struct store *s, struct err *err)
{
    const size_t last = t->point_count - 1;

    TRY(restore_point(t, w, s, &(struct restore_opts){.output = t->db, .with_state = true}, &t->points[last], err));
    for (size_t i = 0; i < last; i++) {
        CLEANUP(mem_freep) char *output = mem_printf("%s/restored-%zu.db", t->scratch, i + 1);
        struct restore_opts opts = {.output = output, .by_txid = i > 0, .by_time = i == 0};

        opts.txid = t->points[i].txid;
        opts.time_ms = t->points[i].time_ms;
        TRY(go_on(err));
        TRY(restore_point(t, w, s, &opts, &t->points[i], err));
    }
    return RC_OK;
}

static struct rc judge(const struct verify_report *r, struct err *err)
{
    for (size_t i = 0; i < r->finding_count; i++)
        if (r->findings[i].answer != VERIFY_UNEXPECTED)
            return rc_raise(err, E_CORRUPT, "%s is %s: %s", r->findings[i].key,
                verify_answer_name(r->findings[i].answer), r->findings[i].text);
    return verify_failed(r) ? rc_raise(err, E_CORRUPT, "objects are missing or damaged") : RC_OK;
}

static struct rc verify(struct selftest_story *t, struct work *w, struct store *s, struct err *err)
{
    const struct verify_opts opts = {.patience_ms = VERIFY_PATIENCE_MS};
    CLEANUP(verify_fini) struct verify_report r = {0};
    char read[STRX_HUMAN_SIZE];
    struct rc rc = verify_run(w, s, &opts, &r, err);

    if (rc.code == E_NOTFOUND)
        rc = lost(err);
    TRY(rc);
    TRY(judge(&r, err));
    selftest_print_step(&t->print, "verify",
        json_pack("{s:I, s:I}", "objects", (json_int_t)r.totals[VERIFY_GOOD], "bytes_read", (json_int_t)r.bytes_read),
        "%" PRIu64 " objects with %s, all of them there and whole", r.totals[VERIFY_GOOD],
        strx_format_size(r.bytes_read, read));
    return RC_OK;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* Whose failure it is: the step that did not come to its line. */
static struct rc failed(struct selftest_story *t, const char *step, struct rc rc, struct err *err)
{
    if (!rc_failed(rc))
        return rc;
    if (interrupt_came() != 0)
        rc = rc_raise(err, E_CANCELED, "interrupted");
    selftest_print_failed(&t->print, step, err);
    return rc_wrap(err, "%s", step);
}

static struct rc tell(struct selftest_story *t, struct work *w, struct store *s, struct err *err)
{
    TRY(failed(t, "begin", begin(t, w, s, err), err));
    TRY(failed(t, "write", write_and_ship(t, err), err));
    TRY(failed(t, "wipe", wipe(t, err), err));
    TRY(failed(t, "restore", restore_all(t, w, s, err), err));
    return failed(t, "verify", verify(t, w, s, err), err);
}

static void let_interrupt(struct selftest_story *t, struct work *w, struct store *s)
{
    (void)pthread_mutex_lock(&t->lock); /* cannot fail: nobody takes it twice */
    t->work = w;
    t->store = s;
    (void)pthread_mutex_unlock(&t->lock);
}

static struct rc run(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct selftest_story *t = ctx;
    struct rc rc;

    let_interrupt(t, w, s);
    rc = tell(t, w, s, err);
    let_interrupt(t, NULL, NULL);
    return rc;
}

static void cancel(void *ctx)
{
    store_cancel(ctx);
}

void selftest_story_interrupt(struct selftest_story *t)
{
    (void)pthread_mutex_lock(&t->lock);
    if (t->work != NULL)
        work_on_loop(t->work, cancel, t->store);
    (void)pthread_mutex_unlock(&t->lock);
    selftest_daemon_interrupt(t->daemon);
}

static struct rc session(struct selftest_story *t, session_fn fn, struct err *err)
{
    return session_run_at(t->fs,
        &(struct session_place){.url = t->url, .options = t->from.options, .option_count = t->from.option_count}, fn, t,
        err);
}

struct rc selftest_story_run(struct selftest_story *t, struct err *err)
{
    return session(t, run, err);
}

/* --- afterwards --------------------------------------------------------------------------------------------------- */

static struct rc empty(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct selftest_story *t = ctx;
    uint64_t removed;
    size_t left = 0;
    struct err why;
    struct rc rc = selftest_place_empty(w, s, &removed, &why);

    t->objects_left = true;
    if (rc_failed(rc)) {
        *err = why;
        if (rc_failed(selftest_place_left(w, s, &left, &why)))
            return rc_wrap(err, "remove the scratch replica");
        return rc_wrap(err, "remove the scratch replica, of which %zu%s objects are left", left,
            left == STORE_LIST_MAX ? " or more" : "");
    }
    if (t->folder != NULL)
        TRY(selftest_place_remove_folder(t->fs, t->folder, t->above, err));
    t->objects_left = false;
    selftest_print_step(&t->print, "remove", json_pack("{s:I}", "objects", (json_int_t)removed),
        "%" PRIu64 " objects, nothing is left of them", removed);
    return RC_OK;
}

static struct rc remove_scratch(struct selftest_story *t, struct err *err)
{
    CLEANUP(mem_freep) char *above = NULL;

    if (!t->scratch_made)
        return RC_OK;
    above = selftest_place_above(t->fs, t->scratch);
    TRY(selftest_place_remove_folder(t->fs, t->scratch, above, err));
    t->scratch_made = false;
    return RC_OK;
}

struct rc selftest_story_remove(struct selftest_story *t, struct err *err)
{
    struct rc rc = RC_OK;
    struct err also;

    selftest_daemon_end(t->daemon);
    selftest_app_close(t->app);
    t->app = NULL;
    if (t->keep)
        return RC_OK;
    if (t->ours)
        rc = session(t, empty, err);
    if (rc_failed(rc))
        selftest_print_failed(&t->print, "remove", err);
    if (rc_failed(rc))
        rc_ignore(remove_scratch(t, &also), "the caller sees that it is there, and has something to tell already");
    else
        rc = remove_scratch(t, err);
    return rc;
}

void selftest_story_fini(struct selftest_story *t)
{
    selftest_daemon_free(t->daemon);
    selftest_print_fini(&t->print);
    for (size_t i = 0; i < SELFTEST_POINTS; i++)
        mem_free(t->points[i].copy);
    mem_free(t->url);
    mem_free(t->shown_url);
    mem_free(t->folder);
    mem_free(t->above);
    mem_free(t->scratch);
    mem_free(t->db);
    mem_free(t->socket);
    settings_source_fini(&t->from);
}
