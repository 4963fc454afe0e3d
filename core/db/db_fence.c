/* SPDX-License-Identifier: Apache-2.0 */
#include "db_fence.h"

#include "db_sync.h"
#include "slog.h"
#include "strx.h"

#include <stdlib.h>

enum { LOOK_EVERY_MS = 30000 };

/* The tests cannot wait for so long. */
static uint64_t look_every_ms(void)
{
    const char *text = getenv("WEIR_TEST_FENCE_LOOK");
    uint64_t ms;
    struct err err;

    return text != NULL && !rc_failed(strx_duration_ms(text, &ms, &err)) ? ms : LOOK_EVERY_MS;
}

static void run_look(struct work_item *item)
{
    struct db *db = item->owner;

    db->fence_rc = fence_check_newer(db->work, db->store, db->timeline, &db->fence_err);
}

static void on_looked(struct work_item *item)
{
    struct db *db = item->owner;

    db->in_fence = false;
    if (db->fence_rc.code == E_OK) {
        db->fence_failed.code = E_OK;
    } else if (db->fence_rc.code != E_FENCED && db->fence_rc.code != E_CANCELED) {
        if (db->fence_failed.code == E_OK)
            LOG_WARN("cannot look for other writers, will try again", F_STR("db", db->settings->path),
                F_ERR(&db->fence_err));
        db->fence_failed = db->fence_err;
        db->fence_txid = 0; /* the next look is due even if nothing is shipped until then */
    }
    db_news(db);
    if (db->fence_rc.code == E_FENCED)
        shipper_fence(&db->shipper, &db->fence_err);
    else if (db->state == DB_CLOSING || db->abandon)
        db_close_live(db);
    else if (db->state == DB_STOPPING)
        db_sync_kick(db);
}

void db_fence_look_if_due(struct db *db)
{
    uint64_t now = clock_mono_ms(db->clock);
    bool weak = fence_weakness(db->fence) != NULL;

    if (!weak || db->in_fence || db->state != DB_RUNNING || db->fence_txid == db->shipped_txid
        || (db->fence_at_ms != 0 && now < db->fence_at_ms + look_every_ms()))
        return;
    db->fence_at_ms = now;
    db->fence_txid = db->shipped_txid;
    db->in_fence = true;
    db->fence_item.owner = db;
    db->fence_item.run = run_look;
    db->fence_item.done = on_looked;
    work_job(db->work, &db->fence_item);
}
