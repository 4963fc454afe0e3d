# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of a real S3 server that fails as it is told, request by request, and writes down all of them.

    with FaultProxy(server) as proxy:
        url = server.url("bucket", "prefix", endpoint=proxy.endpoint)
        proxy.add(faults.LoseAnswer(), kind="PUT", key="*/log/*", times=2)
        ...
        equal(proxy.count(kind="PUT"), 1, "PUTs")

The proxy runs in a thread of its own.  Requests pass with their Host header as it was, so signatures stay valid.
"""

import asyncio
import contextlib
import copy
import dataclasses
import fnmatch
import itertools
import socket
import struct
import threading
import time
import urllib.parse

from servers import resign
from servers.faults import Fault
from servers.http1 import HEAD_MAX, Head, ProtocolError, body_length, pieces, read_head, split_target
from servers.process import PATIENCE, Port

REASONS = {200: "OK", 301: "Moved Permanently", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 409: "Conflict",
           412: "Precondition Failed", 500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable"}


@dataclasses.dataclass
class Record:
    """One request as it came."""

    number: int      # from 1, over all connections
    connection: int  # from 1
    kind: str        # PUT, GET, HEAD, DELETE, LIST, START, PART, FINISH, ABORT, DELETE_MANY, or another word (see kind_of)
    method: str
    bucket: str
    key: str
    query: dict
    headers: dict    # names in lower case
    began: float = dataclasses.field(default_factory=time.monotonic)
    fault: str = ""
    request_bytes: int = 0      # of the body, as far as it was read
    answer_bytes: int = 0       # of the body, as far as it was sent to the client
    status: int = None          # what the client was told; None: nothing (yet)
    server_status: int = None   # what the server said; None: it was not asked, or has not answered
    ended: float = None


def kind_of(method, key, query):
    """The word for a request."""
    if "uploadId" in query:
        return {"PUT": "PART", "POST": "FINISH", "DELETE": "ABORT", "GET": "LIST_PARTS"}.get(method, method)
    if method == "POST" and "uploads" in query:
        return "START"
    if method == "POST" and "delete" in query:
        return "DELETE_MANY"
    if method == "GET" and not key:
        return next((f"{name.upper()}_INFO" for name in ("location", "versioning", "uploads", "versions") if name in query), "LIST")
    return method if key else f"BUCKET_{method}"


@dataclasses.dataclass
class Rule:
    """Which requests a fault is for."""

    fault: Fault
    kind: str = None    # as in Record
    key: str = "*"      # pattern
    number: int = None  # the request's number
    skip: int = 0       # so many matching ones pass first
    times: int = 1      # then so many meet it; None: all
    where: object = None  # function of the record
    met: int = 0

    def takes(self, record):
        """True when this request is to fail; counts."""
        if self.kind not in (None, record.kind) or not fnmatch.fnmatchcase(record.key, self.key) \
                or self.number not in (None, record.number) or (self.where and not self.where(record)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.met >= self.times:
            return False
        self.met += 1
        return True


class Ended(Exception):
    """The connection was ended on purpose."""


class Exchange:
    """One request and its answer: the building blocks that faults are made of."""

    def __init__(self, connection, head, record):
        self.connection, self.head, self.record = connection, head, record
        self.secret_key = connection.proxy.secret_of(head)
        self.left = body_length(head)  # of the request's body: 0 once it was read
        self.reusable = (head.get("Connection") or "").lower() != "close"

    # --- request -----------------------------------------------------------------------------------------------

    async def _request_body(self):
        if self.left and "100-continue" in (self.head.get("Expect") or "").lower():
            await self._to_client(b"HTTP/1.1 100 Continue\r\n\r\n")
        async for piece in pieces(self.connection.reader, self.left):
            self.record.request_bytes += len(piece)
            yield piece
        self.left = 0

    async def discard_request(self):
        """Read the request's body and forget it."""
        async for _ in self._request_body():
            pass

    async def send_request(self, limit=None, slow=None):
        """Pass the request on; only `limit` bytes of its body; slowly, as (bytes, pause)."""
        writer = await self.connection.server()
        head, sent = copy.deepcopy(self.head), 0
        head.drop("Expect")
        if self.left == "chunked":
            raise ProtocolError("a request with a body of unknown length")
        writer.write(head.encode())
        if limit == 0:
            await writer.drain()
            return
        async for piece in self._request_body():
            piece = piece if limit is None else piece[:limit - sent]
            try:
                for part in split(piece, slow):
                    writer.write(part)
                    await writer.drain()
                    if slow:
                        await asyncio.sleep(slow[1])
            except ConnectionError:
                pass  # the server has heard enough; it may have said why
            sent += len(piece)
            if limit is not None and sent >= limit:
                return

    # --- answer ------------------------------------------------------------------------------------------------

    async def _answer_head(self):
        while True:
            head = await read_head(self.connection.server_reader)
            if head is None:
                raise ProtocolError("the server closed the connection without an answer")
            if head.status != 100:
                self.record.server_status = head.status
                return head

    async def read_answer(self):
        """The server's whole answer, kept back."""
        head = await self._answer_head()
        length = body_length(head, self.head.method)
        body = b"".join([piece async for piece in pieces(self.connection.server_reader, length)])
        if length == "close":
            self.connection.drop_server()
        return head, body

    async def relay_answer(self, limit=None, slow=None, edit=None):
        """Pass the server's answer on; only `limit` bytes of its body; slowly, as (bytes, pause); with an edited head."""
        head = await self._answer_head()
        length = body_length(head, self.head.method)
        if edit:
            edit(head)
        if length == "close":
            self.reusable = False
            self.connection.drop_server_later = True
        self.record.status = head.status
        await self._to_client(head.encode())
        sent = 0
        async for piece in pieces(self.connection.server_reader, length):
            piece = piece if limit is None else piece[:limit - sent]
            for part in split(piece, slow):
                await self._to_client(b"%x\r\n%b\r\n" % (len(part), part) if length == "chunked" else part)
                self.record.answer_bytes += len(part)
                if slow:
                    await asyncio.sleep(slow[1])
            sent += len(piece)
            if limit is not None and sent >= limit:
                return
        if length == "chunked":
            await self._to_client(b"0\r\n\r\n")

    async def send_answer(self, head, body, length=None):
        """Send an answer that was kept back, changed or not."""
        if body_length(head, self.head.method) != 0 or body:
            head.drop("Transfer-Encoding")
            head.set("Content-Length", len(body) if length is None else length)
        self.record.status = head.status
        await self._to_client(head.encode() + body)
        self.record.answer_bytes += len(body)

    async def answer(self, status, headers, body):
        """Answer in the server's place."""
        head = Head(f"HTTP/1.1 {status} {REASONS.get(status, 'Fault')}", [("x-amz-request-id", "0000FAULTPROXY")])
        for name, value in headers.items():
            head.set(name, value)
        if head.get("Date") is None:
            head.set("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()))
        head.set("Content-Length", len(body))
        if self.left:  # the body was not read: this connection cannot go on
            head.set("Connection", "close")
            self.reusable = False
        self.record.status = status
        if self.head.method == "HEAD":
            body = b""
        await self._to_client(head.encode() + body)
        self.record.answer_bytes += len(body)

    async def _to_client(self, data):
        self.connection.writer.write(data)
        await self.connection.writer.drain()

    # --- ends --------------------------------------------------------------------------------------------------

    def end(self, how):
        """End the connection: "reset" or "close"."""
        self.connection.end(how)
        raise Ended

    async def hang(self):
        """Do nothing until proxy.release(), then reset."""
        await self.connection.proxy.hanging.wait()
        self.end("reset")


def split(piece, slow):
    """A piece in smaller ones."""
    if not slow:
        return [piece]
    return [piece[at:at + slow[0]] for at in range(0, len(piece), slow[0])]


class Connection:
    """One client and, when there was something to ask, the server's side of it."""

    def __init__(self, proxy, number, reader, writer):
        self.proxy, self.number, self.reader, self.writer = proxy, number, reader, writer
        self.server_reader = self.server_writer = None
        self.drop_server_later = False

    async def server(self):
        """The writer towards the server; a connection that the server closed meanwhile is replaced."""
        if self.server_writer is None or self.server_reader.at_eof() or self.drop_server_later:
            self.drop_server()
            self.server_reader, self.server_writer = await asyncio.open_connection(*self.proxy.upstream, limit=HEAD_MAX)
        return self.server_writer

    def drop_server(self):
        """Close the server's side."""
        if self.server_writer:
            self.server_writer.close()
        self.server_reader = self.server_writer = None
        self.drop_server_later = False

    def end(self, how):
        """Close both sides; "reset" so that the client's kernel says so."""
        if how == "reset":
            with contextlib.suppress(OSError):
                self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()
        self.drop_server()

    async def _linger(self):
        """Read what the client still sends, until it has seen that the connection ends: a close with bytes unread becomes a
        reset, which can overtake the answer."""
        self.writer.write_eof()
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while await self.reader.read(HEAD_MAX):
                    pass

    async def serve(self):
        """One exchange after the other."""
        try:
            while (head := await read_head(self.reader)) is not None:
                exchange = Exchange(self, head, self.proxy.note(self.number, head))
                try:
                    await self.proxy.fault_for(exchange.record).play(exchange)
                finally:
                    exchange.record.ended = time.monotonic()
                if exchange.left:
                    await self._linger()
                if not exchange.reusable or exchange.left:
                    break
            self.end("close")
        except Ended:
            pass
        except (OSError, ProtocolError) as error:
            self.proxy.troubles.append(f"connection {self.number}: {error}")
            self.end("reset")
        finally:
            self.drop_server()


class FaultProxy:
    """See the module.  All methods are for the thread of the test."""

    def __init__(self, server):
        parts = urllib.parse.urlsplit(server.endpoint)
        self.upstream, self.secret_key = (parts.hostname, parts.port), server.secret_key
        self.other_secrets = {server.other_access_key: server.other_secret_key} if hasattr(server, "other_access_key") else {}
        self.dns_name = getattr(server, "dns_name", None)
        self.requests, self.rules, self.troubles = [], [], []
        self._held = Port()  # also while nobody listens there
        self.port, self._numbers, self._connections = self._held.number, itertools.count(1), {}
        self._loop, self._thread, self._listener, self.hanging = None, None, None, None

    # --- life --------------------------------------------------------------------------------------------------

    def secret_of(self, head):
        """The secret of whoever signed this request."""
        found = resign.parts(head)
        return self.other_secrets.get(found[0] if found else None, self.secret_key)

    def start(self):
        """Listen on a free port."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._prepare())
        self.accept()
        return self

    def stop(self):
        """End all connections and the thread."""
        self.refuse()
        self._call(self._end_connections())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._held.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def endpoint(self):
        """Where clients go."""
        return f"http://127.0.0.1:{self.port}"

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    async def _prepare(self):
        self.hanging = asyncio.Event()

    async def _listen(self):
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=HEAD_MAX, reuse_address=True)

    async def _connected(self, reader, writer):
        connection = Connection(self, len(self._connections) + 1, reader, writer)
        self._connections[connection] = asyncio.current_task()
        with contextlib.suppress(asyncio.CancelledError):
            await connection.serve()

    async def _close_listener(self):
        if self._listener:
            self._listener.close()
            self._listener = None

    async def _end_connections(self):
        running = [(connection, task) for connection, task in self._connections.items() if not task.done()]
        for connection, task in running:
            connection.end("reset")
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)

    async def _release(self):
        self.hanging.set()
        self.hanging = asyncio.Event()

    # --- for the connections -------------------------------------------------------------------------------------

    def note(self, connection, head):
        """Write a request down."""
        path, pairs = split_target(head.target)
        host = (head.get("Host") or "").partition(":")[0]
        if self.dns_name and host.endswith("." + self.dns_name):
            bucket, key = host[:-len(self.dns_name) - 1], path[1:]
        else:
            bucket, _, key = path[1:].partition("/")
        query = dict(pairs)
        record = Record(next(self._numbers), connection, kind_of(head.method, key, query), head.method, bucket, key, query,
                        {name.lower(): value for name, value in head.headers})
        self.requests.append(record)
        return record

    def fault_for(self, record):
        """What is to happen to a request."""
        rule = next((rule for rule in list(self.rules) if rule.takes(record)), None)
        record.fault = type(rule.fault).__name__ if rule else ""
        return rule.fault if rule else Fault()

    # --- for the test ------------------------------------------------------------------------------------------

    def add(self, fault, **match):
        """From now on requests that match (see Rule) meet this fault; earlier rules go first.  Returns the rule, whose
        `met` says how many did."""
        self.rules.append(Rule(fault, **match))
        return self.rules[-1]

    @contextlib.contextmanager
    def failing(self, fault, **match):
        """The same, for all matching requests inside a `with`."""
        rule = self.add(fault, **{"times": None, **match})
        try:
            yield rule
        finally:
            self.rules.remove(rule)

    def clear(self):
        """No more faults; what hangs is let go."""
        self.rules.clear()
        self.release()

    def release(self):
        """End what hangs."""
        self._call(self._release())

    def refuse(self):
        """Refuse new connections."""
        self._call(self._close_listener())

    def accept(self):
        """Accept connections again, on the same port."""
        self._call(self._listen())

    def drop(self):
        """Reset all connections, idle ones too."""
        self._call(self._end_connections())

    def mark(self):
        """A place in the record."""
        return len(self.requests)

    def settle(self, quiet=1.0):
        """Wait until nothing was asked for so long, and everything is answered.  Looks are counted rather than seconds: a machine
        that stands still is not taken for a quiet one."""
        count, looks = -1, 0
        while looks * 0.02 < quiet:
            looks += 1
            if len(self.requests) != count or any(record.ended is None for record in self.requests):
                count, looks = len(self.requests), 0
            time.sleep(0.02)

    def since(self, mark=0, **match):
        """The requests behind a place in the record that match: kind, key (pattern), status ..."""
        pattern = match.pop("key", "*")
        return [record for record in self.requests[mark:] if fnmatch.fnmatchcase(record.key, pattern)
                and all(getattr(record, name) == value for name, value in match.items())]

    def count(self, mark=0, **match):
        """How many."""
        return len(self.since(mark, **match))

    def summary(self, mark=0):
        """{kind: count}, for comparisons and messages."""
        kinds = [record.kind for record in self.requests[mark:]]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}
