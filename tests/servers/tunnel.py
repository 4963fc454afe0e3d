# SPDX-License-Identifier: Apache-2.0
"""What stands between a client and an S3 server in other people's networks: an HTTP proxy, and a TLS front with a certificate
of its own.  Both run in threads, one for each connection and direction.

    with HttpProxy() as proxy: ...       proxy.url, proxy.asked
    with TlsFront(server.endpoint, certificate, key) as front: ...     front.port
"""

import base64
import contextlib
import socket
import ssl
import threading
import urllib.parse

PIECE = 1 << 16
HEAD_MAX = 1 << 16
SECONDS = 60  # of silence, after which a connection is given up


def pump(source, target):
    """Pass bytes on until one side ends."""
    try:
        while data := source.recv(PIECE):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def join(client, server):
    """Pass bytes on in both directions, until both have ended."""
    back = threading.Thread(target=pump, args=(server, client), daemon=True)
    back.start()
    pump(client, server)
    back.join()


class Listener:
    """A port on the loopback address; each connection is served in a thread."""

    def __init__(self):
        self._socket, self._thread, self._open = None, None, set()
        self.port = 0

    def __enter__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._socket.close()
        self._thread.join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(SECONDS)
        self._open.add(connection)
        try:
            self.serve(connection)
        except (OSError, ValueError):
            pass  # what the client is told by the end of the connection
        finally:
            self._open.discard(connection)
            connection.close()

    def serve(self, connection):
        """One connection."""
        raise NotImplementedError


class TlsFront(Listener):
    """TLS with a given certificate in front of a plain server."""

    def __init__(self, endpoint, certificate, key):
        super().__init__()
        parts = urllib.parse.urlsplit(endpoint)
        self.upstream = (parts.hostname, parts.port)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)

    def serve(self, connection):
        with self.context.wrap_socket(connection, server_side=True) as client, socket.create_connection(self.upstream, SECONDS) as server:
            join(client, server)


class HttpProxy(Listener):
    """An HTTP proxy: CONNECT, and requests with a whole URL, one for each connection.  With `user` and `password` it wants
    these.  `asked` has (method, target) of all requests."""

    def __init__(self, user=None, password=None):
        super().__init__()
        self.wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else None
        self.asked = []

    @property
    def url(self):
        """What clients are told."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, connection):
        head, rest = self._head(connection)
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        self.asked.append((method, target))
        headers = [line for line in lines[1:] if not line.lower().startswith(("proxy-", "connection:", "keep-alive:"))]
        given = next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("proxy-authorization:")), None)
        if self.wanted and given != self.wanted:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
                               b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            return
        parts = urllib.parse.urlsplit("//" + target if method == "CONNECT" else target)
        with socket.create_connection((parts.hostname, parts.port or 80), SECONDS) as server:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                where = parts.path + ("?" + parts.query if parts.query else "")
                server.sendall("\r\n".join([f"{method} {where} {version}", *headers, "Connection: close", "", ""]).encode("latin-1"))
            server.sendall(rest)
            join(connection, server)

    @staticmethod
    def _head(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(PIECE)
            if not piece or len(data) > HEAD_MAX:
                raise ValueError("no request")
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest
