/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt - for commands that must put things in order before a signal ends them.
 *
 *     interrupt_begin(&hooks)            before any other thread is started
 *     interrupt_came()                   between steps; 0: no signal so far
 *     interrupt_end()                    everything is in order: when there was a signal, the process ends by it here
 *
 * SIGINT, SIGTERM and SIGHUP are taken by a thread of their own, which calls the hooks.  The second one is told what
 * stays undone, and ends the process at once.  One at a time in a process.
 */
#ifndef INTERRUPT_H
#define INTERRUPT_H

struct interrupt_hooks {
    void (*on_first)(void *ctx);  /* cut short what is under way */
    void (*on_second)(void *ctx); /* say what is left */
    void *ctx;
};

void interrupt_begin(const struct interrupt_hooks *hooks);
int interrupt_came(void);
/* Two signals: end the process by itself, as it is. */
void interrupt_end(void);

#endif
