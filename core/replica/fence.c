/* SPDX-License-Identifier: Apache-2.0 */
#include "fence.h"

#include "layout.h"

#include <stdio.h>
#include <string.h>

enum { RACERS = 4, TEXT_SIZE = 64 };

const char *fence_name(enum fence fence)
{
    static const char *const names[] = {
        [FENCE_UNKNOWN] = "unknown",
        [FENCE_KEPT] = "kept",
        [FENCE_IGNORED] = "ignored",
        [FENCE_RACY] = "racy",
        [FENCE_REFUSED] = "refused",
    };

    return names[fence];
}

const char *fence_weakness(enum fence fence)
{
    switch (fence) {
    case FENCE_IGNORED:
        return "the store takes the condition of a conditional write (If-None-Match) and ignores it: a second creation "
               "of an object replaces the first";
    case FENCE_RACY:
        return "the store lets more than one of several creators of an object win";
    case FENCE_REFUSED:
        return "the store has no conditional writes (If-None-Match)";
    case FENCE_UNKNOWN:
    case FENCE_KEPT:
        break;
    }
    return NULL;
}

static void prepare(struct store_req *req, const char *key, char text[TEXT_SIZE], int number)
{
    int n = snprintf(text, TEXT_SIZE, "weir: creator %d of this scratch object\n", number);

    store_req_init(req, STORE_PUT, key, NULL, NULL);
    req->body = (struct span){(const uint8_t *)text, (size_t)n};
    req->create_only = true;
    req->once = true; /* a second try could meet the first one's work */
}

/* An answer that says neither yes nor no ("unknown", see store.h) is no winner that could be counted, and no failure of
 * the probe: the late creator decides. */
static struct rc race(struct work *w, struct store *s, const char *key, enum fence *out, struct err *err)
{
    struct store_req reqs[RACERS];
    char texts[RACERS][TEXT_SIZE];
    struct rc rc, failure = RC_OK;
    unsigned winners = 0, losers = 0;

    for (int i = 0; i < RACERS; i++)
        prepare(&reqs[i], key, texts[i], i + 1);
    rc_ignore(work_store_all(w, s, reqs, RACERS, err), "each answer is looked at");
    for (int i = 0; i < RACERS; i++) {
        rc = store_result(&reqs[i], err);
        winners += rc.code == E_OK;
        losers += rc.code == E_EXISTS;
        if (rc.code == E_UNSUPPORTED)
            *out = FENCE_REFUSED;
        else if (rc_failed(rc) && rc.code != E_EXISTS)
            failure = rc;
        store_req_fini(&reqs[i]);
    }
    if (*out == FENCE_REFUSED)
        return RC_OK;
    if (winners > 1)
        *out = losers > 0 ? FENCE_RACY : FENCE_IGNORED;
    return winners + losers == 0 ? failure : RC_OK;
}

static struct rc come_late(struct work *w, struct store *s, const char *key, enum fence *out, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    char text[TEXT_SIZE];
    struct rc rc;

    prepare(&req, key, text, RACERS + 1);
    req.once = false; /* the key is there, so that a repeat must find it, too */
    rc = work_store(w, s, &req, err);
    if (rc.code == E_EXISTS)
        *out = FENCE_KEPT;
    else if (rc.code == E_UNSUPPORTED)
        *out = FENCE_REFUSED;
    else if (rc_failed(rc))
        return rc;
    else
        *out = FENCE_IGNORED;
    return RC_OK;
}

/* Some stores refuse a header that they do not know in the same words as a storage class that they do not have.  It is
 * about the condition only when the same PUT works without. */
static struct rc confirm_refusal(struct work *w, struct store *s, const char *key, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    char text[TEXT_SIZE];

    prepare(&req, key, text, RACERS + 2);
    req.create_only = req.once = false;
    return work_store(w, s, &req, err);
}

struct rc fence_probe(struct work *w, struct store *s, enum fence *out, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req away;
    struct nonce nonce = nonce_new();
    enum fence found = FENCE_UNKNOWN;
    char text[NONCE_TEXT_SIZE];
    layout_text key;
    struct err ignored;

    (void)snprintf(key, sizeof key, "probe/%s", nonce_format(&nonce, text));
    store_req_init(&away, STORE_DELETE, key, NULL, NULL);
    TRY_CTX(race(w, s, key, &found, err), err, "try conditional writes (%s)", key);
    if (found == FENCE_UNKNOWN)
        TRY_CTX(come_late(w, s, key, &found, err), err, "try conditional writes (%s)", key);
    if (found == FENCE_REFUSED)
        TRY_CTX(confirm_refusal(w, s, key, err), err, "try to write (%s)", key);
    rc_ignore(work_store(w, s, &away, &ignored), "a scratch object that may not be deleted does no harm");
    *out = found;
    return RC_OK;
}

struct rc fence_check_newer(struct work *w, struct store *s, uint32_t timeline, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    layout_text prefix;

    layout_timelines_prefix(prefix);
    store_req_init(&req, STORE_LIST, prefix, NULL, NULL);
    req.by_folder = true;
    layout_timeline_prefix(req.after, timeline);
    TRY_CTX(work_store(w, s, &req, err), err, "look for a newer timeline");
    for (size_t i = 0; i < req.entry_count; i++) {
        layout_text document;
        struct layout_key key;

        (void)snprintf(document, sizeof document, "%.*stimeline.json", STORE_KEY_MAX - 20, req.entries[i].key);
        key = layout_parse(document);
        if (key.kind == LAYOUT_TIMELINE && key.timeline > timeline)
            return rc_raise(err, E_FENCED,
                "another writer has begun timeline %u, while this one was writing timeline %u; this store cannot keep "
                "a "
                "second writer out, so commits of the last minutes may be on both: restore from the newer timeline, or "
                "start with --fork",
                key.timeline, timeline);
    }
    return RC_OK;
}
