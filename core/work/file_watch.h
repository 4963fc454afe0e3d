/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_watch - file events for very many files and folders by one descriptor (inotify).
 *
 * libuv's own file events ask for every kind of event of a folder, and a busy writer in it would wake us for each of
 * its writes.  Here a folder tells only of names that come and go, and a file of its own changes.
 *
 *     w = file_watch_new(loop, on_overflow, ctx)
 *     file_watch_add(w, &entry, path, folder, err)       the entry's fn and ctx are set
 *     file_watch_remove(w, &entry)
 *     file_watch_stop(w)
 *
 * The receiver of an event only takes a note of it: it must not add or remove watches.  When a watched file is removed,
 * its entry is told (IN_IGNORED) and watches nothing any more.  When events were lost, on_overflow is called.
 *
 * Threads: loop thread only.
 */
#ifndef FILE_WATCH_H
#define FILE_WATCH_H

#include "rc.h"

#include <uv.h>

struct file_watch;

struct file_watch_entry {
    /* `name`: of the entry of a folder, else "".  `mask`: IN_CREATE and so on. */
    void (*fn)(void *ctx, const char *name, uint32_t mask);
    void *ctx;
    int number; /* 0: it watches nothing */
    struct file_watch_entry *next;
};

/* NULL: the system has no more such descriptors. */
struct file_watch *file_watch_new(uv_loop_t *loop, void (*on_overflow)(void *ctx), void *ctx);
/* Stop and free; the entries watch nothing from here on. */
void file_watch_stop(struct file_watch *w);

/* E_NOSPACE: the limit of the system (fs.inotify.max_user_watches) is reached. */
MUST_USE struct rc file_watch_add(
    struct file_watch *w, struct file_watch_entry *e, const char *path, bool folder, struct err *err);
void file_watch_remove(struct file_watch *w, struct file_watch_entry *e);

#endif
