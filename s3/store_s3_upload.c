/* SPDX-License-Identifier: Apache-2.0 */
#include "store_s3_upload.h"

#include "alloc.h"
#include "rng.h"
#include "store_s3_finish.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- the table ---------------------------------------------------------------------------------------------------- */

/* FINISH gives the final key; everything else must name the one of START. */
static struct s3_upload *find(const struct s3_store *s, const struct store_req *req)
{
    struct s3_upload *u = s->uploads;

    while (u != NULL && strcmp(u->id, req->upload) != 0)
        u = u->next;
    if (u != NULL && req->verb != STORE_UPLOAD_FINISH && strcmp(u->start_key, req->key) != 0)
        return NULL;
    return u;
}

static void upload_free(struct s3_upload *u)
{
    mem_free(u->s3_id);
    mem_free(u->parts);
    buf_fini(&u->single);
    mem_free(u);
}

void store_s3_upload_forget(struct s3_store *s, struct s3_upload *u)
{
    struct s3_upload **at = &s->uploads;

    assert(u->in_flight == 0);
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    s->upload_count--;
    upload_free(u);
}

void store_s3_upload_drop_all(struct s3_store *s)
{
    while (s->uploads != NULL)
        store_s3_upload_forget(s, s->uploads);
}

static struct rc make_part_room(struct s3_upload *u, uint32_t part, struct err *err)
{
    uint32_t room = u->part_room;
    struct s3_upload_part *parts;

    if (part <= room)
        return RC_OK;
    for (room = room == 0 ? 64 : room; room < part;)
        room *= 2;
    parts = mem_resize(u->parts, room, sizeof *parts);
    if (parts == NULL)
        return rc_raise(err, E_NOMEM, "a table of %" PRIu32 " parts", room);
    memset(parts + u->part_room, 0, (room - u->part_room) * sizeof *parts);
    u->parts = parts;
    u->part_room = room;
    return RC_OK;
}

enum {
    EXPECTED_PARTS = 9000, /* of STORE_S3_PARTS_MAX: what is expected may become a little more */
    PART_STEP = 1 << 20,
};

/* --- START -------------------------------------------------------------------------------------------------------- */

static void random_id(char out[STORE_S3_ID_SIZE])
{
    uint8_t bytes[STORE_S3_ID_SIZE / 2];

    rng_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* The number of parts has a limit, and their size is the memory that they take: so it grows only when it must. */
static size_t part_size_for(uint64_t expected, size_t usual)
{
    const uint64_t needed = expected / EXPECTED_PARTS + 1;
    const uint64_t rounded = (needed + PART_STEP - 1) / PART_STEP * PART_STEP;

    if (needed <= usual)
        return usual;
    return rounded < STORE_PART_MAX ? (size_t)rounded : STORE_PART_MAX;
}

void store_s3_upload_start(struct s3_op *op)
{
    struct s3_store *s = op->store;
    struct store_req *req = op->req;
    struct s3_upload *u;

    if (s->upload_count == STORE_S3_UPLOADS_MAX) {
        store_s3_end_later(
            op, rc_raise(&req->err, E_BUSY, "%d uploads are under way, which is the limit", STORE_S3_UPLOADS_MAX));
        return;
    }
    u = mem_new(sizeof *u);
    random_id(u->id);
    memcpy(u->start_key, req->key, sizeof u->start_key);
    u->key_final = req->key_final;
    u->part_size = req->part_size = part_size_for(req->expected, s->base.part_size);
    if (u->key_final)
        memcpy(u->key, req->key, sizeof u->key);
    else
        (void)snprintf(u->key, sizeof u->key, ".tmp/%s", u->id);
    u->next = s->uploads;
    s->uploads = u;
    s->upload_count++;
    req->upload_id = mem_strdup(u->id);
    store_s3_end_later(op, RC_OK);
}

/* --- PART --------------------------------------------------------------------------------------------------------- */

static void end_part(struct s3_op *op, struct rc rc)
{
    op->upload->in_flight--;
    store_s3_end(op, rc);
}

static void on_part(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);
    struct s3_upload_part *part = &op->upload->parts[op->req->part - 1];

    if (!rc_failed(rc)) {
        store_s3_take_etag(&op->call, part->etag);
        memcpy(part->md5, op->call.md5, sizeof part->md5);
        if (part->etag[0] == 0)
            rc = rc_raise(&op->req->err, E_CORRUPT, "an answer without the part's ETag");
    }
    end_part(op, rc);
}

static void send_part(struct s3_op *op)
{
    const struct store_req *req = op->req;
    struct s3_upload *u = op->upload;
    char number[16];

    store_s3_call(op, STORE_UPLOAD_PART, "PUT", u->key);
    op->call.body = req->body;
    op->call.with_md5 = true;
    (void)snprintf(number, sizeof number, "%" PRIu32, req->part);
    s3_call_param(&op->call, "partNumber", number);
    s3_call_param(&op->call, "uploadId", u->s3_id);
    store_s3_add_customer_key(op->store, &op->call, false);
    u->parts[req->part - 1] = (struct s3_upload_part){.size = req->body.size};
    store_s3_send(op, on_part);
}

/* All parts that came meanwhile, and the one that had the upload made. */
static void on_created(struct s3_op *op)
{
    struct s3_upload *u = op->upload;
    struct s3_op *waiting = u->waiting, *next;
    struct rc rc = store_s3_created(op, &u->s3_id);
    struct err err;

    err = op->req->err;
    u->waiting = NULL;
    u->state = rc_failed(rc) ? S3_UPLOAD_LAZY : S3_UPLOAD_OPEN;
    for (; waiting != NULL; waiting = next) {
        next = waiting->wait_next;
        if (!rc_failed(rc)) {
            send_part(waiting);
            continue;
        }
        waiting->req->err = err;
        waiting->req->retry_after_ms = op->req->retry_after_ms;
        end_part(waiting, rc);
    }
    if (rc_failed(rc))
        end_part(op, rc);
    else
        send_part(op);
}

static void create(struct s3_op *op)
{
    struct s3_upload *u = op->upload;

    u->state = S3_UPLOAD_CREATING;
    store_s3_create(op, u->key, on_created);
}

static struct rc check_part(struct s3_op *op, struct err *err)
{
    struct s3_upload *u = op->upload;
    const struct store_req *req = op->req;
    uint32_t part = req->part;

    if (u == NULL)
        return rc_raise(err, E_NOTFOUND, "no such upload of this key is open");
    if (u->ending || u->state > S3_UPLOAD_OPEN)
        return rc_raise(err, E_BUSY, "the upload is being ended");
    if (part > STORE_S3_PARTS_MAX)
        return rc_raise(err, E_UNSUPPORTED,
            "part %" PRIu32 ": an upload has at most %d parts, here of %zu bytes: a larger part-size is needed", part,
            STORE_S3_PARTS_MAX, u->part_size);
    if (req->body.size > u->part_size)
        return rc_raise(
            err, E_BUG, "part %" PRIu32 " has %zu bytes, more than %zu", part, req->body.size, u->part_size);
    if (u->has_single && part > 1)
        return rc_raise(
            err, E_BUG, "part %" PRIu32 " behind part 1 of %zu bytes, which is the last", part, u->single.size);
    return make_part_room(u, part, err);
}

static struct rc keep_single(struct s3_op *op, struct err *err)
{
    struct s3_upload *u = op->upload;

    buf_fini(&u->single);
    buf_init(&u->single, u->part_size);
    buf_put(&u->single, op->req->body.data, op->req->body.size);
    TRY(buf_check(&u->single, "the only part", err));
    u->has_single = true;
    return RC_OK;
}

void store_s3_upload_part(struct s3_op *op)
{
    struct store_req *req = op->req;
    struct s3_upload *u = op->upload = find(op->store, req);
    struct rc rc = check_part(op, &req->err);

    if (rc_failed(rc)) {
        store_s3_end_later(op, rc);
        return;
    }
    if (u->state == S3_UPLOAD_LAZY && req->part == 1 && req->body.size < u->part_size) {
        store_s3_end_later(op, keep_single(op, &req->err));
        return;
    }
    u->has_single = false;
    u->in_flight++;
    if (u->state == S3_UPLOAD_OPEN)
        send_part(op);
    else if (u->state == S3_UPLOAD_LAZY)
        create(op);
    else {
        op->wait_next = u->waiting;
        u->waiting = op;
    }
}

/* --- FINISH and ABORT --------------------------------------------------------------------------------------------- */

/* All parts but the last have to be full. */
static struct rc check_parts(const struct s3_op *op, struct err *err)
{
    const struct s3_upload *u = op->upload;
    uint32_t count = op->req->part;

    if (u->has_single && count == 1)
        return RC_OK;
    for (uint32_t i = 0; i < count; i++) {
        if (i >= u->part_room || u->parts[i].etag[0] == 0)
            return rc_raise(err, E_BUG, "part %" PRIu32 " of %" PRIu32 " is missing", i + 1, count);
        if (i + 1 < count && u->parts[i].size != u->part_size)
            return rc_raise(err, E_BUG, "part %" PRIu32 " of %" PRIu32 " is too short: %" PRIu64 " of %zu bytes", i + 1,
                count, u->parts[i].size, u->part_size);
    }
    for (uint32_t i = count; i < u->part_room; i++) {
        if (u->parts[i].etag[0] != 0)
            return rc_raise(err, E_BUG, "part %" PRIu32 " is there, %" PRIu32 " were announced", i + 1, count);
    }
    return RC_OK;
}

static struct rc check_end(const struct s3_op *op, struct err *err)
{
    const struct s3_upload *u = op->upload;

    if (u->ending || u->in_flight > 0)
        return rc_raise(err, E_BUSY, "%u requests of the upload are still under way", u->in_flight + u->ending);
    if (op->req->verb == STORE_UPLOAD_ABORT)
        return RC_OK;
    if (u->key_final && strcmp(u->key, op->req->key) != 0)
        return rc_raise(err, E_BUG, "the upload was begun for %s", u->key);
    return check_parts(op, err);
}

void store_s3_upload_finish(struct s3_op *op)
{
    struct err *err = &op->req->err;
    struct rc rc;

    op->upload = find(op->store, op->req);
    rc = op->upload != NULL ? check_end(op, err) : rc_raise(err, E_NOTFOUND, "no such upload is open");
    if (rc_failed(rc)) {
        store_s3_end_later(op, rc);
        return;
    }
    op->upload->ending = true;
    store_s3_finish_begin(op);
}

static void on_aborted(struct s3_op *op)
{
    struct rc rc = store_s3_result(op);

    op->upload->ending = false;
    if (rc.code == E_NOTFOUND)
        rc = RC_OK;
    if (!rc_failed(rc))
        store_s3_upload_forget(op->store, op->upload);
    store_s3_end(op, rc);
}

void store_s3_upload_abort(struct s3_op *op)
{
    struct s3_upload *u = op->upload = find(op->store, op->req);
    struct rc rc = u != NULL ? check_end(op, &op->req->err) : RC_OK;
    bool complete = u != NULL && u->state >= S3_UPLOAD_COMPLETE;

    if (rc_failed(rc) || u == NULL) {
        store_s3_end_later(op, rc); /* aborted or finished before: as it should be */
        return;
    }
    /* Nothing was sent, or the object stands under its final name: FINISH was carried out, whatever it answered. */
    if (u->state == S3_UPLOAD_LAZY || (complete && u->key_final)) {
        store_s3_upload_forget(op->store, u);
        store_s3_end_later(op, RC_OK);
        return;
    }
    u->ending = true;
    store_s3_call(op, complete ? STORE_DELETE : STORE_UPLOAD_ABORT, "DELETE", u->key);
    if (!complete)
        s3_call_param(&op->call, "uploadId", u->s3_id);
    store_s3_send(op, on_aborted);
}
