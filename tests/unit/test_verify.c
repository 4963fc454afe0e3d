/* SPDX-License-Identifier: Apache-2.0 */
/* Verifications of a history built by hand: each object in turn is removed, cut, turned by a bit, exchanged, doubled.
 * Every damage is found and named, nothing else is, and what the report calls restorable can be restored. */
#include "verify_kit.h"

/* --- tests ---------------------------------------------------------------------------------------------------------
 */

static void test_whole(void **state)
{
    (void)state;
    verify();
    print_findings();
    assert_int_equal(kit.report.finding_count, 0);
    assert_false(verify_failed(&kit.report));
    assert_int_equal(kit.report.totals[VERIFY_GOOD], kit.key_count);
    assert_int_equal(kit.report.timeline_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(kit.report.timelines[i].range_count, 1);
        assert_int_equal(kit.report.timelines[i].loss_count, 0);
    }
    assert_int_equal(kit.report.timelines[2].ranges[0].first_txid, FORK + 1);
    assert_restorable_as_reported("whole");
}

/* What a replica by itself cannot know: a later end, a merge, and a snapshot that nothing depends on. */
static bool can_be_missed(const char *key)
{
    return strstr(key, "t/00000004/log/0000000000000013") != NULL || strstr(key, "/merge/") != NULL
           || strstr(key, "t/00000001/snap/000000000000000a-") != NULL || strstr(key, "t/00000003/snap/") != NULL;
}

static void test_removed(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.key_count; i++) {
        const char *key = kit.keys[i];
        struct buf bytes = read_key(key);

        remove_key(key);
        verify();
        if (can_be_missed(key))
            assert_int_equal(kit.report.finding_count, 0);
        else
            assert_finding("removed", VERIFY_MISSING, key);
        if (strstr(key, "log/0000000000000013") == NULL) /* the commit that nobody knows of */
            assert_restorable_as_reported(key);
        write_key(key, bytes.data, bytes.size);
        buf_fini(&bytes);
    }
}

static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.key_count; i++) {
        const char *key = kit.keys[i];
        struct buf bytes = read_key(key);
        const size_t sizes[] = {0, 1, 55, 60, bytes.size / 2, bytes.size - 9, bytes.size - 3};

        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            write_key(key, bytes.data, sizes[k]);
            verify();
            assert_finding("cut", VERIFY_DAMAGED, key);
        }
        if (i % 4 == 0)
            assert_restorable_as_reported(key);
        write_key(key, bytes.data, bytes.size);
        buf_fini(&bytes);
    }
}

/* Fields that are there for people: nothing else says the same. */
static bool for_people(const struct buf *json, size_t at)
{
    static const char *const fields[] = {
        "\"writer\"", "\"host\"", "\"pid\"", "\"path\"", "\"time_ms\"", "\"created_ms\"", "\"page_size\""};
    size_t begin = at;

    while (begin > 0 && json->data[begin - 1] != '\n')
        begin--;
    while (begin < json->size && json->data[begin] == ' ')
        begin++;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strncmp((const char *)json->data + begin, fields[i], strlen(fields[i])) == 0)
            return true;
    return false;
}

static void flip(const char *key, struct buf *bytes, size_t at, unsigned bit)
{
    char what[64];

    (void)snprintf(what, sizeof what, "bit %u of byte %zu", bit, at);
    bytes->data[at] = (uint8_t)(bytes->data[at] ^ 1u << bit);
    write_key(key, bytes->data, bytes->size);
    verify();
    if (!is_document(key) || !for_people(bytes, at) || kit.report.finding_count > 0)
        assert_finding(what, VERIFY_DAMAGED, key);
    bytes->data[at] = (uint8_t)(bytes->data[at] ^ 1u << bit);
}

static void test_turned_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.key_count; i++) {
        const char *key = kit.keys[i];
        struct buf bytes = read_key(key);
        const size_t n = bytes.size;
        const size_t places[] = {
            0, 7, 8, 12, 17, 33, 48, 55, 56, 57, 64, n / 3, n / 2, n - 100, n - 20, n - 9, n - 8, n - 1};

        for (size_t at = i % 5; is_document(key) && at < n - 1; at += 5)
            flip(key, &bytes, at, (unsigned)at % 7);
        for (size_t k = 0; !is_document(key) && k < sizeof places / sizeof places[0]; k++)
            if (places[k] < n)
                flip(key, &bytes, places[k], (unsigned)k % 8);
        write_key(key, bytes.data, bytes.size);
        buf_fini(&bytes);
    }
}

static void test_exchanged(void **state)
{
    (void)state;
    for (size_t distance = 1; distance <= 3; distance += 2)
        for (size_t i = 0; i < kit.key_count; i++) {
            const char *const pair[] = {kit.keys[i], kit.keys[(i + distance) % kit.key_count]};
            struct buf a = read_key(pair[0]), b = read_key(pair[1]);

            write_key(pair[0], b.data, b.size);
            write_key(pair[1], a.data, a.size);
            verify();
            assert_findings("exchanged", VERIFY_DAMAGED, pair, 2);
            write_key(pair[0], a.data, a.size);
            write_key(pair[1], b.data, b.size);
            buf_fini(&a);
            buf_fini(&b);
        }
}

static void put_copy(const char *from, const char *to)
{
    struct buf bytes = read_key(from);

    write_key(to, bytes.data, bytes.size);
    buf_fini(&bytes);
}

static const char *key_with(const char *text)
{
    for (size_t i = 0; i < kit.key_count; i++)
        if (strstr(kit.keys[i], text) != NULL)
            return kit.keys[i];
    fail();
    return NULL;
}

static void test_added(void **state)
{
    static const struct {
        const char *like, *key;
        enum verify_answer answer;
    } added[] = {
        {"weir.json", "notes.txt", VERIFY_UNEXPECTED},
        {"weir.json", "t/00000001/log/readme", VERIFY_UNEXPECTED},
        {"weir.json", "t/00000002/more/0000000000000001", VERIFY_UNEXPECTED},
        {"/part/", "t/00000003/part/0000000000000010-00000000-00000000", VERIFY_UNEXPECTED},
        {"/part/", "t/00000001/part/0000000000000010-00000000-00000000", VERIFY_UNEXPECTED},
        {"/snap/", "t/00000001/snap/0000000000000005-0000000000000001", VERIFY_DAMAGED},
        {"/log/0000000000000001", "t/00000001/log/0000000000000003", VERIFY_DAMAGED},
        {"/log/0000000000000002", "t/00000003/log/0000000000000013", VERIFY_DAMAGED},
        {"/log/0000000000000002", "t/00000004/log/0000000000000014", VERIFY_DAMAGED},
        {"/log/0000000000000002", "t/00000002/log/0000000000000002", VERIFY_DAMAGED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof added / sizeof added[0]; i++) {
        char path[PATH_SIZE];

        path_of(path, added[i].key);
        *strrchr(path, '/') = 0;
        assert_ok_err(fsys_make_dirs(&fsys_real, path, 0755, &kit.err), &kit.err);
        put_copy(key_with(added[i].like), added[i].key);
        verify();
        assert_finding(added[i].key, added[i].answer, added[i].key);
        assert_int_equal(verify_failed(&kit.report), added[i].answer != VERIFY_UNEXPECTED);
        assert_int_equal(kit.report.totals[VERIFY_GOOD], kit.key_count);
        if (strstr(added[i].key, "/log/") != NULL)
            assert_restorable_as_reported(added[i].key);
        remove_key(added[i].key);
    }
}

/* A segment that is whole and in its place, but does not go on where the one before it ends. */
static void test_another_chain(void **state)
{
    struct buf bytes = read_key("t/00000004/log/0000000000000013");

    (void)state;
    remove_key("t/00000004/log/0000000000000013");
    kit.h.now = kit.h.count - 2; /* go on from txid 18 once more, with a lie before */
    kit.h.states[kit.h.now].checksum ^= 1;
    insert(0);
    make_history_cut(&kit.h);
    kit.h.states[kit.h.count - 3].checksum ^= 1;
    verify();
    assert_finding("another chain", VERIFY_DAMAGED, "t/00000004/log/0000000000000013");
    free(kit.h.states[--kit.h.count].image);
    kit.h.now = kit.h.count - 1;
    assert_restorable_as_reported("another chain");
    write_key("t/00000004/log/0000000000000013", bytes.data, bytes.size);
    buf_fini(&bytes);
}

/* A part that is whole and of the right size, but not the one that the segment lists; and the one before it is gone. */
static void test_another_part(void **state)
{
    const char *first = key_with("t/00000003/part/");
    char second[PATH_SIZE];
    struct buf before, part, other;

    (void)state;
    (void)snprintf(second, sizeof second, "%s", first);
    second[strlen(second) - 1]++;
    before = read_key(first);
    part = read_key(second);
    other = read_key(second);
    buf_trim(&other, other.size - PACK_TRAILER_SIZE);
    other.data[other.size / 2] ^= 1;
    pack_put_trailer(&other);
    write_key(second, other.data, other.size);
    verify();
    assert_finding("another part", VERIFY_DAMAGED, second);
    remove_key(first);
    verify();
    assert_int_equal(kit.report.finding_count, 2);
    assert_int_equal(kit.report.counts[LAYOUT_PART][VERIFY_MISSING], 1);
    assert_int_equal(kit.report.counts[LAYOUT_PART][VERIFY_DAMAGED], 1);
    assert_restorable_as_reported("another part");
    write_key(first, before.data, before.size);
    write_key(second, part.data, part.size);
    buf_fini(&before);
    buf_fini(&part);
    buf_fini(&other);
}

static void test_one_timeline(void **state)
{
    (void)state;
    kit.opts.timeline = 2;
    verify();
    assert_int_equal(kit.report.timeline_count, 2);
    assert_int_equal(kit.report.finding_count, 0);
    kit.opts.timeline = 9;
    verify_fini(&kit.report);
    assert_fails(session_run(&fsys_real, kit.url, run_verify, NULL, &kit.err), E_NOTFOUND);
    kit.opts.timeline = 0;
}

static void test_nothing_there(void **state)
{
    char url[PATH_SIZE];

    (void)state;
    (void)snprintf(url, sizeof url, "file://%s/nowhere", kit.dir);
    verify_fini(&kit.report);
    assert_fails(session_run(&fsys_real, url, run_verify, NULL, &kit.err), E_NOTFOUND);
    assert_non_null(strstr(kit.err.msg, "no replica at"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_turned_bits),
        cmocka_unit_test(test_exchanged),
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_another_chain),
        cmocka_unit_test(test_another_part),
        cmocka_unit_test(test_one_timeline),
        cmocka_unit_test(test_nothing_there),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
