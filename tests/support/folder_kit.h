/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder_kit - for tests: a folder of the test's own, that goes away with all that is in it.
 *
 *     cmocka_run_group_tests(tests, make_dir, remove_dir)
 *
 * make_dir_in_memory() is for loops that sync many times; empty_dir() is for between two tests.
 */
#ifndef FOLDER_KIT_H
#define FOLDER_KIT_H

#include "check.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[32];

static inline int make_dir_in(const char *parent)
{
    (void)snprintf(dir, sizeof dir, "%s/weir-test-XXXXXX", parent);
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static inline int make_dir(void **state)
{
    (void)state;
    return make_dir_in("/tmp");
}

static inline int make_dir_in_memory(void **state)
{
    (void)state;
    return make_dir_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static inline int remove_below(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    return where->level == 0 ? 0 : remove(path);
}

static inline int empty_dir(void **state)
{
    (void)state;
    return nftw(dir, remove_below, 16, FTW_DEPTH | FTW_PHYS); /* NOLINT(concurrency-mt-unsafe): no FTW_CHDIR */
}

static inline int remove_dir(void **state)
{
    return empty_dir(state) == 0 ? rmdir(dir) : -1;
}

#endif
