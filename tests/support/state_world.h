/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_world - a model of what a local state must remember, driven beside the real one.  Calls that fail are part of
 * the game; what must hold is checked at each loading: the state found is one that the replica had acknowledged, not
 * older than what was recorded (or, after a power cut, than what was synced), and not one that was lost before.
 *
 *     w = state_world_new(seed)           an empty directory below one that make_top() made
 *     state_world_open(w, fs)             load, and compare; false: the file system failed, and it was told
 *     ... story(), or some step() ...     what a daemon does, on the way comparing more
 *     state_world_close(w)
 *     state_world_recovers(w)             whatever happened before: it loads, and life goes on
 *     state_world_free(w)
 */
#ifndef STATE_WORLD_H
#define STATE_WORLD_H

#include "local_state.h"

enum { STATE_WORLD_PAGES = 40, STATE_WORLD_STATES = 4000, STATE_WORLD_RUNS = 600, STATE_WORLD_PENDING = 6 };

struct state_world_at {
    struct pos pos;
    bool restored;
    uint64_t hash[STATE_WORLD_PAGES + 1];
};

/* No pointers but `ls` and `hashes`, so it can live in memory shared with a child that is killed. */
struct state_world {
    char dir[200];
    uint64_t seed;
    const struct fsys *fs;
    struct local_state *ls;
    struct page_hash *hashes;
    struct nonce database;

    /* What was acknowledged, or written as a checkpoint, in order.  Of these may be found: `recorded` and later;
     * after a power cut `synced` and later. */
    struct state_world_at states[STATE_WORLD_STATES];
    size_t state_count, recorded, synced;
    bool begun; /* a checkpoint has succeeded, so that there must be something */
    bool power; /* the power was cut since the last loading */

    struct {
        struct nonce nonce;
        bool sure; /* the call said that it is on disk */
    } runs[STATE_WORLD_RUNS];
    size_t run_count;

    /* Ahead of the replica. */
    struct state_world_at now;
    struct {
        uint64_t mark;
        struct state_world_at state;
    } pending[STATE_WORLD_PENDING];
    size_t pending_count;
    bool changed; /* since the last segment */

    size_t failures, loads_good, loads_none, peeks;
};

/* fsys_real without waiting for the disk: these tests end processes, or have a disk of their own (fault_power).  Valid
 * after make_top(). */
extern struct fsys state_world_fsys;

/* Set-up and teardown of a group: the directory in which all worlds of this process live, one at a time. */
int state_world_make_top(void **state);
int state_world_remove_top(void **state);
/* Of the local state.  The second one sees to it that nothing is there. */
const char *state_world_dir(void);
const char *state_world_fresh_dir(void);

struct state_world *state_world_new(uint64_t seed);
void state_world_free(struct state_world *w);
bool state_world_open(struct state_world *w, const struct fsys *fs);
void state_world_close(struct state_world *w);
/* Open without faults, check, go on for a while, and once more. */
void state_world_recovers(struct state_world *w);

/* A number below n, of the world's sequence. */
uint64_t state_world_chance(struct state_world *w, uint64_t n);

/* What a daemon does: a commit, a segment of what was committed, the oldest segment acknowledged, a run begun, a
 * checkpoint (of a restored state). */
void state_world_pages(struct state_world *w);
void state_world_segment(struct state_world *w);
void state_world_acknowledge(struct state_world *w);
void state_world_run(struct state_world *w);
void state_world_checkpoint(struct state_world *w, bool restored);
/* What another process sees of it. */
void state_world_peek(struct state_world *w);

/* Some of each, always the same; and one of them by chance. */
void state_world_story(struct state_world *w);
void state_world_step(struct state_world *w);

#endif
