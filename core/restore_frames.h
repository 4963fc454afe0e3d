/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_frames - the snapshot of a plan into a new image: the index first, then the frames, fetched by range and
 * decoded by several jobs side by side, each page written once, the state checksum compared at the end.
 *
 * Memory: per job about 1.5 MiB.
 */
#ifndef RESTORE_FRAMES_H
#define RESTORE_FRAMES_H

#include "restore_intern.h"

enum { RESTORE_FRAMES_JOBS = 8, RESTORE_FRAMES_JOBS_MAX = 256 };

/* Sets image, page size, txid and time of `j`.  E_CORRUPT or E_NOTFOUND: this snapshot cannot be used. */
MUST_USE struct rc restore_frames_load(struct restore_job *j, struct err *err);

#endif
