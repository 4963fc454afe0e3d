# SPDX-License-Identifier: Apache-2.0
"""oracle: every commit of a database, byte for byte.

Writers of three kinds do everything that SQLite allows, while readers, checkpointers and short-lived connections of other
processes get in each other's way.  A seed decides who writes what next; the state of the whole database is recorded at
every commit.  Then *every* txid of the replica is restored and compared with the record (lib/history.py says how).
"""

from lib import workers
from lib.daemon import Daemon, check_order, log_of, restore_all, restore_state
from lib.history import Recorder, compare, fingerprint_file
from lib.mix import Mix, execute
from lib.tap import Fail, check, diag, equal

PAGE_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
ACTORS = ("reader", "reader", "checkpointer", "opener")


def start_actors(case, db):
    """A random choice of the others on the same database."""
    actors = []
    for role in ACTORS:
        if case.rng.random() < 0.6:
            args = [] if role == "opener" else [case.rng.randrange(1 << 30)]
            actors.append(workers.start_actor(case, role, db, *args))
    return actors


def write_history(case, mix, recorder, team, commits):
    """Carry out steps until that many states are recorded."""
    tally = {}
    last = recorder.record("start")
    steps = 0

    def record(kind):
        nonlocal last
        last = recorder.record(kind)

    while len(recorder.states) < commits:
        step = mix.next(last.pages * last.page_size)
        done = execute(case.rng.choice(team), step, record)
        tally[step.kind] = tally.get(step.kind, 0) + 1
        if not done:
            tally["given up for a lock"] = tally.get("given up for a lock", 0) + 1
        steps += 1
        check(steps < 20 * commits, "the mix hardly commits anything")
    diag(", ".join(f"{count} {kind}" for kind, count in sorted(tally.items())))


def verify(case, db, url, recorder):
    """Restore all and compare with the record, and the tip with the file itself."""
    commits = log_of(case, url)
    check_order(commits)
    restore_all(case, url, commits)
    wrong = compare(recorder.states, commits)
    if wrong:
        raise Fail("\n".join(wrong + around(recorder, commits)))
    # Nobody has the database open now.  SQLite's own checkpoint of what is left makes the file that must equal the tip.
    case.run("sqlite3", db, "PRAGMA wal_checkpoint(TRUNCATE)")
    equal(restore_state(case, url).full, fingerprint_file(db).full, "tip of the replica and the source file")
    check("ok\n" == case.run("sqlite3", db, "PRAGMA integrity_check").stdout, "integrity_check of the source")
    own = len(commits) - len({c.state.masked for c in commits})
    diag(f"{len(recorder.states)} states recorded, {len(commits)} txids restored, about {own} of them weir's own")


def around(recorder, commits):
    """Both sequences, short, for a person who has to find out."""
    numbers = {}
    for number, state in enumerate(recorder.states):
        numbers.setdefault(state.full, number)
        numbers.setdefault(state.masked, number)
    lines = ["txid: record (~ means equal but for the change counter)"]
    for commit in commits:
        exact, near = numbers.get(commit.state.full), numbers.get(commit.state.masked)
        where = f"{exact} {recorder.states[exact].note}" if exact is not None else f"~{near}" if near is not None else "UNKNOWN"
        lines.append(f"  {commit.txid}{' resync' if commit.resync else ''}: {where} ({commit.state.pages} pages)")
    unknown = next((i for i, line in enumerate(lines) if "UNKNOWN" in line or "resync" in line), None)
    return lines if len(lines) < 60 else lines[:1] + lines[max(1, (unknown or len(lines)) - 20):(unknown or len(lines)) + 20]


def one(case, page_size, auto_vacuum, commits):
    """One seed."""
    db, url = case.path("app.db"), case.replica().url
    mix = Mix(case.rng, page_size, auto_vacuum)
    first = workers.Worker(case, db, "c")
    for line in mix.setup():
        first.sql(line)
    recorder = Recorder(db, keep_open=case.rng.random() < 0.5)
    recorder.record("before weir")
    daemon = Daemon(case, db, url).start()
    team = [first, workers.Worker(case, db, "python"), workers.Worker(case, db, "shell")]
    actors = start_actors(case, db)
    write_history(case, mix, recorder, team, commits)
    # Half of the time the daemon goes first, half of the time the applications do.
    leave = [lambda: [workers.stop_actor(a) for a in actors], lambda: [w.close() for w in team], recorder.close]
    if case.rng.random() < 0.5:
        daemon.sync()
        daemon.stop()
    for step in leave:
        step()
    if daemon.alive():
        daemon.stop()
    verify(case, db, url, recorder)


def cases(options):
    """One case per seed, going round the page sizes and kinds of auto_vacuum."""
    found = []
    for number in range(options.seeds or 8):
        page_size = PAGE_SIZES[(options.seed + number * 3) % len(PAGE_SIZES)]
        auto_vacuum = (options.seed + number) % 3
        commits = options.commits or 150

        def body(case, page_size=page_size, auto_vacuum=auto_vacuum, commits=commits):
            one(case, page_size, auto_vacuum, commits)
        found.append((f"oracle {number} page_size={page_size} auto_vacuum={auto_vacuum}", body))
    return found
