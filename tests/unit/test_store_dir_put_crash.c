/* SPDX-License-Identifier: Apache-2.0 */
/* Writes of the directory store when the process dies, or the power is cut. */
#include "store_dir_put_kit.h"

/* --- the process is killed ---------------------------------------------------------------------------------------- */

static int killed_at(const struct scene *s, const char *root, long n)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        const struct fsys plain = plain_fsys();
        struct store_wait w;
        struct fault_fsys f;
        struct err err;

        fault_fsys_init(&f, FAULT_KILL, n, EIO);
        f.short_io = true;
        if (s->plain)
            f.below = &plain;
        store_wait_open(&w, &f.fs, root);
        _exit((int)store_wait_put(&w, "t/1/o", new_text, s->create_only, &err).code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void kill_walk(const struct scene *s, long least)
{
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 32];
    struct store_wait w;
    struct err err;
    int status;
    long n = 1;

    do {
        store_wait_scratch(dir);
        (void)snprintf(root, sizeof root, "%s/r", dir);
        if (s->exists) {
            store_wait_open(&w, &fsys_real, root);
            assert_ok(store_wait_put(&w, "t/1/o", old_text, true, &err));
            store_wait_close(&w);
        }
        status = killed_at(s, root, n);
        check_after(s, root, n, (struct rc){WIFSIGNALED(status) ? E_IO : E_OK},
            &(struct err){.msg = "put t/1/o: Input/output error"});
        check_next(s, root, n);
        store_wait_unscratch(dir);
    } while (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && ++n < 200);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), E_OK);
    assert_in_range(n, least, 80);
}

static void test_killed(void **state)
{
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        kill_walk(&(struct scene){.create_only = true, .plain = plain != 0, .mode = FAULT_KILL}, 30);
        kill_walk(&(struct scene){.exists = true, .plain = plain != 0, .mode = FAULT_KILL}, 20);
    }
}

/* --- the power is cut --------------------------------------------------------------------------------------------- */

/* A replica on a disk whose power is cut, with a failure at call `n` before that. */
struct outage {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 32];
    struct fault_power *power;
    struct fault_fsys f;
};

static void outage_begin(struct outage *o, enum fault_mode mode, long n)
{
    store_wait_scratch(o->dir);
    (void)snprintf(o->root, sizeof o->root, "%s/r", o->dir);
    fault_fsys_init(&o->f, mode, n, EIO);
    o->power = fault_power_new();
    fault_power_under(&o->f, o->power);
}

static void outage_end(struct outage *o)
{
    fault_power_free(o->power);
    store_wait_unscratch(o->dir);
}

/*
 * The first PUT meets a failure at call `n`, the second one may go through; then the power is cut.  Whatever was
 * reported as done, by E_OK or, of a key to be created once, by E_EXISTS, must be there, whole.
 */
static long cut_case(enum fault_mode mode, long n, uint64_t seed, bool plain_fs)
{
    const struct fsys plain = plain_fsys();
    struct outage o;
    struct store_wait w;
    struct err err;
    enum content is;
    struct rc rc;
    bool promised;

    outage_begin(&o, mode, n);
    if (plain_fs)
        o.f.fs.rename_new = plain.rename_new;
    store_wait_open(&w, &o.f.fs, o.root);
    rc = store_wait_put(&w, "t/1/o", new_text, true, &err);
    promised = !rc_failed(rc) || rc.code == E_EXISTS;
    rc = store_wait_put(&w, "t/1/o", new_text, true, &err);
    promised = promised || !rc_failed(rc) || rc.code == E_EXISTS;
    store_wait_close(&w);

    fault_power_cut(o.power, seed);
    is = look(o.root, "t/1/o");
    if (is != NEW && is != NOTHING)
        fail_msg("mode %d, call %ld, seed %d: half an object", (int)mode, n, (int)seed);
    if (promised && is != NEW)
        fail_msg("mode %d, call %ld, seed %d: a promise was broken", (int)mode, n, (int)seed);

    /* And the next one goes through. */
    store_wait_open(&w, &fsys_real, o.root);
    rc = store_wait_put(&w, "t/1/o", new_text, true, &err);
    assert_fails(rc, is == NEW ? E_EXISTS : E_OK);
    assert_int_equal(look(o.root, "t/1/o"), NEW);
    store_wait_close(&w);
    outage_end(&o);
    return o.f.fired;
}

static void power_walk(enum fault_mode mode, bool plain)
{
    long n = 1, fired;

    do {
        fired = 0;
        for (uint64_t seed = 1; seed <= 12; seed++)
            fired += cut_case(mode, n, seed, plain);
    } while (fired > 0 && ++n < 200);
    assert_in_range(n, 30, 120);
}

static void test_power_cut(void **state)
{
    (void)state;
    power_walk(FAULT_FOREVER, false); /* the power is gone from call n on */
    power_walk(FAULT_FOREVER, true);
}

static void test_power_cut_after_failure(void **state)
{
    (void)state;
    power_walk(FAULT_ONCE, false);
    power_walk(FAULT_ONCE, true);
}

/*
 * A process comes to call `n` of a PUT and ends there; the next one finds the key taken or not, and then the power is
 * cut. It has no memory of the first one, so what it is told must be true by itself.
 */
static bool restart_case(long n, uint64_t seed)
{
    struct outage o;
    struct store_wait w;
    struct err err;
    struct rc rc;
    bool fired;

    outage_begin(&o, FAULT_FOREVER, n);
    o.f.ops = FAULT_ALL & ~FAULT_FSYNC; /* it was not begun, which is not the same as one that failed */
    store_wait_open(&w, &o.f.fs, o.root);
    rc_ignore(store_wait_put(&w, "t/1/o", new_text, true, &err), "what counts is what the second one is told");
    store_wait_close(&w);
    fired = o.f.fired > 0;

    store_wait_open(&w, fault_power_fsys(o.power), o.root);
    rc = store_wait_put(&w, "t/1/o", new_text, true, &err);
    if (rc.code != E_EXISTS)
        assert_ok_err(rc, &err);
    store_wait_close(&w);
    fault_power_cut(o.power, seed);
    if (look(o.root, "t/1/o") != NEW)
        fail_msg("call %ld, seed %d: \"%s\" was not true", n, (int)seed, rc_name(rc.code));
    outage_end(&o);
    return fired;
}

static void test_power_cut_after_restart(void **state)
{
    bool fired = true;
    long n = 1;

    (void)state;
    for (; fired && n < 200; n++) {
        for (uint64_t seed = 1; seed <= 12; seed++)
            fired = restart_case(n, seed);
    }
    assert_in_range(n, 20, 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_power_cut),
        cmocka_unit_test(test_power_cut_after_failure),
        cmocka_unit_test(test_power_cut_after_restart),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
