/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_error.h"

#include "strx.h"

#include <stdio.h>
#include <string.h>

/* --- the tables --------------------------------------------------------------------------------------------------- */

struct meaning {
    const char *s3_code;
    enum err_code code;
    enum s3_action action;
    const char *advice; /* or NULL */
};

static const char KEYS_ADVICE[] = "check the access key and the secret key";
static const char RIGHTS_ADVICE[] = "the credentials need";
static const char KMS_ADVICE[] = "check the KMS key and the rights on it (kms:GenerateDataKey, kms:Decrypt)";
static const char BUCKET_ADVICE[] = "check bucket and endpoint; weir does not make buckets";

/* Sources: Amazon S3 API Reference, "Error responses"; and what Ceph, Swift, MinIO and others add. */
static const struct meaning meanings[] = {
    /* Come back later. */
    {"SlowDown", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"SlowDownRead", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"SlowDownWrite", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"Throttling", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"ThrottlingException", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"RequestLimitExceeded", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"RequestThrottled", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"TooManyRequests", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"BandwidthLimitExceeded", E_THROTTLED, S3_ACTION_FAIL, NULL},
    {"ServiceUnavailable", E_SERVER, S3_ACTION_FAIL, NULL},
    {"InternalError", E_SERVER, S3_ACTION_FAIL, NULL},
    {"InternalServerError", E_SERVER, S3_ACTION_FAIL, NULL},
    {"UnknownError", E_SERVER, S3_ACTION_FAIL, NULL},
    {"RequestTimeout", E_TIMEOUT, S3_ACTION_FAIL, NULL},
    {"ConditionalRequestConflict", E_BUSY, S3_ACTION_FAIL, NULL},
    {"OperationAborted", E_BUSY, S3_ACTION_FAIL, NULL},
    {"ConcurrentModification", E_BUSY, S3_ACTION_FAIL, NULL},
    /* The bytes did not arrive as they were sent. */
    {"BadDigest", E_NETWORK, S3_ACTION_FAIL, NULL},
    {"IncompleteBody", E_NETWORK, S3_ACTION_FAIL, NULL},
    {"XAmzContentSHA256Mismatch", E_NETWORK, S3_ACTION_FAIL, NULL},
    {"XAmzContentChecksumMismatch", E_NETWORK, S3_ACTION_FAIL, NULL},
    /* Answers. */
    {"NoSuchKey", E_NOTFOUND, S3_ACTION_FAIL, NULL},
    {"NoSuchUpload", E_NOTFOUND, S3_ACTION_FAIL, NULL},
    {"InvalidRange", E_NOTFOUND, S3_ACTION_FAIL, NULL},
    {"PreconditionFailed", E_EXISTS, S3_ACTION_FAIL, NULL},
    /* Who we are. */
    {"ExpiredToken", E_DENIED, S3_ACTION_REFRESH, "the session token has expired"},
    {"ExpiredTokenException", E_DENIED, S3_ACTION_REFRESH, "the session token has expired"},
    {"TokenRefreshRequired", E_DENIED, S3_ACTION_REFRESH, "the session token has expired"},
    {"RequestExpired", E_DENIED, S3_ACTION_REFRESH, "the session token has expired, or the clock is wrong"},
    {"InvalidToken", E_DENIED, S3_ACTION_REFRESH, "check the session token"},
    {"InvalidAccessKeyId", E_DENIED, S3_ACTION_REFRESH, KEYS_ADVICE},
    {"InvalidClientTokenId", E_DENIED, S3_ACTION_REFRESH, KEYS_ADVICE},
    {"SignatureDoesNotMatch", E_DENIED, S3_ACTION_FAIL, KEYS_ADVICE},
    {"RequestTimeTooSkewed", E_DENIED, S3_ACTION_CLOCK, "check this machine's clock"},
    {"AccessDenied", E_DENIED, S3_ACTION_FAIL, RIGHTS_ADVICE},
    {"AllAccessDisabled", E_DENIED, S3_ACTION_FAIL, RIGHTS_ADVICE},
    {"AccountProblem", E_DENIED, S3_ACTION_FAIL, "check the account with the provider"},
    {"NotSignedUp", E_DENIED, S3_ACTION_FAIL, "check the account with the provider"},
    {"UserSuspended", E_DENIED, S3_ACTION_FAIL, "check the account with the provider"},
    {"InvalidObjectState", E_UNSUPPORTED, S3_ACTION_FAIL,
        "the object was moved to an archive class; bring it back first, and let no lifecycle rule archive a replica"},
    /* Where the bucket is. */
    {"PermanentRedirect", E_CONFIG, S3_ACTION_REGION, "check region and endpoint"},
    {"AuthorizationHeaderMalformed", E_CONFIG, S3_ACTION_REGION, "check region and access key"},
    {"IllegalLocationConstraintException", E_CONFIG, S3_ACTION_REGION, "check region and endpoint"},
    {"InvalidRegion", E_CONFIG, S3_ACTION_REGION, "check the region"},
    {"TemporaryRedirect", E_SERVER, S3_ACTION_REGION, NULL},
    {"Redirect", E_SERVER, S3_ACTION_REGION, NULL},
    {"NoSuchBucket", E_CONFIG, S3_ACTION_FAIL, BUCKET_ADVICE},
    {"InvalidBucketName", E_CONFIG, S3_ACTION_FAIL, BUCKET_ADVICE},
    {"InvalidStorageClass", E_CONFIG, S3_ACTION_FAIL, "check storage-class"},
    {"QuotaExceeded", E_NOSPACE, S3_ACTION_FAIL, NULL},
    {"InsufficientStorage", E_NOSPACE, S3_ACTION_FAIL, NULL},
    {"XMinioStorageFull", E_NOSPACE, S3_ACTION_FAIL, NULL},
    {"StorageCapExceeded", E_NOSPACE, S3_ACTION_FAIL, NULL},
    {"NotImplemented", E_UNSUPPORTED, S3_ACTION_FAIL, NULL},
    {"MethodNotAllowed", E_UNSUPPORTED, S3_ACTION_FAIL, NULL},
};

static const struct meaning kms = {"KMS.", E_DENIED, S3_ACTION_FAIL, KMS_ADVICE};

/* Where the S3 code says nothing; the first row that fits. */
static const struct {
    int first, last;
    struct meaning meaning;
} statuses[] = {
    {200, 299, {NULL, E_CORRUPT, S3_ACTION_FAIL, NULL}}, /* an error inside a success, with a code nobody knows */
    {301, 301, {NULL, E_CONFIG, S3_ACTION_REGION, "check region and endpoint"}},
    {302, 308, {NULL, E_SERVER, S3_ACTION_REGION, NULL}},
    {401, 401, {NULL, E_DENIED, S3_ACTION_FAIL, KEYS_ADVICE}},
    {403, 403, {NULL, E_DENIED, S3_ACTION_FAIL, RIGHTS_ADVICE}},
    {404, 404, {NULL, E_NOTFOUND, S3_ACTION_FAIL, NULL}},
    {405, 405, {NULL, E_UNSUPPORTED, S3_ACTION_FAIL, NULL}},
    {407, 407, {NULL, E_DENIED, S3_ACTION_FAIL, "check the proxy's user and password"}},
    {408, 408, {NULL, E_TIMEOUT, S3_ACTION_FAIL, NULL}},
    {409, 409, {NULL, E_BUSY, S3_ACTION_FAIL, NULL}},
    {412, 412, {NULL, E_EXISTS, S3_ACTION_FAIL, NULL}},
    {416, 416, {NULL, E_NOTFOUND, S3_ACTION_FAIL, NULL}},
    {425, 425, {NULL, E_BUSY, S3_ACTION_FAIL, NULL}},
    {429, 429, {NULL, E_THROTTLED, S3_ACTION_FAIL, NULL}},
    {400, 499, {NULL, E_UNSUPPORTED, S3_ACTION_FAIL, NULL}},
    {501, 501, {NULL, E_UNSUPPORTED, S3_ACTION_FAIL, NULL}},
    {507, 507, {NULL, E_NOSPACE, S3_ACTION_FAIL, NULL}},
    {509, 509, {NULL, E_THROTTLED, S3_ACTION_FAIL, NULL}},
    {500, 599, {NULL, E_SERVER, S3_ACTION_FAIL, NULL}},
};

static const struct meaning nonsense = {NULL, E_CORRUPT, S3_ACTION_FAIL, NULL};

static const struct meaning *by_s3_code(const char *s3_code)
{
    if (strncmp(s3_code, kms.s3_code, strlen(kms.s3_code)) == 0)
        return &kms;
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (strcmp(meanings[i].s3_code, s3_code) == 0)
            return &meanings[i];
    }
    return NULL;
}

static const struct meaning *by_status(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (status >= statuses[i].first && status <= statuses[i].last)
            return &statuses[i].meaning;
    }
    return &nonsense;
}

enum err_code s3_error_code(const char *s3_code)
{
    const struct meaning *m = by_s3_code(s3_code);

    return m != NULL ? m->code : E_SERVER;
}

/* --- header values ------------------------------------------------------------------------------------------------ */

static bool digits(const char *text, unsigned n, int *out)
{
    int value = 0;

    for (unsigned i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *out = value;
    return true;
}

static int month_of(const char *name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12; i++) {
        if (strncmp(name, names + 3 * i, 3) == 0)
            return i + 1;
    }
    return 0;
}

/* RFC 9110, "IMF-fixdate", the one form that servers send. */
bool s3_error_parse_date(const char *text, int64_t *ms)
{
    char iso[STRX_TIME_SIZE];
    int day, year, hour, minute, second, month;
    struct err err;

    if (strlen(text) != 29 || strcmp(text + 25, " GMT") != 0 || text[3] != ',')
        return false;
    month = month_of(text + 8);
    if (month == 0 || !digits(text + 5, 2, &day) || !digits(text + 12, 4, &year) || !digits(text + 17, 2, &hour)
        || !digits(text + 20, 2, &minute) || !digits(text + 23, 2, &second))
        return false;
    (void)snprintf(iso, sizeof iso, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, day, hour, minute, second);
    return !rc_failed(strx_time_ms(iso, ms, &err));
}

/* Seconds; the other form, a date, is not used by object stores. */
static uint32_t retry_after(const char *text)
{
    uint64_t seconds;
    struct err err;

    if (text == NULL || rc_failed(strx_u64(text, 0, UINT32_MAX, &seconds, &err)))
        return 0;
    return seconds > S3_ERROR_RETRY_AFTER_MAX_MS / 1000 ? S3_ERROR_RETRY_AFTER_MAX_MS : (uint32_t)seconds * 1000;
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

/* A region that we would put into a host name and a signature. */
static bool region_ok(const char *region)
{
    size_t n = strlen(region);

    if (n == 0 || n >= S3_XML_CODE_SIZE)
        return false;
    return strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == n;
}

static enum s3_action action_of(
    const struct s3_error_answer *a, const struct s3_xml_error *e, const struct meaning *m, struct s3_error *out)
{
    const char *region = a->region != NULL ? a->region : e->region;
    bool far = a->skew_ms > S3_ERROR_SKEW_MS || a->skew_ms < -S3_ERROR_SKEW_MS;

    /* An answer to HEAD says no more than that something is wrong. */
    if (far && (m->action == S3_ACTION_CLOCK || m->code == E_DENIED || (a->status == 400 && e->code[0] == 0)))
        return S3_ACTION_CLOCK;
    if (m->action == S3_ACTION_CLOCK)
        return S3_ACTION_FAIL; /* we do not know by how much */
    if (m->action == S3_ACTION_REGION || (a->region != NULL && a->status == 400)) {
        if (!region_ok(region))
            return S3_ACTION_FAIL;
        memcpy(out->region, region, strlen(region) + 1);
        return S3_ACTION_REGION;
    }
    if (m->action == S3_ACTION_FAIL && a->status == 400 && e->code[0] == 0 && a->body.size == 0)
        return S3_ACTION_REFRESH; /* HEAD with an expired token */
    return m->action;
}

static struct rc tell(const struct s3_error_answer *a, const struct s3_xml_error *e, const struct meaning *m,
    const struct s3_error *out, struct err *err)
{
    const char *id = a->request_id != NULL ? a->request_id : e->request_id;
    char where[512] = "", right[80] = "";
    struct rc rc;

    if (m->code == E_CONFIG || m->code == E_DENIED)
        (void)snprintf(where, sizeof where, " (bucket %.64s at %.256s%s%s)", a->bucket, a->host,
            out->region[0] != 0 ? ", which is in region " : "", out->region);
    if (m->advice == RIGHTS_ADVICE)
        (void)snprintf(right, sizeof right, " %s on %s", a->right != NULL ? a->right->action : "a right that they lack",
            a->right == NULL || a->right->on_bucket ? "the bucket" : "its objects");
    rc = rc_raise(err, m->code, "HTTP status %d%s%s%s%s%s%s%s%.128s%s%s%s", a->status, e->code[0] != 0 ? " " : "",
        e->code, e->message[0] != 0 ? ", \"" : "", e->message, e->message[0] != 0 ? "\"" : "", where,
        id[0] != 0 ? ", request " : "", id, m->advice != NULL ? ": " : "", m->advice != NULL ? m->advice : "", right);
    err->http = a->status;
    return rc;
}

struct rc s3_error_judge(const struct s3_error_answer *a, struct s3_error *out, struct err *err)
{
    struct s3_xml_error e = {0};
    const struct meaning *m;

    if (!s3_xml_read_error(a->body, &e))
        e = (struct s3_xml_error){0};
    m = by_s3_code(e.code);
    if (m == NULL)
        m = by_status(a->status);
    *out = (struct s3_error){.code = m->code, .retry_after_ms = retry_after(a->retry_after)};
    memcpy(out->s3_code, e.code, sizeof out->s3_code);
    out->unknown = m->code == E_DENIED && m->advice != RIGHTS_ADVICE && m != &kms;
    out->action = action_of(a, &e, m, out);
    return tell(a, &e, m, out, err);
}
