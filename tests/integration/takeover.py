# SPDX-License-Identifier: Apache-2.0
"""takeover: a restored copy becomes the writer, the old writer is fenced, both histories stay.

The old daemon must end with exit 5 at its next ship, nothing of it may appear in the new timeline, and every txid of both
timelines stays restorable.
"""

import os

from lib.case import tail
from lib.daemon import log_of, restore, restore_all
from lib.scene import Scene
from lib.tap import check, equal

FENCED = 5


def restored_copy(case, scene, name):
    """A scene on a fresh restore of another scene's replica."""
    copy = Scene(case, name, replica=scene.replica, create=False)
    restore(case, scene.url, copy.db)
    copy.rows = scene.rows
    copy.open()
    return copy


def taken_over(case):
    """(old, new, states of the old timeline): the old daemon still runs and does not know yet."""
    old = Scene(case, "old")
    old.start(name="old")
    old.commit(5)
    old.sync()
    new = restored_copy(case, old, "new")
    new.start(name="new")
    new.commit(3)
    new.sync()
    return old, new


def fenced_at_next_ship(case):
    """The basic story."""
    old, new = taken_over(case)
    check(old.daemon.alive(), f"the old daemon ended before it had anything to ship\n{tail(old.daemon.log())}")
    lost = old.commit(2)
    old.daemon.wait_exit(expect=FENCED)
    check("timeline" in old.daemon.log() or "took over" in old.daemon.log(),
          f"the fenced daemon does not say who took over\n{tail(old.daemon.log())}")
    last = new.commit(2)
    new.end()
    old.close()
    commits = restore_all(case, new.url, log_of(case, new.url))
    equal(commits[-1].state.masked, last.masked, "tip")
    check(all(c.state.full != lost.full for c in commits), "a commit of the fenced writer is in the history")
    first, second = [c for c in commits if c.timeline == 1], [c for c in commits if c.timeline == 2]
    check(first and second, f"timelines: {sorted({c.timeline for c in commits})}")
    equal(first[-1].state.masked, old.recorder.states[-3].masked, "tip of the first timeline")
    fenced_again = old.start(ready=False)
    fenced_again.wait_exit(expect=FENCED)


def sync_reports_fencing(case):
    """`weir sync --wait` of a fenced writer must not pretend that its commits are safe."""
    old, new = taken_over(case)
    old.commit(2)
    done = case.weir("sync", old.db, "--wait", expect=None)
    check(done.returncode != 0, f"weir sync --wait of a fenced writer: exit 0, {done.stdout!r}")
    old.daemon.wait_exit(expect=FENCED)
    old.close()
    new.end()


def shutdown_of_a_fenced_writer(case):
    """SIGTERM with unshippable commits: anything but exit 0."""
    old, new = taken_over(case)
    old.stop(expect=0)  # nothing to ship: all is well
    old.start(ready=False).wait_exit(expect=FENCED)
    old.close()
    new.end()


def takeover_chain(case):
    """Three writers, one after the other; every timeline restorable."""
    scene, states = Scene(case, "w0"), []
    scene.start(name="w0")
    for number in range(1, 4):
        states.append(scene.commit(3))
        scene.sync()
        following = restored_copy(case, scene, f"w{number}")
        following.start(name=f"w{number}")
        scene.commit(1)
        scene.daemon.wait_exit(expect=FENCED)
        scene.close()
        scene = following
    states.append(scene.commit(2))
    scene.end()
    for number, state in enumerate(states, 1):
        equal(scene.tip(timeline=number).masked, state.masked, f"tip of timeline {number}")
    equal(scene.tip().masked, states[-1].masked, "tip")
    listing = case.weir("ls", scene.url, "--json").stdout
    check(listing.strip(), "weir ls --json is empty")


def fork_of_the_past(case):
    """Restore to an earlier txid on purpose and go on from there: a timeline of its own, without being asked for; the later
    commits stay in the parent."""
    scene = Scene(case)
    scene.start()
    scene.commit(6)
    scene.end()
    before = scene.verify()
    middle = before[len(before) // 2]
    copy = Scene(case, "past", replica=scene.replica, create=False)
    restore(case, scene.url, copy.db, "--txid", middle.txid)
    copy.rows = scene.rows
    copy.open()
    copy.start(name="past")
    last = copy.commit(2)
    copy.end()
    for commit in before:
        equal(copy.tip(txid=commit.txid, timeline=1).full, commit.state.full, f"txid {commit.txid} of timeline 1")
    equal(copy.tip().masked, last.masked, "tip of the fork")
    equal(copy.tip(txid=middle.txid).full, middle.state.full, "the fork's own past")
    check(os.path.isdir(copy.state_dir), "a restore brings its local state along")


def cases(_options):
    """All of them."""
    return [
        ("fenced at the next ship", fenced_at_next_ship), ("sync reports fencing", sync_reports_fencing),
        ("shutdown and restart of a fenced writer", shutdown_of_a_fenced_writer), ("a chain of takeovers", takeover_chain),
        ("fork of the past", fork_of_the_past),
    ]
