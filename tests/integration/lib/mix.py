# SPDX-License-Identifier: Apache-2.0
"""A seeded stream of everything that an application may do to a SQLite database.

The generator keeps a model of the schema, so that every statement it makes is valid; a statement that fails for any
reason but a lock is a finding.  `next()` gives a Step: what it is, and the lines to execute in order on one connection.
"""

import dataclasses
import time

from lib.tap import check

LIMIT_BYTES = 3 << 20  # above this the mix shrinks, so that hundreds of full images can be taken and restored


@dataclasses.dataclass
class Table:
    """One table of the model.  Columns are (k, v) plus those added later."""
    kind: str  # rowid, norowid, fts
    indexes: list = dataclasses.field(default_factory=list)
    added: int = 0


@dataclasses.dataclass
class Step:
    """Lines of SQL, each executed by itself; the connection is handed back outside of any transaction."""
    kind: str
    lines: list
    pause: float = 0.0       # held open that long before the last line
    commit: object = None    # changes the model; called when all lines went through
    reopen: bool = False


class Mix:
    """See the module."""

    def __init__(self, rng, page_size, auto_vacuum):
        self.rng, self.page_size, self.auto_vacuum = rng, page_size, auto_vacuum
        self.tables, self.number = {}, 0
        self.weights = {
            self.small: 40, self.huge: 3, self.rollback: 6, self.savepoint: 7, self.create: 4, self.drop: 2, self.index: 5,
            self.alter: 3, self.vacuum: 1, self.incremental: 4, self.checkpoint: 9, self.blob: 4, self.shrink: 3,
            self.fts: 7, self.pragma: 3, self.autocheckpoint: 3, self.reopen: 5, self.hold: 4, self.nothing: 2,
            self.same: 3, self.sync: 2,
        }

    def setup(self):
        """What makes the database, before anybody watches."""
        first = Table("rowid"), Table("norowid"), Table("fts")
        lines = [f"PRAGMA page_size={self.page_size}", f"PRAGMA auto_vacuum={self.auto_vacuum}", "PRAGMA journal_mode=WAL"]
        for table in first:
            name = self._name()
            lines.append(self._create_sql(name, table.kind))
            self.tables[name] = table
        return lines

    def next(self, size_bytes):
        """The next step for a database of this size."""
        if size_bytes > max(LIMIT_BYTES, 100 * self.page_size):
            return self.shrink()
        while True:
            step = self.rng.choices(list(self.weights), list(self.weights.values()))[0]()
            if step:
                return step

    # --- pieces ------------------------------------------------------------------------------------------

    def _name(self):
        self.number += 1
        return f"t{self.number}"

    @staticmethod
    def _create_sql(name, kind):
        return {"rowid": f"CREATE TABLE {name}(id INTEGER PRIMARY KEY, k INTEGER, v BLOB)",
                "norowid": f"CREATE TABLE {name}(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID",
                "fts": f"CREATE VIRTUAL TABLE {name} USING fts5(v)"}[kind]

    def _pick(self, *kinds):
        names = [name for name, table in self.tables.items() if table.kind in (kinds or ("rowid", "norowid"))]
        return self.rng.choice(names) if names else None

    def _fill(self, name, rows, size):
        """INSERT of that many rows of about that many bytes."""
        count = f"WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < {rows})"
        kind = self.tables[name].kind
        if kind == "rowid":
            return f"INSERT INTO {name}(k, v) {count} SELECT abs(random() % 1000), randomblob({size}) FROM c"
        if kind == "norowid":
            return f"INSERT OR REPLACE INTO {name}(k, v) {count} SELECT hex(randomblob(6)), randomblob({min(size, 20000)}) FROM c"
        return f"INSERT INTO {name}(v) {count} SELECT hex(randomblob(3)) || ' word' || (i % 17) || ' ' || hex(randomblob(4)) FROM c"

    def _change(self):
        """One small statement."""
        name, r = self._pick(), self.rng
        if self.tables[name].kind == "rowid":
            at = r.randrange(1000)
            return r.choice((
                self._fill(name, r.choice((1, 1, 2, 5)), r.randrange(1, 900)),
                f"UPDATE {name} SET v = randomblob({r.randrange(1, 300)}) WHERE k BETWEEN {at} AND {at + r.randrange(1, 40)}",
                f"UPDATE {name} SET k = k + 1 WHERE id % 97 = {r.randrange(97)}",
                f"DELETE FROM {name} WHERE k BETWEEN {at} AND {at + r.randrange(1, 60)}"))
        return r.choice((
            self._fill(name, r.choice((1, 3)), r.randrange(1, 500)),
            f"UPDATE {name} SET v = randomblob({r.randrange(1, 300)}) WHERE substr(k, 1, 2) = '{r.randrange(256):02X}'",
            f"DELETE FROM {name} WHERE substr(k, 1, 1) = '{r.choice('0123456789ABCDEF')}'"))

    def _changes(self, least=1, most=4):
        return [self._change() for _ in range(self.rng.randrange(least, most + 1))]

    def _transaction(self, kind, body, end="COMMIT", **more):
        begin = self.rng.choice(("BEGIN IMMEDIATE", "BEGIN IMMEDIATE", "BEGIN", "BEGIN EXCLUSIVE"))
        return Step(kind, [begin, *body, end], **more)

    # --- steps -------------------------------------------------------------------------------------------

    def small(self):
        """One statement on its own, or a few in a transaction."""
        if self.rng.random() < 0.5:
            return Step("small", [self._change()])
        return self._transaction("small", self._changes())

    def huge(self):
        """More frames than the page cache holds: spilled before the commit, and past the limit at which weir resets."""
        total = min(1500 * self.page_size, LIMIT_BYTES) * self.rng.uniform(0.3, 1)
        size = self.rng.choice((100, 700, 3000))
        return self._transaction("huge", ["PRAGMA cache_size=10", self._fill(self._pick("rowid"), int(total / size), size)])

    def rollback(self):
        """A transaction given up, small or after frames of it were written to the log already."""
        body = self._changes()
        if self.rng.random() < 0.5:
            body = ["PRAGMA cache_size=10", self._fill(self._pick("rowid"), 300, 2 * self.page_size)] + body
            if self.page_size > 8192:
                body[1] = self._fill(self._pick("rowid"), 40, self.page_size)
        return self._transaction("rollback", body, "ROLLBACK")

    def savepoint(self):
        """Savepoints, released and rolled back, nested."""
        body = ["SAVEPOINT a", *self._changes(), "SAVEPOINT b", self._fill(self._pick("rowid"), 30, 600), "ROLLBACK TO b",
                *self._changes(), "RELEASE b", self.rng.choice(("RELEASE a", "ROLLBACK TO a")), *self._changes()]
        return self._transaction("savepoint", body)

    def create(self):
        """CREATE TABLE with some rows."""
        if len(self.tables) > (12 if self.page_size < 16384 else 6):
            return None
        name, table = self._name(), Table(self.rng.choice(("rowid", "rowid", "norowid", "fts")))
        self.tables[name] = table
        fill = self._fill(name, self.rng.randrange(1, 30), 300)
        del self.tables[name]
        return self._transaction("create", [self._create_sql(name, table.kind), fill],
                                 commit=lambda: self.tables.update({name: table}))

    def drop(self):
        """DROP TABLE; the three first kinds never die out."""
        name = self._pick("rowid", "norowid", "fts")
        if sum(table.kind == self.tables[name].kind for table in self.tables.values()) < 2:
            return None
        return Step("drop", [f"DROP TABLE {name}"], commit=lambda: self.tables.pop(name))

    def index(self):
        """CREATE INDEX, DROP INDEX, REINDEX."""
        name = self._pick("rowid")
        table = self.tables[name]
        if table.indexes and self.rng.random() < 0.6:
            index = self.rng.choice(table.indexes)
            if self.rng.random() < 0.4:
                # SQLite does not look for a newer schema before it says that it knows no such index.
                return Step("reindex", ["SELECT count(*) FROM sqlite_schema", f"REINDEX {index}"])
            return Step("drop index", [f"DROP INDEX {index}"], commit=lambda: table.indexes.remove(index))
        index = "i" + self._name()
        return Step("create index", [f"CREATE INDEX {index} ON {name}({self.rng.choice(('k', 'v', 'k, v'))})"],
                    commit=lambda: table.indexes.append(index))

    def alter(self):
        """ALTER TABLE: a column more, or another name."""
        name = self._pick("rowid")
        table = self.tables[name]
        if self.rng.random() < 0.5 and table.added < 5:
            def grown():
                table.added += 1
            return Step("add column", [f"ALTER TABLE {name} ADD COLUMN x{table.added} DEFAULT 'none'"], commit=grown)
        new = self._name()
        def renamed():
            self.tables[new] = self.tables.pop(name)
        return Step("rename", [f"ALTER TABLE {name} RENAME TO {new}"], commit=renamed)

    def vacuum(self):
        """VACUUM: every page is another one afterwards."""
        return Step("vacuum", ["VACUUM"])

    def incremental(self):
        """incremental_vacuum: the end of the file is cut off."""
        if self.auto_vacuum != 2:
            return None
        return Step("incremental vacuum", [f"PRAGMA incremental_vacuum({self.rng.choice((1, 5, 50, 0))})"])

    def checkpoint(self):
        """A checkpoint from the application, any mode, with little patience."""
        mode = self.rng.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
        return Step(f"checkpoint {mode}", ["PRAGMA busy_timeout=50", f"PRAGMA wal_checkpoint({mode})", "PRAGMA busy_timeout=300000"])

    def blob(self):
        """One large value: overflow pages in a row."""
        size = self.rng.choice((20000, 150000, 600000))
        value = self.rng.choice(("randomblob", "zeroblob"))
        return Step("blob", [f"INSERT INTO {self._pick('rowid')}(k, v) VALUES (7, {value}({size}))"])

    def shrink(self):
        """Delete most of everything; with auto_vacuum the file shrinks at once."""
        body = [f"DELETE FROM {name} WHERE {'rowid % 3' if table.kind == 'fts' else 'abs(random() % 10) > 0'}"
                for name, table in self.tables.items()]
        step = self._transaction("shrink", body)
        if self.auto_vacuum == 2:
            step.lines.append("PRAGMA incremental_vacuum")
        elif self.auto_vacuum == 0:
            step.lines.append("VACUUM")
        return step

    def fts(self):
        """FTS5: rows, deletions, merges of its own trees."""
        name = self._pick("fts")
        return Step("fts", [self.rng.choice((
            self._fill(name, self.rng.randrange(1, 40), 0), f"DELETE FROM {name} WHERE rowid % 7 = {self.rng.randrange(7)}",
            f"INSERT INTO {name}({name}) VALUES ('optimize')", f"INSERT INTO {name}({name}, rank) VALUES ('merge', 8)"))])

    def pragma(self):
        """Commits that change nothing but the header, as weir's own do."""
        return Step("pragma", [f"PRAGMA {self.rng.choice(('user_version', 'application_id'))}={self.rng.randrange(4)}"])

    def autocheckpoint(self):
        """The connection's own automatic checkpoint."""
        return Step("autocheckpoint", [f"PRAGMA wal_autocheckpoint={self.rng.choice((0, 20, 1000))}"])

    def sync(self):
        """How careful the connection is."""
        return Step("synchronous", [f"PRAGMA synchronous={self.rng.choice(('OFF', 'NORMAL', 'FULL', 'EXTRA'))}"])

    def reopen(self):
        """Close the connection, open another."""
        return Step("reopen", [], reopen=True)

    def hold(self):
        """A transaction that stays open for a while with half of its frames in the log."""
        body = ["PRAGMA cache_size=10", self._fill(self._pick("rowid"), 60, self.page_size), *self._changes()]
        return self._transaction("hold", body, self.rng.choice(("COMMIT", "COMMIT", "ROLLBACK")), pause=self.rng.uniform(0.02, 0.3))

    def nothing(self):
        """A transaction without a change."""
        return self._transaction("nothing", ["SELECT count(*) FROM sqlite_schema"])

    def same(self):
        """Pages written with the bytes that they have already."""
        return Step("same", [f"UPDATE {self._pick('rowid')} SET k = k WHERE id % 5 = 0"])


def execute(worker, step, record):
    """Carry a step out and record each state that it makes.  Returns True when it went through; a lock is the only
    failure that is accepted."""
    if step.reopen:
        worker.reopen()
        return True
    failed = []
    inside = False
    for number, line in enumerate(step.lines):
        if step.pause and number == len(step.lines) - 1:
            time.sleep(step.pause)
        _, errors = worker.try_sql(line)
        check(all("locked" in error or "busy" in error for error in errors), lambda: f"{worker.name}: {line[:300]}: {errors}")
        failed += errors
        inside = (inside or line.startswith("BEGIN")) and line not in ("COMMIT", "ROLLBACK")
        if not inside:
            record(step.kind)
        if errors and inside:
            break
    if failed and inside:
        worker.try_sql("ROLLBACK")
        record(step.kind + " given up")
    if not failed and step.commit:
        step.commit()
    return not failed
