# SPDX-License-Identifier: Apache-2.0
"""crash_power: the power fails.  What nobody synced is gone, or there in part: of the database, its log, weir's own files.

The application and weir run with `tests/support/power_vfs.c` under their SQLite, which writes down each change and sync of
database, log and journal, whoever makes it.  At the cut everybody is dead, and `power_cut` makes the files as a disk
could have kept them, chosen by a seed; its head says what is modelled.  In some cases the machine that loses power has
weir's local state and the replica, too (`weir_fault` with WEIR_FAULT_POWER: tests/support/fault_power.h).

Claims, cut after cut on the same database:
  - what SQLite recovers is sound and one of the states that were committed; with synchronous=FULL none that was reported
    as committed is lost, weir or no weir;
  - what `weir sync --wait` acknowledged is in the replica, and the replica's history up to its tip is the recorded one;
  - weir starts by itself and ships what SQLite recovered: exactly, if the replica had no more than that; otherwise it reports
    the loss, goes on with a resync, and the lost commits stay restorable by txid.
"""

import os
import re
import signal
import time

from lib.case import tail, wait_until
from lib.daemon import Daemon, check_order, log_of, restore, restore_all
from lib.history import Recorder, compare
from lib.tap import Fail, check, diag, equal
from lib.workers import Worker

ROUNDS = 3
CHECKPOINTS = ("PASSIVE", "PASSIVE", "FULL", "RESTART", "TRUNCATE")


def groups_end(states, masked):
    """The last position of a state that differs in nothing but the change counter, or -1."""
    return max((n for n, state in enumerate(states) if state.masked == masked), default=-1)


class World:
    """One database, one application, one weir, one replica, and the power that fails."""

    def __init__(self, case, number, synchronous, whole):
        self.case, self.rng, self.synchronous, self.whole = case, case.rng, synchronous, whole
        self.db, self.trace = case.path(f"app{number}.db"), case.path(f"trace{number}")
        self.replica = case.replica(f"replica{number}")
        self.env = {"POWER_TRACE": self.trace, "POWER_DB": self.db}
        self.recorder = Recorder(self.db, keep_open=False)
        self.app = self.holder = self.daemon = None
        self.daemons = []  # since the last cut
        self.rows, self.promises = 0, []
        self.under_way = False  # the last row's COMMIT has not returned
        self.base, self.verified = 0, 0  # the last state of the record, and the last commit of the replica, that were compared
        self.counts = {"lost": 0, "resynced": 0, "behind": 0}
        self.begin()
        self.page_size = self.rng.choice((512, 1024, 4096, 4096))
        self.open(f"PRAGMA page_size={self.page_size}; PRAGMA journal_mode=WAL; "
                  "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v BLOB); CREATE INDEX tk ON t(k); ")
        self.commit(400)
        self.begin()

    def begin(self):
        """What is there now is safe.  Nobody is at work."""
        self.case.run(self.case.options.program("power_cut"), "begin", self.trace, self.db)

    # --- the cast ------------------------------------------------------------------------------------------

    def open(self, setup=""):
        """The application, and a second connection that only sees to it that no look of ours is the last one to be closed:
        that would checkpoint, past the layer."""
        self.app = Worker(self.case, self.db, env=self.env)
        self.app.sql(f"{setup}PRAGMA wal_autocheckpoint={self.rng.choice((0, 0, 10, 1000))}; PRAGMA synchronous={self.synchronous}")
        self.holder = Worker(self.case, self.db, env=self.env)
        self.holder.sql("SELECT count(*) FROM sqlite_schema")

    def start(self, may_die=True):
        """weir, which in some rounds dies at a checkpoint or reset of its own before the power fails."""
        env = dict(self.env)
        if self.whole:
            env["WEIR_FAULT_POWER"] = str(self.rng.randrange(1 << 31))
        if may_die and self.rng.random() < 0.25:
            env["POWER_KILL"] = str(self.rng.randrange(1, 400))
        self.start_one(env)
        if not self.daemon.alive() and env.pop("POWER_KILL", None):  # it died while it started: now it may live
            self.start_one(env)
        check(self.daemon.exit_code() in (None, -signal.SIGKILL), lambda: f"weir ended\n{tail(self.daemon.log())}")

    def start_one(self, env):
        """One process; returns when it acknowledged a sync, or is dead.  It may die right behind that."""
        self.daemon = Daemon(self.case, self.db, self.replica.url, program=self.case.options.program("weir_fault"), env=env)
        self.daemon.start(ready=False)
        self.daemons.append(self.daemon)
        wait_until(lambda: not self.daemon.alive() or self.ask_sync() is not None, "weir to be ready, or dead")

    # --- what they do --------------------------------------------------------------------------------------

    def commit(self, size):
        """A recorded commit."""
        self.rows, self.under_way = self.rows + 1, True
        self.app.sql(f"BEGIN IMMEDIATE; INSERT INTO t(k, v) VALUES ({self.rows}, randomblob({size})); "
                     f"UPDATE t SET v = randomblob({max(1, size // 3)}) WHERE id = 1 + abs(random()) % {self.rows}; COMMIT")
        self.under_way = False
        return self.recorder.record(f"row {self.rows}")

    def ask_sync(self):
        """The txid that weir acknowledges, or None."""
        done = self.case.weir("sync", self.db, "--wait", expect=None)
        return int(done.stdout.split()[0]) if done.returncode == 0 else None

    def sync(self):
        """Ask weir to acknowledge what is there; when it is dead it cannot."""
        txid = self.ask_sync()
        if txid is not None:
            self.promises.append((txid, self.recorder.states[-1]))
        else:
            wait_until(lambda: not self.daemon.alive(), "weir is alive and does not sync")

    def act(self):
        """Something that an application does, or its user."""
        choice = self.rng.random()
        if choice < 0.53:
            self.commit(self.rng.choice((40, 400, 400, 4000, 20000)))
        elif choice < 0.65:
            # Past a thousand frames, where weir starts the log over; mostly it gets the time to.
            self.commit(1100 * self.page_size)
            time.sleep(self.rng.choice((0, 0.05, 0.05)))
        elif choice < 0.8:
            self.app.sql("PRAGMA busy_timeout=200")
            self.app.try_sql(f"PRAGMA wal_checkpoint({self.rng.choice(CHECKPOINTS)})")
            self.app.sql("PRAGMA busy_timeout=300000")
        elif choice < 0.9:
            self.sync()
        else:
            time.sleep(self.rng.random() * 0.06)  # an idle application

    def act_until_death(self):
        """The application dies inside a commit or checkpoint: in place of one of its next changes or syncs."""
        self.app.sql(f"PRAGMA power_kill={1 + int(80 * self.rng.random() ** 2)}")
        try:
            for _ in range(300):
                self.act()
        except Fail:
            if self.app.process.poll() is None:
                raise
        check(self.app.process.poll() == -signal.SIGKILL, lambda: f"the application ended with {self.app.process.poll()}")

    # --- the power fails -----------------------------------------------------------------------------------

    def everybody_dies(self):
        """In any order; what weir still does after the others died is in the trace as well."""
        daemon, lives = self.daemon.process, self.daemon.alive()
        if lives and self.rng.random() < 0.5:
            time.sleep(self.rng.random() * 0.05)  # any moment will do
        applications = [worker for worker in (self.app, self.holder) if worker.process.poll() is None]
        first = self.rng.random() < 0.5
        if lives and first:
            daemon.send_signal(signal.SIGPWR if self.whole else signal.SIGKILL)
        for worker in applications:
            worker.process.kill()
        if lives and not first:
            daemon.send_signal(signal.SIGPWR if self.whole else signal.SIGKILL)
        daemon.wait()
        for worker in (self.app, self.holder):
            worker.kill()

    def cut(self):
        """Returns how many of the recorded commits the application was told of."""
        acknowledged = len(self.recorder.states)
        self.recorder.record("the last look")  # a commit that came through without a word of it
        self.everybody_dies()
        done = self.case.run(self.case.options.program("power_cut"), "cut", self.trace, self.db, str(self.rng.randrange(1 << 31)))
        diag(done.stdout.strip())
        return acknowledged

    # --- and comes back ------------------------------------------------------------------------------------

    def recovered(self, acknowledged):
        """What SQLite makes of the files: the position in the record.  What was lost is no part of the history then."""
        equal(self.app.sql("PRAGMA integrity_check"), ["ok"], "integrity_check of the recovered database")
        found = self.recorder.take("recovered")
        at = groups_end(self.recorder.states, found.masked)
        if at < 0 and self.under_way and self.app.sql("SELECT max(k) FROM t") == [str(self.rows)]:
            self.recorder.states.append(found)  # the application died before it was told, but its last commit is there
            at = len(self.recorder.states) - 1
        self.under_way = False
        check(at >= 0, f"SQLite recovered {found}, which is none of {len(self.recorder.states)} recorded states")
        check(self.synchronous != "FULL" or at >= acknowledged - 1,
              f"synchronous=FULL, but of {acknowledged} commits the last {acknowledged - 1 - at} are lost")
        return at, found

    def check_before(self, record, commits):
        """Up to the cut the replica is a prefix of the record, exactly.  Returns the position of its tip."""
        tip = groups_end(record, commits[-1].state.masked)
        check(tip >= 0, lambda: f"the tip {commits[-1].state} is none of {len(record)} recorded states")
        seen = record[self.base:tip + 1]
        # Weir may have started the log over between the last commit and the look at it, a commit that changes the change
        # counter only, and the power failed before it was shipped.
        late = seen[-1].full
        if late not in [commit.state.full for commit in commits]:
            seen = [commits[-1].state if state.full == late else state for state in seen]
        wrong = compare(seen, commits)
        check(not wrong, lambda: "before the cut: " + "\n".join(wrong))
        return tip

    def check_after(self, commits, expected, lost, touched):
        """From the cut on: exact, or a resync and then exact.  A loss is told; if the database was written to before weir came,
        or is at a state that is no commit of the history (a resync stands for it and others), it need not be known for one."""
        wrong = compare(expected, commits, gaps=True)
        check(not wrong, lambda: "after the cut: " + "\n".join(wrong))
        if lost:
            log = "\n".join(daemon.log() for daemon in self.daemons)
            told = r" warn .*(lost|lacks) commits" if not touched else r" warn .*((lost|lacks) commits|resynchronised)"
            check(re.search(told, log), lambda: f"the loss is not reported\n{tail(log)}")
            check(commits[1].resync, f"the first commit after the loss is not marked as a resync: {commits[1].raw}")
        self.counts["lost"] += lost
        self.counts["resynced"] += any(commit.resync for commit in commits[1:])

    def check_tip(self):
        """The replica's tip is the source, and sound."""
        target = self.case.path("tip.db")
        restore(self.case, self.replica.url, target)
        done = self.case.run("sqlite3", target, "PRAGMA integrity_check")
        equal(done.stdout.strip(), "ok", "integrity_check of the restored tip")
        os.unlink(target)

    def round(self):
        """Work, a cut, recovery, and the claims."""
        for _ in range(self.rng.randrange(2, 16)):
            self.act()
        if self.rng.random() < 0.6:
            self.act_until_death()
        acknowledged = self.cut()
        count = len(log_of(self.case, self.replica.url))
        self.open()
        at, found = self.recovered(acknowledged)
        record = list(self.recorder.states)
        self.recorder.states, self.daemons = [found], []
        touched = self.rng.random() < 0.4
        if touched:
            self.commit(self.rng.choice((40, 3000)))  # before weir is back
        self.start()
        for _ in range(self.rng.randrange(1, 4)):
            self.commit(400)
        self.sync()
        if not self.daemon.alive():  # of POWER_KILL, before it shipped all: what matters here is a later one
            self.start(may_die=False)
            self.sync()
        self.verify(record, at, count, touched)

    def verify(self, record, at, count, touched):
        """All claims.  The record begins with what was recovered, because the next cut may lead back to that."""
        recent = self.recorder.states
        log = log_of(self.case, self.replica.url)
        check_order(log)
        commits = restore_all(self.case, self.replica.url, log)
        tip = self.check_before(record, commits[self.verified:count])
        self.counts["behind"] += at > tip
        self.check_after(commits[count - 1:], record[tip:at] + recent if at > tip else [record[tip]] + recent,
                         at < tip, touched or recent[0].full not in [commit.state.full for commit in commits[:count]])
        by_txid = {commit.txid: commit for commit in commits}
        for txid, state in self.promises:
            check(txid in by_txid and by_txid[txid].state.masked == state.masked,
                  lambda: f"weir sync acknowledged txid {txid} = {state}, restored is {by_txid.get(txid)}")
        self.check_tip()
        self.base, self.verified = len(recent) - 1, len(commits) - 1

    def run(self):
        """Cut after cut."""
        self.start()
        self.sync()
        for _ in range(ROUNDS):
            self.round()
        if self.daemon.alive():
            self.daemon.kill()
        for worker in (self.app, self.holder):
            worker.kill()
        self.case.run("rm", "-rf", self.trace, *(self.db + end for end in ("", "-wal", "-shm", "-weir")))
        for key in self.replica.list():
            self.replica.delete(key)
        self.case.daemons.clear()


def worlds(case, synchronous, whole, count):
    """So many databases, so many cuts each."""
    sums = {}
    for number in range(count):
        world = World(case, number, synchronous, whole)
        try:
            world.run()
        except Fail as fail:
            raise Fail(f"world {number}: {fail}") from None
        for name, value in world.counts.items():
            sums[name] = sums.get(name, 0) + value
    diag(f"{count * ROUNDS} cuts: {sums['lost']} took commits that the replica had, at {sums['behind']} it had less than the "
         f"database, {sums['resynced']} resyncs")
    check(synchronous == "FULL" or count < 4 or sums["lost"] > 0, "no cut took away anything: the model does nothing")


def cases(options):
    """synchronous=NORMAL and FULL, with the replica elsewhere, and on the same disk."""
    count = options.seeds or (60 if options.full else 3)
    return [(f"synchronous={synchronous}, the power of {'everything' if whole else 'the database'} fails",
             lambda case, s=synchronous, w=whole: worlds(case, s, w, count))
            for synchronous in ("NORMAL", "FULL") for whole in (False, True)]
