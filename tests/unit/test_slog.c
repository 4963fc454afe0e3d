/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "slog.h"
#include "strx.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUTPUT_SIZE = 1 << 20 };

static int saved_stderr = -1, pipe_end = -1;
static char output[OUTPUT_SIZE];

/* From here on stderr is a pipe. */
static void capture(enum slog_level level, enum slog_format format)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[0], F_SETPIPE_SZ, OUTPUT_SIZE) >= 65536);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(close(ends[1]), 0);
    pipe_end = ends[0];
    slog_configure(level, format);
}

static const char *captured(void)
{
    size_t n = 0;
    ssize_t got;

    assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(close(saved_stderr), 0);
    while ((got = read(pipe_end, output + n, sizeof output - 1 - n)) > 0)
        n += (size_t)got;
    assert_int_equal(close(pipe_end), 0);
    output[n] = 0;
    return output;
}

/* The line without its time, which must be one. */
static const char *after_time(const char *line)
{
    char text[25];
    struct err err;
    int64_t ms;

    assert_true(strlen(line) > 25);
    memcpy(text, line, 24);
    text[24] = 0;
    assert_ok_err(strx_time_ms(text, &ms, &err), &err);
    assert_int_equal(line[24], ' ');
    return line + 25;
}

static void test_text(void **state)
{
    (void)state;
    capture(SLOG_INFO, SLOG_TEXT);
    LOG_INFO("segment shipped", F_STR("db", "app.db"), F_U64("txid", 1207), F_I64("lag", -3), F_HEX("state", 0xabc),
        F_TIME("at", 1795226481123), F_STR("none", NULL));
    assert_string_equal(after_time(captured()), "info  segment shipped  db=app.db txid=1207 lag=-3 "
                                                "state=0000000000000abc at=2026-11-21T02:01:21.123Z none=-\n");
    capture(SLOG_INFO, SLOG_TEXT);
    LOG_WARN("no fields");
    assert_string_equal(after_time(captured()), "warn  no fields\n");
}

static void test_text_escapes(void **state)
{
    static const struct {
        const char *value, *shown;
    } cases[] = {
        {"plain/path-1.db", "plain/path-1.db"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"line\nbreak\r\ttab", "\"line\\nbreak\\r\\ttab\""},
        {"\033[31mred", "\"\\x1b[31mred\""},
        {"\177", "\"\\x7f\""},
        {"\xc2\x9b"
         "31m",
            "\"\\u009b31m\""}, /* CSI in one character */
        {"gr\xc3\xbc\xc3\x9f"
         "e",
            "\"gr\xc3\xbc\xc3\x9f"
            "e\""},
        {"\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff\xfe", "\"\\xff\\xfe\""},
        {"cut \xe2\x82", "\"cut \\xe2\\x82\""},
        {"\xc0\xaf", "\"\\xc0\\xaf\""},          /* overlong */
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[200];

        (void)snprintf(want, sizeof want, "error event  v=%s\n", cases[i].shown);
        capture(SLOG_INFO, SLOG_TEXT);
        LOG_ERROR("event", F_STR("v", cases[i].value));
        assert_string_equal(after_time(captured()), want);
    }
}

static void test_json(void **state)
{
    const char *text;
    struct err err = {.msg = "read \"a\"\n\tfailed\001 \xff \xc2\x9b"};

    (void)state;
    capture(SLOG_DEBUG, SLOG_JSON);
    LOG_DEBUG("state moved", F_STR("db", "gr\xc3\xbcn.db"), F_U64("n", UINT64_MAX), F_I64("i", INT64_MIN),
        F_HEX("h", 1), F_TIME("t", 0), F_STR("none", NULL), F_ERR(&err));
    text = captured();
    assert_memory_equal(text, "{\"time\":\"", 9);
    assert_string_equal(text + 9 + 24,
        "\",\"level\":\"debug\",\"event\":\"state moved\",\"db\":\"gr\xc3\xbcn.db\",\"n\":18446744073709551615,"
        "\"i\":-9223372036854775808,\"h\":\"0000000000000001\",\"t\":\"1970-01-01T00:00:00.000Z\",\"none\":null,"
        "\"error\":\"read \\\"a\\\"\\n\\tfailed\\u0001 \\ufffd \\u009b\"}\n");
}

static void test_levels(void **state)
{
    (void)state;
    capture(SLOG_WARN, SLOG_TEXT);
    LOG_ERROR("one");
    LOG_WARN("two");
    LOG_INFO("three");
    LOG_DEBUG("four");
    assert_true(slog_enabled(SLOG_WARN));
    assert_false(slog_enabled(SLOG_INFO));
    (void)captured();
    assert_non_null(strstr(output, "one"));
    assert_non_null(strstr(output, "two"));
    assert_null(strstr(output, "three"));
    assert_null(strstr(output, "four"));
}

static void test_parse(void **state)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    enum slog_level level;
    enum slog_format format;

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_true(slog_parse_level(names[i], &level));
        assert_int_equal(level, i);
    }
    assert_false(slog_parse_level("", &level));
    assert_false(slog_parse_level("INFO", &level));
    assert_false(slog_parse_level("warning", &level));
    assert_true(slog_parse_format("json", &format));
    assert_int_equal(format, SLOG_JSON);
    assert_true(slog_parse_format("text", &format));
    assert_int_equal(format, SLOG_TEXT);
    assert_false(slog_parse_format("xml", &format));
}

static void test_journal(void **state)
{
    struct stat st;
    char name[100];

    (void)state;
    capture(SLOG_TRACE, SLOG_TEXT);
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    (void)snprintf(name, sizeof name, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", name, 1), 0);
    slog_configure(SLOG_TRACE, SLOG_TEXT);
    LOG_ERROR("a");
    LOG_WARN("b");
    LOG_INFO("c", F_U64("n", 1));
    LOG_DEBUG("d");
    assert_string_equal(captured(), "<3>error a\n<4>warn  b\n<6>info  c  n=1\n<7>debug d\n");

    /* Another stderr than the one that systemd gave: the variable is a leftover. */
    capture(SLOG_INFO, SLOG_TEXT);
    assert_int_equal(setenv("JOURNAL_STREAM", "1:2", 1), 0);
    slog_configure(SLOG_INFO, SLOG_TEXT);
    LOG_INFO("c");
    assert_string_equal(after_time(captured()), "info  c\n");
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

/* One event is one line, however long its values are; JSON stays whole. */
static void test_long_values_are_cut(void **state)
{
    char *big = mem_new(100001);

    (void)state;
    memset(big, '"', 100000); /* doubles when escaped */
    for (int format = 0; format < 2; format++) {
        const char *text;
        size_t n;

        capture(SLOG_INFO, (enum slog_format)format);
        LOG_INFO("long", F_STR("a", big), F_STR("b", big), F_STR("c", big), F_STR("d", big), F_STR("e", big),
            F_STR("f", big), F_STR("g", big));
        text = captured();
        n = strlen(text);
        assert_in_range(n, 8000, 17000);
        assert_ptr_equal(strchr(text, '\n'), text + n - 1);
        assert_non_null(strstr(text, "...\""));
        assert_non_null(strstr(text, format == SLOG_JSON ? ",\"cut\":true}\n" : "\" cut=true\n"));
        assert_non_null(strstr(text, format == SLOG_JSON ? "\"c\":" : " c="));
        assert_null(strstr(text, format == SLOG_JSON ? "\"g\":" : " g="));
    }
    mem_free(big);
}

static void *log_a_lot(void *arg)
{
    for (int i = 0; i < 200; i++)
        LOG_INFO("from a thread", F_STR("who", arg), F_U64("n", i), F_STR("pad", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    return NULL;
}

static void test_threads_do_not_mix(void **state)
{
    static char names[4][2] = {"a", "b", "c", "d"};
    pthread_t threads[4];
    int lines = 0;

    (void)state;
    capture(SLOG_INFO, SLOG_TEXT);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_a_lot, names[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    (void)captured();
    for (char *line = output, *end; *line != 0; line = end + 1, lines++) {
        int n;
        char who;

        end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        assert_int_equal(
            sscanf(after_time(line), "info from a thread who=%c n=%d pad=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", &who, &n),
            2);
    }
    assert_int_equal(lines, 800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_escapes),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_journal),
        cmocka_unit_test(test_long_values_are_cut),
        cmocka_unit_test(test_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
