/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials as JSON: what is accepted can be sent in headers, and what is not is told in one printable line. */
#include "fuzz_s3_cred.h"
#include "s3_cred_json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char reason[S3_CRED_QUOTE_SIZE];
    struct err err;

    for (int kind = S3_CRED_JSON_CONTAINER; kind <= S3_CRED_JSON_PROCESS; kind++) {
        struct s3_cred_box *box = s3_cred_box_new();

        fuzz_s3_cred_require(box != NULL);
        fuzz_s3_cred_check(
            s3_cred_json_decode(span_of(data, size), (enum s3_cred_json_kind)kind, box, &err), box, &err);
        s3_cred_box_free(box);
    }
    fuzz_s3_cred_plain(s3_cred_json_reason(span_of(data, size), reason), ' ');
    fuzz_s3_cred_require(strlen(reason) < sizeof reason);
    return 0;
}
