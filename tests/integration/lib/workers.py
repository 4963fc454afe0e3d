# SPDX-License-Identifier: Apache-2.0
"""Applications under test: processes that hold a connection and execute SQL as they are told.

Three kinds that share one line protocol (that of the sqlite3 shell): Python's sqlite3 module, a C program on libsqlite3,
and the sqlite3 shell itself.
"""

import os
import pathlib
import select
import subprocess
import sys
import time

from lib.case import PATIENCE
from lib.tap import Fail, check

HERE = pathlib.Path(__file__).resolve().parent.parent
KINDS = ("c", "python", "shell")


class Worker:
    """One application process with one connection."""

    def __init__(self, case, db, kind="c", name=None, timeout_ms=1000 * PATIENCE, env=None):
        self.case, self.db, self.kind, self.timeout_ms = case, db, kind, timeout_ms
        self.env = dict(os.environ, **env) if env else None
        self.name = name or kind
        self.process, self.rest, self.tag = None, b"", 0
        self.open()

    def open(self):
        """Start the process."""
        argv = {"c": [self.case.options.program("writer"), "serve", self.db],
                "python": [sys.executable, str(HERE / "app.py"), "serve", self.db],
                "shell": ["sqlite3", "-batch", self.db]}[self.kind]
        self.process = self.case.spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       env=self.env)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = b""
        self.sql(f"PRAGMA busy_timeout={self.timeout_ms}")

    def send(self, sql):
        """Hand over SQL (one line) without waiting."""
        check("\n" not in sql, "SQL for a worker is one line")
        self.tag += 1
        try:
            self.process.stdin.write(f"{sql};\n.print @@{self.tag}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Fail(f"worker {self.name} is gone (exit {self.process.poll()}) at: {sql[:200]}") from None

    def receive(self, timeout=PATIENCE + 30):
        """Wait for what was sent.  Returns (output lines, error lines)."""
        end, mark = time.monotonic() + timeout, f"@@{self.tag}\n".encode()
        while mark not in self.rest:
            left = end - time.monotonic()
            if left <= 0:
                raise Fail(f"worker {self.name}: no answer within {timeout} s; so far {self.rest[-500:]!r}")
            if select.select([self.process.stdout], [], [], left)[0]:
                piece = self.process.stdout.read()
                if piece == b"":
                    raise Fail(f"worker {self.name} ended (exit {self.process.wait()}): {self.rest[-500:]!r}")
                self.rest += piece or b""
        text, self.rest = self.rest.split(mark, 1)
        lines = text.decode(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith(("error: ", "Error: ", "Runtime error", "Parse error"))]
        return [line for line in lines if line not in errors], errors

    def try_sql(self, sql, timeout=PATIENCE + 30):
        """Execute and return (output, errors)."""
        self.send(sql)
        return self.receive(timeout)

    def sql(self, sql, timeout=PATIENCE + 30):
        """Execute; an error fails the case.  Returns the output lines."""
        out, errors = self.try_sql(sql, timeout)
        check(not errors, lambda: f"worker {self.name}: {sql[:300]}: {'; '.join(errors)}")
        return out

    def close(self):
        """Close the connection in order and end."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise Fail(f"worker {self.name} does not end") from None
        self._gone()

    def reopen(self):
        """Close and open: a new process and a new connection."""
        self.close()
        self.open()

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._gone()

    def _gone(self):
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except OSError:
            pass  # a broken pipe: it was killed
        self.case.forget(self.process)


def start_actor(case, role, db, *args):
    """A process that runs on its own until its standard input is closed: see app.py and writer.c."""
    if role == "writer":
        argv = [case.options.program("writer"), "run", db]
    else:
        argv = [sys.executable, str(HERE / "app.py"), role, db]
    case.actor_count += 1
    out = open(case.path(f"actor-{case.actor_count}-{role}.out"), "xb")  # pylint: disable=consider-using-with
    process = case.spawn(argv + [str(a) for a in args], stdin=subprocess.PIPE, stdout=out, stderr=out)
    out.close()
    process.output = out.name
    return process


def stop_actor(process, timeout=PATIENCE + 30):
    """End an actor in order; it must agree that all went well."""
    process.stdin.close()
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise Fail(f"{process.args}: does not end within {timeout} s") from None
    text = pathlib.Path(process.output).read_text(errors="replace")
    check(code == 0, lambda: f"{process.args}: exit {code}\n{text[-2000:]}")
    return text


def acknowledged(process):
    """The highest sequence number that a writer said was committed."""
    with open(process.output, "rb") as file:
        file.seek(0, os.SEEK_END)
        size = file.tell()
        file.seek(max(0, size - 4096))
        lines = file.read().split(b"\n")[:-1]  # what stands behind the last newline is not complete
    last = 0
    for line in lines:
        if line.startswith(b"ack "):
            last = int(line[4:])
    return last
