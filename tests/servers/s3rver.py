# SPDX-License-Identifier: Apache-2.0
"""s3rver, an S3 server for developers from the npm registry: one that takes any signature, stores what was cut short and
ignores conditions.  For tests of what weir does about such a server, never as evidence that weir is right.

It is not packaged by Debian; it is fetched once with npm and kept in the user's cache.
"""

import os
import subprocess

from servers.process import Server, ServerError

VERSION = "3.7.1"


class S3rver(Server):
    """See the module."""

    kind = "s3rver"
    conditional = False
    needs = {"node": "nodejs", "npm": "npm"}

    def __init__(self):
        super().__init__()
        self.access_key, self.secret_key = "S3RVER", "S3RVER"
        self.dns_name = "s3.localhost"

    @staticmethod
    def _program():
        cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), f"weir-s3rver-{VERSION}")
        program = os.path.join(cache, "node_modules", "s3rver", "bin", "s3rver.js")
        if not os.path.exists(program):
            os.makedirs(cache, exist_ok=True)
            done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", cache, f"s3rver@{VERSION}"],
                                  capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                raise ServerError(f"s3rver: npm install s3rver@{VERSION}: exit {done.returncode}\n{done.stderr[-2000:]}")
        return program

    def _launch(self):
        [port] = self.ports(1)
        os.mkdir(self.path("data"))
        # Its continuation tokens are made with a cipher that newer versions of OpenSSL have retired.
        self.spawn("s3rver", ["node", self._program(), "-d", self.path("data"), "-a", "127.0.0.1", "-p", str(port), "-s",
                              "--service-endpoint", self.dns_name], {"NODE_OPTIONS": "--openssl-legacy-provider"})
        self.wait_http(port)
        self.endpoint = f"http://127.0.0.1:{port}"
