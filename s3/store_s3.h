/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_s3 - a replica in a bucket of an S3 store: keys below a prefix.
 *
 * Each verb is one HTTP request, but for these: a PUT with `create_only` where conditional writes were switched off (a
 * HEAD first), a PUT with `if_match` that a store refuses because of the ETag's quotes, listings with foreign keys
 * between ours, deletions of many on a store that has no such request, and uploads.
 *
 * Conditional writes.  `create_only` is If-None-Match: *; what the store answers is believed, so a store that ignores
 * the header must be found out before (core/replica/fence.h).  A store that does not know the header answers 501, and
 * the PUT fails with E_UNSUPPORTED; so it does, unsent, where the kind of store or conditional=none say so.  After
 * store_without_conditions() it is a HEAD and a plain PUT.
 *
 * Uploads.  The final key is known at FINISH only, and a multipart upload cannot be renamed: so it goes to
 * `<prefix>/.tmp/<random>`, which never shows in listings, and is copied by the store to its name at FINISH, then
 * deleted; a store that cannot copy gets the bytes once more (store_s3_carry.h).  With `key_final` it goes to its name
 * directly.  An upload of one part that is not full is a plain PUT.  What a dead process leaves behind is harmless and
 * costs storage: STORE_UPLOAD_SWEEP is for unfinished uploads, a listing of STORE_SCRATCH for objects below .tmp/.
 *
 * Nothing is repeated here but what the store's answer asks for (see s3_client); store_retry is for the rest.
 */
#ifndef STORE_S3_H
#define STORE_S3_H

#include "s3_config.h"

/* Takes the configuration, also on failure. */
MUST_USE struct rc store_s3_open(struct store_env *env, struct s3_config *config, struct store **out, struct err *err);

#endif
