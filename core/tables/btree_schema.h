/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_schema - the tables and indexes of a database, from the rows of sqlite_schema: what has a b-tree of its own.
 *
 *     btree_schema_init(&s)
 *     btree_schema_add(&s, &f, type, payload prefix)       per row
 *     btree_schema_sort(&s)
 *     btree_schema_find(&s, root) ...
 *     btree_schema_fini(&s)
 *
 * Names come as they stand in the row, in UTF-8 whatever the encoding of the database; what is not valid becomes
 * U+FFFD.
 *
 * Limits: BTREE_SCHEMA_PREFIX_MAX bytes of a row are looked at, so a name of more than about 20,000 bytes makes its row
 * unreadable; BTREE_SCHEMA_OBJECTS_MAX objects.
 */
#ifndef BTREE_SCHEMA_H
#define BTREE_SCHEMA_H

#include "btree_page.h"

enum { BTREE_SCHEMA_PREFIX_MAX = 64 << 10, BTREE_SCHEMA_OBJECTS_MAX = 1 << 20 };

struct btree_schema_object {
    bool index;
    char *name, *table; /* owned; of a table both are the same */
    uint32_t root;      /* of its b-tree */
    /* Once sorted: the virtual table that keeps its content in it, or in the table of this index.  NULL: none. */
    const char *virtual_table;
};

struct btree_schema {
    struct btree_schema_object *objects; /* owned; by root, once sorted */
    size_t count, room;
    char **virtuals; /* owned; names of virtual tables, sorted as SQLite compares them */
    size_t virtual_count, virtual_room;
};

void btree_schema_init(struct btree_schema *s);
void btree_schema_fini(struct btree_schema *s);
/*
 * Take a row in: `prefix` is the begin of its record.  Views, triggers and virtual tables have no b-tree and are passed
 * over; of the last the names are kept, because what they hold is in tables that are called `<name>_...`.  *damaged:
 * nothing could be made of it.
 */
MUST_USE struct rc btree_schema_add(
    struct btree_schema *s, unsigned encoding, struct span prefix, bool *damaged, struct err *err);
void btree_schema_sort(struct btree_schema *s);
/* By root, once sorted; NULL: none. */
struct btree_schema_object *btree_schema_find(const struct btree_schema *s, uint32_t root);

#endif
