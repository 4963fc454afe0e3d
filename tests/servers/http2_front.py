# SPDX-License-Identifier: Apache-2.0
"""nghttpx (Debian: nghttp2-proxy) with a certificate in front of an S3 server that knows HTTP/1.1 only: it speaks HTTP/2.

    with Http2Front(folder, server.endpoint, certificate, key) as front: ...     front.port, front.spoken(), front.restart()
"""

import os
import socket
import subprocess
import urllib.parse

from lib.case import wait_until
from servers.process import Port

LOG = "$alpn $method $status"


class Http2Front:
    """One process; its access log tells which protocol each request came by."""

    def __init__(self, folder, endpoint, certificate, key, *options):
        self.log, self._process = os.path.join(folder, "front.log"), None
        self._held = Port()  # while it is begun anew, too
        self.port = self._held.number
        back = urllib.parse.urlsplit(endpoint)
        self._argv = ["nghttpx", "--conf=/dev/null", "--single-process", "--workers=1", f"--frontend=127.0.0.1,{self.port}",
                      f"--backend={back.hostname},{back.port};;proto=http/1.1", f"--accesslog-file={self.log}", f"--accesslog-format={LOG}",
                      f"--errorlog-file={folder}/front.err", *options, key, certificate]

    def __enter__(self):
        self._begin()
        return self

    def __exit__(self, *_):
        self._end()
        self._held.close()

    def _begin(self):
        with open(self.log + ".out", "ab") as out:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(self._answers, "nghttpx answers")

    def _end(self):
        self._process.kill()
        self._process.wait()

    def _answers(self):
        if self._process.poll() is not None:
            raise OSError(f"nghttpx ended with {self._process.returncode}, see {self.log}.out")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def restart(self):
        """Cut every connection, and begin anew at the same port."""
        self._end()
        self._begin()

    def spoken(self):
        """[(protocol, method, status)] of the requests so far."""
        with open(self.log, encoding="ascii") as file:
            return [tuple(line.split()) for line in file]
