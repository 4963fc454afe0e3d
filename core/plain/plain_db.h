/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain_db - a database file as one state that does not change while it is read.
 *
 *     plain_db_open(&p, fs, "app.db", scratch folder, err)
 *     plain_db_check(p, err)                                     PRAGMA quick_check, if wanted
 *     plain_db_read(p, first, count, pages, err)  ...
 *     plain_db_done(p, err)                                      nothing has changed meanwhile
 *     plain_db_close(p)
 *
 * The file may be in use: it is held by a read transaction of SQLite's, which also rolls back what a crash left half
 * done.  What a log beside it (-wal) holds belongs to the state: file and log are then copied into the scratch folder,
 * where SQLite applies the one to the other; the file itself stays as it is.  Without a log the file is read in place.
 * A file that cannot be locked (a read-only place) is read in place too, if there is nothing beside it, and must be the
 * same at the end.
 *
 * The descriptor is open before SQLite's connection and closed after it: closing it earlier would drop SQLite's locks.
 *
 * Runs in a job's thread, or before any: blocking.
 */
#ifndef PLAIN_DB_H
#define PLAIN_DB_H

#include "dbfmt.h"
#include "fsys.h"

struct plain_db;

/*
 * E_NOTFOUND there is no such file; E_CONFIG it is no SQLite database (the message says what it is); E_BUSY somebody
 * keeps it locked; E_CORRUPT its header and its size contradict each other; E_DENIED it has a log that cannot be
 * applied.
 */
MUST_USE struct rc plain_db_open(
    struct plain_db **out, const struct fsys *fs, const char *path, const char *folder, struct err *err);
void plain_db_close(struct plain_db *p);
void plain_db_closep(struct plain_db **p);

uint32_t plain_db_page_size(const struct plain_db *p);
uint32_t plain_db_page_count(const struct plain_db *p);
/* A log was applied. */
bool plain_db_had_log(const struct plain_db *p);
/* E_CORRUPT with what SQLite finds. */
MUST_USE struct rc plain_db_check(struct plain_db *p, struct err *err);
MUST_USE struct rc plain_db_read(
    struct plain_db *p, uint32_t first_pgno, uint32_t count, uint8_t *pages, struct err *err);
/* E_BUSY when a file that could not be locked is not what it was. */
MUST_USE struct rc plain_db_done(struct plain_db *p, struct err *err);

#endif
