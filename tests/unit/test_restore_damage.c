/* SPDX-License-Identifier: Apache-2.0 */
/* Restores from a replica in which something is damaged, missing or foreign. */
#include "restore_kit.h"

/* --- damage --------------------------------------------------------------------------------------------------------
 */

enum { OBJECTS_MAX = 64 };
static char objects[OBJECTS_MAX][PATH_SIZE];
static size_t object_count;

static int on_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)where;
    if (kind == FTW_F && object_count < OBJECTS_MAX)
        (void)snprintf(objects[object_count++], PATH_SIZE, "%s", path);
    return 0;
}

static void list_objects(void)
{
    object_count = 0;
    assert_int_equal(nftw(kit.root, on_file, 8, FTW_PHYS), 0);
    assert_in_range(object_count, 15, OBJECTS_MAX - 1);
}

enum damage { REMOVED, EMPTY, CUT, FLIPPED_BEGIN, FLIPPED_MIDDLE, FLIPPED_END, DAMAGES };

static void do_damage(const char *path, struct buf *bytes, enum damage damage)
{
    size_t at = damage == FLIPPED_BEGIN ? 9 : damage == FLIPPED_MIDDLE ? bytes->size / 2 : bytes->size - 1;

    if (damage == REMOVED)
        assert_int_equal(unlink(path), 0);
    else if (damage == EMPTY || damage == CUT)
        write_file(path, bytes->data, damage == EMPTY ? 0 : bytes->size - 1);
    else {
        bytes->data[at] ^= 0x10;
        write_file(path, bytes->data, bytes->size);
        bytes->data[at] ^= 0x10;
    }
}

/* With any one object damaged, a restore gives the exact state or names the object, and changes nothing then. */
static unsigned damage_one(const char *path, enum damage damage, const struct make_history_state *want)
{
    static const char *const names[] = {"t.db", NULL};
    const char *key = path + strlen(kit.root) + 1;
    struct buf bytes = read_file(path), left;
    bool refused;
    struct rc rc;

    do_damage(path, &bytes, damage);
    write_file(kit.target, "precious", 8);
    rc = restore((struct restore_opts){.force = true, .timeline = want->timeline, .by_txid = true, .txid = want->txid});
    refused = rc_failed(rc);
    if (refused) {
        if ((rc.code != E_CORRUPT && !(damage == REMOVED && rc.code == E_NOTFOUND))
            || (damage != REMOVED && strstr(kit.err.msg, key) == NULL)) {
            print_error("%s, damage %d: %s\n", key, (int)damage, kit.err.msg);
            fail();
        }
        left = read_file(kit.target);
        assert_int_equal(left.size, 8);
        assert_memory_equal(left.data, "precious", 8);
        buf_fini(&left);
    } else
        assert_true(target_is(want));
    assert_only(names);
    write_file(path, bytes.data, bytes.size);
    buf_fini(&bytes);
    remove_target();
    return refused ? 1 : 0;
}

static void test_damage(void **state)
{
    const struct make_history_state *wants[] = {
        make_history_find(&kit.h, 1, 15), make_history_find(&kit.h, 2, 25), tip()};
    unsigned refused = 0;

    (void)state;
    list_objects();
    for (size_t w = 0; w < sizeof wants / sizeof wants[0]; w++)
        for (size_t i = 0; i < object_count; i++)
            for (enum damage d = REMOVED; d < DAMAGES; d++)
                refused += damage_one(objects[i], d, wants[w]);
    assert_in_range(refused, 40, 250);
}

static void path_of(char *out, const char *key)
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", kit.root, key);
}

static void test_older_snapshot_when_one_is_damaged(void **state)
{
    layout_text key;
    char path[PATH_SIZE];
    struct buf bytes;

    (void)state;
    layout_snapshot(key, 1, 10, make_history_find(&kit.h, 1, 10)->time_ms);
    path_of(path, key);
    bytes = read_file(path);
    do_damage(path, &bytes, FLIPPED_MIDDLE);
    assert_ok_err(restore((struct restore_opts){.by_txid = true, .txid = 12}), &kit.err);
    assert_true(target_is(make_history_find(&kit.h, 1, 12)));
    assert_int_equal(kit.report.snapshot_txid, 1);
    assert_non_null(
        strstr(kit.report.warning, "the snapshot at txid 10 was passed over (t/00000001/snap/000000000000000a-"));
    write_file(path, bytes.data, bytes.size);
    buf_fini(&bytes);
    remove_target();
}

/* One digit makes weir.json that of another database.  Everything else contradicts it, so it has to be named. */
static void test_identity_of_another_database(void **state)
{
    static const char field[] = "\"database\": \"";
    char path[PATH_SIZE], *digit, before;
    struct buf bytes;

    (void)state;
    path_of(path, LAYOUT_IDENTITY);
    bytes = read_file(path);
    digit = memmem(bytes.data, bytes.size, field, strlen(field));
    assert_non_null(digit);
    digit += strlen(field);
    before = *digit;
    *digit = before == '0' ? '1' : '0';
    write_file(path, bytes.data, bytes.size);
    assert_fails(restore((struct restore_opts){.output = NULL}), E_CORRUPT);
    assert_non_null(strstr(kit.err.msg, ": it belongs to database "));
    assert_non_null(strstr(kit.err.msg, ", which weir.json names"));
    *digit = before;
    write_file(path, bytes.data, bytes.size);
    buf_fini(&bytes);
}

/* A snapshot of another writer that was fenced in the middle of it: whole, but not a state of this history. */
static void test_snapshot_of_another_state(void **state)
{
    struct make_history_state other = *make_history_find(&kit.h, 1, 8);
    layout_text key;
    char path[PATH_SIZE];

    (void)state;
    other.txid = 10;
    kit.h.timeline = 1;
    make_history_snapshot_of(&kit.h, &other, INT64_MAX);
    kit.h.timeline = 3;
    for (uint64_t txid = 10; txid <= 11; txid++) {
        assert_ok_err(restore((struct restore_opts){.by_txid = true, .txid = txid}), &kit.err);
        assert_true(target_is(make_history_find(&kit.h, 1, txid)));
        assert_non_null(strstr(kit.report.warning, "the snapshot at txid 10 was passed over"));
        remove_target();
    }
    layout_snapshot(key, 1, 10, INT64_MAX);
    path_of(path, key);
    assert_int_equal(unlink(path), 0);
}

static void test_missing_pieces_are_named(void **state)
{
    layout_text key;
    char path[PATH_SIZE];
    struct buf bytes;

    (void)state;
    layout_log(key, 1, 13);
    path_of(path, key);
    bytes = read_file(path);
    assert_int_equal(unlink(path), 0);
    assert_refused((struct restore_opts){.by_txid = true, .txid = 15, .timeline = 1}, E_CORRUPT,
        "t/00000001/log/000000000000000d is missing: no segment has txid 13; txid 12 is the last that can be restored");
    write_file(path, bytes.data, bytes.size);
    buf_fini(&bytes);
    layout_snapshot(key, 1, 16, make_history_find(&kit.h, 1, 16)->time_ms);
    path_of(path, key);
    bytes = read_file(path);
    assert_int_equal(unlink(path), 0);
    assert_refused((struct restore_opts){.by_txid = true, .txid = 18, .timeline = 1}, E_CORRUPT,
        "the snapshot at txid 16 is missing (t/00000001/snap/0000000000000010-...); txid 15 is the last that can be "
        "restored");
    write_file(path, bytes.data, bytes.size);
    buf_fini(&bytes);
}

/* Damage at the tip does not keep anybody from what lies before it. */
static void test_before_a_damaged_tip(void **state)
{
    layout_text key;
    char path[PATH_SIZE];
    struct buf bytes;

    (void)state;
    layout_log(key, 3, 14);
    path_of(path, key);
    bytes = read_file(path);
    do_damage(path, &bytes, CUT);
    assert_refused((struct restore_opts){0}, E_CORRUPT, "; txid 13 is the last that can be restored");
    assert_non_null(strstr(kit.err.msg, key));
    assert_ok_err(restore((struct restore_opts){.by_txid = true, .txid = 13}), &kit.err);
    remove_target();
    write_file(path, bytes.data, bytes.size);
    buf_fini(&bytes);
}

static void test_no_replica(void **state)
{
    char url[sizeof kit.url];

    (void)state;
    memcpy(url, kit.url, sizeof url);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s/nowhere", kit.dir);
    assert_refused((struct restore_opts){0}, E_NOTFOUND, "no replica at file://");
    assert_true(kit.report.nothing_there);
    memcpy(kit.url, url, sizeof url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_damage, clean),
        cmocka_unit_test_setup(test_older_snapshot_when_one_is_damaged, clean),
        cmocka_unit_test_setup(test_identity_of_another_database, clean),
        cmocka_unit_test_setup(test_snapshot_of_another_state, clean),
        cmocka_unit_test_setup(test_missing_pieces_are_named, clean),
        cmocka_unit_test_setup(test_before_a_damaged_tip, clean),
        cmocka_unit_test_setup(test_no_replica, clean),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
