/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_main - runs a fuzz target over files and directories of files, without a fuzzer: the corpora are tests.
 * Fails when there is nothing to run, because a test without inputs cannot fail.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_SIZE_MAX = 16 << 20, PATH_SIZE = 4096 };

static unsigned long input_count;

static _Noreturn void die(const char *what, const char *path)
{
    (void)fprintf(stderr, "replay: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

/* Into memory of exactly the file's size, so that a sanitizer sees every byte read past its end. */
static void run_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? size : 1);

    if (f == NULL || data == NULL)
        die("open", path);
    if (fread(data, 1, size, f) != size)
        die("read", path);
    (void)fclose(f); /* it was only read */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    input_count++;
}

static void run_directory(const char *path);

static void run(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        die("look at", path);
    if (S_ISDIR(st.st_mode))
        run_directory(path);
    else if (st.st_size <= INPUT_SIZE_MAX)
        run_file(path, (size_t)st.st_size);
    else
        die("too large:", path);
}

static void run_directory(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);

    if (count < 0)
        die("list", path);
    for (int i = 0; i < count; i++) {
        char inside[PATH_SIZE];

        if (names[i]->d_name[0] != '.') {
            if (snprintf(inside, sizeof inside, "%s/%s", path, names[i]->d_name) >= (int)sizeof inside)
                die("name too long:", path);
            run(inside);
        }
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    printf("%lu inputs\n", input_count);
    return input_count > 0 ? 0 : 1;
}
