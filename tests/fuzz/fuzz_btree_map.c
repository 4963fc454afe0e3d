/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a database, and then as changes to it.  The first byte is the page size, the second the number of
 * changes at the end, of four bytes each: page, offset (2), value; a value of 255 ends a commit and the page byte is
 * then the new number of pages.  No walk may be longer than the pages allow, and what has not changed keeps its owner.
 */
#include "alloc.h"
#include "btree_map.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES_MAX = 200, CHANGE_SIZE = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t pages[PAGES_MAX * 1024];
    uint32_t page_size, page_count;
};

static void require(bool ok)
{
    if (!ok)
        abort();
}

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    const struct input *in = ctx;

    (void)err;
    require(pgno >= 1 && pgno <= in->page_count);
    memcpy(page, in->pages + (size_t)(pgno - 1) * in->page_size, in->page_size);
    return RC_OK;
}

static void check_touches(const struct btree_map *m, uint32_t page_count)
{
    size_t count;
    const struct btree_map_touch *t = btree_map_touches(m, &count);
    uint64_t pages = 0;

    for (size_t i = 0; i < count; i++) {
        require(t[i].name != NULL && !(t[i].created && t[i].dropped));
        require((t[i].table != NULL) == (t[i].kind == BTREE_MAP_TABLE || t[i].kind == BTREE_MAP_INDEX));
        require(i == 0 || t[i].table != NULL || t[i - 1].table == NULL || t[i - 1].kind <= t[i].kind);
        pages += t[i].page_count;
    }
    require(pages <= 2u * page_count); /* at most: where it was, and where it is */
}

static void update(struct btree_map *m, struct input *in, const struct bitmap *changed)
{
    struct btree_map_source source = {on_read, in};
    struct bitmap *nothing = bitmap_new();
    const char *first;
    size_t count;
    struct err err;

    require(!rc_failed(btree_map_update(m, &source, in->page_size, in->page_count, changed, &err)));
    /* Each page once to walk it, once for its rows of the schema, once for their overflow chains. */
    require(btree_map_read_count(m) <= 3 * (uint64_t)in->page_count + 1);
    check_touches(m, in->page_count);
    for (uint32_t pgno = 0; pgno <= in->page_count + 1; pgno++)
        require(btree_map_owner(m, pgno, NULL) != NULL);
    (void)btree_map_damage(m, &first);
    require(memchr(first, 0, 160) != NULL);
    if (in->page_count > 0 && strcmp(first, "page 1 is not that of a SQLite database") != 0) {
        require(!rc_failed(btree_map_update(m, &source, in->page_size, in->page_count, nothing, &err)));
        require(btree_map_read_count(m) == 0);
        (void)btree_map_touches(m, &count);
        require(count == 0);
    }
    bitmap_free(nothing);
}

static void change(struct btree_map *m, struct input *in, const uint8_t *data, size_t count)
{
    struct bitmap *changed = bitmap_new();
    struct err err;

    for (size_t i = 0; i < count; i++, data += CHANGE_SIZE) {
        uint32_t pgno = 1 + data[0] % PAGES_MAX, offset = ((uint32_t)data[1] << 8 | data[2]) % in->page_size;

        if (data[3] == 255) {
            in->page_count = pgno;
            update(m, in, changed);
            bitmap_free(changed);
            changed = bitmap_new();
            continue;
        }
        in->pages[(size_t)(pgno - 1) * in->page_size + offset] = data[3];
        require(!rc_failed(bitmap_add(changed, pgno, &err)));
    }
    update(m, in, changed);
    bitmap_free(changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input *in;
    struct btree_map *m;
    size_t changes, n;

    if (size < 2)
        return 0;
    in = mem_new(sizeof *in);
    in->page_size = 512u << (data[0] & 1);
    changes = data[1] * (size_t)CHANGE_SIZE <= size - 2 ? data[1] : 0;
    n = size - 2 - changes * CHANGE_SIZE;
    n = n < PAGES_MAX * (size_t)in->page_size ? n : PAGES_MAX * (size_t)in->page_size;
    memcpy(in->pages, data + 2, n);
    in->page_count = (uint32_t)(n / in->page_size);
    m = btree_map_new();
    update(m, in, NULL);
    change(m, in, data + size - changes * CHANGE_SIZE, changes);
    btree_map_free(m);
    mem_free(in);
    return 0;
}
