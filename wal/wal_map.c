/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_map.h"

#include "alloc.h"

#include <assert.h>
#include <string.h>

enum { SLOTS_MIN = 1 << 10 };

struct slot {
    uint32_t pgno, frame; /* pgno 0: free */
};

struct wal_map {
    struct slot *slots;
    uint32_t slot_count; /* a power of two, at least twice the entries */
    uint32_t entry_count;
    bool complete;
};

struct wal_map *wal_map_new(void)
{
    struct wal_map *m = mem_new(sizeof *m);

    m->slot_count = SLOTS_MIN;
    m->slots = mem_new(SLOTS_MIN * sizeof *m->slots);
    m->complete = true;
    return m;
}

void wal_map_free(struct wal_map *m)
{
    if (m == NULL)
        return;
    mem_free(m->slots);
    mem_free(m);
}

/* A table that grew for one big transaction is given back, so that an idle daemon is small again. */
void wal_map_clear(struct wal_map *m)
{
    if (m->slot_count > SLOTS_MIN * 16) {
        mem_free(m->slots);
        m->slot_count = SLOTS_MIN;
        m->slots = mem_new(SLOTS_MIN * sizeof *m->slots);
    } else if (m->entry_count > 0) {
        memset(m->slots, 0, m->slot_count * sizeof *m->slots);
    }
    m->entry_count = 0;
    m->complete = true;
}

static struct slot *find(struct slot *slots, uint32_t slot_count, uint32_t pgno)
{
    uint32_t i = (pgno * 2654435761u) & (slot_count - 1); /* Knuth's multiplicative hash */

    while (slots[i].pgno != 0 && slots[i].pgno != pgno)
        i = (i + 1) & (slot_count - 1);
    return &slots[i];
}

uint32_t wal_map_get(const struct wal_map *m, uint32_t pgno)
{
    return find(m->slots, m->slot_count, pgno)->frame;
}

static bool grow(struct wal_map *m)
{
    uint32_t slot_count = m->slot_count * 2;
    struct slot *slots = mem_try(slot_count, sizeof *slots);

    if (slots == NULL)
        return false;
    for (uint32_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].pgno != 0)
            *find(slots, slot_count, m->slots[i].pgno) = m->slots[i];
    }
    mem_free(m->slots);
    m->slots = slots;
    m->slot_count = slot_count;
    return true;
}

void wal_map_set(struct wal_map *m, uint32_t pgno, uint32_t frame)
{
    struct slot *s;

    assert(pgno != 0);
    assert(frame != 0);
    s = find(m->slots, m->slot_count, pgno);
    if (s->pgno == 0) {
        if (m->entry_count >= WAL_MAP_MAX || ((m->entry_count + 1) * 2 > m->slot_count && !grow(m))) {
            m->complete = false;
            return;
        }
        s = find(m->slots, m->slot_count, pgno);
        s->pgno = pgno;
        m->entry_count++;
    }
    s->frame = frame;
}

bool wal_map_complete(const struct wal_map *m)
{
    return m->complete;
}
