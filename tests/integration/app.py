# SPDX-License-Identifier: Apache-2.0
"""Applications in Python: `app.py ROLE DB [ARGUMENT ...]`, each a process of its own, ending when stdin is closed.

serve         execute SQL lines as the sqlite3 shell does (lib/workers.py)
py-writer     ID SEED: rows in sequence, each acknowledged as "ack N" after its COMMIT
shell-writer  ID: the same, with one sqlite3 shell process per commit, so connections open and close all the time
reader        SEED: read transactions of up to 0.3 s, now and then 2 s
checkpointer  SEED: checkpoints of every mode
opener        open, read, close
"""

import os
import random
import select
import sqlite3
import subprocess
import sys
import time


def connect(db, timeout=300.0):
    return sqlite3.connect(db, timeout=timeout, isolation_level=None)


def told_to_stop(wait=0.0):
    """True once stdin is closed; waits that long for it."""
    return bool(select.select([sys.stdin], [], [], wait)[0]) and os.read(0, 4096) == b""


def statements(line):
    """Split a line of SQL; the pieces stay in order and an error ends the line, as in the shell."""
    part = ""
    for piece in line.split(";"):
        part += piece + ";"
        if sqlite3.complete_statement(part):
            if part.strip("; \t\n"):
                yield part
            part = ""


def serve(db):
    connection = connect(db, 0)
    for line in sys.stdin:
        line = line.rstrip("\n")
        if line.startswith(".print "):
            print(line[7:], flush=True)
            continue
        try:
            for statement in statements(line):
                for row in connection.execute(statement):
                    print("|".join(map(str, row)))
        except sqlite3.Error as error:
            print(f"error: {error}")
    connection.close()


def py_writer(db, name, seed):
    rng, connection = random.Random(f"{seed}/{name}"), connect(db)
    connection.execute(f"PRAGMA wal_autocheckpoint={rng.choice((0, 20, 1000))}")
    number = connection.execute("SELECT ifnull(max(seq), 0) FROM journal WHERE writer = ?", (name,)).fetchone()[0]
    while not told_to_stop(rng.random() / 1000):
        connection.execute("BEGIN IMMEDIATE")
        rows = rng.choice((1, 1, 1, 2, 5, 60))
        for step in range(rows):
            connection.execute("INSERT INTO journal VALUES (?, ?, randomblob(?))",
                               (name, number + step + 1, rng.randrange(900)))
        if rng.random() < 0.1:
            connection.execute("ROLLBACK")
            continue
        connection.execute("COMMIT")
        number += rows
        os.write(1, b"ack %d\n" % number)
    connection.close()


def shell_writer(db, name):
    add = (f"PRAGMA busy_timeout=300000; INSERT INTO journal SELECT '{name}', ifnull(max(seq), 0) + 1, randomblob(200) "
           f"FROM journal WHERE writer = '{name}' RETURNING seq;")
    while not told_to_stop():
        done = subprocess.run(["sqlite3", "-batch", "-bail", db, add], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"sqlite3: exit {done.returncode}: {done.stderr}")
        os.write(1, b"ack %d\n" % int(done.stdout.split()[-1]))


def reader(db, seed):
    rng, connection = random.Random(seed), connect(db)
    while not told_to_stop():
        connection.execute("BEGIN")
        before = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        pause = 2 if rng.random() < 0.03 else rng.random() * 0.3
        if told_to_stop(pause):
            break
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() != before:
            sys.exit("a read transaction saw two states")
        connection.execute("COMMIT")
    connection.close()


def checkpointer(db, seed):
    rng = random.Random(seed)
    connection = connect(db, 0.05)
    while not told_to_stop(rng.random() * 0.1):
        mode = rng.choice(("PASSIVE", "PASSIVE", "FULL", "RESTART", "TRUNCATE"))
        try:
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
    connection.close()


def opener(db):
    while not told_to_stop(0.002):
        connection = connect(db)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        connection.close()
        time.sleep(0.002)


ROLES = {"serve": serve, "py-writer": py_writer, "shell-writer": shell_writer, "reader": reader,
         "checkpointer": checkpointer, "opener": opener}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
