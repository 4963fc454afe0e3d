/* SPDX-License-Identifier: Apache-2.0 */
#include "dashboard.h"

#include <assert.h>
#include <string.h>

struct dashboard_file {
    const char *path, *type;
    const char *tag, *packed_tag;
    const unsigned char *plain, *packed;
    size_t plain_size, packed_size;
};

#include <dashboard_files.h> /* made by dashboard/embed.py */

enum { FILE_SIZE_MAX = 1 << 20 };

/* Inline scripts and styles stay forbidden, so that no text of a database's path or of an error can become one. */
#define POLICY                                                                                                       \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " \
    "form-action 'none'; frame-ancestors 'none'"

static const struct dashboard_file *find(const char *path)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].path, path) == 0)
            return &files[i];
    return NULL;
}

bool dashboard_has(const char *path)
{
    return find(path) != NULL;
}

/* "gzip" in a list of codings, unless it is refused ("gzip;q=0"). */
static bool takes_gzip(const char *accept)
{
    const char *at = accept != NULL ? strstr(accept, "gzip") : NULL;

    return at != NULL && strncmp(at + strlen("gzip"), ";q=0", strlen(";q=0")) != 0;
}

void dashboard_answer(struct http_call *call, const char *path)
{
    const struct dashboard_file *f = find(path);
    const char *known = http_call_header_in(call, "If-None-Match");
    bool packed = takes_gzip(http_call_header_in(call, "Accept-Encoding"));
    CLEANUP(buf_fini) struct buf body;
    const char *tag;

    assert(f != NULL);
    tag = packed ? f->packed_tag : f->tag;
    buf_init(&body, FILE_SIZE_MAX);
    http_call_header(call, "ETag", tag);
    http_call_header(call, "Cache-Control", "no-cache"); /* asked for again each time, sent again only when changed */
    http_call_header(call, "Vary", "Accept, Accept-Encoding");
    http_call_header(call, "Content-Security-Policy", POLICY);
    http_call_header(call, "Referrer-Policy", "no-referrer");
    if (known != NULL && strstr(known, tag) != NULL) {
        http_call_answer(call, 304, f->type, &body);
        return;
    }
    if (packed)
        http_call_header(call, "Content-Encoding", "gzip");
    buf_put(&body, packed ? f->packed : f->plain, packed ? f->packed_size : f->plain_size);
    http_call_answer(call, 200, f->type, &body);
}
