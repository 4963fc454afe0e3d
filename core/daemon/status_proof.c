/* SPDX-License-Identifier: Apache-2.0 */
#include "status_proof.h"

#include "proof_due.h"
#include "status.h"
#include "status_json.h"

#include <assert.h>

static json_t *u64_if(bool known, uint64_t n)
{
    return known ? status_json_u64(n) : json_null();
}

static json_t *text_if(const char *text)
{
    return text != NULL ? status_text(text) : json_null();
}

static const char *text_of(const struct err *err)
{
    return err->code != E_OK ? err->msg : NULL;
}

void status_proof_drill_of(const struct db *db, struct status_drill *out)
{
    const struct db_drill *k = &db->drill;
    const struct local_drill *last = &k->last;
    uint64_t known_ms = k->known_ms != 0 ? clock_mono_ms(db->clock) - k->known_ms : 0;

    *out = (struct status_drill){
        .on = db->settings->drill_interval_ms != 0 || last->tried_ms != 0,
        .running = k->running || k->elsewhere,
        .overdue =
            proof_due_is_overdue(last->good_ms, db->settings->drill_interval_ms, clock_wall_ms(db->clock), known_ms),
        .failure = text_of(&k->alert),
        .skipped = k->skipped[0] != 0 ? k->skipped : NULL,
        .error = text_of(&k->err),
        .good_ms = last->good_ms,
        .state_ms = last->state_ms,
        .failed_ms = last->failed_ms,
        .timeline = last->timeline,
        .txid = last->txid,
        .failed_txid = last->failed_txid,
        .bytes_read = k->bytes_read,
        .interval_ms = db->settings->drill_interval_ms,
    };
}

void status_proof_scrub_of(const struct db *db, struct status_scrub *out)
{
    const struct db_scrub *k = &db->scrub;
    const struct db_scrub_view *v = &k->view;

    *out = (struct status_scrub){
        .on = db->settings->scrub_interval_ms != 0 || v->damaged > 0,
        .failure = text_of(&k->alert),
        .error = text_of(&k->err),
        .passed_ms = v->passed_ms,
        .found_ms = v->found_ms,
        .passed_pages = v->passed_pages,
        .damaged = v->damaged,
        .found_txid = v->found_txid,
        .page_count = k->page_count,
        .pass_count = k->pass_count,
        .next = v->next,
        .shown = v->shown,
        .shown_count = v->shown_count,
        .interval_ms = db->settings->scrub_interval_ms,
    };
}

json_t *status_proof_drill(const struct status_drill *k, int64_t now_ms)
{
    bool good = k->good_ms != 0;
    int64_t age_ms = now_ms - k->good_ms;
    json_t *o;

    if (!k->on)
        return json_null();
    o = json_object();
    status_json_put(o, "result", json_string(k->failure != NULL ? "failed" : good ? "good" : "none"));
    status_json_put(o, "running", json_boolean(k->running));
    status_json_put(o, "overdue", json_boolean(k->overdue));
    status_json_put(o, "verified_time", status_time(k->good_ms));
    status_json_put(o, "verified_age_seconds", u64_if(good, age_ms > 0 ? (uint64_t)age_ms / 1000 : 0));
    status_json_put(o, "timeline", u64_if(good, k->timeline));
    status_json_put(o, "txid", u64_if(good, k->txid));
    status_json_put(o, "commit_time", status_time(k->state_ms));
    status_json_put(o, "failed_time", status_time(k->failed_ms));
    status_json_put(o, "failed_txid", u64_if(k->failed_ms != 0, k->failed_txid));
    status_json_put(o, "failure", text_if(k->failure));
    status_json_put(o, "skipped", text_if(k->skipped));
    status_json_put(o, "error", text_if(k->error));
    status_json_put(o, "bytes_read", status_json_u64(k->bytes_read));
    return o;
}

json_t *status_proof_scrub(const struct status_scrub *k)
{
    bool damaged = k->failure != NULL, passed = k->passed_ms != 0;
    json_t *o, *pages;

    if (!k->on)
        return json_null();
    o = json_object();
    pages = json_array();
    for (uint32_t i = 0; i < k->shown_count; i++) {
        int rc = json_array_append_new(pages, status_json_u64(k->shown[i]));

        assert(rc == 0);
    }
    status_json_put(o, "result", json_string(damaged ? "damaged" : passed ? "good" : "none"));
    status_json_put(o, "pass_time", status_time(k->passed_ms));
    status_json_put(o, "pass_pages", u64_if(passed, k->passed_pages));
    status_json_put(o, "next_page", u64_if(k->next != 0, k->next));
    status_json_put(o, "damaged", status_json_u64(k->damaged));
    status_json_put(o, "damaged_pages", pages);
    status_json_put(o, "found_time", status_time(k->found_ms));
    status_json_put(o, "found_txid", u64_if(k->found_txid != 0, k->found_txid));
    status_json_put(o, "failure", text_if(k->failure));
    status_json_put(o, "error", text_if(k->error));
    status_json_put(o, "pages_read", status_json_u64(k->page_count));
    status_json_put(o, "passes", status_json_u64(k->pass_count));
    return o;
}
