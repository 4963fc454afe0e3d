/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader against cut and damaged objects, merges, and objects of later versions.  What claims nonsense is in
 * test_snap_index_claims.c, what a writer makes in test_snap_writer.c.
 */
#include "snap_index_kit.h"

#include "alloc.h"

/* --- building ---------------------------------------------------------------------------------------------------- */

static void make_object(struct buf *object, uint32_t page_size, uint32_t pages, uint32_t again)
{
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, page_size);
    struct snap_meta meta = kit_meta(page_size, pages);
    struct err err;

    buf_init(object, KIT_OBJECT_MAX);
    assert_ok_err(kit_add_range(w, page_size, 1, pages, 0, object, &err), &err);
    if (again > 0)
        assert_ok_err(kit_add_range(w, page_size, 1, again, 1, object, &err), &err);
    assert_ok_err(snap_writer_finish(w, &meta, object, &err), &err);
    snap_writer_free(w);
}

/* Bytes from the index on. */
static size_t tail_size(const struct buf *o)
{
    return o->size - (size_t)kit_get(o->data + (o->size - PACK_TRAILER_SIZE - SNAP_FOOTER_SIZE + 96), 8);
}

/* --- cut and damaged --------------------------------------------------------------------------------------------- */

/* Whatever the caller has of the end, it is enough or the rest is asked for. */
static void test_every_tail(void **state)
{
    struct buf o;
    struct err err;
    size_t enough = 0;

    (void)state;
    make_object(&o, 512, 1000, 10);
    for (size_t n = 0; n <= o.size; n++) {
        struct rc rc = kit_open_index(o.data + (o.size - n), n, o.size, &err);

        if (!rc_failed(rc) && enough == 0)
            enough = n;
        assert_int_equal(rc.code, enough > 0 ? E_OK : E_BUSY);
        if (n > 500 && n < o.size)
            n += 997 < o.size - n - 1 ? 996 : 0; /* in steps, and then the last one */
    }
    assert_in_range(enough, SNAP_FOOTER_SIZE + PACK_TRAILER_SIZE + 3 * 8, 300);
    assert_fails(kit_open_index(o.data, o.size, o.size - 1, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "a tail of "));
    buf_fini(&o);
}

static void test_truncated(void **state)
{
    struct buf o;
    struct err err;

    (void)state;
    make_object(&o, 512, 20, 3);
    for (size_t n = 0; n < o.size; n++) {
        assert_fails(kit_open_index(o.data, n, n, &err), E_CORRUPT);
        if (n < PACK_HEADER_SIZE + SNAP_FOOTER_SIZE + PACK_TRAILER_SIZE)
            assert_non_null(strstr(err.msg, "too few"));
        else
            assert_non_null(strstr(err.msg, "no footer at the end"));
        if (n < PACK_TRAILER_SIZE + SNAP_FOOTER_END)
            continue;
        assert_fails(kit_open_index(o.data, n, o.size, &err), E_CORRUPT); /* the listing still says the old size */
    }
    buf_fini(&o);
}

/* As a caller does it who has the last `n` bytes at first, and fetches more when asked to. */
static struct rc open_tail(const struct buf *o, size_t n, struct err *err)
{
    struct rc rc = kit_open_index(o->data + (o->size - n), n, o->size, err);

    /* A damaged footer size or index place may ask for more than there is a need for, but never for ever. */
    while (rc.code == E_BUSY) {
        n = strtoul(err->msg + strlen("needs "), NULL, 10);
        rc = kit_open_index(o->data + (o->size - n), n, o->size, err);
    }
    return rc;
}

static void test_flipped(void **state)
{
    struct buf o;
    struct err err;
    size_t end;

    (void)state;
    make_object(&o, 512, 600, 3);
    end = tail_size(&o);
    assert_ok_err(open_tail(&o, end, &err), &err);
    for (size_t i = 0; i < o.size; i++) {
        bool in_tail = i >= o.size - end;

        if (!in_tail && i >= PACK_HEADER_SIZE && i % 64 != 0)
            continue;
        for (unsigned bit = 0; bit < 8; bit++) {
            o.data[i] ^= (uint8_t)(1u << bit);
            assert_fails(kit_open_index(o.data, o.size, o.size, &err), E_CORRUPT);
            /* The trailer covers the whole object: who has only the tail does not look at it. */
            if (in_tail && i < o.size - PACK_TRAILER_SIZE)
                assert_fails(open_tail(&o, end, &err), E_CORRUPT);
            o.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    buf_fini(&o);
}

/* Damage behind correct hashes must end in an error or in an index that keeps its promises, never anywhere else. */
static void test_flipped_and_fixed(void **state)
{
    struct buf o, copy;
    uint64_t seed = 11;
    size_t end;

    (void)state;
    make_object(&o, 512, 40, 7);
    end = tail_size(&o);
    buf_init(&copy, KIT_OBJECT_MAX);
    for (int i = 0; i < 20000; i++) {
        struct err err;

        buf_clear(&copy);
        buf_put(&copy, o.data, o.size);
        for (uint64_t k = check_random(&seed) % 3 + 1; k > 0; k--)
            copy.data[o.size - 1 - check_random(&seed) % end] = (uint8_t)check_random(&seed);
        kit_fix(copy.data, copy.size);
        rc_ignore(kit_open_index(copy.data, copy.size, copy.size, &err), "either way; the sanitizers look");
    }
    buf_fini(&copy);
    buf_fini(&o);
}

/* --- merges ------------------------------------------------------------------------------------------------------ */

/* Every third page of 4 to 40, some of them twice; the state has 30 pages. */
static void make_merge(struct buf *object, const struct snap_meta *meta)
{
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, 512);
    uint32_t pgnos[13], n = 0;
    struct err err;

    buf_init(object, KIT_OBJECT_MAX);
    snap_writer_partial(w);
    for (uint32_t p = 4; p <= 40; p += 3)
        pgnos[n++] = p;
    assert_ok_err(kit_add(w, 512, pgnos, n, 0, object, &err), &err);
    assert_ok_err(kit_add(w, 512, pgnos, 2, 1, object, &err), &err);
    assert_ok_err(snap_writer_finish(w, meta, object, &err), &err);
    snap_writer_free(w);
}

static struct snap_meta merge_meta(void)
{
    struct snap_meta meta = kit_meta(512, 30);

    meta.level = 2;
    meta.base_txid = 70;
    meta.base_checksum = 0x123456789abcdef0;
    return meta;
}

static void test_merge(void **state)
{
    static const uint8_t first[13] = {1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1};
    const struct snap_meta meta = merge_meta();
    struct snap_index *ix = NULL;
    struct snap_index_frame f;
    uint64_t need;
    struct buf o;
    struct err err;

    (void)state;
    make_merge(&o, &meta);
    assert_ok_err(snap_index_open(&ix, buf_span(&o), o.size, &need, &err), &err);
    assert_int_equal(snap_index_meta(ix)->level, 2);
    assert_int_equal(snap_index_meta(ix)->base_txid, 70);
    assert_true(snap_index_meta(ix)->base_checksum == meta.base_checksum);
    assert_true(snap_index_meta(ix)->checksum == meta.checksum);
    assert_int_equal(snap_index_meta(ix)->txid, meta.txid);
    assert_int_equal(snap_index_meta(ix)->page_count, 30);
    assert_int_equal(snap_index_frame_count(ix), 2);
    f = snap_index_frame(ix, 0);
    assert_int_equal(f.page_count, 13);
    assert_memory_equal(f.superseded, first, 13);
    f = snap_index_frame(ix, 1);
    assert_int_equal(f.page_count, 2);
    assert_memory_equal(f.superseded, "\0\0", 2);
    snap_index_free(ix);
    buf_fini(&o);
}

/* A version that knows nothing of merges refuses one: it would take it for all pages. */
static void test_merge_needs_its_feature(void **state)
{
    const struct snap_meta meta = merge_meta();
    struct pack_header h;
    struct buf o;
    struct err err;

    (void)state;
    make_merge(&o, &meta);
    assert_fails(pack_decode_header(buf_span(&o), PACK_SNAPSHOT, 0, &h, &err), E_UNSUPPORTED);
    o.data[10] = 0; /* in the header alone: seen by who has the whole object */
    kit_fix(o.data, o.size);
    assert_ok_err(kit_open_index(o.data + 56, o.size - 56, o.size, &err), &err);
    assert_fails(kit_open_index(o.data, o.size, o.size, &err), E_CORRUPT);
    assert_string_equal(err.msg, "snapshot: the header and the footer's copy of it differ");
    o.data[o.size - PACK_TRAILER_SIZE - SNAP_FOOTER_SIZE_PARTIAL + 10] = 0; /* in both: then pages are missing */
    kit_fix(o.data, o.size);
    assert_fails(kit_open_index(o.data, o.size, o.size, &err), E_CORRUPT);
    assert_string_equal(err.msg, "snapshot index: a database of 30 pages with 15 pages in all frames together");
    buf_fini(&o);
}

static void test_merge_from_nowhere(void **state)
{
    static const struct {
        unsigned at, size; /* in the footer */
        uint64_t value;
        const char *msg;
    } cases[] = {
        {128, 8, 0, "merge footer: from txid 0 to txid 77"},
        {128, 8, 77, "merge footer: from txid 77 to txid 77"},
        {128, 8, UINT64_MAX, "merge footer: from txid 18446744073709551615 to txid 77"},
        {144, 4, 0, "merge footer: level 0"},
        {144, 4, 256, "merge footer: level 256"},
        {80, 4, UINT32_MAX, "snapshot footer: 4294967295 pages are more than SQLite can have"},
        {152, 4, 144, "snapshot footer: no footer at the end"},
    };
    const struct snap_meta meta = merge_meta();
    struct buf o;
    struct err err;

    (void)state;
    make_merge(&o, &meta);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *at = o.data + (o.size - PACK_TRAILER_SIZE - SNAP_FOOTER_SIZE_PARTIAL) + cases[i].at;
        uint64_t before = kit_get(at, cases[i].size);

        kit_set(at, cases[i].value, cases[i].size);
        kit_fix(o.data, o.size);
        assert_fails(kit_open_index(o.data, o.size, o.size, &err), E_CORRUPT);
        if (cases[i].at < 152) /* a wrong size of the footer is met in many ways */
            assert_string_equal(err.msg, cases[i].msg);
        kit_set(at, before, cases[i].size);
        kit_fix(o.data, o.size);
    }
    assert_ok_err(kit_open_index(o.data, o.size, o.size, &err), &err);
    buf_fini(&o);
}

/* --- later versions, memory -------------------------------------------------------------------------------------- */

static void test_newer(void **state)
{
    struct buf o;
    struct err err;
    uint8_t *footer;

    (void)state;
    make_object(&o, 512, 30, 0);
    footer = o.data + (o.size - PACK_TRAILER_SIZE - SNAP_FOOTER_SIZE);
    footer[10] = o.data[10] = 2; /* a feature that a reader must know */
    kit_fix(o.data, o.size);
    assert_fails(open_tail(&o, tail_size(&o), &err), E_UNSUPPORTED);
    assert_string_equal(err.msg, "snapshot footer: object header: feature bits 0x2 need a newer weir");
    footer[10] = o.data[10] = 0;
    footer[12] = o.data[12] = 1; /* one that it may ignore */
    kit_fix(o.data, o.size);
    assert_ok_err(open_tail(&o, o.size, &err), &err);
    o.data[32]++; /* the writer */
    kit_fix(o.data, o.size);
    assert_fails(open_tail(&o, o.size, &err), E_CORRUPT);
    assert_string_equal(err.msg, "snapshot: the header and the footer's copy of it differ");
    buf_fini(&o);
}

/* A footer with more fields than we know. */
static void test_longer_footer(void **state)
{
    static const uint8_t more[24] = {1, 2, 3};
    struct buf o, longer;
    struct err err;
    size_t cut;

    (void)state;
    make_object(&o, 512, 30, 0);
    cut = o.size - PACK_TRAILER_SIZE - SNAP_FOOTER_END;
    buf_init(&longer, KIT_OBJECT_MAX);
    buf_put(&longer, o.data, cut);
    buf_put(&longer, more, sizeof more);
    buf_put(&longer, o.data + cut, o.size - cut);
    kit_set(longer.data + cut + sizeof more, SNAP_FOOTER_SIZE + sizeof more, 4);
    kit_fix(longer.data, longer.size);
    assert_ok_err(open_tail(&longer, longer.size, &err), &err);
    assert_ok_err(open_tail(&longer, 30, &err), &err);
    kit_set(longer.data + cut + sizeof more, SNAP_FOOTER_SIZE - 1, 4);
    assert_fails(open_tail(&longer, 30, &err), E_CORRUPT);
    assert_non_null(strstr(err.msg, "snapshot footer: a size of 143 bytes in an object of"));
    kit_set(longer.data + cut + sizeof more, SNAP_FOOTER_MAX + 1, 4);
    assert_fails(open_tail(&longer, 30, &err), E_CORRUPT);
    buf_fini(&o);
    buf_fini(&longer);
}

static void test_no_memory(void **state)
{
    struct buf o;
    int n;

    (void)state;
    make_object(&o, 512, 1500, 0);
    for (n = 1;; n++) {
        struct err err;
        struct rc rc;

        mem_fail_after(n, n % 2 == 0);
        rc = open_tail(&o, tail_size(&o), &err);
        mem_fail_after(0, false);
        if (!rc_failed(rc))
            break;
        assert_fails(rc, E_NOMEM);
    }
    assert_in_range(n, 6, 20);
    buf_fini(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_tail),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_flipped_and_fixed),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_merge_needs_its_feature),
        cmocka_unit_test(test_merge_from_nowhere),
        cmocka_unit_test(test_newer),
        cmocka_unit_test(test_longer_footer),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
