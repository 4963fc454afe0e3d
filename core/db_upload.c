/* SPDX-License-Identifier: Apache-2.0 */
#include "db_upload.h"

#include "alloc.h"

#include <string.h>

struct rc db_upload_start(struct db_upload *u, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;

    store_req_init(&req, STORE_UPLOAD_START, u->key, NULL, NULL);
    TRY_CTX(work_store(u->work, u->store, &req, err), err, "upload %s", u->key);
    u->id = MOVE(req.upload_id);
    return RC_OK;
}

struct rc db_upload_send(struct db_upload *u, struct buf *bytes, bool last, struct err *err)
{
    size_t part_size = u->store->part_size, done = 0;

    while (bytes->size - done >= part_size || (last && bytes->size > done)) {
        CLEANUP(store_req_fini) struct store_req req;
        size_t size = bytes->size - done < part_size ? bytes->size - done : part_size;

        store_req_init(&req, STORE_UPLOAD_PART, u->key, NULL, NULL);
        req.upload = u->id;
        req.part = ++u->part;
        req.body = span_of(bytes->data + done, size);
        TRY_CTX(work_store(u->work, u->store, &req, err), err, "upload part %u of %s", u->part, u->key);
        done += size;
    }
    u->bytes += done;
    if (done > 0)
        memmove(bytes->data, bytes->data + done, bytes->size - done);
    buf_trim(bytes, bytes->size - done);
    return RC_OK;
}

struct rc db_upload_finish(struct db_upload *u, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;

    store_req_init(&req, STORE_UPLOAD_FINISH, u->key, NULL, NULL);
    req.upload = u->id;
    req.part = u->part;
    TRY_CTX(work_store(u->work, u->store, &req, err), err, "finish %s", u->key);
    mem_free(u->id);
    u->id = NULL;
    return RC_OK;
}

void db_upload_abort(struct db_upload *u)
{
    CLEANUP(store_req_fini) struct store_req req = {0};
    struct err ignored;

    if (u->id == NULL)
        return;
    store_req_init(&req, STORE_UPLOAD_ABORT, u->key, NULL, NULL);
    req.upload = u->id;
    rc_ignore(work_store(u->work, u->store, &req, &ignored), "the upload has failed already; a left-over is harmless");
    mem_free(u->id);
    u->id = NULL;
}
