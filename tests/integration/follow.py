# SPDX-License-Identifier: Apache-2.0
"""follow: `weir restore --follow` keeps a copy current while others read it, through everything, and can be promoted.

Readers see whole commits only; a kill at any moment leaves a state of the history; the copy is byte for byte the restore of its
txid; who writes to it is found out; and while nothing goes wrong the replica is asked for one key at a time.
"""

import json
import os
import signal
import sqlite3
import time

from lib.case import tail, wait_until
from lib.daemon import log_of, restore, restore_all
from lib.follower import Follower, Reader
from lib.history import fingerprint_file
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal
from lib.workers import Worker
from takeover import FENCED, restored_copy

DAMAGED = 4
IDLE_REQUESTS = 7  # pauses grow while nothing comes: some four seconds
# Money is only moved, and each commit counts.
BANK = ("CREATE TABLE bank(id INTEGER PRIMARY KEY, sum INTEGER, fill BLOB); CREATE TABLE seq(n INTEGER); INSERT INTO seq VALUES(0); "
        "WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 500) "
        "INSERT INTO bank SELECT n, 100, zeroblob(300) FROM i; CREATE INDEX bank_sum ON bank(sum)")
INVARIANT = "SELECT (SELECT sum(sum) FROM bank) = 50000, (SELECT n FROM seq)"
MOVE = ("BEGIN IMMEDIATE; UPDATE seq SET n = n + 1; UPDATE bank SET sum = sum - {a} WHERE id = {x}; "
        "UPDATE bank SET sum = sum + {a}, fill = randomblob({size}) WHERE id = {y}; COMMIT")


def bank(case, **options):
    """A scene with a daemon on a database whose sum of money is known."""
    scene = Scene(case, **options)
    scene.app.sql(BANK)
    scene.recorder.record("bank")
    scene.start()
    scene.sync()
    return scene


def move(scene, count=1, size=300):
    """So many recorded commits."""
    rng = scene.case.rng
    for _ in range(count):
        scene.app.sql(MOVE.format(a=rng.randrange(50), x=rng.randrange(1, 501), y=rng.randrange(1, 501), size=rng.randrange(1, size)))
        state = scene.recorder.record("move")
    return state


def is_restore_of(case, url, follower):
    """The copy, which nobody has open, is byte for byte the restore of its txid.  Returns the txid."""
    last = follower.events()[-1]
    args = ("--txid", last["txid"], "--timeline", last["timeline"])
    target = case.path(f"judge-{time.monotonic_ns()}.db")
    restore(case, url, target, *args)
    check(not os.path.exists(follower.copy + "-wal"), "the log of the copy is still there")
    equal(fingerprint_file(follower.copy).full, fingerprint_file(target).full, f"the copy and the restore of txid {last['txid']}")
    with open(follower.copy, "rb") as one, open(target, "rb") as other:
        check(one.read() == other.read(), "the copy is not the restored file, byte for byte")
    return last["txid"]


def in_use(case):
    """Readers read all the time, in old and new connections, while commits of all kinds come in."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    readers = [Reader(case, follower.copy, INVARIANT) for _ in range(2)]
    for number in range(case.options.commits or 60):
        move(scene)
        if number % 12 == 5:
            scene.app.sql("CREATE TABLE big AS SELECT id, randomblob(3000) AS b FROM bank")  # 500 pages, and a new schema
            scene.recorder.record("big")
        if number % 12 == 9:
            scene.app.sql("BEGIN; DROP TABLE big; UPDATE bank SET fill = zeroblob(10); UPDATE seq SET n = n + 1; COMMIT")
            scene.recorder.record("drop")
            scene.app.sql("VACUUM")
            scene.recorder.record("vacuum")
    txid = scene.sync()
    follower.wait_txid(txid)
    equal(follower.state().masked, scene.recorder.take().masked, "what readers see, and the source")
    for reader in readers:
        reader.end()
    follower.stop()
    check(is_restore_of(case, scene.url, follower) >= txid, "the copy stopped early")
    applied = follower.events("applied")
    check(sum(e["commits"] for e in applied) == follower.events()[-1]["txid"] - follower.events("ready")[0]["txid"],
          "the commits of the events do not add up")
    equal(follower.complaints(), "", "complaints")
    scene.end()


def log_stays_short(case):
    """The copy's log is started over, also when a reader holds it for a while."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    holder = sqlite3.connect(f"file:{follower.copy}?mode=ro", uri=True, isolation_level=None)
    holder.execute("BEGIN")
    before = holder.execute(INVARIANT).fetchone()
    for _ in range(4):
        scene.app.sql("UPDATE bank SET fill = randomblob(3000)")
        follower.wait_txid(scene.sync())
    equal(holder.execute(INVARIANT).fetchone(), before, "what a transaction sees")
    size = os.path.getsize(follower.copy + "-wal")
    check(size > 2000 * 4096, f"the log has {size} bytes: the case is too small")
    holder.execute("COMMIT")
    for _ in range(3):
        move(scene)
        follower.wait_txid(scene.sync())
    wait_until(lambda: os.path.getsize(follower.copy + "-wal") < 1 << 20, "the log is started over")
    equal(holder.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity_check")
    holder.close()
    follower.stop()
    is_restore_of(case, scene.url, follower)
    scene.end()


def log_limit(case):
    """A reader that never ends its transaction does not fill the disk: at the limit the copy waits for it."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db"), "--log-limit", "5MB").start()
    holder = sqlite3.connect(f"file:{follower.copy}?mode=ro", uri=True, isolation_level=None)
    holder.execute("BEGIN")
    holder.execute(INVARIANT).fetchone()
    began = len(follower.events())
    for _ in range(5):
        scene.app.sql("UPDATE bank SET fill = randomblob(3000)")
        txid = scene.sync()
    trouble = follower.wait_for("trouble", since=began)
    check("keeps a transaction open" in trouble["text"] and trouble["txid"] < txid, trouble)
    check(os.path.getsize(follower.copy + "-wal") < 5 * 2200000, "the log grew past the limit and one batch")
    holder.execute("COMMIT")
    follower.wait_for("again", since=began)
    follower.wait_txid(txid)
    holder.close()
    follower.stop()
    is_restore_of(case, scene.url, follower)
    scene.end()


def killed(case):
    """kill -9 at random moments, with readers attached or not: whoever opens the copy then reads a recorded state."""
    scene = bank(case)
    known = {}
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    reader = Reader(case, follower.copy, INVARIANT)
    rounds = case.options.seeds or 14
    for number in range(rounds):
        for _ in range(case.rng.randrange(2, 12)):
            move(scene, size=3000)
            time.sleep(case.rng.random() * 0.01)  # any moment will do
        if number == rounds // 2:
            reader.end()  # from here on the log of the copy is recovered by whoever comes first
        follower.kill()
        known.update({state.masked: place for place, state in enumerate(scene.recorder.states)})
        state = follower.state()
        check(state.masked in known, f"round {number}: the copy is no state that the source had")
        check(known[state.masked] >= known.get("last", 0), f"round {number}: the copy went back")
        known["last"] = known[state.masked]
        if number % 5 == 4:
            with sqlite3.connect(follower.copy) as db:
                equal(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity_check")
            db.close()
        follower.start(ready=number % 3 != 0)
    follower.wait_txid(scene.sync())
    equal(follower.state().masked, scene.recorder.take().masked, "the copy at the end")
    follower.stop()
    is_restore_of(case, scene.url, follower)
    scene.end()


def ahead_of_its_position(case):
    """The local state is older than the file, as after a power cut: the file's checksum tells where it is."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    follower.stop()
    state = case.path("old-state")
    case.copy(follower.copy + "-weir", state)
    follower.start()
    move(scene, 5)
    follower.wait_txid(scene.sync())
    follower.stop()
    txid = follower.events()[-1]["txid"]
    case.run("rm", "-r", follower.copy + "-weir")
    case.copy(state, follower.copy + "-weir")
    follower.start()
    equal(follower.wait_for("ready")["txid"], txid, "where the file is")
    move(scene, 2)
    follower.wait_txid(scene.sync())
    follower.stop()
    is_restore_of(case, scene.url, follower)
    scene.end()


def strangers(case):
    """Somebody writes to the copy, while it is followed and while it is not: exit 4, and it is said."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    stranger = Worker(case, follower.copy, "python")
    stranger.sql("INSERT INTO bank VALUES (1000, 0, NULL)")
    follower.wait_exit(DAMAGED)
    check("changed by somebody else" in follower.complaints() and "mode=ro" in follower.complaints(), follower.complaints())
    stranger.close()
    follower.start(ready=False)
    follower.wait_exit(DAMAGED)
    check("somebody else has written" in follower.complaints(), follower.complaints())
    again = Follower(case, scene.url, follower.copy, "--force").start()
    move(scene)
    again.wait_txid(scene.sync())
    again.stop()
    is_restore_of(case, scene.url, again)
    with sqlite3.connect(follower.copy) as db:
        db.execute("UPDATE seq SET n = n - 1")
    db.close()
    follower.start(ready=False)
    follower.wait_exit(DAMAGED)
    scene.end()


def far_behind(case):
    """Away while keys were folded, deleted and merged: one listing leads on."""
    scene = bank(case)
    scene.stop()
    scene.start("--fold-count", "4", "--fold-delete-after", "40ms")
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    move(scene)
    follower.wait_txid(scene.sync())
    follower.stop()
    at = follower.events()[-1]["txid"]
    for _ in range(40):
        move(scene)
        scene.sync()
    gone = f"t/00000001/log/{at + 1:016x}"
    wait_until(lambda: move(scene) and scene.sync() and gone not in scene.replica.list(), "the next key is deleted")
    txid = scene.sync()
    reader = Reader(case, follower.copy, INVARIANT)
    follower.start()
    follower.wait_txid(txid)
    equal(follower.events("rebased"), [], "the log was there")
    reader.end()
    follower.stop()
    is_restore_of(case, scene.url, follower)
    scene.end()


def snapshot_only(case):
    """The source loses its index: the next state is in a snapshot only, and readers of the copy go on through it."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    reader = Reader(case, follower.copy, INVARIANT)
    move(scene, 3)
    scene.sync()
    scene.stop()
    move(scene, 3)
    for name in os.listdir(scene.state_dir):
        if name.startswith("pages."):
            with open(os.path.join(scene.state_dir, name), "r+b") as file:
                file.truncate(60)
    scene.start()
    move(scene, 2)
    txid = scene.sync()
    follower.wait_for("rebased")
    follower.wait_txid(txid)
    equal(follower.state().masked, scene.recorder.take().masked, "the copy and the source")
    reader.end()
    follower.stop()
    check(not os.path.exists(follower.copy + "-weir/newest"), "the restored state was left beside the copy")
    is_restore_of(case, scene.url, follower)
    scene.end()


def damaged_segment(case):
    """A segment is damaged before the copy has it: a snapshot leads around it; without one it is exit 4, and the copy is as it was."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    follower.stop()
    at = follower.events()[-1]["txid"]
    move(scene, 2)
    scene.sync()
    key = f"t/00000001/log/{at + 1:016x}"
    wait_until(lambda: key in scene.replica.list(), "the segment")
    data = bytearray(scene.replica.read(key))
    data[len(data) // 2] ^= 0x40
    scene.replica.write(key, bytes(data))
    follower.start(ready=False)
    follower.wait_exit(DAMAGED)
    check(key in follower.complaints(), f"the message does not name the object\n{follower.complaints()}")
    is_restore_of(case, scene.url, follower)
    case.weir("snapshot", scene.db)
    move(scene)
    follower.start()
    follower.wait_for("rebased")
    follower.wait_txid(scene.sync())
    follower.stop()
    is_restore_of(case, scene.url, follower)
    scene.end()


def source_taken_over(case):
    """Another writer takes over the history at the copy's state: the copy follows it."""
    old = bank(case, name="old")
    follower = Follower(case, old.url, case.path("copy.db")).start()
    move(old, 3)
    follower.wait_txid(old.sync())
    new = restored_copy(case, old, "new")
    new.start(name="new")
    equal(follower.wait_for("timeline")["timeline"], 2, "timeline")
    move(new, 3)
    follower.wait_txid(new.sync())
    move(old)
    old.daemon.wait_exit(expect=FENCED)
    old.close()
    move(new)
    follower.wait_txid(new.sync())
    equal(follower.state().masked, new.recorder.take().masked, "the copy and the new writer's database")
    follower.stop()
    is_restore_of(case, new.url, follower)
    late = Follower(case, new.url, case.path("late.db"))
    late.start().stop()
    equal(late.events()[-1]["timeline"], 2, "timeline")
    new.end()


def taken_over_while_away(case):
    """The same while the copy is not followed."""
    old = bank(case, name="old")
    follower = Follower(case, old.url, case.path("copy.db")).start()
    follower.stop()
    move(old, 3)
    old.sync()
    new = restored_copy(case, old, "new")
    new.start(name="new")
    move(new, 3)
    txid = new.sync()
    follower.start()
    equal(follower.wait_txid(txid)["timeline"], 2, "timeline")
    follower.stop()
    is_restore_of(case, new.url, follower)
    move(old)
    old.daemon.wait_exit(expect=FENCED)
    old.close()
    new.end()


def left_behind(case):
    """The history goes on from an earlier state than the copy has: it is explained, and the copy stays."""
    old = bank(case, name="old")
    follower = Follower(case, old.url, case.path("copy.db")).start()
    txid = old.sync()
    move(old, 5)
    follower.wait_txid(old.sync())
    past = Scene(case, "past", replica=old.replica, create=False)
    restore(case, old.url, past.db, "--txid", txid)
    past.open()
    past.start(name="past")
    follower.wait_exit(FENCED)
    check("has left the state" in follower.complaints() and f"goes on from txid {txid}" in follower.complaints(), follower.complaints())
    equal(follower.state().masked, old.recorder.take().masked, "the copy")
    follower.start(ready=False)
    follower.wait_exit(FENCED)
    again = Follower(case, old.url, follower.copy, "--force").start()
    past.app.sql("UPDATE seq SET n = 1000")
    again.wait_txid(past.sync())
    again.stop()
    is_restore_of(case, old.url, again)
    move(old)
    old.daemon.wait_exit(expect=FENCED)
    old.close()
    past.end()


def promoted(case, kill=False):
    """The writer hangs, the copy takes over; the old writer wakes up and is fenced, and nothing is mixed."""
    old = bank(case, name="old")
    new = Scene(case, "copy", replica=old.replica, create=False)
    follower = Follower(case, old.url, new.db).start()
    move(old, 5)
    follower.wait_txid(old.sync())
    os.kill(old.daemon.pid, signal.SIGSTOP)
    reader = Reader(case, follower.copy, INVARIANT)
    lost = move(old, 2)  # the application does not know
    if kill:
        follower.kill()
    else:
        follower.stop()
    new.open()
    new.start(name="promoted")
    move(new, 4)
    new.sync()
    reader.end()
    os.kill(old.daemon.pid, signal.SIGCONT)
    old.daemon.wait_exit(expect=FENCED)
    last = move(new, 2)
    new.end()
    old.close()
    commits = restore_all(case, new.url, log_of(case, new.url))
    equal(commits[-1].state.masked, last.masked, "tip")
    check(all(c.state.masked != lost.masked for c in commits), "a commit of the fenced writer is in the history")
    check(not any(c.resync for c in commits[1:]), "the new writer resynchronised, though the copy was exact")
    equal({c.timeline for c in commits}, {1, 2}, "timelines")
    done = case.weir("restore", new.url, "-o", follower.copy, "--follow", expect=1)
    check("was replicated from here" in done.stderr, f"following a writer's database: {done.stderr}")


def promoted_after_a_kill(case):
    """The same, and the follower is killed."""
    promoted(case, kill=True)


def promoted_ahead_of_its_position(case):
    """The same after a power cut, which took the newest positions: the file is the tip, and that counts."""
    old = bank(case, name="old")
    new = Scene(case, "copy", replica=old.replica, create=False)
    follower = Follower(case, old.url, new.db).start()
    follower.stop()
    state = case.path("old-state")
    case.copy(new.state_dir, state)
    follower.start()
    move(old, 3)
    follower.wait_txid(old.sync())
    follower.kill()
    old.stop()
    case.run("rm", "-r", new.state_dir)
    case.copy(state, new.state_dir)
    new.open()
    new.start(name="promoted")
    last = move(new, 2)
    new.end()
    old.start(ready=False).wait_exit(expect=FENCED)
    old.close()
    commits = restore_all(case, new.url, log_of(case, new.url))
    equal(commits[-1].state.masked, last.masked, "tip")
    check(not any(c.resync for c in commits[1:]), "the new writer resynchronised, though the copy was exact")


def not_beside_each_other(case):
    """A copy that is followed cannot be replicated, nor followed twice, nor replaced."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    second = case.weir("restore", scene.url, "-o", follower.copy, "--follow", expect=1)
    check(str(follower.pid) in second.stderr, f"the message does not name the process: {second.stderr}")
    replicate = case.weir("replicate", follower.copy, scene.url, expect=(1, FENCED))
    check(str(follower.pid) in replicate.stderr, f"the message does not name the process: {replicate.stderr}")
    case.weir("restore", scene.url, "-o", follower.copy, "--force", expect=1)
    move(scene)
    follower.wait_txid(scene.sync())
    follower.stop()
    is_restore_of(case, scene.url, follower)
    scene.end()


def removed_under_it(case):
    """The copy is replaced by another file: nothing is written to that one."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    os.rename(follower.copy, follower.copy + ".old")
    follower.wait_exit(1)
    check("removed or replaced" in follower.complaints(), follower.complaints())
    check(not os.path.exists(follower.copy), "the file is there again")
    scene.end()


def usage(case):
    """What cannot stand together, and files that are no copies."""
    scene = bank(case)
    for args in (("--txid", "1"), ("--timestamp", "2026-01-01T00:00:00Z"), ("--timeline", "1"), ("--dry-run",), ("--no-state",),
                 ("--before", "2"), ("--if-db-not-exists",), ("--interval", "0ms"), ("--interval", "2h"), ("--log-limit", "1kB")):
        case.weir("restore", scene.url, "-o", case.path("x.db"), "--follow", *args, expect=2)
    case.weir("restore", scene.url, "-o", case.path("x.db"), "--interval", "1s", expect=2)
    check(not os.path.exists(case.path("x.db")), "a file was made all the same")
    restore(case, scene.url, case.path("plain.db"), "--no-state")
    done = case.weir("restore", scene.url, "-o", case.path("plain.db"), "--follow", expect=1)
    check("--force" in done.stderr, done.stderr)
    restore(case, scene.url, case.path("restored.db"))
    follower = Follower(case, scene.url, case.path("restored.db")).start()  # a restored file will do
    equal(follower.events()[0].get("event"), "ready", "the first line of a copy that is gone on with")
    move(scene)
    follower.wait_txid(scene.sync())
    follower.stop()
    case.weir("restore", case.replica("other").url, "-o", follower.copy, "--follow", expect=3)
    is_restore_of(case, scene.url, follower)
    scene.end()


def events(case):
    """The lines, for programs and for people."""
    scene = bank(case)
    follower = Follower(case, scene.url, case.path("copy.db")).start()
    first = follower.events()[0]
    check(first["restored"] is True and first["txid"] >= 1, f"the first line: {first}")
    move(scene)
    event = follower.wait_txid(scene.sync())
    for name in ("timeline", "txid", "time", "time_ms", "checksum", "commits", "pages", "page_count", "log_frames", "lag_ms", "text"):
        check(name in event, f"no {name} in {event}")
    check(event["checksum"] == json.loads(case.weir("log", scene.url, "--json").stdout.splitlines()[-1])["checksum"], "checksum")
    follower.wait_for("current")
    follower.stop()
    process = case.spawn([case.options.weir, "restore", scene.url, "-o", follower.copy, "--follow"], stdout=-1, stderr=-1, text=True)
    line = process.stdout.readline()
    check(line.startswith("following from txid "), line)
    process.send_signal(signal.SIGINT)
    process.wait()
    equal((process.returncode, process.stderr.read()), (0, ""), "SIGINT")
    scene.end()


def requests(case):
    """One GET for the next key, and no listing, whatever comes: counted by a proxy before the server."""
    if case.options.store.kind == "file":
        raise Skip("counts requests to an S3 server: --store s3")
    scene = bank(case)
    follower = Follower(case, case.proxied_replica().url, case.path("copy.db")).start()
    follower.wait_for("current")
    mark, began = case.proxy.mark(), len(follower.events())
    for _ in range(25):
        move(scene)
        follower.wait_txid(scene.sync())
    follower.wait_for("current", since=began)
    seen = case.proxy.summary(mark)
    diag(f"25 commits: {seen}")
    equal(set(seen), {"GET"}, "kinds of requests")
    follower.stop()
    rare = Follower(case, case.proxied_replica().url, follower.copy, interval="1h")  # what it asks belongs to its start
    mark = case.proxy.mark()
    rare.start().wait_for("current")
    start = case.proxy.summary(mark)
    diag(f"a start: {start}")
    check(start["LIST"] <= 2 and sum(start.values()) <= 6, f"requests of a start: {start}")
    rare.stop()
    slow = Follower(case, case.proxied_replica().url, follower.copy, interval="300ms")
    slow.start().wait_for("current")
    mark = case.proxy.mark()
    wait_until(lambda: case.proxy.mark() >= mark + IDLE_REQUESTS, "more requests of an idle follower")
    idle = case.proxy.requests[mark:mark + IDLE_REQUESTS]
    seconds = idle[-1].began - idle[0].began
    diag(f"{IDLE_REQUESTS} requests while idle: {seconds:.1f} s")
    equal({record.kind for record in idle}, {"GET"}, "kinds of requests while idle")
    check(seconds > (IDLE_REQUESTS - 1) * 0.29, f"{IDLE_REQUESTS} requests within {seconds:.1f} s")
    slow.stop()
    scene.end()


def server_away(case):
    """The server is away for a while: it is said once, the copy stays readable, and it goes on by itself."""
    if case.options.store.kind == "file":
        raise Skip("needs an S3 server behind a proxy: --store s3")
    from servers import faults  # pylint: disable=import-outside-toplevel
    scene = bank(case)
    follower = Follower(case, case.proxied_replica().url, case.path("copy.db")).start()
    follower.wait_for("current")
    reader = Reader(case, follower.copy, INVARIANT)
    with case.proxy.failing(faults.Answer(503)):
        move(scene, 2)
        scene.sync()
        follower.wait_for("trouble")
    follower.wait_for("again")
    follower.wait_txid(scene.sync())
    equal(len(follower.events("trouble")), 1, "how often it was told")
    reader.end()
    with case.proxy.failing(faults.BlackHole()) as hole:
        wait_until(lambda: hole.met, "a question that nobody answers")
        follower.stop()  # what is under way does not keep it
    scene.end()
    follower.start()
    follower.stop()
    is_restore_of(case, scene.url, follower)
    check("503" in tail(follower.complaints()) or follower.events("trouble")[0]["text"], "the reason is not told")


def cases(_options):
    """All of them."""
    return [
        ("in use", in_use), ("the log stays short", log_stays_short), ("the log has a limit", log_limit), ("killed", killed), ("ahead of its position", ahead_of_its_position),
        ("strangers", strangers), ("far behind", far_behind), ("snapshot only", snapshot_only), ("a damaged segment", damaged_segment),
        ("the source is taken over", source_taken_over), ("taken over while away", taken_over_while_away),
        ("left behind", left_behind), ("promoted", promoted), ("promoted after a kill", promoted_after_a_kill),
        ("promoted ahead of its position", promoted_ahead_of_its_position),
        ("not beside each other", not_beside_each_other), ("removed under it", removed_under_it), ("usage", usage), ("events", events),
        ("requests", requests), ("the server is away", server_away),
    ]
