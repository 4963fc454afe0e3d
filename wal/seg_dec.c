/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "seg_block.h"
#include "seg_head.h"

#include <assert.h>
#include <string.h>

/* How far the pages have been counted off against the commit table. */
struct place {
    size_t part;   /* parts gone by */
    size_t commit; /* index of the commit that the next page belongs to */
    uint64_t done; /* its pages gone by */
};

struct seg_dec {
    struct seg_info info;
    struct span tail;      /* blocks inside the segment object; borrowed */
    struct zstr_dec *zstd; /* borrowed */
    struct zstr_dec *own;  /* owned; NULL: it belongs to somebody else */

    struct place applied, listed; /* of the two kinds of passes */
    bool stopped;                 /* a commit callback wanted no more */
    bool failed;

    struct seg_block_map map;
    struct buf images; /* of each slot: the page as of now */
    struct buf dir, data, prefix;
};

struct rc seg_dec_open_with(struct seg_dec **out, struct span object, struct zstr_dec *zstd, struct err *err)
{
    CLEANUP(seg_dec_freep) struct seg_dec *d = NULL;
    struct pack_header pack;
    struct span body = {NULL, 0};
    struct cursor c;

    if (object.size > SEG_OBJECT_MAX)
        return rc_raise(err, E_CORRUPT, "segment: %zu bytes, at most %d are possible", object.size, SEG_OBJECT_MAX);
    TRY(pack_open(object, PACK_SEGMENT, 0, &pack, &body, err));
    d = mem_new(sizeof *d);
    d->info.pack = pack;
    d->info.object_size = object.size;
    d->zstd = zstd;
    buf_init(&d->images, SEG_BLOCK_IMAGES_MAX);
    buf_init(&d->dir, SEG_BLOCK_DIR_MAX);
    buf_init(&d->data, SEG_BLOCK_DATA_MAX);
    buf_init(&d->prefix, SEG_BLOCK_IMAGES_MAX);
    c = cursor_of(body);
    TRY(seg_head_decode(&d->info, &c, d->zstd, err));
    d->tail = cursor_bytes(&c, cursor_left(&c));
    *out = MOVE(d);
    return RC_OK;
}

struct rc seg_dec_open(struct seg_dec **out, struct span object, struct err *err)
{
    struct zstr_dec *zstd = zstr_dec_new();
    struct rc rc = seg_dec_open_with(out, object, zstd, err);

    if (rc_failed(rc))
        zstr_dec_free(zstd);
    else
        (*out)->own = zstd;
    return rc;
}

void seg_dec_free(struct seg_dec *d)
{
    if (d == NULL)
        return;
    seg_head_fini(&d->info);
    zstr_dec_free(d->own);
    buf_fini(&d->images);
    buf_fini(&d->dir);
    buf_fini(&d->data);
    buf_fini(&d->prefix);
    mem_free(d);
}

void seg_dec_freep(struct seg_dec **d)
{
    seg_dec_free(*d);
    *d = NULL;
}

const struct seg_info *seg_dec_info(const struct seg_dec *d)
{
    return &d->info;
}

/* --- directories ------------------------------------------------------------------------------------------- */

struct change {
    uint32_t pgno;
    bool whole;
};

/* Sets the cursor's `bad` when the page number is impossible. */
static struct change take_change(struct cursor *c, uint32_t last_pgno, uint32_t page_size)
{
    uint64_t v = cursor_varint_max(c, (uint64_t)UINT32_MAX << 2 | 3);
    int64_t pgno = (int64_t)last_pgno + seg_block_unzigzag(v >> 1);

    if (pgno < 0 || pgno > (int64_t)UINT32_MAX || !seg_block_pgno_ok((uint32_t)pgno, page_size)) {
        c->bad = true;
        pgno = 0;
    }
    return (struct change){(uint32_t)pgno, (v & 1) != 0};
}

struct range {
    uint32_t start, size;
    bool more;
};

/* Sets the cursor's `bad` when the range does not lie between `at` and the end of the page, or is empty and not alone.
 */
static struct range take_range(struct cursor *c, uint32_t at, uint32_t page_size)
{
    uint32_t gap = (uint32_t)cursor_varint_max(c, page_size - at), room = page_size - at - gap;
    uint32_t v = (uint32_t)cursor_varint_max(c, (uint64_t)room << 1 | 1);
    struct range r = {at + gap, v >> 1, (v & 1) != 0};

    if (r.size == 0 && (at + gap > 0 || r.more))
        c->bad = true;
    return r;
}

/* Count off one page against the commit table; commits without pages are passed by. */
static bool count_page(const struct seg_info *info, struct place *p)
{
    while (p->commit < info->commit_count && p->done == info->commits[p->commit].change_count) {
        p->commit++;
        p->done = 0;
    }
    if (p->commit == info->commit_count)
        return false;
    p->done++;
    return true;
}

/* Walk over a directory: every length in it is checked here, before anything is done with it. */
struct survey {
    struct place place; /* in: before the block, out: after it */
    seg_page_fn on_page;
    void *ctx;
    size_t data_size; /* out: sum of the ranges */
};

static struct rc survey_ranges(struct seg_dec *d, struct cursor *c, uint32_t slot, size_t *size, struct err *err)
{
    struct range r = {.more = true};

    for (uint32_t at = 0; r.more; at = r.start + r.size) {
        r = take_range(c, at, d->info.page_size);
        TRY(cursor_check(c, "directory of a block", err));
        if (r.size > 0)
            seg_block_mark(&d->map, slot, r.start, r.start + r.size);
        *size += r.size;
    }
    return RC_OK;
}

static struct rc survey_dir(struct seg_dec *d, struct span dir, struct survey *s, struct err *err)
{
    struct cursor c = cursor_of(dir);
    uint32_t pgno = 0, count = 0;

    seg_block_begin(&d->map, d->info.page_size);
    s->data_size = 0;
    while (cursor_left(&c) > 0) {
        struct change change = take_change(&c, pgno, d->info.page_size);
        int slot;

        TRY(cursor_check(&c, "directory of a block", err));
        if (++count > SEG_BLOCK_CHANGES_MAX)
            return rc_raise(err, E_CORRUPT, "directory of a block: more than %d changes", SEG_BLOCK_CHANGES_MAX);
        if (!count_page(&d->info, &s->place))
            return rc_raise(err, E_CORRUPT, "directory of a block: more pages than the commits have");
        pgno = change.pgno;
        slot = seg_block_find(&d->map, pgno);
        if (slot < 0 && d->map.count == d->map.slot_max)
            return rc_raise(err, E_CORRUPT, "directory of a block: more than %u pages", d->map.slot_max);
        if (slot < 0)
            slot = (int)seg_block_add(&d->map, pgno, !change.whole);
        if (change.whole)
            s->data_size += d->info.page_size;
        else
            TRY(survey_ranges(d, &c, (uint32_t)slot, &s->data_size, err));
        if (s->data_size > SEG_BLOCK_DATA_MAX)
            return rc_raise(err, E_CORRUPT, "directory of a block: more than %d bytes of data", SEG_BLOCK_DATA_MAX);
        if (s->on_page != NULL)
            s->on_page(s->ctx, s->place.commit, pgno);
    }
    return RC_OK;
}

/* The next block of `c`: its streams taken, its directory surveyed. */
static struct rc take_block(struct seg_dec *d, struct cursor *c, struct survey *s, struct span *dir,
    struct seg_block_stream *data, struct err *err)
{
    struct seg_block_stream stream = {0};

    seg_block_take_stream(c, SEG_BLOCK_DIR_MAX, &stream);
    seg_block_take_stream(c, SEG_BLOCK_DATA_MAX, data);
    TRY(cursor_check(c, "block", err));
    TRY_CTX(seg_block_open_stream(&stream, d->zstd, span_of(NULL, 0), &d->dir, dir, err), err, "directory of a block");
    if (dir->size == 0)
        return rc_raise(err, E_CORRUPT, "directory of a block: empty");
    TRY(survey_dir(d, *dir, s, err));
    if (s->data_size != data->size)
        return rc_raise(err, E_CORRUPT, "block: %zu bytes of data, its directory says %zu", data->size, s->data_size);
    return RC_OK;
}

/* --- applying ------------------------------------------------------------------------------------------------ */

/* Tell about every commit that is complete now. */
static struct rc end_commits(struct seg_dec *d, const struct seg_apply_ops *ops, struct err *err)
{
    struct place *p = &d->applied;

    while (!d->stopped && p->commit < d->info.commit_count && p->done == d->info.commits[p->commit].change_count) {
        TRY(ops->commit(ops->ctx, &d->info.commits[p->commit], &d->stopped, err));
        p->commit++;
        p->done = 0;
    }
    return RC_OK;
}

/* Fetch the images that the block starts from, and build the prefix out of them. */
static struct rc fetch(struct seg_dec *d, const struct seg_apply_ops *ops, struct err *err)
{
    size_t page_size = d->info.page_size;

    buf_clear(&d->images);
    if (buf_grow(&d->images, d->map.count * page_size) == NULL)
        return buf_check(&d->images, "images of a block", err);
    for (uint32_t slot = 0; slot < d->map.count; slot++) {
        if (d->map.slots[slot].based)
            TRY(ops->read(ops->ctx, d->map.slots[slot].pgno, d->images.data + slot * page_size, err));
    }
    buf_clear(&d->prefix);
    seg_block_prefix(&d->map, d->images.data, &d->prefix);
    return buf_check(&d->prefix, "prefix of a block", err);
}

/* Bring one image up to date.  The lengths were checked by the survey. */
static void patch(uint8_t *image, bool whole, uint32_t page_size, struct cursor *dir, struct cursor *data)
{
    struct range r = {.more = !whole};

    if (whole)
        memcpy(image, cursor_bytes(data, page_size).data, page_size);
    for (uint32_t at = 0; r.more; at = r.start + r.size) {
        r = take_range(dir, at, page_size);
        if (r.size > 0)
            memcpy(image + r.start, cursor_bytes(data, r.size).data, r.size);
    }
}

static struct rc apply_block(struct seg_dec *d, struct cursor *c, const struct seg_apply_ops *ops, struct err *err)
{
    struct survey s = {.place = d->applied};
    struct seg_block_stream stream = {0};
    struct span dir = {NULL, 0}, data = {NULL, 0};
    struct cursor changes, bytes;
    uint32_t pgno = 0;

    TRY(take_block(d, c, &s, &dir, &stream, err));
    TRY(fetch(d, ops, err));
    TRY_CTX(
        seg_block_open_stream(&stream, d->zstd, buf_span(&d->prefix), &d->data, &data, err), err, "data of a block");
    changes = cursor_of(dir);
    bytes = cursor_of(data);
    while (cursor_left(&changes) > 0 && !d->stopped) {
        struct change change = take_change(&changes, pgno, d->info.page_size);
        int slot = seg_block_find(&d->map, change.pgno);
        uint8_t *image;

        assert(slot >= 0); /* the survey added it */
        image = d->images.data + (size_t)slot * d->info.page_size;
        patch(image, change.whole, d->info.page_size, &changes, &bytes);
        assert(!changes.bad);
        assert(!bytes.bad);
        TRY(ops->write(ops->ctx, change.pgno, image, err));
        d->applied.done++;
        pgno = change.pgno;
        TRY(end_commits(d, ops, err));
    }
    return RC_OK;
}

static struct rc apply_blocks(struct seg_dec *d, struct span blocks, const struct seg_apply_ops *ops, struct err *err)
{
    struct cursor c = cursor_of(blocks);

    TRY(end_commits(d, ops, err)); /* commits without pages at the begin */
    while (cursor_left(&c) > 0 && !d->stopped)
        TRY(apply_block(d, &c, ops, err));
    return RC_OK;
}

/* --- parts and tail ------------------------------------------------------------------------------------------ */

static struct rc open_part(
    const struct seg_dec *d, const struct place *p, struct span part, struct span *blocks, struct err *err)
{
    struct pack_header pack;
    struct cursor trailer;

    if (p->part == d->info.part_count)
        return rc_raise(err, E_BUG, "segment: it has no part %zu", p->part);
    if (part.size != d->info.parts[p->part].size)
        return rc_raise(err, E_CORRUPT, "part %zu: %zu bytes, the segment lists %llu", p->part, part.size,
            (unsigned long long)d->info.parts[p->part].size);
    TRY_CTX(pack_open(part, PACK_PART, 0, &pack, blocks, err), err, "part %zu", p->part);
    trailer = cursor_of(span_of(part.data + part.size - PACK_TRAILER_SIZE, PACK_TRAILER_SIZE));
    if (cursor_u64(&trailer) != d->info.parts[p->part].hash)
        return rc_raise(err, E_CORRUPT, "part %zu: not the one that the segment lists", p->part);
    return RC_OK;
}

static struct rc check_tail(const struct seg_dec *d, const struct place *p, struct err *err)
{
    if (p->part != d->info.part_count)
        return rc_raise(err, E_BUG, "segment: its end after %zu of %zu parts", p->part, d->info.part_count);
    return RC_OK;
}

/* A decoder that failed has applied half of something. */
static struct rc check_usable(const struct seg_dec *d, struct err *err)
{
    if (d->failed)
        return rc_raise(err, E_BUG, "segment: read on after a failure");
    return RC_OK;
}

static struct rc apply_part(struct seg_dec *d, struct span part, const struct seg_apply_ops *ops, struct err *err)
{
    struct span blocks = {NULL, 0};

    TRY(open_part(d, &d->applied, part, &blocks, err));
    d->applied.part++;
    TRY_CTX(apply_blocks(d, blocks, ops, err), err, "part %zu", d->applied.part - 1);
    return RC_OK;
}

static struct rc apply_tail(struct seg_dec *d, const struct seg_apply_ops *ops, struct err *err)
{
    TRY(check_tail(d, &d->applied, err));
    TRY(apply_blocks(d, d->tail, ops, err));
    if (!d->stopped && d->applied.commit < d->info.commit_count)
        return rc_raise(
            err, E_CORRUPT, "segment: ends within commit %zu of %zu", d->applied.commit + 1, d->info.commit_count);
    return RC_OK;
}

struct rc seg_dec_apply_part(
    struct seg_dec *d, struct span part, const struct seg_apply_ops *ops, bool *stopped, struct err *err)
{
    struct rc rc = check_usable(d, err);

    if (!rc_failed(rc) && !d->stopped)
        rc = apply_part(d, part, ops, err);
    d->failed = rc_failed(rc);
    if (!d->failed)
        *stopped = d->stopped;
    return rc;
}

struct rc seg_dec_apply_tail(struct seg_dec *d, const struct seg_apply_ops *ops, bool *stopped, struct err *err)
{
    struct rc rc = check_usable(d, err);

    if (!rc_failed(rc) && !d->stopped)
        rc = apply_tail(d, ops, err);
    d->failed = rc_failed(rc);
    if (!d->failed)
        *stopped = d->stopped;
    return rc;
}

/* --- page numbers only --------------------------------------------------------------------------------------- */

static struct rc list_blocks(struct seg_dec *d, struct span blocks, seg_page_fn on_page, void *ctx, struct err *err)
{
    struct cursor c = cursor_of(blocks);

    while (cursor_left(&c) > 0) {
        struct survey s = {.place = d->listed, .on_page = on_page, .ctx = ctx};
        struct seg_block_stream data = {0};
        struct span dir = {NULL, 0};

        TRY(take_block(d, &c, &s, &dir, &data, err));
        d->listed = s.place;
    }
    return RC_OK;
}

struct rc seg_dec_pages_part(struct seg_dec *d, struct span part, seg_page_fn on_page, void *ctx, struct err *err)
{
    struct span blocks = {NULL, 0};

    TRY(open_part(d, &d->listed, part, &blocks, err));
    d->listed.part++;
    TRY_CTX(list_blocks(d, blocks, on_page, ctx, err), err, "part %zu", d->listed.part - 1);
    return RC_OK;
}

struct rc seg_dec_pages_tail(struct seg_dec *d, seg_page_fn on_page, void *ctx, struct err *err)
{
    struct place end;

    TRY(check_tail(d, &d->listed, err));
    TRY(list_blocks(d, d->tail, on_page, ctx, err));
    end = d->listed;
    if (count_page(&d->info, &end))
        return rc_raise(err, E_CORRUPT, "segment: ends within commit %zu of %zu", end.commit + 1, d->info.commit_count);
    return RC_OK;
}
