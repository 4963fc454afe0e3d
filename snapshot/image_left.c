/* SPDX-License-Identifier: Apache-2.0 */
#include "image_left.h"

#include "alloc.h"
#include "dbfmt.h"
#include "digest.h"
#include "rng.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    TRIES_MAX = 8, /* a clean-up of another restore can take a name away at most once each */
    NOTE_VERSION = 1,
    NOTE_HASHED = 56,
};
static const char note_magic[] = "weir-lft";

/* --- finding them ------------------------------------------------------------------------------------------------ */

static bool is_left_over(const char *name, const char *base)
{
    size_t n = strlen(base), mark = strlen(IMAGE_LEFT_MARK);

    return strncmp(name, base, n) == 0 && strncmp(name + n, IMAGE_LEFT_MARK, mark) == 0
           && strlen(name + n + mark) == IMAGE_LEFT_DIGITS
           && strspn(name + n + mark, "0123456789abcdef") == IMAGE_LEFT_DIGITS;
}

/* Call `each` for the path of every file with such a name. */
static void visit(const struct fsys *fs, const char *target,
    void (*each)(const struct fsys *fs, const char *path, void *ctx), void *ctx)
{
    const char *slash = strrchr(target, '/'), *base = slash == NULL ? target : slash + 1;
    CLEANUP(mem_freep) char *dir = slash == NULL ? mem_strdup(".") : mem_printf("%.*s/", (int)(slash - target), target);
    DIR *d = fs->opendir(fs, dir);

    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (is_left_over(e->d_name, base)) {
            CLEANUP(mem_freep) char *path = mem_printf("%.*s%s", (int)(base - target), target, e->d_name);

            each(fs, path, ctx);
        }
    }
    (void)closedir(d); /* nothing was written */
}

/* --- removing them ----------------------------------------------------------------------------------------------- */

/* A temporary file whose lock can be had has no owner.  It is removed under the lock, see lock_new(). */
static void remove_one(const struct fsys *fs, const char *path, void *ctx)
{
    struct stat st;
    int fd = fs->open(fs, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

    (void)ctx;
    if (fd < 0)
        return;
    if (fs->fstat(fs, fd, &st) == 0 && S_ISREG(st.st_mode) && fs->flock(fs, fd, LOCK_EX | LOCK_NB) == 0)
        (void)fs->unlink(fs, path); /* stays for the next restore if it cannot be removed */
    (void)fs->close(fs, fd);        /* nothing was written */
}

void image_left_clean(const struct fsys *fs, const char *target)
{
    visit(fs, target, remove_one, NULL);
}

/* --- making one -------------------------------------------------------------------------------------------------- */

/*
 * The lock, and then a look whether the file still has its name: between creation and lock a clean-up of another
 * restore may have taken it for a left-over.  Later it cannot, because it removes only what it has locked.
 */
static struct rc lock_new(const struct image_left *f, bool *lost, struct err *err)
{
    struct stat st;

    *lost = false;
    if (f->fs->flock(f->fs, f->fd, LOCK_EX | LOCK_NB) != 0) {
        *lost = errno == EWOULDBLOCK;
        return *lost ? RC_OK : rc_raise_sys(err, rc_from_errno(errno), errno, "lock %s", f->path);
    }
    if (f->fs->fstat(f->fs, f->fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", f->path);
    *lost = st.st_nlink == 0;
    return RC_OK;
}

static struct rc try_create(struct image_left *f, const char *target, bool *lost, struct err *err)
{
    struct rc rc;

    f->path = mem_printf("%s" IMAGE_LEFT_MARK "%016" PRIx64, target, rng_u64());
    TRY(fsys_open(f->fs, f->path, O_RDWR | O_CREAT | O_EXCL, 0600, &f->fd, err));
    rc = lock_new(f, lost, err);
    if (rc_failed(rc))
        (void)f->fs->unlink(f->fs, f->path); /* the next restore removes it otherwise */
    return rc;
}

struct rc image_left_create(const struct fsys *fs, const char *target, struct image_left *out, struct err *err)
{
    *out = (struct image_left){.fs = fs, .fd = -1};
    for (int i = 0; i < TRIES_MAX; i++) {
        bool lost = false;
        struct rc rc = try_create(out, target, &lost, err);

        if (!rc_failed(rc) && !lost)
            return RC_OK;
        image_left_fini(out); /* an empty file without a name */
        TRY(rc);
    }
    return rc_raise(err, E_BUSY, "create a temporary file for %s: taken away %d times", target, TRIES_MAX);
}

/* --- taking one over --------------------------------------------------------------------------------------------- */

struct choice {
    struct image_left *best;
    uid_t owner; /* of the target: a restore by root gives its file to them */
    struct timespec changed;
};

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* The look at the file comes behind the lock: until then a clean-up may have taken its name away. */
static void consider(const struct fsys *fs, const char *path, void *ctx)
{
    struct choice *c = ctx;
    struct stat st;
    int fd = fs->open(fs, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);

    if (fd < 0)
        return;
    if (fs->flock(fs, fd, LOCK_EX | LOCK_NB) != 0 || fs->fstat(fs, fd, &st) != 0 || !S_ISREG(st.st_mode)
        || (st.st_uid != geteuid() && st.st_uid != c->owner) || st.st_nlink != 1 || st.st_size <= 0
        || (c->best->fd >= 0 && !is_newer(&st.st_mtim, &c->changed))) {
        (void)fs->close(fs, fd); /* nothing was written */
        return;
    }
    image_left_fini(c->best);
    *c->best = (struct image_left){.fs = fs, .path = mem_strdup(path), .fd = fd, .size = (uint64_t)st.st_size};
    c->changed = st.st_mtim;
}

void image_left_take(const struct fsys *fs, const char *target, struct image_left *out)
{
    struct choice c = {.best = out, .owner = geteuid()};
    struct stat st;

    if (fs->stat(fs, target, &st) == 0)
        c.owner = st.st_uid;
    *out = (struct image_left){.fs = fs, .fd = -1};
    visit(fs, target, consider, &c);
}

void image_left_fini(struct image_left *left)
{
    if (left->path != NULL && left->fd >= 0)
        (void)left->fs->close(left->fs, left->fd); /* nothing was written */
    mem_free(left->path);
    *left = (struct image_left){.fs = left->fs, .fd = -1};
}

/* --- the note ---------------------------------------------------------------------------------------------------- */

void image_left_put_note(const struct image_left_note *note, uint8_t *bytes)
{
    struct buf b;

    buf_init(&b, IMAGE_LEFT_NOTE_SIZE);
    buf_put(&b, note_magic, sizeof note_magic - 1);
    buf_u32(&b, NOTE_VERSION);
    buf_u32(&b, note->page_size);
    buf_put(&b, note->database.bytes, sizeof note->database.bytes);
    buf_u32(&b, note->timeline);
    buf_u32(&b, note->page_count);
    buf_u64(&b, note->txid);
    buf_u64(&b, note->checksum);
    buf_u64(&b, digest_bytes(b.data, NOTE_HASHED));
    assert(b.size == IMAGE_LEFT_NOTE_SIZE);
    memcpy(bytes, b.data, b.size);
    buf_fini(&b);
}

static bool decode_note(const uint8_t *bytes, uint64_t offset, struct image_left_note *out)
{
    struct cursor c = cursor_of(span_of(bytes, IMAGE_LEFT_NOTE_SIZE));
    struct span magic = cursor_bytes(&c, sizeof note_magic - 1), id;
    uint32_t version = cursor_u32(&c);

    *out = (struct image_left_note){.page_size = cursor_u32(&c)};
    id = cursor_bytes(&c, sizeof out->database.bytes);
    memcpy(out->database.bytes, id.data, sizeof out->database.bytes);
    out->timeline = cursor_u32(&c);
    out->page_count = cursor_u32(&c);
    out->txid = cursor_u64(&c);
    out->checksum = cursor_u64(&c);
    return cursor_u64(&c) == digest_bytes(bytes, NOTE_HASHED) && memcmp(magic.data, note_magic, magic.size) == 0
           && version == NOTE_VERSION && dbfmt_page_size_ok(out->page_size)
           && (uint64_t)out->page_count * out->page_size == offset;
}

struct rc image_left_read_note(const struct image_left *left, struct image_left_note *out, bool *found, struct err *err)
{
    uint8_t bytes[IMAGE_LEFT_NOTE_SIZE];

    *found = false;
    if (left->size < sizeof bytes)
        return RC_OK;
    TRY(fsys_read_at(left->fs, left->fd, left->path, bytes, sizeof bytes, left->size - sizeof bytes, err));
    *found = decode_note(bytes, left->size - sizeof bytes, out);
    return RC_OK;
}
