/* SPDX-License-Identifier: Apache-2.0 */
#include "interrupt.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    struct interrupt_hooks hooks;
    pthread_t thread;
    sigset_t signals, before;
    atomic_int came;
    atomic_bool closing;
} self;

/* As the signal would have ended us, so that a shell sees it. */
_Noreturn static void end_by(int number)
{
    sigset_t only;

    (void)signal(number, SIG_DFL);
    (void)sigemptyset(&only);
    (void)sigaddset(&only, number);
    (void)pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    (void)raise(number);
    _exit(128 + number); /* not reached: the default of each of them is to end the process */
}

static void *watch(void *arg)
{
    for (int number = 0;;) {
        int rc = sigwait(&self.signals, &number);

        assert(rc == 0);
        if (atomic_load(&self.closing))
            return arg;
        if (atomic_load(&self.came) != 0) {
            self.hooks.on_second(self.hooks.ctx);
            end_by(number);
        }
        atomic_store(&self.came, number);
        self.hooks.on_first(self.hooks.ctx);
    }
}

void interrupt_begin(const struct interrupt_hooks *hooks)
{
    int rc;

    self.hooks = *hooks;
    (void)sigemptyset(&self.signals);
    (void)sigaddset(&self.signals, SIGINT);
    (void)sigaddset(&self.signals, SIGTERM);
    (void)sigaddset(&self.signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &self.signals, &self.before);
    rc = pthread_create(&self.thread, NULL, watch, NULL);
    assert(rc == 0); /* without threads nothing works */
}

int interrupt_came(void)
{
    return atomic_load(&self.came);
}

void interrupt_end(void)
{
    int number;

    atomic_store(&self.closing, true);
    (void)pthread_kill(self.thread, SIGTERM);
    (void)pthread_join(self.thread, NULL);
    number = interrupt_came();
    if (number != 0)
        end_by(number);
    (void)pthread_sigmask(SIG_SETMASK, &self.before, NULL);
}
