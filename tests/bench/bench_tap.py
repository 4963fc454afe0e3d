# SPDX-License-Identifier: Apache-2.0
"""tap.c from Python: the proxy, and what it wrote down."""
import collections
import os
import statistics
import subprocess
import time
import urllib.parse

from servers.process import free_ports

# Times are CLOCK_MONOTONIC in nanoseconds: first and last byte of the request, the answer's head.
Request = collections.namedtuple("Request", "began ended answered status size method key query")


def parsed(line, bucket):
    """A line of tap's."""
    began, ended, answered, status, size, method, target = line.split()
    path, _, query = target.partition("?")
    path = urllib.parse.unquote(path)[1:]
    key = path[len(bucket) + 1:] if path.startswith(bucket + "/") else ""
    return Request(int(began), int(ended), int(answered), int(status), int(size), method, key,
                   dict(urllib.parse.parse_qsl(query, keep_blank_values=True)))


class Tap:
    """The proxy in front of one server; `line` is its (MB/s, ms).  Use with `with`."""

    def __init__(self, binary, endpoint, bucket, record, line=()):
        self.bucket, self.record = bucket, record
        port, = free_ports(1)
        with open(record, "wb") as out:
            self.process = subprocess.Popen([binary, str(port), str(urllib.parse.urlsplit(endpoint).port),
                                             *(str(word) for word in line)],
                                            stdin=subprocess.PIPE, stdout=out)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.requests, self._at = [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        os.unlink(self.record)

    def update(self):
        """Reads what has come meanwhile; returns all requests so far."""
        with open(self.record, "rb") as f:
            f.seek(self._at)
            lines = f.read()
        whole = lines.rfind(b"\n") + 1
        self._at += whole
        self.requests += [parsed(line, self.bucket) for line in lines[:whole].decode().splitlines()]
        return self.requests


class Uploads:
    """The objects that a tool stored below a prefix, by the time of the answer: what bench_watch.Arrivals is for a
    directory."""

    def __init__(self, tap, prefix):
        self.tap, self.prefix = tap, prefix + "/"

    def requests(self, since_ns=0, until_ns=None):
        until_ns = until_ns or time.monotonic_ns()
        return [r for r in self.tap.update() if since_ns <= r.began <= until_ns
                and (r.key.startswith(self.prefix) or r.query.get("prefix", "").startswith(self.prefix[:-1]))]

    def stored(self, pattern, since_ns=0):
        """(match, request) of all objects that got a name that matches: a PUT, a copy, or the end of an upload."""
        found = [(pattern.fullmatch(r.key[len(self.prefix):]), r) for r in self.requests(since_ns) if r.status == 200
                 and (r.method == "PUT" and "partNumber" not in r.query or r.method == "POST" and "uploadId" in r.query)]
        return [(m, r) for m, r in found if m]

    def matching(self, pattern):
        """(match, ns)."""
        return [(m, r.answered) for m, r in self.stored(pattern)]

    def newest(self):
        return max((r.answered for r in self.requests() if r.method in ("PUT", "POST")), default=0)

    def close(self):
        """The proxy goes on."""


def took_ms(requests, percent=50):
    """How long the server took: from the first byte to the answer."""
    took = sorted((r.answered - r.began) / 1e6 for r in requests)
    return statistics.median(took) if percent == 50 else took[(len(took) - 1) * percent // 100]
