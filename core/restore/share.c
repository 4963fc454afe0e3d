/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

#include "alloc.h"
#include "catalog_read.h"
#include "clock.h"
#include "plan.h"
#include "store_links.h"

#include <inttypes.h>
#include <string.h>

struct share {
    struct work *work;
    struct store *store;
    struct catalog *catalog; /* owned */
    struct plan_lost avoid;  /* owned: merges that are not used */
    struct plan *plan;       /* owned */
    struct share_doc doc;    /* owned */
    uint32_t seconds;
    struct rc rc; /* of what ran on the loop */
    struct err err;
};

static void fini(struct share *s)
{
    catalog_free(s->catalog);
    plan_lost_fini(&s->avoid);
    plan_free(s->plan);
    share_doc_fini(&s->doc);
}

static void free_steps(struct catalog_step **steps)
{
    mem_free(*steps);
}

/* --- which objects ------------------------------------------------------------------------------------------------ */

/* Their size is not in the catalog. */
static struct rc add_document(struct share *s, const char *key, struct err *err)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_HEAD, key, NULL, NULL);
    rc = work_store(s->work, s->store, &req, err);
    if (!rc_failed(rc))
        rc = share_doc_add(&s->doc, key, req.size, err);
    store_req_fini(&req);
    return rc;
}

static struct rc add_documents(struct share *s, struct err *err)
{
    struct catalog_leg *legs = NULL;
    size_t count = 0;
    struct rc rc;

    if (s->catalog->identity.format != 0)
        TRY(add_document(s, LAYOUT_IDENTITY, err));
    TRY(catalog_path(s->catalog, s->doc.timeline, &legs, &count, err));
    rc = RC_OK;
    for (size_t i = 0; i < count && !rc_failed(rc); i++) {
        layout_text key;

        layout_timeline(key, legs[i].timeline->number);
        rc = add_document(s, key, err);
    }
    mem_free(legs);
    return rc;
}

static bool has_parts(const struct share *s, const struct catalog_step *step)
{
    const struct catalog_timeline *t = catalog_timeline(s->catalog, step->timeline);

    for (size_t i = 0; !catalog_step_is_fold(step) && i < t->large_count; i++)
        if (t->large[i].first_txid == step->first_txid)
            return true;
    return false;
}

static struct rc add_parts(struct share *s, const struct catalog_step *step, struct err *err)
{
    CLEANUP(catalog_object_fini) struct catalog_object o = {0};
    const struct seg_info *info;

    TRY(catalog_fetch(&o, s->work, s->store, step->timeline, step->first_txid, err));
    info = o.segment != NULL ? seg_dec_info(o.segment) : NULL;
    for (size_t i = 0; info != NULL && i < info->part_count; i++) {
        layout_text key;

        layout_part(key, step->timeline, step->first_txid, &info->pack.writer, (uint32_t)i);
        TRY(share_doc_add(&s->doc, key, info->parts[i].size, err));
    }
    return RC_OK;
}

static struct rc add_step(struct share *s, const struct catalog_step *step, struct err *err)
{
    layout_text key;

    catalog_step_key(step, key);
    TRY(share_doc_add(&s->doc, key, step->size, err));
    return has_parts(s, step) ? add_parts(s, step, err) : RC_OK;
}

/* A state that a snapshot or a merge gives is compared with what the log says of it, and proven to exist by that. */
static struct rc add_witness(struct share *s, struct err *err)
{
    CLEANUP(free_steps) struct catalog_step *steps = NULL;
    size_t count = 0, i = 0;
    layout_text key;

    TRY(catalog_route(s->catalog, s->doc.timeline, &steps, &count, err));
    while (i + 1 < count && steps[i + 1].first_txid <= s->doc.txid)
        i++;
    if (count == 0 || steps[i].first_txid > s->doc.txid)
        return rc_raise(
            err, E_NOTFOUND, "the log of timeline %" PRIu32 " has no txid %" PRIu64, s->doc.timeline, s->doc.txid);
    catalog_step_key(&steps[i], key);
    return share_doc_add(&s->doc, key, steps[i].size, err);
}

static bool comes_back(const struct plan *p)
{
    return p->stage_count > 1;
}

/* A merge in the middle of the log bridges segments that the share would be without, and that its reader would miss. */
static struct rc choose_way(struct share *s, struct err *err)
{
    struct err none;

    TRY(plan_restore(s->catalog, s->doc.timeline, s->doc.txid, NULL, &s->plan, err));
    while (comes_back(s->plan)) {
        const struct plan *p = s->plan;
        struct plan *other = NULL;
        struct rc rc;

        for (size_t i = p->stages[1].base; i < p->base_count; i++) {
            const struct layout_key key = plan_base_key(&p->bases[i]);

            TRY(plan_lost_add(&s->avoid, &key, err));
        }
        rc = plan_restore(s->catalog, s->doc.timeline, s->doc.txid, &s->avoid, &other, &none);
        if (rc.code == E_NOTFOUND)
            return rc_raise(err, E_UNSUPPORTED,
                "txid %" PRIu64 " can only be reached over a gap in the log, which a share cannot pass on",
                s->doc.txid);
        if (rc_failed(rc)) {
            *err = none;
            return rc;
        }
        plan_free(s->plan);
        s->plan = other;
    }
    return RC_OK;
}

static struct rc choose(struct share *s, struct err *err)
{
    TRY(choose_way(s, err));
    TRY(add_documents(s, err));
    for (size_t i = 0; i < s->plan->base_count; i++) {
        layout_text key;

        plan_base_text(&s->plan->bases[i], key);
        TRY(share_doc_add(&s->doc, key, s->plan->bases[i].size, err));
    }
    for (size_t i = 0; i < s->plan->segment_count; i++)
        TRY(add_step(s, &s->plan->segments[i], err));
    if (s->plan->segment_count == 0)
        TRY(add_witness(s, err));
    share_doc_sort(&s->doc);
    return RC_OK;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

static struct rc sign_one(const struct share *s, const char *key, char **url, struct err *err)
{
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, SHARE_DOC_URL_MAX);
    TRY(store_presign(s->store, key, s->doc.created_ms, s->seconds, &text, err));
    *url = mem_strdup(buf_str(&text));
    explicit_bzero(text.data, text.size);
    return RC_OK;
}

static void sign_on_loop(void *ctx)
{
    struct share *s = ctx;

    s->rc = RC_OK;
    for (size_t i = 0; i < s->doc.count && !rc_failed(s->rc); i++)
        s->rc = sign_one(s, s->doc.objects[i].key, &s->doc.objects[i].url, &s->err);
}

/* Would it be signed at all? */
static void try_on_loop(void *ctx)
{
    struct share *s = ctx;
    char *url = NULL;

    s->rc = sign_one(s, LAYOUT_IDENTITY, &url, &s->err);
    if (url != NULL)
        explicit_bzero(url, strlen(url));
    mem_free(url);
}

static struct rc on_loop(struct share *s, void (*fn)(void *ctx), struct err *err)
{
    work_on_loop(s->work, fn, s);
    if (rc_failed(s->rc))
        *err = s->err;
    return s->rc;
}

struct rc share_make(struct work *w, struct store *store, const struct fsys *fs, const struct share_opts *opts,
    struct share_doc *out, struct err *err)
{
    CLEANUP(fini) struct share s = {.work = w, .store = store, .seconds = opts->seconds};
    struct restore_opts dry = opts->target;
    struct restore_report report;

    s.doc.created_ms = clock_wall_ms(&clock_real) / 1000 * 1000; /* signatures have whole seconds */
    s.doc.expires_ms = s.doc.created_ms + (int64_t)opts->seconds * 1000;
    TRY(catalog_load(&s.catalog, w, store, err));
    TRY(on_loop(&s, try_on_loop, err));
    dry.dry_run = true;
    TRY(restore_run(w, store, fs, &dry, &report, err));
    s.doc.timeline = report.timeline;
    s.doc.txid = report.txid;
    TRY(choose(&s, err));
    TRY(on_loop(&s, sign_on_loop, err));
    *out = s.doc;
    share_doc_init(&s.doc);
    return RC_OK;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct rc share_target(struct work *w, struct store *s, struct restore_opts *opts, struct err *err)
{
    const struct share_doc *d;
    struct store_req req;
    struct rc rc;

    if (!store_links_is(s) || opts->by_txid || opts->by_time || opts->timeline != 0)
        return RC_OK;
    store_req_init(&req, STORE_LIST, "", NULL, NULL); /* with it comes the document */
    req.limit = 1;
    rc = work_store(w, s, &req, err);
    store_req_fini(&req);
    TRY(rc);
    d = store_links_doc(s);
    opts->by_txid = true;
    opts->txid = d->txid;
    opts->timeline = d->timeline;
    return RC_OK;
}
