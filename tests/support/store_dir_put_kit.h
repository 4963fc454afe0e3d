/* SPDX-License-Identifier: Apache-2.0 */
/* store_dir_put_kit - for tests: writes of the directory store that do not come to their end, and what is on the disk
 * then. */
#ifndef STORE_DIR_PUT_KIT_H
#define STORE_DIR_PUT_KIT_H

#include "check.h"

#include "fault_power.h"
#include "store_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longer than one sector, so that a power cut can tear it. */
static const char old_text[] = "the old object";

static char new_text[3001];

static inline int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < sizeof new_text; i++)
        new_text[i] = (char)('a' + i % 26);
    return 0;
}

/* NFS and others: no RENAME_NOREPLACE. */
static inline int no_rename_new(const struct fsys *fs, const char *from, const char *to)
{
    (void)fs;
    (void)from;
    (void)to;
    errno = EINVAL;
    return -1;
}

static inline struct fsys plain_fsys(void)
{
    struct fsys fs = fsys_real;

    fs.rename_new = no_rename_new;
    return fs;
}

/* --- looking at the disk ------------------------------------------------------------------------------------------ */

enum content { NOTHING, OLD, NEW, BROKEN };

static inline enum content look(const char *root, const char *key)
{
    enum content is = BROKEN;
    char path[200];
    struct buf got;
    struct err err;
    struct rc rc;

    (void)snprintf(path, sizeof path, "%s/%s", root, key);
    buf_init(&got, 10000);
    rc = fsys_read_file(&fsys_real, path, &got, &err);
    if (rc.code == E_NOTFOUND || (rc_failed(rc) && err.sys == ENOENT))
        is = NOTHING;
    else if (!rc_failed(rc) && strcmp(buf_str(&got), old_text) == 0)
        is = OLD;
    else if (!rc_failed(rc) && strcmp(buf_str(&got), new_text) == 0)
        is = NEW;
    buf_fini(&got);
    return is;
}

/* --- the fault loops ---------------------------------------------------------------------------------------------- */

struct scene {
    bool create_only, exists, warm; /* warm: the directories are known already */
    bool plain;                     /* without RENAME_NOREPLACE */
    bool lie;                       /* what fails has happened all the same */
    enum fault_mode mode;
};

static inline const char *scene_name(const struct scene *s)
{
    static char text[100];

    (void)snprintf(text, sizeof text, "create_only %d, exists %d, warm %d, plain %d, lie %d, mode %d", s->create_only,
        s->exists, s->warm, s->plain, s->lie, (int)s->mode);
    return text;
}

static inline void check_after(const struct scene *s, const char *root, long n, struct rc rc, const struct err *err)
{
    enum content is = look(root, "t/1/o");
    bool taken = s->create_only && s->exists;

    if (is == BROKEN)
        fail_msg("%s, call %ld: half an object", scene_name(s), n);
    if (is != NEW && is != (s->exists ? OLD : NOTHING))
        fail_msg("%s, call %ld: the object is %d", scene_name(s), n, (int)is);
    if (taken && is != OLD)
        fail_msg("%s, call %ld: replaced what must stay", scene_name(s), n);
    if (!rc_failed(rc) && is != NEW)
        fail_msg("%s, call %ld: success without the object", scene_name(s), n);
    if (rc.code == E_EXISTS && !taken && !s->lie)
        fail_msg("%s, call %ld: E_EXISTS for nothing", scene_name(s), n);
    if (rc_failed(rc) && rc.code != E_EXISTS && rc.code != E_IO)
        fail_msg("%s, call %ld: %s", scene_name(s), n, err->msg);
    if (rc_failed(rc) && rc.code == E_IO && strstr(err->msg, "put t/1/o: ") != err->msg)
        fail_msg("%s, call %ld: %s", scene_name(s), n, err->msg);
    if (rc_failed(rc) && rc.code == E_IO && strstr(err->msg, strerrordesc_np(EIO)) == NULL)
        fail_msg("%s, call %ld: without the cause: %s", scene_name(s), n, err->msg);
    /* When the key is taken, and after a link, removing the temporary file may be what failed. */
    if (s->mode == FAULT_ONCE && rc.code != E_EXISTS && !(s->plain && rc.code == E_OK) && store_wait_temps(root) > 0)
        fail_msg("%s, call %ld: a temporary file is left", scene_name(s), n);
}

/* The next write, by a store that starts anew on a sound disk, must go through. */
static inline void check_next(const struct scene *s, const char *root, long n)
{
    struct store_wait w;
    struct err err;
    struct rc rc;

    store_wait_open(&w, &fsys_real, root);
    rc = store_wait_put(&w, "t/1/o", new_text, s->create_only, &err);
    if (rc_failed(rc) && !(rc.code == E_EXISTS && s->create_only))
        fail_msg("%s, call %ld, next: %s", scene_name(s), n, err.msg);
    if (look(root, "t/1/o") != NEW && !(s->create_only && s->exists))
        fail_msg("%s, call %ld: the next one did not help", scene_name(s), n);
    store_wait_close(&w);
}

#endif
