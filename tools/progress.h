/* SPDX-License-Identifier: Apache-2.0 */
/* progress - one line on a terminal that tells how far a command is; nothing when stderr is not a terminal. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    uint64_t shown_ms; /* monotonic, the last time */
    bool shown;
};

/* Fits restore_opts.on_progress and its like; `ctx` is a struct progress. */
void progress_show(void *ctx, const char *stage, uint64_t done, uint64_t total);
/* Before anything else is printed. */
void progress_clear(struct progress *p);

#endif
