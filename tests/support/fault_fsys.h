/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_fsys - an fsys that misbehaves at the n-th call: fails once, fails from then on, or kills the process.
 *
 *     for (n = 1;; n++) {
 *         fault_fsys_init(&f, FAULT_ONCE, n, EIO);
 *         rc = operation(&f.fs, ...);
 *         assert_int_equal(f.open_fds, 0);         nothing leaks, whatever happened
 *         if (f.fired == 0)
 *             break;                               no fault met: every call had its turn
 *         ...                                      it failed, and what must hold does
 *     }
 *     assert_in_range(n, 8, 64);                   the loop really walked through it
 *
 * After fault_fsys_init() a test may set `ops` (only these kinds of call count), `short_io`, `lie` and `below`; for
 * lost writes see fault_power.h.  A close that is told to fail has still closed the descriptor, as on Linux.
 *
 * Threads: the table may be used by several at once; the fields are set before and read after.
 */
#ifndef FAULT_FSYS_H
#define FAULT_FSYS_H

#include "fsys.h"

enum fault_mode {
    FAULT_ONCE,
    FAULT_FOREVER,
    FAULT_KILL, /* raise(SIGKILL): for a forked child */
};

enum fault_op {
    FAULT_OPEN = 1 << 0,
    FAULT_PREAD = 1 << 1,
    FAULT_PWRITE = 1 << 2,
    FAULT_FTRUNCATE = 1 << 3,
    FAULT_FSYNC = 1 << 4,
    FAULT_CLOSE = 1 << 5,
    FAULT_RENAME = 1 << 6, /* also rename_new */
    FAULT_LINK = 1 << 7,
    FAULT_UNLINK = 1 << 8,
    FAULT_MKDIR = 1 << 9,
    FAULT_RMDIR = 1 << 10,
    FAULT_STAT = 1 << 11, /* also fstat */
    FAULT_FLOCK = 1 << 12,
    FAULT_OPENDIR = 1 << 13,
    FAULT_FALLOCATE = 1 << 14,
    FAULT_WRITE_EARLY = 1 << 15,
    FAULT_GIVE = 1 << 16,
    FAULT_CLONE = 1 << 17,
    FAULT_ALL = (1 << 18) - 1,
    /* What changes something on the disk: the points where a crash makes a difference. */
    FAULT_CHANGES = FAULT_OPEN | FAULT_PWRITE | FAULT_FTRUNCATE | FAULT_FSYNC | FAULT_RENAME | FAULT_LINK | FAULT_UNLINK
                    | FAULT_MKDIR | FAULT_RMDIR | FAULT_FALLOCATE,
};

struct fault_power;

struct fault_fsys {
    struct fsys fs; /* must be first */

    /* Set before use. */
    const struct fsys *below;  /* who carries out the calls: &fsys_real, or a table of the test's own */
    struct fault_power *power; /* set by fault_power_under() */
    enum fault_mode mode;
    int sys;       /* errno to report */
    unsigned ops;  /* kinds of call that count; FAULT_ALL after init */
    bool short_io; /* reads and writes of more than one byte do half of it */
    bool lie;      /* a failing change is carried out all the same (a time-out after the fact) */

    /* Counted along, by atomic operations. */
    long countdown; /* calls left before the fault; 0 or less at the begin: never */
    long calls;     /* calls that counted */
    long fired;     /* faults delivered so far */
    long open_fds;
};

void fault_fsys_init(struct fault_fsys *f, enum fault_mode mode, long countdown, int sys);

#endif
