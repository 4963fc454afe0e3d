# SPDX-License-Identifier: Apache-2.0
"""What the stories share: a narrator, disks that come and go with their machines, and a shop made with Django.

A story is read in the output as well: what happens is told in lines that begin with `# ...`.
"""

import contextlib
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

from lib.case import PATIENCE, tail, wait_until
from lib.daemon import Daemon, restore
from lib.tap import Skip, check, diag, equal

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "docs" / "examples"
SHOP = pathlib.Path(__file__).resolve().parent.parent / "shop"


def tell(text):
    """The next sentence of the story."""
    diag(f"... {text}")


def disk(case, name):
    """An empty disk of a new machine."""
    shutil.rmtree(case.path(name), ignore_errors=True)
    os.mkdir(case.path(name))
    return case.path(name)


def look(path, sql):
    """All rows of a query, in a process of its own: closing a database here could drop somebody's locks."""
    done = subprocess.run(["sqlite3", "-readonly", "-json", "-cmd", ".timeout 30000", f"file:{path}?mode=ro", sql], stdout=subprocess.PIPE,
                          check=True)
    return [tuple(row.values()) for row in json.loads(done.stdout or b"[]")]


def sound(path):
    """SQLite finds nothing wrong with it."""
    equal(look(path, "PRAGMA integrity_check"), [("ok",)], f"integrity_check of {path}")


def looked_at(case, url, sql, *args):
    """A query on a state that is restored for it, somewhere else."""
    target = case.path("looked-at.db")
    restore(case, url, target, "--force", "--no-state", *args)
    with contextlib.closing(sqlite3.connect(f"file:{target}?immutable=1", uri=True)) as connection:
        return connection.execute(sql).fetchall()


class Container(Daemon):
    """`weir run -- PROGRAM` in an environment, as a container or a function has it: no file, no arguments."""

    def __init__(self, case, program, env, args=(), name="container"):
        usual = {"WEIR_SYNC_INTERVAL": "20ms", "WEIR_SHUTDOWN_TIMEOUT": f"{PATIENCE}s"}
        super().__init__(case, env["WEIR_DB"], env={**usual, **env}, name=name)
        self.argv = [case.options.weir, "run", *args, "--", *program]

    def start(self, ready=False):
        """Start it; whatever it prints is in the log."""
        return super().start(ready=ready)

    def wait_log(self, text):
        """Until the log has this; it may not end without."""
        wait_until(lambda: text in self.log() or not self.alive(), f"log: {text}")
        check(text in self.log(), lambda: f"{text!r} is not in the log, exit {self.exit_code()}\n{tail(self.log())}")
        return self

    def program_pid(self):
        """The process that it runs."""
        self.wait_log("the command has begun")
        return int(wait_until(lambda: re.findall(r"the command has begun.* pid=(\d+)\s", self.log()), "its line is whole")[-1])

    def kill_all(self):
        """SIGKILL of everything in it, in no particular order; what the machine does that goes away."""
        program = self.program_pid() if "the command has begun" in self.log() else None
        self.process.kill()
        if program:
            with contextlib.suppress(ProcessLookupError):  # SIGTERM, which the kernel sends when weir is gone, was faster
                os.killpg(program, signal.SIGKILL)
        self.kill()
        if program:
            with contextlib.suppress(ChildProcessError):  # ours, now that weir is gone; it may write until it is gone, too
                os.waitpid(program, 0)


@functools.lru_cache(maxsize=None)
def python_with_django():
    """The interpreter that has Django; Debian's, when this one is another."""
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python) and subprocess.run([python, "-c", "import django"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return python
    raise Skip("needs python3-django")


class Shop(Container):
    """A Django site in a container: see tests/integration/shop/."""

    def __init__(self, case, db, url, migration="0001", env=None, args=(), name="shop"):
        self.port_file = case.path(f"port-{case.daemon_count}")
        program = [python_with_django(), str(SHOP / "start.py"), migration, self.port_file]
        super().__init__(case, program, {"WEIR_DB": db, "WEIR_REPLICA": url, "SHOP_DB": db, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
                         args, name)

    def open(self):
        """Start it; returns when it serves."""
        self.start()
        wait_until(lambda: os.path.exists(self.port_file) or not self.alive(), "the shop serves")
        check(self.alive(), lambda: f"the shop ended with {self.exit_code()}\n{tail(self.log())}")
        return self

    def _ask(self, method, **query):
        with open(self.port_file, encoding="ascii") as file:
            where = f"http://127.0.0.1:{file.read()}/orders?{urllib.parse.urlencode(query)}"
        with OPENER.open(urllib.request.Request(where, method=method), timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def order(self, item, amount=1):
        """A customer orders; returns the number of the order."""
        return self._ask("POST", item=item, amount=amount)["id"]

    def orders(self):
        """(how many, their sum)."""
        answer = self._ask("GET")
        return answer["count"], answer["sum"] or 0


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Customers:
    """Somebody orders all the time, until the shop is gone; `last` is the last order that was confirmed."""

    def __init__(self, shop):
        self.shop, self.last, self.stopped = shop, 0, threading.Event()
        self.thread = threading.Thread(target=self._order, daemon=True)
        self.thread.start()

    def _order(self):
        while not self.stopped.is_set():
            try:
                self.last = self.shop.order("something")
            except (OSError, ValueError, http.client.HTTPException):
                return  # the shop is gone, as it may be at any moment, also in the midst of an answer

    def wait_for(self, number):
        """Until that order is confirmed."""
        wait_until(lambda: self.last >= number or not self.thread.is_alive(), f"order {number}")
        check(self.last >= number, lambda: f"the shop ended after order {self.last}\n{tail(self.shop.log())}")

    def end(self):
        """They stop."""
        self.stopped.set()
        self.thread.join(PATIENCE)
        check(not self.thread.is_alive(), "a customer still waits for an answer")
