/* SPDX-License-Identifier: Apache-2.0 */
/* status_print - parts of the status document (docs/status.md) for people. */
#ifndef STATUS_PRINT_H
#define STATUS_PRINT_H

#include <jansson.h>

/* An entry of its `databases`, or one that `weir status` made of a database that nobody replicates. */
void status_print_database(const json_t *db);
/* An entry of its `folders`. */
void status_print_folder(const json_t *folder);

#endif
