/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "fsys.h"
#include "s3_config.h"
#include "s3_http.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char *const no_environ[] = {NULL};

/* "name=value" strings, NULL at the end, as options that are given apart. */
static struct rc parse_with(struct s3_config **out, const char *url, const char *const *pairs,
    const char *const *environ_pairs, struct err *err)
{
    static char names[16][64];
    struct store_option options[16];
    size_t count = 0;

    for (; pairs != NULL && pairs[count] != NULL; count++) {
        const char *equals = strchr(pairs[count], '=');

        assert_true(count < COUNT(options) && equals != NULL);
        (void)snprintf(names[count], sizeof names[count], "%.*s", (int)(equals - pairs[count]), pairs[count]);
        options[count] = (struct store_option){names[count], equals + 1};
    }
    return s3_config_parse(out, &fsys_real, url, options, count, environ_pairs, err);
}

static struct s3_config *parse(const char *url, const char *const *pairs, const char *const *environ_pairs)
{
    struct s3_config *c = NULL;
    struct err err;

    assert_ok_err(parse_with(&c, url, pairs, environ_pairs, &err), &err);
    return c;
}

static void refused(const char *url, const char *const *pairs, const char *const *environ_pairs, const char *text)
{
    struct s3_config *c = NULL;
    struct err err = {0};
    struct rc rc = parse_with(&c, url, pairs, environ_pairs, &err);

    if (rc.code != E_CONFIG || strcmp(err.msg, text) != 0)
        print_error("%s: %s\n", url, err.msg);
    assert_fails(rc, E_CONFIG);
    assert_string_equal(err.msg, text);
    assert_null(c);
}

/* --- where ----------------------------------------------------------------------------------------------------------
 */

static void test_defaults(void **state)
{
    struct s3_config *c = parse("s3://my-bucket", NULL, no_environ);

    (void)state;
    assert_string_equal(c->bucket, "my-bucket");
    assert_string_equal(c->prefix, "");
    assert_string_equal(c->url, "s3://my-bucket");
    assert_string_equal(c->scheme, "https");
    assert_string_equal(c->host, "s3.amazonaws.com");
    assert_true(c->host_derived);
    assert_null(c->region);
    assert_string_equal(c->quirk->provider, "aws");
    assert_int_equal(c->addressing, S3_ADDRESS_VIRTUAL);
    assert_null(c->access_key);
    assert_null(c->profile);
    assert_false(c->anonymous);
    assert_false(c->insecure);
    assert_int_equal(c->sse, S3_SSE_NONE);
    assert_int_equal(c->part_size, 5 << 20);
    assert_int_equal(c->parallel, S3_HTTP_PARALLEL);
    assert_int_equal(c->upload_rate, 0);
    assert_int_equal(c->stall_ms, S3_HTTP_STALL_MS);
    assert_int_equal(c->connect_ms, S3_HTTP_CONNECT_MS);
    assert_false(c->no_http2);
    assert_int_equal(c->conditional, S3_CONDITIONAL_AUTO);
    assert_false(c->etag_unquoted);
    s3_config_free(c);
    s3_config_free(NULL);
}

static const struct {
    const char *url, *env, *host, *region;
    enum s3_addressing addressing;
    const char *provider;
    bool insecure;
} places[] = {
    {"s3://bkt?region=eu-west-1", NULL, "s3.eu-west-1.amazonaws.com", "eu-west-1", S3_ADDRESS_VIRTUAL, "aws", false},
    {"s3://bkt?region=cn-north-1", NULL, "s3.cn-north-1.amazonaws.com.cn", "cn-north-1", S3_ADDRESS_VIRTUAL, "aws",
        false},
    {"s3://bkt", "AWS_REGION=us-gov-west-1", "s3.us-gov-west-1.amazonaws.com", "us-gov-west-1", S3_ADDRESS_VIRTUAL,
        "aws", false},
    {"s3://bkt", "AWS_DEFAULT_REGION=eu-west-3", "s3.eu-west-3.amazonaws.com", "eu-west-3", S3_ADDRESS_VIRTUAL, "aws",
        false},
    {"s3://bkt?region=eu-west-1", "AWS_REGION=eu-west-2", "s3.eu-west-1.amazonaws.com", "eu-west-1", S3_ADDRESS_VIRTUAL,
        "aws", false},
    {"s3://my.bkt?region=eu-west-1", NULL, "s3.eu-west-1.amazonaws.com", "eu-west-1", S3_ADDRESS_PATH, "aws", false},
    {"s3://bkt?endpoint=s3-fips.dualstack.us-east-2.amazonaws.com", NULL, "s3-fips.dualstack.us-east-2.amazonaws.com",
        "us-east-2", S3_ADDRESS_VIRTUAL, "aws", false},
    {"s3://bkt?endpoint=abc.r2.cloudflarestorage.com", NULL, "abc.r2.cloudflarestorage.com", "auto", S3_ADDRESS_PATH,
        "r2", false},
    {"s3://bkt?endpoint=https://s3.us-west-004.backblazeb2.com", NULL, "s3.us-west-004.backblazeb2.com", "us-west-004",
        S3_ADDRESS_PATH, "b2", false},
    {"s3://bkt?endpoint=nyc3.digitaloceanspaces.com&addressing=virtual", NULL, "nyc3.digitaloceanspaces.com", "nyc3",
        S3_ADDRESS_VIRTUAL, "digitalocean", false},
    {"s3://bkt?endpoint=fsn1.your-objectstorage.com/", NULL, "fsn1.your-objectstorage.com", "fsn1", S3_ADDRESS_PATH,
        "hetzner", false},
    {"s3://bkt?endpoint=s3.fr-par.scw.cloud", NULL, "s3.fr-par.scw.cloud", "fr-par", S3_ADDRESS_PATH, "scaleway",
        false},
    {"s3://bkt?endpoint=s3.wasabisys.com", NULL, "s3.wasabisys.com", "us-east-1", S3_ADDRESS_PATH, "wasabi", false},
    {"s3://bkt?provider=wasabi&region=eu-central-2", NULL, "s3.eu-central-2.wasabisys.com", "eu-central-2",
        S3_ADDRESS_PATH, "wasabi", false},
    {"s3://bkt?provider=gcs", NULL, "storage.googleapis.com", "auto", S3_ADDRESS_PATH, "gcs", false},
    {"s3://bkt?provider=tigris", NULL, "t3.storage.dev", "auto", S3_ADDRESS_VIRTUAL, "tigris", false},
    {"s3://bkt?provider=minio&endpoint=http://minio.lan:9000", NULL, "minio.lan:9000", "us-east-1", S3_ADDRESS_PATH,
        "minio", true},
    {"s3://bkt?endpoint=http://localhost:7480", NULL, "localhost:7480", NULL, S3_ADDRESS_PATH, "other", false},
    {"s3://bkt?endpoint=http://s3.localhost:7480&addressing=virtual", NULL, "s3.localhost:7480", NULL,
        S3_ADDRESS_VIRTUAL, "other", false},
    {"s3://bkt?endpoint=http://[::1]:80", NULL, "[::1]", NULL, S3_ADDRESS_PATH, "other", false},
    {"s3://bkt?endpoint=10.0.0.1:443&provider=aws", NULL, "10.0.0.1", NULL, S3_ADDRESS_PATH, "aws", false},
    {"s3://bkt?endpoint=http://10.0.0.1:443", NULL, "10.0.0.1:443", NULL, S3_ADDRESS_PATH, "other", true},
    {"s3://Old_Bucket?endpoint=ceph.example&provider=ceph", NULL, "ceph.example", "us-east-1", S3_ADDRESS_PATH, "ceph",
        false},
    {"s3://my.bkt?endpoint=http://127.0.0.1:1&addressing=path", NULL, "127.0.0.1:1", NULL, S3_ADDRESS_PATH, "other",
        false},
    {"s3://bkt", "AWS_ENDPOINT_URL=http://127.0.0.1:9", "127.0.0.1:9", NULL, S3_ADDRESS_PATH, "other", false},
    {"s3://bkt", "AWS_ENDPOINT_URL_S3=https://fly.storage.tigris.dev", "fly.storage.tigris.dev", "auto",
        S3_ADDRESS_VIRTUAL, "tigris", false},
    {"s3://bkt?endpoint=s3.fr-par.scw.cloud", "AWS_ENDPOINT_URL_S3=http://127.0.0.1:9", "s3.fr-par.scw.cloud", "fr-par",
        S3_ADDRESS_PATH, "scaleway", false},
};

static void test_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        const char *const env[] = {"HOME=/", places[i].env != NULL ? places[i].env : "AWS_REGION=", "AWS_X=1", NULL};
        struct s3_config *c;

        print_message("# %s\n", places[i].url);
        c = parse(places[i].url, NULL, env);
        assert_string_equal(c->host, places[i].host);
        if (places[i].region == NULL)
            assert_null(c->region);
        else
            assert_string_equal(c->region, places[i].region);
        assert_int_equal(c->addressing, places[i].addressing);
        assert_string_equal(c->quirk->provider, places[i].provider);
        assert_int_equal(c->insecure, places[i].insecure);
        s3_config_free(c);
    }
}

static void test_environment(void **state)
{
    const char *const both[] = {"AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3=http://127.0.0.1:2",
        "AWS_DEFAULT_REGION=second", "AWS_REGION=first", "AWS_CA_BUNDLE=/etc/ca.pem", NULL};
    const char *const option[] = {"ca-file=/my/ca.pem", NULL};
    const char *const bad_endpoint[] = {"AWS_ENDPOINT_URL=ftp://x", NULL};
    const char *const bad_region[] = {"AWS_REGION=a b", NULL};
    struct s3_config *c = parse("s3://bkt", NULL, both);

    (void)state;
    assert_string_equal(c->host, "127.0.0.1:2");
    assert_string_equal(c->region, "first");
    assert_string_equal(c->ca_file, "/etc/ca.pem");
    s3_config_free(c);
    c = parse("s3://bkt", option, both);
    assert_string_equal(c->ca_file, "/my/ca.pem");
    s3_config_free(c);
    refused("s3://bkt", NULL, bad_endpoint, "environment AWS_ENDPOINT_URL: 'ftp://' is neither https:// nor http://");
    refused("s3://bkt", NULL, bad_region,
        "environment AWS_REGION: 'a b' is not a region: 1 to 64 letters, digits, '-' and '_'");
    /* The process's own. */
    assert_int_equal(setenv("AWS_REGION", "of-the-process", 1), 0);
    c = parse("s3://bkt", NULL, NULL);
    assert_string_equal(c->region, "of-the-process");
    s3_config_free(c);
    assert_int_equal(unsetenv("AWS_REGION"), 0);
}

static void test_region_that_comes_later(void **state)
{
    struct s3_config *c = parse("s3://bkt", NULL, no_environ);
    struct err err;

    (void)state;
    assert_ok_err(s3_config_set_region(c, "eu-north-1", &err), &err);
    assert_string_equal(c->host, "s3.eu-north-1.amazonaws.com");
    assert_string_equal(c->region, "eu-north-1");
    assert_ok_err(s3_config_set_region(c, "cn-north-1", &err), &err);
    assert_string_equal(c->host, "s3.cn-north-1.amazonaws.com.cn");
    assert_fails(s3_config_set_region(c, "a/b", &err), E_CONFIG);
    assert_string_equal(err.msg, "'a/b' is not a region: 1 to 64 letters, digits, '-' and '_'");
    assert_string_equal(c->region, "cn-north-1");
    s3_config_free(c);
    c = parse("s3://bkt?endpoint=http://localhost:1", NULL, no_environ);
    assert_ok_err(s3_config_set_region(c, "eu-north-1", &err), &err);
    assert_string_equal(c->host, "localhost:1");
    s3_config_free(c);
}

static void test_requests(void **state)
{
    static const struct {
        const char *url, *key, *path, *host;
    } cases[] = {
        {"s3://bkt/a%20b/%C3%A9/?region=x", "log/00%1", "/a%20b/%C3%A9/log/00%251", "bkt.s3.x.amazonaws.com"},
        {"s3://bkt/p?region=x", "", "/", "bkt.s3.x.amazonaws.com"},
        {"s3://bkt?region=x", "k", "/k", "bkt.s3.x.amazonaws.com"},
        {"s3://bkt/p?endpoint=localhost:1", "k/l", "/bkt/p/k/l", "localhost:1"},
        {"s3://bkt/p?endpoint=localhost:1", "", "/bkt", "localhost:1"},
        {"s3://bkt/?endpoint=localhost:1", "k", "/bkt/k", "localhost:1"},
        {"s3://Bkt_1?endpoint=localhost:1", "k+=", "/Bkt_1/k%2B%3D", "localhost:1"},
    };
    struct buf out;
    struct err err;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s3_config *c = parse(cases[i].url, NULL, no_environ);

        buf_clear(&out);
        assert_ok_err(s3_config_path(c, cases[i].key, &out, &err), &err);
        assert_string_equal(buf_str(&out), cases[i].path);
        buf_clear(&out);
        assert_ok_err(s3_config_host(c, &out, &err), &err);
        assert_string_equal(buf_str(&out), cases[i].host);
        s3_config_free(c);
    }
    buf_fini(&out);
}

/* --- options --------------------------------------------------------------------------------------------------------
 */

static void test_all_options(void **state)
{
    const char *const pairs[] = {"access-key=test:tester", "secret-key=s/e+c=", "session-token=tok", "sse=customer",
        "sse-customer-key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "part-size=64MiB", "parallel=4",
        "upload-rate=10MB", "download-rate=1GiB", "stall-timeout=1m", "connect-timeout=250ms", "http2=false",
        "if-match=unquoted", "conditional=none", "proxy=http://me:pass@proxy.lan:3128", NULL};
    struct s3_config *c = parse("s3://bkt?storage-class=STANDARD_IA&http2=true&region=x", pairs, no_environ);

    (void)state;
    assert_string_equal(c->access_key, "test:tester");
    assert_string_equal(c->secret_key, "s/e+c=");
    assert_string_equal(c->session_token, "tok");
    assert_int_equal(c->sse, S3_SSE_CUSTOMER);
    assert_string_equal(c->sse_customer_key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    assert_int_equal(c->part_size, 64 << 20);
    assert_int_equal(c->parallel, 4);
    assert_int_equal(c->upload_rate, 10000000);
    assert_int_equal(c->download_rate, 1 << 30);
    assert_int_equal(c->stall_ms, 60000);
    assert_int_equal(c->connect_ms, 250);
    assert_true(c->no_http2); /* apart wins */
    assert_true(c->etag_unquoted);
    assert_int_equal(c->conditional, S3_CONDITIONAL_NONE);
    assert_string_equal(c->proxy, "http://me:pass@proxy.lan:3128");
    assert_string_equal(c->storage_class, "STANDARD_IA");
    assert_null(strstr(c->url, "pass"));
    s3_config_free(c);
    c = parse("s3://bkt?sse=aws:kms&sse-kms-key=arn:aws:kms:eu-west-1:1:key/2&profile=backup&ca-file=/c.pem", NULL,
        no_environ);
    assert_int_equal(c->sse, S3_SSE_KMS);
    assert_string_equal(c->sse_kms_key, "arn:aws:kms:eu-west-1:1:key/2");
    assert_string_equal(c->profile, "backup");
    assert_string_equal(c->ca_file, "/c.pem");
    s3_config_free(c);
    c = parse("s3://bkt?sse=AES256&anonymous=true&provider=ceph&endpoint=h&if-match=quoted", NULL, no_environ);
    assert_int_equal(c->sse, S3_SSE_S3);
    assert_true(c->anonymous);
    assert_true(c->quirk->etag_unquoted);
    assert_false(c->etag_unquoted); /* the option wins over the table */
    s3_config_free(c);
}

static void test_customer_key_in_a_file(void **state)
{
    char path[] = "/tmp/weir-test-s3-config-XXXXXX", option[128], text[256];
    const char *const pairs[] = {option, "sse=customer", NULL};
    uint8_t raw[32];
    struct s3_config *c;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)i;
    (void)snprintf(option, sizeof option, "sse-customer-key=file:%s", path);
    assert_int_equal(pwrite(fd, raw, sizeof raw, 0), sizeof raw);
    c = parse("s3://bkt", pairs, no_environ);
    assert_string_equal(c->sse_customer_key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    s3_config_free(c);
    assert_int_equal(pwrite(fd, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 45, 0), 45);
    c = parse("s3://bkt", pairs, no_environ);
    assert_string_equal(c->sse_customer_key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    s3_config_free(c);
    assert_int_equal(ftruncate(fd, 31), 0);
    refused("s3://bkt", pairs, no_environ,
        "option sse-customer-key: is neither the base64 of 32 bytes nor file:/path to such a key");
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(text, sizeof text, "option sse-customer-key: open %s: No such file or directory", path);
    refused("s3://bkt", pairs, no_environ, text);
}

#define NO_SECRET "does not belong in a URL, which process lists and logs show"
#define OPTIONS                                                                                                     \
    "endpoint, region, addressing, access-key, secret-key, session-token, profile, anonymous, storage-class, sse, " \
    "sse-kms-key, sse-customer-key, ca-file, proxy, part-size, parallel, upload-rate, download-rate, http2, "       \
    "provider, if-match, conditional, stall-timeout, connect-timeout"
#define STRICT                                                                                                       \
    " is not a bucket: 3 to 63 lower-case letters, digits, '.' and '-' are allowed, the first and last a letter or " \
    "digit"

static void test_refused_urls(void **state)
{
    static const struct {
        const char *url, *text;
    } cases[] = {
        {"file:///tmp", "url: does not begin with s3://"},
        {"s3:///prefix", "url: there is no bucket in it; the form is s3://bucket/prefix"},
        {"s3://AKIA:secret@bkt/p", "url: credentials do not belong in a URL, which process lists and logs show; use "
                                   "the options access-key and "
                                   "secret-key"},
        {"s3://bkt/a//b", "url: the prefix has an empty, '.' or '..' part"},
        {"s3://bkt//a", "url: the prefix has an empty, '.' or '..' part"},
        {"s3://bkt//", "url: the prefix has an empty, '.' or '..' part"},
        {"s3://bkt/a//", "url: the prefix has an empty, '.' or '..' part"},
        {"s3://bkt/a/../b", "url: the prefix has an empty, '.' or '..' part"},
        {"s3://bkt/.", "url: the prefix has an empty, '.' or '..' part"},
        {"s3://bkt/a%0Ab", "url: the prefix has a control character"},
        {"s3://bkt/%zz", "url: a '%' must be followed by two hex digits"},
        {"s3://My_Bucket", "url: 'My_Bucket'" STRICT},
        {"s3://ab", "url: 'ab'" STRICT},
        {"s3://-ab", "url: '-ab'" STRICT},
        {"s3://ab.", "url: 'ab.'" STRICT},
        {"s3://a..b", "url: 'a..b'" STRICT},
        {"s3://10.0.0.1", "url: '10.0.0.1'" STRICT},
        {"s3://a23456789012345678901234567890123456789012345678901234567890123x",
            "url: 'a23456789012345678901234567890123456789012345678901234567890123x'" STRICT},
        {"s3://bkt:80", "url: 'bkt:80' is not a bucket: letters, digits, '.', '-' and '_' are allowed"},
        {"s3://..?endpoint=localhost", "url: '..' is not a bucket: letters, digits, '.', '-' and '_' are allowed"},
        {"s3://logs--use1-az4--x-s3",
            "url: 'logs--use1-az4--x-s3' is a directory bucket, which does not list its keys in order"},
        {"s3://Old_Bucket?endpoint=ceph.example&addressing=virtual", "url: 'Old_Bucket'" STRICT},
        {"s3://bkt?regoin=x", "there is no option 'regoin'; there are " OPTIONS},
        {"s3://bkt?region=x&region=y", "option region is given twice"},
        {"s3://bkt?secret-key=x", "option secret-key: " NO_SECRET},
        {"s3://bkt?session-token=x", "option session-token: " NO_SECRET},
        {"s3://bkt?sse-customer-key=x", "option sse-customer-key: " NO_SECRET},
        {"s3://bkt?secret-key=file:/x", "option secret-key: " NO_SECRET},
        {"s3://bkt?proxy=http://u:p@h:1", "option proxy: with a password " NO_SECRET},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        refused(cases[i].url, NULL, no_environ, cases[i].text);
}

static void test_refused_options(void **state)
{
    static const struct {
        const char *option, *text;
    } cases[] = {
        {"endpoint=", "option endpoint: is empty"},
        {"endpoint=ftp://h", "option endpoint: 'ftp://' is neither https:// nor http://"},
        {"endpoint=https://", "option endpoint: '' is not host or host:port"},
        {"endpoint=h:99999", "option endpoint: 'h:99999' is not host or host:port"},
        {"endpoint=https://k:secret@h",
            "option endpoint: holds a user or password; use the options access-key and secret-key"},
        {"endpoint=https://h/bkt",
            "option endpoint: has something behind the host; the bucket and the prefix belong in s3://bucket/prefix"},
        {"endpoint=https://h?x=1",
            "option endpoint: has something behind the host; the bucket and the prefix belong in s3://bucket/prefix"},
        {"endpoint=https://bkt.nyc3.digitaloceanspaces.com",
            "option endpoint: has the bucket in it; write https://nyc3.digitaloceanspaces.com"},
        {"region=", "option region: '' is not a region: 1 to 64 letters, digits, '-' and '_'"},
        {"region=eu west", "option region: 'eu west' is not a region: 1 to 64 letters, digits, '-' and '_'"},
        {"addressing=vhost", "option addressing: 'vhost' is not one of auto|path|virtual"},
        {"access-key=a", "option access-key is given without secret-key"},
        {"access-key=a/b", "option access-key: holds a '/' or ',', which no access key has"},
        {"access-key=a b", "option access-key: holds a space, a control character or a byte that is not ASCII"},
        {"secret-key=a", "option secret-key is given without access-key"},
        {"secret-key=", "option secret-key: is empty"},
        {"secret-key=se\ncret", "option secret-key: holds a space, a control character or a byte that is not ASCII"},
        {"session-token=t", "option session-token is given without access-key and secret-key"},
        {"profile=", "option profile: is not the name of a profile"},
        {"profile=a]", "option profile: is not the name of a profile"},
        {"anonymous=yes", "option anonymous: 'yes' is not one of false|true"},
        {"storage-class=standard",
            "option storage-class: 'standard' is not a storage class like STANDARD or STANDARD_IA"},
        {"storage-class=GLACIER",
            "option storage-class: objects in 'GLACIER' cannot be read at once, so nothing could be restored"},
        {"sse=AES", "option sse: 'AES' is not one of AES256|aws:kms|customer"},
        {"sse=customer", "option sse: customer needs the option sse-customer-key"},
        {"sse-kms-key=k", "option sse-kms-key is given without sse=aws:kms"},
        {"sse-customer-key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "option sse-customer-key is given without sse=customer"},
        {"sse-customer-key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
            "option sse-customer-key: is neither the base64 of 32 bytes nor file:/path to such a key"},
        {"sse-customer-key=file:x", "option sse-customer-key: 'file:x' is not file: and an absolute path"},
        {"ca-file=", "option ca-file: is empty"},
        {"proxy=ftp://h", "option proxy: 'ftp' is not one of http|https|socks4|socks4a|socks5|socks5h"},
        {"proxy=http://h/x", "option proxy: is not scheme://host:port"},
        {"proxy=h:1", "option proxy: url: does not begin with scheme://"},
        {"part-size=4MiB", "option part-size: 4194304 bytes is less than the 5242880 that aws takes"},
        {"part-size=1GiB", "option part-size: '1GiB' is not between 1 B and 536.9 MB"},
        {"part-size=big", "option part-size: 'big' is not a size like 512, 64KiB, 64MB or 1GiB"},
        {"parallel=0", "option parallel: 0 is not between 1 and 256"},
        {"upload-rate=100", "option upload-rate: '100' is less than 1KiB a second; 0 is no limit"},
        {"download-rate=x", "option download-rate: 'x' is not a size like 512, 64KiB, 64MB or 1GiB"},
        {"http2=1", "option http2: '1' is not one of false|true"},
        {"provider=azure", "option provider: 'azure' is not one of "
                           "aws|r2|b2|minio|digitalocean|hetzner|scaleway|wasabi|tigris|ceph|gcs|swift|other"},
        {"provider=minio", "provider minio needs the option endpoint"},
        {"provider=scaleway", "provider scaleway needs the option region or endpoint"},
        {"if-match=both", "option if-match: 'both' is not one of quoted|unquoted"},
        {"conditional=maybe", "option conditional: 'maybe' is not one of auto|none"},
        {"stall-timeout=10", "option stall-timeout: '10' has no unit (a duration like 250ms, 10s, 5m, 24h or 7d)"},
        {"stall-timeout=2h", "option stall-timeout: '2h' is not between 1.0 s and 1 h 0 min"},
        {"connect-timeout=1ms", "option connect-timeout: '1ms' is not between 100 ms and 10 min 0 s"},
        {"colour=red", "there is no option 'colour'; there are " OPTIONS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *const pairs[] = {cases[i].option, NULL};

        refused("s3://bkt", pairs, no_environ, cases[i].text);
    }
}

static void test_refused_together(void **state)
{
    const char *const twice[] = {"region=a", "region=b", NULL};
    const char *const profile[] = {"access-key=a", "secret-key=b", "profile=c", NULL};
    const char *const anonymous[] = {"access-key=a", "secret-key=b", "anonymous=true", NULL};
    const char *const in_clear[] = {"sse=customer",
        "sse-customer-key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "endpoint=http://minio.lan", NULL};
    const char *const virtual_ip[] = {"endpoint=10.0.0.1", "addressing=virtual", NULL};

    (void)state;
    refused("s3://bkt", twice, no_environ, "option region is given twice");
    refused("s3://bkt", profile, no_environ, "options profile and access-key exclude each other");
    refused("s3://bkt", anonymous, no_environ, "option anonymous and options for credentials exclude each other");
    refused("s3://bkt", in_clear, no_environ,
        "option sse: customer would send the key over plain http; use an https endpoint");
    refused("s3://bkt", virtual_ip, no_environ, "option addressing: virtual needs a host with a name, not 10.0.0.1");
}

static void test_long_prefix(void **state)
{
    char url[9 + S3_CONFIG_PREFIX_MAX + 2] = "s3://bkt/";
    struct s3_config *c;

    (void)state;
    memset(url + 9, 'p', S3_CONFIG_PREFIX_MAX);
    c = parse(url, NULL, no_environ);
    assert_int_equal(strlen(c->prefix), S3_CONFIG_PREFIX_MAX);
    s3_config_free(c);
    url[9 + S3_CONFIG_PREFIX_MAX] = 'p';
    refused(url, NULL, no_environ, "url: the prefix has more than 500 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_region_that_comes_later),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_all_options),
        cmocka_unit_test(test_customer_key_in_a_file),
        cmocka_unit_test(test_refused_urls),
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_refused_together),
        cmocka_unit_test(test_long_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
