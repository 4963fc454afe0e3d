/* SPDX-License-Identifier: Apache-2.0 */
#include "ship_look.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TIMELINES, SEGMENTS, FOLDS };

static void on_answer(struct store_req *req)
{
    struct ship_look *l = req->ctx;

    if (--l->pending == 0)
        l->on_done(l);
}

void ship_look_prepare(struct ship_look *l)
{
    uint64_t first = l->fold_first_txid != 0 && l->fold_first_txid < l->txid ? l->fold_first_txid : l->txid;
    struct store_req *r = l->reqs;
    layout_text prefix;

    layout_timelines_prefix(prefix);
    store_req_init(&r[TIMELINES], STORE_LIST, prefix, on_answer, l);
    r[TIMELINES].by_folder = true;
    layout_timeline_prefix(r[TIMELINES].after, l->timeline);
    layout_log_prefix(prefix, l->timeline);
    store_req_init(&r[SEGMENTS], STORE_LIST, prefix, on_answer, l);
    layout_log(r[SEGMENTS].after, l->timeline, l->txid);
    layout_fold_prefix(prefix, l->timeline);
    store_req_init(&r[FOLDS], STORE_LIST, prefix, on_answer, l);
    layout_fold(r[FOLDS].after, l->timeline, first, 0);
    l->pending = SHIP_LOOK_REQUESTS;
}

void ship_look_start(struct ship_look *l, struct store *s)
{
    ship_look_prepare(l);
    for (int i = 0; i < SHIP_LOOK_REQUESTS; i++) {
        l->reqs[i].once = true; /* the shipper has the schedule */
        store_submit(s, &l->reqs[i]);
    }
}

/* Folders of timelines behind ours: "t/0000000a/". */
static bool newer_timeline(const struct ship_look *l, const struct store_entry *e)
{
    layout_text document;
    struct layout_key k;

    (void)snprintf(document, sizeof document, "%.*stimeline.json", STORE_KEY_MAX - 20, e->key);
    k = layout_parse(document);
    return k.kind == LAYOUT_TIMELINE && k.timeline > l->timeline;
}

static bool tells_of_another(const struct ship_look *l, int which, const struct store_entry *e)
{
    struct layout_key k = layout_parse(e->key);

    switch (which) {
    case TIMELINES:
        return newer_timeline(l, e);
    case SEGMENTS:
        return k.kind == LAYOUT_LOG && k.txid > l->txid;
    default:
        return k.kind == LAYOUT_FOLD && k.last_txid >= l->txid;
    }
}

static struct rc judge(const struct ship_look *l, struct err *err)
{
    for (int i = 0; i < SHIP_LOOK_REQUESTS; i++) {
        TRY_CTX(store_result(&l->reqs[i], err), err, "look whether txid %" PRIu64 " is still the next", l->txid);
        for (size_t k = 0; k < l->reqs[i].entry_count; k++)
            if (tells_of_another(l, i, &l->reqs[i].entries[k]))
                return rc_raise(err, E_FENCED,
                    "%s is there, although txid %" PRIu64 " of timeline %" PRIu32
                    " has not been shipped from here: another writer went on while this process slept; stop one of "
                    "them, then restore from the replica or start with --fork",
                    l->reqs[i].entries[k].key, l->txid, l->timeline);
    }
    return RC_OK;
}

struct rc ship_look_result(struct ship_look *l, struct err *err)
{
    struct rc rc = judge(l, err);

    for (int i = 0; i < SHIP_LOOK_REQUESTS; i++)
        store_req_fini(&l->reqs[i]);
    return rc;
}

struct rc ship_look_wait(struct work *w, struct store *s, uint32_t timeline, uint64_t txid, struct err *err)
{
    struct ship_look l = {.timeline = timeline, .txid = txid};

    ship_look_prepare(&l);
    rc_ignore(work_store_all(w, s, l.reqs, SHIP_LOOK_REQUESTS, err), "each request has its own outcome");
    return ship_look_result(&l, err);
}
