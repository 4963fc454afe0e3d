/* SPDX-License-Identifier: Apache-2.0 */
/* The document about a replica, of histories made by hand. */
#include "check.h"

#include "history.h"
#include "make_history.h"
#include "session.h"
#include "store_wait.h"
#include "strx.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, MANY = HISTORY_LIST_MAX + 200 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    struct make_history h;
    struct history_opts opts;
    struct buf text;
    struct err err;
} kit;

static void commit(uint8_t fill)
{
    uint8_t image[2 * PAGE_SIZE];

    memset(image, fill, sizeof image);
    make_history_commit(&kit.h, image, 2, kit.h.count == 0 ? SEG_SNAPSHOT : 0);
}

/* 1: 1..10 in pairs, sealed.  2 from 4: 5..6 and a merge from 5 to 6. */
static int set_up(void **state)
{
    (void)state;
    memset(&kit, 0, sizeof kit);
    buf_init(&kit.text, HISTORY_SIZE_MAX);
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.root, sizeof kit.root, "%s/r", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    make_history_init(&kit.h, kit.root, PAGE_SIZE);
    make_history_timeline(&kit.h, 0, 0);
    for (uint8_t i = 1; i <= 10; i++) {
        commit(i);
        if (i == 1)
            make_history_snapshot(&kit.h);
        else if (i % 2 == 0)
            make_history_cut(&kit.h);
    }
    make_history_seal(&kit.h, 2);
    make_history_timeline(&kit.h, 1, 4);
    commit(20);
    commit(21);
    make_history_cut(&kit.h);
    make_history_merge(&kit.h, 1, make_history_find(&kit.h, 2, 5), make_history_find(&kit.h, 2, 6), 5000);
    kit.opts = (struct history_opts){.path = "/data/app.db", .now_ms = 1700000000000, .since_ms = 1600000000000};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    make_history_fini(&kit.h);
    buf_fini(&kit.text);
    store_wait_unscratch(kit.dir);
    return 0;
}

static struct rc read_it(void *ctx, struct work *w, struct store *s, struct err *err)
{
    (void)ctx;
    return history_read(w, s, &kit.opts, &kit.text, err);
}

static json_t *document_of(const char *url)
{
    json_t *o;

    buf_clear(&kit.text);
    assert_ok_err(session_run(&fsys_real, url, read_it, NULL, &kit.err), &kit.err);
    o = json_loads(buf_str(&kit.text), 0, NULL);
    assert_non_null(o);
    return o;
}

static void assert_json(const json_t *o, const char *want)
{
    json_t *w = json_loads(want, JSON_DECODE_ANY, NULL);
    char *got = json_dumps(o, JSON_ENCODE_ANY | JSON_COMPACT);

    assert_non_null(w);
    if (!json_equal(o, w))
        fail_msg("%s is not %s", got, want);
    json_decref(w);
    free(got);
}

static const json_t *timeline(const json_t *o, size_t i)
{
    return json_array_get(json_object_get(o, "timelines"), i);
}

static void assert_field(const json_t *o, const char *name, const char *want)
{
    assert_json(json_object_get(o, name), want);
}

static int64_t time_of(uint32_t timeline, uint64_t txid)
{
    return make_history_find(&kit.h, timeline, txid)->time_ms;
}

static const char *text_of(int64_t ms)
{
    static char texts[4][STRX_TIME_SIZE];
    static unsigned n;

    return strx_format_time(ms, texts[n++ % 4]);
}

static void test_document(void **state)
{
    char want[500];
    json_t *o;

    (void)state;
    kit.opts.gap_count = 1;
    kit.opts.gaps[0] = (struct history_gap){2, {4, 5, 1000, 2000}};
    o = document_of(kit.url);
    assert_field(o, "path", "\"/data/app.db\"");
    assert_field(o, "time", "\"2023-11-14T22:13:20.000Z\"");
    assert_field(o, "cut", "false");
    assert_field(o, "unexpected", "0");
    assert_field(o, "gaps",
        "{\"since\":\"2020-09-13T12:26:40.000Z\",\"cut\":false,\"list\":[{\"timeline\":2,\"after_txid\":4,"
        "\"after_time\":\"1970-01-01T00:00:01.000Z\",\"txid\":5,\"time\":\"1970-01-01T00:00:02.000Z\"}]}");
    assert_field(timeline(o, 0), "parent", "null");
    assert_field(timeline(o, 0), "fork_txid", "null");
    assert_field(timeline(o, 0), "sealed", "true");
    assert_field(timeline(o, 0), "successor", "2");
    assert_field(timeline(o, 0), "damage", "null");
    (void)snprintf(want, sizeof want,
        "[{\"first_txid\":1,\"first_time\":\"%s\",\"last_txid\":10,\"last_time\":\"%s\"}]", text_of(time_of(1, 1)),
        text_of(time_of(1, 10)));
    assert_field(timeline(o, 0), "restorable", want);
    assert_field(json_object_get(timeline(o, 0), "segments"), "count", "6");
    assert_field(timeline(o, 1), "parent", "1");
    assert_field(timeline(o, 1), "fork_txid", "4");
    /* The time of its first commit is in no key. */
    (void)snprintf(want, sizeof want, "[{\"first_txid\":5,\"first_time\":\"%s\",\"last_txid\":6,\"last_time\":\"%s\"}]",
        text_of(time_of(2, 5)), text_of(time_of(2, 6)));
    assert_field(timeline(o, 1), "restorable", want);
    (void)snprintf(want, sizeof want, "{\"txid\":6,\"time\":\"%s\"}", text_of(time_of(2, 6)));
    assert_field(timeline(o, 1), "tip", want);
    assert_field(json_array_get(json_object_get(timeline(o, 1), "merges"), 0), "time", "\"1970-01-01T00:00:05.000Z\"");
    json_decref(o);
}

static void test_no_replica(void **state)
{
    char url[sizeof kit.url + 16];
    json_t *o;

    (void)state;
    (void)snprintf(url, sizeof url, "%s-not", kit.url);
    o = document_of(url);
    assert_field(o, "timelines", "[]");
    assert_field(o, "database", "null");
    assert_field(o, "cut", "false");
    json_decref(o);
}

static void path_of(char *out, size_t size, const char *key)
{
    int n = snprintf(out, size, "%s/%s", kit.root, key);

    assert_true(n > 0 && (size_t)n < size);
}

static void test_damage(void **state)
{
    char path[STORE_WAIT_PATH_SIZE + 100];
    json_t *o;

    (void)state;
    path_of(path, sizeof path, "t/00000001/log/0000000000000009");
    assert_int_equal(unlink(path), 0);
    o = document_of(kit.url);
    assert_field(timeline(o, 0), "restorable", "null");
    assert_non_null(
        strstr(json_string_value(json_object_get(timeline(o, 0), "damage")), "0000000000000009 is missing"));
    assert_field(timeline(o, 1), "damage", "null");
    json_decref(o);
}

/* Of too many the newest are listed, and it is said. */
static void test_cut(void **state)
{
    const json_t *pruned;
    layout_text key;
    json_t *o;

    (void)state;
    for (uint64_t i = 0; i < MANY; i++) {
        char path[STORE_WAIT_PATH_SIZE + 100];
        int fd;

        if (i == 0) {
            path_of(path, sizeof path, "t/00000002/pruned");
            assert_int_equal(mkdir(path, 0755), 0);
        }
        layout_pruned(key, 2, 1000 + 2 * i, 1000 + 2 * i);
        path_of(path, sizeof path, key);
        assert_ok_err(fsys_open(&fsys_real, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, &kit.err), &kit.err);
        assert_int_equal(close(fd), 0);
    }
    o = document_of(kit.url);
    assert_field(o, "cut", "true");
    assert_field(timeline(o, 0), "cut", "false");
    assert_field(timeline(o, 1), "cut", "true");
    pruned = json_object_get(timeline(o, 1), "pruned");
    assert_int_equal(json_array_size(pruned), HISTORY_LIST_MAX);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(pruned, HISTORY_LIST_MAX - 1), "last_txid")),
        1000 + 2 * (MANY - 1));
    json_decref(o);
}

static void test_stop(void **state)
{
    atomic_bool stop = true;

    (void)state;
    kit.opts.stop = &stop;
    assert_fails(session_run(&fsys_real, kit.url, read_it, NULL, &kit.err), E_CANCELED);
    assert_int_equal(kit.text.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_document, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_replica, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
