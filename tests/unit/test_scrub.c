/* SPDX-License-Identifier: Apache-2.0 */
#include "live_kit.h"
#include "scrub.h"

#include <sys/wait.h>
#include <unistd.h>

/* Time passes when the test says so. */
static uint64_t now_us;

static uint64_t fake_mono_us(const struct clock *c)
{
    (void)c;
    return now_us;
}

static int64_t fake_wall_ms(const struct clock *c)
{
    (void)c;
    return 1790000000000;
}

static const struct clock fake = {fake_wall_ms, fake_mono_us};

struct rig {
    struct live g;
    struct scrub s;
    struct scrub_step step;
};

/* All of it in the file. */
static void begin(struct rig *r, uint32_t page_size, const char *setup)
{
    memset(r, 0, sizeof *r);
    now_us = 1000000;
    live_begin(&r->g, page_size, setup);
    live_sql(&r->g, "PRAGMA wal_checkpoint(PASSIVE)");
    live_ship(&r->g);
    r->g.l->clock = &fake;
    r->s.note.next = 1;
}

static void end(struct rig *r)
{
    scrub_fini(&r->s);
    live_end(&r->g);
}

/* Closing the database's file here would drop the locks of weir's connection, so somebody else does it. */
static void flip(struct rig *r, uint32_t pgno, uint32_t at)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        size_t size;
        uint64_t offset = (uint64_t)(pgno - 1) * r->g.page_size + at;
        uint8_t *file = wal_world_file_read(r->g.w.path, &size), other = file[offset] ^ 1;

        wal_world_file_patch(r->g.w.path, offset, &other, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void step(struct rig *r, uint32_t budget, bool recheck)
{
    r->step = (struct scrub_step){.budget = budget, .recheck = recheck};
    scrub_step(&r->s, r->g.l, &r->step);
    assert_int_equal(r->step.err.code, E_OK);
}

/* One pass, from its begin to its end; steps that it took. */
static unsigned pass(struct rig *r)
{
    uint64_t read = 0;

    for (unsigned i = 1; i < 1000; i++) {
        now_us += SCRUB_CONFIRM_US; /* suspects do not stay in the way */
        step(r, UINT32_MAX, false);
        read += r->step.read;
        if (!r->step.passed)
            continue;
        assert_int_equal(read, page_hash_count(r->g.l->hashes));
        assert_int_equal(r->s.note.next, 1);
        return i;
    }
    fail_msg("the pass has no end");
    return 0;
}

/* So long that whatever can be proven is. */
static void settle(struct rig *r)
{
    for (int i = 0; i < 4; i++) {
        now_us += SCRUB_CONFIRM_US;
        step(r, 0, true);
    }
}

static void test_nothing_damaged(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct rig r;

        begin(&r, sizes[i], LIVE_FILL(300, 700));
        (void)pass(&r);
        assert_int_equal(r.s.suspect_count, 0);
        assert_int_equal(r.s.note.passed_pages, page_hash_count(r.g.l->hashes));
        assert_int_equal(r.s.note.passed_ms, 1790000000000);
        step(&r, 1, false); /* a chunk, and no more */
        assert_in_range(r.step.read, 1, SCRUB_CHUNK_SIZE / sizes[i]);
        step(&r, 0, false);
        assert_int_equal(r.step.read, 0);
        end(&r);
    }
}

/* Found by two proofs with a pause between them; looked at again until it is right. */
static void test_damaged(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1024, LIVE_FILL(300, 700));
    flip(&r, 40, 500);
    step(&r, UINT32_MAX, false);
    assert_int_equal(r.s.suspect_count, 1);
    step(&r, 0, false);
    now_us += SCRUB_CONFIRM_US - 1;
    step(&r, 0, false);
    assert_int_equal(r.s.note.count, 0);
    assert_false(r.step.news);
    now_us++;
    step(&r, 0, false);
    assert_true(r.step.news);
    assert_int_equal(r.s.suspect_count, 0);
    assert_int_equal(r.s.note.count, 1);
    assert_int_equal(r.s.note.pages[0].pgno, 40);
    assert_int_equal(r.s.note.pages[0].want, page_hash_get(r.g.l->hashes, 40));
    assert_int_not_equal(r.s.note.pages[0].have, r.s.note.pages[0].want);
    assert_int_equal(r.s.note.pages[0].txid, r.g.l->cap.txid);
    (void)pass(&r);
    settle(&r); /* it is listed once */
    assert_int_equal(local_scrub_damaged(&r.s.note), 1);
    flip(&r, 40, 500);
    step(&r, 0, false);
    assert_int_equal(r.s.note.pages[0].fate, LOCAL_SCRUB_DAMAGED);
    step(&r, 0, true);
    assert_int_equal(r.s.note.pages[0].fate, LOCAL_SCRUB_MENDED);
    assert_true(r.step.news);
    end(&r);
}

/* A suspect that turns out to be right, or that a commit writes, is none. */
static void test_cleared_suspects(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1024, LIVE_FILL(300, 700));
    flip(&r, 40, 500);
    step(&r, UINT32_MAX, false);
    step(&r, 0, false);
    flip(&r, 40, 500);
    settle(&r);
    assert_int_equal(r.s.suspect_count + r.s.note.count, 0);
    flip(&r, 40, 500);
    step(&r, UINT32_MAX, false);
    assert_int_equal(r.s.suspect_count, 1);
    live_sql(&r.g, "UPDATE t SET b = randomblob(700)");
    live_ship(&r.g);
    settle(&r);
    assert_int_equal(r.s.suspect_count + r.s.note.count, 0);
    end(&r);
}

/* A commit writes over the damage, or cuts it off. */
static void test_written_over(void **state)
{
    struct rig r;
    uint32_t last;

    (void)state;
    begin(&r, 1024, LIVE_FILL(300, 700));
    last = page_hash_count(r.g.l->hashes);
    flip(&r, 40, 500);
    flip(&r, last, 500);
    (void)pass(&r);
    settle(&r);
    assert_int_equal(r.s.note.count, 2);
    live_sql(&r.g, "UPDATE t SET b = randomblob(700) WHERE id < 100");
    live_ship(&r.g);
    step(&r, 0, true);
    assert_int_equal(r.s.note.pages[0].fate, LOCAL_SCRUB_DAMAGED); /* the file still has it */
    live_sql(&r.g, "PRAGMA wal_checkpoint(PASSIVE)");
    live_ship(&r.g);
    step(&r, 0, true);
    assert_int_equal(r.s.note.pages[0].fate, LOCAL_SCRUB_WRITTEN);
    assert_int_equal(r.s.note.pages[1].fate, LOCAL_SCRUB_DAMAGED);
    live_sql(&r.g, "DELETE FROM t; VACUUM");
    live_ship(&r.g);
    step(&r, 0, true);
    assert_int_equal(r.s.note.pages[1].fate, LOCAL_SCRUB_WRITTEN);
    end(&r);
}

/* The log has newer pages than the file. */
static void test_not_copied_yet(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1024, LIVE_FILL(300, 700));
    live_sql(&r.g, "PRAGMA wal_autocheckpoint=0");
    live_sql(&r.g, "UPDATE t SET b = randomblob(700)");
    live_ship(&r.g);
    (void)pass(&r);
    assert_int_equal(r.s.suspect_count, 0);
    live_sql(&r.g, "PRAGMA wal_checkpoint(PASSIVE)");
    (void)pass(&r);
    assert_int_equal(r.s.suspect_count, 0);
    /* Copied, and still in the log: from now on it is judged. */
    flip(&r, 40, 500);
    (void)pass(&r);
    settle(&r);
    assert_int_equal(r.s.note.count, 1);
    end(&r);
}

/* The file has newer pages than what was read from the log: a checkpoint was faster.  However long that lasts. */
static void test_checkpoint_was_faster(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1024, LIVE_FILL(300, 700));
    for (int i = 0; i < 5; i++) {
        live_sql(&r.g, "UPDATE t SET b = randomblob(700) WHERE id % 7 = 0");
        live_sql(&r.g, "PRAGMA wal_checkpoint(PASSIVE)");
        step(&r, UINT32_MAX, false);
        assert_true(r.s.suspect_count > 0);
        settle(&r);
        assert_true(r.s.suspect_count > 0);
        assert_int_equal(r.s.note.count, 0);
        live_ship(&r.g);
        settle(&r);
        assert_int_equal(r.s.suspect_count, 0);
        assert_int_equal(r.s.note.count, 0);
        (void)pass(&r);
    }
    end(&r);
}

/* While a reset is possible, or the index is in the middle of a commit, nothing is said. */
static void test_no_proof(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1024, LIVE_FILL(300, 700));
    flip(&r, 40, 500);
    step(&r, UINT32_MAX, false);
    wal_gate_open(r.g.l->conn);
    settle(&r);
    assert_int_equal(r.s.note.count, 0);
    assert_ok_err(wal_gate_close(r.g.l->conn, &r.g.err), &r.g.err);
    r.g.l->cap.inside = true;
    settle(&r);
    assert_int_equal(r.s.note.count, 0);
    r.g.l->cap.inside = false;
    settle(&r);
    assert_int_equal(r.s.note.count, 1);
    end(&r);
}

static void test_hint(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1024, LIVE_FILL(300, 700));
    flip(&r, 40, 500);
    r.step = (struct scrub_step){.hint = 40};
    scrub_step(&r.s, r.g.l, &r.step);
    r.step = (struct scrub_step){.hint = 41}; /* somebody is wrong */
    scrub_step(&r.s, r.g.l, &r.step);
    r.step = (struct scrub_step){.hint = UINT32_MAX};
    scrub_step(&r.s, r.g.l, &r.step);
    settle(&r);
    assert_int_equal(r.s.suspect_count, 0);
    assert_int_equal(r.s.note.count, 1);
    assert_int_equal(r.s.note.pages[0].pgno, 40);
    end(&r);
}

/* More than can be remembered: the pass waits for the suspects, and what is not listed is counted. */
static void test_many(void **state)
{
    enum { DAMAGED = LOCAL_SCRUB_PAGES_MAX + 70 };
    struct rig r;

    (void)state;
    begin(&r, 512, LIVE_FILL(900, 900));
    assert_true(page_hash_count(r.g.l->hashes) > DAMAGED + 10);
    for (uint32_t i = 0; i < DAMAGED; i++)
        flip(&r, 5 + i, 100);
    assert_true(pass(&r) >= DAMAGED / SCRUB_SUSPECTS_MAX);
    settle(&r);
    (void)pass(&r);
    settle(&r);
    (void)pass(&r);
    assert_int_equal(r.s.note.count, LOCAL_SCRUB_PAGES_MAX);
    assert_int_equal(r.s.note.unlisted_last, DAMAGED - LOCAL_SCRUB_PAGES_MAX);
    assert_int_equal(local_scrub_damaged(&r.s.note), DAMAGED);
    for (uint32_t i = 0; i < DAMAGED; i++)
        flip(&r, 5 + i, 100);
    settle(&r);
    (void)pass(&r);
    (void)pass(&r);
    assert_int_equal(local_scrub_damaged(&r.s.note), 0);
    end(&r);
}

/* --- a disk that does not answer -----------------------------------------------------------------------------------
 */

static ssize_t (*whole_pread)(const struct fsys *fs, int fd, void *buf, size_t n, off_t off);
static int sick_fd, sick_errno;
static off_t sick_off;

static ssize_t sick_pread(const struct fsys *fs, int fd, void *buf, size_t n, off_t off)
{
    if (sick_errno != 0 && fd == sick_fd && off <= sick_off && sick_off < off + (off_t)n) {
        errno = sick_errno;
        return -1;
    }
    return whole_pread(fs, fd, buf, n, off);
}

static void test_unreadable(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1024, LIVE_FILL(300, 700));
    whole_pread = r.g.f.fs.pread;
    r.g.f.fs.pread = sick_pread;
    sick_fd = r.g.l->conn->db_fd;
    sick_off = 39 * 1024 + 7;
    sick_errno = EIO;
    (void)pass(&r); /* the others are looked at all the same */
    settle(&r);
    assert_int_equal(r.s.note.count, 1);
    assert_int_equal(r.s.note.pages[0].pgno, 40);
    assert_int_equal(r.s.note.pages[0].have, 0);
    settle(&r);
    assert_int_equal(r.s.note.pages[0].fate, LOCAL_SCRUB_DAMAGED);
    sick_errno = 0;
    settle(&r);
    assert_int_equal(r.s.note.pages[0].fate, LOCAL_SCRUB_MENDED);
    /* Another failure is no page's fault. */
    sick_errno = ENOMEM;
    r.step = (struct scrub_step){.budget = UINT32_MAX};
    scrub_step(&r.s, r.g.l, &r.step);
    assert_int_equal(r.step.err.sys, ENOMEM);
    assert_int_equal(r.s.suspect_count, 0);
    assert_int_equal(r.s.note.count, 1);
    sick_errno = 0;
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_damaged),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_cleared_suspects),
        cmocka_unit_test(test_written_over),
        cmocka_unit_test(test_not_copied_yet),
        cmocka_unit_test(test_checkpoint_was_faster),
        cmocka_unit_test(test_no_proof),
        cmocka_unit_test(test_hint),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_unreadable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
