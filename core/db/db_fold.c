/* SPDX-License-Identifier: Apache-2.0 */
#include "db_fold.h"

#include "alloc.h"
#include "db_sync.h"
#include "fold.h"
#include "slog.h"

#include <assert.h>
#include <string.h>

enum { RETRY_BASE_MS = 2000, RETRY_MAX_MS = 600000 };

static bool wanted(const struct db *db)
{
    return db->settings->fold_count >= 2 && !db->fold.off;
}

bool db_fold_wants(const struct db *db, const struct db_segment *s)
{
    return wanted(db) && !s->is_part && s->bytes.size > 0 && s->bytes.size <= FOLD_KEEP_SEGMENT_MAX;
}

/* --- in the lane ------------------------------------------------------------------------------------------------- */

static struct rc open_keep(struct db *db, uint64_t now_ms, struct err *err)
{
    struct db_fold *f = &db->fold;
    CLEANUP(mem_freep) char *dir = mem_printf("%s/fold", db->state_dir);
    struct fold_keep_opts opts = {
        .fs = db->fs,
        .dir = dir,
        .database = db->live->database,
        .timeline = db->live->timeline,
        .count = (unsigned)db->settings->fold_count,
        .delete_after_ms = db->settings->fold_delete_after_ms,
    };

    if (f->keep != NULL && f->timeline == db->live->timeline)
        return RC_OK;
    fold_keep_close(f->keep);
    f->keep = NULL;
    f->timeline = db->live->timeline;
    return fold_keep_open(&f->keep, &opts, now_ms, err);
}

static struct rc take_answer(struct db *db, uint64_t now_ms, struct err *err)
{
    struct db_fold *f = &db->fold;

    switch (f->answer) {
    case DB_FOLD_STORED:
        return fold_keep_folded(f->keep, &f->next, now_ms, err);
    case DB_FOLD_TAKEN:
        return fold_keep_skip(f->keep, &f->next, err);
    case DB_FOLD_DELETED:
        return fold_keep_deleted(f->keep, f->key_count, err);
    case DB_FOLD_FORBIDDEN:
        fold_keep_forbid(f->keep);
        break;
    case DB_FOLD_NONE:
    case DB_FOLD_FAILED:
        break;
    }
    return RC_OK;
}

static void find_due(struct db *db, uint64_t now_ms)
{
    struct db_fold *f = &db->fold;

    if (f->keys == NULL) {
        f->keys = mem_new(DB_FOLD_DELETE_MAX * sizeof *f->keys);
        f->key_list = mem_new(DB_FOLD_DELETE_MAX * sizeof *f->key_list);
        for (size_t i = 0; i < DB_FOLD_DELETE_MAX; i++)
            f->key_list[i] = f->keys[i];
    }
    f->key_count = fold_keep_due(f->keep, now_ms, f->tip_txid, f->keys, DB_FOLD_DELETE_MAX);
}

static struct rc in_lane(struct db *db, struct err *err)
{
    struct db_fold *f = &db->fold;
    uint64_t now_ms = clock_mono_ms(db->clock);
    bool any = false;

    TRY(open_keep(db, now_ms, err));
    TRY(take_answer(db, now_ms, err));
    for (const struct db_segment *s = db->step.acknowledged; s != NULL; s = s->next) {
        if (s->is_part || s->bytes.size == 0)
            continue;
        TRY(fold_keep_add(f->keep, buf_span(&s->bytes), now_ms, err));
        any = true;
    }
    if (f->may_begin) {
        f->key_count = 0;
        TRY(fold_keep_next(f->keep, &db->live->run, &f->next, err));
        if (f->next.level == 0 && any)
            find_due(db, now_ms);
    }
    f->first_txid = fold_keep_first_txid(f->keep);
    return RC_OK;
}

void db_fold_in_lane(struct db *db)
{
    struct db_fold *f = &db->fold;

    if (!wanted(db) || !rc_failed(in_lane(db, &f->error)))
        return;
    f->failed = true;
    f->first_txid = 0;
    fold_keep_drop(f->keep);
    f->keep = NULL;
}

/* --- the loop's part ---------------------------------------------------------------------------------------------- */

static void done(struct db_fold *f, enum db_fold_answer answer)
{
    struct db *db = f->req.ctx;

    store_req_fini(&f->req);
    buf_fini(&f->next.object);
    f->in_flight = false;
    f->got = answer;
    if (answer == DB_FOLD_FAILED) {
        f->next.level = 0;
        f->retry_ms = clock_mono_ms(db->clock) + backoff_next_ms(&f->backoff);
    } else {
        backoff_reset(&f->backoff);
        f->trouble.code = E_OK;
    }
    if (db->state == DB_RUNNING)
        db_sync_kick(db);
}

/* A request that is lost once is nothing that a person must know of. */
static void note_failure(struct db *db, const struct err *err)
{
    struct db_fold *f = &db->fold;
    bool known = f->trouble.code != E_OK;

    if (err->code == E_CANCELED || (rc_retryable(err->code) && f->backoff.failure_count == 0))
        return;
    f->trouble = *err;
    if (!known)
        LOG_WARN("folding fails, will try again; single segments stay until then", F_STR("db", db->settings->path),
            F_ERR(err));
}

/* The same segments, whoever wrapped them? */
static bool same_segments(struct span a, struct span b)
{
    struct fold x, y = {0};
    struct err ignored;
    bool same;

    if (rc_failed(fold_decode(a, &x, &ignored)))
        return false;
    same =
        !rc_failed(fold_decode(b, &y, &ignored)) && x.timeline == y.timeline && x.count == y.count
        && a.size - x.rows[0].offset == b.size - y.rows[0].offset
        && memcmp(a.data + x.rows[0].offset, b.data + y.rows[0].offset, a.size - x.rows[0].offset - PACK_TRAILER_SIZE)
               == 0;
    for (size_t i = 0; same && i < x.count; i++)
        same = x.rows[i].last_txid == y.rows[i].last_txid && x.rows[i].size == y.rows[i].size
               && x.rows[i].first_txid == y.rows[i].first_txid;
    fold_fini(&x);
    fold_fini(&y);
    return same;
}

static void stored(struct db *db)
{
    struct db_fold *f = &db->fold;

    f->fold_count++;
    f->folded_bytes += f->next.object.size;
    LOG_DEBUG("folded", F_STR("db", db->settings->path), F_U64("first_txid", f->next.first_txid),
        F_U64("last_txid", f->next.last_txid), F_U64("bytes", f->next.object.size));
    done(f, DB_FOLD_STORED);
}

static void on_read_back(struct store_req *req)
{
    struct db *db = req->ctx;
    struct db_fold *f = &db->fold;
    struct err err;

    if (rc_failed(store_result(req, &err))) {
        note_failure(db, &err);
        done(f, DB_FOLD_FAILED);
    } else if (same_segments(buf_span(&req->data), buf_span(&f->next.object))) {
        stored(db);
    } else {
        LOG_WARN("another object has the key of a fold; its segments stay as they are", F_STR("db", db->settings->path),
            F_STR("key", req->key));
        done(f, DB_FOLD_TAKEN);
    }
}

static void on_put(struct store_req *req)
{
    struct db *db = req->ctx;
    struct db_fold *f = &db->fold;
    struct err err;
    struct rc rc = store_result(req, &err);

    if (rc.code == E_EXISTS) {
        layout_text key;

        memcpy(key, req->key, sizeof key);
        store_req_fini(req);
        store_req_init(req, STORE_GET, key, on_read_back, db);
        req->once = true;
        store_submit(db->store, req);
    } else if (rc_failed(rc)) {
        note_failure(db, &err);
        done(f, DB_FOLD_FAILED);
    } else {
        stored(db);
    }
}

static void put(struct db *db)
{
    struct db_fold *f = &db->fold;
    layout_text key;

    layout_fold(key, f->next.timeline, f->next.first_txid, f->next.last_txid);
    store_req_init(&f->req, STORE_PUT, key, on_put, db);
    f->req.body = buf_span(&f->next.object);
    f->req.create_only = true;
    f->req.once = true; /* a later step tries again */
    f->in_flight = true;
    store_submit(db->store, &f->req);
}

static void on_deleted(struct store_req *req)
{
    struct db *db = req->ctx;
    struct db_fold *f = &db->fold;
    struct err err;
    struct rc rc = store_result(req, &err);

    if (rc.code == E_DENIED || rc.code == E_UNSUPPORTED) {
        if (!f->told_forbidden)
            LOG_INFO("folded segments stay: nothing can be deleted in the replica", F_STR("db", db->settings->path),
                F_ERR(&err));
        f->told_forbidden = true;
        done(f, DB_FOLD_FORBIDDEN);
    } else if (rc_failed(rc)) {
        note_failure(db, &err);
        done(f, DB_FOLD_FAILED);
    } else {
        f->deleted_count += f->key_count;
        done(f, DB_FOLD_DELETED);
    }
}

static void delete_due(struct db *db)
{
    struct db_fold *f = &db->fold;

    store_req_init(&f->req, STORE_DELETE_MANY, "", on_deleted, db);
    f->req.keys = f->key_list;
    f->req.key_count = f->key_count;
    f->req.once = true;
    f->in_flight = true;
    store_submit(db->store, &f->req);
}

void db_fold_before(struct db *db)
{
    struct db_fold *f = &db->fold;
    const struct shipper *s = &db->shipper;

    f->backoff.base_ms = RETRY_BASE_MS;
    f->backoff.max_ms = RETRY_MAX_MS;
    if (f->off && clock_mono_ms(db->clock) >= f->off_ms) {
        f->again = true;
        f->off = f->failed = false;
    }
    f->answer = f->got;
    f->got = DB_FOLD_NONE;
    f->tip_txid = db->shipped_txid;
    f->may_begin = db->state == DB_RUNNING && !f->in_flight && f->next.object.size == 0 && s->last_error.code == E_OK
                   && !s->fenced && s->spooled_count == 0 && !db->spooling && clock_mono_ms(db->clock) >= f->retry_ms;
}

void db_fold_after(struct db *db)
{
    struct db_fold *f = &db->fold;

    if (f->failed && !f->off) {
        LOG_WARN("segments cannot be kept for folds, will try again later; single ones stay until then",
            F_STR("db", db->settings->path), F_ERR(&f->error));
        f->trouble = f->error;
        f->off_ms = clock_mono_ms(db->clock) + backoff_next_ms(&f->backoff); /* a full disk may have room again */
    } else if (f->again && !f->failed) {
        f->trouble.code = E_OK;
    }
    f->again = false;
    f->off = f->failed;
    db->shipper.fold_first_txid = f->first_txid;
    if (f->in_flight || !f->may_begin)
        return;
    if (db->state != DB_RUNNING || db->shipper.fenced || f->off) {
        buf_fini(&f->next.object);
        f->next.level = 0;
        f->key_count = 0;
    } else if (f->next.object.size > 0) {
        put(db);
    } else if (f->key_count > 0) {
        delete_due(db);
    }
}

void db_fold_started(struct db *db)
{
    db->fold.trouble.code = E_OK; /* until it fails again */
    db->fold.off = db->fold.failed = false;
}

void db_fold_close(struct db *db)
{
    struct db_fold *f = &db->fold;

    fold_keep_close(f->keep);
    f->keep = NULL;
    if (f->in_flight)
        return; /* what the request borrows; db_fold_close() comes once more behind the store */
    buf_fini(&f->next.object);
    mem_free(f->keys);
    mem_free(f->key_list);
    f->keys = NULL;
    f->key_list = NULL;
}
