/* SPDX-License-Identifier: Apache-2.0 */
#include "follow_intern.h"

#include "alloc.h"
#include "catalog_read.h"

#include <inttypes.h>
#include <stdio.h>

/* Commits become visible together until so many pages have come together. */
enum { BATCH_PAGES = 4096 };

/* --- where the history went --------------------------------------------------------------------------------------- */

static struct rc left_behind(
    const struct follow *f, const struct catalog_timeline *newest, uint64_t last_txid, struct err *err)
{
    const struct pos *pos = follow_pos(f);

    return rc_raise(err, E_FENCED,
        "the history has left the state of %s: the copy is at txid %" PRIu64 " of timeline %" PRIu32
        ", timeline %" PRIu32 "%s%.100s goes on from %s%" PRIu64 ". To follow it: stop the readers, and weir restore "
        "--follow --force; what the copy has stays restorable by --timeline %" PRIu32,
        f->opts->output, pos->txid, pos->timeline, newest->number, newest->origin.host[0] != 0 ? ", begun on " : "",
        newest->origin.host, last_txid > 0 ? "txid " : "another beginning, txid ", last_txid, pos->timeline);
}

/* The leg of the path to the newest timeline that the copy is on; E_FENCED: it is on none. */
static struct rc find_leg(const struct follow *f, const struct catalog *c, const struct catalog_leg *legs, size_t count,
    size_t *out, struct err *err)
{
    const struct pos *pos = follow_pos(f);
    uint64_t left_at = 0;

    for (size_t i = 0; i < count; i++) {
        if (legs[i].timeline->number == pos->timeline) {
            left_at = legs[i].last_txid;
            *out = i;
            if (left_at >= pos->txid)
                return RC_OK;
        }
    }
    return left_behind(f, catalog_newest(c), left_at, err);
}

/* The last timeline that begins at the copy's very state: the next commit is there, if anywhere. */
static struct rc move_on(struct follow *f, const struct catalog_leg *legs, size_t count, size_t at, struct err *err)
{
    const struct pos *pos = follow_pos(f);

    while (at + 1 < count && legs[at].last_txid == pos->txid) {
        const struct layout_origin *next = &legs[at + 1].timeline->origin;

        if (next->fork_checksum != pos->checksum)
            return rc_raise(err, E_CORRUPT,
                "timeline %" PRIu32 " begins behind txid %" PRIu64 " with state checksum %016" PRIx64
                ", the copy has %016" PRIx64,
                next->timeline, pos->txid, next->fork_checksum, pos->checksum);
        at++;
    }
    return legs[at].timeline->number == pos->timeline ? RC_OK : follow_switch(f, legs[at].timeline->number, err);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static struct rc flush(struct follow *f, bool *open, struct err *err)
{
    if (!*open)
        return RC_OK;
    *open = false;
    return follow_commit(f, FOLLOW_APPLIED, NULL, err);
}

/* *usable false: the log does not lead on from here by applying it. */
static bool leads_on(const struct follow *f, const struct seg_info *info, bool open)
{
    const struct pos *at = open ? follow_copy_next(f->copy) : follow_pos(f);

    if (info->base_txid != at->txid)
        return false;
    for (size_t i = 0; i < info->commit_count; i++)
        if ((info->commits[i].flags & SEG_SNAPSHOT) != 0)
            return false;
    return true;
}

/* Of segments that the copy has already nothing is needed. */
static bool is_behind(const struct follow *f, const struct seg_info *info, bool open)
{
    const struct pos *at = open ? follow_copy_next(f->copy) : follow_pos(f);

    return info->commits[info->commit_count - 1].txid <= at->txid;
}

static struct rc replay(
    struct follow *f, struct catalog_read *r, const struct catalog_step *steps, bool *open, struct err *err)
{
    for (;;) {
        CLEANUP(catalog_object_fini) struct catalog_object o = {0};
        bool end = false;
        size_t at = 0;

        TRY(catalog_read_next(r, &o, &at, &end, err));
        if (end || o.sealed)
            return flush(f, open, err);
        if (is_behind(f, seg_dec_info(o.segment), *open))
            continue;
        if (!leads_on(f, seg_dec_info(o.segment), *open)) {
            TRY(flush(f, open, err));
            follow_lost_way(f, "the log does not lead on from the copy's state (pruned, or in a snapshot only)");
            return RC_OK;
        }
        if (!*open)
            TRY(follow_copy_begin(f->copy, err));
        *open = true;
        TRY(follow_apply(f, o.segment, steps[at].last_txid, err));
        if (follow_copy_pending(f->copy) >= BATCH_PAGES) {
            TRY(flush(f, open, err));
            TRY(follow_tend(f, err));
        }
        if (f->opts->wait(f->opts->ctx, 0))
            return flush(f, open, err);
    }
}

static struct rc read_log(struct follow *f, const struct catalog_step *steps, size_t count, struct err *err)
{
    struct catalog_read *r = catalog_read_new(f->work, f->store, steps, count);
    bool open = false;
    struct rc rc = replay(f, r, steps, &open, err);
    struct err other;

    catalog_read_free(r);
    if (rc_failed(rc) && rc_failed(follow_copy_abort(f->copy, &other)))
        *err = other;
    return rc_failed(rc) ? rc_of(err) : rc;
}

static struct rc catch_up(struct follow *f, const struct catalog *c, struct err *err)
{
    CLEANUP(mem_freep) struct catalog_step *steps = NULL;
    const uint64_t from = follow_pos(f)->txid;
    size_t count = 0, begin = 0;

    TRY(catalog_route(c, catalog_newest(c)->number, &steps, &count, err));
    while (begin < count
           && (steps[begin].last_txid <= from || (begin + 1 < count && steps[begin + 1].first_txid <= from + 1)))
        begin++;
    if (begin == count)
        return RC_OK;
    return read_log(f, steps + begin, count - begin, err);
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static struct rc check_history(const struct follow *f, const struct catalog *c, struct err *err)
{
    if (catalog_newest(c) == NULL)
        return rc_raise(err, E_IO, "the replica at %s has no timeline any more", f->store->url);
    if (!nonce_equal(&c->identity.database, &follow_copy_content(f->copy)->database))
        return rc_raise(err, E_CONFIG, "%s holds the history of another database than %s is a copy of", f->store->url,
            f->opts->output);
    return RC_OK;
}

struct rc follow_list_all(struct follow *f, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = NULL;
    CLEANUP(mem_freep) struct catalog_leg *legs = NULL;
    size_t count = 0, at = 0;
    struct rc rc = catalog_load(&c, f->work, f->store, err);

    if (rc.code == E_NOTFOUND && f->met)
        return rc_raise(err, E_IO, "there is nothing at %s any more: is its disk mounted?", f->store->url);
    TRY(rc);
    f->met = true;
    TRY(check_history(f, c, err));
    TRY(catalog_path(c, catalog_newest(c)->number, &legs, &count, err));
    TRY(find_leg(f, c, legs, count, &at, err));
    if (!f->must_rebase)
        TRY(catch_up(f, c, err));
    if (f->must_rebase)
        TRY(follow_rebase_run(f, err));
    TRY(find_leg(f, c, legs, count, &at, err));
    return move_on(f, legs, count, at, err);
}
