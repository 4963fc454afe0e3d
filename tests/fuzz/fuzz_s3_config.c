/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs and options of a replica on S3.  The first line is the URL, each further one an option name=value or, with a
 * capital, a variable of the environment.  Whatever is accepted must give requests that can be sent, and no accepted or
 * refused text may carry a secret into a message.
 */
#include "fsys.h"
#include "s3_config.h"
#include "s3_uri.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 16, SIZE_MAX_TRIED = 16 << 10 };

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* No file is read here. */
static int no_open(const struct fsys *fs, const char *path, int flags, mode_t mode)
{
    (void)fs;
    (void)path;
    (void)flags;
    (void)mode;
    return -1;
}

static void try_uri(const char *url)
{
    struct s3_uri uri;
    struct err err;

    if (rc_failed(s3_uri_parse(url, &uri, &err)))
        return;
    require(strstr(url, "://") != NULL && uri.param_count <= S3_URI_PARAMS_MAX);
    require(uri.path[0] == 0 || uri.path[0] == '/');
    for (size_t i = 0; i < uri.param_count; i++)
        require(uri.params[i].name != NULL && uri.params[i].value != NULL);
    s3_uri_fini(&uri);
}

static void check(const struct s3_config *c)
{
    struct buf path, host, back;
    struct err err;

    buf_init(&path, 64 << 10);
    buf_init(&host, 4096);
    buf_init(&back, 64 << 10);
    require(c->bucket[0] != 0 && c->quirk != NULL && c->addressing != S3_ADDRESS_AUTO);
    require((c->access_key == NULL) == (c->secret_key == NULL));
    require(c->part_size >= c->quirk->part_size_min && c->part_size <= S3_CONFIG_PART_SIZE_MAX);
    require(!rc_failed(s3_config_path(c, "a/b%", &path, &err)));
    require(!rc_failed(s3_config_host(c, &host, &err)));
    require(!rc_failed(s3_uri_decode(buf_span(&path), "path", &back, &err)));
    require(buf_str(&back)[0] == '/' && strstr(buf_str(&back), c->prefix) != NULL);
    require(strcmp(buf_str(&back) + back.size - 4, "a/b%") == 0);
    require(strcmp(buf_str(&path) + path.size - 6, "a/b%25") == 0);
    for (const char *at = buf_str(&host); *at != 0; at++)
        require(*at > ' ' && *at <= '~' && *at != '/' && *at != '@');
    buf_fini(&path);
    buf_fini(&host);
    buf_fini(&back);
}

static void try_config(char *text)
{
    static const struct fsys no_files = {.open = no_open};
    struct store_option options[LINES_MAX];
    const char *environ_pairs[LINES_MAX + 1] = {NULL};
    size_t count = 0, env_count = 0;
    char *url = strsep(&text, "\n"), *line;
    struct s3_config *c = NULL;
    struct err err = {0};

    while ((line = strsep(&text, "\n")) != NULL) {
        char *equals = strchr(line, '=');

        if (line[0] >= 'A' && line[0] <= 'Z' && env_count < LINES_MAX) {
            environ_pairs[env_count++] = line;
        } else if (equals != NULL && count < LINES_MAX) {
            *equals = 0;
            options[count++] = (struct store_option){line, equals + 1};
        }
    }
    if (rc_failed(s3_config_parse(&c, &no_files, url, options, count, environ_pairs, &err))) {
        require(c == NULL && err.code == E_CONFIG && err.msg[0] != 0);
        for (size_t i = 0; i < count; i++)
            if (strcmp(options[i].name, "secret-key") == 0 && strlen(options[i].value) > 16
                && strchr(options[i].value, 'S') != NULL)
                require(strstr(err.msg, options[i].value) == NULL || strstr(url, options[i].value) != NULL);
        return;
    }
    check(c);
    s3_config_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size > SIZE_MAX_TRIED)
        return 0;
    text = malloc(size + 1);
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = 0;
    try_uri(text);
    try_config(text);
    free(text);
    return 0;
}
