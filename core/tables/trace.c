/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

#include "alloc.h"
#include "catalog_read.h"
#include "prefetch.h"
#include "restore.h"
#include "trace_state.h"

#include <inttypes.h>

struct trace {
    struct work *work;
    struct store *store;
    const struct catalog *catalog;
    const struct trace_opts *opts;

    struct trace_state *state; /* owned; NULL: the state cannot be had */
    struct btree_map *map;     /* owned */
    bool mapped;               /* it is that of `state` */
    struct bitmap *changed;    /* owned; since the last commit */
    uint64_t txid;             /* of the state, known or not */
    bool begun, enough;

    const struct seg_info *info; /* the segment that is applied */
    size_t commit;               /* the next one there */
    uint64_t last_txid;          /* that counts there */
    uint64_t done, total;        /* bytes, for progress */
};

static void trace_fini(struct trace *t)
{
    trace_state_close(t->state);
    btree_map_free(t->map);
    bitmap_free(t->changed);
}

static void tell(const struct trace *t)
{
    if (t->opts->on_progress != NULL)
        t->opts->on_progress(t->opts->progress_ctx, "commits", t->done, t->done > t->total ? t->done : t->total);
}

/* --- states from snapshots -----------------------------------------------------------------------------------------
 */

static struct rc restore_state(struct trace *t, uint64_t txid, struct trace_state **out, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/state-%" PRIu64 ".db", t->opts->folder, txid);
    struct restore_report report;
    struct restore_opts opts = {
        .output = path,
        .by_txid = true,
        .txid = txid,
        .timeline = t->opts->timeline,
        .verify = RESTORE_VERIFY_NONE, /* all pages are read right after */
        .on_progress = t->opts->on_progress,
        .ctx = t->opts->progress_ctx,
    };
    CLEANUP(trace_state_closep) struct trace_state *s = NULL;

    TRY(restore_run(t->work, t->store, t->opts->fs, &opts, &report, err));
    TRY(trace_state_open(&s, t->opts->fs, path, report.page_size, report.page_count, err));
    if (trace_state_checksum(s) != report.checksum)
        return rc_raise(err, E_CORRUPT, "%s does not hold what was written to it", path);
    *out = MOVE(s);
    return RC_OK;
}

/* No way to it is no failure: then the state is unknown. */
static struct rc try_state(struct trace *t, uint64_t txid, struct trace_state **out, struct err *err)
{
    struct rc rc = restore_state(t, txid, out, err);

    return rc.code == E_NOTFOUND ? RC_OK : rc;
}

static struct rc on_map_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    const struct trace *t = ctx;

    return trace_state_read(t->state, pgno, page, err);
}

static struct rc update_map(struct trace *t, const struct bitmap *changed, struct err *err)
{
    struct btree_map_source source = {on_map_read, t};

    TRY(btree_map_update(
        t->map, &source, t->state->page_size, trace_state_page_count(t->state), t->mapped ? changed : NULL, err));
    t->mapped = true;
    return RC_OK;
}

static void forget_changes(struct trace *t)
{
    bitmap_free(t->changed);
    t->changed = bitmap_new();
}

static bool has_snapshot(const struct trace *t, uint64_t txid)
{
    const struct catalog_timeline *line = catalog_timeline(t->catalog, t->info->timeline);

    for (size_t i = 0; line != NULL && i < line->snapshot_count; i++)
        if (line->snapshots[i].txid == txid)
            return true;
    return false;
}

/* The state after a commit that no pages lead to.  *known: what it changed is. */
static struct rc jump(struct trace *t, const struct seg_commit *commit, bool *known, struct err *err)
{
    CLEANUP(trace_state_closep) struct trace_state *old = MOVE(t->state);
    /* What was there before nothing is known, too: it was nothing. */
    bool whole = commit->txid == 1;

    *known = false;
    TRY(try_state(t, commit->txid, &t->state, err));
    if (t->state == NULL || (old == NULL && !whole)) {
        t->mapped = false;
        return RC_OK;
    }
    *known = true;
    if (old != NULL && old->page_size == t->state->page_size)
        return trace_state_compare(old, t->state, t->changed, err);
    t->mapped = false; /* all pages are others */
    return RC_OK;
}

/* --- one commit ----------------------------------------------------------------------------------------------------
 */

static struct rc report(struct trace *t, const struct seg_commit *commit, bool known, struct err *err)
{
    struct trace_commit c = {.segment = t->info, .commit = commit, .known = known, .damage = ""};

    if (t->state != NULL && (commit->txid + 1 >= t->opts->first_txid))
        TRY(update_map(t, t->changed, err));
    forget_changes(t);
    if (commit->txid < t->opts->first_txid)
        return RC_OK;
    if (known) {
        c.touches = btree_map_touches(t->map, &c.touch_count);
        (void)btree_map_damage(t->map, &c.damage);
    }
    t->enough = !t->opts->fn(t->opts->ctx, &c) || commit->txid >= t->opts->last_txid;
    return RC_OK;
}

static struct rc on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    struct trace *t = ctx;
    bool known = t->state != NULL;

    if ((commit->flags & SEG_SNAPSHOT) != 0) {
        TRY(jump(t, commit, &known, err));
    } else if (known) {
        TRY(trace_state_resize(t->state, commit->page_count, err));
        if (trace_state_checksum(t->state) != commit->checksum)
            return rc_raise(err, E_CORRUPT,
                "the state checksum at txid %" PRIu64 " is %016" PRIx64 ", the segment says %016" PRIx64, commit->txid,
                trace_state_checksum(t->state), commit->checksum);
    } else if (has_snapshot(t, commit->txid)) {
        t->mapped = false;
        TRY(try_state(t, commit->txid, &t->state, err));
    }
    TRY(report(t, commit, known, err));
    t->txid = commit->txid;
    t->commit++;
    *stop = t->enough || commit->txid >= t->last_txid;
    return RC_OK;
}

/* Behind a commit that is in a snapshot only, in the same segment, the state is what that snapshot gave. */
static struct rc check_state(const struct trace *t, struct err *err)
{
    if (t->state == NULL)
        return rc_raise(err, E_CORRUPT, "the state before txid %" PRIu64 " is missing: its snapshot is gone",
            t->info->commits[t->commit].txid);
    if (t->state->page_size != t->info->page_size)
        return rc_raise(err, E_CORRUPT, "pages of %" PRIu32 " bytes behind a state with pages of %" PRIu32,
            t->info->page_size, t->state->page_size);
    return RC_OK;
}

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    struct trace *t = ctx;

    TRY(check_state(t, err));
    return trace_state_read(t->state, pgno, page, err);
}

/* A large transaction may have written pages beyond the end that it gave the database at last. */
static struct rc on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct trace *t = ctx;

    TRY(check_state(t, err));
    if (pgno > t->info->commits[t->commit].page_count && pgno > trace_state_page_count(t->state))
        return RC_OK;
    TRY(bitmap_add(t->changed, pgno, err));
    return trace_state_write(t->state, pgno, page, err);
}

/* --- one segment ---------------------------------------------------------------------------------------------------
 */

static uint64_t describe_part(void *ctx, size_t i, layout_text key)
{
    const struct seg_info *info = ctx;

    layout_part(key, info->timeline, info->base_txid + 1, &info->pack.writer, (uint32_t)i);
    return info->parts[i].size;
}

static struct rc apply(struct trace *t, struct seg_dec *d, struct err *err)
{
    struct seg_apply_ops ops = {.read = on_read, .write = on_write, .commit = on_commit, .ctx = t};
    union {
        const struct seg_info *info;
        void *ctx;
    } list = {.info = t->info}; /* it is only read */
    CLEANUP(prefetch_freep)
    struct prefetch *p = prefetch_new(t->work, t->store, t->info->part_count, describe_part, list.ctx);
    bool stopped = false;

    for (size_t i = 0; i < t->info->part_count && !stopped; i++) {
        CLEANUP(buf_fini) struct buf bytes = {0};
        layout_text key;

        (void)describe_part(list.ctx, i, key);
        TRY(prefetch_take(p, &bytes, err));
        t->done += bytes.size;
        t->total += bytes.size;
        TRY_CTX(seg_dec_apply_part(d, buf_span(&bytes), &ops, &stopped, err), err, "%s", key);
        tell(t);
    }
    return stopped ? RC_OK : seg_dec_apply_tail(d, &ops, &stopped, err);
}

/* Without a state its commits are only listed, but a snapshot among them may begin one.  The pages behind that, in the
 * same segment, are changes to states that nobody knows: so it counts from the next segment on. */
static struct rc pass_over(struct trace *t, struct err *err)
{
    for (size_t i = 0; i < t->info->commit_count && !t->enough; i++) {
        const struct seg_commit *commit = &t->info->commits[i];
        bool last = i + 1 == t->info->commit_count || commit->txid >= t->last_txid, stop = false;

        if (commit->txid > t->last_txid)
            break;
        if (last)
            TRY(on_commit(t, commit, &stop, err));
        else
            TRY(report(t, commit, false, err));
        t->txid = commit->txid;
    }
    return RC_OK;
}

static struct rc check_chain(const struct trace *t, const char *key, struct err *err)
{
    if (t->info->base_txid != t->txid)
        return rc_raise(err, E_CORRUPT, "%s: it begins at txid %" PRIu64 ", and no segment has txid %" PRIu64, key,
            t->info->base_txid + 1, t->txid + 1);
    if (t->state == NULL)
        return RC_OK;
    if (t->info->page_size != t->state->page_size && (t->info->commits[0].flags & SEG_SNAPSHOT) == 0)
        return rc_raise(err, E_CORRUPT, "%s: pages of %" PRIu32 " bytes behind a state with pages of %" PRIu32, key,
            t->info->page_size, t->state->page_size);
    if (t->info->base_checksum != trace_state_checksum(t->state))
        return rc_raise(err, E_CORRUPT,
            "%s: it begins at state checksum %016" PRIx64 ", txid %" PRIu64 " has %016" PRIx64, key,
            t->info->base_checksum, t->txid, trace_state_checksum(t->state));
    return RC_OK;
}

static struct rc begin(struct trace *t, struct err *err)
{
    t->begun = true;
    t->txid = t->info->base_txid;
    return t->txid == 0 ? RC_OK : try_state(t, t->txid, &t->state, err);
}

static struct rc trace_segment(struct trace *t, const struct catalog_step *step, struct seg_dec *d, struct err *err)
{
    layout_text key;

    t->info = seg_dec_info(d);
    t->commit = 0;
    t->last_txid = step->last_txid;
    layout_log(key, t->info->timeline, t->info->base_txid + 1);
    if (!t->begun)
        TRY(begin(t, err));
    TRY(check_chain(t, key, err));
    if (t->state != NULL && !t->mapped && t->txid + 1 >= t->opts->first_txid)
        TRY(update_map(t, NULL, err)); /* what the first commit of interest comes after */
    if (t->state != NULL)
        TRY_CTX(apply(t, d, err), err, "%s", key);
    else
        TRY_CTX(pass_over(t, err), err, "%s", key);
    return RC_OK;
}

/* --- all of them ---------------------------------------------------------------------------------------------------
 */

static struct rc run(struct trace *t, struct catalog_read *r, const struct catalog_step *steps, struct err *err)
{
    while (!t->enough) {
        CLEANUP(catalog_object_fini) struct catalog_object o = {0};
        uint64_t before = catalog_read_bytes(r);
        bool end = false;
        size_t at = 0;

        TRY(catalog_read_next(r, &o, &at, &end, err));
        if (end || o.segment == NULL)
            break; /* nothing, or the seal, behind the last segment */
        t->done += catalog_read_bytes(r) - before;
        TRY(trace_segment(t, &steps[at], o.segment, err));
        tell(t);
    }
    return RC_OK;
}

struct rc trace_run(
    struct work *w, struct store *s, const struct catalog *c, const struct trace_opts *opts, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    CLEANUP(trace_fini) struct trace t = {.work = w, .store = s, .catalog = c, .opts = opts};
    CLEANUP(catalog_read_freep) struct catalog_read *r = NULL;
    size_t count = 0, begin_at = 0, end_at;

    t.map = btree_map_new();
    t.changed = bitmap_new();
    TRY(catalog_route(c, opts->timeline, &steps, &count, err));
    while (begin_at + 1 < count && steps[begin_at + 1].first_txid <= opts->first_txid)
        begin_at++;
    for (end_at = begin_at; end_at < count && steps[end_at].first_txid <= opts->last_txid; end_at++)
        t.total += steps[end_at].size;
    r = catalog_read_new(w, s, steps + begin_at, end_at - begin_at);
    return run(&t, r, steps + begin_at, err);
}
