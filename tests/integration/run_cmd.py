# SPDX-License-Identifier: Apache-2.0
"""run_cmd: `weir run`: restore or seed what is missing, run a program as an init would, ship the rest, end as it did.

Whatever is killed, and whenever: what was acknowledged as shipped comes back at the next cold start, a database that is
half restored or half seeded is never taken for a real one, and nobody begins empty because a replica could not be asked.
"""

import http.server
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from lib.case import PATIENCE, children_of, tail, wait_until
from lib.daemon import Daemon, log_of, restore
from lib.replica import put_in_the_way, take_out_of_the_way
from lib.tap import Skip, check, equal
from servers import faults
from servers.process import free_ports

USAGE, FENCED, NOT_RUNNABLE, NOT_FOUND, BY_SIGNAL = 2, 5, 126, 127, 128

# A program that notes what happens to it, a line each: which signals it gets, what it was given at its start.
PROBE = r"""
import os, signal, sys
notes, ends = sys.argv[1], sys.argv[2:]
came, tell = os.pipe()  # with pause() a signal just before it would be noted together with the next one
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
def note(text):
    with open(notes, "a") as file:
        file.write(text + "\n")
def on_signal(number, frame):
    note(signal.Signals(number).name)
    if signal.Signals(number).name in ends:
        sys.exit(0)
for number in signal.valid_signals():
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, on_signal)
note(f"ready {os.getpid()} {os.getpgrp()} {os.getppid()}")
while True:
    os.read(came, 100)
"""


class Run(Daemon):
    """`weir run` on one database (or what the arguments say), with a program behind `--`."""

    def __init__(self, case, program, db=None, url=None, args=(), env=None, name="run", front=()):
        super().__init__(case, db, *([url] if url else []), args=args, env=env, name=name)
        usual = ["--sync-interval", "20ms", "--shutdown-timeout", f"{PATIENCE}s"]
        usual = [] if env and "WEIR_DB" in env else usual
        self.argv = [*front, case.options.weir, "run", *usual, *args, *([db, url] if db else []), "--", *program]

    def start(self, ready=False):
        """Start it; its output is in the log, too."""
        return super().start(ready=ready)

    def wait_log(self, text):
        """Until the log has this, or it ends without."""
        wait_until(lambda: text in self.log() or not self.alive(), f"log: {text}")
        check(text in self.log(), lambda: f"{text!r} is not in the log, exit {self.exit_code()}\n{tail(self.log())}")
        return self

    def end(self, expect=0):
        """Wait for its end."""
        self.wait_exit(expect=expect)
        return self


class Probe:
    """The program above, and what it noted."""

    def __init__(self, case, *ends, name="notes"):
        self.notes, script = case.path(name), case.path("probe.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(PROBE)
        self.program = [sys.executable, script, self.notes, *ends]

    def lines(self):
        """All notes."""
        try:
            with open(self.notes, encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def wait(self, what):
        """Until it noted this."""
        wait_until(lambda: what in self.lines(), f"the program notes {what}: {self.lines()}")

    def wait_ready(self):
        """(pid, process group, parent) once it runs."""
        wait_until(lambda: self.lines() and self.lines()[0].startswith("ready"), "the program is ready")
        return [int(word) for word in self.lines()[0].split()[1:]]


def sql(db, text):
    """A program: one run of the sqlite3 shell."""
    return ["sqlite3", "-cmd", ".timeout 30000", db, text]


def rows(db):
    """The rows of table t, looked at in a process of its own."""
    done = subprocess.run(["sqlite3", "-readonly", "-cmd", ".timeout 60000", db, "SELECT x FROM t ORDER BY x"], stdout=subprocess.PIPE, check=True)
    return [int(word) for word in done.stdout.split()]


def restored_rows(case, url):
    """The rows of the newest state in the replica."""
    target = case.path("looked-at.db")
    restore(case, url, target, "--force")
    with sqlite3.connect(f"file:{target}?immutable=1", uri=True) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


def wipe(case, db):
    """The machine is gone, and its disk with it."""
    for name in os.listdir(case.path()):
        path = case.path(name)
        if name.startswith(os.path.basename(db)):
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def first_run(case, name="app.db", replica=None, count=2):
    """(db, url) of a database with rows 1 to `count` in its replica, and nothing on the disk."""
    db, url = case.path(name), replica or case.replica().url
    values = ",".join(f"({number})" for number in range(1, count + 1))
    Run(case, sql(db, f"CREATE TABLE t(x); INSERT INTO t VALUES{values}"), db, url).start().end()
    wipe(case, db)
    return db, url


# --- the main story, statuses -----------------------------------------------------------------------------------------


def cold_starts(case):
    """Nothing anywhere, then a cold start after another: each goes on where the last one ended, and says so."""
    db, url = case.path("app.db"), case.replica().url
    run = Run(case, sql(db, "CREATE TABLE t(x); INSERT INTO t VALUES(1)"), db, url).start().end()
    check("starting empty: there is neither a database nor a replica" in run.log(), tail(run.log()))
    for number in (2, 3):
        wipe(case, db)
        run = Run(case, sql(db, f"INSERT INTO t VALUES({number})"), db, url).start().end()
        check("restored from the replica" in run.log() and "txid=" in run.log(), tail(run.log()))
        equal(rows(db), list(range(1, number + 1)), "rows")
    run = Run(case, sql(db, "INSERT INTO t VALUES(4)"), db, url).start().end()
    check("the database is there" in run.log() and "restored" not in run.log(), tail(run.log()))
    equal(restored_rows(case, url), [1, 2, 3, 4], "rows in the replica")


def idle_starts(case):
    """Cold starts in which nothing is written, one after the other, with and without the disk: none is in another's way."""
    db, url = first_run(case)
    for _ in range(3):
        run = Run(case, ["true"], db, url).start().end()
        check("restored from the replica" in run.log(), tail(run.log()))
        Run(case, ["true"], db, url).start().end()
        wipe(case, db)
    Run(case, sql(db, "INSERT INTO t VALUES(3)"), db, url).start().end()
    equal(restored_rows(case, url), [1, 2, 3], "rows")


def statuses(case):
    """The program's status is weir's, and what cannot be run is told as a shell does."""
    db, url = first_run(case)
    plain = case.path("plain")
    with open(plain, "w", encoding="utf-8") as file:
        file.write("no program")
    for program, status in ((["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -KILL $$"], BY_SIGNAL + 9),
                            (["sh", "-c", "kill -INT $$"], BY_SIGNAL + 2), ([case.path("none")], NOT_FOUND),
                            (["no-such-program"], NOT_FOUND), ([plain], NOT_RUNNABLE)):
        Run(case, program, db, url).start().end(expect=status)
    for argv in (["run", db, url], ["run", db, url, "--"], ["run", db, "--", "true"]):
        done = case.weir(*argv, expect=USAGE)
        check("--" in done.stderr or "needs its URL" in done.stderr, done.stderr)
    options = case.weir("run", db, url, "--", "sh", "-c", 'echo "$@"', "sh", "--help", "-c", "--", "x y")
    equal(options.stdout, "--help -c -- x y\n", "arguments of the program")


def inherits(case):
    """The program gets the signals and descriptors that weir was given, and none of weir's own."""
    db, url = first_run(case)
    fd = os.open("/dev/null", os.O_RDONLY)

    def prepare():
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if fd != 3:
            os.dup2(fd, 3)
        os.set_inheritable(3, True)
        os.closerange(4, 1000)

    try:
        program = ["sh", "-c", 'ls /proc/self/fd | tr "\\n" " "; grep SigIgn /proc/self/status; grep SigBlk /proc/self/status']
        done = subprocess.run([case.options.weir, "run", db, url, "--", *program], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, preexec_fn=prepare, close_fds=False, check=True)
    finally:
        os.close(fd)
    equal(done.stdout.split(), "0 1 2 3 4 SigIgn: 0000000000000001 SigBlk: 0000000000000000".split(), "what the program has; the last descriptor is that of ls")


# --- signals ----------------------------------------------------------------------------------------------------------


def every_signal(case):
    """Each signal that can be caught reaches the program, which leads its own process group."""
    db, url = first_run(case)
    probe = Probe(case, "SIGTERM")
    run = Run(case, probe.program, db, url).start()
    pid, group, parent = probe.wait_ready()
    equal((group, parent), (pid, run.pid), "its process group and its parent")
    own = {"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP", "SIGSYS", "SIGCHLD", "SIGPIPE",
           "SIGPROF", "SIGXCPU", "SIGXFSZ", "SIGSTKFLT", "SIGTTOU", "SIGTTIN", "SIGTSTP", "SIGTERM"}
    numbers = [s for s in signal.Signals if s.name not in own]
    check(len(numbers) > 10, f"only {numbers}")
    for number in numbers:
        run.process.send_signal(number)
        probe.wait(number.name)
    run.process.send_signal(signal.SIGTERM)
    run.end()
    equal(probe.lines()[-1], "SIGTERM", "the last signal")


def suspended(case):
    """SIGTSTP suspends the program, weir goes on shipping; SIGCONT wakes it."""
    db, url = first_run(case)
    probe = Probe(case, "SIGTERM")
    run = Run(case, probe.program, db, url).start()
    pid = probe.wait_ready()[0]

    def state():
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0]

    run.process.send_signal(signal.SIGTSTP)
    wait_until(lambda: state() == "T", "the program is suspended")
    case.run(*sql(db, "INSERT INTO t VALUES(3)"))
    run.sync()
    run.process.send_signal(signal.SIGCONT)
    probe.wait("SIGCONT")
    run.stop()
    equal(restored_rows(case, url), [1, 2, 3], "rows")


def stubborn(case):
    """A program that ignores SIGTERM runs on, and is killed where that was asked for; what it wrote is shipped."""
    db, url = first_run(case)
    probe = Probe(case, "SIGUSR1")
    run = Run(case, probe.program, db, url).start()
    probe.wait_ready()
    run.process.send_signal(signal.SIGTERM)
    probe.wait("SIGTERM")
    case.run(*sql(db, "INSERT INTO t VALUES(3)"))
    run.sync()
    run.process.send_signal(signal.SIGUSR1)
    run.end()
    probe = Probe(case, name="more-notes")
    run = Run(case, probe.program, db, url, args=("--kill-after", "300ms")).start()
    probe.wait_ready()
    case.run(*sql(db, "INSERT INTO t VALUES(4)"))
    run.process.send_signal(signal.SIGTERM)
    run.end(expect=BY_SIGNAL + signal.SIGKILL)
    check("killing it" in run.log(), tail(run.log()))
    equal(restored_rows(case, url), [1, 2, 3, 4], "rows")


def group_signals(case):
    """With --group what the program started gets the signal, too."""
    db, url = first_run(case)
    probe = Probe(case, "SIGTERM")
    shell = ["sh", "-c", 'trap "exit 3" TERM; "$@" & while :; do wait; done', "sh", *probe.program]
    run = Run(case, shell, db, url, args=("--group",)).start()
    probe.wait_ready()
    run.process.send_signal(signal.SIGTERM)
    run.end(expect=3)
    probe.wait("SIGTERM")


def orphans(case):
    """Orphans of the program are waited for: nothing stays a zombie, in a session of its own or not."""
    db, url = first_run(case)
    probe = Probe(case, "SIGTERM")
    shell = 'for i in 1 2 3 4 5; do (sleep 0.01 &); (setsid sleep 0.01 &); done; exec "$@"'
    run = Run(case, ["sh", "-c", shell, "sh", *probe.program], db, url).start()
    probe.wait_ready()
    path = f"/proc/{run.pid}/task/{run.pid}/children"

    def children():
        with open(path, encoding="ascii") as file:
            return file.read().split()

    wait_until(lambda: len(children()) == 1, f"all orphans were waited for: {children()}")
    run.stop()


def first_process(case):
    """As the first process of a container: signals, orphans, shipping, statuses."""
    front = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    if subprocess.run([*front, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Skip("no right to make a PID namespace")
    db, url = first_run(case)
    probe = Probe(case, "SIGTERM")
    shell = '(sleep 0.01 &); (setsid sleep 0.01 &); exec "$@"'
    run = Run(case, ["sh", "-c", shell, "sh", *probe.program], db, url, front=front).start()
    equal(probe.wait_ready()[2], 1, "the parent of the program")
    with open(f"/proc/{run.pid}/task/{run.pid}/children", encoding="ascii") as file:
        first = int(file.read().split()[0])

    def children():
        with open(f"/proc/{first}/task/{first}/children", encoding="ascii") as file:
            return file.read().split()

    wait_until(lambda: len(children()) == 1, "all orphans were waited for")
    os.kill(first, signal.SIGHUP)
    probe.wait("SIGHUP")
    case.run(*sql(db, "INSERT INTO t VALUES(3)"))
    os.kill(first, signal.SIGTERM)
    run.end()
    equal(restored_rows(case, url), [1, 2, 3], "rows")
    Run(case, ["sh", "-c", "exit 9"], db, url, front=front).start().end(expect=9)


# --- kills ------------------------------------------------------------------------------------------------------------


def weir_killed(case):
    """kill -9 of weir ends the program in order: what nobody ships must not go on unnoticed."""
    db, url = first_run(case)
    probe = Probe(case, "SIGTERM")
    run = Run(case, probe.program, db, url).start()
    probe.wait_ready()
    run.process.kill()
    probe.wait("SIGTERM")
    run.kill()


def all_killed(case):
    """kill -9 of everything, and a cold start, again and again: what was acknowledged is there."""
    db, url = first_run(case, count=1)
    writer = ["sh", "-c", 'n=$1; while :; do n=$((n + 1)); sqlite3 -cmd ".timeout 30000" "$2" "INSERT INTO t VALUES($n)"; done',
              "sh"]
    for _ in range(3):
        wipe(case, db)
        last = len(restored_rows(case, url))
        run = Run(case, [*writer, str(last), db], db, url).start().wait_log("the command has begun")
        promised = wait_until(lambda last=last: len(rows(db)) >= last + 5 and len(rows(db)), "some rows")
        run.sync()
        run.process.kill()
        program = int(run.log().split("the command has begun")[1].split("pid=")[1].split()[0])
        try:
            os.killpg(program, signal.SIGKILL)
        except ProcessLookupError:
            pass  # SIGTERM of the kernel was faster
        run.kill()
        found = restored_rows(case, url)
        equal(found, list(range(1, len(found) + 1)), "rows without a gap")
        check(len(found) >= promised, f"{len(found)} rows of {promised} that were acknowledged")


def stopped_in_restore(case):
    """SIGTERM while a database is restored: no program, no database, no scrap that counts as one."""
    if case.options.store.kind == "file":
        raise Skip("a restore from a directory cannot be held up")
    db, url = first_run(case, replica=case.proxied_replica().url)
    rule = case.proxy.add(faults.Hold(), times=None, kind="GET", key="*/snap/*")
    run = Run(case, ["touch", case.path("began")], db, url).start()
    wait_until(lambda: rule.met, "the snapshot is asked for")
    run.process.send_signal(signal.SIGTERM)
    run.wait_log("stopping")
    case.proxy.clear()
    run.end(expect=BY_SIGNAL + signal.SIGTERM)
    check(not os.path.exists(db) and not os.path.exists(case.path("began")), "a database, or the command began")
    Run(case, sql(db, "INSERT INTO t VALUES(3)"), db, url).start().end()
    equal(restored_rows(case, url), [1, 2, 3], "rows")


def terminated_early(case):
    """SIGTERM while a seed is made: the seed's program is ended, the command never begins."""
    db, url, seed, began = case.path("app.db"), case.replica().url, case.path("seed"), case.path("began")
    write_program(seed, f'touch {began}\nsqlite3 "$1" "CREATE TABLE t(x)"\nsleep 1000 &\nwait')
    run = Run(case, ["touch", case.path("never")], db, url, args=("--seed", seed)).start()
    wait_until(lambda: os.path.exists(began), "the seed is being made")
    run.process.send_signal(signal.SIGTERM)
    run.end(expect=BY_SIGNAL + signal.SIGTERM)
    check(not os.path.exists(db) and not os.path.exists(case.path("never")), "a database, or the command began")


# --- seeds ------------------------------------------------------------------------------------------------------------


def write_program(path, text):
    """A shell script."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\n{text}\n")
    os.chmod(path, 0o755)


def seed_file(case):
    """A database file, with a log that was never copied back: used once, never again, never over anything."""
    db, url, seed = case.path("app.db"), case.replica().url, case.path("seed.db")
    with sqlite3.connect(seed, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t(x)")
        connection.execute("INSERT INTO t VALUES(1)")
        case.run("cp", seed, seed + ".copy")
        case.run("cp", seed + "-wal", seed + ".copy-wal")
    args = ("--seed", seed + ".copy")
    run = Run(case, sql(db, "INSERT INTO t VALUES(2)"), db, url, args=args).start().end()
    check("seeded: there was neither a database nor a replica" in run.log(), tail(run.log()))
    for number in (3, 4):
        run = Run(case, sql(db, f"INSERT INTO t VALUES({number})"), db, url, args=args).start().end()
        check("seeded" not in run.log(), tail(run.log()))
        wipe(case, db) if number == 3 else None
    equal(restored_rows(case, url), [1, 2, 3, 4], "rows")


def seed_program(case):
    """A program makes the database; it runs once."""
    db, url, seed, count = case.path("app.db"), case.replica().url, case.path("seed"), case.path("count")
    write_program(seed, f'echo run >> {count}\nsqlite3 "$1" "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)"')
    for number in (2, 3):
        Run(case, sql(db, f"INSERT INTO t VALUES({number})"), db, url, args=("--seed", seed)).start().end()
        wipe(case, db)
    with open(count, encoding="utf-8") as file:
        equal(file.read(), "run\n", "runs of the seed")
    equal(restored_rows(case, url), [1, 2, 3], "rows")


def bad_seeds(case):
    """What is no seed: the message tells, the command does not begin, nothing is left."""
    url, began = case.replica().url, case.path("began")

    def plain(name, data):
        with open(case.path(name), "wb") as file:
            file.write(data)
        return case.path(name)

    def program(name, text):
        write_program(case.path(name), text)
        return case.path(name)

    for number, (seed, message) in enumerate((
            (case.path("none"), "No such file"), (plain("text", b"text " * 50), "is not a SQLite database"),
            (plain("duck", bytes(8) + b"DUCK" + bytes(9000)), "DuckDB"), (plain("empty", b""), "is empty"),
            (plain("cut", b"SQLite format 3\0" + bytes(84)), "database header"),
            (program("fails", 'sqlite3 "$1" "CREATE TABLE t(x)"; exit 3'), "exit status 3"),
            (program("idle", "exit 0"), "did not make the file"),
            (program("nonsense", 'echo nonsense nonsense nonsense > "$1"'), "is no database that could be used"))):
        db = case.path(f"app-{number}.db")
        run = Run(case, ["touch", began], db, url, args=("--seed", seed)).start()
        run.wait_exit()
        check(run.exit_code() not in (0, None), f"{seed}: exit {run.exit_code()}")
        check(message in run.log(), lambda: f"{message!r} is not in the log\n{tail(run.log())}")
        check(not os.path.exists(db) and not os.path.exists(began), f"{seed}: a database, or the command began")
        check(not os.path.exists(db + "-weir/seed"), f"{seed}: scraps of the seed")


def seed_killed(case):
    """kill -9 half-way through a seed: the next start begins anew and never takes the half for a database."""
    db, url, seed, began, go = case.path("app.db"), case.replica().url, case.path("seed"), case.path("began"), case.path("go")
    write_program(seed, f'sqlite3 "$1" "CREATE TABLE t(x); INSERT INTO t VALUES(1)"\ntouch {began}\n'
                        f'[ -e {go} ] || sleep 1000 & wait\nsqlite3 "$1" "INSERT INTO t VALUES(2)"')
    run = Run(case, sql(db, "INSERT INTO t VALUES(3)"), db, url, args=("--seed", seed)).start()
    wait_until(lambda: os.path.exists(began), "the seed is half made")
    run.process.kill()
    run.kill()
    check(not os.path.exists(db), "half a seed counts as a database")
    end_orphans(case)
    with open(go, "w", encoding="utf-8"):
        pass
    Run(case, sql(db, "INSERT INTO t VALUES(3)"), db, url, args=("--seed", seed)).start().end()
    equal(restored_rows(case, url), [1, 2, 3], "rows")
    equal([name for name in os.listdir(db + "-weir") if name == "seed"], [], "scraps of the seed")


def end_orphans(case):
    """What a killed seed left running became our child (see become_subreaper), and may begin more before it is ended."""
    own = {process.pid for process in case.processes}
    while orphans := [pid for pid, _ in children_of(os.getpid()) if pid not in own]:
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


# --- the replica is away ----------------------------------------------------------------------------------------------


def away(case):
    """(break, mend) of the replica: a server that refuses, a place that is a file."""
    if case.options.store.kind != "file":
        return (lambda: (case.proxy.refuse(), case.proxy.drop())), case.proxy.accept
    folder = case.path("replica")
    return lambda: put_in_the_way(folder), lambda: take_out_of_the_way(folder)


def url_of(case):
    """Of a replica that can go away."""
    return case.replica().url if case.options.store.kind == "file" else case.proxied_replica().url


def away_and_missing(case):
    """No database, and nobody knows whether the replica has one: the command does not begin, unless that is wanted."""
    db, url = first_run(case, replica=url_of(case))
    begin, end = away(case)
    args, began = ("--start-timeout", "0s"), case.path("began")
    begin()
    run = Run(case, ["touch", began], db, url, args=args).start()
    run.wait_exit()
    check(run.exit_code() not in (0, None), f"exit {run.exit_code()}")
    check("there is no database, and restoring it from" in run.log(), tail(run.log()))
    check(not os.path.exists(began) and not os.path.exists(db), "the command began, or a database is there")
    end()
    Run(case, sql(db, "INSERT INTO t VALUES(3)"), db, url, args=args).start().end()
    equal(restored_rows(case, url), [1, 2, 3], "rows")


def away_and_there(case):
    """The database is there: the command begins, and everything is shipped once the replica is back."""
    db, url = first_run(case, replica=url_of(case))
    Run(case, sql(db, "INSERT INTO t VALUES(3)"), db, url).start().end()
    begin, end = away(case)
    begin()
    probe = Probe(case, "SIGTERM")
    run = Run(case, probe.program, db, url, args=("--start-timeout", "0s")).start()
    probe.wait_ready()
    case.run(*sql(db, "INSERT INTO t VALUES(4)"))
    end()
    run.wait_ready()
    run.stop()
    equal(restored_rows(case, url), [1, 2, 3, 4], "rows")


def away_at_the_end(case):
    """What could not be shipped is told by the status, waits on the disk, and is shipped by the next run."""
    db, url = first_run(case, replica=url_of(case))
    begin, end = away(case)
    probe = Probe(case, "SIGTERM")
    run = Run(case, probe.program, db, url)
    run.argv[run.argv.index("--shutdown-timeout") + 1] = "1s"
    run.start()
    probe.wait_ready()
    begin()
    case.run(*sql(db, "INSERT INTO t VALUES(3)"))
    run.process.send_signal(signal.SIGTERM)
    run.end(expect=1)
    check("not shipped" in run.log(), tail(run.log()))
    end()
    Run(case, sql(db, "INSERT INTO t VALUES(4)"), db, url).start().end()
    equal(restored_rows(case, url), [1, 2, 3, 4], "rows")


# --- two at once ------------------------------------------------------------------------------------------------------


def two_at_once(case):
    """On one disk the second is told who has the database, before its program begins; or stands by."""
    db, url = first_run(case)
    probe = Probe(case, "SIGTERM")
    run = Run(case, probe.program, db, url).start()
    probe.wait_ready()
    second = Run(case, ["touch", case.path("never")], db, url, name="second").start().end(expect=FENCED)
    check(str(run.pid) in second.log() and not os.path.exists(case.path("never")), tail(second.log()))
    standby = Run(case, sql(db, "INSERT INTO t VALUES(4)"), db, url, args=("--standby",), name="standby").start()
    standby.wait_log("standing by")
    waiting = Run(case, ["true"], db, url, args=("--standby",), name="waiting").start().wait_log("standing by")
    waiting.process.send_signal(signal.SIGTERM)
    waiting.end(expect=BY_SIGNAL + signal.SIGTERM)
    case.run(*sql(db, "INSERT INTO t VALUES(3)"))
    run.stop()
    standby.end()
    check("it is our turn now" in standby.log(), tail(standby.log()))
    equal(restored_rows(case, url), [1, 2, 3, 4], "rows")


def two_at_one_address(case):
    """Who stands by leaves socket and address to the one at work, and has them when it is its turn; what keeps it from them then is told."""
    db, url = first_run(case)
    file, sock, port = case.path("weir.yml"), case.path("weir.sock"), free_ports(1)[0]
    with open(file, "w", encoding="utf-8") as out:
        json.dump({"socket": sock, "http": {"listen": f"127.0.0.1:{port}", "token-file": case.path("token")}, "databases": [{"path": db, "replica": url}]}, out)
    with open(case.path("token"), "w", encoding="utf-8") as out:
        out.write("0123456789abcdef\n")
    probe, later = Probe(case, "SIGTERM"), Probe(case, "SIGTERM", name="later")
    run = Run(case, probe.program, args=("-c", file)).start()
    probe.wait_ready()
    standby = Run(case, later.program, args=("--standby", "-c", file), name="standby").start().wait_log("standing by")
    case.weir("sync", db, "--wait", "-c", file)
    equal(case.weir("status", db, "-c", file, "--json").stdout.count('"replicating"'), 1, "the one at work answers")
    os.rename(case.path("token"), case.path("away"))
    run.stop()
    standby.wait_log("cannot listen, will try again")
    check("token" in standby.log() and "another process has the address" not in standby.log(), tail(standby.log()))
    os.rename(case.path("away"), case.path("token"))
    later.wait_ready()
    case.weir("sync", db, "--wait", "-c", file)
    check("it is our turn now" in standby.log(), tail(standby.log()))
    standby.stop()
    check(not os.path.exists(sock), "the socket is left behind")


def taken_over(case):
    """On two machines the newer one takes over; the older one is told by its next commit, ends its program, exits 5."""
    db, url = first_run(case)
    probe, other = Probe(case, "SIGTERM"), case.path("other.db")
    run = Run(case, probe.program, db, url).start()
    probe.wait_ready()
    Run(case, sql(other, "INSERT INTO t VALUES(3)"), other, url, name="newer").start().end()
    case.run(*sql(db, "INSERT INTO t VALUES(99)"))
    run.end(expect=FENCED)
    probe.wait("SIGTERM")
    check("another writer owns the replica now" in run.log(), tail(run.log()))
    equal(restored_rows(case, url), [1, 2, 3], "rows")


def unbegun(case):
    """A first writer died before its first snapshot was whole: a cold start elsewhere goes on, without being told to."""
    db, url, replica = case.path("app.db"), case.replica().url, case.replica()
    first_run(case, name="first.db")
    for key in replica.list():
        if key != "weir.json" and not key.endswith("origin.json"):
            replica.delete(key)
    Run(case, sql(db, "CREATE TABLE t(x); INSERT INTO t VALUES(7)"), db, url).start().end()
    equal(restored_rows(case, url), [7], "rows")


# --- settings ---------------------------------------------------------------------------------------------------------


def environment_only(case):
    """A container needs no file and no arguments."""
    db, url, seed = case.path("app.db"), case.replica().url, case.path("seed.db")
    case.run("sqlite3", seed, "CREATE TABLE t(x); INSERT INTO t VALUES(1)")
    env = {"WEIR_DB": db, "WEIR_REPLICA": url, "WEIR_SEED": seed, "WEIR_SYNC_INTERVAL": "20ms", "WEIR_LOG_FORMAT": "json"}
    for number in (2, 3):
        run = Run(case, sql(db, f"INSERT INTO t VALUES({number})"), env=env).start().end()
        for line in run.log().splitlines():
            json.loads(line)
        wipe(case, db)
    equal(restored_rows(case, url), [1, 2, 3], "rows")
    env = {"WEIR_DB": db, "WEIR_REPLICA": url, "WEIR_RESTORE_IF_MISSING": "false"}
    run = Run(case, ["true"], env=env).start().end()
    check("restored" not in run.log() and not os.path.exists(db), tail(run.log()))


def several(case):
    """One configuration with several databases: one that cannot be replicated keeps the command from beginning."""
    file, db, other = case.path("weir.yml"), case.path("a.db"), case.path("b.db")
    entries = [{"path": db, "replica": case.replica("a").url}, {"path": other, "replica": case.replica("b").url}]
    with open(file, "w", encoding="utf-8") as out:
        json.dump({"databases": entries}, out)
    both = ["sh", "-c", f'for db in {db} {other}; do sqlite3 -cmd ".timeout 60000" $db "CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES(1)"; done']
    run = Run(case, both, env={"WEIR_CONFIG": file}).start()
    run.end()
    for name in ("a", "b"):
        equal(restored_rows(case, case.replica(name).url), [1], f"rows of {name}")
    with open(other, "wb") as out:
        out.write(bytes(8) + b"DUCK" + bytes(9000))
    shutil.rmtree(other + "-weir")
    run = Run(case, ["touch", case.path("never")], env={"WEIR_CONFIG": file}).start().end(expect=USAGE)
    check("is a DuckDB file" in run.log() and not os.path.exists(case.path("never")), tail(run.log()))


def replicate_restores(case):
    """`weir replicate` restores and seeds, too, where it is told to; and leaves a missing database alone where not."""
    db, url = first_run(case)
    seed, seeded = case.path("seed.db"), case.path("seeded.db")
    case.run("sqlite3", seed, "CREATE TABLE t(x); INSERT INTO t VALUES(5)")
    daemon = Daemon(case, db, url, args=("--restore-if-missing",)).start()
    check("restored from the replica" in daemon.log(), tail(daemon.log()))
    equal(rows(db), [1, 2], "rows")
    daemon.stop()
    daemon = Daemon(case, seeded, case.replica("seeded").url, args=("--seed", seed)).start()
    equal(rows(seeded), [5], "rows")
    daemon.stop()
    wipe(case, db)
    daemon = Daemon(case, db, url).start(ready=False)
    wait_until(lambda: "waiting for the database" in daemon.log(), "it waits")
    daemon.stop()
    daemon = Daemon(case, db, url, args=("--seed", seed)).start(ready=False)
    daemon.wait_exit(expect=USAGE)
    check("has a history, so the seed is not used" in daemon.log(), tail(daemon.log()))


# --- a bucket ---------------------------------------------------------------------------------------------------------


class Container(http.server.BaseHTTPRequestHandler):
    """The endpoint from which a task of ECS gets its credentials."""

    def do_GET(self):  # pylint: disable=invalid-name
        """The document, for who has the token."""
        good = self.headers.get("Authorization") == "secret-token"
        body = json.dumps(self.server.document if good else {"message": "no"}).encode()
        self.server.asked += 1
        self.send_response(200 if good else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """Quiet."""


def task_role(case):
    """The main story with credentials from the container's endpoint and nothing else."""
    if case.options.store.kind == "file":
        raise Skip("needs --store s3")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Container)
    server.asked = 0
    server.document = {"AccessKeyId": os.environ["AWS_ACCESS_KEY_ID"], "SecretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"],
                       "Token": "", "Expiration": "2099-01-01T00:00:00Z", "RoleArn": "arn:aws:iam::1:role/task"}
    del server.document["Token"]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    db, url = case.path("app.db"), case.replica().url
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "WEIR_DB": db, "WEIR_REPLICA": url,
           "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.server_address[1]}/role",
           "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret-token"}
    try:
        for number in (1, 2):
            Run(case, sql(db, f"CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES({number})"), env=env).start().end()
            wipe(case, db)
    finally:
        server.shutdown()
        server.server_close()
    check(server.asked >= 2, f"the endpoint was asked {server.asked} times")
    equal(restored_rows(case, url), [1, 2], "rows")
    check(all(commit.txid for commit in log_of(case, url)), "commits")


def cases(_options):
    """All stories."""
    return [
        ("cold starts", cold_starts), ("idle starts", idle_starts), ("statuses", statuses), ("what the program inherits", inherits),
        ("every signal", every_signal), ("suspended", suspended), ("stubborn", stubborn), ("signals for a group", group_signals),
        ("orphans", orphans), ("first process", first_process), ("weir is killed", weir_killed), ("all are killed", all_killed),
        ("stopped in a restore", stopped_in_restore), ("stopped in a seed", terminated_early), ("seed file", seed_file),
        ("seed program", seed_program), ("bad seeds", bad_seeds), ("seed is killed", seed_killed),
        ("replica away, database missing", away_and_missing), ("replica away, database there", away_and_there),
        ("replica away at the end", away_at_the_end), ("two at once", two_at_once), ("two at one address", two_at_one_address), ("taken over", taken_over),
        ("a writer that never began", unbegun), ("environment only", environment_only), ("several databases", several),
        ("weir replicate", replicate_restores), ("task role", task_role),
    ]
