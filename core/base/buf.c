/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include "alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ROOM_MIN = 64 };

void buf_init(struct buf *b, size_t max)
{
    assert(max < SIZE_MAX);
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->failed = E_OK;
}

/* There is always room for one byte more than the content, so that buf_str() cannot fail. */
static bool reserve(struct buf *b, size_t n)
{
    size_t need, room;
    uint8_t *data;

    if (b->failed != E_OK)
        return false;
    if (n > b->max - b->size) {
        b->failed = E_NOSPACE;
        return false;
    }
    need = b->size + n + 1;
    if (need <= b->room)
        return true;
    /* The first time exactly what is asked for, later in growing steps, never past the maximum. */
    room = b->room + b->room / 2;
    if (room > b->max + 1)
        room = b->max + 1;
    if (room < need)
        room = need;
    if (room < ROOM_MIN)
        room = ROOM_MIN;
    data = mem_resize(b->data, room, 1);
    if (data == NULL) {
        b->failed = E_NOMEM;
        return false;
    }
    b->data = data;
    b->room = room;
    return true;
}

void buf_reserve(struct buf *b, size_t n)
{
    (void)reserve(b, n); /* `failed` says it */
}

uint8_t *buf_grow(struct buf *b, size_t n)
{
    uint8_t *at;

    if (!reserve(b, n))
        return NULL;
    at = b->data + b->size;
    b->size += n;
    return at;
}

void buf_put(struct buf *b, const void *data, size_t n)
{
    uint8_t *at = n > 0 ? buf_grow(b, n) : NULL;

    if (at != NULL)
        memcpy(at, data, n);
}

static void put_little_endian(struct buf *b, uint64_t v, unsigned n)
{
    uint8_t *at = buf_grow(b, n);

    for (unsigned i = 0; at != NULL && i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

void buf_u8(struct buf *b, uint8_t v)
{
    put_little_endian(b, v, 1);
}

void buf_u16(struct buf *b, uint16_t v)
{
    put_little_endian(b, v, 2);
}

void buf_u32(struct buf *b, uint32_t v)
{
    put_little_endian(b, v, 4);
}

void buf_u64(struct buf *b, uint64_t v)
{
    put_little_endian(b, v, 8);
}

void buf_varint(struct buf *b, uint64_t v)
{
    uint8_t bytes[10];
    size_t n = 0;

    for (; v > 0x7f; v >>= 7)
        bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    buf_put(b, bytes, n);
}

void buf_text(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    if (!reserve(b, (size_t)n))
        return;
    va_start(ap, fmt);
    (void)vsnprintf((char *)b->data + b->size, (size_t)n + 1, fmt, ap); /* as long as measured above */
    va_end(ap);
    b->size += (size_t)n;
}

void buf_trim(struct buf *b, size_t n)
{
    assert(n <= b->size);
    b->size = n;
}

const char *buf_str(struct buf *b)
{
    if (b->failed != E_OK || b->data == NULL)
        return "";
    b->data[b->size] = 0;
    return (const char *)b->data;
}

struct rc buf_check(const struct buf *b, const char *what, struct err *err)
{
    if (b->failed == E_OK)
        return RC_OK;
    if (b->failed == E_NOMEM)
        return rc_raise(err, E_NOMEM, "%s: no memory for more than %zu bytes", what, b->size);
    return rc_raise(err, b->failed, "%s: longer than the limit of %zu bytes", what, b->max);
}
