/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_still.h"

#include "wal_gate.h"
#include "wal_image.h"
#include "wal_reader_intern.h"

#include <errno.h>

struct rc wal_still_read(struct wal_reader *r, uint32_t first, uint32_t count, uint8_t *pages, struct err *err)
{
    const struct wal_conn *c = r->conn;
    off_t off = (off_t)(first - 1) * c->page_size, size = (off_t)count * c->page_size;

    if (c->fs->uncache != NULL)
        (void)c->fs->uncache(c->fs, c->db_fd, off, size); /* a wish: memory is what the application reads, too */
    return wal_image_in_file(r, first, count, pages, err);
}

bool wal_still_settled(const struct wal_reader *r, uint32_t pgno)
{
    return wal_map_complete(r->map) && wal_map_get(r->map, pgno) <= wal_index_backfilled(r->conn->shm);
}

static struct rc prove_pinned(struct wal_reader *r, uint32_t pgno, uint8_t *page, enum wal_still *what, struct err *err)
{
    enum wal_still seen = WAL_STILL_READ;
    struct err why;

    *what = WAL_STILL_MOVING;
    if (!wal_reader_at_end(r) || !wal_still_settled(r, pgno))
        return RC_OK;
    if (rc_failed(wal_still_read(r, pgno, 1, page, &why))) {
        if (why.sys != EIO) {
            *err = why;
            return rc_of(err);
        }
        seen = WAL_STILL_UNREADABLE;
    }
    if (wal_reader_at_end(r))
        *what = seen;
    return RC_OK;
}

struct rc wal_still_prove(struct wal_reader *r, uint32_t pgno, uint8_t *page, enum wal_still *what, struct err *err)
{
    struct wal_conn *c = r->conn;
    struct rc rc;

    *what = WAL_STILL_MOVING;
    if (!c->gate_held || c->gate_pinned || !wal_gate_pin(c)) /* pinned: a snapshot reads its last pages */
        return RC_OK;
    rc = prove_pinned(r, pgno, page, what, err);
    wal_gate_unpin(c);
    return rc;
}
