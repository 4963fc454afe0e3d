/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap_seeds - writes the first inputs of fuzz_snap: run it again when the format changes.
 *
 *     snap_seeds tests/fuzz/corpus
 */
#include "snap_kit.h"

#include <stdio.h>
#include <stdlib.h>

static void must(struct rc rc, const struct err *err)
{
    if (rc_failed(rc)) {
        (void)fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
}

static void save(const char *dir, const char *name, const struct buf *object)
{
    char path[4096];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/snap/%s", dir, name);
    f = fopen(path, "wb");
    if (f == NULL || fwrite(object->data, 1, object->size, f) != object->size || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

/*
 * All pages (none in a merge), then every `step`-th once more (0: none); the database ends with `count` pages.
 */
static void make(const char *dir, const char *name, uint32_t page_size, uint32_t pages, uint32_t step, uint32_t count,
    unsigned level)
{
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, page_size);
    struct snap_meta meta = kit_meta(page_size, count);
    uint32_t *pgnos = calloc(pages + 1, sizeof *pgnos), n = 0;
    struct buf object;
    struct err err;

    buf_init(&object, KIT_OBJECT_MAX);
    if (level > 0) {
        meta.level = level;
        meta.base_txid = meta.txid - 7;
        meta.base_checksum = 0x8877665544332211;
        snap_writer_partial(w);
    }
    if (pages > 0 && level == 0)
        must(kit_add_range(w, page_size, 1, pages, 0, &object, &err), &err);
    for (uint32_t p = 1; step > 0 && p <= pages; p += step)
        pgnos[n++] = p;
    must(kit_add(w, page_size, pgnos, n, 1, &object, &err), &err);
    must(snap_writer_finish(w, &meta, &object, &err), &err);
    save(dir, name, &object);
    free(pgnos);
    buf_fini(&object);
    snap_writer_free(w);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: snap_seeds <corpus directory>\n");
        return 2;
    }
    make(argv[1], "no_pages", 4096, 0, 0, 0, 0);
    make(argv[1], "one_page", 512, 1, 0, 1, 0);
    make(argv[1], "one_frame", 1024, 12, 0, 12, 0);
    make(argv[1], "again", 512, 40, 3, 40, 0);
    make(argv[1], "shrunk", 512, 40, 7, 21, 0);
    make(argv[1], "large_pages", 32768, 1, 1, 1, 0);
    make(argv[1], "compressed_index", 512, 300, 2, 300, 0);
    make(argv[1], "merge", 512, 40, 3, 60, 1);
    make(argv[1], "merge_shrunk", 1024, 40, 2, 11, 2);
    make(argv[1], "merge_no_pages", 4096, 0, 0, 5, 255);
    return 0;
}
