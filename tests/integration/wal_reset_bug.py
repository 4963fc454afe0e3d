# SPDX-License-Identifier: Apache-2.0
"""wal_reset_bug: SQLite before 3.51.3 corrupts a database when a checkpointer is held up during a reset of the log.

reset_bug.c provokes it.  Without weir it must show (or this SQLite is not affected: skipped); with weir attached it never
may, because the gate allows no reset during anybody's checkpoint.
"""

import sqlite3

from lib.daemon import Daemon, restore_state
from lib.history import Recorder
from lib.tap import Skip, check, equal

INTACT, CORRUPT = 0, 3
# Lengths of the log to start from: empty, some, and around the length at which weir resets the log itself.
PREFILLS = (0, 120, 330, 900)


def affected():
    """True when the system's SQLite has the bug."""
    return sqlite3.sqlite_version_info < (3, 51, 3)


def provoke(case, db, prefill):
    """One run; returns the exit status and its line."""
    done = case.run(case.options.program("reset_bug"), db, str(prefill), expect=(INTACT, CORRUPT))
    return done.returncode, done.stdout.strip()


def shows_without(case):
    """The instrument works: without weir the database is damaged every time."""
    if not affected():
        raise Skip(f"SQLite {sqlite3.sqlite_version} does not have the bug")
    for prefill in PREFILLS:
        code, line = provoke(case, case.path(f"plain-{prefill}.db"), prefill)
        check(code == CORRUPT, f"not provoked: {line}")


def never_with(case, prefill):
    """With weir attached the same run is harmless, and the replica is exact."""
    db, url = case.path("app.db"), case.replica().url
    case.run("sqlite3", db, "PRAGMA journal_mode=WAL; CREATE TABLE before(a)")
    daemon = Daemon(case, db, url).start()
    for turn in range(3):
        code, line = provoke(case, db, prefill)
        check(code == INTACT, f"turn {turn}: {line}")
    daemon.sync()
    daemon.stop()
    equal(restore_state(case, url).full, Recorder(db, keep_open=False).take().full, "tip of the replica and the source")


def cases(_options):
    """Without, and with, from several lengths of the log."""
    found = [("the bug shows without weir", shows_without)]
    for prefill in PREFILLS:
        found.append((f"never with weir, {prefill} transactions before", lambda case, n=prefill: never_with(case, n)))
    return found
