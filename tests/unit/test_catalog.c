/* SPDX-License-Identifier: Apache-2.0 */
/* A replica's listing as timelines, their tips, and all commits on the way to them. */
#include "check.h"

#include "catalog.h"
#include "make_history.h"
#include "session.h"
#include "store_wait.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, MANY = 2300, PATH_SIZE = 1024 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    struct make_history h;
    struct err err;
} kit;

/* --- a history -----------------------------------------------------------------------------------------------------
 */

static void commit(uint8_t fill)
{
    uint8_t image[2 * PAGE_SIZE];

    memset(image, fill, sizeof image);
    make_history_commit(&kit.h, image, 2, kit.h.count == 0 ? SEG_SNAPSHOT : 0);
}

/* 1: 1..10 in pairs, sealed at 11.  2 from 10: nothing yet but its claim.  3 from 4: 5..6. */
static int set_up(void **state)
{
    (void)state;
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
    make_history_timeline(&kit.h, 1, 10);
    make_history_timeline(&kit.h, 1, 4);
    commit(20);
    commit(21);
    make_history_snapshot(&kit.h);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    make_history_fini(&kit.h);
    store_wait_unscratch(kit.dir);
    return 0;
}

static void path_of(char *out, const char *key)
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", kit.root, key);
}

static void put(const char *key, const char *text)
{
    char path[PATH_SIZE];
    int fd;

    path_of(path, key);
    assert_ok_err(fsys_open(&fsys_real, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, &kit.err), &kit.err);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void hide(const char *key, bool back)
{
    char path[PATH_SIZE], away[PATH_SIZE];

    path_of(path, key);
    (void)snprintf(away, sizeof away, "%s/away", kit.dir);
    assert_int_equal(back ? rename(away, path) : rename(path, away), 0);
}

/* --- looking at it, in a job
 * ------------------------------------------------------------------------------------------ */

struct look {
    struct rc (*fn)(struct catalog *c, struct work *w, struct store *s, struct err *err);
};

static struct rc look(void *ctx, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct look *l = ctx;

    TRY(catalog_load(&c, w, s, err));
    return l->fn(c, w, s, err);
}

static struct rc run(struct rc (*fn)(struct catalog *c, struct work *w, struct store *s, struct err *err))
{
    struct look l = {fn};

    return session_run(&fsys_real, kit.url, look, &l, &kit.err);
}

/* The same with limits. */
static const struct catalog_limits *limits;

static struct rc look_within(void *ctx, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct look *l = ctx;

    TRY(catalog_load_within(&c, w, s, limits, err));
    return l->fn(c, w, s, err);
}

static struct rc run_within(struct rc (*fn)(struct catalog *c, struct work *w, struct store *s, struct err *err))
{
    struct look l = {fn};

    return session_run(&fsys_real, kit.url, look_within, &l, &kit.err);
}

/* Assertions leave by longjmp, which a job's thread must not; so jobs note what they saw, and tests judge. */
static char seen[20000];

static void note(const char *fmt, ...) PRINTF(1, 2);
static void note(const char *fmt, ...)
{
    size_t used = strlen(seen);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(seen + used, sizeof seen - used, fmt, ap);
    va_end(ap);
}

static struct rc describe(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    seen[0] = 0;
    TRY(catalog_load_tips(c, w, s, err));
    note("format %u database %d unexpected %zu\n", c->identity.format,
        nonce_equal(&c->identity.database, &kit.h.database), c->unexpected_count);
    for (size_t i = 0; i < c->timeline_count; i++) {
        const struct catalog_timeline *t = &c->timelines[i];

        note("%u(%u) from %u:%" PRIu64 " logs %zu snapshots %zu parts %" PRIu64 " tip %" PRIu64 "%s -> %u\n", t->number,
            t->origin.timeline, t->origin.parent, t->origin.fork_txid, t->log_count, t->snapshot_count, t->part_count,
            t->tip_txid, t->sealed ? " sealed" : "", t->successor);
    }
    return RC_OK;
}

static void test_listing(void **state)
{
    (void)state;
    assert_ok_err(run(describe), &kit.err);
    assert_string_equal(seen, "format 1 database 1 unexpected 0\n"
                              "1(1) from 0:0 logs 7 snapshots 1 parts 0 tip 10 sealed -> 2\n"
                              "2(2) from 1:10 logs 0 snapshots 0 parts 0 tip 0 -> 0\n"
                              "3(3) from 1:4 logs 1 snapshots 1 parts 0 tip 6 -> 0\n");
}

static struct rc describe_tip(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    seen[0] = 0;
    TRY(catalog_load_tip(c, w, s, 1, err));
    note("%" PRIu64 " %d %016" PRIx64 " newest %u", c->timelines[0].tip_txid,
        c->timelines[0].tip_time_ms == make_history_find(&kit.h, 1, 10)->time_ms, c->timelines[0].tip_checksum,
        catalog_newest(c)->number);
    return RC_OK;
}

static void test_tip(void **state)
{
    char want[100];

    (void)state;
    assert_ok_err(run(describe_tip), &kit.err);
    (void)snprintf(want, sizeof want, "10 1 %016" PRIx64 " newest 3", make_history_find(&kit.h, 1, 10)->checksum);
    assert_string_equal(seen, want);
}

static void test_odd_keys(void **state)
{
    (void)state;
    put("t/note.txt", "x");
    put("t/00000003/log/latest", "x");
    put("t/00000003/snap/0000000000000001", "x");
    assert_ok_err(run(describe), &kit.err);
    assert_non_null(strstr(seen, "unexpected 3\n"));
    hide("t/note.txt", false);
    hide("t/00000003/log/latest", false);
    hide("t/00000003/snap/0000000000000001", false);
}

static void test_damaged_documents(void **state)
{
    (void)state;
    hide("t/00000003/timeline.json", false);
    assert_ok_err(run(describe), &kit.err);
    assert_non_null(strstr(seen, "3(0) from 0:0"));
    hide("t/00000003/timeline.json", true);
    hide(LAYOUT_IDENTITY, false);
    assert_ok_err(run(describe), &kit.err);
    assert_non_null(strstr(seen, "format 0 database 1"));
    put(LAYOUT_IDENTITY, "{");
    assert_ok_err(run(describe), &kit.err);
    assert_non_null(strstr(seen, "format 0 database 1"));
    put(LAYOUT_IDENTITY, "{\"format\":2}");
    assert_fails(run(describe), E_UNSUPPORTED);
    hide(LAYOUT_IDENTITY, true);
}

static void test_damaged_tip(void **state)
{
    (void)state;
    hide("t/00000003/log/0000000000000005", false);
    put("t/00000003/log/0000000000000005", "not a segment");
    assert_fails(run(describe), E_CORRUPT);
    assert_non_null(strstr(kit.err.msg, "t/00000003/log/0000000000000005"));
    hide("t/00000003/log/0000000000000005", true);
    hide("t/00000001/log/0000000000000009", false);
    assert_fails(run(describe), E_CORRUPT);
    assert_string_equal(kit.err.msg, "t/00000001/log/0000000000000009 is missing: the timeline is sealed at txid 11");
    hide("t/00000001/log/0000000000000009", true);
}

/* An object at another one's key. */
static void test_objects_that_changed_places(void **state)
{
    char from[PATH_SIZE], to[PATH_SIZE];

    (void)state;
    hide("t/00000003/log/0000000000000005", false);
    path_of(from, "t/00000001/log/0000000000000005");
    path_of(to, "t/00000003/log/0000000000000005");
    assert_int_equal(link(from, to), 0);
    assert_fails(run(describe), E_CORRUPT);
    assert_string_equal(kit.err.msg, "t/00000003/log/0000000000000005: it says that it is txid 5 of timeline 1");
    assert_int_equal(unlink(to), 0);
    hide("t/00000003/log/0000000000000005", true);
}

static bool on_commit(void *ctx, const struct seg_info *segment, const struct seg_commit *c)
{
    note("%u:%" PRIu64 " ", segment->timeline, c->txid);
    return c->txid != *(uint64_t *)ctx;
}

static uint32_t walk_timeline;
static uint64_t walk_from, walk_to;

static struct rc walk(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    seen[0] = 0;
    return catalog_commits(c, w, s, walk_timeline, walk_from, on_commit, &walk_to, err);
}

static void assert_walk(uint32_t timeline, uint64_t from, uint64_t to, const char *want)
{
    walk_timeline = timeline;
    walk_from = from;
    walk_to = to;
    assert_ok_err(run(walk), &kit.err);
    assert_string_equal(seen, want);
}

static void test_commits(void **state)
{
    (void)state;
    assert_walk(1, 1, 0, "1:1 1:2 1:3 1:4 1:5 1:6 1:7 1:8 1:9 1:10 ");
    assert_walk(1, 6, 8, "1:6 1:7 1:8 ");
    assert_walk(1, 10, 0, "1:10 ");
    assert_walk(1, 11, 0, "");
    assert_walk(2, 9, 0, "1:9 1:10 ");
    assert_walk(3, 3, 0, "1:3 1:4 3:5 3:6 ");
}

static void test_hole(void **state)
{
    (void)state;
    hide("t/00000001/log/0000000000000005", false);
    walk_timeline = 1;
    walk_from = 1;
    walk_to = 0;
    assert_fails(run(walk), E_CORRUPT);
    assert_string_equal(kit.err.msg, "t/00000001/log/0000000000000005 is missing: no segment has txid 5");
    assert_string_equal(seen, "1:1 1:2 1:3 1:4 ");
    /* Behind a hole, and up to a fork before it, nothing is missing. */
    assert_walk(1, 7, 0, "1:7 1:8 1:9 1:10 ");
    assert_walk(3, 1, 0, "1:1 1:2 1:3 1:4 3:5 3:6 ");
    hide("t/00000001/log/0000000000000005", true);
}

static void test_route_of_a_missing_timeline(void **state)
{
    (void)state;
    walk_timeline = 7;
    assert_fails(run(walk), E_NOTFOUND);
    assert_string_equal(kit.err.msg, "no timeline 7 in this history");
}

static struct rc describe_cut(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    (void)w;
    (void)s;
    (void)err;
    seen[0] = 0;
    for (size_t i = 0; i < c->timeline_count; i++) {
        const struct catalog_timeline *t = &c->timelines[i];

        note("%u(%u) logs %zu snapshots %zu%s; ", t->number, t->origin.timeline, t->log_count, t->snapshot_count,
            t->cut ? " cut" : "");
    }
    note("%s", c->cut ? "cut" : "whole");
    return RC_OK;
}

/* A log of MANY keys, a snapshot, and another timeline. */
static void check_limits(void)
{
    struct catalog_limits l = {.folder_max = MANY + 1, .object_max = 100000, .timeline_max = 100};
    atomic_bool stop = false;

    limits = &l;
    assert_ok_err(run_within(describe_cut), &kit.err);
    assert_string_equal(seen, "1(1) logs 2300 snapshots 1; 2(2) logs 1 snapshots 0; whole");
    l.folder_max = 500; /* and a page */
    assert_ok_err(run_within(describe_cut), &kit.err);
    assert_string_equal(seen, "1(1) logs 1000 snapshots 1 cut; 2(2) logs 1 snapshots 0; whole");
    l.object_max = 1000;
    assert_ok_err(run_within(describe_cut), &kit.err);
    assert_string_equal(seen, "1(1) logs 1000 snapshots 0 cut; cut");
    l = (struct catalog_limits){.folder_max = 100000, .object_max = 100000, .timeline_max = 1};
    assert_ok_err(run_within(describe_cut), &kit.err);
    assert_string_equal(seen, "1(1) logs 1000 snapshots 0 cut; cut");
    l.stop = &stop;
    stop = true;
    assert_fails(run_within(describe_cut), E_CANCELED);
}

/* More keys than one listing gives, and more objects than are fetched ahead. */
static void test_many(void **state)
{
    char root[sizeof kit.root], url[sizeof kit.url];
    struct make_history *h = calloc(1, sizeof *h), *small = calloc(1, sizeof *small);

    (void)state;
    *small = kit.h;
    memcpy(root, kit.root, sizeof root);
    memcpy(url, kit.url, sizeof url);
    (void)snprintf(kit.root, sizeof kit.root, "%s/many", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    make_history_init(h, kit.root, PAGE_SIZE);
    kit.h = *h;
    make_history_timeline(&kit.h, 0, 0);
    for (unsigned i = 1; i <= MANY; i++) {
        commit((uint8_t)(i % 251));
        make_history_cut(&kit.h);
    }
    assert_ok_err(run(describe), &kit.err);
    assert_string_equal(seen, "format 1 database 1 unexpected 0\n"
                              "1(1) from 0:0 logs 2300 snapshots 0 parts 0 tip 2300 -> 0\n");
    walk_timeline = 1;
    walk_from = 100;
    walk_to = MANY;
    assert_ok_err(run(walk), &kit.err);
    assert_memory_equal(seen, "1:100 1:101 ", 12);
    assert_string_equal(seen + strlen(seen) - 14, "1:2299 1:2300 ");
    make_history_snapshot(&kit.h);
    make_history_timeline(&kit.h, 1, 5);
    commit(1);
    make_history_cut(&kit.h);
    check_limits();
    make_history_fini(&kit.h);
    kit.h = *small;
    memcpy(kit.root, root, sizeof root);
    memcpy(kit.url, url, sizeof url);
    free(h);
    free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_tip),
        cmocka_unit_test(test_odd_keys),
        cmocka_unit_test(test_damaged_documents),
        cmocka_unit_test(test_damaged_tip),
        cmocka_unit_test(test_objects_that_changed_places),
        cmocka_unit_test(test_commits),
        cmocka_unit_test(test_hole),
        cmocka_unit_test(test_route_of_a_missing_timeline),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
