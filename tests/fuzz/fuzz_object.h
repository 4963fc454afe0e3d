/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_object - an input as an object whose hashes fit, so that a fuzzer gets past them: the magic stays as it is, the
 * header's hash and the trailer are computed anew.
 */
#ifndef FUZZ_OBJECT_H
#define FUZZ_OBJECT_H

#include "digest.h"
#include "pack.h"

enum { FUZZ_OBJECT_HASHED = 48, FUZZ_OBJECT_MAX = 1 << 20 };

static inline void fuzz_object_put_hash(uint8_t *at, uint64_t hash)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(hash >> (8 * i));
}

/* Inputs too short for a header are passed on as they are. */
static inline void fuzz_object_init(struct buf *object, const uint8_t *data, size_t size)
{
    buf_init(object, FUZZ_OBJECT_MAX);
    buf_put(object, data, size);
    if (object->failed != E_OK || size < PACK_HEADER_SIZE + PACK_TRAILER_SIZE)
        return;
    object->data[14] = PACK_HEADER_SIZE; /* another size would need another hash */
    object->data[15] = 0;
    fuzz_object_put_hash(object->data + FUZZ_OBJECT_HASHED, digest_bytes(object->data, FUZZ_OBJECT_HASHED));
    buf_trim(object, size - PACK_TRAILER_SIZE);
    pack_put_trailer(object);
}

#endif
