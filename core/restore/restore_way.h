/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_way - the image of a state, by the cheapest way (core/plan).  What turns out to be missing or damaged on it
 * is named in a warning, and the next cheapest way without it is taken, until there is none left.
 */
#ifndef RESTORE_WAY_H
#define RESTORE_WAY_H

#include "restore_intern.h"

/*
 * Sets plan and image of `j` (with a dry run: the plan).  E_CORRUPT: every way meets something missing or damaged; the
 * first is named, and the last txid before it that can be restored.
 */
MUST_USE struct rc restore_way_run(struct restore_job *j, uint32_t timeline, uint64_t txid, struct err *err);

/* Add to the warning of the report. */
void restore_way_warn(struct restore_job *j, const char *text);

#endif
