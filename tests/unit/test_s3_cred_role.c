/* SPDX-License-Identifier: Apache-2.0 */
/* What profiles say: keys in either file, roles with their sources, and what is not possible. */
#include "cred_kit.h"

#include "s3_sign.h"

#define END      "2026-11-21T06:00:00Z"
#define KEYS(id) "aws_access_key_id = " id "\naws_secret_access_key = " KIT_SECRET "\n"

static const struct s3_cred_opts no_opts;

static int setup(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_env_file(&k, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    kit_env_file(&k, "AWS_CONFIG_FILE", "config");
    kit_env(&k, "AWS_EC2_METADATA_DISABLED=true");
    *state = &k;
    return 0;
}

static int teardown(void **state)
{
    kit_close(*state);
    return 0;
}

static void with_files(struct kit *k, const char *config, const char *credentials, const char *profile)
{
    kit_file(k, "config", config);
    kit_file(k, "credentials", credentials);
    kit_again(k, &(struct s3_cred_opts){.profile = profile});
}

static void expect_from(struct kit *k, const char *id, const char *file)
{
    assert_ok_err(kit_ask(k), &k->err);
    assert_string_equal(k->keys.access_key, id);
    assert_non_null(strstr(k->keys.source, file));
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void test_keys(void **state)
{
    struct kit *k = *state;

    with_files(k, "", "[default]\r\n" KEYS("A") "aws_session_token = " KIT_TOKEN "\r\n", NULL);
    kit_expect(k, "A");
    assert_string_equal(k->keys.session_token, KIT_TOKEN);
    assert_int_equal(k->keys.expires_ms, 0);
    with_files(k, "[default]\n" KEYS("C"), "", NULL);
    expect_from(k, "C", "profile default in /");
    /* Keys of one pair come from one file, and the token with them. */
    with_files(k, "[default]\n" KEYS("C") "aws_session_token = c\n", "[default]\n" KEYS("A"), NULL);
    expect_from(k, "A", "/credentials");
    assert_string_equal(k->keys.session_token, "");
    with_files(k, "[default]\n" KEYS("C"), "[default]\naws_access_key_id = A\n", NULL);
    expect_from(k, "C", "/config");
    /* Later ones win, in sections that come again, too. */
    with_files(k, "",
        "[default]\n" KEYS("A") "[x]\n" KEYS("X") "[default]\naws_access_key_id = B\nAWS_ACCESS_KEY_ID=D\n", NULL);
    kit_expect(k, "D");
    with_files(k, "[default]\n" KEYS("A") "[profile default]\n" KEYS("B") "[default]\n" KEYS("C"), "", NULL);
    kit_expect(k, "B");
    /* "profile" belongs into one of the files only. */
    with_files(k, "[x]\n" KEYS("A") "[profile x]\n" KEYS("B"), "[profile x]\n" KEYS("C"), "x");
    kit_expect(k, "B");
    with_files(k, "[profile x]\ns3 =\n  aws_access_key_id = N\n" KEYS("B"), "", "x");
    kit_expect(k, "B");
}

static void test_keys_fail(void **state)
{
    struct kit *k = *state;
    char want[512];

    with_files(k, "[default]\n" KEYS("A"), "[y]\n" KEYS("B"), "x");
    (void)snprintf(want, sizeof want, "profile x is not in %s/credentials and %s/config", k->dir, k->dir);
    kit_expect_error(k, E_CONFIG, want);
    kit_env(k, "AWS_PROFILE=z");
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_CONFIG, "profile z is not in ");
    with_files(k, "", "[x]\naws_access_key_id = A\n", "x");
    kit_expect_error_with(k, E_CONFIG, "/credentials has aws_access_key_id without aws_secret_access_key");
    with_files(k, "", "[x]\naws_secret_access_key = " KIT_SECRET "\n", "x");
    kit_expect_error_with(k, E_CONFIG, "/credentials has aws_secret_access_key without aws_access_key_id");
    with_files(k, "", "[x]\n" KIT_SECRET "\n", "x");
    kit_expect_error_with(k, E_CONFIG, "/credentials:2: no '=' in the line");
    with_files(k, "", "[x]\naws_secret_access_key = " KIT_SECRET "\n  " KIT_SECRET "\n", "x");
    kit_expect_error_with(k, E_CONFIG, "/credentials:3: the line is indented, so the setting above goes on");
    with_files(k, "", "[x]\naws_secret_access_key = " KIT_SECRET " " KIT_SECRET "\n", "x");
    kit_expect_error_with(k, E_CONFIG, "/credentials:2: the secret key has a space or an unprintable character in it");
    with_files(k, "[profile x]\nregion = eu-west-1\n", "", "x");
    kit_expect_error_with(k, E_DENIED, "looked for: options of the replica; profile x in ");
    assert_non_null(strstr(k->err.msg, "/config (it has no credentials); AWS_CONTAINER"));
    kit_env(k, "AWS_CONFIG_FILE=/tmp");
    kit_again(k, &no_opts);
    kit_expect_error(k, E_CONFIG, "/tmp is not a file");
    assert_int_equal(http_script_count(k->server), 0);
}

static void test_home(void **state)
{
    struct kit *k = *state;
    char path[128];

    kit_env(k, "AWS_SHARED_CREDENTIALS_FILE=~/keys");
    kit_env(k, "AWS_CONFIG_FILE=");
    (void)snprintf(path, sizeof path, "%s/home", k->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    kit_file(k, "home/keys", "[default]\n" KEYS("H"));
    kit_start(k, &no_opts);
    kit_expect(k, "H");
    (void)snprintf(path, sizeof path, "%s/home/.aws", k->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    kit_file(k, "home/.aws/credentials", "[default]\n" KEYS("D"));
    kit_env(k, "AWS_SHARED_CREDENTIALS_FILE=");
    kit_again(k, &no_opts);
    kit_expect(k, "D");
}

static void test_region(void **state)
{
    struct kit *k = *state;

    with_files(k, "[default]\nregion = r-default\n[profile x]\nregion = r-x\n", "", NULL);
    assert_string_equal(s3_cred_region(k->cred), "r-default");
    kit_env(k, "AWS_DEFAULT_REGION=r-env-default");
    kit_again(k, &no_opts);
    assert_string_equal(s3_cred_region(k->cred), "r-env-default");
    kit_env(k, "AWS_REGION=r-env");
    kit_again(k, &no_opts);
    assert_string_equal(s3_cred_region(k->cred), "r-env");
    kit_again(k, &(struct s3_cred_opts){.profile = "x"});
    assert_string_equal(s3_cred_region(k->cred), "r-x");
    kit_again(k, &(struct s3_cred_opts){.profile = "y"});
    assert_string_equal(s3_cred_region(k->cred), "r-env");
    kit_env(k, "AWS_REGION=");
    kit_env(k, "AWS_DEFAULT_REGION=");
    with_files(k, "broken", "", NULL);
    assert_null(s3_cred_region(k->cred));
}

/* --- roles -------------------------------------------------------------------------------------------------------- */

/* The signature that this request must have, made from what the server saw. */
static void check_signature(const struct kit *k, const struct http_seen *seen, const char *access, const char *token)
{
    char hash[S3_SIGN_HEX_SIZE], date[S3_SIGN_DATE_SIZE];
    struct s3_sign_param headers[] = {{"content-type", http_script_field(seen, "Content-Type")},
        {"host", http_script_field(seen, "Host")}, {"x-amz-date", date}, {"x-amz-security-token", token}};
    struct s3_sign_key key = {access, KIT_SECRET, token, "eu-central-1", "sts"};
    struct s3_sign_input in = {.method = "POST",
        .path = "/",
        .headers = headers,
        .header_count = token != NULL ? 4 : 3,
        .payload_hash = hash,
        .time_ms = k->wall_ms};
    struct err err;
    struct buf b;

    buf_init(&b, 4096);
    s3_sign_date(k->wall_ms, date);
    s3_sign_sha256(span_of(seen->body, seen->body_size), hash);
    assert_ok_err(s3_sign_header(&key, &in, &b, &err), &err);
    assert_string_equal(http_script_field(seen, "Authorization"), buf_str(&b));
    assert_string_equal(http_script_field(seen, "X-Amz-Date"), date);
    if (token != NULL)
        assert_string_equal(http_script_field(seen, "X-Amz-Security-Token"), token);
    else
        assert_null(http_script_field(seen, "X-Amz-Security-Token"));
    buf_fini(&b);
}

static void test_role(void **state)
{
    struct kit *k = *state;

    kit_env(k, "AWS_REGION=eu-central-1");
    (void)kit_route(k, "POST", "/", 200, KIT_XML("ROLE", END));
    with_files(k,
        "[profile r]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nexternal_id = ex/1\n"
        "role_session_name = s\nduration_seconds = 3600\n",
        "[base]\n" KEYS("BASE"), "r");
    kit_expect(k, "ROLE");
    assert_string_equal((const char *)kit_seen(k, 0)->body,
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=s&"
        "ExternalId=ex%2F1&DurationSeconds=3600");
    check_signature(k, kit_seen(k, 0), "BASE", NULL);
    assert_non_null(strstr(k->keys.source, "role arn:aws:iam::1:role/r (profile r in "));
    /* A role before keys of its own, which may be its source. */
    with_files(k, "[profile r]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = r\n",
        "[r]\n" KEYS("OWN") "aws_session_token = " KIT_TOKEN "\n", "r");
    kit_expect(k, "ROLE");
    check_signature(k, kit_seen(k, 0), "OWN", KIT_TOKEN);
    assert_int_equal(http_script_count(k->server), 2);
}

/* r3 with the keys of r2, r2 with those of r1, r1 with those of base. */
static void test_role_chain(void **state)
{
    struct kit *k = *state;

    kit_env(k, "AWS_REGION=eu-central-1");
    kit_route(k, "POST", "/", 200, KIT_XML("R1", END))->want = "role%2Fr1";
    kit_route(k, "POST", "/", 200, KIT_XML("R2", END))->want = "role%2Fr2";
    kit_route(k, "POST", "/", 200, KIT_XML("R3", END))->want = "role%2Fr3";
    with_files(k,
        "[profile r3]\nrole_arn=arn:role/r3\nsource_profile=r2\n[profile r2]\nrole_arn=arn:role/r2\nsource_profile=r1\n"
        "[profile r1]\nrole_arn=arn:role/r1\nsource_profile=base\n",
        "[base]\n" KEYS("BASE"), "r3");
    kit_expect(k, "R3");
    assert_int_equal(http_script_count(k->server), 3);
    check_signature(k, kit_seen(k, 2), "BASE", NULL);
    check_signature(k, kit_seen(k, 1), "R1", KIT_TOKEN);
    check_signature(k, kit_seen(k, 0), "R2", KIT_TOKEN);
    /* One in the middle says no. */
    k->routes[1].answer = (struct http_answer){
        .status = 403, .body = "<E><Error><Code>AccessDenied</Code><Message>" KIT_SECRET "</Message></Error></E>"};
    kit_again(k, &(struct s3_cred_opts){.profile = "r3"});
    kit_expect_error_with(k, E_DENIED, "assume role arn:role/r2 (profile r2 in ");
    assert_non_null(strstr(k->err.msg, "): AccessDenied: (masked)"));
}

static void test_role_sources(void **state)
{
    struct kit *k = *state;
    char pair[256];

    kit_env(k, "AWS_REGION=eu-central-1");
    kit_env(k, "AWS_ACCESS_KEY_ID=ENV");
    kit_env(k, "AWS_SECRET_ACCESS_KEY=" KIT_SECRET);
    (void)kit_route(k, "POST", "/", 200, KIT_XML("ROLE", END));
    (void)kit_route(k, "GET", "/c", 200, KIT_JSON("CONTAINER", END));
    (void)kit_route(k, "PUT", "/latest/api/token", 200, "t");
    (void)kit_route(k, "GET", "/latest/meta-data/iam/security-credentials/r", 200, KIT_JSON("IMDS", END));
    (void)kit_route(k, "GET", "/latest/meta-data/iam/security-credentials/", 200, "r");
    with_files(k, "[profile r]\nrole_arn=arn:role/r\ncredential_source=Environment\n", "", "r");
    kit_expect(k, "ROLE");
    check_signature(k, kit_seen(k, 0), "ENV", NULL);
    with_files(k, "[profile r]\nrole_arn=arn:role/r\ncredential_source=Ec2InstanceMetadata\n", "", "r");
    kit_expect(k, "ROLE");
    check_signature(k, kit_seen(k, 0), "IMDS", KIT_TOKEN);
    (void)snprintf(pair, sizeof pair, "AWS_CONTAINER_CREDENTIALS_FULL_URI=%s/c", k->base);
    kit_env(k, pair);
    with_files(k, "[profile r]\nrole_arn=arn:role/r\ncredential_source=EcsContainer\n", "", "r");
    kit_expect(k, "ROLE");
    check_signature(k, kit_seen(k, 0), "CONTAINER", KIT_TOKEN);
    /* A role with the role of a machine. */
    with_files(k,
        "[profile s]\nrole_arn=arn:role/s\nsource_profile=r\n[profile r]\nrole_arn=arn:role/r\n"
        "credential_source=EcsContainer\n",
        "", "s");
    kit_expect(k, "ROLE");
    check_signature(k, kit_seen(k, 0), "ROLE", KIT_TOKEN);
    check_signature(k, kit_seen(k, 1), "CONTAINER", KIT_TOKEN);
    /* With a web identity, alone and as a source. */
    kit_file(k, "jwt", KIT_JWT);
    (void)snprintf(pair, sizeof pair,
        "[profile w]\nrole_arn=arn:role/w\nweb_identity_token_file=%s/jwt\n[profile v]\n"
        "role_arn=arn:role/v\nsource_profile=w\n",
        k->dir);
    with_files(k, pair, "", "w");
    kit_expect(k, "ROLE");
    assert_non_null(strstr((const char *)kit_seen(k, 0)->body, "WebIdentityToken=" KIT_JWT));
    kit_again(k, &(struct s3_cred_opts){.profile = "v"});
    kit_expect(k, "ROLE");
    check_signature(k, kit_seen(k, 0), "ROLE", KIT_TOKEN);
    /* With a program. */
    with_files(k,
        "[profile v]\nrole_arn=arn:role/v\nsource_profile=p\n[profile p]\ncredential_process=echo "
        "'{\"Version\":1,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"" KIT_SECRET "\"}'\n",
        "", "v");
    kit_expect(k, "ROLE");
    check_signature(k, kit_seen(k, 0), "P", NULL);
}

static void expect_wrong(struct kit *k, const char *config, enum err_code code, const char *text)
{
    with_files(k, config, "", "r");
    kit_expect_error_with(k, code, text);
}

static void test_role_fails(void **state)
{
#define R "[profile r]\nrole_arn=arn:role/r\n"
    struct kit *k = *state;

    expect_wrong(k, R, E_CONFIG, "has role_arn without source_profile, credential_source or web_identity_token_file");
    expect_wrong(k, R "source_profile=a\n", E_CONFIG, "its source_profile a is not there");
    expect_wrong(k, R "source_profile=a\n[profile a]\nregion=x\n", E_CONFIG,
        "has no credentials, but is the source of "
        "profile r in ");
    expect_wrong(k, R "source_profile=a\ncredential_source=Environment\n", E_CONFIG,
        "has both source_profile and credential_source");
    expect_wrong(k, R "source_profile=r\n", E_CONFIG, "has no credentials, but is the source of profile r");
    expect_wrong(
        k, R "source_profile=a\n[profile a]\nrole_arn=x\nsource_profile=r\n", E_CONFIG, "leads back to itself");
    expect_wrong(k, R "credential_source=Nowhere\n", E_CONFIG,
        "credential_source 'Nowhere' is none of Environment, EcsContainer, Ec2InstanceMetadata");
    expect_wrong(k, R "credential_source=Environment\n", E_CONFIG, "but AWS_ACCESS_KEY_ID is not set");
    expect_wrong(
        k, R "credential_source=EcsContainer\n", E_CONFIG, "but AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
    expect_wrong(
        k, "[profile r]\nweb_identity_token_file=/x\n", E_CONFIG, "has web_identity_token_file without role_arn");
    expect_wrong(k, R "source_profile=a\nmfa_serial=arn:mfa\n[profile a]\n" KEYS("A"), E_UNSUPPORTED,
        "wants a second factor (mfa_serial), which needs a person");
    expect_wrong(k, R "source_profile=a\nduration_seconds=899\n[profile a]\n" KEYS("A"), E_CONFIG, "duration_seconds");
    expect_wrong(k, "[profile r]\nsso_session=s\nsso_account_id=1\n", E_UNSUPPORTED,
        "is one for SSO, which is not supported; give it the line: credential_process = aws configure "
        "export-credentials --profile NAME");
    expect_wrong(k,
        R "source_profile=a\n[profile a]\nrole_arn=x\nsource_profile=b\n[profile b]\nrole_arn=x\nsource_profile=c\n"
          "[profile c]\nrole_arn=x\nsource_profile=d\n[profile d]\nrole_arn=x\nsource_profile=e\n[profile e]\n"
          "role_arn=x\nsource_profile=f\n[profile f]\n" KEYS("A"),
        E_CONFIG, "a chain of more than 5 roles");
    assert_int_equal(http_script_count(k->server), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_home, setup, teardown),
        cmocka_unit_test_setup_teardown(test_region, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role_fails, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
