/* SPDX-License-Identifier: Apache-2.0 */
/* Listings of the directory store, against a model that sorts all keys. */
#include "check.h"

#include "fault_fsys.h"
#include "store_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYS_MAX = 4000, KEY_SIZE = 80 };

/* --- the model ---------------------------------------------------------------------------------------------------- */

struct model {
    char keys[KEYS_MAX][KEY_SIZE];
    size_t count;
};

struct answer {
    char keys[STORE_LIST_MAX][KEY_SIZE];
    bool is_prefix[STORE_LIST_MAX];
    size_t count;
    bool more;
};

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void model_list(
    struct model *m, const char *prefix, const char *after, bool by_folder, size_t limit, struct answer *out)
{
    char last[KEY_SIZE] = "";

    qsort(m->keys, m->count, sizeof m->keys[0], compare);
    out->count = 0;
    out->more = false;
    for (size_t i = 0; i < m->count; i++) {
        char entry[KEY_SIZE];
        const char *slash;

        if (strncmp(m->keys[i], prefix, strlen(prefix)) != 0)
            continue;
        memcpy(entry, m->keys[i], sizeof entry);
        slash = by_folder ? strchr(entry + strlen(prefix), '/') : NULL;
        if (slash != NULL)
            entry[slash - entry + 1] = 0;
        if (strcmp(entry, after) <= 0 || strcmp(entry, last) == 0)
            continue;
        memcpy(last, entry, sizeof last);
        if (out->count == limit) {
            out->more = true;
            return;
        }
        out->is_prefix[out->count] = slash != NULL;
        memcpy(out->keys[out->count++], entry, sizeof entry);
    }
}

/* --- the store ---------------------------------------------------------------------------------------------------- */

/* Straight to the disk: the store's own writes are tested elsewhere.  The size is the key's length. */
static void make_key(const char *root, const char *key)
{
    char path[200];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", root, key);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    fd = open(path, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)strlen(key)), 0);
    assert_int_equal(close(fd), 0);
}

static void add(struct model *m, const char *root, const char *key)
{
    assert_true(m->count < KEYS_MAX);
    make_key(root, key);
    (void)snprintf(m->keys[m->count++], KEY_SIZE, "%s", key);
}

static void list(
    struct store_wait *w, const char *prefix, const char *after, bool by_folder, unsigned limit, struct store_req *req)
{
    struct err err;

    store_req_init(req, STORE_LIST, prefix, NULL, NULL);
    (void)snprintf(req->after, sizeof req->after, "%s", after);
    req->by_folder = by_folder;
    req->limit = limit;
    assert_ok_err(store_wait_run(&w->loop, w->store, req, &err), &err);
}

/* Does the prefix lead through an object?  Then a file stands where a directory is needed, which is told. */
static bool is_blocked(const struct model *m, const char *prefix)
{
    for (size_t i = 0; i < m->count; i++) {
        size_t n = strlen(m->keys[i]);

        if (strncmp(prefix, m->keys[i], n) == 0 && prefix[n] == '/')
            return true;
    }
    return false;
}

static void assert_blocked(struct store_wait *w, const char *prefix)
{
    struct store_req req;
    struct err err;

    store_req_init(&req, STORE_LIST, prefix, NULL, NULL);
    assert_fails(store_wait_run(&w->loop, w->store, &req, &err), E_IO);
    assert_non_null(strstr(err.msg, " is a file where a directory is needed"));
    store_req_fini(&req);
}

static void compare_with_model(
    struct store_wait *w, struct model *m, const char *prefix, const char *after, bool by_folder, unsigned limit)
{
    static struct answer want;
    struct store_req req;

    if (is_blocked(m, prefix)) {
        assert_blocked(w, prefix);
        return;
    }
    model_list(m, prefix, after, by_folder, limit == 0 ? STORE_LIST_MAX : limit, &want);
    list(w, prefix, after, by_folder, limit, &req);
    for (size_t i = 0; i < req.entry_count && i < want.count; i++) {
        const struct store_entry *e = &req.entries[i];

        if (strcmp(e->key, want.keys[i]) != 0 || e->is_prefix != want.is_prefix[i]
            || e->size != (e->is_prefix ? 0 : strlen(e->key)))
            fail_msg("prefix \"%s\", after \"%s\", by_folder %d, limit %u: entry %zu is \"%s\", should be \"%s\"",
                prefix, after, by_folder, limit, i, e->key, want.keys[i]);
    }
    if (req.entry_count != want.count || req.more != want.more)
        fail_msg("prefix \"%s\", after \"%s\", by_folder %d, limit %u: %zu entries, more %d; should be %zu, %d", prefix,
            after, by_folder, limit, req.entry_count, req.more, want.count, want.more);
    store_req_fini(&req);
}

static struct model *scratch_model(struct store_wait *w, char dir[STORE_WAIT_PATH_SIZE])
{
    struct model *m = calloc(1, sizeof *m);

    assert_non_null(m);
    store_wait_scratch(dir);
    store_wait_open(w, &fsys_real, dir);
    return m;
}

static void scratch_end(struct store_wait *w, const char *dir, struct model *m)
{
    store_wait_close(w);
    store_wait_unscratch(dir);
    free(m);
}

/* --- order -------------------------------------------------------------------------------------------------------- */

/* Characters below, at and above the '/', so that the order in a directory differs from that of the keys. */
static void random_key(uint64_t *seed, char key[KEY_SIZE])
{
    static const char chars[] = "a-.0b";
    size_t n = 0, parts = 1 + check_random(seed) % 4;

    for (size_t part = 0; part < parts; part++) {
        size_t size = 1 + check_random(seed) % 3;

        if (part > 0)
            key[n++] = '/';
        for (size_t i = 0; i < size; i++)
            key[n++] = chars[check_random(seed) % (sizeof chars - 1)];
    }
    key[n] = 0;
}

/* Can the key be beside the others?  A file is not a directory too. */
static bool fits(const struct model *m, const char *key)
{
    size_t n = strlen(key);

    if (!store_key_ok(key))
        return false;
    for (size_t i = 0; i < m->count; i++) {
        size_t other = strlen(m->keys[i]), common = n < other ? n : other;

        if (memcmp(key, m->keys[i], common) != 0)
            continue;
        if (n == other || (n < other ? m->keys[i][n] : key[other]) == '/')
            return false;
    }
    return true;
}

/* What is in a directory and is no key. */
static void make_noise(const char *root, uint64_t *seed)
{
    static const char *const names[] = {"a b", "~", "a+", "\xc3\xa4", "lost+found", ".tmp", "0%20"};
    char path[200], key[KEY_SIZE];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, names[i]);
        (void)mkdir(path, 0755);
        (void)snprintf(path, sizeof path, "%s/a", names[i]);
        make_key(root, path);
    }
    for (int i = 0; i < 30; i++) { /* empty directories */
        random_key(seed, key);
        if (!store_key_ok(key))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", root, key);
        (void)mkdir(path, 0755);
    }
    (void)snprintf(path, sizeof path, "%s/a..pipe", root);
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)snprintf(path, sizeof path, "%s/b--nowhere", root);
    assert_int_equal(symlink("nowhere-to-be-found", path), 0);
}

static void random_prefix(struct model *m, uint64_t *seed, char out[KEY_SIZE])
{
    random_key(seed, out);
    if (check_random(seed) % 4 > 0) {
        const char *key = m->keys[check_random(seed) % m->count];

        (void)snprintf(out, KEY_SIZE, "%s", key);
    }
    out[check_random(seed) % (strlen(out) + 1)] = 0;
    if (strstr(out, "./") != NULL) /* perhaps no beginning of a key */
        out[0] = 0;
}

static void random_round(uint64_t seed)
{
    char dir[STORE_WAIT_PATH_SIZE], key[KEY_SIZE], prefix[KEY_SIZE], after[KEY_SIZE];
    size_t count = 1 + check_random(&seed) % 200;
    struct store_wait w;
    struct model *m = scratch_model(&w, dir);

    while (count-- > 0) {
        random_key(&seed, key);
        if (fits(m, key))
            add(m, dir, key);
    }
    if (m->count == 0)
        add(m, dir, "0");
    make_noise(dir, &seed);
    for (int i = 0; i < 300; i++) {
        unsigned limit = check_random(&seed) % 3 == 0 ? 0 : (unsigned)(1 + check_random(&seed) % 7);

        random_prefix(m, &seed, prefix);
        random_prefix(m, &seed, after);
        if (check_random(&seed) % 2 == 0)
            after[0] = 0;
        compare_with_model(&w, m, prefix, after, check_random(&seed) % 2 == 0, limit);
    }
    scratch_end(&w, dir, m);
}

static void test_order_against_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        random_round(seed);
}

/* The case by name, for the reader. */
static void test_order_of_whole_keys(void **state)
{
    char dir[STORE_WAIT_PATH_SIZE];
    struct store_req req;
    struct store_wait w;
    struct model *m = scratch_model(&w, dir);

    (void)state;
    add(m, dir, "a/b");
    add(m, dir, "a.b");
    add(m, dir, "a0");
    add(m, dir, "a-b/c");
    list(&w, "", "", false, 0, &req);
    assert_int_equal(req.entry_count, 4);
    assert_string_equal(req.entries[0].key, "a-b/c");
    assert_string_equal(req.entries[1].key, "a.b");
    assert_string_equal(req.entries[2].key, "a/b");
    assert_string_equal(req.entries[3].key, "a0");
    store_req_fini(&req);
    list(&w, "a", "a.b", true, 1, &req);
    assert_int_equal(req.entry_count, 1);
    assert_string_equal(req.entries[0].key, "a/");
    assert_true(req.entries[0].is_prefix);
    assert_true(req.more);
    store_req_fini(&req);
    scratch_end(&w, dir, m);
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

/* All pages, one after another, as callers read them. */
static void page_through(struct store_wait *w, struct model *m, const char *prefix, bool by_folder, unsigned limit)
{
    char after[STORE_KEY_MAX + 1] = "";
    size_t pages = 0, total = 0;
    struct store_req req;
    bool more;

    do {
        compare_with_model(w, m, prefix, after, by_folder, limit);
        list(w, prefix, after, by_folder, limit, &req);
        more = req.more;
        assert_true(!more || req.entry_count == (limit == 0 ? STORE_LIST_MAX : limit));
        if (req.entry_count > 0)
            (void)snprintf(after, sizeof after, "%s", req.entries[req.entry_count - 1].key);
        total += req.entry_count;
        store_req_fini(&req);
    } while (more && ++pages < 10000);
    assert_false(more);
    if (!by_folder)
        assert_int_equal(total, m->count);
}

/* A directory with more names than are kept at a time, and one with so many empty neighbours. */
static void test_many(void **state)
{
    char dir[STORE_WAIT_PATH_SIZE], key[KEY_SIZE], path[200];
    struct store_wait w;
    struct model *m = scratch_model(&w, dir);

    (void)state;
    for (unsigned i = 0; i < 2500; i++) {
        (void)snprintf(key, sizeof key, "log/%08x", i * 7919u % 2500u); /* not in order of making */
        add(m, dir, key);
    }
    page_through(&w, m, "", false, 0);
    page_through(&w, m, "log/", false, 333);
    for (unsigned i = 0; i < 60; i++) {
        (void)snprintf(path, sizeof path, "%s/e%02u", dir, i);
        assert_int_equal(mkdir(path, 0755), 0);
        (void)snprintf(key, sizeof key, "f%02u/x", i);
        add(m, dir, key);
    }
    page_through(&w, m, "", true, 3);
    page_through(&w, m, "", true, 1);
    page_through(&w, m, "", false, 0);
    scratch_end(&w, dir, m);
}

static void test_nothing_there(void **state)
{
    char dir[STORE_WAIT_PATH_SIZE], root[STORE_WAIT_PATH_SIZE + 10];
    struct store_req req;
    struct store_wait w;

    (void)state;
    store_wait_scratch(dir);
    (void)snprintf(root, sizeof root, "%s/missing", dir);
    store_wait_open(&w, &fsys_real, root);
    list(&w, "", "", false, 0, &req);
    assert_int_equal(req.entry_count, 0);
    assert_false(req.more);
    store_req_fini(&req);
    list(&w, "t/1/", "t/1/a", true, 5, &req);
    assert_int_equal(req.entry_count, 0);
    store_req_fini(&req);
    store_wait_close(&w);
    store_wait_unscratch(dir);
}

/* --- links, and file systems that do not tell types --------------------------------------------------------------- */

static void test_links_are_followed(void **state)
{
    char dir[STORE_WAIT_PATH_SIZE], path[200];
    struct store_req req;
    struct store_wait w;
    struct model *m = scratch_model(&w, dir);
    struct err err;

    (void)state;
    add(m, dir, "t/1/a");
    (void)snprintf(path, sizeof path, "%s/u", dir); /* a directory and a file that live elsewhere */
    assert_int_equal(symlink("t/1", path), 0);
    (void)snprintf(path, sizeof path, "%s/v", dir);
    assert_int_equal(symlink("t/1/a", path), 0);
    list(&w, "", "", false, 0, &req);
    assert_int_equal(req.entry_count, 3);
    assert_string_equal(req.entries[1].key, "u/a");
    assert_string_equal(req.entries[2].key, "v");
    assert_int_equal(req.entries[2].size, 5);
    store_req_fini(&req);

    /* A circle is told and does not go on for ever. */
    (void)snprintf(path, sizeof path, "%s/t/up", dir);
    assert_int_equal(symlink("..", path), 0);
    store_req_init(&req, STORE_LIST, "", NULL, NULL);
    assert_fails(store_wait_run(&w.loop, w.store, &req, &err), E_IO);
    assert_non_null(strstr(err.msg, "Too many levels of symbolic links"));
    store_req_fini(&req);
    scratch_end(&w, dir, m);
}

/* --- what is read ------------------------------------------------------------------------------------------------- */

static long directories_read(
    struct fault_fsys *f, struct store_wait *w, const char *prefix, const char *after, bool by_folder, unsigned limit)
{
    long before = f->calls;
    struct store_req req;

    list(w, prefix, after, by_folder, limit, &req);
    store_req_fini(&req);
    return f->calls - before;
}

static void test_only_what_is_needed_is_read(void **state)
{
    char dir[STORE_WAIT_PATH_SIZE], key[KEY_SIZE];
    struct store_wait w;
    struct fault_fsys f;

    (void)state;
    store_wait_scratch(dir);
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "t/%02u/log/1", i);
        make_key(dir, key);
        (void)snprintf(key, sizeof key, "t/%02u/snap/1", i);
        make_key(dir, key);
    }
    fault_fsys_init(&f, FAULT_ONCE, 0, EIO);
    f.ops = FAULT_OPENDIR;
    store_wait_open(&w, &f.fs, dir);
    assert_int_equal(directories_read(&f, &w, "", "", false, 0), 2 + 20 * 3);
    assert_int_equal(directories_read(&f, &w, "t/07/log/", "", false, 0), 1);
    assert_int_equal(directories_read(&f, &w, "t/07/l", "", false, 0), 2);
    assert_int_equal(directories_read(&f, &w, "t/07/log/9", "", false, 0), 1);
    assert_int_equal(directories_read(&f, &w, "t/1", "", false, 0), 1 + 10 * 3);
    assert_int_equal(directories_read(&f, &w, "t/", "t/17/log/1", false, 0), 1 + 3 * 3);
    assert_int_equal(directories_read(&f, &w, "t/", "t/17/log0", false, 0), 1 + 2 + 2 * 3);
    assert_int_equal(directories_read(&f, &w, "t/", "", false, 1), 1 + 3); /* the second one only for `more` */
    /* A folder is looked into until a key is found in it. */
    assert_int_equal(directories_read(&f, &w, "t/", "t/17/", true, 0), 1 + 2 * 2);
    assert_int_equal(directories_read(&f, &w, "", "", true, 0), 1 + 3);
    assert_int_equal(f.open_fds, 0);
    store_wait_close(&w);
    store_wait_unscratch(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_against_model),
        cmocka_unit_test(test_order_of_whole_keys),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_links_are_followed),
        cmocka_unit_test(test_only_what_is_needed_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
