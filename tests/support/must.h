/* SPDX-License-Identifier: Apache-2.0 */
/* must - for tests and what helps them: what must hold in any case.  Not assert(), which tests replace. */
#ifndef MUST_H
#define MUST_H

#include <stdio.h>
#include <stdlib.h>

#define MUST(x)                                                                   \
    do {                                                                          \
        if (!(x)) {                                                               \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
            abort();                                                              \
        }                                                                         \
    } while (0)

#endif
