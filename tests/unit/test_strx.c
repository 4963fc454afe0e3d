/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "strx.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void test_u64(void **state)
{
    static const char *const bad[] = {"", " ", "-1", "+1", " 1", "1 ", "0x10", "1.0", "1e3", "ten", "1_000", "١"};
    struct err err;
    uint64_t v = 7;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_fails(strx_u64(bad[i], 0, UINT64_MAX, &v, &err), E_CONFIG);
        assert_non_null(strstr(err.msg, "is not a whole number"));
        assert_non_null(strstr(err.msg, bad[i]));
    }
    assert_fails(strx_u64("18446744073709551616", 0, UINT64_MAX, &v, &err), E_CONFIG);
    assert_string_equal(err.msg, "18446744073709551616 is not between 0 and 18446744073709551615");
    assert_fails(strx_u64("99999999999999999999999999", 0, UINT64_MAX, &v, &err), E_CONFIG);
    assert_fails(strx_u64("9", 10, 20, &v, &err), E_CONFIG);
    assert_fails(strx_u64("21", 10, 20, &v, &err), E_CONFIG);
    assert_string_equal(err.msg, "21 is not between 10 and 20");
    assert_int_equal(v, 7); /* outputs are written on success only */
    assert_ok(strx_u64("10", 10, 20, &v, &err));
    assert_int_equal(v, 10);
    assert_ok(strx_u64("20", 10, 20, &v, &err));
    assert_int_equal(v, 20);
    assert_ok(strx_u64("0", 0, 0, &v, &err));
    assert_int_equal(v, 0);
    assert_ok(strx_u64("18446744073709551615", 0, UINT64_MAX, &v, &err));
    assert_true(v == UINT64_MAX);
    assert_ok(strx_u64("007", 0, 10, &v, &err));
    assert_int_equal(v, 7);
}

static void test_long_text_is_quoted_in_part(void **state)
{
    char text[5000];
    struct err err;
    uint64_t v;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_fails(strx_u64(text, 0, 1, &v, &err), E_CONFIG);
    assert_in_range(strlen(err.msg), 100, 200);
    assert_fails(strx_size(text, &v, &err), E_CONFIG);
    assert_in_range(strlen(err.msg), 100, 200);
}

static void test_hex(void **state)
{
    static const char *const bad[] = {"", "0", "0f1", "0F12", "0g12", " 012", "+012", "0x12"};
    uint64_t v = 7;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(strx_hex_fixed(bad[i], 4, &v));
    assert_int_equal(v, 7);
    assert_true(strx_hex_fixed("0af9", 4, &v));
    assert_int_equal(v, 0x0af9);
    assert_true(strx_hex_fixed("0af9-more", 4, &v)); /* may go on */
    assert_true(strx_hex_fixed("ffffffffffffffff", 16, &v));
    assert_true(v == UINT64_MAX);
    assert_true(strx_hex_fixed("1", 1, &v));
    assert_int_equal(v, 1);
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"250ms", 250}, {"0s", 0}, {"10s", 10000}, {"5m", 300000}, {"24h", 86400000}, {"7d", 604800000},
        {"213503982334d", 213503982334u * 86400000u}};
    static const char *const bad[] = {"", "s", "ms", "-1s", "1.5s", "10 s", " 10s", "10s ", "10S", "10min", "1h30m",
        "213503982335d", "18446744073709551616ms", "99999999999999999999999d", "0x1s", "10"};
    struct err err;
    uint64_t ms = 7;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_fails(strx_duration_ms(bad[i], &ms, &err), E_CONFIG);
        assert_non_null(strstr(err.msg, bad[i]));
    }
    assert_string_equal(err.msg, "'10' has no unit (a duration like 250ms, 10s, 5m, 24h or 7d)");
    assert_int_equal(ms, 7);
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_ok_err(strx_duration_ms(good[i].text, &ms, &err), &err);
        assert_true(ms == good[i].ms);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"512", 512}, {"0", 0}, {"1B", 1}, {"64KiB", 65536}, {"64kB", 64000}, {"64KB", 64000},
        {"64MB", 64000000}, {"1MiB", 1048576}, {"1GiB", 1u << 30}, {"2GB", 2000000000}, {"3TiB", 3ull << 40},
        {"4TB", 4000000000000}, {"18446744073709551615", UINT64_MAX}, {"16777215TiB", 16777215ull << 40}};
    static const char *const bad[] = {"", "B", "KiB", "-1", "1.5MB", "1 MB", "1M", "1K", "1mb", "1MBs", "1PB",
        "18446744073709551616", "16777216TiB", "99999999999999999999KiB"};
    struct err err;
    uint64_t bytes = 7;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_fails(strx_size(bad[i], &bytes, &err), E_CONFIG);
        assert_non_null(strstr(err.msg, bad[i]));
    }
    assert_string_equal(err.msg, "'99999999999999999999KiB' is too large");
    assert_int_equal(bytes, 7);
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_ok_err(strx_size(good[i].text, &bytes, &err), &err);
        assert_true(bytes == good[i].bytes);
    }
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2026-11-21T02:01:21.123Z", 1795226481123},
        {"2026-11-21t02:01:21.123z", 1795226481123},
        {"2026-11-21 02:01:21.123Z", 1795226481123},
        {"2026-11-21T02:01Z", 1795226460000},
        {"2026-11-21T02:01+00:00", 1795226460000},
        {"2026-11-21T03:01:21+01:00", 1795226481000},
        {"2026-11-21T07:46:21+05:45", 1795226481000},
        {"2026-11-20T21:01:21-05:00", 1795226481000},
        {"2026-11-21T02:01:21-00:00", 1795226481000},
        {"2026-11-21T02:01:21.1Z", 1795226481100},
        {"2026-11-21T02:01:21.12Z", 1795226481120},
        {"2026-11-21T02:01:21.1239999999999999999999999Z", 1795226481123},
        {"2000-02-29T00:00:00Z", 951782400000}, /* divisible by 400 */
        {"2024-02-29T23:59:59Z", 1709251199000},
        {"2024-03-01T00:00:00Z", 1709251200000},
        {"2023-12-31T23:30:00-01:00", 1704069000000}, /* the offset goes into the next year */
        {"0000-01-01T00:00:00Z", -62167219200000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t ms = 7;

        assert_ok_err(strx_time_ms(good[i].text, &ms, &err), &err);
        if (ms != good[i].ms)
            fail_msg("%s: %" PRId64, good[i].text, ms);
    }
}

static void test_bad_times(void **state)
{
    static const char *const bad[] = {"", "now", "2026-11-21", "2026-11-21T", "2026-11-21T02", "2026-11-21T02:0Z",
        "26-11-21T02:01:21Z", "2026-1-21T02:01:21Z", "2026-11-21T2:01:21Z", "2026/11/21T02:01:21Z",
        "2026-11-21_02:01:21Z", "2026-11-21  02:01:21Z", "2026-00-21T02:01:21Z", "2026-13-21T02:01:21Z",
        "2026-11-00T02:01:21Z", "2026-11-31T02:01:21Z", "2026-02-29T02:01:21Z", "1900-02-29T02:01:21Z",
        "2100-02-29T02:01:21Z", "2024-02-30T02:01:21Z", "2026-11-21T24:00:00Z", "2026-11-21T02:60:21Z",
        "2026-11-21T02:01:60Z", "2026-11-21T02:01:21.Z", "2026-11-21T02:01:21,5Z", "2026-11-21T02:01:21ZZ",
        "2026-11-21T02:01:21Z ", " 2026-11-21T02:01:21Z", "2026-11-21T02:01:21+1:00", "2026-11-21T02:01:21+0100",
        "2026-11-21T02:01:21+01", "2026-11-21T02:01:21+24:00", "2026-11-21T02:01:21+01:60", "2026-11-21T02:01:21 Z",
        "2026-11-21T02:01:21UTC", "12026-11-21T02:01:21Z", "-2026-11-21T02:01:21Z", "2026-11-21T02:01:+1Z",
        "1795226481"};
    static const char *const zoneless[] = {
        "2026-11-21T02:01", "2026-11-21T02:01:21", "2026-11-21 02:01:21", "2026-11-21T02:01:21.123"};
    struct err err;
    int64_t ms = 7;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (!rc_failed(strx_time_ms(bad[i], &ms, &err)))
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, E_CONFIG);
        assert_non_null(strstr(err.msg, "is not a time like"));
        assert_non_null(strstr(err.msg, bad[i]));
    }
    for (size_t i = 0; i < COUNT(zoneless); i++) {
        assert_fails(strx_time_ms(zoneless[i], &ms, &err), E_CONFIG);
        assert_non_null(strstr(err.msg, "has no time zone"));
    }
    assert_int_equal(ms, 7);
}

static void test_format_time(void **state)
{
    char text[STRX_TIME_SIZE];

    (void)state;
    assert_string_equal(strx_format_time(0, text), "1970-01-01T00:00:00.000Z");
    assert_string_equal(strx_format_time(-1, text), "1969-12-31T23:59:59.999Z");
    assert_string_equal(strx_format_time(1795226481123, text), "2026-11-21T02:01:21.123Z");
    assert_string_equal(strx_format_time(951782400000, text), "2000-02-29T00:00:00.000Z");
    assert_string_equal(strx_format_time(253402300799999, text), "9999-12-31T23:59:59.999Z");
    assert_string_equal(strx_format_time(INT64_MAX, text), "292278994-08-17T07:12:55.807Z");
    assert_string_equal(strx_format_time(INT64_MIN, text), "-292275055-05-16T16:47:04.192Z");
}

/* Against the system's calendar, at random. */
static void test_times_like_the_system(void **state)
{
    uint64_t seed = 1;
    struct err err;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        int64_t ms = (int64_t)(check_random(&seed) % 315569519999999u) - 62167219200000, back;
        time_t seconds = (time_t)(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
        char text[STRX_TIME_SIZE], want[64];
        struct tm tm;

        assert_non_null(gmtime_r(&seconds, &tm));
        assert_int_not_equal(strftime(want, sizeof want, "-%m-%dT%H:%M:%S.", &tm), 0);
        strx_format_time(ms, text);
        assert_memory_equal(text + 4, want, strlen(want));
        assert_ok(strx_time_ms(text, &back, &err));
        assert_true(back == ms);
    }
}

static void test_human_sizes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {1049, "1.0 kB"}, {1050, "1.1 kB"},
        {17300000, "17.3 MB"}, {999949, "999.9 kB"}, {999950, "1.0 MB"}, {4000000000, "4.0 GB"},
        {999999999999, "1.0 TB"}, {1500000000000, "1.5 TB"}, {2000000000000000, "2.0 PB"}, {UINT64_MAX, "18.4 EB"}};
    char text[STRX_HUMAN_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(strx_format_size(cases[i].bytes, text), cases[i].text);
}

static void test_human_durations(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0 ms"}, {999, "999 ms"}, {1000, "1.0 s"}, {1499, "1.4 s"}, {59999, "59.9 s"},
        {60000, "1 min 0 s"}, {3599999, "59 min 59 s"}, {3600000, "1 h 0 min"}, {11520000, "3 h 12 min"},
        {86399999, "23 h 59 min"}, {86400000, "1 d 0 h"}, {90000000, "1 d 1 h"}, {UINT64_MAX, "213503982334 d 14 h"}};
    char text[STRX_HUMAN_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(strx_format_duration(cases[i].ms, text), cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u64),
        cmocka_unit_test(test_long_text_is_quoted_in_part),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_bad_times),
        cmocka_unit_test(test_format_time),
        cmocka_unit_test(test_times_like_the_system),
        cmocka_unit_test(test_human_sizes),
        cmocka_unit_test(test_human_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
