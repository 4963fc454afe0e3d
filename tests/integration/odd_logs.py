# SPDX-License-Identifier: Apache-2.0
"""odd_logs: logs that SQLite itself writes although its own documents say that they cannot be.

Frames without a checksum: SQLite (seen in 3.40.1) forgets the checksums of frames when a transaction spills pages to the
log, writes some of them again, and then rolls back to a savepoint.  The commit is good for everybody who reads through the
WAL index, but salts and checksums of its frames are zero, and the next commit's checksums continue from one that is no
longer in the file.  After a crash SQLite would drop this commit and all behind it; until then it is real, applications see
it, and weir must have it.

Pages past the end: a transaction that grew the database, spilled, and shrank it again leaves frames of pages that the
database does not have after its commit.
"""

from lib.daemon import Daemon
from lib.history import Recorder
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal

# A transaction that leaves such frames: found by trying, shortened by hand.
SPILLED = ("PRAGMA cache_size=10; BEGIN; SAVEPOINT a; UPDATE t SET v = randomblob(501) WHERE id < 94; "
           "UPDATE t SET v = randomblob(400) WHERE id % 7 = 0; ROLLBACK TO a; "
           "UPDATE t SET v = randomblob(400) WHERE id = 120; COMMIT; PRAGMA cache_size=2000")


def bare_frames(case, db):
    """How many frames of the log have neither salts nor a checksum.  Looks at a copy."""
    case.run("cp", db + "-wal", case.path("wal-copy"))
    with open(case.path("wal-copy"), "rb") as file:
        data = file.read()
    page_size = int.from_bytes(data[8:12], "big")
    return sum(data[at + 8:at + 24] == bytes(16) for at in range(32, len(data) - page_size - 23, page_size + 24))


def prepare(case):
    """A database whose log is at its beginning, so that no older frame lies behind."""
    scene = Scene(case, page_size=1024)
    scene.app.sql("WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 200) "
                  "INSERT INTO t(k, v) SELECT i, randomblob(500) FROM c")
    scene.rows += 200
    scene.recorder.record("200 rows")
    return scene


def spill(scene):
    """Make such a commit."""
    before = bare_frames(scene.case, scene.db)
    scene.app.sql(SPILLED)
    scene.recorder.record("frames without a checksum")
    found = bare_frames(scene.case, scene.db) - before
    if found <= 0:
        raise Skip("this SQLite writes every checksum")
    diag(f"{found} frames without a checksum")


def while_attached(case):
    """weir reads them as any other commit: no resync, nothing skipped."""
    scene = prepare(case)
    scene.start()
    scene.commit(2)
    spill(scene)
    scene.commit(3)
    scene.sync()
    scene.commit(2)
    scene.end()
    commits = scene.verify()
    check(not any(c.resync for c in commits[1:]), f"not read but resynchronised: {[c.txid for c in commits if c.resync]}")
    scene.verify_tip()


def before_attaching(case):
    """They are in the log already when weir comes."""
    scene = prepare(case)
    spill(scene)
    scene.commit(2)
    scene.start()
    scene.commit(3)
    scene.end()
    scene.verify()
    scene.verify_tip()


def while_away(case):
    """They come while the daemon is down; the index survives because the application stays."""
    scene = prepare(case)
    scene.start()
    scene.commit(2)
    scene.sync()
    scene.stop()
    spill(scene)
    scene.commit(2)
    scene.start()
    scene.commit(2)
    scene.end()
    scene.verify(gaps=True)
    scene.verify_tip()


def pages_past_the_end(case, auto_vacuum):
    """A transaction grows the database, spills pages to the log, and shrinks it again before its commit: the log has frames
    of pages that the database does not have after that commit."""
    db = case.path("app.db")
    case.run("sqlite3", db, f"PRAGMA page_size=1024; PRAGMA auto_vacuum={auto_vacuum}; PRAGMA journal_mode=WAL; "
             "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v BLOB); INSERT INTO t VALUES (1, 1, randomblob(5000))")
    scene = Scene(case, create=False)
    scene.open()
    scene.rows = 1
    scene.recorder.record("before")
    scene.start()
    for _ in range(3):
        scene.app.sql("PRAGMA cache_size=10; BEGIN; WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c "
                      "WHERE i < 300) INSERT INTO t(k, v) SELECT i, randomblob(900) FROM c; DELETE FROM t WHERE id > 3; "
                      "PRAGMA incremental_vacuum; COMMIT; PRAGMA cache_size=2000")
        scene.recorder.record("grown and shrunk")
        scene.rows = 3
        scene.commit(1)
    check(scene.recorder.states[-1].pages < 100, "the database was expected to shrink")
    scene.end()
    scene.verify()
    scene.verify_tip()


def left_by_a_crash(case):
    """A log without an index, as a machine leaves it that went down: recovered first, then replicated."""
    scene = prepare(case)
    scene.commit(3)
    scene.app.kill()
    scene.app = None
    case.run("rm", scene.db + "-shm")
    daemon = Daemon(case, scene.db, scene.url).start()
    daemon.sync()
    daemon.stop()
    last = scene.recorder.states[-1]
    equal(scene.tip().masked, last.masked, "tip")
    equal(Recorder(scene.db, keep_open=False).take().masked, last.masked, "source")


def cases(_options):
    """All of them."""
    return [("frames without a checksum, attached", while_attached), ("frames without a checksum, before", before_attaching),
            ("frames without a checksum, away", while_away), ("pages past the end, auto_vacuum full", lambda case: pages_past_the_end(case, 1)),
            ("pages past the end, auto_vacuum incremental", lambda case: pages_past_the_end(case, 2)),
            ("a log left by a crash", left_by_a_crash)]
