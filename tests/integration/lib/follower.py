# SPDX-License-Identifier: Apache-2.0
"""A copy that `weir restore --follow` keeps, and processes that read it all the time."""

import json
import os
import signal
import subprocess
import sys

from lib.case import PATIENCE, tail, wait_until
from lib.daemon import BAD_SIGNS
from lib.history import Recorder
from lib.tap import Fail, check

# A reader: one connection that stays, one that is new each time.  Each transaction looks twice at the same, with a pause,
# so that a change under it shows.  It prints a line when it has begun to read, and what was wrong.
READER = """
import sqlite3, sys, time
uri, check_sql, quick = "file:" + sys.argv[1] + "?mode=ro", sys.argv[2], 0
def look(c):
    return c.execute(check_sql).fetchone()
def connect():
    c = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
    c.execute("PRAGMA cache_size=20")
    return c
kept, last, rounds = connect(), 0, 0
while True:
    for c in (kept, connect()):
        c.execute("BEGIN")
        good, sequence = look(c)
        time.sleep(0.002)
        again = look(c)
        if again != (good, sequence):
            sys.exit(f"a transaction saw {(good, sequence)}, then {again}")
        if rounds % 16 == 0 and c.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
            sys.exit("quick_check")
        c.execute("COMMIT")
        if not good:
            sys.exit(f"the invariant does not hold at {sequence}")
        if sequence < last:
            sys.exit(f"back from {last} to {sequence}")
        last = sequence
        if c is not kept:
            c.close()
    rounds += 1
    if rounds == 1:
        print("reading", flush=True)
"""


class Reader:
    """Reads all the time; its query gives (does the invariant hold, a number that never falls)."""

    def __init__(self, case, db, query):
        self.case = case
        self.process = case.spawn([sys.executable, "-c", READER, db, query], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == "reading\n", "the reader did not begin")

    def end(self):
        """It has seen nothing wrong; end it."""
        code = self.process.poll()
        if code is not None:
            raise Fail(f"the reader ended: {self.process.stderr.read()}")
        self.process.terminate()
        self.process.wait()


class Follower:
    """`weir restore --follow --json`."""

    def __init__(self, case, url, copy, *args, interval="20ms"):
        self.case, self.url, self.copy = case, url, copy
        self.argv = [case.options.weir, "restore", url, "-o", copy, "--follow", "--json", "--interval", interval, *args]
        self.process, self.name, self.pid = None, "follower", None
        case.daemon_count += 1
        self.log_path = case.path(f"log-{case.daemon_count}-follower")
        self.complaints_path = self.log_path + "-complaints"
        case.daemons.append(self)
        self.mark = 0

    def start(self, ready=True):
        """Start it; with `ready`, return when the copy can be read."""
        self.mark = len(self.events())
        with open(self.log_path, "ab") as out, open(self.complaints_path, "ab") as err:
            self.process = self.case.spawn(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.pid = self.process.pid
        if ready:
            self.wait_for("ready")
        return self

    def log(self):
        """What it complained about, and what it told."""
        text = ""
        for path in (self.log_path, self.complaints_path):
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text += file.read()
        return text

    def complaints(self):
        """Its standard error."""
        with open(self.complaints_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def events(self, kind=None):
        """The lines so far; the last one may be in the midst of being written."""
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if kind is None or line.get("event") == kind]

    def exit_code(self):
        """The exit status, or None while it runs."""
        return self.process.poll() if self.process else None

    def alive(self):
        """True while it runs."""
        return self.process is not None and self.process.poll() is None

    def _wait(self, condition, what):
        def look():
            found = condition()
            if not found and not self.alive() and not condition():
                raise Fail(f"the follower ended with {self.exit_code()} instead of: {what}\n{tail(self.log())}")
            return found or condition()
        return wait_until(look, f"{what}\n{tail(self.log(), 10)}")

    def wait_for(self, kind, since=None):
        """The first event of this kind since its start, or since an earlier len(events())."""
        mark = self.mark if since is None else since
        return self._wait(lambda: next((e for e in self.events()[mark:] if e.get("event") == kind), None), f"event {kind}")

    def wait_txid(self, txid):
        """The copy has this commit."""
        return self._wait(lambda: next((e for e in reversed(self.events()[self.mark:]) if "event" in e and e["txid"] >= txid),
                                       None), f"txid {txid}")

    def wait_exit(self, expect):
        """It ends by itself."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Fail(f"the follower still runs, expected exit {expect}\n{tail(self.log())}") from None
        check(code == expect, lambda: f"the follower: exit {code}, expected {expect}\n{tail(self.log())}")
        for sign in BAD_SIGNS:
            check(sign not in self.log(), lambda: f"the follower's log has {sign!r}\n{tail(self.log())}")

    def stop(self):
        """SIGTERM."""
        check(self.alive(), lambda: f"the follower ended with {self.exit_code()}\n{tail(self.log())}")
        self.process.send_signal(signal.SIGTERM)
        self.wait_exit(0)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def state(self):
        """The state that a reader sees now."""
        return Recorder(self.copy, keep_open=False).take()
