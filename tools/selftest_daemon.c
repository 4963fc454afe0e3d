/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest_daemon.h"

#include "alloc.h"
#include "ask.h"
#include "clock.h"
#include "config_daemon.h"
#include "interrupt.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SHUTDOWN_MS = 30 * 1000, /* for what is not shipped yet when it is told to end */
    PAUSE_US = 20 * 1000,
    ASK_MS = 5000,
    GRACE_MS = 5000, /* it ends the waiting by itself, and says why it took so long */
    SECOND_US = 200 * 1000,
};

struct selftest_daemon {
    char *path, *socket; /* owned */
    int go, told;        /* pipes: to it, one byte; from it, the error that ended it */
    pid_t pid;
    atomic_int running; /* the pid; 0: it is gone, and its number may be another's */
    int wait_status;
};

/* --- in the child ------------------------------------------------------------------------------------------------- */

static struct rc load(void *ctx, const struct daemon_settings **out, struct err *err)
{
    (void)err;
    *out = ctx;
    return RC_OK;
}

/* What the user's settings say of a database, but nothing that would be done beside the test, or before it. */
static struct db_settings settings_of(const struct selftest_daemon_plan *plan)
{
    struct db_settings s = config_daemon_database(plan->db);

    s.path = plan->path;
    s.url = plan->url;
    s.state_dir = NULL;
    s.retention = (struct retention_policy){0};
    s.retention_interval_ms = 0;
    s.drill_interval_ms = 0;
    s.scrub_interval_ms = 0;
    s.restore_if_missing = false;
    s.seed = NULL;
    s.may_switch = true;
    s.of_folder = false;
    s.park_after_ms = 0;
    return s;
}

/* Standard output belongs to the parent alone. */
static struct rc take_log(const struct selftest_daemon_plan *plan, struct err *err)
{
    int fd = -1;

    TRY(fsys_open(plan->fs, plan->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600, &fd, err));
    if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        return rc_raise_sys(err, E_IO, errno, "write to %s", plan->log_path);
    return RC_OK;
}

static struct rc replicate(const struct selftest_daemon_plan *plan, struct err *err)
{
    struct db_settings database = settings_of(plan);
    struct daemon_settings settings = {
        .databases = &database,
        .database_count = 1,
        .socket_path = plan->socket,
        .shutdown_ms = SHUTDOWN_MS,
        .log_level = SLOG_INFO,
    };
    struct daemon_source source = {.load = load, .ctx = &settings};

    TRY(take_log(plan, err));
    /* Nothing here is a service that somebody manages. */
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    return daemon_run(&source, plan->fs, err);
}

_Noreturn static void be_daemon(const struct selftest_daemon_plan *plan, pid_t parent, int go, int tell)
{
    struct err err;
    struct rc rc;
    char byte;

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* End of file: there will be no test.  A parent that is gone already sends no signal. */
    if (getppid() != parent || read(go, &byte, 1) != 1)
        _exit(0);
    rc = replicate(plan, &err);
    if (rc_failed(rc) && write(tell, &err, sizeof err) != (ssize_t)sizeof err)
        _exit(rc_exit_status(E_BUG)); /* the parent is gone */
    _exit(rc_failed(rc) ? rc_exit_status(rc.code) : 0);
}

/* --- in the parent ------------------------------------------------------------------------------------------------ */

static void close_pair(const int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            (void)fsys_real.close(&fsys_real, pair[i]); /* of a pipe */
}

struct rc selftest_daemon_fork(struct selftest_daemon **out, const struct selftest_daemon_plan *plan, struct err *err)
{
    int go[2] = {-1, -1}, tell[2] = {-1, -1};
    pid_t parent = getpid(), pid = -1;
    struct selftest_daemon *d;

    if (pipe2(go, O_CLOEXEC) == 0 && pipe2(tell, O_CLOEXEC) == 0)
        pid = fork();
    if (pid < 0) {
        struct rc rc = rc_raise_sys(err, E_IO, errno, "start a process for the daemon");

        close_pair(go);
        close_pair(tell);
        return rc;
    }
    if (pid == 0) {
        close_pair((const int[2]){go[1], tell[0]});
        be_daemon(plan, parent, go[0], tell[1]);
    }
    close_pair((const int[2]){go[0], tell[1]});
    d = mem_new(sizeof *d);
    *d = (struct selftest_daemon){.go = go[1], .told = tell[0], .pid = pid, .path = mem_strdup(plan->path)};
    d->socket = mem_strdup(plan->socket);
    atomic_store(&d->running, pid);
    *out = d;
    return RC_OK;
}

struct rc selftest_daemon_go(struct selftest_daemon *d, struct err *err)
{
    if (write(d->go, "g", 1) != 1) /* one byte into an empty pipe: it is gone */
        return rc_raise_sys(err, E_IO, errno, "the process of the daemon is gone");
    return RC_OK;
}

/* True: it has ended, and was waited for. */
static bool look(struct selftest_daemon *d, bool wait)
{
    pid_t done;

    if (atomic_load(&d->running) == 0)
        return true;
    do
        done = waitpid(d->pid, &d->wait_status, wait ? 0 : WNOHANG);
    while (done < 0 && errno == EINTR);
    if (done == 0)
        return false;
    atomic_store(&d->running, 0);
    return true;
}

/* Why it has ended. */
static struct rc cause(struct selftest_daemon *d, struct err *err)
{
    struct err its;

    if (WIFEXITED(d->wait_status) && WEXITSTATUS(d->wait_status) == 0)
        return RC_OK;
    if (WIFSIGNALED(d->wait_status))
        return rc_raise(err, E_BUG, "the daemon died of signal %d", WTERMSIG(d->wait_status));
    if (read(d->told, &its, sizeof its) != (ssize_t)sizeof its)
        return rc_raise(err, E_BUG, "the daemon ended with status %d", WEXITSTATUS(d->wait_status));
    *err = its;
    return rc_wrap(err, "the daemon ended");
}

static struct rc ended_early(struct selftest_daemon *d, struct err *err)
{
    TRY(cause(d, err));
    return rc_raise(err, E_IO, "the daemon ended before it was told to");
}

/* True: it replicates.  `trouble` is what it says is wrong. */
static bool is_ready(const json_t *answer, struct err *trouble)
{
    const json_t *database = json_array_get(json_object_get(answer, "databases"), 0);
    const char *state = json_string_value(json_object_get(database, "state"));
    const char *text = json_string_value(json_object_get(json_object_get(database, "error"), "message"));

    if (text != NULL)
        rc_ignore(rc_raise(trouble, E_TIMEOUT, "%s", text), "it is told if it does not go away");
    return text == NULL && state != NULL && strcmp(state, "replicating") == 0;
}

struct rc selftest_daemon_ready(struct selftest_daemon *d, uint64_t timeout_ms, struct err *err)
{
    const struct http_ask what = {.page = "status", .path = d->path, .timeout_ms = ASK_MS};
    const uint64_t end_ms = clock_mono_ms(&clock_real) + timeout_ms;
    struct err trouble;

    rc_ignore(rc_raise(&trouble, E_TIMEOUT, "it does not answer"), "it is told if it does not go away");
    for (;;) {
        CLEANUP(json_decrefp) json_t *answer = NULL;
        bool good = !rc_failed(ask_socket(d->socket, &what, &answer, err)) && is_ready(answer, &trouble);

        if (good)
            return RC_OK;
        if (look(d, false))
            return ended_early(d, err);
        if (interrupt_came() != 0)
            return rc_raise(err, E_CANCELED, "wait for the daemon: interrupted");
        if (clock_mono_ms(&clock_real) > end_ms)
            return rc_raise(err, E_TIMEOUT, "the daemon does not replicate after %llu s: %s",
                (unsigned long long)timeout_ms / 1000, trouble.msg);
        (void)usleep(PAUSE_US);
    }
}

struct rc selftest_daemon_sync(struct selftest_daemon *d, uint64_t timeout_ms, uint64_t *txid, struct err *err)
{
    CLEANUP(mem_freep) char *options = mem_printf("wait=1&timeout=%llums", (unsigned long long)timeout_ms);
    const struct http_ask what = {
        .page = "sync", .path = d->path, .options = options, .post = true, .timeout_ms = timeout_ms + GRACE_MS};
    CLEANUP(json_decrefp) json_t *answer = NULL;
    struct rc rc = ask_socket(d->socket, &what, &answer, err);

    if (rc_failed(rc))
        return rc.code == E_CANCELED && look(d, true) ? ended_early(d, err) : rc;
    *txid = (uint64_t)json_integer_value(json_object_get(answer, "txid"));
    return *txid > 0 ? RC_OK : rc_raise(err, E_BUG, "the daemon tells no txid");
}

struct rc selftest_daemon_stop(struct selftest_daemon *d, struct err *err)
{
    if (!look(d, false))
        (void)kill(d->pid, SIGTERM); /* it is our child and was not waited for */
    (void)look(d, true);
    return cause(d, err);
}

/* It ends in order with the first signal, and at once with the second. */
void selftest_daemon_interrupt(struct selftest_daemon *d)
{
    for (int i = 0; i < 2 && atomic_load(&d->running) != 0; i++) {
        (void)kill(d->pid, SIGTERM);
        (void)usleep(SECOND_US);
    }
}

void selftest_daemon_end(struct selftest_daemon *d)
{
    close_pair((const int[2]){d->go, -1}); /* one that still waits to begin ends by that */
    d->go = -1;
    selftest_daemon_interrupt(d);
    (void)look(d, true);
}

void selftest_daemon_free(struct selftest_daemon *d)
{
    if (d == NULL)
        return;
    assert(atomic_load(&d->running) == 0); /* ended */
    close_pair((const int[2]){d->go, d->told});
    mem_free(d->path);
    mem_free(d->socket);
    mem_free(d);
}
