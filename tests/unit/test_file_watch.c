/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "file_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static char dir[] = "/tmp/test-file-watch-XXXXXX";
static uv_loop_t loop;
static struct file_watch *w;

struct seen {
    struct file_watch_entry entry;
    unsigned count;
    uint32_t mask;
    char name[64];
};

static void on_event(void *ctx, const char *name, uint32_t mask)
{
    struct seen *s = ctx;

    s->count++;
    s->mask |= mask;
    (void)snprintf(s->name, sizeof s->name, "%s", name);
}

static void on_overflow(void *ctx)
{
    (void)ctx;
    fail();
}

static void run(const char *command)
{
    char *text = mem_printf("cd '%s' && %s", dir, command);

    assert_int_equal(system(text), 0);
    mem_free(text);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void add(struct seen *s, const char *name, bool folder)
{
    char *path = mem_printf("%s%s", dir, name);
    struct err err;

    s->entry.fn = on_event;
    s->entry.ctx = s;
    assert_ok_err(file_watch_add(w, &s->entry, path, folder, &err), &err);
    mem_free(path);
}

/* A folder tells of names, not of what is written to the files. */
static void test_folder(void **state)
{
    struct seen s = {0};

    (void)state;
    add(&s, "", true);
    run("touch a");
    assert_string_equal(s.name, "a");
    assert_true(s.mask & IN_CREATE);
    s.count = 0;
    run("echo x >>a && echo y >>a && chmod 600 a");
    assert_int_equal(s.count, 0);
    run("mv a b");
    assert_string_equal(s.name, "b");
    run("mkdir c && rmdir c && rm b");
    assert_true(s.mask & IN_ISDIR);
    assert_true(s.mask & IN_DELETE);
    file_watch_remove(w, &s.entry);
    s.count = 0;
    run("touch d && rm d");
    assert_int_equal(s.count, 0);
}

/* Two who watch one file; and the end of it. */
static void test_file(void **state)
{
    struct seen one = {0}, two = {0};

    (void)state;
    run("touch a");
    add(&one, "/a", false);
    add(&two, "/a", false);
    run("echo x >a");
    assert_true(one.count > 0);
    assert_true(two.count > 0);
    assert_string_equal(one.name, "");
    file_watch_remove(w, &one.entry);
    file_watch_remove(w, &one.entry);
    one.count = two.count = 0;
    run("echo x >a");
    assert_int_equal(one.count, 0);
    assert_true(two.count > 0);
    run("rm a");
    assert_true(two.mask & IN_IGNORED);
    assert_int_equal(two.entry.number, 0);
    file_watch_remove(w, &two.entry);
    run("touch a");
    add(&one, "/a", false);
    one.count = 0;
    run("echo x >a; rm a");
    assert_true(one.count > 0);
}

static void test_absent(void **state)
{
    struct seen s = {.entry = {.fn = on_event}};
    char *path = mem_printf("%s/none", dir);
    struct err err;

    (void)state;
    assert_int_equal(file_watch_add(w, &s.entry, path, false, &err).code, E_NOTFOUND);
    assert_int_equal(s.entry.number, 0);
    mem_free(path);
}

/* Very many, removed in another order than they came. */
static void test_many(void **state)
{
    enum { MANY = 2000 };
    static struct seen many[MANY];
    unsigned told = 0;

    (void)state;
    run("seq 0 1999 | xargs touch");
    for (size_t i = 0; i < MANY; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "/%zu", i);
        add(&many[i], name, false);
    }
    for (size_t i = 0; i < MANY; i += 2)
        file_watch_remove(w, &many[i].entry);
    run("for i in $(seq 0 1999); do echo x >$i; done");
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(many[i].count > 0, i % 2 == 1);
        told += many[i].count > 0;
    }
    assert_int_equal(told, MANY / 2);
    run("seq 0 1999 | xargs rm"); /* and the watches go with them */
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(many[i].entry.number, 0);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL || uv_loop_init(&loop) != 0)
        return 1;
    w = file_watch_new(&loop, on_overflow, NULL);
    return w == NULL;
}

static int teardown(void **state)
{
    (void)state;
    file_watch_stop(w);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) != 0 || rmdir(dir) != 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
