/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a seal.  What decodes must encode to the same bytes again: there is one form only. */
#include "fuzz_object.h"
#include "seal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_fini) struct buf object, again;
    struct seal seal;
    struct err err;

    buf_init(&again, 1 << 16);
    fuzz_object_init(&object, data, size);
    if (rc_failed(seal_decode(buf_span(&object), &seal, &err)))
        return 0;
    if (rc_failed(seal_encode(&seal, &again, &err)))
        abort();
    size_t body = object.size - PACK_HEADER_SIZE - PACK_TRAILER_SIZE;
    if (again.size != PACK_HEADER_SIZE + body + PACK_TRAILER_SIZE
        || memcmp(again.data + PACK_HEADER_SIZE, object.data + PACK_HEADER_SIZE, body) != 0)
        abort();
    return 0;
}
