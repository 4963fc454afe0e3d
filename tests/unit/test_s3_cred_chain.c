/* SPDX-License-Identifier: Apache-2.0 */
/* Where credentials are looked for, in which order, and what each place may answer. */
#include "cred_kit.h"

#include "fault_fsys.h"
#include "s3_cred_container.h"
#include "s3_http_intern.h"

#include <errno.h>

#define END      "2026-11-21T06:00:00Z"
#define ROLES    "/latest/meta-data/iam/security-credentials/"
#define KEYS(id) "aws_access_key_id=" id "\naws_secret_access_key=" KIT_SECRET "\n"

static const struct s3_cred_opts no_opts;

static int setup(void **state)
{
    static struct kit k;

    kit_open(&k);
    *state = &k;
    return 0;
}

static int teardown(void **state)
{
    kit_close(*state);
    return 0;
}

static void add_imds(struct kit *k)
{
    (void)kit_route(k, "PUT", "/latest/api/token", 200, "metadata-token");
    (void)kit_route(k, "GET", ROLES "my-role", 200, KIT_JSON("IMDS", END));
    (void)kit_route(k, "GET", ROLES, 200, "my-role\nother\n");
}

static void set_full_uri(struct kit *k, const char *path)
{
    char pair[128];

    (void)snprintf(pair, sizeof pair, "AWS_CONTAINER_CREDENTIALS_FULL_URI=%s%s", k->base, path);
    kit_env(k, pair);
}

/* --- the order ---------------------------------------------------------------------------------------------------- */

/* All sources are there; one after the other is taken away. */
static void test_order(void **state)
{
    struct kit *k = *state;

    kit_env(k, "AWS_ACCESS_KEY_ID=ENV");
    kit_env(k, "AWS_SECRET_ACCESS_KEY=" KIT_SECRET);
    kit_env_file(k, "AWS_WEB_IDENTITY_TOKEN_FILE", "jwt");
    kit_env(k, "AWS_ROLE_ARN=arn:aws:iam::123456789012:role/web");
    kit_file(k, "jwt", KIT_JWT "\n");
    kit_env_file(k, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    kit_file(k, "credentials", "[default]\n" KEYS("FILE") "[other]\n" KEYS("OTHER"));
    set_full_uri(k, "/container");
    (void)kit_route(k, "GET", "/container", 200, KIT_JSON("CONTAINER", END));
    (void)kit_route(k, "POST", "/", 200, KIT_XML("WEB", END));
    add_imds(k);

    kit_start(k, &(struct s3_cred_opts){.access_key = "OPTION", .secret_key = KIT_SECRET, .profile = "other"});
    kit_expect(k, "OPTION");
    assert_string_equal(k->keys.source, "options of the replica");
    kit_again(k, &(struct s3_cred_opts){.profile = "other"});
    kit_expect(k, "OTHER");
    kit_again(k, &no_opts);
    kit_expect(k, "ENV");
    assert_string_equal(k->keys.source, "environment");
    kit_env(k, "AWS_ACCESS_KEY_ID=");
    kit_env(k, "AWS_SECRET_ACCESS_KEY=");
    kit_again(k, &no_opts);
    kit_expect(k, "WEB");
    assert_string_equal(k->keys.source, "role arn:aws:iam::123456789012:role/web (AWS_WEB_IDENTITY_TOKEN_FILE)");
    kit_env(k, "AWS_WEB_IDENTITY_TOKEN_FILE=");
    kit_again(k, &no_opts);
    kit_expect(k, "FILE");
    kit_env(k, "AWS_PROFILE=other");
    kit_again(k, &no_opts);
    kit_expect(k, "OTHER");
    kit_env(k, "AWS_PROFILE=");
    kit_file(k, "credentials", "");
    kit_again(k, &no_opts);
    kit_expect(k, "CONTAINER");
    assert_string_equal(k->keys.source, "container");
    kit_env(k, "AWS_CONTAINER_CREDENTIALS_FULL_URI=");
    kit_again(k, &no_opts);
    kit_expect(k, "IMDS");
    assert_string_equal(k->keys.source, "role my-role of the EC2 instance");
    assert_string_equal(k->keys.session_token, KIT_TOKEN);
    assert_int_equal(k->keys.expires_ms, KIT_WALL_START + INT64_C(6) * 3600 * 1000);
}

static void test_nothing(void **state)
{
    struct kit *k = *state;
    char want[1024];

    kit_env(k, "AWS_EC2_METADATA_DISABLED=true");
    kit_start(k, &no_opts);
    (void)snprintf(want, sizeof want,
        "no credentials found; looked for: options of the replica; AWS_ACCESS_KEY_ID; AWS_WEB_IDENTITY_TOKEN_FILE; "
        "profile default in %s/home/.aws/credentials (no such file) and %s/home/.aws/config (no such file); "
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI; not for EC2 instance metadata "
        "(AWS_EC2_METADATA_DISABLED)",
        k->dir, k->dir);
    kit_expect_error(k, E_DENIED, want);
    assert_int_equal(http_script_count(k->server), 0);
}

static void test_halves(void **state)
{
    struct kit *k = *state;
    struct s3_cred *none = NULL;
    struct err err;

    kit_env(k, "AWS_ACCESS_KEY_ID=A");
    kit_start(k, &no_opts);
    kit_expect_error(k, E_CONFIG, "environment: AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not");
    kit_env(k, "AWS_ACCESS_KEY_ID=");
    kit_env(k, "AWS_SECRET_ACCESS_KEY=" KIT_SECRET);
    kit_again(k, &no_opts);
    kit_expect_error(k, E_CONFIG, "environment: AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not");
    kit_env(k, "AWS_ACCESS_KEY_ID=A");
    kit_env(k, "AWS_SECRET_ACCESS_KEY=" KIT_SECRET "\n");
    kit_again(k, &no_opts);
    kit_expect_error(k, E_CONFIG, "environment: the secret key has a space or an unprintable character in it");
    kit_env(k, "AWS_ACCESS_KEY_ID=");
    kit_env(k, "AWS_SECRET_ACCESS_KEY=");
    kit_env(k, "AWS_WEB_IDENTITY_TOKEN_FILE=/x");
    kit_again(k, &no_opts);
    kit_expect_error(k, E_CONFIG, "environment: AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    assert_fails(
        s3_cred_new(&none, &k->loop, k->fs, &k->clock, k->http, &(struct s3_cred_opts){.secret_key = KIT_SECRET}, &err),
        E_CONFIG);
    assert_null(strstr(err.msg, KIT_SECRET_MARK));
    assert_null(none);
}

/* --- containers --------------------------------------------------------------------------------------------------- */

static void test_container(void **state)
{
    struct kit *k = *state;

    kit_env(k, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/1?a=b");
    (void)kit_route(k, "GET", "/v2/credentials/1?a=b", 200, KIT_JSON("ECS", END));
    kit_start(k, &no_opts);
    kit_expect(k, "ECS");
    assert_null(http_script_field(kit_seen(k, 0), "Authorization"));
    kit_env(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN=" KIT_AUTH);
    kit_again(k, &no_opts);
    kit_expect(k, "ECS");
    assert_string_equal(http_script_field(kit_seen(k, 0), "Authorization"), KIT_AUTH);
    /* Relative comes before full. */
    kit_env(k, "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://example.com/");
    kit_again(k, &no_opts);
    kit_expect(k, "ECS");
}

/* The platform replaces the file; the next fetch has the new one. */
static void test_container_token_file(void **state)
{
    struct kit *k = *state;

    set_full_uri(k, "/eks");
    kit_env(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN=unused");
    kit_env_file(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token");
    kit_file(k, "token", KIT_AUTH "1\n");
    (void)kit_route(k, "GET", "/eks", 200, KIT_JSON("EKS", END));
    kit_start(k, &no_opts);
    kit_expect(k, "EKS");
    assert_string_equal(http_script_field(kit_seen(k, 0), "Authorization"), KIT_AUTH "1");
    kit_file(k, "token", KIT_AUTH "2\n");
    kit_pass(k, INT64_C(7) * 3600 * 1000);
    k->routes[0].answer.body = KIT_JSON("EKS2", "2026-11-21T12:00:00Z");
    kit_expect(k, "EKS2");
    assert_string_equal(http_script_field(kit_seen(k, 0), "Authorization"), KIT_AUTH "2");
}

static void test_container_fails(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum err_code code;
        const char *text;
    } cases[] = {
        {401, "{\"code\":\"InvalidToken\",\"message\":\"token " KIT_AUTH " is bad\"}", E_DENIED,
            "container credentials: HTTP status 401: InvalidToken: token (masked) is bad"},
        {404, "not here: " KIT_SECRET, E_DENIED, "container credentials: HTTP status 404: not here: (masked)"},
        {429, "", E_THROTTLED, "container credentials: HTTP status 429: "},
        {500, "", E_SERVER, "container credentials: HTTP status 500: "},
        {302, "", E_DENIED, "container credentials: HTTP status 302: "},
        {200, KIT_SECRET, E_CORRUPT, "container credentials: the answer is not JSON (line 1, column "},
        {200, "", E_CORRUPT, "container credentials: the answer is empty"},
        {200, "{\"AccessKeyId\":\"" KIT_SECRET "\"}", E_CORRUPT,
            "container credentials: SecretAccessKey is missing in the answer"},
        {200, "{\"Code\":\"NoRole\",\"Message\":\"" KIT_SECRET "\"}", E_DENIED,
            "container credentials: no credentials: NoRole: (masked)"},
        {200, KIT_JSON("OLD", "2026-11-20T23:59:59Z"), E_DENIED,
            "container: the credentials have expired at 2026-11-20T23:59:59.000Z already; the clock here says "
            "2026-11-21T00:00:00.000Z"},
    };
    struct kit *k = *state;
    char *large = malloc((64 << 10) + 2);

    set_full_uri(k, "/c");
    kit_env(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN=" KIT_AUTH);
    (void)kit_route(k, "GET", "/c", 200, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        k->routes[0].answer = (struct http_answer){.status = cases[i].status, .body = cases[i].body};
        kit_again(k, &no_opts);
        kit_expect_error_with(k, cases[i].code, cases[i].text);
        assert_int_equal(k->err.http, cases[i].status == 200 ? 0 : cases[i].status);
    }
    memset(large, ' ', (64 << 10) + 1);
    large[(64 << 10) + 1] = 0;
    k->routes[0].answer = (struct http_answer){.body = large};
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_CORRUPT, "container credentials: ");
    free(large);
    k->routes[0].answer = (struct http_answer){.how = HTTP_HALF_CLOSE, .body = KIT_JSON("X", END)};
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_NETWORK, "container credentials: ");
    http_script_drop_idle(k->server);
    http_script_deafen(k->server);
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_NETWORK, "container credentials: ");
}

static void test_container_setup_fails(void **state)
{
    struct kit *k = *state;
    char want[256];

    kit_env(k, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=v2");
    kit_start(k, &no_opts);
    kit_expect_error(k, E_CONFIG,
        "container credentials: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not a path that begins with '/'");
    kit_env(k, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/a b");
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_CONFIG, "has a character in it that no URL can have");
    kit_env(k, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/a");
    kit_env(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN=" KIT_AUTH "\r\nX: y");
    kit_again(k, &no_opts);
    kit_expect_error(k, E_CONFIG,
        "container credentials: authorization token: AWS_CONTAINER_AUTHORIZATION_TOKEN has a character in it that no "
        "header can have");
    kit_env_file(k, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token");
    kit_again(k, &no_opts);
    (void)snprintf(want, sizeof want,
        "container credentials: authorization token: open %s/token: No such file or directory", k->dir);
    kit_expect_error(k, E_NOTFOUND, want);
    kit_file(k, "token", KIT_AUTH "\n" KIT_AUTH "\n");
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_CORRUPT, "token holds something else than a token in one line");
    kit_file(k, "token", "\n");
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_CORRUPT, "token is empty");
}

static void test_container_hosts(void **state)
{
    static const char *const good[] = {"https://example.com/x", "http://127.0.0.1/x", "http://127.9.9.9:80",
        "http://[::1]:8080/", "http://localhost/x", "http://169.254.170.2/v2", "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials", "http://[fd00:ec2:0:0::23]/"};
    static const char *const bad[] = {"http://example.com/", "http://169.254.170.3/", "http://169.254.169.254/",
        "http://128.0.0.1/", "http://localhost.example.com/", "http://127.0.0.1@example.com/", "ftp://127.0.0.1/",
        "http://[fd00:ec2::24]/", "http://[::]/", "file:///etc/passwd", "", "/x", "http://",
        "http://user:" KIT_SECRET "@127.0.0.1/"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_ok_err(s3_cred_container_check(good[i], &err), &err);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(s3_cred_container_check(bad[i], &err), E_CONFIG);
        assert_null(strstr(err.msg, KIT_SECRET_MARK));
    }
}

/* --- instance metadata -------------------------------------------------------------------------------------------- */

static void test_imds(void **state)
{
    struct kit *k = *state;

    add_imds(k);
    kit_start(k, &no_opts);
    kit_expect(k, "IMDS");
    assert_int_equal(http_script_count(k->server), 3);
    assert_string_equal(
        http_script_field(http_script_seen(k->server, 0), "X-aws-ec2-metadata-token-ttl-seconds"), "300");
    assert_string_equal(
        http_script_field(http_script_seen(k->server, 1), "X-aws-ec2-metadata-token"), "metadata-token");
    assert_string_equal(http_script_seen(k->server, 2)->target, ROLES "my-role");
    assert_string_equal(
        http_script_field(http_script_seen(k->server, 2), "X-aws-ec2-metadata-token"), "metadata-token");
}

static void expect_imds_error(struct kit *k, enum err_code code, const char *text)
{
    kit_again(k, &no_opts);
    kit_expect_error_with(k, code, text);
    kit_pass(k, 2000);
}

static void test_imds_says_no(void **state)
{
    struct kit *k = *state;
    struct http_answer *token, *keys, *roles;

    add_imds(k);
    token = &k->routes[0].answer;
    keys = &k->routes[1].answer;
    roles = &k->routes[2].answer;
    token->status = 403;
    expect_imds_error(
        k, E_DENIED, "(it answers HTTP status 403 to the request for a token: access to it is switched off)");
    token->status = 404;
    expect_imds_error(k, E_DENIED, "(it answers HTTP status 404 to the request for a token)");
    token->status = 503;
    expect_imds_error(k, E_SERVER, "HTTP status 503");
    *token = (struct http_answer){.body = "two words"};
    expect_imds_error(k, E_CORRUPT, "the answer to the request for a token is no token");
    token->body = "";
    expect_imds_error(k, E_CORRUPT, "the answer to the request for a token is no token");
    token->body = "t";
    roles->status = 404;
    expect_imds_error(k, E_DENIED, "(the instance has no role)");
    roles->status = 500;
    expect_imds_error(k, E_SERVER, "HTTP status 500: my-role other");
    *roles = (struct http_answer){.body = "../../user-data"};
    expect_imds_error(k, E_CORRUPT, "the answer to the request for the role is no name of a role");
    roles->body = "my-role";
    keys->status = 404;
    expect_imds_error(k, E_DENIED, "role my-role: HTTP status 404");
    *keys = (struct http_answer){.body = "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}"};
    expect_imds_error(k, E_DENIED, "role my-role: no credentials: AssumeRoleUnauthorizedAccess");
    keys->body = KIT_SECRET;
    expect_imds_error(k, E_CORRUPT, "role my-role: the answer is not JSON");
}

/* Nobody there: the whole search is told. */
static void test_imds_not_there(void **state)
{
    struct kit *k = *state;
    char want[1024], port[64];

    (void)snprintf(port, sizeof port, "%s", k->base);
    http_script_deafen(k->server);
    kit_start(k, &no_opts);
    (void)snprintf(want, sizeof want,
        "no credentials found; looked for: options of the replica; AWS_ACCESS_KEY_ID; AWS_WEB_IDENTITY_TOKEN_FILE; "
        "profile default in %s/home/.aws/credentials (no such file) and %s/home/.aws/config (no such file); "
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI; EC2 instance metadata at %s (",
        k->dir, k->dir, port);
    kit_expect_error_with(k, E_DENIED, want);
}

/* A hop limit of 1 in a container looks like this.  The question has a limit of its own, far below that of other
 * requests (that these limits are kept is shown in test_s3_http_many), and is asked once. */
static void test_imds_hangs(void **state)
{
    struct kit *k = *state;
    uint64_t before = uv_hrtime();

    kit_route(k, "PUT", "/latest/api/token", 0, NULL)->answer.how = HTTP_HANG;
    do { /* once more where the machine stood still until the limit */
        kit_again(k, &no_opts);
        kit_begin_asking(k);
        while (http_script_count(k->server) == 0 && !k->answered)
            (void)uv_run(&k->loop, UV_RUN_ONCE);
    } while (http_script_count(k->server) == 0);
    assert_int_equal(k->http->job_count, 1);
    assert_in_range(LIST_FIRST(&k->http->jobs)->req->total_ms, 1500, 10000);
    kit_run(k);
    assert_fails(k->rc, E_DENIED);
    assert_non_null(strstr(k->err.msg, "the instance's metadata hop limit must be 2"));
    assert_true((uv_hrtime() - before) / 1000000 >= 1500);
    assert_int_equal(http_script_count(k->server), 1);
}

/* Where credentials came from before, silence is a failure that passes. */
static void test_imds_goes_away(void **state)
{
    struct kit *k = *state;

    add_imds(k);
    kit_start(k, &no_opts);
    kit_expect(k, "IMDS");
    http_script_drop_idle(k->server);
    http_script_deafen(k->server);
    kit_pass(k, INT64_C(7) * 3600 * 1000);
    kit_expect_error_with(k, E_NETWORK,
        "credentials from role my-role of the EC2 instance expired at 2026-11-21T06:00:00.000Z and were not renewed: "
        "EC2 instance metadata at http://127.0.0.1");
}

/* --- web identity ------------------------------------------------------------------------------------------------- */

static void test_web_identity(void **state)
{
    struct kit *k = *state;

    kit_env_file(k, "AWS_WEB_IDENTITY_TOKEN_FILE", "jwt");
    kit_file(k, "jwt", KIT_JWT "\n");
    kit_env(k, "AWS_ROLE_ARN=arn:aws:iam::1:role/a/b");
    kit_env(k, "AWS_ROLE_SESSION_NAME=me@here");
    (void)kit_route(k, "POST", "/", 200, KIT_XML("WEB", END));
    kit_start(k, &no_opts);
    kit_expect(k, "WEB");
    assert_string_equal((const char *)kit_seen(k, 0)->body,
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%2Fb&"
        "RoleSessionName=me%40here&WebIdentityToken=" KIT_JWT);
    assert_null(http_script_field(kit_seen(k, 0), "Authorization"));
    assert_string_equal(
        http_script_field(kit_seen(k, 0), "Content-Type"), "application/x-www-form-urlencoded; charset=utf-8");
}

static void test_web_identity_fails(void **state)
{
#define ERROR(code, message) \
    "<ErrorResponse><Error><Code>" code "</Code><Message>" message "</Message></Error></ErrorResponse>"
    static const struct {
        int status;
        const char *body;
        enum err_code code;
        const char *text;
    } cases[] = {
        {403, ERROR("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"), E_DENIED,
            "assume role arn:aws:iam::1:role/a (AWS_WEB_IDENTITY_TOKEN_FILE): AccessDenied: Not authorized to perform "
            "sts:AssumeRoleWithWebIdentity"},
        {400, ERROR("ExpiredTokenException", "Token expired: " KIT_JWT), E_DENIED,
            "ExpiredTokenException: Token expired: (masked)"},
        {400, ERROR("Throttling", "Rate exceeded"), E_THROTTLED, "Throttling: Rate exceeded"},
        {503, ERROR("ServiceUnavailable", ""), E_SERVER, "ServiceUnavailable"},
        {502, "<html>" KIT_SECRET "</html>", E_SERVER, "HTTP status 502: <html>(masked)</html>"},
        {200, KIT_SECRET, E_CORRUPT, "the answer is not XML (line 1)"},
        {200, "<R/>", E_CORRUPT, "AccessKeyId is missing in the answer"},
        {200, "", E_CORRUPT, "the answer is empty"},
        {500, KIT_XML("X", END), E_SERVER, "HTTP status 500"},
    };
    struct kit *k = *state;

    kit_env_file(k, "AWS_WEB_IDENTITY_TOKEN_FILE", "jwt");
    kit_env(k, "AWS_ROLE_ARN=arn:aws:iam::1:role/a");
    kit_start(k, &no_opts);
    kit_expect_error_with(k, E_NOTFOUND, "(AWS_WEB_IDENTITY_TOKEN_FILE): web identity token: open ");
    kit_file(k, "jwt", KIT_JWT "\n");
    (void)kit_route(k, "POST", "/", 200, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        k->routes[0].answer = (struct http_answer){.status = cases[i].status, .body = cases[i].body};
        kit_again(k, &no_opts);
        kit_expect_error_with(k, cases[i].code, cases[i].text);
    }
    kit_again(k, &(struct s3_cred_opts){.sts_endpoint = "nonsense://x"});
    kit_expect_error(k, E_CONFIG, "the STS endpoint (AWS_ENDPOINT_URL_STS) is not a URL of http or https");
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

/* A file that cannot be read ends the search; it is never as if it were not there. */
static void test_faults(void **state)
{
    struct kit *k = *state;
    struct fault_fsys f;
    long n;

    kit_env_file(k, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    kit_env_file(k, "AWS_CONFIG_FILE", "config");
    kit_file(k, "config",
        "[profile a]\nrole_arn=arn:aws:iam::1:role/a\nweb_identity_token_file=/nowhere\n"
        "[default]\nregion=x\n");
    kit_file(k, "credentials", "[default]\n" KEYS("FILE"));
    k->fs = &f.fs;
    for (n = 1; n < 100; n++) {
        fault_fsys_init(&f, FAULT_ONCE, n, EIO);
        f.short_io = true;
        kit_again(k, &no_opts);
        (void)kit_ask(k).code;
        assert_int_equal(f.open_fds, 0);
        if (f.fired == 0)
            break;
        if (rc_failed(k->rc)) {
            assert_fails(k->rc, E_IO);
            assert_non_null(strstr(k->err.msg, strerrordesc_np(EIO)));
        } else
            assert_string_equal(k->keys.access_key, "FILE"); /* closing a file that was only read */
    }
    assert_string_equal(k->keys.access_key, "FILE");
    assert_in_range(n, 9, 60);
    /* Not being allowed to look into the home directory is no failure; being told to look there makes it one. */
    fault_fsys_init(&f, FAULT_FOREVER, 1, EACCES);
    f.ops = FAULT_STAT;
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_DENIED, "stat ");
    kit_env(k, "AWS_SHARED_CREDENTIALS_FILE=");
    kit_env(k, "AWS_CONFIG_FILE=");
    kit_env(k, "AWS_EC2_METADATA_DISABLED=TRUE");
    fault_fsys_init(&f, FAULT_FOREVER, 1, EACCES);
    f.ops = FAULT_STAT;
    kit_again(k, &no_opts);
    kit_expect_error_with(k, E_DENIED, "/home/.aws/credentials (permission denied) and ");
    kit_stop(k);
    k->fs = &fsys_real;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_halves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_container, setup, teardown),
        cmocka_unit_test_setup_teardown(test_container_token_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_container_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_container_setup_fails, setup, teardown),
        cmocka_unit_test(test_container_hosts),
        cmocka_unit_test_setup_teardown(test_imds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_imds_says_no, setup, teardown),
        cmocka_unit_test_setup_teardown(test_imds_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_imds_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_imds_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_web_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_web_identity_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
