#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What merges cost: bytes stored by kind, for a load that runs against a daemon whose hours are seconds.

    bench_merge.py --weir BUILD/tools/weir [--days 3] [--hour 1.0] [--commits 50] [--load orders|events|random] [--percent N]

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

ROWS = {"customers": 20000, "articles": 5000}


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--days", type=float, default=3)
    parser.add_argument("--hour", type=float, default=1.0, help="seconds that stand for an hour")
    parser.add_argument("--commits", type=int, default=50, help="per hour")
    parser.add_argument("--load", choices=("orders", "events", "random"), default="orders")
    parser.add_argument("--percent", default="100", help="merge.percent")
    return parser.parse_args()


def make(path):
    """About 10 MB."""
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
    """Bytes by kind, out of weir ls; the first snapshot apart."""
    shown = json.loads(subprocess.run([weir, "ls", url, "--json"], capture_output=True, check=True).stdout)["timelines"][0]
    found = {"later snapshots": sum(s["bytes"] for s in shown["snapshots"][1:])}
    for level in (1, 2):
        found[f"merges of level {level}"] = sum(m["bytes"] for m in shown["merges"] if m["level"] == level)
    return found, len(shown["merges"]), len(shown["snapshots"])


def main():
    """Run it and print a table."""
    args = arguments()
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        path, url = os.path.join(folder, "app.db"), f"file://{folder}/replica"
        db, words = make(path)
        daemon = subprocess.Popen([args.weir, "replicate", path, url, "--sync-interval", "10ms",
                                   "--merge-interval", f"{int(args.hour * 1000)}ms",
                                   "--merge-percent", args.percent, "--merge-long-interval", f"{int(args.hour * 24000)}ms"], stderr=subprocess.DEVNULL)
        try:
            while subprocess.run([args.weir, "sync", path, "--wait"], capture_output=True, check=False).returncode:
                time.sleep(0.05)
            begin, count = time.monotonic(), int(args.days * 24 * args.commits)
            for n in range(count):
                commit(db, words, args.load)
                time.sleep(max(0.0, begin + (n + 1) * args.hour / args.commits - time.monotonic()))
            subprocess.run([args.weir, "sync", path, "--wait"], capture_output=True, check=True)
            status = json.loads(subprocess.run([args.weir, "status", path, "--json"], capture_output=True,
                                               check=True).stdout)["databases"][0]
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
        shipped = status["bytes_shipped"]
        found, merges, snapshots = sizes(args.weir, url)
        print(f"{args.load}: {count} commits, database {os.path.getsize(path) / 1e6:.1f} MB, {merges} merges, {snapshots} snapshots")
        print(f"  shipped as log         {shipped:>12,} bytes")
        for name, size in found.items():
            print(f"  {name:22} {size:>12,} bytes  {size / shipped:5.2f} times")
        print(f"  all but the log        {sum(found.values()):>12,} bytes  {sum(found.values()) / shipped:5.2f} times")
        plan = json.loads(subprocess.run([args.weir, "restore", url, "-o", f"{folder}/out.db", "--json"], capture_output=True,
                                         check=True).stdout)
        print(f"  restore of the newest  {plan['objects']} objects, {plan['merges']} of them merges, {plan['bytes_read']:,} bytes")


if __name__ == "__main__":
    main()
