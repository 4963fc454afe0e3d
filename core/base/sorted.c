/* SPDX-License-Identifier: Apache-2.0 */
#include "sorted.h"

#include <assert.h>
#include <string.h>

static uint64_t number_at(const uint8_t *at, size_t width)
{
    uint64_t wide;
    uint32_t narrow;

    if (width == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

size_t sorted_at(const void *items, size_t count, size_t size, size_t offset, size_t width, uint64_t key)
{
    size_t low = 0, high = count;

    assert(width == sizeof(uint32_t) || width == sizeof(uint64_t));
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (number_at((const uint8_t *)items + middle * size + offset, width) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
