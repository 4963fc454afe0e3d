# SPDX-License-Identifier: Apache-2.0
"""many: folders of databases that come and go, and are parked when they are quiet.

Whatever an application does to a database that nobody watches but by file events: nothing of it is missing in the replica,
and where it can be told apart every commit is there, byte for byte.  A bad one does not disturb the others.
"""

import contextlib
import json
import os
import re
import resource
import signal
import sqlite3

from config import ConfigDaemon, config, entry, insert, restored_rows, write
from lib.case import tail, wait_until
from lib.daemon import check_order, log_of
from lib.scene import Scene
from lib.tap import Skip, check, equal

PARK = "200ms"


class Folder:
    """A folder, its configuration and its daemon."""

    def __init__(self, case, park=PARK, replica=None, **keys):
        self.case, self.dir, self.file = case, case.path("dbs"), case.path("weir.yml")
        os.makedirs(self.dir, exist_ok=True)
        self.replica = replica or case.replica()
        self.entry = json.dumps({"dir": self.dir, "replica": self.replica.url, "watch": True, "park-after": park, **keys})
        write(self.file, config(self.entry))
        self.daemon = None

    def start(self, **options):
        """Start a daemon."""
        self.daemon = ConfigDaemon(self.case, self.file, **options).start(ready=False)
        return self.daemon

    def path(self, name):
        """A file in the folder."""
        return os.path.join(self.dir, name)

    def url(self, name):
        """Where the database is kept."""
        base, _, query = self.replica.url.partition("?")
        return f"{base}/{name}" + (f"?{query}" if query else "")

    def make(self, name):
        """A small database."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.case.run("sqlite3", "-cmd", ".timeout 60000", path, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)")
        return path

    def document(self):
        """The status."""
        document = json.loads(self.case.weir("status", "--json", "-c", self.file, expect=(0, 1, 5)).stdout)
        document["databases"] = [item for item in document["databases"] if item["state"] != "not running"]
        return {"folders": [], "gone": [], **document}

    def of(self, name):
        """What the status says of one database, or None."""
        return next((item for item in self.document()["databases"] if item["path"] == self.path(name)), None)

    def wait(self, condition, what):
        """Until the status is so."""
        wait_until(lambda: not self.daemon.alive() or condition(self.document()), lambda: f"{what}\n{tail(self.daemon.log())}", pause=0.05)
        check(self.daemon.alive(), lambda: f"the daemon ended before: {what}\n{tail(self.daemon.log())}")

    def wait_parked(self, *names):
        """Until these databases are parked."""
        paths = {self.path(name) for name in names}
        self.wait(lambda d: paths <= {item["path"] for item in d["databases"] if item.get("parked")}, f"parked: {names}")

    def sync(self, name):
        """Everything committed so far is in the replica."""
        done = None

        def settled():
            nonlocal done
            done = self.case.weir("sync", self.path(name), "--wait", expect=None)
            return done.returncode == 0 or not self.daemon.alive()

        wait_until(settled, lambda: f"sync of {name}: {done.stderr}\n{tail(self.daemon.log())}")
        equal(done.returncode, 0, f"exit of sync with {name}: {done.stderr}\n{tail(self.daemon.log())}\n")
        return int(done.stdout.split()[0])

    def rows(self, name):
        """Rows in the replica."""
        return restored_rows(self.case, self.url(name))

    def scene(self, name):
        """A recorded database of the folder, with its application."""
        scene = Scene(self.case, f"dbs/{name}", replica=self.replica)
        scene.url = self.url(f"{name}.db")
        del scene.recorder.states[:-1]
        return scene

    def exact(self, name):
        """Nothing had to be compared."""
        equal(self.of(name)["resyncs"], 0, f"resyncs of {name}")


# --- coming and going -------------------------------------------------------------------------------------------------


def come_and_go(case):
    """Databases appear, below the folder too, vanish and are renamed; names may be odd; what is none is left alone."""
    folder = Folder(case, recursive=True)
    odd = ["a b.db", "ü%25.db", "semi;colon&and?.db", "sub/deep/x.db", "'quote\".db"]
    folder.make("first.db")
    daemon = folder.start()
    folder.sync("first.db")
    for name in odd:
        folder.make(name)
    for name in (".hidden.db", "text.txt", ".dot/in.db", "x.db-weir/in.db"):
        folder.make(name)
    os.symlink(folder.path("first.db"), folder.path("link.db"))
    os.symlink(folder.path("sub"), folder.path("up"))
    names = {folder.path(name) for name in ["first.db", *odd]}
    folder.wait(lambda d: {item["path"] for item in d["databases"] if item["txid"] > 0} == names, "all are found, and no others")
    for name in odd:
        insert(case, folder.path(name), 2)
        folder.sync(name)
    check("symbolic links are not followed" in daemon.log(), daemon.log())
    folder.wait_parked("first.db", *odd)
    os.rename(folder.path("first.db"), folder.path("second.db"))
    for name in odd[:2]:
        os.unlink(folder.path(name))
    folder.wait(lambda d: {os.path.basename(item["path"]) for item in d["gone"]} == {"first.db", odd[0], odd[1]}, "gone ones are told")
    folder.sync("second.db")
    folder.make(odd[0])  # the same name again goes on with its history
    insert(case, folder.path(odd[0]), 7)
    folder.sync(odd[0])
    os.rename(folder.path("sub"), case.path("elsewhere"))
    folder.wait(lambda d: not any("/sub/" in item["path"] for item in d["databases"]), "a folder that is gone")
    case.weir("status", "-c", folder.file)
    daemon.stop()
    equal(folder.rows("first.db"), [1], "history of a renamed one stays")
    equal(folder.rows("second.db"), [1], "and begins anew under the other name")
    equal(restored_rows(case, folder.path("semi;colon&and?.db"), "-c", folder.file), [1, 2], "by its path")
    equal(restored_rows(case, folder.path(odd[0]), "-c", folder.file), [1, 7], "made again")


def while_open(case):
    """A database that is replicating at this moment is deleted, and so is one in the midst of its start."""
    folder = Folder(case, park="0s")
    for name in ("a.db", "b.db"):
        folder.make(name)
    daemon = folder.start()
    for _ in range(5):
        folder.sync("a.db")
        folder.make("c.db")
        for name in ("b.db", "b.db-wal", "b.db-shm", "c.db"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder.path(name))
        folder.wait(lambda d: [os.path.basename(item["path"]) for item in d["databases"]] == ["a.db"], "only one is left")
        insert(case, folder.path("a.db"), 2)
        folder.make("b.db")
        folder.sync("b.db")
    daemon.stop()


def not_watched(case):
    """Without `watch` those that are there at the start are followed, and no others until SIGHUP."""
    folder = Folder(case, watch=False)
    folder.make("a.db")
    daemon = folder.start()
    folder.sync("a.db")
    folder.make("b.db")
    folder.wait_parked("a.db")
    insert(case, folder.path("a.db"), 2)
    folder.sync("a.db")
    equal(folder.of("b.db"), None, "a new one")
    daemon.stop()
    equal(folder.rows("a.db"), [1, 2], "rows")


def entries_and_folders(case):
    """An entry of its own wins over the folder's, also when it comes and goes with a reload."""
    folder = Folder(case)
    a, own = folder.make("a.db"), case.replica("own").url
    folder.make("b.db")
    daemon = folder.start()
    for name in ("a.db", "b.db"):
        folder.sync(name)
    adopt = case.path("a-history")
    case.weir("restore", folder.url("a.db"), "-o", adopt)
    insert(case, a, 2)
    folder.sync("a.db")
    folder.wait_parked("a.db", "b.db")
    daemon.reload(config(folder.entry, entry(a, own)))
    folder.wait(lambda d: any(item["path"] == a and item["url"] == own.partition("?")[0] and item["state"] == "failed" for item in d["databases"]),
                "its own entry, with an empty replica")
    daemon.reload(config(folder.entry))
    insert(case, a, 3)
    folder.sync("a.db")
    daemon.reload(config(entry(folder.path("b.db"), folder.url("b.db"))))
    folder.wait(lambda d: [item["path"] for item in d["databases"]] == [folder.path("b.db")] and not d["folders"], "no folder")
    insert(case, folder.path("b.db"), 4)
    daemon.wait_synced(folder.path("b.db"))
    insert(case, a, 5)
    daemon.reload(config(folder.entry))
    folder.sync("a.db")
    folder.sync("b.db")
    daemon.stop()
    equal(folder.rows("a.db"), [1, 2, 3, 5], "rows of a.db")
    equal(folder.rows("b.db"), [1, 4], "rows of b.db")


def behind_a_link(case):
    """A folder that is named by a way over a link: its databases are known by either name, an entry of its own wins by either, too."""
    case.run("mkdir", case.path("disk"))
    os.symlink("disk", case.path("srv"))
    folder, own = Folder(case), case.replica("own").url
    os.rename(folder.dir, case.path("disk", "dbs"))
    folder.dir = case.path("disk", "dbs")
    written, a, b = case.path("srv", "dbs"), folder.make("a.db"), folder.make("b.db")
    folder.entry = folder.entry.replace(case.path("dbs"), written)
    write(folder.file, config(folder.entry, entry(os.path.join(written, "a.db"), own)))
    daemon = folder.start()
    for path in (a, b, os.path.join(written, "a.db"), os.path.join(written, "b.db")):
        daemon.wait_synced(path)
        case.weir("status", path)
        check("snapshot" in case.weir("ls", path, "-c", folder.file).stdout, f"weir ls {path}")
    urls = {item["path"]: item["url"] for item in folder.document()["databases"]}
    equal(urls, {a: own.partition("?")[0], b: folder.url("b.db").partition("?")[0]}, "where they are kept")
    case.weir("status", "-c", folder.file)
    daemon.stop()


# --- bad ones ---------------------------------------------------------------------------------------------------------


def own_entry_taken_back(case):
    """An entry of its own that is gone from the file again before its folder could let go of the database: the folder keeps it."""
    if case.options.store.kind != "file":
        raise Skip("only a directory can be renamed")
    folder, own = Folder(case, park="0s"), case.replica("own").url
    a = folder.make("a.db")
    daemon = folder.start()
    folder.sync("a.db")
    place = case.replica().url.removeprefix("file://")
    os.rename(place, place + ".away")
    write(place, "in the way")
    insert(case, a, 2)
    wait_until(lambda: "shipping fails" in daemon.log(), f"the replica to be missed\n{tail(daemon.log())}")
    daemon.reload(config(folder.entry, entry(a, own)))  # begins when what is left is shipped
    daemon.reload(config(folder.entry))
    os.unlink(place)
    os.rename(place + ".away", place)
    folder.wait(lambda d: any(item["path"] == a and item["state"] == "replicating" for item in d["databases"]), "a.db goes on")
    folder.sync("a.db")
    equal(folder.of("a.db")["url"], folder.url("a.db"), "the replica")
    check(not os.path.exists(own.removeprefix("file://")), "the entry that was taken back has made a replica")
    daemon.stop()
    equal(folder.rows("a.db"), [1, 2], "rows")


def bad_among_good(case):
    """No database, locked, denied, with a replica that cannot be written, or with another's: told, and the others go on."""
    folder = Folder(case, recursive=True)
    for name in ("good.db", "locked.db", "full.db"):
        folder.make(name)
    write(folder.path("text.db"), "this is text, and it is long enough to hold a header of a hundred bytes, if only it had one at all")
    write(folder.path("empty.db"), "")
    os.mkfifo(folder.path("pipe.db"))
    holder = sqlite3.connect(folder.path("locked.db"), isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("INSERT INTO t VALUES(2)")
    dir_store = case.options.store.kind == "file"
    if dir_store:  # where its replica should be is a file
        os.makedirs(folder.replica.url.removeprefix("file://"))
        write(folder.url("full.db").removeprefix("file://"), "in the way")
    daemon = folder.start()
    folder.sync("good.db")
    folder.wait(lambda d: {os.path.basename(i["path"]): i["state"] for i in d["databases"]}.get("text.db") == "failed", "text.db fails")
    folder.wait(lambda d: any(i["path"] == folder.path("locked.db") and i["error"] for i in d["databases"]), "locked.db has an error")
    if dir_store:
        folder.wait(lambda d: any(i["path"] == folder.path("full.db") and i["error"] for i in d["databases"]), "full.db has an error")
    equal(folder.of("empty.db")["state"], "waiting", "the empty one")
    for value in range(2, 12):
        insert(case, folder.path("good.db"), value)
        folder.sync("good.db")
    check("is not a SQLite database" in case.weir("status", "-c", folder.file, expect=1).stdout, "the cause is not told")
    case.weir("sync", folder.path("text.db"), expect=2)
    folder.wait_parked("good.db")
    # What is mended is found out by itself.
    holder.close()
    folder.sync("locked.db")
    os.unlink(folder.path("text.db"))
    folder.make("text.db")
    folder.sync("text.db")
    case.run("sqlite3", "-cmd", ".timeout 60000", folder.path("empty.db"), "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(9)")
    folder.sync("empty.db")
    daemon.stop(expect=(0, 1) if dir_store else 0)
    equal(folder.rows("good.db"), list(range(1, 12)), "rows of the good one")
    equal(folder.rows("locked.db"), [1, 2], "rows of the locked one")
    equal(folder.rows("empty.db"), [9], "rows of the empty one")


def same_replica(case):
    """Two databases whose URL comes out the same: the second is refused, and the first is not touched."""
    folder = Folder(case, recursive=True)
    folder.entry = json.dumps({"dir": folder.dir, "replica": folder.url("{name}"), "watch": True, "recursive": True, "park-after": PARK})
    write(folder.file, config(folder.entry))
    folder.make("one/x.db")
    folder.start()
    folder.sync("one/x.db")
    folder.make("two/x.db")
    folder.wait(lambda d: any(item["path"] == folder.path("two/x.db") and item["state"] == "failed" for item in d["databases"]), "refused")
    check("is that of" in folder.of("two/x.db")["error"]["message"], "the reason")
    insert(case, folder.path("one/x.db"), 2)
    folder.sync("one/x.db")
    folder.daemon.stop(expect=2)
    equal(folder.rows("x.db"), [1, 2], "rows")


def two_daemons(case):
    """A folder has one daemon; the other says whose it is, and takes over when that one is gone."""
    folder = Folder(case)
    folder.make("a.db")
    first = folder.start()
    folder.sync("a.db")
    folder.wait_parked("a.db")
    second = ConfigDaemon(case, folder.file, name="second").start(ready=False)
    wait_until(lambda: f"process {first.pid} holds it" in second.log(), "the other one says who has the folder")
    insert(case, folder.path("a.db"), 2)
    folder.sync("a.db")
    first.kill()
    folder.daemon = second
    insert(case, folder.path("a.db"), 3)
    folder.sync("a.db")
    second.stop()
    equal(folder.rows("a.db"), [1, 2, 3], "rows")


# --- parking ----------------------------------------------------------------------------------------------------------


def descriptors(daemon):
    """What the daemon has open below a folder."""
    found = []
    for name in os.listdir(f"/proc/{daemon.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{daemon.pid}/fd/{name}"))
    return found


def wake_with_connection(case):
    """An application that stays connected: parked and woken again and again, with resets of the log in between, every
    commit is there."""
    folder = Folder(case, scrub={"interval": "off"})  # which would open the file
    scene = folder.scene("app")
    folder.start()
    folder.sync("app.db")
    for turn in range(4):
        folder.wait_parked("app.db")
        # A late event, as that of its own closing, makes the daemon look at the file once more: it has it open for a moment.
        wait_until(lambda: not any(folder.path("app.db") in path for path in descriptors(folder.daemon)),
                   lambda: f"nothing of it is open: {descriptors(folder.daemon)}")
        scene.commit(3)
        folder.sync("app.db")
        folder.wait_parked("app.db")
        if turn % 2:
            scene.app.sql("PRAGMA wal_checkpoint(TRUNCATE)")  # changes nothing: all is in the file
        scene.reset_log(3)
        folder.sync("app.db")
    folder.exact("app.db")
    scene.close()
    folder.daemon.stop()
    scene.verify()


def reset_unseen(case):
    """Between two looks of a daemon that does not get the processor the log starts over several times: what cannot be told
    apart is one commit, and nothing is missing."""
    folder = Folder(case)
    scene = folder.scene("app")
    folder.start()
    folder.sync("app.db")
    for turn in range(6):
        folder.wait_parked("app.db")
        os.kill(folder.daemon.pid, signal.SIGSTOP)
        try:
            for _ in range(turn):
                scene.reset_log(1 + turn % 3)
                scene.app.sql("PRAGMA wal_checkpoint(PASSIVE)" if turn % 2 else "PRAGMA wal_checkpoint(TRUNCATE)")
            scene.commit(2)
        finally:
            os.kill(folder.daemon.pid, signal.SIGCONT)
        folder.sync("app.db")
        scene.verify_tip()
    scene.commit(2)
    folder.sync("app.db")
    scene.close()
    folder.daemon.stop()
    scene.verify(gaps=True)


def connection_for_each(case):
    """An application that opens and closes the database for each commit: SQLite removes the log each time."""
    folder = Folder(case)
    folder.make("a.db")
    folder.start()
    folder.sync("a.db")
    for value in range(2, 12):
        if value % 3 == 0:
            folder.wait_parked("a.db")
        insert(case, folder.path("a.db"), value)
        if value % 2:
            folder.sync("a.db")
    folder.sync("a.db")
    folder.wait_parked("a.db")
    check(not os.path.exists(folder.path("a.db-wal")), "a log is left beside a parked database")
    folder.daemon.stop()
    equal(folder.rows("a.db"), list(range(1, 12)), "rows")
    check_order(log_of(case, folder.url("a.db")))


def large_transactions(case):
    """The first thing that a parked database sees is more than a log's usual length, with checkpoints in between."""
    folder = Folder(case)
    scene = folder.scene("app")
    scene.app.sql("PRAGMA wal_autocheckpoint=100")
    folder.start()
    folder.sync("app.db")
    for _ in range(3):
        folder.wait_parked("app.db")
        scene.commit(30, size=40000)
        folder.sync("app.db")
        scene.verify_tip()
    scene.close()
    folder.daemon.stop()
    scene.verify(gaps=True)


def readers_do_not_wake(case):
    """Who only reads leaves a parked database parked."""
    folder = Folder(case)
    folder.make("a.db")
    folder.start()
    folder.sync("a.db")
    folder.wait_parked("a.db")
    mark = len(folder.daemon.log())
    for _ in range(5):
        case.run("sqlite3", "-cmd", ".timeout 60000", folder.path("a.db"), "SELECT count(*) FROM t")
    reader = sqlite3.connect(folder.path("a.db"))
    equal(reader.execute("SELECT count(*) FROM t").fetchone(), (1,), "rows")
    folder.make("b.db")  # its being found is behind all the events of a.db
    folder.sync("b.db")
    folder.wait_parked("a.db", "b.db")
    check(f"replicating  db={folder.path('a.db')}" not in folder.daemon.log_since(mark), folder.daemon.log_since(mark))
    reader.close()
    equal(folder.sync("a.db"), folder.of("a.db")["txid"], "sync of a parked one")
    folder.exact("a.db")
    folder.daemon.stop()


def killed_while_parked(case):
    """kill -9 while all are parked: what did not change is parked at once, the rest goes on where it was."""
    folder = Folder(case)
    scene = folder.scene("app")
    quiet = [f"q{i}.db" for i in range(5)]
    for name in quiet:
        folder.make(name)
    folder.start()
    for turn in range(4):
        folder.sync("app.db")
        folder.wait_parked("app.db", *quiet)
        folder.daemon.kill()
        if turn == 0:
            scene.commit(2)
        elif turn == 2:
            scene.reset_log(2)  # nothing is in it that is not in the file
        folder.start(name=f"again {turn}")
        scene.commit(1)
        folder.sync("app.db")
        folder.wait_parked(*quiet)
        for name in quiet:
            check(f"replicating  db={folder.path(name)}" not in folder.daemon.log(), tail(folder.daemon.log()))
    folder.exact("app.db")
    folder.daemon.stop()
    folder.start(name="after an orderly end")
    folder.wait_parked(*quiet)
    check(f"replicating  db={folder.path(quiet[0])}" not in folder.daemon.log(), tail(folder.daemon.log()))
    folder.sync("app.db")
    scene.close()
    folder.daemon.stop()
    scene.verify()


def replaced_while_parked(case):
    """Another file under the name, the same file cut short and written again, a restored one: never taken for the old state."""
    folder = Folder(case)
    path = folder.make("a.db")
    folder.start()
    folder.sync("a.db")
    folder.wait_parked("a.db")
    other = folder.path("other")
    case.run("sqlite3", other, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(50)")
    os.rename(other, path)
    folder.sync("a.db")
    equal(folder.rows("a.db"), [50], "rows of another file")
    folder.wait_parked("a.db")
    case.run("sqlite3", "-cmd", ".timeout 60000", path, "PRAGMA journal_mode=DELETE; INSERT INTO t VALUES(51)")
    folder.sync("a.db")
    equal(folder.rows("a.db"), [50, 51], "rows after a time in rollback mode")
    folder.wait_parked("a.db")
    before = os.stat(path)
    with open(path, "r+b") as file:  # a copy of itself with another page, and the times of before
        data = bytearray(file.read())
        at = data.index(bytes([51]), len(data) - 4096)
        data[at] = 52
        file.seek(0)
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    folder.sync("a.db")
    folder.wait_parked("a.db")
    folder.daemon.stop()
    equal(folder.rows("a.db"), [50, 52], "rows after a change behind everybody's back")


# --- many -------------------------------------------------------------------------------------------------------------


def make_many(folder, count):
    """So many copies of a small database."""
    seed = folder.case.path("seed.db")
    folder.case.run("sqlite3", seed, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)")
    with open(seed, "rb") as file:
        data = file.read()
    names = [f"{i % 10}/{i}.db" for i in range(count)]
    for name in names:
        os.makedirs(os.path.dirname(folder.path(name)), exist_ok=True)
        with open(folder.path(name), "wb") as file:
            file.write(data)
    return names


def three_hundred(case):
    """300 databases: all are replicated and parked, some are written to, a new daemon finds the rest unchanged."""
    folder = Folder(case, recursive=True)
    names = make_many(folder, 300)
    daemon = folder.start()
    folder.wait(lambda d: sum(item.get("parked", False) for item in d["databases"]) == 300, "all are parked")
    wait_until(lambda: len(descriptors(daemon)) < 60, lambda: f"few descriptors: {len(descriptors(daemon))}")
    written = case.rng.sample(names, 40)
    for name in written:
        with contextlib.closing(sqlite3.connect(folder.path(name), timeout=60, isolation_level=None)) as connection:
            connection.execute("INSERT INTO t VALUES(2)")
    for name in written:
        folder.sync(name)
    folder.wait(lambda d: sum(item.get("parked", False) for item in d["databases"]) == 300, "all are parked again")
    daemon.kill()
    daemon = folder.start(name="again")
    folder.wait(lambda d: sum(item.get("parked", False) for item in d["databases"]) == 300, "all are parked at once")
    check("replicating  db=" not in daemon.log(), tail(daemon.log()))
    daemon.stop()
    for name in case.rng.sample(written, 5):
        equal(folder.rows(name), [1, 2], f"rows of {name}")
    equal(folder.rows(next(name for name in names if name not in written)), [1], "rows of one that was not written")


def few_descriptors(case):
    """More databases are written to than can be open at once: they take turns, and all is shipped."""
    folder = Folder(case, recursive=True, park="1h")
    names = make_many(folder, 60)
    daemon = folder.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (420, 420)))
    folder.wait(lambda d: all(item["txid"] > 0 for item in d["databases"]) and len(d["databases"]) == 60, "all are replicated")
    for value in range(2, 5):
        for name in names:
            with contextlib.closing(sqlite3.connect(folder.path(name), timeout=60, isolation_level=None)) as connection:
                connection.execute(f"INSERT INTO t VALUES({value})")
    check(folder.document()["folders"][0]["open"] <= 16, folder.document()["folders"])
    for name in names:
        folder.sync(name)
    daemon.stop()
    for name in case.rng.sample(names, 5):
        equal(folder.rows(name), [1, 2, 3, 4], f"rows of {name}")


def shown_by_folder(case):
    """`weir status DIR` shows the databases in it, with and without the configuration; and what to do where there are none."""
    folder = Folder(case)
    names = ["a.db", "b.db"]
    for name in names:
        folder.make(name)
    paths = [folder.path(name) for name in names]
    single, other, below = case.path("single.db"), case.path("other"), folder.path("below")
    case.run("sqlite3", single, "PRAGMA journal_mode=WAL; CREATE TABLE t(x)")
    os.makedirs(other)
    os.makedirs(below)
    write(folder.file, config(folder.entry, entry(single, case.replica("single").url)))
    folder.start()
    folder.wait_parked(*names)
    folder.wait(lambda d: len(d["databases"]) == 3 and all(one["ready"] for one in d["databases"]), "all are well")

    def refused(path, *args):
        done = case.weir("status", path, *args, expect=2)
        check(f"{path} is a folder: name a database in it, or nothing for all" in done.stderr, done.stderr)
        equal(done.stdout, "", "output")
        return done.stderr
    for args in ((), ("-c", folder.file)):
        document = json.loads(case.weir("status", folder.dir, "--json", *args).stdout)
        equal((sorted(one["path"] for one in document["databases"]), [one["dir"] for one in document["folders"]]), (paths, [folder.dir]), f"{args}")
        shown = case.weir("status", folder.dir + "/", *args).stdout
        equal((re.findall("^(/.*) -> ", shown, re.M), re.findall("^folder (.*)", shown, re.M)), (paths, [folder.dir]), shown)
        check("replicates nothing in it" in refused(below, *args), "a folder below, which is not searched")
    check("no weir process replicates the databases in" in refused(other), "a folder of nobody")
    check("replicates nothing in it" in refused(other, "-c", folder.file), "a folder that the configuration has not")
    write(folder.path("bad.db"), "this is text, and it is long enough to hold a header of a hundred bytes, if only it had one at all")
    folder.wait(lambda d: any(one["state"] == "failed" for one in d["databases"]), "it is refused")
    check("is not a SQLite database" in case.weir("status", folder.dir, expect=1).stdout, "the cause is not told")
    folder.daemon.stop(expect=None)
    check("no weir process replicates the databases in" in refused(folder.dir), "when nobody is there")
    shown = case.weir("status", folder.dir, "-c", folder.file, expect=1).stdout
    check(f"{folder.dir}\n  state      not running" in shown and single not in shown, shown)


def cases(_options):
    """All stories."""
    return [
        ("come and go", come_and_go), ("gone while open", while_open), ("not watched", not_watched),
        ("entries and folders", entries_and_folders), ("an entry that is taken back", own_entry_taken_back),
        ("behind a link", behind_a_link), ("a bad one among good ones", bad_among_good), ("the status of a folder", shown_by_folder), ("the same replica", same_replica),
        ("two daemons", two_daemons), ("wake with a connection", wake_with_connection), ("reset unseen", reset_unseen),
        ("a connection for each commit", connection_for_each), ("large transactions", large_transactions),
        ("readers do not wake", readers_do_not_wake), ("killed while parked", killed_while_parked),
        ("replaced while parked", replaced_while_parked), ("300", three_hundred), ("few descriptors", few_descriptors),
    ]
