/* SPDX-License-Identifier: Apache-2.0 */
#include "s3_right.h"

#include "store.h"

#include <assert.h>

static const struct s3_right put = {"s3:PutObject", "kms:GenerateDataKey", false, false};
static const struct s3_right get = {"s3:GetObject", "kms:Decrypt", false, false};
static const struct s3_right head = {"s3:GetObject", NULL, false, false};
static const struct s3_right list = {"s3:ListBucket", NULL, true, true};
static const struct s3_right remove_object = {"s3:DeleteObject", NULL, false, false};
static const struct s3_right abort_upload = {"s3:AbortMultipartUpload", NULL, false, false};
/* S3 knows no condition for it. */
static const struct s3_right list_uploads = {"s3:ListBucketMultipartUploads", NULL, true, false};
/* The refusal does not say which of its two ends it is about. */
static const struct s3_right copy = {
    "s3:PutObject and s3:GetObject", "kms:GenerateDataKey and kms:Decrypt", false, false};

static const struct s3_right *const rights[STORE_KIND_COUNT] = {
    [STORE_PUT] = &put,
    [STORE_GET] = &get,
    [STORE_HEAD] = &head,
    [STORE_LIST] = &list,
    [STORE_DELETE] = &remove_object,
    [STORE_DELETE_MANY] = &remove_object,
    [STORE_UPLOAD_START] = &put,
    [STORE_UPLOAD_PART] = &put,
    [STORE_UPLOAD_FINISH] = &put,
    [STORE_UPLOAD_ABORT] = &abort_upload,
    [STORE_UPLOAD_SWEEP] = &list_uploads,
    [STORE_KIND_COPY] = &copy,
};

const struct s3_right *s3_right_of(int kind)
{
    assert(kind >= 0);
    assert(kind < STORE_KIND_COUNT);
    assert(rights[kind] != NULL);
    return rights[kind];
}
