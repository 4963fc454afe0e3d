/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_docs.h"

#include "alloc.h"
#include "verify_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SAMPLES = 5,       /* segments that are asked whose history it is */
    SAMPLE_WEIGHT = 2, /* against 1 for a document */
};

struct vote {
    struct nonce database;
    unsigned weight;
};

struct votes {
    struct vote *found; /* owned */
    size_t count, room;
};

static void votes_fini(struct votes *v)
{
    mem_free(v->found);
}

static struct rc vote(struct votes *v, const struct nonce *database, unsigned weight, struct err *err)
{
    for (size_t i = 0; i < v->count; i++)
        if (nonce_equal(&v->found[i].database, database)) {
            v->found[i].weight += weight;
            return RC_OK;
        }
    TRY(verify_report_grow(&v->found, v->count, &v->room, sizeof *v->found, err));
    v->found[v->count++] = (struct vote){*database, weight};
    return RC_OK;
}

/* --- reading -------------------------------------------------------------------------------------------------------
 */

/* The first `most` bytes of an object; 0: all of it, also when it is empty. */
static struct rc get_head(struct verify_job *j, const char *key, uint64_t most, struct store_req *req, struct err *err)
{
    store_req_init(req, STORE_GET, key, NULL, NULL);
    req->length = most;
    TRY(work_store(j->work, j->store, req, err));
    verify_intern_read(j, req->data.size);
    return RC_OK;
}

/* A document of a newer weir cannot be told from one with a flipped digit: both are damage as far as this weir goes. */
static struct rc as_damage(struct rc rc, struct err *err)
{
    return rc.code == E_UNSUPPORTED ? rc_raise(err, E_CORRUPT, "%.900s, or it is damaged", err->msg) : rc;
}

static struct rc read_identity(struct verify_job *j, struct layout_identity *out, struct err *err)
{
    CLEANUP(verify_intern_finip) struct store_req req = {0};

    TRY(get_head(j, LAYOUT_IDENTITY, 0, &req, err));
    return as_damage(layout_identity_decode(buf_span(&req.data), out, err), err);
}

static struct rc read_origin(
    struct verify_job *j, uint32_t number, const char *key, struct layout_origin *out, struct err *err)
{
    CLEANUP(verify_intern_finip) struct store_req req = {0};
    struct layout_origin o = {0};

    TRY(get_head(j, key, 0, &req, err));
    TRY(as_damage(layout_origin_decode(buf_span(&req.data), &o, err), err));
    if (o.timeline != number)
        return rc_raise(err, E_CORRUPT, "it says that it is timeline %" PRIu32, o.timeline);
    *out = o;
    return RC_OK;
}

/* --- whose history -------------------------------------------------------------------------------------------------
 */

static struct rc ask_segment(
    struct verify_job *j, const struct verify_work *t, size_t i, struct votes *v, struct err *err)
{
    CLEANUP(verify_intern_finip) struct store_req req = {0};
    struct pack_header head;
    enum pack_kind kind = PACK_SEGMENT;
    layout_text key;
    struct rc rc;

    layout_log(key, t->number, t->logs[i].first_txid);
    rc = get_head(j, key, PACK_HEADER_SIZE, &req, err);
    if (!rc_failed(rc))
        rc = pack_kind_of(buf_span(&req.data), &kind, err);
    if (!rc_failed(rc))
        rc = pack_decode_header(buf_span(&req.data), kind, 0, &head, err);
    if (!rc_failed(rc))
        return vote(v, &head.database, SAMPLE_WEIGHT, err);
    /* Damage has its place in the report later on. */
    return verify_intern_is_damage(rc) || rc.code == E_UNSUPPORTED ? RC_OK : rc_wrap(err, "%s", key);
}

static struct rc ask_segments(struct verify_job *j, struct votes *v, struct err *err)
{
    size_t asked = 0;

    for (size_t i = 0; i < j->timeline_count && asked < SAMPLES; i++) {
        const struct verify_work *t = &j->timelines[i];
        size_t step = t->log_count / SAMPLES + 1;

        for (size_t k = 0; k < t->log_count && asked < SAMPLES; k += step, asked++)
            TRY(ask_segment(j, t, k, v, err));
    }
    return RC_OK;
}

static void settle(struct verify_job *j, const struct votes *v)
{
    unsigned most = 0;

    for (size_t i = 0; i < v->count; i++)
        if (v->found[i].weight > most) {
            most = v->found[i].weight;
            j->report->database = v->found[i].database;
            j->report->database_known = true;
        }
}

/* --- all of them ---------------------------------------------------------------------------------------------------
 */

static struct rc read_origins(struct verify_job *j, struct votes *v, struct err *err)
{
    for (size_t i = 0; i < j->timeline_count; i++) {
        struct verify_work *t = &j->timelines[i];
        layout_text key;
        struct err damage;
        struct rc rc;

        layout_timeline(key, t->number);
        rc = read_origin(j, t->number, key, &t->origin, &damage);
        if (verify_intern_is_damage(rc)) /* once more: it may have been the way */
            rc = read_origin(j, t->number, key, &t->origin, &damage);
        if (rc_failed(rc) && !verify_intern_is_damage(rc)) {
            *err = damage;
            return rc_wrap(err, "%s", key);
        }
        t->has_origin = rc.code != E_NOTFOUND;
        t->origin_ok = !rc_failed(rc);
        if (t->origin_ok)
            TRY(vote(v, &t->origin.database, 1, err));
        else
            t->origin_damage = mem_strdup(damage.msg);
    }
    return RC_OK;
}

static void judge_identity(
    struct verify_job *j, struct rc rc, const struct layout_identity *id, const struct err *damage)
{
    char theirs[NONCE_TEXT_SIZE], ours[NONCE_TEXT_SIZE];

    if (rc_failed(rc))
        verify_report_damage(j, NULL, LAYOUT_IDENTITY_KEY, LAYOUT_IDENTITY, damage);
    else if (!nonce_equal(&id->database, &j->report->database))
        verify_report_find(j, NULL, VERIFY_DAMAGED, LAYOUT_IDENTITY_KEY, LAYOUT_IDENTITY,
            "it says database %s, the segments say %s", nonce_format(&id->database, theirs),
            nonce_format(&j->report->database, ours));
    else
        verify_report_good(j, NULL, LAYOUT_IDENTITY_KEY);
}

struct rc verify_docs_run(struct verify_job *j, struct err *err)
{
    CLEANUP(votes_fini) struct votes votes = {0};
    struct layout_identity id = {0};
    struct err damage = {0};
    struct rc rc = read_identity(j, &id, &damage);

    if (verify_intern_is_damage(rc))
        rc = read_identity(j, &id, &damage);
    if (rc_failed(rc) && !verify_intern_is_damage(rc)) {
        *err = damage;
        return rc_wrap(err, "%s", LAYOUT_IDENTITY);
    }
    if (!rc_failed(rc))
        TRY(vote(&votes, &id.database, 1, err));
    TRY(read_origins(j, &votes, err));
    TRY(ask_segments(j, &votes, err));
    settle(j, &votes);
    judge_identity(j, rc, &id, &damage);
    return RC_OK;
}
