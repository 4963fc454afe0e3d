/* SPDX-License-Identifier: Apache-2.0 */
#include "btree_map_touch.h"

#include "alloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *btree_map_touch_name(enum btree_map_kind kind)
{
    static const char *const names[BTREE_MAP_KIND_COUNT] = {
        "table", "index", "schema", "free pages", "pointer map", "file header", "unknown pages"};

    return names[kind];
}

/* For a page of a table or index: BTREE_MAP_TABLE, whichever it is. */
enum btree_map_kind btree_map_touch_kind(
    const struct btree_map *m, uint32_t pgno, uint32_t owner, enum btree_map_role role)
{
    if (m->readable && btree_page_is_pointer_map(&m->file, pgno))
        return BTREE_MAP_POINTERS;
    switch (role) {
    case BTREE_MAP_TRUNK:
    case BTREE_MAP_LEAF:
        return BTREE_MAP_FREE;
    case BTREE_MAP_PAGE:
    case BTREE_MAP_OVERFLOW:
        return owner == 1 ? BTREE_MAP_SCHEMA : BTREE_MAP_TABLE;
    case BTREE_MAP_NOTHING:
        break;
    }
    return BTREE_MAP_UNKNOWN;
}

/* --- before --------------------------------------------------------------------------------------------------------
 */

static uint32_t count_changed(const struct btree_map *m, uint32_t page_count)
{
    return m->changed == NULL ? page_count : bitmap_count(m->changed);
}

static bool next_changed(const struct btree_map *m, uint32_t from, uint32_t page_count, uint32_t *pgno)
{
    if (from > page_count)
        return false;
    if (m->changed != NULL)
        return bitmap_next(m->changed, from, pgno) && *pgno <= page_count;
    *pgno = from;
    return true;
}

struct rc btree_map_touch_before(struct btree_map *m, uint32_t page_count, struct err *err)
{
    uint32_t room = count_changed(m, page_count), pgno = 0, lock_page = dbfmt_lock_page(m->file.page_size);

    btree_map_touch_fini(m);
    m->changed_pages = mem_try((size_t)room + 1, sizeof *m->changed_pages);
    m->owners_before = mem_try((size_t)room + 1, sizeof *m->owners_before);
    m->roles_before = mem_try((size_t)room + 1, sizeof *m->roles_before);
    if (m->changed_pages == NULL || m->owners_before == NULL || m->roles_before == NULL)
        return rc_raise(err, E_NOMEM, "list of %" PRIu32 " changed pages", room);
    while (next_changed(m, pgno + 1, page_count, &pgno)) {
        const struct btree_map_node *n = pgno <= m->page_count ? &m->nodes[pgno] : NULL;

        if (pgno == lock_page)
            continue;
        m->changed_pages[m->changed_count] = pgno;
        m->owners_before[m->changed_count] = n != NULL ? n->owner : BTREE_MAP_FREE_OWNER;
        m->roles_before[m->changed_count] = n != NULL ? (uint8_t)btree_map_role_of(n) : BTREE_MAP_NOTHING;
        m->changed_count++;
        if (pgno == UINT32_MAX)
            break;
    }
    return RC_OK;
}

/* --- twins ---------------------------------------------------------------------------------------------------------
 */

struct named {
    const struct btree_schema_object *object;
    size_t index;
};

static int by_name(const void *a, const void *b)
{
    const struct btree_schema_object *x = ((const struct named *)a)->object, *y = ((const struct named *)b)->object;

    return x->index != y->index ? (x->index ? 1 : -1) : strcmp(x->name, y->name);
}

static struct named *sorted(const struct btree_schema *s)
{
    struct named *all = mem_try(s->count + 1, sizeof *all);

    for (size_t i = 0; all != NULL && i < s->count; i++)
        all[i] = (struct named){&s->objects[i], i};
    if (all != NULL && s->count > 0)
        qsort(all, s->count, sizeof *all, by_name);
    return all;
}

/* The same kind and name in both. */
static void pair(struct btree_map *m, const struct named *past, const struct named *present)
{
    for (size_t i = 0, k = 0; i < m->former.count && k < m->schema.count;) {
        int order = by_name(&past[i], &present[k]);

        if (order == 0) {
            m->past[past[i].index].twin = present[k].index;
            m->present[present[k].index].twin = past[i].index;
        }
        i += order <= 0;
        k += order >= 0;
    }
}

/* One that has got another name keeps its root, and the bytes there. */
static void pair_renamed(struct btree_map *m)
{
    for (size_t i = 0; i < m->former.count; i++) {
        const struct btree_schema_object *old = &m->former.objects[i], *now;

        if (m->past[i].twin != BTREE_MAP_NO_TWIN)
            continue;
        now = btree_schema_find(&m->schema, old->root);
        if (now == NULL || now->index != old->index || m->changed == NULL || bitmap_has(m->changed, old->root)
            || m->present[now - m->schema.objects].twin != BTREE_MAP_NO_TWIN)
            continue;
        m->past[i].twin = (size_t)(now - m->schema.objects);
        m->present[now - m->schema.objects].twin = i;
    }
}

static struct rc find_twins(struct btree_map *m, struct err *err)
{
    CLEANUP(mem_freep) struct named *past = sorted(&m->former);
    CLEANUP(mem_freep) struct named *present = sorted(&m->schema);

    m->past = mem_try(m->former.count + 1, sizeof *m->past);
    m->present = mem_try(m->schema.count + 1, sizeof *m->present);
    if (past == NULL || present == NULL || m->past == NULL || m->present == NULL)
        return rc_raise(err, E_NOMEM, "compare %zu tables and indexes with %zu", m->former.count, m->schema.count);
    for (size_t i = 0; i < m->former.count; i++)
        m->past[i].twin = BTREE_MAP_NO_TWIN;
    for (size_t i = 0; i < m->schema.count; i++)
        m->present[i].twin = BTREE_MAP_NO_TWIN;
    if (m->schema_read) {
        pair(m, past, present);
        pair_renamed(m);
    }
    return RC_OK;
}

/* --- counting ------------------------------------------------------------------------------------------------------
 */

/* Where a page of this owner is counted now; NULL: nobody's. */
static uint64_t *counter_now(struct btree_map *m, uint32_t root)
{
    const struct btree_schema_object *o = btree_schema_find(&m->schema, root);

    return o != NULL ? &m->present[o - m->schema.objects].pages : NULL;
}

static uint64_t *counter_before(struct btree_map *m, uint32_t root)
{
    const struct btree_schema_object *o;
    size_t i;

    if (!m->schema_read)
        return counter_now(m, root);
    o = btree_schema_find(&m->former, root);
    if (o == NULL)
        return NULL;
    i = (size_t)(o - m->former.objects);
    return m->past[i].twin != BTREE_MAP_NO_TWIN ? &m->present[m->past[i].twin].pages : &m->past[i].pages;
}

static void count_page(struct btree_map *m, size_t i)
{
    uint32_t pgno = m->changed_pages[i];
    const struct btree_map_node *n = &m->nodes[pgno];
    enum btree_map_kind kind = btree_map_touch_kind(m, pgno, n->owner, btree_map_role_of(n));
    enum btree_map_role role_before = (enum btree_map_role)m->roles_before[i];
    bool in_tree = role_before == BTREE_MAP_PAGE || role_before == BTREE_MAP_OVERFLOW;
    uint64_t *now = NULL, *before = NULL;

    if (kind == BTREE_MAP_TABLE) {
        now = counter_now(m, n->owner);
        kind = BTREE_MAP_UNKNOWN; /* for when it has none */
    } else if (pgno == 1 && m->readable && !m->body_changed)
        kind = BTREE_MAP_HEADER;
    if (now == NULL)
        now = &m->others[kind];
    if (in_tree && m->owners_before[i] > 1)
        before = counter_before(m, m->owners_before[i]);
    else if (in_tree && m->owners_before[i] == 1 && pgno != 1)
        before = &m->others[BTREE_MAP_SCHEMA];
    else if (role_before == BTREE_MAP_TRUNK || role_before == BTREE_MAP_LEAF)
        before = &m->others[BTREE_MAP_FREE];
    ++*now;
    if (before != NULL && before != now)
        ++*before;
}

/* --- the result ----------------------------------------------------------------------------------------------------
 */

/* Tables by name, each before its indexes; what has no table at the end. */
static int in_order(const void *a, const void *b)
{
    const struct btree_map_touch *x = a, *y = b;
    int order;

    if ((x->table == NULL) != (y->table == NULL))
        return x->table == NULL ? 1 : -1;
    if (x->table == NULL)
        return (int)x->kind - (int)y->kind;
    order = strcmp(x->table, y->table);
    if (order == 0)
        order = (int)x->kind - (int)y->kind;
    if (order == 0)
        order = strcmp(x->name, y->name);
    return order != 0 ? order : (int)y->dropped - (int)x->dropped;
}

static void add_object(struct btree_map *m, const struct btree_schema_object *o, const struct btree_map_count *c,
    bool created, bool dropped)
{
    const struct btree_schema_object *was = m->schema_read && !dropped && !created ? &m->former.objects[c->twin] : o;
    bool renamed = strcmp(was->name, o->name) != 0;

    if (c->pages == 0 && !created && !dropped && !renamed)
        return;
    m->touches[m->touch_count++] = (struct btree_map_touch){
        .kind = o->index ? BTREE_MAP_INDEX : BTREE_MAP_TABLE,
        .name = o->name,
        .table = o->table,
        .virtual_table = o->virtual_table,
        .page_count = c->pages,
        .created = created,
        .dropped = dropped,
        .former_name = renamed ? was->name : NULL,
    };
}

struct rc btree_map_touch_after(struct btree_map *m, struct err *err)
{
    TRY(find_twins(m, err));
    for (size_t i = 0; i < m->changed_count; i++)
        count_page(m, i);
    m->touches = mem_try(m->schema.count + m->former.count + BTREE_MAP_KIND_COUNT, sizeof *m->touches);
    if (m->touches == NULL)
        return rc_raise(err, E_NOMEM, "list of touched tables");
    for (size_t i = 0; i < m->schema.count; i++)
        add_object(
            m, &m->schema.objects[i], &m->present[i], m->schema_read && m->present[i].twin == BTREE_MAP_NO_TWIN, false);
    for (size_t i = 0; i < m->former.count; i++)
        if (m->past[i].twin == BTREE_MAP_NO_TWIN)
            add_object(m, &m->former.objects[i], &m->past[i], false, true);
    for (int kind = BTREE_MAP_SCHEMA; kind < BTREE_MAP_KIND_COUNT; kind++)
        if (m->others[kind] > 0)
            m->touches[m->touch_count++] = (struct btree_map_touch){.kind = (enum btree_map_kind)kind,
                .name = btree_map_touch_name((enum btree_map_kind)kind),
                .page_count = m->others[kind]};
    if (m->touch_count > 0)
        qsort(m->touches, m->touch_count, sizeof *m->touches, in_order);
    return RC_OK;
}

void btree_map_touch_fini(struct btree_map *m)
{
    mem_free(m->changed_pages);
    mem_free(m->owners_before);
    mem_free(m->roles_before);
    mem_free(m->present);
    mem_free(m->past);
    mem_free(m->touches);
    m->changed_pages = m->owners_before = NULL;
    m->roles_before = NULL;
    m->present = m->past = NULL;
    m->touches = NULL;
    m->changed_count = m->touch_count = 0;
    memset(m->others, 0, sizeof m->others);
}
