/* SPDX-License-Identifier: Apache-2.0 */
#include "park_mark.h"

#include "alloc.h"
#include "digest.h"
#include "strx.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { TEXT_MAX = 2048, NUMBERS = 19 };

static const char head[] = "weir parked 1\n";

/* --- files -------------------------------------------------------------------------------------------------------- */

static int64_t nanoseconds(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

struct rc park_mark_look(const struct fsys *fs, const char *path, struct park_mark_file *out, struct err *err)
{
    struct stat st;

    *out = (struct park_mark_file){0};
    if (fs->stat(fs, path, &st) != 0) {
        if (errno == ENOENT)
            return RC_OK;
        return rc_raise_sys(err, rc_from_errno(errno), errno, "stat %s", path);
    }
    *out = (struct park_mark_file){
        .there = true,
        .device = st.st_dev,
        .inode = st.st_ino,
        .size = (uint64_t)st.st_size,
        .mtime_ns = nanoseconds(&st.st_mtim),
        .ctime_ns = nanoseconds(&st.st_ctim),
    };
    return RC_OK;
}

bool park_mark_same(const struct park_mark_file *a, const struct park_mark_file *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode && a->size == b->size
           && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

bool park_mark_same_log(const struct park_mark_file *marked, const struct park_mark_file *now)
{
    return park_mark_same(marked, now) || (now->size == 0 && marked->size == 0);
}

bool park_mark_settled(const struct park_mark_file *f)
{
    struct timespec now;

    /* The clock that times of files are taken from. */
    return clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 && nanoseconds(&now) > f->mtime_ns
           && nanoseconds(&now) > f->ctime_ns;
}

uint64_t park_mark_replica(const char *url)
{
    return digest_bytes(url, strlen(url));
}

enum park_verdict park_mark_judge(
    const struct park_mark *mark, const struct park_mark_file *db, const struct park_mark_file *log)
{
    if (!db->there)
        return PARK_GONE;
    if (db->size == 0)
        return PARK_EMPTY;
    return park_mark_same(&mark->db, db) && park_mark_same_log(&mark->log, log) ? PARK_STAY : PARK_WAKE;
}

/* --- the text ----------------------------------------------------------------------------------------------------- */

static const char *const names[NUMBERS] = {"database", "database-2", "timeline", "txid", "checksum", "time", "replica",
    "db-there", "db-device", "db-inode", "db-size", "db-mtime", "db-ctime", "log-there", "log-device", "log-inode",
    "log-size", "log-mtime", "log-ctime"};

static void put_file(uint64_t *at, const struct park_mark_file *f)
{
    at[0] = f->there;
    at[1] = f->device;
    at[2] = f->inode;
    at[3] = f->size;
    at[4] = (uint64_t)f->mtime_ns;
    at[5] = (uint64_t)f->ctime_ns;
}

static void get_file(const uint64_t *at, struct park_mark_file *f)
{
    *f = (struct park_mark_file){at[0] == 1, at[1], at[2], at[3], (int64_t)at[4], (int64_t)at[5]};
}

static void put_numbers(uint64_t numbers[NUMBERS], const struct park_mark *m)
{
    static_assert(sizeof m->database == 2 * sizeof(uint64_t), "two numbers hold a nonce");

    memcpy(numbers, &m->database, sizeof m->database);
    numbers[2] = m->timeline;
    numbers[3] = m->txid;
    numbers[4] = m->checksum;
    numbers[5] = (uint64_t)m->time_ms;
    numbers[6] = m->replica;
    put_file(numbers + 7, &m->db);
    put_file(numbers + 13, &m->log);
}

struct rc park_mark_write(const struct fsys *fs, const char *dir, const struct park_mark *mark, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/parked", dir);
    CLEANUP(buf_fini) struct buf text;
    uint64_t numbers[NUMBERS], check;

    put_numbers(numbers, mark);
    buf_init(&text, TEXT_MAX);
    buf_text(&text, head);
    for (size_t i = 0; i < NUMBERS; i++)
        buf_printf(&text, "%s %016" PRIx64 "\n", names[i], numbers[i]);
    check = digest_bytes(text.data, text.size);
    buf_printf(&text, "check %016" PRIx64 "\n", check);
    TRY(buf_check(&text, path, err));
    return fsys_write_atomic(fs, path, text.data, text.size, 0600, err);
}

/* "name 0123456789abcdef\n" */
static bool take_line(const char **at, const char *name, uint64_t *out)
{
    size_t n = strlen(name);

    if (strncmp(*at, name, n) != 0 || (*at)[n] != ' ' || !strx_hex_fixed(*at + n + 1, 16, out) || (*at)[n + 17] != '\n')
        return false;
    *at += n + 18;
    return true;
}

static bool parse(struct buf *text, struct park_mark *out)
{
    const char *begin = buf_str(text), *at = begin;
    uint64_t n[NUMBERS], check, expected;

    if (strlen(begin) != text->size || strncmp(at, head, strlen(head)) != 0)
        return false;
    at += strlen(head);
    for (size_t i = 0; i < NUMBERS; i++)
        if (!take_line(&at, names[i], &n[i]))
            return false;
    expected = digest_bytes(begin, (size_t)(at - begin));
    if (!take_line(&at, "check", &check) || *at != 0 || check != expected || n[2] > UINT32_MAX)
        return false;
    *out = (struct park_mark){
        .timeline = (uint32_t)n[2], .txid = n[3], .checksum = n[4], .time_ms = (int64_t)n[5], .replica = n[6]};
    memcpy(&out->database, n, sizeof out->database);
    get_file(n + 7, &out->db);
    get_file(n + 13, &out->log);
    return true;
}

bool park_mark_read(const struct fsys *fs, const char *dir, struct park_mark *out)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/parked", dir);
    CLEANUP(buf_fini) struct buf text;
    struct err ignored;

    buf_init(&text, TEXT_MAX);
    return !rc_failed(fsys_read_file(fs, path, &text, &ignored)) && text.size > 0 && parse(&text, out);
}

struct rc park_mark_remove(const struct fsys *fs, const char *dir, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/parked", dir);
    struct park_mark_file there;

    TRY(park_mark_look(fs, path, &there, err));
    if (!there.there)
        return RC_OK;
    TRY(fsys_remove(fs, path, err));
    return fsys_sync_dir(fs, dir, err);
}
