# SPDX-License-Identifier: Apache-2.0
"""s3_uploads: what large objects leave behind at an S3 server, when all goes well and when nothing does: no unfinished uploads and
no objects without a name, or those that a prune takes away."""

import json

from lib.case import wait_until
from lib.scene import Scene
from lib.tap import Skip, check, equal
from servers import faults

LARGE = 12 << 20  # three parts
DAY = 24 * 3600
POLICY = ("--exact", "1d")


def large_scene(case):
    """A database whose snapshot takes several parts, behind the proxy."""
    if case.options.store.kind == "file":
        raise Skip("uploads at an S3 server: --store s3")
    scene = Scene(case, replica=case.proxied_replica())
    scene.app.sql(f"CREATE TABLE large AS SELECT randomblob({LARGE}) AS v")
    scene.recorder.record("large")
    return scene


def unfinished(scene):
    """Keys of uploads that were begun and neither finished nor aborted, below the replica's prefix."""
    answer = scene.replica.client.list_multipart_uploads(Bucket=scene.replica.bucket, Prefix=scene.replica.prefix + "/")
    return sorted(one["Key"] for one in answer.get("Uploads", []))


def scratch(scene):
    """Objects below .tmp/."""
    answer = scene.replica.client.list_objects_v2(Bucket=scene.replica.bucket, Prefix=scene.replica.prefix + "/.tmp/")
    return sorted(one["Key"] for one in answer.get("Contents", []))


def begin_other(scene, key):
    """An upload that somebody else begins, with one part."""
    where = {"Bucket": scene.replica.bucket, "Key": key}
    upload = scene.replica.client.create_multipart_upload(**where)["UploadId"]
    scene.replica.client.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"part")


def prune(case, scene, *args):
    """weir prune, as a document."""
    return json.loads(case.weir("prune", scene.url, *POLICY, "--json", *args).stdout)


def nothing_left(case):
    """Snapshots one after the other: all have their names, and nothing else is there."""
    scene = large_scene(case)
    scene.start()
    scene.commit(2)
    scene.sync()
    case.weir("snapshot", scene.db)
    scene.end()
    equal((unfinished(scene), scratch(scene)), ([], []), "left behind")
    scene.verify_tip()


def failed(case):
    """A part that is refused for good: the daemon ends, and aborts the upload before."""
    scene = large_scene(case)
    rule = case.proxy.add(faults.denied(), kind="PART", skip=1, times=None)
    scene.start(ready=False).wait_exit(expect=1)
    check(rule.met >= 1, "no part was refused")
    equal((unfinished(scene), scratch(scene)), ([], []), "left behind")
    case.proxy.clear()
    scene.start()
    scene.end()
    scene.verify_tip()


def stopped(case):
    """SIGTERM in the midst of a snapshot: it is given up and aborted, everything else is shipped."""
    scene = large_scene(case)
    scene.start()
    scene.sync()
    rule = case.proxy.add(faults.Delay(2), kind="PART", times=None)
    scene.commit(1)
    process = case.spawn([case.options.weir, "snapshot", scene.db])
    wait_until(lambda: rule.met >= 1, "a part on its way")
    scene.stop()
    process.wait()
    case.proxy.clear()
    equal((unfinished(scene), scratch(scene)), ([], []), "left behind")
    scene.close()
    scene.verify_tip()


def killed(case):
    """kill -9 in the midst of the first snapshot: what it leaves is aborted by a prune when it is old by the server's clock, and not
    before; what is none of weir's stays."""
    scene = large_scene(case)
    rule = case.proxy.add(faults.BlackHole(), kind="PART", skip=1, times=None)
    scene.start(ready=False)
    wait_until(lambda: rule.met >= 1 and unfinished(scene), "an upload with a part that hangs")
    scene.daemon.kill()
    case.proxy.clear()
    scene.start()
    scene.commit(2)
    scene.end()
    prefix = scene.replica.prefix
    begin_other(scene, f"{prefix}/other/thing")
    begin_other(scene, f"{prefix}x/.tmp/0123")
    scene.replica.client.put_object(Bucket=scene.replica.bucket, Key=f"{prefix}/.tmp/0123456789abcdef", Body=b"left")
    left = unfinished(scene)
    equal(len(left), 2, f"unfinished uploads: {left}")
    equal(prune(case, scene)["uploads"], 0, "young ones")
    equal(len(unfinished(scene)), 2, "unfinished uploads")
    with case.proxy.failing(faults.Skew(4 * DAY), times=None):
        report = prune(case, scene, "--dry-run")
        equal((report["uploads"], report["leftovers"]["objects"], len(unfinished(scene))), (1, 1, 2), "a dry run")
        report = prune(case, scene)
    equal((report["uploads"], report["leftovers"]["objects"]), (1, 1), "aborted and deleted")
    equal((unfinished(scene), scratch(scene)), ([f"{prefix}/other/thing"], []), "what stays")
    scene.verify_tip()


def not_listed(case):
    """A store, or a policy, that does not list uploads: it is said, and no failure."""
    scene = large_scene(case)
    scene.start()
    scene.commit(2)
    scene.end()
    for fault, words in ((faults.denied(), "AccessDenied"), (faults.not_implemented(), "501")):
        with case.proxy.failing(fault, times=None, kind="UPLOADS_INFO"):
            done = case.weir("prune", scene.url, *POLICY)
            check("unfinished uploads cannot be looked for" in done.stdout and words in done.stdout, done.stdout)
            equal(prune(case, scene)["uploads"], None, "uploads")


def lost_end(case):
    """The answer to the end of an upload gets lost, under its own name and under a name of its own: one object, whole."""
    scene = large_scene(case)
    rule = case.proxy.add(faults.LoseAnswer(), kind="FINISH", times=1)
    scene.start()
    scene.end()
    equal(rule.met, 1, "lost answers")
    out = case.path("out.db")
    case.weir("export", scene.url, out)
    target = scene.url.replace(scene.replica.prefix, scene.replica.prefix + "-out", 1).replace("?", "/app.db?", 1)
    rule = case.proxy.add(faults.LoseAnswer(), kind="FINISH", times=1)
    case.weir("export", scene.url, target)
    equal(rule.met, 1, "lost answers")
    key = f"{scene.replica.prefix}-out/app.db"
    stored = scene.replica.client.get_object(Bucket=scene.replica.bucket, Key=key)["Body"].read()
    with open(out, "rb") as file:
        check(file.read() == stored, "the exported object is not the exported file")
    equal((unfinished(scene), scratch(scene)), ([], []), "left behind")
    scene.verify_tip()


def cases(_options):
    """All of them."""
    return [("nothing is left", nothing_left), ("a part that is refused", failed), ("a stop in the midst of a snapshot", stopped),
            ("kill -9 in the midst of a snapshot", killed), ("uploads that are not listed", not_listed),
            ("the end of an upload gets no answer", lost_end)]
