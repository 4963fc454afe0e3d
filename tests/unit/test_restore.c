/* SPDX-License-Identifier: Apache-2.0 */
/* Restores from a history built by hand, every state known: all of them, from damaged replicas, onto existing files,
 * and with a failure or a crash at every file operation. */
#include "check.h"

#include "fault_fsys.h"
#include "local_state.h"
#include "make_history.h"
#include "restore.h"
#include "session.h"
#include "store_wait.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, PATH_SIZE = 2048, FORK = 13 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    char target[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h;
    const struct fsys *fs;
    struct restore_report report;
    struct err err;
    uint64_t found; /* by restore_find_time() */
} kit;

/* --- a history -----------------------------------------------------------------------------------------------------
 */

static void insert(unsigned flags)
{
    char sql[160];
    struct make_history *h = &kit.h;

    (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES(NULL, %zu, randomblob(%zu))", h->count, h->count * 37 % 900);
    make_history_sql(h, sql, flags);
}

/* Timeline 1: 1 to 20, with a shrinking at 11, a resync at 14, a new beginning at 16.  2 follows it.  3 leaves at 13.
 */
static void build(void)
{
    struct make_history *h = &kit.h;

    make_history_init(h, kit.root, PAGE_SIZE);
    make_history_timeline(h, 0, 0);
    make_history_sql(h, "CREATE TABLE t(id INTEGER PRIMARY KEY, n, b); CREATE INDEX i ON t(n)", SEG_SNAPSHOT);
    make_history_snapshot(h);
    for (unsigned txid = 2; txid <= 20; txid++) {
        if (txid == 11)
            make_history_sql(h, "DELETE FROM t WHERE id % 3 != 0; VACUUM", 0);
        else
            insert(txid == 14 ? SEG_RESYNC : txid == 16 ? SEG_SNAPSHOT : 0);
        if (txid == 10 || txid == 16)
            make_history_snapshot(h);
        else if (txid % 3 == 0)
            make_history_cut(h);
    }
    make_history_cut(h);
    make_history_seal(h, 2);
    make_history_timeline(h, 1, 20);
    for (unsigned txid = 21; txid <= 25; txid++)
        insert(0);
    make_history_cut(h);
    make_history_timeline(h, 1, FORK);
    for (unsigned i = 0; i < 4; i++)
        insert(0);
    make_history_cut(h);
}

static int set_up(void **state)
{
    (void)state;
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.root, sizeof kit.root, "%s/r", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    kit.fs = &fsys_real;
    build();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    make_history_fini(&kit.h);
    store_wait_unscratch(kit.dir);
    return 0;
}

/* --- restoring -----------------------------------------------------------------------------------------------------
 */

static struct rc run_restore(void *ctx, struct work *w, struct store *s, struct err *err)
{
    return restore_run(w, s, kit.fs, ctx, &kit.report, err);
}

static struct rc restore(struct restore_opts opts)
{
    opts.output = kit.target;
    return session_run(&fsys_real, kit.url, run_restore, &opts, &kit.err);
}

static void remove_target(void)
{
    char path[PATH_SIZE];
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", kit.target, suffixes[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s-weir", kit.target);
    if (access(path, F_OK) == 0)
        store_wait_unscratch(path);
}

static struct buf read_file(const char *path)
{
    struct buf b;

    buf_init(&b, 1 << 24);
    assert_ok_err(fsys_read_file(&fsys_real, path, &b, &kit.err), &kit.err);
    return b;
}

static void write_file(const char *path, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(close(fd), 0);
}

static bool target_is(const struct make_history_state *s)
{
    struct buf got = read_file(kit.target);
    bool same = got.size == (size_t)s->page_count * PAGE_SIZE && memcmp(got.data, s->image, got.size) == 0;

    buf_fini(&got);
    return same;
}

static const struct make_history_state *tip(void)
{
    return &kit.h.states[kit.h.count - 1];
}

/* Nothing of a restore that failed may lie around. */
static void assert_only(const char *const *names)
{
    DIR *d = opendir(kit.dir);

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        bool known = strncmp(e->d_name, "t.db", 4) != 0;

        for (size_t i = 0; names[i] != NULL; i++)
            known = known || strcmp(e->d_name, names[i]) == 0;
        if (!known) {
            print_error("%s was left behind\n", e->d_name);
            fail();
        }
    }
    (void)closedir(d);
}

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

static void assert_refused(struct restore_opts opts, enum err_code code, const char *msg)
{
    static const char *const names[] = {NULL};

    assert_fails(restore(opts), code);
    if (strstr(kit.err.msg, msg) == NULL) {
        print_error("'%s' is not in '%s'\n", msg, kit.err.msg);
        fail();
    }
    assert_only(names);
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

/* --- existing files --------------------------------------------------------------------------------------------------
 */

static void copy_file(const char *from, const char *to)
{
    struct buf b = read_file(from);

    write_file(to, b.data, b.size);
    buf_fini(&b);
}

/* A database with commits that are only in its log, as a killed application leaves it. */
static void make_old(void)
{
    char live[STORE_WAIT_PATH_SIZE + 16], wal[sizeof live + 8], target_wal[PATH_SIZE];
    sqlite3 *db = NULL;

    remove_target();
    (void)snprintf(live, sizeof live, "%s/live.db", kit.dir);
    (void)snprintf(wal, sizeof wal, "%s-wal", live);
    (void)snprintf(target_wal, sizeof target_wal, "%s-wal", kit.target);
    (void)unlink(live);
    assert_int_equal(sqlite3_open(live, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                         "PRAGMA page_size=512; PRAGMA journal_mode=WAL; CREATE TABLE mine(a); PRAGMA wal_checkpoint;"
                         "INSERT INTO mine VALUES(17); INSERT INTO mine VALUES(25)",
                         NULL, NULL, NULL),
        SQLITE_OK);
    copy_file(live, kit.target);
    copy_file(wal, target_wal);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int on_row(void *ctx, int n, char **values, char **names)
{
    (void)n;
    (void)names;
    *(int *)ctx = values[0] != NULL ? (int)strtol(values[0], NULL, 10) : 0;
    return 0;
}

/* Through SQLite, with whatever logs and journals lie beside it. */
static bool old_is_whole(void)
{
    sqlite3 *db = NULL;
    int sum = 0, code;

    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    code = sqlite3_exec(db, "SELECT sum(a) FROM mine", on_row, &sum, NULL);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return code == SQLITE_OK && sum == 42;
}

static bool new_is_whole(const struct make_history_state *want)
{
    sqlite3 *db = NULL;
    sqlite3_int64 size = 0;
    unsigned char *image;
    bool same;

    assert_int_equal(sqlite3_open(kit.target, &db), SQLITE_OK);
    image = sqlite3_exec(db, "SELECT count(*) FROM t", NULL, NULL, NULL) == SQLITE_OK
                ? sqlite3_serialize(db, "main", &size, 0)
                : NULL;
    same = image != NULL && size == (sqlite3_int64)want->page_count * PAGE_SIZE
           && memcmp(image, want->image, (size_t)size) == 0;
    sqlite3_free(image);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return same;
}

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
    char *dir = local_state_dir(kit.target);

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
    char *dir = local_state_dir(kit.target);

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

/* --- faults --------------------------------------------------------------------------------------------------------
 */

static const struct restore_opts over_old = {.force = true, .with_state = true, .timeline = 2, .parallel = 1};

static void assert_old_or_new(const struct make_history_state *want, long n)
{
    if (!old_is_whole() && !new_is_whole(want)) {
        print_error("fault %ld: neither the old database nor the new one\n", n);
        fail();
    }
}

static void fail_at_every_call(enum fault_mode mode)
{
    const struct make_history_state *want = make_history_find(&kit.h, 2, 25);
    struct fault_fsys f;
    long n, failed = 0;

    for (n = 1;; n++) {
        struct rc rc;

        make_old();
        fault_fsys_init(&f, mode, n, EIO);
        kit.fs = &f.fs;
        rc = restore(over_old);
        kit.fs = &fsys_real;
        assert_int_equal(f.open_fds, 0);
        if (rc_failed(rc)) {
            failed++;
            if (strstr(kit.err.msg, strerrordesc_np(EIO)) == NULL && strstr(kit.err.msg, "short read") == NULL) {
                print_error("fault %ld: %s\n", n, kit.err.msg);
                fail();
            }
            assert_old_or_new(want, n);
        } else
            assert_true(new_is_whole(want)); /* what failed was not needed, or is in the warning */
        if (f.fired == 0)
            break;
    }
    assert_int_equal(kit.report.warning[0], 0);
    assert_in_range(n, 40, 400);
    assert_in_range(failed, 30, n);
    remove_target();
}

static void test_fault_once(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_ONCE);
}

static void test_fault_forever(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_FOREVER);
}

/* Killed at any call: the old database or the new one is whole, and the next restore works. */
static void test_killed(void **state)
{
    const struct make_history_state *want = make_history_find(&kit.h, 2, 25);
    bool killed = true;
    long n;

    (void)state;
#ifdef __SANITIZE_THREAD__
    check_skip("the sanitizer loses its way among the threads of a child of a process that had some");
#endif
    for (n = 1; killed; n++) {
        int status;
        pid_t pid;

        make_old();
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct fault_fsys f;

            fault_fsys_init(&f, FAULT_KILL, n, EIO);
            f.ops = FAULT_CHANGES;
            kit.fs = &f.fs;
            _exit(rc_failed(restore(over_old)) ? 1 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (!killed)
            assert_int_equal(status, 0);
        assert_old_or_new(want, n);
        if (n % 8 == 0) {
            assert_ok_err(restore(over_old), &kit.err);
            assert_true(new_is_whole(want));
        }
    }
    assert_in_range(n, 20, 400);
    remove_target();
}

/* Every object is whole, and the pages are not what the commit was.  Last, because it adds a timeline. */
static void test_state_that_does_not_prove(void **state)
{
    (void)state;
    make_history_timeline(&kit.h, 1, FORK);
    insert(0);
    kit.h.lie = 1;
    insert(0);
    kit.h.lie = 0;
    insert(0);
    make_history_cut(&kit.h);
    assert_refused(
        (struct restore_opts){0}, E_CORRUPT, "t/00000004/log/000000000000000e: the state checksum at txid 15 is ");
    assert_non_null(strstr(kit.err.msg, "; txid 14 is the last that can be restored"));
    assert_ok_err(restore((struct restore_opts){.by_txid = true, .txid = 14}), &kit.err);
    assert_true(target_is(make_history_find(&kit.h, 4, 14)));
}

/* What a test that failed has left is nobody's concern. */
static int clean(void **state)
{
    (void)state;
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    (void)snprintf(kit.target, sizeof kit.target, "%s/t.db", kit.dir);
    kit.fs = &fsys_real;
    remove_target();
    return 0;
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
        cmocka_unit_test_setup(test_damage, clean),
        cmocka_unit_test_setup(test_older_snapshot_when_one_is_damaged, clean),
        cmocka_unit_test_setup(test_identity_of_another_database, clean),
        cmocka_unit_test_setup(test_snapshot_of_another_state, clean),
        cmocka_unit_test_setup(test_missing_pieces_are_named, clean),
        cmocka_unit_test_setup(test_before_a_damaged_tip, clean),
        cmocka_unit_test_setup(test_no_replica, clean),
        cmocka_unit_test_setup(test_existing_file, clean),
        cmocka_unit_test_setup(test_file_in_use, clean),
        cmocka_unit_test_setup(test_file_under_replication, clean),
        cmocka_unit_test_setup(test_old_state_goes, clean),
        cmocka_unit_test_setup(test_side_files_without_a_database, clean),
        cmocka_unit_test_setup(test_links_and_folders, clean),
        cmocka_unit_test_setup(test_fault_once, clean),
        cmocka_unit_test_setup(test_fault_forever, clean),
        cmocka_unit_test_setup(test_killed, clean),
        cmocka_unit_test_setup(test_state_that_does_not_prove, clean),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
