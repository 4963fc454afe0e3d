# SPDX-License-Identifier: Apache-2.0
"""memory: what docs/benchmarks.md promises of the daemon's memory, with a database that takes seconds.

The promises are for 1 GB.  What grows with a database is known (8 bytes a page while it is followed, and 5 more while a
snapshot ends), everything else shows with a small one: so the limits here are the promises less that.
"""

from lib.daemon import Daemon
from lib.tap import check, diag
from lib.workers import Worker

MB = 1_000_000
PAGES = 1000 * MB // 4096
FOLLOWED, COPIED = 8 * PAGES, 13 * PAGES
PROMISED = {"file": 20 * MB, "s3": 30 * MB}  # in a folder; in a bucket, where two parts of 5 MiB are in memory
ROW, ROWS, PER_TRANSACTION = 3000, 16000, 500
COMMITS, AT_ONCE = 8000, 400


def peak_memory(pid):
    """The largest RSS since the last forget(), in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) << 10


def forget(pid):
    """Count the peak from here."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def look(case, daemon, what, grows):
    """Compare the peak with what was promised."""
    limit = PROMISED[case.options.store.kind] - grows
    peak = peak_memory(daemon.pid)
    diag(f"{what}: {peak / MB:.1f} MB at the peak, of {limit / MB:.1f}")
    check(peak <= limit, f"{what}: the daemon took {peak} bytes of memory, more than {limit}")


def one(case):
    """The first snapshot, of rows that nothing makes smaller; then thousands of commits that hit pages anywhere."""
    db = case.path("app.db")
    app = Worker(case, db)
    app.sql("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
    for first in range(1, ROWS, PER_TRANSACTION):
        app.sql(f"WITH RECURSIVE c(i) AS (VALUES ({first}) UNION ALL SELECT i + 1 FROM c WHERE i < {first + PER_TRANSACTION - 1}) "
                f"INSERT INTO t SELECT i, randomblob({ROW}) FROM c")
    daemon = Daemon(case, db, case.replica().url, args=("--sync-interval", "1s"))
    daemon.start()
    look(case, daemon, "first snapshot", COPIED)
    forget(daemon.pid)
    statement = f"UPDATE t SET v = randomblob(100) || substr(v, 101) WHERE id = 1 + abs(random() % {ROWS});"
    for _ in range(COMMITS // AT_ONCE):
        app.sql(statement * AT_ONCE)
    daemon.sync()
    look(case, daemon, f"{COMMITS:,} commits", FOLLOWED)
    daemon.stop()
    app.close()


def cases(_):
    """One after the other, with one daemon."""
    return [("a first snapshot and a busy writer stay below what is promised", one)]
