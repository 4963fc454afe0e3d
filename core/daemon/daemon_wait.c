/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of control sockets that wait for a database which is not open. */
#include "daemon_intern.h"

#include "alloc.h"
#include "strx.h"

#include <assert.h>

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void drop(struct daemon_wait *w)
{
    *w->at = w->next;
    if (w->next != NULL)
        w->next->at = w->at;
    uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

static void answer_txid(struct http_call *call, uint64_t txid)
{
    daemon_http_answer(call, 200, json_pack("{s:b, s:I}", "ok", 1, "txid", (json_int_t)txid));
}

void daemon_wait_fail(struct daemon_item *item, const struct err *err)
{
    while (item->waits != NULL) {
        struct daemon_wait *w = item->waits;

        drop(w);
        daemon_http_error(w->call, 0, err);
    }
}

bool daemon_wait_settle(struct daemon_item *item)
{
    for (struct daemon_wait *w = item->waits, *next; w != NULL; w = next) {
        next = w->next;
        if (w->for_snapshot)
            continue;
        drop(w);
        answer_txid(w->call, item->facts.txid);
    }
    return item->waits == NULL;
}

static void on_late(uv_timer_t *timer)
{
    struct daemon_wait *w = timer->data;
    char limit[STRX_HUMAN_SIZE];
    struct err err;

    drop(w);
    rc_ignore(rc_raise(&err, E_TIMEOUT, "%s: not opened within %s: others are before it", w->item->path,
                  strx_format_duration(w->timeout_ms, limit)),
        "it is the answer");
    daemon_http_error(w->call, 0, &err);
}

/* Nobody hears the answer. */
static void on_gone(void *ctx)
{
    struct daemon_wait *w = ctx;
    static const struct err gone = {.code = E_CANCELED, .msg = "the client is gone"};

    drop(w);
    daemon_http_error(w->call, 0, &gone);
}

void daemon_wait_add(struct daemon_item *item, struct http_call *call, bool for_snapshot, uint64_t timeout_ms)
{
    struct daemon_wait *w;
    int rc;

    if (item->state == DAEMON_ITEM_FAILED || item->state == DAEMON_ITEM_FENCED) {
        daemon_http_error(call, 0, item->error);
        return;
    }
    w = mem_new(sizeof *w);
    *w = (struct daemon_wait){
        .item = item, .call = call, .for_snapshot = for_snapshot, .timeout_ms = timeout_ms, .next = item->waits};
    w->at = &item->waits;
    if (w->next != NULL)
        w->next->at = &w->next;
    item->waits = w;
    rc = uv_timer_init(&item->folder->daemon->loop, &w->timer);
    assert(rc == 0);
    w->timer.data = w;
    rc = timeout_ms > 0 ? uv_timer_start(&w->timer, on_late, timeout_ms, 0) : 0;
    assert(rc == 0);
    http_call_on_gone(call, on_gone, w);
    daemon_item_look_later(item);
}

void daemon_wait_begin(struct daemon_item *item, struct db *db)
{
    while (item->waits != NULL) {
        struct daemon_wait *w = item->waits;

        drop(w);
        daemon_http_wait(db, w->call, w->for_snapshot, w->timeout_ms);
    }
}
