/* SPDX-License-Identifier: Apache-2.0 */
#include "file_watch.h"

#include "alloc.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    FILE_EVENTS = IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
    FOLDER_EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
    BUFFER_SIZE = 64 << 10,
    READS_MAX = 16, /* in one turn of the loop: others have their turn, too */
};

/* The kernel gives one number to all watches of one file. */
struct number {
    int number;
    struct file_watch_entry *entries;
};

struct file_watch {
    uv_poll_t poll;
    int fd;
    void *numbers; /* tree of struct number */
    void (*on_overflow)(void *ctx);
    void *ctx;
    _Alignas(struct inotify_event) char buffer[BUFFER_SIZE];
};

static int compare(const void *a, const void *b)
{
    const struct number *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static struct number *find(struct file_watch *w, int number)
{
    struct number key = {.number = number};
    void *at = tfind(&key, &w->numbers, compare);

    return at != NULL ? *(struct number **)at : NULL;
}

static void drop(struct file_watch *w, struct number *n)
{
    (void)tdelete(n, &w->numbers, compare); /* it is in the tree */
    mem_free(n);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void hand_out(struct file_watch *w, const struct inotify_event *event)
{
    struct number *n;

    if (event->mask & IN_Q_OVERFLOW) {
        w->on_overflow(w->ctx);
        return;
    }
    n = find(w, event->wd);
    if (n == NULL)
        return; /* of a watch that was removed since */
    for (struct file_watch_entry *e = n->entries, *next; e != NULL; e = next) {
        next = e->next;
        if (event->mask & IN_IGNORED)
            e->number = 0;
        e->fn(e->ctx, event->len > 0 ? event->name : "", event->mask);
    }
    if (event->mask & IN_IGNORED)
        drop(w, n);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct file_watch *w = poll->data;

    (void)status; /* the read tells */
    (void)events;
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = read(w->fd, w->buffer, sizeof w->buffer);

        if (n <= 0)
            return; /* EAGAIN, or EINTR: it stays readable */
        for (ssize_t at = 0; at < n;) {
            struct inotify_event head;

            memcpy(&head, w->buffer + at, sizeof head);
            hand_out(w, (const struct inotify_event *)(const void *)(w->buffer + at));
            at += (ssize_t)(sizeof head + head.len);
        }
    }
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

struct file_watch *file_watch_new(uv_loop_t *loop, void (*on_overflow)(void *ctx), void *ctx)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), rc;
    struct file_watch *w;

    if (fd < 0)
        return NULL;
    w = mem_new(sizeof *w);
    w->fd = fd;
    w->on_overflow = on_overflow;
    w->ctx = ctx;
    rc = uv_poll_init(loop, &w->poll, fd);
    assert(rc == 0);
    w->poll.data = w;
    rc = uv_poll_start(&w->poll, UV_READABLE, on_readable);
    assert(rc == 0);
    return w;
}

static void on_closed(uv_handle_t *handle)
{
    struct file_watch *w = handle->data;

    (void)close(w->fd); /* events that nobody wants any more */
    mem_free(w);
}

static void forget(void *at)
{
    struct number *n = at;

    for (struct file_watch_entry *e = n->entries; e != NULL; e = e->next)
        e->number = 0;
    mem_free(n);
}

void file_watch_stop(struct file_watch *w)
{
    if (w == NULL)
        return;
    tdestroy(w->numbers, forget);
    uv_close((uv_handle_t *)&w->poll, on_closed);
}

struct rc file_watch_add(
    struct file_watch *w, struct file_watch_entry *e, const char *path, bool folder, struct err *err)
{
    struct number *n;
    int number;

    assert(e->number == 0);
    number = inotify_add_watch(w->fd, path, folder ? FOLDER_EVENTS : FILE_EVENTS);
    if (number < 0)
        return rc_raise_sys(err, errno == ENOSPC ? E_NOSPACE : rc_from_errno(errno), errno, "watch %s", path);
    n = find(w, number);
    if (n == NULL) {
        n = mem_new(sizeof *n);
        n->number = number;
        if (tsearch(n, &w->numbers, compare) == NULL) {
            mem_free(n);
            (void)inotify_rm_watch(w->fd, number);
            return rc_raise(err, E_NOMEM, "watch %s", path);
        }
    }
    e->number = number;
    e->next = n->entries;
    n->entries = e;
    return RC_OK;
}

void file_watch_remove(struct file_watch *w, struct file_watch_entry *e)
{
    struct file_watch_entry **at;
    struct number *n;

    if (w == NULL || e->number == 0)
        return;
    n = find(w, e->number);
    assert(n != NULL);
    for (at = &n->entries; *at != e; at = &(*at)->next)
        assert(*at != NULL);
    *at = e->next;
    if (n->entries == NULL) {
        (void)inotify_rm_watch(w->fd, e->number); /* gone already, perhaps, and its last event is on the way */
        drop(w, n);
    }
    e->number = 0;
    e->next = NULL;
}
