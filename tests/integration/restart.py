# SPDX-License-Identifier: Apache-2.0
"""restart: the daemon was away, or its files are not what they were.

Rows 1, 11 and 13 of the failures known from this field: the log is reset while nobody watches; the database is replaced,
deleted or brought back from an old disk; the local state is lost.  In every story: what the replica had is still
restorable by txid, the tip is the source, and what was skipped is marked as a resync, or the daemon refuses and says why.
"""

import os
import re
import signal
import sqlite3
import sys

from lib.case import tail, wait_until
from lib.daemon import Daemon
from lib.scene import Scene
from lib.tap import check, diag, equal

USAGE, FENCED = 2, 5


def away(case, how, story, page_size=4096, lossless=False):
    """Start, commit, the daemon goes away, `story` happens, the daemon comes back, commits go on."""
    scene = Scene(case, page_size=page_size)
    scene.start()
    scene.commit(4)
    scene.sync()
    if how == signal.SIGKILL:
        scene.daemon.kill()
    else:
        scene.stop(sig=how)
    story(scene)
    if not scene.app:
        scene.open()
    scene.start()
    scene.commit(3)
    scene.end()
    commits = scene.verify(gaps=not lossless)
    scene.verify_tip()
    return scene, commits


def story_nothing(scene):
    """Nobody commits."""


def story_commits(scene):
    """Commits, the log goes on."""
    scene.commit(5)


def story_checkpoint(scene):
    """Commits and checkpoints, the log is not reset."""
    scene.commit(2)
    scene.app.sql("PRAGMA wal_checkpoint(PASSIVE)")


def story_one_reset(scene):
    """The log is reset once and is shorter than before: the old tail is still behind it."""
    scene.commit(6, size=9000)
    scene.reset_log(1)


def story_overwritten(scene):
    """The log is reset once and written past the point where we were."""
    scene.commit(1)
    scene.reset_log(20)


def story_resets(scene):
    """Several generations are missed."""
    for _ in range(4):
        scene.reset_log(3)


def story_truncate(scene):
    """The log is cut to nothing and grows again."""
    scene.commit(2)
    scene.app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    scene.commit(2)


def story_autocheckpoint(scene):
    """The default autocheckpoint of an application resets the log: what broke Litestream in 6 of 6 runs."""
    scene.app.sql("PRAGMA wal_autocheckpoint=1000")
    scene.app.sql("BEGIN; WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 1300) "
                  "INSERT INTO t(k, v) SELECT i, randomblob(4000) FROM c; COMMIT")
    scene.recorder.record("1,300 pages")
    scene.rows += 1300
    scene.commit(6)


def story_last_closed(scene):
    """The last connection is closed: SQLite checkpoints and deletes the log."""
    scene.commit(2)
    scene.close()
    check(not os.path.exists(scene.db + "-wal"), "SQLite was expected to delete the log")


def story_closed_and_written(scene):
    """The log is deleted, and a new one written."""
    story_last_closed(scene)
    scene.open()
    scene.commit(3)


def story_vacuum(scene):
    """Every page moves, the file shrinks."""
    scene.app.sql("DELETE FROM t WHERE id % 2")
    scene.recorder.record("delete")
    scene.app.sql("VACUUM")
    scene.recorder.record("vacuum")
    scene.app.sql("PRAGMA wal_checkpoint(TRUNCATE)")


def story_app_killed(scene):
    """The application dies as well; the log has to be recovered by who comes first."""
    scene.commit(2)
    scene.app.kill()
    scene.app = None


def story_state_lost(scene):
    """The local state is deleted; the file is still the tip of the history."""
    scene.case.run("rm", "-r", scene.state_dir)


# story -> True when nothing may be lost: the log holds every commit since the last shipment.
STORIES = {
    story_nothing: True, story_commits: True, story_checkpoint: True, story_one_reset: False, story_overwritten: False,
    story_resets: False, story_truncate: False, story_autocheckpoint: False, story_last_closed: False,
    story_closed_and_written: False, story_vacuum: False, story_app_killed: True, story_state_lost: True,
}


def state_lost_and_changed(case):
    """Without local state, a file that is no state of the history is refused; --adopt goes on with it."""
    scene = Scene(case)
    scene.start()
    scene.commit(4)
    tip = scene.sync()
    scene.stop()
    case.run("rm", "-r", scene.state_dir)
    scene.commit(3)
    refused = scene.start(ready=False)
    refused.wait_exit(expect=USAGE)
    text = refused.log()
    check(scene.db in text and scene.replica.name in text and str(tip) in text,
          f"the refusal does not name the file, the replica and its txid {tip}:\n{tail(text)}")
    check("--adopt" in text, f"the refusal does not say which option solves it:\n{tail(text)}")
    equal(len(scene.log()), tip, "commits in the replica after the refusal")
    scene.start("--adopt")
    scene.commit(2)
    scene.end()
    commits = scene.verify(gaps=True)
    check(any(c.resync for c in commits), "the adoption is not marked as a resync")


def replace_file(scene, other):
    """Put another database at the path, as a deployment script does: rename over it."""
    scene.case.run("rm", "-f", scene.db + "-wal", scene.db + "-shm")
    os.rename(other, scene.db)


def foreign_database(case, name):
    """A closed database that never was a state of the history."""
    path = case.path(name)
    case.run("sqlite3", path, "PRAGMA journal_mode=WAL; CREATE TABLE foreigner(a); "
             "WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 500) "
             "INSERT INTO foreigner SELECT randomblob(500) FROM c")
    return path


def check_untouched(scene, commits):
    """The first commits of the replica are what they were."""
    for commit in commits:
        equal(scene.tip(txid=commit.txid, timeline=commit.timeline).full, commit.state.full,
              f"txid {commit.txid} of timeline {commit.timeline}")


def shipped_and_closed(case):
    """A scene whose daemon runs and has shipped all, and whose application is gone; and the commits of its replica."""
    scene = Scene(case)
    scene.start()
    scene.commit(3)
    scene.sync()
    scene.close()
    return scene, scene.verify()


def check_taken_or_refused(scene, before):
    """The daemon was started on a file that is not the one it knew, with its local state in place: it refuses, or ships
    the difference as a resync and says so.  The history before that stays as it was."""
    scene.start(ready=False)
    wait_until(lambda: not scene.daemon.alive()
               or scene.case.weir("sync", scene.db, "--wait", expect=None).returncode == 0, "a decision")
    if scene.daemon.alive():
        check(re.search(r"warn|error", scene.daemon.log()), f"taken without a word\n{tail(scene.daemon.log())}")
        scene.stop()
        equal(scene.tip().masked, scene.recorder.take().masked, "tip and the new file")
    else:
        check(scene.daemon.wait_exit() in (USAGE, FENCED), f"exit {scene.daemon.exit_code()}\n{tail(scene.daemon.log())}")
        check(scene.db in scene.daemon.log(), f"the refusal does not name the file\n{tail(scene.daemon.log())}")
        equal(len(scene.log()), len(before), "commits in the replica after the refusal")
    for commit in scene.log()[len(before):len(before) + 1]:
        check(commit.resync, f"txid {commit.txid} is not marked as a resync: {commit.raw}")
    check_untouched(scene, before)


def replaced_while_stopped(case):
    """Another file at the path while the daemon is down."""
    scene = Scene(case)
    scene.start()
    scene.commit(3)
    scene.end()
    before = scene.verify()
    replace_file(scene, foreign_database(case, "other.db"))
    check_taken_or_refused(scene, before)


def replaced_while_running(case):
    """Another file at the path under the running daemon: noticed, said, never mixed into the history."""
    scene, before = shipped_and_closed(case)
    mark = len(scene.daemon.log())
    replace_file(scene, foreign_database(case, "other.db"))
    case.run("sqlite3", "-cmd", ".timeout 60000", scene.db, "PRAGMA journal_mode=WAL; INSERT INTO foreigner VALUES (randomblob(3000))")
    wait_until(lambda: re.search(r"replac|delet|inode|moved|another file|not the (same|file)", scene.daemon.log_since(mark)),
               "a log line that says that the file was replaced")
    if scene.daemon.alive():
        done = case.weir("sync", scene.db, "--wait", expect=None)
        diag(f"sync after the replacement: exit {done.returncode} {done.stderr.strip()[:200]}")
        scene.daemon.process.terminate()
    code = scene.daemon.wait_exit()
    diag(f"exit {code}")
    check_untouched(scene, before)
    for commit in scene.log()[len(before):len(before) + 1]:  # what is committed after the comparison is a commit like any other
        check(commit.resync, f"txid {commit.txid} after the replacement is not marked as a resync: {commit.raw}")


def emptied_while_running(case):
    """Somebody truncates the file under the running daemon: told, no green light, and what was shipped stays."""
    scene, before = shipped_and_closed(case)
    os.truncate(scene.db, 0)
    wait_until(lambda: "was emptied" in scene.daemon.log(), "a log line that says so")
    wait_until(lambda: re.search("state +waiting", case.weir("status", scene.db, expect=1).stdout), "the status says that it waits")
    check_untouched(scene, before)
    case.run("sqlite3", "-cmd", ".timeout 60000", scene.db, "PRAGMA journal_mode=WAL; CREATE TABLE begun_anew(x)")
    case.weir("sync", scene.db, "--wait")
    check_untouched(scene, before)
    check(scene.log()[len(before)].resync, "what is there now is not marked as a resync")
    scene.verify_tip()
    scene.end()


def deleted_and_recreated(case, running):
    """The application removes its database and makes a new one at the same path."""
    scene = Scene(case)
    scene.start()
    scene.commit(3)
    scene.sync()
    before = scene.verify()
    if not running:
        scene.stop()
    scene.close()
    mark = len(scene.daemon.log())
    case.run("rm", "-f", scene.db, scene.db + "-wal", scene.db + "-shm")
    case.run("sqlite3", "-cmd", ".timeout 60000", scene.db, "PRAGMA journal_mode=WAL; CREATE TABLE fresh(a); INSERT INTO fresh VALUES (1)")
    if running:
        wait_until(lambda: scene.daemon.log_since(mark).strip(), "any log line about the deleted database")
        if scene.daemon.alive():
            scene.daemon.process.terminate()
        scene.daemon.wait_exit()
    else:
        check_taken_or_refused(scene, before)
    check_untouched(scene, before)
    for commit in scene.log()[len(before):len(before) + 1]:
        check(commit.resync, f"txid {commit.txid} is not marked as a resync: {commit.raw}")


def old_disk(case, fork):
    """An old image of the disk, database and local state, comes back: refused, or forked when told to."""
    scene = Scene(case)
    scene.start()
    scene.commit(4)
    old_txid = scene.sync()
    scene.end()
    image = scene.save("old-disk")
    scene.open()
    scene.start()
    scene.commit(5)
    scene.end()
    before = scene.verify(gaps=True)
    scene.bring_back(image)
    refused = scene.start(ready=False)
    refused.wait_exit(expect=FENCED)
    check("--fork" in refused.log(), f"the refusal does not say which option solves it\n{tail(refused.log())}")
    equal([c.raw for c in scene.log()], [c.raw for c in before], "weir log before and after the refusal")
    if not fork:
        return
    scene.open()
    scene.start("--fork")
    fork_states = [scene.commit() for _ in range(3)]
    scene.end()
    check_untouched(scene, before)
    lines = case.weir("log", scene.url, "--json").stdout.splitlines()
    timelines = sorted({line.timeline for line in scene.log()})
    diag(f"{len(lines)} commits, timelines {timelines}, forked after txid {old_txid}")
    check(len(timelines) >= 2, f"the fork made no timeline of its own: {timelines}")
    equal(scene.tip().masked, fork_states[-1].masked, "tip after the fork")
    equal(scene.tip(timeline=timelines[0]).full, before[-1].state.full, "tip of the parent timeline")


def wal_commits(path):
    """End offsets of the commits in a log that nobody has open."""
    with open(path, "rb") as file:
        data = file.read()
    page_size = int.from_bytes(data[8:12], "big")
    salts, ends = data[16:24], []
    for at in range(32, len(data) - page_size - 23, page_size + 24):
        if data[at + 8:at + 16] != salts:
            break
        if data[at + 4:at + 8] != bytes(4):
            ends.append(at + 24 + page_size)
    return ends


def machine_crash(case, lost):
    """A power cut takes the last commits of the log away, though they were shipped."""
    scene = Scene(case)
    scene.start()
    scene.commit(8)
    txid = scene.sync()
    shipped = scene.verify()
    scene.daemon.kill()
    scene.app.kill()
    scene.app = None
    ends = wal_commits(scene.db + "-wal")
    check(len(ends) > lost, f"only {len(ends)} commits in the log")
    os.truncate(scene.db + "-wal", ends[-1 - lost])
    case.run("rm", "-f", scene.db + "-shm")
    scene.open()  # first, so that the look below is not the last connection, which would delete the log
    equal(scene.recorder.take().full, shipped[-1 - lost].state.full, "source after the power cut")
    scene.start()
    log = scene.daemon.log()
    check(re.search(r"warn|error", log, re.I), f"the daemon does not report that shipped commits are gone\n{tail(log)}")
    last = [scene.commit() for _ in range(3)][-1]
    scene.end()
    commits = scene.log()
    equal(scene.tip().masked, last.masked, "tip")
    check_untouched(scene, shipped)
    new = [c for c in commits if c.txid > txid or c.timeline != shipped[0].timeline]
    check(new and new[0].resync, f"the first commit after the power cut is not a resync: {[c.raw for c in new[:2]]}")


def stop_under_load(case):
    """SIGTERM while writers never pause: what was committed before it is shipped, and the daemon ends with 0."""
    scene = Scene(case)
    scene.start()
    scene.commit(2)
    loop = ("import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n"
            "c.execute('PRAGMA synchronous=OFF')\n"
            "while True: c.executescript(f'BEGIN IMMEDIATE; INSERT INTO t(k, v) VALUES ({sys.argv[2]}, randomblob(30000)); COMMIT;' * 50)\n")
    writers = [case.spawn([sys.executable, "-c", loop, scene.db, str(-number)]) for number in (1, 2, 3)]
    try:
        first = sqlite3.connect(scene.db, timeout=60)
        busy = "SELECT count(*) FROM (SELECT k FROM t WHERE k < 0 GROUP BY k HAVING count(*) >= 50)"
        wait_until(lambda: first.execute(busy).fetchone()[0] == len(writers), "all writers to be at full speed")
        before = first.execute("SELECT count(*) FROM t").fetchone()[0]
        first.close()
        scene.stop()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    target = case.path("stopped.db")
    case.weir("restore", scene.url, "-o", target)
    copy = sqlite3.connect(target)
    after = copy.execute("SELECT count(*) FROM t").fetchone()[0]
    copy.close()
    check(after >= before, f"{before} rows were committed before SIGTERM, {after} are in the replica")
    scene.start()
    scene.end()
    scene.verify_tip()


def several_signals(case):
    """Two signals of one moment, as from a terminal and a wrapper that passes them on, are one; who goes on asking ends it at once."""
    scene = Scene(case)
    scene.start()
    scene.commit(2)
    scene.sync()
    process = scene.daemon.process
    process.send_signal(signal.SIGSTOP)
    scene.commit(3)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        process.send_signal(number)
    scene.daemon.wait_exit(expect=0)
    scene.verify_tip()
    if case.options.store.kind != "file":
        scene.close()
        return
    place = scene.url.removeprefix("file://")
    scene.start("--shutdown-timeout", "1h")
    os.rename(place, place + ".away")
    with open(place, "w", encoding="utf-8"):
        pass
    scene.commit()
    process = scene.daemon.process
    wait_until(lambda: process.poll() is not None or process.send_signal(signal.SIGTERM), "the impatient end", pause=0.1)
    scene.daemon.wait_exit(expect=1)
    check("second signal: ending at once" in scene.daemon.log(), tail(scene.daemon.log()))
    os.unlink(place)
    os.rename(place + ".away", place)
    scene.start()
    scene.end()
    scene.verify()


def two_daemons(case):
    """A second daemon on the same database is turned away and the first does not notice."""
    scene = Scene(case)
    scene.start()
    scene.commit(2)
    second = Daemon(case, scene.db, scene.url, name="second").start(ready=False)
    code = second.wait_exit()
    check(code != 0, "the second daemon ended as if all were well")
    check(scene.db in second.log(), f"the second daemon does not say what is taken\n{tail(second.log())}")
    scene.commit(3)
    scene.end()
    scene.verify()


def copied_onto_other_path(case):
    """Two daemons, one on a plain copy of the database with its state, both on one replica: nothing is ever mixed."""
    scene = Scene(case)
    scene.start()
    scene.commit(3)
    scene.end()
    twin_db = case.path("twin.db")
    case.copy(scene.db, twin_db)
    case.copy(scene.state_dir, twin_db + "-weir")
    scene.open()
    scene.start()
    twin = Scene(case, "twin", replica=scene.replica, create=False)
    twin.open()
    twin.rows = scene.rows
    twin.daemon = Daemon(case, twin.db, twin.url, name="twin")
    twin.daemon.start(ready=False)
    wait_until(lambda: not twin.daemon.alive() or case.weir("sync", twin.db, "--wait", expect=None).returncode == 0
               or not scene.daemon.alive(), "either daemon to give way or to be fenced")
    ours = scene.commit(2)
    if not case.options.store.conditional and scene.daemon.alive() and twin.daemon.alive():
        scene.sync()  # such a store shows a writer what is there already, but not which of two came first
    theirs = twin.commit(2)
    wait_until(lambda: not (scene.daemon.alive() and twin.daemon.alive()), "one of two writers of one replica to stop")
    loser, winner, state = (scene, twin, theirs) if not scene.daemon.alive() else (twin, scene, ours)
    code = loser.daemon.wait_exit(expect=(FENCED, 1))
    diag(f"{os.path.basename(loser.db)} gave way with exit {code}")
    winner.sync()
    equal(winner.tip().masked, state.masked, "tip of the replica and the winner's state")
    winner.end()
    loser.close()


def cases(_options):
    """One case per story and way to stop."""
    found = []
    for story, lossless in STORIES.items():
        for how in (signal.SIGTERM, signal.SIGKILL):
            name = f"{story.__name__[6:].replace('_', ' ')} after {signal.Signals(how).name}"
            found.append((name, lambda case, a=how, b=story, c=lossless: away(case, a, b, lossless=c)))
    found += [
        ("one reset, small pages", lambda case: away(case, signal.SIGKILL, story_one_reset, 512)),
        ("resets, large pages", lambda case: away(case, signal.SIGINT, story_resets, 65536)),
        ("state lost and file changed", state_lost_and_changed),
        ("replaced while stopped", replaced_while_stopped),
        ("replaced while running", replaced_while_running), ("emptied while running", emptied_while_running),
        ("deleted and recreated while stopped", lambda case: deleted_and_recreated(case, False)),
        ("deleted and recreated while running", lambda case: deleted_and_recreated(case, True)),
        ("old disk refused", lambda case: old_disk(case, False)),
        ("old disk forked", lambda case: old_disk(case, True)),
        ("machine crash lost one commit", lambda case: machine_crash(case, 1)),
        ("machine crash lost five commits", lambda case: machine_crash(case, 5)),
        ("stopped while writers never pause", stop_under_load),
        ("several signals", several_signals),
        ("two daemons on one database", two_daemons),
        ("two copies on one replica", copied_onto_other_path),
    ]
    return found
