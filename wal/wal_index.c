/* SPDX-License-Identifier: Apache-2.0 */
#include "wal_index.h"

#include "wal_fmt.h"

#include <assert.h>
#include <string.h>

enum { HEADER_SIZE = 48, BACKFILL_OFFSET = 96, MARKS_OFFSET = 100, INDEX_VERSION = 3007000, READ_TRIES = 200 };

/* The region is an array of 32-bit words; offsets are in bytes. */
static uint32_t load32(const volatile void *shm, size_t offset)
{
    return __atomic_load_n((const volatile uint32_t *)shm + offset / 4, __ATOMIC_ACQUIRE);
}

/* A word as in the WAL file, in the host's order, or the other way round. */
static uint32_t big_endian_word(uint32_t word)
{
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? word : __builtin_bswap32(word);
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
        out->salt[i] = big_endian_word(first[8 + i]);
    out->big_endian = flags[1] != 0;
    return true;
}

static void store_copy(volatile void *shm, size_t offset, const uint32_t words[HEADER_SIZE / 4])
{
    for (size_t i = 0; i < HEADER_SIZE / 4; i++)
        __atomic_store_n((volatile uint32_t *)shm + offset / 4 + i, words[i], __ATOMIC_RELAXED);
}

void wal_index_write(volatile void *shm, const struct wal_index_header *h)
{
    uint32_t words[HEADER_SIZE / 4] = {INDEX_VERSION, 0, h->change_count, 0, h->max_frame, h->page_count,
        h->frame_cksum[0], h->frame_cksum[1], big_endian_word(h->salt[0]), big_endian_word(h->salt[1])};
    uint16_t page_size = h->page_size == 65536 ? 1 : (uint16_t)h->page_size;
    uint8_t *flags = (uint8_t *)&words[3];

    flags[0] = 1;
    flags[1] = h->big_endian;
    memcpy(flags + 2, &page_size, sizeof page_size);
    /* Over everything before it, in the host's word order. */
    wal_fmt_checksum(
        __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__, (const uint8_t *)words, HEADER_SIZE - 8, &words[HEADER_SIZE / 4 - 2]);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    store_copy(shm, HEADER_SIZE, words);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    store_copy(shm, 0, words);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
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
