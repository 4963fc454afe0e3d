/* SPDX-License-Identifier: Apache-2.0 */
#include "db_survey.h"

#include "alloc.h"
#include "catalog.h"
#include "catalog_read.h"
#include "strx.h"

#include <stdio.h>
#include <string.h>

enum {
    DOCUMENT_MAX = 64 << 10,
    LOOK_BACK = 4096,     /* txids before our own: enough to meet the segment that holds it, nearly always */
    BEHIND_MAX = 1 << 20, /* commits behind our position that a start takes in */
    FOLD_BACK = 1 << 20,  /* txids before our own at which a fold may begin that holds it, nearly always */
};

/* --- the newest timeline ---------------------------------------------------------------------------------------- */

static struct rc list_page(struct work *w, struct store *s, struct store_req *req, const char *prefix,
    const char *after, bool by_folder, struct err *err)
{
    store_req_init(req, STORE_LIST, prefix, NULL, NULL);
    (void)snprintf(req->after, sizeof req->after, "%s", after);
    req->by_folder = by_folder;
    TRY_CTX(work_store(w, s, req, err), err, "list %s", prefix);
    return RC_OK;
}

static struct rc find_newest(struct db_survey *out, struct work *w, struct store *s, struct err *err)
{
    layout_text prefix, after = "";
    bool more = true;

    layout_timelines_prefix(prefix);
    while (more) {
        CLEANUP(store_req_fini) struct store_req req;

        TRY(list_page(w, s, &req, prefix, after, true, err));
        for (size_t i = 0; i < req.entry_count; i++) {
            const char *number = req.entries[i].key + strlen(prefix);
            uint64_t n;

            if (req.entries[i].is_prefix && strx_hex_fixed(number, 8, &n) && strcmp(number + 8, "/") == 0)
                out->facts.newest = (uint32_t)n;
        }
        more = req.more && req.entry_count > 0;
        if (more)
            (void)snprintf(after, sizeof after, "%s", req.entries[req.entry_count - 1].key);
    }
    return RC_OK;
}

static struct rc read_origin(struct db_survey *out, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    layout_text key;

    layout_timeline(key, out->facts.newest);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    TRY_CTX(work_store(w, s, &req, err), err, "%s", key);
    TRY_CTX(layout_origin_decode(buf_span(&req.data), &out->origin, err), err, "%s", key);
    out->facts.newest_parent = out->origin.parent;
    out->facts.newest_fork = out->origin.fork_txid;
    (void)snprintf(out->facts.newest_host, sizeof out->facts.newest_host, "%s", out->origin.host);
    return RC_OK;
}

static bool is_own_run(const struct lineage_facts *f, const struct nonce *run)
{
    if (f->found == LOCAL_STATE_NONE)
        return false;
    for (size_t i = 0; i < f->local->run_count; i++) {
        if (nonce_equal(&f->local->runs[i], run))
            return true;
    }
    return false;
}

/* --- its log --------------------------------------------------------------------------------------------------------
 */

/* The newest timeline's log, from about our position on, as a catalog of its own. */
struct log_part {
    struct catalog catalog;
    struct catalog_timeline timeline;
    size_t log_room, fold_room;
};

static void log_part_fini(struct log_part *p)
{
    mem_free(p->timeline.logs);
    mem_free(p->timeline.folds);
    *p = (struct log_part){0};
}

static struct rc grow(void *array, size_t count, size_t *room, size_t size, struct err *err)
{
    if (!mem_grow(array, count, room, size))
        return rc_raise(err, E_NOMEM, "list the log: no memory for %zu keys", count);
    return RC_OK;
}

static struct rc add_key(struct log_part *p, const struct store_entry *e, struct err *err)
{
    struct catalog_timeline *t = &p->timeline;
    struct layout_key key = layout_parse(e->key);

    if (key.kind == LAYOUT_LOG) {
        TRY(grow(&t->logs, t->log_count, &p->log_room, sizeof *t->logs, err));
        t->logs[t->log_count++] = (struct catalog_log){key.txid, e->size};
    } else if (key.kind == LAYOUT_FOLD) {
        TRY(grow(&t->folds, t->fold_count, &p->fold_room, sizeof *t->folds, err));
        t->folds[t->fold_count++] = (struct catalog_fold){key.txid, key.last_txid, e->size};
    }
    return RC_OK;
}

static struct rc list_keys(
    struct log_part *p, struct work *w, struct store *s, const char *prefix, const char *behind, struct err *err)
{
    layout_text after;
    bool more = true;

    (void)snprintf(after, sizeof after, "%s", behind);
    while (more) {
        CLEANUP(store_req_fini) struct store_req req;

        TRY(list_page(w, s, &req, prefix, after, false, err));
        for (size_t i = 0; i < req.entry_count; i++)
            TRY(add_key(p, &req.entries[i], err));
        more = req.more && req.entry_count > 0;
        if (more)
            (void)snprintf(after, sizeof after, "%s", req.entries[req.entry_count - 1].key);
    }
    return RC_OK;
}

static struct rc list_log(struct log_part *p, struct work *w, struct store *s, uint64_t after_txid, struct err *err)
{
    uint32_t timeline = p->timeline.number;
    layout_text prefix, after = "";

    layout_log_prefix(prefix, timeline);
    if (after_txid > LOOK_BACK)
        layout_log(after, timeline, after_txid - LOOK_BACK);
    TRY(list_keys(p, w, s, prefix, after, err));
    if (p->timeline.log_count == 0 && after[0] != 0)
        TRY(list_keys(p, w, s, prefix, "", err));
    after[0] = 0;
    layout_fold_prefix(prefix, timeline);
    if (after_txid > FOLD_BACK)
        layout_fold(after, timeline, after_txid - FOLD_BACK, 0);
    return list_keys(p, w, s, prefix, after, err);
}

static void set_tip(struct db_survey *out, const struct seg_info *info)
{
    const struct seg_commit *last = &info->commits[info->commit_count - 1];

    out->facts.tip_txid = last->txid;
    out->facts.tip_checksum = last->checksum;
    out->facts.tip_time_ms = last->time_ms;
    out->facts.newest_is_ours = is_own_run(&out->facts, &info->pack.writer);
}

/* The last segment, and whether a seal stands behind it. */
static struct rc read_tip(
    struct db_survey *out, struct work *w, struct store *s, const struct log_part *log, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    size_t count = 0;

    out->facts.tip_txid = out->origin.fork_txid;
    out->facts.tip_checksum = out->origin.fork_checksum;
    out->facts.tip_time_ms = out->origin.time_ms;
    out->facts.newest_is_ours = out->facts.origin_is_ours;
    TRY(catalog_route(&log->catalog, log->timeline.number, &steps, &count, err));
    for (size_t i = count; i > 0; i--) {
        CLEANUP(catalog_object_fini) struct catalog_object object = {0};

        TRY(catalog_read_one(&object, w, s, &steps[i - 1], steps[i - 1].last_txid, err));
        if (!object.sealed) {
            set_tip(out, seg_dec_info(object.segment));
            return RC_OK;
        }
        out->facts.newest_sealed = true;
        (void)snprintf(out->facts.newest_host, sizeof out->facts.newest_host, "%s", object.seal.owner);
    }
    return RC_OK;
}

/* --- behind our position --------------------------------------------------------------------------------------------
 */

struct note_pages {
    struct bitmap *pages;
    struct err *err;
    bool failed;
};

static void on_page(void *ctx, size_t commit_index, uint32_t pgno)
{
    struct note_pages *n = ctx;

    (void)commit_index;
    if (!n->failed)
        n->failed = rc_failed(bitmap_add(n->pages, pgno, n->err));
}

static struct rc note_parts(struct db_survey *out, struct work *w, struct store *s, struct catalog_object *object,
    struct note_pages *note, struct err *err)
{
    const struct seg_info *info = seg_dec_info(object->segment);

    for (size_t i = 0; i < info->part_count; i++) {
        CLEANUP(store_req_fini) struct store_req req;
        layout_text key;

        layout_part(key, out->facts.newest, info->base_txid + 1, &info->pack.writer, (uint32_t)i);
        store_req_init(&req, STORE_GET, key, NULL, NULL);
        TRY_CTX(work_store(w, s, &req, err), err, "%s", key);
        TRY_CTX(seg_dec_pages_part(object->segment, buf_span(&req.data), on_page, note, err), err, "%s", key);
    }
    TRY(seg_dec_pages_tail(object->segment, on_page, note, err));
    return note->failed ? rc_of(err) : RC_OK;
}

static struct rc note_segment(
    struct db_survey *out, struct work *w, struct store *s, struct catalog_object *object, struct err *err)
{
    struct note_pages note = {.pages = out->pages, .err = err};
    const struct seg_info *info = seg_dec_info(object->segment);
    uint64_t *grown;

    if (!is_own_run(&out->facts, &info->pack.writer)) {
        out->facts.foreign_after = true;
        (void)nonce_format(&info->pack.writer, out->facts.foreign_run);
        return RC_OK;
    }
    if (out->checksum_count == 0)
        out->base_checksum = info->base_checksum;
    if (out->checksum_count + info->commit_count > BEHIND_MAX)
        return rc_raise(err, E_NOMEM, "the replica is more than %d commits ahead of the local state", BEHIND_MAX);
    grown = mem_resize(out->checksums, out->checksum_count + info->commit_count, sizeof *grown);
    if (grown == NULL)
        return rc_raise(err, E_NOMEM, "remember the commits behind our position");
    out->checksums = grown;
    for (size_t i = 0; i < info->commit_count; i++)
        out->checksums[out->checksum_count++] = info->commits[i].checksum;
    out->page_count = info->commits[info->commit_count - 1].page_count;
    return note_parts(out, w, s, object, &note, err);
}

/* Segments that begin behind the local position.  They chain: the first begins at it, each next one behind the last. */
static struct rc read_behind(
    struct db_survey *out, struct work *w, struct store *s, const struct log_part *log, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    CLEANUP(catalog_read_freep) struct catalog_read *r = NULL;
    const uint64_t local = out->facts.local->pos.txid;
    size_t count = 0, begin = 0;

    out->pages = bitmap_new();
    TRY(catalog_route(&log->catalog, log->timeline.number, &steps, &count, err));
    while (begin < count && steps[begin].first_txid <= local
           && (!catalog_step_is_fold(&steps[begin]) || steps[begin].last_txid <= local))
        begin++;
    r = catalog_read_new(w, s, steps + begin, count - begin);
    while (!out->facts.foreign_after) {
        CLEANUP(catalog_object_fini) struct catalog_object object = {0};
        uint64_t first;
        bool end = false;
        size_t at;

        TRY(catalog_read_next(r, &object, &at, &end, err));
        if (end)
            break;
        first = object.sealed ? object.seal.txid : seg_dec_info(object.segment)->base_txid + 1;
        if (first <= local)
            continue; /* of the fold that our position lies in */
        if (first != local + 1 + out->checksum_count)
            return rc_raise(err, E_CORRUPT, "timeline %u has a hole before txid %llu", out->facts.newest,
                (unsigned long long)first);
        if (!object.sealed)
            TRY(note_segment(out, w, s, &object, err));
    }
    return RC_OK;
}

/* Is the local position a commit of this history? */
struct find_commit {
    uint64_t txid, checksum;
    bool found;
    uint32_t timeline;
    int64_t time_ms;
};

static bool on_position(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    struct find_commit *f = ctx;

    (void)segment;
    if (commit->txid == f->txid)
        f->found = commit->checksum == f->checksum;
    return commit->txid < f->txid;
}

static struct rc check_on_path(struct db_survey *out, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *catalog = NULL;
    const struct pos *pos = &out->facts.local->pos;
    struct find_commit find = {.txid = pos->txid, .checksum = pos->checksum};

    TRY(catalog_load(&catalog, w, s, err));
    if (catalog_timeline(catalog, pos->timeline) == NULL)
        return RC_OK;
    TRY(catalog_commits(catalog, w, s, pos->timeline, pos->txid, on_position, &find, err));
    out->facts.local_on_path = find.found;
    return RC_OK;
}

/* What the replica says about the state at the local position; where it says nothing, that is right. */
static uint64_t checksum_there(const struct db_survey *s)
{
    const struct pos *pos = &s->facts.local->pos;

    if (s->facts.local->restored || s->facts.newest_sealed || s->facts.foreign_after)
        return pos->checksum;
    if (s->checksum_count > 0)
        return s->base_checksum;
    return s->facts.tip_txid == pos->txid ? s->facts.tip_checksum : pos->checksum;
}

/* --- all of it
 * ---------------------------------------------------------------------------------------------------------- */

static struct rc survey_newest(struct db_survey *out, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(log_part_fini) struct log_part log = {0};
    struct lineage_facts *f = &out->facts;
    bool known = f->found == LOCAL_STATE_GOOD && f->local->pos.page_count > 0
                 && nonce_equal(&f->local->database, &out->identity.database);
    bool here = known && f->local->pos.timeline == f->newest;

    TRY(read_origin(out, w, s, err));
    f->origin_is_ours = is_own_run(f, &out->origin.writer);
    log.timeline.number = log.timeline.origin.timeline = f->newest; /* without a parent: its own log alone */
    log.catalog = (struct catalog){.timelines = &log.timeline, .timeline_count = 1};
    TRY(list_log(&log, w, s, here ? f->local->pos.txid : 0, err));
    TRY(read_tip(out, w, s, &log, err));
    if (here
        && !f->local->restored) /* a restored position may lie inside a segment; it never reads on, but takes over */
        TRY(read_behind(out, w, s, &log, err));
    if (here && f->local->pos.checksum != checksum_there(out)) {
        f->found = LOCAL_STATE_BROKEN; /* an index of another state would drop pages as unchanged */
        here = known = false;
    }
    if (known && (!here || f->newest_sealed || f->local->restored || f->foreign_after))
        TRY(check_on_path(out, w, s, err));
    return RC_OK;
}

struct rc db_survey_run(struct db_survey *out, struct work *w, struct store *s, const char *path,
    enum local_state_found found, const struct local_state_content *local, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct rc rc;

    *out = (struct db_survey){.facts = {.path = path, .url = s->url, .found = found, .local = local}};
    store_req_init(&req, STORE_GET, LAYOUT_IDENTITY, NULL, NULL);
    rc = work_store(w, s, &req, err);
    if (rc.code == E_NOTFOUND)
        return RC_OK;
    TRY_CTX(rc, err, "%s", LAYOUT_IDENTITY);
    TRY_CTX(layout_identity_decode(buf_span(&req.data), &out->identity, err), err, "%s", LAYOUT_IDENTITY);
    out->facts.has_history = true;
    out->facts.database = out->identity.database;
    TRY(find_newest(out, w, s, err));
    if (out->facts.newest == 0)
        return RC_OK;
    TRY_CTX(survey_newest(out, w, s, err), err, "look at the replica");
    return RC_OK;
}

void db_survey_fini(struct db_survey *s)
{
    mem_free(s->checksums);
    bitmap_free(s->pages);
    *s = (struct db_survey){0};
}

static bool on_any_commit(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    struct find_commit *f = ctx;

    if (commit->checksum == f->checksum) { /* the latest one counts */
        f->found = true;
        f->txid = commit->txid;
        f->timeline = segment->timeline;
        f->time_ms = commit->time_ms;
    }
    return true;
}

struct rc db_survey_find_file(
    struct db_survey *s, struct work *w, struct store *store, uint64_t checksum, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *catalog = NULL;
    struct find_commit find = {.checksum = checksum};
    struct lineage_facts *f = &s->facts;

    f->file_hashed = true;
    f->file_checksum = checksum;
    if (checksum == f->tip_checksum && f->tip_txid > 0) {
        f->file_timeline = f->newest;
        f->file_txid = f->tip_txid;
        f->file_time_ms = f->tip_time_ms;
        return RC_OK;
    }
    TRY(catalog_load(&catalog, w, store, err));
    TRY(catalog_commits(catalog, w, store, f->newest, 1, on_any_commit, &find, err));
    if (find.found) {
        f->file_timeline = find.timeline;
        f->file_txid = find.txid;
        f->file_time_ms = find.time_ms;
    }
    return RC_OK;
}
