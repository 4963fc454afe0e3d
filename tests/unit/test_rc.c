/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "rc.h"

#include <errno.h>
#include <string.h>

static struct rc leaf(struct err *err)
{
    return rc_raise_sys(err, E_NOSPACE, ENOSPC, "write frame %d", 7);
}

static struct rc middle(struct err *err)
{
    TRY_CTX(leaf(err), err, "sync %s", "a.db");
    return RC_OK;
}

static void test_chain(void **state)
{
    struct err err;
    struct rc rc = middle(&err);

    (void)state;
    assert_fails(rc, E_NOSPACE);
    assert_string_equal(err.msg, "sync a.db: write frame 7: No space left on device");
    assert_int_equal(err.sys, ENOSPC);
    assert_int_equal(err.http, 0);
    assert_non_null(strstr(err.file, "test_rc.c"));
    assert_int_equal(rc_of(&err).code, E_NOSPACE);
}

static void test_unknown_errno(void **state)
{
    struct err err;

    (void)state;
    assert_fails(rc_raise_sys(&err, E_IO, 99999, "do it"), E_IO);
    assert_string_equal(err.msg, "do it: errno 99999");
}

static void test_long_cause_keeps_reason(void **state)
{
    struct err err;
    char big[2 * ERR_MSG_SIZE];
    const char *reason = ": Input/output error";

    (void)state;
    memset(big, 'p', sizeof big - 1);
    big[sizeof big - 1] = 0;
    assert_fails(rc_raise_sys(&err, E_IO, EIO, "open %s", big), E_IO);
    assert_int_equal(strlen(err.msg), ERR_MSG_SIZE - 1);
    assert_string_equal(err.msg + ERR_MSG_SIZE - 1 - strlen(reason), reason);
}

static void test_long_context_is_cut(void **state)
{
    static const char cause[] = "write frame 7: No space left on device";
    struct err err;
    char big[2 * ERR_MSG_SIZE];

    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    rc_ignore(leaf(&err), "only err.msg matters here");
    assert_fails(rc_wrap(&err, "%s", big), E_NOSPACE);
    assert_int_equal(strlen(err.msg), ERR_MSG_SIZE - 1);
    assert_string_equal(err.msg + strlen(err.msg) - strlen(cause), cause);
    assert_non_null(strstr(err.msg, "xxx...: write frame"));

    /* Now there is no room for any more context, and nothing changes. */
    assert_fails(rc_wrap(&err, "and more"), E_NOSPACE);
    assert_null(strstr(err.msg, "and more"));
    assert_string_equal(err.msg + strlen(err.msg) - strlen(cause), cause);
}

static void test_context_that_just_fits(void **state)
{
    struct err err;
    char big[ERR_MSG_SIZE];

    (void)state;
    for (size_t n = ERR_MSG_SIZE - 24; n < ERR_MSG_SIZE - 1; n++) {
        memset(big, 'y', n);
        big[n] = 0;
        rc_ignore(rc_raise(&err, E_IO, "cause"), "only err.msg matters here");
        rc_ignore(rc_wrap(&err, "%s", big), "only err.msg matters here");
        assert_in_range(strlen(err.msg), 1, ERR_MSG_SIZE - 1);
        assert_string_equal(err.msg + strlen(err.msg) - 5, "cause");
        assert_true((strstr(err.msg, "...") == NULL) == (n + strlen(": cause") < ERR_MSG_SIZE));
    }
}

static void test_own_text_as_argument(void **state)
{
    struct err err;

    (void)state;
    rc_ignore(rc_raise(&err, E_IO, "first"), "only err.msg matters here");
    assert_fails(rc_raise(&err, E_CORRUPT, "second after %s", err.msg), E_CORRUPT);
    assert_string_equal(err.msg, "second after first");
}

static void test_table(void **state)
{
    (void)state;
    assert_string_equal(rc_name(E_IO), "E_IO");
    assert_string_equal(rc_text(E_FENCED), "another writer owns the replica");
    assert_true(rc_retryable(E_THROTTLED));
    assert_false(rc_retryable(E_CORRUPT));
    assert_int_equal(rc_exit_status(E_OK), 0);
    assert_int_equal(rc_exit_status(E_IO), 1);
    assert_int_equal(rc_exit_status(E_CONFIG), 2);
    assert_int_equal(rc_exit_status(E_NOTFOUND), 3);
    assert_int_equal(rc_exit_status(E_CORRUPT), 4);
    assert_int_equal(rc_exit_status(E_FENCED), 5);
}

static void test_from_errno(void **state)
{
    static const struct {
        int sys;
        enum err_code code;
    } cases[] = {{ENOSPC, E_NOSPACE}, {EDQUOT, E_NOSPACE}, {EFBIG, E_NOSPACE}, {EACCES, E_DENIED}, {EPERM, E_DENIED},
        {EROFS, E_DENIED}, {ENOENT, E_NOTFOUND}, {EEXIST, E_EXISTS}, {ENOMEM, E_NOMEM}, {EIO, E_IO}, {EMFILE, E_IO}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(rc_from_errno(cases[i].sys), cases[i].code);
}

/* What a constructor does: the scope frees on every early return, the caller gets it on success. */
static struct rc make(char **out, bool refuse, struct err *err)
{
    CLEANUP(mem_freep) char *text = mem_strdup("text");

    if (refuse)
        return rc_raise(err, E_BUG, "make text: told to refuse");
    *out = MOVE(text);
    return RC_OK;
}

static void test_move_hands_over(void **state)
{
    struct err err;
    char *text = NULL;

    (void)state;
    assert_fails(make(&text, true, &err), E_BUG);
    assert_null(text); /* outputs are written on success only */
    assert_ok(make(&text, false, &err));
    assert_string_equal(text, "text");
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_unknown_errno),
        cmocka_unit_test(test_long_cause_keeps_reason),
        cmocka_unit_test(test_long_context_is_cut),
        cmocka_unit_test(test_context_that_just_fits),
        cmocka_unit_test(test_own_text_as_argument),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_from_errno),
        cmocka_unit_test(test_move_hands_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
