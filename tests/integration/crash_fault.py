# SPDX-License-Identifier: Apache-2.0
"""crash_fault: the daemon fails at its N-th file operation, for every N.

`weir_fault` is weir with a table of file operations that counts them and, told by WEIR_FAULT, kills the process at the
N-th (kill:N), fails it once (once:N[:errno]) or fails it and all that follow (forever:N[:errno]).  The workload is small
and always the same: first snapshot, commits, a reset of the log, a snapshot, an orderly end.  After each run the real
daemon takes over.  Claims: it starts; every restored txid is a recorded state or marked as a resync; what `weir sync
--wait` acknowledged is restorable under its txid; the tip is the source.

By default N is sampled (more densely where N is small), `--full` takes every N.
"""

import errno
import re
import signal
import subprocess
import time

from lib.case import PATIENCE, tail
from lib.scene import Scene
from lib.tap import Fail, check, diag, equal

NEVER = "once:1000000000"  # a fault that the workload does not reach
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.ENOMEM)


class Point:
    """One run with one fault."""

    def __init__(self, case, fault):
        self.case, self.fault, self.name = case, fault, fault.replace(":", "-")
        self.scene = Scene(case, self.name, replica=case.replica("replica-" + self.name))
        self.promises = []  # (txid, state) that weir sync acknowledged
        # Where nothing but a death comes, all waits are for what happens.  A replica that fails may never answer.
        self.deaths_only = fault.startswith(("kill", NEVER))
        self.faulty_log = ""

    def try_sync(self):
        """Ask for a sync.  Returns False when the daemon is gone or cannot."""
        state = self.scene.recorder.states[-1]
        end = time.monotonic() + PATIENCE
        while self.scene.daemon.alive() and time.monotonic() < end:
            try:
                done = subprocess.run([self.case.options.weir, "sync", self.scene.db, "--wait"], capture_output=True, text=True,
                                      timeout=PATIENCE if self.deaths_only else 0.7, check=False)
            except subprocess.TimeoutExpired:
                check(not self.deaths_only, f"weir sync --wait: no answer in {PATIENCE} s")
                return False  # the store fails and weir goes on trying: it may not claim anything else
            if done.returncode == 0:
                self.promises.append((int(done.stdout.split()[0]), state))
                return True
            if not self.deaths_only:
                end = min(end, time.monotonic() + 0.5)
            time.sleep(0.02)
        return False

    def workload(self):
        """Returns True when the daemon came through it and ended with 0."""
        scene = self.scene
        quick = () if self.deaths_only else ("--shutdown-timeout", "1s")
        scene.start(*quick, ready=False, program=self.case.options.program("weir_fault"),
                    env={"WEIR_FAULT": self.fault}, name="weir_fault " + self.fault)
        self.try_sync()
        scene.commit(2)
        self.try_sync()
        scene.app.sql("PRAGMA wal_checkpoint(FULL)")
        scene.commit(1, size=30000)
        self.try_sync()
        if scene.daemon.alive():
            try:
                subprocess.run([self.case.options.weir, "snapshot", scene.db], capture_output=True,
                               timeout=PATIENCE if self.deaths_only else 1.5, check=False)
            except subprocess.TimeoutExpired:
                pass  # the fault may be one that snapshots are tried again for
        scene.commit(1)
        if not scene.daemon.alive():
            return False
        scene.daemon.process.terminate()
        code = scene.daemon.wait_exit()
        if code == 0:
            self.promises.append((None, scene.recorder.states[-1]))
        return code == 0

    def aftermath(self):
        """The real daemon goes on; then everything is restored."""
        scene = self.scene
        if scene.daemon.alive():
            scene.daemon.kill()
        tip = self.promises[-1][1] if self.promises and self.promises[-1][0] is None else None
        if tip:
            equal(scene.tip().masked, tip.masked, "tip after an orderly end with exit 0")
        scene.commit(1)
        scene.start()
        scene.commit(2)
        scene.end()
        by_txid = {commit.txid: commit for commit in scene.verify(gaps=True)}
        for txid, state in self.promises:
            if txid is not None:
                check(txid in by_txid and by_txid[txid].state.masked == state.masked,
                      lambda: f"weir sync acknowledged txid {txid} = {state}, restored is {by_txid.get(txid)}")
        scene.verify_tip()

    def run(self):
        """All of it.  Returns True when no fault was met."""
        try:
            through = self.workload()
            self.faulty_log = self.scene.daemon.log()
            check("--help'" not in self.faulty_log, "this weir does not take the options of the workload")
            self.aftermath()
        except Fail as fail:
            log = tail(self.faulty_log or self.scene.daemon.log(), 15)
            raise Fail(f"WEIR_FAULT={self.fault}: {fail}\n--- log of the faulty daemon\n{log}") from None
        self.case.run("rm", "-rf", *self.scene.files())
        for key in self.scene.replica.list():
            self.scene.replica.delete(key)
        self.case.daemons.clear()
        return through


def operation_count(case):
    """How many file operations the workload makes when none of them fails."""
    point = Point(case, NEVER)
    check(point.run(), "the workload does not get through without a fault")
    found = re.search(r"calls=(\d+) fired=0", point.faulty_log)
    check(found, lambda: f"weir_fault did not say how many operations there were\n{tail(point.faulty_log)}")
    return int(found.group(1))


def sample(case, limit, seconds, full):
    """The N to try."""
    if full:
        yield from range(1, limit + 1)
        return
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        # Squaring makes small N, where start and first snapshot are, come up more often.
        number = 1 + int(limit * case.rng.random() ** 2)
        yield number


def kill(case, seconds, full):
    """kill -9 at the N-th operation."""
    limit = operation_count(case)
    tried, through = 0, 0
    for number in sample(case, limit, seconds, full):
        tried, through = tried + 1, through + Point(case, f"kill:{number}").run()
    diag(f"{tried} points up to {limit}, {through} of them behind the last operation")
    check(tried > through, "no point was inside the workload")


class Retrace:
    """A start that has more to do than most: the replica is ahead of the local state, so commits that it has already are
    read from the log once more.  A transaction that is too large for one step lies right behind them, so the step ends inside
    it, when the commits before are all accounted for and some of its pages are in the index already."""

    def __init__(self, case):
        self.case, self.scene = case, Scene(case, "behind", replica=case.replica("behind"), page_size=16384)
        scene, early = self.scene, case.path("early")
        scene.start()
        scene.commit(2)
        scene.sync()
        case.copy(scene.state_dir, early)
        scene.commit(4)
        scene.sync()
        scene.daemon.kill()
        scene.commit(1, size=12000000)  # more than one step takes in
        scene.commit(2)
        scene.app.kill()
        scene.app = None
        case.run("rm", "-r", scene.state_dir)
        case.copy(early, scene.state_dir)
        self.image = scene.save("image")
        self.objects = {key: scene.replica.read(key) for key in scene.replica.list()}
        self.states = list(scene.recorder.states)

    def bring_back(self):
        """Everything as it was."""
        self.scene.bring_back(self.image)
        for key in self.scene.replica.list():
            self.scene.replica.delete(key)
        for key, data in self.objects.items():
            self.scene.replica.write(key, data)
        self.scene.recorder.states[:] = self.states

    def killed_at(self, number):
        """True when the start and the first sync came before the N-th operation."""
        scene = self.scene
        self.bring_back()
        scene.start(ready=False, program=self.case.options.program("weir_fault"),
                    env={"WEIR_FAULT": f"kill:{number}", "WEIR_FAULT_CHANGES": "1"})
        through = False
        while scene.daemon.alive() and not through:
            through = self.case.weir("sync", scene.db, "--wait", expect=None).returncode == 0
        check(through or scene.daemon.exit_code() == -signal.SIGKILL, lambda: f"ended by itself\n{tail(scene.daemon.log())}")
        scene.daemon.kill()
        scene.open()
        scene.start()
        scene.commit(2)
        scene.end()
        try:
            scene.verify(gaps=True)
            scene.verify_tip()
        except Fail as fail:
            raise Fail(f"WEIR_FAULT=kill:{number}: {fail}") from None
        self.case.daemons.clear()
        return through


def kill_retrace(case, full):
    """kill -9 at operations of such a start that change something on the disk."""
    in_folder = case.options.store.kind == "file"  # then the replica's operations count as well
    retrace, number = Retrace(case), 1
    while not retrace.killed_at(number):
        number += 1 if full else 6 if in_folder else 2
    diag(f"{number} operations")
    check(number > (40 if in_folder else 12), "the start hardly does anything")


def errors(case, mode, seconds, full):
    """The N-th operation fails: once, or from then on."""
    limit = operation_count(case)
    tried = 0
    for number in sample(case, limit, seconds, full):
        Point(case, f"{mode}:{number}:{case.rng.choice(ERRORS)}").run()
        tried += 1
    diag(f"{tried} points up to {limit}")


def cases(options):
    """Ways to fail."""
    seconds = options.seconds or 25
    return [
        ("killed at the N-th operation", lambda case: kill(case, seconds, options.full)),
        ("killed at the N-th operation of a start that retraces", lambda case: kill_retrace(case, options.full)),
        ("the N-th operation fails once", lambda case: errors(case, "once", seconds, options.full)),
        ("all operations fail from the N-th on", lambda case: errors(case, "forever", seconds, options.full)),
    ]
