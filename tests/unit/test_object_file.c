/* SPDX-License-Identifier: Apache-2.0 */
/* Files to objects and back, over a store of which each request fails in turn: whole or not at all. */
#include "check.h"

#include "fault_store.h"
#include "object_file.h"
#include "store_wait.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART_SIZE = 1 << 20, FILE_SIZE = 5 * PART_SIZE + 1234 }; /* more than one round of parts */

struct rig {
    uv_loop_t loop;
    char root[STORE_WAIT_PATH_SIZE], file[STORE_WAIT_PATH_SIZE + 16], copy[STORE_WAIT_PATH_SIZE + 16];
    struct work *work;
    struct fault_store store;
};

struct job {
    struct work_item item; /* must be first */
    struct object_file o;
    struct rc (*fn)(struct job *j);
    bool replace, there, done;
    uint64_t size, told;
    struct rc rc;
    struct err err;
};

static void write_file(const char *path, size_t size, unsigned seed)
{
    uint8_t *bytes = malloc(size);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 + seed + i / 251);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    free(bytes);
}

static struct buf content(const char *path)
{
    struct buf b;
    struct err err;

    buf_init(&b, 1 << 24);
    assert_ok_err(fsys_read_file(&fsys_real, path, &b, &err), &err);
    return b;
}

static bool same(const char *a, const char *b)
{
    struct buf x = content(a), y = content(b);
    bool equal = x.size == y.size && memcmp(x.data, y.data, x.size) == 0;

    buf_fini(&x);
    buf_fini(&y);
    return equal;
}

static void begin(struct rig *g, size_t size)
{
    memset(g, 0, sizeof *g);
    store_wait_scratch(g->root);
    (void)snprintf(g->file, sizeof g->file, "%s-file", g->root);
    (void)snprintf(g->copy, sizeof g->copy, "%s-copy", g->root);
    write_file(g->file, size, 1);
    fault_store_begin(&g->store, &g->loop, g->root);
    assert_int_equal(g->store.base.part_size, PART_SIZE);
    g->work = work_new(&g->loop, 1);
}

static void end(struct rig *g)
{
    work_stop(g->work);
    store_wait_end(&g->loop, &g->store.base);
    store_wait_unscratch(g->root);
    (void)unlink(g->file);
    (void)unlink(g->copy);
}

static void run(struct work_item *item)
{
    struct job *j = (struct job *)item;

    j->rc = j->fn(j);
}

static void done(struct work_item *item)
{
    ((struct job *)item)->done = true;
}

static void on_progress(void *ctx, const char *stage, uint64_t at, uint64_t total)
{
    struct job *j = ctx;

    (void)stage;
    assert_true(at > j->told && at <= total);
    j->told = at;
}

static struct rc put(struct job *j)
{
    return object_file_put(&j->o, j->replace, &j->err);
}

static struct rc get(struct job *j)
{
    return object_file_get(&j->o, &j->err);
}

static struct rc look(struct job *j)
{
    return object_file_look(&j->o, &j->there, &j->size, &j->err);
}

static struct rc do_it(struct rig *g, struct job *j, struct rc (*fn)(struct job *j), const char *path)
{
    j->item = (struct work_item){.run = run, .done = done};
    j->fn = fn;
    j->done = false;
    j->told = 0;
    j->o = (struct object_file){.work = g->work,
        .store = &g->store.base,
        .fs = &fsys_real,
        .key = "a/app.db",
        .path = path,
        .on_progress = on_progress,
        .ctx = j};
    work_job(g->work, &j->item);
    while (!j->done)
        assert_true(uv_run(&g->loop, UV_RUN_ONCE) != 0 || j->done);
    return j->rc;
}

static void test_round_trip(void **state)
{
    static const size_t sizes[] = {1, PART_SIZE - 1, PART_SIZE, PART_SIZE + 1, 3 * PART_SIZE, 6 * PART_SIZE, FILE_SIZE};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct job j = {0};
        struct rig g;

        begin(&g, sizes[i]);
        assert_ok(do_it(&g, &j, look, g.file));
        assert_false(j.there);
        assert_ok_err(do_it(&g, &j, put, g.file), &j.err);
        assert_int_equal(j.told, sizes[i]);
        assert_ok(do_it(&g, &j, look, g.file));
        assert_true(j.there);
        assert_int_equal(j.size, sizes[i]);
        assert_ok_err(do_it(&g, &j, get, g.copy), &j.err);
        assert_true(same(g.file, g.copy));
        assert_fails(do_it(&g, &j, get, g.copy), E_EXISTS); /* never over a file */
        end(&g);
    }
}

static void test_taken(void **state)
{
    struct job j = {0};
    struct rig g;

    (void)state;
    begin(&g, FILE_SIZE);
    assert_fails(do_it(&g, &j, get, g.copy), E_NOTFOUND);
    assert_ok(do_it(&g, &j, put, g.file));
    assert_fails(do_it(&g, &j, put, g.file), E_EXISTS);
    write_file(g.file, FILE_SIZE + 7, 2);
    j.replace = true;
    assert_ok_err(do_it(&g, &j, put, g.file), &j.err);
    assert_ok(do_it(&g, &j, get, g.copy));
    assert_true(same(g.file, g.copy));
    end(&g);
}

/* Each request fails once, or all from there on: an error, and the object that was there or the new one, never half. */
static void fault_loop(enum fault_store_kind kind, bool forever)
{
    struct job j = {.replace = true};
    long n;

    for (n = 1;; n++) {
        char object[STORE_WAIT_PATH_SIZE + 16], old[STORE_WAIT_PATH_SIZE + 16];
        struct rig g;
        struct rc rc;
        long fired;

        begin(&g, FILE_SIZE);
        (void)snprintf(object, sizeof object, "%s/a/app.db", g.root);
        (void)snprintf(old, sizeof old, "%s-old", g.root);
        assert_ok(do_it(&g, &j, put, g.file));
        assert_int_equal(rename(g.file, old), 0);
        write_file(g.file, FILE_SIZE, 77);
        fault_store_arm(&g.store, kind, n, forever);
        rc = do_it(&g, &j, put, g.file);
        fired = g.store.fired;
        fault_store_disarm(&g.store);
        if (fired == 0) {
            assert_ok_err(rc, &j.err);
            assert_true(same(object, g.file));
        } else {
            assert_true(rc_failed(rc));
            assert_true(same(object, old) || same(object, g.file));
        }
        (void)unlink(old);
        end(&g);
        if (fired == 0)
            break;
    }
    assert_in_range(n, 8, 20); /* start, six parts, finish */
}

static void test_faults(void **state)
{
    (void)state;
    fault_loop(FAULT_STORE_REFUSED, false);
    fault_loop(FAULT_STORE_REFUSED, true);
    fault_loop(FAULT_STORE_LOST, false);
}

static void test_half_an_answer(void **state)
{
    struct job j = {0};
    struct rig g;

    (void)state;
    begin(&g, FILE_SIZE);
    assert_ok(do_it(&g, &j, put, g.file));
    g.store.verbs = 1u << STORE_GET;
    fault_store_arm(&g.store, FAULT_STORE_HALF_BODY, 1, false);
    assert_fails(do_it(&g, &j, get, g.copy), E_CORRUPT);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_half_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
