# SPDX-License-Identifier: Apache-2.0
"""aged: histories that were folded, merged and pruned, commit by commit and byte for byte.

The daemon lives once a day, for days on end: its wall clock is moved (`weir_fault`, WEIR_FAULT_CLOCK), its thresholds are
tiny, and while writers of three kinds write, it folds, merges, takes snapshots and prunes.  The state of every commit is
recorded, and every txid is restored and compared while the log still has it.  In the end each commit that is promised
must give the same bytes once more, and each that is not must be refused as pruned.
"""

import datetime
import json
import os
import subprocess

from lib import workers
from lib.case import PATIENCE, tail, wait_until
from lib.daemon import Daemon, check_order, log_of, pruned_of, restore, restore_state
from lib.history import Recorder, compare, fingerprint_file
from lib.mix import Mix, execute
from lib.tap import check, diag, equal

DAYS, EXACT, DAILY = 9, 2, 4
DAY = datetime.timedelta(days=1)
DAMAGED, NO_BACKUP, FENCED = 4, 3, 5
KEEPS = {"WEIR_RETENTION_EXACT": f"{24 * EXACT}h", "WEIR_RETENTION_DAILY": str(DAILY), "WEIR_RETENTION_INTERVAL": "1s"}
TINY = ("--fold-count", "3", "--fold-delete-after", "60ms", "--merge-interval", "100ms", "--merge-long-interval", "400ms",
        "--merge-percent", "0", "--snapshot-interval", "3s")
PAGE_SIZES = (4096, 512, 1024, 65536)


def moment(text):
    """A time as weir prints it."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Life:
    """A database and its writers, alive once a day.  `commits` are those whose states are proven, by txid."""

    def __init__(self, case, name, replica, page_size):
        self.case, self.db, self.replica, self.url = case, case.path(f"{name}.db"), replica, replica.url
        self.mix, self.daemon, self.timeline, self.commits = Mix(case.rng, page_size, case.rng.randrange(3)), None, 1, {}
        self.pruned, self.first_lines, self.seen = 0, [], set()

    def create(self):
        """The file itself."""
        first = workers.Worker(self.case, self.db, "c")
        for line in self.mix.setup():
            first.sql(line)
        first.close()
        return self

    def follow(self, other, txid=None):
        """Go on from a state of another one's history: a restored copy, the next timeline."""
        restore(self.case, self.url, self.db, *(["--txid", str(txid)] if txid else []))
        self.mix.tables, self.mix.number = dict(other.mix.tables), other.mix.number + 1000
        if txid:  # which tables there were then is not known: it gets new ones
            self.mix.tables = {}
            names = self.case.run("sqlite3", self.db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 't[0-9]*' "
                                  "AND name NOT GLOB '*_*'").stdout.split()
            self.first_lines = [f"DROP TABLE {name}" for name in names]
            self.first_lines += [line for line in self.mix.setup() if line.startswith("CREATE")]
        self.timeline = other.timeline + 1
        self.commits = {t: c for t, c in other.commits.items() if txid is None or t <= txid}
        return self

    def start(self, day, fault=None, ready=True):
        """The daemon of this day; the last day is today."""
        env = dict(KEEPS, WEIR_FAULT_CLOCK=str((day - DAYS) * 86400), **({"WEIR_FAULT": fault} if fault else {}))
        self.daemon = Daemon(self.case, self.db, self.url, args=TINY, env=env, program=self.case.options.program("weir_fault"),
                             name=f"day {day}").start(ready=ready and fault is None)

    def work(self, team, recorder, commits):
        """So many recorded commits, by whoever's turn it is."""
        last = recorder.record("work")
        want = len(recorder.states) + commits
        for _ in range(30 * commits):
            if len(recorder.states) >= want:
                return

            def record(kind):
                nonlocal last
                last = recorder.record(kind)
            execute(self.case.rng.choice(team), self.mix.next(last.pages * last.page_size), record)
        # What the generator had in mind may not be possible behind a fork; no day stays idle.
        for number in range(30 * commits):
            if len(recorder.states) >= want:
                return
            team[0].try_sql("CREATE TABLE IF NOT EXISTS spare(n)" if number == 0 else f"INSERT INTO spare VALUES({number})")
            recorder.record("spare")
        check(len(recorder.states) >= want, f"{len(recorder.states) - want + commits} commits of {commits} in a day")

    def live(self, day, commits, crash=False):
        """A day; with `crash` it begins with a life that is killed at one of its changes on the disk."""
        team = [workers.Worker(self.case, self.db, kind) for kind in workers.KINDS]
        recorder = Recorder(self.db, keep_open=False)
        recorder.record("begin")
        if crash:
            self.start(day, f"kill:{self.case.rng.randrange(40, 3000)}")
            self.work(team, recorder, commits // 2)
            self.daemon.kill()
        self.start(day)
        for line in self.first_lines:
            team[0].sql(line)
            recorder.record(line)
        self.first_lines = []
        self.work(team, recorder, commits)
        self.daemon.sync()
        if day > EXACT + 1:
            self.prune(day, team, recorder)
        for worker in team:
            worker.close()
        recorder.close()
        self.daemon.sync()
        self.daemon.stop()
        check(" error " not in self.daemon.log(), lambda: f"an error on a good day\n{tail(self.daemon.log())}")
        self.seen.update(kinds(self), ["merge"] if "merge made" in self.daemon.log() else [])
        self.prove(recorder)

    def prune(self, day, team, recorder):
        """By the command, beside the daemon and while it is written to; or by the daemon itself."""
        if self.case.rng.random() < 0.3:
            self.wait_for_prune()
            return
        argv = [self.case.options.program("weir_fault"), "prune", self.url, "--exact", f"{24 * EXACT}h", "--daily", str(DAILY), "--json"]
        process = self.case.spawn(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=dict(os.environ, WEIR_FAULT_CLOCK=str((day - DAYS) * 86400)))
        self.work(team, recorder, 2)
        out, err = process.communicate(timeout=PATIENCE)
        self.case.forget(process)
        equal(process.returncode, 0, f"exit of weir prune\n{tail(err)}")
        self.pruned += json.loads(out)["deleted"]
        self.daemon.sync()

    def wait_for_prune(self):
        """It has pruned since it shipped all that."""
        before = self.daemon.status()["databases"][0]["retention"]

        def again():
            now = self.daemon.status()["databases"][0]["retention"]
            check(now["error"] is None, f"pruning: {now['error']}")
            return now["pruned_time"] not in (None, before["pruned_time"])
        wait_until(again, "the daemon prunes")
        self.pruned += self.daemon.status()["databases"][0]["retention"]["deleted"]

    def log(self):
        """What the log still has of this path's own timeline."""
        commits = [c for c in log_of(self.case, self.url) if c.timeline == self.timeline]
        check_order(commits, pruned_of(self.case, self.url))
        return commits

    def prove(self, recorder):
        """The new commits are the recorded states, byte for byte."""
        known = max(self.commits, default=0)
        fresh = [c for c in self.log() if c.txid > known]
        equal([c.txid for c in fresh], list(range(known + 1, known + 1 + len(fresh))), "new txids")
        for commit in fresh:
            commit.state = restore_state(self.case, self.url, commit.txid, commit.timeline)
        before = [self.commits[known]] if known and not (fresh and fresh[0].resync) else []
        wrong = compare(recorder.states, before + fresh, gaps=any(c.resync for c in fresh))
        check(not wrong, lambda: "\n".join(wrong))
        self.commits.update({c.txid: c for c in fresh})

    def now(self):
        """The time of the newest commit."""
        return moment(self.commits[max(self.commits)].time)


# --- what is left ------------------------------------------------------------------------------------------------------


def listing(case, url):
    """weir ls with the policy that the daemon had."""
    return json.loads(case.weir("ls", url, "--json", env=KEEPS).stdout)


def try_restore(case, url, txid, timeline):
    """(exit status, fingerprint or None, the answer, stderr)."""
    target = case.path("tried.db")
    if os.path.exists(target):
        os.unlink(target)
    shown = restore(case, url, target, "--txid", str(txid), "--timeline", str(timeline), "--json", "--no-state", expect=None)
    if shown.returncode != 0:
        check(not os.path.exists(target), f"a restore that failed (exit {shown.returncode}) left a file")
        return shown.returncode, None, None, shown.stderr
    return 0, fingerprint_file(target), json.loads(shown.stdout), shown.stderr


def exact_txids(life, now):
    """Commits that are not older than the exact part, on the path to this timeline."""
    return [t for t, c in life.commits.items() if moment(c.time) >= now - EXACT * DAY]


def days_of(life, now):
    """{day: txids} of the days wholly behind the exact part that the policy keeps."""
    edge = (now - EXACT * DAY).date()
    days = {}
    for txid, commit in life.commits.items():
        day = moment(commit.time).date()
        if edge - DAILY * DAY <= day < edge:
            days.setdefault(day, []).append(txid)
    return days


def same(life, txid, timeline, why):
    """This txid restores, to the bytes it had, and nothing had to be worked around."""
    code, state, told, stderr = try_restore(life.case, life.url, txid, timeline)
    check(code == 0, f"txid {txid} of timeline {timeline}, {why}: exit {code}\n{tail(stderr)}")
    equal(state.full, life.commits[txid].state.full, f"txid {txid} of timeline {timeline}, {why}")
    check(told["warning"] is None, f"txid {txid}, {why}: {told['warning']}")


def promised(life, now, *lives):
    """Everything that the policy promises restores to the same bytes; returns those txids.  `lives`: of all timelines."""
    found = {t: "not older than the exact part" for t in exact_txids(life, now)}
    for point in listing(life.case, life.url)["promised"]:
        there = (lives or (life,))[point["timeline"] - 1].commits.get(point["txid"])
        here = life.commits.get(point["txid"])
        if there and here and there.timeline == here.timeline:  # else it is another commit of that number
            found.setdefault(point["txid"], f"promised as {point['why']}")
    for txid, why in found.items():
        same(life, txid, life.timeline, why)
    for day, txids in days_of(life, now).items():
        check(any(t in found for t in txids), f"timeline {life.timeline}: nothing is left of {day}: txids {min(txids)} to {max(txids)}")
    return found


def refused(life, found):
    """What is not promised is there to the byte, or is refused as pruned, with the nearest that are kept.  Returns how much was."""
    gone = 0
    for txid, commit in life.commits.items():
        if txid in found or commit.timeline != life.timeline:
            continue
        code, state, _, stderr = try_restore(life.case, life.url, txid, life.timeline)
        if code == 0:
            equal(state.full, commit.state.full, f"txid {txid}, which nobody promised")
            continue
        equal(code, NO_BACKUP, f"exit of a restore of txid {txid}\n{stderr}")
        check("retention no longer keeps every commit of that time" in stderr, f"txid {txid}: {stderr}")
        gone += 1
    diag(f"timeline {life.timeline}: {len(life.commits)} commits, {len(found)} promised, {gone} pruned")
    return gone


def verified(case, life):
    """weir verify finds nothing wrong and nothing odd; nothing is left that a further prune would take."""
    shown = case.weir("verify", life.url, expect=None)
    equal(shown.returncode, 0, f"exit of weir verify\n{tail(shown.stdout)}{tail(shown.stderr)}")
    check("unexpected  " not in shown.stdout, f"weir verify:\n{tail(shown.stdout)}")


def kinds(life):
    """How many objects there are of each kind."""
    found = {}
    for key in life.replica.list():
        parts = key.split("/")
        kind = parts[2] if len(parts) > 3 else "documents"
        found[kind] = found.get(kind, 0) + 1
    return found


def aged(case, page_size, crashes=False):
    """A history of days in one timeline."""
    life = Life(case, "app", case.replica(), page_size).create()
    for day in range(1, DAYS + 1):
        life.live(day, case.options.commits or 12, crashes and case.rng.random() < 0.5)
    diag(f"{kinds(life)}, {life.pruned} deleted by retention")
    return life


def all_of_it(case, page_size, crashes):
    """The oracle, once more, over what is left after days of folding, merging and pruning."""
    life = aged(case, page_size, crashes)
    for kind in ("fold", "merge", "snap", "pruned"):
        check(kind in life.seen, f"the replica never had anything of kind {kind}: {life.seen}")
    gone = refused(life, promised(life, life.now()))
    check(gone >= 20, f"only {gone} commits are pruned")
    verified(case, life)


# --- damage ------------------------------------------------------------------------------------------------------------


def harm(case, data):
    """What becomes of an object; None: it is gone."""
    if case.rng.random() < 0.4 or not data:
        return None
    at = case.rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << case.rng.randrange(8))]) + data[at + 1:]


def damaged(case, page_size):
    """One object is gone or has a flipped bit: another way, or a clear refusal, never another state."""
    life = aged(case, page_size)
    now = life.now()
    txids = sorted(set(exact_txids(life, now)) | {p["txid"] for p in listing(case, life.url)["promised"]})
    tip, keys, tally = max(txids), sorted(life.replica.list()), {"fine": 0, "another way": 0, "refused": 0}
    # Without the newest of the log there is no tip; what else matters is left to chance.
    newest = max((key for key in keys if "/log/" in key or "/fold/" in key), key=lambda key: key.split("/")[-1])
    for number, key in enumerate([newest, *case.rng.sample(keys, len(keys))]):
        if number >= (60 if case.options.full else 24) and all(tally.values()):
            break
        data = life.replica.read(key)
        changed = harm(case, data)
        life.replica.delete(key)
        if changed is not None:
            life.replica.write(key, changed)
        for txid in {tip, *case.rng.sample(txids, 3)}:
            code, state, told, stderr = try_restore(case, life.url, txid, 1)
            what = f"txid {txid} with {key} {'gone' if changed is None else 'changed'}"
            if code == 0:
                equal(state.full, life.commits[txid].state.full, what)
                tally["another way" if told["warning"] else "fine"] += 1
                if told["warning"] and changed is not None:
                    check(key in told["warning"], f"{what}: the object is not named: {told['warning']}")
            else:
                check(code in (NO_BACKUP, DAMAGED), f"{what}: exit {code}\n{stderr}")
                check(changed is None or key in stderr or code == NO_BACKUP, f"{what}: the object is not named\n{stderr}")
                tally["refused"] += 1
        if changed is not None:
            life.replica.delete(key)
        life.replica.write(key, data)
    diag(f"{tally}")
    check(all(tally.values()), f"one of the outcomes never came: {tally}")
    promised(life, now)


# --- timelines ---------------------------------------------------------------------------------------------------------


def tree(case, url, timelines):
    """weir ls draws the timelines and where they come from."""
    shown = case.weir("ls", url).stdout
    for number in range(1, timelines + 1):
        check(f"timeline {number}" in shown, f"timeline {number} is not in\n{shown}")
    found = listing(case, url)["timelines"]
    equal([t["timeline"] for t in found], list(range(1, timelines + 1)), "timelines")
    return {t["timeline"]: t for t in found}


def forked(case):
    """Restored to an earlier point, and on from there, day after day: what each side promises stays, until its time is over."""
    commits = case.options.commits or 10
    old = Life(case, "old", case.replica(), 4096).create()
    for day in range(1, 5):
        old.live(day, commits)
    back = sorted(t for t, c in old.commits.items() if moment(c.time) <= old.now() - DAY)[-2]
    new = Life(case, "new", old.replica, 4096).follow(old, back)
    for day in range(5, DAYS + 1):
        new.live(day, commits)
        now = new.now()
        # Both sides, and what both stand on.
        for life in (old, new):
            promised(life, now, old, new)
        shared = [t for t in new.commits if t <= back and moment(new.commits[t].time) >= now - EXACT * DAY]
        for txid in shared:
            same(new, txid, 2, "before the fork, seen from the fork")
            same(old, txid, 1, "before the fork")
        verified(case, new)
        equal(tree(case, new.url, 2)[2].get("parent"), 1, "parent of timeline 2")
    check(any(t > back for t in old.commits), "the old timeline has no future that was left behind")
    gone = [refused(life, promised(life, new.now(), old, new)) for life in (old, new)]
    check(sum(gone) >= 5, f"only {gone} commits are pruned")
    old.start(DAYS, ready=False)
    old.daemon.wait_exit(expect=FENCED)


def taken_over(case):
    """A chain of writers, one every other day, each from the end of the one before."""
    lives, commits = [Life(case, "w1", case.replica(), 4096).create()], case.options.commits or 8
    for day in range(1, DAYS + 1):
        if day in (3, 5, 7):
            lives.append(Life(case, f"w{day}", lives[0].replica, 4096).follow(lives[-1]))
        lives[-1].live(day, commits, day == 6)
    now = lives[-1].now()
    for life in lives:
        promised(life, now, *lives)
    tree(case, lives[0].url, len(lives))
    verified(case, lives[-1])
    for txid in exact_txids(lives[-1], now):
        same(lives[-1], txid, lives[-1].timeline, "of the last writer")


def cases(options):
    """A seed each, round the page sizes."""
    found = []
    for number in range(options.seeds or 2):
        size = PAGE_SIZES[(options.seed + number) % len(PAGE_SIZES)]
        found.append((f"every commit {number} page_size={size}", lambda case, s=size, n=number: all_of_it(case, s, n % 2 == 1)))
    for number in range(options.seeds or 2):
        found.append((f"damage {number}", lambda case, n=number: damaged(case, PAGE_SIZES[n % 2])))
    return found + [("a fork", forked), ("a chain of takeovers", taken_over)]
