/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_file - what `weir check` finds out on this machine about one database: is it one, can it be followed, who has
 * it open, is there room for the local state and the spool.
 *
 * Nothing is written and no SQLite connection is made: the file's header is read, the rest is asked of the system.  So
 * a daemon and applications beside it notice nothing.
 */
#ifndef CHECK_FILE_H
#define CHECK_FILE_H

#include "check_report.h"
#include "config.h"
#include "local_state.h"

enum { CHECK_FILE_OPENERS_MAX = 16, CHECK_FILE_PROCESSES_MAX = 100000, CHECK_FILE_DESCRIPTORS_MAX = 1 << 20 };

struct check_file {
    uint64_t bytes;     /* of the database; 0: there is none yet */
    uint32_t page_size; /* 0: not known */
    enum local_state_found found;
    struct local_state_content local; /* of the local state, if one was found */
    bool daemon;                      /* a daemon replicates it now */
};

/* The database of this path.  `proc` is where the system tells of processes: "/proc". */
void check_file_run(struct check_file *out, struct check_report *report, const struct fsys *fs,
    const struct config_db *db, const char *path, const char *proc);

#endif
