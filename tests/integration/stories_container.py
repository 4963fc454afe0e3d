# SPDX-License-Identifier: Apache-2.0
"""stories_container: a web application on SQLite in a container, with weir as its entrypoint.

The container is stopped, killed, replaced and started twice; its disk goes with it. A deployment goes wrong and is undone.
The application is a Django site with migrations (tests/integration/shop/), which knows nothing of weir.
"""

import contextlib
import datetime
import http.client
import http.server
import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time

from bad_input import small_disk
from lib.case import tail, wait_until
from lib.daemon import log_of, restore_state
from lib.history import Recorder
from lib.story import EXAMPLES, Container, Customers, Shop, disk, look, looked_at, sound, tell
from lib.tap import Skip, check, equal
from run_cmd import away, url_of

NO_BACKUP = 3
FENCED = 5
NUMBERS = "SELECT id FROM orders_order ORDER BY id"


def now():
    """This moment, as a person would write it down."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def numbers(case, url):
    """The orders in the replica, without a hole."""
    found = [row[0] for row in looked_at(case, url, NUMBERS)]
    equal(found, list(range(1, len(found) + 1)), "orders in the replica")
    return len(found)


def numbers_if_any(case, url):
    """The same for a replica that may not have come to its first upload, or to the table, when its writer was killed."""
    if case.weir("restore", url, "-o", case.path("looked-for.db"), "--dry-run", expect=(0, NO_BACKUP)).returncode == NO_BACKUP:
        return 0
    return numbers(case, url) if looked_at(case, url, "SELECT 1 FROM sqlite_schema WHERE name = 'orders_order'") else 0


# --- the example that users copy ---------------------------------------------------------------------------------------


def dockerfile():
    """(environment, ENTRYPOINT, CMD) of the example's last stage."""
    with open(EXAMPLES / "container" / "Dockerfile", encoding="utf-8") as file:
        lines = re.sub(r"\\\n", " ", file.read()).splitlines()
    env = dict(word.split("=", 1) for line in lines if line.startswith("ENV ") for word in shlex.split(line[4:]))
    entry, command = (next(json.loads(line.split(" ", 1)[1]) for line in lines if line.startswith(what)) for what in ("ENTRYPOINT", "CMD"))
    return env, entry, command


def example(case):
    """docs/examples/container is true: its environment, its seed and its program, with the disk lost between two starts."""
    env, entry, command = dockerfile()
    equal(entry[:2] + entry[-1:], ["weir", "run", "--"], "the entrypoint")

    def placed(text):
        return text.replace("/app/", f"{EXAMPLES}/container/", 1) if text.startswith("/app/") else text

    visits = 0
    for number in range(2):
        db = disk(case, "data") + "/app.db"
        env = {**{name: placed(value) for name, value in env.items()}, "WEIR_DB": db, "WEIR_REPLICA": case.replica().url}
        container = Container(case, [placed(word) for word in command], env, args=entry[2:-1]).start()
        container.wait_log("seeded" if number == 0 else "restored from the replica")
        wait_until(lambda db=db, n=visits: os.path.exists(db) and look(db, "SELECT count(*) FROM visit")[0][0] >= n + 2, "two more visits")
        container.stop()
        visits = looked_at(case, case.replica().url, "SELECT count(*) FROM visit")[0][0]
        equal(look(db, "SELECT count(*) FROM visit"), [(visits,)], "visits on the disk that is thrown away, and in the replica")


# --- a shop ------------------------------------------------------------------------------------------------------------


def deployments(case):
    """Containers come and go with their disks; each finds what the one before has left, migrates, and goes on."""
    url, count = case.replica().url, 0
    for migration, found in (("0001", "starting empty"), ("0002", "restored from the replica"), ("0002", "restored from the replica")):
        db = disk(case, "data") + "/shop.db"
        shop = Shop(case, db, url, migration).open()
        tell(f"a container starts on an empty disk, brings the orders to {migration} and serves")
        check(found in shop.log(), tail(shop.log()))
        equal(shop.orders()[0], count, "orders that were there")
        for _ in range(4):
            count += 1
            equal(shop.order(f"item {count}"), count, "the number of the order")
        tell("the platform stops it")
        shop.stop()
        check(" error " not in shop.log(), lambda: f"an ordinary life is told as an error\n{tail(shop.log())}")
    equal(numbers(case, url), count, "orders in the replica")
    equal(looked_at(case, url, "SELECT name FROM sqlite_schema WHERE name = 'orders_by_item'"), [("orders_by_item",)], "the new index")


def killed(case):
    """SIGKILL of everything while customers order: no order that was acknowledged as shipped is missing, none has a hole before it."""
    url = case.replica().url
    for life in range(4):
        db = disk(case, "data") + "/shop.db"
        shop = Shop(case, db, url).open()
        before = shop.orders()[0]
        customers = Customers(shop)
        customers.wait_for(before + 3)
        promised = customers.last
        if life % 2:
            shop.sync()
        else:
            promised = before
        time.sleep(case.rng.uniform(0, 0.2))  # any moment will do
        shop.kill_all()
        customers.end()
        kept = numbers(case, url) if promised else numbers_if_any(case, url)
        tell(f"killed: {customers.last} orders were confirmed, {promised} were known to be shipped, {kept} are there")
        check(promised <= kept, f"{promised} orders were acknowledged as shipped, {kept} are there")
        check(kept <= customers.last + 1, f"{kept} orders, though only {customers.last} were confirmed")


def two_tasks(case):
    """The platform starts the new task before it has stopped the old one: exactly one ships, the other is told by whom."""
    url = case.replica().url
    old = Shop(case, disk(case, "old") + "/shop.db", url, name="old").open()
    for number in range(1, 4):
        equal(old.order("from the old one"), number, "the number of the order")
    old.sync()
    tell("a second task starts on another machine and takes over")
    new = Shop(case, disk(case, "new") + "/shop.db", url, name="new").open()
    equal(new.order("from the new one"), 4, "the number of the order")
    new.sync()
    tell("the old one takes an order, cannot ship it, and is ended with its reason")
    with contextlib.suppress(OSError):  # it may be ended before it has answered
        old.order("from the old one, too late")
    old.wait_exit(expect=FENCED)
    check("another writer owns the replica" in old.log() and f"(process {new.pid})" in old.log(),
          lambda: f"the log does not tell of process {new.pid}\n{tail(old.log())}")
    tell("its disk is used once more: it is refused before the application begins")
    again = Shop(case, old.db, url, name="again").start()
    again.wait_exit(expect=FENCED)
    check(not os.path.exists(again.port_file), "the shop began with a history that is not its own any more")
    equal(new.order("from the new one"), 5, "the number of the order")
    new.stop()
    items = [row[0] for row in looked_at(case, url, "SELECT item FROM orders_order ORDER BY id")]
    equal(items, ["from the old one"] * 3 + ["from the new one"] * 2, "orders in the replica")
    check(look(old.db, "SELECT count(*) FROM orders_order WHERE item LIKE '%too late'")[0][0] <= 1, "orders of the old one, on its disk")


def same_moment(case):
    """Two tasks start at the same moment on two machines, with a history and without one: one stays, the other ends with its reason."""
    url = case.replica().url
    for what in ("nothing in the replica", "a history in the replica"):
        tasks = [Shop(case, disk(case, name) + "/shop.db", url, name=name) for name in ("left", "right")]
        for task in tasks:
            task.start()
        gone = []

        def settled(tasks=tasks, gone=gone):
            for task in tasks:
                if task not in gone and not task.alive():
                    gone.append(task)
                elif task not in gone and os.path.exists(task.port_file):
                    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):  # it may be ended at any moment
                        task.order(f"from the {task.name} one")
            return len(gone) == 1

        wait_until(settled, "one of them is left")
        stays = next(task for task in tasks if task not in gone)
        tell(f"{what}: the {stays.name} one stays, the other ended with {gone[0].exit_code()}: "
             f"{gone[0].log().strip().splitlines()[-1].replace(case.path(), '')[:240]}")
        gone[0].wait_exit(expect=FENCED)
        wait_until(lambda stays=stays: os.path.exists(stays.port_file), "the one that stays serves")
        stays.order("the last one")
        stays.sync()
        orders = stays.orders()[0]
        check(stays.alive() and numbers(case, url) == orders, f"{orders} orders, another number in the replica")
        stays.stop()


def slower_one(case):
    """Two tasks find nothing, and one is slower to make its database: it is told that somebody else has begun meanwhile."""
    url, go = case.replica().url, case.path("go")
    slow = disk(case, "slow") + "/shop.db"
    wait = f"while [ ! -e {go} ]; do sleep 0.05; done; sqlite3 -cmd '.timeout 60000' {slow} 'CREATE TABLE mine(x)'; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    slower = Container(case, ["sh", "-c", wait], {"WEIR_DB": slow, "WEIR_REPLICA": url}, name="slower").start().wait_log("the command has begun")
    shop = Shop(case, disk(case, "fast") + "/shop.db", url, name="faster").open()
    equal(shop.order("one"), 1, "the number of the order")
    shop.sync()
    with open(go, "w", encoding="ascii"):
        pass
    slower.wait_exit(expect=FENCED)
    tell(slower.log().strip().splitlines()[-1].replace(case.path(), ""))
    check("another writer" in slower.log(), tail(slower.log()))
    equal(shop.order("two"), 2, "the number of the order")
    shop.stop()
    equal(numbers(case, url), 2, "orders in the replica")


def same_volume(case):
    """Two tasks share a volume: the second is told who has it before its application begins, or waits for its turn."""
    url, db = case.replica().url, disk(case, "volume") + "/shop.db"
    first = Shop(case, db, url, name="first").open()
    first.order("one")
    second = Shop(case, db, url, name="second").start()
    second.wait_exit(expect=FENCED)
    check(str(first.pid) in second.log() and not os.path.exists(second.port_file), tail(second.log()))
    standby = Shop(case, db, url, args=("--standby",), name="standby").start().wait_log("standing by")
    equal(first.order("two"), 2, "the number of the order")
    first.stop()
    standby.wait_log("it is our turn now")
    wait_until(lambda: os.path.exists(standby.port_file), "the standby serves")
    equal(standby.order("three"), 3, "the number of the order")
    standby.stop()
    equal(numbers(case, url), 3, "orders in the replica")


def bad_deployment(case):
    """A migration ruins every amount and nobody notices for a while: find it, go back to just before it, go on."""
    url, db = case.replica().url, disk(case, "data") + "/shop.db"
    shop = Shop(case, db, url, "0002").open()
    case.run("sqlite3", "-cmd", ".timeout 60000", db, "INSERT INTO orders_order(item, amount) "
             "WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 1000) SELECT printf('%0100d', i), i FROM c")
    equal(shop.orders()[0], 1000, "a thousand orders")
    good = shop.orders()
    shop.stop()
    tell("the third deployment multiplies every amount by nothing; customers go on")
    since = now()
    shop = Shop(case, db, url, "0003").open()
    for number in range(1001, 1004):
        equal(shop.order("after the mistake", 7), number, "the number of the order")
    equal(shop.orders(), (1003, 21), "what the shop has by now")
    shop.stop()

    tell(f"which commit was it?  weir log --table orders_order --since {since}")
    lines = [json.loads(line) for line in case.weir("log", url, "--table", "orders_order", "--since", since, "--json").stdout.splitlines()]
    worst = max(lines, key=lambda line: line["pages"])
    check(worst["pages"] > 20 and worst == lines[0], f"the migration is not the one commit with many pages: {lines}")
    tell(f"txid {worst['txid']}: {worst['pages']} pages; back to just before it, and the ruined file is kept")
    printed = case.weir("restore", url, "-o", db, "--before", worst["txid"], "--in-place", "--keep-old", "--verify", "full").stdout
    kept = [name for name in os.listdir(case.path("data")) if re.fullmatch(r"shop\.db\.\d{8}T\d{6}Z", name)]
    check(len(kept) == 1 and kept[0] in printed, f"the kept file: {kept}; said: {printed}")
    sound(db)
    equal(look(db, "SELECT count(*), sum(amount) FROM orders_order"), [good], "orders and their sum, as they were")
    equal(look(case.path("data", kept[0]), "SELECT count(*), sum(amount) FROM orders_order"), [(1003, 21)], "the kept file")

    tell("the second deployment goes on from there, on a timeline of its own")
    shop = Shop(case, db, url, "0002").open()
    equal(shop.orders(), good, "orders and their sum")
    equal(shop.order("after the rescue", 5), 1001, "the number of the order")
    shop.stop()
    equal(looked_at(case, url, "SELECT count(*), sum(amount) FROM orders_order"), [(1001, good[1] + 5)], "the newest state")
    equal(looked_at(case, url, "SELECT count(*), sum(amount) FROM orders_order", "--timeline", 1), [(1003, 21)],
          "what was done after the mistake can still be restored")


def heavy_work(case):
    """Migrations back and forth, a bulk load and VACUUM, with customers all the while: the replica has the same bytes."""
    url, db = case.replica().url, disk(case, "data") + "/shop.db"
    shop = Shop(case, db, url, "0002").open()
    customers = Customers(shop)
    customers.wait_for(5)
    for migration in ("0001", "0002"):
        tell(f"a second process migrates to {migration}")
        case.run(shop.argv[shop.argv.index("--") + 1], "-c", "import sys; sys.path.insert(0, sys.argv[1]); import django; django.setup(); "
                 "from django.core.management import call_command; call_command('migrate', 'orders', sys.argv[2], verbosity=0)",
                 str(EXAMPLES.parents[1] / "tests" / "integration" / "shop"), migration,
                 env={"SHOP_DB": db, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONDONTWRITEBYTECODE": "1"})
    tell("a bulk load in one transaction, most of it deleted again, VACUUM")
    for sql in ("CREATE TABLE loaded AS WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 60000) SELECT i, randomblob(200) AS v FROM c",
                "DELETE FROM loaded WHERE i % 10", "VACUUM"):
        case.run("sqlite3", "-cmd", ".timeout 300000", db, sql)
    customers.wait_for(customers.last + 5)
    customers.end()
    shop.sync()
    txid = shop.status()["databases"][0]["shipped_txid"]
    shop.stop()
    sound(db)
    present = Recorder(db, keep_open=False).take()
    equal(restore_state(case, url, args=("--verify", "full")).masked, present.masked, "the newest state and the file")
    check(all(not commit.resync or "snapshot" in commit.raw["flags"] for commit in log_of(case, url)), "the history has a gap")
    check(txid > 10, f"only {txid} commits")


def full_disk(case):
    """The disk runs full: orders fail, nothing else does; when there is space again both go on, and nothing is missing."""
    with small_disk(case, "data", 4096) as folder:
        url, db = case.replica().url, folder + "/shop.db"
        shop = Shop(case, db, url).open()
        equal(shop.order("one"), 1, "the number of the order")
        shop.sync()
        subprocess.run(["dd", "if=/dev/zero", f"of={folder}/filler", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
        failed, tries = 0, 0
        while not failed:
            tries += 1
            try:
                shop.order("x" * 190)
            except OSError:
                failed += 1
        tell(f"the disk is full: order {tries} of these fails")
        check(shop.alive(), lambda: f"the container ended, exit {shop.exit_code()}\n{tail(shop.log())}")
        os.unlink(folder + "/filler")
        count = shop.orders()[0]
        shop.order("there is space again")
        shop.sync()
        shop.stop()
        check(numbers(case, url) >= count + 1, "orders in the replica")


def replica_away(case):
    """S3 is away when a container is replaced, then when it is stopped: nobody begins empty, nobody ends with 0 too early."""
    url = url_of(case)
    begin, mend = away(case)
    shop = Shop(case, disk(case, "data") + "/shop.db", url).open()
    shop.order("one")
    shop.stop()
    begin()
    tell("the replica does not answer, and the disk is empty: the application does not begin; the platform tries again")
    db = disk(case, "data") + "/shop.db"
    refused = Shop(case, db, url, args=("--start-timeout", "0s")).start()
    refused.wait_exit()
    check(refused.exit_code() not in (0, None) and not os.path.exists(db) and not os.path.exists(refused.port_file), tail(refused.log()))
    mend()
    shop = Shop(case, db, url, env={"WEIR_SHUTDOWN_TIMEOUT": "500ms"}).open()
    equal(shop.order("two"), 2, "the number of the order")
    shop.sync()
    begin()
    equal(shop.order("three"), 3, "the number of the order")
    tell("the replica is away when the container is stopped: the status says so, the disk keeps it")
    shop.stop(expect=1)
    check("not shipped" in shop.log(), tail(shop.log()))
    mend()
    shop = Shop(case, db, url).open()
    equal(shop.orders()[0], 3, "orders")
    shop.stop()
    equal(numbers(case, url), 3, "orders in the replica")


# --- a task role -------------------------------------------------------------------------------------------------------


class RoleEndpoint(http.server.BaseHTTPRequestHandler):
    """Where a task asks for the credentials of its role; they are other ones from time to time."""

    def do_GET(self):  # pylint: disable=invalid-name
        """The present ones, for who shows the token."""
        good = self.headers.get("Authorization") == "the task's token"
        body = json.dumps(self.server.document() if good else {"message": "who are you?"}).encode()
        self.send_response(200 if good else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """Quiet."""


def role(case):
    """Credentials of the task's role that end and are replaced while the shop is open; the old ones are taken out of force."""
    if case.options.store.kind != "s3":
        raise Skip("needs --store s3")
    server, lock, handed, keys = case.options.store.server, threading.Lock(), [], {}

    def replace():
        """New keys for the role; the ones before stop working."""
        old, access = keys.get("access"), f"ROLE{case.rng.randrange(1 << 40)}"
        server.admin("key", "create", "--uid=weir", "--key-type=s3", f"--access-key={access}", f"--secret-key=secret-of-{access}")
        with lock:
            keys["access"] = access
        withdraw(old)

    def withdraw(access):
        if access:
            server.admin("key", "rm", "--uid=weir", "--key-type=s3", f"--access-key={access}")

    def document():
        with lock:
            handed.append(keys["access"])
        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=6)
        return {"AccessKeyId": handed[-1], "SecretAccessKey": f"secret-of-{handed[-1]}", "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "RoleArn": "arn:aws:iam::1:role/task"}

    endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RoleEndpoint)
    endpoint.document = document
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "the task's token",
           "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{endpoint.server_address[1]}/role"}
    url = case.replica().url
    try:
        replace()
        shop = Shop(case, disk(case, "data") + "/shop.db", url, env=env).open()
        for number in range(1, 4):
            equal(shop.order("something"), number, "the number of the order")
            shop.sync()
            tell("the role's keys are replaced, the old ones stop working at once")
            replace()
        equal(shop.order("something"), 4, "the number of the order")
        shop.sync()
        shop.stop()
    finally:
        endpoint.shutdown()
        endpoint.server_close()
        withdraw(keys.get("access"))
    check(len(set(handed)) == 4, f"the endpoint handed out {handed}")
    check("secret-of" not in shop.log() and "the task's token" not in shop.log(), "a secret is in the log")
    equal(numbers(case, url), 4, "orders in the replica")


def stubborn(case):
    """The application does not end in time: it is killed within the platform's limit, and what it had committed is shipped."""
    url, db = case.replica().url, disk(case, "data") + "/shop.db"
    shop = Shop(case, db, url, args=("--kill-after", "200ms")).open()
    equal(shop.order("one"), 1, "the number of the order")
    os.kill(shop.program_pid(), signal.SIGSTOP)
    tell("the application hangs and does not react to SIGTERM")
    shop.stop(expect=128 + signal.SIGKILL)
    equal(numbers(case, url), 1, "orders in the replica")


def cases(_options):
    """All stories."""
    return [
        ("the example", example), ("deployments", deployments), ("killed at any moment", killed), ("two tasks at once", two_tasks),
        ("two tasks at the same moment", same_moment), ("the slower of two tasks", slower_one),
        ("two tasks on one volume", same_volume), ("a bad deployment", bad_deployment), ("migrations, a bulk load, VACUUM", heavy_work),
        ("a full disk", full_disk), ("the replica is away", replica_away), ("a hanging application", stubborn), ("a task role that rotates", role),
    ]
