/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_table.h"

#include "alloc.h"

#include <assert.h>

enum {
    HEADER_SIZE = 136, /* of the index, before the first region's page numbers */
    FRAMES = 4096,     /* of a region */
    FRAMES_FIRST = FRAMES - HEADER_SIZE / 4,
    SLOTS = 2 * FRAMES,
    HASH_FACTOR = 383,
};

struct wal_table {
    struct wal_conn *conn;   /* borrowed */
    volatile void **regions; /* owned; what they point to is the connection's */
    uint32_t count;          /* mapped so far, from the first on */
};

/* One region: page number of frame `before` + i at pages[i - 1]. */
struct part {
    volatile uint32_t *pages;
    volatile uint16_t *slots;
    uint32_t frames; /* that it has room for */
    uint32_t before; /* frames in the regions before it */
};

struct wal_table *wal_table_new(struct wal_conn *conn)
{
    struct wal_table *t = mem_new(sizeof *t);

    t->conn = conn;
    return t;
}

void wal_table_free(struct wal_table *t)
{
    if (t == NULL)
        return;
    mem_free(t->regions);
    mem_free(t);
}

/* From 0 on. */
static uint32_t region_of(uint32_t frame)
{
    return (uint32_t)(((uint64_t)frame + FRAMES - FRAMES_FIRST - 1) / FRAMES);
}

static struct rc map_up_to(struct wal_table *t, uint32_t region, struct err *err)
{
    const struct sqlite3_io_methods *m = t->conn->gate_file->pMethods;

    while (t->count <= region) {
        volatile void **grown = mem_resize(t->regions, (size_t)t->count + 1, sizeof *grown);
        void volatile *p = NULL;

        if (grown == NULL)
            return rc_raise(err, E_NOMEM, "map region %u of %s", t->count, t->conn->shm_path);
        t->regions = grown;
        if (m->xShmMap(t->conn->gate_file, (int)t->count, WAL_INDEX_REGION_SIZE, 1, &p) != SQLITE_OK || p == NULL)
            return rc_raise(err, E_IO, "map region %u of %s: SQLite could not", t->count, t->conn->shm_path);
        t->regions[t->count++] = p;
    }
    return RC_OK;
}

static struct rc get_part(struct wal_table *t, uint32_t region, struct part *out, struct err *err)
{
    volatile uint32_t *words;

    TRY(map_up_to(t, region, err));
    words = (volatile uint32_t *)t->regions[region];
    out->slots = (volatile uint16_t *)(words + FRAMES);
    out->pages = region == 0 ? words + HEADER_SIZE / 4 : words;
    out->frames = region == 0 ? FRAMES_FIRST : FRAMES;
    out->before = region == 0 ? 0 : FRAMES_FIRST + (region - 1) * FRAMES;
    return RC_OK;
}

static uint32_t first_slot(uint32_t pgno)
{
    return (pgno * HASH_FACTOR) & (SLOTS - 1);
}

static uint32_t next_slot(uint32_t slot)
{
    return (slot + 1) & (SLOTS - 1);
}

static struct rc circle(const struct wal_table *t, uint32_t region, struct err *err)
{
    return rc_raise(err, E_CORRUPT, "%s: the hash table of region %u has no free slot", t->conn->shm_path, region);
}

struct rc wal_table_find(struct wal_table *t, uint32_t pgno, uint32_t limit, uint32_t *frame, struct err *err)
{
    *frame = 0;
    if (limit == 0)
        return RC_OK;
    for (uint32_t region = region_of(limit) + 1; region > 0 && *frame == 0; region--) {
        uint32_t left = SLOTS, at = first_slot(pgno), entry;
        struct part p;

        TRY(get_part(t, region - 1, &p, err));
        while ((entry = __atomic_load_n(&p.slots[at], __ATOMIC_ACQUIRE)) != 0) {
            /* Later frames stand in later slots, so the last one found is the newest. */
            if (entry <= p.frames && p.before + entry <= limit
                && __atomic_load_n(&p.pages[entry - 1], __ATOMIC_RELAXED) == pgno)
                *frame = p.before + entry;
            if (left-- == 0)
                return circle(t, region - 1, err);
            at = next_slot(at);
        }
    }
    return RC_OK;
}

static void clear(const struct part *p, uint32_t limit)
{
    for (uint32_t i = 0; i < SLOTS; i++)
        if (p->slots[i] > limit)
            __atomic_store_n(&p->slots[i], 0, __ATOMIC_RELAXED);
    for (uint32_t i = limit; i < p->frames; i++)
        __atomic_store_n(&p->pages[i], 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

struct rc wal_table_cut(struct wal_table *t, uint32_t limit, struct err *err)
{
    struct part p;

    if (limit == 0)
        return RC_OK; /* the first frame clears its region */
    TRY(get_part(t, region_of(limit), &p, err));
    clear(&p, limit - p.before);
    return RC_OK;
}

struct rc wal_table_add(struct wal_table *t, uint32_t frame, uint32_t pgno, struct err *err)
{
    uint32_t index, left, at;
    struct part p;

    assert(frame != 0);
    assert(pgno != 0);
    TRY(get_part(t, region_of(frame), &p, err));
    index = frame - p.before;
    left = index;
    if (index == 1)
        clear(&p, 0);
    for (at = first_slot(pgno); p.slots[at] != 0; at = next_slot(at))
        if (left-- == 0)
            return circle(t, region_of(frame), err);
    __atomic_store_n(&p.pages[index - 1], pgno, __ATOMIC_RELAXED);
    __atomic_store_n(&p.slots[at], (uint16_t)index, __ATOMIC_RELEASE);
    return RC_OK;
}
