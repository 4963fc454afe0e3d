/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap_upload - frames of a snapshot or merge, compressed side by side, into the object that is being uploaded.
 *
 *     f = snap_upload_frame_new(page_size)            as many as are to be compressed at a time
 *     f->pgnos, f->pages, f->count                    the caller reads pages into each, again and again
 *     snap_upload_put(w, frames, n, writer, upload, err)
 *     snap_upload_hashes(writer, z, page_count, upload, err)         the last thing before snap_writer_finish()
 *
 * Threads: a job's.
 */
#ifndef SNAP_UPLOAD_H
#define SNAP_UPLOAD_H

#include "snap_frame.h"
#include "snap_writer.h"
#include "upload.h"
#include "work.h"

enum { SNAP_UPLOAD_FRAMES_MAX = 8 };

struct snap_upload_frame {
    /* The caller's. */
    uint32_t pgnos[SNAP_FRAME_PAGES_MAX];
    uint8_t *pages; /* owned; room for SNAP_FRAME_RAW_MAX bytes */
    uint32_t count;
    uint32_t page_size; /* set once */

    struct zstr_enc *z; /* owned; may be taken, after the last put */
    struct work_item item;
    struct snap_frame frame;
    uint64_t checksum; /* XOR of the pages' hashes, once it was put */
    struct rc rc;
    struct err err;
};

struct snap_upload_frame *snap_upload_frame_new(uint32_t page_size);
void snap_upload_frame_free(struct snap_upload_frame *f);

/* The frames, all with pages in them, go into the object in their order. */
MUST_USE struct rc snap_upload_put(struct work *w, struct snap_upload_frame *const *frames, size_t count,
    struct snap_writer *writer, struct upload *upload, struct err *err);
/* Likewise the pages' hashes, of a writer that collects them. */
MUST_USE struct rc snap_upload_hashes(
    struct snap_writer *writer, struct zstr_enc *z, uint32_t page_count, struct upload *upload, struct err *err);

#endif
