/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_intern.h"

#include "alloc.h"
#include "db_snapshot.h"
#include "db_sync.h"
#include "status.h"

#include <string.h>
#include <unistd.h>

static int append(const char *text, size_t size, void *ctx)
{
    buf_put(ctx, text, size);
    return 0;
}

static void answer_json(struct control_call *call, json_t *o)
{
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, CONTROL_ANSWER_MAX);
    if (o == NULL || json_dump_callback(o, append, &text, JSON_COMPACT) != 0)
        buf_text(&text, "{\"ok\":false,\"code\":\"E_NOMEM\",\"error\":\"the daemon is out of memory\"}");
    json_decref(o);
    control_answer(call, mem_strdup(buf_str(&text)));
}

static void answer_error(struct control_call *call, const struct err *err)
{
    answer_json(call, json_pack("{s:b, s:s, s:s}", "ok", 0, "code", rc_name(err->code), "error", err->msg));
}

struct call_waiter {
    struct db_waiter waiter; /* must be first */
    struct control_call *call;
};

static void on_waited(struct db_waiter *w, uint64_t txid, const struct err *err)
{
    struct call_waiter *cw = (struct call_waiter *)w;

    if (err->code != E_OK)
        answer_error(cw->call, err);
    else
        answer_json(cw->call, json_pack("{s:b, s:I}", "ok", 1, "txid", (json_int_t)txid));
    mem_free(cw);
}

static bool db_is_over(const struct db *db)
{
    return db->state == DB_FENCED || db->state == DB_FAILED || db->state == DB_STOPPED;
}

enum wait_for { WAIT_NOT, WAIT_SYNC, WAIT_SNAPSHOT };

/* A waiter that nobody hears: its being there makes the actor ship at once. */
static void on_unheard(struct db_waiter *w, uint64_t txid, const struct err *err)
{
    (void)txid;
    (void)err;
    mem_free(w);
}

static void begin_wait(struct db *db, struct control_call *call, enum wait_for what)
{
    struct call_waiter *cw = mem_new(sizeof *cw);

    cw->waiter.done = what == WAIT_NOT ? on_unheard : on_waited;
    cw->call = call;
    if (what == WAIT_SNAPSHOT)
        db_snapshot_wait(db, &cw->waiter);
    else
        db_sync_wait(db, &cw->waiter);
    if (what == WAIT_NOT)
        answer_json(call, json_pack("{s:b, s:I}", "ok", 1, "txid", (json_int_t)db->txid));
}

static void wait_on_db(struct daemon *d, struct control_call *call, const char *path, enum wait_for what)
{
    struct err err;

    for (struct daemon_member *m = d->members; m != NULL; m = m->next) {
        if (strcmp(m->settings.set.path, path) != 0)
            continue;
        if (m->over || db_is_over(&m->db)) {
            rc_ignore(rc_raise(&err, E_CANCELED, "%s is not replicated any more: %s", path, m->db.error.msg),
                "it is the answer");
            answer_error(call, &err);
            return;
        }
        begin_wait(&m->db, call, what);
        return;
    }
    rc_ignore(rc_raise(&err, E_CONFIG, "%s is not a database of this daemon", path), "it is the answer");
    answer_error(call, &err);
}

static void answer_status(struct daemon *d, struct control_call *call)
{
    json_t *list = json_array();
    json_t *o = json_pack("{s:s, s:I, s:o}", "version", WEIR_VERSION, "pid", (json_int_t)getpid(), "configuration",
        status_configuration(d->source->file, d->loaded_ms, &d->reload_error, d->reload_error_ms));

    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        (void)json_array_append_new(list, status_database(&m->db)); /* fails only without memory */
    (void)json_object_set_new(o, "databases", list);
    answer_json(call, o);
}

void daemon_call_answer(void *ctx, struct control_call *call, const char *command, const char *argument)
{
    struct daemon *d = ctx;
    struct err err;

    if (strcmp(command, "status") == 0) {
        answer_status(d, call);
    } else if (strcmp(command, "sync") == 0) {
        wait_on_db(d, call, argument, WAIT_SYNC);
    } else if (strcmp(command, "ship") == 0) {
        wait_on_db(d, call, argument, WAIT_NOT);
    } else if (strcmp(command, "snapshot") == 0) {
        wait_on_db(d, call, argument, WAIT_SNAPSHOT);
    } else {
        rc_ignore(rc_raise(&err, E_CONFIG, "no such command: %.64s", command), "it is the answer");
        answer_error(call, &err);
    }
}
