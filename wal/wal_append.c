/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_append.h"

#include "alloc.h"
#include "dbfmt.h"
#include "rng.h"
#include "wal_fmt.h"
#include "wal_table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    MAGIC_LITTLE = 0x377f0682,
    FILE_VERSION = 3007000,
    LOCK_TRIES = 100,
    LOCK_PAUSE_US = 5000, /* together half a second, as WAL_CONN_BUSY_MS */
    RECOVER_TRIES = 3,
};

struct wal_append {
    struct wal_conn *conn;   /* borrowed */
    struct wal_table *table; /* owned */
    int fd;                  /* the -wal file, for writing; owned */
    uint8_t *frame;          /* owned: header and page of the frame that is held back, because it may be the last */
    uint32_t held_pgno;      /* 0: none is */

    bool inside;
    struct wal_index_header head; /* of the log, with what this transaction added and nobody sees yet */
    uint32_t appended;            /* frames of this transaction, the one that is held back included */

    /* What we left. */
    bool known;
    uint32_t change_count, page_count, frames;
};

/* --- opening ------------------------------------------------------------------------------------------------------ */

struct rc wal_append_open(struct wal_append **out, struct wal_conn *conn, struct err *err)
{
    CLEANUP(wal_append_closep) struct wal_append *a = mem_new(sizeof *a);

    a->conn = conn;
    a->fd = -1;
    a->table = wal_table_new(conn);
    a->frame = mem_new(WAL_FMT_FRAME_HEADER_SIZE + (size_t)conn->page_size);
    TRY(fsys_open(conn->fs, conn->wal_path, O_RDWR, 0, &a->fd, err));
    *out = MOVE(a);
    return RC_OK;
}

void wal_append_close(struct wal_append *a)
{
    if (a == NULL)
        return;
    wal_append_abort(a);
    if (a->fd >= 0)
        (void)a->conn->fs->close(a->conn->fs, a->fd); /* what counts was fsynced */
    wal_table_free(a->table);
    mem_free(a->frame);
    mem_free(a);
}

void wal_append_closep(struct wal_append **a)
{
    wal_append_close(*a);
    *a = NULL;
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static bool take_lock(struct wal_append *a)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (wal_conn_lock(a->conn, WAL_INDEX_LOCK_WRITE, 1, true))
            return true;
        (void)usleep(LOCK_PAUSE_US);
    }
    return false;
}

static void drop_lock(struct wal_append *a)
{
    wal_conn_unlock(a->conn, WAL_INDEX_LOCK_WRITE, 1, true);
}

/* With the lock.  An index that cannot be read under it was left by a process that died: SQLite mends it. */
static struct rc lock_and_read(struct wal_append *a, struct err *err)
{
    for (int i = 0; i < RECOVER_TRIES; i++) {
        if (!take_lock(a))
            return rc_raise(err, E_BUSY, "%s: another connection holds the write lock", a->conn->path);
        if (wal_index_read(a->conn->shm, &a->head))
            return RC_OK;
        drop_lock(a);
        TRY(wal_conn_recover(a->conn, err));
    }
    return rc_raise(err, E_BUSY, "%s: the WAL index cannot be read", a->conn->path);
}

/* The log goes on behind frame max_frame: it is the one that the index speaks of. */
static struct rc check_log(struct wal_append *a, struct err *err)
{
    uint8_t bytes[WAL_FMT_HEADER_SIZE];
    const struct wal_index_header *h = &a->head;
    struct wal_pos start;

    if (h->max_frame == 0)
        return RC_OK;
    TRY(fsys_read_at(a->conn->fs, a->fd, a->conn->wal_path, bytes, sizeof bytes, 0, err));
    TRY_CTX(wal_fmt_decode_header(span_of(bytes, sizeof bytes), &start, err), err, "%s", a->conn->wal_path);
    if (start.salt[0] != h->salt[0] || start.salt[1] != h->salt[1] || start.page_size != a->conn->page_size
        || start.big_endian != h->big_endian)
        return rc_raise(err, E_CORRUPT, "%s is not the log that its index describes", a->conn->wal_path);
    return RC_OK;
}

static bool differs(const struct wal_append *a, const struct wal_index_header *h)
{
    return a->known && (h->change_count != a->change_count || h->page_count != a->page_count);
}

void wal_append_accept(struct wal_append *a)
{
    assert(a->inside);
    assert(a->appended == 0);
    a->known = true;
    a->change_count = a->head.change_count;
    a->page_count = a->head.page_count;
    a->frames = a->head.max_frame;
}

/* The index of a log without commits may not know the size of the database. */
static struct rc file_pages(struct wal_append *a, struct err *err)
{
    struct stat st;

    if (a->head.max_frame > 0)
        return RC_OK;
    if (a->conn->fs->fstat(a->conn->fs, a->conn->db_fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", a->conn->path);
    if ((uint64_t)st.st_size / a->conn->page_size > DBFMT_PAGE_COUNT_MAX)
        return rc_raise(err, E_CORRUPT, "%s is larger than a database can be", a->conn->path);
    a->head.page_count = (uint32_t)((uint64_t)st.st_size / a->conn->page_size);
    return RC_OK;
}

static struct rc begin_locked(struct wal_append *a, bool *changed, struct err *err)
{
    TRY(check_log(a, err));
    TRY(file_pages(a, err));
    TRY(wal_table_cut(a->table, a->head.max_frame, err));
    a->head.page_size = a->conn->page_size;
    a->frames = a->head.max_frame;
    a->appended = 0;
    a->held_pgno = 0;
    *changed = differs(a, &a->head);
    return RC_OK;
}

struct rc wal_append_begin(struct wal_append *a, bool *changed, struct err *err)
{
    struct rc rc;

    assert(!a->inside);
    TRY(lock_and_read(a, err));
    rc = begin_locked(a, changed, err);
    if (rc_failed(rc)) {
        drop_lock(a);
        return rc;
    }
    a->inside = true;
    if (!a->known)
        wal_append_accept(a);
    return RC_OK;
}

bool wal_append_changed(const struct wal_append *a)
{
    struct wal_index_header h;

    return wal_index_read(a->conn->shm, &h) && a->known && h.change_count != a->change_count;
}

uint32_t wal_append_page_count(const struct wal_append *a)
{
    assert(a->inside);
    return a->head.page_count;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static uint32_t last_written(const struct wal_append *a)
{
    return a->head.max_frame + a->appended - (a->held_pgno != 0 ? 1 : 0);
}

/* *found false: the page is in no frame. */
static struct rc read_frame(struct wal_append *a, uint32_t pgno, uint8_t *page, bool *found, struct err *err)
{
    const struct wal_conn *c = a->conn;
    uint32_t frame = 0;

    *found = true;
    if (a->held_pgno == pgno) {
        memcpy(page, a->frame + WAL_FMT_FRAME_HEADER_SIZE, c->page_size);
        return RC_OK;
    }
    TRY(wal_table_find(a->table, pgno, last_written(a), &frame, err));
    *found = frame != 0;
    if (frame == 0)
        return RC_OK;
    return fsys_read_at(c->fs, a->fd, c->wal_path, page, c->page_size,
        wal_fmt_frame_offset(c->page_size, frame) + WAL_FMT_FRAME_HEADER_SIZE, err);
}

struct rc wal_append_read(struct wal_append *a, uint32_t pgno, uint8_t *page, struct err *err)
{
    const struct wal_conn *c = a->conn;
    bool found;

    assert(a->inside);
    assert(pgno != 0);
    TRY(read_frame(a, pgno, page, &found, err));
    if (found)
        return RC_OK;
    return fsys_read_at(c->fs, c->db_fd, c->path, page, c->page_size, (uint64_t)(pgno - 1) * c->page_size, err);
}

static struct rc read_file_run(const struct wal_conn *c, uint32_t first, uint8_t *pages, size_t size, struct err *err)
{
    uint64_t at = (uint64_t)(first - 1) * c->page_size;
    size_t done = 0;

    while (done < size) {
        ssize_t n = c->fs->pread(c->fs, c->db_fd, pages + done, size - done, (off_t)(at + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "read %s", c->path);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    memset(pages + done, 0, size - done);
    return RC_OK;
}

struct rc wal_append_read_run(struct wal_append *a, uint32_t first, uint32_t count, uint8_t *pages, struct err *err)
{
    const struct wal_conn *c = a->conn;
    bool found;

    assert(a->inside);
    TRY(read_file_run(c, first, pages, (size_t)count * c->page_size, err));
    for (uint32_t i = 0; i < count; i++)
        TRY(read_frame(a, first + i, pages + (size_t)i * c->page_size, &found, err));
    return RC_OK;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* The first frame of a log stands behind a new header, with salts of its own, so that nothing that lies in the file
 * from before can continue it. */
static struct rc write_header(struct wal_append *a, struct err *err)
{
    struct wal_index_header *h = &a->head;
    uint8_t bytes[WAL_FMT_HEADER_SIZE] = {0};

    h->salt[0]++;
    rng_bytes(&h->salt[1], sizeof h->salt[1]);
    h->big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    h->frame_cksum[0] = h->frame_cksum[1] = 0;
    put_be32(bytes, MAGIC_LITTLE | (h->big_endian ? 1u : 0u));
    put_be32(bytes + 4, FILE_VERSION);
    put_be32(bytes + 8, a->conn->page_size);
    put_be32(bytes + 16, h->salt[0]); /* 12: the checkpoint counter, which SQLite takes over from here */
    put_be32(bytes + 20, h->salt[1]);
    wal_fmt_checksum(h->big_endian, bytes, 24, h->frame_cksum);
    put_be32(bytes + 24, h->frame_cksum[0]);
    put_be32(bytes + 28, h->frame_cksum[1]);
    return fsys_write_at(a->conn->fs, a->fd, a->conn->wal_path, bytes, sizeof bytes, 0, err);
}

/* Write the frame that was held back.  `commit_pages` not 0: it ends the transaction. */
static struct rc write_held(struct wal_append *a, uint32_t commit_pages, struct err *err)
{
    const uint32_t page_size = a->conn->page_size, number = a->head.max_frame + a->appended;
    struct wal_index_header *h = &a->head;

    if (number == 1)
        TRY(write_header(a, err));
    put_be32(a->frame, a->held_pgno);
    put_be32(a->frame + 4, commit_pages);
    put_be32(a->frame + 8, h->salt[0]);
    put_be32(a->frame + 12, h->salt[1]);
    wal_fmt_checksum(h->big_endian, a->frame, 8, h->frame_cksum);
    wal_fmt_checksum(h->big_endian, a->frame + WAL_FMT_FRAME_HEADER_SIZE, page_size, h->frame_cksum);
    put_be32(a->frame + 16, h->frame_cksum[0]);
    put_be32(a->frame + 20, h->frame_cksum[1]);
    TRY(fsys_write_at(a->conn->fs, a->fd, a->conn->wal_path, a->frame, WAL_FMT_FRAME_HEADER_SIZE + (size_t)page_size,
        wal_fmt_frame_offset(page_size, number), err));
    TRY(wal_table_add(a->table, number, a->held_pgno, err));
    a->held_pgno = 0;
    return RC_OK;
}

struct rc wal_append_page(struct wal_append *a, uint32_t pgno, const uint8_t *page, struct err *err)
{
    assert(a->inside);
    assert(pgno != 0);
    if (a->held_pgno != 0 && a->held_pgno != pgno)
        TRY(write_held(a, 0, err));
    if (a->held_pgno == 0) {
        if ((uint64_t)a->head.max_frame + a->appended >= UINT32_MAX)
            return rc_raise(err, E_NOSPACE, "%s: the log cannot have more frames", a->conn->wal_path);
        a->appended++;
    }
    a->held_pgno = pgno;
    memcpy(a->frame + WAL_FMT_FRAME_HEADER_SIZE, page, a->conn->page_size);
    return RC_OK;
}

static void finish(struct wal_append *a)
{
    a->inside = false;
    a->appended = 0;
    a->held_pgno = 0;
    drop_lock(a);
}

void wal_append_abort(struct wal_append *a)
{
    if (a->inside)
        finish(a);
}

/* That the database shrinks takes a frame, too. */
static struct rc append_page_one(struct wal_append *a, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *page = mem_new(a->conn->page_size);

    TRY(wal_append_read(a, 1, page, err));
    return wal_append_page(a, 1, page, err);
}

static struct rc commit(struct wal_append *a, uint32_t page_count, struct err *err)
{
    struct wal_conn *c = a->conn;

    if (a->appended == 0 && page_count == a->head.page_count)
        return RC_OK;
    if (a->appended == 0)
        TRY(append_page_one(a, err));
    TRY(write_held(a, page_count, err));
    if (c->fs->fsync(c->fs, a->fd) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "fsync %s", c->wal_path);
    a->head.max_frame += a->appended;
    a->head.page_count = page_count;
    a->head.change_count++;
    a->appended = 0;
    wal_index_write(c->shm, &a->head);
    wal_append_accept(a);
    return RC_OK;
}

struct rc wal_append_commit(struct wal_append *a, uint32_t page_count, struct err *err)
{
    struct rc rc;

    assert(a->inside);
    assert(page_count != 0);
    rc = commit(a, page_count, err);
    finish(a);
    return rc;
}

/* --- starting the log over ---------------------------------------------------------------------------------------- */

uint32_t wal_append_log_frames(const struct wal_append *a)
{
    return a->frames;
}

struct rc wal_append_restart(struct wal_append *a, uint32_t frames, bool *done, struct err *err)
{
    *done = false;
    assert(!a->inside);
    if (a->frames < frames || a->frames == 0)
        return RC_OK;
    TRY(wal_conn_truncate(a->conn, done, err));
    if (*done)
        a->frames = 0;
    return RC_OK;
}
