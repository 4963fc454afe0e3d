/* SPDX-License-Identifier: Apache-2.0 */
/* store_s3_get - reading objects: all of one, a range, or only its size. */
#ifndef STORE_S3_GET_H
#define STORE_S3_GET_H

#include "store_s3_intern.h"

/* A store that ignores Range answers with the whole object, which is fine up to this much more than was asked for. */
enum { STORE_S3_GET_SLACK = 1 << 20, STORE_S3_LISTING_MAX = 64 << 10 };

void store_s3_get_begin(struct s3_op *op);
void store_s3_get_head(struct s3_op *op);
/* "bytes 0-99/1234"; false when it is none, or the whole size is not told. */
bool store_s3_get_parse_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *size);

#endif
