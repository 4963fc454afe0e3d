/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share - exactly the objects that a restore of one state needs, as a document with links (s3/share_doc.h), and the
 * state that a share is for.
 *
 * The document by itself is a history, if a short one: a restore from it makes its own plan of what it lists.  So the
 * objects must lead to the state in any order of reading that their keys allow, which a way that leaves the log for a
 * merge, and comes back to it, does not: then another way is shared.
 *
 * Runs in a job thread: blocking.
 */
#ifndef SHARE_H
#define SHARE_H

#include "restore.h"
#include "share_doc.h"

struct share_opts {
    struct restore_opts target; /* by_txid, by_time, txid, time_ms, timeline */
    uint32_t seconds;           /* 1 to STORE_PRESIGN_MAX */
};

/*
 * `out` is freed by the caller.  Errors: those of a restore; E_UNSUPPORTED when the store has no links, E_DENIED when
 * its credentials cannot sign any that last so long, which is found out before the objects are.
 */
MUST_USE struct rc share_make(struct work *w, struct store *s, const struct fsys *fs, const struct share_opts *opts,
    struct share_doc *out, struct err *err);

/* Of a share, the state that it is for is what is restored unless the options say another; other stores: nothing. */
MUST_USE struct rc share_target(struct work *w, struct store *s, struct restore_opts *opts, struct err *err);

#endif
