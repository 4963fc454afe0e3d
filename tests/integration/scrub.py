# SPDX-License-Identifier: Apache-2.0
"""scrub: a page of the live database that changes by itself is told, by its number, and never taken for a change; and
nothing that an application may do is ever told as one.
"""

import json
import os
import random
import re
import sqlite3
import subprocess
import time

from drill import entry_of
from http_api import HttpDaemon, config, entry
from lib.case import PATIENCE, wait_until
from lib.daemon import Daemon, restore
from lib.tap import check, equal

PAGE = 4096
FAST = {"WEIR_SCRUB_INTERVAL": "100ms", "WEIR_DRILL_INTERVAL": "0s"}
NEVER = {"WEIR_SCRUB_INTERVAL": "off", "WEIR_DRILL_INTERVAL": "0s"}
SELDOM = {"WEIR_SCRUB_INTERVAL": "300d", "WEIR_DRILL_INTERVAL": "0s"}


def sql(case, db, text, **options):
    """Statements of an application that comes and goes."""
    return case.run("sqlite3", "-cmd", ".timeout 60000", db, text, **options).stdout


def fill(case, db, rows=400):
    """A table of that many rows, two to a page, copied into the file where that can be done."""
    sql(case, db, f"""
        PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            INSERT INTO t(v) SELECT hex(randomblob(900)) FROM n;
        PRAGMA wal_checkpoint(PASSIVE);""")


def begin(case, env, rows=400):
    """A database, its daemon, everything shipped and in the file."""
    replica, db = case.replica(), case.path("app.db")
    fill(case, db, rows)
    weir = Daemon(case, db, replica.url, env=env).start()
    sql(case, db, "INSERT INTO t(v) VALUES (1)")
    weir.sync()
    copied(case, db)
    return db, replica, weir


def copied(case, db):
    """All of the log is in the file: what somebody writes there from now on is not replaced by a checkpoint."""
    def whole():
        busy, frames, done = sql(case, db, "PRAGMA wal_checkpoint(PASSIVE)").strip().split("|")
        return busy == "0" and frames == done
    wait_until(whole, "a checkpoint that copies all")


def page_of(db, number):
    """What the file has there."""
    with open(db, "rb") as file:
        file.seek((number - 1) * PAGE)
        return file.read(PAGE)


def put_page(db, number, data):
    """As a disk, or a program that knows nothing of SQLite, would do it."""
    with open(db, "r+b") as file:
        file.seek((number - 1) * PAGE)
        file.write(data)


def flip(db, number, at=1000):
    """One bit of the page is another; what the page was."""
    before = page_of(db, number)
    put_page(db, number, before[:at] + bytes([before[at] ^ 4]) + before[at + 1:])
    return before


def scrub_of(weir):
    """Its scrub."""
    return entry_of(weir)[0]["scrub"]


def await_pages(weir, pages):
    """Wait until just these are damaged."""
    wait_until(lambda: scrub_of(weir)["damaged_pages"] == pages, f"damaged pages {pages}")
    return scrub_of(weir)


def await_passes(weir, count=2):
    """Wait for so many whole passes from now on."""
    goal = scrub_of(weir)["passes"] + count
    wait_until(lambda: scrub_of(weir)["passes"] >= goal, f"{goal} passes", timeout=4 * PATIENCE)
    return scrub_of(weir)


def good(case):
    """Nothing is damaged: it says so, and since when."""
    db, _replica, weir = begin(case, FAST)
    scrub = await_passes(weir)
    equal((scrub["result"], scrub["damaged"], scrub["failure"], scrub["error"]), ("good", 0, None, None), "scrub")
    equal(scrub["pass_pages"], os.path.getsize(db) // PAGE, "pages")
    shown = case.weir("status", db).stdout
    check(re.search(r"scrub +all \d+ pages of the file were what was committed, at 2", shown), shown)
    equal(entry_of(weir)[1], 0, "exit status")
    weir.stop()


def off(case):
    """Without an interval nothing is read."""
    db, _replica, weir = begin(case, NEVER)
    flip(db, 50)
    sql(case, db, "INSERT INTO t(v) VALUES (2)")
    weir.sync()
    equal((scrub_of(weir), entry_of(weir)[1]), (None, 0), "scrub")
    weir.stop()


def shown_everywhere(case):
    """Status, readiness, metrics, events and log say it, until the page is right."""
    replica, db = case.replica(), case.path("app.db")
    fill(case, db)
    text = config(entry(db, replica.url, scrub={"interval": "100ms"}, drill={"interval": "0s"}), http={"listen": "127.0.0.1:0"})
    daemon = HttpDaemon(case, text)
    daemon.start(ready=False)
    wait_until(lambda: daemon.get("/readyz").status == 200, "it is ready")
    copied(case, db)
    before = flip(db, 77)

    wait_until(lambda: daemon.get("/readyz").status == 503, "readiness hears of it")
    check("page 77 of" in daemon.get("/readyz").text, daemon.get("/readyz").text)
    metrics = daemon.get("/metrics").text
    check(re.search(r'weir_damaged_pages\{db="[^"]*"\} 1\n', metrics), metrics)
    check(re.search(r'weir_scrub_pages_total\{db="[^"]*"\} [1-9]', metrics), metrics)
    events = json.loads(daemon.get("/api/v1/events").text)["events"]
    check([e for e in events if e["kind"] == "scrub" and "page 77 of" in e["text"]], events)
    shown = case.weir("status", db, "--json", expect=1)
    document = json.loads(shown.stdout)["databases"][0]
    scrub = document["scrub"]
    equal((document["state"], document["error"]["message"]), ("replicating", scrub["failure"]), "state and error")
    equal((scrub["result"], scrub["damaged"], scrub["damaged_pages"]), ("damaged", 1, [77]), "scrub")
    check("is not what was committed at txid" in scrub["failure"] and scrub["found_txid"] >= 1, scrub)
    check("1 pages of the file are damaged" in case.weir("status", db, expect=1).stdout, "status in words")
    check(re.search(r"error +scrub: a page of the database is damaged.* page=77 txid=\d+", daemon.log()), daemon.log())
    put_page(db, 77, before)
    wait_until(lambda: daemon.get("/readyz").status == 200, "readiness hears that it is right again")
    check("scrub: a damaged page is right again" in daemon.log(), "the log")
    check('weir_damaged_pages{db="' + db + '"} 0\n' in daemon.get("/metrics").text, "the metric")
    daemon.stop()


def kept(case):
    """Damage is not forgotten over a restart, orderly or not; and the next pass goes on where the last one was."""
    db, replica, weir = begin(case, FAST)
    flip(db, 60)
    found = await_pages(weir, [60])
    await_passes(weir, 1)  # it may be found in the first one, which is not over then
    weir.stop()
    for end in ("stop", "kill"):
        weir = Daemon(case, db, replica.url, env=SELDOM).start()
        scrub, code = entry_of(weir)[0]["scrub"], entry_of(weir)[1]
        equal((scrub["damaged_pages"], scrub["found_time"], scrub["found_txid"], code),
              ([60], found["found_time"], found["found_txid"], 1), "after a restart")
        equal(scrub["pass_time"] is not None, True, "the last pass is remembered")
        getattr(weir, end)()


def no_change(case):
    """A comparison of all pages ships what an application changed meanwhile, and not the damage that is known."""
    db, replica, weir = begin(case, FAST)
    before = flip(db, 60)
    await_pages(weir, [60])
    weir.stop()
    # The last connection takes the log away, so that nobody can tell what happened.
    with open(db, "r+b"):
        sql(case, db, "UPDATE t SET v = 'changed' WHERE id = 3; PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("-wal", "-shm"):
        if os.path.exists(db + name):
            os.unlink(db + name)
    weir = Daemon(case, db, replica.url, env=FAST).start()
    check("comparing every page" in weir.log() and "resynchronised" in weir.log(), weir.log())
    check("pages that are known to be damaged are not taken for a change" in weir.log(), weir.log())
    await_pages(weir, [60])
    weir.sync()
    weir.stop()
    restore(case, replica.url, case.path("restored.db"))
    equal(page_of(case.path("restored.db"), 60) == before, True, "the replica has what was committed")
    equal(sql(case, case.path("restored.db"), "SELECT v FROM t WHERE id = 3; PRAGMA integrity_check").split(), ["changed", "ok"], "the change")


def mended(case):
    """`weir restore --in-place` fetches the damaged page and takes the others from the file."""
    db, replica, weir = begin(case, FAST, rows=4000)
    weir.stop()
    before = flip(db, 500)
    weir = Daemon(case, db, replica.url, env=FAST).start()
    await_pages(weir, [500])
    weir.stop()
    done = json.loads(case.weir("restore", replica.url, "-o", db, "--in-place", "--json").stdout.splitlines()[-1])
    check(done["bytes_reused"] > os.path.getsize(db) // 2 and done["bytes_read"] < os.path.getsize(db) // 2, done)
    equal(page_of(db, 500) == before, True, "the page")
    weir = Daemon(case, db, replica.url, env=FAST).start()
    await_pages(weir, [])
    scrub = await_passes(weir)
    equal((scrub["result"], scrub["failure"], entry_of(weir)[1]), ("good", None, 0), "after the restore")
    equal(weir.log().count("scrub: "), 1, "it is told that the page is right again, and nothing else")
    weir.stop()


def written_over(case):
    """A commit writes to a damaged page: there is no damage to be found any more, but what was may be in the commit."""
    db, _replica, weir = begin(case, FAST)
    page = int(sql(case, db, "SELECT max(pageno) FROM dbstat WHERE name = 't' AND pagetype = 'leaf' AND ncell > 0"))
    flip(db, page, at=4000)
    await_pages(weir, [page])
    sql(case, db, "DELETE FROM t WHERE id > (SELECT max(id) - 3 FROM t); PRAGMA wal_checkpoint(PASSIVE)")
    await_pages(weir, [])
    check("scrub: a damaged page was written by a commit" in weir.log(), weir.log())
    weir.stop()


def by_snapshot(case):
    """A snapshot meets a damaged page long before the scrub would: it is proven, and told as any other."""
    db, _replica, weir = begin(case, SELDOM)
    flip(db, 90)
    failed = case.weir("snapshot", db, expect=4, timeout=4 * PATIENCE)
    check("page 90 of" in failed.stderr, failed.stderr)
    await_pages(weir, [90])
    weir.stop()


def many(case):
    """Somebody copied another file over the live one: that is told with a few lines, and counted."""
    db, _replica, weir = begin(case, FAST, rows=1000)
    weir.sync()
    with open(db, "r+b") as file:
        file.seek(100 * PAGE)
        file.write(random.Random(1).randbytes(300 * PAGE))
    wait_until(lambda: scrub_of(weir)["damaged"] == 300, "all of them", timeout=4 * PATIENCE)
    scrub = scrub_of(weir)
    equal(scrub["damaged_pages"], list(range(101, 201)), "the first of them")
    check("page 101 (and 299 more)" in scrub["failure"], scrub["failure"])
    lines = weir.log().count("scrub: a page of the database is damaged")
    check(1 <= lines <= 40, f"{lines} lines")
    check(re.search(r"scrub: pages of the database are damaged .*damaged=\d\d", weir.log()), "the log")
    weir.stop()


def load_text(rng, count):
    """What writers may do, in any order."""
    text = []
    for _ in range(count):
        text.append(rng.choice([
            f"INSERT INTO t(v) SELECT hex(randomblob({rng.randrange(10, 3000)})) FROM t LIMIT {rng.randrange(1, 80)}",
            f"UPDATE t SET v = hex(randomblob({rng.randrange(10, 2000)})) WHERE id % {rng.randrange(5, 50)} = 0",
            f"DELETE FROM t WHERE id % {rng.randrange(2, 9)} = 0",
            f"BEGIN IMMEDIATE; DELETE FROM t WHERE id > {rng.randrange(100, 900)}; SAVEPOINT s;"
            " INSERT INTO t(v) VALUES (zeroblob(200000)); ROLLBACK TO s; COMMIT",
            f"PRAGMA incremental_vacuum({rng.randrange(1, 200)})",
            "PRAGMA wal_checkpoint(" + rng.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE")) + ")",
            f"PRAGMA wal_autocheckpoint={rng.choice((1, 10, 100, 1000))}",
            "VACUUM" if rng.randrange(4) == 0 else "SELECT count(*) FROM t",
            f"CREATE TABLE IF NOT EXISTS u{rng.randrange(3)}(x, y); DROP TABLE IF EXISTS u{rng.randrange(3)}",
        ]))
    return ";\n".join(text) + ";\n"


def under_load(case, page_size, auto_vacuum):
    """At full speed beside writers that do everything at once: no alarm.  And it was awake: afterwards it finds one bit."""
    replica, db = case.replica(), case.path("app.db")
    sql(case, db, f"PRAGMA page_size={page_size}; PRAGMA auto_vacuum={auto_vacuum}; VACUUM")
    fill(case, db, 300)
    env = {"WEIR_SCRUB_INTERVAL": "1ms", "WEIR_SCRUB_RATE": "0", "WEIR_DRILL_INTERVAL": "0s"}
    weir = Daemon(case, db, replica.url, env=env).start()
    rng = random.Random(case.seed)
    begun = scrub_of(weir)
    passes, end = 0, time.monotonic() + 8 * PATIENCE
    while passes < 10:  # each load is long, but how long is a matter of the machine
        writers = []
        for number in range(3):
            script = case.path(f"load-{number}.sql")
            with open(script, "w", encoding="ascii") as file:
                file.write(".timeout 60000\n" + load_text(rng, 120))
            with open(script, encoding="ascii") as source, open(script + ".out", "wb") as out:
                writers.append(case.spawn(["sqlite3", db], stdin=source, stdout=out, stderr=out))
        # One dies in the middle of it: SQLite recovers the index of the log, and checkpoints begin anew.
        at_work = case.path("load-2.sql.out")
        wait_until(lambda at_work=at_work: os.path.getsize(at_work) > 50, "it is at work")
        writers[2].kill()
        for writer in writers:
            writer.wait(8 * PATIENCE)
            case.forget(writer)
        passes = scrub_of(weir)["passes"] - begun["passes"]
        check(time.monotonic() < end, f"passes under load: {passes}")
    await_passes(weir)
    weir.sync()
    scrub, code = scrub_of(weir), entry_of(weir)[1]
    equal((scrub["damaged"], scrub["error"], code), (0, None, 0), "after the load")
    check("scrub: a" not in weir.log(), weir.log())
    copied(case, db)
    with open(db, "r+b") as file:
        file.seek(3 * page_size + 100)
        byte = file.read(1)
        file.seek(3 * page_size + 100)
        file.write(bytes([byte[0] ^ 1]))
    await_pages(weir, [4])
    weir.stop()


def damage_under_load(case):
    """A bit that flips while others write elsewhere is found, and nothing else is."""
    db, _replica, weir = begin(case, FAST)
    # Without an end: how long it takes until the damage is met is nobody's promise.
    source = case.spawn(["yes", "INSERT INTO t(v) VALUES (hex(randomblob(500))); DELETE FROM t WHERE id = (SELECT max(id) FROM t);"],
                        stdout=subprocess.PIPE)
    writer = case.spawn(["sqlite3", "-cmd", ".timeout 60000", db], stdin=source.stdout)
    flip(db, 40)
    await_pages(weir, [40])
    equal(writer.poll(), None, "the writer still writes")
    for process in (writer, source):
        process.kill()
        process.wait()
        case.forget(process)
    source.stdout.close()
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=60) as connection:
        check(connection.execute("SELECT count(*) FROM t").fetchone()[0] > 0, "the application goes on")
    connection.close()
    weir.stop()


def cases(_options):
    """One case per story."""
    return [
        ("nothing is damaged", good),
        ("off", off),
        ("damage is shown everywhere", shown_everywhere),
        ("damage is kept over restarts", kept),
        ("known damage is no change", no_change),
        ("mended in place", mended),
        ("written over by a commit", written_over),
        ("met by a snapshot", by_snapshot),
        ("many pages", many),
        ("under load, 1024-byte pages, auto_vacuum full", lambda case: under_load(case, 1024, 1)),
        ("under load, 4096-byte pages, incremental", lambda case: under_load(case, 4096, 2)),
        ("damage under load", damage_under_load),
    ]
