/* SPDX-License-Identifier: Apache-2.0 */
#include "fold_file.h"

#include "alloc.h"
#include "digest.h"
#include "fold_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

static const char magic[] = "weir-fld";

enum {
    VERSION = 1,
    MAGIC_SIZE = 8,
    HEADER_SIZE = 56,
    RECORD_HEAD_SIZE = 8,
    HASH_SIZE = 8,
    NOTE_SIZE = 16,
    SEGMENT_HEAD_SIZE = 24,
    PAYLOAD_MAX = SEGMENT_HEAD_SIZE + FOLD_KEEP_SEGMENT_MAX,
};

struct fold_file {
    const struct fsys *fs;
    char *dir, *path; /* owned */
    int fd;
    uint64_t end;  /* of the last good record */
    uint64_t hash; /* of that record, or of the header */
    uint64_t size; /* of the file, while it is read */
};

static char *path_in(const char *dir, const char *suffix)
{
    return mem_printf("%s/kept%s", dir, suffix);
}

static struct fold_file *file_new(const struct fsys *fs, const char *dir, const char *suffix)
{
    struct fold_file *f = mem_new(sizeof *f);

    f->fs = fs;
    f->dir = mem_strdup(dir);
    f->path = path_in(dir, suffix);
    f->fd = -1;
    return f;
}

void fold_file_close(struct fold_file *f)
{
    if (f == NULL)
        return;
    if (f->fd >= 0)
        (void)f->fs->close(f->fs, f->fd); /* what was lost shows at the next start */
    mem_free(f->dir);
    mem_free(f->path);
    mem_free(f);
}

static void file_closep(struct fold_file **f)
{
    fold_file_close(*f);
    *f = NULL;
}

void fold_file_remove(const struct fsys *fs, const char *dir)
{
    CLEANUP(mem_freep) char *path = path_in(dir, "");
    CLEANUP(mem_freep) char *tmp = path_in(dir, ".tmp");
    struct err ignored;

    rc_ignore(fsys_remove(fs, path, &ignored), "it takes room, and is looked at again at the next start");
    rc_ignore(fsys_remove(fs, tmp, &ignored), "it is overwritten by the next one");
}

/* --- the header --------------------------------------------------------------------------------------------------- */

static void put_header(struct buf *out, const struct nonce *id, const struct nonce *database, uint32_t timeline)
{
    buf_put(out, magic, MAGIC_SIZE);
    buf_u32(out, VERSION);
    buf_u32(out, 0);
    buf_put(out, id->bytes, 8); /* random, so that no block of an older file fits */
    buf_put(out, database->bytes, sizeof database->bytes);
    buf_u32(out, timeline);
    buf_u32(out, 0);
    buf_u64(out, digest_bytes(out->data, out->size));
}

struct rc fold_file_create(struct fold_file **out, const struct fsys *fs, const char *dir, const struct nonce *database,
    uint32_t timeline, struct err *err)
{
    CLEANUP(file_closep) struct fold_file *f = file_new(fs, dir, ".tmp");
    CLEANUP(buf_fini) struct buf header = {0};
    struct nonce id = nonce_new();
    struct cursor c;

    TRY(fsys_make_dirs(fs, dir, 0700, err));
    TRY(fsys_open(fs, f->path, O_RDWR | O_CREAT | O_TRUNC, 0600, &f->fd, err));
    buf_init(&header, HEADER_SIZE);
    put_header(&header, &id, database, timeline);
    TRY(buf_check(&header, f->path, err));
    TRY(fsys_write_at(fs, f->fd, f->path, header.data, header.size, 0, err));
    c = cursor_of(span_of(header.data + HEADER_SIZE - HASH_SIZE, HASH_SIZE));
    f->hash = cursor_u64(&c);
    f->end = HEADER_SIZE;
    *out = MOVE(f);
    return RC_OK;
}

struct rc fold_file_publish(struct fold_file *f, struct err *err)
{
    char *path = path_in(f->dir, "");

    if (f->fs->rename(f->fs, f->path, path) != 0) {
        struct rc rc = rc_raise_sys(err, rc_from_errno(errno), errno, "rename %s", f->path);

        mem_free(path);
        return rc;
    }
    mem_free(f->path);
    f->path = path;
    return RC_OK;
}

static struct rc read_header(struct fold_file *f, const struct nonce *database, uint32_t timeline, struct err *err)
{
    uint8_t bytes[HEADER_SIZE];
    struct cursor c = cursor_of(span_of(bytes, sizeof bytes));
    uint32_t version, features, there;
    struct span whose;

    TRY(fsys_read_at(f->fs, f->fd, f->path, bytes, sizeof bytes, 0, err));
    if (memcmp(cursor_bytes(&c, MAGIC_SIZE).data, magic, MAGIC_SIZE) != 0)
        return rc_raise(err, E_CORRUPT, "%s: not a file of kept segments", f->path);
    version = cursor_u32(&c);
    features = cursor_u32(&c);
    (void)cursor_bytes(&c, 8);
    whose = cursor_bytes(&c, sizeof database->bytes);
    there = cursor_u32(&c);
    (void)cursor_u32(&c);
    f->hash = cursor_u64(&c);
    if (f->hash != digest_bytes(bytes, HEADER_SIZE - HASH_SIZE))
        return rc_raise(err, E_CORRUPT, "%s: checksum mismatch in the header", f->path);
    if (version != VERSION || features != 0)
        return rc_raise(err, E_CORRUPT, "%s: version %" PRIu32 ", features %" PRIx32, f->path, version, features);
    if (memcmp(whose.data, database->bytes, sizeof database->bytes) != 0 || there != timeline)
        return rc_raise(err, E_CORRUPT, "%s: of another database or timeline", f->path);
    f->end = HEADER_SIZE;
    return RC_OK;
}

struct rc fold_file_open(struct fold_file **out, const struct fsys *fs, const char *dir, const struct nonce *database,
    uint32_t timeline, struct err *err)
{
    CLEANUP(file_closep) struct fold_file *f = file_new(fs, dir, "");
    struct stat st;

    TRY(fsys_open(fs, f->path, O_RDWR, 0600, &f->fd, err));
    if (fs->fstat(fs, f->fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", f->path);
    f->size = (uint64_t)st.st_size;
    TRY(read_header(f, database, timeline, err));
    *out = MOVE(f);
    return RC_OK;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static uint64_t hash_of(uint64_t before, struct span record)
{
    struct digest *d = digest_new();
    uint8_t chain[HASH_SIZE];
    uint64_t hash;

    for (unsigned i = 0; i < HASH_SIZE; i++)
        chain[i] = (uint8_t)(before >> (8 * i));
    digest_update(d, chain, sizeof chain);
    digest_update(d, record.data, record.size);
    hash = digest_value(d);
    digest_free(d);
    return hash;
}

static struct rc append(struct fold_file *f, struct buf *record, struct err *err)
{
    uint64_t hash;

    TRY(buf_check(record, f->path, err));
    hash = hash_of(f->hash, buf_span(record));
    buf_u64(record, hash);
    TRY(buf_check(record, f->path, err));
    TRY(fsys_write_at(f->fs, f->fd, f->path, record->data, record->size, f->end, err));
    f->end += record->size;
    f->hash = hash;
    return RC_OK;
}

struct rc fold_file_add(struct fold_file *f, uint64_t first_txid, uint64_t last_txid, int64_t time_ms,
    struct span bytes, struct fold_file_place *place, struct err *err)
{
    CLEANUP(buf_fini) struct buf record;
    struct fold_file_place p = {.at = f->end + RECORD_HEAD_SIZE + SEGMENT_HEAD_SIZE, .size = bytes.size};

    p.hash = digest_bytes(bytes.data, bytes.size);
    buf_init(&record, RECORD_HEAD_SIZE + PAYLOAD_MAX + HASH_SIZE);
    buf_u32(&record, FOLD_FILE_SEGMENT);
    buf_u32(&record, (uint32_t)(SEGMENT_HEAD_SIZE + bytes.size));
    buf_u64(&record, first_txid);
    buf_u64(&record, last_txid);
    buf_u64(&record, (uint64_t)time_ms);
    buf_put(&record, bytes.data, bytes.size);
    TRY(append(f, &record, err));
    *place = p;
    return RC_OK;
}

struct rc fold_file_note(
    struct fold_file *f, enum fold_file_type type, uint64_t first_txid, uint64_t last_txid, struct err *err)
{
    CLEANUP(buf_fini) struct buf record;

    buf_init(&record, RECORD_HEAD_SIZE + NOTE_SIZE + HASH_SIZE);
    buf_u32(&record, (uint32_t)type);
    buf_u32(&record, NOTE_SIZE);
    buf_u64(&record, first_txid);
    buf_u64(&record, last_txid);
    return append(f, &record, err);
}

struct rc fold_file_read(
    const struct fold_file *f, const struct fold_file_place *place, struct buf *out, struct err *err)
{
    uint8_t *bytes = buf_grow(out, (size_t)place->size);

    TRY(buf_check(out, f->path, err));
    TRY(fsys_read_at(f->fs, f->fd, f->path, bytes, (size_t)place->size, place->at, err));
    if (digest_bytes(bytes, (size_t)place->size) != place->hash)
        return rc_raise(err, E_CORRUPT, "%s: the segment at byte %" PRIu64 " has changed", f->path, place->at);
    return RC_OK;
}

/* False: it makes no sense. */
static bool take_record(struct span record, uint64_t at, struct fold_file_record *out)
{
    struct cursor c = cursor_of(record);
    uint32_t type = cursor_u32(&c), size = cursor_u32(&c);

    *out = (struct fold_file_record){.type = (enum fold_file_type)type};
    out->first_txid = cursor_u64(&c);
    out->last_txid = cursor_u64(&c);
    if (type == FOLD_FILE_SEGMENT) {
        out->time_ms = (int64_t)cursor_u64(&c);
        out->place.at = at + RECORD_HEAD_SIZE + SEGMENT_HEAD_SIZE;
        out->place.size = cursor_left(&c);
        out->place.hash = digest_bytes(c.at, cursor_left(&c));
        return !c.bad && out->first_txid > 0 && out->first_txid <= out->last_txid;
    }
    return !c.bad && size == NOTE_SIZE && type > FOLD_FILE_SEGMENT && type <= FOLD_FILE_DELETED;
}

/* *good: the record at the end of what was read so far is whole. */
static struct rc read_record(
    struct fold_file *f, struct buf *bytes, struct fold_file_record *out, bool *good, struct err *err)
{
    struct cursor c;
    uint64_t hash;
    uint32_t size;

    *good = false;
    if (f->size - f->end < RECORD_HEAD_SIZE + HASH_SIZE)
        return RC_OK;
    buf_clear(bytes);
    (void)buf_grow(bytes, RECORD_HEAD_SIZE);
    TRY(buf_check(bytes, f->path, err));
    TRY(fsys_read_at(f->fs, f->fd, f->path, bytes->data, RECORD_HEAD_SIZE, f->end, err));
    c = cursor_of(span_of(bytes->data + 4, 4));
    size = cursor_u32(&c);
    if (size > PAYLOAD_MAX || f->size - f->end < RECORD_HEAD_SIZE + size + HASH_SIZE)
        return RC_OK;
    (void)buf_grow(bytes, size + HASH_SIZE);
    TRY(buf_check(bytes, f->path, err));
    TRY(fsys_read_at(
        f->fs, f->fd, f->path, bytes->data + RECORD_HEAD_SIZE, size + HASH_SIZE, f->end + RECORD_HEAD_SIZE, err));
    c = cursor_of(span_of(bytes->data + RECORD_HEAD_SIZE + size, HASH_SIZE));
    hash = cursor_u64(&c);
    *good = hash == hash_of(f->hash, span_of(bytes->data, RECORD_HEAD_SIZE + size))
            && take_record(span_of(bytes->data, RECORD_HEAD_SIZE + size), f->end, out);
    if (*good) {
        f->hash = hash;
        f->end += RECORD_HEAD_SIZE + size + HASH_SIZE;
    }
    return RC_OK;
}

struct rc fold_file_next(struct fold_file *f, struct fold_file_record *out, bool *end, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes;
    bool good = false;

    buf_init(&bytes, RECORD_HEAD_SIZE + PAYLOAD_MAX + HASH_SIZE);
    TRY(read_record(f, &bytes, out, &good, err));
    *end = !good;
    if (good || f->size == f->end)
        return RC_OK;
    if (f->fs->ftruncate(f->fs, f->fd, (off_t)f->end) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "truncate %s", f->path);
    f->size = f->end;
    return RC_OK;
}
