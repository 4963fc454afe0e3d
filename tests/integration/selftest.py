# SPDX-License-Identifier: Apache-2.0
"""selftest: the instruments themselves, without weir.  A comparison that cannot fail proves nothing."""

import sqlite3

from lib import workers
from lib.history import Commit, Recorder, compare, fingerprint, fingerprint_file
from lib.mix import Mix, execute
from lib.tap import check, equal
from oracle import start_actors


def image(content, counter=1):
    """A little database image."""
    data = bytearray(b"SQLite format 3\0" + bytes(4080))
    data[16:18] = (4096).to_bytes(2, "big")
    data[24:28] = data[92:96] = counter.to_bytes(4, "big")
    data[200:200 + len(content)] = content
    return bytes(data)


def history(*parts):
    """Commits out of (content, counter[, resync]) tuples."""
    return [Commit(number, 0, 1, 1, len(part) > 2, {}, fingerprint(image(*part[:2]))) for number, part in enumerate(parts, 1)]


def comparison(_case):
    """Every kind of damage is found, every allowed difference is let through."""
    record = [fingerprint(image(*part)) for part in ((b"a", 1), (b"b", 1), (b"c", 2), (b"b", 3))]
    good = (b"a", 1), (b"b", 1), (b"c", 2), (b"b", 3)
    fine = {
        "equal": good,
        "weir's own commit after": (*good, (b"b", 4)),
        "weir's own commit before": (good[0], (b"a", 2), *good[1:]),
        "weir's own between": (*good[:2], (b"c", 1), *good[2:]),
    }
    bad = {
        "nothing": (),
        "the first missing": good[1:],
        "one missing": (good[0], *good[2:]),
        "the last missing": good[:3],
        "two swapped": (good[0], good[2], good[1], good[3]),
        "one byte": (*good[:2], (b"d", 2), good[3]),
        "a foreign state more": (*good[:2], (b"x", 1), *good[2:]),
        "back and forth": (*good[:2], good[0], good[1], *good[2:]),
        "only the counter's neighbour": (good[0], good[1], (b"c", 3), good[3]),
    }
    for name, parts in fine.items():
        equal(compare(record, history(*parts)), [], name)
    for name, parts in bad.items():
        check(compare(record, history(*parts)), f"not noticed: {name}")
    equal(compare(record, history(good[0], (b"b", 3, True)), gaps=True), [], "a resync may skip")
    check(compare(record, history(good[0], (b"c", 2)), gaps=True), "not noticed: a gap without a resync")
    check(compare(record, history(good[0], (b"x", 2, True)), gaps=True), "not noticed: a resync to a state that never was")
    check(compare(record, history(good[0], (b"b", 1, True)), gaps=True), "not noticed: a history that ends too early")


def logical_image(case):
    """The recorder sees the log, and sees the same after a checkpoint, in a file of another process."""
    db = case.path("app.db")
    worker = workers.Worker(case, db)
    worker.sql("PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE t(v); PRAGMA wal_autocheckpoint=0")
    recorder = Recorder(db)
    before = recorder.record()
    worker.sql("INSERT INTO t VALUES (randomblob(5000))")
    after = recorder.record()
    check(before.full != after.full and before.pages < after.pages, "the commit in the log is not seen")
    worker.sql("BEGIN; INSERT INTO t VALUES (randomblob(50000))")
    equal(recorder.record(), after, "state during an open transaction")
    worker.sql("ROLLBACK")
    worker.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    equal(recorder.record(), after, "state after a checkpoint")
    recorder.close()
    worker.close()
    equal(fingerprint_file(db).full, after.full, "state of the closed file")
    equal(len(recorder.states), 2, "recorded states")


def mixture(case, kind, page_size, auto_vacuum):
    """The generator makes valid SQL of every kind, and the database is sound afterwards."""
    db, mix = case.path("app.db"), Mix(case.rng, page_size, auto_vacuum)
    worker = workers.Worker(case, db, kind)
    for line in mix.setup():
        worker.sql(line)
    recorder, last, seen = Recorder(db), None, set()
    actors = start_actors(case, db)

    def record(name):
        nonlocal last
        last = recorder.record(name)

    record("start")
    for _ in range(case.options.commits or 250):
        step = mix.next(last.pages * last.page_size)
        seen.add(step.kind)
        execute(worker, step, record)
    check(len(seen) > 18, lambda: f"only these kinds came up: {sorted(seen)}")
    check(len(recorder.states) > 80, f"only {len(recorder.states)} states")
    for actor in actors:
        workers.stop_actor(actor)
    worker.close()
    recorder.close()
    connection = sqlite3.connect(db)
    equal(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity_check")
    connection.close()


def cases(_options):
    """All of them."""
    found = [("comparison finds planted faults", comparison), ("recorder sees the logical image", logical_image)]
    for kind, page_size, auto_vacuum in (("c", 512, 0), ("python", 4096, 1), ("shell", 65536, 2)):
        found.append((f"mixture by {kind}, pages of {page_size}",
                      lambda case, a=kind, b=page_size, c=auto_vacuum: mixture(case, a, b, c)))
    return found
