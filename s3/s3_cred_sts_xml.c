/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_cred_sts_xml.h"

#include "alloc.h"
#include "s3_cred_quote.h"
#include "strx.h"

#include <expat.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

enum part { OTHER, ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, EXPIRATION, CODE, MESSAGE, PART_COUNT };

static const struct {
    const char *parent, *name;
} parts[PART_COUNT] = {
    [OTHER] = {"", ""},
    [ACCESS_KEY] = {"Credentials", "AccessKeyId"},
    [SECRET_KEY] = {"Credentials", "SecretAccessKey"},
    [SESSION_TOKEN] = {"Credentials", "SessionToken"},
    [EXPIRATION] = {"Credentials", "Expiration"},
    [CODE] = {"Error", "Code"},
    [MESSAGE] = {"Error", "Message"},
};

struct reader {
    XML_Parser parser;
    unsigned depth;
    char parent[16];       /* the innermost of the elements above that matter, "" for others */
    unsigned parent_depth; /* where it was opened */
    enum part part;
    struct buf text; /* of the part we are in */
    struct s3_cred_box *box;
    char code[S3_CRED_QUOTE_SIZE], message[S3_CRED_QUOTE_SIZE];
    unsigned seen; /* bits of enum part */
    bool failed;
    struct err *err;
};

/* --- expat's memory ------------------------------------------------------------------------------------------------
 */

/* In front of each piece, so that it can be wiped; as aligned as what malloc gives. */
union head {
    size_t size;
    max_align_t align;
};

static void *wiping_new(size_t size)
{
    union head *h = size <= SIZE_MAX - sizeof *h ? mem_try(1, sizeof *h + size) : NULL;

    if (h == NULL)
        return NULL;
    h->size = size;
    return h + 1;
}

static void wiping_free(void *p)
{
    union head *h = p;

    if (h == NULL)
        return;
    h--;
    OPENSSL_cleanse(h + 1, h->size);
    mem_free(h);
}

static void *wiping_resize(void *p, size_t size)
{
    union head *h = p;
    void *to = wiping_new(size);

    if (to == NULL || p == NULL)
        return to;
    h--;
    memcpy(to, p, h->size < size ? h->size : size);
    wiping_free(p);
    return to;
}

static const XML_Memory_Handling_Suite wiping = {wiping_new, wiping_resize, wiping_free};

/* --- elements ------------------------------------------------------------------------------------------------------
 */

static void fail(struct reader *r, struct rc rc)
{
    rc_ignore(rc, "decode() returns it");
    r->failed = true;
    (void)XML_StopParser(r->parser, XML_FALSE); /* stopped already is as good */
}

/* "sts:Code" is as good as "Code": some servers write prefixes. */
static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon != NULL ? colon + 1 : name;
}

static void on_begin(void *ctx, const XML_Char *full, const XML_Char **attributes)
{
    struct reader *r = ctx;
    const char *name = local_name(full);

    (void)attributes;
    if (r->failed) /* expat may call once more after it was stopped */
        return;
    r->depth++;
    if (r->depth > S3_CRED_STS_XML_DEPTH_MAX) {
        fail(r, rc_raise(r->err, E_CORRUPT, "the answer's XML is deeper than %d levels", S3_CRED_STS_XML_DEPTH_MAX));
        return;
    }
    if (r->part != OTHER) {
        fail(r, rc_raise(r->err, E_CORRUPT, "%s in the answer has elements in it", parts[r->part].name));
        return;
    }
    for (enum part p = OTHER + 1; p < PART_COUNT; p++) {
        if (r->depth != r->parent_depth + 1 || strcmp(parts[p].parent, r->parent) != 0
            || strcmp(parts[p].name, name) != 0)
            continue;
        if ((r->seen & 1u << p) != 0) {
            fail(r, rc_raise(r->err, E_CORRUPT, "%s is there more than once in the answer", parts[p].name));
            return;
        }
        r->seen |= 1u << p;
        r->part = p;
        buf_trim(&r->text, 0);
        return;
    }
    if (strcmp(name, "Credentials") == 0 || strcmp(name, "Error") == 0) {
        (void)strncpy(r->parent, name, sizeof r->parent - 1); /* the last byte stays 0 */
        r->parent_depth = r->depth;
    }
}

static void on_text(void *ctx, const XML_Char *text, int n)
{
    struct reader *r = ctx;

    if (r->part != OTHER)
        buf_put(&r->text, text, (size_t)n); /* the whole answer fits into it */
}

static void take_expiry(struct reader *r)
{
    struct err quoting;

    if (rc_failed(strx_time_ms(buf_str(&r->text), &r->box->expires_ms, &quoting)) || r->box->expires_ms <= 0
        || strlen(buf_str(&r->text)) != r->text.size)
        fail(r, rc_raise(r->err, E_CORRUPT, "Expiration in the answer is not a time like 2026-11-21T02:01:21Z"));
}

static void on_end(void *ctx, const XML_Char *full)
{
    struct reader *r = ctx;
    enum part part = r->part;

    (void)full;
    if (r->failed)
        return;
    if (r->depth == r->parent_depth) {
        r->parent[0] = 0;
        r->parent_depth = 0;
    }
    r->depth--;
    r->part = OTHER;
    if (part == CODE)
        (void)s3_cred_quote_text(buf_span(&r->text), r->code);
    else if (part == MESSAGE)
        (void)s3_cred_quote_text(buf_span(&r->text), r->message);
    else if (part == EXPIRATION)
        take_expiry(r);
    else if (part != OTHER) {
        enum s3_cred_field field = part == ACCESS_KEY   ? S3_CRED_ACCESS_KEY
                                   : part == SECRET_KEY ? S3_CRED_SECRET_KEY
                                                        : S3_CRED_SESSION_TOKEN;
        struct rc rc = s3_cred_box_put(r->box, field, buf_span(&r->text), parts[part].name, E_CORRUPT, r->err);

        if (rc_failed(rc))
            fail(r, rc);
    }
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
    struct reader *r = ctx;

    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    fail(r, rc_raise(r->err, E_CORRUPT, "the answer has a document type declaration, which no STS sends"));
}

/* --- the answer ----------------------------------------------------------------------------------------------------
 */

static struct rc judge(const struct reader *r, struct err *err)
{
    const unsigned refusal = 1u << CODE | 1u << MESSAGE;

    if ((r->seen & refusal) != 0) {
        bool busy = strstr(r->code, "Throttl") != NULL;

        return rc_raise(err, busy ? E_THROTTLED : E_DENIED, "%s%s%s", r->code,
            r->code[0] != 0 && r->message[0] != 0 ? ": " : "", r->message);
    }
    for (enum part p = ACCESS_KEY; p <= EXPIRATION; p++) {
        if ((r->seen & 1u << p) == 0)
            return rc_raise(err, E_CORRUPT, "%s is missing in the answer", parts[p].name);
    }
    return RC_OK;
}

static struct rc run(struct reader *r, struct span xml, struct err *err)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_begin, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    if (XML_Parse(r->parser, (const char *)xml.data, (int)xml.size, 1) != XML_STATUS_OK) {
        if (r->failed)
            return rc_of(err);
        if (XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY)
            return rc_raise(err, E_NOMEM, "memory for the answer");
        return rc_raise(err, E_CORRUPT, "the answer is not XML (line %lu)", XML_GetCurrentLineNumber(r->parser));
    }
    /* Stopping in the end tag of the last element comes too late for expat to notice. */
    if (r->failed)
        return rc_of(err);
    TRY(buf_check(&r->text, "the answer", err));
    return judge(r, err);
}

struct rc s3_cred_sts_xml_decode(struct span xml, struct s3_cred_box *box, struct err *err)
{
    struct reader r = {.box = box, .err = err};
    struct rc rc;

    if (xml.size == 0)
        return rc_raise(err, E_CORRUPT, "the answer is empty");
    if (xml.size > S3_CRED_STS_XML_MAX)
        return rc_raise(
            err, E_CORRUPT, "the answer has %zu bytes, more than the limit of %d", xml.size, S3_CRED_STS_XML_MAX);
    r.parser = XML_ParserCreate_MM(NULL, &wiping, NULL);
    if (r.parser == NULL)
        return rc_raise(err, E_NOMEM, "memory for the answer");
    /* UTF-8 may need up to three bytes for one of another encoding. */
    s3_cred_box_buf(&r.text, 4 * S3_CRED_STS_XML_MAX);
    rc = run(&r, xml, err);
    s3_cred_box_buf_end(&r.text);
    XML_ParserFree(r.parser);
    return rc;
}
