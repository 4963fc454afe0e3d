/* SPDX-License-Identifier: Apache-2.0 */
#include "local_place.h"

#include "alloc.h"
#include "digest.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SHOWN = 48 }; /* bytes of a database's name in that of its state's folder, for people */

/* The one path of a database by which it is known, whatever links lead to it; it need not be there. */
static char *resolved(const char *path)
{
    const char *name = strrchr(path, '/');
    CLEANUP(mem_freep) char *folder = NULL;
    char real[PATH_MAX];

    if (realpath(path, real) != NULL)
        return mem_strdup(real);
    folder = name == NULL ? mem_strdup(".") : mem_printf("%.*s", (int)(name - path + 1), path);
    if (realpath(folder, real) == NULL)
        return mem_strdup(path);
    return mem_printf("%s/%s", strcmp(real, "/") == 0 ? "" : real, name == NULL ? path : name + 1);
}

char *local_place_dir(const char *database_path, const char *base)
{
    CLEANUP(mem_freep) char *path = NULL;
    const char *name;

    if (base == NULL)
        return mem_printf("%s-weir", database_path);
    path = resolved(database_path);
    name = strrchr(path, '/');
    name = name == NULL ? path : name + 1;
    return mem_printf("%s/%.*s-%016" PRIx64 "-weir", base, NAME_SHOWN, name, digest_bytes(path, strlen(path)));
}

struct rc local_place_make_base(const struct fsys *fs, const char *base, struct err *err)
{
    if (base == NULL || fs->mkdir(fs, base, 0700) == 0 || errno == EEXIST)
        return RC_OK;
    if (errno == ENOENT)
        return rc_raise(err, E_CONFIG,
            "state-dir %s: the folder above it is not there (a disk that is not mounted?): make it, or name another",
            base);
    return rc_raise_sys(err, rc_from_errno(errno), errno, "make the folder of local states (state-dir) %s", base);
}
