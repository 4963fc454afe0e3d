/* SPDX-License-Identifier: Apache-2.0 */
#include "fold.h"

#include "alloc.h"
#include "digest.h"
#include "seg.h"
#include "sorted.h"

#include <inttypes.h>
#include <string.h>

enum { SEGMENT_SIZE_MIN = PACK_HEADER_SIZE + PACK_TRAILER_SIZE, HASH_SIZE = 8 };

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ ((v & 1) != 0 ? UINT64_MAX : 0));
}

/* The rules that hold on both sides. */
static const char *what_is_wrong(const struct fold_row *row)
{
    if (row->time_ms < 0)
        return "a time before 1970";
    if (row->last_txid - row->first_txid >= SEG_COMMIT_COUNT_MAX)
        return "too many commits for one segment";
    if (row->size < SEGMENT_SIZE_MIN || row->size > SEG_OBJECT_MAX)
        return "a size that no segment has";
    return NULL;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static struct rc check_rows(const struct fold *f, struct err *err)
{
    if (f->timeline == 0 || f->count == 0 || f->count > FOLD_SEGMENT_COUNT_MAX)
        return rc_raise(err, E_BUG, "fold of %zu segments of timeline %" PRIu32, f->count, f->timeline);
    for (size_t i = 0; i < f->count; i++) {
        const struct fold_row *row = &f->rows[i];
        const char *wrong = what_is_wrong(row);

        if (wrong == NULL && (row->first_txid == 0 || row->first_txid > row->last_txid))
            wrong = "no commits";
        if (wrong == NULL && i > 0 && row->first_txid != f->rows[i - 1].last_txid + 1)
            wrong = "not behind the one before it";
        if (wrong != NULL)
            return rc_raise(err, E_BUG, "fold: segment at txid %" PRIu64 ": %s", row->first_txid, wrong);
    }
    return RC_OK;
}

struct rc fold_begin(struct fold *f, struct buf *out, struct err *err)
{
    struct pack_header h = f->pack;
    int64_t time = 0;
    uint64_t offset;

    TRY(check_rows(f, err));
    h.kind = PACK_FOLD;
    buf_clear(out);
    pack_put_header(out, &h);
    buf_varint(out, f->timeline);
    buf_varint(out, f->rows[0].first_txid);
    buf_varint(out, f->count);
    for (size_t i = 0; i < f->count; i++) {
        const struct fold_row *row = &f->rows[i];

        buf_varint(out, row->last_txid - row->first_txid + 1);
        buf_varint(out, zigzag(row->time_ms - time));
        buf_varint(out, row->size);
        time = row->time_ms;
    }
    TRY(buf_check(out, "fold", err));
    buf_u64(out, digest_bytes(out->data, out->size));
    TRY(buf_check(out, "fold", err));
    offset = out->size;
    for (size_t i = 0; i < f->count; i++) {
        f->rows[i].offset = offset;
        offset += f->rows[i].size;
    }
    return RC_OK;
}

struct rc fold_end(const struct fold *f, struct buf *out, struct err *err)
{
    const struct fold_row *last = &f->rows[f->count - 1];

    TRY(buf_check(out, "fold", err));
    if (out->size != last->offset + last->size)
        return rc_raise(
            err, E_BUG, "fold of %zu bytes where %" PRIu64 " were announced", out->size, last->offset + last->size);
    pack_put_trailer(out);
    return buf_check(out, "fold", err);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* One row; its place follows from those before it. */
static struct rc read_row(struct cursor *c, const struct fold_row *before, struct fold_row *row, struct err *err)
{
    uint64_t commits = cursor_varint(c);
    int64_t step = unzigzag(cursor_varint(c));
    const char *wrong;

    row->size = cursor_varint(c);
    TRY(cursor_check(c, "fold: table", err));
    if (commits == 0 || __builtin_add_overflow(row->first_txid, commits - 1, &row->last_txid)
        || row->last_txid == UINT64_MAX)
        return rc_raise(err, E_CORRUPT, "fold: %" PRIu64 " commits from txid %" PRIu64, commits, row->first_txid);
    if (__builtin_add_overflow(before->time_ms, step, &row->time_ms))
        return rc_raise(err, E_CORRUPT, "fold: segment at txid %" PRIu64 ": a time out of range", row->first_txid);
    wrong = what_is_wrong(row);
    if (wrong != NULL)
        return rc_raise(err, E_CORRUPT, "fold: segment at txid %" PRIu64 ": %s", row->first_txid, wrong);
    return RC_OK;
}

static struct rc read_rows(struct cursor *c, struct fold *f, struct err *err)
{
    struct fold_row before = {0};
    uint64_t first = cursor_varint(c);
    size_t count = (size_t)cursor_varint_max(c, FOLD_SEGMENT_COUNT_MAX);

    TRY(cursor_check(c, "fold: table", err));
    if (first == 0 || count == 0)
        return rc_raise(err, E_CORRUPT, "fold: %zu segments from txid %" PRIu64, count, first);
    f->rows = mem_try(count, sizeof *f->rows);
    if (f->rows == NULL)
        return rc_raise(err, E_NOMEM, "fold of %zu segments", count);
    for (; f->count < count; f->count++) {
        f->rows[f->count].first_txid = first;
        TRY(read_row(c, &before, &f->rows[f->count], err));
        before = f->rows[f->count];
        first = before.last_txid + 1;
    }
    return RC_OK;
}

/* The sizes must add up to the object's, so nothing overlaps and nothing is outside. */
static struct rc place_rows(struct fold *f, uint64_t offset, uint64_t object_size, struct err *err)
{
    for (size_t i = 0; i < f->count; i++) {
        f->rows[i].offset = offset;
        offset += f->rows[i].size; /* at most 1024 times 32 MiB */
    }
    if (object_size < PACK_TRAILER_SIZE || offset != object_size - PACK_TRAILER_SIZE)
        return rc_raise(err, E_CORRUPT, "fold: its segments end at byte %" PRIu64 " of %" PRIu64, offset, object_size);
    return RC_OK;
}

static struct rc read_head(struct span head, uint64_t object_size, struct fold *f, struct err *err)
{
    struct cursor c;
    uint64_t hash;
    size_t end;

    if (object_size > FOLD_OBJECT_MAX)
        return rc_raise(
            err, E_CORRUPT, "fold: %" PRIu64 " bytes, at most %d are possible", object_size, FOLD_OBJECT_MAX);
    TRY(pack_decode_header(head, PACK_FOLD, 0, &f->pack, err));
    c = cursor_of(span_of(head.data + f->pack.size, head.size - f->pack.size));
    f->timeline = (uint32_t)cursor_varint_max(&c, UINT32_MAX);
    if (!c.bad && f->timeline == 0)
        return rc_raise(err, E_CORRUPT, "fold: timeline 0");
    TRY(read_rows(&c, f, err));
    end = (size_t)(c.at - head.data);
    hash = cursor_u64(&c);
    TRY(cursor_check(&c, "fold: table", err));
    if (hash != digest_bytes(head.data, end))
        return rc_raise(err, E_CORRUPT, "fold: checksum mismatch in the table");
    return place_rows(f, end + HASH_SIZE, object_size, err);
}

struct rc fold_decode_head(struct span head, uint64_t object_size, struct fold *out, struct err *err)
{
    struct fold f = {0};
    struct rc rc = read_head(head, object_size, &f, err);

    if (rc_failed(rc)) {
        fold_fini(&f);
        return rc;
    }
    *out = f;
    return RC_OK;
}

struct rc fold_decode(struct span object, struct fold *out, struct err *err)
{
    struct pack_header h;
    struct span body;

    TRY(pack_open(object, PACK_FOLD, 0, &h, &body, err));
    return fold_decode_head(object, object.size, out, err);
}

void fold_fini(struct fold *f)
{
    mem_free(f->rows);
    *f = (struct fold){0};
}

const struct fold_row *fold_find(const struct fold *f, uint64_t txid)
{
    size_t at = SORTED_AT(f->rows, f->count, last_txid, txid);

    return at < f->count && f->rows[at].first_txid <= txid ? &f->rows[at] : NULL;
}
