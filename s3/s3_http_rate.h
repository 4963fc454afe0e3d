/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_http_rate - so many bytes a second over many transfers together, each in its turn.
 *
 *     s3_http_rate_init(&rate, loop, bytes_per_second)
 *     if (s3_http_rate_take(&rate, &turn, n))   ... move n bytes, n <= s3_http_rate_piece(&rate)
 *     else                                      pause: turn.on_turn is called when the transfer may try again
 *     s3_http_rate_leave(&rate, &turn)          the transfer is over
 *     s3_http_rate_close(&rate, on_closed)
 *
 * A bucket of bytes is filled as time goes by, up to what a tenth of a second earns, and whoever takes from it waits
 * while it is empty.  What waits is served first come, first served, a piece at a time, so no transfer starves and a
 * slow one leaves its share to the others.  Whoever is let through may bring the bucket below zero by one piece, which
 * those behind it wait for: over any time the limit holds, give or take a piece.
 *
 * libcurl's own limits (CURLOPT_MAX_SEND_SPEED_LARGE) are for one transfer each, so what an idle one does not use would
 * be lost, and the wait they cause counts as a stalled transfer.
 *
 * Threads: loop thread only.
 */
#ifndef S3_HTTP_RATE_H
#define S3_HTTP_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum {
    S3_HTTP_RATE_PIECE_MIN = 256,
    S3_HTTP_RATE_PIECE_MAX = 16 << 10, /* libcurl delivers at most this much in one call (CURL_MAX_WRITE_SIZE) */
    S3_HTTP_RATE_PIECES_A_SECOND = 50, /* slow limits are served in small pieces, so that no transfer seems stalled */
};

/* A transfer in one direction.  Zeroed at first, but for on_turn and ctx. */
struct s3_http_turn {
    void (*on_turn)(struct s3_http_turn *turn);
    void *ctx;
    struct s3_http_turn *next, **prev; /* prev NULL: it does not wait */
    bool granted;                      /* a piece is reserved for it */
};

struct s3_http_rate {
    uv_timer_t timer;
    uint64_t bytes_per_second; /* 0: no limit */
    int64_t left;              /* bytes that may be moved now; below zero after a large piece */
    uint64_t filled_us;        /* when `left` was right */
    struct s3_http_turn *first, **last;
};

/* `bytes_per_second` 0: there is no limit, and every take succeeds. */
void s3_http_rate_init(struct s3_http_rate *r, uv_loop_t *loop, uint64_t bytes_per_second);
/* The closing of its timer; nobody waits any more.  `data` of the timer is the caller's from now on. */
void s3_http_rate_close(struct s3_http_rate *r, uv_close_cb on_closed, void *data);
/* The most to take at a time where the taker has the choice. */
size_t s3_http_rate_piece(const struct s3_http_rate *r);
bool s3_http_rate_take(struct s3_http_rate *r, struct s3_http_turn *turn, size_t size);
void s3_http_rate_leave(struct s3_http_rate *r, struct s3_http_turn *turn);

#endif
