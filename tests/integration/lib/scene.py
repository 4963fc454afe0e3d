# SPDX-License-Identifier: Apache-2.0
"""A database with one application, one daemon and one replica: what the stories of the other suites are told with."""

import os

from lib.daemon import Daemon, check_order, log_of, restore_all, restore_state
from lib.history import Recorder, compare
from lib.tap import Fail, check, equal
from lib.workers import Worker


class Scene:
    """See the module.  Every commit made through it is recorded."""

    def __init__(self, case, name="app", replica=None, worker="c", page_size=4096, create=True):
        self.case, self.db = case, case.path(f"{name}.db")
        self.replica = replica or case.replica()
        self.url = self.replica.url
        self.worker_kind, self.app, self.daemon = worker, None, None
        self.recorder = Recorder(self.db, keep_open=False)
        self.rows = 0
        if create:
            self.open()
            self.app.sql(f"PRAGMA page_size={page_size}; PRAGMA journal_mode=WAL; "
                         "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v BLOB); CREATE INDEX tk ON t(k)")
            self.commit(2)

    # --- the application -----------------------------------------------------------------------------------

    def open(self, autocheckpoint=0):
        """Start the application with one connection.  By default it leaves the log alone."""
        self.app = Worker(self.case, self.db, self.worker_kind)
        self.app.sql(f"PRAGMA wal_autocheckpoint={autocheckpoint}; PRAGMA synchronous=NORMAL")

    def close(self):
        """Close the application's connection, in order."""
        self.app.close()
        self.app = None

    def commit(self, count=1, size=400):
        """So many recorded commits."""
        for _ in range(count):
            self.rows += 1
            self.app.sql(f"BEGIN IMMEDIATE; INSERT INTO t(k, v) VALUES ({self.rows}, randomblob({size})); "
                         f"UPDATE t SET v = randomblob({max(1, size // 2)}) WHERE id = 1 + abs(random()) % {self.rows}; COMMIT")
            state = self.recorder.record(f"row {self.rows}")
        return state

    def reset_log(self, commits=2):
        """Checkpoint everything, so that the next commit starts the log anew; then commit."""
        self.app.sql("PRAGMA wal_checkpoint(RESTART)")
        return self.commit(commits)

    # --- the daemon ----------------------------------------------------------------------------------------

    def start(self, *args, ready=True, **options):
        """Start a new daemon on the database.  The record begins with what the first one finds."""
        if self.daemon is None:
            del self.recorder.states[:-1]
        self.daemon = Daemon(self.case, self.db, self.url, args=args, **options).start(ready)
        return self.daemon

    def sync(self):
        """Everything so far is in the replica; returns the txid."""
        return self.daemon.sync()

    def stop(self, **options):
        """End the daemon in order."""
        return self.daemon.stop(**options)

    def end(self):
        """Ship the rest, end everything."""
        if self.daemon and self.daemon.alive():
            self.sync()
            self.stop()
        if self.app:
            self.close()

    # --- the replica ---------------------------------------------------------------------------------------

    def log(self):
        """weir log, checked for order."""
        commits = log_of(self.case, self.url)
        check_order(commits)
        return commits

    def verify(self, gaps=False, recorded=None):
        """Restore every txid and compare with the record.  Returns the commits."""
        commits = restore_all(self.case, self.url, self.log())
        wrong = compare(recorded or self.recorder.states, commits, gaps)
        if wrong:
            raise Fail("\n".join(wrong))
        return commits

    def tip(self, **which):
        """State of a restore."""
        return restore_state(self.case, self.url, **which)

    def verify_tip(self):
        """The tip of the replica is the present state of the source, but for weir's own mark."""
        present = self.recorder.take()
        tip = self.tip()
        equal(tip.masked, present.masked, "tip of the replica and the source")

    # --- files ---------------------------------------------------------------------------------------------

    @property
    def state_dir(self):
        """The daemon's local state."""
        return self.db + "-weir"

    def files(self):
        """What belongs to the database on disk."""
        return [path for path in (self.db, self.db + "-wal", self.db + "-shm", self.state_dir) if os.path.exists(path)]

    def save(self, name):
        """Copy database, log and local state to another folder: an image of the disk."""
        folder = self.case.path(name)
        os.mkdir(folder)
        for path in self.files():
            if not path.endswith("-shm"):
                self.case.copy(path, folder)
        return folder

    def bring_back(self, folder):
        """Put an image of the disk in place of what is there.  Nobody may have it open."""
        check(not self.app, "the application still has the database open")
        self.case.run("rm", "-rf", *self.files())
        for name in os.listdir(folder):
            self.case.copy(os.path.join(folder, name), os.path.dirname(self.db))
