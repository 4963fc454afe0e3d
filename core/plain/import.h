/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import - a plain database file becomes txid 1 of a new history, or the next state of one that is there: a snapshot
 * and the mark in the log that says so.
 *
 * A history that holds anything is never written to unless `next` is set.  Then its newest timeline is sealed, so that
 * whoever writes it is told so and stops, and the file's state is the first one of the next timeline: what was before
 * stays restorable.  A history that was begun and holds nothing (an import or a daemon that was stopped in its first
 * snapshot) is taken up; the log's first key then decides who wins.
 *
 * Runs in a job thread: blocking.
 */
#ifndef IMPORT_H
#define IMPORT_H

#include "clock.h"
#include "plain_db.h"
#include "work.h"

struct import_opts {
    const struct clock *clock;
    struct plain_db *source; /* borrowed */
    const char *name;        /* of the source, for people: it goes into the timeline's document */
    bool next;
    /* Now and then, in bytes; may be NULL. */
    void (*on_progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);
    void *ctx;
};

struct import_report {
    uint32_t timeline;
    uint64_t txid;
    int64_t time_ms;
    uint64_t checksum;
    uint32_t page_size, page_count;
    uint64_t stored_bytes;      /* of the snapshot */
    char warning[ERR_MSG_SIZE]; /* "" or that this store cannot keep a second writer out */
};

/*
 * E_EXISTS there is a history, and `next` is not set; E_NOTFOUND `next` is set and there is none; E_FENCED, E_BUSY
 * another writer came in between; E_CORRUPT the end of the history cannot be read.
 */
MUST_USE struct rc import_run(
    struct work *w, struct store *s, const struct import_opts *opts, struct import_report *report, struct err *err);

/* Only the first half of it: would import_run() be refused because of what is there? */
MUST_USE struct rc import_check(struct work *w, struct store *s, bool next, struct err *err);

#endif
