/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "samples.h"

#include <string.h>

static const int64_t BEGIN = 1700000000000; /* a whole number of seconds, not of minutes */

/* -1: null */
static json_int_t value(const json_t *doc, const char *name, size_t from_end)
{
    const json_t *list = json_object_get(doc, name), *v = json_array_get(list, json_array_size(list) - 1 - from_end);

    assert_non_null(v);
    return json_is_null(v) ? -1 : json_integer_value(v);
}

static json_t *document(const struct samples *s, enum samples_span span, int64_t now_ms)
{
    json_t *doc = samples_document(s, span, now_ms);
    size_t size = json_array_size(json_object_get(doc, "commits"));
    int64_t step = json_integer_value(json_object_get(doc, "step_ms")),
            first = json_integer_value(json_object_get(doc, "first_ms"));

    assert_int_equal(size, json_array_size(json_object_get(doc, "log_bytes")));
    assert_int_equal(first % step, 0);
    assert_int_equal(first / step + (int64_t)size - 1, now_ms / step); /* the last one is now */
    return doc;
}

static void counted_and_compared(void **state)
{
    struct samples *s = samples_new(1);
    json_t *doc;

    (void)state;
    samples_note(s, BEGIN, &(struct samples_point){.commits = 100, .bytes = 5000, .log_bytes = 4096}); /* the base */
    samples_note(s, BEGIN + 10, &(struct samples_point){.commits = 103, .bytes = 7048, .lag_ms = 70, .lag_commits = 2});
    samples_note(
        s, BEGIN + 20, &(struct samples_point){.commits = 104, .bytes = 7049, .lag_ms = 10, .log_bytes = 10000});
    samples_note(s, BEGIN + 2000, &(struct samples_point){.commits = 110, .bytes = 7049});
    doc = document(s, SAMPLES_HOUR, BEGIN + 3000);
    assert_int_equal(json_integer_value(json_object_get(doc, "step_ms")), 1000);
    assert_int_equal(json_array_size(json_object_get(doc, "commits")), 3600);
    assert_int_equal(value(doc, "commits", 0), -1); /* nothing was noted yet */
    assert_int_equal(value(doc, "commits", 1), 6);
    assert_int_equal(value(doc, "lag_ms", 1), 0);
    assert_int_equal(value(doc, "commits", 2), -1);
    assert_int_equal(value(doc, "commits", 3), 4);
    assert_int_equal(value(doc, "bytes", 3), 3072); /* in whole KiB, rounded once */
    assert_int_equal(value(doc, "lag_ms", 3), 70);  /* the worst */
    assert_int_equal(value(doc, "lag_commits", 3), 2);
    assert_int_equal(value(doc, "log_bytes", 3), 10240); /* the last */
    assert_int_equal(value(doc, "commits", 4), -1);
    json_decref(doc);
    doc = document(s, SAMPLES_WEEK, BEGIN + 3000);
    assert_int_equal(value(doc, "commits", 0), 10);
    json_decref(doc);
    samples_free(s);
}

/* A counter that began anew, a clock that went back, a clock before its time. */
static void odd_figures(void **state)
{
    struct samples *s = samples_new(1);
    json_t *doc;

    (void)state;
    samples_note(s, -5, &(struct samples_point){.commits = 1});
    samples_note(s, BEGIN, &(struct samples_point){.commits = 100, .bytes = UINT64_MAX});
    samples_note(s, BEGIN + 1000, &(struct samples_point){.commits = 5, .bytes = 0, .log_bytes = UINT64_MAX});
    samples_note(s, BEGIN - 50000, &(struct samples_point){.commits = 7, .lag_ms = UINT64_MAX});
    doc = document(s, SAMPLES_HOUR, BEGIN + 1000);
    assert_int_equal(value(doc, "commits", 0), 2);
    assert_int_equal(value(doc, "bytes", 0), 0);
    assert_int_equal(value(doc, "lag_ms", 0), UINT32_MAX);
    assert_int_equal(value(doc, "commits", 1), 0);
    json_decref(doc);
    samples_free(s);
}

/* What is older than the ring is gone, whether time passes step by step or at once. */
static void goes_round(void **state)
{
    (void)state;
    for (int at_once = 0; at_once < 2; at_once++) {
        struct samples *s = samples_new(1);
        json_t *doc;

        samples_note(s, BEGIN, &(struct samples_point){.commits = 0});
        samples_note(s, BEGIN, &(struct samples_point){.commits = 1000});
        for (int i = 1; i <= 3599 && !at_once; i++)
            samples_note(s, BEGIN + i * 1000, &(struct samples_point){.commits = 1000});
        doc = document(s, SAMPLES_HOUR, BEGIN + 3599 * 1000);
        assert_int_equal(value(doc, "commits", 3599), 1000);
        json_decref(doc);
        doc = document(s, SAMPLES_HOUR, BEGIN + 3600 * 1000); /* not noted, and yet gone */
        assert_int_equal(value(doc, "commits", 3599), at_once ? -1 : 0);
        json_decref(doc);
        samples_note(s, BEGIN + 8000 * (int64_t)1000, &(struct samples_point){.commits = 1001});
        doc = document(s, SAMPLES_HOUR, BEGIN + 8000 * (int64_t)1000);
        assert_int_equal(value(doc, "commits", 0), 1);
        for (size_t i = 1; i < 3600; i++)
            assert_int_equal(value(doc, "commits", i), -1);
        json_decref(doc);
        samples_free(s);
    }
}

static void small_when_many(void **state)
{
    static const struct {
        uint64_t databases;
        size_t hour, week;
    } cases[] = {{1, 3600, 10080}, {50, 3600, 10080}, {51, 360, 1008}, {1000, 360, 1008}, {10000, 60, 168}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct samples *s = samples_new(cases[i].databases);
        json_t *doc = document(s, SAMPLES_HOUR, BEGIN);

        assert_int_equal(json_array_size(json_object_get(doc, "bytes")), cases[i].hour);
        assert_int_equal(cases[i].hour * (size_t)json_integer_value(json_object_get(doc, "step_ms")), 3600 * 1000);
        json_decref(doc);
        doc = document(s, SAMPLES_WEEK, BEGIN);
        assert_int_equal(json_array_size(json_object_get(doc, "bytes")), cases[i].week);
        assert_int_equal(cases[i].week * (size_t)json_integer_value(json_object_get(doc, "step_ms")), 7 * 86400 * 1000);
        json_decref(doc);
        samples_free(s);
    }
    samples_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counted_and_compared),
        cmocka_unit_test(odd_figures),
        cmocka_unit_test(goes_round),
        cmocka_unit_test(small_when_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
