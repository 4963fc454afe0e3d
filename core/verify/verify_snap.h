/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_snap - the snapshots and merges of one timeline: index, every frame, every page's hash, and every byte under
 * the object's trailer.  A merge is put upon the state that it builds on, when that was read: together they have the
 * state checksum that it promises.
 *
 * Read from the begin to the end in pieces of 1 MiB, so many at a time, decoded on all cores.
 *
 * Memory: about 20 MiB, the index of the snapshot, and 8 bytes a page for each state that a merge still builds on, at
 * most VERIFY_SNAP_STATES of them.
 */
#ifndef VERIFY_SNAP_H
#define VERIFY_SNAP_H

#include "verify_intern.h"

/* There are two, as long as nobody made merges by hand: a state for each level. */
enum { VERIFY_SNAP_STATES = 8 };

/* Sets `usable` and what the snapshots say; reports those that are missing or damaged. */
MUST_USE struct rc verify_snap_run(struct verify_job *j, struct verify_work *t, struct err *err);

#endif
