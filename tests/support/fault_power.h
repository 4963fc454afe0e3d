/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_power - a power cut: what was not synced may be gone, or there in part, or in another order.
 *
 *     p = fault_power_new();
 *     fault_fsys_init(&f, FAULT_FOREVER, n, EIO);      from the n-th call on nothing happens any more
 *     fault_power_under(&f, p);
 *     operation(&f.fs, ...);
 *     fault_power_cut(p, seed);                        now the directory holds what a disk could hold
 *     ...                                              look at it with fsys_real, restart, go on
 *     fault_power_free(p);
 *
 * The model is the weakest disk that POSIX allows, not one file system:
 *
 *   - Bytes written and sizes set are safe after an fsync of the file.  Until then each 512-byte sector of each write
 *     may or may not have arrived, in any order; the file may have its new size with zeros where nothing arrived.
 *   - Names (created, renamed, linked, removed files and directories) are safe after an fsync of the directory,
 * whatever happened to the file.  Until then each change may or may not have arrived, in any order; one rename is
 * atomic.
 *   - When an fsync fails, its writes were dropped by the kernel: a later fsync that succeeds does not save them.
 *
 * The seed chooses among: nothing unsynced arrived, all of it, the first so many changes with the last of them torn, or
 * any subset.  So seeds 1 to 20 or so make every kind.
 *
 * What exists when it is first touched counts as safe.  Only changes through the table are known: files that SQLite
 * writes itself keep what they have, unless a directory above them is lost.  File contents are kept in memory: for
 * files of tests.  Directories cannot be renamed (the test is aborted).
 */
#ifndef FAULT_POWER_H
#define FAULT_POWER_H

#include "fault_fsys.h"

struct fault_power *fault_power_new(void);
void fault_power_free(struct fault_power *p);

/* The calls of `f` reach the disk through `p`. */
void fault_power_under(struct fault_fsys *f, struct fault_power *p);

/* The table alone, without other faults. */
const struct fsys *fault_power_fsys(struct fault_power *p);

/* An fsync of this descriptor failed: forget that it was ever promised.  (fault_fsys calls this.) */
void fault_power_sync_failed(struct fault_power *p, int fd);

/* Cut the power and bring the disk into a state that is possible by then.  Afterwards everything there is safe, and `p`
 * can be used on.  Descriptors still open belong to files that may not exist any more: close them. */
void fault_power_cut(struct fault_power *p, uint64_t seed);

/* Cut the power of this process, too: as above, then it ends at once.  Other threads may be at work. */
_Noreturn void fault_power_die(struct fault_power *p, uint64_t seed);

/* Changes that are not safe at the moment. */
size_t fault_power_pending(struct fault_power *p);

#endif
