/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_replay.h"

#include "alloc.h"
#include "catalog_read.h"
#include "prefetch.h"

#include <inttypes.h>

/* One segment being applied. */
struct replay {
    struct restore_job *job;
    const struct seg_info *info;
    size_t commit;      /* index of the one whose pages come now */
    uint64_t last_txid; /* stop behind it */
    bool reached;
};

/* --- what the decoder asks for
 * ---------------------------------------------------------------------------------------- */

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    struct replay *r = ctx;

    return image_read(r->job->image, pgno, page, err);
}

/* A large transaction may have written pages beyond the end that it gave the database at last: they are never a base.
 */
static struct rc on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct replay *r = ctx;
    const struct seg_commit *commit = &r->info->commits[r->commit];

    if (pgno > image_page_count(r->job->image)) {
        if (pgno > commit->page_count)
            return RC_OK;
        TRY(image_resize(r->job->image, commit->page_count, err));
    }
    return image_write(r->job->image, pgno, page, err);
}

static struct rc on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    struct replay *r = ctx;
    struct restore_job *j = r->job;

    if ((commit->flags & SEG_SNAPSHOT) != 0) {
        layout_text prefix;

        layout_snapshot_prefix(prefix, r->info->timeline);
        return rc_raise(err, E_CORRUPT, "the snapshot at txid %" PRIu64 " is missing (%s%016" PRIx64 "-...)",
            commit->txid, prefix, commit->txid);
    }
    TRY(image_resize(j->image, commit->page_count, err));
    if (image_checksum(j->image) != commit->checksum)
        return rc_raise(err, E_CORRUPT,
            "the state checksum at txid %" PRIu64 " is %016" PRIx64 ", the segment says %016" PRIx64, commit->txid,
            image_checksum(j->image), commit->checksum);
    j->txid = commit->txid;
    j->timeline = r->info->timeline;
    j->checksum = commit->checksum;
    j->time_ms = commit->time_ms;
    r->commit++;
    r->reached = commit->txid >= r->last_txid;
    *stop = r->reached;
    return RC_OK;
}

/* --- one segment -------------------------------------------------------------------------------------------------- */

static struct rc check_segment(const struct restore_job *j, const struct seg_info *info, struct err *err)
{
    if (!nonce_equal(&info->pack.database, &j->database))
        return rc_raise(err, E_CORRUPT, "it belongs to another database");
    if (info->page_size != j->page_size && (info->commits[0].flags & SEG_SNAPSHOT) == 0)
        return rc_raise(err, E_CORRUPT, "pages of %" PRIu32 " bytes behind a state with pages of %" PRIu32,
            info->page_size, j->page_size);
    return RC_OK;
}

struct part_list {
    uint32_t timeline;
    uint64_t first_txid;
    const struct seg_info *info;
};

static uint64_t describe_part(void *ctx, size_t i, layout_text key)
{
    const struct part_list *l = ctx;

    layout_part(key, l->timeline, l->first_txid, &l->info->pack.writer, (uint32_t)i);
    return l->info->parts[i].size;
}

static struct rc apply_parts(
    struct replay *r, struct seg_dec *d, const struct seg_apply_ops *ops, uint64_t first_txid, struct err *err)
{
    struct restore_job *j = r->job;
    struct part_list list = {r->info->timeline, first_txid, r->info};
    CLEANUP(prefetch_freep)
    struct prefetch *p = prefetch_new(j->work, j->store, r->info->part_count, describe_part, &list);
    bool stopped = false;

    for (size_t i = 0; i < r->info->part_count && !stopped; i++) {
        CLEANUP(buf_fini) struct buf bytes = {0};
        layout_text key;

        (void)describe_part(&list, i, key);
        TRY(prefetch_take(p, &bytes, err));
        j->report->object_count++;
        j->report->bytes_read += bytes.size;
        j->done += bytes.size;
        TRY_CTX(seg_dec_apply_part(d, buf_span(&bytes), ops, &stopped, err), err, "%s", key);
        restore_progress(j, "segments");
        TRY(restore_check_stop(j, err));
    }
    return RC_OK;
}

static struct rc apply(struct restore_job *j, const struct catalog_step *s, struct seg_dec *d, struct err *err)
{
    struct replay r = {.job = j, .info = seg_dec_info(d), .last_txid = s->last_txid};
    struct seg_apply_ops ops = {.read = on_read, .write = on_write, .commit = on_commit, .ctx = &r};
    bool stopped = false;

    if (r.info->part_count > 0)
        TRY(apply_parts(&r, d, &ops, r.info->base_txid + 1, err));
    if (!r.reached)
        TRY(seg_dec_apply_tail(d, &ops, &stopped, err));
    return RC_OK;
}

/* --- all of them ---------------------------------------------------------------------------------------------------
 */

static struct rc missing(const struct restore_job *j, uint32_t timeline, struct err *err)
{
    layout_text key;

    layout_log(key, timeline, j->txid + 1);
    return rc_raise(err, E_CORRUPT, "%s is missing: no segment has txid %" PRIu64, key, j->txid + 1);
}

/* A segment that is not where the one before it ends. */
static struct rc check_chain(
    const struct restore_job *j, uint32_t timeline, uint64_t first_txid, bool *too_early, struct err *err)
{
    *too_early = first_txid <= j->txid;
    if (first_txid == j->txid + 1)
        return RC_OK;
    if (*too_early)
        return rc_raise(err, E_CORRUPT,
            "no segment begins behind txid %" PRIu64 ": the one in its fold begins at txid %" PRIu64, j->txid,
            first_txid);
    return missing(j, timeline, err);
}

/* *blame_snapshot: it does not fit behind the state that is there. */
static struct rc replay_segment(
    struct restore_job *j, const struct catalog_step *s, struct seg_dec *segment, bool *blame_snapshot, struct err *err)
{
    const struct seg_info *info;
    layout_text key;

    if (segment == NULL)
        return rc_raise(err, E_NOTFOUND, "timeline %" PRIu32 " was sealed behind txid %" PRIu64, s->timeline, j->txid);
    info = seg_dec_info(segment);
    TRY(check_chain(j, s->timeline, info->base_txid + 1, blame_snapshot, err));
    layout_log(key, s->timeline, info->base_txid + 1);
    TRY_CTX(check_segment(j, info, err), err, "%s", key);
    *blame_snapshot = info->base_checksum != image_checksum(j->image);
    if (*blame_snapshot)
        return rc_raise(err, E_CORRUPT,
            "%s: it begins at state checksum %016" PRIx64 ", txid %" PRIu64 " has %016" PRIx64, key,
            info->base_checksum, j->txid, image_checksum(j->image));
    TRY_CTX(apply(j, s, segment, err), err, "%s", key);
    return RC_OK;
}

static void count_read(struct restore_job *j, const struct catalog_read *r, size_t *objects, uint64_t *bytes)
{
    j->report->object_count += catalog_read_objects(r) - *objects;
    j->report->bytes_read += catalog_read_bytes(r) - *bytes;
    j->done += catalog_read_bytes(r) - *bytes;
    *objects = catalog_read_objects(r);
    *bytes = catalog_read_bytes(r);
}

static void blame_log(struct restore_job *j, uint32_t timeline, uint64_t txid)
{
    const struct layout_key key = {.kind = LAYOUT_LOG, .timeline = timeline, .txid = txid};

    restore_blame(j, &key);
}

/* The object that has this step. */
static void blame_step(struct restore_job *j, const struct catalog_step *s)
{
    struct layout_key key = {.kind = LAYOUT_FOLD, .timeline = s->timeline, .txid = s->fold_first};

    key.last_txid = s->fold_last;
    if (catalog_step_is_fold(s))
        restore_blame(j, &key);
    else
        blame_log(j, s->timeline, s->first_txid);
}

/* A hole: the segment that should be there is lost, or the fold that does not have it. */
static struct rc hole(struct restore_job *j, const struct catalog_step *s, struct err *err)
{
    if (catalog_step_is_fold(s) && s->fold_first <= j->txid + 1 && j->txid + 1 <= s->fold_last)
        blame_step(j, s);
    else
        blame_log(j, s->timeline, j->txid + 1);
    return missing(j, s->timeline, err);
}

static struct rc replay_next(struct restore_job *j, const struct catalog_step *s, struct seg_dec *segment,
    const struct plan_stage *first_of, struct err *err)
{
    bool wrong_base = false;
    struct rc rc;

    if (segment != NULL && seg_dec_info(segment)->base_txid > j->txid)
        return hole(j, s, err);
    rc = replay_segment(j, s, segment, &wrong_base, err);
    if (wrong_base && first_of != NULL)
        restore_blame_base(j, first_of->base_end - 1);
    else if (restore_is_damage(rc))
        blame_step(j, s);
    return rc;
}

static struct rc replay_all(
    struct restore_job *j, struct catalog_read *r, const struct plan_stage *stage, struct err *err)
{
    const struct catalog_step *steps = &j->plan->segments[stage->segment];
    const size_t count = stage->segment_end - stage->segment;
    uint64_t bytes = 0;
    size_t objects = 0;

    for (bool first = true;; first = false) {
        CLEANUP(catalog_object_fini) struct catalog_object o = {0};
        bool end = false;
        size_t at = 0;
        struct rc rc = catalog_read_next(r, &o, &at, &end, err);

        count_read(j, r, &objects, &bytes);
        if (restore_is_damage(rc))
            blame_step(j, &steps[at]);
        TRY(rc);
        if (end)
            break;
        TRY(replay_next(j, &steps[at], o.segment, first ? stage : NULL, err));
        restore_progress(j, "segments");
        TRY(restore_check_stop(j, err));
    }
    return j->txid == steps[count - 1].last_txid ? RC_OK : hole(j, &steps[count - 1], err);
}

struct rc restore_replay_run(struct restore_job *j, const struct plan_stage *stage, struct err *err)
{
    struct catalog_read *r =
        catalog_read_new(j->work, j->store, &j->plan->segments[stage->segment], stage->segment_end - stage->segment);
    struct rc rc = replay_all(j, r, stage, err);

    catalog_read_free(r);
    return rc;
}
