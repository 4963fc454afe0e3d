/* SPDX-License-Identifier: Apache-2.0 */
#include "db_replica.h"

#include "backoff.h"
#include "db_drain.h"
#include "slog.h"

#include <unistd.h>

enum { RETRY_BASE_MS = 500, RETRY_MAX_MS = 10000, LOOK_MS = 50 };

struct waiting {
    struct db_start *s;
    const struct err *err;
};

static void on_wait(void *ctx)
{
    struct waiting *w = ctx;

    w->s->on_wait(w->s->ctx, w->err);
}

/* false: the log has grown too long to be held, or the process is to stop. */
static bool hold_and_pause(struct db_replica *r, uint32_t pause_ms)
{
    struct stat st;

    for (uint32_t ms = 0; ms < pause_ms && !*r->start->stop; ms += LOOK_MS)
        (void)usleep(LOOK_MS * 1000); /* cut short by a signal: it looks a little earlier */
    if (r->start->fs->stat(r->start->fs, r->live->conn->wal_path, &st) == 0
        && (uint64_t)st.st_size > r->start->log_limit)
        return false;
    return !*r->start->stop;
}

/* A replica that was good once may deny for a while, too: credentials that have run out, a policy that is being
 * changed. Somebody at a first start wants to hear it at once. */
static bool may_pass(enum err_code code)
{
    return rc_retryable(code) || code == E_DENIED;
}

/*
 * While the replica does not answer, the gate stays closed, so that the log keeps what comes after our position.  That
 * makes sense only when there is such a position.
 */
static struct rc survey(struct db_replica *r, struct err *err)
{
    struct backoff backoff = {.base_ms = RETRY_BASE_MS, .max_ms = RETRY_MAX_MS};
    struct waiting told = {.s = r->start, .err = err};

    for (;;) {
        struct rc rc =
            db_survey_run(r->survey, r->start->work, r->start->store, r->start->path, r->found, r->local, err);

        if (!rc_failed(rc))
            return rc;
        db_survey_fini(r->survey);
        if (!may_pass(rc.code) || r->found != LOCAL_STATE_GOOD || r->start->must_compare)
            return rc;
        if ((backoff.failure_count & (backoff.failure_count - 1)) == 0)
            work_on_loop(r->start->work, on_wait, &told);
        if (!hold_and_pause(r, backoff_next_ms(&backoff)))
            return *r->start->stop ? rc_raise(err, E_CANCELED, "stopped while the replica did not answer") : rc;
    }
}

/* What an earlier run left in the spool belongs before everything else. */
static struct rc drain(struct db_replica *r, struct err *err)
{
    struct db_drain d = {.work = r->start->work,
        .store = r->start->store,
        .spool = r->start->spool,
        .path = r->start->path,
        .facts = &r->survey->facts};

    if (r->start->adopt || r->start->fork)
        return RC_OK;
    TRY(db_drain_run(&d, err));
    if (d.shipped_count > 0) {
        db_survey_fini(r->survey);
        TRY(survey(r, err));
    }
    r->survey->facts.spool_damaged = d.damaged;
    return RC_OK;
}

/* Once for each process: can the store keep a second writer out? */
static struct rc probe(struct db_replica *r, struct err *err)
{
    const char *weakness;

    if (r->start->fence != FENCE_UNKNOWN || !store_may_lack_conditions(r->start->store))
        return RC_OK;
    TRY(fence_probe(r->start->work, r->start->store, &r->start->fence, err));
    weakness = fence_weakness(r->start->fence);
    if (weakness == NULL)
        return RC_OK;
    if (r->start->require_fence) {
        r->start->fence = FENCE_UNKNOWN; /* look again at the next try */
        return rc_raise(err, E_UNSUPPORTED,
            "%s: %s, so nothing there would stop a second writer from mixing up the history. Use another store, or "
            "accept that with --fencing warn and see to it yourself that only one writer runs",
            r->start->store->url, weakness);
    }
    LOG_WARN("this replica cannot keep a second writer out: see to it that only one runs; weir looks for others at "
             "intervals",
        F_STR("db", r->start->path), F_STR("url", r->start->store->url), F_STR("reason", weakness));
    store_without_conditions(r->start->store);
    return RC_OK;
}

struct rc db_replica_ask(struct db_replica *r, struct err *err)
{
    TRY(survey(r, err));
    TRY(probe(r, err));
    return drain(r, err);
}

void db_replica_clear_spool(const struct db_start *start)
{
    struct err why;

    if (spool_bytes(start->spool) == 0)
        return;
    LOG_WARN("the spool holds segments that do not continue the history: they are removed", F_STR("db", start->path),
        F_U64("bytes", spool_bytes(start->spool)));
    if (rc_failed(spool_clear(start->spool, &why)))
        LOG_WARN("spool", F_STR("db", start->path), F_ERR(&why));
}
