/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_sts.h"

#include "alloc.h"
#include "s3_cred_fetch.h"
#include "s3_cred_sts_xml.h"
#include "s3_sign.h"
#include "s3_uri.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONTENT_TYPE "application/x-www-form-urlencoded; charset=utf-8"

enum { BODY_MAX = 3 * S3_CRED_TEXT_MAX + 16384, HEADER_MAX = 4096 };

struct sts {
    struct s3_cred_fetch fetch;
    struct buf body; /* by s3_cred_box_buf() */
    char *what;      /* "assume role ARN (profile a)" */
    char *source;
};

static struct sts *sts_of(struct s3_cred_fetch *f)
{
    return (struct sts *)f;
}

static void free_sts(struct s3_cred_fetch *f)
{
    struct sts *s = sts_of(f);

    s3_cred_box_buf_end(&s->body);
    mem_free(s->what);
    mem_free(s->source);
}

/* --- the endpoint ------------------------------------------------------------------------------------------------- */

/* "eu-central-1", "us-gov-west-1", "cn-north-1": what may stand in a host name of AWS.  Other stores have regions like
 * "auto" or "fsn1". */
static bool is_aws_region(const char *region)
{
    size_t n = region != NULL ? strlen(region) : 0;
    unsigned hyphens = 0;

    if (n < 9 || n > 32 || region[0] < 'a' || region[0] > 'z' || region[n - 1] < '0' || region[n - 1] > '9'
        || region[n - 2] != '-')
        return false;
    for (size_t i = 0; i < n; i++) {
        hyphens += region[i] == '-';
        if (region[i] != '-' && (region[i] < 'a' || region[i] > 'z') && (region[i] < '0' || region[i] > '9'))
            return false;
    }
    return hyphens >= 2;
}

static char *endpoint_of(const struct s3_cred_env *env, const char *region)
{
    const char *set = env->opts.sts_endpoint;

    if (set == NULL)
        set = s3_cred_env_get(env, "AWS_ENDPOINT_URL_STS");
    if (set != NULL)
        return mem_strdup(set);
    if (!is_aws_region(region))
        return mem_strdup("https://sts.amazonaws.com");
    return mem_printf("https://sts.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

static void url_freep(CURLU **u)
{
    curl_url_cleanup(*u);
}

static void curl_freep(char **text)
{
    curl_free(*text);
}

/* The endpoint as libcurl will understand it: what goes to the Host header, and the URL with the path "/". */
static struct rc take_apart(const char *endpoint, char **url_out, char **host_out, struct err *err)
{
    CLEANUP(url_freep) CURLU *u = curl_url();
    CLEANUP(curl_freep) char *scheme = NULL;
    CLEANUP(curl_freep) char *host = NULL;
    CLEANUP(curl_freep) char *port = NULL;

    if (u == NULL)
        return rc_raise(err, E_NOMEM, "memory for a URL");
    if (curl_url_set(u, CURLUPART_URL, endpoint, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK
        || (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0))
        return rc_raise(err, E_CONFIG, "the STS endpoint (AWS_ENDPOINT_URL_STS) is not a URL of http or https");
    /* No port, or the one of the scheme, is not sent. */
    (void)curl_url_get(u, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT); /* NULL then */
    *host_out = port != NULL ? mem_printf("%s:%s", host, port) : mem_strdup(host);
    *url_out = mem_printf("%s://%s/", scheme, *host_out);
    return RC_OK;
}

/* --- the request -------------------------------------------------------------------------------------------------- */

static void put_field(struct buf *b, const char *name, const char *value)
{
    if (b->size > 0)
        buf_u8(b, '&');
    buf_text(b, name);
    buf_u8(b, '=');
    s3_uri_encode(value, S3_URI_ENCODE_SLASH, b);
}

static void put_role(struct buf *b, const char *action, const struct s3_cred_sts_role *role)
{
    char number[64];

    put_field(b, "Action", action);
    put_field(b, "Version", "2011-06-15");
    put_field(b, "RoleArn", role->arn);
    (void)snprintf(number, sizeof number, "weir-%ld", (long)getpid()); /* fits */
    put_field(b, "RoleSessionName", role->session != NULL ? role->session : number);
    if (role->external_id != NULL)
        put_field(b, "ExternalId", role->external_id);
    (void)snprintf(number, sizeof number, "%u", role->duration_s); /* fits */
    if (role->duration_s > 0)
        put_field(b, "DurationSeconds", number);
}

static struct rc check_status(struct s3_cred_fetch *f, struct rc decoded, struct err *err)
{
    struct rc rc;

    if (f->req.status == 200)
        return decoded;
    if (err->code == E_CORRUPT) /* no refusal of STS: perhaps a proxy's page */
        return s3_cred_fetch_status(f, err);
    rc = rc_raise(err, err->code == E_THROTTLED ? E_THROTTLED : s3_cred_fetch_code(f->req.status), "%s", err->msg);
    err->http = f->req.status;
    return rc;
}

static struct rc on_answer(struct s3_cred_fetch *f, struct s3_cred_box **out, struct err *err)
{
    CLEANUP(s3_cred_box_freep) struct s3_cred_box *box = s3_cred_box_new();
    struct sts *s = sts_of(f);
    struct rc rc;

    if (box == NULL)
        return rc_raise(err, E_NOMEM, "memory for credentials");
    if (f->req.err.code != E_OK)
        TRY_CTX(s3_cred_fetch_status(f, err), err, "%s", s->what);
    rc = s3_cred_sts_xml_decode(buf_span(&f->req.data), box, err);
    if (!rc_failed(rc) && f->req.status != 200)
        rc = rc_raise(err, E_CORRUPT, "credentials with HTTP status %d", f->req.status);
    TRY_CTX(check_status(f, rc, err), err, "%s", s->what);
    s3_cred_box_from(box, "%s", s->source);
    *out = MOVE(box);
    return RC_OK;
}

static void sts_freep(struct sts **s)
{
    if (*s != NULL)
        s3_cred_fetch_drop(&(*s)->fetch);
}

/* With its URL and its body's room; `host_out` is for the signature. */
static struct rc make(const struct s3_cred_env *env, const struct s3_cred_sts_role *role, struct sts **out,
    char **host_out, struct err *err)
{
    CLEANUP(mem_freep) char *endpoint = endpoint_of(env, role->region);
    CLEANUP(mem_freep) char *url = NULL;
    struct sts *s;

    TRY(take_apart(endpoint, &url, host_out, err));
    s = mem_new(sizeof *s);
    s3_cred_fetch_init(&s->fetch, env, on_answer, free_sts);
    s3_cred_fetch_request(&s->fetch, "POST", url, S3_CRED_STS_MS);
    s3_http_header(&s->fetch.req, "Content-Type", CONTENT_TYPE);
    s3_cred_box_buf(&s->body, BODY_MAX);
    s->what = mem_printf("assume role %.200s (%.100s)", role->arn, role->asked_by);
    s->source = mem_printf("role %.200s (%.100s)", role->arn, role->asked_by);
    *out = s;
    return RC_OK;
}

static struct rc go(struct sts **s, struct s3_cred_start *start, struct err *err)
{
    struct sts *own;

    TRY(buf_check(&(*s)->body, (*s)->what, err));
    own = MOVE(*s);
    own->fetch.req.body = buf_span(&own->body);
    s3_cred_fetch_go(&own->fetch, start);
    return RC_OK;
}

struct rc s3_cred_sts_web(const struct s3_cred_env *env, const struct s3_cred_sts_role *role, const char *token_file,
    struct s3_cred_start *start, struct err *err)
{
    CLEANUP(sts_freep) struct sts *s = NULL;
    CLEANUP(mem_freep) char *host = NULL;
    CLEANUP(mem_freep) char *path = s3_cred_env_path(env, token_file);
    CLEANUP(s3_cred_box_buf_end) struct buf token;

    s3_cred_box_buf(&token, S3_CRED_TEXT_MAX);
    TRY_CTX(s3_cred_box_read_line(env->fs, path != NULL ? path : token_file, &token, err), err,
        "assume role %.200s (%.100s): web identity token", role->arn, role->asked_by);
    TRY(make(env, role, &s, &host, err));
    put_role(&s->body, "AssumeRoleWithWebIdentity", role);
    put_field(&s->body, "WebIdentityToken", buf_str(&token));
    return go(&s, start, err);
}

/* x-amz-security-token is the last one, and left out without a token. */
static struct rc sign(struct sts *s, const char *host, const char *region, const struct s3_cred_box *with,
    int64_t now_ms, struct err *err)
{
    char date[S3_SIGN_DATE_SIZE], hash[S3_SIGN_HEX_SIZE];
    struct s3_sign_param headers[] = {
        {"content-type", CONTENT_TYPE},
        {"host", host},
        {"x-amz-date", date},
        {"x-amz-security-token", with->session_token},
    };
    struct s3_sign_key key = {with->access_key, with->secret_key, with->session_token, region, "sts"};
    struct s3_sign_input in = {.method = "POST",
        .path = "/",
        .headers = headers,
        .header_count = with->session_token[0] != 0 ? 4 : 3,
        .payload_hash = hash,
        .time_ms = now_ms};
    CLEANUP(buf_fini) struct buf value;

    buf_init(&value, HEADER_MAX);
    s3_sign_date(now_ms, date);
    s3_sign_sha256(buf_span(&s->body), hash);
    TRY(s3_sign_header(&key, &in, &value, err));
    s3_http_header(&s->fetch.req, "X-Amz-Date", date);
    if (with->session_token[0] != 0)
        s3_http_header(&s->fetch.req, "X-Amz-Security-Token", with->session_token);
    s3_http_header(&s->fetch.req, "Authorization", buf_str(&value));
    return RC_OK;
}

struct rc s3_cred_sts_assume(const struct s3_cred_env *env, const struct s3_cred_sts_role *role,
    const struct s3_cred_box *with, struct s3_cred_start *start, struct err *err)
{
    /* The global endpoint is in us-east-1. */
    const char *region = is_aws_region(role->region) ? role->region : "us-east-1";
    CLEANUP(sts_freep) struct sts *s = NULL;
    CLEANUP(mem_freep) char *host = NULL;

    TRY(make(env, role, &s, &host, err));
    put_role(&s->body, "AssumeRole", role);
    TRY(buf_check(&s->body, s->what, err));
    TRY_CTX(sign(s, host, region, with, clock_wall_ms(env->clock), err), err, "%s", s->what);
    return go(&s, start, err);
}
