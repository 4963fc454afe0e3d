/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_drill - what became of the last drills, in `<database>-weir/drilled`: so that neither their schedule nor a
 * failed one is forgotten over a restart.
 */
#ifndef LOCAL_DRILL_H
#define LOCAL_DRILL_H

#include "fsys.h"

struct local_drill {
    int64_t tried_ms; /* the last one that had a result; 0: none */
    /* The last good one; time 0: none. */
    int64_t good_ms;
    uint32_t timeline;
    uint64_t txid;
    int64_t state_ms; /* of that commit */
    /* Since then one failed; time 0: none did. */
    int64_t failed_ms;
    uint64_t failed_txid;
    char why[ERR_MSG_SIZE];
};

/* `dir` is that of the local state. */
MUST_USE struct rc local_drill_write(
    const struct fsys *fs, const char *dir, const struct local_drill *d, struct err *err);
/* Zero when there is none, or one that cannot be read. */
void local_drill_read(const struct fsys *fs, const char *dir, struct local_drill *out);

#endif
