/* SPDX-License-Identifier: Apache-2.0 */
/* What store.h promises of uploads in parts, and of copies, tried on a whole store. */
#include "store_check_kit.h"

#include "alloc.h"
#include "store_s3_intern.h"

#include <inttypes.h>

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at * 2654435761u >> 11);
}

static char *start(const char *key, bool key_final)
{
    struct store_req req;
    char *id;

    store_req_init(&req, STORE_UPLOAD_START, key, NULL, NULL);
    req.key_final = key_final;
    assert_ok_err(run(&req), &kit.err);
    id = MOVE(req.upload_id);
    store_req_fini(&req);
    return id;
}

static void send_part(const char *key, char *id, uint32_t part, size_t size)
{
    size_t part_size = kit.w.store->part_size;
    uint8_t *bytes = malloc(size + 1);
    struct store_req req;

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at((uint64_t)(part - 1) * part_size + i);
    store_req_init(&req, STORE_UPLOAD_PART, key, NULL, NULL);
    req.upload = id;
    req.part = part;
    req.body = span_of(bytes, size);
    assert_ok_err(run(&req), &kit.err);
    store_req_fini(&req);
    free(bytes);
}

static struct rc end_upload(enum store_verb verb, const char *key, char *id, uint32_t count)
{
    struct store_req req;
    struct rc rc;

    store_req_init(&req, verb, key, NULL, NULL);
    req.upload = id;
    req.part = count;
    rc = run(&req);
    store_req_fini(&req);
    return rc;
}

static void assert_bytes(const char *key, uint64_t size)
{
    uint64_t there = 0, at = 0;

    assert_ok_err(head(key, &there), &kit.err);
    assert_true(there == size);
    while (at < size) {
        struct store_req req;

        store_req_init(&req, STORE_GET, key, NULL, NULL);
        req.offset = at;
        req.length = 1 << 20;
        assert_ok_err(run(&req), &kit.err);
        for (size_t i = 0; i < req.data.size; i++) {
            if (req.data.data[i] != byte_at(at + i))
                fail_msg("%s: byte %" PRIu64, key, at + i);
        }
        at += req.data.size;
        store_req_fini(&req);
    }
}

/* The key is known at FINISH only; before that nothing shows. */
static void test_uploads(void **state)
{
    size_t part_size = kit.w.store->part_size;
    const struct {
        const char *key;
        uint32_t count;
        size_t last;
        bool key_final;
    } cases[] = {
        {"up/short", 1, 5, false},
        {"up/full", 1, part_size, false},
        {"up/three", 3, 12345, false},
        {"up/final", 2, 1, true},
    };
    size_t before = 0;

    (void)state;
    clean();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *first_key = cases[i].key_final ? cases[i].key : "up/provisional";
        char *id = start(first_key, cases[i].key_final);

        for (uint32_t part = cases[i].count; part > 0; part--) /* in any order */
            send_part(first_key, id, part, part == cases[i].count ? cases[i].last : part_size);
        assert_count(before);
        assert_ok_err(end_upload(STORE_UPLOAD_FINISH, cases[i].key, id, cases[i].count), &kit.err);
        assert_count(++before);
        assert_bytes(cases[i].key, (uint64_t)(cases[i].count - 1) * part_size + cases[i].last);
        assert_ok_err(end_upload(STORE_UPLOAD_ABORT, first_key, id, 0), &kit.err); /* it is gone */
        assert_count(before);
        mem_free(id);
    }
}

/* What is too large for one copy is copied in ranges. */
static void test_copy_in_ranges(void **state)
{
    size_t part_size = kit.w.store->part_size;
    char *id;

    (void)state;
    assert_true(kit.is_s3);
    clean();
    ((struct s3_store *)kit.w.store->below)->copy_max = part_size;
    id = start("up/a", false);
    for (uint32_t part = 1; part <= 3; part++)
        send_part("up/a", id, part, part < 3 ? part_size : 777);
    assert_ok_err(end_upload(STORE_UPLOAD_FINISH, "up/b", id, 3), &kit.err);
    mem_free(id);
    assert_bytes("up/b", 2 * (uint64_t)part_size + 777);
    assert_int_equal(store_counts_of(kit.w.store)->outcomes[STORE_KIND_COPY][STORE_OUTCOME_OK], 3);
    assert_count(1);
}

static void test_abort(void **state)
{
    size_t part_size = kit.w.store->part_size;
    char *id;

    (void)state;
    clean();
    id = start("up/a", false);
    assert_ok_err(end_upload(STORE_UPLOAD_ABORT, "up/a", id, 0), &kit.err);
    mem_free(id);
    id = start("up/a", false);
    send_part("up/a", id, 1, 10);
    assert_ok_err(end_upload(STORE_UPLOAD_ABORT, "up/a", id, 0), &kit.err);
    assert_fails(end_upload(STORE_UPLOAD_FINISH, "up/a", id, 1), E_NOTFOUND);
    mem_free(id);
    id = start("up/a", false);
    send_part("up/a", id, 1, part_size);
    assert_ok_err(end_upload(STORE_UPLOAD_ABORT, "up/a", id, 0), &kit.err);
    assert_fails(end_upload(STORE_UPLOAD_FINISH, "up/a", id, 1), E_NOTFOUND);
    mem_free(id);
    assert_count(0);
}

int main(void)
{
    const struct CMUnitTest for_all[] = {
        cmocka_unit_test_setup_teardown(test_uploads, begin, end),
        cmocka_unit_test_setup_teardown(test_abort, begin, end),
    };
    const struct CMUnitTest on_s3[] = {cmocka_unit_test_setup_teardown(test_copy_in_ranges, begin, end)};

    return run_on_store("store_check_uploads", for_all, sizeof for_all / sizeof for_all[0], on_s3, 1);
}
