/* SPDX-License-Identifier: Apache-2.0 */
/* btree_map_intern - the map's own state, shared by btree_map.c (who claims what) and btree_map_touch.c (what changed).
 */
#ifndef BTREE_MAP_INTERN_H
#define BTREE_MAP_INTERN_H

#include "btree_map.h"

enum btree_map_role {
    BTREE_MAP_NOTHING,
    BTREE_MAP_PAGE, /* of a b-tree */
    BTREE_MAP_OVERFLOW,
    BTREE_MAP_TRUNK,
    BTREE_MAP_LEAF, /* a free page */
};
enum { BTREE_MAP_ROLE_BITS = 3, BTREE_MAP_FREE_OWNER = 0 };

/* Claims form a forest: a page's claimed pages are a list, doubly linked so that one can leave it. */
struct btree_map_node {
    uint32_t owner; /* root of the b-tree; of free pages and of nobody's pages BTREE_MAP_FREE_OWNER */
    uint32_t parent, first, next, prev;
    uint32_t stamp; /* number of the update that claimed it, and its role in the low bits */
};

/* What became of a claim. */
enum btree_map_claim {
    BTREE_MAP_REFUSED, /* it cannot be: damage, and the page stays what it was */
    BTREE_MAP_KEPT,    /* it was that already, and has not changed, so all below it is as it was */
    BTREE_MAP_NEW,     /* its own claims are still to be made */
};

struct btree_map_list {
    uint32_t *items; /* owned */
    size_t count, room;
};

/* What stands beside an object of the schema, at the same index. */
struct btree_map_count {
    uint64_t pages;
    size_t twin; /* in the former schema: the same object in the present one; in the present one: the reverse */
};
#define BTREE_MAP_NO_TWIN SIZE_MAX

struct btree_map {
    struct btree_page_file file;
    bool readable;
    uint32_t page_count;
    struct btree_map_node *nodes; /* owned; [pgno]; [0] is unused */
    uint32_t node_room;
    uint32_t epoch;           /* number of this update */
    uint64_t page1_body_hash; /* of page 1 behind the file header */

    struct btree_schema schema, former; /* former: when this update read the schema anew */
    bool schema_read;                   /* so it is */

    /* One update. */
    const struct btree_map_source *source;
    const struct bitmap *changed; /* NULL: all */
    uint8_t *page;                /* owned; page_size */
    struct btree_map_list parse, orphans;
    bool body_changed;    /* of page 1 */
    uint32_t chains_left; /* overflow pages that rows of the schema may still have: none belongs to two */
    uint64_t damage, read_count;
    char first_damage[160];

    /* What it touched. */
    uint32_t *changed_pages; /* owned; those up to page_count */
    uint32_t *owners_before; /* owned; of each */
    uint8_t *roles_before;   /* owned */
    size_t changed_count;
    uint64_t others[BTREE_MAP_KIND_COUNT];
    struct btree_map_count *present, *past; /* owned; beside schema and former */
    struct btree_map_touch *touches;        /* owned */
    size_t touch_count;
};

static inline enum btree_map_role btree_map_role_of(const struct btree_map_node *n)
{
    return (enum btree_map_role)(n->stamp & ((1u << BTREE_MAP_ROLE_BITS) - 1));
}

#endif
