/* SPDX-License-Identifier: Apache-2.0 */
/* Ways around what is known to be lost. */
#include "plan_kit.h"

/* --- merges --------------------------------------------------------------------------------------------------------
 */

/* Around a lost merge by smaller ones or by segments; around a lost segment by a merge. */
static void test_ways_around(void **state)
{
    struct catalog *c = merged();
    struct plan_lost lost = {0};
    const struct layout_key keys[] = {merge_key(2, 1, 31), merge_key(1, 11, 21), log_key(15), merge_key(1, 21, 31)};
    struct err err;

    (void)state;
    assert_ok_err(plan_lost_add(&lost, &keys[0], &err), &err);
    assert_way(c, 32, &lost, "1:32 = 1:1@1 + M1 1>11 + M1 11>21 + M1 21>31 + 1:32..32, 7200 bytes");
    assert_ok_err(plan_lost_add(&lost, &keys[1], &err), &err);
    assert_way(c, 22, &lost,
        "1:22 = 1:1@1 + M1 1>11 + 1:12..12 + 1:13..13 + 1:14..14 + 1:15..15 + 1:16..16 + 1:17..17 + 1:18..18 + "
        "1:19..19 + 1:20..20 + 1:21..21 + 1:22..22, 6800 bytes");
    assert_ok_err(plan_lost_add(&lost, &keys[2], &err), &err);
    assert_way(c, 32, &lost, "E_NOTFOUND: txid 32 cannot be restored: no other way leads to it");
    assert_way(c, 14, &lost, "1:14 = 1:1@1 + M1 1>11 + 1:12..12 + 1:13..13 + 1:14..14, 6000 bytes");
    assert_true(plan_lost_has(&lost, &keys[1]));
    assert_false(plan_lost_has(&lost, &keys[3]));
    plan_lost_fini(&lost);
    /* Merges bridge a hole in the log. */
    assert_ok_err(plan_lost_add(&lost, &keys[2], &err), &err);
    assert_way(c, 33, &lost, "1:33 = 1:1@1 + M2 1>31 + 1:32..32 + 1:33..33, 6100 bytes");
    assert_ok_err(plan_lost_add(&lost, &keys[2], &err), &err);
    assert_int_equal(lost.count, 1);
    plan_lost_fini(&lost);
    catalog_free(c);
}

/* A segment that nobody listed: the one before it ends there, and what lies behind is reached by merges only. */
static void test_lost_inside_a_segment(void **state)
{
    struct catalog *c = catalog_of_one(3, 0, 1, 1);
    struct plan_lost lost = {0};
    const struct layout_key key = log_key(5);
    struct err err;

    (void)state;
    add_log(c, 1, 10);
    add_log(c, 2, 10);
    add_log(c, 9, 10);
    add_snapshot(c, 1, 100);
    add_merge(c, 1, 4, 8, 50);
    assert_way(c, 9, NULL, "1:9 = 1:1@1 + 1:2..8 + 1:9..9, 120 bytes");
    assert_ok_err(plan_lost_add(&lost, &key, &err), &err);
    assert_way(c, 9, &lost, "1:9 = 1:1@1 + 1:2..4 + M1 4>8 + 1:9..9, 170 bytes");
    assert_way(c, 4, &lost, "1:4 = 1:1@1 + 1:2..4, 110 bytes");
    assert_way(c, 6, &lost, "E_NOTFOUND: txid 6 cannot be restored: no other way leads to it");
    plan_lost_fini(&lost);
    catalog_free(c);
}

/* --- without each of its objects -----------------------------------------------------------------------------------
 */

static void assert_without(const struct catalog *c, uint64_t txid, const struct layout_key *key, uint64_t cost)
{
    struct plan_lost lost = {0};
    struct plan *p = NULL;
    struct err err;
    struct rc rc;

    assert_ok_err(plan_lost_add(&lost, key, &err), &err);
    rc = plan_restore(c, 1, txid, &lost, &p, &err);
    plan_lost_fini(&lost);
    if (rc_failed(rc)) {
        assert_int_equal(rc.code, E_NOTFOUND);
        return;
    }
    assert_true(plan_cost(p) >= cost);
    for (size_t i = 0; i < p->base_count; i++) {
        const struct layout_key used = plan_base_key(&p->bases[i]);

        assert_false(used.kind == key->kind && used.txid == key->txid && used.base_txid == key->base_txid
                     && used.level == key->level);
    }
    for (size_t i = 0; i < p->segment_count; i++) {
        const struct catalog_step *s = &p->segments[i];

        assert_false(key->kind == LAYOUT_FOLD && s->fold_first == key->txid && s->fold_last == key->last_txid);
        assert_false(key->kind == LAYOUT_LOG && !catalog_step_is_fold(s) && s->first_txid <= key->txid
                     && s->last_txid >= key->txid);
    }
    plan_free(p);
}

static void test_without_each_object(void **state)
{
    uint64_t tip;
    struct catalog *c = month(16, &tip);
    struct plan *p = NULL;
    struct err err;

    (void)state;
    assert_ok_err(plan_restore(c, 1, tip, NULL, &p, &err), &err);
    for (size_t i = 0; i < p->base_count; i++) {
        const struct layout_key key = plan_base_key(&p->bases[i]);

        assert_without(c, tip, &key, plan_cost(p));
    }
    for (size_t i = 0; i < p->segment_count; i++) {
        const struct catalog_step *s = &p->segments[i];
        const struct layout_key key = {.kind = catalog_step_is_fold(s) ? LAYOUT_FOLD : LAYOUT_LOG,
            .timeline = 1,
            .txid = catalog_step_is_fold(s) ? s->fold_first : s->first_txid,
            .last_txid = s->fold_last};

        assert_without(c, tip, &key, plan_cost(p));
    }
    plan_free(p);
    catalog_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways_around),
        cmocka_unit_test(test_lost_inside_a_segment),
        cmocka_unit_test(test_without_each_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
