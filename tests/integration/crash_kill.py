# SPDX-License-Identifier: Apache-2.0
"""crash_kill: kill -9 of the daemon, of applications, or of everything, at random moments, round after round.

Claims: what was committed before a `weir sync --wait` that returned 0 is in the restore of the txid that it printed, for
ever; each restored state is sound and has no hole in any writer's numbers; after the last restart the tip equals the
source byte for byte.
"""

import subprocess
import time

from concurrently import at_least, check_prefixes, make_journal, restored_sequences, source_state
from lib import workers
from lib.case import PATIENCE
from lib.daemon import Daemon
from lib.tap import check, diag, equal

WRITERS = (("writer", "c1"), ("writer", "c2"), ("py-writer", "p1"))
PROMISES_BETWEEN_LOOKS = 12


class Rounds:
    """The cast of one case."""

    def __init__(self, case, page_size):
        self.case, self.db, self.url = case, case.path("app.db"), case.replica().url
        make_journal(case, self.db, page_size)
        self.daemon = Daemon(case, self.db, self.url)
        self.writers, self.done = {}, {}
        self.promises, self.kept, self.kills = [], 0, 0

    def start_missing(self):
        """Start whoever is not there."""
        if not self.daemon.alive():
            self.daemon.start(ready=False)
        for role, name in WRITERS:
            if name not in self.writers:
                self.writers[name] = workers.start_actor(self.case, role, self.db, name, self.case.rng.randrange(1 << 30))

    def acknowledged(self):
        """{writer: number}, over all its lives."""
        for name, process in self.writers.items():
            self.done[name] = max(self.done.get(name, 0), workers.acknowledged(process))
        return dict(self.done)

    def kill(self, names, daemon):
        """kill -9."""
        for name in names:
            process = self.writers[name]
            process.kill()
        if daemon:
            self.daemon.kill()
        for name in names:
            process = self.writers[name]
            process.wait()
            self.done[name] = max(self.done.get(name, 0), workers.acknowledged(process))
            process.stdin.close()
            self.case.forget(self.writers.pop(name))
        self.kills += len(names) + daemon

    def round(self):
        """One kill, with a sync under way that may or may not come through."""
        rng = self.case.rng
        self.start_missing()
        time.sleep(rng.choice((0, rng.uniform(0, 0.03), rng.uniform(0, 0.25))))  # any moment will do
        if rng.random() < 0.3:
            self.daemon.wait_ready()
        before = self.acknowledged()
        sync = self.case.spawn([self.case.options.weir, "sync", self.db, "--wait"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
        time.sleep(rng.choice((0, rng.uniform(0, 0.02), rng.uniform(0, 0.1))))  # any moment will do
        victims = rng.choice(([], [], [rng.choice(WRITERS)[1]], [name for _, name in WRITERS]))
        self.kill(victims, daemon=not victims or rng.random() < 0.4)
        out, _ = sync.communicate(timeout=PATIENCE)
        self.case.forget(sync)
        if sync.returncode == 0:
            self.promises.append((int(out.split()[0]), before))
        check(not self.daemon.exit_code() or self.daemon.exit_code() == -9,
              lambda: f"the daemon ended by itself, exit {self.daemon.exit_code()}")

    def look(self):
        """Restore what was promised since the last look."""
        for txid, promised in self.promises:
            found, _ = restored_sequences(self.case, self.url, txid)
            at_least(found, promised, f"acknowledged txid {txid}")
        self.kept += len(self.promises)
        self.promises = []

    def finish(self):
        """Everybody lives once more and ends in order; then the final claims."""
        self.start_missing()
        self.daemon.wait_ready()
        for process in self.writers.values():
            workers.stop_actor(process)
        promised = self.acknowledged()
        self.daemon.stop()
        self.look()
        state = source_state(self.case, self.db)
        found, tip = restored_sequences(self.case, self.url)
        equal(tip.full, state.full, "tip of the replica and the source file")
        at_least(found, promised, "tip")


def one(case, page_size, seconds):
    """Rounds for a time."""
    rounds, began, count = Rounds(case, page_size), time.monotonic(), 0
    while time.monotonic() < began + seconds or (not rounds.kept + len(rounds.promises) and time.monotonic() < began + PATIENCE):
        rounds.round()
        count += 1
        if len(rounds.promises) >= PROMISES_BETWEEN_LOOKS:
            rounds.look()
    rounds.finish()
    check_prefixes(case, rounds.url, 12)
    diag(f"{count} rounds, {rounds.kills} kills, {rounds.kept} acknowledged syncs kept")
    check(rounds.kept > 0, "no sync was ever acknowledged")


def cases(options):
    """One case per page size."""
    seconds = options.seconds or 20
    return [(f"rounds with pages of {page_size}", lambda case, n=page_size: one(case, n, seconds))
            for page_size in (4096, 512, 32768)[:options.seeds or 3]]
