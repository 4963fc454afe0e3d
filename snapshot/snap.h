/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snap - what the modules of the snapshot object share: a snapshot is all pages of a database at one txid, as
 * independent zstd frames with an index behind them (docs/format.md, "Snapshots").  A merge is the same with a part of
 * the pages: those in which the state at its txid differs from the state at an earlier one, its base.
 *
 *     offset        size
 *     0             56     pack header, kind "snap"
 *     56            ...    frames, one behind the other
 *     index offset  ...    index: blocks, each u32 raw size, u32 stored size, bytes (zstd when stored < raw)
 *     end-152       144    footer (of a merge: 168)
 *     end-8         8      pack trailer: XXH3-64 of all bytes before
 *
 * The footer, so that a reader who fetches only the end of the object knows everything:
 *
 *     0    56  the pack header once more
 *     56   4   timeline                    88   8   state checksum
 *     60   4   page size                   96   8   index offset
 *     64   8   txid                        104  8   index size, as stored
 *     72   8   time in ms                  112  8   index size, raw
 *     80   4   page count                  120  8   XXH3-64 of the index as stored
 *     84   4   frame count                 128  4   size of the footer, so that later versions can make it longer:
 *                                                   new fields come in before this one
 *                                          132  4   "wsnp"
 *                                          136  8   XXH3-64 of footer bytes 0..135
 *
 * A merge has the required feature SNAP_PARTIAL in its header, so that who takes it for a snapshot refuses it, and in
 * its footer from 128 on: 8 base txid, 8 state checksum there, 4 level, 4 zeros; then size, magic and hash.
 *
 * Modules: snap_frame makes and opens frames, snap_writer puts an object together, snap_index reads its end,
 * snap_hashes reads the page hashes that it may carry.
 */
#ifndef SNAP_H
#define SNAP_H

#include "pack.h"

enum {
    SNAP_FRAME_RAW_MAX = 256 << 10, /* bytes of pages in a frame; stays in the second-level cache of a core */
    SNAP_FRAME_PAGES_MAX = 512,     /* SNAP_FRAME_RAW_MAX in the smallest pages */
    SNAP_FRAME_STORED_MAX = SNAP_FRAME_RAW_MAX + (4 << 10), /* zstd's bound for incompressible pages is 257 KiB */
    SNAP_FRAME_STORED_MIN = 10, /* zstd cannot do with less; bounds the number of frames by the size of the object */
    SNAP_TAIL_SIZE = 128 << 10, /* holds the index of about 3 GB of database: one request opens a snapshot */
    SNAP_INDEX_MAX = 512 << 20, /* a reader's bound on the raw index: 10 TB of database in 4 KiB pages */
    SNAP_INDEX_BLOCK = 1 << 20, /* raw bytes in a block of the index */

    SNAP_LEVEL_MAX = 255,
    SNAP_PARTIAL = 1, /* required feature: pages that are not in it are those of the base state */
    SNAP_HASHED = 1,  /* optional feature: the last frames may hold the hashes of its pages (snap_hashes.h) */

    SNAP_FOOTER_SIZE = 144,
    SNAP_FOOTER_SIZE_PARTIAL = 168,
    SNAP_FOOTER_MAX = 4096, /* what a reader accepts from later versions */
    SNAP_FOOTER_END = 16,   /* size, magic and hash: the end of every footer */
    SNAP_FOOTER_MAGIC = 0x706e7377,
};

struct snap_meta {
    struct nonce database, writer;
    uint32_t timeline;
    uint64_t txid;
    int64_t time_ms;
    uint32_t page_size;
    uint32_t page_count;
    uint64_t checksum; /* state checksum */
    bool hashed;       /* on decode: SNAP_HASHED */
    /* Merges only. */
    unsigned level; /* 1 to SNAP_LEVEL_MAX; 0: a snapshot, which stands for itself */
    uint64_t base_txid, base_checksum;
};

#endif
