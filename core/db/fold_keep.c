/* SPDX-License-Identifier: Apache-2.0 */
#include "fold_keep.h"

#include "alloc.h"
#include "fold.h"
#include "fold_keep_intern.h"
#include "seg.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* --- what is kept ------------------------------------------------------------------------------------------------- */

static void throw_away(struct fold_keep *k, bool is_fold, uint64_t first, uint64_t last, uint64_t since_ms)
{
    if (!k->forbidden && k->trash_count < FOLD_KEEP_TRASH_MAX)
        k->trash[k->trash_count++] = (struct fold_keep_waste){is_fold, first, last, since_ms};
}

static void forget_members(struct fold_keep *k, size_t count)
{
    for (size_t i = 0; i < count; i++)
        k->bytes -= k->members[i].place.size;
    memmove(k->members, k->members + count, (k->member_count - count) * sizeof *k->members);
    k->member_count -= count;
}

/* Members [from, to) are in a small fold. */
static void mark_small(struct fold_keep *k, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct fold_keep_member *m = &k->members[i];

        m->small_first = k->members[from].first_txid;
        m->small_last = k->members[to - 1].last_txid;
        throw_away(k, false, m->first_txid, m->last_txid, m->since_ms);
    }
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static struct rc write_trash(struct fold_keep *k, struct err *err)
{
    for (size_t i = 0; i < k->trash_count; i++) {
        const struct fold_keep_waste *w = &k->trash[i];

        TRY(fold_file_note(
            k->file, w->is_fold ? FOLD_FILE_OLD_FOLD : FOLD_FILE_OLD_SEGMENT, w->first_txid, w->last_txid, err));
    }
    return RC_OK;
}

/* What is known of the members; those in small folds are in the trash already. */
static struct rc write_marks(struct fold_keep *k, struct err *err)
{
    for (size_t i = 0; i < k->member_count; i++) {
        const struct fold_keep_member *m = &k->members[i];

        if (m->small_last != 0 && m->small_last == m->last_txid)
            TRY(fold_file_note(k->file, FOLD_FILE_AGAIN, m->small_first, m->small_last, err));
        if (m->alone)
            TRY(fold_file_note(k->file, FOLD_FILE_ALONE, m->first_txid, m->last_txid, err));
    }
    return RC_OK;
}

/* Begin a new file with what is left. */
static struct rc rewrite(struct fold_keep *k, struct err *err)
{
    struct fold_file *old = k->file;
    struct rc rc = RC_OK;

    TRY(fold_file_create(&k->file, k->opts.fs, k->dir, &k->opts.database, k->opts.timeline, err));
    for (size_t i = 0; i < k->member_count && !rc_failed(rc); i++) {
        CLEANUP(buf_fini) struct buf bytes;
        struct fold_keep_member *m = &k->members[i];

        buf_init(&bytes, FOLD_KEEP_SEGMENT_MAX);
        rc = fold_file_read(old, &m->place, &bytes, err);
        if (!rc_failed(rc))
            rc = fold_file_add(k->file, m->first_txid, m->last_txid, m->time_ms, buf_span(&bytes), &m->place, err);
    }
    fold_file_close(old);
    TRY(rc);
    TRY(write_marks(k, err));
    TRY(write_trash(k, err));
    return fold_file_publish(k->file, err);
}

/* --- what an earlier process left --------------------------------------------------------------------------------- */

static void on_segment(struct fold_keep *k, const struct fold_file_record *r, uint64_t now_ms)
{
    const struct fold_keep_member *last = k->member_count > 0 ? &k->members[k->member_count - 1] : NULL;

    if (k->member_count == FOLD_KEEP_MEMBERS_MAX || (last != NULL && r->first_txid <= last->last_txid))
        forget_members(k, k->member_count);
    k->members[k->member_count++] = (struct fold_keep_member){.first_txid = r->first_txid,
        .last_txid = r->last_txid,
        .time_ms = r->time_ms,
        .since_ms = now_ms,
        .place = r->place};
    k->bytes += r->place.size;
}

static void on_small(struct fold_keep *k, const struct fold_file_record *r, bool again)
{
    size_t from = 0, to, trash = k->trash_count;

    while (from < k->member_count && k->members[from].first_txid != r->first_txid)
        from++;
    for (to = from; to < k->member_count && k->members[to].last_txid <= r->last_txid; to++)
        continue;
    if (to == from || k->members[to - 1].last_txid != r->last_txid)
        return;
    mark_small(k, from, to);
    if (again)
        k->trash_count = trash;
}

static void on_alone(struct fold_keep *k, const struct fold_file_record *r)
{
    for (size_t i = 0; i < k->member_count; i++)
        if (k->members[i].first_txid >= r->first_txid && k->members[i].last_txid <= r->last_txid)
            k->members[i].alone = true;
}

static void on_deleted(struct fold_keep *k, uint64_t count)
{
    size_t n = count < k->trash_count ? (size_t)count : k->trash_count;

    memmove(k->trash, k->trash + n, (k->trash_count - n) * sizeof *k->trash);
    k->trash_count -= n;
}

static void take_record(struct fold_keep *k, const struct fold_file_record *r, uint64_t now_ms)
{
    switch (r->type) {
    case FOLD_FILE_SEGMENT:
        on_segment(k, r, now_ms);
        break;
    case FOLD_FILE_SMALL:
    case FOLD_FILE_AGAIN:
        on_small(k, r, r->type == FOLD_FILE_AGAIN);
        break;
    case FOLD_FILE_ALONE:
        on_alone(k, r);
        break;
    case FOLD_FILE_OLD_SEGMENT:
    case FOLD_FILE_OLD_FOLD:
        throw_away(k, r->type == FOLD_FILE_OLD_FOLD, r->first_txid, r->last_txid, now_ms);
        break;
    case FOLD_FILE_DELETED:
        on_deleted(k, r->first_txid);
        break;
    }
}

/* Alone, or in a small fold that no large one will have: done with. */
static size_t finished_count(const struct fold_keep *k)
{
    size_t n = 0;
    struct fold_keep_range large = fold_keep_range_large(k);

    if (large.smalls == 1 && large.closed)
        return large.to;
    while (n < k->member_count && k->members[n].alone)
        n++;
    return n;
}

static struct rc tidy(struct fold_keep *k, struct err *err)
{
    bool any = false;

    for (size_t n = finished_count(k); n > 0; n = finished_count(k)) {
        forget_members(k, n);
        any = true;
    }
    return any ? rewrite(k, err) : RC_OK;
}

static struct rc load(struct fold_keep *k, uint64_t now_ms, struct err *err)
{
    struct fold_file_record r;
    bool end = false;

    TRY(fold_file_open(&k->file, k->opts.fs, k->dir, &k->opts.database, k->opts.timeline, err));
    for (;;) {
        TRY(fold_file_next(k->file, &r, &end, err));
        if (end)
            return RC_OK;
        take_record(k, &r, now_ms);
    }
}

struct rc fold_keep_open(struct fold_keep **out, const struct fold_keep_opts *opts, uint64_t now_ms, struct err *err)
{
    struct fold_keep *k = mem_new(sizeof *k);
    struct rc rc;

    assert(opts->count >= 2);
    assert(opts->count <= FOLD_KEEP_COUNT_MAX);
    k->opts = *opts;
    k->opts.dir = k->dir = mem_strdup(opts->dir);
    k->members = mem_new(FOLD_KEEP_MEMBERS_MAX * sizeof *k->members);
    k->trash = mem_new(FOLD_KEEP_TRASH_MAX * sizeof *k->trash);
    rc = load(k, now_ms, err);
    if (rc.code == E_CORRUPT || rc.code == E_NOTFOUND) {
        fold_file_close(k->file);
        k->file = NULL;
        k->member_count = k->trash_count = 0;
        k->bytes = 0;
        rc = rewrite(k, err);
    }
    if (rc_failed(rc)) {
        fold_keep_close(k);
        return rc_wrap(err, "keep segments for folds");
    }
    *out = k;
    return RC_OK;
}

void fold_keep_close(struct fold_keep *k)
{
    if (k == NULL)
        return;
    fold_file_close(k->file);
    mem_free(k->members);
    mem_free(k->trash);
    mem_free(k->dir);
    mem_free(k);
}

void fold_keep_drop(struct fold_keep *k)
{
    if (k == NULL)
        return;
    fold_file_remove(k->opts.fs, k->dir);
    fold_keep_close(k);
}

/* --- one more ----------------------------------------------------------------------------------------------------- */

static struct rc keep(
    struct fold_keep *k, const struct seg_info *info, struct span segment, uint64_t now_ms, struct err *err)
{
    const struct seg_commit *last = &info->commits[info->commit_count - 1];
    struct fold_keep_member m = {
        .first_txid = info->base_txid + 1, .last_txid = last->txid, .time_ms = last->time_ms, .since_ms = now_ms};
    bool behind = k->member_count == 0 || m.first_txid > k->members[k->member_count - 1].last_txid;

    if (!behind || k->member_count == FOLD_KEEP_MEMBERS_MAX || k->bytes + segment.size > FOLD_KEEP_BYTES_MAX) {
        forget_members(k, k->member_count);
        TRY(rewrite(k, err));
    }
    TRY(fold_file_add(k->file, m.first_txid, m.last_txid, m.time_ms, segment, &m.place, err));
    k->members[k->member_count++] = m;
    k->bytes += segment.size;
    return RC_OK;
}

struct rc fold_keep_add(struct fold_keep *k, struct span segment, uint64_t now_ms, struct err *err)
{
    CLEANUP(seg_dec_freep) struct seg_dec *d = NULL;
    const struct seg_info *info;

    if (segment.size > FOLD_KEEP_SEGMENT_MAX)
        return RC_OK;
    TRY_CTX(seg_dec_open(&d, segment, err), err, "keep a segment for folds");
    info = seg_dec_info(d);
    if (info->part_count > 0 || info->timeline != k->opts.timeline
        || !nonce_equal(&info->pack.database, &k->opts.database))
        return RC_OK;
    TRY_CTX(keep(k, info, segment, now_ms, err), err, "keep a segment for folds");
    return RC_OK;
}

/* --- folds -------------------------------------------------------------------------------------------------------- */

static struct rc append(struct fold_keep *k, const struct fold_keep_member *m, struct buf *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;

    buf_init(&bytes, FOLD_KEEP_SEGMENT_MAX);
    TRY(fold_file_read(k->file, &m->place, &bytes, err));
    buf_put(out, bytes.data, bytes.size);
    return buf_check(out, "fold", err);
}

static struct rc encode(
    struct fold_keep *k, struct fold_keep_range r, const struct nonce *run, struct buf *out, struct err *err)
{
    struct fold f = {.pack = {.database = k->opts.database, .writer = *run}, .timeline = k->opts.timeline};
    CLEANUP(mem_freep) struct fold_row *rows = mem_new((r.to - r.from) * sizeof *rows);

    f.rows = rows;
    for (size_t i = r.from; i < r.to; i++) {
        const struct fold_keep_member *m = &k->members[i];

        rows[f.count++] = (struct fold_row){m->first_txid, m->last_txid, m->time_ms, 0, m->place.size};
    }
    TRY(fold_begin(&f, out, err));
    for (size_t i = r.from; i < r.to; i++)
        TRY(append(k, &k->members[i], out, err));
    return fold_end(&f, out, err);
}

/* Runs of one stay as they are. */
static struct rc leave_alone(struct fold_keep *k, struct fold_keep_range r, struct err *err)
{
    struct fold_keep_member *m = &k->members[r.from];

    m->alone = true;
    TRY(fold_file_note(k->file, FOLD_FILE_ALONE, m->first_txid, m->last_txid, err));
    return tidy(k, err);
}

struct rc fold_keep_next(struct fold_keep *k, const struct nonce *run, struct fold_keep_next *out, struct err *err)
{
    struct fold_keep_range r = fold_keep_range_small(k);
    unsigned level = 1;

    *out = (struct fold_keep_next){0};
    for (; r.closed && r.to - r.from == 1; r = fold_keep_range_small(k))
        TRY(leave_alone(k, r, err));
    TRY(tidy(k, err));
    r = fold_keep_range_large(k);
    if (r.closed)
        level = 2;
    else
        r = fold_keep_range_small(k);
    if (!r.closed)
        return RC_OK;
    *out = (struct fold_keep_next){.timeline = k->opts.timeline,
        .first_txid = k->members[r.from].first_txid,
        .last_txid = k->members[r.to - 1].last_txid};
    buf_init(&out->object, FOLD_OBJECT_MAX);
    struct rc rc = encode(k, r, run, &out->object, err);

    if (rc_failed(rc)) {
        buf_fini(&out->object);
        return rc_wrap(err, "fold of txid %" PRIu64 " to %" PRIu64, out->first_txid, out->last_txid);
    }
    out->level = level;
    return RC_OK;
}

/* Is this still what is due?  Something else may have been begun since. */
static bool is_due(const struct fold_keep *k, const struct fold_keep_next *f, struct fold_keep_range *r)
{
    *r = f->level == 2 ? fold_keep_range_large(k) : fold_keep_range_small(k);
    return f->timeline == k->opts.timeline && r->to > r->from && k->members[r->from].first_txid == f->first_txid
           && k->members[r->to - 1].last_txid == f->last_txid;
}

struct rc fold_keep_folded(struct fold_keep *k, const struct fold_keep_next *f, uint64_t now_ms, struct err *err)
{
    struct fold_keep_range r;

    if (!is_due(k, f, &r))
        return RC_OK;
    if (f->level == 1) {
        mark_small(k, r.from, r.to);
        return fold_file_note(k->file, FOLD_FILE_SMALL, f->first_txid, f->last_txid, err);
    }
    for (size_t i = r.from; i < r.to; i++)
        if (k->members[i].last_txid == k->members[i].small_last)
            throw_away(k, true, k->members[i].small_first, k->members[i].small_last, now_ms);
    forget_members(k, r.to);
    k->sweep = true;
    return rewrite(k, err);
}

struct rc fold_keep_skip(struct fold_keep *k, const struct fold_keep_next *f, struct err *err)
{
    struct fold_keep_range r;

    if (!is_due(k, f, &r))
        return RC_OK;
    for (size_t i = r.from; i < r.to; i++)
        k->members[i].alone = true;
    TRY(fold_file_note(k->file, FOLD_FILE_ALONE, f->first_txid, f->last_txid, err));
    if (f->level == 2)
        forget_members(k, r.to);
    return f->level == 2 ? rewrite(k, err) : tidy(k, err);
}

/* --- deletion ----------------------------------------------------------------------------------------------------- */

static bool old_enough(const struct fold_keep *k, const struct fold_keep_waste *w, uint64_t now_ms, uint64_t tip_txid)
{
    return now_ms >= w->since_ms + k->opts.delete_after_ms && w->last_txid < tip_txid;
}

size_t fold_keep_due(struct fold_keep *k, uint64_t now_ms, uint64_t tip_txid, layout_text *keys, size_t max)
{
    const size_t many = k->opts.count * k->opts.count / 4;
    size_t n = 0;

    while (n < k->trash_count && n < max && old_enough(k, &k->trash[n], now_ms, tip_txid))
        n++;
    if (n == 0 || (n < many && !k->sweep))
        return 0;
    for (size_t i = 0; i < n; i++) {
        const struct fold_keep_waste *w = &k->trash[i];

        if (w->is_fold)
            layout_fold(keys[i], k->opts.timeline, w->first_txid, w->last_txid);
        else
            layout_log(keys[i], k->opts.timeline, w->first_txid);
    }
    return n;
}

struct rc fold_keep_deleted(struct fold_keep *k, size_t count, struct err *err)
{
    on_deleted(k, count);
    k->sweep = false;
    return fold_file_note(k->file, FOLD_FILE_DELETED, count, count, err);
}

void fold_keep_forbid(struct fold_keep *k)
{
    k->forbidden = true;
    k->trash_count = 0;
}

/* --- for others --------------------------------------------------------------------------------------------------- */

uint64_t fold_keep_first_txid(const struct fold_keep *k)
{
    return k->member_count > 0 ? k->members[0].first_txid : 0;
}

size_t fold_keep_member_count(const struct fold_keep *k)
{
    return k->member_count;
}

size_t fold_keep_trash_count(const struct fold_keep *k)
{
    return k->trash_count;
}
