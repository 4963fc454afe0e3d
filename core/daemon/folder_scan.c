/* SPDX-License-Identifier: Apache-2.0 */
#include "folder_scan.h"

#include "alloc.h"
#include "folder_match.h"

#include <errno.h>
#include <string.h>

static struct rc add(char ***list, size_t *count, size_t *room, const char *path, struct err *err)
{
    if (*count == FOLDER_SCAN_FILES_MAX)
        return rc_raise(
            err, E_NOSPACE, "%s and others are passed over: one folder has more than %d", path, FOLDER_SCAN_FILES_MAX);
    if (!mem_grow(list, *count, room, sizeof(char *)))
        return rc_raise(err, E_NOMEM, "no memory for %zu names", *count + 1);
    (*list)[(*count)++] = mem_strdup(path);
    return RC_OK;
}

/* What cannot be looked at does not keep the rest from being found. */
static void skip(struct folder_scan *s, const struct err *why)
{
    if (s->skipped_count++ == 0)
        s->skipped = *why;
}

enum what { SOMETHING, FILE_THERE, FOLDER_THERE, LINK_THERE };

static enum what look(const struct dirent *entry, const char *path)
{
    unsigned char type = entry->d_type;
    struct stat st;

    if (type == DT_UNKNOWN && lstat(path, &st) == 0)
        type = S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : S_ISLNK(st.st_mode) ? DT_LNK : DT_FIFO;
    return type == DT_REG ? FILE_THERE : type == DT_DIR ? FOLDER_THERE : type == DT_LNK ? LINK_THERE : SOMETHING;
}

static void take(struct folder_scan *s, const struct dirent *entry, const char *path)
{
    struct err err = {0};

    switch (look(entry, path)) {
    case FILE_THERE:
        if (folder_match_file(s->pattern, entry->d_name)
            && rc_failed(add(&s->files, &s->file_count, &s->file_room, path, &err)))
            skip(s, &err);
        break;
    case FOLDER_THERE:
        if (s->recursive && folder_match_subfolder(entry->d_name)
            && rc_failed(add(&s->folders, &s->folder_count, &s->folder_room, path, &err)))
            skip(s, &err);
        break;
    case LINK_THERE:
        s->link_count += folder_match_file(s->pattern, entry->d_name);
        break;
    case SOMETHING:
        break;
    }
}

static unsigned depth_below(const char *dir, const char *path)
{
    unsigned depth = 0;

    for (path += strlen(dir); *path != 0; path++)
        depth += *path == '/';
    return depth;
}

/* The entries of one folder; the folders among them are appended, so that the caller comes to them later. */
static struct rc read_folder(struct folder_scan *s, const char *dir, struct err *err)
{
    const struct dirent *entry;
    DIR *d = s->fs->opendir(s->fs, dir);
    const char *slash = strcmp(dir, "/") == 0 ? "" : "/";

    if (d == NULL)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "read folder %s", dir);
    while ((entry = readdir(d)) != NULL) {
        CLEANUP(mem_freep) char *path = NULL;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        path = mem_printf("%s%s%s", dir, slash, entry->d_name);
        take(s, entry, path);
    }
    (void)closedir(d); /* it was read from */
    return RC_OK;
}

static void forget(char **list, size_t *count, size_t from)
{
    while (*count > from)
        mem_free(list[--*count]);
}

/* A replica in a directory begins with this object (docs/format.md). */
static bool is_replica(const struct folder_scan *s, const char *dir)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/weir.json", dir);
    struct stat st;

    return s->fs->stat(s->fs, path, &st) == 0;
}

/* A folder below.  Where it is a replica, its objects are no databases, whatever they are called; that is asked behind
 * the reading, because it may have become one meanwhile. */
static struct rc read_below(struct folder_scan *s, size_t i, struct err *err)
{
    size_t files = s->file_count, folders = s->folder_count;

    TRY(read_folder(s, s->folders[i], err));
    if (!is_replica(s, s->folders[i]))
        return RC_OK;
    forget(s->files, &s->file_count, files);
    forget(s->folders, &s->folder_count, folders);
    return RC_OK;
}

struct rc folder_scan_run(struct folder_scan *s, struct err *err)
{
    CLEANUP(mem_freep) char *root = mem_printf("%.*s", (int)folder_match_trimmed(s->dir), s->dir);
    struct err why = {0};

    TRY(add(&s->folders, &s->folder_count, &s->folder_room, root, err));
    TRY(read_folder(s, root, err));
    for (size_t i = 1; i < s->folder_count; i++) {
        struct rc rc;

        if (depth_below(root, s->folders[i]) > FOLDER_SCAN_DEPTH_MAX)
            rc = rc_raise(&why, E_NOSPACE, "%s lies deeper than %d folders", s->folders[i], FOLDER_SCAN_DEPTH_MAX);
        else
            rc = read_below(s, i, &why);
        if (rc_failed(rc) && rc.code != E_NOTFOUND) /* removed since it was listed */
            skip(s, &why);
    }
    return RC_OK;
}

static void free_list(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mem_free(list[i]);
    mem_free(list);
}

void folder_scan_fini(struct folder_scan *s)
{
    free_list(s->files, s->file_count);
    free_list(s->folders, s->folder_count);
    s->files = s->folders = NULL;
    s->file_count = s->folder_count = s->file_room = s->folder_room = 0;
}
