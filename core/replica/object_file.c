/* SPDX-License-Identifier: Apache-2.0 */
#include "object_file.h"

#include "alloc.h"
#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum {
    GET_SIZE = 8 << 20,
    GETS = 4, /* side by side */
    READ_SIZE = 1 << 20,
};

static void tell(const struct object_file *o, const char *stage, uint64_t done, uint64_t total)
{
    if (o->on_progress != NULL)
        o->on_progress(o->ctx, stage, done, total);
}

struct rc object_file_look(const struct object_file *o, bool *there, uint64_t *size, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_HEAD, o->key, NULL, NULL);
    rc = work_store(o->work, o->store, &req, err);
    *there = !rc_failed(rc);
    *size = req.size;
    if (rc.code == E_NOTFOUND)
        return RC_OK;
    return rc_failed(rc) ? rc_wrap(err, "%s/%s", o->store->url, o->key) : RC_OK;
}

/* --- down ----------------------------------------------------------------------------------------------------------
 */

struct download {
    const struct object_file *o;
    int fd;
    uint64_t size;
    char etag[STORE_ETAG_SIZE];
};

static struct rc write_answer(const struct download *d, const struct store_req *req, struct err *err)
{
    if (req->size != d->size || strcmp(req->etag, d->etag) != 0)
        return rc_raise(err, E_BUSY, "%s/%s was replaced while it was read", d->o->store->url, d->o->key);
    if (req->data.size != req->length)
        return rc_raise(err, E_CORRUPT, "%s/%s: %zu bytes at %" PRIu64 ", expected %" PRIu64, d->o->store->url,
            d->o->key, req->data.size, req->offset, req->length);
    return fsys_write_at(d->o->fs, d->fd, d->o->path, req->data.data, req->data.size, req->offset, err);
}

/* The next ranges, side by side. */
static struct rc get_some(const struct download *d, uint64_t *at, struct err *err)
{
    struct store_req reqs[GETS];
    size_t count = 0;
    struct rc rc;

    for (; count < GETS && *at < d->size; count++) {
        struct store_req *req = &reqs[count];

        store_req_init(req, STORE_GET, d->o->key, NULL, NULL);
        req->offset = *at;
        req->length = d->size - *at < GET_SIZE ? d->size - *at : GET_SIZE;
        *at += req->length;
    }
    rc = work_store_all(d->o->work, d->o->store, reqs, count, err);
    if (rc_failed(rc))
        rc = rc_wrap(err, "%s/%s", d->o->store->url, d->o->key);
    for (size_t i = 0; i < count; i++) {
        if (!rc_failed(rc))
            rc = write_answer(d, &reqs[i], err);
        store_req_fini(&reqs[i]);
    }
    return rc;
}

struct rc object_file_get(const struct object_file *o, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req head;
    CLEANUP(fsys_closep) struct fsys_fd f = {o->fs, -1};
    struct download d = {.o = o};
    uint64_t at = 0;
    struct rc rc;

    store_req_init(&head, STORE_HEAD, o->key, NULL, NULL);
    rc = work_store(o->work, o->store, &head, err);
    /* The answer to a HEAD has no body, so it is only a number that nobody should have to know. */
    if (rc.code == E_NOTFOUND)
        return rc_raise(err, E_NOTFOUND, "%s/%s: there is no such object, or no such bucket", o->store->url, o->key);
    if (rc_failed(rc))
        return rc_wrap(err, "%s/%s", o->store->url, o->key);
    d.size = head.size;
    memcpy(d.etag, head.etag, sizeof d.etag);
    TRY(fsys_open(o->fs, o->path, O_RDWR | O_CREAT | O_EXCL, 0600, &f.fd, err));
    d.fd = f.fd;
    while (at < d.size) {
        TRY(get_some(&d, &at, err));
        tell(o, "download", at, d.size);
    }
    return RC_OK;
}

/* --- up ------------------------------------------------------------------------------------------------------------
 */

static struct rc send_file(const struct object_file *o, struct upload **out, struct err *err)
{
    CLEANUP(fsys_closep) struct fsys_fd f = {o->fs, -1};
    CLEANUP(mem_freep) uint8_t *chunk = mem_new(READ_SIZE);
    struct upload_opts opts = {.key = o->key, .key_final = true};
    struct upload *u;
    struct stat st;

    TRY(fsys_open(o->fs, o->path, O_RDONLY, 0, &f.fd, err));
    if (o->fs->fstat(o->fs, f.fd, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", o->path);
    opts.expected = (uint64_t)st.st_size;
    TRY(upload_open(out, o->work, o->store, &opts, err));
    u = *out;
    for (uint64_t at = 0, size = (uint64_t)st.st_size; at < size;) {
        size_t n = size - at < READ_SIZE ? (size_t)(size - at) : READ_SIZE;

        TRY(fsys_read_at(o->fs, f.fd, o->path, chunk, n, at, err));
        TRY(upload_put(u, chunk, n, err));
        at += n;
        tell(o, "upload", at, size);
    }
    return RC_OK;
}

struct rc object_file_put(const struct object_file *o, bool replace, struct err *err)
{
    CLEANUP(upload_freep) struct upload *u = NULL;
    uint64_t size = 0;
    bool there = false;
    struct rc rc;

    if (!replace) {
        TRY(object_file_look(o, &there, &size, err));
        if (there)
            return rc_raise(err, E_EXISTS, "%s/%s exists already (%" PRIu64 " bytes): replace it with --force",
                o->store->url, o->key, size);
        if (store_may_lack_conditions(o->store))
            store_without_conditions(o->store);
    }
    TRY(send_file(o, &u, err));
    rc = upload_finish(u, o->key, !replace, err);
    if (rc.code == E_EXISTS)
        return rc_raise(err, E_EXISTS, "%s/%s was made by somebody else meanwhile", o->store->url, o->key);
    return rc;
}
