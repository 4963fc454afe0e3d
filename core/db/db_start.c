/* SPDX-License-Identifier: Apache-2.0 */
#include "db_start.h"

#include "alloc.h"
#include "catalog.h"
#include "conflict.h"
#include "db_copy.h"
#include "db_lost.h"
#include "db_park.h"
#include "db_replica.h"
#include "db_snap.h"
#include "shipper.h"
#include "slog.h"

#include <string.h>

/* What the steps of one start share. */
struct story {
    struct db_start *s;
    struct db_live *l;
    struct local_state_content local;
    enum local_state_found found;
    struct db_survey survey;
    struct lineage_decision decision;
    struct nonce run;
};

/* --- shipping while nobody else does ------------------------------------------------------------------------------ */

static void segment_freep(struct db_segment **s)
{
    db_live_free_segment(*s);
}

/* The key was taken: by our own earlier try, or by somebody else. */
static struct rc check_taken(struct story *t, const char *key, const struct db_segment *seg, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;

    store_req_init(&req, STORE_GET, key, NULL, NULL);
    TRY_CTX(work_store(t->s->work, t->s->store, &req, err), err, "%s", key);
    if (req.data.size == seg->bytes.size && memcmp(req.data.data, seg->bytes.data, req.data.size) == 0)
        return RC_OK;
    return seg->is_part ? conflict_explain_part(key, err) : conflict_explain(key, buf_span(&req.data), err);
}

/* Takes the segment. */
static struct rc ship(void *ctx, struct db_segment *segment, struct err *err)
{
    struct story *t = ctx;
    CLEANUP(segment_freep) struct db_segment *seg = segment;
    CLEANUP(store_req_fini) struct store_req req;
    layout_text key;
    struct rc rc;

    if (seg->is_part)
        layout_part(key, t->l->timeline, seg->first_txid, &t->run, seg->part_number);
    else
        layout_log(key, t->l->timeline, seg->first_txid);
    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    if (!seg->is_part && t->s->look_at_ms > 0 && clock_mono_ms(t->s->clock) >= t->s->look_at_ms)
        TRY(ship_look_wait(t->s->work, t->s->store, t->l->timeline, seg->first_txid, err));
    req.body = buf_span(&seg->bytes);
    req.create_only = true;
    rc = work_store(t->s->work, t->s->store, &req, err);
    if (rc.code == E_EXISTS)
        return check_taken(t, key, seg, err);
    TRY_CTX(rc, err, "ship %s", key);
    return RC_OK;
}

/* --- the local state
 * -------------------------------------------------------------------------------------------------- */

static void add_run(struct story *t)
{
    struct local_state_content *c = &t->local;

    if (c->run_count == LOCAL_STATE_RUNS_MAX) {
        memmove(c->runs, c->runs + 1, (LOCAL_STATE_RUNS_MAX - 1) * sizeof c->runs[0]);
        c->run_count--;
    }
    c->runs[c->run_count++] = t->run;
}

/* Our state is now `pos`, with the index in memory. */
static struct rc save_state(struct story *t, const struct pos *pos, struct err *err)
{
    t->local.database = t->l->database;
    t->local.pos = *pos;
    t->local.restored = t->local.chosen = t->local.followed = false;
    t->l->local = t->s->local; /* what changes from here on is noted there */
    return local_state_checkpoint(t->s->local, &t->local, t->l->hashes, err);
}

/* Before any object carries our run's nonce it is on disk, so that a later start knows its own work. */
static struct rc record_run(struct story *t, const struct nonce *database, struct err *err)
{
    bool usable = t->found == LOCAL_STATE_GOOD && nonce_equal(&t->local.database, database) && !t->s->adopt;
    CLEANUP(page_hash_freep) struct page_hash *nothing = NULL;

    if (usable) {
        add_run(t);
        return local_state_add_run(t->s->local, &t->run, err);
    }
    if (t->found == LOCAL_STATE_NONE || !nonce_equal(&t->local.database, database))
        t->local.run_count = 0;
    nothing = page_hash_new();
    add_run(t);
    t->local.database = *database;
    t->local.pos = (struct pos){0};
    t->local.restored = t->local.chosen = t->local.followed = false;
    return local_state_checkpoint(t->s->local, &t->local, nothing, err);
}

/* --- beginnings
 * --------------------------------------------------------------------------------------------------------- */

static struct rc claim(
    struct story *t, uint32_t timeline, uint32_t parent, uint64_t fork, uint64_t checksum, struct err *err)
{
    struct layout_origin origin = {
        .timeline = timeline,
        .parent = parent,
        .fork_txid = fork,
        .fork_checksum = checksum,
        .database = t->l->database,
        .writer = t->run,
        .time_ms = clock_wall_ms(t->s->clock),
    };

    timeline_sign(&origin, t->s->path);
    TRY(timeline_create(t->s->work, t->s->store, &origin, err));
    t->l->timeline = timeline;
    LOG_INFO("timeline begun", F_STR("db", t->s->path), F_U64("timeline", timeline), F_U64("parent", parent),
        F_U64("fork_txid", fork));
    return RC_OK;
}

/* Seal the newest timeline and begin the next one. */
static struct rc take_over(struct story *t, struct err *err)
{
    const struct lineage_facts *f = &t->survey.facts;

    if (!f->newest_sealed)
        TRY(timeline_seal(t->s->work, t->s->store, &t->l->database, &t->run, f->newest, f->tip_txid + 1,
            clock_wall_ms(t->s->clock), err));
    return claim(t, f->newest + 1, t->decision.parent, t->decision.fork, t->decision.fork_checksum, err);
}

/* Read the log from its present generation's start; the index says nothing yet. */
static struct rc follow_anew(struct story *t, const struct pos *pos, struct err *err)
{
    struct wal_resume anew = {.how = WAL_RESUME_COMPARE};

    return db_live_follow(t->l, &anew, pos, err);
}

/* For merges that build on this snapshot; without it the next one is a snapshot, too. */
static void keep_index(struct story *t, struct db_snap *snap, const struct pos *pos)
{
    const struct merge_base_info info = {
        .database = t->l->database,
        .pos = *pos,
        .snapshot_txid = pos->txid,
        .snapshot_time_ms = pos->time_ms,
        .snapshot_bytes = snap->stored_bytes,
    };

    if (snap->stage_err.code == E_OK)
        rc_ignore(merge_base_adopt(t->s->fs, snap->dir, MERGE_BASE_LEVELS, &info, snap->entries_hash, &snap->stage_err),
            "told below");
    if (snap->stage_err.code != E_OK)
        LOG_WARN("the index for merges cannot be kept", F_STR("db", t->s->path), F_ERR(&snap->stage_err));
}

/* A full snapshot as txid base + 1, and the mark in the log that says so. */
static struct rc snapshot_as_next(struct story *t, const struct pos *base, struct err *err)
{
    struct db_snap snap = {.work = t->s->work,
        .store = t->s->store,
        .live = t->l,
        .lane = -1,
        .first = true,
        .stop = t->s->stop,
        .dir = t->s->state_dir};
    struct db_segment *mark;
    struct pos pos;

    TRY(follow_anew(t, base, err));
    TRY(db_snap_run(&snap, base->txid + 1, err));
    t->l->cap.enc = t->l->enc;
    TRY(wal_capture_fold(&t->l->cap, SEG_SNAPSHOT, snap.meta.time_ms, err));
    t->l->cap.absorbing = false;
    TRY(db_live_finish(t->l, &mark, err));
    pos = mark->pos;
    TRY(ship(t, mark, err));
    t->s->took_snapshot = true;
    t->s->snapshot_ms = pos.time_ms;
    keep_index(t, &snap, &pos);
    t->s->shipped = pos;
    LOG_INFO("snapshot taken", F_STR("db", t->s->path), F_U64("txid", pos.txid), F_U64("pages", pos.page_count),
        F_U64("bytes", snap.stored_bytes));
    return save_state(t, &pos, err);
}

static struct rc new_history(struct story *t, struct err *err)
{
    struct layout_identity id = t->survey.identity;
    struct pos zero = {0};
    bool created;

    TRY(timeline_identity(
        t->s->work, t->s->store, t->l->conn->page_size, clock_wall_ms(t->s->clock), &id, &created, err));
    t->l->database = id.database;
    TRY(record_run(t, &id.database, err));
    if (t->survey.facts.newest == 0)
        TRY(claim(t, 1, 0, 0, 0, err));
    t->l->timeline = t->survey.facts.newest == 0 ? 1 : t->survey.facts.newest;
    return snapshot_as_next(t, &zero, err);
}

/* --- going on
 * ------------------------------------------------------------------------------------------------------------ */

/* The comparison cannot say whether commits were made or lost meanwhile; the history may. */
static void tell_if_lost(const struct story *t, uint64_t checksum, uint64_t tip_txid)
{
    uint64_t txid = 0;
    struct err why;

    if (rc_failed(db_lost_find(t->s->work, t->s->store, t->l->timeline, tip_txid, checksum, &txid, &why)))
        LOG_WARN("whether commits were lost could not be found out", F_STR("db", t->s->path), F_ERR(&why));
    else if (txid > 0)
        LOG_WARN("the database was set back and lost commits that were replicated (a crash of the machine?); they stay "
                 "restorable by txid",
            F_STR("db", t->s->path), F_U64("back_at_txid", txid), F_U64("replica_txid", tip_txid));
}

/* Compare every page and ship what differs behind `pos`, which the index holds. */
static struct rc compare(struct story *t, const struct pos *pos, struct err *err)
{
    CLEANUP(local_scrub_fini) struct local_scrub note;
    struct db_copy copy = {.live = t->l, .ship = ship, .ctx = t, .stop = t->s->stop, .known = &note};
    struct pos now = *pos;
    uint64_t mark;

    local_scrub_read(t->s->fs, t->s->state_dir, &note);
    TRY(follow_anew(t, pos, err));
    TRY(db_copy_compare(&copy, err));
    if (copy.left_out > 0)
        LOG_ERROR("pages that are known to be damaged are not taken for a change: the history keeps what was committed",
            F_STR("db", t->s->path), F_U64("pages", copy.left_out));
    if (copy.changed) {
        now = copy.last->pos;
        mark = copy.last->mark;
        LOG_WARN("resynchronised: commits that happened meanwhile cannot be told apart", F_STR("db", t->s->path),
            F_U64("txid", now.txid), F_U64("pages", copy.last->raw_bytes / t->l->conn->page_size),
            F_U64("bytes", copy.bytes));
        tell_if_lost(t, now.checksum, pos->txid);
        TRY(ship(t, copy.last, err));
        t->s->resynced = true;
        t->s->gap = (struct db_gap){
            .after_txid = pos->txid, .after_ms = pos->time_ms, .txid = now.txid, .time_ms = now.time_ms};
    } else {
        now = db_live_pos(t->l);
        mark = local_state_mark(t->s->local);
    }
    t->s->shipped = now;
    return local_state_acknowledge(t->s->local, mark, &now, err);
}

/* The pages that the commits behind our position changed in the replica are unknown here: whatever the file has counts
 * as different. */
static struct rc forget_behind(struct story *t, struct pos *pos, struct err *err)
{
    const struct db_survey *v = &t->survey;
    struct local_state_content content;
    enum local_state_found found;
    uint32_t pgno = 0;

    TRY(local_state_load(t->s->local, &content, t->l->hashes, &found, err));
    if (found != LOCAL_STATE_GOOD)
        return rc_raise(err, E_IO, "%s: the local state could not be read a second time", t->s->path);
    TRY(local_state_checkpoint(t->s->local, &t->local, t->l->hashes, err)); /* drop what the retrace has noted */
    if (v->checksum_count == 0)
        return RC_OK;
    TRY(page_hash_resize(t->l->hashes, v->page_count, err));
    while (bitmap_next(v->pages, pgno, &pgno)) {
        if (pgno != 0 && pgno <= v->page_count)
            TRY(page_hash_set(t->l->hashes, pgno, 0, err));
        pgno++;
    }
    pos->txid = v->facts.tip_txid;
    pos->time_ms = v->facts.tip_time_ms;
    pos->checksum = v->facts.tip_checksum;
    return RC_OK;
}

static struct rc resynchronise(struct story *t, const char *reason, struct err *err)
{
    struct pos pos = t->local.pos;

    pos.timeline = t->l->timeline;
    LOG_INFO("comparing every page", F_STR("db", t->s->path), F_STR("reason", reason));
    TRY(forget_behind(t, &pos, err));
    return compare(t, &pos, err);
}

/* Read our own commits, which the replica has already, once more from the log.  *met: it was all there, and the same.
 */
static struct rc retrace(struct story *t, const struct wal_resume *how, bool *met, struct err *err)
{
    const struct db_survey *v = &t->survey;
    struct wal_capture *cap = &t->l->cap;
    struct pos pos = t->local.pos;
    bool end = false;

    TRY(db_live_follow(t->l, how, &pos, err));
    if (v->checksum_count > 0) {
        TRY(db_live_begin_segment(t->l, v->facts.tip_txid, v->facts.tip_checksum, err));
        cap->retrace_txid = v->facts.tip_txid;
        cap->retrace_first = pos.txid + 1;
        cap->retrace_checksums = v->checksums;
        cap->enc_later = t->l->enc;
        cap->enc = NULL;
    }
    while (!end && cap->retrace_txid != 0 && !cap->diverged) {
        enum wal_reader_state state;

        TRY(wal_capture_step(cap, DB_LIVE_STEP_US, &state, err));
        end = state != WAL_READER_MORE;
    }
    *met = cap->retrace_txid == 0 && !cap->diverged;
    cap->retrace_checksums = NULL;
    if (!*met)
        return RC_OK;
    t->s->shipped = db_live_pos(t->l);
    t->s->shipped.txid = v->checksum_count > 0 ? v->facts.tip_txid : pos.txid;
    t->s->shipped.time_ms = v->checksum_count > 0 ? v->facts.tip_time_ms : pos.time_ms;
    /* Only if nothing of the next transaction was read: its pages are in the index from then on. */
    if (v->checksum_count > 0 && cap->txid == v->facts.tip_txid && !cap->inside)
        return local_state_acknowledge(t->s->local, local_state_mark(t->s->local), &t->s->shipped, err);
    return RC_OK;
}

/* The index is that of our position: find our place in the log. */
static struct rc go_on(struct story *t, struct err *err)
{
    struct wal_resume how;
    bool met;

    t->l->local = t->s->local;
    if (t->s->must_compare)
        return resynchronise(t, "the log has a hole", err);
    TRY(wal_resume_decide(t->l->conn, &t->local.pos.wal, &how, err));
    if (how.how == WAL_RESUME_COMPARE && !db_park_mark_holds(t->s, t->l, &t->local.pos)) {
        if (how.lost_commits)
            LOG_WARN("the database lost commits that were replicated (a crash of the machine?); they stay restorable "
                     "by txid",
                F_STR("db", t->s->path), F_STR("log", how.reason), F_U64("replica_txid", t->survey.facts.tip_txid));
        return resynchronise(t, how.reason, err);
    }
    TRY(retrace(t, &how, &met, err));
    if (met)
        return RC_OK;
    LOG_WARN("the database lacks commits that the replica has (a crash of the machine?); they stay restorable by txid",
        F_STR("db", t->s->path), F_U64("local_txid", t->local.pos.txid),
        F_U64("replica_txid", t->survey.facts.tip_txid));
    return resynchronise(t, "the log does not hold the commits that were shipped last", err);
}

/* --- the decision carried out
 * ------------------------------------------------------------------------------------------ */

static struct rc hash_file(struct story *t, struct err *err)
{
    struct db_copy copy = {.live = t->l, .stop = t->s->stop};
    struct pos zero = {0};

    TRY(follow_anew(t, &zero, err));
    TRY(db_copy_hash(&copy, err));
    return db_survey_find_file(&t->survey, t->s->work, t->s->store, page_hash_checksum(t->l->hashes), err);
}

static struct rc decide(struct story *t, struct err *err)
{
    t->survey.facts.fork = t->s->fork;
    t->survey.facts.adopt = t->s->adopt;
    t->survey.facts.replace_unbegun = t->s->replace_unbegun;
    TRY(lineage_decide(&t->survey.facts, &t->decision, err));
    if (t->decision.action == LINEAGE_HASH_FILE) {
        TRY(hash_file(t, err));
        TRY(lineage_decide(&t->survey.facts, &t->decision, err));
    }
    if (t->decision.note[0] != 0)
        LOG_WARN("lineage", F_STR("db", t->s->path), F_STR("note", t->decision.note));
    return RC_OK;
}

/* A new timeline at a state that the file had when it was hashed, or that the local state knows. */
static struct rc carry_out_take_over(struct story *t, struct err *err)
{
    struct pos pos = t->local.pos;

    if (!t->survey.facts.file_hashed) {
        TRY(take_over(t, err));
        t->local.pos.timeline = t->l->timeline;
        pos.timeline = t->l->timeline;
        TRY(save_state(t, &pos, err));
        t->survey.checksum_count = 0;
        return go_on(t, err);
    }
    TRY(take_over(t, err));
    t->l->cap.txid = t->decision.fork;
    t->l->cap.time_ms = t->survey.facts.file_time_ms;
    TRY(db_live_begin_segment(t->l, t->decision.fork, t->decision.fork_checksum, err));
    t->s->shipped = db_live_pos(t->l);
    return save_state(t, &t->s->shipped, err);
}

static struct rc carry_out(struct story *t, struct err *err)
{
    const struct lineage_facts *f = &t->survey.facts;
    struct pos tip = {.txid = f->tip_txid, .time_ms = f->tip_time_ms, .checksum = f->tip_checksum};

    if (t->decision.action == LINEAGE_NEW_HISTORY)
        return new_history(t, err);
    t->l->database = t->survey.identity.database;
    t->l->timeline = f->newest;
    TRY(record_run(t, &t->l->database, err));
    switch (t->decision.action) {
    case LINEAGE_CONTINUE:
    case LINEAGE_RETRACE:
        t->local.pos.timeline = f->newest;
        return go_on(t, err);
    case LINEAGE_TAKE_OVER:
        return carry_out_take_over(t, err);
    case LINEAGE_RESNAPSHOT:
        return snapshot_as_next(t, &tip, err);
    case LINEAGE_ADOPT:
        TRY(take_over(t, err));
        return snapshot_as_next(t, &tip, err);
    case LINEAGE_NEW_HISTORY:
    case LINEAGE_HASH_FILE:
        break;
    }
    return rc_raise(err, E_BUG, "no such lineage action %d", (int)t->decision.action);
}

static struct rc tell(struct story *t, struct err *err)
{
    struct db_replica replica = {.start = t->s, .live = t->l, .local = &t->local, .survey = &t->survey};
    struct err why = {0};

    TRY(local_state_load(t->s->local, &t->local, t->l->hashes, &t->found, &why));
    if (t->found == LOCAL_STATE_BROKEN)
        LOG_WARN("the local state cannot be trusted", F_STR("db", t->s->path), F_ERR(&why));
    if (t->found == LOCAL_STATE_GOOD && t->local.pos.page_count > 0
        && t->local.pos.page_size != t->l->conn->page_size) {
        LOG_WARN("the page size has changed: another database, or a VACUUM in rollback mode", F_STR("db", t->s->path));
        t->found = LOCAL_STATE_BROKEN;
    }
    replica.found = t->found;
    TRY(db_replica_ask(&replica, err));
    TRY(decide(t, err));
    TRY(carry_out(t, err));
    db_replica_clear_spool(t->s);
    return RC_OK;
}

struct rc db_start_run(struct db_start *s, struct err *err)
{
    struct story t = {.s = s, .run = nonce_new()};
    struct rc rc;

    s->live = NULL;
    TRY(db_park_take_mark(s, err));
    TRY(db_live_open(&t.l, s->fs, s->clock, s->path, s->may_switch, &s->absent, err));
    if (s->absent)
        return RC_OK;
    if (t.l->conn->switched)
        LOG_INFO("switched from rollback mode to WAL mode", F_STR("db", s->path));
    t.l->run = t.run;
    rc = tell(&t, err);
    db_survey_fini(&t.survey);
    if (rc_failed(rc)) {
        db_live_close(t.l, false);
        return rc;
    }
    t.l->content = t.local;
    t.l->content.database = t.l->database;
    s->live = t.l;
    return RC_OK;
}
