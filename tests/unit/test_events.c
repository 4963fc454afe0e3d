/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_at(const json_t *doc, size_t i, const char *name)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(doc, "events"), i), name));
}

static void newest_first(void **state)
{
    struct events *e = calloc(1, sizeof *e);
    json_t *doc = events_document(e);

    (void)state;
    assert_int_equal(json_array_size(json_object_get(doc, "events")), 0);
    json_decref(doc);
    events_add(e, 1000, "state", "/a.db", "waiting");
    events_add(e, 2000, "gap", "/b.db", "some");
    doc = events_document(e);
    assert_int_equal(json_integer_value(json_object_get(doc, "total")), 2);
    assert_string_equal(text_at(doc, 0, "kind"), "gap");
    assert_string_equal(text_at(doc, 0, "path"), "/b.db");
    assert_string_equal(text_at(doc, 0, "text"), "some");
    assert_string_equal(text_at(doc, 0, "time"), "1970-01-01T00:00:02.000Z");
    assert_string_equal(text_at(doc, 1, "kind"), "state");
    json_decref(doc);
    free(e);
}

/* The oldest are forgotten; texts of any length and any bytes. */
static void bounded(void **state)
{
    struct events *e = calloc(1, sizeof *e);
    char path[2000], text[2000];
    json_t *doc;

    (void)state;
    for (int i = 0; i < EVENTS_MAX + 50; i++) {
        (void)snprintf(text, sizeof text, "number %d", i);
        events_add(e, i, "state", "/a.db", text);
    }
    doc = events_document(e);
    assert_int_equal(json_integer_value(json_object_get(doc, "total")), EVENTS_MAX + 50);
    assert_int_equal(json_array_size(json_object_get(doc, "events")), EVENTS_MAX);
    assert_string_equal(text_at(doc, 0, "text"), "number 249");
    assert_string_equal(text_at(doc, EVENTS_MAX - 1, "text"), "number 50");
    json_decref(doc);
    memset(path, 'p', sizeof path);
    memcpy(path + sizeof path - 8, "end.db", 7);
    path[sizeof path - 2] = 0;
    memset(text, 0xfe, sizeof text); /* is no UTF-8 */
    text[sizeof text - 1] = 0;
    events_add(e, 1, "failure", path, text);
    doc = events_document(e);
    assert_int_equal(strlen(text_at(doc, 0, "path")), EVENTS_PATH_SIZE - 1);
    assert_non_null(strstr(text_at(doc, 0, "path"), "end.db")); /* the end of a path tells most */
    assert_int_equal(strlen(text_at(doc, 0, "text")), EVENTS_TEXT_SIZE - 1);
    assert_int_equal(text_at(doc, 0, "text")[0], '?');
    json_decref(doc);
    free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_first),
        cmocka_unit_test(bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
