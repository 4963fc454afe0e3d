/* SPDX-License-Identifier: Apache-2.0 */
/* follow_print - what happens to a followed copy, as lines for people or as JSON objects, one a line. */
#ifndef FOLLOW_PRINT_H
#define FOLLOW_PRINT_H

#include "follow.h"

/* Troubles and warnings for people go to stderr, all else to stdout, which is written out at once. */
void follow_print_text(const struct follow_event *e);
void follow_print_json(const struct follow_event *e);

#endif
