/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog.h"

#include "alloc.h"
#include "catalog_build.h"
#include "catalog_read.h"
#include "sorted.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

struct rc catalog_load(struct catalog **out, struct work *w, struct store *s, struct err *err)
{
    return catalog_build_load(out, w, s, NULL, err);
}

struct rc catalog_load_within(
    struct catalog **out, struct work *w, struct store *s, const struct catalog_limits *limits, struct err *err)
{
    return catalog_build_load(out, w, s, limits, err);
}

void catalog_free(struct catalog *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->timeline_count; i++) {
        mem_free(c->timelines[i].logs);
        mem_free(c->timelines[i].folds);
        mem_free(c->timelines[i].snapshots);
        mem_free(c->timelines[i].merges);
        mem_free(c->timelines[i].pruned);
        mem_free(c->timelines[i].large);
    }
    mem_free(c->timelines);
    mem_free(c);
}

void catalog_freep(struct catalog **c)
{
    catalog_free(*c);
    *c = NULL;
}

/* --- looking -------------------------------------------------------------------------------------------------------
 */

const struct catalog_timeline *catalog_timeline(const struct catalog *c, uint32_t number)
{
    size_t at = SORTED_AT(c->timelines, c->timeline_count, number, number);

    return at < c->timeline_count && c->timelines[at].number == number ? &c->timelines[at] : NULL;
}

const struct catalog_timeline *catalog_newest(const struct catalog *c)
{
    return c->timeline_count > 0 ? &c->timelines[c->timeline_count - 1] : NULL;
}

/* The first timeline has no parent, whatever became of its document. */
static bool has_parent(const struct catalog_timeline *t)
{
    return t->number > 1 && t->origin.parent != 0;
}

static struct rc check_leg(const struct catalog_timeline *t, uint32_t number, uint32_t child, struct err *err)
{
    layout_text key;

    layout_timeline(key, number);
    if (t == NULL && child == 0)
        return rc_raise(err, E_NOTFOUND, "no timeline %" PRIu32 " in this history", number);
    if (t == NULL)
        return rc_raise(
            err, E_CORRUPT, "timeline %" PRIu32 ", the parent of timeline %" PRIu32 ", is missing", number, child);
    if (t->origin.timeline == 0 && number > 1)
        return rc_raise(err, E_CORRUPT, "%s is missing or damaged: nobody can tell where the timeline begins", key);
    return RC_OK;
}

struct rc catalog_path(
    const struct catalog *c, uint32_t number, struct catalog_leg **legs, size_t *count, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_leg *path = mem_try(c->timeline_count + 1, sizeof *path);
    uint64_t limit = UINT64_MAX;
    uint32_t child = 0;
    size_t n = 0;

    if (path == NULL)
        return rc_raise(err, E_NOMEM, "path over %zu timelines", c->timeline_count);
    for (;;) {
        const struct catalog_timeline *t = catalog_timeline(c, number);

        TRY(check_leg(t, number, child, err));
        path[n++] = (struct catalog_leg){t, limit};
        if (!has_parent(t))
            break;
        /* Parents have lower numbers (layout_origin_decode), so this ends. */
        assert(t->origin.parent < number);
        limit = t->origin.fork_txid < limit ? t->origin.fork_txid : limit;
        child = number;
        number = t->origin.parent;
    }
    for (size_t i = 0; i < n / 2; i++) {
        struct catalog_leg other = path[i];

        path[i] = path[n - 1 - i];
        path[n - 1 - i] = other;
    }
    *legs = MOVE(path);
    *count = n;
    return RC_OK;
}

/* The last log of a timeline that is known to be sealed is the seal. */
static size_t segment_count(const struct catalog_timeline *t)
{
    return t->sealed ? t->log_count - 1 : t->log_count;
}

void catalog_step_key(const struct catalog_step *s, layout_text key)
{
    if (catalog_step_is_fold(s))
        layout_fold(key, s->timeline, s->fold_first, s->fold_last);
    else
        layout_log(key, s->timeline, s->first_txid);
}

/* --- what was pruned ----------------------------------------------------------------------------------------------
 */

uint64_t catalog_pruned_to(const struct catalog_timeline *t, uint64_t txid)
{
    uint64_t to = 0;

    for (size_t i = 0; i < t->pruned_count && t->pruned[i].first_txid <= (to > 0 ? to + 1 : txid); i++)
        if (t->pruned[i].last_txid >= txid && t->pruned[i].last_txid > to)
            to = t->pruned[i].last_txid;
    return to;
}

bool catalog_was_pruned(const struct catalog *c, uint32_t number, uint64_t first, uint64_t last)
{
    CLEANUP(mem_freep) struct catalog_leg *legs = NULL;
    struct err ignored;
    size_t count = 0;

    if (rc_failed(catalog_path(c, number, &legs, &count, &ignored)))
        return false;
    for (size_t i = 0; i < count && first <= last; i++) {
        uint64_t to = first <= legs[i].last_txid ? catalog_pruned_to(legs[i].timeline, first) : 0;

        if (to > 0)
            first = (to < legs[i].last_txid ? to : legs[i].last_txid) + 1;
    }
    return first > last;
}

/* The last txid before the first pruned range behind `txid`; UINT64_MAX: there is none. */
static uint64_t until_pruned(const struct catalog_timeline *t, uint64_t txid)
{
    for (size_t i = 0; i < t->pruned_count; i++)
        if (t->pruned[i].first_txid > txid)
            return t->pruned[i].first_txid - 1;
    return UINT64_MAX;
}

/* --- routes --------------------------------------------------------------------------------------------------------
 */

/* Steps of folds alone: each from where the one before it ends. */
static size_t route_folds(const struct catalog_timeline *t, struct catalog_step *out)
{
    size_t n = 0;

    for (size_t i = 0; i < t->fold_count; i++) {
        const struct catalog_fold *f = &t->folds[i];
        struct catalog_step *last = n > 0 ? &out[n - 1] : NULL;
        struct catalog_step step = {
            t->number, f->first_txid, f->last_txid, f->size, .fold_first = f->first_txid, .fold_last = f->last_txid};

        if (catalog_pruned_to(t, f->first_txid) >= f->last_txid)
            continue;
        if (last != NULL && f->last_txid <= last->last_txid)
            continue; /* inside the one before it */
        if (last != NULL && f->first_txid == last->fold_first && last->first_txid == last->fold_first)
            n--; /* the other way round */
        else if (last != NULL && f->first_txid <= last->last_txid)
            step.first_txid = last->last_txid + 1;
        out[n++] = step;
    }
    return n;
}

/* The next step of a leg, from folds and segments; false: there is none. */
struct leg_walk {
    const struct catalog_timeline *t;
    const struct catalog_step *folds;
    size_t fold_count, fold, log;
};

static bool next_of_leg(struct leg_walk *w, struct catalog_step *out)
{
    const struct catalog_timeline *t = w->t;

    const struct catalog_log *log = w->log < segment_count(t) ? &t->logs[w->log] : NULL;
    const struct catalog_step *fold = w->fold < w->fold_count ? &w->folds[w->fold] : NULL;

    if (log != NULL && (fold == NULL || log->first_txid < fold->first_txid)) {
        *out = (struct catalog_step){t->number, log->first_txid, until_pruned(t, log->first_txid), log->size};
        w->log++;
        return true;
    }
    if (fold == NULL)
        return false;
    *out = *fold;
    w->fold++;
    while (w->log < segment_count(t) && t->logs[w->log].first_txid <= out->last_txid)
        w->log++;
    return true;
}

/* Steps of one leg; each ends at the latest where the one behind it begins.  `folds` has room for its folds. */
static size_t route_leg(const struct catalog_leg *leg, struct catalog_step *folds, struct catalog_step *steps, size_t n)
{
    const struct catalog_timeline *t = leg->timeline;
    uint64_t begin = has_parent(t) ? t->origin.fork_txid + 1 : 1;
    struct leg_walk walk = {.t = t, .folds = folds, .fold_count = route_folds(t, folds)};
    struct catalog_step step;

    while (next_of_leg(&walk, &step)) {
        if (step.first_txid < begin || step.first_txid > leg->last_txid)
            continue;
        if (!catalog_step_is_fold(&step) && catalog_pruned_to(t, step.first_txid) > 0)
            continue;
        if (n > 0 && steps[n - 1].last_txid >= step.first_txid)
            steps[n - 1].last_txid = step.first_txid - 1;
        if (step.last_txid > leg->last_txid)
            step.last_txid = leg->last_txid;
        steps[n++] = step;
    }
    if (n > 0 && t->sealed && t->tip_txid > 0 && steps[n - 1].timeline == t->number
        && steps[n - 1].last_txid > t->tip_txid)
        steps[n - 1].last_txid = t->tip_txid;
    return n;
}

struct rc catalog_route(
    const struct catalog *c, uint32_t number, struct catalog_step **steps, size_t *count, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_leg *legs = NULL;
    CLEANUP(mem_freep) struct catalog_step *route = NULL;
    CLEANUP(mem_freep) struct catalog_step *folds = NULL;
    size_t leg_count = 0, room = 1, fold_room = 1, n = 0;

    TRY(catalog_path(c, number, &legs, &leg_count, err));
    for (size_t i = 0; i < leg_count; i++) {
        room += legs[i].timeline->log_count + legs[i].timeline->fold_count;
        if (legs[i].timeline->fold_count > fold_room)
            fold_room = legs[i].timeline->fold_count;
    }
    route = mem_try(room, sizeof *route);
    folds = mem_try(fold_room, sizeof *folds);
    if (route == NULL || folds == NULL)
        return rc_raise(err, E_NOMEM, "route over %zu objects", room);
    for (size_t i = 0; i < leg_count; i++)
        n = route_leg(&legs[i], folds, route, n);
    *steps = MOVE(route);
    *count = n;
    return RC_OK;
}

/* --- objects -------------------------------------------------------------------------------------------------------
 */

static struct rc open_segment(struct catalog_object *o, struct zstr_dec *zstd, struct err *err)
{
    struct span bytes = buf_span(&o->bytes);

    return zstd != NULL ? seg_dec_open_with(&o->segment, bytes, zstd, err) : seg_dec_open(&o->segment, bytes, err);
}

static struct rc open_object(struct catalog_object *o, enum pack_kind kind, uint32_t timeline, uint64_t first_txid,
    struct zstr_dec *zstd, struct err *err)
{
    uint32_t named_timeline;
    uint64_t named_txid;

    if (kind == PACK_SEAL) {
        TRY(seal_decode(buf_span(&o->bytes), &o->seal, err));
        o->sealed = true;
        named_timeline = o->seal.timeline;
        named_txid = o->seal.txid;
    } else {
        TRY(open_segment(o, zstd, err));
        named_timeline = seg_dec_info(o->segment)->timeline;
        named_txid = seg_dec_info(o->segment)->base_txid + 1;
    }
    if (named_timeline != timeline || named_txid != first_txid)
        return rc_raise(
            err, E_CORRUPT, "it says that it is txid %" PRIu64 " of timeline %" PRIu32, named_txid, named_timeline);
    return RC_OK;
}

struct rc catalog_open(struct catalog_object *out, struct buf *bytes, uint32_t timeline, uint64_t first_txid,
    struct zstr_dec *zstd, struct err *err)
{
    struct catalog_object o = {.bytes = *bytes};
    enum pack_kind kind = PACK_SEGMENT;
    layout_text key;
    struct rc rc;

    *bytes = (struct buf){0};
    layout_log(key, timeline, first_txid);
    rc = pack_kind_of(buf_span(&o.bytes), &kind, err);
    if (!rc_failed(rc))
        rc = open_object(&o, kind, timeline, first_txid, zstd, err);
    if (rc_failed(rc)) {
        catalog_object_fini(&o);
        return rc_wrap(err, "%s", key);
    }
    *out = o;
    return RC_OK;
}

struct rc catalog_fetch(struct catalog_object *out, struct work *w, struct store *s, uint32_t timeline,
    uint64_t first_txid, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    layout_text key;

    layout_log(key, timeline, first_txid);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    TRY_CTX(work_store(w, s, &req, err), err, "%s", key);
    return catalog_open(out, &req.data, timeline, first_txid, NULL, err);
}

void catalog_object_fini(struct catalog_object *o)
{
    seg_dec_free(o->segment);
    buf_fini(&o->bytes);
    *o = (struct catalog_object){0};
}

/* --- tips ----------------------------------------------------------------------------------------------------------
 */

static void set_tip(struct catalog_timeline *t, const struct seg_info *info)
{
    const struct seg_commit *last = &info->commits[info->commit_count - 1];

    t->tip_txid = last->txid;
    t->tip_time_ms = last->time_ms;
    t->tip_checksum = last->checksum;
}

/* The object with the last commits before `before_txid`; false: there is none. */
static bool last_step(const struct catalog_timeline *t, uint64_t before_txid, struct catalog_step *out)
{
    bool any = false;

    for (size_t i = t->log_count; i > 0 && !any; i--)
        if (t->logs[i - 1].first_txid < before_txid) {
            *out = (struct catalog_step){t->number, t->logs[i - 1].first_txid, before_txid - 1, t->logs[i - 1].size};
            any = true;
        }
    for (size_t i = 0; i < t->fold_count; i++) {
        const struct catalog_fold *f = &t->folds[i];

        if (f->last_txid >= before_txid || (any && f->last_txid < out->first_txid)
            || (any && catalog_step_is_fold(out) && f->last_txid <= out->last_txid))
            continue;
        *out = (struct catalog_step){
            t->number, f->first_txid, f->last_txid, f->size, .fold_first = f->first_txid, .fold_last = f->last_txid};
        any = true;
    }
    return any;
}

/* The tip of a sealed timeline is in the segment before the seal, and reaches exactly up to it. */
static struct rc tip_before_seal(
    struct catalog_timeline *t, uint64_t seal_txid, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_object_fini) struct catalog_object o = {0};
    struct catalog_step step;

    if (!last_step(t, seal_txid, &step))
        return RC_OK;
    TRY(catalog_read_one(&o, w, s, &step, step.last_txid, err));
    if (o.segment == NULL)
        return rc_raise(err, E_CORRUPT, "timeline %" PRIu32 " has two seals", t->number);
    set_tip(t, seg_dec_info(o.segment));
    if (t->tip_txid + 1 != seal_txid) {
        layout_text key;

        layout_log(key, t->number, t->tip_txid + 1);
        return rc_raise(err, E_CORRUPT, "%s is missing: the timeline is sealed at txid %" PRIu64, key, seal_txid);
    }
    return RC_OK;
}

struct rc catalog_load_tip(struct catalog *c, struct work *w, struct store *s, uint32_t timeline, struct err *err)
{
    CLEANUP(catalog_object_fini) struct catalog_object o = {0};
    const struct catalog_timeline *found = catalog_timeline(c, timeline);
    struct catalog_timeline *t;
    struct catalog_step step;

    assert(found != NULL);
    t = &c->timelines[found - c->timelines];
    if (t->sealed || t->tip_txid > 0 || !last_step(t, UINT64_MAX, &step))
        return RC_OK;
    TRY(catalog_read_one(&o, w, s, &step, step.last_txid, err));
    if (o.segment != NULL) {
        set_tip(t, seg_dec_info(o.segment));
        return RC_OK;
    }
    t->sealed = true;
    t->successor = o.seal.successor;
    return tip_before_seal(t, o.seal.txid, w, s, err);
}

struct rc catalog_load_tips(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    for (size_t i = 0; i < c->timeline_count; i++)
        TRY(catalog_load_tip(c, w, s, c->timelines[i].number, err));
    return RC_OK;
}

/* --- commits -------------------------------------------------------------------------------------------------------
 */

struct walk {
    const struct catalog *catalog;
    uint64_t expected; /* next txid; 0: any */
    uint64_t from;
    catalog_commit_fn fn;
    void *ctx;
    bool ended;
};

static struct rc walk_segment(
    struct walk *walk, const struct catalog_step *step, const struct seg_info *info, struct err *err)
{
    if (walk->expected != 0 && walk->expected <= info->base_txid
        && !catalog_was_pruned(walk->catalog, step->timeline, walk->expected, info->base_txid)) {
        layout_text key;

        layout_log(key, step->timeline, walk->expected);
        return rc_raise(err, E_CORRUPT, "%s is missing: no segment has txid %" PRIu64, key, walk->expected);
    }
    for (size_t i = 0; i < info->commit_count && !walk->ended; i++) {
        const struct seg_commit *commit = &info->commits[i];

        if (commit->txid > step->last_txid)
            break;
        if (commit->txid < step->first_txid)
            continue;
        walk->expected = commit->txid + 1;
        if (commit->txid >= walk->from)
            walk->ended = !walk->fn(walk->ctx, info, commit);
    }
    return RC_OK;
}

struct rc catalog_commits(struct catalog *c, struct work *w, struct store *s, uint32_t timeline, uint64_t from_txid,
    catalog_commit_fn fn, void *ctx, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    CLEANUP(catalog_read_freep) struct catalog_read *r = NULL;
    struct walk walk = {.catalog = c, .from = from_txid, .fn = fn, .ctx = ctx};
    size_t count = 0, begin = 0;

    TRY(catalog_route(c, timeline, &steps, &count, err));
    while (begin + 1 < count && steps[begin + 1].first_txid <= from_txid)
        begin++;
    r = catalog_read_new(w, s, steps + begin, count - begin);
    while (!walk.ended) {
        CLEANUP(catalog_object_fini) struct catalog_object o = {0};
        bool end = false;
        size_t at = 0;

        TRY(catalog_read_next(r, &o, &at, &end, err));
        if (end || o.segment == NULL)
            break; /* nothing, or the seal, behind the last segment */
        TRY(walk_segment(&walk, &steps[begin + at], seg_dec_info(o.segment), err));
    }
    return RC_OK;
}
