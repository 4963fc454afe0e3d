/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_trigger - when commits are shipped, changed over the control socket while weir runs: for a database of its
 * own, a folder's that is open, and one that is parked.  Loop thread only.
 */
#ifndef DAEMON_TRIGGER_H
#define DAEMON_TRIGGER_H

#include "daemon_intern.h"

void daemon_trigger_answer(struct daemon *d, struct http_call *call);
/* What was changed for this one, over the folder's settings. */
void daemon_trigger_overlay(const struct daemon_item *item, struct db_settings *set);
void daemon_trigger_forget(struct daemon_item *item);
/* A reload: what was changed is over, for a database of a folder and for one that is open (before it takes `set`). */
void daemon_trigger_return(struct daemon_item *item, const struct db_settings *set);
void daemon_trigger_adjust(struct daemon_member *m, const struct db_settings *set);
/* It is looked at, and what was committed is shipped, whatever the triggers are. */
void daemon_trigger_ship_later(struct daemon_item *item);

#endif
