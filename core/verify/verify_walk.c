/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_walk.h"

#include "alloc.h"
#include "sorted.h"
#include "verify_origin.h"
#include "verify_pruned.h"
#include "verify_report.h"

#include <inttypes.h>
#include <string.h>

void verify_walk_init(struct verify_walk *w, struct verify_job *j, struct verify_work *t)
{
    *w =
        (struct verify_walk){.job = j, .timeline = t, .kind = LAYOUT_LOG, .why = mem_strdup("no snapshot leads there")};
}

void verify_walk_fini(struct verify_walk *w)
{
    mem_free(w->why);
    w->why = NULL;
}

static void lose(struct verify_walk *w, char *why)
{
    mem_free(w->lost ? why : w->why);
    w->why = w->lost ? w->why : why;
    w->reached = false;
}

static struct rc begin(struct verify_walk *w, const struct seg_info *first, struct err *err)
{
    struct verify_begin b = {0};

    if (w->begun)
        return RC_OK;
    w->begun = true;
    TRY(verify_origin_begin(w->job, w->timeline, first, &b, err));
    w->begin = w->at = b.txid;
    w->checksum = b.checksum;
    w->known = !b.anywhere;
    w->anywhere = b.anywhere;
    w->reached = b.reached;
    w->lost = b.lost;
    if (b.why != NULL) {
        mem_free(w->why);
        w->why = b.why;
    }
    return RC_OK;
}

/* --- parts ---------------------------------------------------------------------------------------------------------
 */

/* The first part that belongs to a segment at or behind `txid`. */
static size_t part_at(const struct verify_work *t, uint64_t txid)
{
    return SORTED_AT(t->parts, t->part_count, first_txid, txid);
}

/* Parts of segments [first, last], which cannot be read. */
static void claim_parts(struct verify_work *t, uint64_t first, uint64_t last)
{
    for (size_t i = part_at(t, first); i < t->part_count && t->parts[i].first_txid <= last; i++)
        t->parts[i].fate = VERIFY_PART_MAYBE;
}

void verify_walk_claim_part(struct verify_work *t, const char *key)
{
    struct layout_key k = layout_parse(key);

    for (size_t i = part_at(t, k.txid); i < t->part_count && t->parts[i].first_txid == k.txid; i++)
        if (t->parts[i].writer == k.writer && t->parts[i].number == k.number)
            t->parts[i].fate = VERIFY_PART_LISTED;
}

/* --- snapshots -----------------------------------------------------------------------------------------------------
 */

static size_t snap_at(const struct verify_work *t, uint64_t txid)
{
    return SORTED_AT(t->snaps, t->snap_count, txid, txid);
}

/* Does a restore get the state from it? */
static bool gives(const struct verify_walk *w, const struct verify_snap_key *s)
{
    return s->usable && (s->level == 0 || verify_report_reaches(w->job, w->timeline, s->base_txid));
}

static bool has_snapshot(const struct verify_walk *w, uint64_t txid)
{
    const struct verify_work *t = w->timeline;

    for (size_t i = snap_at(t, txid); i < t->snap_count && t->snaps[i].txid == txid; i++)
        if (gives(w, &t->snaps[i]))
            return true;
    return false;
}

/* It is of another state than the log has. */
static void refute(struct verify_walk *w, struct verify_snap_key *s, uint64_t txid, uint64_t says, uint64_t checksum,
    const struct nonce *writer)
{
    struct verify_work *t = w->timeline;
    layout_text key;

    s->usable = false;
    verify_intern_snap_text(t, s, key);
    if (nonce_equal(&s->writer, writer))
        verify_report_find(w->job, t, VERIFY_DAMAGED, verify_intern_snap_kind(s), key,
            "its state checksum at txid %" PRIu64 " is %016" PRIx64 " with %" PRIu32 " pages, the log says %016" PRIx64,
            txid, says, s->page_count, checksum);
    else
        verify_report_find(w->job, t, VERIFY_UNEXPECTED, verify_intern_snap_kind(s), key,
            "of another state than the log has at txid %" PRIu64 ": left by a run that never got that far", txid);
}

/* Merges that build on this txid. */
static void compare_bases(struct verify_walk *w, uint64_t txid, uint64_t checksum, const struct nonce *writer)
{
    struct verify_work *t = w->timeline;
    size_t at = SORTED_AT(t->bases, t->base_count, txid, txid);

    for (; at < t->base_count && t->bases[at].txid == txid; at++) {
        struct verify_snap_key *s = &t->snaps[t->bases[at].snap];

        if (s->usable && s->base_checksum != checksum)
            refute(w, s, txid, s->base_checksum, checksum, writer);
    }
}

/* `pages` 0: not known. */
static void compare(struct verify_walk *w, uint64_t txid, uint64_t checksum, uint32_t pages, const struct nonce *writer)
{
    struct verify_work *t = w->timeline;

    for (size_t i = snap_at(t, txid); i < t->snap_count && t->snaps[i].txid == txid; i++) {
        struct verify_snap_key *s = &t->snaps[i];

        if (!s->usable || s->compared)
            continue;
        s->compared = true;
        if (s->checksum == checksum && (pages == 0 || s->page_count == pages))
            verify_report_good(w->job, t, verify_intern_snap_kind(s));
        else
            refute(w, s, txid, s->checksum, checksum, writer);
    }
    compare_bases(w, txid, checksum, writer);
}

/* --- what can be restored ------------------------------------------------------------------------------------------
 */

/* Commits first to last exist; those up to `upto` are reached by replay, of the rest only snapshots are. */
static struct rc cover(struct verify_walk *w, uint64_t first, uint64_t last, uint64_t upto, struct err *err)
{
    const struct verify_work *t = w->timeline;
    const uint64_t before = w->begin != 0 && verify_report_reaches(w->job, t, w->begin) ? w->begin : 0;
    uint64_t next = first;

    if (w->lost)
        return verify_report_loss(t->out, first, last, before, w->why, err);
    if (upto >= first) {
        TRY(verify_report_range(t->out, first, upto, err));
        next = upto + 1;
    }
    for (size_t i = snap_at(t, next); i < t->snap_count && (last == 0 || t->snaps[i].txid <= last); i++) {
        uint64_t txid = t->snaps[i].txid;

        if (!gives(w, &t->snaps[i]) || txid < next)
            continue;
        if (txid > next)
            TRY(verify_report_loss(t->out, next, txid - 1, before, w->why, err));
        TRY(verify_report_range(t->out, txid, txid, err));
        next = txid + 1;
    }
    return last == 0 || next <= last ? verify_report_loss(t->out, next, last, before, w->why, err) : RC_OK;
}

/* Of pruned commits those are promised that a snapshot has, and it is no loss that the others are not there. */
static struct rc cover_pruned(struct verify_walk *w, uint64_t first, uint64_t last, struct err *err)
{
    const struct verify_work *t = w->timeline;

    claim_parts(w->timeline, first, last);
    for (size_t i = snap_at(t, first); i < t->snap_count && t->snaps[i].txid <= last && !w->lost; i++) {
        if (!gives(w, &t->snaps[i]) || t->snaps[i].txid < first)
            continue;
        TRY(verify_report_range(t->out, t->snaps[i].txid, t->snaps[i].txid, err));
        first = t->snaps[i].txid + 1;
    }
    w->reached = false;
    w->known = false;
    w->page_size = 0;
    return RC_OK;
}

/* No object has the commits from here to `next`. */
static struct rc hole(struct verify_walk *w, uint64_t next, struct err *err)
{
    layout_text key;

    if (w->anywhere || next <= w->at + 1)
        return RC_OK;
    if (verify_pruned_has(w->timeline, w->at + 1, next - 1))
        return cover_pruned(w, w->at + 1, next - 1, err);
    layout_log(key, w->timeline->number, w->at + 1);
    if (next == w->at + 2)
        verify_report_find(
            w->job, w->timeline, VERIFY_MISSING, LAYOUT_LOG, key, "no segment has txid %" PRIu64, w->at + 1);
    else
        verify_report_find(w->job, w->timeline, VERIFY_MISSING, LAYOUT_LOG, key,
            "no segment has txid %" PRIu64 " to %" PRIu64, w->at + 1, next - 1);
    lose(w, mem_printf("%s is missing", key));
    claim_parts(w->timeline, w->at + 1, next - 1);
    w->known = false;
    w->page_size = 0;
    return cover(w, w->at + 1, next - 1, 0, err);
}

struct rc verify_walk_damaged(struct verify_walk *w, const char *key, uint64_t first_txid, uint64_t next_txid,
    bool missing, bool was_seal, struct err *err)
{
    struct verify_work *t = w->timeline;

    TRY(begin(w, NULL, err));
    if (!w->anywhere && first_txid <= w->at)
        return RC_OK; /* within another segment */
    TRY(hole(w, first_txid, err));
    w->anywhere = false;
    w->known = false;
    w->page_size = 0;
    if (was_seal) {
        w->at = first_txid - 1;
        w->sealed = true;
        return RC_OK;
    }
    lose(w, mem_printf("%s is %s", key, missing ? "missing" : "damaged"));
    t->open_end = next_txid == 0;
    claim_parts(t, first_txid, t->open_end ? UINT64_MAX : first_txid);
    TRY(cover(w, first_txid, next_txid == 0 ? 0 : next_txid - 1, 0, err));
    w->at = next_txid == 0 ? first_txid : next_txid - 1;
    return RC_OK;
}

/* --- segments ------------------------------------------------------------------------------------------------------
 */

/* Children that leave here learn the state of the commit. */
static void tell_forks(struct verify_walk *w, uint64_t txid, uint64_t checksum)
{
    struct verify_job *j = w->job;

    for (size_t i = 0; i < j->timeline_count; i++) {
        struct verify_work *child = &j->timelines[i];

        if (child->fork_owner != w->timeline->number || child->fork_seen || child->origin.fork_txid != txid)
            continue;
        child->fork_seen = true;
        child->fork_checksum = checksum;
    }
}

/* The first commit whose state is in a snapshot only; 0: none. */
static uint64_t barrier_of(const struct seg_info *info)
{
    for (size_t i = 0; i < info->commit_count; i++)
        if ((info->commits[i].flags & SEG_SNAPSHOT) != 0)
            return info->commits[i].txid;
    return 0;
}

/* A commit that says that a snapshot has its state. */
static void need_snapshot(struct verify_walk *w, uint64_t txid)
{
    const struct verify_work *t = w->timeline;
    size_t i = snap_at(t, txid);
    layout_text prefix;
    char *key;

    if (has_snapshot(w, txid))
        return;
    layout_snapshot_prefix(prefix, t->number);
    key = mem_printf("%s%016" PRIx64 "-...", prefix, txid);
    if (i == t->snap_count || t->snaps[i].txid != txid || t->snaps[i].level > 0) {
        verify_report_find(w->job, t, VERIFY_MISSING, LAYOUT_SNAPSHOT, key,
            "the log says that the state of txid %" PRIu64 " is in a snapshot", txid);
        lose(w, mem_printf("%s is missing", key));
    } else {
        lose(w, mem_printf("%s is damaged", key));
    }
    mem_free(key);
}

/* Does the segment go on where the log is?  Says what is wrong. */
static const char *check_base(struct verify_walk *w, const char *key, const struct seg_info *info)
{
    struct verify_job *j = w->job;
    const struct verify_work *t = w->timeline;
    char theirs[NONCE_TEXT_SIZE], ours[NONCE_TEXT_SIZE];

    if (!nonce_equal(&info->pack.database, &j->report->database)) {
        verify_report_find(j, t, VERIFY_DAMAGED, w->kind, key, "it belongs to database %s, not to %s",
            nonce_format(&info->pack.database, theirs), nonce_format(&j->report->database, ours));
        return "of another database";
    }
    if (w->known && info->base_checksum != w->checksum) {
        verify_report_find(j, t, VERIFY_DAMAGED, w->kind, key,
            "it begins at state checksum %016" PRIx64 ", txid %" PRIu64 " has %016" PRIx64, info->base_checksum, w->at,
            w->checksum);
        return "not the continuation of the one before";
    }
    if (w->page_size != 0 && w->page_size != info->page_size && (info->commits[0].flags & SEG_SNAPSHOT) == 0) {
        verify_report_find(j, t, VERIFY_DAMAGED, w->kind, key,
            "pages of %" PRIu32 " bytes behind a state with pages of %" PRIu32, info->page_size, w->page_size);
        return "of another page size than the one before";
    }
    return NULL;
}

/* An object inside of a segment: readers take it for what follows. */
static struct rc cover_cut(
    struct verify_walk *w, uint64_t first, uint64_t last, uint64_t upto, uint64_t next_txid, struct err *err)
{
    layout_text next;

    if (next_txid == 0 || next_txid > last)
        return cover(w, first, last, upto, err);
    TRY(cover(w, first, next_txid - 1, upto < next_txid ? upto : next_txid - 1, err));
    layout_log(next, w->timeline->number, next_txid);
    lose(w, mem_printf("%s stands inside of the segment before it", next));
    return cover(w, next_txid, last, 0, err);
}

static struct rc take_commits(struct verify_walk *w, const char *key, const struct seg_info *info, const char *broken,
    uint64_t next_txid, struct err *err)
{
    const struct seg_commit *last = &info->commits[info->commit_count - 1];
    const uint64_t first = info->base_txid + 1;
    uint64_t barrier = barrier_of(info), upto;

    for (size_t i = 0; i < info->commit_count; i++)
        compare(w, info->commits[i].txid, info->commits[i].checksum, info->commits[i].page_count, &info->pack.writer);
    if (broken != NULL)
        lose(w, mem_strdup(broken));
    upto = !w->reached ? 0 : barrier != 0 ? barrier - 1 : last->txid;
    if (barrier != 0)
        for (size_t i = 0; i < info->commit_count; i++)
            if ((info->commits[i].flags & SEG_SNAPSHOT) != 0)
                need_snapshot(w, info->commits[i].txid);
    TRY(cover_cut(w, first, last->txid, upto, next_txid, err));
    if (barrier != 0 && w->reached)
        lose(w, mem_printf("no snapshot leads behind txid %" PRIu64 " in %s", barrier, key));
    w->reached = !w->lost && (w->reached || has_snapshot(w, last->txid));
    return RC_OK;
}

struct rc verify_walk_segment(struct verify_walk *w, const char *key, const struct seg_info *info, const char *broken,
    uint64_t next_txid, struct err *err)
{
    const struct seg_commit *last = &info->commits[info->commit_count - 1];
    struct verify_work *t = w->timeline;
    const char *wrong;

    TRY(begin(w, info, err));
    if (!w->anywhere && info->base_txid < w->at) {
        verify_report_find(w->job, t, VERIFY_DAMAGED, w->kind, key,
            "txid %" PRIu64 " is in the segment before it, or the timeline begins behind it: move this one away",
            info->base_txid + 1);
        return RC_OK;
    }
    TRY(hole(w, info->base_txid + 1, err));
    w->anywhere = false;
    w->at = info->base_txid;
    compare(w, w->at, info->base_checksum, 0, &info->pack.writer);
    wrong = check_base(w, key, info);
    if (wrong != NULL)
        lose(w, mem_printf("%s is %s", key, wrong));
    else if (w->kind == LAYOUT_LOG)
        verify_report_good(w->job, t, LAYOUT_LOG);
    w->reached = !w->lost && (w->reached || has_snapshot(w, w->at));
    tell_forks(w, w->at, info->base_checksum);
    for (size_t i = 0; i < info->commit_count; i++)
        tell_forks(w, info->commits[i].txid, info->commits[i].checksum);
    TRY(take_commits(w, key, info, broken, next_txid, err));
    w->at = last->txid;
    w->known = true;
    w->checksum = last->checksum;
    w->page_size = info->page_size;
    t->out->tip_txid = last->txid;
    t->out->tip_time_ms = last->time_ms;
    return RC_OK;
}

struct rc verify_walk_seal(struct verify_walk *w, const char *key, const struct seal *seal, struct err *err)
{
    struct verify_work *t = w->timeline;

    TRY(begin(w, NULL, err));
    if (!w->anywhere && seal->txid <= w->at) {
        verify_report_find(w->job, t, VERIFY_DAMAGED, LAYOUT_LOG, key,
            "a seal at txid %" PRIu64 ", which is in the segment before it", seal->txid);
        return RC_OK;
    }
    TRY(hole(w, seal->txid, err));
    w->at = seal->txid - 1;
    w->sealed = true;
    t->out->sealed = true;
    t->out->successor = seal->successor;
    if (nonce_equal(&seal->pack.database, &w->job->report->database))
        verify_report_good(w->job, t, LAYOUT_LOG);
    else
        verify_report_find(w->job, t, VERIFY_DAMAGED, LAYOUT_LOG, key, "a seal of another database");
    return RC_OK;
}

/* --- the end -------------------------------------------------------------------------------------------------------
 */

static void finish_snapshots(struct verify_walk *w)
{
    struct verify_work *t = w->timeline;

    for (size_t i = 0; i < t->snap_count; i++) {
        struct verify_snap_key *s = &t->snaps[i];
        layout_text key;

        if (!s->usable || s->compared)
            continue;
        verify_intern_snap_text(t, s, key);
        if (s->txid >= w->begin && (s->txid <= w->at || t->open_end))
            verify_report_good(w->job, t, verify_intern_snap_kind(s)); /* whole, in a place where the log is not */
        else
            verify_report_find(w->job, t, VERIFY_UNEXPECTED, verify_intern_snap_kind(s), key,
                "the log has no txid %" PRIu64 " (yet): left by a run that never got that far", s->txid);
    }
}

struct rc verify_walk_finish(struct verify_walk *w, struct err *err)
{
    struct verify_work *t = w->timeline;
    const struct verify_work *newest = &w->job->timelines[w->job->timeline_count - 1];

    TRY(begin(w, NULL, err));
    t->end_txid = w->at;
    finish_snapshots(w);
    /* Whoever begins a timeline seals the one before it first. */
    if (!w->sealed && !t->open_end && t->number < newest->number && !w->anywhere) {
        layout_text key;

        layout_log(key, t->number, w->at + 1);
        verify_report_find(w->job, t, VERIFY_MISSING, LAYOUT_LOG, key,
            "no seal ends the timeline, and timeline %" PRIu32 " is there: its end was removed", newest->number);
    }
    return RC_OK;
}
