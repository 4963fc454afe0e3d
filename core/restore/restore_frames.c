/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_frames.h"

#include "alloc.h"
#include "restore_index.h"
#include "restore_reuse.h"
#include "snap_frame.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum {
    CHUNK_SIZE = PLAN_RANGE_SIZE, /* bytes of frames in one request: larger ones do not get faster */
    TICK_NS = 100 * 1000 * 1000,
};

/* --- frames --------------------------------------------------------------------------------------------------------
 */

/* What the jobs share. */
struct frames {
    struct restore_job *job;
    const struct restore_sources *sources; /* read-only */
    sem_t finished;                        /* posted by each job's done() */
    unsigned worker_count;
    struct worker *workers;

    pthread_mutex_t lock;
    size_t left;   /* under lock: sources that are not done with; the newest comes first */
    size_t next;   /* under lock: first frame of it that nobody has taken */
    uint64_t done; /* under lock: bytes */
    bool failed;   /* under lock: the others need not go on */
};

struct worker {
    struct work_item item; /* must be first */
    struct frames *frames;
    const struct restore_source *source; /* of the chunk that it loads */
    struct zstr_dec *zstd;
    uint8_t *pages; /* SNAP_FRAME_RAW_MAX */
    struct rc rc;
    struct err err;
};

/* Consecutive frames [begin, end): at most CHUNK_SIZE of stored bytes, or one frame. */
struct chunk {
    const struct restore_source *source;
    size_t begin, end;
    uint64_t offset, size;
};

static bool is_dead(const struct snap_index_frame *f)
{
    return memchr(f->superseded, 0, f->page_count) == NULL;
}

/* The next chunk of the source; false: it has no more. */
static bool next_chunk(struct frames *f, const struct restore_source *s, struct chunk *c)
{
    size_t count = snap_index_frame_count(s->index);

    *c = (struct chunk){.source = s};
    for (; f->next < count; f->next++) {
        struct snap_index_frame frame = snap_index_frame(s->index, f->next);

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
    return c->size > 0;
}

static bool take_chunk(struct frames *f, struct chunk *c, uint64_t just_done)
{
    bool taken = false;

    (void)pthread_mutex_lock(&f->lock);
    f->done += just_done;
    while (!f->failed && f->left > 0 && !taken) {
        taken = next_chunk(f, &f->sources->at[f->left - 1], c);
        if (!taken) {
            f->left--;
            f->next = 0;
        }
    }
    (void)pthread_mutex_unlock(&f->lock);
    return taken;
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
    CLEANUP(store_req_fini) struct store_req req = {0};
    const struct restore_source *s = w->source = c->source;
    struct frames *f = w->frames;

    struct span bytes;

    if (s->whole.size > 0) {
        bytes = span_of(s->whole.data + c->offset, (size_t)c->size);
    } else {
        TRY(restore_index_get(f->job, s, c->offset, c->size, &req, err));
        bytes = buf_span(&req.data);
    }
    for (size_t i = c->begin; i < c->end; i++) {
        struct snap_index_frame frame = snap_index_frame(s->index, i);
        struct span stored = span_of(bytes.data + (frame.offset - c->offset), frame.size);

        TRY_CTX(snap_frame_decode(w->zstd, s->index, i, stored, w->pages, err), err, "%s", s->key);
        TRY_CTX(put_frame(w, &frame, err), err, "%s", s->key);
    }
    return RC_OK;
}

static void run_worker(struct work_item *item)
{
    struct worker *w = (struct worker *)item;
    struct chunk c = {0};
    uint64_t fetched = 0;

    if (w->frames->job->opts->background)
        work_background();
    while (!rc_failed(w->rc) && take_chunk(w->frames, &c, fetched)) {
        fetched = c.source->whole.size > 0 ? 0 : c.size;
        w->rc = load_chunk(w, &c, &w->err);
    }
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
        f->failed |= restore_stopped(f->job);
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
    if (!rc_failed(rc))
        rc = restore_check_stop(f->job, err);
    for (unsigned i = 0; i < f->worker_count; i++) {
        struct worker *w = &f->workers[i];

        if (!rc_failed(rc) && rc_failed(w->rc)) {
            *err = w->err;
            rc = w->rc;
            if (restore_is_damage(rc))
                restore_blame_base(f->job, w->source->number);
        }
        zstr_dec_free(w->zstd);
        mem_free(w->pages);
    }
    (void)pthread_mutex_destroy(&f->lock);
    (void)sem_destroy(&f->finished);
    return rc;
}

static struct rc load_frames(struct restore_job *j, const struct restore_sources *all, struct err *err)
{
    unsigned wanted = j->opts->parallel > 0 ? j->opts->parallel : RESTORE_FRAMES_JOBS;
    struct frames f = {.job = j, .sources = all, .left = all->count};
    size_t chunks = all->count;
    struct worker *workers;
    struct rc rc;

    for (size_t i = 0; i < all->count; i++)
        chunks += (size_t)(all->at[i].base->size / CHUNK_SIZE);
    wanted = wanted > RESTORE_FRAMES_JOBS_MAX ? RESTORE_FRAMES_JOBS_MAX : wanted;
    f.worker_count = chunks < wanted ? (unsigned)chunks : wanted;
    workers = mem_new(f.worker_count * sizeof *workers);
    f.workers = workers;
    rc = run_workers(&f, err);
    mem_free(workers);
    j->report->bytes_read += f.done;
    return rc;
}

/* The image gets the size of the last state. */
static struct rc make_room(struct restore_job *j, const struct snap_meta *m, struct err *err)
{
    if (j->image != NULL)
        return image_resize(j->image, m->page_count, err);
    TRY(restore_reuse_image(j, m->page_size, m->page_count, err));
    return j->opts->verify >= RESTORE_VERIFY_STATE ? image_verify_early(j->image, err) : RC_OK;
}

static struct rc load(struct restore_sources *all, struct err *err)
{
    struct restore_job *j = all->job;
    const struct restore_source *last = &all->at[all->count - 1];
    const struct snap_meta *m = snap_index_meta(last->index);

    TRY(make_room(j, m, err));
    TRY(restore_reuse_pages(j, all, err));
    TRY(load_frames(j, all, err));
    if (image_checksum(j->image) != m->checksum) {
        restore_blame_base(j, last->number);
        return rc_raise(err, E_CORRUPT, "%s: the state checksum of its pages is %016" PRIx64 ", it says %016" PRIx64,
            last->key, image_checksum(j->image), m->checksum);
    }
    j->report->object_count += all->count;
    j->txid = m->txid;
    j->timeline = m->timeline;
    j->checksum = m->checksum;
    j->time_ms = m->time_ms;
    return RC_OK;
}

struct rc restore_frames_load(struct restore_job *j, const struct plan_stage *stage, struct err *err)
{
    CLEANUP(restore_index_fini) struct restore_sources all = {0};

    TRY(restore_index_open(&all, j, stage, err));
    return load(&all, err);
}
