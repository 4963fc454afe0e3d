#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_s3 - weir and Litestream over the same S3 server (Ceph's radosgw, in memory), alternating, under the same load.

    bench_s3.py --load PATH --tap PATH [--weir PATH] [--litestream PATH] [--rows lag,tls,writer,big,idle] [--quick] [...]

All requests of the daemons pass a thin proxy (tap.c) that writes down when each came and when it was answered; so the
lag of a commit is exact: from the return of COMMIT to the server's answer to the PUT of the object that holds it, by one
clock, and beside it stands how long the server itself took.

  lag     10 and 100 commits/s, default and 10 ms: lag, the server's PUT time, PUTs, bytes, CPU and RSS while shipping
  tls     RSS and CPU at 100 commits/s straight to the server over TLS
  writer  a writer at full speed: bytes, PUTs, CPU, RSS, peak of the log
  big     1 GB: snapshot (time, CPU, RSS), restore straight from the server and over a line like one to a real store, and
          beside it curl fetching the same bytes to /dev/null
  idle    requests in a minute in which nobody writes; and how many a day are, with a commit a second
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

# pylint: disable=wrong-import-position
from bench import MB, PAGE_SIZE, Bench, read_salt  # noqa: E402
from bench_tap import Tap, Uploads, took_ms  # noqa: E402
from bench_tools import Litestream, Running, Weir, timed  # noqa: E402
from bench_watch import Sampler, fine_cpu_seconds  # noqa: E402
from servers.ceph import Ceph  # noqa: E402
from servers.client import connect, keys_of  # noqa: E402

BUCKET = "bench"
RANGE = 4 << 20  # of curl's requests: larger ones do not get faster
LINE = (125, 30)  # MB/s and ms: a gigabit to a store in the same country
ROWS = ("lag", "tls", "writer", "big", "idle")


class Place:
    """A prefix of the bucket.  As a string, the beginning of the names of files that belong to it."""

    def __init__(self, bench, prefix):
        self.bench, self.prefix = bench, prefix

    def __str__(self):
        return self.bench.path(self.prefix)

    def endpoint(self, way):
        server = self.bench.server
        return {"tap": self.bench.tap.endpoint, "plain": server.endpoint, "tls": server.tls_endpoint,
                "line": self.bench.line.endpoint}[way]


class LitestreamS3(Litestream):
    way = "tap"

    def config(self, db, place, fast, way):
        interval = "10ms" if fast else "1s"
        path = f"{place}.{way}.yml"
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"dbs:\n  - path: {db}\n    monitor-interval: {interval}\n    replicas:\n      - type: s3\n"
                    f"        bucket: {BUCKET}\n        path: {place.prefix}\n        endpoint: {place.endpoint(way)}\n"
                    "        region: us-east-1\n        force-path-style: true\n"
                    f"        sync-interval: {interval}\n")
        return path

    def command(self, db, replica, fast):
        return [self.binary, "replicate", "-config", self.config(db, replica, fast, self.way)]

    def restore_command(self, replica, target):
        return [self.binary, "restore", "-config", self.config(target, replica, False, self.way), "-o", target, target]


class WeirS3(Weir):
    way = "tap"

    def url(self, place, way):
        return f"s3://{BUCKET}/{place.prefix}?region=us-east-1&endpoint={place.endpoint(way)}"

    def command(self, db, replica, fast):
        interval = ["--sync-interval", "10ms"] if fast else []
        return [self.binary, "replicate", *interval, db, self.url(replica, self.way)]

    def restore_command(self, replica, target):
        return [self.binary, "restore", self.url(replica, self.way), "-o", target]


class RunningS3(Running):
    """A tool that replicates one database into a prefix."""

    def watch(self):
        return Uploads(self.replica.bench.tap, self.replica.prefix)

    def segments(self, since_ns):
        return [r for _, r in self.arrivals.stored(self.tool.segment, since_ns)]


class BenchS3(Bench):
    def __init__(self, options, tools, server, tap, line):
        super().__init__(options, tools)
        self.server, self.tap, self.line = server, tap, line
        self.client = connect(server)

    # --- pieces -------------------------------------------------------------------------------------------------

    def fresh(self, template):
        db, _ = super().fresh(template)
        return db, Place(self, f"run{self.count}")

    def discard(self, db, replica):
        for key in self.listing(replica):
            self.client.delete_object(Bucket=BUCKET, Key=key)
        super().discard(db, str(replica))

    def listing(self, place):
        return keys_of(self.client, BUCKET, place.prefix + "/")

    def put_load(self, label, tool, running, began_ns, commits):
        """What was sent since then, to the answer of the last PUT."""
        segments = running.segments(began_ns)
        if not segments:
            raise RuntimeError(f"{label}: {tool.name} shipped nothing")
        self.add(f"{label}: PUTs of the log", tool.name, len(segments))
        self.add(f"{label}: bytes of the log, per commit", tool.name, sum(r.size for r in segments) / commits)
        everything = running.arrivals.requests(began_ns)
        self.add(f"{label}: other requests", tool.name, len(everything) - len(segments))
        self.add(f"{label}: bytes of all requests, per commit", tool.name, sum(r.size for r in everything) / commits)
        return segments

    def sampled(self, label, tool, sampler, cpu_s, seconds):
        rss = [s[1] / MB for s in sampler.samples]
        self.add(f"{label}: CPU, ms per second", tool.name, cpu_s / seconds * 1e3)
        self.add(f"{label}: RSS, MB", tool.name, statistics.median(rss))
        self.add(f"{label}: peak RSS, MB", tool.name, max(rss))

    # --- rows ---------------------------------------------------------------------------------------------------

    def lag_once(self, template, tool, rate, seconds, fast):
        label = f"{rate} commits/s, {'10 ms' if fast else 'default'}"
        self.say(f"lag, {label}: {tool.name}")
        db, replica = self.fresh(template)
        times = db + ".times"
        with RunningS3(tool, db, replica, fast) as running:
            running.wait_snapshot()
            running.drain(2.5)
            salt, began_ns, cpu = read_salt(db), time.monotonic_ns(), fine_cpu_seconds(running.pid)
            sampler = Sampler(running.pid, db + "-wal")
            self.load(db, rate=rate, seconds=seconds, times=times)
            sampler.close()
            cpu = fine_cpu_seconds(running.pid) - cpu
            time.sleep(6)  # a commit that takes longer than this counts as stuck
            running.check()
            arrivals = running.arrivals.matching(tool.segment)
            with open(times, encoding="ascii") as f:
                commits = [tuple(int(w) for w in line.split()) for line in f]
            segments = self.put_load(label, tool, running, began_ns, len(commits))
        lags = tool.lags(commits, arrivals, PAGE_SIZE, salt)
        known = sorted(v / 1e6 for v in lags if v is not None)
        middle, put = statistics.median(known), took_ms(segments)
        self.add(f"{label}: lag p50, ms", tool.name, middle)
        self.add(f"{label}: lag p99, ms", tool.name, known[(len(known) - 1) * 99 // 100])
        self.add(f"{label}: the server's own PUT p50, ms", tool.name, put)
        self.add(f"{label}: the server's own PUT p99, ms", tool.name, took_ms(segments, 99))
        self.add(f"{label}: lag p50 beyond the PUT, ms", tool.name, middle - put)
        self.add(f"{label}: stuck over 5 s", tool.name, len(lags) - len(known) + sum(v > 5000 for v in known))
        self.sampled(label, tool, sampler, cpu, seconds)
        self.discard(db, replica)

    def run_tls(self):
        template = self.template("small.db", 16)
        for _ in range(self.o.rounds):
            for tool in self.tools:
                self.tls_once(template, tool)

    def tls_once(self, template, tool):
        label, seconds = "100 commits/s, 10 ms, TLS", self.o.lag_seconds // 3
        self.say(f"{label}: {tool.name}")
        db, replica = self.fresh(template)
        tool.way = "tls"
        try:
            with RunningS3(tool, db, replica, True) as running:
                self.load(db, rate=100, seconds=3)  # by then the snapshot is there, and connections stand
                sampler, cpu = Sampler(running.pid, db + "-wal"), fine_cpu_seconds(running.pid)
                self.load(db, rate=100, seconds=seconds)
                sampler.close()
                self.sampled(label, tool, sampler, fine_cpu_seconds(running.pid) - cpu, seconds)
                running.check()
        finally:
            tool.way = "tap"
        if len(self.listing(replica)) < 3:
            raise RuntimeError(f"{label}: {tool.name} shipped nothing")
        self.discard(db, replica)

    def run_writer(self):
        template = self.template("small.db", 16)
        for _ in range(self.o.rounds):
            self.writer_plain(template, 1)
            for tool in self.tools:
                self.writer_once(template, tool, 1)

    def writer_once(self, template, tool, rows):
        self.say(f"writer, {rows} per transaction: {tool.name}")
        db, replica = self.fresh(template)
        with RunningS3(tool, db, replica) as running:
            running.wait_snapshot()
            running.drain(2.5)
            began_ns, cpu, wall = time.monotonic_ns(), running.cpu(), time.monotonic()
            sampler = Sampler(running.pid, db + "-wal")
            done = self.load(db, commits=self.work[rows], rows=rows)
            loaded = time.monotonic()
            running.drain()
            sampler.close()
            cpu = running.cpu() - cpu
            label = self.note_writer(rows, tool.name, done)
            segments = self.put_load(label, tool, running, began_ns, done["commits"])
            last = max(r.answered for r in segments) / 1e9
        self.add(f"{label}: all shipped so long after the last commit, s", tool.name, max(last - loaded, 0))
        self.add(f"{label}: daemon CPU, s", tool.name, cpu)
        self.add(f"{label}: daemon RSS, MB", tool.name, statistics.median(
            s[1] for s in sampler.samples if s[0] < loaded - wall) / MB)
        self.add(f"{label}: daemon peak RSS, MB", tool.name, sampler.peak(1) / MB)
        self.discard(db, replica)

    def big_once(self, template, tool):
        size = f"{self.o.size:,} MB"
        self.say(f"{size}: {tool.name}")
        db, replica = self.fresh(template)
        with RunningS3(tool, db, replica) as running:
            sampler = Sampler(running.pid, db + "-wal")
            took = running.wait_snapshot()
            self.add(f"snapshot of {size}: s", tool.name, took)
            self.add(f"snapshot of {size}: CPU, s", tool.name, running.cpu())
            self.add(f"snapshot of {size}: RSS, MB", tool.name,
                     statistics.median(s[1] for s in sampler.samples) / MB)
            self.add(f"snapshot of {size}: peak RSS, MB", tool.name, sampler.close().peak(1) / MB)
            self.add(f"snapshot of {size}: stored MB", tool.name, sum(self.listing(replica).values()) / MB)
            running.drain(2.5)
            sampler = Sampler(running.pid, db + "-wal")
            time.sleep(1)
            self.add("after the snapshot: RSS, MB", tool.name, sampler.close().peak(1) / MB)
            self.load(db, commits=self.o.transactions, rate=500)
            running.drain()
            running.stop()
        self.checkpoint(db)
        return db, replica

    def restore_once(self, tool, db, replica):
        for way, text in (("plain", "straight from the server"), ("line", f"over a line of {LINE[0]} MB/s, {LINE[1]} ms")):
            self.say(f"restore {text}: {tool.name}")
            label = f"restore of {self.o.size:,} MB + {self.o.transactions:,} transactions {text}"
            target, tool.way = db + ".restored", way
            wall, cpu, rss = timed(tool.restore_command(replica, target))
            tool.way = "tap"
            self.add(f"{label}: s", tool.name, wall)
            self.add(f"{label}: CPU, s", tool.name, cpu)
            self.add(f"{label}: peak RSS, MB", tool.name, rss / MB)
            same = subprocess.run(["cmp", "-s", db, target], check=False).returncode == 0
            self.add(f"{label}: differs from the source", tool.name, 0 if same else 1)
            for connections in (1, 8):
                wall, size = self.fetch(tool, replica, connections, way)
                self.add(f"{label}: curl fetches the same objects, {connections} at a time, s", tool.name, wall)
            self.add(f"{label}: stored MB", tool.name, size / MB)
            os.unlink(target)

    def fetch(self, tool, place, connections, way):
        """What server and line give at best: the same objects, to /dev/null.  One at a time: whole; more: in ranges."""
        client = connect(self.server, place.endpoint(way))
        listing, config, total = self.listing(place), f"{place}.curl", 0
        with open(config, "w", encoding="utf-8") as f:
            for key, size in listing.items():
                name = key[len(place.prefix) + 1:]
                if not (tool.segment.fullmatch(name) or tool.snapshot.fullmatch(name)):
                    continue
                total += size
                url, step = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key}), size
                if connections > 1:
                    step = RANGE
                for at in range(0, size, step):
                    f.write("next\n" if f.tell() > 0 else "")
                    f.write(f'url = "{url}"\nrange = "{at}-{min(at + step, size) - 1}"\noutput = "/dev/null"\nfail\n')
        wall, _, _ = timed(["curl", "--silent", "--parallel", "--parallel-immediate", "--parallel-max", str(connections), "-K",
                            config])
        return wall, total

    def beside_restore(self, db):
        """What decompressing and writing alone take."""
        label, packed, target = f"restore of {self.o.size:,} MB: s", db + ".zst", db + ".beside"
        timed(["zstd", "-q", "-f", "-1", db, "-o", packed])
        for _ in range(max(self.o.rounds, 2)):
            self.add(label, "zstd -d to /dev/null", timed(["zstd", "-q", "-d", "-f", packed, "-o", "/dev/null"])[0])
            self.add(label, "dd with fsync", timed(["dd", "if=" + db, "of=" + target, "bs=1M", "conv=fsync"])[0])
            os.unlink(target)
        os.unlink(packed)

    def run_idle(self):
        template = self.template("small.db", 16)
        for tool in self.tools:
            self.say(f"idle: {tool.name}")
            db, replica = self.fresh(template)
            with RunningS3(tool, db, replica) as running:
                running.wait_snapshot()
                self.load(db, commits=5, rate=10)
                running.drain(5)
                began_ns = time.monotonic_ns()
                time.sleep(self.o.idle_seconds)
                running.check()
                self.add(f"idle for {self.o.idle_seconds} s: requests", tool.name,
                         len(running.arrivals.requests(began_ns)))
                self.busy(tool, running, db)
            self.discard(db, replica)

    def busy(self, tool, running, db):
        """A commit a second at the default interval: most of an application's day, or more."""
        began_ns = time.monotonic_ns()
        self.load(db, rate=1, seconds=self.o.busy_seconds)
        running.drain(5)
        found = running.arrivals.requests(began_ns)
        for method in ("PUT", "GET", "POST", "DELETE", "HEAD"):
            count = sum(r.method == method for r in found)
            if count > 0:
                self.add(f"a commit a second: {method} requests, times a day's seconds", tool.name,
                         count / self.o.busy_seconds * 86400)
        self.add("a commit a second: MB sent, times a day's seconds", tool.name,
                 sum(r.size for r in found) / MB / self.o.busy_seconds * 86400)


def parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--load", required=True, help="the load generator")
    p.add_argument("--tap", required=True, help="the recording proxy")
    p.add_argument("--weir", help="the weir program; left out: not measured")
    p.add_argument("--litestream", help="the Litestream program; left out: not measured")
    p.add_argument("--rows", default=",".join(ROWS), help="which parts, from: " + ",".join(ROWS))
    p.add_argument("--quick", action="store_true", help="small sizes")
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--seconds", type=int, default=20, help="of the writer at full speed")
    p.add_argument("--lag-seconds", type=int, default=30)
    p.add_argument("--size", type=int, default=1000, help="MB of the big database")
    p.add_argument("--transactions", type=int, default=5000)
    p.add_argument("--idle-seconds", type=int, default=60)
    p.add_argument("--busy-seconds", type=int, default=130, help="with a commit a second")
    p.add_argument("--work", help="a folder for scratch data, on a real disk (default: a new one in $TMPDIR)")
    p.add_argument("--json", help="write all values to this file too")
    o = p.parse_args()
    if o.quick:
        o.seconds, o.lag_seconds, o.size, o.transactions, o.idle_seconds, o.busy_seconds = 3, 12, 100, 1000, 10, 10
    if set(o.rows.split(",")) - set(ROWS) or not (o.weir or o.litestream):
        p.error(f"--rows takes {', '.join(ROWS)}; and one of --weir, --litestream is needed")
    return o


def main():
    o = parse()
    kinds = ((LitestreamS3, o.litestream), (WeirS3, o.weir))
    tools = [kind(os.path.abspath(binary)) for kind, binary in kinds if binary]
    o.load = os.path.abspath(o.load)
    o.work = tempfile.mkdtemp(prefix="weir-bench-", dir=o.work)
    try:
        with Ceph() as server:
            connect(server).create_bucket(Bucket=BUCKET)
            os.environ.update(server.environment(), AWS_CA_BUNDLE=server.ca_file, SSL_CERT_FILE=server.ca_file)
            o.tap = os.path.abspath(o.tap)
            with Tap(o.tap, server.endpoint, BUCKET, os.path.join(o.work, "requests")) as tap, \
                    Tap(o.tap, server.endpoint, BUCKET, os.path.join(o.work, "line"), LINE) as line:
                bench = BenchS3(o, tools, server, tap, line)
                for part in o.rows.split(","):
                    getattr(bench, "run_" + part)()
                bench.table()
    finally:
        shutil.rmtree(o.work, ignore_errors=True)
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(bench.results, f, indent=1)


if __name__ == "__main__":
    main()
