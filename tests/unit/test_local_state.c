/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of what a local state must remember (struct world) is driven beside the real one, through every kind of
 * fault.  Calls that fail are part of the game; what must hold is checked at each loading: the state found is one that
 * the replica had acknowledged, not older than what was recorded (or, after a power cut, than what was synced), and not
 * one that was lost before.
 */
#include "check.h"

#include "fault_fsys.h"
#include "fault_power.h"
#include "local_state.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* fsys_real without waiting for the disk: these tests end processes, or have a disk of their own (fault_power). */
static struct fsys fast;

static char top[] = "/tmp/test_local_state.XXXXXX";

/* --- the model -------------------------------------------------------------------------------------------------------
 */

enum { WORLD_PAGES = 40, WORLD_STATES = 4000, WORLD_RUNS = 600, WORLD_PENDING = 6 };

struct world_state {
    struct pos pos;
    bool restored;
    uint64_t hash[WORLD_PAGES + 1];
};

/* No pointers but `ls` and `hashes`, so it can live in memory shared with a child that is killed. */
struct world {
    char dir[200];
    uint64_t seed;
    const struct fsys *fs;
    struct local_state *ls;
    struct page_hash *hashes;
    struct nonce database;

    /* What was acknowledged, or written as a checkpoint, in order.  Of these may be found: `recorded` and later;
     * after a power cut `synced` and later. */
    struct world_state states[WORLD_STATES];
    size_t state_count, recorded, synced;
    bool begun; /* a checkpoint has succeeded, so that there must be something */
    bool power; /* the power was cut since the last loading */

    struct {
        struct nonce nonce;
        bool sure; /* the call said that it is on disk */
    } runs[WORLD_RUNS];
    size_t run_count;

    /* Ahead of the replica. */
    struct world_state now;
    struct {
        uint64_t mark;
        struct world_state state;
    } pending[WORLD_PENDING];
    size_t pending_count;
    bool changed; /* since the last segment */

    size_t failures, loads_good, loads_none, peeks;
};

enum { PAGE_SIZE = 4096 };

static void world_init(struct world *w, const char *dir, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "%s", dir);
    w->seed = seed;
    w->database = nonce_new();
}

static uint64_t chance(struct world *w, uint64_t n)
{
    return check_random(&w->seed) % n;
}

/* --- comparing -----------------------------------------------------------------------------------------------------
 */

static bool same_pos(const struct pos *a, const struct pos *b)
{
    uint8_t bytes[2][POS_ENCODED_SIZE];
    const struct pos *both[2] = {a, b};

    for (int i = 0; i < 2; i++) {
        struct buf encoded;

        buf_init(&encoded, POS_ENCODED_SIZE);
        pos_encode(both[i], &encoded);
        assert_int_equal(encoded.failed, E_OK);
        memcpy(bytes[i], encoded.data, POS_ENCODED_SIZE);
        buf_fini(&encoded);
    }
    return memcmp(bytes[0], bytes[1], POS_ENCODED_SIZE) == 0;
}

/* `hashes` NULL: they were not read. */
static bool matches(
    const struct world_state *s, const struct local_state_content *content, const struct page_hash *hashes)
{
    if (!same_pos(&s->pos, &content->pos) || s->restored != content->restored || s->restored != content->chosen)
        return false;
    if (hashes == NULL)
        return true;
    assert_int_equal(page_hash_checksum(hashes), content->pos.checksum);
    assert_int_equal(page_hash_count(hashes), content->pos.page_count);
    for (uint32_t pgno = 1; pgno <= WORLD_PAGES; pgno++)
        if (page_hash_get(hashes, pgno) != s->hash[pgno])
            return false;
    return true;
}

/* The latest state that may be the one found. */
static size_t identify(const struct world *w, const struct local_state_content *content, const struct page_hash *hashes)
{
    size_t first = w->power ? w->synced : w->recorded;

    for (size_t i = w->state_count; i-- > first;)
        if (matches(&w->states[i], content, hashes))
            return i;
    fail_msg("seed %llu: the state of txid %llu was found; allowed were %llu to %llu", (unsigned long long)w->seed,
        (unsigned long long)content->pos.txid, (unsigned long long)w->states[first].pos.txid,
        (unsigned long long)w->states[w->state_count - 1].pos.txid);
    return 0;
}

/* Every run that was promised to be there is, in order, as far back as there is room. */
static void check_runs(const struct world *w, const struct local_state_content *content)
{
    size_t left = content->run_count;

    assert_true(left <= LOCAL_STATE_RUNS_MAX);
    for (size_t i = w->run_count; i-- > 0 && !(left == 0 && content->run_count == LOCAL_STATE_RUNS_MAX);) {
        if (left > 0 && nonce_equal(&content->runs[left - 1], &w->runs[i].nonce))
            left--;
        else
            assert_false(w->runs[i].sure);
    }
    assert_int_equal(left, 0);
}

/* --- opening and closing -------------------------------------------------------------------------------------------
 */

/* Go on from what was found.  What was acknowledged behind it is lost, and must not come back. */
static void go_on_from(struct world *w, size_t index, const struct local_state_content *content)
{
    w->state_count = index + 1;
    w->recorded = index;
    if (w->power)
        w->synced = index;
    w->begun = true;
    w->now = w->states[index];
    w->now.restored = false;
    w->run_count = content->run_count;
    for (size_t i = 0; i < content->run_count; i++) {
        w->runs[i].nonce = content->runs[i];
        w->runs[i].sure = true;
    }
}

static void begin_anew(struct world *w)
{
    assert_false(w->begun);
    w->state_count = w->recorded = w->synced = w->run_count = 0;
    memset(&w->now, 0, sizeof w->now);
    page_hash_clear(w->hashes);
    w->loads_none++;
}

static void world_close(struct world *w)
{
    local_state_close(w->ls);
    w->ls = NULL;
    page_hash_free(w->hashes);
    w->hashes = NULL;
}

static bool world_open(struct world *w, const struct fsys *fs)
{
    enum local_state_found found;
    struct local_state_content content;
    struct err err;
    struct rc rc;

    assert_null(w->ls);
    w->fs = fs;
    w->hashes = page_hash_new();
    w->pending_count = 0;
    w->changed = false;
    rc = local_state_open(&w->ls, fs, w->dir, &err);
    if (!rc_failed(rc))
        rc = local_state_load(w->ls, &content, w->hashes, &found, &err);
    /* A read that fails may be taken for broken files: that is honest. */
    if (rc_failed(rc) || (found == LOCAL_STATE_BROKEN && err.sys != 0)) {
        w->failures++;
        world_close(w);
        return false;
    }
    if (found == LOCAL_STATE_BROKEN)
        fail_msg("seed %llu: %s", (unsigned long long)w->seed, err.msg);
    assert_int_equal(local_state_ok(w->ls), found == LOCAL_STATE_GOOD);
    if (found == LOCAL_STATE_NONE)
        begin_anew(w);
    else {
        assert_true(nonce_equal(&content.database, &w->database));
        check_runs(w, &content);
        go_on_from(w, identify(w, &content, w->hashes), &content);
        w->loads_good++;
    }
    w->power = false;
    return true;
}

/* --- what a daemon does ----------------------------------------------------------------------------------------------
 */

static void set_page(struct world *w, uint32_t pgno)
{
    uint64_t hash = check_random(&w->seed) | 1;
    struct err err;

    assert_ok_err(page_hash_set(w->hashes, pgno, hash, &err), &err);
    assert_ok_err(local_state_page(w->ls, pgno, hash, &err), &err);
    w->now.hash[pgno] = hash;
}

static void resize(struct world *w, uint32_t count)
{
    uint32_t old = page_hash_count(w->hashes);
    struct err err;

    for (uint32_t pgno = old + 1; pgno <= count; pgno++)
        set_page(w, pgno);
    assert_ok_err(page_hash_resize(w->hashes, count, &err), &err);
    for (uint32_t pgno = count + 1; pgno <= WORLD_PAGES; pgno++)
        w->now.hash[pgno] = 0;
}

static void world_pages(struct world *w)
{
    uint32_t count = page_hash_count(w->hashes);

    if (count == 0 || chance(w, 4) == 0)
        resize(w, (uint32_t)chance(w, WORLD_PAGES) + 1);
    count = page_hash_count(w->hashes);
    for (uint64_t n = chance(w, 8); n > 0; n--)
        set_page(w, (uint32_t)chance(w, count) + 1);
    w->now.pos.timeline = 1;
    w->now.pos.txid++;
    w->now.pos.time_ms = 1795227681000 + (int64_t)w->now.pos.txid;
    w->now.pos.page_size = PAGE_SIZE;
    w->now.pos.page_count = count;
    w->now.pos.checksum = page_hash_checksum(w->hashes);
    w->now.pos.wal.page_size = PAGE_SIZE;
    w->now.pos.wal.frame = (uint32_t)chance(w, 1000);
    w->now.pos.wal.salt[0] = (uint32_t)chance(w, 1000);
    w->now.pos.wal.valid = true;
    w->changed = true;
}

static void world_segment(struct world *w)
{
    if (!w->changed || w->pending_count == WORLD_PENDING)
        return;
    w->pending[w->pending_count].mark = local_state_mark(w->ls);
    w->pending[w->pending_count++].state = w->now;
    w->changed = false;
}

static void add_state(struct world *w, const struct world_state *state)
{
    assert_true(w->state_count < WORLD_STATES);
    w->states[w->state_count] = *state;
    w->state_count++;
}

static void world_acknowledge(struct world *w)
{
    struct err err;

    if (w->pending_count == 0 || w->state_count == 0)
        return;
    add_state(w, &w->pending[0].state);
    if (rc_failed(local_state_acknowledge(w->ls, w->pending[0].mark, &w->pending[0].state.pos, &err))) {
        assert_true(err.msg[0] != 0);
        assert_false(local_state_ok(w->ls));
        w->failures++;
    } else
        w->recorded = w->state_count - 1;
    w->pending_count--;
    memmove(&w->pending[0], &w->pending[1], w->pending_count * sizeof w->pending[0]);
}

static void world_run(struct world *w)
{
    struct nonce run = nonce_new();
    struct err err;

    assert_true(w->run_count < WORLD_RUNS);
    w->runs[w->run_count].nonce = run;
    w->runs[w->run_count++].sure = false;
    if (rc_failed(local_state_add_run(w->ls, &run, &err))) {
        assert_false(local_state_ok(w->ls));
        w->failures++;
        return;
    }
    w->runs[w->run_count - 1].sure = true;
    w->synced = w->recorded; /* they are in the same file */
}

static void world_checkpoint(struct world *w, bool restored)
{
    struct local_state_content content = {.database = w->database, .restored = restored, .chosen = restored};
    size_t first = w->run_count > LOCAL_STATE_RUNS_MAX ? w->run_count - LOCAL_STATE_RUNS_MAX : 0;
    struct world_state state;
    struct err err;

    if (w->state_count > 0) {
        while (w->pending_count > 0)
            world_acknowledge(w);
        world_segment(w);
        world_acknowledge(w);
    }
    w->pending_count = 0; /* before the first checkpoint the replica has nothing */
    w->changed = false;
    state = w->now;
    state.restored = restored;
    content.pos = state.pos;
    for (size_t i = first; i < w->run_count; i++)
        content.runs[content.run_count++] = w->runs[i].nonce;
    add_state(w, &state);
    if (rc_failed(local_state_checkpoint(w->ls, &content, w->hashes, &err))) {
        assert_false(local_state_ok(w->ls));
        w->failures++;
        return;
    }
    assert_true(local_state_ok(w->ls));
    for (size_t i = 0; i < w->run_count; i++)
        w->runs[i].sure = true;
    w->begun = true;
    w->recorded = w->synced = w->state_count - 1;
}

static void world_peek(struct world *w)
{
    enum local_state_found found;
    struct local_state_content content;
    struct err err;

    if (rc_failed(local_state_peek(w->fs, w->dir, &content, &found, &err))
        || (found == LOCAL_STATE_BROKEN && err.sys != 0)) {
        w->failures++;
        return;
    }
    assert_int_not_equal(found, LOCAL_STATE_BROKEN);
    if (found == LOCAL_STATE_NONE) {
        assert_false(w->begun);
        return;
    }
    (void)identify(w, &content, NULL);
    check_runs(w, &content);
    w->peeks++;
}

/* --- sequences -------------------------------------------------------------------------------------------------------
 */

static void world_story(struct world *w)
{
    if (!w->begun)
        world_checkpoint(w, false); /* of nothing, for the run */
    world_run(w);
    world_pages(w);
    world_checkpoint(w, true);
    for (int i = 0; i < 3; i++) {
        world_pages(w);
        world_segment(w);
    }
    world_acknowledge(w);
    world_pages(w);
    world_acknowledge(w);
    world_peek(w);
    world_checkpoint(w, false);
    world_run(w);
    world_pages(w);
    world_segment(w);
    world_acknowledge(w);
    world_pages(w);
    world_segment(w);
}

static void world_step(struct world *w)
{
    switch (w->begun ? chance(w, 40) : 0) {
    case 0:
        world_checkpoint(w, chance(w, 3) == 0);
        break;
    case 1:
        world_run(w);
        break;
    case 2:
        world_peek(w);
        break;
    default:
        switch (chance(w, 3)) {
        case 0:
            world_pages(w);
            break;
        case 1:
            world_segment(w);
            break;
        default:
            world_acknowledge(w);
        }
    }
}

/* --- directories -----------------------------------------------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)where;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

static const char *state_dir(void)
{
    static char path[200];

    (void)snprintf(path, sizeof path, "%s/app.db-weir", top);
    return path;
}

/* The same, with nothing there. */
static const char *fresh_dir(void)
{
    (void)nftw(state_dir(), remove_one, 8, FTW_DEPTH | FTW_PHYS); /* usually there is nothing */
    return state_dir();
}

static int no_fsync(const struct fsys *fs, int fd)
{
    (void)fs;
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0; /* EBADF, at least */
}

static int make_top(void **state)
{
    (void)state;
    fast = fsys_real;
    fast.fsync = no_fsync;
    return mkdtemp(top) == NULL ? -1 : 0;
}

static int remove_top(void **state)
{
    (void)state;
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct world *world_new(uint64_t seed)
{
    struct world *w =
        mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* children write it */

    assert_true(w != MAP_FAILED);
    world_init(w, fresh_dir(), seed);
    return w;
}

static void world_free(struct world *w)
{
    assert_int_equal(munmap(w, sizeof *w), 0);
}

/* Open without faults, check, go on for a while, and once more. */
static void world_recovers(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        assert_true(world_open(w, &fast));
        for (int k = 0; k < 12; k++)
            world_step(w);
        world_close(w);
    }
}

/* --- histories
 * -------------------------------------------------------------------------------------------------------- */

static void random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *w = world_new(seed * 1000);

        for (int life = 0; life < 12; life++) {
            assert_true(world_open(w, &fast));
            for (uint64_t n = chance(w, 40); n > 0; n--)
                world_step(w);
            world_close(w);
        }
        assert_int_equal(w->failures, 0);
        assert_true(w->loads_good >= 8);
        world_free(w);
    }
}

/* Closed, opened and looked at behind every single step. */
static void reopened_at_every_step(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world *w = world_new(seed);

        for (int i = 0; i < 150; i++) {
            assert_true(world_open(w, &fast));
            for (uint64_t n = chance(w, 6); n > 0; n--)
                world_step(w);
            world_close(w);
            w->fs = &fast;
            world_peek(w);
        }
        assert_true(w->peeks > 100);
        world_free(w);
    }
}

/* --- faults
 * ------------------------------------------------------------------------------------------------------------- */

static void faults(enum fault_mode mode, int sys, bool lie)
{
    long n = 1, refused = 0;

    for (;; n++) {
        struct world *w = world_new((uint64_t)n);
        struct fault_fsys f;

        /* Every second time there is something to begin with. */
        if (n % 2 == 0) {
            assert_true(world_open(w, &fast));
            world_story(w);
            world_close(w);
        }
        fault_fsys_init(&f, mode, n / 2 + 1, sys);
        f.below = &fast;
        f.short_io = true;
        f.lie = lie;
        if (world_open(w, &f.fs)) {
            world_story(w);
            world_close(w);
        } else
            refused++;
        assert_int_equal(f.open_fds, 0);
        world_recovers(w);
        world_free(w);
        if (f.fired == 0 && n % 2 == 0)
            break;
    }
    assert_in_range(n, 150, 600);
    assert_in_range(refused, 4, 120);
}

static void one_call_fails(void **state)
{
    (void)state;
    faults(FAULT_ONCE, EIO, false);
    faults(FAULT_ONCE, ENOSPC, false);
}

static void one_call_fails_after_it_was_done(void **state)
{
    (void)state;
    faults(FAULT_ONCE, EIO, true);
}

static void all_calls_fail_from_some_point(void **state)
{
    (void)state;
    faults(FAULT_FOREVER, EIO, false);
}

/* In a child: a failed check ends it by abort(), which the parent sees. */
static void child_begin(void)
{
    if (setenv("CMOCKA_TEST_ABORT", "1", 1) != 0)
        _exit(9);
}

static void killed_at_every_call(void **state)
{
    long n = 2;
    int status;

    (void)state;
    for (;; n++) {
        struct world *w = world_new((uint64_t)n);
        pid_t pid;

        if (n % 2 == 0) {
            assert_true(world_open(w, &fast));
            world_story(w);
            world_close(w);
        }
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fsys f;

            child_begin();
            fault_fsys_init(&f, FAULT_KILL, n / 2, 0);
            f.below = &fast;
            f.short_io = true;
            if (!world_open(w, &f.fs))
                abort();
            world_story(w);
            _exit(0); /* without closing */
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(
            (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
        w->ls = NULL; /* the child's */
        w->hashes = NULL;
        world_recovers(w);
        world_free(w);
        if (WIFEXITED(status) && n % 2 == 0)
            break;
    }
    assert_in_range(n, 150, 600);
}

/* The power goes at the n-th call, with what a disk may make of it; then life goes on, and it goes again. */
static void power_cut_at_every_call(void **state)
{
    long n = 1;
    bool done = false;

    (void)state;
    for (; !done; n++)
        for (uint64_t seed = 1; seed <= 6; seed++) {
            struct world *w = world_new(seed * 100000 + (uint64_t)n);
            struct fault_power *p = fault_power_new();
            struct fault_fsys f;

            for (int life = 0; life < 3; life++) {
                fault_fsys_init(&f, FAULT_FOREVER, life == 0 ? n : (long)chance(w, 120) + 1, EIO);
                fault_power_under(&f, p);
                if (world_open(w, &f.fs)) {
                    world_story(w);
                    world_close(w);
                }
                done = done || (life == 0 && f.fired == 0);
                fault_power_cut(p, check_random(&w->seed));
                w->power = true;
            }
            fault_power_free(p);
            world_recovers(w);
            world_free(w);
        }
    assert_in_range(n, 80, 300);
}

/* Long lives, with crashes that keep everything and power cuts that do not, in turn. */
static void crashes_and_power_cuts_by_chance(void **state)
{
    size_t good = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct world *w = world_new(seed);
        struct fault_power *p = fault_power_new();

        for (int life = 0; life < 10; life++) {
            assert_true(world_open(w, fault_power_fsys(p)));
            for (uint64_t n = chance(w, 60); n > 0; n--)
                world_step(w);
            world_close(w);
            if (chance(w, 3) != 0) {
                fault_power_cut(p, check_random(&w->seed));
                w->power = true;
            }
        }
        fault_power_free(p);
        world_recovers(w);
        good += w->loads_good;
        world_free(w);
    }
    assert_true(good > 1000);
}

/* --- single things
 * ---------------------------------------------------------------------------------------------------- */

static struct local_state *open_state(const struct fsys *fs)
{
    struct local_state *ls;
    struct err err;

    assert_ok_err(local_state_open(&ls, fs, fresh_dir(), &err), &err);
    return ls;
}

static void full_disk_is_told_and_repaired(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    struct pos pos = {.txid = 1, .page_size = 512, .page_count = 1, .checksum = 77};
    enum local_state_found found;
    struct fault_fsys f;
    struct err err;

    (void)state;
    fault_fsys_init(&f, FAULT_ONCE, 0, ENOSPC);
    struct local_state *ls = open_state(&f.fs);

    assert_false(local_state_ok(ls));
    assert_fails(local_state_add_run(ls, &content.database, &err), E_NOTFOUND);
    assert_fails(local_state_acknowledge(ls, local_state_mark(ls), &pos, &err), E_NOTFOUND);
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_true(local_state_ok(ls));

    f.mode = FAULT_FOREVER;
    f.ops = FAULT_PWRITE;
    f.countdown = 1;
    assert_ok_err(page_hash_set(hashes, 1, 77, &err), &err);
    assert_ok_err(local_state_page(ls, 1, 77, &err), &err);
    uint64_t mark = local_state_mark(ls);

    assert_false(local_state_ok(ls));
    assert_false(local_state_wants_checkpoint(ls));
    for (int i = 0; i < 3; i++) {
        assert_fails(local_state_acknowledge(ls, mark, &pos, &err), E_NOSPACE);
        assert_non_null(strstr(err.msg, "the local state is out of date: "));
        assert_non_null(strstr(err.msg, "No space left on device"));
        assert_ok_err(local_state_page(ls, 1, 78, &err), &err);
        assert_int_equal(local_state_mark(ls), mark);
    }
    content.pos = pos;
    assert_fails(local_state_checkpoint(ls, &content, hashes, &err), E_NOSPACE);
    assert_non_null(strstr(err.msg, "checkpoint of "));
    assert_false(local_state_ok(ls));
    assert_fails(local_state_acknowledge(ls, mark, &pos, &err), E_NOSPACE);

    f.countdown = 0;
    f.fired = 0; /* there is room again */
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_true(local_state_ok(ls));
    assert_fails(local_state_acknowledge(ls, mark, &pos, &err), E_BUG); /* of a log that is gone */
    assert_true(local_state_ok(ls));
    assert_ok_err(local_state_acknowledge(ls, local_state_mark(ls), &pos, &err), &err);
    memset(&content, 0, sizeof content);
    assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_GOOD);
    assert_int_equal(content.pos.txid, 1);
    assert_int_equal(page_hash_get(hashes, 1), 77);
    local_state_close(ls);
    assert_int_equal(f.open_fds, 0);
}

static void mistakes_of_the_caller_are_refused(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    struct pos pos = {.txid = 1};
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&fast);

    assert_ok_err(page_hash_set(hashes, 1, 5, &err), &err);
    assert_fails(local_state_checkpoint(ls, &content, hashes, &err), E_BUG); /* no such index at this position */
    assert_non_null(strstr(err.msg, "index of 1 pages"));
    content.pos.page_count = 1;
    content.pos.checksum = 5;
    assert_fails(local_state_checkpoint(ls, &content, hashes, &err), E_BUG); /* pages of no size */
    content.pos.page_size = 512;
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);

    uint64_t early = local_state_mark(ls);

    assert_ok_err(local_state_page(ls, 1, 6, &err), &err);
    uint64_t late = local_state_mark(ls);

    assert_ok_err(local_state_acknowledge(ls, late, &pos, &err), &err);
    assert_fails(local_state_acknowledge(ls, early, &pos, &err), E_BUG);
    assert_fails(local_state_acknowledge(ls, late + 1000, &pos, &err), E_BUG);
    pos.page_count = 4; /* of no size */
    assert_fails(local_state_acknowledge(ls, late, &pos, &err), E_BUG);
    assert_true(local_state_ok(ls));
    local_state_close(ls);
}

/* The last word is the checksum: an index that does not lead to it is not trusted, and what can be read is told. */
static void wrong_index_is_broken(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.database = {{9}}, .runs = {{{1}}}, .run_count = 1}, seen;
    struct pos pos = {.txid = 8, .page_size = 512, .page_count = 1, .checksum = 5};
    enum local_state_found found;
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&fast);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_ok_err(local_state_page(ls, 1, 6, &err), &err);
    assert_ok_err(local_state_acknowledge(ls, local_state_mark(ls), &pos, &err), &err);
    assert_ok_err(local_state_load(ls, &seen, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_BROKEN);
    assert_non_null(strstr(err.msg, "1 pages with checksum 0000000000000006 after the last position"));
    assert_int_equal(page_hash_count(hashes), 0);
    assert_int_equal(seen.pos.txid, 8);
    assert_int_equal(seen.database.bytes[0], 9);
    assert_int_equal(seen.run_count, 1);
    assert_false(local_state_ok(ls));
    assert_fails(local_state_acknowledge(ls, 0, &pos, &err), E_CORRUPT);
    /* A new checkpoint is the way out. */
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_ok_err(local_state_load(ls, &seen, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_GOOD);
    local_state_close(ls);
}

/*
 * A power cut takes the record that begins a session and leaves what stands behind it; the next process puts a record
 * of the same kind, at the same place, about the same mark, and dies.  What stands behind must not count again.
 */
static void lost_session_does_not_come_back(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    struct pos pos = {.txid = 8, .page_size = 512, .page_count = 1, .checksum = 5};
    static const uint8_t zeros[32]; /* the size of that record, and of the header before it */
    enum local_state_found found;
    struct fault_fsys f;
    char path[500] = "";
    struct err err;

    (void)state;
    fault_fsys_init(&f, FAULT_FOREVER, 0, EIO);
    f.below = &fast;
    f.ops = FAULT_PWRITE;
    struct local_state *ls = open_state(&f.fs);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    for (int life = 0; life < 2; life++) {
        assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
        assert_int_equal(found, LOCAL_STATE_GOOD);
        assert_int_equal(content.pos.txid, 0);
        f.countdown = life == 0 ? 0 : 2;
        assert_ok_err(local_state_page(ls, 1, 5, &err), &err);
        if (life == 1) {
            (void)local_state_mark(ls);
            assert_int_equal(f.fired, 1);
            continue;
        }
        assert_ok_err(local_state_acknowledge(ls, local_state_mark(ls), &pos, &err), &err);
        DIR *d = opendir(state_dir());

        assert_non_null(d);
        for (const struct dirent *e; (e = readdir(d)) != NULL;)
            if (strncmp(e->d_name, "log.", 4) == 0)
                (void)snprintf(path, sizeof path, "%s/%.200s", state_dir(), e->d_name);
        assert_int_equal(closedir(d), 0);
        int fd = open(path, O_WRONLY);

        assert_int_equal(pwrite(fd, zeros, sizeof zeros, 32), sizeof zeros);
        assert_int_equal(close(fd), 0);
    }
    f.fired = 0;
    f.countdown = 0;
    assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_GOOD);
    assert_int_equal(content.pos.txid, 0);
    local_state_close(ls);
}

static void discarded_is_gone(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    enum local_state_found found;
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&fast);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_ok_err(local_state_discard(ls, &err), &err);
    assert_false(local_state_ok(ls));
    assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_NONE);
    assert_ok_err(local_state_discard(ls, &err), &err); /* twice is no mistake */
    local_state_close(ls);

    char lock[300];

    (void)snprintf(lock, sizeof lock, "%s/lock", state_dir());
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(rmdir(state_dir()), 0); /* nothing else is in it */
}

static void runs_are_the_newest(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.runs = {{{200}}, {{201}}}, .run_count = 2};
    enum local_state_found found;
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&fast);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    for (uint8_t i = 1; i < LOCAL_STATE_RUNS_MAX; i++)
        assert_ok_err(local_state_add_run(ls, &(struct nonce){{i}}, &err), &err);
    assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
    assert_int_equal(content.run_count, LOCAL_STATE_RUNS_MAX);
    assert_int_equal(content.runs[0].bytes[0], 201);
    for (uint8_t i = 1; i < LOCAL_STATE_RUNS_MAX; i++)
        assert_int_equal(content.runs[i].bytes[0], i);
    local_state_close(ls);
}

/* The log asks for a checkpoint, and stops by itself long after. */
static void log_is_bounded(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    struct pos pos = {.txid = 1};
    uint64_t pages = 0, asked = 0, mark = 0;
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&fast);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    for (; local_state_ok(ls) && pages < 10000000; pages++) {
        assert_ok_err(local_state_page(ls, (uint32_t)(pages % 100) + 1, pages, &err), &err);
        if (asked == 0 && local_state_wants_checkpoint(ls))
            asked = pages;
        if (asked == 0)
            mark = pages % 1000 == 0 ? local_state_mark(ls) : mark;
    }
    assert_in_range(asked, LOCAL_STATE_LOG_MAX / 12 - 10000, LOCAL_STATE_LOG_MAX / 12 + 10000);
    assert_in_range(pages, 3 * asked, 5 * asked);
    assert_fails(local_state_acknowledge(ls, mark, &pos, &err), E_NOSPACE);
    assert_non_null(strstr(err.msg, "no checkpoint in "));
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_true(local_state_ok(ls));
    assert_false(local_state_wants_checkpoint(ls));

    /* A log as large as the index is no reason for a checkpoint. */
    assert_ok_err(local_state_page(ls, 40000000, 1, &err), &err);
    for (pages = 0; pages < 2 * LOCAL_STATE_LOG_MAX / 12; pages++)
        assert_ok_err(local_state_page(ls, 1, pages, &err), &err);
    assert_false(local_state_wants_checkpoint(ls));
    local_state_close(ls);
}

/* Restarts that leave unacknowledged pages behind make the log odd to read: after some, a checkpoint is wanted. */
static void many_dead_processes_want_a_checkpoint(void **state)
{
    struct world *w = world_new(1);
    int lives = 0;

    (void)state;
    assert_true(world_open(w, &fast));
    world_checkpoint(w, false);
    while (!local_state_wants_checkpoint(w->ls) && lives < 100) {
        world_pages(w);
        world_segment(w);
        world_acknowledge(w);
        world_pages(w);
        world_segment(w);
        world_close(w);
        assert_true(world_open(w, &fast));
        lives++;
    }
    assert_in_range(lives, 8, 40);
    world_checkpoint(w, false);
    assert_false(local_state_wants_checkpoint(w->ls));
    world_close(w);
    world_free(w);
}

/* --- beside another process
 * --------------------------------------------------------------------------------------------- */

static void look_on(const char *dir, pid_t pid)
{
    uint64_t last = 0, seen = 0, switches = 0;
    struct nonce run = {{0}};
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        enum local_state_found found;
        struct local_state_content content;
        struct err err;

        assert_ok_err(local_state_peek(&fast, dir, &content, &found, &err), &err);
        if (found == LOCAL_STATE_BROKEN)
            fail_msg("%s", err.msg);
        if (found == LOCAL_STATE_NONE) {
            assert_int_equal(seen, 0);
            continue;
        }
        assert_true(content.pos.txid >= last);
        seen += content.pos.txid > last;
        last = content.pos.txid;
        if (content.run_count > 0 && !nonce_equal(&run, &content.runs[content.run_count - 1])) {
            run = content.runs[content.run_count - 1];
            switches++;
        }
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(seen > 20);
    assert_true(switches > 2);
}

static void peeking_while_another_writes(void **state)
{
    struct world *w = world_new(5);
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        child_begin();
        if (!world_open(w, &fast))
            abort();
        for (int i = 0; i < 300; i++) {
            if (i % 10 == 0)
                world_run(w);
            world_checkpoint(w, false);
            for (int k = 0; k < 10; k++) {
                world_pages(w);
                world_segment(w);
                world_acknowledge(w);
            }
            w->state_count = w->recorded = 1; /* room for more */
            w->run_count = 0;
        }
        world_close(w);
        _exit(0);
    }
    look_on(w->dir, pid);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories),
        cmocka_unit_test(reopened_at_every_step),
        cmocka_unit_test(one_call_fails),
        cmocka_unit_test(one_call_fails_after_it_was_done),
        cmocka_unit_test(all_calls_fail_from_some_point),
        cmocka_unit_test(killed_at_every_call),
        cmocka_unit_test(power_cut_at_every_call),
        cmocka_unit_test(crashes_and_power_cuts_by_chance),
        cmocka_unit_test(full_disk_is_told_and_repaired),
        cmocka_unit_test(mistakes_of_the_caller_are_refused),
        cmocka_unit_test(wrong_index_is_broken),
        cmocka_unit_test(lost_session_does_not_come_back),
        cmocka_unit_test(discarded_is_gone),
        cmocka_unit_test(runs_are_the_newest),
        cmocka_unit_test(log_is_bounded),
        cmocka_unit_test(many_dead_processes_want_a_checkpoint),
        cmocka_unit_test(peeking_while_another_writes),
    };

    return cmocka_run_group_tests(tests, make_top, remove_top);
}
