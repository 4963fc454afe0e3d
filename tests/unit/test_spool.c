/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "alloc.h"
#include "fault_fsys.h"
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char top[] = "/tmp/test_spool.XXXXXX";
static char dir[100];

static int make_top(void **state)
{
    (void)state;
    if (mkdtemp(top) == NULL)
        return -1;
    (void)snprintf(dir, sizeof dir, "%s/app.db-weir/spool", top);
    return 0;
}

static int remove_top(void **state)
{
    char parent[100];

    (void)state;
    (void)snprintf(parent, sizeof parent, "%s/app.db-weir", top);
    (void)rmdir(dir); /* a test may not have made it */
    (void)rmdir(parent);
    return rmdir(top);
}

static struct spool *open_spool(uint64_t limit)
{
    struct spool *s;
    struct err err;

    assert_ok_err(spool_open(&s, &fsys_real, dir, limit, &err), &err);
    return s;
}

static void put(struct spool *s, const struct spool_name *name, const char *text)
{
    struct err err;

    assert_ok_err(spool_put(s, name, (struct span){(const uint8_t *)text, strlen(text)}, &err), &err);
}

static void assert_content(struct spool *s, const struct spool_name *name, const char *want)
{
    struct buf got;
    struct err err;

    buf_init(&got, 1000);
    assert_ok_err(spool_get(s, name, &got, &err), &err);
    assert_int_equal(got.size, strlen(want));
    assert_memory_equal(got.data, want, got.size);
    buf_fini(&got);
}

static const struct spool_name segment = {.timeline = 2, .first_txid = 0x1f};
static const struct spool_name part = {
    .timeline = 2, .first_txid = 0x1f, .is_part = true, .number = 10, .run = {{0xab, 0xcd, 0xef, 0x01, 0x99}}};

static void test_put_get_drop(void **state)
{
    struct spool *s = open_spool(1000);
    struct buf none;
    struct err err;

    (void)state;
    assert_int_equal(spool_bytes(s), 0);
    put(s, &segment, "a segment");
    put(s, &part, "part");
    assert_int_equal(spool_bytes(s), 13);
    assert_content(s, &segment, "a segment");
    assert_content(s, &part, "part");
    spool_drop(s, &part);
    assert_int_equal(spool_bytes(s), 9);
    buf_init(&none, 100);
    assert_fails(spool_get(s, &part, &none, &err), E_NOTFOUND);
    buf_fini(&none);
    spool_close(s);

    s = open_spool(1000); /* a later process finds what is there */
    assert_int_equal(spool_bytes(s), 9);
    assert_ok_err(spool_clear(s, &err), &err);
    assert_int_equal(spool_bytes(s), 0);
    spool_close(s);
}

static void test_order(void **state)
{
    struct spool *s = open_spool(1000);
    struct spool_name *names, later = segment, second_part = part;
    struct err err;
    char junk[200];
    size_t count;
    int fd;

    (void)state;
    later.first_txid = 0x20;
    second_part.number = 11;
    put(s, &later, "x");
    put(s, &segment, "x");
    put(s, &second_part, "x");
    put(s, &part, "x");
    (void)snprintf(junk, sizeof junk, "%s/00000002-0000000000000021-s.tmp", dir);
    fd = open(junk, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);

    assert_ok_err(spool_list(s, &names, &count, &err), &err);
    assert_int_equal(count, 4);
    assert_true(names[0].is_part);
    assert_int_equal(names[0].number, 10);
    assert_memory_equal(names[0].run.bytes, part.run.bytes, 4);
    assert_true(names[1].is_part);
    assert_int_equal(names[1].number, 11);
    assert_false(names[2].is_part);
    assert_int_equal(names[2].first_txid, 0x1f);
    assert_int_equal(names[2].timeline, 2);
    assert_int_equal(names[3].first_txid, 0x20);
    mem_free(names);
    spool_close(s);

    s = open_spool(1000); /* what a crash left half-written is swept */
    assert_int_equal(access(junk, F_OK), -1);
    assert_int_equal(spool_bytes(s), 4);
    assert_ok_err(spool_clear(s, &err), &err);
    spool_close(s);
}

static void test_limit(void **state)
{
    struct spool *s = open_spool(10);
    struct spool_name *names, next = segment;
    char want[200];
    struct err err;
    size_t count;

    (void)state;
    next.first_txid++;
    put(s, &segment, "12345678");
    assert_fails(spool_put(s, &next, (struct span){(const uint8_t *)"abc", 3}, &err), E_NOSPACE);
    (void)snprintf(want, sizeof want, "spool %s: full: 8 of 10 bytes are used", dir);
    assert_string_equal(err.msg, want);
    assert_ok_err(spool_list(s, &names, &count, &err), &err);
    assert_int_equal(count, 1);
    mem_free(names);
    put(s, &next, "ab"); /* exactly full */
    assert_int_equal(spool_bytes(s), 10);
    assert_ok_err(spool_clear(s, &err), &err);
    spool_close(s);
}

/* Whatever fails, a file is there whole or not at all, and the error tells the cause. */
static void test_faults(void **state)
{
    long n;

    (void)state;
    for (n = 1;; n++) {
        struct fault_fsys f;
        struct spool *s, *after;
        struct spool_name *names;
        struct err err, ignored;
        size_t count;
        struct rc rc;

        fault_fsys_init(&f, FAULT_ONCE, n, ENOSPC);
        f.short_io = true;
        rc = spool_open(&s, &f.fs, dir, 1000, &err);
        if (!rc_failed(rc)) {
            rc = spool_put(s, &segment, (struct span){(const uint8_t *)"whole", 5}, &err);
            spool_close(s);
        }
        assert_int_equal(f.open_fds, 0);
        after = open_spool(1000);
        assert_ok_err(spool_list(after, &names, &count, &ignored), &ignored);
        assert_true(count <= 1);
        if (count == 1)
            assert_content(after, &segment, "whole");
        mem_free(names);
        assert_ok_err(spool_clear(after, &ignored), &ignored);
        spool_close(after);
        if (f.fired == 0) {
            assert_ok_err(rc, &err);
            break;
        }
        if (rc_failed(rc))
            assert_non_null(strstr(err.msg, strerrordesc_np(ENOSPC)));
        else
            assert_int_equal(count, 1);
    }
    assert_in_range(n, 5, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_drop),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests_name("spool", tests, make_top, remove_top);
}
