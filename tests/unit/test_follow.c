/* SPDX-License-Identifier: Apache-2.0 */
/* A copy follows a history built by hand, from every state of it, with a failure or a crash at every file operation:
 * what is visible is always one of its states. */
#include "check.h"
#include "kill_kit.h"

#include "alloc.h"
#include "clock.h"
#include "fault_fsys.h"
#include "follow.h"
#include "local_state.h"
#include "make_history.h"
#include "restore.h"
#include "session.h"
#include "store_wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, PATH_SIZE = 2048, TIP = 22, FORK = 18, ALONE = 12, TURNS_MAX = 400 };

static struct {
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16], url[STORE_WAIT_PATH_SIZE + 32];
    char copy[STORE_WAIT_PATH_SIZE + 16];
    struct make_history h;
    const struct fsys *fs;
    struct err err;

    /* What the follower told. */
    uint64_t at;
    unsigned waits, troubles, rebased, switched, ready;
    bool done, wrong;
} kit;

/* --- a history ---------------------------------------------------------------------------------------------------- */

static void insert(unsigned flags)
{
    char sql[160];
    struct make_history *h = &kit.h;

    (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES(NULL, %zu, randomblob(%zu))", h->count, h->count * 37 % 900);
    make_history_sql(h, sql, flags);
}

/* Timeline 1 up to 18, shrinking at 7, with a commit that is in a snapshot only at 12.  Timeline 2 goes on. */
static void build(void)
{
    struct make_history *h = &kit.h;

    make_history_init(h, kit.root, PAGE_SIZE);
    make_history_timeline(h, 0, 0);
    make_history_sql(h, "CREATE TABLE t(id INTEGER PRIMARY KEY, n, b); CREATE INDEX i ON t(n)", SEG_SNAPSHOT);
    make_history_snapshot(h);
    for (unsigned txid = 2; txid <= FORK; txid++) {
        if (txid == 7)
            make_history_sql(h, "DELETE FROM t WHERE id % 3 != 0; VACUUM", 0);
        else
            insert(txid == 5 ? SEG_RESYNC : txid == ALONE ? SEG_SNAPSHOT : 0);
        if (txid == ALONE)
            make_history_snapshot(h);
        else if (txid % 3 == 0)
            make_history_cut(h);
    }
    make_history_cut(h);
    make_history_seal(h, 2);
    make_history_timeline(h, 1, FORK);
    while (h->states[h->now].txid < TIP)
        insert(0);
    make_history_cut(h);
}

static const struct make_history_state *state_of(uint64_t txid)
{
    return make_history_find(&kit.h, txid > FORK ? 2 : 1, txid);
}

/* --- the copy ----------------------------------------------------------------------------------------------------- */

static void remove_copy(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[PATH_SIZE];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", kit.copy, suffixes[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s-weir", kit.copy);
    if (access(path, F_OK) == 0)
        store_wait_unscratch(path);
}

static struct rc run_restore(void *ctx, struct work *w, struct store *s, struct err *err)
{
    struct restore_report report;

    return restore_run(w, s, &fsys_real, ctx, &report, err);
}

static void make_copy(uint64_t txid)
{
    struct restore_opts opts = {
        .output = kit.copy, .by_txid = true, .txid = txid, .timeline = txid > FORK ? 2 : 1, .with_state = true};

    remove_copy();
    assert_ok_err(session_run(&fsys_real, kit.url, run_restore, &opts, &kit.err), &kit.err);
}

static void on_event(void *ctx, const struct follow_event *e)
{
    const struct make_history_state *s = state_of(e->txid);

    (void)ctx;
    kit.wrong = kit.wrong || s == NULL || s->checksum != e->checksum || e->txid < kit.at;
    kit.at = e->txid;
    kit.ready += e->what == FOLLOW_READY;
    kit.troubles += e->what == FOLLOW_TROUBLE;
    kit.rebased += e->what == FOLLOW_REBASED;
    kit.switched += e->what == FOLLOW_TIMELINE;
    kit.done = kit.done || (e->what == FOLLOW_CURRENT && e->txid == TIP);
}

static bool on_wait(void *ctx, uint32_t ms)
{
    (void)ctx;
    (void)ms;
    return kit.done || kit.waits++ >= TURNS_MAX;
}

static struct rc run_follow(void *ctx, struct work *w, struct store *s, struct err *err)
{
    (void)ctx;
    return follow_run(w, s, kit.fs,
        &(struct follow_opts){.output = kit.copy,
            .interval_ms = 1,
            .log_limit = 1 << 30,
            .clock = &clock_real,
            .on_event = on_event,
            .wait = on_wait},
        err);
}

static struct rc follow_it(const struct fsys *fs)
{
    kit.fs = fs;
    kit.at = 0;
    kit.waits = kit.troubles = kit.rebased = kit.switched = kit.ready = 0;
    kit.done = kit.wrong = false;
    return session_run(&fsys_real, kit.url, run_follow, NULL, &kit.err);
}

/* What SQLite reads from the copy; its txid, 0: no state of the history. */
static uint64_t look(void)
{
    sqlite3 *db = NULL;
    sqlite3_int64 size = 0;
    unsigned char *image;
    uint64_t txid = 0;

    assert_int_equal(sqlite3_open_v2(kit.copy, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
    image = sqlite3_serialize(db, "main", &size, 0);
    assert_non_null(image);
    for (uint64_t i = 1; i <= TIP && txid == 0; i++) {
        const struct make_history_state *s = state_of(i);

        if ((uint64_t)size == (uint64_t)s->page_count * PAGE_SIZE && memcmp(image, s->image, (size_t)size) == 0)
            txid = i;
    }
    sqlite3_free(image);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return txid;
}

/* Byte for byte, alone. */
static void assert_file_is(uint64_t txid)
{
    const struct make_history_state *s = state_of(txid);
    CLEANUP(buf_fini) struct buf file;
    char log[PATH_SIZE];

    buf_init(&file, 1 << 20);
    assert_ok_err(fsys_read_file(&fsys_real, kit.copy, &file, &kit.err), &kit.err);
    assert_int_equal(file.size, (size_t)s->page_count * PAGE_SIZE);
    assert_memory_equal(file.data, s->image, file.size);
    (void)snprintf(log, sizeof log, "%s-wal", kit.copy);
    assert_int_not_equal(access(log, F_OK), 0);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

/* From each state to the tip; over the commit that no log leads to, and from the midst of a segment, in one step. */
static void from_every_state(void **state)
{
    (void)state;
    for (uint64_t txid = 1; txid <= TIP; txid++) {
        make_copy(txid);
        assert_ok_err(follow_it(&fsys_real), &kit.err);
        assert_true(kit.done);
        assert_false(kit.wrong);
        assert_int_equal(kit.troubles, 0);
        assert_int_equal(kit.ready, 1);
        if (txid < ALONE)
            assert_int_equal(kit.rebased, 1);
        if (txid == ALONE || txid == 15 || txid == FORK || txid == TIP)
            assert_int_equal(kit.rebased, 0);
        assert_file_is(TIP);
        assert_ok_err(follow_it(&fsys_real), &kit.err); /* nothing to do */
        assert_true(kit.done);
        assert_file_is(TIP);
    }
}

/* What the local state says for a takeover. */
static void leaves_a_restored_state(void **state)
{
    CLEANUP(mem_freep) char *dir = local_place_dir(kit.copy, NULL);
    struct local_state_content content;
    enum local_state_found found;

    (void)state;
    make_copy(14); /* a state that was chosen, which following makes the newest one */
    assert_ok_err(follow_it(&fsys_real), &kit.err);
    assert_ok_err(local_state_peek(&fsys_real, dir, &content, &found, &kit.err), &kit.err);
    assert_int_equal(found, LOCAL_STATE_GOOD);
    assert_true(content.restored);
    assert_true(content.followed);
    assert_false(content.chosen);
    assert_int_equal(content.pos.txid, TIP);
    assert_int_equal(content.pos.timeline, 2);
    assert_int_equal(content.pos.checksum, state_of(TIP)->checksum);
}

/* A failing file operation is tried again or told; what is visible is a state of the history in any case. */
static void fail_at_every_call(enum fault_mode mode, uint64_t from)
{
    struct fault_fsys f;
    long n, told = 0;

    for (n = 1;; n += 1 + n / 24) {
        struct rc rc;
        uint64_t now;

        make_copy(from);
        fault_fsys_init(&f, mode, n, EIO);
        rc = follow_it(&f.fs);
        assert_int_equal(f.open_fds, 0);
        assert_false(kit.wrong);
        if (f.fired == 0) {
            assert_ok_err(rc, &kit.err);
            break;
        }
        told += rc_failed(rc) || kit.troubles > 0;
        now = look();
        if (now < from)
            fail_msg("call %ld: the copy is at txid %d (%s)", n, (int)now, rc_failed(rc) ? kit.err.msg : "no failure");
        assert_ok_err(follow_it(&fsys_real), &kit.err);
        assert_true(kit.done);
        assert_false(kit.wrong);
        assert_file_is(TIP);
    }
    assert_in_range(n, 30, 4000);
    assert_true(told > 10);
}

static void failures_in_the_log(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_ONCE, 15);
}

static void failures_on_another_way(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_ONCE, 9);
}

static void failures_that_stay(void **state)
{
    (void)state;
    fail_at_every_call(FAULT_FOREVER, 15);
}

static struct rc follow_on(const struct fsys *fs, void *unused)
{
    (void)unused;
    return follow_it(fs);
}

/* Killed at any change of a file. */
static void killed(void **state)
{
    static const uint64_t from[] = {9, 15};

    (void)state;
    KILL_OR_SKIP();
    for (unsigned i = 0; i < 2; i++) {
        bool alive = false;
        long n;

        for (n = 1; !alive; n += 1 + n / 24) {
            make_copy(from[i]);
            alive = !killed_at(n, follow_on, NULL);
            if (n % 2 == 0) /* SQLite may recover the copy first, or the follower */
                assert_true(look() >= from[i]);
            assert_ok_err(follow_it(&fsys_real), &kit.err);
            assert_true(kit.done);
            assert_false(kit.wrong);
            assert_file_is(TIP);
        }
        assert_in_range(n, 15, 1000);
    }
}

/* One byte of the file was changed, past SQLite: it is found at the start, or when a commit builds on the page. */
static void changed_past_sqlite(void **state)
{
    FILE *file;

    (void)state;
    make_copy(15);
    file = fopen(kit.copy, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 2 * PAGE_SIZE + 100, SEEK_SET), 0);
    assert_int_not_equal(fputc(0x5a, file), EOF);
    assert_int_equal(fclose(file), 0);
    assert_fails(follow_it(&fsys_real), E_CORRUPT);
    assert_non_null(strstr(kit.err.msg, "somebody else has written to it"));
    assert_int_equal(kit.ready, 0);
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    store_wait_scratch(kit.dir);
    (void)snprintf(kit.root, sizeof kit.root, "%s/replica", kit.dir);
    (void)snprintf(kit.url, sizeof kit.url, "file://%s", kit.root);
    (void)snprintf(kit.copy, sizeof kit.copy, "%s/copy.db", kit.dir);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_every_state),
        cmocka_unit_test(leaves_a_restored_state),
        cmocka_unit_test(changed_past_sqlite),
        cmocka_unit_test(failures_in_the_log),
        cmocka_unit_test(failures_on_another_way),
        cmocka_unit_test(failures_that_stay),
        cmocka_unit_test(killed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
