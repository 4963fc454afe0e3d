/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_steps - small histories in which one thing happens: a first start, a fold, a merge, a snapshot, a prune, a start
 * without local state, a restore.  It is killed at every change of a file that it makes, of its own or of the replica;
 * and each of its requests is refused, or carried out with the answer lost, once or from there on until it is killed.
 *
 *     sim_steps [--stride N]
 *
 * After each, every promised state restores with what the application had; and when the daemon has lived once more,
 * too, and a prune leaves nothing that is not needed.  Nothing is drawn but by a seed that is always the same.  With a
 * stride only each N-th point gets that second life.  TAP, one line a thing and way to fail.
 */
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS_MAX = 3000 };

struct thing {
    const char *name;
    void (*prepare)(struct engine_world *w);
    struct engine_script life;
    uint64_t (*how_often)(const struct engine_world *w); /* it happened */
};

static int number, failures;
static long stride = 1;

static const struct engine_question all_states = {.all = true}, all_and_rest = {.all = true, .prune = true};

/* --- what is tried --------------------------------------------------------------------------------------------------
 */

static void must_end(struct engine_world *w, const struct engine_script *s)
{
    if (engine_life(w, s) != ENGINE_ENDED)
        engine_wrong(w, "an undisturbed life did not end in order");
}

static void prepare_nothing(struct engine_world *w)
{
    engine_app_commit(w);
}

static void prepare_fold(struct engine_world *w)
{
    w->fold_count = 2;
    w->fold_delete_after_ms = (uint64_t)ENGINE_HOUR;
    must_end(w, &(struct engine_script){.commits = 2});
}

static void prepare_merge(struct engine_world *w)
{
    w->merge_ms = (uint64_t)ENGINE_HOUR;
    w->merge_long_ms = 3 * (uint64_t)ENGINE_HOUR;
    w->snapshot_ms = 30 * (uint64_t)ENGINE_DAY;
    w->gap_ms = 2 * ENGINE_HOUR;
    for (int i = 0; i < 40; i++) /* or a merge would not be smaller than a snapshot */
        engine_app_commit(w);
    must_end(w, &(struct engine_script){.commits = 3});
}

static void prepare_snapshot(struct engine_world *w)
{
    w->snapshot_ms = (uint64_t)ENGINE_HOUR;
    must_end(w, &(struct engine_script){.commits = 2});
}

static void prepare_prune(struct engine_world *w)
{
    prepare_merge(w);
    w->fold_count = 2;
    w->snapshot_ms = (uint64_t)ENGINE_DAY;
    w->gap_ms = 3 * ENGINE_HOUR;
    w->policy = (struct retention_policy){(uint64_t)ENGINE_HOUR, {3, 0, 0}};
    must_end(w, &(struct engine_script){.commits = 20});
}

static void prepare_lost(struct engine_world *w)
{
    must_end(w, &(struct engine_script){.commits = 3});
    engine_again_lose_state(w);
    engine_app_commit(w);
}

static uint64_t starts(const struct engine_world *w)
{
    return w->mark_count;
}

static uint64_t folds(const struct engine_world *w)
{
    return w->folds;
}

static uint64_t merges(const struct engine_world *w)
{
    return w->merges;
}

static uint64_t snapshots(const struct engine_world *w)
{
    return w->snapshots;
}

static uint64_t pruned(const struct engine_world *w)
{
    return w->pruned;
}

static const struct thing things[] = {
    {"a first start", prepare_nothing, {.commits = 1}, starts},
    {"a fold", prepare_fold, {.commits = 3, .idle_ms = 2 * ENGINE_HOUR}, folds},
    {"a merge", prepare_merge, {.commits = 3, .idle_ms = 2 * ENGINE_HOUR}, merges},
    {"a snapshot", prepare_snapshot, {.commits = 1, .idle_ms = 2 * ENGINE_HOUR}, snapshots},
    {"a prune", prepare_prune, {.commits = 8, .idle_ms = ENGINE_HOUR}, pruned},
    {"a start without local state", prepare_lost, {.commits = 1}, starts},
};

/* --- one point ------------------------------------------------------------------------------------------------------
 */

static struct engine_world *world_for(const struct thing *t)
{
    struct engine_world *w = engine_world_new(1);

    w->page_size = 512;
    w->policy = (struct retention_policy){(uint64_t)ENGINE_DAY, {2, 0, 0}};
    w->gap_ms = ENGINE_HOUR / 4;
    engine_app_create(w);
    t->prepare(w);
    return w;
}

static void judge(struct engine_world *w, const struct engine_script *undisturbed, long n)
{
    engine_check(w, &all_states);
    if (w->wrong[0] != 0 || n % stride != 0)
        return;
    must_end(w, undisturbed);
    engine_check(w, &all_and_rest);
}

/* Once without a fault: what it does, and in how many changes and requests. */
static void measure(
    struct engine_world *w, const struct thing *t, struct engine_saved *saved, long *changes, long *requests)
{
    const uint64_t before = t->how_often(w);

    must_end(w, &t->life);
    engine_check(w, &all_and_rest);
    *changes = w->last_changes;
    *requests = w->last_requests;
    if (w->wrong[0] == 0 && t->how_often(w) == before)
        engine_wrong(w, "%s did not happen", t->name);
    if (*changes < 5 || *changes > POINTS_MAX || *requests < 3 || *requests > POINTS_MAX)
        engine_wrong(w, "%ld changes and %ld requests", *changes, *requests);
    engine_again_back(w, saved);
}

static void report(const struct engine_world *w, const char *what, const char *way, long points)
{
    if (w->wrong[0] != 0)
        (void)printf("# %s\n", w->wrong);
    failures += w->wrong[0] != 0;
    (void)printf("%sok %d - %s, %s: %ld points\n", w->wrong[0] == 0 ? "" : "not ", ++number, what, way, points);
    (void)fflush(stdout);
}

static void run_kills(struct engine_world *w, const struct thing *t, const struct engine_saved *saved, long changes)
{
    for (long n = 1; n <= changes && w->wrong[0] == 0; n++) {
        struct engine_script s = t->life;

        s.kill_at = n;
        if (engine_life(w, &s) != ENGINE_KILLED)
            engine_wrong(w, "it was not killed");
        judge(w, &t->life, n);
        if (w->wrong[0] != 0)
            engine_wrong_at(w, "killed at change", n);
        else
            engine_again_back(w, saved);
    }
    report(w, t->name, "killed at every change", changes);
}

static void run_faults(struct engine_world *w, const struct thing *t, const struct engine_saved *saved, long requests,
    enum fault_store_kind kind, bool forever)
{
    char way[80];

    (void)snprintf(way, sizeof way, "every request %s%s", kind == FAULT_STORE_LOST ? "without its answer" : "refused",
        forever ? " for ever" : "");
    for (long n = 1; n <= requests && w->wrong[0] == 0; n++) {
        struct engine_script s = t->life;

        s.fault = kind;
        s.fault_at = n;
        s.fault_forever = forever;
        if (engine_life(w, &s) == ENGINE_FENCED)
            engine_wrong(w, "the only writer is fenced");
        judge(w, &t->life, n);
        if (w->wrong[0] != 0)
            engine_wrong_at(w, way, n);
        else
            engine_again_back(w, saved);
    }
    report(w, t->name, way, requests);
}

static void run_thing(const struct thing *t)
{
    static const enum fault_store_kind kinds[] = {FAULT_STORE_REFUSED, FAULT_STORE_LOST};
    struct engine_world *w = world_for(t);
    struct engine_saved *saved = engine_again_save(w);
    long changes = 0, requests = 0;

    measure(w, t, saved, &changes, &requests);
    run_kills(w, t, saved, changes);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int forever = 0; forever < 2; forever++)
            run_faults(w, t, saved, requests, kinds[i], forever != 0);
    engine_again_drop(w, saved);
    engine_world_free(w);
}

/* --- restores -------------------------------------------------------------------------------------------------------
 */

/* Over nothing, and over the file of an earlier state. */
static void run_restores(bool in_place)
{
    static const struct thing history = {"a restore", prepare_merge, {.commits = 6}, NULL};
    struct engine_world *w = world_for(&history);
    uint64_t old;
    long n = 1;

    must_end(w, &history.life);
    old = w->marks[w->mark_count - 4].txid;
    for (; n < POINTS_MAX && w->wrong[0] == 0; n++) {
        enum engine_end end;

        engine_restore_drop(w);
        if (in_place)
            (void)engine_restore(w, old, false, 0);
        end = engine_restore(w, w->tip, in_place, n);
        if (end == ENGINE_ENDED)
            break;
        (void)engine_restore(w, w->tip, in_place, 0);
        if (w->wrong[0] != 0)
            engine_wrong_at(w, "killed at change", n);
    }
    if (n < 5)
        engine_wrong(w, "only %ld changes", n);
    report(w, in_place ? "a restore in place" : "a restore", "killed at every change", n - 1);
    engine_world_free(w);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--stride") == 0)
        stride = strtol(argv[2], NULL, 10);
    if ((argc != 1 && argc != 3) || stride < 1) {
        (void)fprintf(stderr, "usage: sim_steps [--stride N]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof things / sizeof things[0]; i++)
        run_thing(&things[i]);
    run_restores(false);
    run_restores(true);
    (void)printf("1..%d\n", number);
    return failures > 0;
}
