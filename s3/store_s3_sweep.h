/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3_sweep - uploads that nobody will finish: listed by ListMultipartUploads, and aborted.
 *
 * Only those below the prefix that was asked for count, with a key that could be weir's, begun long enough ago by the
 * clock of the store (the Date of its answer), and not under way in this very store.  At most STORE_LIST_MAX go in one
 * request, of the first STORE_S3_SWEEP_PAGES_MAX pages of the listing; the next request finds what is left.
 */
#ifndef STORE_S3_SWEEP_H
#define STORE_S3_SWEEP_H

#include "store_s3_intern.h"

enum { STORE_S3_SWEEP_PAGES_MAX = 100 };

void store_s3_sweep_begin(struct s3_op *op);
void store_s3_sweep_free(struct s3_sweep *w); /* fine on NULL */

#endif
