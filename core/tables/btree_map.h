/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_map - to which table or index does each page of a database belong, and which of them did a commit touch?
 *
 *     m = btree_map_new()
 *     btree_map_update(m, &source, page_size, page_count, NULL, err)         the first state: all is walked
 *     per commit, when its pages are in the source:
 *         btree_map_update(m, &source, page_size, page_count, changed, err)  only what the changed pages can have
 * altered btree_map_touches(m, &count) btree_map_free(m)
 *
 * Every page but the first is claimed by exactly one other: a b-tree page by its parent, an overflow page by the cell
 * or the page before it, a free page by its trunk, a trunk by the one before it.  The map keeps these claims.  When a
 * page has changed its claims are dropped and made anew from its bytes; a page that is claimed again as the same thing,
 * and has not changed itself, keeps all that is below it unread.  The freelist goes first, so that nothing that is free
 * is still taken for what it was.
 *
 * Pages are distrusted.  In one update a page can be claimed once, so no loop and no page that two parents claim makes
 * a walk longer than the database; what contradicts itself is counted as damage, and its pages belong to nobody.
 *
 * Pure over its source.  Memory: 24 bytes a page.  Threads: used by one at a time.
 */
#ifndef BTREE_MAP_H
#define BTREE_MAP_H

#include "bitmap.h"
#include "btree_schema.h"

struct btree_map_source {
    /* The page as it is now (page_size bytes). */
    struct rc (*read)(void *ctx, uint32_t pgno, uint8_t *page, struct err *err);
    void *ctx;
};

enum btree_map_kind {
    BTREE_MAP_TABLE,
    BTREE_MAP_INDEX,
    BTREE_MAP_SCHEMA,   /* sqlite_schema */
    BTREE_MAP_FREE,     /* the freelist */
    BTREE_MAP_POINTERS, /* pointer maps of auto_vacuum */
    BTREE_MAP_HEADER,   /* the file header in page 1, and nothing else of that page */
    BTREE_MAP_UNKNOWN,  /* claimed by nobody: damage, or not a database that can be read */
};
enum { BTREE_MAP_KIND_COUNT = BTREE_MAP_UNKNOWN + 1 };

/* What an update found changed: pages that belong to it now, or did before. */
struct btree_map_touch {
    enum btree_map_kind kind;
    const char
        *name; /* "users"; for the others "schema", "free pages", "pointer map", "file header", "unknown pages" */
    const char *table;         /* the table of an index; of a table itself; NULL for the others */
    const char *virtual_table; /* the one that keeps its content in this table, or in that of this index; NULL: none */
    uint64_t page_count;
    bool created, dropped;   /* by this very change */
    const char *former_name; /* renamed by it; NULL: it was not */
};

struct btree_map;
struct btree_map *btree_map_new(void);
void btree_map_free(struct btree_map *m);
void btree_map_freep(struct btree_map **m);

/*
 * `changed`: the pages whose bytes may differ from the last update; those beyond `page_count` are passed over.  NULL:
 * any may differ.  Fails only when the source does or memory is short (E_UNSUPPORTED: too many tables); the map is then
 * only good to be freed.
 */
MUST_USE struct rc btree_map_update(struct btree_map *m, const struct btree_map_source *source, uint32_t page_size,
    uint32_t page_count, const struct bitmap *changed, struct err *err);

/* Of the last update: tables by name, each followed by its indexes, then the others.  Valid until the next one. */
const struct btree_map_touch *btree_map_touches(const struct btree_map *m, size_t *count);

/* Whose page is it?  The name as above; *kind may be NULL. */
const char *btree_map_owner(const struct btree_map *m, uint32_t pgno, enum btree_map_kind *kind);
/* Contradictions that the last update met, and the first of them in words ("" when there are none). */
uint64_t btree_map_damage(const struct btree_map *m, const char **first);
/* Pages that the last update read. */
uint64_t btree_map_read_count(const struct btree_map *m);

#endif
