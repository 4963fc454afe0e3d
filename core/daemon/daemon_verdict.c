/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is all well?  One verdict for everybody who is told: the status document, readiness, metrics, the service manager.
 * What is not judged here is no reason for anybody.
 */
#include "daemon_intern.h"

#include <string.h>

static const char replicating[] = "replicating";

/* One that was parked is opened again, and nothing keeps it from it. */
static bool is_returning(const struct daemon_member *m)
{
    return m->item != NULL && m->item->replicated && m->item->error == NULL && m->db.state <= DB_STARTING;
}

bool daemon_verdict_member(const struct daemon_member *m)
{
    if (status_trouble(&m->db) != NULL)
        return false;
    return strcmp(status_state(&m->db), replicating) == 0 || is_returning(m);
}

/* One that is not open is fine when all that was committed is in its replica, or when it was never written, and nothing
 * is known to be damaged. */
bool daemon_verdict_item(const struct daemon_item *i)
{
    if (daemon_proof_trouble(i) != NULL)
        return false;
    return i->replicated || i->state == DAEMON_ITEM_PARKED || i->state == DAEMON_ITEM_EMPTY;
}

static void judge_configuration(const struct daemon *d, daemon_verdict_fn *found, void *ctx)
{
    if (d->reload_error.code != E_OK)
        found(ctx, d->source->file != NULL ? d->source->file : "", "configuration", &d->reload_error);
}

static void judge_members(const struct daemon *d, daemon_verdict_fn *found, void *ctx)
{
    for (const struct daemon_member *m = d->members; m != NULL; m = m->next)
        if ((m->item == NULL || daemon_item_is_open(m->item)) && !daemon_verdict_member(m))
            found(ctx, m->settings.set.path, status_state(&m->db), status_trouble(&m->db));
}

static void judge_items(const struct daemon *d, daemon_verdict_fn *found, void *ctx)
{
    for (const struct daemon_item *i = d->items; i != NULL; i = i->all_next) {
        struct status_closed c;

        if (daemon_item_is_open(i) || i->state == DAEMON_ITEM_LEAVING || daemon_verdict_item(i))
            continue;
        daemon_status_closed(i, NULL, &c);
        found(ctx, c.path, c.state, c.error);
    }
}

static void judge_folders(const struct daemon *d, daemon_verdict_fn *found, void *ctx)
{
    for (const struct daemon_folder *f = d->folders; f != NULL; f = f->next)
        if (f->error.code != E_OK)
            found(ctx, f->dir, "failed", &f->error);
        else if (!f->scanned)
            found(ctx, f->dir, "starting", NULL);
}

void daemon_verdict_each(const struct daemon *d, daemon_verdict_fn *found, void *ctx)
{
    judge_members(d, found, ctx);
    judge_items(d, found, ctx);
    judge_folders(d, found, ctx);
    judge_configuration(d, found, ctx);
}

static void count(void *ctx, const char *path, const char *state, const struct err *why)
{
    size_t *n = ctx;

    (void)path;
    (void)state;
    (void)why;
    ++*n;
}

bool daemon_verdict_all(const struct daemon *d)
{
    size_t n = 0;

    daemon_verdict_each(d, count, &n);
    return n == 0;
}
