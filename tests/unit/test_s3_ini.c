/* SPDX-License-Identifier: Apache-2.0 */
/* The AWS shared files as text: sections, settings, comments, nested lines, and everything that is none of these. */
#include "check.h"

#include "alloc.h"
#include "buf.h"
#include "s3_ini.h"

#include <string.h>

/* What was told, as "S[section]" "K[section]key=value" "N[section]key:line" lines. */
static struct rc on_item(void *ctx, const struct s3_ini_item *i, struct err *err)
{
    struct buf *b = ctx;

    (void)err;
    buf_printf(b, "%c%u[%.*s]",
        i->kind == S3_INI_SECTION ? 'S'
        : i->kind == S3_INI_KEY   ? 'K'
                                  : 'N',
        i->line, (int)i->section.size, (const char *)i->section.data);
    if (i->kind != S3_INI_SECTION)
        buf_printf(b, "%.*s=%.*s", (int)i->key.size, (const char *)i->key.data, (int)i->value.size,
            (const char *)i->value.data);
    buf_text(b, "|");
    return RC_OK;
}

static void expect(const char *text, const char *want)
{
    size_t n = strlen(text);
    char *exact = mem_new(n + 1); /* of exactly this size, for the sanitizer */
    struct err err;
    struct buf b;

    memcpy(exact, text, n);
    buf_init(&b, 1 << 16);
    assert_ok_err(s3_ini_parse(span_of(exact, n), "f", on_item, &b, &err), &err);
    assert_string_equal(buf_str(&b), want);
    buf_fini(&b);
    mem_free(exact);
}

static void expect_error(const char *text, size_t n, const char *want)
{
    struct err err;
    struct buf b;

    buf_init(&b, 1 << 16);
    assert_fails(s3_ini_parse(span_of(text, n), "f", on_item, &b, &err), E_CONFIG);
    assert_string_equal(err.msg, want);
    buf_fini(&b);
}

static void test_plain(void **state)
{
    (void)state;
    expect("", "");
    expect("\n\n", "");
    expect("[a]\nk=v\n", "S1[a]|K2[a]k=v|");
    expect("[a]\nk=v", "S1[a]|K2[a]k=v|");
    expect("[ profile  a b ]\n  k  =  v w  \nl==\nm=", "S1[profile  a b]|K2[profile  a b]k=v w|K3[profile  a b]l==|"
                                                       "K4[profile  a b]m=|");
    expect("\xef\xbb\xbf[a]\r\nk = v\r\n\r\n[b]\r\n", "S1[a]|K2[a]k=v|S4[b]|");
}

static void test_comments(void **state)
{
    (void)state;
    expect("# x\n; y\n[a] # z\n#k=v\n  ; l\nk=v # w\nl=v;w\nm=v#w ;x\nn=#w\no= ; x\n[b];y\n",
        "S3[a]|K6[a]k=v|K7[a]l=v;w|K8[a]m=v#w|K9[a]n=|K10[a]o=|S11[b]|");
}

/* More indented than the setting above: it belongs to that.  All indented alike: settings, as the AWS tools read it. */
static void test_nested(void **state)
{
    (void)state;
    expect("[a]\ns3 =\n  x = 1\n\n\ty = 2\nk = v\n", "S1[a]|K2[a]s3=|N3[a]s3=x = 1|N5[a]s3=y = 2|K6[a]k=v|");
    expect(
        "[a]\n  k = v\n  l = w\n    m = x\n  [b]\n  n = y\n", "S1[a]|K2[a]k=v|K3[a]l=w|N4[a]l=m = x|S5[b]|K6[b]n=y|");
    expect("[a]\ns3 =\n  [b]\n", "S1[a]|K2[a]s3=|N3[a]s3=[b]|");
}

static void test_again(void **state)
{
    (void)state;
    expect("[a]\nk=1\nk=2\n[b]\n[a]\nk=3\n", "S1[a]|K2[a]k=1|K3[a]k=2|S4[b]|S5[a]|K6[a]k=3|");
}

/* Never the line itself: it may be a secret without its name. */
static void test_errors(void **state)
{
    static char large[S3_INI_SIZE_MAX + 1];

    (void)state;
    expect_error("[a]\nwJalrX\n", 11, "f:2: no '=' in the line");
    expect_error("k=v\n", 4, "f:1: a line before the first [section]");
    expect_error("[a\n", 3, "f:1: no ']' after '['");
    expect_error("[]\n", 3, "f:1: a section without a name");
    expect_error("[a] k\n", 6, "f:1: something stands behind the ']'");
    expect_error("[a]\n=v\n", 7, "f:2: nothing before the '='");
    expect_error("[a]\n\0", 5, "f is not a text file");
    memset(large, '\n', sizeof large);
    expect_error(large, sizeof large, "f has 1048577 bytes, more than the limit of 1048576");
}

static struct rc on_refuse(void *ctx, const struct s3_ini_item *i, struct err *err)
{
    unsigned *calls = ctx;

    ++*calls;
    return rc_raise(err, E_CONFIG, "refused at line %u", i->line);
}

static void test_callback_fails(void **state)
{
    unsigned calls = 0;
    struct err err;

    (void)state;
    assert_fails(s3_ini_parse(span_of("\n[a]\n[b]\n", 9), "f", on_refuse, &calls, &err), E_CONFIG);
    assert_string_equal(err.msg, "refused at line 2");
    assert_int_equal(calls, 1);
}

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static void test_names(void **state)
{
    (void)state;
    assert_true(s3_ini_key_is(text("aws_access_key_id"), "aws_access_key_id"));
    assert_true(s3_ini_key_is(text("AWS_Access_Key_Id"), "aws_access_key_id"));
    assert_false(s3_ini_key_is(text("aws_access_key_i"), "aws_access_key_id"));
    assert_false(s3_ini_key_is(text(""), "aws_access_key_id"));

    assert_true(s3_ini_is_profile(text("a"), false, "a"));
    assert_false(s3_ini_is_profile(text("A"), false, "a"));
    assert_false(s3_ini_is_profile(text("profile a"), false, "a"));
    assert_true(s3_ini_is_profile(text("profile a"), true, "a"));
    assert_true(s3_ini_is_profile(text("profile\t a"), true, "a"));
    assert_true(s3_ini_is_profile(text("profile \"a b\""), true, "a b"));
    assert_true(s3_ini_is_profile(text("profile 'a b'"), true, "a b"));
    assert_false(s3_ini_is_profile(text("profile \"a b'"), true, "a b"));
    assert_false(s3_ini_is_profile(text("a"), true, "a"));
    assert_false(s3_ini_is_profile(text("profile"), true, ""));
    assert_false(s3_ini_is_profile(text("profilea"), true, "a"));
    assert_false(s3_ini_is_profile(text("sso-session a"), true, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_comments),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_callback_fails),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
