/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a growing byte buffer with a maximum given at birth.
 *
 * Appending past the maximum, or without memory, sets a sticky `failed` code and changes nothing; buf_check() turns it
 * into an error.  So an encoder appends freely and checks once.
 */
#ifndef BUF_H
#define BUF_H

#include "span.h"

struct buf {
    uint8_t *data; /* owned; malloc'ed */
    size_t size, room, max;
    enum err_code failed; /* E_OK, E_NOMEM, or E_NOSPACE (over the maximum) */
};

void buf_init(struct buf *b, size_t max);
/* Frees; the buf can be used again with the same maximum.  Fine on a zeroed struct. */
void buf_fini(struct buf *b);
/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);

void buf_put(struct buf *b, const void *data, size_t n);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
void buf_varint(struct buf *b, uint64_t v);
void buf_text(struct buf *b, const char *text);
PRINTF(2, 3) void buf_printf(struct buf *b, const char *fmt, ...);
/* Room for `n` more bytes, uninitialized, at the returned address; NULL when failed.  Counts as appended. */
uint8_t *buf_grow(struct buf *b, size_t n);
/* Room for `n` more bytes at once, where it is known how many will come.  Counts as nothing; may set `failed`. */
void buf_reserve(struct buf *b, size_t n);
/* Cut back to `n` bytes (n <= size). */
void buf_trim(struct buf *b, size_t n);
/* The content as a 0-terminated string (the 0 is not counted), valid until the next change; "" when failed. */
const char *buf_str(struct buf *b);

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->data, b->size);
}

MUST_USE struct rc buf_check(const struct buf *b, const char *what, struct err *err);

#endif
