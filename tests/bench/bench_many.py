#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_many - one process and very many databases: what idle ones cost, and how late active ones are.

    bench_many.py [--weir PATH] [--litestream PATH] [--idle 1000] [--active 200] [--seconds 30]

Idle databases: seconds until all are replicated, then, over --seconds, the process's CPU time, its memory, its descriptors,
and objects that it wrote.  Then --active of them get one commit a second each, and the lag is the time from a commit to the
modification time of the first object that appears in its replica afterwards.  At last weir is ended and started again.
Everything at its default settings, in a directory; weir finds the databases in their folder, Litestream gets a list.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of the process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    """(present, peak) resident MB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    return tuple(int(lines[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))


def make(folder, count):
    """So many copies of a small database, in WAL mode."""
    seed = os.path.join(folder, "seed")
    with contextlib.closing(sqlite3.connect(seed)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t(x)")
        db.executemany("INSERT INTO t VALUES(?)", [(random.randbytes(100),) for _ in range(50)])
        db.commit()
    os.makedirs(os.path.join(folder, "dbs"))
    names = [f"{i}.db" for i in range(count)]
    for name in names:
        shutil.copyfile(seed, os.path.join(folder, "dbs", name))
    return names


def command(tool, binary, folder, names):
    """The process's command line; its configuration is written."""
    path = os.path.join(folder, "config.yml")
    with open(path, "w", encoding="utf-8") as file:
        if tool == "weir":
            file.write(f"databases:\n  - {{dir: {folder}/dbs, watch: true, replica: 'file://{folder}/replica'}}\nlog: {{level: warn}}\n")
        else:
            file.write("dbs:\n")
            for name in names:
                file.write(f"  - path: {folder}/dbs/{name}\n    replicas:\n      - {{type: file, path: {folder}/replica/{name}}}\n")
    return [binary, "replicate", "-c" if tool == "weir" else "-config", path]


def objects(folder, name=""):
    """Modification times of all objects, in ns; those of files that are just being written are left out."""
    times = []
    for base, _, files in os.walk(os.path.join(folder, "replica", name)):
        if "/.tmp" in base:
            continue
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                if not file.endswith(".tmp"):
                    times.append(os.stat(os.path.join(base, file)).st_mtime_ns)
    return times


def replicated(folder, names):
    """Of how many databases is there anything that could be restored?"""
    count = 0
    for name in names:
        for base, _, files in os.walk(os.path.join(folder, "replica", name)):
            if "snap" in base and files:
                count += 1
                break
    return count


def write(folder, names, seconds, commits):
    """One commit a second to each of the databases; what was committed when goes into `commits`."""
    connections = {}
    for name in names:
        connections[name] = sqlite3.connect(os.path.join(folder, "dbs", name), isolation_level=None, timeout=30)
    end = time.monotonic() + seconds
    turn = time.monotonic()
    while turn < end:
        for i, name in enumerate(names):
            pause = turn + i / len(names) - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            connections[name].execute("INSERT INTO t VALUES(randomblob(100))")
            commits.append((name, time.time_ns()))
        turn += 1
    for connection in connections.values():
        connection.close()


def lags(folder, commits):
    """Seconds from each commit to the first object behind it; None where none came."""
    times = {name: sorted(objects(folder, name)) for name in {name for name, _ in commits}}
    found = []
    for name, at in commits:
        later = [t for t in times[name] if t >= at - 5_000_000]  # the clock of files ticks every 4 ms
        found.append(max(0, later[0] - at) / 1e9 if later else None)
    return found


def end(process):
    """Stop it in order; seconds that it took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return time.monotonic() - began


def restart(binary, folder, names, o):
    """A daemon that finds everything as another one has left it: prints what it took."""
    began = time.monotonic()
    with open(os.path.join(folder, "log"), "ab") as log:
        process = subprocess.Popen(command("weir", binary, folder, names), stdout=log, stderr=log)
    parked = 0
    try:
        while parked < len(names) and time.monotonic() - began < o.patience and process.poll() is None:
            done = subprocess.run([binary, "status", "--json", "-c", os.path.join(folder, "config.yml")], capture_output=True, check=False)
            with contextlib.suppress(ValueError):
                parked = sum(item.get("parked", False) for item in json.loads(done.stdout)["databases"])
            time.sleep(0.1)
        rss, peak = memory(process.pid)
        print(f"weir: again: {parked} of {len(names)} known and parked after {time.monotonic() - began:.1f} s, {cpu_seconds(process.pid):.2f} CPU s, "
              f"RSS {rss:.1f} MB (peak {peak:.1f})", flush=True)
    finally:
        end(process)


def measure(tool, binary, o):
    """One program: prints what it found."""
    folder = tempfile.mkdtemp(prefix="weir-bench-many-")
    try:
        names = make(folder, o.idle)
        began = time.monotonic()
        with open(os.path.join(folder, "log"), "wb") as log:
            process = subprocess.Popen(command(tool, binary, folder, names), stdout=log, stderr=log)
        try:
            while replicated(folder, names) < len(names) and time.monotonic() - began < o.patience and process.poll() is None:
                time.sleep(1)
            print(f"{tool}: {replicated(folder, names)} of {len(names)} replicated after {time.monotonic() - began:.1f} s", flush=True)
            time.sleep(o.settle)
            before, written = cpu_seconds(process.pid), len(objects(folder))
            time.sleep(o.seconds)
            rss, peak = memory(process.pid)
            print(f"{tool}: idle: {(cpu_seconds(process.pid) - before) * 60 / o.seconds:.2f} CPU s a minute, RSS {rss:.1f} MB (peak {peak:.1f}), "
                  f"{len(os.listdir(f'/proc/{process.pid}/fd'))} descriptors, {len(objects(folder)) - written} objects written", flush=True)
            if o.active:
                active, commits = random.Random(1).sample(names, min(o.active, len(names))), []
                before = cpu_seconds(process.pid)
                halves = [threading.Thread(target=write, args=(folder, active[i::2], o.seconds, commits)) for i in range(2)]
                for thread in halves:
                    thread.start()
                for thread in halves:
                    thread.join()
                cpu = (cpu_seconds(process.pid) - before) * 60 / o.seconds
                time.sleep(5)
                rss, peak = memory(process.pid)
                late = lags(folder, commits)
                there = sorted(lag for lag in late if lag is not None)
                print(f"{tool}: {len(active)} active: {len(commits)} commits, lag p50 {statistics.median(there) * 1000:.0f} ms, "
                      f"p99 {there[int(len(there) * 0.99)] * 1000:.0f} ms, {len(late) - len(there)} not shipped after 5 s; "
                      f"{cpu:.1f} CPU s a minute, RSS {rss:.1f} MB (peak {peak:.1f})", flush=True)
        finally:
            print(f"{tool}: ended in {end(process):.1f} s", flush=True)
        if tool == "weir":
            restart(binary, folder, names, o)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    """Each program in turn."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weir")
    p.add_argument("--litestream", help="left out: not measured")
    p.add_argument("--idle", type=int, default=1000, help="databases")
    p.add_argument("--active", type=int, default=200, help="of them, with one commit a second each")
    p.add_argument("--seconds", type=float, default=30)
    p.add_argument("--settle", type=float, default=75, help="weir parks a database a minute after its last commit")
    p.add_argument("--patience", type=float, default=600)
    o = p.parse_args()
    for tool, binary in (("litestream", o.litestream), ("weir", o.weir)):
        if binary:
            measure(tool, os.path.abspath(binary), o)


if __name__ == "__main__":
    main()
