/* SPDX-License-Identifier: Apache-2.0 */
#include "folder_match.h"

#include "alloc.h"
#include "local_state.h"

#include <fnmatch.h>
#include <string.h>

static const char *const side_files[] = {"-wal", "-journal", "-shm"};
enum { SIDE_FILE_COUNT = sizeof side_files / sizeof side_files[0] };

char *folder_match_state_dir(const char *dir, const char *base)
{
    size_t n = folder_match_trimmed(dir);

    if (base != NULL) {
        CLEANUP(mem_freep) char *trimmed = mem_printf("%.*s", (int)n, dir);

        return local_place_dir(trimmed, base);
    }
    return mem_printf("%.*s/.weir", n == 1 ? 0 : (int)n, dir);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);

    return n > k && memcmp(text + n - k, end, k) == 0;
}

/* "app.db-mj1A2B3C4D5": SQLite's name for what binds a transaction over several files together. */
static bool is_master_journal(const char *name)
{
    const char *mj = strstr(name, "-mj");

    while (mj != NULL) {
        size_t n = strspn(mj + 3, "0123456789ABCDEFabcdef");

        if (n >= 8 && mj[3 + n] == 0)
            return true;
        mj = strstr(mj + 3, "-mj");
    }
    return false;
}

size_t folder_match_side_file(const char *name)
{
    for (int i = 0; i < SIDE_FILE_COUNT; i++)
        if (ends_with(name, side_files[i]))
            return strlen(name) - strlen(side_files[i]);
    return 0;
}

bool folder_match_file(const char *pattern, const char *name)
{
    if (folder_match_side_file(name) > 0 || is_master_journal(name))
        return false;
    return fnmatch(pattern, name, FNM_PERIOD) == 0;
}

bool folder_match_subfolder(const char *name)
{
    return name[0] != '.' && !ends_with(name, "-weir");
}

size_t folder_match_trimmed(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

/* Every folder on the way is one that is searched. */
static bool way_is_open(const char *rest)
{
    for (const char *slash; (slash = strchr(rest, '/')) != NULL; rest = slash + 1) {
        CLEANUP(mem_freep) char *name = mem_printf("%.*s", (int)(slash - rest), rest);

        if (!folder_match_subfolder(name))
            return false;
    }
    return true;
}

const char *folder_match_inside(const char *dir, const char *pattern, bool recursive, const char *path)
{
    size_t n = folder_match_trimmed(dir);
    const char *rest = path + n, *name = strrchr(path, '/');

    if (n == 1) /* the folder is "/" */
        rest = path;
    else if (strncmp(path, dir, n) != 0)
        return NULL;
    if (*rest != '/' || name == NULL || (name != rest && !recursive))
        return NULL;
    rest++;
    return way_is_open(rest) && folder_match_file(pattern, name + 1) ? rest : NULL;
}
