/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_frames.h"

#include "alloc.h"
#include "bitmap.h"
#include "snap_frame.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum {
    CHUNK_SIZE = PLAN_RANGE_SIZE, /* bytes of frames in one request: larger ones do not get faster */
    TAILS = 16,                   /* ends of objects that are fetched at a time */
    TICK_NS = 100 * 1000 * 1000,
};

static void req_finip(struct store_req *req)
{
    store_req_fini(req);
}

/* A snapshot or merge of the stage. */
struct source {
    const struct plan_base *base;
    size_t number; /* in the plan */
    layout_text key;
    struct snap_index *index; /* owned */
};

struct sources {
    struct restore_job *job;
    struct source *at; /* owned; in the order of the plan */
    size_t count;
};

static void sources_fini(struct sources *all)
{
    for (size_t i = 0; i < all->count; i++)
        snap_index_free(all->at[i].index);
    mem_free(all->at);
}

/* --- the indexes ----------------------------------------------------------------------------------------------------
 */

static void ask_range(struct store_req *req, const struct source *s, uint64_t offset, uint64_t length)
{
    store_req_init(req, STORE_GET, s->key, NULL, NULL);
    req->offset = offset;
    req->length = length;
}

/* `rc` is what became of the request. */
static struct rc check_range(const struct source *s, const struct store_req *req, struct rc rc, struct err *err)
{
    TRY_CTX(rc, err, "%s", s->key);
    if (req->data.size != req->length || req->size != s->base->size)
        return rc_raise(err, E_CORRUPT, "%s: %zu bytes at %" PRIu64 " of %" PRIu64 ", expected %" PRIu64 " of %" PRIu64,
            s->key, req->data.size, req->offset, req->size, req->length, s->base->size);
    return RC_OK;
}

static uint64_t tail_size(const struct source *s)
{
    return s->base->size < SNAP_TAIL_SIZE ? s->base->size : SNAP_TAIL_SIZE;
}

/* The end of the object is at hand; fetch more when it is not enough. */
static struct rc open_index(struct restore_job *j, struct source *s, const struct store_req *tail, struct err *err)
{
    uint64_t size = s->base->size, have = tail->data.size, need = have;

    TRY_CTX(snap_index_open(&s->index, buf_span(&tail->data), size, &need, err), err, "%s", s->key);
    j->report->bytes_read += have;
    while (need > 0) {
        CLEANUP(req_finip) struct store_req req = {0};

        if (need > STORE_GET_MAX)
            return rc_raise(err, E_UNSUPPORTED, "%s: an index of %" PRIu64 " bytes is too large", s->key, need);
        have = need;
        ask_range(&req, s, size - have, have);
        TRY(check_range(s, &req, work_store(j->work, j->store, &req, err), err));
        TRY_CTX(snap_index_open(&s->index, buf_span(&req.data), size, &need, err), err, "%s", s->key);
        j->report->bytes_read += have;
    }
    return RC_OK;
}

static struct rc check_meta(const struct restore_job *j, const struct source *s, struct err *err)
{
    const struct snap_meta *m = snap_index_meta(s->index);
    char mine[NONCE_TEXT_SIZE], theirs[NONCE_TEXT_SIZE];

    if (m->timeline != s->base->timeline || m->txid != s->base->txid || m->level != s->base->level
        || m->base_txid != s->base->base_txid)
        return rc_raise(err, E_CORRUPT,
            "%s: it says that it is txid %" PRIu64 " of timeline %" PRIu32 ", level %u from txid %" PRIu64, s->key,
            m->txid, m->timeline, m->level, m->base_txid);
    if (j->database_known && !nonce_equal(&m->database, &j->database))
        return rc_raise(err, E_CORRUPT, "%s: it belongs to database %s, not to %s", s->key,
            nonce_format(&m->database, theirs), nonce_format(&j->database, mine));
    return RC_OK;
}

/* A merge builds on exactly the state that was reached, and a larger database has all its new pages in it. */
static struct rc check_link(
    const struct source *s, uint64_t checksum, uint32_t page_size, uint32_t page_count, struct err *err)
{
    const struct snap_meta *m = snap_index_meta(s->index);
    uint64_t pages = 0;

    if (m->base_checksum != checksum || m->page_size != page_size)
        return rc_raise(err, E_CORRUPT,
            "%s: it builds on state checksum %016" PRIx64 " in pages of %" PRIu32 ", txid %" PRIu64 " has %016" PRIx64
            " in pages of %" PRIu32,
            s->key, m->base_checksum, m->page_size, m->base_txid, checksum, page_size);
    for (size_t i = 0; i < snap_index_frame_count(s->index); i++)
        pages += snap_index_frame(s->index, i).page_count;
    /* One more for the lock page, which is nowhere. */
    if (m->page_count > page_count && m->page_count - page_count > pages + 1)
        return rc_raise(err, E_CORRUPT,
            "%s: %" PRIu64 " pages cannot make a database of %" PRIu32 " pages one of %" PRIu32, s->key, pages,
            page_count, m->page_count);
    return RC_OK;
}

static struct rc check_links(struct sources *all, struct err *err)
{
    struct restore_job *j = all->job;

    for (size_t i = 0; i < all->count; i++) {
        struct source *s = &all->at[i];
        const struct snap_meta *before = i > 0 ? snap_index_meta(all->at[i - 1].index) : NULL;
        struct rc rc = check_meta(j, s, err);

        if (!rc_failed(rc) && before != NULL)
            rc = check_link(s, before->checksum, before->page_size, before->page_count, err);
        else if (!rc_failed(rc) && s->base->level > 0)
            rc = check_link(s, image_checksum(j->image), j->page_size, image_page_count(j->image), err);
        if (restore_is_damage(rc))
            restore_blame_base(j, s->number);
        TRY(rc);
        j->database = snap_index_meta(s->index)->database;
        j->database_known = true;
    }
    return RC_OK;
}

/* Up to TAILS of them from `begin` on. */
static struct rc open_some(struct sources *all, size_t begin, size_t end, struct err *err)
{
    struct restore_job *j = all->job;
    struct store_req *reqs = mem_new(TAILS * sizeof *reqs);
    struct err some;
    struct rc rc = RC_OK;

    for (size_t i = begin; i < end; i++)
        ask_range(
            &reqs[i - begin], &all->at[i], all->at[i].base->size - tail_size(&all->at[i]), tail_size(&all->at[i]));
    rc_ignore(work_store_all(j->work, j->store, reqs, end - begin, &some), "each is asked for what became of it");
    for (size_t i = begin; i < end; i++) {
        struct source *s = &all->at[i];
        struct store_req *req = &reqs[i - begin];

        if (!rc_failed(rc)) {
            rc = check_range(s, req, store_result(req, err), err);
            if (!rc_failed(rc))
                rc = open_index(j, s, req, err);
            if (restore_is_damage(rc))
                restore_blame_base(j, s->number);
        }
        store_req_fini(req);
    }
    mem_free(reqs);
    return rc;
}

static struct rc open_all(struct sources *all, const struct plan_stage *stage, struct err *err)
{
    struct restore_job *j = all->job;
    const size_t count = stage->base_end - stage->base;

    all->at = mem_new(count * sizeof *all->at);
    all->count = count;
    for (size_t i = 0; i < count; i++) {
        struct source *s = &all->at[i];

        s->number = stage->base + i;
        s->base = &j->plan->bases[s->number];
        plan_base_text(s->base, s->key);
        if (s->base->size == 0) {
            restore_blame_base(j, s->number);
            return rc_raise(err, E_CORRUPT, "%s: empty", s->key);
        }
    }
    for (size_t i = 0; i < count; i += TAILS)
        TRY(open_some(all, i, i + TAILS < count ? i + TAILS : count, err));
    return check_links(all, err);
}

/* Each page is wanted from the newest that has it, and not at all behind the end of the last state. */
static struct rc skip_superseded(struct sources *all, struct err *err)
{
    const uint32_t page_count = snap_index_meta(all->at[all->count - 1].index)->page_count;
    struct bitmap *seen = bitmap_new();
    struct rc rc = RC_OK;

    for (size_t n = all->count; n-- > 0 && !rc_failed(rc);) {
        struct snap_index *ix = all->at[n].index;

        for (size_t i = 0; i < snap_index_frame_count(ix); i++) {
            struct snap_index_frame f = snap_index_frame(ix, i);

            for (uint32_t k = 0; k < f.page_count && !rc_failed(rc); k++) {
                if (f.superseded[k] != 0)
                    continue;
                if (f.pgnos[k] > page_count || bitmap_has(seen, f.pgnos[k]))
                    snap_index_skip(ix, i, k);
                else
                    rc = bitmap_add(seen, f.pgnos[k], err);
            }
        }
    }
    bitmap_free(seen);
    return rc;
}

/* --- frames --------------------------------------------------------------------------------------------------------
 */

/* What the jobs share. */
struct frames {
    struct restore_job *job;
    const struct sources *sources; /* read-only */
    sem_t finished;                /* posted by each job's done() */
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
    const struct source *source; /* of the chunk that it loads */
    struct zstr_dec *zstd;
    uint8_t *pages; /* SNAP_FRAME_RAW_MAX */
    struct rc rc;
    struct err err;
};

/* Consecutive frames [begin, end): at most CHUNK_SIZE of stored bytes, or one frame. */
struct chunk {
    const struct source *source;
    size_t begin, end;
    uint64_t offset, size;
};

static bool is_dead(const struct snap_index_frame *f)
{
    return memchr(f->superseded, 0, f->page_count) == NULL;
}

/* The next chunk of the source; false: it has no more. */
static bool next_chunk(struct frames *f, const struct source *s, struct chunk *c)
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
    CLEANUP(req_finip) struct store_req req = {0};
    const struct source *s = w->source = c->source;
    struct frames *f = w->frames;

    ask_range(&req, s, c->offset, c->size);
    TRY(check_range(s, &req, work_store(f->job->work, f->job->store, &req, err), err));
    for (size_t i = c->begin; i < c->end; i++) {
        struct snap_index_frame frame = snap_index_frame(s->index, i);
        struct span stored = span_of(req.data.data + (frame.offset - c->offset), frame.size);

        TRY_CTX(snap_frame_decode(w->zstd, s->index, i, stored, w->pages, err), err, "%s", s->key);
        TRY_CTX(put_frame(w, &frame, err), err, "%s", s->key);
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

static struct rc load_frames(struct restore_job *j, const struct sources *all, struct err *err)
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
    j->page_size = m->page_size;
    return image_create(&j->image, j->fs, j->target, m->page_size, m->page_count, err);
}

static struct rc load(struct sources *all, struct err *err)
{
    struct restore_job *j = all->job;
    const struct source *last = &all->at[all->count - 1];
    const struct snap_meta *m = snap_index_meta(last->index);

    TRY(skip_superseded(all, err));
    TRY(make_room(j, m, err));
    TRY(load_frames(j, all, err));
    if (image_checksum(j->image) != m->checksum) {
        restore_blame_base(j, last->number);
        return rc_raise(err, E_CORRUPT, "%s: the state checksum of its pages is %016" PRIx64 ", it says %016" PRIx64,
            last->key, image_checksum(j->image), m->checksum);
    }
    j->report->object_count += all->count;
    j->txid = m->txid;
    j->time_ms = m->time_ms;
    return RC_OK;
}

struct rc restore_frames_load(struct restore_job *j, const struct plan_stage *stage, struct err *err)
{
    CLEANUP(sources_fini) struct sources all = {.job = j};

    TRY(open_all(&all, stage, err));
    return load(&all, err);
}
