/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span - borrowed bytes, and a cursor that reads from them without ever going past the end.
 *
 * A cursor is sticky: the first read that does not fit sets `bad`, and every later read yields zeros.  So a decoder
 * reads all fields and checks once, with cursor_check().
 *
 * Integers in weir's own formats are little-endian; varints are LEB128 (7 bits a byte, at most 10 bytes), of
 * which only the shortest form is valid.
 */
#ifndef SPAN_H
#define SPAN_H

#include "rc.h"

#include <stdint.h>

struct span {
    const uint8_t *data;
    size_t size;
};

struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static inline struct span span_of(const void *data, size_t size)
{
    return (struct span){(const uint8_t *)data, size};
}

struct cursor cursor_of(struct span bytes);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint64_t cursor_varint(struct cursor *c);
/* A varint that must be at most `max`; a larger one sets `bad` and yields 0. */
uint64_t cursor_varint_max(struct cursor *c, uint64_t max);
/* `n` bytes, borrowed from the input; an empty span when they are not there. */
struct span cursor_bytes(struct cursor *c, size_t n);
size_t cursor_left(const struct cursor *c);
/* E_CORRUPT "`what`: cut short or malformed" when any read so far did not fit. */
MUST_USE struct rc cursor_check(const struct cursor *c, const char *what, struct err *err);
/* The same, and nothing may be left over. */
MUST_USE struct rc cursor_finish(const struct cursor *c, const char *what, struct err *err);

#endif
