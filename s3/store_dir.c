/* SPDX-License-Identifier: Apache-2.0 */
#include "store_dir.h"

#include "alloc.h"
#include "store_dir_intern.h"
#include "store_dir_list.h"
#include "store_dir_put.h"
#include "store_dir_upload.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static_assert((uint64_t)STORE_DIR_PARTS_MAX * STORE_DIR_PART_SIZE <= INT64_MAX, "offsets of parts fit into off_t");

static struct store_dir *dir_of(struct store *s)
{
    return (struct store_dir *)s; /* `base` is the first member */
}

void store_dir_join(const struct store_dir *d, const char *name, store_dir_path out)
{
    int n = snprintf(out, STORE_DIR_PATH_SIZE, "%s/%s", d->root, name);

    assert(n > 0 && n < STORE_DIR_PATH_SIZE);
}

struct rc store_dir_explain(const struct store_dir *d, const char *path, struct err *err)
{
    store_dir_path level;
    struct stat st;

    assert(strlen(path) < sizeof level);
    memcpy(level, path, strlen(path) + 1);
    for (char *slash = level + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        if (d->fs->stat(d->fs, level, &st) == 0 && !S_ISDIR(st.st_mode))
            return rc_raise_sys(err, E_IO, ENOTDIR, "%s is a file where a directory is needed", level);
        *slash = '/';
    }
    return rc_raise(err, E_IO, "%s", err->msg);
}

/* --- reading and deleting ----------------------------------------------------------------------------------------- */

/* How much of an object of `size` bytes the request asks for. */
static struct rc range_of(const struct store_req *req, uint64_t size, size_t *out, struct err *err)
{
    uint64_t left;

    if (req->offset == 0 && req->length == 0 && size == 0) {
        *out = 0;
        return RC_OK;
    }
    if (req->offset >= size)
        return rc_raise(
            err, E_NOTFOUND, "offset %" PRIu64 " is behind the end of the object at %" PRIu64, req->offset, size);
    left = size - req->offset;
    if (req->length > 0 && req->length < left)
        left = req->length;
    if (left > STORE_GET_MAX)
        return rc_raise(err, E_CORRUPT, "the object has %" PRIu64 " bytes to its end, more than the limit of %d", left,
            STORE_GET_MAX);
    *out = (size_t)left;
    return RC_OK;
}

/* Objects never change, so the size holds for the read that follows; a file that shrinks is E_CORRUPT. */
static struct rc get_object(struct dir_work *w, struct err *err)
{
    struct store_req *req = w->req;
    CLEANUP(fsys_closep) struct fsys_fd f = {w->dir->fs, -1};
    store_dir_path path;
    struct stat st;
    size_t want = 0;

    store_dir_join(w->dir, req->key, path);
    /* Not to be caught by a pipe that somebody put there. */
    TRY(fsys_open(f.fs, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &f.fd, err));
    if (f.fs->fstat(f.fs, f.fd, &st) != 0)
        return rc_raise_sys(err, E_IO, errno, "stat %s", path);
    if (!S_ISREG(st.st_mode))
        return rc_raise(err, E_NOTFOUND, "%s is not a file", path);
    TRY(range_of(req, (uint64_t)st.st_size, &want, err));

    buf_init(&req->data, STORE_GET_MAX);
    if (want > 0) {
        uint8_t *to = buf_grow(&req->data, want);

        if (to == NULL)
            return buf_check(&req->data, path, err);
        TRY(fsys_read_at(f.fs, f.fd, path, to, want, req->offset, err));
    }
    req->size = (uint64_t)st.st_size;
    store_dir_put_keep(w->dir, req->key);
    return RC_OK;
}

static struct rc head_object(struct dir_work *w, struct err *err)
{
    const struct fsys *fs = w->dir->fs;
    store_dir_path path;
    struct stat st;

    store_dir_join(w->dir, w->req->key, path);
    if (fs->stat(fs, path, &st) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    if (!S_ISREG(st.st_mode))
        return rc_raise(err, E_NOTFOUND, "%s is not a file", path);
    w->req->size = (uint64_t)st.st_size;
    return RC_OK;
}

static struct rc delete_key(const struct dir_work *w, const char *key, struct err *err)
{
    const struct fsys *fs = w->dir->fs;
    store_dir_path path;

    store_dir_join(w->dir, key, path);
    store_dir_put_let_go(w->dir, key);
    /* A directory is no object, so nothing has this key. */
    if (fs->unlink(fs, path) == 0 || errno == ENOENT || errno == EISDIR)
        return RC_OK;
    return rc_raise_sys(err, rc_from_errno(errno), errno, "remove %s", path);
}

static struct rc delete_many(const struct dir_work *w, struct err *err)
{
    struct rc first = RC_OK;
    struct err other;

    for (size_t i = 0; i < w->req->key_count; i++) {
        bool failed = rc_failed(first);
        struct rc rc = delete_key(w, w->req->keys[i], failed ? &other : err);

        if (!failed)
            first = rc;
    }
    return first;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static struct rc run_verb(struct dir_work *w, struct err *err)
{
    switch (w->req->verb) {
    case STORE_PUT:
        return store_dir_put_object(w, err);
    case STORE_GET:
        return get_object(w, err);
    case STORE_LIST:
        return store_dir_list_keys(w, err);
    case STORE_DELETE:
        return delete_key(w, w->req->key, err);
    case STORE_UPLOAD_START:
        return store_dir_upload_start(w, err);
    case STORE_UPLOAD_PART:
        return store_dir_upload_part(w, err);
    case STORE_UPLOAD_FINISH:
        return store_dir_upload_finish(w, err);
    case STORE_UPLOAD_ABORT:
        return store_dir_upload_abort(w, err);
    case STORE_HEAD:
        return head_object(w, err);
    case STORE_DELETE_MANY:
        return delete_many(w, err);
    case STORE_UPLOAD_SWEEP: /* they are temporary files, which go by themselves */
        return RC_OK;
    }
    return rc_raise(err, E_BUG, "no such verb");
}

static struct rc say_what(const struct store_req *req, struct err *err)
{
    if (req->verb == STORE_DELETE_MANY)
        return rc_wrap(err, "delete %zu keys", req->key_count);
    if (req->verb == STORE_LIST && req->key[0] == 0)
        return rc_wrap(err, "list");
    return rc_wrap(err, "%s %s", store_verb_name(req->verb), req->key);
}

/* In a thread of the pool. */
static void on_run(uv_work_t *uv)
{
    struct dir_work *w = uv->data;
    struct store_req *req = w->req;
    store_dir_path path;
    struct rc rc;

    if (w->refused)
        return;
    if (req->if_match[0] != 0)
        rc = rc_raise(&req->err, E_UNSUPPORTED, "a directory cannot replace an object only if it is a certain one");
    else
        rc = run_verb(w, &req->err);
    if (rc_failed(rc) && req->err.sys == ENOTDIR) {
        store_dir_join(w->dir, req->key, path);
        rc = store_dir_explain(w->dir, path, &req->err);
    }
    if (!rc_failed(rc)) {
        req->err.code = E_OK; /* something on the way may have failed without harm */
        req->err.msg[0] = 0;
        return;
    }
    buf_fini(&req->data);
    rc_ignore(say_what(req, &req->err), "it is the request's answer");
}

static void on_anchor_closed(uv_handle_t *handle)
{
    struct store_dir *d = handle->data;
    void (*on_stopped)(void *ctx) = d->on_stopped;
    void *ctx = d->ctx;

    store_dir_put_forget(d);
    mem_free(d->keeper);
    uv_mutex_destroy(&d->lock);
    mem_free(d->root);
    mem_free(d->base.url);
    mem_free(d);
    on_stopped(ctx);
}

static void on_farewell(uv_work_t *uv)
{
    store_dir_upload_drop_all(uv->data);
}

static void on_farewell_done(uv_work_t *uv, int status)
{
    struct store_dir *d = uv->data;

    assert(status == 0);
    uv_close((uv_handle_t *)&d->anchor, on_anchor_closed);
}

/* Nobody can go on with an upload of a stopped store, so their files go away. */
static void close_when_idle(struct store_dir *d)
{
    int r;

    if (!d->stopping || d->closing || !LIST_EMPTY(&d->works))
        return;
    d->closing = true;
    if (d->uploads == NULL) {
        uv_close((uv_handle_t *)&d->anchor, on_anchor_closed);
        return;
    }
    d->farewell.data = d;
    r = uv_queue_work(d->loop, &d->farewell, on_farewell, on_farewell_done);
    assert(r == 0);
}

static void on_run_done(uv_work_t *uv, int status)
{
    struct dir_work *w = uv->data;
    struct store_dir *d = w->dir;
    struct store_req *req = w->req;

    if (status == UV_ECANCELED && !w->refused) {
        rc_ignore(rc_raise(&req->err, E_CANCELED, "the store is stopping"), "it is the request's answer");
        rc_ignore(say_what(req, &req->err), "it is the request's answer");
    }
    store_dir_upload_after(w);
    LIST_REMOVE(w, next);
    req->impl = NULL;
    mem_free(w);
    store_complete(
        &d->base, req); /* may submit more, or stop the store, which is not freed before the loop runs again */
    close_when_idle(d);
}

static bool sweep_is_due(struct store_dir *d, enum store_verb verb)
{
    uint64_t now = uv_now(d->loop);

    if (verb != STORE_PUT && verb != STORE_UPLOAD_START)
        return false;
    if (d->swept && now - d->swept_at_ms < (uint64_t)STORE_DIR_SWEEP_AGE_S * 1000)
        return false;
    d->swept = true;
    d->swept_at_ms = now;
    return true;
}

static void dir_submit(struct store *s, struct store_req *req)
{
    struct store_dir *d = dir_of(s);
    struct dir_work *w = mem_new(sizeof *w);
    int r;

    assert(!d->stopping);
    w->uv.data = w;
    w->dir = d;
    w->req = req;
    req->impl = w;
    LIST_INSERT_HEAD(&d->works, w, next);

    w->sweep = sweep_is_due(d, req->verb);
    if (rc_failed(store_dir_upload_before(w, &req->err))) {
        w->refused = true;
        rc_ignore(say_what(req, &req->err), "it is the request's answer");
    }
    r = uv_queue_work(d->loop, &w->uv, on_run, on_run_done);
    assert(r == 0); /* it fails only without a callback */
}

static void dir_stop(struct store *s, void (*on_stopped)(void *ctx), void *ctx)
{
    struct store_dir *d = dir_of(s);
    struct dir_work *w;

    assert(!d->stopping);
    d->stopping = true;
    d->on_stopped = on_stopped;
    d->ctx = ctx;
    /* What no thread has begun comes back as cancelled; the rest runs to its end. */
    LIST_FOREACH (w, &d->works, next)
        (void)uv_cancel((uv_req_t *)&w->uv);
    close_when_idle(d);
}

static const struct store_ops dir_ops = {.submit = dir_submit, .stop = dir_stop};

struct rc store_dir_open(uv_loop_t *loop, const struct fsys *fs, const char *root, struct store **out, struct err *err)
{
    size_t n = strlen(root);
    struct store_dir *d;
    int r;

    while (n > 0 && root[n - 1] == '/')
        n--;
    if (root[0] != '/')
        return rc_raise(err, E_CONFIG, "replica directory %.200s: the path is not absolute", root);
    if (n == 0)
        return rc_raise(err, E_CONFIG, "replica directory /: a directory below it is needed");
    if (n > STORE_DIR_ROOT_MAX)
        return rc_raise(err, E_CONFIG, "replica directory %.200s...: the path has %zu bytes, at most %d are possible",
            root, n, STORE_DIR_ROOT_MAX);

    d = mem_new(sizeof *d);
    d->fs = fs;
    d->loop = loop;
    d->root = mem_printf("%.*s", (int)n, root);
    d->base.ops = &dir_ops;
    d->base.url = mem_printf("file://%s", d->root);
    d->base.part_size = STORE_DIR_PART_SIZE;
    d->anchor.data = d;
    r = uv_mutex_init(&d->lock);
    assert(r == 0);
    r = uv_timer_init(loop, &d->anchor);
    assert(r == 0);
    *out = &d->base;
    return RC_OK;
}
