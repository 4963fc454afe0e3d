/* SPDX-License-Identifier: Apache-2.0 */
/* store_s3_finish - the end of an upload: completing, copying to the final key, deleting the provisional one. */
#ifndef STORE_S3_FINISH_H
#define STORE_S3_FINISH_H

#include "store_s3_upload.h"

/* The parts were checked, and op->upload->ending is set. */
void store_s3_finish_begin(struct s3_op *op);

#endif
