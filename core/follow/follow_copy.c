/* SPDX-License-Identifier: Apache-2.0 */
#include "follow_copy.h"

#include "alloc.h"
#include "dbfmt.h"
#include "digest.h"
#include "wal_append.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    RESTART_FRAMES = 1000, /* as SQLite's own automatic checkpoint */
    RUN_SIZE = 1 << 20,    /* bytes hashed at a time */
};

struct follow_copy {
    const struct fsys *fs; /* borrowed */
    char *path;            /* owned */
    char *state_dir;       /* owned; of its local state */
    struct wal_conn *conn;
    struct wal_append *append;
    struct local_state *local;
    struct local_state_content content; /* as of the last commit */
    struct page_hash *hashes;           /* of the copy, with what the transaction changed */
    uint8_t *page;                      /* owned; one page */
    bool foreign;

    /* The transaction. */
    bool inside;
    const struct seg_info *info; /* borrowed; the segment that is applied */
    size_t commit;               /* index of the one whose pages come now */
    uint64_t last_txid;
    bool reached;
    uint32_t before_count; /* pages before the present commit */
    struct pos next;
    uint64_t pending;
};

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* Before SQLite sees the file: whether it is one that readers can share with a writer.  Nobody in this process has it
 * open yet, so opening and closing it costs no locks. */
static struct rc check_file(const struct follow_copy *c, struct err *err)
{
    CLEANUP(fsys_closep) struct fsys_fd f = {c->fs, -1};
    uint8_t bytes[DBFMT_HEADER_SIZE];
    struct dbfmt_header head;

    TRY(fsys_open(c->fs, c->path, O_RDONLY, 0, &f.fd, err));
    TRY(fsys_read_at(c->fs, f.fd, c->path, bytes, sizeof bytes, 0, err));
    TRY_CTX(dbfmt_decode_header(span_of(bytes, sizeof bytes), &head, err), err, "%s", c->path);
    if (!head.wal)
        return rc_raise(err, E_UNSUPPORTED,
            "%s is in rollback mode, where readers and a follower shut each other out; only a history of a database in "
            "WAL mode can be followed",
            c->path);
    return RC_OK;
}

static struct rc open_state(struct follow_copy *c, const char *state_base, struct err *err)
{
    const char *dir = c->state_dir = local_place_dir(c->path, state_base);
    enum local_state_found found;
    struct err why = {0};
    struct stat st;
    struct rc rc;

    if (c->fs->stat(c->fs, dir, &st) != 0 && errno == ENOENT)
        return rc_raise(err, E_EXISTS,
            "%s exists already, and nothing beside it (%s) says which state of the replica it is; replace it with "
            "--force",
            c->path, dir);
    rc = local_state_open(&c->local, c->fs, dir, err);
    if (rc.code == E_FENCED) /* here it only means that somebody is at work */
        return rc_raise(err, E_BUSY, "%s", err->msg);
    TRY(rc);
    TRY(local_state_load(c->local, &c->content, c->hashes, &found, &why));
    if (found == LOCAL_STATE_NONE)
        return rc_raise(err, E_EXISTS,
            "%s exists already, and nothing in %s says which state of the replica it is; replace it with --force",
            c->path, dir);
    if (found == LOCAL_STATE_GOOD && !c->content.restored)
        return rc_raise(err, E_EXISTS,
            "%s was replicated from here: it may hold commits that the replica lacks, so it is not made a copy that "
            "follows. To give them up: --force",
            c->path);
    if (found == LOCAL_STATE_BROKEN)
        c->content.pos.page_count = 0;
    c->content.restored = c->content.followed = true;
    c->content.chosen = false;
    return RC_OK;
}

struct rc follow_copy_open(
    struct follow_copy **out, const struct fsys *fs, const char *path, const char *state_base, struct err *err)
{
    CLEANUP(follow_copy_closep) struct follow_copy *c = mem_new(sizeof *c);
    enum wal_conn_outcome outcome;
    struct stat st;

    c->fs = fs;
    c->path = mem_strdup(path);
    c->hashes = page_hash_new();
    if (fs->stat(fs, path, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    TRY(open_state(c, state_base, err));
    TRY(check_file(c, err));
    TRY(wal_conn_open(&c->conn, fs, path, false, &outcome, err));
    if (outcome == WAL_CONN_ABSENT)
        return rc_raise(err, E_EXISTS, "%s is empty; replace it with --force", path);
    TRY(wal_append_open(&c->append, c->conn, err));
    c->page = mem_new(c->conn->page_size);
    *out = MOVE(c);
    return RC_OK;
}

void follow_copy_close(struct follow_copy *c)
{
    struct err ignored;
    bool done;

    if (c == NULL)
        return;
    if (c->append != NULL) {
        wal_append_abort(c->append);
        rc_ignore(wal_append_restart(c->append, 1, &done, &ignored), "the log holds what the file lacks");
        wal_conn_let_go(c->conn);
    }
    wal_append_close(c->append);
    wal_conn_close(c->conn);
    local_state_close(c->local);
    page_hash_free(c->hashes);
    mem_free(c->page);
    mem_free(c->path);
    mem_free(c->state_dir);
    mem_free(c);
}

void follow_copy_closep(struct follow_copy **c)
{
    follow_copy_close(*c);
    *c = NULL;
}

const struct local_state_content *follow_copy_content(const struct follow_copy *c)
{
    return &c->content;
}

const char *follow_copy_path(const struct follow_copy *c)
{
    return c->path;
}

uint32_t follow_copy_page_size(const struct follow_copy *c)
{
    return c->conn->page_size;
}

uint64_t follow_copy_checksum(const struct follow_copy *c)
{
    return page_hash_checksum(c->hashes);
}

uint32_t follow_copy_page_count(const struct follow_copy *c)
{
    return page_hash_count(c->hashes);
}

bool follow_copy_is_foreign(const struct follow_copy *c)
{
    return c->foreign;
}

uint32_t follow_copy_log_frames(const struct follow_copy *c)
{
    return wal_append_log_frames(c->append);
}

/* --- the file as it is -------------------------------------------------------------------------------------------- */

static struct rc hash_pages(struct follow_copy *c, struct err *err)
{
    const uint32_t size = c->conn->page_size, count = wal_append_page_count(c->append), run = RUN_SIZE / size,
                   lock_page = dbfmt_lock_page(size);
    CLEANUP(mem_freep) uint8_t *pages = mem_new(RUN_SIZE);

    page_hash_clear(c->hashes);
    TRY(page_hash_resize(c->hashes, count, err));
    for (uint64_t first = 1; first <= count; first += run) {
        uint32_t n = count - first + 1 < run ? (uint32_t)(count - first + 1) : run;

        TRY(wal_append_read_run(c->append, (uint32_t)first, n, pages, err));
        for (uint32_t i = 0; i < n; i++) {
            uint32_t pgno = (uint32_t)first + i;

            if (pgno != lock_page)
                TRY(page_hash_set(c->hashes, pgno, digest_page(pgno, pages + (size_t)i * size, size), err));
        }
    }
    return RC_OK;
}

struct rc follow_copy_hash(struct follow_copy *c, struct err *err)
{
    bool changed;
    struct rc rc;

    TRY(wal_append_begin(c->append, &changed, err));
    rc = hash_pages(c, err);
    if (!rc_failed(rc))
        wal_append_accept(c->append);
    wal_append_abort(c->append);
    return rc_failed(rc) ? rc_wrap(err, "hash %s", c->path) : rc;
}

struct rc follow_copy_settle(struct follow_copy *c, const struct pos *pos, struct err *err)
{
    assert(pos->checksum == page_hash_checksum(c->hashes));
    assert(pos->page_count == page_hash_count(c->hashes));
    c->content.pos = *pos;
    return local_state_checkpoint(c->local, &c->content, c->hashes, err);
}

/* --- a transaction ------------------------------------------------------------------------------------------------ */

static struct rc foreign(struct follow_copy *c, struct err *err, const char *what)
{
    c->foreign = true;
    return rc_raise(err, E_CORRUPT,
        "%s was changed by somebody else (%s): it is no state of the replica any more, and nothing more is applied to "
        "it. Readers must open it read-only (mode=ro, or PRAGMA query_only); to get the replica's state again: weir "
        "restore --follow --force, or delete %s and %s",
        c->path, what, c->path, c->state_dir);
}

/* Somebody has committed, or SQLite has recovered the index: all pages tell which. */
static struct rc look_closer(struct follow_copy *c, struct err *err)
{
    uint64_t checksum = c->content.pos.checksum;

    TRY(hash_pages(c, err));
    if (page_hash_checksum(c->hashes) != checksum)
        return foreign(c, err, "there are commits in its log that were not applied here");
    wal_append_accept(c->append);
    return RC_OK;
}

struct rc follow_copy_begin(struct follow_copy *c, struct err *err)
{
    bool changed;
    struct rc rc = RC_OK;

    assert(!c->inside);
    TRY(wal_append_begin(c->append, &changed, err));
    if (changed)
        rc = look_closer(c, err);
    if (rc_failed(rc)) {
        wal_append_abort(c->append);
        return rc;
    }
    c->inside = true;
    c->next = c->content.pos;
    c->before_count = c->next.page_count;
    c->pending = 0;
    return RC_OK;
}

void follow_copy_segment(struct follow_copy *c, const struct seg_info *info, uint64_t last_txid)
{
    assert(c->inside);
    c->info = info;
    c->commit = 0;
    c->last_txid = last_txid;
    c->reached = false;
}

bool follow_copy_reached(const struct follow_copy *c)
{
    return c->reached;
}

uint64_t follow_copy_pending(const struct follow_copy *c)
{
    return c->pending;
}

const struct pos *follow_copy_next(const struct follow_copy *c)
{
    return &c->next;
}

static struct rc read_proven(struct follow_copy *c, uint32_t pgno, uint8_t *page, struct err *err)
{
    uint64_t hash = page_hash_get(c->hashes, pgno);
    char what[64];

    if (hash == 0)
        return rc_raise(err, E_CORRUPT, "a change of page %" PRIu32 ", which the state before does not have", pgno);
    TRY(wal_append_read(c->append, pgno, page, err));
    if (digest_page(pgno, page, c->conn->page_size) == hash)
        return RC_OK;
    (void)snprintf(what, sizeof what, "page %" PRIu32 " is not what was written", pgno);
    return foreign(c, err, what);
}

static struct rc on_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    return read_proven(ctx, pgno, page, err);
}

/* Readers that find the mark of rollback mode in page 1 would stop looking at the log. */
static struct rc check_mode(const struct follow_copy *c, const uint8_t *page, struct err *err)
{
    if (page[18] == 2 && page[19] == 2)
        return RC_OK;
    return rc_raise(err, E_UNSUPPORTED,
        "the database is in rollback mode from here on (page 1 says so), where readers of %s and a follower would shut "
        "each other out",
        c->path);
}

struct rc follow_copy_page(struct follow_copy *c, uint32_t pgno, const uint8_t *page, struct err *err)
{
    uint64_t hash = digest_page(pgno, page, c->conn->page_size);

    assert(c->inside);
    if (pgno == dbfmt_lock_page(c->conn->page_size))
        return rc_raise(err, E_CORRUPT, "a change of page %" PRIu32 ", which holds the lock bytes", pgno);
    if (hash == page_hash_get(c->hashes, pgno))
        return RC_OK;
    if (pgno == 1)
        TRY(check_mode(c, page, err));
    TRY(wal_append_page(c->append, pgno, page, err));
    TRY(page_hash_set(c->hashes, pgno, hash, err));
    c->pending++;
    return local_state_page(c->local, pgno, hash, err);
}

/* A large transaction may have written pages beyond the end that it gave the database at last: they are never a base.
 */
static struct rc on_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    struct follow_copy *c = ctx;
    uint32_t end = c->info->commits[c->commit].page_count;

    if (pgno > page_hash_count(c->hashes) && pgno > end)
        return RC_OK;
    return follow_copy_page(c, pgno, page, err);
}

/* The state has `count` pages now, and each that it grew by was given. */
static struct rc resize(struct follow_copy *c, uint32_t count, struct err *err)
{
    const uint32_t lock_page = dbfmt_lock_page(c->conn->page_size);

    TRY(page_hash_resize(c->hashes, count, err));
    for (uint32_t pgno = c->before_count + 1; pgno <= count && pgno != 0; pgno++)
        if (page_hash_get(c->hashes, pgno) == 0 && pgno != lock_page)
            return rc_raise(err, E_CORRUPT, "the database grows to %" PRIu32 " pages, but page %" PRIu32 " is missing",
                count, pgno);
    c->before_count = count;
    return RC_OK;
}

static struct rc on_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    struct follow_copy *c = ctx;

    TRY(resize(c, commit->page_count, err));
    if (page_hash_checksum(c->hashes) != commit->checksum)
        return rc_raise(err, E_CORRUPT,
            "the state checksum at txid %" PRIu64 " is %016" PRIx64 ", the segment says %016" PRIx64, commit->txid,
            page_hash_checksum(c->hashes), commit->checksum);
    c->next.timeline = c->info->timeline;
    c->next.txid = commit->txid;
    c->next.time_ms = commit->time_ms;
    c->next.checksum = commit->checksum;
    c->next.page_count = commit->page_count;
    c->commit++;
    c->reached = commit->txid >= c->last_txid || c->commit == c->info->commit_count;
    *stop = commit->txid >= c->last_txid;
    return RC_OK;
}

struct seg_apply_ops follow_copy_ops(struct follow_copy *c)
{
    return (struct seg_apply_ops){.read = on_read, .write = on_write, .commit = on_commit, .ctx = c};
}

struct rc follow_copy_become(struct follow_copy *c, const struct pos *pos, struct err *err)
{
    assert(c->inside);
    TRY(resize(c, pos->page_count, err));
    if (page_hash_checksum(c->hashes) != pos->checksum)
        return rc_raise(err, E_CORRUPT,
            "the state checksum is %016" PRIx64 ", txid %" PRIu64 " should have %016" PRIx64,
            page_hash_checksum(c->hashes), pos->txid, pos->checksum);
    c->next = *pos;
    return RC_OK;
}

/* A state that cannot be written is found again by its checksum at the next start. */
static void keep_position(struct follow_copy *c, char *warning)
{
    struct err err;
    struct rc rc;

    if (local_state_ok(c->local) && !local_state_wants_checkpoint(c->local))
        rc = local_state_acknowledge(c->local, local_state_mark(c->local), &c->content.pos, &err);
    else
        rc = local_state_checkpoint(c->local, &c->content, c->hashes, &err);
    warning[0] = 0;
    if (rc_failed(rc))
        (void)snprintf(warning, ERR_MSG_SIZE, "%s", err.msg);
}

struct rc follow_copy_commit(struct follow_copy *c, char *warning, struct err *err)
{
    assert(c->inside);
    assert(page_hash_checksum(c->hashes) == c->next.checksum);
    TRY(wal_append_commit(c->append, c->next.page_count, err));
    c->inside = false;
    c->content.pos = c->next;
    keep_position(c, warning);
    return RC_OK;
}

struct rc follow_copy_abort(struct follow_copy *c, struct err *err)
{
    struct local_state_content content;
    enum local_state_found found;
    struct err ignored;
    struct rc rc;

    wal_append_abort(c->append);
    c->inside = false;
    rc = local_state_load(c->local, &content, c->hashes, &found, &ignored);
    if (!rc_failed(rc) && found == LOCAL_STATE_GOOD && content.pos.checksum == c->content.pos.checksum)
        return RC_OK;
    TRY(follow_copy_hash(c, err));
    if (page_hash_checksum(c->hashes) != c->content.pos.checksum)
        return foreign(c, err, "it is not at the state that was written last");
    return RC_OK;
}

/* --- in between --------------------------------------------------------------------------------------------------- */

struct rc follow_copy_tend(struct follow_copy *c, struct err *err)
{
    bool done;

    assert(!c->inside);
    if (wal_conn_check(c->conn) != WAL_CONN_SAME)
        return rc_raise(err, E_EXISTS,
            "%s was removed or replaced while it was followed: start again, with --force if the file that is there now "
            "may go",
            c->path);
    if (wal_append_changed(c->append)) {
        TRY(follow_copy_begin(c, err)); /* it looks closer */
        TRY(follow_copy_abort(c, err));
    }
    return wal_append_restart(c->append, RESTART_FRAMES, &done, err);
}
