/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal - the object that ends a timeline: it takes the key of the segment that would have come next, so the old
 * writer's PUT fails from then on (docs/format.md, "One writer").
 */
#ifndef SEAL_H
#define SEAL_H

#include "pack.h"

struct seal {
    struct pack_header pack;
    uint32_t timeline; /* the one that ends */
    uint32_t successor;
    uint64_t txid; /* of the key it stands at: the last commit of the timeline is txid - 1 */
    int64_t time_ms;
    char owner[256]; /* who sealed: host and process, for messages */
};

MUST_USE struct rc seal_encode(const struct seal *s, struct buf *out, struct err *err);
MUST_USE struct rc seal_decode(struct span object, struct seal *out, struct err *err);

#endif
