/* SPDX-License-Identifier: Apache-2.0 */
/* The document of a share: what is accepted is in order and comes back the same; what is not tells no link. */
#include "share_doc.h"

#include "store.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check(const struct share_doc *d)
{
    require(d->timeline > 0 && d->txid > 0 && d->count > 0);
    for (size_t i = 0; i < d->count; i++) {
        require(store_key_ok(d->objects[i].key));
        require(strncasecmp(d->objects[i].url, "http", 4) == 0);
        require(strlen(d->objects[i].url) <= SHARE_DOC_URL_MAX);
        require(i == 0 || strcmp(d->objects[i - 1].key, d->objects[i].key) < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(share_doc_fini) struct share_doc d = {0}, back = {0};
    CLEANUP(buf_fini) struct buf text;
    struct err err;
    struct rc rc = share_doc_decode(span_of(data, size), &d, &err);

    buf_init(&text, SHARE_DOC_MAX);
    if (rc_failed(rc)) {
        require(rc.code == E_CORRUPT || rc.code == E_UNSUPPORTED);
        require(strstr(err.msg, "://h") == NULL || strstr(err.msg, "https://host/path?query") != NULL);
        return 0;
    }
    check(&d);
    require(!rc_failed(share_doc_encode(&d, &text, &err)));
    require(!rc_failed(share_doc_decode(buf_span(&text), &back, &err)));
    require(back.count == d.count && back.txid == d.txid && back.expires_ms == d.expires_ms);
    return 0;
}
