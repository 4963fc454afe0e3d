/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_doc - the document of a share (docs/s3.md, "Shares"): the objects that one state needs, each with its size and
 * a link that anybody can read it by until the share expires.
 *
 *     {"weir_share": 1, "created": TIME, "expires": TIME, "timeline": 1, "txid": 1207,
 *      "objects": [{"key": "weir.json", "size": 155, "url": "https://..."}, ...]}
 *
 * Links are secrets: nothing of them is in an error's text, and their memory is wiped.
 *
 * Decoding trusts nothing: E_CORRUPT with the place, E_UNSUPPORTED for a newer version.  Names that are not known are
 * passed over.
 */
#ifndef SHARE_DOC_H
#define SHARE_DOC_H

#include "buf.h"

enum {
    SHARE_DOC_VERSION = 1,
    SHARE_DOC_MAX = 64 << 20,      /* bytes */
    SHARE_DOC_OBJECTS_MAX = 50000, /* with links of a usual length that is about SHARE_DOC_MAX */
    SHARE_DOC_URL_MAX = 8192,
};

struct share_object {
    char *key; /* owned */
    uint64_t size;
    char *url; /* owned; a secret; NULL as long as it is not signed */
};

struct share_doc {
    int64_t created_ms, expires_ms;
    uint32_t timeline;
    uint64_t txid;
    struct share_object *objects; /* owned; by key, each once */
    size_t count, room;
};

void share_doc_init(struct share_doc *d);
void share_doc_fini(struct share_doc *d); /* wipes; fine on a zeroed struct */
/* E_NOSPACE beyond the limit.  In any order, and more than once: share_doc_sort() puts that right. */
MUST_USE struct rc share_doc_add(struct share_doc *d, const char *key, uint64_t size, struct err *err);
void share_doc_sort(struct share_doc *d);
/* NULL: there is none.  `key` may be the beginning of one: *at is where it would be. */
const struct share_object *share_doc_find(const struct share_doc *d, const char *key, size_t *at);
uint64_t share_doc_bytes(const struct share_doc *d); /* of all objects */

/* Every object has its link. */
MUST_USE struct rc share_doc_encode(const struct share_doc *d, struct buf *out, struct err *err);
MUST_USE struct rc share_doc_decode(struct span json, struct share_doc *out, struct err *err);

#endif
