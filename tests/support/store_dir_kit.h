/* SPDX-License-Identifier: Apache-2.0 */
/* store_dir_kit - for tests: a store in a directory of the test. */
#ifndef STORE_DIR_KIT_H
#define STORE_DIR_KIT_H

#include "check.h"

#include "alloc.h"
#include "store_dir.h"
#include "store_wait.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

struct kit {
    struct store_wait w;
    char dir[STORE_WAIT_PATH_SIZE];
    char root[STORE_WAIT_PATH_SIZE + 8];
    struct err err;
};

static inline void kit_open(struct kit *k)
{
    store_wait_scratch(k->dir);
    (void)snprintf(k->root, sizeof k->root, "%s/r", k->dir);
    store_wait_open(&k->w, &fsys_real, k->root);
}

static inline void kit_close(struct kit *k)
{
    store_wait_close(&k->w);
    store_wait_unscratch(k->dir);
}

static inline void assert_object(struct kit *k, const char *key, const char *want)
{
    struct buf got;

    buf_init(&got, 1000);
    assert_ok_err(store_wait_get(&k->w, key, &got, &k->err), &k->err);
    assert_string_equal(buf_str(&got), want);
    buf_fini(&got);
}

static inline void assert_no_object(struct kit *k, const char *key)
{
    struct buf got;

    buf_init(&got, 1000);
    assert_fails(store_wait_get(&k->w, key, &got, &k->err), E_NOTFOUND);
    buf_fini(&got);
}

/* The message, with every occurrence of the scratch directory as "DIR". */
static inline const char *told(const char *msg, const char *dir)
{
    static char out[2 * ERR_MSG_SIZE];
    char *to = out;

    for (const char *at = msg; *at != 0;) {
        if (strncmp(at, dir, strlen(dir)) == 0) {
            memcpy(to, "DIR", 3);
            to += 3;
            at += strlen(dir);
        } else
            *to++ = *at++;
    }
    *to = 0;
    return out;
}

static inline void make_file(const char *dir, const char *name)
{
    char path[200];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(close(fd), 0);
}

#endif
