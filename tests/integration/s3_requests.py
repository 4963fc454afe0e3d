# SPDX-License-Identifier: Apache-2.0
"""s3_requests: what a replica on S3 costs, counted by a proxy in front of the server, which sees every request.

Requests are what an S3 store charges for, so their number is a promise: none while nothing happens, one PUT for a sync, a
handful for a start, and for a restore as many GETs as there are objects to read.  `weir status` must count the same.
"""

import time

from lib.case import wait_until
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal
from servers import faults
from takeover import FENCED, restored_copy

# kind of the proxy's record -> name in `weir status`
COUNTED = {"PUT": "put", "GET": "get", "LIST": "list", "DELETE": "delete", "HEAD": "head", "START": "upload_start",
           "PART": "upload_part", "FINISH": "upload_finish", "ABORT": "upload_abort", "UPLOADS_INFO": "upload_sweep", "DELETE_MANY": "delete_many", "COPY": "copy"}
# The most that a start may take: the listings of the timelines and of the last one's log, the check of what the store can
# do, the documents that a timeline begins with, the objects at its tip.
START_LISTS, START_REQUESTS = 4, 20
FAR = "1h"  # a sync interval that does not come


class Counted:
    """A scene whose requests pass the proxy."""

    def __init__(self, case):
        if case.options.store.kind == "file":
            raise Skip("counts requests to an S3 server: --store s3")
        self.case, self.proxy, self.direct = case, case.proxy, case.replica()
        self.scene = Scene(case, replica=case.proxied_replica())

    def told(self):
        """{kind: count} by `weir status`, without what it has none of."""
        requests = self.scene.daemon.status()["databases"][0]["requests"]
        return {name: sum(outcomes.values()) if isinstance(outcomes, dict) else outcomes
                for name, outcomes in requests.items() if outcomes and (not isinstance(outcomes, dict) or any(outcomes.values()))}

    def seen(self, mark=0):
        """The same by the proxy's record."""
        return {COUNTED.get(kind, kind): count for kind, count in self.proxy.summary(mark).items()}


def idle(case):
    """Nothing is committed: nothing is sent."""
    counted = Counted(case)
    counted.scene.start()
    counted.scene.commit(3)
    counted.scene.sync()
    counted.proxy.settle(1.5)  # what belongs to the start
    mark = counted.proxy.mark()
    time.sleep(case.options.seconds or 8)  # the subject: time passes, and nothing is sent
    equal(counted.seen(mark), {}, "requests of an idle daemon")
    counted.scene.end()


def one_put_a_sync(case):
    """Each sync is one PUT, however many commits it has, and nothing else."""
    counted = Counted(case)
    counted.scene.start("--sync-interval", FAR)
    counted.scene.sync()
    counted.proxy.settle()
    mark = counted.proxy.mark()
    for commits in (1, 1, 20, 1, 50, 3, 1, 1):
        before = counted.proxy.mark()
        counted.scene.commit(commits)
        counted.scene.sync()
        equal(counted.seen(before), {"put": 1}, f"requests of a sync of {commits} commits")
    before = counted.proxy.mark()
    counted.scene.sync()
    equal(counted.seen(before), {}, "requests of a sync with nothing to ship")
    keys = [record.key for record in counted.proxy.since(mark)]
    check(all("/log/" in key for key in keys) and len(set(keys)) == len(keys), f"keys: {keys}")
    check(len({record.connection for record in counted.proxy.since(mark)}) <= 2, "a connection is not used again")
    counted.scene.end()
    counted.scene.verify()


def starts(case):
    """A first start, one that goes on, one that has lost its local state: a handful of requests each, as `weir status` says."""
    counted = Counted(case)
    scene = counted.scene
    for name in ("first", "second", "without local state"):
        if name == "without local state":
            case.run("rm", "-r", scene.state_dir)
        mark = counted.proxy.mark()
        scene.start("--sync-interval", FAR)
        scene.sync()
        counted.proxy.settle()
        wait_until(lambda m=mark: counted.told() == counted.seen(m), f"{name} start: the same requests by weir status and by the proxy")
        seen = counted.seen(mark)
        diag(f"{name} start: {seen}")
        check(seen.get("list", 0) <= START_LISTS and sum(seen.values()) <= START_REQUESTS, f"{name} start: {seen}")
        scene.commit(30)
        scene.sync()
        scene.stop()
    scene.close()
    equal(counted.proxy.troubles, [], "troubles of the proxy")


def three_timelines(counted, segments):
    """A history of three writers with that many segments in all; returns the last one's scene."""
    scene = counted.scene
    for writer in range(3):
        scene.start("--sync-interval", FAR)
        for _ in range(segments // 3):
            scene.commit(1)
            scene.sync()
        if writer == 2:
            break
        following = restored_copy(counted.case, scene, f"w{writer}")
        following.start("--sync-interval", FAR)
        following.commit(1)
        following.sync()
        following.stop()
        scene.commit(1)
        counted.case.weir("sync", scene.db, "--wait", expect=None)
        scene.daemon.wait_exit(expect=FENCED)
        scene.close()
        scene = following
    return scene


def long_history(case):
    """A restore lists a few times and reads each object once; with listings of one entry a page the result is the same."""
    counted = Counted(case)
    scene = three_timelines(counted, 99)
    scene.end()
    objects = counted.direct.list()
    segments = [key for key in objects if "/log/" in key]
    check(len(segments) >= 99 and sum(key.endswith("timeline.json") for key in objects) == 3, f"objects: {len(objects)}")
    for args in (("restore", scene.url, "-o", case.path("out.db")), ("ls", scene.url), ("log", scene.url)):
        mark = counted.proxy.mark()
        case.weir(*args)
        seen = counted.seen(mark)
        diag(f"weir {args[0]}: {seen}")
        check(seen["list"] <= 4, f"weir {args[0]}: {seen}")
        check(set(seen) <= {"list", "get"} and seen.get("get", 0) <= len(objects) + 8, f"weir {args[0]}: {seen}")
    state = scene.tip()
    with counted.proxy.failing(faults.PagesOf(1)):
        mark = counted.proxy.mark()
        equal(scene.tip().full, state.full, "restore with pages of one entry")
        check(counted.proxy.count(mark, kind="LIST") > len(segments), "the pages were not small")


def wakes_without_asking(case):
    """After an hour's sleep, shortened: a daemon that was idle ships the next commit with one PUT and no look around."""
    counted = Counted(case)
    counted.scene.start()
    counted.scene.sync()
    counted.proxy.settle(3)
    counted.proxy.drop()  # what a load balancer does to connections that nobody uses
    mark = counted.proxy.mark()
    counted.scene.commit(1)
    wait_until(lambda: counted.proxy.count(mark, kind="PUT", status=200), "the PUT")
    counted.proxy.settle()
    equal(counted.seen(mark), {"put": 1}, "requests after a sleep")
    counted.scene.end()


def cases(_options):
    """All of them."""
    return [("idle", idle), ("one PUT a sync", one_put_a_sync), ("starts", starts), ("a long history", long_history),
            ("awake again", wakes_without_asking)]
