/* SPDX-License-Identifier: Apache-2.0 */
/* store_s3_copy - a copy within the bucket, made by the store: in one request, or of large objects in ranges. */
#ifndef STORE_S3_COPY_H
#define STORE_S3_COPY_H

#include "store_s3_intern.h"

/* `done` gets the outcome, with the error in the request.  The keys are copied. */
void store_s3_copy_run(
    struct s3_op *op, const char *from, const char *to, uint64_t size, void (*done)(struct s3_op *op, struct rc rc));

#endif
