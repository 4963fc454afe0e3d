#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_restore - restores of large databases with a long history, out of a directory, and what their daemons need.

    bench_restore.py --load PATH [--weir PATH] [--litestream PATH] [--sizes 1000,10000] [--transactions 60000]
                     [--rate 1000] [--hour 5] [--database FILE] [...]

For each size and tool: a daemon takes the first snapshot of a database of that size and then ships so many transactions,
at an interval of 10 ms.  weir's hour (of merges; a day has 24) is made short, so that the history is as long as one of
weeks: segments, folds, merges of both levels.  Then the newest state is restored, and with weir one in the middle, and
beside it stands what the disk and a decompressor need for the same file: cp, dd with fsync, zstd -d.
`./dev bench restore` builds and fetches what is needed and calls this.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

from bench import MB, Bench
from bench_tools import Litestream, Running, Weir, timed
from bench_watch import Sampler, fine_cpu_seconds

SNAPSHOT_LIMIT_S = 3600


class WeirHours(Weir):
    """With hours that are over soon."""

    hour_s = 5.0

    def command(self, db, replica, fast):
        return [*super().command(db, replica, fast), "--merge-interval", f"{int(self.hour_s * 1000)}ms",
                "--merge-long-interval", f"{int(self.hour_s * 24000)}ms"]


def kinds(replica):
    """Objects and bytes below a replica, by kind (weir: log, fold, merge, snap; Litestream: wal, snapshots)."""
    found = {}
    for folder, _, names in os.walk(replica):
        parts = os.path.relpath(folder, replica).split(os.sep)
        kind = parts[2] if len(parts) > 2 else "documents"
        count, size = found.get(kind, (0, 0))
        sizes = [os.stat(os.path.join(folder, name)).st_size for name in names]
        found[kind] = (count + len(sizes), size + sum(sizes))
    return {kind: value for kind, value in found.items() if value[0] > 0}


class BenchRestore(Bench):
    def run_size(self, mb):
        self.o.size = mb
        self.say(f"filling {mb} MB")
        db = self.path(f"size{mb}.db")
        if self.o.database:
            shutil.copyfile(self.o.database, db)
        else:
            self.load(db, fill_mb=mb)
        for tool in self.tools:
            replica = self.path(f"{tool.name}{mb}.replica")
            self.ship(tool, db, replica)
            self.restores(tool, db, replica)
            self.discard(f"{db}-", replica)  # its state, not the database
        self.beside_restore(db)
        self.discard(db, db + ".replica")

    def label(self, what):
        return f"{self.o.size:,} MB, {what}"

    def ship(self, tool, db, replica):
        self.say(f"{self.o.size} MB: {tool.name} ships")
        with Running(tool, db, replica, True) as running:
            sampler = Sampler(running.pid, db + "-wal")
            self.add(self.label("snapshot: s"), tool.name, running.wait_snapshot(SNAPSHOT_LIMIT_S))
            self.add(self.label("snapshot: peak RSS of the daemon, MB"), tool.name, sampler.close().peak(1) / MB)
            running.drain(2.5)
            cpu, sampler = fine_cpu_seconds(running.pid), Sampler(running.pid, db + "-wal")
            self.load(db, commits=self.o.transactions, rate=self.o.rate)
            running.drain()
            self.add(self.label("transactions: CPU of the daemon, s"), tool.name, fine_cpu_seconds(running.pid) - cpu)
            self.add(self.label("transactions: peak RSS of the daemon, MB"), tool.name, sampler.close().peak(1) / MB)
            cpu, sampler = fine_cpu_seconds(running.pid), Sampler(running.pid, db + "-wal")
            time.sleep(self.o.idle_seconds)
            self.add(self.label("idle: RSS of the daemon, MB"), tool.name,
                     statistics.median(s[1] for s in sampler.close().samples) / MB)
            running.stop()
        for kind, (count, size) in sorted(kinds(replica).items()):
            self.add(self.label(f"{kind}: objects"), tool.name, count)
            self.add(self.label(f"{kind}: MB"), tool.name, size / MB)
        self.checkpoint(db)

    def restores(self, tool, db, replica):
        target = db + ".restored"
        for _ in range(self.o.rounds):
            self.say(f"{self.o.size} MB: {tool.name} restores")
            wall, cpu, rss = timed(tool.restore_command(replica, target))
            self.note(self.label("restore of the newest"), tool, (wall, cpu, rss), os.stat(target).st_size)
            same = subprocess.run(["cmp", "-s", db, target], check=False).returncode == 0
            self.add(self.label("restore of the newest: differs from the source"), tool.name, 0 if same else 1)
            self.forget(target)
        if isinstance(tool, Weir):
            self.plans(tool, replica, target)

    def note(self, label, tool, spent, size):
        wall, cpu, rss = spent
        self.add(f"{label}: s", tool.name, wall)
        self.add(f"{label}: MB/s", tool.name, size / MB / wall)
        self.add(f"{label}: CPU, s", tool.name, cpu)
        self.add(f"{label}: peak RSS, MB", tool.name, rss / MB)

    def plans(self, tool, replica, target):
        """What weir read for it; and the same for a state in the middle."""
        middle = self.o.transactions // 2
        for what, option in (("the newest", ()), ("the middle", ("--txid", str(middle)))):
            told = self.path("told.json")
            with open(told, "wb") as out:
                command = [*tool.restore_command(replica, target), *option, "--json"]
                began = time.monotonic()
                subprocess.run(command, stdout=out, check=True)
                wall = time.monotonic() - began
            with open(told, encoding="utf-8") as f:
                plan = json.load(f)
            label = self.label(f"restore of {what}")
            if option:
                self.add(f"{label}: s", tool.name, wall)
            self.add(f"{label}: objects read", tool.name, plan["objects"])
            self.add(f"{label}: of them merges", tool.name, plan["merges"])
            self.add(f"{label}: MB read", tool.name, plan["bytes_read"] / MB)
            self.forget(target)

    def forget(self, target):
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(target + suffix):
                os.unlink(target + suffix)
        shutil.rmtree(target + "-weir", ignore_errors=True)

    def beside_restore(self, db):
        self.say(f"{self.o.size} MB: cp, dd, zstd")
        label, target, packed = self.label("restore of the newest: s"), db + ".beside", db + ".zst"
        timed(["zstd", "-q", "-f", "-1", db, "-o", packed])
        for _ in range(self.o.rounds):
            self.add(label, "cp", timed(["cp", db, target])[0])
            os.unlink(target)
            self.add(label, "cp + fsync", timed(["dd", "if=" + db, "of=" + target, "bs=1M", "conv=fsync"])[0])
            os.unlink(target)
            self.add(label, "zstd -d", timed(["zstd", "-q", "-d", "-f", packed, "-o", "/dev/null"])[0])
        os.unlink(packed)

    def discard(self, db, replica):
        super().discard(db, replica)
        folder, base = os.path.split(db)
        shutil.rmtree(os.path.join(folder, f".{base.rstrip('-')}-litestream"), ignore_errors=True)


def parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--load", required=True, help="the load generator")
    p.add_argument("--weir", help="the weir program; left out: not measured")
    p.add_argument("--litestream", help="the Litestream program; left out: not measured")
    p.add_argument("--quick", action="store_true", help="100 MB")
    p.add_argument("--sizes", default="1000,10000", help="MB, one after the other")
    p.add_argument("--transactions", type=int, default=60000)
    p.add_argument("--rate", type=int, default=1000, help="transactions per second")
    p.add_argument("--hour", type=float, default=5, help="seconds that stand for an hour of merges")
    p.add_argument("--rounds", type=int, default=2, help="of restores")
    p.add_argument("--idle-seconds", type=int, default=5)
    p.add_argument("--database", help="one of `load --fill-mb`: copied instead of filling one")
    p.add_argument("--work", help="a folder for scratch data, on a real disk (default: a new one in $TMPDIR)")
    p.add_argument("--json", help="write all values to this file too")
    o = p.parse_args()
    if o.quick:
        o.sizes, o.transactions, o.hour, o.idle_seconds = "100", 5000, 1, 1
    if not (o.weir or o.litestream):
        p.error("one of --weir, --litestream is needed")
    return o


def main():
    o = parse()
    WeirHours.hour_s = o.hour
    tools = [kind(os.path.abspath(binary)) for kind, binary in ((Litestream, o.litestream), (WeirHours, o.weir)) if binary]
    o.load = os.path.abspath(o.load)
    o.work = tempfile.mkdtemp(prefix="weir-bench-", dir=o.work)
    bench = BenchRestore(o, tools)
    try:
        for size in o.sizes.split(","):
            bench.run_size(int(size))
        bench.table()
    finally:
        shutil.rmtree(o.work, ignore_errors=True)
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(bench.results, f, indent=1)


if __name__ == "__main__":
    main()
