/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include "alloc.h"
#include "digest.h"
#include "image_proof.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    EARLY_SIZE = 32 << 20, /* bytes of file that are written back together; 8 to 64 MiB do not differ */
};

struct image {
    /* Set at the begin, read-only afterwards. */
    const struct fsys *fs; /* borrowed */
    char *target, *temp;   /* owned */
    int fd;
    uint32_t page_size;

    /* One thread only. */
    uint32_t page_count;
    uint32_t room;      /* entries in `hashes` */
    size_t early_count; /* entries in `early` */
    bool published;
    struct image_proof *proof; /* owned; NULL: everything is compared at the end */
    bool left;                 /* the temporary file stays */

    /* Any thread: entries of `hashes` belong to the writer of the page, the others are atomic. */
    uint64_t *hashes;  /* owned; 0: never written */
    uint32_t *early;   /* owned; bytes written in each EARLY_SIZE of the file at creation */
    uint64_t checksum; /* XOR of `hashes` */
    bool dirty;        /* written since the last sync */
    bool broken;       /* a write or sync failed */
    bool no_early;     /* the file system does not know how */
};

static uint64_t offset_of(const struct image *im, uint32_t pgno)
{
    return (uint64_t)(pgno - 1) * im->page_size;
}

static bool unsupported(int sys)
{
    return sys == EOPNOTSUPP || sys == ENOSYS || sys == EINVAL;
}

/* --- creation ---------------------------------------------------------------------------------------------------- */

static struct rc set_size(struct image *im, uint64_t size, struct err *err)
{
    if (size > INT64_MAX)
        return rc_raise(err, E_NOSPACE, "%s: %" PRIu64 " bytes are more than a file can have", im->temp, size);
    if (im->fs->ftruncate(im->fs, im->fd, (off_t)size) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "set size of %s to %" PRIu64 " bytes", im->temp, size);
    return RC_OK;
}

static struct rc reserve(struct image *im, struct err *err)
{
    const uint64_t size = (uint64_t)im->page_count * im->page_size;

    if (size > 0 && size <= INT64_MAX && im->fs->fallocate != NULL) {
        if (im->fs->fallocate(im->fs, im->fd, 0, (off_t)size) == 0)
            return RC_OK;
        if (!unsupported(errno))
            return rc_raise_sys(err, rc_from_errno(errno), errno, "reserve %" PRIu64 " bytes for %s", size, im->temp);
    }
    return set_size(im, size, err);
}

static struct rc allocate(struct image *im, struct err *err)
{
    im->room = im->page_count > 0 ? im->page_count : 1;
    im->hashes = mem_try(im->room, sizeof *im->hashes);
    im->early_count = (size_t)((uint64_t)im->page_count * im->page_size / EARLY_SIZE);
    im->early = mem_try(im->early_count + 1, sizeof *im->early);
    if (im->hashes == NULL || im->early == NULL)
        return rc_raise(err, E_NOMEM, "image of %" PRIu32 " pages", im->page_count);
    return RC_OK;
}

/* Who could use the old file must be able to use the new one. */
static struct rc take_permissions(const struct image *im, struct err *err)
{
    struct stat st;
    bool replaces = im->fs->stat(im->fs, im->target, &st) == 0;

    if (!replaces && errno != ENOENT)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", im->target);
    if (im->fs->give == NULL)
        return RC_OK;
    if (replaces && im->fs->give(im->fs, im->fd, st.st_uid, st.st_gid, st.st_mode & 0777) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "give %s the permissions of %s", im->temp, im->target);
    return RC_OK;
}

static struct rc create(struct image **out, const struct fsys *fs, const char *target, uint32_t page_size,
    uint32_t page_count, struct err *err)
{
    CLEANUP(image_freep) struct image *im = mem_new(sizeof *im);

    assert(dbfmt_page_size_ok(page_size));
    im->fs = fs;
    im->target = mem_strdup(target);
    im->fd = -1;
    im->page_size = page_size;
    im->page_count = page_count;
    if (page_count > DBFMT_PAGE_COUNT_MAX)
        return rc_raise(err, E_CORRUPT, "image of %" PRIu32 " pages: SQLite cannot have these", page_count);
    im->dirty = true;
    TRY(allocate(im, err));
    image_left_clean(fs, target);
    *out = MOVE(im);
    return RC_OK;
}

static void take_file(struct image *im, struct image_left *file)
{
    im->temp = MOVE(file->path);
    im->fd = file->fd;
    file->fd = -1;
}

struct rc image_create(struct image **out, const struct fsys *fs, const char *target, uint32_t page_size,
    uint32_t page_count, struct err *err)
{
    CLEANUP(image_freep) struct image *im = NULL;
    struct image_left fresh;

    TRY(create(&im, fs, target, page_size, page_count, err));
    TRY(image_left_create(fs, target, &fresh, err));
    take_file(im, &fresh);
    TRY(take_permissions(im, err));
    TRY(reserve(im, err));
    *out = MOVE(im);
    return RC_OK;
}

/* What was in the file before, and will not be written, because SQLite never does. */
static struct rc clear_lock_page(struct image *im, struct err *err)
{
    const uint32_t lock = dbfmt_lock_page(im->page_size);
    CLEANUP(mem_freep) uint8_t *zeros = NULL;

    if (lock > im->page_count)
        return RC_OK;
    zeros = mem_new(im->page_size);
    return fsys_write_at(im->fs, im->fd, im->temp, zeros, im->page_size, offset_of(im, lock), err);
}

struct rc image_create_over(struct image **out, const char *target, struct image_left *left, uint32_t page_size,
    uint32_t page_count, struct err *err)
{
    CLEANUP(image_freep) struct image *im = NULL;
    struct stat st;

    TRY(create(&im, left->fs, target, page_size, page_count, err));
    take_file(im, left);
    /* As a new one would be made; what it replaces may say otherwise. */
    if (im->fs->fstat(im->fs, im->fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", im->temp);
    if (im->fs->give != NULL && im->fs->give(im->fs, im->fd, st.st_uid, st.st_gid, 0600) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "set the permissions of %s", im->temp);
    TRY(take_permissions(im, err));
    TRY(set_size(im, (uint64_t)page_count * page_size, err));
    TRY(reserve(im, err));
    TRY(clear_lock_page(im, err));
    *out = MOVE(im);
    return RC_OK;
}

struct rc image_clone(struct image *im, int from, bool *cloned, struct err *err)
{
    *cloned = im->fs->clone != NULL && im->fs->clone(im->fs, im->fd, from) == 0;
    if (!*cloned)
        return RC_OK; /* whatever the reason: the pages are copied then */
    TRY(set_size(im, (uint64_t)im->page_count * im->page_size, err));
    return clear_lock_page(im, err);
}

void image_free(struct image *im)
{
    if (im == NULL)
        return;
    if (im->fd >= 0) {
        if (!im->published && !im->left)
            (void)im->fs->unlink(im->fs, im->temp); /* the next restore removes it otherwise */
        (void)im->fs->close(im->fs, im->fd);        /* what counts was synced before it was published */
    }
    mem_free(im->target);
    mem_free(im->temp);
    mem_free(im->hashes);
    mem_free(im->early);
    image_proof_free(im->proof);
    mem_free(im);
}

void image_freep(struct image **im)
{
    image_free(*im);
    *im = NULL;
}

/* --- pages ------------------------------------------------------------------------------------------------------- */

static struct rc check_pages(const struct image *im, uint32_t first, uint32_t count, struct err *err)
{
    uint32_t lock = dbfmt_lock_page(im->page_size);

    if (first == 0 || first > im->page_count || count > im->page_count - first + 1)
        return rc_raise(err, E_CORRUPT, "write pages %" PRIu32 " to %" PRIu64 " of %s: it has %" PRIu32 " pages", first,
            (uint64_t)first + count - 1, im->temp, im->page_count);
    if (lock >= first && lock - first < count)
        return rc_raise(err, E_CORRUPT, "write page %" PRIu32 " of %s: it is the lock page", lock, im->temp);
    return RC_OK;
}

static struct image_proof_pages pages_of(const struct image *im)
{
    return (struct image_proof_pages){
        .fs = im->fs, .fd = im->fd, .path = im->temp, .page_size = im->page_size, .hashes = im->hashes};
}

/* A stretch that does not turn out well is left to image_verify(), which finds out again and can say so. */
static void prove_early(struct image *im, uint64_t off)
{
    const uint32_t first = (uint32_t)(off / im->page_size) + 1, count = (uint32_t)EARLY_SIZE / im->page_size;
    const struct image_proof_pages pages = pages_of(im);
    uint32_t bad = 0;
    struct err ignored;

    if (im->proof == NULL || !image_proof_open(im->proof))
        return;
    if (!rc_failed(image_proof_compare(&pages, first, count, &bad, &ignored)) && bad == 0)
        image_proof_set(im->proof, first, count);
}

static struct rc finish_stretch(struct image *im, uint64_t off, struct err *err)
{
    if (im->fs->write_early != NULL && !__atomic_load_n(&im->no_early, __ATOMIC_RELAXED)
        && im->fs->write_early(im->fs, im->fd, (off_t)off, EARLY_SIZE) != 0) {
        if (!unsupported(errno))
            return rc_raise_sys(err, rc_from_errno(errno), errno, "write back %s", im->temp);
        __atomic_store_n(&im->no_early, true, __ATOMIC_RELAXED);
    }
    prove_early(im, off);
    return RC_OK;
}

/* Count what was written; a stretch that is complete for the first time goes to the disk now, and is compared. */
static struct rc count_written(struct image *im, uint64_t off, uint64_t n, struct err *err)
{
    while (n > 0) {
        uint64_t i = off / EARLY_SIZE, part = EARLY_SIZE - off % EARLY_SIZE;
        uint32_t done;

        part = part < n ? part : n;
        off += part;
        n -= part;
        if (i >= im->early_count)
            continue;
        /* Pages written more than once, by segments, count beyond the size, where nothing happens any more.  Whoever
         * counts last sees the hashes of all who counted before. */
        done = __atomic_load_n(&im->early[i], __ATOMIC_RELAXED);
        if (done >= EARLY_SIZE
            || __atomic_add_fetch(&im->early[i], (uint32_t)part, __ATOMIC_ACQ_REL) != (uint32_t)EARLY_SIZE)
            continue;
        TRY(finish_stretch(im, i * EARLY_SIZE, err));
    }
    return RC_OK;
}

static struct rc put(struct image *im, uint32_t first, const uint8_t *pages, uint32_t count, struct err *err)
{
    uint64_t *hashes = im->hashes + (first - 1), change = 0;
    size_t size = (size_t)count * im->page_size;
    bool again = false;

    __atomic_store_n(&im->dirty, true, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = digest_page(first + i, pages + (size_t)i * im->page_size, im->page_size);

        again = again || hashes[i] != 0;
        change ^= hashes[i] ^ hash;
        hashes[i] = hash;
    }
    (void)__atomic_fetch_xor(&im->checksum, change, __ATOMIC_RELAXED);
    if (again && im->proof != NULL)
        image_proof_clear(im->proof, first, count);
    TRY(fsys_write_at(im->fs, im->fd, im->temp, pages, size, offset_of(im, first), err));
    return count_written(im, offset_of(im, first), size, err);
}

struct rc image_put(struct image *im, uint32_t first_pgno, const uint8_t *pages, uint32_t count, struct err *err)
{
    struct rc rc;

    assert(count > 0);
    assert(!im->published);
    TRY(check_pages(im, first_pgno, count, err));
    rc = put(im, first_pgno, pages, count, err);
    if (rc_failed(rc))
        __atomic_store_n(&im->broken, true, __ATOMIC_RELAXED);
    return rc;
}

struct rc image_keep(struct image *im, uint32_t pgno, uint64_t hash, struct err *err)
{
    assert(!im->published);
    assert(hash != 0);
    TRY(check_pages(im, pgno, 1, err));
    im->checksum ^= im->hashes[pgno - 1] ^ hash;
    im->hashes[pgno - 1] = hash;
    return RC_OK;
}

struct rc image_write(struct image *im, uint32_t pgno, const uint8_t *page, struct err *err)
{
    return image_put(im, pgno, page, 1, err);
}

struct rc image_read(struct image *im, uint32_t pgno, uint8_t *page, struct err *err)
{
    if (pgno == 0 || pgno > im->page_count)
        return rc_raise(
            err, E_CORRUPT, "read page %" PRIu32 " of %s: it has %" PRIu32 " pages", pgno, im->temp, im->page_count);
    TRY(fsys_read_at(im->fs, im->fd, im->temp, page, im->page_size, offset_of(im, pgno), err));
    if (!image_proof_page_ok(im->hashes[pgno - 1], pgno, page, im->page_size))
        return rc_raise(err, E_CORRUPT, "read page %" PRIu32 " of %s: not the bytes that were written", pgno, im->temp);
    return RC_OK;
}

static struct rc make_room(struct image *im, uint32_t page_count, struct err *err)
{
    uint64_t room = (uint64_t)im->room + im->room / 2;
    uint64_t *hashes;

    if (page_count <= im->room)
        return RC_OK;
    room = room < page_count ? page_count : room;
    room = room > DBFMT_PAGE_COUNT_MAX ? DBFMT_PAGE_COUNT_MAX : room;
    hashes = mem_resize(im->hashes, room, sizeof *hashes);
    if (hashes == NULL)
        return rc_raise(err, E_NOMEM, "image of %" PRIu32 " pages", page_count);
    memset(hashes + im->room, 0, (room - im->room) * sizeof *hashes);
    im->hashes = hashes;
    im->room = (uint32_t)room;
    return RC_OK;
}

struct rc image_resize(struct image *im, uint32_t page_count, struct err *err)
{
    struct rc rc;

    assert(!im->published);
    if (page_count == im->page_count)
        return RC_OK;
    if (page_count > DBFMT_PAGE_COUNT_MAX)
        return rc_raise(
            err, E_CORRUPT, "resize %s to %" PRIu32 " pages: SQLite cannot have these", im->temp, page_count);
    TRY(make_room(im, page_count, err));
    im->dirty = true;
    rc = set_size(im, (uint64_t)page_count * im->page_size, err);
    if (rc_failed(rc)) {
        im->broken = true;
        return rc;
    }
    for (uint32_t i = page_count; i < im->page_count; i++) {
        im->checksum ^= im->hashes[i];
        im->hashes[i] = 0;
    }
    /* Pages that come back are others. */
    if (im->proof != NULL && page_count < im->page_count)
        image_proof_clear(im->proof, page_count + 1, im->page_count - page_count);
    im->page_count = page_count;
    return RC_OK;
}

uint32_t image_page_count(const struct image *im)
{
    return im->page_count;
}

uint64_t image_checksum(const struct image *im)
{
    return __atomic_load_n(&im->checksum, __ATOMIC_RELAXED);
}

const char *image_temp_path(const struct image *im)
{
    return im->temp;
}

/* --- proof and publication --------------------------------------------------------------------------------------- */

struct rc image_verify_early(struct image *im, struct err *err)
{
    assert(im->proof == NULL);
    return image_proof_new(&im->proof, im->page_count, err);
}

struct rc image_verify(struct image *im, struct err *err)
{
    const struct image_proof_pages pages = pages_of(im);
    const uint64_t size = (uint64_t)im->page_count * im->page_size;
    uint32_t first = 1, count = im->page_count, bad = 0;
    struct stat st;

    if (im->fs->fstat(im->fs, im->fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", im->temp);
    if ((uint64_t)st.st_size != size)
        return rc_raise(err, E_CORRUPT, "verify %s: %jd bytes, not %" PRIu64, im->temp, (intmax_t)st.st_size, size);
    if (im->proof != NULL)
        count = image_proof_run(im->proof, 1, im->page_count, &first);
    while (count > 0) {
        TRY_CTX(image_proof_compare(&pages, first, count, &bad, err), err, "verify");
        if (bad != 0)
            return rc_raise(
                err, E_CORRUPT, "verify %s: page %" PRIu32 " does not hold the bytes that were written", im->temp, bad);
        first += count;
        count = im->proof != NULL ? image_proof_run(im->proof, first, im->page_count, &first) : 0;
    }
    return RC_OK;
}

struct rc image_hashes(const struct image *im, struct page_hash *out, struct err *err)
{
    page_hash_clear(out);
    TRY(page_hash_resize(out, im->page_count, err));
    for (uint32_t i = 0; i < im->page_count; i++)
        if (im->hashes[i] != 0)
            TRY(page_hash_set(out, i + 1, im->hashes[i], err));
    return RC_OK;
}

struct rc image_sync(struct image *im, struct err *err)
{
    if (im->broken)
        return rc_raise(err, E_IO, "sync %s: an earlier write or sync of it did not succeed", im->temp);
    if (!im->dirty)
        return RC_OK;
    if (im->fs->fsync(im->fs, im->fd) != 0) {
        im->broken = true;
        return rc_raise_sys(err, rc_from_errno(errno), errno, "fsync %s", im->temp);
    }
    im->dirty = false;
    return RC_OK;
}

struct rc image_leave(struct image *im, const struct image_left_note *note, struct err *err)
{
    uint8_t bytes[IMAGE_LEFT_NOTE_SIZE];

    assert(!im->published);
    if (im->broken)
        return rc_raise(err, E_IO, "leave %s: an earlier write or sync of it did not succeed", im->temp);
    if (note != NULL) {
        image_left_put_note(note, bytes);
        TRY(fsys_write_at(
            im->fs, im->fd, im->temp, bytes, sizeof bytes, (uint64_t)im->page_count * im->page_size, err));
    }
    im->left = true;
    return RC_OK;
}

struct rc image_publish(struct image *im, struct err *err)
{
    assert(!im->published);
    TRY(image_sync(im, err));
    /* Still locked, so that no clean-up can take the file away under its temporary name. */
    if (im->fs->rename(im->fs, im->temp, im->target) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "rename %s to %s", im->temp, im->target);
    im->published = true;
    return fsys_sync_parent(im->fs, im->target, err);
}

bool image_is_published(const struct image *im)
{
    return im->published;
}

struct rc image_publish_new(struct image *im, struct err *err)
{
    assert(!im->published);
    TRY(image_sync(im, err));
    TRY(fsys_rename_new(im->fs, im->temp, im->target, err));
    im->published = true;
    return fsys_sync_parent(im->fs, im->target, err);
}
