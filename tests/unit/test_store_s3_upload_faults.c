/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads of which something fails, gets lost, or is there already. */
#include "s3_upload_kit.h"

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

/* FINISH goes on where an earlier one failed. */
static void test_finish_again(void **state)
{
    static const struct {
        char lose, error_in_200;
        const char *first, *second;
    } cases[] = {
        {'I', 0, "CPPI", "CPPIIHYD"}, /* put together, though the answer got lost */
        {0, 'I', "CPPI", "CPPIIYD"},
        {'Y', 0, "CPPIY", "CPPIYYD"},
        {0, 'Y', "CPPIY", "CPPIYYD"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *id = begin_sent();

        server.lose = cases[i].lose;
        server.error_in_200 = cases[i].error_in_200;
        assert_fails(finish(id, "snap/2", 2, false), E_SERVER);
        assert_string_equal(server.seen, cases[i].first);
        assert_fails(part(id, 2, 7), cases[i].first[4] == 'Y' ? E_BUSY : E_OK); /* it is too late for parts */
        if (cases[i].first[4] != 'Y') {
            server.seen[--server.count] = 0; /* that part */
            server.size -= 7;
        }
        assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
        assert_string_equal(server.seen, cases[i].second);
        end(id);
    }
}

/* The upload is gone and the object is not what we sent: nothing gets its name. */
static void test_lost_upload(void **state)
{
    char *id = begin_sent();

    (void)state;
    server.complete = true;
    server.size = 4;
    assert_fails(finish(id, "snap/2", 2, false), E_NOTFOUND);
    assert_non_null(strstr(k.err.msg, "the upload is gone: .tmp/"));
    assert_string_equal(server.seen, "CPPIH");
    server.head_fails = true;
    assert_fails(finish(id, "snap/2", 2, false), E_NOTFOUND);
    assert_string_equal(server.seen, "CPPIHIH");
    end(id);
}

static void make_there(void)
{
    for (size_t i = 0; i < PART; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 1000);
    memcpy(there, bytes, PART);
    memcpy(there + PART, bytes, 7);
}

/* A store that cannot copy: what was put together is read and sent again. */
static void test_carried(void **state)
{
    char *id = begin("", false);

    (void)state;
    make_there();
    two_parts(id);
    server.no_copy = true;
    server.there = there;
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPIYCGPGPID");
    s3_kit_asked(&k, 5, "POST", "/bkt/pre/snap/2?uploads=");
    assert_int_equal(s3_kit_seen(&k, 7)->body_size, PART);
    assert_memory_equal(s3_kit_seen(&k, 7)->body, bytes, PART);
    assert_int_equal(s3_kit_seen(&k, 9)->body_size, 7);
    assert_string_equal(s3_kit_seen(&k, 10)->method, "POST");
    s3_kit_asked(&k, 11, "DELETE", server.tmp_first);
    end(id);

    id = begin("", false); /* a part fails: what there is of it goes away, and the next FINISH does not try to copy */
    make_there();
    two_parts(id);
    server.no_copy = true;
    server.there = there;
    server.fail_from = 8;
    assert_fails(finish(id, "snap/2", 2, false), E_SERVER);
    assert_string_equal(server.seen, "CPPIYCGPA");
    server.fail_from = 0;
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPIYCGPACGPGPID");
    end(id);
}

/* Create-only: the name is looked at once more when all is sent. */
static void test_carried_create_only(void **state)
{
    char *id = begin("", false);

    (void)state;
    make_there();
    two_parts(id);
    server.no_copy = true;
    server.there = there;
    server.head_fails = true;
    assert_ok_err(finish(id, "snap/2", 2, true), &k.err);
    assert_string_equal(server.seen, "CPPHIYCGPGPHID");
    end(id);

    id = begin("", false); /* somebody else was faster, with as many bytes */
    make_there();
    two_parts(id);
    server.no_copy = true;
    server.head_fails = true;
    server.there = there;
    server.taken_from = 12;
    assert_fails(finish(id, "snap/2", 2, true), E_EXISTS);
    assert_string_equal(server.seen, "CPPHIYCGPGPHGA");
    end(id);
}

/* FINISH under the final name says "gone" or "taken": the object is compared with what was sent. */
static void test_final_name_compared(void **state)
{
    static const struct {
        bool by_etag, other_bytes, create_only, taken;
        enum err_code want;
        const char *seen;
    } cases[] = {
        {true, false, false, false, E_OK, "CPPIH"},
        {false, false, false, false, E_OK, "CPPIHGG"},
        {false, true, false, false, E_NOTFOUND, "CPPIHG"},
        {true, false, false, true, E_OK, "CPPIH"},
        {false, true, false, true, E_NOTFOUND, "CPPIHG"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *id = begin("", true);

        make_there();
        if (cases[i].by_etag) { /* MD5 of the two digests, as S3 makes it */
            server.part_etag = "d41d8cd98f00b204e9800998ecf8427e";
            server.etag = "5873dd45edd01f09c1ef2e7819369e8e-2";
        }
        two_parts(id);
        server.complete = true;
        server.there = there;
        server.gone = true;
        server.finish_says = cases[i].taken ? "412" : NULL;
        if (cases[i].other_bytes)
            there[5] ^= 1;
        if (cases[i].want == E_OK)
            assert_ok_err(finish(id, "snap/1", 2, cases[i].create_only), &k.err);
        else
            assert_fails(finish(id, "snap/1", 2, cases[i].create_only), cases[i].want);
        assert_string_equal(server.seen, cases[i].seen);
        end(id);
    }
}

/* A provisional object that stays is no failure. */
static void test_delete_fails(void **state)
{
    char *id = begin_sent();

    (void)state;
    server.refuse = 'D';
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    assert_string_equal(server.seen, "CPPIYD");
    end(id);
}

static void test_create_fails(void **state)
{
    char *id = begin("", false);

    (void)state;
    server.refuse = 'C';
    assert_fails(part(id, 1, PART), E_SERVER);
    assert_string_equal(k.err.msg, "upload_part snap/1: HTTP status 503");
    server.refuse = 0;
    assert_ok_err(part(id, 1, PART), &k.err);
    server.refuse = 'P';
    assert_fails(part(id, 2, 7), E_SERVER);
    assert_fails(finish(id, "snap/2", 2, false), E_BUG); /* a part is missing */
    assert_string_equal(k.err.msg, "upload_finish snap/2: part 2 of 2 is missing");
    server.refuse = 0;
    assert_ok_err(part(id, 2, 7), &k.err);
    assert_fails(finish(id, "snap/2", 1, false), E_BUG);
    assert_string_equal(k.err.msg, "upload_finish snap/2: part 2 is there, 1 were announced");
    assert_ok_err(finish(id, "snap/2", 2, false), &k.err);
    end(id);
}

/* A single part whose PUT may have been carried out: what is there is looked at. */
static void test_single_again(void **state)
{
    char *id = begin("", false);

    (void)state;
    memcpy(bytes, "hello", 5);
    assert_ok_err(part(id, 1, 5), &k.err);
    server.lose = 'U';
    assert_fails(finish(id, "snap/2", 1, true), E_SERVER);
    server.put_says = "412";
    server.object = "other";
    assert_fails(finish(id, "snap/2", 1, true), E_EXISTS);
    assert_string_equal(server.seen, "UUG");
    end(id);

    id = begin("", false);
    assert_ok_err(part(id, 1, 5), &k.err);
    server.lose = 'U';
    assert_fails(finish(id, "snap/2", 1, true), E_SERVER);
    server.put_says = "412";
    server.object = "hello";
    assert_ok_err(finish(id, "snap/2", 1, true), &k.err);
    end(id);

    id = begin("", false);
    assert_ok_err(part(id, 1, 5), &k.err);
    server.put_says = "412"; /* nothing was unknown */
    assert_fails(finish(id, "snap/2", 1, true), E_EXISTS);
    assert_string_equal(server.seen, "U");
    end(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finish_again),
        cmocka_unit_test(test_lost_upload),
        cmocka_unit_test(test_carried),
        cmocka_unit_test(test_carried_create_only),
        cmocka_unit_test(test_final_name_compared),
        cmocka_unit_test(test_delete_fails),
        cmocka_unit_test(test_create_fails),
        cmocka_unit_test(test_single_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
