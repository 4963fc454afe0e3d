/* SPDX-License-Identifier: Apache-2.0 */
/* fold_keep_intern - what is kept, shared by fold_keep.c and fold_keep_range.c. */
#ifndef FOLD_KEEP_INTERN_H
#define FOLD_KEEP_INTERN_H

#include "fold_file.h"
#include "fold_keep.h"

/* A segment that is kept. */
struct fold_keep_member {
    uint64_t first_txid, last_txid;
    int64_t time_ms;
    uint64_t since_ms; /* shipped, or found at the open */
    struct fold_file_place place;
    uint64_t small_first, small_last; /* the small fold that has it; 0: none */
    bool alone;                       /* it is not folded */
};

/* An object that a fold stands for. */
struct fold_keep_waste {
    bool is_fold;
    uint64_t first_txid, last_txid;
    uint64_t since_ms;
};

struct fold_keep {
    struct fold_keep_opts opts;
    char *dir; /* owned */
    struct fold_file *file;

    struct fold_keep_member *members; /* owned; room for FOLD_KEEP_MEMBERS_MAX */
    size_t member_count;
    uint64_t bytes;
    struct fold_keep_waste *trash; /* owned; room for FOLD_KEEP_TRASH_MAX */
    size_t trash_count;
    bool sweep;     /* a large fold was made since the last deletion */
    bool forbidden; /* to delete */
};

/* A run of members. */
struct fold_keep_range {
    size_t from, to; /* to: behind the last */
    unsigned smalls;
    uint64_t bytes;
    bool closed; /* nothing more will come into it */
};

/* The next run of single segments / the run of small folds that the members begin with. */
struct fold_keep_range fold_keep_range_small(const struct fold_keep *k);
struct fold_keep_range fold_keep_range_large(const struct fold_keep *k);

#endif
