/* SPDX-License-Identifier: Apache-2.0 */
/* fold_kit - for tests: folds of the segments that stand in a replica's folder. */
#ifndef FOLD_KIT_H
#define FOLD_KIT_H

#include "fold.h"
#include "fsys.h"
#include "layout.h"
#include "must.h"
#include "seg.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void fold_kit_path(char out[1024], const char *root, const char *key)
{
    (void)snprintf(out, 1024, "%s/%s", root, key);
}

static inline struct fold_row fold_kit_read(const char *root, uint32_t timeline, uint64_t first, struct buf *bytes)
{
    struct fold_row row = {.first_txid = first};
    struct seg_dec *d;
    layout_text key;
    char path[1024];
    struct err err;

    layout_log(key, timeline, first);
    fold_kit_path(path, root, key);
    buf_init(bytes, SEG_OBJECT_MAX);
    MUST(!rc_failed(fsys_read_file(&fsys_real, path, bytes, &err)));
    MUST(!rc_failed(seg_dec_open(&d, buf_span(bytes), &err)));
    row.last_txid = first + seg_dec_info(d)->commit_count - 1;
    row.time_ms = seg_dec_info(d)->commits[seg_dec_info(d)->commit_count - 1].time_ms;
    row.size = bytes->size;
    seg_dec_free(d);
    return row;
}

/* Put the segments that hold txid first to last into a fold, and with `drop` remove them.  Aborts on failure. */
static inline void fold_kit_make(
    const char *root, uint32_t timeline, const struct nonce *database, uint64_t first, uint64_t last, bool drop)
{
    static struct fold_row rows[FOLD_SEGMENT_COUNT_MAX];
    static struct buf parts[FOLD_SEGMENT_COUNT_MAX];
    struct fold f = {.pack = {.database = *database}, .timeline = timeline, .rows = rows};
    char path[1024], folder[1024];
    struct buf object;
    layout_text key;
    struct err err;
    int fd;

    for (uint64_t txid = first; txid <= last; txid = rows[f.count - 1].last_txid + 1) {
        rows[f.count] = fold_kit_read(root, timeline, txid, &parts[f.count]);
        f.count++;
    }
    buf_init(&object, FOLD_OBJECT_MAX);
    MUST(!rc_failed(fold_begin(&f, &object, &err)));
    for (size_t i = 0; i < f.count; i++) {
        buf_put(&object, parts[i].data, parts[i].size);
        buf_fini(&parts[i]);
        layout_log(key, timeline, rows[i].first_txid);
        fold_kit_path(path, root, key);
        if (drop)
            MUST(unlink(path) == 0);
    }
    MUST(!rc_failed(fold_end(&f, &object, &err)));
    layout_fold_prefix(key, timeline);
    fold_kit_path(folder, root, key);
    folder[strlen(folder) - 1] = 0;
    MUST(!rc_failed(fsys_make_dirs(&fsys_real, folder, 0755, &err)));
    layout_fold(key, timeline, first, rows[f.count - 1].last_txid);
    fold_kit_path(path, root, key);
    MUST(!rc_failed(fsys_open(&fsys_real, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, &err)));
    MUST(!rc_failed(fsys_write_at(&fsys_real, fd, path, object.data, object.size, 0, &err)));
    MUST(close(fd) == 0);
    buf_fini(&object);
}

#endif
