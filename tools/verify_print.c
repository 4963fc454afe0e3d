/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_print.h"

#include "strx.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

/* --- as text -------------------------------------------------------------------------------------------------------
 */

static uint64_t sum(const verify_counts counts, enum verify_answer answer)
{
    uint64_t n = 0;

    for (size_t kind = 0; kind < VERIFY_KIND_COUNT; kind++)
        n += counts[kind][answer];
    return n;
}

static void print_ranges(const struct verify_timeline *t)
{
    enum { SHOWN = 8 };

    if (t->range_count == 0)
        (void)printf("%s", t->tip_txid == 0 && t->loss_count == 0 ? "no commit" : "nothing");
    for (size_t i = 0; i < t->range_count && i < SHOWN; i++) {
        const struct verify_range *r = &t->ranges[i];

        (void)printf("%s%" PRIu64, i > 0 ? ", " : "", r->first_txid);
        if (r->last_txid != r->first_txid)
            (void)printf(" to %" PRIu64, r->last_txid);
    }
    if (t->range_count > SHOWN)
        (void)printf(" and %zu more", t->range_count - SHOWN);
    (void)printf("\n");
}

static void print_table(const struct verify_report *r)
{
    (void)printf("%8s  %8s  %8s  %8s  %10s  %10s  %s\n", "TIMELINE", "GOOD", "MISSING", "DAMAGED", "UNEXPECTED",
        "BYTES", "RESTORABLE TXIDS");
    for (size_t i = 0; i < r->timeline_count; i++) {
        const struct verify_timeline *t = &r->timelines[i];
        char size[STRX_HUMAN_SIZE];

        (void)printf("%8" PRIu32 "  %8" PRIu64 "  %8" PRIu64 "  %8" PRIu64 "  %10" PRIu64 "  %10s  ", t->number,
            sum(t->counts, VERIFY_GOOD), sum(t->counts, VERIFY_MISSING), sum(t->counts, VERIFY_DAMAGED),
            sum(t->counts, VERIFY_UNEXPECTED), strx_format_size(t->bytes, size));
        print_ranges(t);
    }
}

static void print_losses(const struct verify_timeline *t)
{
    for (size_t i = 0; i < t->loss_count; i++) {
        const struct verify_loss *l = &t->losses[i];

        if (l->last_txid == 0)
            (void)printf("commits from %" PRIu64 " on", l->first_txid);
        else if (l->last_txid == l->first_txid)
            (void)printf("commit %" PRIu64, l->first_txid);
        else
            (void)printf("commits %" PRIu64 " to %" PRIu64, l->first_txid, l->last_txid);
        (void)printf(" of timeline %" PRIu32 " cannot be restored: %s; ", t->number, l->why);
        if (l->before_txid != 0)
            (void)printf("last restorable before: %" PRIu64 "\n", l->before_txid);
        else
            (void)printf("none before can be\n");
    }
}

static void print_deep(const struct verify_print_deep *d)
{
    const struct restore_report *p = &d->report;
    char time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE];

    if (!d->asked)
        return;
    if (!d->restored) {
        (void)printf("trial restore: failed: %s\n", d->err.msg);
        return;
    }
    (void)printf("trial restore: txid %" PRIu64 " (%s) of timeline %" PRIu32
                 ", %s: the state checksum is proven, quick_check says ok\n",
        p->txid, strx_format_time(p->time_ms, time), p->timeline,
        strx_format_size((uint64_t)p->page_size * p->page_count, size));
    if (p->warning[0] != 0)
        (void)printf("trial restore: warning: %s\n", p->warning);
}

void verify_print_text(const struct verify_print *p)
{
    const struct verify_report *r = p->report;
    char size[STRX_HUMAN_SIZE], took[STRX_HUMAN_SIZE];

    print_table(r);
    for (size_t i = 0; i < r->finding_count; i++) {
        const struct verify_finding *f = &r->findings[i];

        (void)printf("%-10s  %s: %s (%s)\n", verify_answer_name(f->answer), f->key, f->text, f->advice);
    }
    if (r->findings_left_out > 0)
        (void)printf("... and %" PRIu64 " more\n", r->findings_left_out);
    for (size_t i = 0; i < r->timeline_count; i++)
        print_losses(&r->timelines[i]);
    print_deep(p->deep);
    (void)printf("%" PRIu64 " good, %" PRIu64 " missing, %" PRIu64 " damaged, %" PRIu64
                 " unexpected objects; read %s in %s\n",
        r->totals[VERIFY_GOOD], r->totals[VERIFY_MISSING], r->totals[VERIFY_DAMAGED], r->totals[VERIFY_UNEXPECTED],
        strx_format_size(r->bytes_read, size), strx_format_duration(p->duration_ms, took));
}

/* --- as JSON -------------------------------------------------------------------------------------------------------
 */

static json_t *number_or_null(uint64_t n)
{
    return n != 0 ? json_integer((json_int_t)n) : json_null();
}

static json_t *time_or_null(int64_t ms)
{
    char time[STRX_TIME_SIZE];

    return ms != 0 ? json_string(strx_format_time(ms, time)) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return text[0] != 0 ? json_string(text) : json_null();
}

static json_t *answers_object(const uint64_t counts[VERIFY_ANSWER_COUNT])
{
    json_t *o = json_object();

    for (unsigned a = 0; a < VERIFY_ANSWER_COUNT; a++)
        (void)json_object_set_new(o, verify_answer_name((enum verify_answer)a), json_integer((json_int_t)counts[a]));
    return o;
}

static json_t *kinds_object(const verify_counts counts)
{
    json_t *o = json_object();

    for (unsigned k = LAYOUT_TIMELINE; k < VERIFY_KIND_COUNT; k++)
        (void)json_object_set_new(o, verify_kind_name((enum layout_kind)k), answers_object(counts[k]));
    return o;
}

static json_t *timeline_object(const struct verify_timeline *t)
{
    json_t *ranges = json_array(), *losses = json_array();

    for (size_t i = 0; i < t->range_count; i++)
        (void)json_array_append_new(ranges, json_pack("{s:I, s:I}", "first_txid", (json_int_t)t->ranges[i].first_txid,
                                                "last_txid", (json_int_t)t->ranges[i].last_txid));
    for (size_t i = 0; i < t->loss_count; i++) {
        const struct verify_loss *l = &t->losses[i];

        (void)json_array_append_new(losses,
            json_pack("{s:I, s:o, s:o, s:s}", "first_txid", (json_int_t)l->first_txid, "last_txid",
                number_or_null(l->last_txid), "restorable_before", number_or_null(l->before_txid), "reason", l->why));
    }
    return json_pack("{s:I, s:o, s:o, s:b, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "timeline", (json_int_t)t->number,
        "parent", number_or_null(t->parent), "fork_txid", number_or_null(t->fork_txid), "sealed", (int)t->sealed,
        "successor", number_or_null(t->successor), "tip_txid", number_or_null(t->tip_txid), "tip_time",
        time_or_null(t->tip_time_ms), "bytes", (json_int_t)t->bytes, "objects", kinds_object(t->counts), "restorable",
        ranges, "lost", losses);
}

static json_t *deep_object(const struct verify_print_deep *d)
{
    const struct restore_report *p = &d->report;
    char checksum[17];

    if (!d->asked)
        return json_null();
    if (!d->restored)
        return json_pack("{s:b, s:s}", "restored", 0, "error", d->err.msg);
    (void)snprintf(checksum, sizeof checksum, "%016" PRIx64, p->checksum);
    return json_pack("{s:b, s:I, s:I, s:o, s:s, s:I, s:I, s:o}", "restored", 1, "timeline", (json_int_t)p->timeline,
        "txid", (json_int_t)p->txid, "time", time_or_null(p->time_ms), "checksum", checksum, "page_size",
        (json_int_t)p->page_size, "page_count", (json_int_t)p->page_count, "warning", text_or_null(p->warning));
}

void verify_print_json(const struct verify_print *p)
{
    const struct verify_report *r = p->report;
    char database[NONCE_TEXT_SIZE];
    json_t *timelines = json_array(), *findings = json_array(), *doc;

    for (size_t i = 0; i < r->timeline_count; i++)
        (void)json_array_append_new(timelines, timeline_object(&r->timelines[i]));
    for (size_t i = 0; i < r->finding_count; i++) {
        const struct verify_finding *f = &r->findings[i];

        (void)json_array_append_new(
            findings, json_pack("{s:s, s:s, s:o, s:s, s:s, s:s}", "answer", verify_answer_name(f->answer), "kind",
                          verify_kind_name(f->kind), "timeline", number_or_null(f->timeline), "key", f->key, "message",
                          f->text, "advice", f->advice));
    }
    doc = json_pack("{s:s, s:o, s:b, s:o, s:o, s:o, s:I, s:o, s:I, s:I}", "url", p->url, "database",
        r->database_known ? json_string(nonce_format(&r->database, database)) : json_null(), "good",
        !verify_failed(r) && (!p->deep->asked || p->deep->restored), "objects", answers_object(r->totals), "timelines",
        timelines, "findings", findings, "findings_left_out", (json_int_t)r->findings_left_out, "deep",
        deep_object(p->deep), "bytes_read", (json_int_t)r->bytes_read, "duration_ms", (json_int_t)p->duration_ms);
    (void)json_dumpf(doc, stdout, JSON_PRESERVE_ORDER | JSON_INDENT(2)); /* the stream is checked at the end */
    (void)printf("\n");
    json_decref(doc);
}
