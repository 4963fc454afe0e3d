/* SPDX-License-Identifier: Apache-2.0 */
/* verify_list - all keys of a replica, sorted out by timeline. */
#ifndef VERIFY_LIST_H
#define VERIFY_LIST_H

#include "verify_intern.h"

/* Fills in the timelines of `j`, and reports what is not weir's. */
MUST_USE struct rc verify_list_run(struct verify_job *j, struct err *err);
/*
 * The logs again, each behind its last key.  Parts, snapshots and timelines were listed after the logs of the first
 * listing, so what belongs to them is in this one.
 */
MUST_USE struct rc verify_list_newer(struct verify_job *j, struct err *err);
/* The folds of a timeline again: something that was listed is gone, so one may have been made meanwhile.  *more: so it
 * is. */
MUST_USE struct rc verify_list_folds(struct verify_job *j, struct verify_work *t, bool *more, struct err *err);

#endif
