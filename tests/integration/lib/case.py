# SPDX-License-Identifier: Apache-2.0
"""One test case: its folder, its seed, its processes.

Whatever a case starts is registered here and gone when the case ends.  A process that a case forgot, or that one of its
processes left behind, is a failure of the case: it is ended by its own pid and named in the message.
"""

import ctypes
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

from lib.replica import DirStore
from lib.tap import Fail, diag
from servers.process import KEPT

PR_SET_CHILD_SUBREAPER = 36

# Seconds that anything may take which is waited for.  A wait ends as soon as it can; this is reached only by what hangs.
# No claim depends on how fast a machine is.
PATIENCE = 300


def become_subreaper():
    """Make orphans of our children our own children, so that nothing left behind can hide."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def tail(text, lines=40):
    """The last lines of a log, for a message."""
    return "\n".join(text.splitlines()[-lines:])


class Options:
    """What the command line of run.py said."""

    def __init__(self, weir, bindir, seed, seeds, commits, seconds, full, store=None):
        self.weir, self.bindir = os.path.abspath(weir), os.path.abspath(bindir)
        self.seed, self.seeds, self.commits, self.seconds, self.full = seed, seeds, commits, seconds, full
        self.store = store or DirStore()

    def program(self, name):
        """The path of a helper program that the build made: in the suites' own folder, or in the one above."""
        here = os.path.join(self.bindir, name)
        return here if os.path.exists(here) else os.path.join(os.path.dirname(self.bindir), name)


class Case:
    """Context of one case; use with `with`."""

    def __init__(self, options, name, seed):
        self.options, self.name, self.seed = options, name, seed
        self.rng = random.Random(f"{seed}/{name}")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-", dir=os.environ.get("WEIR_TEST_TMPDIR")))
        self.processes, self._proxy = [], None
        self.daemons, self.daemon_count, self.actor_count = [], 0, 0

    def __enter__(self):
        diag(f"{self.name}: WEIR_TEST_SEED={self.seed}")
        return self

    def __exit__(self, kind, error, trace):
        failed = kind is not None and kind.__name__ != "Skip"
        if failed:
            for daemon in self.daemons:
                diag(f"--- log of {daemon.name} (pid {daemon.pid}, exit {daemon.exit_code()})\n{tail(daemon.log())}")
        left = self._end_processes()
        if self._proxy:
            self._proxy.stop()
        # A root-owned or unwritable folder of a case must not break the next one.
        if failed and os.environ.get("WEIR_TEST_KEEP"):
            diag(f"kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        if left and not failed:
            raise Fail("left running at the end of the case: " + "; ".join(left))
        return False

    def _end_processes(self):
        left = []
        for process in self.processes:
            if process.poll() is None:
                left.append(f"pid {process.pid}: {' '.join(map(str, process.args))[:120]}")
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    try:
                        pipe.close()
                    except OSError:
                        pass  # a broken pipe of a process that was killed on purpose
        # What our processes left behind became our child (see become_subreaper).  A dying one gets time: the machine may be busy.
        for _ in range(400):
            orphans = children_of(os.getpid())
            if not orphans:
                return left
            time.sleep(0.05)
        for pid, command in orphans:
            left.append(f"orphan pid {pid}: {command}")
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return left

    def path(self, *parts):
        """A path below the case's folder, as text."""
        return str(self.dir.joinpath(*parts))

    def replica(self, name="replica"):
        """One of this case's replicas, wherever this run keeps replicas: see lib/replica.py."""
        return self.options.store.replica(self, name)

    @property
    def proxy(self):
        """The fault proxy between weir and the S3 server; only replicas of `proxied_replica` go through it."""
        if self._proxy is None:
            from servers.fault_proxy import FaultProxy  # pylint: disable=import-outside-toplevel
            self._proxy = FaultProxy(self.options.store.server).start()
        return self._proxy

    def proxied_replica(self, name="replica"):
        """The same replica as `replica(name)`, but weir reaches it through the fault proxy."""
        return self.options.store.replica(self, name, self.proxy.endpoint)

    def spawn(self, argv, **options):
        """Start a process that belongs to this case."""
        process = subprocess.Popen(argv, **options)  # pylint: disable=consider-using-with
        self.processes.append(process)
        return process

    def forget(self, process):
        """Take a process off the list that has ended and was waited for."""
        self.processes.remove(process)

    def run(self, *argv, expect=0, timeout=PATIENCE, env=None, preexec_fn=None):
        """Run a command to its end.  `expect` is the exit status, a tuple of allowed ones, or None for any."""
        environment = dict(os.environ, **env) if env else None
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, errors="replace", env=environment, preexec_fn=preexec_fn)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise Fail(f"{show(argv)}: still running after {timeout} s\nstdout: {tail(out)}\nstderr: {tail(err)}") from None
        allowed = expect if isinstance(expect, tuple) else (expect,)
        if expect is not None and process.returncode not in allowed:
            raise Fail(f"{show(argv)}: exit {process.returncode}, expected {expect}\nstdout: {tail(out)}\nstderr: {tail(err)}")
        if process.returncode < 0 and (expect is None or process.returncode not in allowed):
            raise Fail(f"{show(argv)}: died of signal {-process.returncode}\nstderr: {tail(err)}")
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def weir(self, *argv, **options):
        """Run one weir command."""
        return self.run(self.options.weir, *map(str, argv), **options)

    def copy(self, source, target):
        """Copy a file or folder in a process of its own: an open and close of a database file in this process would
        drop the locks that SQLite holds here."""
        self.run("cp", "-a", "--", str(source), str(target))


def show(argv):
    """A command as a person would type it."""
    return " ".join(str(a) if " " not in str(a) else repr(str(a)) for a in argv)


def children_of(parent):
    """(pid, command) of the live children of a process, test servers aside; dead ones that nobody waited for are
    collected."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in KEPT:
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            if int(fields[1]) != parent:
                continue
            if fields[0] == "Z":
                os.waitpid(int(entry), os.WNOHANG)
                continue
            with open(f"/proc/{entry}/cmdline", encoding="utf-8", errors="replace") as file:
                found.append((int(entry), file.read().replace("\0", " ").strip()[:160]))
        except (OSError, ChildProcessError):
            continue
    return found


def wait_settled(look, what, looks=25, pause=0.02):
    """Poll until so many looks in a row saw the same, and return that.  Looks are counted rather than seconds: a machine that
    stands still is not taken for one on which nothing happens."""
    seen = [look()]

    def settled():
        seen.append(look())
        if seen[-1] != seen[-2]:
            del seen[:-1]
        return len(seen) > looks
    wait_until(settled, f"the same {what} {looks} times in a row", pause=pause)
    return seen[-1]


def wait_until(condition, what, timeout=PATIENCE, pause=0.02):
    """Poll until the condition gives something true, and return that.  `what` may be a function that tells, at the end, how far it came."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Fail(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(pause)
