/* SPDX-License-Identifier: Apache-2.0 */
/* snap_index_kit - for tests: the index of an object that is in memory. */
#ifndef SNAP_INDEX_KIT_H
#define SNAP_INDEX_KIT_H

#include "check.h"

#include "snap_kit.h"

#include <stdlib.h>
#include <string.h>

/* The index of an object, or of its last bytes; E_BUSY with a number of bytes: so many are needed. */
static inline struct rc kit_open_index(const uint8_t *data, size_t size, uint64_t object_size, struct err *err)
{
    CLEANUP(snap_index_freep) struct snap_index *ix = NULL;
    uint8_t *copy = malloc(size > 0 ? size : 1); /* so that a sanitizer sees the end of the tail */
    uint64_t need = 0;
    struct rc rc;

    memcpy(copy, data, size);
    rc = snap_index_open(&ix, span_of(copy, size), object_size, &need, err);
    free(copy);
    if (rc_failed(rc)) {
        assert_null(ix);
        assert_int_equal(need, 0);
    } else if (need > 0) {
        assert_null(ix);
        assert_true(need > size && need <= object_size);
        return rc_raise(err, E_BUSY, "needs %zu", (size_t)need);
    } else {
        assert_non_null(ix);
    }
    return rc;
}

#endif
