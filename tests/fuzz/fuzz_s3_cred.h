/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_s3_cred - what holds of credentials that were decoded, from whatever: what is accepted can be sent in headers,
 * and what is not is told in one printable line. */
#ifndef FUZZ_S3_CRED_H
#define FUZZ_S3_CRED_H

#include "s3_cred_box.h"

#include <stdlib.h>

static inline void fuzz_s3_cred_require(bool ok)
{
    if (!ok)
        abort();
}

static inline void fuzz_s3_cred_plain(const char *text, char from)
{
    for (; *text != 0; text++)
        fuzz_s3_cred_require(*text >= from && *text <= '~');
}

static inline void fuzz_s3_cred_check(struct rc rc, const struct s3_cred_box *box, const struct err *err)
{
    if (rc_failed(rc)) {
        fuzz_s3_cred_require(err->code == E_CORRUPT || err->code == E_DENIED || err->code == E_THROTTLED);
        fuzz_s3_cred_plain(err->msg, ' ');
        return;
    }
    fuzz_s3_cred_require(box->access_key[0] != 0);
    fuzz_s3_cred_require(box->secret_key[0] != 0);
    fuzz_s3_cred_plain(box->access_key, '!');
    fuzz_s3_cred_plain(box->secret_key, '!');
    fuzz_s3_cred_plain(box->session_token, '!');
    fuzz_s3_cred_require(box->expires_ms >= 0);
}

#endif
