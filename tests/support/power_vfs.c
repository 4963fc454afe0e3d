/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power_vfs - a layer under SQLite that writes down everything that happens to one database, so that power_cut.c can
 * make the files as a power cut could have left them.
 *
 * A program that is linked with this file and started with POWER_TRACE and POWER_DB in its environment does all its
 * SQLite work through it: the application and weir itself (the gate, checkpoints and resets of the log), each a process
 * of its own, all with one trace.  Without these variables nothing happens.
 *
 * What is modelled:
 *
 *   - Writes, truncations, syncs, creations and deletions of the database, its -wal and its -journal, in the one order
 *     in which all processes make them: each is announced in the trace and carried out under one lock.
 *   - A sync by anybody saves what anybody wrote to that file before, as fsync() does.  The real sync is left out.
 *   - As in SQLite's unix layer, the first sync of a file that was just created saves its directory, too, and a
 *     deletion is safe only where SQLite asks for that.
 *   - The -shm file is not written down: after a power cut its content means nothing to SQLite, whatever it is.
 *
 * What is not: weir's own files (fault_power.h does those), directories above the database, writes through a memory map
 * (SQLite makes none but to the -shm file), a disk that loses what was synced.
 *
 * `PRAGMA power_kill=N`, or POWER_KILL=N from the start: the process dies of SIGKILL in place of its N-th change or
 * sync.
 */
#include "power_trace.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

struct traced_file {
    sqlite3_file base; /* must be first */
    uint32_t file;
    bool fresh; /* created by this handle and not synced since */
    sqlite3_file *real;
};

static sqlite3_vfs layer, *below;
static const char *database;
static int trace_fd = -1;
static struct power_trace_head *head;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static long kill_countdown; /* guarded by `turn` */

static _Noreturn void give_up(const char *what)
{
    perror(what);
    abort();
}

/* --- the trace --------------------------------------------------------------------------------------------------- */

static void take_turn(void)
{
    (void)pthread_mutex_lock(&turn);
    if (flock(trace_fd, LOCK_EX) != 0)
        give_up("power_vfs: lock the trace");
    if (kill_countdown > 0 && --kill_countdown == 0)
        (void)raise(SIGKILL);
}

static void end_turn(void)
{
    if (flock(trace_fd, LOCK_UN) != 0)
        give_up("power_vfs: unlock the trace");
    (void)pthread_mutex_unlock(&turn);
}

/* Returns where the record stands. */
static uint64_t announce(struct power_trace_record r, const void *data)
{
    struct iovec parts[2] = {{&r, sizeof r}, {(void *)(uintptr_t)data, r.op == POWER_TRACE_WRITE ? r.size : 0}};
    uint64_t at = head->end;
    size_t whole = parts[0].iov_len + parts[1].iov_len;

    if (pwritev(trace_fd, parts, 2, (off_t)at) != (ssize_t)whole)
        give_up("power_vfs: write the trace");
    head->end = at + whole;
    return at;
}

static void carried_out(uint64_t at)
{
    const uint64_t yes = 1;

    if (pwrite(trace_fd, &yes, sizeof yes, (off_t)(at + offsetof(struct power_trace_record, done))) != sizeof yes)
        give_up("power_vfs: write the trace");
}

/* Which of the files this is; POWER_TRACE_FILES: none of them. */
static uint32_t which(const char *path)
{
    size_t n = strlen(database);
    uint32_t file = 0;

    if (path == NULL || strncmp(path, database, n) != 0)
        return POWER_TRACE_FILES;
    while (file < POWER_TRACE_FILES && strcmp(path + n, power_trace_suffix[file]) != 0)
        file++;
    return file;
}

/* --- an open file ------------------------------------------------------------------------------------------------ */

static struct traced_file *traced(sqlite3_file *f)
{
    return (struct traced_file *)f;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return traced(f)->real;
}

static int vfs_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int vfs_read(sqlite3_file *f, void *data, int n, sqlite3_int64 off)
{
    return real_of(f)->pMethods->xRead(real_of(f), data, n, off);
}

static int vfs_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 off)
{
    struct power_trace_record r = {POWER_TRACE_WRITE, traced(f)->file, (uint64_t)off, (uint64_t)n, 0};
    uint64_t at;
    int rc;

    take_turn();
    at = announce(r, data);
    rc = real_of(f)->pMethods->xWrite(real_of(f), data, n, off);
    carried_out(at);
    end_turn();
    return rc;
}

static int vfs_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct power_trace_record r = {POWER_TRACE_TRUNCATE, traced(f)->file, (uint64_t)size, 0, 0};
    uint64_t at;
    int rc;

    take_turn();
    at = announce(r, NULL);
    rc = real_of(f)->pMethods->xTruncate(real_of(f), size);
    carried_out(at);
    end_turn();
    return rc;
}

static int vfs_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    take_turn();
    (void)announce((struct power_trace_record){POWER_TRACE_SYNC, traced(f)->file, 0, 0, 1}, NULL);
    if (traced(f)->fresh)
        (void)announce((struct power_trace_record){POWER_TRACE_SYNC_NAMES, traced(f)->file, 0, 0, 1}, NULL);
    traced(f)->fresh = false;
    end_turn();
    return SQLITE_OK;
}

static int vfs_file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int vfs_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int vfs_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int vfs_check_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int vfs_control(sqlite3_file *f, int op, void *arg)
{
    if (op == SQLITE_FCNTL_PRAGMA) {
        char **words = arg; /* an answer, the name, the value */

        if (sqlite3_stricmp(words[1], "power_kill") == 0 && words[2] != NULL) {
            (void)pthread_mutex_lock(&turn);
            kill_countdown = strtol(words[2], NULL, 10);
            (void)pthread_mutex_unlock(&turn);
            return SQLITE_OK;
        }
    }
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int vfs_sector_size(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int vfs_characteristics(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int vfs_shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **out)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), region, size, extend, out);
}

static int vfs_shm_lock(sqlite3_file *f, int first, int count, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), first, count, flags);
}

static void vfs_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int vfs_shm_unmap(sqlite3_file *f, int delete_it)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), delete_it);
}

static int vfs_fetch(sqlite3_file *f, sqlite3_int64 off, int n, void **out)
{
    return real_of(f)->pMethods->xFetch(real_of(f), off, n, out);
}

static int vfs_unfetch(sqlite3_file *f, sqlite3_int64 off, void *page)
{
    return real_of(f)->pMethods->xUnfetch(real_of(f), off, page);
}

static const sqlite3_io_methods methods = {
    .iVersion = 3,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_file_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_check_reserved,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector_size,
    .xDeviceCharacteristics = vfs_characteristics,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
    .xFetch = vfs_fetch,
    .xUnfetch = vfs_unfetch,
};

/* --- files by name ----------------------------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *flags_out)
{
    struct traced_file *t = traced(f);
    uint32_t file = which(path);
    bool existed;
    int rc;

    (void)vfs;
    if (file == POWER_TRACE_FILES)
        return below->xOpen(below, path, f, flags, flags_out); /* it fits: the layer only asks for more room */
    *t = (struct traced_file){.file = file, .real = (sqlite3_file *)(t + 1)};
    take_turn();
    existed = access(path, F_OK) == 0;
    rc = below->xOpen(below, path, t->real, flags, flags_out);
    t->fresh = rc == SQLITE_OK && !existed;
    if (t->fresh)
        (void)announce((struct power_trace_record){POWER_TRACE_CREATE, file, 0, 0, 1}, NULL);
    if (rc == SQLITE_OK && t->real->pMethods->iVersion < 3)
        give_up("power_vfs: this SQLite's file layer is another");
    if (t->real->pMethods != NULL)
        t->base.pMethods = &methods;
    end_turn();
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_names)
{
    uint32_t file = which(path);
    int rc;

    (void)vfs;
    if (file == POWER_TRACE_FILES)
        return below->xDelete(below, path, sync_names);
    take_turn();
    rc = below->xDelete(below, path, 0);
    if (rc == SQLITE_OK)
        (void)announce((struct power_trace_record){POWER_TRACE_DELETE, file, 0, 0, 1}, NULL);
    if (rc == SQLITE_OK && sync_names != 0)
        (void)announce((struct power_trace_record){POWER_TRACE_SYNC_NAMES, file, 0, 0, 1}, NULL);
    end_turn();
    return rc;
}

static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv("POWER_TRACE"), *countdown = getenv("POWER_KILL");

    database = getenv("POWER_DB");
    if (path == NULL || database == NULL)
        return;
    trace_fd = open(path, O_RDWR | O_CLOEXEC);
    if (trace_fd < 0)
        give_up("power_vfs: open the trace");
    head = mmap(NULL, sizeof *head, PROT_READ | PROT_WRITE, MAP_SHARED, trace_fd, 0);
    if (head == MAP_FAILED || head->magic != POWER_TRACE_MAGIC)
        give_up("power_vfs: map the trace");
    kill_countdown = countdown != NULL ? strtol(countdown, NULL, 10) : 0;
    below = sqlite3_vfs_find(NULL);
    if (below == NULL)
        give_up("power_vfs: SQLite has no file layer");
    layer = *below; /* what is not replaced goes straight down */
    layer.zName = "power";
    layer.szOsFile = (int)sizeof(struct traced_file) + below->szOsFile;
    layer.xOpen = vfs_open;
    layer.xDelete = vfs_delete;
    if (sqlite3_vfs_register(&layer, 1) != SQLITE_OK)
        give_up("power_vfs: register");
}
