/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_replay - the segments of a plan applied to the image, in order, fetched ahead; the state checksum is compared
 * after every commit.
 */
#ifndef RESTORE_REPLAY_H
#define RESTORE_REPLAY_H

#include "restore_intern.h"

/*
 * E_CORRUPT names the object and the last txid that can be restored; *blame_snapshot then tells that the first segment
 * is whole but does not begin at the state that the snapshot gave.
 */
MUST_USE struct rc restore_replay_run(struct restore_job *j, bool *blame_snapshot, struct err *err);

#endif
