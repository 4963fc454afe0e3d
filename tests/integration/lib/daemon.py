# SPDX-License-Identifier: Apache-2.0
"""A weir daemon under test, and the commands that look at what it made."""

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import time

from lib.case import PATIENCE, show, tail
from lib.history import Commit, fingerprint_file
from lib.tap import Fail, check

# What no run may ever print, whatever else the case is about.
BAD_SIGNS = ("Assertion", "AddressSanitizer", "runtime error:", "LeakSanitizer", "stack smashing", "UndefinedBehavior")


class Daemon:
    """`weir replicate` on one database."""

    def __init__(self, case, db, *urls, args=(), env=None, program=None, name="weir", preexec_fn=None):
        self.case, self.db, self.urls, self.name = case, db, urls, name
        usual = {"--sync-interval": "20ms", "--shutdown-timeout": f"{PATIENCE}s"}
        usual = [word for name_value in usual.items() if name_value[0] not in args for word in name_value]
        self.argv = [program or case.options.weir, "replicate", *usual, *args, db, *urls]
        self.env, self.preexec_fn = env, preexec_fn
        self.process, self.pid = None, None
        case.daemon_count += 1
        self.log_path = case.path(f"log-{case.daemon_count}-{name.replace(' ', '-')}")
        case.daemons.append(self)

    def start(self, ready=True):
        """Start it; with `ready`, return when it replicates."""
        with open(self.log_path, "ab") as log:
            self.process = self.case.spawn(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           env=dict(os.environ, **self.env) if self.env else None,
                                           preexec_fn=self.preexec_fn)
        self.pid = self.process.pid
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=PATIENCE):
        """Wait until the daemon acknowledges a sync."""
        end = time.monotonic() + timeout
        while True:
            done = self.case.weir("sync", self.db, "--wait", expect=None)
            if done.returncode == 0:
                return int(done.stdout.split()[0])
            if self.process.poll() is not None:
                raise Fail(f"{show(self.argv)}: exit {self.process.returncode} instead of getting ready\n{tail(self.log())}")
            if time.monotonic() > end:
                raise Fail(f"{show(self.argv)}: not ready after {timeout} s; weir sync --wait says: exit {done.returncode} "
                           f"{tail(done.stderr)}\n{tail(self.log())}")
            time.sleep(0.03)

    def sync(self, timeout=PATIENCE):
        """Return the txid up to which everything is durable in the replica."""
        done = self.case.weir("sync", self.db, "--wait", timeout=timeout)
        words = done.stdout.split()
        check(words and words[0].isdigit(), f"weir sync --wait printed {done.stdout!r}, not a txid")
        return int(words[0])

    def status(self):
        """`weir status --json` of the database."""
        return json.loads(self.case.weir("status", self.db, "--json").stdout)

    def exit_code(self):
        """The exit status, or None while it runs (or was never started)."""
        return self.process.poll() if self.process else None

    def alive(self):
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    def wait_exit(self, timeout=PATIENCE + 30, expect=None):
        """Wait for the daemon to end by itself and return its status."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Fail(f"{show(self.argv)}: still running after {timeout} s, expected exit {expect}\n"
                       f"{tail(self.log())}") from None
        self._collect()
        allowed = expect if isinstance(expect, tuple) or expect is None else (expect,)
        check(allowed is None or code in allowed,
              lambda: f"{show(self.argv)}: exit {code}, expected {expect}\n{tail(self.log())}")
        return code

    def stop(self, sig=signal.SIGTERM, expect=0):
        """End it in order; what is left must have been shipped (exit 0)."""
        check(self.alive(), lambda: f"{show(self.argv)}: ended before it was stopped, exit {self.exit_code()}\n{tail(self.log())}")
        self.process.send_signal(sig)
        return self.wait_exit(expect=expect)

    def kill(self):
        """kill -9."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._collect()

    def _collect(self):
        text = self.log()
        for sign in BAD_SIGNS:
            check(sign not in text, lambda: f"{show(self.argv)}: the log has {sign!r}\n{tail(text)}")

    def log(self):
        """All that it printed so far; of a line that is just being written nothing."""
        alive = self.alive()
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except FileNotFoundError:
            return ""
        return text[:text.rfind("\n") + 1] if alive else text

    def log_since(self, mark):
        """What it printed after the first `mark` characters."""
        return self.log()[mark:]


def log_of(case, url):
    """`weir log --json`: all commits of the replica, checked for order."""
    commits = []
    for line in case.weir("log", url, "--json").stdout.splitlines():
        commits.append(Commit.from_json(json.loads(line)))
    return commits


def pruned_of(case, url):
    """{timeline: [(first, last)]}: what `weir ls --json` says that retention took out of the log."""
    found = json.loads(case.weir("ls", url, "--json").stdout)["timelines"]
    return {one["timeline"]: [(r["first_txid"], r["last_txid"]) for r in one["pruned"]] for one in found}


def check_order(commits, pruned=None):
    """txids without a gap but for those that retention made (pruned_of), and times that never fall back, within every timeline."""
    for before, after in zip(commits, commits[1:]):
        if before.timeline != after.timeline:
            continue
        missing = range(before.txid + 1, after.txid)
        ranges = (pruned or {}).get(after.timeline, [])
        check(after.txid > before.txid and all(any(a <= txid <= b for a, b in ranges) for txid in missing),
              f"weir log: txid {after.txid} follows {before.txid}")
        check(after.time >= before.time, f"weir log: time of txid {after.txid} is before that of {before.txid}")


def restore(case, url, target, *args, expect=0, **options):
    """One restore to a path."""
    return case.weir("restore", url, "-o", target, *args, expect=expect, **options)


def restore_state(case, url, txid=None, timeline=None, args=("--verify", "state")):
    """Restore into a scratch folder and return the fingerprint of the file."""
    folder = case.path(f"restore-{timeline or 0}-{txid or 'tip'}-{time.monotonic_ns()}")
    os.mkdir(folder)
    try:
        target = os.path.join(folder, "r.db")
        which = (["--txid", txid] if txid is not None else []) + (["--timeline", timeline] if timeline is not None else [])
        restore(case, url, target, *which, *args)
        return fingerprint_file(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def restore_all(case, url, commits, workers=2):
    """Restore every commit of a listing and note the fingerprint in it."""
    def one(commit):
        commit.state = restore_state(case, url, commit.txid, commit.timeline)
        check(commit.pages in (None, commit.state.pages) or not commit.pages_is_size,
              lambda: f"txid {commit.txid}: weir log says {commit.pages} pages, the restored file has {commit.state.pages}")
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(one, commit) for commit in commits]:
            done.result()
    return commits
