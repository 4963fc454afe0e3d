/* SPDX-License-Identifier: Apache-2.0 */
#include "status_json.h"

#include <assert.h>

void status_json_put(json_t *o, const char *name, json_t *value)
{
    int rc = json_object_set_new(o, name, value);

    assert(rc == 0);
}

json_t *status_json_u64(uint64_t n)
{
    return json_integer((json_int_t)n);
}
