/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_origin - where a timeline begins: what its timeline.json says, what the log of its parent says, and what its
 * own first segment says.  Of three, the one that stands alone is damaged.
 */
#ifndef VERIFY_ORIGIN_H
#define VERIFY_ORIGIN_H

#include "verify_intern.h"

struct verify_begin {
    uint64_t txid;     /* the last one before its own commits */
    uint64_t checksum; /* the state there */
    bool anywhere;     /* neither can be told: where the first segment says */
    bool reached;      /* that state can be restored */
    bool lost;         /* nothing of this timeline can be */
    char *why;         /* owned: why it is not reached */
};

/* Which timeline's log has each fork; once all documents are read. */
void verify_origin_link(struct verify_job *j);
/* Judge the document of `t`, whose ancestors have been walked.  `first`: its first segment, NULL when there is none or
 * it cannot be read. */
MUST_USE struct rc verify_origin_begin(struct verify_job *j, struct verify_work *t, const struct seg_info *first,
    struct verify_begin *out, struct err *err);

#endif
