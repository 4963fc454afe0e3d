/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include "alloc.h"
#include "pos.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scratch {
    const struct fsys *fs; /* borrowed */
    char *path;            /* owned */
    pthread_t thread;
    sigset_t signals, before;
    atomic_bool closing;
};

static void empty_folder(const struct scratch *s)
{
    DIR *d = s->fs->opendir(s->fs, s->path);

    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char *path;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        path = mem_printf("%s/%s", s->path, e->d_name);
        (void)s->fs->unlink(s->fs, path); /* the folder stays then, and is told of */
        mem_free(path);
    }
    (void)closedir(d);
}

/* A job that still runs may make a file between the two steps, so there are several tries. */
static bool remove_folder(const struct scratch *s)
{
    enum { TRIES = 50, PAUSE_US = 10 * 1000 };

    for (int i = 0; i < TRIES; i++) {
        empty_folder(s);
        if (s->fs->rmdir(s->fs, s->path) == 0 || errno == ENOENT)
            return true;
        (void)usleep(PAUSE_US);
    }
    return false;
}

static void *watch(void *arg)
{
    struct scratch *s = arg;
    int number = 0, rc = sigwait(&s->signals, &number);
    sigset_t only; /* scratch_close() may have sent its own signal meanwhile, which must not be the one that counts */

    assert(rc == 0);
    if (atomic_load(&s->closing))
        return NULL;
    (void)remove_folder(s);
    /* End as the signal would have ended us, so that a shell sees it. */
    (void)signal(number, SIG_DFL);
    (void)sigemptyset(&only);
    (void)sigaddset(&only, number);
    (void)pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    (void)raise(number);
    _exit(128 + number);
}

struct rc scratch_open(struct scratch **out, const struct fsys *fs, const char *parent, struct err *err)
{
    struct nonce name = nonce_new();
    char text[NONCE_TEXT_SIZE];
    struct scratch *s;
    int rc;

    if (parent == NULL)
        parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] == 0)
        parent = "/tmp";
    s = mem_new(sizeof *s);
    s->fs = fs;
    s->path = mem_printf("%s/weir-scratch-%s", parent, nonce_format(&name, text));
    (void)sigemptyset(&s->signals);
    (void)sigaddset(&s->signals, SIGINT);
    (void)sigaddset(&s->signals, SIGTERM);
    (void)sigaddset(&s->signals, SIGHUP);
    /* Blocked before the folder is there, and in every thread that comes later. */
    (void)pthread_sigmask(SIG_BLOCK, &s->signals, &s->before);
    if (fs->mkdir(fs, s->path, 0700) != 0) {
        bool no_parent = errno == ENOENT || errno == ENOTDIR;
        struct rc failed = rc_raise_sys(err, no_parent ? E_CONFIG : rc_from_errno(errno), errno,
            "make the scratch folder %s (--scratch and $TMPDIR say where)", s->path);

        (void)pthread_sigmask(SIG_SETMASK, &s->before, NULL);
        mem_free(s->path);
        mem_free(s);
        return failed;
    }
    rc = pthread_create(&s->thread, NULL, watch, s);
    assert(rc == 0); /* without threads nothing works */
    *out = s;
    return RC_OK;
}

const char *scratch_path(const struct scratch *s)
{
    return s->path;
}

bool scratch_close(struct scratch *s)
{
    bool removed;

    if (s == NULL)
        return true;
    removed = remove_folder(s);
    atomic_store(&s->closing, true);
    (void)pthread_kill(s->thread, SIGTERM);
    (void)pthread_join(s->thread, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    mem_free(s->path);
    mem_free(s);
    return removed;
}
