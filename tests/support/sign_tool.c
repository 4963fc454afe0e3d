/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign_tool - signs requests for a comparison with another implementation: one JSON object a line on stdin, one line of
 * JSON on stdout for each.
 *
 *     {"method": "GET", "key": "a/b", "query": [["prefix", "x"]], "headers": [["Host", "h"]], "hash": "...",
 *      "time_ms": 0, "access_key": "", "secret_key": "", "token": "", "region": "", "service": "s3", "expires": 0}
 *
 * With `expires` 0 the answer is {"path": ..., "query": ..., "authorization": ...}, otherwise {"path": ..., "query":
 * ...} of a presigned URL.  What cannot be signed is {"error": ...}.
 */
#include "s3_sign.h"
#include "s3_uri.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_MAX = 1 << 20 };

static const char *text_of(const json_t *request, const char *name)
{
    const char *text = json_string_value(json_object_get(request, name));

    if (text == NULL) {
        (void)fprintf(stderr, "sign_tool: %s is not a string\n", name);
        exit(2);
    }
    return text;
}

static size_t pairs_of(const json_t *request, const char *name, struct s3_sign_param *out)
{
    const json_t *list = json_object_get(request, name);
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count > S3_SIGN_ITEMS_MAX) {
        (void)fprintf(stderr, "sign_tool: %s is not a short list\n", name);
        exit(2);
    }
    for (size_t i = 0; i < count; i++) {
        out[i].name = json_string_value(json_array_get(json_array_get(list, i), 0));
        out[i].value = json_string_value(json_array_get(json_array_get(list, i), 1));
        if (out[i].name == NULL || out[i].value == NULL) {
            (void)fprintf(stderr, "sign_tool: %s does not hold pairs of strings\n", name);
            exit(2);
        }
    }
    return count;
}

static json_t *answer(const json_t *request)
{
    CLEANUP(buf_fini) struct buf path, query, authorization;
    struct s3_sign_param headers[S3_SIGN_ITEMS_MAX], params[S3_SIGN_ITEMS_MAX];
    struct s3_sign_key key = {text_of(request, "access_key"), text_of(request, "secret_key"), text_of(request, "token"),
        text_of(request, "region"), text_of(request, "service")};
    json_int_t expires = json_integer_value(json_object_get(request, "expires"));
    struct s3_sign_input in = {.headers = headers, .query = params};
    struct err err;
    struct rc rc;

    buf_init(&path, OUT_MAX);
    buf_init(&query, OUT_MAX);
    buf_init(&authorization, OUT_MAX);
    buf_u8(&path, '/');
    s3_uri_encode(text_of(request, "key"), S3_URI_KEEP_SLASH, &path);
    in.method = text_of(request, "method");
    in.path = buf_str(&path);
    in.header_count = pairs_of(request, "headers", headers);
    in.query_count = pairs_of(request, "query", params);
    in.payload_hash = text_of(request, "hash");
    in.time_ms = json_integer_value(json_object_get(request, "time_ms"));
    if (expires > 0) {
        rc = s3_sign_presign(&key, &in, (uint32_t)expires, &query, &err);
    } else {
        rc = s3_sign_query(params, in.query_count, &query, &err);
        if (!rc_failed(rc))
            rc = s3_sign_header(&key, &in, &authorization, &err);
    }
    if (rc_failed(rc))
        return json_pack("{s:s}", "error", err.msg);
    return json_pack(
        "{s:s, s:s, s:s}", "path", buf_str(&path), "query", buf_str(&query), "authorization", buf_str(&authorization));
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0) {
        json_error_t error;
        json_t *request = json_loads(line, 0, &error), *out;

        if (request == NULL) {
            (void)fprintf(stderr, "sign_tool: %s\n", error.text);
            exit(2);
        }
        out = answer(request);
        if (json_dumpf(out, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF)
            exit(2);
        json_decref(out);
        json_decref(request);
    }
    free(line);
    s3_sign_forget();
    return ferror(stdin) || fflush(stdout) != 0 ? 2 : 0;
}
