/* SPDX-License-Identifier: Apache-2.0 */
#include "merge.h"

#include "plan.h"

static bool changed(const struct merge_ledger *l, unsigned level, uint64_t txid)
{
    return txid > (l->known[level] ? l->base[level].pos.txid : l->start_txid);
}

/* Without a known base the next one is due at once. */
static bool level_due(
    const struct merge_ledger *l, const struct merge_settings *s, unsigned level, int64_t now_ms, uint64_t txid)
{
    uint64_t interval = s->interval_ms[level], pause = interval;
    int64_t since = l->known[level] ? l->base[level].pos.time_ms : 0;

    if (interval == 0 || !changed(l, level, txid) || now_ms - since < (int64_t)interval)
        return false;
    if (l->failed[level] && pause > MERGE_RETRY_MS)
        pause = MERGE_RETRY_MS;
    return l->tried_ms[level] == 0 || now_ms - l->tried_ms[level] >= (int64_t)pause || now_ms < l->tried_ms[level];
}

int merge_again(const struct merge_ledger *l, const struct merge_settings *s, int64_t now_ms)
{
    for (unsigned level = 0; level <= MERGE_BASE_LEVELS; level++) {
        uint64_t pause = s->interval_ms[level];

        if (pause == 0 || pause > MERGE_RETRY_MS)
            pause = MERGE_RETRY_MS;
        if (l->failed[level] && (now_ms - l->tried_ms[level] >= (int64_t)pause || now_ms < l->tried_ms[level]))
            return (int)level;
    }
    return -1;
}

void merge_shipped(struct merge_ledger *l, uint64_t bytes, uint64_t count)
{
    for (unsigned level = 0; level <= MERGE_BASE_LEVELS; level++)
        l->log_bytes[level] += bytes;
    l->log_count += count;
}

int merge_due(const struct merge_ledger *l, const struct merge_settings *s, int64_t now_ms, uint64_t txid)
{
    if (level_due(l, s, 0, now_ms, txid))
        return 0;
    for (unsigned level = MERGE_BASE_LEVELS; level > 0; level--)
        if (level_due(l, s, level, now_ms, txid))
            return (int)level;
    return -1;
}

/* Objects that so many segments are in, once they are folded. */
static uint64_t requests_for(uint64_t segments, uint64_t fold_count)
{
    uint64_t large = fold_count * fold_count;

    if (fold_count < 2)
        return segments;
    return segments / large + segments % large / fold_count + segments % fold_count;
}

/* What a restore pays for the way from the level's base to now, without the new merge. */
static uint64_t cost_without(const struct merge_ledger *l, const struct merge_settings *s, unsigned level)
{
    uint64_t cost = l->log_bytes[1] + requests_for(l->log_count, s->fold_count) * PLAN_REQUEST_COST;

    if (level > 1)
        cost += l->merged_bytes + l->merged_count * PLAN_REQUEST_COST;
    return cost;
}

/* 100 times a stored size is far from the end of 64 bits. */
static bool affordable(const struct merge_ledger *l, const struct merge_settings *s, unsigned level, uint64_t bytes)
{
    return s->percent == 0 || bytes * 100 <= l->log_bytes[level] * s->percent;
}

enum merge_choice merge_choose(const struct merge_ledger *l, const struct merge_settings *s, unsigned level,
    const struct merge_base_info *base, uint64_t pages)
{
    uint64_t page_bytes = base->pos.page_count > 0 ? base->snapshot_bytes / base->pos.page_count + 1 : 1;
    uint64_t bytes = pages * page_bytes, requests = 1 + bytes / PLAN_RANGE_SIZE, merged;

    if (bytes + requests * PLAN_REQUEST_COST >= cost_without(l, s, level))
        return MERGE_NOTHING;
    /* At most as large as the last one and all that came since: the database may have grown by that. */
    merged = base->merge_bytes + bytes;
    if (merged * 2 >= base->snapshot_bytes && affordable(l, s, 0, base->snapshot_bytes + merged))
        return MERGE_SNAPSHOT;
    return affordable(l, s, level, bytes) ? MERGE_MERGE : MERGE_NOTHING;
}

void merge_made(struct merge_ledger *l, unsigned level, const struct merge_base_info *info, uint64_t bytes)
{
    const unsigned top = level == 0 ? MERGE_BASE_LEVELS : level;

    l->merged_bytes = level == 1 ? l->merged_bytes + bytes : 0;
    l->merged_count = level == 1 ? l->merged_count + 1 : 0;
    l->log_count = 0;
    for (unsigned i = level == 0 ? 0 : 1; i <= top; i++) {
        l->base[i] = *info;
        l->log_bytes[i] = 0;
        l->known[i] = true;
        l->tried_ms[i] = 0;
        l->failed[i] = false;
    }
}

void merge_tried(struct merge_ledger *l, unsigned level, int64_t now_ms, bool failed)
{
    l->tried_ms[level] = now_ms;
    l->failed[level] = failed;
}
