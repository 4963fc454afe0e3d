/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "zstr.h"

#include <string.h>
#include <zstd.h>

enum { PAGE = 4096 };

struct fixture {
    struct zstr_enc *enc;
    struct zstr_dec *dec;
    struct buf out;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *x = mem_new(sizeof *x);

    x->enc = zstr_enc_new(1);
    x->dec = zstr_dec_new();
    buf_init(&x->out, (size_t)ZSTR_MAX + (1 << 20));
    *state = x;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *x = *state;

    zstr_enc_freep(&x->enc);
    zstr_dec_freep(&x->dec);
    assert_null(x->enc);
    assert_null(x->dec);
    zstr_enc_free(NULL);
    zstr_dec_free(NULL);
    buf_fini(&x->out);
    mem_free(x);
    return 0;
}

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)check_random(&seed);
}

/* Something between noise and zeros, like a page. */
static void fill_text(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = i % 32 < 12 ? (uint8_t)check_random(&seed) : (uint8_t)(i / 64);
}

static void round_trip(struct fixture *x, struct span prefix, struct span data)
{
    uint8_t *back = mem_new(data.size + 8);

    memset(back + data.size, 0xa5, 8);
    buf_clear(&x->out);
    assert_ok_err(zstr_compress(x->enc, prefix, data, &x->out, &x->err), &x->err);
    assert_ok_err(zstr_decompress(x->dec, prefix, buf_span(&x->out), back, data.size, &x->err), &x->err);
    assert_memory_equal(back, data.size > 0 ? (const void *)data.data : "", data.size);
    for (int i = 0; i < 8; i++)
        assert_int_equal(back[data.size + (size_t)i], 0xa5);
    mem_free(back);
}

static void test_round_trips(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 100, 512, 1023, 1024, 1025, PAGE, 65536, 300000};
    const size_t count = sizeof sizes / sizeof sizes[0];
    struct fixture *x = *state;
    uint8_t *a = mem_new(300000), *b = mem_new(300000);

    fill_text(a, 300000, 1);
    fill_text(b, 300000, 2);
    for (int level = 1; level <= 19; level += 6) {
        zstr_enc_free(x->enc);
        x->enc = zstr_enc_new(level);
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < count; k++)
                round_trip(x, span_of(a, sizes[i]), span_of(b, sizes[k]));
    }
    round_trip(x, span_of(NULL, 0), span_of(NULL, 0));
    fill(a, 300000, 3); /* nothing to gain */
    round_trip(x, span_of(NULL, 0), span_of(a, 300000));
    mem_free(a);
    mem_free(b);
}

/* What it is for: changed pages cost little when the old ones are at hand, also in large blocks. */
static void test_prefix_pays(void **state)
{
    struct fixture *x = *state;
    const size_t n = 512 * PAGE;
    uint8_t *old = mem_new(n), *new = mem_new(n);

    fill(old, n, 4);
    for (int level = 1; level <= 7; level += 3) {
        zstr_enc_free(x->enc);
        x->enc = zstr_enc_new(level);
        memcpy(new, old, n);
        for (size_t i = 0; i < n; i += PAGE)
            fill(new + i + 1000, 16, i);
        round_trip(x, span_of(old, n), span_of(new, n));
        assert_in_range(x->out.size, 512 * 16, 512 * 48);
    }
    mem_free(old);
    mem_free(new);
}

/* A one-page commit must not cost megabytes, and a context that did large work must not be hurt by it. */
static void test_small_input_needs_little(void **state)
{
    struct fixture *x = *state;
    uint8_t old[PAGE], new[PAGE];

    fill(old, PAGE, 5);
    memcpy(new, old, PAGE);
    new[77] ^= 1;
    round_trip(x, span_of(old, PAGE), span_of(new, PAGE));
    assert_in_range(x->out.size, 8, 64);
    assert_in_range(zstr_enc_memory(x->enc), 1, 256 * 1024);
}

static void test_limits(void **state)
{
    struct fixture *x = *state;
    uint8_t *big = mem_new((size_t)ZSTR_MAX + 1);

    round_trip(x, span_of(big, ZSTR_MAX / 2), span_of(big, ZSTR_MAX / 2));
    round_trip(x, span_of(big, 10), span_of(big, ZSTR_MAX - 10));
    round_trip(x, span_of(big, ZSTR_MAX - 10), span_of(big, 10));
    buf_clear(&x->out);
    assert_fails(zstr_compress(x->enc, span_of(big, 1), span_of(big, ZSTR_MAX), &x->out, &x->err), E_UNSUPPORTED);
    assert_fails(zstr_compress(x->enc, span_of(big, SIZE_MAX), span_of(big, 2), &x->out, &x->err), E_UNSUPPORTED);
    assert_int_equal(x->out.size, 0);
    assert_fails(zstr_decompress(x->dec, span_of(big, 1), span_of(big, 20), big, ZSTR_MAX, &x->err), E_CORRUPT);
    mem_free(big);
}

static void test_full_buffer(void **state)
{
    struct fixture *x = *state;
    uint8_t noise[2000], zeros[2000] = {0};
    struct buf small;

    fill(noise, sizeof noise, 6);
    buf_init(&small, 100);
    buf_text(&small, "before");
    assert_fails(zstr_compress(x->enc, span_of(NULL, 0), span_of(noise, 2000), &small, &x->err), E_NOSPACE);
    assert_string_equal(buf_str(&small), "before");
    /* What fits is taken, though the worst case would not fit. */
    assert_ok_err(zstr_compress(x->enc, span_of(NULL, 0), span_of(zeros, 2000), &small, &x->err), &x->err);
    assert_memory_equal(small.data, "before", 6);
    assert_ok_err(
        zstr_decompress(x->dec, span_of(NULL, 0), span_of(small.data + 6, small.size - 6), noise, 2000, &x->err),
        &x->err);
    assert_memory_equal(noise, zeros, 2000);
    buf_fini(&small);
}

static void assert_refused(struct fixture *x, struct span prefix, struct span frame, size_t size)
{
    uint8_t *out = mem_new(size + 8);

    memset(out + size, 0xa5, 8);
    assert_fails(zstr_decompress(x->dec, prefix, frame, out, size, &x->err), E_CORRUPT);
    assert_non_null(strstr(x->err.msg, "compressed data: "));
    for (int i = 0; i < 8; i++)
        assert_int_equal(out[size + (size_t)i], 0xa5);
    mem_free(out);
}

static void test_hostile_frames(void **state)
{
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    struct fixture *x = *state;
    uint8_t data[3000], copy[4000];
    struct span none = {NULL, 0};
    size_t n;

    fill_text(data, sizeof data, 7);
    assert_ok(zstr_compress(x->enc, none, span_of(data, sizeof data), &x->out, &x->err));
    n = x->out.size;
    memcpy(copy, x->out.data, n);

    assert_refused(x, none, none, 0);
    assert_refused(x, none, span_of(skippable, sizeof skippable), 0);
    for (size_t cut = 0; cut < n; cut++)
        assert_refused(x, none, span_of(copy, cut), sizeof data);
    assert_refused(x, none, span_of(copy, n), sizeof data - 1);
    assert_refused(x, none, span_of(copy, n), sizeof data + 1);
    assert_refused(x, none, span_of(copy, n), 0);
    copy[n] = 0;
    assert_refused(x, none, span_of(copy, n + 1), sizeof data); /* something behind the frame */
    memcpy(copy + n, skippable, sizeof skippable);
    assert_refused(x, none, span_of(copy, n + sizeof skippable), sizeof data);
    /* Two good frames that together have the right size. */
    buf_clear(&x->out);
    assert_ok(zstr_compress(x->enc, none, span_of(data, 1000), &x->out, &x->err));
    assert_ok(zstr_compress(x->enc, none, span_of(data + 1000, 1000), &x->out, &x->err));
    assert_refused(x, none, buf_span(&x->out), 2000);
}

/* Flipped bits: refused or decoded to something of the right size, never out of bounds (the sanitizers look on). */
static void test_damaged_frames(void **state)
{
    struct fixture *x = *state;
    uint8_t data[2000], prefix[2000], copy[4000], back[2000];
    uint64_t seed = 8;
    int refused = 0;
    size_t n;

    fill_text(prefix, sizeof prefix, 9);
    fill_text(data, sizeof data, 9);
    fill(data + 500, 300, 10);
    assert_ok(zstr_compress(x->enc, span_of(prefix, 2000), span_of(data, 2000), &x->out, &x->err));
    n = x->out.size;
    for (int i = 0; i < 3000; i++) {
        struct rc rc;

        memcpy(copy, x->out.data, n);
        for (uint64_t k = 0; k <= check_random(&seed) % 3; k++)
            copy[check_random(&seed) % n] ^= (uint8_t)(1u << check_random(&seed) % 8);
        rc = zstr_decompress(x->dec, span_of(prefix, 2000), span_of(copy, n), back, 2000, &x->err);
        refused += rc.code == E_CORRUPT;
        assert_true(rc.code == E_OK || rc.code == E_CORRUPT);
    }
    assert_in_range(refused, 100, 3000);
    /* And the context still works. */
    assert_ok(zstr_decompress(x->dec, span_of(prefix, 2000), buf_span(&x->out), back, 2000, &x->err));
    assert_memory_equal(back, data, 2000);
}

static void test_wrong_prefix(void **state)
{
    struct fixture *x = *state;
    uint8_t old[PAGE], other[PAGE], new[PAGE], back[PAGE];
    struct rc rc;

    fill(old, PAGE, 11);
    fill(other, PAGE, 12);
    memcpy(new, old, PAGE);
    new[5] ^= 0xff;
    assert_ok(zstr_compress(x->enc, span_of(old, PAGE), span_of(new, PAGE), &x->out, &x->err));
    assert_refused(x, span_of(NULL, 0), buf_span(&x->out), PAGE);
    assert_refused(x, span_of(old, 10), buf_span(&x->out), PAGE);
    /* One of the right size cannot be told from the right one here: that is what page hashes are for. */
    rc = zstr_decompress(x->dec, span_of(other, PAGE), buf_span(&x->out), back, PAGE, &x->err);
    assert_ok(rc);
    assert_memory_not_equal(back, new, PAGE);
    /* A prefix is for one frame only. */
    assert_refused(x, span_of(NULL, 0), buf_span(&x->out), PAGE);
}

/* Frames of another writer: with zstd's checksum, without a content size. */
static void test_other_writers(void **state)
{
    struct fixture *x = *state;
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    uint8_t data[1000], frame[2000], back[1000];
    ZSTD_inBuffer in = {data, sizeof data, 0};
    ZSTD_outBuffer out = {frame, sizeof frame, 0};

    fill_text(data, sizeof data, 13);
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1)));
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0)));
    assert_int_equal(ZSTD_compressStream2(ctx, &out, &in, ZSTD_e_end), 0);
    assert_ok(zstr_decompress(x->dec, span_of(NULL, 0), span_of(frame, out.pos), back, sizeof back, &x->err));
    assert_memory_equal(back, data, sizeof data);
    assert_refused(x, span_of(NULL, 0), span_of(frame, out.pos), 999);
    assert_refused(x, span_of(NULL, 0), span_of(frame, out.pos), 1001);
    frame[out.pos - 1] ^= 1;
    assert_refused(x, span_of(NULL, 0), span_of(frame, out.pos), 1000);
    assert_int_equal(ZSTD_freeCCtx(ctx), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trips, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prefix_pays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_input_needs_little, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_buffer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_writers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
