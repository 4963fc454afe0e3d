/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch - a folder for the time of one command, which is gone afterwards: also when a signal ends the process.
 *
 *     scratch_open(&s, fs, "/var/tmp", err)      before any other thread is started
 *     scratch_path(s)
 *     scratch_close(s)
 *
 * From open to close SIGINT, SIGTERM and SIGHUP are taken by a thread of the folder's own: it empties and removes the
 * folder, and ends the process by the same signal.  Only files are expected in the folder.  kill -9 leaves it behind.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include "fsys.h"

struct scratch;

/* `parent` NULL: $TMPDIR, or /tmp.  E_CONFIG: it is not there. */
MUST_USE struct rc scratch_open(struct scratch **out, const struct fsys *fs, const char *parent, struct err *err);
const char *scratch_path(const struct scratch *s);
/* False when something could not be removed.  NULL is fine. */
bool scratch_close(struct scratch *s);

#endif
