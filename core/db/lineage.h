/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage - may this process write this history with this file, and how does it begin?  A pure decision over what the
 * replica, the local state and the file say.  Never overwrite, never guess: a file that is not provably a state of the
 * history is refused with what was found on both sides and the ways out.
 */
#ifndef LINEAGE_H
#define LINEAGE_H

#include "local_state.h"

struct lineage_facts {
    const char *path, *url; /* for messages */

    /* The replica. */
    bool has_history;
    struct nonce database;
    uint32_t newest; /* timeline; 0: none yet */
    uint32_t newest_parent;
    uint64_t newest_fork; /* txid where it leaves its parent */
    bool newest_is_ours;  /* its last segment, or its origin while it has none, was written by one of our runs */
    bool origin_is_ours;  /* it was created by one of our runs */
    char newest_host[256];
    bool newest_sealed;
    uint64_t tip_txid; /* last commit on the newest timeline (its fork point when it has none of its own) */
    uint64_t tip_checksum;
    int64_t tip_time_ms;
    bool foreign_after; /* a segment behind the local position was written by a run that is not ours */
    char foreign_run[NONCE_TEXT_SIZE];
    bool spool_damaged; /* what lies between the replica's tip and the local position was in the spool, which is damaged
                         */
    bool local_on_path; /* the local position's txid and checksum are a commit of this history */

    /* The local state.  A good one without pages knows only which runs were ours. */
    enum local_state_found found;
    const struct local_state_content *local;

    /* The file, hashed as a whole (only after LINEAGE_HASH_FILE was asked for). */
    bool file_hashed;
    uint64_t file_checksum;
    uint32_t file_timeline; /* where a commit of the history has this checksum; txid 0: nowhere */
    uint64_t file_txid;
    int64_t file_time_ms;

    /* What the operator allows. */
    bool fork, adopt;
    bool replace_unbegun; /* this process has just found that nothing can be restored there: a timeline without a commit
                             may be ended, too; one that has commits by now is another writer's */
};

enum lineage_action {
    LINEAGE_NEW_HISTORY, /* nothing is there, or only our own claim: first timeline, first snapshot */
    LINEAGE_CONTINUE,    /* go on behind the local position, on the newest timeline */
    LINEAGE_RETRACE,     /* the same, but the replica is ahead with our own commits: read them again first */
    LINEAGE_HASH_FILE,   /* not decided: hash the file and ask again */
    LINEAGE_TAKE_OVER,   /* seal the newest timeline, begin the next one at (parent, fork) */
    LINEAGE_RESNAPSHOT,  /* the index is lost: full snapshot as the next txid of the newest timeline */
    LINEAGE_ADOPT,       /* seal, next timeline at the tip, full snapshot as its first txid */
};

struct lineage_decision {
    enum lineage_action action;
    uint32_t parent; /* TAKE_OVER, ADOPT */
    uint64_t fork;   /* txid */
    uint64_t fork_checksum;
    char note[512]; /* for the log; "" when there is nothing to say */
};

/* E_FENCED another writer owns the history; E_CONFIG the file does not belong to it. */
MUST_USE struct rc lineage_decide(const struct lineage_facts *f, struct lineage_decision *out, struct err *err);

#endif
