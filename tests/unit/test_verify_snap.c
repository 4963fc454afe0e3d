/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots and merges that are whole, but not what they say. */
#include "verify_kit.h"

/* A snapshot of a state that the log does not have, by the run that wrote the log and by another one. */
static void test_snapshot_of_another_state(void **state)
{
    const struct make_history_state *s = make_history_find(&kit.h, 4, 18);
    struct make_history_state other = *s;
    struct nonce writer = kit.h.writer;
    layout_text key;

    (void)state;
    other.txid = 19;
    other.time_ms = 1;
    layout_snapshot(key, 4, 19, 1);
    make_history_snapshot_of(&kit.h, &other, 1);
    verify();
    assert_finding("same run", VERIFY_DAMAGED, key);
    remove_key(key);
    kit.h.writer = nonce_new();
    make_history_snapshot_of(&kit.h, &other, 1);
    verify();
    assert_finding("other run", VERIFY_UNEXPECTED, key);
    remove_key(key);
    other.txid = 25;
    layout_snapshot(key, 4, 25, 1);
    make_history_snapshot_of(&kit.h, &other, 1);
    verify();
    assert_finding("behind the end", VERIFY_UNEXPECTED, key);
    remove_key(key);
    kit.h.writer = writer;
}

/* Merges that are whole but not of this history's states; hashes and checksums are all right in themselves. */
static void test_merges_that_lie(void **state)
{
    struct make_history_state base = *make_history_find(&kit.h, 1, 10), end = *make_history_find(&kit.h, 1, 12);
    static const struct {
        uint64_t base_lie, end_lie;
        const char *text;
    } cases[] = {
        {1, 0, "it builds on state checksum"},
        {0, 1, "the state checksum of its base with its pages is"},
    };
    layout_text key;

    (void)state;
    layout_merge(key, 1, 3, 10, 12, end.time_ms);
    kit.h.timeline = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base.checksum ^= cases[i].base_lie;
        end.checksum ^= cases[i].end_lie;
        make_history_merge(&kit.h, 3, &base, &end, end.time_ms);
        base.checksum ^= cases[i].base_lie;
        end.checksum ^= cases[i].end_lie;
        verify();
        assert_finding(cases[i].text, VERIFY_DAMAGED, key);
        assert_non_null(strstr(kit.report.findings[0].text, cases[i].text));
    }
    /* Nothing proves the base: the log still knows better. */
    end.checksum ^= 1;
    base.txid = 11; /* inside of a segment, where no snapshot is */
    base.checksum = make_history_find(&kit.h, 1, 11)->checksum;
    remove_key(key);
    make_history_merge(&kit.h, 3, &base, &end, end.time_ms);
    layout_merge(key, 1, 3, 11, 12, end.time_ms);
    verify();
    assert_finding("of another state", VERIFY_DAMAGED, key);
    assert_non_null(strstr(kit.report.findings[0].text, "the log says"));
    remove_key(key);
    kit.h.timeline = 4;
}

/* What restores over a similar file are told of its pages.  The state itself is there, whatever that is. */
static void test_page_hashes_that_lie(void **state)
{
    const struct make_history_state *base = make_history_find(&kit.h, 1, 10), *end = make_history_find(&kit.h, 1, 12);
    struct make_history_state other = *make_history_find(&kit.h, 4, 19);
    layout_text key;

    uint32_t found = 0;

    (void)state;
    other.time_ms = 1;
    kit.h.hashed = true;
    layout_snapshot(key, 4, 19, 1);
    for (uint32_t wrong = 0; wrong < 3; wrong++) {
        kit.h.wrong_hash = wrong;
        make_history_snapshot_of(&kit.h, &other, 1);
        verify();
        if (wrong > 0) {
            assert_finding("snapshot", VERIFY_DAMAGED, key);
            assert_non_null(strstr(kit.report.findings[0].text, "the hash that it carries of page"));
        }
        assert_int_equal(kit.report.finding_count, wrong > 0);
        assert_restorable_as_reported("snapshot");
        remove_key(key);
    }
    kit.h.timeline = 1;
    layout_merge(key, 1, 3, 10, 12, end->time_ms);
    for (uint32_t wrong = 0; wrong <= end->page_count; wrong++) { /* some of them it does not have */
        kit.h.wrong_hash = wrong;
        make_history_merge(&kit.h, 3, base, end, end->time_ms);
        verify();
        if (kit.report.finding_count > 0)
            assert_finding("merge", VERIFY_DAMAGED, key);
        found += kit.report.finding_count > 0;
        remove_key(key);
    }
    assert_in_range(found, 1, end->page_count);
    kit.h.hashed = false;
    kit.h.wrong_hash = 0;
    kit.h.timeline = 4;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_that_lie),
        cmocka_unit_test(test_page_hashes_that_lie),
        cmocka_unit_test(test_snapshot_of_another_state),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
