/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a folder's database goes on over its being closed and opened again. */
#include "daemon_intern.h"

#include "db_trigger.h"

enum { UNSURE_MAX = 10 };

/* What it showed before it was parked goes on. */
void daemon_facts_give(struct daemon_item *item)
{
    struct db *db = &item->member->db;
    const struct err *trouble;

    item->member->opened_txid = item->facts.txid;
    item->member->opened_resyncs = item->facts.resync_count;
    item->member->seen.timeline = item->facts.timeline; /* no news */
    item->member->seen.failure_count = item->facts.failure_count;
    item->member->seen.gap_count = item->facts.gap_count;
    item->member->seen.failed_ms = item->facts.failed_ms;
    db->txid = db->shipped_txid = item->facts.txid;
    db->time_ms = db->shipped_time_ms = item->facts.time_ms;
    db->snapshot_txid = item->facts.snapshot_txid;
    db->snapshot_ms = item->facts.snapshot_ms;
    db->resync_count = item->facts.resync_count;
    db->shipper.put_count = item->facts.put_count;
    db->shipper.put_bytes = item->facts.put_bytes;
    db->shipper.raw_bytes = item->facts.raw_bytes;
    daemon_prune_plan(item);
    db->prune.begun = item->prune_due_ms != 0; /* it may be opened and parked many times in between */
    db->prune.due_ms = item->prune_due_ms;
    if (item->prune_failed)
        db->prune.failed = *item->error;
    daemon_proof_give(item, db);
    trouble = status_trouble(db);
    item->member->seen.code = trouble != NULL ? trouble->code : E_OK;
    db->start_count += item->replicated; /* a first start gives up on what a later one tries again */
    if (item->ship_wanted)
        db_trigger_ask(db);
    item->ship_wanted = false;
    daemon_wait_begin(item, db);
}

void daemon_facts_show(struct daemon_item *item)
{
    const struct db *db = &item->member->db;

    if (db->timeline != 0)
        item->facts.timeline = db->timeline;
    item->facts.txid = db->shipped_txid;
    item->facts.time_ms = db->shipped_time_ms;
    item->facts.snapshot_txid = db->snapshot_txid;
    item->facts.snapshot_ms = db->snapshot_ms;
    item->facts.resync_count = db->resync_count;
    item->facts.put_count = db->shipper.put_count;
    item->facts.put_bytes = db->shipper.put_bytes;
    item->facts.raw_bytes = db->shipper.raw_bytes;
    item->facts.failure_count = item->member->seen.failure_count;
    item->facts.gap_count = item->member->seen.gap_count;
    item->facts.failed_ms = item->member->seen.failed_ms;
    item->replicated = item->replicated || db->timeline != 0;
    daemon_proof_take(item, db);
}

void daemon_facts_take(struct daemon_item *item)
{
    const struct daemon_member *m = item->member;

    if (m->db.resync_count > m->opened_resyncs)
        item->unsure += item->unsure < UNSURE_MAX;
    else if (m->db.shipped_txid > m->opened_txid)
        item->unsure = 0;
    if (m->db.prune.begun)
        item->prune_due_ms = m->db.prune.due_ms;
    item->for_prune = false;
    daemon_facts_show(item);
}
