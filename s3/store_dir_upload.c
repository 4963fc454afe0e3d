/* SPDX-License-Identifier: Apache-2.0 */
#include "store_dir_upload.h"

#include "alloc.h"
#include "store_dir_put.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* --- the table, on the loop thread -------------------------------------------------------------------------------- */

/* FINISH gives the final key; everything else must name the one of START. */
static struct dir_upload *find(const struct store_dir *d, const struct store_req *req)
{
    struct dir_upload *u = d->uploads;

    while (u != NULL && strcmp(u->name, req->upload) != 0)
        u = u->next;
    if (u != NULL && req->verb != STORE_UPLOAD_FINISH && strcmp(u->key, req->key) != 0)
        return NULL;
    return u;
}

static bool has_part(const struct dir_upload *u, uint32_t part)
{
    uint32_t bit = part - 1;

    return bit < u->part_room && (u->parts[bit / 8] >> bit % 8 & 1) != 0;
}

static void set_part(struct dir_upload *u, uint32_t part, bool there)
{
    uint32_t bit = part - 1;
    uint8_t mask = (uint8_t)(1u << bit % 8);

    assert(bit < u->part_room);
    if (has_part(u, part) == there)
        return;
    u->parts[bit / 8] ^= mask;
    u->part_count = there ? u->part_count + 1 : u->part_count - 1;
}

static struct rc make_part_room(struct dir_upload *u, uint32_t part, struct err *err)
{
    uint32_t room = u->part_room;
    uint8_t *parts;

    if (part > STORE_DIR_PARTS_MAX)
        return rc_raise(err, E_UNSUPPORTED, "part %" PRIu32 ": an upload has at most %d parts of %d bytes", part,
            STORE_DIR_PARTS_MAX, STORE_DIR_PART_SIZE);
    if (part <= room)
        return RC_OK;
    for (room = room == 0 ? 1024 : room; room < part;)
        room *= 2;
    parts = mem_resize(u->parts, room / 8, 1);
    if (parts == NULL)
        return rc_raise(err, E_NOMEM, "a table of %" PRIu32 " parts", room);
    memset(parts + u->part_room / 8, 0, (room - u->part_room) / 8);
    u->parts = parts;
    u->part_room = room;
    return RC_OK;
}

/* A part counts from its success on; what is overwritten does not count meanwhile. */
static struct rc before_part(struct dir_upload *u, const struct store_req *req, struct err *err)
{
    if (u->ending)
        return rc_raise(err, E_BUSY, "the upload is being ended");
    if (req->body.size > STORE_DIR_PART_SIZE)
        return rc_raise(
            err, E_BUG, "part %" PRIu32 " has %zu bytes, more than %d", req->part, req->body.size, STORE_DIR_PART_SIZE);
    TRY(make_part_room(u, req->part, err));
    if (req->body.size < STORE_DIR_PART_SIZE) {
        if (u->part_short != 0 && u->part_short != req->part)
            return rc_raise(err, E_BUG, "part %" PRIu32 " has %zu bytes, but part %" PRIu32 " is the last already",
                req->part, req->body.size, u->part_short);
        u->part_short = req->part;
        u->short_size = req->body.size;
    } else if (u->part_short == req->part)
        u->part_short = 0;
    set_part(u, req->part, false);
    return RC_OK;
}

static struct rc before_end(struct dir_upload *u, const struct store_req *req, struct err *err)
{
    if (u->in_flight > 0)
        return rc_raise(err, E_BUSY, "%u requests of the upload are still under way", u->in_flight);
    if (req->verb == STORE_UPLOAD_FINISH) {
        if (u->part_count != req->part)
            return rc_raise(
                err, E_BUG, "%" PRIu32 " parts are there, %" PRIu32 " were announced", u->part_count, req->part);
        for (uint32_t part = 1; part <= req->part; part++) {
            if (!has_part(u, part))
                return rc_raise(err, E_BUG, "part %" PRIu32 " of %" PRIu32 " is missing", part, req->part);
        }
        if (u->part_short != 0 && u->part_short != req->part)
            return rc_raise(err, E_BUG, "part %" PRIu32 " of %" PRIu32 " is too short: %zu of %d bytes", u->part_short,
                req->part, u->short_size, STORE_DIR_PART_SIZE);
    }
    u->ending = true;
    return RC_OK;
}

struct rc store_dir_upload_before(struct dir_work *w, struct err *err)
{
    const struct store_req *req = w->req;
    struct store_dir *d = w->dir;
    struct dir_upload *u;

    if (req->verb == STORE_UPLOAD_START) {
        if (d->upload_count == STORE_DIR_UPLOADS_MAX)
            return rc_raise(err, E_BUSY, "%d uploads are under way, which is the limit", STORE_DIR_UPLOADS_MAX);
        d->upload_count++; /* given back when it fails */
        w->counted = true;
        return RC_OK;
    }
    if (req->verb != STORE_UPLOAD_PART && req->verb != STORE_UPLOAD_FINISH && req->verb != STORE_UPLOAD_ABORT)
        return RC_OK;

    u = find(d, req);
    if (u == NULL && req->verb == STORE_UPLOAD_ABORT)
        return RC_OK; /* aborted or finished before: as it should be */
    if (u == NULL)
        return rc_raise(err, E_NOTFOUND, "no such upload of this key is open");
    TRY(req->verb == STORE_UPLOAD_PART ? before_part(u, req, err) : before_end(u, req, err));
    u->in_flight++;
    w->upload = u;
    return RC_OK;
}

static void forget(struct store_dir *d, struct dir_upload *u)
{
    struct dir_upload **at = &d->uploads;

    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    d->upload_count--;
    mem_free(u->parts);
    mem_free(u);
}

void store_dir_upload_after(struct dir_work *w)
{
    struct store_req *req = w->req;
    struct store_dir *d = w->dir;
    struct dir_upload *u = w->upload;
    bool ok = req->err.code == E_OK;

    if (req->verb == STORE_UPLOAD_START) {
        if (ok) {
            u->next = d->uploads;
            d->uploads = u;
            req->upload_id = mem_strdup(u->name);
        } else if (w->counted)
            d->upload_count--;
        return;
    }
    if (u == NULL)
        return;
    u->in_flight--;
    if (req->verb == STORE_UPLOAD_PART && ok)
        set_part(u, req->part, true);
    if (req->verb != STORE_UPLOAD_PART)
        u->ending = false;
    if (w->upload_gone)
        forget(d, u);
}

/* --- the work, in a thread of the pool ---------------------------------------------------------------------------- */

struct rc store_dir_upload_start(struct dir_work *w, struct err *err)
{
    CLEANUP(mem_freep) struct dir_upload *u = mem_new(sizeof *u);

    TRY(store_dir_put_temp(w, 'u', u->name, &u->fd, err));
    memcpy(u->key, w->req->key, sizeof u->key);
    w->upload = MOVE(u);
    return RC_OK;
}

struct rc store_dir_upload_part(struct dir_work *w, struct err *err)
{
    const struct store_req *req = w->req;
    char what[STORE_DIR_NAME_SIZE + 32];

    (void)snprintf(what, sizeof what, "temporary file %s", w->upload->name);
    return fsys_write_at(w->dir->fs, w->upload->fd, what, req->body.data, req->body.size,
        (uint64_t)(req->part - 1) * STORE_DIR_PART_SIZE, err);
}

/* A failed close is of no interest: either the file was synced, or it is thrown away. */
static void end(struct dir_work *w, bool discard)
{
    const struct fsys *fs = w->dir->fs;

    if (discard)
        store_dir_put_discard(w->dir, w->upload->name);
    (void)fs->close(fs, w->upload->fd); /* see above */
    w->upload_gone = true;
}

/* After a failed fsync nobody knows what is in the file, so it is not used any more.  When only the name could not be
 * given, the upload stays and FINISH can be tried again. */
struct rc store_dir_upload_finish(struct dir_work *w, struct err *err)
{
    const struct fsys *fs = w->dir->fs;
    struct dir_upload *u = w->upload;
    uint64_t size =
        (uint64_t)(w->req->part - 1) * STORE_DIR_PART_SIZE + (u->part_short != 0 ? u->short_size : STORE_DIR_PART_SIZE);
    bool moved;
    struct rc rc;

    /* A part whose last try failed, or that was longer at first, may have left something behind the end. */
    if (fs->ftruncate(fs, u->fd, (off_t)size) != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "set size of temporary file %s", u->name);
    if (fs->fsync(fs, u->fd) != 0) {
        rc = rc_raise_sys(err, rc_from_errno(errno), errno, "fsync temporary file %s", u->name);
        end(w, true);
        return rc;
    }
    rc = store_dir_put_name(w, u->name, &moved, err);
    if (moved)
        end(w, false);
    return rc;
}

struct rc store_dir_upload_abort(struct dir_work *w, struct err *err)
{
    (void)err; /* what cannot be removed is swept later */
    if (w->upload != NULL)
        end(w, true);
    return RC_OK;
}

void store_dir_upload_drop_all(struct store_dir *d)
{
    while (d->uploads != NULL) {
        struct dir_upload *u = d->uploads;

        store_dir_put_discard(d, u->name);
        (void)d->fs->close(d->fs, u->fd); /* the file is thrown away */
        forget(d, u);
    }
}
