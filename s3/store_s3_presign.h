/* SPDX-License-Identifier: Apache-2.0 */
/* store_s3_presign - links to objects, signed with the replica's credentials; see store_presign() in store.h. */
#ifndef STORE_S3_PRESIGN_H
#define STORE_S3_PRESIGN_H

#include "store.h"

MUST_USE struct rc store_s3_presign_link(
    struct store *s, const char *key, int64_t now_ms, uint32_t seconds, struct buf *url, struct err *err);

#endif
