# SPDX-License-Identifier: Apache-2.0
"""s3_options: what a user may say about a replica arrives at the server: encryption, storage class, addressing, region, session
token.  A proxy in front of the server looks at every request's headers."""

import base64
import os

from lib.daemon import restore
from lib.scene import Scene
from lib.tap import Fail, Skip, check, equal
from servers import faults
from servers.client import connect

LARGE = 6 << 20
STORED = ("PUT", "START")  # kinds of requests that make an object
SSE = "x-amz-server-side-encryption"
CUSTOMER = (f"{SSE}-customer-algorithm", f"{SSE}-customer-key", f"{SSE}-customer-key-md5")


def replica_with(case, **options):
    """The proxied replica, with options in its URL."""
    if case.options.store.kind == "file":
        raise Skip("options of a replica at an S3 server: --store s3")
    replica = case.proxied_replica()
    replica.url += "&part-size=5MiB" + "".join(f"&{name.replace('_', '-')}={value}" for name, value in options.items())
    return replica


def story(case, replica, env=None, unknown=()):
    """Replicate, with a snapshot large enough for an upload in parts, and restore.  The server does not see the headers
    `unknown`.  Returns the proxy's records."""
    scene = Scene(case, replica=replica)
    scene.app.sql(f"CREATE TABLE large AS SELECT randomblob({LARGE}) AS v")
    scene.recorder.record("large")
    if unknown:
        case.proxy.add(faults.Without(*unknown), times=None)
    mark = case.proxy.mark()
    scene.start(env=env)
    scene.commit(2)
    scene.sync()
    scene.stop()
    target = case.path("out.db")
    restore(case, scene.url, target, env=env)
    scene.close()
    case.run("cmp", "-s", scene.db, target, expect=(0, 1))
    equal(case.run("sqlite3", target, "SELECT count(*), (SELECT length(v) FROM large) FROM t").stdout.strip(),
          f"{scene.rows}|{LARGE}", "what was restored")
    return case.proxy.since(mark)


def of_kind(records, *kinds):
    """Those of some kinds, and a check that there are any."""
    found = [record for record in records if record.kind in kinds]
    check(found, f"no request of {kinds}: {sorted({record.kind for record in records})}")
    return found


def sent(records, name):
    """The values that a header had."""
    return sorted({record.headers.get(name) for record in records}, key=str)


def header(case, name, value, **options):
    """Whatever makes an object says it, nothing else does."""
    extra = {SSE + "-aws-kms-key-id"} if "sse_kms_key" in options else set()
    records = story(case, replica_with(case, **options), unknown=(name, *extra))
    equal(sent(of_kind(records, *STORED), name), [value], f"{name} of what makes objects")
    equal(sent(of_kind(records, "GET", "LIST", "PART", "FINISH"), name), [None], f"{name} of the others")
    for one in extra:
        equal(sent(of_kind(records, *STORED), one), [options["sse_kms_key"]], one)


def storage_class(case):
    """A class that the server knows is kept with the object."""
    replica = replica_with(case, storage_class="STANDARD")
    equal(sent(of_kind(story(case, replica), *STORED), "x-amz-storage-class"), ["STANDARD"], "header")


def unknown_class(case):
    """A class that the server does not have is an error of its own, not a lack of conditional writes."""
    scene = Scene(case, replica=replica_with(case, storage_class="STANDARD_IA"))
    scene.start(ready=False).wait_exit(expect=1)
    log = scene.daemon.log()
    check("cannot keep a second writer out" not in log and "try to write" in log and "HTTP status 400" in log, f"reason: {log}")
    equal(list(scene.replica.list()), [], "objects")
    scene.close()


def customer_key(case):
    """SSE-C: every request that touches an object's bytes carries the key; the server keeps nobody's copy of it, and shows
    nothing without; a replica with another key cannot be read."""
    replica = replica_with(case)
    server, scene = replica.server, Scene(case, replica=replica)
    if not server.tls_endpoint:
        raise Skip("the server takes keys over TLS only")
    for name in ("right", "wrong"):
        case.dir.joinpath(f"{name}.key").write_bytes(os.urandom(32))
    tls = case.options.store.replica(case, "secret", server.tls_endpoint)
    scene.url = f"{tls.url}&ca-file={server.ca_file}&part-size=5MiB&sse=customer&sse-customer-key=file:{case.path('right.key')}"
    scene.app.sql(f"CREATE TABLE large AS SELECT randomblob({2 * LARGE}) AS v")  # Ceph does not copy what it has encrypted (501)
    scene.recorder.record("large")
    scene.start()
    scene.commit(3)
    scene.sync()
    case.weir("snapshot", scene.db)
    scene.stop()
    scene.commit(2)
    scene.start()
    scene.end()
    scene.verify()
    case.weir("verify", scene.url)
    wrong = scene.url.replace("right.key", "wrong.key")
    done = case.weir("restore", wrong, "-o", case.path("wrong.db"), expect=None)
    check(done.returncode != 0 and not os.path.exists(case.path("wrong.db")), f"restored with another key: {done.stderr}")
    client = connect(server, server.tls_endpoint)
    key = next(iter(key for key in tls.list() if "/log/" in key))
    where = {"Bucket": tls.bucket, "Key": f"{tls.prefix}/{key}"}
    try:
        client.get_object(**where)
    except client.exceptions.ClientError as error:
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 400, "status without the key")
    else:
        raise Fail("the object can be read without the key")
    right = case.dir.joinpath("right.key").read_bytes()
    data = client.get_object(**where, SSECustomerAlgorithm="AES256", SSECustomerKey=right)["Body"].read()
    check(data.startswith(b"weir"), "the object is not what was stored")
    log = "".join(daemon.log() for daemon in case.daemons) + done.stderr
    check(base64.b64encode(right).decode() not in log, "the key is in a log")


def customer_key_headers(case):
    """The headers of SSE-C themselves, at a server that does not see them."""
    key = os.urandom(32)
    case.dir.joinpath("c.key").write_text(base64.b64encode(key).decode() + "\n", encoding="ascii")
    source = tuple(name.replace("x-amz-", "x-amz-copy-source-") for name in CUSTOMER)
    records = story(case, replica_with(case, sse="customer", sse_customer_key=f"file:{case.path('c.key')}"), unknown=CUSTOMER + source)
    for record in of_kind(records, "PUT", "START", "PART", "GET"):
        equal([record.headers.get(CUSTOMER[0]), record.headers.get(CUSTOMER[1])], ["AES256", base64.b64encode(key).decode()],
              f"{record.kind} {record.key}")
        check(record.headers.get(CUSTOMER[2]), "no digest of the key")
    equal(sent(of_kind(records, "LIST"), CUSTOMER[1]), [None], "keys in listings")
    copies = [record for record in records if "x-amz-copy-source" in record.headers]
    check(copies and all(record.headers.get(name) for record in copies for name in source), "a copy without its source's key")


def virtual(case):
    """The bucket in the host's name, and the key alone in the path."""
    replica = replica_with(case, addressing="virtual")
    name = replica.server.dns_name
    if not name:
        raise Skip("this server has no name for buckets")
    replica.url = replica.url.replace("127.0.0.1", name)
    records = story(case, replica)
    equal(sent(records, "host"), [f"{replica.bucket}.{name}:{case.proxy.port}"], "Host")
    equal({record.bucket for record in records}, {replica.bucket}, "buckets")
    check(all(record.key.startswith(case.dir.name) for record in records if record.kind != "LIST"), "keys")


def region(case):
    """The region is in the signature; what the server says about it counts more, also for later requests."""
    replica = replica_with(case)
    replica.url = replica.url.replace("region=us-east-1", "region=eu-north-1")
    rule = case.proxy.add(faults.wrong_region("eu-central-1"), skip=5)
    records = story(case, replica)
    equal(rule.met, 1, "refusals")
    regions = [record.headers["authorization"].split("/")[2] for record in records]
    check(regions[0] == "eu-north-1", f"regions: {regions}")
    at = next(n for n, record in enumerate(records) if record.fault)
    daemon = regions[at + 5:at + 12]  # what was on its way then may still have the old one
    check(set(daemon) == {"eu-central-1"}, f"regions from the refusal on: {regions[at:]}")


def always_wrong(case):
    """A region that is refused again and again, or a redirect in a circle, comes to an end."""
    replica = replica_with(case)
    for fault, word in ((faults.wrong_region("eu-central-1"), "region eu-central-1"), (faults.moved("us-east-1"), "region us-east-1"),
                        (faults.moved("eu-west-1", "elsewhere.example"), "301")):
        mark = case.proxy.mark()
        with case.proxy.failing(fault):
            done = case.weir("ls", replica.url, expect=2)
        check(word in done.stderr, f"{fault}: {done.stderr}")
        check(case.proxy.count(mark) <= 4, f"{fault}: {case.proxy.count(mark)} requests")


def session_token(case):
    """Temporary credentials: the token is sent and signed with every request."""
    replica = replica_with(case)
    token = "IQoJb3JpZ2luX2VjE/+=="
    records = story(case, replica, env={"AWS_SESSION_TOKEN": token}, unknown=("x-amz-security-token",))
    equal(sent(records, "x-amz-security-token"), [token], "token")
    check(all("x-amz-security-token" in record.headers["authorization"] for record in records), "the token is not signed")


def wrong_keys(case):
    """A wrong secret, an unknown key, somebody else's bucket, a bucket that is not there: what to look at."""
    replica = replica_with(case)
    server = replica.server
    other = getattr(server, "other_access_key", None)
    tries = [({"AWS_SECRET_ACCESS_KEY": "guessed"}, 1, "check the access key and the secret key"),
             ({"AWS_ACCESS_KEY_ID": "NOBODY"}, 1, "check the access key and the secret key")]
    if other:
        tries.append(({"AWS_ACCESS_KEY_ID": other, "AWS_SECRET_ACCESS_KEY": server.other_secret_key}, 1, "s3:ListBucket"))
    for env, code, words in tries:
        done = case.weir("ls", replica.url, env=env, expect=code)
        check(words in done.stderr and "guessed" not in done.stderr, f"{env}: {done.stderr}")
    done = case.weir("ls", replica.url.replace("s3://" + replica.bucket, "s3://no-such-bucket"), expect=2)
    check("no-such-bucket" in done.stderr and "weir does not make buckets" in done.stderr, done.stderr)


def cases(_options):
    """All of them."""
    return [
        ("sse=AES256", lambda case: header(case, SSE, "AES256", sse="AES256")),
        ("sse=aws:kms", lambda case: header(case, SSE, "aws:kms", sse="aws:kms", sse_kms_key="weir-key")),
        ("storage-class", lambda case: header(case, "x-amz-storage-class", "STANDARD_IA", storage_class="STANDARD_IA")),
        ("a storage class that is known", storage_class), ("a storage class that is not", unknown_class),
        ("sse=customer", customer_key), ("headers of sse=customer", customer_key_headers), ("addressing=virtual", virtual),
        ("region", region), ("always another region", always_wrong), ("session token", session_token), ("wrong keys", wrong_keys),
    ]
