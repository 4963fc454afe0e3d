/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_json - what the parts of the status document are put together with.
 */
#ifndef STATUS_JSON_H
#define STATUS_JSON_H

#include <jansson.h>
#include <stdint.h>

/* Takes `value`, which must not be NULL: jansson has no memory then, or a text is not UTF-8, which status_text()
 * prevents. */
void status_json_put(json_t *o, const char *name, json_t *value);
json_t *status_json_u64(uint64_t n);

#endif
