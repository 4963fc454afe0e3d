# SPDX-License-Identifier: Apache-2.0
"""The two programs under measurement, behind one interface: start, stop, restore, and which file holds which commit."""
import bisect
import os
import re
import shlex
import signal
import subprocess
import time

from bench_watch import Arrivals, PeakRss, cpu_seconds

WAL_HEADER, FRAME_HEADER = 32, 24


def lag(appeared, committed, last):
    """Of a commit that is in this object, or, when it is the last one, may be behind it.  A writer that waits for a processor
    between the end of COMMIT and its look at the clock can be later than the object."""
    return None if last and appeared < committed else max(appeared - committed, 0)


class Tool:
    name = ""
    segment = snapshot = None  # patterns of paths below the replica

    def __init__(self, binary):
        self.binary = binary

    def command(self, db, replica, fast):
        raise NotImplementedError

    def restore_command(self, replica, target):
        raise NotImplementedError

    def lags(self, commits, arrivals, page_size, salt_before):
        """For each commit the ns until a file that holds it appeared, or None while none has."""
        raise NotImplementedError


class Litestream(Tool):
    name = "Litestream"
    segment = re.compile(r"generations/[0-9a-f]+/wal/([0-9a-f]{8})_([0-9a-f]{8})\.wal\.lz4")
    snapshot = re.compile(r"generations/[0-9a-f]+/snapshots/[0-9a-f]{8}\.snapshot\.lz4")

    def command(self, db, replica, fast):
        interval = "10ms" if fast else "1s"
        config = replica + ".yml"
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"dbs:\n  - path: {db}\n    monitor-interval: {interval}\n    replicas:\n")
            f.write(f"      - type: file\n        path: {replica}\n        sync-interval: {interval}\n")
        return [self.binary, "replicate", "-config", config]

    def restore_command(self, replica, target):
        return [self.binary, "restore", "-o", target, "file://" + replica]

    def lags(self, commits, arrivals, page_size, salt_before):
        # A segment is named after its place in the log: its number (raised by one at each reset) and byte offset.
        files = sorted((int(m[1], 16), int(m[2], 16), ns) for m, ns in arrivals)
        places = [f[:2] for f in files]
        first = commits[0][0] if commits else 0
        number_before = max((f[0] for f in files if f[2] < first), default=0)
        out = []
        for ns, _, salt, frame in commits:
            number = number_before + ((salt - salt_before) & 0xFFFFFFFF)
            last_byte = WAL_HEADER + frame * (page_size + FRAME_HEADER) - 1
            at = bisect.bisect_right(places, (number, last_byte)) - 1
            out.append(lag(files[at][2], ns, at + 1 == len(files)) if at >= 0 else None)
        return out


class Weir(Tool):
    name = "weir"
    segment = re.compile(r"t/[0-9a-f]+/log/([0-9a-f]+)")
    snapshot = re.compile(r"t/[0-9a-f]+/snap/[0-9a-f]+-[0-9a-f]+")

    def command(self, db, replica, fast):
        interval = ["--sync-interval", "10ms"] if fast else []
        return [self.binary, "replicate", *interval, db, "file://" + replica]

    def restore_command(self, replica, target):
        return [self.binary, "restore", "file://" + replica, "-o", target]

    def lags(self, commits, arrivals, page_size, salt_before):
        # A segment is named after its first txid.  The database was at rest before the first commit, so the first
        # file that appears after it starts with that commit; from there iChange counts as txids do.
        files = sorted((int(m[1], 16), ns) for m, ns in arrivals)
        firsts = [f[0] for f in files]
        if not commits:
            return []
        ns0, change0 = commits[0][:2]
        txid0 = min((f[0] for f in files if f[1] >= ns0), default=None)
        if txid0 is None:
            return [None] * len(commits)
        out = []
        for ns, change, _, _ in commits:
            at = bisect.bisect_right(firsts, txid0 + ((change - change0) & 0xFFFFFFFF)) - 1
            out.append(lag(files[at][1], ns, at + 1 == len(files)))
        return out


class Running:
    """A tool that replicates one database into one directory.  Use with `with`."""

    def __init__(self, tool, db, replica, fast=False):
        self.tool, self.db, self.replica = tool, db, replica
        self.arrivals = self.watch()
        self.log_path = f"{replica}.log"
        self.started = time.monotonic()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(tool.command(db, replica, fast), stdout=log, stderr=log)
        self.pid = self.process.pid

    def watch(self):
        return Arrivals(self.replica)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.arrivals.close()

    def check(self):
        if self.process.poll() is not None:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                tail = f.read()[-2000:]
            raise RuntimeError(f"{self.tool.name} ended with {self.process.returncode}:\n{tail}")

    def wait_snapshot(self, limit_s=300):
        """Until the first snapshot is there whole; returns the seconds since the start."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            self.check()
            found = self.arrivals.matching(self.tool.snapshot)
            if found:
                return min(ns for _, ns in found) / 1e9 - self.started
            time.sleep(0.005)
        raise RuntimeError(f"{self.tool.name}: no snapshot within {limit_s} s, see {self.log_path}")

    def drain(self, quiet_s=3.0, limit_s=300):
        """Until nothing arrives and the process is at rest (under 5 % of a processor) for `quiet_s`."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            cpu, newest = self.cpu(), self.arrivals.newest()
            time.sleep(quiet_s)
            self.check()
            if self.cpu() - cpu < 0.05 * quiet_s and self.arrivals.newest() == newest:
                return
        raise RuntimeError(f"{self.tool.name}: still shipping after {limit_s} s")

    def cpu(self):
        return cpu_seconds(self.pid)

    def shipped_bytes(self):
        """Stored bytes of the segments, without snapshots."""
        return sum(os.stat(os.path.join(self.replica, m.string)).st_size
                   for m, _ in self.arrivals.matching(self.tool.segment))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=90)


def timed(command):
    """Run to the end: (wall seconds, CPU seconds, peak RSS in bytes).  Raises with the output on failure."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = PeakRss(process.pid)
    text = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    if process.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}: status {process.returncode}: {text.decode(errors='replace')}")
    return wall, usage.ru_utime + usage.ru_stime, peak.close()
