/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power_disk - what a disk has for certain, and what it has not yet; a part of fault_power.
 *
 * Two states of the tree exist at once: the visible one, which is the real directory, and the safe one, which is kept
 * here: what each name that was touched stands for, and the bytes of each file that was touched.  Between them lies the
 * list of changes, in order.  An fsync moves changes into the safe state; power_loss.h moves some of them, by chance.
 *
 * What goes wrong with the real directory ends the process: a test could not go on.
 */
#ifndef POWER_DISK_H
#define POWER_DISK_H

#include "fsys.h"

/* A file or a directory, whatever names it has. */
struct power_node {
    struct power_node *next;
    bool is_dir;
    char *path; /* of a directory, canonical; owned */
    /* Of a file: */
    bool alive; /* dev and ino name it; false once they may have been given to another file */
    dev_t dev;
    ino_t ino;
    mode_t mode;
    bool loaded;   /* `data` is valid */
    bool dirty;    /* the visible content is another than the safe one */
    bool lossy;    /* and will stay so, because an fsync failed */
    uint8_t *data; /* the safe content; owned */
    size_t size;
    size_t seen_size; /* the visible one, while dirty */
    char *made;       /* during a cut: a name that it has for good; owned */
};

/* An entry of a directory. */
struct power_name {
    struct power_name *next;
    struct power_node *dir;
    char *path;              /* owned */
    struct power_node *safe; /* NULL: no such name */
    bool touched;            /* it was made or removed through the table */
    bool removed;            /* during a cut: by us */
};

struct power_change {
    struct power_change *next;
    enum { CHANGE_WRITE, CHANGE_TRUNCATE, CHANGE_NAMES } kind;
    struct power_node *file;
    size_t off;    /* or the new size */
    uint8_t *data; /* owned */
    size_t size;
    struct power_name *name[2]; /* NULL: overtaken by a later change that is safe */
    struct power_node *to[2];
    struct power_node *sync_dir; /* its fsync makes the names safe */
};

struct power_file {
    struct power_file *next;
    int fd;
    struct power_node *node;
};

struct power_disk {
    struct power_node *nodes;
    struct power_name *names;
    struct power_change *first, **last;
    struct power_file *files;
};

void power_disk_init(struct power_disk *d);
/* All of it: what is visible counts as safe when it is touched next. */
void power_disk_forget(struct power_disk *d);

_Noreturn void power_disk_give_up(const char *what, const char *path);

/* The safe content. */
void power_disk_set_size(struct power_node *n, size_t size);
void power_disk_load(struct power_node *n, const char *path);
void power_disk_put(struct power_node *n, size_t off, const uint8_t *data, size_t size);

struct power_node *power_disk_dir(struct power_disk *d, const char *path);
struct power_node *power_disk_new_file(struct power_disk *d, const struct stat *st);
/* What the path stands for now, NULL for nothing. */
struct power_node *power_disk_visible(struct power_disk *d, const char *path);
/* What the descriptor stands for, NULL when it is not one of ours. */
struct power_node *power_disk_node_of(struct power_disk *d, int fd);
/* The entry for a path, NULL when its directory does not exist.  To be called before the path is changed: at the first
 * time, what is there is taken for safe. */
struct power_name *power_disk_track(struct power_disk *d, const char *path);
/* The file's bytes are about to change, or its last name to go: keep the safe ones. */
struct power_node *power_disk_keep(struct power_disk *d, const struct power_name *name);

/* One more change that is not safe: of bytes, or of one name or two. */
struct power_change *power_disk_add(struct power_disk *d, struct power_change change);
void power_disk_names(
    struct power_disk *d, struct power_name *a, struct power_node *to_a, struct power_name *b, struct power_node *to_b);
/* Make the change safe in full. */
void power_disk_settle(struct power_change *c);
/* The waiting changes of a node leave the list: safe, or lost for good. */
void power_disk_take(struct power_disk *d, struct power_node *n, bool safe);
size_t power_disk_pending(const struct power_disk *d);

#endif
