/* SPDX-License-Identifier: Apache-2.0 */
#include "db_copy.h"

#include "alloc.h"
#include "db_freeze.h"
#include "db_reach.h"
#include "digest.h"
#include "wal_image.h"

#include <unistd.h>

enum {
    GROUP_SIZE = 1 << 20,  /* bytes of pages between two looks at the log */
    FINAL_BYTES = 1 << 20, /* pages for which another round is not worth it */
    TRIAL_BYTES = 8 << 20, /* pages after which a round tells whether it gets anywhere */
    ROUNDS_MAX = 8,        /* before the file is frozen in any case */
    PAUSE_US = 1000,       /* until a checkpoint that is copying is asked again */
};

static struct rc check_stop(const struct db_copy *c, struct err *err)
{
    return c->stop != NULL && *c->stop ? rc_raise(err, E_CANCELED, "stopping") : RC_OK;
}

/* --- the walk: the index of what is there ------------------------------------------------------------------------- */

static bool is_known_damage(struct db_copy *c, uint32_t pgno, const uint8_t *page)
{
    const struct db_live *l = c->live;
    const struct local_scrub_page *p = c->known != NULL ? local_scrub_find(c->known, pgno) : NULL;

    if (p == NULL || p->have == 0 || p->want != page_hash_get(l->hashes, pgno)
        || p->have != digest_page(pgno, page, l->conn->page_size))
        return false;
    c->left_out++;
    return true;
}

static struct rc walk_pages(struct db_copy *c, struct err *err)
{
    struct db_live *l = c->live;
    uint32_t page_size = l->conn->page_size, group = GROUP_SIZE / page_size;
    CLEANUP(mem_freep) uint8_t *pages = mem_new(GROUP_SIZE);
    bool end;

    /* The database may grow meanwhile: its new pages come through the log. */
    for (uint64_t first = 1; first <= page_hash_count(l->hashes); first += group) {
        uint64_t left = page_hash_count(l->hashes) - first + 1;
        uint32_t count = left < group ? (uint32_t)left : group;

        TRY(check_stop(c, err));
        TRY(wal_image_current(l->reader, (uint32_t)first, count, pages, err));
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *page = pages + (size_t)i * page_size;

            if (!is_known_damage(c, (uint32_t)first + i, page))
                TRY(wal_capture_page(&l->cap, (uint32_t)first + i, page, err));
        }
        TRY(db_live_absorb(l, &end, err));
    }
    return RC_OK;
}

static struct rc walk(struct db_copy *c, struct err *err)
{
    struct db_live *l = c->live;
    uint32_t count;

    l->cap.absorbing = true;
    l->cap.enc = NULL;
    /* First of all: the log's first commit would have all pages that are new read one by one. */
    TRY(db_live_page_count(l, &count, err));
    TRY(page_hash_resize(l->hashes, count, err));
    TRY(db_reach_now(l, err));
    TRY(walk_pages(c, err));
    return db_reach_now(l, err);
}

/* Everything from here on is captured commit by commit again. */
static void follow_on(struct db_live *l)
{
    l->cap.enc = l->enc;
    l->cap.absorbing = false;
    l->cap.pos = *wal_reader_pos(l->reader);
}

struct rc db_copy_hash(struct db_copy *c, struct err *err)
{
    page_hash_clear(c->live->hashes);
    TRY_CTX(walk(c, err), err, "hash %s", c->live->conn->path);
    follow_on(c->live);
    return RC_OK;
}

/* --- the rounds: what differs is shipped -------------------------------------------------------------------------- */

static struct rc ship_parts(struct db_copy *c, struct err *err)
{
    struct db_live *l = c->live;

    while (l->parts != NULL) {
        struct db_segment *s = l->parts;

        l->parts = s->next;
        if (l->parts == NULL)
            l->parts_last = &l->parts;
        s->next = NULL;
        c->bytes += s->bytes.size;
        TRY(c->ship(c->ctx, s, err));
        db_live_part_done(l);
    }
    return RC_OK;
}

/* The page as it is at our position goes into the segment. */
static struct rc ship_page(struct db_copy *c, uint32_t pgno, bool frozen, uint8_t *page, struct err *err)
{
    struct db_live *l = c->live;

    TRY(wal_image_current(l->reader, pgno, 1, page, err));
    if (digest_page(pgno, page, l->conn->page_size) != page_hash_get(l->hashes, pgno)) {
        if (!frozen)
            return RC_OK;                                /* the file is ahead of us: the log has it */
        TRY(wal_capture_page(&l->cap, pgno, page, err)); /* nobody else changes it now: so this is what it is */
    }
    TRY(seg_enc_page(l->enc, pgno, page, NULL, err));
    TRY(l->cap.on_block(l->cap.ctx, err));
    bitmap_remove(l->changed, pgno);
    return ship_parts(c, err);
}

struct round {
    bool frozen;            /* see db_freeze.h */
    bool still;             /* all pages are to be those of one position: nothing is read of the log meanwhile */
    uint8_t *page;          /* scratch */
    uint64_t left, shipped; /* bytes of pages: at its begin; since then, */
    uint64_t looked_at;     /* and at the last look at the log */
    uint64_t us;            /* the clock then */
};

static uint64_t left_now(const struct db_live *l)
{
    return (uint64_t)bitmap_count(l->changed) * l->conn->page_size;
}

/* As much time for reading the log as for the pages: it must not grow for as long as they take to ship. */
static struct rc look_at_log(struct db_copy *c, struct round *r, struct err *err)
{
    const struct clock *clock = c->live->clock;
    bool end;

    TRY(check_stop(c, err));
    if (!r->still)
        TRY(db_reach_for(c->live, clock_mono_us(clock) - r->us, &end, err));
    r->us = clock_mono_us(clock);
    r->looked_at = r->shipped;
    return RC_OK;
}

/* For two pages that were shipped more than one has changed: the round ends here, or it would all be for nothing. */
static bool is_hopeless(const struct db_copy *c, const struct round *r)
{
    return !r->still && r->shipped >= TRIAL_BYTES && left_now(c->live) + r->shipped / 2 > r->left;
}

static struct rc ship_changed(struct db_copy *c, struct round *r, struct err *err)
{
    struct db_live *l = c->live;

    r->us = clock_mono_us(l->clock);
    r->shipped = r->looked_at = 0;
    for (uint32_t pgno = 1; bitmap_next(l->changed, pgno, &pgno) && pgno <= page_hash_count(l->hashes); pgno++) {
        TRY(ship_page(c, pgno, r->frozen, r->page, err));
        r->shipped += l->conn->page_size;
        if (r->shipped - r->looked_at < GROUP_SIZE)
            continue;
        TRY(look_at_log(c, r, err));
        if (is_hopeless(c, r))
            return RC_OK;
    }
    return RC_OK;
}

/* Pages that the database has cut off since they changed. */
static void drop_cut(struct db_live *l)
{
    uint32_t pgno = page_hash_count(l->hashes) + 1;

    while (pgno != 0 && bitmap_next(l->changed, pgno, &pgno))
        bitmap_remove(l->changed, pgno);
}

static struct rc converge(struct db_copy *c, struct round *r, struct err *err)
{
    struct db_live *l = c->live;
    uint64_t before = UINT64_MAX;
    unsigned rounds = 0;
    bool end = false;

    for (;;) {
        bool few, outrun;

        TRY(check_stop(c, err));
        if (!r->frozen)
            TRY(db_reach_for(l, 0, &end, err));
        drop_cut(l);
        r->left = left_now(l);
        few = r->left <= FINAL_BYTES;
        outrun = rounds >= ROUNDS_MAX || (few ? !end : r->left > before / 2);
        if (outrun && !r->frozen) {
            TRY(db_freeze_begin(l, &r->frozen, err));
            if (r->frozen)
                continue; /* it has read on */
            (void)usleep(PAUSE_US);
            if (!few || !end)
                continue;
        }
        r->still = r->frozen || few;
        TRY(ship_changed(c, r, err));
        if (r->still && bitmap_count(l->changed) == 0)
            return RC_OK;
        before = r->left;
        rounds++;
    }
}

static struct rc compare(struct db_copy *c, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *page = mem_new(c->live->conn->page_size);
    struct round round = {.page = page};
    struct db_live *l = c->live;

    TRY(walk(c, err));
    TRY(converge(c, &round, err));
    /* Pages may have been taken back and forth on the way, and pages that were unknown may turn out to be what they
     * were. */
    c->changed = page_hash_checksum(l->hashes) != l->open_base_checksum || !db_live_discard(l);
    l->cap.enc = l->enc;
    if (c->changed) {
        TRY(wal_capture_fold(&l->cap, SEG_RESYNC, 0, err));
        TRY(ship_parts(c, err));
    }
    return RC_OK;
}

struct rc db_copy_compare(struct db_copy *c, struct err *err)
{
    struct db_live *l = c->live;
    struct rc rc;

    c->last = NULL;
    c->changed = false;
    c->left_out = 0;
    c->bytes = 0;
    l->changed = bitmap_new();
    rc = compare(c, err);
    db_freeze_end(l);
    bitmap_free(l->changed);
    l->changed = NULL;
    TRY_CTX(rc, err, "compare %s with what was shipped", l->conn->path);
    follow_on(l);
    TRY(db_live_finish(l, &c->last, err));
    c->bytes += c->last != NULL ? c->last->bytes.size : 0;
    return RC_OK;
}
