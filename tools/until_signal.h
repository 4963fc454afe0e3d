/* SPDX-License-Identifier: Apache-2.0 */
/*
 * until_signal - for commands that run until SIGTERM or SIGINT: pauses that end with the signal.
 *
 * What is under way then gets UNTIL_SIGNAL_GRACE_S to end; behind that the process ends by itself, with `status`.  So
 * it is only for commands that may be killed at any moment.
 */
#ifndef UNTIL_SIGNAL_H
#define UNTIL_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

enum { UNTIL_SIGNAL_GRACE_S = 5 };

/* From now on, for the rest of the process. */
void until_signal_begin(int status);
/* Pause so long; true: there was a signal. */
bool until_signal_wait(uint32_t ms);

#endif
