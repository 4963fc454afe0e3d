/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_verified - the last state that was proven to be restorable, in `<database>-weir/verified`: a trial restore
 * wrote it down, retention keeps the snapshot.
 */
#ifndef LOCAL_VERIFIED_H
#define LOCAL_VERIFIED_H

#include "fsys.h"

struct local_verified {
    uint32_t timeline;
    uint64_t txid;          /* 0: none */
    uint64_t snapshot_txid; /* that the restore began with */
    int64_t time_ms;        /* when it was tried */
};

/* `dir` is that of the local state.  Nothing is written when it is not there. */
MUST_USE struct rc local_verified_write(
    const struct fsys *fs, const char *dir, const struct local_verified *v, struct err *err);
/* txid 0 when there is none, or one that cannot be read. */
void local_verified_read(const struct fsys *fs, const char *dir, struct local_verified *out);

#endif
