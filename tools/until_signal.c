/* SPDX-License-Identifier: Apache-2.0 */
#include "until_signal.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static sem_t arrived;
static atomic_int any; /* a job asks, too */
static volatile sig_atomic_t exit_status;

static void on_signal(int number)
{
    int saved = errno;

    (void)number;
    any = 1;
    (void)alarm(UNTIL_SIGNAL_GRACE_S);
    (void)sem_post(&arrived); /* can only be full */
    errno = saved;
}

static void on_alarm(int number)
{
    (void)number;
    _exit(exit_status);
}

void until_signal_begin(int status)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction end = {.sa_handler = on_alarm};
    int rc = sem_init(&arrived, 0, 0);

    assert(rc == 0);
    exit_status = status;
    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(&end.sa_mask);
    rc = sigaction(SIGALRM, &end, NULL);
    assert(rc == 0);
    rc = sigaction(SIGTERM, &action, NULL);
    assert(rc == 0);
    rc = sigaction(SIGINT, &action, NULL);
    assert(rc == 0);
}

bool until_signal_wait(uint32_t ms)
{
    struct timespec until;
    int rc = clock_gettime(CLOCK_MONOTONIC, &until);

    assert(rc == 0);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (any == 0 && ms > 0 && sem_clockwait(&arrived, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
        ;
    return any != 0;
}
