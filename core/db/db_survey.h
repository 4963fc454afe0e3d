/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_survey - what the replica says about a history, as far as the start of a writer needs it: the newest timeline, its
 * tip, and what lies behind our own position.  A handful of LISTs and GETs; a full catalog only for questions about the
 * past.
 *
 * Runs in a job thread: blocking.
 */
#ifndef DB_SURVEY_H
#define DB_SURVEY_H

#include "bitmap.h"
#include "lineage.h"
#include "timeline.h"

struct db_survey {
    struct lineage_facts facts;
    struct layout_identity identity;
    struct layout_origin origin; /* of the newest timeline */

    /* Segments behind the local position on the same timeline: what a retrace must meet, and what a comparison must not
     * trust. */
    uint64_t *checksums; /* of txids local + 1 ... */
    size_t checksum_count;
    uint64_t base_checksum; /* of the state before them */
    struct bitmap *pages;   /* that those commits changed */
    uint32_t page_count;    /* of the database at the tip; 0 when nothing lies behind */
};

/* `local` must stay as long as the survey.  Fills facts but the file's. */
MUST_USE struct rc db_survey_run(struct db_survey *out, struct work *w, struct store *s, const char *path,
    enum local_state_found found, const struct local_state_content *local, struct err *err);
void db_survey_fini(struct db_survey *s);

/* The file as a whole has this checksum: find the commit that it is. */
MUST_USE struct rc db_survey_find_file(
    struct db_survey *s, struct work *w, struct store *store, uint64_t checksum, struct err *err);

#endif
