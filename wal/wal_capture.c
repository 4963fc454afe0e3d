/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_capture.h"

#include "alloc.h"
#include "digest.h"
#include "wal_image.h"

#include <assert.h>
#include <string.h>

static uint32_t page_size_of(const struct wal_capture *c)
{
    return wal_reader_page_size(c->reader);
}

static uint8_t *scratch(const struct wal_capture *c, uint8_t **at)
{
    if (*at == NULL)
        *at = mem_new(page_size_of(c));
    return *at;
}

void wal_capture_fini(struct wal_capture *c)
{
    mem_free(c->base);
    mem_free(c->extra);
    c->base = c->extra = NULL;
    mem_free(c->recent);
    mem_free(c->recent_images);
    c->recent = NULL;
    c->recent_images = NULL;
    c->recent_count = 0;
}

/* All images are one piece, not thousands that would lie between everything else; what is not used of it costs nothing.
 */
static uint32_t recent_slot(struct wal_capture *c, uint32_t pgno)
{
    if (c->recent == NULL) {
        c->recent_count = WAL_CAPTURE_RECENT_SIZE / page_size_of(c);
        c->recent = mem_new(c->recent_count * sizeof *c->recent);
        c->recent_images = mem_new(WAL_CAPTURE_RECENT_SIZE);
    }
    return pgno % c->recent_count;
}

static void keep_recent(struct wal_capture *c, uint32_t pgno, uint64_t hash, const uint8_t *page)
{
    uint32_t slot = recent_slot(c, pgno);

    memcpy(c->recent_images + (size_t)slot * page_size_of(c), page, page_size_of(c));
    c->recent[slot] = (struct wal_capture_recent){.pgno = pgno, .hash = hash};
}

/*
 * The image before the change, if it can be proven to be the one in the index; else NULL.  A page that is new in this
 * commit has none, even when a large transaction wrote it to the log more than once: it may lie beyond the end that the
 * commit gives the database, and then a restore does not keep it.
 */
static struct rc find_base(
    struct wal_capture *c, uint32_t pgno, uint32_t previous, uint64_t known, const uint8_t **base, struct err *err)
{
    uint8_t *image = scratch(c, &c->base);
    uint32_t slot = recent_slot(c, pgno);

    *base = NULL;
    if (known == 0 || pgno > c->image_count)
        return RC_OK;
    if (c->recent[slot].pgno == pgno && c->recent[slot].hash == known) {
        *base = c->recent_images + (size_t)slot * page_size_of(c);
        return RC_OK;
    }
    TRY(wal_image_fetch(c->reader, previous, pgno, image, err));
    if (digest_page(pgno, image, page_size_of(c)) == known)
        *base = image;
    return RC_OK;
}

static struct rc take_page(
    struct wal_capture *c, uint32_t pgno, const uint8_t *page, uint32_t previous, struct err *err)
{
    uint64_t hash = digest_page(pgno, page, page_size_of(c)), known = page_hash_get(c->hashes, pgno);
    const uint8_t *base = NULL;

    if (pgno == dbfmt_lock_page(page_size_of(c)))
        return rc_raise(err, E_CORRUPT, "the log holds page %u, which SQLite never writes (the lock page)", pgno);
    if (hash == known)
        return RC_OK; /* written, but not changed */
    if (c->enc != NULL) {
        TRY(find_base(c, pgno, previous, known, &base, err));
        TRY(seg_enc_page(c->enc, pgno, page, base, err));
        c->whole_count += base == NULL;
        c->delta_count += base != NULL;
        keep_recent(c, pgno, hash, page);
    }
    TRY(page_hash_set(c->hashes, pgno, hash, err));
    TRY(c->on_page(c->ctx, pgno, hash, err));
    return c->enc != NULL ? c->on_block(c->ctx, err) : RC_OK;
}

/*
 * A database that grows may get pages that no frame of the commit holds (it was cut and grew again).  What SQLite would
 * read there is an older frame of the log, if there is one, else what the file has, or zeros; so every page but the
 * lock page has a hash.
 */
static struct rc fill_holes(struct wal_capture *c, const struct wal_reader_frame *last, struct err *err)
{
    uint32_t lock_page = dbfmt_lock_page(page_size_of(c));

    for (uint32_t pgno = c->old_count + 1; pgno <= last->commit_page_count && pgno != 0; pgno++) {
        uint8_t *page = scratch(c, &c->extra);
        uint32_t frame;

        if (page_hash_get(c->hashes, pgno) != 0 || pgno == lock_page)
            continue;
        frame = wal_image_newest(c->reader, pgno, last->pos.frame);
        TRY(wal_image_fetch(c->reader, frame, pgno, page, err));
        TRY(take_page(c, pgno, page, 0, err));
    }
    return RC_OK;
}

static int64_t commit_time(const struct wal_capture *c, int64_t wanted)
{
    int64_t now = wanted != 0 ? wanted : clock_wall_ms(c->clock);

    return now > c->time_ms ? now : c->time_ms; /* the wall clock may jump back, a history does not */
}

static void retrace(struct wal_capture *c, uint64_t checksum)
{
    if (c->retrace_txid == 0)
        return;
    if (c->retrace_checksums[c->txid - c->retrace_first] != checksum)
        c->diverged = true;
    if (c->txid == c->retrace_txid) {
        c->retrace_txid = 0;
        c->enc = c->enc_later;
    }
}

static struct rc emit_commit(struct wal_capture *c, uint32_t flags, int64_t time_ms, struct err *err)
{
    struct seg_commit commit = {
        .txid = c->txid + 1,
        .time_ms = commit_time(c, time_ms),
        .page_count = page_hash_count(c->hashes),
        .flags = flags,
        .checksum = page_hash_checksum(c->hashes),
    };

    if (c->enc != NULL) {
        TRY(seg_enc_commit(c->enc, &commit, err));
        TRY(c->on_block(c->ctx, err));
    }
    c->txid = commit.txid;
    c->time_ms = commit.time_ms;
    c->pos = *wal_reader_pos(c->reader);
    c->image_count = commit.page_count;
    c->commit_count++;
    retrace(c, commit.checksum);
    return RC_OK;
}

static struct rc take_frame(struct wal_capture *c, const struct wal_reader_frame *f, struct err *err)
{
    if (!c->inside) {
        c->inside = true;
        c->old_count = page_hash_count(c->hashes);
    }
    c->frame_count++;
    if (!f->superseded)
        TRY(take_page(c, f->pgno, f->page, f->previous, err));
    if (f->commit_page_count == 0)
        return RC_OK;
    c->inside = false;
    TRY(fill_holes(c, f, err));
    return page_hash_resize(c->hashes, f->commit_page_count, err);
}

/* Batches end anywhere, but the position to keep is that behind a commit, so it is stepped along frame by frame. */
static struct rc take_batch(struct wal_capture *c, const struct wal_reader_batch *batch, struct err *err)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct wal_reader_frame *f = &batch->frames[i];

        TRY(take_frame(c, f, err));
        if (f->commit_page_count != 0 && !c->absorbing) {
            TRY(emit_commit(c, 0, 0, err));
            c->pos = f->pos;
        }
        if (c->diverged)
            return RC_OK;
    }
    return RC_OK;
}

static bool segment_full(const struct wal_capture *c)
{
    return c->enc != NULL && !c->inside
           && seg_enc_commit_count(c->enc) + wal_reader_batch_max(c->reader) > SEG_COMMIT_COUNT_MAX;
}

struct rc wal_capture_step(struct wal_capture *c, uint64_t limit_us, enum wal_reader_state *state, struct err *err)
{
    uint64_t until = clock_mono_us(c->clock) + limit_us;

    TRY(wal_reader_refresh(c->reader, state, err));
    while (*state == WAL_READER_MORE) {
        struct wal_reader_batch batch;

        if (c->diverged || segment_full(c) || !c->has_room(c->ctx))
            return RC_OK;
        TRY(wal_reader_next(c->reader, &batch, err));
        TRY(take_batch(c, &batch, err));
        if (batch.count == 0)
            TRY(wal_reader_refresh(c->reader, state, err));
        else if (clock_mono_us(c->clock) >= until && !(c->to_commit && c->inside))
            return RC_OK;
    }
    return RC_OK;
}

struct rc wal_capture_page(struct wal_capture *c, uint32_t pgno, const uint8_t *page, struct err *err)
{
    assert(c->absorbing);
    if (pgno == dbfmt_lock_page(page_size_of(c)))
        return RC_OK;
    uint64_t hash = digest_page(pgno, page, page_size_of(c));

    if (hash == page_hash_get(c->hashes, pgno))
        return RC_OK;
    if (c->enc != NULL)
        TRY(seg_enc_page(c->enc, pgno, page, NULL, err));
    TRY(page_hash_set(c->hashes, pgno, hash, err));
    TRY(c->on_page(c->ctx, pgno, hash, err));
    return c->enc != NULL ? c->on_block(c->ctx, err) : RC_OK;
}

struct rc wal_capture_fold(struct wal_capture *c, uint32_t flags, int64_t time_ms, struct err *err)
{
    assert(c->absorbing);
    assert(!c->inside);
    return emit_commit(c, flags, time_ms, err);
}
