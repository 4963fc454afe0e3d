# SPDX-License-Identifier: Apache-2.0
"""config: several databases in one daemon, from a file or the environment alone, and SIGHUP while writers write.

A bad database does not disturb the others; a reload touches only what changed and loses no commit; a configuration that
cannot be used changes nothing and says so; a database of the configuration stands for its replica in every command;
secrets are never printed.
"""

import json
import os
import pathlib
import re
import signal
import sqlite3
import time

import concurrently
from lib import workers
from lib.case import PATIENCE, tail, wait_until
from lib.daemon import Daemon, check_order, log_of, restore_state
from lib.history import Recorder
from lib.scene import Scene
from lib.tap import check, equal

USAGE, FENCED = 2, 5
SECRET = "hunter2-S3CRET"


class ConfigDaemon(Daemon):
    """`weir replicate -c FILE`, or without a file."""

    def __init__(self, case, file=None, args=(), env=None, name="weir", preexec_fn=None):
        super().__init__(case, None, args=args, env=env, name=name, preexec_fn=preexec_fn)
        self.file = file
        self.argv = [case.options.weir, "replicate", *(["-c", file] if file else []), *args]

    def document(self, *args):
        """The status document of everything."""
        return json.loads(self.case.weir("status", "--json", *args, env=self.env, expect=(0, 1, 5)).stdout)

    def states(self, *args):
        """{name of the file: state}."""
        return {os.path.basename(db["path"]): db["state"] for db in self.document(*args)["databases"]}

    def wait_states(self, want, *args):
        """Until the databases are in these states."""
        wait_until(lambda: self.alive() and self.states(*args) == want, f"states {want}\n{tail(self.log())}")

    def wait_synced(self, *dbs):
        """Until each of the databases acknowledges a sync."""
        for db in dbs:
            wait_until(lambda db=db: self.case.weir("sync", db, "--wait", expect=None).returncode == 0, f"sync of {db}")

    def reload(self, text, done="configuration loaded again"):
        """Replace the file, SIGHUP, and wait until the log tells."""
        mark = len(self.log())
        write(self.file, text)
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: done in self.log_since(mark), f"log: {done}")
        return mark


def write(path, text):
    """A file that is there whole or not at all."""
    pathlib.Path(path + ".new").write_text(text, encoding="utf-8")
    os.rename(path + ".new", path)


def entry(db, url, **keys):
    """A database of a configuration."""
    return json.dumps({"path": db, "replica": url, **keys})  # JSON is YAML


def config(*entries, **top):
    """A configuration."""
    lines = [f"{name}: {json.dumps(value)}" for name, value in top.items()]
    lines += ["defaults: {sync: {interval: 20ms}}", "databases:"] + [f"  - {text}" for text in entries]
    return "\n".join(lines) + "\n"


def small(case, name):
    """A small database."""
    db = case.path(name)
    case.run("sqlite3", "-cmd", ".timeout 60000", db, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)")
    return db


def insert(case, db, value):
    """One commit."""
    case.run("sqlite3", db, f"PRAGMA busy_timeout=60000; INSERT INTO t VALUES({value})")


def restored_rows(case, source, *args):
    """Rows of the restored tip."""
    target = case.path(f"restored-{time.monotonic_ns()}.db")
    case.weir("restore", source, "-o", target, *args)
    with sqlite3.connect(f"file:{target}?immutable=1", uri=True) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


# --- several databases ------------------------------------------------------------------------------------------------


def bad_among_good(case):
    """What is wrong with one is told there; the others go on; the exit status tells."""
    file, good = case.path("weir.yml"), [small(case, name) for name in ("a.db", "b.db")]
    bad = case.path("bad.db")
    write(bad, "this is text and no database, and it is long enough to hold a header of one hundred bytes, if it had one")
    gone = case.path("no-such-folder/gone.db")
    write(file, config(*(entry(db, case.replica(str(i)).url) for i, db in enumerate(good)),
                       entry(bad, case.replica("bad").url), entry(gone, case.replica("gone").url)))
    daemon = ConfigDaemon(case, file).start(ready=False)
    want = {"a.db": "replicating", "b.db": "replicating", "bad.db": "failed", "gone.db": "failed"}
    daemon.wait_states(want, "-c", file)
    for db in good:
        insert(case, db, 2)
        case.weir("sync", db, "--wait")
    shown = case.weir("status", "-c", file, expect=1).stdout
    for text in (*good, bad, "is not a SQLite database", gone):
        check(text in shown, f"weir status does not show {text}:\n{shown}")
    case.weir("status", good[0])  # is fine, whatever the others are
    case.weir("sync", bad, "--wait", expect=1)
    daemon.stop(expect=(1, 2, 3))
    for number, db in enumerate(good):
        equal(restored_rows(case, case.replica(str(number)).url), [1, 2], f"rows of {db}")


def fenced_among_good(case):
    """Exit status 5 when any was fenced, though the others went well to the end."""
    file, a, b = case.path("weir.yml"), small(case, "a.db"), small(case, "b.db")
    urls = {db: case.replica(f"of-{os.path.basename(db)}").url for db in (a, b)}
    write(file, config(*(entry(db, url) for db, url in urls.items())))
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(a, b)
    copy = case.path("copy.db")
    case.weir("restore", urls[b], "-o", copy)
    insert(case, copy, 7)
    other = Daemon(case, copy, urls[b], name="other").start()
    insert(case, b, 8)
    daemon.wait_states({"a.db": "replicating", "b.db": "fenced"}, "-c", file)
    case.weir("status", "-c", file, expect=FENCED)
    case.weir("status", a)
    insert(case, a, 2)
    other.stop()
    daemon.stop(expect=FENCED)
    equal(restored_rows(case, urls[a]), [1, 2], "rows of the other database")
    equal(restored_rows(case, urls[b]), [1, 7], "rows of the one that was taken over")


def all_bad(case):
    """With nothing left to work on it ends, with the cause."""
    file, bad = case.path("weir.yml"), case.path("bad.db")
    write(bad, "text " * 100)
    write(file, config(entry(bad, case.replica().url)))
    done = case.weir("replicate", "-c", file, expect=(1, 2, 3))
    check("is not a SQLite database" in done.stderr, done.stderr)


# --- SIGHUP -----------------------------------------------------------------------------------------------------------


def reload_while_writing(case):
    """Five databases with a writer each: one stays, one is changed in place, one is removed, one finds its replica under
    another URL, one comes.  No acknowledged commit is missing anywhere, and those that stay have no gap."""
    file, names = case.path("weir.yml"), ("stays", "changes", "leaves", "moves", "comes")
    dbs = {name: case.path(f"{name}.db") for name in names}
    urls = {name: case.replica(name).url for name in names}
    os.symlink(case.path("moves"), case.path("moved"))
    urls["moved"] = "file://" + case.path("moved")
    for db in dbs.values():
        concurrently.make_journal(case, db)
    in_time = {"shutdown-timeout": f"{PATIENCE}s"}
    write(file, config(*(entry(dbs[name], urls[name]) for name in names[:4]), **in_time))
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(*(dbs[name] for name in names[:4]))
    writers = {name: workers.start_actor(case, "writer", dbs[name], "w", case.rng.randrange(1 << 30)) for name in names}
    wait_until(lambda: all(workers.acknowledged(process) > 50 for process in writers.values()), "50 commits of each")
    promised = {name: workers.acknowledged(process) for name, process in writers.items()}
    mark = daemon.reload(config(entry(dbs["stays"], urls["stays"]),
                                entry(dbs["changes"], urls["changes"], sync={"interval": "5ms", "commits": 3}),
                                entry(dbs["moves"], urls["moved"]), entry(dbs["comes"], urls["comes"]), **in_time))
    # What leaves while it is written to at full speed has its time to do so; what it ships last is behind the reload.
    wait_until(lambda: any("stopped" in line and f"db={dbs['leaves']}" in line for line in daemon.log_since(mark).splitlines()),
               "the removed database is stopped")
    workers.stop_actor(writers.pop("leaves"))  # the others need the processor: one is copied while it is written to
    daemon.wait_synced(dbs["comes"], dbs["moves"])
    for name in ("stays", "changes", "comes", "moves"):
        more = workers.acknowledged(writers[name])
        wait_until(lambda name=name, more=more: workers.acknowledged(writers[name]) > more + 50, "50 more commits")
    for process in writers.values():
        workers.stop_actor(process)
    finals = {name: workers.acknowledged(process) for name, process in writers.items()}
    states = daemon.states("-c", file)
    equal(sorted(states), ["changes.db", "comes.db", "moves.db", "stays.db"], "databases after the reload")
    daemon.wait_synced(*(db for name, db in dbs.items() if name != "leaves"))
    daemon.stop()
    for name, key in (("stays", "stays"), ("changes", "changes"), ("comes", "comes"), ("moves", "moved")):
        state = Recorder(dbs[name], keep_open=False).take()
        equal(restore_state(case, urls[key]).masked, state.masked, f"tip of {key} and its source")
        last = concurrently.check_prefixes(case, urls[key], most=10)
        concurrently.at_least(last, {"w": finals[name]}, key)
    concurrently.at_least(concurrently.check_prefixes(case, urls["leaves"], most=10), {"w": promised["leaves"]}, "leaves")
    for name in ("stays", "changes"):
        commits = log_of(case, urls[name])
        check_order(commits)
        gaps = case.weir("ls", urls[name], "--gaps", "--json").stdout
        check(all(not timeline["gaps"] for timeline in json.loads(gaps)["timelines"]), f"{name} has gaps: {gaps}")
    text = daemon.log_since(mark)
    for name in ("stays", "changes"):
        check(f"db={dbs[name]}" not in text.split("stopping:")[0], f"{name} was touched by the reload:\n{text}")


def no_time_to_leave(case):
    """A database that is removed while it is written to, with hardly any time to ship what is left: what is told of that is true, and
    when it is back nothing is missing."""
    file, db, other = case.path("weir.yml"), case.path("app.db"), small(case, "other.db")
    concurrently.make_journal(case, db)
    url, others, at_once = case.replica().url, entry(other, case.replica("other").url), {"shutdown-timeout": "1ms"}
    write(file, config(entry(db, url), others, **at_once))
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(db, other)
    writer = workers.start_actor(case, "writer", db, "w", case.rng.randrange(1 << 30))
    for _ in range(8):
        more = workers.acknowledged(writer) + 20
        wait_until(lambda more=more: workers.acknowledged(writer) > more, "20 more commits")
        mark = daemon.reload(config(others, **at_once))
        said = wait_until(lambda mark=mark: re.search(rf"stopped(, everything is| before everything was) shipped .*{re.escape(db)}.*\n", daemon.log_since(mark)),
                          lambda: f"what became of it\n{tail(daemon.log())}")[0]
        committed = workers.acknowledged(writer) + 1  # one may be under way
        left = re.search(r": (\d+) commits were not shipped in time", said)
        check("everything is shipped" in said or "its log was not read to its end in time" in said or left and 0 < int(left[1]) <= committed, said)
        daemon.reload(config(entry(db, url), others, **at_once))
        daemon.wait_synced(db)
    workers.stop_actor(writer)
    daemon.wait_synced(db)
    check(not re.search(rf"everything is shipped  db={re.escape(db)}.*\n.*the time for an orderly stop is over", daemon.log()), "too late, though it was in time")
    daemon.reload(config(entry(db, url), others))
    daemon.stop()
    concurrently.at_least(concurrently.check_prefixes(case, url, most=10), {"w": workers.acknowledged(writer)}, "all lives")


def every_commit(case):
    """One database goes on through a row of reloads: each of its commits is restorable, byte for byte."""
    file, scene, other = case.path("weir.yml"), Scene(case), small(case, "other.db")
    mine, others = entry(scene.db, scene.url), entry(other, case.replica("other").url)
    write(file, config(mine))
    scene.recorder.states[:-1] = []
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(scene.db)
    for text in (config(mine, others), config(others, entry(scene.db, scene.url, sync={"interval": "0s"})),
                 config(entry(scene.db, scene.url, snapshot={"interval": "1h"}, sync={"commits": 1})), config(others, mine)):
        scene.commit(3)
        daemon.reload(text)
        scene.commit(3)
    daemon.wait_synced(scene.db, other)
    scene.close()
    daemon.stop()
    scene.verify()


def bad_reload(case):
    """A file that cannot be used changes nothing, and log and status say so until it can."""
    file, db, other = case.path("weir.yml"), small(case, "a.db"), small(case, "b.db")
    url = case.replica().url
    good = config(entry(db, url))
    write(file, good)
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(db)
    refused = "the new configuration is not used"
    for text, message in ((config(entry(db, url), entry(other, case.replica("b").url), retentoin={}),
                           f"{file}:1:1: there is no key 'retentoin'"),
                          ("databases: [\n", f"{file}:2:1: not valid YAML"),
                          ("", f"{file}: it names no databases"),
                          (config(entry(db, url), socket=case.path("other.sock")), "the control socket cannot change"),
                          (config(entry(db, url), entry(other, "gopher://x/y")), f"{file}:4:"),
                          (config(entry(db, url, seed="s")), "seed: 's' is not an absolute path")):
        mark = daemon.reload(text, refused)
        check(message in daemon.log_since(mark), f"{message!r} is not in the log:\n{daemon.log_since(mark)}")
        document = json.loads(case.weir("status", db, "--json", expect=1).stdout)
        error = document["configuration"]["error"]
        check(message in error["message"], f"status says {error}")
        equal([item["state"] for item in document["databases"]], ["replicating"], "states")
        check(message in case.weir("status", db, expect=1).stdout, "the status in words does not tell")
    os.unlink(file)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "No such file" in case.weir("status", db, expect=1).stdout, "the missing file is told")
    insert(case, db, 2)
    daemon.reload(good)
    case.weir("status", db)
    daemon.stop()
    equal(restored_rows(case, url), [1, 2], "rows")


def empty_place(case):
    """A replica that moves to where nothing is could be a slip of the pen: the database waits for a better URL."""
    file, db, other = case.path("weir.yml"), small(case, "a.db"), small(case, "b.db")
    url, others = case.replica().url, entry(other, case.replica("b").url)
    write(file, config(entry(db, url), others))
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(db, other)
    daemon.reload(config(entry(db, case.replica("empty").url), others))
    daemon.wait_states({"a.db": "failed", "b.db": "replicating"}, "-c", file)
    check("To begin a new history there: --adopt" in case.weir("status", db, "-c", file, expect=1).stdout, "the way out is not told")
    insert(case, db, 2)
    insert(case, other, 2)
    case.weir("sync", other, "--wait")
    daemon.reload(config(entry(db, url), others))
    daemon.wait_synced(db)
    daemon.stop()
    equal(restored_rows(case, url), [1, 2], "rows")


def another_chance(case):
    """A database that failed is tried again by a reload."""
    file, bad = case.path("weir.yml"), case.path("bad.db")
    good = small(case, "good.db")
    write(bad, "text " * 100)
    text = config(entry(good, case.replica("good").url), entry(bad, case.replica("bad").url))
    write(file, text)
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_states({"good.db": "replicating", "bad.db": "failed"}, "-c", file)
    os.unlink(bad)
    small(case, "bad.db")
    daemon.reload(text)
    daemon.wait_states({"good.db": "replicating", "bad.db": "replicating"}, "-c", file)
    daemon.stop()
    equal(restored_rows(case, case.replica("bad").url), [1], "rows")


def no_file(case):
    """SIGHUP without a configuration file is told and harmless."""
    db = small(case, "a.db")
    daemon = Daemon(case, db, case.replica().url).start()
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "there is no configuration file" in daemon.log(), "the log tells")
    daemon.sync()
    daemon.stop()


# --- the environment, sources, secrets --------------------------------------------------------------------------------


def environment_only(case):
    """A container needs no file."""
    db, url = small(case, "a.db"), case.replica().url
    env = {"WEIR_DB": db, "WEIR_REPLICA": url, "WEIR_SYNC_INTERVAL": "20ms", "WEIR_LOG_FORMAT": "json",
           "WEIR_SERVICE_HOST": "10.0.0.1", "WEIR_PORT": "tcp://10.0.0.1:1", "WEIR_SEED": ""}
    daemon = ConfigDaemon(case, env=env).start(ready=False)
    daemon.wait_synced(db)
    equal(daemon.states(), {"a.db": "replicating"}, "weir status with the same environment")
    equal(restored_rows_env(case, db, env), [1], "restore of the database by its path")
    for line in daemon.log().splitlines():
        json.loads(line)
    daemon.stop()
    two = case.path("b.db")
    small(case, "b.db")
    env = {"WEIR_DATABASES_0_PATH": db, "WEIR_DATABASES_0_REPLICA": url, "WEIR_DATABASES_1_PATH": two,
           "WEIR_DATABASES_1_REPLICA": case.replica("b").url}
    daemon = ConfigDaemon(case, env=env, name="two").start(ready=False)
    daemon.wait_synced(db, two)
    daemon.stop()
    done = case.weir("replicate", env={"WEIR_DB": db, "WEIR_REPLICA": url, "WEIR_SYNC_INTERVALL": "1s"}, expect=USAGE)
    check("did you mean WEIR_SYNC_INTERVAL?" in done.stderr, done.stderr)


def restored_rows_env(case, source, env):
    """Rows of the restored tip, in this environment."""
    target = case.path("restored-env.db")
    case.weir("restore", source, "-o", target, env=env)
    with sqlite3.connect(f"file:{target}?immutable=1", uri=True) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM t")]


def sources(case):
    """A database of the configuration in place of a URL, in every command; one socket for all."""
    file, db, other = case.path("weir.yml"), small(case, "a.db"), small(case, "b.db")
    url, sock = case.replica().url, case.path("weir.sock")
    link = case.path("link.db")
    os.symlink(db, link)
    write(file, config(entry(link, url), entry(other, case.replica("b").url), socket=sock))
    by_file, by_env = ["-c", file], {"WEIR_CONFIG": file}
    shown = case.weir("status", *by_file, expect=1).stdout
    check(shown.count("not running") == 2, shown)
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(db, other)
    check(os.stat(sock).st_mode & 0o777 == 0o600, "the socket is not its owner's alone")
    check(not os.path.exists(other + "-weir/control.sock"), "a socket of its own beside the one for all")
    case.weir("status", *by_file)
    case.weir("status", env=by_env)
    case.weir("status", db, *by_file)
    check(other not in case.weir("status", db, *by_file).stdout, "status of one database shows another")
    case.weir("sync", db, "--wait", *by_file)
    case.weir("snapshot", other, env=by_env)
    for source, extra in ((db, by_file), (link, by_file), (url, by_file)):
        check(url in case.weir("ls", source, *extra).stdout, f"weir ls {source}")
        equal(json.loads(case.weir("ls", source, *extra, "--json").stdout)["url"], url, "url of weir ls")
        check("TXID" in case.weir("log", source, *extra).stdout, f"weir log {source}")
        equal(restored_rows(case, source, *extra), [1], f"rows from {source}")
    check(url in case.weir("ls", db, env=by_env).stdout, "weir ls with WEIR_CONFIG")
    equal(["gaps" in case.weir("ls", db, *asked, env=by_env).stdout for asked in ([], ["--gaps"])], [False, True], "that there are no gaps")
    for argv, message in ((["ls", case.path("c.db"), *by_file], f"is neither a URL nor a database of {file}"),
                          (["ls", "file:///elsewhere", *by_file], f"is not the replica of a database of {file}"),
                          (["ls", case.path("c.db"), "-c", case.path("none.yml")], "No such file"),
                          (["replicate", "-c", case.path("none.yml")], "No such file"),
                          (["replicate", "--fork", *by_file], "--fork and --adopt are for a database that is named")):
        done = case.weir(*argv, expect=USAGE)
        check(message in done.stderr, f"{argv}: {done.stderr}")
    daemon.stop()
    check(not os.path.exists(sock), "the socket is left behind")
    check("no weir process answers" in case.weir("sync", db, *by_file, expect=1).stderr, "sync without a daemon")


def started_twice(case):
    """A second daemon with the same file is refused, and the first one stays within reach."""
    file, db, sock = case.path("weir.yml"), small(case, "a.db"), case.path("weir.sock")
    write(file, config(entry(db, case.replica().url), socket=sock))
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(db)
    second = ConfigDaemon(case, file, name="second").start(ready=False)
    second.wait_exit(expect=FENCED)
    check(f"control socket {sock}: process {daemon.pid} answers there" in second.log(), tail(second.log()))
    case.weir("status", "-c", file)
    case.weir("sync", db, "--wait", "-c", file)
    daemon.stop()
    check(not os.path.exists(sock), "the socket is left behind")


def command_line(case):
    """Databases of the command line instead of the file's; its options over the file's."""
    file, db, other = case.path("weir.yml"), small(case, "a.db"), small(case, "b.db")
    write(file, config(entry(other, case.replica("b").url)).replace("20ms", "1h"))
    daemon = Daemon(case, db, case.replica().url, args=("-c", file)).start()
    document = daemon.status()
    equal([item["path"] for item in document["databases"]], [db], "databases")
    equal(document["configuration"]["file"], file, "the file")
    daemon.stop()


def unsupported(case):
    """What a folder's databases cannot have is refused with its place, not passed over."""
    file, url = case.path("weir.yml"), case.replica().url
    folder = {"dir": case.path(), "replica": url}
    for text, message in ((config(json.dumps({**folder, "seed": "/x"})), ": seed is for a database with a path"),
                          (config(json.dumps({**folder, "restore-if-missing": True})), ": restore-if-missing is for a database")):
        write(file, text)
        done = case.weir("replicate", "-c", file, expect=USAGE)
        check(message in done.stderr and f"{file}:" in done.stderr, done.stderr)


def one_by_two_names(case):
    """One database, or folder, that two entries name in different ways is refused, before anything is begun and at a reload."""
    file, db, url, other = case.path("weir.yml"), small(case, "a.db"), case.replica().url, case.replica("other").url
    link, folder = case.path("link"), case.path("dbs")
    os.mkdir(folder)
    os.symlink(os.path.dirname(db), link)
    names = [os.path.join(link, "a.db"), os.path.join(link, "..", os.path.basename(os.path.dirname(db)), "a.db")]
    for name in names:
        write(file, config(entry(db, url), entry(name, other)))
        done = case.weir("replicate", "-c", file, expect=USAGE)
        check(f"{file}:4:" in done.stderr and f"{db} has an entry already, at {file}:3:" in done.stderr, done.stderr)
    write(file, config(*(json.dumps({"dir": name, "replica": to}) for name, to in ((folder, url), (os.path.join(link, "dbs"), other)))))
    done = case.weir("replicate", "-c", file, expect=USAGE)
    check(f"{folder} has an entry already, at {file}:3:" in done.stderr, done.stderr)
    write(file, config(entry(db, url)))
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(db)
    mark = daemon.reload(config(entry(db, url), entry(names[0], other)), "the new configuration is not used")
    check("has an entry already" in daemon.log_since(mark), daemon.log_since(mark))
    daemon.wait_synced(db)
    daemon.stop()


def seed_of_its_own(case):
    """A seed that the same daemon replicates is refused: to read it would take away the locks that keep its log."""
    file, db, url, missing = case.path("weir.yml"), small(case, "a.db"), case.replica().url, case.path("b.db")
    folder, link = case.path("dbs"), case.path("link.db")
    os.mkdir(folder)
    os.symlink(db, link)
    for seed in (db, link, missing, os.path.join(folder, "c.db")):
        folder_too = json.dumps({"dir": folder, "replica": case.replica("f").url})
        write(file, config(entry(db, url), entry(missing, case.replica("b").url, seed=seed), folder_too))
        done = case.weir("replicate", "-c", file, expect=USAGE)
        check(f"{file}:4:" in done.stderr and "is itself a database of this configuration" in done.stderr, done.stderr)
    check(not os.path.exists(missing), "it was seeded")
    copy = case.path("copy.db")
    case.copy(db, copy)
    write(file, config(entry(db, url), entry(missing, case.replica("b").url, seed=copy)))
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(db, missing)
    daemon.stop()


def secrets(case):
    """Whatever goes wrong, what is secret is not in logs, answers and messages."""
    file, db, url = case.path("weir.yml"), small(case, "a.db"), case.replica().url
    outputs = []
    shapes = [
        config(json.dumps({"path": db, "replica": {"url": url, "secret-key": SECRET}})),
        config(json.dumps({"path": db, "replica": {"url": "s3://b/p", "secret-key": SECRET, "no-such-option": "x"}})),
        config(json.dumps({"path": db, "replica": {"url": "s3://b/p", "secret-key": "${PASSWORD}", "region": "!!"}})),
        config(json.dumps({"path": db, "replica": f"s3://b/p?secret-key={SECRET}"})),
        config(json.dumps({"path": db, "replica": f"gopher://b/p?secret-key={SECRET}"})),
        config(json.dumps({"path": db, "replica": {"url": "s3://b/p", "secret-key": SECRET + "\\u0000"}})),
        config(json.dumps({"path": db, "replica": {"url": "s3://b/p", "secret-key": [SECRET]}})),
    ]
    env = {"PASSWORD": SECRET, "WEIR_REPLICA_SESSION_TOKEN": SECRET}
    for text in shapes:
        write(file, text)
        for argv in (["replicate", "-c", file], ["ls", db, "-c", file], ["status", "-c", file, "--json"]):
            done = case.weir(*argv, env=env, expect=(1, 2))
            outputs.append(f"{argv}: {done.stdout}{done.stderr}")
    write(file, config(entry(db, url)))
    daemon = ConfigDaemon(case, file, env=env).start(ready=False)
    daemon.wait_synced(db)
    daemon.reload(shapes[3], "the new configuration is not used")
    outputs += [case.weir("status", db, "--json", expect=1).stdout, case.weir("status", db, expect=1).stdout]
    daemon.stop()
    outputs.append(daemon.log())
    for text in outputs:
        check(SECRET not in text, f"a secret was printed: {text}")
    check(any("secret-key" in text for text in outputs), "nothing was said about secret-key: is it looked at at all?")


def cases(_options):
    """All stories."""
    return [
        ("a bad one among good ones", bad_among_good), ("a fenced one among good ones", fenced_among_good), ("all bad", all_bad),
        ("reload while writers write", reload_while_writing), ("no time to leave", no_time_to_leave), ("every commit over reloads", every_commit),
        ("a bad reload", bad_reload), ("an empty place", empty_place), ("another chance", another_chance), ("SIGHUP without a file", no_file),
        ("environment only", environment_only), ("sources", sources), ("started twice", started_twice), ("command line", command_line),
        ("unsupported keys", unsupported), ("one by two names", one_by_two_names), ("seed of its own", seed_of_its_own), ("secrets", secrets),
    ]
