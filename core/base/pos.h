/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pos - where we are: in a history (timeline, txid, state checksum) and in a WAL (generation, frame, running checksum).
 * Value types, and their fixed-size encoding for the local state.
 */
#ifndef POS_H
#define POS_H

#include "buf.h"

/* A place in a WAL file: `frame` frames of the generation named by the salts have been read. */
struct wal_pos {
    uint32_t salt[2];
    uint32_t
        change_count; /* commit counter of the WAL index there (iChange); 0 in a position that only a header gave */
    uint32_t page_size;
    uint32_t frame;    /* 0: none yet */
    uint32_t cksum[2]; /* running checksum after that frame (after the header when frame is 0) */
    bool big_endian;   /* checksum word order of this WAL */
    bool valid;        /* false: no place in any WAL is known (a restored file, say) */
};

/* A state of a history. */
struct pos {
    uint32_t timeline;
    uint64_t txid;
    int64_t time_ms;   /* of the commit */
    uint64_t checksum; /* state checksum */
    uint32_t page_size;
    uint32_t page_count; /* pages in the database */
    struct wal_pos wal;
};

/* Identity of a database history, and of one run of a writer: 128 random bits. */
struct nonce {
    uint8_t bytes[16];
};

enum { NONCE_TEXT_SIZE = 33, POS_ENCODED_SIZE = 4 + 8 + 8 + 8 + 4 + 4 + 32 };

void pos_encode(const struct pos *p, struct buf *out);
/* Sets the cursor's `bad` on nonsense. */
void pos_decode(struct cursor *c, struct pos *out);

struct nonce nonce_new(void);
bool nonce_equal(const struct nonce *a, const struct nonce *b);
const char *nonce_format(const struct nonce *n, char out[NONCE_TEXT_SIZE]);
bool nonce_parse(const char *text, struct nonce *out);

#endif
