/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_kit - for tests: configurations from text.
 *
 *     c = loads(ENTRY);                                what it says; config_free()
 *     refuses(text, ":3:5: ...");                      the whole message
 *     cmocka_run_group_tests(tests, set_up, remove_dir)
 */
#ifndef CONFIG_KIT_H
#define CONFIG_KIT_H

#include "folder_kit.h"

#include "alloc.h"
#include "config.h"

#include <stdio.h>
#include <string.h>

static char path[64];

static inline void put_file(const char *text)
{
    struct err err;

    assert_ok_err(fsys_write_atomic(&fsys_real, path, text, strlen(text), 0600, &err), &err);
}

static inline struct rc load(const char *text, struct config_request r, struct config **out, struct err *err)
{
    if (text != NULL)
        put_file(text);
    r.fs = &fsys_real;
    if (text != NULL)
        r.file = path;
    return config_load(out, &r, err);
}

static inline struct config *loads_with(const char *text, struct config_request r)
{
    struct config *c = NULL;
    struct err err;

    assert_ok_err(load(text, r, &c, &err), &err);
    return c;
}

static inline struct config *loads(const char *text)
{
    return loads_with(text, (struct config_request){0});
}

/* `message` without the file's name in front, which is put before it when it begins with ':'. */
static inline void refuses_with(const char *text, struct config_request r, const char *message)
{
    struct config *c = NULL;
    struct err err;
    CLEANUP(mem_freep) char *want = mem_printf("%s%s", message[0] == ':' ? path : "", message);

    assert_fails(load(text, r, &c, &err), E_CONFIG);
    assert_string_equal(err.msg, want);
    assert_null(c);
}

static inline void refuses(const char *text, const char *message)
{
    refuses_with(text, (struct config_request){0}, message);
}

/* A whole entry, so that a test needs to write only what it is about. */
#define ENTRY "databases:\n  - path: /a.db\n    replica: file:///r\n"

static inline int set_up(void **state)
{
    int failed = make_dir(state);

    (void)snprintf(path, sizeof path, "%s/weir.yml", dir);
    return failed;
}

#endif
