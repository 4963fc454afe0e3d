/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a store's answer: the first says as which, the second gives the status, the rest is the body.  What is
 * taken must keep its bounds, and what was read must be the same when it is read again.
 */
#include "alloc.h"
#include "s3_error.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)      \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

static void as_list(struct span xml)
{
    CLEANUP(s3_xml_list_fini) struct s3_xml_list list = {0}, again = {0};
    struct err err;

    if (rc_failed(s3_xml_read_list(xml, &list, &err)))
        return;
    MUST(!rc_failed(s3_xml_read_list(xml, &again, &err)));
    MUST(list.count <= S3_XML_ELEMENTS_MAX);
    MUST(list.count == again.count);
    for (size_t i = 0; i < list.count; i++) {
        MUST(strlen(list.entries[i].key) <= S3_XML_TEXT_MAX);
        MUST(strcmp(list.entries[i].key, again.entries[i].key) == 0);
        MUST(list.entries[i].size <= INT64_MAX);
    }
}

static void as_value(struct span xml)
{
    char etag[STORE_ETAG_SIZE];
    struct s3_xml_uploads uploads;
    struct s3_xml_error first;
    struct err err;
    size_t failed;
    char *id = NULL;

    if (!rc_failed(s3_xml_read_uploads(xml, &uploads, &err)))
        s3_xml_uploads_fini(&uploads);
    if (!rc_failed(s3_xml_read_upload_id(xml, &id, &err)))
        MUST(id[0] != 0 && strlen(id) <= S3_XML_TEXT_MAX);
    mem_free(id);
    if (!rc_failed(s3_xml_read_etag(xml, etag, &err)))
        MUST(strlen(etag) < sizeof etag);
    if (!rc_failed(s3_xml_read_deleted(xml, &failed, &first, &err)))
        MUST(memchr(first.key, 0, sizeof first.key) != NULL && (failed > 0 || first.code[0] == 0));
}

/* The header values are cut out of the body, as anything may stand there. */
static void as_error(int status, struct span body)
{
    CLEANUP(mem_freep) char *text = mem_printf("%.*s", (int)(body.size < 4096 ? body.size : 4096), body.data);
    struct s3_error_answer a = {.status = status, .body = body, .bucket = "b", .host = "h"};
    struct s3_error e;
    struct err err;
    int64_t ms;

    a.region = a.request_id = a.retry_after = body.size % 2 == 0 ? text : NULL;
    a.skew_ms = s3_error_parse_date(text, &ms) ? ms : 0;
    MUST(rc_failed(s3_error_judge(&a, &e, &err)));
    MUST(e.code == err.code && e.code != E_OK);
    MUST((e.action == S3_ACTION_REGION) == (e.region[0] != 0));
    MUST(strspn(e.region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == strlen(e.region));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    switch (data[0] % 3) {
    case 0:
        as_list(span_of(data + 2, size - 2));
        break;
    case 1:
        as_value(span_of(data + 2, size - 2));
        break;
    default:
        as_error(100 + 4 * (data[1] % 128), span_of(data + 2, size - 2));
        break;
    }
    return 0;
}
