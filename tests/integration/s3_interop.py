# SPDX-License-Identifier: Apache-2.0
"""s3_interop: the objects are plain objects: any S3 client can carry a replica out of a bucket into a folder and back.

A replica is only worth as much as the ways to it.  If weir's own S3 client could not be used any more, the AWS tools and a
`file://` restore must do.
"""

import os
import shutil

from lib.daemon import log_of, restore_all
from lib.replica import DirReplica
from lib.scene import Scene
from lib.tap import Skip, check, equal


def shipped(case, replica=None):
    """A finished replica of some commits, a snapshot among them; its commits are restored and compared."""
    scene = Scene(case, replica=replica)
    scene.start()
    for _ in range(4):
        scene.commit(3)
        scene.sync()
    case.weir("snapshot", scene.db)
    scene.commit(2)
    scene.end()
    return scene, scene.verify()


def same_history(case, url, commits):
    """Every commit, byte for byte."""
    found = restore_all(case, url, log_of(case, url))
    equal([(c.txid, c.timeline, c.state.full) for c in found], [(c.txid, c.timeline, c.state.full) for c in commits], url)


def bucket_only(case):
    """These cases are about buckets."""
    if case.options.store.kind == "file":
        raise Skip("moves a replica between a bucket and a folder: --store s3")


def out_of_the_bucket(case):
    """What botocore downloads, object by object, is a replica in a folder, and one that can be gone on with."""
    bucket_only(case)
    scene, commits = shipped(case)
    folder = DirReplica(case.path("downloaded"))
    objects = scene.replica.list()
    for key, size in objects.items():
        data = scene.replica.read(key)
        equal(len(data), size, f"size of {key} in the listing")
        folder.write(key, data)
    check("weir.json" in objects and any("/snap/" in key for key in objects) and any("/log/" in key for key in objects),
          f"objects: {sorted(objects)}")
    same_history(case, folder.url, commits)
    shutil.rmtree(scene.state_dir)
    scene.url, scene.replica = folder.url, folder
    scene.open()
    scene.start()
    scene.commit(2)
    scene.end()
    scene.verify(gaps=True)


def into_the_bucket(case):
    """A replica in a folder, uploaded by botocore, is a replica in a bucket."""
    bucket_only(case)
    scene, commits = shipped(case, DirReplica(case.path("folder")))
    target = case.replica("uploaded")
    for key in scene.replica.list():
        target.write(key, scene.replica.read(key))
    same_history(case, target.url, commits)
    shutil.rmtree(scene.state_dir)
    scene.url, scene.replica = target.url, target
    scene.open()
    scene.start()
    scene.commit(2)
    scene.end()
    scene.verify(gaps=True)


def aws_command(case):
    """`aws s3 sync` is a way out as well."""
    bucket_only(case)
    if shutil.which("aws") is None:
        raise Skip("no aws command (Debian: awscli)")
    scene, commits = shipped(case)
    folder = case.path("synced")
    os.mkdir(folder)
    server = case.options.store.server
    case.run("aws", "--endpoint-url", server.endpoint, "--region", server.region, "s3", "sync", "--only-show-errors",
             f"s3://{scene.replica.bucket}/{scene.replica.prefix}", folder)
    same_history(case, "file://" + folder, commits)


def cases(_options):
    """All of them."""
    return [("out of the bucket", out_of_the_bucket), ("into the bucket", into_the_bucket), ("the aws command", aws_command)]
