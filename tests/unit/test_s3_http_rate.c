/* SPDX-License-Identifier: Apache-2.0 */
#include "http_kit.h"

#include "s3_http_rate.h"

#include <stdlib.h>

static double seconds_since(uint64_t begin_ns)
{
    return (double)(uv_hrtime() - begin_ns) / 1e9;
}

static bool any_timed_out(const struct http_ask *asks, unsigned count)
{
    bool any = false;

    for (unsigned i = 0; i < count; i++)
        any = any || asks[i].req.err.code == E_TIMEOUT;
    return any;
}

static void check_all(
    const struct http_kit *k, const struct http_ask *asks, unsigned count, const uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(asks[i].done, 1);
        assert_status(&asks[i], 200);
        assert_int_equal(asks[i].req.data.size, size);
        assert_memory_equal(asks[i].req.data.data, data, size);
        assert_int_equal(http_script_seen(k->script, i)->body_size, size);
        assert_memory_equal(http_script_seen(k->script, i)->body, data, size);
    }
}

/* `count` transfers of `size` bytes, up and down, at so many bytes a second, which may stall for so long.  Below zero:
 * one stalled because the machine stood still. */
static double try(uint64_t up, uint64_t down, unsigned count, size_t size, uint64_t stall_ms)
{
    struct http_ask *asks = calloc(count, sizeof *asks);
    uint8_t *data = calloc(1, size);
    uint64_t seed = 11, begin, longest;
    struct http_kit k;
    double took;

    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)check_random(&seed);
    kit_begin(&k, &(struct s3_http_opts){.upload_rate = up, .download_rate = down, .stall_ms = stall_ms});
    begin = uv_hrtime();
    for (unsigned i = 0; i < count; i++) {
        http_script_add(k.script,
            &(struct http_answer){.how = i % 2 == 0 ? HTTP_WHOLE : HTTP_CHUNKED, .body = data, .body_size = size});
        kit_ask(&k, &asks[i], "PUT", "/key");
        asks[i].req.body = span_of(data, size);
        s3_http_submit(k.http, &asks[i].req);
    }
    longest = kit_settle(&k);
    took = longest > STOOD_STILL_MS && any_timed_out(asks, count) ? -1 : seconds_since(begin);
    if (took >= 0)
        check_all(&k, asks, count, data, size);
    for (unsigned i = 0; i < count; i++)
        s3_http_req_fini(&asks[i].req);
    assert_int_equal(uv_loop_alive(&k.loop), 0);
    kit_end(&k);
    free(asks);
    free(data);
    return took;
}

static double run(uint64_t up, uint64_t down, unsigned count, size_t size, uint64_t stall_ms)
{
    double took;

    do
        took = try(up, down, count, size, stall_ms);
    while (took < 0);
    return took;
}

/* All bytes arrive, and not sooner than the limit allows. */
static void test_up(void **state)
{
    double took = run(400000, 0, 8, 50000, 0);

    (void)state;
    assert_true(took > 0.85);
}

static void test_down(void **state)
{
    double took = run(0, 400000, 8, 50000, 0);

    (void)state;
    assert_true(took > 0.8);
}

static void test_one(void **state)
{
    double took = run(300000, 300000, 1, 150000, 0);

    (void)state;
    assert_true(took > 0.7); /* half a second each way, less what the bucket holds at first */
}

/* So slow that a transfer waits for its turn most of the time, three quarters of a second each, and all in all for much
 * longer than it may stall: it is not taken for stalled. */
static void test_slow(void **state)
{
    double took = run(1000, 0, 3, 2000, 2000);

    (void)state;
    assert_true(took > 5.0);
}

/* False: the machine stood still, and nothing was seen. */
static bool stall(uint8_t *data)
{
    struct http_ask stuck, fine[4];
    struct http_kit k;
    uint64_t begin;

    kit_begin(&k, &(struct s3_http_opts){.upload_rate = 400000, .stall_ms = 1000});
    http_script_add(k.script, &(struct http_answer){.how = HTTP_HANG});
    kit_ask(&k, &stuck, "PUT", "/stuck");
    stuck.req.body = span_of(data, 1000);
    if (!kit_submit_seen(&k, &stuck)) {
        kit_end(&k);
        s3_http_req_fini(&stuck.req);
        return false;
    }
    begin = uv_hrtime();
    for (unsigned i = 0; i < 4; i++) {
        http_script_add(k.script, &(struct http_answer){.body = "fine"});
        kit_ask(&k, &fine[i], "PUT", "/fine");
        fine[i].req.body = span_of(data, 100000);
        fine[i].req.stall_ms = 600000;
        s3_http_submit(k.http, &fine[i].req);
    }
    while (fine[0].done + fine[1].done + fine[2].done + fine[3].done < 4)
        (void)uv_run(&k.loop, UV_RUN_ONCE);
    assert_true(seconds_since(begin) > 0.8);
    (void)uv_run(&k.loop, UV_RUN_DEFAULT);
    assert_failure(&stuck, E_TIMEOUT, "curl 28");
    for (unsigned i = 0; i < 4; i++) {
        assert_status(&fine[i], 200);
        s3_http_req_fini(&fine[i].req);
    }
    s3_http_req_fini(&stuck.req);
    kit_end(&k);
    return true;
}

/* A server that takes nothing is found out under a limit, too, and does not hold up the others. */
static void test_stall(void **state)
{
    uint8_t *data = calloc(1, 100000);

    (void)state;
    while (!stall(data))
        ;
    free(data);
}

/* Canceled and stopped while they wait for their turn. */
static void test_stop(void **state)
{
    struct http_ask asks[6];
    uint8_t *data = calloc(1, 1 << 20);
    struct http_kit k;

    (void)state;
    for (unsigned turns = 5; turns < 60; turns += 9) {
        kit_begin(&k, &(struct s3_http_opts){.upload_rate = 20000, .download_rate = 20000});
        for (unsigned i = 0; i < 6; i++) {
            http_script_add(k.script, &(struct http_answer){.body = data, .body_size = 1 << 20});
            kit_ask(&k, &asks[i], i < 3 ? "PUT" : "GET", "/key");
            if (i < 3)
                asks[i].req.body = span_of(data, 1 << 20);
            s3_http_submit(k.http, &asks[i].req);
        }
        for (unsigned i = 0; i < turns; i++)
            (void)uv_run(&k.loop, UV_RUN_ONCE);
        s3_http_cancel(k.http, &asks[0].req);
        s3_http_cancel(k.http, &asks[5].req);
        kit_end(&k);
        for (unsigned i = 0; i < 6; i++) {
            assert_int_equal(asks[i].done, 1);
            assert_failure(&asks[i], E_CANCELED, "canceled");
            s3_http_req_fini(&asks[i].req);
        }
    }
    free(data);
}

/* --- the bucket alone -------------------------------------------------------------------------------------------- */

struct taker {
    struct s3_http_turn turn;
    struct s3_http_rate *rate;
    unsigned turns;
    size_t left, taken;
};

static void take_on(struct s3_http_turn *turn)
{
    struct taker *t = turn->ctx;
    size_t n = s3_http_rate_piece(t->rate);

    t->turns++;
    for (; t->left > 0; t->left -= n, t->taken += n) {
        n = n < t->left ? n : t->left;
        if (!s3_http_rate_take(t->rate, turn, n))
            return;
    }
}

static void on_closed(uv_handle_t *handle)
{
    unsigned *closed = handle->data;

    ++*closed;
}

/* First come, first served: at any moment nobody is more than a piece or two ahead. */
static void test_fair(void **state)
{
    enum { COUNT = 7, SIZE = 20000 };
    struct taker takers[COUNT] = {0};
    struct s3_http_rate rate;
    unsigned closed = 0;
    uint64_t begin;
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    s3_http_rate_init(&rate, &loop, 200000);
    assert_int_equal(s3_http_rate_piece(&rate), 4000);
    begin = uv_hrtime();
    for (unsigned i = 0; i < COUNT; i++) {
        takers[i] = (struct taker){.turn = {.on_turn = take_on, .ctx = &takers[i]}, .rate = &rate, .left = SIZE};
        take_on(&takers[i].turn);
    }
    while (uv_run(&loop, UV_RUN_ONCE) != 0) {
        size_t least = SIZE, most = 0;

        for (unsigned i = 0; i < COUNT; i++) {
            least = takers[i].taken < least ? takers[i].taken : least;
            most = takers[i].taken > most ? takers[i].taken : most;
        }
        assert_true(most - least <= 8000);
    }
    assert_true(seconds_since(begin) > (COUNT * SIZE - 20000 - 4000) / 200000.0 * 0.95);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(takers[i].taken, SIZE);
        s3_http_rate_leave(&rate, &takers[i].turn);
    }
    s3_http_rate_close(&rate, on_closed, &closed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(closed, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_no_limit(void **state)
{
    static const uint64_t limits[] = {0, UINT64_MAX};
    struct s3_http_turn turn = {0};
    struct s3_http_rate rate;
    unsigned closed = 0;
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (unsigned i = 0; i < 2; i++) {
        s3_http_rate_init(&rate, &loop, limits[i]);
        assert_int_equal(s3_http_rate_piece(&rate), SIZE_MAX);
        for (unsigned n = 0; n < 10; n++)
            assert_true(s3_http_rate_take(&rate, &turn, SIZE_MAX / 2));
        s3_http_rate_leave(&rate, &turn);
        s3_http_rate_close(&rate, on_closed, &closed);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
    }
    assert_int_equal(closed, 2);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up),
        cmocka_unit_test(test_down),
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_fair),
        cmocka_unit_test(test_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
