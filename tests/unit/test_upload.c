/* SPDX-License-Identifier: Apache-2.0 */
/* Streams into a store that keeps parts waiting until as many are on their way as there may be. */
#include "check.h"

#include "alloc.h"

#include "store_wait.h"
#include "upload.h"

#include <stdio.h>
#include <string.h>

enum { PART = 1000, PARTS_MAX = 40, SIZE_MAX_HERE = PARTS_MAX * PART };

struct fake {
    struct store base; /* must be first */
    uv_timer_t timer;
    struct store_req *held[UPLOAD_PARTS + 1];
    size_t held_count;
    struct store_req *other; /* one that is no part */
    uint32_t expected_parts; /* of the whole object */
    uint32_t seen, fail;     /* parts; the number of the one that fails */
    size_t parts;            /* that there may be at once */
    bool bad_size, failed, finished, aborted, part_while_ending;
    size_t together; /* parts on their way at once, at most */
    uint64_t expected, last_end;
    char key[STORE_KEY_MAX + 1];
    uint8_t bytes[SIZE_MAX_HERE];
    void (*on_stopped)(void *ctx);
    void *ctx;
};

static void answer(struct fake *f, struct store_req *req)
{
    if (req->verb == STORE_UPLOAD_PART && req->part == f->fail)
        f->failed = rc_failed(rc_raise(&req->err, E_NETWORK, "as told"));
    store_complete(&f->base, req);
}

static void on_timer(uv_timer_t *timer)
{
    struct fake *f = timer->data;
    struct store_req *other = f->other;

    f->other = NULL;
    if (other != NULL)
        answer(f, other);
    /* Newest first: answers come in any order. */
    if (f->held_count < f->parts && f->seen < f->expected_parts && !f->failed)
        return;
    while (f->held_count > 0)
        answer(f, f->held[--f->held_count]);
}

static void take_part(struct fake *f, struct store_req *req)
{
    uint64_t at = (uint64_t)(req->part - 1) * PART;

    assert_string_equal(req->upload, "id");
    assert_true(req->part >= 1 && req->part <= PARTS_MAX);
    f->seen++;
    f->bad_size = f->bad_size || req->body.size > PART || (req->part < f->expected_parts && req->body.size != PART);
    memcpy(f->bytes + at, req->body.data, req->body.size);
    if (at + req->body.size > f->last_end)
        f->last_end = at + req->body.size;
    f->held[f->held_count++] = req;
    if (f->held_count > f->together)
        f->together = f->held_count;
}

static void fake_submit(struct store *s, struct store_req *req)
{
    struct fake *f = (struct fake *)s;

    if (req->verb == STORE_UPLOAD_PART) {
        take_part(f, req);
    } else {
        assert_null(f->other);
        f->other = req;
        f->part_while_ending = f->part_while_ending || f->held_count > 0;
        if (req->verb == STORE_UPLOAD_START) {
            req->upload_id = mem_strdup("id");
            req->part_size = PART;
            f->expected = req->expected;
        }
        f->finished = f->finished || req->verb == STORE_UPLOAD_FINISH;
        f->aborted = f->aborted || req->verb == STORE_UPLOAD_ABORT;
        (void)snprintf(f->key, sizeof f->key, "%s", req->key);
    }
    (void)uv_timer_start(&f->timer, on_timer, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct fake *f = handle->data;

    f->on_stopped(f->ctx);
}

static void fake_stop(struct store *s, void (*on_stopped)(void *ctx), void *ctx)
{
    struct fake *f = (struct fake *)s;

    f->on_stopped = on_stopped;
    f->ctx = ctx;
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

static const struct store_ops fake_ops = {.submit = fake_submit, .stop = fake_stop};

/* --- one upload ----------------------------------------------------------------------------------------------------
 */

struct story {
    struct work_item item; /* must be first */
    uv_loop_t loop;
    struct work *work;
    struct fake fake;
    size_t step; /* bytes given at a time */
    size_t total;
    bool in_place; /* appended to the tail, not put */
    bool give_up;  /* not finished */
    bool done;
    uint64_t size_told;
    struct rc rc;
    struct err err;
};

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + i / 253);
}

static struct rc give(struct story *t, struct upload *u, size_t at, size_t n)
{
    uint8_t chunk[SIZE_MAX_HERE];

    for (size_t i = 0; i < n; i++)
        chunk[i] = byte_at(at + i);
    if (!t->in_place)
        return upload_put(u, chunk, n, &t->err);
    buf_put(upload_tail(u), chunk, n);
    return upload_pass(u, &t->err);
}

static struct rc tell(struct story *t)
{
    CLEANUP(upload_freep) struct upload *u = NULL;

    TRY(upload_open(&u, t->work, &t->fake.base,
        &(struct upload_opts){.key = "a", .expected = t->total, .parts = t->fake.parts}, &t->err));
    for (size_t at = 0; at < t->total; at += t->step)
        TRY(give(t, u, at, t->total - at < t->step ? t->total - at : t->step));
    t->size_told = upload_size(u);
    return t->give_up ? RC_OK : upload_finish(u, "b", true, &t->err);
}

static void run(struct work_item *item)
{
    struct story *t = (struct story *)item;

    t->rc = tell(t);
}

static void on_done(struct work_item *item)
{
    ((struct story *)item)->done = true;
}

static void play(struct story *t)
{
    memset(&t->loop, 0, sizeof t->loop);
    assert_int_equal(uv_loop_init(&t->loop), 0);
    t->work = work_new(&t->loop, 1);
    t->fake.base = (struct store){.ops = &fake_ops, .url = (char *)(uintptr_t) "fake://", .part_size = 7};
    t->fake.expected_parts = (uint32_t)((t->total + PART - 1) / PART);
    assert_int_equal(uv_timer_init(&t->loop, &t->fake.timer), 0);
    t->fake.timer.data = &t->fake;
    t->item.run = run;
    t->item.done = on_done;
    work_job(t->work, &t->item);
    while (!t->done)
        (void)uv_run(&t->loop, UV_RUN_ONCE);
    work_stop(t->work);
    store_wait_end(&t->loop, &t->fake.base);
    assert_false(t->fake.part_while_ending);
}

/* Every byte once and in its place, whatever the pieces are. */
static void streams(void **state)
{
    static const struct {
        size_t total, step;
        bool in_place;
    } cases[] = {
        {1, 1, false},
        {PART, PART, false},
        {PART, PART, true},
        {10 * PART, 100, false},
        {10 * PART, 130, true},
        {10 * PART + 1, 999, true},
        {PARTS_MAX * PART, PARTS_MAX * PART, false},
        {PARTS_MAX * PART, PARTS_MAX * PART, true}, /* far more than fits into all parts */
        {PARTS_MAX * PART - 1, 3 * PART + 17, true},
    };
    static struct story t;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        t = (struct story){.total = cases[i].total, .step = cases[i].step, .in_place = cases[i].in_place};
        t.fake.parts = i % 2 == 0 ? 2 : UPLOAD_PARTS;
        play(&t);
        assert_ok_err(t.rc, &t.err);
        assert_true(t.fake.finished);
        assert_false(t.fake.aborted);
        assert_false(t.fake.bad_size);
        assert_string_equal(t.fake.key, "b");
        assert_int_equal(t.fake.expected, t.total);
        assert_int_equal(t.size_told, t.total);
        assert_int_equal(t.fake.seen, t.fake.expected_parts);
        assert_int_equal(t.fake.last_end, t.total);
        for (size_t at = 0; at < t.total; at++)
            assert_int_equal(t.fake.bytes[at], byte_at(at));
        assert_int_equal(t.fake.together, t.fake.expected_parts < t.fake.parts ? t.fake.expected_parts : t.fake.parts);
    }
}

/* Whichever part fails: it is told, nothing is finished, and what there is goes away. */
static void failures(void **state)
{
    static struct story t;
    char text[80];

    (void)state;
    for (uint32_t part = 1; part <= 6; part++) {
        t = (struct story){.total = 6 * PART - 1, .step = 300, .fake = {.fail = part, .parts = 2 + part % 2}};
        play(&t);
        assert_fails(t.rc, E_NETWORK);
        (void)snprintf(text, sizeof text, "upload part %u of a: as told", part);
        assert_string_equal(t.err.msg, text);
        assert_false(t.fake.finished);
        assert_true(t.fake.aborted);
        assert_string_equal(t.fake.key, "a");
    }
}

static void given_up(void **state)
{
    static struct story t;

    (void)state;
    t = (struct story){.total = 2 * PART, .step = PART, .give_up = true, .fake.parts = UPLOAD_PARTS};
    play(&t);
    assert_ok_err(t.rc, &t.err);
    assert_true(t.fake.aborted);
    assert_false(t.fake.finished);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams),
        cmocka_unit_test(failures),
        cmocka_unit_test(given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
