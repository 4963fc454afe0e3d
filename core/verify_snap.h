/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_snap - the snapshots of one timeline, each by itself: index, every frame, every page's hash, and every byte
 * under the object's trailer.
 *
 * Read from the begin to the end in pieces of 1 MiB, so many at a time, decoded on all cores.
 *
 * Memory: about 20 MiB, and the index of the snapshot.
 */
#ifndef VERIFY_SNAP_H
#define VERIFY_SNAP_H

#include "verify_intern.h"

/* Sets `usable` and what the snapshots say; reports those that are missing or damaged. */
MUST_USE struct rc verify_snap_run(struct verify_job *j, struct verify_work *t, struct err *err);

#endif
