/* SPDX-License-Identifier: Apache-2.0 */
/* store_s3_who - who we are to the bucket, and whose it is: see store_identify() and store_provider(). */
#ifndef STORE_S3_WHO_H
#define STORE_S3_WHO_H

#include "store.h"

void store_s3_who_ask(struct store *base, struct store_who *who);
const char *store_s3_who_provider(const struct store *base);

#endif
