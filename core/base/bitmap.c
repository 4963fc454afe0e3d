/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap.h"

#include "alloc.h"

#include <string.h>

struct bitmap {
    uint64_t *words;
    uint64_t word_count;
    uint32_t count;
};

struct bitmap *bitmap_new(void)
{
    return mem_new(sizeof(struct bitmap));
}

void bitmap_free(struct bitmap *b)
{
    if (b == NULL)
        return;
    mem_free(b->words);
    mem_free(b);
}

static struct rc reserve(struct bitmap *b, uint64_t word, struct err *err)
{
    uint64_t room = b->word_count == 0 ? 64 : b->word_count;
    uint64_t *words;

    if (word < b->word_count)
        return RC_OK;
    while (room <= word)
        room *= 2;
    words = mem_resize(b->words, room, sizeof *words);
    if (words == NULL)
        return rc_raise(err, E_NOMEM, "remember changed pages: no memory for page %llu", (unsigned long long)word * 64);
    memset(words + b->word_count, 0, (room - b->word_count) * sizeof *words);
    b->words = words;
    b->word_count = room;
    return RC_OK;
}

struct rc bitmap_add(struct bitmap *b, uint32_t n, struct err *err)
{
    uint64_t bit = 1ULL << (n % 64);

    TRY(reserve(b, n / 64, err));
    b->count += (b->words[n / 64] & bit) == 0;
    b->words[n / 64] |= bit;
    return RC_OK;
}

void bitmap_remove(struct bitmap *b, uint32_t n)
{
    if (!bitmap_has(b, n))
        return;
    b->words[n / 64] &= ~(1ULL << (n % 64));
    b->count--;
}

bool bitmap_has(const struct bitmap *b, uint32_t n)
{
    return n / 64 < b->word_count && (b->words[n / 64] >> (n % 64) & 1) != 0;
}

uint32_t bitmap_count(const struct bitmap *b)
{
    return b->count;
}

bool bitmap_next(const struct bitmap *b, uint32_t n, uint32_t *out)
{
    uint64_t word = n / 64, bits;

    if (word >= b->word_count)
        return false;
    bits = b->words[word] & (~0ULL << (n % 64));
    while (bits == 0) {
        if (++word >= b->word_count)
            return false;
        bits = b->words[word];
    }
    *out = (uint32_t)(word * 64 + (uint64_t)__builtin_ctzll(bits));
    return true;
}
