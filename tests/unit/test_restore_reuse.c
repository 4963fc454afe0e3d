/* SPDX-License-Identifier: Apache-2.0 */
/* Restores over files that are here already: what is fetched, and that nothing but the state that was asked for
 * ever comes of it. */
#include "reuse_kit.h"

/* --- over an existing file ------------------------------------------------------------------------------------------
 */

/* Every state over every other: never more than a few frames more than what differs. */
static void test_all_pairs(void **state)
{
    (void)state;
    for (uint64_t from = 1; from <= TIP; from += 3)
        for (uint64_t to = 1; to <= TIP; to++) {
            put_old(at(from));
            assert_ok_err(restore((struct restore_opts){.in_place = true, .by_txid = true, .txid = to}), &kit.err);
            assert_true(file_is(kit.target, at(to)));
            assert_int_equal(kit.report.warning[0], 0);
            assert_int_equal(kit.report.reused_txid, 0);
            assert_in_range(kit.report.reused_bytes, (uint64_t)at(to)->page_count * PAGE_SIZE * 9 / 10, kit.full * 2);
        }
}

/* Without a word of where it comes from: by page hashes. */
static void test_old_file(void **state)
{
    (void)state;
    put_old(at(9));
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full / 3);
}

/* Its local state says what it is: only the log behind it is read. */
static void test_known_state(void **state)
{
    const struct restore_opts first = {.with_state = true, .by_txid = true, .txid = 8};

    (void)state;
    assert_ok_err(restore(first), &kit.err);
    assert_ok_err(restore(in_place), &kit.err);
    assert_int_equal(kit.report.reused_txid, 8);
    assert_int_equal(kit.report.object_count, 2);
    assert_restored(TIP, 150000);
    /* The tip itself needs nothing but the word of the log. */
    assert_ok_err(restore((struct restore_opts){.in_place = true, .with_state = true}), &kit.err);
    assert_ok_err(restore(in_place), &kit.err);
    assert_int_equal(kit.report.reused_txid, TIP);
    assert_true(file_is(kit.target, at(TIP)));
}

/* An older state is wanted than the file has: what changed since is fetched. */
static void test_going_back(void **state)
{
    (void)state;
    assert_ok_err(restore((struct restore_opts){.with_state = true}), &kit.err);
    assert_ok_err(restore((struct restore_opts){.in_place = true, .by_txid = true, .txid = MERGED}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 0);
    assert_restored(MERGED, kit.full / 2);
}

/* Somewhere in it bytes are wrong, and nobody knows where. */
static void test_damaged_file(void **state)
{
    int fd;

    (void)state;
    assert_ok_err(restore((struct restore_opts){.with_state = true}), &kit.err);
    fd = open(kit.target, O_WRONLY);
    for (off_t page = 300; page < 303; page++)
        assert_int_equal(pwrite(fd, "damage", 6, page * PAGE_SIZE + 100), 6);
    assert_int_equal(close(fd), 0);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full / 2);
}

static void test_cut_and_extended(void **state)
{
    (void)state;
    put_old(at(TIP));
    assert_int_equal(truncate(kit.target, 100 * PAGE_SIZE + 17), 0);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full);
    assert_in_range(kit.report.reused_bytes, 60 * PAGE_SIZE, 101 * PAGE_SIZE);
    put_old(at(TIP));
    assert_int_equal(truncate(kit.target, 2000 * PAGE_SIZE), 0);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full / 2);
}

/* Nothing of it is of use: another database, no database at all, no file. */
static void test_foreign_file(void **state)
{
    (void)state;
    remove_target();
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full * 2);
    write_target("hello", 5);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full * 2);
    put_old(&kit.h[1].states[TIP - 1]);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full * 2);
}

/* Objects without page hashes: a known state is of use all the same. */
static void test_older_format(void **state)
{
    (void)state;
    kit.now = &kit.h[1];
    put_old(at(9));
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full);
    assert_int_equal(kit.report.reused_bytes, 0);
    remove_target();
    assert_ok_err(restore((struct restore_opts){.with_state = true, .by_txid = true, .txid = 8}), &kit.err);
    assert_ok_err(restore(in_place), &kit.err);
    assert_int_equal(kit.report.reused_txid, 8);
    assert_restored(TIP, 150000);
}

/* The local state of another history, or of a state that the log does not confirm. */
static void test_state_that_lies(void **state)
{
    struct local_state_content content = {.database = kit.h[0].database};
    struct local_state *ls = NULL;
    char *dir = local_place_dir(kit.target, NULL);

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct page_hash *hashes = page_hash_new();
        const struct make_history_state *s = at(4);

        put_old(s);
        for (uint32_t p = 1; p <= s->page_count; p++)
            assert_ok_err(
                page_hash_set(hashes, p, digest_page(p, s->image + (size_t)(p - 1) * PAGE_SIZE, PAGE_SIZE), &kit.err),
                &kit.err);
        content.database = i == 0 ? kit.h[1].database : kit.h[0].database;
        content.pos = (struct pos){.timeline = i == 1 ? 7 : 1,
            .txid = i == 2 ? 8 : 4,
            .checksum = s->checksum,
            .page_size = PAGE_SIZE,
            .page_count = s->page_count};
        assert_ok_err(local_state_open(&ls, &fsys_real, dir, &kit.err), &kit.err);
        assert_ok_err(local_state_checkpoint(ls, &content, hashes, &kit.err), &kit.err);
        local_state_close(ls);
        page_hash_free(hashes);
        assert_ok_err(restore(in_place), &kit.err);
        assert_restored(TIP, kit.full);
        assert_int_equal(kit.report.reused_txid, 0);
    }
    free(dir);
}

/* A table that names a hash which the old file has and the frame has not: the state checksum finds out, and the object
 * is not blamed for it. */
static void test_table_that_lies(void **state)
{
    static struct make_history h;
    char root[STORE_WAIT_PATH_SIZE + 16];
    struct make_history_state *s;
    uint8_t *image;

    (void)state;
    (void)snprintf(root, sizeof root, "%s/l", kit.dir);
    make_history_init(&h, root, PAGE_SIZE);
    h.hashed = true;
    h.wrong_hash = 3;
    make_history_timeline(&h, 0, 0);
    make_history_sql(&h, "CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(400000))", SEG_SNAPSHOT);
    make_history_snapshot(&h);
    kit.now = &h;
    s = &h.states[0];
    image = malloc((size_t)s->page_count * PAGE_SIZE);
    memcpy(image, s->image, (size_t)s->page_count * PAGE_SIZE);
    memset(image + 2 * PAGE_SIZE, 0, PAGE_SIZE);
    write_target(image, (size_t)s->page_count * PAGE_SIZE);
    free(image);
    assert_ok_err(restore(in_place), &kit.err);
    assert_true(file_is(kit.target, s));
    assert_int_equal(kit.report.warning[0], 0);
    assert_int_equal(kit.report.reused_bytes, 0);
    make_history_fini(&h);
}

/* The log of the old file has a state of its own: neither is it lost before the end, nor is it played into the new. */
static void test_log_of_the_old(void **state)
{
    char wal[PATH_SIZE];
    sqlite3 *db = NULL;

    (void)state;
    put_old(at(TIP));
    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; DELETE FROM t", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    (void)snprintf(wal, sizeof wal, "%s-wal", kit.target);
    assert_int_equal(access(wal, F_OK), 0);
    assert_ok_err(restore(in_place), &kit.err);
    assert_restored(TIP, kit.full / 2);
    assert_int_equal(access(wal, F_OK), -1);
}

static void test_in_use(void **state)
{
    sqlite3 *db = NULL;

    (void)state;
    put_old(at(5));
    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM t", NULL, NULL, NULL), SQLITE_OK);
    assert_fails(restore(in_place), E_BUSY);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(file_is(kit.target, at(5)));
}

static int copying_clone(const struct fsys *fs, int to, int from)
{
    static char bytes[1 << 16];

    (void)fs;
    for (off_t off = 0;; off += (off_t)sizeof bytes) {
        ssize_t n = pread(from, bytes, sizeof bytes, off);

        if (n <= 0)
            return 0;
        assert_int_equal(pwrite(to, bytes, (size_t)n, off), n);
    }
}

/* Where blocks can be shared, pages that stay are not written at all. */
static void test_clone(void **state)
{
    struct fsys fs = fsys_real;

    (void)state;
    fs.clone = copying_clone;
    for (uint64_t from = 1; from <= TIP; from++) {
        put_old(at(from));
        kit.fs = &fs;
        assert_ok_err(
            restore((struct restore_opts){.in_place = true, .by_txid = true, .txid = TIP - from + 1}), &kit.err);
        kit.fs = &fsys_real;
        assert_true(file_is(kit.target, at(TIP - from + 1)));
        assert_true(kit.report.reused_bytes > 0);
    }
}

static void test_dry_run(void **state)
{
    uint64_t bytes;

    (void)state;
    put_old(at(9));
    assert_ok_err(restore((struct restore_opts){.in_place = true, .dry_run = true}), &kit.err);
    bytes = kit.report.bytes_read;
    assert_in_range(bytes, 1, kit.full / 3);
    assert_in_range(kit.report.reused_bytes, kit.full / 2, kit.full * 2);
    assert_true(file_is(kit.target, at(9)));
    assert_ok_err(restore((struct restore_opts){.force = true, .dry_run = true}), &kit.err);
    assert_int_equal(kit.report.reused_bytes, 0);
    assert_in_range(kit.report.bytes_read, 2 * bytes, kit.full * 2);
    remove_target();
    assert_ok_err(restore((struct restore_opts){.with_state = true, .by_txid = true, .txid = 8}), &kit.err);
    assert_ok_err(restore((struct restore_opts){.in_place = true, .dry_run = true}), &kit.err);
    assert_int_equal(kit.report.reused_txid, 8);
    assert_in_range(kit.report.bytes_read, 1, 150000);
}

/* --- keeping the old one
 * ---------------------------------------------------------------------------------------------- */

static void test_keep_old(void **state)
{
    char first[ERR_MSG_SIZE];

    (void)state;
    put_old(at(3));
    assert_ok_err(restore((struct restore_opts){.in_place = true, .keep_old = true}), &kit.err);
    assert_true(kit.report.replaced);
    assert_true(file_is(kit.target, at(TIP)));
    assert_true(file_is(kit.report.kept, at(3)));
    assert_int_equal(strncmp(kit.report.kept, kit.target, strlen(kit.target)), 0);
    memcpy(first, kit.report.kept, sizeof first);
    assert_ok_err(
        restore((struct restore_opts){.force = true, .keep_old = true, .by_txid = true, .txid = 2}), &kit.err);
    assert_string_not_equal(kit.report.kept, first);
    assert_true(file_is(kit.report.kept, at(TIP)));
    assert_true(file_is(first, at(3)));
    assert_true(file_is(kit.target, at(2)));
    remove_target();
    assert_ok_err(restore((struct restore_opts){.force = true, .keep_old = true}), &kit.err);
    assert_false(kit.report.replaced);
    assert_int_equal(kit.report.kept[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_pairs, clean),
        cmocka_unit_test_setup(test_old_file, clean),
        cmocka_unit_test_setup(test_known_state, clean),
        cmocka_unit_test_setup(test_going_back, clean),
        cmocka_unit_test_setup(test_damaged_file, clean),
        cmocka_unit_test_setup(test_cut_and_extended, clean),
        cmocka_unit_test_setup(test_foreign_file, clean),
        cmocka_unit_test_setup(test_older_format, clean),
        cmocka_unit_test_setup(test_state_that_lies, clean),
        cmocka_unit_test_setup(test_table_that_lies, clean),
        cmocka_unit_test_setup(test_log_of_the_old, clean),
        cmocka_unit_test_setup(test_in_use, clean),
        cmocka_unit_test_setup(test_clone, clean),
        cmocka_unit_test_setup(test_dry_run, clean),
        cmocka_unit_test_setup(test_keep_old, clean),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
