/* SPDX-License-Identifier: Apache-2.0 */
/* selftest_print - what `weir selftest` says: a line for each step as it ends, or one JSON object at the end. */
#ifndef SELFTEST_PRINT_H
#define SELFTEST_PRINT_H

#include "rc.h"

#include <jansson.h>
#include <stdint.h>

struct selftest_print {
    bool json;
    json_t *steps; /* owned */
};

void selftest_print_init(struct selftest_print *p, bool json);
void selftest_print_fini(struct selftest_print *p);

/* A step ended well.  `numbers` is taken: an object, what the text says for programs. */
PRINTF(4, 5)
void selftest_print_step(struct selftest_print *p, const char *name, json_t *numbers, const char *fmt, ...);
/* A step failed. */
void selftest_print_failed(struct selftest_print *p, const char *name, const struct err *err);
/* The whole; `error` NULL: all is well.  `kept`, `left` NULL: nothing. */
struct selftest_print_end {
    const char *url;
    const struct err *error;
    uint64_t duration_ms;
    bool kept, left;
    const char *scratch; /* of what is kept or left */
};
void selftest_print_end(struct selftest_print *p, const struct selftest_print_end *end);

#endif
