/* SPDX-License-Identifier: Apache-2.0 */
#include "import_snap.h"

#include "snap_upload.h"

enum { GROUP_FRAMES = SNAP_UPLOAD_FRAMES_MAX }; /* compressed side by side */

struct snap_copy {
    struct work *work;
    const struct import_opts *opts;
    struct snap_writer *writer; /* owned */
    struct upload *upload;      /* owned */
    struct snap_upload_frame *jobs[GROUP_FRAMES];
    size_t job_count; /* with pages, in this group */
    uint64_t next_page;
    uint64_t checksum;
};

static void copy_fini(struct snap_copy *c)
{
    for (size_t i = 0; i < GROUP_FRAMES; i++)
        snap_upload_frame_free(c->jobs[i]);
    snap_writer_free(c->writer);
    upload_free(c->upload);
}

/* The lock page is never stored: a frame that would hold it ends before it. */
static struct rc read_frame(struct snap_copy *c, struct snap_upload_frame *j, struct err *err)
{
    uint32_t first, lock_page = dbfmt_lock_page(j->page_size), count = snap_frame_pages(j->page_size);
    uint64_t left;

    if (c->next_page == lock_page)
        c->next_page++;
    j->count = 0;
    if (c->next_page > plain_db_page_count(c->opts->source))
        return RC_OK;
    first = (uint32_t)c->next_page;
    left = (uint64_t)plain_db_page_count(c->opts->source) - first + 1;
    count = left < count ? (uint32_t)left : count;
    if (first < lock_page && lock_page - first < count)
        count = lock_page - first;
    TRY(plain_db_read(c->opts->source, first, count, j->pages, err));
    for (uint32_t i = 0; i < count; i++)
        j->pgnos[i] = first + i;
    j->count = count;
    c->next_page += count;
    return RC_OK;
}

static struct rc copy_group(struct snap_copy *c, struct err *err)
{
    for (c->job_count = 0; c->job_count < GROUP_FRAMES; c->job_count++) {
        TRY(read_frame(c, c->jobs[c->job_count], err));
        if (c->jobs[c->job_count]->count == 0)
            break;
    }
    TRY(snap_upload_put(c->work, c->jobs, c->job_count, c->writer, c->upload, err));
    for (size_t i = 0; i < c->job_count; i++)
        c->checksum ^= c->jobs[i]->checksum;
    return RC_OK;
}

static struct rc copy_all(struct snap_copy *c, struct snap_meta *meta, struct err *err)
{
    const uint64_t total = (uint64_t)plain_db_page_count(c->opts->source) * meta->page_size;

    do {
        TRY(copy_group(c, err));
        if (c->opts->on_progress != NULL)
            c->opts->on_progress(c->opts->ctx, "snapshot", (c->next_page - 1) * meta->page_size, total);
    } while (c->job_count > 0);
    TRY(plain_db_done(c->opts->source, err));
    meta->page_count = plain_db_page_count(c->opts->source);
    meta->checksum = c->checksum;
    TRY(snap_upload_hashes(c->writer, c->jobs[0]->z, meta->page_count, c->upload, err));
    return snap_writer_finish(c->writer, meta, upload_tail(c->upload), err);
}

struct rc import_snap_put(struct work *w, struct store *s, const struct import_opts *opts, struct snap_meta *meta,
    uint64_t *stored, struct err *err)
{
    CLEANUP(copy_fini) struct snap_copy c = {.work = w, .opts = opts, .next_page = 1};
    layout_text key;

    layout_snapshot(key, meta->timeline, meta->txid, meta->time_ms);
    c.writer = snap_writer_new(&meta->database, &meta->writer, meta->page_size);
    snap_writer_hashing(c.writer, NULL);
    for (size_t i = 0; i < GROUP_FRAMES; i++)
        c.jobs[i] = snap_upload_frame_new(meta->page_size);
    TRY(upload_open(&c.upload, w, s,
        &(struct upload_opts){
            .key = key, .key_final = true, .expected = (uint64_t)plain_db_page_count(opts->source) * meta->page_size},
        err));
    TRY(copy_all(&c, meta, err));
    TRY(upload_finish(c.upload, key, false, err));
    *stored = upload_size(c.upload);
    return RC_OK;
}
