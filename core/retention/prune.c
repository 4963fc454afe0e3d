/* SPDX-License-Identifier: Apache-2.0 */
#include "prune.h"

#include "alloc.h"
#include "fence.h"
#include "restore.h"
#include "slog.h"
#include "strx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MARKS_MAX = 4096 };

#define PROBES   "probe/"
#define PROBE    "probe/delete"
#define NEVER_MS INT64_MIN

struct prune {
    struct work *work;
    struct store *store;
    const struct prune_opts *opts;
    struct prune_report *report;
    char **leftovers; /* owned: keys of scratch objects */
    size_t leftover_count, leftover_room;
    int64_t store_ms; /* the store's clock at the last listing; 0: not known */
};

static struct rc check_stop(const struct prune *p, struct err *err)
{
    if (p->opts->stop != NULL && *p->opts->stop)
        return rc_raise(err, E_CANCELED, "prune %s: stopped", p->store->url);
    return RC_OK;
}

/* --- looking -------------------------------------------------------------------------------------------------------
 */

typedef struct rc (*entry_fn)(struct prune *p, const struct store_entry *e, struct err *err);

static struct rc list(struct prune *p, const char *prefix, entry_fn fn, struct err *err)
{
    layout_text after = "";
    bool more = true;

    while (more) {
        CLEANUP(store_req_fini) struct store_req req;

        store_req_init(&req, STORE_LIST, prefix, NULL, NULL);
        TRY(check_stop(p, err));
        memcpy(req.after, after, sizeof req.after);
        TRY_CTX(work_store(p->work, p->store, &req, err), err, "list %s", prefix);
        p->store_ms = req.store_ms;
        for (size_t i = 0; i < req.entry_count; i++)
            TRY(fn(p, &req.entries[i], err));
        more = req.more && req.entry_count > 0;
        if (more)
            (void)snprintf(after, sizeof after, "%s", req.entries[req.entry_count - 1].key); /* a key fits */
    }
    return RC_OK;
}

/* The last commit at or before a time; txid 0: there is none. */
static struct rc look_up(
    struct prune *p, uint32_t timeline, int64_t time_ms, struct retention_mark *out, struct err *err)
{
    struct restore_commit found = {0};
    struct rc rc = restore_find_commit(p->report->catalog, p->work, p->store, timeline, time_ms, &found, err);

    if (rc_failed(rc) && rc.code != E_NOTFOUND)
        return rc;
    *out = (struct retention_mark){timeline, time_ms, found.txid, found.time_ms};
    return RC_OK;
}

/* Where the newest timeline has no commit of its own, the path ends at its fork. */
static int64_t newest_time(const struct catalog *c)
{
    const struct catalog_timeline *t = catalog_newest(c);

    while (t != NULL && t->tip_txid == 0 && t->origin.parent != 0)
        t = catalog_timeline(c, t->origin.parent);
    return t != NULL && t->tip_txid != 0 ? t->tip_time_ms : NEVER_MS;
}

static struct rc find_now(struct prune *p, struct err *err)
{
    const struct catalog *c = p->report->catalog;
    const int64_t newest_ms = newest_time(c);
    struct retention_mark before = {0};

    p->report->now_ms = NEVER_MS;
    if (newest_ms == NEVER_MS)
        return RC_OK;
    TRY(look_up(p, catalog_newest(c)->number, newest_ms - RETENTION_TRUST_MS, &before, err));
    p->report->now_ms = retention_now(p->opts->local_ms, newest_ms, before.txid != 0 ? before.time_ms : NEVER_MS);
    return RC_OK;
}

static struct rc decide(struct prune *p, struct err *err)
{
    struct prune_report *r = p->report;
    struct retention_input in = {
        .catalog = r->catalog,
        .policy = p->opts->policy,
        .now_ms = r->now_ms,
        .grace_ms = p->opts->grace_ms,
        .verified_timeline = p->opts->verified.timeline,
        .verified_txid = p->opts->verified.snapshot_txid,
    };
    CLEANUP(mem_freep) struct retention_mark *marks = mem_new(MARKS_MAX * sizeof *marks);
    uint32_t timeline;
    int64_t time_ms;

    in.marks = marks;
    while (retention_ask(&in, &timeline, &time_ms)) {
        TRY(check_stop(p, err));
        if (in.mark_count == MARKS_MAX)
            return rc_raise(err, E_UNSUPPORTED, "more than %d periods without a snapshot or a merge", MARKS_MAX);
        TRY(look_up(p, timeline, time_ms, &marks[in.mark_count++], err));
    }
    return retention_decide(&in, &r->decision, err);
}

/* --- what the catalog does not name ---------------------------------------------------------------------------------
 */

static struct rc on_part(struct prune *p, const struct store_entry *e, struct err *err)
{
    struct retention *d = &p->report->decision;
    const struct layout_key key = layout_parse(e->key);

    if (key.kind != LAYOUT_PART || !retention_drops_part(d, &key))
        return RC_OK;
    return retention_drop_part(d, &key, e->size, err);
}

static struct rc on_leftover(struct prune *p, const struct store_entry *e, struct err *err)
{
    int64_t now_ms = p->opts->local_ms < p->report->now_ms ? p->opts->local_ms : p->report->now_ms;

    if (p->store_ms != 0) /* the clock that dated it */
        now_ms = p->store_ms;
    if (now_ms == NEVER_MS || e->is_prefix || e->modified_ms == 0 || e->modified_ms > now_ms - PRUNE_LEFTOVER_MS)
        return RC_OK;
    if (!mem_grow(&p->leftovers, p->leftover_count, &p->leftover_room, sizeof(char *)))
        return rc_raise(err, E_NOMEM, "list of %zu scratch objects", p->leftover_count + 1);
    p->leftovers[p->leftover_count++] = mem_strdup(e->key);
    p->report->leftovers.objects++;
    p->report->leftovers.bytes += e->size;
    return RC_OK;
}

/* Uploads below one prefix: a rights policy or a store that keeps them from us is told, and that is all. */
static struct rc sweep_uploads(struct prune *p, const char *prefix, bool dry_run, uint64_t *count, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_UPLOAD_SWEEP, prefix, NULL, NULL);
    TRY(check_stop(p, err));
    req.age_ms = PRUNE_UPLOAD_MS;
    req.dry_run = dry_run;
    rc = work_store(p->work, p->store, &req, err);
    *count += req.swept;
    if (!rc_failed(rc) || rc.code == E_CANCELED || rc_retryable(rc.code))
        return rc_failed(rc) ? rc_wrap(err, "unfinished uploads") : RC_OK;
    p->report->uploads_err = *err;
    return RC_OK;
}

/* All that weir begins are below one of these: what is still without a name, and snapshots that are imported. */
static struct rc sweep_all(struct prune *p, bool dry_run, uint64_t *count, struct err *err)
{
    layout_text timelines;

    layout_timelines_prefix(timelines);
    p->report->uploads_err.code = E_OK;
    TRY(sweep_uploads(p, STORE_SCRATCH, dry_run, count, err));
    return p->report->uploads_err.code != E_OK ? RC_OK : sweep_uploads(p, timelines, dry_run, count, err);
}

static struct rc find_parts(struct prune *p, struct err *err)
{
    const struct catalog *c = p->report->catalog;

    for (size_t i = 0; i < c->timeline_count; i++) {
        layout_text prefix;

        layout_part_prefix(prefix, c->timelines[i].number);
        if (c->timelines[i].part_count > 0)
            TRY(list(p, prefix, on_part, err));
    }
    return RC_OK;
}

/* What came to no end has nothing to do with the history, which may be too young for everything else. */
static struct rc find_leftovers(struct prune *p, struct err *err)
{
    TRY(list(p, PROBES, on_leftover, err));
    TRY(list(p, STORE_SCRATCH, on_leftover, err));
    return sweep_all(p, true, &p->report->uploads, err);
}

static void add_up(struct prune_report *r)
{
    for (size_t i = 0; i < r->catalog->timeline_count; i++) {
        const struct catalog_timeline *t = &r->catalog->timelines[i];

        r->all.objects += t->log_count + t->fold_count + t->snapshot_count + t->merge_count + t->part_count;
        r->all.bytes += t->part_size;
        for (size_t k = 0; k < t->log_count; k++)
            r->all.bytes += t->logs[k].size;
        for (size_t k = 0; k < t->fold_count; k++)
            r->all.bytes += t->folds[k].size;
        for (size_t k = 0; k < t->snapshot_count; k++)
            r->all.bytes += t->snapshots[k].size;
        for (size_t k = 0; k < t->merge_count; k++)
            r->all.bytes += t->merges[k].size;
    }
    r->kept = r->all;
    for (size_t i = 0; i < r->decision.drop_count; i++) {
        const struct retention_drop *drop = &r->decision.drops[i];

        r->kinds[drop->key.kind].objects++;
        r->kinds[drop->key.kind].bytes += drop->size;
        if (drop->key.kind == LAYOUT_PRUNED)
            continue; /* a note, not counted with the objects */
        r->kept.objects--;
        r->kept.bytes -= drop->size;
    }
}

/* --- deleting ------------------------------------------------------------------------------------------------------
 */

static struct rc check_newest(const struct prune *p, struct err *err)
{
    struct rc rc = fence_check_newer(p->work, p->store, catalog_newest(p->report->catalog)->number, err);

    if (rc.code == E_FENCED)
        return rc_raise(err, E_FENCED,
            "a new timeline has begun at %s meanwhile, and may need what was about to be deleted: stopped; the next "
            "prune looks anew",
            p->store->url);
    return rc;
}

static struct rc put_new(const struct prune *p, const char *key, const char *text, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = (struct span){(const uint8_t *)text, strlen(text)};
    req.create_only = true;
    rc = work_store(p->work, p->store, &req, err);
    return rc.code == E_EXISTS ? RC_OK : rc;
}

static struct rc delete_keys(struct prune *p, const char *const *keys, size_t count, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_DELETE_MANY, "", NULL, NULL);
    req.keys = keys;
    req.key_count = count;
    rc = work_store(p->work, p->store, &req, err);
    return rc.code == E_NOTFOUND ? RC_OK : rc;
}

/* Before anything is changed; a scratch object that cannot be deleted does no harm, and is the only one. */
static struct rc try_to_delete(struct prune *p, struct err *err)
{
    const char *const key = PROBE;
    struct rc rc;

    TRY_CTX(put_new(p, PROBE, "weir: may this be deleted?\n", err), err, "%s", PROBE);
    rc = delete_keys(p, &key, 1, err);
    if (rc.code != E_DENIED && rc.code != E_UNSUPPORTED)
        return rc;
    return rc_raise(err, E_DENIED,
        "nothing can be deleted at %s with the rights of this process, so retention has no effect (nothing was "
        "changed): %.600s",
        p->store->url, err->msg);
}

/* The text is for people: all that counts is in the key. */
static struct rc note_ranges(struct prune *p, struct err *err)
{
    const struct retention *d = &p->report->decision;
    char time[STRX_TIME_SIZE], policy[RETENTION_TEXT_SIZE], text[512];

    (void)snprintf(text, sizeof text, "pruned\nby %s\nas of %s\n", retention_text(&p->opts->policy, policy),
        strx_format_time(p->report->now_ms, time));
    for (size_t i = 0; i < d->range_count; i++) {
        layout_text key;

        TRY(check_stop(p, err));
        layout_text_of(key, &d->ranges[i]);
        TRY_CTX(put_new(p, key, text, err), err, "%s", key);
    }
    return RC_OK;
}

static struct rc delete_batch(struct prune *p, const char *const *keys, size_t count, struct err *err)
{
    if (count == 0)
        return RC_OK;
    TRY(check_stop(p, err));
    TRY(check_newest(p, err));
    TRY(delete_keys(p, keys, count, err));
    p->report->deleted += count;
    return RC_OK;
}

static struct rc delete_drops(struct prune *p, struct err *err)
{
    const struct retention *d = &p->report->decision;
    CLEANUP(mem_freep) layout_text *texts = mem_new(STORE_LIST_MAX * sizeof *texts);
    const char *keys[STORE_LIST_MAX];
    size_t n = 0;

    for (size_t i = 0; i < d->drop_count; i++) {
        layout_text_of(texts[n], &d->drops[i].key);
        keys[n] = texts[n];
        n++;
        if (n < STORE_LIST_MAX && i + 1 < d->drop_count)
            continue;
        TRY_CTX(delete_batch(p, keys, n, err), err, "delete %zu objects from %s on", n, keys[0]);
        n = 0;
    }
    return RC_OK;
}

static struct rc delete_leftovers(struct prune *p, struct err *err)
{
    for (size_t at = 0; at < p->leftover_count; at += STORE_LIST_MAX) {
        size_t n = p->leftover_count - at < STORE_LIST_MAX ? p->leftover_count - at : STORE_LIST_MAX;

        TRY_CTX(delete_batch(p, (const char *const *)p->leftovers + at, n, err), err, "delete %zu scratch objects", n);
    }
    return RC_OK;
}

/* --- the whole -----------------------------------------------------------------------------------------------------
 */

static struct rc look(struct prune *p, struct err *err)
{
    const struct catalog_timeline *newest;

    TRY(retention_check(&p->opts->policy, err));
    TRY(catalog_load(&p->report->catalog, p->work, p->store, err));
    newest = catalog_newest(p->report->catalog);
    if (newest == NULL)
        return rc_raise(err, E_NOTFOUND, "the replica at %s has no timeline yet", p->store->url);
    if (p->opts->timeline != 0 && newest->number != p->opts->timeline)
        return rc_raise(err, E_FENCED,
            "timeline %" PRIu32 " has begun at %s, and this process writes timeline %" PRIu32, newest->number,
            p->store->url, p->opts->timeline);
    TRY(catalog_load_tips(p->report->catalog, p->work, p->store, err));
    TRY(find_now(p, err));
    return p->report->now_ms == NEVER_MS ? RC_OK : decide(p, err);
}

static struct rc run(struct prune *p, struct err *err)
{
    const struct prune_report *r = p->report;

    TRY(look(p, err));
    if (r->now_ms != NEVER_MS)
        TRY(find_parts(p, err));
    TRY(find_leftovers(p, err));
    add_up(p->report);
    if (p->opts->dry_run || r->decision.drop_count + r->decision.range_count + p->leftover_count + r->uploads == 0)
        return RC_OK;
    TRY(try_to_delete(p, err));
    TRY(check_newest(p, err));
    TRY(note_ranges(p, err));
    TRY(delete_drops(p, err));
    TRY(delete_leftovers(p, err));
    if (r->uploads == 0)
        return RC_OK;
    p->report->uploads = 0;
    return sweep_all(p, false, &p->report->uploads, err);
}

struct rc prune_run(
    struct work *w, struct store *s, const struct prune_opts *opts, struct prune_report *report, struct err *err)
{
    struct prune p = {.work = w, .store = s, .opts = opts, .report = report};
    struct rc rc;

    *report = (struct prune_report){.now_ms = NEVER_MS};
    rc = run(&p, err);
    for (size_t i = 0; i < p.leftover_count; i++)
        mem_free(p.leftovers[i]);
    mem_free(p.leftovers);
    return rc;
}

struct rc prune_decide(
    struct work *w, struct store *s, const struct prune_opts *opts, struct prune_report *report, struct err *err)
{
    struct prune p = {.work = w, .store = s, .opts = opts, .report = report};

    *report = (struct prune_report){.now_ms = NEVER_MS};
    return look(&p, err);
}

void prune_fini(struct prune_report *report)
{
    retention_fini(&report->decision);
    catalog_free(report->catalog);
    report->catalog = NULL;
}
