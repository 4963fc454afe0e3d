/* SPDX-License-Identifier: Apache-2.0 */
#include "db_snap.h"

#include "db_snap_read.h"

#include <unistd.h>

enum {
    PARTS = 2,           /* of the upload: the daemon is to stay small */
    FREEZE_AFTER = 12,   /* rounds until the file is frozen, if it was not before */
    GIVE_UP_AFTER = 400, /* rounds until a page that never agrees with the index is called corrupt */
    ROUND_PAUSE_US = 1000,
};

static void run_step(struct work_item *item)
{
    struct db_snap_copy *c = item->owner;

    c->rc = c->step(c, &c->err);
}

static struct rc in_lane(
    struct db_snap_copy *c, struct rc (*step)(struct db_snap_copy *c, struct err *err), struct err *err)
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

/* --- compressing and uploading ------------------------------------------------------------------------------------ */

/* What the group's frames hold goes into the object. */
static struct rc write_group(struct db_snap_copy *c, struct err *err)
{
    struct rc rc;

    if (c->s->stop != NULL && *c->s->stop)
        return rc_raise(err, E_CANCELED, "stopping");
    rc = snap_upload_put(c->s->work, c->jobs, c->job_count, c->writer, c->upload, err);
    for (size_t i = 0; i < c->job_count; i++)
        c->s->pages_done += c->jobs[i]->count;
    c->s->stored_bytes = upload_size(c->upload);
    return rc;
}

/* --- the story ---------------------------------------------------------------------------------------------------- */

static struct rc copy_all(struct db_snap_copy *c, struct err *err)
{
    for (c->next_page = 1; c->s->level == 0;) {
        TRY(in_lane(c, db_snap_read_walk, err));
        if (c->job_count == 0)
            return RC_OK;
        c->s->pages_total = page_hash_count(c->l->hashes);
        TRY(write_group(c, err));
    }
    return RC_OK;
}

/* One round over the pages that changed since they were copied. */
static struct rc copy_changed(struct db_snap_copy *c, struct err *err)
{
    c->next_page = 1;
    do {
        TRY(in_lane(c, db_snap_read_changed, err));
        TRY(write_group(c, err));
    } while (c->job_count > 0);
    return RC_OK;
}

/* Pages change as fast as they are copied: more rounds would only be more bytes. */
static bool is_outrun(const struct db_snap_copy *c, uint64_t left_before)
{
    return c->left > DB_SNAP_FINAL_BYTES && c->left > left_before / 4 * 3;
}

static struct rc converge(struct db_snap_copy *c, struct err *err)
{
    uint64_t left_before = UINT64_MAX;

    for (int round = 0;; round++) {
        c->s->stuck_page = 0;
        TRY(in_lane(c, db_snap_read_final, err));
        TRY(write_group(c, err));
        if (c->final_done)
            return RC_OK;
        (void)usleep(ROUND_PAUSE_US); /* an upload of a part or a busy writer may be in the way */
        if (round >= GIVE_UP_AFTER && c->s->stuck_page != 0)
            return rc_raise(err, E_CORRUPT,
                "page %u of %s differs from what was replicated although no commit changed it: the database file is "
                "damaged or was changed behind SQLite's back",
                c->s->stuck_page, c->l->conn->path);
        if (round >= FREEZE_AFTER || is_outrun(c, left_before))
            TRY(in_lane(c, db_snap_read_freeze, err));
        left_before = c->left;
        TRY(copy_changed(c, err));
        if (c->s->stuck_page != 0) /* a moment later it may be right; nobody is to wait for that */
            TRY(in_lane(c, db_snap_read_thaw, err));
    }
}

static void put_key(const struct db_snap_copy *c, layout_text key, uint64_t txid, int64_t time_ms)
{
    if (c->s->level > 0)
        layout_merge(key, c->l->timeline, c->s->level, c->s->base_txid, txid, time_ms);
    else
        layout_snapshot(key, c->l->timeline, txid, time_ms);
}

static struct rc begin_upload(struct db_snap_copy *c, uint64_t next_txid, struct err *err)
{
    struct upload_opts opts = {.expected = c->expected, .parts = PARTS};
    layout_text key;

    put_key(c, key, next_txid, clock_wall_ms(c->l->clock));
    opts.key = key;
    return upload_open(&c->upload, c->s->work, c->s->store, &opts, err);
}

static void free_jobs(struct db_snap_copy *c)
{
    for (size_t i = 0; i < c->job_max; i++)
        snap_upload_frame_free(c->jobs[i]);
    c->job_max = 0;
}

/* The txid is known at the end only, which takes memory in proportion to the database: the encoders' is freed first. */
static struct rc finish_upload(struct db_snap_copy *c, struct err *err)
{
    CLEANUP(zstr_enc_freep) struct zstr_enc *z = MOVE(c->jobs[0]->z);
    layout_text key;

    free_jobs(c);
    TRY(snap_upload_hashes(c->writer, z, c->s->meta.page_count, c->upload, err));
    TRY(snap_writer_finish(c->writer, &c->s->meta, upload_tail(c->upload), err));
    c->s->stored_bytes = upload_size(c->upload);
    put_key(c, key, c->s->meta.txid, c->s->meta.time_ms);
    return upload_finish(c->upload, key, false, err);
}

static void copy_fini(struct db_snap_copy *c)
{
    struct err ignored;

    rc_ignore(in_lane(c, db_snap_read_end, &ignored), "it cannot fail");
    upload_free(c->upload);
    free_jobs(c);
    snap_writer_free(c->writer);
}

static void copy_init(struct db_snap_copy *c, struct db_snap *s)
{
    struct db_live *l = s->live;

    *c = (struct db_snap_copy){.s = s, .l = l};
    c->writer = snap_writer_new(&l->database, &l->run, l->conn->page_size);
    if (s->level > 0)
        snap_writer_partial(c->writer);
    /* Nobody but this job touches the index that the first snapshot makes: it is the state of the pages at the end. */
    snap_writer_hashing(c->writer, s->first ? l->hashes : NULL);
    c->job_max = work_lane_count(s->work) < DB_SNAP_GROUP ? work_lane_count(s->work) : DB_SNAP_GROUP;
    for (size_t i = 0; i < c->job_max; i++)
        c->jobs[i] = snap_upload_frame_new(l->conn->page_size);
    s->stored_bytes = 0;
    s->pages_done = s->pages_total = 0;
}

static struct rc copy_run(struct db_snap_copy *c, uint64_t next_txid, struct err *err)
{
    TRY(in_lane(c, db_snap_read_begin, err));
    TRY(begin_upload(c, next_txid, err));
    TRY(copy_all(c, err));
    TRY(converge(c, err));
    if (c->s->first) {
        c->s->meta.txid = next_txid;
        c->s->meta.time_ms = clock_wall_ms(c->l->clock);
        if (c->s->meta.time_ms < c->l->cap.time_ms) /* times never fall, whatever the clock does */
            c->s->meta.time_ms = c->l->cap.time_ms;
        db_snap_read_stage(c);
    }
    return finish_upload(c, err);
}

uint32_t db_snap_count(struct db_snap *s)
{
    struct db_snap_copy c = {.s = s, .l = s->live};
    struct err ignored;

    rc_ignore(in_lane(&c, db_snap_read_count, &ignored), "it cannot fail");
    return c.count;
}

struct rc db_snap_run(struct db_snap *s, uint64_t next_txid, struct err *err)
{
    struct db_snap_copy c;
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
