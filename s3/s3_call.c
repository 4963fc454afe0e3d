/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_call.h"

#include "alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { VALUE_SIZE = 4096 };

void s3_call_init(struct s3_call *call, int kind, const char *method, const char *key)
{
    *call = (struct s3_call){.kind = kind, .method = method, .answer_max = S3_CALL_ANSWER_MAX};
    call->key = key != NULL ? mem_strdup(key) : NULL;
}

/* Customer keys are among the headers. */
static void free_fields(struct s3_call_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        explicit_bzero(fields[i].value, strlen(fields[i].value));
        mem_free(fields[i].value);
    }
}

void s3_call_fini(struct s3_call *call)
{
    free_fields(call->params, call->param_count);
    free_fields(call->headers, call->header_count);
    call->param_count = call->header_count = 0;
    mem_free(call->key);
    call->key = NULL;
    mem_free(call->access_key);
    call->access_key = NULL;
    if (call->sent)
        s3_http_req_fini(&call->http);
    call->sent = false;
}

void s3_call_param(struct s3_call *call, const char *name, const char *value)
{
    assert(call->param_count < S3_CALL_PARAMS_MAX);
    call->params[call->param_count++] = (struct s3_call_field){.name = name, .value = mem_strdup(value)};
}

void s3_call_header(struct s3_call *call, const char *name, const char *fmt, ...)
{
    char value[VALUE_SIZE];
    va_list args;
    int n;

    assert(call->header_count < S3_CALL_HEADERS_MAX);
    va_start(args, fmt);
    n = vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    assert(n >= 0);
    assert(n < VALUE_SIZE); /* keys, ETags and the configuration's texts are shorter */
    call->headers[call->header_count++] = (struct s3_call_field){.name = name, .value = mem_strdup(value)};
    explicit_bzero(value, sizeof value);
}

struct rc s3_call_result(const struct s3_call *call, struct err *err)
{
    if (call->err.code == E_OK)
        return RC_OK;
    *err = call->err;
    return rc_of(err);
}
