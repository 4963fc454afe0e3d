/* SPDX-License-Identifier: Apache-2.0 */
#include "check_file.h"

#include "alloc.h"
#include "dbfmt.h"
#include "strx.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct looking {
    struct check_file *out;
    struct check_report *report;
    const struct fsys *fs;
    const struct config_db *db;
    const char *path;
    char *folder; /* owned; the one that the database is in */
    struct stat st;
    struct dbfmt_header header;
};

/* --- the file ----------------------------------------------------------------------------------------------------- */

static const char *describe(enum dbfmt_kind kind)
{
    switch (kind) {
    case DBFMT_DUCKDB:
        return "a DuckDB database, which has no log that could be shipped: keep the data in SQLite, or copy the file "
               "as a whole while it is closed";
    case DBFMT_JOURNAL:
        return "a journal or log of a database: name the database itself";
    case DBFMT_SQLITE:
    case DBFMT_EMPTY:
    case DBFMT_OTHER:
        break;
    }
    return "not a SQLite database, or one that is encrypted as a whole: check the path";
}

static bool read_header(struct looking *l, int fd)
{
    uint8_t head[DBFMT_HEADER_SIZE];
    char size[STRX_HUMAN_SIZE];
    size_t n = (uint64_t)l->st.st_size < sizeof head ? (size_t)l->st.st_size : sizeof head;
    enum dbfmt_kind kind;
    struct err err;

    if (rc_failed(fsys_read_at(l->fs, fd, l->path, head, n, 0, &err))) {
        check_report_add(l->report, "database", CHECK_FAILED, "%s", err.msg);
        return false;
    }
    kind = dbfmt_recognise(span_of(head, n));
    if (kind == DBFMT_EMPTY) {
        check_report_add(l->report, "database", CHECK_OK,
            "%s is empty: weir waits until its application has written to it", l->path);
        return false;
    }
    if (kind != DBFMT_SQLITE) {
        check_report_add(l->report, "database", CHECK_FAILED, "%s is %s", l->path, describe(kind));
        return false;
    }
    if (rc_failed(dbfmt_decode_header(span_of(head, n), &l->header, &err))) {
        check_report_add(l->report, "database", CHECK_FAILED,
            "%s: %s: restore it from a backup, or let its application repair it", l->path, err.msg);
        return false;
    }
    l->out->bytes = (uint64_t)l->st.st_size;
    l->out->page_size = l->header.page_size;
    check_report_add(l->report, "database", CHECK_OK, "%s is SQLite: %s, %" PRIu64 " pages of %" PRIu32 " bytes",
        l->path, strx_format_size(l->out->bytes, size), l->out->bytes / l->header.page_size, l->header.page_size);
    return true;
}

static void tell_missing(struct looking *l)
{
    struct stat st;

    if (l->fs->stat(l->fs, l->folder, &st) != 0 || !S_ISDIR(st.st_mode))
        check_report_add(l->report, "database", CHECK_FAILED,
            "%s is not there, nor is its folder %s: make the folder, or mend the path", l->path, l->folder);
    else
        check_report_add(l->report, "database", CHECK_OK, "%s is not there yet: %s", l->path,
            l->db->restore_if_missing ? "weir restores it from the replica when it begins"
            : l->db->seed != NULL     ? "it begins as a copy of its seed"
                                      : "weir waits until its application makes it");
}

/* Opened for writing first, because weir starts the log over by a commit of its own. */
static bool look_at_file(struct looking *l)
{
    CLEANUP(fsys_closep) struct fsys_fd fd = {l->fs, -1};
    bool writable;

    fd.fd = l->fs->open(l->fs, l->path, O_RDWR | O_NONBLOCK, 0);
    writable = fd.fd >= 0;
    if (!writable && errno != ENOENT && errno != EISDIR)
        fd.fd = l->fs->open(l->fs, l->path, O_RDONLY | O_NONBLOCK, 0);
    if (fd.fd < 0 && errno == ENOENT) {
        tell_missing(l);
        return false;
    }
    if (fd.fd < 0 || l->fs->fstat(l->fs, fd.fd, &l->st) != 0 || !S_ISREG(l->st.st_mode)) {
        check_report_add(l->report, "database", CHECK_FAILED, "%s cannot be read: %s: %s", l->path,
            fd.fd < 0 ? strerror(errno) : "it is no regular file",
            fd.fd < 0 && errno == EACCES ? "run weir as the user that the database belongs to" : "check the path");
        return false;
    }
    if (!read_header(l, fd.fd))
        return false;
    if (!writable)
        check_report_add(l->report, "writable", CHECK_FAILED,
            "%s cannot be written by this user, but weir starts the log over by a commit of its own: run weir as the "
            "user that the database belongs to",
            l->path);
    return true;
}

static uint64_t size_beside(const struct looking *l, const char *suffix)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s%s", l->path, suffix);
    struct stat st;

    return l->fs->stat(l->fs, path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void look_at_mode(const struct looking *l)
{
    uint64_t log = size_beside(l, "-wal");
    char size[STRX_HUMAN_SIZE];

    if (l->header.wal)
        check_report_add(l->report, "journal mode", CHECK_OK, "WAL, with a log of %s", strx_format_size(log, size));
    else if (l->db->no_switch)
        check_report_add(l->report, "journal mode", CHECK_FAILED,
            "%s is in rollback mode and no-switch is set: let its application run PRAGMA journal_mode=WAL, or take "
            "no-switch away",
            l->path);
    else
        check_report_add(l->report, "journal mode", CHECK_OK,
            "rollback: weir switches it to WAL when it begins, which needs a moment in which nobody is in a "
            "transaction");
}

/* --- who has it open ---------------------------------------------------------------------------------------------- */

struct openers {
    const struct looking *l;
    const char *proc;
    char text[CHECK_REPORT_TEXT_MAX / 2];
    size_t count, looked_at;
    bool hidden; /* of some processes we may not know */
};

static bool is_number(const char *name)
{
    return *name != 0 && name[strspn(name, "0123456789")] == 0 && strlen(name) < 12;
}

static void add_opener(struct openers *o, const char *pid)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/%s/comm", o->proc, pid);
    CLEANUP(fsys_closep) struct fsys_fd fd = {o->l->fs, o->l->fs->open(o->l->fs, path, O_RDONLY, 0)};
    char name[32] = "?";
    size_t at = strlen(o->text);
    ssize_t n = fd.fd < 0 ? 0 : o->l->fs->pread(o->l->fs, fd.fd, name, sizeof name - 1, 0);

    if (n > 0)
        name[n] = 0;
    name[strcspn(name, "\n")] = 0;
    if (o->count++ < CHECK_FILE_OPENERS_MAX)
        (void)snprintf(o->text + at, sizeof o->text - at, "%s%s (process %s)", at > 0 ? ", " : "", name, pid);
}

/* Does the process have the file open?  Descriptors of other users are not shown to everybody. */
static void look_at_process(struct openers *o, const char *pid)
{
    CLEANUP(mem_freep) char *folder = mem_printf("%s/%s/fd", o->proc, pid);
    DIR *dir = o->l->fs->opendir(o->l->fs, folder);
    const struct dirent *d;
    struct stat st;
    bool found = false;

    if (dir == NULL) {
        o->hidden = o->hidden || errno == EACCES || errno == EPERM;
        return;
    }
    while (!found && o->looked_at < CHECK_FILE_DESCRIPTORS_MAX && (d = readdir(dir)) != NULL) {
        char path[128];

        if (!is_number(d->d_name))
            continue;
        o->looked_at++;
        (void)snprintf(path, sizeof path, "%.80s/%.20s", folder, d->d_name);
        found =
            o->l->fs->stat(o->l->fs, path, &st) == 0 && st.st_dev == o->l->st.st_dev && st.st_ino == o->l->st.st_ino;
    }
    (void)closedir(dir); /* nothing was written */
    if (found)
        add_opener(o, pid);
}

static void look_at_openers(const struct looking *l, const char *proc)
{
    struct openers o = {.l = l, .proc = proc};
    DIR *dir = l->fs->opendir(l->fs, proc);
    const struct dirent *d;
    char self[16];
    size_t processes = 0;

    (void)snprintf(self, sizeof self, "%ld", (long)getpid());
    if (dir == NULL) {
        check_report_add(l->report, "open by", CHECK_SKIPPED, "%s cannot be read: %s", proc, strerror(errno));
        return;
    }
    while (processes < CHECK_FILE_PROCESSES_MAX && (d = readdir(dir)) != NULL)
        if (is_number(d->d_name) && strcmp(d->d_name, self) != 0) {
            processes++;
            look_at_process(&o, d->d_name);
        }
    (void)closedir(dir); /* nothing was written */
    check_report_add(l->report, "open by", CHECK_OK, "%s%s%s", o.count > 0 ? o.text : "nobody",
        o.count > CHECK_FILE_OPENERS_MAX ? " and more" : "",
        o.hidden ? " (processes of other users do not show their files to this one)" : "");
}

/* --- local state and room ----------------------------------------------------------------------------------------- */

static void look_at_state(struct looking *l, const char *dir)
{
    struct local_state_holder holder = {0};
    char time[STRX_TIME_SIZE];
    struct err err, why = {0};
    struct stat st;

    if (l->fs->stat(l->fs, dir, &st) != 0) {
        check_report_add(l->report, "local state", CHECK_OK, "none yet: weir makes %s when it begins", dir);
        return;
    }
    rc_ignore(local_state_holder(l->fs, dir, &holder, &err), "without the lock nobody holds it");
    l->out->daemon = holder.held;
    if (rc_failed(local_state_peek(l->fs, dir, &l->out->local, &l->out->found, &why))) {
        check_report_add(l->report, "local state", CHECK_FAILED, "%s cannot be read: %s", dir, why.msg);
        return;
    }
    if (l->out->found == LOCAL_STATE_GOOD)
        check_report_add(l->report, "local state", CHECK_OK,
            "timeline %" PRIu32 ", shipped up to txid %" PRIu64 " (%s)", l->out->local.pos.timeline,
            l->out->local.pos.txid, strx_format_time(l->out->local.pos.time_ms, time));
    else if (l->out->found == LOCAL_STATE_BROKEN)
        check_report_add(l->report, "local state", CHECK_WARNING,
            "%s cannot be trusted (%s): the next start compares the whole database with the replica", dir, why.msg);
    else
        check_report_add(l->report, "local state", CHECK_OK, "%s is there, with nothing in it yet", dir);
    if (holder.held)
        check_report_add(l->report, "daemon", CHECK_OK, "process %ld replicates it now", holder.pid);
}

/* The folder of the local state, or what is there of the way to it. */
static char *state_place(const struct looking *l, const char *dir)
{
    struct stat st;
    const char *slash;

    if (l->fs->stat(l->fs, dir, &st) == 0)
        return mem_strdup(dir);
    if (l->db->state_dir == NULL)
        return mem_strdup(l->folder);
    if (l->fs->stat(l->fs, l->db->state_dir, &st) == 0)
        return mem_strdup(l->db->state_dir);
    slash = strrchr(l->db->state_dir, '/'); /* it is absolute */
    return mem_printf("%.*s", slash == l->db->state_dir ? 1 : (int)(slash - l->db->state_dir), l->db->state_dir);
}

static void look_at_folder(const struct looking *l, const char *dir)
{
    CLEANUP(mem_freep) char *folder = state_place(l, dir);
    struct stat st;

    if (l->fs->stat(l->fs, folder, &st) != 0) {
        check_report_add(l->report, "folder", CHECK_FAILED,
            "state-dir %s: the folder above it is not there (a disk that is not mounted?): make it, or name another",
            l->db->state_dir);
        return;
    }
    if (l->fs->may_change == NULL)
        return;
    if (l->fs->may_change(l->fs, l->folder) != 0)
        check_report_add(l->report, "folder", CHECK_FAILED,
            "%s cannot be changed by this user (%s), but SQLite keeps its log there: run weir as the user that the "
            "database belongs to",
            l->folder, strerror(errno));
    else if (l->fs->may_change(l->fs, folder) != 0 && strcmp(folder, dir) != 0)
        check_report_add(l->report, "folder", CHECK_FAILED,
            "%s cannot be changed by this user (%s), but the local state is to be there: give it to this user, or name "
            "another state-dir",
            folder, strerror(errno));
    else if (l->fs->may_change(l->fs, folder) != 0)
        check_report_add(l->report, "folder", CHECK_FAILED,
            "%s cannot be changed by this user (%s): it belongs to whoever ran weir before: run weir as that user, or "
            "give it to this one",
            folder, strerror(errno));
}

/* Two checkpoints of the page hashes, and the log between them; the log of SQLite up to its limit, and the spool. */
static void look_at_space(const struct looking *l, const char *dir)
{
    CLEANUP(mem_freep) char *where = state_place(l, dir);
    enum { HASH_SIZE = 8, SMALL_PAGE = 4096 };
    uint32_t page_size = l->out->page_size != 0 ? l->out->page_size : SMALL_PAGE;
    uint64_t state = 2 * (HASH_SIZE * (l->out->bytes / page_size) + LOCAL_STATE_LOG_MAX), have;
    uint64_t wanted = state + l->db->spool_limit + l->db->log_limit; /* limits have a maximum of 2^50 */
    char free_text[STRX_HUMAN_SIZE], state_text[STRX_HUMAN_SIZE], spool[STRX_HUMAN_SIZE], log[STRX_HUMAN_SIZE];
    const char *place = l->db->at[CONFIG_DB_SPOOL_LIMIT];
    enum check_result result;

    if (l->fs->space == NULL)
        return;
    if (l->db->state_dir != NULL)
        wanted -= l->db->log_limit; /* SQLite's log is beside the database */
    if (l->fs->space(l->fs, where, &have) != 0) {
        check_report_add(l->report, "disk", CHECK_FAILED, "free space below %s: %s", where, strerror(errno));
        return;
    }
    (void)strx_format_size(have, free_text);
    (void)strx_format_size(state, state_text);
    (void)strx_format_size(l->db->spool_limit, spool);
    (void)strx_format_size(l->db->log_limit, log);
    /* A default that is larger than the disk is nobody's wish; what was asked for must be possible. */
    result = have >= wanted ? CHECK_OK : have < state || place != NULL ? CHECK_FAILED : CHECK_WARNING;
    if (result == CHECK_OK)
        check_report_add(l->report, "disk", result,
            "%s free below %s; at most %s for the local state, %s for the log, %s for the spool", free_text, where,
            state_text, log, spool);
    else
        check_report_add(l->report, "disk", result,
            "only %s free below %s, but the local state takes up to %s, and while the replica does not answer the log "
            "%s (log-limit) and the spool %s (spool-limit%s%s): make room, or lower the limits",
            free_text, where, state_text, log, spool, place != NULL ? ", " : "", place != NULL ? place : "");
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

void check_file_run(struct check_file *out, struct check_report *report, const struct fsys *fs,
    const struct config_db *db, const char *path, const char *proc)
{
    CLEANUP(mem_freep) char *dir = local_place_dir(path, db->state_dir);
    struct looking l = {.out = out, .report = report, .fs = fs, .db = db, .path = path};
    const char *slash = strrchr(path, '/');
    struct stat st;

    *out = (struct check_file){.found = LOCAL_STATE_NONE};
    l.folder = slash == NULL ? mem_strdup(".") : mem_printf("%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (look_at_file(&l)) {
        look_at_mode(&l);
        look_at_openers(&l, proc);
    }
    if (fs->stat(fs, l.folder, &st) == 0) {
        look_at_state(&l, dir);
        look_at_folder(&l, dir);
        look_at_space(&l, dir);
    }
    mem_free(l.folder);
}
