/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_gate.h"

#include <assert.h>
#include <unistd.h>

enum {
    SLOT = WAL_INDEX_LOCK_READ0 + WAL_INDEX_GATE_SLOT,
    TRIES = 20000,
    PAUSE_US = 50 /* together about a second */,
    CLEAN_TRIES = 400
};

/* Set the mark to "not used", which only the exclusive owner of the slot may do: exactly what SQLite's checkpointer
 * does with a slot that nobody needs. */
static void clear_mark(struct wal_conn *c)
{
    if (!wal_conn_lock(c, SLOT, 1, true))
        return;
    wal_index_set_read_mark(c->shm, WAL_INDEX_GATE_SLOT, WAL_INDEX_MARK_UNUSED);
    wal_conn_unlock(c, SLOT, 1, true);
}

struct rc wal_gate_close(struct wal_conn *c, struct err *err)
{
    assert(!c->gate_held);
    for (int i = 0; i < TRIES; i++) {
        if (wal_conn_lock(c, SLOT, 1, false)) {
            bool clean = wal_index_read_mark(c->shm, WAL_INDEX_GATE_SLOT) == WAL_INDEX_MARK_UNUSED;

            if (clean || i >= CLEAN_TRIES) {
                c->gate_held = true;
                c->gate_marked = !clean;
                return RC_OK;
            }
            wal_conn_unlock(c, SLOT, 1, false);
            clear_mark(c);
        }
        (void)usleep(PAUSE_US);
    }
    return rc_raise(err, E_BUSY, "%s: the last read slot of the WAL index is locked", c->path);
}

void wal_gate_open(struct wal_conn *c)
{
    assert(c->gate_held);
    c->gate_held = false;
    wal_conn_unlock(c, SLOT, 1, false);
}

bool wal_gate_pin(struct wal_conn *c)
{
    assert(!c->gate_pinned);
    c->gate_pinned = wal_conn_lock(c, WAL_INDEX_LOCK_READ0, 1, false);
    return c->gate_pinned;
}

void wal_gate_unpin(struct wal_conn *c)
{
    assert(c->gate_pinned);
    c->gate_pinned = false;
    wal_conn_unlock(c, WAL_INDEX_LOCK_READ0, 1, false);
}

struct rc wal_gate_improve(struct wal_conn *c, struct err *err)
{
    assert(c->gate_pinned);
    if (!c->gate_held || !c->gate_marked)
        return RC_OK;
    wal_gate_open(c);
    return wal_gate_close(c, err);
}
