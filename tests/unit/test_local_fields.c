/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is read; what somebody else left there, whatever it is, is no file and no failure. */
#include "local_kit.h"

#include "local_fields.h"

#define HEAD "weir things 1\n"

enum { TEXT_MAX = 256, COUNT = 3 };

static const char *const names[COUNT] = {"first", "second", "first-again"};

/* As a user of the module reads a file: all values, or nothing. */
static bool read_values(const struct fsys *fs, uint64_t values[COUNT], char rest[TEXT_MAX])
{
    CLEANUP(buf_fini) struct buf text;
    char path[64], *at, *line;

    (void)snprintf(path, sizeof path, "%s/things", dir);
    buf_init(&text, TEXT_MAX);
    at = local_fields_read(fs, path, HEAD, &text);
    if (at == NULL || !local_fields_take(&at, names, COUNT, values))
        return false;
    line = local_fields_line(&at);
    (void)snprintf(rest, TEXT_MAX, "%s", line != NULL ? line : "");
    return true;
}

static bool takes(const char *text, size_t size)
{
    uint64_t values[COUNT];
    char rest[TEXT_MAX];

    put("things", text, size);
    return read_values(&fsys_real, values, rest);
}

static void test_round_trip(void **state)
{
    static const uint64_t some[COUNT] = {0, INT64_MAX, 42};
    CLEANUP(buf_fini) struct buf text;
    uint64_t values[COUNT];
    char rest[TEXT_MAX];

    (void)state;
    buf_init(&text, TEXT_MAX);
    local_fields_write(&text, HEAD, names, COUNT, some);
    buf_text(&text, "and a line\n");
    buf_put(&text, "", 1);
    assert_string_equal(
        (const char *)text.data, HEAD "first 0\nsecond 9223372036854775807\nfirst-again 42\nand a line\n");
    put("things", (const char *)text.data, text.size - 1);
    assert_true(read_values(&fsys_real, values, rest));
    assert_memory_equal(values, some, sizeof some);
    assert_string_equal(rest, "and a line");
}

/* In place of the whole file. */
static void test_other_files(void **state)
{
    static const char *const texts[] = {"", "\n", "weir things 1", "weir things 2\nfirst 1\nsecond 2\nfirst-again 3\n",
        "Weir things 1\nfirst 1\nsecond 2\nfirst-again 3\n", "first 1\nsecond 2\nfirst-again 3\n",
        "weir things 1\r\nfirst 1\nsecond 2\nfirst-again 3\n", " weir things 1\nfirst 1\nsecond 2\nfirst-again 3\n"};
    static const char good[] = HEAD "first 1\nsecond 2\nfirst-again 3\n";
    char large[TEXT_MAX + 1];

    (void)state;
    assert_true(takes(good, sizeof good - 1));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(takes(texts[i], strlen(texts[i])));
    for (size_t n = 0; n < sizeof good - 1; n++)
        assert_false(takes(good, n)); /* cut short anywhere */
    for (size_t at = 0; at < sizeof good; at++) {
        char text[sizeof good];

        memcpy(text, good, at);
        text[at] = 0;
        memcpy(text + at + 1, good + at, sizeof good - 1 - at);
        assert_false(takes(text, sizeof text)); /* a zero byte anywhere */
    }
    memset(large, 'x', sizeof large);
    memcpy(large, good, sizeof good - 1);
    assert_true(takes(large, TEXT_MAX - 1));
    assert_false(takes(large, TEXT_MAX)); /* no room for the end of the text */
    assert_false(takes(large, TEXT_MAX + 1));
}

static void test_fields(void **state)
{
    static const char *const lines[] = {"second", "second ", "second 2", "second\t2\n", "second  2\n", "second 2 \n",
        "second -1\n", "second +1\n", "second 0x1\n", "second 1e3\n", "second 1.0\n", "second 2\r\n", "second two\n",
        "second\n2\n", "\n", "\nsecond 2\n", "secon 2\n", "seconds 2\n", "Second 2\n", " second 2\n", "first 2\n",
        "second 9223372036854775808\n", "second 18446744073709551616\n", "second 99999999999999999999999\n",
        "first-again 3\nsecond 2\n"};
    char text[TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        int n = snprintf(text, sizeof text, HEAD "first 1\n%sfirst-again 3\n", lines[i]);

        if (takes(text, (size_t)n)) {
            print_error("taken: '%s'\n", lines[i]);
            fail();
        }
    }
    assert_false(takes(HEAD "first 1\nsecond 2\n", strlen(HEAD "first 1\nsecond 2\n")));
    assert_true(takes(
        HEAD "first 1\nsecond 002\nfirst-again 3\nmore", strlen(HEAD "first 1\nsecond 002\nfirst-again 3\nmore")));
}

static void test_lines(void **state)
{
    char text[] = "one\n\nthree";
    char *at = text;

    (void)state;
    assert_string_equal(local_fields_line(&at), "one");
    assert_string_equal(local_fields_line(&at), "");
    assert_string_equal(at, "three");
    assert_null(local_fields_line(&at));
    assert_string_equal(at, "three");
}

/* A file that is not there, and one of which any call fails, once or for ever: none is read, nothing is kept open. */
static void test_unreadable(void **state)
{
    static const char good[] = HEAD "first 1\nsecond 2\nfirst-again 3\n";
    const enum fault_mode modes[] = {FAULT_ONCE, FAULT_FOREVER};
    struct fault_fsys f;
    uint64_t values[COUNT];
    char path[64], rest[TEXT_MAX];
    long n;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/things", dir);
    (void)unlink(path);
    assert_false(read_values(&fsys_real, values, rest));
    put("things", good, sizeof good - 1);
    for (size_t m = 0; m < 2; m++) {
        for (n = 1;; n++) {
            bool read;

            fault_fsys_init(&f, modes[m], n, EIO);
            f.ops = FAULT_ALL & ~(unsigned)FAULT_CLOSE; /* of a file that was only read it does not matter */
            read = read_values(&f.fs, values, rest);
            assert_int_equal(f.open_fds, 0);
            assert_int_equal(read, f.fired == 0);
            if (f.fired == 0)
                break;
        }
        assert_in_range(n, 3, 20);
    }
    assert_int_equal(values[2], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_unreadable),
    };

    return cmocka_run_group_tests(tests, make_dir_in_memory, remove_dir);
}
