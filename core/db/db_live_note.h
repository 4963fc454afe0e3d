/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_live_note - what a step notes in the local state: segments that the replica has acknowledged, and segments that
 * are safe in the spool.  Both count as ours from then on; a checkpoint of the local state is made when it is due.
 *
 * In the database's lane, as all of db_live.
 */
#ifndef DB_LIVE_NOTE_H
#define DB_LIVE_NOTE_H

#include "db_live.h"

/* step->acknowledged and step->parts_done; what was spooled is removed from the spool. */
void db_live_note_acknowledged(struct db_live *l, struct db_step *step);

/* These segments and all behind them go to the spool, in order, until it takes no more (step->spool_err). */
void db_live_note_spooled(struct db_live *l, struct db_step *step, struct db_segment *first);

#endif
