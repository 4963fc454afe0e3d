/* SPDX-License-Identifier: Apache-2.0 */
#include "lineage.h"

#include "strx.h"

#include <stdio.h>

/* "txid 17 of 2026-11-21T02:01:21.123Z" */
static const char *state_text(char out[96], uint64_t txid, int64_t time_ms)
{
    char when[STRX_TIME_SIZE];

    if (txid == 0)
        (void)snprintf(out, 96, "no commit");
    else
        (void)snprintf(out, 96, "txid %llu of %s", (unsigned long long)txid, strx_format_time(time_ms, when));
    return out;
}

static void take_over(struct lineage_decision *out, uint32_t parent, uint64_t fork, uint64_t checksum)
{
    out->action = LINEAGE_TAKE_OVER;
    out->parent = parent;
    out->fork = fork;
    out->fork_checksum = checksum;
}

/* A copy that is followed notes its position behind each commit, so that a crash leaves the file ahead of it: then the
 * file itself says where it is. */
static bool decide_followed(const struct lineage_facts *f, struct lineage_decision *out)
{
    char mine[96];

    if (!f->local->followed || f->fork || (f->newest == f->local->pos.timeline && f->tip_txid == f->local->pos.txid))
        return false;
    if (!f->file_hashed) {
        out->action = LINEAGE_HASH_FILE;
        return true;
    }
    if (f->file_txid == 0 || f->file_txid != f->tip_txid || f->file_checksum != f->tip_checksum)
        return false;
    take_over(out, f->file_timeline, f->file_txid, f->file_checksum);
    (void)snprintf(out->note, sizeof out->note,
        "the copy is ahead of its local state, as a crash leaves it: the file is exactly %s of timeline %u",
        state_text(mine, f->file_txid, f->file_time_ms), f->file_timeline);
    return true;
}

/* The local position is known and belongs to this history, but others went on from it, or past it. */
static struct rc decide_stale(const struct lineage_facts *f, struct lineage_decision *out, struct err *err)
{
    char mine[96], theirs[96];
    const struct pos *pos = &f->local->pos;
    /* A timeline that was begun there and never got a commit does not change what the newest state is. */
    bool newest_state = f->local_on_path && f->tip_txid == pos->txid && f->tip_checksum == pos->checksum;

    if (decide_followed(f, out))
        return RC_OK;
    if (!f->local_on_path && f->fork)
        return rc_raise(err, E_CONFIG,
            "%s: the local state (%s on timeline %u) is not a state of the history at %s, so it cannot fork there; "
            "restore from "
            "the replica, or start with --adopt to continue the history with this file as it is",
            f->path, state_text(mine, pos->txid, pos->time_ms), pos->timeline, f->url);
    if (f->local->restored && !f->local->chosen && !f->fork && !newest_state)
        return rc_raise(err, E_FENCED,
            "%s was restored as the newest state (%s on timeline %u), but another writer has gone on since: the "
            "replica at %s is at %s on timeline %u, written from %s. Stop that writer and restore again; or leave its "
            "commits on their "
            "timeline: --fork",
            f->path, state_text(mine, pos->txid, pos->time_ms), pos->timeline, f->url,
            state_text(theirs, f->tip_txid, f->tip_time_ms), f->newest,
            f->newest_host[0] != 0 ? f->newest_host : "elsewhere");
    if (f->fork || f->local->restored) {
        take_over(out, pos->timeline, pos->txid, pos->checksum);
        (void)snprintf(out->note, sizeof out->note, "a new timeline begins at %s of timeline %u",
            state_text(mine, pos->txid, pos->time_ms), pos->timeline);
        return RC_OK;
    }
    return rc_raise(err, E_FENCED,
        "%s: another writer owns the history at %s: this file is at %s on timeline %u, the replica at %s on timeline "
        "%u, written "
        "from %s. To take over with the replica's state: weir restore, then start again. To go on from this file and "
        "leave the "
        "other's commits on their timeline: --fork",
        f->path, f->url, state_text(mine, pos->txid, pos->time_ms), pos->timeline,
        state_text(theirs, f->tip_txid, f->tip_time_ms), f->newest,
        f->newest_host[0] != 0 ? f->newest_host : "elsewhere");
}

/* The replica has less than it acknowledged. */
static void decide_replica_behind(const struct lineage_facts *f, struct lineage_decision *out)
{
    char mine[96], theirs[96];

    out->action = LINEAGE_ADOPT;
    out->parent = f->newest;
    out->fork = f->tip_txid;
    out->fork_checksum = f->tip_checksum;
    if (f->spool_damaged) {
        (void)snprintf(out->note, sizeof out->note,
            "the spool is damaged, so the commits between the replica's end (%s) and this database's position (%s) "
            "cannot "
            "be told apart any more; exact history begins anew with a snapshot on a new timeline",
            state_text(theirs, f->tip_txid, f->tip_time_ms),
            state_text(mine, f->local->pos.txid, f->local->pos.time_ms));
        return;
    }
    (void)snprintf(out->note, sizeof out->note,
        "the replica lost commits that it had acknowledged: it ends at %s, this database is at %s; exact history "
        "begins anew "
        "with a snapshot on a new timeline",
        state_text(theirs, f->tip_txid, f->tip_time_ms), state_text(mine, f->local->pos.txid, f->local->pos.time_ms));
}

static struct rc decide_known(const struct lineage_facts *f, struct lineage_decision *out, struct err *err)
{
    const struct pos *pos = &f->local->pos;
    bool own_claim = f->origin_is_ours && f->newest_parent == pos->timeline && f->newest_fork == pos->txid
                     && f->tip_txid == pos->txid;

    if (f->newest != pos->timeline && own_claim && !f->newest_sealed) {
        out->action = LINEAGE_CONTINUE; /* we were stopped between the claim and its record */
        return RC_OK;
    }
    if (f->newest != pos->timeline || f->newest_sealed || f->local->restored || f->foreign_after)
        return decide_stale(f, out, err);
    if (f->tip_txid < pos->txid) {
        decide_replica_behind(f, out);
        return RC_OK;
    }
    out->action = f->tip_txid == pos->txid ? LINEAGE_CONTINUE : LINEAGE_RETRACE;
    return RC_OK;
}

/* The history is ours, but the index is lost or was never made (we were stopped in a first snapshot). */
static bool only_index_missing(const struct lineage_facts *f)
{
    return f->found != LOCAL_STATE_NONE && nonce_equal(&f->local->database, &f->database) && f->newest_is_ours
           && !f->newest_sealed && !f->foreign_after && !f->local->restored;
}

/* A timeline without a commit: its writer is making the first snapshot, or died in it. */
static struct rc decide_empty(const struct lineage_facts *f, struct lineage_decision *out, struct err *err)
{
    if (!f->fork && !f->adopt && !f->replace_unbegun)
        return rc_raise(err, E_FENCED,
            "%s: another writer%s%s has begun a history at %s and has not written its first commit yet. If that writer "
            "is gone for "
            "good, start with --adopt",
            f->path, f->newest_host[0] != 0 ? " on " : "", f->newest_host, f->url);
    out->action = LINEAGE_ADOPT;
    out->parent = f->newest;
    if (f->replace_unbegun)
        (void)snprintf(out->note, sizeof out->note,
            "a writer%s%s began a history there and never got to its first commit: it is ended",
            f->newest_host[0] != 0 ? " on " : "", f->newest_host);
    return RC_OK;
}

static struct rc decide_by_file(const struct lineage_facts *f, struct lineage_decision *out, struct err *err)
{
    char mine[96], theirs[96];

    if (!f->file_hashed) {
        out->action = LINEAGE_HASH_FILE;
        return RC_OK;
    }
    if (f->file_txid != 0 && (f->file_txid == f->tip_txid || f->fork)) {
        take_over(out, f->file_timeline, f->file_txid, f->file_checksum);
        (void)snprintf(out->note, sizeof out->note, "no local state, but the file is exactly %s of timeline %u",
            state_text(mine, f->file_txid, f->file_time_ms), f->file_timeline);
        return RC_OK;
    }
    if (f->adopt) {
        out->action = LINEAGE_ADOPT;
        out->parent = f->newest;
        out->fork = f->tip_txid;
        out->fork_checksum = f->tip_checksum;
        (void)snprintf(out->note, sizeof out->note, "the file is adopted as the state after %s",
            state_text(theirs, f->tip_txid, f->tip_time_ms));
        return RC_OK;
    }
    if (f->file_txid != 0)
        return rc_raise(err, E_FENCED,
            "%s: the file is %s of timeline %u, but the history at %s goes on to %s: an old copy. To get the newer "
            "state: weir "
            "restore. To go on from this old one on a timeline of its own: --fork",
            f->path, state_text(mine, f->file_txid, f->file_time_ms), f->file_timeline, f->url,
            state_text(theirs, f->tip_txid, f->tip_time_ms));
    if (f->replace_unbegun)
        return rc_raise(err, E_FENCED,
            "%s: there was nothing at %s when this process began; another writer%s%s has begun a history there since "
            "(it is at %s now), and this database is no state of it. To get the other's state: weir restore. To keep "
            "both: replicate this one to another URL",
            f->path, f->url, f->newest_host[0] != 0 ? " on " : "", f->newest_host,
            state_text(theirs, f->tip_txid, f->tip_time_ms));
    return rc_raise(err, E_CONFIG,
        "%s: the file (state checksum %016llx) is not a state of the history at %s (which ends at %s, checksum "
        "%016llx), and "
        "there is no local state that tells where it comes from. To get the replica's state: weir restore. To make "
        "this file the "
        "next state of that history: --adopt. To keep both: replicate to another URL",
        f->path, (unsigned long long)f->file_checksum, f->url, state_text(theirs, f->tip_txid, f->tip_time_ms),
        (unsigned long long)f->tip_checksum);
}

static struct rc refuse_other_history(const struct lineage_facts *f, struct err *err)
{
    char mine[NONCE_TEXT_SIZE], theirs[NONCE_TEXT_SIZE];

    return rc_raise(err, E_CONFIG,
        "%s belongs to history %s, but %s holds history %s of another database. Name the right URL, or remove the "
        "local state "
        "and start with --adopt to continue that other history with this file",
        f->path, nonce_format(&f->local->database, mine), f->url, nonce_format(&f->database, theirs));
}

/* An unmounted disk and a mistyped URL look like this, and so does a replica that somebody removed. */
static struct rc refuse_empty(const struct lineage_facts *f, struct err *err)
{
    char mine[96];

    return rc_raise(err, E_CONFIG,
        "%s was replicated before (%s), but there is nothing at %s: is its disk mounted, is the URL right? To begin a "
        "new history "
        "there: --adopt",
        f->path, state_text(mine, f->local->pos.txid, f->local->pos.time_ms), f->url);
}

struct rc lineage_decide(const struct lineage_facts *f, struct lineage_decision *out, struct err *err)
{
    bool known = f->found == LOCAL_STATE_GOOD && f->local->pos.page_count > 0;
    bool same_history = f->found != LOCAL_STATE_NONE && nonce_equal(&f->local->database, &f->database);

    *out = (struct lineage_decision){0};
    if (!f->has_history && known && !f->adopt)
        return refuse_empty(f, err);
    if (!f->has_history || f->newest == 0) {
        out->action = LINEAGE_NEW_HISTORY;
        return RC_OK;
    }
    if (known && !same_history && !f->adopt)
        return refuse_other_history(f, err);
    if (known && same_history && !f->adopt)
        return decide_known(f, out, err);
    if (only_index_missing(f)) {
        out->action = f->tip_txid == 0 ? LINEAGE_NEW_HISTORY : LINEAGE_RESNAPSHOT;
        if (f->tip_txid != 0)
            (void)snprintf(
                out->note, sizeof out->note, "the local state cannot be trusted: the history goes on with a snapshot");
        return RC_OK;
    }
    if (f->tip_txid == 0 && !f->newest_sealed)
        return decide_empty(f, out, err);
    return decide_by_file(f, out, err);
}
