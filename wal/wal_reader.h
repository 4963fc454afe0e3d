/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_reader - the committed frames of a live WAL, in order, each one proven.
 *
 *     wal_reader_open(&r, conn, from, err)       `from` as wal_resume.h found it
 *     wal_reader_refresh(r, &what, err)          look at the WAL index; WAL_READER_LOST: resynchronise
 *     wal_reader_next(r, &batch, err)            until batch.count is 0
 *
 * Only frames up to the index's mxFrame are read, which is always the end of a commit; each is checked against the
 * salts and the running checksum.  A frame that fails inside that range is E_CORRUPT: it is reported and
 * resynchronised, never skipped.
 *
 * The witness: the index counts commits (iChange), across resets.  When the log was reset in a moment when the gate was
 * open, the commits of the new generation are counted before any is delivered: if the numbers agree nothing is missing
 * and reading goes on, otherwise the answer is WAL_READER_LOST.  It is also checked at every refresh that has read
 * everything. A writer that pads its commits to a disk sector (only without power-safe overwrite) repeats the commit
 * frame; such repeats are recognised and may make up the difference.
 *
 * A chain that SQLite itself has broken: when a large transaction wrote a page twice, SQLite computes checksums only at
 * the commit, and until then leaves salts and checksums of the frames behind it zero.  Versions like 3.40.1 lose count
 * when a rollback to a savepoint comes in between: the commit then leaves frames blank, or computes from the wrong
 * place.  What the application reads is in order, only SQLite's own recovery would drop these commits and all behind.
 * So they are delivered, if the break is at blank frames or at the beginning of a commit, and the chain behind it ends
 * in the checksum that the index names for mxFrame; wal_reader_breaks() counts.  Anything else that does not verify is
 * E_CORRUPT.
 *
 * Images of pages at a place in the log: wal_image.h.
 *
 * Memory: a batch buffer of WAL_READER_BATCH_SIZE (or one frame, if larger) and the page map (wal_map.h).
 */
#ifndef WAL_READER_H
#define WAL_READER_H

#include "wal_conn.h"
#include "wal_fmt.h"
#include "wal_resume.h"

enum { WAL_READER_BATCH_SIZE = 256 << 10 };

enum wal_reader_state {
    WAL_READER_QUIET, /* nothing new */
    WAL_READER_MORE,  /* committed frames wait */
    WAL_READER_LOST,  /* commits were overwritten before they were read: only a comparison of all pages helps */
    WAL_READER_LATER, /* the index could not be read in this moment (a live writer in mid-change): try again */
};

struct wal_reader_frame {
    uint32_t pgno;
    uint32_t commit_page_count; /* not 0: this frame ends a commit */
    uint32_t previous;  /* frame with the page's image before this commit (or before this batch, if an earlier batch had
                           it in the same commit); 0: in the database file, if anywhere */
    bool superseded;    /* a later frame of the same commit in this batch has the page again */
    struct wal_pos pos; /* after this frame; only filled in when it ends a commit */
    const uint8_t *page; /* valid until the next call */
};

struct wal_reader_batch {
    const struct wal_reader_frame *frames;
    uint32_t count;
};

struct wal_reader;

/*
 * Read on where `from` says (see wal_resume.h); with WAL_RESUME_COMPARE from the beginning of the present generation.
 * Builds the page map of what lies before.  E_BUSY: the log changes too fast at the moment, decide anew.
 */
MUST_USE struct rc wal_reader_open(
    struct wal_reader **out, struct wal_conn *conn, const struct wal_resume *from, struct err *err);
void wal_reader_close(struct wal_reader *r);
void wal_reader_closep(struct wal_reader **r);

/* E_BUSY from wal_reader_next(): the tail of the generation before was overwritten meanwhile; decide anew. */
MUST_USE struct rc wal_reader_refresh(struct wal_reader *r, enum wal_reader_state *state, struct err *err);
MUST_USE struct rc wal_reader_next(struct wal_reader *r, struct wal_reader_batch *batch, struct err *err);

uint32_t wal_reader_page_size(const struct wal_reader *r);
/* Frames, and so commits, that one batch holds at most. */
uint32_t wal_reader_batch_max(const struct wal_reader *r);

/* Where reading stands.  Only at the end of a commit does it make sense to keep it. */
const struct wal_pos *wal_reader_pos(const struct wal_reader *r);
/* Frames committed in the log at the last refresh, and the database's size in pages then. */
uint32_t wal_reader_log_frames(const struct wal_reader *r);
uint32_t wal_reader_page_count(const struct wal_reader *r);
/* Everything committed at the last refresh has been delivered. */
bool wal_reader_caught_up(const struct wal_reader *r);
/* Nothing committed up to this moment is left to deliver: looks at the index anew. */
bool wal_reader_at_end(const struct wal_reader *r);
/* The present generation is the one that is being read (not the tail of the one before). */
bool wal_reader_follows(const struct wal_reader *r);
/* Places where SQLite broke the chain of checksums: its own recovery would drop everything behind. */
uint64_t wal_reader_breaks(const struct wal_reader *r);
/* The log has such a place now: until it is started over, a crash would cost commits. */
bool wal_reader_broken(const struct wal_reader *r);
/* Commits delivered since opening / the growth of the index's counter over the same time, at the last proven moment. */
void wal_reader_witness(const struct wal_reader *r, uint64_t *delivered, uint64_t *counted);

#endif
