/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3_same - is the object under a key what the parts of our upload make?
 *
 * Asked when a store says that the upload is gone, or the key taken: an earlier try may have been carried out although
 * its answer got lost.  The size has to be that of the parts.  The ETag proves it where it is the digest of the parts'
 * ETags, as with S3 itself; otherwise the object is read, part by part, and compared with the digests of what was sent.
 */
#ifndef STORE_S3_SAME_H
#define STORE_S3_SAME_H

#include "store_s3_intern.h"

/* `rc` fails with E_NOTFOUND when there is no object, and as the requests do. */
void store_s3_same_run(struct s3_op *op, const char *key, void (*done)(struct s3_op *op, struct rc rc, bool same));

#endif
