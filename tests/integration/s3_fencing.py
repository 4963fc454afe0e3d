# SPDX-License-Identifier: Apache-2.0
"""s3_fencing: two writers and one bucket.

A writer that was frozen while another one took over is fenced at its next upload, whatever got lost on the way; nothing of it
is in the new timeline, and both timelines stay restorable.  What the store can do about it is found out by trying: one that
keeps writers apart, some that do not, one that says so; `require` refuses these, `warn` says so and looks out by itself.
"""

import json
import os
import shutil
import signal

from lib.case import tail, wait_until
from lib.daemon import log_of, restore, restore_all
from lib.history import fingerprint_file
from lib.replica import BUCKET, S3Replica
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal
from servers import faults
from servers.client import connect
from servers.process import MissingError
from servers.swift import Swift

DAMAGED, FENCED = 4, 5
FAR = ("--sync-interval", "1h")
LOOK = {"WEIR_TEST_FENCE_LOOK": "100ms"}


def bucket_only(case):
    """These cases are about conditional writes."""
    if case.options.store.kind == "file":
        raise Skip("two writers at an S3 server: --store s3")


def writer(case, *args, **options):
    """A scene that replicates through the proxy."""
    bucket_only(case)
    scene = Scene(case, "old", replica=case.proxied_replica())
    scene.start(*args, name="old", **options)
    scene.commit(4)
    scene.sync()
    return scene


def successor(case, scene, replica, *args, **options):
    """A second scene, on a restored copy, that replicates to the same place and has written something."""
    new = Scene(case, "new", replica=replica, create=False)
    restore(case, replica.url, new.db)
    new.rows = scene.rows
    new.open()
    new.start(*args, name="new", **options)
    new.commit(2)
    new.sync()
    return new


def status_of(scene):
    """The database's part of the status."""
    return json.loads(scene.case.weir("status", scene.db, "--json", expect=None).stdout)["databases"][0]


def judge(case, old, new, lost, kept):
    """The old writer ends as fenced; its last commits (`lost`) are nowhere, those before (`kept`) are in its timeline."""
    old.daemon.wait_exit(expect=FENCED)
    check("timeline" in old.daemon.log(), f"the fenced daemon does not say who took over\n{tail(old.daemon.log())}")
    last = new.commit(2)
    new.end()
    old.close()
    commits = restore_all(case, new.url, log_of(case, new.url))
    equal(commits[-1].state.masked, last.masked, "tip")
    check(all(c.state.full not in {state.full for state in lost} for c in commits), "a commit of the fenced writer is in the history")
    first = [c for c in commits if c.timeline == 1]
    equal(first[-1].state.masked, kept.masked, "tip of the first timeline")
    equal(sorted({c.timeline for c in commits}), [1, 2], "timelines")
    case.weir("verify", new.url)


def frozen(case, when=None):
    """SIGSTOP, takeover, SIGCONT.  `when`: an upload is on its way meanwhile, and its answer, or it itself, is late."""
    old = writer(case, *FAR)
    kept = old.recorder.states[-1]
    if when:
        mark = case.proxy.mark()
        case.proxy.add(faults.Hold(applied=when == "answer"), kind="PUT", key="*/log/*")
        lost = [old.commit(1)]
        case.weir("sync", old.db)  # does not wait
        wait_until(lambda: case.proxy.count(mark, kind="PUT"), "the upload")
        if when == "answer":
            wait_until(lambda: case.proxy.since(mark, kind="PUT")[0].server_status == 200, "the upload's being done")
            kept, lost = lost[0], []
    else:
        lost = []
    os.kill(old.daemon.pid, signal.SIGSTOP)
    lost.append(old.commit(1))
    new = successor(case, old, case.replica())
    lost.append(old.commit(1))
    case.proxy.release()
    os.kill(old.daemon.pid, signal.SIGCONT)
    case.weir("sync", old.db, "--wait", expect=(1, FENCED))
    judge(case, old, new, lost, kept)


def lost_answer(case, key, how):
    """The new writer's seal, its timeline's document, its first segments: done, but the answer is lost."""
    old = writer(case, *FAR)
    kept = old.recorder.states[-1]
    rule = case.proxy.add(faults.LoseAnswer(how), kind="PUT", key=key, times=2)
    new = successor(case, old, case.proxied_replica(), *FAR)
    equal(rule.met, 2, "lost answers: of what was done, and of the next try")
    lost = old.commit(1)
    case.weir("sync", old.db, "--wait", expect=(1, FENCED))
    judge(case, old, new, [lost], kept)


def own_conflict(case):
    """A segment whose answer is lost, twice and more: the next try finds the key taken by ourselves."""
    scene = writer(case, *FAR)
    for how in ("reset", "close", "hang"):
        rule, mark = case.proxy.add(faults.LoseAnswer(how), kind="PUT", key="*/log/*"), case.proxy.mark()
        scene.commit(2)
        case.weir("sync", scene.db)
        wait_until(lambda r=rule: r.met, "the lost answer")
        if how == "hang":
            wait_until(lambda m=mark: any(record.server_status for record in case.proxy.since(m, kind="PUT")), "the server to have done it")
            case.proxy.drop()
        scene.sync()
    wait_until(lambda: case.weir("status", scene.db, expect=None).returncode == 0, "a green status")
    scene.end()
    scene.verify()


# --- what the store can do ---------------------------------------------------------------------------------------------

def conditional(record):
    """A PUT with a condition."""
    return "if-none-match" in record.headers


def kept_apart(case):
    """A store that keeps writers apart: found out once, told, nothing is left behind."""
    scene = writer(case, "--fencing", "require")
    equal(status_of(scene)["fencing"], "kept", "fencing")
    probes = case.proxy.since(key="*/probe/*", kind="PUT")
    equal(sorted(record.status for record in probes), [200, 412, 412, 412, 412], "probes")
    scene.end()
    equal([key for key in scene.replica.list() if key.startswith("probe")], [], "scratch objects that stayed")
    check("cannot keep" not in scene.daemon.log(), "a warning for a good store")
    scene.verify()


# name in status: (the store's fault, text of the log)
WEAK = {
    "ignored": (lambda proxy: proxy.add(faults.Without("If-None-Match"), where=conditional, times=None), "ignores it"),
    "racy": (lambda proxy: proxy.add(faults.Without("If-None-Match"), key="*/probe/*", where=conditional, times=2), "more than one"),
    "refused": (lambda proxy: proxy.add(faults.not_implemented(), where=conditional, times=None), "no conditional writes"),
}


def required(case, name):
    """fencing: require refuses the store, with a reason, and writes nothing."""
    bucket_only(case)
    scene = Scene(case, replica=case.proxied_replica())
    WEAK[name][0](case.proxy)
    scene.start("--fencing", "require", ready=False)
    scene.daemon.wait_exit(expect=1)
    check(WEAK[name][1] in scene.daemon.log() and "--fencing warn" in scene.daemon.log(), f"reason\n{tail(scene.daemon.log())}")
    equal(list(scene.replica.list()), [], "objects")
    scene.close()


def warned(case, name):
    """fencing: warn says so, in log and status; PUTs look first; a second writer is noticed at the next upload."""
    bucket_only(case)
    WEAK[name][0](case.proxy)
    old = writer(case, *FAR, env=LOOK)
    equal(status_of(old)["fencing"], name, "fencing")
    check("cannot keep a second writer out" in old.daemon.log() and WEAK[name][1] in old.daemon.log(), tail(old.daemon.log()))
    check(case.proxy.count(kind="HEAD", key="*/log/*") > 0, "no look before a PUT")
    asked = [record.key for record in case.proxy.since(key="*/log/*", kind="PUT") if conditional(record)]
    equal(asked, [], "conditions for a store that has none")
    kept = old.recorder.states[-1]
    replica = case.proxied_replica()
    WEAK[name][0](case.proxy)
    new = successor(case, old, replica, *FAR)
    lost = old.commit(1)
    case.weir("sync", old.db, "--wait", expect=(1, FENCED))
    judge(case, old, new, [lost], kept)


def newer_timeline(case):
    """A race that the look before the PUT cannot see: the newer timeline is noticed by the one who asks now and then."""
    bucket_only(case)
    WEAK["refused"][0](case.proxy)
    old = writer(case, *FAR, env=LOOK)
    new = successor(case, old, case.replica(), *FAR)
    # As if the old writer had looked before the new one sealed its timeline: its PUTs go through.
    with case.proxy.failing(faults.no_such_key(), kind="HEAD", key="*/t/00000001/log/*"):
        def noticed():
            if old.daemon.alive():
                old.commit(1)
                case.weir("sync", old.db, "--wait", expect=None)
            return not old.daemon.alive()
        wait_until(noticed, "the old writer to notice the newer timeline", pause=0.1)
        old.daemon.wait_exit(expect=FENCED)
    check("another writer has begun timeline 2" in old.daemon.log(), f"reason\n{tail(old.daemon.log())}")
    last = new.commit(2)
    new.end()
    old.close()
    equal(new.tip().masked, last.masked, "tip of the newer timeline")


def cloned(case):
    """Two clones of one machine, at a store without conditions, and neither look sees the other's objects: the later ones stay.
    Whatever is restored is a state that one of them had; what does not fit together is refused."""
    bucket_only(case)
    WEAK["refused"][0](case.proxy)
    old = writer(case, *FAR)
    old.stop()
    old.close()
    new = Scene(case, "new", replica=case.proxied_replica(), create=False)
    shutil.copyfile(old.db, new.db)
    shutil.copytree(old.db + "-weir", new.db + "-weir")
    new.rows = old.rows
    for scene in (old, new):
        scene.open()
    with case.proxy.failing(faults.no_such_key(), kind="HEAD", key="*/t/00000001/log/*"):
        for scene in (old, new):
            scene.start(*FAR)
        for order in ((old, new), (new, old), (old, new)):  # the later one's object stays
            for scene in order:
                scene.commit(1)
                case.weir("sync", scene.db, "--wait", expect=None)
        for scene in (old, new):
            scene.end()
    states = {state.full for scene in (old, new) for state in scene.recorder.states}
    refused = 0
    for txid in range(5, 9):
        target = case.path(f"out-{txid}.db")
        done = restore(case, old.url, target, "--txid", str(txid), expect=(0, DAMAGED))
        refused += done.returncode == DAMAGED
        check(done.returncode == DAMAGED or fingerprint_file(target).full in states, f"txid {txid}: a state that neither had")
        check(done.returncode == 0 or txid > 5, f"what was there before: {done.stderr}")
    check(refused > 0, "two logs fit together")
    case.weir("verify", old.url, expect=DAMAGED)


def swift(case):
    """A real server without conditional writes, that says so."""
    bucket_only(case)
    server = Swift()
    try:
        server.start()
    except MissingError as error:
        raise Skip(str(error)) from None
    try:
        connect(server).create_bucket(Bucket=BUCKET)
        keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
        saved = {name: os.environ[name] for name in keys}
        os.environ.update(keys)
        try:
            scene = Scene(case, replica=S3Replica(server, "replica"))
            scene.start("--fencing", "require", ready=False)
            scene.daemon.wait_exit(expect=1)
            check("no conditional writes" in scene.daemon.log(), tail(scene.daemon.log()))
            scene.start()
            equal(status_of(scene)["fencing"], "refused", "fencing")
            scene.commit(3)
            scene.end()
            diag(f"commits restored: {len(scene.verify())}")
        finally:
            os.environ.update(saved)
    finally:
        server.stop()


def cases(_options):
    """All of them."""
    found = [
        ("frozen, taken over, fenced", frozen),
        ("frozen with an upload on its way", lambda case: frozen(case, "request")),
        ("frozen before the answer came", lambda case: frozen(case, "answer")),
        ("lost answer of a seal", lambda case: lost_answer(case, "*/t/00000001/log/*", "reset")),
        ("lost answer of timeline.json", lambda case: lost_answer(case, "*/t/00000002/timeline.json", "close")),
        ("lost answers of segments", lambda case: lost_answer(case, "*/t/00000002/log/*", "reset")),
        ("our own conflict", own_conflict), ("kept apart", kept_apart),
    ]
    for name in WEAK:
        found += [(f"{name}: refused", lambda case, n=name: required(case, n)), (f"{name}: warned", lambda case, n=name: warned(case, n))]
    return found + [("a newer timeline is noticed", newer_timeline), ("two clones", cloned), ("Swift", swift)]
