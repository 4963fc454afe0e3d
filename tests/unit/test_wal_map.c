/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "wal_map.h"

#include <string.h>

enum { PAGES = 30000 };

static void compare(const struct wal_map *m, const uint32_t *model)
{
    for (uint32_t p = 1; p <= PAGES; p++)
        assert_int_equal(wal_map_get(m, p), model[p]);
}

/* Page numbers up to PAGES, some close together, some far apart; then once more after it was cleared, small and large.
 */
static void like_an_array(void **state)
{
    static uint32_t model[PAGES + 1];
    struct wal_map *m = wal_map_new();
    uint64_t seed = 3;
    uint32_t frame = 0;

    (void)state;
    for (int round = 0; round < 6; round++) {
        uint32_t sets = round % 2 == 0 ? 100 : 40000;

        memset(model, 0, sizeof model);
        for (uint32_t i = 0; i < sets; i++) {
            uint32_t pgno = (uint32_t)(check_random(&seed) % (round < 3 ? 200 : PAGES)) + 1;

            assert_int_equal(wal_map_get(m, pgno), model[pgno]);
            model[pgno] = ++frame;
            wal_map_set(m, pgno, frame);
        }
        compare(m, model);
        assert_int_equal(wal_map_get(m, 0xffffffff), 0);
        assert_true(wal_map_complete(m));
        wal_map_clear(m);
        memset(model, 0, sizeof model);
        compare(m, model);
    }
    wal_map_free(m);
}

/* All land in the same slot of a small table: the search goes around its end. */
static void collisions(void **state)
{
    struct wal_map *m = wal_map_new();

    (void)state;
    for (uint32_t i = 1; i <= 400; i++)
        wal_map_set(m, i << 20, i);
    for (uint32_t i = 1; i <= 400; i++)
        assert_int_equal(wal_map_get(m, i << 20), i);
    wal_map_set(m, UINT32_MAX, UINT32_MAX);
    assert_int_equal(wal_map_get(m, UINT32_MAX), UINT32_MAX);
    wal_map_free(m);
}

static void full(void **state)
{
    struct wal_map *m = wal_map_new();

    (void)state;
    for (uint32_t p = 1; p <= WAL_MAP_MAX; p++)
        wal_map_set(m, p, p + 7);
    assert_true(wal_map_complete(m));
    wal_map_set(m, 5, 99); /* a known page still finds its place */
    assert_true(wal_map_complete(m));
    wal_map_set(m, WAL_MAP_MAX + 1, 1);
    assert_false(wal_map_complete(m));
    assert_int_equal(wal_map_get(m, WAL_MAP_MAX + 1), 0);
    assert_int_equal(wal_map_get(m, 5), 99);
    assert_int_equal(wal_map_get(m, WAL_MAP_MAX), WAL_MAP_MAX + 7);
    wal_map_clear(m);
    assert_true(wal_map_complete(m));
    assert_int_equal(wal_map_get(m, 5), 0);
    wal_map_free(m);
}

/* Growing fails: what is there stays, what is left out is told. */
static void no_memory(void **state)
{
    struct wal_map *m = wal_map_new();
    uint32_t p = 0;

    (void)state;
    mem_fail_after(1, true);
    while (wal_map_complete(m) && p < 5000) {
        p++;
        wal_map_set(m, p, p);
    }
    mem_fail_after(0, false);
    assert_false(wal_map_complete(m));
    assert_in_range(p, 100, 4999);
    assert_int_equal(wal_map_get(m, p), 0);
    for (uint32_t q = 1; q < p; q++)
        assert_int_equal(wal_map_get(m, q), q);
    wal_map_set(m, p, p); /* memory is back: taken again, but the map stays incomplete until it is cleared */
    assert_int_equal(wal_map_get(m, p), p);
    assert_false(wal_map_complete(m));
    wal_map_free(m);
}

static void free_null(void **state)
{
    (void)state;
    wal_map_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(like_an_array),
        cmocka_unit_test(collisions),
        cmocka_unit_test(full),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(free_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
