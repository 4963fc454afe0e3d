/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "digest.h"
#include "fault_fsys.h"
#include "local_state.h"
#include "rng.h"
#include "scrub_parked.h"
#include "store_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TXID = 41 };

static const int64_t now_ms = 1790000000000;

static int64_t fake_wall_ms(const struct clock *c)
{
    (void)c;
    return now_ms;
}

static uint64_t fake_mono_us(const struct clock *c)
{
    (void)c;
    return 1;
}

static const struct clock fake = {fake_wall_ms, fake_mono_us};

/* A file that was a parked database's, its local state, and a disk that may be sick. */
struct rig {
    struct fsys fs; /* must be first */
    char dir[STORE_WAIT_PATH_SIZE], path[STORE_WAIT_PATH_SIZE + 16], log[STORE_WAIT_PATH_SIZE + 16];
    char state_dir[STORE_WAIT_PATH_SIZE + 16];
    uint32_t page_size, count;
    struct page_hash *hashes;
    struct nonce database;
    struct park_mark mark;
    atomic_bool stop;

    uint32_t rotten;      /* page that is read with another bit; 0: none */
    unsigned rotten_left; /* so many reads of it; then it is right */
    uint32_t unreadable;  /* page that cannot be read; 0: none */
    unsigned reads;       /* of the file */
    unsigned act_at;      /* at this read ... */
    void (*act)(struct rig *r);
};

static struct rig *rig_of(const struct fsys *fs)
{
    struct rig *r;

    memcpy(&r, &(const struct fsys *){fs}, sizeof r); /* it is the first member */
    return r;
}

static bool is_database(const struct rig *r, int fd)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(r->path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static ssize_t sick_pread(const struct fsys *fs, int fd, void *buf, size_t n, off_t off)
{
    struct rig *r = rig_of(fs);
    off_t rotten = (off_t)(r->rotten - 1) * r->page_size + 7, bad = (off_t)(r->unreadable - 1) * r->page_size;
    ssize_t got;

    if (!is_database(r, fd))
        return pread(fd, buf, n, off);
    if (++r->reads == r->act_at)
        r->act(r);
    if (r->unreadable != 0 && bad < off + (off_t)n && bad + r->page_size > off) {
        errno = EIO;
        return -1;
    }
    got = pread(fd, buf, n, off);
    if (r->rotten != 0 && r->rotten_left > 0 && rotten >= off && rotten < off + got) {
        ((uint8_t *)buf)[rotten - off] ^= 1;
        r->rotten_left--;
    }
    return got;
}

static void put(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(close(fd), 0);
}

static void keep_state(struct rig *r, uint64_t txid)
{
    struct local_state_content c = {.database = r->database,
        .pos = {.timeline = 1,
            .txid = txid,
            .time_ms = now_ms,
            .checksum = page_hash_checksum(r->hashes),
            .page_size = r->page_size,
            .page_count = r->count}};
    struct local_state *ls;
    struct err err;

    assert_ok_err(local_state_open(&ls, &fsys_real, r->state_dir, &err), &err);
    assert_ok_err(local_state_checkpoint(ls, &c, r->hashes, &err), &err);
    local_state_close(ls);
}

static void begin(struct rig *r, uint32_t page_size, uint32_t count)
{
    CLEANUP(mem_freep) uint8_t *pages = mem_new((size_t)page_size * count);
    struct err err;

    memset(r, 0, sizeof *r);
    r->fs = fsys_real;
    r->fs.pread = sick_pread;
    store_wait_scratch(r->dir);
    (void)snprintf(r->path, sizeof r->path, "%s/app.db", r->dir);
    (void)snprintf(r->log, sizeof r->log, "%s/app.db-wal", r->dir);
    (void)snprintf(r->state_dir, sizeof r->state_dir, "%s/app.db-weir", r->dir);
    r->page_size = page_size;
    r->count = count;
    r->hashes = page_hash_new();
    r->database = nonce_new();
    for (size_t i = 0; i < (size_t)page_size * count; i++)
        pages[i] = (uint8_t)rng_u64();
    for (uint32_t p = 1; p <= count; p++)
        assert_ok_err(
            page_hash_set(r->hashes, p, digest_page(p, pages + (size_t)(p - 1) * page_size, page_size), &err), &err);
    put(r->path, pages, (size_t)page_size * count);
    keep_state(r, TXID);
    r->mark = (struct park_mark){.database = r->database,
        .timeline = 1,
        .txid = TXID,
        .checksum = page_hash_checksum(r->hashes),
        .time_ms = now_ms};
    assert_ok_err(park_mark_look(&fsys_real, r->path, &r->mark.db, &err), &err);
    while (!park_mark_settled(&r->mark.db))
        (void)usleep(1000);
}

static void end(struct rig *r)
{
    page_hash_free(r->hashes);
    store_wait_unscratch(r->dir);
}

static struct scrub_parked job(struct rig *r)
{
    return (struct scrub_parked){.fs = &r->fs,
        .clock = &fake,
        .path = r->path,
        .state_dir = r->state_dir,
        .mark = r->mark,
        .interval_ms = 1000000,
        .stop = &r->stop};
}

static void run(struct rig *r, struct scrub_parked *s, enum scrub_parked_end want)
{
    struct err err;

    *s = job(r);
    r->reads = 0;
    assert_ok_err(scrub_parked_run(s, &err), &err);
    assert_int_equal(s->end, want);
}

static void test_nothing_damaged(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct local_scrub note;
        struct scrub_parked s;
        struct rig r;

        begin(&r, sizes[i], (600 << 10) / sizes[i] + 3); /* three chunks */
        run(&r, &s, SCRUB_PARKED_PASSED);
        assert_int_equal(s.page_count, r.count);
        assert_int_equal(r.reads, 3);
        assert_int_equal(local_scrub_damaged(&s.note), 0);
        scrub_parked_fini(&s);
        local_scrub_read(&fsys_real, r.state_dir, &note);
        assert_int_equal(note.passed_pages, r.count);
        assert_int_equal(note.passed_ms, now_ms);
        assert_int_equal(note.next, 1);
        assert_int_equal(note.inode, r.mark.db.inode);
        assert_in_range(note.due_ms, now_ms + 1, now_ms + 1000000);
        local_scrub_fini(&note);
        end(&r);
    }
}

/* It is read twice, listed once, remembered, and right again one day. */
static void test_rotten(void **state)
{
    struct scrub_parked s;
    struct rig r;

    (void)state;
    begin(&r, 4096, 150);
    r.rotten = 70;
    r.rotten_left = 1000;
    for (int i = 0; i < 2; i++) {
        run(&r, &s, SCRUB_PARKED_PASSED);
        assert_int_equal(local_scrub_damaged(&s.note), 1);
        assert_int_equal(s.note.pages[0].pgno, 70);
        assert_int_equal(s.note.pages[0].want, page_hash_get(r.hashes, 70));
        assert_int_not_equal(s.note.pages[0].have, s.note.pages[0].want);
        assert_int_equal(s.note.pages[0].txid, TXID);
        assert_int_equal(s.note.pages[0].found_ms, now_ms);
        assert_int_equal(s.note.pages[0].told, i > 0);
        scrub_parked_fini(&s);
    }
    r.rotten_left = 0;
    run(&r, &s, SCRUB_PARKED_PASSED);
    assert_int_equal(s.note.pages[0].fate, LOCAL_SCRUB_MENDED);
    assert_int_equal(local_scrub_damaged(&s.note), 0);
    scrub_parked_fini(&s);
    end(&r);
}

static void test_unreadable(void **state)
{
    struct scrub_parked s;
    struct rig r;

    (void)state;
    begin(&r, 4096, 150);
    r.unreadable = 3;
    run(&r, &s, SCRUB_PARKED_PASSED);
    assert_int_equal(local_scrub_damaged(&s.note), 1);
    assert_int_equal(s.note.pages[0].pgno, 3);
    assert_int_equal(s.note.pages[0].have, 0);
    assert_int_equal(s.page_count, r.count);
    scrub_parked_fini(&s);
    end(&r);
}

/* What differs only once is nothing. */
static void test_once(void **state)
{
    struct scrub_parked s;
    struct rig r;

    (void)state;
    begin(&r, 4096, 10);
    r.rotten = 7;
    r.rotten_left = 1;
    run(&r, &s, SCRUB_PARKED_PASSED);
    assert_int_equal(r.rotten_left, 0);
    assert_int_equal(r.reads, 2);
    assert_int_equal(s.note.count, 0);
    scrub_parked_fini(&s);
    end(&r);
}

/* --- somebody else ------------------------------------------------------------------------------------------------ */

static void write_page(struct rig *r)
{
    int fd = open(r->path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "new", 3, (off_t)6 * r->page_size), 3);
    assert_int_equal(close(fd), 0);
}

static void write_log(struct rig *r)
{
    put(r->log, "frames", 6);
}

static void replace(struct rig *r)
{
    char other[sizeof r->path + 4];

    (void)snprintf(other, sizeof other, "%s.new", r->path);
    put(other, "another file", 12);
    assert_int_equal(rename(other, r->path), 0);
}

/* A page that differs because the application writes, before the first read, or between the two, is not damaged. */
static void test_written_meanwhile(void **state)
{
    static void (*const acts[])(struct rig *) = {write_page, write_log, replace};

    (void)state;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        for (unsigned at = 1; at <= 2; at++) {
            struct scrub_parked s;
            struct rig r;

            begin(&r, 4096, 10);
            r.rotten = 7;
            r.rotten_left = 1000;
            r.act = acts[i];
            r.act_at = at;
            run(&r, &s, SCRUB_PARKED_MOVED);
            assert_int_equal(s.note.count, 0);
            assert_int_equal(s.note.passed_ms, 0);
            scrub_parked_fini(&s);
            end(&r);
        }
}

/* An application that only reads makes an empty log, and that is nothing. */
static void make_empty_log(struct rig *r)
{
    put(r->log, "", 0);
}

static void test_reader(void **state)
{
    struct scrub_parked s;
    struct rig r;

    (void)state;
    begin(&r, 4096, 10);
    r.rotten = 7;
    r.rotten_left = 1000;
    r.act = make_empty_log;
    r.act_at = 1;
    run(&r, &s, SCRUB_PARKED_PASSED);
    assert_int_equal(s.note.count, 1);
    scrub_parked_fini(&s);
    end(&r);
}

/* Before it begins: nothing is read, and nothing is noted. */
static void test_not_the_marks(void **state)
{
    struct scrub_parked s;
    struct rig r;
    struct stat st;
    char note[sizeof r.state_dir + 16];

    (void)state;
    begin(&r, 4096, 10);
    (void)snprintf(note, sizeof note, "%s/scrubbed", r.state_dir);
    r.mark.txid++;
    run(&r, &s, SCRUB_PARKED_MOVED);
    r.mark.txid--;
    r.mark.checksum ^= 1;
    run(&r, &s, SCRUB_PARKED_MOVED);
    r.mark.checksum ^= 1;
    r.mark.database.bytes[3] ^= 1;
    run(&r, &s, SCRUB_PARKED_MOVED);
    r.mark.database.bytes[3] ^= 1;
    write_page(&r);
    run(&r, &s, SCRUB_PARKED_MOVED);
    assert_int_equal(r.reads, 0);
    assert_int_equal(stat(note, &st), -1);
    end(&r);
}

/* What is known of another file's pages is not known of this one's. */
static void test_other_file(void **state)
{
    struct local_scrub old = {.next = 5, .inode = 1, .unlisted = 3};
    struct scrub_parked s;
    struct err err;
    struct rig r;

    (void)state;
    begin(&r, 4096, 10);
    assert_non_null(local_scrub_add(&old, 2));
    assert_ok_err(local_scrub_write(&fsys_real, r.state_dir, &old, &err), &err);
    local_scrub_fini(&old);
    run(&r, &s, SCRUB_PARKED_PASSED);
    assert_int_equal(s.page_count, 10);
    assert_int_equal(local_scrub_damaged(&s.note), 0);
    scrub_parked_fini(&s);
    end(&r);
}

/* --- stopped ------------------------------------------------------------------------------------------------------ */

static void stop(struct rig *r)
{
    r->stop = true;
}

/* The next one goes on where it was, and what was not confirmed is looked at again. */
static void test_stopped(void **state)
{
    struct scrub_parked s;
    struct rig r;

    (void)state;
    begin(&r, 4096, 200); /* 64 a chunk */
    r.rotten = 70;
    r.rotten_left = 1000;
    r.act = stop;
    r.act_at = 2;
    run(&r, &s, SCRUB_PARKED_STOPPED);
    assert_int_equal(s.page_count, 64);
    assert_int_equal(s.note.next, 65);
    assert_int_equal(s.note.count, 0);
    scrub_parked_fini(&s);
    r.stop = false;
    r.act_at = 0;
    run(&r, &s, SCRUB_PARKED_PASSED);
    assert_int_equal(s.page_count, 136);
    assert_int_equal(s.note.pages[0].pgno, 70);
    scrub_parked_fini(&s);
    end(&r);
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

/* A call that fails is told, or it made no difference; it is never a damaged page. */
static void test_faults(void **state)
{
    unsigned n;
    struct rig r;

    (void)state;
    begin(&r, 4096, 100);
    for (n = 1;; n++) {
        struct fault_fsys f;
        struct scrub_parked s = job(&r);
        struct err err;
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, n, EACCES);
        s.fs = &f.fs;
        rc = scrub_parked_run(&s, &err);
        assert_int_equal(f.open_fds, 0);
        assert_int_equal(local_scrub_damaged(&s.note), 0);
        scrub_parked_fini(&s);
        if (f.fired == 0) {
            assert_ok_err(rc, &err);
            assert_int_equal(s.end, SCRUB_PARKED_PASSED);
            break;
        }
        assert_true(rc_failed(rc) || s.end == SCRUB_PARKED_PASSED || s.end == SCRUB_PARKED_MOVED);
        if (rc_failed(rc))
            assert_non_null(strstr(err.msg, strerrordesc_np(EACCES)));
    }
    assert_in_range(n, 8, 64);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_damaged),
        cmocka_unit_test(test_rotten),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_written_meanwhile),
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_not_the_marks),
        cmocka_unit_test(test_other_file),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
