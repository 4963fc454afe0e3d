# SPDX-License-Identifier: Apache-2.0
"""s3_faults: one story, told again and again while one request of each of its chapters fails, once or until it is healed.

The story: start, sync, snapshot, stop with something left to ship, start again, list, restore.  Each request of it meets each
way of failing (`--full`; otherwise a sample drawn by the seed in which every request and every way has its turn).  Whatever
happens: every commit is restored byte for byte, no object is ever written with two contents, what can be mended by itself is,
what cannot says so and works when it is asked again, and `weir status` is not green while requests fail and is afterwards.
"""

import collections
import concurrent.futures
import json
import random
import time

from lib.case import tail, wait_until
from lib.scene import Scene
from lib.tap import Fail, Skip, check, diag, equal
from servers import faults

GARBAGE = b"<?xml version='1.0'?><ListBucketResult><Contents><Key>t/&nope;"

# name: (fault, whether one such failure is nobody's business but weir's)
KINDS = {
    "reset": (faults.Reset(), True),
    "closed": (faults.Close(), True),
    "cut request": (faults.CutRequest(10), True),
    "lost answer": (faults.LoseAnswer("reset"), True),
    "lost answer, closed": (faults.LoseAnswer("close"), True),
    "short body": (faults.CutAnswer(10), True),
    "Content-Length too long": (faults.WrongLength(7), True),
    "Content-Length too short": (faults.WrongLength(-7), False),
    "500": (faults.server_error(), True),
    "503 of a load balancer": (faults.server_error(503, xml=False), True),
    "503 with Retry-After": (faults.slow_down(1), True),
    "429": (faults.Answer(429, headers={"Retry-After": 1}), True),
    "black hole": (faults.BlackHole(), True),
    "409": (faults.conflict(), True),
    "skew": (faults.Skew(3600), True),
    "garbage": (faults.Replace(GARBAGE), False),
    "403": (faults.denied(), False),
    "no bucket": (faults.no_such_bucket(), False),
    "412": (faults.precondition_failed(), False),
    "expired token": (faults.expired_token(), False),
    "skew without a time": (faults.time_skewed(), False),
    "another region": (faults.moved("eu-west-1"), False),
}
NO_FAILURE = ("skew",)  # the server's clock is gone by, and all is well
CHAPTERS = ("start", "sync", "snapshot", "stop", "restart", "log", "restore")
COMMANDS = ("log", "restore")  # chapters without a daemon
TOGETHER = (("start", "sync", "snapshot", "stop"),)  # chapters of one daemon
SAMPLE = 18                    # stories
LARGE = 6 << 20                # bytes of a database whose snapshot is an upload in two parts ...
LARGE_FROM = 9                 # ... which begins with this request of its first start
FULL_POSITIONS = 18            # more requests than any chapter has
HELD = 0.3                     # seconds for which the status is looked at while everything fails


class Plan:
    """Which fault a chapter meets: at its n-th request, once or from there on."""

    def __init__(self, kind, position=0, forever=False, fault=None, where=None):
        self.kind, self.position, self.forever, self.where = kind, position, forever, where
        self.fault, self.mends = (fault, True) if fault else KINDS[kind]
        self.times = None if forever or kind in NO_FAILURE else 1  # a clock is wrong for longer than a request

    def __str__(self):
        return f"{self.kind} at {self.position}{' and on' if self.forever else ''}"


class Story:
    """One telling.  `plans`: {chapter: Plan}; afterwards `met` has those that a request met, `counts` the requests of
    chapters without a plan."""

    def __init__(self, case, plans, large=False):
        if case.options.store.kind == "file":
            raise Skip("fails at an S3 server: --store s3")
        self.case, self.plans, self.proxy = case, plans, case.proxy
        replica = case.proxied_replica()
        replica.url += "&part-size=5MiB"
        self.scene = Scene(case, replica=replica)
        if large:
            self.scene.app.sql(f"CREATE TABLE large AS SELECT randomblob({LARGE}) AS v")
            self.scene.recorder.record("large")
        self.counts, self.met = {}, []

    def url_for(self, *chapters):
        """The replica, for those who tell these chapters.  Who meets a black hole has little patience, but nobody else: on a busy
        machine a server may well be silent for a second."""
        silent = any(name in self.plans and self.plans[name].kind == "black hole" for name in chapters)
        return self.scene.replica.url + ("&stall-timeout=3s" if silent else "")

    # --- looking -------------------------------------------------------------------------------------------------

    def status(self):
        """(exit status, what it says of the database or None)."""
        shown = self.case.weir("status", self.scene.db, "--json", expect=None)
        try:
            return shown.returncode, json.loads(shown.stdout)["databases"][0]
        except (ValueError, KeyError, IndexError):
            return shown.returncode, {}

    def green(self):
        """True when an operator would think that all is well."""
        return self.status()[0] == 0

    def noticed(self, plan):
        """The daemon has ended, or says what is wrong.  A silence is noticed late: then not being green is enough."""
        daemon = self.scene.daemon
        if daemon is None or not daemon.alive():
            return daemon is not None
        code, told = self.status()
        return bool(told.get("error")) or (plan.kind == "black hole" and code != 0)

    # --- failing -------------------------------------------------------------------------------------------------

    def _while_failing(self, plan, rule, future):
        """Everything fails from some request on: look at the status until it is healed."""
        wait_until(lambda: future.done() or rule.met, "a request to meet the fault")
        wait_until(lambda: future.done() or self.noticed(plan), "the failure to be noticed")
        end = time.monotonic() + HELD
        while time.monotonic() < end and not future.done():
            seen = self.status()
            check(seen[0] != 0 or future.done(), lambda: f"the status is green while everything fails: {seen[1]}")
            time.sleep(0.05)

    def _attempt(self, name, plan, rule, run):
        """Run a chapter's step.  Returns (result, Fail of the step or None)."""
        try:
            if not plan.forever or name in COMMANDS:
                return run(), None
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                future = pool.submit(run)
                wrong = None
                try:
                    if plan.kind not in NO_FAILURE:
                        self._while_failing(plan, rule, future)
                except Fail as fail:
                    wrong = AssertionError(f"{name}, {plan}: {fail}")
                self.proxy.clear()
                if wrong:
                    raise wrong
                return future.result(), None
        except Fail as fail:
            return None, fail

    def chapter(self, name, run, may_fail=True):
        """Tell one chapter; when its failure is allowed, once more after it was healed."""
        plan, mark = self.plans.get(name), self.proxy.mark()
        self.scene.url = self.url_for(*next((group for group in TOGETHER if name in group), (name,)))
        if plan is None:
            result = run()
            self.counts[name] = self.proxy.count(mark)
            return result
        rule = self.proxy.add(plan.fault, skip=plan.position, times=plan.times, where=plan.where)
        result, fail = self._attempt(name, plan, rule, run)
        self.proxy.clear()
        if rule.met:
            self.met.append((name, plan))
        if fail:
            check(rule.met and may_fail and (plan.forever or not plan.mends), f"{name}, {plan}: {fail}")
            return run()
        hit = rule.met and plan.forever and name in COMMANDS and plan.kind not in NO_FAILURE
        check(not hit, f"{name}, {plan}: success, though everything fails")
        return result

    # --- the story -----------------------------------------------------------------------------------------------

    def started(self):
        """A daemon that is ready; one that ends instead must say why."""
        if self.scene.daemon is None or not self.scene.daemon.alive():
            self.scene.start("--sync-interval", "1h", ready=False)  # all requests come when they are told to
        daemon = self.scene.daemon
        try:
            daemon.wait_ready()
        except Fail:
            code, log = daemon.exit_code(), daemon.log()
            if code not in (None, 1, 2, 3, 4) or (code is not None and "cannot replicate" not in log):
                raise AssertionError(f"exit {code} of a daemon that could not start\n{tail(log)}") from None
            raise

    def ends_well(self):
        """Green, with a snapshot that could not be taken being taken."""
        wait_until(self.green, "a green status after all was healed", pause=0.05)

    def tell(self):
        """All of it."""
        scene = self.scene
        self.chapter("start", self.started)
        self.ends_well()
        scene.commit(2)
        self.chapter("sync", scene.sync, may_fail=False)
        self.ends_well()
        self.chapter("snapshot", lambda: self.case.weir("snapshot", scene.db))
        self.ends_well()
        scene.commit(2)
        self.chapter("stop", scene.stop, may_fail=False)
        scene.commit(2)
        self.chapter("restart", self.started)
        self.ends_well()
        scene.commit(1)
        scene.sync()
        scene.stop()
        scene.close()
        self.chapter("log", scene.log)
        self.chapter("restore", scene.tip)
        self.judge()

    def judge(self):
        """Everything is there, and each thing once."""
        self.scene.url = self.scene.replica.url
        self.scene.verify()
        self.case.weir("verify", self.scene.url)
        contents = collections.defaultdict(set)
        for record in self.proxy.since(kind="PUT", server_status=200):
            if "/probe/" not in record.key and "x-amz-copy-source" not in record.headers:
                contents[record.key].add(record.headers["x-amz-content-sha256"])
        equal([key for key, hashes in contents.items() if len(hashes) > 1], [], "objects written with different contents")
        check(len(contents) > 6, f"objects: {sorted(contents)}")


class Suite:
    """What the cases of one run share."""

    def __init__(self, options):
        self.options = options
        self.counts = {}  # large or not: {chapter: requests}
        self.met = collections.Counter()

    def tell(self, case, plans, large=False):
        """One story; what it met is written down."""
        story = Story(case, plans, large)
        try:
            story.tell()
        except BaseException:
            diag("; ".join(f"{name}: {plan}" for name, plan in plans.items()))
            for record in story.proxy.requests[-15:]:
                diag(f"{record.kind} {record.key} {record.fault} {record.status} {record.server_status}")
            raise
        for name, plan in story.met:
            self.met.update([name, plan.kind, (large, name, plan.position)])
        return story

    def without(self, case, large):
        """All is well, and the requests are counted."""
        self.counts[large] = self.tell(case, {}, large).counts
        diag(f"requests: {self.counts[large]}")

    def sampled(self, case, number):
        """Each chapter meets one fault, one of them goes on until it is healed."""
        rng, kinds = random.Random(f"{case.seed}/{SAMPLE}"), list(KINDS)
        offsets = {name: rng.randrange(len(kinds)) for name in CHAPTERS}
        large = number % 3 == 2
        if large not in self.counts:
            raise Skip("the requests were not counted: run it together with \"without faults\"")
        turn = number // 3 if large else number - number // 3
        plans = {}
        for name in CHAPTERS:
            position = turn + (LARGE_FROM if large and name == "start" else 0)
            plans[name] = Plan(kinds[(offsets[name] + 5 * number) % len(kinds)], position % max(1, self.counts[large][name]),
                               name == CHAPTERS[(number + case.seed) % len(CHAPTERS)])
        diag("; ".join(f"{name}: {plan}" for name, plan in plans.items()))
        self.tell(case, plans, large)

    def everywhere(self, case, kind, position, forever):
        """All chapters meet the same one."""
        self.tell(case, {name: Plan(kind, position, forever) for name in CHAPTERS}, large=position > 0)

    def error_in_200(self, case, copy):
        """An upload's end, or the copy to its name, that fails with status 200; done all the same or not."""
        def where(record):
            return "x-amz-copy-source" in record.headers if copy else record.kind == "FINISH"
        plans = {name: Plan("error in 200", where=where, fault=faults.ErrorIn200(spaces=spaces, applied=applied))
                 for name, spaces, applied in (("start", 0, False), ("snapshot", 2000, True))}
        self.tell(case, plans, large=True)
        check(self.met["error in 200"] >= 2, "the fault was not met")
        del self.met["error in 200"]

    def covered(self, _case):
        """The sample had every kind of fault and every chapter, and nearly all faults met a request."""
        if len(self.counts) < 2 or sum(self.met[name] for name in CHAPTERS) < SAMPLE:
            raise Skip("only some of the stories were told")
        equal([kind for kind in KINDS if not self.met[kind]], [], "kinds of faults that no request met")
        for large, counts in self.counts.items():
            missed = [(name, n) for name in counts for n in range(counts[name]) if not self.met[large, name, n]]
            diag(f"requests of {'a large' if large else 'the'} story that met no fault: {missed}")
            if not large:
                # A chapter behind a failure may have fewer requests: what was shipped in one object then was in two before.
                check(len(missed) <= sum(counts.values()) // 5, f"requests that no fault met: {missed}")

    def cases(self):
        """All of them."""
        found = [("without faults", lambda case: self.without(case, False)),
                 ("without faults, large", lambda case: self.without(case, True)),
                 ("an error inside a success", lambda case: self.error_in_200(case, False)),
                 ("an error inside a copy's success", lambda case: self.error_in_200(case, True))]
        if self.options.full:
            return found + [(f"{kind} at {position}{' and on' if forever else ''}",
                             lambda case, k=kind, p=position, f=forever: self.everywhere(case, k, p, f))
                            for position in range(FULL_POSITIONS) for kind in KINDS for forever in (False, True)]
        found += [(f"story {number}", lambda case, n=number: self.sampled(case, n)) for number in range(SAMPLE)]
        return found + [("all had their turn", self.covered)]


def cases(options):
    """One case per story."""
    return Suite(options).cases()
