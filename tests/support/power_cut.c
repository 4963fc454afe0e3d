/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power_cut - makes the files of a database as a power cut could have left them.
 *
 *     power_cut begin TRACE DB         nobody has it open; what is there now is safe
 *     power_cut cut TRACE DB SEED      everybody is dead; afterwards what is there is safe, and the trace begins anew
 *
 * The trace is what power_vfs.c wrote down; its head says what is modelled.  Until a sync each piece of a write (512
 * bytes or 4 KiB, by the seed) may or may not be on the disk, in any order, and so may a change of size or name; a file
 * may have its new size with zeros where nothing arrived.  The seed chooses among: nothing that was not synced arrived,
 * all of it, the first so many changes with the last of them torn, or any subset.
 *
 * Before that the trace proves itself: replayed in full it must give the files as they are.  Otherwise somebody wrote
 * to them past the layer (exit status 3).
 *
 * It prints what it did: how many changes were not safe, and which fate they met.
 */
#include "check.h"
#include "power_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES_MAX = 4096, PATH_ROOM = 4096 };

struct bytes {
    uint8_t *data; /* owned */
    size_t size;
};

/* A file, whatever its name is or was. */
struct node {
    struct bytes safe, seen;
    bool unsure; /* its last change was announced by a process that died before it was carried out, or after */
};

struct change {
    enum power_trace_op op; /* WRITE, TRUNCATE; CREATE and DELETE give `name` the node `to` */
    struct node *node;
    size_t off, size;
    const uint8_t *data; /* in the trace; borrowed */
    uint32_t name;
    struct node *to;
    bool gone; /* safe, or lost */
};

static struct bytes trace;
static const char *database;
static struct node nodes[NODES_MAX];
static size_t node_count;
static struct node *safe_name[POWER_TRACE_FILES], *seen_name[POWER_TRACE_FILES];
static struct change *changes;
static size_t change_count, change_room;

static _Noreturn void die(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
static _Noreturn void die(int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("power_cut: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, " (%s)\n", strerror(errno));
    va_end(args);
    exit(status);
}

/* --- bytes and files --------------------------------------------------------------------------------------------- */

static void set_size(struct bytes *b, size_t size)
{
    if (size > b->size) {
        b->data = realloc(b->data, size);
        if (b->data == NULL)
            die(1, "no memory for %zu bytes", size);
        memset(b->data + b->size, 0, size - b->size);
    }
    b->size = size;
}

static void put(struct bytes *b, size_t off, const uint8_t *data, size_t size)
{
    if (off + size > b->size)
        set_size(b, off + size);
    memcpy(b->data + off, data, size);
}

/* false: there is none. */
static bool load(const char *path, struct bytes *out)
{
    FILE *f = fopen(path, "rb");
    long size;

    *out = (struct bytes){0};
    if (f == NULL && errno == ENOENT)
        return false;
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0)
        die(1, "read %s", path);
    set_size(out, (size_t)size);
    if (fread(out->data, 1, out->size, f) != out->size)
        die(1, "read %s", path);
    (void)fclose(f);
    return true;
}

static void save(const char *path, const void *data, size_t size, const char *mode)
{
    FILE *f = fopen(path, mode);

    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        die(1, "write %s", path);
}

static void path_of(char path[PATH_ROOM], const char *suffix)
{
    (void)snprintf(path, PATH_ROOM, "%s%s", database, suffix);
}

/* --- replay ------------------------------------------------------------------------------------------------------ */

static struct node *new_node(void)
{
    if (node_count == NODES_MAX)
        die(1, "more than %d files", NODES_MAX);
    return &nodes[node_count++];
}

static void add_change(struct change c)
{
    if (change_count == change_room) {
        change_room = change_room == 0 ? 1024 : change_room * 2;
        changes = realloc(changes, change_room * sizeof *changes);
        if (changes == NULL)
            die(1, "no memory for %zu changes", change_room);
    }
    changes[change_count++] = c;
}

static bool is_name(const struct change *c)
{
    return c->op == POWER_TRACE_CREATE || c->op == POWER_TRACE_DELETE;
}

static void settle(struct change *c)
{
    if (c->op == POWER_TRACE_WRITE)
        put(&c->node->safe, c->off, c->data, c->size);
    else if (c->op == POWER_TRACE_TRUNCATE)
        set_size(&c->node->safe, c->off);
    else
        safe_name[c->name] = c->to;
    c->gone = true;
}

static void drop_gone(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < change_count; i++)
        if (!changes[i].gone)
            changes[kept++] = changes[i];
    change_count = kept;
}

/* What was written to the file, or what happened to names, is safe now. */
static void sync_file(const struct node *node)
{
    for (size_t i = 0; i < change_count; i++)
        if (node != NULL ? changes[i].node == node : is_name(&changes[i]))
            settle(&changes[i]);
    drop_gone();
}

static void replay_one(const struct power_trace_record *r, const uint8_t *data)
{
    struct node *n = seen_name[r->file];
    struct change c = {.op = (enum power_trace_op)r->op, .node = n, .off = r->off, .size = r->size, .data = data};

    if (r->op == POWER_TRACE_CREATE || r->op == POWER_TRACE_DELETE) {
        c.node = NULL;
        c.name = r->file;
        c.to = r->op == POWER_TRACE_CREATE ? new_node() : NULL;
        seen_name[r->file] = c.to;
        add_change(c);
        return;
    }
    if (r->op == POWER_TRACE_SYNC_NAMES) {
        sync_file(NULL);
        return;
    }
    if (n == NULL)
        die(3, "the trace writes to %s%s, which does not exist", database, power_trace_suffix[r->file]);
    if (r->op == POWER_TRACE_SYNC) {
        sync_file(n);
        return;
    }
    n->unsure = n->unsure || r->done == 0;
    if (r->op == POWER_TRACE_WRITE)
        put(&n->seen, r->off, data, r->size);
    else
        set_size(&n->seen, r->off);
    add_change(c);
}

static void replay(const char *path)
{
    struct power_trace_head head = {0};
    size_t at = sizeof head;

    if (!load(path, &trace) || trace.size < sizeof head)
        die(1, "no trace at %s", path);
    memcpy(&head, trace.data, sizeof head);
    if (head.magic != POWER_TRACE_MAGIC || head.end > trace.size)
        die(1, "%s is no trace", path);
    while (at < head.end) {
        struct power_trace_record r;

        memcpy(&r, trace.data + at, sizeof r);
        at += sizeof r;
        if (r.file >= POWER_TRACE_FILES || r.op > POWER_TRACE_SYNC_NAMES)
            die(1, "%s is damaged", path);
        replay_one(&r, trace.data + at);
        at += r.op == POWER_TRACE_WRITE ? r.size : 0;
    }
}

/* The trace holds everything that happened to the files. */
static void prove(void)
{
    for (uint32_t i = 0; i < POWER_TRACE_FILES; i++) {
        const struct node *n = seen_name[i];
        char path[PATH_ROOM];
        struct bytes now;
        bool there;

        path_of(path, power_trace_suffix[i]);
        there = load(path, &now);
        if (there != (n != NULL))
            die(3, "%s %s, the trace says otherwise", path, there ? "exists" : "does not exist");
        if (n != NULL && !n->unsure
            && (now.size != n->seen.size || (now.size > 0 && memcmp(now.data, n->seen.data, now.size) != 0)))
            die(3, "%s: %zu bytes are not what the trace says (%zu bytes): somebody wrote past the layer", path,
                now.size, n->seen.size);
        free(now.data);
    }
}

/* --- the cut ----------------------------------------------------------------------------------------------------- */

enum fate { FATE_NONE, FATE_ALL, FATE_FIRST, FATE_ANY, FATE_COUNT };
static const char *const fate_text[FATE_COUNT] = {"none arrived", "all arrived", "the first arrived", "some arrived"};

/* The pieces of a write that arrive. */
static void tear(const struct change *c, size_t piece, uint64_t *seed, bool in_order)
{
    uint64_t most = in_order ? check_random(seed) % (c->size / piece + 1) : UINT64_MAX;

    for (size_t at = c->off, end = c->off + c->size, next; at < end && most > 0; at = next) {
        next = (at / piece + 1) * piece;
        next = next < end ? next : end;
        if (in_order)
            most--;
        else if ((check_random(seed) & 1) != 0)
            continue;
        put(&c->node->safe, at, c->data + (at - c->off), next - at);
    }
}

static void decide(struct change *c, enum fate fate, size_t index, size_t whole, size_t piece, uint64_t *seed)
{
    bool arrives = fate == FATE_ALL || (fate == FATE_FIRST && index < whole);

    if (fate == FATE_ANY && c->op != POWER_TRACE_WRITE)
        arrives = (check_random(seed) & 1) != 0;
    if (arrives)
        settle(c);
    else if (c->op == POWER_TRACE_WRITE && (fate == FATE_ANY || (fate == FATE_FIRST && index == whole)))
        tear(c, piece, seed, fate == FATE_FIRST);
}

static void choose(uint64_t *seed)
{
    enum fate data_fate = (enum fate)(check_random(seed) % FATE_COUNT);
    enum fate name_fate = (enum fate)(check_random(seed) % FATE_COUNT);
    size_t whole = check_random(seed) % (change_count + 1), piece = (check_random(seed) & 1) != 0 ? 512 : 4096;

    (void)printf("%zu changes not synced, %s; names: %s\n", change_count, fate_text[data_fate], fate_text[name_fate]);
    for (size_t i = 0; i < change_count; i++)
        decide(&changes[i], is_name(&changes[i]) ? name_fate : data_fate, i, whole, piece, seed);
    /* The size arrived, and zeros where nothing else did. */
    for (size_t i = 0; i < change_count && data_fate != FATE_ALL; i++) {
        struct node *n = changes[i].node;

        if (n != NULL && !changes[i].gone && n->safe.size < n->seen.size && (check_random(seed) & 3) == 0)
            set_size(&n->safe, n->seen.size);
    }
}

/* After a power cut nobody has the index open, so whoever comes first makes it anew; what it holds until then must not
 * matter. */
static void spoil_index(uint64_t *seed)
{
    struct bytes old;
    char path[PATH_ROOM];

    path_of(path, "-shm");
    if (!load(path, &old))
        return;
    switch (check_random(seed) % 3) {
    case 0:
        (void)unlink(path);
        break;
    case 1:
        for (size_t i = 0; i < old.size; i++)
            old.data[i] = (uint8_t)check_random(seed);
        save(path, old.data, old.size, "wb");
        break;
    default:
        break;
    }
    free(old.data);
}

static void make_real(void)
{
    for (uint32_t i = 0; i < POWER_TRACE_FILES; i++) {
        const struct node *n = safe_name[i];
        char path[PATH_ROOM];

        path_of(path, power_trace_suffix[i]);
        if (n != NULL)
            save(path, n->safe.data, n->safe.size, "wb");
        else if (unlink(path) != 0 && errno != ENOENT)
            die(1, "remove %s", path);
    }
}

/* --- a trace begins with what is there -----------------------------------------------------------------------------
 */

static void begin(const char *path)
{
    struct power_trace_head head = {POWER_TRACE_MAGIC, sizeof head};
    struct power_trace_record names = {.op = POWER_TRACE_SYNC_NAMES, .done = 1};
    struct bytes out = {0};

    put(&out, 0, (const uint8_t *)&head, sizeof head);
    for (uint32_t i = 0; i < POWER_TRACE_FILES; i++) {
        struct power_trace_record r = {.op = POWER_TRACE_CREATE, .file = i, .done = 1};
        char file[PATH_ROOM];
        struct bytes now;

        path_of(file, power_trace_suffix[i]);
        if (!load(file, &now))
            continue;
        put(&out, out.size, (const uint8_t *)&r, sizeof r);
        r.op = POWER_TRACE_WRITE;
        r.size = now.size;
        put(&out, out.size, (const uint8_t *)&r, sizeof r);
        if (now.size > 0)
            put(&out, out.size, now.data, now.size);
        r.op = POWER_TRACE_SYNC;
        r.size = 0;
        put(&out, out.size, (const uint8_t *)&r, sizeof r);
        free(now.data);
    }
    put(&out, out.size, (const uint8_t *)&names, sizeof names);
    head.end = out.size;
    memcpy(out.data, &head, sizeof head);
    save(path, out.data, out.size, "wb");
    free(out.data);
}

int main(int argc, char **argv)
{
    uint64_t seed;

    if (argc == 4 && strcmp(argv[1], "begin") == 0) {
        database = argv[3];
        begin(argv[2]);
        return 0;
    }
    if (argc != 5 || strcmp(argv[1], "cut") != 0) {
        (void)fputs("usage: power_cut begin TRACE DB | power_cut cut TRACE DB SEED\n", stderr);
        return 2;
    }
    database = argv[3];
    seed = strtoull(argv[4], NULL, 10);
    replay(argv[2]);
    prove();
    choose(&seed);
    make_real();
    spoil_index(&seed);
    begin(argv[2]);
    for (size_t i = 0; i < node_count; i++) {
        free(nodes[i].safe.data);
        free(nodes[i].seen.data);
    }
    free(changes);
    free(trace.data);
    return 0;
}
