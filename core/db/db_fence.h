/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_fence - where the store cannot keep a second writer out (fence.h), an actor that ships looks now and then whether
 * somebody else has begun a newer timeline.  An idle one does not: it asks before it goes on.
 */
#ifndef DB_FENCE_H
#define DB_FENCE_H

#include "db.h"

void db_fence_look_if_due(struct db *db);

#endif
