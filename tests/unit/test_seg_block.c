/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "dbfmt.h"
#include "seg_block.h"

#include <string.h>

static void test_slots(void **state)
{
    struct seg_block_map *m = mem_new(sizeof *m);

    (void)state;
    seg_block_begin(m, 512);
    assert_int_equal(m->slot_max, SEG_BLOCK_SLOTS_MAX);
    for (uint32_t i = 0; i < m->slot_max; i++) {
        uint32_t pgno = i * 2048 + 1; /* many of them meet in the index */

        assert_int_equal(seg_block_find(m, pgno), -1);
        assert_int_equal(seg_block_add(m, pgno, true), i);
        assert_int_equal(seg_block_find(m, pgno), i);
    }
    for (uint32_t i = 0; i < m->slot_max; i++)
        assert_int_equal(seg_block_find(m, i * 2048 + 1), i);
    assert_int_equal(seg_block_find(m, 2), -1);
    seg_block_begin(m, 65536);
    assert_int_equal(m->slot_max, 8);
    assert_int_equal(seg_block_find(m, 1), -1);
    mem_free(m);
}

/* The prefix by its definition: the bytes whose 64th of the page lies within SEG_BLOCK_WIDEN bytes of a change. */
static void plain_prefix(const struct seg_block_map *m, const uint8_t *images, const uint8_t *changed, struct buf *out)
{
    uint32_t size = m->page_size, granule = size / 64;

    for (uint32_t slot = 0; slot < m->count; slot++) {
        for (uint32_t g = 0; g < 64 && m->slots[slot].based; g++) {
            bool wanted = false;

            for (uint32_t at = 0; at < size; at++)
                wanted = wanted
                         || (changed[slot * size + at] && (at + SEG_BLOCK_WIDEN) / granule >= g
                             && (at < SEG_BLOCK_WIDEN ? 0 : at - SEG_BLOCK_WIDEN) / granule <= g);
            if (wanted)
                buf_put(out, images + slot * size + g * granule, granule);
        }
    }
}

static void test_prefix(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 16384};
    struct seg_block_map *m = mem_new(sizeof *m);
    uint64_t seed = 5;

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint32_t size = sizes[s];
        uint8_t *images = mem_new((size_t)size * 5), *changed = mem_new((size_t)size * 5);

        for (int round = 0; round < 40; round++) {
            CLEANUP(buf_fini) struct buf got, want;

            buf_init(&got, SEG_BLOCK_IMAGES_MAX);
            buf_init(&want, SEG_BLOCK_IMAGES_MAX);
            memset(changed, 0, (size_t)size * 5);
            seg_block_begin(m, size);
            for (uint32_t slot = 0; slot < 5; slot++) {
                (void)seg_block_add(m, slot + 9, slot != 3);
                for (uint32_t i = 0; i < size; i++)
                    images[slot * size + i] = (uint8_t)check_random(&seed);
                for (uint64_t k = check_random(&seed) % 6; k > 0; k--) {
                    uint32_t start = (uint32_t)(check_random(&seed) % size);
                    uint32_t end = start + 1 + (uint32_t)(check_random(&seed) % (size - start));

                    seg_block_mark(m, slot, start, end);
                    memset(changed + slot * size + start, 1, end - start);
                }
            }
            seg_block_prefix(m, images, &got);
            plain_prefix(m, images, changed, &want);
            assert_int_equal(got.size, want.size);
            if (got.size > 0)
                assert_memory_equal(got.data, want.data, got.size);
        }
        mem_free(images);
        mem_free(changed);
    }
    mem_free(m);
}

static void test_page_numbers(void **state)
{
    (void)state;
    assert_false(seg_block_pgno_ok(0, 4096));
    assert_true(seg_block_pgno_ok(1, 4096));
    assert_true(seg_block_pgno_ok(dbfmt_lock_page(4096) - 1, 4096));
    assert_false(seg_block_pgno_ok(dbfmt_lock_page(4096), 4096));
    assert_true(seg_block_pgno_ok(dbfmt_lock_page(4096), 8192));
    assert_true(seg_block_pgno_ok(DBFMT_PAGE_COUNT_MAX, 4096));
    assert_false(seg_block_pgno_ok(UINT32_MAX, 4096));
}

static void test_zigzag(void **state)
{
    static const int64_t values[] = {0, -1, 1, -2, 2, INT64_MAX, INT64_MIN, 4294967295, -4294967295};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_true(seg_block_unzigzag(seg_block_zigzag(values[i])) == values[i]);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(seg_block_zigzag(values[i]), i);
}

static void round_trip(struct span prefix, struct span data, bool compressed)
{
    struct zstr_enc *z = zstr_enc_new(SEG_BLOCK_LEVEL);
    struct zstr_dec *u = zstr_dec_new();
    CLEANUP(buf_fini) struct buf out, scratch, room;
    struct seg_block_stream stream;
    struct cursor c;
    struct span got;
    struct err err;

    buf_init(&out, 1 << 20);
    buf_init(&scratch, 1 << 20);
    buf_init(&room, 1 << 20);
    assert_ok_err(seg_block_put_stream(&out, z, &scratch, prefix, data, &err), &err);
    c = cursor_of(buf_span(&out));
    seg_block_take_stream(&c, data.size, &stream);
    assert_ok_err(cursor_finish(&c, "stream", &err), &err);
    assert_int_equal(stream.compressed, compressed);
    assert_ok_err(seg_block_open_stream(&stream, u, prefix, &room, &got, &err), &err);
    assert_int_equal(got.size, data.size);
    if (data.size > 0)
        assert_memory_equal(got.data, data.data, data.size);
    if (data.size > 0) { /* a lower limit */
        c = cursor_of(buf_span(&out));
        seg_block_take_stream(&c, data.size - 1, &stream);
        assert_true(c.bad);
    }
    zstr_enc_free(z);
    zstr_dec_free(u);
}

static void test_streams(void **state)
{
    static uint8_t random[2000], text[2000], again[1000];
    uint64_t seed = 3;

    (void)state;
    for (size_t i = 0; i < sizeof random; i++) {
        random[i] = (uint8_t)check_random(&seed);
        text[i] = (uint8_t)("abcdefg"[i % 7]);
    }
    round_trip(span_of(NULL, 0), span_of(NULL, 0), false);
    round_trip(span_of(NULL, 0), span_of(text, 10), false);
    round_trip(span_of(NULL, 0), span_of(text, sizeof text), true);
    round_trip(span_of(NULL, 0), span_of(random, sizeof random), false);
    memcpy(again, random + 200, sizeof again); /* zstd takes no prefix that overlaps the data */
    round_trip(span_of(random, sizeof random), span_of(again, sizeof again), true);
    round_trip(span_of(text, 50), span_of(NULL, 0), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_page_numbers),
        cmocka_unit_test(test_zigzag),
        cmocka_unit_test(test_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
