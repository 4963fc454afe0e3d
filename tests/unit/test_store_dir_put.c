/* SPDX-License-Identifier: Apache-2.0 */
/* Writes of the directory store when the disk fails, or cannot do all that others can. */
#include "store_dir_put_kit.h"

/* --- the fault loops ---------------------------------------------------------------------------------------------- */

/* One PUT with the fault at call `n`; false when the fault was never met. */
static bool put_with_fault(const struct scene *s, const char *root, long n)
{
    const struct fsys plain = plain_fsys();
    struct store_wait w;
    struct fault_fsys f;
    struct err err;
    struct rc rc;

    fault_fsys_init(&f, s->mode, 0, EIO);
    f.short_io = true;
    f.lie = s->lie;
    if (s->plain)
        f.below = &plain;
    store_wait_open(&w, &f.fs, root);
    if (s->warm)
        assert_ok(store_wait_put(&w, "t/1/other", "x", true, &err));
    if (s->exists)
        assert_ok(store_wait_put(&w, "t/1/o", old_text, true, &err));
    f.countdown = n;
    rc = store_wait_put(&w, "t/1/o", new_text, s->create_only, &err);
    store_wait_close(&w);
    assert_int_equal(f.open_fds, 0);
    check_after(s, root, n, rc, &err);
    if (f.fired == 0) {
        assert_fails(rc, s->create_only && s->exists ? E_EXISTS : E_OK);
        return false;
    }
    check_next(s, root, n);
    return true;
}

static long walk(const struct scene *s)
{
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 32];
    long n = 1;
    bool met;

    do {
        store_wait_scratch(dir);
        (void)snprintf(root, sizeof root, "%s/r", dir);
        met = put_with_fault(s, root, n);
        store_wait_unscratch(dir);
    } while (met && ++n < 200);
    return n;
}

static void walk_all(enum fault_mode mode, bool lie)
{
    for (unsigned bits = 0; bits < 16; bits++) {
        struct scene s = {.create_only = (bits & 1) != 0,
            .exists = (bits & 2) != 0,
            .warm = (bits & 4) != 0,
            .plain = (bits & 8) != 0,
            .lie = lie,
            .mode = mode};

        assert_in_range(walk(&s), s.warm || s.exists ? 9 : 30, 80); /* it really walked through it */
    }
}

static void test_fail_once(void **state)
{
    (void)state;
    walk_all(FAULT_ONCE, false);
}

static void test_fail_from_then_on(void **state)
{
    (void)state;
    walk_all(FAULT_FOREVER, false);
}

/* As with a network file system whose answer gets lost. */
static void test_failures_that_happened(void **state)
{
    (void)state;
    walk_all(FAULT_ONCE, true);
}

/* A full disk is told as such, wherever it is met. */
static void test_disk_full(void **state)
{
    char dir[STORE_WAIT_PATH_SIZE];
    long n = 1;

    (void)state;
    for (;; n++) {
        struct store_wait w;
        struct fault_fsys f;
        struct err err;
        struct rc rc;

        store_wait_scratch(dir);
        fault_fsys_init(&f, FAULT_FOREVER, n, ENOSPC);
        f.ops = FAULT_PWRITE | FAULT_FSYNC | FAULT_MKDIR; /* removing is still possible */
        store_wait_open(&w, &f.fs, dir);
        rc = store_wait_put(&w, "t/1/o", new_text, true, &err);
        store_wait_close(&w);
        assert_int_equal(store_wait_temps(dir), 0);
        assert_int_equal(f.open_fds, 0);
        store_wait_unscratch(dir);
        if (f.fired == 0) {
            assert_ok(rc);
            break;
        }
        assert_fails(rc, E_NOSPACE);
        assert_non_null(strstr(err.msg, ": No space left on device"));
    }
    assert_in_range(n, 8, 20);
}

/* --- reading and deleting with faults ----------------------------------------------------------------------------- */

static struct rc one(struct store_wait *w, enum store_verb verb, struct store_req *req, struct err *err)
{
    store_req_init(req, verb, verb == STORE_LIST ? "t/" : "t/1/o", NULL, NULL);
    return store_wait_run(&w->loop, w->store, req, err);
}

static void read_walk(enum store_verb verb, enum fault_mode mode, long least)
{
    char dir[STORE_WAIT_PATH_SIZE];
    struct store_wait w;
    struct store_req req;
    struct fault_fsys f;
    struct err err;
    struct rc rc;
    long n = 1;

    for (;; n++) {
        store_wait_scratch(dir);
        fault_fsys_init(&f, mode, 0, EIO);
        f.short_io = true;
        store_wait_open(&w, &f.fs, dir);
        assert_ok(store_wait_put(&w, "t/1/o", new_text, true, &err));
        assert_ok(store_wait_put(&w, "t/2/o", new_text, true, &err));
        f.countdown = n;
        rc = one(&w, verb, &req, &err);
        if (!rc_failed(rc) && verb == STORE_GET) {
            assert_int_equal(req.data.size, strlen(new_text));
            assert_memory_equal(req.data.data, new_text, req.data.size);
        }
        if (!rc_failed(rc) && verb == STORE_LIST)
            assert_int_equal(req.entry_count, 2);
        if (rc_failed(rc)) {
            assert_fails(rc, E_IO);
            assert_non_null(strstr(err.msg, strerrordesc_np(EIO)));
            assert_int_equal(req.data.size, 0); /* results on success only */
            assert_int_equal(req.entry_count, 0);
            assert_false(req.more);
        }
        store_req_fini(&req);
        store_wait_close(&w);
        assert_int_equal(f.open_fds, 0);
        store_wait_unscratch(dir);
        if (f.fired == 0)
            break;
        /* Only a close after reading may fail without harm. */
        assert_true(rc_failed(rc) || verb == STORE_GET);
    }
    assert_ok(rc);
    assert_in_range(n, least, 40);
}

static void test_other_verbs_fail(void **state)
{
    (void)state;
    for (int mode = FAULT_ONCE; mode <= FAULT_FOREVER; mode++) {
        read_walk(STORE_GET, (enum fault_mode)mode, 5);
        read_walk(STORE_LIST, (enum fault_mode)mode, 5);
        read_walk(STORE_DELETE, (enum fault_mode)mode, 2);
    }
}

/* --- left-overs --------------------------------------------------------------------------------------------------- */

static void make_aged(const char *root, const char *name, int days)
{
    struct timespec times[2] = {
        {.tv_sec = time(NULL) - days * 86400L - 60}, {.tv_sec = time(NULL) - days * 86400L - 60}};
    char path[200];
    int fd;

    (void)snprintf(path, sizeof path, "%s/.tmp/%s", root, name);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_there(const char *root, const char *name)
{
    char path[200];

    (void)snprintf(path, sizeof path, "%s/.tmp/%s", root, name);
    return access(path, F_OK) == 0;
}

static void test_sweep(void **state)
{
    static const char put[] = "p0123456789abcdef0123456789abcdef", upload[] = "u0123456789abcdef0123456789abcdef",
                      young[] = "pffffffffffffffffffffffffffffffff", foreign[] = "x0123456789abcdef0123456789abcdef",
                      upper[] = "p0123456789ABCDEF0123456789ABCDEF", note[] = "pay-attention.txt";
    char dir[STORE_WAIT_PATH_SIZE], path[200];
    struct store_wait w;
    struct err err;

    (void)state;
    store_wait_scratch(dir);
    (void)snprintf(path, sizeof path, "%s/.tmp", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    make_aged(dir, put, 1);
    make_aged(dir, upload, 30);
    make_aged(dir, young, 0);
    make_aged(dir, foreign, 30);
    make_aged(dir, upper, 30);
    make_aged(dir, note, 30);
    store_wait_open(&w, &fsys_real, dir);
    assert_ok(store_wait_delete(&w, "a", &err)); /* not a write */
    assert_true(is_there(dir, put));
    assert_ok(store_wait_put(&w, "a", "x", true, &err));
    assert_false(is_there(dir, put));
    assert_false(is_there(dir, upload));
    assert_true(is_there(dir, young));
    assert_true(is_there(dir, foreign)); /* not made by us */
    assert_true(is_there(dir, upper));
    assert_true(is_there(dir, note));
    make_aged(dir, put, 1);
    assert_ok(store_wait_put(&w, "b", "x", true, &err)); /* not at every write */
    assert_true(is_there(dir, put));
    store_wait_close(&w);
    store_wait_unscratch(dir);
}

/* --- what it costs ------------------------------------------------------------------------------------------------ */

static long calls_of_put(struct fault_fsys *f, struct store_wait *w, const char *key, bool create_only)
{
    long before = f->calls;
    struct err err;

    assert_ok(store_wait_put(w, key, "x", create_only, &err));
    return f->calls - before;
}

/* create, write, fsync, close; rename; open, fsync and close the directory. */
static void test_steady_put_is_cheap(void **state)
{
    const struct fsys plain = plain_fsys();
    char dir[STORE_WAIT_PATH_SIZE];
    struct store_wait w;
    struct fault_fsys f;

    (void)state;
    store_wait_scratch(dir);
    fault_fsys_init(&f, FAULT_ONCE, 0, EIO);
    store_wait_open(&w, &f.fs, dir);
    assert_true(calls_of_put(&f, &w, "t/1/log/1", true) > 8);
    assert_int_equal(calls_of_put(&f, &w, "t/1/log/2", true), 8);
    assert_int_equal(calls_of_put(&f, &w, "t/1/log/3", false), 8);
    store_wait_close(&w);

    fault_fsys_init(&f, FAULT_ONCE, 0, EIO);
    f.below = &plain;
    store_wait_open(&w, &f.fs, dir);
    assert_true(calls_of_put(&f, &w, "t/1/log/4", true) > 9);
    assert_int_equal(calls_of_put(&f, &w, "t/1/log/5", true), 9); /* link and unlink */
    store_wait_close(&w);
    store_wait_unscratch(dir);
}

/* --- file systems that cannot ------------------------------------------------------------------------------------- */

static int no_link(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    (void)from;
    (void)to;
    errno = EPERM;
    return -1;
}

/* NFS: the server has done it, the repeated request meets its own work. */
static int link_told_wrong(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    if (link(from, to) == 0)
        errno = EEXIST;
    return -1;
}

static void test_neither_rename_new_nor_link(void **state)
{
    struct fsys fs = plain_fsys();
    char dir[STORE_WAIT_PATH_SIZE];
    struct store_wait w;
    struct err err;

    (void)state;
    fs.link = no_link;
    store_wait_scratch(dir);
    store_wait_open(&w, &fs, dir);
    assert_fails(store_wait_put(&w, "a", "x", true, &err), E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "(a replica needs a file system with RENAME_NOREPLACE or hard links): "
                                    "Operation not permitted"));
    assert_int_equal(store_wait_temps(dir), 0);
    store_wait_close(&w);
    store_wait_unscratch(dir);
}

static void test_link_whose_answer_was_wrong(void **state)
{
    struct fsys fs = plain_fsys();
    char dir[STORE_WAIT_PATH_SIZE];
    struct store_wait w;
    struct err err;

    (void)state;
    fs.link = link_told_wrong;
    store_wait_scratch(dir);
    store_wait_open(&w, &fs, dir);
    assert_ok_err(store_wait_put(&w, "a", new_text, true, &err), &err); /* ours */
    assert_int_equal(look(dir, "a"), NEW);
    assert_fails(store_wait_put(&w, "a", new_text, true, &err), E_EXISTS); /* not ours */
    assert_int_equal(store_wait_temps(dir), 0);
    store_wait_close(&w);
    store_wait_unscratch(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_once),
        cmocka_unit_test(test_fail_from_then_on),
        cmocka_unit_test(test_failures_that_happened),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_other_verbs_fail),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_steady_put_is_cheap),
        cmocka_unit_test(test_neither_rename_new_nor_link),
        cmocka_unit_test(test_link_whose_answer_was_wrong),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
