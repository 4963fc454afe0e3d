# SPDX-License-Identifier: Apache-2.0
"""stories_function: a function that keeps its database in /tmp and loses it whenever it goes cold.

It is frozen between two requests, thrown away without a word, and started anew with an empty disk. What it replaces downloaded
and uploaded the whole file by hand; those files are adopted, and made again for the tools that expect them.
"""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time

from bad_input import small_disk
from lib.case import PATIENCE, tail, wait_until
from lib.daemon import Daemon, restore_state
from lib.history import Recorder, fingerprint_file
from lib.story import Container, Shop, disk, look, looked_at, sound, tell
from lib.tap import Skip, check, diag, equal
from operators import fetch, object_url
from run_cmd import away, url_of, write_program
from servers import faults

USAGE, NO_BACKUP = 2, 3
FILL = "CREATE TABLE t(x INTEGER PRIMARY KEY, v); INSERT INTO t(v) WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < {}) SELECT {} FROM c"


def insert(db, value=1):
    """A program: one request that writes."""
    return ["sqlite3", "-cmd", ".timeout 30000", db, f"CREATE TABLE IF NOT EXISTS t(x INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES({value})"]


def lines_with(container, text):
    """The lines of the log that say this."""
    return [line for line in container.log().splitlines() if text in line.partition("  db=")[0]]


# --- cold starts -------------------------------------------------------------------------------------------------------


def cold_starts(case):
    """Empty, seeded, restored, or there already: one line of the log says which, and it is true."""
    seed = case.path("seed")
    write_program(seed, 'sqlite3 "$1" "CREATE TABLE t(x INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES(\'from the seed\')"')
    ways = ("starting empty", "seeded", "restored from the replica", "the database is there")
    for name, env, said in (("plain", {}, ways[0]), ("seeded", {"WEIR_SEED": seed}, ways[1])):
        db, url = disk(case, "tmp") + "/app.db", case.replica(name).url
        for number, expected in enumerate((said, ways[2], ways[3]), 1):
            if expected == ways[2]:
                disk(case, "tmp")
                tell("the function went cold and lost its disk")
            started = Container(case, insert(db), {"WEIR_DB": db, "WEIR_REPLICA": url, **env}).start()
            started.wait_exit(expect=0)
            found = [way for way in ways for _ in lines_with(started, way)]
            equal(found, [expected], f"what start {number} says it did")
            tell(lines_with(started, expected)[0].split("  ", 1)[1].split("  db=")[0])
        rows = 3 + (name == "seeded")
        equal(looked_at(case, url, "SELECT count(*) FROM t"), [(rows,)], "rows")


def fifty_megabytes(case):
    """A cold start with 50 MB: the same bytes as before, and what it took."""
    db, url = disk(case, "tmp") + "/app.db", case.replica().url
    env = {"WEIR_DB": db, "WEIR_REPLICA": url}
    Container(case, ["sqlite3", "-cmd", ".timeout 60000", db, FILL.format(13000, "randomblob(3800)")], env).start().wait_exit(expect=0)
    before = Recorder(db, keep_open=False).take()
    disk(case, "tmp")
    began = time.monotonic()
    started = Container(case, ["true"], env).start()
    started.wait_exit(expect=0)
    whole = time.monotonic() - began
    line = lines_with(started, "restored from the replica")[0]
    diag(f"{before.pages * before.page_size / 1e6:.0f} MB: restored in {line.partition('took=')[2]}, from start to end {whole:.2f} s")
    equal(Recorder(db, keep_open=False).take().masked, before.masked, "the database")


def frozen(case):
    """Frozen after each request, woken by the next, and in the end thrown away while frozen: what was acknowledged is there."""
    url, promised = case.replica().url, 0
    for _ in range(3):
        shop = Shop(case, disk(case, "tmp") + "/shop.db", url).open()
        program = shop.program_pid()
        check(shop.orders()[0] >= promised, f"{shop.orders()[0]} orders of {promised} that were acknowledged")
        for _ in range(3):
            number = shop.order("something")
            if case.rng.random() < 0.6:
                shop.sync()
                promised = number
            for pid in (shop.pid, program):
                os.kill(pid, signal.SIGSTOP)
            time.sleep(case.rng.uniform(0, 0.1))  # however long nobody asks
            for pid in (shop.pid, program):
                os.kill(pid, signal.SIGCONT)
        number = shop.order("the last one")
        for pid in (shop.pid, program):
            os.kill(pid, signal.SIGSTOP)
        shop.kill_all()
        kept = looked_at(case, url, "SELECT count(*), max(id) FROM orders_order")[0]
        tell(f"thrown away while frozen, after order {number}: {kept[0]} are there, {promised} were promised")
        check(promised <= kept[0] <= number and kept[0] == kept[1], f"orders: {kept}")
        promised = kept[0]


# --- when it ships -----------------------------------------------------------------------------------------------------


class Triggered(Daemon):
    """A daemon whose settings are in a file and changed while it runs."""

    def __init__(self, case, db, url, **sync):
        super().__init__(case, db, url)
        self.file, self.entry = case.path("weir.yml"), {"path": db, "replica": url}
        self.argv = [case.options.weir, "replicate", "-c", self.file]
        self.settings(**sync)

    def settings(self, **sync):
        """Write the file; a running daemon reads it."""
        with open(self.file, "w", encoding="utf-8") as file:
            json.dump({"databases": [{**self.entry, "sync": sync}]}, file)
        if self.process:
            mark = len(self.log())
            self.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "configuration" in self.log_since(mark), "the settings are read")

    def both(self):
        """(read, shipped) txids."""
        status = self.status()["databases"][0]
        return status["txid"], status["shipped_txid"]


def triggers(case):
    """What makes it ship: so many commits, time, being asked, being stopped; each changed while it runs."""
    db, replica = disk(case, "tmp") + "/app.db", case.replica()
    case.run("sqlite3", db, "PRAGMA journal_mode=WAL; CREATE TABLE t(x INTEGER PRIMARY KEY, v)")
    daemon = Triggered(case, db, replica.url, interval="1h", commits=10).start()
    shipped = daemon.both()[1]
    with contextlib.closing(sqlite3.connect(db, isolation_level=None, timeout=60)) as app:
        def write(count):
            for _ in range(count):
                app.execute("INSERT INTO t(v) VALUES(1)")

        write(1)
        wait_until(lambda: daemon.both()[1] == shipped + 1, "the first one after a quiet time does not wait")
        shipped += 1
        tell("ten commits, or an hour: nine of them wait")
        write(9)
        before = replica.list()
        equal(daemon.both()[1], shipped, "the shipped txid")
        write(1)
        wait_until(lambda: daemon.both()[1] == shipped + 10, "the tenth commit ships all ten")
        equal(len(replica.list()) - len(before), 1, "objects for ten commits")
        tell("a short time is set while it runs: the commit that waits is shipped, and the next ones")
        write(1)
        equal(daemon.both()[1], shipped + 10, "the shipped txid")
        daemon.settings(interval="20ms")
        wait_until(lambda: daemon.both()[1] == shipped + 11, "the commit that waited")
        write(1)
        wait_until(lambda: daemon.both()[1] == shipped + 12, "the next one, by its time")
        tell("everything off, by a command: nothing is sent but what somebody asks for")
        case.weir("sync", db, "--interval", "off", "--commits", "off")
        before = replica.list()
        write(300)
        wait_until(lambda: daemon.both()[0] == shipped + 312, "they are read")
        equal((daemon.both()[1], replica.list()), (shipped + 12, before), "the shipped txid, and the replica")
        equal(daemon.sync(), shipped + 312, "what was asked for")
        tell("ten commits, by a command; then nothing again")
        case.weir("sync", db, "--commits", "10")
        write(10)
        wait_until(lambda: daemon.both()[1] == shipped + 322, "the tenth commit ships all ten")
        case.weir("sync", db, "--commits", "off")
        write(20)
        wait_until(lambda: daemon.both()[0] == shipped + 342, "they are read")
        equal(daemon.both()[1], shipped + 322, "the shipped txid")
        tell("and who stops it gets the rest shipped")
        daemon.stop()
    equal(looked_at(case, replica.url, "SELECT count(*) FROM t"), [(343,)], "rows in the replica")


def requests_never_wait(case):
    """While nothing can be shipped every request is answered; whoever asks for it to be shipped gets no promise before it is."""
    url = url_of(case)
    begin, mend = away(case)
    shop = Shop(case, disk(case, "tmp") + "/shop.db", url).open()
    equal(shop.order("something"), 1, "the number of the order")
    shop.sync()
    begin()
    for number in range(2, 40):
        equal(shop.order("something"), number, "the number of the order")
    asked = case.spawn([case.options.weir, "sync", shop.db, "--wait"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: case.weir("status", shop.db, expect=None).returncode == 1, "the status says that something is wrong")
    check(asked.poll() is None, "weir sync --wait returned, though nothing was shipped")
    tell("38 requests were answered meanwhile, and one waits for its promise")
    mend()
    said = asked.communicate(timeout=PATIENCE)[0]
    equal(asked.returncode, 0, f"weir sync --wait: {said}")
    case.forget(asked)
    equal(looked_at(case, url, "SELECT count(*) FROM orders_order"), [(39,)], "orders in the replica, once it was promised")
    shop.stop()


# --- plain files -------------------------------------------------------------------------------------------------------


def adopted(case):
    """The file that was uploaded as a whole becomes the first state; tools that expect such a file get one again."""
    path, target, replica = case.path("k9.db"), case.path("exported.db"), case.replica()
    case.run("sqlite3", path, FILL.format(500, "hex(randomblob(50))"))
    source, out = path, target
    plain = case.replica("databases")
    if case.options.store.kind == "s3":
        with open(path, "rb") as file:
            plain.write("k9_api_prod.db", file.read())
        source, out = object_url(plain, "k9_api_prod.db"), object_url(plain, "k9_api_export.db")
    tell(f"weir import {source.partition('?')[0].rpartition('/')[2]}")
    case.weir("import", source, replica.url, "--verify")
    db = disk(case, "tmp") + "/app.db"
    started = Container(case, insert(db, "'new'"), {"WEIR_DB": db, "WEIR_REPLICA": replica.url}).start()
    started.wait_exit(expect=0)
    check(lines_with(started, "restored from the replica"), tail(started.log()))
    tell("the function goes on with it; weir export, for the tools that want a file")
    case.weir("export", replica.url, out)
    exported = target if out == target else fetch(case, plain, "k9_api_export.db")
    sound(exported)
    equal(look(exported, "SELECT count(*) FROM t"), [(501,)], "rows")
    equal(fingerprint_file(exported).masked, restore_state(case, replica.url).masked, "the exported file and the newest state")
    sent = case.weir("export", replica.url, out, expect=None)
    check(sent.returncode == 1 and "--force" in sent.stderr, f"over an older export: exit {sent.returncode} {sent.stderr}")
    sent = case.weir("import", source, replica.url, expect=None)
    check(sent.returncode == 1 and "--next" in sent.stderr, f"a second import: exit {sent.returncode} {sent.stderr}")


# --- what goes wrong ---------------------------------------------------------------------------------------------------


def refused(case, url, *words, program=None, expect=(1, 2, 3), args=(), env=None):
    """A start that must not begin: its message has the words, nothing is left in the place of the database."""
    folder = disk(case, "tmp")
    db, began = folder + "/app.db", case.path("began")
    started = Container(case, program or ["touch", began], {"WEIR_DB": db, "WEIR_REPLICA": url, **(env or {})}, args=args).start()
    started.wait_exit(expect=expect)
    for word in words:
        check(word in started.log(), lambda: f"{word!r} is not in the log\n{tail(started.log())}")
    check(not os.path.exists(began) and not os.path.exists(db), "the function began, or there is a database")
    said = started.log().strip().splitlines()[-1]
    tell(f"exit {started.exit_code()}: {said.replace(case.path(), '')[:300]}")


def missing(case):
    """Nothing there: an object or a file to be imported (wrong usage), a history (no such backup); each its own message."""
    none = object_url(case.replica("databases"), "none.db") if case.options.store.kind == "s3" else case.path("none.db")
    done = case.weir("import", none, case.replica().url, expect=USAGE)
    check("none.db" in done.stderr and re.search("no such (object|file)", done.stderr, re.I), done.stderr)
    tell(done.stderr.strip().replace(case.path(), ""))
    done = case.weir("restore", case.replica().url, "-o", case.path("out.db"), expect=NO_BACKUP)
    check(case.replica().name in done.stderr and not os.path.exists(case.path("out.db")), done.stderr)
    tell(done.stderr.strip().replace(case.path(), ""))


def first_state(case, url, rows=10):
    """A function has been there before."""
    db = disk(case, "tmp") + "/app.db"
    Container(case, ["sqlite3", "-cmd", ".timeout 60000", db, FILL.format(rows, "randomblob(3800)")], {"WEIR_DB": db, "WEIR_REPLICA": url}).start().wait_exit(expect=0)


def denied(case):
    """Keys that may not read the bucket, keys that do not exist, no keys: told apart, and nobody begins empty."""
    if case.options.store.kind != "s3":
        raise Skip("needs --store s3")
    server, url = case.options.store.server, case.replica().url
    first_state(case, url)
    for access, secret, word in ((server.other_access_key, server.other_secret_key, "AccessDenied"), ("NOSUCHKEY", "none", "InvalidAccessKeyId"),
                                 (server.access_key, "wrong", "SignatureDoesNotMatch"), ("", "", "no credentials")):
        refused(case, url, word, args=("--start-timeout", "0s"), env={"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret})


def silent(case):
    """A server that takes requests and says nothing: the time-out is named, and the platform may try again."""
    if case.options.store.kind != "s3":
        raise Skip("needs --store s3")
    replica = case.proxied_replica()
    first_state(case, replica.url)
    case.proxy.add(faults.BlackHole(), times=None)
    refused(case, replica.url, "restoring it from", "timed out", args=("--start-timeout", "0s"), env={"WEIR_REPLICA_STALL_TIMEOUT": "1s"})
    case.proxy.release()
    case.proxy.clear()
    db = disk(case, "tmp") + "/app.db"
    Container(case, insert(db), {"WEIR_DB": db, "WEIR_REPLICA": replica.url}).start().wait_exit(expect=0)
    equal(look(db, "SELECT count(*) FROM t"), [(11,)], "rows once it answers")


def too_large(case):
    """A database that does not fit on the disk: named, with nothing left behind; on a larger one all is well."""
    url = case.replica().url
    first_state(case, url, rows=1000)
    with small_disk(case, "small", 1024) as folder:
        db, began = folder + "/app.db", case.path("began")
        started = Container(case, ["touch", began], {"WEIR_DB": db, "WEIR_REPLICA": url}, args=("--start-timeout", "0s")).start()
        started.wait_exit(expect=1)
        check("No space left" in started.log() and folder in started.log(), tail(started.log()))
        check(not os.path.exists(began) and not os.path.exists(db), "the function began, or there is a database")
        left = [name for name in os.listdir(folder) if "weir-tmp" in name]
        equal(left, [], "what is left of the restore")
        tell(started.log().strip().splitlines()[-1].replace(case.path(), ""))
    db = disk(case, "tmp") + "/app.db"
    Container(case, insert(db), {"WEIR_DB": db, "WEIR_REPLICA": url}).start().wait_exit(expect=0)
    equal(look(db, "SELECT count(*) FROM t"), [(1001,)], "rows")


def duckdb(case):
    """A DuckDB file is named as one, wherever it turns up, and never touched."""
    db, data = disk(case, "tmp") + "/app.duckdb", bytes(8) + b"DUCK" + bytes(12276)
    with open(db, "wb") as file:
        file.write(data)
    url, began = case.replica().url, case.path("began")
    started = Container(case, ["touch", began], {"WEIR_DB": db, "WEIR_REPLICA": url}).start()
    started.wait_exit(expect=USAGE)
    said = [started.log()] + [case.weir(*words, expect=USAGE).stderr for words in (("import", db, url), ("replicate", db, url))]
    for text in said:
        check("DuckDB" in text and db in text, text)
        tell(text.strip().splitlines()[-1].replace(case.path(), ""))
    check(not os.path.exists(began), "the function began")
    with open(db, "rb") as file:
        check(file.read() == data, "the file was touched")


def cases(_options):
    """All stories."""
    return [
        ("cold starts", cold_starts), ("fifty megabytes", fifty_megabytes), ("frozen between requests", frozen), ("what makes it ship", triggers),
        ("requests never wait", requests_never_wait),
        ("plain files", adopted), ("missing", missing), ("denied", denied), ("silent", silent), ("too large for the disk", too_large), ("DuckDB", duckdb),
    ]
