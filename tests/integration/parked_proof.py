# SPDX-License-Identifier: Apache-2.0
"""parked_proof: drills and scrubs of databases that are parked.

They are made without opening anything, one at a time; what they find is told everywhere, over restarts; they are in nobody's
way: not of an application that writes, not of the end, not of a reload.
"""

import contextlib
import json
import os
import re
import resource
import signal
import time

from config import config, insert
from drill import damage, heal
from lib.case import tail, wait_until
from lib.lights import Lights
from lib.tap import Skip, check, equal
from parked import Shown

NEVER = {"interval": "0s"}
OFTEN = {"interval": "100ms"}
PLACES = 16  # at least so many databases of folders are open at once
ENDLESS = {"interval": "100ms", "rate": 1}  # one byte in a second


class Proven(Shown):
    """A folder with drills and scrubs, and all that its daemon says."""

    def __init__(self, case, drill=None, scrub=None, **keys):
        super().__init__(case, drill=drill or NEVER, scrub=scrub or NEVER, **keys)
        self.lights = None

    def text(self):
        """The configuration."""
        return config(self.entry, http={"listen": "127.0.0.1:0"})

    def start(self, **options):
        """Start a daemon."""
        if os.path.exists(self.case.path("told")):
            os.unlink(self.case.path("told"))
        self.lights = Lights(self.case, self.text(), folder=self.dir, **options)
        self.daemon = self.lights.daemon.start(ready=False)
        return self.daemon

    def begin(self, *names):
        """Databases in the replica, each parked."""
        for name in names:
            if not os.path.exists(self.path(name)):
                self.make(name)
        self.start()
        for name in names:
            self.sync(name)
        self.wait_parked(*names)
        return self.daemon

    def openings(self):
        """How often a database was opened by this daemon."""
        return len(re.findall(r" replicating  ", self.daemon.log()))

    def await_one(self, name, what, condition):
        """Until the status of a database is so; it."""
        seen = None

        def so():
            nonlocal seen
            seen = self.of(name)
            return not self.daemon.alive() or (seen is not None and condition(seen))
        wait_until(so, lambda: f"{what}: {seen}\n{tail(self.daemon.log())}", pause=0.02)
        check(self.daemon.alive(), lambda: f"the daemon ended before: {what}\n{tail(self.daemon.log())}")
        return seen

    def events(self, kind):
        """The texts of these events."""
        return [one["text"] for one in self.daemon.get("/api/v1/events").json()["events"] if one["kind"] == kind]

    def end(self):
        """Stop the daemon in order."""
        self.daemon.stop()
        self.lights.told.close()


def unproven(folder):
    """What /metrics counts for the folder."""
    return {why: folder.metric("weir_folder_unproven", dir=folder.dir, pattern="*.db", why=why)
            for why in ("drill_failed", "drill_overdue", "damaged")}


# --- drills -----------------------------------------------------------------------------------------------------------


def drilled(case):
    """All of them are drilled, again and again, and none is opened for it; a restart forgets nothing and opens none."""
    folder = Proven(case, drill=OFTEN)
    names = [f"{number}.db" for number in range(6)]
    folder.begin(*names)
    before = folder.openings()
    times = {}
    for name in names:
        one = folder.await_one(name, "a good drill", lambda one: one["drill"]["result"] == "good")
        equal((one["parked"], one["drill"]["txid"] <= one["txid"], one["drill"]["failure"], one["drill"]["overdue"]),
              (True, True, None, False), name)
        check(folder.metric("weir_last_verified_restore_timestamp_seconds", db=folder.path(name)) > time.time() - 600, "the metric")
        equal(folder.metric("weir_drill_failed", db=folder.path(name)), 0, "the metric of failures")
        times[name] = one["drill"]["verified_time"]
    for name in names:
        folder.await_one(name, "the next drill", lambda one, name=name: one["drill"]["verified_time"] > times[name])
    folder.wait(lambda d: sum(one["drill"]["running"] for one in d["databases"]) <= 1, "one at a time")
    equal(folder.openings(), before, "nothing was opened")
    shown = case.weir("status", "-c", folder.file).stdout
    equal(len(re.findall(r"verified +txid \d+ was restored and is whole", shown)), len(names), "weir status")
    check(any("was restored and is whole" in text for text in folder.events("drill")), folder.events("drill"))
    folder.lights.agree()
    folder.end()
    folder.entry = folder.entry.replace('"interval": "100ms"', '"interval": "30d"')
    folder.start()
    folder.wait_parked(*names)
    for name in names:
        check(folder.of(name)["drill"]["verified_time"] > times[name], "over a restart")
    equal(folder.openings(), 0, "what a restart opened")
    folder.end()


def damaged_object(case):
    """An object of a parked one is damaged: found, told everywhere, over a restart, until it is right again; it stays parked."""
    folder = Proven(case, drill=OFTEN)
    folder.begin("a.db", "good.db")
    before = damage(folder.replica, "snap", below="a.db/")  # a drill of the other one must never see its snapshot so

    def is_red():
        one = folder.of("a.db")
        return one["parked"] and one["drill"]["result"] == "failed"
    wait_until(is_red, lambda: f"the damage is found\n{tail(folder.daemon.log())}")
    document = folder.lights.agree()
    one = folder.of("a.db")
    equal((one["parked"], one["ready"], one["state"], one["error"]["message"]), (True, False, "replicating", one["drill"]["failure"]), "status")
    check(any(key.split("a.db/")[1] in one["drill"]["failure"] for key in before), one["drill"])
    equal(document["ready"], False, "ready")
    equal(case.weir("status", folder.path("a.db"), expect=1).returncode, 1, "exit status")
    ready = folder.daemon.get("/readyz")
    equal((ready.status, [reason["path"] for reason in ready.json()["reasons"]]), (503, [folder.path("a.db")]), "/readyz")
    equal((folder.metric("weir_drill_failed", db=folder.path("a.db")), folder.metric("weir_drill_failed", db=folder.path("good.db"))), (1, 0), "metrics")
    equal(unproven(folder), {"drill_failed": 1, "drill_overdue": 0, "damaged": 0}, "the folder")
    equal(document["folders"][0]["drill_failed"], 1, "the folder in the status")
    check(any(text.startswith("failed: drill: txid") for text in folder.events("drill")), folder.events("drill"))
    equal(len(folder.events("failure")), 1, "it is one failure")
    check("drill: a commit cannot be restored as it should" in folder.daemon.log(), "the log")
    # An application that writes opens it, and that heals nothing and is no other failure.
    insert(case, folder.path("a.db"), 2)
    folder.sync("a.db")
    folder.wait_parked("a.db")
    equal((folder.of("a.db")["ready"], len(folder.events("failure")), folder.events("healed")), (False, 1, []), "after it was opened")
    folder.end()
    folder.start()
    folder.await_one("a.db", "told after a restart", lambda one: one["parked"] and not one["ready"] and one["drill"]["failure"])
    heal(folder.replica, before)
    folder.await_one("a.db", "a good drill", lambda one: one["drill"]["result"] == "good" and one["ready"])
    wait_until(lambda: folder.daemon.get("/readyz").status == 200, "ready")
    folder.lights.agree()
    equal(unproven(folder)["drill_failed"], 0, "the folder")
    folder.end()


def a_file_there(path):
    """Where the folder was: it is not known to be empty."""
    with open(path, "w", encoding="ascii"):
        pass
    return lambda: os.unlink(path)


def an_empty_folder(path):
    """A place where a disk was mounted."""
    os.mkdir(path)
    return lambda: os.rmdir(path)


def nothing_there(_path):
    """A disk whose place is above it."""
    return lambda: None


def replica_away(case):
    """Nothing is opened while drills cannot be carried out; that is said, is no alert, and ends by itself."""
    if case.options.store.kind != "file":
        raise Skip("takes a folder away")
    folder = Proven(case, drill=OFTEN)
    names = ["a.db", "b.db"]
    folder.begin(*names)
    opened = folder.openings()
    away = folder.replica.url.removeprefix("file://")
    for leave, text in ((a_file_there, "Not a directory"), (nothing_there, "is its disk mounted?"), (an_empty_folder, "is its disk mounted?")):
        os.rename(away, away + ".away")
        undo = leave(away)
        for name in names:
            one = folder.await_one(name, "it is told",
                                   lambda one, text=text: text in (one["drill"]["error"] or "") or one["drill"]["result"] == "failed")
            equal((one["parked"], one["drill"]["result"] != "failed", one["ready"]), (True, True, True), f"{name}: {one['drill']}")
        equal((folder.openings(), folder.count("parked")), (opened, 2), "nothing was opened")
        check("could not be carried out: " in case.weir("status", folder.path("a.db")).stdout, "weir status")
        undo()
        os.rename(away + ".away", away)
        for name in names:
            folder.await_one(name, "it works again", lambda one: one["drill"]["error"] is None and one["drill"]["result"] == "good")
    equal((folder.openings(), folder.events("failure")), (opened, []), "nothing was opened later, nothing failed")
    folder.end()


def opened_meanwhile(case):
    """A drill goes on when its database is opened, keeps it neither from shipping nor from being parked, and SIGTERM ends it at once."""
    folder = Proven(case, drill=ENDLESS)
    folder.begin("a.db")
    a = folder.path("a.db")
    scratch = a + "-weir/drill"
    wait_until(lambda: folder.of("a.db")["drill"]["running"] and os.path.isdir(scratch), "a drill is under way")
    for value in (2, 3):
        insert(case, a, value)
        folder.sync("a.db")
        check(folder.of("a.db")["drill"]["running"] and os.path.isdir(scratch), "it goes on")
        folder.wait_parked("a.db")
        check(folder.of("a.db")["drill"]["running"], "it goes on when it is parked again")
    begun = time.monotonic()
    folder.end()
    check(time.monotonic() - begun < 30, "the end waited for it")
    check(not os.path.exists(scratch) and not os.path.exists(a + "-weir/drilled"), "something is left")
    equal(folder.rows("a.db"), [1, 2, 3], "rows")


def gone_meanwhile(case):
    """The database is deleted, its folder is taken out of the configuration, while a drill or a scrub is under way."""
    folder = Proven(case, drill=ENDLESS, scrub=ENDLESS)
    # Two chunks: with one byte a second the scrub rests for hours behind the first.
    path = folder.path("a.db")
    case.run("sqlite3", path, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); CREATE TABLE b(x); INSERT INTO t VALUES(1); INSERT INTO b VALUES(zeroblob(800000))")
    folder.make("b.db")
    folder.begin("a.db", "b.db")
    wait_until(lambda: any(one["drill"]["running"] for one in folder.document()["databases"]), "a drill is under way")
    for name in ("a.db", "b.db"):
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder.path(name) + suffix)
    folder.wait(lambda d: not d["databases"] and len(d["gone"]) == 2, "both are gone")
    folder.make("c.db")
    folder.sync("c.db")
    folder.wait_parked("c.db")
    wait_until(lambda: folder.of("c.db")["drill"]["running"], "the next drill")
    os.makedirs(case.path("others"))
    folder.daemon.reload(config(folder.entry.replace('/dbs"', '/others"'), http={"listen": "127.0.0.1:0"}))
    wait_until(lambda: not folder.document()["databases"], "the folder is gone")
    folder.daemon.reload(folder.text())
    insert(case, folder.path("c.db"), 2)
    folder.sync("c.db")
    folder.end()
    equal(folder.rows("c.db"), [1, 2], "rows")


# --- scrubs -----------------------------------------------------------------------------------------------------------


def rotten(case, path, page, at=2000):
    """From now on the disk has another byte there."""
    with open(case.path("rotten.new"), "w", encoding="utf-8") as file:
        file.write(f"{(page - 1) * 4096 + at} {path}\n")
    os.rename(case.path("rotten.new"), case.path("rotten"))


def rotten_env(case):
    """For a daemon on such a disk."""
    library = case.options.program("rotten_disk.so")
    check(os.path.exists(library), f"{library} was not built")
    return {"LD_PRELOAD": library, "WEIR_TEST_ROTTEN": case.path("rotten")}


def rotten_page(case):
    """A page of a parked one's file is damaged: it is found without opening it, told everywhere, and green when it is right again."""
    folder = Proven(case, scrub=OFTEN)
    names = ["a.db", "good.db"]
    for name in names:
        folder.make(name)
    env = rotten_env(case)
    folder.start(env=env)
    for name in names:
        folder.sync(name)
    folder.wait_parked(*names)
    opened = folder.openings()
    first = {name: folder.await_one(name, "a whole pass", lambda one: one["scrub"]["passes"] > 0) for name in names}
    for name in names:
        equal((first[name]["parked"], first[name]["scrub"]["result"], first[name]["scrub"]["pass_pages"]), (True, "good", 2), name)
        folder.await_one(name, "the next pass", lambda one, name=name: one["scrub"]["passes"] > first[name]["scrub"]["passes"])
        check(folder.metric("weir_scrub_pass_timestamp_seconds", db=folder.path(name)) > time.time() - 600, "the metric")
        equal(folder.metric("weir_damaged_pages", db=folder.path(name)), 0, "the metric of damage")
    equal((folder.openings(), folder.count("parked")), (opened, 2), "nothing was opened")
    rotten(case, folder.path("a.db"), 2)
    one = folder.await_one("a.db", "it is found", lambda one: one["scrub"]["result"] == "damaged")
    check("page 2 of" in one["scrub"]["failure"] and "is not what was committed" in one["scrub"]["failure"], one["scrub"])
    one = folder.await_one("a.db", "it is open for the next looks", lambda one: not one["parked"] and one["state"] == "replicating")
    equal((one["ready"], one["scrub"]["damaged_pages"], one["error"]["message"]), (False, [2], one["scrub"]["failure"]), "status")
    folder.lights.agree()
    equal(case.weir("status", folder.path("a.db"), expect=1).returncode, 1, "exit status")
    equal((folder.metric("weir_damaged_pages", db=folder.path("a.db")), folder.metric("weir_damaged_pages", db=folder.path("good.db"))), (1, 0), "metrics")
    equal(unproven(folder), {"drill_failed": 0, "drill_overdue": 0, "damaged": 1}, "the folder")
    check([text for text in folder.events("scrub") if "page 2 of" in text], folder.events("scrub"))
    equal((len(folder.events("failure")), folder.of("a.db")["resyncs"]), (1, 0), "one failure, and nothing that was shipped")
    check("scrub: a page of the database is damaged" in folder.daemon.log(), "the log")
    folder.end()
    folder.start(env=env)
    folder.await_one("a.db", "told after a restart", lambda one: not one["ready"] and one["scrub"]["damaged_pages"] == [2])
    os.unlink(case.path("rotten"))
    folder.await_one("a.db", "it is right again", lambda one: one["ready"] and one["parked"])
    folder.lights.agree()
    folder.end()
    equal(folder.rows("a.db"), [1], "rows")


def rotten_without_scrubs(case):
    """A damaged one is parked because others want to be open, and scrubs were switched off: it is looked at all the same, until it is right."""
    folder = Proven(case, scrub=OFTEN, park="1h")
    a, others = "a.db", [f"{number:02}.db" for number in range(PLACES)]
    for name in [a, *others]:
        folder.make(name)
    limit = PLACES * 16 + 256
    folder.start(env=rotten_env(case), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    folder.wait(lambda d: sum(one["shipped_txid"] > 0 for one in d["databases"]) == len(others) + 1, "all are replicated")
    rotten(case, folder.path(a), 2)
    folder.await_one(a, "it is found", lambda one: one["scrub"]["damaged_pages"] == [2] and one["state"] == "replicating")
    folder.entry = folder.entry.replace(json.dumps(OFTEN), json.dumps(NEVER))
    folder.daemon.reload(folder.text())

    def opened():
        return len(re.findall(rf" replicating  .*{re.escape(folder.path(a))}", folder.daemon.log()))
    before = opened()

    def makes_room():
        """One of the others wants to be open again, and of those that are, it has been quiet for longest.  Only parked ones are
        written: one that is written while it is being parked stays open for a while, and then nobody makes room."""
        for name in others:
            if folder.of(name)["parked"]:
                insert(case, folder.path(name), 2)
        return opened() > before
    wait_until(makes_room, lambda: f"it is opened again\n{tail(folder.daemon.log())}", pause=0.2)
    one = folder.await_one(a, "it is told still, and which page", lambda one: one["scrub"]["damaged_pages"] == [2])
    equal((one["ready"], one["scrub"]["result"]), (False, "damaged"), "status")
    check("`weir restore` over the file mends it" in one["error"]["message"], one["error"])
    os.unlink(case.path("rotten"))
    one = folder.await_one(a, "it is right again", lambda one: one["ready"])
    equal(one["error"], None, "status")
    folder.end()


def changed_file(case):
    """What a program does to the file behind SQLite's back changes its times: that is no rotten page of a parked one, and wakes it."""
    folder = Proven(case, scrub=OFTEN)
    folder.begin("a.db")
    folder.await_one("a.db", "a whole pass", lambda one: one["scrub"]["passes"] > 0)
    for value in range(2, 8):
        insert(case, folder.path("a.db"), value)
    folder.sync("a.db")
    folder.wait_parked("a.db")
    passes = folder.of("a.db")["scrub"]["passes"]
    one = folder.await_one("a.db", "two more passes", lambda one: one["parked"] and one["scrub"]["passes"] >= passes + 2)
    equal((one["scrub"]["damaged"], one["ready"], folder.events("failure")), (0, True, []), "it is well")
    folder.end()


# --- in nobody's way --------------------------------------------------------------------------------------------------


def writes_meanwhile(case):
    """An application writes at whatever moment of drills and scrubs: each commit is there, exactly, and nothing is told as damage."""
    folder = Proven(case, drill=OFTEN, scrub=OFTEN)
    scene = folder.scene("app")
    folder.start()
    folder.sync("app.db")
    for turn in range(8):
        folder.wait_parked("app.db")
        if turn % 2 == 0:
            passes = folder.of("app.db")["scrub"]["passes"]
            folder.await_one("app.db", "scrubs", lambda one, passes=passes: one["scrub"]["passes"] > passes)
        scene.commit(1 + turn % 3, size=100 + 3000 * (turn % 2))
        folder.sync("app.db")
    folder.exact("app.db")
    one = folder.await_one("app.db", "a good drill", lambda one: one["drill"]["result"] == "good")
    equal((one["scrub"]["damaged"], one["ready"], folder.events("failure")), (0, True, []), "it is well")
    scene.close()
    folder.end()
    scene.verify()


def long_scrub(case):
    """A scrub that would take days: it lets go of the file when the application writes, at a reload, and at SIGTERM."""
    folder = Proven(case, scrub=ENDLESS)
    path = folder.path("a.db")
    case.run("sqlite3", path, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1); CREATE TABLE b(x); INSERT INTO b VALUES(zeroblob(800000))")
    folder.begin("a.db")

    def reads():
        """The daemon has the file open, although the database is parked."""
        links = []
        for fd in os.listdir(f"/proc/{folder.daemon.pid}/fd"):
            try:
                links.append(os.readlink(f"/proc/{folder.daemon.pid}/fd/{fd}"))
            except OSError:
                pass  # it was closed meanwhile
        return path in links and path + "-shm" not in links
    wait_until(reads, "a scrub is under way")
    insert(case, path, 2)
    folder.sync("a.db")
    folder.wait_parked("a.db")
    wait_until(reads, "the next one")
    folder.daemon.reload(folder.text())
    check(folder.of("a.db")["ready"], "after a reload")
    wait_until(reads, "one more")
    folder.daemon.process.send_signal(signal.SIGTERM)
    folder.daemon.wait_exit(expect=0)
    folder.lights.told.close()
    equal(folder.rows("a.db"), [1, 2], "rows")


def cases(_options):
    """All stories."""
    return [
        ("drilled while parked", drilled), ("a damaged object of a parked one", damaged_object), ("the replica is away", replica_away),
        ("a drill goes on", opened_meanwhile), ("gone in the middle", gone_meanwhile), ("a rotten page of a parked one", rotten_page),
        ("a rotten page, and no scrubs any more", rotten_without_scrubs),
        ("no false alarm", changed_file), ("writes at any moment", writes_meanwhile), ("a long scrub lets go", long_scrub),
    ]
