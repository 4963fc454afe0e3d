# SPDX-License-Identifier: Apache-2.0
"""state_dir: local states in a folder of their own.  All that works beside a database works there: restarts, kills, two databases of
one name, folders, restores, every command that looks for the daemon; and still one process alone replicates a database.
"""

import contextlib
import json
import os
import signal
import subprocess

from config import ConfigDaemon, config, entry, small, write
from lib.case import wait_until
from lib.daemon import Daemon
from lib.scene import Scene
from lib.tap import Skip, check, equal

FAILED, USAGE, FENCED = 1, 2, 5
NOBODY = 65534


def states(folder):
    """The local states in a state-dir."""
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def begin(case, name="state"):
    """A scene, and the environment that puts its state elsewhere."""
    scene = Scene(case)
    return scene, {"WEIR_STATE_DIR": case.path(name)}


def alone(scene, folder):
    """Nothing of weir is beside the database, and the state is where it should be."""
    check(not os.path.exists(scene.state_dir), f"{scene.state_dir} was made")
    check(any(name.startswith("app.db-") and name.endswith("-weir") for name in states(folder)), f"states: {states(folder)}")


def weir(case, env, *args, **options):
    """A command with the same setting as the daemon."""
    return case.weir(*args, env=env, **options)


def restart(case):
    """Ended in order, killed, the log reset meanwhile: every commit is there, and nothing is beside the database."""
    scene, env = begin(case)
    start(case, env, scene)
    ship(case, env, scene, 5)
    scene.stop()
    alone(scene, case.path("state"))
    scene.commit(3)
    start(case, env, scene)
    for _ in range(3):
        scene.commit(4)
        scene.daemon.kill()
        scene.commit(2)
        start(case, env, scene)
    document = json.loads(weir(case, env, "status", scene.db, "--json").stdout)["databases"][0]
    equal((document["state"], document["resyncs"]), ("replicating", 0), "state and resyncs")
    scene.stop()
    scene.close()
    alone(scene, case.path("state"))
    scene.verify()


def start(case, env, scene):
    """Start the scene's daemon, and wait until it acknowledges a sync."""
    scene.start(env=env, ready=False)
    wait_until(lambda: weir(case, env, "sync", scene.db, "--wait", expect=None).returncode == 0 or not scene.daemon.alive(), "a sync")
    check(scene.daemon.alive(), lambda: scene.daemon.log())


def ship(case, env, scene, commits):
    """So many commits, and everything is in the replica."""
    scene.commit(commits)
    weir(case, env, "sync", scene.db, "--wait")


def everywhere(base, *entries):
    """A configuration with a state-dir for all."""
    text = config(*entries)
    assert "defaults: {" in text
    return text.replace("defaults: {", "defaults: {state-dir: " + json.dumps(base) + ", ", 1)


def by_file(case):
    """Of the configuration: `defaults`, one entry's own, and each command finds it with -c, or with none but the variable."""
    a, b = small(case, "a.db"), small(case, "b.db")
    file = case.path("weir.yml")
    write(file, everywhere(case.path("all"), entry(a, case.replica("a").url), entry(b, case.replica("b").url, **{"state-dir": case.path("its")})))
    daemon = ConfigDaemon(case, file).start(ready=False)
    for db in (a, b):
        wait_until(lambda db=db: case.weir("sync", db, "--wait", "-c", file, expect=None).returncode == 0, f"sync of {db}")
    equal([len(states(case.path("all"))), len(states(case.path("its")))], [1, 1], "states")
    for name in ("a.db-weir", "b.db-weir"):
        check(not os.path.exists(case.path(name)), f"{name} was made")
    for db in (a, b):
        case.weir("status", db, "-c", file)
        case.weir("status", db, env={"WEIR_CONFIG": file})
        case.weir("snapshot", db, "-c", file)
        case.weir("sync", db, "--wait", env={"WEIR_CONFIG": file})
        checked = json.loads(case.weir("check", "-c", file, db, "--json").stdout)["databases"][0]["tests"]
        text = {test["name"]: test["message"] for test in checked}
        check(f"process {daemon.pid} " in text["daemon"], text)
        check("shipped up to txid" in text["local state"], text)
        done = case.weir("restore", "-c", file, db, "-o", db, "--force", expect=FAILED)
        check("is replicated by a weir daemon" in done.stderr, done.stderr)
    # Without the setting the daemon is not found, and that is said.
    check("no weir process replicates" in case.weir("sync", a, "--wait", expect=FAILED).stderr, "no word of it")
    # A file that is not there or not whole may be what says where it is.
    for name in ("none.yml", "broken.yml"):
        write(case.path("broken.yml"), "databases: [\n")
        for command in (("sync", a, "--wait"), ("snapshot", a), ("status", a), ("status", a, "--json")):
            done = case.weir(*command, expect=USAGE, env={"WEIR_CONFIG": case.path(name)})
            check("no weir process" in done.stderr and case.path(name) in done.stderr, done.stderr)
            equal(done.stdout, "", "answer")
    equal(case.weir("sync", a, "--wait", "-c", case.path("none.yml"), expect=USAGE).stdout, "", "answer")
    case.weir("status", "-c", file)
    # Another place: the database begins there, and its history goes on.
    mark = daemon.reload(config(entry(a, case.replica("a").url, **{"state-dir": case.path("new")}), entry(b, case.replica("b").url)))
    wait_until(lambda: case.weir("sync", a, "--wait", "-c", file, expect=None).returncode == 0 and states(case.path("new")), "a state at the new place")
    wait_until(lambda: case.weir("sync", b, "--wait", "-c", file, expect=None).returncode == 0 and os.path.isdir(b + "-weir"), "and beside b")
    check("error" not in daemon.log_since(mark), lambda: daemon.log_since(mark))
    daemon.stop()
    case.weir("verify", case.replica("a").url)


def passed_over(case):
    """A configuration that nobody named and that is of no use is told of, by every command that looks into it: a mistake in it, a
    variable that only the service has, a file that this user may not read."""
    scene = Scene(case)
    scene.start()
    scene.commit(1)
    file, text = case.path("weir.yml"), config(entry(scene.db, scene.url))
    env = {"WEIR_CONFIG": file}
    sources = (("status", scene.db), ("sync", scene.db, "--wait"), ("snapshot", scene.db))
    for damage, words in ((text + "sokcet: /x\n", f"{file}:"), (text + "socket: ${OF_THE_SERVICE}\n", "OF_THE_SERVICE"), (None, file)):
        write(file, damage or text)
        user = None
        if damage is None:
            user = nobody(case, file)
        for command in (*sources, ("restore", scene.url, "-o", case.path("to.db"), "--force")):
            if user:  # the daemon makes new files
                hand_over(case.path())
                os.chown(file, 0, 0)
            done = case.weir(*command, env=env, preexec_fn=user)
            check(f"weir {command[0]}: warning: the configuration is passed over: " in done.stderr and words in done.stderr, done.stderr)
        # What the file must say: the same is an error, and one.
        for command in (("status",), ("restore", scene.db, "-o", case.path("to.db"), "--force"), ("ls", scene.db), ("prune", scene.db)):
            done = case.weir(*command, env=env, preexec_fn=user, expect=USAGE)
            check(words in done.stderr and done.stderr.count(words) == 1, done.stderr)
            equal("'weir status DB' asks it" in done.stderr, command == ("status",), f"the way around: {done.stderr}")
    scene.end()


def without_secrets(case):
    """Who asks a daemon need not have what only its service has; who speaks to the replica must, and is told."""
    db, file = small(case, "app.db"), case.path("weir.yml")
    one = entry(db, case.replica().url)
    write(file, config(one))
    daemon = ConfigDaemon(case, file).start(ready=False)
    daemon.wait_synced(db)
    other = json.dumps({"path": case.path("b.db"), "replica": {"url": "s3://bucket/b", "secret-key": "${OF_THE_SERVICE}"}})
    write(file, config(one, other))
    env = {"WEIR_CONFIG": file}
    for argv, expect in ((("status", db), 0), (("sync", db, "--wait"), 0), (("snapshot", db), 0), (("status",), FAILED)):
        for how in ({"env": env}, {"args": ("-c", file)}):
            done = case.weir(*argv, *how.get("args", ()), env=how.get("env"), expect=expect)
            equal(done.stderr, "", f"{argv}")
    check("OF_THE_SERVICE" in case.weir("ls", case.path("b.db"), env=env, expect=USAGE).stderr, "weir ls")
    daemon.stop()


def another_user(case):
    """Who is not the service's user and not root is told that, and not that nobody replicates the database."""
    db, file = small(case, "app.db"), case.path("weir.yml")
    os.mkdir(case.path("run"))
    for top in ({}, {"socket": case.path("s.sock")}, {"socket": case.path("run", "s.sock")}):
        write(file, config(entry(db, case.replica().url), **top))
        daemon = ConfigDaemon(case, file).start(ready=False)
        daemon.wait_synced(db)
        user = nobody(case, file)
        os.chmod(file, 0o644)
        os.chmod(case.path("run"), 0o700)
        for argv in (("status",), ("status", db), ("sync", db, "--wait"), ("snapshot", db)):
            done = case.weir(*argv, "-c", file, preexec_fn=user, expect=FAILED)
            check("answers only the user that it runs as, and root" in done.stderr and "Permission denied" in done.stderr, f"{argv}: {done.stderr}")
            equal(done.stdout, "", f"{argv}")
        daemon.stop()


def mistyped(case):
    """A path, a command, a folder: what is not there is told as that."""
    db = small(case, "app.db")
    for command in ("sync", "snapshot"):
        check("and there is no such file" in case.weir(command, case.path("appp.db"), expect=FAILED).stderr, command)
        check("no such file" not in case.weir(command, db, expect=FAILED).stderr, command)
    for command in ("sync", "snapshot", "status"):
        check("is a folder: name a database in it" in case.weir(command, case.path(), expect=USAGE).stderr, command)
    check("and there is no such file" in case.weir("status", case.path("appp.db"), expect=FAILED).stdout, "status")
    check("did you mean 'status'?" in case.weir("statsu", expect=USAGE).stderr, "a command")
    check("name its URL" in case.weir("check", db, expect=USAGE).stderr, "a database without its URL")
    check("Is a directory" in case.weir("replicate", "-c", case.path(), expect=USAGE).stderr, "a folder as configuration")
    write(case.path("weir.yml"), config(entry(db, case.replica().url), socket=case.path("no", "such")))
    check("its folder is not there" in case.weir("replicate", "-c", case.path("weir.yml"), expect=USAGE).stderr, "a socket in no folder")
    write(case.path("weir.yml"), "databases:\n- {dir: " + json.dumps(case.path("none")) + ", replica: 'file:///none'}\n- " + entry(db, case.replica().url) + "\n")
    done = case.weir("check", "-c", case.path("weir.yml"), expect=FAILED)
    check("weir waits until it can be read" in done.stdout and f"{db} is SQLite" in done.stdout, done.stdout)


def hand_over(path):
    """All below it is nobody's from here on; what the daemon removes meanwhile is passed over."""
    for folder, _, names in os.walk(path):
        for name in [folder, *(os.path.join(folder, name) for name in names)]:
            with contextlib.suppress(FileNotFoundError):
                os.lchown(name, NOBODY, -1)


def nobody(case, file):
    """Who may not read the file, but everything else."""
    def drop():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.chmod(case.path(), 0o755)
    os.chmod(file, 0o600)
    if os.getuid() != 0 or subprocess.run([case.options.weir, "--help"], preexec_fn=drop, capture_output=True, check=False).returncode != 0:
        raise Skip("the program cannot be run as another user")
    return drop


def asked_by_file(case):
    """A database that was given up has no daemon beside it: the configuration that is found leads to the one that knows why."""
    good, file = small(case, "good.db"), case.path("weir.yml")
    write(case.path("bad.db"), "no database, but long enough to be taken for one" * 100)
    for top in ({}, {"socket": case.path("s.sock")}):
        write(file, config(entry(good, case.replica("good").url), entry(case.path("bad.db"), case.replica("bad").url), **top))
        daemon = ConfigDaemon(case, file).start(ready=False)
        wait_until(lambda: case.weir("status", case.path("bad.db"), env={"WEIR_CONFIG": file}, expect=None).stdout.count("failed"), "its state")
        done = case.weir("status", case.path("bad.db"), env={"WEIR_CONFIG": file}, expect=FAILED)
        check("is not a database" in done.stdout or "not a SQLite database" in done.stdout, done.stdout)
        wait_until(lambda: case.weir("sync", good, "--wait", expect=None).returncode == 0, "a sync")
        daemon.stop(expect=None)


def same_names(case):
    """Two databases of one name in two folders, one state-dir; and a link to one of them."""
    replicas, dbs = [], []
    for name in ("one", "two"):
        os.mkdir(case.path(name))
        dbs.append(small(case, f"{name}/app.db"))
        replicas.append(case.replica(name))
    os.symlink(case.path("one"), case.path("link"))
    file, base = case.path("weir.yml"), case.path("state")
    write(file, everywhere(base, *(entry(db, r.url) for db, r in zip(dbs, replicas))))
    daemon = ConfigDaemon(case, file).start(ready=False)
    for db in (*dbs, case.path("link", "app.db")):
        wait_until(lambda db=db: case.weir("sync", db, "--wait", "-c", file, expect=None).returncode == 0, f"sync of {db}")
    equal(len(states(base)), 2, f"states: {states(base)}")
    daemon.stop()
    daemon = ConfigDaemon(case, file).start(ready=False)
    for db in dbs:
        wait_until(lambda db=db: case.weir("sync", db, "--wait", "-c", file, expect=None).returncode == 0, f"sync of {db}")
    equal({db["timeline"] for db in daemon.document("-c", file)["databases"]}, {1}, "timelines")
    daemon.stop()


def in_a_folder(case):
    """Databases of a folder: its lock and socket are there too, and nothing is in the folder but databases."""
    folder, base, file = case.path("many"), case.path("state"), case.path("weir.yml")
    os.mkdir(folder)
    for name in ("a.db", "b.db"):
        small(case, f"many/{name}")
    write(file, "databases: [{dir: " + json.dumps(folder) + ", replica: " + json.dumps(case.replica().url)
          + ", park-after: 100ms, state-dir: " + json.dumps(base) + "}]\n")
    for _ in range(2):
        daemon = ConfigDaemon(case, file).start(ready=False)
        for name in ("a.db", "b.db"):
            path = os.path.join(folder, name)
            wait_until(lambda path=path: case.weir("sync", path, "--wait", "-c", file, expect=None).returncode == 0, f"sync of {path}")
        wait_until(lambda: daemon.document("-c", file)["folders"][0]["parked"] == 2, "both are parked")
        case.run("sqlite3", "-cmd", ".timeout 60000", os.path.join(folder, "a.db"), "CREATE TABLE IF NOT EXISTS x(y); INSERT INTO x VALUES(1)")
        case.weir("sync", os.path.join(folder, "a.db"), "--wait", "-c", file)
        check(not [name for name in os.listdir(folder) if "weir" in name], os.listdir(folder))
        equal(len(states(base)), 3, f"states: {states(base)}")
        daemon.stop()


def two_daemons(case):
    """Whatever places they have for their states: the second is refused, while the first is there; and then it may."""
    scene, env = begin(case)
    others = [{"WEIR_STATE_DIR": case.path("other")}, {}]
    start(case, env, scene)
    for other in others:
        for url in (scene.url, case.replica("another").url):
            second = Daemon(case, scene.db, url, env=other, name="second").start(ready=False)
            second.wait_exit(expect=FENCED)
            check("another weir process is at work on" in second.log(), second.log())
    ship(case, env, scene, 3)
    scene.stop()
    equal(case.replica("another").list(), {}, "objects of the one that was refused")
    # Beside the database first, then below another folder: the other way round.
    start(case, {}, scene)
    second = Daemon(case, scene.db, scene.url, env=env, name="second").start(ready=False)
    second.wait_exit(expect=FENCED)
    scene.daemon.kill()
    # What it knew before is old by now: that is found out.  Knowing nothing is fine.
    third = Daemon(case, scene.db, scene.url, env=env, name="third").start(ready=False)
    third.wait_exit(expect=FENCED)
    check("another writer owns the history" in third.log(), third.log())
    env = {"WEIR_STATE_DIR": case.path("fresh")}
    start(case, env, scene)
    ship(case, env, scene, 2)
    scene.stop()
    scene.close()
    scene.verify()


def restores(case):
    """A restore puts the state where the daemon will look for it; keeping the old file prints a way back that is right; a copy follows."""
    scene, env = begin(case)
    start(case, env, scene)
    ship(case, env, scene, 6)
    scene.stop()
    scene.close()
    before = states(case.path("state"))
    done = weir(case, env, "restore", scene.url, "-o", scene.db, "--in-place", "--keep-old", "--before", "5")
    check(not os.path.exists(scene.state_dir), "a state was made beside the database")
    equal(states(case.path("state")), before, "states")
    back = next(line for line in done.stdout.splitlines() if " then: " in line).split(" then: ")[1]
    check(f"{case.path('state')}/{before[0]}" in back, back)
    # It goes on from there by its state: a timeline of its own, without reading the whole file.
    daemon = Daemon(case, scene.db, scene.url, env=env, args=("--fork",)).start(ready=False)
    wait_until(lambda: weir(case, env, "sync", scene.db, "--wait", expect=None).returncode == 0, "a sync")
    equal(json.loads(weir(case, env, "status", scene.db, "--json").stdout)["databases"][0]["timeline"], 2, "timeline")
    daemon.stop()
    case.run("sh", "-c", back)
    equal(states(case.path("state")), [], "states after the way back")
    copy = case.path("copy.db")
    follower = case.spawn([case.options.weir, "restore", scene.url, "-o", copy, "--follow", "--interval", "20ms"],
                          env=dict(os.environ, **env), stdout=open(case.path("follow.log"), "wb"))  # pylint: disable=consider-using-with
    wait_until(lambda: any(name.startswith("copy.db-") for name in states(case.path("state"))), "the state of the copy")
    follower.send_signal(signal.SIGTERM)
    check(follower.wait() in (0, -signal.SIGTERM), "status of the follower")  # the latter before it waits for signals
    check(not os.path.exists(copy + "-weir"), "a state was made beside the copy")


def moved(case):
    """A database that was moved is another one to the state-dir: its file is proven by the replica, and its history goes on."""
    scene, env = begin(case)
    start(case, env, scene)
    ship(case, env, scene, 4)
    scene.stop()
    scene.close()
    os.mkdir(case.path("there"))
    os.rename(scene.db, case.path("there", "app.db"))
    daemon = Daemon(case, case.path("there", "app.db"), scene.url, env=env).start(ready=False)
    wait_until(lambda: weir(case, env, "sync", daemon.db, "--wait", expect=None).returncode == 0, "a sync")
    equal(len(states(case.path("state"))), 2, "states")
    daemon.stop()
    scene.verify()
    # Another database at the old place does not become a part of that history.
    small(case, "app.db")
    daemon = Daemon(case, scene.db, scene.url, env=env).start(ready=False)
    daemon.wait_exit(expect=(1, 2, 4, 5))


def wrong(case):
    """No absolute path, too long, not there, not allowed, a file: said with its place."""
    file, db, url = case.path("weir.yml"), small(case, "a.db"), case.replica().url
    long = "/" + "x" * 160
    for value, words in (("relative", "not an absolute path"), (long, "longer than 160 bytes")):
        write(file, config(entry(db, url, **{"state-dir": value})))
        done = case.weir("replicate", "-c", file, expect=USAGE)
        check(words in done.stderr and f"{file}:" in done.stderr, done.stderr)
    write(case.path("file"), "")
    for value, words in ((case.path("no", "such"), "the folder above it is not there"), (case.path("file"), "file")):
        daemon = Daemon(case, db, url, env={"WEIR_STATE_DIR": value}).start(ready=False)
        check(daemon.wait_exit() != 0, "it went on")
        check(words in daemon.log() and value in daemon.log(), daemon.log())
    for value, expect, words in ((case.path("no", "such"), FAILED, "not mounted"), (case.path("made"), 0, "")):
        done = case.weir("check", db, url, env={"WEIR_STATE_DIR": value}, expect=expect)
        check(words in done.stdout and not os.path.exists(value), done.stdout)
    write(file, "state-dir: /x\n" + config(entry(db, url)))
    check("state-dir" in case.weir("replicate", "-c", file, expect=USAGE).stderr, "a key of the whole")


def cases(_options):
    """All of them."""
    return [("restart", restart), ("by file", by_file), ("passed over", passed_over), ("asked by file", asked_by_file),
            ("without secrets", without_secrets), ("another user", another_user), ("mistyped", mistyped),
            ("two of one name", same_names), ("databases of a folder", in_a_folder),
            ("two daemons", two_daemons), ("restores", restores), ("moved", moved), ("wrong", wrong)]
