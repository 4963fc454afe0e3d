/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_map - which frame of the present WAL generation holds the newest image of a page.
 *
 * Bounded: at WAL_MAP_MAX pages it stops taking new ones and says so (wal_map_complete).  A page that is missing then
 * only costs compression, because an image found elsewhere must still match the page-hash index; who needs completeness
 * asks for it. Memory: 16 bytes a page, at most 16 MiB.
 */
#ifndef WAL_MAP_H
#define WAL_MAP_H

#include "rc.h"

#include <stdint.h>

enum { WAL_MAP_MAX = 1 << 20 };

struct wal_map;

struct wal_map *wal_map_new(void);
void wal_map_free(struct wal_map *m);
/* Forget everything: a new generation. */
void wal_map_clear(struct wal_map *m);
/* The newest known frame of the page, 0 when there is none. */
uint32_t wal_map_get(const struct wal_map *m, uint32_t pgno);
/* Note that `frame` (not 0) is now the newest of `pgno` (not 0). */
void wal_map_set(struct wal_map *m, uint32_t pgno, uint32_t frame);
/* False once a page had to be left out. */
bool wal_map_complete(const struct wal_map *m);

#endif
