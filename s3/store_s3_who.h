/* SPDX-License-Identifier: Apache-2.0 */
/* store_s3_who - who we are to the bucket: see store_identify(). */
#ifndef STORE_S3_WHO_H
#define STORE_S3_WHO_H

#include "store.h"

void store_s3_who_ask(struct store *base, struct store_who *who);

#endif
