/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"

#include "alloc.h"
#include "verify_docs.h"
#include "verify_list.h"
#include "verify_log.h"
#include "verify_origin.h"
#include "verify_report.h"
#include "verify_snap.h"

#include <inttypes.h>
#include <unistd.h>

const char *verify_answer_name(enum verify_answer answer)
{
    static const char *const names[VERIFY_ANSWER_COUNT] = {"good", "missing", "damaged", "unexpected"};

    return names[answer];
}

const char *verify_kind_name(enum layout_kind kind)
{
    static const char *const names[VERIFY_KIND_COUNT] = {
        [LAYOUT_OTHER] = "other",
        [LAYOUT_IDENTITY_KEY] = "identity",
        [LAYOUT_TIMELINE] = "timeline",
        [LAYOUT_LOG] = "log",
        [LAYOUT_PART] = "part",
        [LAYOUT_SNAPSHOT] = "snapshot",
        [LAYOUT_FOLD] = "fold",
        [LAYOUT_MERGE] = "merge",
        [LAYOUT_PRUNED] = "pruned",
    };

    return names[kind];
}

/* --- the end of the report -----------------------------------------------------------------------------------------
 */

static void timeline_fini(struct verify_timeline *t)
{
    for (size_t i = 0; i < t->loss_count; i++)
        mem_free(t->losses[i].why);
    mem_free(t->losses);
    mem_free(t->ranges);
}

void verify_fini(struct verify_report *report)
{
    for (size_t i = 0; i < report->timeline_count; i++)
        timeline_fini(&report->timelines[i]);
    mem_free(report->timelines);
    for (size_t i = 0; i < report->finding_count; i++) {
        mem_free(report->findings[i].key);
        mem_free(report->findings[i].text);
    }
    mem_free(report->findings);
    *report = (struct verify_report){0};
}

bool verify_failed(const struct verify_report *report)
{
    return report->totals[VERIFY_MISSING] > 0 || report->totals[VERIFY_DAMAGED] > 0;
}

static void job_fini(struct verify_job *j)
{
    for (size_t i = 0; i < j->timeline_count; i++) {
        mem_free(j->timelines[i].origin_damage);
        mem_free(j->timelines[i].logs);
        mem_free(j->timelines[i].folds);
        mem_free(j->timelines[i].parts);
        mem_free(j->timelines[i].snaps);
        mem_free(j->timelines[i].bases);
        mem_free(j->timelines[i].pruned);
    }
    mem_free(j->timelines);
}

/* --- what to look at -----------------------------------------------------------------------------------------------
 */

/* Is there anything that a restore could begin with? */
static struct rc check_content(struct verify_job *j, struct err *err)
{
    for (size_t i = 0; i < j->timeline_count; i++)
        if (j->timelines[i].log_count > 0 || j->timelines[i].fold_count > 0 || j->timelines[i].snap_count > 0)
            return RC_OK;
    if (j->timeline_count == 0 && !j->has_identity)
        return rc_raise(err, E_NOTFOUND, "no replica at %s", j->store->url);
    return rc_raise(
        err, E_NOTFOUND, "the replica at %s has no commit yet: its first snapshot was never completed", j->store->url);
}

static void want(struct verify_job *j, struct verify_work *t)
{
    for (; t != NULL; t = verify_intern_find(j, t->origin.parent)) {
        t->wanted = true;
        if (!t->origin_ok || t->origin.parent == 0)
            break;
    }
}

static struct rc choose(struct verify_job *j, struct err *err)
{
    struct verify_work *chosen = verify_intern_find(j, j->opts->timeline);
    struct verify_report *r = j->report;

    if (j->opts->timeline != 0 && chosen == NULL)
        return rc_raise(err, E_NOTFOUND, "no timeline %" PRIu32 " in this history", j->opts->timeline);
    if (chosen != NULL)
        want(j, chosen);
    r->timelines = mem_try(j->timeline_count + 1, sizeof *r->timelines);
    if (r->timelines == NULL)
        return rc_raise(err, E_NOMEM, "verification of %zu timelines", j->timeline_count);
    for (size_t i = 0; i < j->timeline_count; i++) {
        struct verify_work *t = &j->timelines[i];

        t->wanted = t->wanted || chosen == NULL;
        if (!t->wanted)
            continue;
        j->total += t->bytes;
        t->out = &r->timelines[r->timeline_count++];
        *t->out = (struct verify_timeline){.number = t->number, .bytes = t->bytes};
        if (t->origin_ok) {
            t->out->parent = t->origin.parent;
            t->out->fork_txid = t->origin.fork_txid;
        }
    }
    return RC_OK;
}

/* --- seals and successors ------------------------------------------------------------------------------------------
 */

/* A takeover seals first and begins its timeline then; and it may be going on right now. */
static struct rc find_successor(struct verify_job *j, const char *key, bool *found, struct err *err)
{
    enum { PAUSE_MS = 200 };

    for (unsigned waited = 0;; waited += PAUSE_MS) {
        CLEANUP(verify_intern_finip) struct store_req req;
        struct rc rc;

        store_req_init(&req, STORE_GET, key, NULL, NULL);
        rc = work_store(j->work, j->store, &req, err);
        *found = !rc_failed(rc);
        if (rc.code != E_NOTFOUND)
            return rc;
        if (waited >= j->opts->patience_ms)
            return RC_OK;
        (void)usleep(PAUSE_MS * 1000);
    }
}

static struct rc check_successor(struct verify_job *j, const struct verify_work *t, struct err *err)
{
    layout_text key;
    bool found = false;

    if (!t->out->sealed || verify_intern_find(j, t->out->successor) != NULL)
        return RC_OK;
    layout_timeline(key, t->out->successor);
    TRY_CTX(find_successor(j, key, &found, err), err, "%s", key);
    if (!found)
        verify_report_find(j, NULL, VERIFY_MISSING, LAYOUT_TIMELINE, key,
            "timeline %" PRIu32 " is sealed for timeline %" PRIu32
            ", and nothing of that is there; if a takeover was interrupted, the next start of weir replicate goes on",
            t->number, t->out->successor);
    return RC_OK;
}

/* --- all of it -----------------------------------------------------------------------------------------------------
 */

static struct rc run(struct verify_job *j, struct err *err)
{
    TRY(verify_list_run(j, err));
    TRY(check_content(j, err));
    TRY(verify_docs_run(j, err));
    TRY(choose(j, err));
    TRY(verify_list_newer(j, err));
    verify_origin_link(j);
    for (size_t i = 0; i < j->timeline_count; i++) {
        if (!j->timelines[i].wanted)
            continue;
        TRY(verify_snap_run(j, &j->timelines[i], err));
        TRY(verify_log_run(j, &j->timelines[i], err));
    }
    for (size_t i = 0; i < j->timeline_count; i++)
        if (j->timelines[i].wanted)
            TRY(check_successor(j, &j->timelines[i], err));
    return RC_OK;
}

struct rc verify_run(
    struct work *w, struct store *s, const struct verify_opts *opts, struct verify_report *report, struct err *err)
{
    struct verify_job j = {.work = w, .store = s, .opts = opts, .report = report};
    struct rc rc = run(&j, err);

    job_fini(&j);
    return rc_failed(rc) ? rc_wrap(err, "verify %s", s->url) : RC_OK;
}
