/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_report.h"

#include "alloc.h"
#include "sorted.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *advice_for(enum verify_answer answer, enum layout_kind kind, uint32_t timeline)
{
    if (answer == VERIFY_UNEXPECTED)
        return "harmless";
    switch (kind) {
    case LAYOUT_LOG:
    case LAYOUT_FOLD:
    case LAYOUT_PART:
        return "bring it back from a copy of the replica; where there is none, 'weir snapshot' makes what follows "
               "restorable";
    case LAYOUT_SNAPSHOT:
        return "restores pass it over where an older snapshot leads on; 'weir snapshot' takes a new one";
    case LAYOUT_TIMELINE:
        return timeline == 1 ? "restores work without it; bring it back from a copy of the replica"
                             : "bring it back from a copy of the replica: without it the timeline cannot be restored";
    case LAYOUT_IDENTITY_KEY:
        return "restores work without it, replication does not: bring it back from a copy of the replica";
    case LAYOUT_MERGE:
    case LAYOUT_PRUNED:
    case LAYOUT_OTHER:
        break;
    }
    return "";
}

static void count(struct verify_job *j, const struct verify_work *t, enum layout_kind kind, enum verify_answer answer)
{
    j->report->counts[kind][answer]++;
    j->report->totals[answer]++;
    if (t != NULL && t->out != NULL)
        t->out->counts[kind][answer]++;
}

void verify_report_good(struct verify_job *j, const struct verify_work *t, enum layout_kind kind)
{
    count(j, t, kind, VERIFY_GOOD);
}

struct rc verify_report_grow(void *array, size_t count, size_t *room, size_t size, struct err *err)
{
    if (!mem_grow(array, count, room, size))
        return rc_raise(err, E_NOMEM, "verification of %zu objects", count);
    return RC_OK;
}

static void add_finding(struct verify_report *r, const struct verify_finding *f)
{
    struct err ignored;

    if (r->finding_count == VERIFY_FINDINGS_MAX
        || rc_failed(
            verify_report_grow(&r->findings, r->finding_count, &r->finding_room, sizeof *r->findings, &ignored))) {
        r->findings_left_out++;
        return;
    }
    r->findings[r->finding_count] = *f;
    r->findings[r->finding_count].key = mem_strdup(f->key);
    r->findings[r->finding_count].text = mem_strdup(f->text);
    r->finding_count++;
}

void verify_report_find(struct verify_job *j, const struct verify_work *t, enum verify_answer answer,
    enum layout_kind kind, const char *key, const char *fmt, ...)
{
    const uint32_t timeline = t != NULL ? t->number : 0;
    char text[ERR_MSG_SIZE], name[STORE_KEY_MAX + 8];
    struct verify_finding f = {answer, kind, timeline, name, text, advice_for(answer, kind, timeline)};
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* cut when too long */
    va_end(args);
    (void)snprintf(name, sizeof name, "%s", key);
    count(j, t, kind, answer);
    add_finding(j->report, &f);
}

void verify_report_damage(
    struct verify_job *j, const struct verify_work *t, enum layout_kind kind, const char *key, const struct err *err)
{
    size_t n = strlen(key);
    const char *text = err->msg;

    if (err->code == E_NOTFOUND) {
        verify_report_find(j, t, VERIFY_MISSING, kind, key, "it is not there");
        return;
    }
    while (strncmp(text, key, n) == 0 && strncmp(text + n, ": ", 2) == 0)
        text += n + 2;
    verify_report_find(j, t, VERIFY_DAMAGED, kind, key, "%s", text);
}

/* --- commits -------------------------------------------------------------------------------------------------------
 */

struct rc verify_report_range(struct verify_timeline *t, uint64_t first, uint64_t last, struct err *err)
{
    if (first > last)
        return RC_OK;
    if (t->range_count > 0 && t->ranges[t->range_count - 1].last_txid + 1 == first) {
        t->ranges[t->range_count - 1].last_txid = last;
        return RC_OK;
    }
    TRY(verify_report_grow(&t->ranges, t->range_count, &t->range_room, sizeof *t->ranges, err));
    t->ranges[t->range_count++] = (struct verify_range){first, last};
    return RC_OK;
}

struct rc verify_report_loss(
    struct verify_timeline *t, uint64_t first, uint64_t last, uint64_t before, const char *why, struct err *err)
{
    struct verify_loss *l = t->loss_count > 0 ? &t->losses[t->loss_count - 1] : NULL;

    if (last != 0 && first > last)
        return RC_OK;
    if (l != NULL && l->last_txid + 1 == first && strcmp(l->why, why) == 0) {
        l->last_txid = last;
        return RC_OK;
    }
    if (t->range_count > 0)
        before = t->ranges[t->range_count - 1].last_txid;
    TRY(verify_report_grow(&t->losses, t->loss_count, &t->loss_room, sizeof *t->losses, err));
    t->losses[t->loss_count++] = (struct verify_loss){first, last, before, mem_strdup(why)};
    return RC_OK;
}

bool verify_report_reaches(struct verify_job *j, const struct verify_work *t, uint64_t txid)
{
    size_t at;

    /* Parents have lower numbers, so this ends. */
    while (t != NULL && t->origin_ok && t->origin.parent != 0 && txid <= t->origin.fork_txid)
        t = verify_intern_find(j, t->origin.parent);
    if (t == NULL || t->out == NULL)
        return false;
    at = SORTED_AT(t->out->ranges, t->out->range_count, last_txid, txid);
    return at < t->out->range_count && t->out->ranges[at].first_txid <= txid;
}
