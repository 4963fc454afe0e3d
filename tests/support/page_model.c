/* SPDX-License-Identifier: Apache-2.0 */
#include "page_model.h"

#include "alloc.h"
#include "check.h"
#include "digest.h"

#include <string.h>

void page_model_init(struct page_model *m, uint32_t page_size, uint32_t room, uint64_t seed)
{
    *m = (struct page_model){.page_size = page_size, .room = room, .seed = seed};
    m->pages = mem_new((size_t)page_size * room);
}

void page_model_fini(struct page_model *m)
{
    mem_free(m->pages);
    m->pages = NULL;
}

void page_model_copy(struct page_model *to, const struct page_model *from)
{
    page_model_init(to, from->page_size, from->room, from->seed);
    to->count = from->count;
    memcpy(to->pages, from->pages, (size_t)from->page_size * from->room);
}

uint32_t page_model_random(struct page_model *m, uint32_t bound)
{
    return (uint32_t)(check_random(&m->seed) % bound);
}

uint8_t *page_model_page(const struct page_model *m, uint32_t pgno)
{
    assert_in_range(pgno, 1, m->room);
    return m->pages + (size_t)(pgno - 1) * m->page_size;
}

static void fill_random(struct page_model *m, uint8_t *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        at[i] = (uint8_t)check_random(&m->seed);
}

static void fill_text(struct page_model *m, uint8_t *at, uint32_t n)
{
    static const char text[] = "order 12345 for customer 678, paid in full, shipped to the usual address; ";
    uint32_t from = page_model_random(m, sizeof text - 1);

    for (uint32_t i = 0; i < n; i++)
        at[i] = (uint8_t)text[(from + i) % (sizeof text - 1)];
}

void page_model_change(struct page_model *m, uint32_t pgno)
{
    uint8_t *page = page_model_page(m, pgno);
    uint32_t size = m->page_size, at = page_model_random(m, size), left = size - at;
    uint32_t n = 1 + page_model_random(m, left < 200 ? left : 200);

    if (pgno > m->count)
        m->count = pgno;
    switch (page_model_random(m, 10)) {
    case 0: /* written, but as it was */
        break;
    case 1:
        fill_random(m, page, size);
        break;
    case 2:
        fill_text(m, page, size);
        break;
    case 3: /* the ends */
        page[0]++;
        page[size - 1]++;
        break;
    case 4: /* cells move */
        memmove(page + at, page, left);
        fill_text(m, page, 7);
        break;
    case 5: /* many small ranges */
        for (uint32_t i = page_model_random(m, 30); i < size; i += 15 + page_model_random(m, 30))
            page[i]++;
        break;
    case 6:
        fill_random(m, page + at, n);
        break;
    default:
        fill_text(m, page + at, n);
        page[page_model_random(m, size)]++;
        break;
    }
}

uint64_t page_model_hash(const struct page_model *m)
{
    return digest_bytes(m->pages, (size_t)m->page_size * m->room);
}
