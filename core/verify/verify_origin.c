/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_origin.h"

#include "alloc.h"
#include "verify_report.h"

#include <inttypes.h>

static bool has_parent(const struct verify_work *t)
{
    return t->number > 1 && t->origin_ok && t->origin.parent != 0;
}

void verify_origin_link(struct verify_job *j)
{
    for (size_t i = 0; i < j->timeline_count; i++) {
        struct verify_work *t = &j->timelines[i];
        const struct verify_work *owner = t;

        if (!has_parent(t))
            continue;
        /* Parents have lower numbers, so this ends. */
        do {
            t->fork_owner = owner->origin.parent;
            owner = verify_intern_find(j, t->fork_owner);
        } while (owner != NULL && has_parent(owner) && t->origin.fork_txid <= owner->origin.fork_txid);
    }
}

struct judging {
    struct verify_job *j;
    struct verify_work *t;
    const struct seg_info *first; /* may be NULL */
    struct verify_begin *out;
    layout_text key;
    bool found; /* one finding is enough for one document */
};

#define DAMAGED(g, ...)                                                                                 \
    do {                                                                                                \
        if (!(g)->found)                                                                                \
            verify_report_find((g)->j, (g)->t, VERIFY_DAMAGED, LAYOUT_TIMELINE, (g)->key, __VA_ARGS__); \
        (g)->found = true;                                                                              \
    } while (0)

static void judge_database(struct judging *g)
{
    const struct nonce *theirs = &g->t->origin.database, *ours = &g->j->report->database;
    char a[NONCE_TEXT_SIZE], b[NONCE_TEXT_SIZE];

    if (!nonce_equal(theirs, ours))
        DAMAGED(g, "it says database %s, the segments say %s", nonce_format(theirs, a), nonce_format(ours, b));
}

/* Its own first segment says that it begins at this state. */
static bool begins_at(const struct judging *g, uint64_t checksum)
{
    return g->first != NULL && g->first->base_txid == g->t->origin.fork_txid && g->first->base_checksum == checksum;
}

static void set_why(struct judging *g, const char *what)
{
    mem_free(g->out->why);
    g->out->why = mem_printf("%s is %s", g->key, what);
}

/* The log of the ancestor has the commit, and it is not the one that the document names. */
static void judge_mismatch(struct judging *g)
{
    const struct layout_origin *o = &g->t->origin;

    DAMAGED(g,
        "it says that txid %" PRIu64 " has state checksum %016" PRIx64 ", the log of timeline %" PRIu32
        " says %016" PRIx64,
        o->fork_txid, o->fork_checksum, g->t->fork_owner, g->t->fork_checksum);
    g->out->checksum = g->t->fork_checksum;
    if (begins_at(g, g->t->fork_checksum))
        return; /* only the checksum is wrong, and a restore does not need it */
    g->out->anywhere = true;
    set_why(g, "damaged");
}

/* The log of the ancestor ends before the fork: it lost its end, or the document is wrong. */
static struct rc judge_beyond(struct judging *g, struct verify_work *owner, struct err *err)
{
    const struct layout_origin *o = &g->t->origin;
    layout_text key;

    if (owner->out->sealed || (g->first != NULL && !begins_at(g, o->fork_checksum))) {
        DAMAGED(g, "it says that the timeline leaves timeline %" PRIu32 " at txid %" PRIu64 ", which ends at %" PRIu64,
            owner->number, o->fork_txid, owner->end_txid);
        g->out->anywhere = true;
        set_why(g, "damaged");
        return RC_OK;
    }
    layout_log(key, owner->number, owner->end_txid + 1);
    verify_report_find(g->j, owner, VERIFY_MISSING, LAYOUT_LOG, key,
        "timeline %" PRIu32 " leaves this one at txid %" PRIu64 ", no segment has txid %" PRIu64 " to there",
        g->t->number, o->fork_txid, owner->end_txid + 1);
    mem_free(g->out->why);
    g->out->why = mem_printf("%s is missing", key);
    TRY(verify_report_loss(owner->out, owner->end_txid + 1, o->fork_txid, 0, g->out->why, err));
    owner->end_txid = o->fork_txid;
    return RC_OK;
}

/* Nobody knows the ancestor's commit; a document has no checksum, the segment has. */
static void judge_unknown(struct judging *g)
{
    const struct layout_origin *o = &g->t->origin;

    if (g->first == NULL || g->first->base_txid != o->fork_txid || begins_at(g, o->fork_checksum))
        return;
    DAMAGED(g, "it says that txid %" PRIu64 " has state checksum %016" PRIx64 ", its first segment says %016" PRIx64,
        o->fork_txid, o->fork_checksum, g->first->base_checksum);
    g->out->checksum = g->first->base_checksum;
}

static struct rc judge_fork(struct judging *g, struct err *err)
{
    const struct layout_origin *o = &g->t->origin;
    struct verify_work *parent = verify_intern_find(g->j, o->parent);
    struct verify_work *owner = verify_intern_find(g->j, g->t->fork_owner);
    layout_text key;

    g->out->txid = o->fork_txid;
    g->out->checksum = o->fork_checksum;
    layout_timeline(key, parent == NULL ? o->parent : g->t->fork_owner);
    if (parent == NULL || owner == NULL) {
        verify_report_find(g->j, g->t, VERIFY_MISSING, LAYOUT_TIMELINE, key,
            "timeline %" PRIu32 " comes from it, and nothing of it is there", g->t->number);
        g->out->lost = true;
        g->out->why = mem_printf("%s is missing", key);
        return RC_OK;
    }
    if (o->fork_txid == 0)
        return RC_OK;
    g->out->reached = verify_report_reaches(g->j, parent, o->fork_txid);
    if (!g->out->reached)
        g->out->why = mem_printf("txid %" PRIu64 " of timeline %" PRIu32 ", where it begins, cannot be restored",
            o->fork_txid, owner->number);
    if (g->t->fork_seen && g->t->fork_checksum != o->fork_checksum)
        judge_mismatch(g);
    else if (!g->t->fork_seen && o->fork_txid > owner->end_txid && !owner->open_end)
        TRY(judge_beyond(g, owner, err));
    else if (!g->t->fork_seen)
        judge_unknown(g);
    g->out->reached = g->out->reached && !g->out->anywhere;
    return RC_OK;
}

/* An ancestor that cannot be placed itself: a restore refuses the whole path. */
static bool path_is_lost(struct judging *g)
{
    const struct verify_work *t = g->t;

    while (t != NULL && has_parent(t))
        t = verify_intern_find(g->j, t->origin.parent);
    return t == NULL || (t->number > 1 && !t->origin_ok);
}

struct rc verify_origin_begin(struct verify_job *j, struct verify_work *t, const struct seg_info *first,
    struct verify_begin *out, struct err *err)
{
    struct judging g = {.j = j, .t = t, .first = first, .out = out};

    *out = (struct verify_begin){0};
    layout_timeline(g.key, t->number);
    if (!t->origin_ok) {
        if (t->has_origin)
            verify_report_find(j, t, VERIFY_DAMAGED, LAYOUT_TIMELINE, g.key, "%s", t->origin_damage);
        else
            verify_report_find(j, t, VERIFY_MISSING, LAYOUT_TIMELINE, g.key, "it is not there");
        if (t->number == 1)
            return RC_OK;
        set_why(&g, t->has_origin ? "damaged" : "missing");
        out->anywhere = true;
        out->lost = true;
        return RC_OK;
    }
    judge_database(&g);
    if (t->origin.fork_txid == 0 && t->origin.fork_checksum != 0)
        DAMAGED(&g, "it says that txid 0, where there is nothing, has a state checksum");
    if (has_parent(t))
        TRY(judge_fork(&g, err));
    if (!out->lost && path_is_lost(&g)) {
        mem_free(out->why);
        out->why = mem_printf("nobody can tell where an ancestor of timeline %" PRIu32 " begins", t->number);
        out->lost = true;
    }
    if (!g.found)
        verify_report_good(j, t, LAYOUT_TIMELINE);
    return RC_OK;
}
