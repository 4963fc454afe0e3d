/* SPDX-License-Identifier: Apache-2.0 */
#include "db_snap.h"

#include "alloc.h"
#include "digest.h"
#include "snap_frame.h"
#include "snap_writer.h"
#include "upload.h"
#include "wal_image.h"

#include <string.h>
#include <unistd.h>

enum {
    PARTS = 2,             /* of the upload: the daemon is to stay small */
    GROUP_FRAMES = 4,      /* frames read at a time, at most */
    FINAL_BYTES = 1 << 20, /* pages that may be read in the one step in which nothing is captured */
    HOLD_AFTER = 12,       /* rounds until capturing is paused, because pages change faster than they are copied */
    GIVE_UP_AFTER = 400,   /* rounds until a page that never agrees with the index is called corrupt */
    LEVEL = SNAP_FRAME_LEVEL,
    ROUND_PAUSE_US = 1000,
};

struct frame_job {
    struct work_item item;
    uint32_t page_size;
    uint32_t pgnos[SNAP_FRAME_PAGES_MAX];
    uint8_t *pages; /* owned */
    uint32_t count;
    struct zstr_enc *z; /* owned */
    struct snap_frame frame;
    struct rc rc;
    struct err err;
};

struct copy {
    struct db_snap *s;
    struct db_live *l;
    struct snap_writer *writer;
    struct upload *upload; /* owned */
    uint64_t expected;     /* bytes of all pages at the begin */
    struct frame_job *jobs[GROUP_FRAMES];
    size_t job_max;   /* as many as there are lanes: more would only be memory */
    size_t job_count; /* with pages, in this group */
    uint64_t next_page;
    uint32_t count; /* pages that differ from the base of a merge */
    bool final_done;

    /* A step in the lane. */
    struct work_item item;
    struct rc (*step)(struct copy *c, struct err *err);
    struct rc rc;
    struct err err;
};

static void run_step(struct work_item *item)
{
    struct copy *c = item->owner;

    c->rc = c->step(c, &c->err);
}

static struct rc in_lane(struct copy *c, struct rc (*step)(struct copy *c, struct err *err), struct err *err)
{
    if (c->s->lane < 0)
        return step(c, err);
    c->step = step;
    c->item.run = run_step;
    c->item.owner = c;
    work_lane_wait(c->s->work, (unsigned)c->s->lane, &c->item);
    if (rc_failed(c->rc))
        *err = c->err;
    return c->rc;
}

/* --- reading, in the lane --------------------------------------------------------------------------------------- */

/* The page was read in its state at the reader's position, if its hash says so; else it stays on the list. */
static struct rc judge_page(struct copy *c, uint32_t pgno, const uint8_t *page, bool *good, struct err *err)
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
static void keep_page(struct frame_job *j, uint32_t pgno, const uint8_t *page)
{
    memmove(j->pages + (size_t)j->count * j->page_size, page, j->page_size);
    j->pgnos[j->count++] = pgno;
}

/* Pages from c->next_page on, for all frames of a group. */
static struct rc read_walk(struct copy *c, struct err *err)
{
    struct db_live *l = c->l;
    uint32_t per_frame = snap_frame_pages(l->conn->page_size), lock_page = dbfmt_lock_page(l->conn->page_size);
    bool end;

    for (c->job_count = 0; c->job_count < c->job_max && c->next_page <= page_hash_count(l->hashes);) {
        struct frame_job *j = c->jobs[c->job_count];
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

static struct rc read_one(struct copy *c, struct frame_job *j, uint32_t pgno, struct err *err)
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
static struct rc read_changed(struct copy *c, struct err *err)
{
    struct db_live *l = c->l;
    uint32_t per_frame = snap_frame_pages(l->conn->page_size), pgno;

    for (c->job_count = 0; c->job_count < c->job_max;) {
        struct frame_job *j = c->jobs[c->job_count];

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
static void stage(struct copy *c)
{
    if (c->s->dir != NULL)
        rc_ignore(merge_base_stage(c->l->fs, c->s->dir, c->l->hashes, &c->s->entries_hash, &c->s->stage_err),
            "the error is kept");
}

/* Read on to the end of the log, then the rest of the changed pages at one position: that is the snapshot's state. */
static struct rc read_final(struct copy *c, struct err *err)
{
    struct db_live *l = c->l;
    bool end = false;

    c->job_count = 0;
    TRY(db_live_absorb(l, &end, err));
    if (!end || l->cap.inside || (size_t)bitmap_count(l->changed) * l->conn->page_size > FINAL_BYTES)
        return RC_OK;
    c->next_page = 1;
    TRY(read_changed(c, err));
    if (bitmap_count(l->changed) > 0)
        return RC_OK; /* what was read is current all the same, and is kept */
    c->final_done = true;
    c->s->meta.time_ms = l->cap.time_ms;
    c->s->meta.txid = l->cap.txid;
    c->s->meta.page_count = page_hash_count(l->hashes);
    c->s->meta.checksum = page_hash_checksum(l->hashes);
    if (c->s->first)
        return RC_OK;
    stage(c);
    return append_segment(l, err);
}

/* Pages that are gone need no image: the page count says it. */
static struct rc note_differences(struct copy *c, struct err *err)
{
    const struct page_hash *now = c->l->hashes, *base = c->s->base;

    for (uint32_t pgno = 1; pgno <= page_hash_count(now); pgno++)
        if (page_hash_get(now, pgno) != page_hash_get(base, pgno))
            TRY(bitmap_add(c->l->changed, pgno, err));
    c->s->pages_total = bitmap_count(c->l->changed);
    return RC_OK;
}

static struct rc count_differences(struct copy *c, struct err *err)
{
    const struct page_hash *now = c->l->hashes, *base = c->s->base;

    (void)err;
    for (uint32_t pgno = 1; pgno <= page_hash_count(now); pgno++)
        c->count += page_hash_get(now, pgno) != page_hash_get(base, pgno);
    return RC_OK;
}

/* The first snapshot makes the index: it begins empty, as long as the database is. */
static struct rc begin_index(struct copy *c, struct err *err)
{
    struct db_live *l = c->l;
    uint32_t count;
    bool end = false;

    page_hash_clear(l->hashes);
    l->cap.absorbing = true;
    l->cap.enc = NULL;
    while (!end)
        TRY(db_live_absorb(l, &end, err));
    TRY(db_live_page_count(l, &count, err));
    return page_hash_resize(l->hashes, count, err);
}

static struct rc begin(struct copy *c, struct err *err)
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

static struct rc end_tracking(struct copy *c, struct err *err)
{
    (void)err;
    bitmap_free(c->l->changed);
    c->l->changed = NULL;
    c->l->hold = false;
    return RC_OK;
}

static struct rc hold(struct copy *c, struct err *err)
{
    (void)err;
    c->l->hold = true;
    return RC_OK;
}

static struct rc release(struct copy *c, struct err *err)
{
    (void)err;
    c->l->hold = false;
    return RC_OK;
}

/* --- compressing and uploading ------------------------------------------------------------------------------------ */

static void encode(struct work_item *item)
{
    struct frame_job *j = item->owner;

    j->rc = snap_frame_encode(j->z, j->page_size, j->pgnos, j->pages, j->count, &j->frame, &j->err);
}

/* What the group's frames hold goes into the object. */
static struct rc write_group(struct copy *c, struct err *err)
{
    struct work_item *items[GROUP_FRAMES];
    struct rc rc = RC_OK;

    if (c->s->stop != NULL && *c->s->stop)
        return rc_raise(err, E_CANCELED, "stopping");
    for (size_t i = 0; i < c->job_count; i++) {
        items[i] = &c->jobs[i]->item;
        items[i]->run = encode;
        items[i]->owner = c->jobs[i];
    }
    work_spread_wait(c->s->work, items, c->job_count);
    for (size_t i = 0; i < c->job_count; i++) {
        struct frame_job *j = c->jobs[i];

        if (!rc_failed(rc) && rc_failed(j->rc)) {
            *err = j->err;
            rc = j->rc;
        }
        if (!rc_failed(rc))
            rc = snap_writer_add(c->writer, &j->frame, upload_tail(c->upload), err);
        if (!rc_failed(rc))
            rc = upload_pass(c->upload, err);
        c->s->pages_done += j->count;
        snap_frame_fini(&j->frame);
    }
    c->s->stored_bytes = upload_size(c->upload);
    return rc;
}

/* --- the story ---------------------------------------------------------------------------------------------------- */

static struct rc copy_all(struct copy *c, struct err *err)
{
    for (c->next_page = 1; c->s->level == 0;) {
        TRY(in_lane(c, read_walk, err));
        if (c->job_count == 0)
            return RC_OK;
        c->s->pages_total = page_hash_count(c->l->hashes);
        TRY(write_group(c, err));
    }
    return RC_OK;
}

/* One round over the pages that changed since they were copied. */
static struct rc copy_changed(struct copy *c, struct err *err)
{
    c->next_page = 1;
    do {
        TRY(in_lane(c, read_changed, err));
        TRY(write_group(c, err));
    } while (c->job_count > 0);
    return RC_OK;
}

static struct rc converge(struct copy *c, struct err *err)
{
    for (int round = 0;; round++) {
        c->s->stuck_page = 0;
        TRY(in_lane(c, read_final, err));
        TRY(write_group(c, err));
        if (c->final_done)
            return RC_OK;
        (void)usleep(ROUND_PAUSE_US); /* an upload of a part or a busy writer may be in the way */
        if (round >= GIVE_UP_AFTER && c->s->stuck_page != 0)
            return rc_raise(err, E_CORRUPT,
                "page %u of %s differs from what was replicated although no commit changed it: the database file is "
                "damaged or was changed behind SQLite's back",
                c->s->stuck_page, c->l->conn->path);
        if (round == HOLD_AFTER)
            TRY(in_lane(c, hold, err));
        TRY(copy_changed(c, err));
        if (c->s->stuck_page != 0) /* the file is ahead of what was captured: let capturing go on */
            TRY(in_lane(c, release, err));
    }
}

static void put_key(const struct copy *c, layout_text key, uint64_t txid, int64_t time_ms)
{
    if (c->s->level > 0)
        layout_merge(key, c->l->timeline, c->s->level, c->s->base_txid, txid, time_ms);
    else
        layout_snapshot(key, c->l->timeline, txid, time_ms);
}

static struct rc begin_upload(struct copy *c, uint64_t next_txid, struct err *err)
{
    struct upload_opts opts = {.expected = c->expected, .parts = PARTS};
    layout_text key;

    put_key(c, key, next_txid, clock_wall_ms(c->l->clock));
    opts.key = key;
    return upload_open(&c->upload, c->s->work, c->s->store, &opts, err);
}

static void free_jobs(struct copy *c)
{
    for (size_t i = 0; i < c->job_max; i++) {
        mem_free(c->jobs[i]->pages);
        zstr_enc_free(c->jobs[i]->z);
        mem_free(c->jobs[i]);
    }
    c->job_max = 0;
}

/* The txid is known at the end only, which takes memory in proportion to the database: the encoders' is freed first. */
static struct rc finish_upload(struct copy *c, struct err *err)
{
    CLEANUP(zstr_enc_freep) struct zstr_enc *z = MOVE(c->jobs[0]->z);
    layout_text key;

    free_jobs(c);
    for (bool more = true; more;) {
        TRY(snap_writer_hashes(c->writer, z, c->s->meta.page_count, upload_tail(c->upload), &more, err));
        TRY(upload_pass(c->upload, err));
    }
    TRY(snap_writer_finish(c->writer, &c->s->meta, upload_tail(c->upload), err));
    c->s->stored_bytes = upload_size(c->upload);
    put_key(c, key, c->s->meta.txid, c->s->meta.time_ms);
    return upload_finish(c->upload, key, false, err);
}

static void copy_fini(struct copy *c)
{
    struct err ignored;

    rc_ignore(in_lane(c, end_tracking, &ignored), "it cannot fail");
    upload_free(c->upload);
    free_jobs(c);
    snap_writer_free(c->writer);
}

static void copy_init(struct copy *c, struct db_snap *s)
{
    struct db_live *l = s->live;

    *c = (struct copy){.s = s, .l = l};
    c->writer = snap_writer_new(&l->database, &l->run, l->conn->page_size);
    if (s->level > 0)
        snap_writer_partial(c->writer);
    snap_writer_hashing(c->writer);
    c->job_max = work_lane_count(s->work) < GROUP_FRAMES ? work_lane_count(s->work) : GROUP_FRAMES;
    for (size_t i = 0; i < c->job_max; i++) {
        struct frame_job *j = c->jobs[i] = mem_new(sizeof *j);

        j->page_size = l->conn->page_size;
        j->pages = mem_new(SNAP_FRAME_RAW_MAX);
        j->z = zstr_enc_new(LEVEL);
    }
    s->stored_bytes = 0;
    s->pages_done = s->pages_total = 0;
}

static struct rc copy_run(struct copy *c, uint64_t next_txid, struct err *err)
{
    TRY(in_lane(c, begin, err));
    TRY(begin_upload(c, next_txid, err));
    TRY(copy_all(c, err));
    TRY(converge(c, err));
    if (c->s->first) {
        c->s->meta.txid = next_txid;
        c->s->meta.time_ms = clock_wall_ms(c->l->clock);
        if (c->s->meta.time_ms < c->l->cap.time_ms) /* times never fall, whatever the clock does */
            c->s->meta.time_ms = c->l->cap.time_ms;
        stage(c);
    }
    return finish_upload(c, err);
}

uint32_t db_snap_count(struct db_snap *s)
{
    struct copy c = {.s = s, .l = s->live};
    struct err ignored;

    rc_ignore(in_lane(&c, count_differences, &ignored), "it cannot fail");
    return c.count;
}

struct rc db_snap_run(struct db_snap *s, uint64_t next_txid, struct err *err)
{
    struct copy c;
    struct rc rc;

    copy_init(&c, s);
    s->meta = (struct snap_meta){
        .database = s->live->database,
        .writer = s->live->run,
        .timeline = s->live->timeline,
        .page_size = s->live->conn->page_size,
        .level = s->level,
        .base_txid = s->base_txid,
        .base_checksum = s->base != NULL ? page_hash_checksum(s->base) : 0,
    };
    s->stage_err.code = E_OK;
    rc = copy_run(&c, next_txid, err);
    copy_fini(&c);
    if (!rc_failed(rc))
        return RC_OK;
    if (s->dir != NULL)
        merge_base_unstage(s->live->fs, s->dir);
    return rc_wrap(err, "%s of %s", s->level > 0 ? "merge" : "snapshot", s->live->conn->path);
}
