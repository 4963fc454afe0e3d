/* SPDX-License-Identifier: Apache-2.0 */
#include "btree_map_forest.h"

#include "alloc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void btree_map_forest_damage(struct btree_map *m, const char *fmt, ...)
{
    va_list ap;

    if (m->damage++ > 0)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(m->first_damage, sizeof m->first_damage, fmt, ap); /* cut when too long */
    va_end(ap);
}

struct rc btree_map_forest_add(struct btree_map_list *l, uint32_t pgno, struct err *err)
{
    if (!mem_grow(&l->items, l->count, &l->room, sizeof *l->items))
        return rc_raise(err, E_NOMEM, "map of pages: no memory for %zu", l->count + 1);
    l->items[l->count++] = pgno;
    return RC_OK;
}

/* --- the forest ----------------------------------------------------------------------------------------------------
 */

uint32_t btree_map_forest_epoch(const struct btree_map_node *n)
{
    return n->stamp >> BTREE_MAP_ROLE_BITS;
}

void btree_map_forest_set_role(struct btree_map_node *n, enum btree_map_role role)
{
    n->stamp = btree_map_forest_epoch(n) << BTREE_MAP_ROLE_BITS | role;
}

void btree_map_forest_stamp(const struct btree_map *m, struct btree_map_node *n)
{
    n->stamp = m->epoch << BTREE_MAP_ROLE_BITS | btree_map_role_of(n);
}

static void link_below(struct btree_map *m, uint32_t pgno, uint32_t parent)
{
    struct btree_map_node *n = &m->nodes[pgno], *p = &m->nodes[parent];

    n->parent = parent;
    n->prev = 0;
    n->next = p->first;
    if (p->first != 0)
        m->nodes[p->first].prev = pgno;
    p->first = pgno;
}

void btree_map_forest_unlink(struct btree_map *m, uint32_t pgno)
{
    struct btree_map_node *n = &m->nodes[pgno];

    if (n->parent == 0)
        return;
    if (n->prev != 0)
        m->nodes[n->prev].next = n->next;
    else
        m->nodes[n->parent].first = n->next;
    if (n->next != 0)
        m->nodes[n->next].prev = n->prev;
    n->parent = n->next = n->prev = 0;
}

/* Nobody claims them any more, unless somebody does later in this update. */
struct rc btree_map_forest_drop(struct btree_map *m, uint32_t pgno, struct err *err)
{
    while (m->nodes[pgno].first != 0) {
        uint32_t child = m->nodes[pgno].first;

        btree_map_forest_unlink(m, child);
        TRY(btree_map_forest_add(&m->orphans, child, err));
    }
    return RC_OK;
}

bool btree_map_forest_changed(const struct btree_map *m, uint32_t pgno)
{
    return m->changed == NULL || bitmap_has(m->changed, pgno);
}

static bool can_be_claimed(const struct btree_map *m, uint32_t pgno)
{
    return pgno > 1 && pgno <= m->page_count && pgno != dbfmt_lock_page(m->file.page_size)
           && !btree_page_is_pointer_map(&m->file, pgno);
}

struct rc btree_map_forest_claim(struct btree_map *m, uint32_t pgno, uint32_t parent, enum btree_map_role role,
    uint32_t owner, enum btree_map_claim *out, struct err *err)
{
    struct btree_map_node *n;
    bool kept;

    *out = BTREE_MAP_REFUSED;
    if (!can_be_claimed(m, pgno) || btree_map_forest_epoch(&m->nodes[pgno]) == m->epoch) {
        btree_map_forest_damage(m, "page %" PRIu32 " refers to page %" PRIu32 ", which %s", parent, pgno,
            can_be_claimed(m, pgno) ? "has another place already" : "cannot be");
        return RC_OK;
    }
    n = &m->nodes[pgno];
    kept = btree_map_role_of(n) == role && n->owner == owner && !btree_map_forest_changed(m, pgno);
    btree_map_forest_unlink(m, pgno);
    if (!kept)
        TRY(btree_map_forest_drop(m, pgno, err));
    btree_map_forest_set_role(n, role);
    n->owner = owner;
    btree_map_forest_stamp(m, n);
    if (parent != 0)
        link_below(m, pgno, parent);
    *out = kept ? BTREE_MAP_KEPT : BTREE_MAP_NEW;
    return RC_OK;
}

/* Nobody's: the page and all below it that is not claimed anew. */
struct rc btree_map_forest_clear(struct btree_map *m, uint32_t root, struct err *err)
{
    size_t floor = m->parse.count;

    TRY(btree_map_forest_add(&m->parse, root, err));
    while (m->parse.count > floor) {
        uint32_t pgno = m->parse.items[--m->parse.count];
        struct btree_map_node *n = &m->nodes[pgno];

        n->owner = BTREE_MAP_FREE_OWNER;
        btree_map_forest_set_role(n, BTREE_MAP_NOTHING);
        while (n->first != 0) {
            uint32_t child = n->first;

            btree_map_forest_unlink(m, child);
            if (btree_map_forest_epoch(&m->nodes[child]) != m->epoch)
                TRY(btree_map_forest_add(&m->parse, child, err));
        }
    }
    return RC_OK;
}
