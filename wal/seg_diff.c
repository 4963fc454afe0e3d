/* SPDX-License-Identifier: Apache-2.0 */
#include "seg_diff.h"

#include <endian.h>
#include <string.h>

/* The difference of eight bytes: byte k of the page is in bits 8k to 8k+7. */
static uint64_t difference(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return le64toh(x ^ y);
}

/* The first place at or after `i` where the images differ, or `size`. */
static uint32_t skip_equal(const uint8_t *a, const uint8_t *b, uint32_t size, uint32_t i)
{
    /* Most of a page is equal: four words at a time. */
    while (size - i >= 32) {
        uint64_t d01 = difference(a + i, b + i) | difference(a + i + 8, b + i + 8);
        uint64_t d23 = difference(a + i + 16, b + i + 16) | difference(a + i + 24, b + i + 24);

        if ((d01 | d23) != 0)
            break;
        i += 32;
    }
    for (; size - i >= 8; i += 8) {
        uint64_t d = difference(a + i, b + i);

        if (d != 0)
            return i + (uint32_t)__builtin_ctzll(d) / 8;
    }
    while (i < size && a[i] == b[i])
        i++;
    return i;
}

bool seg_diff_next(const uint8_t *page, const uint8_t *base, uint32_t size, uint32_t from, struct seg_range *out)
{
    uint32_t start = skip_equal(page, base, size, from), end = start + 1, i = end;

    if (start == size)
        return false;
    /* Byte by byte would be slow where every other byte differs, as in a cell pointer array that moved.  Eight bytes
     * have no gap inside that counts, so the first and the last difference in them are all that matters. */
    for (; size - i >= 8; i += 8) {
        uint64_t d = difference(page + i, base + i);
        uint32_t equal = i - end + (d == 0 ? 8 : (uint32_t)__builtin_ctzll(d) / 8);

        if (equal >= SEG_DIFF_GAP) {
            *out = (struct seg_range){start, end};
            return true;
        }
        if (d != 0)
            end = i + 8 - (uint32_t)__builtin_clzll(d) / 8;
    }
    for (; i < size && i - end < SEG_DIFF_GAP; i++)
        if (page[i] != base[i])
            end = i + 1;
    *out = (struct seg_range){start, end};
    return true;
}
_Static_assert(SEG_DIFF_GAP > 6, "a gap within eight bytes never counts");
