/* SPDX-License-Identifier: Apache-2.0 */
/* btree_map_touch - from the owners of changed pages, before and after, to the tables and indexes that were touched. */
#ifndef BTREE_MAP_TOUCH_H
#define BTREE_MAP_TOUCH_H

#include "btree_map_intern.h"

/* Before the claims change / when they are made. */
MUST_USE struct rc btree_map_touch_before(struct btree_map *m, uint32_t page_count, struct err *err);
MUST_USE struct rc btree_map_touch_after(struct btree_map *m, struct err *err);
void btree_map_touch_fini(struct btree_map *m);

const char *btree_map_touch_name(enum btree_map_kind kind);
enum btree_map_kind btree_map_touch_kind(
    const struct btree_map *m, uint32_t pgno, uint32_t owner, enum btree_map_role role);

#endif
