/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shipper - finished segments to the replica, in order, one at a time, until each is durable.
 *
 * Every PUT of a segment is create-only.  A failure is retried with growing pauses for as long as it takes; nothing
 * behind a segment is sent before it is acknowledged, so a history never has a hole.  When the key is taken, what is
 * there decides: our own bytes (the answer of an earlier try got lost) are an acknowledgement, anything else means that
 * another writer owns the history: the shipper is fenced and sends nothing more.
 *
 * Memory: at most SHIPPER_QUEUE_MAX segments and their parts; callers ask shipper_has_room() first.  Segments in the
 * queue that were spooled (core/spool) do not count: their bytes are read back when it is their turn.
 *
 * A shipper that has not stored a segment for `look_after_ms` first looks whether its key is still the history's end
 * (ship_look.h): it may have slept.
 *
 * What may not be sent yet, because nothing has asked for it (db_trigger.h), waits in the queue: shipper_allow().
 *
 * shipper_pause() freezes the queue, so that a lane may read what waits in it; what comes back meanwhile is looked at
 * by shipper_resume().
 *
 * Threads: loop thread only.
 */
#ifndef SHIPPER_H
#define SHIPPER_H

#include "backoff.h"
#include "db_live.h"
#include "ship_look.h"
#include "store.h"

enum { SHIPPER_QUEUE_MAX = 2 };

struct shipper {
    uv_loop_t *loop;
    struct store *store; /* borrowed */
    uv_timer_t retry;
    struct db_segment *first, **last;
    unsigned segment_count; /* in the queue and in memory, without parts */
    unsigned spooled_count; /* in the queue and on disk */
    unsigned memory_count;  /* in the queue and in memory, parts, too */
    uint64_t last_txid;     /* the first one of what was put last */
    uint64_t allowed_txid;  /* what begins behind it waits */
    bool in_flight, waiting, fenced, dropping, closing;
    bool paused, answered; /* answered: a request came back while paused */
    bool loading;          /* the first one's bytes are being read from the spool */
    struct store_req req;
    struct backoff backoff;

    uint64_t look_after_ms;   /* 0: never */
    uint64_t fold_first_txid; /* for the look; 0: not known */
    uint64_t known_mono_ms;   /* when the history's end was ours last */
    int64_t known_wall_ms;    /* a suspended machine's monotonic clock stands still */
    uint64_t sent_mono_ms;    /* the request in flight */
    int64_t sent_wall_ms;
    struct ship_look look;
    bool looking_back, looked; /* behind a PUT that took long; looked: the answer came while paused */

    /* For status. */
    struct err last_error;   /* code E_OK: the last try worked */
    uint64_t error_since_ms; /* wall clock; when the present row of failures began */
    uint64_t retry_at_ms;    /* monotonic */
    uint64_t failure_count;
    uint64_t put_count, put_bytes, raw_bytes;
    uint64_t last_put_us; /* monotonic, when the last segment was handed over */

    /* The segment or part is durable; the receiver owns it from then on. */
    void (*on_shipped)(void *ctx, struct db_segment *s);
    /* Another writer owns the history. */
    void (*on_fenced)(void *ctx, const struct err *err);
    /* Read the bytes of this spooled segment; answer with shipper_loaded(). */
    void (*on_load)(void *ctx, struct db_segment *s);
    /* The state of failure changed: for log and status. */
    void (*on_trouble)(void *ctx);
    void (*on_dropped)(void *ctx); /* after shipper_drop(), when it had to wait for a request in flight */
    void (*on_closed)(void *ctx);
    void *ctx;
    uint32_t timeline;
    struct nonce run;
};

void shipper_start(struct shipper *s, uv_loop_t *loop, struct store *store);
/* Whatever is found out from now on tells whose the history's end is: a start begins. */
void shipper_know(struct shipper *s);
/* A start has found the replica in order: from here on segments of this timeline and run. */
void shipper_follow(struct shipper *s, uint32_t timeline, const struct nonce *run);
/* Takes the segment. */
void shipper_put(struct shipper *s, struct db_segment *segment);
bool shipper_has_room(const struct shipper *s);
/* Segments, and parts of such, that begin with this commit or an earlier one may be sent. */
void shipper_allow(struct shipper *s, uint64_t txid);
/* Something in memory may not be sent yet. */
bool shipper_holds(const struct shipper *s);
/* What waits, in order; stays the shipper's.  Until shipper_resume() it is not touched. */
struct db_segment *shipper_pause(struct shipper *s);
void shipper_resume(struct shipper *s);
/* The first segment has its bytes, or `err` tells why not. */
void shipper_loaded(struct shipper *s, const struct err *err);
bool shipper_idle(const struct shipper *s);
/* Try at once instead of at the end of the pause. */
void shipper_hurry(struct shipper *s);
/* Forget what is queued: exact history ends here.  A request in flight is waited for. */
void shipper_drop(struct shipper *s);
/* Somebody else owns the history, as was found out elsewhere: send nothing more. */
void shipper_fence(struct shipper *s, const struct err *why);
/* Drop what is queued (after the request in flight has come back), then on_closed. */
void shipper_stop(struct shipper *s);

#endif
