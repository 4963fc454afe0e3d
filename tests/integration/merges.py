# SPDX-License-Identifier: Apache-2.0
"""merges: what changed since the last merge or snapshot, in one object, by two intervals.

Every txid stays restorable byte for byte, at the ends of merges and between; through growth, VACUUM and deletion of
everything; over restarts, kill -9 in the midst of it, and a lost index; with each merge damaged or removed in turn.
"""

import json
import os
import time

from lib.case import tail, wait_settled, wait_until
from lib.daemon import restore_state
from lib.scene import Scene
from lib.tap import check, diag, equal

SOON = ("--merge-interval", "120ms", "--merge-long-interval", "600ms", "--merge-percent", "0", "--snapshot-interval", "0s")
ROWS = 2500


def big(case, rows=ROWS):
    """A scene with a database that is large beside what changes in it."""
    scene = Scene(case)
    scene.app.sql(f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<{rows}) "
                  "INSERT INTO t(k, v) SELECT x, randomblob(300) FROM c")
    scene.rows += rows
    scene.recorder.record("many rows")
    return scene


def bases(scene):
    """Snapshots and merges of the replica as (level, base, txid, key); level 0 is a snapshot."""
    found = []
    for key in sorted(scene.replica.list()):
        parts = key.split("/")
        if len(parts) == 4 and parts[2] == "snap":
            found.append((0, 0, int(parts[3].split("-")[0], 16), key))
        elif len(parts) == 5 and parts[2] == "merge":
            base, txid, _ = parts[4].split("-")
            found.append((int(parts[3], 16), int(base, 16), int(txid, 16), key))
    return found


def merges(scene, level=None):
    """The same without snapshots."""
    return [one for one in bases(scene) if one[0] > 0 and level in (None, one[0])]


def work(scene, seconds, pause=0.01):
    """Commits for a while; how many merges are made meanwhile is not said."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        scene.commit(1)
        time.sleep(pause)


def until(scene, count, level, pause=0.01):
    """Commits until there are so many merges of a level (None: of any).  The daemon is asked to keep up now and then: where it is slow
    a merge would otherwise have so many commits to it that it gives way to a snapshot."""
    before = scene.rows

    def enough():
        scene.commit(1)
        if (scene.rows - before) % 8 == 0:
            scene.sync()
        return len(merges(scene, level)) >= count
    wait_until(enough, lambda: f"{count} merges of level {level}: {bases(scene)}", pause=pause)


def told(case, scene, *args):
    """What `weir restore --json` tells."""
    target = case.path("told.db")
    shown = case.weir("restore", scene.url, "-o", target, "--force", "--json", *args)
    return json.loads(shown.stdout)


def verified(case, scene):
    """weir verify finds nothing wrong and nothing odd."""
    shown = case.weir("verify", scene.url, expect=None)
    equal(shown.returncode, 0, f"exit of weir verify\n{tail(shown.stdout)}{tail(shown.stderr)}")
    check("unexpected  " not in shown.stdout, f"weir verify:\n{tail(shown.stdout)}")


def both_levels(case):
    """Two levels while a database grows, shrinks, is vacuumed, loses everything and grows again."""
    scene = big(case)
    scene.start(*SOON)
    until(scene, 2, 2)
    for sql in (f"INSERT INTO t(k, v) SELECT k + {ROWS}, randomblob(300) FROM t WHERE id % 4 = 0",
                "DELETE FROM t WHERE id % 3 = 0", "VACUUM", "DELETE FROM t", "VACUUM",
                "INSERT INTO t(k, v) VALUES (1, randomblob(90000))"):
        scene.app.sql(sql)
        scene.recorder.record(sql)
        work(scene, 0.4)
    until(scene, 5, 1)
    until(scene, 2, 2)
    wait_until(lambda: scene.commit(1) and scene.sync() and any(level == 0 and txid > 1 for level, _, txid, _ in bases(scene)), "a later snapshot")
    scene.end()
    found = bases(scene)
    diag(", ".join(f"{'SMM'[level]}{level or ''} {base or ''}>{txid}" for level, base, txid, _ in found))
    check(len(merges(scene, 1)) >= 5, f"merges of level 1: {found}")
    check(len(merges(scene, 2)) >= 2, f"merges of level 2: {found}")
    check(any(level == 0 and txid > 1 for level, _, txid, _ in found), f"merges never gave way to a snapshot: {found}")
    scene.verify()
    scene.verify_tip()
    verified(case, scene)


def used(case):
    """Restores go through them; ls, status and the restore's report tell."""
    scene = big(case)
    scene.start(*SOON, "--fold-count", "0")
    until(scene, 2, 2)
    scene.sync()

    def counted():
        status = scene.daemon.status()["databases"][0]
        return status["merges"] >= 2 and status["merge_txid"] and status["bytes_merged"] > 0
    wait_until(counted, lambda: f"the merges in the status: {scene.daemon.status()}")  # where they are a moment later than in the replica
    check("merge" in case.weir("status", scene.db).stdout, "weir status does not show merges")
    scene.end()
    count = len(merges(scene))
    shown = json.loads(case.weir("ls", scene.url, "--json").stdout)
    equal(len(shown["timelines"][0]["merges"]), count, "merges in weir ls --json")
    check("merge" in case.weir("ls", scene.url).stdout, "weir ls does not show merges")
    equal(shown["unexpected"], 0, "unexpected objects in weir ls")
    uses = [told(case, scene)]
    for _, base, txid, _ in merges(scene):
        uses += [told(case, scene, "--txid", str(txid)), told(case, scene, "--txid", str(base))]
    check(all(use["warning"] is None for use in uses), f"a restore had to work around something: {uses}")
    # Which states are cheaper through a merge than through a snapshot or the log is a matter of sizes.
    check(any(use["merges"] >= 1 for use in uses), f"no restore went through a merge: {uses}")
    scene.verify()


def restarted(case):
    """The index outlives the process: merges go on, and no snapshot is needed."""
    scene = big(case, 4 * ROWS)
    for _ in range(4):
        scene.start(*SOON)
        until(scene, len(merges(scene)) + 2, None)
        scene.stop()
    scene.start(*SOON)
    work(scene, 0.5)
    scene.end()
    found = bases(scene)
    equal([txid for level, _, txid, _ in found if level == 0], [1], "snapshots")
    # Each builds on one that is there.
    ends = {txid for _, _, txid, _ in found}
    check(all(base in ends for level, base, _, _ in found if level), f"a base that is nowhere: {found}")
    scene.verify()
    scene.verify_tip()
    verified(case, scene)


def lost_index(case):
    """Without a good index the next object is a snapshot, and merges go on from there."""
    def cut(path):
        os.truncate(path, os.path.getsize(path) - 8)

    def turn(path):
        with open(path, "r+b") as file:
            file.seek(200)
            byte = file.read(1)
            file.seek(200)
            file.write(bytes([byte[0] ^ 1]))

    for damage in (os.unlink, cut, turn):
        scene = Scene(case, name=damage.__name__, replica=case.replica(damage.__name__))
        scene.app.sql(f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<{ROWS}) "
                      "INSERT INTO t(k, v) SELECT x, randomblob(300) FROM c")
        scene.recorder.record("many rows")
        scene.start(*SOON)
        until(scene, 2, None)
        scene.stop()
        names = [name for name in os.listdir(scene.state_dir) if name.startswith("merge.")]
        check(names, f"no index is kept in {os.listdir(scene.state_dir)}")
        for name in names:
            damage(os.path.join(scene.state_dir, name))
        before = len(bases(scene)) - len(merges(scene))
        scene.start(*SOON)
        until(scene, len(merges(scene)) + 2, None)
        scene.end()
        equal(len(bases(scene)) - len(merges(scene)), before + 1, f"snapshots after {damage.__name__}")
        scene.verify()
        scene.verify_tip()


def killed(case):
    """kill -9 at random moments while merges are made."""
    scene = big(case)
    for _ in range(case.options.seeds or 10):
        scene.start(*SOON)
        work(scene, 0.1 + case.rng.random() * 0.5)
        scene.daemon.kill()
        scene.commit(1 + case.rng.randrange(3))
    scene.start(*SOON)
    work(scene, 0.3)
    until(scene, 3, None)
    scene.end()
    check(len(merges(scene)) >= 3, f"merges: {bases(scene)}")
    scene.verify()
    scene.verify_tip()
    verified(case, scene)


def harm(data, how):
    """What becomes of an object's bytes; None: it is gone."""
    return {"removed": None, "cut": data[:-5], "empty": b"",
            "turned": data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 8]) + data[len(data) // 2 + 1:]}[how]


def each_damaged(case):
    """Each merge damaged or removed in turn: another way, and it is said; other txids are not concerned."""
    scene = big(case)
    scene.start(*SOON)
    until(scene, 2, 2)
    work(scene, 0.3)
    scene.end()
    tip = scene.tip()
    states = {int(commit.txid): commit for commit in scene.verify()}
    for number, (_, base, txid, key) in enumerate(merges(scene)):
        how = ("removed", "cut", "turned", "empty")[number % 4]
        data = scene.replica.read(key)
        scene.replica.delete(key)
        if harm(data, how) is not None:
            scene.replica.write(key, harm(data, how))
        got = told(case, scene, "--txid", str(txid))
        if how != "removed" and got["warning"] is not None:
            check(key in got["warning"] and f"from txid {base} to {txid} was passed over" in got["warning"], f"{key} {how}: {got}")
        check(restore_state(case, scene.url, txid=txid).full == states[txid].state.full, f"{key} {how}: not the state of {txid}")
        check(scene.tip().full == tip.full, f"{key} {how}: not the state of the tip")
        equal(told(case, scene, "--txid", str(base))["warning"], None, f"warning at txid {base}, which does not need {key}")
        if how != "removed":
            scene.replica.delete(key)
        scene.replica.write(key, data)


def refused(case):
    """Where a merge and the log beneath it are gone, the restore says which object is missing, and invents nothing."""
    scene = big(case)
    scene.start(*SOON, "--fold-count", "0")
    until(scene, 3, 1)
    scene.end()
    _, base, txid, key = merges(scene, 1)[1]
    logs = [k for k in sorted(scene.replica.list()) if "/log/" in k and base < int(k.rpartition("/")[2], 16) <= txid]
    for gone in (logs[0], key):
        data = scene.replica.read(gone)
        scene.replica.delete(gone)
        scene.replica.write(gone, data[:-1])
    wide = [other for _, first, last, other in merges(scene, 2) if first <= base and last >= txid]
    for other in wide:
        scene.replica.delete(other)
    target = case.path("refused.db")
    shown = case.weir("restore", scene.url, "-o", target, "--txid", str(txid), expect=None)
    equal(shown.returncode, 4, "exit of a restore without a way")
    check(logs[0] in shown.stderr or key in shown.stderr, f"what is missing is not named: {shown.stderr}")
    check(not os.path.exists(target), "a file was made")
    check(told(case, scene, "--txid", str(base))["warning"] is None, "the state before it needs nothing of that")


def idle(case):
    """A quiet database makes nothing and asks for nothing."""
    scene = big(case)
    scene.start(*SOON)
    until(scene, 2, 1)
    scene.sync()
    # The last merges come when their intervals, of 600 ms at most, are over.
    before, objects = wait_settled(lambda: (scene.daemon.status()["databases"][0]["requests"], len(scene.replica.list())),
                                   "requests and objects", looks=60)
    time.sleep(1.5)  # the subject: time passes, and nothing is asked for
    equal(scene.daemon.status()["databases"][0]["requests"], before, "requests of an idle database")
    equal(len(scene.replica.list()), objects, "objects of an idle database")
    scene.end()
    scene.verify()


def cases(_options):
    """One case per story."""
    return [
        ("both levels", both_levels),
        ("used and told", used),
        ("restarts", restarted),
        ("a lost index", lost_index),
        ("kill -9", killed),
        ("each one damaged", each_damaged),
        ("no way left", refused),
        ("an idle database", idle),
    ]
