/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_way.h"

#include "alloc.h"
#include "catalog_read.h"
#include "restore_frames.h"
#include "restore_replay.h"
#include "restore_reuse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void free_steps(struct catalog_step **steps)
{
    mem_free(*steps);
    *steps = NULL;
}

/* --- carrying a plan out ------------------------------------------------------------------------------------------ */

/* The log's word on a txid, when the log has it; false: it has not. */
static struct rc ask_log(struct restore_job *j, uint32_t timeline, struct seg_commit *out, bool *found, struct err *err)
{
    CLEANUP(free_steps) struct catalog_step *steps = NULL;
    CLEANUP(catalog_object_fini) struct catalog_object o = {0};
    const struct seg_info *info;
    struct err missing;
    size_t count = 0, i = 0;
    struct rc rc;

    *found = false;
    TRY(catalog_route(j->catalog, timeline, &steps, &count, err));
    while (i + 1 < count && steps[i + 1].first_txid <= j->txid)
        i++;
    if (count == 0 || steps[i].first_txid > j->txid || steps[i].last_txid < j->txid)
        return RC_OK;
    rc = catalog_read_one(&o, j->work, j->store, &steps[i], j->txid, &missing);
    if (rc_failed(rc) && !restore_is_damage(rc)) {
        *err = missing;
        return rc;
    }
    /* A damaged segment before the snapshot takes nothing away from it. */
    info = o.segment != NULL ? seg_dec_info(o.segment) : NULL;
    if (info == NULL || j->txid - info->base_txid > info->commit_count)
        return RC_OK;
    *out = info->commits[j->txid - info->base_txid - 1];
    *found = true;
    return RC_OK;
}

/* A snapshot or merge of a writer that crashed or was fenced may be of another state: its commit never got there. */
static struct rc check_against_log(
    struct restore_job *j, uint32_t timeline, const struct plan_stage *s, struct err *err)
{
    const struct plan_base *last = &j->plan->bases[s->base_end - 1];
    struct seg_commit commit = {0};
    bool found = false;

    TRY(ask_log(j, timeline, &commit, &found, err));
    if (!found && restore_reuse_is_state(last)) {
        restore_blame_base(j, s->base_end - 1);
        return rc_raise(err, E_CORRUPT, "nothing in the log speaks for the local file at txid %" PRIu64, j->txid);
    }
    if (!found)
        return RC_OK;
    j->time_ms = commit.time_ms;
    if (commit.checksum == image_checksum(j->image))
        return RC_OK;
    restore_blame_base(j, s->base_end - 1);
    return rc_raise(err, E_CORRUPT,
        "the %s at txid %" PRIu64 " has state checksum %016" PRIx64 ", the log says %016" PRIx64,
        last->level > 0 ? "merge that ends" : "snapshot", j->txid, image_checksum(j->image), commit.checksum);
}

/* Snapshot and merges; or, in place of the snapshot, a file that was on this machine. */
static struct rc load_bases(struct restore_job *j, const struct plan_stage *stage, struct err *err)
{
    struct plan_stage rest = *stage;
    struct rc rc;

    if (!restore_reuse_is_state(&j->plan->bases[stage->base]))
        return restore_frames_load(j, stage, err);
    rc = restore_reuse_load(j, &j->plan->bases[stage->base], err);
    if (restore_is_damage(rc))
        restore_blame_base(j, stage->base);
    TRY(rc);
    rest.base++;
    return rest.base < rest.base_end ? restore_frames_load(j, &rest, err) : RC_OK;
}

static struct rc carry_out(struct restore_job *j, uint32_t timeline, struct err *err)
{
    j->done = 0;
    j->total = j->plan->bytes;
    j->txid = 0;
    for (size_t i = 0; i < j->plan->stage_count; i++) {
        const struct plan_stage *s = &j->plan->stages[i];

        TRY(load_bases(j, s, err));
        if (s->segment_end > s->segment)
            TRY(restore_replay_run(j, s, err));
        else
            TRY(check_against_log(j, timeline, s, err));
    }
    return RC_OK;
}

/* --- ways around ---------------------------------------------------------------------------------------------------
 */

void restore_way_warn(struct restore_job *j, const char *text)
{
    char *warning = j->report->warning;
    size_t used = strlen(warning);

    (void)snprintf(warning + used, ERR_MSG_SIZE - used, "%s%s", used > 0 ? "; " : "", text); /* cut when too long */
}

static void note(struct restore_job *j, const struct layout_key *lost, const struct err *why)
{
    char text[ERR_MSG_SIZE];

    if (restore_reuse_is_key(lost))
        return; /* nothing that was stored is at fault */
    if (lost->kind == LAYOUT_SNAPSHOT)
        (void)snprintf(
            text, sizeof text, "the snapshot at txid %" PRIu64 " was passed over (%.900s)", lost->txid, why->msg);
    else if (lost->kind == LAYOUT_MERGE)
        (void)snprintf(text, sizeof text, "the merge from txid %" PRIu64 " to %" PRIu64 " was passed over (%.900s)",
            lost->base_txid, lost->txid, why->msg);
    else
        (void)snprintf(
            text, sizeof text, "the log from txid %" PRIu64 " on was bridged (%.900s)", lost->txid, why->msg);
    restore_way_warn(j, text);
}

/* No way is left: what the first one met, and where it got. */
struct dead_end {
    struct err first, last;
    size_t count;
    bool in_log;   /* the first one */
    uint64_t txid; /* reached then */
};

static struct rc give_up(const struct dead_end *d, uint64_t txid, struct err *err)
{
    char tail[64] = "", target[96];

    if (d->in_log)
        (void)snprintf(tail, sizeof tail, "; txid %" PRIu64 " is the last that can be restored", d->txid);
    (void)snprintf(target, sizeof target, "; no other way leads to txid %" PRIu64, txid);
    if (d->count > 1)
        return rc_raise(err, E_CORRUPT, "%.400s%s; on the way around it: %.400s", d->first.msg, tail, d->last.msg);
    return rc_raise(err, E_CORRUPT, "%.800s%s", d->first.msg, d->in_log ? tail : target);
}

static void remember(struct dead_end *d, const struct restore_job *j, const struct err *why)
{
    const struct layout_key *lost = &j->lost.keys[j->lost.count - 1];

    if (d->count++ == 0) {
        d->first = *why;
        d->in_log = lost->kind == LAYOUT_LOG || lost->kind == LAYOUT_FOLD;
        d->txid = j->txid;
    }
    d->last = *why;
}

/* What is not there any more may have been pruned while it was about to be read: then there are other ways, which a
 * fresh listing knows. */
static struct rc list_again(struct restore_job *j, struct err *err)
{
    struct catalog *fresh = NULL;

    TRY(catalog_load(&fresh, j->work, j->store, err));
    catalog_free(j->catalog);
    j->catalog = fresh;
    return RC_OK;
}

/* A damaged index is the restore's concern. */
static struct rc estimate(struct restore_job *j, struct err *err)
{
    struct err damage;
    struct rc rc = restore_reuse_estimate(j, &damage);

    if (!rc_failed(rc) || restore_is_damage(rc))
        return RC_OK;
    *err = damage;
    return rc;
}

struct rc restore_way_run(struct restore_job *j, uint32_t timeline, uint64_t txid, struct err *err)
{
    struct dead_end dead = {0};

    for (;;) {
        size_t before = j->lost.count;
        struct plan *plan = NULL;
        struct rc rc = plan_restore(j->catalog, timeline, txid, &j->lost, &plan, err);

        if (rc.code == E_NOTFOUND && dead.count > 0)
            return give_up(&dead, txid, err);
        TRY(rc);
        if (dead.count > 0)
            note(j, &j->lost.keys[before - 1], &dead.last);
        plan_free(MOVE(j->plan));
        image_free(MOVE(j->image));
        j->plan = plan;
        if (j->opts->dry_run)
            return estimate(j, err);
        rc = carry_out(j, timeline, err);
        if (!restore_is_damage(rc))
            return rc;
        if (!j->no_reuse && j->report->reused_bytes > 0 && j->txid == 0) {
            /* Pages from here may be to blame: see what the objects are worth without them. */
            j->no_reuse = true;
            j->lost.count = before;
            continue;
        }
        if (j->lost.count == before)
            return rc_raise(err, E_CORRUPT, "%.1000s", err->msg); /* listed a moment ago and gone is damage, too */
        remember(&dead, j, err);
        if (rc.code == E_NOTFOUND)
            TRY(list_again(j, err));
    }
}
