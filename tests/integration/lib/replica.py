# SPDX-License-Identifier: Apache-2.0
"""A replica as somebody else sees it who is not weir: list, read, write and delete its objects, in a folder or a bucket.

`url` is what weir is told, `name` what a message about the replica must contain.
"""

import contextlib
import ctypes
import os

BUCKET = "weir-test"


RENAME_EXCHANGE = 2


def exchange(one, other):
    """Give two paths each other's names in one step: there is no moment at which somebody finds nothing at one of them."""
    libc, here = ctypes.CDLL(None, use_errno=True), -100  # AT_FDCWD
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one)


def put_in_the_way(folder):
    """A file is where the folder was, which has another name meanwhile; one step, because a daemon that looked between two would
    find nothing there, which is something else."""
    with open(folder + ".away", "x", encoding="ascii"):
        pass
    exchange(folder, folder + ".away")


def take_out_of_the_way(folder):
    """The folder has its name again."""
    exchange(folder, folder + ".away")
    os.unlink(folder + ".away")


class DirReplica:
    """Files below a folder."""

    def __init__(self, folder):
        self.folder, self.url, self.name = folder, "file://" + folder, folder

    def _path(self, key):
        return os.path.join(self.folder, key)

    def list(self):
        """{key: size}; what a daemon removes meanwhile is not in it, as in a bucket's listing."""
        found = {}
        for folder, _, names in os.walk(self.folder):
            for name in names:
                key = os.path.relpath(os.path.join(folder, name), self.folder)
                if key.startswith(".tmp"):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found[key] = os.path.getsize(os.path.join(folder, name))
        return found

    def read(self, key):
        """The bytes of an object."""
        with open(self._path(key), "rb") as file:
            return file.read()

    def write(self, key, data):
        """Make an object, or replace it: as in a bucket, nobody finds a part of it, or nothing where one was replaced."""
        os.makedirs(os.path.dirname(self._path(key)), exist_ok=True)
        with open(self.folder + ".new", "wb") as file:
            file.write(data)
        os.rename(self.folder + ".new", self._path(key))

    def delete(self, key):
        """Remove an object."""
        os.unlink(self._path(key))


class S3Replica:
    """Objects below a prefix, by a client that shares nothing with weir's.  With `endpoint` weir goes through a proxy."""

    def __init__(self, server, prefix, bucket=BUCKET, endpoint=None):
        self.server, self.bucket, self.prefix = server, bucket, prefix
        self.url, self.name = server.url(bucket, prefix, endpoint), f"{bucket}/{prefix}"
        self._client = None

    @property
    def client(self):
        """The botocore client; imported here, because suites without S3 do without it."""
        if self._client is None:
            from servers.client import connect  # pylint: disable=import-outside-toplevel
            self._client = connect(self.server)
        return self._client

    def _key(self, key):
        return f"{self.prefix}/{key}"

    def list(self):
        """{key: size}."""
        from servers.client import keys_of  # pylint: disable=import-outside-toplevel
        found = keys_of(self.client, self.bucket, self.prefix + "/")
        found = {key[len(self.prefix) + 1:]: size for key, size in found.items()}
        return {key: size for key, size in found.items() if not key.startswith(".tmp/")}

    def read(self, key):
        """The bytes of an object."""
        return self.client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read()

    def write(self, key, data):
        """Make an object, or replace it."""
        self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)

    def delete(self, key):
        """Remove an object."""
        self.client.delete_object(Bucket=self.bucket, Key=self._key(key))


class Leaving:
    """A replica that goes away and comes back: a folder that has another name meanwhile, a server that nobody gets to."""

    def __init__(self, case, name="replica"):
        self.proxy = None if case.options.store.kind == "file" else case.proxy
        self.replica = case.replica(name) if self.proxy is None else case.proxied_replica(name)
        self.word = "onnect" if self.proxy else self.replica.folder  # is in the error then

    def leave(self, in_the_way=False):
        """It is away; with `in_the_way` there is a file below which nothing can be made."""
        if self.proxy:
            self.proxy.refuse()
            self.proxy.drop()
            return
        if in_the_way:
            put_in_the_way(self.replica.folder)
        else:
            os.rename(self.replica.folder, self.replica.folder + ".away")

    def come_back(self):
        """It is there again."""
        if self.proxy:
            self.proxy.accept()
            return
        if os.path.isfile(self.replica.folder):
            take_out_of_the_way(self.replica.folder)
        else:
            os.rename(self.replica.folder + ".away", self.replica.folder)


class DirStore:
    """Replicas in the folders of the cases."""

    kind = "file"
    conditional = True

    def replica(self, case, name):
        """One of a case's replicas."""
        return DirReplica(case.path(name))


class S3Store:
    """Replicas in one bucket of a server; each case has a prefix of its own."""

    kind = "s3"

    def __init__(self, server):
        self.server, self.conditional = server, server.conditional
        os.environ.update(server.environment())
        from servers.client import connect  # pylint: disable=import-outside-toplevel
        connect(server).create_bucket(Bucket=BUCKET)

    def replica(self, case, name, endpoint=None):
        """One of a case's replicas; weir reaches it at another endpoint when one is given."""
        return S3Replica(self.server, f"{case.dir.name}/{name}", endpoint=endpoint)
