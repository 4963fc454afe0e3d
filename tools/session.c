/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "cli.h"
#include "settings.h"
#include "store_links.h"
#include "strx.h"

#include <assert.h>
#include <inttypes.h>

struct session {
    struct work_item item; /* must be first */
    struct work *work;
    struct store_env *env;
    struct store *store;
    session_fn fn;
    void *ctx;
    struct rc rc;
    struct err err;
    bool env_stopped;
};

static void on_env_stopped(void *ctx)
{
    struct session *s = ctx;

    s->env_stopped = true;
}

static void on_store_stopped(void *ctx)
{
    struct session *s = ctx;

    store_env_stop(s->env, on_env_stopped, s);
}

/* What a share holds looks like a replica that has lost much. */
static void tell_share(const struct session *s)
{
    const struct share_doc *d = store_links_doc(s->store);
    char when[STRX_TIME_SIZE];

    if (d != NULL)
        cli_complain("",
            "note: %.400s is a share, a part of a replica: what txid %" PRIu64 " of timeline %" PRIu32
            " needs, until %s",
            s->store->url, d->txid, d->timeline, strx_format_time(d->expires_ms, when));
}

static void run(struct work_item *item)
{
    struct session *s = (struct session *)item;

    s->rc = s->fn(s->ctx, s->work, s->store, &s->err);
}

static void on_done(struct work_item *item)
{
    struct session *s = (struct session *)item;

    tell_share(s);
    store_stop(s->store, on_store_stopped, s);
    work_stop(s->work);
}

struct rc session_run(const struct fsys *fs, const char *source, session_fn fn, void *ctx, struct err *err)
{
    return session_run_with(fs, NULL, source, fn, ctx, err);
}

struct rc session_run_with(
    const struct fsys *fs, const char *file, const char *source, session_fn fn, void *ctx, struct err *err)
{
    CLEANUP(settings_source_fini) struct settings_source from = {0};

    TRY(settings_find(&from, fs, file, source, err));
    return session_run_at(fs,
        &(struct session_place){.url = from.url, .options = from.options, .option_count = from.option_count}, fn, ctx,
        err);
}

struct rc session_run_at(
    const struct fsys *fs, const struct session_place *place, session_fn fn, void *ctx, struct err *err)
{
    struct session s = {.item = {.run = run, .done = on_done}, .fn = fn, .ctx = ctx};
    uv_loop_t loop;
    struct rc rc;
    int left = uv_loop_init(&loop);

    if (left != 0)
        return rc_raise(err, E_IO, "start an event loop: %s", uv_strerror(left));
    s.env = store_env_new(&loop, fs);
    rc = store_open(s.env, place->url, place->options, place->option_count, &s.store, err);
    if (!rc_failed(rc)) {
        s.work = work_new(&loop, 0);
        work_job(s.work, &s.item);
    } else
        store_env_stop(s.env, on_env_stopped, &s);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* until nothing is left */
    left = uv_loop_close(&loop);
    assert(left == 0);
    assert(s.env_stopped);
    if (rc_failed(rc))
        return rc;
    if (rc_failed(s.rc))
        *err = s.err;
    return s.rc;
}
