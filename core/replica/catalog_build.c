/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_build.h"

#include "alloc.h"
#include "prefetch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- building ------------------------------------------------------------------------------------------------------
 */

struct builder {
    struct catalog *catalog;
    const struct catalog_limits *limits; /* borrowed; NULL: none */
    layout_text folder;                  /* of the last key, with limits */
    size_t folder_count;
    size_t timeline_room;
    size_t log_room, fold_room, snapshot_room, merge_room, pruned_room, large_room; /* of the last timeline */
    size_t objects;
};

/* Room for one more. */
static struct rc grow(void *array, size_t count, size_t *room, size_t size, struct err *err)
{
    if (!mem_grow(array, count, room, size))
        return rc_raise(err, E_NOMEM, "catalog of %zu objects", count);
    return RC_OK;
}

/* Listings are in order, so a new number is behind all others. */
static struct rc timeline_of(struct builder *b, uint32_t number, struct catalog_timeline **out, struct err *err)
{
    struct catalog *c = b->catalog;
    struct catalog_timeline *last = c->timeline_count > 0 ? &c->timelines[c->timeline_count - 1] : NULL;

    if (last == NULL || last->number < number) {
        TRY(grow(&c->timelines, c->timeline_count, &b->timeline_room, sizeof *c->timelines, err));
        last = &c->timelines[c->timeline_count++];
        *last = (struct catalog_timeline){.number = number};
        b->log_room = b->fold_room = b->snapshot_room = b->merge_room = b->pruned_room = b->large_room = 0;
    }
    if (last->number > number)
        return rc_raise(err, E_CORRUPT, "listing of the replica is not in order: timeline %" PRIu32 " behind %" PRIu32,
            number, last->number);
    *out = last;
    return RC_OK;
}

static struct rc add_log(struct builder *b, const struct layout_key *k, uint64_t size, struct err *err)
{
    struct catalog_timeline *t = NULL;

    TRY(timeline_of(b, k->timeline, &t, err));
    assert(t != NULL);
    if (t->log_count > 0 && t->logs[t->log_count - 1].first_txid >= k->txid)
        return rc_raise(err, E_CORRUPT, "listing of the replica is not in order at txid %" PRIu64, k->txid);
    TRY(grow(&t->logs, t->log_count, &b->log_room, sizeof *t->logs, err));
    t->logs[t->log_count++] = (struct catalog_log){.first_txid = k->txid, .size = size};
    return RC_OK;
}

static struct rc add_fold(struct builder *b, const struct layout_key *k, uint64_t size, struct err *err)
{
    struct catalog_timeline *t = NULL;

    TRY(timeline_of(b, k->timeline, &t, err));
    assert(t != NULL);
    TRY(grow(&t->folds, t->fold_count, &b->fold_room, sizeof *t->folds, err));
    t->folds[t->fold_count++] = (struct catalog_fold){k->txid, k->last_txid, size};
    return RC_OK;
}

static struct rc add_snapshot(struct builder *b, const struct layout_key *k, uint64_t size, struct err *err)
{
    struct catalog_timeline *t = NULL;

    TRY(timeline_of(b, k->timeline, &t, err));
    assert(t != NULL);
    TRY(grow(&t->snapshots, t->snapshot_count, &b->snapshot_room, sizeof *t->snapshots, err));
    t->snapshots[t->snapshot_count++] = (struct catalog_snapshot){k->txid, k->time_ms, size};
    return RC_OK;
}

static struct rc add_merge(struct builder *b, const struct layout_key *k, uint64_t size, struct err *err)
{
    struct catalog_timeline *t = NULL;

    TRY(timeline_of(b, k->timeline, &t, err));
    assert(t != NULL);
    TRY(grow(&t->merges, t->merge_count, &b->merge_room, sizeof *t->merges, err));
    t->merges[t->merge_count++] = (struct catalog_merge){k->base_txid, k->txid, k->time_ms, size, k->level};
    return RC_OK;
}

static struct rc add_pruned(struct builder *b, const struct layout_key *k, struct err *err)
{
    struct catalog_timeline *t = NULL;

    TRY(timeline_of(b, k->timeline, &t, err));
    TRY(grow(&t->pruned, t->pruned_count, &b->pruned_room, sizeof *t->pruned, err));
    t->pruned[t->pruned_count++] = (struct catalog_pruned){k->txid, k->last_txid};
    return RC_OK;
}

static struct rc add_part(struct builder *b, const struct layout_key *k, uint64_t size, struct err *err)
{
    struct catalog_timeline *t = NULL;
    struct catalog_large *last;

    TRY(timeline_of(b, k->timeline, &t, err));
    assert(t != NULL);
    t->part_count++;
    t->part_size += size;
    if (t->large_count == 0 || t->large[t->large_count - 1].first_txid != k->txid) {
        TRY(grow(&t->large, t->large_count, &b->large_room, sizeof *t->large, err));
        t->large[t->large_count++] = (struct catalog_large){.first_txid = k->txid};
    }
    last = &t->large[t->large_count - 1];
    last->part_count++;
    last->size += size;
    return RC_OK;
}

static struct rc add_entry(struct builder *b, const struct store_entry *e, struct err *err)
{
    struct layout_key k = layout_parse(e->key);
    struct catalog_timeline *t = NULL;

    if (++b->objects > CATALOG_OBJECTS_MAX)
        return rc_raise(err, E_NOMEM, "the replica has more than %d objects; prune it", CATALOG_OBJECTS_MAX);
    switch (k.kind) {
    case LAYOUT_LOG:
        return add_log(b, &k, e->size, err);
    case LAYOUT_FOLD:
        return add_fold(b, &k, e->size, err);
    case LAYOUT_SNAPSHOT:
        return add_snapshot(b, &k, e->size, err);
    case LAYOUT_PART:
        return add_part(b, &k, e->size, err);
    case LAYOUT_MERGE:
        return add_merge(b, &k, e->size, err);
    case LAYOUT_PRUNED:
        return add_pruned(b, &k, err);
    case LAYOUT_TIMELINE:
        return timeline_of(b, k.timeline, &t, err);
    case LAYOUT_IDENTITY_KEY:
    case LAYOUT_OTHER:
        break;
    }
    b->catalog->unexpected_count++;
    return RC_OK;
}

/* --- limits --------------------------------------------------------------------------------------------------------
 */

/* The last '/' of a key and what is behind it do not count. */
static size_t folder_size(const char *key)
{
    const char *slash = strrchr(key, '/');

    return slash != NULL ? (size_t)(slash - key) : 0;
}

static void count_in_folder(struct builder *b, const char *key)
{
    size_t size = folder_size(key);

    if (strlen(b->folder) != size || memcmp(b->folder, key, size) != 0) {
        (void)snprintf(b->folder, sizeof b->folder, "%.*s", (int)size, key); /* a key fits */
        b->folder_count = 0;
    }
    b->folder_count++;
}

/* What is known of the timeline is not all there is.  The next page begins behind the folder. */
static void pass_over(struct builder *b, const char *key, layout_text after)
{
    const struct layout_key k = layout_parse(key);
    struct catalog *c = b->catalog;

    if (c->timeline_count > 0 && c->timelines[c->timeline_count - 1].number == k.timeline)
        c->timelines[c->timeline_count - 1].cut = true;
    (void)snprintf(after, sizeof(layout_text), "%.*s/z", (int)folder_size(key), key); /* digits and 'a' to 'f' before */
}

/* Behind a page that is not the last: where to go on, if at all. */
static struct rc keep_within(struct builder *b, const char *last_key, layout_text after, bool *more, struct err *err)
{
    const struct catalog_limits *limits = b->limits;
    struct catalog *c = b->catalog;

    if (limits == NULL)
        return RC_OK;
    if (limits->stop != NULL && *limits->stop)
        return rc_raise(err, E_CANCELED, "list the replica: stopped");
    if (b->folder_count >= limits->folder_max)
        pass_over(b, last_key, after);
    if (b->objects < limits->object_max && c->timeline_count < limits->timeline_max)
        return RC_OK;
    /* Of the last timeline there may be more. */
    if (c->timeline_count > 0)
        c->timelines[c->timeline_count - 1].cut = true;
    c->cut = true;
    *more = false;
    return RC_OK;
}

static void ask_page(struct store_req *req, const char *after)
{
    layout_text prefix;

    layout_timelines_prefix(prefix);
    store_req_init(req, STORE_LIST, prefix, NULL, NULL);
    (void)snprintf(req->after, sizeof req->after, "%s", after); /* a key fits */
}

/* `rc` is what became of the request; `after`: where the next page begins, if there is one. */
static struct rc take_page(
    struct builder *b, const struct store_req *req, struct rc rc, layout_text after, bool *more, struct err *err)
{
    TRY_CTX(rc, err, "list %s", req->key);
    for (size_t i = 0; i < req->entry_count; i++) {
        TRY(add_entry(b, &req->entries[i], err));
        if (b->limits != NULL)
            count_in_folder(b, req->entries[i].key);
    }
    *more = req->more && req->entry_count > 0;
    if (!*more)
        return RC_OK;
    (void)snprintf(after, sizeof(layout_text), "%s", req->entries[req->entry_count - 1].key); /* a key fits */
    return keep_within(b, req->entries[req->entry_count - 1].key, after, more, err);
}

/* `first` is the first page, which has been asked for. */
static struct rc list_all(
    struct builder *b, struct work *w, struct store *s, const struct store_req *first, struct err *err)
{
    layout_text after = "";
    bool more = true;

    TRY(take_page(b, first, store_result(first, err), after, &more, err));
    while (more) {
        CLEANUP(store_req_fini) struct store_req req;

        ask_page(&req, after);
        TRY(take_page(b, &req, work_store(w, s, &req, err), after, &more, err));
    }
    return RC_OK;
}

/* --- documents -----------------------------------------------------------------------------------------------------
 */

/* *found is false when there is none; a damaged one is an error. */
static struct rc take_identity(struct catalog *c, const struct store_req *req, bool *found, struct err *err)
{
    struct rc rc = store_result(req, err);

    *found = rc.code != E_NOTFOUND;
    if (!*found)
        return RC_OK;
    TRY_CTX(rc, err, "%s", LAYOUT_IDENTITY);
    return layout_identity_decode(buf_span(&req->data), &c->identity, err);
}

static uint64_t describe_origin(void *ctx, size_t i, layout_text key)
{
    const struct catalog *c = ctx;

    layout_timeline(key, c->timelines[i].number);
    return 1024; /* about */
}

static struct rc read_origins(struct catalog *c, struct work *w, struct store *s, struct err *err)
{
    CLEANUP(prefetch_freep) struct prefetch *p = prefetch_new(w, s, c->timeline_count, describe_origin, c);

    for (size_t i = 0; i < c->timeline_count; i++) {
        CLEANUP(buf_fini) struct buf bytes = {0};
        struct layout_origin origin = {0};
        struct rc rc = prefetch_take(p, &bytes, err);

        if (!rc_failed(rc))
            rc = layout_origin_decode(buf_span(&bytes), &origin, err);
        if (!rc_failed(rc) && origin.timeline == c->timelines[i].number)
            c->timelines[i].origin = origin;
        else if (rc_failed(rc) && rc.code != E_NOTFOUND && rc.code != E_CORRUPT)
            return rc;
    }
    return RC_OK;
}

/* Without weir.json, the timelines say whose history it is. */
static void identify_by_timelines(struct catalog *c)
{
    for (size_t i = 0; i < c->timeline_count; i++)
        if (c->timelines[i].origin.timeline != 0)
            c->identity.database = c->timelines[i].origin.database;
}

static struct rc take_all(
    struct builder *b, struct work *w, struct store *s, struct store_req asked[static 2], struct err *err)
{
    struct catalog *c = b->catalog;
    bool found = false;
    struct err damage;
    struct rc identity = take_identity(c, &asked[0], &found, &damage);

    if (rc_failed(identity) && identity.code != E_CORRUPT) {
        *err = damage;
        return rc_wrap(err, "replica at %s", s->url);
    }
    TRY_CTX(list_all(b, w, s, &asked[1], err), err, "replica at %s", s->url);
    if (c->timeline_count == 0 && rc_failed(identity)) {
        *err = damage;
        return rc_wrap(err, "replica at %s", s->url);
    }
    if (c->timeline_count == 0 && !found)
        return rc_raise(err, E_NOTFOUND, "no replica at %s", s->url);
    TRY(read_origins(c, w, s, err));
    if (c->identity.format == 0)
        identify_by_timelines(c);
    return RC_OK;
}

struct rc catalog_build_load(
    struct catalog **out, struct work *w, struct store *s, const struct catalog_limits *limits, struct err *err)
{
    CLEANUP(catalog_freep) struct catalog *c = mem_new(sizeof *c);
    struct builder b = {.catalog = c, .limits = limits};
    struct store_req asked[2]; /* at once, because a far store takes its time for each */
    struct err each;
    struct rc rc;

    store_req_init(&asked[0], STORE_GET, LAYOUT_IDENTITY, NULL, NULL);
    ask_page(&asked[1], "");
    rc_ignore(work_store_all(w, s, asked, 2, &each), "each is asked for what became of it");
    rc = take_all(&b, w, s, asked, err);
    store_req_fini(&asked[0]);
    store_req_fini(&asked[1]);
    TRY(rc);
    *out = MOVE(c);
    return RC_OK;
}
