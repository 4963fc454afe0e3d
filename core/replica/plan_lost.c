/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_lost.h"

#include "alloc.h"

#include <inttypes.h>
#include <string.h>

static bool same(const struct layout_key *a, const struct layout_key *b)
{
    if (a->kind != b->kind || a->timeline != b->timeline || a->txid != b->txid)
        return false;
    switch (a->kind) {
    case LAYOUT_FOLD:
    case LAYOUT_PRUNED:
        return a->last_txid == b->last_txid;
    case LAYOUT_SNAPSHOT:
        return a->time_ms == b->time_ms;
    case LAYOUT_MERGE:
        return a->base_txid == b->base_txid && a->level == b->level && a->time_ms == b->time_ms;
    case LAYOUT_PART:
        return a->writer == b->writer && a->number == b->number;
    case LAYOUT_LOG:
    case LAYOUT_TIMELINE:
    case LAYOUT_IDENTITY_KEY:
    case LAYOUT_OTHER:
        break;
    }
    return true;
}

bool plan_lost_has(const struct plan_lost *lost, const struct layout_key *key)
{
    for (size_t i = 0; lost != NULL && i < lost->count; i++)
        if (same(&lost->keys[i], key))
            return true;
    return false;
}

struct rc plan_lost_add(struct plan_lost *lost, const struct layout_key *key, struct err *err)
{
    if (plan_lost_has(lost, key))
        return RC_OK;
    if (!mem_grow(&lost->keys, lost->count, &lost->room, sizeof *lost->keys))
        return rc_raise(err, E_NOMEM, "list of %zu lost objects", lost->count + 1);
    lost->keys[lost->count++] = *key;
    return RC_OK;
}

void plan_lost_fini(struct plan_lost *lost)
{
    mem_free(lost->keys);
    *lost = (struct plan_lost){0};
}

/* --- the catalog without them --------------------------------------------------------------------------------------
 */

static bool concerns(const struct plan_lost *lost, uint32_t timeline)
{
    for (size_t i = 0; lost != NULL && i < lost->count; i++)
        if (lost->keys[i].timeline == timeline)
            return true;
    return false;
}

/* In place of the array at `array`, which is borrowed, a copy of it. */
static struct rc copy_array(void *array, size_t count, size_t size, struct err *err)
{
    void *from, *copy = mem_try(count + 1, size);

    if (copy == NULL)
        return rc_raise(err, E_NOMEM, "catalog of %zu objects", count);
    memcpy(&from, array, sizeof from);
    if (count > 0)
        memcpy(copy, from, count * size);
    memcpy(array, &copy, sizeof copy);
    return RC_OK;
}

/* A seal stays: nobody asks for a state behind it. */
static void leave_out(struct catalog_timeline *t, const struct layout_key *k)
{
    size_t n = 0;

    switch (k->kind) {
    case LAYOUT_LOG:
        for (size_t i = 0; i < t->log_count; i++)
            if (t->logs[i].first_txid != k->txid || (t->sealed && i + 1 == t->log_count))
                t->logs[n++] = t->logs[i];
        t->log_count = n;
        return;
    case LAYOUT_FOLD:
        for (size_t i = 0; i < t->fold_count; i++)
            if (t->folds[i].first_txid != k->txid || t->folds[i].last_txid != k->last_txid)
                t->folds[n++] = t->folds[i];
        t->fold_count = n;
        return;
    case LAYOUT_SNAPSHOT:
        for (size_t i = 0; i < t->snapshot_count; i++)
            if (t->snapshots[i].txid != k->txid || t->snapshots[i].time_ms != k->time_ms)
                t->snapshots[n++] = t->snapshots[i];
        t->snapshot_count = n;
        return;
    case LAYOUT_MERGE:
        for (size_t i = 0; i < t->merge_count; i++) {
            const struct catalog_merge *m = &t->merges[i];

            if (m->base_txid != k->base_txid || m->txid != k->txid || m->time_ms != k->time_ms || m->level != k->level)
                t->merges[n++] = *m;
        }
        t->merge_count = n;
        return;
    case LAYOUT_PART:
    case LAYOUT_PRUNED:
    case LAYOUT_TIMELINE:
    case LAYOUT_IDENTITY_KEY:
    case LAYOUT_OTHER:
        break;
    }
}

static struct rc own(struct catalog_timeline *t, struct err *err)
{
    TRY(copy_array(&t->logs, t->log_count, sizeof *t->logs, err));
    TRY(copy_array(&t->folds, t->fold_count, sizeof *t->folds, err));
    TRY(copy_array(&t->snapshots, t->snapshot_count, sizeof *t->snapshots, err));
    return copy_array(&t->merges, t->merge_count, sizeof *t->merges, err);
}

struct rc plan_lost_view(const struct catalog *c, const struct plan_lost *lost, struct catalog **view, struct err *err)
{
    struct catalog *v = mem_new(sizeof *v);
    struct rc rc;

    *v = *c;
    rc = copy_array(&v->timelines, v->timeline_count, sizeof *v->timelines, err);
    if (rc_failed(rc)) {
        mem_free(v);
        return rc;
    }
    for (size_t i = 0; i < v->timeline_count && !rc_failed(rc); i++) {
        struct catalog_timeline *t = &v->timelines[i];

        if (!concerns(lost, t->number))
            continue;
        rc = own(t, err);
        for (size_t k = 0; k < lost->count && !rc_failed(rc); k++)
            if (lost->keys[k].timeline == t->number)
                leave_out(t, &lost->keys[k]);
    }
    if (rc_failed(rc)) {
        plan_lost_free_view(v, c);
        return rc;
    }
    *view = v;
    return RC_OK;
}

void plan_lost_free_view(struct catalog *view, const struct catalog *c)
{
    if (view == NULL)
        return;
    for (size_t i = 0; i < view->timeline_count; i++) {
        const struct catalog_timeline *from = &c->timelines[i], *t = &view->timelines[i];

        if (t->logs != from->logs)
            mem_free(t->logs);
        if (t->folds != from->folds)
            mem_free(t->folds);
        if (t->snapshots != from->snapshots)
            mem_free(t->snapshots);
        if (t->merges != from->merges)
            mem_free(t->merges);
    }
    mem_free(view->timelines);
    mem_free(view);
}

/* --- the route -----------------------------------------------------------------------------------------------------
 */

/* A fold names its last txid; how far a segment reaches is only known from what comes behind it. */
void plan_lost_cut(const struct plan_lost *lost, struct catalog_step *steps, size_t count)
{
    for (size_t k = 0; lost != NULL && k < lost->count; k++) {
        const struct layout_key *key = &lost->keys[k];

        if (key->kind != LAYOUT_LOG && key->kind != LAYOUT_FOLD)
            continue;
        for (size_t i = 0; i < count; i++)
            if (steps[i].timeline == key->timeline && !catalog_step_is_fold(&steps[i])
                && steps[i].first_txid < key->txid && key->txid <= steps[i].last_txid)
                steps[i].last_txid = key->txid - 1;
    }
}
