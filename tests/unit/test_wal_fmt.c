/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "wal_fmt.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 512, FRAME = WAL_FMT_FRAME_HEADER_SIZE + PAGE };

static void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* The checksum as the file format's description has it, word by word. */
static void naive_checksum(bool big_endian, const uint8_t *data, size_t n, uint32_t sum[2])
{
    for (size_t i = 0; i < n; i += 8) {
        uint32_t w[2];

        for (size_t k = 0; k < 2; k++) {
            const uint8_t *p = data + i + 4 * k;

            w[k] = big_endian ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                              : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
        }
        sum[0] += w[0] + sum[1];
        sum[1] += w[1] + sum[0];
    }
}

static void seal_header(uint8_t *h, bool big_endian)
{
    uint32_t sum[2] = {0, 0};

    naive_checksum(big_endian, h, 24, sum);
    put_be32(h + 24, sum[0]);
    put_be32(h + 28, sum[1]);
}

static void make_header(uint8_t h[WAL_FMT_HEADER_SIZE], bool big_endian, uint32_t page_size)
{
    put_be32(h, big_endian ? 0x377f0683 : 0x377f0682);
    put_be32(h + 4, 3007000);
    put_be32(h + 8, page_size);
    put_be32(h + 12, 17);
    put_be32(h + 16, 0xdeadbeef);
    put_be32(h + 20, 0x01020304);
    seal_header(h, big_endian);
}

static void make_frame(uint8_t f[FRAME], const struct wal_pos *after, uint32_t pgno, uint32_t commit, uint64_t seed)
{
    uint32_t sum[2] = {after->cksum[0], after->cksum[1]};

    for (size_t i = WAL_FMT_FRAME_HEADER_SIZE; i < FRAME; i++)
        f[i] = (uint8_t)check_random(&seed);
    put_be32(f, pgno);
    put_be32(f + 4, commit);
    put_be32(f + 8, after->salt[0]);
    put_be32(f + 12, after->salt[1]);
    naive_checksum(after->big_endian, f, 8, sum);
    naive_checksum(after->big_endian, f + WAL_FMT_FRAME_HEADER_SIZE, PAGE, sum);
    put_be32(f + 16, sum[0]);
    put_be32(f + 20, sum[1]);
}

static void checksum_is_the_documented_one(void **state)
{
    uint8_t data[4096];
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)check_random(&seed);
    for (size_t n = 0; n <= sizeof data; n += 8) {
        for (int big = 0; big < 2; big++) {
            uint32_t a[2] = {(uint32_t)n, 7}, b[2] = {(uint32_t)n, 7};

            wal_fmt_checksum(big, data, n, a);
            naive_checksum(big, data, n, b);
            assert_memory_equal(a, b, sizeof a);
        }
    }
}

static void header_is_decoded(void **state)
{
    uint8_t h[WAL_FMT_HEADER_SIZE];
    struct err err;

    (void)state;
    for (int big = 0; big < 2; big++) {
        for (uint32_t size = 512; size <= 65536; size *= 2) {
            struct wal_pos pos;

            make_header(h, big, size);
            assert_ok(wal_fmt_decode_header(span_of(h, sizeof h), &pos, &err));
            assert_true(pos.valid);
            assert_int_equal(pos.big_endian, big);
            assert_int_equal(pos.page_size, size);
            assert_int_equal(pos.change_count, 0);
            assert_int_equal(pos.salt[0], 0xdeadbeef);
            assert_int_equal(pos.salt[1], 0x01020304);
            assert_int_equal(pos.frame, 0);
        }
    }
}

static void assert_header_refused(const uint8_t *h, size_t n, const char *why)
{
    struct wal_pos pos = {.frame = 99};
    struct err err;

    assert_fails(wal_fmt_decode_header(span_of(h, n), &pos, &err), E_CORRUPT);
    assert_string_equal(err.msg, why);
    assert_int_equal(pos.frame, 99); /* outputs are written on success only */
}

static void header_is_refused(void **state)
{
    static const uint32_t bad_sizes[] = {0, 1, 256, 513, 1000, 131072, 0x80000000};
    uint8_t h[WAL_FMT_HEADER_SIZE];

    (void)state;
    make_header(h, false, 4096);
    assert_header_refused(h, 31, "wal header: 31 bytes, need 32");
    assert_header_refused(h, 0, "wal header: 0 bytes, need 32");
    put_be32(h, 0x377f0684);
    assert_header_refused(h, sizeof h, "wal header: bad magic 377f0684");
    make_header(h, false, 4096);
    put_be32(h + 4, 3007001);
    seal_header(h, false);
    assert_header_refused(h, sizeof h, "wal header: unknown version 3007001");
    for (size_t i = 0; i < sizeof bad_sizes / sizeof *bad_sizes; i++) {
        char why[100];

        make_header(h, false, bad_sizes[i]);
        (void)snprintf(why, sizeof why, "wal header: impossible page size %u", bad_sizes[i]);
        assert_header_refused(h, sizeof h, why);
    }
    for (size_t bit = 12 * 8; bit < sizeof h * 8; bit++) {
        make_header(h, true, 4096);
        h[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_header_refused(h, sizeof h, "wal header: checksum mismatch");
    }
}

static void frames_chain(void **state)
{
    uint8_t h[WAL_FMT_HEADER_SIZE], f[FRAME];
    struct err err;

    (void)state;
    for (int big = 0; big < 2; big++) {
        struct wal_pos pos;

        make_header(h, big, PAGE);
        assert_ok(wal_fmt_decode_header(span_of(h, sizeof h), &pos, &err));
        for (uint32_t i = 1; i <= 20; i++) {
            struct wal_fmt_frame out;

            make_frame(f, &pos, i * 3, i % 4 == 0 ? 60 : 0, i);
            assert_true(wal_fmt_step(&pos, f, &out));
            assert_int_equal(pos.frame, i);
            assert_int_equal(out.pgno, i * 3);
            assert_int_equal(out.commit_page_count, i % 4 == 0 ? 60 : 0);
            assert_int_equal(out.cksum[0], pos.cksum[0]);
            assert_int_equal(out.cksum[1], pos.cksum[1]);
        }
    }
}

static void a_wrong_frame_is_no_step(void **state)
{
    uint8_t h[WAL_FMT_HEADER_SIZE], f[FRAME];
    struct wal_pos start, pos;
    struct wal_fmt_frame out;
    struct err err;

    (void)state;
    make_header(h, false, PAGE);
    assert_ok(wal_fmt_decode_header(span_of(h, sizeof h), &start, &err));
    make_frame(f, &start, 5, 9, 1);
    for (size_t bit = 0; bit < sizeof f * 8; bit++) {
        f[bit / 8] ^= (uint8_t)(1 << bit % 8);
        pos = start;
        assert_false(wal_fmt_step(&pos, f, &out));
        assert_memory_equal(&pos, &start, sizeof pos);
        f[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    make_frame(f, &start, 0, 9, 1); /* well summed, but there is no page 0 */
    pos = start;
    assert_false(wal_fmt_step(&pos, f, &out));
    assert_memory_equal(&pos, &start, sizeof pos);
    make_frame(f, &start, 5, 9, 1);
    assert_true(wal_fmt_step(&pos, f, &out));
    assert_false(wal_fmt_step(&pos, f, &out)); /* the same frame does not follow itself */
    assert_int_equal(pos.frame, 1);
}

static void offsets(void **state)
{
    (void)state;
    assert_int_equal(wal_fmt_frame_offset(4096, 1), 32);
    assert_int_equal(wal_fmt_frame_offset(4096, 2), 32 + 4120);
    assert_true(wal_fmt_frame_offset(65536, UINT32_MAX) == 32 + 0xfffffffeull * (24 + 65536));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum_is_the_documented_one),
        cmocka_unit_test(header_is_decoded),
        cmocka_unit_test(header_is_refused),
        cmocka_unit_test(frames_chain),
        cmocka_unit_test(a_wrong_frame_is_no_step),
        cmocka_unit_test(offsets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
