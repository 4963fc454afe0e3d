/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_keep.h"

#include "alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAMES_MAX = 100, FILES = 3, TIME_SIZE = 32 };
static const char *const suffixes[FILES] = {"", "-wal", "-journal"};

struct restore_keep {
    const struct fsys *fs; /* borrowed */
    char *path, *kept;     /* owned */
    bool made[FILES];      /* under the kept name */
    bool moved[FILES];     /* and no longer under the old one */
};

void restore_keep_free(struct restore_keep *k)
{
    if (k == NULL)
        return;
    mem_free(k->path);
    mem_free(k->kept);
    mem_free(k);
}

void restore_keep_freep(struct restore_keep **k)
{
    restore_keep_free(*k);
    *k = NULL;
}

const char *restore_keep_path(const struct restore_keep *k)
{
    return k->kept;
}

static bool has_no_links(int sys)
{
    return sys == EPERM || sys == EOPNOTSUPP || sys == ENOSYS || sys == EMLINK;
}

/* *taken: the kept name belongs to something else. */
static struct rc keep_one(struct restore_keep *k, size_t i, bool *taken, struct err *err)
{
    CLEANUP(mem_freep) char *from = mem_printf("%s%s", k->path, suffixes[i]);
    CLEANUP(mem_freep) char *to = mem_printf("%s%s", k->kept, suffixes[i]);
    const struct fsys *fs = k->fs;
    struct stat st;

    *taken = false;
    if (i > 0 && fs->stat(fs, from, &st) != 0)
        return errno == ENOENT ? RC_OK : rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", from);
    if (fs->link(fs, from, to) == 0) {
        k->made[i] = true;
        return RC_OK;
    }
    if (has_no_links(errno) && fs->rename_new(fs, from, to) == 0) {
        k->made[i] = k->moved[i] = true;
        return RC_OK;
    }
    *taken = errno == EEXIST;
    return *taken ? RC_OK : rc_raise_sys(err, rc_from_errno(errno), errno, "keep %s as %s", from, to);
}

void restore_keep_undo(struct restore_keep *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < FILES; i++) {
        CLEANUP(mem_freep) char *from = mem_printf("%s%s", k->path, suffixes[i]);
        CLEANUP(mem_freep) char *to = mem_printf("%s%s", k->kept, suffixes[i]);

        if (k->moved[i])
            (void)k->fs->rename_new(k->fs, to, from); /* what cannot be undone stays under the kept name */
        else if (k->made[i])
            (void)k->fs->unlink(k->fs, to); /* the old name has it, too */
        k->made[i] = k->moved[i] = false;
    }
}

static struct rc keep_all(struct restore_keep *k, bool side_files, bool *taken, struct err *err)
{
    struct rc rc = RC_OK;

    *taken = false;
    for (size_t i = 0; i < (side_files ? (size_t)FILES : 1) && !*taken && !rc_failed(rc); i++)
        rc = keep_one(k, i, taken, err);
    if (!rc_failed(rc) && !*taken)
        rc = fsys_sync_parent(k->fs, k->path, err);
    if (rc_failed(rc) || *taken)
        restore_keep_undo(k);
    return rc;
}

struct rc restore_keep_make(struct restore_keep **out, const struct fsys *fs, const char *path, bool side_files,
    int64_t now_ms, struct err *err)
{
    CLEANUP(restore_keep_freep) struct restore_keep *k = mem_new(sizeof *k);
    const time_t now = (time_t)(now_ms / 1000);
    char when[TIME_SIZE];
    struct tm tm = {0};

    if (gmtime_r(&now, &tm) == NULL || strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm) == 0)
        return rc_raise(err, E_BUG, "no name for the time of %jd", (intmax_t)now);
    k->fs = fs;
    k->path = mem_strdup(path);
    for (int n = 1; n <= NAMES_MAX; n++) {
        bool taken = false;

        mem_free(k->kept);
        k->kept = n == 1 ? mem_printf("%s.%s", path, when) : mem_printf("%s.%s-%d", path, when, n);
        TRY(keep_all(k, side_files, &taken, err));
        if (taken)
            continue;
        *out = MOVE(k);
        return RC_OK;
    }
    return rc_raise(err, E_EXISTS, "keep %s: %d names like %s are taken", path, NAMES_MAX, k->kept);
}
