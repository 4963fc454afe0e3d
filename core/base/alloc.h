/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc - memory.  Small, fixed-size allocations do not fail: they abort with a message, which is a crash, and every
 * crash point is tested.  Allocations whose size comes from outside use mem_try() and return E_NOMEM.
 */
#ifndef ALLOC_H
#define ALLOC_H

#include "rc.h"

/* Zeroed memory of `size` bytes, or abort. */
void *mem_new(size_t size);
/* Zeroed memory for `count` items of `size` bytes (overflow checked), or NULL. */
void *mem_try(size_t count, size_t size);
/* Like realloc with an overflow check; the new part is not zeroed.  NULL on failure, `p` is then untouched. */
void *mem_resize(void *p, size_t count, size_t size);
/*
 * Make room for one more: `array` points to a `T *` variable, whatever T is, of `count` items of `size` bytes with room
 * for `*room`; NULL and 0 are an empty one.  The room doubles, and is not zeroed.  False: no memory, all is as before.
 */
MUST_USE bool mem_grow(void *array, size_t count, size_t *room, size_t size);
/* A copy of a string, or abort. */
char *mem_strdup(const char *text);
/* A formatted string, or abort. */
PRINTF(1, 2) char *mem_printf(const char *fmt, ...);
void mem_free(void *p);
/* For CLEANUP: frees what a `T *` variable points to, whatever T is. */
void mem_freep(void *pp);

/* Make every n-th and later (or only the n-th) mem_try/mem_resize fail; for tests.  0 switches it off. */
void mem_fail_after(long n, bool forever);

#endif
