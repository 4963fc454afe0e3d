/* SPDX-License-Identifier: Apache-2.0 */
#include "restore.h"

#include "alloc.h"
#include "catalog_read.h"
#include "clock.h"
#include "restore_reuse.h"
#include "restore_target.h"
#include "restore_way.h"
#include "strx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- which txid ----------------------------------------------------------------------------------------------------
 */

static void free_steps(struct catalog_step **steps)
{
    mem_free(*steps);
    *steps = NULL;
}

/* The last commit on the path.  0: none. */
static struct rc find_tip(struct catalog *c, struct work *w, struct store *s, uint32_t timeline, uint64_t *txid,
    int64_t *time_ms, struct err *err)
{
    for (;;) {
        CLEANUP(free_steps) struct catalog_step *steps = NULL;
        const struct catalog_timeline *t;
        size_t count = 0;

        TRY(catalog_route(c, timeline, &steps, &count, err));
        *txid = 0;
        if (count == 0)
            return RC_OK;
        t = catalog_timeline(c, steps[count - 1].timeline);
        if (t->tip_txid == 0 && !t->sealed) {
            TRY(catalog_load_tip(c, w, s, t->number, err));
            continue; /* it may be sealed, and the seal was on the route */
        }
        *txid = t->tip_txid < steps[count - 1].last_txid ? t->tip_txid : steps[count - 1].last_txid;
        *time_ms = t->tip_time_ms; /* of a later commit when the path leaves the timeline before its tip */
        return RC_OK;
    }
}

struct time_search {
    struct catalog *catalog;
    struct work *work;
    struct store *store;
    struct catalog_step *steps; /* owned */
    size_t count;
    struct catalog_object object; /* owned: the segment looked at last */
    size_t at;                    /* its step */
    uint64_t limit;               /* of the steps of one fold: what lies behind is of another timeline's path */
};

static void time_search_fini(struct time_search *t)
{
    mem_free(t->steps);
    catalog_object_fini(&t->object);
}

static struct rc look_at(struct time_search *t, size_t i, struct err *err)
{
    if (t->at == i && t->object.bytes.size > 0)
        return RC_OK;
    catalog_object_fini(&t->object);
    TRY(catalog_read_one(&t->object, t->work, t->store, &t->steps[i], t->steps[i].first_txid, err));
    t->at = i;
    return RC_OK;
}

/* The last step whose first commit is not after the time; t->count when there is none. */
static struct rc find_step(struct time_search *t, int64_t time_ms, size_t *out, struct err *err)
{
    size_t low = 0, high = t->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        TRY(look_at(t, middle, err));
        if (t->object.segment != NULL && seg_dec_info(t->object.segment)->commits[0].time_ms <= time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    *out = low > 0 ? low - 1 : t->count;
    return RC_OK;
}

/* In place of a fold its segments. */
static struct rc expand(struct time_search *t, size_t at, struct err *err)
{
    CLEANUP(free_steps) struct catalog_step *inner = NULL;
    struct catalog_step *all;
    size_t count = 0;

    TRY(catalog_read_expand(t->work, t->store, &t->steps[at], &inner, &count, err));
    t->limit = t->steps[at].last_txid;
    all = mem_try(t->count + count, sizeof *all);
    if (all == NULL)
        return rc_raise(err, E_NOMEM, "route over %zu segments", t->count + count);
    memcpy(all, t->steps, at * sizeof *all);
    memcpy(all + at, inner, count * sizeof *all);
    memcpy(all + at + count, t->steps + at + 1, (t->count - at - 1) * sizeof *all);
    mem_free(t->steps);
    t->steps = all;
    t->count += count - 1;
    catalog_object_fini(&t->object);
    return RC_OK;
}

static struct rc find_segment(struct time_search *t, int64_t time_ms, size_t *out, struct err *err)
{
    TRY(find_step(t, time_ms, out, err));
    if (*out == t->count || !catalog_step_is_fold(&t->steps[*out]) || t->steps[*out].offset != 0)
        return RC_OK;
    TRY(expand(t, *out, err));
    return find_step(t, time_ms, out, err);
}

static struct rc before_all(struct time_search *t, int64_t time_ms, struct err *err)
{
    char asked[STRX_TIME_SIZE], first[STRX_TIME_SIZE];
    const struct seg_commit *commit;

    TRY(look_at(t, 0, err));
    if (t->object.segment == NULL)
        return rc_raise(err, E_NOTFOUND, "the history has no commit");
    commit = &seg_dec_info(t->object.segment)->commits[0];
    return rc_raise(err, E_NOTFOUND, "%s is before the first commit, which is txid %" PRIu64 " of %s",
        strx_format_time(time_ms, asked), commit->txid, strx_format_time(commit->time_ms, first));
}

/* Is there anything behind step `i`?  The last step may be a seal. */
static struct rc is_last(struct time_search *t, size_t i, bool *last, struct err *err)
{
    *last = i + 1 == t->count;
    if (i + 2 == t->count) {
        TRY(look_at(t, i + 1, err));
        *last = t->object.sealed;
    }
    return RC_OK;
}

/* Where the log was pruned, snapshots and merges are what is left of it: the newest one up to the time. */
static void look_at_bases(const struct catalog_leg *leg, int64_t time_ms, struct restore_commit *best)
{
    const struct catalog_timeline *t = leg->timeline;

    for (size_t i = 0; i < t->snapshot_count; i++) {
        const struct catalog_snapshot *s = &t->snapshots[i];

        if (s->txid > best->txid && s->txid <= leg->last_txid && s->time_ms <= time_ms
            && catalog_pruned_to(t, s->txid) > 0)
            *best = (struct restore_commit){.txid = s->txid, .time_ms = s->time_ms};
    }
    for (size_t i = 0; i < t->merge_count; i++) {
        const struct catalog_merge *m = &t->merges[i];

        if (m->txid > best->txid && m->txid <= leg->last_txid && m->time_ms <= time_ms
            && catalog_pruned_to(t, m->txid) > 0)
            *best = (struct restore_commit){.txid = m->txid, .time_ms = m->time_ms};
    }
}

static struct rc look_beyond_log(
    const struct catalog *c, uint32_t timeline, int64_t time_ms, struct restore_commit *best, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_leg *legs = NULL;
    size_t count = 0;

    TRY(catalog_path(c, timeline, &legs, &count, err));
    for (size_t i = 0; i < count; i++)
        look_at_bases(&legs[i], time_ms, best);
    best->exact = best->txid > 0 && !catalog_was_pruned(c, timeline, best->txid + 1, best->txid + 1);
    return RC_OK;
}

struct rc restore_find_time(struct catalog *c, struct work *w, struct store *s, uint32_t timeline, int64_t time_ms,
    uint64_t *txid, struct err *err)
{
    struct restore_commit found = {0};

    TRY(restore_find_commit(c, w, s, timeline, time_ms, &found, err));
    *txid = found.txid;
    return RC_OK;
}

struct rc restore_find_commit(struct catalog *c, struct work *w, struct store *s, uint32_t timeline, int64_t time_ms,
    struct restore_commit *out, struct err *err)
{
    CLEANUP(time_search_fini) struct time_search t = {.catalog = c, .work = w, .store = s};
    char asked[STRX_TIME_SIZE], tip[STRX_TIME_SIZE];
    const struct seg_info *info;
    struct seg_commit found = {0};
    size_t segment = 0;
    bool last = false;

    TRY(catalog_route(c, timeline, &t.steps, &t.count, err));
    if (t.count == 0)
        return rc_raise(err, E_NOTFOUND, "timeline %" PRIu32 " has no commit", timeline);
    TRY(find_segment(&t, time_ms, &segment, err));
    *out = (struct restore_commit){0};
    if (segment == t.count) {
        TRY(look_beyond_log(c, timeline, time_ms, out, err));
        return out->txid > 0 ? RC_OK : before_all(&t, time_ms, err);
    }
    TRY(is_last(&t, segment, &last, err));
    TRY(look_at(&t, segment, err));
    info = seg_dec_info(t.object.segment);
    for (size_t i = 0; i < info->commit_count; i++) {
        const struct seg_commit *commit = &info->commits[i];

        if (commit->txid > t.steps[segment].last_txid || (t.steps[segment].offset != 0 && commit->txid > t.limit))
            break; /* the path leaves the timeline here */
        if (commit->time_ms > time_ms) {
            last = false;
            break;
        }
        found = *commit;
    }
    if (last && found.time_ms < time_ms)
        return rc_raise(err, E_NOTFOUND,
            "%s is after the last commit, which is txid %" PRIu64 " of %s; for the newest state, leave the time out",
            strx_format_time(time_ms, asked), found.txid, strx_format_time(found.time_ms, tip));
    if (plan_is_cut_off(c, timeline, found.txid))
        TRY(look_beyond_log(c, timeline, time_ms, out, err));
    if (out->txid > 0)
        return RC_OK;
    *out = (struct restore_commit){.txid = found.txid, .time_ms = found.time_ms};
    return look_beyond_log(c, timeline, time_ms, out, err);
}

static bool holds_anything(const struct catalog *c)
{
    for (size_t i = 0; i < c->timeline_count; i++)
        if (c->timelines[i].log_count > 0 || c->timelines[i].fold_count > 0 || c->timelines[i].snapshot_count > 0)
            return true;
    return false;
}

static struct rc no_commit(struct restore_job *j, uint32_t timeline, struct err *err)
{
    j->report->nothing_there = !holds_anything(j->catalog);
    if (j->report->nothing_there)
        return rc_raise(err, E_NOTFOUND, "the replica at %s has no commit yet: its first snapshot was never completed",
            j->store->url);
    return rc_raise(err, E_NOTFOUND, "timeline %" PRIu32 " of %s has no commit", timeline, j->store->url);
}

/* The txid exists unless it lies behind the first txid of the last segment: then its length decides. */
static struct rc check_exists(struct restore_job *j, uint32_t timeline, uint64_t txid, struct err *err)
{
    CLEANUP(free_steps) struct catalog_step *steps = NULL;
    char when[STRX_TIME_SIZE];
    size_t count = 0;
    uint64_t tip = 0;
    int64_t tip_time = 0;

    TRY(catalog_route(j->catalog, timeline, &steps, &count, err));
    if (count == 0)
        return no_commit(j, timeline, err);
    if (txid < steps[count - 1].first_txid)
        return RC_OK;
    TRY(find_tip(j->catalog, j->work, j->store, timeline, &tip, &tip_time, err));
    if (tip == 0)
        return no_commit(j, timeline, err);
    if (txid > tip)
        return rc_raise(err, E_NOTFOUND,
            "there is no txid %" PRIu64 " on timeline %" PRIu32 ": its last commit is %" PRIu64 " of %s", txid,
            timeline, tip, strx_format_time(tip_time, when));
    return RC_OK;
}

/* A damaged tip does not keep anybody from what lies before it. */
static struct rc advise_before_tip(struct restore_job *j, uint32_t timeline, struct rc rc, struct err *err)
{
    CLEANUP(free_steps) struct catalog_step *steps = NULL;
    size_t count = 0;
    struct err ignored;

    if (!restore_is_damage(rc) || j->report->nothing_there)
        return rc;
    if (rc_failed(catalog_route(j->catalog, timeline, &steps, &count, &ignored)) || count == 0
        || steps[count - 1].first_txid < 2)
        return rc;
    return rc_raise(err, E_CORRUPT, "%.900s; txid %" PRIu64 " is the last that can be restored", err->msg,
        steps[count - 1].first_txid - 1);
}

/* What retention left is told, if it may not be what was asked for. */
static struct rc choose_by_time(struct restore_job *j, uint32_t timeline, uint64_t *txid, struct err *err)
{
    struct restore_commit found = {0};
    char asked[STRX_TIME_SIZE], when[STRX_TIME_SIZE], text[256];

    TRY(restore_find_commit(j->catalog, j->work, j->store, timeline, j->opts->time_ms, &found, err));
    *txid = found.txid;
    if (found.exact)
        return RC_OK;
    (void)snprintf(text, sizeof text,
        "not every commit of that time was kept: txid %" PRIu64 " of %s is the last one before %s that was", found.txid,
        strx_format_time(found.time_ms, when), strx_format_time(j->opts->time_ms, asked));
    restore_way_warn(j, text);
    return RC_OK;
}

static struct rc choose_txid(struct restore_job *j, uint32_t timeline, uint64_t *txid, struct err *err)
{
    int64_t time_ms = 0;
    struct rc rc;

    if (j->opts->by_txid) {
        *txid = j->opts->txid;
        return check_exists(j, timeline, *txid, err);
    }
    if (j->opts->by_time)
        return choose_by_time(j, timeline, txid, err);
    rc = find_tip(j->catalog, j->work, j->store, timeline, txid, &time_ms, err);
    if (rc_failed(rc))
        return advise_before_tip(j, timeline, rc, err);
    return *txid == 0 ? no_commit(j, timeline, err) : RC_OK;
}

/* --- the whole -----------------------------------------------------------------------------------------------------
 */

static struct rc verify_image(struct restore_job *j, struct err *err)
{
    enum restore_verify verify = j->opts->verify;

    restore_progress(j, "sync");
    TRY(image_sync(j->image, err));
    if (verify >= RESTORE_VERIFY_STATE) {
        restore_progress(j, "verify");
        TRY(image_verify(j->image, err));
    }
    if (verify >= RESTORE_VERIFY_QUICK)
        TRY(restore_target_check_file(image_temp_path(j->image), verify == RESTORE_VERIFY_FULL, err));
    return RC_OK;
}

/* From here on it is a matter of moments. */
static struct rc publish(struct restore_job *j, struct restore_target *target, struct err *err)
{
    char warning[ERR_MSG_SIZE] = "";
    struct local_state_content content = {
        .database = j->database,
        .restored = true,
        .chosen = j->opts->by_txid || j->opts->by_time || j->opts->timeline != 0,
        .pos =
            {
                .timeline = j->plan->timeline,
                .txid = j->txid,
                .time_ms = j->time_ms,
                .checksum = image_checksum(j->image),
                .page_size = j->page_size,
                .page_count = image_page_count(j->image),
            },
    };

    if (j->opts->keep_old)
        restore_target_keep_old(target);
    j->report->replaced = restore_target_exists(target);
    TRY(restore_target_publish(target, j->image, j->opts->with_state ? &content : NULL, warning, err));
    (void)snprintf(j->report->kept, sizeof j->report->kept, "%s", restore_target_kept(target));
    if (warning[0] != 0)
        restore_way_warn(j, warning);
    return RC_OK;
}

static void fill_report(struct restore_job *j)
{
    struct restore_report *r = j->report;

    r->timeline = j->plan->timeline;
    r->txid = j->plan->txid;
    r->snapshot_txid = restore_reuse_is_state(&j->plan->bases[0]) ? 0 : j->plan->bases[0].txid;
    r->merge_count = j->plan->base_count - 1;
    if (j->image == NULL) {
        r->object_count = j->plan->base_count + j->plan->segment_count;
        r->bytes_read = j->plan->bytes > j->saved ? j->plan->bytes - j->saved : 0;
        return;
    }
    r->time_ms = j->time_ms;
    r->checksum = image_checksum(j->image);
    r->page_size = j->page_size;
    r->page_count = image_page_count(j->image);
}

static struct rc run(struct restore_job *j, struct restore_target *target, struct err *err)
{
    static const struct nonce unknown;
    uint32_t timeline = j->opts->timeline;
    uint64_t txid = 0;
    struct rc rc = catalog_load(&j->catalog, j->work, j->store, err);

    j->report->nothing_there = rc.code == E_NOTFOUND;
    TRY(rc);
    if (catalog_newest(j->catalog) == NULL) {
        j->report->nothing_there = true;
        return rc_raise(err, E_NOTFOUND, "the replica at %s has no timeline yet", j->store->url);
    }
    j->database = j->catalog->identity.database;
    j->database_known = !nonce_equal(&j->database, &unknown);
    if (j->catalog->identity.format == 0)
        restore_way_warn(j, LAYOUT_IDENTITY " is missing or damaged");
    if (timeline == 0)
        timeline = catalog_newest(j->catalog)->number;
    TRY(choose_txid(j, timeline, &txid, err));
    TRY(restore_reuse_offer(j, txid, err));
    TRY(restore_way_run(j, timeline, txid, err));
    if (j->opts->look != NULL) {
        TRY(j->opts->look(j->opts->ctx, image_temp_path(j->image), err));
    } else if (!j->opts->dry_run) {
        restore_reuse_close(j);
        TRY(verify_image(j, err));
        TRY(restore_check_stop(j, err));
        TRY(publish(j, target, err));
    }
    fill_report(j);
    return RC_OK;
}

struct rc restore_run(struct work *w, struct store *s, const struct fsys *fs, const struct restore_opts *opts,
    struct restore_report *report, struct err *err)
{
    CLEANUP(restore_target_freep) struct restore_target *target = NULL;
    struct restore_job j = {.work = w, .store = s, .fs = fs, .opts = opts, .report = report};
    uint64_t begin_ms = clock_mono_ms(&clock_real);
    struct rc rc = RC_OK;

    *report = (struct restore_report){0};
    if (!opts->dry_run) {
        TRY(restore_target_open(&target, fs, opts, err));
        j.target = restore_target_path(target);
    }
    if (opts->look == NULL) /* a look at the replica takes nothing from this machine, and leaves nothing */
        restore_reuse_open(&j);
    rc = run(&j, target, err);
    if (rc_failed(rc) && opts->look == NULL)
        restore_reuse_leave(&j, rc);
    restore_reuse_close(&j);
    plan_free(j.plan);
    plan_lost_fini(&j.lost);
    image_free(j.image);
    catalog_free(j.catalog);
    report->duration_ms = clock_mono_ms(&clock_real) - begin_ms;
    return rc;
}
