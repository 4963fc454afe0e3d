/* SPDX-License-Identifier: Apache-2.0 */
#include "http_server_kit.h"

/* --- what works --------------------------------------------------------------------------------------------------- */

static void asked_and_answered(void **state)
{
    struct stat st;
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    assert_int_equal(stat(g.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    fd = connect_unix(&g); /* one connection, many requests */
    ask(&g, fd, "GET /a?path=%2Fx%20y HTTP/1.1\r\nHost: any\r\n\r\n", "GET /a /x y");
    assert_non_null(strstr(heard, "HTTP/1.1 200 "));
    assert_non_null(strstr(heard, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(heard, "X-Content-Type-Options: nosniff\r\n"));
    ask(&g, fd, "POST /b HTTP/1.1\r\nHost: any\r\nContent-Length: 0\r\n\r\n", "POST /b -");
    ask(&g, fd, "GET /c?x=1&y=2 HTTP/1.1\r\nHost: any\r\n\r\n", "unknown y");
    ask(&g, fd, "HEAD /d HTTP/1.1\r\nHost: any\r\n\r\n", "Content-Length: 8\r\n\r\n");
    assert_null(strstr(heard, "GET /d")); /* no body */
    assert_string_equal(g.asked, "GET /d -");
    (void)close(fd);
    ask_once(&g, true, "GET /e HTTP/1.1\r\nHost: localhost:1\r\n\r\n", "GET /e -");
    assert_non_null(strstr(heard, "HTTP/1.1 203 ")); /* not the owner's */
    end(&g);
}

static void streamed(void **state)
{
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    fd = connect_tcp(&g);
    ask(&g, fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n0\r\n\r\n");
    assert_non_null(strstr(heard, "Transfer-Encoding: chunked\r\n"));
    assert_true(heard_size > STREAM_SIZE);
    assert_int_equal(g.freed, 1);
    ask(&g, fd, "HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n\r\n");
    TURN_UNTIL(&g, g.freed == 2);
    assert_int_equal(g.streamed, 0);
    (void)close(fd);
    fd = connect_tcp(&g); /* does not wait for all of it */
    say(fd, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    TURN_UNTIL(&g, g.calls == 3);
    (void)close(fd);
    TURN_UNTIL(&g, g.freed == 3);
    end(&g);
}

static void answered_later_in_any_order(void **state)
{
    struct rig g;
    int fds[4];

    (void)state;
    begin(&g);
    g.hold = true;
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = connect_unix(&g);
        say(fds[i], "POST /sync HTTP/1.1\r\nHost: x\r\n\r\n");
        TURN_UNTIL(&g, g.held_count == i + 1);
    }
    for (unsigned i = 4; i-- > 0;) {
        char text[20];

        (void)snprintf(text, sizeof text, "number %u", i);
        answer_text(g.held[i], 200, text);
        listen_anew();
        TURN_UNTIL(&g, hear(fds[i], text));
        assert_false(hung_up);
    }
    for (unsigned i = 0; i < 4; i++)
        (void)close(fds[i]);
    end(&g);
}

/* Many wait at once, and all hear. */
static void thousands_wait(void **state)
{
    enum { COUNT = 2000 };
    struct rlimit limit;
    struct rig *g = malloc(sizeof *g);
    int *fds = malloc(COUNT * sizeof *fds);
    unsigned count = COUNT;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 2 * COUNT + 100)
        count = (unsigned)(limit.rlim_max - 100) / 2;
    begin_with(g, "control", COUNT);
    g->hold = true;
    for (unsigned i = 0; i < count; i++) {
        fds[i] = connect_unix(g);
        say(fds[i], "POST /sync?path=/x HTTP/1.1\r\nHost: x\r\n\r\n");
        (void)uv_run(&g->loop, UV_RUN_NOWAIT);
    }
    TURN_UNTIL(g, g->held_count == count);
    for (unsigned i = 0; i < count; i++)
        answer_text(g->held[i], 200, "done");
    for (unsigned i = 0; i < count; i++) {
        listen_anew();
        TURN_UNTIL(g, hear(fds[i], "done"));
        assert_false(hung_up);
        (void)close(fds[i]);
    }
    end(g);
    free(fds);
    free(g);
}

/* --- who may ask -------------------------------------------------------------------------------------------------- */

static void guarded(void **state)
{
    struct rig g;

    (void)state;
    begin(&g);
    ask_once(&g, true, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "the Host header must name");
    assert_non_null(strstr(heard, "HTTP/1.1 421 "));
    ask_once(&g, true, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ");
    ask_once(&g, true, "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n", "other origins");
    ask_once(&g, false, "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", "other origins");
    assert_int_equal(g.calls, 0); /* nobody was asked */
    assert_ok_err(http_guard_set_token(&g.tcp, "0123456789abcdef", 16, &err), &err);
    ask_once(&g, true, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 401 ");
    assert_non_null(strstr(heard, "WWW-Authenticate: Bearer\r\n"));
    ask_once(
        &g, true, "GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", "GET /x -");
    /* A browser does not have it, so whoever has it may use any name. */
    ask_once(&g, true, "GET /y HTTP/1.1\r\nHost: weir.example\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n",
        "GET /y -");
    ask_once(
        &g, true, "GET /z HTTP/1.1\r\nHost: weir.example\r\nAuthorization: Bearer 0123456789abcdeg\r\n\r\n", " 421 ");
    ask_once(&g, false, "GET /x HTTP/1.1\r\nHost: any\r\n\r\n", "GET /x -"); /* the owner needs none */
    end(&g);
}

static void no_bodies(void **state)
{
    static char request[200000];
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    ask_once(&g, false, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 413 ");
    ask_once(&g, false, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 413 ");
    ask_once(&g, false, "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 4");
    assert_int_equal(g.calls, 0);
    /* Headers that are too large. */
    memcpy(request, "GET /", 5);
    memset(request + 5, 'a', 60000);
    memcpy(request + 60005, " HTTP/1.1\r\nHost: x\r\n\r\n", 23);
    fd = connect_unix(&g);
    say(fd, request);
    listen_anew();
    TURN_UNTIL(&g, hear(fd, " 414 "));
    (void)close(fd);
    /* The library may tell this only when the time for the headers is over. */
    http_server_set_limits(g.server, &(struct http_limits){HTTP_HEADER_MS, HTTP_ANSWER_MS, HTTP_IDLE_MS, 1000});
    fd = connect_unix(&g);
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 40 && !hung_up; i++) {
        char line[1100];

        (void)snprintf(line, sizeof line, "X-%d: %01000d\r\n", i, i);
        (void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT); /* it may hang up at any moment */
        turn(&g);
    }
    listen_anew();
    TURN_UNTIL(&g, hear(fd, " 431 "));
    (void)close(fd);
    assert_int_equal(g.calls, 0);
    end(&g);
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

static void stops_with_open_calls(void **state)
{
    struct rig g;
    int fds[3];

    (void)state;
    begin(&g);
    fds[2] = connect_unix(&g); /* idle behind an answer */
    ask(&g, fds[2], "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "GET /x -");
    g.hold = true;
    fds[0] = connect_unix(&g);
    fds[1] = connect_unix(&g); /* has not asked */
    say(fds[0], "POST /sync HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(&g, g.held_count == 1);
    begin_stop(&g);
    turn(&g);
    assert_int_equal(g.stopped, 0); /* a call is open */
    answer_text(g.held[0], 200, "at last");
    TURN_UNTIL(&g, g.stopped == 1);
    listen_anew();
    assert_true(hear(fds[0], "at last"));
    assert_non_null(strstr(heard, "at last"));
    listen_anew();
    TURN_UNTIL(&g, hear(fds[1], "never said") && hung_up);
    for (unsigned i = 0; i < 3; i++)
        (void)close(fds[i]);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_and_answered),
        cmocka_unit_test(streamed),
        cmocka_unit_test(answered_later_in_any_order),
        cmocka_unit_test(thousands_wait),
        cmocka_unit_test(guarded),
        cmocka_unit_test(no_bodies),
        cmocka_unit_test(stops_with_open_calls),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon has it: clients hang up when they like */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
