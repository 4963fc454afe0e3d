# SPDX-License-Identifier: Apache-2.0
"""selftest_cmd: `weir selftest` finds nothing wrong where nothing is, tells the truth where something is, and leaves
nothing behind: also when it fails, is interrupted, or has no right to delete, and then it says what is left.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading

from check import s3_only, write
from lib.case import wait_until
from lib.scene import Scene
from lib.tap import Skip, check, equal
from servers import faults

FAILED, USAGE, CORRUPT = 1, 2, 4
STEPS = ["begin", "write", "ship", "wipe", "restore", "restore", "restore", "restore", "restore", "verify", "remove"]


def scratch(case):
    """An empty folder for scratch files."""
    folder = case.path("scratch")
    os.makedirs(folder, exist_ok=True)
    return folder


class Tested:
    """One run of the command."""

    def __init__(self, case, *args, expect=0, env=None, left=()):
        self.done = case.weir("selftest", *args, "--scratch", scratch(case), "--commits", "120", "--json", expect=expect, env=env)
        self.document = json.loads(self.done.stdout)
        self.steps = [step["step"] for step in self.document["steps"]]
        equal(self.document["ok"], expect == 0, "ok")
        equal((self.document["error"] is None), expect == 0, f"error in {self.done.stdout}")
        equal(sorted(os.listdir(scratch(case))), sorted(left), "scratch files that are left")

    def failed(self):
        """The steps that failed."""
        return [step["step"] for step in self.document["steps"] if not step["ok"]]

    def message(self):
        """What failed."""
        return self.document["error"]["message"]


# --- all is well ------------------------------------------------------------------------------------------------------


def good(case):
    """Every step has its line and its numbers, and nothing is left, in the store as on this machine."""
    replica = case.replica()
    done = case.weir("selftest", replica.url, env={"TMPDIR": scratch(case)})
    check(done.stdout.splitlines()[-1].startswith("all good: "), done.stdout)
    check(all(line.startswith("ok ") for line in done.stdout.splitlines()[:-1]), done.stdout)
    check(" 2000 commits " in done.stdout, done.stdout)
    equal(os.listdir(scratch(case)), [], "scratch files")
    found = Tested(case, replica.url)
    equal(found.steps, STEPS, "steps")
    steps = {step["step"]: step for step in found.document["steps"]}
    equal(steps["write"]["commits"], 120, "commits")
    equal(steps["ship"]["samples"], 40, "samples of the lag")
    check(0 < steps["ship"]["lag_p50_ms"] <= steps["ship"]["lag_p99_ms"], str(steps["ship"]))
    check(steps["ship"]["txid"] >= 120, str(steps["ship"]))
    restored = [step for step in found.document["steps"] if step["step"] == "restore"]
    equal([step["how"] for step in restored], ["the newest", "by its time"] + 3 * ["by its txid"], "restores")
    equal(restored[0]["txid"], steps["ship"]["txid"], "the newest state")
    equal(len({step["txid"] for step in restored}), 5, "different states")
    check(steps["verify"]["objects"] <= steps["remove"]["objects"], str(steps))
    equal((found.document["kept"], found.document["left"], found.document["scratch"]), (None, None, None), "what stays")
    equal(replica.list(), {}, "objects")
    if case.options.store.kind == "file":
        check(not os.path.exists(replica.folder), "a folder is left that was not there before")


def without_a_replica(case):
    """A temporary folder is the replica then."""
    found = Tested(case)
    equal(found.steps, STEPS, "steps")
    check(found.document["url"].startswith(f"file://{scratch(case)}/weir-selftest-"), found.document["url"])
    one = case.weir("selftest", "--commits", "1", "--scratch", scratch(case)).stdout
    equal(one.count("\nok      restore  "), 1, "restores of a history with one commit")


def odd_names(case):
    """Folders that a URL must encode."""
    folder = case.path("a b%41ü")
    os.mkdir(folder)
    case.weir("selftest", "--commits", "5", env={"TMPDIR": folder})
    equal(os.listdir(folder), [], "what is left")


def beside_a_history(case):
    """The replica of a database that is replicated meanwhile: its settings are used, its history is as it was."""
    scene = Scene(case)
    file = write(case.path("weir.yml"), "defaults: {sync: {interval: 50ms}, drill: {interval: 100ms}}\ndatabases:\n  - path: " + json.dumps(scene.db)
                 + "\n    replica: " + json.dumps(scene.url) + "\n    retention: {exact: 1d, daily: 3}\n    restore-if-missing: true\n")
    scene.start()
    scene.commit(10)
    scene.sync()
    before = scene.replica.list()
    for args in ((scene.db, "-c", file), (scene.url, "-c", file), (scene.url,)):
        found = Tested(case, *args)
        equal(found.steps, STEPS, "steps")
        check(f"{scene.replica.name}/weir-selftest-" in found.document["url"], found.document["url"])
        equal(scene.replica.list(), before, "objects")
    scene.commit(3)
    scene.end()
    scene.verify()
    check("unexpected" not in case.weir("verify", scene.url).stdout.replace("0 unexpected", ""), "something is left")


def kept(case):
    """With --keep the replica can be looked at by all other commands."""
    replica = case.replica()
    done = case.weir("selftest", replica.url, "--keep", "--commits", "60", "--scratch", scratch(case))
    check("kept: the replica " in done.stdout, done.stdout)
    folder, = os.listdir(scratch(case))
    check({"app.db", "daemon.log", "copy-1.db", "restored-1.db"} <= set(os.listdir(os.path.join(scratch(case), folder))), "files")
    url = next(word for line in done.stdout.splitlines() if line.startswith("kept: ") for word in line.split() if "://" in word)
    case.weir("verify", url)
    case.weir("restore", url, "-o", case.path("out.db"))
    with open(case.path("out.db"), "rb") as mine, open(os.path.join(scratch(case), folder, "app.db"), "rb") as its:
        equal(mine.read(), its.read(), "the newest state")


# --- something is wrong -----------------------------------------------------------------------------------------------


def usage(case):
    """What cannot be meant."""
    for args, words in ((("-c", "x.yml"), "-c goes with a database"), (("share:///x",), "nothing that weir can write to"),
                        (("https://example.org/share",), "nothing that weir can write to"), (("/no/such.db",), "there is no configuration"),
                        (("--timeout", "0s"), "--timeout"), (("--commits", "0"), "--commits"), (("--commits", "1000001"), "at most 1000000"),
                        (("--scratch", "relative"), "not an absolute path"), (("s3://bucket/x?no-such-option=1",), "no-such-option")):
        done = case.weir("selftest", *args, expect=USAGE)
        check(words in done.stderr, f"{args}: {done.stderr}")


def no_room_for_scratch(case):
    """The folder for scratch files is not there: nothing was made in the store."""
    replica = case.replica()
    done = case.weir("selftest", replica.url, "--scratch", case.path("nowhere"), expect=USAGE)
    check(case.path("nowhere") in done.stderr and "FAILED  begin" in done.stdout, done.stderr)
    equal(replica.list(), {}, "objects")


def in_the_way(case):
    """A file where the folder of the replica should be."""
    if case.options.store.kind != "file":
        raise Skip("about folders")
    write(case.path("file"), "mine")
    found = Tested(case, "file://" + case.path("file", "replica"), "--timeout", "10s", expect=FAILED)
    equal(found.failed()[0], "begin", "what failed")
    with open(case.path("file"), encoding="utf-8") as file:
        equal(file.read(), "mine", "the file")


def damaged(case):
    """A store that changes a byte of what it is given: 4, the object is named, and all is removed all the same."""
    if case.options.store.kind == "file":
        replica, stop = case.replica(), threading.Event()
        os.mkdir(replica.folder)

        def spoil():
            while not stop.is_set():
                for folder, _, names in os.walk(replica.folder):
                    for name in names:
                        if folder.endswith("/log") and name == "0000000000000001" or folder.endswith("/snap"):
                            path = os.path.join(folder, name)
                            with contextlib.suppress(OSError), open(path, "r+b") as file:
                                file.seek(os.path.getsize(path) // 2)
                                file.write(b"damaged")
                                stop.set()

        thread = threading.Thread(target=spoil)
        thread.start()
        try:
            found = Tested(case, replica.url, expect=CORRUPT)
        finally:
            stop.set()
            thread.join()
    else:
        replica = case.proxied_replica()
        with case.proxy.failing(faults.Replace(lambda body: body[:len(body) // 2] + b"damaged" + body[len(body) // 2 + 7:]), kind="GET",
                                where=lambda record: "/snap/" in record.key or "/log/" in record.key, times=None):
            found = Tested(case, replica.url, expect=CORRUPT)
    check(set(found.failed()) <= {"restore", "verify"} and len(found.failed()) == 1, found.done.stdout)
    equal(found.steps[-1], "remove", "the last step")
    equal(replica.list(), {}, "objects")


def lost(case):
    """A store that forgets: what was durable is not there.  That is no 'no such backup'."""
    s3_only(case)
    replica = case.proxied_replica()
    with case.proxy.failing(faults.no_such_key(), kind="GET", where=lambda record: "/snap/" in record.key or "/log/" in record.key
                            or "/fold/" in record.key or "/part/" in record.key, times=None):
        found = Tested(case, replica.url, expect=CORRUPT)
    equal(found.failed(), ["restore"], found.done.stdout)
    equal(replica.list(), {}, "objects")


def outage(case):
    """The store takes nothing any more in the midst of it: 1 when the time is over, with what the store says."""
    s3_only(case)
    replica = case.proxied_replica()
    with case.proxy.failing(faults.server_error(), kind="PUT", key="*/log/*", skip=5, times=None):
        found = Tested(case, replica.url, "--timeout", "8s", expect=FAILED)  # each step has it: a machine may stand still for a while
    equal(found.failed(), ["write"], found.done.stdout)
    check("8" in found.message(), found.message())
    equal(replica.list(), {}, "objects")


def nobody_there(case):
    """Wrong keys, wrong bucket: as everywhere, before anything is made."""
    s3_only(case)
    replica = case.replica()
    found = Tested(case, replica.url, expect=FAILED, env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    equal(found.failed(), ["begin"], "what failed")
    case.weir("selftest", replica.url.replace(f"s3://{replica.bucket}/", "s3://no-such-bucket/"), expect=USAGE)


def may_not_delete(case):
    """All is good but that nothing can be removed: 1, and what is left is said."""
    s3_only(case)
    replica = case.proxied_replica()
    with contextlib.ExitStack() as stack:
        for kind in ("DELETE", "DELETE_MANY"):
            stack.enter_context(case.proxy.failing(faults.denied(), kind=kind, times=None))
        found = Tested(case, replica.url, expect=FAILED)
    equal(found.failed(), ["remove"], found.done.stdout)
    left = replica.list()
    check(left and all(key.startswith("weir-selftest-") for key in left), str(left))
    check(f"{len(left)} objects are left" in found.message(), f"{found.message()}, not {len(left)}")
    check("to be removed by hand" in found.done.stderr and f"{replica.name}/weir-selftest-" in found.done.stderr, found.done.stderr)
    equal(found.document["left"], found.document["url"], "left")
    for key in left:
        replica.delete(key)


# --- interrupted ------------------------------------------------------------------------------------------------------


def begin_long(case, url):
    """A test that is in the midst of it."""
    process = case.spawn([case.options.weir, "selftest", url, "--commits", "1000000", "--scratch", scratch(case)], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any(name == "daemon.log" for _, _, names in os.walk(scratch(case)) for name in names), "the daemon began")
    return process


def interrupted(case):
    """One signal: everything is removed, and the process ends by it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        replica = case.replica()
        process = begin_long(case, replica.url)
        wait_until(replica.list, "objects in the replica")
        process.send_signal(number)
        out, err = process.communicate()
        equal(process.returncode, -number, f"status after signal {number}\n{out}{err}")
        check("interrupted" in err and "\nok      remove" in out and "FAILED" in out, out + err)
        equal(os.listdir(scratch(case)), [], "scratch files")
        equal(replica.list(), {}, "objects")


def interrupted_in_an_outage(case):
    """Nothing is waited for that does not come."""
    s3_only(case)
    replica = case.proxied_replica()
    with case.proxy.failing(faults.BlackHole(), kind="PUT", key="*/log/*", skip=3, times=None):
        process = begin_long(case, replica.url)
        wait_until(lambda: len([key for key in replica.list() if "/log/" in key]) >= 3, "objects in the replica")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
        case.proxy.release()
    equal(process.returncode, -signal.SIGTERM, f"status\n{err}")
    equal(os.listdir(scratch(case)), [], "scratch files")
    equal(replica.list(), {}, "objects")


def interrupted_twice(case):
    """It ends at once, and says what may be left."""
    s3_only(case)
    replica = case.proxied_replica()
    process = begin_long(case, replica.url)
    wait_until(replica.list, "objects in the replica")
    with case.proxy.failing(faults.BlackHole(), kind="DELETE_MANY", times=None) as rule:
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: rule.met > 0, "removal began")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
        case.proxy.release()
    equal(process.returncode, -signal.SIGTERM, f"status\n{err}")
    check("interrupted again" in err and "weir-selftest-" in err, err)


def killed(case):
    """kill -9 leaves what has the test's name, nothing else, and no process."""
    scene = Scene(case)
    scene.start()
    scene.commit(3)
    scene.sync()
    before = scene.replica.list()
    process = begin_long(case, scene.url)
    wait_until(lambda: len(scene.replica.list()) > len(before), "objects in the replica")
    process.kill()
    process.communicate()
    wait_until(lambda: not daemons_of(scratch(case)), "the daemon of the test is gone")
    equal({key: size for key, size in scene.replica.list().items() if not key.startswith("weir-selftest-")}, before, "objects of the history")
    left, = os.listdir(scratch(case))
    check(left.startswith("weir-selftest-"), left)
    scene.commit(3)
    scene.end()
    scene.verify()


def daemons_of(folder):
    """The processes that hold a file open in it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{fd}").startswith(folder):
                        found.append(pid)
    return found


def cases(_options):
    """All of them."""
    return [("good", good), ("without a replica", without_a_replica), ("odd names", odd_names), ("beside a history", beside_a_history),
            ("kept", kept), ("usage", usage), ("no room for scratch files", no_room_for_scratch), ("a file in the way", in_the_way),
            ("damaged", damaged), ("lost", lost), ("outage", outage), ("nobody there", nobody_there), ("may not delete", may_not_delete),
            ("interrupted", interrupted), ("interrupted in an outage", interrupted_in_an_outage),
            ("interrupted twice", interrupted_twice), ("killed", killed)]
