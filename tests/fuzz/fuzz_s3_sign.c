/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to sign: method, key of the object, access key, secret, token, region, then pairs of lines, alternately a
 * header and a parameter.  Encoding and decoding go round; the order of parameters must not matter; what is signed
 * is one line of printable text.
 */
#include "s3_sign.h"
#include "s3_uri.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 6 + 4 * 40, SIZE_MAX_TRIED = 16 << 10, OUT_MAX = 1 << 20 };

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void round_trip(const char *text, struct buf *path)
{
    struct buf coded, back;
    struct err err;

    buf_init(&coded, OUT_MAX);
    buf_init(&back, OUT_MAX);
    s3_uri_encode(text, S3_URI_ENCODE_SLASH, &coded);
    require(!rc_failed(s3_uri_decode(buf_span(&coded), "text", &back, &err)));
    require(strcmp(buf_str(&back), text) == 0);
    require(strpbrk(buf_str(&coded), "/?#&=+ ") == NULL);
    buf_u8(path, '/');
    s3_uri_encode(text, S3_URI_KEEP_SLASH, path);
    buf_fini(&coded);
    buf_fini(&back);
}

static bool printable(struct buf *b)
{
    for (const char *at = buf_str(b); *at != 0; at++)
        if (*at < ' ' || *at > '~')
            return false;
    return b->size > 0;
}

/* The same request with its parameters turned round must give the same. */
static void sign(const struct s3_sign_key *key, struct s3_sign_input *in)
{
    const struct s3_sign_param *query = in->query;
    struct s3_sign_param turned[LINES_MAX];
    struct buf a, b;
    struct err err;
    struct rc rc;

    buf_init(&a, OUT_MAX);
    buf_init(&b, OUT_MAX);
    rc = s3_sign_header(key, in, &a, &err);
    if (!rc_failed(rc)) {
        require(printable(&a) && strstr(buf_str(&a), ", Signature=") != NULL);
        for (size_t i = 0; i < in->query_count; i++)
            turned[i] = in->query[in->query_count - 1 - i];
        in->query = turned;
        require(!rc_failed(s3_sign_header(key, in, &b, &err)));
        require(strcmp(buf_str(&a), buf_str(&b)) == 0);
        in->query = query;
    } else {
        require(a.size == 0);
    }
    buf_clear(&a);
    if (!rc_failed(s3_sign_presign(key, in, 60, &a, &err))) {
        require(printable(&a));
        require(a.size > 81 && strncmp(buf_str(&a) + a.size - 81, "&X-Amz-Signature=", 17) == 0);
    }
    buf_fini(&a);
    buf_fini(&b);
}

static void try_request(char *text)
{
    const char *lines[LINES_MAX];
    struct s3_sign_param headers[LINES_MAX] = {{"Host", "example.com"}}, query[LINES_MAX];
    struct s3_sign_key key;
    struct s3_sign_input in = {.headers = headers, .header_count = 1, .query = query, .payload_hash = S3_SIGN_UNSIGNED};
    struct buf path;
    size_t count = 0;

    for (char *line; count < LINES_MAX && (line = strsep(&text, "\n")) != NULL;)
        lines[count++] = line;
    for (size_t i = count; i < 6; i++)
        lines[i] = "";
    key = (struct s3_sign_key){lines[2], lines[3], lines[4], lines[5], "s3"};
    for (size_t i = 6; i + 3 < count; i += 4) {
        headers[in.header_count++] = (struct s3_sign_param){lines[i], lines[i + 1]};
        query[in.query_count++] = (struct s3_sign_param){lines[i + 2], lines[i + 3]};
    }
    buf_init(&path, OUT_MAX);
    round_trip(lines[1], &path);
    in.method = lines[0];
    in.path = buf_str(&path);
    in.time_ms = 1700000000000;
    sign(&key, &in);
    in.path = lines[1]; /* as it is: mostly refused */
    sign(&key, &in);
    buf_fini(&path);
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
    try_request(text);
    free(text);
    s3_sign_forget();
    return 0;
}
