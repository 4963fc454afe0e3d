/* SPDX-License-Identifier: Apache-2.0 */
#include "upload.h"

#include "alloc.h"

#include <assert.h>
#include <inttypes.h>

enum { TAIL_ROOM = 256 << 10 }; /* a frame of a snapshot behind the end of a part */

struct part {
    struct buf bytes;
    struct store_req req;
    struct work_later later;
    bool in_flight;
};

struct upload {
    struct work *work;
    struct store *store;
    char *key; /* owned; that it was begun with */
    char *id;  /* owned; NULL: finished or gone */
    size_t part_size, part_count;
    struct part parts[UPLOAD_PARTS]; /* used in turn */
    size_t filling;                  /* index of the one that grows; it is not in flight */
    uint32_t sent;
    uint64_t sent_size;
    bool broken; /* a part failed: what comes is not taken any more */
};

struct rc upload_open(
    struct upload **out, struct work *w, struct store *s, const struct upload_opts *opts, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct upload *u;

    store_req_init(&req, STORE_UPLOAD_START, opts->key, NULL, NULL);
    req.key_final = opts->key_final;
    req.expected = opts->expected;
    TRY_CTX(work_store(w, s, &req, err), err, "upload %s", opts->key);
    u = mem_new(sizeof *u);
    u->work = w;
    u->store = s;
    u->key = mem_strdup(opts->key);
    u->id = MOVE(req.upload_id);
    u->part_size = req.part_size;
    u->part_count = opts->parts == 0 ? UPLOAD_PARTS : opts->parts;
    assert(u->part_count >= 2);
    assert(u->part_count <= UPLOAD_PARTS);
    for (size_t i = 0; i < UPLOAD_PARTS; i++)
        buf_init(&u->parts[i].bytes, u->part_size + UPLOAD_TAIL_MAX);
    *out = u;
    return RC_OK;
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

/* Wait for the answer to this one. */
static struct rc settle(struct upload *u, struct part *p, struct err *err)
{
    uint32_t number = p->req.part;
    struct rc rc;

    if (!p->in_flight)
        return RC_OK;
    rc = work_store_end(&p->later, err);
    p->in_flight = false;
    store_req_fini(&p->req);
    buf_fini(&p->bytes); /* the next one takes long to grow, and where the store is fast it grows alone */
    if (!rc_failed(rc))
        return RC_OK;
    u->broken = true;
    return rc_wrap(err, "upload part %" PRIu32 " of %s", number, u->key);
}

/* All that are on their way; the first failure counts. */
static struct rc settle_all(struct upload *u, struct err *err)
{
    struct rc first = RC_OK;
    struct err later;

    for (size_t i = 1; i <= u->part_count; i++) { /* the oldest first */
        struct rc rc = settle(u, &u->parts[(u->filling + i) % u->part_count], rc_failed(first) ? &later : err);

        if (!rc_failed(first))
            first = rc;
    }
    return first;
}

/* The part that grew goes on its way, and the next one begins when there is a free one. */
static struct rc send_part(struct upload *u, struct err *err)
{
    struct part *p = &u->parts[u->filling];

    store_req_init(&p->req, STORE_UPLOAD_PART, u->key, NULL, NULL);
    p->req.upload = u->id;
    p->req.part = ++u->sent;
    p->req.body = buf_span(&p->bytes);
    u->sent_size += p->bytes.size;
    work_store_begin(u->work, u->store, &p->req, &p->later);
    p->in_flight = true;
    u->filling = (u->filling + 1) % u->part_count;
    return settle(u, &u->parts[u->filling], err);
}

/* A part has its room at once: growing to that in steps would leave holes in the heap, and untouched pages cost
 * nothing. */
struct buf *upload_tail(struct upload *u)
{
    struct buf *tail = &u->parts[u->filling].bytes;

    if (tail->data == NULL)
        buf_reserve(tail, u->part_size + TAIL_ROOM);
    return tail;
}

struct rc upload_put(struct upload *u, const void *data, size_t n, struct err *err)
{
    const uint8_t *at = data;

    assert(u->id != NULL);
    TRY(upload_pass(u, err));
    while (n > 0) {
        struct buf *tail = upload_tail(u);
        size_t room = u->part_size - tail->size, now = n < room ? n : room;

        buf_put(tail, at, now);
        TRY(buf_check(tail, "part of an upload", err));
        at += now;
        n -= now;
        if (tail->size == u->part_size)
            TRY(send_part(u, err));
    }
    return RC_OK;
}

/* What lies behind the end of the part belongs to those that follow. */
static struct rc send_long(struct upload *u, struct buf *tail, struct err *err)
{
    CLEANUP(buf_fini) struct buf rest;

    buf_init(&rest, UPLOAD_TAIL_MAX);
    buf_put(&rest, tail->data + u->part_size, tail->size - u->part_size);
    TRY(buf_check(&rest, "part of an upload", err));
    buf_trim(tail, u->part_size);
    TRY(send_part(u, err));
    return upload_put(u, rest.data, rest.size, err);
}

struct rc upload_pass(struct upload *u, struct err *err)
{
    struct buf *tail = upload_tail(u);

    assert(u->id != NULL);
    assert(!u->broken);
    TRY(buf_check(tail, "part of an upload", err));
    if (tail->size < u->part_size)
        return RC_OK;
    return tail->size == u->part_size ? send_part(u, err) : send_long(u, tail, err);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

struct rc upload_finish(struct upload *u, const char *key, bool create_only, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_UPLOAD_FINISH, key, NULL, NULL);
    TRY(upload_pass(u, err));
    if (upload_tail(u)->size > 0)
        TRY(send_part(u, err));
    TRY(settle_all(u, err));
    req.upload = u->id;
    req.part = u->sent;
    req.create_only = create_only;
    rc = work_store(u->work, u->store, &req, err);
    if (rc_failed(rc))
        return rc_wrap(err, "finish %s", key);
    mem_free(MOVE(u->id));
    return RC_OK;
}

uint64_t upload_size(const struct upload *u)
{
    return u->sent_size + u->parts[u->filling].bytes.size;
}

static void abort_upload(struct upload *u)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct err ignored;

    store_req_init(&req, STORE_UPLOAD_ABORT, u->key, NULL, NULL);
    req.upload = u->id;
    rc_ignore(work_store(u->work, u->store, &req, &ignored), "it has failed already; a prune takes away what is left");
}

void upload_free(struct upload *u)
{
    struct err ignored;

    if (u == NULL)
        return;
    rc_ignore(settle_all(u, &ignored), "nobody asks any more");
    if (u->id != NULL)
        abort_upload(u);
    for (size_t i = 0; i < UPLOAD_PARTS; i++)
        buf_fini(&u->parts[i].bytes);
    mem_free(u->id);
    mem_free(u->key);
    mem_free(u);
}

void upload_freep(struct upload **u)
{
    upload_free(*u);
    *u = NULL;
}
