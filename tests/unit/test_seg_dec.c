/* SPDX-License-Identifier: Apache-2.0 */
#include "seg_kit.h"

/* --- damage --------------------------------------------------------------------------------------------------- */

static void test_cut_short(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    set_up(&f, 6);
    for (size_t n = 0; n < f.object.size; n++) {
        assert_fails(decode(&f, span_of(f.object.data, n), &err), E_CORRUPT);
        assert_int_equal(f.reads + f.writes + f.commits, 0);
    }
    assert_ok_err(decode(&f, buf_span(&f.object), &err), &err);
    assert_int_equal(f.commits, 6);
    tear_down(&f);
}

static void test_flipped_bits(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    set_up(&f, 6);
    for (size_t i = 0; i < f.object.size * 8; i++) {
        f.object.data[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_fails(decode(&f, buf_span(&f.object), &err), E_CORRUPT);
        f.object.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_int_equal(f.reads + f.writes + f.commits, 0);
    tear_down(&f);
}

/* The same with hashes that fit: no crash, no impossible page number (the callbacks look); an error or a result, which
 * the caller compares with the state checksum. */
static void test_flipped_with_right_hashes(void **state)
{
    struct fixture f;
    size_t failed = 0, passed = 0;
    uint64_t seed = 1;

    (void)state;
    set_up(&f, 6);
    for (size_t i = 0; i < f.object.size * 8 + 3000; i++) {
        CLEANUP(buf_fini) struct buf copy, pages;
        struct err err;

        buf_init(&copy, SEG_OBJECT_MAX);
        buf_init(&pages, SEG_OBJECT_MAX);
        buf_put(&copy, f.object.data, f.object.size);
        if (i < f.object.size * 8)
            copy.data[i / 8] ^= (uint8_t)(1u << i % 8);
        for (int k = 0; k < 3 && i >= f.object.size * 8; k++) {
            size_t at = PACK_HEADER_SIZE + check_random(&seed) % (f.object.size - PACK_HEADER_SIZE);

            copy.data[at] = (uint8_t)check_random(&seed);
        }
        fix_hashes(&copy);
        rewind_to_start(&f);
        if (rc_failed(decode(&f, buf_span(&copy), &err)))
            failed++;
        else
            passed++;
        /* Listing must agree with applying about what is malformed, but for the data. */
        if (!rc_failed(list(buf_span(&copy), &pages, &err)) && f.log.size > pages.size)
            fail();
    }
    assert_in_range(failed, 500, 1000000);
    assert_in_range(passed, 500, 1000000); /* many bytes are content */
    tear_down(&f);
}

static void test_foreign_kinds(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    set_up(&f, 3);
    memcpy(f.object.data + 4, "part", 4);
    fix_hashes(&f.object);
    assert_fails(decode(&f, buf_span(&f.object), &err), E_CORRUPT);
    assert_string_equal(err.msg, "object header: a part where a segment was expected");
    memcpy(f.object.data + 4, "seg ", 4);
    f.object.data[10] = 1; /* a feature that this version does not know */
    fix_hashes(&f.object);
    assert_fails(decode(&f, buf_span(&f.object), &err), E_UNSUPPORTED);
    tear_down(&f);
}

/* --- callers ---------------------------------------------------------------------------------------------------- */

static void test_stop(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    set_up(&f, 6);
    for (uint64_t stop = 1; stop <= 6; stop++) {
        rewind_to_start(&f);
        f.stop_at = stop;
        assert_ok_err(decode(&f, buf_span(&f.object), &err), &err);
        assert_int_equal(f.commits, stop);
        assert_int_equal(f.writes, 3 * (stop > 5 ? 4 : stop - 1));
    }
    tear_down(&f);
}

/* Every callback fails once. */
static void test_callbacks_fail(void **state)
{
    struct fixture f;
    uint64_t calls = 0;
    struct err err;

    (void)state;
    set_up(&f, 6);
    assert_ok_err(decode(&f, buf_span(&f.object), &err), &err);
    calls = f.reads + f.writes + f.commits;
    assert_in_range(calls, 20, 60);
    for (uint64_t n = 1; n <= calls; n++) {
        rewind_to_start(&f);
        f.fail_at = n;
        assert_fails(decode(&f, buf_span(&f.object), &err), E_IO);
        assert_string_equal(err.msg, "as told");
        assert_int_equal(f.reads + f.writes + f.commits, n);
    }
    tear_down(&f);
}

static void test_no_memory(void **state)
{
    struct fixture f;
    struct err err;
    long n;

    (void)state;
    set_up(&f, 200);
    for (n = 1;; n++) {
        struct rc rc;

        rewind_to_start(&f);
        mem_fail_after(n, false);
        rc = decode(&f, buf_span(&f.object), &err);
        mem_fail_after(0, false);
        if (!rc_failed(rc))
            break;
        assert_fails(rc, E_NOMEM);
    }
    assert_in_range(n, 5, 40);
    tear_down(&f);
}

static void test_listing(void **state)
{
    CLEANUP(buf_fini) struct buf pages;
    struct fixture f;
    struct err err;

    (void)state;
    set_up(&f, 50);
    buf_init(&pages, 1 << 20);
    assert_ok_err(decode(&f, buf_span(&f.object), &err), &err);
    assert_ok_err(list(buf_span(&f.object), &pages, &err), &err);
    assert_int_equal(pages.size, 48 * 3 * 4);
    assert_int_equal(pages.size, f.log.size);
    assert_memory_equal(pages.data, f.log.data, pages.size);
    tear_down(&f);
}

/* --- an object of version 1 ------------------------------------------------------------------------------------- */

/* Whatever the encoder does later, this must be read for ever: deltas against a prefix, a page twice, a whole page, an
 * unchanged one, flags. */
static const uint8_t VERSION_1[] = {0x77, 0x65, 0x69, 0x72, 0x73, 0x65, 0x67, 0x20, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x38, 0x00, 0xda, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3b,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xbd, 0x7a, 0x39, 0x5f,
    0xbe, 0x1a, 0x38, 0x54, 0x02, 0x09, 0x28, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x80, 0xd0,
    0x95, 0xff, 0xbc, 0x31, 0x11, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x22, 0x22, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x10, 0x04, 0x00, 0x08, 0x07, 0x01, 0xfa, 0x01, 0x02, 0x2a, 0x08, 0x64, 0xa5, 0x01, 0xda, 0x01, 0x02, 0x08,
    0xc8, 0x01, 0xc8, 0x01, 0x06, 0xac, 0x02, 0x80, 0x01, 0x03, 0x0c, 0x00, 0x00, 0xef, 0x0b, 0x5e, 0x28, 0xb5, 0x2f,
    0xfd, 0x60, 0xf7, 0x01, 0xa5, 0x02, 0x00, 0x44, 0x04, 0x09, 0x08, 0xda, 0xd4, 0x1c, 0x67, 0xb6, 0x08, 0x5e, 0xb7,
    0x14, 0x74, 0xd8, 0x3f, 0xaa, 0x18, 0x8a, 0xff, 0x78, 0xf5, 0x74, 0xf8, 0x7e, 0x09, 0x97, 0x28, 0xbd, 0x55, 0xf1,
    0x90, 0x33, 0xd9, 0x83, 0x30, 0xe1, 0x95, 0x4d, 0x08, 0xc7, 0x8a, 0x4f, 0x19, 0xe5, 0xb6, 0x8a, 0x61, 0x3c, 0x1a,
    0xfc, 0xe1, 0xca, 0xb6, 0xa6, 0x99, 0x90, 0x8a, 0x88, 0x89, 0x8e, 0x97, 0xa2, 0xb2, 0xc4, 0xdb, 0xf5, 0x12, 0x33,
    0x44, 0x03, 0x00, 0x01, 0x3f, 0xae, 0x46, 0x50, 0x5f, 0x29, 0xeb, 0x30, 0xa8, 0x68, 0x03, 0xcd, 0x45, 0x05, 0xa1,
    0x0d, 0xba, 0x7e, 0xa3};

static struct rc old_read(void *ctx, uint32_t pgno, uint8_t *page, struct err *err)
{
    (void)err;
    memcpy(page, (uint8_t *)ctx + (size_t)(pgno - 1) * 512, 512);
    return RC_OK;
}

static struct rc old_write(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err)
{
    (void)err;
    memcpy((uint8_t *)ctx + (size_t)(pgno - 1) * 512, page, 512);
    return RC_OK;
}

static struct rc old_commit(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err)
{
    (void)ctx;
    (void)stop;
    (void)err;
    assert_int_equal(commit->checksum, commit->txid == 41 ? 0x1111 : 0x2222);
    return RC_OK;
}

static void test_version_1(void **state)
{
    static uint8_t pages[4][512];
    const struct seg_apply_ops ops = {old_read, old_write, old_commit, pages};
    const struct seg_info *info;
    struct seg_dec *d;
    bool stopped;
    struct err err;

    (void)state;
    for (int n = 0; n < 4; n++)
        for (int i = 0; i < 512; i++)
            pages[n][i] = (uint8_t)((i * i * 7 + n * 31 + i / 5) >> 2);
    assert_ok_err(seg_dec_open(&d, span_of(VERSION_1, sizeof VERSION_1), &err), &err);
    info = seg_dec_info(d);
    assert_int_equal(info->timeline, 2);
    assert_int_equal(info->base_txid, 40);
    assert_int_equal(info->base_checksum, 7);
    assert_int_equal(info->commits[1].time_ms, 1700000000250);
    assert_int_equal(info->commits[1].page_count, 5);
    assert_int_equal(info->commits[1].flags, SEG_RESYNC);
    assert_ok_err(seg_dec_apply_tail(d, &ops, &stopped, &err), &err);
    assert_true(digest_bytes(pages, sizeof pages) == 0x0401955bf3cd4925u);
    seg_dec_free(d);
}

/* One context for several decoders, also while another cannot be opened. */
static void test_borrowed_context(void **state)
{
    struct zstr_dec *zstd = zstr_dec_new();
    struct fixture alone, f[2];
    struct seg_dec *d[2], *none = NULL;
    bool stopped = false;
    struct err err;

    (void)state;
    set_up(&alone, 8);
    assert_ok_err(decode(&alone, buf_span(&alone.object), &err), &err);
    for (int i = 0; i < 2; i++) {
        set_up(&f[i], 8);
        assert_ok_err(seg_dec_open_with(&d[i], buf_span(&f[i].object), zstd, &err), &err);
        assert_fails(seg_dec_open_with(&none, span_of(f[i].object.data, f[i].object.size - 1), zstd, &err), E_CORRUPT);
        assert_null(none);
    }
    for (int i = 1; i >= 0; i--) {
        const struct seg_apply_ops ops = {on_read, on_write, on_commit, &f[i]};

        assert_ok_err(seg_dec_apply_tail(d[i], &ops, &stopped, &err), &err);
        assert_memory_equal(f[i].now.pages, alone.now.pages, (size_t)PAGE_SIZE * ROOM);
        seg_dec_free(d[i]);
        tear_down(&f[i]);
    }
    tear_down(&alone);
    zstr_dec_free(zstd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_flipped_with_right_hashes),
        cmocka_unit_test(test_foreign_kinds),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_callbacks_fail),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_borrowed_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
