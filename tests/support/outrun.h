/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outrun - an application that commits more each time weir reads on in its log: the end is never reached.
 *
 *     outrun_begin(&o, &g)      from now on, `limit` times; then reads of the log fail
 *     ...                       what is tried has ended when o.limit is not 0
 *     outrun_end(&o)
 *
 * The log is not started over meanwhile: weir would hold off the application, which the test waits for.
 */
#ifndef OUTRUN_H
#define OUTRUN_H

#include "live_kit.h"

enum { OUTRUN_READ = 65536 };

struct outrun {
    struct live *g;
    ssize_t (*pread)(const struct fsys *fs, int fd, void *buf, size_t size, off_t offset);
    int limit;
};

static struct outrun *outrun_active;
static uint64_t outrun_ahead_us;

static inline int64_t outrun_wall_ms(const struct clock *c)
{
    (void)c;
    return clock_wall_ms(&clock_real);
}

/* A step's time is over with each read: how many there are must not depend on how fast the machine is. */
static inline uint64_t outrun_mono_us(const struct clock *c)
{
    (void)c;
    return clock_mono_us(&clock_real) + outrun_ahead_us;
}

static const struct clock outrun_clock = {outrun_wall_ms, outrun_mono_us};

static inline ssize_t outrun_pread(const struct fsys *fs, int fd, void *buf, size_t size, off_t offset)
{
    struct outrun *o = outrun_active;

    if (fd == o->g->l->conn->wal_fd && size > OUTRUN_READ) { /* it reads on, and not a single page */
        if (o->limit == 0) {
            errno = EIO;
            return -1;
        }
        o->limit--;
        outrun_ahead_us += DB_LIVE_STEP_US;
        /* More than one read takes in (WAL_READER_BATCH_SIZE). */
        live_sql(o->g, "UPDATE t SET b = randomblob(300000) WHERE id = 1");
    }
    return o->pread(fs, fd, buf, size, offset);
}

static inline void outrun_begin(struct outrun *o, struct live *g)
{
    *o = (struct outrun){.g = g, .pread = g->f.fs.pread, .limit = 150};
    assert_null(outrun_active);
    outrun_active = o;
    g->l->clock = g->l->cap.clock = &outrun_clock;
    g->l->careful = true;
    memset(&g->l->safe, 0, sizeof g->l->safe);
    g->f.fs.pread = outrun_pread;
}

static inline void outrun_end(struct outrun *o)
{
    assert_true(o->limit > 0);
    o->g->f.fs.pread = o->pread;
    o->g->l->careful = false;
    outrun_active = NULL;
}

#endif
