/* SPDX-License-Identifier: Apache-2.0 */
/* store_s3_put - one object in one request, with its conditions. */
#ifndef STORE_S3_PUT_H
#define STORE_S3_PUT_H

#include "store_s3_intern.h"

/* Put op->body under the request's key; ends the op, or calls op->then. */
void store_s3_put_begin(struct s3_op *op);

#endif
