/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3_upload - objects in parts.
 *
 *     LAZY      nothing was sent; a single part that is not full is kept here, and FINISH is a plain PUT
 *     CREATING  the multipart upload is being made; parts wait for its id
 *     OPEN      parts go to the store
 *     COMPLETE  the store has put them together, below .tmp/ unless the key was final
 *     COPIED    it has its name
 *
 * FINISH goes on from the state in which an earlier one failed, so it can be repeated.
 */
#ifndef STORE_S3_UPLOAD_H
#define STORE_S3_UPLOAD_H

#include "s3_sign.h"
#include "store_s3_intern.h"

enum s3_upload_state {
    S3_UPLOAD_LAZY,
    S3_UPLOAD_CREATING,
    S3_UPLOAD_OPEN,
    S3_UPLOAD_COMPLETE,
    S3_UPLOAD_COPIED,
};

struct s3_upload_part {
    char etag[STORE_ETAG_SIZE]; /* "": not there */
    char md5[S3_SIGN_MD5_SIZE]; /* of its bytes; "": not known */
    uint64_t size;
};

struct s3_upload {
    struct s3_upload *next;
    char id[STORE_S3_ID_SIZE];
    char start_key[STORE_KEY_MAX + 1]; /* of START: what PART and ABORT must name */
    char key[STORE_KEY_MAX + 1];       /* where the store puts it together */
    bool key_final;
    enum s3_upload_state state;
    size_t part_size;  /* of all parts but the last */
    char *s3_id;       /* owned; the store's */
    struct buf single; /* part 1, when it is not full */
    bool has_single;
    struct s3_upload_part *parts; /* owned */
    uint32_t part_room;
    struct s3_op *waiting; /* for the id, by `wait_next` */
    unsigned in_flight;
    bool ending;      /* FINISH or ABORT is under way */
    bool looked;      /* FINISH with create_only: the final key was free */
    bool put_unknown; /* FINISH by a PUT failed, and nobody knows whether it was done */
};

void store_s3_upload_start(struct s3_op *op);
void store_s3_upload_part(struct s3_op *op);
void store_s3_upload_finish(struct s3_op *op);
void store_s3_upload_abort(struct s3_op *op);
/* The store stops: forget all. */
void store_s3_upload_drop_all(struct s3_store *s);

/* --- for store_s3_finish.c ---------------------------------------------------------------------- */

void store_s3_upload_forget(struct s3_store *s, struct s3_upload *u);

#endif
