# SPDX-License-Identifier: Apache-2.0
"""truth: no green light while anything fails.

Everything that can break is broken once under a running daemon, or before it starts.  Each time all that the daemon says about
itself is looked at (lib/lights.py): it must say the same everywhere, name the cause, spare the healthy database beside it,
hold no secret, and be green again when the thing is mended, without anybody's help.
"""

import contextlib
import dataclasses
import json
import os
import re
import signal
import sqlite3
import subprocess

from bad_input import NOBODY, as_nobody, small_disk
from config import config, insert, small, write
from drill import damage, heal
from lib.case import tail, wait_until
from lib.daemon import Daemon
from lib.lights import FENCED, Lights
from lib.replica import DirReplica
from lib.tap import Skip, check, equal
from servers import faults

WRONG_SECRET = "wrong-hunter2-S3CRET"
TEXT = "this is text and no database, and it is long enough to hold a header of one hundred bytes, if it had one"


@dataclasses.dataclass
class Way:
    """One way of breaking something."""

    breaks: object          # function of the scene
    mends: object           # function of the scene; None: nothing mends it while the daemon runs
    words: tuple            # all of them in the error
    states: tuple           # one of them is what the database becomes
    at_start: bool = False  # it is broken before the daemon begins
    keys: dict = dataclasses.field(default_factory=dict)     # of the database in the configuration
    options: dict = dataclasses.field(default_factory=dict)  # of its replica
    unprivileged: bool = False
    commits: bool = True    # the application can go on writing, and does
    disk: str = None        # "replica" or "state": it is on a small disk of its own
    away: bool = False      # the replica is behind the proxy (S3)
    writes: int = 1         # commits at each look
    of_process: bool = False  # it is not the database's error


class Stage:
    """A database that gets into trouble, a healthy one beside it, and their daemon."""

    def __init__(self, case, way, disk=None):
        self.case, self.way, self.disk = case, way, disk
        self.s3 = case.options.store.kind != "file"
        # Half of the cases have their log in JSON.
        self.as_json = sum(case.name.encode()) % 2 == 1
        if way.unprivileged:
            self._give_up_privileges()
        self.db, self.good = case.path("data", "app.db"), case.path("data", "good.db")
        os.makedirs(case.path("data"), exist_ok=True)
        for name in ("data/app.db", "data/good.db"):
            small(case, name)
        if way.disk == "state":
            os.symlink(disk, self.db + "-weir")
        self.replica = self._replica()
        self.folder = self.replica.url.removeprefix("file://")
        self.good_replica = case.replica("good")
        self.env = {}
        self.kept = None  # by a way, from break to mend
        self.lights = None
        self.value = 1

    def _give_up_privileges(self):
        if os.getuid() == 0 and subprocess.run([self.case.options.weir, "--help"], preexec_fn=as_nobody, capture_output=True,
                                               check=False).returncode != 0:
            raise Skip("the program cannot be reached by another user")
        os.chmod(self.case.dir, 0o777)

    def _replica(self):
        if self.way.disk == "replica":
            return DirReplica(self.disk + "/replica")
        return self.case.proxied_replica() if self.s3 and self.way.away else self.case.replica()

    def configuration(self):
        """The text of the file."""
        replica = {"url": self.replica.url, **self.way.options} if self.way.options else self.replica.url
        good = {"url": self.good_replica.url}
        if self.s3:
            server = self.case.options.store.server
            good.update({"access-key": server.access_key, "secret-key": server.secret_key})
        entries = (json.dumps({"path": self.db, "replica": replica, **self.way.keys}),
                   json.dumps({"path": self.good, "replica": good}))
        return config(*entries, http={"listen": "127.0.0.1:0"}, log={"format": "json" if self.as_json else "text"})

    def start(self):
        """The daemon."""
        secrets = [WRONG_SECRET] + ([self.case.options.store.server.secret_key] if self.s3 else [])
        drop = self.way.unprivileged and os.getuid() == 0
        if drop:
            for path, _folders, files in os.walk(self.case.path("data")):
                for one in [path, *(os.path.join(path, name) for name in files)]:
                    os.chown(one, NOBODY, NOBODY)
        self.lights = Lights(self.case, self.configuration(), secrets, env=self.env, preexec_fn=as_nobody if drop else None)
        self.lights.daemon.start(ready=False)
        if drop:
            os.chmod(self.case.path("told"), 0o777)

    def commit(self):
        """What the application goes on with."""
        if not self.way.commits:
            return
        with contextlib.closing(sqlite3.connect(self.db, timeout=60)) as connection:
            for _ in range(self.way.writes):
                connection.execute("INSERT INTO t VALUES(?)", (self.value if self.way.writes == 1 else os.urandom(3000),))
                connection.commit()
                self.value += 1

    def green(self, what):
        """Until all is well, everywhere."""
        def is_green():
            check(self.lights.daemon.alive(), lambda: f"the daemon ended\n{tail(self.lights.daemon.log())}")
            return self.lights.document()["ready"]
        wait_until(is_green, f"{what}: {self.lights.document()}\n{tail(self.lights.daemon.log())}", pause=0.05)
        document = self.lights.agree()
        check(document["ready"], f"{what}: it did not last: {document}\n{tail(self.lights.daemon.log())}")

    def red(self):
        """Until the trouble is known, everywhere; the document."""
        def is_red():
            check(self.lights.daemon.alive(), lambda: f"the daemon ended\n{tail(self.lights.daemon.log())}")
            if self.lights.of(self.db)["state"] != "gap":
                self.commit()
            return self._as_it_should(self.lights.document())
        seen = None
        try:
            wait_until(is_red, "the trouble is told", pause=0.05)
        finally:
            seen = self.lights.document()
        document = self.lights.agree()
        check(self._as_it_should(document), f"it was told for a moment only: {document}, {seen}")
        return document

    def _as_it_should(self, document):
        one = next(one for one in document["databases"] if one["path"] == self.db)
        error = document["configuration"]["error"] if self.way.of_process else one["error"]
        message = error["message"] if error else ""
        good = next(other for other in document["databases"] if other["path"] == self.good)
        return good["ready"] and one["state"] in self.way.states and all(re.search(word, message) for word in self.way.words)


def play(case, way):
    """The story of one way."""
    if not way.disk:
        play_on(case, way, None)
        return
    with small_disk(case, "disk", 1024) as folder:
        os.chmod(folder, 0o777)
        play_on(case, way, folder)


def play_on(case, way, disk):
    """The same, on that disk."""
    stage = Stage(case, way, disk)
    try:
        if way.at_start:
            way.breaks(stage)
            stage.start()
        else:
            stage.start()
            stage.green("at first")
            way.breaks(stage)
        document = stage.red()
        told(stage, document)
        if way.mends is None:
            stage.lights.daemon.process.send_signal(signal.SIGTERM)
            stage.lights.daemon.wait_exit(expect=FENCED)
            return
        way.mends(stage)
        stage.green("mended")
        healed(stage)
        stage.lights.daemon.stop()
    finally:
        if stage.lights:
            stage.lights.told.close()


def told(stage, document):
    """The cause is one line, in the log too; the healthy one is not blamed."""
    databases = {one["path"]: one for one in document["databases"]}
    check(databases[stage.good]["ready"], f"the healthy one: {databases[stage.good]}")
    insert(stage.case, stage.good, 5)
    stage.case.weir("sync", stage.good, "--wait")
    error = document["configuration"]["error"] if stage.way.of_process else databases[stage.db]["error"]
    if error is None:
        return
    message = error["message"]
    check(message and "\n" not in message and len(message) < 1000, f"the cause is no line: {message!r}")
    cause = message.rsplit(": ", 1)[-1][-60:]  # what is before it may have a name that each try makes anew
    wait_until(lambda: stage.lights.log_has(cause, stage.as_json), lambda: f"{cause!r} in the log\n{tail(stage.lights.daemon.log())}")
    events = stage.lights.daemon.get("/api/v1/events").json()["events"]
    path = stage.lights.daemon.file if stage.way.of_process else stage.db
    check([one for one in events if one["path"] == path and one["kind"] in ("failure", "state")], f"no event: {events}")


def healed(stage):
    """It ships again, and an event says so."""
    if not stage.way.of_process:
        insert(stage.case, stage.db, 7)
    stage.case.weir("sync", stage.db, "--wait")
    stage.green("after a sync")


# --- the database -----------------------------------------------------------------------------------------------------


def forbid(path, mode=0):
    """Nobody but root may, until mended."""
    if os.getuid() == 0:
        os.chown(path, 0, 0)
    os.chmod(path, mode)


def allow(path, mode):
    """As it was."""
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    os.chmod(path, mode)


def put_text(stage):
    """A text in place of the database."""
    for name in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stage.db + name)
    os.rename(stage.db, stage.db + ".kept")
    write(stage.db, TEXT * 50)


def put_back(stage):
    """The database again."""
    os.rename(stage.db + ".kept", stage.db)


def remove(stage):
    """Deleted, with its log."""
    for name in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stage.db + name)


def rollback(stage):
    """Rollback mode, which the settings refuse to change."""
    stage.case.run("sqlite3", stage.db, "PRAGMA journal_mode=DELETE")


def exclusive(stage):
    """An application that lets nobody else in."""
    stage.kept = sqlite3.connect(stage.db, isolation_level=None)
    stage.kept.execute("PRAGMA locking_mode=EXCLUSIVE")
    stage.kept.execute("INSERT INTO t VALUES(9)")


DATABASE = {
    "unreadable": Way(lambda s: forbid(s.db), lambda s: allow(s.db, 0o644), ("app.db", "(?i)denied|permi|unable to open"), ("failed", "retrying"),
                      at_start=True, unprivileged=True, commits=False),
    "no database": Way(put_text, put_back, ("app.db", "not a (SQLite )?database"), ("failed",), at_start=True, commits=False),
    "replaced by a text": Way(put_text, put_back, ("app.db", "not a (SQLite )?database"), ("retrying", "starting"), commits=False),
    "deleted": Way(remove, lambda s: small(s.case, "data/app.db"), (), ("waiting",), commits=False),
    "rollback mode": Way(rollback, lambda s: s.case.run("sqlite3", "-cmd", ".timeout 60000", s.db, "PRAGMA journal_mode=WAL"), ("app.db", "WAL"), ("failed", "retrying"),
                         at_start=True, keys={"no-switch": True}, commits=False),
    "locking_mode=EXCLUSIVE": Way(exclusive, lambda s: s.kept.close(), ("app.db", "(?i)lock"), ("retrying", "starting"), at_start=True, commits=False),
}

# --- the replica in a directory ---------------------------------------------------------------------------------------


def folders_below(folder):
    """All of them, the outermost first."""
    return [path for path, _, _ in os.walk(folder)]


def no_writing(stage):
    """Everything in the replica is read-only."""
    for path in folders_below(stage.folder):
        forbid(path, 0o555)


def writing(stage):
    """As it was."""
    for path in folders_below(stage.folder):
        allow(path, 0o755)


def kind_of_folder(stage, kind):
    """The folders of one kind of object."""
    return [path for path in folders_below(stage.folder) if os.path.basename(path) == kind]


def each(paths, change, mode):
    """Of several."""
    for path in paths:
        change(path, mode)


def fill(stage):
    """No byte is left on the small disk."""
    subprocess.run(["dd", "if=/dev/zero", f"of={stage.disk}/filler", "bs=4k"], stderr=subprocess.DEVNULL, check=False)


def empty(stage):
    """There is room again."""
    os.unlink(stage.disk + "/filler")


DIRECTORY = {
    "replica read-only": Way(no_writing, writing, ("(?i)denied",), ("behind",), unprivileged=True),
    "replica's disk full": Way(fill, empty, ("No space left",), ("behind",), disk="replica", writes=20),
    "replica gone": Way(lambda s: os.rename(s.folder, s.folder + ".away"), lambda s: os.rename(s.folder + ".away", s.folder), ("is gone",), ("behind",)),
    "snapshots fail": Way(lambda s: each(kind_of_folder(s, "snap"), forbid, 0o555), lambda s: each(kind_of_folder(s, "snap"), allow, 0o755),
                          ("snap", "(?i)denied"), ("replicating",), unprivileged=True, keys={"snapshot": {"interval": "200ms"}, "merge": {"interval": "0s"}}),
    "prune fails": Way(lambda s: each(kind_of_folder(s, "snap"), forbid, 0), lambda s: each(kind_of_folder(s, "snap"), allow, 0o755),
                       ("(?i)denied",), ("replicating",), unprivileged=True,
                       keys={"retention": {"exact": "7d", "interval": "1s"}, "snapshot": {"interval": "0s"}, "merge": {"interval": "0s"}}),
}

# --- a server ---------------------------------------------------------------------------------------------------------


def fail_with(fault, **match):
    """Every such request of the database that gets into trouble."""
    return lambda stage: stage.case.proxy.add(fault, times=None, **match)


def refuse(stage):
    """Nobody listens."""
    stage.case.proxy.refuse()
    stage.case.proxy.drop()


def accept(stage):
    """All is well."""
    stage.case.proxy.accept()
    stage.case.proxy.clear()


def clear(stage):
    """No fault any more."""
    stage.case.proxy.clear()
    stage.case.proxy.release()


def keys_file(stage, access, secret):
    """The credentials of both, in a file."""
    write(stage.case.path("credentials"), f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")


def with_keys(stage, access=None, secret=None):
    """The troubled database's credentials are in a file, which is read again when the server refuses them."""
    server = stage.case.options.store.server
    stage.env = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": stage.case.path("credentials")}
    keys_file(stage, access or server.access_key, secret or server.secret_key)


def another_bucket(stage):
    """One that nobody has made."""
    stage.kept = stage.case.name.replace(" ", "-") + "-" + os.path.basename(stage.case.dir)[-8:].lower().replace("_", "0")  # no bucket ends with "-"
    stage.replica.url = stage.replica.url.replace(f"s3://{stage.replica.bucket}/", f"s3://{stage.kept}/")


def make_bucket(stage):
    """Now there is one."""
    stage.replica.client.create_bucket(Bucket=stage.kept)


def unknown_ca(stage):
    """The server's certificate is signed by somebody whom the file does not name."""
    server = stage.case.options.store.server
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "3", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj",
                    "/CN=somebody else", "-keyout", "other.key", "-out", "ca.crt"], cwd=stage.case.dir, check=True, capture_output=True)
    stage.replica.url = stage.case.options.store.server.url(stage.replica.bucket, stage.replica.prefix, server.tls_endpoint) \
        + f"&ca-file={stage.case.path('ca.crt')}"


def known_ca(stage):
    """The file names it now."""
    with open(stage.case.options.store.server.ca_file, encoding="ascii") as file:
        write(stage.case.path("ca.crt"), file.read())


SERVER = {
    "wrong secret key": Way(lambda s: with_keys(s, secret=WRONG_SECRET), with_keys, ("SignatureDoesNotMatch|secret key",),
                            ("failed",), at_start=True),
    "unknown access key": Way(lambda s: with_keys(s, access="NOSUCHKEY"), with_keys, ("InvalidAccessKeyId|access key",),
                              ("failed",), at_start=True),
    "no right to put": Way(fail_with(faults.denied(), kind="PUT"), clear, ("AccessDenied",), ("behind",), away=True),
    "no such bucket": Way(another_bucket, make_bucket, ("bucket",), ("failed", "retrying", "starting"), at_start=True),
    "nobody listens": Way(refuse, accept, ("onnect",), ("behind",), away=True),
    "silence": Way(fail_with(faults.BlackHole()), clear, ("slow",), ("behind",), away=True, options={"stall-timeout": "1s"}),
    "503 for ever": Way(fail_with(faults.slow_down()), clear, ("SlowDown|503",), ("behind",), away=True),
    "unknown authority": Way(unknown_ca, known_ca, ("does not trust",), ("failed", "retrying", "starting"), at_start=True),
    "snapshots fail": Way(fail_with(faults.denied(), kind="PUT", key="*/snap/*"), clear, ("AccessDenied",), ("replicating",), away=True,
                          keys={"snapshot": {"interval": "200ms"}, "merge": {"interval": "0s"}}),
    "prune fails": Way(fail_with(faults.denied(), kind="LIST"), clear, ("AccessDenied",), ("replicating",), away=True,
                       keys={"retention": {"exact": "7d", "interval": "1s"}}),
    "folds fail": Way(fail_with(faults.denied(), kind="PUT", key="*/fold/*"), clear, ("AccessDenied",), ("replicating",), away=True,
                      keys={"fold": {"count": 2}}),
}

# --- anything else ----------------------------------------------------------------------------------------------------


def away(stage):
    """The replica does not answer."""
    if stage.s3:
        refuse(stage)
    else:
        os.rename(stage.folder, stage.folder + ".away")


def back(stage):
    """It does."""
    if stage.s3:
        accept(stage)
    else:
        os.rename(stage.folder + ".away", stage.folder)


def fence(stage):
    """Another process takes the history over."""
    copy = stage.case.path("copy.db")
    stage.case.weir("restore", stage.replica.url, "-o", copy)
    stage.case.run("sqlite3", copy, "PRAGMA journal_mode=WAL")
    other = Daemon(stage.case, copy, stage.replica.url, name="other").start()
    insert(stage.case, copy, 7)
    other.sync()
    other.stop()


def spoil(stage):
    """A bit in each snapshot."""
    stage.kept = damage(stage.replica, "snap")


def state_is_a_file(stage):
    """In the way of the local state."""
    write(stage.db + "-weir", "not a folder")


def broken_file(stage):
    """A configuration that cannot be used."""
    stage.lights.daemon.reload(stage.configuration().replace("sync:", "sink:"), "the new configuration is not used")


def good_file(stage):
    """And one that can."""
    stage.lights.daemon.reload(stage.configuration())


ANYWHERE = {
    "log and spool full": Way(away, back, (), ("gap",), keys={"log-limit": "1MiB", "spool-limit": "20kB"}, writes=100, away=True),
    "fenced": Way(fence, None, ("another writer|was sealed|newer timeline",), ("fenced",)),
    "drill fails": Way(spoil, lambda s: heal(s.replica, s.kept), ("drill", "snap"), ("replicating",), keys={"drill": {"interval": "100ms"}}),
    "no local state": Way(state_is_a_file, lambda s: os.unlink(s.db + "-weir"), ("app.db-weir",), ("failed",), at_start=True),
    "local state's disk full": Way(fill, empty, ("No space left",), ("replicating",), disk="state"),
    "broken configuration": Way(broken_file, good_file, ("weir.yml", "sink"), ("replicating",), of_process=True),
}


def clock(case):
    """A server whose clock is an hour ahead is no trouble: it is understood, and all is green."""
    if case.options.store.kind == "file":
        raise Skip("a server's clock: --store s3")
    case.proxy.add(faults.Skew(3600), times=None)
    stage = Stage(case, Way(None, None, (), (), away=True))
    stage.start()
    stage.green("with a wrong clock")
    stage.commit()
    healed(stage)
    stage.lights.daemon.stop()
    stage.lights.told.close()


def cases(options):
    """A case for each way."""
    at_server = options.store.kind != "file"
    ways = {**(SERVER if at_server else {**DATABASE, **DIRECTORY}), **ANYWHERE}
    found = [(name, lambda case, way=way: play(case, way)) for name, way in ways.items()]
    return found + ([("a clock that is wrong", clock)] if at_server else [])
