/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3_carry - an object gets another key by way of us: it is read piece by piece and sent again, as the parts of
 * an upload to that key.  For stores that cannot copy, or not what a customer's key has encrypted (Ceph).
 *
 * The object appears whole at the end or not at all; what there is of a failed try is aborted.  With `create_only` the
 * key is looked at once more right before the end, because all this takes its time.
 *
 * Memory: one part.
 */
#ifndef STORE_S3_CARRY_H
#define STORE_S3_CARRY_H

#include "store_s3_intern.h"

/* E_EXISTS with `create_only`: another object has the key.  The upload of the op has been put together under `from`. */
void store_s3_carry_run(
    struct s3_op *op, const char *from, const char *to, uint64_t size, void (*done)(struct s3_op *op, struct rc rc));
void store_s3_carry_free(struct s3_carry *carry); /* fine on NULL */

#endif
