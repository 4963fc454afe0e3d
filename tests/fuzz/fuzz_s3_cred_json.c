/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials as JSON: what is accepted can be sent in headers, and what is not is told in one printable line. */
#include "s3_cred_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void require_plain(const char *text, char from)
{
    for (; *text != 0; text++)
        require(*text >= from && *text <= '~');
}

static void check(struct rc rc, const struct s3_cred_box *box, const struct err *err)
{
    if (rc_failed(rc)) {
        require(err->code == E_CORRUPT || err->code == E_DENIED || err->code == E_THROTTLED);
        require_plain(err->msg, ' ');
        return;
    }
    require(box->access_key[0] != 0);
    require(box->secret_key[0] != 0);
    require_plain(box->access_key, '!');
    require_plain(box->secret_key, '!');
    require_plain(box->session_token, '!');
    require(box->expires_ms >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char reason[S3_CRED_QUOTE_SIZE];
    struct err err;

    for (int kind = S3_CRED_JSON_CONTAINER; kind <= S3_CRED_JSON_PROCESS; kind++) {
        struct s3_cred_box *box = s3_cred_box_new();

        require(box != NULL);
        check(s3_cred_json_decode(span_of(data, size), (enum s3_cred_json_kind)kind, box, &err), box, &err);
        s3_cred_box_free(box);
    }
    require_plain(s3_cred_json_reason(span_of(data, size), reason), ' ');
    require(strlen(reason) < sizeof reason);
    return 0;
}
