/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fence - does this store keep a second writer out?  Found out by trying, because some stores take the condition of a
 * conditional write and ignore it, some refuse it, and some let two of several creators win.
 *
 * Several creators race for one scratch key (`probe/<nonce>`), then one more comes late.  One of the first may win, the
 * late one must not.  A store that refuses to create is asked to write without a condition: only when it does that is
 * the condition the reason.  The scratch object is deleted; where that is not allowed it stays, a few bytes that nobody
 * reads.
 *
 * fence_check_newer() is what is left where a store does not: looking, now and then, whether somebody else has begun a
 * newer timeline.
 *
 * Runs in a job: blocking.
 */
#ifndef FENCE_H
#define FENCE_H

#include "work.h"

enum fence {
    FENCE_UNKNOWN,
    FENCE_KEPT,    /* of several creators exactly one wins */
    FENCE_IGNORED, /* a second creation replaces the first */
    FENCE_RACY,    /* creators at the same moment may both win */
    FENCE_REFUSED, /* the store has no conditional writes, and says so */
};

/* For status and logs: "kept", "ignored" ... */
const char *fence_name(enum fence fence);
/* Why that is no fence, in a sentence; NULL for the first two. */
const char *fence_weakness(enum fence fence);

MUST_USE struct rc fence_probe(struct work *w, struct store *s, enum fence *out, struct err *err);

/* E_FENCED when a timeline newer than `timeline` is there. */
MUST_USE struct rc fence_check_newer(struct work *w, struct store *s, uint32_t timeline, struct err *err);

#endif
