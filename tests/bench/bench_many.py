#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_many - one process and very many databases: what idle ones cost, and how late active ones are.

    bench_many.py --load PATH [--weir PATH] [--litestream PATH] [--tap PATH] [--idle 1000] [--active 200] [--huge 10000]

Per round, each program in turn, at its default settings:

  one     a daemon with one database: one commit a second, its lag; what the rows below are compared with
  many    --idle databases in one folder and one process: seconds until all are replicated; then, over --seconds, CPU,
          memory, descriptors, and objects that it wrote though nobody committed; then --active of them get one commit a
          second each, with the lag of each commit; then another start, which finds everything as it was left
  huge    (once) as many, of --huge databases

The lag of a commit is the time from the return of COMMIT to the name of the object that holds it, by one clock; with --tap
replicas are in a bucket of a server that is started for it, and the lag ends with the answer to the PUT.  weir finds the
databases in their folder, Litestream gets a list.  `./dev bench many [s3]` builds and fetches what is needed and calls this.
"""
import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from bench import MB, PAGE_SIZE, Bench, read_salt
from bench_tools import Litestream, Weir
from bench_watch import Arrivals, descriptor_count, fine_cpu_seconds, rss_bytes

BUCKET = "bench"
SHIPPED_WITHIN_S = 5


class Folders:
    """Replicas in a directory."""

    written = "objects written"

    def __init__(self, folder):
        self.folder = os.path.join(folder, "replica")
        self.arrivals = None
        os.makedirs(self.folder)

    def weir(self):
        return "file://" + self.folder

    def litestream(self, name):
        return f"{{type: file, path: {self.folder}/{name}}}"

    def replicated(self, tool, names):
        """Of how many is there a whole snapshot?"""
        return sum(any(tool.snapshot.fullmatch(path) for path in files_below(os.path.join(self.folder, name))) for name in names)

    def count(self):
        return sum(1 for _ in files_below(self.folder))

    def watch(self, names):
        self.arrivals = Arrivals(self.folder, names)

    def matching(self, tool, names):
        """Database -> (match, ns) of its segments."""
        found = {name: [] for name in names}
        for path, ns in list(self.arrivals.seen.items()):
            name, _, rest = path.partition("/")
            match = tool.segment.fullmatch(rest)
            if match and name in found:
                found[name].append((match, ns))
        self.arrivals.close()
        return found


class Prefixes:
    """Replicas in a bucket, behind a proxy that writes down all requests."""

    written = "requests"

    def __init__(self, tap, prefix):
        self.tap, self.prefix = tap, prefix

    def weir(self):
        return f"s3://{BUCKET}/{self.prefix}?region=us-east-1&endpoint={self.tap.endpoint}"

    def litestream(self, name):
        return (f"{{type: s3, bucket: {BUCKET}, path: {self.prefix}/{name}, endpoint: '{self.tap.endpoint}', region: us-east-1, "
                "force-path-style: true}")

    def uploads(self, name=None):
        from bench_tap import Uploads  # needs the tests' servers, which a run over directories does without
        return Uploads(self.tap, f"{self.prefix}/{name}" if name else self.prefix)

    def replicated(self, tool, names):
        found = set()
        for request in self.tap.update():
            prefix, _, rest = request.key.partition("/")
            name, _, rest = rest.partition("/")
            if prefix == self.prefix and request.status == 200 and tool.snapshot.fullmatch(rest):
                found.add(name)
        return len(found.intersection(names))

    def count(self):
        return len(self.uploads().requests())

    def watch(self, _):
        """The proxy always does."""

    def matching(self, tool, names):
        return {name: self.uploads(name).matching(tool.segment) for name in names}


def files_below(folder):
    """Paths of whole files, relative to it."""
    for base, _, files in os.walk(folder):
        for file in files:
            if not (file.startswith(".") or file.endswith(".tmp") or "/.tmp" in base):
                yield os.path.relpath(os.path.join(base, file), folder)


class Farm:
    """So many databases, and one process that replicates them all.  Use with `with`."""

    def __init__(self, bench, tool, count, home=None):
        self.bench, self.tool = bench, tool
        self.folder = bench.path(f"farm{bench.count}")
        bench.count += 1
        os.makedirs(os.path.join(self.folder, "dbs"))
        self.names = [f"{i}.db" for i in range(count)]
        for name in self.names:
            shutil.copyfile(bench.seed, self.db(name))
        self.home = home or bench.home(self.folder)
        self.config, self.process = os.path.join(self.folder, "config.yml"), None
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(self.settings())

    def db(self, name):
        return os.path.join(self.folder, "dbs", name)

    def settings(self):
        if isinstance(self.tool, Weir):
            return f"databases:\n  - {{dir: {self.folder}/dbs, watch: true, replica: '{self.home.weir()}'}}\nlog: {{level: warn}}\n"
        return "dbs:\n" + "".join(f"  - path: {self.db(n)}\n    replicas:\n      - {self.home.litestream(n)}\n" for n in self.names)

    def start(self):
        option = "-c" if isinstance(self.tool, Weir) else "-config"
        self.began = time.monotonic()
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen([self.tool.binary, "replicate", option, self.config], stdout=log, stderr=log)

    def said(self):
        """What it ended with, or complains of."""
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        ended = "" if self.process.poll() is None else f"ended with status {self.process.returncode}; "
        return f"{ended}the last words of its log: {lines[-1][-160:] if lines else '(none)'}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        """Seconds that it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return time.monotonic() - began

    def wait_replicated(self, patience):
        """Seconds; RuntimeError when it ended or took longer."""
        while True:
            count, took = self.home.replicated(self.tool, self.names), time.monotonic() - self.began
            if count == len(self.names):
                return took
            if self.process.poll() is not None or took > patience:
                peak = f", peak RSS {self.peak_rss():,.0f} MB" if self.process.poll() is None else ""
                raise RuntimeError(f"{count:,} of {len(self.names):,} replicated after {took:.0f} s{peak}; {self.said()}")
            time.sleep(0.5)

    def cpu(self):
        return fine_cpu_seconds(self.process.pid)

    def rss(self):
        return rss_bytes(self.process.pid) / MB

    def peak_rss(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:")) / MB

    def write(self, names, seconds):
        """One commit a second to each of them, each by a process of its own; database -> lags in ns."""
        load, salts = self.bench.o.load, {name: read_salt(self.db(name)) for name in names}
        self.home.watch(names)
        writers = []
        for i, name in enumerate(names):
            writers.append(subprocess.Popen([load, "--rate", "1", "--seconds", str(seconds), "--seed", str(i + 1), "--times",
                                             self.db(name) + ".times", self.db(name)], stdout=subprocess.DEVNULL))
            time.sleep(1 / len(names))  # not all in the same moment
        for writer in writers:
            if writer.wait() != 0:
                raise RuntimeError("a writer failed")
        time.sleep(SHIPPED_WITHIN_S)
        arrivals, found = self.home.matching(self.tool, names), []
        for name in names:
            with open(self.db(name) + ".times", encoding="ascii") as file:
                commits = [tuple(int(word) for word in line.split()) for line in file]
            found += self.tool.lags(commits, arrivals[name], PAGE_SIZE, salts[name])
        return found


class BenchMany(Bench):
    def __init__(self, options, tools, tap=None):
        super().__init__(options, tools)
        self.tap, self.notes = tap, []
        self.seed = self.path("seed.db")
        self.load(self.seed, commits=20)

    def home(self, folder):
        return Prefixes(self.tap, os.path.basename(folder)) if self.tap else Folders(folder)

    def run(self):
        for _ in range(self.o.rounds):
            for tool in self.tools:
                self.run_one(tool)
            for tool in self.tools:
                self.run_many(tool, self.o.idle)
        if self.o.huge:
            for tool in self.tools:
                self.run_many(tool, self.o.huge)

    def run_one(self, tool):
        self.say(f"{tool.name}: one database")
        with Farm(self, tool, 1) as farm:
            farm.wait_replicated(self.o.patience)
            time.sleep(3)
            self.note_active("1 database, 1 active", farm, farm.names)

    def run_many(self, tool, count):
        self.say(f"{tool.name}: {count:,} databases")
        label = f"{count:,} databases"
        with Farm(self, tool, count) as farm:
            try:
                self.add(f"{label}: start until all are replicated, s", tool.name, farm.wait_replicated(self.o.patience))
            except RuntimeError as error:
                self.notes.append(f"{tool.name}, {label}: {error}")
                return
            self.add(f"{label}: start: peak RSS, MB", tool.name, farm.peak_rss())
            time.sleep(self.o.settle)
            self.note_idle(f"{label}, idle", farm)
            if self.o.active:
                active = random.Random(1).sample(farm.names, min(self.o.active, count))
                self.note_active(f"{label}, {len(active)} active", farm, active)
            self.add(f"{label}: orderly end, s", tool.name, farm.stop())
            if isinstance(tool, Weir):
                self.note_again(label, farm)

    def note_idle(self, label, farm):
        name, cpu, written = farm.tool.name, farm.cpu(), farm.home.count()
        time.sleep(self.o.seconds)
        self.add(f"{label}: CPU, s a minute", name, (farm.cpu() - cpu) * 60 / self.o.seconds)
        self.add(f"{label}: RSS, MB", name, farm.rss())
        self.add(f"{label}: descriptors", name, descriptor_count(farm.process.pid))
        self.add(f"{label}: {farm.home.written}", name, farm.home.count() - written)

    def note_active(self, label, farm, active):
        name, cpu, written, began = farm.tool.name, farm.cpu(), farm.home.count(), time.monotonic()
        lags = farm.write(active, self.o.seconds)
        known = sorted(lag / 1e6 for lag in lags if lag is not None)
        if not known:
            raise RuntimeError(f"{label}: {name} shipped nothing: {farm.said()}")
        self.add(f"{label}: lag p50, ms", name, statistics.median(known))
        self.add(f"{label}: lag p99, ms", name, known[(len(known) - 1) * 99 // 100])
        self.add(f"{label}: not shipped {SHIPPED_WITHIN_S} s after the end", name, len(lags) - len(known))
        self.add(f"{label}: CPU, s a minute", name, (farm.cpu() - cpu) * 60 / (time.monotonic() - began))
        self.add(f"{label}: RSS, MB", name, farm.rss())
        self.add(f"{label}: {farm.home.written}, per commit", name, (farm.home.count() - written) / len(lags))

    def note_again(self, label, farm):
        """A daemon that finds everything as another one has left it."""
        farm.start()
        parked = 0
        while parked < len(farm.names) and time.monotonic() - farm.began < self.o.patience and farm.process.poll() is None:
            done = subprocess.run([farm.tool.binary, "status", "--json", "-c", farm.config], capture_output=True, check=False)
            with contextlib.suppress(ValueError):
                parked = sum(item.get("parked", False) for item in json.loads(done.stdout)["databases"])
            time.sleep(0.1)
        if parked < len(farm.names):
            raise RuntimeError(f"{label}: only {parked} are known after another start: {farm.said()}")
        self.add(f"{label}, started again: all known after, s", farm.tool.name, time.monotonic() - farm.began)
        self.add(f"{label}, started again: CPU, s", farm.tool.name, farm.cpu())
        self.add(f"{label}, started again: RSS, MB", farm.tool.name, farm.rss())

    def footer(self):
        both = [tool.name for tool in self.tools]
        huge = f", {self.o.huge:,} databases: 1" if self.o.huge else ""
        return "\n".join([*self.notes, *[""] * bool(self.notes), f"Medians of {self.o.rounds} rounds{huge}, each {self.o.seconds} s, the worst where the row says peak;"
                          f" ratio: {both[0]} / {both[-1]}; {os.cpu_count()} processors."])


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--load", required=True, help="the load generator")
    p.add_argument("--weir", help="the weir program; left out: not measured")
    p.add_argument("--litestream", help="the Litestream program; left out: not measured")
    p.add_argument("--tap", help="the recording proxy: replicas in a bucket")
    p.add_argument("--quick", action="store_true", help="100 databases, 20 active, one round")
    p.add_argument("--idle", type=int, default=1000, help="databases")
    p.add_argument("--active", type=int, default=200, help="of them, with one commit a second each")
    p.add_argument("--huge", type=int, default=10000, help="databases, once; 0: not at all")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--seconds", type=int, default=30, help="idle, and with commits")
    p.add_argument("--settle", type=float, default=75, help="weir parks a database a minute after its last commit")
    p.add_argument("--patience", type=float, default=300, help="seconds for a start")
    p.add_argument("--work", help="a folder for scratch data, on a real disk (default: a new one in $TMPDIR)")
    p.add_argument("--json", help="write all values to this file too")
    o = p.parse_args()
    if o.quick:
        o.idle, o.active, o.huge, o.rounds, o.seconds = 100, 20, 0, 1, 15
    if not (o.weir or o.litestream):
        p.error("one of --weir, --litestream is needed")
    return o


def over_s3(o, tools):
    """With a server for the time of the run."""
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from bench_tap import Tap
    from servers.ceph import Ceph
    from servers.client import connect
    with Ceph() as server:
        connect(server).create_bucket(Bucket=BUCKET)
        os.environ.update(server.environment())
        with Tap(os.path.abspath(o.tap), server.endpoint, BUCKET, os.path.join(o.work, "requests")) as tap:
            bench = BenchMany(o, tools, tap)
            bench.run()
    return bench


def main():
    o = parse()
    kinds = ((Litestream, o.litestream), (Weir, o.weir))
    tools = [kind(os.path.abspath(binary)) for kind, binary in kinds if binary]
    o.load = os.path.abspath(o.load)
    o.work = tempfile.mkdtemp(prefix="weir-bench-", dir=o.work)
    try:
        if o.tap:
            bench = over_s3(o, tools)
        else:
            bench = BenchMany(o, tools)
            bench.run()
    finally:
        shutil.rmtree(o.work, ignore_errors=True)
    bench.table()
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(bench.results, f, indent=1)


if __name__ == "__main__":
    main()
