/* SPDX-License-Identifier: Apache-2.0 */
#include "follow_intern.h"

#include "clock.h"

#include <inttypes.h>

/* States before the remembered one that the file may be, if a disk forgot what it had promised to keep. */
enum { LOOK_BACK = 1000 };

/* The file is ahead of its position when the process or the machine died between the two; its checksum names it. */
struct search {
    uint64_t checksum;
    uint32_t page_count;
    struct pos found; /* txid 0: nothing yet */
};

static bool on_commit(void *ctx, const struct seg_info *segment, const struct seg_commit *commit)
{
    struct search *s = ctx;

    if (commit->checksum != s->checksum || commit->page_count != s->page_count)
        return true;
    s->found = (struct pos){
        .timeline = segment->timeline,
        .txid = commit->txid,
        .time_ms = commit->time_ms,
        .checksum = commit->checksum,
        .page_size = segment->page_size,
        .page_count = commit->page_count,
    };
    return false;
}

static struct rc check_history(const struct follow *f, const struct catalog *c, struct err *err)
{
    char mine[NONCE_TEXT_SIZE], theirs[NONCE_TEXT_SIZE];
    const struct nonce *database = &follow_copy_content(f->copy)->database;

    if (nonce_equal(database, &c->identity.database))
        return RC_OK;
    return rc_raise(err, E_CONFIG, "%s is a copy of history %s, but %s holds history %s of another database",
        f->opts->output, nonce_format(database, mine), f->store->url, nonce_format(&c->identity.database, theirs));
}

static struct rc search(struct follow *f, struct search *s, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    const struct pos *pos = follow_pos(f);
    const bool known = pos->page_count > 0;
    const uint64_t from = known && pos->txid > LOOK_BACK ? pos->txid - LOOK_BACK : 1;
    uint32_t timeline;

    TRY(catalog_load(&c, f->work, f->store, err));
    TRY(check_history(f, c, err));
    if (catalog_newest(c) == NULL)
        return RC_OK;
    timeline = catalog_newest(c)->number;
    TRY(catalog_commits(c, f->work, f->store, timeline, from, on_commit, s, err));
    if (s->found.txid == 0 && known && pos->timeline != timeline && catalog_timeline(c, pos->timeline) != NULL)
        TRY(catalog_commits(c, f->work, f->store, pos->timeline, from, on_commit, s, err));
    return RC_OK;
}

struct rc follow_find_state(struct follow *f, struct err *err)
{
    struct pos pos = *follow_pos(f);
    struct search s = {0};

    TRY(follow_copy_hash(f->copy, err));
    s.checksum = follow_copy_checksum(f->copy);
    s.page_count = follow_copy_page_count(f->copy);
    f->looked_ms = f->presence_ms = clock_mono_ms(f->opts->clock);
    f->looked_wall_ms = clock_wall_ms(f->opts->clock);
    if (pos.page_count == s.page_count && pos.checksum == s.checksum && pos.txid > 0)
        return follow_copy_settle(f->copy, &pos, err);
    TRY(search(f, &s, err));
    if (s.found.txid == 0)
        return rc_raise(err, E_CORRUPT,
            "%s (state checksum %016" PRIx64
            ") is no state of the history at %s: somebody else has written to it since "
            "it was at txid %" PRIu64
            ". Readers must open it read-only (mode=ro, or PRAGMA query_only); to get the replica's state again, add "
            "--force, which replaces the file",
            f->opts->output, s.checksum, f->store->url, pos.txid);
    return follow_copy_settle(f->copy, &s.found, err);
}
