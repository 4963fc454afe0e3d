/* SPDX-License-Identifier: Apache-2.0 */
/* shipper_kit - for tests: a shipper on a loop, over a directory through a store that misbehaves, and what it told. */
#ifndef SHIPPER_KIT_H
#define SHIPPER_KIT_H

#include "check.h"

#include "alloc.h"
#include "clock.h"
#include "fault_store.h"
#include "layout.h"
#include "seal.h"
#include "seg.h"
#include "shipper.h"
#include "store_wait.h"

#include <string.h>

/* A shipper on a loop, over a directory through a store that misbehaves, and what it told. */
struct rig {
    uv_loop_t loop;
    char root[STORE_WAIT_PATH_SIZE];
    struct fault_store store;
    struct shipper s;
    uint64_t order[32]; /* of what was shipped: first txid, parts as 1000 + number */
    unsigned shipped, fenced, trouble, dropped, closed, loads;
    struct db_segment *wanted; /* its bytes are to be read from the spool */
    struct err fence;
    void (*then)(struct rig *g); /* called from on_shipped */
};

static struct err err;

static const struct nonce us = {{1, 2, 3}}, them = {{9, 9}};

static inline void on_shipped(void *ctx, struct db_segment *seg)
{
    struct rig *g = ctx;

    g->order[g->shipped++] = seg->is_part ? 1000 + seg->part_number : seg->first_txid;
    db_live_free_segment(seg);
    if (g->then != NULL)
        g->then(g);
}

static inline void on_fenced(void *ctx, const struct err *e)
{
    struct rig *g = ctx;

    g->fenced++;
    g->fence = *e;
}

static inline void on_trouble(void *ctx)
{
    ((struct rig *)ctx)->trouble++;
}

static inline void on_load(void *ctx, struct db_segment *seg)
{
    struct rig *g = ctx;

    assert_null(g->wanted);
    assert_true(seg->spooled);
    g->wanted = seg;
    g->loads++;
}

static inline void on_dropped(void *ctx)
{
    ((struct rig *)ctx)->dropped++;
}

static inline void on_closed(void *ctx)
{
    ((struct rig *)ctx)->closed++;
}

static inline void begin(struct rig *g)
{
    memset(g, 0, sizeof *g);
    store_wait_scratch(g->root);
    fault_store_begin(&g->store, &g->loop, g->root);
    g->s = (struct shipper){.on_shipped = on_shipped,
        .on_fenced = on_fenced,
        .on_trouble = on_trouble,
        .on_dropped = on_dropped,
        .on_load = on_load,
        .on_closed = on_closed,
        .ctx = g,
        .timeline = 7,
        .run = us};
    shipper_start(&g->s, &g->loop, &g->store.base);
}

static inline void end(struct rig *g)
{
    if (!g->s.closing)
        shipper_stop(&g->s);
    while (g->closed == 0)
        assert_true(uv_run(&g->loop, UV_RUN_ONCE) != 0 || g->closed > 0);
    assert_int_equal(g->closed, 1);
    store_wait_end(&g->loop, &g->store.base);
    store_wait_unscratch(g->root);
}

static inline struct db_segment *make(uint64_t first_txid, const char *text)
{
    struct db_segment *seg = mem_new(sizeof *seg);

    buf_init(&seg->bytes, 1 << 20);
    buf_text(&seg->bytes, text);
    seg->first_txid = first_txid;
    seg->raw_bytes = 4096;
    return seg;
}

static inline struct db_segment *make_part(uint64_t first_txid, uint32_t number)
{
    struct db_segment *seg = make(first_txid, "part");

    seg->is_part = true;
    seg->part_number = number;
    return seg;
}

static inline void run_until(struct rig *g, const unsigned *count, unsigned at_least)
{
    for (int i = 0; *count < at_least; i++) {
        assert_true(i < 10000);
        assert_true(uv_run(&g->loop, UV_RUN_ONCE) != 0 || *count >= at_least);
    }
}

static inline void assert_object(struct rig *g, uint64_t txid, const char *text)
{
    struct store_req req;
    layout_text key;

    layout_log(key, 7, txid);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    if (text == NULL) {
        assert_fails(store_wait_run(&g->loop, g->store.below, &req, &err), E_NOTFOUND);
    } else {
        assert_ok_err(store_wait_run(&g->loop, g->store.below, &req, &err), &err);
        assert_int_equal(req.data.size, strlen(text));
        assert_memory_equal(req.data.data, text, strlen(text));
    }
    store_req_fini(&req);
}

static inline void put_there(struct rig *g, uint64_t txid, const struct buf *bytes)
{
    struct store_req req;
    layout_text key;

    layout_log(key, 7, txid);
    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = buf_span(bytes);
    assert_ok_err(store_wait_run(&g->loop, g->store.below, &req, &err), &err);
    store_req_fini(&req);
}

/* --- other writers ---------------------------------------------------------------------------------------------------
 */

static inline void make_segment(struct buf *out, const struct nonce *writer, uint64_t txid)
{
    const struct seg_enc_opts opts = {
        .writer = *writer, .timeline = 7, .page_size = 512, .base_txid = txid - 1, .base_checksum = txid > 1 ? 5 : 0};
    const struct seg_commit commit = {.txid = txid, .time_ms = 1, .page_count = 1, .checksum = 77};
    struct seg_enc *e = seg_enc_new(&opts);
    uint8_t page[512] = {1};

    assert_ok_err(seg_enc_page(e, 1, page, NULL, &err), &err);
    assert_ok_err(seg_enc_commit(e, &commit, &err), &err);
    buf_init(out, SEG_OBJECT_MAX);
    assert_ok_err(seg_enc_finish(e, out, &err), &err);
    seg_enc_free(e);
}

/* --- the spool ---------------------------------------------------------------------------------------------------- */

static inline void give(struct rig *g, const char *text)
{
    static const struct err fine = {.code = E_OK};
    struct db_segment *seg = g->wanted;

    g->wanted = NULL;
    buf_init(&seg->bytes, 1 << 20);
    buf_text(&seg->bytes, text);
    shipper_loaded(&g->s, &fine);
}

#endif
