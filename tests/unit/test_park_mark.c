/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fault_fsys.h"
#include "park_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/test-park-mark-XXXXXX";
static char path[64], parked[64];

static struct park_mark some_mark(void)
{
    struct park_mark m = {.timeline = 3, .txid = 1ULL << 40, .checksum = UINT64_MAX, .time_ms = -5, .replica = 7};

    for (size_t i = 0; i < sizeof m.database.bytes; i++)
        m.database.bytes[i] = (uint8_t)(200 + i);
    m.db = (struct park_mark_file){true, 1, 2, 4096, 1700000000123456789, 1700000000987654321};
    m.log = (struct park_mark_file){.there = false};
    return m;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
}

/* --- the text ----------------------------------------------------------------------------------------------------- */

static void test_there_and_back(void **state)
{
    struct park_mark m = some_mark(), got;
    struct err err;

    (void)state;
    assert_false(park_mark_read(&fsys_real, dir, &got));
    assert_ok_err(park_mark_write(&fsys_real, dir, &m, &err), &err);
    assert_true(park_mark_read(&fsys_real, dir, &got));
    assert_true(nonce_equal(&got.database, &m.database));
    assert_int_equal(got.timeline, m.timeline);
    assert_int_equal(got.txid, m.txid);
    assert_int_equal(got.checksum, m.checksum);
    assert_int_equal(got.time_ms, m.time_ms);
    assert_int_equal(got.replica, m.replica);
    assert_true(park_mark_same(&got.db, &m.db));
    assert_true(park_mark_same(&got.log, &m.log));
    assert_ok_err(park_mark_remove(&fsys_real, dir, &err), &err);
    assert_false(park_mark_read(&fsys_real, dir, &got));
    assert_ok_err(park_mark_remove(&fsys_real, dir, &err), &err);
}

/* No byte of it can be changed, and none is missing or too many. */
static void test_damage(void **state)
{
    struct park_mark m = some_mark(), got;
    char text[4096];
    struct err err;
    size_t n;
    FILE *f;

    (void)state;
    assert_ok_err(park_mark_write(&fsys_real, dir, &m, &err), &err);
    f = fopen(parked, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    assert_int_equal(fclose(f), 0);
    text[n] = 0;
    for (size_t i = 0; i < n; i++) {
        text[i] ^= 1;
        put(parked, text);
        text[i] ^= 1;
        assert_false(park_mark_read(&fsys_real, dir, &got));
    }
    for (size_t i = 0; i < n; i += 7) {
        char c = text[i];

        text[i] = 0;
        put(parked, text);
        text[i] = c;
        assert_false(park_mark_read(&fsys_real, dir, &got));
    }
    text[n] = '\n';
    text[n + 1] = 0;
    put(parked, text);
    assert_false(park_mark_read(&fsys_real, dir, &got));
    assert_ok_err(park_mark_remove(&fsys_real, dir, &err), &err);
}

/* A failing disk leaves the old mark or none that counts, never half a one, and it is told. */
static void test_faults(void **state)
{
    struct park_mark m = some_mark(), got;
    int n;

    (void)state;
    for (n = 1;; n++) {
        struct fault_fsys f;
        struct err err;
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = park_mark_write(&f.fs, dir, &m, &err);
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0) {
            assert_ok_err(rc, &err);
            break;
        }
        assert_true(rc_failed(rc));
        if (park_mark_read(&fsys_real, dir, &got))
            assert_int_equal(got.txid, m.txid);
    }
    assert_in_range(n, 4, 64);
    for (n = 1;; n++) {
        struct fault_fsys f;
        struct err err;
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = park_mark_remove(&f.fs, dir, &err);
        if (f.fired == 0)
            break;
        assert_true(rc_failed(rc));
        assert_ok_err(park_mark_write(&fsys_real, dir, &m, &err), &err);
    }
    assert_in_range(n, 3, 64);
    assert_false(park_mark_read(&fsys_real, dir, &got));
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static struct park_mark_file looked(const char *name)
{
    struct park_mark_file f;
    struct err err;

    assert_ok_err(park_mark_look(&fsys_real, name, &f, &err), &err);
    return f;
}

/* Behind the tick of the clock every change shows, also one that leaves size and content as they were. */
static void test_every_change_shows(void **state)
{
    struct park_mark_file before, now;
    int fd;

    (void)state;
    assert_false(looked(path).there);
    put(path, "content");
    before = looked(path);
    assert_true(before.there);
    assert_int_equal(before.size, 7);
    for (int i = 0; i < 20; i++) {
        while (!park_mark_settled(&before))
            (void)usleep(500);
        assert_true(park_mark_same(&before, (now = looked(path), &now)));
        fd = open(path, O_WRONLY);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, "c", 1, 0), 1);
        assert_int_equal(close(fd), 0);
        now = looked(path);
        assert_false(park_mark_same(&before, &now));
        before = now;
    }
    assert_int_equal(unlink(path), 0);
}

static void test_judge(void **state)
{
    struct park_mark m = some_mark();
    struct park_mark_file db = m.db, log = {0};

    (void)state;
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_STAY);
    log = (struct park_mark_file){.there = true, .inode = 9, .mtime_ns = 8};
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_STAY); /* somebody has opened it, no more */
    log.size = 32;
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_WAKE);
    m.log = log;
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_STAY);
    log.mtime_ns++;
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_WAKE);
    log = (struct park_mark_file){0};
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_WAKE); /* the log is gone */
    log = m.log;
    db.ctime_ns--;
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_WAKE);
    db = m.db;
    db.inode++;
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_WAKE);
    db = m.db;
    db.size = 0;
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_EMPTY);
    db = (struct park_mark_file){0};
    assert_int_equal(park_mark_judge(&m, &db, &log), PARK_GONE);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/a.db", dir);
    (void)snprintf(parked, sizeof parked, "%s/parked", dir);
    return 0;
}

static int teardown(void **state)
{
    char temporary[80];

    (void)state;
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", parked);
    (void)unlink(temporary); /* of a write that failed on purpose */
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_every_change_shows),
        cmocka_unit_test(test_judge),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
