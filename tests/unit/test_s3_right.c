/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "s3_right.h"
#include "store.h"

#include <string.h>

static void test_every_kind(void **state)
{
    (void)state;
    for (int kind = 0; kind < STORE_KIND_COUNT; kind++) {
        const struct s3_right *right = s3_right_of(kind);

        assert_memory_equal(right->action, "s3:", 3);
        /* Listing is the bucket's, and only that of objects can be narrowed to a prefix. */
        assert_int_equal(right->on_bucket, strstr(right->action, "ListBucket") != NULL);
        assert_int_equal(right->with_prefix, strcmp(right->action, "s3:ListBucket") == 0);
        /* What moves an object's bytes meets its key. */
        assert_int_equal(right->kms != NULL, strstr(right->action, "PutObject") != NULL
                                                 || (strstr(right->action, "GetObject") != NULL && kind != STORE_HEAD));
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(s3_right_of(STORE_UPLOAD_FINISH)->action, "s3:PutObject");
    assert_string_equal(s3_right_of(STORE_HEAD)->action, "s3:GetObject");
    assert_string_equal(s3_right_of(STORE_DELETE_MANY)->action, "s3:DeleteObject");
    assert_string_equal(s3_right_of(STORE_UPLOAD_ABORT)->action, "s3:AbortMultipartUpload");
    assert_string_equal(s3_right_of(STORE_UPLOAD_SWEEP)->action, "s3:ListBucketMultipartUploads");
    assert_string_equal(s3_right_of(STORE_KIND_COPY)->action, "s3:PutObject and s3:GetObject");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
