/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of store.h: beginning, end, and passing on. */
#include "store.h"

#include "alloc.h"

#include <assert.h>
#include <string.h>

void store_req_drop_entries(struct store_req *req)
{
    for (size_t i = 0; i < req->entry_count; i++)
        mem_free(req->entries[i].key);
    mem_free(req->entries);
    req->entries = NULL;
    req->entry_count = 0;
    req->more = false;
}

void store_req_fini(struct store_req *req)
{
    buf_fini(&req->data);
    store_req_drop_entries(req);
    mem_free(req->upload_id);
    req->upload_id = NULL;
    req->size = 0;
    req->etag[0] = 0;
    req->retry_after_ms = 0;
    req->sent_twice = false;
    req->unknown_to_store = false;
    req->store_ms = 0;
    req->swept = 0;
}

void store_req_init(struct store_req *req, enum store_verb verb, const char *key, store_done_fn on_done, void *ctx)
{
    size_t n = strlen(key);

    assert(n <= STORE_KEY_MAX);
    *req = (struct store_req){.verb = verb, .on_done = on_done, .ctx = ctx};
    memcpy(req->key, key, n + 1);
}

void store_req_forward(struct store_req *inner, const struct store_req *outer, store_done_fn on_done, void *ctx)
{
    store_req_init(inner, outer->verb, outer->key, on_done, ctx);
    inner->body = outer->body;
    inner->create_only = outer->create_only;
    inner->offset = outer->offset;
    inner->length = outer->length;
    memcpy(inner->after, outer->after, sizeof inner->after);
    inner->by_folder = outer->by_folder;
    inner->limit = outer->limit;
    inner->upload = outer->upload;
    inner->key_final = outer->key_final;
    inner->expected = outer->expected;
    inner->part = outer->part;
    inner->keys = outer->keys;
    inner->key_count = outer->key_count;
    memcpy(inner->if_match, outer->if_match, sizeof inner->if_match);
    inner->age_ms = outer->age_ms;
    inner->dry_run = outer->dry_run;
    inner->once = outer->once;
}

void store_req_take(struct store_req *outer, struct store_req *inner)
{
    store_req_fini(outer);
    outer->err = inner->err;
    outer->retry_after_ms = inner->retry_after_ms;
    outer->sent_twice = inner->sent_twice;
    outer->unknown_to_store = inner->unknown_to_store;
    outer->data = inner->data;
    inner->data = (struct buf){0};
    outer->size = inner->size;
    memcpy(outer->etag, inner->etag, sizeof outer->etag);
    outer->entries = MOVE(inner->entries);
    outer->entry_count = inner->entry_count;
    inner->entry_count = 0;
    outer->more = inner->more;
    outer->store_ms = inner->store_ms;
    outer->swept = inner->swept;
    outer->upload_id = MOVE(inner->upload_id);
    outer->part_size = inner->part_size;
}
