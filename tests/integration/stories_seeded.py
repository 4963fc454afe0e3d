# SPDX-License-Identifier: Apache-2.0
"""stories_seeded: a demo that comes up with synthetic data when there is none, and is used by visitors from then on.

Whatever happens while the data is loaded, nobody ever sees half of it; once the demo has begun the seed is never used again,
and what visitors spoil can be taken back to any moment.
"""

import json
import os
import shutil
import signal

from lib.case import tail, wait_until
from lib.daemon import log_of
from lib.story import EXAMPLES, Container, disk, look, looked_at, sound, tell
from lib.tap import check, equal
from run_cmd import away, end_orphans, url_of, write_program

ROWS = 2000
# What a demo does today: load a document of synthetic rows, here in several transactions, with a place to stop half-way.
LOADER = """
import json, os, sqlite3, sys, time
document, marks = sys.argv[1], sys.argv[2]
db = sqlite3.connect(sys.argv[3], isolation_level=None)
with open(os.path.join(marks, "runs"), "a") as file:
    file.write("run\\n")
db.execute("CREATE TABLE car(id INTEGER PRIMARY KEY, name TEXT, price INTEGER)")
with open(document) as file:
    rows = json.load(file)
for start in range(0, len(rows), 500):
    db.execute("BEGIN")
    db.executemany("INSERT INTO car(name, price) VALUES (:name, :price)", rows[start:start + 500])
    db.execute("COMMIT")
    if start == 500:
        open(os.path.join(marks, "half"), "w").close()
        while os.path.exists(os.path.join(marks, "wait")):
            time.sleep(0.01)
"""


def demo(case):
    """(environment, program of a visitor, folder of marks) of a demo whose seed is a command."""
    marks = disk(case, "marks")
    with open(case.path("cars.json"), "w", encoding="utf-8") as file:
        json.dump([{"name": f"car {number}", "price": number * 10} for number in range(1, ROWS + 1)], file)
    with open(case.path("load.py"), "w", encoding="utf-8") as file:
        file.write(LOADER)
    write_program(case.path("seed"), f'exec python3 {case.path("load.py")} {case.path("cars.json")} {marks} "$1"')
    db = disk(case, "tmp") + "/demo.db"
    env = {"WEIR_DB": db, "WEIR_REPLICA": url_of(case), "WEIR_SEED": case.path("seed")}
    return env, ["sqlite3", "-cmd", ".timeout 30000", db, "INSERT INTO car(name, price) VALUES ('a visitor''s', 1)"], marks


def runs(marks):
    """How often the seed's command was run."""
    with open(os.path.join(marks, "runs"), encoding="ascii") as file:
        return len(file.readlines())


def cars(case, env, *args):
    """How many cars the replica has."""
    return looked_at(case, env["WEIR_REPLICA"], "SELECT count(*) FROM car", *args)[0][0]


def begins_once(case):
    """It comes up seeded once; every start after that has what visitors did, with the disk or without it."""
    env, visit, marks = demo(case)
    for number in range(1, 6):
        Container(case, visit, env).start().wait_exit(expect=0)
        equal(look(env["WEIR_DB"], "SELECT count(*) FROM car"), [(ROWS + number,)], "cars")
        if number % 2:
            tell(f"start {number}: {ROWS + number} cars; the disk is lost")
            disk(case, "tmp")
    equal(runs(marks), 1, "runs of the seed")
    equal(cars(case, env), ROWS + 5, "cars in the replica")


def crashed(case):
    """Killed half-way through the seed, by a platform that has no patience: nothing half-seeded is ever there or shipped."""
    env, visit, marks = demo(case)
    for number, how in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
        with open(os.path.join(marks, "wait"), "w", encoding="ascii"):
            pass
        started = Container(case, visit, env).start()
        wait_until(lambda: os.path.exists(os.path.join(marks, "half")), "half of the rows")
        started.process.send_signal(how)
        if how == signal.SIGKILL:
            started.kill()
            tell("killed half-way through the seed")
        else:
            started.wait_exit(expect=128 + signal.SIGTERM)
            tell("stopped half-way through the seed")
        os.unlink(os.path.join(marks, "wait"))
        end_orphans(case)
        os.unlink(os.path.join(marks, "half"))
        check(not os.path.exists(env["WEIR_DB"]), "half a seed counts as a database")
        case.weir("restore", env["WEIR_REPLICA"], "-o", case.path("none.db"), expect=3)
        wait_until(lambda n=number: runs(marks) == n, "the loader has run")
    tell("left alone, it loads everything")
    Container(case, visit, env).start().wait_exit(expect=0)
    equal(look(env["WEIR_DB"], "SELECT count(*), count(DISTINCT name), min(id), max(id) FROM car"), [(ROWS + 1, ROWS + 1, 1, ROWS + 1)], "cars")
    equal(cars(case, env), ROWS + 1, "cars in the replica")
    equal(runs(marks), 3, "runs of the seed")


def shipped_before_anybody_sees_it(case):
    """Killed right after the seed, before the first visitor: the next start has it all, from wherever it is."""
    env, _, marks = demo(case)
    started = Container(case, ["sleep", "1000"], env).start()
    started.wait_ready()
    started.kill_all()
    tell("seeded, acknowledged as shipped, and everything is killed")
    disk(case, "tmp")
    again = Container(case, ["true"], env).start()
    again.wait_exit(expect=0)
    check("restored from the replica" in again.log(), tail(again.log()))
    equal((look(env["WEIR_DB"], "SELECT count(*) FROM car"), runs(marks)), ([(ROWS,)], 1), "cars, and runs of the seed")


def replica_away(case):
    """Is there a history, or not?  While the replica does not answer nobody knows, so the seed is not used either."""
    env, visit, marks = demo(case)
    Container(case, visit, env).start().wait_exit(expect=0)
    begin, mend = away(case)
    disk(case, "tmp")
    begin()
    refused = Container(case, visit, env, args=("--start-timeout", "0s")).start()
    refused.wait_exit()
    check(refused.exit_code() not in (0, None) and not os.path.exists(env["WEIR_DB"]), tail(refused.log()))
    tell("the replica is away: not seeded over what it may hold")
    mend()
    Container(case, visit, env).start().wait_exit(expect=0)
    equal((cars(case, env), runs(marks)), (ROWS + 2, 1), "cars, and runs of the seed")


def seed_file(case):
    """A database file as seed, shipped with the image: copied once, never changed, also when it lies on a read-only disk."""
    seed = disk(case, "image") + "/seed.db"
    case.run("sqlite3", seed, "CREATE TABLE car(id INTEGER PRIMARY KEY, name TEXT, price INTEGER); INSERT INTO car(name, price) VALUES ('first', 10)")
    os.chmod(case.path("image"), 0o555)
    with open(seed, "rb") as file:
        before = file.read()
    db = disk(case, "tmp") + "/demo.db"
    env = {"WEIR_DB": db, "WEIR_REPLICA": case.replica().url, "WEIR_SEED": seed}
    for number in (2, 3, 4):
        Container(case, ["sqlite3", "-cmd", ".timeout 60000", db, "INSERT INTO car(name, price) VALUES ('a visitor''s', 1)"], env).start().wait_exit(expect=0)
        equal(look(db, "SELECT count(*) FROM car"), [(number,)], "cars")
        disk(case, "tmp")
    with open(seed, "rb") as file:
        check(file.read() == before, "the seed was changed")
    equal(os.listdir(case.path("image")), ["seed.db"], "files beside the seed")
    os.chmod(case.path("image"), 0o755)


def any_moment(case):
    """What they would have moved to a hosted database for: visitors spoil the demo, and it goes back to the minute before."""
    env, visit, _ = demo(case)
    db, url = env["WEIR_DB"], env["WEIR_REPLICA"]
    Container(case, visit, env).start().wait_exit(expect=0)
    good = log_of(case, url)[-1]
    Container(case, ["sqlite3", "-cmd", ".timeout 60000", db, "DELETE FROM car WHERE price > 100"], env).start().wait_exit(expect=0)
    Container(case, visit, env).start().wait_exit(expect=0)
    check(look(db, "SELECT count(*) FROM car")[0][0] < 20, "the visitor did not spoil it")
    tell(f"a visitor deleted nearly everything; back to {good.time}")
    case.weir("restore", url, "-o", db, "--timestamp", good.time, "--in-place", "--keep-old")
    sound(db)
    equal(look(db, "SELECT count(*) FROM car"), [(ROWS + 1,)], "cars")
    Container(case, visit, env).start().wait_exit(expect=0)
    equal(cars(case, env), ROWS + 2, "cars in the replica")
    check(cars(case, env, "--timeline", 1) < 20, "the spoilt state can be restored, too")
    shutil.rmtree(case.path("tmp"))


def example(case):
    """The seed of docs/examples/container makes a database that can be used, and says no when it cannot."""
    db = disk(case, "tmp") + "/app.db"
    env = {"WEIR_DB": db, "WEIR_REPLICA": case.replica().url, "WEIR_SEED": str(EXAMPLES / "container" / "seed")}
    Container(case, ["sqlite3", "-cmd", ".timeout 60000", db, "INSERT INTO visit(at) VALUES ('now')"], env).start().wait_exit(expect=0)
    equal(looked_at(case, case.replica().url, "SELECT count(*) FROM visit"), [(1,)], "visits")
    bare = {**env, "WEIR_DB": disk(case, "bare") + "/app.db", "WEIR_REPLICA": case.replica("bare").url, "PATH": "/nowhere"}
    refused = Container(case, ["/bin/true"], bare).start()
    refused.wait_exit(expect=2)
    check("exit status 127" in refused.log() and not os.path.exists(bare["WEIR_DB"]), tail(refused.log()))


def cases(_options):
    """All stories."""
    return [
        ("begins once", begins_once), ("crashed half-way", crashed), ("shipped before anybody sees it", shipped_before_anybody_sees_it),
        ("the replica is away", replica_away), ("a file as seed", seed_file), ("back to any moment", any_moment), ("the example", example),
    ]
