/* SPDX-License-Identifier: Apache-2.0 */
/* Restores of every state of a history built by hand, by txid and by time, and onto existing files. */
#include "restore_kit.h"

/* --- every state ---------------------------------------------------------------------------------------------------
 */

static void test_every_txid(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.h.count; i++) {
        const struct make_history_state *s = &kit.h.states[i];
        struct local_state_content content;
        enum local_state_found found;
        char dir[PATH_SIZE];

        assert_ok_err(restore((struct restore_opts){.by_txid = true,
                          .txid = s->txid,
                          .timeline = s->timeline,
                          .with_state = true,
                          .verify = RESTORE_VERIFY_FULL}),
            &kit.err);
        assert_true(target_is(s));
        assert_int_equal(kit.report.txid, s->txid);
        assert_int_equal(kit.report.timeline, s->timeline);
        assert_int_equal(kit.report.time_ms, s->time_ms);
        assert_true(kit.report.checksum == s->checksum);
        assert_string_equal(kit.report.warning, "");
        (void)snprintf(dir, sizeof dir, "%s-weir", kit.target);
        assert_ok_err(local_state_peek(&fsys_real, dir, &content, &found, &kit.err), &kit.err);
        assert_int_equal(found, LOCAL_STATE_GOOD);
        assert_true(content.restored);
        assert_true(nonce_equal(&content.database, &kit.h.database));
        assert_int_equal(content.run_count, 0);
        assert_int_equal(content.pos.timeline, s->timeline);
        assert_int_equal(content.pos.txid, s->txid);
        assert_int_equal(content.pos.time_ms, s->time_ms);
        assert_true(content.pos.checksum == s->checksum);
        assert_int_equal(content.pos.page_count, s->page_count);
        assert_false(content.pos.wal.valid);
        remove_target();
    }
}

static void test_newest(void **state)
{
    static const char *const names[] = {"t.db", NULL};

    (void)state;
    assert_ok_err(restore((struct restore_opts){.parallel = 1}), &kit.err);
    assert_true(target_is(tip()));
    assert_only(names); /* no local state unless asked for */
    remove_target();
    assert_ok_err(restore((struct restore_opts){.timeline = 1}), &kit.err);
    assert_int_equal(kit.report.txid, 20);
    assert_true(target_is(make_history_find(&kit.h, 1, 20)));
    remove_target();
    assert_ok_err(restore((struct restore_opts){.timeline = 2}), &kit.err);
    assert_int_equal(kit.report.txid, 25);
    remove_target();
}

static void test_shared_past_of_a_fork(void **state)
{
    (void)state;
    assert_ok_err(restore((struct restore_opts){.by_txid = true, .txid = 12, .timeline = 3}), &kit.err);
    assert_int_equal(kit.report.timeline, 1);
    assert_true(target_is(make_history_find(&kit.h, 1, 12)));
    remove_target();
}

static void test_txids_that_are_not_there(void **state)
{
    (void)state;
    assert_refused((struct restore_opts){.by_txid = true, .txid = 18}, E_NOTFOUND,
        "there is no txid 18 on timeline 3: its last commit is 17");
    assert_refused(
        (struct restore_opts){.by_txid = true, .txid = 21, .timeline = 1}, E_NOTFOUND, "its last commit is 20");
    assert_refused((struct restore_opts){.by_txid = true, .txid = INT64_MAX}, E_NOTFOUND, "its last commit is 17");
    assert_refused((struct restore_opts){.timeline = 9}, E_NOTFOUND, "no timeline 9");
}

static void test_dry_run(void **state)
{
    static const char *const names[] = {NULL};

    (void)state;
    assert_ok_err(
        restore((struct restore_opts){.dry_run = true, .timeline = 1, .by_txid = true, .txid = 19}), &kit.err);
    assert_int_equal(kit.report.txid, 19);
    assert_int_equal(kit.report.snapshot_txid, 16);
    assert_int_equal(kit.report.object_count, 3);
    assert_true(kit.report.bytes_read > 0);
    assert_only(names);
}

/* --- by time -------------------------------------------------------------------------------------------------------
 */

static void test_every_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < kit.h.count; i++) {
        const struct make_history_state *s = &kit.h.states[i];
        bool last = s->timeline == 3 ? s->txid == 17 : s->timeline == 2 && s->txid == 25;
        uint32_t timeline = s->timeline == 1 ? 2 : s->timeline;

        for (int64_t late = 0; late < MAKE_HISTORY_STEP_MS; late += MAKE_HISTORY_STEP_MS - 1) {
            struct restore_opts opts = {
                .by_time = true, .time_ms = s->time_ms + late, .timeline = timeline, .dry_run = true};

            if (late > 0 && last) {
                assert_fails(restore(opts), E_NOTFOUND);
                assert_non_null(strstr(kit.err.msg, "is after the last commit, which is txid"));
                continue;
            }
            assert_ok_err(restore(opts), &kit.err);
            assert_int_equal(kit.report.txid, s->txid);
        }
    }
}

static void test_times_outside(void **state)
{
    (void)state;
    assert_refused((struct restore_opts){.by_time = true, .time_ms = kit.h.states[0].time_ms - 1}, E_NOTFOUND,
        "is before the first commit, which is txid 1 of 2026-09-21T14:13:20.000Z");
    assert_refused((struct restore_opts){.by_time = true, .time_ms = INT64_MAX}, E_NOTFOUND,
        "is after the last commit, which is txid 17 of");
}

/* On timeline 3, time goes on between the fork and its first commit while timeline 1 went elsewhere. */
static void test_time_between_fork_and_first_commit(void **state)
{
    (void)state;
    assert_ok_err(restore((struct restore_opts){
                      .by_time = true, .time_ms = make_history_find(&kit.h, 1, 18)->time_ms, .dry_run = true}),
        &kit.err);
    assert_int_equal(kit.report.txid, FORK);
    assert_int_equal(kit.report.timeline, 1);
}

/* --- existing files --------------------------------------------------------------------------------------------------
 */

static void test_existing_file(void **state)
{
    (void)state;
    make_old();
    assert_fails(restore((struct restore_opts){0}), E_EXISTS);
    assert_non_null(strstr(kit.err.msg, "--force"));
    assert_true(old_is_whole());
    make_old();
    assert_ok_err(restore((struct restore_opts){.force = true}), &kit.err);
    assert_true(target_is(tip()));
    assert_true(new_is_whole(tip()));
    remove_target();
}

static void test_file_in_use(void **state)
{
    sqlite3 *db = NULL;

    (void)state;
    make_old();
    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT * FROM mine", NULL, NULL, NULL), SQLITE_OK);
    assert_fails(restore((struct restore_opts){.force = true}), E_BUSY);
    assert_non_null(strstr(kit.err.msg, "is in use by another process"));
    assert_int_equal(sqlite3_exec(db, "INSERT INTO mine VALUES(0)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(old_is_whole());
    remove_target();
}

static void test_file_under_replication(void **state)
{
    struct local_state *ls = NULL;
    char *dir = local_place_dir(kit.target, NULL);

    (void)state;
    make_old();
    assert_ok_err(local_state_open(&ls, &fsys_real, dir, &kit.err), &kit.err);
    assert_fails(restore((struct restore_opts){.force = true}), E_BUSY);
    assert_non_null(strstr(kit.err.msg, "is replicated by a weir daemon"));
    local_state_close(ls);
    free(dir);
    assert_true(old_is_whole());
    remove_target();
}

/* The state of the replaced file never goes with the new one. */
static void test_old_state_goes(void **state)
{
    struct local_state_content content;
    enum local_state_found found;
    char *dir = local_place_dir(kit.target, NULL);

    (void)state;
    assert_ok_err(restore((struct restore_opts){.with_state = true, .timeline = 1}), &kit.err);
    assert_ok_err(restore((struct restore_opts){.force = true}), &kit.err);
    assert_ok_err(local_state_peek(&fsys_real, dir, &content, &found, &kit.err), &kit.err);
    assert_int_equal(found, LOCAL_STATE_NONE);
    free(dir);
    remove_target();
}

static void test_side_files_without_a_database(void **state)
{
    char path[PATH_SIZE];

    (void)state;
    make_old();
    assert_int_equal(unlink(kit.target), 0);
    (void)snprintf(path, sizeof path, "%s-journal", kit.target);
    write_file(path, "what is this", 12);
    assert_ok_err(restore((struct restore_opts){0}), &kit.err);
    assert_true(new_is_whole(tip()));
    remove_target();
}

static void test_links_and_folders(void **state)
{
    char real[PATH_SIZE], target[sizeof kit.target];
    struct stat st;

    (void)state;
    (void)snprintf(real, sizeof real, "%s/real.db", kit.dir);
    write_file(real, "", 0);
    assert_int_equal(symlink(real, kit.target), 0);
    assert_ok_err(restore((struct restore_opts){.force = true}), &kit.err);
    assert_int_equal(lstat(kit.target, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_true(target_is(tip()));
    remove_target();
    assert_int_equal(unlink(real), 0);
    assert_int_equal(mkdir(kit.target, 0755), 0);
    assert_fails(restore((struct restore_opts){.force = true}), E_CONFIG);
    assert_int_equal(rmdir(kit.target), 0);
    memcpy(target, kit.target, sizeof target);
    (void)snprintf(kit.target, sizeof kit.target, "%s/none/t.db", kit.dir);
    assert_fails(restore((struct restore_opts){0}), E_CONFIG);
    memcpy(kit.target, target, sizeof target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_txid, clean),
        cmocka_unit_test_setup(test_newest, clean),
        cmocka_unit_test_setup(test_shared_past_of_a_fork, clean),
        cmocka_unit_test_setup(test_txids_that_are_not_there, clean),
        cmocka_unit_test_setup(test_dry_run, clean),
        cmocka_unit_test_setup(test_every_time, clean),
        cmocka_unit_test_setup(test_times_outside, clean),
        cmocka_unit_test_setup(test_time_between_fork_and_first_commit, clean),
        cmocka_unit_test_setup(test_existing_file, clean),
        cmocka_unit_test_setup(test_file_in_use, clean),
        cmocka_unit_test_setup(test_file_under_replication, clean),
        cmocka_unit_test_setup(test_old_state_goes, clean),
        cmocka_unit_test_setup(test_side_files_without_a_database, clean),
        cmocka_unit_test_setup(test_links_and_folders, clean),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
