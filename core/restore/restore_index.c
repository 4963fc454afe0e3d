/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_index.h"

#include "alloc.h"
#include "bitmap.h"

#include <inttypes.h>

void restore_index_fini(struct restore_sources *all)
{
    for (size_t i = 0; i < all->count; i++) {
        snap_index_free(all->at[i].index);
        buf_fini(&all->at[i].whole);
    }
    mem_free(all->at);
}

/* --- the indexes ----------------------------------------------------------------------------------------------------
 */

static void ask_range(struct store_req *req, const struct restore_source *s, uint64_t offset, uint64_t length)
{
    store_req_init(req, STORE_GET, s->key, NULL, NULL);
    req->offset = offset;
    req->length = length;
}

/* `rc` is what became of the request. */
static struct rc check_range(const struct restore_source *s, const struct store_req *req, struct rc rc, struct err *err)
{
    TRY_CTX(rc, err, "%s", s->key);
    if (req->data.size != req->length || req->size != s->base->size)
        return rc_raise(err, E_CORRUPT, "%s: %zu bytes at %" PRIu64 " of %" PRIu64 ", expected %" PRIu64 " of %" PRIu64,
            s->key, req->data.size, req->offset, req->size, req->length, s->base->size);
    return RC_OK;
}

static uint64_t tail_size(const struct restore_source *s)
{
    return s->base->size < SNAP_TAIL_SIZE ? s->base->size : SNAP_TAIL_SIZE;
}

/* The end of the object is at hand; fetch more when it is not enough. */
static struct rc open_index(
    struct restore_job *j, struct restore_source *s, const struct store_req *tail, struct err *err)
{
    uint64_t size = s->base->size, have = tail->data.size, need = have;

    TRY_CTX(snap_index_open(&s->index, buf_span(&tail->data), size, &need, err), err, "%s", s->key);
    j->report->bytes_read += have;
    while (need > 0) {
        CLEANUP(store_req_fini) struct store_req req = {0};

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

static struct rc check_meta(const struct restore_job *j, const struct restore_source *s, struct err *err)
{
    const struct snap_meta *m = snap_index_meta(s->index);
    char mine[NONCE_TEXT_SIZE], theirs[NONCE_TEXT_SIZE];

    if (m->timeline != s->base->timeline || m->txid != s->base->txid || m->level != s->base->level
        || m->base_txid != s->base->base_txid)
        return rc_raise(err, E_CORRUPT,
            "%s: it says that it is txid %" PRIu64 " of timeline %" PRIu32 ", level %u from txid %" PRIu64, s->key,
            m->txid, m->timeline, m->level, m->base_txid);
    if (j->database_known && !nonce_equal(&m->database, &j->database))
        return rc_raise(err, E_CORRUPT, "%s: it belongs to database %s, not to %s, which %s names", s->key,
            nonce_format(&m->database, theirs), nonce_format(&j->database, mine),
            j->catalog->identity.format != 0 ? LAYOUT_IDENTITY : "timeline.json");
    return RC_OK;
}

/* A merge builds on exactly the state that was reached, and a larger database has all its new pages in it. */
static struct rc check_link(
    const struct restore_source *s, uint64_t checksum, uint32_t page_size, uint32_t page_count, struct err *err)
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

static struct rc check_links(struct restore_sources *all, struct err *err)
{
    struct restore_job *j = all->job;

    for (size_t i = 0; i < all->count; i++) {
        struct restore_source *s = &all->at[i];
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

/* A small object need not be fetched again for its frames. */
static void keep(struct restore_sources *all, struct restore_source *s, struct store_req *req)
{
    if (req->data.size != s->base->size || all->kept + req->data.size > RESTORE_INDEX_KEPT_MAX)
        return;
    s->whole = req->data;
    req->data = (struct buf){0};
    all->kept += s->whole.size;
}

/* Up to RESTORE_INDEX_TAILS of them from `begin` on. */
static struct rc open_some(struct restore_sources *all, size_t begin, size_t end, struct err *err)
{
    struct restore_job *j = all->job;
    struct store_req *reqs = mem_new(RESTORE_INDEX_TAILS * sizeof *reqs);
    struct err some;
    struct rc rc = RC_OK;

    for (size_t i = begin; i < end; i++)
        ask_range(
            &reqs[i - begin], &all->at[i], all->at[i].base->size - tail_size(&all->at[i]), tail_size(&all->at[i]));
    rc_ignore(work_store_all(j->work, j->store, reqs, end - begin, &some), "each is asked for what became of it");
    for (size_t i = begin; i < end; i++) {
        struct restore_source *s = &all->at[i];
        struct store_req *req = &reqs[i - begin];

        if (!rc_failed(rc)) {
            rc = check_range(s, req, store_result(req, err), err);
            if (!rc_failed(rc))
                rc = open_index(j, s, req, err);
            if (restore_is_damage(rc))
                restore_blame_base(j, s->number);
            keep(all, s, req);
        }
        store_req_fini(req);
    }
    mem_free(reqs);
    return rc;
}

/* Each page is wanted from the newest that has it, and not at all behind the end of the last state. */
static struct rc skip_superseded(struct restore_sources *all, struct err *err)
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

struct rc restore_index_open(
    struct restore_sources *all, struct restore_job *j, const struct plan_stage *stage, struct err *err)
{
    const size_t count = stage->base_end - stage->base;

    *all = (struct restore_sources){.job = j};
    all->at = mem_new(count * sizeof *all->at);
    all->count = count;
    for (size_t i = 0; i < count; i++) {
        struct restore_source *s = &all->at[i];

        s->number = stage->base + i;
        s->base = &j->plan->bases[s->number];
        plan_base_text(s->base, s->key);
        if (s->base->size == 0) {
            restore_blame_base(j, s->number);
            return rc_raise(err, E_CORRUPT, "%s: empty", s->key);
        }
    }
    for (size_t i = 0; i < count; i += RESTORE_INDEX_TAILS)
        TRY(open_some(all, i, i + RESTORE_INDEX_TAILS < count ? i + RESTORE_INDEX_TAILS : count, err));
    TRY(check_links(all, err));
    return skip_superseded(all, err);
}

struct rc restore_index_get(struct restore_job *j, const struct restore_source *s, uint64_t offset, uint64_t length,
    struct store_req *req, struct err *err)
{
    ask_range(req, s, offset, length);
    return check_range(s, req, work_store(j->work, j->store, req, err), err);
}
