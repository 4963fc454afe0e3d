/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include "alloc.h"
#include "strx.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spool {
    const struct fsys *fs;
    char *dir;
    uint64_t limit, bytes;
};

/* --- names ---------------------------------------------------------------------------------------------------- */

static void format_name(const struct spool_name *n, char out[SPOOL_NAME_SIZE])
{
    const uint8_t *run = n->run.bytes;

    if (n->is_part)
        (void)snprintf(out, SPOOL_NAME_SIZE, "%08" PRIx32 "-%016" PRIx64 "-p-%02x%02x%02x%02x-%08" PRIx32, n->timeline,
            n->first_txid, run[0], run[1], run[2], run[3], n->number);
    else
        (void)snprintf(out, SPOOL_NAME_SIZE, "%08" PRIx32 "-%016" PRIx64 "-s", n->timeline, n->first_txid);
}

static bool parse_name(const char *text, struct spool_name *out)
{
    char again[SPOOL_NAME_SIZE];
    uint64_t timeline, txid, run = 0, number = 0;
    size_t size = strlen(text);

    if (size < 27 || !strx_hex_fixed(text, 8, &timeline) || text[8] != '-' || !strx_hex_fixed(text + 9, 16, &txid))
        return false;
    *out = (struct spool_name){.timeline = (uint32_t)timeline, .first_txid = txid, .is_part = text[26] == 'p'};
    if (out->is_part) {
        if (size != 45 || !strx_hex_fixed(text + 28, 8, &run) || !strx_hex_fixed(text + 37, 8, &number))
            return false;
        out->number = (uint32_t)number;
        for (int i = 0; i < 4; i++)
            out->run.bytes[i] = (uint8_t)(run >> (24 - 8 * i));
    }
    format_name(out, again);
    return strcmp(text, again) == 0;
}

static char *path_of(const struct spool *s, const struct spool_name *name)
{
    char text[SPOOL_NAME_SIZE];

    format_name(name, text);
    return mem_printf("%s/%s", s->dir, text);
}

static int by_name(const void *a, const void *b)
{
    char x[SPOOL_NAME_SIZE], y[SPOOL_NAME_SIZE];

    format_name(a, x);
    format_name(b, y);
    return strcmp(x, y);
}

/* --- what is there -------------------------------------------------------------------------------------------- */

static void close_dirp(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir); /* it was only read */
}

struct rc spool_list(const struct spool *s, struct spool_name **out, size_t *count, struct err *err)
{
    CLEANUP(close_dirp) DIR *dir = s->fs->opendir(s->fs, s->dir);
    CLEANUP(mem_freep) struct spool_name *names = NULL;
    size_t n = 0, room = 0;

    *out = NULL;
    *count = 0;
    if (dir == NULL && errno == ENOENT)
        return RC_OK;
    if (dir == NULL)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "list %s", s->dir);
    for (;;) {
        struct spool_name name;
        const struct dirent *entry;

        errno = 0;
        entry = readdir(dir);
        if (entry == NULL && errno != 0)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "list %s", s->dir);
        if (entry == NULL)
            break;
        if (!parse_name(entry->d_name, &name))
            continue;
        if (n == SPOOL_COUNT_MAX)
            return rc_raise(err, E_NOSPACE, "%s: more than %d files", s->dir, SPOOL_COUNT_MAX);
        if (!mem_grow(&names, n, &room, sizeof *names))
            return rc_raise(err, E_NOMEM, "list %s", s->dir);
        names[n++] = name;
    }
    if (n > 0)
        qsort(names, n, sizeof *names, by_name);
    *out = MOVE(names);
    *count = n;
    return RC_OK;
}

static uint64_t size_of(const struct spool *s, const struct spool_name *name)
{
    CLEANUP(mem_freep) char *path = path_of(s, name);
    struct stat st;

    return s->fs->stat(s->fs, path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* A crash may have left one half-written; it was never counted. */
static bool is_remnant(const char *name)
{
    size_t size = strlen(name);

    return size > 4 && strcmp(name + size - 4, ".tmp") == 0;
}

static void sweep(const struct spool *s)
{
    CLEANUP(close_dirp) DIR *dir = s->fs->opendir(s->fs, s->dir);
    const struct dirent *entry;
    struct err ignored;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        CLEANUP(mem_freep) char *path = NULL;

        if (!is_remnant(entry->d_name))
            continue;
        path = mem_printf("%s/%s", s->dir, entry->d_name);
        rc_ignore(fsys_remove(s->fs, path, &ignored), "it only takes room, and the next start tries again");
    }
}

struct rc spool_open(struct spool **out, const struct fsys *fs, const char *dir, uint64_t limit, struct err *err)
{
    CLEANUP(mem_freep) struct spool_name *names = NULL;
    struct spool *s = mem_new(sizeof *s);
    size_t count;
    struct rc rc;

    *s = (struct spool){.fs = fs, .dir = mem_strdup(dir), .limit = limit};
    sweep(s);
    rc = spool_list(s, &names, &count, err);
    if (rc_failed(rc)) {
        spool_close(s);
        return rc_wrap(err, "spool");
    }
    for (size_t i = 0; i < count; i++)
        s->bytes += size_of(s, &names[i]);
    *out = s;
    return RC_OK;
}

void spool_close(struct spool *s)
{
    if (s == NULL)
        return;
    mem_free(s->dir);
    mem_free(s);
}

/* --- files ---------------------------------------------------------------------------------------------------- */

struct rc spool_put(struct spool *s, const struct spool_name *name, struct span bytes, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, name);

    if (bytes.size > s->limit || s->bytes > s->limit - bytes.size)
        return rc_raise(
            err, E_NOSPACE, "spool %s: full: %" PRIu64 " of %" PRIu64 " bytes are used", s->dir, s->bytes, s->limit);
    TRY_CTX(fsys_make_dirs(s->fs, s->dir, 0700, err), err, "spool");
    TRY_CTX(fsys_write_atomic(s->fs, path, bytes.data, bytes.size, 0600, err), err, "spool");
    s->bytes += bytes.size;
    return RC_OK;
}

struct rc spool_get(const struct spool *s, const struct spool_name *name, struct buf *out, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, name);

    TRY_CTX(fsys_read_file(s->fs, path, out, err), err, "spool");
    return RC_OK;
}

void spool_drop(struct spool *s, const struct spool_name *name)
{
    CLEANUP(mem_freep) char *path = path_of(s, name);
    uint64_t size = size_of(s, name);
    struct err ignored;
    struct rc rc = fsys_remove(s->fs, path, &ignored);

    if (!rc_failed(rc))
        s->bytes -= size < s->bytes ? size : s->bytes;
}

struct rc spool_clear(struct spool *s, struct err *err)
{
    CLEANUP(mem_freep) struct spool_name *names = NULL;
    size_t count;

    TRY_CTX(spool_list(s, &names, &count, err), err, "spool");
    for (size_t i = 0; i < count; i++) {
        CLEANUP(mem_freep) char *path = path_of(s, &names[i]);

        TRY_CTX(fsys_remove(s->fs, path, err), err, "spool");
    }
    s->bytes = 0;
    return RC_OK;
}

uint64_t spool_bytes(const struct spool *s)
{
    return s->bytes;
}

uint64_t spool_limit(const struct spool *s)
{
    return s->limit;
}
