/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3_intern - what the parts of the S3 store share.
 *
 * A request becomes a `struct s3_op`, which makes one call after the other:
 *
 *     store_s3_call(op, STORE_GET, "GET", key); s3_call_header(&op->call, ...)
 *     store_s3_send(op, take_answer)         take_answer(op) looks at op->call, and sends again or ends the op:
 *     store_s3_end(op, rc)                   the error, if any, is in op->req->err
 *
 * Loop thread only.
 */
#ifndef STORE_S3_INTERN_H
#define STORE_S3_INTERN_H

#include "s3_client.h"
#include "store_s3.h"

enum {
    STORE_S3_UPLOADS_MAX = 64,
    STORE_S3_PARTS_MAX = 10000, /* S3's own limit */
    STORE_S3_ID_SIZE = 33,
};

/* Above this an object is copied in pieces: a request for more may say nothing for longer than we wait. */
#define STORE_S3_COPY_MAX (1ULL << 30)

struct s3_store {
    struct store base; /* must be first */
    struct store_env *env;
    struct s3_config *config;  /* owned */
    struct s3_client *client;  /* owned */
    LIST_HEAD(, s3_op) ops;    /* in flight */
    struct s3_upload *uploads; /* owned */
    unsigned upload_count;
    uint64_t copy_max;             /* STORE_S3_COPY_MAX; tests make it small */
    bool known_to_lack_conditions; /* by configuration, or as this kind of store */
    bool no_batch_delete;          /* known, or found out */
    bool no_copy;                  /* known, or found out */
    bool etag_unquoted;            /* for If-Match; configured, or found out */
    bool stopping;
    void (*on_stopped)(void *ctx);
    void *ctx;
};

struct s3_listing;
struct s3_sweep;
struct s3_copy;
struct s3_carry;

struct s3_op {
    struct s3_call call;
    struct s3_store *store;
    struct store_req *req;
    LIST_ENTRY(s3_op) next;
    struct s3_later later;
    void (*take)(struct s3_op *op);
    struct buf text;            /* a body that was made here */
    struct s3_listing *listing; /* LIST; owned */
    struct s3_sweep *sweep;     /* SWEEP; owned */
    struct s3_upload *upload;   /* PART, FINISH, ABORT: borrowed */
    struct s3_copy *copy;       /* FINISH: owned */
    struct s3_carry *carry;     /* FINISH: owned */
    const char *same_key;       /* FINISH: borrowed; of the object that is compared with what was sent */
    uint32_t same_part;
    void (*same_done)(struct s3_op *op, struct rc rc, bool same);
    struct s3_op *wait_next;                      /* PART: of those that wait for the upload's id */
    struct span body;                             /* what a PUT puts */
    bool unquoted, flipped;                       /* PUT with if_match: how it was sent; both ways were tried */
    void (*then)(struct s3_op *op, struct rc rc); /* what a PUT is a part of; NULL: it is all */
    struct err denied;                            /* GET: what the store said before its listing was looked at */
};

/* Prepare the op's next call; the former one is gone. */
void store_s3_call(struct s3_op *op, int kind, const char *method, const char *key);
void store_s3_send(struct s3_op *op, void (*take)(struct s3_op *op));
/* The outcome of the op's call, with its error in the request. */
MUST_USE struct rc store_s3_result(struct s3_op *op);

/* Begin a multipart upload of `key`; `take` hears of it, and asks for its id, which it owns then. */
void store_s3_create(struct s3_op *op, const char *key, void (*take)(struct s3_op *op));
MUST_USE struct rc store_s3_created(struct s3_op *op, char **id);

void store_s3_end(struct s3_op *op, struct rc rc);
/* The same, later: for what ends without a call. */
void store_s3_end_later(struct s3_op *op, struct rc rc);

/* Headers: how a new object is kept; the key that customers keep themselves, for all requests that read or write an
 * object's bytes; and the same for the source of a copy. */
void store_s3_add_storage(const struct s3_store *s, struct s3_call *call);
void store_s3_add_customer_key(const struct s3_store *s, struct s3_call *call, bool of_source);
/* The ETag header, "" when there is none or it is too long. */
void store_s3_take_etag(const struct s3_call *call, char out[STORE_ETAG_SIZE]);
/* Append the body of CompleteMultipartUpload: the parts' ETags stand `stride` bytes apart. */
void store_s3_write_parts(struct buf *out, const char *first_etag, size_t stride, uint32_t count);
/* The Date header: the store's clock; 0: there is none that can be read. */
int64_t store_s3_date(const struct s3_call *call);
/* HEAD's Content-Length. */
MUST_USE struct rc store_s3_head_size(const struct s3_call *call, uint64_t *out, struct err *err);

#endif
