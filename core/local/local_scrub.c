/* SPDX-License-Identifier: Apache-2.0 */
#include "local_scrub.h"

#include "alloc.h"
#include "local_fields.h"
#include "sorted.h"
#include "strx.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS = 8, COLUMNS = 5, LINE_MAX_SIZE = 128, TEXT_MAX = (FIELDS + LOCAL_SCRUB_PAGES_MAX + 2) * LINE_MAX_SIZE };

static const char head[] = "weir scrubbed 1\n";
static const char *const names[FIELDS] = {
    "next", "began", "passed", "passed-pages", "due", "inode", "unlisted", "unlisted-last"};

void local_scrub_fini(struct local_scrub *n)
{
    mem_free(n->pages);
    n->pages = NULL;
    n->count = 0;
}

/* Where the page is, or would be. */
static uint32_t place_of(const struct local_scrub *n, uint32_t pgno)
{
    return (uint32_t)SORTED_AT(n->pages, n->count, pgno, pgno);
}

struct local_scrub_page *local_scrub_find(const struct local_scrub *n, uint32_t pgno)
{
    uint32_t at = place_of(n, pgno);

    return at < n->count && n->pages[at].pgno == pgno ? &n->pages[at] : NULL;
}

struct local_scrub_page *local_scrub_add(struct local_scrub *n, uint32_t pgno)
{
    uint32_t at = place_of(n, pgno);

    assert(at == n->count || n->pages[at].pgno != pgno);
    if (n->count == LOCAL_SCRUB_PAGES_MAX)
        return NULL;
    if (n->pages == NULL)
        n->pages = mem_new(LOCAL_SCRUB_PAGES_MAX * sizeof *n->pages);
    memmove(&n->pages[at + 1], &n->pages[at], (n->count - at) * sizeof *n->pages);
    n->pages[at] = (struct local_scrub_page){.pgno = pgno};
    n->count++;
    return &n->pages[at];
}

uint64_t local_scrub_damaged(const struct local_scrub *n)
{
    uint64_t damaged = n->unlisted > n->unlisted_last ? n->unlisted : n->unlisted_last;

    for (uint32_t i = 0; i < n->count; i++)
        damaged += n->pages[i].fate == LOCAL_SCRUB_DAMAGED;
    return damaged;
}

struct rc local_scrub_write(const struct fsys *fs, const char *dir, const struct local_scrub *n, struct err *err)
{
    const uint64_t values[FIELDS] = {n->next, (uint64_t)n->began_ms, (uint64_t)n->passed_ms, n->passed_pages,
        (uint64_t)n->due_ms, n->inode, n->unlisted, n->unlisted_last};
    CLEANUP(mem_freep) char *path = mem_printf("%s/scrubbed", dir);
    CLEANUP(buf_fini) struct buf text;

    buf_init(&text, TEXT_MAX);
    local_fields_write(&text, head, names, FIELDS, values);
    for (uint32_t i = 0; i < n->count; i++) {
        const struct local_scrub_page *p = &n->pages[i];

        if (p->fate == LOCAL_SCRUB_DAMAGED)
            buf_printf(&text, "damaged %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 "\n", p->pgno, p->want,
                p->have, p->txid, p->found_ms);
    }
    buf_text(&text, "end\n");
    TRY(buf_check(&text, path, err));
    return fsys_write_atomic(fs, path, text.data, text.size, 0600, err);
}

/* "damaged PAGE WANT HAVE TXID FOUND" */
static bool parse_page(char *line, struct local_scrub *out)
{
    static const char name[] = "damaged ";
    uint64_t v[COLUMNS];
    struct local_scrub_page *p;
    struct err ignored;

    if (strncmp(line, name, sizeof name - 1) != 0)
        return false;
    line += sizeof name - 1;
    for (size_t i = 0; i < COLUMNS; i++) {
        char *end = line + strcspn(line, " ");
        bool last = *end == 0;

        *end = 0;
        if (last != (i == COLUMNS - 1) || rc_failed(strx_u64(line, 0, UINT64_MAX, &v[i], &ignored)))
            return false;
        line = end + 1;
    }
    if (v[0] == 0 || v[0] > UINT32_MAX || v[4] > INT64_MAX || local_scrub_find(out, (uint32_t)v[0]) != NULL)
        return false;
    p = local_scrub_add(out, (uint32_t)v[0]);
    if (p == NULL)
        return false;
    *p = (struct local_scrub_page){(uint32_t)v[0], v[1], v[2], v[3], (int64_t)v[4], LOCAL_SCRUB_DAMAGED, false};
    return true;
}

static bool parse(char *text, struct local_scrub *out)
{
    uint64_t v[FIELDS];
    char *line;

    if (!local_fields_take(&text, names, FIELDS, v))
        return false;
    *out = (struct local_scrub){.next = v[0] > 0 ? v[0] : 1,
        .began_ms = (int64_t)v[1],
        .passed_ms = (int64_t)v[2],
        .passed_pages = v[3],
        .due_ms = (int64_t)v[4],
        .inode = v[5],
        .unlisted = v[6],
        .unlisted_last = v[7]};
    while ((line = local_fields_line(&text)) != NULL && strcmp(line, "end") != 0)
        if (!parse_page(line, out))
            return false;
    return line != NULL && *text == 0;
}

void local_scrub_read(const struct fsys *fs, const char *dir, struct local_scrub *out)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/scrubbed", dir);
    CLEANUP(buf_fini) struct buf text;
    char *at;

    *out = (struct local_scrub){.next = 1};
    buf_init(&text, TEXT_MAX);
    at = local_fields_read(fs, path, head, &text);
    if (at == NULL || parse(at, out))
        return;
    local_scrub_fini(out);
    *out = (struct local_scrub){.next = 1};
}
