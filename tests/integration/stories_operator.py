# SPDX-License-Identifier: Apache-2.0
"""stories_operator: who is called at night. Is the backup alive, how far behind, how far back; what is damaged, and what now?

The alerts are looked at as a monitoring system does: they fire when something is wrong, and are silent in an ordinary life.
"""

import http.client
import json
import os
import re
import sqlite3

from bad_input import flip
from lib.case import tail, wait_until
from lib.daemon import Daemon, log_of, restore_state
from lib.history import Recorder
from lib.story import disk, look, looked_at, sound, tell
from lib.tap import check, equal
from run_cmd import away, url_of

DAMAGED, FENCED = 4, 5


class Watched(Daemon):
    """A daemon that a monitoring system asks."""

    def __init__(self, case, db, url, *args, **options):
        super().__init__(case, db, url, args=args, env={"WEIR_HTTP_LISTEN": "127.0.0.1:0"}, **options)

    def _get(self, page):
        """Status and text."""
        port = int(wait_until(lambda: re.search(r"listening .*port=(\d+)", self.log()), "it listens")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", page)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name, **labels):
        """A number of /metrics, of the one database."""
        values = dict(labels, db=self.db)
        for line in self._get("/metrics")[1].splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name and all(f'{key}="{value}"' in match[2] for key, value in values.items()):
                return float(match[3])
        return None

    def alerts(self):
        """What would ring: the signs of the metrics that must be silent in an ordinary life."""
        signs = {name: self.metric(name) for name in ("weir_error", "weir_fenced", "weir_spool_bytes", "weir_gaps_total", "weir_resyncs_total")}
        signs["not replicating"] = 1 - (self.metric("weir_state", state="replicating") or 0)
        signs["not ready"] = self._get("/readyz")[0] != 200
        return {name for name, value in signs.items() if value}


class Application:
    """One connection that writes numbered rows."""

    def __init__(self, db):
        self.connection, self.rows = sqlite3.connect(db, isolation_level=None, timeout=300), 0
        self.connection.executescript("PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)")

    def write(self, count=1, size=300):
        """So many commits."""
        for _ in range(count):
            self.rows += 1
            self.connection.execute("INSERT INTO t(v) VALUES(randomblob(?))", (size,))

    def close(self):
        """End."""
        self.connection.close()


def verified(case, url, expect=0, *args):
    """The document of `weir verify`."""
    return json.loads(case.weir("verify", url, "--json", *args, expect=expect).stdout)


# --- one look ----------------------------------------------------------------------------------------------------------


def one_look(case):
    """Alive, how far behind, how far back, what it costs: `weir status`, `weir ls`, `weir verify --deep`, and they agree."""
    db, url = disk(case, "data") + "/app.db", case.replica().url
    app = Application(db)
    daemon = Watched(case, db, url).start()
    app.write(20)
    txid = daemon.sync()
    text = case.weir("status", db).stdout
    tell(re.sub(r"\s+", " ", text.replace(case.path(), "")))
    for words in ("replicating", f"txid {txid} ", "0 commits"):
        check(words in text, f"{words!r} is not in: {text}")
    listed = json.loads(case.weir("ls", url, "--json").stdout)
    newest = listed["timelines"][-1]
    equal((newest["restorable"]["first_txid"], newest["restorable"]["last_txid"]), (1, txid), "how far back, and how far")
    stored = sum(size for key, size in case.replica().list().items() if not key.endswith(".json"))
    equal(listed["bytes"], stored, "what it costs in bytes, but for the few that say what it is")
    deep = verified(case, url, 0, "--deep")
    equal((deep["good"], deep["deep"]["txid"]), (True, txid), "the proof")
    equal((daemon.metric("weir_shipped_txid"), daemon.metric("weir_lag_commits")), (txid, 0), "the metrics")
    check(daemon.metric("weir_shipped_time_seconds") > 1e9, "the time of the last shipped commit")
    equal(daemon.alerts(), set(), "alerts")
    app.close()
    daemon.stop()
    told = case.weir("status", db, expect=1)
    check("not running" in told.stdout + told.stderr, f"{told.stdout} {told.stderr}")


def quiet(case):
    """An ordinary life rings no alert and has no error in its log: restarts, checkpoints, VACUUM, snapshots, bursts, silence."""
    db, url = disk(case, "data") + "/app.db", case.replica().url
    app = Application(db)
    for _ in range(3):
        daemon = Watched(case, db, url).start()
        for what in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "CREATE TABLE IF NOT EXISTS u(x)", "DROP TABLE u"):
            app.write(30)
            app.connection.execute(what)
            daemon.sync()
            equal(daemon.alerts(), set(), f"alerts after {what}")
        case.weir("snapshot", db)
        daemon.sync()
        equal((daemon.alerts(), daemon.metric("weir_failures_total")), (set(), 0), "alerts and failures")
        daemon.stop()
        check(not re.search(" (error|warn) ", daemon.log()), f"the log has warnings\n{tail(daemon.log())}")
    app.close()


def replica_away(case):
    """The replica is away: rung by its own signs while it is, told with its cause, and silent again by itself."""
    db, url = disk(case, "data") + "/app.db", url_of(case)
    begin, mend = away(case)
    app = Application(db)
    daemon = Watched(case, db, url, "--log-limit", "1MiB").start()
    app.write(5)
    shipped = daemon.sync()
    begin()
    app.write(1)
    wait_until(lambda: "weir_error" in daemon.alerts(), "the alert")
    told = json.loads(case.weir("status", db, "--json", expect=1).stdout)["databases"][0]
    check(told["state"] == "behind" and told["error"]["message"] and told["shipped_txid"] == shipped, f"{told}")
    tell(f"{told['state']}: {told['error']['message'].replace(case.path(), '')[:160]}")
    check(daemon.metric("weir_lag_commits") > 0, "no lag")
    while "weir_spool_bytes" not in daemon.alerts():
        app.write(200, 2000)
    tell("the log is full: the spool is in use")
    mend()
    wait_until(lambda: daemon.metric("weir_lag_commits") == 0 and not daemon.alerts(), "silence")
    tell("it is back: shipped by itself, and silent")
    app.close()
    daemon.stop()
    equal(looked_at(case, case.replica().url, "SELECT count(*) FROM t"), [(app.rows,)], "rows in the replica")


def fenced(case):
    """Somebody else took over: the alert of the fenced writer rings, and says who."""
    db, url = disk(case, "data") + "/app.db", case.replica().url
    other, app = disk(case, "other") + "/app.db", Application(db)
    held, keeps = disk(case, "held") + "/b.db", Application(case.path("held") + "/b.db")
    file = case.path("weir.yml")
    with open(file, "w", encoding="utf-8") as out:
        json.dump({"databases": [{"path": db, "replica": url}, {"path": held, "replica": case.replica("b").url}],
                   "defaults": {"sync": {"interval": "20ms"}}}, out)
    daemon = Watched(case, db, url)
    daemon.argv = [case.options.weir, "replicate", "-c", file]
    daemon.start()
    app.write(3)
    daemon.sync()
    case.weir("restore", url, "-o", other)
    new = Daemon(case, other, url, name="other").start()
    app.write(1)
    wait_until(lambda: "weir_fenced" in daemon.alerts(), "the alert")
    told = json.loads(case.weir("status", db, "--json", "-c", file, expect=FENCED).stdout)["databases"]
    mine = next(one for one in told if one["path"] == db)
    check(mine["state"] == "fenced" and f"process {new.pid}" in mine["error"]["message"], f"{mine}")
    tell(mine["error"]["message"].replace(case.path(), ""))
    keeps.write(2)
    case.weir("sync", held, "--wait", "-c", file)
    new.stop()
    app.close()
    keeps.close()
    daemon.stop(expect=FENCED)


# --- corruption --------------------------------------------------------------------------------------------------------


def damaged_replica(case):
    """An object of the replica is damaged: verify names it and what can still be restored; what is good is, what is not is refused."""
    db, replica = disk(case, "data") + "/app.db", case.replica()
    app = Application(db)
    daemon = Watched(case, db, replica.url, "--fold-count", "0").start()
    states = {}
    for _ in range(8):
        app.write(3)
        states[daemon.sync()] = app.rows
    keys = sorted(key for key in replica.list() if "/log/" in key)
    key = keys[len(keys) // 2]
    flip(replica, key, case.rng)
    tell(f"a byte of {key} is not what it was")
    document = verified(case, replica.url, DAMAGED)
    finding = next(one for one in document["findings"] if one["answer"] == "damaged")
    equal(finding["key"], key, "the object")
    lost = document["timelines"][0]["lost"][0]
    tell(f"{finding['message']}; commits from {lost['first_txid']} on are lost, last restorable before: {lost['restorable_before']}")
    for txid, rows in states.items():
        if txid <= lost["restorable_before"]:
            equal(looked_at(case, replica.url, "SELECT count(*) FROM t", "--txid", txid), [(rows,)], f"rows of txid {txid}")
    refused = case.weir("restore", replica.url, "-o", case.path("refused.db"), "--txid", lost["first_txid"], expect=DAMAGED)
    check(key in refused.stderr and not os.path.exists(case.path("refused.db")), refused.stderr)
    tell("the live database is whole: weir snapshot makes everything from now on restorable")
    app.write(2)
    case.weir("snapshot", db)
    app.write(2)
    daemon.sync()
    equal(looked_at(case, replica.url, "SELECT count(*) FROM t"), [(app.rows,)], "rows of the newest state")
    after = verified(case, replica.url, DAMAGED)["timelines"][0]
    check(after["restorable"][-1]["last_txid"] == after["tip_txid"] and after["lost"][0]["first_txid"] == lost["first_txid"], f"{after}")
    app.close()
    daemon.stop()


def rot(path, page, page_size=4096):
    """The disk forgets a page of a file that nobody has open."""
    with open(path, "r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(b"\xa5" * page_size)


def damaged_database(case):
    """The disk damaged the live file: list the good points, restore one beside it, check it, swap it in, go on. Nothing was lost."""
    db, url = disk(case, "data") + "/app.db", case.replica().url
    app = Application(db)
    daemon = Watched(case, db, url).start()
    app.write(600, 2000)
    case.weir("snapshot", db)
    txid = daemon.sync()
    app.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    app.close()
    daemon.stop()
    good = Recorder(db, keep_open=False).take()
    rot(db, 20)
    found = case.run("sqlite3", "-readonly", db, "PRAGMA integrity_check", expect=None)
    check(found.stdout != "ok\n", "the damage is not seen by SQLite")
    tell(f"integrity_check: {(found.stdout + found.stderr).splitlines()[0]}")

    points = [commit.txid for commit in log_of(case, url)]
    check(points[-1] >= txid, f"the good points end at {points[-1]}")
    tell(f"good points: txid {points[0]} to {points[-1]}; the last one is restored beside the file and checked")
    beside = case.path("data", "beside.db")
    case.weir("restore", url, "-o", beside, "--verify", "full")
    sound(beside)
    equal(look(beside, "SELECT count(*) FROM t"), [(600,)], "rows")

    tell("swapped in; only what the file had lost is fetched, and the damaged file is kept")
    done = json.loads(case.weir("restore", url, "-o", db, "--in-place", "--keep-old", "--json").stdout)
    check(0 < done["bytes_reused"] and done["kept"] and os.path.exists(done["kept"]), f"{done}")
    sound(db)
    equal(Recorder(db, keep_open=False).take().masked, good.masked, "the database before the damage")
    app, daemon = Application(db), Watched(case, db, url).start()
    app.write(3)
    daemon.sync()
    equal(daemon.alerts(), set(), "alerts")
    app.close()
    daemon.stop()
    equal(looked_at(case, url, "SELECT count(*) FROM t"), [(603,)], "rows in the replica")
    check(verified(case, url, 0, "--deep")["good"], "the replica")
    equal(restore_state(case, url, txid=points[-1], timeline=1).masked, good.masked, "the last good point is still there")


def cases(_options):
    """All stories."""
    return [
        ("one look", one_look), ("quiet", quiet), ("the replica is away", replica_away), ("fenced", fenced), ("a damaged replica", damaged_replica),
        ("a damaged database", damaged_database),
    ]
