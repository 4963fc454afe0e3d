/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_engine - weeks of the whole engine in moments: a real application and real pages; the daemon's own code for
 * capturing, shipping, folding, merging, snapshots and pruning, on a virtual clock; requests that fail or whose answers
 * get lost; kills at changes of the disk, one after the other; restarts, takeovers, forks, lost local states.  After
 * each, every promised state is restored by the real code and compared with what the application had, and in between it
 * is made sure that nothing unneeded is left.
 *
 *     sim_engine [--seed N] [--seeds COUNT] [--lives N] [--seconds S] [--kept FILE]
 *
 * Everything follows from the seed, which is printed: what is decided, who goes on when, and each name that is made up
 * (turns.h).  A seed that fails belongs into engine_seeds.txt.  With WEIR_SIM_TRACE=FILE all that happens is written
 * down.  TAP, one line a seed.
 */
#include "engine.h"
#include "kept_seeds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMELINES_MAX = 8, CHANGES_MAX = 1500 };

static struct {
    uint64_t kills, faults, folds, merges, snapshots, prunes, timelines;
} totals;

static int number, failures;

static uint64_t pick(struct engine_world *w, uint64_t below)
{
    return engine_pick(w, below);
}

static void choose(struct engine_world *w)
{
    static const unsigned sizes[] = {512, 1024, 4096};
    static const uint64_t folds[] = {0, 2, 3, 4, 8}, percents[] = {0, 0, 100, 400};
    static const struct retention_policy policies[] = {
        {86400000, {7, 4, 12}},
        {2 * 86400000, {3, 0, 0}},
        {3600000, {5, 2, 1}},
        {0, {6, 0, 1}},
        {4 * 86400000, {0, 0, 0}},
    };

    w->page_size = sizes[pick(w, 3)];
    w->fold_count = folds[pick(w, 5)];
    w->fold_delete_after_ms = pick(w, 3) * (uint64_t)ENGINE_HOUR;
    w->merge_ms = pick(w, 5) * (uint64_t)ENGINE_HOUR / 2;
    w->merge_long_ms = pick(w, 4) * (uint64_t)ENGINE_DAY / 2;
    w->snapshot_ms = (1 + pick(w, 6)) * (uint64_t)ENGINE_DAY;
    w->merge_percent = percents[pick(w, 4)];
    w->policy = policies[pick(w, 5)];
    w->gap_ms = ENGINE_HOUR / 6 + (int64_t)pick(w, (uint64_t)(2 * ENGINE_HOUR));
}

static struct engine_script script(struct engine_world *w)
{
    static const enum fault_store_kind faults[] = {FAULT_STORE_REFUSED, FAULT_STORE_THROTTLED, FAULT_STORE_LOST};
    struct engine_script s = {.commits = 1 + (unsigned)pick(w, 40), .fault = faults[pick(w, 3)]};

    if (pick(w, 3) == 0)
        s.idle_ms = (int64_t)pick(w, (uint64_t)(3 * ENGINE_DAY));
    if (pick(w, 3) == 0)
        s.kill_at = 1 + (long)pick(w, CHANGES_MAX);
    if (pick(w, 2) == 0)
        s.fault_at = 1 + (long)pick(w, 120);
    s.ends_by_kill = pick(w, 3) == 0;
    if (pick(w, 2) == 0)
        s.amid = 1 + (unsigned)pick(w, 30);
    return s;
}

/* --- between two lives ----------------------------------------------------------------------------------------------
 */

/* A writer that slept through a takeover must find that out before it does any harm. */
static void wake_the_old(struct engine_world *w, const char *old)
{
    struct engine_script s = {.db = old};
    struct sql_child app = {0};
    enum engine_end end;

    sql_child_start(&app);
    if (sql_child_open(&app, 0, old) != 0 || sql_child_sql(&app, 0, "UPDATE meta SET n = n") != 0)
        engine_wrong(w, "%s: %s", old, app.answer);
    end = engine_life(w, &s);
    if (end != ENGINE_FENCED)
        engine_wrong(w, "the writer of %s, whose history was taken over, is not fenced", old);
    sql_child_stop(&app);
}

static void take_over(struct engine_world *w)
{
    const struct engine_script first = {.commits = 2};
    char old[ENGINE_PATH_SIZE];

    (void)snprintf(old, sizeof old, "%s", w->db);
    engine_take_over(w, pick(w, 2) == 0 ? 0 : (size_t)pick(w, 30));
    if (w->wrong[0] != 0)
        return;
    engine_app_commit(w); /* or it would go on in the same timeline */
    if (engine_life(w, &first) != ENGINE_ENDED)
        engine_wrong(w, "the life after a takeover did not end well");
    if (w->wrong[0] == 0 && pick(w, 2) == 0)
        wake_the_old(w, old);
}

static void meanwhile(struct engine_world *w)
{
    switch (pick(w, 9)) {
    case 0:
        engine_again_lose_state(w);
        break;
    case 1:
        if (w->timeline > 0 && w->timeline < TIMELINES_MAX)
            take_over(w);
        break;
    case 2:
        engine_app_close(w);
        engine_app_open(w);
        break;
    case 3:
        for (uint64_t n = pick(w, 4); n > 0; n--)
            engine_app_commit(w);
        break;
    case 4:
        (void)atomic_fetch_add(&w->clock.wall_ms, (int64_t)pick(w, (uint64_t)(2 * ENGINE_DAY))); /* nobody is there */
        break;
    default:
        break;
    }
}

/* --- a kill at every change -----------------------------------------------------------------------------------------
 */

/*
 * One and the same life (a day in which it folds, merges and prunes), killed at every change that it makes, or at some
 * of them: what is promised restores at once, and after the next life, too.
 */
static void kill_everywhere(struct engine_world *w, unsigned stride)
{
    const struct engine_script whole = {.commits = 3, .idle_ms = ENGINE_DAY + 2 * ENGINE_HOUR};
    const struct engine_question some = {0}, rest = {.prune = true};
    struct engine_saved *saved = engine_again_save(w);

    for (long n = 1; w->wrong[0] == 0; n += 1 + (long)pick(w, stride)) {
        struct engine_script s = whole;
        enum engine_end end;

        s.kill_at = n;
        end = engine_life(w, &s);
        engine_check(w, &some);
        if (end != ENGINE_KILLED)
            break; /* it makes no more changes than that */
        if (pick(w, 4) == 0) {
            (void)engine_life(w, &whole);
            engine_check(w, &rest);
        }
        if (w->wrong[0] != 0)
            engine_wrong_at(w, "killed at change", n);
        else
            engine_again_back(w, saved);
    }
    engine_again_drop(w, saved);
}

/* What the daemons said last. */
static void tell(const struct engine_world *w)
{
    char line[3 * ENGINE_PATH_SIZE];

    (void)printf("# %s\n", w->wrong);
    (void)fflush(stdout);
    (void)snprintf(line, sizeof line, "tail -n 25 %s/log | sed 's/^/#   /'", w->dir);
    if (system(line) != 0) /* NOLINT(cert-env33-c,concurrency-mt-unsafe): as above */
        (void)printf("# there is no log\n");
}

/* --- a seed ---------------------------------------------------------------------------------------------------------
 */

static bool run_seed(uint64_t seed, long lives, uint64_t *trace)
{
    struct engine_world *w = engine_world_new(seed);
    const int64_t begin_ms = (int64_t)atomic_load(&w->clock.wall_ms);
    char policy[RETENTION_TEXT_SIZE];
    bool good;

    (void)printf("# seed %" PRIu64 "\n", seed);
    choose(w);
    engine_app_create(w);
    for (long i = 0; i < lives && w->wrong[0] == 0 && w->number + 300 < ENGINE_COMMITS_MAX; i++) {
        struct engine_script s = script(w);
        struct engine_question q = {.prune = pick(w, 4) == 0};

        if (engine_life(w, &s) == ENGINE_FENCED)
            engine_wrong(w, "the only writer is fenced");
        engine_check(w, &q);
        if (w->wrong[0] == 0)
            meanwhile(w);
        if (w->wrong[0] == 0 && i == lives * 2 / 3)
            kill_everywhere(w, lives > 30 ? 12 : 150);
    }
    if (w->wrong[0] == 0)
        engine_check(w, &(struct engine_question){.all = true, .prune = true});
    good = w->wrong[0] == 0;
    if (!good)
        tell(w);
    (void)printf("# %s; folds of %" PRIu64 "\n", retention_text(&w->policy, policy), w->fold_count);
    (void)printf("# %.1f days, %" PRIu64 " commits, %u timelines; %" PRIu64 " lives, %" PRIu64
                 " of them killed, %" PRIu64 " faults; %" PRIu64 " folds, %" PRIu64 " merges, %" PRIu64
                 " snapshots, %" PRIu64 " prunes, %" PRIu64 " commits amid; %" PRIu64
                 " restores, the newest from %" PRIu64 " objects at most; trace %016" PRIx64 "\n",
        (double)((int64_t)atomic_load(&w->clock.wall_ms) - begin_ms) / (double)ENGINE_DAY, w->number, w->timeline,
        w->lives, w->kills, w->faults, w->folds, w->merges, w->snapshots, w->prunes, w->amid, w->restores,
        w->most_objects, w->trace);
    totals.kills += w->kills;
    totals.faults += w->faults;
    totals.folds += w->folds;
    totals.merges += w->merges;
    totals.snapshots += w->snapshots;
    totals.prunes += w->prunes;
    totals.timelines += w->timeline > 1;
    *trace = w->trace;
    engine_world_free(w);
    return good;
}

/* --- one commit a second --------------------------------------------------------------------------------------------
 */

enum { BUSY_COMMITS = 4000, BUSY_OBJECTS_MAX = 150 };

/* With the daemon's usual settings: there are few objects, and a restore of the newest state reads few of them. */
static void run_busy(void)
{
    const struct engine_script busy = {.commits = BUSY_COMMITS}, slow = {.commits = 20};
    struct engine_world *w = engine_world_new(1);
    uint64_t objects;

    w->page_size = 4096;
    w->fold_count = 32;
    w->fold_delete_after_ms = (uint64_t)ENGINE_HOUR / 6;
    w->merge_ms = (uint64_t)ENGINE_HOUR;
    w->merge_long_ms = (uint64_t)ENGINE_DAY;
    w->snapshot_ms = 7 * (uint64_t)ENGINE_DAY;
    w->merge_percent = 100;
    w->policy.exact_ms = (uint64_t)ENGINE_DAY;
    w->gap_ms = 500;
    engine_app_create(w);
    if (engine_life(w, &busy) != ENGINE_ENDED)
        engine_wrong(w, "a busy life did not end in order");
    w->gap_ms = ENGINE_HOUR / 4; /* what was folded is old enough to be deleted then, which waits for commits */
    if (engine_life(w, &slow) != ENGINE_ENDED)
        engine_wrong(w, "a slow life did not end in order");
    engine_check(w, &(struct engine_question){.prune = true});
    objects = engine_object_count(w);
    if (w->wrong[0] == 0 && objects > BUSY_OBJECTS_MAX)
        engine_wrong(w, "%d commits, one by one, are %" PRIu64 " objects", BUSY_COMMITS, objects);
    if (w->wrong[0] != 0)
        tell(w);
    failures += w->wrong[0] != 0;
    (void)printf(
        "# %" PRIu64 " folds, %" PRIu64 " objects, the newest from %" PRIu64 "\n", w->folds, objects, w->most_objects);
    (void)printf("%sok %d - %d commits, about one a second\n", w->wrong[0] == 0 ? "" : "not ", ++number, BUSY_COMMITS);
    engine_world_free(w);
}

/* --- the program ----------------------------------------------------------------------------------------------------
 */

/* A simulation in which something never happens proves nothing of it. */
static void judge_totals(void)
{
    const bool good = totals.kills > 0 && totals.faults > 0 && totals.folds > 0 && totals.merges > 0
                      && totals.snapshots > 0 && totals.prunes > 0 && totals.timelines > 0;

    failures += !good;
    (void)printf("%sok %d - each thing happened\n", good ? "" : "not ", ++number);
}

static void run_one(uint64_t seed, long lives)
{
    uint64_t trace;
    const bool good = run_seed(seed, lives, &trace);

    failures += !good;
    (void)printf("%sok %d - seed %" PRIu64 "\n", good ? "" : "not ", ++number, seed);
    (void)fflush(stdout);
}

/* Or a seed would not be worth keeping. */
static void run_twice(void)
{
    enum { SEED = 3, LIVES = 9 };
    uint64_t traces[2];
    bool good = true;

    for (int i = 0; i < 2; i++)
        good = run_seed(SEED, LIVES, &traces[i]) && good;
    good = good && traces[0] == traces[1];
    failures += !good;
    (void)printf("%sok %d - the same seed is the same story\n", good ? "" : "not ", ++number);
}

int main(int argc, char **argv)
{
    long seed = 1, seeds = 10, lives = 24, seconds = 0;
    const time_t begin = time(NULL);
    const char *kept = NULL;

    for (int i = 1; i + 1 < argc; i += 2) {
        long *into = strcmp(argv[i], "--seed") == 0    ? &seed
                     : strcmp(argv[i], "--seeds") == 0 ? &seeds
                     : strcmp(argv[i], "--lives") == 0 ? &lives
                                                       : &seconds;

        if (strcmp(argv[i], "--kept") == 0)
            kept = argv[i + 1];
        else
            *into = strtol(argv[i + 1], NULL, 10);
    }
    if (argc % 2 == 0) {
        (void)fprintf(stderr, "usage: sim_engine [--seed N] [--seeds COUNT] [--lives N] [--seconds S] [--kept FILE]\n");
        return 2;
    }
    kept_seeds_run(kept, run_one);
    run_twice();
    run_busy();
    for (long i = 0; seconds > 0 ? time(NULL) - begin < seconds : i < seeds; i++)
        run_one((uint64_t)(seed + i), lives);
    if (number >= 8)
        judge_totals();
    (void)printf("1..%d\n", number);
    return failures > 0;
}
