/* SPDX-License-Identifier: Apache-2.0 */
#include "scrub_parked.h"

#include "alloc.h"
#include "digest.h"
#include "local_state.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

enum {
    NAP_MS = 10, /* so soon a stop is noticed */
    PAGES_MAX = SCRUB_PARKED_CHUNK_SIZE / 512,
};

struct pass {
    struct scrub_parked *s;
    struct page_hash *hashes;
    int fd;
    uint32_t page_size;
    uint8_t *pages;           /* a chunk */
    uint64_t have[PAGES_MAX]; /* hashes of it; 0: the page cannot be read */
    uint64_t bytes;           /* read since the last rest */
};

void scrub_parked_fini(struct scrub_parked *s)
{
    local_scrub_fini(&s->note);
}

static bool stopped(const struct pass *p)
{
    return *p->s->stop;
}

static void rest(const struct pass *p, uint64_t ms)
{
    for (uint64_t left = ms; left > 0 && !stopped(p);) {
        uint64_t nap = left < NAP_MS ? left : NAP_MS;
        const struct timespec t = {.tv_nsec = (long)nap * 1000000};

        (void)nanosleep(&t, NULL); /* cut short by a signal: it goes on a little earlier */
        left -= nap;
    }
}

static struct rc still_holds(const struct pass *p, bool *holds, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s-wal", p->s->path);
    struct park_mark_file db, log;

    TRY(park_mark_look(p->s->fs, p->s->path, &db, err));
    TRY(park_mark_look(p->s->fs, path, &log, err));
    *holds = park_mark_judge(&p->s->mark, &db, &log) == PARK_STAY;
    return RC_OK;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void hash_page(struct pass *p, uint32_t first, uint32_t i)
{
    p->have[i] = digest_page(first + i, p->pages + (size_t)i * p->page_size, p->page_size);
}

static off_t offset_of(const struct pass *p, uint32_t pgno)
{
    return (off_t)(pgno - 1) * p->page_size;
}

/* Some of these cannot be read: page by page, so that it is known which. */
static struct rc read_singly(struct pass *p, uint32_t first, uint32_t count, struct err *err)
{
    const struct fsys *fs = p->s->fs;

    for (uint32_t i = 0; i < count; i++) {
        ssize_t n = fs->pread(fs, p->fd, p->pages + (size_t)i * p->page_size, p->page_size, offset_of(p, first + i));

        if (n < 0 && errno != EIO)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "read page %u of %s", first + i, p->s->path);
        p->have[i] = 0;
        if (n == (ssize_t)p->page_size)
            hash_page(p, first, i);
    }
    return RC_OK;
}

static struct rc read_chunk(struct pass *p, uint32_t first, uint32_t count, struct err *err)
{
    const struct fsys *fs = p->s->fs;
    size_t size = (size_t)count * p->page_size;

    p->bytes += size;
    if (fs->uncache != NULL)
        (void)fs->uncache(fs, p->fd, offset_of(p, first), (off_t)size); /* a wish: it is the disk that is looked at */
    if (fs->pread(fs, p->fd, p->pages, size, offset_of(p, first)) != (ssize_t)size)
        return read_singly(p, first, count, err);
    for (uint32_t i = 0; i < count; i++)
        hash_page(p, first, i);
    return RC_OK;
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

static void convict(struct pass *p, uint32_t pgno, uint64_t want, uint64_t have)
{
    struct local_scrub *n = &p->s->note;
    struct local_scrub_page *page = local_scrub_add(n, pgno);

    if (page == NULL) {
        n->unlisted++;
        return;
    }
    page->want = want;
    page->have = have;
    page->txid = p->s->mark.txid;
    page->found_ms = clock_wall_ms(p->s->clock);
}

/* Of the pages that were damaged before: is it right again? */
static void look_again(struct local_scrub_page *known, uint64_t want, uint64_t have)
{
    if (have == want && known->fate == LOCAL_SCRUB_DAMAGED)
        known->fate = want == known->want ? LOCAL_SCRUB_MENDED : LOCAL_SCRUB_WRITTEN;
}

/* True: some of these differ, and it is not known yet that they are damaged. */
static bool any_suspect(struct pass *p, uint32_t first, uint32_t count, bool *suspect)
{
    bool any = false;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t want = page_hash_get(p->hashes, first + i); /* 0: the lock page */
        struct local_scrub_page *known = local_scrub_find(&p->s->note, first + i);

        suspect[i] = false;
        if (known != NULL)
            look_again(known, want, p->have[i]);
        else
            suspect[i] = want != 0 && p->have[i] != want;
        any = any || suspect[i];
    }
    return any;
}

static struct rc look_at(struct pass *p, uint32_t first, uint32_t count, bool *holds, struct err *err)
{
    bool suspect[PAGES_MAX];

    TRY(read_chunk(p, first, count, err));
    if (!any_suspect(p, first, count, suspect))
        return RC_OK;
    rest(p, SCRUB_PARKED_CONFIRM_MS);
    if (stopped(p))
        return RC_OK; /* these pages are read again by the next pass */
    TRY(read_chunk(p, first, count, err));
    TRY(still_holds(p, holds, err));
    for (uint32_t i = 0; *holds && i < count; i++)
        if (suspect[i] && p->have[i] != page_hash_get(p->hashes, first + i))
            convict(p, first + i, page_hash_get(p->hashes, first + i), p->have[i]);
    return RC_OK;
}

/* --- the pass ----------------------------------------------------------------------------------------------------- */

/* An open database goes on with the next pass at its own pace (db_scrub.c), from one chunk's time from now on. */
static uint64_t chunk_ms(const struct pass *p)
{
    uint64_t pages = page_hash_count(p->hashes), per_chunk = SCRUB_PARKED_CHUNK_SIZE / p->page_size;

    return pages <= per_chunk ? p->s->interval_ms : p->s->interval_ms / pages * per_chunk;
}

static void end_pass(struct pass *p)
{
    struct local_scrub *n = &p->s->note;

    n->passed_ms = clock_wall_ms(p->s->clock);
    n->passed_pages = page_hash_count(p->hashes);
    n->unlisted_last = n->unlisted;
    n->unlisted = 0;
    n->next = 1;
    n->due_ms = n->passed_ms + (int64_t)chunk_ms(p);
    p->s->end = SCRUB_PARKED_PASSED;
}

static struct rc walk(struct pass *p, struct err *err)
{
    const uint32_t pages = page_hash_count(p->hashes), per_chunk = SCRUB_PARKED_CHUNK_SIZE / p->page_size;
    struct local_scrub *n = &p->s->note;
    bool holds = true;

    if (n->next == 1)
        n->began_ms = clock_wall_ms(p->s->clock);
    while (n->next <= pages && !stopped(p)) {
        uint32_t first = (uint32_t)n->next, left = pages - first + 1, count = left < per_chunk ? left : per_chunk;

        TRY(look_at(p, first, count, &holds, err));
        if (!holds) {
            p->s->end = SCRUB_PARKED_MOVED;
            return RC_OK;
        }
        if (stopped(p))
            break;
        n->next += count;
        p->s->page_count += count;
        if (p->s->rate > 0)
            rest(p, p->bytes * 1000 / p->s->rate);
        p->bytes = 0;
    }
    if (n->next > pages)
        end_pass(p);
    return RC_OK;
}

/* What is known of another file's pages says nothing of this one's. */
static void take_note(struct scrub_parked *s)
{
    struct local_scrub *n = &s->note;

    local_scrub_read(s->fs, s->state_dir, n);
    for (uint32_t i = 0; i < n->count; i++)
        n->pages[i].told = true;
    if (n->inode == s->mark.db.inode)
        return;
    local_scrub_fini(n);
    n->inode = s->mark.db.inode;
    n->next = 1;
    n->unlisted = n->unlisted_last = 0;
}

/* The index is that of the mark: only then does it say what the file must hold. */
static struct rc load(struct pass *p, bool *holds, struct err *err)
{
    const struct park_mark *mark = &p->s->mark;
    enum local_state_found found;
    struct local_state_content c;
    struct err why;

    *holds = false;
    if (rc_failed(local_state_look(p->s->fs, p->s->state_dir, &c, p->hashes, &found, &why))) {
        *err = why;
        return rc_of(err);
    }
    if (found != LOCAL_STATE_GOOD || !nonce_equal(&c.database, &mark->database) || c.pos.txid != mark->txid
        || c.pos.checksum != mark->checksum || page_hash_checksum(p->hashes) != mark->checksum)
        return RC_OK;
    p->page_size = c.pos.page_size;
    if (p->page_size < 512 || p->page_size > SCRUB_PARKED_CHUNK_SIZE)
        return rc_raise(err, E_CORRUPT, "%s: the local state has pages of %u bytes", p->s->state_dir, p->page_size);
    return still_holds(p, holds, err);
}

static struct rc run(struct scrub_parked *s, struct err *err)
{
    CLEANUP(page_hash_freep) struct page_hash *hashes = page_hash_new();
    CLEANUP(mem_freep) uint8_t *pages = NULL;
    CLEANUP(fsys_closep) struct fsys_fd f = {s->fs, -1};
    struct pass p = {.s = s, .hashes = hashes};
    bool holds;

    TRY(load(&p, &holds, err));
    if (!holds) {
        s->end = SCRUB_PARKED_MOVED;
        return RC_OK;
    }
    take_note(s);
    TRY(fsys_open(s->fs, s->path, O_RDONLY, 0, &f.fd, err));
    p.fd = f.fd;
    p.pages = pages = mem_new(SCRUB_PARKED_CHUNK_SIZE);
    TRY(walk(&p, err));
    return local_scrub_write(s->fs, s->state_dir, &s->note, err);
}

struct rc scrub_parked_run(struct scrub_parked *s, struct err *err)
{
    s->end = SCRUB_PARKED_STOPPED;
    s->note = (struct local_scrub){.next = 1};
    s->page_count = 0;
    return run(s, err);
}
