/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim - months of a database with retention, in moments: random load, idle times, takeovers, faults of the store,
 * crashes at every request of a prune, restores in the middle of one.  After each, whatever was promised restores to
 * the state that it must be, and nothing stands there that nothing needs.
 *
 *     sim [--seed N] [--seeds COUNT] [--days DAYS] [--seconds S]
 *
 * Everything follows from the seed, which is printed; one that fails belongs into seeds.txt, whose seeds always run
 * first.  TAP, one line a seed.
 */
#include "kept_seeds.h"
#include "prune_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PROMISES_MAX = 4096, TIMELINES_MAX = 6, STATES_FULL = MAKE_HISTORY_STATES_MAX - 600 };

struct promise {
    uint32_t timeline;
    uint64_t txid;
    int64_t until_ms;
};

static struct {
    struct prune_world w;
    struct retention_policy policy;
    struct promise promises[PROMISES_MAX];
    size_t promise_count;
    int day;
    bool failed;
    uint64_t prunes, restores, crashes, deleted;
} sim;

static const struct prune_world_fault no_fault;

/* What is wrong is told once; the rest of the seed is not run. */
#define WRONG(...)                                                          \
    do {                                                                    \
        if (!sim.failed) {                                                  \
            (void)printf("# %s:%d, day %d: ", __FILE__, __LINE__, sim.day); \
            (void)printf(__VA_ARGS__);                                      \
            (void)printf("\n");                                             \
        }                                                                   \
        sim.failed = true;                                                  \
    } while (0)

static uint64_t pick(uint64_t below)
{
    return prune_world_pick(&sim.w, below);
}

static struct prune_opts options(void)
{
    return (struct prune_opts){.policy = sim.policy, .grace_ms = PRUNE_GRACE_MS, .local_ms = sim.w.h.time_ms};
}

/* --- what was promised ---------------------------------------------------------------------------------------------
 */

static void remember(void)
{
    const struct retention *d = &sim.w.report.decision;

    for (size_t i = 0; i < d->point_count; i++) {
        const struct retention_point *p = &d->points[i];

        if (p->lost)
            WRONG("txid %" PRIu64 " of timeline %u, a %s, cannot be restored", p->txid, p->timeline,
                retention_class_name(p->why));
        if (p->until_ms != 0 && sim.promise_count < PROMISES_MAX)
            sim.promises[sim.promise_count++] = (struct promise){p->timeline, p->txid, p->until_ms};
    }
}

static void forget(int64_t now_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < sim.promise_count; i++)
        if (sim.promises[i].until_ms > now_ms)
            sim.promises[n++] = sim.promises[i];
    sim.promise_count = n;
}

static void assert_restores(uint32_t timeline, uint64_t txid, const char *what)
{
    sim.restores++;
    if (prune_world_restore(&sim.w, timeline, txid, no_fault) != E_OK)
        WRONG("txid %" PRIu64 " of timeline %u, %s, is gone: %s", txid, timeline, what, sim.w.err.msg);
    else if (sim.w.restored.warning[0] != 0)
        WRONG("txid %" PRIu64 " of timeline %u, %s: %s", txid, timeline, what, sim.w.restored.warning);
}

/* A commit that is not older than `exact`. */
static void assert_exact(void)
{
    const struct make_history *h = &sim.w.h;
    const struct make_history_state *now = prune_world_now(&sim.w);

    for (size_t i = 1 + pick(40); i < h->count && i < 200; i += 1 + pick(40)) {
        const struct make_history_state *s = &h->states[h->count - i];

        if (s->time_ms < now->time_ms - (int64_t)sim.policy.exact_ms)
            return;
        if (s->txid <= now->txid && make_history_find(h, h->timeline, s->txid) == s)
            assert_restores(h->timeline, s->txid, "of the exact part");
    }
}

/* All of them, or a few. */
static void assert_promises(bool all)
{
    for (size_t i = 0; i < sim.promise_count && !sim.failed; i++)
        if (all || pick(sim.promise_count) < 2)
            assert_restores(sim.promises[i].timeline, sim.promises[i].txid, "promised");
    assert_restores(sim.w.h.timeline, prune_world_now(&sim.w)->txid, "the latest");
    assert_exact();
}

/* --- a day ---------------------------------------------------------------------------------------------------------
 */

static enum err_code prune(struct prune_world_fault fault)
{
    const struct prune_opts opts = options();

    sim.prunes++;
    sim.crashes += fault.at > 0;
    return prune_world_prune(&sim.w, &opts, fault);
}

/* To its end; then it has nothing more to do, and nothing else stands there. */
static void prune_all(void)
{
    if (prune(no_fault) != E_OK) {
        WRONG("prune: %s", sim.w.err.msg);
        return;
    }
    sim.deleted += sim.w.report.deleted;
    forget(sim.w.report.now_ms);
    remember();
    if (sim.w.report.now_ms != INT64_MIN
        && prune_world_count(&sim.w, "t")
               != sim.w.report.kept.objects + sim.w.h.timeline + prune_world_count(&sim.w, "t/00000001/pruned")
                      + prune_world_count(&sim.w, "t/00000002/pruned") + prune_world_count(&sim.w, "t/00000003/pruned")
                      + prune_world_count(&sim.w, "t/00000004/pruned") + prune_world_count(&sim.w, "t/00000005/pruned")
                      + prune_world_count(&sim.w, "t/00000006/pruned"))
        WRONG("%zu objects are left, %" PRIu64 " were to be kept", prune_world_count(&sim.w, "t"),
            sim.w.report.kept.objects);
    if (prune(no_fault) != E_OK || sim.w.report.deleted != 0 || sim.w.report.decision.range_count != 0)
        WRONG("a second prune found %" PRIu64 " objects to delete", sim.w.report.deleted);
}

/* From the n-th request on there is no answer: what was done by then stays. */
static void crash_at(long n)
{
    const struct prune_world_fault crash = {FAULT_STORE_REFUSED, n, true, 0, E_OK};

    (void)prune(crash); /* a crash is no failure of the test */
    forget(sim.w.report.now_ms);
    assert_promises(false);
}

static void crash_everywhere(void)
{
    for (long n = 1; n < 200 && !sim.failed; n++) {
        crash_at(n);
        if (sim.w.fired == 0)
            return;
    }
}

static void odd_clock(void)
{
    struct prune_opts opts = options();

    opts.local_ms += ((int64_t)pick(2) * 2 - 1) * (int64_t)pick(10000) * PRUNE_WORLD_DAY;
    if (prune_world_prune(&sim.w, &opts, no_fault) != E_OK)
        WRONG("prune: %s", sim.w.err.msg);
    forget(sim.w.report.now_ms);
    assert_promises(false);
}

static void restore_with_fault(void)
{
    static const enum fault_store_kind kinds[] = {
        FAULT_STORE_REFUSED, FAULT_STORE_HALF_BODY, FAULT_STORE_WRONG_BODY, FAULT_STORE_LOST};
    const struct prune_world_fault fault = {kinds[pick(4)], 1 + (long)pick(12), false, 1u << STORE_GET, E_OK};
    const struct promise *p = sim.promise_count > 0 ? &sim.promises[pick(sim.promise_count)] : NULL;

    sim.restores++;
    /* It may fail; that it never gives another state is checked there. */
    (void)prune_world_restore(
        &sim.w, p != NULL ? p->timeline : sim.w.h.timeline, p != NULL ? p->txid : prune_world_now(&sim.w)->txid, fault);
}

static void prune_during_restore(void)
{
    struct prune_opts opts = options();
    const struct promise *p = sim.promise_count > 0 ? &sim.promises[pick(sim.promise_count)] : NULL;

    if (p == NULL || p->until_ms < sim.w.h.time_ms + 2 * PRUNE_WORLD_DAY)
        return;
    sim.w.during = &opts;
    sim.restores++;
    if (prune_world_restore(&sim.w, p->timeline, p->txid, no_fault) != E_OK)
        WRONG("txid %" PRIu64 ", pruned around while it was restored: %s", p->txid, sim.w.err.msg);
    sim.w.during = NULL;
}

static void take_over(void)
{
    const uint64_t tip = prune_world_now(&sim.w)->txid, back = pick(tip < 60 ? tip : 60);
    size_t n = 0;

    prune_world_take_over(&sim.w, back);
    /* What stood still at the end of the old one was the state of later periods, too; now it is not. */
    for (size_t i = 0; i < sim.promise_count; i++)
        if (sim.promises[i].txid <= tip - back)
            sim.promises[n++] = sim.promises[i];
    sim.promise_count = n;
}

static void live_a_day(void)
{
    switch (pick(24)) {
    case 0:
        prune_world_idle(&sim.w, (int64_t)pick(12) * PRUNE_WORLD_DAY);
        break;
    case 1:
        if (sim.w.h.timeline < TIMELINES_MAX)
            take_over();
        break;
    default:
        break;
    }
    prune_world_live(&sim.w, PRUNE_WORLD_DAY);
}

static void prune_somehow(void)
{
    switch (pick(10)) {
    case 0:
    case 1:
        crash_at(1 + (long)pick(25));
        break;
    case 2: {
        const struct prune_world_fault lost = {FAULT_STORE_LOST, 1 + (long)pick(25), false, 0, E_OK};

        (void)prune(lost); /* the answer is lost, the deed is done */
        forget(sim.w.report.now_ms);
        assert_promises(false);
        break;
    }
    case 3:
        odd_clock();
        break;
    case 4:
        prune_during_restore();
        break;
    case 5:
        restore_with_fault();
        break;
    case 6:
        if (pick(4) == 0)
            crash_everywhere();
        break;
    case 7:
        return; /* the daemon was not running */
    default:
        break;
    }
    prune_all();
}

/* --- a life --------------------------------------------------------------------------------------------------------
 */

static void choose(void)
{
    static const struct retention_policy policies[] = {
        {86400000, {7, 4, 12}},
        {86400000, {7, 4, 12}},
        {3600000, {3, 0, 0}},
        {0, {5, 2, 1}},
        {3 * 86400000, {0, 3, 2}},
        {10 * 86400000, {0, 0, 0}},
        {43200000, {30, 0, 1}},
    };
    struct prune_world *w = &sim.w;

    sim.policy = policies[pick(sizeof policies / sizeof policies[0])];
    w->commit_gap_ms = PRUNE_WORLD_HOUR / 2 + (int64_t)pick((uint64_t)(5 * PRUNE_WORLD_HOUR));
    w->commits_per_segment = 1 + (unsigned)pick(4);
    w->segments_per_fold = (unsigned)pick(4) * 5;
    w->keeps_folded = pick(5) == 0;
    if (pick(4) == 0)
        w->merge_ms[1] = 0;
    if (pick(6) == 0)
        w->merge_ms[2] = 0;
    w->merge_ms[0] = (int64_t)(2 + pick(12)) * PRUNE_WORLD_DAY;
}

static bool run_seed(uint64_t seed, int days)
{
    memset(&sim, 0, sizeof sim);
    (void)printf("# seed %" PRIu64 "\n", seed);
    (void)fflush(stdout); /* a seed that aborts is the last one named */
    prune_world_init(&sim.w, seed);
    choose();
    for (sim.day = 0; sim.day < days && !sim.failed && sim.w.h.count < STATES_FULL; sim.day++) {
        live_a_day();
        prune_somehow();
        if (!sim.failed)
            assert_promises(false);
    }
    if (!sim.failed)
        prune_all();
    assert_promises(true);
    (void)printf("# %d days, %zu commits, %u timelines; %" PRIu64 " prunes, %" PRIu64 " of them with a fault; %" PRIu64
                 " objects deleted, %zu left; %" PRIu64 " restores\n",
        sim.day, sim.w.h.count, sim.w.h.timeline, sim.prunes, sim.crashes, sim.deleted, prune_world_count(&sim.w, "t"),
        sim.restores);
    prune_world_fini(&sim.w);
    return !sim.failed;
}

/* --- the program ---------------------------------------------------------------------------------------------------
 */

struct plan_of_runs {
    uint64_t seed;
    long seeds, days, seconds;
    const char *file;
};

static bool parse(int argc, char **argv, struct plan_of_runs *p)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            p->seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0)
            p->seeds = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--days") == 0)
            p->days = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            p->seconds = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--kept") == 0)
            p->file = argv[i + 1];
        else
            return false;
    }
    return argc % 2 == 1;
}

static int number, failures;

static void run_one(uint64_t seed, long days)
{
    bool good = run_seed(seed, (int)days);

    failures += !good;
    (void)printf("%sok %d - seed %" PRIu64 "\n", good ? "" : "not ", ++number, seed);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    struct plan_of_runs p = {.seed = 1, .seeds = 10, .days = 60};
    const time_t begin = time(NULL);

    if (!parse(argc, argv, &p)) {
        (void)fprintf(stderr, "usage: sim [--seed N] [--seeds COUNT] [--days DAYS] [--seconds S] [--kept FILE]\n");
        return 2;
    }
    kept_seeds_run(p.file, run_one);
    for (long i = 0; p.seconds > 0 ? time(NULL) - begin < p.seconds : i < p.seeds; i++)
        run_one(p.seed + (uint64_t)i, p.days);
    (void)printf("1..%d\n", number);
    return failures > 0;
}
