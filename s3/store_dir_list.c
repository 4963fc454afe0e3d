/* SPDX-License-Identifier: Apache-2.0 */
#include "store_dir_list.h"

#include "alloc.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct walk {
    const struct store_dir *d;
    struct store_req *req;
    size_t prefix_size;
    unsigned limit;
    char key[STORE_KEY_MAX + 2]; /* where the walk is: a directory, ending with '/', or a file */
    bool done;
};

enum kind { KIND_NONE, KIND_FILE, KIND_FOLDER };

static void closedirp(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir); /* it was only read */
}

/* --- one directory's names, sorted, the first ones behind `behind` ------------------------------------------------ */

/*
 * Folders end with '/'.  That makes the order of names the order of the keys below: "a.b" is before "a/c", and all
 * that is in folder "a/" stands together.
 */
struct names {
    char **at; /* owned, as are the strings */
    size_t count, keep;
    bool dropped;       /* there are more behind the last */
    const char *behind; /* borrowed */
};

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->at[i]);
    mem_free(names->at);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sort, and keep the first ones.  A directory that changes while it is read may show a name twice. */
static void names_settle(struct names *names)
{
    size_t count = 0;

    if (names->count == 0)
        return;
    qsort(names->at, names->count, sizeof names->at[0], compare);
    for (size_t i = 0; i < names->count; i++) {
        if (count > 0 && strcmp(names->at[count - 1], names->at[i]) == 0) {
            mem_free(names->at[i]);
        } else if (count == names->keep) {
            mem_free(names->at[i]);
            names->dropped = true;
        } else
            names->at[count++] = names->at[i];
    }
    names->count = count;
}

static struct rc names_add(struct names *names, const char *name, enum kind kind, struct err *err)
{
    char text[NAME_MAX + 2];
    size_t n = strlen(name);

    assert(n <= NAME_MAX);
    memcpy(text, name, n);
    if (kind == KIND_FOLDER)
        text[n++] = '/';
    text[n] = 0;
    if (strcmp(text, names->behind) <= 0)
        return RC_OK;
    /* Once something was dropped, the first `keep` names are sorted and nothing behind them is of interest. */
    if (names->dropped && strcmp(text, names->at[names->keep - 1]) > 0)
        return RC_OK;
    if (names->at == NULL) {
        names->at = mem_try(2 * names->keep, sizeof names->at[0]);
        if (names->at == NULL)
            return rc_raise(err, E_NOMEM, "a list of %zu names", 2 * names->keep);
    }
    names->at[names->count++] = mem_strdup(text);
    if (names->count == 2 * names->keep)
        names_settle(names);
    return RC_OK;
}

/* --- what is of interest ------------------------------------------------------------------------------------------ */

/* Is the folder `key`, `n` bytes with the '/', shown as one entry? */
static bool folds(const struct walk *w, size_t n)
{
    return w->req->by_folder && n > w->prefix_size;
}

static bool file_wanted(const struct walk *w, const char *key)
{
    return strncmp(key, w->req->key, w->prefix_size) == 0 && strcmp(key, w->req->after) > 0;
}

/* Can there be keys of interest below the folder? */
static bool folder_wanted(const struct walk *w, const char *key, size_t n)
{
    size_t common = n < w->prefix_size ? n : w->prefix_size;

    if (memcmp(key, w->req->key, common) != 0)
        return false;
    if (folds(w, n))
        return strcmp(key, w->req->after) > 0;
    return strncmp(w->req->after, key, n) <= 0;
}

static struct rc kind_of_path(
    const struct walk *w, const char *key, enum kind *out, struct store_entry *entry, struct err *err)
{
    const struct fsys *fs = w->d->fs;
    store_dir_path path;
    struct stat st;

    *out = KIND_NONE;
    store_dir_join(w->d, key, path);
    if (fs->stat(fs, path, &st) != 0) {
        if (errno == ENOENT) /* deleted meanwhile, or a link to nowhere */
            return RC_OK;
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    }
    if (S_ISREG(st.st_mode))
        *out = KIND_FILE;
    else if (S_ISDIR(st.st_mode))
        *out = KIND_FOLDER;
    entry->size = (uint64_t)st.st_size;
    entry->modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    return RC_OK;
}

/*
 * What a directory entry is, if it is of interest: the walk's key up to `base`, and the entry's name, are the key.
 * `any` is for "is there any key at all".
 */
static struct rc judge(
    const struct walk *w, size_t base, const struct dirent *entry, bool any, enum kind *out, struct err *err)
{
    char key[STORE_KEY_MAX + 2];
    size_t n = base + strlen(entry->d_name);
    bool as_file = entry->d_type != DT_DIR, as_folder = entry->d_type != DT_REG && n + 2 <= STORE_KEY_MAX;
    struct store_entry ignored;

    *out = KIND_NONE;
    if (n > STORE_KEY_MAX)
        return RC_OK;
    memcpy(key, w->key, base);
    memcpy(key + base, entry->d_name, n - base + 1);
    if (!store_key_ok(key))
        return RC_OK;
    if (!any) {
        as_file = as_file && file_wanted(w, key);
        memcpy(key + n, "/", 2);
        as_folder = as_folder && folder_wanted(w, key, n + 1);
        key[n] = 0;
    }
    if (!as_file && !as_folder)
        return RC_OK;
    if (entry->d_type == DT_REG || entry->d_type == DT_DIR)
        *out = entry->d_type == DT_REG ? KIND_FILE : KIND_FOLDER;
    else if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN)
        TRY(kind_of_path(w, key, out, &ignored, err));
    if ((*out == KIND_FILE && !as_file) || (*out == KIND_FOLDER && !as_folder))
        *out = KIND_NONE;
    return RC_OK;
}

/* --- reading a directory ------------------------------------------------------------------------------------------ */

/* NULL when it is not there (any more). */
static struct rc open_folder(const struct walk *w, size_t base, DIR **out, struct err *err)
{
    char key[STORE_KEY_MAX + 2];
    store_dir_path path;

    memcpy(key, w->key, base);
    key[base] = 0;
    store_dir_join(w->d, key, path);
    *out = w->d->fs->opendir(w->d->fs, path);
    if (*out == NULL && errno != ENOENT)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "open directory %s", path);
    return RC_OK;
}

static struct rc next_entry(DIR *dir, struct dirent **out, struct err *err)
{
    errno = 0;
    *out = readdir(dir); /* NOLINT(concurrency-mt-unsafe): a stream of our own */
    if (*out == NULL && errno != 0)
        return rc_raise_sys(err, rc_from_errno(errno), errno, "read directory");
    return RC_OK;
}

static struct rc read_names(const struct walk *w, size_t base, struct names *names, struct err *err)
{
    CLEANUP(closedirp) DIR *dir = NULL;
    struct dirent *entry;

    TRY(open_folder(w, base, &dir, err));
    if (dir == NULL)
        return RC_OK;
    for (;;) {
        enum kind kind;

        TRY_CTX(next_entry(dir, &entry, err), err, "%.*s", (int)base, w->key);
        if (entry == NULL)
            break;
        TRY(judge(w, base, entry, false, &kind, err));
        if (kind != KIND_NONE)
            TRY(names_add(names, entry->d_name, kind, err));
    }
    names_settle(names);
    return RC_OK;
}

/* Is there any key below the folder that the walk's key names up to `base`?  An empty directory is no prefix. */
static struct rc has_key(struct walk *w, size_t base, bool *found, struct err *err)
{
    CLEANUP(closedirp) DIR *dir = NULL;
    struct dirent *entry;

    *found = false;
    TRY(open_folder(w, base, &dir, err));
    while (dir != NULL && !*found) {
        size_t n;
        enum kind kind;

        TRY_CTX(next_entry(dir, &entry, err), err, "%.*s", (int)base, w->key);
        if (entry == NULL)
            break;
        TRY(judge(w, base, entry, true, &kind, err));
        if (kind == KIND_FILE)
            *found = true;
        if (kind != KIND_FOLDER)
            continue;
        n = strlen(entry->d_name);
        memcpy(w->key + base, entry->d_name, n);
        memcpy(w->key + base + n, "/", 2);
        TRY(has_key(w, base + n + 1, found, err));
    }
    w->key[base] = 0;
    return RC_OK;
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

static void emit(struct walk *w, const struct store_entry *entry)
{
    struct store_req *req = w->req;

    if (req->entry_count == w->limit) {
        req->more = true;
        w->done = true;
        return;
    }
    req->entries[req->entry_count] = *entry;
    req->entries[req->entry_count++].key = mem_strdup(w->key);
}

static struct rc walk_folder(struct walk *w, size_t base, struct err *err);

static struct rc visit(struct walk *w, size_t base, const char *name, struct err *err)
{
    size_t n = base + strlen(name);
    struct store_entry file = {0};
    const struct store_entry folder = {.is_prefix = true};
    enum kind kind;
    bool found;

    assert(n < sizeof w->key);
    memcpy(w->key + base, name, n - base + 1);
    if (w->key[n - 1] != '/') {
        TRY(kind_of_path(w, w->key, &kind, &file, err));
        if (kind == KIND_FILE)
            emit(w, &file);
    } else if (folds(w, n)) {
        TRY(has_key(w, n, &found, err));
        if (found)
            emit(w, &folder);
    } else
        TRY(walk_folder(w, n, err));
    w->key[base] = 0;
    return RC_OK;
}

/* As deep as a key has parts, at most STORE_KEY_MAX / 2; a cycle of symbolic links ends earlier, with ELOOP. */
static struct rc walk_folder(struct walk *w, size_t base, struct err *err)
{
    char last[NAME_MAX + 2] = "";
    bool dropped;

    do {
        CLEANUP(names_fini) struct names names = {.keep = w->limit + 1, .behind = last};

        TRY(read_names(w, base, &names, err));
        for (size_t i = 0; i < names.count && !w->done; i++)
            TRY(visit(w, base, names.at[i], err));
        dropped = names.dropped;
        if (dropped)
            memcpy(last, names.at[names.count - 1], strlen(names.at[names.count - 1]) + 1);
    } while (dropped && !w->done);
    return RC_OK;
}

struct rc store_dir_list_keys(struct dir_work *w, struct err *err)
{
    struct store_req *req = w->req;
    const char *slash = strrchr(req->key, '/');
    size_t base = slash == NULL ? 0 : (size_t)(slash - req->key) + 1;
    struct walk walk = {
        .d = w->dir,
        .req = req,
        .prefix_size = strlen(req->key),
        .limit = req->limit > 0 ? req->limit : STORE_LIST_MAX,
    };
    struct rc rc;

    req->entries = mem_try(walk.limit, sizeof req->entries[0]);
    if (req->entries == NULL)
        return rc_raise(err, E_NOMEM, "a list of %u entries", walk.limit);
    memcpy(walk.key, req->key, base);
    rc = walk_folder(&walk, base, err);
    if (rc_failed(rc))
        store_req_drop_entries(req);
    return rc;
}
