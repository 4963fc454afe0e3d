/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "digest.h"
#include "fault_fsys.h"
#include "image_proof.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 512, PAGES = 1000, RACE_PAGES = 200, ROUNDS = 300 };

static struct image_proof *make(uint32_t pages)
{
    struct image_proof *p = NULL;
    struct err err;

    assert_ok_err(image_proof_new(&p, pages, &err), &err);
    return p;
}

/* The pages that are not proven, as text: "1-3 7-7". */
static const char *rest(const struct image_proof *p, uint32_t page_count)
{
    static char text[256];
    uint32_t first = 1, n;
    size_t used = 0;

    text[0] = 0;
    for (uint32_t at = 1; (n = image_proof_run(p, at, page_count, &first)) > 0; at = first + n)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u-%u", used > 0 ? " " : "", first, first + n - 1);
    return text;
}

static void test_runs(void **state)
{
    struct image_proof *p = make(300);

    (void)state;
    assert_string_equal(rest(p, 300), "1-300");
    image_proof_set(p, 1, 64); /* a whole word */
    assert_string_equal(rest(p, 300), "65-300");
    image_proof_set(p, 127, 4); /* over the end of a word */
    image_proof_set(p, 257, 1000);
    assert_string_equal(rest(p, 300), "65-126 131-256");
    assert_string_equal(rest(p, 310), "65-126 131-256 301-310"); /* it grew */
    assert_string_equal(rest(p, 70), "65-70");
    assert_string_equal(rest(p, 64), "");
    image_proof_set(p, 301, 5);
    assert_string_equal(rest(p, 310), "65-126 131-256 301-310");
    assert_true(image_proof_open(p));
    image_proof_clear(p, 128, 2);
    assert_string_equal(rest(p, 300), "65-126 128-129 131-256");
    assert_false(image_proof_open(p));
    image_proof_set(p, 65, 10); /* closed */
    assert_string_equal(rest(p, 300), "65-126 128-129 131-256");
    image_proof_free(p);
    image_proof_free(NULL);
}

/* --- comparing --------------------------------------------------------------------------------------------------- */

static void test_compare(void **state)
{
    char path[] = "/tmp/test_image_proof.XXXXXX";
    struct image_proof_pages pages = {.fs = &fsys_real, .fd = mkstemp(path), .path = path, .page_size = PAGE};
    uint64_t *hashes = calloc(PAGES, sizeof *hashes);
    uint8_t page[PAGE];
    struct fault_fsys f;
    struct err err;
    uint32_t bad = 7;

    (void)state;
    assert_true(pages.fd >= 0);
    pages.hashes = hashes;
    memset(page, 0, sizeof page);
    for (uint32_t i = 0; i < PAGES; i++) {
        page[5] = (uint8_t)(i % 10 == 3 ? 0 : i | 1);
        hashes[i] = page[5] == 0 ? 0 : digest_page(i + 1, page, PAGE); /* every tenth was never written: zeros */
        assert_int_equal(pwrite(pages.fd, page, PAGE, (off_t)i * PAGE), PAGE);
    }
    assert_ok_err(image_proof_compare(&pages, 1, PAGES, &bad, &err), &err);
    assert_int_equal(bad, 0);
    assert_int_equal(pwrite(pages.fd, "x", 1, 13 * PAGE + 500), 1); /* page 14, which should be zeros */
    assert_int_equal(pwrite(pages.fd, "x", 1, 900 * PAGE), 1);      /* page 901 */
    assert_ok_err(image_proof_compare(&pages, 1, PAGES, &bad, &err), &err);
    assert_int_equal(bad, 14);
    assert_ok_err(image_proof_compare(&pages, 15, PAGES - 14, &bad, &err), &err);
    assert_int_equal(bad, 901);
    assert_ok_err(image_proof_compare(&pages, 15, 886, &bad, &err), &err);
    assert_int_equal(bad, 0);

    fault_fsys_init(&f, FAULT_ONCE, 1, EIO);
    pages.fs = &f.fs;
    bad = 7;
    assert_fails(image_proof_compare(&pages, 1, PAGES, &bad, &err), E_IO);
    assert_non_null(strstr(err.msg, strerrordesc_np(EIO)));
    assert_int_equal(bad, 7);
    assert_int_equal(close(pages.fd), 0);
    assert_int_equal(unlink(path), 0);
    free(hashes);
}

/* --- a page that is written again while its stretch is being compared --------------------------------------------- */

struct race {
    struct image_proof *proof;
    pthread_barrier_t begin;
};

static void *set_all(void *arg)
{
    struct race *r = arg;

    (void)pthread_barrier_wait(&r->begin);
    image_proof_set(r->proof, 1, RACE_PAGES);
    return NULL;
}

/* Whoever comes first: the page that was written again is not proven. */
static void test_race(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct race r = {.proof = make(RACE_PAGES)};
        const uint32_t page = round % RACE_PAGES + 1;
        uint32_t first = 0;
        pthread_t setter;

        assert_int_equal(pthread_barrier_init(&r.begin, NULL, 2), 0);
        assert_int_equal(pthread_create(&setter, NULL, set_all, &r), 0);
        (void)pthread_barrier_wait(&r.begin);
        image_proof_clear(r.proof, page, 1);
        assert_int_equal(pthread_join(setter, NULL), 0);
        assert_true(image_proof_run(r.proof, page, RACE_PAGES, &first) > 0);
        assert_int_equal(first, page);
        assert_int_equal(pthread_barrier_destroy(&r.begin), 0);
        image_proof_free(r.proof);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_race),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
