/* SPDX-License-Identifier: Apache-2.0 */
#include "db_freeze.h"

#include "wal_gate.h"

/* Up to what a checkpoint has copied: that is a commit's end, and cannot move any more. */
static struct rc read_on(struct db_live *l, bool *there, struct err *err)
{
    uint32_t in_file = wal_index_backfilled(l->conn->shm);
    bool end = false;

    for (;;) {
        *there = end || (!l->cap.inside && wal_reader_pos(l->reader)->frame >= in_file);
        if (*there || !db_live_has_room(l))
            return RC_OK;
        TRY(db_live_absorb_commit(l, &end, err));
    }
}

struct rc db_freeze_begin(struct db_live *l, bool *frozen, struct err *err)
{
    struct rc rc;

    if (*frozen || !wal_gate_pin(l->conn))
        return RC_OK;
    l->hold = true;
    rc = read_on(l, frozen, err);
    if (rc_failed(rc) || !*frozen) {
        *frozen = false;
        db_freeze_end(l);
    }
    return rc;
}

void db_freeze_end(struct db_live *l)
{
    if (l->conn->gate_pinned)
        wal_gate_unpin(l->conn);
    l->hold = false;
}
