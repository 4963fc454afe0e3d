/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "snap_hashes.h"
#include "snap_kit.h"

#include <stdio.h>

enum { PAGES_MAX = 3000 };

/* What the writer was given, and so what the table must say. */
static struct {
    struct snap_writer *w;
    struct buf object;
    uint32_t page_size, version[2 * PAGES_MAX];
    bool present[2 * PAGES_MAX];
} kit;

static void begin_with(uint32_t page_size, bool partial, const struct page_hash *known)
{
    memset(&kit, 0, sizeof kit);
    kit.page_size = page_size;
    kit.w = snap_writer_new(&kit_database, &kit_writer, page_size);
    if (partial)
        snap_writer_partial(kit.w);
    snap_writer_hashing(kit.w, known);
    buf_init(&kit.object, KIT_OBJECT_MAX);
}

static void begin(uint32_t page_size, bool partial)
{
    begin_with(page_size, partial, NULL);
}

static void add(const uint32_t *pgnos, uint32_t count, uint32_t version)
{
    struct err err;

    assert_ok_err(kit_add(kit.w, kit.page_size, pgnos, count, version, &kit.object, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        kit.present[pgnos[i]] = true;
        kit.version[pgnos[i]] = version;
    }
}

static void add_range(uint32_t first, uint32_t last, uint32_t version)
{
    uint32_t pgnos[2 * PAGES_MAX], n = 0;

    for (uint32_t p = first; p <= last; p++)
        pgnos[n++] = p;
    add(pgnos, n, version);
}

/* Finish with so many pages. */
static struct snap_index *finish(uint32_t page_count, unsigned level, bool with_table)
{
    CLEANUP(zstr_enc_freep) struct zstr_enc *z = zstr_enc_new(SNAP_FRAME_LEVEL);
    struct snap_meta meta = kit_meta(kit.page_size, page_count);
    struct snap_index *ix = NULL;
    uint64_t need;
    struct err err;

    meta.level = level;
    meta.base_txid = level > 0 ? 5 : 0;
    for (bool more = with_table; more;)
        assert_ok_err(snap_writer_hashes(kit.w, z, page_count, &kit.object, &more, &err), &err);
    assert_ok_err(snap_writer_finish(kit.w, &meta, &kit.object, &err), &err);
    assert_ok_err(snap_index_open(&ix, buf_span(&kit.object), kit.object.size, &need, &err), &err);
    assert_true(snap_index_meta(ix)->hashed);
    return ix;
}

static void end(struct snap_index *ix)
{
    snap_index_free(ix);
    snap_writer_free(kit.w);
    buf_fini(&kit.object);
}

static struct rc take_all(struct snap_hashes *r, const struct snap_index *ix, const uint8_t *object, struct err *err)
{
    for (size_t i = snap_hashes_first(r); i < snap_index_frame_count(ix); i++) {
        struct snap_index_frame f = snap_index_frame(ix, i);

        TRY(snap_hashes_take(r, i, span_of(object + f.offset, f.size), err));
    }
    return RC_OK;
}

static void compare(const struct snap_index *ix)
{
    struct page_hash *table = page_hash_new();
    uint8_t *page = malloc(kit.page_size);
    struct snap_hashes *r = NULL;
    struct err err;

    assert_ok_err(snap_hashes_open(&r, ix, table, &err), &err);
    assert_non_null(r);
    assert_ok_err(take_all(r, ix, kit.object.data, &err), &err);
    for (uint32_t p = 1; p < 2 * PAGES_MAX; p++) {
        uint64_t want = 0;

        if (kit.present[p] && p <= snap_index_meta(ix)->page_count) {
            kit_page(page, kit.page_size, p, kit.version[p]);
            want = digest_page(p, page, kit.page_size);
        }
        assert_true(page_hash_get(table, p) == want);
    }
    snap_hashes_close(r);
    page_hash_free(table);
    free(page);
}

static void test_snapshots(void **state)
{
    (void)state;
    for (uint32_t page_size = 512; page_size <= 65536; page_size *= 2) {
        uint32_t count = page_size > 4096 ? 100 : PAGES_MAX, changed[] = {1, 2, 7, 63, 64, 65, count};
        struct snap_index *ix;

        begin(page_size, false);
        add_range(1, count, 0);
        add(changed, sizeof changed / sizeof changed[0], 1);
        ix = finish(count, 0, true);
        compare(ix);
        end(ix);
    }
}

/* Pages beyond the end are in frames, at the very place where the hashes go. */
static void test_shrunk(void **state)
{
    (void)state;
    for (uint32_t pages = 1; pages < 200; pages += 7) {
        struct snap_index *ix;

        begin(512, false);
        add_range(1, 300, 0);
        add_range(pages, pages + 1, 1);
        ix = finish(pages, 0, true);
        compare(ix);
        end(ix);
    }
}

/* Who has the hashes anyway lends them: the same object, byte for byte. */
static void test_lent(void **state)
{
    struct page_hash *known = page_hash_new();
    uint8_t page[1024];
    struct snap_index *ix;
    struct buf noted;
    struct err err;

    (void)state;
    begin(sizeof page, false);
    add_range(1, 1000, 0);
    add_range(300, 400, 1);
    ix = finish(900, 0, true);
    noted = kit.object;
    buf_init(&kit.object, KIT_OBJECT_MAX);
    end(ix);
    for (uint32_t p = 1; p <= 900; p++) {
        kit_page(page, sizeof page, p, p >= 300 && p <= 400);
        assert_ok_err(page_hash_set(known, p, digest_page(p, page, sizeof page), &err), &err);
    }
    begin_with(sizeof page, false, known);
    add_range(1, 1000, 0);
    add_range(300, 400, 1);
    ix = finish(900, 0, true);
    compare(ix);
    assert_int_equal(kit.object.size, noted.size);
    assert_memory_equal(kit.object.data, noted.data, noted.size);
    assert_int_equal(page_hash_count(known), 900); /* only read */
    end(ix);
    buf_fini(&noted);
    page_hash_free(known);
}

static void test_merges(void **state)
{
    static const uint32_t pgnos[] = {3, 4, 5, 100, 2000, 2001};
    struct snap_index *ix;

    (void)state;
    begin(1024, true);
    add(pgnos, sizeof pgnos / sizeof pgnos[0], 0);
    add(pgnos + 2, 2, 1);
    ix = finish(2000, 1, true);
    compare(ix);
    end(ix);
}

/* Announced, and never written; not even a page. */
static void test_without(void **state)
{
    struct page_hash *table = page_hash_new();
    struct snap_hashes *r;
    struct snap_index *ix;
    struct err err;

    (void)state;
    begin(512, false);
    add_range(1, 300, 0);
    ix = finish(200, 0, false);
    assert_ok_err(snap_hashes_open(&r, ix, table, &err), &err);
    assert_null(r);
    end(ix);
    begin(512, false);
    ix = finish(0, 0, true);
    assert_ok_err(snap_hashes_open(&r, ix, table, &err), &err);
    assert_null(r);
    end(ix);
    page_hash_free(table);
}

static void test_damage(void **state)
{
    struct page_hash *table = page_hash_new();
    struct snap_hashes *r = NULL;
    struct snap_index_frame f;
    struct snap_index *ix;
    struct err err;

    (void)state;
    begin(512, false);
    add_range(1, 300, 0);
    ix = finish(300, 0, true);
    f = snap_index_frame(ix, snap_index_frame_count(ix) - 1);
    kit.object.data[f.offset + f.size / 2] ^= 1;
    assert_ok_err(snap_hashes_open(&r, ix, table, &err), &err);
    assert_non_null(r);
    assert_fails(take_all(r, ix, kit.object.data, &err), E_CORRUPT);
    snap_hashes_close(r);
    page_hash_free(table);
    end(ix);
}

/* Page numbers behind the end, but never the lock page's, nor one that SQLite does not have. */
static void test_numbers(void **state)
{
    const uint32_t lock = dbfmt_lock_page(65536);

    (void)state;
    assert_int_equal(snap_hashes_number(4096, 10, 0), 11);
    assert_int_equal(snap_hashes_number(65536, lock - 2, 0), lock - 1);
    assert_int_equal(snap_hashes_number(65536, lock - 2, 1), lock + 1);
    assert_int_equal(snap_hashes_number(65536, lock - 1, 0), lock + 1);
    assert_int_equal(snap_hashes_number(65536, lock, 0), lock + 1);
    assert_int_equal(snap_hashes_number(512, DBFMT_PAGE_COUNT_MAX - 1, 0), DBFMT_PAGE_COUNT_MAX);
    assert_int_equal(snap_hashes_number(512, DBFMT_PAGE_COUNT_MAX - 1, 1), 0);
    assert_int_equal(snap_hashes_number(512, DBFMT_PAGE_COUNT_MAX, 0), 0);
    assert_int_equal(snap_hashes_pages(512, 0), 0);
    assert_int_equal(snap_hashes_pages(512, 64), 1);
    assert_int_equal(snap_hashes_pages(512, 65), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_shrunk),
        cmocka_unit_test(test_lent),
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_without),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
