/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3_list - listings, by ListObjectsV2.
 *
 * start-after says where to go on, so that no token has to be kept between two requests of ours.  A folder that was
 * listed has to be left behind as a whole: start-after is then the folder and a '~', which is behind every byte that
 * our keys have.
 *
 * Keys that are not weir's are skipped.  When a whole answer holds nothing else, the listing goes on with the store's
 * token, STORE_S3_LIST_PAGES_MAX times at most.  The order of ours is checked, so that a store that repeats itself,
 * goes backwards or sorts in another way is E_CORRUPT and neither an endless loop nor a gap.
 */
#ifndef STORE_S3_LIST_H
#define STORE_S3_LIST_H

#include "store_s3_intern.h"

enum { STORE_S3_LIST_PAGES_MAX = 1000, STORE_S3_LIST_ANSWER_MAX = 8 << 20 };

void store_s3_list_begin(struct s3_op *op);
void store_s3_list_free(struct s3_listing *listing); /* fine on NULL */

#endif
