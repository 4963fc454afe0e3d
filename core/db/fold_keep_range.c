/* SPDX-License-Identifier: Apache-2.0 */
#include "fold_keep_intern.h"

static bool follows(const struct fold_keep *k, size_t i)
{
    return k->members[i].first_txid == k->members[i - 1].last_txid + 1;
}

struct fold_keep_range fold_keep_range_small(const struct fold_keep *k)
{
    struct fold_keep_range r = {0};

    while (r.from < k->member_count && (k->members[r.from].small_last != 0 || k->members[r.from].alone))
        r.from++;
    for (r.to = r.from; r.to < k->member_count; r.to++) {
        const struct fold_keep_member *m = &k->members[r.to];

        r.closed = r.to - r.from == k->opts.count || r.bytes + m->place.size > FOLD_KEEP_FOLD_MAX
                   || (r.to > r.from && (!follows(k, r.to) || m->alone));
        if (r.closed)
            return r;
        r.bytes += m->place.size;
    }
    r.closed = r.to - r.from == k->opts.count;
    return r;
}

/* The small fold that begins at member `from`. */
static struct fold_keep_range small_at(const struct fold_keep *k, size_t from)
{
    struct fold_keep_range r = {.from = from, .to = from};

    while (r.to < k->member_count && k->members[r.to].small_last == k->members[from].small_last)
        r.bytes += k->members[r.to++].place.size;
    return r;
}

struct fold_keep_range fold_keep_range_large(const struct fold_keep *k)
{
    struct fold_keep_range r = {0};

    while (r.to < k->member_count && k->members[r.to].small_last != 0) {
        struct fold_keep_range small = small_at(k, r.to);

        r.closed =
            r.smalls == k->opts.count || r.bytes + small.bytes > FOLD_KEEP_FOLD_MAX || (r.to > 0 && !follows(k, r.to));
        if (r.closed)
            return r;
        r.smalls++;
        r.bytes += small.bytes;
        r.to = small.to;
    }
    r.closed = r.smalls == k->opts.count
               || (r.smalls > 0 && r.to < k->member_count && (k->members[r.to].alone || !follows(k, r.to)));
    return r;
}
