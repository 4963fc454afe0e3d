/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "digest.h"
#include "seal.h"

#include <string.h>

static struct seal example(void)
{
    struct seal s = {
        .pack = {.database = {{1, 2, 3}}, .writer = {{4, 5, 6}}},
        .timeline = 7,
        .successor = 8,
        .txid = 123456789012,
        .time_ms = 1700000000123,
        .owner = "host.example weir[4711]",
    };
    return s;
}

static void encode(const struct seal *s, struct buf *out)
{
    struct err err;

    buf_init(out, 4096);
    assert_ok_err(seal_encode(s, out, &err), &err);
}

static void fix_trailer(struct buf *b)
{
    buf_trim(b, b->size - PACK_TRAILER_SIZE);
    pack_put_trailer(b);
}

static void test_round_trip(void **state)
{
    CLEANUP(buf_fini) struct buf b;
    struct seal s = example(), got;
    struct err err;

    (void)state;
    encode(&s, &b);
    assert_ok_err(seal_decode(buf_span(&b), &got, &err), &err);
    assert_int_equal(got.pack.kind, PACK_SEAL);
    assert_true(nonce_equal(&got.pack.database, &s.pack.database));
    assert_true(nonce_equal(&got.pack.writer, &s.pack.writer));
    assert_int_equal(got.timeline, 7);
    assert_int_equal(got.successor, 8);
    assert_int_equal(got.txid, 123456789012);
    assert_int_equal(got.time_ms, 1700000000123);
    assert_string_equal(got.owner, s.owner);
}

static void test_extremes(void **state)
{
    struct seal s = example(), got;
    struct err err;

    (void)state;
    s.timeline = UINT32_MAX - 1;
    s.successor = UINT32_MAX;
    s.txid = UINT64_MAX;
    s.time_ms = INT64_MAX;
    for (size_t n = 0; n < sizeof s.owner; n += sizeof s.owner - 1) { /* none, and the longest */
        CLEANUP(buf_fini) struct buf b;

        memset(s.owner, 0, sizeof s.owner);
        memset(s.owner, 'x', n);
        encode(&s, &b);
        assert_ok_err(seal_decode(buf_span(&b), &got, &err), &err);
        assert_true(got.txid == UINT64_MAX);
        assert_true(got.time_ms == INT64_MAX);
        assert_int_equal(strlen(got.owner), n);
    }
}

static void refuse(const struct seal *s, const char *message)
{
    CLEANUP(buf_fini) struct buf b;
    struct err err;

    buf_init(&b, 4096);
    assert_fails(seal_encode(s, &b, &err), E_BUG);
    assert_string_equal(err.msg, message);
}

static void test_refused_by_the_encoder(void **state)
{
    struct seal s = example();

    (void)state;
    s.successor = 7;
    refuse(&s, "seal of timeline 7: the successor is not a later timeline");
    s = example();
    s.txid = 0;
    refuse(&s, "seal of timeline 7: txid 0");
    s = example();
    s.time_ms = -1;
    refuse(&s, "seal of timeline 7: a time before 1970");
    s = example();
    memset(s.owner, 'x', sizeof s.owner);
    refuse(&s, "seal of timeline 7: owner is too long or has control characters");
    s = example();
    s.owner[2] = '\n';
    refuse(&s, "seal of timeline 7: owner is too long or has control characters");
}

static void test_damage(void **state)
{
    CLEANUP(buf_fini) struct buf b;
    struct seal s = example(), got;
    struct err err;

    (void)state;
    encode(&s, &b);
    for (size_t n = 0; n < b.size; n++)
        assert_fails(seal_decode(span_of(b.data, n), &got, &err), E_CORRUPT);
    for (size_t i = 0; i < b.size * 8; i++) {
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_fails(seal_decode(buf_span(&b), &got, &err), E_CORRUPT);
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_ok_err(seal_decode(buf_span(&b), &got, &err), &err);
}

/* What a hash cannot catch: somebody wrote it like that. */
static void test_hostile(void **state)
{
    CLEANUP(buf_fini) struct buf b;
    struct seal s = example(), got;
    struct err err;

    (void)state;
    encode(&s, &b);
    b.data[PACK_HEADER_SIZE + 1] = 7; /* the successor */
    fix_trailer(&b);
    assert_fails(seal_decode(buf_span(&b), &got, &err), E_CORRUPT);
    assert_string_equal(err.msg, "seal of timeline 7: the successor is not a later timeline");
    b.data[PACK_HEADER_SIZE + 1] = 8;
    b.data[b.size - PACK_TRAILER_SIZE - 1] = 0x1b; /* the end of the owner: an escape sequence for the terminal */
    fix_trailer(&b);
    assert_fails(seal_decode(buf_span(&b), &got, &err), E_CORRUPT);
    assert_string_equal(err.msg, "seal of timeline 7: owner has control characters");
    b.data[b.size - PACK_TRAILER_SIZE - 1] = ']';
    buf_trim(&b, b.size - PACK_TRAILER_SIZE - 1);
    pack_put_trailer(&b);
    assert_fails(seal_decode(buf_span(&b), &got, &err), E_CORRUPT);
    assert_string_equal(err.msg, "seal: cut short or malformed");
    buf_trim(&b, b.size - PACK_TRAILER_SIZE);
    buf_text(&b, "]]");
    pack_put_trailer(&b);
    assert_fails(seal_decode(buf_span(&b), &got, &err), E_CORRUPT);
    assert_string_equal(err.msg, "seal: 1 bytes left over at the end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_refused_by_the_encoder),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
