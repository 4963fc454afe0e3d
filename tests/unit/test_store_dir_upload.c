/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads of the directory store. */
#include "check.h"

#include "alloc.h"
#include "fault_fsys.h"
#include "store_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PART = 1 << 20, TAIL = 1234 };

struct kit {
    struct store_wait w;
    char dir[STORE_WAIT_PATH_SIZE];
    uint8_t *bytes; /* three parts and a bit */
    char *id;
    struct err err;
};

static void kit_open(struct kit *k, const struct fsys *fs)
{
    uint64_t seed = 1;

    k->id = NULL;
    k->bytes = mem_new(3 * PART + TAIL);
    for (size_t i = 0; i < 3 * PART + TAIL; i += 2)
        k->bytes[i] = (uint8_t)check_random(&seed);
    store_wait_scratch(k->dir);
    store_wait_open(&k->w, fs, k->dir);
    assert_int_equal(k->w.store->part_size, PART);
}

static void kit_close(struct kit *k)
{
    store_wait_close(&k->w);
    store_wait_unscratch(k->dir);
    mem_free(k->bytes);
    mem_free(k->id);
}

static struct rc start(struct kit *k, const char *key)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_UPLOAD_START, key, NULL, NULL);
    rc = store_wait_run(&k->w.loop, k->w.store, &req, &k->err);
    if (!rc_failed(rc)) {
        mem_free(k->id);
        k->id = MOVE(req.upload_id);
    } else
        assert_null(req.upload_id);
    store_req_fini(&req);
    return rc;
}

static struct rc go_on(struct kit *k, enum store_verb verb, const char *key, uint32_t part, struct span body)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, verb, key, NULL, NULL);
    req.upload = k->id;
    req.part = part;
    req.body = body;
    req.create_only = verb == STORE_UPLOAD_FINISH;
    rc = store_wait_run(&k->w.loop, k->w.store, &req, &k->err);
    store_req_fini(&req);
    return rc;
}

static struct rc part(struct kit *k, uint32_t n, size_t size)
{
    return go_on(k, STORE_UPLOAD_PART, "big", n, span_of(k->bytes + (size_t)(n - 1) * PART, size));
}

static struct rc finish(struct kit *k, uint32_t count)
{
    return go_on(k, STORE_UPLOAD_FINISH, "big", count, (struct span){0});
}

static struct rc give_up(struct kit *k)
{
    return go_on(k, STORE_UPLOAD_ABORT, "big", 0, (struct span){0});
}

/* 1: whole, 0: not there, -1: something else. */
static int look(const struct kit *k, size_t size)
{
    char path[200];
    struct buf got;
    struct err err;
    struct rc rc;
    int is = -1;

    (void)snprintf(path, sizeof path, "%s/big", k->dir);
    buf_init(&got, 5 * PART);
    rc = fsys_read_file(&fsys_real, path, &got, &err);
    if (rc.code == E_NOTFOUND)
        is = 0;
    else if (!rc_failed(rc) && got.size == size && memcmp(got.data, k->bytes, size) == 0)
        is = 1;
    buf_fini(&got);
    return is;
}

/* --- the way it should be ----------------------------------------------------------------------------------------- */

static void test_parts_in_any_order(void **state)
{
    struct store_req list;
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok_err(start(&k, "big"), &k.err);
    assert_ok(part(&k, 4, TAIL));
    assert_ok(part(&k, 2, PART));
    assert_ok(part(&k, 1, PART));
    assert_ok(part(&k, 3, PART));
    assert_ok(part(&k, 2, PART)); /* sent again */
    assert_int_equal(look(&k, 0), 0);
    store_req_init(&list, STORE_LIST, "", NULL, NULL);
    assert_ok(store_wait_run(&k.w.loop, k.w.store, &list, &k.err));
    assert_int_equal(list.entry_count, 0); /* nothing shows before FINISH */
    store_req_fini(&list);
    assert_ok_err(finish(&k, 4), &k.err);
    assert_int_equal(look(&k, 3 * PART + TAIL), 1);
    assert_int_equal(store_wait_temps(k.dir), 0);
    assert_int_equal(k.w.store->counts.bytes_out, 4 * PART + TAIL);
    assert_ok(give_up(&k)); /* too late, harmless */
    assert_int_equal(look(&k, 3 * PART + TAIL), 1);
    assert_fails(finish(&k, 4), E_NOTFOUND);
    assert_string_equal(k.err.msg, "upload_finish big: no such upload of this key is open");
    kit_close(&k);
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, PART - 1, PART, PART + 1, 2 * PART};
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t count = 1;
        size_t left = sizes[i];

        assert_ok(start(&k, "big"));
        for (; left > PART; left -= PART)
            assert_ok(part(&k, count++, PART));
        assert_ok(part(&k, count, left));
        assert_ok_err(finish(&k, count), &k.err);
        assert_int_equal(look(&k, sizes[i]), 1);
        assert_ok(store_wait_delete(&k.w, "big", &k.err));
    }
    kit_close(&k);
}

static void on_done(struct store_req *req)
{
    ++*(int *)req->ctx;
}

static void test_parts_side_by_side(void **state)
{
    struct store_req req[4];
    struct kit k;
    int done = 0;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok(start(&k, "big"));
    for (uint32_t i = 0; i < 4; i++) {
        store_req_init(&req[i], STORE_UPLOAD_PART, "big", on_done, &done);
        req[i].upload = k.id;
        req[i].part = i + 1;
        req[i].body = span_of(k.bytes + (size_t)i * PART, i < 3 ? PART : TAIL);
        store_submit(k.w.store, &req[i]);
    }
    assert_fails(finish(&k, 4), E_BUSY); /* refused before the parts were back */
    assert_string_equal(k.err.msg, "upload_finish big: 4 requests of the upload are still under way");
    while (done < 4 && uv_run(&k.w.loop, UV_RUN_ONCE) != 0)
        ;
    assert_int_equal(done, 4);
    for (int i = 0; i < 4; i++) {
        assert_ok(store_result(&req[i], &k.err));
        store_req_fini(&req[i]);
    }
    assert_ok_err(finish(&k, 4), &k.err);
    assert_int_equal(look(&k, 3 * PART + TAIL), 1);
    kit_close(&k);
}

static void test_abort(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok(start(&k, "big"));
    assert_ok(part(&k, 1, PART));
    assert_int_equal(store_wait_temps(k.dir), 1);
    assert_ok(give_up(&k));
    assert_int_equal(store_wait_temps(k.dir), 0);
    assert_int_equal(look(&k, 0), 0);
    assert_ok(give_up(&k));
    assert_fails(part(&k, 1, PART), E_NOTFOUND);
    kit_close(&k);
}

/* What nobody can finish any more goes away with the store. */
static void test_stop_removes(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok(start(&k, "big"));
    assert_ok(part(&k, 1, PART));
    assert_ok(start(&k, "big"));
    assert_int_equal(store_wait_temps(k.dir), 2);
    store_wait_close(&k.w);
    assert_int_equal(store_wait_temps(k.dir), 0);
    store_wait_open(&k.w, &fsys_real, k.dir);
    assert_fails(part(&k, 1, PART), E_NOTFOUND); /* and an id does not outlive its store */
    kit_close(&k);
}

/* --- the way it should not be ------------------------------------------------------------------------------------- */

static void test_ids_are_not_paths(void **state)
{
    static const char *const ids[] = {"", ".", "..", "../victim", "/etc/passwd", "u",
        "p0123456789abcdef0123456789abcdef", "u0123456789abcdef0123456789abcdef",
        "a very long id .............................................."};
    char path[200];
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok(store_wait_put(&k.w, "victim", "x", true, &k.err));
    (void)snprintf(path, sizeof path, "%s/.tmp/%s", k.dir, ids[7]); /* there, but not ours */
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        mem_free(k.id);
        k.id = mem_strdup(ids[i]);
        assert_fails(part(&k, 1, TAIL), E_NOTFOUND);
        assert_fails(finish(&k, 1), E_NOTFOUND);
        assert_ok(give_up(&k));
    }
    assert_int_equal(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s/victim", k.dir);
    assert_int_equal(access(path, F_OK), 0);

    assert_ok(start(&k, "other")); /* of another key */
    assert_fails(part(&k, 1, TAIL), E_NOTFOUND);
    assert_string_equal(k.err.msg, "upload_part big: no such upload of this key is open");
    kit_close(&k);
}

static void test_ids_differ(void **state)
{
    char *first;
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok(start(&k, "big"));
    first = MOVE(k.id);
    assert_ok(start(&k, "big"));
    assert_int_equal(strlen(first), 33);
    assert_string_not_equal(first, k.id);
    mem_free(first);
    kit_close(&k);
}

static void test_holes(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok(start(&k, "big"));
    assert_fails(finish(&k, 1), E_BUG);
    assert_string_equal(k.err.msg, "upload_finish big: 0 parts are there, 1 were announced");
    assert_ok(part(&k, 1, PART));
    assert_ok(part(&k, 3, PART));
    assert_fails(finish(&k, 2), E_BUG);
    assert_string_equal(k.err.msg, "upload_finish big: part 2 of 2 is missing");
    assert_fails(finish(&k, 3), E_BUG);
    assert_ok(part(&k, 2, TAIL));
    assert_fails(finish(&k, 3), E_BUG);
    assert_string_equal(k.err.msg, "upload_finish big: part 2 of 3 is too short: 1234 of 1048576 bytes");
    assert_fails(part(&k, 4, TAIL), E_BUG);
    assert_string_equal(k.err.msg, "upload_part big: part 4 has 1234 bytes, but part 2 is the last already");
    assert_ok(part(&k, 2, PART)); /* put right */
    assert_ok(part(&k, 4, TAIL));
    assert_ok_err(finish(&k, 4), &k.err);
    assert_int_equal(look(&k, 3 * PART + TAIL), 1);
    kit_close(&k);
}

static void test_limits(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    for (int i = 0; i < 64; i++)
        assert_ok(start(&k, "big"));
    assert_fails(start(&k, "big"), E_BUSY);
    assert_string_equal(k.err.msg, "upload_start big: 64 uploads are under way, which is the limit");
    assert_ok(give_up(&k));
    assert_ok(start(&k, "big")); /* one has become free */
    assert_fails(go_on(&k, STORE_UPLOAD_PART, "big", (1 << 22) + 1, span_of(k.bytes, 1)), E_UNSUPPORTED);
    assert_string_equal(
        k.err.msg, "upload_part big: part 4194305: an upload has at most 4194304 parts of 1048576 bytes");
    kit_close(&k);
}

static void test_taken(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok(start(&k, "big"));
    assert_ok(part(&k, 1, TAIL));
    assert_ok(store_wait_put(&k.w, "big", "first", true, &k.err));
    assert_fails(finish(&k, 1), E_EXISTS);
    assert_int_equal(look(&k, TAIL), -1); /* the other's */
    assert_ok(store_wait_delete(&k.w, "big", &k.err));
    assert_ok(finish(&k, 1)); /* the upload is still there */
    assert_int_equal(look(&k, TAIL), 1);
    kit_close(&k);
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

static struct rc whole_upload(struct kit *k)
{
    struct rc rc = start(k, "big");

    if (!rc_failed(rc))
        rc = part(k, 2, TAIL);
    if (!rc_failed(rc))
        rc = part(k, 1, PART);
    if (!rc_failed(rc))
        rc = finish(k, 2);
    return rc;
}

static void fault_walk(enum fault_mode mode)
{
    long n = 1;

    for (;; n++) {
        struct fault_fsys f;
        struct kit k;
        struct rc rc;
        int is;

        fault_fsys_init(&f, mode, n, EIO);
        kit_open(&k, &f.fs);
        rc = whole_upload(&k);
        is = look(&k, PART + TAIL);
        if (is < 0 || (!rc_failed(rc) && is != 1))
            fail_msg("call %ld: half an object", n);
        if (rc_failed(rc)) {
            struct err kept = k.err;

            assert_fails(rc, E_IO);
            assert_non_null(strstr(kept.msg, strerrordesc_np(EIO)));
            if (k.id != NULL)
                assert_ok(give_up(&k));
        }
        store_wait_close(&k.w);
        assert_int_equal(f.open_fds, 0);
        if (mode == FAULT_ONCE)
            assert_int_equal(store_wait_temps(k.dir), 0);
        store_wait_open(&k.w, &fsys_real, k.dir);
        if (is == 0)
            assert_ok(whole_upload(&k));
        assert_int_equal(look(&k, PART + TAIL), 1);
        kit_close(&k);
        if (f.fired == 0) {
            assert_ok(rc);
            break;
        }
    }
    assert_in_range(n, 12, 60);
}

static void test_faults(void **state)
{
    (void)state;
    fault_walk(FAULT_ONCE);
    fault_walk(FAULT_FOREVER);
}

/* A part that failed does not count, also when an earlier try of it had worked. */
static void test_failed_part(void **state)
{
    struct fault_fsys f;
    struct kit k;

    (void)state;
    fault_fsys_init(&f, FAULT_ONCE, 0, ENOSPC);
    f.ops = FAULT_PWRITE;
    f.short_io = true;
    kit_open(&k, &f.fs);
    assert_ok(start(&k, "big"));
    assert_ok(part(&k, 1, PART));
    f.countdown = 2;
    assert_fails(part(&k, 1, PART), E_NOSPACE);
    assert_non_null(strstr(k.err.msg, "upload_part big: temporary file u"));
    assert_non_null(strstr(k.err.msg, ": No space left on device"));
    assert_fails(finish(&k, 1), E_BUG);
    assert_ok(part(&k, 1, PART));
    assert_ok(finish(&k, 1));
    assert_int_equal(look(&k, PART), 1);
    kit_close(&k);
}

/* What a failed fsync leaves behind must not become an object by a second one. */
static void test_failed_fsync_is_the_end(void **state)
{
    struct fault_fsys f;
    struct kit k;

    (void)state;
    fault_fsys_init(&f, FAULT_ONCE, 0, EIO);
    f.ops = FAULT_FSYNC;
    kit_open(&k, &f.fs);
    assert_ok(start(&k, "big"));
    assert_ok(part(&k, 1, TAIL));
    f.countdown = 1;
    assert_fails(finish(&k, 1), E_IO);
    assert_int_equal(store_wait_temps(k.dir), 0);
    assert_fails(finish(&k, 1), E_NOTFOUND);
    assert_int_equal(look(&k, TAIL), 0);
    kit_close(&k);
    assert_int_equal(f.open_fds, 0);
}

static void test_no_memory(void **state)
{
    struct kit k;
    struct rc rc;

    (void)state;
    kit_open(&k, &fsys_real);
    assert_ok(start(&k, "big"));
    mem_fail_after(1, false);
    rc = part(&k, 1, TAIL);
    mem_fail_after(0, false);
    assert_fails(rc, E_NOMEM);
    assert_string_equal(k.err.msg, "upload_part big: a table of 1024 parts");
    assert_ok(part(&k, 1, TAIL));
    assert_ok(finish(&k, 1));
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_in_any_order),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_parts_side_by_side),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_stop_removes),
        cmocka_unit_test(test_ids_are_not_paths),
        cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_failed_part),
        cmocka_unit_test(test_failed_fsync_is_the_end),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
