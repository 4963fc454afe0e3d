/* SPDX-License-Identifier: Apache-2.0 */
/* A local state beside a model of it (state_world): histories by chance, every kind of fault, and who looks on. */
#include "check.h"

#include "fault_fsys.h"
#include "fault_power.h"
#include "state_world.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- histories
 * -------------------------------------------------------------------------------------------------------- */

static void random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct state_world *w = state_world_new(seed * 1000);

        for (int life = 0; life < 12; life++) {
            assert_true(state_world_open(w, &state_world_fsys));
            for (uint64_t n = state_world_chance(w, 40); n > 0; n--)
                state_world_step(w);
            state_world_close(w);
        }
        assert_int_equal(w->failures, 0);
        assert_true(w->loads_good >= 8);
        state_world_free(w);
    }
}

/* Closed, opened and looked at behind every single step. */
static void reopened_at_every_step(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct state_world *w = state_world_new(seed);

        for (int i = 0; i < 150; i++) {
            assert_true(state_world_open(w, &state_world_fsys));
            for (uint64_t n = state_world_chance(w, 6); n > 0; n--)
                state_world_step(w);
            state_world_close(w);
            w->fs = &state_world_fsys;
            state_world_peek(w);
        }
        assert_true(w->peeks > 100);
        state_world_free(w);
    }
}

/* --- faults
 * ------------------------------------------------------------------------------------------------------------- */

static void faults(enum fault_mode mode, int sys, bool lie)
{
    long n = 1, refused = 0;

    for (;; n++) {
        struct state_world *w = state_world_new((uint64_t)n);
        struct fault_fsys f;

        /* Every second time there is something to begin with. */
        if (n % 2 == 0) {
            assert_true(state_world_open(w, &state_world_fsys));
            state_world_story(w);
            state_world_close(w);
        }
        fault_fsys_init(&f, mode, n / 2 + 1, sys);
        f.below = &state_world_fsys;
        f.short_io = true;
        f.lie = lie;
        if (state_world_open(w, &f.fs)) {
            state_world_story(w);
            state_world_close(w);
        } else
            refused++;
        assert_int_equal(f.open_fds, 0);
        state_world_recovers(w);
        state_world_free(w);
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
        struct state_world *w = state_world_new((uint64_t)n);
        pid_t pid;

        if (n % 2 == 0) {
            assert_true(state_world_open(w, &state_world_fsys));
            state_world_story(w);
            state_world_close(w);
        }
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fsys f;

            child_begin();
            fault_fsys_init(&f, FAULT_KILL, n / 2, 0);
            f.below = &state_world_fsys;
            f.short_io = true;
            if (!state_world_open(w, &f.fs))
                abort();
            state_world_story(w);
            _exit(0); /* without closing */
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(
            (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
        w->ls = NULL; /* the child's */
        w->hashes = NULL;
        state_world_recovers(w);
        state_world_free(w);
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
            struct state_world *w = state_world_new(seed * 100000 + (uint64_t)n);
            struct fault_power *p = fault_power_new();
            struct fault_fsys f;

            for (int life = 0; life < 3; life++) {
                fault_fsys_init(&f, FAULT_FOREVER, life == 0 ? n : (long)state_world_chance(w, 120) + 1, EIO);
                fault_power_under(&f, p);
                if (state_world_open(w, &f.fs)) {
                    state_world_story(w);
                    state_world_close(w);
                }
                done = done || (life == 0 && f.fired == 0);
                fault_power_cut(p, check_random(&w->seed));
                w->power = true;
            }
            fault_power_free(p);
            state_world_recovers(w);
            state_world_free(w);
        }
    assert_in_range(n, 80, 300);
}

/* Long lives, with crashes that keep everything and power cuts that do not, in turn. */
static void crashes_and_power_cuts_by_chance(void **state)
{
    size_t good = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct state_world *w = state_world_new(seed);
        struct fault_power *p = fault_power_new();

        for (int life = 0; life < 10; life++) {
            assert_true(state_world_open(w, fault_power_fsys(p)));
            for (uint64_t n = state_world_chance(w, 60); n > 0; n--)
                state_world_step(w);
            state_world_close(w);
            if (state_world_chance(w, 3) != 0) {
                fault_power_cut(p, check_random(&w->seed));
                w->power = true;
            }
        }
        fault_power_free(p);
        state_world_recovers(w);
        good += w->loads_good;
        state_world_free(w);
    }
    assert_true(good > 1000);
}

/* --- beside another process
 * --------------------------------------------------------------------------------------------- */

/* When `enough` is closed the writer may end. */
static void look_on(const char *dir, pid_t pid, int enough)
{
    uint64_t last = 0, seen = 0, switches = 0;
    struct nonce run = {{0}};
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        enum local_state_found found;
        struct local_state_content content;
        struct err err;

        assert_ok_err(local_state_peek(&state_world_fsys, dir, &content, &found, &err), &err);
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
        if (enough >= 0 && seen > 20 && switches > 2) {
            assert_int_equal(close(enough), 0);
            enough = -1;
        }
    }
    assert_int_equal(enough, -1); /* the writer did not end before */
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void peeking_while_another_writes(void **state)
{
    struct state_world *w = state_world_new(5);
    int enough[2];
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(enough), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct pollfd closed = {.fd = enough[0]}; /* the end of a pipe is told unasked */

        child_begin();
        if (close(enough[1]) != 0 || !state_world_open(w, &state_world_fsys))
            abort();
        for (int i = 0; i < 300 || poll(&closed, 1, 0) == 0; i++) {
            if (i % 10 == 0)
                state_world_run(w);
            state_world_checkpoint(w, false);
            for (int k = 0; k < 10; k++) {
                state_world_pages(w);
                state_world_segment(w);
                state_world_acknowledge(w);
            }
            w->state_count = w->recorded = 1; /* room for more */
            w->run_count = 0;
        }
        state_world_close(w);
        _exit(0);
    }
    assert_int_equal(close(enough[0]), 0);
    look_on(w->dir, pid, enough[1]);
    state_world_free(w);
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
        cmocka_unit_test(peeking_while_another_writes),
    };

    return cmocka_run_group_tests(tests, state_world_make_top, state_world_remove_top);
}
