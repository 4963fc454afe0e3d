/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ship_look - is the key of our next segment still the end of the history?
 *
 * A create-only PUT keeps a second writer out only as long as nothing is deleted: a process that slept (a stopped
 * process, a machine that was cloned or suspended) could create the key of a segment again that was folded and deleted
 * meanwhile.  Writers delete nothing that is younger than 10 minutes; so a writer that has not stored a segment for 5
 * minutes looks first, and one whose PUT took longer than that looks behind it.
 *
 * It is the end when no newer timeline has begun, no segment is behind it, and no fold reaches it: three LISTs.
 */
#ifndef SHIP_LOOK_H
#define SHIP_LOOK_H

#include "layout.h"
#include "work.h"

enum { SHIP_LOOK_REQUESTS = 3 };

struct ship_look {
    uint32_t timeline;
    uint64_t txid;            /* the first of the segment */
    uint64_t fold_first_txid; /* no fold that could reach it begins before; 0: before `txid` */
    struct store_req reqs[SHIP_LOOK_REQUESTS];
    unsigned pending;
    void (*on_done)(struct ship_look *l);
    void *ctx;
};

/* Prepare the requests; they are submitted by whoever looks. */
void ship_look_prepare(struct ship_look *l);
/* On the loop: submit them; on_done comes later. */
void ship_look_start(struct ship_look *l, struct store *s);
/* What they found, once all have come back: E_OK; E_FENCED with the reason; or why it could not be found out.  Frees
 * the answers. */
MUST_USE struct rc ship_look_result(struct ship_look *l, struct err *err);
/* From a job: all of it. */
MUST_USE struct rc ship_look_wait(struct work *w, struct store *s, uint32_t timeline, uint64_t txid, struct err *err);

#endif
