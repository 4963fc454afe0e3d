# SPDX-License-Identifier: Apache-2.0
"""big: databases that grow past the page of the lock bytes at 1 GiB and shrink again, by one transaction that is larger
than every buffer of weir.

The rows are zeros for the most part, which costs time in neither compressor nor disk but makes every page go the whole
way; what lies around and behind the lock page is random.  Source and restored file are compared byte for byte.
"""

import os
import shutil

from lib.daemon import Daemon, restore
from lib.history import LOCK_BYTE
from lib.tap import Skip, check, diag, equal
from lib.workers import Worker

ROW = 1_000_000
ROWS = 1100  # of them past 1 GiB: some thirty
SPACE = 6 << 30  # database, log, restored file and what the replica needs
MEMORY = 256 << 20
PIECE = 16 << 20


def fill(first, last, value):
    """SQL for rows in one transaction."""
    return (f"WITH RECURSIVE c(i) AS (VALUES ({first}) UNION ALL SELECT i + 1 FROM c WHERE i < {last}) "
            f"INSERT INTO t(id, v) SELECT i, {value} FROM c")


def difference(left, right, page_size):
    """Where two files differ first, the lock page aside, or None."""
    with open(left, "rb") as one, open(right, "rb") as two:
        at = 0
        while True:
            if at == LOCK_BYTE:  # SQLite keeps nothing in this page
                one.seek(at + page_size)
                two.seek(at + page_size)
                at += page_size
            room = min(PIECE, LOCK_BYTE - at) if at < LOCK_BYTE else PIECE
            mine, theirs = one.read(room), two.read(room)
            if mine != theirs:
                return at + next((i for i, pair in enumerate(zip(mine, theirs)) if pair[0] != pair[1]), min(len(mine), len(theirs)))
            if not mine:
                return None
            at += len(mine)


def peak_memory(pid):
    """The largest RSS that a process ever had, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) << 10


class Big:
    """A source, its daemon, and the looks at both."""

    def __init__(self, case, page_size):
        self.case, self.page_size, self.db, self.replica = case, page_size, case.path("big.db"), case.replica()
        self.app = Worker(case, self.db)
        self.app.sql(f"PRAGMA page_size={page_size}; PRAGMA auto_vacuum=FULL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
                     "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
        self.daemon = Daemon(case, self.db, self.replica.url)

    def settle(self):
        """The daemon ships all and ends, the log goes into the file: returns (txid, size of the file)."""
        txid = self.daemon.sync()
        memory = peak_memory(self.daemon.pid)
        check(memory < MEMORY, f"the daemon took {memory >> 20} MiB of memory")
        diag(f"txid {txid}: the daemon took {memory >> 20} MiB of memory at most")
        self.daemon.stop()
        self.app.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return txid, os.path.getsize(self.db)

    def check_tip(self):
        """The newest state is the source."""
        target = self.case.path("restored.db")
        restore(self.case, self.replica.url, target, "--verify", "state")
        at = difference(self.db, target, self.page_size)
        check(at is None, f"source and restored file differ at byte {at}")
        os.unlink(target)
        shutil.rmtree(target + "-weir")


def one(case, page_size):
    """Grow, shrink, grow again."""
    if shutil.disk_usage(case.dir).free < SPACE:
        raise Skip(f"less than {SPACE >> 30} GiB free")
    big = Big(case, page_size)
    big.daemon.start()
    big.app.sql("BEGIN; " + fill(1, 1060, f"zeroblob({ROW})") + "; " + fill(1061, ROWS, f"randomblob({ROW})") + "; COMMIT")
    big.app.sql("UPDATE t SET v = randomblob(5000) WHERE id = 1099")
    _, size = big.settle()
    check(size > LOCK_BYTE + 2 * page_size, f"the database has only {size} bytes")
    big.check_tip()
    big.daemon.start()
    big.app.sql("DELETE FROM t WHERE id > 20")
    _, small = big.settle()
    check(small < size // 10, f"the database did not shrink: {small} bytes")
    big.check_tip()
    big.daemon.start()
    big.app.sql("BEGIN; " + fill(21, 1080, f"zeroblob({ROW})") + "; COMMIT")
    txid, again = big.settle()
    check(again > LOCK_BYTE, f"the database has only {again} bytes")
    big.check_tip()
    target = case.path("checked.db")
    restore(case, big.replica.url, target, "--txid", txid, "--verify", "full")
    equal(os.path.getsize(target), again, "size of the restored file")
    big.app.close()


def cases(options):
    """Pages of 65,536 bytes are quick; all sizes with --full."""
    sizes = (65536, 4096, 1024) if options.full else (65536,)
    return [(f"past 1 GiB and back with pages of {size}", lambda case, n=size: one(case, n)) for size in sizes]
