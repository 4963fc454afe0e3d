/* SPDX-License-Identifier: Apache-2.0 */
#include "scrub_tell.h"

#include "slog.h"

#include <inttypes.h>
#include <stdio.h>

enum { TOLD_MAX = 10 /* pages with a line in the log each, at a time */ };

const struct local_scrub_page *scrub_tell_first(const struct local_scrub *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        if (n->pages[i].fate == LOCAL_SCRUB_DAMAGED)
            return &n->pages[i];
    return NULL;
}

void scrub_tell_alert(const struct local_scrub *n, const char *path, uint64_t txid, struct err *alert)
{
    const struct local_scrub_page *p = scrub_tell_first(n);
    uint64_t damaged = local_scrub_damaged(n);
    char more[64] = "";

    alert->code = E_OK;
    if (damaged == 0)
        return;
    if (damaged > 1)
        (void)snprintf(more, sizeof more, " (and %" PRIu64 " more)", damaged - 1);
    rc_ignore(
        rc_raise(alert, E_CORRUPT,
            "page %" PRIu32 "%s of %s %s at txid %" PRIu64 ", although no commit changed it: the disk has damaged "
            "it, or something wrote to the file behind SQLite's back; `weir restore` over the file mends it "
            "(docs/scrub.md)",
            p != NULL ? p->pgno : 0, more, path,
            p != NULL && p->have == 0 ? "cannot be read, and was there" : "is not what was committed",
            p != NULL ? p->txid : txid),
        "it is told by the status");
}

static void tell_page(const struct local_scrub_page *p, const char *path, uint64_t txid)
{
    if (p->fate == LOCAL_SCRUB_DAMAGED)
        LOG_ERROR(
            "scrub: a page of the database is damaged: it is not what was committed, although no commit changed it; "
            "`weir restore` over the file mends it (docs/scrub.md)",
            F_STR("db", path), F_U64("page", p->pgno), F_U64("txid", p->txid),
            F_STR("found", p->have == 0 ? "it cannot be read" : "other content"));
    else if (p->fate == LOCAL_SCRUB_MENDED)
        LOG_INFO("scrub: a damaged page is right again", F_STR("db", path), F_U64("page", p->pgno));
    else
        LOG_WARN("scrub: a damaged page was written by a commit: what was damaged in it may be in the history since; "
                 "compare with a restore of the state before",
            F_STR("db", path), F_U64("page", p->pgno), F_U64("damaged_at_txid", p->txid), F_U64("txid", txid));
}

void scrub_tell_pages(struct local_scrub *n, const char *path, uint64_t txid)
{
    uint32_t kept = 0, lines = 0, ends = 0;

    for (uint32_t i = 0; i < n->count; i++) {
        struct local_scrub_page *p = &n->pages[i];
        bool damaged = p->fate == LOCAL_SCRUB_DAMAGED;

        if ((damaged ? lines++ : ends++) < TOLD_MAX && (!p->told || !damaged))
            tell_page(p, path, txid);
        p->told = true;
        if (damaged)
            n->pages[kept++] = *p;
    }
    n->count = kept;
}

void scrub_tell_many(const char *path, uint64_t damaged)
{
    if (damaged > TOLD_MAX)
        LOG_ERROR("scrub: pages of the database are damaged", F_STR("db", path), F_U64("damaged", damaged));
}
