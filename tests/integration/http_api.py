# SPDX-License-Identifier: Apache-2.0
"""http_api: what the daemon shows and takes over HTTP, at an address and at its control sockets.

What is shown is true whatever is broken; who may not ask learns nothing; thousands wait for one upload.
"""

import http.client
import http.server
import json
import os
import re
import resource
import select
import selectors
import shutil
import signal
import socket
import socketserver
import sqlite3
import subprocess
import threading
import urllib.parse

from config import ConfigDaemon, config, entry, insert, small, write
from lib.case import PATIENCE, tail, wait_until
from lib.daemon import Daemon
from lib.replica import Leaving
from lib.tap import check, equal
from many import Folder

USAGE = 2
TOKEN = "s3cr3t-token-0123456789"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, response):
        self.status, self.headers, self.text = response.status, response.headers, response.read().decode()

    def json(self):
        """The document."""
        check("application/json" in self.headers["Content-Type"], f"not JSON: {self.headers}")
        return json.loads(self.text)


class HttpDaemon(ConfigDaemon):
    """A daemon with http.listen at a free port."""

    def __init__(self, case, text, **options):
        file = case.path("weir.yml")
        write(file, text)
        super().__init__(case, file, **options)

    @property
    def port(self):
        """Where it listens, as the log tells."""
        return int(wait_until(lambda: re.search(r'listening.*port(?:=|":)(\d+)', self.log()), "it listens")[1])

    def get(self, page, method="GET", headers=None, **query):
        """Ask at the address."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        return ask(connection, page, method, headers, query)


def ask(connection, page, method="GET", headers=None, query=None):
    """One request over a connection of its own."""
    target = page + ("?" + urllib.parse.urlencode(query) if query else "")
    try:
        connection.request(method, target, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def at_socket(db, page, method="GET", **query):
    """Ask at the control socket of a database."""
    return ask(UnixConnection(db + "-weir/control.sock"), page, method, None, query)


def begin(case, *entries, **top):
    """A daemon of one database, or of these entries, that replicates."""
    db = small(case, "a.db")
    daemon = HttpDaemon(case, config(*(entries or [entry(db, case.replica().url)]), http={"listen": "127.0.0.1:0"}, **top))
    daemon.start(ready=False)
    daemon.wait_synced(db)
    return db, daemon


def pages(case):
    """The pages, at the address and at the socket; what is not there; methods."""
    db, daemon = begin(case)
    for get in (daemon.get, lambda page, *args, **query: at_socket(db, page, *args, **query)):
        document = get("/api/v1/status").json()
        equal([one["path"] for one in document["databases"]], [db], "databases")
        equal(document["pid"], daemon.pid, "pid")
        equal(get("/api/v1/status", path=db).json()["databases"][0]["state"], "replicating", "state")
        equal(get("/api/v1/status", path="/nowhere").json()["databases"], [], "another database")
        check("/api/v1/status" in get("/").text, "/ does not name the pages")
        equal((get("/healthz").status, get("/healthz").text), (200, "ok\n"), "/healthz")
        for page, method, query, status, code in (
                ("/nowhere", "GET", {}, 404, "E_NOTFOUND"), ("/api/v1/status/", "GET", {}, 404, "E_NOTFOUND"),
                ("/api/v1/status", "POST", {}, 405, "E_CONFIG"), ("/api/v1/sync", "GET", {}, 405, "E_CONFIG"),
                ("/healthz", "DELETE", {}, 405, "E_CONFIG"), ("/api/v1/status", "GET", {"pth": "x"}, 400, "E_CONFIG")):
            answer = get(page, method, **query)
            equal((answer.status, answer.json()["code"]), (status, code), f"{method} {page}")
        equal(get("/healthz", "HEAD").status, 200, "HEAD")
        answer = get("/healthz", "OPTIONS")
        equal((answer.status, answer.headers["Allow"]), (204, "GET, HEAD, OPTIONS"), "OPTIONS")
    daemon.stop()


def commands(case):
    """Commands at the socket do what they say; at the address they are refused."""
    db, daemon = begin(case)
    insert(case, db, 2)
    answer = at_socket(db, "/api/v1/sync", "POST", path=db, wait=1, timeout="60s")
    equal((answer.status, answer.json()["ok"]), (200, True), "sync")
    shown = at_socket(db, "/api/v1/status").json()["databases"][0]
    equal((shown["txid"], shown["shipped_txid"]), (answer.json()["txid"], answer.json()["txid"]), "what is shipped")
    equal(at_socket(db, "/api/v1/sync", "POST", path=db).status, 202, "sync without waiting")
    insert(case, db, 3)
    answer = at_socket(db, "/api/v1/snapshot", "POST", path=db)
    equal(at_socket(db, "/api/v1/status").json()["databases"][0]["snapshot_txid"], answer.json()["txid"], "the snapshot")
    for query, status, text in (({}, 400, "which database"), ({"path": "/nowhere"}, 404, "is not a database of this daemon"),
                                ({"path": db, "wait": 1, "timeout": "soon"}, 400, "timeout"),
                                ({"path": db, "wait": 1, "timeout": "25h"}, 400, "longer than a day"),
                                ({"path": db, "force": 1}, 400, "unknown parameter force")):
        answer = at_socket(db, "/api/v1/sync", "POST", **query)
        equal((answer.status, answer.json()["ok"]), (status, False), f"sync {query}")
        check(text in answer.json()["error"], answer.text)
    for page in ("sync", "snapshot", "triggers"):
        answer = daemon.get(f"/api/v1/{page}", "POST", path=db)
        equal((answer.status, answer.json()["code"]), (403, "E_DENIED"), f"{page} at the address")
    daemon.stop()


def patience(case):
    """Whoever waits for a replica that is away is told why when the time is over, and is heard when it is back."""
    leaving = Leaving(case)
    db, daemon = begin(case, entry(case.path("a.db"), leaving.replica.url))
    leaving.leave()
    insert(case, db, 2)
    wait_until(lambda: at_socket(db, "/api/v1/status").json()["databases"][0]["state"] == "behind", "the state 'behind'")
    answer = at_socket(db, "/api/v1/sync", "POST", path=db, wait=1, timeout="50ms")
    equal((answer.status, answer.json()["code"]), (504, "E_TIMEOUT"), "sync")
    check("not done within" in answer.json()["error"] and leaving.word in answer.json()["error"], answer.text)
    done = case.weir("sync", db, "--wait", "--timeout", "50ms", expect=1)
    check("not done within" in done.stderr, done.stderr)
    waiting = UnixConnection(db + "-weir/control.sock")
    waiting.request("POST", "/api/v1/sync?" + urllib.parse.urlencode({"path": db, "wait": 1}))
    gone = UnixConnection(db + "-weir/control.sock")
    gone.request("POST", "/api/v1/sync?" + urllib.parse.urlencode({"path": db, "wait": 1}))
    gone.close()
    leaving.come_back()
    equal(Answer(waiting.getresponse()).json()["ok"], True, "the one that waited")
    waiting.close()
    daemon.stop()


def thousands(case):
    """2,000 wait for a sync at once and share its uploads."""
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(count, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    db, daemon = begin(case)
    insert(case, db, 2)
    before = at_socket(db, "/api/v1/status").json()["databases"][0]["requests"]["put"]["ok"]
    request = ("POST /api/v1/sync?" + urllib.parse.urlencode({"path": db, "wait": 1}) +
               " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").encode()
    answers, waiting = {}, selectors.DefaultSelector()
    for _ in range(count):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(db + "-weir/control.sock")
        sock.sendall(request)
        waiting.register(sock, selectors.EVENT_READ)
        answers[sock] = b""
    while waiting.get_map():
        for key, _ in waiting.select():
            data = key.fileobj.recv(65536)
            answers[key.fileobj] += data
            if not data:
                waiting.unregister(key.fileobj)
                key.fileobj.close()
    bad = [text for text in answers.values() if b'"ok":true' not in text]
    equal(bad, [], "answers that are not ok")
    after = at_socket(db, "/api/v1/status").json()["databases"][0]["requests"]["put"]["ok"]
    check(after - before <= 4, f"{after - before} uploads for {count} that waited for one commit")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    daemon.stop()


def guarded(case):
    """Who may ask: the token, names in Host, pages of other origins; the token can be replaced by a reload."""
    db, token = small(case, "a.db"), case.path("token")
    write(token, TOKEN + "\n")
    text = config(entry(db, case.replica().url), http={"listen": "0.0.0.0:0", "token-file": token})
    daemon = HttpDaemon(case, text).start(ready=False)
    daemon.wait_synced(db)
    right = {"Authorization": "Bearer " + TOKEN}
    for page in ("/api/v1/status", "/nowhere"):
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic " + TOKEN}, {"Authorization": TOKEN}):
            answer = daemon.get(page, headers=headers)
            equal((answer.status, answer.headers["WWW-Authenticate"]), (401, "Bearer"), f"{page} with {headers}")
            check(db not in answer.text, answer.text)
    equal(daemon.get("/healthz").status, 200, "/healthz needs no token")
    equal(daemon.get("/api/v1/status", headers=right).json()["pid"], daemon.pid, "with the token")
    equal(daemon.get("/healthz", headers={"Host": "evil.example"}).status, 421, "another name")
    equal(daemon.get("/api/v1/status", headers={"Host": "weir.example", **right}).status, 200, "another name with the token")
    equal(daemon.get("/api/v1/sync", "POST", headers={"Origin": "http://evil.example", **right}).status, 403, "another origin")
    equal(at_socket(db, "/api/v1/status").status, 200, "the socket needs no token")
    write(token, "another-" + TOKEN)
    daemon.reload(text)
    equal(daemon.get("/api/v1/status", headers=right).status, 401, "the old token")
    equal(daemon.get("/api/v1/status", headers={"Authorization": "Bearer another-" + TOKEN}).status, 200, "the new one")
    write(token, "short")
    daemon.reload(text, "the new configuration is not used")
    equal(daemon.get("/api/v1/status", headers={"Authorization": "Bearer another-" + TOKEN}).status, 200, "still")
    daemon.reload(text.replace("0.0.0.0:0", "127.0.0.1:0"), "http.listen and http.token-file cannot change")
    ready = daemon.get("/readyz")
    equal((ready.status, ready.json()), (503, {"ready": False}), "/readyz without the token: whether, not why")
    equal(daemon.get("/metrics").status, 401, "/metrics without the token")
    check(TOKEN not in daemon.log() + case.weir("status", db, "--json", expect=1).stdout, "a token was printed")
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_exit(expect=0)


def refused(case):
    """A listener that cannot be had ends the start with its place."""
    db, file, token = small(case, "a.db"), case.path("weir.yml"), case.path("token")
    one = entry(db, case.replica().url)
    write(token, "too short")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for keys, message in (({"listen": "0.0.0.0:0"}, "other machines can reach this address: name a token file"),
                              ({"listen": "[::]:0"}, "other machines can reach this address"),
                              ({"listen": "0.0.0.0:0", "token-file": case.path("none")}, "No such file"),
                              ({"listen": "127.0.0.1:0", "token-file": token}, "a token of 9 bytes"),
                              ({"listen": f"127.0.0.1:{port}"}, "Address already in use")):
            write(file, config(one, http=keys))
            done = case.weir("replicate", "-c", file, expect=(1, USAGE))
            check(message in done.stderr, f"{keys}: {done.stderr}")
    write(case.path("sock"), "not a socket")
    write(file, config(one, socket=case.path("sock")))
    check("not a socket" in case.weir("replicate", "-c", file, expect=USAGE).stderr, "a file in the way of the socket")


def hostile(case):
    """Clients that say nothing, nonsense, or too much: others are served, and the daemon ends in order."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2000)), hard))
    db, daemon = begin(case)
    silent = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(40)]
    for text in (b"\0" * 5000, b"GET " + b"/" * 100000, b"POST /api/v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 70000,
                 b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10000, b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50):
        with socket.create_connection(("127.0.0.1", daemon.port)) as client:
            try:
                client.sendall(text)
            except OSError:
                pass  # hung up on while it talks
    equal(daemon.get("/api/v1/status").json()["databases"][0]["state"], "replicating", "state")
    # A thousand more, half of them with half a request: those who must wait do not hold the control socket up.
    for number in range(1000):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", daemon.port))
        silent.append(client)
        if number % 2:
            try:
                client.send(b"GET /api/v1/status HTTP/1.1\r\nHost: ")
            except OSError:
                pass  # it waits to be let in
    insert(case, db, 2)
    equal(at_socket(db, "/api/v1/sync", "POST", path=db, wait=1).json()["ok"], True, "a sync beside a thousand silent clients")
    silent += [socket.socket(socket.AF_UNIX) for _ in range(500)]
    for client in silent[-500:]:
        client.connect(db + "-weir/control.sock")
    insert(case, db, 3)
    equal(at_socket(db, "/api/v1/sync", "POST", path=db, wait=1).json()["ok"], True, "a sync beside silent clients of its own")
    daemon.stop()
    for client in silent:
        client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    check("listening" in daemon.log(), tail(daemon.log()))


def history(case):
    """What can be restored: the ranges are those that restores know, listings are shared, a replica that is away is told."""
    db, daemon = begin(case)
    replica = case.replica()
    insert(case, db, 2)
    at_socket(db, "/api/v1/snapshot", "POST", path=db)
    for number in (3, 4, 5):
        insert(case, db, number)
    tip = at_socket(db, "/api/v1/sync", "POST", path=db, wait=1).json()["txid"]
    before = at_socket(db, "/api/v1/status").json()["databases"][0]["requests"]["list"]["ok"]
    calls = [UnixConnection(db + "-weir/control.sock") for _ in range(20)]
    for call in calls:
        call.request("GET", "/api/v1/history?" + urllib.parse.urlencode({"path": db}))
    texts = {Answer(call.getresponse()).text for call in calls}
    for call in calls:
        call.close()
    equal(len(texts), 1, "different answers")
    after = at_socket(db, "/api/v1/status").json()["databases"][0]["requests"]["list"]["ok"]
    equal(after - before, 1, "listings for all who asked")
    document = json.loads(texts.pop())
    equal((document["path"], document["cut"], document["gaps"]["list"]), (db, False, []), "the document")
    (timeline,) = document["timelines"]
    (restorable,) = timeline["restorable"]
    equal((restorable["first_txid"], restorable["last_txid"], timeline["tip"]["txid"]), (1, tip, tip), "the range")
    equal([one["txid"] for one in timeline["snapshots"]][0], 1, "the first snapshot")
    listed = json.loads(case.weir("ls", replica.url, "--json").stdout)["timelines"][0]
    for name in ("snapshots", "merges", "pruned"):
        equal([one.get("txid") for one in timeline[name]], [one.get("txid") for one in listed[name]], name)
    equal(timeline["tip"]["time"], listed["tip"]["time"], "the time of the tip")
    equal(restorable["first_time"], listed["restorable"]["first_time"], "the time of the first commit")
    equal(daemon.get("/api/v1/history", path=db).json(), document, "at the address")
    equal((daemon.get("/api/v1/history").status, daemon.get("/api/v1/history", path="/nowhere").status), (400, 404), "no such database")
    daemon.stop()


def history_away(case):
    """A replica that is not there, one that is damaged, and a stop while somebody asks."""
    leaving, replica = Leaving(case), case.replica()
    db, daemon = begin(case, entry(case.path("a.db"), leaving.replica.url))
    leaving.leave(in_the_way=True)
    answer = daemon.get("/api/v1/history", path=db)
    equal((answer.status, answer.json()["ok"]), (502, False), "no folder")
    check(leaving.word in answer.json()["error"], answer.text)
    leaving.come_back()
    wait_until(lambda: daemon.get("/api/v1/history", path=db).status == 200, "it is tried again")
    daemon.stop()
    last = max(key for key in replica.list() if key.startswith("t/00000001/log/"))
    cut = replica.read(last)[:20]
    replica.delete(last)
    replica.write(last, cut)
    second = small(case, "b.db")
    other = HttpDaemon(case, config(entry(second, case.replica("two").url), entry(case.path("none.db"), case.replica().url),
                                    http={"listen": "127.0.0.1:0"})).start(ready=False)
    other.wait_synced(second)
    (timeline,) = other.get("/api/v1/history", path=case.path("none.db")).json()["timelines"]
    check(timeline["damage"] and timeline["restorable"] is None, f"{timeline}")
    equal(timeline["snapshots"][0]["txid"], 1, "what is there is shown all the same")
    other.process.send_signal(signal.SIGTERM)
    other.wait_exit()


def history_parked(case):
    """A database of a folder that is parked: it is shown, and stays parked."""
    folder = Folder(case)
    folder.make("a.db")
    folder.daemon = daemon = HttpDaemon(case, config(folder.entry, http={"listen": "127.0.0.1:0"})).start(ready=False)
    folder.wait_parked("a.db")
    document = daemon.get("/api/v1/history", path=folder.path("a.db")).json()
    equal(document["url"], folder.url("a.db").partition("?")[0], "the replica")
    equal(document["timelines"][0]["restorable"][0]["last_txid"], folder.of("a.db")["shipped_txid"], "up to where")
    equal((document["gaps"], folder.of("a.db")["parked"]), ({"since": None, "list": [], "cut": False}, True), "parked")
    daemon.stop()


class Manager:
    """A service manager: what it was told, line by line."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.settimeout(PATIENCE)

    def wait(self, *names):
        """Until a message has all these names; {name: value} of it, and of the messages passed over."""
        passed = []
        while True:
            message = dict(line.split("=", 1) for line in self.sock.recv(4096).decode().split("\n"))
            if set(names) <= set(message):
                return message, passed
            passed.append(message)

    def drain(self):
        """Take what has come: the kernel keeps some ten messages, and refuses more."""
        while select.select([self.sock], [], [], 0)[0]:
            self.sock.recv(4096)


def service(case):
    """A service manager is told when everything is attached or has said what is wrong, of reloads, the end, and life."""
    db, broken = small(case, "a.db"), case.path("broken.db")
    write(broken, "no database at all" * 100)
    manager = Manager(case.path("notify"))
    good = entry(db, case.replica().url)
    daemon = HttpDaemon(case, config(good, entry(broken, case.replica("two").url), http={"listen": "127.0.0.1:0"}),
                        env={"NOTIFY_SOCKET": case.path("notify"), "WATCHDOG_USEC": "400000"}).start(ready=False)
    message, passed = manager.wait("READY")
    check(broken in message["STATUS"] and "1 not well" in message["STATUS"], f"{message}")
    check(not any("STOPPING" in one for one in passed), f"{passed}")
    equal(daemon.states("-c", daemon.file), {"a.db": "replicating", "broken.db": "failed"}, "states when it was ready")
    for _ in range(3):
        manager.wait("WATCHDOG")
    daemon.reload(config(good, http={"listen": "127.0.0.1:0"}))
    check(int(manager.wait("RELOADING")[0]["MONOTONIC_USEC"]) > 0, "the time of the reload")
    manager.wait("READY")
    check("nothing is wrong" in manager.wait("STATUS")[0]["STATUS"], "the status after the reload")
    daemon.reload("databases: nonsense\n", "the new configuration is not used")
    manager.wait("RELOADING")
    manager.wait("READY")
    manager.drain()
    daemon.process.send_signal(signal.SIGTERM)
    check(int(manager.wait("STOPPING")[0]["EXTEND_TIMEOUT_USEC"]) > 0, "the time for the end")
    daemon.wait_exit(expect=0)
    other = HttpDaemon(case, config(good), env={"NOTIFY_SOCKET": "nowhere"}).start(ready=False)
    other.wait_synced(db)
    other.stop()
    check("the service manager does not know" in other.log(), "a socket of no use is told")


def deaf_service(case):
    """A service manager that hears nothing for a while is told of a reload, and of its end, when it listens again."""
    db, manager = small(case, "a.db"), Manager(case.path("notify"))
    daemon = HttpDaemon(case, config(entry(db, case.replica().url)),
                        env={"NOTIFY_SOCKET": case.path("notify"), "WATCHDOG_USEC": "20000"}).start(ready=False)
    manager.wait("READY")
    wait_until(lambda: "it does not read what it was told before" in daemon.log(), "nobody listens")
    daemon.reload(config(entry(db, case.replica().url)))
    manager.wait("RELOADING")
    manager.wait("READY")
    daemon.stop()


def told(daemon, db):
    """The state and whether there is an error, as every page tells them; they must agree."""
    for _ in range(50):
        shown = daemon.get("/api/v1/status", path=db).json()["databases"][0]
        ready, metrics = daemon.get("/readyz"), daemon.get("/metrics").text
        states = re.findall(r'^weir_state\{db="' + re.escape(db) + r'",state="(\w+)"\} 1$', metrics, re.M)
        error = re.findall(r'^weir_error\{db="' + re.escape(db) + r'"\} (\d)$', metrics, re.M)
        reasons = {one["path"]: one for one in ready.json()["reasons"]}
        said = reasons.get(db, {"state": "replicating", "error": None})
        if states == [shown["state"]] == [said["state"]] and said["error"] == (shown["error"] and shown["error"]["message"]):
            break  # else it changed between two of the questions
    equal(states, [shown["state"]], "the state in /metrics")
    equal(error, ["0" if shown["error"] is None else "1"], "the error in /metrics")
    if shown["state"] == "replicating" and shown["error"] is None:
        check(db not in reasons, f"/readyz: {reasons}")
    else:
        equal((ready.status, reasons[db]["state"]), (503, shown["state"]), "/readyz")
        equal(reasons[db]["error"], shown["error"] and shown["error"]["message"], "the reason in /readyz")
    return shown["state"], shown["error"]


def event_kinds(daemon, db):
    """Kinds and texts of what happened to the database."""
    return [(one["kind"], one["text"]) for one in daemon.get("/api/v1/events").json()["events"] if one["path"] == db]


def away(case):
    """The replica is away, long enough for a spool and a gap, and comes back: told everywhere, step by step."""
    db, leaving = small(case, "a.db"), Leaving(case)
    daemon = HttpDaemon(case, config(entry(db, leaving.replica.url, **{"log-limit": "1MiB", "spool-limit": "3MB"}),
                                     http={"listen": "127.0.0.1:0"})).start(ready=False)
    daemon.wait_synced(db)
    wait_until(lambda: told(daemon, db) == ("replicating", None), "all is well")
    equal(daemon.get("/readyz").json(), {"ready": True, "not_ready": 0, "reasons": []}, "/readyz")
    leaving.leave()
    seen = set()
    connection = sqlite3.connect(db, timeout=60)
    connection.execute("CREATE TABLE big(x)")
    for _ in range(3000):
        for _ in range(10):
            connection.execute("INSERT INTO big VALUES(randomblob(3000))")
            connection.commit()
        state, error = told(daemon, db)
        if state != "replicating":
            check(error and (leaving.word if leaving.proxy else "is gone") in error["message"] or state == "gap", f"{state}: {error}")
        seen.add(state)
        if state == "gap":
            break
    check({"spooling", "gap"} <= seen, f"states while the replica was away: {seen}")
    metrics = daemon.get("/metrics").text
    check(re.search(r'^weir_failures_total\{.*\} [1-9]', metrics, re.M), metrics)
    check(re.search(r'^weir_failure_time_seconds\{.*\} \d{9}', metrics, re.M), metrics)
    leaving.come_back()
    connection.close()
    daemon.wait_synced(db)
    wait_until(lambda: told(daemon, db) == ("replicating", None), "all is well again")
    check(re.search(r'^weir_gaps_total\{.*\} 1$', daemon.get("/metrics").text, re.M), "the gap is not counted")
    kinds = [kind for kind, _ in event_kinds(daemon, db)]
    for kind in ("state", "failure", "healed", "gap", "snapshot", "timeline"):
        check(kind in kinds, f"no event {kind}: {event_kinds(daemon, db)}")
    case.weir("sync", db, "--wait")
    daemon.stop()


def broken(case):
    """A file that is no database, a folder that may not be written to, and a fenced writer beside a good one."""
    good, bad, denied, lost = (small(case, f"{name}.db") for name in ("good", "bad", "denied", "lost"))
    write(bad, "this is no database, however long one looks at it" * 30)
    write(case.path("file"), "not a folder")
    urls = {db: case.replica("of-" + os.path.basename(db)).url for db in (good, bad, lost)}
    urls[denied] = "file://" + case.path("file", "below")
    daemon = HttpDaemon(case, config(*(entry(db, url) for db, url in urls.items()), http={"listen": "127.0.0.1:0"}))
    daemon.start(ready=False)
    daemon.wait_synced(good, lost)
    copy = case.path("copy.db")
    case.weir("restore", urls[lost], "-o", copy)
    insert(case, copy, 7)
    other = Daemon(case, copy, urls[lost], name="other").start()
    insert(case, lost, 5)
    wait_until(lambda: told(daemon, lost)[0] == "fenced", f"fenced\n{tail(daemon.log())}")
    equal(told(daemon, good), ("replicating", None), "the good one")
    equal(told(daemon, lost)[1]["code"], "E_FENCED", "the cause")
    check(re.search(r'^weir_fenced\{db="' + re.escape(lost) + r'"\} 1$', daemon.get("/metrics").text, re.M), "/metrics: fenced")
    wait_until(lambda: told(daemon, bad)[0] == "failed", "the file that is no database")
    state, error = told(daemon, denied)
    check(state in ("failed", "retrying") and error, f"a replica that cannot be made: {state}, {error}")
    equal(daemon.get("/readyz").json()["not_ready"], 3, "/readyz")
    check(any(kind == "state" and "fenced" in text for kind, text in event_kinds(daemon, lost)), "no event of the fencing")
    answer = at_socket(good, "/api/v1/sync", "POST", path=lost, wait=1)
    equal((answer.status, answer.json()["code"]), (409, "E_CANCELED"), "sync of the fenced one")
    other.stop()
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_exit(expect=5)


def figures(case):
    """Metrics in both formats, and what promtool says; samples and events."""
    db, daemon = begin(case)
    for i in range(20):
        insert(case, db, i)
    case.weir("sync", db, "--wait")
    classic = daemon.get("/metrics")
    check(classic.headers["Content-Type"].startswith("text/plain; version=0.0.4"), classic.headers)
    modern = daemon.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    check(modern.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"), modern.headers)
    check(modern.text.endswith("\n# EOF\n"), modern.text[-100:])
    check(re.search(r"^weir_segments_shipped_total\{db=.*\} [1-9]", modern.text, re.M), modern.text)
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=classic.text, capture_output=True, text=True, check=False)
        equal((done.returncode, done.stdout + done.stderr), (0, ""), "promtool check metrics")
    for span, step in (("hour", 1000), ("week", 60000)):
        document = daemon.get("/api/v1/samples", path=db, span=span).json()
        equal((document["path"], document["step_ms"]), (db, step), "samples")
        check(sum(n or 0 for n in document["commits"]) >= 10, f"commits of the {span}: {document['commits'][-5:]}")
        check(sum(n or 0 for n in document["bytes"]) > 0, f"bytes of the {span}")
    equal(daemon.get("/api/v1/samples", path=db, span="year").status, 400, "another span")
    equal(daemon.get("/api/v1/samples", path="/nowhere").status, 404, "another database")
    check(("snapshot", "snapshot of txid 1") in event_kinds(daemon, db), event_kinds(daemon, db))
    daemon.stop()


def priced(case):
    """What the replica costs, by prices of one's own, which a reload changes; nothing is told that is not known yet."""
    db, url = small(case, "a.db"), case.replica().url

    def text(price):
        own = "" if price is None else f"\n    price: {price}"
        return f"http: {{listen: \"127.0.0.1:0\"}}\ndatabases:\n  - path: {json.dumps(db)}\n    replica: {json.dumps(url)}{own}\n"

    def price():
        return at_socket(db, "/api/v1/status").json()["databases"][0]["price"]

    daemon = HttpDaemon(case, text("put=1,gb-month=0")).start(ready=False)
    daemon.wait_synced(db)
    shown = price()
    check(0 <= shown.pop("measured_seconds") < 3600, str(shown))
    equal(shown, {"currency": None, "requests": None, "storage": 0, "total": None, "source": "your prices: put=1,gb-month=0"}, "price")
    check("  price " not in case.weir("status", db).stdout, "a price in the first hour")
    equal(re.findall(r"^weir_estimated_.*", daemon.get("/metrics").text, re.M), [], "metrics in the first hour")
    for own, source in (("put=3", "your prices: put=3"), (None, None)):
        write(case.path("weir.yml"), text(own))
        daemon.process.send_signal(signal.SIGHUP)
        if own is None and case.options.store.kind != "file":
            wait_until(lambda: price() is None or "your" not in price()["source"], "list prices, or none")
        else:
            wait_until(lambda: (price() or {}).get("source") == source, f"the price by {own}")
    daemon.stop()


class ToldStatus(http.server.BaseHTTPRequestHandler):
    """Whoever asks is told what stands in `document`."""

    document = {}

    def do_GET(self):  # pylint: disable=invalid-name
        body = json.dumps(self.document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "socket"

    def log_message(self, *_args):
        pass


def priced_in_words(case):
    """What `weir status` says of a price, which takes a daemon an hour to know: so it is told one."""
    db, sock = small(case, "a.db"), case.path("told.sock")
    file = case.path("weir.yml")
    write(file, f"socket: {json.dumps(sock)}\ndatabases:\n  - path: {json.dumps(db)}\n    replica: file:///r\n")
    usd = {"currency": "USD", "requests": 1.5, "storage": 0.25, "total": 1.75, "measured_seconds": 7200, "source": "X"}
    with socketserver.UnixStreamServer(sock, ToldStatus) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        for price, line in (
                (usd, "  price      about 1.75 USD a month: 1.50 for requests, 0.25 for storage"),
                ({**usd, "currency": None}, "  price      about 1.75 a month: 1.50 for requests, 0.25 for storage"),
                ({**usd, "storage": None, "total": None}, "  price      about 1.50 USD a month for requests"),
                ({**usd, "requests": None, "total": None}, None), (None, None)):
            ToldStatus.document = {"databases": [{"path": db, "url": "file:///r", "state": "replicating", "ready": True, "price": price}]}
            told = [text for text in case.weir("status", "-c", file).stdout.splitlines() if "price" in text]
            equal(told, [line] if line else [], f"what is said of {price}")
        server.shutdown()


def cases(options):
    """All stories; over a server those that it has a part in."""
    found = [
        ("pages", pages), ("commands", commands), ("patience", patience), ("history", history), ("history of what is broken", history_away),
        ("history of a parked database", history_parked), ("a replica that is away", away), ("figures", figures), ("price", priced),
    ]
    if options.store.kind != "file":
        return found
    return found + [
        ("thousands wait", thousands), ("who may ask", guarded), ("refused", refused), ("hostile clients", hostile),
        ("service manager", service), ("a deaf service manager", deaf_service), ("broken in every way", broken), ("price in words", priced_in_words),
    ]
