/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir_fault - the whole program on a file system that fails: WEIR_FAULT is "MODE:N" or "MODE:N:ERRNO" with MODE once,
 * forever or kill, and N the number of the file operation that it hits.  At the end, if it gets there, it prints how
 * many operations there were and how many failed: "weir_fault: calls=... fired=...".
 *
 * With WEIR_FAULT_CLOCK=SECONDS its wall clock is so far ahead of the machine's, or behind it: one life of it after the
 * other makes a history of days in moments.
 *
 * With WEIR_FAULT_POWER=SEED it runs on fault_power.h's disk, and SIGPWR is the power cut: its files become what a disk
 * could hold, and the process is gone.  The database is SQLite's business: see power_vfs.c, which is linked in.
 */
#include "commands.h"

#include "fault_power.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static time_t clock_shift_s;

/* The linker gives them these names (--wrap). */
int __real_clock_gettime(clockid_t id, struct timespec *out); /* NOLINT(bugprone-reserved-identifier) */
int __wrap_clock_gettime(clockid_t id, struct timespec *out); /* NOLINT(bugprone-reserved-identifier) */

int __wrap_clock_gettime(clockid_t id, struct timespec *out) /* NOLINT(bugprone-reserved-identifier) */
{
    int rc = __real_clock_gettime(id, out);

    if (rc == 0 && id == CLOCK_REALTIME)
        out->tv_sec += clock_shift_s;
    return rc;
}

static bool parse_mode(const char *text, size_t n, enum fault_mode *out)
{
    static const char *const names[] = {[FAULT_ONCE] = "once", [FAULT_FOREVER] = "forever", [FAULT_KILL] = "kill"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == n && strncmp(names[i], text, n) == 0) {
            *out = (enum fault_mode)i;
            return true;
        }
    }
    return false;
}

static bool parse(const char *text, enum fault_mode *mode, long *count, int *sys)
{
    const char *colon = strchr(text, ':');
    char *end;

    *sys = EIO;
    if (colon == NULL || !parse_mode(text, (size_t)(colon - text), mode))
        return false;
    *count = strtol(colon + 1, &end, 10);
    if (*end == ':')
        *sys = (int)strtol(end + 1, &end, 10);
    return *end == 0 && end != colon + 1;
}

struct outlet {
    struct fault_power *power;
    sigset_t signals;
    uint64_t seed;
};

static void *wait_for_cut(void *ctx)
{
    struct outlet *o = ctx;
    int signal;

    while (sigwait(&o->signals, &signal) != 0) {
    }
    fault_power_die(o->power, o->seed);
}

/* Before there are other threads: they inherit the mask, so that the signal is this thread's. */
static bool plug_in(struct outlet *o, struct fault_fsys *f, const char *seed)
{
    pthread_t thread;

    o->power = fault_power_new();
    o->seed = strtoull(seed, NULL, 10);
    fault_power_under(f, o->power);
    return sigemptyset(&o->signals) == 0 && sigaddset(&o->signals, SIGPWR) == 0
           && pthread_sigmask(SIG_BLOCK, &o->signals, NULL) == 0 && pthread_create(&thread, NULL, wait_for_cut, o) == 0;
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("WEIR_FAULT"), *changes = getenv("WEIR_FAULT_CHANGES"),
               *power = getenv("WEIR_FAULT_POWER"), *shift = getenv("WEIR_FAULT_CLOCK");
    struct outlet outlet;
    enum fault_mode mode = FAULT_ONCE;
    struct fault_fsys f;
    long count = 0;
    int sys = EIO, status;

    clock_shift_s = shift != NULL ? strtol(shift, NULL, 10) : 0;
    /* They are ours; the program under test refuses settings that it does not know. */
    (void)unsetenv("WEIR_FAULT");
    (void)unsetenv("WEIR_FAULT_CHANGES");
    (void)unsetenv("WEIR_FAULT_POWER");
    (void)unsetenv("WEIR_FAULT_CLOCK");
    if (wanted != NULL && !parse(wanted, &mode, &count, &sys)) {
        (void)fprintf(stderr, "WEIR_FAULT=%s: must be once|forever|kill:N[:ERRNO]\n", wanted);
        return 2;
    }
    fault_fsys_init(&f, mode, count, sys);
    if (changes != NULL)
        f.ops = FAULT_CHANGES; /* only what changes something on the disk counts */
    if (power != NULL && !plug_in(&outlet, &f, power)) {
        (void)fprintf(stderr, "weir_fault: no thread for the power cut\n");
        return 2;
    }
    status = weir_main(argc, argv, &f.fs);
    (void)fprintf(stderr, "weir_fault: calls=%ld fired=%ld\n", f.calls, f.fired);
    return status;
}
