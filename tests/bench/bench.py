#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench - weir and Litestream measured in one run, alternating, on the same machine and the same load.

    bench.py --load PATH [--weir PATH] [--litestream PATH] [--rows lag,writer,big] [--quick] [...]

Prints a table in markdown: the median of the rounds for each tool (the worst for peaks), the ratio, and what plain
SQLite, cp or zstd do beside it.  Absolute figures belong to the machine; the ratios carry over.  `./dev bench` builds
and fetches what is needed and calls this.

  lag     commit -> the object that holds it is in the replica, at 10 and 100 commits/s, default and fast (10 ms)
  writer  a writer at full speed, one row and 1,000 rows per transaction: bytes shipped, daemon CPU, the writer's
          speed, its longest COMMIT, the peak size of the log
  big     a database of 1 GB: time of its snapshot, RSS, restore after 20,000 more transactions
"""
import argparse
import json
import os
import shutil
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from bench_tools import Litestream, Running, Weir, timed
from bench_watch import Sampler, fine_cpu_seconds

MB = 1e6
PAGE_SIZE = 4096
WORST = ("max,", "stuck", "longest", "failed", "peak", "differs")  # rows that show the worst round, not the median


class Bench:
    def __init__(self, options, tools):
        self.o, self.tools = options, tools
        self.work = {}  # rows per transaction -> commits, the same for all
        self.count = 0
        self.results = {}  # row -> tool name -> values, in the order of the table

    def add(self, row, who, value):
        if value is not None:
            self.results.setdefault(row, {}).setdefault(who, []).append(value)

    def say(self, text):
        print(f"# {text}", file=sys.stderr, flush=True)

    # --- pieces -------------------------------------------------------------------------------------------------

    def path(self, name):
        return os.path.join(self.o.work, name)

    def fresh(self, template):
        """A copy of a template database and an empty replica, both under new names."""
        self.count += 1
        db, replica = self.path(f"run{self.count}.db"), self.path(f"run{self.count}.replica")
        shutil.copyfile(template, db)
        return db, replica

    def discard(self, db, replica):
        shutil.rmtree(replica, ignore_errors=True)
        folder, base = os.path.split(db)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.lstrip(".").startswith(base) or path.startswith(replica + "."):
                if os.path.isdir(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)

    def load(self, db, **options):
        arguments = [a for k, v in options.items() for a in ("--" + k.replace("_", "-"), str(v))]
        done = subprocess.run([self.o.load, *arguments, db], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def template(self, name, mb):
        path = self.path(name)
        if not os.path.exists(path):
            self.load(path, fill_mb=mb)
        return path

    # --- rows ---------------------------------------------------------------------------------------------------

    def run_lag(self):
        template = self.template("small.db", 16)
        for _ in range(self.o.rounds):
            for rate, seconds in ((10, self.o.lag_seconds), (100, self.o.lag_seconds // 3)):
                for fast in (False, True):
                    for tool in self.tools:
                        self.lag_once(template, tool, rate, seconds, fast)

    def lag_once(self, template, tool, rate, seconds, fast):
        label = f"lag, {rate} commits/s, {'10 ms' if fast else 'default'}"
        self.say(f"{label}: {tool.name}")
        db, replica = self.fresh(template)
        times = db + ".times"
        with Running(tool, db, replica, fast) as running:
            running.wait_snapshot()
            running.drain(2.5)
            salt = read_salt(db)
            self.load(db, rate=rate, seconds=seconds, times=times)
            time.sleep(6)  # a commit that takes longer than this counts as stuck
            arrivals = running.arrivals.matching(tool.segment)
        with open(times, encoding="ascii") as f:
            commits = [tuple(int(w) for w in line.split()) for line in f]
        lags = tool.lags(commits, arrivals, PAGE_SIZE, salt)
        known = sorted(v / 1e6 for v in lags if v is not None)
        if not known:
            raise RuntimeError(f"{label}: {tool.name} shipped nothing")
        self.add(f"{label}: p50, ms", tool.name, statistics.median(known))
        self.add(f"{label}: p99, ms", tool.name, known[(len(known) - 1) * 99 // 100])
        self.add(f"{label}: max, ms", tool.name, known[-1])
        self.add(f"{label}: stuck over 5 s", tool.name, len(lags) - len(known) + sum(v > 5000 for v in known))
        self.discard(db, replica)

    def run_writer(self):
        template = self.template("small.db", 16)
        for _ in range(self.o.rounds):
            for rows in (1, 1000):
                self.writer_plain(template, rows)
                for tool in self.tools:
                    self.writer_once(template, tool, rows)

    def writer_plain(self, template, rows):
        self.say(f"writer, {rows} per transaction: plain SQLite")
        db, replica = self.fresh(template)
        done = self.load(db, seconds=self.o.seconds, rows=rows)
        self.note_writer(rows, "plain", done)
        self.work.setdefault(rows, done["commits"])
        self.discard(db, replica)

    def note_writer(self, rows, who, done):
        label = f"writer, {rows:,} row{'s'[:rows > 1]} per transaction"
        self.add(f"{label}: commits/s", who, done["commits_per_s"])
        if who != "plain":
            plain = self.results[f"{label}: commits/s"]["plain"][-1]
            self.add(f"{label}: share of the speed without a daemon", who, done["commits_per_s"] / plain)
        self.add(f"{label}: p99 COMMIT, ms", who, done["p99_us"] / 1e3)
        self.add(f"{label}: longest COMMIT, ms", who, done["max_us"] / 1e3)
        self.add(f"{label}: transactions that failed with SQLITE_BUSY", who, done["busy"])
        self.add(f"{label}: peak log, MB", who, done["wal_peak_bytes"] / MB)
        return label

    def writer_once(self, template, tool, rows):
        self.say(f"writer, {rows} per transaction: {tool.name}")
        db, replica = self.fresh(template)
        with Running(tool, db, replica) as running:
            running.wait_snapshot()
            running.drain(2.5)
            before, cpu = running.shipped_bytes(), running.cpu()
            sampler = Sampler(running.pid, db + "-wal")
            done = self.load(db, commits=self.work[rows], rows=rows)
            running.drain()
            sampler.close()
            shipped, cpu = running.shipped_bytes() - before, running.cpu() - cpu
            snapshots = len(running.arrivals.matching(tool.snapshot)) - 1
        label = self.note_writer(rows, tool.name, done)
        self.add(f"{label}: shipped bytes per commit", tool.name, shipped / done["commits"])
        self.add(f"{label}: shipped share of the raw log, %", tool.name, 100 * shipped / done["wal_bytes"])
        self.add(f"{label}: raw log, MB", tool.name, done["wal_bytes"] / MB)
        self.add(f"{label}: snapshots meanwhile", tool.name, snapshots)
        self.add(f"{label}: daemon CPU, s", tool.name, cpu)
        self.add(f"{label}: daemon CPU per 100 MB of log, s", tool.name, cpu / (done["wal_bytes"] / MB / 100))
        self.add(f"{label}: daemon peak RSS, MB", tool.name, sampler.peak(1) / MB)
        self.discard(db, replica)

    def run_big(self):
        self.say(f"filling {self.o.size} MB")
        template = self.template("big.db", self.o.size)
        made = [(tool, *self.big_once(template, tool)) for tool in self.tools]
        for _ in range(max(self.o.rounds, 2)):
            for tool, db, replica in made:
                self.restore_once(tool, db, replica)
        self.beside_restore(made[0][1] if made else template)
        for _, db, replica in made:
            self.discard(db, replica)

    def big_once(self, template, tool):
        size = f"{self.o.size:,} MB"
        self.say(f"{size}: {tool.name}")
        db, replica = self.fresh(template)
        with Running(tool, db, replica) as running:
            sampler = Sampler(running.pid, db + "-wal")
            took = running.wait_snapshot()
            self.add(f"snapshot of {size}: s", tool.name, took)
            self.add(f"snapshot of {size}: CPU, s", tool.name, running.cpu())
            self.add(f"snapshot of {size}: peak RSS, MB", tool.name, sampler.close().peak(1) / MB)
            stored = sum(os.stat(os.path.join(replica, m.string)).st_size
                         for m, _ in running.arrivals.matching(tool.snapshot))
            self.add(f"snapshot of {size}: stored MB", tool.name, stored / MB)
            running.drain(2.5)
            cpu, sampler = fine_cpu_seconds(running.pid), Sampler(running.pid, db + "-wal")
            time.sleep(self.o.idle_seconds)
            sampler.close()
            self.add("idle: RSS, MB", tool.name, statistics.median(s[1] for s in sampler.samples) / MB)
            self.add("idle: CPU, ms per minute", tool.name,
                     (fine_cpu_seconds(running.pid) - cpu) / self.o.idle_seconds * 60e3)
            sampler = Sampler(running.pid, db + "-wal")
            self.load(db, commits=self.o.transactions, rate=2000)
            running.drain()
            self.add("2,000 commits/s: peak RSS, MB", tool.name, sampler.close().peak(1) / MB)
            running.stop()
        self.checkpoint(db)
        return db, replica

    def checkpoint(self, db):
        with sqlite3.connect(db) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def restore_once(self, tool, db, replica):
        self.say(f"restore: {tool.name}")
        target = db + ".restored"
        label = f"restore of {self.o.size:,} MB + {self.o.transactions:,} transactions"
        wall, cpu, rss = timed(tool.restore_command(replica, target))
        self.add(f"{label}: s", tool.name, wall)
        self.add(f"{label}: MB/s", tool.name, os.stat(target).st_size / MB / wall)
        self.add(f"{label}: CPU, s", tool.name, cpu)
        self.add(f"{label}: peak RSS, MB", tool.name, rss / MB)
        same = subprocess.run(["cmp", "-s", db, target], check=False).returncode == 0
        self.add(f"{label}: differs from the source", tool.name, 0 if same else 1)
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(target + suffix):
                os.unlink(target + suffix)

    def beside_restore(self, db):
        label = f"restore of {self.o.size:,} MB + {self.o.transactions:,} transactions: s"
        packed, target = db + ".zst", db + ".beside"
        timed(["zstd", "-q", "-f", "-1", db, "-o", packed])
        for _ in range(max(self.o.rounds, 2)):
            self.add(label, "cp", timed(["cp", db, target])[0])
            os.unlink(target)
            flushed = timed(["dd", "if=" + db, "of=" + target, "bs=1M", "conv=fsync"])
            self.add(label, "cp + fsync", flushed[0])
            os.unlink(target)
            self.add(label, "zstd -d", timed(["zstd", "-q", "-d", "-f", packed, "-o", target])[0])
            os.unlink(target)
        os.unlink(packed)

    # --- the table ----------------------------------------------------------------------------------------------

    def table(self):
        both = [t.name for t in self.tools]
        print("| what | " + " | ".join(both) + " | ratio | beside |")
        print("| --- |" + " ---: |" * (len(both) + 1) + " --- |")
        for row, values in self.results.items():
            worst = any(word in row for word in WORST)
            medians = {who: max(v) if worst else statistics.median(v) for who, v in values.items()}
            ratio = ""
            if len(both) == 2 and all(medians.get(w) for w in both):
                ratio = shown(medians[both[0]] / medians[both[1]])
            beside = ", ".join(f"{w} {shown(v)}" for w, v in medians.items() if w not in both)
            print(f"| {row} | " + " | ".join(shown(medians.get(w)) for w in both) + f" | {ratio} | {beside} |")
        print(f"\n{self.footer()}")

    def footer(self):
        both, restores = [t.name for t in self.tools], max(self.o.rounds, 2)
        return (f"Medians of {self.o.rounds} rounds (restore: {restores}; snapshot and idle: 1), the worst of"
                f" all where the row says max, peak or longest; ratio: {both[0]} / {both[-1]};"
                f" {os.cpu_count()} processors.")


def shown(value):
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def read_salt(db):
    """salt-1 in the WAL-index header, 0 without one.  No SQLite connection in this process: the close drops no lock."""
    try:
        with open(db + "-shm", "rb") as f:
            return struct.unpack_from(">I", f.read(48), 32)[0]
    except (FileNotFoundError, struct.error):
        return 0


def parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--load", required=True, help="the load generator")
    p.add_argument("--weir", help="the weir program; left out: not measured")
    p.add_argument("--litestream", help="the Litestream program; left out: not measured")
    p.add_argument("--rows", default="lag,writer,big", help="which parts, from: lag,writer,big")
    p.add_argument("--quick", action="store_true", help="small sizes, one round: two or three minutes")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=10, help="of the writer at full speed")
    p.add_argument("--lag-seconds", type=int, default=30)
    p.add_argument("--size", type=int, default=1000, help="MB of the big database")
    p.add_argument("--transactions", type=int, default=20000)
    p.add_argument("--idle-seconds", type=int, default=20)
    p.add_argument("--work", help="a folder for scratch data, on a real disk (default: a new one in $TMPDIR)")
    p.add_argument("--json", help="write all values to this file too")
    o = p.parse_args()
    if o.quick:
        o.rounds, o.seconds, o.lag_seconds, o.size, o.transactions, o.idle_seconds = 1, 3, 12, 100, 4000, 5
    unknown = set(o.rows.split(",")) - {"lag", "writer", "big"}
    if unknown or not (o.weir or o.litestream):
        p.error("--rows takes lag, writer, big; and one of --weir, --litestream is needed")
    return o


def main():
    o = parse()
    tools = [kind(os.path.abspath(binary)) for kind, binary in ((Litestream, o.litestream), (Weir, o.weir)) if binary]
    o.load = os.path.abspath(o.load)
    o.work = tempfile.mkdtemp(prefix="weir-bench-", dir=o.work)
    bench = Bench(o, tools)
    try:
        for part in o.rows.split(","):
            getattr(bench, "run_" + part)()
    finally:
        shutil.rmtree(o.work, ignore_errors=True)
    bench.table()
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(bench.results, f, indent=1)


if __name__ == "__main__":
    main()
