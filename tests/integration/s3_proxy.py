# SPDX-License-Identifier: Apache-2.0
"""s3_proxy: the S3 server and the fault proxy themselves, with botocore as the client.  Needs no weir.

A fault that is not what its name says would make the tests of weir's client meaningless, so each is looked at from both
sides: what the client sees, and what the server has afterwards.
"""

import hashlib
import threading
import time

from lib.case import PATIENCE, wait_until
from lib.tap import check, equal
from servers import faults
from servers.ceph import Ceph
from servers.client import connect, keys_of
from servers.fault_proxy import FaultProxy
from servers.process import shared

BUCKET = "proxy-test"


class Stage:
    """A bucket, a proxy, a client in front of it (`client`) and one that goes straight to the server (`direct`)."""

    def __init__(self, timeout=PATIENCE):
        self.server = shared(Ceph)
        self.proxy = FaultProxy(self.server)
        self.timeout = timeout
        self.direct = self.client = None

    def __enter__(self):
        self.proxy.start()
        self.direct = connect(self.server)
        self.client = connect(self.server, self.proxy.endpoint, timeout=self.timeout)
        self.direct.create_bucket(Bucket=BUCKET)
        for key in keys_of(self.direct, BUCKET):
            self.direct.delete_object(Bucket=BUCKET, Key=key)
        return self

    def __exit__(self, *_):
        self.proxy.stop()
        self.client.close()
        self.direct.close()

    def hurry(self, timeout):
        """A new client, with connections of its own, that gives up after so many seconds."""
        self.client.close()
        self.client = connect(self.server, self.proxy.endpoint, timeout=timeout)

    def put(self, key, body=b"body", **options):
        """Through the proxy."""
        return self.client.put_object(Bucket=BUCKET, Key=key, Body=body, **options)

    def get(self, key):
        """Through the proxy."""
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def stored(self, key):
        """What the server has."""
        return self.direct.get_object(Bucket=BUCKET, Key=key)["Body"].read() if key in keys_of(self.direct, BUCKET) else None

    def refused(self, call, *args):
        """A call that fails; returns its error's class, status and code, as far as it has them."""
        try:
            call(*args)
        except Exception as error:  # pylint: disable=broad-except
            answer = getattr(error, "response", None) or {}
            return type(error).__name__, answer.get("ResponseMetadata", {}).get("HTTPStatusCode"), answer.get("Error", {}).get("Code")
        return None


def passes(_case):
    """Without a fault nothing changes, whatever the request, and all of it is written down."""
    body = bytes(range(256)) * 8192
    with Stage() as stage:
        stage.put("a/b c+d&e.bin", body)
        equal(hashlib.sha256(stage.get("a/b c+d&e.bin")).digest(), hashlib.sha256(body).digest(), "body")
        equal(stage.client.head_object(Bucket=BUCKET, Key="a/b c+d&e.bin")["ContentLength"], len(body), "HEAD")
        part = stage.client.get_object(Bucket=BUCKET, Key="a/b c+d&e.bin", Range="bytes=256-511")
        equal(part["Body"].read(), bytes(range(256)), "range")
        upload = stage.client.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
        part = stage.client.upload_part(Bucket=BUCKET, Key="big", UploadId=upload, PartNumber=1, Body=body)
        stage.client.complete_multipart_upload(Bucket=BUCKET, Key="big", UploadId=upload,
                                               MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]})
        upload = stage.client.create_multipart_upload(Bucket=BUCKET, Key="never")["UploadId"]
        stage.client.abort_multipart_upload(Bucket=BUCKET, Key="never", UploadId=upload)
        equal(sorted(keys_of(stage.client, BUCKET)), ["a/b c+d&e.bin", "big"], "listing")
        stage.client.delete_object(Bucket=BUCKET, Key="big")
        equal(stage.refused(stage.get, "big")[1:], (404, "NoSuchKey"), "a missing key")
        equal([(r.kind, r.status, r.request_bytes, r.answer_bytes) for r in stage.proxy.requests[:4]],
              [("PUT", 200, len(body), 0), ("GET", 200, 0, len(body)), ("HEAD", 200, 0, 0), ("GET", 206, 0, 256)], "record")
        equal(stage.proxy.summary(), {"ABORT": 1, "DELETE": 1, "FINISH": 1, "GET": 3, "HEAD": 1, "LIST": 1, "PART": 1, "PUT": 1,
                                      "START": 2}, "kinds")
        equal(stage.proxy.requests[0].key, "a/b c+d&e.bin", "key")
        equal(stage.proxy.troubles, [], "troubles")
        check(stage.proxy.requests[-1].connection == 1, "a client that keeps its connection was given another one")


def rules(_case):
    """Which requests a fault hits."""
    with Stage() as stage:
        rule = stage.proxy.add(faults.server_error(), kind="PUT", key="log/*", skip=1, times=2)
        outcomes = [stage.refused(stage.put, key) is None for key in ("log/1", "other", "log/2", "log/3", "log/4")]
        equal((outcomes, rule.met), ([True, True, False, False, True], 2), "who was hit")
        stage.proxy.add(faults.denied(), number=len(stage.proxy.requests) + 2)
        equal([stage.refused(stage.get, "log/1") is None for _ in range(3)], [True, False, True], "by number")
        with stage.proxy.failing(faults.denied(), where=lambda record: record.query.get("list-type") == "2"):
            for _ in range(2):
                equal(stage.refused(keys_of, stage.client, BUCKET)[1], 403, "by function")
        equal(len(keys_of(stage.client, BUCKET)), 3, "keys afterwards")
        equal(stage.proxy.count(fault="Answer", kind="LIST"), 2, "record of faults")


def cut_requests(_case):
    """The server stores nothing of an upload that was cut."""
    with Stage() as stage:
        for how in ("reset", "close"):
            stage.proxy.add(faults.CutRequest(1000, how))
            check(stage.refused(stage.put, "cut", bytes(5000)), f"{how}: the client noticed nothing")
        equal(stage.stored("cut"), None, "object")
        check(all(r.status is None and r.server_status is None for r in stage.proxy.since(kind="PUT")), "somebody answered")


def lost_answers(_case):
    """The server has it, the client does not know."""
    with Stage(timeout=1) as stage:
        for how in ("reset", "close", "hang"):
            stage.proxy.add(faults.LoseAnswer(how))
            check(stage.refused(stage.put, how, b"there"), f"{how}: the client was told")
            # The client's patience may have ended before the server was done.
            wait_until(lambda h=how: stage.stored(h) == b"there" and stage.proxy.requests[-1].server_status, f"{how}: the object")
        equal([(r.status, r.server_status) for r in stage.proxy.since(kind="PUT")], [(None, 200)] * 3, "record")


def cut_answers(_case):
    """A body that ends too early, a length that lies."""
    body = bytes(100000)
    with Stage() as stage:
        stage.direct.put_object(Bucket=BUCKET, Key="x", Body=body)
        for fault in (faults.CutAnswer(None), faults.CutAnswer(0), faults.CutAnswer(50000), faults.CutAnswer(99999, "reset"),
                      faults.WrongLength(1)):
            stage.hurry(2)  # the proxy ends the connection after each answer, which the client notices late
            stage.proxy.add(fault)
            check(stage.refused(stage.get, "x"), f"{fault}: the client noticed nothing")
        for fault, length in ((faults.Shorten(7), len(body) - 7), (faults.WrongLength(-10), len(body) - 10),
                              (faults.Replace(b"short"), 5), (faults.Replace(lambda true: true + true), 2 * len(body))):
            stage.hurry(PATIENCE)
            stage.proxy.add(fault)
            equal(len(stage.get("x")), length, repr(fault))
        stage.hurry(PATIENCE)
        equal(stage.get("x"), body, "the whole, at last")


def slow(_case):
    """Time passes."""
    with Stage() as stage:
        for fault, least in ((faults.Delay(0.5), 0.5), (faults.Delay(0.5, applied=True), 0.5),
                             (faults.Trickle(500, 0.06, upload=True), 0.5)):
            stage.proxy.add(fault, kind="PUT")
            began = time.monotonic()
            stage.put("slow", bytes(5000))
            check(time.monotonic() - began >= least, f"{fault}: only {time.monotonic() - began} s")
        stage.proxy.add(faults.Trickle(500, 0.06), kind="GET")
        began = time.monotonic()
        equal(stage.get("slow"), bytes(5000), "body")
        check(time.monotonic() - began >= 0.5, "the answer did not trickle")


def black_hole(_case):
    """Nobody answers, and nothing is done; when it is let go the connection is reset."""
    with Stage(timeout=1) as stage:
        with stage.proxy.failing(faults.BlackHole()):
            equal(stage.refused(stage.put, "hole")[0], "ReadTimeoutError", "error")
        equal(stage.stored("hole"), None, "object")
        patient = connect(stage.server, stage.proxy.endpoint, timeout=PATIENCE)
        hole = stage.proxy.add(faults.BlackHole())
        seen = []
        thread = threading.Thread(target=lambda: seen.append(stage.refused(lambda: patient.get_object(Bucket=BUCKET, Key="hole"))))
        thread.start()
        wait_until(lambda: hole.met, "the request to be in the black hole")
        time.sleep(0.3)  # the subject: time passes, and nobody answers
        check(not seen, "the black hole answered")
        stage.proxy.release()
        thread.join(PATIENCE)
        equal(seen[0][0], "ConnectionClosedError", "error after the release")
        patient.put_object(Bucket=BUCKET, Key="hole", Body=b"now")


def no_connection(_case):
    """Refused, reset, closed; then all is well again on the same port."""
    with Stage() as stage:
        stage.put("x")
        stage.proxy.refuse()
        stage.proxy.drop()
        equal(stage.refused(stage.get, "x")[0], "EndpointConnectionError", "refused")
        stage.proxy.accept()
        equal(stage.get("x"), b"body", "accepted again")
        for fault in (faults.Reset(), faults.Close()):
            stage.proxy.add(fault)
            equal(stage.refused(stage.put, "y")[0], "ConnectionClosedError", repr(fault))
        equal(stage.stored("y"), None, "object")


ANSWERS = (
    (faults.server_error(), 500, "InternalError"), (faults.server_error(503), 503, "ServiceUnavailable"),
    (faults.server_error(503, xml=False), 503, None), (faults.slow_down(3), 503, "SlowDown"), (faults.denied(), 403, "AccessDenied"),
    (faults.no_such_key(), 404, "NoSuchKey"), (faults.no_such_bucket(), 404, "NoSuchBucket"),
    (faults.conflict(), 409, "ConditionalRequestConflict"), (faults.precondition_failed(), 412, "PreconditionFailed"),
    (faults.time_skewed(), 400, "RequestTimeTooSkewed"), (faults.expired_token(), 400, "ExpiredToken"),
    (faults.not_implemented(), 501, "NotImplemented"),
)


def answers(_case):
    """Every answer arrives as what it is, and the server did nothing."""
    with Stage() as stage:
        for fault, status, code in ANSWERS:
            stage.proxy.add(fault)
            got = stage.refused(stage.put, "x", bytes(3000))
            check(got and got[1] == status and code in (None, got[2]), f"{fault}: {got}")
        stage.proxy.add(faults.Answer(503, "SlowDown", early=True))
        equal(stage.refused(stage.put, "x", bytes(3000000))[1], 503, "before the body was read")
        equal(keys_of(stage.direct, BUCKET), {}, "objects")
        for fault, status in ((faults.wrong_region("eu-central-1"), 400), (faults.moved("eu-west-1"), 301)):  # botocore obeys
            client, mark = connect(stage.server, stage.proxy.endpoint), stage.proxy.mark()
            stage.proxy.add(fault)
            client.put_object(Bucket=BUCKET, Key="x", Body=b"")
            regions = [record.headers["authorization"].split("/")[2] for record in stage.proxy.since(mark, kind="PUT")]
            equal((stage.proxy.requests[mark].status, regions[0], regions[-1]), (status, "us-east-1", "eu-central-1" if status == 400
                                                                                else "eu-west-1"), "hint at another region")


def error_in_200(_case):
    """CompleteMultipartUpload that fails with status 200: botocore knows how to find it."""
    with Stage() as stage:
        for spaces, applied in ((0, False), (3000, False), (10, True)):
            upload = stage.client.create_multipart_upload(Bucket=BUCKET, Key="big")["UploadId"]
            part = stage.client.upload_part(Bucket=BUCKET, Key="big", UploadId=upload, PartNumber=1, Body=b"part")
            parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
            stage.proxy.add(faults.ErrorIn200(spaces=spaces, applied=applied), kind="FINISH")
            got = stage.refused(lambda u=upload, p=parts: stage.client.complete_multipart_upload(
                Bucket=BUCKET, Key="big", UploadId=u, MultipartUpload=p))
            check(got is not None, f"{spaces} spaces: taken for a success")
            equal(stage.stored("big"), b"part" if applied else None, "object")


def small_pages(_case):
    """A listing in pages of one: the server itself is asked for them, so that its tokens are real."""
    with Stage() as stage:
        keys = [f"p/{number:03d}" for number in range(7)] + ["q/a/1", "q/a/2", "q/b"]
        for key in keys:
            stage.direct.put_object(Bucket=BUCKET, Key=key, Body=b"")
        with stage.proxy.failing(faults.PagesOf(1)):
            mark = stage.proxy.mark()
            equal(sorted(keys_of(stage.client, BUCKET)), keys, "keys")
            equal(stage.proxy.count(mark), len(keys), "pages")
            pages = stage.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="q/", Delimiter="/")
            found = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", ())]
            equal(found, ["q/a/"], "prefixes")
            answer = stage.client.list_objects_v2(Bucket=BUCKET, StartAfter="p/004")
            equal([entry["Key"] for entry in answer["Contents"]], ["p/005"], "start-after")
            forged = connect(stage.server, stage.proxy.endpoint, keys=(stage.server.access_key, "guessed"))
            equal(stage.refused(keys_of, forged, BUCKET)[1:], (403, "SignatureDoesNotMatch"), "a wrong secret is not healed")


def skewed_clock(_case):
    """The server's clock is an hour ahead: our time is refused, its own time is taken."""
    with Stage() as stage:
        with stage.proxy.failing(faults.Skew(3600)):
            equal(stage.refused(stage.put, "x")[1:], (403, "RequestTimeTooSkewed"), "with our time")
            equal(stage.stored("x"), None, "object")
        with stage.proxy.failing(faults.Skew(-600)):
            stage.put("x")
        equal(stage.stored("x"), b"body", "within what is allowed")
        equal(len(stage.proxy.requests), 2, "requests")


def unknown_headers(_case):
    """A server that does not know If-None-Match: the second creation replaces the first."""
    with Stage() as stage:
        stage.put("x", b"first")
        with stage.proxy.failing(faults.Without("If-None-Match")):
            stage.put("x", b"second", IfNoneMatch="*")
        equal(stage.stored("x"), b"second", "the object behind a server that ignores the condition")
        equal(stage.refused(lambda: stage.put("x", b"third", IfNoneMatch="*"))[1:], (412, "PreconditionFailed"), "the true server")


def cases(_options):
    """All of them."""
    return [(body.__name__.replace("_", " "), body) for body in
            (passes, rules, cut_requests, lost_answers, cut_answers, slow, black_hole, no_connection, answers, error_in_200,
             small_pages, skewed_clock, unknown_headers)]
