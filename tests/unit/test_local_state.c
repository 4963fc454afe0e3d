/* SPDX-License-Identifier: Apache-2.0 */
/* What a local state promises, a thing at a time; test_local_state_world.c has the histories. */
#include "check.h"

#include "fault_fsys.h"
#include "state_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct local_state *open_state(const struct fsys *fs)
{
    struct local_state *ls;
    struct err err;

    assert_ok_err(local_state_open(&ls, fs, state_world_fresh_dir(), &err), &err);
    return ls;
}

static void full_disk_is_told_and_repaired(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    struct pos pos = {.txid = 1, .page_size = 512, .page_count = 1, .checksum = 77};
    enum local_state_found found;
    struct fault_fsys f;
    struct err err;

    (void)state;
    fault_fsys_init(&f, FAULT_ONCE, 0, ENOSPC);
    struct local_state *ls = open_state(&f.fs);

    assert_false(local_state_ok(ls));
    assert_fails(local_state_add_run(ls, &content.database, &err), E_NOTFOUND);
    assert_fails(local_state_acknowledge(ls, local_state_mark(ls), &pos, &err), E_NOTFOUND);
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_true(local_state_ok(ls));

    f.mode = FAULT_FOREVER;
    f.ops = FAULT_PWRITE;
    f.countdown = 1;
    assert_ok_err(page_hash_set(hashes, 1, 77, &err), &err);
    assert_ok_err(local_state_page(ls, 1, 77, &err), &err);
    uint64_t mark = local_state_mark(ls);

    assert_false(local_state_ok(ls));
    assert_false(local_state_wants_checkpoint(ls));
    for (int i = 0; i < 3; i++) {
        assert_fails(local_state_acknowledge(ls, mark, &pos, &err), E_NOSPACE);
        assert_non_null(strstr(err.msg, "the local state is out of date: "));
        assert_non_null(strstr(err.msg, "No space left on device"));
        assert_ok_err(local_state_page(ls, 1, 78, &err), &err);
        assert_int_equal(local_state_mark(ls), mark);
    }
    content.pos = pos;
    assert_fails(local_state_checkpoint(ls, &content, hashes, &err), E_NOSPACE);
    assert_non_null(strstr(err.msg, "checkpoint of "));
    assert_false(local_state_ok(ls));
    assert_fails(local_state_acknowledge(ls, mark, &pos, &err), E_NOSPACE);

    f.countdown = 0;
    f.fired = 0; /* there is room again */
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_true(local_state_ok(ls));
    assert_fails(local_state_acknowledge(ls, mark, &pos, &err), E_BUG); /* of a log that is gone */
    assert_true(local_state_ok(ls));
    assert_ok_err(local_state_acknowledge(ls, local_state_mark(ls), &pos, &err), &err);
    memset(&content, 0, sizeof content);
    assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_GOOD);
    assert_int_equal(content.pos.txid, 1);
    assert_int_equal(page_hash_get(hashes, 1), 77);
    local_state_close(ls);
    assert_int_equal(f.open_fds, 0);
}

static void mistakes_of_the_caller_are_refused(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    struct pos pos = {.txid = 1};
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&state_world_fsys);

    assert_ok_err(page_hash_set(hashes, 1, 5, &err), &err);
    assert_fails(local_state_checkpoint(ls, &content, hashes, &err), E_BUG); /* no such index at this position */
    assert_non_null(strstr(err.msg, "index of 1 pages"));
    content.pos.page_count = 1;
    content.pos.checksum = 5;
    assert_fails(local_state_checkpoint(ls, &content, hashes, &err), E_BUG); /* pages of no size */
    content.pos.page_size = 512;
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);

    uint64_t early = local_state_mark(ls);

    assert_ok_err(local_state_page(ls, 1, 6, &err), &err);
    uint64_t late = local_state_mark(ls);

    assert_ok_err(local_state_acknowledge(ls, late, &pos, &err), &err);
    assert_fails(local_state_acknowledge(ls, early, &pos, &err), E_BUG);
    assert_fails(local_state_acknowledge(ls, late + 1000, &pos, &err), E_BUG);
    pos.page_count = 4; /* of no size */
    assert_fails(local_state_acknowledge(ls, late, &pos, &err), E_BUG);
    assert_true(local_state_ok(ls));
    local_state_close(ls);
}

/* The last word is the checksum: an index that does not lead to it is not trusted, and what can be read is told. */
static void wrong_index_is_broken(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.database = {{9}}, .runs = {{{1}}}, .run_count = 1}, seen;
    struct pos pos = {.txid = 8, .page_size = 512, .page_count = 1, .checksum = 5};
    enum local_state_found found;
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&state_world_fsys);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_ok_err(local_state_page(ls, 1, 6, &err), &err);
    assert_ok_err(local_state_acknowledge(ls, local_state_mark(ls), &pos, &err), &err);
    assert_ok_err(local_state_load(ls, &seen, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_BROKEN);
    assert_non_null(strstr(err.msg, "1 pages with checksum 0000000000000006 after the last position"));
    assert_int_equal(page_hash_count(hashes), 0);
    assert_int_equal(seen.pos.txid, 8);
    assert_int_equal(seen.database.bytes[0], 9);
    assert_int_equal(seen.run_count, 1);
    assert_false(local_state_ok(ls));
    assert_fails(local_state_acknowledge(ls, 0, &pos, &err), E_CORRUPT);
    /* A new checkpoint is the way out. */
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_ok_err(local_state_load(ls, &seen, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_GOOD);
    local_state_close(ls);
}

/*
 * A power cut takes the record that begins a session and leaves what stands behind it; the next process puts a record
 * of the same kind, at the same place, about the same mark, and dies.  What stands behind must not count again.
 */
static void lost_session_does_not_come_back(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    struct pos pos = {.txid = 8, .page_size = 512, .page_count = 1, .checksum = 5};
    static const uint8_t zeros[32]; /* the size of that record, and of the header before it */
    enum local_state_found found;
    struct fault_fsys f;
    char path[500] = "";
    struct err err;

    (void)state;
    fault_fsys_init(&f, FAULT_FOREVER, 0, EIO);
    f.below = &state_world_fsys;
    f.ops = FAULT_PWRITE;
    struct local_state *ls = open_state(&f.fs);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    for (int life = 0; life < 2; life++) {
        assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
        assert_int_equal(found, LOCAL_STATE_GOOD);
        assert_int_equal(content.pos.txid, 0);
        f.countdown = life == 0 ? 0 : 2;
        assert_ok_err(local_state_page(ls, 1, 5, &err), &err);
        if (life == 1) {
            (void)local_state_mark(ls);
            assert_int_equal(f.fired, 1);
            continue;
        }
        assert_ok_err(local_state_acknowledge(ls, local_state_mark(ls), &pos, &err), &err);
        DIR *d = opendir(state_world_dir());

        assert_non_null(d);
        for (const struct dirent *e; (e = readdir(d)) != NULL;)
            if (strncmp(e->d_name, "log.", 4) == 0)
                (void)snprintf(path, sizeof path, "%s/%.200s", state_world_dir(), e->d_name);
        assert_int_equal(closedir(d), 0);
        int fd = open(path, O_WRONLY);

        assert_int_equal(pwrite(fd, zeros, sizeof zeros, 32), sizeof zeros);
        assert_int_equal(close(fd), 0);
    }
    f.fired = 0;
    f.countdown = 0;
    assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_GOOD);
    assert_int_equal(content.pos.txid, 0);
    local_state_close(ls);
}

static void discarded_is_gone(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    enum local_state_found found;
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&state_world_fsys);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_ok_err(local_state_discard(ls, &err), &err);
    assert_false(local_state_ok(ls));
    assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_NONE);
    assert_ok_err(local_state_discard(ls, &err), &err); /* twice is no mistake */
    local_state_close(ls);

    char lock[300];

    (void)snprintf(lock, sizeof lock, "%s/lock", state_world_dir());
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(rmdir(state_world_dir()), 0); /* nothing else is in it */
}

static void runs_are_the_newest(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.runs = {{{200}}, {{201}}}, .run_count = 2};
    enum local_state_found found;
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&state_world_fsys);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    for (uint8_t i = 1; i < LOCAL_STATE_RUNS_MAX; i++)
        assert_ok_err(local_state_add_run(ls, &(struct nonce){{i}}, &err), &err);
    assert_ok_err(local_state_load(ls, &content, hashes, &found, &err), &err);
    assert_int_equal(content.run_count, LOCAL_STATE_RUNS_MAX);
    assert_int_equal(content.runs[0].bytes[0], 201);
    for (uint8_t i = 1; i < LOCAL_STATE_RUNS_MAX; i++)
        assert_int_equal(content.runs[i].bytes[0], i);
    local_state_close(ls);
}

/* The log asks for a checkpoint, and stops by itself long after. */
static void log_is_bounded(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct local_state_content content = {.run_count = 0};
    struct pos pos = {.txid = 1};
    uint64_t pages = 0, asked = 0, mark = 0;
    struct err err;

    (void)state;
    struct local_state *ls = open_state(&state_world_fsys);

    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    for (; local_state_ok(ls) && pages < 10000000; pages++) {
        assert_ok_err(local_state_page(ls, (uint32_t)(pages % 100) + 1, pages, &err), &err);
        if (asked == 0 && local_state_wants_checkpoint(ls))
            asked = pages;
        if (asked == 0)
            mark = pages % 1000 == 0 ? local_state_mark(ls) : mark;
    }
    assert_in_range(asked, LOCAL_STATE_LOG_MAX / 12 - 10000, LOCAL_STATE_LOG_MAX / 12 + 10000);
    assert_in_range(pages, 3 * asked, 5 * asked);
    assert_fails(local_state_acknowledge(ls, mark, &pos, &err), E_NOSPACE);
    assert_non_null(strstr(err.msg, "no checkpoint in "));
    assert_ok_err(local_state_checkpoint(ls, &content, hashes, &err), &err);
    assert_true(local_state_ok(ls));
    assert_false(local_state_wants_checkpoint(ls));

    /* A log as large as the index is no reason for a checkpoint. */
    assert_ok_err(local_state_page(ls, 40000000, 1, &err), &err);
    for (pages = 0; pages < 2 * LOCAL_STATE_LOG_MAX / 12; pages++)
        assert_ok_err(local_state_page(ls, 1, pages, &err), &err);
    assert_false(local_state_wants_checkpoint(ls));
    local_state_close(ls);
}

/* Restarts that leave unacknowledged pages behind make the log odd to read: after some, a checkpoint is wanted. */
static void many_dead_processes_want_a_checkpoint(void **state)
{
    struct state_world *w = state_world_new(1);
    int lives = 0;

    (void)state;
    assert_true(state_world_open(w, &state_world_fsys));
    state_world_checkpoint(w, false);
    while (!local_state_wants_checkpoint(w->ls) && lives < 100) {
        state_world_pages(w);
        state_world_segment(w);
        state_world_acknowledge(w);
        state_world_pages(w);
        state_world_segment(w);
        state_world_close(w);
        assert_true(state_world_open(w, &state_world_fsys));
        lives++;
    }
    assert_in_range(lives, 8, 40);
    state_world_checkpoint(w, false);
    assert_false(local_state_wants_checkpoint(w->ls));
    state_world_close(w);
    state_world_free(w);
}

/* Who only looks sees the same as who holds it, and takes nothing from it. */
static void looking_takes_nothing(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    struct state_world *w = state_world_new(77);
    struct local_state_content content;
    enum local_state_found found;
    struct err err;

    (void)state;
    assert_ok_err(local_state_look(&state_world_fsys, w->dir, &content, hashes, &found, &err), &err);
    assert_int_equal(found, LOCAL_STATE_NONE);
    assert_true(state_world_open(w, &state_world_fsys));
    state_world_checkpoint(w, false);
    for (int i = 0; i < 5; i++) {
        state_world_pages(w);
        state_world_segment(w);
        state_world_acknowledge(w);
        assert_ok_err(local_state_look(&state_world_fsys, w->dir, &content, hashes, &found, &err), &err);
        assert_int_equal(found, LOCAL_STATE_GOOD);
        assert_int_equal(content.pos.txid, w->states[w->state_count - 1].pos.txid);
        assert_int_equal(page_hash_checksum(hashes), content.pos.checksum);
        assert_true(local_state_ok(w->ls));
    }
    state_world_close(w);
    assert_true(state_world_open(w, &state_world_fsys)); /* nothing was taken, and nothing left */
    state_world_close(w);
    state_world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_disk_is_told_and_repaired),
        cmocka_unit_test(mistakes_of_the_caller_are_refused),
        cmocka_unit_test(wrong_index_is_broken),
        cmocka_unit_test(lost_session_does_not_come_back),
        cmocka_unit_test(discarded_is_gone),
        cmocka_unit_test(runs_are_the_newest),
        cmocka_unit_test(log_is_bounded),
        cmocka_unit_test(many_dead_processes_want_a_checkpoint),
        cmocka_unit_test(looking_takes_nothing),
    };

    return cmocka_run_group_tests(tests, state_world_make_top, state_world_remove_top);
}
