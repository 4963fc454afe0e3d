/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_proof.h"

#include "alloc.h"
#include "daemon_chore.h"
#include "proof_due.h"
#include "scrub_tell.h"

/* --- texts -------------------------------------------------------------------------------------------------------- */

static void set_text(char **at, const char *text)
{
    mem_free(*at);
    *at = text != NULL && text[0] != 0 ? mem_strdup(text) : NULL;
}

static void set_alert(struct err **at, const struct err *alert)
{
    if (alert->code == E_OK) {
        mem_free(*at);
        *at = NULL;
        return;
    }
    if (*at == NULL)
        *at = mem_new(sizeof **at);
    **at = *alert;
}

static const char *text_of(const struct err *err)
{
    return err->code != E_OK ? err->msg : NULL;
}

void daemon_proof_fini(struct daemon_proof *p)
{
    mem_free(p->drill_alert);
    mem_free(p->scrub_alert);
    mem_free(p->drill_skipped);
    mem_free(p->drill_error);
    mem_free(p->scrub_error);
}

/* --- from and to -------------------------------------------------------------------------------------------------- */

static void take_drill(struct daemon_proof *p, const struct local_drill *last)
{
    struct err alert;

    p->tried_ms = last->tried_ms;
    p->good_ms = last->good_ms;
    p->state_ms = last->state_ms;
    p->failed_ms = last->failed_ms;
    p->timeline = last->timeline;
    p->txid = last->txid;
    p->failed_txid = last->failed_txid;
    drill_job_alert(last, &alert);
    set_alert(&p->drill_alert, &alert);
}

void daemon_proof_drill(const struct daemon_proof *p, struct local_drill *out)
{
    *out = (struct local_drill){
        .tried_ms = p->tried_ms,
        .good_ms = p->good_ms,
        .timeline = p->timeline,
        .txid = p->txid,
        .state_ms = p->state_ms,
        .failed_ms = p->failed_ms,
        .failed_txid = p->failed_txid,
    };
    if (p->drill_alert != NULL)
        (void)snprintf(out->why, sizeof out->why, "%s", p->drill_alert->msg);
}

static void take_scrub(struct daemon_proof *p, const struct local_scrub *n, const char *path, uint64_t txid)
{
    const struct local_scrub_page *first = scrub_tell_first(n);
    struct err alert;

    p->passed_ms = n->passed_ms;
    p->passed_pages = (uint32_t)n->passed_pages;
    p->damaged = local_scrub_damaged(n);
    p->found_txid = first != NULL ? first->txid : 0;
    p->found_ms = first != NULL ? first->found_ms : 0;
    scrub_tell_alert(n, path, txid, &alert);
    set_alert(&p->scrub_alert, &alert);
}

void daemon_proof_left(struct daemon_item *item, const struct daemon_left *left)
{
    take_drill(&item->proof, &left->drill);
    take_scrub(&item->proof, &left->scrub, item->path, left->mark.txid);
}

void daemon_proof_take(struct daemon_item *item, const struct db *db)
{
    const struct db_drill *k = &db->drill;
    const struct db_scrub *s = &db->scrub;
    struct daemon_proof *p = &item->proof;

    if (k->recalled) {
        take_drill(p, &k->last);
        p->bytes_read = k->bytes_read;
        set_text(&p->drill_skipped, k->skipped);
        set_text(&p->drill_error, text_of(&k->err));
    }
    if (!s->recalled)
        return;
    p->passed_ms = s->view.passed_ms;
    p->passed_pages = (uint32_t)s->view.passed_pages;
    p->damaged = s->view.damaged;
    p->found_txid = s->view.found_txid;
    p->found_ms = s->view.found_ms;
    p->page_count = s->page_count;
    p->pass_count = s->pass_count;
    set_alert(&p->scrub_alert, &s->alert);
    set_text(&p->scrub_error, text_of(&s->err));
}

static void give_error(struct err *out, const char *text)
{
    out->code = E_OK;
    if (text != NULL)
        rc_ignore(rc_raise(out, E_IO, "%.1000s", text), "it is told by the status");
}

void daemon_proof_give(const struct daemon_item *item, struct db *db)
{
    const struct daemon_proof *p = &item->proof;

    db->drill.elsewhere = daemon_drill_is_of(item);
    db_drill_recall(db);
    db->drill.known_ms = p->known_ms;
    db->drill.bytes_read = p->bytes_read;
    if (p->drill_skipped != NULL)
        (void)snprintf(db->drill.skipped, sizeof db->drill.skipped, "%s", p->drill_skipped);
    give_error(&db->drill.err, p->drill_error);
    db_scrub_recall(db);
    db->scrub.page_count = p->page_count;
    db->scrub.pass_count = p->pass_count;
    give_error(&db->scrub.err, p->scrub_error);
}

/* --- outcomes ----------------------------------------------------------------------------------------------------- */

void daemon_proof_drilled(
    struct daemon_item *item, const struct drill_job *j, enum drill_outcome outcome, const struct local_drill *last)
{
    struct daemon_proof *p = &item->proof;

    p->bytes_read += j->report.restore.bytes_read;
    set_text(&p->drill_error, outcome == DRILL_UNDONE ? j->err.msg : NULL);
    if (outcome == DRILL_STOPPED)
        return;
    set_text(&p->drill_skipped, outcome == DRILL_SKIPPED ? j->report.skipped : NULL);
    take_drill(p, last);
}

void daemon_proof_undone(struct daemon_item *item, const struct err *why)
{
    set_text(&item->proof.drill_error, why->msg);
}

void daemon_proof_scrubbed(struct daemon_item *item, const struct local_scrub *note)
{
    set_text(&item->proof.scrub_error, NULL);
    take_scrub(&item->proof, note, item->path, item->facts.txid);
}

void daemon_proof_unscrubbed(struct daemon_item *item, const struct err *why)
{
    set_text(&item->proof.scrub_error, why->msg);
}

/* --- for those who tell ------------------------------------------------------------------------------------------- */

/* In the order of status_trouble(). */
const struct err *daemon_proof_trouble(const struct daemon_item *item)
{
    if (item->error != NULL)
        return item->error;
    return item->proof.scrub_alert != NULL ? item->proof.scrub_alert : item->proof.drill_alert;
}

void daemon_proof_status(const struct daemon_item *item, struct status_closed *out)
{
    const struct db_settings *set = &item->folder->settings.set;
    const struct daemon_proof *p = &item->proof;
    /* Of one that never had a commit there is nothing to be proven. */
    uint64_t known_ms = item->facts.txid > 0 ? clock_mono_ms(&clock_real) - p->known_ms : 0;

    out->now_ms = clock_wall_ms(&clock_real);
    out->drill = (struct status_drill){
        .on = set->drill_interval_ms != 0 || p->tried_ms != 0,
        .running = daemon_drill_is_of(item),
        .overdue = proof_due_is_overdue(p->good_ms, set->drill_interval_ms, out->now_ms, known_ms),
        .failure = p->drill_alert != NULL ? p->drill_alert->msg : NULL,
        .skipped = p->drill_skipped,
        .error = p->drill_error,
        .good_ms = p->good_ms,
        .state_ms = p->state_ms,
        .failed_ms = p->failed_ms,
        .timeline = p->timeline,
        .txid = p->txid,
        .failed_txid = p->failed_txid,
        .bytes_read = p->bytes_read,
        .interval_ms = set->drill_interval_ms,
    };
    out->scrub = (struct status_scrub){
        .on = set->scrub_interval_ms != 0 || p->damaged > 0,
        .failure = p->scrub_alert != NULL ? p->scrub_alert->msg : NULL,
        .error = p->scrub_error,
        .passed_ms = p->passed_ms,
        .found_ms = p->found_ms,
        .passed_pages = p->passed_pages,
        .damaged = p->damaged,
        .found_txid = p->found_txid,
        .page_count = p->page_count,
        .pass_count = p->pass_count,
        .interval_ms = set->scrub_interval_ms,
    };
}

void daemon_proof_count(const struct daemon_folder *f, uint64_t counts[METRICS_UNPROVEN_COUNT])
{
    for (unsigned i = 0; i < METRICS_UNPROVEN_COUNT; i++)
        counts[i] = 0;
    for (const struct daemon_item *i = f->items; i != NULL; i = i->next) {
        struct status_closed c;

        if (i->state == DAEMON_ITEM_LEAVING)
            continue;
        if (daemon_item_is_open(i)) {
            status_proof_drill_of(&i->member->db, &c.drill);
            status_proof_scrub_of(&i->member->db, &c.scrub);
        } else {
            daemon_proof_status(i, &c);
        }
        counts[METRICS_DRILL_FAILED] += c.drill.failure != NULL;
        counts[METRICS_DRILL_OVERDUE] += c.drill.overdue;
        counts[METRICS_DAMAGED] += c.scrub.failure != NULL;
    }
}
