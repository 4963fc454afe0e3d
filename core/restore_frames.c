/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_frames.h"

#include "alloc.h"
#include "snap_frame.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum {
    CHUNK_SIZE = 1 << 20, /* bytes of frames in one request: larger ones do not get faster */
    TICK_NS = 100 * 1000 * 1000,
};

static void req_finip(struct store_req *req)
{
    store_req_fini(req);
}

/* --- the index -----------------------------------------------------------------------------------------------------
 */

static struct rc get_range(
    struct restore_job *j, const char *key, uint64_t offset, uint64_t length, struct store_req *req, struct err *err)
{
    store_req_init(req, STORE_GET, key, NULL, NULL);
    req->offset = offset;
    req->length = length;
    TRY_CTX(work_store(j->work, j->store, req, err), err, "%s", key);
    if (req->data.size != length || req->size != j->plan->snapshot.size)
        return rc_raise(err, E_CORRUPT, "%s: %zu bytes at %" PRIu64 " of %" PRIu64 ", expected %" PRIu64 " of %" PRIu64,
            key, req->data.size, offset, req->size, length, j->plan->snapshot.size);
    return RC_OK;
}

static struct rc open_index(struct restore_job *j, const char *key, struct snap_index **out, struct err *err)
{
    uint64_t size = j->plan->snapshot.size, need = size < SNAP_TAIL_SIZE ? size : SNAP_TAIL_SIZE, have = 0;

    if (size == 0)
        return rc_raise(err, E_CORRUPT, "%s: empty", key);
    while (need > have) {
        CLEANUP(req_finip) struct store_req req = {0};

        if (need > STORE_GET_MAX)
            return rc_raise(err, E_UNSUPPORTED, "%s: an index of %" PRIu64 " bytes is too large", key, need);
        have = need;
        TRY(get_range(j, key, size - have, have, &req, err));
        TRY_CTX(snap_index_open(out, buf_span(&req.data), size, &need, err), err, "%s", key);
        j->report->bytes_read += have;
    }
    return RC_OK;
}

static struct rc check_meta(const struct restore_job *j, const char *key, const struct snap_meta *m, struct err *err)
{
    char mine[NONCE_TEXT_SIZE], theirs[NONCE_TEXT_SIZE];

    if (m->timeline != j->plan->snapshot.timeline || m->txid != j->plan->snapshot.txid)
        return rc_raise(
            err, E_CORRUPT, "%s: it says that it is txid %" PRIu64 " of timeline %" PRIu32, key, m->txid, m->timeline);
    if (j->database_known && !nonce_equal(&m->database, &j->database))
        return rc_raise(err, E_CORRUPT, "%s: it belongs to database %s, not to %s", key,
            nonce_format(&m->database, theirs), nonce_format(&j->database, mine));
    return RC_OK;
}

/* --- frames --------------------------------------------------------------------------------------------------------
 */

/* What the jobs share. */
struct frames {
    struct restore_job *job;
    const char *key;
    const struct snap_index *index; /* read-only */
    sem_t finished;                 /* posted by each job's done() */
    unsigned worker_count;
    struct worker *workers;

    pthread_mutex_t lock;
    size_t next;   /* under lock: first frame that nobody has taken */
    uint64_t done; /* under lock: bytes */
    bool failed;   /* under lock: the others need not go on */
};

struct worker {
    struct work_item item; /* must be first */
    struct frames *frames;
    struct zstr_dec *zstd;
    uint8_t *pages; /* SNAP_FRAME_RAW_MAX */
    struct rc rc;
    struct err err;
};

/* Consecutive frames [begin, end): at most CHUNK_SIZE of stored bytes, or one frame. */
struct chunk {
    size_t begin, end;
    uint64_t offset, size;
};

static bool is_dead(const struct snap_index_frame *f)
{
    return memchr(f->superseded, 0, f->page_count) == NULL;
}

static bool take_chunk(struct frames *f, struct chunk *c, uint64_t just_done)
{
    size_t count = snap_index_frame_count(f->index);

    (void)pthread_mutex_lock(&f->lock);
    f->done += just_done;
    *c = (struct chunk){0};
    for (; !f->failed && f->next < count; f->next++) {
        struct snap_index_frame frame = snap_index_frame(f->index, f->next);

        if (is_dead(&frame) && c->size == 0)
            continue;
        if (is_dead(&frame) || (c->size > 0 && c->size + frame.size > CHUNK_SIZE))
            break;
        if (c->size == 0) {
            c->begin = f->next;
            c->offset = frame.offset;
        }
        c->size += frame.size;
        c->end = f->next + 1;
    }
    (void)pthread_mutex_unlock(&f->lock);
    return c->size > 0;
}

/* Pages that count, in runs as long as possible. */
static struct rc put_frame(struct worker *w, const struct snap_index_frame *f, struct err *err)
{
    struct restore_job *j = w->frames->job;

    for (uint32_t i = 0, n; i < f->page_count; i += n) {
        n = 1;
        if (f->superseded[i] != 0)
            continue;
        while (i + n < f->page_count && f->superseded[i + n] == 0 && f->pgnos[i + n] == f->pgnos[i] + n)
            n++;
        TRY(image_put(j->image, f->pgnos[i], w->pages + (size_t)i * j->page_size, n, err));
    }
    return RC_OK;
}

static struct rc load_chunk(struct worker *w, const struct chunk *c, struct err *err)
{
    CLEANUP(req_finip) struct store_req req = {0};
    struct frames *f = w->frames;

    TRY(get_range(f->job, f->key, c->offset, c->size, &req, err));
    for (size_t i = c->begin; i < c->end; i++) {
        struct snap_index_frame frame = snap_index_frame(f->index, i);
        struct span stored = span_of(req.data.data + (frame.offset - c->offset), frame.size);

        TRY_CTX(snap_frame_decode(w->zstd, f->index, i, stored, w->pages, err), err, "%s", f->key);
        TRY_CTX(put_frame(w, &frame, err), err, "%s", f->key);
    }
    return RC_OK;
}

static void run_worker(struct work_item *item)
{
    struct worker *w = (struct worker *)item;
    struct chunk c = {0};

    while (!rc_failed(w->rc) && take_chunk(w->frames, &c, c.size))
        w->rc = load_chunk(w, &c, &w->err);
    if (rc_failed(w->rc)) {
        (void)pthread_mutex_lock(&w->frames->lock);
        w->frames->failed = true;
        (void)pthread_mutex_unlock(&w->frames->lock);
    }
}

static void on_worker_done(struct work_item *item)
{
    struct worker *w = (struct worker *)item;

    (void)sem_post(&w->frames->finished); /* cannot overflow: once per worker */
}

static void start_workers(void *ctx)
{
    struct frames *f = ctx;

    for (unsigned i = 0; i < f->worker_count; i++)
        work_job(f->job->work, &f->workers[i].item);
}

/* Wait for all workers, and tell about progress meanwhile. */
static void wait_for_workers(struct frames *f)
{
    const uint64_t before = f->job->done;

    for (unsigned left = f->worker_count; left > 0;) {
        struct timespec until;

        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_NS;
        if (until.tv_nsec >= 1000 * 1000 * 1000) {
            until.tv_nsec -= 1000 * 1000 * 1000;
            until.tv_sec++;
        }
        if (sem_timedwait(&f->finished, &until) == 0)
            left--;
        (void)pthread_mutex_lock(&f->lock);
        f->job->done = before + f->done;
        (void)pthread_mutex_unlock(&f->lock);
        restore_progress(f->job, "snapshot");
    }
}

static struct rc init_worker(struct worker *w, struct frames *f, struct err *err)
{
    w->item = (struct work_item){.run = run_worker, .done = on_worker_done};
    w->frames = f;
    w->rc = RC_OK;
    w->zstd = zstr_dec_new();
    w->pages = mem_try(SNAP_FRAME_RAW_MAX, 1);
    if (w->pages == NULL)
        return rc_raise(err, E_NOMEM, "decode a snapshot");
    return RC_OK;
}

static struct rc run_workers(struct frames *f, struct err *err)
{
    struct rc rc = RC_OK;

    (void)sem_init(&f->finished, 0, 0);
    (void)pthread_mutex_init(&f->lock, NULL);
    for (unsigned i = 0; i < f->worker_count && !rc_failed(rc); i++)
        rc = init_worker(&f->workers[i], f, err);
    if (!rc_failed(rc)) {
        work_on_loop(f->job->work, start_workers, f);
        wait_for_workers(f);
    }
    for (unsigned i = 0; i < f->worker_count; i++) {
        struct worker *w = &f->workers[i];

        if (!rc_failed(rc) && rc_failed(w->rc)) {
            *err = w->err;
            rc = w->rc;
        }
        zstr_dec_free(w->zstd);
        mem_free(w->pages);
    }
    (void)pthread_mutex_destroy(&f->lock);
    (void)sem_destroy(&f->finished);
    return rc;
}

static struct rc load_frames(struct restore_job *j, const char *key, const struct snap_index *index, struct err *err)
{
    const size_t chunks = (size_t)(j->plan->snapshot.size / CHUNK_SIZE + 1);
    unsigned wanted = j->opts->parallel > 0 ? j->opts->parallel : RESTORE_FRAMES_JOBS;
    struct frames f = {.job = j, .key = key, .index = index};
    struct worker *workers;
    struct rc rc;

    wanted = wanted > RESTORE_FRAMES_JOBS_MAX ? RESTORE_FRAMES_JOBS_MAX : wanted;
    f.worker_count = chunks < wanted ? (unsigned)chunks : wanted;
    workers = mem_new(f.worker_count * sizeof *workers);
    f.workers = workers;
    rc = run_workers(&f, err);
    mem_free(workers);
    j->report->bytes_read += f.done;
    return rc;
}

struct rc restore_frames_load(struct restore_job *j, struct err *err)
{
    CLEANUP(snap_index_freep) struct snap_index *index = NULL;
    const struct snap_meta *m;
    layout_text key;

    layout_snapshot(key, j->plan->snapshot.timeline, j->plan->snapshot.txid, j->plan->snapshot.time_ms);
    TRY(open_index(j, key, &index, err));
    m = snap_index_meta(index);
    TRY(check_meta(j, key, m, err));
    TRY(image_create(&j->image, j->fs, j->target, m->page_size, m->page_count, err));
    j->page_size = m->page_size;
    TRY(load_frames(j, key, index, err));
    if (image_checksum(j->image) != m->checksum)
        return rc_raise(err, E_CORRUPT, "%s: the state checksum of its pages is %016" PRIx64 ", it says %016" PRIx64,
            key, image_checksum(j->image), m->checksum);
    j->report->object_count++;
    j->database = m->database;
    j->database_known = true;
    j->txid = m->txid;
    j->time_ms = m->time_ms;
    return RC_OK;
}
