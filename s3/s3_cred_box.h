/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_cred_box - one set of credentials, in memory of its own: whole pages that are left out of core files, locked
 * against swapping when the system allows it, and wiped before they are given back.
 *
 *     box = s3_cred_box_new()                                   NULL: no memory
 *     s3_cred_box_put(box, S3_CRED_SECRET_KEY, value, "profile a in /x", E_CONFIG, err)
 *     s3_cred_box_free(box)
 *
 * Texts on the way (a file, an answer, a program's output) live in the same kind of memory:
 *
 *     CLEANUP(s3_cred_box_buf_end) struct buf text;
 *     s3_cred_box_buf(&text, limit)                             then as any struct buf, but never buf_fini() it
 *
 * Errors name the field, never its content.
 */
#ifndef S3_CRED_BOX_H
#define S3_CRED_BOX_H

#include "buf.h"

enum {
    S3_CRED_BOX_KEY_MAX = 1024, /* AWS: 128; stores that use tokens as keys: longer */
    S3_CRED_BOX_TOKEN_MAX = 16 << 10,
    S3_CRED_BOX_SOURCE_SIZE = 256,
};

enum s3_cred_field { S3_CRED_ACCESS_KEY, S3_CRED_SECRET_KEY, S3_CRED_SESSION_TOKEN };

struct s3_cred_box {
    char access_key[S3_CRED_BOX_KEY_MAX + 1], secret_key[S3_CRED_BOX_KEY_MAX + 1];
    char session_token[S3_CRED_BOX_TOKEN_MAX + 1]; /* "": none */
    char source[S3_CRED_BOX_SOURCE_SIZE];          /* for people */
    int64_t expires_ms;                            /* wall clock; 0: never */
};

struct s3_cred_box *s3_cred_box_new(void);
void s3_cred_box_free(struct s3_cred_box *box);
void s3_cred_box_freep(struct s3_cred_box **box);
/* Set one field.  Too long, empty, or with characters that cannot stand in a header: `code`, with `where` in the text.
 */
MUST_USE struct rc s3_cred_box_put(struct s3_cred_box *box, enum s3_cred_field field, struct span value,
    const char *where, enum err_code code, struct err *err);
PRINTF(2, 3) void s3_cred_box_from(struct s3_cred_box *box, const char *fmt, ...);

/* An empty buffer with room for `max` bytes, which never moves; without memory it is a failed one. */
void s3_cred_box_buf(struct buf *b, size_t max);
void s3_cred_box_buf_end(struct buf *b);
/* The file `path` from now on, without the white space at its end.  Errors as fsys_read_file(); E_CORRUPT when it holds
 * something that is no text in one line. */
struct fsys;
MUST_USE struct rc s3_cred_box_read_line(const struct fsys *fs, const char *path, struct buf *out, struct err *err);
/* For texts that were not made by s3_cred_box_buf(): wipe what they hold. */
void s3_cred_box_wipe(struct buf *b);

#endif
