/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_http_rate.h"

#include <assert.h>

enum { FILL_US_MAX = 1000000, WAIT_MS_MAX = 1000 };

static const int64_t us_per_s = 1000000;

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

void s3_http_rate_init(struct s3_http_rate *r, uv_loop_t *loop, uint64_t bytes_per_second)
{
    /* More than a limit of 1 TB/s could not be told from none, and the sums below stay far from overflow. */
    *r = (struct s3_http_rate){.bytes_per_second = bytes_per_second > 1000000000000 ? 0 : bytes_per_second};
    r->last = &r->first;
    r->filled_us = now_us();
    (void)uv_timer_init(loop, &r->timer); /* cannot fail */
    r->timer.data = r;
}

void s3_http_rate_close(struct s3_http_rate *r, uv_close_cb on_closed, void *data)
{
    assert(r->first == NULL);
    r->timer.data = data;
    uv_close((uv_handle_t *)&r->timer, on_closed);
}

size_t s3_http_rate_piece(const struct s3_http_rate *r)
{
    uint64_t piece = r->bytes_per_second / S3_HTTP_RATE_PIECES_A_SECOND;

    if (r->bytes_per_second == 0)
        return SIZE_MAX;
    if (piece < S3_HTTP_RATE_PIECE_MIN)
        return S3_HTTP_RATE_PIECE_MIN;
    return piece > S3_HTTP_RATE_PIECE_MAX ? S3_HTTP_RATE_PIECE_MAX : (size_t)piece;
}

static void fill(struct s3_http_rate *r)
{
    int64_t rate = (int64_t)r->bytes_per_second, most = rate / 10, earned;
    uint64_t now = now_us(), passed = now - r->filled_us;

    if (passed > FILL_US_MAX) {
        passed = FILL_US_MAX;
        r->filled_us = now - passed;
    }
    earned = (int64_t)passed * rate / us_per_s;
    if (earned == 0)
        return;
    /* Only the time that made whole bytes is used up. */
    r->filled_us += (uint64_t)(earned * us_per_s / rate);
    r->left += earned;
    if (most < (int64_t)s3_http_rate_piece(r))
        most = (int64_t)s3_http_rate_piece(r);
    if (r->left > most)
        r->left = most;
}

static void on_timer(uv_timer_t *timer);

/* Wake up when the bucket is above zero. */
static void arm(struct s3_http_rate *r)
{
    uint64_t ms = 1;

    if (r->left <= 0)
        ms += (uint64_t)((1 - r->left) * 1000 / (int64_t)r->bytes_per_second);
    (void)uv_timer_start(&r->timer, on_timer, ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX, 0); /* it is open: it can */
}

static void unlink_turn(struct s3_http_rate *r, struct s3_http_turn *turn)
{
    *turn->prev = turn->next;
    if (turn->next != NULL)
        turn->next->prev = turn->prev;
    else
        r->last = turn->prev;
    turn->prev = NULL;
}

static void on_timer(uv_timer_t *timer)
{
    struct s3_http_rate *r = timer->data;

    fill(r);
    while (r->first != NULL && r->left > 0) {
        struct s3_http_turn *turn = r->first;

        unlink_turn(r, turn);
        turn->granted = true;
        r->left -= (int64_t)s3_http_rate_piece(r);
        turn->on_turn(turn);
    }
    if (r->first != NULL)
        arm(r);
}

bool s3_http_rate_take(struct s3_http_rate *r, struct s3_http_turn *turn, size_t size)
{
    if (r->bytes_per_second == 0)
        return true;
    if (turn->granted) {
        turn->granted = false;
        r->left += (int64_t)s3_http_rate_piece(r) - (int64_t)size;
        return true;
    }
    fill(r);
    if (r->first == NULL && r->left > 0) {
        r->left -= (int64_t)size;
        return true;
    }
    if (turn->prev == NULL) {
        turn->next = NULL;
        turn->prev = r->last;
        *r->last = turn;
        r->last = &turn->next;
        if (!uv_is_active((uv_handle_t *)&r->timer))
            arm(r);
    }
    return false;
}

void s3_http_rate_leave(struct s3_http_rate *r, struct s3_http_turn *turn)
{
    if (turn->granted)
        r->left += (int64_t)s3_http_rate_piece(r);
    turn->granted = false;
    if (turn->prev != NULL)
        unlink_turn(r, turn);
    if (r->first == NULL)
        (void)uv_timer_stop(&r->timer); /* cannot fail */
}
