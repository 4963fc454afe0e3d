/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_state - one database state in a scratch file, that changes can be applied to and that knows its checksum.
 *
 *     trace_state_open(&t, fs, path, page_size, page_count, err)    a restored file, or a new one with page_count 0
 *     trace_state_write / trace_state_read / trace_state_resize
 *     trace_state_checksum(t)
 *     trace_state_close(t)                                          removes the file
 */
#ifndef TRACE_STATE_H
#define TRACE_STATE_H

#include "bitmap.h"
#include "fsys.h"
#include "page_hash.h"

struct trace_state {
    const struct fsys *fs;
    char *path; /* owned */
    int fd;
    uint32_t page_size;
    struct page_hash *hashes; /* owned */
};

/* All pages are read, for their hashes; E_CORRUPT when the file does not have their number. */
MUST_USE struct rc trace_state_open(struct trace_state **out, const struct fsys *fs, const char *path,
    uint32_t page_size, uint32_t page_count, struct err *err);
void trace_state_close(struct trace_state *t);
void trace_state_closep(struct trace_state **t);
uint32_t trace_state_page_count(const struct trace_state *t);
uint64_t trace_state_checksum(const struct trace_state *t);
MUST_USE struct rc trace_state_read(const struct trace_state *t, uint32_t pgno, uint8_t *page, struct err *err);
/* Beyond the end: the state grows. */
MUST_USE struct rc trace_state_write(struct trace_state *t, uint32_t pgno, const uint8_t *page, struct err *err);
MUST_USE struct rc trace_state_resize(struct trace_state *t, uint32_t page_count, struct err *err);
/* Add the pages of `b` that `a` does not have like that. */
MUST_USE struct rc trace_state_compare(
    const struct trace_state *a, const struct trace_state *b, struct bitmap *changed, struct err *err);

#endif
