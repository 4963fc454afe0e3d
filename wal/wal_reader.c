/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_reader.h"

#include "alloc.h"
#include "digest.h"
#include "wal_reader_intern.h"

#include <errno.h>
#include <string.h>

/* --- opening ---------------------------------------------------------------------------------------------- */

static struct rc read_frames(struct wal_reader *r, uint32_t first, uint32_t count, uint8_t *out, struct err *err)
{
    uint64_t offset = wal_fmt_frame_offset(r->conn->page_size, first);

    return fsys_read_at(
        r->conn->fs, r->conn->wal_fd, r->conn->wal_path, out, (size_t)count * r->frame_size, offset, err);
}

/* The header of the generation that the index names.  *found is false while a writer is replacing it. */
static struct rc read_generation(struct wal_reader *r, struct wal_pos *out, bool *found, struct err *err)
{
    uint8_t head[WAL_FMT_HEADER_SIZE];
    struct err ignored;

    *found = false;
    TRY(fsys_read_at(r->conn->fs, r->conn->wal_fd, r->conn->wal_path, head, sizeof head, 0, err));
    if (rc_failed(wal_fmt_decode_header(span_of(head, sizeof head), out, &ignored)))
        return RC_OK;
    if (out->page_size != r->conn->page_size)
        return rc_raise(err, E_CORRUPT, "%s: page size %u, but the database has %u", r->conn->wal_path, out->page_size,
            r->conn->page_size);
    *found = out->salt[0] == r->index.salt[0] && out->salt[1] == r->index.salt[1];
    return RC_OK;
}

static void tally_begin(struct wal_reader_tally *t, uint32_t commit_first)
{
    t->commit_first = commit_first;
    t->last_pgno = 0;
}

static void tally_frame(
    struct wal_reader_tally *t, const struct wal_fmt_frame *f, uint32_t frame, const uint8_t *page, uint32_t page_size)
{
    uint64_t sum;

    if (f->commit_page_count == 0) {
        t->last_pgno = 0;
        return;
    }
    sum = digest_page(f->pgno, page, page_size);
    t->commits++;
    t->repeats += t->last_pgno == f->pgno && t->last_sum == sum && t->commit_first == frame;
    t->commit_first = frame + 1;
    t->last_pgno = f->pgno;
    t->last_sum = sum;
}

/* Walk over the frames that were shipped before, for the map only. */
static struct rc replay_to(struct wal_reader *r, const struct wal_pos *target, struct err *err)
{
    struct wal_fmt_chain chain = {0};

    while (r->pos.frame < target->frame) {
        uint32_t count = target->frame - r->pos.frame;
        struct wal_fmt_frame f;

        if (count > r->batch_max)
            count = r->batch_max;
        TRY(read_frames(r, r->pos.frame + 1, count, r->buffer, err));
        for (uint32_t i = 0; i < count; i++) {
            if (!wal_fmt_chain_step(&chain, &r->pos, r->buffer + (size_t)i * r->frame_size, &f))
                return rc_raise(err, E_CORRUPT, "%s: frame %u does not verify", r->conn->wal_path, r->pos.frame + 1);
            wal_map_set(r->map, f.pgno, r->pos.frame);
        }
    }
    if (r->pos.cksum[0] != target->cksum[0] || r->pos.cksum[1] != target->cksum[1])
        return rc_raise(
            err, E_CORRUPT, "%s: frame %u is not the one that was shipped", r->conn->wal_path, target->frame);
    return RC_OK;
}

/*
 * Count the commits between `pos` (the end of a commit) and frame `max_frame`; *intact is false when a frame there does
 * not verify.  A break in the chain is fine if it ends in `end`, the checksum that the index names for max_frame.
 */
static struct rc count_ahead(struct wal_reader *r, struct wal_pos pos, uint32_t max_frame, const uint32_t *end,
    struct wal_reader_tally *ahead, bool *intact, struct err *err)
{
    struct wal_fmt_chain chain = {.inside = r->delivered.commit_first != pos.frame + 1 && pos.frame == r->pos.frame};
    struct wal_fmt_frame f;

    *ahead = (struct wal_reader_tally){0};
    tally_begin(ahead, pos.frame + 1);
    *intact = true;
    r->buffered = 0;
    while (pos.frame < max_frame) {
        uint32_t count = max_frame - pos.frame;

        if (count > r->batch_max)
            count = r->batch_max;
        TRY(read_frames(r, pos.frame + 1, count, r->buffer, err));
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *frame = r->buffer + (size_t)i * r->frame_size;

            if (!wal_fmt_chain_step(&chain, &pos, frame, &f)) {
                *intact = false;
                return RC_OK;
            }
            tally_frame(ahead, &f, pos.frame, frame + WAL_FMT_FRAME_HEADER_SIZE, pos.page_size);
        }
    }
    r->broken = r->broken || chain.broken;
    if (chain.broken)
        *intact = end != NULL && (chain.blank || (pos.cksum[0] == end[0] && pos.cksum[1] == end[1]));
    return RC_OK;
}

static struct rc begin(struct wal_reader *r, const struct wal_resume *from, struct err *err)
{
    bool found = false;

    if (!wal_index_read(r->conn->shm, &r->index))
        return rc_raise(err, E_BUSY, "%s: the WAL index is not readable at the moment", r->conn->path);
    if (r->index.max_frame == 0) {
        r->base_count = r->index.change_count;
        return RC_OK; /* an empty log: its first header will begin a generation */
    }
    TRY(read_generation(r, &r->pos, &found, err));
    if (!found)
        return rc_raise(err, E_BUSY, "%s: the log is being reset", r->conn->wal_path);
    if (from->how == WAL_RESUME_GO_ON)
        TRY(replay_to(r, &from->pos, err));
    tally_begin(&r->delivered, r->pos.frame + 1);
    return RC_OK;
}

/* The commits of the old generation's tail come first; the new generation is entered behind it (next_generation). */
static struct rc begin_tail(struct wal_reader *r, const struct wal_resume *from, struct err *err)
{
    struct wal_reader_tally ahead;
    bool intact;

    r->pos = from->pos;
    tally_begin(&r->delivered, from->pos.frame + 1);
    r->tail_end = from->tail_end;
    TRY(count_ahead(r, r->pos, r->tail_end, NULL, &ahead, &intact, err));
    if (!intact)
        return rc_raise(err, E_BUSY, "%s: the end of the generation before is being overwritten", r->conn->wal_path);
    r->base_count -= (uint32_t)ahead.commits;
    return RC_OK;
}

struct rc wal_reader_open(
    struct wal_reader **out, struct wal_conn *conn, const struct wal_resume *from, struct err *err)
{
    CLEANUP(wal_reader_closep) struct wal_reader *r = mem_new(sizeof *r);
    struct wal_reader_tally ahead;
    bool intact;

    r->conn = conn;
    r->map = wal_map_new();
    r->frame_size = WAL_FMT_FRAME_HEADER_SIZE + conn->page_size;
    r->batch_max = WAL_READER_BATCH_SIZE / r->frame_size;
    if (r->batch_max == 0)
        r->batch_max = 1;
    r->buffer = mem_new((size_t)r->batch_max * r->frame_size);
    r->frames = mem_new(r->batch_max * sizeof *r->frames);
    tally_begin(&r->delivered, 1);
    TRY_CTX(begin(r, from, err), err, "read the log");
    if (r->index.max_frame > 0) {
        TRY_CTX(count_ahead(r, r->pos, r->index.max_frame, r->index.frame_cksum, &ahead, &intact, err), err,
            "read the log");
        if (!intact)
            return rc_raise(err, E_CORRUPT, "%s: a committed frame does not verify", conn->wal_path);
        r->base_count = r->index.change_count - (uint32_t)ahead.commits;
    }
    if (from->how == WAL_RESUME_TAIL)
        TRY(begin_tail(r, from, err));
    r->pos.change_count = r->base_count;
    *out = MOVE(r);
    return RC_OK;
}

void wal_reader_close(struct wal_reader *r)
{
    if (r == NULL)
        return;
    wal_map_free(r->map);
    mem_free(r->buffer);
    mem_free(r->frames);
    mem_free(r);
}

void wal_reader_closep(struct wal_reader **r)
{
    wal_reader_close(*r);
    *r = NULL;
}

/* --- following --------------------------------------------------------------------------------------------- */

/* A repeat may be padding, which is no commit, or a commit that changed nothing: so there is a range. */
static bool witness_agrees(const struct wal_reader *r, const struct wal_reader_tally *ahead)
{
    uint32_t counted = r->index.change_count - r->base_count; /* wraps as the counter does */
    uint32_t most = (uint32_t)(r->delivered.commits + ahead->commits);
    uint32_t least = most - (uint32_t)(r->delivered.repeats + ahead->repeats);

    return counted - least <= most - least;
}

/* The salts changed: another generation.  Go on in it if the counts prove that nothing was missed. */
static struct rc next_generation(struct wal_reader *r, enum wal_reader_state *state, struct err *err)
{
    struct wal_reader_tally ahead;
    struct wal_pos pos;
    bool found, intact;

    *state = WAL_READER_LATER;
    TRY(read_generation(r, &pos, &found, err));
    if (!found)
        return RC_OK;
    r->broken = false;
    TRY(count_ahead(r, pos, r->index.max_frame, r->index.frame_cksum, &ahead, &intact, err));
    if (!intact)
        return RC_OK; /* reset once more since the index was read; the next look tells */
    *state = WAL_READER_LOST;
    if (!witness_agrees(r, &ahead))
        return RC_OK;
    r->pos = pos;
    r->pos.change_count = r->base_count + (uint32_t)r->delivered.commits;
    r->proven_end = 0;
    tally_begin(&r->delivered, 1);
    wal_map_clear(r->map);
    *state = WAL_READER_MORE;
    return RC_OK;
}

static bool same_generation(const struct wal_reader *r)
{
    return r->pos.valid && r->pos.salt[0] == r->index.salt[0] && r->pos.salt[1] == r->index.salt[1];
}

struct rc wal_reader_refresh(struct wal_reader *r, enum wal_reader_state *state, struct err *err)
{
    const struct wal_reader_tally nothing = {0};

    *state = WAL_READER_LATER;
    if (!wal_index_read(r->conn->shm, &r->index)) {
        /* An application that died between the two copies of the header leaves an index that stays like this until
         * somebody reads through SQLite, and that may be never. */
        TRY(wal_conn_recover(r->conn, err));
        if (!wal_index_read(r->conn->shm, &r->index))
            return RC_OK;
    }
    if (r->index.page_size != 0 && r->index.page_size != r->conn->page_size) {
        *state = WAL_READER_LOST;
        return RC_OK;
    }
    if (r->tail_end > r->pos.frame) {
        *state = WAL_READER_MORE;
        return RC_OK;
    }
    r->tail_end = 0;
    if (r->index.max_frame == 0) {
        /* Reset, and nothing written since: then the counter must stand where we stand, and all is in the database. */
        *state = witness_agrees(r, &nothing) ? WAL_READER_QUIET : WAL_READER_LOST;
        if (!same_generation(r))
            wal_map_clear(r->map);
        return RC_OK;
    }
    if (!same_generation(r))
        return next_generation(r, state, err);
    if (r->index.max_frame < r->pos.frame) {
        *state = WAL_READER_LOST;
        return RC_OK;
    }
    *state = r->index.max_frame > r->pos.frame ? WAL_READER_MORE : WAL_READER_QUIET;
    if (*state == WAL_READER_QUIET) {
        /* Within a generation the checksum chain is the proof, so count from here: what was padding is known now, and
         * a counter that disagrees was started anew by a recovery (somebody died while changing the index). */
        r->base_count = r->index.change_count - (uint32_t)r->delivered.commits;
        r->delivered.repeats = 0;
        r->proven_delivered = r->delivered.commits;
        r->proven_counted = r->index.change_count - r->base_count;
    }
    return RC_OK;
}

/* Fill in r->frames[i] and note the page; an earlier frame of the same page and commit in this batch gives way. */
static void take_frame(struct wal_reader *r, uint32_t i, const struct wal_fmt_frame *f, const uint8_t *page)
{
    uint32_t frame = r->pos.frame, known = wal_map_get(r->map, f->pgno), batch_first = frame - i;

    r->frames[i] = (struct wal_reader_frame){
        .pgno = f->pgno,
        .commit_page_count = f->commit_page_count,
        .previous = known,
        .page = page,
    };
    if (known >= r->delivered.commit_first && known >= batch_first) {
        struct wal_reader_frame *earlier = &r->frames[known - batch_first];

        /* A frame that ends a commit is never given up: commit_first lies behind it. */
        earlier->superseded = true;
        r->frames[i].previous = earlier->previous;
    }
    wal_map_set(r->map, f->pgno, frame);
    tally_frame(&r->delivered, f, frame, page, r->conn->page_size);
    if (f->commit_page_count != 0) {
        r->pos.change_count = r->base_count + (uint32_t)r->delivered.commits;
        r->frames[i].pos = r->pos;
    }
}

/* The last frame that may be read now. */
static uint32_t read_limit(const struct wal_reader *r)
{
    if (r->tail_end > 0)
        return r->tail_end;
    return same_generation(r) ? r->index.max_frame : 0;
}

/* A tail is not protected by the gate: the new generation grows over it. */
MUST_USE static struct rc raise_broken(const struct wal_reader *r, struct err *err)
{
    if (r->tail_end > 0)
        return rc_raise(err, E_BUSY, "%s: the end of the generation before was overwritten while it was being read",
            r->conn->wal_path);
    return rc_raise(err, E_CORRUPT, "%s: committed frame %u does not verify", r->conn->wal_path, r->pos.frame + 1);
}

/* The next frame does not follow from ours.  *passable: it is a break of SQLite's making, and the chain from there on
 * is that of the index. */
static struct rc look_behind_break(struct wal_reader *r, bool *passable, struct err *err)
{
    struct wal_reader_tally ahead;

    *passable = false;
    if (r->tail_end > 0)
        return RC_OK;
    return count_ahead(r, r->pos, r->index.max_frame, r->index.frame_cksum, &ahead, passable, err);
}

/* Over a break, up to the frame to which the chain behind it was proven, other rules hold. */
static bool next_frame(struct wal_reader *r, const uint8_t *frame, struct wal_fmt_frame *f)
{
    if (r->pos.frame >= r->proven_end)
        return wal_fmt_step(&r->pos, frame, f);
    if (!wal_fmt_chain_step(&r->chain, &r->pos, frame, f))
        return false;
    if (r->pos.frame == r->proven_end && r->chain.blank)
        memcpy(r->pos.cksum, r->proven_cksum, sizeof r->pos.cksum); /* writers go on from there */
    return true;
}

/* Read and take up to `count` frames.  *taken is how many verified. */
static struct rc fill_batch(struct wal_reader *r, uint32_t count, uint32_t *taken, struct err *err)
{
    r->buffered = 0;
    TRY(read_frames(r, r->pos.frame + 1, count, r->buffer, err));
    for (*taken = 0; *taken < count; (*taken)++) {
        const uint8_t *frame = r->buffer + (size_t)*taken * r->frame_size;
        struct wal_fmt_frame f;

        if (!next_frame(r, frame, &f))
            break;
        take_frame(r, *taken, &f, frame + WAL_FMT_FRAME_HEADER_SIZE);
    }
    r->buffered = *taken;
    return RC_OK;
}

struct rc wal_reader_next(struct wal_reader *r, struct wal_reader_batch *batch, struct err *err)
{
    uint32_t limit = read_limit(r), count;
    bool passable;

    *batch = (struct wal_reader_batch){r->frames, 0};
    if (limit <= r->pos.frame)
        return RC_OK;
    count = limit - r->pos.frame;
    if (count > r->batch_max)
        count = r->batch_max;
    TRY(fill_batch(r, count, &batch->count, err));
    if (batch->count > 0)
        return RC_OK; /* what did not verify, if anything, begins the next batch */
    TRY(look_behind_break(r, &passable, err));
    if (!passable)
        return raise_broken(r, err);
    r->break_count++;
    r->broken = true;
    r->proven_end = limit;
    memcpy(r->proven_cksum, r->index.frame_cksum, sizeof r->proven_cksum);
    r->chain = (struct wal_fmt_chain){.inside = r->delivered.commit_first != r->pos.frame + 1};
    return fill_batch(r, count, &batch->count, err);
}

uint32_t wal_reader_page_size(const struct wal_reader *r)
{
    return r->conn->page_size;
}

uint32_t wal_reader_batch_max(const struct wal_reader *r)
{
    return r->batch_max;
}

const struct wal_pos *wal_reader_pos(const struct wal_reader *r)
{
    return &r->pos;
}

uint32_t wal_reader_log_frames(const struct wal_reader *r)
{
    return r->index.max_frame;
}

uint32_t wal_reader_page_count(const struct wal_reader *r)
{
    return r->index.page_count;
}

bool wal_reader_caught_up(const struct wal_reader *r)
{
    return r->tail_end == 0 && (r->index.max_frame == 0 || (same_generation(r) && r->index.max_frame == r->pos.frame));
}

bool wal_reader_at_end(const struct wal_reader *r)
{
    struct wal_index_header h;

    if (r->tail_end != 0 || !wal_index_read(r->conn->shm, &h))
        return false;
    return h.max_frame == 0
           || (r->pos.valid && h.salt[0] == r->pos.salt[0] && h.salt[1] == r->pos.salt[1]
               && h.max_frame == r->pos.frame);
}

uint64_t wal_reader_breaks(const struct wal_reader *r)
{
    return r->break_count;
}

bool wal_reader_broken(const struct wal_reader *r)
{
    return r->broken && r->index.max_frame > 0;
}

bool wal_reader_follows(const struct wal_reader *r)
{
    return r->tail_end == 0 && same_generation(r);
}

void wal_reader_witness(const struct wal_reader *r, uint64_t *delivered, uint64_t *counted)
{
    *delivered = r->proven_delivered;
    *counted = r->proven_counted;
}
