#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signatures compared with botocore's (Debian: python3-botocore): sign.py PATH-OF-SIGN_TOOL.

Random requests with odd keys, parameters, headers, tokens and regions, at random times, signed by both.  Prints TAP, one
line for each hundred.  WEIR_TEST_SEED=N makes the same requests again.
"""

import datetime
import hashlib
import json
import os
import random
import subprocess
import sys
import urllib.parse

try:
    from botocore import auth, awsrequest, credentials
except ImportError:
    # Another Python than Debian's may come first in the path.
    if sys.executable == "/usr/bin/python3" or not os.path.exists("/usr/bin/python3"):
        sys.exit("Bail out! this test needs botocore (Debian: python3-botocore)")
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

GROUPS, PER_GROUP = 6, 100
UNSIGNED = "UNSIGNED-PAYLOAD"
ODD = ["", " ", "  ", "+", "/", "//", "=", "&", "?", "#", "%", "%20", "%2F", ".", "..", "~", "*", "'", "(", ")", "!", ":", "@", ",",
       ";", "$", "[", "]", "{", "}", "|", "\\", "^", "`", "<", ">", "\"", "-", "_", "\u00e9", "\u65e5\u672c", "\U0001f600", "e\u0301"]
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
REGIONS = ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "auto", "default", "RegionOne", "gra", "x_1"]
METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD"]


class Clock(datetime.datetime):
    """What botocore takes for the present."""

    now_is = None

    @classmethod
    def utcnow(cls):
        """Of the request that is being signed."""
        return cls.now_is


class Module:  # stands for the module `datetime` inside botocore.auth; only this much of it is used
    """See Clock."""

    datetime = Clock


auth.datetime = Module
if hasattr(auth, "get_current_datetime"):  # since 2025
    auth.get_current_datetime = lambda *_args, **_kwargs: Clock.now_is


class Unsigned(auth.S3SigV4Auth):
    """For bodies that are not hashed; botocore's own rule for when needs a whole client."""

    def _should_sha256_sign_payload(self, _request):
        return False


def odd_text(rng, pieces):
    """Plain and odd characters."""
    return "".join(rng.choice(ODD) if rng.random() < 0.4 else rng.choice(PLAIN) for _ in range(rng.randrange(pieces)))


def plain_text(rng, low, high, more=""):
    """Letters, digits, and `more`."""
    return "".join(rng.choice(PLAIN + more) for _ in range(rng.randrange(low, high)))


def header_value(rng):
    """Printable, with spaces that must be trimmed and collapsed."""
    words = [plain_text(rng, 1, 9, "\"'!#$%&()*+-./:<=>?@[]^_`{|}~") for _ in range(rng.randrange(1, 5))]
    return " " * rng.randrange(3) + (" " * rng.randrange(1, 4)).join(words) + " " * rng.randrange(3)


def make_request(rng):
    """A request as sign_tool reads it."""
    presigned = rng.random() < 0.3
    query = [[odd_text(rng, 6) or "k", odd_text(rng, 8)] for _ in range(rng.choice([0, 0, 1, 2, 3, 8]))]
    if query and rng.random() < 0.5:
        query.append([query[0][0] + rng.choice(["", "-", ".", "a"]), odd_text(rng, 4)])
    if presigned:  # botocore keeps one value of each name, and none that are empty, when it makes such a URL
        query = [[name, value or "v"] for name, value in dict(map(tuple, query)).items()]
    headers = [["Host", "bucket.example.com" + rng.choice(["", ":7480"])]]
    for _ in range(rng.choice([0, 0, 1, 2, 6])):
        headers.append([rng.choice(["x-amz-meta-", "X-Amz-", "Z", "a"]) + plain_text(rng, 1, 6, "-"), header_value(rng)])
    body = b"" if presigned else rng.randbytes(rng.randrange(40))
    return {
        "method": rng.choice(METHODS),
        "key": odd_text(rng, 30),
        "query": query,
        "headers": headers,
        "body": body,
        "hash": UNSIGNED if presigned or rng.random() < 0.2 else hashlib.sha256(body).hexdigest(),
        "time_ms": rng.randrange(0, 4102444800) * 1000,
        "access_key": plain_text(rng, 3, 24, ":"),
        "secret_key": plain_text(rng, 1, 60, "/+=-_"),
        "token": plain_text(rng, 100, 900, "/+=") if rng.random() < 0.4 else "",
        "region": rng.choice(REGIONS),
        "service": "s3",
        "expires": rng.randrange(1, 604801) if presigned else 0,
    }


def encode(text, safe=""):
    """Percent-encoding, by Python's library."""
    return urllib.parse.quote(text.encode(), safe="-._~" + safe)


def by_botocore(request):
    """(path, sorted query parameters, value of Authorization or None) as botocore has it; completes the headers."""
    Clock.now_is = Clock(1970, 1, 1) + datetime.timedelta(milliseconds=request["time_ms"])
    path = "/" + encode(request["key"], "/")
    query = "&".join(f"{encode(name)}={encode(value)}" for name, value in request["query"])
    made = awsrequest.AWSRequest(method=request["method"], url=f"https://bucket.example.com{path}" + (query and "?" + query),
                                 data=request["body"])
    for name, value in request["headers"]:
        made.headers.add_header(name, value)
    keys = credentials.Credentials(request["access_key"], request["secret_key"], request["token"] or None)
    if request["expires"]:
        auth.S3SigV4QueryAuth(keys, request["service"], request["region"], expires=request["expires"]).add_auth(made)
    else:
        signer = Unsigned if request["hash"] == UNSIGNED else auth.S3SigV4Auth
        signer(keys, request["service"], request["region"]).add_auth(made)
        given = {name.lower() for name, _ in request["headers"]}
        request["headers"] += [[name, value] for name, value in made.headers.items()
                               if name.lower() not in given and name != "Authorization"]
    parts = urllib.parse.urlsplit(made.url)
    return parts.path, sorted(parts.query.split("&")), made.headers.get("Authorization")


def difference(request, mine, theirs):
    """None, or a text."""
    path, query, authorization = theirs
    if "error" in mine:
        return mine["error"]
    found = mine["path"], sorted(mine["query"].split("&")), mine["authorization"] or None
    if found == (path, query, authorization):
        return None
    shown = {name: value for name, value in request.items() if name != "body"}
    return f"request {json.dumps(shown)}\nweir {found}\nbotocore {theirs}"


def run(tool, requests):
    """The tool's answers."""
    lines = "".join(json.dumps({name: value for name, value in request.items() if name != "body"}) + "\n" for request in requests)
    done = subprocess.run([tool], input=lines.encode(), stdout=subprocess.PIPE, check=True, timeout=60)
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if len(answers) != len(requests):
        sys.exit(f"Bail out! {len(requests)} requests, {len(answers)} answers")
    return answers


def spoil(requests):
    """A request that differs in one bit of its secret must differ in its signature: the comparison can fail."""
    request = dict(requests[0])
    request["secret_key"] += "x"
    return request


def main():
    """The whole test."""
    seed = int(os.environ.get("WEIR_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    rng = random.Random(seed)
    failed = False
    print(f"1..{GROUPS + 1}\n# WEIR_TEST_SEED={seed}")
    for group in range(1, GROUPS + 1):
        requests = [make_request(rng) for _ in range(PER_GROUP)]
        theirs = [by_botocore(request) for request in requests]
        found = [text for text in map(difference, requests, run(sys.argv[1], requests), theirs) if text]
        for text in found[:3]:
            print("# " + text.replace("\n", "\n# "))
        print(f"{'not ok' if found else 'ok'} {group} - {PER_GROUP} requests, {len(found)} differ")
        failed |= bool(found)
    spoiled = difference(requests[0], run(sys.argv[1], [spoil(requests)])[0], theirs[0])
    print(f"{'ok' if spoiled else 'not ok'} {GROUPS + 1} - another secret gives another signature")
    return 1 if failed or not spoiled else 0


if __name__ == "__main__":
    sys.exit(main())
