# SPDX-License-Identifier: Apache-2.0
"""verify: `weir verify` says of every object whether it is good, missing, damaged or unexpected.

Nothing that a live daemon does looks like damage; everything that somebody does to the objects behind its back is found,
named, and decides the exit status; what is called restorable can be restored.
"""

import json
import os
import signal
import subprocess
import time

from bad_input import as_nobody, cut, extend, flip, remove, shipped
from lib.case import PATIENCE, wait_until
from lib.daemon import restore
from lib.scene import Scene
from lib.tap import Skip, check, diag, equal

USAGE, NO_BACKUP, DAMAGED = 2, 3, 4


def look(case, url, *args, expect=0):
    """The document of one verification."""
    done = case.weir("verify", url, "--json", *args, expect=expect)
    return json.loads(done.stdout)


def problems(document):
    """Findings that matter."""
    return [f for f in document["findings"] if f["answer"] != "unexpected"]


def clean(document):
    """Nothing is missing or damaged."""
    check(document["good"] and not problems(document), f"not good: {document['findings']} {document['deep']}")
    for timeline in document["timelines"]:
        check(not timeline["lost"], f"lost: {timeline['lost']}")


def ranges(document, timeline):
    """Restorable txids of one timeline."""
    found = set()
    for entry in document["timelines"]:
        if entry["timeline"] == timeline:
            for one in entry["restorable"]:
                found.update(range(one["first_txid"], one["last_txid"] + 1))
    return found


# --- good replicas ---------------------------------------------------------------------------------------------------


def good(case):
    """A replica as the daemon leaves it; both forms of output."""
    scene, commits = shipped(case, 4)
    document = look(case, scene.url)
    clean(document)
    equal(document["objects"]["good"], len(scene.replica.list()), "good objects")
    equal(ranges(document, 1), {c.txid for c in commits}, "restorable txids")
    text = case.weir("verify", scene.url).stdout
    check("TIMELINE" in text and f"1 to {commits[-1].txid}" in text, f"no table in the text: {text}")


def while_it_is_written(case):
    """A daemon and its writer go on; large transactions and snapshots come in between."""
    scene = Scene(case)
    scene.start("--snapshot-interval", "300ms")
    until = time.monotonic() + 6
    rounds = 0
    while rounds < 2 or time.monotonic() < until:
        process = case.spawn([case.options.weir, "verify", scene.url, "--json"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        while process.poll() is None:
            scene.commit(1, size=6000000 if rounds % 5 == 0 else 3000)
        document = json.loads(process.stdout.read())
        process.stdout.close()
        case.forget(process)
        equal(process.returncode, 0, f"exit status of round {rounds}, {problems(document)}")
        clean(document)
        rounds += 1
    scene.end()
    document = look(case, scene.url, "--deep")
    clean(document)
    check(not document["findings"], f"left over: {document['findings']}")
    parts = sum(t["objects"]["part"]["good"] for t in document["timelines"])
    check(parts > 0, "no large transaction was among it")
    diag(f"{rounds} rounds, {document['objects']['good']} objects, {parts} parts")


def after_a_takeover(case):
    """Two timelines, the first one sealed; then an object of each is taken away."""
    old, _ = shipped(case, 3)
    new = Scene(case, "new", replica=old.replica, create=False)
    restore(case, old.url, new.db)
    new.rows = old.rows
    new.open()
    new.start()
    new.commit(3)
    new.end()
    document = look(case, new.url)
    clean(document)
    equal([t["timeline"] for t in document["timelines"]], [1, 2], "timelines")
    first, second = document["timelines"]
    check(first["sealed"] and first["successor"] == 2 and second["parent"] == 1, f"{first}, {second}")
    equal([t["timeline"] for t in look(case, new.url, "--timeline", "1")["timelines"]], [1], "timelines of --timeline 1")
    seal = f"t/00000001/log/{first['tip_txid'] + 1:016x}"
    kept = new.replica.read(seal)
    new.replica.delete(seal)
    equal([(f["answer"], f["key"]) for f in look(case, new.url, expect=DAMAGED)["findings"]], [("missing", seal)], "without the seal")
    new.replica.write(seal, kept)
    origin = "t/00000002/timeline.json"
    new.replica.delete(origin)
    document = look(case, new.url, expect=DAMAGED)
    equal([(f["answer"], f["key"]) for f in document["findings"]], [("missing", origin)], "without the timeline's document")
    equal(ranges(document, 2), set(), "restorable of timeline 2")


# --- damage ----------------------------------------------------------------------------------------------------------


def can_be_missed(key, document):
    """What a replica by itself cannot know: a later end, and a snapshot that no commit depends on."""
    tip = document["timelines"][-1]["tip_txid"]
    last = max(k for k in document["keys"] if "/log/" in k)
    return key == last or ("/snap/" in key and int(key.split("/")[3].split("-")[0], 16) > 1 and tip > 1)


# Fields of documents that nothing else repeats.
FOR_PEOPLE = (b'"writer"', b'"host"', b'"pid"', b'"path"', b'"time_ms"', b'"created_ms"', b'"page_size"')


def harmless(key, before, after):
    """A document that says the same but for what is there for people, or ends in another way."""
    if not key.endswith(".json"):
        return False
    lines = [line for line in zip(before.splitlines(), after.splitlines()) if line[0] != line[1]]
    same = len(before.splitlines()) == len(after.splitlines())
    return same and all(old.strip().startswith(FOR_PEOPLE) for old, _ in lines)


def damaged(case, damage):
    """Each object in turn: found, named, exit 4, and nothing else is; the restorable txids are."""
    scene, commits = shipped(case, 4)
    replica = scene.replica
    whole = look(case, scene.url)
    whole["keys"] = sorted(replica.list())
    for key in whole["keys"]:
        before = replica.read(key)
        what = f"{key}: {damage(replica, key, case.rng)}"
        unseen = can_be_missed(key, whole) if damage is remove else harmless(key, before, replica.read(key))
        document = look(case, scene.url, expect=(0, DAMAGED) if unseen else DAMAGED)
        found = [(f["answer"], f["key"].rstrip(".")) for f in problems(document)]
        answer = "missing" if damage is remove else "damaged"
        check(unseen or (len(found) == 1 and found[0][0] == answer and key.startswith(found[0][1])), f"{what}: {document['findings']}")
        txid = case.rng.choice(commits).txid
        possible = case.weir("restore", scene.url, "-o", case.path("one.db"), "--force", "--no-state", "--txid", txid, expect=None).returncode
        known = not (damage is remove and unseen) and txid in {c.txid for c in commits}
        check(not known or (possible == 0) == (txid in ranges(document, 1)),
              f"{what}: restore of txid {txid} gives {possible}, the report says {ranges(document, 1)}")
        replica.write(key, before)
    clean(look(case, scene.url))
    diag(f"{len(whole['keys'])} objects")


def added(case):
    """What is not weir's, and a part that no segment lists: reported, and harmless."""
    scene, _ = shipped(case, 2)
    for key in ("notes.txt", "t/00000001/log/readme", "t/00000001/part/0000000000000002-00000000-00000000"):
        scene.replica.write(key, b"hello")
        document = look(case, scene.url)
        equal([(f["answer"], f["key"]) for f in document["findings"]], [("unexpected", key)], key)
        scene.replica.delete(key)


def lost_range(case):
    """The text names what cannot be restored, why, and the last commit before."""
    scene, commits = shipped(case, 6)
    logs = [key for key in sorted(scene.replica.list()) if "/log/" in key]
    victim = logs[-3]
    first = int(victim.rsplit("/", 1)[1], 16)
    scene.replica.delete(victim)
    done = case.weir("verify", scene.url, expect=DAMAGED)
    wanted = f"commits {first} to {commits[-1].txid} of timeline 1 cannot be restored: {victim} is missing; last restorable before: {first - 1}"
    check(wanted in done.stdout, f"no {wanted!r} in\n{done.stdout}")
    check(done.stderr.strip(), "nothing on stderr")


# --- trial restores --------------------------------------------------------------------------------------------------


def deep(case):
    """--deep: the newest state, one by txid, one by time; the scratch folder is empty again."""
    scene, commits = shipped(case, 3)
    scratch = case.path("scratch")
    os.mkdir(scratch)
    document = look(case, scene.url, "--deep", "--scratch", scratch)
    clean(document)
    equal(document["deep"]["txid"], commits[-1].txid, "the txid of the trial restore")
    equal(look(case, scene.url, "--deep", "--scratch", scratch, "--txid", commits[1].txid)["deep"]["txid"], commits[1].txid, "--txid")
    equal(look(case, scene.url, "--deep", "--scratch", scratch, "--timestamp", commits[-1].time)["deep"]["txid"], commits[-1].txid, "--timestamp")
    case.weir("verify", scene.url, "--deep", "--scratch", scratch, "--txid", commits[-1].txid + 5, expect=NO_BACKUP)
    case.weir("verify", scene.url, "--deep", "--scratch", case.path("nowhere"), expect=USAGE)
    for key in scene.replica.list():
        if "/snap/" in key:
            scene.replica.delete(key)
    document = look(case, scene.url, "--deep", "--scratch", scratch, expect=DAMAGED)
    check(not document["good"] and not document["deep"]["restored"], f"{document['deep']}")
    equal(os.listdir(scratch), [], "the scratch folder")


def interrupted(case, number):
    """A signal in the middle of a trial restore leaves nothing behind."""
    scene = Scene(case)
    scene.start()
    for _ in range(3):
        scene.commit(1, size=9000000)
    scene.end()
    scratch = case.path("scratch")
    os.mkdir(scratch)

    def hit(moment):
        process = case.spawn([case.options.weir, "verify", scene.url, "--deep", "--scratch", scratch], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            inside = os.listdir(scratch)
            try:
                if inside and (moment == "the folder" or os.listdir(os.path.join(scratch, inside[0]))):
                    break
            except FileNotFoundError:
                pass  # it was faster than we
        process.send_signal(number)
        code = process.wait(PATIENCE)
        case.forget(process)
        check(code in (-number, 0), f"{moment}: exit {code}, expected to be ended by the signal")
        equal(os.listdir(scratch), [], f"the scratch folder, signal at {moment}")
        return code == -number  # else it was over before the signal came, which says nothing

    for moment in ("the folder", "the file"):
        wait_until(lambda moment=moment: hit(moment), f"a trial restore that the signal finds at {moment}")


# --- it could not be looked at ---------------------------------------------------------------------------------------


def nothing_there(case):
    """No replica at the URL, an empty one, no such timeline; wrong usage."""
    replica = case.replica("nowhere")
    done = case.weir("verify", replica.url, expect=NO_BACKUP)
    check(replica.name in done.stderr, f"the message does not name the replica: {done.stderr}")
    scene, _ = shipped(case, 1)
    case.weir("verify", scene.url, "--timeline", "7", expect=NO_BACKUP)
    for args in ((), (scene.url, "--txid", "1"), (scene.url, "--scratch", case.path()), (scene.url, "--timeline", "0"),
                 (scene.url, "--deep", "--txid", "1", "--timestamp", "2026-01-01T00:00:00Z"), ("ftp://host/x",)):
        case.weir("verify", *args, expect=USAGE)


def denied(case):
    """An object that may not be read: exit 1 with its name, not a verdict."""
    if case.options.store.kind != "file":
        raise Skip("permissions of files")
    if os.getuid() != 0:
        raise Skip("needs root, to give up its privileges")
    scene, _ = shipped(case, 2)
    if subprocess.run([case.options.weir, "--help"], preexec_fn=as_nobody, capture_output=True, check=False).returncode != 0:
        raise Skip("the program cannot be reached by another user")
    os.chmod(case.dir, 0o755)
    for folder, names, files in os.walk(scene.replica.folder):
        for name in names:
            os.chmod(os.path.join(folder, name), 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
    os.chmod(scene.replica.folder, 0o755)
    case.run(case.options.weir, "verify", scene.url, preexec_fn=as_nobody)
    for key in sorted(scene.replica.list()):
        path = os.path.join(scene.replica.folder, key)
        os.chmod(path, 0)
        done = case.run(case.options.weir, "verify", scene.url, preexec_fn=as_nobody, expect=1)
        check(key in done.stderr and "denied" in done.stderr, f"{key}: {done.stderr}")
        os.chmod(path, 0o644)


def cases(_options):
    """All of them."""
    found = [("good", good), ("while it is written", while_it_is_written), ("after a takeover", after_a_takeover)]
    found += [(f"damaged objects: {damage.__name__}", lambda case, a=damage: damaged(case, a)) for damage in (flip, cut, extend, remove)]
    found += [("added", added), ("lost range", lost_range), ("deep", deep)]
    found += [(f"interrupted by {number.name}", lambda case, a=number: interrupted(case, a)) for number in (signal.SIGINT, signal.SIGTERM)]
    found += [("nothing there", nothing_there), ("denied", denied)]
    return found
