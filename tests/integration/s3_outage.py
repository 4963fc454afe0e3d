# SPDX-License-Identifier: Apache-2.0
"""s3_outage: an S3 server that is away, silent, busy, slow, unwilling, or all of that in turn.

Whatever the way: the application goes on, memory and log stay small, segments go to the spool, status says so, nothing is lost,
and everything heals by itself.  The stories of `outage` (kill, damage, gap) run over S3 as well, with `--store s3`; here are
those that only a network has.
"""

import concurrent.futures
import os
import time

from http_api import at_socket
from lib.case import PATIENCE, tail, wait_until
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal
from outage import SMALL_LOG, spooled_files, status_of, write_until_spooled
from servers import faults
from servers.tunnel import HttpProxy

LOG_BOUND = 8 << 20      # of a log that is started over at 100 kB; the rest is what one look's delay may add
RSS_BOUND = 60 << 20     # that an outage may add to the daemon's memory
MUCH, MUCH_FULL = 48, 400  # MB that are committed during a long outage
UNSPOOLED = 12           # MB of these that may be in the log and in memory
SPOOL = ("--log-limit", "4MB", "--spool-limit", "1GiB")


class Away:
    """The server is away in some way, from begin() to end()."""

    def __init__(self, proxy, fault=None, **match):
        self.proxy, self.fault, self.match = proxy, fault, match

    def begin(self):
        """From here on."""
        if self.fault is None:
            self.proxy.refuse()
            self.proxy.drop()
        else:
            self.proxy.add(self.fault, times=None, **self.match)

    def end(self):
        """Up to here."""
        if self.fault is None:
            self.proxy.accept()
        self.proxy.clear()


SILENT = ("black hole", "slow")
IMPATIENT = "&stall-timeout=1s"

# name: (fault or None for refused connections, what it is for, a word of the error; None: slow is no error)
WAYS = {
    "refused": (None, {}, "onnect"),
    "black hole": (faults.BlackHole(), {}, "slow"),
    "slow down": (faults.slow_down(1), {}, "SlowDown"),
    "429": (faults.Answer(429), {}, "429"),
    "denied": (faults.denied(), {}, "AccessDenied"),
    "slow": (faults.Trickle(500, 0.1, upload=True), {"kind": "PUT"}, None),
}


def away(case, name):
    """(scene that replicates, Away).  Where silence is the subject its daemon gives up soon."""
    if case.options.store.kind == "file":
        raise Skip("a network that fails: --store s3")
    scene = Scene(case, replica=case.proxied_replica())
    if name in SILENT:
        scene.url += IMPATIENT
    fault, match, _ = WAYS[name]
    return scene, Away(case.proxy, fault, **match)


def judge(scene, gaps=False):
    """Every commit is there; looked at with patience, for on a busy machine a server may well be silent for a second."""
    scene.url = scene.replica.url
    commits = scene.verify(gaps=gaps)
    scene.verify_tip()
    return commits


def spooled(case, name):
    """The story of an outage that outlasts the log's limit."""
    scene, outage = away(case, name)
    scene.start(*SMALL_LOG)
    scene.commit(3)
    scene.sync()
    outage.begin()
    write_until_spooled(scene)
    wait_until(lambda: status_of(scene)["state"] == "spooling", "the state 'spooling'")
    word = WAYS[name][2]
    wait_until(lambda: word is None or word in str(status_of(scene)["error"]), f"{word} in the error")
    scene.commit(30, size=3000)
    check(os.path.getsize(scene.db + "-wal") < LOG_BOUND, "the log was not started over")
    outage.end()
    scene.sync()
    wait_until(lambda: status_of(scene)["state"] == "replicating" and not spooled_files(scene), "all to be well")
    equal((status_of(scene)["gap"], status_of(scene)["error"]), (None, None), "gap and error")
    scene.end()
    check(len(scene.daemon.log().splitlines()) < 200, f"the log of the daemon is not bounded\n{tail(scene.daemon.log())}")
    judge(scene)


def memory_of(pid):
    """Resident bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS:"))


def much_data(case, name):
    """Much is committed during the outage: memory and log stay bounded, then and while it is shipped."""
    scene, outage = away(case, name)
    scene.start(*SPOOL)
    scene.commit(3, size=200000)
    scene.sync()
    before, top = memory_of(scene.daemon.pid), 0
    outage.begin()
    megabytes = MUCH_FULL if case.options.full else MUCH
    scene.app.sql("PRAGMA wal_autocheckpoint=1000")
    for number in range(megabytes):
        scene.app.sql("INSERT INTO t(k, v) VALUES (0, randomblob(1000000))")
        top = max(top, memory_of(scene.daemon.pid))
        if number % 4 == 3:  # the log has a bound as long as the daemon reads: one that stands still is waited for
            wait_until(lambda n=number: status_of(scene)["spool"]["bytes"] > (n - UNSPOOLED) * 1000000, "the spool to follow the log")
    scene.recorder.record("much")
    wait_until(lambda: status_of(scene)["spool"]["bytes"] > (megabytes // 2) * 1000000, "most of it to be in the spool")
    log = os.path.getsize(scene.db + "-wal")
    check(log < (megabytes << 20) // 2, f"the log has {log} bytes")
    equal(status_of(scene)["gap"], None, "gap")
    outage.end()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        shipped = pool.submit(scene.sync)
        while not shipped.done():
            top = max(top, memory_of(scene.daemon.pid))
            time.sleep(0.05)
        shipped.result()
    wait_until(lambda: not spooled_files(scene), "an empty spool")
    diag(f"resident: {before >> 20} MiB before, at most {top >> 20} MiB; log {log >> 20} MiB")
    check(top - before < RSS_BOUND, f"memory went from {before} to {top} bytes")
    equal(status_of(scene)["gap"], None, "gap")
    scene.end()
    equal(len(scene.log()) >= megabytes, True, "each commit is one")
    scene.verify_tip()


def flapping(case):
    """Every few commits another thing is wrong, or nothing."""
    scene, _ = away(case, "refused")
    scene.start(*SMALL_LOG)
    ways = list(WAYS) + ["nothing"] * 2
    for round_ in range(24 if case.options.full else 10):
        name = case.rng.choice(ways)
        scene.commit(3, size=2000)
        if name == "nothing":
            scene.sync()
            continue
        fault, match, _ = WAYS[name]
        outage = Away(case.proxy, fault, **match)
        outage.begin()
        scene.commit(case.rng.randint(1, 12), size=3000)
        time.sleep(case.rng.random() / 2)  # outages of any length
        outage.end()
        diag(f"round {round_}: {name}")
    scene.end()
    equal(spooled_files(scene), [], "files in the spool")
    judge(scene)


def gap(case, name):
    """Log and spool are full: the gap is named, and exact history goes on behind it."""
    scene, outage = away(case, name)
    scene.start(*SMALL_LOG, "--spool-limit", "20kB")
    scene.commit(3)
    scene.sync()
    outage.begin()
    for _ in range(400):
        scene.commit(5, size=3000)
        if status_of(scene)["state"] == "gap":
            break
    check(status_of(scene)["state"] == "gap", f"no gap: {status_of(scene)}\n{tail(scene.daemon.log())}")
    scene.commit(5)
    outage.end()
    wait_until(lambda: status_of(scene)["state"] == "replicating", "replication to go on")
    named = status_of(scene)["gap"]
    check(named and named["txid"] == named["after_txid"] + 1, f"gap is {named}")
    scene.commit(3)
    scene.end()
    commits = judge(scene, gaps=True)
    equal([c.txid for c in commits if c.resync][-1:], [named["txid"]], "txid of the resync")
    check(str(named["txid"]) in case.weir("ls", scene.url, "--gaps").stdout, "weir ls --gaps does not name it")


def start_while_away(case, name):
    """A daemon that starts while the server is away holds the log, is not green, and goes on exactly when it is back."""
    scene, outage = away(case, name)
    scene.start()
    scene.commit(3)
    scene.sync()
    scene.stop()
    scene.commit(2)
    outage.begin()
    scene.start(ready=False)
    scene.commit(5)
    wait_until(lambda: "the replica does not answer" in scene.daemon.log(), f"the daemon to say so: {tail(scene.daemon.log())}")
    check(case.weir("status", scene.db, expect=None).returncode == 1, "the status is green")
    scene.commit(5)
    outage.end()
    scene.daemon.wait_ready()
    scene.end()
    judge(scene)


def end_while_away(case, name):
    """SIGTERM while the server is away: over after the time that was allowed, not 0; the next run ships what was left."""
    scene, outage = away(case, name)
    scene.start(*SMALL_LOG, "--shutdown-timeout", "1s")
    scene.commit(3)
    scene.sync()
    outage.begin()
    scene.commit(5)
    scene.stop(expect=1)
    scene.commit(2)
    outage.end()
    scene.start()
    scene.end()
    judge(scene)


def end_while_silent(case, during):
    """SIGTERM while a request waits for an answer that never comes: the time that is allowed counts, not how long a transfer
    may stand still.  Exit 1: not everything was shipped."""
    scene, _ = away(case, "black hole")
    scene.url = scene.url.replace(IMPATIENT, "&stall-timeout=1h")
    hang = faults.BlackHole()
    if during == "snapshot":
        scene.app.sql("CREATE TABLE large AS SELECT randomblob(12000000) AS v")
        scene.recorder.record("large")
        rule = case.proxy.add(hang, times=None, kind="PART")
        scene.start("--shutdown-timeout", "1s", ready=False)
    else:
        scene.start(*SMALL_LOG, "--shutdown-timeout", "1s")
        scene.commit(3)
        scene.sync()
        rule = case.proxy.add(hang, times=None, kind="PUT")
        scene.commit(5)
    wait_until(lambda: rule.met > 0, "a request that hangs")
    scene.stop(expect=1)
    check("the time for an orderly stop is over" in scene.daemon.log(), tail(scene.daemon.log()))
    case.proxy.clear()
    scene.start()
    scene.end()
    scene.verify_tip()


def history_hangs(case, shipped):
    """SIGTERM while a page waits for a history that the server never gives: it is told, and does not keep the daemon, whether
    everything was shipped or not."""
    scene, _ = away(case, "black hole")
    scene.url = scene.url.replace(IMPATIENT, "&stall-timeout=1h")
    scene.start("--shutdown-timeout", f"{PATIENCE}s" if shipped else "1s")
    scene.commit(3)
    scene.sync()
    rule = case.proxy.add(faults.BlackHole(), times=None, **({"where": lambda record: record.method != "PUT"} if shipped else {}))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(at_socket, scene.db, "/api/v1/history", path=scene.db)
        wait_until(lambda: rule.met > 0, "a request that hangs")
        if not shipped:
            scene.commit(1)
        scene.stop(expect=0 if shipped else 1)
        answer = asked.result()
    equal((answer.status, answer.json()["code"]), (409, "E_CANCELED"), "the answer of a history that was given up")
    case.proxy.clear()
    scene.start()
    scene.end()
    scene.verify_tip()


class Names(HttpProxy):
    """A name server that says nothing, and a proxy of which only the name is known."""

    def __init__(self, case):
        super().__init__()
        self.case, self.file = case, case.path("names-hang")
        library = case.options.program("slow_names.so")
        check(os.path.exists(library), f"{library} was not built")
        self.env = {"LD_PRELOAD": library, "WEIR_TEST_NAMES_HANG": self.file}

    def use(self, scene, timeout):
        """From here on weir goes through the proxy."""
        scene.url = f"{scene.replica.url}&proxy=http://proxy.hangs.test:{self.port}&connect-timeout={timeout}"

    def hang(self):
        """From here on."""
        with open(self.file, "w", encoding="ascii"):
            pass

    def end(self, scene):
        """The names are known again, and all is there."""
        os.unlink(self.file)
        if not scene.daemon.alive():
            scene.start(env=self.env)
        scene.daemon.wait_ready()
        check(self.asked, "nobody came through the proxy")
        scene.end()
        judge(scene)


def names_hang(case):
    """The name server says nothing while the daemon starts and runs: it answers whoever asks, looks into the log, tells what is
    wrong, and goes on exactly.  A command ends, and says why."""
    scene, _ = away(case, "refused")
    with Names(case) as names:
        scene.start()
        scene.commit(3)
        scene.sync()
        scene.stop()
        scene.commit(2)
        names.use(scene, "500ms")
        names.hang()
        listed = case.weir("ls", scene.url, env=names.env, expect=1)
        check("esolv" in listed.stderr, listed.stderr)
        scene.start(ready=False, env=names.env)
        wait_until(lambda: "the replica does not answer" in scene.daemon.log(), f"the daemon to say so: {tail(scene.daemon.log())}")
        for _ in range(5):
            shown = case.weir("status", scene.db, "--json", expect=1)
            check("esolv" in shown.stdout, shown.stdout)
            scene.commit(2)
        names.end(scene)


def end_while_names_hang(case, begun):
    """SIGTERM while a name is looked up: over after the time that was allowed, whatever the name server does."""
    scene, _ = away(case, "refused")
    with Names(case) as names:
        if begun:
            scene.start()
            scene.commit(3)
            scene.sync()
            scene.stop()
            scene.commit(2)
        names.use(scene, "5m")
        names.hang()
        scene.start("--shutdown-timeout", "1s", ready=False, env=names.env)
        wait_until(lambda: "starting" in case.weir("status", scene.db, expect=None).stdout, "the daemon to answer")
        scene.stop(expect=1)
        names.end(scene)


def own_limit(case):
    """upload-rate: weir is slow by its own will, which is no stall and no error."""
    scene, _ = away(case, "refused")
    scene.url += "&upload-rate=100kB&part-size=5MiB"
    scene.start()
    began = time.monotonic()
    scene.app.sql("INSERT INTO t(k, v) VALUES (0, randomblob(400000))")
    scene.recorder.record("large")
    scene.sync()
    check(time.monotonic() - began > 2, f"400 kB at 100 kB/s took {time.monotonic() - began:.1f} s")
    check("shipping fails" not in scene.daemon.log(), tail(scene.daemon.log()))
    scene.end()
    scene.verify()


def asked_to_wait(case):
    """Retry-After is kept."""
    scene, _ = away(case, "refused")
    scene.start("--sync-interval", "1h")
    scene.sync()
    mark = case.proxy.mark()
    case.proxy.add(faults.slow_down(3), kind="PUT")
    scene.commit(1)
    scene.sync()
    first, second = case.proxy.since(mark, kind="PUT")[:2]
    check(second.began - first.began > 2.9, f"the next try came after {second.began - first.began:.2f} s, Retry-After was 3")
    scene.end()
    scene.verify()


def cases(options):
    """All of them."""
    found = [(name, lambda case, n=name: spooled(case, n)) for name in WAYS if options.full or name != "429"]
    found += [(f"{name}, much data", lambda case, n=name: much_data(case, n)) for name in ("refused", "denied")]
    found += [("flapping", flapping), ("a gap", lambda case: gap(case, "slow down")), ("its own limit", own_limit), ("asked to wait", asked_to_wait)]
    found += [(f"a start, {name}", lambda case, n=name: start_while_away(case, n)) for name in ("refused", "slow down", "denied")]
    found += [(f"an end while a request hangs, {during}", lambda case, d=during: end_while_silent(case, d)) for during in ("log", "snapshot")]
    found += [(f"an end while a history hangs, {what}", lambda case, s=shipped: history_hangs(case, s))
              for what, shipped in (("all shipped", True), ("something left", False))]
    found += [("the name server says nothing", names_hang)]
    found += [(f"an end while the name server says nothing, {what}", lambda case, b=begun: end_while_names_hang(case, b))
              for what, begun in (("first start", False), ("later start", True))]
    return found + [(f"an end, {name}", lambda case, n=name: end_while_away(case, n)) for name in ("black hole", "denied")]
