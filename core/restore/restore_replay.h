/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_replay - segments of a plan applied to the image, in order, fetched ahead; the state checksum is compared
 * after every commit.
 */
#ifndef RESTORE_REPLAY_H
#define RESTORE_REPLAY_H

#include "restore_intern.h"

/*
 * The segments of a stage, behind its bases.  E_CORRUPT or E_NOTFOUND names what is damaged or missing, and j->lost has
 * it: an object of the log, or the last base when the first segment is whole but does not begin at the state that the
 * bases gave.
 */
MUST_USE struct rc restore_replay_run(struct restore_job *j, const struct plan_stage *stage, struct err *err);

#endif
