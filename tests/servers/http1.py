# SPDX-License-Identifier: Apache-2.0
"""As much of HTTP/1.1 as a proxy needs that wants to fail in the middle of it (RFC 9112)."""

import asyncio
import dataclasses
import urllib.parse

HEAD_MAX = 64 << 10
PIECE = 64 << 10


class ProtocolError(Exception):
    """The other side does not speak HTTP, or stopped in the middle."""


@dataclasses.dataclass
class Head:
    """First line and headers of a request or an answer; names keep the form they came in."""

    first: str
    headers: list

    def get(self, name, default=None):
        """The first header of that name."""
        for known, value in self.headers:
            if known.lower() == name.lower():
                return value
        return default

    def drop(self, *names):
        """Remove headers."""
        gone = {name.lower() for name in names}
        self.headers = [pair for pair in self.headers if pair[0].lower() not in gone]

    def set(self, name, value):
        """Replace a header, or add it."""
        self.drop(name)
        self.headers.append((name, str(value)))

    def encode(self):
        """As it goes over the wire."""
        lines = [self.first] + [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @property
    def method(self):
        """Of a request."""
        return self.first.split(" ")[0]

    @property
    def target(self):
        """Of a request: path and query, as sent."""
        return self.first.split(" ")[1]

    @property
    def status(self):
        """Of an answer."""
        return int(self.first.split(" ")[1])


async def read_head(reader):
    """A head, or None when the connection ended before it began."""
    try:
        text = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise ProtocolError(f"the connection ended in a head: {error.partial[:100]!r}") from None
    except asyncio.LimitOverrunError:
        raise ProtocolError(f"a head of more than {HEAD_MAX} bytes") from None
    first, *lines = text.decode("latin-1")[:-4].split("\r\n")
    if len(first.split(" ")) < 2 or not all(":" in line for line in lines):
        raise ProtocolError(f"no HTTP: {text[:100]!r}")
    pairs = (line.partition(":") for line in lines)
    return Head(first, [(name, value.strip()) for name, _, value in pairs])


def body_length(head, answer_to=None):
    """How many bytes follow: a number, "chunked", or "close" for all until the connection ends."""
    if answer_to is not None and (answer_to == "HEAD" or head.status in (204, 304) or head.status < 200):
        return 0
    if "chunked" in (head.get("Transfer-Encoding") or "").lower():
        return "chunked"
    length = head.get("Content-Length")
    if length is None:
        return 0 if answer_to is None else "close"
    return int(length)


async def pieces(reader, length):
    """The body's bytes as they come, without the framing of chunks."""
    if length == "chunked":
        while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
            async for piece in pieces(reader, size):
                yield piece
            await reader.readexactly(2)
        while (await reader.readline()).strip():
            pass  # trailers
        return
    left = float("inf") if length == "close" else length
    while left > 0:
        piece = await reader.read(int(min(left, PIECE)))
        if not piece:
            if length == "close":
                return
            raise ProtocolError(f"the connection ended {left} bytes before the end of a body")
        left -= len(piece)
        yield piece


def split_target(target):
    """(path, [(name, value)]) of a request's target, decoded."""
    path, _, query = target.partition("?")
    return urllib.parse.unquote(path), urllib.parse.parse_qsl(query, keep_blank_values=True)
