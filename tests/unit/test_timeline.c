/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fault_store.h"
#include "seal.h"
#include "seg.h"
#include "store_wait.h"
#include "timeline.h"

#include <string.h>
#include <unistd.h>

/* A job that does one thing with the replica. */
struct job {
    struct work_item item; /* must be first */
    struct rig *rig;
    struct rc (*fn)(struct job *j);
    struct layout_origin origin;
    struct layout_identity id;
    struct nonce run;
    bool created, done;
    struct rc rc;
    struct err err;
};

struct rig {
    uv_loop_t loop;
    char root[STORE_WAIT_PATH_SIZE];
    struct work *work;
    struct fault_store store;
};

static struct err err;
static const struct nonce database = {{7}}, us = {{1}}, them = {{2}};

static void begin(struct rig *g)
{
    memset(g, 0, sizeof *g);
    store_wait_scratch(g->root);
    fault_store_begin(&g->store, &g->loop, g->root);
    g->work = work_new(&g->loop, 1);
}

static void end(struct rig *g)
{
    work_stop(g->work);
    store_wait_end(&g->loop, &g->store.base);
    store_wait_unscratch(g->root);
}

static void run(struct work_item *item)
{
    struct job *j = (struct job *)item;

    j->rc = j->fn(j);
}

static void done(struct work_item *item)
{
    ((struct job *)item)->done = true;
}

static void start(struct rig *g, struct job *j, struct rc (*fn)(struct job *j))
{
    j->item = (struct work_item){.run = run, .done = done};
    j->rig = g;
    j->fn = fn;
    j->done = false;
    work_job(g->work, &j->item);
}

static void finish(struct rig *g, struct job *j)
{
    while (!j->done)
        assert_true(uv_run(&g->loop, UV_RUN_ONCE) != 0 || j->done);
}

static enum err_code do_it(struct rig *g, struct job *j, struct rc (*fn)(struct job *j))
{
    start(g, j, fn);
    finish(g, j);
    return j->rc.code;
}

static struct rc identity(struct job *j)
{
    return timeline_identity(j->rig->work, &j->rig->store.base, 4096, 1234, &j->id, &j->created, &j->err);
}

static struct rc create(struct job *j)
{
    return timeline_create(j->rig->work, &j->rig->store.base, &j->origin, &j->err);
}

static struct rc seal_it(struct job *j)
{
    return timeline_seal(j->rig->work, &j->rig->store.base, &database, &j->run, 3, 18, 999, &j->err);
}

static struct layout_origin origin_of(const struct nonce *writer, const char *path)
{
    struct layout_origin o = {.timeline = 4,
        .parent = 3,
        .fork_txid = 17,
        .fork_checksum = 5,
        .database = database,
        .writer = *writer,
        .time_ms = 1000};

    timeline_sign(&o, path);
    return o;
}

static void put_there(struct rig *g, const char *key, const struct buf *bytes)
{
    struct store_req req;

    store_req_init(&req, STORE_PUT, key, NULL, NULL);
    req.body = buf_span(bytes);
    assert_ok_err(store_wait_run(&g->loop, g->store.below, &req, &err), &err);
    store_req_fini(&req);
}

static void get_there(struct rig *g, const char *key, struct buf *bytes)
{
    struct store_req req;

    buf_init(bytes, 1 << 20);
    store_req_init(&req, STORE_GET, key, NULL, NULL);
    assert_ok_err(store_wait_run(&g->loop, g->store.below, &req, &err), &err);
    buf_put(bytes, req.data.data, req.data.size);
    store_req_fini(&req);
}

/* --- the identity ----------------------------------------------------------------------------------------------------
 */

static void one_identity(void **state)
{
    struct job a = {0}, b = {0};
    struct rig g;

    (void)state;
    begin(&g);
    assert_int_equal(do_it(&g, &a, identity), E_OK);
    assert_true(a.created);
    assert_int_equal(a.id.format, 1);
    assert_int_equal(a.id.page_size, 4096);
    assert_int_equal(a.id.created_ms, 1234);
    assert_int_equal(do_it(&g, &b, identity), E_OK);
    assert_false(b.created);
    assert_true(nonce_equal(&a.id.database, &b.id.database));
    end(&g);
}

/* Two at the same time: one makes it, both have it. */
static void two_begin(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct job a = {0}, b = {0};
        struct rig g;

        begin(&g);
        start(&g, &a, identity);
        start(&g, &b, identity);
        finish(&g, &a);
        finish(&g, &b);
        assert_ok_err(a.rc, &a.err);
        assert_ok_err(b.rc, &b.err);
        assert_true(nonce_equal(&a.id.database, &b.id.database));
        assert_true(a.created != b.created);
        end(&g);
    }
}

static void identity_faults(void **state)
{
    struct job j = {0};
    struct rig g;
    struct buf bytes;

    (void)state;
    begin(&g);
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 1, false); /* a failing look is not "nothing there" */
    assert_int_equal(do_it(&g, &j, identity), E_NETWORK);
    assert_int_equal(g.store.base.counts.requests[STORE_PUT], 0);
    fault_store_arm(&g.store, FAULT_STORE_LOST, 2, false);
    assert_int_equal(do_it(&g, &j, identity), E_TIMEOUT);
    assert_non_null(strstr(j.err.msg, "create weir.json"));
    fault_store_disarm(&g.store);
    assert_int_equal(do_it(&g, &j, identity), E_OK); /* it was made the last time */
    assert_false(j.created);
    buf_init(&bytes, 100);
    buf_text(&bytes, "{}");
    put_there(&g, LAYOUT_IDENTITY, &bytes);
    buf_fini(&bytes);
    assert_int_equal(do_it(&g, &j, identity), E_CORRUPT); /* and is not written over */
    get_there(&g, LAYOUT_IDENTITY, &bytes);
    assert_string_equal(buf_str(&bytes), "{}");
    buf_fini(&bytes);
    end(&g);
}

/* --- claims
 * ------------------------------------------------------------------------------------------------------------ */

static void claims(void **state)
{
    struct job a = {.origin = origin_of(&us, "/data/a.db")}, b = {.origin = origin_of(&them, "/data/b.db")};
    struct layout_origin there;
    struct buf bytes;
    layout_text key;
    struct rig g;

    (void)state;
    assert_int_equal(a.origin.pid, getpid());
    begin(&g);
    assert_int_equal(do_it(&g, &a, create), E_OK);
    layout_timeline(key, 4);
    get_there(&g, key, &bytes);
    assert_ok_err(layout_origin_decode(buf_span(&bytes), &there, &err), &err);
    buf_fini(&bytes);
    assert_true(nonce_equal(&there.writer, &us));
    assert_int_equal(there.parent, 3);
    assert_int_equal(there.fork_txid, 17);
    assert_int_equal(there.fork_checksum, 5);
    assert_string_equal(there.path, "/data/a.db");

    assert_int_equal(do_it(&g, &b, create), E_FENCED);
    assert_non_null(strstr(b.err.msg, "timeline 4 was begun by another writer"));
    assert_non_null(strstr(b.err.msg, "/data/a.db"));
    assert_int_equal(do_it(&g, &a, create), E_OK); /* our own is there: the first answer got lost */
    end(&g);
}

static void two_claim(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct job a = {.origin = origin_of(&us, "/data/a.db")}, b = {.origin = origin_of(&them, "/data/b.db")};
        struct rig g;

        begin(&g);
        start(&g, &a, create);
        start(&g, &b, create);
        finish(&g, &a);
        finish(&g, &b);
        assert_true((a.rc.code == E_OK && b.rc.code == E_FENCED) || (a.rc.code == E_FENCED && b.rc.code == E_OK));
        end(&g);
    }
}

static void claim_faults(void **state)
{
    struct job j = {.origin = origin_of(&us, "/data/a.db")};
    struct buf bytes;
    layout_text key;
    struct rig g;

    (void)state;
    begin(&g);
    layout_timeline(key, 4);
    fault_store_arm(&g.store, FAULT_STORE_LOST, 1, false);
    assert_int_equal(do_it(&g, &j, create), E_TIMEOUT);
    fault_store_arm(&g.store, FAULT_STORE_REFUSED, 2, false);
    assert_int_equal(do_it(&g, &j, create), E_NETWORK); /* taken, but by whom cannot be read */
    fault_store_disarm(&g.store);
    assert_int_equal(do_it(&g, &j, create), E_OK);
    buf_init(&bytes, 100);
    buf_text(&bytes, "garbage");
    put_there(&g, key, &bytes);
    buf_fini(&bytes);
    assert_int_equal(do_it(&g, &j, create), E_CORRUPT);
    assert_non_null(strstr(j.err.msg, key));
    end(&g);
}

/* --- seals
 * ------------------------------------------------------------------------------------------------------------- */

static void seals(void **state)
{
    struct job a = {.run = us}, b = {.run = them};
    struct seal seal;
    struct buf bytes;
    layout_text key;
    struct rig g;

    (void)state;
    begin(&g);
    layout_log(key, 3, 18);
    fault_store_arm(&g.store, FAULT_STORE_LOST, 1, false);
    assert_int_equal(do_it(&g, &a, seal_it), E_TIMEOUT);
    assert_int_equal(do_it(&g, &a, seal_it), E_OK); /* our own seal */
    get_there(&g, key, &bytes);
    assert_ok_err(seal_decode(buf_span(&bytes), &seal, &err), &err);
    buf_fini(&bytes);
    assert_true(nonce_equal(&seal.pack.writer, &us));
    assert_true(nonce_equal(&seal.pack.database, &database));
    assert_int_equal(seal.timeline, 3);
    assert_int_equal(seal.successor, 4);
    assert_int_equal(seal.txid, 18);
    assert_int_equal(seal.time_ms, 999);
    assert_int_equal(do_it(&g, &b, seal_it), E_FENCED);
    assert_non_null(strstr(b.err.msg, "was sealed by"));
    assert_non_null(strstr(b.err.msg, seal.owner));
    end(&g);
}

static void two_seal(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct job a = {.run = us}, b = {.run = them};
        struct rig g;

        begin(&g);
        start(&g, &a, seal_it);
        start(&g, &b, seal_it);
        finish(&g, &a);
        finish(&g, &b);
        assert_true((a.rc.code == E_OK && b.rc.code == E_FENCED) || (a.rc.code == E_FENCED && b.rc.code == E_OK));
        end(&g);
    }
}

/* The old writer was faster: its segment stands there. */
static void segment_where_the_seal_should_be(void **state)
{
    const struct seg_enc_opts opts = {.timeline = 3, .page_size = 512, .base_txid = 17, .base_checksum = 5};
    const struct seg_commit commit = {.txid = 18, .time_ms = 1, .page_count = 1, .checksum = 77};
    struct seg_enc *e = seg_enc_new(&opts);
    struct job j = {.run = us};
    uint8_t page[512] = {1};
    struct buf bytes;
    layout_text key;
    struct rig g;

    (void)state;
    begin(&g);
    layout_log(key, 3, 18);
    buf_init(&bytes, SEG_OBJECT_MAX);
    assert_ok_err(seg_enc_page(e, 1, page, NULL, &err), &err);
    assert_ok_err(seg_enc_commit(e, &commit, &err), &err);
    assert_ok_err(seg_enc_finish(e, &bytes, &err), &err);
    seg_enc_free(e);
    put_there(&g, key, &bytes);
    assert_int_equal(do_it(&g, &j, seal_it), E_BUSY);
    assert_non_null(strstr(j.err.msg, "the other writer is still writing"));
    buf_clear(&bytes);
    buf_text(&bytes, "garbage");
    put_there(&g, key, &bytes);
    buf_fini(&bytes);
    assert_int_equal(do_it(&g, &j, seal_it), E_CORRUPT);
    assert_non_null(strstr(j.err.msg, key));
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_identity),
        cmocka_unit_test(two_begin),
        cmocka_unit_test(identity_faults),
        cmocka_unit_test(claims),
        cmocka_unit_test(two_claim),
        cmocka_unit_test(claim_faults),
        cmocka_unit_test(seals),
        cmocka_unit_test(two_seal),
        cmocka_unit_test(segment_where_the_seal_should_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
