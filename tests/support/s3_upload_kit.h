/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_upload_kit - for tests: uploads to a small model of a server's multipart uploads, with knobs for what goes wrong;
 * every request is noted as one letter: (C)reate, (P)art, f(I)nish, (A)bort, cop(Y), copy of a (R)ange, (H)ead,
 * (D)elete, p(U)t, (G)et.
 */
#ifndef S3_UPLOAD_KIT_H
#define S3_UPLOAD_KIT_H

#include "check.h"

#include "s3_kit.h"

#include "alloc.h"
#include "store_s3_upload.h"

enum { PART = 5 << 20, REQUESTS_MAX = 100 };

static uint8_t there[PART + 8]; /* what two_parts() sends, one after the other */

struct server {
    char seen[REQUESTS_MAX];
    size_t count;
    char tmp[100];       /* target of the last Create */
    char tmp_first[100]; /* and of the first one */
    unsigned parts;
    bool complete;
    bool head_fails, copied;
    uint64_t size;        /* of what was put together */
    char lose;            /* the answer to this one gets lost: 500, once, but it is carried out */
    char refuse;          /* this one fails, every time, with 503 */
    char error_in_200;    /* this one is answered with a 200 that holds an error, once */
    const char *object;   /* what GET finds */
    const char *put_says; /* status of PUT */
    bool no_copy;         /* 501 */
    bool gone;            /* finished before, under whatever name */
    size_t fail_from;     /* the request with this number, from 1, is refused once; 0: none */
    size_t taken_from;    /* from here on the name is another's; 0: never */
    const uint8_t *there; /* what GETs of ranges find; of `size` bytes */
    const char *etag;     /* of what was put together; NULL: "e-2" */
    const char *part_etag;
    const char *finish_says; /* 412 */
    char body[200];
    char text[400], header[100];
    char source[200], range[100];
};

static inline char kind_of(const struct http_seen *seen)
{
    bool has_id = strstr(seen->target, "uploadId=") != NULL;

    if (strcmp(seen->method, "POST") == 0)
        return has_id ? 'I' : 'C';
    if (strcmp(seen->method, "DELETE") == 0)
        return has_id ? 'A' : 'D';
    if (strcmp(seen->method, "HEAD") == 0)
        return 'H';
    if (strcmp(seen->method, "GET") == 0)
        return 'G';
    if (http_script_field(seen, "x-amz-copy-source") != NULL)
        return has_id ? 'R' : 'Y';
    return has_id ? 'P' : 'U';
}

static inline void created(struct server *s, const struct http_seen *seen, struct http_answer *answer)
{
    (void)snprintf(s->tmp, sizeof s->tmp, "%.*s", (int)strcspn(seen->target, "?"), seen->target);
    if (s->tmp_first[0] == 0)
        memcpy(s->tmp_first, s->tmp, sizeof s->tmp);
    answer->body = "<InitiateMultipartUploadResult><UploadId>id/1</UploadId></InitiateMultipartUploadResult>";
}

static inline void finished(struct server *s, const struct http_seen *seen, struct http_answer *answer)
{
    (void)snprintf(s->body, sizeof s->body, "%.190s", (const char *)seen->body);
    if (s->finish_says != NULL) {
        answer->status = 412;
        answer->body = "<Error><Code>PreconditionFailed</Code></Error>";
        return;
    }
    if (s->complete && (strstr(seen->target, ".tmp") != NULL || s->gone)) {
        answer->status = 404;
        answer->body = "<Error><Code>NoSuchUpload</Code></Error>";
        return;
    }
    s->complete = true;
    answer->body = "  \n<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>";
}

static inline void headed(struct server *s, struct http_answer *answer)
{
    if (!s->complete || s->head_fails) {
        answer->status = 404;
        return;
    }
    (void)snprintf(s->header, sizeof s->header, "Content-Length: %llu\r\nETag: \"%s\"\r\n", (unsigned long long)s->size,
        s->etag != NULL ? s->etag : "e-2");
    answer->headers = s->header;
}

static inline void copied(struct server *s, const struct http_seen *seen, char kind, struct http_answer *answer)
{
    const char *range = http_script_field(seen, "x-amz-copy-source-range");

    (void)snprintf(s->source, sizeof s->source, "%s", http_script_field(seen, "x-amz-copy-source"));
    if (range != NULL)
        (void)snprintf(s->range, sizeof s->range, "%s", range);
    answer->body = kind == 'Y' ? "<CopyObjectResult><ETag>\"c\"</ETag></CopyObjectResult>"
                               : "<CopyPartResult><ETag>\"r\"</ETag></CopyPartResult>";
}

static inline void ranged(struct server *s, const struct http_seen *seen, struct http_answer *answer)
{
    unsigned long long first, last;

    assert_int_equal(sscanf(http_script_field(seen, "range"), "bytes=%llu-%llu", &first, &last), 2);
    assert_true(last < s->size);
    answer->status = 206;
    answer->body = s->there + first;
    answer->body_size = (size_t)(last - first + 1);
}

static inline void decide(void *ctx, const struct http_seen *seen, struct http_answer *answer)
{
    struct server *s = ctx;
    char kind = kind_of(seen);

    assert_true(s->count + 1 < REQUESTS_MAX);
    s->seen[s->count++] = kind;
    answer->status = 200;
    if (s->taken_from != 0 && s->count >= s->taken_from) {
        s->complete = true;
        s->head_fails = false;
        there[0] ^= (uint8_t)(s->count == s->taken_from);
    }
    if (kind == s->refuse || s->count == s->fail_from) {
        answer->status = 503;
        return;
    }
    if (kind == s->error_in_200) {
        s->error_in_200 = 0;
        answer->body = "<Error><Code>InternalError</Code></Error>";
        return;
    }
    if (kind == 'C')
        created(s, seen, answer);
    else if (kind == 'P') {
        s->parts++;
        if (!s->no_copy || !s->complete) /* the second time the same bytes are sent */
            s->size += seen->body_size;
        (void)snprintf(s->header, sizeof s->header, "ETag: \"%s\"\r\n", s->part_etag != NULL ? s->part_etag : "part");
        answer->headers = s->header;
    } else if (kind == 'I')
        finished(s, seen, answer);
    else if (kind == 'H')
        headed(s, answer);
    else if (kind == 'Y' && s->no_copy)
        answer->status = 501;
    else if (kind == 'Y' || kind == 'R')
        copied(s, seen, kind, answer);
    else if (kind == 'G' && s->there != NULL)
        ranged(s, seen, answer);
    else if (kind == 'G')
        answer->body = s->object;
    else if (kind == 'U') {
        (void)snprintf(s->body, sizeof s->body, "%.190s", (const char *)seen->body);
        answer->status = s->put_says != NULL ? (int)(s->put_says[0] - '0') * 100 + 12 : 200;
    } else if (kind == 'A' || kind == 'D')
        answer->status = 204;
    if (kind == s->lose) {
        s->lose = 0;
        answer->status = 500;
        answer->body = NULL;
    }
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static struct s3_kit k;

static struct server server;

static uint8_t bytes[PART + 1];

static inline char *begin(const char *query, bool key_final)
{
    char all[200];
    struct store_req req;
    char *id;

    memset(&server, 0, sizeof server);
    (void)snprintf(all, sizeof all, "&part-size=5MiB%s", query);
    s3_kit_begin(&k, all);
    assert_int_equal(k.store->part_size, PART);
    http_script_on_request(k.script, decide, &server);
    store_req_init(&req, STORE_UPLOAD_START, "snap/1", NULL, NULL);
    req.key_final = key_final;
    assert_ok_err(s3_kit_run(&k, &req), &k.err);
    id = MOVE(req.upload_id);
    store_req_fini(&req);
    assert_int_equal(server.count, 0); /* nothing is sent before there is something to send */
    return id;
}

static inline void end(char *id)
{
    mem_free(id);
    s3_kit_end(&k);
}

static inline struct rc part(char *id, uint32_t number, size_t size)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_UPLOAD_PART, "snap/1", NULL, NULL);
    req.upload = id;
    req.part = number;
    req.body = span_of(bytes, size);
    rc = s3_kit_run(&k, &req);
    store_req_fini(&req);
    return rc;
}

static inline struct rc finish(char *id, const char *key, uint32_t count, bool create_only)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_UPLOAD_FINISH, key, NULL, NULL);
    req.upload = id;
    req.part = count;
    req.create_only = create_only;
    rc = s3_kit_run(&k, &req);
    store_req_fini(&req);
    return rc;
}

static inline struct rc abort_upload(char *id)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_UPLOAD_ABORT, "snap/1", NULL, NULL);
    req.upload = id;
    rc = s3_kit_run(&k, &req);
    store_req_fini(&req);
    return rc;
}

static inline void two_parts(char *id)
{
    assert_ok_err(part(id, 1, PART), &k.err);
    assert_ok_err(part(id, 2, 7), &k.err);
}

/* An upload whose parts are there. */
static inline char *begin_sent(void)
{
    char *id = begin("", false);

    two_parts(id);
    return id;
}

#endif
