/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_xml_walk.h"

#include <assert.h>
#include <expat.h>
#include <limits.h>
#include <string.h>

enum { CHUNK_SIZE = 64 << 10 };

void s3_xml_walk_refuse(struct s3_xml_walk *w, struct rc rc)
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
    struct s3_xml_walk *w = data;
    const char *local = local_name(name);
    size_t n = strlen(local);

    (void)attributes;
    if (w->failed)
        return;
    if (++w->element_count > S3_XML_ELEMENTS_MAX) {
        s3_xml_walk_refuse(w, rc_raise(w->err, E_CORRUPT, "more than %d elements", S3_XML_ELEMENTS_MAX));
        return;
    }
    if (++w->depth > S3_XML_DEPTH_MAX) {
        s3_xml_walk_refuse(w, rc_raise(w->err, E_CORRUPT, "elements nested deeper than %d", S3_XML_DEPTH_MAX));
        return;
    }
    if (n >= S3_XML_WALK_NAME_SIZE - 1) {
        s3_xml_walk_refuse(w, rc_raise(w->err, E_CORRUPT, "an element's name has %zu bytes", n));
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
    struct s3_xml_walk *w = data;
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
    struct s3_xml_walk *w = data;

    if (w->failed)
        return;
    if ((size_t)n > S3_XML_TEXT_MAX - w->text_size) {
        s3_xml_walk_refuse(w, rc_raise(w->err, E_CORRUPT, "%s has more than %d bytes", w->path, S3_XML_TEXT_MAX));
        return;
    }
    memcpy(w->text + w->text_size, text, (size_t)n);
    w->text_size += (size_t)n;
}

static void on_doctype(void *data, const char *name, const char *system, const char *public, int has_subset)
{
    struct s3_xml_walk *w = data;

    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    if (!w->failed)
        s3_xml_walk_refuse(w, rc_raise(w->err, E_CORRUPT, "a document type declaration"));
}

static void ignore_open(struct s3_xml_walk *w)
{
    (void)w;
}

static struct rc parse(struct s3_xml_walk *w, struct span xml)
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

struct rc s3_xml_walk_run(struct s3_xml_walk *w, struct span answer, struct err *err)
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

bool s3_xml_walk_at(const struct s3_xml_walk *w, const char *path)
{
    return strcmp(w->path, path) == 0;
}
