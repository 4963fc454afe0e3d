/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_index.h"

#include <assert.h>
#include <string.h>

enum { HEADER_SIZE = 48, BACKFILL_OFFSET = 96, MARKS_OFFSET = 100, INDEX_VERSION = 3007000, READ_TRIES = 200 };

/* The region is an array of 32-bit words; offsets are in bytes. */
static uint32_t load32(const volatile void *shm, size_t offset)
{
    return __atomic_load_n((const volatile uint32_t *)shm + offset / 4, __ATOMIC_ACQUIRE);
}

static void load_copy(const volatile void *shm, size_t offset, uint32_t out[HEADER_SIZE / 4])
{
    for (size_t i = 0; i < HEADER_SIZE / 4; i++)
        out[i] = load32(shm, offset + 4 * i);
}

bool wal_index_read(const volatile void *shm, struct wal_index_header *out)
{
    uint32_t first[HEADER_SIZE / 4], second[HEADER_SIZE / 4];

    for (int tries = 0;; tries++) {
        load_copy(shm, 0, first);
        __atomic_thread_fence(__ATOMIC_ACQ_REL);
        load_copy(shm, HEADER_SIZE, second);
        if (memcmp(first, second, sizeof first) == 0)
            break;
        if (tries == READ_TRIES)
            return false;
    }
    const uint8_t *flags = (const uint8_t *)&first[3]; /* isInit, bigEndCksum, szPage (16 bits) */
    uint16_t page_size;

    memcpy(&page_size, flags + 2, sizeof page_size);
    if (first[0] != INDEX_VERSION || flags[0] == 0)
        return false;
    out->change_count = first[2];
    out->page_size = page_size == 1 ? 65536 : page_size; /* 65536 does not fit and is kept as 1 */
    out->max_frame = first[4];
    out->page_count = first[5];
    out->frame_cksum[0] = first[6];
    out->frame_cksum[1] = first[7];
    for (int i = 0; i < 2; i++)
        out->salt[i] = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? first[8 + i] : __builtin_bswap32(first[8 + i]);
    return true;
}

uint32_t wal_index_backfilled(const volatile void *shm)
{
    return load32(shm, BACKFILL_OFFSET);
}

uint32_t wal_index_read_mark(const volatile void *shm, unsigned slot)
{
    assert(slot < WAL_INDEX_READ_MARK_COUNT);
    return load32(shm, MARKS_OFFSET + 4 * (size_t)slot);
}

void wal_index_set_read_mark(volatile void *shm, unsigned slot, uint32_t mark)
{
    assert(slot < WAL_INDEX_READ_MARK_COUNT);
    __atomic_store_n((volatile uint32_t *)shm + MARKS_OFFSET / 4 + slot, mark, __ATOMIC_RELEASE);
}
