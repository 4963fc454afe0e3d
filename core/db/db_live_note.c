/* SPDX-License-Identifier: Apache-2.0 */
#include "db_live_note.h"

enum { RETRY_MS = 10 * 1000 }; /* writing the index of a large database takes a while */

/* The index is exactly the acknowledged state. */
static bool nothing_under_way(const struct db_live *l)
{
    return seg_enc_commit_count(l->enc) == 0 && seg_enc_pending(l->enc) == 0 && l->cap.txid == l->acked.txid
           && !l->cap.inside;
}

static struct rc checkpoint_state(struct db_live *l, bool *done, struct err *err)
{
    struct local_state_content content = l->content;

    *done = false;
    if (!nothing_under_way(l)) {
        l->quiesce = !l->cap.inside; /* capture nothing new until what is under way is acknowledged */
        return RC_OK;
    }
    l->quiesce = false;
    l->retry_ms = clock_mono_ms(l->clock) + RETRY_MS;
    content.pos = l->acked;
    TRY(local_state_checkpoint(l->local, &content, l->hashes, err));
    *done = true;
    return RC_OK;
}

/*
 * Replication does not depend on the local state: a failure is reported, and costs a comparison after the next start.
 * It stays reported until the state is written, also where nothing is committed any more: then it is tried again now
 * and then.
 */
static void note(struct db_live *l, struct db_step *step, struct rc rc, const struct db_segment *last)
{
    bool noted = !rc_failed(rc), done = false;

    if (last != NULL)
        l->acked = last->pos;
    else if (step->local_err.code == E_OK || clock_mono_ms(l->clock) < l->retry_ms || !nothing_under_way(l))
        return;
    if (last == NULL || !noted || l->quiesce || local_state_wants_checkpoint(l->local)) {
        rc = checkpoint_state(l, &done, &step->local_err);
        noted = !rc_failed(rc) && (done || (noted && last != NULL));
    }
    if (noted)
        step->local_err.code = E_OK;
}

void db_live_note_acknowledged(struct db_live *l, struct db_step *step)
{
    const struct db_segment *last = NULL;
    struct rc rc = RC_OK;

    for (; step->parts_done > 0; step->parts_done--)
        db_live_part_done(l);
    for (struct db_segment *s = step->acknowledged; s != NULL; s = s->next) {
        if (s->spooled) { /* it counted when it was spooled */
            spool_drop(l->spool, &s->name);
            continue;
        }
        if (!rc_failed(rc))
            rc = local_state_acknowledge(l->local, s->mark, &s->pos, &step->local_err);
        last = s;
    }
    if (last != NULL && !rc_failed(rc))
        l->safe = last->pos.wal;
    note(l, step, rc, last);
}

/* --- the spool ------------------------------------------------------------------------------------------------------
 */

static struct rc spool_one(struct db_live *l, struct db_segment *s, struct err *err)
{
    s->name = (struct spool_name){.timeline = l->timeline,
        .first_txid = s->first_txid,
        .is_part = s->is_part,
        .number = s->part_number,
        .run = l->run};
    TRY(spool_put(l->spool, &s->name, buf_span(&s->bytes), err));
    s->spooled = true;
    if (s->is_part)
        db_live_part_done(l);
    return RC_OK;
}

void db_live_note_spooled(struct db_live *l, struct db_step *step, struct db_segment *first)
{
    const struct db_segment *last = NULL;
    struct rc rc = RC_OK;

    step->spool_err.code = E_OK;
    for (struct db_segment *s = first; s != NULL; s = s->next) {
        if (s->spooled)
            continue;
        if (rc_failed(spool_one(l, s, &step->spool_err)))
            break;
        if (s->is_part)
            continue;
        if (!rc_failed(rc))
            rc = local_state_acknowledge(l->local, s->mark, &s->pos, &step->local_err);
        last = s;
    }
    if (last != NULL && !rc_failed(rc))
        rc = local_state_sync(l->local, &step->local_err);
    if (last != NULL && !rc_failed(rc))
        l->safe = last->pos.wal;
    note(l, step, rc, last);
}
