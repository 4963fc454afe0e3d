/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include "alloc.h"
#include "catalog_read.h"
#include "history_range.h"
#include "status.h"
#include "strx.h"

#include <stdlib.h>
#include <string.h>

/* While the document is made, newest timeline first: what there is too much of is cut at its old end. */
struct maker {
    struct work *work;
    struct store *store;
    const struct history_opts *opts;
    struct catalog *catalog;
    size_t ranges, snapshots, merges, pruned; /* that may still be listed */
    size_t reads, plans;                      /* that may still be made */
    bool cut;
};

static void put(json_t *o, const char *name, json_t *value)
{
    (void)json_object_set_new(o, name, value); /* fails only without memory: then the document does, in the end */
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *number_or_null(uint64_t n)
{
    return n != 0 ? number(n) : json_null();
}

static json_t *time_or_null(int64_t ms)
{
    char text[STRX_TIME_SIZE];

    return ms != 0 ? json_string(strx_format_time(ms, text)) : json_null();
}

/* How many of `count` may be listed; the last ones are. */
static size_t take(struct maker *m, size_t *left, size_t count, bool *cut)
{
    size_t n = count < *left ? count : *left;

    *left -= n;
    if (n < count)
        m->cut = *cut = true;
    return n;
}

/* --- when a commit was made --------------------------------------------------------------------------------------- */

/* 0: no key says so. */
static int64_t time_in_keys(const struct catalog_timeline *t, uint64_t txid)
{
    if (txid == t->tip_txid)
        return t->tip_time_ms;
    for (size_t i = 0; i < t->snapshot_count; i++)
        if (t->snapshots[i].txid == txid)
            return t->snapshots[i].time_ms;
    for (size_t i = 0; i < t->merge_count; i++)
        if (t->merges[i].txid == txid)
            return t->merges[i].time_ms;
    return 0;
}

/* 0: it cannot be read, which a document about what is there does not fail for. */
static int64_t time_in_object(struct maker *m, const struct catalog_step *step, uint64_t txid)
{
    CLEANUP(catalog_object_fini) struct catalog_object o = {0};
    const struct seg_info *info;
    struct err ignored;

    if (m->reads == 0)
        return 0;
    m->reads--;
    if (rc_failed(catalog_read_one(&o, m->work, m->store, step, txid, &ignored)) || o.segment == NULL)
        return 0;
    info = seg_dec_info(o.segment);
    for (size_t i = 0; i < info->commit_count; i++)
        if (info->commits[i].txid == txid)
            return info->commits[i].time_ms;
    return 0;
}

static int64_t time_of_first(struct maker *m, const struct catalog_timeline *t, const struct history_range *r)
{
    int64_t ms = time_in_keys(t, r->first_txid);

    return ms != 0 || r->first_step.first_txid == 0 ? ms : time_in_object(m, &r->first_step, r->first_txid);
}

/* --- the lists of a timeline -------------------------------------------------------------------------------------- */

static json_t *range_array(
    struct maker *m, const struct catalog_timeline *t, const struct history_ranges *ranges, bool *cut)
{
    size_t n = take(m, &m->ranges, ranges->count, cut);
    json_t *array = json_array();

    for (size_t i = ranges->count - n; i < ranges->count; i++) {
        const struct history_range *r = &ranges->list[i];

        (void)json_array_append_new(
            array, json_pack("{s:o, s:o, s:o, s:o}", "first_txid", number(r->first_txid), "first_time",
                       time_or_null(time_of_first(m, t, r)), "last_txid", number(r->last_txid), "last_time",
                       time_or_null(time_in_keys(t, r->last_txid))));
    }
    return array;
}

/* null: it cannot be told. */
static json_t *restorable(struct maker *m, const struct catalog_timeline *t, struct err *damage, bool *cut)
{
    CLEANUP(history_range_fini) struct history_ranges ranges = {0};

    if (*cut || damage->code != E_OK)
        return json_null();
    if (t->tip_txid == 0)
        return json_array();
    if (rc_failed(history_range_find(m->catalog, t, &m->plans, &ranges, damage)))
        return json_null();
    *cut = ranges.cut;
    m->cut |= ranges.cut;
    return range_array(m, t, &ranges, cut);
}

static json_t *snapshot_array(struct maker *m, const struct catalog_timeline *t, bool *cut)
{
    size_t n = take(m, &m->snapshots, t->snapshot_count, cut);
    json_t *array = json_array();

    for (size_t i = t->snapshot_count - n; i < t->snapshot_count; i++) {
        const struct catalog_snapshot *s = &t->snapshots[i];

        (void)json_array_append_new(array, json_pack("{s:o, s:o, s:o}", "txid", number(s->txid), "time",
                                               time_or_null(s->time_ms), "bytes", number(s->size)));
    }
    return array;
}

static int by_txid(const void *a, const void *b)
{
    const struct catalog_merge *x = a, *y = b;

    return x->txid != y->txid ? (x->txid > y->txid) - (x->txid < y->txid)
                              : (x->level > y->level) - (x->level < y->level);
}

/* The catalog has them by level; the document by txid, so that it is the oldest that are cut. */
static json_t *merge_array(struct maker *m, const struct catalog_timeline *t, bool *cut)
{
    size_t n = take(m, &m->merges, t->merge_count, cut);
    CLEANUP(mem_freep) struct catalog_merge *sorted = mem_try(t->merge_count + 1, sizeof *sorted);
    json_t *array = json_array();

    if (sorted == NULL) {
        m->cut = *cut = true;
        return array;
    }
    if (t->merge_count > 0)
        memcpy(sorted, t->merges, t->merge_count * sizeof *sorted);
    qsort(sorted, t->merge_count, sizeof *sorted, by_txid);
    for (size_t i = t->merge_count - n; i < t->merge_count; i++) {
        const struct catalog_merge *g = &sorted[i];

        (void)json_array_append_new(
            array, json_pack("{s:o, s:o, s:o, s:o, s:o}", "level", number(g->level), "base_txid", number(g->base_txid),
                       "txid", number(g->txid), "time", time_or_null(g->time_ms), "bytes", number(g->size)));
    }
    return array;
}

/* Joined where they overlap or touch; `out` has room for all. */
static size_t join_pruned(const struct catalog_timeline *t, struct catalog_pruned *out)
{
    size_t n = 0;

    for (size_t i = 0; i < t->pruned_count; i++) {
        const struct catalog_pruned *p = &t->pruned[i];

        if (n == 0 || p->first_txid > out[n - 1].last_txid + 1)
            out[n++] = *p;
        else if (p->last_txid > out[n - 1].last_txid)
            out[n - 1].last_txid = p->last_txid;
    }
    return n;
}

static json_t *pruned_array(struct maker *m, const struct catalog_timeline *t, bool *cut)
{
    CLEANUP(mem_freep) struct catalog_pruned *joined = mem_try(t->pruned_count + 1, sizeof *joined);
    json_t *array = json_array();
    size_t count, n;

    if (joined == NULL) {
        m->cut = *cut = true;
        return array;
    }
    count = join_pruned(t, joined);
    n = take(m, &m->pruned, count, cut);
    for (size_t i = count - n; i < count; i++)
        (void)json_array_append_new(array, json_pack("{s:o, s:o}", "first_txid", number(joined[i].first_txid),
                                               "last_txid", number(joined[i].last_txid)));
    return array;
}

/* --- a timeline --------------------------------------------------------------------------------------------------- */

static json_t *sum_object(size_t count, uint64_t bytes)
{
    return json_pack("{s:o, s:o}", "count", number(count), "bytes", number(bytes));
}

static json_t *folds(const struct catalog_timeline *t)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < t->fold_count; i++)
        bytes += t->folds[i].size;
    return sum_object(t->fold_count, bytes);
}

static json_t *segments(const struct catalog_timeline *t)
{
    size_t count = t->log_count - (t->sealed ? 1 : 0);
    uint64_t bytes = t->part_size;

    for (size_t i = 0; i < count; i++)
        bytes += t->logs[i].size;
    return sum_object(count, bytes);
}

static json_t *tip(const struct catalog_timeline *t)
{
    return t->tip_txid == 0
               ? json_null()
               : json_pack("{s:o, s:o}", "txid", number(t->tip_txid), "time", time_or_null(t->tip_time_ms));
}

/* Its keys, or those of a timeline that it comes from, are not all known. */
static bool path_is_cut(const struct catalog *c, const struct catalog_timeline *t)
{
    CLEANUP(mem_freep) struct catalog_leg *legs = NULL;
    struct err ignored;
    size_t count = 0;

    if (t->cut || rc_failed(catalog_path(c, t->number, &legs, &count, &ignored)))
        return t->cut;
    for (size_t i = 0; i < count; i++)
        if (legs[i].timeline->cut)
            return true;
    return false;
}

/* Damage is told; a store that does not answer is an error. */
static struct rc load_tip(struct maker *m, const struct catalog_timeline *t, struct err *damage, struct err *err)
{
    struct rc rc;

    if (m->opts->stop != NULL && *m->opts->stop)
        return rc_raise(err, E_CANCELED, "read the history of %s: stopped", m->store->url);
    if (t->cut)
        return RC_OK;
    rc = catalog_load_tip(m->catalog, m->work, m->store, t->number, damage);
    if (!rc_failed(rc) || rc.code == E_CORRUPT || rc.code == E_NOTFOUND)
        return RC_OK;
    *err = *damage;
    return rc;
}

static struct rc timeline(struct maker *m, const struct catalog_timeline *t, json_t **out, struct err *err)
{
    const struct layout_origin *origin = &t->origin;
    bool cut = path_is_cut(m->catalog, t);
    struct err damage = {.code = E_OK};
    json_t *o;

    TRY(load_tip(m, t, &damage, err));
    o = json_object();
    m->cut |= cut;
    put(o, "timeline", number(t->number));
    put(o, "parent", number_or_null(origin->parent));
    put(o, "fork_txid", origin->parent != 0 ? number(origin->fork_txid) : json_null());
    put(o, "begun", time_or_null(origin->time_ms));
    put(o, "host", origin->timeline != 0 ? status_text(origin->host) : json_null());
    put(o, "sealed", json_boolean(t->sealed));
    put(o, "successor", number_or_null(t->successor));
    put(o, "tip", tip(t));
    put(o, "restorable", restorable(m, t, &damage, &cut));
    put(o, "snapshots", snapshot_array(m, t, &cut));
    put(o, "merges", merge_array(m, t, &cut));
    put(o, "folds", folds(t));
    put(o, "segments", segments(t));
    put(o, "pruned", pruned_array(m, t, &cut));
    put(o, "damage", damage.code != E_OK ? status_text(damage.msg) : json_null());
    put(o, "cut", json_boolean(cut));
    *out = o;
    return RC_OK;
}

static struct rc timelines(struct maker *m, json_t *array, struct err *err)
{
    const struct catalog *c = m->catalog;

    for (size_t i = c->timeline_count; i > 0; i--) {
        json_t *o = NULL;

        if (c->timeline_count - i == HISTORY_TIMELINES_MAX) {
            m->cut = true;
            break;
        }
        TRY(timeline(m, &c->timelines[i - 1], &o, err));
        (void)json_array_insert_new(array, 0, o); /* in the document the oldest is first */
    }
    return RC_OK;
}

/* --- the document ------------------------------------------------------------------------------------------------- */

static json_t *gaps(const struct history_opts *opts)
{
    json_t *array = json_array();

    for (size_t i = 0; i < opts->gap_count; i++) {
        const struct db_gap *g = &opts->gaps[i].gap;

        (void)json_array_append_new(
            array, json_pack("{s:o, s:o, s:o, s:o, s:o}", "timeline", number(opts->gaps[i].timeline), "after_txid",
                       number(g->after_txid), "after_time", time_or_null(g->after_ms), "txid", number(g->txid), "time",
                       time_or_null(g->time_ms)));
    }
    return json_pack(
        "{s:o, s:o, s:b}", "since", time_or_null(opts->since_ms), "list", array, "cut", (int)opts->gaps_cut);
}

static int append(const char *text, size_t size, void *ctx)
{
    buf_put(ctx, text, size);
    return 0;
}

static struct rc write_document(struct maker *m, json_t *array, struct buf *out, struct err *err)
{
    const struct catalog *c = m->catalog;
    const struct layout_identity none = {0}, *id = c != NULL ? &c->identity : &none;
    char database[NONCE_TEXT_SIZE];
    json_t *o = json_object();
    int failed;

    put(o, "path", status_text(m->opts->path));
    put(o, "url", status_text(m->store->url));
    put(o, "time", time_or_null(m->opts->now_ms));
    put(o, "database", c != NULL ? json_string(nonce_format(&id->database, database)) : json_null());
    put(o, "begun", time_or_null(id->created_ms));
    put(o, "page_size", number_or_null(id->page_size));
    put(o, "timelines", json_incref(array));
    put(o, "gaps", gaps(m->opts));
    put(o, "unexpected", number(c != NULL ? c->unexpected_count : 0));
    put(o, "cut", json_boolean(m->cut || (c != NULL && c->cut)));
    failed = json_dump_callback(o, append, out, JSON_COMPACT);
    json_decref(o);
    buf_text(out, "\n");
    if (failed != 0)
        return rc_raise(err, E_NOMEM, "history of %s: no memory for the document", m->store->url);
    return buf_check(out, "the history", err);
}

static struct rc make(struct maker *m, struct buf *out, struct err *err)
{
    json_t *array = json_array();
    struct rc rc = m->catalog != NULL ? timelines(m, array, err) : RC_OK;

    if (!rc_failed(rc))
        rc = write_document(m, array, out, err);
    json_decref(array);
    return rc;
}

struct rc history_read(
    struct work *w, struct store *s, const struct history_opts *opts, struct buf *out, struct err *err)
{
    const struct catalog_limits limits = {
        .folder_max = HISTORY_FOLDER_MAX,
        .object_max = HISTORY_OBJECTS_MAX,
        .timeline_max = HISTORY_ORIGINS_MAX,
        .stop = opts->stop,
    };
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    struct maker m = {
        .work = w,
        .store = s,
        .opts = opts,
        .ranges = HISTORY_LIST_MAX,
        .snapshots = HISTORY_LIST_MAX,
        .merges = HISTORY_LIST_MAX,
        .pruned = HISTORY_LIST_MAX,
        .reads = HISTORY_READS_MAX,
        .plans = HISTORY_PLANS_MAX,
    };
    struct rc rc = catalog_load_within(&c, w, s, &limits, err);

    if (rc_failed(rc) && rc.code != E_NOTFOUND)
        return rc;
    m.catalog = c;
    return make(&m, out, err);
}
