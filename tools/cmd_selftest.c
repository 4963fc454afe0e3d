/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "clock.h"
#include "commands.h"
#include "interrupt.h"
#include "selftest_story.h"

#include <stdio.h>

#define COMMAND "selftest"

static void on_first(void *ctx)
{
    struct selftest_story *t = ctx;

    cli_complain(COMMAND, "interrupted: removing what was made; once more to leave it there");
    selftest_story_interrupt(t);
}

static void on_second(void *ctx)
{
    const struct selftest_story *t = ctx;

    cli_complain(COMMAND, "interrupted again: %s and %s may be left", t->shown_url, t->scratch);
}

static void tell_left(const struct selftest_story *t)
{
    if (t->keep)
        return;
    if (t->objects_left)
        cli_complain(COMMAND, "left behind, to be removed by hand: %s, which is of this test alone", t->shown_url);
    if (t->scratch_made)
        cli_complain(COMMAND, "left behind, to be removed by hand: the folder %s", t->scratch);
}

static int conclude(struct selftest_story *t, const struct err *err, uint64_t begin_ms)
{
    const struct selftest_print_end end = {
        .url = t->shown_url,
        .error = err,
        .duration_ms = clock_mono_ms(&clock_real) - begin_ms,
        .kept = t->keep && t->ours,
        .left = !t->keep && (t->objects_left || t->scratch_made),
        .scratch = t->scratch,
    };
    int status = err != NULL ? cli_fail(COMMAND, err) : 0;

    selftest_print_end(&t->print, &end);
    tell_left(t);
    status = cli_finish(COMMAND, status); /* a signal may end the process next */
    interrupt_end();
    return status;
}

static int selftest(struct selftest_story *t)
{
    const struct interrupt_hooks hooks = {.on_first = on_first, .on_second = on_second, .ctx = t};
    uint64_t begin_ms = clock_mono_ms(&clock_real);
    struct err err, also;
    struct rc rc = selftest_story_prepare(t, &err), removed;
    int status;

    if (rc_failed(rc))
        return cli_fail(COMMAND, &err);
    interrupt_begin(&hooks);
    rc = selftest_story_run(t, &err);
    removed = selftest_story_remove(t, &also);
    if (rc_failed(rc) && rc_failed(removed))
        cli_complain(COMMAND, "%s", also.msg);
    else if (rc_failed(removed))
        err = also;
    status = conclude(t, rc_failed(rc) || rc_failed(removed) ? &err : NULL, begin_ms);
    return status;
}

static const char *check_options(const struct selftest_story *t)
{
    if (t->file != NULL && t->source == NULL)
        return "-c goes with a database, or the URL of one: without them the replica is a temporary folder";
    if (t->commits > SELFTEST_COMMITS_MAX)
        return "--commits is at most 1000000";
    if (t->timeout_ms == 0)
        return "--timeout is at least 1ms";
    return NULL;
}

int cmd_selftest(int argc, char **argv, const struct fsys *fs)
{
    struct selftest_story t = {
        .fs = fs, .commits = SELFTEST_COMMITS_DEFAULT, .timeout_ms = SELFTEST_TIMEOUT_DEFAULT_MS};
    const struct cli_option options[] = {
        {0, "commits", "N", "write so many (default 2000)", cli_u64, &t.commits, NULL},
        {0, "timeout", "TIME", "how long one of them may take until it is durable (default 60s)", cli_duration,
            &t.timeout_ms, NULL},
        {0, "scratch", "DIR", "where the scratch database goes; default: $TMPDIR, or /tmp", cli_text, &t.scratch_dir,
            NULL},
        {0, "keep", NULL, "remove nothing: the replica, the database, copies and the daemon's log stay", NULL, &t.keep,
            NULL},
        {0, "json", NULL, "print one JSON object at the end (docs/selftest.md)", NULL, &t.json, NULL},
        SETTINGS_OPTION(&t.file),
        {0},
    };
    const struct cli cli = {
        .command = COMMAND,
        .synopsis = "[SOURCE] [OPTION...]",
        .about =
            "Prove on this machine, and with this store, that the whole road works: make a scratch database, write "
            "some "
            "thousand rows to it, ship every commit by the daemon itself, wipe database and local state, restore the "
            "newest state and earlier ones by txid and by time, compare each with a copy byte for byte, let SQLite run "
            "integrity_check, verify every object, and remove everything again.\n"
            "\n"
            "SOURCE is the URL of a replica, or a database of the configuration, whose replica, options and "
            "credentials "
            "are used then; without one the replica is a temporary folder.  The test has a new place of its own below "
            "it, weir-selftest-RANDOM, and never touches the history that is there, nor the database.\n"
            "\n"
            "Exit status 0: all good, and nothing is left; 1: something failed, or could not be removed; 2: wrong "
            "usage or configuration; 4: what was restored or stored is not what was written.",
        .examples = "  weir selftest\n"
                    "  weir selftest s3://backups/app\n"
                    "  weir selftest -c weir.yml /var/lib/app/app.db --commits 500 --json\n",
        .options = options,
        .operands = &t.source,
        .operand_min = 0,
        .operand_max = 1,
    };
    const char *wrong;
    int status;

    if (!cli_parse(&cli, argc, argv, &status))
        return status;
    wrong = check_options(&t);
    if (wrong != NULL) {
        cli_complain(COMMAND, "%s", wrong);
        return rc_exit_status(E_CONFIG);
    }
    status = selftest(&t);
    selftest_story_fini(&t);
    return status;
}
