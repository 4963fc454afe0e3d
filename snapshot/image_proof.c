/* SPDX-License-Identifier: Apache-2.0 */
#include "image_proof.h"

#include "alloc.h"
#include "digest.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { READ_SIZE = 256 << 10 }; /* half a second-level cache */

struct image_proof {
    uint32_t page_count; /* bits in `words` */
    bool closed;         /* atomic */
    uint64_t *words;     /* owned; atomic */
};

/* --- comparing ---------------------------------------------------------------------------------------------------- */

bool image_proof_page_ok(uint64_t hash, uint32_t pgno, const uint8_t *page, uint32_t page_size)
{
    if (hash == 0)
        return page[0] == 0 && memcmp(page, page + 1, page_size - 1) == 0;
    return digest_page(pgno, page, page_size) == hash;
}

struct rc image_proof_compare(
    const struct image_proof_pages *pages, uint32_t first_pgno, uint32_t count, uint32_t *bad, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *chunk = mem_new(READ_SIZE);
    const uint32_t size = pages->page_size, per_read = (uint32_t)READ_SIZE / size;
    uint32_t found = 0;

    for (uint32_t done = 0; done < count && found == 0;) {
        const uint32_t n = count - done < per_read ? count - done : per_read, at = first_pgno + done;

        TRY(fsys_read_at(pages->fs, pages->fd, pages->path, chunk, (size_t)n * size, (uint64_t)(at - 1) * size, err));
        for (uint32_t i = 0; i < n && found == 0; i++)
            if (!image_proof_page_ok(pages->hashes[at - 1 + i], at + i, chunk + (size_t)i * size, size))
                found = at + i;
        done += n;
    }
    *bad = found;
    return RC_OK;
}

/* --- what is proven -------------------------------------------------------------------------------------------------
 */

struct rc image_proof_new(struct image_proof **out, uint32_t page_count, struct err *err)
{
    struct image_proof *p = mem_new(sizeof *p);

    p->page_count = page_count;
    p->words = mem_try((size_t)page_count / 64 + 1, sizeof *p->words);
    if (p->words == NULL) {
        mem_free(p);
        return rc_raise(err, E_NOMEM, "proof of %" PRIu32 " pages", page_count);
    }
    *out = p;
    return RC_OK;
}

void image_proof_free(struct image_proof *p)
{
    if (p == NULL)
        return;
    mem_free(p->words);
    mem_free(p);
}

bool image_proof_open(const struct image_proof *p)
{
    return !__atomic_load_n(&p->closed, __ATOMIC_SEQ_CST);
}

static bool has(const struct image_proof *p, uint32_t pgno)
{
    const uint32_t bit = pgno - 1;

    return bit < p->page_count && (__atomic_load_n(&p->words[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1) != 0;
}

/* The bits of pages [bit, end) that are in the word of `bit`; moves `bit` behind them. */
static uint64_t mask_of(uint32_t *bit, uint32_t end)
{
    const uint32_t from = *bit % 64, n = end - *bit < 64 - from ? end - *bit : 64 - from;

    *bit += n;
    return (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << from;
}

static uint32_t end_of(const struct image_proof *p, uint32_t first_pgno, uint32_t count)
{
    const uint32_t bit = first_pgno - 1;

    assert(first_pgno > 0);
    if (bit >= p->page_count)
        return bit;
    return count < p->page_count - bit ? bit + count : p->page_count;
}

static void take_away(struct image_proof *p, uint32_t first_pgno, uint32_t count)
{
    const uint32_t end = end_of(p, first_pgno, count);

    for (uint32_t bit = first_pgno - 1; bit < end;) {
        uint64_t *word = &p->words[bit / 64];

        (void)__atomic_fetch_and(word, ~mask_of(&bit, end), __ATOMIC_SEQ_CST);
    }
}

/*
 * Another thread may write to these pages again while they are set.  It closes first and clears then; so either it is
 * seen here that it has closed, or what it clears comes after what is set.
 */
void image_proof_set(struct image_proof *p, uint32_t first_pgno, uint32_t count)
{
    const uint32_t end = end_of(p, first_pgno, count);

    for (uint32_t bit = first_pgno - 1; bit < end;) {
        uint64_t *word = &p->words[bit / 64];

        (void)__atomic_fetch_or(word, mask_of(&bit, end), __ATOMIC_SEQ_CST);
    }
    if (!image_proof_open(p))
        take_away(p, first_pgno, count);
}

void image_proof_clear(struct image_proof *p, uint32_t first_pgno, uint32_t count)
{
    __atomic_store_n(&p->closed, true, __ATOMIC_SEQ_CST);
    take_away(p, first_pgno, count);
}

uint32_t image_proof_run(const struct image_proof *p, uint32_t pgno, uint32_t page_count, uint32_t *first)
{
    uint32_t n = 0;

    while (pgno <= page_count && has(p, pgno))
        pgno++;
    *first = pgno;
    while (pgno + n <= page_count && !has(p, pgno + n))
        n++;
    return n;
}
