/* SPDX-License-Identifier: Apache-2.0 */
/* check_report - what `weir check` found out about one database: one line for each test. */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include "rc.h"

enum { CHECK_REPORT_MAX = 40, CHECK_REPORT_TEXT_MAX = 1500 };

enum check_result {
    CHECK_OK,
    CHECK_SKIPPED, /* it was not tried: the text says why */
    CHECK_WARNING, /* weir works, but somebody should know */
    CHECK_FAILED,
};
const char *check_report_word(enum check_result result); /* "ok", "skipped", "warning", "failed" */

struct check_item {
    const char *name; /* borrowed: a constant */
    enum check_result result;
    char *text; /* owned; what, where, what to do */
};

struct check_report {
    struct check_item items[CHECK_REPORT_MAX];
    size_t count;
};

PRINTF(4, 5)
void check_report_add(struct check_report *r, const char *name, enum check_result result, const char *fmt, ...);
/* How many have this result. */
size_t check_report_count(const struct check_report *r, enum check_result result);
/* NULL: there is no such test. */
const struct check_item *check_report_find(const struct check_report *r, const char *name);
void check_report_fini(struct check_report *r);

#endif
