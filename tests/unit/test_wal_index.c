/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "wal_index.h"

#include <pthread.h>
#include <string.h>

/* Offsets as in sqlite.org/walformat.html. */
enum { COPY = 48, BACKFILL = 96, MARKS = 100 };

struct region {
    _Alignas(8) uint8_t bytes[WAL_INDEX_REGION_SIZE];
};

static void put32(struct region *r, size_t offset, uint32_t v)
{
    memcpy(r->bytes + offset, &v, sizeof v);
}

static void put16(struct region *r, size_t offset, uint16_t v)
{
    memcpy(r->bytes + offset, &v, sizeof v);
}

static void make(struct region *r)
{
    static const uint8_t salts[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};

    memset(r, 0, sizeof *r);
    for (size_t c = 0; c <= COPY; c += COPY) {
        put32(r, c, 3007000);
        put32(r, c + 8, 12345);
        r->bytes[c + 12] = 1;
        put16(r, c + 14, 4096);
        put32(r, c + 16, 77);
        put32(r, c + 20, 500);
        put32(r, c + 24, 0xaaaa0001);
        put32(r, c + 28, 0xaaaa0002);
        memcpy(r->bytes + c + 32, salts, sizeof salts);
        put32(r, c + 40, 0xbbbb0001);
    }
    put32(r, BACKFILL, 33);
    for (uint32_t i = 0; i < WAL_INDEX_READ_MARK_COUNT; i++)
        put32(r, MARKS + 4 * i, 100 + i);
}

static void fields(void **state)
{
    static struct region r;
    struct wal_index_header h;

    (void)state;
    make(&r);
    assert_true(wal_index_read(r.bytes, &h));
    assert_int_equal(h.change_count, 12345);
    assert_int_equal(h.page_size, 4096);
    assert_int_equal(h.max_frame, 77);
    assert_int_equal(h.page_count, 500);
    assert_int_equal(h.frame_cksum[0], 0xaaaa0001);
    assert_int_equal(h.frame_cksum[1], 0xaaaa0002);
    assert_int_equal(h.salt[0], 0x11223344);
    assert_int_equal(h.salt[1], 0x55667788);
    assert_int_equal(wal_index_backfilled(r.bytes), 33);
    for (unsigned i = 0; i < WAL_INDEX_READ_MARK_COUNT; i++)
        assert_int_equal(wal_index_read_mark(r.bytes, i), 100 + i);
}

static void page_sizes(void **state)
{
    static struct region r;
    struct wal_index_header h;

    (void)state;
    for (uint32_t size = 512; size <= 65536; size *= 2) {
        make(&r);
        for (size_t c = 0; c <= COPY; c += COPY)
            put16(&r, c + 14, size == 65536 ? 1 : (uint16_t)size);
        assert_true(wal_index_read(r.bytes, &h));
        assert_int_equal(h.page_size, size);
    }
}

/* Any byte that differs between the copies makes them inconsistent. */
static void torn(void **state)
{
    static struct region r;
    struct wal_index_header h = {.max_frame = 4711};

    (void)state;
    for (size_t i = 0; i < (size_t)2 * COPY; i++) {
        make(&r);
        r.bytes[i] ^= 0x40;
        assert_false(wal_index_read(r.bytes, &h));
    }
    assert_int_equal(h.max_frame, 4711); /* outputs are written on success only */
}

static void not_ready(void **state)
{
    static struct region r;
    struct wal_index_header h;

    (void)state;
    memset(&r, 0, sizeof r);
    assert_false(wal_index_read(r.bytes, &h));
    make(&r);
    r.bytes[12] = r.bytes[12 + COPY] = 0; /* isInit */
    assert_false(wal_index_read(r.bytes, &h));
    make(&r);
    put32(&r, 0, 3007001);
    put32(&r, COPY, 3007001);
    assert_false(wal_index_read(r.bytes, &h));
    memset(&r, 0xff, sizeof r);
    assert_false(wal_index_read(r.bytes, &h));
}

static void marks(void **state)
{
    static struct region r, before;

    (void)state;
    make(&r);
    before = r;
    wal_index_set_read_mark(r.bytes, WAL_INDEX_GATE_SLOT, WAL_INDEX_MARK_UNUSED);
    assert_int_equal(wal_index_read_mark(r.bytes, WAL_INDEX_GATE_SLOT), WAL_INDEX_MARK_UNUSED);
    memset(before.bytes + MARKS + 16, 0xff, 4);
    assert_memory_equal(&r, &before, sizeof r); /* and nothing else */
}

/* A writer at work, as SQLite does it: second copy, barrier, first copy.  What is read is never a mixture. */
struct writer {
    struct region *region;
    int stop;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;

    for (uint32_t n = 1; !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE); n++) {
        for (int c = 1; c >= 0; c--) {
            uint32_t *words = (uint32_t *)(void *)(w->region->bytes + (size_t)c * COPY);

            for (size_t i = 4; i < 8; i++) /* mxFrame, nPage, aFrameCksum */
                __atomic_store_n(&words[i], n, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
        }
    }
    return NULL;
}

static void beside_a_writer(void **state)
{
    static struct region r;
    struct writer w = {.region = &r};
    pthread_t thread;
    unsigned good = 0;

    (void)state;
    make(&r);
    for (size_t c = 0; c <= COPY; c += COPY) {
        for (size_t i = 16; i < 32; i += 4)
            put32(&r, c + i, 0);
    }
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    /* The writer may be stopped between its copies for longer than these reads take: then there are more of them. */
    for (int i = 0; i < 20000 || good == 0; i++) {
        struct wal_index_header h;

        if (!wal_index_read(r.bytes, &h))
            continue;
        good++;
        assert_int_equal(h.page_count, h.max_frame);
        assert_int_equal(h.frame_cksum[0], h.max_frame);
        assert_int_equal(h.frame_cksum[1], h.max_frame);
    }
    __atomic_store_n(&w.stop, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* What is written is read again, and both copies carry SQLite's checksum. */
static void written(void **state)
{
    static const uint32_t page_sizes[] = {512, 4096, 65536};
    static struct region r;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const struct wal_index_header h = {.change_count = 7 + i,
            .page_size = page_sizes[i],
            .max_frame = 123,
            .page_count = 99,
            .frame_cksum = {0x01020304, 0x05060708},
            .salt = {0x11223344, 0xaabbccdd},
            .big_endian = i == 1};
        struct wal_index_header back = {0};
        uint32_t words[12], sum[2] = {0};

        make(&r);
        wal_index_write(r.bytes, &h);
        assert_true(wal_index_read(r.bytes, &back));
        assert_memory_equal(&back, &h, offsetof(struct wal_index_header, big_endian));
        assert_int_equal(back.big_endian, h.big_endian);
        memcpy(words, r.bytes, sizeof words);
        for (unsigned k = 0; k < 10; k += 2) {
            sum[0] += words[k] + sum[1];
            sum[1] += words[k + 1] + sum[0];
        }
        assert_int_equal(words[10], sum[0]);
        assert_int_equal(words[11], sum[1]);
        assert_int_equal(r.bytes[32], 0x11); /* as in the WAL file */
        assert_int_equal(wal_index_backfilled(r.bytes), 33);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(written),
        cmocka_unit_test(page_sizes),
        cmocka_unit_test(torn),
        cmocka_unit_test(not_ready),
        cmocka_unit_test(marks),
        cmocka_unit_test(beside_a_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
