/* SPDX-License-Identifier: Apache-2.0 */
/* verify_pruned - commits that retention took out of the log on purpose: their absence is no damage. */
#ifndef VERIFY_PRUNED_H
#define VERIFY_PRUNED_H

#include "verify_intern.h"

MUST_USE struct rc verify_pruned_add(struct verify_work *t, const struct layout_key *k, struct err *err);
/* What still stands in a pruned range, because pruning was interrupted, is no part of the log: told, and left out. */
void verify_pruned_leave_out(struct verify_job *j);
/* All commits from first to last were pruned. */
bool verify_pruned_has(const struct verify_work *t, uint64_t first, uint64_t last);

#endif
