/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: a disk that has damaged one byte of a file, which no system call shows but the read of it.  While the file
 * exists that WEIR_TEST_ROTTEN names, its text is "OFFSET PATH": the byte there is read with another bit.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef ssize_t (*read_fn)(int, void *, size_t, off_t);

static int is_rotten(int fd, off_t *at)
{
    const char *name = getenv("WEIR_TEST_ROTTEN");
    FILE *file = name != NULL ? fopen(name, "re") : NULL;
    struct stat named, read;
    char path[4096];
    long long offset;
    int n;

    if (file == NULL)
        return 0;
    n = fscanf(file, "%lld %4095[^\n]", &offset, path);
    (void)fclose(file);
    *at = (off_t)offset;
    return n == 2 && stat(path, &named) == 0 && fstat(fd, &read) == 0 && named.st_dev == read.st_dev
           && named.st_ino == read.st_ino;
}

/* With 64 bits for offsets, as everything here is built, pread() is this symbol; by its own name it is an inline
 * function of the C library's headers. */
__attribute__((visibility("default"))) ssize_t rotten_pread(int fd, void *to, size_t size, off_t off) __asm__(
    "pread64");

ssize_t rotten_pread(int fd, void *to, size_t size, off_t off)
{
    void *symbol = dlsym(RTLD_NEXT, "pread64");
    read_fn real;
    off_t at;
    ssize_t n;

    memcpy(&real, &symbol, sizeof real); /* no pointer to an object is one to a function, says C */
    n = real(fd, to, size, off);
    if (n > 0 && is_rotten(fd, &at) && at >= off && at < off + n)
        ((unsigned char *)to)[at - off] ^= 4;
    return n;
}
