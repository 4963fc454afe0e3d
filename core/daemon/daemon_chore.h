/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_chore - what is done for the parked databases of folders without opening them: their drills and their scrubs.
 *
 * One drill and one scrub at a time in a process.  Of those that are due the one has its turn that has waited for
 * longest, so a daemon that is restarted all the time comes round, too; and between two of a folder there is a pause,
 * so that thousands that were never drilled take an eighth of an interval.  While drills of a folder cannot be carried
 * out, the replica being away, say, the pause grows.
 *
 * Whoever opens a database waits until its scrub has let go of the file, some milliseconds; a drill goes on.
 */
#ifndef DAEMON_CHORE_H
#define DAEMON_CHORE_H

#include "daemon_intern.h"

struct daemon_drill;
struct daemon_scrub;

struct daemon_chores {
    uv_timer_t timer;
    struct daemon_drill *drill; /* under way; NULL: none */
    struct daemon_scrub *scrub;
    bool stopping;
    bool reload_wanted; /* when the scrub has let go */
};

/* --- daemon_chore.c */
void daemon_chore_begin(struct daemon *d);
/* What is due soon may have changed. */
void daemon_chore_kick(struct daemon *d);
/* When are they due, by what is known? */
void daemon_chore_plan(struct daemon_item *item);
/* The next one of this database: `ms` from now, but at most an interval. */
void daemon_chore_again(struct daemon_item *item, enum daemon_chore which, uint64_t ms);
/* None of this folder's before that. */
void daemon_chore_pause(struct daemon_folder *f, enum daemon_chore which, uint64_t ms);
/* One is over. */
void daemon_chore_over(struct daemon *d);
/* End what is under way; daemon_check_end() is called when that is through. */
void daemon_chore_stop(struct daemon *d);
bool daemon_chore_busy(const struct daemon *d);
/* The database is not to be had any more: what is under way for it ends, and is nobody's. */
void daemon_chore_forget(const struct daemon_item *item);
/* Nobody is to begin with a database while a scrub has its file; true: the reload comes later. */
bool daemon_chore_delays_reload(struct daemon *d);
/* Something of this database became another: whether anything is wrong with it (`before`: as it was). */
void daemon_chore_note_trouble(struct daemon_item *item, enum err_code before);
/* What is wrong with it as a code; E_OK: nothing. */
enum err_code daemon_chore_trouble_code(const struct daemon_item *item);
void daemon_chore_close(struct daemon *d);
void daemon_chore_free(struct daemon *d);

/* --- daemon_drill.c */
void daemon_drill_begin(struct daemon_item *item);
bool daemon_drill_is_of(const struct daemon_item *item);
/* It is open now, and may be behind: then its drill waits. */
void daemon_drill_tend(struct daemon *d);
void daemon_drill_stop(struct daemon_drill *k);
void daemon_drill_forget(struct daemon_drill *k, const struct daemon_item *item);

/* --- daemon_scrub.c */
void daemon_scrub_begin(struct daemon_item *item);
/* The file at this path is being read: it is let go of soon, and the queue kicked then. */
bool daemon_scrub_holds(struct daemon *d, const char *path);
void daemon_scrub_stop(struct daemon_scrub *k);
void daemon_scrub_forget(struct daemon_scrub *k, const struct daemon_item *item);

#endif
