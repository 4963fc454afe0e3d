/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon_trigger.h"

#include "alloc.h"
#include "dashboard.h"
#include "db_snapshot.h"
#include "db_sync.h"
#include "strx.h"

#include <assert.h>
#include <string.h>

#define JSON_TYPE "application/json"

enum { WAIT_MAX_MS = 24 * 3600 * 1000 };

/* --- answers ------------------------------------------------------------------------------------------------------ */

static int append(const char *text, size_t size, void *ctx)
{
    buf_put(ctx, text, size);
    return 0;
}

void daemon_http_json(struct buf *out, json_t *o)
{
    if (o == NULL || json_dump_callback(o, append, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        out->failed = E_NOMEM;
    json_decref(o);
}

void daemon_http_answer(struct http_call *call, unsigned status, json_t *o)
{
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, HTTP_SLICE_MAX);
    daemon_http_json(&text, o);
    buf_text(&text, "\n");
    http_call_answer(call, status, JSON_TYPE, &text);
}

static unsigned status_of(enum err_code code)
{
    static const struct {
        enum err_code code;
        unsigned status;
    } known[] = {
        {E_CONFIG, 400}, {E_DENIED, 403}, {E_NOTFOUND, 404}, {E_CANCELED, 409}, {E_FENCED, 409}, {E_TIMEOUT, 504}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].code == code)
            return known[i].status;
    return 500;
}

void daemon_http_error(struct http_call *call, unsigned status, const struct err *err)
{
    json_t *o = json_pack("{s:b, s:s, s:o}", "ok", 0, "code", rc_name(err->code), "error", status_text(err->msg));

    daemon_http_answer(call, status != 0 ? status : status_of(err->code), o);
}

static void refuse(struct http_call *call, unsigned status, enum err_code code, const char *text)
{
    struct err err;

    rc_ignore(rc_raise(&err, code, "%s", text), "it is the answer");
    daemon_http_error(call, status, &err);
}

/* --- somebody waits ----------------------------------------------------------------------------------------------- */

struct call_waiter {
    struct db_waiter waiter; /* must be first */
    struct db *db;
    struct http_call *call;
    uv_timer_t timer;
    uint64_t timeout_ms;
};

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void on_waited(struct db_waiter *w, uint64_t txid, const struct err *err)
{
    struct call_waiter *cw = (struct call_waiter *)w;

    uv_close((uv_handle_t *)&cw->timer, on_timer_closed);
    if (err->code != E_OK)
        daemon_http_error(cw->call, 0, err);
    else
        daemon_http_answer(cw->call, 200, json_pack("{s:b, s:I}", "ok", 1, "txid", (json_int_t)txid));
}

/* What keeps it is worth more to whoever waits than that it took long. */
static void on_late(uv_timer_t *timer)
{
    struct call_waiter *cw = timer->data;
    const struct err *why = status_trouble(cw->db);
    char limit[STRX_HUMAN_SIZE];
    struct err err;

    db_forget_waiter(cw->db, &cw->waiter);
    rc_ignore(rc_raise(&err, E_TIMEOUT, "%s: not done within %s%s%s", cw->db->settings->path,
                  strx_format_duration(cw->timeout_ms, limit), why != NULL ? ": " : "", why != NULL ? why->msg : ""),
        "it is the answer");
    on_waited(&cw->waiter, 0, &err);
}

/* Nobody hears the answer. */
static void on_gone(void *ctx)
{
    struct call_waiter *cw = ctx;
    struct err err;

    db_forget_waiter(cw->db, &cw->waiter);
    rc_ignore(rc_raise(&err, E_CANCELED, "the client is gone"), "nobody hears it");
    on_waited(&cw->waiter, 0, &err);
}

void daemon_http_wait(struct db *db, struct http_call *call, bool for_snapshot, uint64_t timeout_ms)
{
    struct call_waiter *cw = mem_new(sizeof *cw);
    int rc = uv_timer_init(db->loop, &cw->timer);

    assert(rc == 0);
    cw->timer.data = cw;
    cw->db = db;
    cw->call = call;
    cw->timeout_ms = timeout_ms;
    cw->waiter.done = on_waited;
    rc = timeout_ms > 0 ? uv_timer_start(&cw->timer, on_late, timeout_ms, 0) : 0;
    assert(rc == 0);
    http_call_on_gone(call, on_gone, cw);
    if (for_snapshot)
        db_snapshot_wait(db, &cw->waiter);
    else
        db_sync_wait(db, &cw->waiter);
}

/* A waiter that nobody hears: its being there makes the actor ship at once. */
static void on_unheard(struct db_waiter *w, uint64_t txid, const struct err *err)
{
    (void)txid;
    (void)err;
    mem_free(w);
}

/* One is enough, however often somebody asks while the replica is away: it begins anew. */
static void ship_soon(struct db *db)
{
    struct db_waiter *w = db->waiters;

    while (w != NULL && w->done != on_unheard)
        w = w->next;
    if (w != NULL)
        db_forget_waiter(db, w);
    else
        w = mem_new(sizeof *w);
    w->done = on_unheard;
    db_sync_wait(db, w);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static bool db_is_over(const struct db *db)
{
    return db->state == DB_FENCED || db->state == DB_FAILED || db->state == DB_STOPPED;
}

/* NULL: the call has its answer, there is none. */
struct daemon_member *daemon_http_member(struct daemon *d, struct http_call *call)
{
    const char *path = http_call_query(call, "path");
    struct err err;

    if (path == NULL) {
        refuse(call, 400, E_CONFIG, "which database? path=... is missing");
        return NULL;
    }
    for (struct daemon_member *m = d->members; m != NULL; m = m->next)
        if (strcmp(m->settings.set.path, path) == 0)
            return m;
    rc_ignore(rc_raise(&err, E_CONFIG, "%s is not a database of this daemon", path), "it is the answer");
    daemon_http_error(call, 404, &err);
    return NULL;
}

struct daemon_item *daemon_http_closed_item(struct daemon *d, struct http_call *call)
{
    const char *path = http_call_query(call, "path");

    return path != NULL ? daemon_item_closed_at(d, path) : NULL;
}

struct daemon_member *daemon_http_working_member(struct daemon *d, struct http_call *call)
{
    struct daemon_member *m = daemon_http_member(d, call);
    struct err err;

    if (m == NULL || !(m->over || db_is_over(&m->db)))
        return m;
    rc_ignore(rc_raise(&err, E_CANCELED, "%s is not replicated any more: %s", m->settings.set.path, m->db.error.msg),
        "it is the answer");
    daemon_http_error(call, 0, &err);
    return NULL;
}

static bool take_timeout(struct http_call *call, uint64_t *out)
{
    const char *text = http_call_query(call, "timeout");
    struct err err = {.code = E_OK};

    *out = 0;
    if (text == NULL)
        return true;
    if (!rc_failed(strx_duration_ms(text, out, &err)) && *out > WAIT_MAX_MS)
        rc_ignore(rc_raise(&err, E_CONFIG, "it is longer than a day"), "it is the answer");
    if (err.code == E_OK)
        return true;
    rc_ignore(rc_wrap(&err, "timeout"), "it is the answer");
    daemon_http_error(call, 0, &err);
    return false;
}

static void post_sync(struct daemon *d, struct http_call *call)
{
    const char *wait = http_call_query(call, "wait");
    struct daemon_item *closed = daemon_http_closed_item(d, call);
    struct daemon_member *m = closed == NULL ? daemon_http_working_member(d, call) : NULL;
    bool waits = wait != NULL && strcmp(wait, "0") != 0;
    uint64_t timeout_ms;

    if ((m == NULL && closed == NULL) || !take_timeout(call, &timeout_ms))
        return;
    if (closed != NULL && (waits || closed->error != NULL)) {
        daemon_wait_add(closed, call, false, timeout_ms);
        return;
    }
    if (closed != NULL) {
        daemon_trigger_ship_later(closed);
        daemon_http_answer(call, 202, json_pack("{s:b, s:I}", "ok", 1, "txid", (json_int_t)closed->facts.txid));
        return;
    }
    if (waits) {
        daemon_http_wait(&m->db, call, false, timeout_ms);
        return;
    }
    ship_soon(&m->db);
    daemon_http_answer(call, 202, json_pack("{s:b, s:I}", "ok", 1, "txid", (json_int_t)m->db.txid));
}

static void post_snapshot(struct daemon *d, struct http_call *call)
{
    struct daemon_item *closed = daemon_http_closed_item(d, call);
    struct daemon_member *m = closed == NULL ? daemon_http_working_member(d, call) : NULL;
    uint64_t timeout_ms;

    if (closed != NULL && take_timeout(call, &timeout_ms))
        daemon_wait_add(closed, call, true, timeout_ms);
    else if (m != NULL && take_timeout(call, &timeout_ms))
        daemon_http_wait(&m->db, call, true, timeout_ms);
}

/* --- what is shown ------------------------------------------------------------------------------------------------ */

static void get_dashboard(struct daemon *d, struct http_call *call)
{
    (void)d;
    dashboard_answer(call, http_call_path(call));
}

/* The dashboard for browsers, which say that they want HTML; for curl the names of the pages. */
static void get_root(struct daemon *d, struct http_call *call)
{
    const char *accept = http_call_header_in(call, "Accept");
    CLEANUP(buf_fini) struct buf text;

    if (accept != NULL && strstr(accept, "text/html") != NULL) {
        get_dashboard(d, call);
        return;
    }
    buf_init(&text, 4096);
    http_call_header(call, "Vary", "Accept");
    buf_text(&text, "weir " WEIR_VERSION "\n\n"
                    "/api/v1/status    where every database stands (path=... one of them)\n"
                    "/api/v1/samples   lag and throughput over time (path=... and span=hour or week)\n"
                    "/api/v1/history   what can be restored (path=...)\n"
                    "/api/v1/events    what happened last\n"
                    "/metrics          figures for Prometheus\n"
                    "/healthz          the process lives\n"
                    "/readyz           every database is replicated and nothing is wrong\n");
    http_call_answer(call, 200, "text/plain; charset=utf-8", &text);
}

static void get_healthz(struct daemon *d, struct http_call *call)
{
    CLEANUP(buf_fini) struct buf text;

    (void)d;
    buf_init(&text, 16);
    buf_text(&text, "ok\n");
    http_call_answer(call, 200, "text/plain; charset=utf-8", &text);
}

/* --- routes ------------------------------------------------------------------------------------------------------- */

struct route {
    const char *path;
    bool is_post;
    bool is_open; /* without the token */
    void (*run)(struct daemon *d, struct http_call *call);
    const char *parameters[4]; /* NULL at the end */
};

static const struct route routes[] = {
    {"/", false, true, get_root, {NULL}},
    {"/healthz", false, true, get_healthz, {NULL}},
    {"/api/v1/status", false, false, daemon_status_answer, {"path", NULL}},
    {"/api/v1/samples", false, false, daemon_show_samples, {"path", "span", NULL}},
    {"/api/v1/history", false, false, daemon_history_answer, {"path", NULL}},
    {"/api/v1/events", false, false, daemon_show_events, {NULL}},
    {"/metrics", false, false, daemon_show_metrics, {NULL}},
    {"/readyz", false, true, daemon_show_ready, {NULL}},
    {"/api/v1/sync", true, false, post_sync, {"path", "wait", "timeout", NULL}},
    {"/api/v1/snapshot", true, false, post_snapshot, {"path", "timeout", NULL}},
    {"/api/v1/triggers", true, false, daemon_trigger_answer, {"path", "interval", "commits", NULL}},
};

static const struct route dashboard_route = {"/dashboard/", false, true, get_dashboard, {NULL}};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    return dashboard_has(path) ? &dashboard_route : NULL;
}

/* The token comes first: whoever has none learns nothing. */
static void check_and_run(struct daemon *d, struct http_call *call, const struct route *r)
{
    const char *unknown;
    struct err err;

    if (r->is_post && !http_call_is_owner(call)) {
        refuse(call, 403, E_DENIED, "commands are taken over the control socket only");
        return;
    }
    unknown = http_call_query_name(call, r->parameters);
    if (unknown != NULL) {
        rc_ignore(rc_raise(&err, E_CONFIG, "unknown parameter %.64s", unknown), "it is the answer");
        daemon_http_error(call, 0, &err);
        return;
    }
    r->run(d, call);
}

void daemon_http_call(void *ctx, struct http_call *call)
{
    const struct route *r = find_route(http_call_path(call));
    const char *method = http_call_method(call);
    struct daemon *d = ctx;

    if ((r == NULL || !r->is_open) && !http_call_is_trusted(call)) {
        http_call_header(call, "WWW-Authenticate", "Bearer");
        refuse(call, 401, E_DENIED, "the token is missing or wrong (Authorization: Bearer ...)");
    } else if (r == NULL) {
        refuse(call, 404, E_NOTFOUND, "there is no such page");
    } else if (strcmp(method, "OPTIONS") == 0) {
        CLEANUP(buf_fini) struct buf none;

        buf_init(&none, 1);
        http_call_header(call, "Allow", r->is_post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS");
        http_call_answer(call, 204, "text/plain", &none);
    } else if (strcmp(method, r->is_post ? "POST" : "GET") != 0) {
        http_call_header(call, "Allow", r->is_post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS");
        refuse(call, 405, E_CONFIG, "this page does not know that method");
    } else {
        check_and_run(d, call, r);
    }
}
