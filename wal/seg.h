/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg - the segment: consecutive commits of a history as page deltas, in one object (docs/format.md, "Segments").
 *
 *     e = seg_enc_new(&opts)
 *     seg_enc_page(e, pgno, page, base, err)          per page
 *     seg_enc_commit(e, &commit, err)                 per commit
 *     seg_enc_take_part(e, &part, &number)            after each of both, until it says false
 *     seg_enc_finish(e, &object, err), seg_enc_reset(e, &opts) ... seg_enc_free(e)
 *
 *     seg_dec_open(&d, object, err)
 *     seg_dec_info(d)->commits ...                    without any page decoded
 *     seg_dec_apply_part(d, part, &ops, &stopped, err)   per part, in order
 *     seg_dec_apply_tail(d, &ops, &stopped, err)
 *     seg_dec_free(d)
 *
 * Each page is coded against `base`, its image just before this change, where the caller can prove it; whole otherwise.
 * Pages travel in blocks of bounded size, so memory does not depend on the size of a transaction: at most 4 MiB for the
 * encoder, 2 MiB for the decoder, plus the object or part; tens of KiB for a few small commits.  A segment whose blocks
 * outgrow SEG_PART_SIZE sheds them as parts, objects of their own that the segment lists: after every seg_enc_page and
 * seg_enc_commit the caller asks seg_enc_take_part().
 *
 * The decoder trusts nothing: lengths are bounded before they are used, every stored byte is covered by a hash, and the
 * caller compares the state checksum at every commit.
 *
 * Threads: an object is used by one thread at a time.
 */
#ifndef SEG_H
#define SEG_H

#include "pack.h"
#include "zstr.h"

enum {
    SEG_PART_SIZE = 4 << 20,      /* stored bytes after which the blocks so far become a part */
    SEG_PART_COUNT_MAX = 1 << 16, /* 256 GiB in one transaction */
    SEG_COMMIT_COUNT_MAX = 1 << 16,
    SEG_OBJECT_MAX = 32 << 20, /* what a reader accepts for one object */
};

/* Commit flags. */
enum {
    SEG_RESYNC = 1,   /* not one transaction: all that differs from the state before, found by comparing */
    SEG_SNAPSHOT = 2, /* no pages here: the state of this txid is in a snapshot, and cannot be reached from before */
    SEG_KNOWN_FLAGS = SEG_RESYNC | SEG_SNAPSHOT,
};

struct seg_commit {
    uint64_t txid;
    int64_t time_ms;     /* when weir saw it; never falls within a timeline */
    uint32_t page_count; /* pages in the database after it */
    uint32_t flags;
    uint64_t checksum;     /* state checksum after it */
    uint64_t change_count; /* pages stored for it; set by the encoder */
};

/* What stands at the head of a segment, known without decoding pages. */
struct seg_info {
    struct pack_header pack;
    uint64_t object_size; /* bytes of the segment object, without its parts */
    uint32_t timeline;
    uint32_t page_size;
    uint64_t base_txid;     /* first txid - 1 */
    uint64_t base_checksum; /* state checksum before the first commit; 0 with txid 1 */
    struct seg_commit *commits;
    size_t commit_count; /* at least 1 */
    struct seg_part {
        uint64_t size; /* of the part object */
        uint64_t hash; /* its trailer: ties the part to this segment */
    } * parts;
    size_t part_count;
};

/* --- writing ------------------------------------------------------------------------------------------- */

struct seg_enc_opts {
    struct nonce database, writer;
    uint32_t timeline;
    uint32_t page_size;
    uint64_t base_txid, base_checksum;
};

struct seg_enc;
struct seg_enc *seg_enc_new(const struct seg_enc_opts *opts);
void seg_enc_free(struct seg_enc *e);
void seg_enc_freep(struct seg_enc **e);
/* Start the next segment with the same object: keeps memory, but not more than a quiet database needs. */
void seg_enc_reset(struct seg_enc *e, const struct seg_enc_opts *opts);

/* Add the new image of a page to the commit that is being built.  `base` is its image just before this change
 * (page_size bytes), or NULL.  Both are copied or consumed before the call returns.  A page may come more than once in
 * a commit: the last one counts, and the base of each is the image given before.  After a failure the encoder is of no
 * use until seg_enc_reset(). */
MUST_USE struct rc seg_enc_page(
    struct seg_enc *e, uint32_t pgno, const uint8_t *page, const uint8_t *base, struct err *err);
/* End the commit: its txid must be the next one, and one with SEG_SNAPSHOT must have no pages. */
MUST_USE struct rc seg_enc_commit(struct seg_enc *e, const struct seg_commit *commit, struct err *err);

/* True when a part is complete: `part` is then a whole object (pack kind PART) to be stored as part `*number` (0, 1,
 * ...) of the segment before the segment itself.  `part` was initialized; its content and memory are replaced. */
bool seg_enc_take_part(struct seg_enc *e, struct buf *part, uint32_t *number);

size_t seg_enc_commit_count(const struct seg_enc *e);
/* Pages added since the last seg_enc_commit(). */
uint64_t seg_enc_pending(const struct seg_enc *e);
/* Stored bytes so far, all parts included but not the block that is being filled (at most 512 KiB of changed bytes),
 * and the page bytes of all changes. */
uint64_t seg_enc_stored_size(const struct seg_enc *e);
uint64_t seg_enc_raw_size(const struct seg_enc *e);

/* The finished object (there must be at least one commit and nothing pending).  Call seg_enc_reset() next. */
MUST_USE struct rc seg_enc_finish(struct seg_enc *e, struct buf *object, struct err *err);

/* --- reading ------------------------------------------------------------------------------------------- */

struct seg_dec;
/* `object` is borrowed until seg_dec_free().  Verifies the hash of the whole object. */
MUST_USE struct rc seg_dec_open(struct seg_dec **out, struct span object, struct err *err);
/* The same for whoever opens many: `zstd` is borrowed as well, instead of one made for each.  Any number of decoders
 * may share it, in one thread at a time. */
MUST_USE struct rc seg_dec_open_with(struct seg_dec **out, struct span object, struct zstr_dec *zstd, struct err *err);
void seg_dec_free(struct seg_dec *d);
void seg_dec_freep(struct seg_dec **d);
const struct seg_info *seg_dec_info(const struct seg_dec *d);

struct seg_apply_ops {
    /* The page's image just before this change (page_size bytes).  Called for all pages of a block before any of them
     * is written, once per page. */
    struct rc (*read)(void *ctx, uint32_t pgno, uint8_t *page, struct err *err);
    struct rc (*write)(void *ctx, uint32_t pgno, const uint8_t *page, struct err *err);
    /* All pages of this commit were written.  Set *stop to end here (a target txid inside the segment). */
    struct rc (*commit)(void *ctx, const struct seg_commit *commit, bool *stop, struct err *err);
    void *ctx;
};

/*
 * Apply the blocks of one part (a whole part object, checked against the list), in order 0, 1, 2 ...; after the last
 * one, or at once when there are none, seg_dec_apply_tail() applies what is in the segment object itself.
 */
MUST_USE struct rc seg_dec_apply_part(
    struct seg_dec *d, struct span part, const struct seg_apply_ops *ops, bool *stopped, struct err *err);
MUST_USE struct rc seg_dec_apply_tail(
    struct seg_dec *d, const struct seg_apply_ops *ops, bool *stopped, struct err *err);

/* Only the page numbers, in order, without bases: `on_page(ctx, index of the commit, pgno)`. */
typedef void (*seg_page_fn)(void *ctx, size_t commit_index, uint32_t pgno);
MUST_USE struct rc seg_dec_pages_part(
    struct seg_dec *d, struct span part, seg_page_fn on_page, void *ctx, struct err *err);
MUST_USE struct rc seg_dec_pages_tail(struct seg_dec *d, seg_page_fn on_page, void *ctx, struct err *err);

#endif
