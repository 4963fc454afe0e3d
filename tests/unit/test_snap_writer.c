/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole snapshots, written and read back against a model: the version of each page that counts.  The reader has tests
 * of its own for what no writer makes.
 */
#include "check.h"

#include "alloc.h"
#include "snap_kit.h"

#include <stdio.h>

enum { PAGES_MAX = 1500, ROUNDS = 40 };

/* Open the object through its tail, as a restore does: first SNAP_TAIL_SIZE bytes, then what is asked for. */
static struct snap_index *open_object(const struct buf *object, unsigned *rounds)
{
    uint64_t need = object->size < SNAP_TAIL_SIZE ? object->size : SNAP_TAIL_SIZE;
    struct snap_index *ix = NULL;
    struct err err;

    for (*rounds = 0; need > 0; ++*rounds) {
        struct span tail = span_of(object->data + (object->size - need), (size_t)need);

        assert_ok_err(snap_index_open(&ix, tail, object->size, &need, &err), &err);
        assert_true(need == 0 || (need > tail.size && need <= object->size));
    }
    assert_non_null(ix);
    return ix;
}

/* Decode all frames; every page within the database counts exactly once, in the version of the model. */
static void compare(const struct buf *object, const struct snap_index *ix, const uint32_t *version)
{
    const struct snap_meta *meta = snap_index_meta(ix);
    CLEANUP(zstr_dec_freep) struct zstr_dec *d = zstr_dec_new();
    uint8_t *pages = malloc(SNAP_FRAME_RAW_MAX), *want = malloc(meta->page_size);
    uint8_t *met = calloc((size_t)meta->page_count + 1, 1);
    uint64_t end = PACK_HEADER_SIZE;
    struct err err;

    for (size_t i = 0; i < snap_index_frame_count(ix); i++) {
        struct snap_index_frame f = snap_index_frame(ix, i);

        assert_true(f.offset == end);
        end += f.size;
        assert_ok_err(snap_frame_decode(d, ix, i, span_of(object->data + f.offset, f.size), pages, &err), &err);
        for (uint32_t k = 0; k < f.page_count; k++) {
            if (f.superseded[k])
                continue;
            assert_in_range(f.pgnos[k], 1, meta->page_count);
            assert_int_equal(met[f.pgnos[k]]++, 0);
            kit_page(want, meta->page_size, f.pgnos[k], version[f.pgnos[k]]);
            assert_memory_equal(pages + (size_t)k * meta->page_size, want, meta->page_size);
        }
    }
    for (uint32_t p = 1; p <= meta->page_count; p++)
        assert_int_equal(met[p], p != dbfmt_lock_page(meta->page_size));
    free(pages);
    free(want);
    free(met);
}

static void assert_same_meta(const struct snap_meta *a, const struct snap_meta *b)
{
    assert_true(nonce_equal(&a->database, &b->database));
    assert_true(nonce_equal(&a->writer, &b->writer));
    assert_int_equal(a->timeline, b->timeline);
    assert_int_equal(a->txid, b->txid);
    assert_int_equal(a->time_ms, b->time_ms);
    assert_int_equal(a->page_size, b->page_size);
    assert_int_equal(a->page_count, b->page_count);
    assert_int_equal(a->checksum, b->checksum);
}

/* All pages in order, then a few rounds of changed ones, some of them appended, at last perhaps a shrink. */
static void walk(uint32_t page_size, uint64_t *seed)
{
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, page_size);
    uint32_t count = (uint32_t)(check_random(seed) % PAGES_MAX) + 1, version[2 * PAGES_MAX + 1] = {0};
    uint32_t pgnos[PAGES_MAX];
    unsigned rounds = (unsigned)(check_random(seed) % 4), opened;
    struct snap_meta meta;
    struct snap_index *ix;
    struct buf object;
    struct err err;

    buf_init(&object, KIT_OBJECT_MAX);
    if (page_size > 8192)
        count = count % 100 + 1;
    assert_ok_err(kit_add_range(w, page_size, 1, count, 0, &object, &err), &err);
    for (uint32_t r = 1; r <= rounds; r++) {
        uint32_t n = 0, grown = count + (uint32_t)(check_random(seed) % 20);

        for (uint32_t p = 1; p <= grown && n < PAGES_MAX; p++)
            if (p > count || check_random(seed) % 10 == 0) {
                pgnos[n++] = p;
                version[p] = r;
            }
        count = n == PAGES_MAX ? count : grown;
        assert_ok_err(kit_add(w, page_size, pgnos, n, r, &object, &err), &err);
    }
    if (check_random(seed) % 2 == 0)
        count = (uint32_t)(check_random(seed) % count) + 1;
    meta = kit_meta(page_size, count);
    assert_ok_err(snap_writer_finish(w, &meta, &object, &err), &err);
    assert_true(snap_writer_size(w) == object.size);
    ix = open_object(&object, &opened);
    assert_int_equal(opened, 1);
    assert_same_meta(snap_index_meta(ix), &meta);
    compare(&object, ix, version);
    snap_index_free(ix);
    buf_fini(&object);
    snap_writer_free(w);
}

static void test_round_trips(void **state)
{
    uint64_t seed = 42;

    (void)state;
    for (uint32_t page_size = 512; page_size <= 65536; page_size *= 2)
        for (int i = 0; i < (page_size > 8192 ? ROUNDS / 8 : ROUNDS / 4); i++)
            walk(page_size, &seed);
}

/* The object is a pack like any other: header in front, trailer over everything. */
static void test_pack(void **state)
{
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, 1024);
    struct snap_meta meta = kit_meta(1024, 300);
    struct pack_header h;
    struct span body;
    struct buf object, piece;
    struct err err;

    (void)state;
    buf_init(&object, KIT_OBJECT_MAX);
    buf_init(&piece, KIT_OBJECT_MAX);
    assert_int_equal(snap_writer_size(w), 0);
    assert_ok_err(kit_add_range(w, 1024, 1, 256, 0, &piece, &err), &err);
    assert_true(snap_writer_size(w) == piece.size);
    assert_ok_err(pack_decode_header(buf_span(&piece), PACK_SNAPSHOT, 0, &h, &err), &err);
    buf_put(&object, piece.data, piece.size);
    buf_clear(&piece); /* the caller sends it away in pieces */
    assert_ok_err(kit_add_range(w, 1024, 257, 300, 0, &piece, &err), &err);
    assert_ok_err(snap_writer_finish(w, &meta, &piece, &err), &err);
    buf_put(&object, piece.data, piece.size);
    assert_ok_err(pack_open(buf_span(&object), PACK_SNAPSHOT, 0, &h, &body, &err), &err);
    assert_true(nonce_equal(&h.database, &kit_database));
    assert_true(nonce_equal(&h.writer, &kit_writer));
    buf_fini(&object);
    buf_fini(&piece);
    snap_writer_free(w);
}

static void test_no_pages(void **state)
{
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, 4096);
    struct snap_meta meta = kit_meta(4096, 0);
    struct snap_index *ix;
    unsigned rounds;
    struct buf object;
    struct err err;

    (void)state;
    buf_init(&object, KIT_OBJECT_MAX);
    assert_ok_err(snap_writer_finish(w, &meta, &object, &err), &err);
    assert_int_equal(object.size, PACK_HEADER_SIZE + SNAP_FOOTER_SIZE + PACK_TRAILER_SIZE);
    ix = open_object(&object, &rounds);
    assert_int_equal(snap_index_frame_count(ix), 0);
    snap_index_free(ix);
    buf_fini(&object);
    snap_writer_free(w);
}

static void test_missing_page(void **state)
{
    static const uint32_t pgnos[] = {1, 2, 3, 5, 6};
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, 4096);
    struct snap_meta meta = kit_meta(4096, 5);
    struct buf object;
    struct err err;

    (void)state;
    buf_init(&object, KIT_OBJECT_MAX);
    assert_ok_err(kit_add(w, 4096, pgnos, 5, 0, &object, &err), &err);
    assert_fails(snap_writer_finish(w, &meta, &object, &err), E_BUG);
    assert_string_equal(err.msg, "finish: snapshot index: page 4 of 5 is in no frame");
    buf_fini(&object);
    snap_writer_free(w);
}

/* The pages around the lock page: with 64 KiB it is page 16385.  All frames share the bytes of one, so that no gigabyte
 * is compressed. */
static void test_lock_page(void **state)
{
    const uint32_t lock = dbfmt_lock_page(65536), end = lock + 7;
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, 65536);
    CLEANUP(zstr_enc_freep) struct zstr_enc *z = zstr_enc_new(SNAP_FRAME_LEVEL);
    struct snap_meta meta = kit_meta(65536, end);
    uint32_t pgnos[4] = {1, 2, 3, 4}, n = 0;
    uint8_t *zeros = calloc(4, 65536);
    struct snap_frame f = {0};
    struct snap_index *ix;
    struct buf object;
    unsigned rounds;
    struct err err;

    (void)state;
    assert_int_equal(lock, 16385);
    buf_init(&object, KIT_OBJECT_MAX);
    assert_ok_err(snap_frame_encode(z, 65536, pgnos, zeros, 4, &f, &err), &err);
    for (uint32_t p = 1; p <= end; p++) {
        if (p != lock)
            f.pgnos[n++] = p;
        if (n < 4 && p != end)
            continue;
        f.page_count = n;
        n = 0;
        assert_ok_err(snap_writer_add(w, &f, &object, &err), &err);
    }
    assert_ok_err(snap_writer_finish(w, &meta, &object, &err), &err);
    ix = open_object(&object, &rounds);
    for (size_t i = 0; i < snap_index_frame_count(ix); i++)
        for (uint32_t k = 0; k < snap_index_frame(ix, i).page_count; k++)
            assert_int_not_equal(snap_index_frame(ix, i).pgnos[k], lock);
    assert_int_equal(snap_index_frame(ix, lock / 4).pgnos[0], lock + 1); /* and not the lock page itself */
    snap_index_free(ix);
    snap_frame_fini(&f);
    free(zeros);
    buf_fini(&object);
    snap_writer_free(w);
}

/* As many frames as 5 GB of 4 KiB pages have, of sizes as they come: the index is too large for the first tail. */
static void test_large_index(void **state)
{
    enum { FRAMES = 20000 };
    struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, 4096);
    struct snap_meta meta = kit_meta(4096, FRAMES * 64 + 1);
    uint32_t pgnos[64], next = 1;
    struct snap_frame f = {.pgnos = pgnos, .page_count = 64};
    uint64_t seed = 5, body;
    struct snap_index *ix;
    struct buf object;
    unsigned rounds;
    struct err err;

    (void)state;
    buf_init(&object, KIT_OBJECT_MAX);
    buf_init(&f.stored, SNAP_FRAME_STORED_MAX);
    (void)memset(buf_grow(&f.stored, 2000), 1, 2000);
    for (uint32_t i = 0; i < FRAMES; i++) {
        for (uint32_t k = 0; k < 64; k++) {
            next += next == dbfmt_lock_page(4096);
            pgnos[k] = next++;
        }
        f.hash = check_random(&seed);
        buf_trim(&f.stored, 1000 + check_random(&seed) % 1000);
        assert_ok_err(snap_writer_add(w, &f, &object, &err), &err);
        (void)buf_grow(&f.stored, 2000 - f.stored.size); /* there already: the next frame is as long as it likes */
    }
    body = object.size;
    assert_ok_err(snap_writer_finish(w, &meta, &object, &err), &err);
    assert_in_range(object.size - body, SNAP_TAIL_SIZE + 1, 11 * FRAMES); /* 8 of them are the hash */
    ix = open_object(&object, &rounds);
    assert_int_equal(rounds, 2);
    assert_int_equal(snap_index_frame_count(ix), FRAMES);
    assert_int_equal(snap_index_frame(ix, FRAMES - 1).pgnos[63], FRAMES * 64 + 1);
    snap_index_free(ix);
    buf_fini(&f.stored);
    buf_fini(&object);
    snap_writer_free(w);
}

static struct rc make(size_t object_max, struct err *err)
{
    CLEANUP(snap_writer_freep) struct snap_writer *w = snap_writer_new(&kit_database, &kit_writer, 512);
    struct snap_meta meta = kit_meta(512, 1200);
    struct buf object;
    struct rc rc;

    buf_init(&object, object_max);
    rc = kit_add_range(w, 512, 1, 1200, 0, &object, err);
    if (!rc_failed(rc))
        rc = snap_writer_finish(w, &meta, &object, err);
    buf_fini(&object);
    return rc;
}

static void test_no_memory(void **state)
{
    int n;

    (void)state;
    for (n = 1;; n++) {
        struct err err;
        struct rc rc;

        mem_fail_after(n, n % 2 == 0);
        rc = make(KIT_OBJECT_MAX, &err);
        mem_fail_after(0, false);
        if (!rc_failed(rc))
            break;
        assert_fails(rc, E_NOMEM);
    }
    assert_in_range(n, 10, 100);
}

/* The caller's buffer has a maximum; wherever it is met, that is what the error says. */
static void test_no_room(void **state)
{
    struct err err;
    size_t room = 0;

    (void)state;
    for (;; room += 997) {
        struct rc rc = make(room, &err);

        if (!rc_failed(rc))
            break;
        assert_fails(rc, E_NOSPACE);
        assert_non_null(strstr(err.msg, "snapshot"));
    }
    assert_true(room > 1200 * 512 / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_no_pages),
        cmocka_unit_test(test_missing_page),
        cmocka_unit_test(test_lock_page),
        cmocka_unit_test(test_large_index),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
