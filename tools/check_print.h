/* SPDX-License-Identifier: Apache-2.0 */
/* check_print - what `weir check` found, as text or as one JSON object (docs/check.md). */
#ifndef CHECK_PRINT_H
#define CHECK_PRINT_H

#include "check_file.h"
#include "check_report.h"
#include "check_store.h"
#include "config.h"
#include "price.h"

/* One database and its replica. */
struct check_target {
    const struct config_db *db;
    char *path, *url; /* owned */
    char *shown_url;  /* owned; without secrets */
    struct check_report report;
    struct check_file file;
    struct check_store store;

    bool estimated;
    const char *load_from; /* "measured", "given", "assumed" */
    struct price price;
    struct price_load load;
    struct price_estimate estimate;
};

struct check_print {
    const struct config *config; /* NULL: it could not be loaded */
    const char *file;            /* that was read, or NULL */
    const char *error;           /* of the configuration, or NULL */
    const struct check_target *targets;
    size_t target_count;
    size_t failed, warnings;
};

void check_print_text(const struct check_print *p);
void check_print_json(const struct check_print *p);

#endif
