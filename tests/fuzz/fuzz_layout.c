/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and documents of a history: whatever is accepted must say the same after being written again. */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void try_key(const uint8_t *data, size_t size)
{
    char text[STORE_KEY_MAX + 1];
    struct layout_key k;
    layout_text again = "";

    if (size > STORE_KEY_MAX)
        return;
    memcpy(text, data, size);
    text[size] = 0;
    k = layout_parse(text);
    if (k.kind == LAYOUT_TIMELINE)
        layout_timeline(again, k.timeline);
    else if (k.kind == LAYOUT_LOG)
        layout_log(again, k.timeline, k.txid);
    else if (k.kind == LAYOUT_SNAPSHOT)
        layout_snapshot(again, k.timeline, k.txid, k.time_ms);
    else if (k.kind == LAYOUT_FOLD)
        layout_fold(again, k.timeline, k.txid, k.last_txid);
    else if (k.kind == LAYOUT_MERGE)
        layout_merge(again, k.timeline, k.level, k.base_txid, k.txid, k.time_ms);
    else
        return;
    require(strcmp(text, again) == 0);
}

static void try_identity(struct span json)
{
    struct layout_identity a, b;
    struct buf out;
    struct err err;

    if (rc_failed(layout_identity_decode(json, &a, &err)))
        return;
    buf_init(&out, 1 << 20);
    require(!rc_failed(layout_identity_encode(&a, &out, &err)));
    require(!rc_failed(layout_identity_decode(buf_span(&out), &b, &err)));
    require(nonce_equal(&a.database, &b.database) && a.page_size == b.page_size && a.created_ms == b.created_ms);
    buf_fini(&out);
}

static void try_origin(struct span json)
{
    struct layout_origin a, b;
    struct buf out;
    struct err err;

    if (rc_failed(layout_origin_decode(json, &a, &err)))
        return;
    buf_init(&out, 1 << 20);
    require(!rc_failed(layout_origin_encode(&a, &out, &err)));
    require(!rc_failed(layout_origin_decode(buf_span(&out), &b, &err)));
    require(a.timeline == b.timeline && a.parent == b.parent && a.fork_txid == b.fork_txid);
    require(a.fork_checksum == b.fork_checksum && strcmp(a.path, b.path) == 0 && strcmp(a.host, b.host) == 0);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_key(data, size);
    try_identity(span_of(data, size));
    try_origin(span_of(data, size));
    return 0;
}
