# SPDX-License-Identifier: Apache-2.0
"""triggers: what makes a database ship, and what becomes of commits that nothing makes ship.

With all triggers off the replica stays as it is until somebody asks, or the daemon is stopped; meanwhile the log stays small,
a kill -9 loses nothing, and afterwards every commit is there, byte for byte.
"""

import contextlib
import datetime
import json
import os
import resource
import signal
import sqlite3
import subprocess
import time

from concurrently import at_least, check_prefixes, make_journal, restored_sequences, source_state, start_writers
from config import ConfigDaemon, config, insert, small, write
from http_api import UnixConnection, ask, at_socket
from lib import workers
from lib.case import tail, wait_until
from lib.daemon import check_order, log_of, restore, restore_all, restore_state
from lib.history import Recorder, compare, fingerprint_file
from lib.mix import Mix
from lib.replica import Leaving
from lib.tap import check, diag, equal
from many import Folder
from oracle import write_history

USAGE = 2
PLACES = 16  # databases of folders that are open at once, with as few descriptors as that
OFF = {"interval": "off", "commits": "off"}
LOG_MAX = 16 << 20  # bytes of a log that is started over every 1,000 frames of 4 KiB, by a weir that gets the processor
FAR = 30  # commits, each read before the next one is made: whoever shipped because of time would have done it


class Triggered(ConfigDaemon):
    """A daemon of one database, with its settings in a file."""

    def __init__(self, case, db, url, sync=None, **keys):
        self.entry = {"path": db, "replica": url, "fold": {"count": 0}, **keys}
        super().__init__(case, case.path("weir.yml"))
        self.db = db
        write(self.file, self.text(sync or OFF))

    def text(self, sync):
        """The configuration with these triggers."""
        return json.dumps({"databases": [{**self.entry, "sync": sync}]})

    def settings(self, **sync):
        """Change the file, and have it read again."""
        self.reload(self.text(sync))

    def one(self):
        """The status of the database."""
        return self.status()["databases"][0]

    def status_age(self, txid):
        """Seconds since this commit, the last that is shipped, was made."""
        shown = self.one()
        equal(shown["shipped_txid"], txid, "the shipped txid")
        return time.time() - datetime.datetime.fromisoformat(shown["shipped_time"].replace("Z", "+00:00")).timestamp()

    def wait_read(self, txid):
        """Until this commit was read from the log."""
        wait_until(lambda: self.one()["txid"] >= txid, lambda: f"txid {txid} is read\n{tail(self.log())}")

    def wait_shipped(self, txid):
        """Until this commit is in the replica, without anybody asking."""
        wait_until(lambda: self.one()["shipped_txid"] >= txid, lambda: f"txid {txid} is shipped\n{tail(self.log())}")


@contextlib.contextmanager
def application(db):
    """A connection whose every statement is a commit."""
    with contextlib.closing(sqlite3.connect(db, isolation_level=None, timeout=60)) as connection:
        yield connection


def begin(case, sync=None, replica=None, **keys):
    """(database, replica, daemon that replicates, last txid)."""
    db, replica = small(case, "app.db"), replica or case.replica()
    daemon = Triggered(case, db, replica.url, sync, **keys).start()
    return db, replica, daemon, daemon.sync()


def write_each(app, daemon, txid, count):
    """So many commits, each read by the daemon before the next one; the last txid."""
    for number in range(count):
        app.execute("INSERT INTO t VALUES (?)", (number,))
        txid += 1
        daemon.wait_read(txid)
    return txid


def rows_of(case, url, *args):
    """How many rows a state of the replica has."""
    target = case.path("rows.db")
    restore(case, url, target, "--force", "--no-state", *args)
    with contextlib.closing(sqlite3.connect(f"file:{target}?immutable=1", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


# --- nobody asks ------------------------------------------------------------------------------------------------------


def until_asked(case):
    """Nothing is sent until somebody asks or the daemon is stopped, and nobody is alarmed by that."""
    db, replica, daemon, txid = begin(case)
    before = replica.list()
    with application(db) as app:
        last = write_each(app, daemon, txid, FAR)
        equal(replica.list(), before, "the replica")
        shown = daemon.one()
        equal((shown["state"], shown["error"], shown["shipped_txid"], shown["lag"]["commits"]), ("replicating", None, txid, FAR), "the status")
        equal(shown["triggers"], {"interval": "off", "commits": "off", "changed": False}, "the triggers")
        check(shown["lag"]["seconds"] > 0, f"lag: {shown['lag']}")
        said = case.weir("status", db).stdout  # exit status 0: all is well
        check("off" in said, said)
        equal(daemon.sync(), last, "what was asked for")
        equal(len(replica.list()) - len(before), 1, f"objects for {FAR} commits")
        before = replica.list()
        equal(daemon.sync(), last, "there is nothing to be shipped")
        equal(replica.list(), before, "the replica")
        last = write_each(app, daemon, last, 3)
        done = case.weir("sync", db)  # nobody waits for it
        equal(done.stdout.split()[0], str(last), "what was read")
        daemon.wait_shipped(last)
        write_each(app, daemon, last, 3)
        daemon.stop()
    equal(rows_of(case, replica.url), FAR + 7, "rows, behind SIGTERM")


def a_number(case):
    """Without an interval, with a number: so many commits are one object, however long it takes."""
    db, replica, daemon, txid = begin(case, {"interval": "off", "commits": 7})
    before = replica.list()
    with application(db) as app:
        last = write_each(app, daemon, txid, 6)
        equal(replica.list(), before, "the replica")
        app.execute("INSERT INTO t VALUES (0)")
        daemon.wait_shipped(last + 1)
        equal(len(replica.list()) - len(before), 1, "objects for seven commits")
        last = write_each(app, daemon, last + 1, 6)
        equal(daemon.one()["shipped_txid"], last - 6, "the shipped txid")
        equal(daemon.sync(), last, "what was asked for")
        last = write_each(app, daemon, last, 6)  # they count from there
        equal(daemon.one()["shipped_txid"], last - 6, "the shipped txid")
    daemon.stop()
    equal(rows_of(case, replica.url), 20, "rows")


def reloaded(case):
    """The file switches them off and on again while the daemon runs; what waited is shipped then."""
    db, replica, daemon, txid = begin(case, {"interval": "20ms"})
    with application(db) as app:
        app.execute("INSERT INTO t VALUES (0)")
        daemon.wait_shipped(txid + 1)
        daemon.settings(**OFF)
        before = replica.list()
        last = write_each(app, daemon, txid + 1, FAR)
        equal(replica.list(), before, "the replica")
        daemon.settings(interval="20ms")
        daemon.wait_shipped(last)
    daemon.stop()
    equal(rows_of(case, replica.url), FAR + 2, "rows")


def late(case):
    """How late it is counts from the first commit that waits, not from the last one that was shipped, however long ago that was."""
    db, _, daemon, txid = begin(case)
    wait_until(lambda: daemon.status_age(txid) > 2, "nothing is committed for a while")
    with application(db) as app:
        before = time.time()
        txid = write_each(app, daemon, txid, 2)
        lag = daemon.one()["lag"]["seconds"]
        check(0 < lag < time.time() - before + 1, f"{lag} s late, {time.time() - before} s after the first commit")
        equal(daemon.sync(), txid, "what was asked for")
        equal(daemon.one()["lag"], {"commits": 0, "seconds": 0.0}, "the lag")
    daemon.stop()


def snapshots(case):
    """A snapshot that is asked for is behind its log; one that is due waits until something is shipped."""
    db, replica, daemon, txid = begin(case, snapshot={"interval": "10ms"}, merge={"interval": "10ms"})
    with application(db) as app:
        last = write_each(app, daemon, txid, FAR)
        equal(daemon.one()["shipped_txid"], txid, "the shipped txid")
        before = daemon.one()["snapshot_txid"]
        equal(daemon.sync(), last, "what was asked for")
        wait_until(lambda: daemon.one()["snapshot_txid"] > before, "a snapshot that is due")
        daemon.settings(**OFF)
        last = write_each(app, daemon, last, 3)
        made = int(case.weir("snapshot", db).stdout.split()[0])
        equal(made, last, "the snapshot")
        check(daemon.one()["shipped_txid"] >= made, f"the log behind it: {daemon.one()}")
    case.weir("verify", replica.url)
    daemon.stop()
    equal(rows_of(case, replica.url), FAR + 4, "rows")


# --- changed while it runs --------------------------------------------------------------------------------------------


def change(case, db, *words):
    """`weir sync` with these words; the triggers that it prints."""
    return json.loads(case.weir("sync", db, "--json", *words).stdout)


def events_of(path, socket=None):
    """The events about triggers of a database, oldest first."""
    answer = ask(UnixConnection(socket or path + "-weir/control.sock"), "/api/v1/events").json()
    return [e["text"] for e in reversed(answer["events"]) if (e["kind"], e["path"]) == ("triggers", path)]


def changed(case):
    """By the command, at once; what is printed is in force; a reload brings back what the file says, a bad one does not."""
    db, replica, daemon, txid = begin(case, {"interval": "20ms"}, **{"log-limit": "100MiB"})
    with application(db) as app:
        now = change(case, db, "--interval", "off")
        equal(now, {"interval": "off", "commits": "off", "changed": True}, "what is printed")
        equal(daemon.one()["triggers"], now, "the status")
        before = replica.list()
        last = write_each(app, daemon, txid, FAR)
        equal(replica.list(), before, "the replica")
        equal(change(case, db, "--commits", str(FAR + 5)), {"interval": "off", "commits": str(FAR + 5), "changed": True}, "what is printed")
        last = write_each(app, daemon, last, 4)
        equal(daemon.one()["shipped_txid"], txid, "the shipped txid")
        app.execute("INSERT INTO t VALUES (0)")
        daemon.wait_shipped(last + 1)
        said = case.weir("sync", db, "--interval", "off", "--commits", "off").stdout
        check(said.startswith("interval off, commits off,") and "until" in said, said)
        check("until the configuration is loaded again" in case.weir("status", db).stdout, "the status does not say that they were changed")
        last = write_each(app, daemon, last + 1, 3)
        change(case, db, "--interval", "20ms")  # what waits is shipped now
        daemon.wait_shipped(last)
        change(case, db, "--interval", "off")
        last = write_each(app, daemon, last, 3)
        daemon.reload("nonsense", done="the new configuration is not used")
        equal(json.loads(case.weir("status", db, "--json", expect=1).stdout)["databases"][0]["triggers"]["interval"], "off", "behind a bad reload")
        equal(json.loads(case.weir("status", db, "--json", expect=1).stdout)["databases"][0]["shipped_txid"], last - 3, "behind a bad reload")
        daemon.settings(interval="20ms")
        daemon.wait_shipped(last)
        equal(daemon.one()["triggers"], {"interval": "20ms", "commits": "off", "changed": False}, "behind a reload")
        # Each of them is on the page of events, but not what changed nothing.
        change(case, db, "--interval", "20ms")
        asked = ["off, commits off", f"off, commits {FAR + 5}", "off, commits off", "20ms, commits off", "off, commits off"]
        by_hand = ", by a command, until the configuration is loaded again"
        equal(events_of(db), [f"interval {text}{by_hand}" for text in asked] + ["interval 20ms, commits off, as the configuration says"], "the events")
    daemon.stop()
    equal(rows_of(case, replica.url), last - txid + 1, "rows")


def refused(case):
    """What cannot be is refused with its name, by the command and at the socket, and changes nothing."""
    db, _, daemon, _ = begin(case)
    for words, said in ((("--interval", "5"), "has no unit"), (("--interval", "never"), "not a duration"), (("--commits", "-1"), "whole number"),
                        (("--commits", "99999999999"), "99999999999"), (("--interval", "400d"), "interval: '400d'"),
                        (("--interval", "5s", "--wait"), "--wait"), (("--commits", "off", "--timeout", "1s"), "--wait")):
        done = case.weir("sync", db, *words, expect=USAGE)
        check(said in done.stderr, f"{words}: {done.stderr}")
    for query, status, said in (({}, 400, "interval=... and commits=..."), ({"interval": "5"}, 400, "interval: '5' has no unit"), ({"interval": ""}, 400, "interval"),
                                ({"commits": "4294967296"}, 400, "commits: 4294967296"), ({"commits": "1.5"}, 400, "commits"),
                                ({"interval": "1s", "commits": "some"}, 400, "commits: 'some'"), ({"interval": "1s", "wait": "1"}, 400, "unknown parameter wait"),
                                ({"interval": "1s", "path": "/nowhere"}, 404, "is not a database of this daemon")):
        answer = at_socket(db, "/api/v1/triggers", "POST", **{"path": db, **query})
        equal((answer.status, answer.json()["code"]), (status, "E_CONFIG"), f"{query}")
        check(said in answer.json()["error"], answer.text)
    equal(at_socket(db, "/api/v1/triggers", path=db, interval="1s").status, 405, "GET")
    equal(daemon.one()["triggers"], {"interval": "off", "commits": "off", "changed": False}, "the triggers")
    answer = at_socket(db, "/api/v1/triggers", "POST", path=db, interval="0s", commits="0")
    equal(answer.json(), {"ok": True, "triggers": {"interval": "0s", "commits": "off", "changed": True}}, "the smallest")
    daemon.stop()
    done = case.weir("sync", db, "--interval", "1s", expect=1)
    check("no weir process replicates" in done.stderr, done.stderr)


def while_written(case):
    """Writers at full speed, and everything changed all the time: nothing is lost, and nothing twice."""
    db, url = case.path("app.db"), case.replica().url
    make_journal(case, db)
    daemon = Triggered(case, db, url).start()
    writers = start_writers(case, db, (("writer", "c1"), ("py-writer", "p1")))
    kinds = (("--interval", "off"), ("--interval", "off", "--commits", "off"), ("--commits", "7"), ("--commits", "500"), ("--interval", "50ms"),
             ("--interval", "0s", "--commits", "off"))
    for number in range(24):
        change(case, db, *case.rng.choice(kinds))
        if number % 6 == 0:
            promised = {name: workers.acknowledged(process) for name, process in writers.items()}
            found, _ = restored_sequences(case, url, daemon.sync())
            at_least(found, promised, "after weir sync --wait")
        if number % 8 == 7:
            daemon.settings(**case.rng.choice((OFF, {"interval": "30ms"})))
    change(case, db, "--interval", "off", "--commits", "off")
    for process in writers.values():
        workers.stop_actor(process)
    promised = {name: workers.acknowledged(process) for name, process in writers.items()}
    equal(daemon.one()["resyncs"], 0, "comparisons")
    daemon.stop()
    state = source_state(case, db)
    found, tip = restored_sequences(case, url)
    equal(tip.full, state.full, "tip of the replica and the source file")
    equal(found, promised, "rows of each writer")
    check_prefixes(case, url, most=10)


def folder_of(case, *names, **keys):
    """A folder whose databases are parked, with everything off."""
    folder = Folder(case, sync=OFF, **keys)
    for name in names:
        folder.make(name)
    folder.start()
    for name in names:
        folder.sync(name)
    folder.wait_parked(*names)
    return folder


def folder(case):
    """Databases of a folder: one that has something to ship is not parked; what was changed for one outlives its parking."""
    dbs = folder_of(case, "a.db", "b.db")
    a, b = dbs.path("a.db"), dbs.path("b.db")
    equal(dbs.of("a.db")["triggers"], {"interval": "off", "commits": "off", "changed": False}, "of a parked one")
    before = dbs.replica.list()
    # Applications that stay: what whoever opens and closes a database commits may have to be found by comparing, which ships it.
    stay = contextlib.ExitStack()
    of_a, of_b = (stay.enter_context(application(path)) for path in (a, b))
    of_a.execute("INSERT INTO t VALUES (2)")
    dbs.wait(lambda _: dbs.of("a.db")["lag"]["commits"] == 1, "it is read")
    equal(dbs.replica.list(), before, "the replica")
    equal(change(case, b, "--commits", "1")["commits"], "1", "of a parked one")
    equal((dbs.of("b.db")["parked"], dbs.of("b.db")["triggers"]["commits"]), (True, "1"), "it stays parked")
    of_b.execute("INSERT INTO t VALUES (2)")
    dbs.wait(lambda _: dbs.of("b.db")["shipped_txid"] > 1 and dbs.of("b.db")["parked"], "the other one ships by itself, and is parked again")
    equal(dbs.of("b.db")["triggers"]["changed"], True, "it has kept that")
    equal((dbs.of("a.db")["parked"], dbs.of("a.db")["lag"]["commits"]), (False, 1), "the one that waits")
    case.weir("sync", a)
    dbs.wait_parked("a.db")
    equal(rows_of(case, dbs.url("a.db")), 2, "rows")
    before = dbs.replica.list()
    mark = dbs.daemon.reload(config(dbs.entry))
    check("triggers changed" not in dbs.daemon.log_since(mark), "a reload says more than it does")
    equal(dbs.of("b.db")["triggers"], {"interval": "off", "commits": "off", "changed": False}, "behind a reload")
    told = [events_of(path, dbs.path(".weir/control.sock")) for path in (a, b)]
    equal([[text.rpartition(", ")[2] for text in texts] for texts in told],
          [[], ["until the configuration is loaded again", "as the configuration says"]], f"the events: {told}")
    of_b.execute("INSERT INTO t VALUES (3)")
    dbs.wait(lambda _: dbs.of("b.db")["lag"]["commits"] == 1, "it is read")
    equal(dbs.replica.list(), before, "the replica")
    dbs.daemon.process.send_signal(signal.SIGSTOP)  # what is committed while nobody looks ...
    of_a.execute("INSERT INTO t VALUES (3)")
    dbs.daemon.process.send_signal(signal.SIGCONT)
    case.weir("sync", a)  # ... is shipped for who does not wait, too
    dbs.wait(lambda _: dbs.of("a.db")["txid"] > 2 and dbs.of("a.db")["lag"]["commits"] == 0, "it is shipped")
    stay.close()
    dbs.daemon.stop()
    for name in ("a.db", "b.db"):
        equal(rows_of(case, dbs.url(name)), 3, f"rows of {name}")


def pressed(case):
    """More databases than can be open, each with something to ship: those that have been quiet for longest are shipped, and give way."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (PLACES * 16 + 256, PLACES * 16 + 256))

    dbs, names = Folder(case, sync=OFF), [f"{number:02}.db" for number in range(PLACES + 4)]
    for name in names:
        dbs.make(name)
    dbs.start(preexec_fn=few)
    dbs.wait_parked(*names)
    for name in names:
        insert(case, dbs.path(name), 2)
    dbs.wait(lambda d: all(item["txid"] == 2 for item in d["databases"]), "all are read")
    waiting = [item for item in dbs.document()["databases"] if item["lag"]["commits"] > 0]
    check(len(waiting) < len(names), "all of them wait, though not all can be open")
    dbs.daemon.stop()
    equal([rows_of(case, dbs.url(name)) for name in names], [2] * len(names), "rows")


# --- very many --------------------------------------------------------------------------------------------------------


def fill(app, count, size):
    """So many commits of some pages each."""
    for number in range(count):
        app.execute("INSERT INTO t VALUES (randomblob(?))", (size + number % 100,))


def thousands(case):
    """Thousands of commits: they wait on the local disk, the log stays small; then all are shipped, each of them."""
    db, replica, daemon, txid = begin(case)
    before, largest, count = replica.list(), 0, 4000
    with application(db) as app:
        for turn in range(1, 21):
            fill(app, count // 20, 9000)  # 3 MB
            daemon.wait_read(txid + turn * count // 20)  # how far it gets meanwhile is a matter of the machine
            largest = max(largest, os.path.getsize(db + "-wal"))
        shown = daemon.one()
        equal(replica.list(), before, "the replica")
        check(shown["spool"]["bytes"] > 0 and shown["state"] == "replicating" and not shown["error"], f"status: {shown}")
        check(largest < LOG_MAX, f"the log grew to {largest} bytes")
        last = daemon.sync()
        check(last >= txid + count, f"{last}, {count} commits behind {txid}")
        wait_until(lambda: daemon.one()["spool"]["bytes"] == 0, "the spool is empty")
        diag(f"{shown['spool']['bytes']} bytes waited, {daemon.one()['log']['resets']} times the log was started over, largest: {largest}")
        check(daemon.one()["log"]["resets"] > 5, "the log was hardly ever started over")
    daemon.stop()
    commits = log_of(case, replica.url)
    check_order(commits)
    check(not any(commit.resync for commit in commits[1:]), "something had to be compared")
    rows = [rows_of(case, replica.url, "--txid", str(commit.txid)) for commit in commits[::400]]
    check(rows == sorted(rows) and rows[-1] > count - 800, f"rows at each 400th txid: {rows}")
    equal(rows_of(case, replica.url), count + 1, "rows")


def every_commit(case, kill=False):
    """All that SQLite can do, nothing shipped until the end; killed and begun anew on the way: every commit, byte for byte."""
    db, replica = case.path("app.db"), case.replica()
    mix = Mix(case.rng, 4096, 0)
    team = [workers.Worker(case, db, "c"), workers.Worker(case, db, "python")]
    for line in mix.setup():
        team[0].sql(line)
    team[0].sql("CREATE TABLE fill(v)")
    recorder = Recorder(db)
    recorder.record("before weir")
    daemon = Triggered(case, db, replica.url).start()
    resets = 0  # of processes that were killed

    def started_over():
        return resets + daemon.one()["log"]["resets"]

    def rewrite():
        team[0].sql("UPDATE fill SET v = randomblob(4050)")
        recorder.record("fill")

    for _ in range(3):
        write_history(case, mix, recorder, team, len(recorder.states) + 20)
        for _ in range(6):  # pages enough for the log to be started over
            team[0].sql("INSERT INTO fill WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 15) SELECT randomblob(4050) FROM n")
            recorder.record("fill")
            rewrite()
        if kill:
            resets = started_over()
            daemon.kill()
            daemon.start(ready=False)
            wait_until(lambda: "replicating" in daemon.log(), "it is back")
            wait_until(lambda: daemon.alive() and case.weir("status", db, expect=None).returncode == 0, "it replicates again")
    # weir does that when it has the time to, so it may have missed its occasions.
    wait_until(lambda: started_over() > 1 or rewrite(), lambda: f"the log is started over twice: {daemon.one()['log']}", pause=0.3)
    equal(daemon.one()["resyncs"], 0, "comparisons")
    for worker in team:
        worker.close()
    recorder.close()
    daemon.stop()
    commits = log_of(case, replica.url)
    check_order(commits)
    restore_all(case, replica.url, commits)
    wrong = compare(recorder.states, commits)
    check(not wrong, "\n".join(wrong))
    case.run("sqlite3", db, "PRAGMA wal_checkpoint(TRUNCATE)")
    equal(restore_state(case, replica.url).full, fingerprint_file(db).full, "tip of the replica and the source file")


# --- limits -----------------------------------------------------------------------------------------------------------


def limits(case):
    """What a limit makes necessary is shipped without being asked for, and no commit is lost by it."""
    for name, limit, said in (("half of the spool", "4MiB", True), ("no spool", 0, False)):
        folder = case.path(name.replace(" ", "-"))
        os.mkdir(folder)
        db, replica = small(case, os.path.join(folder, "app.db")), case.replica("replica-of-" + name.replace(" ", "-"))
        daemon = Triggered(case, db, replica.url, **{"spool-limit": limit}).start()
        txid, before = daemon.sync(), replica.list()
        with application(db) as app:
            app.execute("INSERT INTO t VALUES (randomblob(500000))")
            daemon.wait_read(txid + 1)
            equal(replica.list(), before, f"{name}: the replica, so far below the limit")
            for _ in range(20):
                app.execute("INSERT INTO t VALUES (randomblob(500000))")
            wait_until(lambda daemon=daemon, txid=txid: daemon.one()["shipped_txid"] > txid, lambda: f"{name}: something is shipped\n{tail(daemon.log())}")
            wait_until(lambda daemon=daemon: daemon.one()["txid"] >= txid + 21, "all is read")  # pylint: disable=cell-var-from-loop
            shown = daemon.one()
            equal((shown["state"], shown["error"], shown["gap"]), ("replicating", None, None), f"{name}: status")
            equal("has come to a limit" in daemon.log(), said, f"{name}: the log tells")
            daemon.sync()
            app.execute("INSERT INTO t VALUES (zeroblob(9000000))")  # one transaction that is larger than the spool
            app.execute("INSERT INTO t VALUES (randomblob(9000000))")
            daemon.sync()
        daemon.stop()
        equal(rows_of(case, replica.url), 24, f"{name}: rows")
        check(not any(commit.resync for commit in log_of(case, replica.url)[1:]), f"{name}: something had to be compared")


def away(case):
    """The replica is away when somebody asks: who waits, waits; when it is back everything is there."""
    leaving = Leaving(case)
    db, replica, daemon, txid = begin(case, replica=leaving.replica)
    with application(db) as app:
        last = write_each(app, daemon, txid, 3)
        leaving.leave(in_the_way=True)
        asked = case.spawn([case.options.weir, "sync", db, "--wait"], stdout=subprocess.DEVNULL)
        wait_until(lambda: json.loads(case.weir("status", db, "--json", expect=(0, 1)).stdout)["databases"][0]["state"] == "behind", "it tells of it")
        check(asked.poll() is None, "weir sync --wait came back")
        change(case, db, "--interval", "20ms")
        change(case, db, "--interval", "off")  # while somebody waits, and something is on its way
        app.execute("INSERT INTO t VALUES (0)")
        leaving.come_back()
        equal(asked.wait(), 0, "weir sync --wait")
        case.forget(asked)
        check(daemon.one()["shipped_txid"] >= last, "what it asked for")
    daemon.stop()
    equal(rows_of(case, replica.url), 5, "rows")


def cases(options):
    """All cases; over a server those that it has a part in."""
    found = [
        ("until asked", until_asked), ("a number", a_number), ("reloaded", reloaded), ("late", late), ("snapshots", snapshots),
        ("changed", changed), ("folder", folder), ("away", away),
    ]
    if options.store.kind != "file":
        return found
    return found + [
        ("limits", limits), ("refused", refused), ("while writers write", while_written), ("pressed", pressed), ("thousands", thousands),
        ("every commit", every_commit), ("every commit, killed", lambda case: every_commit(case, kill=True)),
    ]
