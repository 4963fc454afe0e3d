/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"
#include "seg_block.h"
#include "seg_diff.h"

#include <assert.h>
#include <string.h>

enum {
    /* What an encoder may keep for the next segment; after a bulk load more than this goes back to the system. */
    KEEP_MAX = 256 << 10,
    /* From here on blocks are worth more than the memory that an encoder keeps for the next segment. */
    TAKE_MIN = 64 << 10,
    /* Commit table: at most 10 + 1 + 9 + 5 bytes a commit, and its checksum. */
    TABLE_MAX = SEG_COMMIT_COUNT_MAX * 32,
    SUMS_MAX = SEG_COMMIT_COUNT_MAX * 8,
    PARTS_MAX = SEG_PART_COUNT_MAX * 16,
    RANGE_BYTES = 6,  /* of the directory: gap and length, at most three bytes each */
    CHANGE_BYTES = 8, /* page number, and the two bytes of an unchanged page */
};

struct seg_enc {
    struct seg_enc_opts opts;
    struct zstr_enc *zstd; /* owned */
    bool failed;           /* an earlier call failed: of no use until the reset */

    /* The block that is being filled. */
    struct seg_block_map map;
    struct buf images; /* of each slot: the page before the block, where there is one */
    struct buf dir, data;
    uint32_t last_pgno;
    uint32_t change_count;

    /* Finished blocks that are in no part yet, behind the header of the part that they may become. */
    struct buf blocks;
    bool part_ready;
    struct buf parts; /* encoded: size and hash of each */
    uint32_t part_count;
    uint64_t part_bytes;

    /* Commits. */
    struct buf table, sums;
    size_t commit_count;
    uint64_t pending; /* pages of the open commit */
    uint64_t txid;
    int64_t first_time_ms, time_ms;
    uint32_t page_count;
    uint64_t raw_size;

    struct buf prefix, scratch;
    size_t object_size; /* after seg_enc_finish() */
};

static void start(struct seg_enc *e, const struct seg_enc_opts *opts)
{
    assert(dbfmt_page_size_ok(opts->page_size));
    e->opts = *opts;
    e->failed = e->part_ready = false;
    buf_clear(&e->images);
    buf_clear(&e->dir);
    buf_clear(&e->data);
    buf_clear(&e->blocks);
    buf_clear(&e->parts);
    buf_clear(&e->table);
    buf_clear(&e->sums);
    seg_block_begin(&e->map, opts->page_size);
    e->last_pgno = e->change_count = e->part_count = e->page_count = 0;
    e->part_bytes = e->pending = e->raw_size = 0;
    e->commit_count = e->object_size = 0;
    e->txid = opts->base_txid;
    e->first_time_ms = e->time_ms = 0;
}

struct seg_enc *seg_enc_new(const struct seg_enc_opts *opts)
{
    struct seg_enc *e = mem_new(sizeof *e);

    e->zstd = zstr_enc_new(SEG_BLOCK_LEVEL);
    buf_init(&e->images, SEG_BLOCK_IMAGES_MAX);
    buf_init(&e->dir, SEG_BLOCK_DIR_MAX);
    buf_init(&e->data, SEG_BLOCK_DATA_MAX);
    buf_init(&e->blocks, SEG_OBJECT_MAX);
    buf_init(&e->parts, PARTS_MAX);
    buf_init(&e->table, TABLE_MAX);
    buf_init(&e->sums, SUMS_MAX);
    buf_init(&e->prefix, SEG_BLOCK_IMAGES_MAX);
    buf_init(&e->scratch, SEG_OBJECT_MAX);
    start(e, opts);
    return e;
}

void seg_enc_free(struct seg_enc *e)
{
    if (e == NULL)
        return;
    zstr_enc_free(e->zstd);
    buf_fini(&e->images);
    buf_fini(&e->dir);
    buf_fini(&e->data);
    buf_fini(&e->blocks);
    buf_fini(&e->parts);
    buf_fini(&e->table);
    buf_fini(&e->sums);
    buf_fini(&e->prefix);
    buf_fini(&e->scratch);
    mem_free(e);
}

void seg_enc_freep(struct seg_enc **e)
{
    seg_enc_free(*e);
    *e = NULL;
}

void seg_enc_reset(struct seg_enc *e, const struct seg_enc_opts *opts)
{
    struct buf *all[] = {
        &e->images, &e->dir, &e->data, &e->blocks, &e->parts, &e->table, &e->sums, &e->prefix, &e->scratch};
    size_t kept = 0;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        kept += all[i]->room;
    if (kept > KEEP_MAX) {
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            buf_fini(all[i]);
        /* zstd's tables grew along with them. */
        zstr_enc_free(e->zstd);
        e->zstd = zstr_enc_new(SEG_BLOCK_LEVEL);
    }
    start(e, opts);
}

/* --- blocks ------------------------------------------------------------------------------------------------ */

static void put_part_header(const struct seg_enc *e, struct buf *out, enum pack_kind kind)
{
    struct pack_header h = {.kind = kind, .database = e->opts.database, .writer = e->opts.writer};

    pack_put_header(out, &h);
}

static struct rc close_part(struct seg_enc *e, struct err *err)
{
    if (e->part_count == SEG_PART_COUNT_MAX)
        return rc_raise(err, E_UNSUPPORTED, "segment after txid %llu: more than %d parts",
            (unsigned long long)e->opts.base_txid, SEG_PART_COUNT_MAX);
    pack_put_trailer(&e->blocks);
    TRY(buf_check(&e->blocks, "part of a segment", err));
    buf_varint(&e->parts, e->blocks.size);
    buf_put(&e->parts, e->blocks.data + e->blocks.size - PACK_TRAILER_SIZE, PACK_TRAILER_SIZE);
    TRY(buf_check(&e->parts, "list of parts", err));
    e->part_bytes += e->blocks.size;
    e->part_ready = true;
    return RC_OK;
}

static struct rc flush(struct seg_enc *e, struct err *err)
{
    if (e->change_count == 0)
        return RC_OK;
    if (e->part_ready)
        return rc_raise(err, E_BUG, "segment: part %u was not taken", e->part_count);
    if (e->blocks.size == 0)
        put_part_header(e, &e->blocks, PACK_PART);
    buf_clear(&e->prefix);
    seg_block_prefix(&e->map, e->images.data, &e->prefix);
    TRY(buf_check(&e->prefix, "prefix of a block", err));
    TRY(seg_block_put_stream(&e->blocks, e->zstd, &e->scratch, span_of(NULL, 0), buf_span(&e->dir), err));
    TRY(seg_block_put_stream(&e->blocks, e->zstd, &e->scratch, buf_span(&e->prefix), buf_span(&e->data), err));
    buf_clear(&e->images);
    buf_clear(&e->dir);
    buf_clear(&e->data);
    seg_block_begin(&e->map, e->opts.page_size);
    e->last_pgno = e->change_count = 0;
    return RC_OK;
}

/* The ranges' places go into the directory, their new bytes into the data. */
static void put_delta(struct seg_enc *e, uint32_t slot, const uint8_t *page, const uint8_t *base)
{
    struct seg_range now, next;
    uint32_t size = e->opts.page_size, at = 0;
    bool more = seg_diff_next(page, base, size, 0, &now);

    if (!more) {
        buf_varint(&e->dir, 0);
        buf_varint(&e->dir, 0);
    }
    while (more) {
        more = seg_diff_next(page, base, size, now.end, &next);
        buf_varint(&e->dir, now.start - at);
        buf_varint(&e->dir, (uint64_t)(now.end - now.start) << 1 | more);
        buf_put(&e->data, page + now.start, now.end - now.start);
        seg_block_mark(&e->map, slot, now.start, now.end);
        at = now.end;
        now = next;
    }
}

/* Is there room in the block for one more change, whatever it looks like? */
static bool block_has_room(const struct seg_enc *e, bool new_slot)
{
    size_t dir_max = CHANGE_BYTES + (e->opts.page_size / (SEG_DIFF_GAP + 1) + 1) * RANGE_BYTES;

    return !(new_slot && e->map.count == e->map.slot_max) && e->change_count < SEG_BLOCK_CHANGES_MAX
           && e->data.size + e->opts.page_size <= SEG_BLOCK_DATA_MAX && e->dir.size + dir_max <= SEG_BLOCK_DIR_MAX;
}

static struct rc add_page(struct seg_enc *e, uint32_t pgno, const uint8_t *page, const uint8_t *base, struct err *err)
{
    uint32_t size = e->opts.page_size;
    int slot = seg_block_find(&e->map, pgno);

    if (!seg_block_pgno_ok(pgno, size))
        return rc_raise(err, E_BUG, "segment: page number %u cannot be stored", pgno);
    if (!block_has_room(e, slot < 0)) {
        TRY(flush(e, err));
        if (e->blocks.size >= SEG_PART_SIZE)
            TRY(close_part(e, err));
        slot = -1;
    }
    if (slot < 0) {
        uint8_t *image = buf_grow(&e->images, size);

        slot = (int)seg_block_add(&e->map, pgno, base != NULL);
        if (image != NULL && base != NULL)
            memcpy(image, base, size);
    }
    buf_varint(&e->dir, seg_block_zigzag((int64_t)pgno - (int64_t)e->last_pgno) << 1 | (base == NULL));
    if (base != NULL)
        put_delta(e, (uint32_t)slot, page, base);
    else
        buf_put(&e->data, page, size);
    TRY(buf_check(&e->images, "images of a block", err));
    TRY(buf_check(&e->dir, "directory of a block", err));
    TRY(buf_check(&e->data, "data of a block", err));
    e->last_pgno = pgno;
    e->change_count++;
    e->pending++;
    e->raw_size += size;
    return RC_OK;
}

/* --- commits ------------------------------------------------------------------------------------------------- */

static struct rc check_commit(const struct seg_enc *e, const struct seg_commit *c, struct err *err)
{
    unsigned long long txid = c->txid;

    if (e->commit_count == SEG_COMMIT_COUNT_MAX)
        return rc_raise(err, E_UNSUPPORTED, "segment: more than %d commits", SEG_COMMIT_COUNT_MAX);
    if (c->txid != e->txid + 1)
        return rc_raise(err, E_BUG, "segment: commit %llu after %llu", txid, (unsigned long long)e->txid);
    if (c->time_ms < 0 || c->time_ms < e->time_ms)
        return rc_raise(err, E_BUG, "segment: time of commit %llu goes back to %lld", txid, (long long)c->time_ms);
    if (c->page_count > DBFMT_PAGE_COUNT_MAX)
        return rc_raise(err, E_BUG, "segment: commit %llu has %u pages", txid, c->page_count);
    if ((c->flags & ~(uint32_t)SEG_KNOWN_FLAGS) != 0)
        return rc_raise(err, E_BUG, "segment: commit %llu has flags 0x%x", txid, c->flags);
    if ((c->flags & SEG_SNAPSHOT) != 0 && e->pending > 0)
        return rc_raise(err, E_BUG, "segment: commit %llu is in a snapshot, but has pages here", txid);
    return RC_OK;
}

static struct rc add_commit(struct seg_enc *e, const struct seg_commit *c, struct err *err)
{
    TRY(check_commit(e, c, err));
    buf_varint(&e->table, e->pending << 1 | (c->flags != 0));
    if (c->flags != 0)
        buf_varint(&e->table, c->flags);
    if (e->commit_count == 0)
        e->first_time_ms = e->time_ms = c->time_ms;
    buf_varint(&e->table, (uint64_t)(c->time_ms - e->time_ms));
    buf_varint(&e->table, seg_block_zigzag((int64_t)c->page_count - (int64_t)e->page_count));
    buf_u64(&e->sums, c->checksum);
    TRY(buf_check(&e->table, "commit table", err));
    TRY(buf_check(&e->sums, "commit checksums", err));
    e->txid = c->txid;
    e->time_ms = c->time_ms;
    e->page_count = c->page_count;
    e->pending = 0;
    e->commit_count++;
    return RC_OK;
}

static void put_head(const struct seg_enc *e, struct buf *out)
{
    put_part_header(e, out, PACK_SEGMENT);
    buf_varint(out, e->opts.timeline);
    buf_varint(out, (uint64_t)__builtin_ctz(e->opts.page_size));
    buf_varint(out, e->opts.base_txid);
    buf_u64(out, e->opts.base_checksum);
    buf_varint(out, e->commit_count);
    buf_varint(out, e->part_count);
    buf_varint(out, (uint64_t)e->first_time_ms);
    if (e->parts.size > 0)
        buf_put(out, e->parts.data, e->parts.size);
    buf_put(out, e->sums.data, e->sums.size);
}

/* Large blocks become the object where they are: a copy would stand beside them for a moment. */
static void take_blocks(struct seg_enc *e, const struct buf *head, struct buf *object)
{
    size_t size = e->blocks.size - PACK_HEADER_SIZE, max = object->max;
    uint8_t *more;

    buf_fini(object);
    *object = e->blocks;
    object->max = max;
    buf_init(&e->blocks, SEG_OBJECT_MAX);
    buf_reserve(object, head->size - PACK_HEADER_SIZE + PACK_TRAILER_SIZE);
    more = buf_grow(object, head->size - PACK_HEADER_SIZE);
    if (more == NULL)
        return; /* buf_check() tells */
    memmove(object->data + head->size, object->data + PACK_HEADER_SIZE, size);
    memcpy(object->data, head->data, head->size);
}

static void copy_blocks(const struct seg_enc *e, const struct buf *head, struct buf *object)
{
    size_t size = e->blocks.size > 0 ? e->blocks.size - PACK_HEADER_SIZE : 0;

    buf_clear(object);
    buf_reserve(object, head->size + size + PACK_TRAILER_SIZE);
    buf_put(object, head->data, head->size);
    if (size > 0)
        buf_put(object, e->blocks.data + PACK_HEADER_SIZE, size);
}

static struct rc finish(struct seg_enc *e, struct buf *object, struct err *err)
{
    CLEANUP(buf_fini) struct buf head;

    buf_init(&head, SEG_OBJECT_MAX);
    if (e->commit_count == 0 || e->pending > 0)
        return rc_raise(err, E_BUG, "segment: finished with %zu commits and %llu pages of the next", e->commit_count,
            (unsigned long long)e->pending);
    if (e->part_ready)
        return rc_raise(err, E_BUG, "segment: part %u was not taken", e->part_count);
    TRY(flush(e, err));
    put_head(e, &head);
    TRY(seg_block_put_stream(&head, e->zstd, &e->scratch, span_of(NULL, 0), buf_span(&e->table), err));
    TRY(buf_check(&head, "head of a segment", err));
    if (e->blocks.size >= TAKE_MIN && e->blocks.size <= object->max)
        take_blocks(e, &head, object);
    else
        copy_blocks(e, &head, object);
    pack_put_trailer(object);
    TRY(buf_check(object, "segment", err));
    e->object_size = object->size;
    return RC_OK;
}

/* --- the outside: an encoder that failed once is refused until its reset ----------------------------------- */

static struct rc check_usable(const struct seg_enc *e, struct err *err)
{
    if (e->failed)
        return rc_raise(err, E_BUG, "segment: used again after a failure");
    if (e->object_size > 0)
        return rc_raise(err, E_BUG, "segment: used again after it was finished");
    return RC_OK;
}

struct rc seg_enc_page(struct seg_enc *e, uint32_t pgno, const uint8_t *page, const uint8_t *base, struct err *err)
{
    struct rc rc;

    TRY(check_usable(e, err));
    rc = add_page(e, pgno, page, base, err);
    e->failed = rc_failed(rc);
    return rc;
}

struct rc seg_enc_commit(struct seg_enc *e, const struct seg_commit *commit, struct err *err)
{
    struct rc rc;

    TRY(check_usable(e, err));
    rc = add_commit(e, commit, err);
    e->failed = rc_failed(rc);
    return rc;
}

struct rc seg_enc_finish(struct seg_enc *e, struct buf *object, struct err *err)
{
    struct rc rc;

    TRY(check_usable(e, err));
    rc = finish(e, object, err);
    e->failed = rc_failed(rc);
    return rc;
}

bool seg_enc_take_part(struct seg_enc *e, struct buf *part, uint32_t *number)
{
    if (!e->part_ready)
        return false;
    buf_fini(part);
    *part = e->blocks;
    buf_init(&e->blocks, SEG_OBJECT_MAX);
    *number = e->part_count++;
    e->part_ready = false;
    return true;
}

size_t seg_enc_commit_count(const struct seg_enc *e)
{
    return e->commit_count;
}

uint64_t seg_enc_pending(const struct seg_enc *e)
{
    return e->pending;
}

uint64_t seg_enc_stored_size(const struct seg_enc *e)
{
    uint64_t tail = e->part_ready ? 0 : e->blocks.size;

    if (e->object_size > 0)
        return e->part_bytes + e->object_size;
    return e->part_bytes + tail + PACK_HEADER_SIZE + e->parts.size + e->table.size + e->sums.size;
}

uint64_t seg_enc_raw_size(const struct seg_enc *e)
{
    return e->raw_size;
}
