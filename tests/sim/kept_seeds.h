/* SPDX-License-Identifier: Apache-2.0 */
/* kept_seeds - seeds that failed once are kept in a file, and told again each time. */
#ifndef KEPT_SEEDS_H
#define KEPT_SEEDS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Lines "SEED LENGTH"; what does not begin with a digit is a comment.  NULL: there is no file. */
static inline void kept_seeds_run(const char *path, void (*run_one)(uint64_t seed, long length))
{
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    char line[256];

    if (path != NULL && file == NULL) {
        (void)printf("Bail out! %s cannot be read\n", path);
        exit(1);
    }
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);

        if (line[0] >= '0' && line[0] <= '9')
            run_one(seed, strtol(end, NULL, 10));
    }
    if (file != NULL)
        (void)fclose(file);
}

#endif
