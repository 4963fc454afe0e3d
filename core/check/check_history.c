/* SPDX-License-Identifier: Apache-2.0 */
#include "check_history.h"

#include "alloc.h"
#include "catalog.h"
#include "strx.h"

#include <inttypes.h>
#include <string.h>

enum { WINDOW_S = 7 * 86400 };

/* Where the counting begins: the state whose time its key tells that is nearest to a week before the tip, but not
 * nearer than it must be; with a history that is younger the oldest one. */
struct since {
    uint64_t txid;
    int64_t time_ms;
};

static void consider(struct since *s, const struct catalog_timeline *t, uint64_t txid, int64_t time_ms)
{
    int64_t wanted = t->tip_time_ms - (int64_t)WINDOW_S * 1000;
    bool old = time_ms <= wanted, had_old = s->txid != 0 && s->time_ms <= wanted;

    if (txid >= t->tip_txid || time_ms >= t->tip_time_ms)
        return;
    if (s->txid == 0 || (old && (!had_old || time_ms > s->time_ms)) || (!old && !had_old && time_ms < s->time_ms))
        *s = (struct since){txid, time_ms};
}

static struct since find_since(const struct catalog_timeline *t)
{
    struct since s = {0};

    for (size_t i = 0; i < t->snapshot_count; i++)
        consider(&s, t, t->snapshots[i].txid, t->snapshots[i].time_ms);
    for (size_t i = 0; i < t->merge_count; i++)
        consider(&s, t, t->merges[i].txid, t->merges[i].time_ms);
    return s;
}

static uint64_t stored_bytes(const struct catalog_timeline *t)
{
    uint64_t sum = t->part_size;

    for (size_t i = 0; i < t->log_count; i++)
        sum += t->logs[i].size;
    for (size_t i = 0; i < t->fold_count; i++)
        sum += t->folds[i].size;
    for (size_t i = 0; i < t->snapshot_count; i++)
        sum += t->snapshots[i].size;
    for (size_t i = 0; i < t->merge_count; i++)
        sum += t->merges[i].size;
    return sum;
}

/* The log since then, each commit once. */
static struct rc measure(
    struct check_store *c, const struct catalog *catalog, const struct catalog_timeline *t, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    struct since since = find_since(t);
    size_t count = 0;
    uint64_t bytes = 0, commits, first = 0;

    if (t->snapshot_count > 0)
        c->load.snapshot_bytes = (double)t->snapshots[t->snapshot_count - 1].size;
    if (since.txid == 0)
        return RC_OK;
    TRY(catalog_route(catalog, t->number, &steps, &count, err));
    for (size_t i = 0; i < count; i++)
        if (steps[i].timeline == t->number && steps[i].first_txid > since.txid) {
            bytes += steps[i].size;
            first = first == 0 ? steps[i].first_txid : first;
        }
    if (first == 0)
        return RC_OK;
    commits = t->tip_txid - first + 1;
    c->measured_s = (double)(t->tip_time_ms - since.time_ms) / 1000;
    c->load.commits_per_s = (double)(t->tip_txid - since.txid) / c->measured_s;
    c->load.bytes_per_commit = (double)bytes / (double)commits;
    return RC_OK;
}

static void tell(struct check_store *c, const struct catalog *catalog, const struct catalog_timeline *t)
{
    char time[STRX_TIME_SIZE], size[STRX_HUMAN_SIZE];
    const bool known = c->found == LOCAL_STATE_GOOD;

    (void)strx_format_size(c->stored_bytes, size);
    if (known && catalog->identity.format != 0 && !nonce_equal(&c->local->database, &catalog->identity.database))
        check_report_add(c->report, "history", CHECK_FAILED,
            "the replica holds the history of another database than the local state beside this one: check the "
            "replica's URL; two databases need two prefixes");
    else if (known && c->local->pos.timeline < t->number)
        check_report_add(c->report, "history", CHECK_WARNING,
            "another writer has begun timeline %" PRIu32
            " (by %s), while this database was shipped to timeline %" PRIu32
            ": a start here asks for --fork, or is refused",
            t->number, t->origin.host, c->local->pos.timeline);
    else
        check_report_add(c->report, "history", CHECK_OK, "timeline %" PRIu32 ", up to txid %" PRIu64 " (%s); %s stored",
            t->number, t->tip_txid, strx_format_time(t->tip_time_ms, time), size);
}

struct rc check_history_run(struct check_store *c, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *catalog = NULL;
    const struct catalog_timeline *t;
    struct rc rc = catalog_load(&catalog, w, s, err);

    if (rc.code == E_CANCELED)
        return rc;
    if (rc.code == E_NOTFOUND) {
        check_report_add(c->report, "history", CHECK_OK, "none yet: the first start begins it");
        return RC_OK;
    }
    t = rc_failed(rc) ? NULL : catalog_newest(catalog);
    if (t != NULL)
        rc = catalog_load_tip(catalog, w, s, t->number, err);
    if (rc.code == E_CANCELED)
        return rc;
    if (rc_failed(rc)) {
        check_report_add(
            c->report, "history", rc.code == E_CORRUPT ? CHECK_FAILED : CHECK_WARNING, "%s: run weir verify", err->msg);
        return RC_OK;
    }
    if (t == NULL) {
        check_report_add(c->report, "history", CHECK_OK, "begun, with no commit yet");
        return RC_OK;
    }
    for (size_t i = 0; i < catalog->timeline_count; i++)
        c->stored_bytes += stored_bytes(&catalog->timelines[i]);
    tell(c, catalog, t);
    rc = measure(c, catalog, t, err);
    rc_ignore(rc, "an estimate without measurements is one all the same; the line says what is there");
    return RC_OK;
}
