/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_fmt - the bytes of the local state's files (docs/format.md, "Local state"): structs to bytes and back, no I/O.
 *
 * Each file begins with a magic, a version and feature bits; a reader refuses a version or a feature that it does not
 * know.  Each file carries the random id of the checkpoint that it belongs to, so files of different checkpoints can
 * never be taken for each other.
 *
 *     current   64 bytes of fields, the position, the runs, XXH3-64 of all that
 *     pages     header with XXH3-64 of itself and all entries, then 8 bytes a page
 *     log       header with its own XXH3-64, then records:
 *                   0  u32 type
 *                   4  u32 size of the payload
 *                   8  payload
 *                   .  u64 XXH3-64 of the 8 bytes before the record, its type, size and payload
 *
 * The 8 bytes before a record are the hash of its predecessor (or of the header).  So the hashes form a chain: a record
 * counts only behind exactly the records it was written behind, and what an earlier process or a power cut left at some
 * offset never counts again.
 *
 * Decoders trust nothing.  E_CORRUPT for nonsense, E_UNSUPPORTED for a newer version.
 */
#ifndef LOCAL_FMT_H
#define LOCAL_FMT_H

#include "local_state.h"

enum {
    LOCAL_FMT_PAGES_HEADER_SIZE = 40,
    LOCAL_FMT_LOG_HEADER_SIZE = 32,
    LOCAL_FMT_CURRENT_SIZE_MAX = 64 + POS_ENCODED_SIZE + 16 * LOCAL_STATE_RUNS_MAX + 8,

    LOCAL_FMT_CHAIN_SIZE = 8, /* the hash before a record */
    LOCAL_FMT_ENTRY_SIZE = 12,
    LOCAL_FMT_ENTRIES_MAX = 4096, /* of one record: 48 KiB */
    LOCAL_FMT_RECORD_SIZE_MAX = 8 + LOCAL_FMT_ENTRIES_MAX * LOCAL_FMT_ENTRY_SIZE + 8,
};

struct local_fmt_current {
    uint64_t id;         /* of the checkpoint: names the two other files; never 0 */
    uint64_t pages_hash; /* the one in the header of the pages file */
    struct local_state_content content;
};

/* The content must be a possible one: local_fmt_pos_ok(), not too many runs. */
void local_fmt_encode_current(const struct local_fmt_current *c, struct buf *out);
MUST_USE struct rc local_fmt_decode_current(struct span bytes, struct local_fmt_current *out, struct err *err);

/* Whether a position survives being written and read. */
bool local_fmt_pos_ok(const struct pos *pos);

/* The hash of a pages file with this id and these entries. */
uint64_t local_fmt_pages_hash(uint64_t id, const struct page_hash *hashes);
void local_fmt_encode_pages_header(uint64_t id, uint32_t count, uint64_t hash, struct buf *out);
/* E_CORRUPT when it is not exactly the header that `current` promises. */
MUST_USE struct rc local_fmt_decode_pages_header(
    struct span bytes, uint64_t id, uint32_t count, uint64_t hash, struct err *err);

/* `chain`: the header's hash, which the first record builds on. */
void local_fmt_encode_log_header(uint64_t id, struct buf *out, uint64_t *chain);
MUST_USE struct rc local_fmt_decode_log_header(struct span bytes, uint64_t id, uint64_t *chain, struct err *err);

enum local_fmt_type {
    LOCAL_FMT_PAGES = 1, /* page hashes changed */
    LOCAL_FMT_POSITION,  /* acknowledged: the records up to `mark` count, and are the state at `pos` */
    LOCAL_FMT_RUN,       /* a run may write objects from now on */
    LOCAL_FMT_SESSION,   /* a process goes on with this log: pages behind `mark` and before this are void */
};

struct local_fmt_record {
    enum local_fmt_type type;
    struct span entries; /* PAGES; borrowed */
    uint64_t mark;       /* POSITION, SESSION: an offset in the log, the end of a record */
    struct pos pos;      /* POSITION */
    struct nonce run;    /* RUN */
    uint64_t salt;       /* SESSION: random, so that two sessions never write the same bytes at the same place */
};

/* A page's entry, for PAGES records. */
void local_fmt_put_entry(struct buf *entries, uint32_t pgno, uint64_t hash);
/* Entry number `index` of a decoded record. */
void local_fmt_get_entry(struct span entries, size_t index, uint32_t *pgno, uint64_t *hash);

/* Replace the content of `out` by the 8 bytes of `*chain`, which are not to be written, and the record behind them;
 * `*chain` becomes the record's hash. */
void local_fmt_encode_record(const struct local_fmt_record *record, uint64_t *chain, struct buf *out);

/*
 * Decode the record behind the first 8 bytes of `bytes`, which are the chain.  `*size` is the record's size without
 * them, or 0 when no good record is there: the log ends.  E_CORRUPT when the hash is right and the content is nonsense,
 * because then it is not a torn write.
 */
MUST_USE struct rc local_fmt_decode_record(
    struct span bytes, struct local_fmt_record *out, size_t *size, struct err *err);

#endif
