# SPDX-License-Identifier: Apache-2.0
"""operators: what somebody does who has to find a mistake, undo it, and bring plain files in and out.

`weir log --tables` is compared with SQLite's own dbstat on the restored states; `weir restore --before`, `weir import` and
`weir export` by the bytes of the databases.
"""

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess

from lib.case import PATIENCE, wait_until
from lib.daemon import Daemon, restore
from lib.history import fingerprint_file
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal

USAGE, NO_BACKUP, DAMAGED, FENCED = 2, 3, 4, 5


def connect(path):
    """A connection without Python's own transactions."""
    return sqlite3.connect(path, isolation_level=None, timeout=60)


def traced(case, url, *args):
    """The documents of `weir log` with tables."""
    return [json.loads(line) for line in case.weir("log", url, "--json", *args).stdout.splitlines()]


def object_url(replica, name):
    """The URL of one object of a replica's folder."""
    before, mark, options = replica.url.partition("?")
    return f"{before}/{name}{mark}{options}"


def digest(path):
    """Of a file that nobody has open here."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def nothing_left(folder):
    """A scratch folder is empty again."""
    equal(os.listdir(folder), [], "the scratch folder")


# --- which tables ----------------------------------------------------------------------------------------------------


def owners(path):
    """{page: name of the b-tree}, {page: bytes}, and {(kind, name)} of a restored database."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
        page_size = db.execute("PRAGMA page_size").fetchone()[0]
        found = dict(db.execute("SELECT pageno, name FROM dbstat"))
        names = set(db.execute("SELECT type, name FROM sqlite_schema WHERE rootpage > 0"))
    with open(path, "rb") as file:
        data = file.read()
    pages = {1 + at // page_size: data[at:at + page_size] for at in range(0, len(data), page_size)}
    return found, pages, names


def expected(before, after):
    """Names of the tables and indexes between two states, by SQLite's word alone."""
    found = set()
    for pgno, page in after[1].items():
        if page != before[1].get(pgno):
            found.update(state[0][pgno] for state in (before, after) if pgno in state[0])
    found.update(name for _, name in before[2] ^ after[2])
    return {name for name in found if name not in ("sqlite_schema", "sqlite_master")}


STATEMENTS = (
    "INSERT INTO t{a} VALUES(NULL, randomblob({size}), hex(randomblob(8)))", "INSERT INTO t{a}(v) SELECT randomblob({small}) FROM t{b} LIMIT 40",
    "UPDATE t{a} SET v = randomblob({size}) WHERE id % 5 = {b}", "DELETE FROM t{a} WHERE id % 3 = {b}", "DELETE FROM t{a}", "DROP TABLE t{a}",
    "CREATE TABLE t{a}(id INTEGER PRIMARY KEY, v, w UNIQUE)", "CREATE INDEX i{a}{b} ON t{a}(v)", "DROP INDEX i{a}{b}", "CREATE TABLE k{a}(id, v, PRIMARY KEY(id)) WITHOUT ROWID",
    "INSERT OR REPLACE INTO k{a} VALUES({size}, randomblob({small}))", "VACUUM", "PRAGMA incremental_vacuum(3)", "ALTER TABLE t{a} RENAME TO t{b}",
    "CREATE VIRTUAL TABLE f{a} USING fts5(body)", "INSERT INTO f{a} VALUES(hex(randomblob({small})))", "PRAGMA user_version={size}",
    "BEGIN; DROP TABLE t{a}; CREATE TABLE t{a}(id INTEGER PRIMARY KEY, v, w UNIQUE); INSERT INTO t{a} VALUES(NULL, randomblob({size}), 1); COMMIT",
)


def by_dbstat(case, page_size, auto_vacuum, commits):
    """Every commit of a random history names what dbstat names, in tables, indexes and shadow tables."""
    rng, path, replica = random.Random(f"{case.seed}{page_size}{auto_vacuum}"), case.path("app.db"), case.replica()
    db = connect(path)
    db.executescript(f"PRAGMA page_size={page_size}; PRAGMA auto_vacuum={auto_vacuum}; PRAGMA journal_mode=WAL;"
                     "CREATE TABLE t0(id INTEGER PRIMARY KEY, v, w UNIQUE); CREATE TABLE t1(id INTEGER PRIMARY KEY, v, w UNIQUE)")
    daemon = Daemon(case, path, replica.url).start()
    for _ in range(commits):
        size = rng.randrange(1, 6 * page_size)
        text = rng.choice(STATEMENTS).format(a=rng.randrange(4), b=rng.randrange(4), size=size, small=size // 7 + 1)
        try:
            db.executescript(text)
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
    daemon.sync()
    daemon.stop()
    db.close()
    lines, before, wrong = traced(case, replica.url, "--tables"), None, []
    for line in lines:
        target = case.path("state.db")
        restore(case, replica.url, target, "--txid", line["txid"], "--no-state", "--force")
        after = owners(target)
        check(line["tables"] is not None and "damage" not in line, f"unknown or damaged: {line}")
        named = {t[key] for t in line["tables"] if t["kind"] in ("table", "index") for key in ("name", "was") if t.get(key)}
        if before is not None and named != expected(before, after):
            wrong.append(f"txid {line['txid']}: {sorted(named)}, dbstat says {sorted(expected(before, after))}")
        made = {t["name"] for t in line["tables"] if t["change"] == "created"}
        if before is not None and not made <= {n for _, n in after[2]}:
            wrong.append(f"txid {line['txid']}: created {sorted(made)}, there are {sorted(after[2])}")
        before = after
    check(not wrong, "\n".join(wrong))
    check(len(lines) > commits / 5, f"only {len(lines)} commits")
    diag(f"{len(lines)} commits")


def story(case):
    """The worked example of docs/undo.md: an UPDATE without WHERE is found by its table, and undone."""
    replica, path, scratch = case.replica(), case.path("app.db"), case.path("scratch")
    os.mkdir(scratch)
    db = connect(path)
    db.executescript("PRAGMA journal_mode=WAL; CREATE TABLE users(id INTEGER PRIMARY KEY, mail TEXT UNIQUE); CREATE TABLE visits(at)")
    daemon = Daemon(case, path, replica.url).start()
    for i in range(20):
        db.execute("INSERT INTO users VALUES(?, ?)", (i, f"user{i}@example.org"))
        db.execute("INSERT INTO visits VALUES(?)", (i,))
    daemon.sync()
    good = db.execute("SELECT * FROM users").fetchall()
    db.execute("UPDATE users SET mail = 'oops' || id")
    for i in range(5):
        db.execute("INSERT INTO visits VALUES(?)", (i,))
    daemon.sync()
    lines = traced(case, replica.url, "--table", "USERS", "--scratch", scratch)
    nothing_left(scratch)
    equal({t["name"] for t in lines[-1]["tables"]} & {"users", "sqlite_autoindex_users_1", "visits"}, {"users", "sqlite_autoindex_users_1"}, "touched by the mistake")
    target = case.path("before.db")
    case.weir("restore", replica.url, "-o", target, "--before", lines[-1]["txid"], "--verify", "full")
    with contextlib.closing(connect(target)) as restored:
        equal(restored.execute("SELECT * FROM users").fetchall(), good, "users before the mistake")
    text = case.weir("log", replica.url, "--tables").stdout
    check("sqlite_autoindex_users_1 (users)" in text and "+visits" in text, f"the text: {text}")
    plain = case.weir("log", replica.url).stdout
    check("TABLES" not in plain and "users" not in plain, f"tables though nobody asked: {plain}")
    daemon.stop()
    db.close()


def filters(case):
    """--since, --until, several --table, names that nobody touched, ranges without commits, wrong usage."""
    replica, path, scratch = case.replica(), case.path("app.db"), case.path("scratch")
    os.mkdir(scratch)
    db = connect(path)
    db.executescript("PRAGMA journal_mode=WAL; CREATE TABLE a(x); CREATE TABLE b(x); CREATE INDEX bi ON b(x); CREATE TABLE c(x)")
    daemon = Daemon(case, path, replica.url).start()
    for table in "abcabc":
        db.execute(f"INSERT INTO {table} VALUES(1)")
    daemon.sync()
    daemon.stop()
    db.close()
    url = replica.url

    def txids(*args):
        return [line["txid"] for line in traced(case, url, *args)]
    every, wanted = traced(case, url, "--tables"), {}
    for name in "abc":
        wanted[name] = [line["txid"] for line in every if any(t["table"] == name for t in line["tables"])]
        equal(len(wanted[name]), 3, f"commits of {name} with the first")
        equal(txids("--table", name), wanted[name], f"--table {name}")
    equal(txids("--table", "bi"), wanted["b"], "--table bi")
    equal(txids("--table", "a", "--table", "C"), sorted(set(wanted["a"] + wanted["c"])), "two names")
    time = every[3]["time"]
    equal(txids("--tables", "--since", time), [line["txid"] for line in every if line["time"] >= time], "--since")
    equal(txids("--tables", "--until", time), [line["txid"] for line in every if line["time"] <= time], "--until")
    whole = {line["txid"]: line["tables"] for line in every}
    for line in traced(case, url, "--tables", "--since", time):
        equal(line["tables"], whole[line["txid"]], f"tables of txid {line['txid']} in a part of the log")
    equal(txids("--tables", "--since", "2400-01-01T00:00:00Z"), [], "after the last")
    equal(txids("--tables", "--until", "1999-01-01T00:00:00Z"), [], "before the first")
    done = case.weir("log", url, "--table", "nobody", "--scratch", scratch)
    check("'nobody'" in done.stderr and not done.stdout, f"{done.stdout} {done.stderr}")
    nothing_left(scratch)
    case.weir("log", url, "--scratch", scratch, expect=USAGE)
    case.weir("log", url, "--tables", "--tables", expect=USAGE)
    case.weir("restore", url, "-o", case.path("x.db"), "--before", "1", expect=USAGE)
    case.weir("restore", url, "-o", case.path("x.db"), "--before", "2", "--txid", "2", expect=USAGE)
    case.weir("restore", url, "-o", case.path("x.db"), "--before", every[-1]["txid"] + 2, expect=NO_BACKUP)


def names_of_old(case):
    """--table finds a virtual table by its own name, and a table by the name that it had until a commit renamed it."""
    replica, path = case.replica(), case.path("app.db")
    db = connect(path)
    db.executescript("PRAGMA journal_mode=WAL; CREATE TABLE a(x PRIMARY KEY); CREATE VIRTUAL TABLE docs USING fts5(body)")
    daemon = Daemon(case, path, replica.url).start()
    for sql in ("INSERT INTO docs VALUES('hello')", "INSERT INTO a VALUES(1)", "ALTER TABLE a RENAME TO b", "INSERT INTO b VALUES(2)", "DROP TABLE docs"):
        db.execute(sql)
    last = daemon.sync()
    daemon.stop()
    db.close()

    def txids(*args):
        return [line["txid"] - last for line in traced(case, replica.url, *args) if line["txid"] > last - 5]
    equal(txids("--table", "DOCS"), [-4, 0], "--table DOCS")
    equal(txids("--table", "a"), [-3, -2], "--table a")
    equal(txids("--table", "b"), [-2, -1], "--table b")
    tables = traced(case, replica.url, "--table", "docs")[-1]["tables"]
    equal({t.get("virtual_table") for t in tables if t["change"] == "dropped"}, {"docs"}, "virtual_table")


def across_timelines(case):
    """A takeover, and a state that came as a file: the log goes on over both, and compares."""
    old = Scene(case)
    old.start()
    old.commit(4)
    old.end()
    new = Scene(case, "new", replica=old.replica, create=False)
    restore(case, old.url, new.db)
    new.rows = old.rows
    new.open()
    new.start()
    new.commit(2)
    new.end()
    target = case.path("plain.db")
    case.weir("export", old.url, target)
    case.run("sqlite3", target, "CREATE TABLE late(x); INSERT INTO late VALUES(1)")
    case.weir("import", target, old.url, "--next")
    lines = traced(case, old.url, "--tables")
    equal(sorted({line["timeline"] for line in lines}), [1, 2, 3], "timelines")
    check(all(line["tables"] is not None for line in lines), f"unknown: {lines}")
    equal([t["name"] for t in lines[-1]["tables"] if t["kind"] == "table"], ["late"], "of the imported state")
    check(all(any(t["name"] == "t" for t in line["tables"]) for line in lines if line["timeline"] == 2 and line["pages"] > 1), f"{lines}")
    case.weir("verify", old.url)


def without_snapshot(case):
    """The first snapshot is gone: unknown until the next one, known from there; the listing itself is whole."""
    scene = Scene(case)
    scene.start()
    scene.commit(3)
    scene.sync()
    case.weir("snapshot", scene.db)
    scene.commit(3)
    scene.end()
    snapshots = sorted(key for key in scene.replica.list() if "/snap/" in key)
    equal(len(snapshots), 2, "snapshots")
    second = int(snapshots[1].split("/")[3].split("-")[0], 16)
    scene.replica.delete(snapshots[0])
    lines = traced(case, scene.url, "--tables")
    equal([line["txid"] for line in lines], [c.txid for c in scene.log()], "txids")
    equal([line["txid"] for line in lines if line["tables"] is None], [line["txid"] for line in lines if line["txid"] <= second], "unknown ones")
    check("?" in case.weir("log", scene.url, "--tables").stdout, "no ? in the text")


def interrupted(case, how):
    """A signal, or a reader that goes away, in the middle of the work: nothing is left."""
    scene = Scene(case)
    scene.start()
    for _ in range(12):
        scene.commit(1, size=2000000)
    scene.end()
    scratch = case.path("scratch")
    os.mkdir(scratch)
    process = case.spawn([case.options.weir, "log", scene.url, "--tables", "--scratch", scratch], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if how == "reader":
        process.stdout.readline()
    else:
        wait_until(lambda: process.poll() is not None or os.listdir(scratch), "a scratch folder")
        process.send_signal(how)
    if how == "reader":
        process.stdout.close()
    code = process.wait(PATIENCE)
    process.stdout.close()  # not before its end: it must not be ended by that
    case.forget(process)
    check(code in (-signal.SIGPIPE, 0, 1) if how == "reader" else code in (-how, 0), f"exit {code}")
    nothing_left(scratch)


# --- import ----------------------------------------------------------------------------------------------------------


def make_file(case, name, sql):
    """A plain database."""
    path = case.path(name)
    case.run("sqlite3", path, sql)
    return path


FILL = "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) INSERT INTO t SELECT i, randomblob(900) FROM n;"


def same_pages(case, url, path, *args):
    """What restoring gives is the file, byte for byte."""
    target = case.path("restored.db")
    restore(case, url, target, "--force", "--no-state", *args)
    equal(digest(target), digest(path), f"restored state and {path}")


def import_files(case):
    """Rollback mode and WAL mode, page sizes, a path with blanks, file:// URLs; the file itself stays as it was."""
    scratch = case.path("scratch")
    os.mkdir(scratch)
    for number, pragma in enumerate(("PRAGMA page_size=512;", "PRAGMA page_size=65536;", "PRAGMA journal_mode=WAL;", "PRAGMA auto_vacuum=FULL;")):
        path = make_file(case, f"plain {number}.db", pragma + FILL)
        before, replica = digest(path), case.replica(f"replica-{number}")
        source = path if number % 2 else "file://" + path.replace(" ", "%20")
        done = json.loads(case.weir("import", source, replica.url, "--verify", "--json", "--scratch", scratch).stdout)
        equal((done["txid"], done["timeline"], done["log_applied"]), (1, 1, False), "result")
        equal(digest(path), before, "the file")
        check(not any(os.path.exists(path + end) for end in ("-wal", "-shm", "-journal", "-weir")), "something was left beside the file")
        same_pages(case, replica.url, path)
        case.weir("verify", replica.url, "--deep", "--scratch", scratch)
        nothing_left(scratch)


def import_with_log(case):
    """Commits that only the log has: after a crash, and while the application goes on."""
    live = case.path("live.db")
    db = connect(live)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;" + FILL)
    crashed = case.path("crashed.db")
    case.copy(live, crashed)
    case.copy(live + "-wal", crashed + "-wal")
    kept = digest(crashed), digest(crashed + "-wal")
    for number, path in enumerate((live, crashed)):
        replica = case.replica(f"replica-{number}")
        done = json.loads(case.weir("import", path, replica.url, "--verify", "--json").stdout)
        equal(done["log_applied"], True, f"the log of {path}")
        target = case.path(f"out-{number}.db")
        restore(case, replica.url, target, "--verify", "full")
        with contextlib.closing(connect(target)) as restored:
            equal(restored.execute("SELECT count(*), sum(a) FROM t").fetchone(), (300, 45150), "rows")
    equal((digest(crashed), digest(crashed + "-wal")), kept, "file and log")
    db.execute("INSERT INTO t VALUES(1000, 'it goes on')")
    db.close()


def import_hot_journal(case):
    """A transaction that a crash cut short is rolled back, not imported."""
    path = make_file(case, "app.db", FILL)
    db = connect(path)
    db.executescript("PRAGMA cache_size=5; PRAGMA cache_spill=1; BEGIN; UPDATE t SET b = randomblob(900)")
    crashed = case.path("crashed.db")
    case.copy(path, crashed)
    case.copy(path + "-journal", crashed + "-journal")
    db.execute("ROLLBACK")
    db.close()
    check(digest(crashed) != digest(path), "nothing was spilled")
    case.weir("import", crashed, case.replica().url, "--verify")
    target = case.path("out.db")
    restore(case, case.replica().url, target, "--verify", "full")
    with contextlib.closing(connect(target)) as restored, contextlib.closing(connect(path)) as good:
        equal(restored.execute("SELECT * FROM t").fetchall(), good.execute("SELECT * FROM t").fetchall(), "rows")


def import_refused(case):
    """What is no database, what is damaged, and a place that is taken: said clearly, and nothing is written."""
    good = make_file(case, "good.db", FILL)
    with open(good, "rb") as file:
        data = file.read()
    half = bytearray(data)
    half[4096 * 5 + 100:4096 * 9] = os.urandom(4096 * 4 - 100)
    for name, content, status, words in (
            ("empty", b"", USAGE, "is empty"), ("text", b"hello " * 900, USAGE, "not a SQLite database"),
            ("duck", bytes(8) + b"DUCK" + bytes(9000), USAGE, "DuckDB"), ("journal", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(600), USAGE, "journal or log"),
            ("short", data[:4096 * 3], DAMAGED, "cut short"), ("damaged", bytes(half), DAMAGED, "quick_check")):
        path, replica = case.path(name), case.replica(f"no-{name}")
        with open(path, "wb") as file:
            file.write(content)
        done = case.weir("import", path, replica.url, "--verify", expect=status)
        check(words in done.stderr and path in done.stderr, f"{name}: {done.stderr}")
        equal(replica.list() if os.path.isdir(getattr(replica, "folder", "/")) else {}, {}, f"objects after {name}")
    missing = case.path("nowhere.db")
    for name in (missing, f"file://{missing}", case.path("nowhere", "a.db")):
        done = case.weir("import", name, case.replica().url, expect=USAGE)
        check(name.removeprefix("file://") in done.stderr and "No such file" in done.stderr, done.stderr)
    done = case.weir("import", good, case.replica().url, "--scratch", case.path("nowhere"), expect=USAGE)
    check(case.path("nowhere") in done.stderr and "--scratch" in done.stderr, done.stderr)
    case.weir("import", case.path(), case.replica().url, expect=USAGE)
    case.weir("import", good, case.replica().url, "--next", expect=NO_BACKUP)
    case.weir("import", good, case.replica().url)
    before = case.replica().list()
    done = case.weir("import", good, case.replica().url, expect=1)
    check("timeline 1" in done.stderr and "--next" in done.stderr and re.search("database [0-9a-f]{32}", done.stderr), f"{done.stderr}")
    equal(case.replica().list(), before, "the history that was there")
    case.weir("import", good, expect=USAGE)


def import_and_go_on(case):
    """A database in WAL mode is followed from its import on, by whoever finds the very file; a restored one always."""
    replica, path = case.replica(), make_file(case, "app.db", "PRAGMA journal_mode=WAL;" + FILL)
    case.weir("import", path, replica.url)
    daemon = Daemon(case, path, replica.url).start()
    with contextlib.closing(connect(path)) as db:
        db.execute("INSERT INTO t VALUES(1000, 'new')")
        daemon.sync()
    daemon.stop()
    check("is exactly txid 1" in daemon.log(), f"the file was not recognised: {daemon.log()}")
    lines = traced(case, replica.url, "--table", "t")
    check(lines[-1]["txid"] >= 2 and all("resync" not in line["flags"] for line in lines), f"the new row is not there: {lines}")
    other = case.replica("other")
    case.weir("import", make_file(case, "old.db", FILL), other.url)
    target = case.path("restored.db")
    restore(case, other.url, target)
    daemon = Daemon(case, target, other.url).start()
    with contextlib.closing(connect(target)) as db:
        db.execute("INSERT INTO t VALUES(1000, 'new')")
        daemon.sync()
    daemon.stop()
    case.weir("verify", other.url, "--deep")


def import_next(case):
    """The next state of a history that is being written: the writer is fenced, what was before stays restorable."""
    scene = Scene(case)
    scene.start()
    scene.commit(3)
    txid = scene.sync()
    state = scene.tip(txid=txid)
    path = make_file(case, "repaired.db", FILL)
    done = json.loads(case.weir("import", path, scene.url, "--next", "--json").stdout)
    equal((done["timeline"], done["txid"]), (2, scene.log()[-1].txid), "place of the file")
    scene.commit(1)
    scene.daemon.wait_exit(expect=FENCED)
    same_pages(case, scene.url, path)
    equal(scene.tip(txid=txid, timeline=1).full, state.full, "the state before")
    scene.close()


def import_object(case):
    """An object by its own URL, with its log beside it."""
    if case.options.store.kind == "file":
        raise Skip("objects of a bucket: --store s3")
    scratch, plain = case.path("scratch"), case.replica("plain")
    os.mkdir(scratch)
    path = case.path("app.db")
    db = connect(path)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;" + FILL)
    for end in ("", "-wal"):
        case.copy(path + end, case.path("copy" + end))
        with open(case.path("copy" + end), "rb") as file:
            plain.write("app.db" + end, file.read())
    db.close()
    url = object_url(plain, "app.db")
    done = json.loads(case.weir("import", url, case.replica().url, "--verify", "--json", "--scratch", scratch).stdout)
    equal(done["log_applied"], True, "the log")
    nothing_left(scratch)
    target = case.path("out.db")
    restore(case, case.replica().url, target, "--verify", "full")
    with contextlib.closing(connect(target)) as restored:
        equal(restored.execute("SELECT count(*) FROM t").fetchone(), (300,), "rows")
    case.weir("import", url, case.replica().url, "--scratch", scratch, expect=1)
    done = case.weir("import", object_url(plain, "nowhere.db"), case.replica("other").url, expect=USAGE)
    check("nowhere.db: there is no such object" in done.stderr, done.stderr)
    case.weir("import", object_url(plain, "a%20b.db"), case.replica("other").url, expect=USAGE)
    nothing_left(scratch)


# --- export ----------------------------------------------------------------------------------------------------------


def fetch(case, replica, name):
    """The object as a file; its path."""
    path = case.path("fetched.db")
    with open(path, "wb") as file:
        file.write(replica.read(name))
    return path


def exported(case):
    """Every way to name a state, to a path or an object: the bytes that restore gives; never over something else."""
    scene = Scene(case)
    scene.start()
    for _ in range(4):
        scene.commit(2)
    scene.end()
    commits, out, scratch = scene.log(), case.replica("out"), case.path("scratch")
    os.mkdir(scratch)
    os.makedirs(getattr(out, "folder", case.path("unused")), exist_ok=True)
    txid = commits[-3].txid
    for number, (args, state) in enumerate((((), commits[-1].txid), (("--txid", txid), txid), (("--before", txid), txid - 1),
                                            (("--timestamp", commits[-1].time), commits[-1].txid))):
        done = json.loads(case.weir("export", scene.url, object_url(out, f"{number}.db"), "--json", "--scratch", scratch, *args).stdout)
        equal(done["txid"], state, f"txid of {args}")
        equal(fingerprint_file(fetch(case, out, f"{number}.db")).full, scene.tip(txid=state).full, f"export {args}")
    target = case.path("plain.db")
    case.weir("export", scene.url, target)
    check(not os.path.exists(target + "-weir"), "an export has a local state")
    for where in (target, object_url(out, "0.db")):
        case.weir("export", scene.url, where, "--txid", txid, "--scratch", scratch, expect=1)
        case.weir("export", scene.url, where, "--txid", txid, "--scratch", scratch, "--force")
    for path in (target, fetch(case, out, "0.db")):
        equal(fingerprint_file(path).full, scene.tip(txid=txid).full, f"replaced: {path}")
    case.weir("export", scene.url, target, "--before", "1", expect=USAGE)
    case.weir("export", case.replica("nothing").url, case.path("x.db"), expect=NO_BACKUP)
    case.weir("export", scene.url, object_url(out, ""), expect=USAGE if out.url.startswith("s3") else (1, USAGE))
    case.weir("export", scene.url, object_url(out, "9.db"), "--txid", commits[-1].txid + 9, expect=NO_BACKUP)
    check("9.db" not in out.list(), "an export that failed left something")
    nothing_left(scratch)


def export_interrupted(case, number):
    """In the middle of an upload: no object under the name, or the whole one that was there."""
    if case.options.store.kind == "file":
        raise Skip("uploads to a bucket: --store s3")
    path, scratch, out = make_file(case, "big.db", FILL + "INSERT INTO t SELECT a + 1000, randomblob(90000) FROM t;"), case.path("scratch"), case.replica("out")
    os.mkdir(scratch)
    case.weir("import", path, case.replica().url)
    url = object_url(out, "app.db") + "&part-size=5MiB&upload-rate=3MB"
    for before in (None, b"what was there"):
        if before:
            out.write("app.db", before)
        process = case.spawn([case.options.weir, "export", case.replica().url, url, "--force", "--scratch", scratch], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: process.poll() is not None or any("export.db" in os.listdir(os.path.join(scratch, f)) for f in os.listdir(scratch)), "the scratch file")
        process.send_signal(number)
        code = process.wait(PATIENCE)
        case.forget(process)
        equal(code, -number, "exit status")
        equal(out.read("app.db") if "app.db" in out.list() else None, before, "the object")
        if number != signal.SIGKILL:
            nothing_left(scratch)
    case.weir("export", case.replica().url, object_url(out, "app.db"), "--force")
    equal(digest(fetch(case, out, "app.db")), digest(path), "the whole object")


def watched(case, number):
    """`status --watch` prints what has changed, goes on when the daemon ends, and ends with what it saw last."""
    scene = Scene(case)
    scene.start()
    with open(case.path("watched"), "w+", encoding="utf-8") as out:
        process = case.spawn([case.options.weir, "status", scene.db, "--watch"], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

        def shows(text, times=1):
            with open(out.name, encoding="utf-8") as shown:
                return shown.read().count(text) >= times or process.poll() is not None
        wait_until(lambda: shows("state      replicating", 2), "two looks")
        scene.commit(1)
        txid = scene.sync()
        wait_until(lambda: shows(f"shipped    txid {txid} "), f"txid {txid}")
        scene.stop()
        wait_until(lambda: shows("not running"), "the end of the daemon")
        process.send_signal(number)
        equal(process.wait(PATIENCE), 1, "exit status")
        case.forget(process)
    scene.close()


def cases(options):
    """All of them."""
    many = 4 if options.full else 1
    found = [(f"tables by dbstat: pages of {size}, auto_vacuum {mode}", lambda case, s=size, m=mode, c=count * many: by_dbstat(case, s, m, c))
             for size, mode, count in ((4096, "NONE", 70), (512, "FULL", 90), (1024, "INCREMENTAL", 90), (65536, "NONE", 40))]
    found += [("story", story), ("filters", filters), ("across timelines", across_timelines), ("names of old", names_of_old), ("without a snapshot", without_snapshot)]
    found += [(f"interrupted by {how.name}", lambda case, h=how: interrupted(case, h)) for how in (signal.SIGINT, signal.SIGTERM)]
    found += [("reader goes away", lambda case: interrupted(case, "reader"))]
    found += [("import", import_files), ("import with a log", import_with_log), ("import with a journal", import_hot_journal), ("import refused", import_refused),
              ("import and go on", import_and_go_on), ("import as the next state", import_next), ("import an object", import_object)]
    found += [("export", exported)]
    found += [(f"status is watched until {n.name}", lambda case, a=n: watched(case, a)) for n in (signal.SIGINT, signal.SIGTERM)]
    found += [(f"export interrupted by {n.name}", lambda case, a=n: export_interrupted(case, a)) for n in (signal.SIGINT, signal.SIGKILL)]
    return found
