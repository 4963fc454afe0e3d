# SPDX-License-Identifier: Apache-2.0
"""bad_input: what is not a database, not permitted, not there, full, damaged, or not possible.

Each case ends with a message that names what it is about and an exit status of the documented list; nothing hangs,
nothing that existed is changed.
"""

import contextlib
import datetime
import os
import random
import re
import signal
import subprocess
import time

from lib.case import tail, wait_until
from lib.daemon import Daemon, restore, restore_all, restore_state
from lib.history import fingerprint_file
from lib.replica import DirReplica
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal

NOBODY = 65534
USAGE, NO_BACKUP, DAMAGED = 2, 3, 4


# --- databases -----------------------------------------------------------------------------------------------


def real_database(case, name, pages=20):
    """The bytes of a sound database."""
    path = case.path(name)
    case.run("sqlite3", path, "CREATE TABLE t(a); WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c "
             f"WHERE i < {pages}) INSERT INTO t SELECT randomblob(4000) FROM c")
    with open(path, "rb") as file:
        return bytearray(file.read())


def corrupt_header(case):
    """A page size that cannot be."""
    data = real_database(case, "source.db")
    data[16:18] = b"\x03\x03"
    return bytes(data)


UNUSABLE = {
    "a text file": (lambda case: b"this is no database, it only has the name of one\n" * 200, r"not a (SQLite )?database|no SQLite"),
    "a DuckDB file": (lambda case: bytes(8) + b"DUCK" + bytes(12276), r"DuckDB"),
    "a corrupt header": (corrupt_header, r"header|page size|not a database|corrupt|malformed"),
    "an encrypted file": (lambda case: random.Random(7).randbytes(16384), r"not a (SQLite )?database|encrypted"),
}


def unusable(case, make, pattern):
    """The daemon refuses the file, says what it is, and leaves it and the replica alone."""
    db, replica = case.path("app.db"), case.replica()
    data = make(case)
    with open(db, "wb") as file:
        file.write(data)
    daemon = Daemon(case, db, replica.url).start(ready=False)
    code = daemon.wait_exit()
    check(code in (1, USAGE, DAMAGED), f"exit {code}, expected 1, {USAGE} or {DAMAGED}\n{tail(daemon.log())}")
    check(re.search(pattern, daemon.log(), re.I), f"no {pattern!r} in the message\n{tail(daemon.log())}")
    check(db in daemon.log(), f"the message does not name {db}\n{tail(daemon.log())}")
    with open(db, "rb") as file:
        check(file.read() == data, "the file was changed")
    stored = sorted(replica.list())
    check(not any("snap" in name for name in stored), f"something was stored for it: {stored}")


def a_folder(case):
    """A folder where a database is expected."""
    db = case.path("app.db")
    os.mkdir(db)
    daemon = Daemon(case, db, case.replica().url).start(ready=False)
    check(daemon.wait_exit() in (1, USAGE) and db in daemon.log(), f"{tail(daemon.log())}")


def appears_later(case, empty):
    """No database yet (or an empty file): the daemon waits and takes it up when the application makes it."""
    scene = Scene(case, create=False)
    if empty:
        with open(scene.db, "wb"):
            pass
    scene.start(ready=False)
    wait_until(lambda: "waiting for the database" in scene.daemon.log() or not scene.daemon.alive(), "the daemon to wait")
    time.sleep(0.5)  # the subject: it goes on waiting
    check(scene.daemon.alive(), f"the daemon did not wait, exit {scene.daemon.exit_code()}\n{tail(scene.daemon.log())}")
    check(os.path.exists(scene.db) == empty, "the daemon made a database of its own")
    scene.open()
    scene.app.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v BLOB)")
    scene.rows = 0
    scene.daemon.wait_ready()
    scene.commit(3)
    scene.end()
    equal(scene.tip().masked, scene.recorder.states[-1].masked, "tip")


def appears_behind_links(case):
    """The database's path is a link to a link to a file that the application has yet to make, in another folder."""
    os.makedirs(case.path("data"))
    os.symlink("data/second", case.path("app.db"))
    os.symlink(case.path("data", "real.db"), case.path("data", "second"))
    scene = Scene(case, create=False)
    scene.start(ready=False)
    wait_until(lambda: "waiting for the database" in scene.daemon.log() or not scene.daemon.alive(), "the daemon to wait")
    scene.open()
    scene.app.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v BLOB)")
    scene.rows = 0
    scene.daemon.wait_ready()
    check(os.path.isdir(case.path("data", "real.db-weir")), "the local state is not beside the database")
    scene.commit(3)
    scene.end()
    equal(scene.tip().masked, scene.recorder.states[-1].masked, "tip")


def closed_descriptors(case):
    """Standard input, output and error are closed: nothing that is opened later may be taken for them."""
    scene = Scene(case)
    for closed in ((2,), (0, 1, 2), (1,), (0,)):
        def close(closed=closed):
            for fd in closed:
                os.close(fd)
        scene.start("--log-level", "trace", preexec_fn=close)
        scene.commit(3)
        scene.sync()
        for fd in closed:
            equal(os.readlink(f"/proc/{scene.daemon.pid}/fd/{fd}"), "/dev/null", f"descriptor {fd}")
        scene.stop()
        target = case.path("-".join(map(str, closed)) + ".db")
        case.weir("restore", scene.url, "-o", target, preexec_fn=close, expect=1 if 1 in closed else 0)  # what it prints is lost
        equal(fingerprint_file(target).masked, scene.recorder.states[-1].masked, "the restored file")
    scene.end()
    scene.verify()


def long_path(case):
    """As long as SQLite takes it (512 bytes with the name of the log), and so is the path of the control socket."""
    folder = case.path()
    while len(folder) + 101 < 490:
        folder = os.path.join(folder, "d" * 100)
    name = "n" * (490 - len(folder) - 4)
    os.makedirs(folder)
    scene = Scene(case, name=os.path.relpath(os.path.join(folder, name), case.path()))
    scene.start()
    scene.commit(3)
    scene.end()
    scene.verify()


def stopped_while_waiting(case):
    """SIGTERM ends a daemon that waits for its database, with 0: there is nothing to ship."""
    daemon = Daemon(case, case.path("app.db"), case.replica().url).start(ready=False)
    wait_until(lambda: "waiting for the database" in daemon.log(), "a log line that says that it waits")
    daemon.stop()


def rollback_mode(case, switch):
    """A database in rollback mode is switched to WAL, unless that is forbidden."""
    scene = Scene(case, create=False)
    case.run("sqlite3", scene.db, "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v BLOB)")
    before = fingerprint_file(scene.db)
    if not switch:
        scene.start("--no-switch", ready=False)
        code = scene.daemon.wait_exit()
        check(code in (1, USAGE), f"exit {code}\n{tail(scene.daemon.log())}")
        check(re.search("journal_mode|WAL", scene.daemon.log()), f"the message does not say why\n{tail(scene.daemon.log())}")
        equal(fingerprint_file(scene.db).full, before.full, "the file")
        return
    scene.start()
    scene.open()
    equal(scene.app.sql("PRAGMA journal_mode"), ["wal"], "journal_mode")
    scene.commit(3)
    scene.end()
    equal(scene.tip().masked, scene.recorder.states[-1].masked, "tip")


def exclusive_mode(case):
    """An application in EXCLUSIVE locking mode lets nobody in: the daemon says so, ends on SIGTERM, and gets going when
    the application lets go."""
    scene = Scene(case)
    scene.app.sql("PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t(k) VALUES (1); SELECT count(*) FROM t")
    scene.start(ready=False)
    wait_until(lambda: re.search("lock|busy|exclusive", scene.daemon.log(), re.I) or not scene.daemon.alive(),
               "a log line about the lock")
    check(re.search("lock|busy|exclusive", scene.daemon.log(), re.I), f"the message does not say why\n{tail(scene.daemon.log())}")
    check(" error " not in scene.daemon.log(), lambda: f"a lock that may go away is told as an error\n{tail(scene.daemon.log())}")
    if scene.daemon.alive():
        scene.close()
        scene.daemon.wait_ready()
        scene.open()
    else:
        check(scene.daemon.wait_exit() != 0, "exit 0 without having replicated")
        scene.close()
        scene.open()
        scene.start()
    scene.recorder.record()
    last = scene.commit(2)
    scene.end()
    equal(scene.tip().masked, last.masked, "tip")


def another_database(case):
    """The replica of one database is not taken over by another one."""
    scene = Scene(case)
    scene.start()
    scene.commit(3)
    scene.end()
    before = scene.verify()
    other = Scene(case, "other", replica=scene.replica)
    other.start(ready=False)
    other.daemon.wait_exit(expect=USAGE)
    check(other.db in other.daemon.log(), f"the message does not name the database\n{tail(other.daemon.log())}")
    other.close()
    equal([c.raw for c in scene.log()], [c.raw for c in before], "weir log")
    equal(scene.tip().full, before[-1].state.full, "tip")


# --- permissions and space -----------------------------------------------------------------------------------


def as_nobody():
    """In the child, before weir: no privileges."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def denied(case, what):
    """A folder that the daemon may not write to, a database that it may not read."""
    if os.getuid() != 0:
        raise Skip("needs root, to give up its privileges")
    # Every folder on the way must let nobody through, or another case is tested than the one meant.
    if subprocess.run([case.options.weir, "--help"], preexec_fn=as_nobody, capture_output=True, check=False).returncode != 0:
        raise Skip("the program cannot be reached by another user")
    os.chmod(case.dir, 0o755)
    os.makedirs(case.path("data"))
    db, folder = case.path("data", "app.db"), case.path("replica")
    os.mkdir(folder)
    case.run("sqlite3", db, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)")
    for path in (case.path("data"), db, folder):
        os.chown(path, NOBODY, NOBODY)
    blocked = {"database": db, "folder": case.path("data"), "replica": folder}[what]
    os.chown(blocked, 0, 0)
    os.chmod(blocked, 0o600 if what == "database" else 0o555)
    daemon = Daemon(case, db, case.replica().url, preexec_fn=as_nobody, args=("--shutdown-timeout", "2s")).start(ready=False)
    wait_until(lambda: not daemon.alive() or re.search("denied|permi|read-?only|unable to open", daemon.log(), re.I), "a refusal")
    check(re.search("denied|permi|read-?only|unable to open", daemon.log(), re.I), f"the message does not say why\n{tail(daemon.log())}")
    check(case.path() in daemon.log(), f"the message names no path\n{tail(daemon.log())}")
    if daemon.alive():
        daemon.process.send_signal(signal.SIGTERM)
    check(daemon.wait_exit() != 0, f"exit 0 though nothing could be replicated\n{tail(daemon.log())}")


@contextlib.contextmanager
def small_disk(case, name, kib):
    """A file system of its own with that much space."""
    folder = case.path(name)
    os.mkdir(folder)
    done = case.run("mount", "-t", "tmpfs", "-o", f"size={kib}k", "weir-test", folder, expect=None)
    if done.returncode != 0:
        raise Skip(f"mount is not permitted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        case.run("umount", "-l", folder)


def full_disk(case, what):
    """The disk of the replica, or of the database and the local state, is full; then there is space again."""
    with small_disk(case, "disk", 1024) as folder:
        scene = Scene(case, name="disk/app" if what == "state" else "app",
                      replica=case.replica() if what == "state" else DirReplica(folder + "/replica"))
        scene.start()
        scene.commit(2)
        scene.sync()
        filler = folder + "/filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
        if what == "replica":
            scene.commit(3, size=20000)
            wait_until(lambda: re.search("no space", scene.daemon.log(), re.I), "a log line about the space")
        else:
            # The application cannot write either; weir may not fall over.
            scene.app.try_sql("INSERT INTO t(k, v) VALUES (1, randomblob(200000))")
            scene.recorder.record("with a full disk")
            case.weir("sync", scene.db, "--wait", "--timeout", "2s", expect=None)  # an answer of any kind: it has looked at what is there
        check(scene.daemon.alive(), f"the daemon ended, exit {scene.daemon.exit_code()}\n{tail(scene.daemon.log())}")
        os.unlink(filler)
        last = scene.commit(2)
        scene.sync()
        scene.end()
        equal(scene.tip().masked, last.masked, "tip after there was space again")
        scene.verify(gaps=True)


def full_disk_at_stop(case):
    """What cannot be shipped at SIGTERM: not exit 0."""
    with small_disk(case, "disk", 512) as folder:
        scene = Scene(case, replica=DirReplica(folder + "/replica"))
        scene.start("--shutdown-timeout", "2s")
        scene.sync()
        subprocess.run(["dd", "if=/dev/zero", f"of={folder}/filler", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
        scene.commit(3, size=20000)
        code = scene.stop(expect=None)
        check(code not in (0, None), "exit 0 though the last commits were not shipped")
        os.unlink(folder + "/filler")
        scene.start()
        scene.end()
        scene.verify()


def disk_goes_away(case):
    """The replica's disk is unmounted under the daemon and comes back; then the daemon starts without it."""
    replica = case.path("replica")
    scene = Scene(case)
    scene.start()
    scene.commit(1)
    scene.sync()
    os.rename(replica, replica + "-away")
    scene.commit(2)
    wait_until(lambda: "is gone" in scene.daemon.log(), "a log line about the directory")
    equal(case.weir("status", scene.db, expect=1).returncode, 1, "exit status of weir status")
    check(not os.path.exists(replica), "weir wrote to where the disk was")
    os.rename(replica + "-away", replica)
    scene.sync()
    scene.stop()
    scene.verify()
    os.rename(replica, replica + "-away")
    scene.start(ready=False)
    scene.daemon.wait_exit(expect=2)
    check("disk mounted" in scene.daemon.log() and "--adopt" in scene.daemon.log(), tail(scene.daemon.log()))
    check(not os.path.exists(replica), "weir began a history where the disk was")
    os.rename(replica + "-away", replica)
    scene.start()
    scene.commit(1)
    scene.end()
    scene.verify()


def replica_is_emptied(case):
    """Everything in the replica's directory is removed under the daemon: nothing is written into the rest, and it says so."""
    replica, away = case.path("replica"), case.path("away")
    scene = Scene(case)
    scene.start()
    scene.commit(1)
    scene.sync()
    os.mkdir(away)
    names = os.listdir(replica)
    for name in names:
        os.rename(os.path.join(replica, name), os.path.join(away, name))
    scene.commit(2)
    wait_until(lambda: "has no weir.json any more" in scene.daemon.log(), "a log line about the directory")
    wait_until(lambda: case.weir("status", scene.db, expect=None).returncode == 1, "a status that is not green")
    equal(os.listdir(replica), [], "what is in the directory")
    for name in names:
        os.rename(os.path.join(away, name), os.path.join(replica, name))
    scene.sync()
    scene.end()
    scene.verify()


# --- damaged replicas ------------------------------------------------------------------------------------------


def shipped(case, commits=8):
    """A finished replica and its commits with states."""
    scene = Scene(case)
    scene.start()
    for _ in range(commits):
        scene.commit(1)
        scene.sync()  # a segment each
    scene.end()
    return scene, scene.verify()


def flip(replica, key, rng):
    """One bit."""
    data = bytearray(replica.read(key))
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    replica.write(key, bytes(data))
    return f"one bit at {at}"


def cut(replica, key, rng):
    """The end is missing."""
    data = replica.read(key)
    size = rng.randrange(len(data))
    replica.write(key, data[:size])
    return f"cut to {size} bytes"


def extend(replica, key, rng):
    """Bytes too many."""
    replica.write(key, replica.read(key) + rng.randbytes(1 + rng.randrange(64)))
    return "bytes appended"


def remove(replica, key, _rng):
    """Not there."""
    replica.delete(key)
    return "missing"


def names_object(key, message):
    """True when the message has the object's key, or the txid that the key stands for."""
    name = os.path.basename(key).split("-")[0]
    number = re.fullmatch("[0-9a-f]{16}", name)
    return name in message or (number and re.search(rf"\b{int(name, 16)}\b", message))


def damaged(case, damage):
    """For every object in turn: a restore of the tip gives the exact tip or says which object is damaged, with exit 4, and
    an existing target stays as it was."""
    scene, commits = shipped(case)
    target = case.path("target.db")
    with open(target, "wb") as file:
        file.write(b"precious")
    tip, refused, replica = commits[-1].state, 0, scene.replica
    found = replica.list()
    segments = sorted(key for key in found if "/log/" in key)
    snapshots = [key for key in found if "/snap/" in key]
    check(len(segments) > 3 and len(snapshots) == 1, f"not the replica that was meant: {sorted(found)}")
    last_segment, needed = segments[-1], segments[1:] + snapshots  # the first segment only points at the snapshot
    for key in sorted(found):
        saved = replica.read(key)
        what = f"{key}: {damage(replica, key, case.rng)}"
        done = restore(case, scene.url, target, "--force", "--verify", "state", expect=None)
        if done.returncode == 0:
            # A removed last segment is an earlier tip, and nobody can know better.
            earlier = damage is remove and key == last_segment
            equal(fingerprint_file(target).full in ({c.state.full for c in commits} if earlier else {tip.full}), True,
                  f"{what}: restored to something else, with exit 0; exact state")
            check(key not in needed or earlier, f"{what}: a needed object is damaged and restore did not notice")
            with open(target, "wb") as file:
                file.write(b"precious")
            case.run("rm", "-rf", target + "-weir")
        else:
            refused += 1
            allowed = (DAMAGED, NO_BACKUP) if damage is remove else (DAMAGED,)
            check(done.returncode in allowed, f"{what}: exit {done.returncode}, expected {allowed}: {done.stderr}")
            check(names_object(key, done.stderr), f"{what}: the message does not name the object: {done.stderr}")
            with open(target, "rb") as file:
                equal(file.read(), b"precious", f"{what}: the existing target")
        leftover = [name for name in os.listdir(case.dir) if name.startswith("target.db") and name != "target.db"]
        check(not leftover, f"{what}: left behind: {leftover}")
        replica.write(key, saved)
    equal(scene.tip().full, tip.full, "the mended replica")
    check(refused >= 3, f"only {refused} of {len(found)} damaged objects mattered")
    diag(f"{len(found)} objects, {refused} refusals")


# --- restore ---------------------------------------------------------------------------------------------------


def rfc3339(moment):
    """Text with milliseconds for a time in ms."""
    return datetime.datetime.fromtimestamp(moment / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment % 1000:03d}Z"


def milliseconds(value):
    """weir log gives ms or RFC 3339."""
    if isinstance(value, (int, float)):
        return int(value)
    return round(datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1000)


def times(case):
    """--timestamp: the last commit at or before it; a time that no commit has is explained."""
    scene = Scene(case)
    scene.start()
    for _ in range(4):
        scene.commit(1)
        scene.sync()
        time.sleep(0.05)  # the subject: commits of different times
    scene.end()
    commits = restore_all(case, scene.url, scene.log())
    for number, commit in enumerate(commits):
        moment = milliseconds(commit.time)
        want = [c for c in commits if milliseconds(c.time) <= moment][-1]
        equal(restore_state(case, scene.url, args=("--timestamp", rfc3339(moment))).full, want.state.full, f"at {rfc3339(moment)}")
        if number and milliseconds(commits[number - 1].time) < moment - 1:
            equal(restore_state(case, scene.url, args=("--timestamp", rfc3339(moment - 1))).full,
                  commits[number - 1].state.full, f"1 ms before {rfc3339(moment)}")
    target = case.path("never.db")
    done = restore(case, scene.url, target, "--timestamp", rfc3339(milliseconds(commits[0].time) - 3600000), expect=NO_BACKUP)
    check(str(commits[0].txid) in done.stderr or rfc3339(milliseconds(commits[0].time))[:16] in done.stderr,
          f"before the first commit: the message names no point that exists: {done.stderr}")
    done = restore(case, scene.url, target, "--timestamp", rfc3339(int(time.time() * 1000) + 3600000), expect=(0, 1, NO_BACKUP))
    check(done.returncode != 0 or done.stderr.strip(), "a time in the future was restored without a word")
    for text in ("yesterday", "2026-13-40T00:00:00Z", "2026-11-21", ""):
        restore(case, scene.url, case.path("x.db"), "--timestamp", text, expect=USAGE)


def unknown_txid(case):
    """A txid that is not there, or none at all."""
    scene, commits = shipped(case, 2)
    last = commits[-1].txid
    for txid in (last + 1, last + 1000, 1 << 60):
        done = restore(case, scene.url, case.path("x.db"), "--txid", txid, expect=NO_BACKUP)
        check(str(last) in done.stderr, f"the message does not name the last txid {last}: {done.stderr}")
    for text in ("0", "-1", "1x", "", "18446744073709551616"):
        restore(case, scene.url, case.path("x.db"), "--txid", text, expect=(USAGE, NO_BACKUP))
    restore(case, scene.url, case.path("x.db"), "--timeline", 99, expect=NO_BACKUP)
    check(not os.path.exists(case.path("x.db")), "a refused restore made a file")


def existing_target(case):
    """An existing file is only replaced with --force, and never while it is in use."""
    scene, commits = shipped(case, 2)
    target = case.path("target.db")
    case.run("sqlite3", target, "PRAGMA journal_mode=WAL; CREATE TABLE mine(a); INSERT INTO mine VALUES (1)")
    mine = fingerprint_file(target).full
    done = restore(case, scene.url, target, expect=(1, USAGE))
    check("--force" in done.stderr and target in done.stderr, f"the message names no way out: {done.stderr}")
    equal(fingerprint_file(target).full, mine, "the target without --force")
    restore(case, scene.url, target, "--if-db-not-exists")
    equal(fingerprint_file(target).full, mine, "the target with --if-db-not-exists")
    user = Scene(case, "target", create=False)
    user.open()
    user.app.sql("BEGIN IMMEDIATE; INSERT INTO mine VALUES (2)")
    done = restore(case, scene.url, target, "--force", expect=1)
    check(re.search("in use|lock|busy|open", done.stderr, re.I), f"a database in use: {done.stderr}")
    user.app.sql("ROLLBACK")
    user.close()
    equal(fingerprint_file(target).full, mine, "the target in use")
    restore(case, scene.url, target, "--force")
    equal(fingerprint_file(target).full, commits[-1].state.full, "the target with --force")
    check(not os.path.exists(target + "-wal"), "an old log lies beside the restored file")


def owner_of_target(case):
    """Root replaces a database of somebody else: the new file and the local state beside it are theirs, too."""
    if os.getuid() != 0:
        raise Skip("only root can give files away")
    scene, _ = shipped(case, 2)
    target = case.path("target.db")
    case.run("sqlite3", target, "CREATE TABLE mine(a)")
    os.chown(target, NOBODY, NOBODY)
    os.chmod(target, 0o640)
    for turn in ("new", "replaced"):
        restore(case, scene.url, target, "--force")
        equal(os.stat(target).st_mode & 0o777, 0o640, f"{turn}: mode of the file")
        found = [target, target + "-weir"] + [entry.path for entry in os.scandir(target + "-weir")]
        check(len(found) > 3, f"hardly any local state: {found}")
        for path in found:
            equal((os.stat(path).st_uid, os.stat(path).st_gid), (NOBODY, NOBODY), f"{turn}: owner of {path}")


def old_log_beside_target(case):
    """A log of the old file must not be played into the restored one."""
    scene, commits = shipped(case, 2)
    target = case.path("target.db")
    old = Scene(case, "target")
    old.commit(3)
    old.app.kill()  # leaves target.db-wal behind
    check(os.path.getsize(target + "-wal") > 0, "no log was left")
    restore(case, scene.url, target, "--force")
    case.run("sqlite3", target, "PRAGMA wal_checkpoint(TRUNCATE)")
    equal(fingerprint_file(target).full, commits[-1].state.full, "the target after it was opened")


def nothing_there(case):
    """No replica at the URL."""
    replica, target = case.replica("nowhere"), case.path("x.db")
    url = replica.url
    done = restore(case, url, target, expect=NO_BACKUP)
    check(replica.name in done.stderr, f"the message does not name the replica: {done.stderr}")
    restore(case, url, target, "--if-replica-exists")
    check(not os.path.exists(target), "a file was made out of nothing")
    case.weir("ls", url, expect=(0, NO_BACKUP))
    case.weir("log", url, expect=(0, NO_BACKUP))
    if case.options.store.kind == "file":
        os.mkdir(case.path("nowhere"))
        restore(case, url, target, expect=NO_BACKUP)


def dry_run(case):
    """--dry-run tells and does nothing."""
    scene, _ = shipped(case, 2)
    done = restore(case, scene.url, case.path("x.db"), "--dry-run", "--json")
    check(done.stdout.strip().startswith("{"), f"not JSON: {done.stdout[:200]}")
    check(not os.path.exists(case.path("x.db")), "a dry run made a file")


def parallel_and_verify(case):
    """Every degree of checking and of parallelism gives the same bytes."""
    scene, commits = shipped(case, 3)
    for args in (("--verify", "none"), ("--verify", "quick"), ("--verify", "full"), ("--parallel", "1"), ("--parallel", "8")):
        equal(restore_state(case, scene.url, args=args).full, commits[-1].state.full, " ".join(args))
    for args in (("--verify", "sometimes"), ("--parallel", "0"), ("--parallel", "many")):
        restore(case, scene.url, case.path("x.db"), *args, expect=USAGE)


def wrong_usage(case):
    """Exit 2 and a hint, for what cannot be meant."""
    for argv in ([], ["no-such-command"], ["replicate"], ["replicate", case.path("a.db")], ["restore"], ["ls"], ["log"],
                 ["replicate", case.path("a.db"), "ftp://host/x"], ["replicate", case.path("a.db"), "file://relative/x"],
                 ["replicate", "--sync-interval", "soon", case.path("a.db"), "file:///x"],
                 ["replicate", "--no-such-option", case.path("a.db"), "file:///x"]):
        done = case.weir(*argv, expect=USAGE)
        check(done.stderr.strip(), f"weir {' '.join(argv)}: no message")
    for argv in (["--help"], ["replicate", "--help"], ["restore", "--help"], ["--version"]):
        check(case.weir(*argv).stdout.strip(), f"weir {' '.join(argv)} prints nothing")


def no_daemon(case):
    """Commands that need a running daemon say that there is none, and which file they looked at."""
    case.run("sqlite3", case.path("app.db"), "PRAGMA journal_mode=WAL; CREATE TABLE t(a)")
    for argv in (["sync", case.path("app.db"), "--wait"], ["snapshot", case.path("app.db")]):
        done = case.weir(*argv, expect=1)
        check(case.path("app.db") in done.stderr, f"weir {argv[0]}: {done.stderr}")


def cases(options):
    """All of them; what is about a folder only where replicas are folders."""
    folders = options.store.kind == "file"
    found = [(name, lambda case, a=make, b=pattern: unusable(case, a, b)) for name, (make, pattern) in UNUSABLE.items()]
    found += [
        ("a folder", a_folder),
        ("the database appears later", lambda case: appears_later(case, False)),
        ("an empty file becomes a database", lambda case: appears_later(case, True)),
        ("the database appears behind links", appears_behind_links),
        ("closed descriptors", closed_descriptors),
        ("a long path", long_path),
        ("stopped while waiting", stopped_while_waiting),
        ("rollback mode is switched", lambda case: rollback_mode(case, True)),
        ("rollback mode with --no-switch", lambda case: rollback_mode(case, False)),
        ("exclusive locking mode", exclusive_mode),
        ("the replica of another database", another_database),
    ]
    found += [(f"no permission: {what}", lambda case, a=what: denied(case, a)) for what in ("database", "folder", "replica")[:3 if folders else 2]]
    found += [(f"disk full: {what}", lambda case, a=what: full_disk(case, a)) for what in ("state", "replica")[:2 if folders else 1]]
    if folders:
        found += [("disk full at stop", full_disk_at_stop), ("the replica's disk goes away", disk_goes_away),
                  ("the replica is emptied", replica_is_emptied)]
    found += [(f"damaged objects: {damage.__name__}", lambda case, a=damage: damaged(case, a)) for damage in (flip, cut, extend, remove)]
    found += [
        ("times", times), ("unknown txid", unknown_txid), ("existing target", existing_target),
        ("the owner of a replaced database", owner_of_target),
        ("an old log beside the target", old_log_beside_target), ("nothing there", nothing_there), ("dry run", dry_run),
        ("parallel and verify", parallel_and_verify), ("wrong usage", wrong_usage), ("no daemon", no_daemon),
    ]
    return found
