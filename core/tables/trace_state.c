/* SPDX-License-Identifier: Apache-2.0 */
#include "trace_state.h"

#include "alloc.h"
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

enum { READ_SIZE = 256 << 10 };

static struct rc read_hashes(struct trace_state *t, uint32_t page_count, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *chunk = mem_new(READ_SIZE);
    const uint32_t per_read = READ_SIZE / t->page_size, lock_page = dbfmt_lock_page(t->page_size);

    TRY(page_hash_resize(t->hashes, page_count, err));
    for (uint32_t done = 0; done < page_count;) {
        uint32_t n = page_count - done < per_read ? page_count - done : per_read;

        TRY(fsys_read_at(t->fs, t->fd, t->path, chunk, (size_t)n * t->page_size, (uint64_t)done * t->page_size, err));
        for (uint32_t i = 0; i < n; i++)
            if (done + i + 1 != lock_page)
                TRY(page_hash_set(t->hashes, done + i + 1,
                    digest_page(done + i + 1, chunk + (size_t)i * t->page_size, t->page_size), err));
        done += n;
    }
    return RC_OK;
}

struct rc trace_state_open(struct trace_state **out, const struct fsys *fs, const char *path, uint32_t page_size,
    uint32_t page_count, struct err *err)
{
    CLEANUP(trace_state_closep) struct trace_state *t = mem_new(sizeof *t);

    t->fs = fs;
    t->path = mem_strdup(path);
    t->page_size = page_size;
    t->hashes = page_hash_new();
    t->fd = -1;
    TRY(fsys_open(fs, path, O_RDWR | (page_count == 0 ? O_CREAT : 0), 0600, &t->fd, err));
    TRY(read_hashes(t, page_count, err));
    *out = MOVE(t);
    return RC_OK;
}

void trace_state_close(struct trace_state *t)
{
    if (t == NULL)
        return;
    if (t->fd >= 0) {
        (void)t->fs->close(t->fs, t->fd);
        (void)t->fs->unlink(t->fs, t->path); /* the folder is emptied at the end anyway */
    }
    page_hash_free(t->hashes);
    mem_free(t->path);
    mem_free(t);
}

void trace_state_closep(struct trace_state **t)
{
    trace_state_close(*t);
    *t = NULL;
}

uint32_t trace_state_page_count(const struct trace_state *t)
{
    return page_hash_count(t->hashes);
}

uint64_t trace_state_checksum(const struct trace_state *t)
{
    return page_hash_checksum(t->hashes);
}

struct rc trace_state_read(const struct trace_state *t, uint32_t pgno, uint8_t *page, struct err *err)
{
    if (pgno == 0 || pgno > page_hash_count(t->hashes))
        return rc_raise(
            err, E_CORRUPT, "page %" PRIu32 " of a state of %" PRIu32 " pages", pgno, page_hash_count(t->hashes));
    return fsys_read_at(t->fs, t->fd, t->path, page, t->page_size, (uint64_t)(pgno - 1) * t->page_size, err);
}

struct rc trace_state_write(struct trace_state *t, uint32_t pgno, const uint8_t *page, struct err *err)
{
    if (pgno == 0 || pgno == dbfmt_lock_page(t->page_size))
        return rc_raise(err, E_CORRUPT, "page %" PRIu32 " cannot have been changed", pgno);
    if (pgno > page_hash_count(t->hashes))
        TRY(trace_state_resize(t, pgno, err));
    TRY(fsys_write_at(t->fs, t->fd, t->path, page, t->page_size, (uint64_t)(pgno - 1) * t->page_size, err));
    return page_hash_set(t->hashes, pgno, digest_page(pgno, page, t->page_size), err);
}

struct rc trace_state_resize(struct trace_state *t, uint32_t page_count, struct err *err)
{
    uint64_t size = (uint64_t)page_count * t->page_size;

    if (page_count == page_hash_count(t->hashes))
        return RC_OK;
    if (page_count > DBFMT_PAGE_COUNT_MAX || size > INT64_MAX)
        return rc_raise(err, E_CORRUPT, "a state of %" PRIu32 " pages: SQLite cannot have these", page_count);
    if (t->fs->ftruncate(t->fs, t->fd, (off_t)size) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "set size of %s to %" PRIu64 " bytes", t->path, size);
    return page_hash_resize(t->hashes, page_count, err);
}

struct rc trace_state_compare(
    const struct trace_state *a, const struct trace_state *b, struct bitmap *changed, struct err *err)
{
    for (uint32_t pgno = 1; pgno <= page_hash_count(b->hashes); pgno++)
        if (page_hash_get(a->hashes, pgno) != page_hash_get(b->hashes, pgno))
            TRY(bitmap_add(changed, pgno, err));
    return RC_OK;
}
