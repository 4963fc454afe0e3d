/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sorted - where something is in an array of structs that is in the order of one of their numbers.
 *
 *     size_t at = SORTED_AT(t->logs, t->log_count, first_txid, txid);
 *     if (at < t->log_count && t->logs[at].first_txid == txid) ...
 */
#ifndef SORTED_H
#define SORTED_H

#include <stddef.h>
#include <stdint.h>

/* The first item whose `field` (uint32_t or uint64_t) is not below `key`; `count` when there is none. */
#define SORTED_AT(items, count, field, key) \
    sorted_at((items), (count), sizeof *(items), offsetof(__typeof__(*(items)), field), sizeof((items)->field), (key))

/* SORTED_AT() is how to call it: the number is `width` bytes at `offset` of each `size`. */
size_t sorted_at(const void *items, size_t count, size_t size, size_t offset, size_t width, uint64_t key);

#endif
