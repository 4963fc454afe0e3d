/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest_print.h"

#include "alloc.h"
#include "strx.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_SIZE = ERR_MSG_SIZE };

void selftest_print_init(struct selftest_print *p, bool json)
{
    *p = (struct selftest_print){.json = json, .steps = json_array()};
}

void selftest_print_fini(struct selftest_print *p)
{
    json_decref(p->steps);
    p->steps = NULL;
}

/* Takes `numbers`.  Without memory the document lacks something, and jansson says so when it is printed. */
static void note(struct selftest_print *p, const char *name, bool good, const char *text, json_t *numbers)
{
    json_t *step = json_pack("{s:s, s:b, s:s}", "step", name, "ok", good, "message", text);

    if (numbers != NULL)
        (void)json_object_update(step, numbers);
    json_decref(numbers);
    (void)json_array_append_new(p->steps, step);
    if (!p->json)
        (void)printf("%-8s%-9s%s\n", good ? "ok" : "FAILED", name, text);
    (void)fflush(stdout); /* that it fails is told at the end */
}

void selftest_print_step(struct selftest_print *p, const char *name, json_t *numbers, const char *fmt, ...)
{
    char text[TEXT_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* what is too long is cut */
    va_end(args);
    note(p, name, true, text, numbers);
}

void selftest_print_failed(struct selftest_print *p, const char *name, const struct err *err)
{
    note(p, name, false, err->msg, NULL);
}

static json_t *text_or_null(bool is, const char *text)
{
    return is ? json_string(text) : json_null();
}

static void print_json(struct selftest_print *p, const struct selftest_print_end *end)
{
    json_t *error = end->error == NULL
                        ? json_null()
                        : json_pack("{s:s, s:s}", "code", rc_name(end->error->code), "message", end->error->msg);
    json_t *doc =
        json_pack("{s:b, s:s, s:I, s:O, s:o, s:o, s:o, s:o}", "ok", end->error == NULL, "url", end->url, "duration_ms",
            (json_int_t)end->duration_ms, "steps", p->steps, "error", error, "kept", text_or_null(end->kept, end->url),
            "left", text_or_null(end->left, end->url), "scratch", text_or_null(end->kept || end->left, end->scratch));

    (void)json_dumpf(doc, stdout,
        JSON_PRESERVE_ORDER | JSON_COMPACT | JSON_REAL_PRECISION(6)); /* cli_finish() looks whether it went well */
    (void)printf("\n");
    json_decref(doc);
}

void selftest_print_end(struct selftest_print *p, const struct selftest_print_end *end)
{
    char took[STRX_HUMAN_SIZE];

    if (p->json) {
        print_json(p, end);
        return;
    }
    if (end->kept)
        (void)printf("kept: the replica %s and the folder %s\n", end->url, end->scratch);
    if (end->error == NULL)
        (void)printf("all good: what was written was shipped, wiped, restored and found the same, in %s\n",
            strx_format_duration(end->duration_ms, took));
}
