# SPDX-License-Identifier: Apache-2.0
"""Sign a request anew (AWS Signature Version 4), for a proxy that changes what the client had signed."""

import hashlib
import hmac
import re
import time
import urllib.parse

from servers.http1 import split_target

AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})")


def quote(text, safe=""):
    """Percent-encoding as signatures want it."""
    return urllib.parse.quote(text, safe="-_.~" + safe)


def mac(key, text):
    """One step of the derivation."""
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(head, secret_key, scope, signed):
    """The signature of a request with this scope (date/region/service/aws4_request) and these signed headers."""
    path, query = head.target.partition("?")[0], split_target(head.target)[1]
    canonical = [head.method, path, "&".join(f"{quote(name)}={quote(value)}" for name, value in sorted(query))]
    canonical += [f"{name}:{' '.join((head.get(name) or '').split())}" for name in signed]
    canonical += ["", ";".join(signed), head.get("x-amz-content-sha256")]
    text = "\n".join(["AWS4-HMAC-SHA256", head.get("x-amz-date"), scope,
                      hashlib.sha256("\n".join(canonical).encode()).hexdigest()])
    key = ("AWS4" + secret_key).encode()
    for part in scope.split("/"):
        key = mac(key, part)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def parts(head):
    """(access key, scope, signed headers, signature) of a signed request, or None."""
    found = AUTHORIZATION.fullmatch(head.get("Authorization") or "")
    if not found:
        return None
    access, scope = re.fullmatch(r"(.+?)/(\d{8}/[^/]+/[^/]+/aws4_request)", found.group(1)).groups()
    return access, scope, found.group(2).split(";"), found.group(3)


def is_good(head, secret_key):
    """True when the request is signed, and with that secret."""
    found = parts(head)
    return found is not None and hmac.compare_digest(signature(head, secret_key, found[1], found[2]), found[3])


def resign(head, secret_key, moment=None):
    """Make the signature fit what the head says now; with `moment`, as if it had been sent then.  Headers that are gone are
    not signed any more."""
    access, scope, signed, _ = parts(head)
    signed = [name for name in signed if head.get(name) is not None]
    if moment is not None:
        head.set("x-amz-date", time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment)))
        scope = head.get("x-amz-date")[:8] + scope[8:]
    head.set("Authorization", f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={';'.join(signed)}, "
             f"Signature={signature(head, secret_key, scope, signed)}")
