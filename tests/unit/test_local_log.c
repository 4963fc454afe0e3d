/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fault_fsys.h"
#include "local_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ID = 42, PAGES = 10 };

/* A log in the making, and what it is expected to say. */
struct maker {
    struct buf file;
    uint64_t chain;
};

static void begin(struct maker *m)
{
    struct buf head;

    buf_init(&m->file, 64 << 20);
    buf_init(&head, LOCAL_FMT_LOG_HEADER_SIZE);
    local_fmt_encode_log_header(ID, &head, &m->chain);
    buf_put(&m->file, head.data, head.size);
    buf_fini(&head);
}

static uint64_t put(struct maker *m, const struct local_fmt_record *record)
{
    struct buf b;

    buf_init(&b, LOCAL_FMT_CHAIN_SIZE + LOCAL_FMT_RECORD_SIZE_MAX);
    local_fmt_encode_record(record, &m->chain, &b);
    assert_int_equal(b.failed, E_OK);
    buf_put(&m->file, b.data + LOCAL_FMT_CHAIN_SIZE, b.size - LOCAL_FMT_CHAIN_SIZE);
    buf_fini(&b);
    return m->file.size;
}

static uint64_t put_page(struct maker *m, uint32_t pgno, uint64_t hash)
{
    struct local_fmt_record r = {.type = LOCAL_FMT_PAGES};
    struct buf entries;
    uint64_t mark;

    buf_init(&entries, 100);
    local_fmt_put_entry(&entries, pgno, hash);
    r.entries = buf_span(&entries);
    mark = put(m, &r);
    buf_fini(&entries);
    return mark;
}

static void put_position(struct maker *m, uint64_t mark, uint64_t txid)
{
    struct local_fmt_record r = {.type = LOCAL_FMT_POSITION, .mark = mark};

    r.pos = (struct pos){.txid = txid, .page_size = 512, .page_count = PAGES};
    (void)put(m, &r);
}

static void put_session(struct maker *m, uint64_t mark, uint64_t salt)
{
    (void)put(m, &(struct local_fmt_record){.type = LOCAL_FMT_SESSION, .mark = mark, .salt = salt});
}

struct reading {
    struct local_log log;
    struct local_state_content content;
    struct page_hash *hashes;
    struct err err;
    struct rc rc;
};

static void read_bytes_of(struct reading *r, const void *data, size_t size, uint64_t id, bool followed)
{
    char path[] = "/tmp/test_local_log.XXXXXX";
    struct fault_fsys f;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    memset(r, 0, sizeof *r);
    assert_ok_err(fsys_write_at(&fsys_real, fd, path, data, size, 0, &r->err), &r->err);
    fault_fsys_init(&f, FAULT_ONCE, 0, 0);
    f.short_io = true;
    local_log_init(&r->log);
    r->hashes = page_hash_new();
    r->content.restored = r->content.chosen = true;
    r->content.followed = followed;
    r->rc = local_log_scan(&r->log, &f.fs, fd, "the log", id, &r->content, &r->err);
    if (!rc_failed(r->rc))
        r->rc = local_log_replay(&r->log, &f.fs, fd, "the log", id, PAGES, r->hashes, &r->err);
    assert_int_equal(close(fd), 0);
}

static void read_bytes(struct reading *r, const void *data, size_t size, uint64_t id)
{
    read_bytes_of(r, data, size, id, false);
}

static void end_reading(struct reading *r)
{
    local_log_fini(&r->log);
    page_hash_free(r->hashes);
}

/* Read `m` and compare: last txid, and the hashes of pages 1, 2, 3. */
static void expect(const struct maker *m, uint64_t txid, uint64_t h1, uint64_t h2, uint64_t h3)
{
    struct reading r;

    read_bytes(&r, m->file.data, m->file.size, ID);
    assert_ok_err(r.rc, &r.err);
    assert_int_equal(r.content.pos.txid, txid);
    assert_int_equal(r.content.restored, txid == 0);
    assert_int_equal(r.content.chosen, txid == 0);
    assert_int_equal(page_hash_get(r.hashes, 1), h1);
    assert_int_equal(page_hash_get(r.hashes, 2), h2);
    assert_int_equal(page_hash_get(r.hashes, 3), h3);
    assert_int_equal(page_hash_count(r.hashes), PAGES);
    assert_int_equal(r.log.end, m->file.size);
    assert_int_equal(r.log.chain, m->chain);
    end_reading(&r);
}

static void expect_corrupt(const struct maker *m, const char *text)
{
    struct reading r;

    read_bytes(&r, m->file.data, m->file.size, ID);
    assert_fails(r.rc, E_CORRUPT);
    if (strstr(r.err.msg, text) == NULL)
        fail_msg("%s", r.err.msg);
    end_reading(&r);
}

static void only_acknowledged_pages_count(void **state)
{
    struct maker m;
    uint64_t a, b;

    (void)state;
    begin(&m);
    expect(&m, 0, 0, 0, 0);
    a = put_page(&m, 1, 11);
    expect(&m, 0, 0, 0, 0);
    b = put_page(&m, 1, 12);
    (void)put_page(&m, 3, 13);
    put_position(&m, a, 5); /* late, and about the first page only */
    expect(&m, 5, 11, 0, 0);
    put_position(&m, b, 6);
    expect(&m, 6, 12, 0, 0);
    (void)put_page(&m, PAGES + 1, 99); /* a page that the state no longer has */
    put_position(&m, m.file.size, 7);
    expect(&m, 7, 12, 0, 13);
    buf_fini(&m.file);
}

static void what_a_dead_process_left_is_void(void **state)
{
    struct maker m;
    uint64_t a;

    (void)state;
    begin(&m);
    a = put_page(&m, 1, 11);
    (void)put_page(&m, 2, 12); /* never acknowledged */
    put_position(&m, a, 1);
    put_session(&m, a, 1);
    expect(&m, 1, 11, 0, 0);
    (void)put_page(&m, 2, 13); /* nor this, in the next life */
    put_session(&m, a, 2);
    (void)put_page(&m, 3, 14);
    put_position(&m, m.file.size, 2);
    expect(&m, 2, 11, 0, 14);
    put_session(&m, m.file.size - 16 - 8 - POS_ENCODED_SIZE, 3); /* a clean end */
    (void)put_page(&m, 2, 15);
    put_position(&m, m.file.size, 3);
    expect(&m, 3, 11, 15, 14);
    buf_fini(&m.file);
}

/* Its positions were applied, not shipped. */
static void a_followed_copy_stays_restored(void **state)
{
    struct maker m;
    struct reading r;

    (void)state;
    begin(&m);
    put_position(&m, put_page(&m, 1, 11), 5);
    read_bytes_of(&r, m.file.data, m.file.size, ID, true);
    assert_ok_err(r.rc, &r.err);
    assert_int_equal(r.content.pos.txid, 5);
    assert_true(r.content.restored);
    assert_false(r.content.chosen);
    end_reading(&r);
    buf_fini(&m.file);
}

static void runs_are_kept_whatever_is_void(void **state)
{
    struct maker m;
    struct reading r;

    (void)state;
    begin(&m);
    for (int i = 0; i < LOCAL_STATE_RUNS_MAX + 3; i++)
        (void)put(&m, &(struct local_fmt_record){.type = LOCAL_FMT_RUN, .run = {{(uint8_t)i}}});
    put_session(&m, LOCAL_FMT_LOG_HEADER_SIZE, 1);
    read_bytes(&r, m.file.data, m.file.size, ID);
    assert_ok_err(r.rc, &r.err);
    assert_int_equal(r.content.run_count, LOCAL_STATE_RUNS_MAX);
    for (int i = 0; i < LOCAL_STATE_RUNS_MAX; i++)
        assert_int_equal(r.content.runs[i].bytes[0], i + 3);
    end_reading(&r);
    buf_fini(&m.file);
}

/* Cut anywhere: what is left is one of the states that were acknowledged, the latest that fits. */
static void a_torn_end_counts_up_to_the_last_good_record(void **state)
{
    struct maker m;
    uint64_t ends[6];

    (void)state;
    begin(&m);
    ends[0] = m.file.size;
    for (uint64_t i = 1; i < 6; i++) {
        uint64_t mark = put_page(&m, 1, 100 + i);

        put_position(&m, mark, i);
        ends[i] = m.file.size;
    }
    for (size_t n = LOCAL_FMT_LOG_HEADER_SIZE; n <= m.file.size; n++)
        for (int garbage = 0; garbage < 2; garbage++) {
            CLEANUP(mem_freep) uint8_t *bytes = mem_new(n + 300);
            struct reading r;
            uint64_t want = 5;

            while (ends[want] > n)
                want--;
            memcpy(bytes, m.file.data, n);
            memset(bytes + n, garbage * 0x5a, 300);
            read_bytes(&r, bytes, n + (garbage ? 300 : 0), ID);
            assert_ok_err(r.rc, &r.err);
            assert_int_equal(r.content.pos.txid, want);
            assert_int_equal(page_hash_get(r.hashes, 1), want == 0 ? 0 : 100 + want);
            end_reading(&r);
        }
    buf_fini(&m.file);
}

/* A record that is whole, but was written behind another predecessor, does not count. */
static void stale_bytes_never_count(void **state)
{
    struct maker old, new;
    struct reading r;

    (void)state;
    begin(&old);
    begin(&new);
    put_session(&old, LOCAL_FMT_LOG_HEADER_SIZE, 1);
    put_session(&new, LOCAL_FMT_LOG_HEADER_SIZE, 2); /* of the same size: only the salt differs */
    assert_int_equal(old.file.size, new.file.size);
    put_position(&old, put_page(&old, 1, 11), 1);
    memcpy(old.file.data, new.file.data, new.file.size);
    read_bytes(&r, old.file.data, old.file.size, ID);
    assert_ok_err(r.rc, &r.err);
    assert_int_equal(r.content.pos.txid, 0);
    assert_int_equal(r.log.end, new.file.size);
    end_reading(&r);
    buf_fini(&old.file);
    buf_fini(&new.file);
}

static void a_wrong_header_is_refused(void **state)
{
    struct maker m;
    struct reading r;

    (void)state;
    begin(&m);
    for (size_t n = 0; n < LOCAL_FMT_LOG_HEADER_SIZE; n++) {
        read_bytes(&r, m.file.data, n, ID);
        assert_fails(r.rc, E_CORRUPT);
        end_reading(&r);
        m.file.data[n] ^= 0x10;
        read_bytes(&r, m.file.data, m.file.size, ID);
        assert_true(r.rc.code == E_CORRUPT || r.rc.code == E_UNSUPPORTED);
        end_reading(&r);
        m.file.data[n] ^= 0x10;
    }
    read_bytes(&r, m.file.data, m.file.size, ID + 1);
    assert_fails(r.rc, E_CORRUPT);
    end_reading(&r);
    buf_fini(&m.file);
}

static void senseless_marks_are_refused(void **state)
{
    struct maker m;
    uint64_t a;

    (void)state;
    begin(&m);
    a = put_page(&m, 1, 11);
    put_position(&m, a + 1, 1); /* ahead of its own record */
    expect_corrupt(&m, "has mark");
    buf_fini(&m.file);

    begin(&m);
    a = put_page(&m, 1, 11);
    put_position(&m, a, 1);
    put_position(&m, a - 28, 2); /* backwards */
    expect_corrupt(&m, "has mark");
    buf_fini(&m.file);

    begin(&m);
    a = put_page(&m, 1, 11);
    put_position(&m, a - 1, 1); /* inside a record */
    expect_corrupt(&m, "no record ends at the mark");
    buf_fini(&m.file);

    begin(&m);
    a = put_page(&m, 1, 11);
    (void)put_page(&m, 1, 12);
    put_session(&m, LOCAL_FMT_LOG_HEADER_SIZE, 1);
    put_position(&m, a, 1); /* of what is void */
    expect_corrupt(&m, "has mark");
    buf_fini(&m.file);

    begin(&m);
    a = put_page(&m, 1, 11);
    put_session(&m, a, 1); /* nobody acknowledged that */
    expect_corrupt(&m, "goes on from");
    buf_fini(&m.file);
}

static void void_ranges_are_bounded(void **state)
{
    struct maker m;
    struct reading r;
    uint64_t acked = LOCAL_FMT_LOG_HEADER_SIZE;

    (void)state;
    begin(&m);
    for (uint64_t i = 0; i < LOCAL_LOG_VOIDS_MAX; i++) {
        (void)put_page(&m, 1, 11);
        put_session(&m, acked, i);
        acked = put_page(&m, 2, i + 1);
        put_position(&m, acked, i + 1);
    }
    read_bytes(&r, m.file.data, m.file.size, ID);
    assert_ok_err(r.rc, &r.err);
    assert_int_equal(r.log.void_count, LOCAL_LOG_VOIDS_MAX);
    assert_int_equal(page_hash_get(r.hashes, 1), 0);
    assert_int_equal(page_hash_get(r.hashes, 2), LOCAL_LOG_VOIDS_MAX);
    end_reading(&r);
    (void)put_page(&m, 1, 11);
    put_session(&m, acked, 0);
    expect_corrupt(&m, "ranges are void");
    buf_fini(&m.file);
}

/* Records of every size up to the largest, over many windows, through reads that come back short. */
static void large_logs_fit_the_window(void **state)
{
    CLEANUP(page_hash_freep) struct page_hash *want = page_hash_new();
    struct local_fmt_record r = {.type = LOCAL_FMT_PAGES};
    struct buf entries;
    struct maker m;
    struct reading got;
    uint64_t seed = 1;
    struct err err;

    (void)state;
    begin(&m);
    buf_init(&entries, LOCAL_FMT_ENTRIES_MAX * LOCAL_FMT_ENTRY_SIZE);
    for (int i = 0; i < 60; i++) {
        size_t n = i < 3 ? LOCAL_FMT_ENTRIES_MAX : check_random(&seed) % LOCAL_FMT_ENTRIES_MAX + 1;

        buf_clear(&entries);
        for (size_t k = 0; k < n; k++) {
            uint32_t pgno = (uint32_t)(check_random(&seed) % PAGES) + 1;
            uint64_t hash = check_random(&seed);

            local_fmt_put_entry(&entries, pgno, hash);
            assert_ok_err(page_hash_set(want, pgno, hash, &err), &err);
        }
        r.entries = buf_span(&entries);
        (void)put(&m, &r);
    }
    put_position(&m, m.file.size, 1);
    read_bytes(&got, m.file.data, m.file.size, ID);
    assert_ok_err(got.rc, &got.err);
    assert_int_equal(got.log.end, m.file.size);
    assert_int_equal(page_hash_checksum(got.hashes), page_hash_checksum(want));
    end_reading(&got);
    buf_fini(&entries);
    buf_fini(&m.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_acknowledged_pages_count),
        cmocka_unit_test(what_a_dead_process_left_is_void),
        cmocka_unit_test(a_followed_copy_stays_restored),
        cmocka_unit_test(runs_are_kept_whatever_is_void),
        cmocka_unit_test(a_torn_end_counts_up_to_the_last_good_record),
        cmocka_unit_test(stale_bytes_never_count),
        cmocka_unit_test(a_wrong_header_is_refused),
        cmocka_unit_test(senseless_marks_are_refused),
        cmocka_unit_test(void_ranges_are_bounded),
        cmocka_unit_test(large_logs_fit_the_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
