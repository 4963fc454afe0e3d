/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_imds.h"

#include "alloc.h"
#include "s3_cred_fetch.h"
#include "s3_cred_json.h"

#include <assert.h>
#include <ctype.h>
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"

enum { TOKEN_MAX = 1024, ROLE_MAX = 64 };

enum step { ASK_TOKEN, ASK_ROLE, ASK_KEYS };

struct imds {
    struct s3_cred_fetch fetch;
    enum step step;
    char *base;                /* "http://169.254.169.254" */
    char *searched;            /* owned; or NULL */
    char token[TOKEN_MAX + 1]; /* of the metadata service; it is good for nothing elsewhere */
    char role[ROLE_MAX + 1];
};

static struct imds *imds_of(struct s3_cred_fetch *f)
{
    return (struct imds *)f;
}

static void free_imds(struct s3_cred_fetch *f)
{
    struct imds *i = imds_of(f);

    OPENSSL_cleanse(i->token, sizeof i->token);
    mem_free(i->base);
    mem_free(i->searched);
}

/* There are no credentials here.  That ends the search when nothing else was configured. */
static struct rc not_here(struct imds *i, const char *why, struct err *err)
{
    if (i->searched == NULL)
        return rc_raise(err, E_DENIED, "%s", why);
    return rc_raise(err, E_DENIED, "no credentials found; looked for: %s; EC2 instance metadata at %.60s (%s)",
        i->searched, i->base, why);
}

static struct rc ask(struct imds *i, const char *path, const char *more, struct err *err)
{
    CLEANUP(mem_freep) char *url = mem_printf("%s%s%s", i->base, path, more);

    (void)err;
    s3_cred_fetch_request(&i->fetch, "GET", url, S3_CRED_IMDS_ANSWER_MS);
    i->fetch.req.no_proxy = true;
    s3_http_header(&i->fetch.req, "X-aws-ec2-metadata-token", i->token);
    return RC_OK;
}

/* One line of a plain text answer; false when it is not printable or too long. */
static bool take_line(const struct buf *data, char *out, size_t max)
{
    size_t n = 0;

    while (n < data->size && data->data[n] != '\n' && data->data[n] != '\r') {
        if (n == max || !isgraph(data->data[n]))
            return false;
        out[n] = (char)data->data[n];
        n++;
    }
    out[n] = 0;
    return n > 0;
}

static struct rc on_token(struct imds *i, struct err *err)
{
    struct s3_http_req *req = &i->fetch.req;
    CLEANUP(mem_freep) char *why = NULL;

    if (req->err.code == E_CANCELED || (req->err.code != E_OK && i->fetch.env->had_some))
        return s3_cred_fetch_status(&i->fetch, err);
    if (req->err.code == E_TIMEOUT)
        return not_here(
            i, "no answer; if this is a container on EC2, the instance's metadata hop limit must be 2", err);
    if (req->err.code != E_OK) {
        why = mem_printf("%.120s", req->err.msg);
        return not_here(i, why, err);
    }
    if (req->status >= 500 || req->status == 429)
        return s3_cred_fetch_status(&i->fetch, err);
    if (req->status != 200) {
        why = mem_printf("it answers HTTP status %d to the request for a token%s", req->status,
            req->status == 403 ? ": access to it is switched off" : "");
        return not_here(i, why, err);
    }
    if (!take_line(&req->data, i->token, TOKEN_MAX))
        return rc_raise(err, E_CORRUPT, "the answer to the request for a token is no token");
    i->step = ASK_ROLE;
    return ask(i, ROLE_PATH, "", err);
}

static struct rc on_role(struct imds *i, struct err *err)
{
    if (i->fetch.req.err.code == E_OK && i->fetch.req.status == 404)
        return not_here(i, "the instance has no role", err);
    TRY(s3_cred_fetch_status(&i->fetch, err));
    /* IAM allows letters, digits and these; all of them can stand in a path. */
    if (!take_line(&i->fetch.req.data, i->role, ROLE_MAX)
        || strspn(i->role, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=,.@_-") != strlen(i->role))
        return rc_raise(err, E_CORRUPT, "the answer to the request for the role is no name of a role");
    i->step = ASK_KEYS;
    return ask(i, ROLE_PATH, i->role, err);
}

static struct rc on_keys(struct imds *i, struct s3_cred_box **out, struct err *err)
{
    CLEANUP(s3_cred_box_freep) struct s3_cred_box *box = s3_cred_box_new();

    if (box == NULL)
        return rc_raise(err, E_NOMEM, "memory for credentials");
    TRY_CTX(s3_cred_fetch_status(&i->fetch, err), err, "role %s", i->role);
    TRY_CTX(s3_cred_json_decode(buf_span(&i->fetch.req.data), S3_CRED_JSON_IMDS, box, err), err, "role %s", i->role);
    s3_cred_box_from(box, "role %s of the EC2 instance", i->role);
    *out = MOVE(box);
    return RC_OK;
}

static struct rc on_answer(struct s3_cred_fetch *f, struct s3_cred_box **box, struct err *err)
{
    struct imds *i = imds_of(f);
    struct rc rc = i->step == ASK_TOKEN  ? on_token(i, err)
                   : i->step == ASK_ROLE ? on_role(i, err)
                                         : on_keys(i, box, err);

    if (!rc_failed(rc) || (i->searched != NULL && strncmp(err->msg, "no credentials found", 20) == 0))
        return rc;
    return rc_wrap(err, "EC2 instance metadata at %.60s", i->base);
}

struct rc s3_cred_imds_start(
    const struct s3_cred_env *env, const char *searched, struct s3_cred_start *start, struct err *err)
{
    const char *base = env->opts.imds_endpoint, *mode = s3_cred_env_get(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    CLEANUP(mem_freep) char *url = NULL;
    struct imds *i;
    size_t n;

    if (base == NULL)
        base = s3_cred_env_get(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (base == NULL)
        base = mode != NULL && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
    if (strncasecmp(base, "http://", 7) != 0 && strncasecmp(base, "https://", 8) != 0)
        return rc_raise(err, E_CONFIG, "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL that begins with http://");
    for (n = strlen(base); n > 0 && base[n - 1] == '/'; n--)
        ;
    i = mem_new(sizeof *i);
    s3_cred_fetch_init(&i->fetch, env, on_answer, free_imds);
    i->base = mem_printf("%.*s", (int)n, base);
    i->searched = searched != NULL ? mem_strdup(searched) : NULL;
    url = mem_printf("%s/latest/api/token", i->base);
    s3_cred_fetch_request(&i->fetch, "PUT", url, S3_CRED_IMDS_TOKEN_MS);
    i->fetch.req.no_proxy = true;
    s3_http_header(&i->fetch.req, "X-aws-ec2-metadata-token-ttl-seconds", "300");
    static_assert(S3_CRED_IMDS_TTL_S == 300, "the text above");
    s3_cred_fetch_go(&i->fetch, start);
    return RC_OK;
}
