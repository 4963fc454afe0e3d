/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads.  The server is a small model of multipart uploads with knobs for what goes wrong; every request is noted as
 * one letter: (C)reate, (P)art, f(I)nish, (A)bort, cop(Y), copy of a (R)ange, (H)ead, (D)elete, p(U)t, (G)et.
 */
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

static char kind_of(const struct http_seen *seen)
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

static void created(struct server *s, const struct http_seen *seen, struct http_answer *answer)
{
    (void)snprintf(s->tmp, sizeof s->tmp, "%.*s", (int)strcspn(seen->target, "?"), seen->target);
    if (s->tmp_first[0] == 0)
        memcpy(s->tmp_first, s->tmp, sizeof s->tmp);
    answer->body = "<InitiateMultipartUploadResult><UploadId>id/1</UploadId></InitiateMultipartUploadResult>";
}

static void finished(struct server *s, const struct http_seen *seen, struct http_answer *answer)
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

static void headed(struct server *s, struct http_answer *answer)
{
    if (!s->complete || s->head_fails) {
        answer->status = 404;
        return;
    }
    (void)snprintf(s->header, sizeof s->header, "Content-Length: %llu\r\nETag: \"%s\"\r\n", (unsigned long long)s->size,
        s->etag != NULL ? s->etag : "e-2");
    answer->headers = s->header;
}

static void copied(struct server *s, const struct http_seen *seen, char kind, struct http_answer *answer)
{
    const char *range = http_script_field(seen, "x-amz-copy-source-range");

    (void)snprintf(s->source, sizeof s->source, "%s", http_script_field(seen, "x-amz-copy-source"));
    if (range != NULL)
        (void)snprintf(s->range, sizeof s->range, "%s", range);
    answer->body = kind == 'Y' ? "<CopyObjectResult><ETag>\"c\"</ETag></CopyObjectResult>"
                               : "<CopyPartResult><ETag>\"r\"</ETag></CopyPartResult>";
}

static void ranged(struct server *s, const struct http_seen *seen, struct http_answer *answer)
{
    unsigned long long first, last;

    assert_int_equal(sscanf(http_script_field(seen, "range"), "bytes=%llu-%llu", &first, &last), 2);
    assert_true(last < s->size);
    answer->status = 206;
    answer->body = s->there + first;
    answer->body_size = (size_t)(last - first + 1);
}

static void decide(void *ctx, const struct http_seen *seen, struct http_answer *answer)
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

static char *begin(const char *query, bool key_final)
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

static void end(char *id)
{
    mem_free(id);
    s3_kit_end(&k);
}

static struct rc part(char *id, uint32_t number, size_t size)
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

static struct rc finish(char *id, const char *key, uint32_t count, bool create_only)
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

static struct rc abort_upload(char *id)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, STORE_UPLOAD_ABORT, "snap/1", NULL, NULL);
    req.upload = id;
    rc = s3_kit_run(&k, &req);
    store_req_fini(&req);
    return rc;
}

static void two_parts(char *id)
{
    assert_ok_err(part(id, 1, PART), &k.err);
    assert_ok_err(part(id, 2, 7), &k.err);
}

/* --- as it should be ---------------------------------------------------------------------------------------------- */

static void test_parts_and_copy(void **state)
{
    const struct store_counts *c;
    char *id = begin("", false);

    (void)state;
    two_parts(id);
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPIYD");
    assert_ptr_equal(strstr(server.tmp, "/bkt/pre/.tmp/"), server.tmp);
    assert_int_equal(strlen(server.tmp), 14 + 32);
    assert_string_equal(server.source, server.tmp); /* "/bucket/prefix/..." is the very path */
    s3_kit_asked(&k, 4, "PUT", "/bkt/pre/snap/2");
    assert_non_null(strstr(s3_kit_seen(&k, 1)->target, "?partNumber=1&uploadId=id%2F1"));
    assert_int_equal(strlen(s3_kit_field(&k, 1, "content-md5")), 24);
    assert_string_equal(server.body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part>"
                                     "<PartNumber>1</PartNumber><ETag>&quot;part&quot;</ETag></Part><Part>"
                                     "<PartNumber>2</PartNumber><ETag>&quot;part&");
    s3_kit_asked(&k, 5, "DELETE", server.tmp);
    c = store_counts_of(k.store);
    assert_int_equal(c->outcomes[STORE_UPLOAD_START][STORE_OUTCOME_OK], 1);
    assert_int_equal(c->outcomes[STORE_UPLOAD_PART][STORE_OUTCOME_OK], 2);
    assert_int_equal(c->outcomes[STORE_UPLOAD_FINISH][STORE_OUTCOME_OK], 1);
    assert_int_equal(c->outcomes[STORE_KIND_COPY][STORE_OUTCOME_OK], 1);
    assert_int_equal(c->outcomes[STORE_DELETE][STORE_OUTCOME_OK], 1);
    assert_ok(abort_upload(id)); /* it is gone, and nothing is sent */
    assert_int_equal(server.count, 6);
    end(id);
}

static void test_final_key(void **state)
{
    char *id = begin("", true);

    (void)state;
    two_parts(id);
    assert_fails(finish(id, "snap/2", 2, false), E_BUG);
    assert_ok_err(finish(id, "snap/1", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPI");
    assert_string_equal(server.tmp, "/bkt/pre/snap/1");
    end(id);
}

/* One part that is not full is one PUT. */
static void test_single(void **state)
{
    char *id = begin("", false);

    (void)state;
    memcpy(bytes, "hello", 5);
    assert_ok_err(part(id, 1, 9), &k.err);
    assert_ok_err(part(id, 1, 5), &k.err); /* sent again */
    assert_fails(part(id, 2, 5), E_BUG);
    assert_int_equal(server.count, 0);
    assert_ok_err(finish(id, "snap/2", 1, false), &k.err);
    assert_string_equal(server.seen, "U");
    s3_kit_asked(&k, 0, "PUT", "/bkt/pre/snap/2");
    assert_string_equal(server.body, "hello");
    end(id);
}

static void on_done(struct store_req *req)
{
    --*(int *)req->ctx;
}

/* Parts at the same time wait for one upload to be made. */
static void test_parts_at_once(void **state)
{
    enum { COUNT = 5 };
    struct store_req reqs[COUNT];
    char *id = begin("", false);
    int left = COUNT;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        store_req_init(&reqs[i], STORE_UPLOAD_PART, "snap/1", on_done, &left);
        reqs[i].upload = id;
        reqs[i].part = (uint32_t)i + 1;
        reqs[i].body = span_of(bytes, PART);
        store_submit(k.store, &reqs[i]);
    }
    while (left > 0)
        (void)uv_run(&k.loop, UV_RUN_ONCE);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(reqs[i].err.code, E_OK);
        store_req_fini(&reqs[i]);
    }
    assert_string_equal(server.seen, "CPPPPP");
    assert_ok_err(finish(id, "snap/2", COUNT, false), &k.err);
    end(id);
}

/* --- copies in ranges --------------------------------------------------------------------------------------------- */

static void test_copy_in_ranges(void **state)
{
    char *id = begin("", false);

    (void)state;
    ((struct s3_store *)k.store->below)->copy_max = PART;
    two_parts(id);
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPICRRID");
    assert_string_equal(s3_kit_field(&k, 5, "x-amz-copy-source-range"), "bytes=0-5242879");
    assert_string_equal(s3_kit_field(&k, 6, "x-amz-copy-source-range"), "bytes=5242880-5242886");
    assert_non_null(strstr(s3_kit_seen(&k, 5)->target, "/bkt/pre/snap/2?partNumber="));
    assert_ptr_equal(
        strstr(server.body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part>"
                            "<PartNumber>1</PartNumber><ETag>&quot;r&quot;"),
        server.body);
    end(id);

    id = begin("", false); /* a range fails: what there is of the copy goes away, the upload stays */
    ((struct s3_store *)k.store->below)->copy_max = PART;
    two_parts(id);
    server.error_in_200 = 'R';
    assert_fails(finish(id, "snap/2", 2, false), E_SERVER);
    assert_ptr_equal(
        strstr(k.err.msg, "upload_finish snap/2: copy to the final key: HTTP status 200 InternalError"), k.err.msg);
    assert_string_equal(server.seen, "CPPICRRA");
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPICRRACRRID");
    end(id);
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

/* FINISH goes on where an earlier one failed. */
static void test_finish_again(void **state)
{
    static const struct {
        char lose, error_in_200;
        const char *first, *second;
    } cases[] = {
        {'I', 0, "CPPI", "CPPIIHYD"}, /* put together, though the answer got lost */
        {0, 'I', "CPPI", "CPPIIYD"},
        {'Y', 0, "CPPIY", "CPPIYYD"},
        {0, 'Y', "CPPIY", "CPPIYYD"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *id = begin("", false);

        two_parts(id);
        server.lose = cases[i].lose;
        server.error_in_200 = cases[i].error_in_200;
        assert_fails(finish(id, "snap/2", 2, false), E_SERVER);
        assert_string_equal(server.seen, cases[i].first);
        assert_fails(part(id, 2, 7), cases[i].first[4] == 'Y' ? E_BUSY : E_OK); /* it is too late for parts */
        if (cases[i].first[4] != 'Y') {
            server.seen[--server.count] = 0; /* that part */
            server.size -= 7;
        }
        assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
        assert_string_equal(server.seen, cases[i].second);
        end(id);
    }
}

/* The upload is gone and the object is not what we sent: nothing gets its name. */
static void test_lost_upload(void **state)
{
    char *id = begin("", false);

    (void)state;
    two_parts(id);
    server.complete = true;
    server.size = 4;
    assert_fails(finish(id, "snap/2", 2, false), E_NOTFOUND);
    assert_non_null(strstr(k.err.msg, "the upload is gone: .tmp/"));
    assert_string_equal(server.seen, "CPPIH");
    server.head_fails = true;
    assert_fails(finish(id, "snap/2", 2, false), E_NOTFOUND);
    assert_string_equal(server.seen, "CPPIHIH");
    end(id);
}

static void make_there(void)
{
    for (size_t i = 0; i < PART; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 1000);
    memcpy(there, bytes, PART);
    memcpy(there + PART, bytes, 7);
}

/* A store that cannot copy: what was put together is read and sent again. */
static void test_carried(void **state)
{
    char *id = begin("", false);

    (void)state;
    make_there();
    two_parts(id);
    server.no_copy = true;
    server.there = there;
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPIYCGPGPID");
    s3_kit_asked(&k, 5, "POST", "/bkt/pre/snap/2?uploads=");
    assert_int_equal(s3_kit_seen(&k, 7)->body_size, PART);
    assert_memory_equal(s3_kit_seen(&k, 7)->body, bytes, PART);
    assert_int_equal(s3_kit_seen(&k, 9)->body_size, 7);
    assert_string_equal(s3_kit_seen(&k, 10)->method, "POST");
    s3_kit_asked(&k, 11, "DELETE", server.tmp_first);
    end(id);

    id = begin("", false); /* a part fails: what there is of it goes away, and the next FINISH does not try to copy */
    make_there();
    two_parts(id);
    server.no_copy = true;
    server.there = there;
    server.fail_from = 8;
    assert_fails(finish(id, "snap/2", 2, false), E_SERVER);
    assert_string_equal(server.seen, "CPPIYCGPA");
    server.fail_from = 0;
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPIYCGPACGPGPID");
    end(id);
}

/* Create-only: the name is looked at once more when all is sent. */
static void test_carried_create_only(void **state)
{
    char *id = begin("", false);

    (void)state;
    make_there();
    two_parts(id);
    server.no_copy = true;
    server.there = there;
    server.head_fails = true;
    assert_ok_err(finish(id, "snap/2", 2, true), &k.err);
    assert_string_equal(server.seen, "CPPHIYCGPGPHID");
    end(id);

    id = begin("", false); /* somebody else was faster, with as many bytes */
    make_there();
    two_parts(id);
    server.no_copy = true;
    server.head_fails = true;
    server.there = there;
    server.taken_from = 12;
    assert_fails(finish(id, "snap/2", 2, true), E_EXISTS);
    assert_string_equal(server.seen, "CPPHIYCGPGPHGA");
    end(id);
}

/* FINISH under the final name says "gone" or "taken": the object is compared with what was sent. */
static void test_final_name_compared(void **state)
{
    static const struct {
        bool by_etag, other_bytes, create_only, taken;
        enum err_code want;
        const char *seen;
    } cases[] = {
        {true, false, false, false, E_OK, "CPPIH"},
        {false, false, false, false, E_OK, "CPPIHGG"},
        {false, true, false, false, E_NOTFOUND, "CPPIHG"},
        {true, false, false, true, E_OK, "CPPIH"},
        {false, true, false, true, E_NOTFOUND, "CPPIHG"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *id = begin("", true);

        make_there();
        if (cases[i].by_etag) { /* MD5 of the two digests, as S3 makes it */
            server.part_etag = "d41d8cd98f00b204e9800998ecf8427e";
            server.etag = "5873dd45edd01f09c1ef2e7819369e8e-2";
        }
        two_parts(id);
        server.complete = true;
        server.there = there;
        server.gone = true;
        server.finish_says = cases[i].taken ? "412" : NULL;
        if (cases[i].other_bytes)
            there[5] ^= 1;
        if (cases[i].want == E_OK)
            assert_ok_err(finish(id, "snap/1", 2, cases[i].create_only), &k.err);
        else
            assert_fails(finish(id, "snap/1", 2, cases[i].create_only), cases[i].want);
        assert_string_equal(server.seen, cases[i].seen);
        end(id);
    }
}

/* A provisional object that stays is no failure. */
static void test_delete_fails(void **state)
{
    char *id = begin("", false);

    (void)state;
    two_parts(id);
    server.refuse = 'D';
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPIYD");
    end(id);
}

static void test_create_fails(void **state)
{
    char *id = begin("", false);

    (void)state;
    server.refuse = 'C';
    assert_fails(part(id, 1, PART), E_SERVER);
    assert_string_equal(k.err.msg, "upload_part snap/1: HTTP status 503");
    server.refuse = 0;
    assert_ok_err(part(id, 1, PART), &k.err);
    server.refuse = 'P';
    assert_fails(part(id, 2, 7), E_SERVER);
    assert_fails(finish(id, "snap/2", 2, false), E_BUG); /* a part is missing */
    assert_string_equal(k.err.msg, "upload_finish snap/2: part 2 of 2 is missing");
    server.refuse = 0;
    assert_ok_err(part(id, 2, 7), &k.err);
    assert_fails(finish(id, "snap/2", 1, false), E_BUG);
    assert_string_equal(k.err.msg, "upload_finish snap/2: part 2 is there, 1 were announced");
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    end(id);
}

static void test_create_only(void **state)
{
    char *id = begin("", false);

    (void)state;
    two_parts(id);
    assert_ok_err(finish(id, "snap/2", 2, true), &k.err);
    assert_string_equal(server.seen, "CPPHIYD");
    end(id);

    id = begin("", false);
    two_parts(id);
    server.complete = true; /* the name is taken */
    assert_fails(finish(id, "snap/2", 2, true), E_EXISTS);
    assert_string_equal(server.seen, "CPPH");
    assert_ok_err(abort_upload(id), &k.err);
    assert_string_equal(server.seen, "CPPHA");
    end(id);
}

/* A single part whose PUT may have been carried out: what is there is looked at. */
static void test_single_again(void **state)
{
    char *id = begin("", false);

    (void)state;
    memcpy(bytes, "hello", 5);
    assert_ok_err(part(id, 1, 5), &k.err);
    server.lose = 'U';
    assert_fails(finish(id, "snap/2", 1, true), E_SERVER);
    server.put_says = "412";
    server.object = "other";
    assert_fails(finish(id, "snap/2", 1, true), E_EXISTS);
    assert_string_equal(server.seen, "UUG");
    end(id);

    id = begin("", false);
    assert_ok_err(part(id, 1, 5), &k.err);
    server.lose = 'U';
    assert_fails(finish(id, "snap/2", 1, true), E_SERVER);
    server.put_says = "412";
    server.object = "hello";
    assert_ok_err(finish(id, "snap/2", 1, true), &k.err);
    end(id);

    id = begin("", false);
    assert_ok_err(part(id, 1, 5), &k.err);
    server.put_says = "412"; /* nothing was unknown */
    assert_fails(finish(id, "snap/2", 1, true), E_EXISTS);
    assert_string_equal(server.seen, "U");
    end(id);
}

static void test_abort(void **state)
{
    char *id = begin("", false);

    (void)state;
    assert_ok(abort_upload(id)); /* nothing was sent */
    assert_fails(part(id, 1, 5), E_NOTFOUND);
    assert_int_equal(server.count, 0);
    end(id);

    id = begin("", false);
    two_parts(id);
    server.refuse = 'A';
    assert_fails(abort_upload(id), E_SERVER);
    server.refuse = 0;
    assert_ok_err(abort_upload(id), &k.err);
    assert_ok_err(abort_upload(id), &k.err);
    assert_string_equal(server.seen, "CPPAA");
    end(id);

    id = begin("", false); /* put together, but not copied: the provisional object goes */
    two_parts(id);
    server.refuse = 'Y';
    assert_fails(finish(id, "snap/2", 2, false), E_SERVER);
    assert_ok_err(abort_upload(id), &k.err);
    assert_string_equal(server.seen, "CPPIYD");
    end(id);
}

static void test_limits(void **state)
{
    struct store_req req;
    char *id = begin("", false);

    (void)state;
    assert_fails(part(id, STORE_S3_PARTS_MAX + 1, 5), E_UNSUPPORTED);
    assert_string_equal(k.err.msg, "upload_part snap/1: part 10001: an upload has at most 10000 parts, here of 5242880 "
                                   "bytes: a larger part-size is "
                                   "needed");
    assert_fails(part((char *)(uintptr_t) "no such id", 1, 5), E_NOTFOUND);
    for (int i = 1; i < STORE_S3_UPLOADS_MAX; i++) {
        store_req_init(&req, STORE_UPLOAD_START, "snap/1", NULL, NULL);
        assert_ok(s3_kit_run(&k, &req));
        store_req_fini(&req);
    }
    store_req_init(&req, STORE_UPLOAD_START, "snap/1", NULL, NULL);
    assert_fails(s3_kit_run(&k, &req), E_BUSY);
    store_req_fini(&req);
    end(id);
}

/* Parts get larger only when so much is expected that there would be too many. */
static void test_part_size(void **state)
{
    static const struct {
        uint64_t expected;
        size_t want;
    } cases[] = {
        {0, PART},
        {8999ULL * PART, PART},
        {9001ULL * PART, 6 << 20},
        {1ULL << 40, 117 << 20},
        {UINT64_MAX, STORE_PART_MAX},
    };
    char *id = begin("", true);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_req req;

        store_req_init(&req, STORE_UPLOAD_START, "snap/1", NULL, NULL);
        req.expected = cases[i].expected;
        assert_ok(s3_kit_run(&k, &req));
        assert_int_equal(req.part_size, cases[i].want);
        store_req_fini(&req);
    }
    assert_fails(part(id, 1, PART + 1), E_BUG);
    end(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_and_copy),
        cmocka_unit_test(test_final_key),
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_parts_at_once),
        cmocka_unit_test(test_copy_in_ranges),
        cmocka_unit_test(test_finish_again),
        cmocka_unit_test(test_lost_upload),
        cmocka_unit_test(test_carried),
        cmocka_unit_test(test_carried_create_only),
        cmocka_unit_test(test_final_name_compared),
        cmocka_unit_test(test_delete_fails),
        cmocka_unit_test(test_create_fails),
        cmocka_unit_test(test_create_only),
        cmocka_unit_test(test_single_again),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_part_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
