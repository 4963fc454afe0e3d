# SPDX-License-Identifier: Apache-2.0
"""folds: segments become a few larger objects in the background, and are deleted then.

Every txid stays restorable through all of it: while it goes on, after kill -9 in its midst, where deletion is not allowed,
and when a process that slept wakes up beside another one that folded meanwhile.
"""

import os
import shutil
import signal
import subprocess
import time

from lib.case import tail, wait_settled, wait_until
from lib.daemon import restore
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal

COUNT = 4
LARGE = COUNT * COUNT
FENCED = 5
SMALL = ("--fold-count", str(COUNT))
SOON = (*SMALL, "--fold-delete-after", "40ms")


def objects(scene):
    """The replica's keys by kind, without the prefix."""
    kinds = {"log": [], "fold": []}
    for key in sorted(scene.replica.list()):
        parts = key.split("/")
        if len(parts) == 4 and parts[2] in kinds:
            kinds[parts[2]].append(key)
    return kinds


def range_of(key):
    """First and last txid of a fold."""
    first, _, last = key.rpartition("/")[2].partition("-")
    return int(first, 16), int(last, 16)


def segments(scene, count, pause=0.0):
    """So many segments of one commit each."""
    for _ in range(count):
        scene.commit(1)
        scene.sync()
        time.sleep(pause)


def verified(case, scene):
    """weir verify finds nothing wrong."""
    shown = case.weir("verify", scene.url, expect=None)
    equal(shown.returncode, 0, f"exit of weir verify\n{tail(shown.stdout)}{tail(shown.stderr)}")


def both_levels(case):
    """A few hundred segments: large folds, few objects, every txid."""
    scene = Scene(case)
    scene.start(*SOON)
    count = 10 * LARGE
    segments(scene, count)
    wait_until(lambda: any(b - a + 1 >= LARGE for a, b in map(range_of, objects(scene)["fold"])), "a large fold")
    found, large = objects(scene), []

    def folded():
        """What is folded is deleted a little later, when the next segments are shipped: this is waited for."""
        nonlocal count, found, large
        segments(scene, 1)
        count += 1
        found = objects(scene)
        large = [key for key in found["fold"] if range_of(key)[1] - range_of(key)[0] + 1 >= LARGE]
        return count >= 11 * LARGE and len(large) >= 9 and len(found["log"]) + len(found["fold"]) <= len(large) + 3 * LARGE
    try:
        wait_until(folded, "most segments to be in large folds, and deleted")
    finally:
        diag(f"{count} segments: {len(found['log'])} single, {len(found['fold'])} folds, {len(large)} of them large")
    check(len(large) >= 9, f"large folds: {large}")
    most = len(large) + 3 * LARGE
    check(len(found["log"]) + len(found["fold"]) <= most, f"more than {most} objects: {found}")
    check("folds" in case.weir("ls", scene.url).stdout, "weir ls does not count folds")
    verified(case, scene)
    requests = scene.daemon.status()["databases"][0]["requests"]
    puts = sum(requests["put"].values())
    check(puts <= count * (1 + 1 / COUNT + 1 / LARGE) + 20, f"puts: {requests}")
    check(sum(requests["delete_many"].values()) <= count // COUNT + len(large), f"deletions: {requests}")
    scene.end()
    scene.verify()
    scene.verify_tip()


def fetched_once(case):
    """A restore reads a fold once, not once for each of its segments."""
    scene = Scene(case)
    scene.start(*SOON, "--snapshot-interval", "0s")
    segments(scene, 3 * LARGE)
    wait_until(lambda: len([k for k in objects(scene)["fold"] if range_of(k)[1] - range_of(k)[0] + 1 >= LARGE]) >= 3,
               "three large folds: what is not folded when it ends stays as it is")
    scene.end()
    shown = case.weir("restore", scene.url, "-o", case.path("out.db"), "--json").stdout
    read = int(shown.partition('"objects":')[2].strip(" ").partition(",")[0])
    check(read <= 3 + COUNT + 2 * COUNT, f"a restore of {3 * LARGE} segments read {read} objects")


def idle(case):
    """A quiet database asks for nothing."""
    scene = Scene(case)
    scene.start(*SOON)
    segments(scene, LARGE + 3)
    before = wait_settled(lambda: scene.daemon.status()["databases"][0]["requests"], "requests")
    time.sleep(2)  # the subject: time passes, and nothing is asked for
    equal(scene.daemon.status()["databases"][0]["requests"], before, "requests of an idle database")
    scene.end()
    scene.verify()


def restarted(case):
    """What was kept for the next fold outlives the process."""
    scene = Scene(case)
    for _ in range(5):
        scene.start(*SOON)
        segments(scene, LARGE // 2 - 1)
        scene.stop()
    folds = [range_of(key) for key in objects(scene)["fold"]]
    check(any(last - first + 1 >= COUNT for first, last in folds), f"folds: {folds}")
    scene.start(*SOON)
    segments(scene, 2 * LARGE)
    scene.end()
    verified(case, scene)
    scene.verify()
    scene.verify_tip()


def killed(case):
    """kill -9 at random moments while it folds and deletes."""
    scene = Scene(case)
    rounds = case.options.seeds or 12
    for _ in range(rounds):
        scene.start(*SOON)
        segments(scene, case.rng.randrange(LARGE))
        scene.commit(3)
        time.sleep(case.rng.random() * 0.1)  # any moment will do
        scene.daemon.kill()
        if case.rng.random() < 0.3:
            damage(case, os.path.join(scene.state_dir, "fold", "kept"))
    scene.start(*SOON)
    segments(scene, 3)
    scene.end()
    check(objects(scene)["fold"], "there is no fold")
    verified(case, scene)
    scene.verify()
    scene.verify_tip()


def damage(case, path):
    """As a power cut may leave it: cut, or with a turned bit."""
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return
    with open(path, "r+b") as file:
        at = case.rng.randrange(os.path.getsize(path))
        if case.rng.random() < 0.5:
            file.truncate(at)
            return
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1 << case.rng.randrange(8)]))


def append_only(case):
    """Deletion is not allowed: it is tried once, and the single segments do no harm."""
    if case.options.store.kind != "file" or shutil.which("chattr") is None:
        raise Skip("needs chattr and a replica in a directory")
    scene = Scene(case)
    scene.start(*SOON)
    segments(scene, 2)
    folder = os.path.join(scene.replica.folder, "t/00000001/log")
    if subprocess.run(["chattr", "+a", folder], check=False, capture_output=True).returncode != 0:
        raise Skip("chattr +a does not work here")
    try:
        segments(scene, 4 * LARGE)
        tried = scene.daemon.status()["databases"][0]["requests"]["delete_many"]
        equal(sum(tried.values()), 1, f"deletions that were tried ({tried})")
        scene.end()
        check(len(objects(scene)["log"]) >= 4 * LARGE, "segments are gone")
        check(objects(scene)["fold"], "there is no fold")
        verified(case, scene)
        scene.verify()
        scene.verify_tip()
    finally:
        subprocess.run(["chattr", "-a", folder], check=True)


def without(case):
    """--fold-count 0: each segment stays an object of its own."""
    scene = Scene(case)
    scene.start("--fold-count", "0")
    segments(scene, LARGE)
    scene.end()
    equal(objects(scene)["fold"], [], "folds")
    check(len(objects(scene)["log"]) >= LARGE, "segments")
    check(not os.path.exists(os.path.join(scene.state_dir, "fold")), "segments were kept")


def slept_clone(case):
    """A machine is cloned; the clone replicates on, folds and deletes while the first one sleeps.  Its keys are free again
    when it wakes up, and it must not take them."""
    scene = Scene(case)
    scene.start(*SOON)
    segments(scene, COUNT)
    os.kill(scene.daemon.pid, signal.SIGSTOP)
    folder = scene.save("clone")
    clone = Scene(case, "clone/app", replica=scene.replica, create=False)
    clone.rows = scene.rows
    clone.open()
    clone.recorder.states = list(scene.recorder.states)
    clone.daemon = scene.daemon  # the record has begun
    check(os.path.dirname(clone.db) == folder, "the clone is not where it was saved")
    clone.start(*SOON)
    taken = f"t/00000001/log/{clone.sync() + 1:016x}"
    segments(clone, 3 * LARGE, 0.01)
    wait_until(lambda: segments(clone, 1, 0.05) or taken not in scene.replica.list(), "the deletion of the next key")
    slept = scene.commit(1)
    os.kill(scene.daemon.pid, signal.SIGCONT)
    scene.daemon.wait_exit(expect=FENCED)
    check("slept" in scene.daemon.log(), f"the log does not tell why\n{tail(scene.daemon.log())}")
    check(taken not in scene.replica.list(), "the process that slept took a key of a deleted segment")
    segments(clone, 2)
    scene.close()
    clone.end()
    commits = clone.verify()
    check(all(c.state.full != slept.full for c in commits), "a commit of the one that slept is in the history")
    clone.verify_tip()


def slept_takeover(case):
    """Another one takes over while it sleeps, and folds."""
    scene = Scene(case)
    scene.start(*SOON)
    segments(scene, LARGE)
    os.kill(scene.daemon.pid, signal.SIGSTOP)
    other = Scene(case, "other", replica=scene.replica, create=False)
    restore(case, scene.url, other.db)
    other.rows = scene.rows
    other.open()
    other.start(*SOON)
    segments(other, 2 * LARGE)
    scene.commit(1)
    os.kill(scene.daemon.pid, signal.SIGCONT)
    scene.daemon.wait_exit(expect=FENCED)
    last = other.commit(1)
    scene.close()
    other.end()
    verified(case, other)
    equal(other.tip().masked, last.masked, "tip")
    for txid in (2, LARGE, LARGE + 5, 2 * LARGE):
        other.tip(txid=txid)


def beside_a_reader(case):
    """Restores go on while segments are folded and deleted under them."""
    scene = Scene(case)
    scene.start(*SOON)
    for txid in range(2, 40, 3):
        segments(scene, LARGE // 2)
        scene.tip(txid=txid)
        scene.log()
    scene.end()
    scene.verify()


def cases(_options):
    """One case per story."""
    return [
        ("both levels", both_levels),
        ("a fold is fetched once", fetched_once),
        ("an idle database", idle),
        ("restarts", restarted),
        ("kill -9", killed),
        ("deletion is denied", append_only),
        ("no folds", without),
        ("a clone while it slept", slept_clone),
        ("a takeover while it slept", slept_takeover),
        ("beside a reader", beside_a_reader),
    ]
