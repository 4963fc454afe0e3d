/* SPDX-License-Identifier: Apache-2.0 */
/* image_kit - for tests: pages into a file in a folder of the test. */
#ifndef IMAGE_KIT_H
#define IMAGE_KIT_H

#include "folder_kit.h"

#include "digest.h"
#include "fault_fsys.h"
#include "fault_power.h"
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static char target[64];

enum { SIZE = 1024 }; /* of a page, where nothing else is said */

static inline int set_up(void **state)
{
    int failed = make_dir(state);

    (void)snprintf(target, sizeof target, "%s/app.db", dir);
    return failed;
}

/* --- helpers ----------------------------------------------------------------------------------------------------- */

static inline void page_of(uint8_t *page, uint32_t size, uint32_t pgno, uint64_t version)
{
    uint64_t seed = (uint64_t)pgno << 32 ^ version;

    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t v = check_random(&seed);

        memcpy(page + i, &v, 8);
    }
}

static inline struct image *create(const struct fsys *fs, uint32_t page_size, uint32_t pages)
{
    struct image *im = NULL;
    struct err err;

    assert_ok_err(image_create(&im, fs, target, page_size, pages, &err), &err);
    return im;
}

/* Pages first .. first + count - 1 in one call. */
static inline struct rc put(
    struct image *im, uint32_t page_size, uint32_t first, uint32_t count, uint64_t version, struct err *err)
{
    uint8_t *pages = malloc((size_t)count * page_size);
    struct rc rc;

    for (uint32_t i = 0; i < count; i++)
        page_of(pages + (size_t)i * page_size, page_size, first + i, version);
    rc = image_put(im, first, pages, count, err);
    free(pages);
    return rc;
}

/* Names in the directory, `.` and `..` not counted; with `temp` only temporary files. */
static inline int count_files(bool temp)
{
    DIR *d = opendir(dir);
    int n = 0;

    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.' && (!temp || strstr(e->d_name, ".weir-tmp-") != NULL);
    (void)closedir(d);
    return n;
}

static inline void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static inline bool file_is(const char *path, const void *data, size_t size)
{
    uint8_t *have = malloc(size + 1);
    FILE *f = fopen(path, "rb");
    bool same;

    assert_non_null(f);
    same = fread(have, 1, size + 1, f) == size && memcmp(have, data, size) == 0;
    (void)fclose(f);
    free(have);
    return same;
}

static inline void scribble(const char *path, off_t at)
{
    int fd = open(path, O_WRONLY);

    assert_int_equal(pwrite(fd, "x", 1, at), 1);
    assert_int_equal(close(fd), 0);
}

#endif
