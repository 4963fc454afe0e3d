#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""soak - writers at full speed for minutes or hours, with the daemon attached; nothing may grow.

    soak.py --weir PATH --load PATH [--minutes N] [--work FOLDER]

Two writers (one row and 50 rows per transaction) write as fast as they can into a database whose size is kept steady.
First without the daemon for a while, to see how large the log of plain SQLite gets under this load; then with it.
It fails when

  - the daemon's RSS or number of descriptors grows: medians of the second and the last quarter of the samples;
  - the log grows beyond that of plain SQLite (LOG_FACTOR times, or LOG_FLOOR where that is more);
  - a transaction fails with SQLITE_BUSY that would not have without the daemon;
  - weir counted fewer commits than the writers made (a resync stands for many);
  - the log is not started over once the writers have ended;
  - the daemon ends early, or with a status other than 0;
  - a restore of the newest state differs from the source in any byte, or fails integrity_check.
"""
import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

from bench_tools import Running, Weir, timed
from bench_watch import Sampler

MB = 1e6
RSS_GROWTH = 1.10
RSS_SLACK = 12 * MB  # at full speed it swings between 8 and 28 MB; a leak shows in a run of an hour
DESCRIPTOR_SLACK = 2
LOG_FACTOR = 2  # the two phases are not the same seconds
LOG_FLOOR = 64 * MB
KEEP_ROWS = 20000
SYNC_LIMIT_S = 900


class Soak:
    def __init__(self, options):
        self.o = options
        self.db = os.path.join(options.work, "soak.db")
        self.problems = []
        self.commits = 0  # made by the writers of the phase

    def problem(self, text):
        self.problems.append(text)
        print(f"# PROBLEM: {text}", flush=True)

    def say(self, text):
        print(f"# {text}", flush=True)

    def writers(self, seconds):
        """Start both; results come from finish()."""
        return [
            subprocess.Popen(
                [self.o.load, "--seconds", str(int(seconds)), "--rows", str(rows), "--keep", str(KEEP_ROWS),
                 "--seed", str(seed), self.db], stdout=subprocess.PIPE)
            for seed, rows in ((1, 1), (2, 50))]

    def finish(self, writers):
        done = []
        for writer in writers:
            out, _ = writer.communicate()
            if writer.returncode != 0:
                self.problem(f"a writer ended with status {writer.returncode}")
            else:
                done.append(json.loads(out))
        commits = sum(d["commits"] for d in done)
        self.commits += commits
        busy = sum(d["busy"] for d in done)
        longest = max((d["max_us"] for d in done), default=0) / 1e3
        rate = sum(d["commits_per_s"] for d in done)
        self.say(f"  {commits:,} commits, {rate:,.0f}/s, {busy} SQLITE_BUSY, longest COMMIT {longest:,.0f} ms")
        return busy

    def plain(self, seconds):
        self.say(f"plain SQLite, {seconds:.0f} s")
        sampler = Sampler(None, self.db + "-wal", 0.02)
        busy = self.finish(self.writers(seconds))
        peak = sampler.close().peak(3)
        self.say(f"  log at most {peak / MB:,.1f} MB")
        return peak, busy

    def attached(self, running, seconds, plain_peak, plain_busy):
        self.say(f"with weir, {seconds:.0f} s")
        self.commits = 0
        sampler = Sampler(running.pid, self.db + "-wal", min(1.0, seconds / 400))
        writers = self.writers(seconds)
        while any(w.poll() is None for w in writers):
            if running.process.poll() is not None:
                self.problem(f"weir ended with status {running.process.returncode} under load")
                break
            time.sleep(0.5)
        busy = self.finish(writers)
        samples = sampler.close().samples
        if busy > plain_busy:
            self.problem(f"{busy} transactions failed with SQLITE_BUSY, {plain_busy} without weir")
        self.judge(samples, plain_peak)

    def judge(self, samples, plain_peak):
        quarter = len(samples) // 4
        if quarter < 5:
            self.problem(f"only {len(samples)} samples: run it longer")
            return
        second, last = samples[quarter : 2 * quarter], samples[3 * quarter :]
        rss = [statistics.median(s[1] for s in part) for part in (second, last)]
        fds = [statistics.median(s[2] for s in part) for part in (second, last)]
        log = max(s[3] for s in samples)
        self.say(f"  RSS {rss[0] / MB:.1f} -> {rss[1] / MB:.1f} MB (peak {max(s[1] for s in samples) / MB:.1f}),"
                 f" descriptors {fds[0]:.0f} -> {fds[1]:.0f}, log at most {log / MB:,.1f} MB")
        if rss[1] > rss[0] * RSS_GROWTH + RSS_SLACK:
            self.problem(f"RSS grows: {rss[0] / MB:.1f} MB in the second quarter, {rss[1] / MB:.1f} MB in the last")
        if fds[1] > fds[0] + DESCRIPTOR_SLACK:
            self.problem(f"descriptors grow: {fds[0]:.0f} in the second quarter, {fds[1]:.0f} in the last")
        limit = max(plain_peak * LOG_FACTOR, LOG_FLOOR)
        if log > limit:
            self.problem(f"the log grew to {log / MB:,.1f} MB; plain SQLite: {plain_peak / MB:,.1f} MB")

    def ship_and_stop(self, running):
        start = time.monotonic()
        done = subprocess.run([self.o.weir, "sync", self.db, "--wait"], capture_output=True, text=True,
                              timeout=SYNC_LIMIT_S, check=False)
        if done.returncode != 0:
            self.problem(f"weir sync --wait: status {done.returncode}: {done.stderr.strip()}")
        self.say(f"all shipped {time.monotonic() - start:.1f} s after the last commit: txid {done.stdout.strip()}")
        if done.returncode == 0 and int(done.stdout.split()[0]) < self.commits:
            self.problem(f"the newest txid is {done.stdout.strip()}, but the writers made {self.commits} commits")
        self.check_log_reset()
        if running.process.poll() is None:
            status = running.stop()
            if status != 0:
                self.problem(f"weir replicate ended with status {status}")
        else:
            self.problem(f"weir replicate had ended with status {running.process.returncode}")
        if self.problems:
            with open(running.log_path, encoding="utf-8", errors="replace") as f:
                print("".join("#   log: " + line for line in f.readlines()[-20:]))

    def check_log_reset(self):
        """All is shipped and nobody writes: within some seconds the log must be as short as SQLite would keep it."""
        for _ in range(100):
            done = subprocess.run([self.o.weir, "status", self.db, "--json"], stdout=subprocess.PIPE, check=True)
            status = json.loads(done.stdout)["databases"][0]
            if status["log"]["bytes"] < 8 * MB:
                break
            time.sleep(0.1)
        else:
            self.problem(f"10 s after the last commit this log is still in use: {status['log']}")
        if status["resyncs"] > 0:
            self.problem(f"{status['resyncs']} resyncs: commits were missed")

    def compare(self, replica):
        connection = sqlite3.connect(self.db)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        target = self.db + ".restored"
        wall, _, rss = timed([self.o.weir, "restore", "file://" + replica, "-o", target])
        self.say(f"restored in {wall:.1f} s, peak RSS {rss / MB:.1f} MB")
        if subprocess.run(["cmp", self.db, target], check=False).returncode != 0:
            self.problem("the restored database differs from the source")
        connection = sqlite3.connect(target)
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        connection.close()
        if verdict != "ok":
            self.problem(f"integrity_check of the restored database: {verdict}")

    def run(self):
        seconds = self.o.minutes * 60
        subprocess.run([self.o.load, "--fill-mb", "16", self.db], check=True)
        plain_peak, plain_busy = self.plain(min(60, max(15, seconds / 4)))
        replica = os.path.join(self.o.work, "replica")
        with Running(Weir(self.o.weir), self.db, replica) as running:
            running.wait_snapshot()
            self.attached(running, seconds, plain_peak, plain_busy)
            self.ship_and_stop(running)
        self.compare(replica)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--weir", required=True)
    p.add_argument("--load", required=True)
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--work", help="a folder for scratch data, on a real disk (default: a new one in $TMPDIR)")
    o = p.parse_args()
    o.weir, o.load = os.path.abspath(o.weir), os.path.abspath(o.load)
    o.work = tempfile.mkdtemp(prefix="weir-soak-", dir=o.work)
    soak = Soak(o)
    try:
        soak.run()
    finally:
        shutil.rmtree(o.work, ignore_errors=True)
    print(f"soak: {len(soak.problems)} problem(s)" + "".join(f"\n  - {text}" for text in soak.problems))
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main())
