/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "s3_quirk.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void test_by_host(void **state)
{
    static const struct {
        const char *host, *provider, *region;
    } cases[] = {
        {"s3.eu-central-1.amazonaws.com", "aws", "eu-central-1"},
        {"S3.EU-Central-1.AmazonAWS.com:443", "aws", "eu-central-1"},
        {"s3.amazonaws.com", "aws", "us-east-1"},
        {"s3-eu-west-1.amazonaws.com", "aws", "eu-west-1"},
        {"s3.dualstack.us-west-2.amazonaws.com", "aws", "us-west-2"},
        {"s3-fips.us-gov-west-1.amazonaws.com", "aws", "us-gov-west-1"},
        {"s3-fips.dualstack.us-east-2.amazonaws.com", "aws", "us-east-2"},
        {"s3.cn-north-1.amazonaws.com.cn", "aws", "cn-north-1"},
        {"bucket.vpce-1a2b-5e6f.s3.us-east-1.vpce.amazonaws.com", "aws", "us-east-1"},
        {"sts.eu-west-1.amazonaws.com", "aws", NULL},
        {"amazonaws.com", "aws", NULL},
        {"s3.evil-amazonaws.com", "other", NULL},
        {"s3.amazonaws.com.example", "other", NULL},
        {"0123456789abcdef.r2.cloudflarestorage.com", "r2", NULL},
        {"0123456789abcdef.eu.r2.cloudflarestorage.com", "r2", NULL},
        {"s3.us-west-004.backblazeb2.com", "b2", "us-west-004"},
        {"nyc3.digitaloceanspaces.com", "digitalocean", "nyc3"},
        {"fsn1.your-objectstorage.com", "hetzner", "fsn1"},
        {"s3.fr-par.scw.cloud", "scaleway", "fr-par"},
        {"s3.eu-central-2.wasabisys.com", "wasabi", "eu-central-2"},
        {"s3.wasabisys.com", "wasabi", NULL},
        {"t3.storage.dev", "tigris", NULL},
        {"fly.storage.tigris.dev", "tigris", NULL},
        {"storage.googleapis.com", "gcs", NULL},
        {"localhost:9000", "other", NULL},
        {"[::1]:9000", "other", NULL},
        {"", "other", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct s3_quirk *q = s3_quirk_by_host(cases[i].host);
        char region[S3_QUIRK_REGION_SIZE] = "";

        print_message("# %s\n", cases[i].host);
        assert_non_null(q);
        assert_string_equal(q->provider, cases[i].provider);
        assert_int_equal(s3_quirk_host_region(q, cases[i].host, region), cases[i].region != NULL);
        if (cases[i].region != NULL)
            assert_string_equal(region, cases[i].region);
    }
}

static void test_long_labels_are_no_region(void **state)
{
    char host[256] = "s3.", region[S3_QUIRK_REGION_SIZE];

    (void)state;
    memset(host + 3, 'x', 65);
    memcpy(host + 68, ".scw.cloud", sizeof ".scw.cloud");
    assert_string_equal(s3_quirk_by_host(host)->provider, "scaleway");
    assert_false(s3_quirk_host_region(s3_quirk_by_host(host), host, region));
    memcpy(host + 67, ".scw.cloud", sizeof ".scw.cloud");
    assert_true(s3_quirk_host_region(s3_quirk_by_host(host), host, region));
    assert_int_equal(strlen(region), 64);
}

static void test_by_server(void **state)
{
    (void)state;
    assert_string_equal(s3_quirk_by_server("AmazonS3")->provider, "aws");
    assert_string_equal(s3_quirk_by_server("MinIO")->provider, "minio");
    assert_string_equal(s3_quirk_by_server("Ceph Object Gateway (reef)")->provider, "ceph");
    assert_null(s3_quirk_by_server("cloudflare")); /* stands before everything */
    assert_null(s3_quirk_by_server("nginx"));
    assert_null(s3_quirk_by_server(""));
}

/* Names are part of the configuration, and every row must be usable. */
static void test_table(void **state)
{
    static const char *const names[] = {"aws", "r2", "b2", "minio", "digitalocean", "hetzner", "scaleway", "wasabi",
        "tigris", "ceph", "gcs", "swift", "other"};
    size_t n = 0;

    (void)state;
    for (const struct s3_quirk *q; (q = s3_quirk_at(n)) != NULL; n++) {
        assert_true(n < COUNT(names));
        assert_string_equal(q->provider, names[n]);
        assert_ptr_equal(s3_quirk_by_name(names[n]), q);
        assert_int_not_equal(q->addressing, S3_ADDRESS_AUTO);
        assert_true(q->part_size_min >= 5 << 20);
        assert_true(strlen(q->note) > 10);
    }
    assert_int_equal(n, COUNT(names));
    assert_null(s3_quirk_by_name("azure"));
    assert_null(s3_quirk_by_name(""));
    assert_null(s3_quirk_at(SIZE_MAX));
}

static void test_facts(void **state)
{
    (void)state;
    assert_true(s3_quirk_by_name("r2")->parts_equal);
    assert_string_equal(s3_quirk_by_name("r2")->default_region, "auto");
    assert_true(s3_quirk_by_name("ceph")->etag_unquoted);
    assert_false(s3_quirk_by_name("ceph")->no_if_none_match);
    assert_true(s3_quirk_by_name("digitalocean")->etag_unquoted);
    assert_true(s3_quirk_by_name("swift")->no_if_none_match);
    assert_true(s3_quirk_by_name("b2")->no_if_none_match);
    assert_true(s3_quirk_by_name("gcs")->no_batch_delete);
    assert_null(s3_quirk_by_name("other")->default_region);
    assert_string_equal(s3_quirk_by_name("tigris")->consistent_header, "X-Tigris-Consistent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_host),
        cmocka_unit_test(test_long_labels_are_no_region),
        cmocka_unit_test(test_by_server),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_facts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
