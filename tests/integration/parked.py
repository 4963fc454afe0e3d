# SPDX-License-Identifier: Apache-2.0
"""parked: what is told and done of databases of folders while they are closed.

The pages of the daemon count them; a log that still shows what happened to it leads to exact history, however late the
daemon comes back; events that are lost, or not to be had, keep nothing from the replica.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import sqlite3
import time

from config import config, insert, restored_rows, write
from http_api import HttpDaemon
from lib.case import PATIENCE, tail, wait_until
from lib.tap import Skip, check, equal
from lib.workers import Worker
from many import Folder


class Shown(Folder):
    """A folder whose daemon listens."""

    def start(self, **options):
        """Start a daemon."""
        self.daemon = HttpDaemon(self.case, config(self.entry, http={"listen": "127.0.0.1:0"}), **options).start(ready=False)
        return self.daemon

    def metric(self, name, **labels):
        """A figure of /metrics, or None."""
        text = ",".join(f'{key}="{re.escape(value)}"' for key, value in labels.items())
        found = re.findall(rf"^{name}{{{text}}} (\S+)$", self.daemon.get("/metrics").text, re.M)
        check(len(found) < 2, f"{name}{labels} stands {len(found)} times")
        return float(found[0]) if found else None

    def count(self, state):
        """How many databases of the folder are so."""
        return self.metric("weir_folder_databases", dir=self.dir, pattern="*.db", state=state)


# --- what is told -----------------------------------------------------------------------------------------------------


def pages(case):
    """Parked ones are in /metrics, counted for their folder, and well for /readyz; a failed one is not."""
    folder = Shown(case)
    names = ["a.db", "b.db", "c.db"]
    for name in names:
        folder.make(name)
    daemon = folder.start()
    for name in names:
        insert(case, folder.path(name), 2)
        folder.sync(name)
    folder.wait_parked(*names)
    a = folder.path("a.db")
    shown = folder.of("a.db")
    equal(folder.metric("weir_state", db=a, state="replicating"), 1, "the state")
    equal(folder.metric("weir_parked", db=a), 1, "it is parked")
    for metric, key in (("weir_local_txid", "txid"), ("weir_shipped_txid", "txid"), ("weir_segments_shipped_total", "segments"),
                        ("weir_shipped_bytes_total", "bytes_shipped"), ("weir_timeline", "timeline")):
        equal(folder.metric(metric, db=a), shown[key], metric)
    equal([folder.count(state) for state in ("open", "parked", "starting", "waiting", "failed")], [0, 3, 0, 0, 0], "counts")
    equal(folder.metric("weir_folder_error", dir=folder.dir, pattern="*.db"), 0, "the folder")
    equal(daemon.get("/readyz").json(), {"ready": True, "not_ready": 0, "reasons": []}, "/readyz")
    samples = daemon.get("/api/v1/samples", path=a).json()
    equal((samples["path"], samples["lag_commits"][-1]), (a, 0), "samples")
    write(folder.path("empty.db"), "")
    write(folder.path("text.db"), "this is text, and it is long enough to hold a header of a hundred bytes, if only it had one at all")
    wait_until(lambda: (folder.count("failed"), folder.count("waiting")) == (1, 1), "a failed and an empty one")
    ready = daemon.get("/readyz")
    equal((ready.status, [one["path"] for one in ready.json()["reasons"]]), (503, [folder.path("text.db")]), "/readyz")
    check("is not a SQLite database" in ready.json()["reasons"][0]["error"], ready.text)
    equal(folder.metric("weir_error", db=folder.path("text.db")), 1, "its error")
    equal(folder.metric("weir_state", db=folder.path("text.db"), state="failed"), 1, "its state")
    for name in ("text.db", "empty.db", "c.db"):
        os.unlink(folder.path(name))
    wait_until(lambda: daemon.get("/readyz").status == 200, "nothing is wrong any more")
    wait_until(lambda: folder.metric("weir_folder_gone_total", dir=folder.dir, pattern="*.db") == 1, "one is gone")
    equal(folder.metric("weir_parked", db=folder.path("c.db")), None, "one that is gone")
    app = Worker(case, a)  # it stays, and so does the log
    app.sql("SELECT count(*) FROM sqlite_schema")
    insert(case, a, 3)  # counters go on over a waking
    folder.sync("a.db")
    app.close()
    folder.wait_parked("a.db")
    check(folder.metric("weir_segments_shipped_total", db=a) > shown["segments"], "segments")
    equal(folder.metric("weir_databases_unshown"), None, "it has no labels")
    check(re.search(r"^weir_databases_unshown 0$", daemon.get("/metrics").text, re.M), "none is left out")
    daemon.stop()


def ready_while_waking(case):
    """Databases that are woken and parked all the time are never a reason not to be ready."""
    folder = Shown(case)
    names = ["a.db", "b.db"]
    for name in names:
        folder.make(name)
    daemon = folder.start()
    for name in names:
        folder.sync(name)
    folder.wait_parked(*names)
    seen, value = 0, 1
    end = time.monotonic() + PATIENCE
    while value < 11 or (seen == 0 and time.monotonic() < end):  # it may be parked again before we look
        value += 1
        insert(case, folder.path("a.db"), value)
        parked = False
        while not parked:
            ready = daemon.get("/readyz")
            equal((ready.status, ready.json()["reasons"]), (200, []), "/readyz")
            a = folder.of("a.db")
            parked = a["parked"] and a["txid"] >= value
            seen += not a["parked"]
    check(seen > 0, "it was never seen open")
    daemon.stop()


def ready_while_parking(case):
    """While one is parked for the first time nothing is red, and what it has come to is told all the time."""
    folder = Shown(case, park="2s")
    names = [f"{number}.db" for number in range(20)]
    for name in names:
        folder.make(name)
    daemon = folder.start()
    for name in names:
        folder.sync(name)
    parked = False
    while not parked:
        ready = daemon.get("/readyz")
        equal((ready.status, ready.json()["reasons"]), (200, []), "/readyz")
        document = daemon.get("/api/v1/status").json()["databases"]
        wrong = [item for item in document if not item["ready"] or item["txid"] == 0 or item["timeline"] == 0]
        check(not wrong, wrong)
        parked = all(item["parked"] for item in document)
    daemon.stop()


# --- what happened to the log -----------------------------------------------------------------------------------------


def stopped(folder, act):
    """Let something happen while a parked database's daemon does not get the processor."""
    folder.wait_parked("app.db")
    os.kill(folder.daemon.pid, signal.SIGSTOP)
    try:
        act()
    finally:
        os.kill(folder.daemon.pid, signal.SIGCONT)
    folder.sync("app.db")


def unseen_at_stop(case):
    """A commit to a parked database that the daemon has not heard of when SIGTERM comes: it is shipped before exit 0."""
    folder = Shown(case)
    names = [f"{number}.db" for number in range(12)]
    for name in names:
        folder.make(name)
    folder.start()
    for name in names:
        folder.sync(name)
    folder.wait_parked(*names)
    os.kill(folder.daemon.pid, signal.SIGSTOP)
    try:
        for name in names[:10]:
            insert(case, folder.path(name), 2)
        folder.daemon.process.send_signal(signal.SIGTERM)
    finally:
        os.kill(folder.daemon.pid, signal.SIGCONT)
    folder.daemon.wait_exit(expect=0)
    for name in names:
        equal(folder.rows(name), [1, 2] if name in names[:10] else [1], f"rows of {name} in the replica")


def unseen_and_away(case):
    """The same with a replica that is away: not exit 0."""
    if case.options.store.kind != "file":
        raise Skip("takes a folder away")
    folder = Shown(case)
    folder.make("a.db")
    folder.start()
    folder.sync("a.db")
    folder.wait_parked("a.db")
    away = folder.replica.url.removeprefix("file://")
    os.kill(folder.daemon.pid, signal.SIGSTOP)
    try:
        insert(case, folder.path("a.db"), 2)
        os.rename(away, away + ".away")
        folder.daemon.process.send_signal(signal.SIGTERM)
    finally:
        os.kill(folder.daemon.pid, signal.SIGCONT)
    folder.daemon.wait_exit(expect=(1, 2))
    os.rename(away + ".away", away)
    folder.start()
    folder.sync("a.db")
    folder.daemon.stop()
    equal(folder.rows("a.db"), [1, 2], "rows in the replica, later")


def log_not_reset(case):
    """A reader keeps the log from being started over: commits and checkpoints before weir is back are exact."""
    folder = Folder(case)
    scene = folder.scene("app")

    def read_on(before):
        """A reader of now in place of one of before.  It begins while that one still keeps a part of the log from being copied: of a
        log that is copied whole, as weir does when it parks, a reader needs nothing and keeps nobody from starting it over."""
        reader = sqlite3.connect(scene.db, isolation_level=None, timeout=60)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchall()
        if before is not None:
            before.close()
        return reader

    reader = read_on(None)  # nothing was ever copied
    folder.start()
    folder.sync("app.db")
    for turn in range(3):
        scene.commit(2)
        folder.sync("app.db")
        reader = read_on(reader)

        def act(turn=turn):
            nonlocal reader
            before = os.stat(scene.db).st_mtime_ns
            scene.commit(3 + turn, size=20000)
            reader = read_on(reader)
            scene.app.sql("PRAGMA wal_checkpoint(PASSIVE)")
            check(os.stat(scene.db).st_mtime_ns > before, "nothing was copied")

        stopped(folder, act)
    reader.close()
    folder.exact("app.db")
    scene.close()
    folder.daemon.stop()
    scene.verify()


def log_reset_once(case):
    """Started over once, and the end of the old one still lies behind the new commits: exact, checkpoint or not."""
    folder = Folder(case)
    scene = folder.scene("app")
    folder.start()
    folder.sync("app.db")
    for turn in range(3):
        scene.commit(20)  # longer than what is to come
        folder.sync("app.db")

        def act(turn=turn):
            scene.commit(1 + turn)
            scene.app.sql("PRAGMA wal_checkpoint(PASSIVE)")

        stopped(folder, act)
    folder.exact("app.db")
    scene.close()
    folder.daemon.stop()
    scene.verify()


# --- what is done for them --------------------------------------------------------------------------------------------


def retention(case):
    """Where old states are deleted, a parked database is opened when it is due, and parked again when that is done."""
    folder = Folder(case, retention={"exact": "1h", "interval": "1s"})
    folder.make("a.db")
    folder.start()
    folder.sync("a.db")
    a = folder.path("a.db")

    def pruned():
        folder.make("kick.db")  # has the folder searched now, and not only in a minute
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):  # weir may have come to it already, and take its log away when it goes
                os.unlink(folder.path("kick.db") + suffix)
        return len(re.findall(rf"pruned .*db={re.escape(a)} ", folder.daemon.log()))

    for turn in range(1, 4):
        wait_until(lambda turn=turn: pruned() >= turn, lambda: f"retention, {turn}\n{tail(folder.daemon.log())}")
        folder.wait_parked("a.db")
    with contextlib.closing(sqlite3.connect(a, isolation_level=None)) as application:
        application.execute("PRAGMA busy_timeout=60000")
        application.execute("INSERT INTO t VALUES(2)")
        folder.sync("a.db")  # before the application goes and takes the log away, which may be sooner than weir is there
    folder.exact("a.db")
    folder.daemon.stop()
    equal(folder.rows("a.db"), [1, 2], "rows")


# --- events -----------------------------------------------------------------------------------------------------------


def shipped(folder, names, txids):
    """Wait, without asking for it, until these databases are further than that."""
    paths = {folder.path(name): txid for name, txid in zip(names, txids)}
    folder.wait(lambda d: all(any(item["path"] == path and item["shipped_txid"] > txid for item in d["databases"])
                              for path, txid in paths.items()), f"shipped: {names}")


def events_lost(case):
    """More events than the kernel keeps: everything is looked at, and what changed is shipped."""
    folder = Folder(case)
    names = ["a.db", "b.db", "c.db"]
    for name in names:
        folder.make(name)
    daemon = folder.start()
    txids = [folder.sync(name) for name in names]
    folder.wait_parked(*names)
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
        limit = int(file.read())
    if limit > 200000:
        raise Skip("the kernel keeps too many events")
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        for i in range(limit // 2 + 10):
            path = folder.path(f"noise{i}")
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            os.unlink(path)
        for name in names[:2]:
            insert(case, folder.path(name), 2)
        os.unlink(folder.path("c.db"))
        folder.make("d.db")
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    shipped(folder, ["a.db", "b.db", "d.db"], [*txids[:2], 0])
    folder.wait(lambda d: [os.path.basename(item["path"]) for item in d["gone"]] == ["c.db"], "c.db is gone")
    daemon.stop()
    for name in names[:2]:
        equal(folder.rows(name), [1, 2], f"rows of {name}")


def few_watches(limit):
    """For the new process: a user namespace in which so many file watches are to be had.  Raises OSError where there is none."""
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(0x10000000) != 0:  # CLONE_NEWUSER
        raise OSError(ctypes.get_errno(), "unshare")
    for path, text in (("/proc/self/setgroups", "deny"), ("/proc/self/uid_map", f"0 {user} 1"), ("/proc/self/gid_map", f"0 {group} 1"),
                       ("/proc/sys/user/max_inotify_watches", str(limit))):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)


def no_watches(case):
    """No file watches are left, for some or for all: said once, and what changes is shipped all the same."""
    try:
        case.run("true", preexec_fn=lambda: few_watches(1))
    except Exception as error:  # subprocess tells no more than that it went wrong
        raise Skip(f"no user namespace with a limit of its own: {error}") from None
    names = ["a.db", "b.db", "c.db"]
    folder = Folder(case)
    for name in names:
        folder.make(name)
    for limit in (2, 0):
        daemon = folder.start(name=f"{limit} watches", preexec_fn=lambda limit=limit: few_watches(limit))
        txids = [folder.sync(name) for name in names]
        folder.wait_parked(*names)
        for name in names:
            insert(case, folder.path(name), 10 + limit)
        folder.make(f"new{limit}.db")
        shipped(folder, [*names, f"new{limit}.db"], [*txids, 0])
        daemon.stop()
        equal(len(re.findall("file events are to be had", daemon.log())), 1, f"how often it is told with {limit}")
    for name in names:
        equal(folder.rows(name), [1, 10, 12], f"rows of {name}")


# --- folders in each other's way --------------------------------------------------------------------------------------


def two_patterns(case):
    """Two entries for one folder: each has its databases, and one goes on when the other is taken away."""
    folder = Shown(case, pattern="*.db")
    other = json.dumps({**json.loads(folder.entry), "pattern": "*.sqlite", "replica": case.replica("other").url})
    folder.make("a.db")
    folder.make("b.sqlite")
    first = folder.entry
    text = config(first, other, http={"listen": "127.0.0.1:0"})
    folder.daemon = daemon = HttpDaemon(case, text).start(ready=False)
    for name in ("a.db", "b.sqlite"):
        folder.sync(name)
    folder.wait_parked("a.db", "b.sqlite")
    equal([(f["pattern"], f["databases"]) for f in folder.document()["folders"]], [("*.db", 1), ("*.sqlite", 1)], "folders")
    for pattern in ("*.db", "*.sqlite"):
        equal(folder.metric("weir_folder_databases", dir=folder.dir, pattern=pattern, state="parked"), 1, pattern)
    daemon.reload(config(other, http={"listen": "127.0.0.1:0"}))
    insert(case, folder.path("b.sqlite"), 2)
    folder.sync("b.sqlite")
    equal(folder.of("a.db"), None, "the one that was taken away")
    daemon.reload(config(first, other, http={"listen": "127.0.0.1:0"}))
    insert(case, folder.path("a.db"), 2)
    for name in ("a.db", "b.sqlite"):
        folder.sync(name)
    daemon.stop()
    equal(folder.rows("a.db"), [1, 2], "rows of a.db")


def replica_inside(case):
    """The replica lies in the folder itself, and every name matches: what is stored there is never taken for a database."""
    if case.options.store.kind != "file":
        raise Skip("only a directory can lie in a folder")
    folder = Folder(case, recursive=True, pattern="*")
    url = f"file://{folder.path('backup')}"
    folder.entry = json.dumps({**json.loads(folder.entry), "replica": url})
    write(folder.file, config(folder.entry))
    for name in ("a.db", "sub/b"):
        folder.make(name)
    daemon = folder.start()
    for name in ("a.db", "sub/b"):
        folder.sync(name)
    folder.wait_parked("a.db", "sub/b")
    for value in range(2, 5):
        insert(case, folder.path("a.db"), value)
        folder.sync("a.db")
    folder.wait(lambda d: {item["path"] for item in d["databases"]} == {folder.path("a.db"), folder.path("sub/b")}, "no others")
    daemon.stop()
    equal(restored_rows(case, f"{url}/a.db"), [1, 2, 3, 4], "rows")


def cases(_options):
    """All stories."""
    return [
        ("pages", pages), ("ready while waking", ready_while_waking), ("ready while parking", ready_while_parking),
        ("the log was not reset", log_not_reset),
        ("the log was reset once", log_reset_once), ("retention", retention), ("events are lost", events_lost), ("no watches", no_watches),
        ("two patterns", two_patterns), ("the replica inside", replica_inside), ("unseen when it stops", unseen_at_stop),
        ("unseen when it stops, and the replica away", unseen_and_away),
    ]
