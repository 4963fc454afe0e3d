# SPDX-License-Identifier: Apache-2.0
"""delta: restores over a file that is there, restores that go on where others ended, and the old file kept.

What counts is what is read (told by `--json`, and counted by a proxy where the replica is on S3), that the file is the
state that was asked for, byte for byte, and that the old one is whole until the new one is there.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import time

from lib.case import wait_until
from lib.daemon import Daemon, restore
from lib.history import fingerprint_file
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal
from servers import faults

ROWS, BLOB = 500, 20000  # about 10 MB
BUSY, REFUSED = 1, 2


class Story:
    """A database of some megabytes and a few small commits behind its snapshot; the daemon has ended in order."""

    def __init__(self, case, proxied=False):
        self.case = case
        self.scene = Scene(case, replica=case.proxied_replica() if proxied else None)
        self.scene.app.sql(f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {ROWS}) "
                           f"INSERT INTO t(k, v) SELECT x, randomblob({BLOB}) FROM c")
        self.scene.start()
        self.first = self.scene.sync()
        for n in range(1, 8):
            self.scene.app.sql(f"UPDATE t SET v = randomblob({BLOB}) WHERE id = {n * 67 % ROWS}")
            self.scene.sync()
        self.scene.end()
        self.url = self.scene.url
        self.target = case.path("target.db")
        self.tip = self.scene.log()[-1].txid
        self.full = self.fetch("whole.db")["bytes_read"]
        check(self.full > ROWS * BLOB // 2, f"a restore reads {self.full} bytes")

    def fetch(self, name, *args):
        """Restore to a file and read what it says."""
        path = name if os.path.isabs(name) else self.case.path(name)
        return json.loads(restore(self.case, self.url, path, "--json", *args).stdout)

    def put(self, txid=None, *args):
        """A plain file at the target, without local state."""
        self.clear()
        which = () if txid is None else ("--txid", txid)
        return self.fetch(self.target, *which, *(args or ("--no-state",)))

    def clear(self):
        """Nothing is at the target or beside it."""
        self.case.run("rm", "-rf", *(self.case.path(name) for name in os.listdir(self.case.path()) if name.startswith("target.db")))

    def expect(self, txid=None):
        """The target is the state of this txid, and nothing of an earlier restore lies beside it."""
        name = self.case.path("expected.db")
        self.fetch(name, "--force", *(() if txid is None else ("--txid", txid)))
        with open(name, "rb") as want, open(self.target, "rb") as got:
            check(want.read() == got.read(), f"{self.target} is not txid {txid or 'tip'}")
        equal(self.left(), [], "left-overs")
        for suffix in ("-wal", "-shm", "-journal"):
            check(not os.path.exists(self.target + suffix), f"{self.target}{suffix} was left")

    def left(self):
        """What interrupted restores left."""
        return [name for name in os.listdir(self.case.path()) if re.fullmatch(r"target\.db\.weir-tmp-[0-9a-f]{16}", name)]


def older(case):
    """A file of some commits ago, with its local state: the log behind it is all that is read.  Without: a few frames."""
    story = Story(case)
    story.put(story.tip - 2, "--verify", "state")
    planned = story.fetch(story.target, "--in-place", "--dry-run")
    done = story.fetch(story.target, "--in-place")
    diag(f"full {story.full}, planned {planned['bytes_read']}, with local state {done['bytes_read']}")
    check(done["bytes_read"] < story.full // 20, f"read: {done}")
    check(planned["bytes_read"] < story.full // 20, f"planned: {planned}")
    check(done["objects"] <= 3 and done["snapshot_txid"] == 0, f"objects: {done}")
    story.expect()
    story.put(story.tip - 2)
    planned = story.fetch(story.target, "--in-place", "--dry-run")
    done = story.fetch(story.target, "--in-place")
    diag(f"without local state {done['bytes_read']}, planned {planned['bytes_read']}")
    check(done["bytes_read"] < story.full // 2, f"read: {done}")
    check(done["bytes_reused"] > ROWS * BLOB // 2, f"reused: {done}")
    check(abs(planned["bytes_read"] - done["bytes_read"]) < 300000, f"planned {planned}, done {done}")
    story.expect()


def newer(case):
    """Back to before a mistake: what changed since is fetched."""
    story = Story(case)
    story.put(None, "--verify", "state")
    done = story.fetch(story.target, "--in-place", "--before", story.tip)
    check(done["bytes_read"] < story.full // 2, f"read: {done}")
    story.expect(story.tip - 1)
    scene = story.scene  # and replication goes on from there
    check(os.path.isdir(story.target + "-weir"), "there is no local state")
    equal(case.weir("verify", scene.url, expect=None).returncode, 0, "exit of weir verify")


def damaged(case):
    """Bytes that are wrong in unknown places are found and replaced, and nothing else is fetched."""
    story = Story(case)
    story.put(None, "--verify", "state")
    size = os.path.getsize(story.target)
    with open(story.target, "r+b") as file:
        for part in (0.3, 0.31, 0.7):
            file.seek(int(size * part))
            file.write(b"damage")
    done = story.fetch(story.target, "--in-place")
    diag(f"damaged: {done['bytes_read']} of {story.full}")
    check(done["bytes_read"] < story.full // 2, f"read: {done}")
    story.expect()
    with open(story.target, "r+b") as file:  # no database any more, to SQLite
        file.write(bytes(4096))
    done = story.fetch(story.target, "--in-place", "--keep-old")
    check(done["bytes_reused"] > ROWS * BLOB // 2, f"reused: {done}")
    with open(done["kept"], "rb") as kept:
        equal(kept.read(4096), bytes(4096), "the begin of the kept file")
    story.expect()
    os.truncate(story.target, 100)
    story.fetch(story.target, "--in-place")
    story.expect()


def busy(case):
    """A database that somebody has open is refused and stays as it is; its log is not played into the new one."""
    story = Story(case)
    story.put(story.first)
    db = sqlite3.connect(story.target, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("DELETE FROM t WHERE id > 100")
    shown = restore(case, story.url, story.target, "--in-place", expect=BUSY)
    check("is in use" in shown.stderr, shown.stderr)
    equal(db.execute("SELECT count(*) FROM t").fetchone()[0], 100, "rows of the live database")
    case.run("cp", story.target + "-wal", case.path("log"))
    db.close()
    story.clear()
    story.put(story.first)
    case.run("cp", case.path("log"), story.target + "-wal")  # as an application that was killed leaves it
    done = story.fetch(story.target, "--in-place", "--keep-old")
    story.expect()
    db = sqlite3.connect(done["kept"])
    equal(db.execute("PRAGMA integrity_check").fetchone()[0], "ok", "the kept database")
    db.close()
    shown = restore(case, story.url, story.target, "--keep-old", expect=REFUSED)
    check("--keep-old needs" in shown.stderr, shown.stderr)


def kept(case):
    """What is printed at 3 a.m. leads back."""
    story = Story(case)
    story.put(story.tip - 1)
    before = fingerprint_file(story.target)
    shown = restore(case, story.url, story.target, "--force", "--keep-old").stdout
    found = re.search(r"is kept as (\S+); to go back, stop what uses \S+, then: (.+)", shown)
    check(found, shown)
    check(re.fullmatch(re.escape(story.target) + r"\.\d{8}T\d{6}Z(-\d+)?", found.group(1)), shown)
    equal(fingerprint_file(found.group(1)), before, "the kept file")
    story.expect()
    shown = restore(case, story.url, story.target, "--force").stdout
    check("was replaced" in shown, shown)
    case.run("sh", "-c", found.group(2))
    equal(fingerprint_file(story.target), before, "the file after going back")
    check(not os.path.exists(story.target + "-weir"), "the new file's local state is still there")


def pasted(case):
    """The way back is a line for a shell, wherever that is and whatever the file is called: it touches nothing else."""
    story = Story(case)
    folder = case.path("it's my $data; (x)")
    target = os.path.join(folder, "a b.db")
    os.mkdir(folder)
    restore(case, story.url, target, "--before", story.tip)
    before = fingerprint_file(target)
    innocent = [os.path.join(folder, name) for name in ("a", "b.db", "b.db-wal")]
    for path in innocent:
        case.run("touch", path)
    shown = case.run("sh", "-c", 'cd "$1" && exec "$2" restore "$3" -o "a b.db" --force --keep-old', "sh", folder, case.options.weir, story.url).stdout
    check(fingerprint_file(target) != before, "nothing was replaced")
    case.run("sh", "-c", shown.split(", then: ")[1])
    equal(fingerprint_file(target), before, "the file after going back")
    check(not os.path.exists(target + "-weir"), "the new file's local state is still there")
    for path in innocent:
        check(os.path.exists(path), f"{path} is gone")


def linked(case):
    """Through a link: the file behind it is replaced, its own local state with it, and its daemon is found; a link to nothing is told at once."""
    story = Story(case)
    story.put(story.tip - 1)
    link = case.path("link.db")
    os.symlink(story.target, link)
    daemon = Daemon(case, story.target, story.url, args=("--fork",)).start()
    shown = restore(case, story.url, link, "--force", expect=BUSY)
    check(f"is replicated by a weir daemon (process {daemon.pid})" in shown.stderr, shown.stderr)
    daemon.stop()
    before = set(os.listdir(story.target + "-weir"))  # names of its files are new with each state
    done = restore(case, story.url, link, "--force", "--keep-old")
    check(os.path.islink(link), "the link is gone")
    check(not os.path.exists(link + "-weir"), "a local state beside the link")
    check(set(os.listdir(story.target + "-weir")) - before, "the file has the local state of the old one")
    check(f"{story.target}-weir" in done.stdout.split(", then: ")[1], done.stdout)
    story.expect()
    os.symlink(case.path("nowhere"), case.path("dangling"))
    shown = restore(case, story.url, case.path("dangling"), expect=REFUSED)
    check("symbolic link to a file that is not there" in shown.stderr, shown.stderr)
    check(not os.path.exists(case.path("nowhere")), "it was made")


def owners(case):
    """A file that root makes in somebody else's folder is not the application's: that is said, and only then."""
    if os.getuid() != 0:
        raise Skip("needs root")
    story = Story(case)
    for owner, told in ((65534, True), (0, False)):
        folder = case.path(f"of-{owner}")
        os.mkdir(folder)
        os.chown(folder, owner, owner)
        target = os.path.join(folder, "app.db")
        done = restore(case, story.url, target)
        equal("belongs to user 0" in done.stderr, told, f"what is said of a folder of {owner}: {done.stderr}")
        check(not told or f"chown -R --reference={folder} {target} {target}-weir" in done.stderr, done.stderr)
        os.chown(target, 65534, 65534)
        equal(restore(case, story.url, target, "--force").stderr, "", f"what is said of one that was there, in a folder of {owner}")
        equal(os.stat(target).st_uid, 65534, "the owner")


def killed(case):
    """kill -9 in the midst, again and again: each restore has less to read, and the last one is right."""
    story = Story(case)
    story.clear()
    resumed = 0
    for n in range(12):
        process = subprocess.Popen([case.options.weir, "restore", story.url, "-o", story.target, "--parallel", "1"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        case.processes.append(process)
        wait_until(lambda: story.left() or process.poll() is not None, "a temporary file", pause=0.001)
        time.sleep(0.004 * n)  # any moment will do: later ones each time
        process.send_signal(signal.SIGKILL)
        process.wait()
        case.forget(process)
        if os.path.exists(story.target):
            break
        planned = story.fetch(story.target, "--dry-run")
        check(len(story.left()) <= 1, f"left-overs: {story.left()}")
        resumed += planned["bytes_reused"] > 0
    if not os.path.exists(story.target):
        done = story.fetch(story.target)
        diag(f"after {n + 1} kills: read {done['bytes_read']} of {story.full}, reused {done['bytes_reused']}")
    diag(f"{resumed} restores found something")
    story.expect()


def interrupted(case):
    """A store that fails in the midst (in a folder: an object that cannot be read, for a while)."""
    if case.options.store.kind == "file":
        raise Skip("needs the proxy in front of an S3 server: --store s3")
    story = Story(case, proxied=True)
    for after in (6, 9, 12):
        story.clear()
        mark = case.proxy.mark()
        with case.proxy.failing(faults.denied(), kind="GET", skip=after):
            shown = restore(case, story.url, story.target, "--parallel", "1", expect=1)
        check("the same command goes on from there" in shown.stderr, shown.stderr)
        equal(len(story.left()), 1, f"left-overs: {story.left()}")
        mark = case.proxy.mark()
        done = story.fetch(story.target, "--parallel", "1")
        diag(f"after {after} requests: {done['bytes_read']} of {story.full}, {case.proxy.summary(mark)}")
        check(done["bytes_reused"] > 0, f"reused: {done}")
        check(done["bytes_read"] < story.full, f"read: {done}")
        story.expect()


def distrusted(case):
    """What lies about under the name of a left-over: rubbish, links, another database's pages."""
    story = Story(case)
    name = story.target + ".weir-tmp-0123456789abcdef"
    for content in (b"x", os.urandom(100000), b"\0" * (ROWS * BLOB)):
        story.clear()
        with open(name, "wb") as file:
            file.write(content)
        done = story.fetch(story.target)
        check(done["bytes_reused"] < ROWS * BLOB // 10, f"reused: {done}")
        story.expect()
    story.clear()
    victim = case.path("victim")
    with open(victim, "wb") as file:
        file.write(b"untouched")
    os.symlink(victim, name)
    story.fetch(story.target)
    os.unlink(name)
    story.expect()
    story.clear()
    os.link(victim, name)
    story.fetch(story.target)
    story.expect()
    with open(victim, "rb") as file:
        equal(file.read(), b"untouched", "what the links led to")


def cases(_options):
    """All of them."""
    return [
        ("an older file", older),
        ("a newer file", newer),
        ("a damaged file", damaged),
        ("a file in use, and its log", busy),
        ("the old file is kept", kept),
        ("the way back is pasted", pasted),
        ("through a link", linked),
        ("a file of root", owners),
        ("kill -9", killed),
        ("a store that fails", interrupted),
        ("what is not ours", distrusted),
    ]
