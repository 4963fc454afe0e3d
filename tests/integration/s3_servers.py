# SPDX-License-Identifier: Apache-2.0
"""s3_servers: the recipe of the S3 server: ready in seconds, as any user, beside others, and gone afterwards in any case.
Needs no weir."""

import concurrent.futures
import os
import pathlib
import pwd
import signal
import subprocess
import sys
import time

from lib.case import wait_until
from lib.tap import Skip, check, diag, equal
from servers import process
from servers.ceph import DNS_NAME, Ceph
from servers.client import connect, keys_of
from servers.process import shared

SERVE = str(pathlib.Path(process.__file__).resolve().parent / "serve.py")


def store_and_list(server, endpoint=None, **options):
    """A round trip."""
    client = connect(server, endpoint, **options)
    bucket = f"bucket-{time.monotonic_ns()}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="a/key", Body=b"value")
    equal(client.get_object(Bucket=bucket, Key="a/key")["Body"].read(), b"value", "object")
    equal(keys_of(client, bucket), {"a/key": 5}, "listing")
    return bucket


def denied(client, bucket):
    """The status that a listing fails with, or None."""
    try:
        keys_of(client, bucket)
    except client.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


def two_side_by_side(_case):
    """Another one beside the shared one: its own ports, its own settings, its own data; gone afterwards."""
    first = shared(Ceph)
    bucket = store_and_list(first)
    began = time.monotonic()
    with Ceph({"rgw_max_put_size": 1000}) as second:
        diag(f"ready after {time.monotonic() - began:.1f} s")
        store_and_list(second)
        client = connect(second)
        equal(denied(client, bucket), 404, "the first one's bucket on the second one")
        client.create_bucket(Bucket="small")
        try:
            client.put_object(Bucket="small", Key="x", Body=bytes(2000))
            check(False, "the setting has no effect")
        except client.exceptions.ClientError as error:
            equal(error.response["Error"]["Code"], "EntityTooLarge", "error")
        folder, pids = second.dir, [one.pid for one in second.processes.values()]
    check(not os.path.exists(folder), "the folder is left")
    check(not any(os.path.exists(f"/proc/{pid}") for pid in pids), "a process is left")
    store_and_list(first)


def users_and_tls(_case):
    """Two users, who do not see each other's buckets; TLS with a certificate of its own; buckets as hosts."""
    server = shared(Ceph)
    bucket = store_and_list(server, server.tls_endpoint)
    other = connect(server, keys=(server.other_access_key, server.other_secret_key))
    equal(denied(other, bucket), 403, "the other user")
    equal(denied(connect(server, keys=(server.access_key, "guessed")), bucket), 403, "a wrong secret")
    untrusting = connect(server, server.tls_endpoint)
    untrusting.close()
    done = subprocess.run(["curl", "-sS", "-o", "/dev/null", server.tls_endpoint], capture_output=True, text=True, check=False)
    check(done.returncode == 60, f"curl without the certificate: exit {done.returncode} {done.stderr}")
    port = server.tls_endpoint.rsplit(":", 1)[1]
    done = subprocess.run(["curl", "-sS", "--cacert", server.ca_file, f"https://{bucket}.{DNS_NAME}:{port}/"],
                          capture_output=True, text=True, check=False)
    check("<Code>AccessDenied</Code>" in done.stdout and bucket in done.stdout, f"the bucket's own host: {done.stdout} {done.stderr}")


def frozen(_case):
    """A storage daemon that stops in the middle of everything, and goes on."""
    server = shared(Ceph)
    bucket = store_and_list(server)
    client = connect(server)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        server.freeze("osd")
        try:
            stored = pool.submit(client.put_object, Bucket=bucket, Key="later", Body=b"x")
            time.sleep(1)  # the subject: time passes, and nobody answers
            check(not stored.done(), "a frozen server answered")
        finally:
            server.thaw("osd")
        stored.result()
    equal(keys_of(client, bucket)["later"], 1, "what was under way is applied after all")


def as_nobody(case):
    """An ordinary user can do it as well."""
    if os.getuid() != 0:
        raise Skip("needs root, to give up its privileges")
    user = pwd.getpwnam("nobody")

    def give_up():
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    python = "/usr/bin/python3"
    if subprocess.run([python, SERVE, "--help"], preexec_fn=give_up, capture_output=True, check=False).returncode != 0:
        raise Skip("the tests cannot be read by another user")
    done = case.run(python, SERVE, "ceph", "sh", "-c", "id -u; test -n \"$WEIR_TEST_S3_URL\"", preexec_fn=give_up,
                    env={"HOME": "/nonexistent", "WEIR_TEST_TMPDIR": "/tmp"})
    equal(done.stdout.split(), [str(user.pw_uid)], "user")


def servers_of(parent):
    """pids of the server's processes."""
    children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    return [int(pid) for pid in children]


def killed_run(case):
    """The test run is killed: the kernel ends the servers, and the next start removes their folder."""
    temporary = case.path("tmp")
    os.mkdir(temporary)
    env = dict(os.environ, WEIR_TEST_TMPDIR=temporary)
    run = case.spawn([sys.executable, SERVE, "ceph"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    wait_until(lambda: "WEIR_TEST_S3_URL" in run.stdout.readline(), "the server's URL")
    pids = servers_of(run.pid)
    equal(len(pids), 3, "processes of the server")
    run.send_signal(signal.SIGKILL)
    run.wait()
    # Their parent is now this run, which collects the dead (see lib/case.py).
    wait_until(lambda: all(set(process.states_of(pid)) <= {"Z"} for pid in pids), "the end of the servers, with all their threads")
    equal(len(os.listdir(temporary)), 1, "folders left by the killed run")
    process.sweep(temporary)
    equal(os.listdir(temporary), [], "folders after the sweep")


def missing_package(case):
    """Without the programs the message says which packages to install."""
    os.mkdir(case.path("bin"))
    for name in ("python3", "sh", "env", "radosgw"):
        os.symlink(sys.executable if name == "python3" else "/bin/true", case.path("bin", name))
    done = case.run(sys.executable, SERVE, "ceph", "true", env={"PATH": case.path("bin")}, expect=1)
    check("apt-get install" in done.stderr and "ceph-mon" in done.stderr and "ceph-osd" in done.stderr, f"message: {done.stderr}")


def cases(_options):
    """All of them."""
    return [("two side by side", two_side_by_side), ("users and TLS", users_and_tls), ("frozen and thawed", frozen),
            ("as an ordinary user", as_nobody), ("the test run is killed", killed_run), ("a missing package", missing_package)]
