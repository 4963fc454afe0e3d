/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_lock - one process at a time replicates a database: a flock on `<dir>/lock`, which the kernel drops when the
 * process ends in whatever way.  The file's text is for others to read:
 *
 *     weir lock 1
 *     pid 4711
 *     socket /run/weir/control
 *
 * Who reads it takes the lock SHARED for a moment to find out whether it is held.  Taking it waits for such a one, who
 * may lose the processor in that moment, and turns away only from a lock that is held exclusively.  The file is never
 * removed: a lock on a removed file protects nothing.
 */
#ifndef LOCAL_LOCK_H
#define LOCAL_LOCK_H

#include "local_state.h"

/* `*fd`: keep it open as long as the lock is to be held.  E_FENCED when another process holds it. */
MUST_USE struct rc local_lock_take(const struct fsys *fs, const char *dir, int *fd, struct err *err);
/* Replace the text. */
MUST_USE struct rc local_lock_announce(
    const struct fsys *fs, const char *dir, int fd, const char *socket_path, struct err *err);
/* Empty the text and let go. */
void local_lock_drop(const struct fsys *fs, int fd);
MUST_USE struct rc local_lock_look(
    const struct fsys *fs, const char *dir, struct local_state_holder *out, struct err *err);

#endif
