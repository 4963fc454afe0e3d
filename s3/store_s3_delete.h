/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3_delete - deleting one object, or many: in one request where the store has DeleteObjects, else one by one.
 */
#ifndef STORE_S3_DELETE_H
#define STORE_S3_DELETE_H

#include "store_s3_intern.h"

void store_s3_delete_one(struct s3_op *op);
void store_s3_delete_many(struct s3_op *op);

#endif
