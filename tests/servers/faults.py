# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a client and an S3 server, one class each: `play` tells one exchange in its own way.

    CutRequest, CutAnswer, LoseAnswer, Reset, Close, BlackHole     the network fails
    Delay, Hold, Trickle                                           it is slow
    Answer and its makers (server_error(), slow_down(), ...)       the server says no, without having done anything
    ErrorIn200, Shorten, WrongLength, Replace                      the server answers nonsense
    PagesOf, Skew                                                  the server is odd, but right
    Without                                                        the server does not know some headers
"""

import asyncio
import calendar
import email.utils
import time
from xml.sax.saxutils import escape

from servers import resign
from servers.http1 import split_target

SKEW_MAX = 900  # seconds that S3 lets a clock be off


class Fault:
    """Nothing goes wrong."""

    async def play(self, exchange):
        """Tell one exchange."""
        await exchange.send_request()
        await exchange.relay_answer()

    def __repr__(self):
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"


class Reset(Fault):
    """The connection is reset before the server sees the request."""

    async def play(self, exchange):
        exchange.end("reset")


class Close(Fault):
    """The connection is closed in order before the server sees the request."""

    async def play(self, exchange):
        exchange.end("close")


class BlackHole(Fault):
    """Nobody reads the request and nobody answers, until proxy.release()."""

    async def play(self, exchange):
        await exchange.hang()


class CutRequest(Fault):
    """The server gets so many bytes of the request's body and then the end of the connection, the client too."""

    def __init__(self, after, how="reset"):
        self.after, self.how = after, how

    async def play(self, exchange):
        await exchange.send_request(limit=self.after)
        exchange.end(self.how)


class CutAnswer(Fault):
    """The client gets so many bytes of the answer's body (fewer when it is reset), with the headers of the whole; `after`
    None: not even these."""

    def __init__(self, after, how="close"):
        self.after, self.how = after, how

    async def play(self, exchange):
        await exchange.send_request()
        if self.after is not None:
            await exchange.relay_answer(limit=self.after)
        exchange.end(self.how)


class LoseAnswer(Fault):
    """The server does what was asked, and nobody ever hears of it: reset, close or hang."""

    def __init__(self, how="reset"):
        self.how = how

    async def play(self, exchange):
        await exchange.send_request()
        await exchange.read_answer()
        if self.how == "hang":
            await exchange.hang()
        exchange.end(self.how)


class Delay(Fault):
    """The answer comes later: the time passes before the server sees the request, or (`applied`) after it has done it."""

    def __init__(self, seconds, applied=False, then=None):
        self.seconds, self.applied, self.then = seconds, applied, then or Fault()

    async def play(self, exchange):
        if not self.applied:
            await asyncio.sleep(self.seconds)
            await self.then.play(exchange)
            return
        await exchange.send_request()
        head, body = await exchange.read_answer()
        await asyncio.sleep(self.seconds)
        await exchange.send_answer(head, body)


class Hold(Fault):
    """Like a delay that ends with proxy.release()."""

    def __init__(self, applied=False):
        self.applied = applied

    async def play(self, exchange):
        if self.applied:
            await exchange.send_request()
            head, body = await exchange.read_answer()
        await exchange.connection.proxy.hanging.wait()
        if self.applied:
            await exchange.send_answer(head, body)
        else:
            await super().play(exchange)


class Trickle(Fault):
    """The body comes in small pieces with pauses: that of the answer, or (`upload`) that of the request."""

    def __init__(self, piece, pause, upload=False):
        self.piece, self.pause, self.upload = piece, pause, upload

    async def play(self, exchange):
        slow = (self.piece, self.pause)
        await exchange.send_request(slow=slow if self.upload else None)
        await exchange.relay_answer(slow=None if self.upload else slow)


class Answer(Fault):
    """The proxy answers in the server's place.  `code` None: without XML.  `early`: before the request's body was read."""

    def __init__(self, status, code=None, message="told so by the fault proxy", headers=None, fields=None, body=None, early=False):
        self.status, self.code, self.message = status, code, message
        self.headers, self.fields, self.body, self.early = headers or {}, fields or {}, body, early

    async def play(self, exchange):
        if not self.early:
            await exchange.discard_request()
        body, headers = self.body or b"", dict(self.headers)
        if self.code is not None:
            headers.setdefault("Content-Type", "application/xml")
            body = error_xml(self.code, self.message, self.fields)
        await exchange.answer(self.status, headers, body)


class ErrorIn200(Fault):
    """Status 200, and an <Error> in the body: how CompleteMultipartUpload fails after it began to answer.  With `spaces`
    before it, which the server sends meanwhile; with `applied` the server did it all the same."""

    def __init__(self, code="InternalError", spaces=0, applied=False):
        self.code, self.spaces, self.applied = code, spaces, applied

    async def play(self, exchange):
        if self.applied:
            await exchange.send_request()
            await exchange.read_answer()
        else:
            await exchange.discard_request()
        body = b" " * self.spaces + error_xml(self.code, "We encountered an internal error. Please try again.", {})
        await exchange.answer(200, {"Content-Type": "application/xml"}, body)


class Shorten(Fault):
    """The answer's body lacks its last bytes, and Content-Length agrees with that."""

    def __init__(self, missing):
        self.missing = missing

    async def play(self, exchange):
        await exchange.send_request()
        head, body = await exchange.read_answer()
        await exchange.send_answer(head, body[:max(0, len(body) - self.missing)])


class WrongLength(Fault):
    """Content-Length is off by so many bytes; the body is all there, then the connection ends."""

    def __init__(self, off):
        self.off = off

    async def play(self, exchange):
        await exchange.send_request()
        head, body = await exchange.read_answer()
        await exchange.send_answer(head, body, length=max(0, len(body) + self.off))
        exchange.end("close")


class Replace(Fault):
    """The server's status and headers, but another body: bytes, or a function from the true body to the false one."""

    def __init__(self, body):
        self.body = body

    async def play(self, exchange):
        await exchange.send_request()
        head, body = await exchange.read_answer()
        await exchange.send_answer(head, self.body(body) if callable(self.body) else self.body)


class PagesOf(Fault):
    """Listings have so few entries that they must be continued: the server is asked for fewer, signed by the proxy."""

    def __init__(self, entries):
        self.entries = entries

    async def play(self, exchange):
        head, secret = exchange.head, exchange.secret_key
        if exchange.record.kind == "LIST" and resign.is_good(head, secret):
            path, query = head.target.partition("?")[0], dict(split_target(head.target)[1])
            query["max-keys"] = str(self.entries)
            text = "&".join(f"{resign.quote(name)}={resign.quote(value)}" for name, value in sorted(query.items()))
            head.first = f"{head.method} {path}?{text} HTTP/1.1"
            resign.resign(head, secret)
        await super().play(exchange)


class Without(Fault):
    """The server never sees these headers, as if it did not know them: the request is signed anew without them."""

    def __init__(self, *names):
        self.names = names

    async def play(self, exchange):
        if resign.is_good(exchange.head, exchange.secret_key):
            exchange.head.drop(*self.names)
            resign.resign(exchange.head, exchange.secret_key)
        await super().play(exchange)


class Skew(Fault):
    """The server's clock is so many seconds ahead of ours, in its judgement of signatures and in its Date header."""

    def __init__(self, seconds):
        self.seconds = seconds

    async def play(self, exchange):
        head, now = exchange.head, time.time() + self.seconds
        sent = calendar.timegm(time.strptime(head.get("x-amz-date"), "%Y%m%dT%H%M%SZ"))
        date = email.utils.formatdate(now, usegmt=True)
        if abs(sent - now) > SKEW_MAX:
            fields = {"RequestTime": head.get("x-amz-date"), "MaxAllowedSkewMilliseconds": SKEW_MAX * 1000,
                      "ServerTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))}
            await Answer(403, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large.",
                         {"Date": date}, fields).play(exchange)
            return
        if resign.is_good(head, exchange.secret_key):
            resign.resign(head, exchange.secret_key, time.time())
        await exchange.send_request()
        await exchange.relay_answer(edit=lambda answer: answer.set("Date", date))


def error_xml(code, message, fields):
    """The body of an error."""
    more = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fields.items())
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>'
            f"{more}<RequestId>0000FAULTPROXY</RequestId></Error>").encode()


def server_error(status=500, xml=True):
    """500 InternalError or 503 ServiceUnavailable, or what a load balancer sends in its place."""
    if xml:
        return Answer(status, "InternalError" if status == 500 else "ServiceUnavailable")
    return Answer(status, headers={"Content-Type": "text/html"}, body=f"<html><h1>{status}</h1></html>".encode())


def slow_down(retry_after=None):
    """503 SlowDown."""
    return Answer(503, "SlowDown", "Please reduce your request rate.", {"Retry-After": retry_after} if retry_after is not None else {})


def denied():
    """403 AccessDenied."""
    return Answer(403, "AccessDenied", "Access Denied")


def no_such_key():
    """404 NoSuchKey."""
    return Answer(404, "NoSuchKey", "The specified key does not exist.")


def no_such_bucket():
    """404 NoSuchBucket."""
    return Answer(404, "NoSuchBucket", "The specified bucket does not exist")


def conflict():
    """409 ConditionalRequestConflict: AWS's answer to one of two conditional writes at the same time."""
    return Answer(409, "ConditionalRequestConflict", "The conditional request cannot succeed due to a conflicting operation.")


def precondition_failed():
    """412 PreconditionFailed."""
    return Answer(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")


def time_skewed():
    """RequestTimeTooSkewed as some servers send it: status 400 and no times."""
    return Answer(400, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large.")


def expired_token():
    """400 ExpiredToken: temporary credentials came to their end."""
    return Answer(400, "ExpiredToken", "The provided token has expired.")


def moved(region, endpoint=None):
    """301 PermanentRedirect: the bucket lives in another region."""
    return Answer(301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint.",
                  {"x-amz-bucket-region": region}, {"Endpoint": endpoint} if endpoint else {})


def wrong_region(region):
    """400 AuthorizationHeaderMalformed: signed for another region than the bucket's."""
    return Answer(400, "AuthorizationHeaderMalformed", f"The authorization header is malformed; the region is wrong; expecting '{region}'",
                  fields={"Region": region})


def not_implemented():
    """501: conditional writes on a server that has none and says so."""
    return Answer(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
