/* SPDX-License-Identifier: Apache-2.0 */
#include "seg_head.h"

#include "alloc.h"

enum {
    TABLE_ENTRY_MAX = 32, /* bytes of the commit table per commit: four varints, at most 10 + 5 + 9 + 5 */
    PART_BYTES_MIN = 9,   /* of the list, per part */
    PAGE_SIZE_LOG_MAX = 16,
};

static struct rc decode_commit(struct seg_info *info, struct cursor *c, size_t i, struct err *err)
{
    struct seg_commit *now = &info->commits[i];
    const struct seg_commit *last = i > 0 ? now - 1 : NULL;
    uint64_t head = cursor_varint(c), time_delta;
    int64_t pages;

    now->txid = info->base_txid + i + 1;
    now->change_count = head >> 1;
    now->flags = (head & 1) != 0 ? (uint32_t)cursor_varint_max(c, UINT32_MAX) : 0;
    time_delta = cursor_varint_max(c, INT64_MAX);
    pages = seg_block_unzigzag(cursor_varint_max(c, (uint64_t)DBFMT_PAGE_COUNT_MAX * 2 + 1));
    TRY(cursor_check(c, "commit table", err));
    pages += last != NULL ? last->page_count : 0;
    if (__builtin_add_overflow(last != NULL ? last->time_ms : now->time_ms, (int64_t)time_delta, &now->time_ms))
        return rc_raise(err, E_CORRUPT, "commit table: time of commit %zu overflows", i);
    if (pages < 0 || pages > (int64_t)DBFMT_PAGE_COUNT_MAX)
        return rc_raise(err, E_CORRUPT, "commit table: commit %zu has %lld pages", i, (long long)pages);
    now->page_count = (uint32_t)pages;
    if ((now->flags & ~(uint32_t)SEG_KNOWN_FLAGS) != 0)
        return rc_raise(err, E_UNSUPPORTED, "commit table: flags 0x%x need a newer weir", now->flags);
    if ((now->flags & SEG_SNAPSHOT) != 0 && now->change_count > 0)
        return rc_raise(err, E_CORRUPT, "commit table: commit %zu is in a snapshot, but has pages here", i);
    return RC_OK;
}

static struct rc decode_table(struct seg_info *info, struct cursor *c, struct zstr_dec *zstd, struct err *err)
{
    struct seg_block_stream stream = {0};
    struct cursor entries;
    CLEANUP(buf_fini) struct buf room;
    struct span table;

    buf_init(&room, info->commit_count * TABLE_ENTRY_MAX);
    seg_block_take_stream(c, info->commit_count * TABLE_ENTRY_MAX, &stream);
    TRY(cursor_check(c, "head of the segment", err));
    TRY_CTX(seg_block_open_stream(&stream, zstd, span_of(NULL, 0), &room, &table, err), err, "commit table");
    entries = cursor_of(table);
    for (size_t i = 0; i < info->commit_count; i++)
        TRY(decode_commit(info, &entries, i, err));
    TRY(cursor_finish(&entries, "commit table", err));
    return RC_OK;
}

static struct rc decode_parts(struct seg_info *info, struct cursor *c, struct err *err)
{
    /* The bytes are there, so a number in the head cannot make us ask for more memory than the object is long. */
    if (info->part_count > cursor_left(c) / PART_BYTES_MIN)
        return rc_raise(
            err, E_CORRUPT, "head of the segment: %zu parts in %zu bytes", info->part_count, cursor_left(c));
    info->parts = mem_try(info->part_count + 1, sizeof *info->parts);
    if (info->parts == NULL)
        return rc_raise(err, E_NOMEM, "list of %zu parts", info->part_count);
    for (size_t i = 0; i < info->part_count; i++) {
        info->parts[i].size = cursor_varint_max(c, SEG_OBJECT_MAX);
        info->parts[i].hash = cursor_u64(c);
    }
    return cursor_check(c, "list of parts", err);
}

struct rc seg_head_decode(struct seg_info *info, struct cursor *c, struct zstr_dec *zstd, struct err *err)
{
    uint64_t page_size_log, first_time;

    info->timeline = (uint32_t)cursor_varint_max(c, UINT32_MAX);
    page_size_log = cursor_varint_max(c, PAGE_SIZE_LOG_MAX);
    info->base_txid = cursor_varint_max(c, UINT64_MAX - SEG_COMMIT_COUNT_MAX);
    info->base_checksum = cursor_u64(c);
    info->commit_count = (size_t)cursor_varint_max(c, SEG_COMMIT_COUNT_MAX);
    info->part_count = (size_t)cursor_varint_max(c, SEG_PART_COUNT_MAX);
    first_time = cursor_varint_max(c, INT64_MAX);
    TRY(cursor_check(c, "head of the segment", err));
    info->page_size = 1u << page_size_log;
    if (!dbfmt_page_size_ok(info->page_size))
        return rc_raise(err, E_CORRUPT, "head of the segment: page size %u", info->page_size);
    if (info->commit_count == 0)
        return rc_raise(err, E_CORRUPT, "head of the segment: no commits");
    TRY(decode_parts(info, c, err));
    if (info->commit_count > cursor_left(c) / 8)
        return rc_raise(
            err, E_CORRUPT, "head of the segment: %zu commits in %zu bytes", info->commit_count, cursor_left(c));
    info->commits = mem_try(info->commit_count, sizeof *info->commits);
    if (info->commits == NULL)
        return rc_raise(err, E_NOMEM, "table of %zu commits", info->commit_count);
    for (size_t i = 0; i < info->commit_count; i++)
        info->commits[i].checksum = cursor_u64(c);
    info->commits[0].time_ms = (int64_t)first_time;
    return decode_table(info, c, zstd, err);
}

void seg_head_fini(struct seg_info *info)
{
    mem_free(info->commits);
    mem_free(info->parts);
    info->commits = NULL;
    info->parts = NULL;
}
