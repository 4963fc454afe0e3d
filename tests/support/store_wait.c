/* SPDX-License-Identifier: Apache-2.0 */
#include "store_wait.h"

#include "must.h"
#include "store_dir.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void on_done(struct store_req *req)
{
    on_flag(req->ctx);
}

struct rc store_wait_run(uv_loop_t *loop, struct store *s, struct store_req *req, struct err *err)
{
    bool done = false;

    req->on_done = on_done;
    req->ctx = &done;
    store_submit(s, req);
    MUST(!done); /* never from inside store_submit() */
    while (!done) {
        int alive = uv_run(loop, UV_RUN_ONCE);

        MUST(done || alive != 0); /* a lost request would hang the test */
    }
    return store_result(req, err);
}

void store_wait_open(struct store_wait *w, const struct fsys *fs, const char *root)
{
    struct err err;

    MUST(uv_loop_init(&w->loop) == 0);
    MUST(!rc_failed(store_dir_open(&w->loop, fs, root, &w->store, &err)));
}

void store_wait_stop(uv_loop_t *loop, struct store *s)
{
    bool stopped = false;

    store_stop(s, on_flag, &stopped);
    MUST(!stopped);
    while (!stopped) {
        int alive = uv_run(loop, UV_RUN_ONCE);

        MUST(stopped || alive != 0);
    }
}

void store_wait_end(uv_loop_t *loop, struct store *s)
{
    store_wait_stop(loop, s);
    MUST(uv_run(loop, UV_RUN_DEFAULT) == 0);
    MUST(uv_loop_close(loop) == 0);
}

void store_wait_stop_env(uv_loop_t *loop, struct store_env *env)
{
    bool stopped = false;

    store_env_stop(env, on_flag, &stopped);
    while (!stopped) {
        int alive = uv_run(loop, UV_RUN_ONCE);

        MUST(stopped || alive != 0);
    }
}

void store_wait_close(struct store_wait *w)
{
    store_wait_end(&w->loop, w->store);
}

struct rc store_wait_put(struct store_wait *w, const char *key, const char *text, bool create_only, struct err *err)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_PUT, key, on_done, NULL);
    req.body = span_of(text, strlen(text));
    req.create_only = create_only;
    rc = store_wait_run(&w->loop, w->store, &req, err);
    store_req_fini(&req);
    return rc;
}

struct rc store_wait_get(struct store_wait *w, const char *key, struct buf *out, struct err *err)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_GET, key, on_done, NULL);
    rc = store_wait_run(&w->loop, w->store, &req, err);
    if (!rc_failed(rc))
        buf_put(out, req.data.data, req.data.size);
    store_req_fini(&req);
    return rc;
}

struct rc store_wait_delete(struct store_wait *w, const char *key, struct err *err)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_DELETE, key, on_done, NULL);
    rc = store_wait_run(&w->loop, w->store, &req, err);
    store_req_fini(&req);
    return rc;
}

unsigned store_wait_temps(const char *root)
{
    unsigned count = 0;
    char path[200];
    struct dirent *entry;
    DIR *dir;

    (void)snprintf(path, sizeof path, "%s/.tmp", root);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

void store_wait_scratch(char out[STORE_WAIT_PATH_SIZE])
{
    const char *tmp = getenv("WEIR_TEST_TMP"); /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */

    /* In memory where that is possible: the fault loops sync many thousand times. */
    if (tmp == NULL)
        tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    MUST(snprintf(out, STORE_WAIT_PATH_SIZE, "%s/weir-store-XXXXXX", tmp) < STORE_WAIT_PATH_SIZE);
    MUST(mkdtemp(out) != NULL);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void store_wait_unscratch(const char *path)
{
    MUST(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0); /* NOLINT(concurrency-mt-unsafe): no FTW_CHDIR */
}
