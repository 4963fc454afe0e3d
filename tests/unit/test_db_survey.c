/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "db_survey.h"
#include "fault_store.h"
#include "make_history.h"
#include "store_wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PAGE_SIZE = 512, PAGES = 12, PATH_SIZE = 1024 };

/* A survey in a job's thread, which must not leave by an assertion. */
struct job {
    struct work_item item; /* must be first */
    struct db_survey survey;
    bool find;         /* look for `checksum` afterwards */
    uint64_t checksum; /* of the file */
    bool done;
    struct rc rc;
    struct err err;
};

static struct rig {
    uv_loop_t loop;
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 16];
    struct work *work;
    struct fault_store store;
    struct make_history h;
    struct local_state_content local;
    enum local_state_found found;
    struct job job;
    uint8_t image[PAGES * PAGE_SIZE];
} g;

/* --- the history
 * ------------------------------------------------------------------------------------------------------ */

/* Page `pgno` is another one after it. */
static void commit(uint32_t pgno)
{
    g.image[(size_t)(pgno - 1) * PAGE_SIZE + 40]++;
    make_history_commit(&g.h, g.image, PAGES, g.h.count == 0 ? SEG_SNAPSHOT : 0);
}

static const struct make_history_state *state_of(uint32_t timeline, uint64_t txid)
{
    const struct make_history_state *s = make_history_find(&g.h, timeline, txid);

    assert_non_null(s);
    return s;
}

/* 1: 1..7, the last three in segments of their own.  The local state is at txid 4 and knows the writer. */
static int set_up(void **state)
{
    (void)state;
    memset(&g, 0, sizeof g);
    store_wait_scratch(g.dir);
    (void)snprintf(g.root, sizeof g.root, "%s/r", g.dir);
    make_history_init(&g.h, g.root, PAGE_SIZE);
    make_history_timeline(&g.h, 0, 0);
    for (uint32_t i = 1; i <= 7; i++) {
        commit(i);
        if (i == 1)
            make_history_snapshot(&g.h);
        else if (i >= 4)
            make_history_cut(&g.h);
    }
    g.found = LOCAL_STATE_GOOD;
    g.local = (struct local_state_content){.database = g.h.database, .run_count = 1};
    g.local.runs[0] = g.h.writer;
    g.local.pos = (struct pos){
        .timeline = 1, .txid = 4, .page_size = PAGE_SIZE, .page_count = PAGES, .checksum = state_of(1, 4)->checksum};
    fault_store_begin(&g.store, &g.loop, g.root);
    g.work = work_new(&g.loop, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    db_survey_fini(&g.job.survey);
    work_stop(g.work);
    store_wait_end(&g.loop, &g.store.base);
    make_history_fini(&g.h);
    store_wait_unscratch(g.dir);
    return 0;
}

/* --- looking
 * ------------------------------------------------------------------------------------------------------------- */

static void run(struct work_item *item)
{
    struct job *j = (struct job *)item;

    j->rc = db_survey_run(&j->survey, g.work, &g.store.base, "/app.db", g.found, &g.local, &j->err);
    if (!rc_failed(j->rc) && j->find)
        j->rc = db_survey_find_file(&j->survey, g.work, &g.store.base, j->checksum, &j->err);
}

static void done(struct work_item *item)
{
    ((struct job *)item)->done = true;
}

static enum err_code survey(void)
{
    struct job *j = &g.job;

    db_survey_fini(&j->survey);
    j->item = (struct work_item){.run = run, .done = done};
    j->done = false;
    work_job(g.work, &j->item);
    while (!j->done)
        assert_true(uv_run(&g.loop, UV_RUN_ONCE) != 0 || j->done);
    return j->rc.code;
}

static const struct lineage_facts *facts(void)
{
    enum err_code code = survey();

    if (code != E_OK)
        fail_msg("%s", g.job.err.msg);
    return &g.job.survey.facts;
}

static void remove_log(uint64_t txid)
{
    layout_text key;
    char path[PATH_SIZE];

    layout_log(key, 1, txid);
    (void)snprintf(path, sizeof path, "%s/%s", g.root, key);
    assert_int_equal(unlink(path), 0);
}

/* --- what there is
 * ------------------------------------------------------------------------------------------------------ */

static void test_nothing_there(void **state)
{
    const struct lineage_facts *f;

    (void)state;
    store_wait_unscratch(g.root);
    f = facts();
    assert_false(f->has_history);
    assert_int_equal(f->newest, 0);
    assert_string_equal(f->path, "/app.db");
}

static void test_tip(void **state)
{
    const struct lineage_facts *f;

    (void)state;
    f = facts();
    assert_true(f->has_history);
    assert_true(nonce_equal(&f->database, &g.h.database));
    assert_int_equal(f->newest, 1);
    assert_int_equal(f->newest_parent, 0);
    assert_int_equal(f->tip_txid, 7);
    assert_int_equal(f->tip_checksum, state_of(1, 7)->checksum);
    assert_int_equal(f->tip_time_ms, state_of(1, 7)->time_ms);
    assert_true(f->newest_is_ours);
    assert_false(f->newest_sealed);
    assert_false(f->foreign_after);
}

/* Behind our position: three commits, and the pages that they changed. */
static void test_behind(void **state)
{
    const struct db_survey *s;

    (void)state;
    (void)facts();
    s = &g.job.survey;
    assert_int_equal(s->checksum_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(s->checksums[i], state_of(1, 5 + i)->checksum);
    assert_int_equal(s->base_checksum, state_of(1, 4)->checksum);
    assert_int_equal(s->page_count, PAGES);
    assert_int_equal(bitmap_count(s->pages), 3);
    for (uint32_t p = 5; p <= 7; p++)
        assert_true(bitmap_has(s->pages, p));
}

static void test_at_the_tip(void **state)
{
    (void)state;
    g.local.pos.txid = 7;
    g.local.pos.checksum = state_of(1, 7)->checksum;
    assert_int_equal(facts()->found, LOCAL_STATE_GOOD);
    assert_int_equal(g.job.survey.checksum_count, 0);
}

static void test_without_local_state(void **state)
{
    (void)state;
    g.found = LOCAL_STATE_NONE;
    assert_false(facts()->newest_is_ours);
    assert_int_equal(g.job.survey.facts.tip_txid, 7);
    assert_int_equal(g.job.survey.checksum_count, 0);
}

/* The index would be that of another state, whatever its own checksum says. */
static void test_another_state(void **state)
{
    (void)state;
    g.local.pos.checksum ^= 1;
    assert_int_equal(facts()->found, LOCAL_STATE_BROKEN);
    g.local.pos.txid = 7;
    assert_int_equal(facts()->found, LOCAL_STATE_BROKEN);
}

/* --- others
 * ----------------------------------------------------------------------------------------------------------------- */

static void test_foreign_writer(void **state)
{
    (void)state;
    g.local.runs[0].bytes[0] ^= 1;
    assert_true(facts()->foreign_after);
    assert_false(g.job.survey.facts.newest_is_ours);
    assert_int_not_equal(g.job.survey.facts.foreign_run[0], 0);
}

/* A timeline that somebody forked from ours at txid 5, and one that has no commit yet. */
static void test_newer_timeline(void **state)
{
    const struct lineage_facts *f;

    (void)state;
    make_history_seal(&g.h, 2);
    make_history_timeline(&g.h, 1, 5);
    f = facts();
    assert_int_equal(f->newest, 2);
    assert_int_equal(f->newest_parent, 1);
    assert_int_equal(f->newest_fork, 5);
    assert_int_equal(f->tip_txid, 5);
    assert_int_equal(f->tip_checksum, state_of(1, 5)->checksum);
    assert_true(f->local_on_path);
    commit(9);
    make_history_cut(&g.h);
    f = facts();
    assert_int_equal(f->tip_txid, 6);
    assert_int_equal(f->tip_checksum, state_of(2, 6)->checksum);
    g.local.pos.checksum ^= 1;
    assert_false(facts()->local_on_path);
}

static void test_sealed(void **state)
{
    const struct lineage_facts *f;

    (void)state;
    make_history_seal(&g.h, 2);
    f = facts();
    assert_true(f->newest_sealed);
    assert_string_equal(f->newest_host, "test");
    assert_int_equal(f->tip_txid, 7);
}

/* --- the file
 * --------------------------------------------------------------------------------------------------------------- */

static void test_find_file(void **state)
{
    (void)state;
    g.job.find = true;
    for (uint64_t txid = 1; txid <= 7; txid++) {
        g.job.checksum = state_of(1, txid)->checksum;
        assert_int_equal(facts()->file_txid, txid);
        assert_int_equal(g.job.survey.facts.file_timeline, 1);
        assert_int_equal(g.job.survey.facts.file_time_ms, state_of(1, txid)->time_ms);
    }
    g.job.checksum ^= 1;
    assert_int_equal(facts()->file_txid, 0);
    assert_true(g.job.survey.facts.file_hashed);
}

/* --- damage and failures
 * ------------------------------------------------------------------------------------------------- */

static void test_hole(void **state)
{
    (void)state;
    remove_log(6);
    assert_int_equal(survey(), E_CORRUPT);
    assert_non_null(strstr(g.job.err.msg, "hole before txid 7"));
}

/* The facts of a survey that met a fault are those of one that did not, or there are none. */
static void each_request(enum fault_store_kind kind, bool may_succeed)
{
    long n = 1;

    g.job.find = true;
    g.job.checksum = state_of(1, 2)->checksum;
    for (;; n++) {
        enum err_code code;

        fault_store_arm(&g.store, kind, n, false);
        code = survey();
        if (g.store.fired == 0) {
            assert_int_equal(code, E_OK);
            break;
        }
        if (code == E_OK) {
            const struct db_survey *s = &g.job.survey;

            assert_true(may_succeed);
            assert_int_equal(s->facts.tip_txid, 7);
            assert_int_equal(s->facts.tip_checksum, state_of(1, 7)->checksum);
            assert_int_equal(s->facts.found, LOCAL_STATE_GOOD);
            assert_int_equal(s->checksum_count, 3);
            assert_int_equal(s->facts.file_txid, 2);
        } else
            assert_int_not_equal(g.job.err.msg[0], 0);
    }
    fault_store_disarm(&g.store);
    assert_in_range(n, 8, 60);
}

static void test_each_request_fails(void **state)
{
    (void)state;
    each_request(FAULT_STORE_REFUSED, false);
    each_request(FAULT_STORE_THROTTLED, false);
    each_request(FAULT_STORE_LOST, false);
}

/* Listings have no body, and the documents' prose is not what decides. */
static void test_each_body_is_damaged(void **state)
{
    (void)state;
    each_request(FAULT_STORE_HALF_BODY, true);
    each_request(FAULT_STORE_WRONG_BODY, true);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(test_nothing_there),
        EACH(test_tip),
        EACH(test_behind),
        EACH(test_at_the_tip),
        EACH(test_without_local_state),
        EACH(test_another_state),
        EACH(test_foreign_writer),
        EACH(test_newer_timeline),
        EACH(test_sealed),
        EACH(test_find_file),
        EACH(test_hole),
        EACH(test_each_request_fails),
        EACH(test_each_body_is_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
