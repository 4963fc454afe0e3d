/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "wal_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRAME = 4096 + WAL_FMT_FRAME_HEADER_SIZE };

static struct err err;

static void sql(struct wal_world *w, const char *text)
{
    if (sql_child_sql(&w->app, 0, "%s", text) != 0)
        fail_msg("%s", text);
}

static void insert(struct wal_world *w, unsigned commits, unsigned bytes)
{
    for (unsigned i = 0; i < commits; i++)
        assert_int_equal(sql_child_sql(&w->app, 0, "INSERT INTO t(a, b) VALUES (%u, randomblob(%u))", i, bytes), 0);
}

/* The file gets `bytes` of a generation before: what comes next does not reach its end, so nobody can take that end for
 * a place where the file was cut. */
static void lengthen(struct wal_world *w, unsigned bytes)
{
    insert(w, 1, bytes);
    sql(w, "PRAGMA wal_checkpoint(RESTART)");
    insert(w, 1, 10); /* it is the next commit that starts the log over, and the gate would keep it from doing so */
}

/* Where the last commit of the present generation ends in the file. */
static uint64_t end_of_log(struct wal_world *w)
{
    struct wal_index_header index;
    uint64_t end;

    wal_world_connect(w);
    assert_true(wal_index_read(w->conn->shm, &index));
    end = wal_fmt_frame_offset(w->page_size, index.max_frame + 1);
    wal_world_detach(w);
    return end;
}

/* Attached, some commits read, and detached in the middle of the log. */
static void begin_away(struct wal_world *w)
{
    wal_world_begin(w, 4096);
    lengthen(w, 3000000);
    wal_world_attach(w);
    insert(w, 30, 6000);
    assert_int_equal(wal_world_drain(w), WAL_READER_QUIET);
    wal_world_detach(w);
}

/* Come back; whatever the decision is, the model must be right in the end, and nothing may be missed unnoticed. */
static void come_back(struct wal_world *w, enum wal_resume_how want, const char *reason)
{
    struct wal_resume how = wal_world_resume(w);

    if (how.how != want || strcmp(how.reason, reason) != 0)
        fail_msg("decided %d (%s), not %d (%s)", how.how, how.reason, want, reason);
    if (how.how == WAL_RESUME_COMPARE)
        return;
    assert_int_equal(how.pos.frame, w->pos.frame);
    assert_int_equal(wal_world_drain(w), WAL_READER_QUIET);
    wal_world_check(w);
    insert(w, 3, 100); /* and on from there */
    assert_int_equal(wal_world_drain(w), WAL_READER_QUIET);
    wal_world_check(w);
}

#define GOES_ON     "the log goes on where it was left"
#define TAIL        "the log was reset once; what was not read yet is still in the file"
#define OVERWRITTEN "the log was reset and has overwritten what was not read yet"
#define TWICE       "the log was reset more than once"
#define ANEW        "the log has begun anew"
#define CUT         "the log was reset, and its file ends in what was not read yet: it may have been cut"

static void goes_on(void **state)
{
    struct wal_world w;

    (void)state;
    begin_away(&w);
    come_back(&w, WAL_RESUME_GO_ON, GOES_ON); /* nothing happened */
    wal_world_detach(&w);
    insert(&w, 20, 3000);
    sql(&w, "PRAGMA wal_checkpoint(PASSIVE)");
    come_back(&w, WAL_RESUME_GO_ON, GOES_ON);
    wal_world_end(&w);
}

/* Also directly behind a reset, before anything of the generation was read. */
static void goes_on_from_the_header(void **state)
{
    struct wal_world w;
    struct wal_pos start;
    uint8_t *log;
    size_t size;

    (void)state;
    begin_away(&w);
    sql(&w, "PRAGMA wal_checkpoint(RESTART)");
    insert(&w, 1, 10);
    wal_world_attach(&w);
    log = wal_world_file_read(w.wal_path, &size);
    assert_ok_err(wal_fmt_decode_header(span_of(log, size), &start, &err), &err);
    free(log);
    wal_world_adopt(&w);
    w.pos = start;
    wal_world_detach(&w);
    come_back(&w, WAL_RESUME_GO_ON, GOES_ON);
    wal_world_end(&w);
}

static void one_reset(void **state)
{
    struct wal_world w;

    (void)state;
    for (unsigned unread = 0; unread < 6; unread++) {
        uint64_t commits;

        begin_away(&w);
        commits = w.commits;
        insert(&w, unread, 5000);
        sql(&w, "PRAGMA wal_checkpoint(RESTART)");
        insert(&w, 4, 100);
        come_back(&w, WAL_RESUME_TAIL, TAIL);
        assert_int_equal(w.commits - commits, unread + 4 + 3);
        assert_true(wal_reader_follows(w.reader));
        wal_world_end(&w);
    }
}

/* Nothing lies behind the tail: a file that was cut exactly behind a commit looks the same.  Only the counter of an
 * index that was alive all the time tells them apart; one that was made anew counts from somewhere else. */
static void one_reset_at_the_end_of_the_file(void **state)
{
    struct wal_world w;

    (void)state;
    for (unsigned unread = 0; unread < 3; unread++) {
        wal_world_begin(&w, 4096);
        insert(&w, 30, 6000);
        wal_world_attach(&w);
        wal_world_detach(&w);
        insert(&w, unread, 5000);
        sql(&w, "PRAGMA wal_checkpoint(RESTART)");
        insert(&w, 4, 100);
        come_back(&w, WAL_RESUME_TAIL, TAIL);
        wal_world_end(&w);
    }
    for (unsigned unread = 0; unread < 3; unread++) {
        wal_world_begin(&w, 4096);
        insert(&w, 30, 6000);
        wal_world_attach(&w);
        wal_world_detach(&w);
        insert(&w, unread, 5000);
        sql(&w, "PRAGMA wal_checkpoint(RESTART)");
        insert(&w, 4, 100);
        w.pos.change_count += 1000;
        come_back(&w, WAL_RESUME_COMPARE, CUT);
        wal_world_end(&w);
    }
}

/* The old tail ends with a transaction that was rolled back after some of it had been written, in a longer file and at
 * the end of one. */
static void one_reset_behind_a_rollback(void **state)
{
    struct wal_world w;

    (void)state;
    for (int longer = 0; longer < 2; longer++) {
        wal_world_begin(&w, 4096);
        if (longer)
            lengthen(&w, 400000);
        insert(&w, 10, 6000);
        wal_world_attach(&w);
        wal_world_detach(&w);
        insert(&w, 2, 5000);
        sql(&w, "PRAGMA cache_size=5; BEGIN; INSERT INTO t(b) VALUES (randomblob(100000)); ROLLBACK");
        sql(&w, "PRAGMA wal_checkpoint(RESTART)");
        insert(&w, 4, 100);
        come_back(&w, WAL_RESUME_TAIL, TAIL);
        wal_world_end(&w);
    }
}

/* Writers go on while the tail is being read: what was read in time is exact, then it is to be decided anew. */
static void overwritten_meanwhile(void **state)
{
    struct wal_world w;
    struct wal_reader_batch batch;
    enum wal_reader_state what;

    (void)state;
    begin_away(&w);
    insert(&w, 100, 6000);
    sql(&w, "PRAGMA wal_checkpoint(RESTART)");
    insert(&w, 1, 100);
    assert_int_equal(wal_world_resume(&w).how, WAL_RESUME_TAIL);
    assert_ok_err(wal_reader_refresh(w.reader, &what, &err), &err);
    assert_int_equal(what, WAL_READER_MORE);
    assert_true(wal_world_take(&w));
    insert(&w, 110, 6000);
    assert_fails(wal_reader_next(w.reader, &batch, &err), E_BUSY);
    assert_non_null(strstr(err.msg, "was overwritten while it was being read"));
    wal_world_detach(&w);
    come_back(&w, WAL_RESUME_COMPARE, OVERWRITTEN);
    wal_world_end(&w);
}

static void overwritten(void **state)
{
    struct wal_world w;

    (void)state;
    begin_away(&w);
    insert(&w, 2, 5000);
    sql(&w, "PRAGMA wal_checkpoint(RESTART)");
    insert(&w, 40, 6000);
    come_back(&w, WAL_RESUME_COMPARE, OVERWRITTEN);
    wal_world_end(&w);
}

/* Reset, and the new generation ends in the middle of what was read / exactly behind it / one frame before. */
static void overwritten_to_the_edge(void **state)
{
    struct wal_world w;
    unsigned tails = 0, compares = 0;

    (void)state;
    for (unsigned n = 0; n < 12; n++) {
        struct wal_index_header index;
        struct wal_resume how;
        uint32_t at;

        wal_world_begin(&w, 4096);
        lengthen(&w, 400000);
        wal_world_attach(&w);
        insert(&w, 10, 10);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        at = w.pos.frame;
        wal_world_detach(&w);
        insert(&w, 2, 10);
        sql(&w, "PRAGMA wal_checkpoint(RESTART)");
        insert(&w, 6 + n, 10);
        how = wal_world_resume(&w);
        assert_true(wal_index_read(w.conn->shm, &index));
        assert_int_equal(how.how, index.max_frame < at ? WAL_RESUME_TAIL : WAL_RESUME_COMPARE);
        tails += how.how == WAL_RESUME_TAIL;
        compares += how.how == WAL_RESUME_COMPARE;
        if (how.how == WAL_RESUME_TAIL) {
            assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
            wal_world_check(&w);
        }
        wal_world_end(&w);
    }
    assert_true(tails > 0 && compares > 0);
}

static void two_resets(void **state)
{
    struct wal_world w;

    (void)state;
    begin_away(&w);
    for (unsigned i = 0; i < 2; i++) {
        sql(&w, "PRAGMA wal_checkpoint(RESTART)");
        insert(&w, 1, 100);
    }
    come_back(&w, WAL_RESUME_COMPARE, TWICE);
    wal_world_end(&w);
}

static void truncated(void **state)
{
    struct wal_world w;

    (void)state;
    begin_away(&w);
    sql(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
    come_back(&w, WAL_RESUME_COMPARE, ANEW);
    wal_world_end(&w);
    begin_away(&w);
    insert(&w, 2, 5000);
    sql(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
    insert(&w, 2, 5000);
    come_back(&w, WAL_RESUME_COMPARE, OVERWRITTEN);
    wal_world_end(&w);
}

/* The last connection closed: checkpoint, log removed; the next one begins with salts of its own. */
static void closed_by_everybody(void **state)
{
    struct wal_world w;
    struct wal_resume how;

    (void)state;
    begin_away(&w);
    assert_int_equal(sql_child_close(&w.app, 0), 0);
    assert_int_equal(sql_child_open(&w.app, 0, w.path), 0);
    insert(&w, 2, 5000);
    how = wal_world_resume(&w);
    assert_int_equal(how.how, WAL_RESUME_COMPARE);
    wal_world_end(&w);
}

/* With journal_size_limit the commit behind a reset cuts the file: before, inside and behind what was not read, and to
 * the byte at its end. */
static void cut_by_a_limit(void **state)
{
    unsigned tails = 0, compares = 0;

    (void)state;
    for (unsigned n = 0; n < 30; n++) {
        uint64_t limit = 20000 + n * 14001, ours, end, whole;
        struct wal_resume how;
        struct wal_world w;

        wal_world_begin(&w, 4096);
        lengthen(&w, 330000);
        wal_world_attach(&w);
        insert(&w, 10, 6000);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        ours = wal_fmt_frame_offset(4096, w.pos.frame + 1);
        wal_world_detach(&w);
        insert(&w, 5, 6000);
        end = end_of_log(&w);
        whole = wal_world_file_size(w.wal_path);
        assert_true(whole > end + 2 * FRAME);
        if (n >= 24) /* around the end of the last commit, and of the first frame behind it */
            limit = end + (n - 24) / 3 * FRAME + (n - 24) % 3 - 1;
        assert_int_equal(sql_child_sql(&w.app, 0, "PRAGMA journal_size_limit=%llu", (unsigned long long)limit), 0);
        sql(&w, "PRAGMA wal_checkpoint(RESTART)");
        insert(&w, 1, 10);
        assert_int_equal(wal_world_file_size(w.wal_path), limit < whole ? limit : whole);
        how = wal_world_resume(&w);
        /* Never trusted unless all commits are there. */
        if (how.how != (limit >= end ? WAL_RESUME_TAIL : WAL_RESUME_COMPARE))
            fail_msg("cut at %llu, the last commit ends at %llu: decided %d (%s)", (unsigned long long)limit,
                (unsigned long long)end, how.how, how.reason);
        if (limit >= ours && limit < end)
            assert_string_equal(how.reason, CUT);
        tails += how.how == WAL_RESUME_TAIL;
        compares += how.how == WAL_RESUME_COMPARE;
        if (how.how == WAL_RESUME_TAIL) {
            assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
            wal_world_check(&w);
        }
        wal_world_end(&w);
    }
    assert_true(tails > 5 && compares > 10);
}

/* The file cut at every byte from what was read last to the second frame behind the last commit, the ends of commits
 * included.  It may be believed only if nothing can be missing. */
static void cut_anywhere(void **state)
{
    enum { SMALL_FRAME = 512 + WAL_FMT_FRAME_HEADER_SIZE };
    uint64_t ours, end;
    struct wal_world w;
    uint8_t *log;
    size_t size;

    (void)state;
    wal_world_begin(&w, 512);
    lengthen(&w, 20000);
    insert(&w, 10, 100);
    wal_world_attach(&w);
    ours = wal_fmt_frame_offset(512, w.pos.frame + 1);
    wal_world_detach(&w);
    insert(&w, 2, 1000);
    end = end_of_log(&w);
    sql(&w, "PRAGMA wal_checkpoint(RESTART)");
    insert(&w, 1, 10);
    log = wal_world_file_read(w.wal_path, &size);
    assert_true(end > ours && size > end + 2 * SMALL_FRAME);
    for (uint64_t cut = ours - 600; cut < end + 2 * SMALL_FRAME; cut++) {
        struct wal_resume how;

        assert_int_equal(truncate(w.wal_path, (off_t)cut), 0);
        wal_world_connect(&w);
        assert_ok_err(wal_resume_decide(w.conn, &w.pos, &how, &err), &err);
        if (how.how != (cut >= end ? WAL_RESUME_TAIL : WAL_RESUME_COMPARE))
            fail_msg("cut at %llu of %llu..%llu: decided %d (%s)", (unsigned long long)cut, (unsigned long long)ours,
                (unsigned long long)end, how.how, how.reason);
        if (how.how == WAL_RESUME_TAIL)
            assert_int_equal(wal_fmt_frame_offset(512, how.tail_end + 1), end);
        wal_world_detach(&w);
        wal_world_file_patch(w.wal_path, 0, log, size);
    }
    free(log);
    wal_world_end(&w);
}

/* The file of another database, of the same size and age. */
static void replaced(void **state)
{
    struct wal_world w, other;
    struct wal_resume how;

    (void)state;
    begin_away(&w);
    begin_away(&other);
    other.pos = w.pos;
    how = wal_world_resume(&other);
    assert_int_equal(how.how, WAL_RESUME_COMPARE);
    wal_world_end(&w);
    wal_world_end(&other);
}

/* A power cut took the end of the log: an earlier copy of both files. */
static void power_cut(void **state)
{
    struct wal_world w;
    struct wal_resume how;
    uint8_t *db, *log;
    size_t db_size, log_size;

    (void)state;
    wal_world_begin(&w, 4096);
    insert(&w, 5, 3000);
    db = wal_world_file_read(w.path, &db_size);
    log = wal_world_file_read(w.wal_path, &log_size);
    for (unsigned other_commits = 0; other_commits < 2; other_commits++) {
        if (other_commits > 0)
            assert_int_equal(sql_child_open(&w.app, 0, w.path), 0);
        wal_world_attach(&w);
        insert(&w, 5, 3000);
        assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
        wal_world_detach(&w);
        sql_child_kill(&w.app);
        wal_world_file_write(w.path, db, db_size);
        wal_world_file_write(w.wal_path, log, log_size);
        (void)snprintf(w.app.answer, sizeof w.app.answer, "%s-shm", w.path);
        assert_int_equal(unlink(w.app.answer), 0);
        sql_child_start(&w.app);
        assert_int_equal(sql_child_open(&w.app, 0, w.path), 0);
        sql(&w, "PRAGMA wal_autocheckpoint=0");
        /* Other commits where ours were, or none. */
        insert(&w, other_commits * 30, 3000);
        how = wal_world_resume(&w);
        assert_int_equal(how.how, WAL_RESUME_COMPARE);
        assert_true(how.lost_commits);
        assert_string_equal(how.reason, other_commits > 0 ? "the log holds other commits where ours were"
                                                          : "the log ends before the commits that were read last");
        wal_world_detach(&w);
        assert_int_equal(sql_child_close(&w.app, 0), 0);
        wal_world_file_write(w.path, db, db_size);
        wal_world_file_write(w.wal_path, log, log_size);
    }
    free(db);
    free(log);
    wal_world_end(&w);
}

/* The machine lost power when the new generation had grown past our position, and of its frames only some behind that
 * reached the disk: they lie where commits ended that were not read yet, and nothing else tells of those. */
static void overwritten_in_part(void **state)
{
    struct wal_world w;
    struct wal_fmt_frame f;

    (void)state;
    for (unsigned unread = 1; unread < 4; unread++) {
        struct wal_resume how;
        uint8_t *log, newer[12] = {0}; /* ends no commit, and has the salts of the log's header */
        unsigned hidden = 0;
        size_t size;

        begin_away(&w);
        insert(&w, unread, 5000);
        sql(&w, "PRAGMA wal_checkpoint(RESTART)");
        insert(&w, 4, 100);
        log = wal_world_file_read(w.wal_path, &size);
        memcpy(newer + 4, log + 16, 8);
        for (uint32_t frame = w.pos.frame + 1; wal_fmt_frame_offset(4096, frame + 1) <= size; frame++) {
            uint64_t offset = wal_fmt_frame_offset(4096, frame);

            wal_fmt_decode_frame(log + offset, &f);
            if (f.salt[0] == w.pos.salt[0] && f.salt[1] == w.pos.salt[1] && f.commit_page_count != 0) {
                wal_world_file_patch(w.wal_path, offset + 4, newer, sizeof newer);
                hidden++;
            }
        }
        free(log);
        assert_int_equal(hidden, unread);
        how = wal_world_resume(&w);
        assert_string_equal(how.reason, OVERWRITTEN);
        assert_int_equal(how.how, WAL_RESUME_COMPARE);
        wal_world_end(&w);
    }
}

static void unknown_position(void **state)
{
    struct wal_world w;

    (void)state;
    begin_away(&w);
    w.pos.valid = false;
    come_back(&w, WAL_RESUME_COMPARE, "no position in the log is known");
    wal_world_detach(&w);
    w.pos.valid = true;
    w.pos.page_size = 1024; /* it was another database, then VACUUMed to another page size */
    come_back(&w, WAL_RESUME_COMPARE, ANEW);
    wal_world_end(&w);
}

/* The index is damaged for the moment: no decision. */
static void index_unreadable(void **state)
{
    struct wal_resume how;
    struct wal_world w;

    (void)state;
    begin_away(&w);
    wal_world_connect(&w);
    ((volatile uint8_t *)w.conn->shm)[16] ^= 1;
    assert_fails(wal_resume_decide(w.conn, &w.pos, &how, &err), E_BUSY);
    ((volatile uint8_t *)w.conn->shm)[16] ^= 1;
    wal_world_end(&w);
}

/* Many positions, many histories: whatever the decision, never a wrong model. */
static void at_random(void **state)
{
    unsigned decided[3] = {0};
    uint64_t seed = 11;

    (void)state;
    for (unsigned n = 0; n < 30; n++) {
        struct wal_world w;

        wal_world_begin(&w, 1024);
        if (n % 4 != 0)
            lengthen(&w, 1000000);
        wal_world_attach(&w);
        for (unsigned round = 0; round < 3; round++) {
            struct wal_resume how;

            assert_int_equal(
                sql_child_call(&w.app, wal_world_random, check_random(&seed), check_random(&seed) % 20), 0);
            assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
            wal_world_detach(&w);
            assert_int_equal(sql_child_call(&w.app, wal_world_random, check_random(&seed), check_random(&seed) % 9), 0);
            if (check_random(&seed) % 4 != 0)
                sql(&w, check_random(&seed) % 2 == 0 ? "PRAGMA wal_checkpoint(RESTART)" : "PRAGMA wal_checkpoint");
            assert_int_equal(sql_child_call(&w.app, wal_world_random, check_random(&seed), check_random(&seed) % 5), 0);
            how = wal_world_resume(&w);
            decided[how.how]++;
            if (how.how == WAL_RESUME_COMPARE)
                break;
            assert_int_equal(wal_world_drain(&w), WAL_READER_QUIET);
            wal_world_check(&w);
        }
        wal_world_end(&w);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_true(decided[i] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on),
        cmocka_unit_test(goes_on_from_the_header),
        cmocka_unit_test(one_reset),
        cmocka_unit_test(one_reset_at_the_end_of_the_file),
        cmocka_unit_test(one_reset_behind_a_rollback),
        cmocka_unit_test(overwritten),
        cmocka_unit_test(overwritten_to_the_edge),
        cmocka_unit_test(overwritten_meanwhile),
        cmocka_unit_test(two_resets),
        cmocka_unit_test(truncated),
        cmocka_unit_test(closed_by_everybody),
        cmocka_unit_test(cut_by_a_limit),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(replaced),
        cmocka_unit_test(power_cut),
        cmocka_unit_test(overwritten_in_part),
        cmocka_unit_test(unknown_position),
        cmocka_unit_test(index_unreadable),
        cmocka_unit_test(at_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
