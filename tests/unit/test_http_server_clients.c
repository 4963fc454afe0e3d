/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that behave badly. */
#include "http_server_kit.h"

/* --- clients that behave badly ------------------------------------------------------------------------------------ */

static void garbage(void **state)
{
    static const char *const lines[] = {"\r\n\r\n\r\n\r\n", "status\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n", "\x16\x03\x01\x02\x01", "GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%00%zz?%=%&& HTTP/1.1\r\nHost: x\r\n\r\n", "POST /\x01\xff HTTP/1.1\r\nHost: x\r\n\r\n"};
    struct rig g;

    (void)state;
    begin(&g);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        int fd = connect_tcp(&g);

        say(fd, lines[i]);
        turn(&g);
        (void)close(fd);
        turn(&g);
    }
    ask_once(&g, true, "GET /fine HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /fine -"); /* others are served */
    end(&g);
}

/* Byte by byte, and with the next request right behind the first. */
static void slow_and_fast(void **state)
{
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    fd = connect_unix(&g);
    for (const char *p = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"; *p != 0; p++) {
        const char one[2] = {*p, 0};

        say(fd, one);
        (void)uv_run(&g.loop, UV_RUN_NOWAIT);
    }
    listen_anew();
    TURN_UNTIL(&g, hear(fd, "GET /slow -"));
    ask(&g, fd, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /2 -");
    assert_non_null(strstr(heard, "GET /1 -"));
    (void)close(fd);
    end(&g);
}

/* Gone while it waits: its call is told.  A client that only has no more to say still gets its answer. */
static void gone(void **state)
{
    struct rig g;
    int fd;

    (void)state;
    begin(&g);
    g.hold = true;
    fd = connect_unix(&g);
    say(fd, "POST /sync HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(&g, g.held_count == 1);
    (void)close(fd);
    TURN_UNTIL(&g, g.gone == 1);
    fd = connect_unix(&g);
    say(fd, "POST /sync HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    TURN_UNTIL(&g, g.held_count == 1);
    turn(&g);
    assert_int_equal(g.gone, 1);
    answer_text(g.held[0], 200, "there you are");
    listen_anew();
    TURN_UNTIL(&g, hear(fd, "there you are"));
    assert_non_null(strstr(heard, "there you are"));
    (void)close(fd);
    end(&g);
}

/* Who holds all connections keeps others waiting, until one is closed. */
static void connection_limit(void **state)
{
    struct rig g;
    int fds[4];

    (void)state;
    begin_with(&g, "control", 3);
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = connect_unix(&g);
        say(fds[i], "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (unsigned i = 0; i < 3; i++) {
        listen_anew();
        TURN_UNTIL(&g, hear(fds[i], "GET /x -"));
    }
    turn(&g);
    listen_anew();
    assert_false(hear(fds[3], "GET /x -"));
    assert_int_equal(g.calls, 3);
    ask_once(&g, true, "GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /other -"); /* a limit of its own */
    (void)close(fds[0]);
    TURN_UNTIL(&g, hear(fds[3], "GET /x -"));
    for (unsigned i = 1; i < 4; i++)
        (void)close(fds[i]);
    end(&g);
}

/* --- listening ---------------------------------------------------------------------------------------------------- */

/* Whoever takes too long is hung up on: with the header, taking the answer, between two requests.  Others are not, who
 * wait for an answer, however long. */
static void late(void **state)
{
    const struct http_limits forever = {3600000, 3600000, 3600000, 1}, header = {20, 3600000, 3600000, 1},
                             idle = {3600000, 3600000, 20, 1}, answer = {3600000, 20, 3600000, 1};
    struct rig g;
    int fd, waits;

    (void)state;
    begin(&g);
    g.hold = true;
    waits = connect_unix(&g);
    say(waits, "GET /waits HTTP/1.1\r\nHost: any\r\n\r\n");
    TURN_UNTIL(&g, g.held_count == 1);
    http_server_set_limits(g.server, &header);
    g.hold = false;
    fd = connect_unix(&g);
    say(fd, "GET /never HTTP/1.1\r\nHost: ");
    listen_anew();
    TURN_UNTIL(&g, hear(fd, "there is nothing to hear"));
    assert_true(hung_up);
    (void)close(fd);
    http_server_set_limits(g.server, &idle);
    fd = connect_tcp(&g);
    ask(&g, fd, "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /a");
    TURN_UNTIL(&g, hear(fd, "there is nothing more to hear"));
    assert_true(hung_up);
    (void)close(fd);
    http_server_set_limits(g.server, &answer);
    fd = connect_unix(&g);
    say(fd, "GET /stream HTTP/1.1\r\nHost: any\r\n\r\n");
    TURN_UNTIL(&g, g.freed == 1);
    assert_true(g.streamed < STREAM_SIZE); /* it is not that all was sent */
    (void)close(fd);
    http_server_set_limits(g.server, &forever);
    assert_int_equal(g.gone, 0);
    answer_text(g.held[--g.held_count], 200, "at last");
    listen_anew();
    TURN_UNTIL(&g, hear(waits, "at last"));
    assert_non_null(strstr(heard, "at last"));
    (void)close(waits);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage),
        cmocka_unit_test(slow_and_fast),
        cmocka_unit_test(late),
        cmocka_unit_test(gone),
        cmocka_unit_test(connection_limit),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon has it: clients hang up when they like */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
