# SPDX-License-Identifier: Apache-2.0
"""The exact state of a database at every commit, and the comparison with what weir restores.

A state is the SHA-256 of the *logical image*: every page as SQLite itself sees it inside one read transaction
(sqlite3_serialize() reads them through the pager, so frames of the log count and nothing depends on checkpoints).

weir makes commits of its own now and then: it writes page 1 back unchanged in order to reset the log.  SQLite then
raises the change counter (bytes 24 to 27) and version-valid-for (bytes 92 to 95), and nothing else.  So each state has a
second, *masked* hash with those eight bytes as zero.  Two commits of the same masked hash in a row form a group.
"""

import dataclasses
import hashlib
import sqlite3

from lib.case import PATIENCE

LOCK_BYTE = 1 << 30
ZERO4 = bytes(4)


@dataclasses.dataclass(frozen=True)
class State:
    """Fingerprint of a whole database."""
    full: str
    masked: str
    pages: int
    page_size: int
    note: str = ""

    def __str__(self):
        return f"{self.full[:12]} ({self.pages} pages of {self.page_size}{', ' + self.note if self.note else ''})"


@dataclasses.dataclass
class Commit:
    """One line of `weir log --json`, and the state that its restore gave."""
    txid: int
    time: object
    pages: int
    timeline: int
    resync: bool
    raw: dict
    state: State = None
    pages_is_size: bool = False

    @classmethod
    def from_json(cls, line):
        """Take the documented fields out of one line."""
        return cls(txid=line["txid"], time=line["time"], pages=line["pages"], timeline=line.get("timeline"),
                   resync="resync" in str(line.get("flags", "")) or "snapshot" in str(line.get("flags", "")), raw=line)


def fingerprint(data, note=""):
    """The state of a database image in memory."""
    if not data:
        return State("empty", "empty", 0, 0, note)
    page_size = int.from_bytes(data[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    view = memoryview(data)
    parts = [view]
    if len(data) > LOCK_BYTE:  # nothing is ever stored in the page that holds the lock bytes
        parts = [view[:LOCK_BYTE], memoryview(bytes(page_size)), view[LOCK_BYTE + page_size:]]
    rest = [parts[0][96:]] + parts[1:]
    full, masked = hashlib.sha256(), hashlib.sha256()
    full.update(parts[0][:96])
    for piece in (view[:24], ZERO4, view[28:92], ZERO4):
        masked.update(piece)
    for piece in rest:
        full.update(piece)
        masked.update(piece)
    return State(full.hexdigest(), masked.hexdigest(), len(data) // page_size, page_size, note)


def fingerprint_file(path):
    """The state of a closed database file.  Never call it for a database that this process has open: closing the file
    would drop SQLite's locks."""
    with open(path, "rb") as file:
        return fingerprint(file.read())


class Recorder:
    """Takes the state of a live database after every commit.  The caller sees to it that nobody commits meanwhile."""

    def __init__(self, db, keep_open=True):
        self.db, self.keep_open, self.connection = db, keep_open, None
        self.states = []

    def take(self, note=""):
        """The state right now, from one read transaction."""
        connection = self.connection or sqlite3.connect(self.db, timeout=PATIENCE, isolation_level=None)
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            image = connection.serialize()
            connection.execute("COMMIT")
        finally:
            if self.keep_open:
                self.connection = connection
            else:
                connection.close()
        return fingerprint(image, note)

    def record(self, note=""):
        """Add the present state to the record if it is a new one.  Returns it."""
        state = self.take(note)
        if not self.states or self.states[-1].full != state.full:
            self.states.append(state)
        return state

    def close(self):
        """Close the connection."""
        if self.connection:
            self.connection.close()
            self.connection = None


def _groups(states):
    groups = []
    for position, state in enumerate(states):
        if groups and groups[-1][0] == state.masked:
            groups[-1][1].append(position)
        else:
            groups.append((state.masked, [position]))
    return groups


def _in_order(wanted, offered):
    """The first of `wanted` that is not in `offered` in this order, or None."""
    rest = iter(offered)
    for item in wanted:
        if item not in rest:  # consumes the iterator up to the hit
            return item
    return None


def _resynced_at(recorded, want, start, state):
    """The group that a resync arrived at: the first with exactly this state, else the first that differs from it in the
    counter only."""
    later = range(start, len(want))
    exact = (k for k in later if any(recorded[p].full == state.full for p in want[k][1]))
    near = (k for k in later if want[k][0] == state.masked)
    return next(exact, next(near, None))


def _name(commit):
    return f"txid {commit.txid}{' (resync)' if commit.resync else ''}: {commit.state}"


def compare(recorded, commits, gaps=False):
    """Compare the record with the restored commits.  Returns a list of complaints; an empty one is the proof.

    Without gaps: the groups of both must be the same, one for one, and within each group every recorded state must be
    there byte for byte, in order.  With gaps (the daemon was away): a commit that is marked as resync may skip recorded
    states, nothing else may.
    """
    want, have = _groups(recorded), _groups([c.state for c in commits])
    known = {state.full: number for number, state in enumerate(recorded)}
    at = -1
    for masked, positions in have:
        first = commits[positions[0]]
        if gaps and first.resync:
            ahead = _resynced_at(recorded, want, max(at, 0), first.state)
            if ahead is None:
                return [f"{_name(first)} is no recorded state at or after record {max(at, 0)}"]
            at = ahead
        elif at + 1 < len(want) and want[at + 1][0] == masked:
            at += 1
        else:
            seen = known.get(first.state.full)
            expected = recorded[want[at + 1][1][0]] if at + 1 < len(want) else "nothing more"
            return [f"{_name(first)} differs from its predecessor in more than the change counter and is not the next record",
                    f"expected record {at + 1} of {len(want)}: {expected}",
                    f"it {'is record ' + str(seen) + ' of ' + str(len(recorded)) if seen is not None else 'was never seen in the source'}"]
        # The very first state was looked at before weir came, which may begin with a commit of its own.
        exact = [recorded[p].full for p in want[at][1] if p > 0]
        lost = None if gaps else _in_order(exact, [commits[p].state.full for p in positions])
        if lost:
            return [f"record {known[lost]}: {recorded[known[lost]]} is not among txids "
                    f"{commits[positions[0]].txid}..{commits[positions[-1]].txid}, which differ from it in the change counter"]
    if at != len(want) - 1:
        return [f"the history ends with {_name(commits[-1]) if commits else 'nothing'}, "
                f"but {len(want) - 1 - at} later states were recorded, the first: {recorded[want[at + 1][1][0]]}"]
    if commits and commits[-1].state.full != recorded[-1].full:
        # Only the counter can differ here: weir reset the log after the last look.  The caller knows the final state.
        return [] if commits[-1].state.masked == recorded[-1].masked else ["the last state differs"]
    return []
