/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = 16 };

/* Calls left until mem_try()/mem_resize() fail; 0: never. */
static long fail_countdown;
static bool fail_forever;

void mem_fail_after(long n, bool forever)
{
    assert(n >= 0);
    __atomic_store_n(&fail_forever, forever, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fail_countdown, n, __ATOMIC_SEQ_CST);
}

/* Whether this call is the one that a test wants to see fail. */
static bool told_to_fail(void)
{
    long left = __atomic_load_n(&fail_countdown, __ATOMIC_RELAXED);

    for (;;) {
        long next = left - 1;

        if (left == 0)
            return false;
        if (left == 1 && __atomic_load_n(&fail_forever, __ATOMIC_RELAXED))
            return true;
        if (__atomic_compare_exchange_n(&fail_countdown, &left, next, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            return next == 0;
    }
}

static _Noreturn void out_of_memory(size_t size)
{
    (void)fprintf(stderr, "weir: out of memory: %zu bytes\n", size);
    abort();
}

void *mem_new(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);

    if (p == NULL)
        out_of_memory(size);
    return p;
}

void *mem_try(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total) || total > PTRDIFF_MAX || told_to_fail())
        return NULL;
    return calloc(1, total > 0 ? total : 1);
}

void *mem_resize(void *p, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total) || total > PTRDIFF_MAX || told_to_fail())
        return NULL;
    return realloc(p, total > 0 ? total : 1); /* never 0 bytes: realloc would free `p` */
}

bool mem_grow(void *array, size_t count, size_t *room, size_t size)
{
    size_t more = *room == 0 ? ROOM_MIN : *room * 2;
    void *old, *bigger;

    assert(count <= *room);
    if (count < *room)
        return true;
    memcpy(&old, array, sizeof old); /* `array` points to some `T *`, which may not be read as a `void *` */
    bigger = more > *room ? mem_resize(old, more, size) : NULL;
    if (bigger == NULL)
        return false;
    memcpy(array, &bigger, sizeof bigger);
    *room = more;
    return true;
}

char *mem_strdup(const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL)
        out_of_memory(strlen(text) + 1);
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory(strlen(fmt));
    return text;
}

void mem_free(void *p)
{
    free(p);
}

void mem_freep(void *pp)
{
    void *p;

    memcpy(&p, pp, sizeof p); /* `pp` is a pointer to some `T *`, which may not be read as a `void *` */
    free(p);
    p = NULL;
    memcpy(pp, &p, sizeof p);
}
