/* SPDX-License-Identifier: Apache-2.0 */
/* check_history - what of a replica is there already: whose history, how far, and how much is written. */
#ifndef CHECK_HISTORY_H
#define CHECK_HISTORY_H

#include "check_store.h"

/* Adds the line "history", and fills in what the check learns from it.  Fails only when it was canceled. */
MUST_USE struct rc check_history_run(struct check_store *c, struct work *w, struct store *s, struct err *err);

#endif
