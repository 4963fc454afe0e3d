/* SPDX-License-Identifier: Apache-2.0 */
/* What the directory store tells when it may not, or when the disk is full. */
#include "store_dir_kit.h"

/* --- errors of the system ----------------------------------------------------------------------------------------- */

/* What a child tells. */
struct tale {
    int code[4];
    char msg[4][ERR_MSG_SIZE];
    bool skipped;
};

static struct tale *tale_new(void)
{
    void *p = mmap(NULL, sizeof(struct tale), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(p != MAP_FAILED);
    return p;
}

static void tell(struct tale *t, int i, struct rc rc, const struct err *err)
{
    t->code[i] = (int)rc.code;
    if (rc_failed(rc))
        memcpy(t->msg[i], err->msg, sizeof err->msg);
}

static void in_child(void (*fn)(const char *dir, struct tale *t), const char *dir, struct tale *t)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        fn(dir, t);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void as_nobody(const char *dir, struct tale *t)
{
    char root[STORE_WAIT_PATH_SIZE + 8];
    struct store_wait w;
    struct store_req req;
    struct buf got;
    struct err err;

    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        t->skipped = true;
        return;
    }
    (void)snprintf(root, sizeof root, "%s/r", dir);
    store_wait_open(&w, &fsys_real, root);
    tell(t, 0, store_wait_put(&w, "a/b", "x", true, &err), &err);
    buf_init(&got, 10);
    tell(t, 1, store_wait_get(&w, "secret", &got, &err), &err);
    store_req_init(&req, STORE_LIST, "closed/", NULL, NULL);
    tell(t, 2, store_wait_run(&w.loop, w.store, &req, &err), &err);
    store_req_fini(&req);
    tell(t, 3, store_wait_delete(&w, "secret", &err), &err);
    buf_fini(&got);
    store_wait_close(&w);
}

static void test_not_allowed(void **state)
{
    struct tale *t = tale_new();
    char path[300];
    bool skipped;
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_int_equal(chmod(k.dir, 0755), 0);
    assert_int_equal(mkdir(k.root, 0755), 0);
    make_file(k.root, "secret");
    (void)snprintf(path, sizeof path, "%s/secret", k.root);
    assert_int_equal(chmod(path, 0), 0);
    (void)snprintf(path, sizeof path, "%s/closed", k.root);
    assert_int_equal(mkdir(path, 0), 0);
    assert_int_equal(chmod(k.root, 0555), 0);
    in_child(as_nobody, k.dir, t);
    assert_int_equal(chmod(k.root, 0755), 0);
    assert_int_equal(chmod(path, 0755), 0);
    if (!t->skipped) {
        for (int i = 0; i < 4; i++)
            assert_int_equal(t->code[i], E_DENIED);
        assert_string_equal(told(t->msg[0], k.dir), "put a/b: make directory DIR/r/.tmp: Permission denied");
        assert_string_equal(told(t->msg[1], k.dir), "get secret: open DIR/r/secret: Permission denied");
        assert_string_equal(told(t->msg[2], k.dir), "list closed/: open directory DIR/r/closed/: Permission denied");
        assert_string_equal(told(t->msg[3], k.dir), "delete secret: remove DIR/r/secret: Permission denied");
    }
    skipped = t->skipped;
    assert_int_equal(munmap(t, sizeof *t), 0);
    kit_close(&k);
    if (skipped)
        check_skip("only root becomes somebody else");
}

/* A file system of 256 KiB, mounted where only the child sees it. */
static void on_small_disk(const char *dir, struct tale *t)
{
    char root[STORE_WAIT_PATH_SIZE + 8], *text = mem_new(100001);
    struct store_wait w;
    struct store_req req;
    struct err err;

    (void)snprintf(root, sizeof root, "%s/r", dir);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0
        || mkdir(root, 0700) != 0 || mount("none", root, "tmpfs", 0, "size=256k") != 0) {
        t->skipped = true;
        return;
    }
    memset(text, 'x', 100000);
    store_wait_open(&w, &fsys_real, root);
    tell(t, 0, store_wait_put(&w, "a", text, true, &err), &err);
    tell(t, 1, store_wait_put(&w, "b", text, true, &err), &err);
    tell(t, 2, store_wait_put(&w, "c", text, true, &err), &err);
    if (t->code[1] == E_OK && t->code[2] == E_NOSPACE) {
        store_req_init(&req, STORE_LIST, "", NULL, NULL);
        if (rc_failed(store_wait_run(&w.loop, w.store, &req, &err)) || req.entry_count != 2)
            t->code[2] = -1;
        store_req_fini(&req);
        /* Nothing of the failed one is left: after a delete there is room for it. */
        if (rc_failed(store_wait_delete(&w, "a", &err)))
            t->code[2] = -2;
        tell(t, 3, store_wait_put(&w, "c", text, true, &err), &err);
    } else
        t->code[3] = -3;
    store_wait_close(&w);
    mem_free(text);
}

static void test_disk_full(void **state)
{
    struct tale *t = tale_new();
    char dir[STORE_WAIT_PATH_SIZE];
    bool skipped;

    (void)state;
    store_wait_scratch(dir);
    in_child(on_small_disk, dir, t);
    skipped = t->skipped;
    if (!skipped) {
        const char *msg = told(t->msg[2], dir);

        assert_int_equal(t->code[0], E_OK);
        assert_int_equal(t->code[1], E_OK);
        assert_int_equal(t->code[2], E_NOSPACE);
        assert_non_null(strstr(msg, "put c: DIR/r/.tmp/p"));
        assert_non_null(strstr(msg, ": write "));
        assert_non_null(strstr(msg, ": No space left on device"));
        assert_int_equal(t->code[3], E_OK);
    }
    assert_int_equal(munmap(t, sizeof *t), 0);
    store_wait_unscratch(dir);
    if (skipped)
        check_skip("nothing can be mounted here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_allowed),
        cmocka_unit_test(test_disk_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
