/* SPDX-License-Identifier: Apache-2.0 */
#include "check_report.h"

#include "alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *check_report_word(enum check_result result)
{
    static const char *const words[] = {
        [CHECK_OK] = "ok", [CHECK_SKIPPED] = "skipped", [CHECK_WARNING] = "warning", [CHECK_FAILED] = "failed"};

    return words[result];
}

/* A store's words may be anything, but this is one line. */
static void make_one_line(char *text)
{
    for (; *text != 0; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            *text = ' ';
}

void check_report_add(struct check_report *r, const char *name, enum check_result result, const char *fmt, ...)
{
    char text[CHECK_REPORT_TEXT_MAX];
    va_list args;

    assert(r->count < CHECK_REPORT_MAX);
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    make_one_line(text);
    r->items[r->count++] = (struct check_item){name, result, mem_strdup(text)};
}

size_t check_report_count(const struct check_report *r, enum check_result result)
{
    size_t n = 0;

    for (size_t i = 0; i < r->count; i++)
        n += r->items[i].result == result;
    return n;
}

const struct check_item *check_report_find(const struct check_report *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->items[i].name, name) == 0)
            return &r->items[i];
    return NULL;
}

void check_report_fini(struct check_report *r)
{
    for (size_t i = 0; i < r->count; i++)
        mem_free(r->items[i].text);
    r->count = 0;
}
