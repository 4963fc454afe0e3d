/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page_stream - what a real SQLite writes: the page images of each commit of a workload, in order, with the image that
 * each page had before.  Everything is kept in memory; it is for measuring, not for production.
 *
 *     page_stream_make(&s, dir, "order")
 *     s->changes[s->first[c]] .. s->changes[s->first[c + 1] - 1]      the pages of commit c, each once
 *     page_stream_free(s)
 */
#ifndef PAGE_STREAM_H
#define PAGE_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct page_change {
    uint32_t pgno;
    const uint8_t *page; /* borrowed from the stream */
    const uint8_t *base; /* the image before, or NULL */
};

struct page_stream {
    uint32_t page_size;
    struct page_change *changes;
    size_t change_count;
    size_t *first;        /* commit_count + 1 indexes into `changes` */
    uint32_t *page_count; /* of the database, after each commit */
    size_t commit_count;
    uint8_t *start; /* the database file before the first commit */
    size_t start_size;
    uint8_t *wal;
    size_t wal_size;
};

/* The names of the workloads, ending with NULL. */
extern const char *const page_stream_names[];

/* Run the workload in a fresh database in `dir`; exits with a message when SQLite refuses. */
void page_stream_make(struct page_stream *out, const char *dir, const char *name);
void page_stream_free(struct page_stream *s);

#endif
