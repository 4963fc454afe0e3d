/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline - one writer by construction: beginning and ending timelines in the replica.
 *
 * Both are one create-only PUT.  Whoever takes over puts a seal at the key of the next segment of the old timeline, so
 * that the old writer's next PUT fails; then it creates the next timeline.  No lease, no clock, no renewals.  An answer
 * that got lost is settled by reading the object back: it carries the nonce of the run that wrote it.
 *
 * Runs in a job thread: blocking.
 */
#ifndef TIMELINE_H
#define TIMELINE_H

#include "layout.h"
#include "work.h"

/* Make (or read) weir.json.  *created is true when it is ours. */
MUST_USE struct rc timeline_identity(struct work *w, struct store *s, uint32_t page_size, int64_t now_ms,
    struct layout_identity *out, bool *created, struct err *err);

/* Create t/<n>/timeline.json.  E_FENCED when another writer has created it first. */
MUST_USE struct rc timeline_create(
    struct work *w, struct store *s, const struct layout_origin *origin, struct err *err);
/* Host, process and path, for people. */
void timeline_sign(struct layout_origin *origin, const char *path);

/*
 * Seal `timeline` at `txid` (its tip + 1).  Fine if our own seal is there already.  E_BUSY when the old writer was
 * faster and put a segment there: look again.  E_FENCED when somebody else sealed it.
 */
MUST_USE struct rc timeline_seal(struct work *w, struct store *s, const struct nonce *database, const struct nonce *run,
    uint32_t timeline, uint64_t txid, int64_t now_ms, struct err *err);

#endif
