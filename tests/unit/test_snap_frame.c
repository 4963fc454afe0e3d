/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "snap_kit.h"

#include <stdio.h>

static const uint32_t sizes[] = {512, 1024, 2048, 4096, 8192, 16384, 32768, 65536};
enum { SIZE_COUNT = sizeof sizes / sizeof sizes[0], GUARD = 64 };

/* A snapshot of `pages` whose only frame is `f`, opened. */
static struct snap_index *open_with(const struct snap_frame *f, uint32_t page_size, uint32_t pages)
{
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, page_size);
    struct snap_meta meta = kit_meta(page_size, pages);
    struct snap_index *ix = NULL;
    struct buf object;
    uint64_t need;
    struct err err;

    buf_init(&object, KIT_OBJECT_MAX);
    assert_ok_err(snap_writer_add(w, f, &object, &err), &err);
    assert_ok_err(snap_writer_finish(w, &meta, &object, &err), &err);
    assert_ok_err(snap_index_open(&ix, buf_span(&object), object.size, &need, &err), &err);
    assert_non_null(ix);
    buf_fini(&object);
    snap_writer_free(w);
    return ix;
}

/* `count` pages from 1 on, encoded and decoded; `noise` of 8 pages are random, the others zeros. */
static void round_trip(uint32_t page_size, uint32_t count, unsigned noise, uint64_t *seed)
{
    CLEANUP(zstr_enc_freep) struct zstr_enc *z = zstr_enc_new(SNAP_FRAME_LEVEL);
    CLEANUP(zstr_dec_freep) struct zstr_dec *d = zstr_dec_new();
    size_t size = (size_t)count * page_size;
    uint8_t *in = calloc(size, 1), *out = malloc(size + GUARD);
    uint32_t pgnos[SNAP_FRAME_PAGES_MAX];
    struct snap_frame f = {0};
    struct snap_index *ix;
    struct err err;

    for (uint32_t i = 0; i < count; i++) {
        pgnos[i] = i + 1;
        for (size_t k = 0; check_random(seed) % 8 < noise && k < page_size; k += 8)
            kit_set(in + (size_t)i * page_size + k, check_random(seed), 8);
    }
    assert_ok_err(snap_frame_encode(z, page_size, pgnos, in, count, &f, &err), &err);
    assert_in_range(f.stored.size, SNAP_FRAME_STORED_MIN, SNAP_FRAME_STORED_MAX);
    assert_int_equal(f.page_count, count);
    assert_memory_equal(f.pgnos, pgnos, count * sizeof *pgnos);
    assert_true(f.hash == digest_bytes(f.stored.data, f.stored.size));

    ix = open_with(&f, page_size, count);
    memset(out, 0xee, size + GUARD);
    assert_ok_err(snap_frame_decode(d, ix, 0, buf_span(&f.stored), out, &err), &err);
    assert_memory_equal(in, out, size);
    for (size_t i = 0; i < GUARD; i++)
        assert_int_equal(out[size + i], 0xee);
    snap_index_free(ix);
    snap_frame_fini(&f);
    free(in);
    free(out);
}

static void test_pages(void **state)
{
    (void)state;
    assert_int_equal(snap_frame_pages(512), SNAP_FRAME_PAGES_MAX);
    assert_int_equal(snap_frame_pages(4096), 64);
    assert_int_equal(snap_frame_pages(65536), 4);
}

static void test_round_trips(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        round_trip(sizes[i], snap_frame_pages(sizes[i]), 8, &seed); /* nothing to compress */
        round_trip(sizes[i], snap_frame_pages(sizes[i]), 0, &seed); /* nothing but zeros */
        round_trip(sizes[i], 1, 0, &seed);
        for (int k = 0; k < 4; k++)
            round_trip(sizes[i], (uint32_t)(check_random(&seed) % snap_frame_pages(sizes[i])) + 1, 4, &seed);
    }
}

/* One frame of three pages with its index, for damage. */
struct one {
    struct zstr_enc *z;
    struct zstr_dec *d;
    struct snap_frame f;
    struct snap_index *ix;
    uint8_t out[4 * 512];
};

static int set_up(void **state)
{
    static const uint32_t pgnos[] = {1, 2, 3};
    struct one *o = calloc(1, sizeof *o);
    struct err err;

    o->z = zstr_enc_new(SNAP_FRAME_LEVEL);
    o->d = zstr_dec_new();
    assert_ok_err(kit_frame(o->z, 512, pgnos, 3, 0, &o->f, &err), &err);
    o->ix = open_with(&o->f, 512, 3);
    *state = o;
    return 0;
}

static int tear_down(void **state)
{
    struct one *o = *state;

    zstr_enc_free(o->z);
    zstr_dec_free(o->d);
    snap_frame_fini(&o->f);
    snap_index_free(o->ix);
    free(o);
    return 0;
}

static void test_damaged(void **state)
{
    struct one *o = *state;
    struct err err;
    char want[128];

    assert_ok_err(snap_frame_decode(o->d, o->ix, 0, buf_span(&o->f.stored), o->out, &err), &err);
    (void)snprintf(want, sizeof want, "snapshot frame 0: checksum mismatch over %zu bytes at 56", o->f.stored.size);
    for (size_t i = 0; i < o->f.stored.size * 8; i++) {
        o->f.stored.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_fails(snap_frame_decode(o->d, o->ix, 0, buf_span(&o->f.stored), o->out, &err), E_CORRUPT);
        assert_string_equal(err.msg, want);
        o->f.stored.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
}

static void test_wrong_length(void **state)
{
    struct one *o = *state;
    size_t whole = o->f.stored.size;
    struct err err;
    char want[128];

    for (size_t n = 0; n < whole; n++) {
        assert_fails(snap_frame_decode(o->d, o->ix, 0, span_of(o->f.stored.data, n), o->out, &err), E_CORRUPT);
        (void)snprintf(want, sizeof want, "snapshot frame 0: %zu bytes, not %zu", n, whole);
        assert_string_equal(err.msg, want);
    }
}

/* The hash is right, and still the frame holds something else than the index says. */
static void test_other_content(void **state)
{
    struct one *o = *state;
    uint32_t pgnos[] = {1, 2, 3, 4}, *kept = o->f.pgnos;
    struct snap_index *ix;
    struct err err;

    o->f.pgnos = pgnos;
    o->f.page_count = 4;
    ix = open_with(&o->f, 512, 4);
    assert_fails(snap_frame_decode(o->d, ix, 0, buf_span(&o->f.stored), o->out, &err), E_CORRUPT);
    assert_string_equal(err.msg, "snapshot frame 0: compressed data: 1536 bytes inside, expected 2048");
    snap_index_free(ix);

    o->f.page_count = 2;
    ix = open_with(&o->f, 512, 2);
    memset(o->out, 0xee, sizeof o->out);
    assert_fails(snap_frame_decode(o->d, ix, 0, buf_span(&o->f.stored), o->out, &err), E_CORRUPT);
    assert_string_equal(err.msg, "snapshot frame 0: compressed data: 1536 bytes inside, expected 1024");
    assert_int_equal(o->out[1024], 0xee);
    snap_index_free(ix);
    o->f.pgnos = kept;
    o->f.page_count = 3;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_content, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
