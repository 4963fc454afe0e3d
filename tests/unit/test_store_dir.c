/* SPDX-License-Identifier: Apache-2.0 */
/* What the directory store answers; listings, uploads and faults are in tests of their own. */
#include "store_dir_kit.h"

#include <semaphore.h>

/* --- put, get, delete --------------------------------------------------------------------------------------------- */

static void test_put_get_delete(void **state)
{
    struct kit k;
    struct stat st;
    char path[200];

    (void)state;
    kit_open(&k);
    assert_no_object(&k, "t/1/log/0001"); /* and the directory is not made by reading */
    assert_int_equal(stat(k.root, &st), -1);
    assert_ok(store_wait_delete(&k.w, "t/1/log/0001", &k.err));
    assert_int_equal(stat(k.root, &st), -1);

    assert_ok_err(store_wait_put(&k.w, "t/1/log/0001", "one", true, &k.err), &k.err);
    assert_object(&k, "t/1/log/0001", "one");
    assert_fails(store_wait_put(&k.w, "t/1/log/0001", "two", true, &k.err), E_EXISTS);
    assert_string_equal(told(k.err.msg, k.dir), "put t/1/log/0001: DIR/r/t/1/log/0001 exists already");
    assert_object(&k, "t/1/log/0001", "one");
    assert_ok(store_wait_put(&k.w, "t/1/log/0001", "two", false, &k.err));
    assert_object(&k, "t/1/log/0001", "two");
    assert_ok(store_wait_put(&k.w, "empty", "", true, &k.err));
    assert_object(&k, "empty", "");

    assert_ok(store_wait_delete(&k.w, "t/1/log/0001", &k.err));
    assert_no_object(&k, "t/1/log/0001");
    assert_string_equal(told(k.err.msg, k.dir), "get t/1/log/0001: open DIR/r/t/1/log/0001: No such file or directory");
    assert_ok(store_wait_delete(&k.w, "t/1/log/0001", &k.err));
    assert_ok(store_wait_put(&k.w, "t/1/log/0001", "three", true, &k.err)); /* the key is free again */

    /* Others than the group have no business there. */
    assert_int_equal(stat(k.root, &st), 0);
    assert_int_equal(st.st_mode & 07, 0);
    (void)snprintf(path, sizeof path, "%s/t/1/log/0001", k.root);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07, 0);
    (void)snprintf(path, sizeof path, "%s/.tmp", k.root);
    assert_int_equal(rmdir(path), 0); /* so it is empty */
    assert_int_equal(k.w.store->counts.requests[STORE_PUT], 5);
    assert_int_equal(k.w.store->counts.bytes_out, 11);
    kit_close(&k);
}

static void test_head(void **state)
{
    struct store_req req;
    struct kit k;

    (void)state;
    kit_open(&k);
    store_req_init(&req, STORE_HEAD, "a/b", NULL, NULL);
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_NOTFOUND);
    assert_string_equal(told(k.err.msg, k.dir), "head a/b: stat DIR/r/a/b: No such file or directory");
    assert_ok(store_wait_put(&k.w, "a/b", "hello", true, &k.err));
    assert_ok_err(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), &k.err);
    assert_int_equal(req.size, 5);
    assert_string_equal(req.etag, "");
    store_req_fini(&req);
    store_req_init(&req, STORE_HEAD, "a", NULL, NULL); /* a directory is no object */
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_NOTFOUND);
    store_req_init(&req, STORE_HEAD, "a/b/c", NULL, NULL);
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_IO);
    assert_string_equal(
        told(k.err.msg, k.dir), "head a/b/c: DIR/r/a/b is a file where a directory is needed: Not a directory");
    store_req_fini(&req);
    kit_close(&k);
}

static void test_delete_many(void **state)
{
    static const char *const keys[] = {"a/1", "a/none", "a/1/x", "b", "a/1", "c"};
    struct store_req req;
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_ok(store_wait_put(&k.w, "a/1", "1", true, &k.err));
    assert_ok(store_wait_put(&k.w, "b", "2", true, &k.err));
    assert_ok(store_wait_put(&k.w, "c", "3", true, &k.err));
    assert_ok(store_wait_put(&k.w, "d", "4", true, &k.err));
    store_req_init(&req, STORE_DELETE_MANY, "", NULL, NULL);
    req.keys = keys;
    req.key_count = 2;
    assert_ok_err(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), &k.err);
    assert_no_object(&k, "a/1");
    assert_object(&k, "b", "2");

    assert_ok(store_wait_put(&k.w, "a/1", "1", true, &k.err));
    req.keys = keys + 2; /* the first of these cannot be looked at; the others go all the same */
    req.key_count = 4;
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_IO);
    assert_string_equal(told(k.err.msg, k.dir), "delete 4 keys: remove DIR/r/a/1/x: Not a directory");
    assert_no_object(&k, "a/1");
    assert_no_object(&k, "b");
    assert_no_object(&k, "c");
    assert_object(&k, "d", "4");
    store_req_fini(&req);
    kit_close(&k);
}

/* There is no way to compare and replace in one step. */
static void test_if_match_is_refused(void **state)
{
    struct store_req req;
    struct kit k;

    (void)state;
    kit_open(&k);
    store_req_init(&req, STORE_PUT, "a", NULL, NULL);
    req.body = span_of("x", 1);
    (void)snprintf(req.if_match, sizeof req.if_match, "etag");
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_UNSUPPORTED);
    assert_no_object(&k, "a");
    store_req_fini(&req);
    kit_close(&k);
}

/* A key may be as long as the contract says. */
static void test_longest_key(void **state)
{
    char key[STORE_KEY_MAX + 1], part[STORE_KEY_MAX + 1];
    struct kit k;

    (void)state;
    kit_open(&k);
    memset(key, 'k', STORE_KEY_MAX);
    key[200] = '/';
    key[400] = '/';
    key[STORE_KEY_MAX] = 0;
    assert_ok_err(store_wait_put(&k.w, key, "x", true, &k.err), &k.err);
    assert_object(&k, key, "x");
    for (int i = 0; i < STORE_KEY_MAX; i++) /* and as deep */
        part[i] = i % 2 == 0 ? 'd' : '/';
    part[STORE_KEY_MAX - 1] = 'f';
    part[STORE_KEY_MAX] = 0;
    assert_ok_err(store_wait_put(&k.w, part, "y", true, &k.err), &k.err);
    assert_object(&k, part, "y");
    memset(key, 'k', 300); /* a part that no file system takes */
    key[300] = 0;
    assert_fails(store_wait_put(&k.w, key, "x", true, &k.err), E_IO);
    assert_non_null(strstr(k.err.msg, "File name too long"));
    kit_close(&k);
}

static void get_range(struct kit *k, uint64_t offset, uint64_t length, struct store_req *req, struct rc *rc)
{
    store_req_init(req, STORE_GET, "o", NULL, NULL);
    req->offset = offset;
    req->length = length;
    *rc = store_wait_run(&k->w.loop, k->w.store, req, &k->err);
}

static void test_ranges(void **state)
{
    static const char text[] = "0123456789";
    struct store_req req;
    struct kit k;
    struct rc rc;

    (void)state;
    kit_open(&k);
    assert_ok(store_wait_put(&k.w, "o", text, true, &k.err));
    for (uint64_t offset = 0; offset < 13; offset++) {
        for (uint64_t length = 0; length < 13; length++) {
            uint64_t want = offset >= 10 ? 0 : length == 0 || length > 10 - offset ? 10 - offset : length;

            get_range(&k, offset, length, &req, &rc);
            if (offset >= 10) {
                assert_fails(rc, E_NOTFOUND);
                assert_int_equal(req.data.size, 0);
            } else {
                assert_ok_err(rc, &k.err);
                assert_int_equal(req.data.size, want);
                assert_memory_equal(req.data.data, text + offset, want);
                assert_int_equal(req.size, 10);
            }
            store_req_fini(&req);
        }
    }
    get_range(&k, UINT64_MAX, STORE_GET_MAX, &req, &rc);
    assert_fails(rc, E_NOTFOUND);
    assert_string_equal(k.err.msg, "get o: offset 18446744073709551615 is behind the end of the object at 10");
    store_req_fini(&req);

    assert_ok(store_wait_put(&k.w, "o", "", false, &k.err));
    get_range(&k, 0, 0, &req, &rc); /* the whole of an empty object */
    assert_ok(rc);
    assert_int_equal(req.data.size, 0);
    store_req_fini(&req);
    get_range(&k, 0, 1, &req, &rc);
    assert_fails(rc, E_NOTFOUND);
    store_req_fini(&req);
    kit_close(&k);
}

/* More than one answer may hold: an error without a range, readable with one. */
static void test_large_object(void **state)
{
    struct store_req req;
    char path[200];
    struct kit k;
    struct rc rc;

    (void)state;
    kit_open(&k);
    assert_ok(store_wait_put(&k.w, "o", "x", true, &k.err));
    (void)snprintf(path, sizeof path, "%s/o", k.root);
    assert_int_equal(truncate(path, (off_t)STORE_GET_MAX + 1), 0); /* takes no space */
    get_range(&k, 0, 0, &req, &rc);
    assert_fails(rc, E_CORRUPT);
    assert_string_equal(k.err.msg, "get o: the object has 67108865 bytes to its end, more than the limit of 67108864");
    store_req_fini(&req);
    get_range(&k, STORE_GET_MAX, 0, &req, &rc);
    assert_ok(rc);
    assert_int_equal(req.data.size, 1);
    assert_int_equal(req.size, STORE_GET_MAX + 1);
    store_req_fini(&req);
    kit_close(&k);
}

/* --- what else may be in the directory ---------------------------------------------------------------------------- */

static void test_file_in_the_way(void **state)
{
    struct store_req req;
    struct buf got;
    struct kit k;

    (void)state;
    kit_open(&k);
    buf_init(&got, 10);
    assert_ok(store_wait_put(&k.w, "t/a", "x", true, &k.err));
    assert_fails(store_wait_put(&k.w, "t/a/b/c", "x", true, &k.err), E_IO);
    assert_string_equal(
        told(k.err.msg, k.dir), "put t/a/b/c: DIR/r/t/a is a file where a directory is needed: Not a directory");
    assert_fails(store_wait_put(&k.w, "t/a/b", "x", false, &k.err), E_IO);
    assert_string_equal(
        told(k.err.msg, k.dir), "put t/a/b: DIR/r/t/a is a file where a directory is needed: Not a directory");
    assert_fails(store_wait_get(&k.w, "t/a/b", &got, &k.err), E_IO);
    assert_string_equal(
        told(k.err.msg, k.dir), "get t/a/b: DIR/r/t/a is a file where a directory is needed: Not a directory");
    assert_fails(store_wait_delete(&k.w, "t/a/b", &k.err), E_IO);
    store_req_init(&req, STORE_LIST, "t/a/", NULL, NULL);
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_IO);
    assert_string_equal(
        told(k.err.msg, k.dir), "list t/a/: DIR/r/t/a is a file where a directory is needed: Not a directory");
    store_req_fini(&req);

    /* A directory with the object's name: there is no such object, and it cannot be made. */
    assert_no_object(&k, "t");
    assert_ok(store_wait_delete(&k.w, "t", &k.err));
    assert_fails(store_wait_put(&k.w, "t", "x", true, &k.err), E_IO);
    assert_string_equal(told(k.err.msg, k.dir), "put t: DIR/r/t is in the way and is not a file");
    assert_fails(store_wait_put(&k.w, "t", "x", false, &k.err), E_IO);
    assert_object(&k, "t/a", "x");

    /* Once the file is gone, the same store goes on. */
    assert_ok(store_wait_delete(&k.w, "t/a", &k.err));
    assert_ok_err(store_wait_put(&k.w, "t/a/b/c", "x", true, &k.err), &k.err);
    buf_fini(&got);
    kit_close(&k);
}

static void test_root_is_a_file(void **state)
{
    struct store_req req;
    struct kit k;

    (void)state;
    kit_open(&k);
    make_file(k.dir, "r");
    assert_fails(store_wait_put(&k.w, "a", "x", true, &k.err), E_IO);
    assert_string_equal(told(k.err.msg, k.dir), "put a: DIR/r is a file where a directory is needed: Not a directory");
    store_req_init(&req, STORE_LIST, "", NULL, NULL);
    assert_fails(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), E_IO);
    assert_string_equal(told(k.err.msg, k.dir), "list: DIR/r is a file where a directory is needed: Not a directory");
    store_req_fini(&req);
    assert_int_equal(unlink(k.root), 0); /* once it is out of the way, the same store goes on */
    assert_ok_err(store_wait_put(&k.w, "a", "x", true, &k.err), &k.err);
    kit_close(&k);
}

/* A pipe must not stop the one who opens it. */
static void test_pipe(void **state)
{
    char path[200];
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_ok(store_wait_put(&k.w, "a", "x", true, &k.err));
    (void)snprintf(path, sizeof path, "%s/pipe", k.root);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_no_object(&k, "pipe");
    assert_string_equal(told(k.err.msg, k.dir), "get pipe: DIR/r/pipe is not a file");
    kit_close(&k);
}

/* The replica's disk is unmounted under a running store: nothing may be written to where it was. */
static void test_root_vanishes(void **state)
{
    char away[300];
    struct stat st;
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_ok(store_wait_put(&k.w, "t/1/a", "x", true, &k.err));
    (void)snprintf(away, sizeof away, "%s/away", k.dir); /* not removed: its number is not to be had again */
    assert_int_equal(rename(k.root, away), 0);
    assert_fails(store_wait_put(&k.w, "t/1/b", "y", true, &k.err), E_IO);
    assert_string_equal(
        told(k.err.msg, k.dir), "put t/1/b: the replica's directory DIR/r is gone (is its disk mounted?)");
    assert_int_equal(stat(k.root, &st), -1);
    assert_int_equal(mkdir(k.root, 0700), 0); /* the mount point */
    assert_fails(store_wait_put(&k.w, "t/1/b", "y", true, &k.err), E_IO);
    assert_non_null(strstr(k.err.msg, "is not the one that it was (is its disk mounted?)"));
    assert_int_equal(rmdir(k.root), 0); /* and it is still empty */
    kit_close(&k);
}

/* The directory stays, but what was in it is gone: a part of a history must not be written into nothing.  That holds
 * for objects that were written as well as for those that were only read. */
static void emptied(bool written)
{
    char away[300], back[300];
    struct kit k;

    kit_open(&k);
    (void)snprintf(back, sizeof back, "%s/weir.json", k.root);
    (void)snprintf(away, sizeof away, "%s/away", k.dir);
    assert_ok(store_wait_put(&k.w, "weir.json", "{}", true, &k.err));
    assert_ok(store_wait_put(&k.w, "t/1/a", "x", true, &k.err));
    if (!written) {
        store_wait_close(&k.w);
        store_wait_open(&k.w, &fsys_real, k.root);
        assert_object(&k, "weir.json", "{}");
    }
    assert_int_equal(rename(back, away), 0);
    for (int i = 0; i < 2; i++) {
        assert_fails(store_wait_put(&k.w, "t/1/b", "y", true, &k.err), E_IO);
        assert_string_equal(told(k.err.msg, k.dir),
            "put t/1/b: the replica's directory DIR/r has no weir.json any more: was it emptied, is its disk mounted? "
            "Put its files back, or start with --adopt to begin a new history there");
        assert_no_object(&k, "t/1/b");
    }
    assert_int_equal(rename(away, back), 0);
    assert_ok_err(store_wait_put(&k.w, "t/1/b", "y", true, &k.err), &k.err);
    assert_object(&k, "t/1/b", "y");
    kit_close(&k);
}

static void test_emptied(void **state)
{
    (void)state;
    emptied(true);
    emptied(false);
}

/* Who removes that object himself may go on, and so may who writes it anew. */
static void test_emptied_by_us(void **state)
{
    struct store_req req;
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_ok(store_wait_put(&k.w, "weir.json", "{}", true, &k.err));
    store_req_init(&req, STORE_DELETE, "weir.json", NULL, NULL);
    assert_ok_err(store_wait_run(&k.w.loop, k.w.store, &req, &k.err), &k.err);
    store_req_fini(&req);
    assert_ok_err(store_wait_put(&k.w, "t/1/a", "x", true, &k.err), &k.err);
    assert_ok_err(store_wait_put(&k.w, "weir.json", "{}", true, &k.err), &k.err);
    store_wait_unscratch(k.root);
    assert_int_equal(mkdir(k.root, 0700), 0);
    kit_close(&k);
}

static char moved_from[STORE_WAIT_PATH_SIZE + 2], moved_to[STORE_WAIT_PATH_SIZE + 5];

/* Right behind the look that finds the replica's directory it is moved away. */
static int stat_and_move(const struct fsys *fs, const char *path, struct stat *st)
{
    int rc = fsys_real.stat(fs, path, st);

    if (rc == 0 && strcmp(path, moved_from) == 0)
        assert_int_equal(rename(moved_from, moved_to), 0);
    return rc;
}

static void test_root_vanishes_in_between(void **state)
{
    char dir[STORE_WAIT_PATH_SIZE];
    struct fsys fs = fsys_real;
    struct store_wait w;
    struct stat st;
    struct err err;

    (void)state;
    store_wait_scratch(dir);
    (void)snprintf(moved_from, sizeof moved_from, "%s/r", dir);
    (void)snprintf(moved_to, sizeof moved_to, "%s/away", dir);
    store_wait_open(&w, &fs, moved_from);
    assert_ok(store_wait_put(&w, "t/1/a", "x", true, &err));
    assert_int_equal(rename(moved_from, moved_to), 0);
    assert_fails(store_wait_put(&w, "t/1/b", "y", true, &err), E_IO); /* from here on it looks again */
    assert_int_equal(rename(moved_to, moved_from), 0);
    fs.stat = stat_and_move;
    assert_fails(store_wait_put(&w, "t/1/b", "y", true, &err), E_IO);
    assert_non_null(strstr(err.msg, "/r is gone (is its disk mounted?)"));
    assert_int_equal(stat(moved_from, &st), -1); /* it was not made again, beside the one that was moved */
    fs.stat = fsys_real.stat;
    assert_int_equal(rename(moved_to, moved_from), 0);
    assert_ok_err(store_wait_put(&w, "t/1/b", "y", true, &err), &err);
    store_wait_close(&w);
    store_wait_unscratch(dir);
}

/* Somebody removes a part of the replica under a running store. */
static void test_folder_vanishes(void **state)
{
    char away[300];
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_ok(store_wait_put(&k.w, "t/1/a", "x", true, &k.err));
    (void)snprintf(away, sizeof away, "%s/t", k.root);
    store_wait_unscratch(away);
    assert_ok_err(store_wait_put(&k.w, "t/1/a", "z", false, &k.err), &k.err);
    assert_object(&k, "t/1/a", "z");
    kit_close(&k);
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

enum { CROWD = 40 };

/* A disk on which only so many files can be made until the store is being stopped: the other requests wait, those that
 * have a thread and those that have none. */
static sem_t places;

static int open_when_there_is_a_place(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    (void)fs;
    while ((flags & O_CREAT) != 0 && sem_wait(&places) != 0)
        ;
    return fsys_real.open(&fsys_real, path, flags, mode);
}

static void make_places(void)
{
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(sem_post(&places), 0);
}

struct crowd {
    struct store_req *req[CROWD];
    unsigned done_count, ok_count, canceled_count;
    bool stopped;
    struct store *stop_from_callback;
};

static void on_crowd_stopped(void *ctx)
{
    struct crowd *c = ctx;

    assert_false(c->stopped);
    assert_int_equal(c->done_count, CROWD); /* everybody came back first */
    c->stopped = true;
}

/* The owner frees the request at once, and may stop the store from here. */
static void on_crowd(struct store_req *req)
{
    struct crowd *c = req->ctx;

    assert_false(c->stopped);
    c->done_count++;
    if (req->err.code == E_OK)
        c->ok_count++;
    else if (req->err.code == E_CANCELED) {
        c->canceled_count++;
        assert_non_null(strstr(req->err.msg, ": the store is stopping"));
    }
    store_req_fini(req);
    mem_free(req);
    if (c->stop_from_callback != NULL && c->done_count == 1) {
        store_stop(c->stop_from_callback, on_crowd_stopped, c);
        make_places();
    }
}

static void crowd_in(struct store_wait *w, struct crowd *c)
{
    *c = (struct crowd){0};
    for (int i = 0; i < CROWD; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "k/%d", i);
        c->req[i] = mem_new(sizeof *c->req[i]);
        store_req_init(c->req[i], STORE_PUT, key, on_crowd, c);
        c->req[i]->body = span_of("x", 1);
        store_submit(w->store, c->req[i]);
    }
}

static void stop_case(bool from_callback)
{
    struct fsys slow = fsys_real;
    char dir[STORE_WAIT_PATH_SIZE];
    struct store_wait w;
    struct crowd c;

    slow.open = open_when_there_is_a_place;
    assert_int_equal(sem_init(&places, 0, from_callback ? 1 : 0), 0);
    store_wait_scratch(dir);
    store_wait_open(&w, &slow, dir);
    crowd_in(&w, &c);
    if (from_callback)
        c.stop_from_callback = w.store;
    else {
        store_stop(w.store, on_crowd_stopped, &c);
        make_places();
    }
    assert_int_equal(c.done_count, 0);
    assert_false(c.stopped);
    assert_int_equal(uv_run(&w.loop, UV_RUN_DEFAULT), 0);
    assert_true(c.stopped);
    assert_int_equal(c.done_count, CROWD);
    assert_int_equal(c.ok_count + c.canceled_count, CROWD);
    assert_true(c.canceled_count > 0); /* so many do not fit into a handful of threads */
    if (from_callback)
        assert_true(c.ok_count > 0);
    assert_int_equal(sem_destroy(&places), 0);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    store_wait_unscratch(dir);
}

static void test_stop_under_load(void **state)
{
    (void)state;
    stop_case(false);
}

static void test_stop_from_callback(void **state)
{
    (void)state;
    stop_case(true);
}

static void test_stop_idle(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    kit_close(&k); /* asserts that on_stopped came later, and that nothing is left on the loop */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_delete),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_delete_many),
        cmocka_unit_test(test_if_match_is_refused),
        cmocka_unit_test(test_longest_key),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_large_object),
        cmocka_unit_test(test_file_in_the_way),
        cmocka_unit_test(test_root_is_a_file),
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_root_vanishes),
        cmocka_unit_test(test_emptied),
        cmocka_unit_test(test_emptied_by_us),
        cmocka_unit_test(test_root_vanishes_in_between),
        cmocka_unit_test(test_folder_vanishes),
        cmocka_unit_test(test_stop_under_load),
        cmocka_unit_test(test_stop_from_callback),
        cmocka_unit_test(test_stop_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
