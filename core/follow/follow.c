/* SPDX-License-Identifier: Apache-2.0 */
#include "follow.h"

#include "alloc.h"
#include "backoff.h"
#include "clock.h"
#include "follow_intern.h"
#include "prefetch.h"
#include "strx.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TROUBLE_BASE_MS = 500, TROUBLE_MAX_MS = 30000 };

/* --- telling ------------------------------------------------------------------------------------------------------ */

void follow_tell(struct follow *f, enum follow_what what, uint64_t commits, uint64_t pages, const char *text)
{
    const struct pos *pos = follow_pos(f);
    int64_t lag_ms = clock_wall_ms(f->opts->clock) - pos->time_ms;
    const struct follow_event e = {
        .what = what,
        .timeline = pos->timeline,
        .txid = pos->txid,
        .time_ms = pos->time_ms,
        .checksum = pos->checksum,
        .commits = commits,
        .pages = pages,
        .page_count = pos->page_count,
        .log_frames = follow_copy_log_frames(f->copy),
        .lag_ms = lag_ms > 0 ? lag_ms : 0,
        .text = text,
    };

    f->opts->on_event(f->opts->ctx, &e);
}

void follow_lost_way(struct follow *f, const char *why)
{
    f->must_list = f->must_rebase = true;
    (void)snprintf(f->why, sizeof f->why, "%s", why);
}

/* --- applying ----------------------------------------------------------------------------------------------------- */

struct part_list {
    const struct seg_info *info;
};

static uint64_t describe_part(void *ctx, size_t i, layout_text key)
{
    const struct seg_info *info = ((const struct part_list *)ctx)->info;

    layout_part(key, info->timeline, info->base_txid + 1, &info->pack.writer, (uint32_t)i);
    return info->parts[i].size;
}

static struct rc apply_parts(struct follow *f, struct seg_dec *d, const struct seg_apply_ops *ops, struct err *err)
{
    struct part_list list = {seg_dec_info(d)};
    CLEANUP(prefetch_freep)
    struct prefetch *p = prefetch_new(f->work, f->store, list.info->part_count, describe_part, &list);
    bool stopped = false;

    for (size_t i = 0; i < list.info->part_count && !stopped; i++) {
        CLEANUP(buf_fini) struct buf bytes = {0};
        layout_text key;

        (void)describe_part(&list, i, key);
        TRY_CTX(prefetch_take(p, &bytes, err), err, "%s", key);
        TRY_CTX(seg_dec_apply_part(d, buf_span(&bytes), ops, &stopped, err), err, "%s", key);
    }
    return RC_OK;
}

/* It begins where the copy is. */
static struct rc check_base(const struct follow *f, const struct seg_info *info, struct err *err)
{
    const struct pos *at = follow_copy_next(f->copy);

    if (!nonce_equal(&info->pack.database, &follow_copy_content(f->copy)->database))
        return rc_raise(err, E_CORRUPT, "it belongs to another database");
    if (info->page_size != at->page_size)
        return rc_raise(err, E_UNSUPPORTED,
            "its pages have %" PRIu32 " bytes, those of the copy %" PRIu32
            ", which cannot change under readers: stop them, and weir restore --follow --force",
            info->page_size, at->page_size);
    if (info->base_txid != at->txid || info->base_checksum != at->checksum)
        return rc_raise(err, E_CORRUPT,
            "it begins at txid %" PRIu64 " with state checksum %016" PRIx64 ", the copy is at txid %" PRIu64
            " with %016" PRIx64,
            info->base_txid, info->base_checksum, at->txid, at->checksum);
    return RC_OK;
}

struct rc follow_apply(struct follow *f, struct seg_dec *segment, uint64_t last_txid, struct err *err)
{
    const struct seg_info *info = seg_dec_info(segment);
    struct seg_apply_ops ops;
    bool stopped = false;
    layout_text key;

    layout_log(key, info->timeline, info->base_txid + 1);
    TRY_CTX(check_base(f, info, err), err, "%s", key);
    follow_copy_segment(f->copy, info, last_txid);
    ops = follow_copy_ops(f->copy);
    TRY(apply_parts(f, segment, &ops, err));
    if (!follow_copy_reached(f->copy))
        TRY_CTX(seg_dec_apply_tail(segment, &ops, &stopped, err), err, "%s", key);
    return RC_OK;
}

struct rc follow_commit(struct follow *f, enum follow_what what, const char *text, struct err *err)
{
    uint64_t from = follow_pos(f)->txid, pages = follow_copy_pending(f->copy);
    char warning[ERR_MSG_SIZE];

    TRY(follow_copy_commit(f->copy, warning, err));
    f->progress = true;
    f->told_current = false;
    follow_tell(f, what, follow_pos(f)->txid - from, pages, text);
    if (warning[0] != 0) {
        char told[ERR_MSG_SIZE + 128];

        (void)snprintf(told, sizeof told,
            "the position beside the copy could not be kept, so the next start has to "
            "look for it: %s",
            warning);
        follow_tell(f, FOLLOW_WARNING, 0, 0, told);
    }
    return RC_OK;
}

struct rc follow_switch(struct follow *f, uint32_t number, struct err *err)
{
    struct pos pos = *follow_pos(f);

    pos.timeline = number;
    TRY(follow_copy_settle(f->copy, &pos, err));
    f->progress = true;
    f->told_current = false;
    follow_tell(f, FOLLOW_TIMELINE, 0, 0, NULL);
    return RC_OK;
}

/* --- one key ------------------------------------------------------------------------------------------------------ */

static bool is_snapshot_only(const struct seg_info *info)
{
    for (size_t i = 0; i < info->commit_count; i++)
        if ((info->commits[i].flags & SEG_SNAPSHOT) != 0)
            return true;
    return false;
}

static struct rc take_segment(struct follow *f, struct seg_dec *segment, struct err *err)
{
    struct rc rc;

    if (is_snapshot_only(seg_dec_info(segment))) {
        follow_lost_way(f, "the next commit is in a snapshot only");
        return RC_OK;
    }
    TRY(follow_copy_begin(f->copy, err));
    rc = follow_apply(f, segment, UINT64_MAX, err);
    if (!rc_failed(rc))
        rc = follow_commit(f, FOLLOW_APPLIED, NULL, err);
    if (rc_failed(rc)) {
        struct err other;

        if (rc_failed(follow_copy_abort(f->copy, &other)))
            *err = other;
        return rc_of(err);
    }
    return rc;
}

/* The timeline was sealed.  Its successor is there a moment later; whether it goes on from our state it says itself. */
static struct rc meet_seal(struct follow *f, const struct seal *seal, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    const struct pos *pos = follow_pos(f);
    struct layout_origin origin;
    layout_text key;
    struct rc rc;

    layout_timeline(key, seal->successor);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    rc = work_store(f->work, f->store, &req, err);
    if (rc.code == E_NOTFOUND)
        return RC_OK;
    TRY_CTX(rc, err, "%s", key);
    TRY_CTX(layout_origin_decode(buf_span(&req.data), &origin, err), err, "%s", key);
    if (origin.parent == pos->timeline && origin.fork_txid == pos->txid && origin.fork_checksum == pos->checksum)
        return follow_switch(f, seal->successor, err);
    f->must_list = true; /* the listing tells where the history went */
    return RC_OK;
}

static void looked(struct follow *f)
{
    f->looked_ms = clock_mono_ms(f->opts->clock);
    f->looked_wall_ms = clock_wall_ms(f->opts->clock);
}

static struct rc check_identity(struct follow *f, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    struct layout_identity id;
    struct rc rc;

    store_req_init(&req, STORE_GET, LAYOUT_IDENTITY, NULL, NULL);
    rc = work_store(f->work, f->store, &req, err);
    if (rc.code == E_NOTFOUND)
        return rc_raise(err, E_IO, "there is nothing at %s any more: is its disk mounted?", f->store->url);
    TRY_CTX(rc, err, LAYOUT_IDENTITY);
    TRY_CTX(layout_identity_decode(buf_span(&req.data), &id, err), err, LAYOUT_IDENTITY);
    if (!nonce_equal(&id.database, &follow_copy_content(f->copy)->database))
        return rc_raise(err, E_CONFIG, "%s holds the history of another database now", f->store->url);
    return RC_OK;
}

/* Keys are deleted ten minutes after they were made, unless somebody chose less, or deleted by hand. */
static struct rc check_behind(struct follow *f, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req;
    const struct pos *pos = follow_pos(f);
    layout_text prefix;

    layout_log_prefix(prefix, pos->timeline);
    store_req_init(&req, STORE_LIST, prefix, NULL, NULL);
    layout_log(req.after, pos->timeline, pos->txid + 1);
    req.limit = 1;
    TRY_CTX(work_store(f->work, f->store, &req, err), err, "list %s", prefix);
    f->must_list = req.entry_count > 0;
    return RC_OK;
}

/* "No such key" is also what a replica says that is gone (an unmounted disk, a bucket that was emptied), or whose next
 * key is. */
static struct rc check_presence(struct follow *f, struct err *err)
{
    uint64_t now = clock_mono_ms(f->opts->clock);

    if (now - f->presence_ms < FOLLOW_PRESENCE_MS)
        return RC_OK;
    TRY(check_identity(f, err));
    TRY(check_behind(f, err));
    f->presence_ms = now;
    return RC_OK;
}

static struct rc ask_next(struct follow *f, struct err *err)
{
    CLEANUP(catalog_object_fini) struct catalog_object object = {0};
    const struct pos *pos = follow_pos(f);
    struct rc rc = catalog_fetch(&object, f->work, f->store, pos->timeline, pos->txid + 1, err);

    if (rc.code == E_NOTFOUND) {
        TRY(check_presence(f, err));
        looked(f);
        return RC_OK;
    }
    TRY(rc);
    looked(f);
    f->presence_ms = f->looked_ms;
    return object.sealed ? meet_seal(f, &object.seal, err) : take_segment(f, object.segment, err);
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

/* A key that was folded is deleted ten minutes later.  Whoever looked less than five minutes ago, by whichever clock
 * went further, cannot have missed it. */
static bool was_blind(const struct follow *f)
{
    int64_t wall = clock_wall_ms(f->opts->clock) - f->looked_wall_ms;

    return clock_mono_ms(f->opts->clock) - f->looked_ms > FOLLOW_BLIND_MS || wall > FOLLOW_BLIND_MS;
}

/* A transaction of a reader that stays open keeps the log from being started over. */
static struct rc check_log_size(const struct follow *f, struct err *err)
{
    uint64_t bytes = (uint64_t)follow_copy_log_frames(f->copy) * follow_copy_page_size(f->copy);
    char size[STRX_HUMAN_SIZE];

    if (bytes < f->opts->log_limit)
        return RC_OK;
    return rc_raise(err, E_BUSY,
        "the log of %s has %s, because a reader keeps a transaction open; nothing more is applied until it has ended "
        "(--log-limit)",
        f->opts->output, strx_format_size(bytes, size));
}

struct rc follow_tend(struct follow *f, struct err *err)
{
    TRY(follow_copy_tend(f->copy, err));
    return check_log_size(f, err);
}

static struct rc turn(struct follow *f, struct err *err)
{
    f->progress = false;
    TRY(follow_tend(f, err));
    if (f->must_list || was_blind(f)) {
        TRY(follow_list_all(f, err));
        f->must_list = f->must_rebase = false;
        looked(f);
        f->presence_ms = f->looked_ms;
        return RC_OK;
    }
    return ask_next(f, err);
}

/* What a later try may mend.  Credentials of a replica that was good once may run out and be renewed; somebody at a
 * first start wants to hear it at once. */
static bool may_pass(const struct follow *f, enum err_code code)
{
    return rc_retryable(code) || (code == E_DENIED && f->met);
}

/* A damaged object may have come damaged, and there may be a way around it; only then it is the end. */
static bool find_another_way(struct follow *f, struct rc rc, const struct err *err)
{
    if ((rc.code != E_CORRUPT && rc.code != E_NOTFOUND) || !f->met || f->must_rebase || follow_copy_is_foreign(f->copy))
        return false;
    follow_lost_way(f, err->msg);
    return true;
}

static void tell_trouble(struct follow *f, const struct err *err)
{
    if (!f->in_trouble)
        follow_tell(f, FOLLOW_TROUBLE, 0, 0, err->msg);
    f->in_trouble = true;
}

static void tell_calm(struct follow *f)
{
    if (f->in_trouble)
        follow_tell(f, FOLLOW_AGAIN, 0, 0, NULL);
    f->in_trouble = false;
    if (!f->progress && !f->told_current && !f->must_list) {
        f->told_current = true;
        follow_tell(f, FOLLOW_CURRENT, 0, 0, NULL);
    }
}

/* Pauses grow by a quarter while nothing comes. */
static uint32_t longer(const struct follow *f, uint32_t pause_ms)
{
    uint64_t max = (uint64_t)f->opts->interval_ms * FOLLOW_IDLE_FACTOR, next = (uint64_t)pause_ms + pause_ms / 4 + 1;

    if (max > FOLLOW_BLIND_MS / 2)
        max = f->opts->interval_ms > FOLLOW_BLIND_MS / 2 ? f->opts->interval_ms : FOLLOW_BLIND_MS / 2;
    return (uint32_t)(next < max ? next : max);
}

static struct rc loop(struct follow *f, struct err *err)
{
    struct backoff backoff = {.base_ms = TROUBLE_BASE_MS, .max_ms = TROUBLE_MAX_MS};
    uint32_t idle_ms = f->opts->interval_ms, pause_ms;

    for (;;) {
        struct rc rc = turn(f, err);

        if (rc_failed(rc) && find_another_way(f, rc, err))
            continue;
        if (rc_failed(rc) && !may_pass(f, rc.code))
            return rc;
        if (rc_failed(rc)) {
            tell_trouble(f, err);
            pause_ms = backoff_next_ms(&backoff);
        } else {
            tell_calm(f);
            backoff_reset(&backoff);
            if (f->progress)
                idle_ms = f->opts->interval_ms;
            pause_ms = f->progress || f->must_list ? 0 : idle_ms;
            idle_ms = pause_ms > 0 ? longer(f, idle_ms) : idle_ms;
        }
        if (f->opts->wait(f->opts->ctx, pause_ms))
            return RC_OK;
    }
}

struct rc follow_run(
    struct work *w, struct store *s, const struct fsys *fs, const struct follow_opts *opts, struct err *err)
{
    struct follow f = {.work = w, .store = s, .fs = fs, .opts = opts, .must_list = true};
    struct rc rc;

    assert(opts->interval_ms > 0);
    TRY(follow_copy_open(&f.copy, fs, opts->output, opts->state_base, err));
    follow_rebase_clear(&f);
    rc = follow_find_state(&f, err);
    if (!rc_failed(rc)) {
        follow_tell(&f, FOLLOW_READY, 0, 0, NULL);
        rc = loop(&f, err);
    }
    follow_copy_close(f.copy);
    return rc;
}
