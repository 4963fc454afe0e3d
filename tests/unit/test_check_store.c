/* SPDX-License-Identifier: Apache-2.0 */
/* Each right refused in turn, by a store that says who we are to it; bytes that come back changed; nothing stays. */
#include "check.h"

#include "alloc.h"
#include "check_store.h"
#include "clock.h"
#include "config_table.h"
#include "fault_store.h"
#include "store_wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rig {
    struct work_item item; /* must be first */
    uv_loop_t loop;
    char root[STORE_WAIT_PATH_SIZE], folder[STORE_WAIT_PATH_SIZE + 8];
    struct work *work;
    struct fault_store faults;
    struct store_ops ops;
    struct config_db db;
    struct check_report report;
    struct check_store check;
    struct rc rc;
    struct err err;
    bool done;
};

static struct store_who answer; /* what the store says of us */

static void identify(struct store *s, struct store_who *who)
{
    (void)s;
    who->err = answer.err;
    (void)snprintf(who->source, sizeof who->source, "%s", answer.source);
    who->anonymous = answer.anonymous;
    who->expires_ms = answer.expires_ms;
    who->provider = "aws";
    who->bucket = "bucket";
    who->prefix = answer.prefix;
    who->kms = answer.kms;
    who->on_done(who);
}

static void begin(struct rig *g, bool s3)
{
    memset(g, 0, sizeof *g);
    store_wait_scratch(g->root);
    (void)snprintf(g->folder, sizeof g->folder, "%s/replica", g->root);
    fault_store_begin(&g->faults, &g->loop, g->folder);
    g->ops = *g->faults.base.ops;
    if (s3)
        g->ops.identify = identify;
    g->faults.base.ops = &g->ops;
    g->work = work_new(&g->loop, 1);
    config_table_defaults(&g->db);
    g->check = (struct check_store){.report = &g->report, .db = &g->db, .fs = &fsys_real};
    answer = (struct store_who){.source = "environment", .prefix = "a/b"};
}

static void end(struct rig *g)
{
    check_report_fini(&g->report);
    work_stop(g->work);
    store_wait_end(&g->loop, &g->faults.base);
    store_wait_unscratch(g->root);
}

static void run(struct work_item *item)
{
    struct rig *g = (struct rig *)item;

    g->rc = check_store_run(&g->check, g->work, &g->faults.base, &g->err);
}

static void done(struct work_item *item)
{
    ((struct rig *)item)->done = true;
}

static void do_it(struct rig *g)
{
    g->item = (struct work_item){.run = run, .done = done};
    work_job(g->work, &g->item);
    while (!g->done)
        assert_true(uv_run(&g->loop, UV_RUN_ONCE) != 0 || g->done);
    assert_ok_err(g->rc, &g->err);
}

static void expect(const struct rig *g, const char *name, enum check_result result, const char *words)
{
    const struct check_item *item = check_report_find(&g->report, name);

    if (item == NULL || item->result != result || strstr(item->text, words) == NULL) {
        print_error("%s: %s: %s\n", name, item != NULL ? check_report_word(item->result) : "no line",
            item != NULL ? item->text : "");
        fail();
    }
}

static void test_good(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, true);
    do_it(&g);
    expect(&g, "credentials", CHECK_OK, "found: environment; they do not expire");
    expect(&g, "list", CHECK_OK, "s3:ListBucket");
    expect(&g, "put", CHECK_OK, "s3:PutObject");
    expect(&g, "get", CHECK_OK, "was read back");
    expect(&g, "head", CHECK_OK, "");
    expect(&g, "multipart", CHECK_OK, "");
    expect(&g, "abort", CHECK_OK, "");
    expect(&g, "conditional writes", CHECK_OK, "");
    expect(&g, "delete", CHECK_OK, "");
    expect(&g, "history", CHECK_OK, "none yet");
    assert_int_equal(check_report_count(&g.report, CHECK_FAILED), 0);
    assert_int_equal(check_report_count(&g.report, CHECK_WARNING), 0);
    assert_true(g.check.reached);
    assert_string_equal(g.check.provider, "aws");
    end(&g);
}

/* A folder that was not there is not there afterwards either, and one that was is as it was. */
static void test_folder(void **state)
{
    for (int there = 0; there < 2; there++) {
        struct rig g;

        (void)state;
        begin(&g, false);
        if (there)
            assert_ok_err(fsys_make_dirs(&fsys_real, g.folder, 0700, &g.err), &g.err);
        g.faults.base.url = mem_printf("file://%s", g.folder);
        do_it(&g);
        assert_int_equal(check_report_count(&g.report, CHECK_FAILED), 0);
        assert_null(check_report_find(&g.report, "credentials"));
        assert_null(g.check.provider);
        assert_int_equal(access(g.folder, F_OK), there ? 0 : -1);
        if (there)
            assert_int_equal(rmdir(g.folder), 0); /* it is empty */
        mem_free(g.faults.base.url);
        end(&g);
    }
}

static const struct {
    enum store_verb verb;
    const char *line, *action, *resource;
    enum check_result result;
} rights[] = {
    {STORE_LIST, "list", "s3:ListBucket",
        "\"Resource\": \"arn:aws:s3:::bucket\", \"Condition\": {\"StringLike\": {\"s3:prefix\": \"a/b/*\"}}}",
        CHECK_FAILED},
    {STORE_PUT, "put", "s3:PutObject", "\"arn:aws:s3:::bucket/a/b/*\"}", CHECK_FAILED},
    {STORE_GET, "get", "s3:GetObject", "\"arn:aws:s3:::bucket/a/b/*\"}", CHECK_FAILED},
    {STORE_HEAD, "head", "s3:GetObject", "\"arn:aws:s3:::bucket/a/b/*\"}", CHECK_FAILED},
    {STORE_DELETE, "delete", "s3:DeleteObject", "\"arn:aws:s3:::bucket/a/b/*\"}", CHECK_FAILED},
    {STORE_UPLOAD_PART, "multipart", "s3:PutObject", "\"arn:aws:s3:::bucket/a/b/*\"}", CHECK_FAILED},
    {STORE_UPLOAD_ABORT, "abort", "s3:AbortMultipartUpload", "\"arn:aws:s3:::bucket/a/b/*\"}", CHECK_FAILED},
    {STORE_UPLOAD_SWEEP, "list uploads", "s3:ListBucketMultipartUploads", "\"arn:aws:s3:::bucket\"}", CHECK_WARNING},
};

/* Each by itself: the others are still tried, and the missing one is the only one that is named. */
static void test_each_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        struct rig g;
        char words[64];

        begin(&g, true);
        fault_store_arm(&g.faults, FAULT_STORE_REFUSED, 1, true);
        g.faults.verbs = 1u << rights[i].verb;
        g.faults.code = E_DENIED;
        do_it(&g);
        (void)snprintf(words, sizeof words, "%s is missing; the smallest policy", rights[i].action);
        expect(&g, rights[i].line, rights[i].result, words);
        expect(&g, rights[i].line, rights[i].result, rights[i].resource);
        assert_int_equal(check_report_count(&g.report, CHECK_FAILED), rights[i].result == CHECK_FAILED);
        end(&g);
    }
}

/* Who only adds is not asked to delete. */
static void test_append_only(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, true);
    g.db.fold_count = 0;
    fault_store_arm(&g.faults, FAULT_STORE_REFUSED, 1, true);
    g.faults.verbs = 1u << STORE_DELETE;
    g.faults.code = E_DENIED;
    do_it(&g);
    expect(&g, "delete", CHECK_WARNING, "s3:DeleteObject is missing");
    assert_int_equal(check_report_count(&g.report, CHECK_FAILED), 0);
    end(&g);
}

static void test_kms(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, true);
    answer.kms = true;
    answer.prefix = "";
    fault_store_arm(&g.faults, FAULT_STORE_REFUSED, 1, true);
    g.faults.verbs = 1u << STORE_PUT;
    g.faults.code = E_DENIED;
    do_it(&g);
    expect(&g, "put", CHECK_FAILED, "is missing, or kms:GenerateDataKey on the KMS key; ");
    expect(&g, "put", CHECK_FAILED, "\"arn:aws:s3:::bucket/*\"}");
    expect(&g, "conditional writes", CHECK_SKIPPED, "nothing can be written");
    end(&g);
}

/* Where nobody answers, nothing more is asked. */
static void test_out_of_reach(void **state)
{
    struct rig g;

    (void)state;
    begin(&g, true);
    fault_store_arm(&g.faults, FAULT_STORE_REFUSED, 1, true);
    do_it(&g);
    expect(&g, "bucket", CHECK_FAILED, "");
    assert_int_equal(g.faults.requests, 1);
    assert_false(g.check.reached);
    end(&g);
}

static void test_credentials(void **state)
{
    const int64_t now = clock_wall_ms(&clock_real);
    struct rig g;

    (void)state;
    begin(&g, true);
    answer.err = (struct err){.code = E_DENIED, .msg = "no credentials found; looked for: everywhere"};
    do_it(&g);
    expect(&g, "credentials", CHECK_FAILED, "looked for: everywhere");
    assert_int_equal(g.faults.requests, 0);
    end(&g);

    begin(&g, true);
    answer.expires_ms = now - 1000;
    do_it(&g);
    expect(&g, "credentials", CHECK_FAILED, "expired at");
    end(&g);

    begin(&g, true);
    answer.expires_ms = now + 3600 * 1000;
    do_it(&g);
    expect(&g, "credentials", CHECK_OK, "valid until");
    end(&g);

    begin(&g, true);
    answer.anonymous = true;
    do_it(&g);
    expect(&g, "credentials", CHECK_WARNING, "anonymous");
    end(&g);
}

static void test_changed_bytes(void **state)
{
    static const enum fault_store_kind kinds[] = {FAULT_STORE_HALF_BODY, FAULT_STORE_WRONG_BODY};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig g;

        begin(&g, true);
        fault_store_arm(&g.faults, kinds[i], 1, true);
        g.faults.verbs = 1u << STORE_GET;
        do_it(&g);
        expect(&g, "get", CHECK_FAILED, "something else was read back");
        end(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_each_right),
        cmocka_unit_test(test_append_only),
        cmocka_unit_test(test_kms),
        cmocka_unit_test(test_out_of_reach),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_changed_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
