/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_xml.h"

#include "alloc.h"
#include "s3_xml_walk.h"
#include "strx.h"

#include <string.h>

/* --- errors ------------------------------------------------------------------------------------------------------- */

/* Messages go to logs and terminals, so control characters do not. */
static void keep(char *to, size_t room, const struct s3_xml_walk *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->text_size && n + 1 < room; i++)
        to[n++] = (unsigned char)w->text[i] < 0x20 || w->text[i] == 0x7f ? ' ' : w->text[i];
    to[n] = 0;
}

static void take_error(const struct s3_xml_walk *w, const char *name, struct s3_xml_error *e)
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

static void close_error(struct s3_xml_walk *w)
{
    struct error_read *r = w->ctx;

    if (s3_xml_walk_at(w, "Error"))
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
    struct s3_xml_walk w = {.on_close = close_error, .ctx = &r};
    struct err err;

    if (rc_failed(s3_xml_walk_run(&w, xml, &err)) || !r.is_error)
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

static void add_entry(struct s3_xml_walk *w, bool is_prefix)
{
    struct list_read *r = w->ctx;
    struct s3_xml_list *list = &r->list;

    if (!r->has_key) {
        s3_xml_walk_refuse(w, rc_raise(w->err, E_CORRUPT, "an entry without a key in a listing"));
        return;
    }
    if (!mem_grow(&list->entries, list->count, &r->room, sizeof *list->entries)) {
        s3_xml_walk_refuse(w, rc_raise(w->err, E_NOMEM, "a listing of %zu entries", list->count + 1));
        return;
    }
    list->entries[list->count++] = (struct s3_xml_entry){
        .key = mem_strdup(r->key),
        .size = is_prefix ? 0 : r->size,
        .modified_ms = is_prefix ? 0 : r->modified_ms,
        .is_prefix = is_prefix,
    };
}

static void open_list(struct s3_xml_walk *w)
{
    struct list_read *r = w->ctx;

    if (s3_xml_walk_at(w, "ListBucketResult"))
        r->is_list = true;
    else if (s3_xml_walk_at(w, "ListBucketResult/Contents") || s3_xml_walk_at(w, "ListBucketResult/CommonPrefixes")) {
        r->has_key = false;
        r->size = 0;
        r->modified_ms = 0;
    }
}

static void close_list(struct s3_xml_walk *w)
{
    struct list_read *r = w->ctx;

    if (s3_xml_walk_at(w, "ListBucketResult/Contents/Key")
        || s3_xml_walk_at(w, "ListBucketResult/CommonPrefixes/Prefix")) {
        memcpy(r->key, w->text, w->text_size + 1);
        r->has_key = true;
    } else if (s3_xml_walk_at(w, "ListBucketResult/Contents/Size")) {
        if (rc_failed(strx_u64(w->text, 0, INT64_MAX, &r->size, w->err)))
            s3_xml_walk_refuse(w, rc_raise(w->err, E_CORRUPT, "size \"%.32s\" of an object in a listing", w->text));
    } else if (s3_xml_walk_at(w, "ListBucketResult/Contents/LastModified")) {
        struct err ignored;

        if (rc_failed(strx_time_ms(w->text, &r->modified_ms, &ignored)))
            r->modified_ms = 0; /* nothing depends on it but when leftovers are cleared away */
    } else if (s3_xml_walk_at(w, "ListBucketResult/Contents"))
        add_entry(w, false);
    else if (s3_xml_walk_at(w, "ListBucketResult/CommonPrefixes"))
        add_entry(w, true);
    else if (s3_xml_walk_at(w, "ListBucketResult/EncodingType"))
        r->is_encoded = strcmp(w->text, "url") == 0;
    else if (s3_xml_walk_at(w, "ListBucketResult/IsTruncated"))
        r->list.truncated = strcmp(w->text, "true") == 0;
    else if (s3_xml_walk_at(w, "ListBucketResult/NextContinuationToken") && w->text_size > 0) {
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
    struct s3_xml_walk w = {.on_open = open_list, .on_close = close_list, .ctx = &r};
    struct rc rc = s3_xml_walk_run(&w, xml, err);

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

/* --- unfinished uploads ------------------------------------------------------------------------------------------- */

struct uploads_read {
    struct s3_xml_uploads out;
    struct s3_xml_upload current;
    size_t room;
    bool is_list;
};

static void upload_fini(struct s3_xml_upload *u)
{
    mem_free(u->key);
    mem_free(u->id);
    *u = (struct s3_xml_upload){0};
}

static void replace(char **to, const struct s3_xml_walk *w)
{
    mem_free(*to);
    *to = mem_strdup(w->text);
}

static void add_upload(struct s3_xml_walk *w)
{
    struct uploads_read *r = w->ctx;
    struct s3_xml_uploads *out = &r->out;

    if (!mem_grow(&out->uploads, out->count, &r->room, sizeof *out->uploads)) {
        s3_xml_walk_refuse(w, rc_raise(w->err, E_NOMEM, "a listing of %zu uploads", out->count + 1));
        return;
    }
    if (r->current.key == NULL)
        r->current.key = mem_strdup("");
    if (r->current.id == NULL)
        r->current.id = mem_strdup("");
    out->uploads[out->count++] = r->current;
    r->current = (struct s3_xml_upload){0};
}

static void open_uploads(struct s3_xml_walk *w)
{
    struct uploads_read *r = w->ctx;

    if (s3_xml_walk_at(w, "ListMultipartUploadsResult"))
        r->is_list = true;
    else if (s3_xml_walk_at(w, "ListMultipartUploadsResult/Upload"))
        upload_fini(&r->current);
}

static void close_uploads(struct s3_xml_walk *w)
{
    struct uploads_read *r = w->ctx;
    struct err ignored;

    if (s3_xml_walk_at(w, "ListMultipartUploadsResult/Upload/Key"))
        replace(&r->current.key, w);
    else if (s3_xml_walk_at(w, "ListMultipartUploadsResult/Upload/UploadId"))
        replace(&r->current.id, w);
    else if (s3_xml_walk_at(w, "ListMultipartUploadsResult/Upload/Initiated")) {
        if (rc_failed(strx_time_ms(w->text, &r->current.begun_ms, &ignored)))
            r->current.begun_ms = 0; /* such a one is left alone */
    } else if (s3_xml_walk_at(w, "ListMultipartUploadsResult/Upload"))
        add_upload(w);
    else if (s3_xml_walk_at(w, "ListMultipartUploadsResult/IsTruncated"))
        r->out.truncated = strcmp(w->text, "true") == 0;
    else if (s3_xml_walk_at(w, "ListMultipartUploadsResult/NextKeyMarker"))
        replace(&r->out.next_key, w);
    else if (s3_xml_walk_at(w, "ListMultipartUploadsResult/NextUploadIdMarker"))
        replace(&r->out.next_id, w);
}

void s3_xml_uploads_fini(struct s3_xml_uploads *uploads)
{
    for (size_t i = 0; i < uploads->count; i++)
        upload_fini(&uploads->uploads[i]);
    mem_free(uploads->uploads);
    mem_free(uploads->next_key);
    mem_free(uploads->next_id);
    *uploads = (struct s3_xml_uploads){0};
}

struct rc s3_xml_read_uploads(struct span xml, struct s3_xml_uploads *out, struct err *err)
{
    struct uploads_read r = {0};
    struct s3_xml_walk w = {.on_open = open_uploads, .on_close = close_uploads, .ctx = &r};
    struct rc rc = s3_xml_walk_run(&w, xml, err);

    upload_fini(&r.current);
    if (!rc_failed(rc) && !r.is_list)
        rc = rc_raise(err, E_CORRUPT, "XML that is no listing of uploads");
    if (rc_failed(rc)) {
        s3_xml_uploads_fini(&r.out);
        return rc;
    }
    *out = r.out;
    return RC_OK;
}

/* --- one value ---------------------------------------------------------------------------------------------------- */

struct value_read {
    const char *const *roots; /* NULL at the end */
    const char *name;
    char text[S3_XML_TEXT_MAX + 1];
    bool found; /* one of the roots was there */
};

static void close_value(struct s3_xml_walk *w)
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
    struct s3_xml_walk w = {.on_close = close_value, .ctx = &r};

    TRY(s3_xml_walk_run(&w, xml, err));
    if (!r.found || r.text[0] == 0)
        return rc_raise(err, E_CORRUPT, "XML without the id of the new upload");
    *out = mem_strdup(r.text);
    return RC_OK;
}

struct rc s3_xml_read_etag(struct span xml, char out[STORE_ETAG_SIZE], struct err *err)
{
    static const char *const roots[] = {"CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult", NULL};
    struct value_read r = {.roots = roots, .name = "ETag"};
    struct s3_xml_walk w = {.on_close = close_value, .ctx = &r};
    size_t n;

    TRY(s3_xml_walk_run(&w, xml, err));
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

static void open_deleted(struct s3_xml_walk *w)
{
    struct deleted_read *r = w->ctx;

    if (s3_xml_walk_at(w, "DeleteResult"))
        r->is_result = true;
    else if (s3_xml_walk_at(w, "DeleteResult/Error"))
        r->current = (struct s3_xml_error){0};
}

static void close_deleted(struct s3_xml_walk *w)
{
    struct deleted_read *r = w->ctx;

    if (s3_xml_walk_at(w, "DeleteResult/Error")) {
        if (strcmp(r->current.code, "NoSuchKey") != 0 && r->failed_count++ == 0)
            r->first = r->current;
    } else if (w->depth == 3 && strncmp(w->path, "DeleteResult/Error/", 19) == 0)
        take_error(w, w->path + 19, &r->current);
}

struct rc s3_xml_read_deleted(struct span xml, size_t *failed_count, struct s3_xml_error *first, struct err *err)
{
    struct deleted_read r = {0};
    struct s3_xml_walk w = {.on_open = open_deleted, .on_close = close_deleted, .ctx = &r};

    TRY(s3_xml_walk_run(&w, xml, err));
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
