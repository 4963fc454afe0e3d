/* SPDX-License-Identifier: Apache-2.0 */
/*
 * old_history - a replica as it stands after weeks of replication, in a moment: for tests of retention.
 *
 *     old_history DIR DAYS
 *
 * Four commits a day, each its own segment, a merge a day, a snapshot a week.  The last commit was DAYS days after
 * 2026-09-21.
 */
#include "make_history.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_SIZE = 4096, PER_DAY = 4, WEEK = 7, DAYS_MAX = MAKE_HISTORY_STATES_MAX / PER_DAY - 1 };

static struct make_history h;

static void live(int days)
{
    const struct make_history_state *base = &h.states[h.now];
    char sql[160];

    for (int day = 1; day <= days; day++) {
        for (int i = 0; i < PER_DAY; i++) {
            h.time_ms += INT64_C(86400000) / PER_DAY - MAKE_HISTORY_STEP_MS;
            (void)snprintf(sql, sizeof sql,
                "INSERT INTO t(v) VALUES (randomblob(300)); UPDATE t SET v = randomblob(300) WHERE id %% 7 = %d",
                day % 7);
            make_history_sql(&h, sql, 0);
            make_history_cut(&h);
        }
        if (day % WEEK == 0)
            make_history_snapshot(&h);
        else
            make_history_merge(&h, 2, base, &h.states[h.now], h.states[h.now].time_ms);
        base = &h.states[h.now];
    }
}

int main(int argc, char **argv)
{
    const long days = argc == 3 ? strtol(argv[2], NULL, 10) : 0;

    if (days < 1 || days > DAYS_MAX) {
        (void)fprintf(stderr, "usage: old_history DIR DAYS (1 to %d)\n", DAYS_MAX);
        return 2;
    }
    make_history_init(&h, argv[1], PAGE_SIZE);
    make_history_timeline(&h, 0, 0);
    make_history_sql(&h, "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)", SEG_SNAPSHOT);
    make_history_snapshot(&h);
    live((int)days);
    make_history_fini(&h);
    return 0;
}
