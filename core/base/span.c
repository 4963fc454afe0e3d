/* SPDX-License-Identifier: Apache-2.0 */
#include "span.h"

#include <string.h>

struct cursor cursor_of(struct span bytes)
{
    static const uint8_t none[1]; /* arithmetic on a NULL pointer is undefined, even by 0 */

    if (bytes.data == NULL || bytes.size == 0)
        return (struct cursor){none, none, false};
    return (struct cursor){bytes.data, bytes.data + bytes.size, false};
}

size_t cursor_left(const struct cursor *c)
{
    return c->bad ? 0 : (size_t)(c->end - c->at);
}

/* The next `n` bytes, or NULL and `bad`. */
static const uint8_t *take(struct cursor *c, size_t n)
{
    const uint8_t *at = c->at;

    if (cursor_left(c) < n) {
        c->bad = true;
        return NULL;
    }
    if (n > 0)
        c->at += n;
    return at;
}

static uint64_t little_endian(struct cursor *c, unsigned n)
{
    const uint8_t *p = take(c, n);
    uint64_t v = 0;

    for (unsigned i = 0; p != NULL && i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)little_endian(c, 1);
}

uint16_t cursor_u16(struct cursor *c)
{
    return (uint16_t)little_endian(c, 2);
}

uint32_t cursor_u32(struct cursor *c)
{
    return (uint32_t)little_endian(c, 4);
}

uint64_t cursor_u64(struct cursor *c)
{
    return little_endian(c, 8);
}

/* Only the shortest form is taken, so that a value has one encoding. */
uint64_t cursor_varint(struct cursor *c)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = cursor_u8(c);

        if (c->bad)
            return 0;
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0))
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return v;
    }
    c->bad = true;
    return 0;
}

uint64_t cursor_varint_max(struct cursor *c, uint64_t max)
{
    uint64_t v = cursor_varint(c);

    if (v <= max)
        return v;
    c->bad = true;
    return 0;
}

struct span cursor_bytes(struct cursor *c, size_t n)
{
    const uint8_t *p = take(c, n);

    return p == NULL ? (struct span){NULL, 0} : span_of(p, n);
}

struct rc cursor_check(const struct cursor *c, const char *what, struct err *err)
{
    if (c->bad)
        return rc_raise(err, E_CORRUPT, "%s: cut short or malformed", what);
    return RC_OK;
}

struct rc cursor_finish(const struct cursor *c, const char *what, struct err *err)
{
    TRY(cursor_check(c, what, err));
    if (c->at != c->end)
        return rc_raise(err, E_CORRUPT, "%s: %zu bytes left over at the end", what, cursor_left(c));
    return RC_OK;
}
