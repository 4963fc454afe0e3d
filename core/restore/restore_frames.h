/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_frames - the snapshot and merges of a stage of the plan: their indexes first, then their frames, the newest
 * first, fetched by range and decoded by several jobs side by side.  Each page is written once, out of the newest that
 * has it; what no page is wanted of is not fetched.  The state checksum is compared at the end.
 *
 * Memory: per job about 1.5 MiB, and the indexes (5 bytes a page).
 */
#ifndef RESTORE_FRAMES_H
#define RESTORE_FRAMES_H

#include "restore_intern.h"

enum { RESTORE_FRAMES_JOBS = 16, RESTORE_FRAMES_JOBS_MAX = 256 };

/* Sets image, page size, txid and time of `j`.  E_CORRUPT or E_NOTFOUND: j->lost has the one that cannot be used. */
MUST_USE struct rc restore_frames_load(struct restore_job *j, const struct plan_stage *stage, struct err *err);

#endif
