/* SPDX-License-Identifier: Apache-2.0 */
/* When databases of folders are opened for retention's sake, however often they are opened and parked in between. */
#include "daemon_intern.h"

#include "digest.h"

#include <string.h>

enum { FIRST_MS = 10 * 60 * 1000 }; /* as for all others (db_prune.c) */

/* Thousands that begin together are spread over the interval: each opens its database, and asks for a listing. */
void daemon_prune_plan(struct daemon_item *item)
{
    const struct db_settings *set = &item->folder->settings.set;
    uint64_t interval = set->retention_interval_ms, first = interval < FIRST_MS ? interval : FIRST_MS;
    uint64_t now = clock_mono_ms(&clock_real);
    struct err ignored;

    if (interval == 0 || rc_failed(retention_check(&set->retention, &ignored)))
        item->prune_due_ms = 0;
    else if (item->prune_due_ms == 0 || item->prune_due_ms > now + interval)
        item->prune_due_ms = now + first + digest_bytes(item->path, strlen(item->path)) % (interval - first + 1);
}

bool daemon_prune_awaited(const struct daemon_item *item)
{
    const struct db_prune *p = &item->member->db.prune;

    return item->for_prune && p->begun && p->due_ms <= item->prune_due_ms;
}
