# SPDX-License-Identifier: Apache-2.0
"""retention: what a policy promises is kept and restores, everything else goes, and nobody is in anybody's way.

The history is made by hand, weeks of it in a moment; then the real program prunes it, by command and as a daemon.
"""

import json
import os
import pathlib
import time

from lib.case import tail, wait_until
from lib.daemon import Daemon
from lib.tap import check, diag, equal

DAYS = 60
POLICY = ("--exact", "24h", "--daily", "7", "--weekly", "4", "--monthly", "2")


def old(case, name="replica", days=DAYS):
    """A replica of weeks, wherever this run keeps replicas."""
    made = case.path(f"{name}-made")
    case.run(case.options.program("old_history"), made, str(days))
    replica = case.replica(name)
    for path in sorted(pathlib.Path(made).rglob("*")):
        if path.is_file():
            replica.write(str(path.relative_to(made)), path.read_bytes())
    return replica


def prune(case, replica, *args, policy=POLICY, **options):
    """weir prune, and its answer."""
    shown = case.weir("prune", replica.url, *policy, "--json", *args, **options)
    return json.loads(shown.stdout) if shown.returncode == 0 else shown


def restore(case, replica, *args, expect=0):
    """What `weir restore --json` tells, or how it ended."""
    shown = case.weir("restore", replica.url, "-o", case.path("r.db"), "--force", "--json", *args, expect=expect)
    return json.loads(shown.stdout) if expect == 0 else shown


def verified(case, replica):
    """weir verify finds nothing wrong and nothing odd."""
    shown = case.weir("verify", replica.url, expect=None)
    equal(shown.returncode, 0, f"exit of weir verify\n{tail(shown.stdout)}{tail(shown.stderr)}")
    check("unexpected  " not in shown.stdout, f"weir verify:\n{tail(shown.stdout)}")


def checksums(case, replica):
    """State checksum by txid, of all that is in the log."""
    lines = case.weir("log", replica.url, "--json").stdout.splitlines()
    return {commit["txid"]: commit["checksum"] for commit in map(json.loads, lines)}


def command(case):
    """Dry run, prune, and what is left."""
    replica = old(case)
    before = checksums(case, replica)
    plan = prune(case, replica, "--dry-run")
    check(plan["dry_run"] and plan["deleted"] == 0, f"a dry run deleted {plan['deleted']}")
    objects = replica.list()
    check(all(one["key"] in objects for one in plan["objects"]), "a dry run changed something")
    done = prune(case, replica)
    equal(done["deleted"], len(plan["objects"]), "deleted as announced")
    check(done["deleted"] > 150, f"only {done['deleted']} objects went")
    left = replica.list()
    check(not any(one["key"] in left for one in done["objects"]), "something is still there")
    check(not [key for key in left if key.startswith("probe/")], "a scratch object was left")
    diag(f"{len(objects)} objects, {len(left)} left")
    check(len(left) < 60, f"{len(left)} objects are left")
    equal(prune(case, replica)["deleted"], 0, "a second prune")
    verified(case, replica)
    equal(sorted({point["why"] for point in done["promised"]}), ["day", "exact", "latest", "month", "week"], "promised")
    for point in done["promised"]:
        told = restore(case, replica, "--txid", str(point["txid"]))
        equal(told["checksum"], before[point["txid"]], f"state of txid {point['txid']}")
        check(told["warning"] is None, told["warning"])
    tip = max(before)
    for txid in range(tip - 4, tip + 1):
        equal(restore(case, replica, "--txid", str(txid))["checksum"], before[txid], f"state of txid {txid}")
    refused = restore(case, replica, "--txid", "30", expect=3)
    check("retention no longer keeps every commit of that time" in refused.stderr, refused.stderr)
    # By time: the newest that is kept, and that is told.
    told = restore(case, replica, "--timestamp", "2026-11-16T12:00:00Z")
    check("not every commit of that time was kept" in told["warning"], told["warning"])
    shown = case.weir("ls", replica.url).stdout
    check("pruned      txid 1 to " in shown, shown)
    check(min(checksums(case, replica)) > 200, "weir log shows what is left of the log")


def promised(case):
    """weir ls tells what is promised until when, as far as the configuration says what is to be kept."""
    replica = old(case)
    env = {"WEIR_RETENTION_EXACT": "24h", "WEIR_RETENTION_DAILY": "3"}
    shown = case.weir("ls", replica.url, env=env).stdout
    check("retention     exact 1 d" in shown, shown)
    equal(shown.count(", day until 2026-"), 3, f"days in {shown}")
    document = json.loads(case.weir("ls", replica.url, "--json", env=env).stdout)
    equal(len([point for point in document["promised"] if point["why"] == "day"]), 3, "days")
    check(json.loads(case.weir("ls", replica.url, "--json").stdout)["promised"] is None, "promised without a policy")


def refusals(case):
    """No policy, and one that promises nothing."""
    replica = old(case)
    objects = replica.list()
    shown = prune(case, replica, policy=(), expect=2)
    check("no retention is configured" in shown.stderr, shown.stderr)
    shown = prune(case, replica, policy=("--daily", "0"), expect=2)
    check("would delete the backup" in shown.stderr, shown.stderr)
    equal(replica.list(), objects, "objects")
    nothing = case.replica("nothing")
    shown = prune(case, nothing, expect=3)
    check("no replica" in shown.stderr, shown.stderr)


def last_verified(case):
    """The snapshot of the last trial restore stays, however old it is."""
    replica = old(case)
    db = case.path("app.db")
    file = case.path("weir.yml")
    with open(file, "w", encoding="utf-8") as out:
        out.write(f"databases:\n  - path: {db}\n    replica: {replica.url}\n    retention: {{exact: 24h}}\n")
    os.mkdir(db + "-weir", 0o700)
    case.weir("verify", db, "-c", file, "--deep", "--txid", "60", "--scratch", case.path())
    done = json.loads(case.weir("prune", db, "-c", file, "--json").stdout)
    kept = [point["txid"] for point in done["promised"] if point["why"] == "verified"]
    equal(len(kept), 1, "verified states")
    check(kept[0] <= 60, f"txid {kept[0]}")
    restore(case, replica, "--txid", str(kept[0]))
    verified(case, replica)


def daemon(case):
    """It prunes by itself, while it goes on replicating."""
    replica = old(case)
    db = case.path("app.db")
    case.weir("restore", replica.url, "-o", db)
    env = {"WEIR_RETENTION_EXACT": "24h", "WEIR_RETENTION_DAILY": "7", "WEIR_RETENTION_INTERVAL": "1s"}
    weir = Daemon(case, db, replica.url, env=env).start()
    case.run("sqlite3", db, "PRAGMA busy_timeout=60000; INSERT INTO t(v) VALUES ('after')")
    weir.sync()

    def pruned():
        retention = weir.status()["databases"][0]["retention"]
        return retention["deleted"] > 100
    wait_until(pruned, "the daemon prunes")
    status = weir.status()["databases"][0]["retention"]
    check(status["error"] is None, status["error"])
    check(status["kept_bytes"] > 0, "kept bytes")
    case.run("sqlite3", db, "PRAGMA busy_timeout=60000; INSERT INTO t(v) VALUES ('later')")
    weir.sync()
    weir.stop()
    verified(case, replica)
    restore(case, replica)
    rows = case.run("sqlite3", case.path("r.db"), "SELECT count(*) FROM t WHERE v IN ('after', 'later')").stdout
    equal(rows.strip(), "2", "rows of the newest state")
    # The next start finds its place in what is left.
    weir = Daemon(case, db, replica.url, env=env).start()
    weir.stop()


def hole(case):
    """A day whose last state needs the log, before one that does not: weir log says that commits are missing between them."""
    replica, db, noon = case.replica(), case.path("app.db"), (12 * 3600 - int(time.time())) % 86400 - 86400
    case.run("sqlite3", db, "PRAGMA journal_mode=wal; CREATE TABLE t(v)")
    last = []
    for day in range(-4, 1):
        weir = Daemon(case, db, replica.url, args=("--snapshot-interval", "0s", "--merge-interval", "0s", "--fold-count", "0"),
                      program=case.options.program("weir_fault"), env={"WEIR_FAULT_CLOCK": str(noon + day * 86400)},
                      name=f"day {day}").start()
        for number in range(3):
            case.run("sqlite3", db, f"PRAGMA busy_timeout=60000; INSERT INTO t VALUES('{day}.{number}')")
            weir.sync()
        if day in (-2, -1):
            case.weir("snapshot", db)
        last.append(weir.sync())
        weir.stop()
    # The newest commit says what day it is, so the exact part begins in the fourth day, and two whole ones lie behind.
    done = prune(case, replica, policy=("--exact", "24h", "--daily", "2"))
    kept = {point["txid"]: point["why"] for point in done["promised"]}
    equal([kept.get(txid) for txid in last[1:3]], ["day", "day"], f"promised: {done['promised']}")
    left = sorted(checksums(case, replica))
    check(last[1] in left and last[1] + 1 not in left, f"weir log has {left}")
    shown = case.weir("log", replica.url).stdout.splitlines()
    at = next(number for number, line in enumerate(shown) if line.split()[0] == str(last[1]))
    behind = min(txid for txid in left if txid > last[1])
    check(f"txid {last[1] + 1} to {behind - 1}" in shown[at + 1] and "retention" in shown[at + 1], "\n".join(shown))
    equal(shown[at + 2].split()[0], str(behind), "what comes behind the hole")


def cases(_options):
    """One case per story."""
    return [
        ("the command", command),
        ("what is promised", promised),
        ("refusals", refusals),
        ("the last verified one", last_verified),
        ("the daemon", daemon),
        ("a hole in the log", hole),
    ]
