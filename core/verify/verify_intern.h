/* SPDX-License-Identifier: Apache-2.0 */
/* verify_intern - one verification on its way, shared by verify.c and its helpers. */
#ifndef VERIFY_INTERN_H
#define VERIFY_INTERN_H

#include "verify.h"

struct verify_log_key {
    uint64_t first_txid, size;
    bool judged;
};

struct verify_fold_key {
    uint64_t first_txid, last_txid, size;
    bool judged;
    bool lost; /* missing or damaged: readers do without it */
};

struct verify_part_key {
    uint64_t first_txid, size;
    uint32_t writer, number;
    enum verify_part_fate {
        VERIFY_PART_STRAY,
        VERIFY_PART_LISTED, /* by a segment */
        VERIFY_PART_MAYBE,  /* its segment is missing or damaged */
    } fate;
};

/* A snapshot, or a merge. */
struct verify_snap_key {
    uint64_t txid, size;
    int64_t time_ms;
    unsigned level;     /* 0: a snapshot */
    uint64_t base_txid; /* merges */
    bool usable;        /* whole, and nothing speaks against it */
    bool compared;      /* with the log */
    /* What it says, when it is whole. */
    uint64_t checksum, base_checksum;
    uint32_t page_size, page_count;
    struct nonce writer;
};

/* Which merge builds on a txid. */
struct verify_snap_base {
    uint64_t txid;
    size_t snap; /* index in `snaps` */
};

/* One timeline, from its listing to its verdict. */
struct verify_work {
    uint32_t number;
    bool wanted;     /* --timeline */
    bool has_origin; /* its document is there */
    bool origin_ok;  /* and can be read: restores use `origin` */
    struct layout_origin origin;
    char *origin_damage; /* owned; else NULL */
    /* All owned, in order. */
    struct verify_log_key *logs;
    size_t log_count, log_room;
    struct verify_fold_key *folds;
    size_t fold_count, fold_room;
    struct verify_part_key *parts;
    size_t part_count, part_room;
    struct verify_snap_key *snaps; /* and merges; by txid once they are listed */
    size_t snap_count, snap_room;
    struct verify_snap_base *bases; /* by txid */
    size_t base_count;
    struct catalog_pruned *pruned;
    size_t pruned_count, pruned_room;
    uint64_t bytes;

    struct verify_timeline *out; /* borrowed from the report; NULL when it is not looked at */

    /* The state where it leaves its ancestor `fork_owner`, once that one's log was read. */
    uint32_t fork_owner; /* 0: it begins with nothing */
    bool fork_seen;
    uint64_t fork_checksum;

    uint64_t end_txid; /* of the log, holes and damaged segments included */
    bool open_end;     /* the last segment is damaged, so the log may reach further */
};

struct verify_job {
    /* Borrowed. */
    struct work *work;
    struct store *store;
    const struct verify_opts *opts;
    struct verify_report *report;

    struct verify_work *timelines; /* owned; ascending */
    size_t timeline_count, timeline_room;
    bool has_identity;
    size_t object_count;
    uint64_t done, total; /* bytes, for progress */
};

static inline struct verify_work *verify_intern_find(struct verify_job *j, uint32_t number)
{
    size_t low = 0, high = j->timeline_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (j->timelines[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < j->timeline_count && j->timelines[low].number == number ? &j->timelines[low] : NULL;
}

static inline enum layout_kind verify_intern_snap_kind(const struct verify_snap_key *s)
{
    return s->level > 0 ? LAYOUT_MERGE : LAYOUT_SNAPSHOT;
}

static inline void verify_intern_snap_text(
    const struct verify_work *t, const struct verify_snap_key *s, layout_text key)
{
    if (s->level > 0)
        layout_merge(key, t->number, s->level, s->base_txid, s->txid, s->time_ms);
    else
        layout_snapshot(key, t->number, s->txid, s->time_ms);
}

static inline void verify_intern_read(struct verify_job *j, uint64_t bytes)
{
    j->done += bytes;
    j->report->bytes_read += bytes;
    if (j->opts->on_progress != NULL)
        j->opts->on_progress(j->opts->ctx, j->done, j->done > j->total ? j->done : j->total);
}

/* The object itself is at fault, not this machine or the way to the store. */
static inline bool verify_intern_is_damage(struct rc rc)
{
    return rc.code == E_CORRUPT || rc.code == E_NOTFOUND;
}

static inline void verify_intern_finip(struct store_req *req)
{
    store_req_fini(req);
}

#endif
