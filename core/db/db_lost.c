/* SPDX-License-Identifier: Apache-2.0 */
#include "db_lost.h"

#include "catalog.h"

struct find {
    uint64_t checksum, below, txid;
};

static bool on_commit(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    struct find *f = ctx;

    (void)segment;
    if (commit->txid < f->below && commit->checksum == f->checksum)
        f->txid = commit->txid;
    return commit->txid + 1 < f->below;
}

struct rc db_lost_find(struct work *w, struct store *s, uint32_t timeline, uint64_t tip_txid, uint64_t checksum,
    uint64_t *txid, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *catalog = NULL;
    struct find find = {.checksum = checksum, .below = tip_txid};
    uint64_t from = tip_txid > DB_LOST_LOOK_BACK ? tip_txid - DB_LOST_LOOK_BACK : 1;

    TRY(catalog_load(&catalog, w, s, err));
    TRY(catalog_commits(catalog, w, s, timeline, from, on_commit, &find, err));
    *txid = find.txid;
    return RC_OK;
}
