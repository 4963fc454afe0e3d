/* SPDX-License-Identifier: Apache-2.0 */
#include "db_reach.h"

#include <assert.h>
#include <string.h>

/* The log is started over only when all of it is read, so in another generation we are past any place in this one. */
static bool is_before(const struct db_live *l, const struct wal_pos *from, uint32_t frame)
{
    const struct wal_pos *at = wal_reader_pos(l->reader);

    return memcmp(at->salt, from->salt, sizeof from->salt) == 0 && at->frame < frame;
}

/* A step ends anywhere, and where transactions are large hardly ever between two of them. */
static struct rc end_commit(struct db_live *l, struct err *err)
{
    bool end = false;

    while (l->cap.inside)
        TRY(db_live_absorb_commit(l, &end, err));
    return RC_OK;
}

struct rc db_reach_now(struct db_live *l, struct err *err)
{
    bool end = false;
    struct wal_pos from;
    uint32_t goal;

    assert(l->cap.enc == NULL);        /* what is encoded would have to be shipped on the way */
    TRY(db_live_absorb(l, &end, err)); /* looks at the index, too */
    from = *wal_reader_pos(l->reader);
    goal = wal_reader_log_frames(l->reader);
    while (!end && is_before(l, &from, goal))
        TRY(db_live_absorb(l, &end, err));
    return end_commit(l, err);
}

struct rc db_reach_for(struct db_live *l, uint64_t us, bool *end, struct err *err)
{
    uint64_t until = clock_mono_us(l->clock) + us;

    do
        TRY(db_live_absorb(l, end, err));
    while (!*end && clock_mono_us(l->clock) < until);
    return RC_OK;
}
