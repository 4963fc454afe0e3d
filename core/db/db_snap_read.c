/* SPDX-License-Identifier: Apache-2.0 */
#include "db_snap_read.h"

#include "db_freeze.h"
#include "db_reach.h"
#include "digest.h"
#include "wal_image.h"

#include <string.h>

/* The page was read in its state at the reader's position, if its hash says so; else it stays on the list. */
static struct rc judge_page(struct db_snap_copy *c, uint32_t pgno, const uint8_t *page, bool *good, struct err *err)
{
    struct db_live *l = c->l;

    *good = true;
    if (c->s->first && l->cap.absorbing && page_hash_get(l->hashes, pgno) == 0)
        TRY(wal_capture_page(&l->cap, pgno, page, err));
    else
        *good = digest_page(pgno, page, l->conn->page_size) == page_hash_get(l->hashes, pgno);
    if (*good) {
        bitmap_remove(l->changed, pgno);
        return RC_OK;
    }
    c->s->stuck_page = pgno;
    return bitmap_add(l->changed, pgno, err);
}

/* Put the page into the frame that is being filled. */
static void keep_page(struct snap_upload_frame *j, uint32_t pgno, const uint8_t *page)
{
    memmove(j->pages + (size_t)j->count * j->page_size, page, j->page_size);
    j->pgnos[j->count++] = pgno;
}

/* Pages from c->next_page on, for all frames of a group. */
struct rc db_snap_read_walk(struct db_snap_copy *c, struct err *err)
{
    struct db_live *l = c->l;
    uint32_t per_frame = snap_frame_pages(l->conn->page_size), lock_page = dbfmt_lock_page(l->conn->page_size);
    bool end;

    for (c->job_count = 0; c->job_count < c->job_max && c->next_page <= page_hash_count(l->hashes);) {
        struct snap_upload_frame *j = c->jobs[c->job_count];
        uint64_t left = page_hash_count(l->hashes) - c->next_page + 1;
        uint32_t first = (uint32_t)c->next_page, count = left < per_frame ? (uint32_t)left : per_frame;
        bool good;

        TRY(wal_image_current(l->reader, first, count, j->pages, err));
        j->count = 0;
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *page = j->pages + (size_t)i * j->page_size;

            if (first + i == lock_page)
                continue;
            TRY(judge_page(c, first + i, page, &good, err));
            if (good)
                keep_page(j, first + i, page);
        }
        c->next_page += count;
        c->job_count += j->count > 0;
    }
    return c->s->lane < 0 ? db_live_absorb(l, &end, err) : RC_OK;
}

static struct rc read_one(struct db_snap_copy *c, struct snap_upload_frame *j, uint32_t pgno, struct err *err)
{
    uint8_t *at = j->pages + (size_t)j->count * j->page_size;
    bool good;

    TRY(wal_image_current(c->l->reader, pgno, 1, at, err));
    TRY(judge_page(c, pgno, at, &good, err));
    if (good)
        j->pgnos[j->count++] = pgno;
    return RC_OK;
}

/* Changed pages from c->next_page on, for all frames of a group. */
struct rc db_snap_read_changed(struct db_snap_copy *c, struct err *err)
{
    struct db_live *l = c->l;
    uint32_t per_frame = snap_frame_pages(l->conn->page_size), pgno;

    for (c->job_count = 0; c->job_count < c->job_max;) {
        struct snap_upload_frame *j = c->jobs[c->job_count];

        for (j->count = 0; j->count < per_frame && bitmap_next(l->changed, (uint32_t)c->next_page, &pgno);) {
            c->next_page = (uint64_t)pgno + 1;
            if (pgno > page_hash_count(l->hashes))
                bitmap_remove(l->changed, pgno); /* the database shrank */
            else
                TRY(read_one(c, j, pgno, err));
        }
        if (j->count == 0)
            break;
        c->job_count++;
    }
    return RC_OK;
}

static struct rc append_segment(struct db_live *l, struct err *err)
{
    struct db_segment *s;

    TRY(db_live_finish(l, &s, err));
    if (s != NULL) {
        *l->parts_last = s;
        l->parts_last = &s->next;
    }
    return RC_OK;
}

/* The index of the state that was reached, for merges to come.  Without it they begin with a snapshot. */
void db_snap_read_stage(struct db_snap_copy *c)
{
    if (c->s->dir != NULL)
        rc_ignore(merge_base_stage(c->l->fs, c->s->dir, c->l->hashes, &c->s->entries_hash, &c->s->stage_err),
            "the error is kept");
}

/* Read on to the end of the log, then the rest of the changed pages at one position: that is the snapshot's state. */
struct rc db_snap_read_final(struct db_snap_copy *c, struct err *err)
{
    struct db_live *l = c->l;
    bool end = false;

    c->job_count = 0;
    if (!c->frozen)
        TRY(db_live_absorb(l, &end, err));
    c->left = (uint64_t)bitmap_count(l->changed) * l->conn->page_size;
    if ((!end && !c->frozen) || l->cap.inside || c->left > DB_SNAP_FINAL_BYTES)
        return RC_OK;
    c->next_page = 1;
    TRY(db_snap_read_changed(c, err));
    if (bitmap_count(l->changed) > 0)
        return RC_OK; /* what was read is current all the same, and is kept */
    c->final_done = true;
    c->s->meta.time_ms = l->cap.time_ms;
    c->s->meta.txid = l->cap.txid;
    c->s->meta.page_count = page_hash_count(l->hashes);
    c->s->meta.checksum = page_hash_checksum(l->hashes);
    if (c->s->first)
        return RC_OK;
    db_snap_read_stage(c);
    return append_segment(l, err);
}

/* Pages that are gone need no image: the page count says it. */
static struct rc note_differences(struct db_snap_copy *c, struct err *err)
{
    const struct page_hash *now = c->l->hashes, *base = c->s->base;

    for (uint32_t pgno = 1; pgno <= page_hash_count(now); pgno++)
        if (page_hash_get(now, pgno) != page_hash_get(base, pgno))
            TRY(bitmap_add(c->l->changed, pgno, err));
    c->s->pages_total = bitmap_count(c->l->changed);
    return RC_OK;
}

struct rc db_snap_read_count(struct db_snap_copy *c, struct err *err)
{
    const struct page_hash *now = c->l->hashes, *base = c->s->base;

    (void)err;
    for (uint32_t pgno = 1; pgno <= page_hash_count(now); pgno++)
        c->count += page_hash_get(now, pgno) != page_hash_get(base, pgno);
    return RC_OK;
}

/* The first snapshot makes the index: it begins empty, as long as the database is. */
static struct rc begin_index(struct db_snap_copy *c, struct err *err)
{
    struct db_live *l = c->l;
    uint32_t count;

    page_hash_clear(l->hashes);
    l->cap.absorbing = true;
    l->cap.enc = NULL;
    /* First of all: the log's first commit would have all pages read one by one. */
    TRY(db_live_page_count(l, &count, err));
    TRY(page_hash_resize(l->hashes, count, err));
    return db_reach_now(l, err);
}

struct rc db_snap_read_begin(struct db_snap_copy *c, struct err *err)
{
    struct db_live *l = c->l;

    l->changed = bitmap_new();
    if (c->s->level > 0)
        TRY(note_differences(c, err));
    else if (c->s->first)
        TRY(begin_index(c, err));
    c->expected = (uint64_t)page_hash_count(l->hashes) * l->conn->page_size;
    return RC_OK;
}

struct rc db_snap_read_freeze(struct db_snap_copy *c, struct err *err)
{
    return db_freeze_begin(c->l, &c->frozen, err);
}

struct rc db_snap_read_thaw(struct db_snap_copy *c, struct err *err)
{
    (void)err;
    db_freeze_end(c->l);
    c->frozen = false;
    return RC_OK;
}

struct rc db_snap_read_end(struct db_snap_copy *c, struct err *err)
{
    bitmap_free(c->l->changed);
    c->l->changed = NULL;
    return db_snap_read_thaw(c, err);
}
