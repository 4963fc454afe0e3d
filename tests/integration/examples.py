# SPDX-License-Identifier: Apache-2.0
"""examples: what stands in docs/examples and docs/from-litestream.md is what runs here: files, units, environments and commands are
taken from there, and only places are put in their stead (paths, buckets, ports).

docs/examples/container is played by stories_container and stories_seeded, the policies by s3_iam, the rules by packaging.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess

from lib.case import PATIENCE, children_of, tail, wait_until
from lib.daemon import Daemon, log_of
from lib.story import EXAMPLES, Container, disk, look, looked_at, sound, tell
from lib.tap import Skip, check, equal

GUIDE = EXAMPLES.parent / "from-litestream.md"
FENCED = 5
COMMITS = 1000
DPKG = pathlib.Path("/var/lib/dpkg/info")  # PACKAGE.list or PACKAGE:ARCHITECTURE.list


def text_of(*parts):
    """A file of the examples."""
    return EXAMPLES.joinpath(*parts).read_text(encoding="utf-8")


class Places:
    """What is put in the stead of what: longest first, so that a folder does not hide what is in it."""

    def __init__(self, case, **instead):
        self.case, self.instead = case, {}
        self.add({"/usr/bin/weir": case.options.weir, **instead})

    def add(self, instead):
        """More of them."""
        self.instead.update(instead)
        return self

    def put(self, text):
        """The text with all of them."""
        for what in sorted(self.instead, key=len, reverse=True):
            text = text.replace(what, self.instead[what])
        return text

    def file(self, name, *parts):
        """A file of the examples with them, in the case's folder."""
        return self.write(name, text_of(*parts))

    def write(self, name, text):
        """The same for any text."""
        path = self.case.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.put(text))
        return path

    def shell(self, line, expect=0):
        """A line that a document says to type; `weir` is the one under test."""
        path = os.path.dirname(self.case.options.weir) + os.pathsep + os.environ["PATH"]
        return self.case.run("sh", "-c", self.put(line), expect=expect, env={"PATH": path})


def commands(text, section):
    """The lines to type below a heading."""
    part = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0] if section else text
    return [row.strip() for row in part.split("\n") if row.startswith("    ") and row.strip()]


def started_by(unit):
    """ExecStart of a unit."""
    return re.search(r"^ExecStart=(.*)$", unit, re.M)[1]


def dockerfile(name):
    """(environment, ENTRYPOINT, CMD) of the last stage."""
    lines = re.sub(r"\\\n", " ", text_of(name, "Dockerfile")).splitlines()
    env = dict(word.split("=", 1) for line in lines if line.startswith("ENV ") for word in shlex.split(line[4:]))
    return env, *(next(json.loads(line.split(" ", 1)[1]) for line in lines if line.startswith(what)) for what in ("ENTRYPOINT", "CMD"))


# --- images ------------------------------------------------------------------------------------------------------------


def libraries(case):
    """Each image has every library that the program is linked with."""
    if not shutil.which("readelf") or not DPKG.is_dir():
        raise Skip("needs readelf, and Debian's list of files")
    linked = re.findall(r"\(NEEDED\).*\[(.*?)\]", case.run("readelf", "-d", case.options.weir).stdout)
    check(len(linked) > 5, f"the program is linked with {linked}")
    paths = re.compile("^/.*/(" + "|".join(map(re.escape, linked)) + ")$", re.M)
    packages = {path.stem.partition(":")[0] for path in DPKG.glob("*.list") if paths.search(path.read_text(encoding="utf-8"))}
    # What every image has, and what only a build for tests needs.
    packages = {name for name in packages if not re.match(r"libc6|lib(a|t|l)san|libubsan", name)}
    check(len(packages) > 5, f"packages of {linked}: {packages}")
    for name in ("container", "function"):
        installed = set(re.sub(r"\\\n", " ", text_of(name, "Dockerfile")).split())
        equal(packages - installed, set(), f"libraries that the image of {name} lacks")


def seconds(text):
    """A time of weir's."""
    number, unit = re.fullmatch(r"(\d+)(ms|s)", text).groups()
    return int(number) / (1000 if unit == "ms" else 1)


def limits(_case):
    """What the platform gives at the end is more than the application and weir may take together."""
    env, entry, _ = dockerfile("container")
    taken = seconds(entry[entry.index("--kill-after") + 1]) + seconds(env["WEIR_SHUTDOWN_TIMEOUT"])
    task = json.loads(text_of("container", "task.json"))["containerDefinitions"][0]
    check(taken < task["stopTimeout"], f"container: {taken} s of {task['stopTimeout']}")
    given = {one["name"]: one["value"] for one in task["environment"]}
    equal(given.keys(), {"WEIR_REPLICA", "AWS_REGION"}, "what the task adds to the image's environment")
    env, entry, _ = dockerfile("function")
    taken = seconds(entry[entry.index("--kill-after") + 1]) + seconds(env["WEIR_SHUTDOWN_TIMEOUT"])
    check(taken < 2, f"function: {taken} s of the two that platforms give")
    unit = text_of("instances", "shop-writer.service")
    taken = seconds(re.search(r"--kill-after (\S+)", started_by(unit))[1]) + seconds(re.search(r"shutdown-timeout: (\S+)", text_of("instances", "weir.yml"))[1])
    check(taken < int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]), f"instances: {taken} s")


def function(case):
    """The function counts visits; it is thrown away after an answer, and a cold start knows all that were confirmed."""
    env, entry, command = dockerfile("function")
    equal((entry[:2], entry[-1], command[0]), (["weir", "run"], "--", "python3"), "the entrypoint")
    url, confirmed, made = case.replica().url, 0, 0
    for number in range(3):
        port_holder = disk(case, "tmp")
        db, port = port_holder + "/app.db", free_port()
        path = os.path.dirname(case.options.weir) + os.pathsep + os.environ["PATH"]
        instance = Container(case, [command[0], str(EXAMPLES / "function" / "handler.py")],
                             {**env, "WEIR_DB": db, "WEIR_REPLICA": url, "PORT": str(port), "PATH": path}, args=entry[2:-1]).start()
        instance.wait_log("restored from the replica" if number else "starting empty")
        wait_until(lambda p=port: asked(p, "GET")[0] == 200, "the function answers")
        known = int(asked(port, "GET")[1])
        check(confirmed <= known <= made, f"{confirmed} visits were confirmed, {made} were made, a cold start knows {known}")
        confirmed = made = known
        while confirmed < known + 3:  # on a slow machine the handler's patience may end before a visit is durable
            status, made = asked(port, "POST")[0], made + 1
            check(status in (201, 503), f"the function answers {status}")
            confirmed += status == 201
        tell(f"{confirmed} visits were confirmed; the instance is thrown away")
        if number == 1:
            instance.stop(expect=(0, 128 + signal.SIGTERM))
        else:
            instance.kill_all()
    kept = looked_at(case, url, "SELECT count(*) FROM visit")[0][0]
    check(confirmed <= kept <= made, f"{confirmed} visits were confirmed, {made} were made, {kept} are in the replica")


def free_port():
    """One that nobody has."""
    from servers.process import free_ports  # pylint: disable=import-outside-toplevel
    return free_ports(1)[0]


def asked(port, method):
    """(status, text), or (None, None) while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        try:
            connection.request(method, "/")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return None, None


def seeded(case):
    """The demo comes up with its cars, once; and its environment is what weir reads."""
    env = dict(row.split("=", 1) for row in text_of("seeded", "demo.env").splitlines() if "=" in row and not row.startswith("#"))
    db = disk(case, "tmp") + "/demo.db"
    check(env.keys() >= {"WEIR_DB", "WEIR_REPLICA", "WEIR_SEED"}, str(env))
    env |= {"WEIR_DB": db, "WEIR_REPLICA": case.replica().url, "WEIR_SEED": env["WEIR_SEED"].replace("/app/", f"{EXAMPLES}/seeded/")}
    env.pop("AWS_REGION")
    cars = json.loads(text_of("seeded", "cars.json"))
    for number in range(1, 4):
        Container(case, ["sqlite3", "-cmd", ".timeout 60000", db, "INSERT INTO car(name, price) VALUES ('a visitor''s', 1)"], env).start().wait_exit(expect=0)
        equal(look(db, "SELECT name, price FROM car ORDER BY id"), [(car["name"], car["price"]) for car in cars] + [("a visitor's", 1)] * number, "cars")
        disk(case, "tmp")
    shutil.copytree(EXAMPLES / "seeded", case.path("broken"))
    pathlib.Path(case.path("broken", "cars.json")).write_text("[{", encoding="utf-8")
    env |= {"WEIR_SEED": case.path("broken", "seed"), "WEIR_REPLICA": case.replica("broken").url}
    Container(case, ["true"], env).start().wait_exit(expect=(1, 2))
    check(not os.path.exists(db), "a seed that failed left a database")


# --- units -------------------------------------------------------------------------------------------------------------


def units(case):
    """systemd reads all units without a word."""
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze here")
    for path in sorted(EXAMPLES.glob("*/*.service")) + sorted(EXAMPLES.glob("*/*.timer")):
        # A timer looks for its service beside it.
        copies = [Places(case, **{"/usr/bin/shop": "/bin/true", "User=shop": "User=root", "User=weir": "User=root"}).file(
            one.name, path.parent.name, one.name) for one in sorted(path.parent.glob("*.service"))]
        target = case.path(path.name)
        if target not in copies:
            shutil.copy(path, target)
        done = case.run("systemd-analyze", "verify", "--man=no", target, expect=None)
        said = [row for row in (done.stdout + done.stderr).splitlines() if "weir" in row or "shop" in row]
        equal(said, [], f"systemd-analyze verify {path.name}")


class Unit(Daemon):
    """A process that a unit starts."""

    def __init__(self, case, places, unit, db):
        super().__init__(case, db, name=unit.partition(".")[0])
        self.argv = shlex.split(places.put(started_by(text_of("instances", unit))))

    def wait_log(self, words):
        """Until it says so."""
        wait_until(lambda: words in self.log() or not self.alive(), f"log: {words}")
        check(words in self.log(), lambda: f"{words!r} is not in the log, exit {self.exit_code()}\n{tail(self.log())}")
        return self


SHOP = """#!/bin/sh
trap 'exit 0' TERM INT
while :; do
  sqlite3 -cmd '.timeout 30000' {db} "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS visit(id INTEGER PRIMARY KEY); INSERT INTO visit DEFAULT VALUES" >/dev/null
  sleep 0.1 &
  wait $!
done
"""


def machine(case, name):
    """An instance: its disk, its configuration, its application."""
    places = Places(case, **{"s3://backups/shop?region=eu-central-1": json.dumps(case.replica().url), "/var/lib/shop": disk(case, name)})
    db = places.put("/var/lib/shop/shop.db")
    places.add({"/etc/weir/shop.yml": places.file(f"{name}.yml", "instances", "weir.yml")})
    shop = case.path(f"{name}-shop")
    with open(shop, "w", encoding="ascii") as file:
        file.write(SHOP.format(db=db))
    os.chmod(shop, 0o755)
    return places.add({"/usr/bin/shop": shop}), db


def visits(db):
    """How many there are."""
    if not os.path.exists(db) or not look(db, "SELECT 1 FROM sqlite_schema WHERE name = 'visit'"):
        return 0
    return look(db, "SELECT count(*) FROM visit")[0][0]


def instances(case):
    """A writer and a copy by their units; the writer's machine hangs, the copy is promoted, the old one comes back as a copy."""
    (here, first), (there, second) = machine(case, "first"), machine(case, "second")
    writer = Unit(case, here, "shop-writer.service", first).start(ready=False)
    wait_until(lambda: visits(first) >= 3, "the shop has visitors")
    writer.sync()
    copy = Unit(case, there, "shop-copy.service", second).start(ready=False)
    wait_until(lambda: visits(second) >= 3, "they are in the copy")
    for line in commands(text_of("instances", "README.md"), None)[:2]:
        check(line.startswith("weir "), line)
        here.shell(line)
    tell("the application of the first machine is stopped, the copy is promoted while the first weir still runs")
    frozen = int(writer.wait_log("the command has begun").log().rpartition("the command has begun")[2].split("pid=")[1].split()[0])
    os.kill(frozen, signal.SIGSTOP)
    wait_until(lambda: not children_of(frozen), "the visit under way is over")
    txid = writer.sync()
    wait_until(lambda: any(int(at) >= txid for at in re.findall(r"\btxid (\d+) ", copy.log())), lambda: f"txid {txid} in the copy\n{tail(copy.log())}")
    copy.stop()
    promoted = Unit(case, there, "shop-writer.service", second).start(ready=False)
    before = visits(second)
    wait_until(lambda: visits(second) > before + 2, "visitors of the promoted one")
    promoted.sync()
    os.kill(frozen, signal.SIGCONT)
    writer.wait_exit(expect=FENCED)
    tell("the old one was refused; it comes back as a copy")
    again = next(line for line in commands(text_of("instances", "README.md"), "Promotion") if line.startswith("weir restore"))
    here.shell(again)
    back = Unit(case, here, "shop-copy.service", first).start(ready=False)
    least = visits(second)
    wait_until(lambda: visits(first) >= least, "what is new in the old one")
    promoted.stop()
    back.stop()
    sound(first)


# --- the operator ------------------------------------------------------------------------------------------------------


def operator(case):
    """The configuration runs as it is, the look at it says that all is well, the weekly unit proves it; and a damaged database is put right."""
    folder = disk(case, "shop")
    os.makedirs(case.path("tenants", "a"))
    places = Places(case, **{
        "s3://backups/shop?region=eu-central-1": json.dumps(case.replica("backup-shop").url),
        "s3://backups/tenants?region=eu-central-1": json.dumps(case.replica("backup-tenants").url),
        "/var/lib/shop": folder, "/srv/tenants": case.path("tenants"), "/run/weir": case.path(), "/var/tmp": case.path(), "127.0.0.1:9180": "127.0.0.1:0"})
    db, tenant = folder + "/shop.db", case.path("tenants", "a", "t.db")
    places.add({"/etc/weir.yml": places.file("weir.yml", "operator", "weir.yml")})
    for path in (db, tenant):
        case.run("sqlite3", path, "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v); "
                 "INSERT INTO t(v) WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < 500) SELECT randomblob(2000) FROM c")
    readme = text_of("operator", "README.md")
    daemon = Daemon(case, db)
    daemon.argv = [case.options.weir, "replicate", "-c", places.put("/etc/weir.yml")]
    daemon.start(ready=False)
    wait_until(lambda: places.shell("weir status -c /etc/weir.yml", expect=None).returncode == 0, "all is well")
    case.run("sqlite3", "-cmd", ".timeout 30000", db, "INSERT INTO t(v) VALUES('the last good one')")
    txid = case.weir("sync", db, "--wait", "-c", places.put("/etc/weir.yml")).stdout.split()[0]
    for line in commands(readme, "One look"):
        tell(line)
        places.shell(line)
    status = places.shell("weir status -c /etc/weir.yml").stdout
    check(db in status and tenant in status, status)
    case.run(*shlex.split(places.put(started_by(text_of("operator", "weir-verify.service")))))
    equal(daemon.stop(), 0, "exit status")

    damaged = commands(readme, "A damaged database")
    with open(db, "r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xa5" * 4096)
    check(case.run("sqlite3", "-readonly", db, "PRAGMA integrity_check", expect=None).stdout != "ok\n", "the damage is not seen")
    ran = 0
    for line in damaged:
        if not line.startswith("systemctl"):
            done = places.shell(line.replace("1206", txid))
            check("integrity_check" not in line or done.stdout == "ok\n", done.stdout)
            ran += 1
    equal(ran, 5, "commands of the way out")
    sound(db)
    equal(look(db, "SELECT count(*), max(v) FROM t WHERE v = 'the last good one'"), [(1, "the last good one")], "the last good one")
    check([name for name in os.listdir(folder) if re.fullmatch(r"shop\.db\.\d{8}T\d{6}Z", name)], f"the damaged file was not kept: {os.listdir(folder)}")


# --- from Litestream ---------------------------------------------------------------------------------------------------


def litestream():
    """The program, where ./dev bench has put it, or wherever else it is."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "weir-bench", "litestream")
    found = shutil.which("litestream") or (cache if os.access(cache, os.X_OK) else None)
    if not found:
        raise Skip("no litestream here (./dev bench fetches it)")
    return found


def configurations():
    """{what comes before it: YAML} of the guide's first section."""
    section = GUIDE.read_text(encoding="utf-8").partition("\n## The configuration\n")[2].partition("\n| ")[0]
    return {title: re.sub(r"^    ", "", block, flags=re.M) for title, block in re.findall(r"(?:^|\n)(`[^\n]*)\n\n((?:    [^\n]*\n|\n)+)", section)}


def side_by_side(case):
    """Both at work on one database, by the guide's own files, in either order: both replicas are whole, weir's history is exact; then
    Litestream is taken away as the guide says, and the application has noticed nothing."""
    program, found = litestream(), configurations()
    theirs, ours = (next(text for title, text in found.items() if words in title) for words in ("of 0.3", "`weir.yml`"))
    for order in ("weir first", "Litestream first"):
        name = order.split()[0]
        folder, replica = disk(case, name), case.replica(name)
        db = folder + "/app.db"
        places = Places(case, **{
            "s3://backups/app-litestream": "file://" + case.path(f"{name}-theirs"), "            region: eu-central-1\n": "", '":9090"': "127.0.0.1:0",
            "s3://backups/app?region=eu-central-1": json.dumps(replica.url), "/var/lib/app": folder, "127.0.0.1:9090": "127.0.0.1:0", "interval: 1s": "interval: 50ms"})
        files = [places.write(f"{name}-{number}.yml", text) for number, text in enumerate((theirs, ours))]
        places.add({"/etc/weir.yml": files[1]})
        case.run("sqlite3", db, "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        daemon = Daemon(case, db, name=f"weir, {order}")
        daemon.argv = [case.options.weir, "replicate", "-c", files[1]]
        log = case.path(f"{name}-theirs.log")

        def begin(log=log, files=files):
            with open(log, "ab") as out:
                return case.spawn([program, "replicate", "-config", files[0]], stdout=out, stderr=out, stdin=subprocess.DEVNULL)

        other = None if order == "weir first" else begin()
        with contextlib.closing(sqlite3.connect(db, isolation_level=None, timeout=PATIENCE)) as app:
            if other:
                wait_until(lambda p=case.path(f"{name}-theirs"): list(pathlib.Path(p).rglob("*.snapshot.lz4")), "Litestream's first snapshot")
            daemon.start()
            other = other or begin()
            wait_until(lambda p=case.path(f"{name}-theirs"): list(pathlib.Path(p).rglob("*.snapshot.lz4")), "Litestream's first snapshot")
            for number in range(1, COMMITS + 1):
                app.execute("INSERT INTO t(v) VALUES(randomblob(3000))")
                if number % 250 == 0:
                    app.execute("PRAGMA wal_checkpoint")
            daemon.sync()
            log_mb = os.path.getsize(db + "-wal") / 1e6
            tell(f"{order}: {COMMITS} commits, the log has {log_mb:.1f} MB")
            equal(looked_at(case, replica.url, "SELECT count(*), max(id) FROM t"), [(COMMITS, COMMITS)], "rows in weir's replica")
            equal([commit for commit in log_of(case, replica.url)[1:] if commit.resync], [], "commits of weir that are no transactions")
            out = case.path(f"{name}-theirs.db")

            def theirs_has_all(out=out, file=files[0], db=db):
                case.run("rm", "-f", out, out + "-wal", out + "-shm")
                return case.run(program, "restore", "-config", file, "-o", out, db, expect=None).returncode == 0 and \
                    look(out, "SELECT count(*), max(id) FROM t") == [(COMMITS, COMMITS)]

            wait_until(theirs_has_all, "all commits in Litestream's replica")
            other.terminate()
            other.wait(PATIENCE)
            case.forget(other)
            for line in commands(GUIDE.read_text(encoding="utf-8"), "Changing over"):
                if not line.startswith(("systemctl", "weir check")):
                    places.shell(line)
            equal([row[0] for row in app.execute("SELECT name FROM sqlite_schema WHERE name LIKE '%litestream%'")], [], "tables that are left")
            app.execute("INSERT INTO t(v) VALUES('afterwards')")
            daemon.sync()
        daemon.stop()
        equal(looked_at(case, replica.url, "SELECT count(*) FROM t"), [(COMMITS + 1,)], "rows in weir's replica, in the end")
        imported(case, places, out)


def imported(case, places, out):
    """An old state, as the guide says."""
    lines = [line for line in commands(GUIDE.read_text(encoding="utf-8"), "An old replica") if line.startswith("weir import")]
    equal(len(lines), 2, "imports of the guide")
    url = case.replica(os.path.basename(out) + "-old").url
    for line in lines:
        places.shell(line.replace("/tmp/old.db", out).replace("/tmp/newer.db", out).replace("s3://backups/app-2026-11", shlex.quote(url)))
    equal(looked_at(case, url, "SELECT count(*) FROM t"), [(COMMITS,)], "rows of the imported state")


def cases(_options):
    """All of them."""
    return [("libraries of the images", libraries), ("limits of time", limits), ("function", function), ("seeded", seeded), ("units", units), ("instances", instances),
            ("operator", operator), ("beside Litestream", side_by_side)]
