/* SPDX-License-Identifier: Apache-2.0 */
#include "seg_diff.h"

#include <string.h>

static uint64_t word(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* The first place at or after `i` where the images differ, or `size`. */
static uint32_t skip_equal(const uint8_t *a, const uint8_t *b, uint32_t size, uint32_t i)
{
    /* Most of a page is equal, so this loop is where the time goes: four words at a time. */
    while (size - i >= 32) {
        uint64_t d0 = word(a + i) ^ word(b + i), d1 = word(a + i + 8) ^ word(b + i + 8);
        uint64_t d2 = word(a + i + 16) ^ word(b + i + 16), d3 = word(a + i + 24) ^ word(b + i + 24);

        if ((d0 | d1 | d2 | d3) != 0)
            break;
        i += 32;
    }
    while (size - i >= 8 && word(a + i) == word(b + i))
        i += 8;
    while (i < size && a[i] == b[i])
        i++;
    return i;
}

/* The first place at or after `i` where the images are equal, or `size`. */
static uint32_t skip_different(const uint8_t *a, const uint8_t *b, uint32_t size, uint32_t i)
{
    const uint64_t low = 0x0101010101010101u, high = 0x8080808080808080u;

    while (size - i >= 8) {
        uint64_t d = word(a + i) ^ word(b + i);

        if (((d - low) & ~d & high) != 0) /* a zero byte in `d`: equal somewhere */
            break;
        i += 8;
    }
    while (i < size && a[i] != b[i])
        i++;
    return i;
}

bool seg_diff_next(const uint8_t *page, const uint8_t *base, uint32_t size, uint32_t from, struct seg_range *out)
{
    uint32_t start = skip_equal(page, base, size, from), end = start;

    if (start == size)
        return false;
    for (;;) {
        uint32_t next;

        end = skip_different(page, base, size, end);
        next = skip_equal(page, base, size, end);
        if (next == size || next - end >= SEG_DIFF_GAP)
            break;
        end = next;
    }
    *out = (struct seg_range){start, end};
    return true;
}
