/* SPDX-License-Identifier: Apache-2.0 */
#include "db_copy.h"

#include "alloc.h"
#include "digest.h"
#include "wal_image.h"

#include <assert.h>

enum { GROUP_SIZE = 1 << 20 /* bytes of pages between two looks at the log */ };

struct walk {
    struct db_live *l;
    db_copy_ship_fn ship; /* NULL: nothing is made that could be shipped */
    void *ctx;
    struct db_copy_known *known; /* NULL: none */
};

static struct rc ship_parts(struct walk *k, struct err *err)
{
    struct db_live *l = k->l;

    while (l->parts != NULL) {
        struct db_segment *s = l->parts;

        l->parts = s->next;
        if (l->parts == NULL)
            l->parts_last = &l->parts;
        s->next = NULL;
        assert(k->ship != NULL);
        TRY(k->ship(k->ctx, s, err));
        db_live_part_done(l);
    }
    return RC_OK;
}

/* Read on in the log to its end. */
static struct rc catch_up(struct walk *k, struct err *err)
{
    bool end = false;

    while (!end) {
        TRY(db_live_absorb(k->l, &end, err));
        TRY(ship_parts(k, err));
    }
    return RC_OK;
}

static bool is_known_damage(struct walk *k, uint32_t pgno, const uint8_t *page)
{
    const struct local_scrub_page *p = k->known != NULL ? local_scrub_find(k->known->note, pgno) : NULL;

    if (p == NULL || p->have == 0 || p->want != page_hash_get(k->l->hashes, pgno)
        || p->have != digest_page(pgno, page, k->l->conn->page_size))
        return false;
    k->known->left_out++;
    return true;
}

static struct rc walk_pages(struct walk *k, struct err *err)
{
    struct db_live *l = k->l;
    uint32_t page_size = l->conn->page_size, group = GROUP_SIZE / page_size;
    CLEANUP(mem_freep) uint8_t *pages = mem_new(GROUP_SIZE);

    /* The database may grow meanwhile: its new pages come through the log. */
    for (uint64_t first = 1; first <= page_hash_count(l->hashes); first += group) {
        uint64_t left = page_hash_count(l->hashes) - first + 1;
        uint32_t count = left < group ? (uint32_t)left : group;

        TRY(wal_image_current(l->reader, (uint32_t)first, count, pages, err));
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *page = pages + (size_t)i * page_size;

            if (is_known_damage(k, (uint32_t)first + i, page))
                continue;
            TRY(wal_capture_page(&l->cap, (uint32_t)first + i, page, err));
            TRY(ship_parts(k, err));
        }
        TRY(catch_up(k, err));
    }
    return RC_OK;
}

static struct rc walk(struct walk *k, struct err *err)
{
    uint32_t count;

    k->l->cap.absorbing = true;
    TRY(catch_up(k, err));
    TRY(db_live_page_count(k->l, &count, err));
    TRY(page_hash_resize(k->l->hashes, count, err));
    return walk_pages(k, err);
}

struct rc db_copy_hash(struct db_live *l, struct err *err)
{
    struct walk k = {.l = l};

    page_hash_clear(l->hashes);
    l->cap.enc = NULL;
    TRY_CTX(walk(&k, err), err, "hash %s", l->conn->path);
    l->cap.enc = l->enc;
    l->cap.absorbing = false;
    l->cap.pos = *wal_reader_pos(l->reader);
    return RC_OK;
}

struct rc db_copy_compare(struct db_live *l, struct db_copy_known *known, db_copy_ship_fn ship, void *ctx,
    bool *changed, struct db_segment **out, struct err *err)
{
    struct walk k = {.l = l, .ship = ship, .ctx = ctx, .known = known};

    *out = NULL;
    TRY_CTX(walk(&k, err), err, "compare %s with what was shipped", l->conn->path);
    /* Pages may have been taken back and forth on the way: the log holds what was before, and pages that were unknown
     * may turn out to be what they were. */
    *changed = page_hash_checksum(l->hashes) != l->open_base_checksum || !db_live_discard(l);
    if (*changed) {
        TRY(wal_capture_fold(&l->cap, SEG_RESYNC, 0, err));
        TRY(ship_parts(&k, err));
    }
    l->cap.absorbing = false;
    l->cap.pos = *wal_reader_pos(l->reader);
    return db_live_finish(l, out, err);
}
