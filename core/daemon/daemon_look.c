/* SPDX-License-Identifier: Apache-2.0 */
/* What the system says of the files of many databases that are not open: asked in a lane, because a disk may be slow.
 */
#include "daemon_intern.h"

#include "alloc.h"

#include <string.h>

enum { BATCH_MAX = 500 };

struct look {
    struct daemon_item *item;
    const char *path;       /* borrowed: the item stays while it is looked at */
    const char *state_base; /* borrowed: as long as the folder */
    bool first;             /* what an earlier process left behind counts, too */
    struct park_mark_file db, log;
    struct daemon_left *left; /* owned; NULL: there is none */
    struct err err;
};

struct daemon_look {
    struct daemon *daemon;
    struct work_item work;
    size_t count;
    struct look looks[BATCH_MAX];
};

static void left_free(struct daemon_left *left)
{
    if (left == NULL)
        return;
    local_scrub_fini(&left->scrub);
    mem_free(left);
}

static struct daemon_left *read_left(const struct fsys *fs, const char *dir)
{
    struct park_mark mark;
    struct daemon_left *left;

    if (!park_mark_read(fs, dir, &mark))
        return NULL;
    left = mem_new(sizeof *left);
    left->mark = mark;
    local_drill_read(fs, dir, &left->drill);
    local_scrub_read(fs, dir, &left->scrub);
    return left;
}

static void look_at(struct look *k, const struct fsys *fs)
{
    CLEANUP(mem_freep) char *log = mem_printf("%s-wal", k->path), *dir = local_place_dir(k->path, k->state_base);
    struct rc rc;

    if (k->first)
        k->left = read_left(fs, dir);
    k->err.code = E_OK;
    rc = park_mark_look(fs, k->path, &k->db, &k->err);
    if (!rc_failed(rc))
        rc = park_mark_look(fs, log, &k->log, &k->err);
    rc_ignore(rc, "it is in the struct");
}

static void run(struct work_item *work)
{
    struct daemon_look *b = work->owner;

    for (size_t i = 0; i < b->count; i++)
        look_at(&b->looks[i], b->daemon->fs);
}

static void on_done(struct work_item *work)
{
    struct daemon_look *b = work->owner;
    struct daemon *d = b->daemon;

    d->look = NULL;
    for (size_t i = 0; i < b->count; i++)
        b->looks[i].item->in_look = false;
    for (size_t i = 0; i < b->count; i++) {
        const struct look *k = &b->looks[i];

        daemon_item_judge(k->item, &k->db, &k->log, k->left, &k->err);
        left_free(k->left);
    }
    mem_free(b);
    daemon_look_run(d);
    daemon_stop_looked(d);
    daemon_check_end(d);
}

void daemon_look_run(struct daemon *d)
{
    struct daemon_look *b;

    if (d->look != NULL || d->looks == NULL || d->stopping)
        return;
    b = mem_new(sizeof *b);
    b->daemon = d;
    while (d->looks != NULL && b->count < BATCH_MAX) {
        struct daemon_item *item = d->looks;

        d->looks = item->look_next;
        if (d->looks == NULL)
            d->looks_last = &d->looks;
        item->look_due = false;
        item->in_look = true;
        b->looks[b->count++] = (struct look){.item = item,
            .path = item->path,
            .state_base = item->folder->settings.set.state_dir,
            .first = item->state == DAEMON_ITEM_NEW};
    }
    b->work.owner = b;
    b->work.run = run;
    b->work.done = on_done;
    d->look = b;
    work_lane(d->work, d->lane++ % work_lane_count(d->work), &b->work);
}
