/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack - the frame that every binary object of a history has in common (docs/format.md, "Objects").
 *
 *     offset  size
 *     0       8    magic "weir" kind(4 ASCII: "seg ", "seal", "snap", "part", "fold")
 *     8       2    format version (PACK_VERSION)
 *     10      2    features a reader must know (bits; unknown bit: refuse)
 *     12      2    features a reader may ignore
 *     14      2    size of this header, so that later versions can make it longer (at least PACK_HEADER_SIZE)
 *     16      16   database id
 *     32      16   nonce of the writer's run
 *     48      8    XXH3-64 of bytes 0..47 and of header bytes 56.. if any
 *     ...     body
 *     end-8   8    XXH3-64 of all bytes before
 *
 * Integers little-endian.
 */
#ifndef PACK_H
#define PACK_H

#include "pos.h"

enum {
    PACK_VERSION = 1,
    PACK_HEADER_SIZE = 56,
    PACK_TRAILER_SIZE = 8,
};

enum pack_kind { PACK_SEGMENT, PACK_SEAL, PACK_SNAPSHOT, PACK_PART, PACK_FOLD };

struct pack_header {
    enum pack_kind kind;
    uint16_t version, required, optional; /* version is set by pack_put_header() */
    uint16_t size;                        /* on decode: where the body begins */
    struct nonce database, writer;
};

void pack_put_header(struct buf *out, const struct pack_header *h);
/* Append the trailer over everything in `out` so far (which must begin with the header). */
void pack_put_trailer(struct buf *out);

/* Check magic, version, required features (any bit not in `known`: E_UNSUPPORTED "needs a newer weir") and header hash.
 * `head` needs only the first bytes of the object. */
MUST_USE struct rc pack_decode_header(
    struct span head, enum pack_kind kind, uint16_t known, struct pack_header *out, struct err *err);
/* The kind that the magic names, for objects of unknown kind; E_CORRUPT when it is none of ours. */
MUST_USE struct rc pack_kind_of(struct span head, enum pack_kind *out, struct err *err);
/* The whole object: header as above, trailer verified; `body` is what lies between. */
MUST_USE struct rc pack_open(struct span object, enum pack_kind kind, uint16_t known, struct pack_header *out,
    struct span *body, struct err *err);

#endif
