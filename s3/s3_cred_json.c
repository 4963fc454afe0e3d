/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_json.h"

#include "strx.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <string.h>

enum { TIME_TEXT_MAX = 63 };

/* jansson frees without wiping; the strings of a document are ours to overwrite until then.  Its parser's own scratch
 * memory is out of reach. */
static void wipe(const json_t *doc)
{
    const char *name;
    json_t *value;
    json_t *object = (json_t *)(uintptr_t)doc;

    json_object_foreach(object, name, value)
    {
        const char *text = json_string_value(value);

        if (text != NULL)
            OPENSSL_cleanse((char *)(uintptr_t)text, json_string_length(value));
    }
}

static void json_freep(json_t **j)
{
    if (json_is_object(*j))
        wipe(*j);
    json_decref(*j);
}

/* The parser's own message quotes what it met, so only the place is told. */
static struct rc parse(struct span text, json_t **out, struct err *err)
{
    CLEANUP(json_freep) json_t *doc = NULL;
    json_error_t where;

    if (text.size == 0)
        return rc_raise(err, E_CORRUPT, "the answer is empty");
    if (text.size > S3_CRED_JSON_MAX)
        return rc_raise(
            err, E_CORRUPT, "the answer has %zu bytes, more than the limit of %d", text.size, S3_CRED_JSON_MAX);
    doc = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &where);
    if (doc == NULL)
        return rc_raise(err, E_CORRUPT, "the answer is not JSON (line %d, column %d)", where.line, where.column);
    if (!json_is_object(doc))
        return rc_raise(err, E_CORRUPT, "the answer is JSON, but no object");
    *out = MOVE(doc);
    return RC_OK;
}

static struct rc take(const json_t *doc, const char *name, bool needed, enum s3_cred_field field,
    struct s3_cred_box *box, struct err *err)
{
    const json_t *v = json_object_get(doc, name);

    if (!needed && (v == NULL || json_is_null(v)))
        return RC_OK;
    if (v == NULL)
        return rc_raise(err, E_CORRUPT, "%s is missing in the answer", name);
    if (!json_is_string(v))
        return rc_raise(err, E_CORRUPT, "%s is no string in the answer", name);
    /* An empty optional token is as good as none. */
    if (!needed && json_string_length(v) == 0)
        return RC_OK;
    return s3_cred_box_put(box, field, span_of(json_string_value(v), json_string_length(v)), name, E_CORRUPT, err);
}

static struct rc take_expiry(const json_t *doc, bool needed, struct s3_cred_box *box, struct err *err)
{
    const json_t *v = json_object_get(doc, "Expiration");
    struct err quoting;

    if (!needed && (v == NULL || json_is_null(v)))
        return RC_OK;
    if (!json_is_string(v) || json_string_length(v) > TIME_TEXT_MAX
        || strlen(json_string_value(v)) != json_string_length(v)
        || rc_failed(strx_time_ms(json_string_value(v), &box->expires_ms, &quoting)) || box->expires_ms <= 0)
        return rc_raise(err, E_CORRUPT, "Expiration in the answer is not a time like 2026-11-21T02:01:21Z");
    return RC_OK;
}

static const char *text_of(const json_t *doc, const char *upper, const char *lower)
{
    const char *text = json_string_value(json_object_get(doc, upper));

    return text != NULL ? text : json_string_value(json_object_get(doc, lower));
}

static const char *reason_of(const json_t *doc, char out[S3_CRED_QUOTE_SIZE])
{
    const char *code = text_of(doc, "Code", "code"), *message = text_of(doc, "Message", "message");
    CLEANUP(buf_fini) struct buf b;

    buf_init(&b, S3_CRED_JSON_MAX);
    if (code != NULL)
        buf_text(&b, code);
    if (code != NULL && message != NULL)
        buf_text(&b, ": ");
    if (message != NULL)
        buf_text(&b, message);
    if (b.size == 0)
        buf_text(&b, "no reason given");
    (void)s3_cred_quote_text(buf_span(&b), out); /* it is `out` */
    s3_cred_box_wipe(&b);
    return out;
}

static struct rc check_kind(const json_t *doc, enum s3_cred_json_kind kind, struct err *err)
{
    const json_t *version = json_object_get(doc, "Version");
    const char *code = text_of(doc, "Code", "code");
    char reason[S3_CRED_QUOTE_SIZE];

    if (kind == S3_CRED_JSON_PROCESS) {
        if (!json_is_integer(version) || json_integer_value(version) != 1)
            return rc_raise(err, E_CORRUPT, "Version in the answer is not 1");
        return RC_OK;
    }
    if (code != NULL && strcmp(code, "Success") != 0)
        return rc_raise(err, E_DENIED, "no credentials: %s", reason_of(doc, reason));
    if (kind == S3_CRED_JSON_IMDS && code == NULL)
        return rc_raise(err, E_CORRUPT, "Code is missing in the answer");
    return RC_OK;
}

struct rc s3_cred_json_decode(struct span text, enum s3_cred_json_kind kind, struct s3_cred_box *box, struct err *err)
{
    const char *token = kind == S3_CRED_JSON_PROCESS ? "SessionToken" : "Token";
    bool imds = kind == S3_CRED_JSON_IMDS;
    CLEANUP(json_freep) json_t *doc = NULL;

    TRY(parse(text, &doc, err));
    TRY(check_kind(doc, kind, err));
    TRY(take(doc, "AccessKeyId", true, S3_CRED_ACCESS_KEY, box, err));
    TRY(take(doc, "SecretAccessKey", true, S3_CRED_SECRET_KEY, box, err));
    TRY(take(doc, token, imds, S3_CRED_SESSION_TOKEN, box, err));
    return take_expiry(doc, imds, box, err);
}

const char *s3_cred_json_reason(struct span text, char out[S3_CRED_QUOTE_SIZE])
{
    CLEANUP(json_freep) json_t *doc = NULL;
    struct err quiet;

    if (!rc_failed(parse(text, &doc, &quiet)))
        return reason_of(doc, out);
    return s3_cred_quote_text(text, out);
}
