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

/* All pages, then every `step`-th once more (0: none); the database ends with `count` pages. */
static void make(const char *dir, const char *name, uint32_t page_size, uint32_t pages, uint32_t step, uint32_t count)
{
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, page_size);
    const struct snap_meta meta = kit_meta(page_size, count);
    uint32_t *pgnos = calloc(pages, sizeof *pgnos), n = 0;
    char path[4096];
    struct buf object;
    struct err err;
    FILE *f;

    buf_init(&object, KIT_OBJECT_MAX);
    if (pages > 0)
        must(kit_add_range(w, page_size, 1, pages, 0, &object, &err), &err);
    for (uint32_t p = 1; step > 0 && p <= pages; p += step)
        pgnos[n++] = p;
    must(kit_add(w, page_size, pgnos, n, 1, &object, &err), &err);
    must(snap_writer_finish(w, &meta, &object, &err), &err);
    (void)snprintf(path, sizeof path, "%s/snap/%s", dir, name);
    f = fopen(path, "wb");
    if (f == NULL || fwrite(object.data, 1, object.size, f) != object.size || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
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
    make(argv[1], "no_pages", 4096, 0, 0, 0);
    make(argv[1], "one_page", 512, 1, 0, 1);
    make(argv[1], "one_frame", 1024, 12, 0, 12);
    make(argv[1], "again", 512, 40, 3, 40);
    make(argv[1], "shrunk", 512, 40, 7, 21);
    make(argv[1], "large_pages", 32768, 1, 1, 1);
    make(argv[1], "compressed_index", 512, 300, 2, 300);
    return 0;
}
