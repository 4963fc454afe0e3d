/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_pruned.h"

#include "verify_report.h"

struct rc verify_pruned_add(struct verify_work *t, const struct layout_key *k, struct err *err)
{
    TRY(verify_report_grow(&t->pruned, t->pruned_count, &t->pruned_room, sizeof *t->pruned, err));
    t->pruned[t->pruned_count++] = (struct catalog_pruned){k->txid, k->last_txid};
    return RC_OK;
}

bool verify_pruned_has(const struct verify_work *t, uint64_t first, uint64_t last)
{
    /* They are in order of their first txid. */
    for (size_t i = 0; i < t->pruned_count && first <= last; i++)
        if (t->pruned[i].first_txid <= first && t->pruned[i].last_txid >= first)
            first = t->pruned[i].last_txid + 1;
    return first > last;
}

static void tell(struct verify_job *j, const struct verify_work *t, enum layout_kind kind, const char *key)
{
    verify_report_find(j, t, VERIFY_UNEXPECTED, kind, key, "its commits were pruned; the next prune removes it");
}

static void leave_out_logs(struct verify_job *j, struct verify_work *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->log_count; i++) {
        layout_text key;

        if (!verify_pruned_has(t, t->logs[i].first_txid, t->logs[i].first_txid)) {
            t->logs[n++] = t->logs[i];
            continue;
        }
        layout_log(key, t->number, t->logs[i].first_txid);
        tell(j, t, LAYOUT_LOG, key);
    }
    t->log_count = n;
}

static void leave_out_folds(struct verify_job *j, struct verify_work *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->fold_count; i++) {
        layout_text key;

        if (!verify_pruned_has(t, t->folds[i].first_txid, t->folds[i].last_txid)) {
            t->folds[n++] = t->folds[i];
            continue;
        }
        layout_fold(key, t->number, t->folds[i].first_txid, t->folds[i].last_txid);
        tell(j, t, LAYOUT_FOLD, key);
    }
    t->fold_count = n;
}

void verify_pruned_leave_out(struct verify_job *j)
{
    for (size_t i = 0; i < j->timeline_count; i++) {
        leave_out_logs(j, &j->timelines[i]);
        leave_out_folds(j, &j->timelines[i]);
    }
}
