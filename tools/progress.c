/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include "clock.h"
#include "strx.h"

#include <stdio.h>
#include <unistd.h>

enum { INTERVAL_MS = 100 };

void progress_show(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    struct progress *p = ctx;
    char have[STRX_HUMAN_SIZE], all[STRX_HUMAN_SIZE];
    uint64_t now = clock_mono_ms(&clock_real);

    if (now - p->shown_ms < INTERVAL_MS || isatty(STDERR_FILENO) != 1)
        return;
    p->shown_ms = now;
    p->shown = true;
    (void)fprintf(stderr, "\r\033[K%-8s %3u%%  %s of %s", stage,
        total > 0 ? (unsigned)((__uint128_t)done * 100 / total) : 100, strx_format_size(done, have),
        strx_format_size(total, all));
    (void)fflush(stderr);
}

void progress_clear(struct progress *p)
{
    if (p->shown)
        (void)fprintf(stderr, "\r\033[K");
    p->shown = false;
}
