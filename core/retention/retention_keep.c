/* SPDX-License-Identifier: Apache-2.0 */
#include "retention_keep.h"

#include "alloc.h"
#include "sorted.h"

#include <string.h>

/* --- marks ---------------------------------------------------------------------------------------------------------
 */

struct rc retention_keep_new(struct retention_keep **out, const struct catalog *c, struct err *err)
{
    CLEANUP(retention_keep_freep) struct retention_keep *k = mem_new(sizeof *k);

    k->catalog = c;
    k->timelines = mem_try(c->timeline_count + 1, sizeof *k->timelines);
    if (k->timelines == NULL)
        return rc_raise(err, E_NOMEM, "retention over %zu timelines", c->timeline_count);
    for (size_t i = 0; i < c->timeline_count; i++) {
        const struct catalog_timeline *t = &c->timelines[i];
        struct retention_kept_timeline *kept = &k->timelines[i];

        kept->logs = mem_try(t->log_count + 1, sizeof *kept->logs);
        kept->folds = mem_try(t->fold_count + 1, sizeof *kept->folds);
        kept->snapshots = mem_try(t->snapshot_count + 1, sizeof *kept->snapshots);
        kept->merges = mem_try(t->merge_count + 1, sizeof *kept->merges);
        if (kept->logs == NULL || kept->folds == NULL || kept->snapshots == NULL || kept->merges == NULL)
            return rc_raise(err, E_NOMEM, "retention over %zu objects", t->log_count);
        /* The seal. */
        if (t->sealed)
            kept->logs[t->log_count - 1] = true;
    }
    *out = MOVE(k);
    return RC_OK;
}

void retention_keep_free(struct retention_keep *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; k->timelines != NULL && i < k->catalog->timeline_count; i++) {
        mem_free(k->timelines[i].logs);
        mem_free(k->timelines[i].folds);
        mem_free(k->timelines[i].snapshots);
        mem_free(k->timelines[i].merges);
    }
    mem_free(k->timelines);
    mem_free(k);
}

void retention_keep_freep(struct retention_keep **k)
{
    retention_keep_free(*k);
    *k = NULL;
}

static size_t log_at(const struct catalog_timeline *t, uint64_t txid)
{
    return SORTED_AT(t->logs, t->log_count, first_txid, txid);
}

static struct retention_kept_timeline *kept_of(
    struct retention_keep *k, uint32_t number, const struct catalog_timeline **t)
{
    *t = catalog_timeline(k->catalog, number);
    return *t == NULL ? NULL : &k->timelines[*t - k->catalog->timelines];
}

void retention_keep_step(struct retention_keep *k, const struct catalog_step *step)
{
    const struct catalog_timeline *t;
    struct retention_kept_timeline *kept = kept_of(k, step->timeline, &t);
    size_t at;

    if (!catalog_step_is_fold(step)) {
        at = log_at(t, step->first_txid);
        if (at < t->log_count)
            kept->logs[at] = true;
        return;
    }
    for (size_t i = 0; i < t->fold_count; i++)
        if (t->folds[i].first_txid == step->fold_first && t->folds[i].last_txid == step->fold_last)
            kept->folds[i] = true;
}

void retention_keep_base(struct retention_keep *k, const struct plan_base *b)
{
    const struct catalog_timeline *t;
    struct retention_kept_timeline *kept = kept_of(k, b->timeline, &t);

    for (size_t i = 0; b->level == 0 && i < t->snapshot_count; i++)
        if (t->snapshots[i].txid == b->txid && t->snapshots[i].time_ms == b->time_ms)
            kept->snapshots[i] = true;
    for (size_t i = 0; b->level > 0 && i < t->merge_count; i++) {
        const struct catalog_merge *m = &t->merges[i];

        if (m->txid == b->txid && m->base_txid == b->base_txid && m->level == b->level && m->time_ms == b->time_ms)
            kept->merges[i] = true;
    }
}

void retention_keep_plan(struct retention_keep *k, const struct plan *p)
{
    for (size_t i = 0; i < p->base_count; i++)
        retention_keep_base(k, &p->bases[i]);
    for (size_t i = 0; i < p->segment_count; i++)
        retention_keep_step(k, &p->segments[i]);
}

void retention_keep_around(struct retention_keep *k, uint32_t timeline, uint64_t first, uint64_t last)
{
    const struct catalog_timeline *t;
    struct retention_kept_timeline *kept = kept_of(k, timeline, &t);

    for (size_t i = 0; i < t->log_count; i++)
        if (t->logs[i].first_txid <= last && (i + 1 == t->log_count || t->logs[i + 1].first_txid > first))
            kept->logs[i] = true;
    for (size_t i = 0; i < t->fold_count; i++)
        if (t->folds[i].first_txid <= last && t->folds[i].last_txid >= first)
            kept->folds[i] = true;
    for (size_t i = 0; i < t->snapshot_count; i++)
        if (t->snapshots[i].txid >= first && t->snapshots[i].txid <= last)
            kept->snapshots[i] = true;
    for (size_t i = 0; i < t->merge_count; i++)
        if (t->merges[i].txid >= first && t->merges[i].base_txid <= last)
            kept->merges[i] = true;
}
