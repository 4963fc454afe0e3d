/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_base.h"

#include "alloc.h"
#include "digest.h"
#include "local_fmt.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum {
    FILE_MODE = 0600,
    VERSION = 1,
    HEADER_SIZE = 176,
    MAGIC_SIZE = 8,
    ENTRIES_ID = 1, /* names no checkpoint: the header says to which state the entries belong */
};
static const char magic[MAGIC_SIZE] = {'w', 'e', 'i', 'r', '-', 'm', 'r', 'g'};

static char *path_of(const char *dir, unsigned level)
{
    assert(level >= 1);
    assert(level <= MERGE_BASE_LEVELS);
    return mem_printf("%s/merge.%u", dir, level);
}

static char *staged_path(const char *dir)
{
    return mem_printf("%s/merge.tmp", dir);
}

/* --- the header ----------------------------------------------------------------------------------------------------
 */

static void encode(const struct merge_base_info *info, uint64_t entries_hash, struct buf *out)
{
    buf_put(out, magic, sizeof magic);
    buf_u32(out, VERSION);
    buf_u32(out, 0);
    buf_put(out, info->database.bytes, sizeof info->database.bytes);
    pos_encode(&info->pos, out);
    buf_u32(out, 0);
    buf_u64(out, info->snapshot_txid);
    buf_u64(out, (uint64_t)info->snapshot_time_ms);
    buf_u64(out, info->snapshot_bytes);
    buf_u64(out, info->merge_bytes);
    buf_u64(out, info->log_bytes);
    buf_u64(out, info->log_bytes_long);
    buf_u32(out, info->pos.page_count);
    buf_u32(out, 0);
    buf_u64(out, entries_hash);
    buf_u64(out, digest_bytes(out->data, out->size));
}

static struct rc decode(const uint8_t *bytes, struct merge_base_info *out, uint64_t *entries_hash, struct err *err)
{
    struct cursor c = cursor_of(span_of(bytes, HEADER_SIZE));
    struct cursor end = cursor_of(span_of(bytes + HEADER_SIZE - sizeof(uint64_t), sizeof(uint64_t)));
    struct merge_base_info info = {0};
    uint32_t version, features, count;

    if (memcmp(cursor_bytes(&c, MAGIC_SIZE).data, magic, MAGIC_SIZE) != 0)
        return rc_raise(err, E_CORRUPT, "not an index of a merge");
    if (cursor_u64(&end) != digest_bytes(bytes, HEADER_SIZE - sizeof(uint64_t)))
        return rc_raise(err, E_CORRUPT, "hash of the header is wrong");
    version = cursor_u32(&c);
    features = cursor_u32(&c);
    if (version > VERSION || features != 0)
        return rc_raise(err, E_UNSUPPORTED, "version %" PRIu32 ", features %#" PRIx32, version, features);
    memcpy(info.database.bytes, cursor_bytes(&c, sizeof info.database.bytes).data, sizeof info.database.bytes);
    pos_decode(&c, &info.pos);
    (void)cursor_u32(&c);
    info.snapshot_txid = cursor_u64(&c);
    info.snapshot_time_ms = (int64_t)cursor_u64(&c);
    info.snapshot_bytes = cursor_u64(&c);
    info.merge_bytes = cursor_u64(&c);
    info.log_bytes = cursor_u64(&c);
    info.log_bytes_long = cursor_u64(&c);
    count = cursor_u32(&c);
    (void)cursor_u32(&c);
    *entries_hash = cursor_u64(&c);
    TRY(cursor_check(&c, "header", err));
    if (count != info.pos.page_count || count > DBFMT_PAGE_COUNT_MAX || !dbfmt_page_size_ok(info.pos.page_size)
        || info.pos.txid == 0 || info.snapshot_txid > info.pos.txid)
        return rc_raise(err, E_CORRUPT, "txid %" PRIu64 " with %" PRIu32 " pages of %" PRIu32 " bytes", info.pos.txid,
            count, info.pos.page_size);
    *out = info;
    return RC_OK;
}

/* --- writing -------------------------------------------------------------------------------------------------------
 */

static struct rc close_file(const struct fsys *fs, struct fsys_fd *f, const char *path, struct err *err)
{
    int fd = f->fd;

    f->fd = -1;
    if (fs->close(fs, fd) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "close %s", path);
    return RC_OK;
}

struct rc merge_base_stage(
    const struct fsys *fs, const char *dir, const struct page_hash *hashes, uint64_t *entries_hash, struct err *err)
{
    CLEANUP(mem_freep) char *path = staged_path(dir);
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};

    TRY(fsys_open(fs, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, FILE_MODE, &f.fd, err));
    TRY(page_hash_write(hashes, fs, f.fd, path, HEADER_SIZE, err));
    TRY(close_file(fs, &f, path, err));
    *entries_hash = local_fmt_pages_hash(ENTRIES_ID, hashes);
    return RC_OK;
}

void merge_base_unstage(const struct fsys *fs, const char *dir)
{
    CLEANUP(mem_freep) char *path = staged_path(dir);

    (void)fs->unlink(fs, path); /* the next one writes over it */
}

static struct rc write_header(const struct fsys *fs, const char *path, const struct buf *header, struct err *err)
{
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};

    TRY(fsys_open(fs, path, O_WRONLY | O_NOFOLLOW, 0, &f.fd, err));
    TRY(fsys_write_at(fs, f.fd, path, header->data, header->size, 0, err));
    if (fs->fsync(fs, f.fd) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "fsync %s", path);
    return close_file(fs, &f, path, err);
}

/* A crash between the rename and the removals leaves an older base of a lower level: one as good, and larger merges. */
struct rc merge_base_adopt(const struct fsys *fs, const char *dir, unsigned level, const struct merge_base_info *info,
    uint64_t entries_hash, struct err *err)
{
    CLEANUP(mem_freep) char *from = staged_path(dir);
    CLEANUP(mem_freep) char *to = path_of(dir, level);
    CLEANUP(buf_fini) struct buf header;

    buf_init(&header, HEADER_SIZE);
    encode(info, entries_hash, &header);
    TRY(buf_check(&header, to, err));
    assert(header.size == HEADER_SIZE);
    TRY(write_header(fs, from, &header, err));
    if (fs->rename(fs, from, to) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "rename %s to %s", from, to);
    for (unsigned lower = 1; lower < level; lower++)
        merge_base_drop(fs, dir, lower);
    return fsys_sync_dir(fs, dir, err);
}

void merge_base_drop(const struct fsys *fs, const char *dir, unsigned level)
{
    CLEANUP(mem_freep) char *path = path_of(dir, level);

    (void)fs->unlink(fs, path); /* see the header */
}

/* --- reading -------------------------------------------------------------------------------------------------------
 */

static struct rc read_header(const struct fsys *fs, int fd, const char *path, struct merge_base_info *out,
    uint64_t *entries_hash, struct err *err)
{
    uint8_t header[HEADER_SIZE];

    TRY(fsys_read_at(fs, fd, path, header, sizeof header, 0, err));
    TRY_CTX(decode(header, out, entries_hash, err), err, "%s", path);
    return RC_OK;
}

struct rc merge_base_peek(
    const struct fsys *fs, const char *dir, unsigned level, struct merge_base_info *out, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(dir, level);
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    uint64_t entries_hash;

    TRY(fsys_open(fs, path, O_RDONLY | O_NOFOLLOW, 0, &f.fd, err));
    return read_header(fs, f.fd, path, out, &entries_hash, err);
}

struct rc merge_base_load(const struct fsys *fs, const char *dir, unsigned level, struct merge_base_info *out,
    struct page_hash **hashes, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(dir, level);
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    CLEANUP(page_hash_freep) struct page_hash *found = page_hash_new();
    struct merge_base_info info;
    uint64_t entries_hash = 0;
    struct stat st;

    TRY(fsys_open(fs, path, O_RDONLY | O_NOFOLLOW, 0, &f.fd, err));
    TRY(read_header(fs, f.fd, path, &info, &entries_hash, err));
    /* Before memory is taken for what may not be there. */
    if (fs->fstat(fs, f.fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    if ((uint64_t)st.st_size != HEADER_SIZE + (uint64_t)info.pos.page_count * sizeof(uint64_t))
        return rc_raise(
            err, E_CORRUPT, "%s: %lld bytes for %" PRIu32 " pages", path, (long long)st.st_size, info.pos.page_count);
    TRY(page_hash_read(found, fs, f.fd, path, HEADER_SIZE, info.pos.page_count, err));
    if (local_fmt_pages_hash(ENTRIES_ID, found) != entries_hash)
        return rc_raise(err, E_CORRUPT, "%s: hash of the content is wrong", path);
    if (page_hash_checksum(found) != info.pos.checksum)
        return rc_raise(err, E_CORRUPT, "%s: its state checksum is %016" PRIx64 ", it says %016" PRIx64, path,
            page_hash_checksum(found), info.pos.checksum);
    *out = info;
    *hashes = MOVE(found);
    return RC_OK;
}
