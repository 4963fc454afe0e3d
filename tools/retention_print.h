/* SPDX-License-Identifier: Apache-2.0 */
/* retention_print - what retention promises of a replica, for people and as JSON. */
#ifndef RETENTION_PRINT_H
#define RETENTION_PRINT_H

#include "retention.h"

#include <jansson.h>

void retention_print_text(const struct retention *d);
json_t *retention_print_points(const struct retention *d); /* an array; owned by the caller */
json_t *retention_print_time(int64_t ms);                  /* null for none */

#endif
