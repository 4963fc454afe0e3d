/* SPDX-License-Identifier: Apache-2.0 */
#include "import.h"

#include "catalog.h"
#include "conflict.h"
#include "fence.h"
#include "import_snap.h"
#include "strx.h"
#include "timeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct import {
    struct work *work;
    struct store *store;
    const struct import_opts *opts;
    struct import_report *report;
    struct catalog *catalog; /* owned; NULL: nothing is there */
    struct nonce database, run;
    struct pos tip; /* what the file's state comes after; txid 0: nothing */
    uint32_t newest;
    bool newest_sealed;
};

/* --- what is there -------------------------------------------------------------------------------------------------
 */

static bool holds_anything(const struct catalog *c)
{
    for (size_t i = 0; i < c->timeline_count; i++)
        if (c->timelines[i].log_count > 0 || c->timelines[i].fold_count > 0 || c->timelines[i].number > 1)
            return true;
    return false;
}

/* The end of the newest timeline: its tip, or where it leaves its parent. */
static struct rc find_tip(struct import *m, struct err *err)
{
    const struct catalog_timeline *t = catalog_newest(m->catalog);

    m->newest = t->number;
    TRY(catalog_load_tip(m->catalog, m->work, m->store, t->number, err));
    m->newest_sealed = t->sealed;
    m->tip = (struct pos){.txid = t->tip_txid, .time_ms = t->tip_time_ms, .checksum = t->tip_checksum};
    if (t->tip_txid > 0)
        return RC_OK;
    if (t->origin.timeline == 0)
        return rc_raise(err, E_CORRUPT, "timeline %" PRIu32 " of %s has no commit and its document is damaged",
            t->number, m->store->url);
    m->tip = (struct pos){.txid = t->origin.fork_txid, .checksum = t->origin.fork_checksum};
    return RC_OK;
}

static struct rc refuse_history(struct import *m, struct err *err)
{
    char database[NONCE_TEXT_SIZE], time[STRX_TIME_SIZE];
    struct err ignored;
    struct rc rc = find_tip(m, &ignored);

    (void)nonce_format(&m->catalog->identity.database, database);
    if (rc_failed(rc) || m->tip.time_ms == 0)
        return rc_raise(err, E_EXISTS,
            "there is a history at %s already (database %s, timeline %" PRIu32
            "): import to another URL, or make this file its next state with --next",
            m->store->url, database, catalog_newest(m->catalog)->number);
    return rc_raise(err, E_EXISTS,
        "there is a history at %s already (database %s, timeline %" PRIu32 ", newest commit txid %" PRIu64
        " of %s): import to another URL, or make this file its next state with --next",
        m->store->url, database, m->newest, m->tip.txid, strx_format_time(m->tip.time_ms, time));
}

static struct rc look(struct import *m, bool next, struct err *err)
{
    struct rc rc = catalog_load(&m->catalog, m->work, m->store, err);
    bool anything;

    if (rc_failed(rc) && rc.code != E_NOTFOUND)
        return rc;
    anything = m->catalog != NULL && holds_anything(m->catalog);
    if (next && !anything)
        return rc_raise(err, E_NOTFOUND,
            "there is no history at %s that this file could be the next state of: leave "
            "--next out to begin one",
            m->store->url);
    if (anything && !next)
        return refuse_history(m, err);
    if (m->catalog != NULL && m->catalog->identity.format == 0 && m->catalog->timeline_count > 0)
        return rc_raise(err, E_CORRUPT, "%s/%s is missing or damaged", m->store->url, LAYOUT_IDENTITY);
    if (anything)
        return find_tip(m, err);
    m->newest = m->catalog != NULL && m->catalog->timeline_count > 0 ? 1 : 0;
    return RC_OK;
}

struct rc import_check(struct work *w, struct store *s, bool next, struct err *err)
{
    struct import m = {.work = w, .store = s};
    struct rc rc = look(&m, next, err);

    catalog_free(m.catalog);
    return rc;
}

/* --- a place for it ------------------------------------------------------------------------------------------------
 */

static struct rc probe(struct import *m, struct err *err)
{
    enum fence fence = FENCE_UNKNOWN;
    const char *weakness;

    if (!store_may_lack_conditions(m->store))
        return RC_OK;
    TRY(fence_probe(m->work, m->store, &fence, err));
    weakness = fence_weakness(fence);
    if (weakness == NULL)
        return RC_OK;
    (void)snprintf(m->report->warning, sizeof m->report->warning,
        "%s cannot keep a second writer out (%.500s): see to it that only one runs", m->store->url, weakness);
    store_without_conditions(m->store);
    return RC_OK;
}

static struct rc claim(struct import *m, uint32_t timeline, uint32_t parent, struct err *err)
{
    struct layout_origin origin = {
        .timeline = timeline,
        .parent = parent,
        .fork_txid = m->tip.txid,
        .fork_checksum = m->tip.checksum,
        .database = m->database,
        .writer = m->run,
        .time_ms = m->report->time_ms,
    };

    timeline_sign(&origin, m->opts->name);
    return timeline_create(m->work, m->store, &origin, err);
}

static struct rc begin_history(struct import *m, struct err *err)
{
    struct layout_identity id = {0};
    bool created;

    TRY(timeline_identity(
        m->work, m->store, plain_db_page_size(m->opts->source), m->report->time_ms, &id, &created, err));
    m->database = id.database;
    m->report->timeline = 1;
    return m->newest == 0 ? claim(m, 1, 0, err) : RC_OK;
}

static struct rc go_on(struct import *m, struct err *err)
{
    m->database = m->catalog->identity.database;
    if (!m->newest_sealed)
        TRY(timeline_seal(
            m->work, m->store, &m->database, &m->run, m->newest, m->tip.txid + 1, m->report->time_ms, err));
    m->report->timeline = m->newest + 1;
    return claim(m, m->newest + 1, m->newest, err);
}

/* --- the state -----------------------------------------------------------------------------------------------------
 */

/* A segment with one commit and no pages: the state of this txid is in a snapshot. */
static struct rc encode_mark(const struct import *m, struct buf *out, struct err *err)
{
    const struct import_report *r = m->report;
    struct seg_enc_opts opts = {
        .database = m->database,
        .writer = m->run,
        .timeline = r->timeline,
        .page_size = r->page_size,
        .base_txid = m->tip.txid,
        .base_checksum = m->tip.checksum,
    };
    struct seg_commit commit = {
        .txid = r->txid,
        .time_ms = r->time_ms,
        .page_count = r->page_count,
        .flags = SEG_SNAPSHOT,
        .checksum = r->checksum,
    };
    CLEANUP(seg_enc_freep) struct seg_enc *e = seg_enc_new(&opts);

    TRY(seg_enc_commit(e, &commit, err));
    return seg_enc_finish(e, out, err);
}

static struct rc put_mark(struct import *m, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    CLEANUP(store_req_fini) struct store_req there;
    CLEANUP(buf_fini) struct buf mark;
    layout_text key;
    struct rc rc;

    buf_init(&mark, SEG_OBJECT_MAX);
    layout_log(key, m->report->timeline, m->report->txid);
    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    store_req_init(&there, STORE_GET, key, NULL, NULL);
    TRY(encode_mark(m, &mark, err));
    req.body = buf_span(&mark);
    req.create_only = true;
    rc = work_store(m->work, m->store, &req, err);
    if (rc.code != E_EXISTS)
        return rc_failed(rc) ? rc_wrap(err, "ship %s", key) : RC_OK;
    TRY_CTX(work_store(m->work, m->store, &there, err), err, "%s", key);
    if (there.data.size == mark.size && memcmp(there.data.data, mark.data, mark.size) == 0)
        return RC_OK; /* our own: the first answer got lost */
    return conflict_explain(key, buf_span(&there.data), err);
}

static struct rc put_state(struct import *m, struct err *err)
{
    struct import_report *r = m->report;
    struct snap_meta meta = {
        .database = m->database,
        .writer = m->run,
        .timeline = r->timeline,
        .txid = r->txid,
        .time_ms = r->time_ms,
        .page_size = r->page_size,
    };

    TRY(import_snap_put(m->work, m->store, m->opts, &meta, &r->stored_bytes, err));
    r->page_count = meta.page_count;
    r->checksum = meta.checksum;
    return put_mark(m, err);
}

static struct rc run(struct import *m, struct err *err)
{
    struct import_report *r = m->report;

    TRY(look(m, m->opts->next, err));
    TRY(probe(m, err));
    r->txid = m->tip.txid + 1;
    r->page_size = plain_db_page_size(m->opts->source);
    r->time_ms = clock_wall_ms(m->opts->clock);
    if (r->time_ms < m->tip.time_ms) /* times never fall, whatever the clock does */
        r->time_ms = m->tip.time_ms;
    TRY(m->opts->next ? go_on(m, err) : begin_history(m, err));
    return put_state(m, err);
}

struct rc import_run(
    struct work *w, struct store *s, const struct import_opts *opts, struct import_report *report, struct err *err)
{
    struct import m = {.work = w, .store = s, .opts = opts, .report = report, .run = nonce_new()};
    struct rc rc;

    *report = (struct import_report){0};
    rc = run(&m, err);
    catalog_free(m.catalog);
    return rc;
}
