/* SPDX-License-Identifier: Apache-2.0 */
#include "local_state.h"

#include "alloc.h"
#include "local_files.h"
#include "local_lock.h"
#include "rng.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum {
    PEEK_TRIES = 32,         /* checkpoints that may come in between */
    VOIDS_WANT = 16,         /* void ranges after which a checkpoint is wanted */
    LOG_HARD_FACTOR = 4,     /* times the size that wants a checkpoint: then nothing more is appended */
    IDLE_BUFFER_SIZE = 4096, /* kept between segments; there may be thousands of databases */
};

struct local_state {
    const struct fsys *fs;
    char *dir; /* owned */
    int lock_fd;
    bool dir_durable; /* the directory's own name was synced */

    /* The log that is appended to; the rest is valid when `why.code` is E_OK. */
    int log_fd;     /* -1: none */
    char *log_path; /* owned */
    struct err why; /* nothing can be recorded, and this is the reason */
    /* Marks given out are `base` + offset in the log.  Each log has a higher base, so a mark of another log is found
     * out. */
    uint64_t base;
    uint64_t end, acked; /* offsets */
    uint64_t chain;
    uint64_t log_max;
    size_t void_count;
    bool session_due; /* the log is another process's: say so before anything else */

    struct buf entries; /* pages that are not written yet */
    struct buf record;
};

/* --- opening and closing ---------------------------------------------------------------------------------------- */

/* Only the directory itself: a missing one above it means that the database is not there either. */
static struct rc make_dir(const struct fsys *fs, const char *dir, struct err *err)
{
    struct stat st;
    int sys;

    if (fs->mkdir(fs, dir, 0700) == 0)
        return RC_OK;
    sys = errno;
    if (sys != EEXIST || fs->stat(fs, dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return rc_raise_sys(err, rc_from_errno(sys), sys, "make directory %s", dir);
    return RC_OK;
}

static void tidy(struct local_state *ls)
{
    struct local_fmt_current cur;
    struct err err;
    struct rc rc = local_files_read_current(ls->fs, ls->dir, &cur, &err);

    if (!rc_failed(rc))
        local_files_sweep(ls->fs, ls->dir, cur.id);
    else if (rc.code == E_NOTFOUND)
        local_files_sweep(ls->fs, ls->dir, 0);
    /* An unreadable one is reported by whoever loads it; until then nothing is thrown away. */
}

static struct local_state *state_new(const struct fsys *fs, const char *dir)
{
    struct local_state *ls = mem_new(sizeof *ls);

    ls->fs = fs;
    ls->dir = mem_strdup(dir);
    ls->lock_fd = ls->log_fd = -1;
    buf_init(&ls->entries, LOCAL_FMT_ENTRIES_MAX * LOCAL_FMT_ENTRY_SIZE);
    buf_init(&ls->record, LOCAL_FMT_CHAIN_SIZE + LOCAL_FMT_RECORD_SIZE_MAX);
    rc_ignore(rc_raise(&ls->why, E_NOTFOUND, "%s: nothing was loaded or written yet", dir), "kept for later calls");
    return ls;
}

struct rc local_state_open(struct local_state **out, const struct fsys *fs, const char *dir, struct err *err)
{
    CLEANUP(local_state_closep) struct local_state *ls = state_new(fs, dir);

    TRY(make_dir(fs, dir, err));
    TRY(local_lock_take(fs, dir, &ls->lock_fd, err));
    tidy(ls);
    *out = MOVE(ls);
    return RC_OK;
}

/* Forget the log; nothing can be recorded until there is another one. */
static void drop_log(struct local_state *ls, const struct err *why)
{
    /* What was written and not synced may be lost, as the header says; so the result of the close tells nothing. */
    if (ls->log_fd >= 0)
        (void)ls->fs->close(ls->fs, ls->log_fd);
    ls->log_fd = -1;
    mem_free(ls->log_path);
    ls->log_path = NULL;
    buf_fini(&ls->entries);
    buf_fini(&ls->record);
    ls->base += ls->end + 1;
    ls->end = ls->acked = 0;
    ls->why = *why;
    assert(ls->why.code != E_OK);
}

void local_state_close(struct local_state *ls)
{
    static const struct err closed = {.code = E_BUG};

    if (ls == NULL)
        return;
    drop_log(ls, &closed); /* what waits in the buffer is not acknowledged */
    if (ls->lock_fd >= 0)
        local_lock_drop(ls->fs, ls->lock_fd);
    mem_free(ls->dir);
    mem_free(ls);
}

void local_state_closep(struct local_state **ls)
{
    local_state_close(*ls);
    *ls = NULL;
}

struct rc local_state_announce(struct local_state *ls, const char *socket_path, struct err *err)
{
    return local_lock_announce(ls->fs, ls->dir, ls->lock_fd, socket_path, err);
}

struct rc local_state_holder(const struct fsys *fs, const char *dir, struct local_state_holder *out, struct err *err)
{
    return local_lock_look(fs, dir, out, err);
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

static uint64_t log_max(uint32_t page_count)
{
    uint64_t index = (uint64_t)page_count * sizeof(uint64_t);

    return index > LOCAL_STATE_LOG_MAX ? index : LOCAL_STATE_LOG_MAX;
}

/* Take over what was loaded.  `fd` is owned from here on. */
static void adopt_log(struct local_state *ls, const struct local_log *log, int fd, char *path, uint32_t page_count)
{
    ls->log_fd = fd;
    ls->log_path = path;
    ls->end = log->end;
    ls->acked = log->acked;
    ls->chain = log->chain;
    ls->void_count = log->void_count;
    ls->log_max = log_max(page_count);
    ls->why = (struct err){0};
}

static struct rc read_log(
    struct local_state *ls, uint64_t id, struct local_state_content *content, struct page_hash *hashes, struct err *err)
{
    CLEANUP(mem_freep) char *path = local_files_log_path(ls->dir, id);
    CLEANUP(fsys_closep) struct fsys_fd f = {ls->fs, -1};
    CLEANUP(local_log_fini) struct local_log log;

    local_log_init(&log);
    TRY(fsys_open(ls->fs, path, O_RDWR | O_NOFOLLOW, 0, &f.fd, err));
    TRY(local_log_scan(&log, ls->fs, f.fd, path, id, content, err));
    TRY(local_log_replay(&log, ls->fs, f.fd, path, id, content->pos.page_count, hashes, err));
    if (page_hash_checksum(hashes) != content->pos.checksum || page_hash_count(hashes) != content->pos.page_count)
        return rc_raise(err, E_CORRUPT,
            "%s: %u pages with checksum %016" PRIx64 " after the last position, which has %u with %016" PRIx64, path,
            page_hash_count(hashes), page_hash_checksum(hashes), content->pos.page_count, content->pos.checksum);
    adopt_log(ls, &log, f.fd, MOVE(path), content->pos.page_count);
    ls->session_due = true;
    f.fd = -1;
    return RC_OK;
}

struct rc local_state_load(struct local_state *ls, struct local_state_content *content, struct page_hash *hashes,
    enum local_state_found *found, struct err *err)
{
    struct local_fmt_current cur = {0};
    struct err why = {0};
    struct rc rc;

    page_hash_clear(hashes);
    rc_ignore(rc_raise(&why, E_NOTFOUND, "%s: no local state is there", ls->dir), "kept for later calls");
    drop_log(ls, &why);
    rc = local_files_read_current(ls->fs, ls->dir, &cur, &why);
    if (rc.code == E_NOTFOUND) {
        *content = cur.content;
        *found = LOCAL_STATE_NONE;
        return RC_OK;
    }
    if (!rc_failed(rc))
        rc = local_files_read_pages(ls->fs, ls->dir, &cur, hashes, &why);
    if (!rc_failed(rc))
        rc = read_log(ls, cur.id, &cur.content, hashes, &why);
    if (rc_failed(rc)) {
        page_hash_clear(hashes);
        ls->why = *err = why;
        if (!local_files_broken(&why))
            return rc;
    }
    *content = cur.content;
    *found = rc_failed(rc) ? LOCAL_STATE_BROKEN : LOCAL_STATE_GOOD;
    return RC_OK;
}

/* Loading writes nothing; only what is recorded later would. */
struct rc local_state_look(const struct fsys *fs, const char *dir, struct local_state_content *content,
    struct page_hash *hashes, enum local_state_found *found, struct err *err)
{
    CLEANUP(local_state_closep) struct local_state *ls = state_new(fs, dir);

    return local_state_load(ls, content, hashes, found, err);
}

static struct rc peek_once(
    const struct fsys *fs, const char *dir, struct local_fmt_current *cur, bool *none, struct err *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    CLEANUP(fsys_closep) struct fsys_fd f = {fs, -1};
    CLEANUP(local_log_fini) struct local_log log;
    struct rc rc;

    local_log_init(&log);
    *cur = (struct local_fmt_current){0};
    rc = local_files_read_current(fs, dir, cur, err);
    *none = rc.code == E_NOTFOUND;
    if (*none)
        return RC_OK;
    TRY(rc);
    path = local_files_log_path(dir, cur->id);
    TRY(fsys_open(fs, path, O_RDONLY | O_NOFOLLOW, 0, &f.fd, err));
    return local_log_scan(&log, fs, f.fd, path, cur->id, &cur->content, err);
}

/* Whether the files were switched since `cur` was read, so that its log may be gone by right. */
static bool has_moved_on(const struct fsys *fs, const char *dir, const struct local_fmt_current *cur)
{
    struct local_fmt_current now;
    struct err ignored;
    struct rc rc = local_files_read_current(fs, dir, &now, &ignored);

    return rc.code == E_NOTFOUND || (!rc_failed(rc) && now.id != cur->id);
}

struct rc local_state_peek(const struct fsys *fs, const char *dir, struct local_state_content *content,
    enum local_state_found *found, struct err *err)
{
    struct local_fmt_current cur;
    struct err why = {0};
    bool none;
    struct rc rc;

    for (int i = 0; i < PEEK_TRIES; i++) {
        rc = peek_once(fs, dir, &cur, &none, &why);
        if (!rc_failed(rc)) {
            *content = cur.content;
            *found = none ? LOCAL_STATE_NONE : LOCAL_STATE_GOOD;
            return RC_OK;
        }
        if (!has_moved_on(fs, dir, &cur))
            break;
    }
    *err = why;
    if (!local_files_broken(&why))
        return rc;
    *content = cur.content;
    *found = LOCAL_STATE_BROKEN;
    return RC_OK;
}

/* --- a checkpoint ----------------------------------------------------------------------------------------------- */

static struct rc check_content(
    const struct local_state_content *content, const struct page_hash *hashes, struct err *err)
{
    const struct pos *pos = &content->pos;

    assert(content->run_count <= LOCAL_STATE_RUNS_MAX);
    if (page_hash_count(hashes) != pos->page_count || page_hash_checksum(hashes) != pos->checksum)
        return rc_raise(err, E_BUG,
            "index of %u pages with checksum %016" PRIx64 " for a position with %u pages and checksum %016" PRIx64,
            page_hash_count(hashes), page_hash_checksum(hashes), pos->page_count, pos->checksum);
    if (!local_fmt_pos_ok(pos))
        return rc_raise(err, E_BUG, "position of txid %" PRIu64 " is not a possible one", pos->txid);
    return RC_OK;
}

static struct rc checkpoint(
    struct local_state *ls, const struct local_state_content *content, const struct page_hash *hashes, struct err *err)
{
    CLEANUP(local_log_fini) struct local_log log;
    struct fsys_fd fd = {ls->fs, -1};
    struct err replaced;
    uint64_t id;

    local_log_init(&log);
    TRY(check_content(content, hashes, err));
    if (!ls->dir_durable)
        TRY(fsys_sync_parent(ls->fs, ls->dir, err));
    ls->dir_durable = true;
    TRY(local_files_write(ls->fs, ls->dir, content, hashes, &log, &fd, &id, err));
    rc_ignore(rc_raise(&replaced, E_BUG, "replaced"), "adopt_log() clears it");
    drop_log(ls, &replaced);
    adopt_log(ls, &log, fd.fd, local_files_log_path(ls->dir, id), content->pos.page_count);
    ls->session_due = false;
    return RC_OK;
}

struct rc local_state_checkpoint(
    struct local_state *ls, const struct local_state_content *content, const struct page_hash *hashes, struct err *err)
{
    struct rc rc = checkpoint(ls, content, hashes, err);

    if (rc_failed(rc)) {
        /* What is on the disk is an acknowledged state, the old one or this one.  Nothing may be added to the old log
         * any more, because the caller may have meant to replace it by another history. */
        rc = rc_wrap(err, "checkpoint of %s", ls->dir);
        drop_log(ls, err);
    }
    return rc;
}

bool local_state_wants_checkpoint(const struct local_state *ls)
{
    return ls->why.code == E_OK && (ls->end > ls->log_max || ls->void_count >= VOIDS_WANT);
}

bool local_state_ok(const struct local_state *ls)
{
    return ls->why.code == E_OK;
}

struct rc local_state_discard(struct local_state *ls, struct err *err)
{
    struct err why;

    rc_ignore(rc_raise(&why, E_NOTFOUND, "%s: the local state was discarded", ls->dir), "kept for later calls");
    drop_log(ls, &why);
    return local_files_discard(ls->fs, ls->dir, err);
}

/* --- appending -------------------------------------------------------------------------------------------------- */

static void keep_small(struct buf *b)
{
    buf_clear(b);
    if (b->room > IDLE_BUFFER_SIZE)
        buf_fini(b);
}

static struct rc write_record(struct local_state *ls, const struct local_fmt_record *record, struct err *err)
{
    uint64_t chain = ls->chain;
    const uint8_t *bytes;
    size_t size;

    local_fmt_encode_record(record, &chain, &ls->record);
    TRY(buf_check(&ls->record, ls->log_path, err));
    bytes = ls->record.data + LOCAL_FMT_CHAIN_SIZE;
    size = ls->record.size - LOCAL_FMT_CHAIN_SIZE;
    if (ls->end + size > LOG_HARD_FACTOR * ls->log_max)
        return rc_raise(err, E_NOSPACE, "%s: no checkpoint in %" PRIu64 " bytes", ls->log_path, ls->end);
    TRY(fsys_write_at(ls->fs, ls->log_fd, ls->log_path, bytes, size, ls->end, err));
    ls->end += size;
    ls->chain = chain;
    keep_small(&ls->record);
    return RC_OK;
}

/* Write a record, and before it what must stand before it.  A failure is kept: after it the log's end is unknown. */
static struct rc append(struct local_state *ls, const struct local_fmt_record *record, struct err *err)
{
    struct rc rc = RC_OK;

    assert(ls->why.code == E_OK);
    if (ls->session_due) {
        struct local_fmt_record session = {.type = LOCAL_FMT_SESSION, .mark = ls->acked, .salt = rng_u64()};

        rc = write_record(ls, &session, err);
        ls->session_due = rc_failed(rc);
    }
    if (!rc_failed(rc))
        rc = write_record(ls, record, err);
    if (rc_failed(rc)) {
        rc = rc_wrap(err, "the local state is out of date");
        drop_log(ls, err);
    }
    return rc;
}

static struct rc flush(struct local_state *ls, struct err *err)
{
    struct local_fmt_record record = {.type = LOCAL_FMT_PAGES, .entries = buf_span(&ls->entries)};

    if (ls->entries.size == 0)
        return RC_OK;
    TRY(append(ls, &record, err));
    keep_small(&ls->entries);
    return RC_OK;
}

static struct rc stale(const struct local_state *ls, struct err *err)
{
    *err = ls->why;
    return rc_of(err);
}

static struct rc sync_log(struct local_state *ls, struct err *err)
{
    struct rc rc;

    if (ls->fs->fsync(ls->fs, ls->log_fd) == 0)
        return RC_OK;
    rc = rc_raise_sys(err, rc_from_errno(errno), errno, "fsync %s", ls->log_path);
    drop_log(ls, err);
    return rc;
}

struct rc local_state_sync(struct local_state *ls, struct err *err)
{
    return ls->why.code != E_OK ? stale(ls, err) : sync_log(ls, err);
}

struct rc local_state_add_run(struct local_state *ls, const struct nonce *run, struct err *err)
{
    struct local_fmt_record record = {.type = LOCAL_FMT_RUN, .run = *run};

    if (ls->why.code != E_OK)
        return stale(ls, err);
    TRY(flush(ls, err));
    TRY(append(ls, &record, err));
    return sync_log(ls, err);
}

struct rc local_state_page(struct local_state *ls, uint32_t pgno, uint64_t hash, struct err *err)
{
    assert(pgno > 0);
    if (ls->why.code != E_OK)
        return RC_OK;
    if (pgno > ls->log_max / sizeof(uint64_t))
        ls->log_max = log_max(pgno); /* the index has grown */
    local_fmt_put_entry(&ls->entries, pgno, hash);
    if (ls->entries.failed != E_OK) {
        rc_ignore(buf_check(&ls->entries, ls->log_path, err), "kept for the next acknowledgement");
        drop_log(ls, err);
    } else if (ls->entries.size == LOCAL_FMT_ENTRIES_MAX * LOCAL_FMT_ENTRY_SIZE)
        rc_ignore(flush(ls, err), "kept for the next acknowledgement");
    return RC_OK;
}

uint64_t local_state_mark(struct local_state *ls)
{
    struct err ignored;

    if (ls->why.code == E_OK)
        rc_ignore(flush(ls, &ignored), "kept for the next acknowledgement");
    return ls->base + ls->end;
}

struct rc local_state_acknowledge(struct local_state *ls, uint64_t mark, const struct pos *pos, struct err *err)
{
    struct local_fmt_record record = {.type = LOCAL_FMT_POSITION, .pos = *pos};

    if (ls->why.code != E_OK)
        return stale(ls, err);
    if (mark < ls->base + ls->acked || mark > ls->base + ls->end)
        return rc_raise(err, E_BUG, "%s: mark %" PRIu64 " is not between %" PRIu64 " and %" PRIu64, ls->log_path, mark,
            ls->base + ls->acked, ls->base + ls->end);
    if (!local_fmt_pos_ok(pos))
        return rc_raise(err, E_BUG, "%s: position of txid %" PRIu64 " is not a possible one", ls->log_path, pos->txid);
    record.mark = mark - ls->base;
    TRY(append(ls, &record, err));
    ls->acked = record.mark;
    return RC_OK;
}
