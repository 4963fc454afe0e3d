/* SPDX-License-Identifier: Apache-2.0 */
/* btree_map_forest - which page claims which: links, claims that are made and dropped, and what is left over. */
#ifndef BTREE_MAP_FOREST_H
#define BTREE_MAP_FOREST_H

#include "btree_map_intern.h"

PRINTF(2, 3) void btree_map_forest_damage(struct btree_map *m, const char *fmt, ...);
MUST_USE struct rc btree_map_forest_add(struct btree_map_list *l, uint32_t pgno, struct err *err);

/* The update that claimed it last; `stamp` makes it the present one. */
uint32_t btree_map_forest_epoch(const struct btree_map_node *n);
void btree_map_forest_stamp(const struct btree_map *m, struct btree_map_node *n);
void btree_map_forest_set_role(struct btree_map_node *n, enum btree_map_role role);
bool btree_map_forest_changed(const struct btree_map *m, uint32_t pgno);

void btree_map_forest_unlink(struct btree_map *m, uint32_t pgno);
/* Nobody claims them any more, unless somebody does later in this update: m->orphans. */
MUST_USE struct rc btree_map_forest_drop(struct btree_map *m, uint32_t pgno, struct err *err);
MUST_USE struct rc btree_map_forest_claim(struct btree_map *m, uint32_t pgno, uint32_t parent, enum btree_map_role role,
    uint32_t owner, enum btree_map_claim *out, struct err *err);
/* Nobody's: the page and all below it that is not claimed anew. */
MUST_USE struct rc btree_map_forest_clear(struct btree_map *m, uint32_t root, struct err *err);

#endif
