/* SPDX-License-Identifier: Apache-2.0 */
#include "shipper.h"

#include "clock.h"
#include "conflict.h"
#include "layout.h"
#include "seal.h"

#include <assert.h>
#include <string.h>

enum { RETRY_BASE_MS = 100, RETRY_MAX_MS = 10000 };

static void send_first(struct shipper *s);
static void look(struct shipper *s, bool back);

/* --- outcomes -------------------------------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *timer)
{
    struct shipper *s = timer->data;

    s->waiting = false;
    send_first(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct shipper *s = handle->data;

    s->on_closed(s->ctx);
}

static void drop_queue(struct shipper *s)
{
    while (s->first != NULL) {
        struct db_segment *next = s->first->next;

        db_live_free_segment(s->first);
        s->first = next;
    }
    s->last = &s->first;
    s->segment_count = s->spooled_count = s->memory_count = 0;
    s->waiting = false;
    (void)uv_timer_stop(&s->retry); /* stopping a timer cannot fail */
}

/* Nothing is in flight any more. */
static void ending(struct shipper *s)
{
    if (s->closing) {
        drop_queue(s);
        uv_close((uv_handle_t *)&s->retry, on_timer_closed);
    } else if (s->dropping) {
        s->dropping = false;
        drop_queue(s);
        s->on_dropped(s->ctx);
    }
}

/* `wait_ms`: what the store asks for, or 0. */
static void trouble(struct shipper *s, const struct err *err, uint32_t wait_ms)
{
    uint32_t pause = backoff_next_ms(&s->backoff);
    int rc;

    if (pause < wait_ms)
        pause = wait_ms;
    if (s->last_error.code == E_OK)
        s->error_since_ms = (uint64_t)clock_wall_ms(&clock_real);
    s->last_error = *err;
    s->failure_count++;
    s->retry_at_ms = clock_mono_ms(&clock_real) + pause;
    s->waiting = true;
    rc = uv_timer_start(&s->retry, on_retry, pause, 0);
    assert(rc == 0);
    s->on_trouble(s->ctx);
}

static void count(struct shipper *s, const struct db_segment *seg, int by)
{
    unsigned *n = seg->spooled ? &s->spooled_count : &s->segment_count;

    if (!seg->is_part)
        *n += (unsigned)by;
    if (!seg->spooled)
        s->memory_count += (unsigned)by;
}

static void shipped(struct shipper *s)
{
    struct db_segment *done = s->first;
    bool was_failing = s->last_error.code != E_OK;

    s->first = done->next;
    if (s->first == NULL)
        s->last = &s->first;
    done->next = NULL;
    count(s, done, -1);
    if (!done->is_part)
        shipper_know(s);
    s->put_count++;
    s->put_bytes += done->bytes.size;
    s->raw_bytes += done->raw_bytes;
    s->last_error.code = E_OK;
    backoff_reset(&s->backoff);
    if (was_failing)
        s->on_trouble(s->ctx);
    s->on_shipped(s->ctx, done);
    send_first(s);
}

static void fenced(struct shipper *s, const struct err *err)
{
    s->fenced = true;
    s->last_error = *err;
    s->on_fenced(s->ctx, err);
}

/* --- after a sleep ------------------------------------------------------------------------------------------------ */

/* By the clock that went further. */
static bool long_ago(const struct shipper *s, uint64_t mono_ms, int64_t wall_ms)
{
    uint64_t mono = clock_mono_ms(&clock_real) - mono_ms;
    int64_t wall = clock_wall_ms(&clock_real) - wall_ms;

    return s->look_after_ms > 0 && (mono >= s->look_after_ms || wall >= (int64_t)s->look_after_ms);
}

void shipper_know(struct shipper *s)
{
    s->known_mono_ms = clock_mono_ms(&clock_real);
    s->known_wall_ms = clock_wall_ms(&clock_real);
}

/* It is there.  If that took so long that it may have been sent after a sleep, whose is it? */
static void stored(struct shipper *s)
{
    if (!s->first->is_part && long_ago(s, s->sent_mono_ms, s->sent_wall_ms))
        look(s, true);
    else
        shipped(s);
}

static void looked(struct shipper *s)
{
    struct err err;
    struct rc rc = ship_look_result(&s->look, &err);

    s->in_flight = false;
    if (s->closing || s->dropping) {
        ending(s);
    } else if (rc.code == E_FENCED) {
        fenced(s, &err);
    } else if (rc_failed(rc)) {
        trouble(s, &err, 0); /* behind a PUT, too: the next one finds our own object */
    } else if (s->looking_back) {
        shipped(s);
    } else {
        shipper_know(s);
        send_first(s);
    }
}

static void on_looked(struct ship_look *l)
{
    struct shipper *s = l->ctx;

    s->looked = s->paused;
    if (!s->paused)
        looked(s);
}

static void look(struct shipper *s, bool back)
{
    s->look = (struct ship_look){.timeline = s->timeline,
        .txid = s->first->first_txid,
        .fold_first_txid = s->fold_first_txid,
        .on_done = on_looked,
        .ctx = s};
    s->looking_back = back;
    s->in_flight = true;
    ship_look_start(&s->look, s->store);
}

/* While the queue is frozen an answer waits in its request. */
static bool hold_answer(struct shipper *s)
{
    s->answered = s->paused;
    return s->paused;
}

/* --- a taken key -------------------------------------------------------------------------------------------------- */

static void on_read_back(struct store_req *req)
{
    struct shipper *s = req->ctx;
    struct err err;
    uint32_t wait_ms;
    struct rc rc;

    if (hold_answer(s))
        return;
    s->in_flight = false;
    if (s->closing || s->dropping) {
        store_req_fini(req);
        ending(s);
        return;
    }
    rc = store_result(req, &err);
    if (rc_failed(rc)) {
        wait_ms = req->retry_after_ms;
        store_req_fini(req);
        trouble(s, &err, wait_ms);
        return;
    }
    if (req->data.size == s->first->bytes.size && memcmp(req->data.data, s->first->bytes.data, req->data.size) == 0) {
        store_req_fini(req);
        stored(s);
        return;
    }
    rc = s->first->is_part ? conflict_explain_part(req->key, &err)
                           : conflict_explain(req->key, buf_span(&req->data), &err);
    store_req_fini(req);
    if (rc.code == E_FENCED)
        fenced(s, &err);
    else
        trouble(s, &err, 0);
}

static void read_back(struct shipper *s)
{
    layout_text key;

    memcpy(key, s->req.key, sizeof key);
    store_req_fini(&s->req);
    store_req_init(&s->req, STORE_GET, key, on_read_back, s);
    s->req.once = true;
    s->in_flight = true;
    store_submit(s->store, &s->req);
}

/* --- sending ---------------------------------------------------------------------------------------------------------
 */

static void on_put(struct store_req *req)
{
    struct shipper *s = req->ctx;
    struct err err;
    uint32_t wait_ms;
    struct rc rc;

    if (hold_answer(s))
        return;
    rc = store_result(req, &err);
    s->in_flight = false;
    if (s->closing || s->dropping) {
        store_req_fini(req);
        ending(s);
        return;
    }
    if (rc.code == E_EXISTS) {
        read_back(s);
        return;
    }
    wait_ms = req->retry_after_ms;
    store_req_fini(req);
    if (rc_failed(rc))
        trouble(s, &err, wait_ms);
    else
        stored(s);
}

static void send_first(struct shipper *s)
{
    struct db_segment *seg = s->first;
    layout_text key;

    if (seg == NULL || s->in_flight || s->waiting || s->fenced || s->closing || s->paused || s->loading
        || seg->first_txid > s->allowed_txid)
        return;
    if (seg->spooled && seg->bytes.size == 0) {
        s->loading = true;
        s->on_load(s->ctx, seg);
        return;
    }
    if (!seg->is_part && long_ago(s, s->known_mono_ms, s->known_wall_ms)) {
        look(s, false);
        return;
    }
    s->sent_mono_ms = clock_mono_ms(&clock_real);
    s->sent_wall_ms = clock_wall_ms(&clock_real);
    if (seg->is_part)
        layout_part(key, s->timeline, seg->first_txid, &s->run, seg->part_number);
    else
        layout_log(key, s->timeline, seg->first_txid);
    store_req_init(&s->req, STORE_PUT, key, on_put, s);
    s->req.body = buf_span(&seg->bytes);
    s->req.create_only = true;
    s->req.once = true; /* trouble() has the schedule */
    s->in_flight = true;
    if (!seg->is_part)
        s->last_put_us = clock_mono_us(&clock_real);
    store_submit(s->store, &s->req);
}

void shipper_start(struct shipper *s, uv_loop_t *loop, struct store *store)
{
    int rc;

    s->loop = loop;
    s->store = store;
    s->first = NULL;
    s->last = &s->first;
    s->backoff = (struct backoff){.base_ms = RETRY_BASE_MS, .max_ms = RETRY_MAX_MS};
    s->segment_count = s->spooled_count = s->memory_count = 0;
    s->allowed_txid = UINT64_MAX;
    s->in_flight = s->waiting = s->fenced = s->dropping = s->closing = s->paused = s->answered = s->loading = false;
    s->looked = false;
    s->last_error.code = E_OK;
    rc = uv_timer_init(loop, &s->retry);
    assert(rc == 0);
    s->retry.data = s;
}

void shipper_follow(struct shipper *s, uint32_t timeline, const struct nonce *run)
{
    bool was_failing = s->last_error.code != E_OK;

    assert(s->first == NULL && !s->in_flight);
    s->timeline = timeline;
    s->run = *run;
    s->last_error.code = E_OK;
    backoff_reset(&s->backoff);
    if (was_failing)
        s->on_trouble(s->ctx);
}

void shipper_put(struct shipper *s, struct db_segment *segment)
{
    segment->next = NULL;
    *s->last = segment;
    s->last = &segment->next;
    s->last_txid = segment->first_txid;
    count(s, segment, 1);
    if (segment->spooled)
        buf_fini(&segment->bytes);
    send_first(s);
}

/* --- the spool ------------------------------------------------------------------------------------------------- */

struct db_segment *shipper_pause(struct shipper *s)
{
    assert(!s->paused);
    s->paused = true;
    return s->first;
}

void shipper_resume(struct shipper *s)
{
    assert(s->paused);
    s->paused = false;
    s->segment_count = s->spooled_count = s->memory_count = 0;
    for (struct db_segment *seg = s->first; seg != NULL; seg = seg->next) {
        count(s, seg, 1);
        if (seg->spooled && !(seg == s->first && (s->in_flight || s->loading)))
            buf_fini(&seg->bytes);
    }
    if (s->looked) {
        s->looked = false;
        looked(s);
        return;
    }
    if (s->answered) {
        s->answered = false;
        s->req.on_done(&s->req);
        return;
    }
    send_first(s);
}

void shipper_loaded(struct shipper *s, const struct err *err)
{
    s->loading = false;
    if (s->closing || s->dropping)
        ending(s);
    else if (err->code != E_OK)
        trouble(s, err, 0);
    else
        send_first(s);
}

bool shipper_has_room(const struct shipper *s)
{
    return s->segment_count < SHIPPER_QUEUE_MAX && !s->fenced;
}

void shipper_allow(struct shipper *s, uint64_t txid)
{
    s->allowed_txid = txid;
    send_first(s);
}

bool shipper_holds(const struct shipper *s)
{
    return s->memory_count > 0 && s->last_txid > s->allowed_txid;
}

bool shipper_idle(const struct shipper *s)
{
    return s->first == NULL && !s->in_flight && !s->loading;
}

void shipper_hurry(struct shipper *s)
{
    if (!s->waiting)
        return;
    (void)uv_timer_stop(&s->retry); /* stopping a timer cannot fail */
    s->waiting = false;
    send_first(s);
}

void shipper_fence(struct shipper *s, const struct err *why)
{
    if (!s->fenced)
        fenced(s, why);
}

void shipper_stop(struct shipper *s)
{
    s->closing = true;
    if (!s->in_flight && !s->loading)
        ending(s);
}

void shipper_drop(struct shipper *s)
{
    if (s->in_flight || s->loading)
        s->dropping = true;
    else
        drop_queue(s);
}
