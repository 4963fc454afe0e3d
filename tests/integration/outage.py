# SPDX-License-Identifier: Apache-2.0
"""outage: the replica does not answer for a while.

The application never waits and loses nothing; the log is held up to its limit, then segments go to the spool, then exact
history has a gap that is named.  Everything heals by itself, in the process that saw the outage begin or in a later one.
"""

import json
import os
import signal

from lib.case import tail, wait_until
from lib.scene import Scene
from lib.tap import check, equal

SMALL_LOG = ("--log-limit", "1MiB")


class Outage:
    """The replica is gone for a while: a directory whose disk is not mounted, a server that refuses connections."""

    def __init__(self, scene):
        self.scene, self.at_server = scene, scene.case.options.store.kind != "file"
        self.folder = scene.url.removeprefix("file://")

    def begin(self):
        """From here on every request fails."""
        if self.at_server:
            self.scene.case.proxy.refuse()
            self.scene.case.proxy.drop()
        else:
            os.rename(self.folder, self.folder + ".away")

    def end(self):
        """It answers again."""
        if self.at_server:
            self.scene.case.proxy.accept()
        else:
            os.rename(self.folder + ".away", self.folder)


def status_of(scene):
    """The database's part of the status."""
    shown = scene.case.weir("status", scene.db, "--json", expect=None)
    status = json.loads(shown.stdout)["databases"][0]
    equal(shown.returncode, 0 if status["error"] is None and status["state"] == "replicating" else 1, "exit of weir status")
    return status


def spooled_files(scene):
    """What waits on the local disk."""
    folder = os.path.join(scene.state_dir, "spool")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def begin(case, *args):
    """A scene that replicates, and whose replica then goes away."""
    scene = Scene(case, replica=case.replica() if case.options.store.kind == "file" else case.proxied_replica())
    scene.start(*args)
    scene.commit(3)
    scene.sync()
    outage = Outage(scene)
    outage.begin()
    return scene, outage


def write_until_spooled(scene, files=3):
    """Commit until so many files are in the spool.  The daemon must have read all of it before more is written: what is written while
    it stands still would be log that nobody can start over."""
    for _ in range(400):
        scene.commit(5, size=3000)
        status_of(scene)
        if len(spooled_files(scene)) >= files:
            return
    check(False, f"nothing was spooled: {status_of(scene)}\n{tail(scene.daemon.log())}")


def short(case):
    """The log alone holds what comes meanwhile."""
    scene, outage = begin(case)
    scene.commit(20)
    wait_until(lambda: status_of(scene)["state"] == "behind", "the state 'behind'")
    equal(spooled_files(scene), [], "files in the spool")
    check(status_of(scene)["error"], "no error in the status while the replica is away")
    outage.end()
    scene.end()
    scene.verify()
    scene.verify_tip()


def spool(case):
    """Past the limit of the log segments go to the spool; the log is started over; nothing is lost."""
    scene, outage = begin(case, *SMALL_LOG)
    write_until_spooled(scene)
    seen = wait_until(lambda: status_of(scene)["state"] == "spooling" and status_of(scene), "the state 'spooling'")
    check(seen["spool"]["bytes"] > 0, f"spool is {seen['spool']}")
    check(seen["lag"]["commits"] > 0, f"lag is {seen['lag']}")
    before = status_of(scene)["log"]["resets"]
    wait_until(lambda: status_of(scene)["log"]["resets"] > before or not scene.commit(5, size=3000), "the log is started over")
    outage.end()
    scene.sync()
    wait_until(lambda: not spooled_files(scene), "an empty spool")
    wait_until(lambda: status_of(scene)["state"] == "replicating", "the state 'replicating'")
    equal(status_of(scene)["gap"], None, "gap")
    scene.commit(3)
    scene.end()
    scene.verify()
    scene.verify_tip()


def spool_then(case, how):
    """The daemon ends while segments are in the spool; the next one ships them first."""
    scene, outage = begin(case, *SMALL_LOG, "--shutdown-timeout", "1s")
    write_until_spooled(scene)
    if how == signal.SIGKILL:
        scene.daemon.kill()
    else:
        scene.stop(expect=1)
        scene.commit(2)
    outage.end()
    scene.start()
    scene.commit(3)
    scene.end()
    equal(spooled_files(scene), [], "files in the spool")
    # Commits that were in memory when it was killed may be told as one.
    scene.verify(gaps=how == signal.SIGKILL)
    scene.verify_tip()


def damaged(case):
    """A spooled segment is damaged: the history goes on with a snapshot, and says so."""
    scene, outage = begin(case, *SMALL_LOG)
    write_until_spooled(scene)
    scene.daemon.kill()
    victim = os.path.join(scene.state_dir, "spool", spooled_files(scene)[0])
    with open(victim, "r+b") as file:
        file.seek(os.path.getsize(victim) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    outage.end()
    scene.start()
    check("spool" in scene.daemon.log(), f"the daemon does not tell of the damage\n{tail(scene.daemon.log())}")
    scene.commit(3)
    scene.end()
    equal(spooled_files(scene), [], "files in the spool")
    scene.verify(gaps=True)
    scene.verify_tip()


def gap(case):
    """Log and spool are full: exact history stops, is healed by a resync, and the gap is named."""
    scene, outage = begin(case, *SMALL_LOG, "--spool-limit", "20kB")
    last = 0
    for _ in range(400):
        scene.commit(5, size=3000)
        last = status_of(scene)["shipped_txid"]
        if status_of(scene)["state"] == "gap":
            break
    check(status_of(scene)["state"] == "gap", f"no gap: {status_of(scene)}\n{tail(scene.daemon.log())}")
    scene.commit(20)
    outage.end()
    wait_until(lambda: status_of(scene)["state"] == "replicating", "replication to go on")
    named = status_of(scene)["gap"]
    check(named and named["after_txid"] >= last and named["txid"] == named["after_txid"] + 1, f"gap is {named}")
    scene.commit(5)
    scene.end()
    commits = scene.verify(gaps=True)
    equal([c.txid for c in commits if c.resync][-1:], [named["txid"]], "txid of the resync")
    scene.verify_tip()


def flapping(case):
    """The replica comes and goes."""
    scene, outage = begin(case, *SMALL_LOG)
    for round_ in range(6):
        scene.commit(40, size=3000)
        outage.end()
        if round_ % 2:
            scene.sync()
        scene.commit(5)
        outage.begin()
    write_until_spooled(scene, 1)
    outage.end()
    scene.end()
    equal(spooled_files(scene), [], "files in the spool")
    scene.verify()
    scene.verify_tip()


def huge_transaction(case):
    """A transaction of many parts passes through the spool."""
    scene, outage = begin(case, *SMALL_LOG)
    write_until_spooled(scene)
    scene.app.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) "
                  "INSERT INTO t(k, v) SELECT i, randomblob(4000) FROM n")
    scene.recorder.record("huge")
    scene.commit(2)
    wait_until(lambda: any("-p-" in name for name in spooled_files(scene)), "parts in the spool")
    outage.end()
    scene.end()
    scene.verify()
    scene.verify_tip()


def cases(_options):
    """One case per story."""
    return [
        ("a short outage", short),
        ("past the log's limit", spool),
        ("kill -9 with a full spool", lambda case: spool_then(case, signal.SIGKILL)),
        ("stop with a full spool", lambda case: spool_then(case, signal.SIGTERM)),
        ("a damaged spool", damaged),
        ("log and spool full", gap),
        ("flapping", flapping),
        ("a huge transaction in the spool", huge_transaction),
    ]
