/* SPDX-License-Identifier: Apache-2.0 */
#include "scrub.h"

#include "alloc.h"
#include "digest.h"
#include "wal_still.h"

#include <errno.h>

void scrub_fini(struct scrub *s)
{
    mem_free(s->suspects);
    s->suspects = NULL;
    s->suspect_count = 0;
    local_scrub_fini(&s->note);
}

static uint64_t hash_of(const struct db_live *l, uint32_t pgno, const uint8_t *page)
{
    return digest_page(pgno, page, l->conn->page_size);
}

/* --- suspects ------------------------------------------------------------------------------------------------------
 */

static void suspect(struct scrub *s, uint32_t pgno)
{
    if (s->suspects == NULL)
        s->suspects = mem_new(SCRUB_SUSPECTS_MAX * sizeof *s->suspects);
    for (uint32_t i = 0; i < s->suspect_count; i++)
        if (s->suspects[i].pgno == pgno)
            return;
    if (s->suspect_count < SCRUB_SUSPECTS_MAX)
        s->suspects[s->suspect_count++] = (struct scrub_suspect){.pgno = pgno};
}

static bool has_room(const struct scrub *s)
{
    return s->suspect_count < SCRUB_SUSPECTS_MAX;
}

static void convict(struct scrub *s, struct db_live *l, uint32_t pgno, uint64_t want, uint64_t have)
{
    struct local_scrub_page *p = local_scrub_add(&s->note, pgno);

    if (p == NULL) {
        s->note.unlisted++;
        return;
    }
    p->want = want;
    p->have = have;
    p->txid = l->cap.txid;
    p->found_ms = clock_wall_ms(l->clock);
}

/* True: the suspect is done with. */
static bool judge_suspect(
    struct scrub *s, struct db_live *l, struct scrub_suspect *q, uint8_t *page, struct scrub_step *step)
{
    uint64_t want = page_hash_get(l->hashes, q->pgno), have, now = clock_mono_us(l->clock);
    enum wal_still what;

    if (want == 0 || q->pgno > page_hash_count(l->hashes) || !wal_still_settled(l->reader, q->pgno))
        return true; /* a commit has changed it since; it is met again */
    if (now < q->due_us)
        return false;
    if (rc_failed(wal_still_prove(l->reader, q->pgno, page, &what, &step->err)))
        return true;
    if (what == WAL_STILL_MOVING)
        return false;
    have = what == WAL_STILL_READ ? hash_of(l, q->pgno, page) : 0;
    if (have == want)
        return true;
    if (q->want != want) {
        q->want = want;
        q->due_us = now + SCRUB_CONFIRM_US;
        return false;
    }
    convict(s, l, q->pgno, want, have);
    step->news = true;
    return true;
}

static void judge_suspects(struct scrub *s, struct db_live *l, struct scrub_step *step)
{
    CLEANUP(mem_freep) uint8_t *page = NULL;
    uint32_t kept = 0;

    if (s->suspect_count == 0)
        return;
    page = mem_new(l->conn->page_size);
    for (uint32_t i = 0; i < s->suspect_count; i++)
        if (!judge_suspect(s, l, &s->suspects[i], page, step))
            s->suspects[kept++] = s->suspects[i];
    s->suspect_count = kept;
}

/* --- damaged pages -------------------------------------------------------------------------------------------------
 */

/* What was damaged stays on the list until the loop has told what became of it. */
static void recheck_page(struct local_scrub_page *p, struct db_live *l, uint8_t *page, struct scrub_step *step)
{
    uint64_t want = page_hash_get(l->hashes, p->pgno);
    struct err ignored;

    if (p->fate != LOCAL_SCRUB_DAMAGED)
        return;
    if (want == 0 || p->pgno > page_hash_count(l->hashes)) {
        p->fate = LOCAL_SCRUB_WRITTEN;
    } else {
        if (!wal_still_settled(l->reader, p->pgno) || rc_failed(wal_still_read(l->reader, p->pgno, 1, page, &ignored))
            || hash_of(l, p->pgno, page) != want)
            return;
        p->fate = want == p->want ? LOCAL_SCRUB_MENDED : LOCAL_SCRUB_WRITTEN;
    }
    step->news = true;
}

static void recheck(struct scrub *s, struct db_live *l, struct scrub_step *step)
{
    CLEANUP(mem_freep) uint8_t *page = NULL;

    if (!step->recheck || s->note.count == 0)
        return;
    page = mem_new(l->conn->page_size);
    for (uint32_t i = 0; i < s->note.count; i++)
        recheck_page(&s->note.pages[i], l, page, step);
}

/* --- the pass ------------------------------------------------------------------------------------------------------
 */

static void look_at(struct scrub *s, struct db_live *l, uint32_t pgno, const uint8_t *page)
{
    uint64_t want = page_hash_get(l->hashes, pgno); /* 0: the lock page */

    if (want == 0 || (page != NULL && hash_of(l, pgno, page) == want))
        return;
    if (wal_still_settled(l->reader, pgno) && local_scrub_find(&s->note, pgno) == NULL)
        suspect(s, pgno);
}

/* Some of these cannot be read: page by page, so that it is known which. */
static struct rc look_singly(
    struct scrub *s, struct db_live *l, uint32_t first, uint32_t count, uint8_t *page, struct err *err)
{
    for (uint32_t i = 0; i < count && has_room(s); i++) {
        struct err why;
        bool failed = rc_failed(wal_still_read(l->reader, first + i, 1, page, &why));

        if (failed && why.sys != EIO) {
            *err = why;
            return rc_of(err);
        }
        look_at(s, l, first + i, failed ? NULL : page);
        s->note.next++;
    }
    return RC_OK;
}

static struct rc look_at_chunk(struct scrub *s, struct db_live *l, uint32_t count, uint8_t *pages, struct err *err)
{
    uint32_t first = (uint32_t)s->note.next;
    struct err why;

    if (rc_failed(wal_still_read(l->reader, first, count, pages, &why)))
        return look_singly(s, l, first, count, pages, err);
    for (uint32_t i = 0; i < count && has_room(s); i++) {
        look_at(s, l, first + i, pages + (size_t)i * l->conn->page_size);
        s->note.next++;
    }
    return RC_OK;
}

static void end_pass(struct scrub *s, const struct db_live *l, struct scrub_step *step)
{
    s->note.passed_ms = clock_wall_ms(l->clock);
    s->note.passed_pages = page_hash_count(l->hashes);
    step->news = step->news || s->note.unlisted != s->note.unlisted_last;
    s->note.unlisted_last = s->note.unlisted;
    s->note.unlisted = 0;
    s->note.next = 1;
    step->passed = true;
}

/* At most one pass ends in a step. */
static struct rc walk(struct scrub *s, struct db_live *l, struct scrub_step *step, struct err *err)
{
    uint32_t per_chunk = SCRUB_CHUNK_SIZE / l->conn->page_size;
    CLEANUP(mem_freep) uint8_t *pages = mem_new(SCRUB_CHUNK_SIZE);
    uint64_t until = clock_mono_us(l->clock) + SCRUB_SLICE_US;

    while (step->read < step->budget && has_room(s) && !step->passed) {
        uint64_t at = s->note.next, count = page_hash_count(l->hashes);
        uint64_t left = at <= count ? count - at + 1 : 0;

        if (at == 1)
            s->note.began_ms = clock_wall_ms(l->clock);
        if (left > 0)
            TRY(look_at_chunk(s, l, left < per_chunk ? (uint32_t)left : per_chunk, pages, err));
        step->read += (uint32_t)(s->note.next - at);
        if (s->note.next > count)
            end_pass(s, l, step);
        if (clock_mono_us(l->clock) >= until)
            break;
    }
    return RC_OK;
}

void scrub_step(struct scrub *s, struct db_live *l, struct scrub_step *step)
{
    step->read = 0;
    step->pages = page_hash_count(l->hashes);
    step->passed = step->news = false;
    step->err.code = E_OK;
    if (l->cap.inside)
        return; /* the index is between two states */
    if (step->hint != 0 && has_room(s) && local_scrub_find(&s->note, step->hint) == NULL)
        suspect(s, step->hint);
    judge_suspects(s, l, step);
    recheck(s, l, step);
    if (step->budget > 0)
        rc_ignore(walk(s, l, step, &step->err), "the loop tells of it");
}
