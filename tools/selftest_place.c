/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest_place.h"

#include "alloc.h"
#include "s3_uri.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { DEPTH_MAX = 16 };

/* --- its name ----------------------------------------------------------------------------------------------------- */

static struct rc refuse(const char *url, size_t size, struct err *err)
{
    return rc_raise(err, E_CONFIG,
        "%.*s is nothing that weir can write to: name a replica, file:///path or s3://bucket/path", (int)size, url);
}

struct rc selftest_place_url(const char *url, const char *name, char **out, struct err *err)
{
    const size_t scheme = strcspn(url, ":") + strlen("://");
    size_t path = strcspn(url, "?");
    const char *options = url + path;

    if (strncmp(url, "file://", 7) != 0 && strncmp(url, "s3://", 5) != 0)
        return refuse(url, path, err);
    while (path > scheme && url[path - 1] == '/')
        path--;
    *out = mem_printf("%.*s/%s%s", (int)path, url, name, options);
    return RC_OK;
}

char *selftest_place_folder_url(const char *path)
{
    CLEANUP(buf_fini) struct buf b;

    buf_init(&b, S3_URI_MAX);
    buf_text(&b, "file://");
    s3_uri_encode(path, S3_URI_KEEP_SLASH, &b);
    return mem_strdup(buf_str(&b));
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

static struct rc list(
    struct work *w, struct store *s, const char *prefix, unsigned limit, struct store_req *req, struct err *err)
{
    store_req_init(req, STORE_LIST, prefix, NULL, NULL);
    req->limit = limit;
    return work_store(w, s, req, err);
}

struct rc selftest_place_check_empty(struct work *w, struct store *s, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req = {0};

    TRY(list(w, s, "", 1, &req, err));
    if (req.entry_count > 0)
        return rc_raise(err, E_EXISTS, "%s is not empty (%s): nothing was done", s->url, req.entries[0].key);
    return RC_OK;
}

static struct rc delete_all(struct work *w, struct store *s, const struct store_req *listed, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req = {0};
    const char *keys[STORE_LIST_MAX];

    for (size_t i = 0; i < listed->entry_count; i++)
        keys[i] = listed->entries[i].key;
    store_req_init(&req, STORE_DELETE_MANY, "", NULL, NULL);
    req.keys = keys;
    req.key_count = listed->entry_count;
    return work_store(w, s, &req, err);
}

/* What is listed is gone at the next look, so each look begins at the beginning. */
static struct rc empty(struct work *w, struct store *s, const char *prefix, uint64_t *removed, struct err *err)
{
    for (;;) {
        CLEANUP(store_req_fini) struct store_req req = {0};

        TRY(list(w, s, prefix, 0, &req, err));
        if (req.entry_count == 0)
            return RC_OK;
        TRY(delete_all(w, s, &req, err));
        *removed += req.entry_count;
    }
}

/* Uploads that were cut short show in no listing.  Not every store can tell of them, or lets us. */
static struct rc sweep(struct work *w, struct store *s, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req = {0};
    struct rc rc;

    store_req_init(&req, STORE_UPLOAD_SWEEP, "", NULL, NULL);
    rc = work_store(w, s, &req, err);
    return rc.code == E_DENIED || rc.code == E_UNSUPPORTED || rc.code == E_NOTFOUND ? RC_OK : rc;
}

struct rc selftest_place_empty(struct work *w, struct store *s, uint64_t *removed, struct err *err)
{
    *removed = 0;
    TRY(empty(w, s, "", removed, err));
    TRY(empty(w, s, STORE_SCRATCH, removed, err));
    return sweep(w, s, err);
}

struct rc selftest_place_left(struct work *w, struct store *s, size_t *left, struct err *err)
{
    CLEANUP(store_req_fini) struct store_req req = {0};

    TRY(list(w, s, "", 0, &req, err));
    *left = req.entry_count;
    return RC_OK;
}

/* --- folders ------------------------------------------------------------------------------------------------------ */

char *selftest_place_above(const struct fsys *fs, const char *path)
{
    char *above = mem_strdup(path);
    struct stat st;

    for (char *slash; (slash = strrchr(above, '/')) != NULL;) {
        slash[slash == above ? 1 : 0] = 0;
        if (slash == above || fs->stat(fs, above, &st) == 0)
            break;
    }
    return above;
}

static struct rc remove_tree(const struct fsys *fs, const char *path, int depth, struct err *err);

static struct rc remove_entries(const struct fsys *fs, const char *path, DIR *d, int depth, struct err *err)
{
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        CLEANUP(mem_freep) char *inner = NULL;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        inner = mem_printf("%s/%s", path, e->d_name);
        if (fs->unlink(fs, inner) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR)
            return rc_raise_sys(err, rc_from_errno(errno), errno, "remove %s", inner);
        TRY(remove_tree(fs, inner, depth + 1, err));
    }
    return RC_OK;
}

static struct rc remove_tree(const struct fsys *fs, const char *path, int depth, struct err *err)
{
    struct rc rc;
    DIR *d;

    if (depth > DEPTH_MAX)
        return rc_raise(err, E_IO, "remove %s: deeper than anything that was made", path);
    d = fs->opendir(fs, path);
    if (d == NULL)
        return errno == ENOENT ? RC_OK : rc_raise_sys(err, rc_from_errno(errno), errno, "remove %s", path);
    rc = remove_entries(fs, path, d, depth, err);
    (void)closedir(d);
    TRY(rc);
    if (fs->rmdir(fs, path) != 0 && errno != ENOENT)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "remove %s", path);
    return RC_OK;
}

struct rc selftest_place_remove_folder(const struct fsys *fs, const char *path, const char *above, struct err *err)
{
    CLEANUP(mem_freep) char *up = mem_strdup(path);
    const size_t stays = strlen(above);

    assert(strncmp(path, above, stays) == 0);
    TRY(remove_tree(fs, path, 0, err));
    for (char *slash; (slash = strrchr(up, '/')) != NULL && (size_t)(slash - up) > stays;) {
        *slash = 0;
        if (fs->rmdir(fs, up) != 0)
            break; /* somebody else uses it by now */
    }
    return RC_OK;
}
