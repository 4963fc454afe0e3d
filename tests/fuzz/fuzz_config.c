/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: whatever is accepted, is printed without secrets, reads the same again. */
#include "config_print.h"

#include "alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* --- a file system that holds one file ---------------------------------------------------------------------------- */

struct one_file {
    struct fsys fs; /* must be first */
    struct span bytes;
};

static int open_it(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    (void)fs;
    (void)path;
    (void)flags;
    (void)mode;
    return 1000;
}

static int fstat_it(const struct fsys *fs, int fd, struct stat *out)
{
    (void)fd;
    *out = (struct stat){.st_size = (off_t)((const struct one_file *)fs)->bytes.size};
    return 0;
}

static ssize_t pread_it(const struct fsys *fs, int fd, void *buf, size_t n, off_t off)
{
    struct span bytes = ((const struct one_file *)fs)->bytes;

    (void)fd;
    if ((size_t)off >= bytes.size)
        return 0;
    n = n < bytes.size - (size_t)off ? n : bytes.size - (size_t)off;
    memcpy(buf, bytes.data + off, n);
    return (ssize_t)n;
}

static int close_it(const struct fsys *fs, int fd)
{
    (void)fs;
    (void)fd;
    return 0;
}

/* --- reading and printing ----------------------------------------------------------------------------------------- */

static struct config *load(struct span bytes)
{
    static const char *const environ_pairs[] = {"HOME=/root", "EMPTY=", NULL};
    const struct one_file f = {
        .fs = {.open = open_it, .fstat = fstat_it, .pread = pread_it, .close = close_it}, .bytes = bytes};
    struct config *c = NULL;
    struct err err = {0};

    if (!rc_failed(config_load(&c,
            &(struct config_request){.fs = &f.fs, .file = "/f", .environ_pairs = environ_pairs, .any_count = true},
            &err)))
        return c;
    require(c == NULL);
    require(err.code == E_CONFIG || err.code == E_NOMEM);
    require(strncmp(err.msg, "/f:", 3) == 0);
    return NULL;
}

static void print(const struct config *c, bool places, struct buf *out)
{
    buf_init(out, CONFIG_PRINT_MAX);
    config_print_yaml(c, places, out);
    require(out->failed == E_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = load(span_of(data, size)), *again;
    struct buf first, second, plain;

    if (c == NULL)
        return 0;
    print(c, true, &first);
    print(c, false, &plain);
    again = load(buf_span(&first));
    require(again != NULL);
    print(again, false, &second);
    require(plain.size == second.size && memcmp(plain.data, second.data, plain.size) == 0);
    config_free(c);
    config_free(again);
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&plain);
    return 0;
}
