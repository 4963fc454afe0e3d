# SPDX-License-Identifier: Apache-2.0
"""drill: the daemon proves by itself that what it ships can be restored, tells everybody when it cannot, and is never in
the way of anything else.
"""

import json
import os
import re

from http_api import HttpDaemon, config, entry
from lib.case import wait_until
from lib.daemon import Daemon
from lib.tap import check, equal

OFTEN = {"WEIR_DRILL_INTERVAL": "100ms"}
SELDOM = {"WEIR_DRILL_INTERVAL": "30d"}
# One byte in a second: a drill that would take weeks.
ENDLESS = {"WEIR_DRILL_INTERVAL": "100ms", "WEIR_DRILL_RATE": "1"}


def write(case, db, count=5):
    """Some commits."""
    text = "PRAGMA busy_timeout=60000; CREATE TABLE IF NOT EXISTS t(v);"
    for number in range(count):
        text += f" INSERT INTO t VALUES (hex(randomblob(500)) || {number});"
    case.run("sqlite3", db, text)


def begin(case, env):
    """A database with some commits, its daemon, everything shipped."""
    replica = case.replica()
    db = case.path("app.db")
    write(case, db)
    weir = Daemon(case, db, replica.url, env=env).start()
    write(case, db)
    weir.sync()
    return db, replica, weir


def entry_of(weir):
    """The database in the status document, whatever it says; the exit status."""
    shown = weir.case.weir("status", weir.db, "--json", expect=(0, 1))
    return json.loads(shown.stdout)["databases"][0], shown.returncode


def drill_of(weir):
    """Its drill."""
    return entry_of(weir)[0]["drill"]


def await_result(weir, result):
    """Wait until the last drill ended so."""
    wait_until(lambda: drill_of(weir)["result"] == result, f"a drill that is {result}")
    return drill_of(weir)


def scratch(db):
    """The folder of drills."""
    return db + "-weir/drill"


def no_scratch(db):
    """Nothing is left of any drill."""
    left = [name for name in os.listdir(db + "-weir") if name.startswith("drill") and name != "drilled"]
    equal(left, [], "left over")


def damage(replica, kind, below=""):
    """Turn a bit in the middle of every object of a kind, of one database or of all; what they were."""
    before = {key: replica.read(key) for key in replica.list() if f"/{kind}/" in key and key.startswith(below)}
    check(before, f"there is no object of {kind}")
    for key, data in before.items():
        middle = len(data) // 2
        replica.write(key, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:])
    return before


def heal(replica, before):
    """As it was."""
    for key, data in before.items():
        replica.write(key, data)


def good(case):
    """It restores, says so everywhere, and retention hears of it."""
    db, _replica, weir = begin(case, OFTEN)
    drill = await_result(weir, "good")
    check(1 <= drill["txid"] <= weir.sync(), f"txid {drill['txid']}")
    check(drill["verified_time"] is not None and drill["failure"] is None, drill)
    shown = case.weir("status", db).stdout
    check(re.search(r"verified +txid \d+ was restored and is whole", shown), shown)
    with open(db + "-weir/verified", encoding="ascii") as file:
        check(file.read().startswith("weir verified 1\ntimeline 1\n"), "the note for retention")
    weir.stop()
    no_scratch(db)
    check("drill: a commit was restored and is whole" in weir.log(), "the log")


def counted(case):
    """What drills ask of the replica is among the requests of the database: they are billed, too."""
    _db, _replica, weir = begin(case, OFTEN)
    await_result(weir, "good")

    def reads():
        return entry_of(weir)[0]["requests"]["get"]["ok"]
    before = reads()
    wait_until(lambda: reads() > before, "drills that are counted: nobody else reads")
    weir.stop()


def off(case):
    """Without an interval there are none."""
    _db, _replica, weir = begin(case, {"WEIR_DRILL_INTERVAL": "0s"})
    equal(drill_of(weir), None, "drill")
    weir.stop()


def shown_everywhere(case):
    """A damaged object: status, readiness, metrics, events and log say so, over a restart, until a good drill."""
    db, replica, weir = begin(case, {"WEIR_DRILL_INTERVAL": "0s"})
    weir.stop()
    before = damage(replica, "snap")
    text = config(entry(db, replica.url, drill={"interval": "100ms"}), http={"listen": "127.0.0.1:0"})
    daemon = HttpDaemon(case, text)
    daemon.start(ready=False)

    def failed():
        return daemon.get("/readyz").status == 503 and "drill: txid" in daemon.get("/readyz").text
    wait_until(failed, "readiness hears of it")
    metrics = daemon.get("/metrics").text
    check(re.search(r'weir_drill_failed\{db="[^"]*"\} 1', metrics), metrics)
    events = json.loads(daemon.get("/api/v1/events").text)["events"]
    check([e for e in events if e["kind"] == "drill" and "failed: drill: txid" in e["text"]], events)
    shown = case.weir("status", db, "--json", expect=1)
    document = json.loads(shown.stdout)["databases"][0]
    equal((document["state"], document["error"]["message"]), ("replicating", document["drill"]["failure"]), "state and error")
    drill = document["drill"]
    check(drill["result"] == "failed" and any(key in drill["failure"] for key in before), drill)
    check(f"txid {drill['failed_txid']} of timeline 1" in drill["failure"], drill["failure"])
    check("drill: a commit cannot be restored as it should" in daemon.log(), "the log")
    daemon.stop()
    # It is not forgotten, and another good thing is not a drill.
    weir = Daemon(case, db, replica.url, env=SELDOM).start()
    write(case, db)
    weir.sync()
    status, code = entry_of(weir)
    equal((status["drill"]["failure"], code), (drill["failure"], 1), "after a restart")
    weir.stop()
    heal(replica, before)
    weir = Daemon(case, db, replica.url, env=OFTEN).start()
    drill = await_result(weir, "good")
    equal((drill["failure"], entry_of(weir)[1]), (None, 0), "after a good one")
    weir.stop()
    no_scratch(db)


def newest(replica):
    """The key of the last segment."""
    return max(key for key in replica.list() if "/log/" in key)


def spoil_last(replica):
    """Turn a bit in the last segment; what it was."""
    key = newest(replica)
    data = replica.read(key)
    replica.delete(key)
    replica.write(key, data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    return {key: data}


def remove_last(replica):
    """Take the last segment away; what it was."""
    key = newest(replica)
    data = replica.read(key)
    replica.delete(key)
    return {key: data}


def any_damage(case, spoil):
    """Of a segment: the newest commit, which is tried, is lost."""
    db, replica, weir = begin(case, dict(OFTEN, WEIR_FOLD_COUNT="0", WEIR_DRILL_WINDOW="0s"))
    await_result(weir, "good")
    before = spoil(replica)
    drill = await_result(weir, "failed")
    check(f"drill: txid {weir.sync()} of timeline 1" in drill["failure"], drill["failure"])
    heal(replica, before)
    await_result(weir, "good")
    weir.stop()
    no_scratch(db)


def killed(case):
    """kill -9 in the middle of one: the next start removes what it left."""
    db, replica, weir = begin(case, ENDLESS)
    wait_until(lambda: drill_of(weir)["running"] and os.path.isdir(scratch(db)), "a drill is under way")
    write(case, db)
    weir.sync()
    weir.kill()
    with open(scratch(db) + "/state.db.weir-tmp-0123456789abcdef", "wb") as file:
        file.write(b"x" * 100000)
    weir = Daemon(case, db, replica.url, env=SELDOM).start()
    no_scratch(db)
    weir.stop()


def at_once(case):
    """The end does not wait for a drill, which would take weeks; nor does shipping."""
    db, _replica, weir = begin(case, ENDLESS)
    wait_until(lambda: drill_of(weir)["running"], "a drill is under way")
    write(case, db, 50)
    weir.sync()
    check(drill_of(weir)["running"], "shipping does not end it")
    weir.stop()
    no_scratch(db)
    check("drilled" not in os.listdir(db + "-weir"), "a drill that was stopped has no outcome")


def schedule(case):
    """A restart is no reason for another one; a clock that was wrong is none to do without."""
    db, replica, weir = begin(case, OFTEN)
    await_result(weir, "good")
    weir.stop()
    noted = db + "-weir/drilled"
    with open(noted, encoding="ascii") as file:
        text = file.read()
    weir = Daemon(case, db, replica.url, env=SELDOM).start()
    equal(drill_of(weir)["result"], "good", "remembered")
    weir.stop()
    with open(noted, encoding="ascii") as file:
        equal(file.read(), text, "no drill was made")
    # In the year 2129: the clock was ahead when that was noted.
    with open(noted, "w", encoding="ascii") as file:
        file.write(re.sub(r"(?m)^(tried|good) \d+$", r"\1 5000000000000", text))
    weir = Daemon(case, db, replica.url, env=OFTEN).start()
    wait_until(lambda: drill_of(weir)["verified_time"] < "2129", "a drill in our time")
    weir.stop()


def skipped(case):
    """A database that is too large: said, and no alert."""
    db, _replica, weir = begin(case, dict(OFTEN, WEIR_DRILL_MAX_SIZE="1KiB"))
    wait_until(lambda: drill_of(weir)["skipped"], "it is skipped")
    status, code = entry_of(weir)
    check("drill.max-size" in status["drill"]["skipped"], status["drill"])
    equal((status["drill"]["result"], code), ("none", 0), "no alert")
    weir.stop()
    no_scratch(db)


def cases(_options):
    """One case per story."""
    return [
        ("a good drill", good),
        ("counted among the requests", counted),
        ("off", off),
        ("a damaged object is shown everywhere", shown_everywhere),
        ("a damaged segment", lambda case: any_damage(case, spoil_last)),
        ("a missing segment", lambda case: any_damage(case, remove_last)),
        ("kill -9 in the middle", killed),
        ("the end comes at once", at_once),
        ("the schedule", schedule),
        ("too large", skipped),
    ]
