/* SPDX-License-Identifier: Apache-2.0 */
#include "import_snap.h"

#include "alloc.h"
#include "digest.h"
#include "snap_writer.h"
#include "upload.h"

enum { GROUP_FRAMES = 8 }; /* compressed side by side */

struct frame_job {
    struct work_item item;
    uint32_t page_size;
    uint32_t pgnos[SNAP_FRAME_PAGES_MAX];
    uint8_t *pages; /* owned */
    uint32_t count;
    struct zstr_enc *z; /* owned */
    struct snap_frame frame;
    uint64_t checksum; /* XOR of the pages' hashes */
    struct rc rc;
    struct err err;
};

struct snap_copy {
    struct work *work;
    const struct import_opts *opts;
    struct snap_writer *writer; /* owned */
    struct upload *upload;      /* owned */
    struct frame_job *jobs[GROUP_FRAMES];
    size_t job_count; /* with pages, in this group */
    uint64_t next_page;
    uint64_t checksum;
};

static void copy_fini(struct snap_copy *c)
{
    for (size_t i = 0; i < GROUP_FRAMES && c->jobs[i] != NULL; i++) {
        snap_frame_fini(&c->jobs[i]->frame);
        mem_free(c->jobs[i]->pages);
        zstr_enc_free(c->jobs[i]->z);
        mem_free(c->jobs[i]);
    }
    snap_writer_free(c->writer);
    upload_free(c->upload);
}

static void encode(struct work_item *item)
{
    struct frame_job *j = item->owner;

    j->checksum = 0;
    for (uint32_t i = 0; i < j->count; i++)
        j->checksum ^= digest_page(j->pgnos[i], j->pages + (size_t)i * j->page_size, j->page_size);
    j->rc = snap_frame_encode(j->z, j->page_size, j->pgnos, j->pages, j->count, &j->frame, &j->err);
}

/* The lock page is never stored: a frame that would hold it ends before it. */
static struct rc read_frame(struct snap_copy *c, struct frame_job *j, struct err *err)
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
    struct work_item *items[GROUP_FRAMES];
    struct rc rc = RC_OK;

    for (c->job_count = 0; c->job_count < GROUP_FRAMES; c->job_count++) {
        struct frame_job *j = c->jobs[c->job_count];

        TRY(read_frame(c, j, err));
        if (j->count == 0)
            break;
        items[c->job_count] = &j->item;
        j->item.run = encode;
        j->item.owner = j;
    }
    work_spread_wait(c->work, items, c->job_count);
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
        c->checksum ^= j->checksum;
        snap_frame_fini(&j->frame);
    }
    return rc;
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
    for (bool more = true; more;) {
        TRY(snap_writer_hashes(c->writer, c->jobs[0]->z, meta->page_count, upload_tail(c->upload), &more, err));
        TRY(upload_pass(c->upload, err));
    }
    return snap_writer_finish(c->writer, meta, upload_tail(c->upload), err);
}

struct rc import_snap_put(struct work *w, struct store *s, const struct import_opts *opts, struct snap_meta *meta,
    uint64_t *stored, struct err *err)
{
    CLEANUP(copy_fini) struct snap_copy c = {.work = w, .opts = opts, .next_page = 1};
    layout_text key;

    layout_snapshot(key, meta->timeline, meta->txid, meta->time_ms);
    c.writer = snap_writer_new(&meta->database, &meta->writer, meta->page_size);
    snap_writer_hashing(c.writer);
    for (size_t i = 0; i < GROUP_FRAMES; i++) {
        struct frame_job *j = c.jobs[i] = mem_new(sizeof *j);

        j->page_size = meta->page_size;
        j->pages = mem_new(SNAP_FRAME_RAW_MAX);
        j->z = zstr_enc_new(SNAP_FRAME_LEVEL);
    }
    TRY(upload_open(&c.upload, w, s,
        &(struct upload_opts){
            .key = key, .key_final = true, .expected = (uint64_t)plain_db_page_count(opts->source) * meta->page_size},
        err));
    TRY(copy_all(&c, meta, err));
    TRY(upload_finish(c.upload, key, false, err));
    *stored = upload_size(c.upload);
    return RC_OK;
}
