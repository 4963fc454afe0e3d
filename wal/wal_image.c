/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_image.h"

#include "wal_reader_intern.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Like pread of the database file, with zeros beyond its end: a page that only the log has so far. */
static struct rc read_database(struct wal_reader *r, uint64_t offset, uint8_t *out, size_t size, struct err *err)
{
    const struct wal_conn *c = r->conn;
    size_t done = 0;

    while (done < size) {
        ssize_t n = c->fs->pread(c->fs, c->db_fd, out + done, size - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rc_raise_sys(
                err, rc_from_errno(errno), errno, "read %s at %llu", c->path, (unsigned long long)(offset + done));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    memset(out + done, 0, size - done);
    return RC_OK;
}

struct rc wal_image_fetch(struct wal_reader *r, uint32_t frame, uint32_t pgno, uint8_t *page, struct err *err)
{
    uint32_t size = r->conn->page_size;
    uint32_t newest = r->pos.frame;

    assert(pgno != 0);
    if (frame == 0)
        return read_database(r, (uint64_t)(pgno - 1) * size, page, size, err);
    if (frame > newest - r->buffered && frame <= newest) { /* still in the batch that was delivered last */
        memcpy(page,
            r->buffer + (size_t)(frame - (newest - r->buffered) - 1) * r->frame_size + WAL_FMT_FRAME_HEADER_SIZE, size);
        return RC_OK;
    }
    return fsys_read_at(r->conn->fs, r->conn->wal_fd, r->conn->wal_path, page, size,
        wal_fmt_frame_offset(size, frame) + WAL_FMT_FRAME_HEADER_SIZE, err);
}

struct rc wal_image_in_file(struct wal_reader *r, uint32_t first, uint32_t count, uint8_t *pages, struct err *err)
{
    size_t size = r->conn->page_size;

    assert(first != 0);
    return read_database(r, (uint64_t)(first - 1) * size, pages, count * size, err);
}

uint32_t wal_image_newest(const struct wal_reader *r, uint32_t pgno, uint32_t until)
{
    uint32_t frame = wal_map_get(r->map, pgno), before_batch = r->pos.frame - r->buffered;

    assert(until >= before_batch);
    while (frame > until)
        frame = r->frames[frame - before_batch - 1].previous;
    return frame;
}

struct rc wal_image_current(struct wal_reader *r, uint32_t first, uint32_t count, uint8_t *pages, struct err *err)
{
    size_t size = r->conn->page_size;

    assert(first != 0);
    if (!wal_map_complete(r->map))
        return rc_raise(err, E_BUSY, "%s: the log holds too many pages to take a copy now", r->conn->path);
    TRY(read_database(r, (uint64_t)(first - 1) * size, pages, count * size, err));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t frame = wal_map_get(r->map, first + i);

        if (frame != 0)
            TRY(wal_image_fetch(r, frame, first + i, pages + i * size, err));
    }
    return RC_OK;
}
