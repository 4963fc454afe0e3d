/* SPDX-License-Identifier: Apache-2.0 */
/* What STS answers: what is accepted can be sent in headers, and what is not is told in one printable line. */
#include "s3_cred_sts_xml.h"

#include <stdlib.h>

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
    struct s3_cred_box *box = s3_cred_box_new();
    struct err err;

    require(box != NULL);
    check(s3_cred_sts_xml_decode(span_of(data, size), box, &err), box, &err);
    s3_cred_box_free(box);
    return 0;
}
