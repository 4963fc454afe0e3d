# SPDX-License-Identifier: Apache-2.0
"""s3_share: somebody without credentials restores one state from a document of links, and only as long as it is valid."""

import contextlib
import datetime
import http.server
import json
import os
import pathlib
import stat
import threading
import time

from lib.case import wait_until
from lib.replica import DirStore
from lib.scene import Scene
from lib.tap import Skip, check, equal
from merges import SOON, big, merges, until

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def history(case, *args):
    """A replica with some commits, one of them in parts, a snapshot in the middle, and some more."""
    if case.options.store.kind == "file":
        raise Skip("shares are for replicas at an S3 server: --store s3")
    scene = Scene(case)
    scene.start(*args)
    scene.commit(4)
    scene.app.sql("CREATE TABLE large AS SELECT randomblob(9000000) AS v")
    scene.sync()
    scene.commit(2)
    case.weir("snapshot", scene.db)
    for _ in range(6):
        scene.commit(1)
        scene.sync()
    if "--fold-count" in args:
        wait_until(lambda: any("/fold/" in key for key in scene.replica.list()), "a fold")
    scene.end()
    return scene


def bare(case, *argv, **options):
    """weir without any credentials."""
    drop = [word for name in SECRETS for word in ("-u", name)]
    return case.run("env", *drop, case.options.weir, *map(str, argv), **options)


def share(case, scene, *args, **options):
    """Make a share; returns its URL and its document."""
    path = case.path("share.json")
    done = case.weir("share", scene.url, "-o", path, *args, **options)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of the document")
    text = pathlib.Path(path).read_text(encoding="ascii")
    check("X-Amz-Signature" in text and "X-Amz-Signature" not in done.stdout + done.stderr, "links are where they do not belong")
    return f"share://{path}", json.loads(text)


def changed(case, document, change):
    """The share with something else in it."""
    document = json.loads(json.dumps(document))
    change(document)
    path = case.path("changed.json")
    pathlib.Path(path).write_text(json.dumps(document), encoding="ascii")
    return f"share://{path}"


def same(case, scene, url, txid, *args):
    """A restore by links is the restore by credentials."""
    for target in ("links.db", "keys.db"):
        case.run("rm", "-rf", case.path(target), case.path(target + "-weir"))
    done = bare(case, "restore", url, "-o", case.path("links.db"), "--json", *args)
    equal(json.loads(done.stdout)["txid"], txid, "txid")
    equal(json.loads(done.stdout)["warning"], None, "warning")
    case.weir("restore", scene.url, "-o", case.path("keys.db"), "--txid", txid)
    case.run("cmp", case.path("links.db"), case.path("keys.db"))
    check("X-Amz" not in done.stderr + done.stdout, done.stderr)
    return json.loads(done.stdout)


def refused(case, url, code, *words):
    """A restore that fails, with these words and no secret."""
    done = bare(case, "restore", url, "-o", case.path("never.db"), expect=code)
    check(all(word in done.stderr for word in words), f"{words}: {done.stderr}")
    check("X-Amz" not in done.stderr and "Signature=" not in done.stderr, f"a link is in: {done.stderr}")
    check(not os.path.exists(case.path("never.db")), "a file was made")


def every_txid(case, args=()):
    """Each state by itself, with exactly what it needs."""
    scene = history(case, *args)
    commits = scene.log()
    for commit in commits:
        url, document = share(case, scene, "--txid", commit.txid)
        equal(document["txid"], commit.txid, "txid of the share")
        same(case, scene, url, commit.txid)
        keys = [one["key"] for one in document["objects"]]
        check(set(keys) <= set(scene.replica.list()), "an object that is not there")
        check("weir.json" in keys and sum("/snap/" in key for key in keys) == 1, f"objects: {keys}")
        sizes = scene.replica.list()
        equal({one["key"]: one["size"] for one in document["objects"]}, {key: sizes[key] for key in keys}, "sizes")
    return scene, commits


def exact(case):
    """Nothing in the newest state's share can be missing but weir.json, which a restore warns of."""
    scene = history(case)
    url, document = share(case, scene)
    equal(document["txid"], scene.log()[-1].txid, "the newest")
    same(case, scene, url, document["txid"])
    for n, one in enumerate(document["objects"]):
        without = changed(case, document, lambda d, n=n: d["objects"].pop(n))
        done = bare(case, "restore", without, "-o", case.path(f"{n}.db"), "--no-state", expect=None)
        if one["key"] != "weir.json" and not one["key"].endswith("timeline.json"):
            check(done.returncode != 0, f"restored without {one['key']}")
        elif done.returncode == 0:
            check(one["key"] != "weir.json" or "weir.json" in done.stderr, f"no warning: {done.stderr}")


def folded(case):
    """The same over folds."""
    scene, _ = every_txid(case, ("--fold-count", "4", "--fold-delete-after", "1s"))
    check(any("/fold/" in key for key in scene.replica.list()), "nothing was folded")


def merged(case):
    """Over merges; and where one is missing, so that the way would leave the log for the next one and come back to it."""
    if case.options.store.kind == "file":
        raise Skip("shares are for replicas at an S3 server: --store s3")
    scene = big(case)
    scene.start(*SOON)
    until(scene, 4, 1)
    scene.commit(3)
    scene.end()
    tip = scene.log()[-1].txid
    url, document = share(case, scene)
    check(any("/merge/" in one["key"] for one in document["objects"]), "no merge is used")
    same(case, scene, url, tip)
    bare(case, "verify", url)
    found = merges(scene, 1)
    for _, _, txid, _ in found:
        same(case, scene, share(case, scene, "--txid", txid)[0], txid)
    scene.replica.delete(found[1][3])
    for key in [one[3] for one in merges(scene, 2)]:
        scene.replica.delete(key)
    for txid in (tip, found[-1][2], found[2][2] - 1, found[1][2]):
        same(case, scene, share(case, scene, "--txid", txid)[0], txid)


def before(case):
    """By --before, and with another txid at the restore."""
    scene = history(case)
    tip = scene.log()[-1].txid
    url, _ = share(case, scene, "--before", tip)
    same(case, scene, url, tip - 1)
    same(case, scene, url, tip - 2, "--txid", tip - 2)
    refused(case, url + "x", 3, "share.jsonx")


def look(case):
    """ls, log and verify say that it is a part."""
    scene = history(case)
    url, document = share(case, scene)
    for command in ("ls", "log", "verify"):
        done = bare(case, command, url, expect=None)
        check(f"a part of a replica: what txid {document['txid']} of timeline 1 needs" in done.stderr, f"{command}: {done.stderr}")
        check("X-Amz" not in done.stdout + done.stderr, f"{command} tells links")
        equal(done.returncode, 0, f"exit of weir {command}: {done.stdout}{done.stderr}")
    check("the share has all that it is for" in done.stderr, done.stderr)
    bare(case, "verify", url, "--deep", "--scratch", case.dir)
    for n, one in enumerate(document["objects"]):
        if "/log/" in one["key"] or "/snap/" in one["key"]:
            bare(case, "verify", changed(case, document, lambda d, n=n: d["objects"].pop(n)), expect=4)
    txids = [json.loads(line)["txid"] for line in bare(case, "log", url, "--json").stdout.splitlines()]
    check(txids and txids[-1] == document["txid"] and txids == sorted(txids), f"log: {txids}")


def expired(case):
    """After its end."""
    scene = history(case)
    url, document = share(case, scene, "--expires", "1s")
    end = datetime.datetime.fromisoformat(document["expires"].replace("Z", "+00:00")).timestamp()
    while time.time() < end + 1.5:
        time.sleep(0.1)
    refused(case, url, 1, "the share has expired at " + document["expires"], "ask for a new one")


def tampered(case):
    """Links, keys and sizes that were changed."""
    scene = history(case)
    url, document = share(case, scene)
    at = next(n for n, one in enumerate(document["objects"]) if "/snap/" in one["key"])
    last = document["objects"][at]["url"][-1]

    def sign(d):
        d["objects"][at]["url"] = d["objects"][at]["url"][:-1] + ("0" if last != "0" else "1")

    def later(d):
        d["expires"] = "2036-01-01T00:00:00Z"
        for one in d["objects"]:
            one["url"] = one["url"].replace("X-Amz-Expires=3600", "X-Amz-Expires=360000")

    def grow(d):
        d["objects"][at]["size"] += 1

    def swap(d):
        logs = [one for one in d["objects"] if "/log/" in one["key"]]
        logs[0]["url"], logs[-1]["url"] = logs[-1]["url"], logs[0]["url"]
        logs[0]["size"], logs[-1]["size"] = logs[-1]["size"], logs[0]["size"]

    refused(case, changed(case, document, sign), 1, "the link is not accepted (HTTP status 403")
    refused(case, changed(case, document, later), 1, "the link is not accepted (HTTP status 403")
    refused(case, changed(case, document, grow), 4, "the share says")
    refused(case, changed(case, document, swap), 4, "txid")
    refused(case, changed(case, document, lambda d: d.update(weir_share=2)), 1, "a share of version 2")
    refused(case, changed(case, document, lambda d: d.pop("objects")), 4, "objects")
    scene.replica.delete(next(one["key"] for one in document["objects"] if "/snap/" in one["key"]))
    refused(case, url, 4, "the object is gone from the replica")


@contextlib.contextmanager
def web(text):
    """A web server on this machine with one document."""
    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers one path."""

        def do_GET(self):  # pylint: disable=invalid-name
            """The document, to who knows the word."""
            good = self.path == "/a/share.json?word=OPEN"
            self.send_response(200 if good else 403)
            self.send_header("Content-Length", str(len(text) if good else 0))
            self.end_headers()
            if good:
                self.wfile.write(text)

        def log_message(self, *_args):  # pylint: disable=arguments-differ
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/a/share.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def over_http(case):
    """The document from a web server, its URL's query a secret."""
    scene = history(case)
    url, document = share(case, scene)
    with web(pathlib.Path(url.removeprefix("share://")).read_bytes()) as where:
        same(case, scene, where + "?word=OPEN", document["txid"])
        for command in ("ls", "log", "verify"):
            for more in ((), ("--json",)):
                done = bare(case, command, where + "?word=OPEN", *more)
                check(where in done.stderr and "OPEN" not in done.stdout + done.stderr, f"{command}: {done.stdout}{done.stderr}")
        done = bare(case, "restore", where + "?word=GUESS", "-o", case.path("never.db"), expect=1)
        check("HTTP status 403" in done.stderr and "GUESS" not in done.stderr, done.stderr)
    done = bare(case, "restore", "http://share.example/a.json?word=OPEN", "-o", case.path("never.db"), expect=2)
    check("https:// only" in done.stderr and "OPEN" not in done.stderr, done.stderr)


def temporary(case):
    """Credentials that end before the share would."""
    scene = history(case)
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=30)
    keys = {"Version": 1, "AccessKeyId": os.environ["AWS_ACCESS_KEY_ID"], "SecretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"],
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
    case.dir.joinpath("keys.json").write_text(json.dumps(keys), encoding="ascii")
    case.dir.joinpath("config").write_text(f"[default]\ncredential_process = cat {case.path('keys.json')}\n", encoding="ascii")
    env = {"AWS_CONFIG_FILE": case.path("config")}
    done = bare(case, "share", scene.url, "-o", case.path("no.json"), env=env, expect=1)
    check("expire at" in done.stderr and keys["Expiration"][:16] in done.stderr, done.stderr)
    check(not os.path.exists(case.path("no.json")), "a document was made")
    bare(case, "share", scene.url, "-o", case.path("share.json"), "--expires", "10m", env=env)
    same(case, scene, f"share://{case.path('share.json')}", scene.log()[-1].txid)


def others(case):
    """What cannot be shared, or not like that."""
    if case.options.store.kind == "file":
        raise Skip("needs an S3 server: --store s3")
    scene = Scene(case, replica=DirStore().replica(case, "folder"))
    scene.start()
    scene.commit(1)
    scene.end()
    done = case.weir("share", scene.url, expect=1)
    check("that needs S3" in done.stderr and not done.stdout, done.stderr)
    for args, words in ((("--expires", "8d"), "--expires is from 1s to 7d"), (("--txid", "2", "--before", "3"), "exclude each other")):
        done = case.weir("share", scene.url, *args, expect=2)
        check(words in done.stderr, done.stderr)
    other = Scene(case, name="other", replica=case.replica())
    done = case.weir("share", other.url, expect=3)
    check("no replica at" in done.stderr, done.stderr)
    other.close()


def cases(_options):
    """All of them."""
    return [
        ("every txid", every_txid), ("exactly what is needed", exact), ("folds", folded), ("merges", merged), ("--before, and another txid", before),
        ("ls, log, verify", look), ("expired", expired), ("tampered", tampered), ("from a web server", over_http),
        ("credentials that end", temporary), ("others", others),
    ]
