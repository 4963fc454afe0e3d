/* SPDX-License-Identifier: Apache-2.0 */
#include "retention_proof.h"

#include <inttypes.h>

struct proof {
    const struct retention_input *in;
    const struct retention *out;
};

static struct rc prove_state(const struct proof *d, uint32_t timeline, uint64_t txid, struct err *err)
{
    struct plan *plan = NULL;

    if (rc_failed(plan_restore(d->out->remaining, timeline, txid, NULL, &plan, err)))
        return rc_raise(err, E_BUG,
            "retention would take away what txid %" PRIu64 " of timeline %" PRIu32 " needs; nothing is deleted", txid,
            timeline);
    plan_free(plan);
    return RC_OK;
}

/* Behind the base all objects of the log stay; so if the first one, the last one and those behind each snapshot have
 * their plan, so have all. */
static struct rc prove_exact(const struct proof *d, const struct retention_line *l, uint64_t first, struct err *err)
{
    struct plan *before = NULL;
    struct err ignored;

    for (size_t i = 0; i < l->map.base_count; i++) {
        const struct plan_base *b = &l->map.bases[i];

        if (b->txid < first || b->txid > l->high || b->level > 0 || !retention_points_on_line(l, b))
            continue;
        TRY(prove_state(d, l->timeline, b->txid, err));
        if (b->txid < l->high && retention_points_goes_on(l, b->txid))
            TRY(prove_state(d, l->timeline, b->txid + 1, err));
    }
    for (uint64_t at = 0; at < 2; at++) {
        const uint64_t txid = at == 0 ? first : l->high;

        /* What could not be restored before need not be now. */
        if (rc_failed(plan_restore(d->in->catalog, l->timeline, txid, NULL, &before, &ignored)))
            continue;
        plan_free(before);
        TRY(prove_state(d, l->timeline, txid, err));
    }
    return RC_OK;
}

struct rc retention_proof_check(
    const struct retention_input *in, const struct retention *out, const struct retention_lines *lines, struct err *err)
{
    const struct proof proof = {in, out}, *d = &proof;

    for (size_t i = 0; i < d->out->point_count; i++) {
        const struct retention_point *p = &d->out->points[i];

        if (!p->lost && p->why != RETENTION_EXACT)
            TRY(prove_state(d, p->timeline, p->txid, err));
        for (size_t k = 0; k < lines->count && p->why == RETENTION_EXACT; k++)
            if (lines->lines[k].timeline == p->timeline)
                TRY(prove_exact(d, &lines->lines[k], p->txid, err));
    }
    return RC_OK;
}
