/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines as words. */
#include "check.h"

#include "buf.h"
#include "s3_cred_cmd.h"

#include <stdio.h>
#include <string.h>

/* Words as "a|b|". */
static void expect(const char *line, const char *want)
{
    char **words = NULL;
    struct err err;
    struct buf b;

    buf_init(&b, 4096);
    assert_ok_err(s3_cred_cmd_split(line, &words, &err), &err);
    for (size_t i = 0; words[i] != NULL; i++)
        buf_printf(&b, "%s|", words[i]);
    assert_string_equal(buf_str(&b), want);
    buf_fini(&b);
    s3_cred_cmd_free(words);
}

static void expect_error(const char *line, const char *want)
{
    char **words = NULL;
    struct err err;

    assert_fails(s3_cred_cmd_split(line, &words, &err), E_CONFIG);
    assert_null(words);
    assert_string_equal(err.msg, want);
}

static void test_words(void **state)
{
    (void)state;
    expect("a", "a|");
    expect("  a  b\tc ", "a|b|c|");
    expect("a 'b c' \"d e\" f' 'g\" \"h", "a|b c|d e|f g h|");
    expect("a '' \"\"", "a|||");
    expect("a \\  \\' \\\" b\\\\c", "a| |'|\"|b\\c|");
    expect("a 'b\\c' 'd\"e' \"f'g\"", "a|b\\c|d\"e|f'g|");
    expect("a \"b\\\"c\\\\d\\e\"", "a|b\"c\\d\\e|");
    expect("a $HOME ~ * `b` c;d >e", "a|$HOME|~|*|`b`|c;d|>e|");
}

static void test_errors(void **state)
{
    char line[2 * S3_CRED_CMD_WORDS_MAX + 3];

    (void)state;
    expect_error("", "the command is empty");
    expect_error("  ", "the command is empty");
    expect_error("'' a", "the command is empty");
    expect_error("a 'b", "the command ends inside of quotes or behind a backslash");
    expect_error("a \"b", "the command ends inside of quotes or behind a backslash");
    expect_error("a \"b\\\"", "the command ends inside of quotes or behind a backslash");
    expect_error("a b\\", "the command ends inside of quotes or behind a backslash");
    for (size_t i = 0; i < sizeof line - 1; i += 2)
        memcpy(line + i, "a ", 2);
    line[sizeof line - 1] = 0;
    expect_error(line, "the command has more than 256 words");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
