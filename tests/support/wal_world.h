/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_world - a live database for tests: an application in a process of its own, weir's connection to it, and a model
 * of the database that is fed by wal_reader and must equal the source byte for byte.
 *
 *     wal_world_begin(&w, page_size)      directory, child, a database in WAL mode with a table t(id, a, b)
 *     wal_world_attach(&w)                connection and gate; the model is the state as it is now
 *     ... the child writes ...
 *     wal_world_drain(&w)                 reads to the end of the log; the last state of the reader
 *     wal_world_check(&w)                 model and source are equal
 *     wal_world_end(&w)
 */
#ifndef WAL_WORLD_H
#define WAL_WORLD_H

#include "sql_child.h"
#include "wal_gate.h"
#include "wal_reader.h"

struct wal_world {
    char dir[64], path[96], wal_path[104];
    uint32_t page_size;
    struct sql_child app; /* connection 0 is open */
    struct wal_conn *conn;
    struct wal_reader *reader;

    /* The model. */
    uint8_t *pages;
    uint32_t page_count, room;
    struct wal_pos pos; /* after the last whole commit */
    uint64_t commits, frames;
    uint32_t biggest_batch, split_commits; /* commits that came in more than one batch */
    bool inside;
};

void wal_world_begin(struct wal_world *w, uint32_t page_size);
void wal_world_end(struct wal_world *w);

/* Connection and gate only. */
void wal_world_connect(struct wal_world *w);
void wal_world_attach(struct wal_world *w);
/* Let go of the database; the model and the position stay. */
void wal_world_detach(struct wal_world *w);
/* Decide where to read on after w->pos, and open the reader there unless that is WAL_RESUME_COMPARE. */
struct wal_resume wal_world_resume(struct wal_world *w);

/* One batch into the model; false when there was nothing. */
bool wal_world_take(struct wal_world *w);
/* Refresh and read until there is nothing more: WAL_READER_QUIET or WAL_READER_LOST. */
enum wal_reader_state wal_world_drain(struct wal_world *w);
/* The model and what SQLite reads are equal. */
void wal_world_check(struct wal_world *w);
/* The model becomes what SQLite reads. */
void wal_world_adopt(struct wal_world *w);

/* For sql_child_call(): `b` random transactions (seed `a`) on connection 0: inserts, updates, deletes, rollbacks,
 * savepoints, now and then a big one.  SQLite's code. */
int wal_world_random(struct sqlite3 **conns, uint64_t a, uint64_t b);
/* The same for `b` milliseconds. */
int wal_world_busy(struct sqlite3 **conns, uint64_t a, uint64_t b);

/* Files. */
uint8_t *wal_world_file_read(const char *path, size_t *size); /* to be freed */
void wal_world_file_write(const char *path, const uint8_t *data, size_t size);
void wal_world_file_patch(const char *path, uint64_t offset, const uint8_t *data, size_t size);
uint64_t wal_world_file_size(const char *path);

#endif
