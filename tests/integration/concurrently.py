# SPDX-License-Identifier: Apache-2.0
"""concurrently: writers at full speed, nobody takes turns.

Each writer numbers its rows and says which number was committed.  The order of the commits is not known, so the claims
are: the tip equals the source byte for byte; every acknowledged row is there; every restored txid (each 20th or so, and
always the first and the last) is a sound database in which each writer's numbers run from 1 without a gap and never fall back.
"""

import os
import re
import shutil
import sqlite3
import sys
import time

from lib import workers
from lib.case import PATIENCE, tail, wait_until
from lib.daemon import Daemon, check_order, log_of, restore
from lib.history import Recorder, fingerprint_file
from lib.tap import check, diag, equal

WRITERS = (("writer", "c1"), ("writer", "c2"), ("py-writer", "p1"), ("shell-writer", "s1"))
ENOUGH = 200  # rows: with fewer nothing has been put to the test


def make_journal(case, db, page_size=4096, auto_vacuum=0):
    """The table that all writers of app.py and writer.c use."""
    case.run("sqlite3", db, f"PRAGMA page_size={page_size}; PRAGMA auto_vacuum={auto_vacuum}; PRAGMA journal_mode=WAL; "
             "CREATE TABLE journal(writer TEXT, seq INTEGER, body BLOB, PRIMARY KEY (writer, seq)) WITHOUT ROWID; "
             "CREATE INDEX journal_body ON journal(body)")


def start_writers(case, db, which=WRITERS):
    """{name: process} of the writers."""
    started = {}
    for role, name in which:
        seed = [] if role == "shell-writer" else [case.rng.randrange(1 << 30)]
        started[name] = workers.start_actor(case, role, db, name, *seed)
    return started


def sequences(path):
    """{writer: highest number} of a closed database; checks that it is sound and that no number is missing."""
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        verdict = connection.execute("PRAGMA integrity_check(3)").fetchall()
        check(verdict == [("ok",)], lambda: f"{path}: integrity_check: {verdict}")
        rows = connection.execute("SELECT writer, min(seq), max(seq), count(*) FROM journal GROUP BY writer").fetchall()
    finally:
        connection.close()
    for writer, low, high, count in rows:
        check(low == 1 and high == count, f"{path}: writer {writer} has {count} rows from {low} to {high}")
    return {writer: high for writer, _, high, _ in rows}


def restored_sequences(case, url, txid=None):
    """Restore and look; returns ({writer: number}, state)."""
    folder = case.path(f"look-{txid}")
    os.mkdir(folder)
    target = os.path.join(folder, "r.db")
    restore(case, url, target, *(["--txid", txid] if txid else []), "--verify", "state")
    found = sequences(target), fingerprint_file(target)
    shutil.rmtree(folder)
    return found


def at_least(found, promised, what):
    """Every writer has reached the number that was acknowledged."""
    for writer, number in promised.items():
        check(found.get(writer, 0) >= number, f"{what}: writer {writer} is at {found.get(writer, 0)}, acknowledged was {number}")


def source_state(case, db):
    """The logical image of a database that nobody writes to, then its file after SQLite's own checkpoint: the same."""
    recorder = Recorder(db, keep_open=False)
    state = recorder.take()
    case.run("sqlite3", db, "PRAGMA wal_checkpoint(TRUNCATE)")
    equal(fingerprint_file(db).full, state.full, "file after a checkpoint and logical image before it")
    return state


def check_prefixes(case, url, most=40):
    """Restore each 20th txid (of a long history about `most` in all); numbers never fall back from one to the next."""
    commits = log_of(case, url)
    every = max(20, len(commits) // most)
    check_order(commits)
    before, looked = {}, 0
    for commit in commits:
        if commit.txid % every and commit not in (commits[0], commits[-1]):
            continue
        found, _ = restored_sequences(case, url, commit.txid)
        at_least(found, before, f"txid {commit.txid}")
        before, looked = found, looked + 1
    diag(f"{len(commits)} txids, {looked} restored and read")
    return before


def one(case, page_size, auto_vacuum, seconds):
    """One seed."""
    db, url = case.path("app.db"), case.replica().url
    make_journal(case, db, page_size, auto_vacuum)
    daemon = Daemon(case, db, url).start()
    writers = start_writers(case, db)
    others = [workers.start_actor(case, "checkpointer", db, case.rng.randrange(1 << 30)),
              workers.start_actor(case, "reader", db, case.rng.randrange(1 << 30)), workers.start_actor(case, "opener", db)]
    began, promised = time.monotonic(), {}
    while time.monotonic() < began + seconds or (sum(promised.values()) <= ENOUGH and time.monotonic() < began + PATIENCE):
        time.sleep(case.rng.uniform(0.3, 0.8))  # any moment will do
        promised = {name: workers.acknowledged(process) for name, process in writers.items()}
        found, _ = restored_sequences(case, url, daemon.sync())
        at_least(found, promised, "after weir sync --wait")
    for process in [*writers.values(), *others]:
        workers.stop_actor(process)
    promised = {name: workers.acknowledged(process) for name, process in writers.items()}
    check(sum(promised.values()) > ENOUGH, f"hardly anything was committed: {promised}")
    daemon.stop()
    state = source_state(case, db)
    found, tip = restored_sequences(case, url)
    equal(tip.full, state.full, "tip of the replica and the source file")
    at_least(found, promised, "tip")
    last = check_prefixes(case, url)
    at_least(last, promised, "last txid")
    diag(f"rows: {found}")


CHURN = """
import random, sqlite3, sys
connection, rng = sqlite3.connect(sys.argv[1], timeout=120, isolation_level=None), random.Random(int(sys.argv[2]))
connection.execute("PRAGMA synchronous = OFF")
while True:
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(20):
        connection.execute("UPDATE t SET v = randomblob(1000) WHERE id = ?", (rng.randrange(int(sys.argv[3])),))
    connection.execute("COMMIT")
"""


def start_churn(case, db, rows=40000):
    """Make the database, and begin with writers that change pages all over it as fast as they can."""
    case.run("sqlite3", db, "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v); WITH RECURSIVE c(i) AS (VALUES (0) "
             f"UNION ALL SELECT i + 1 FROM c WHERE i < {rows}) INSERT INTO t SELECT i, randomblob(1000) FROM c; PRAGMA wal_checkpoint(TRUNCATE)")
    return lambda: [case.spawn([sys.executable, "-c", CHURN, db, str(case.rng.randrange(1 << 30)), str(rows)]) for _ in range(4)]


def end_churn(case, daemon, db, url, writers, words):
    """Wait for a line of the log beside the writers; then the replica must hold what they left.  The line's numbers."""
    wait_until(lambda: words in daemon.log(), lambda: f"{words}\n{tail(daemon.log())}")
    for process in writers:
        check(process.poll() is None, "a writer ended")
        process.kill()
        process.wait()
    line = next(line for line in daemon.log().splitlines() if words in line)
    daemon.sync()
    daemon.stop()
    state = source_state(case, db)
    target = case.path("restored.db")
    restore(case, url, target, "--verify", "full")
    equal(fingerprint_file(target).full, state.full, "tip of the replica and the source file")
    return {name: int(re.search(rf" {name}=(\d+)", line)[1]) for name in ("pages", "bytes")}


def outrun(case):
    """Writers change pages all over the database faster than a snapshot copies them: it ends all the same, and is no multiple of it."""
    db, url = case.path("app.db"), case.replica().url
    writers = start_churn(case, db)()
    found = end_churn(case, Daemon(case, db, url).start(ready=False), db, url, writers, "snapshot taken")
    check(found["bytes"] < 12 * found["pages"] * 4096, f"a snapshot of {found['pages']} pages of 4096 bytes has {found['bytes']}")


def log_salt(db):
    """What grows by one each time the log is started over."""
    with open(db + "-wal", "rb") as file:
        return int.from_bytes(file.read(20)[16:], "big")


def outrun_start(case):
    """The same where a start has lost its place in the log, and compares all pages."""
    db, url = case.path("app.db"), case.replica().url
    start_writers_now = start_churn(case, db)
    daemon = Daemon(case, db, url).start()
    daemon.kill()
    writers = start_writers_now()
    wait_until(lambda: os.path.exists(db + "-wal") and os.path.getsize(db + "-wal") > 32, "a log")
    salt = log_salt(db)
    wait_until(lambda: log_salt(db) >= salt + 3, lambda: f"a log that is started over: {salt}, {log_salt(db)}")
    size = os.path.getsize(db)
    daemon = Daemon(case, db, url).start(ready=False)
    found = end_churn(case, daemon, db, url, writers, "resynchronised")
    check(found["pages"] * 4096 < 3 * size, f"{found['pages']} pages of 4096 bytes were shipped of a database of {size} bytes")


def cases(options):
    """One case per seed."""
    found = [("a snapshot is outrun", outrun), ("a start is outrun", outrun_start)]
    for number, (page_size, auto_vacuum) in enumerate(((4096, 0), (1024, 2), (16384, 1), (65536, 0), (512, 0))[:options.seeds or 3]):
        found.append((f"concurrent {number} page_size={page_size} auto_vacuum={auto_vacuum}",
                      lambda case, a=page_size, b=auto_vacuum: one(case, a, b, options.seconds or 4)))
    return found
