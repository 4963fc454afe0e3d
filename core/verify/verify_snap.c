/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_snap.h"

#include "alloc.h"
#include "digest.h"
#include "snap_hashes.h"
#include "sorted.h"
#include "verify_report.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { PIECES = 16, PIECE_SIZE = 1 << 20 };

/* Consecutive bytes of the object, and the frames [begin, end) that they hold. */
struct piece {
    struct work_item item; /* must be first */
    const struct snap_index *index;
    struct span bytes; /* borrowed from the request */
    uint64_t offset, size;
    size_t begin, end;
    struct zstr_dec *zstd; /* owned */
    uint8_t *pages;        /* owned; SNAP_FRAME_RAW_MAX */
    uint64_t sum;          /* XOR of the page hashes */
    uint64_t *hashes;      /* borrowed: of all pages of the state; NULL: nobody wants them */
    struct rc rc;
    struct err err;
};

/* The page hashes of a state, for merges that build on it. */
struct state {
    uint64_t txid, checksum;
    uint32_t page_count, page_size;
    uint64_t *hashes; /* owned; NULL: free */
};

struct reader {
    struct verify_job *job;
    const char *key;
    uint64_t size;
    struct snap_index *index; /* owned */
    struct digest *digest;    /* owned */
    uint8_t trailer[PACK_TRAILER_SIZE];
    uint64_t at; /* bytes that were taken */
    size_t frame;
    uint64_t sum;
    uint64_t *hashes;          /* owned; of the state's pages; NULL: nobody wants them */
    struct page_hash *carried; /* owned; what it says itself of its pages; NULL: nothing */
    struct snap_hashes *table; /* owned; reads them */
    struct rc carried_rc;      /* E_CORRUPT: what stands there is nothing of the kind */
    struct err carried_err;
    struct piece pieces[PIECES];
    struct store_req reqs[PIECES];
};

static void reader_free(struct reader *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < PIECES; i++) {
        zstr_dec_free(r->pieces[i].zstd);
        mem_free(r->pieces[i].pages);
        store_req_fini(&r->reqs[i]);
    }
    snap_hashes_close(r->table);
    page_hash_free(r->carried);
    snap_index_free(r->index);
    mem_free(r->hashes);
    digest_free(r->digest);
    mem_free(r);
}

static void reader_freep(struct reader **r)
{
    reader_free(*r);
    *r = NULL;
}

static struct rc reader_new(struct reader **out, struct verify_job *j, const char *key, uint64_t size, struct err *err)
{
    CLEANUP(reader_freep) struct reader *r = mem_new(sizeof *r);

    r->job = j;
    r->key = key;
    r->size = size;
    r->digest = digest_new();
    for (size_t i = 0; i < PIECES; i++) {
        store_req_init(&r->reqs[i], STORE_GET, key, NULL, NULL);
        r->pieces[i].zstd = zstr_dec_new();
        r->pieces[i].pages = mem_try(SNAP_FRAME_RAW_MAX, 1);
        if (r->pieces[i].pages == NULL)
            return rc_raise(err, E_NOMEM, "decode a snapshot");
    }
    *out = MOVE(r);
    return RC_OK;
}

static struct rc check_answer(const struct reader *r, const struct store_req *req, struct err *err)
{
    if (req->data.size != req->length || req->size != r->size)
        return rc_raise(err, E_CORRUPT, "%zu bytes at %" PRIu64 " of %" PRIu64 ", expected %" PRIu64 " of %" PRIu64,
            req->data.size, req->offset, req->size, req->length, r->size);
    return RC_OK;
}

/* --- the index -----------------------------------------------------------------------------------------------------
 */

static struct rc open_index(struct reader *r, struct err *err)
{
    uint64_t need = r->size < SNAP_TAIL_SIZE ? r->size : SNAP_TAIL_SIZE, have = 0;

    if (r->size == 0)
        return rc_raise(err, E_CORRUPT, "empty");
    while (need > have) {
        CLEANUP(verify_intern_finip) struct store_req req = {0};

        if (need > STORE_GET_MAX)
            return rc_raise(err, E_UNSUPPORTED, "an index of %" PRIu64 " bytes is too large", need);
        have = need;
        store_req_init(&req, STORE_GET, r->key, NULL, NULL);
        req.offset = r->size - have;
        req.length = have;
        TRY(work_store(r->job->work, r->job->store, &req, err));
        TRY(check_answer(r, &req, err));
        TRY(snap_index_open(&r->index, buf_span(&req.data), r->size, &need, err));
    }
    return RC_OK;
}

static struct rc check_meta(const struct reader *r, const struct layout_key *k, struct err *err)
{
    const struct snap_meta *m = snap_index_meta(r->index);
    char mine[NONCE_TEXT_SIZE], theirs[NONCE_TEXT_SIZE];

    if (m->timeline != k->timeline || m->txid != k->txid || m->time_ms != k->time_ms)
        return rc_raise(err, E_CORRUPT,
            "it says that it is txid %" PRIu64 " of timeline %" PRIu32 ", taken at %" PRIi64 " ms", m->txid,
            m->timeline, m->time_ms);
    if (m->level != k->level || m->base_txid != k->base_txid)
        return rc_raise(
            err, E_CORRUPT, "it says that it is of level %u and builds on txid %" PRIu64, m->level, m->base_txid);
    if (!nonce_equal(&m->database, &r->job->report->database))
        return rc_raise(err, E_CORRUPT, "it belongs to database %s, not to %s", nonce_format(&m->database, theirs),
            nonce_format(&r->job->report->database, mine));
    return RC_OK;
}

/* --- the rest ------------------------------------------------------------------------------------------------------
 */

static struct rc decode(struct piece *p, struct err *err)
{
    const uint32_t page_size = snap_index_meta(p->index)->page_size;

    for (size_t i = p->begin; i < p->end; i++) {
        struct snap_index_frame f = snap_index_frame(p->index, i);
        struct span stored = span_of(p->bytes.data + (f.offset - p->offset), f.size);

        TRY(snap_frame_decode(p->zstd, p->index, i, stored, p->pages, err));
        for (uint32_t k = 0; k < f.page_count; k++)
            if (f.superseded[k] == 0) { /* each page once, in all pieces together */
                uint64_t hash = digest_page(f.pgnos[k], p->pages + (size_t)k * page_size, page_size);

                p->sum ^= hash;
                if (p->hashes != NULL)
                    p->hashes[f.pgnos[k] - 1] = hash;
            }
    }
    return RC_OK;
}

static void run_piece(struct work_item *item)
{
    struct piece *p = (struct piece *)item;

    p->rc = decode(p, &p->err);
}

/* The header goes with the first frame; behind the last one come index, footer and trailer. */
static void plan_piece(struct reader *r, struct piece *p)
{
    const size_t count = snap_index_frame_count(r->index);
    uint64_t end = r->at;

    p->index = r->index;
    p->hashes = r->hashes;
    p->offset = r->at;
    p->begin = r->frame;
    p->sum = 0;
    p->rc = RC_OK;
    while (r->frame < count) {
        struct snap_index_frame f = snap_index_frame(r->index, r->frame);

        if (r->frame > p->begin && f.offset + f.size - r->at > PIECE_SIZE)
            break;
        end = f.offset + f.size;
        r->frame++;
    }
    p->end = r->frame;
    if (p->end == p->begin)
        end = r->size - r->at > PIECE_SIZE ? r->at + PIECE_SIZE : r->size;
    p->size = end - r->at;
    r->at = end;
}

/* All bytes but the trailer are under it. */
static void digest_piece(struct reader *r, const struct piece *p)
{
    const uint64_t limit = r->size - PACK_TRAILER_SIZE;
    uint64_t n = p->offset >= limit ? 0 : limit - p->offset;

    if (n > p->size)
        n = p->size;
    digest_update(r->digest, p->bytes.data, (size_t)n);
    for (uint64_t i = n; i < p->size; i++)
        r->trailer[p->offset + i - limit] = p->bytes.data[i];
}

/* Frames are decoded side by side, but what stands in these is one list. */
static struct rc take_carried(struct reader *r, const struct piece *p, struct err *err)
{
    for (size_t i = p->begin; i < p->end && r->table != NULL && !rc_failed(r->carried_rc); i++) {
        struct snap_index_frame f = snap_index_frame(r->index, i);

        if (i < snap_hashes_first(r->table))
            continue;
        r->carried_rc =
            snap_hashes_take(r->table, i, span_of(p->bytes.data + (f.offset - p->offset), f.size), &r->carried_err);
        if (rc_failed(r->carried_rc) && r->carried_rc.code != E_CORRUPT) {
            *err = r->carried_err;
            return r->carried_rc;
        }
    }
    return RC_OK;
}

static struct rc take_pieces(struct reader *r, struct err *err)
{
    struct work_item *items[PIECES];
    size_t n = 0;

    for (; n < PIECES && r->at < r->size; n++) {
        struct piece *p = &r->pieces[n];

        plan_piece(r, p);
        p->item = (struct work_item){.run = run_piece};
        items[n] = &p->item;
        r->reqs[n].offset = p->offset;
        r->reqs[n].length = p->size;
    }
    TRY(work_store_all(r->job->work, r->job->store, r->reqs, n, err));
    for (size_t i = 0; i < n; i++) {
        TRY(check_answer(r, &r->reqs[i], err));
        r->pieces[i].bytes = buf_span(&r->reqs[i].data);
        digest_piece(r, &r->pieces[i]);
        verify_intern_read(r->job, r->pieces[i].size);
    }
    work_spread_wait(r->job->work, items, n);
    for (size_t i = 0; i < n; i++) {
        if (rc_failed(r->pieces[i].rc)) {
            *err = r->pieces[i].err;
            return r->pieces[i].rc;
        }
        r->sum ^= r->pieces[i].sum;
        TRY(take_carried(r, &r->pieces[i], err));
    }
    return RC_OK;
}

/* Page hashes of the base, over which those of a merge are written; of a snapshot only if a merge builds on it, or it
 * carries some that they are to be compared with. */
static struct rc take_base(struct reader *r, const struct state *base, bool wanted, struct err *err)
{
    const struct snap_meta *m = snap_index_meta(r->index);
    uint64_t pages = 0;

    if (m->level == 0 ? !wanted && !m->hashed : base == NULL)
        return RC_OK;
    for (size_t i = 0; i < snap_index_frame_count(r->index); i++)
        pages += snap_index_frame(r->index, i).page_count;
    if (base != NULL && (base->checksum != m->base_checksum || base->page_size != m->page_size))
        return rc_raise(err, E_CORRUPT, "it builds on state checksum %016" PRIx64 ", txid %" PRIu64 " has %016" PRIx64,
            m->base_checksum, m->base_txid, base->checksum);
    /* Before memory is taken for a page count that nothing speaks for; one more is the lock page. */
    if (base != NULL && m->page_count > base->page_count && m->page_count - base->page_count > pages + 1)
        return rc_raise(err, E_CORRUPT, "%" PRIu64 " pages cannot make a database of %" PRIu32 " pages one of %" PRIu32,
            pages, base->page_count, m->page_count);
    r->hashes = mem_try((size_t)m->page_count + 1, sizeof *r->hashes);
    if (r->hashes == NULL)
        return rc_raise(err, E_NOMEM, "page hashes of %" PRIu32 " pages", m->page_count);
    if (base != NULL)
        memcpy(r->hashes, base->hashes,
            (base->page_count < m->page_count ? base->page_count : m->page_count) * sizeof *r->hashes);
    r->carried = page_hash_new();
    return snap_hashes_open(&r->table, r->index, r->carried, err);
}

/* What the pages come to.  Of a merge whose base was not read nobody can tell. */
static struct rc check_sum(const struct reader *r, struct err *err)
{
    const struct snap_meta *m = snap_index_meta(r->index);
    uint64_t sum = r->sum;

    if (m->level > 0 && r->hashes == NULL)
        return RC_OK;
    if (m->level > 0) {
        sum = 0;
        for (uint32_t i = 0; i < m->page_count; i++)
            sum ^= r->hashes[i];
    }
    if (sum != m->checksum)
        return rc_raise(err, E_CORRUPT, "the state checksum of %s is %016" PRIx64 ", it says %016" PRIx64,
            m->level > 0 ? "its base with its pages" : "its pages", sum, m->checksum);
    return RC_OK;
}

/* Those that it carries are for who has a file that is much like it.  A wrong one costs him a page that he has. */
static struct rc check_carried(const struct reader *r, struct err *err)
{
    if (r->table == NULL)
        return RC_OK;
    if (rc_failed(r->carried_rc)) {
        *err = r->carried_err;
        return r->carried_rc;
    }
    for (uint32_t pgno = 1; pgno <= page_hash_count(r->carried); pgno++) {
        const uint64_t says = page_hash_get(r->carried, pgno);

        if (says != 0 && says != r->hashes[pgno - 1])
            return rc_raise(err, E_CORRUPT,
                "the hash that it carries of page %" PRIu32 " is %016" PRIx64 ", its page has %016" PRIx64
                "; restores without --in-place are not concerned, the others read more",
                pgno, says, r->hashes[pgno - 1]);
    }
    return RC_OK;
}

static struct rc read_all(
    struct reader *r, const struct layout_key *k, const struct state *base, bool wanted, struct err *err)
{
    struct cursor trailer;

    TRY(open_index(r, err));
    TRY(check_meta(r, k, err));
    TRY(take_base(r, base, wanted, err));
    while (r->at < r->size)
        TRY(take_pieces(r, err));
    trailer = cursor_of(span_of(r->trailer, sizeof r->trailer));
    if (cursor_u64(&trailer) != digest_value(r->digest))
        return rc_raise(err, E_CORRUPT, "checksum mismatch over %" PRIu64 " bytes", r->size);
    return check_sum(r, err);
}

/* --- states --------------------------------------------------------------------------------------------------------
 */

/* Does any merge from number `from` on build on this state? */
static bool is_base(const struct verify_work *t, uint64_t txid, size_t from)
{
    size_t at = SORTED_AT(t->bases, t->base_count, txid, txid);

    for (; at < t->base_count && t->bases[at].txid == txid; at++)
        if (t->bases[at].snap >= from)
            return true;
    return false;
}

static const struct state *find_state(const struct state *states, uint64_t txid)
{
    for (size_t i = 0; i < VERIFY_SNAP_STATES; i++)
        if (states[i].hashes != NULL && states[i].txid == txid)
            return &states[i];
    return NULL;
}

/* Keep what the reader has proven, if a merge behind number `i` builds on it; forget what none builds on any more. */
static void keep_state(struct state *states, const struct verify_work *t, size_t i, struct reader *r)
{
    const struct snap_meta *m = snap_index_meta(r->index);
    struct state *room = NULL;

    for (size_t k = 0; k < VERIFY_SNAP_STATES; k++) {
        struct state *s = &states[k];

        if (s->hashes != NULL && !is_base(t, s->txid, i + 1)) {
            mem_free(s->hashes);
            s->hashes = NULL;
        }
        if (room == NULL || s->hashes == NULL || (room->hashes != NULL && s->txid < room->txid))
            room = s;
    }
    if (r->hashes == NULL || !is_base(t, m->txid, i + 1) || find_state(states, m->txid) != NULL)
        return;
    mem_free(room->hashes);
    *room = (struct state){m->txid, m->checksum, m->page_count, m->page_size, MOVE(r->hashes)};
}

static struct rc read_snapshot(
    struct verify_job *j, struct verify_work *t, size_t i, struct state *states, bool again, struct err *err)
{
    CLEANUP(reader_freep) struct reader *r = NULL;
    struct verify_snap_key *s = &t->snaps[i];
    const struct layout_key k = {
        .timeline = t->number, .txid = s->txid, .time_ms = s->time_ms, .level = s->level, .base_txid = s->base_txid};
    const struct state *base = s->level > 0 ? find_state(states, s->base_txid) : NULL;
    const struct snap_meta *m;
    layout_text key;
    struct rc rc;

    verify_intern_snap_text(t, s, key);
    TRY(reader_new(&r, j, key, s->size, err));
    TRY(read_all(r, &k, base, is_base(t, s->txid, i + 1), err));
    m = snap_index_meta(r->index);
    s->usable = true;
    s->checksum = m->checksum;
    s->base_checksum = m->base_checksum;
    s->page_size = m->page_size;
    s->page_count = m->page_count;
    s->writer = m->writer;
    rc = check_carried(r, err);
    if (!rc_failed(rc) || again) /* whatever it says, the state is there; the next try needs its base once more */
        keep_state(states, t, i, r);
    return rc;
}

static struct rc read_one(struct verify_job *j, struct verify_work *t, size_t i, struct state *states, struct err *err)
{
    const uint64_t before = j->done;
    struct err damage;
    layout_text key;
    struct rc rc = read_snapshot(j, t, i, states, false, &damage);

    verify_intern_snap_text(t, &t->snaps[i], key);
    if (verify_intern_is_damage(rc)) { /* once more: it may have been the way */
        j->done = before;
        rc = read_snapshot(j, t, i, states, true, &damage);
    }
    if (rc_failed(rc) && !verify_intern_is_damage(rc)) {
        *err = damage;
        return rc_wrap(err, "%s", key);
    }
    if (rc_failed(rc))
        verify_report_damage(j, t, verify_intern_snap_kind(&t->snaps[i]), key, &damage);
    return RC_OK;
}

struct rc verify_snap_run(struct verify_job *j, struct verify_work *t, struct err *err)
{
    struct state states[VERIFY_SNAP_STATES] = {0};
    struct rc rc = RC_OK;

    for (size_t i = 0; i < t->snap_count && !rc_failed(rc); i++)
        rc = read_one(j, t, i, states, err);
    for (size_t i = 0; i < VERIFY_SNAP_STATES; i++)
        mem_free(states[i].hashes);
    return rc;
}
