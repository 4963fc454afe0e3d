/* SPDX-License-Identifier: Apache-2.0 */
#include "db_live.h"

#include "alloc.h"
#include "db_live_note.h"
#include "wal_reset.h"

#include <errno.h>
#include <string.h>

enum {
    RESET_PAUSE_MIN_MS = 10,
    RESET_PAUSE_MAX_MS = 100,   /* a log in use can grow by 100 MB in a second */
    READER_PAUSE_MAX_MS = 5000, /* a long reader may stay for hours */
    RESET_HOLD_US = 10000,      /* to start over a log of the usual size; writers wait */
    NEAR_END_FRAMES = 500,
    HOLD_LOG_SIZE = 64 << 20,
    HOLD_US = 10000,         /* at that size; more in proportion to the log ... */
    HOLD_MAX_US = 50000,     /* ... up to this */
    LET_THROUGH_US = 150000, /* SQLite's busy handler tries again every 100 ms at the latest */
};

void db_live_free_segment(struct db_segment *s)
{
    if (s == NULL)
        return;
    buf_fini(&s->bytes);
    mem_free(s);
}

static struct db_segment *segment_new(size_t max)
{
    struct db_segment *s = mem_new(sizeof *s);

    buf_init(&s->bytes, max);
    return s;
}

/* --- what the capture tells us ------------------------------------------------------------------------------ */

static struct rc on_page(void *ctx, uint32_t pgno, uint64_t hash, struct err *err)
{
    struct db_live *l = ctx;

    if (l->changed != NULL)
        TRY(bitmap_add(l->changed, pgno, err));
    return l->local != NULL ? local_state_page(l->local, pgno, hash, err) : RC_OK;
}

/* A part of the open segment is complete: it waits for the loop to take it. */
static struct rc on_block(void *ctx, struct err *err)
{
    struct db_live *l = ctx;

    for (;;) {
        struct db_segment *s = segment_new(SEG_OBJECT_MAX);

        if (!seg_enc_take_part(l->enc, &s->bytes, &s->part_number)) {
            db_live_free_segment(s);
            return RC_OK;
        }
        struct rc rc = buf_check(&s->bytes, "part of a segment", err);

        if (rc_failed(rc)) {
            db_live_free_segment(s);
            return rc;
        }
        s->is_part = true;
        s->first_txid = l->open_base_txid + 1;
        *l->parts_last = s;
        l->parts_last = &s->next;
        l->parts_waiting++;
        l->open_parts++;
    }
}

bool db_live_has_room(const struct db_live *l)
{
    return l->parts_waiting < DB_LIVE_PARTS_MAX;
}

static bool has_room(void *ctx)
{
    return db_live_has_room(ctx);
}

void db_live_part_done(struct db_live *l)
{
    l->parts_waiting--;
}

/* --- attach and detach --------------------------------------------------------------------------------------- */

struct rc db_live_open(struct db_live **out, const struct fsys *fs, const struct clock *clock, const char *path,
    bool may_switch, bool *absent, struct err *err)
{
    struct db_live *l = mem_new(sizeof *l);
    enum wal_conn_outcome outcome = WAL_CONN_ABSENT;
    struct rc rc;

    l->fs = fs;
    l->clock = clock;
    l->parts_last = &l->parts;
    l->hashes = page_hash_new();
    rc = wal_conn_open(&l->conn, fs, path, may_switch, &outcome, err);
    *absent = outcome == WAL_CONN_ABSENT;
    if (!rc_failed(rc) && !*absent)
        rc = wal_gate_close(l->conn, err);
    if (rc_failed(rc) || *absent) {
        db_live_close(l, false);
        return rc;
    }
    *out = l;
    return RC_OK;
}

void db_live_close(struct db_live *l, bool tidy)
{
    struct err ignored;

    if (l == NULL)
        return;
    if (tidy && l->conn != NULL && wal_conn_alone(l->conn))
        rc_ignore(wal_conn_checkpoint(l->conn, &ignored), "the log is there and whole; the next opener copies it");
    if (l->conn != NULL && l->reader != NULL && wal_reader_broken(l->reader))
        wal_conn_let_go(l->conn);
    wal_reader_close(l->reader);
    if (l->conn != NULL && l->conn->gate_held)
        wal_gate_open(l->conn);
    wal_conn_close(l->conn);
    wal_capture_fini(&l->cap);
    seg_enc_free(l->enc);
    page_hash_free(l->hashes);
    while (l->parts != NULL) {
        struct db_segment *next = l->parts->next;

        db_live_free_segment(l->parts);
        l->parts = next;
    }
    mem_free(l);
}

static struct seg_enc_opts enc_opts(const struct db_live *l, uint64_t txid, uint64_t checksum)
{
    return (struct seg_enc_opts){
        .database = l->database,
        .writer = l->run,
        .timeline = l->timeline,
        .page_size = l->conn->page_size,
        .base_txid = txid,
        .base_checksum = checksum,
    };
}

static void set_base(struct db_live *l, const struct seg_enc_opts *opts)
{
    l->open_base_txid = opts->base_txid;
    l->open_base_checksum = opts->base_checksum;
    l->open_begin = l->cap.frame_count;
    l->open_parts = 0;
}

struct rc db_live_follow(struct db_live *l, const struct wal_resume *how, const struct pos *pos, struct err *err)
{
    struct seg_enc_opts opts = enc_opts(l, pos->txid, pos->checksum);

    wal_reader_close(l->reader);
    l->reader = NULL;
    TRY(wal_reader_open(&l->reader, l->conn, how, err));
    seg_enc_free(l->enc);
    wal_capture_fini(&l->cap);
    l->enc = seg_enc_new(&opts);
    set_base(l, &opts);
    l->cap = (struct wal_capture){
        .reader = l->reader,
        .hashes = l->hashes,
        .enc = l->enc,
        .clock = l->clock,
        .on_page = on_page,
        .on_block = on_block,
        .has_room = has_room,
        .ctx = l,
        .txid = pos->txid,
        .time_ms = pos->time_ms,
        .pos = pos->wal,
        .image_count = page_hash_count(l->hashes),
    };
    l->open_begin = 0;
    l->safe = pos->wal;
    return RC_OK;
}

struct rc db_live_begin_segment(struct db_live *l, uint64_t base_txid, uint64_t base_checksum, struct err *err)
{
    struct seg_enc_opts opts = enc_opts(l, base_txid, base_checksum);

    if (seg_enc_commit_count(l->enc) > 0 || seg_enc_pending(l->enc) > 0)
        return rc_raise(err, E_BUG, "a segment is open already");
    seg_enc_reset(l->enc, &opts);
    set_base(l, &opts);
    return RC_OK;
}

bool db_live_discard(struct db_live *l)
{
    struct seg_enc_opts opts = enc_opts(l, l->open_base_txid, l->open_base_checksum);

    if (l->open_parts > 0)
        return false;
    seg_enc_reset(l->enc, &opts);
    return true;
}

struct rc db_live_page_count(struct db_live *l, uint32_t *out, struct err *err)
{
    struct stat st;

    if (wal_reader_log_frames(l->reader) > 0 && wal_reader_page_count(l->reader) > 0) {
        *out = wal_reader_page_count(l->reader);
        return RC_OK;
    }
    if (l->fs->fstat(l->fs, l->conn->db_fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", l->conn->path);
    *out = (uint32_t)((uint64_t)st.st_size / l->conn->page_size);
    return RC_OK;
}

struct pos db_live_pos(const struct db_live *l)
{
    return (struct pos){
        .timeline = l->timeline,
        .txid = l->cap.txid,
        .time_ms = l->cap.time_ms,
        .checksum = page_hash_checksum(l->hashes),
        .page_size = l->conn->page_size,
        .page_count = page_hash_count(l->hashes),
        .wal = l->cap.pos,
    };
}

/* --- the segment ------------------------------------------------------------------------------------------------ */

struct rc db_live_finish(struct db_live *l, struct db_segment **out, struct err *err)
{
    struct seg_enc_opts opts;
    struct db_segment *s;
    struct rc rc;

    *out = NULL;
    if (seg_enc_commit_count(l->enc) == 0 || l->cap.inside)
        return RC_OK;
    s = segment_new(SEG_OBJECT_MAX);
    s->first_txid = l->open_base_txid + 1;
    s->commit_count = seg_enc_commit_count(l->enc);
    s->raw_bytes = seg_enc_raw_size(l->enc);
    s->pos = db_live_pos(l);
    s->mark = l->local != NULL ? local_state_mark(l->local) : 0;
    rc = seg_enc_finish(l->enc, &s->bytes, err);
    if (rc_failed(rc)) {
        db_live_free_segment(s);
        return rc;
    }
    opts = enc_opts(l, s->pos.txid, s->pos.checksum);
    seg_enc_reset(l->enc, &opts);
    set_base(l, &opts);
    *out = s;
    return RC_OK;
}

static void hand_over_parts(struct db_live *l, struct db_step *step)
{
    step->ready = l->parts;
    l->parts = NULL;
    l->parts_last = &l->parts;
}

static struct rc finish_if_due(struct db_live *l, struct db_step *step, struct err *err)
{
    size_t commits = seg_enc_commit_count(l->enc);
    bool due = step->due || (step->commit_limit > 0 && commits >= step->commit_limit)
               || seg_enc_stored_size(l->enc) >= DB_LIVE_SEGMENT_SIZE || l->hold || l->quiesce;
    struct db_segment **end = &step->ready;

    if (!due || !step->may_finish)
        return RC_OK;
    while (*end != NULL)
        end = &(*end)->next;
    return db_live_finish(l, end, err);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

/* The longer the log, the larger our share: where weir gets little of the processor a fixed one would not do. */
static uint32_t hold_us(const struct db_live *l)
{
    uint64_t log_bytes = (uint64_t)wal_reader_log_frames(l->reader) * l->conn->page_size;
    uint64_t us = log_bytes / (HOLD_LOG_SIZE / HOLD_US);

    return us > HOLD_MAX_US ? HOLD_MAX_US : (uint32_t)us;
}

static uint32_t reset_hold_us(const struct db_live *l)
{
    return hold_us(l) > RESET_HOLD_US ? hold_us(l) : RESET_HOLD_US;
}

static struct rc copy_rest(void *ctx, bool *all, struct err *err)
{
    struct db_live *l = ctx;
    enum wal_reader_state state;

    TRY(wal_capture_step(&l->cap, reset_hold_us(l) / 2, &state, err));
    *all = state == WAL_READER_QUIET && wal_reader_caught_up(l->reader);
    return RC_OK;
}

/* A crash behind the reset finds its way by the old log's end (wal_resume.h), as long as the new one has not come up to
 * the place that we know.  So that is to be far along, and not at the log's begin. */
static bool is_safe_here(const struct db_live *l)
{
    return l->safe.valid && memcmp(l->safe.salt, l->cap.pos.salt, sizeof l->safe.salt) == 0;
}

static bool may_reset(const struct db_live *l)
{
    return !l->careful || (is_safe_here(l) && l->safe.frame >= DB_LIVE_RESET_FRAMES / 2)
           || wal_reader_broken(l->reader);
}

static struct rc reset_log(struct db_live *l, struct err *err)
{
    enum wal_reset_outcome outcome;
    const char *reason = NULL;
    uint64_t now = clock_mono_us(l->clock);
    uint32_t longest;

    bool wanted = wal_reader_log_frames(l->reader) >= DB_LIVE_RESET_FRAMES || wal_reader_broken(l->reader);

    if (!wanted || now < l->reset_due_us || !may_reset(l))
        return RC_OK;
    TRY(wal_reset_try(l->conn, copy_rest, l, reset_hold_us(l), &outcome, &reason, err));
    if (outcome == WAL_RESET_DONE) {
        l->reset_count++;
        l->reset_pause_ms = 0;
        l->reset_due_us = 0;
        l->reset_obstacle = NULL;
        return RC_OK;
    }
    longest = outcome == WAL_RESET_READER ? READER_PAUSE_MAX_MS : RESET_PAUSE_MAX_MS;
    l->reset_obstacle = reason;
    l->reset_pause_ms = l->reset_pause_ms == 0 ? RESET_PAUSE_MIN_MS : l->reset_pause_ms * 2;
    if (l->reset_pause_ms > longest)
        l->reset_pause_ms = longest;
    l->reset_due_us = clock_mono_us(l->clock) + l->reset_pause_ms * 1000ULL;
    return RC_OK;
}

/* Busy writers never let the reader quite reach the end; what is left then can be copied while they are held off. */
static bool near_end(const struct db_live *l)
{
    uint32_t end = wal_reader_log_frames(l->reader), at = wal_reader_pos(l->reader)->frame;

    return wal_reader_follows(l->reader) && end - at <= NEAR_END_FRAMES;
}

/* Writers who outrun us share the time with us once the log is long: it stays bounded, and nobody waits for more than
 * this. */
static struct rc catch_up_held(struct db_live *l, enum wal_reader_state *state, struct err *err)
{
    uint64_t log_bytes = (uint64_t)wal_reader_log_frames(l->reader) * l->conn->page_size;
    struct rc rc;

    if (log_bytes < HOLD_LOG_SIZE || near_end(l) || !db_live_has_room(l) || !wal_reset_hold_writers(l->conn))
        return RC_OK;
    rc = wal_capture_step(&l->cap, hold_us(l), state, err);
    wal_reset_release_writers(l->conn);
    return rc;
}

static struct rc capture(struct db_live *l, struct db_step *step, struct err *err)
{
    uint64_t frames = l->cap.frame_count;

    TRY(wal_capture_step(&l->cap, DB_LIVE_STEP_US, &step->state, err));
    if (step->state == WAL_READER_MORE)
        TRY(catch_up_held(l, &step->state, err));
    if (step->state == WAL_READER_QUIET && (!l->careful || is_safe_here(l) || seg_enc_commit_count(l->enc) == 0))
        TRY(wal_reset_tend_gate(l->conn, l->reader, LET_THROUGH_US, err));
    if (step->state == WAL_READER_QUIET || (step->state == WAL_READER_MORE && near_end(l))) {
        TRY(reset_log(l, err));
        TRY(wal_capture_step(&l->cap, DB_LIVE_STEP_US, &step->state, err));
    }
    step->frame_count = l->cap.frame_count - frames;
    return RC_OK;
}

/* --- how far is enough ----------------------------------------------------------------------------------------------
 */

/* The commit counter goes on over resets, so a busy writer cannot move the goal. */
static void set_goal(struct db_live *l, const struct db_step *step)
{
    struct wal_index_header h;

    l->has_goal = l->has_goal || step->want_goal;
    if (!l->has_goal || l->goal_known)
        return;
    l->goal_known = wal_index_read(l->conn->shm, &h);
    if (l->goal_known)
        l->goal = h.change_count;
}

static bool at_goal(const struct db_live *l, const struct db_step *step)
{
    const struct wal_pos *at = &l->cap.pos;

    if (l->cap.inside)
        return false;
    return step->state == WAL_READER_QUIET
           || (l->goal_known && at->change_count != 0 && (int32_t)(at->change_count - l->goal) >= 0);
}

static void look_at_goal(struct db_live *l, struct db_step *step)
{
    if (l->has_goal && !step->paused && at_goal(l, step)) {
        step->goal_reached = true;
        l->has_goal = l->goal_known = false;
        l->enough = step->stopping;
    }
    step->enough = l->enough;
}

struct rc db_live_step(struct db_live *l, struct db_step *step, struct err *err)
{
    step->state = WAL_READER_MORE; /* nobody may take the log for read to its end while capturing is paused */
    db_live_note_acknowledged(l, step);
    if (step->to_spool)
        db_live_note_spooled(l, step, step->waiting);
    step->paused = l->hold || l->quiesce || l->enough;
    set_goal(l, step);
    l->cap.to_commit = step->stopping;
    l->careful = step->careful;
    if (!step->paused)
        TRY(capture(l, step, err));
    look_at_goal(l, step);
    hand_over_parts(l, step);
    if (step->state == WAL_READER_LOST)
        step->due = step->may_finish =
            true; /* what was read before is whole and exact: ship it before the comparison */
    TRY(finish_if_due(l, step, err));
    if (step->to_spool && step->spool_err.code == E_OK)
        db_live_note_spooled(l, step, step->ready);
    step->spool_bytes = l->spool != NULL ? spool_bytes(l->spool) : 0;
    step->txid = l->cap.txid;
    step->time_ms = l->cap.time_ms;
    step->log_frames = wal_reader_log_frames(l->reader);
    step->open_commits = seg_enc_commit_count(l->enc);
    step->open_frames = l->cap.frame_count - l->open_begin;
    step->open_bytes = seg_enc_stored_size(l->enc);
    step->open_is_old = l->safe.valid && l->safe.frame > 0 && !is_safe_here(l);
    step->reset_count = l->reset_count;
    step->reset_obstacle = l->reset_obstacle;
    step->break_count = wal_reader_breaks(l->reader);
    return RC_OK;
}

static struct rc absorbed(const struct db_live *l, enum wal_reader_state state, bool *end, struct err *err)
{
    if (state == WAL_READER_LOST)
        return rc_raise(err, E_BUSY, "%s: the log was reset behind our back", l->conn->path);
    *end = state == WAL_READER_QUIET;
    return RC_OK;
}

struct rc db_live_absorb(struct db_live *l, bool *end, struct err *err)
{
    struct db_step step = {0};

    TRY(capture(l, &step, err));
    return absorbed(l, step.state, end, err);
}

struct rc db_live_absorb_commit(struct db_live *l, bool *end, struct err *err)
{
    enum wal_reader_state state;
    struct rc rc;

    l->cap.to_commit = true;
    rc = wal_capture_step(&l->cap, DB_LIVE_STEP_US, &state, err);
    l->cap.to_commit = false;
    TRY(rc);
    return absorbed(l, state, end, err);
}
