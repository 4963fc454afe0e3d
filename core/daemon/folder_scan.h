/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder_scan - the databases of a folder as they are now: one walk over its names (folder_match.h).
 *
 * Symbolic links are not followed, neither to files (SQLite keeps the log beside the file that a link leads to, so the
 * same database would be there twice) nor to folders (they may lead back).  A folder that cannot be read is told and
 * passed over.
 *
 * Blocking.  Limits: FOLDER_SCAN_FILES_MAX databases and as many folders, FOLDER_SCAN_DEPTH_MAX levels.
 */
#ifndef FOLDER_SCAN_H
#define FOLDER_SCAN_H

#include "fsys.h"

enum { FOLDER_SCAN_FILES_MAX = 100000, FOLDER_SCAN_DEPTH_MAX = 32 };

struct folder_scan {
    const struct fsys *fs;
    const char *dir, *pattern; /* borrowed */
    bool recursive;

    /* Out. */
    char **files;   /* owned, full paths */
    char **folders; /* owned, full paths, the folder itself first; empty when it is not there */
    size_t file_count, folder_count, file_room, folder_room;
    size_t link_count;    /* symbolic links whose names match */
    size_t skipped_count; /* folders that could not be read, names beyond the limits */
    struct err skipped;   /* the first of these */
};

/* E_NOTFOUND: the folder is not there. */
MUST_USE struct rc folder_scan_run(struct folder_scan *s, struct err *err);
void folder_scan_fini(struct folder_scan *s);

#endif
