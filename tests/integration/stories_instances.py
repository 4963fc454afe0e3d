# SPDX-License-Identifier: Apache-2.0
"""stories_instances: several instances of one service: one writes, the others keep a warm copy that they read from.

The writer is replaced, dies, comes back from the dead; a copy is promoted; the schema changes. Readers see whole states all
the time, one instance ships at any time, and nothing is destroyed that nobody said should be.
"""

import json
import os
import signal
import sqlite3

from lib.case import tail, wait_until
from lib.daemon import Daemon, restore_state
from lib.follower import Follower, Reader
from lib.history import fingerprint_file
from lib.story import Container, Shop, disk, look, looked_at, sound, tell
from lib.tap import check, equal

USAGE, NO_BACKUP, DAMAGED, FENCED = 2, 3, 4, 5
# For readers: the orders have no hole, and there are never fewer than before.
WHOLE = "SELECT count(*) = coalesce(max(id), 0), count(*) FROM orders_order"


def owner(case, url):
    """(timeline, process, path) of who writes the history, as `weir ls` tells."""
    newest = json.loads(case.weir("ls", url, "--json").stdout)["timelines"][-1]
    return newest["timeline"], newest["pid"], newest["path"]


def copies(case, url, *names):
    """Followers on machines of their own."""
    return [Follower(case, url, disk(case, name) + "/shop.db").start() for name in names]


def served(shop, *copied):
    """What the shop shipped is in the copies."""
    txid = shop.sync()
    for copy in copied:
        copy.wait_txid(txid)
    return txid


def writer_and_copies(case):
    """(shop, two followers, a reader on each): three orders are everywhere."""
    url = case.replica().url
    shop = Shop(case, disk(case, "writer") + "/shop.db", url, name="writer").open()
    for number in (1, 2, 3):
        equal(shop.order("something"), number, "the number of the order")
    shop.sync()
    first, second = copies(case, url, "first", "second")
    served(shop, first, second)
    readers = [Reader(case, copy.copy, WHOLE) for copy in (first, second)]
    for copy in (first, second):
        equal(look(copy.copy, WHOLE), [(1, 3)], "orders in the copy")
    return shop, first, second, readers


def followed(case):
    """Orders and a migration arrive in the copies while they are read; `weir status` and `weir ls` tell who writes, and where both are."""
    shop, first, second, readers = writer_and_copies(case)
    url = case.replica().url
    equal(owner(case, url), (1, shop.pid, shop.db), "who writes")
    tell("a deployment: the writer stops, migrates at its next start, and goes on; the copies follow")
    shop.stop()
    shop = Shop(case, shop.db, url, "0002", name="writer again").open()
    equal(shop.order("after the migration"), 4, "the number of the order")
    txid = served(shop, first, second)
    status = shop.status()["databases"][0]
    equal((status["state"], status["timeline"], status["shipped_txid"], status["lag"]["commits"]), ("replicating", 1, txid, 0), "the status")
    for copy in (first, second):
        equal(look(copy.copy, "SELECT (SELECT count(*) FROM orders_order), name FROM sqlite_schema WHERE name = 'orders_by_item'"),
              [(4, "orders_by_item")], "orders and the new index in the copy")
    shop.stop()
    for reader in readers:
        reader.end()
    for copy in (first, second):
        copy.stop()
        equal(fingerprint_file(copy.copy).full, restore_state(case, url).full, "the copy and the newest state")


def promoted(case):
    """The writer dies with its machine; a copy becomes the writer, the other one follows it, the old one is refused when it comes back."""
    shop, first, second, readers = writer_and_copies(case)
    url = case.replica().url
    equal(shop.order("the last one that was shipped"), 4, "the number of the order")
    served(shop, first, second)
    shop.kill_all()
    tell("the writer is gone; the first copy is promoted")
    readers.pop(0).end()
    first.stop()
    new = Shop(case, first.copy, url, "0002", name="promoted").open()
    equal(new.orders()[0], 4, "orders")
    equal(new.order("from the promoted one"), 5, "the number of the order")
    second.wait_for("timeline")
    served(new, second)
    equal(look(second.copy, WHOLE), [(1, 5)], "orders in the other copy")
    equal(owner(case, url), (2, new.pid, new.db), "who writes")
    tell("the old machine comes back and is told; its application does not begin")
    old = Shop(case, shop.db, url, name="old").start()
    old.wait_exit(expect=FENCED)
    check("timeline 2, written from" in old.log() and not os.path.exists(old.port_file), tail(old.log()))
    new.stop()
    readers[0].end()
    second.stop()
    equal(looked_at(case, url, WHOLE), [(1, 5)], "orders in the replica")


def back_from_the_dead(case):
    """The writer only hung; a copy was promoted meanwhile. When it wakes up its next order ends it, and is in no history."""
    shop, first, second, readers = writer_and_copies(case)
    url = case.replica().url
    program = shop.program_pid()
    for pid in (shop.pid, program):
        os.kill(pid, signal.SIGSTOP)
    tell("the writer hangs; the first copy is promoted")
    readers.pop(0).end()
    first.stop()
    new = Shop(case, first.copy, url, name="promoted").open()
    equal(new.order("from the promoted one"), 4, "the number of the order")
    served(new, second)
    for pid in (shop.pid, program):
        os.kill(pid, signal.SIGCONT)
    tell("it wakes up and takes an order")
    try:
        shop.order("from the dead")
    except OSError:
        pass  # ended before it could answer
    shop.wait_exit(expect=FENCED)
    equal(new.order("from the promoted one"), 5, "the number of the order")
    served(new, second)
    new.stop()
    readers[0].end()
    second.stop()
    equal(looked_at(case, url, "SELECT count(*) FROM orders_order WHERE item = 'from the dead'"), [(0,)], "orders of the dead")
    equal(looked_at(case, url, WHOLE), [(1, 5)], "orders in the replica")


def not_yet(case):
    """A copy that is behind is not promoted: commits would be lost. It catches up first, then it may."""
    shop, first, second, readers = writer_and_copies(case)
    url = case.replica().url
    for reader in readers:
        reader.end()
    first.stop()
    equal(shop.order("not in the first copy"), 4, "the number of the order")
    served(shop, second)
    shop.kill_all()
    tell("the first copy was stopped before the last order: its promotion is refused")
    early = Shop(case, first.copy, url, name="too early").start()
    early.wait_exit(expect=FENCED)
    check(not os.path.exists(early.port_file), "the shop began without the last order")
    tell("it follows until there is nothing newer, and is promoted")
    again = Follower(case, url, first.copy).start()
    again.wait_for("current")
    again.stop()
    new = Shop(case, first.copy, url, name="promoted").open()
    equal(new.orders()[0], 4, "orders")
    served(new, second)
    new.stop()
    second.stop()


def survives(case):
    """What a script proves today: data survives a restart. With the disk, without it, and after a crash; the status tells both positions."""
    url, db = case.replica().url, disk(case, "writer") + "/shop.db"
    shop = Shop(case, db, url).open()
    equal(shop.order("one"), 1, "the number of the order")
    txid = shop.sync()
    shop.kill_all()
    told = case.weir("status", db, "--json", expect=1)
    known = json.loads(told.stdout)["databases"][0]
    equal((known["state"], known["shipped_txid"] >= 1, known["timeline"]), ("not running", True, 1), "the status after a crash")
    tell(f"txid {txid} was shipped; after a crash weir status knows {known['shipped_txid']}, and says that nothing runs")
    for what in ("with its disk", "without it"):
        shop = Shop(case, db, url).open()
        equal(shop.orders()[0], 1, f"orders after a restart {what}")
        shop.stop()
        sound(db)
        disk(case, "writer")


def nothing_destroyed(case):
    """Each way to lose something by mistake is refused, names the way that is meant for it, and changes nothing."""
    url, db = case.replica().url, disk(case, "writer") + "/app.db"
    make = ["sqlite3", "-cmd", ".timeout 60000", db, "CREATE TABLE t(x); INSERT INTO t VALUES(1)"]
    Container(case, make, {"WEIR_DB": db, "WEIR_REPLICA": url}).start().wait_exit(expect=0)
    other = disk(case, "other") + "/app.db"
    case.run("sqlite3", other, "PRAGMA journal_mode=WAL; CREATE TABLE somebody_elses(y); INSERT INTO somebody_elses VALUES(2)")
    before, files = case.replica().list(), [fingerprint_file(path).full for path in (db, other)]

    def refused(way, status, *argv):
        done = case.weir(*argv, expect=status)
        check(way in done.stderr, f"{argv}: {way!r} is not in: {done.stderr}")
        tell(done.stderr.strip().splitlines()[-1].replace(case.path(), "")[:200])

    refused("--force", (1, USAGE), "restore", url, "-o", db)
    refused("--force", (1, USAGE), "restore", url, "-o", other, "--follow")
    refused("--next", 1, "import", other, url)
    stranger = Daemon(case, other, url, name="stranger").start(ready=False)
    stranger.wait_exit(expect=(1, USAGE, FENCED))
    check("--adopt" in stranger.log() or "--fork" in stranger.log(), tail(stranger.log()))
    tell(stranger.log().strip().splitlines()[-1].replace(case.path(), "")[:200])
    ran = Container(case, ["touch", case.path("began")], {"WEIR_DB": other, "WEIR_REPLICA": url}).start()
    ran.wait_exit(expect=(1, USAGE, FENCED))
    check(not os.path.exists(case.path("began")), "the application began with a database that is not that of the replica")
    equal(case.replica().list(), before, "the replica")
    equal([fingerprint_file(path).full for path in (db, other)], files, "the databases")


def scribbled_on(case):
    """An instance writes to its copy by mistake: found, said, nothing of it reaches anybody, and --force makes the copy anew."""
    shop, first, second, readers = writer_and_copies(case)
    for reader in readers:
        reader.end()
    with sqlite3.connect(first.copy, timeout=60) as connection:
        connection.execute("DELETE FROM orders_order WHERE id = 2")
    connection.close()
    tell("somebody deleted an order in a copy")
    equal(shop.order("one more"), 4, "the number of the order")
    served(shop, second)
    first.wait_exit(DAMAGED)
    tell(first.complaints().strip().splitlines()[-1].replace(case.path(), ""))
    equal(look(second.copy, WHOLE), [(1, 4)], "orders in the other copy")
    again = Follower(case, case.replica().url, first.copy, "--force").start()
    served(shop, again)
    wait_until(lambda: look(first.copy, WHOLE) == [(1, 4)], "the copy is as it should be")
    for process in (again, second, shop):
        process.stop()


def cases(_options):
    """All stories."""
    return [
        ("followed and read", followed), ("promoted", promoted), ("back from the dead", back_from_the_dead), ("not yet", not_yet),
        ("survives", survives), ("nothing is destroyed", nothing_destroyed), ("scribbled on", scribbled_on),
    ]
