/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_container.h"

#include "alloc.h"
#include "s3_cred_fetch.h"
#include "s3_cred_json.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#define RELATIVE   "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL       "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN      "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

static void url_freep(CURLU **u)
{
    curl_url_cleanup(*u);
}

static void curl_freep(char **text)
{
    curl_free(*text);
}

static bool is_near(const char *host)
{
    static const char *const near6[] = {"::1", "fd00:ec2::23"};
    static const char *const near4[] = {"169.254.170.2", "169.254.170.23"};
    struct in6_addr six, want6;
    struct in_addr four, want4;
    char plain[64];
    size_t n = strlen(host);

    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1) {
        for (size_t i = 0; i < sizeof near4 / sizeof *near4; i++) {
            if (inet_pton(AF_INET, near4[i], &want4) == 1 && want4.s_addr == four.s_addr)
                return true;
        }
        return ntohl(four.s_addr) >> 24 == 127;
    }
    if (n < 3 || n >= sizeof plain || host[0] != '[' || host[n - 1] != ']')
        return false;
    memcpy(plain, host + 1, n - 2);
    plain[n - 2] = 0;
    if (inet_pton(AF_INET6, plain, &six) != 1)
        return false;
    for (size_t i = 0; i < sizeof near6 / sizeof *near6; i++) {
        if (inet_pton(AF_INET6, near6[i], &want6) == 1 && memcmp(&six, &want6, sizeof six) == 0)
            return true;
    }
    return false;
}

struct rc s3_cred_container_check(const char *url, struct err *err)
{
    CLEANUP(url_freep) CURLU *u = curl_url();
    CLEANUP(curl_freep) char *scheme = NULL;
    CLEANUP(curl_freep) char *host = NULL;
    CLEANUP(curl_freep) char *user = NULL;

    if (u == NULL)
        return rc_raise(err, E_NOMEM, "memory for a URL");
    if (strlen(url) > S3_CRED_CONTAINER_URI_MAX || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        return rc_raise(err, E_CONFIG, FULL " is not a URL");
    if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
        return rc_raise(err, E_CONFIG, FULL " has a user name in it");
    if (strcmp(scheme, "https") == 0)
        return RC_OK;
    if (strcmp(scheme, "http") != 0)
        return rc_raise(err, E_CONFIG, FULL " is neither http nor https");
    if (!is_near(host))
        return rc_raise(err, E_CONFIG,
            FULL " is plain http to %.100s; that is allowed only to this machine, 169.254.170.2, 169.254.170.23 and "
                 "fd00:ec2::23",
            host);
    return RC_OK;
}

bool s3_cred_container_configured(const struct s3_cred_env *env)
{
    return s3_cred_env_get(env, RELATIVE) != NULL || s3_cred_env_get(env, FULL) != NULL;
}

static void nothing_to_free(struct s3_cred_fetch *f)
{
    (void)f;
}

static struct rc on_answer(struct s3_cred_fetch *f, struct s3_cred_box **out, struct err *err)
{
    CLEANUP(s3_cred_box_freep) struct s3_cred_box *box = s3_cred_box_new();

    if (box == NULL)
        return rc_raise(err, E_NOMEM, "memory for credentials");
    TRY_CTX(s3_cred_fetch_status(f, err), err, "container credentials");
    TRY_CTX(
        s3_cred_json_decode(buf_span(&f->req.data), S3_CRED_JSON_CONTAINER, box, err), err, "container credentials");
    s3_cred_box_from(box, "container");
    *out = MOVE(box);
    return RC_OK;
}

static struct rc make_url(const struct s3_cred_env *env, char **out, struct err *err)
{
    const char *relative = s3_cred_env_get(env, RELATIVE), *full = s3_cred_env_get(env, FULL);
    const char *host = env->opts.container_host != NULL ? env->opts.container_host : "http://169.254.170.2";

    if (relative == NULL) {
        TRY(s3_cred_container_check(full, err));
        *out = mem_strdup(full);
        return RC_OK;
    }
    if (relative[0] != '/' || strlen(relative) > S3_CRED_CONTAINER_URI_MAX)
        return rc_raise(err, E_CONFIG, RELATIVE " is not a path that begins with '/'");
    for (const char *c = relative; *c != 0; c++) {
        if (*c <= ' ' || *c > '~')
            return rc_raise(err, E_CONFIG, RELATIVE " has a character in it that no URL can have");
    }
    *out = mem_printf("%s%s", host, relative);
    return RC_OK;
}

/* "" when there is none. */
static struct rc read_token(const struct s3_cred_env *env, struct buf *out, struct err *err)
{
    const char *file = s3_cred_env_get(env, TOKEN_FILE), *token = s3_cred_env_get(env, TOKEN);

    if (file != NULL)
        return s3_cred_box_read_line(env->fs, file, out, err);
    for (const char *c = token; c != NULL && *c != 0; c++) {
        if (*c < ' ' || *c > '~')
            return rc_raise(err, E_CONFIG, TOKEN " has a character in it that no header can have");
    }
    if (token != NULL)
        buf_text(out, token);
    return buf_check(out, TOKEN, err);
}

struct rc s3_cred_container_start(const struct s3_cred_env *env, struct s3_cred_start *start, struct err *err)
{
    CLEANUP(mem_freep) char *url = NULL;
    CLEANUP(s3_cred_box_buf_end) struct buf token;
    struct s3_cred_fetch *f;

    s3_cred_box_buf(&token, S3_CRED_TEXT_MAX);
    TRY_CTX(make_url(env, &url, err), err, "container credentials");
    TRY_CTX(read_token(env, &token, err), err, "container credentials: authorization token");
    f = mem_new(sizeof *f);
    s3_cred_fetch_init(f, env, on_answer, nothing_to_free);
    s3_cred_fetch_request(f, "GET", url, S3_CRED_CONTAINER_MS);
    f->req.no_proxy = true;
    s3_http_header(&f->req, "Accept", "application/json");
    if (token.size > 0)
        s3_http_header(&f->req, "Authorization", buf_str(&token));
    s3_cred_fetch_go(f, start);
    return RC_OK;
}
