/* SPDX-License-Identifier: Apache-2.0 */
#include "local_files.h"

#include "alloc.h"
#include "rng.h"
#include "strx.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum { FILE_MODE = 0600 };

static char *current_path(const char *dir)
{
    return mem_printf("%s/current", dir);
}

char *local_files_pages_path(const char *dir, uint64_t id)
{
    return mem_printf("%s/pages.%016" PRIx64, dir, id);
}

char *local_files_log_path(const char *dir, uint64_t id)
{
    return mem_printf("%s/log.%016" PRIx64, dir, id);
}

/* --- clearing away ---------------------------------------------------------------------------------------------- */

/* Whether the name is that of a file of another checkpoint than `keep`. */
static bool is_left_over(const char *name, uint64_t keep)
{
    static const char *const kinds[] = {"pages.", "log."};
    uint64_t id;

    if (strcmp(name, "current.tmp") == 0)
        return true;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i]);

        if (strncmp(name, kinds[i], n) == 0 && strlen(name) == n + 16 && strx_hex_fixed(name + n, 16, &id))
            return id != keep;
    }
    return false;
}

void local_files_sweep(const struct fsys *fs, const char *dir, uint64_t keep)
{
    DIR *d = fs->opendir(fs, dir);
    const struct dirent *entry;

    if (d == NULL)
        return;
    while ((entry = readdir(d)) != NULL)
        if (is_left_over(entry->d_name, keep)) {
            CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, entry->d_name);

            (void)fs->unlink(fs, path); /* see the header */
        }
    (void)closedir(d); /* it was read from */
}

struct rc local_files_discard(const struct fsys *fs, const char *dir, struct err *err)
{
    CLEANUP(mem_freep) char *path = current_path(dir);

    TRY(fsys_remove(fs, path, err));
    TRY(fsys_sync_dir(fs, dir, err));
    local_files_sweep(fs, dir, 0);
    return RC_OK;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

struct rc local_files_read_current(
    const struct fsys *fs, const char *dir, struct local_fmt_current *out, struct err *err)
{
    CLEANUP(mem_freep) char *path = current_path(dir);
    CLEANUP(buf_fini) struct buf b;

    buf_init(&b, LOCAL_FMT_CURRENT_SIZE_MAX);
    TRY(fsys_read_file(fs, path, &b, err));
    TRY_CTX(local_fmt_decode_current(buf_span(&b), out, err), err, "%s", path);
    return RC_OK;
}

struct rc local_files_read_pages(const struct fsys *fs, const char *dir, const struct local_fmt_current *cur,
    struct page_hash *hashes, struct err *err)
{
    CLEANUP(mem_freep) char *path = local_files_pages_path(dir, cur->id);
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    uint8_t head[LOCAL_FMT_PAGES_HEADER_SIZE];
    uint32_t count = cur->content.pos.page_count;
    struct stat st;

    TRY(fsys_open(fs, path, O_RDONLY | O_NOFOLLOW, 0, &f.fd, err));
    TRY(fsys_read_at(fs, f.fd, path, head, sizeof head, 0, err));
    TRY_CTX(local_fmt_decode_pages_header(span_of(head, sizeof head), cur->id, count, cur->pages_hash, err), err, "%s",
        path);
    /* Before memory is taken for what may not be there. */
    if (fs->fstat(fs, f.fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    if ((uint64_t)st.st_size != sizeof head + (uint64_t)count * sizeof(uint64_t))
        return rc_raise(err, E_CORRUPT, "%s: %lld bytes for %u pages", path, (long long)st.st_size, count);
    TRY(page_hash_read(hashes, fs, f.fd, path, sizeof head, count, err));
    if (local_fmt_pages_hash(cur->id, hashes) != cur->pages_hash)
        return rc_raise(err, E_CORRUPT, "%s: hash of the content is wrong", path);
    return RC_OK;
}

bool local_files_broken(const struct err *err)
{
    switch (err->sys) {
    case EIO:
    case ELOOP:
    case EISDIR:
    case ENOTDIR:
        return true;
    default:
        return err->code == E_CORRUPT || err->code == E_UNSUPPORTED || err->code == E_NOTFOUND;
    }
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* A file that must not be there yet. */
static struct rc create(const struct fsys *fs, const char *path, int *fd, struct err *err)
{
    return fsys_open(fs, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE, fd, err);
}

static struct rc sync_file(const struct fsys *fs, int fd, const char *path, struct err *err)
{
    if (fs->fsync(fs, fd) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "fsync %s", path);
    return RC_OK;
}

static struct rc write_pages(const struct fsys *fs, const char *path, const struct local_fmt_current *cur,
    const struct page_hash *hashes, struct err *err)
{
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    CLEANUP(buf_fini) struct buf head;
    int fd;

    buf_init(&head, LOCAL_FMT_PAGES_HEADER_SIZE);
    local_fmt_encode_pages_header(cur->id, page_hash_count(hashes), cur->pages_hash, &head);
    TRY(buf_check(&head, path, err));
    TRY(create(fs, path, &f.fd, err));
    TRY(fsys_write_at(fs, f.fd, path, head.data, head.size, 0, err));
    TRY(page_hash_write(hashes, fs, f.fd, path, head.size, err));
    TRY(sync_file(fs, f.fd, path, err));
    fd = f.fd;
    f.fd = -1;
    if (fs->close(fs, fd) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "close %s", path);
    return RC_OK;
}

static struct rc write_log(
    const struct fsys *fs, const char *path, uint64_t id, struct local_log *log, struct fsys_fd *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf head;

    buf_init(&head, LOCAL_FMT_LOG_HEADER_SIZE);
    local_fmt_encode_log_header(id, &head, &log->chain);
    TRY(buf_check(&head, path, err));
    TRY(create(fs, path, &out->fd, err));
    TRY(fsys_write_at(fs, out->fd, path, head.data, head.size, 0, err));
    return sync_file(fs, out->fd, path, err);
}

/* The two files of a checkpoint, complete and durable, but named by nobody yet. */
static struct rc write_files(const struct fsys *fs, const char *dir, const struct local_fmt_current *cur,
    const struct page_hash *hashes, struct local_log *log, struct fsys_fd *log_file, struct err *err)
{
    CLEANUP(mem_freep) char *pages_path = local_files_pages_path(dir, cur->id);
    CLEANUP(mem_freep) char *log_path = local_files_log_path(dir, cur->id);
    struct rc rc = write_pages(fs, pages_path, cur, hashes, err);

    if (!rc_failed(rc))
        rc = write_log(fs, log_path, cur->id, log, log_file, err);
    if (!rc_failed(rc))
        rc = fsys_sync_dir(fs, dir, err);
    if (rc_failed(rc)) {
        (void)fs->unlink(fs, pages_path); /* on a full disk they would be in the way; what stays is swept later */
        (void)fs->unlink(fs, log_path);
    }
    return rc;
}

static struct rc write_current(
    const struct fsys *fs, const char *dir, const struct local_fmt_current *cur, struct err *err)
{
    CLEANUP(mem_freep) char *path = current_path(dir);
    CLEANUP(buf_fini) struct buf b;

    buf_init(&b, LOCAL_FMT_CURRENT_SIZE_MAX);
    local_fmt_encode_current(cur, &b);
    TRY(buf_check(&b, path, err));
    return fsys_write_atomic(fs, path, b.data, b.size, FILE_MODE, err);
}

static uint64_t new_id(void)
{
    uint64_t id;

    do
        id = rng_u64();
    while (id == 0); /* which stands for "none" */
    return id;
}

struct rc local_files_write(const struct fsys *fs, const char *dir, const struct local_state_content *content,
    const struct page_hash *hashes, struct local_log *log, struct fsys_fd *fd, uint64_t *id, struct err *err)
{
    struct local_fmt_current cur = {.id = new_id(), .content = *content};
    CLEANUP(fsys_closep) struct fsys_fd log_file = {fs, -1};

    cur.pages_hash = local_fmt_pages_hash(cur.id, hashes);
    TRY(write_files(fs, dir, &cur, hashes, log, &log_file, err));
    /* When this fails it is not known which checkpoint is current, so the files of both stay. */
    TRY(write_current(fs, dir, &cur, err));
    local_files_sweep(fs, dir, cur.id);
    *id = cur.id;
    *fd = log_file;
    log_file.fd = -1;
    return RC_OK;
}
