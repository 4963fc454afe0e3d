/* SPDX-License-Identifier: Apache-2.0 */
#include "upload.h"

#include "alloc.h"

#include <assert.h>
#include <inttypes.h>

struct upload {
    struct work *work;
    struct store *store;
    char *key;                      /* owned; that it was begun with */
    char *id;                       /* owned; NULL: finished or gone */
    struct buf parts[UPLOAD_PARTS]; /* all full but the last */
    size_t filling;                 /* index of the part that grows */
    uint32_t sent;
    uint64_t size;
};

struct rc upload_open(
    struct upload **out, struct work *w, struct store *s, const char *key, bool key_final, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct upload *u;

    store_req_init(&req, STORE_UPLOAD_START, key, NULL, NULL);
    req.key_final = key_final;
    TRY_CTX(work_store(w, s, &req, err), err, "upload %s", key);
    u = mem_new(sizeof *u);
    u->work = w;
    u->store = s;
    u->key = mem_strdup(key);
    u->id = MOVE(req.upload_id);
    for (size_t i = 0; i < UPLOAD_PARTS; i++)
        buf_init(&u->parts[i], s->part_size);
    *out = u;
    return RC_OK;
}

/* All parts that there are, side by side. */
static struct rc send_parts(struct upload *u, struct err *err)
{
    struct store_req reqs[UPLOAD_PARTS];
    size_t count = 0;
    struct rc rc;

    for (size_t i = 0; i < UPLOAD_PARTS && u->parts[i].size > 0; i++) {
        store_req_init(&reqs[i], STORE_UPLOAD_PART, u->key, NULL, NULL);
        reqs[i].upload = u->id;
        reqs[i].part = ++u->sent;
        reqs[i].body = buf_span(&u->parts[i]);
        count++;
    }
    rc = work_store_all(u->work, u->store, reqs, count, err);
    for (size_t i = 0; i < count; i++)
        store_req_fini(&reqs[i]);
    for (size_t i = 0; i < UPLOAD_PARTS; i++)
        buf_clear(&u->parts[i]);
    u->filling = 0;
    return rc_failed(rc) ? rc_wrap(err, "upload part %" PRIu32 " of %s", u->sent, u->key) : RC_OK;
}

struct rc upload_put(struct upload *u, const void *data, size_t n, struct err *err)
{
    const uint8_t *at = data;

    assert(u->id != NULL);
    while (n > 0) {
        struct buf *part = &u->parts[u->filling];
        size_t room = u->store->part_size - part->size, now = n < room ? n : room;

        buf_put(part, at, now);
        TRY(buf_check(part, "part of an upload", err));
        at += now;
        n -= now;
        u->size += now;
        if (part->size < u->store->part_size)
            continue;
        if (u->filling + 1 < UPLOAD_PARTS)
            u->filling++;
        else
            TRY(send_parts(u, err));
    }
    return RC_OK;
}

struct rc upload_finish(struct upload *u, const char *key, bool create_only, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct rc rc;

    assert(u->id != NULL);
    store_req_init(&req, STORE_UPLOAD_FINISH, key, NULL, NULL);
    TRY(send_parts(u, err));
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
    return u->size;
}

void upload_free(struct upload *u)
{
    struct err ignored;

    if (u == NULL)
        return;
    if (u->id != NULL) {
        CLEANUP(store_req_fini) struct store_req req;

        store_req_init(&req, STORE_UPLOAD_ABORT, u->key, NULL, NULL);
        req.upload = u->id;
        rc_ignore(work_store(u->work, u->store, &req, &ignored), "it has failed already; a left-over is harmless");
    }
    for (size_t i = 0; i < UPLOAD_PARTS; i++)
        buf_fini(&u->parts[i]);
    mem_free(u->id);
    mem_free(u->key);
    mem_free(u);
}

void upload_freep(struct upload **u)
{
    upload_free(*u);
    *u = NULL;
}
