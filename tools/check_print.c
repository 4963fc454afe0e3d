/* SPDX-License-Identifier: Apache-2.0 */
#include "check_print.h"

#include "config_print.h"
#include "strx.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

enum { NUMBER_SIZE = 32 };

/* --- as text ------------------------------------------------------------------------------------------------------ */

/* "88,394" is easier to read than "88394". */
static const char *format_count(double value, char out[NUMBER_SIZE])
{
    char digits[NUMBER_SIZE];
    int n = snprintf(digits, sizeof digits, "%.0f", fmin(value, 1e15)), k = 0;

    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = 0;
    return out;
}

static const char *format_bytes(double bytes, char out[STRX_HUMAN_SIZE])
{
    return strx_format_size((uint64_t)fmin(bytes, 1e18), out);
}

static void print_setting(void *ctx, const char *key, const char *value, const char *at)
{
    (void)ctx;
    (void)printf("  %s = %s  (%s)\n", key, value, at != NULL ? at : "default");
}

static void print_tests(const struct check_report *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct check_item *item = &r->items[i];

        (void)printf("  %-8s%-20s%s\n", item->result == CHECK_FAILED ? "FAILED" : check_report_word(item->result),
            item->name, item->text);
    }
}

static void print_estimate(const struct check_target *t)
{
    const struct price_estimate *e = &t->estimate;
    char put[NUMBER_SIZE], get[NUMBER_SIZE], list[NUMBER_SIZE], size[STRX_HUMAN_SIZE];
    char span[STRX_HUMAN_SIZE] = "";

    if (!t->estimated)
        return;
    if (t->store.measured_s > 0)
        (void)strx_format_duration((uint64_t)(t->store.measured_s * 1000), span);
    (void)printf("  estimate for a month with %.3g commits a second of %.0f bytes (%s%s%s):\n", t->load.commits_per_s,
        t->load.bytes_per_commit, t->load_from, span[0] != 0 ? ", the replica's last " : "", span);
    (void)printf("    requests  %s PUT, %s LIST, %s GET, without restores\n", format_count(e->put, put),
        format_count(e->list, list), format_count(e->get, get));
    (void)printf("    sent      %s\n", format_bytes(e->sent_bytes, size));
    (void)printf("    stored    %s", format_bytes(e->stored_bytes, size));
    if (e->growth_bytes > 0)
        (void)printf(" after the first month, and %s more with each, because no retention is set",
            format_bytes(e->growth_bytes, size));
    (void)printf("\n");
    if (t->price.known)
        (void)printf("    price     %.2f: %.2f for requests, %.2f for storage (%s)\n",
            e->request_cost + e->storage_cost, e->request_cost, e->storage_cost, t->price.source);
    else
        (void)printf("    price     not known for this kind of store: --price put=...,get=...,gb-month=...\n");
}

static void print_sum(const struct check_print *p)
{
    double sum = 0;
    size_t count = 0;

    for (size_t i = 0; i < p->target_count; i++)
        if (p->targets[i].estimated && p->targets[i].price.known) {
            sum += p->targets[i].estimate.request_cost + p->targets[i].estimate.storage_cost;
            count++;
        }
    if (count > 1)
        (void)printf("estimate for all of these: %.2f a month\n", sum);
    if (p->failed > 0)
        (void)printf("%zu failed, ", p->failed);
    else
        (void)printf("all good, ");
    (void)printf("%zu warning%s\n", p->warnings, p->warnings == 1 ? "" : "s");
}

void check_print_text(const struct check_print *p)
{
    (void)printf("settings in force (%s):\n", p->file != NULL ? p->file : "no configuration file");
    config_print_each(p->config, print_setting, NULL);
    for (size_t i = 0; i < p->target_count; i++) {
        const struct check_target *t = &p->targets[i];

        (void)printf("\n%s -> %s\n", t->path, t->shown_url);
        print_tests(&t->report);
        print_estimate(t);
    }
    (void)printf("\n");
    print_sum(p);
}

/* --- as JSON ------------------------------------------------------------------------------------------------------ */

/* Names and messages may hold bytes that are no text. */
static json_t *text(const char *value)
{
    json_t *o = value != NULL ? json_string(value) : json_null();

    return o != NULL ? o : json_string("(not in UTF-8)");
}

static void add_setting(void *ctx, const char *key, const char *value, const char *at)
{
    (void)json_array_append_new(ctx, json_pack("{s:s, s:o, s:o}", "key", key, "value", text(value), "from", text(at)));
}

static json_t *tests_array(const struct check_report *r)
{
    json_t *tests = json_array();

    for (size_t i = 0; i < r->count; i++)
        (void)json_array_append_new(
            tests, json_pack("{s:s, s:s, s:o}", "name", r->items[i].name, "result",
                       check_report_word(r->items[i].result), "message", text(r->items[i].text)));
    return tests;
}

static json_t *whole(double value)
{
    return json_integer((json_int_t)fmin(value, 1e18));
}

static json_t *estimate_object(const struct check_target *t)
{
    const struct price_estimate *e = &t->estimate;
    json_t *price = json_null();

    if (!t->estimated)
        return json_null();
    if (t->price.known)
        price = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "requests", e->request_cost, "storage",
            e->storage_cost, "total", e->request_cost + e->storage_cost, "put", t->price.put, "get", t->price.get,
            "list", t->price.list, "gb_month", t->price.gb_month, "source", text(t->price.source));
    return json_pack("{s:s, s:f, s:f, s:{s:o, s:o, s:o, s:o}, s:o, s:o, s:o, s:o}", "load", t->load_from,
        "commits_per_second", t->load.commits_per_s, "bytes_per_commit", t->load.bytes_per_commit, "requests", "put",
        whole(e->put), "list", whole(e->list), "get", whole(e->get), "delete", whole(e->remove), "bytes_sent",
        whole(e->sent_bytes), "bytes_stored", whole(e->stored_bytes), "bytes_growth", whole(e->growth_bytes), "price",
        price);
}

static json_t *target_object(const struct check_target *t)
{
    return json_pack("{s:o, s:o, s:b, s:o, s:o}", "path", text(t->path), "url", text(t->shown_url), "ok",
        check_report_count(&t->report, CHECK_FAILED) == 0, "tests", tests_array(&t->report), "estimate",
        estimate_object(t));
}

void check_print_json(const struct check_print *p)
{
    json_t *settings = json_array(), *databases = json_array(), *doc;

    if (p->config != NULL)
        config_print_each(p->config, add_setting, settings);
    for (size_t i = 0; i < p->target_count; i++)
        (void)json_array_append_new(databases, target_object(&p->targets[i]));
    doc = json_pack("{s:b, s:I, s:I, s:{s:o, s:o}, s:o, s:o}", "ok", p->failed == 0 && p->error == NULL, "failed",
        (json_int_t)p->failed, "warnings", (json_int_t)p->warnings, "configuration", "file", text(p->file), "error",
        text(p->error), "settings", settings, "databases", databases);
    (void)json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_INDENT(2)); /* the stream is checked at the end */
    (void)printf("\n");
    json_decref(doc);
}
