#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Start a test server, run a command with it, stop it: serve.py ceph COMMAND...   Without a command it serves until its
standard input ends or it is told to end.

The command finds the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, everything else in WEIR_TEST_S3_ENDPOINT,
_TLS_ENDPOINT, _CA_FILE, _REGION, _BUCKET (which exists) and _URL (of a replica in it); "{url}" in its arguments is replaced by the last."""

import argparse
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from servers import ceph, s3rver, swift  # noqa: E402  pylint: disable=wrong-import-position
from servers.client import connect  # noqa: E402  pylint: disable=wrong-import-position
from servers.process import ServerError  # noqa: E402  pylint: disable=wrong-import-position

KINDS = {"ceph": ceph.Ceph, "swift": swift.Swift, "s3rver": s3rver.S3rver}


def variables(server, bucket):
    """What a command is told."""
    told = {"ENDPOINT": server.endpoint, "TLS_ENDPOINT": server.tls_endpoint, "CA_FILE": server.ca_file, "REGION": server.region,
            "BUCKET": bucket, "URL": server.url(bucket, "replica")}
    return {**server.environment(), **{f"WEIR_TEST_S3_{name}": value for name, value in told.items() if value}}


def stop_on_signal(*_):
    """SIGTERM ends it like an exception, so that the server is stopped."""
    sys.exit(143)


def main():
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--bucket", default="weir-test", help="made at the start")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    signal.signal(signal.SIGTERM, stop_on_signal)
    try:
        with KINDS[args.kind]() as server:
            connect(server).create_bucket(Bucket=args.bucket)
            told = variables(server, args.bucket)
            if command:
                command = [word.replace("{url}", told["WEIR_TEST_S3_URL"]) for word in command]
                return subprocess.run(command, env={**os.environ, **told}, check=False).returncode
            for name, value in told.items():
                print(f"export {name}='{value}'", flush=True)
            sys.stdin.read()
            return 0
    except ServerError as error:
        print(f"serve.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
