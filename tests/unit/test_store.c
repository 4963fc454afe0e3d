/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "store.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a store that keeps what it is given -------------------------------------------------------------------------- */

struct fake {
    struct store base;
    struct store_req *held;
    unsigned submit_count;
    bool stopped;
};

static void fake_submit(struct store *s, struct store_req *req)
{
    struct fake *f = (struct fake *)s;

    f->held = req;
    f->submit_count++;
}

static void fake_stop(struct store *s, void (*on_stopped)(void *ctx), void *ctx)
{
    ((struct fake *)s)->stopped = true;
    on_stopped(ctx);
}

static const struct store_ops fake_ops = {.submit = fake_submit, .stop = fake_stop};

static struct fake fake_new(void)
{
    return (struct fake){.base = {.ops = &fake_ops, .part_size = 100}};
}

static void on_count(struct store_req *req)
{
    ++*(int *)req->ctx;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void test_keys(void **state)
{
    static const char *const good[] = {"a", "weir.json", "t/0001/log/00ff", "A-Z_.x", "..a", "a..", ".a", "...", "-",
        "a/.b", "a/.tmp", "a/.tmp/b", ".tmpx", ".tmpx/a", "x.tmp"};
    static const char *const bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/..", "a/../b", "./a", "../a",
        "a b", "a\\b", "a:b", "\xc3\xa4", "a\n", "a*", ".tmp", ".tmp/a", "%41", "a+b", "~"};
    char key[STORE_KEY_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!store_key_ok(good[i]))
            fail_msg("refused: \"%s\"", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (store_key_ok(bad[i]))
            fail_msg("taken: \"%s\"", bad[i]);
    }
    memset(key, 'k', sizeof key);
    key[STORE_KEY_MAX] = 0;
    assert_true(store_key_ok(key));
    assert_true(store_is_scratch(".tmp/a"));
    assert_false(store_is_scratch(".tmp/"));
    assert_false(store_is_scratch("t/.tmp/a"));
    assert_false(store_is_scratch(".tmp/../t"));
    key[STORE_KEY_MAX] = 'k';
    key[STORE_KEY_MAX + 1] = 0;
    assert_false(store_key_ok(key));
}

/* Every byte by itself, against a list that is not made of ranges. */
static void test_key_characters(void **state)
{
    static const char allowed[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-";

    (void)state;
    for (int c = 1; c < 256; c++) {
        char key[4] = {'a', (char)c, 'b', 0};
        bool want = strchr(allowed, c) != NULL || c == '/';

        if (store_key_ok(key) != want)
            fail_msg("byte %d", c);
    }
}

/* --- counting and handing over ------------------------------------------------------------------------------------ */

static void submit(struct fake *f, enum store_verb verb, enum err_code code, size_t out, size_t in)
{
    static const char *const keys[] = {"k"};
    struct store_req req;
    struct err err;
    int done = 0;
    uint8_t body[64] = {0};

    store_req_init(&req, verb, verb == STORE_DELETE_MANY ? "" : "k", on_count, &done);
    req.body = span_of(body, out);
    req.keys = keys;
    req.key_count = verb == STORE_DELETE_MANY;
    if (verb >= STORE_UPLOAD_PART && verb <= STORE_UPLOAD_ABORT) {
        req.upload = (char *)(uintptr_t) "id";
        req.part = 1;
    }
    store_submit(&f->base, &req);
    assert_ptr_equal(f->held, &req);
    assert_int_equal(done, 0);
    buf_init(&req.data, 100);
    buf_put(&req.data, body, in);
    if (code != E_OK)
        rc_ignore(rc_raise(&req.err, code, "as told"), "the answer");
    store_complete(&f->base, &req);
    assert_int_equal(done, 1);
    assert_fails(store_result(&req, &err), code);
    if (code != E_OK)
        assert_string_equal(err.msg, "as told");
    store_req_fini(&req);
}

static void test_counts(void **state)
{
    struct fake f = fake_new();
    const struct store_counts *c = &f.base.counts;

    (void)state;
    for (int verb = 0; verb < STORE_VERB_COUNT; verb++)
        submit(&f, (enum store_verb)verb, E_OK, 0, 0);
    for (int verb = 0; verb < STORE_VERB_COUNT; verb++) {
        assert_int_equal(c->requests[verb], 1);
        assert_int_equal(c->outcomes[verb][STORE_OUTCOME_OK], 1);
    }
    submit(&f, STORE_PUT, E_IO, 7, 0); /* a body that did not arrive is not counted */
    assert_int_equal(c->bytes_out, 0);
    assert_int_equal(c->outcomes[STORE_PUT][STORE_OUTCOME_FAILED], 1);
    submit(&f, STORE_PUT, E_OK, 7, 0);
    submit(&f, STORE_UPLOAD_PART, E_OK, 50, 0);
    assert_int_equal(c->bytes_out, 57);
    submit(&f, STORE_GET, E_OK, 0, 9);
    assert_int_equal(c->bytes_in, 9);
    submit(&f, STORE_GET, E_NOTFOUND, 0, 0); /* answers, not failures */
    submit(&f, STORE_PUT, E_EXISTS, 7, 0);
    submit(&f, STORE_PUT, E_CANCELED, 7, 0);
    assert_int_equal(c->outcomes[STORE_GET][STORE_OUTCOME_FAILED], 0);
    assert_int_equal(c->outcomes[STORE_PUT][STORE_OUTCOME_FAILED], 1);
    assert_int_equal(c->outcomes[STORE_GET][STORE_OUTCOME_ANSWER], 1);
    assert_int_equal(c->outcomes[STORE_PUT][STORE_OUTCOME_ANSWER], 1);
    assert_int_equal(c->requests[STORE_PUT], 5);
    assert_int_equal(c->bytes_out, 57);
}

static void test_outcomes(void **state)
{
    static const struct {
        enum err_code code;
        enum store_outcome want;
    } cases[] = {
        {E_OK, STORE_OUTCOME_OK},
        {E_NOTFOUND, STORE_OUTCOME_ANSWER},
        {E_EXISTS, STORE_OUTCOME_ANSWER},
        {E_THROTTLED, STORE_OUTCOME_THROTTLED},
        {E_DENIED, STORE_OUTCOME_DENIED},
        {E_NETWORK, STORE_OUTCOME_NETWORK},
        {E_TIMEOUT, STORE_OUTCOME_NETWORK},
        {E_SERVER, STORE_OUTCOME_FAILED},
        {E_CORRUPT, STORE_OUTCOME_FAILED},
        {E_UNSUPPORTED, STORE_OUTCOME_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake f = fake_new();
        uint64_t sum = 0;

        submit(&f, STORE_HEAD, cases[i].code, 0, 0);
        for (int o = 0; o < STORE_OUTCOME_COUNT; o++)
            sum += f.base.counts.outcomes[STORE_HEAD][o];
        assert_int_equal(sum, 1);
        assert_int_equal(f.base.counts.outcomes[STORE_HEAD][cases[i].want], 1);
    }
}

/* A store that counts what it sends, and one that only wraps it. */
static void test_counts_of_the_store_below(void **state)
{
    struct fake below = fake_new(), above = fake_new();

    (void)state;
    below.base.counts_itself = true;
    above.base.below = &below.base;
    submit(&below, STORE_PUT, E_OK, 3, 0);
    assert_int_equal(below.base.counts.requests[STORE_PUT], 0);
    assert_int_equal(below.base.counts.bytes_out, 3);
    store_count_begin(&below.base, STORE_KIND_COPY);
    store_count_end(&below.base, STORE_KIND_COPY, E_SERVER);
    submit(&above, STORE_PUT, E_OK, 0, 0);
    assert_ptr_equal(store_counts_of(&above.base), &below.base.counts);
    assert_ptr_equal(store_counts_of(&below.base), &below.base.counts);
    assert_int_equal(store_counts_of(&above.base)->requests[STORE_KIND_COPY], 1);
    assert_int_equal(store_counts_of(&above.base)->outcomes[STORE_KIND_COPY][STORE_OUTCOME_FAILED], 1);
}

/* A question is passed on whole, and the answer comes back whole. */
static void test_forward_and_take(void **state)
{
    static const char *const keys[] = {"a", "b"};
    struct store_req outer, inner;
    int done = 0;

    (void)state;
    store_req_init(&outer, STORE_LIST, "k", on_count, NULL);
    outer.body = span_of("xy", 2);
    outer.create_only = outer.by_folder = outer.once = true;
    outer.offset = 1;
    outer.length = 2;
    outer.limit = 3;
    outer.part = 4;
    outer.upload = (char *)(uintptr_t) "id";
    outer.keys = keys;
    outer.key_count = 2;
    (void)snprintf(outer.after, sizeof outer.after, "after");
    (void)snprintf(outer.if_match, sizeof outer.if_match, "etag");
    store_req_forward(&inner, &outer, on_count, &done);
    assert_ptr_equal(inner.ctx, &done);
    inner.ctx = outer.ctx;
    assert_memory_equal(&inner, &outer, sizeof inner);

    (void)snprintf(inner.etag, sizeof inner.etag, "new");
    inner.size = 7;
    inner.more = true;
    inner.upload_id = mem_strdup("id");
    inner.entries = mem_new(sizeof inner.entries[0]);
    inner.entries[0].key = mem_strdup("a");
    inner.entry_count = 1;
    buf_init(&inner.data, 10);
    buf_put(&inner.data, "x", 1);
    rc_ignore(rc_raise(&inner.err, E_IO, "as told"), "the answer");
    store_req_take(&outer, &inner);
    store_req_fini(&inner);
    assert_int_equal(outer.err.code, E_IO);
    assert_string_equal(outer.etag, "new");
    assert_int_equal(outer.size, 7);
    assert_true(outer.more);
    assert_string_equal(outer.upload_id, "id");
    assert_string_equal(outer.entries[0].key, "a");
    assert_int_equal(outer.data.size, 1);
    store_req_fini(&outer);
}

/* The leak checker and valgrind see to it that the former answer is freed. */
static void test_used_again(void **state)
{
    struct fake f = fake_new();
    struct store_req req;
    struct err err;
    int done = 0;

    (void)state;
    store_req_init(&req, STORE_LIST, "", on_count, &done);
    store_submit(&f.base, &req);
    req.entries = mem_new(2 * sizeof req.entries[0]);
    req.entry_count = 2;
    req.entries[0].key = mem_strdup("a");
    req.entries[1].key = mem_strdup("b");
    req.more = true;
    req.upload_id = mem_strdup("id");
    buf_init(&req.data, 10);
    buf_put(&req.data, "x", 1);
    req.size = 10;
    rc_ignore(rc_raise(&req.err, E_IO, "first"), "the answer");
    store_complete(&f.base, &req);
    assert_fails(store_result(&req, &err), E_IO);

    store_submit(&f.base, &req);
    assert_ok(store_result(&req, &err));
    assert_string_equal(req.err.msg, "");
    assert_null(req.entries);
    assert_int_equal(req.entry_count, 0);
    assert_false(req.more);
    assert_null(req.upload_id);
    assert_int_equal(req.data.size, 0);
    assert_int_equal(req.size, 0);
    store_complete(&f.base, &req);
    assert_int_equal(done, 2);
    assert_int_equal(f.submit_count, 2);
    store_req_fini(&req);
    store_req_fini(&req); /* twice is fine */
}

static void on_stopped(void *ctx)
{
    *(bool *)ctx = true;
}

static void test_stop_is_passed_on(void **state)
{
    struct fake f = fake_new();
    bool stopped = false;

    (void)state;
    store_stop(&f.base, on_stopped, &stopped);
    assert_true(f.stopped);
    assert_true(stopped);
}

static void test_verb_names(void **state)
{
    (void)state;
    assert_string_equal(store_verb_name(STORE_PUT), "put");
    assert_string_equal(store_verb_name(STORE_UPLOAD_ABORT), "upload_abort");
    for (int a = 0; a < STORE_VERB_COUNT; a++) {
        assert_non_null(store_verb_name((enum store_verb)a));
        for (int b = 0; b < a; b++)
            assert_string_not_equal(store_verb_name((enum store_verb)a), store_verb_name((enum store_verb)b));
        assert_string_equal(store_kind_name(a), store_verb_name((enum store_verb)a));
    }
    assert_string_equal(store_kind_name(STORE_KIND_COPY), "copy");
    assert_string_equal(store_outcome_name(STORE_OUTCOME_ANSWER), "answer");
}

/* --- mistakes of the caller --------------------------------------------------------------------------------------- */

static void mistake(struct store_req *req, int which)
{
    static uint8_t body[101];

    switch (which) {
    case 0:
        (void)snprintf(req->key, sizeof req->key, "a//b");
        break;
    case 1:
        req->key[0] = 0;
        break;
    case 2:
        req->on_done = NULL;
        break;
    case 3:
        req->length = (uint64_t)STORE_GET_MAX + 1;
        break;
    case 4:
        req->verb = STORE_LIST;
        req->limit = STORE_LIST_MAX + 1;
        break;
    case 5:
        req->verb = STORE_LIST;
        (void)snprintf(req->key, sizeof req->key, "a/../");
        break;
    case 6:
        req->verb = STORE_LIST;
        (void)snprintf(req->after, sizeof req->after, "/a");
        break;
    case 7: /* no upload */
        req->verb = STORE_UPLOAD_ABORT;
        break;
    case 8:
        req->verb = STORE_UPLOAD_PART;
        req->upload = (char *)(uintptr_t) "id";
        req->part = 1;
        req->body = span_of(body, (size_t)STORE_PART_MAX + 1);
        break;
    case 9: /* part 0 */
        req->verb = STORE_UPLOAD_PART;
        req->upload = (char *)(uintptr_t) "id";
        break;
    case 10:
        req->verb = (enum store_verb)STORE_VERB_COUNT;
        break;
    case 11: /* no keys */
        req->verb = STORE_DELETE_MANY;
        req->key[0] = 0;
        break;
    case 12: { /* a key that is none */
        static const char *const keys[] = {"a", "b//c"};

        req->verb = STORE_DELETE_MANY;
        req->key[0] = 0;
        req->keys = keys;
        req->key_count = 2;
        break;
    }
    case 13: /* only a PUT has a condition */
        req->if_match[0] = 'x';
        break;
    case 14: /* two conditions that exclude each other */
        req->verb = STORE_PUT;
        req->if_match[0] = 'x';
        req->create_only = true;
        break;
    default: /* none */
        break;
    }
}

static int die_of(int which)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct fake f = fake_new();
        struct store_req req;
        int done = 0;

        if (freopen("/dev/null", "w", stderr) == NULL) /* the message is of no interest */
            _exit(1);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka has a handler */
        store_req_init(&req, STORE_GET, "k", on_count, &done);
        mistake(&req, which);
        store_submit(&f.base, &req);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_mistakes_abort(void **state)
{
    (void)state;
    for (int which = 0; which <= 14; which++) {
        if (die_of(which) != SIGABRT)
            fail_msg("mistake %d went through", which);
    }
    assert_int_equal(die_of(15), 0);
}

/* Beginnings of keys, for listings. */
static void test_prefixes(void **state)
{
    static const char *const good[] = {"", "t", "t/", "t/0", "t/.", "t/..", ".", ".t", "..", ".tmp"};
    struct fake f = fake_new();

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct store_req req;
        int done = 0;

        store_req_init(&req, STORE_LIST, good[i], on_count, &done);
        (void)snprintf(req.after, sizeof req.after, "%s", good[i]);
        store_submit(&f.base, &req);
    }
    assert_int_equal(f.submit_count, sizeof good / sizeof good[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_key_characters),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_counts_of_the_store_below),
        cmocka_unit_test(test_forward_and_take),
        cmocka_unit_test(test_used_again),
        cmocka_unit_test(test_stop_is_passed_on),
        cmocka_unit_test(test_verb_names),
        cmocka_unit_test(test_mistakes_abort),
        cmocka_unit_test(test_prefixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
