/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "state_world.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_SIZE = 4096 };

struct fsys state_world_fsys;

static char top[] = "/tmp/state_world.XXXXXX";

static void world_init(struct state_world *w, const char *dir, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "%s", dir);
    w->seed = seed;
    w->database = nonce_new();
}

uint64_t state_world_chance(struct state_world *w, uint64_t n)
{
    return check_random(&w->seed) % n;
}

/* --- comparing -----------------------------------------------------------------------------------------------------
 */

static bool same_pos(const struct pos *a, const struct pos *b)
{
    uint8_t bytes[2][POS_ENCODED_SIZE];
    const struct pos *both[2] = {a, b};

    for (int i = 0; i < 2; i++) {
        struct buf encoded;

        buf_init(&encoded, POS_ENCODED_SIZE);
        pos_encode(both[i], &encoded);
        assert_int_equal(encoded.failed, E_OK);
        memcpy(bytes[i], encoded.data, POS_ENCODED_SIZE);
        buf_fini(&encoded);
    }
    return memcmp(bytes[0], bytes[1], POS_ENCODED_SIZE) == 0;
}

/* `hashes` NULL: they were not read. */
static bool matches(
    const struct state_world_at *s, const struct local_state_content *content, const struct page_hash *hashes)
{
    if (!same_pos(&s->pos, &content->pos) || s->restored != content->restored || s->restored != content->chosen)
        return false;
    if (hashes == NULL)
        return true;
    assert_int_equal(page_hash_checksum(hashes), content->pos.checksum);
    assert_int_equal(page_hash_count(hashes), content->pos.page_count);
    for (uint32_t pgno = 1; pgno <= STATE_WORLD_PAGES; pgno++)
        if (page_hash_get(hashes, pgno) != s->hash[pgno])
            return false;
    return true;
}

/* The latest state that may be the one found. */
static size_t identify(
    const struct state_world *w, const struct local_state_content *content, const struct page_hash *hashes)
{
    size_t first = w->power ? w->synced : w->recorded;

    for (size_t i = w->state_count; i-- > first;)
        if (matches(&w->states[i], content, hashes))
            return i;
    fail_msg("seed %llu: the state of txid %llu was found; allowed were %llu to %llu", (unsigned long long)w->seed,
        (unsigned long long)content->pos.txid, (unsigned long long)w->states[first].pos.txid,
        (unsigned long long)w->states[w->state_count - 1].pos.txid);
    return 0;
}

/* Every run that was promised to be there is, in order, as far back as there is room. */
static void check_runs(const struct state_world *w, const struct local_state_content *content)
{
    size_t left = content->run_count;

    assert_true(left <= LOCAL_STATE_RUNS_MAX);
    for (size_t i = w->run_count; i-- > 0 && !(left == 0 && content->run_count == LOCAL_STATE_RUNS_MAX);) {
        if (left > 0 && nonce_equal(&content->runs[left - 1], &w->runs[i].nonce))
            left--;
        else
            assert_false(w->runs[i].sure);
    }
    assert_int_equal(left, 0);
}

/* --- opening and closing -------------------------------------------------------------------------------------------
 */

/* Go on from what was found.  What was acknowledged behind it is lost, and must not come back. */
static void go_on_from(struct state_world *w, size_t index, const struct local_state_content *content)
{
    w->state_count = index + 1;
    w->recorded = index;
    if (w->power)
        w->synced = index;
    w->begun = true;
    w->now = w->states[index];
    w->now.restored = false;
    w->run_count = content->run_count;
    for (size_t i = 0; i < content->run_count; i++) {
        w->runs[i].nonce = content->runs[i];
        w->runs[i].sure = true;
    }
}

static void begin_anew(struct state_world *w)
{
    assert_false(w->begun);
    w->state_count = w->recorded = w->synced = w->run_count = 0;
    memset(&w->now, 0, sizeof w->now);
    page_hash_clear(w->hashes);
    w->loads_none++;
}

void state_world_close(struct state_world *w)
{
    local_state_close(w->ls);
    w->ls = NULL;
    page_hash_free(w->hashes);
    w->hashes = NULL;
}

bool state_world_open(struct state_world *w, const struct fsys *fs)
{
    enum local_state_found found;
    struct local_state_content content;
    struct err err;
    struct rc rc;

    assert_null(w->ls);
    w->fs = fs;
    w->hashes = page_hash_new();
    w->pending_count = 0;
    w->changed = false;
    rc = local_state_open(&w->ls, fs, w->dir, &err);
    if (!rc_failed(rc))
        rc = local_state_load(w->ls, &content, w->hashes, &found, &err);
    /* A read that fails may be taken for broken files: that is honest. */
    if (rc_failed(rc) || (found == LOCAL_STATE_BROKEN && err.sys != 0)) {
        w->failures++;
        state_world_close(w);
        return false;
    }
    if (found == LOCAL_STATE_BROKEN)
        fail_msg("seed %llu: %s", (unsigned long long)w->seed, err.msg);
    assert_int_equal(local_state_ok(w->ls), found == LOCAL_STATE_GOOD);
    if (found == LOCAL_STATE_NONE)
        begin_anew(w);
    else {
        assert_true(nonce_equal(&content.database, &w->database));
        check_runs(w, &content);
        go_on_from(w, identify(w, &content, w->hashes), &content);
        w->loads_good++;
    }
    w->power = false;
    return true;
}

/* --- what a daemon does ----------------------------------------------------------------------------------------------
 */

static void set_page(struct state_world *w, uint32_t pgno)
{
    uint64_t hash = check_random(&w->seed) | 1;
    struct err err;

    assert_ok_err(page_hash_set(w->hashes, pgno, hash, &err), &err);
    assert_ok_err(local_state_page(w->ls, pgno, hash, &err), &err);
    w->now.hash[pgno] = hash;
}

static void resize(struct state_world *w, uint32_t count)
{
    uint32_t old = page_hash_count(w->hashes);
    struct err err;

    for (uint32_t pgno = old + 1; pgno <= count; pgno++)
        set_page(w, pgno);
    assert_ok_err(page_hash_resize(w->hashes, count, &err), &err);
    for (uint32_t pgno = count + 1; pgno <= STATE_WORLD_PAGES; pgno++)
        w->now.hash[pgno] = 0;
}

void state_world_pages(struct state_world *w)
{
    uint32_t count = page_hash_count(w->hashes);

    if (count == 0 || state_world_chance(w, 4) == 0)
        resize(w, (uint32_t)state_world_chance(w, STATE_WORLD_PAGES) + 1);
    count = page_hash_count(w->hashes);
    for (uint64_t n = state_world_chance(w, 8); n > 0; n--)
        set_page(w, (uint32_t)state_world_chance(w, count) + 1);
    w->now.pos.timeline = 1;
    w->now.pos.txid++;
    w->now.pos.time_ms = 1795227681000 + (int64_t)w->now.pos.txid;
    w->now.pos.page_size = PAGE_SIZE;
    w->now.pos.page_count = count;
    w->now.pos.checksum = page_hash_checksum(w->hashes);
    w->now.pos.wal.page_size = PAGE_SIZE;
    w->now.pos.wal.frame = (uint32_t)state_world_chance(w, 1000);
    w->now.pos.wal.salt[0] = (uint32_t)state_world_chance(w, 1000);
    w->now.pos.wal.valid = true;
    w->changed = true;
}

void state_world_segment(struct state_world *w)
{
    if (!w->changed || w->pending_count == STATE_WORLD_PENDING)
        return;
    w->pending[w->pending_count].mark = local_state_mark(w->ls);
    w->pending[w->pending_count++].state = w->now;
    w->changed = false;
}

static void add_state(struct state_world *w, const struct state_world_at *state)
{
    assert_true(w->state_count < STATE_WORLD_STATES);
    w->states[w->state_count] = *state;
    w->state_count++;
}

void state_world_acknowledge(struct state_world *w)
{
    struct err err;

    if (w->pending_count == 0 || w->state_count == 0)
        return;
    add_state(w, &w->pending[0].state);
    if (rc_failed(local_state_acknowledge(w->ls, w->pending[0].mark, &w->pending[0].state.pos, &err))) {
        assert_true(err.msg[0] != 0);
        assert_false(local_state_ok(w->ls));
        w->failures++;
    } else
        w->recorded = w->state_count - 1;
    w->pending_count--;
    memmove(&w->pending[0], &w->pending[1], w->pending_count * sizeof w->pending[0]);
}

void state_world_run(struct state_world *w)
{
    struct nonce run = nonce_new();
    struct err err;

    assert_true(w->run_count < STATE_WORLD_RUNS);
    w->runs[w->run_count].nonce = run;
    w->runs[w->run_count++].sure = false;
    if (rc_failed(local_state_add_run(w->ls, &run, &err))) {
        assert_false(local_state_ok(w->ls));
        w->failures++;
        return;
    }
    w->runs[w->run_count - 1].sure = true;
    w->synced = w->recorded; /* they are in the same file */
}

void state_world_checkpoint(struct state_world *w, bool restored)
{
    struct local_state_content content = {.database = w->database, .restored = restored, .chosen = restored};
    size_t first = w->run_count > LOCAL_STATE_RUNS_MAX ? w->run_count - LOCAL_STATE_RUNS_MAX : 0;
    struct state_world_at state;
    struct err err;

    if (w->state_count > 0) {
        while (w->pending_count > 0)
            state_world_acknowledge(w);
        state_world_segment(w);
        state_world_acknowledge(w);
    }
    w->pending_count = 0; /* before the first checkpoint the replica has nothing */
    w->changed = false;
    state = w->now;
    state.restored = restored;
    content.pos = state.pos;
    for (size_t i = first; i < w->run_count; i++)
        content.runs[content.run_count++] = w->runs[i].nonce;
    add_state(w, &state);
    if (rc_failed(local_state_checkpoint(w->ls, &content, w->hashes, &err))) {
        assert_false(local_state_ok(w->ls));
        w->failures++;
        return;
    }
    assert_true(local_state_ok(w->ls));
    for (size_t i = 0; i < w->run_count; i++)
        w->runs[i].sure = true;
    w->begun = true;
    w->recorded = w->synced = w->state_count - 1;
}

void state_world_peek(struct state_world *w)
{
    enum local_state_found found;
    struct local_state_content content;
    struct err err;

    if (rc_failed(local_state_peek(w->fs, w->dir, &content, &found, &err))
        || (found == LOCAL_STATE_BROKEN && err.sys != 0)) {
        w->failures++;
        return;
    }
    assert_int_not_equal(found, LOCAL_STATE_BROKEN);
    if (found == LOCAL_STATE_NONE) {
        assert_false(w->begun);
        return;
    }
    (void)identify(w, &content, NULL);
    check_runs(w, &content);
    w->peeks++;
}

/* --- sequences -------------------------------------------------------------------------------------------------------
 */

void state_world_story(struct state_world *w)
{
    if (!w->begun)
        state_world_checkpoint(w, false); /* of nothing, for the run */
    state_world_run(w);
    state_world_pages(w);
    state_world_checkpoint(w, true);
    for (int i = 0; i < 3; i++) {
        state_world_pages(w);
        state_world_segment(w);
    }
    state_world_acknowledge(w);
    state_world_pages(w);
    state_world_acknowledge(w);
    state_world_peek(w);
    state_world_checkpoint(w, false);
    state_world_run(w);
    state_world_pages(w);
    state_world_segment(w);
    state_world_acknowledge(w);
    state_world_pages(w);
    state_world_segment(w);
}

void state_world_step(struct state_world *w)
{
    switch (w->begun ? state_world_chance(w, 40) : 0) {
    case 0:
        state_world_checkpoint(w, state_world_chance(w, 3) == 0);
        break;
    case 1:
        state_world_run(w);
        break;
    case 2:
        state_world_peek(w);
        break;
    default:
        switch (state_world_chance(w, 3)) {
        case 0:
            state_world_pages(w);
            break;
        case 1:
            state_world_segment(w);
            break;
        default:
            state_world_acknowledge(w);
        }
    }
}

/* --- directories -----------------------------------------------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)where;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

const char *state_world_dir(void)
{
    static char path[200];

    (void)snprintf(path, sizeof path, "%s/app.db-weir", top);
    return path;
}

const char *state_world_fresh_dir(void)
{
    (void)nftw(state_world_dir(), remove_one, 8, FTW_DEPTH | FTW_PHYS); /* usually there is nothing */
    return state_world_dir();
}

static int no_fsync(const struct fsys *fs, int fd)
{
    (void)fs;
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0; /* EBADF, at least */
}

int state_world_make_top(void **state)
{
    (void)state;
    state_world_fsys = fsys_real;
    state_world_fsys.fsync = no_fsync;
    return mkdtemp(top) == NULL ? -1 : 0;
}

int state_world_remove_top(void **state)
{
    (void)state;
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct state_world *state_world_new(uint64_t seed)
{
    struct state_world *w =
        mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* children write it */

    assert_true(w != MAP_FAILED);
    world_init(w, state_world_fresh_dir(), seed);
    return w;
}

void state_world_free(struct state_world *w)
{
    assert_int_equal(munmap(w, sizeof *w), 0);
}

void state_world_recovers(struct state_world *w)
{
    for (int i = 0; i < 2; i++) {
        assert_true(state_world_open(w, &state_world_fsys));
        for (int k = 0; k < 12; k++)
            state_world_step(w);
        state_world_close(w);
    }
}
