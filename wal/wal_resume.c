/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_resume.h"

#include "alloc.h"

#include <errno.h>
#include <string.h>

static const char overwritten[] = "the log was reset and has overwritten what was not read yet";

/* Read exactly `n` bytes; *got is false at the end of the file. */
static struct rc read_if_there(struct wal_conn *c, uint64_t offset, uint8_t *out, size_t n, bool *got, struct err *err)
{
    size_t done = 0;

    while (done < n) {
        ssize_t r = c->fs->pread(c->fs, c->wal_fd, out + done, n - done, (off_t)(offset + done));

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "read %s", c->wal_path);
        if (r == 0)
            break;
        done += (size_t)r;
    }
    *got = done == n;
    return RC_OK;
}

static void compare(struct wal_resume *out, const char *reason)
{
    *out = (struct wal_resume){.how = WAL_RESUME_COMPARE, .reason = reason};
}

/* Does the file still hold the frame that we read last?  Whole: a file that was cut inside it has lost what came
 * behind.
 */
static struct rc frame_is_ours(struct wal_conn *c, const struct wal_pos *saved, bool *ours, struct err *err)
{
    uint8_t head[WAL_FMT_FRAME_HEADER_SIZE];
    struct wal_fmt_frame f;
    uint8_t last;

    *ours = false;
    TRY(read_if_there(c, wal_fmt_frame_offset(saved->page_size, saved->frame + 1) - 1, &last, 1, ours, err));
    if (!*ours)
        return RC_OK;
    TRY(read_if_there(c, wal_fmt_frame_offset(saved->page_size, saved->frame), head, sizeof head, ours, err));
    if (!*ours)
        return RC_OK;
    wal_fmt_decode_frame(head, &f);
    *ours = f.salt[0] == saved->salt[0] && f.salt[1] == saved->salt[1] && f.cksum[0] == saved->cksum[0]
            && f.cksum[1] == saved->cksum[1];
    return RC_OK;
}

static struct rc same_generation(struct wal_conn *c, const struct wal_pos *saved, const struct wal_pos *start,
    uint32_t max_frame, struct wal_resume *out, struct err *err)
{
    bool ours = saved->cksum[0] == start->cksum[0] && saved->cksum[1] == start->cksum[1];

    if (saved->frame > max_frame) {
        compare(out, "the log ends before the commits that were read last");
        out->lost_commits = true;
        return RC_OK;
    }
    if (saved->frame > 0)
        TRY(frame_is_ours(c, saved, &ours, err));
    if (!ours) {
        compare(out, "the log holds other commits where ours were");
        out->lost_commits = true;
        return RC_OK;
    }
    *out = (struct wal_resume){.how = WAL_RESUME_GO_ON, .pos = *saved, .reason = "the log goes on where it was left"};
    return RC_OK;
}

/*
 * The chain of the old generation ends at `pos`.  A frame of it further on that ends a commit would mean that SQLite
 * broke the chain itself (wal_reader.h): what lies there cannot be proven.  Frames of transactions that were rolled
 * back end none.
 *
 * And a frame of the generation that began at `start` means that the machine lost power: writers reach this place only
 * over our own last frame, but the disk had a later part of what they wrote, and not the earlier one.  What it lies on
 * may have been commits.
 */
static struct rc look_behind(struct wal_conn *c, const struct wal_pos *pos, const struct wal_pos *start, bool *commit,
    bool *newer, struct err *err)
{
    uint8_t head[WAL_FMT_FRAME_HEADER_SIZE];
    struct wal_fmt_frame f;
    bool got = true;

    *commit = *newer = false;
    for (uint32_t frame = pos->frame + 1; got && !*commit && !*newer && frame != 0; frame++) {
        TRY(read_if_there(c, wal_fmt_frame_offset(pos->page_size, frame), head, sizeof head, &got, err));
        if (!got)
            break;
        wal_fmt_decode_frame(head, &f);
        bool blank = f.salt[0] == 0 && f.salt[1] == 0;

        *newer = f.salt[0] == start->salt[0] && f.salt[1] == start->salt[1];
        *commit = f.commit_page_count != 0 && (blank || (f.salt[0] == pos->salt[0] && f.salt[1] == pos->salt[1]));
    }
    return RC_OK;
}

/* Step along the chain to frame `limit`, or as far as it goes.  *cut: the file ended. */
static struct rc walk(struct wal_conn *c, struct wal_pos pos, uint32_t limit, uint32_t *last_commit, uint32_t *commits,
    struct wal_pos *end, bool *cut, struct err *err)
{
    size_t frame_size = WAL_FMT_FRAME_HEADER_SIZE + pos.page_size;
    CLEANUP(mem_freep) uint8_t *frame = mem_new(frame_size);
    bool got = true;

    *last_commit = pos.frame;
    *commits = 0;
    while (pos.frame < limit) {
        struct wal_fmt_frame f;

        TRY(read_if_there(c, wal_fmt_frame_offset(pos.page_size, pos.frame + 1), frame, frame_size, &got, err));
        if (!got || !wal_fmt_step(&pos, frame, &f))
            break;
        if (f.commit_page_count != 0) {
            *last_commit = pos.frame;
            (*commits)++;
        }
    }
    *cut = !got;
    *end = pos;
    return RC_OK;
}

/*
 * Find the last commit of the old generation behind our position.  Where the file ends with it, it may have been cut
 * (journal_size_limit), behind a commit as well as inside one: then the counter of the index decides, which somebody
 * has kept alive, or nothing does.
 */
static struct rc find_tail(struct wal_conn *c, const struct wal_pos *saved, const struct wal_pos *start,
    const struct wal_index_header *index, struct wal_resume *out, struct err *err)
{
    uint32_t tail_commits, new_commits, last;
    struct wal_pos end, ignored;
    bool cut, more = false, newer = false;

    TRY(walk(c, *saved, UINT32_MAX, &out->tail_end, &tail_commits, &end, &cut, err));
    if (!cut)
        TRY(look_behind(c, &end, start, &more, &newer, err));
    if (newer) {
        compare(out, overwritten);
        return RC_OK;
    }
    if (more) {
        compare(out, "the log was reset, and the chain of checksums in what was not read yet is broken");
        return RC_OK;
    }
    if (cut) {
        TRY(walk(c, *start, index->max_frame, &last, &new_commits, &ignored, &cut, err));
        if (last != index->max_frame || index->change_count - saved->change_count != tail_commits + new_commits) {
            compare(out, "the log was reset, and its file ends in what was not read yet: it may have been cut");
            return RC_OK;
        }
    }
    out->how = WAL_RESUME_TAIL;
    out->pos = *saved;
    out->reason = "the log was reset once; what was not read yet is still in the file";
    return RC_OK;
}

struct rc wal_resume_decide(struct wal_conn *conn, const struct wal_pos *saved, struct wal_resume *out, struct err *err)
{
    uint8_t head[WAL_FMT_HEADER_SIZE];
    struct wal_index_header index;
    struct wal_pos start;
    struct err ignored;
    bool got, ours;

    if (!wal_index_read(conn->shm, &index))
        return rc_raise(err, E_BUSY, "%s: the WAL index is not readable at the moment", conn->path);
    compare(out, "no position in the log is known");
    if (!saved->valid)
        return RC_OK;
    compare(out, "the log has begun anew");
    TRY(read_if_there(conn, 0, head, sizeof head, &got, err));
    if (!got || index.max_frame == 0 || saved->page_size != conn->page_size)
        return RC_OK;
    if (rc_failed(wal_fmt_decode_header(span_of(head, sizeof head), &start, &ignored)) || start.salt[0] != index.salt[0]
        || start.salt[1] != index.salt[1] || start.page_size != conn->page_size)
        return rc_raise(err, E_BUSY, "%s: the log is being reset", conn->wal_path);
    if (start.salt[0] == saved->salt[0] && start.salt[1] == saved->salt[1])
        return same_generation(conn, saved, &start, index.max_frame, out, err);
    compare(out, "the log was reset more than once");
    if (start.salt[0] != saved->salt[0] + 1)
        return RC_OK;
    compare(out, overwritten);
    if (saved->frame <= index.max_frame)
        return RC_OK;
    TRY(frame_is_ours(conn, saved, &ours, err));
    if (!ours)
        return RC_OK;
    TRY(find_tail(conn, saved, &start, &index, out, err));
    /* Writers go on.  The new generation overwrites frames in ascending order: ours is still there, so all behind it
     * was while we looked. */
    TRY(frame_is_ours(conn, saved, &ours, err));
    if (!ours)
        compare(out, overwritten);
    return RC_OK;
}
