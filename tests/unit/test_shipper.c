/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "clock.h"
#include "fault_store.h"
#include "layout.h"
#include "seal.h"
#include "seg.h"
#include "shipper.h"
#include "store_dir.h"
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

static void on_shipped(void *ctx, struct db_segment *seg)
{
    struct rig *g = ctx;

    g->order[g->shipped++] = seg->is_part ? 1000 + seg->part_number : seg->first_txid;
    db_live_free_segment(seg);
    if (g->then != NULL)
        g->then(g);
}

static void on_fenced(void *ctx, const struct err *e)
{
    struct rig *g = ctx;

    g->fenced++;
    g->fence = *e;
}

static void on_trouble(void *ctx)
{
    ((struct rig *)ctx)->trouble++;
}

static void on_load(void *ctx, struct db_segment *seg)
{
    struct rig *g = ctx;

    assert_null(g->wanted);
    assert_true(seg->spooled);
    g->wanted = seg;
    g->loads++;
}

static void on_dropped(void *ctx)
{
    ((struct rig *)ctx)->dropped++;
}

static void on_closed(void *ctx)
{
    ((struct rig *)ctx)->closed++;
}

static void begin(struct rig *g)
{
    struct store *below;

    memset(g, 0, sizeof *g);
    store_wait_scratch(g->root);
    assert_int_equal(uv_loop_init(&g->loop), 0);
    assert_ok_err(store_dir_open(&g->loop, &fsys_real, g->root, &below, &err), &err);
    fault_store_init(&g->store, &g->loop, below);
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

static void end(struct rig *g)
{
    if (!g->s.closing)
        shipper_stop(&g->s);
    while (g->closed == 0)
        assert_true(uv_run(&g->loop, UV_RUN_ONCE) != 0 || g->closed > 0);
    assert_int_equal(g->closed, 1);
    store_wait_stop(&g->loop, &g->store.base);
    assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&g->loop), 0);
    store_wait_unscratch(g->root);
}

static struct db_segment *make(uint64_t first_txid, const char *text)
{
    struct db_segment *seg = mem_new(sizeof *seg);

    buf_init(&seg->bytes, 1 << 20);
    buf_text(&seg->bytes, text);
    seg->first_txid = first_txid;
    seg->raw_bytes = 4096;
    return seg;
}

static struct db_segment *make_part(uint64_t first_txid, uint32_t number)
{
    struct db_segment *seg = make(first_txid, "part");

    seg->is_part = true;
    seg->part_number = number;
    return seg;
}

static void run_until(struct rig *g, const unsigned *count, unsigned at_least)
{
    for (int i = 0; *count < at_least; i++) {
        assert_true(i < 10000);
        assert_true(uv_run(&g->loop, UV_RUN_ONCE) != 0 || *count >= at_least);
    }
}

static void assert_object(struct rig *g, uint64_t txid, const char *text)
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

static void put_there(struct rig *g, uint64_t txid, const struct buf *bytes)
{
    struct store_req req;
    layout_text key;

    layout_log(key, 7, txid);
    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = buf_span(bytes);
    assert_ok_err(store_wait_run(&g->loop, g->store.below, &req, &err), &err);
    store_req_fini(&req);
}

/* --- what works ----------------------------------------------------------------------------------------------------
 */

static void in_order(void **state)
{
    static const uint64_t want[] = {1000, 1001, 1, 5};
    struct rig g;

    (void)state;
    begin(&g);
    assert_true(shipper_idle(&g.s));
    shipper_put(&g.s, make_part(1, 0));
    shipper_put(&g.s, make_part(1, 1));
    assert_true(shipper_has_room(&g.s)); /* parts do not count */
    shipper_put(&g.s, make(1, "one"));
    assert_true(shipper_has_room(&g.s));
    shipper_put(&g.s, make(5, "five"));
    assert_false(shipper_has_room(&g.s));
    assert_false(shipper_idle(&g.s));
    assert_int_equal(g.store.base.counts.requests[STORE_PUT], 1); /* one at a time */
    run_until(&g, &g.shipped, 4);
    assert_memory_equal(g.order, want, sizeof want);
    assert_true(shipper_idle(&g.s));
    assert_true(shipper_has_room(&g.s));
    assert_int_equal(g.s.put_count, 4);
    assert_int_equal(g.s.put_bytes, 4 + 4 + 3 + 4);
    assert_int_equal(g.s.raw_bytes, 4 * 4096);
    assert_int_equal(g.trouble, 0);
    assert_object(&g, 1, "one");
    assert_object(&g, 5, "five");
    end(&g);
}

static void put_next(struct rig *g)
{
    if (g->shipped < 5)
        shipper_put(&g->s, make(g->shipped + 1, "next"));
}

static void from_the_callback(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    g.then = put_next;
    shipper_put(&g.s, make(1, "next"));
    run_until(&g, &g.shipped, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(g.order[i], i + 1);
    end(&g);
}

/* --- failures -------------------------------------------------------------------------------------------------------
 */

static void tries_again(void **state)
{
    static const enum fault_store_kind kinds[] = {FAULT_STORE_REFUSED, FAULT_STORE_THROTTLED};
    struct rig g;

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        begin(&g);
        fault_store_arm(&g.store, kinds[k], 1, true);
        shipper_put(&g.s, make(1, "one"));
        shipper_put(&g.s, make(2, "two"));
        while (g.trouble < 4) {
            run_until(&g, &g.trouble, g.trouble + 1);
            assert_true(g.s.waiting);
            assert_int_equal(g.s.failure_count, g.trouble);
            assert_int_not_equal(g.s.last_error.code, E_OK);
            assert_int_not_equal(g.s.error_since_ms, 0);
            assert_int_equal(g.store.requests, g.trouble);
            if (g.trouble < 4)
                shipper_hurry(&g.s); /* without waiting for the pause */
        }
        assert_int_equal(g.shipped, 0);
        fault_store_disarm(&g.store);
        run_until(&g, &g.shipped, 2); /* by itself, after its pause */
        assert_int_equal(g.order[0], 1);
        assert_int_equal(g.order[1], 2);
        assert_int_equal(g.s.last_error.code, E_OK);
        assert_int_equal(g.trouble, g.s.failure_count + 1); /* and told when it was over */
        shipper_hurry(&g.s);                                /* nothing to hurry */
        end(&g);
    }
}

/* It was carried out, but the answer got lost: what is there are our own bytes. */
static void lost_answers(void **state)
{
    struct rig g;

    (void)state;
    for (long n = 1; n <= 4; n++) {
        begin(&g);
        fault_store_arm(&g.store, FAULT_STORE_LOST, n, false);
        shipper_put(&g.s, make_part(1, 0));
        shipper_put(&g.s, make(1, "one"));
        shipper_put(&g.s, make(2, "two"));
        while (g.shipped < 3) {
            assert_true(uv_run(&g.loop, UV_RUN_ONCE) != 0 || g.shipped == 3);
            shipper_hurry(&g.s);
        }
        assert_int_equal(g.fenced, 0);
        assert_int_equal(g.store.fired, n < 4);
        assert_int_equal(g.order[1], 1);
        assert_int_equal(g.order[2], 2);
        assert_object(&g, 1, "one");
        assert_object(&g, 2, "two");
        end(&g);
    }
}

/* A part's key that is taken is read as well: the same bytes are ours, others are no success. */
static void taken_part(void **state)
{
    struct store_req req;
    struct rig g;
    layout_text key;

    (void)state;
    for (int same = 0; same < 2; same++) {
        begin(&g);
        layout_part(key, 7, 1, &us, 0);
        store_req_init(&req, STORE_PUT, key, NULL, NULL);
        req.body = span_of(same ? "part" : "trap", 4);
        assert_ok_err(store_wait_run(&g.loop, g.store.below, &req, &err), &err);
        store_req_fini(&req);
        shipper_put(&g.s, make_part(1, 0));
        if (same) {
            run_until(&g, &g.shipped, 1);
            assert_int_equal(g.s.last_error.code, E_OK);
        } else {
            run_until(&g, &g.trouble, 1);
            assert_int_equal(g.shipped, 0);
            assert_int_equal(g.s.last_error.code, E_CORRUPT);
            assert_non_null(strstr(g.s.last_error.msg, "holds other bytes than were sent there"));
        }
        assert_int_equal(g.fenced, 0);
        assert_int_equal(g.store.base.counts.requests[STORE_GET], 1);
        end(&g);
    }
}

/* ... and reading them back fails as well. */
static void lost_twice(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    fault_store_arm(&g.store, FAULT_STORE_LOST, 1, false);
    shipper_put(&g.s, make(1, "one"));
    run_until(&g, &g.trouble, 1);
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, false);
    g.store.verbs = 1u << STORE_GET;
    shipper_hurry(&g.s);
    run_until(&g, &g.trouble, 2);
    assert_int_equal(g.store.fired, 1);
    shipper_hurry(&g.s);
    run_until(&g, &g.shipped, 1);
    assert_int_equal(g.fenced, 0);
    end(&g);
}

/* --- other writers ---------------------------------------------------------------------------------------------------
 */

static void make_segment(struct buf *out, const struct nonce *writer, uint64_t txid)
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

static void assert_fenced(struct rig *g, const char *one, const char *two)
{
    shipper_put(&g->s, make(3, "mine"));
    shipper_put(&g->s, make(4, "behind"));
    run_until(g, &g->fenced, 1);
    assert_int_equal(g->fence.code, E_FENCED);
    assert_non_null(strstr(g->fence.msg, one));
    assert_non_null(strstr(g->fence.msg, two));
    assert_int_equal(g->shipped, 0);
    assert_false(shipper_has_room(&g->s));
    shipper_put(&g->s, make(5, "later"));
    shipper_hurry(&g->s);
    (void)uv_run(&g->loop, UV_RUN_NOWAIT);                         /* only gives it a chance */
    assert_int_equal(g->store.base.counts.requests[STORE_PUT], 1); /* nothing more is sent */
    assert_int_equal(g->fenced, 1);
    assert_object(g, 4, NULL);
}

static void foreign_segment(void **state)
{
    struct rig g;
    struct buf bytes;

    (void)state;
    begin(&g);
    make_segment(&bytes, &them, 3);
    put_there(&g, 3, &bytes);
    buf_fini(&bytes);
    assert_fenced(&g, "run 09090000000000000000000000000000", "log/0000000000000003 was written by another writer");
    end(&g);
}

static void sealed(void **state)
{
    const struct seal seal = {.pack = {.kind = PACK_SEAL, .writer = them},
        .timeline = 7,
        .successor = 8,
        .txid = 3,
        .time_ms = 1,
        .owner = "beta (process 4711)"};
    struct rig g;
    struct buf bytes;

    (void)state;
    begin(&g);
    buf_init(&bytes, 1 << 20);
    assert_ok_err(seal_encode(&seal, &bytes, &err), &err);
    put_there(&g, 3, &bytes);
    buf_fini(&bytes);
    assert_fenced(&g, "was sealed by beta (process 4711), which writes timeline 8 now", "--fork");
    end(&g);
}

/* What stands there cannot be read: nobody knows whose it is, so it is not overwritten, and not given up either. */
static void garbage(void **state)
{
    struct rig g;
    struct buf bytes;

    (void)state;
    begin(&g);
    buf_init(&bytes, 1 << 20);
    buf_text(&bytes, "not one of ours");
    put_there(&g, 3, &bytes);
    buf_fini(&bytes);
    shipper_put(&g.s, make(3, "mine"));
    run_until(&g, &g.trouble, 1);
    assert_int_equal(g.s.last_error.code, E_CORRUPT);
    assert_non_null(strstr(g.s.last_error.msg, "log/0000000000000003 is taken"));
    assert_int_equal(g.fenced, 0);
    assert_object(&g, 3, "not one of ours");
    end(&g);
}

/* --- stopping and dropping -------------------------------------------------------------------------------------------
 */

static void drops(void **state)
{
    struct rig g;

    (void)state;
    begin(&g); /* in flight: waited for, then told */
    shipper_put(&g.s, make(1, "one"));
    shipper_put(&g.s, make(2, "two"));
    shipper_drop(&g.s);
    assert_false(shipper_idle(&g.s));
    assert_int_equal(g.dropped, 0);
    run_until(&g, &g.dropped, 1);
    assert_true(shipper_idle(&g.s));
    assert_int_equal(g.shipped, 0);
    shipper_put(&g.s, make(9, "nine")); /* and on */
    run_until(&g, &g.shipped, 1);
    assert_int_equal(g.order[0], 9);
    assert_object(&g, 2, NULL);

    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, true); /* in a pause: at once */
    shipper_put(&g.s, make(10, "ten"));
    run_until(&g, &g.trouble, 1);
    shipper_drop(&g.s);
    assert_true(shipper_idle(&g.s));
    assert_true(shipper_has_room(&g.s));
    assert_int_equal(g.dropped, 1);
    fault_store_disarm(&g.store);
    shipper_put(&g.s, make(11, "eleven"));
    run_until(&g, &g.shipped, 2);
    assert_object(&g, 10, NULL);
    end(&g);
}

static void stops_at_any_time(void **state)
{
    struct rig g;

    (void)state;
    begin(&g); /* idle */
    end(&g);

    begin(&g); /* in flight */
    shipper_put(&g.s, make(1, "one"));
    shipper_put(&g.s, make(2, "two"));
    shipper_stop(&g.s);
    assert_int_equal(g.closed, 0);
    end(&g);

    begin(&g); /* in a pause */
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, true);
    shipper_put(&g.s, make(1, "one"));
    run_until(&g, &g.trouble, 1);
    end(&g);

    begin(&g); /* while reading back */
    fault_store_arm(&g.store, FAULT_STORE_LOST, 1, false);
    shipper_put(&g.s, make(1, "one"));
    run_until(&g, &g.trouble, 1);
    shipper_hurry(&g.s);
    while (g.store.base.counts.requests[STORE_GET] == 0)
        assert_int_not_equal(uv_run(&g.loop, UV_RUN_ONCE), 0);
    shipper_stop(&g.s);
    assert_int_equal(g.closed, 0);
    end(&g);
    assert_int_equal(g.shipped, 0);

    begin(&g); /* dropped, then stopped */
    shipper_put(&g.s, make(1, "one"));
    shipper_drop(&g.s);
    shipper_stop(&g.s);
    end(&g);
}

/* --- the spool ---------------------------------------------------------------------------------------------------- */

static void give(struct rig *g, const char *text)
{
    static const struct err fine = {.code = E_OK};
    struct db_segment *seg = g->wanted;

    g->wanted = NULL;
    buf_init(&seg->bytes, 1 << 20);
    buf_text(&seg->bytes, text);
    shipper_loaded(&g->s, &fine);
}

/* The replica is away; three segments and a part of one wait. */
static void wait_in_vain(struct rig *g)
{
    fault_store_arm(&g->store, FAULT_STORE_REFUSED, 1, true);
    shipper_put(&g->s, make(1, "one"));
    shipper_put(&g->s, make_part(2, 0));
    shipper_put(&g->s, make(2, "two"));
    shipper_put(&g->s, make(3, "three"));
    run_until(g, &g->trouble, 1);
    assert_false(shipper_has_room(&g->s));
}

static void spooled_segments_come_back_in_order(void **state)
{
    static const uint64_t want[] = {1, 1000, 2, 3, 4};
    static const char *const texts[] = {"one", "part", "two", "three"};
    struct db_segment *seg;
    unsigned seen = 0;
    struct rig g;

    (void)state;
    begin(&g);
    wait_in_vain(&g);
    for (seg = shipper_pause(&g.s); seg != NULL; seg = seg->next) {
        assert_true(seg->bytes.size > 0);
        seg->spooled = true;
        seen++;
    }
    assert_int_equal(seen, 4);
    shipper_resume(&g.s);
    assert_int_equal(g.s.spooled_count, 3);
    assert_int_equal(g.s.segment_count, 0);
    assert_true(shipper_has_room(&g.s));
    shipper_put(&g.s, make(4, "four")); /* behind them, in memory */

    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 0, false);
    for (unsigned i = 0; i < 4; i++) {
        run_until(&g, &g.loads, i + 1);
        assert_int_equal(g.shipped, i);
        give(&g, texts[i]);
        run_until(&g, &g.shipped, i + 1);
    }
    run_until(&g, &g.shipped, 5);
    assert_memory_equal(g.order, want, sizeof want);
    assert_int_equal(g.loads, 4);
    assert_int_equal(g.s.spooled_count, 0);
    assert_object(&g, 1, "one");
    assert_object(&g, 3, "three");
    assert_object(&g, 4, "four");
    end(&g);
}

/* What nothing has asked for waits, its parts, too, and does not stand for a replica that does not answer. */
static void what_may_not_go_waits(void **state)
{
    static const uint64_t want[] = {1, 1000, 4, 9};
    struct rig g;

    (void)state;
    begin(&g);
    shipper_allow(&g.s, 3);
    shipper_put(&g.s, make(1, "one"));
    assert_false(shipper_holds(&g.s));
    shipper_put(&g.s, make_part(4, 0));
    assert_true(shipper_holds(&g.s));
    shipper_put(&g.s, make(4, "four"));
    run_until(&g, &g.shipped, 1);
    for (int i = 0; i < 10; i++)
        (void)uv_run(&g.loop, UV_RUN_NOWAIT); /* there is nothing left to wait for */
    assert_int_equal(g.shipped, 1);
    assert_int_equal(g.store.base.counts.requests[STORE_PUT], 1);
    assert_false(shipper_idle(&g.s));
    shipper_put(&g.s, make(9, "nine"));
    shipper_allow(&g.s, 8);
    assert_true(shipper_holds(&g.s));
    run_until(&g, &g.shipped, 3);
    assert_false(shipper_idle(&g.s));
    shipper_allow(&g.s, UINT64_MAX);
    assert_false(shipper_holds(&g.s));
    run_until(&g, &g.shipped, 4);
    assert_memory_equal(g.order, want, sizeof want);
    assert_true(shipper_idle(&g.s));

    shipper_allow(&g.s, 9); /* what waits on the disk is not read, and holds nothing up */
    shipper_put(&g.s, make(10, "ten"));
    assert_true(shipper_holds(&g.s));
    shipper_pause(&g.s)->spooled = true;
    shipper_resume(&g.s);
    assert_false(shipper_holds(&g.s));
    assert_int_equal(g.loads, 0);
    shipper_allow(&g.s, 10);
    assert_int_equal(g.loads, 1);
    give(&g, "ten");
    run_until(&g, &g.shipped, 5);
    assert_object(&g, 10, "ten");
    end(&g);
}

/* What comes back while the queue is frozen is looked at afterwards; the bytes in flight stay where they are. */
static void a_pause_holds_answers(void **state)
{
    struct db_segment *first;
    struct rig g;

    (void)state;
    begin(&g);
    shipper_put(&g.s, make(1, "one"));
    shipper_put(&g.s, make(2, "two"));
    first = shipper_pause(&g.s);
    while (!g.s.answered)
        assert_true(uv_run(&g.loop, UV_RUN_ONCE) != 0 || g.s.answered);
    assert_int_equal(g.shipped, 0);
    assert_memory_equal(first->bytes.data, "one", 3);
    first->spooled = true;
    shipper_resume(&g.s);
    run_until(&g, &g.shipped, 2);
    assert_int_equal(g.loads, 0);
    assert_int_equal(g.order[0], 1);
    assert_object(&g, 1, "one");
    assert_object(&g, 2, "two");
    end(&g);
}

static void a_spool_that_cannot_be_read(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    wait_in_vain(&g);
    for (struct db_segment *seg = shipper_pause(&g.s); seg != NULL; seg = seg->next)
        seg->spooled = true;
    shipper_resume(&g.s);
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 0, false);
    run_until(&g, &g.loads, 1);
    g.wanted = NULL;
    rc_ignore(rc_raise(&err, E_IO, "spool: no disk"), "it is the answer");
    shipper_loaded(&g.s, &err);
    assert_string_equal(g.s.last_error.msg, "spool: no disk");
    run_until(&g, &g.loads, 2); /* tried again */
    give(&g, "one");
    run_until(&g, &g.shipped, 1);
    run_until(&g, &g.loads, 3);
    shipper_drop(&g.s); /* waits for what is being read */
    assert_int_equal(g.dropped, 0);
    give(&g, "part");
    assert_int_equal(g.dropped, 1);
    assert_true(shipper_idle(&g.s));
    end(&g);
}

static void fenced_from_outside(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    rc_ignore(rc_raise(&err, E_FENCED, "a newer timeline"), "it is the reason");
    shipper_fence(&g.s, &err);
    shipper_fence(&g.s, &err);
    assert_int_equal(g.fenced, 1);
    assert_string_equal(g.fence.msg, "a newer timeline");
    shipper_put(&g.s, make(1, "one"));
    assert_int_equal(g.store.base.counts.requests[STORE_PUT], 0);
    end(&g);
}

static void a_start_clears_the_trouble(void **state)
{
    unsigned before;
    struct rig g;

    (void)state;
    begin(&g);
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, true);
    shipper_put(&g.s, make(1, "one"));
    run_until(&g, &g.trouble, 1);
    shipper_drop(&g.s);
    assert_int_equal(g.s.last_error.code, E_NETWORK);
    before = g.trouble;
    shipper_follow(&g.s, 7, &us);
    assert_int_equal(g.s.last_error.code, E_OK);
    assert_int_equal(g.trouble, before + 1);
    shipper_follow(&g.s, 8, &us);
    assert_int_equal(g.trouble, before + 1);
    end(&g);
}

/* --- after a sleep ------------------------------------------------------------------------------------------------ */

static unsigned lists(const struct rig *g)
{
    return (unsigned)store_counts_of(&g->store.base)->requests[STORE_LIST];
}

/* The history's end was looked at so long ago that it may be another's by now. */
static void sleep_long(struct rig *g)
{
    g->s.look_after_ms = 60000;
    g->s.known_mono_ms = clock_mono_ms(&clock_real);
    g->s.known_wall_ms = clock_wall_ms(&clock_real) - 60001;
}

static void put_other(struct rig *g, const char *key)
{
    struct store_req req;
    static const uint8_t byte = 1;

    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = span_of(&byte, 1);
    assert_ok_err(store_wait_run(&g->loop, &g->store.base, &req, &err), &err);
    store_req_fini(&req);
}

static void looks_after_a_sleep(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    put_other(&g, "t/00000007/fold/0000000000000001-0000000000000009");
    put_other(&g, "t/00000006/log/0000000000000099");
    sleep_long(&g);
    shipper_put(&g.s, make(10, "ten"));
    run_until(&g, &g.shipped, 1);
    assert_int_equal(lists(&g), 3);
    shipper_put(&g.s, make(11, "eleven")); /* now it is known */
    run_until(&g, &g.shipped, 2);
    assert_int_equal(lists(&g), 3);
    end(&g);
}

static void fenced_after_a_sleep(void **state)
{
    static const char *const others[] = {"t/00000007/log/000000000000000b", "t/00000008/timeline.json",
        "t/00000007/fold/000000000000000a-0000000000000010", "t/00000007/fold/0000000000000005-000000000000000a"};

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct rig g;

        begin(&g);
        put_other(&g, others[i]);
        g.s.fold_first_txid = 5;
        sleep_long(&g);
        shipper_put(&g.s, make(10, "ten"));
        run_until(&g, &g.fenced, 1);
        assert_int_equal(g.shipped, 0);
        assert_int_equal(store_counts_of(&g.store.base)->requests[STORE_PUT], 1); /* that of the other */
        assert_non_null(strstr(g.fence.msg, "slept"));
        end(&g);
    }
}

/* The PUT itself may have slept: what it stored does not count when another went on meanwhile. */
static void looks_behind_a_slow_put(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    put_other(&g, "t/00000007/fold/0000000000000002-0000000000000014");
    g.s.fold_first_txid = 2;
    g.s.look_after_ms = 60000;
    shipper_know(&g.s);
    shipper_put(&g.s, make(10, "ten"));
    assert_true(g.s.in_flight);
    g.s.sent_wall_ms -= 60001;
    run_until(&g, &g.fenced, 1);
    assert_int_equal(g.shipped, 0);
    assert_int_equal(lists(&g), 3);
    end(&g);
}

/* What cannot be found out is tried again, and a stop does not wait for it. */
static void a_look_that_fails(void **state)
{
    struct rig g;

    (void)state;
    for (long n = 1; n <= 3; n++) {
        begin(&g);
        sleep_long(&g);
        fault_store_arm(&g.store, FAULT_STORE_REFUSED, n, false);
        shipper_put(&g.s, make(10, "ten"));
        run_until(&g, &g.shipped, 1);
        assert_int_equal(g.trouble, 2); /* it began and ended */
        assert_int_equal(lists(&g), 6);
        end(&g);
        begin(&g);
        sleep_long(&g);
        shipper_put(&g.s, make(10, "ten"));
        end(&g);
        assert_int_equal(g.shipped, 0);
    }
}

/* While the queue is frozen the answer waits. */
static void a_look_over_a_pause(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    sleep_long(&g);
    shipper_put(&g.s, make(10, "ten"));
    assert_non_null(shipper_pause(&g.s));
    while (!g.s.looked)
        assert_true(uv_run(&g.loop, UV_RUN_ONCE) != 0 || g.s.looked);
    assert_int_equal(g.shipped, 0);
    shipper_resume(&g.s);
    run_until(&g, &g.shipped, 1);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(from_the_callback),
        cmocka_unit_test(tries_again),
        cmocka_unit_test(lost_answers),
        cmocka_unit_test(taken_part),
        cmocka_unit_test(lost_twice),
        cmocka_unit_test(foreign_segment),
        cmocka_unit_test(sealed),
        cmocka_unit_test(garbage),
        cmocka_unit_test(drops),
        cmocka_unit_test(stops_at_any_time),
        cmocka_unit_test(spooled_segments_come_back_in_order),
        cmocka_unit_test(what_may_not_go_waits),
        cmocka_unit_test(a_pause_holds_answers),
        cmocka_unit_test(a_spool_that_cannot_be_read),
        cmocka_unit_test(fenced_from_outside),
        cmocka_unit_test(a_start_clears_the_trouble),
        cmocka_unit_test(looks_after_a_sleep),
        cmocka_unit_test(fenced_after_a_sleep),
        cmocka_unit_test(looks_behind_a_slow_put),
        cmocka_unit_test(a_look_that_fails),
        cmocka_unit_test(a_look_over_a_pause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
