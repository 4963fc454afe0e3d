/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_list.h"

#include "alloc.h"
#include "verify_pruned.h"
#include "verify_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct rc (*entry_fn)(struct verify_job *j, const struct store_entry *e, struct err *err);

static struct rc list(
    struct verify_job *j, const char *prefix, const char *behind, bool by_folder, entry_fn fn, struct err *err)
{
    layout_text after;
    bool more = true;

    (void)snprintf(after, sizeof after, "%s", behind);
    while (more) {
        CLEANUP(verify_intern_finip) struct store_req req;

        store_req_init(&req, STORE_LIST, prefix, NULL, NULL);
        memcpy(req.after, after, sizeof req.after);
        req.by_folder = by_folder;
        TRY_CTX(work_store(j->work, j->store, &req, err), err, "list %s", prefix[0] != 0 ? prefix : j->store->url);
        for (size_t i = 0; i < req.entry_count; i++)
            TRY(fn(j, &req.entries[i], err));
        more = req.more && req.entry_count > 0;
        if (more)
            (void)snprintf(after, sizeof after, "%s", req.entries[req.entry_count - 1].key); /* a key fits */
    }
    return RC_OK;
}

/* --- sorting out ---------------------------------------------------------------------------------------------------
 */

static struct rc out_of_order(const struct store_entry *e, struct err *err)
{
    return rc_raise(err, E_CORRUPT, "listing of the replica is not in order at %s", e->key);
}

/* Listings are in order, so a new number is behind all others. */
static struct rc timeline_of(struct verify_job *j, uint32_t number, struct verify_work **out, struct err *err)
{
    struct verify_work *found = verify_intern_find(j, number);

    if (found == NULL) {
        TRY(verify_report_grow(&j->timelines, j->timeline_count, &j->timeline_room, sizeof *j->timelines, err));
        found = &j->timelines[j->timeline_count++];
        *found = (struct verify_work){.number = number};
    }
    *out = found;
    return RC_OK;
}

static struct rc add_log(
    struct verify_work *t, const struct layout_key *k, const struct store_entry *e, struct err *err)
{
    if (t->log_count > 0 && t->logs[t->log_count - 1].first_txid >= k->txid)
        return out_of_order(e, err);
    TRY(verify_report_grow(&t->logs, t->log_count, &t->log_room, sizeof *t->logs, err));
    t->logs[t->log_count++] = (struct verify_log_key){.first_txid = k->txid, .size = e->size};
    return RC_OK;
}

static struct rc add_fold(
    struct verify_work *t, const struct layout_key *k, const struct store_entry *e, struct err *err)
{
    TRY(verify_report_grow(&t->folds, t->fold_count, &t->fold_room, sizeof *t->folds, err));
    t->folds[t->fold_count++] =
        (struct verify_fold_key){.first_txid = k->txid, .last_txid = k->last_txid, .size = e->size};
    return RC_OK;
}

static struct rc add_part(
    struct verify_work *t, const struct layout_key *k, const struct store_entry *e, struct err *err)
{
    TRY(verify_report_grow(&t->parts, t->part_count, &t->part_room, sizeof *t->parts, err));
    t->parts[t->part_count++] =
        (struct verify_part_key){.first_txid = k->txid, .size = e->size, .writer = k->writer, .number = k->number};
    return RC_OK;
}

static struct rc add_snap(
    struct verify_work *t, const struct layout_key *k, const struct store_entry *e, struct err *err)
{
    TRY(verify_report_grow(&t->snaps, t->snap_count, &t->snap_room, sizeof *t->snaps, err));
    t->snaps[t->snap_count++] = (struct verify_snap_key){
        .txid = k->txid, .size = e->size, .time_ms = k->time_ms, .level = k->level, .base_txid = k->base_txid};
    return RC_OK;
}

static void unexpected(struct verify_job *j, const char *key)
{
    verify_report_find(j, NULL, VERIFY_UNEXPECTED, LAYOUT_OTHER, key, "not weir's");
}

static struct rc on_entry(struct verify_job *j, const struct store_entry *e, struct err *err)
{
    struct layout_key k = layout_parse(e->key);
    struct verify_work *t = NULL;

    if (++j->object_count > CATALOG_OBJECTS_MAX)
        return rc_raise(err, E_NOMEM, "the replica has more than %d objects; prune it", CATALOG_OBJECTS_MAX);
    if (k.kind == LAYOUT_OTHER || k.kind == LAYOUT_IDENTITY_KEY) {
        unexpected(j, e->key);
        return RC_OK;
    }
    TRY(timeline_of(j, k.timeline, &t, err));
    t->bytes += e->size;
    switch (k.kind) {
    case LAYOUT_LOG:
        return add_log(t, &k, e, err);
    case LAYOUT_PART:
        return add_part(t, &k, e, err);
    case LAYOUT_SNAPSHOT:
    case LAYOUT_MERGE:
        return add_snap(t, &k, e, err);
    case LAYOUT_FOLD:
        return add_fold(t, &k, e, err);
    case LAYOUT_PRUNED:
        return verify_pruned_add(t, &k, err);
    case LAYOUT_TIMELINE:
        t->has_origin = true;
        break;
    case LAYOUT_IDENTITY_KEY:
    case LAYOUT_OTHER:
        break;
    }
    return RC_OK;
}

/* Anything else there was listed before. */
static struct rc on_newer(struct verify_job *j, const struct store_entry *e, struct err *err)
{
    return layout_parse(e->key).kind == LAYOUT_LOG ? on_entry(j, e, err) : RC_OK;
}

/* What stands beside weir.json and t/. */
static struct rc on_top(struct verify_job *j, const struct store_entry *e, struct err *err)
{
    layout_text timelines;

    (void)err;
    layout_timelines_prefix(timelines);
    if (strcmp(e->key, LAYOUT_IDENTITY) == 0)
        j->has_identity = true;
    else if (strcmp(e->key, timelines) != 0)
        unexpected(j, e->key);
    return RC_OK;
}

static int by_txid(const void *a, const void *b)
{
    const struct verify_snap_key *x = a, *y = b;

    if (x->txid != y->txid)
        return x->txid < y->txid ? -1 : 1;
    if (x->level != y->level)
        return x->level < y->level ? -1 : 1;
    if (x->base_txid != y->base_txid)
        return x->base_txid < y->base_txid ? -1 : 1;
    return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

static int by_base(const void *a, const void *b)
{
    const struct verify_snap_base *x = a, *y = b;

    if (x->txid != y->txid)
        return x->txid < y->txid ? -1 : 1;
    return (x->snap > y->snap) - (x->snap < y->snap);
}

/* Snapshots and merges by the state that they give; merges also by the one that they build on. */
static struct rc order_snaps(struct verify_work *t, struct err *err)
{
    if (t->snap_count == 0)
        return RC_OK;
    qsort(t->snaps, t->snap_count, sizeof *t->snaps, by_txid);
    t->bases = mem_try(t->snap_count, sizeof *t->bases);
    if (t->bases == NULL)
        return rc_raise(err, E_NOMEM, "verification of %zu snapshots and merges", t->snap_count);
    for (size_t i = 0; i < t->snap_count; i++)
        if (t->snaps[i].level > 0)
            t->bases[t->base_count++] = (struct verify_snap_base){t->snaps[i].base_txid, i};
    qsort(t->bases, t->base_count, sizeof *t->bases, by_base);
    return RC_OK;
}

struct rc verify_list_run(struct verify_job *j, struct err *err)
{
    layout_text prefix;

    layout_timelines_prefix(prefix);
    TRY(list(j, prefix, "", false, on_entry, err));
    for (size_t i = 0; i < j->timeline_count; i++)
        TRY(order_snaps(&j->timelines[i], err));
    verify_pruned_leave_out(j);
    return list(j, "", "", true, on_top, err);
}

struct rc verify_list_newer(struct verify_job *j, struct err *err)
{
    const size_t count = j->timeline_count;

    for (size_t i = 0; i < count; i++) {
        const struct verify_work *t = &j->timelines[i];
        layout_text prefix, last = "";

        if (!t->wanted)
            continue;
        layout_log_prefix(prefix, t->number);
        if (t->log_count > 0)
            layout_log(last, t->number, t->logs[t->log_count - 1].first_txid);
        TRY(list(j, prefix, last, false, on_newer, err));
    }
    return RC_OK;
}

/* --- folds that were made meanwhile --------------------------------------------------------------------------------
 */

static bool known_fold(const struct verify_work *t, size_t count, const struct layout_key *k)
{
    for (size_t i = 0; i < count; i++)
        if (t->folds[i].first_txid == k->txid && t->folds[i].last_txid == k->last_txid)
            return true;
    return false;
}

static struct rc on_fold(struct verify_job *j, const struct store_entry *e, struct err *err)
{
    struct layout_key k = layout_parse(e->key);
    struct verify_work *t = verify_intern_find(j, k.timeline);

    if (k.kind != LAYOUT_FOLD || t == NULL || known_fold(t, t->fold_count, &k))
        return RC_OK;
    return on_entry(j, e, err);
}

static int by_place(const void *a, const void *b)
{
    const struct verify_fold_key *x = a, *y = b;

    if (x->first_txid != y->first_txid)
        return x->first_txid < y->first_txid ? -1 : 1;
    return x->last_txid < y->last_txid ? -1 : x->last_txid > y->last_txid;
}

struct rc verify_list_folds(struct verify_job *j, struct verify_work *t, bool *more, struct err *err)
{
    const size_t count = t->fold_count;
    layout_text prefix;

    layout_fold_prefix(prefix, t->number);
    TRY(list(j, prefix, "", false, on_fold, err));
    *more = t->fold_count > count;
    if (*more)
        qsort(t->folds, t->fold_count, sizeof *t->folds, by_place);
    return RC_OK;
}
