/* SPDX-License-Identifier: Apache-2.0 */
/* verify_part - the parts that a segment lists, and the directories of all its blocks. */
#ifndef VERIFY_PART_H
#define VERIFY_PART_H

#include "verify_intern.h"

/*
 * Reports each part.  *broken is set (owned by the caller) to what keeps the segment from being replayed, or left
 * alone. E_CORRUPT: the segment itself is senseless.
 */
MUST_USE struct rc verify_part_run(
    struct verify_job *j, struct verify_work *t, struct seg_dec *segment, char **broken, struct err *err);

/* Parts that no readable segment lists: left over, or of one that cannot be read; then their own checksum counts. */
MUST_USE struct rc verify_part_rest(struct verify_job *j, struct verify_work *t, struct err *err);

#endif
