/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_kit - for tests: small files that are remembered beside the database, in a folder of the test's own.
 *
 *     put("drilled", text, size)            what somebody else may have left there
 *     replaced_whatever_fails(write, is)    each write leaves the old file or the new one
 */
#ifndef LOCAL_KIT_H
#define LOCAL_KIT_H

#include "folder_kit.h"

#include "fault_fsys.h"

#include <errno.h>
#include <string.h>

static inline void put(const char *name, const char *text, size_t size)
{
    char path[64];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%.30s", dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* `write` writes the one file or (`after`) another, `is` says whether it is that one which is read.  Every call on
 * files fails in turn: it is the old one or the new one then, and no failure is kept back. */
static inline void replaced_whatever_fails(
    struct rc (*write)(const struct fsys *fs, bool after, struct err *err), bool (*is)(bool after))
{
    struct fault_fsys f;
    struct err err;
    long n;

    for (n = 1;; n++) {
        struct rc rc;

        assert_ok_err(write(&fsys_real, false, &err), &err);
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        rc = write(&f.fs, true, &err);
        assert_true(is(false) || is(true));
        assert_true(!rc_failed(rc) || f.fired > 0);
        if (f.fired == 0)
            break;
    }
    assert_true(is(true));
    assert_in_range(n, 4, 40);
}

#endif
