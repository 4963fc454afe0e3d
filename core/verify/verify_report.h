/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_report - what verify found out, as it comes in: answers, findings, and which commits can be restored.
 *
 * Commits of a timeline are reported in ascending order.
 */
#ifndef VERIFY_REPORT_H
#define VERIFY_REPORT_H

#include "verify_intern.h"

/* `t` may be NULL: an object of no timeline. */
void verify_report_good(struct verify_job *j, const struct verify_work *t, enum layout_kind kind);
PRINTF(6, 7)
void verify_report_find(struct verify_job *j, const struct verify_work *t, enum verify_answer answer,
    enum layout_kind kind, const char *key, const char *fmt, ...);
/* Missing or damaged, by the code of the failure.  A key at the begin of its text is left out. */
void verify_report_damage(
    struct verify_job *j, const struct verify_work *t, enum layout_kind kind, const char *key, const struct err *err);

/* Room for one more in a growing array. */
MUST_USE struct rc verify_report_grow(void *array, size_t count, size_t *room, size_t size, struct err *err);

/* Commits first to last can be restored / cannot (last 0: to the end, wherever that is). */
MUST_USE struct rc verify_report_range(struct verify_timeline *t, uint64_t first, uint64_t last, struct err *err);
MUST_USE struct rc verify_report_loss(
    struct verify_timeline *t, uint64_t first, uint64_t last, uint64_t before, const char *why, struct err *err);
/* Can this commit of the path to `t` be restored? */
bool verify_report_reaches(struct verify_job *j, const struct verify_work *t, uint64_t txid);

#endif
