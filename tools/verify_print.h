/* SPDX-License-Identifier: Apache-2.0 */
/* verify_print - the report of a verification, as text or as JSON (docs/verify.md). */
#ifndef VERIFY_PRINT_H
#define VERIFY_PRINT_H

#include "restore.h"
#include "verify.h"

/* What a trial restore gave. */
struct verify_print_deep {
    bool asked, restored;
    struct restore_report report; /* when restored */
    struct err err;               /* when not */
};

struct verify_print {
    const char *url;
    const struct verify_report *report;
    const struct verify_print_deep *deep;
    uint64_t duration_ms;
};

void verify_print_text(const struct verify_print *p);
void verify_print_json(const struct verify_print *p);

#endif
