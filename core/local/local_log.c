/* SPDX-License-Identifier: Apache-2.0 */
#include "local_log.h"

#include "alloc.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* --- what records mean ------------------------------------------------------------------------------------------ */

void local_log_init(struct local_log *log)
{
    *log = (struct local_log){
        .end = LOCAL_FMT_LOG_HEADER_SIZE,
        .acked = LOCAL_FMT_LOG_HEADER_SIZE,
        .pages_end = LOCAL_FMT_LOG_HEADER_SIZE,
        .session_at = LOCAL_FMT_LOG_HEADER_SIZE,
    };
}

void local_log_fini(struct local_log *log)
{
    mem_free(log->voids);
    log->voids = NULL;
    log->void_count = log->void_room = 0;
}

static struct rc add_void(struct local_log *log, uint64_t from, uint64_t to, struct err *err)
{
    struct local_log_void *last = log->void_count > 0 ? &log->voids[log->void_count - 1] : NULL;

    /* A process that ended before it got anything acknowledged: its range goes into that of its successor. */
    if (last != NULL && from <= last->to) {
        last->to = to;
        return RC_OK;
    }
    if (log->void_count == LOCAL_LOG_VOIDS_MAX)
        return rc_raise(err, E_CORRUPT, "log: more than %d ranges are void", (int)LOCAL_LOG_VOIDS_MAX);
    if (!mem_grow(&log->voids, log->void_count, &log->void_room, sizeof *log->voids))
        return rc_raise(err, E_NOMEM, "log: no memory for %zu void ranges", log->void_count + 1);
    log->voids[log->void_count++] = (struct local_log_void){from, to};
    return RC_OK;
}

static struct rc take_session(struct local_log *log, const struct local_fmt_record *record, struct err *err)
{
    if (record->mark != log->acked)
        return rc_raise(err, E_CORRUPT,
            "log: session at %" PRIu64 " goes on from %" PRIu64 ", acknowledged is %" PRIu64, log->end, record->mark,
            log->acked);
    if (log->pages_end > log->acked)
        TRY(add_void(log, log->acked, log->end, err));
    log->session_at = log->end;
    return RC_OK;
}

static struct rc take_position(
    struct local_log *log, const struct local_fmt_record *record, struct local_state_content *content, struct err *err)
{
    uint64_t mark = record->mark;

    if (mark > log->end || mark < log->acked || (mark != log->acked && mark < log->session_at))
        return rc_raise(err, E_CORRUPT,
            "log: position at %" PRIu64 " has mark %" PRIu64 ", after mark %" PRIu64 " and a session at %" PRIu64,
            log->end, mark, log->acked, log->session_at);
    log->acked = mark;
    content->pos = record->pos;
    content->restored = content->restored && content->followed;
    content->chosen = false;
    return RC_OK;
}

static void add_run(struct local_state_content *content, const struct nonce *run)
{
    if (content->run_count == LOCAL_STATE_RUNS_MAX) {
        content->run_count--;
        memmove(content->runs, content->runs + 1, content->run_count * sizeof content->runs[0]);
    }
    content->runs[content->run_count++] = *run;
}

struct rc local_log_take(struct local_log *log, const struct local_fmt_record *record, size_t size,
    struct local_state_content *content, struct err *err)
{
    switch (record->type) {
    case LOCAL_FMT_PAGES:
        log->pages_end = log->end + size;
        break;
    case LOCAL_FMT_POSITION:
        TRY(take_position(log, record, content, err));
        break;
    case LOCAL_FMT_RUN:
        add_run(content, &record->run);
        break;
    case LOCAL_FMT_SESSION:
        TRY(take_session(log, record, err));
        break;
    }
    log->end += size;
    return RC_OK;
}

struct rc local_log_apply(struct span entries, uint32_t page_count, struct page_hash *hashes, struct err *err)
{
    struct cursor c = cursor_of(entries);

    while (cursor_left(&c) > 0) {
        uint32_t pgno = cursor_u32(&c);
        uint64_t hash = cursor_u64(&c);

        assert(!c.bad); /* the decoder saw to it */
        if (pgno <= page_count)
            TRY(page_hash_set(hashes, pgno, hash, err));
    }
    return RC_OK;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* A window over the file.  It begins with the hash before the next record. */
struct window {
    const struct fsys *fs;
    int fd;
    const char *path;
    uint8_t *data; /* owned */
    size_t at, have;
    uint64_t off; /* in the file, of data[have] */
    bool at_end;
};

enum { WINDOW_SIZE = 128 << 10, WINDOW_NEED = LOCAL_FMT_CHAIN_SIZE + LOCAL_FMT_RECORD_SIZE_MAX };
_Static_assert((int)WINDOW_SIZE >= (int)WINDOW_NEED, "a record fits into the window");

static void window_fini(struct window *w)
{
    mem_free(w->data);
}

static struct rc fill(struct window *w, struct err *err)
{
    if (w->have - w->at >= WINDOW_NEED || w->at_end)
        return RC_OK;
    memmove(w->data, w->data + w->at, w->have - w->at);
    w->have -= w->at;
    w->at = 0;
    while (w->have < WINDOW_SIZE) {
        ssize_t got = w->fs->pread(w->fs, w->fd, w->data + w->have, WINDOW_SIZE - w->have, (off_t)w->off);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "%s: read at %" PRIu64, w->path, w->off);
        if (got == 0) {
            w->at_end = true;
            break;
        }
        w->have += (size_t)got;
        w->off += (uint64_t)got;
    }
    return RC_OK;
}

/* Read and check the header; the window then stands on its hash, which is the first record's chain. */
static struct rc window_open(struct window *w, uint64_t id, uint64_t *chain, struct err *err)
{
    size_t size;

    w->data = mem_new(WINDOW_SIZE);
    TRY(fill(w, err));
    size = w->have < LOCAL_FMT_LOG_HEADER_SIZE ? w->have : LOCAL_FMT_LOG_HEADER_SIZE;
    TRY_CTX(local_fmt_decode_log_header(span_of(w->data, size), id, chain, err), err, "%s", w->path);
    w->at = LOCAL_FMT_LOG_HEADER_SIZE - LOCAL_FMT_CHAIN_SIZE;
    return RC_OK;
}

/* The next record; `*size` 0 at the end of what is good.  Its spans are valid until the next call. */
static struct rc window_next(struct window *w, struct local_fmt_record *record, size_t *size, struct err *err)
{
    TRY(fill(w, err));
    TRY_CTX(local_fmt_decode_record(span_of(w->data + w->at, w->have - w->at), record, size, err), err, "%s", w->path);
    w->at += *size;
    return RC_OK;
}

static uint64_t window_chain(const struct window *w)
{
    uint64_t chain;

    memcpy(&chain, w->data + w->at, sizeof chain);
    return le64toh(chain);
}

struct rc local_log_scan(struct local_log *log, const struct fsys *fs, int fd, const char *path, uint64_t id,
    struct local_state_content *content, struct err *err)
{
    CLEANUP(window_fini) struct window w = {.fs = fs, .fd = fd, .path = path};
    struct local_fmt_record record;
    size_t size;

    TRY(window_open(&w, id, &log->chain, err));
    for (;;) {
        TRY(window_next(&w, &record, &size, err));
        if (size == 0)
            return RC_OK;
        TRY_CTX(local_log_take(log, &record, size, content, err), err, "%s", path);
        log->chain = window_chain(&w);
    }
}

struct rc local_log_replay(const struct local_log *log, const struct fsys *fs, int fd, const char *path, uint64_t id,
    uint32_t page_count, struct page_hash *hashes, struct err *err)
{
    CLEANUP(window_fini) struct window w = {.fs = fs, .fd = fd, .path = path};
    uint64_t at = LOCAL_FMT_LOG_HEADER_SIZE, chain;
    struct local_fmt_record record;
    size_t size, next_void = 0;

    TRY(window_open(&w, id, &chain, err));
    for (; at < log->acked; at += size) {
        bool is_void;

        TRY(window_next(&w, &record, &size, err));
        if (size == 0 || at + size > log->acked)
            return rc_raise(err, E_CORRUPT, "%s: no record ends at the mark %" PRIu64, path, log->acked);
        while (next_void < log->void_count && at >= log->voids[next_void].to)
            next_void++;
        is_void = next_void < log->void_count && at >= log->voids[next_void].from;
        if (record.type == LOCAL_FMT_PAGES && !is_void)
            TRY(local_log_apply(record.entries, page_count, hashes, err));
    }
    return page_hash_resize(hashes, page_count, err);
}
