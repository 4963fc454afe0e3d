#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What folds, merges and later snapshots cost: bytes stored by kind, for a load that runs against a daemon whose hours are
seconds; with --compare also processor time, beside the same load without any of them.

    bench_merge.py --weir BUILD/tools/weir [--days 3] [--hour 1.0] [--commits 50] [--load orders|events|random] [--percent N]
                   [--scale 1] [--compare]

events: each commit appends ten rows to a log.
orders: each commit inserts an order and updates its customer and an article, few of which are popular.
random: each commit updates one row anywhere in the table, the worst case for whole pages.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import tempfile
import time

from bench_watch import cpu_seconds

ROWS = {"customers": 20000, "articles": 5000}


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--days", type=float, default=3)
    parser.add_argument("--hour", type=float, default=1.0, help="seconds that stand for an hour")
    parser.add_argument("--commits", type=int, default=50, help="per hour")
    parser.add_argument("--load", choices=("orders", "events", "random"), default="orders")
    parser.add_argument("--percent", default="50", help="merge.percent")
    parser.add_argument("--scale", type=int, default=1, help="times 10 MB, the size of the database")
    parser.add_argument("--compare", action="store_true", help="the same load again, without folds, merges and later snapshots")
    return parser.parse_args()


def make(path):
    """About 10 MB, times the scale."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                     "CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, note TEXT, spent INTEGER);"
                     "CREATE TABLE articles(id INTEGER PRIMARY KEY, name TEXT, stock INTEGER);"
                     "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, article INTEGER, at TEXT, text TEXT);"
                     "CREATE TABLE events(id INTEGER PRIMARY KEY, at TEXT, what TEXT);"
                     "CREATE INDEX by_customer ON orders(customer)")
    words = [f"{random.getrandbits(24):06x}" for _ in range(5000)]
    db.execute("BEGIN")
    for n in range(ROWS["customers"]):
        db.execute("INSERT INTO customers VALUES(?, ?, ?, 0)", (n + 1, words[n % 5000], " ".join(random.choices(words, k=50))))
    for n in range(ROWS["articles"]):
        db.execute("INSERT INTO articles VALUES(?, ?, 1000)", (n + 1, " ".join(random.choices(words, k=8))))
    db.execute("COMMIT")
    return db, words


def popular(count):
    """Few are chosen often."""
    return 1 + int(count * random.random() ** 4)


def commit(db, words, load):
    """One transaction."""
    if load == "random":
        db.execute("UPDATE customers SET spent = spent + 1 WHERE id = ?", (1 + random.randrange(ROWS["customers"]),))
        return
    if load == "events":
        db.execute("BEGIN IMMEDIATE")
        for _ in range(10):
            db.execute("INSERT INTO events VALUES(NULL, datetime(), ?)", (" ".join(random.choices(words, k=25)),))
        db.execute("COMMIT")
        return
    customer, article = popular(ROWS["customers"]), popular(ROWS["articles"])
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO orders VALUES(NULL, ?, ?, datetime(), ?)", (customer, article, " ".join(random.choices(words, k=20))))
    db.execute("UPDATE customers SET spent = spent + 7 WHERE id = ?", (customer,))
    db.execute("UPDATE articles SET stock = stock - 1 WHERE id = ?", (article,))
    db.execute("COMMIT")


def sizes(weir, url):
    """Bytes by kind, out of weir ls; the first snapshot apart.  Nothing was deleted yet: folded segments stay for long."""
    shown = json.loads(subprocess.run([weir, "ls", url, "--json"], capture_output=True, check=True).stdout)["timelines"][0]
    found = {"folds": 0, "later snapshots": sum(s["bytes"] for s in shown["snapshots"][1:])}
    for level in (1, 2):
        found[f"merges of level {level}"] = sum(m["bytes"] for m in shown["merges"] if m["level"] == level)
    for folder, _, names in os.walk(url.removeprefix("file://")):
        if os.path.basename(folder) == "fold":
            found["folds"] = sum(os.path.getsize(os.path.join(folder, name)) for name in names)
    return found, len(shown["merges"]), len(shown["snapshots"])


def follow(args, folder, options):
    """The load under a daemon: its status at the end, its processor time, the URL, and the number of commits."""
    random.seed(1)
    path, url = os.path.join(folder, "app.db"), f"file://{folder}/replica"
    db, words = make(path)
    daemon = subprocess.Popen([args.weir, "replicate", path, url, "--sync-interval", "10ms", "--fold-delete-after", "1d", *options],
                              stderr=subprocess.DEVNULL)
    try:
        while subprocess.run([args.weir, "sync", path, "--wait"], capture_output=True, check=False).returncode:
            time.sleep(0.05)
        before = cpu_seconds(daemon.pid)
        begin, count = time.monotonic(), int(args.days * 24 * args.commits)
        for n in range(count):
            commit(db, words, args.load)
            time.sleep(max(0.0, begin + (n + 1) * args.hour / args.commits - time.monotonic()))
        subprocess.run([args.weir, "sync", path, "--wait"], capture_output=True, check=True)
        cpu = cpu_seconds(daemon.pid) - before
        status = json.loads(subprocess.run([args.weir, "status", path, "--json"], capture_output=True,
                                           check=True).stdout)["databases"][0]
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
    db.close()
    return status, cpu, url, count


def report(args, folder):
    """Run it and print what it stored; returns the processor time."""
    status, cpu, url, count = follow(args, folder, (
        "--merge-interval", f"{int(args.hour * 1000)}ms", "--merge-percent", args.percent,
        "--merge-long-interval", f"{int(args.hour * 24000)}ms"))
    shipped = status["bytes_shipped"]
    found, merges, snapshots = sizes(args.weir, url)
    size = os.path.getsize(os.path.join(folder, "app.db"))
    print(f"{args.load}: {count} commits, database {size / 1e6:.1f} MB, {status['segments']} segments,"
          f" {merges} merges, {snapshots} snapshots")
    print(f"  shipped as log         {shipped:>12,} bytes")
    for name, stored in found.items():
        print(f"  {name:22} {stored:>12,} bytes  {stored / shipped:5.2f} times")
    print(f"  all but the log        {sum(found.values()):>12,} bytes  {sum(found.values()) / shipped:5.2f} times")
    plan = json.loads(subprocess.run([args.weir, "restore", url, "-o", f"{folder}/out.db", "--json"], capture_output=True,
                                     check=True).stdout)
    print(f"  restore of the newest  {plan['objects']} objects, {plan['merges']} of them merges, {plan['bytes_read']:,} bytes")
    return cpu, shipped


def main():
    """Run it once or twice."""
    args = arguments()
    for name in ROWS:
        ROWS[name] *= args.scale
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        cpu, shipped = report(args, folder)
    print(f"  processor time         {cpu:>12.2f} s      {cpu / shipped * 1e6:5.2f} s per shipped MB")
    if args.compare:
        with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
            status, alone, _, _ = follow(args, folder, ("--fold-count", "0", "--merge-interval", "0s", "--merge-long-interval", "0s",
                                                        "--snapshot-interval", "0s"))
        each = alone / status["bytes_shipped"] * 1e6
        print(f"  without any of these   {alone:>12.2f} s      {each:5.2f} s per shipped MB")


if __name__ == "__main__":
    main()
