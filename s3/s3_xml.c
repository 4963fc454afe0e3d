/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_xml.h"

#include "alloc.h"
#include "strx.h"

#include <assert.h>
#include <expat.h>
#include <limits.h>
#include <string.h>

/* --- a walk over the elements ------------------------------------------------------------------------------------- */

enum { NAME_SIZE = 64, PATH_SIZE = S3_XML_DEPTH_MAX * NAME_SIZE, CHUNK_SIZE = 64 << 10 };

/*
 * `path` is where the walk is: "ListBucketResult/Contents/Key".  on_open and on_close are called for each element, the
 * latter with its text; elements with children have the text between them, which nobody looks at.
 */
struct walk {
    XML_Parser parser;
    char path[PATH_SIZE];
    size_t path_size;
    unsigned depth, element_count;
    char text[S3_XML_TEXT_MAX + 1];
    size_t text_size;
    void (*on_open)(struct walk *w);
    void (*on_close)(struct walk *w);
    void *ctx;
    struct err *err; /* where the first failure is told */
    bool failed;
};

static void refuse(struct walk *w, struct rc rc)
{
    assert(rc_failed(rc));
    w->failed = true;
    (void)XML_StopParser(w->parser, XML_FALSE); /* fails only when it has stopped already */
}

/* The name without its namespace's prefix. */
static const char *local_name(const char *name)
{
    const char *colon = strchr(name, ':');

    return colon != NULL ? colon + 1 : name;
}

static void on_start(void *data, const char *name, const char **attributes)
{
    struct walk *w = data;
    const char *local = local_name(name);
    size_t n = strlen(local);

    (void)attributes;
    if (w->failed)
        return;
    if (++w->element_count > S3_XML_ELEMENTS_MAX) {
        refuse(w, rc_raise(w->err, E_CORRUPT, "more than %d elements", S3_XML_ELEMENTS_MAX));
        return;
    }
    if (++w->depth > S3_XML_DEPTH_MAX) {
        refuse(w, rc_raise(w->err, E_CORRUPT, "elements nested deeper than %d", S3_XML_DEPTH_MAX));
        return;
    }
    if (n >= NAME_SIZE - 1) {
        refuse(w, rc_raise(w->err, E_CORRUPT, "an element's name has %zu bytes", n));
        return;
    }
    if (w->depth > 1)
        w->path[w->path_size++] = '/';
    memcpy(w->path + w->path_size, local, n + 1);
    w->path_size += n;
    w->text_size = 0;
    w->on_open(w);
}

static void on_end(void *data, const char *name)
{
    struct walk *w = data;
    size_t n = strlen(local_name(name));

    if (w->failed)
        return;
    w->text[w->text_size] = 0;
    w->on_close(w);
    w->text_size = 0;
    w->path_size -= n;
    if (--w->depth > 0)
        w->path_size--;
    w->path[w->path_size] = 0;
}

static void on_text(void *data, const char *text, int n)
{
    struct walk *w = data;

    if (w->failed)
        return;
    if ((size_t)n > S3_XML_TEXT_MAX - w->text_size) {
        refuse(w, rc_raise(w->err, E_CORRUPT, "%s has more than %d bytes", w->path, S3_XML_TEXT_MAX));
        return;
    }
    memcpy(w->text + w->text_size, text, (size_t)n);
    w->text_size += (size_t)n;
}

static void on_doctype(void *data, const char *name, const char *system, const char *public, int has_subset)
{
    struct walk *w = data;

    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    if (!w->failed)
        refuse(w, rc_raise(w->err, E_CORRUPT, "a document type declaration"));
}

static void ignore_open(struct walk *w)
{
    (void)w;
}

static struct rc parse(struct walk *w, struct span xml)
{
    size_t at = 0;

    for (;;) {
        size_t n = xml.size - at < CHUNK_SIZE ? xml.size - at : CHUNK_SIZE;
        bool last = at + n == xml.size;
        enum XML_Status status = XML_Parse(w->parser, (const char *)xml.data + at, (int)n, last);

        if (w->failed)
            return rc_of(w->err);
        if (status != XML_STATUS_OK)
            return rc_raise(w->err, E_CORRUPT, "%s in line %lu", XML_ErrorString(XML_GetErrorCode(w->parser)),
                (unsigned long)XML_GetCurrentLineNumber(w->parser));
        if (last)
            return RC_OK;
        at += n;
    }
}

/* While a store works on a request that takes long (CompleteMultipartUpload) it sends white space, so that nobody hangs
 * up: it may stand before the declaration, where XML does not allow it. */
static struct span skip_white(struct span xml)
{
    size_t n = 0;

    while (n < xml.size && (xml.data[n] == ' ' || xml.data[n] == '\t' || xml.data[n] == '\r' || xml.data[n] == '\n'))
        n++;
    return n == 0 ? xml : span_of(xml.data + n, xml.size - n);
}

static struct rc walk(struct walk *w, struct span answer, struct err *err)
{
    struct span xml = skip_white(answer);
    struct rc rc;

    w->err = err;
    if (w->on_open == NULL)
        w->on_open = ignore_open;
    if (xml.size == 0)
        return rc_raise(err, E_CORRUPT, "an empty answer instead of XML");
    w->parser = XML_ParserCreate(NULL);
    if (w->parser == NULL)
        return rc_raise(err, E_NOMEM, "an XML parser");
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, on_start, on_end);
    XML_SetCharacterDataHandler(w->parser, on_text);
    XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
    rc = parse(w, xml);
    XML_ParserFree(w->parser);
    return rc_failed(rc) ? rc_wrap(err, "XML") : RC_OK;
}

static bool at(const struct walk *w, const char *path)
{
    return strcmp(w->path, path) == 0;
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

/* Messages go to logs and terminals, so control characters do not. */
static void keep(char *to, size_t room, const struct walk *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->text_size && n + 1 < room; i++)
        to[n++] = (unsigned char)w->text[i] < 0x20 || w->text[i] == 0x7f ? ' ' : w->text[i];
    to[n] = 0;
}

static void take_error(const struct walk *w, const char *name, struct s3_xml_error *e)
{
    if (strcmp(name, "Code") == 0)
        keep(e->code, sizeof e->code, w);
    else if (strcmp(name, "Message") == 0)
        keep(e->message, sizeof e->message, w);
    else if (strcmp(name, "RequestId") == 0)
        keep(e->request_id, sizeof e->request_id, w);
    else if (strcmp(name, "Region") == 0)
        keep(e->region, sizeof e->region, w);
    else if (strcmp(name, "Endpoint") == 0)
        keep(e->endpoint, sizeof e->endpoint, w);
    else if (strcmp(name, "Key") == 0)
        keep(e->key, sizeof e->key, w);
}

struct error_read {
    struct s3_xml_error error;
    bool is_error;
};

static void close_error(struct walk *w)
{
    struct error_read *r = w->ctx;

    if (at(w, "Error"))
        r->is_error = true;
    else if (w->depth == 2 && strncmp(w->path, "Error/", 6) == 0)
        take_error(w, w->path + 6, &r->error);
    else if (w->depth == 3 && strncmp(w->path, "ErrorResponse/Error/", 20) == 0) { /* how IAM and some gateways do it */
        take_error(w, w->path + 20, &r->error);
        r->is_error = true;
    }
}

bool s3_xml_read_error(struct span xml, struct s3_xml_error *out)
{
    struct error_read r = {0};
    struct walk w = {.on_close = close_error, .ctx = &r};
    struct err err;

    if (rc_failed(walk(&w, xml, &err)) || !r.is_error)
        return false;
    *out = r.error;
    return true;
}

/* --- listings ----------------------------------------------------------------------------------------------------- */

struct list_read {
    struct s3_xml_list list;
    size_t room;
    char key[S3_XML_TEXT_MAX + 1];
    bool has_key, is_list;
    bool is_encoded; /* the answer says so */
    uint64_t size;
    int64_t modified_ms;
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place is fine: the text gets no longer. */
static void decode(const char *text, bool plus, char *to)
{
    while (*text != 0) {
        int high = *text == '%' ? hex(text[1]) : -1;
        int low = high >= 0 ? hex(text[2]) : -1;

        if (low >= 0 && high + low > 0) {
            *to++ = (char)(high * 16 + low);
            text += 3;
        } else {
            *to++ = *text == '+' && plus ? ' ' : *text;
            text++;
        }
    }
    *to = 0;
}

static void add_entry(struct walk *w, bool is_prefix)
{
    struct list_read *r = w->ctx;
    struct s3_xml_list *list = &r->list;

    if (!r->has_key) {
        refuse(w, rc_raise(w->err, E_CORRUPT, "an entry without a key in a listing"));
        return;
    }
    if (list->count == r->room) {
        size_t room = r->room == 0 ? 64 : 2 * r->room;
        struct s3_xml_entry *more = mem_resize(list->entries, room, sizeof *more);

        if (more == NULL) {
            refuse(w, rc_raise(w->err, E_NOMEM, "a listing of %zu entries", room));
            return;
        }
        list->entries = more;
        r->room = room;
    }
    list->entries[list->count++] = (struct s3_xml_entry){
        .key = mem_strdup(r->key),
        .size = is_prefix ? 0 : r->size,
        .modified_ms = is_prefix ? 0 : r->modified_ms,
        .is_prefix = is_prefix,
    };
}

static void open_list(struct walk *w)
{
    struct list_read *r = w->ctx;

    if (at(w, "ListBucketResult"))
        r->is_list = true;
    else if (at(w, "ListBucketResult/Contents") || at(w, "ListBucketResult/CommonPrefixes")) {
        r->has_key = false;
        r->size = 0;
        r->modified_ms = 0;
    }
}

static void close_list(struct walk *w)
{
    struct list_read *r = w->ctx;

    if (at(w, "ListBucketResult/Contents/Key") || at(w, "ListBucketResult/CommonPrefixes/Prefix")) {
        memcpy(r->key, w->text, w->text_size + 1);
        r->has_key = true;
    } else if (at(w, "ListBucketResult/Contents/Size")) {
        if (rc_failed(strx_u64(w->text, 0, INT64_MAX, &r->size, w->err)))
            refuse(w, rc_raise(w->err, E_CORRUPT, "size \"%.32s\" of an object in a listing", w->text));
    } else if (at(w, "ListBucketResult/Contents/LastModified")) {
        struct err ignored;

        if (rc_failed(strx_time_ms(w->text, &r->modified_ms, &ignored)))
            r->modified_ms = 0; /* nothing depends on it but when leftovers are cleared away */
    } else if (at(w, "ListBucketResult/Contents"))
        add_entry(w, false);
    else if (at(w, "ListBucketResult/CommonPrefixes"))
        add_entry(w, true);
    else if (at(w, "ListBucketResult/EncodingType"))
        r->is_encoded = strcmp(w->text, "url") == 0;
    else if (at(w, "ListBucketResult/IsTruncated"))
        r->list.truncated = strcmp(w->text, "true") == 0;
    else if (at(w, "ListBucketResult/NextContinuationToken") && w->text_size > 0) {
        mem_free(r->list.next_token);
        r->list.next_token = mem_strdup(w->text);
    }
}

void s3_xml_list_fini(struct s3_xml_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->entries[i].key);
    mem_free(list->entries);
    mem_free(list->next_token);
    *list = (struct s3_xml_list){0};
}

struct rc s3_xml_read_list(struct span xml, struct s3_xml_list *out, struct err *err)
{
    struct list_read r = {0};
    struct walk w = {.on_open = open_list, .on_close = close_list, .ctx = &r};
    struct rc rc = walk(&w, xml, err);

    if (!rc_failed(rc) && !r.is_list)
        rc = rc_raise(err, E_CORRUPT, "XML that is no listing");
    if (rc_failed(rc)) {
        s3_xml_list_fini(&r.list);
        return rc;
    }
    for (size_t i = 0; i < r.list.count; i++)
        decode(r.list.entries[i].key, r.is_encoded, r.list.entries[i].key);
    *out = r.list;
    return RC_OK;
}

/* --- one value ---------------------------------------------------------------------------------------------------- */

struct value_read {
    const char *const *roots; /* NULL at the end */
    const char *name;
    char text[S3_XML_TEXT_MAX + 1];
    bool found; /* one of the roots was there */
};

static void close_value(struct walk *w)
{
    struct value_read *r = w->ctx;

    for (size_t i = 0; r->roots[i] != NULL; i++) {
        size_t n = strlen(r->roots[i]);

        if (strncmp(w->path, r->roots[i], n) != 0)
            continue;
        if (w->path[n] == 0)
            r->found = true;
        else if (w->path[n] == '/' && strcmp(w->path + n + 1, r->name) == 0)
            memcpy(r->text, w->text, w->text_size + 1);
    }
}

struct rc s3_xml_read_upload_id(struct span xml, char **out, struct err *err)
{
    static const char *const roots[] = {"InitiateMultipartUploadResult", NULL};
    struct value_read r = {.roots = roots, .name = "UploadId"};
    struct walk w = {.on_close = close_value, .ctx = &r};

    TRY(walk(&w, xml, err));
    if (!r.found || r.text[0] == 0)
        return rc_raise(err, E_CORRUPT, "XML without the id of the new upload");
    *out = mem_strdup(r.text);
    return RC_OK;
}

struct rc s3_xml_read_etag(struct span xml, char out[STORE_ETAG_SIZE], struct err *err)
{
    static const char *const roots[] = {"CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult", NULL};
    struct value_read r = {.roots = roots, .name = "ETag"};
    struct walk w = {.on_close = close_value, .ctx = &r};
    size_t n;

    TRY(walk(&w, xml, err));
    n = strlen(r.text);
    if (!r.found)
        return rc_raise(err, E_CORRUPT, "XML that is no result of what was asked for");
    if (n >= STORE_ETAG_SIZE)
        return rc_raise(err, E_CORRUPT, "an ETag of %zu bytes", n);
    memcpy(out, r.text, n + 1);
    return RC_OK;
}

/* --- deletions ---------------------------------------------------------------------------------------------------- */

struct deleted_read {
    struct s3_xml_error first, current;
    size_t failed_count;
    bool is_result;
};

static void open_deleted(struct walk *w)
{
    struct deleted_read *r = w->ctx;

    if (at(w, "DeleteResult"))
        r->is_result = true;
    else if (at(w, "DeleteResult/Error"))
        r->current = (struct s3_xml_error){0};
}

static void close_deleted(struct walk *w)
{
    struct deleted_read *r = w->ctx;

    if (at(w, "DeleteResult/Error")) {
        if (strcmp(r->current.code, "NoSuchKey") != 0 && r->failed_count++ == 0)
            r->first = r->current;
    } else if (w->depth == 3 && strncmp(w->path, "DeleteResult/Error/", 19) == 0)
        take_error(w, w->path + 19, &r->current);
}

struct rc s3_xml_read_deleted(struct span xml, size_t *failed_count, struct s3_xml_error *first, struct err *err)
{
    struct deleted_read r = {0};
    struct walk w = {.on_open = open_deleted, .on_close = close_deleted, .ctx = &r};

    TRY(walk(&w, xml, err));
    if (!r.is_result)
        return rc_raise(err, E_CORRUPT, "XML that is no result of a deletion");
    *failed_count = r.failed_count;
    *first = r.first;
    return RC_OK;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

void s3_xml_escape(const char *text, struct buf *out)
{
    for (; *text != 0; text++) {
        switch (*text) {
        case '&':
            buf_text(out, "&amp;");
            break;
        case '<':
            buf_text(out, "&lt;");
            break;
        case '>':
            buf_text(out, "&gt;");
            break;
        case '"':
            buf_text(out, "&quot;");
            break;
        default:
            buf_put(out, text, 1);
            break;
        }
    }
}
