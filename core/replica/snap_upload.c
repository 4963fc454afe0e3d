/* SPDX-License-Identifier: Apache-2.0 */
#include "snap_upload.h"

#include "alloc.h"

#include <assert.h>

struct snap_upload_frame *snap_upload_frame_new(uint32_t page_size)
{
    struct snap_upload_frame *f = mem_new(sizeof *f);

    f->page_size = page_size;
    f->pages = mem_new(SNAP_FRAME_RAW_MAX);
    f->z = zstr_enc_new(SNAP_FRAME_LEVEL);
    return f;
}

void snap_upload_frame_free(struct snap_upload_frame *f)
{
    if (f == NULL)
        return;
    snap_frame_fini(&f->frame);
    mem_free(f->pages);
    zstr_enc_free(f->z);
    mem_free(f);
}

static void encode(struct work_item *item)
{
    struct snap_upload_frame *f = item->owner;

    f->checksum = 0;
    f->rc = snap_frame_encode(f->z, f->page_size, f->pgnos, f->pages, f->count, &f->frame, &f->err);
    for (uint32_t i = 0; i < f->frame.page_count; i++)
        f->checksum ^= f->frame.page_hashes[i];
}

static struct rc add(struct snap_upload_frame *f, struct snap_writer *writer, struct upload *upload, struct err *err)
{
    if (rc_failed(f->rc)) {
        *err = f->err;
        return f->rc;
    }
    TRY(snap_writer_add(writer, &f->frame, upload_tail(upload), err));
    return upload_pass(upload, err);
}

struct rc snap_upload_put(struct work *w, struct snap_upload_frame *const *frames, size_t count,
    struct snap_writer *writer, struct upload *upload, struct err *err)
{
    struct work_item *items[SNAP_UPLOAD_FRAMES_MAX] = {0};
    struct rc rc = RC_OK;

    assert(count <= SNAP_UPLOAD_FRAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        items[i] = &frames[i]->item;
        items[i]->run = encode;
        items[i]->owner = frames[i];
    }
    work_spread_wait(w, items, count);
    for (size_t i = 0; i < count; i++) {
        if (!rc_failed(rc))
            rc = add(frames[i], writer, upload, err);
        snap_frame_fini(&frames[i]->frame);
    }
    return rc;
}

struct rc snap_upload_hashes(
    struct snap_writer *writer, struct zstr_enc *z, uint32_t page_count, struct upload *upload, struct err *err)
{
    for (bool more = true; more;) {
        TRY(snap_writer_hashes(writer, z, page_count, upload_tail(upload), &more, err));
        TRY(upload_pass(upload, err));
    }
    return RC_OK;
}
