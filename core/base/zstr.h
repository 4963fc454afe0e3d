/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zstr - zstd with limits and prefixes.
 *
 * One frame at a time, no dictionary, no content size trusted.  The prefix (earlier bytes the data resembles) is not
 * stored: whoever decompresses must bring exactly the same one.  Contexts are reused between calls and belong to one
 * thread at a time.
 *
 * Limits: input and prefix together at most ZSTR_MAX bytes, which bounds the window and so the memory of both sides.
 */
#ifndef ZSTR_H
#define ZSTR_H

#include "buf.h"

enum { ZSTR_MAX = 32 << 20 };

struct zstr_enc;
struct zstr_dec;

/* `level` as in zstd (1 to 19).  Aborts without memory for the small context; zstd's own tables are E_NOMEM later. */
struct zstr_enc *zstr_enc_new(int level);
void zstr_enc_free(struct zstr_enc *z);
struct zstr_dec *zstr_dec_new(void);
void zstr_dec_free(struct zstr_dec *z);
void zstr_enc_freep(struct zstr_enc **z);
void zstr_dec_freep(struct zstr_dec **z);

/* Memory that the context holds at present. */
size_t zstr_enc_memory(const struct zstr_enc *z);

/* Append one frame with `data`, compressed against `prefix` (may be empty), to `out`. */
MUST_USE struct rc zstr_compress(
    struct zstr_enc *z, struct span prefix, struct span data, struct buf *out, struct err *err);

/* Decompress one whole frame into exactly `size` bytes at `out`.  E_CORRUPT when the frame is malformed, yields another
 * size or has trailing bytes; never writes past `size`. */
MUST_USE struct rc zstr_decompress(
    struct zstr_dec *z, struct span prefix, struct span frame, void *out, size_t size, struct err *err);

#endif
