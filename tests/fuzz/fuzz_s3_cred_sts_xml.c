/* SPDX-License-Identifier: Apache-2.0 */
/* What STS answers: what is accepted can be sent in headers, and what is not is told in one printable line. */
#include "fuzz_s3_cred.h"
#include "s3_cred_sts_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_cred_box *box = s3_cred_box_new();
    struct err err;

    fuzz_s3_cred_require(box != NULL);
    fuzz_s3_cred_check(s3_cred_sts_xml_decode(span_of(data, size), box, &err), box, &err);
    s3_cred_box_free(box);
    return 0;
}
