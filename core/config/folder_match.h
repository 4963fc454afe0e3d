/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder_match - which files of a folder are databases, by their names alone.
 *
 * The pattern is a shell's glob for the name of the file (fnmatch): `*` does not match a leading dot.  Never databases,
 * whatever the pattern says: what SQLite keeps beside one (-wal, -shm, -journal, the master journals -mj...).  Never
 * looked into: folders with a leading dot, and those in which weir keeps local states (-weir).
 */
#ifndef FOLDER_MATCH_H
#define FOLDER_MATCH_H

#include <stdbool.h>
#include <stddef.h>

/* The folder's own state: lock and control socket; `base` as for local_place_dir().  mem_free'd. */
char *folder_match_state_dir(const char *dir, const char *base);

/* May a file of this name be a database? */
bool folder_match_file(const char *pattern, const char *name);
/* May a folder of this name be searched? */
bool folder_match_subfolder(const char *name);

/* Bytes of a path without the slashes at its end. */
size_t folder_match_trimmed(const char *path);
/* The path below `dir`, or NULL when it is no database of it. */
const char *folder_match_inside(const char *dir, const char *pattern, bool recursive, const char *path);

/* The database whose file in the log's or journal's name this is: the length of its name, or 0 when it is none. */
size_t folder_match_side_file(const char *name);

#endif
