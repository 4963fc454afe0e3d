/* SPDX-License-Identifier: Apache-2.0 */
#include "btree_map.h"

#include "alloc.h"
#include "btree_map_forest.h"
#include "btree_map_touch.h"
#include "buf.h"
#include "digest.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define EPOCH_MAX (UINT32_MAX >> BTREE_MAP_ROLE_BITS)

/* --- b-trees -------------------------------------------------------------------------------------------------------
 */

static struct rc read_page(struct btree_map *m, uint32_t pgno, struct err *err)
{
    m->read_count++;
    return m->source->read(m->source->ctx, pgno, m->page, err);
}

static struct rc claim_below(
    struct btree_map *m, uint32_t parent, uint32_t pgno, enum btree_map_role role, struct err *err)
{
    enum btree_map_claim what;

    TRY(btree_map_forest_claim(m, pgno, parent, role, m->nodes[parent].owner, &what, err));
    return what == BTREE_MAP_NEW ? btree_map_forest_add(&m->parse, pgno, err) : RC_OK;
}

static struct rc parse_btree(struct btree_map *m, uint32_t pgno, struct err *err)
{
    struct btree_page p;

    if (!btree_page_open(&m->file, pgno, m->page, &p)) {
        btree_map_forest_damage(m, "page %" PRIu32 " is not a b-tree page", pgno);
        return RC_OK;
    }
    if (p.interior)
        TRY(claim_below(m, pgno, p.right, BTREE_MAP_PAGE, err));
    for (uint32_t i = 0; i < p.cell_count; i++) {
        struct btree_page_cell c;

        if (!btree_page_cell(&p, i, &c)) {
            btree_map_forest_damage(m, "cell %" PRIu32 " of page %" PRIu32 " is malformed", i, pgno);
            continue;
        }
        if (p.interior)
            TRY(claim_below(m, pgno, c.child, BTREE_MAP_PAGE, err));
        if (c.local.size < c.payload_size)
            TRY(claim_below(m, pgno, c.overflow, BTREE_MAP_OVERFLOW, err));
    }
    return RC_OK;
}

static struct rc parse(struct btree_map *m, uint32_t pgno, struct err *err)
{
    TRY(read_page(m, pgno, err));
    if (btree_map_role_of(&m->nodes[pgno]) == BTREE_MAP_PAGE)
        return parse_btree(m, pgno, err);
    if (btree_page_overflow_next(m->page) != 0)
        return claim_below(m, pgno, btree_page_overflow_next(m->page), BTREE_MAP_OVERFLOW, err);
    return RC_OK;
}

/* Until nothing is left that was claimed and not read. */
static struct rc drain(struct btree_map *m, struct err *err)
{
    while (m->parse.count > 0)
        TRY(parse(m, m->parse.items[--m->parse.count], err));
    return RC_OK;
}

/* A changed page whose place has not changed. */
static struct rc parse_in_place(struct btree_map *m, uint32_t pgno, struct err *err)
{
    struct btree_map_node *n = &m->nodes[pgno];
    enum btree_map_role role = btree_map_role_of(n);
    bool placed = n->parent != 0 || n->owner == pgno;

    if ((role != BTREE_MAP_PAGE && role != BTREE_MAP_OVERFLOW) || !placed || btree_map_forest_epoch(n) == m->epoch)
        return RC_OK;
    btree_map_forest_stamp(m, n);
    TRY(btree_map_forest_add(&m->parse, pgno, err));
    return drain(m, err);
}

/* --- the freelist --------------------------------------------------------------------------------------------------
 */

static struct rc parse_trunk(struct btree_map *m, uint32_t pgno, uint32_t *next, struct err *err)
{
    uint32_t count = 0;
    enum btree_map_claim what;

    TRY(read_page(m, pgno, err));
    if (!btree_page_trunk(&m->file, m->page, next, &count)) {
        btree_map_forest_damage(m, "page %" PRIu32 " is not a trunk of the freelist", pgno);
        *next = 0;
        return RC_OK;
    }
    for (uint32_t i = 0; i < count; i++)
        TRY(btree_map_forest_claim(
            m, btree_page_trunk_leaf(m->page, i), pgno, BTREE_MAP_LEAF, BTREE_MAP_FREE_OWNER, &what, err));
    return RC_OK;
}

/* Trunks in their order from the header on; those that have not changed are not read: the next one is the newest of
 * their claims. */
static struct rc walk_freelist(struct btree_map *m, struct err *err)
{
    uint32_t parent = 1, pgno = m->file.first_trunk;

    while (pgno != 0) {
        enum btree_map_claim what;
        uint32_t next = 0;

        TRY(btree_map_forest_claim(m, pgno, parent, BTREE_MAP_TRUNK, BTREE_MAP_FREE_OWNER, &what, err));
        if (what == BTREE_MAP_REFUSED)
            return RC_OK;
        if (what == BTREE_MAP_KEPT) {
            next = m->nodes[pgno].first;
            if (next != 0 && btree_map_role_of(&m->nodes[next]) != BTREE_MAP_TRUNK)
                next = 0;
        } else
            TRY(parse_trunk(m, pgno, &next, err));
        parent = pgno;
        pgno = next;
    }
    return RC_OK;
}

/* --- the schema ----------------------------------------------------------------------------------------------------
 */

/* The begin of a row, over as many pages as it takes. */
static struct rc collect_row(struct btree_map *m, const struct btree_page_cell *c, struct buf *row, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *page = mem_new(m->file.page_size);
    uint64_t want = c->payload_size < BTREE_SCHEMA_PREFIX_MAX ? c->payload_size : BTREE_SCHEMA_PREFIX_MAX;
    uint32_t pgno = c->overflow;

    buf_clear(row);
    buf_put(row, c->local.data, c->local.size);
    for (; row->size < want && pgno > 1 && pgno <= m->page_count && m->chains_left > 0; m->chains_left--) {
        size_t n = m->file.usable - 4;

        m->read_count++;
        TRY(m->source->read(m->source->ctx, pgno, page, err));
        buf_put(row, page + 4, n < want - row->size ? n : (size_t)(want - row->size));
        pgno = btree_page_overflow_next(page);
    }
    return buf_check(row, "row of sqlite_schema", err);
}

/* What names the object is at the begin, mostly in the page itself; the statement behind it may be long. */
static struct rc read_row(
    struct btree_map *m, const struct btree_page_cell *c, struct buf *row, bool *damaged, struct err *err)
{
    TRY(btree_schema_add(&m->schema, m->file.encoding, c->local, damaged, err));
    if (!*damaged || c->local.size >= c->payload_size)
        return RC_OK;
    TRY(collect_row(m, c, row, err));
    return btree_schema_add(&m->schema, m->file.encoding, buf_span(row), damaged, err);
}

static struct rc read_rows(struct btree_map *m, uint32_t pgno, struct buf *row, struct err *err)
{
    struct btree_page p;

    TRY(read_page(m, pgno, err));
    if (!btree_page_open(&m->file, pgno, m->page, &p) || p.interior || !p.table)
        return RC_OK; /* interior pages hold no rows; anything else was noted when it was claimed */
    for (uint32_t i = 0; i < p.cell_count; i++) {
        struct btree_page_cell c;
        bool damaged;

        if (!btree_page_cell(&p, i, &c))
            continue;
        TRY(read_row(m, &c, row, &damaged, err));
        if (damaged)
            btree_map_forest_damage(m, "row %" PRIu32 " of page %" PRIu32 " of sqlite_schema is malformed", i, pgno);
    }
    return RC_OK;
}

/* All pages below page 1; those of the freelist hang there, too. */
static struct rc read_schema(struct btree_map *m, struct err *err)
{
    CLEANUP(buf_fini) struct buf row;
    uint32_t at = 1;

    btree_schema_fini(&m->former);
    m->former = m->schema;
    btree_schema_init(&m->schema);
    m->schema_read = true;
    m->chains_left = m->page_count;
    buf_init(&row, BTREE_SCHEMA_PREFIX_MAX);
    for (;;) {
        const struct btree_map_node *n = &m->nodes[at];
        bool below = n->first != 0;

        if (n->owner == 1 && btree_map_role_of(n) == BTREE_MAP_PAGE)
            TRY(read_rows(m, at, &row, err));
        else
            below = false;
        if (below) {
            at = n->first;
            continue;
        }
        while (at != 1 && m->nodes[at].next == 0)
            at = m->nodes[at].parent;
        if (at == 1)
            break;
        at = m->nodes[at].next;
    }
    btree_schema_sort(&m->schema);
    return RC_OK;
}

static struct rc claim_roots(struct btree_map *m, struct err *err)
{
    enum btree_map_claim what;

    for (size_t i = 0; i < m->former.count; i++) {
        uint32_t root = m->former.objects[i].root;

        if (root <= m->page_count && m->nodes[root].owner == root && btree_schema_find(&m->schema, root) == NULL)
            TRY(btree_map_forest_clear(m, root, err));
    }
    for (size_t i = 0; i < m->schema.count; i++) {
        uint32_t root = m->schema.objects[i].root;

        TRY(btree_map_forest_claim(m, root, 0, BTREE_MAP_PAGE, root, &what, err));
        if (what == BTREE_MAP_NEW)
            TRY(btree_map_forest_add(&m->parse, root, err));
        TRY(drain(m, err));
    }
    return RC_OK;
}

/* --- an update -----------------------------------------------------------------------------------------------------
 */

static struct rc resize(struct btree_map *m, uint32_t page_count, struct err *err)
{
    uint64_t room = (uint64_t)page_count + page_count / 8 + 64;
    struct btree_map_node *nodes;

    for (uint64_t pgno = (uint64_t)page_count + 1; m->nodes != NULL && pgno <= m->page_count; pgno++) {
        btree_map_forest_unlink(m, (uint32_t)pgno);
        TRY(btree_map_forest_drop(m, (uint32_t)pgno, err));
    }
    if (page_count >= m->node_room) {
        nodes = mem_resize(m->nodes, room, sizeof *nodes);
        if (nodes == NULL)
            return rc_raise(err, E_NOMEM, "map of %" PRIu32 " pages", page_count);
        m->nodes = nodes;
        m->node_room = room > UINT32_MAX ? UINT32_MAX : (uint32_t)room;
    }
    if (page_count > m->page_count)
        memset(m->nodes + m->page_count + 1, 0, (size_t)(page_count - m->page_count) * sizeof *nodes);
    m->page_count = page_count;
    return RC_OK;
}

static void forget_all(struct btree_map *m)
{
    memset(m->nodes, 0, ((size_t)m->page_count + 1) * sizeof *m->nodes);
    m->epoch = 1;
    m->changed = NULL;
    m->orphans.count = 0;
    m->body_changed = true;
}

/* Page 1 decides what kind of file this is.  *anew: what is known so far is of no use. */
static struct rc look_at_header(struct btree_map *m, bool *anew, struct err *err)
{
    struct btree_page_file before = m->file;
    bool was_readable = m->readable;
    uint64_t hash;

    m->body_changed = false;
    *anew = !was_readable || m->changed == NULL;
    if (!*anew && !btree_map_forest_changed(m, 1))
        return RC_OK;
    m->readable = m->page_count > 0;
    if (m->readable) {
        TRY(read_page(m, 1, err));
        m->readable = btree_page_file(m->page, before.page_size, &m->file);
        hash = digest_bytes(m->page + DBFMT_HEADER_SIZE, before.page_size - DBFMT_HEADER_SIZE);
        m->body_changed = hash != m->page1_body_hash;
        m->page1_body_hash = hash;
        if (!m->readable)
            btree_map_forest_damage(m, "page 1 is not that of a SQLite database");
    }
    if (!m->readable) {
        m->file = (struct btree_page_file){.page_size = before.page_size, .usable = before.page_size};
        *anew = true;
    } else if (before.usable != m->file.usable || before.auto_vacuum != m->file.auto_vacuum
               || before.encoding != m->file.encoding)
        *anew = true;
    return RC_OK;
}

static bool freelist_may_differ(const struct btree_map *m)
{
    if (btree_map_forest_changed(m, 1))
        return true;
    for (size_t i = 0; i < m->changed_count; i++)
        if (m->roles_before[i] == BTREE_MAP_TRUNK)
            return true;
    return false;
}

static bool schema_may_differ(const struct btree_map *m)
{
    if (m->body_changed)
        return true;
    for (size_t i = 0; i < m->changed_count; i++)
        if (m->changed_pages[i] != 1 && (m->owners_before[i] == 1 || m->nodes[m->changed_pages[i]].owner == 1))
            return true;
    return false;
}

static struct rc walk_schema(struct btree_map *m, struct err *err)
{
    struct btree_map_node *first = &m->nodes[1];

    if (btree_map_forest_changed(m, 1)) {
        first->owner = 1;
        btree_map_forest_set_role(first, BTREE_MAP_PAGE);
        btree_map_forest_stamp(m, first);
        TRY(btree_map_forest_add(&m->parse, 1, err));
        TRY(drain(m, err));
    }
    for (size_t i = 0; i < m->changed_count; i++)
        if (m->nodes[m->changed_pages[i]].owner == 1)
            TRY(parse_in_place(m, m->changed_pages[i], err));
    if (!schema_may_differ(m))
        return RC_OK;
    TRY(read_schema(m, err));
    return claim_roots(m, err);
}

static struct rc sweep(struct btree_map *m, struct err *err)
{
    for (size_t i = 0; i < m->orphans.count; i++) {
        uint32_t pgno = m->orphans.items[i];

        if (pgno > m->page_count || m->nodes[pgno].parent != 0 || btree_map_forest_epoch(&m->nodes[pgno]) == m->epoch)
            continue;
        TRY(btree_map_forest_clear(m, pgno, err));
    }
    return RC_OK;
}

static struct rc walk(struct btree_map *m, bool anew, struct err *err)
{
    if (anew)
        forget_all(m);
    for (size_t i = 0; !anew && i < m->changed_count; i++)
        TRY(btree_map_forest_drop(m, m->changed_pages[i], err));
    if (anew || freelist_may_differ(m))
        TRY(walk_freelist(m, err));
    TRY(walk_schema(m, err));
    for (size_t i = 0; !anew && i < m->changed_count; i++)
        TRY(parse_in_place(m, m->changed_pages[i], err));
    return sweep(m, err);
}

static struct rc set_page_size(struct btree_map *m, uint32_t page_size, struct err *err)
{
    assert(dbfmt_page_size_ok(page_size));
    if (m->file.page_size == page_size)
        return RC_OK;
    mem_free(m->page);
    m->page = mem_try(page_size, 1);
    if (m->page == NULL)
        return rc_raise(err, E_NOMEM, "map of pages");
    m->file = (struct btree_page_file){.page_size = page_size, .usable = page_size};
    m->readable = false;
    return RC_OK;
}

struct rc btree_map_update(struct btree_map *m, const struct btree_map_source *source, uint32_t page_size,
    uint32_t page_count, const struct bitmap *changed, struct err *err)
{
    bool anew;

    m->source = source;
    m->changed = m->epoch >= EPOCH_MAX ? NULL : changed;
    m->damage = m->read_count = 0;
    m->first_damage[0] = 0;
    m->orphans.count = m->parse.count = 0;
    m->epoch++;
    m->schema_read = false;
    btree_schema_fini(&m->former);
    TRY(set_page_size(m, page_size, err));
    TRY(btree_map_touch_before(m, page_count, err));
    TRY(resize(m, page_count, err));
    TRY(look_at_header(m, &anew, err));
    if (m->readable)
        TRY(walk(m, anew, err));
    else {
        forget_all(m);
        m->former = m->schema;
        btree_schema_init(&m->schema);
        m->schema_read = true;
    }
    return btree_map_touch_after(m, err);
}

/* --- the rest ------------------------------------------------------------------------------------------------------
 */

struct btree_map *btree_map_new(void)
{
    struct btree_map *m = mem_new(sizeof *m);

    m->nodes = mem_new(sizeof *m->nodes);
    m->node_room = 1;
    return m;
}

void btree_map_free(struct btree_map *m)
{
    if (m == NULL)
        return;
    btree_map_touch_fini(m);
    btree_schema_fini(&m->schema);
    btree_schema_fini(&m->former);
    mem_free(m->nodes);
    mem_free(m->page);
    mem_free(m->parse.items);
    mem_free(m->orphans.items);
    mem_free(m);
}

void btree_map_freep(struct btree_map **m)
{
    btree_map_free(*m);
    *m = NULL;
}

const char *btree_map_owner(const struct btree_map *m, uint32_t pgno, enum btree_map_kind *kind)
{
    static const struct btree_map_node nobody;
    const struct btree_map_node *n = pgno <= m->page_count ? &m->nodes[pgno] : &nobody;
    enum btree_map_kind k = btree_map_touch_kind(m, pgno, n->owner, btree_map_role_of(n));
    const struct btree_schema_object *o = k == BTREE_MAP_TABLE ? btree_schema_find(&m->schema, n->owner) : NULL;

    if (o != NULL && o->index)
        k = BTREE_MAP_INDEX;
    else if (k == BTREE_MAP_TABLE && o == NULL)
        k = BTREE_MAP_UNKNOWN;
    if (kind != NULL)
        *kind = k;
    return o != NULL ? o->name : btree_map_touch_name(k);
}

const struct btree_map_touch *btree_map_touches(const struct btree_map *m, size_t *count)
{
    *count = m->touch_count;
    return m->touches;
}

uint64_t btree_map_damage(const struct btree_map *m, const char **first)
{
    *first = m->first_damage;
    return m->damage;
}

uint64_t btree_map_read_count(const struct btree_map *m)
{
    return m->read_count;
}
