# SPDX-License-Identifier: Apache-2.0
"""check: `weir check` names what is wrong, each thing in turn, and nothing else; and it leaves nothing behind.

Every right is taken away once, by a proxy and by the server's own policies; the policy that the command prints is then given
to the server, until nothing is missing.  What is no database, the wrong bucket, keys, clock, disk: each has its line.
"""

import contextlib
import json
import os
import re

from bad_input import real_database, small_disk
from lib.daemon import Daemon, log_of
from lib.scene import Scene
from lib.tap import Skip, check, equal
from servers import faults

FAILED, USAGE = 1, 2
SECRET = "hunter2-S3CRET"


class Checked:
    """One run of the command."""

    def __init__(self, case, *args, expect=0, env=None):
        self.done = case.weir("check", *args, "--json", expect=expect, env=env)
        self.document = json.loads(self.done.stdout)
        self.databases = self.document["databases"]

    def tests(self, index=0):
        """{name: test} of a database."""
        return {test["name"]: test for test in self.databases[index]["tests"]}

    def results(self, result, index=0):
        """The names of the tests that ended so."""
        return sorted(name for name, test in self.tests(index).items() if test["result"] == result)

    def message(self, name):
        """What a test says."""
        return self.tests()[name]["message"]

    def setting(self, key):
        """(value, origin)."""
        return next((s["value"], s["from"]) for s in self.document["settings"] if s["key"] == key)


def s3_only(case):
    """Some things are wrong only with servers."""
    if case.options.store.kind == "file":
        raise Skip("asks an S3 server: --store s3")
    return case.options.store.server


def database(case, name="app.db"):
    """A database in WAL mode that nobody has open."""
    path = case.path(name)
    case.run("sqlite3", path, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)")
    return path


def write(path, text):
    """A file."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


# --- what is right ----------------------------------------------------------------------------------------------------


def good(case):
    """Nothing is wrong: 0, every test ok, and nothing was made."""
    db, replica = database(case), case.replica()
    before = sorted(os.listdir(case.dir))
    found = Checked(case, db, replica.url)
    equal(found.results("failed") + found.results("warning") + found.results("skipped"), [], "tests that are not ok")
    rights = ["list", "put", "get", "head", "multipart", "abort", "delete", "conditional writes", "history", "database", "disk"]
    equal([name for name in rights if name not in found.tests()], [], "missing tests")
    equal(sorted(os.listdir(case.dir)), before, "files")
    equal(list(replica.list()), [], "objects")
    shown = case.weir("check", db, replica.url).stdout
    check(re.search(r"^all good, 0 warnings$", shown, re.M) and "estimate for a month" in shown, shown)
    equal(sorted(os.listdir(case.dir)), before, "files")


def beside_a_daemon(case):
    """A daemon goes on, its replica is as it was, its history is told and measured."""
    scene = Scene(case)
    scene.start()
    scene.commit(20)
    scene.sync()
    before = scene.replica.list()
    requests = scene.daemon.status()["databases"][0]["requests"]
    found = Checked(case, scene.db, scene.url)
    equal(found.results("failed"), [], "tests that failed")
    check(f"process {scene.daemon.pid} " in found.message("daemon"), found.message("daemon"))
    check(f"(process {scene.daemon.pid})" in found.message("open by") and f"(process {scene.app.process.pid})" in found.message("open by"),
          found.message("open by"))
    last = log_of(case, scene.url)[-1].txid
    check(f"up to txid {last} " in found.message("history"), f"{found.message('history')}, not {last}")
    estimate = found.databases[0]["estimate"]
    equal(estimate["load"], "measured", "where the load comes from")
    check(estimate["commits_per_second"] > 0 and 0 < estimate["bytes_per_commit"] < 100000, str(estimate))
    equal(scene.replica.list(), before, "objects")
    equal(scene.daemon.status()["databases"][0]["requests"], requests, "requests of the daemon")
    scene.commit(2)
    scene.end()
    scene.verify()
    case.weir("verify", scene.url)


def settings(case):
    """The settings in force with their places; secrets are not among them."""
    db, url = database(case), case.replica().url
    file = write(case.path("weir.yml"), "databases:\n  - path: " + json.dumps(db) + "\n    replica: " + json.dumps(url)
                 + "\n    sync: {interval: 2s}\n    price: put=1,gb-month=2\n")
    found = Checked(case, "-c", file, env={"WEIR_FOLD_COUNT": "8"})
    equal(found.setting("databases[0].sync.interval"), ("2s", f"{file}:4:22"), "from the file")
    equal(found.setting("databases[0].fold.count"), ("8", "WEIR_FOLD_COUNT"), "from the environment")
    equal(found.setting("databases[0].spool-limit"), ("1GiB", None), "by default")
    price = found.databases[0]["estimate"]["price"]
    equal((price["put"], price["gb_month"]), (1, 2), "prices of the configuration")
    found = Checked(case, "-c", file, db, "--price", "put=3", "--commits-per-second", "0.5", "--bytes-per-commit", "2kB")
    estimate = found.databases[0]["estimate"]
    equal((estimate["load"], estimate["commits_per_second"], estimate["bytes_per_commit"]), ("given", 0.5, 2000), "load")
    equal((estimate["price"]["put"], estimate["price"]["gb_month"]), (3, 2), "prices of the command line")
    put, stored = estimate["requests"]["put"], estimate["bytes_stored"]
    want = (put * 3 + estimate["requests"]["list"] * estimate["price"]["list"]) / 1000 + stored / 1e9 * 2
    check(abs(estimate["price"]["total"] - want) < 0.02, f"{estimate['price']}, not {want}")
    if case.options.store.kind != "file":
        write(file, "databases:\n  - path: " + json.dumps(db) + "\n    replica: {url: " + json.dumps(url)
              + f", access-key: K, secret-key: {SECRET}" + "}\n")
        for args in ((), ("--json",)):
            done = case.weir("check", "-c", file, *args, expect=FAILED)
            check(SECRET not in done.stdout + done.stderr and "<hidden>" in done.stdout, done.stdout + done.stderr)


def folder(case):
    """The databases of a folder, each with its replica."""
    os.mkdir(case.path("many"))
    for name in ("many/a.db", "many/b.db"):
        database(case, name)
    file = write(case.path("weir.yml"), "databases: [{dir: " + json.dumps(case.path("many")) + ", replica: "
                 + json.dumps(case.replica().url) + "}]\n")
    found = Checked(case, "-c", file)
    equal([os.path.basename(db["path"]) for db in found.databases], ["a.db", "b.db"], "databases")
    check(found.message("dir").endswith("2 databases now, of which the first 2 are looked at"), found.message("dir"))
    check("a.db" in found.databases[0]["url"], found.databases[0]["url"])
    equal(len(Checked(case, "-c", file, case.path("many/b.db")).databases), 1, "the one that was named")
    for name in ("a.db", "b.db"):
        os.unlink(case.path("many", name))
    found = Checked(case, "-c", file)
    check("0 databases now" in found.message("dir"), found.message("dir"))


# --- what is wrong here -----------------------------------------------------------------------------------------------


def not_a_database(case):
    """Files that are something else; a folder that is not there."""
    path, url = case.path("app.db"), case.replica().url
    whole = bytes(real_database(case, "source.db"))
    kinds = {b"this is no database, it only has the name of one\n" * 200: "not a SQLite database",
             bytes(8) + b"DUCK" + bytes(12276): "DuckDB", whole[:16] + b"\x03\x03" + whole[18:]: "page size"}
    for data, words in kinds.items():
        with open(path, "wb") as file:
            file.write(data)
        found = Checked(case, path, url, expect=FAILED)
        equal(found.results("failed"), ["database"], f"what failed ({words})")
        check(words in found.message("database") and path in found.message("database"), found.message("database"))
        with open(path, "rb") as file:
            equal(file.read(), data, "the file")
    file = write(case.path("weir.yml"), "databases: [{path: " + json.dumps(case.path("no", "app.db")) + ", replica: " + json.dumps(url) + "}]\n")
    equal(Checked(case, "-c", file, expect=FAILED).results("failed"), ["database"], "what failed without a folder")


def rollback_mode(case):
    """A database in rollback mode is fine, unless weir may not switch it."""
    path, url = case.path("app.db"), case.replica().url
    with open(path, "wb") as file:
        file.write(real_database(case, "source.db"))
    check("switches it to WAL" in Checked(case, path, url).message("journal mode"), "no word of the switch")
    found = Checked(case, path, url, expect=FAILED, env={"WEIR_NO_SWITCH": "true"})
    equal(found.results("failed"), ["journal mode"], "what failed")
    equal(case.run("sqlite3", path, "PRAGMA journal_mode").stdout.strip(), "delete", "journal mode")


def configuration(case):
    """A file that cannot be used: 2, with the place, also as JSON."""
    file = write(case.path("weir.yml"), "databases:\n  - path: /x.db\n    replica: file:///y\n    price: put=cheap\n")
    found = Checked(case, "-c", file, expect=USAGE)
    check(f"{file}:4:12: 'cheap' is not a number" in found.document["configuration"]["error"], found.done.stdout)
    equal((found.document["ok"], found.databases), (False, []), "document")
    check("weir.yml:4:12" in case.weir("check", "-c", file, expect=USAGE).stderr, "no place in the message")
    case.weir("check", "/not/there.db", expect=USAGE)
    case.weir("check", "--price", "put=x", expect=USAGE)
    case.weir("check", "--commits-per-second", "-1", expect=USAGE)


def no_space(case):
    """A disk too small for the local state, or for the spool that was asked for."""
    with small_disk(case, "disk", 1024):
        db = database(case, "disk/app.db")
        found = Checked(case, db, case.replica().url, expect=FAILED)
        equal(found.results("failed"), ["disk"], "what failed")
        check("make room" in found.message("disk"), found.message("disk"))


def too_much_spool(case):
    """A spool that the disk cannot hold was asked for."""
    db = database(case)
    found = Checked(case, db, case.replica().url, expect=FAILED, env={"WEIR_SPOOL_LIMIT": "1000000GiB"})
    equal(found.results("failed"), ["disk"], "what failed")
    check("WEIR_SPOOL_LIMIT" in found.message("disk"), found.message("disk"))


def anothers_history(case):
    """The replica is that of another database."""
    mine, other = Scene(case, "mine", replica=case.replica("mine")), Scene(case, "other", replica=case.replica("other"))
    for scene in (mine, other):
        scene.start()
        scene.commit(2)
        scene.sync()
        scene.end()
    equal(Checked(case, mine.db, mine.url).results("failed"), [], "what failed with its own")
    found = Checked(case, mine.db, other.url, expect=FAILED)
    equal(found.results("failed"), ["history"], "what failed")
    check("another database" in found.message("history"), found.message("history"))


def unreachable_folder(case):
    """A replica in a folder where a file is in the way."""
    if case.options.store.kind != "file":
        raise Skip("about folders")
    write(case.path("file"), "")
    found = Checked(case, database(case), "file://" + case.path("file", "replica"), expect=FAILED)
    check(set(found.results("failed")) & {"folder", "put"}, found.done.stdout)


# --- what is wrong there ----------------------------------------------------------------------------------------------

# kind of request: (tests that fail, right that is named)
RIGHTS = {
    "PUT": ("put", "s3:PutObject"), "GET": ("get", "s3:GetObject"), "HEAD": ("head", "s3:GetObject"), "LIST": ("list", "s3:ListBucket"),
    "DELETE": ("delete", "s3:DeleteObject"), "START": ("multipart", "s3:PutObject"), "PART": ("multipart", "s3:PutObject"),
    "ABORT": ("abort", "s3:AbortMultipartUpload"),
}


def policy_of(message):
    """The statement that a message prints."""
    statement, _ = json.JSONDecoder().raw_decode(message[message.index("{"):])
    return statement


def each_right(case):
    """One right is missing: its name, and nothing else fails."""
    s3_only(case)
    db, replica = database(case), case.proxied_replica()
    for kind, (name, action) in RIGHTS.items():
        with case.proxy.failing(faults.denied(), kind=kind, times=None):
            found = Checked(case, db, replica.url, expect=FAILED)
        equal(found.results("failed"), [name], f"what failed without {kind}")
        statement = policy_of(found.message(name))
        equal(statement["Action"], action, f"right of {kind}")
        check(statement["Resource"].startswith(f"arn:aws:s3:::{replica.bucket}"), str(statement))
        left = list(replica.list())
        check(all(key.startswith("probe/") for key in left) and bool(left) == (kind == "DELETE"), f"objects left without {kind}: {left}")
        for key in left:
            replica.delete(key)
    with case.proxy.failing(faults.denied(), kind="UPLOADS_INFO", times=None):
        found = Checked(case, db, replica.url)
    equal(found.results("warning"), ["list uploads"], "without the listing of uploads")
    equal(policy_of(found.message("list uploads"))["Action"], "s3:ListBucketMultipartUploads", "right")


def by_its_own_policy(case):
    """Nothing is allowed at first; what the command prints is added to the bucket's policy, until it finds nothing missing.  A
    daemon then lives with that."""
    server = s3_only(case)
    if server.kind != "ceph":
        raise Skip("needs a server with bucket policies")
    db, replica = database(case), case.replica()
    keys = {"AWS_ACCESS_KEY_ID": server.other_access_key, "AWS_SECRET_ACCESS_KEY": server.other_secret_key}
    statements, actions = [], []
    try:
        for _ in range(8):
            found = Checked(case, db, replica.url, expect=(0, FAILED), env=keys)
            missing = [policy_of(found.message(name)) for name in found.results("failed") + found.results("warning")
                       if "the smallest policy" in found.message(name)]
            if not missing:
                break
            statements += [{**statement, "Principal": {"AWS": ["arn:aws:iam:::user/other"]}} for statement in missing]
            actions += [statement["Action"] for statement in missing]
            replica.client.put_bucket_policy(Bucket=replica.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
        equal(found.done.returncode, 0, found.done.stdout)
        equal(found.results("failed") + found.results("warning"), [], "what is still missing")
        equal(sorted(set(actions)), ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket",
                                     "s3:ListBucketMultipartUploads", "s3:PutObject"], "rights that were asked for")
        daemon = Daemon(case, db, replica.url, env=keys).start()
        case.weir("sync", db, "--wait")
        daemon.stop()
        case.weir("restore", replica.url, "-o", case.path("out.db"), env=keys)
    finally:
        with contextlib.suppress(Exception):
            replica.client.delete_bucket_policy(Bucket=replica.bucket)


def wrong_place(case):
    """Another bucket, another key, no key at all, nobody there."""
    server = s3_only(case)
    db, replica = database(case), case.replica()
    found = Checked(case, db, replica.url.replace(f"s3://{replica.bucket}/", "s3://no-such-bucket/"), expect=FAILED)
    equal(found.results("failed"), ["bucket"], "what failed with another bucket")
    check("no-such-bucket" in found.message("bucket"), found.message("bucket"))
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        found = Checked(case, db, replica.url, expect=FAILED, env={name: "wrong"})
        equal(found.results("failed"), ["access"], f"what failed with another {name}")
        check("check the access key" in found.message("access") and "smallest policy" not in found.message("access"), found.message("access"))
        check(server.secret_key not in found.done.stdout, "a secret was printed")
    found = Checked(case, db, replica.url, expect=FAILED, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
                    "AWS_EC2_METADATA_DISABLED": "true", "HOME": case.path("nobody")})
    equal(found.results("failed"), ["credentials"], "what failed without credentials")
    found = Checked(case, db, server.url(replica.bucket, "x", "http://127.0.0.1:1"), expect=FAILED)
    equal(found.results("failed"), ["bucket"], "what failed where nobody listens")


def clock(case):
    """This machine's clock is off, so far that signatures are refused, and less."""
    s3_only(case)
    db, replica = database(case), case.proxied_replica()
    for seconds, result, words in ((3600, "failed", "behind"), (-3600, "failed", "ahead of"), (120, "warning", "behind"), (0, "ok", "as the store")):
        with case.proxy.failing(faults.Skew(seconds), times=None):
            found = Checked(case, db, replica.url, expect=FAILED if result == "failed" else 0)
        equal(found.tests()["clock"]["result"], result, f"a clock that is {seconds} s off")
        check(words in found.message("clock"), found.message("clock"))
        equal(found.results("failed"), ["clock"] if result == "failed" else [], "what failed")


def conditional(record):
    """A PUT with a condition."""
    return "if-none-match" in record.headers


def no_conditions(case):
    """Stores that ignore the condition, race, or refuse it: a warning, and with `fencing: require` a failure."""
    s3_only(case)
    db, replica = database(case), case.proxied_replica()
    for fault, words in ((faults.Without("If-None-Match"), "ignores it"), (faults.not_implemented(), "no conditional writes")):
        with case.proxy.failing(fault, where=conditional, times=None):
            found = Checked(case, db, replica.url)
            equal(found.results("warning"), ["conditional writes"], "warnings")
            check(words in found.message("conditional writes"), found.message("conditional writes"))
            found = Checked(case, db, replica.url, expect=FAILED, env={"WEIR_FENCING": "require"})
            equal(found.results("failed"), ["conditional writes"], "what failed")
        equal(list(replica.list()), [], "objects")


def changed_on_the_way(case):
    """What is read back is not what was written."""
    s3_only(case)
    db, replica = database(case), case.proxied_replica()
    with case.proxy.failing(faults.Replace(lambda body: body[:-1] + b"?"), kind="GET", key="*/probe/*", times=None):
        found = Checked(case, db, replica.url, expect=FAILED)
    equal(found.results("failed"), ["get"], "what failed")
    check("read back" in found.message("get"), found.message("get"))


def cases(_options):
    """All of them."""
    return [("good", good), ("beside a daemon", beside_a_daemon), ("settings, load and prices", settings), ("a folder of databases", folder),
            ("not a database", not_a_database), ("rollback mode", rollback_mode), ("configuration", configuration), ("no space", no_space),
            ("too much spool", too_much_spool), ("another database's history", anothers_history), ("a file in the way", unreachable_folder),
            ("each right", each_right), ("by its own policy", by_its_own_policy), ("wrong place", wrong_place), ("clock", clock),
            ("no conditions", no_conditions), ("changed on the way", changed_on_the_way)]
