#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run one integration suite: run.py NAME --weir PATH --bindir DIR.  See tests/README.md."""

import argparse
import fnmatch
import importlib
import os
import pathlib
import random
import resource
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from lib import case as case_module  # noqa: E402  pylint: disable=wrong-import-position
from lib import replica, tap  # noqa: E402  pylint: disable=wrong-import-position
from servers import ceph, process, s3rver, swift  # noqa: E402  pylint: disable=wrong-import-position

SUITES = ("packaging", "readme", "oracle", "concurrently", "crash_fault", "crash_kill", "crash_power", "restart", "drill", "takeover", "wal_reset_bug", "bad_input", "odd_logs", "config", "big",
          "outage", "http_api", "folds", "merges", "retention", "aged", "delta", "operators", "verify", "check", "follow", "many", "parked", "run_cmd", "triggers", "selftest", "selftest_cmd", "state_dir")
STORIES = ("stories_function", "stories_container", "stories_seeded", "stories_instances", "stories_operator")
S3_SUITES = ("s3_servers", "s3_proxy", "s3_requests", "s3_interop", "s3_faults", "s3_outage", "s3_fencing", "s3_tls", "s3_http2", "s3_options",
             "s3_uploads", "s3_share", "s3_iam")
SUITES += ("dashboard", "examples", "truth")
SUITES += ("scrub", "parked_proof", "memory")
SERVERS = {"s3": ceph.Ceph, "swift": swift.Swift, "s3rver": s3rver.S3rver}


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=SUITES + STORIES + S3_SUITES)
    parser.add_argument("--weir", required=True, help="the program under test")
    parser.add_argument("--bindir", required=True, help="where writer, reset_bug and weir_fault were built")
    parser.add_argument("--store", choices=("file", *SERVERS), help="where the replicas are: folders (default), radosgw, or ...")
    parser.add_argument("--case", default="*", help="only cases whose name matches this pattern")
    parser.add_argument("--seeds", type=int, help="how many seeds, where a suite has seeds")
    parser.add_argument("--commits", type=int, help="how many commits per seed")
    parser.add_argument("--seconds", type=float, help="how long, where a suite runs for a time")
    parser.add_argument("--full", action="store_true", help="every point, however long it takes")
    return parser.parse_args()


def clean_environment():
    """Nothing of the developer's own set-up may leak into a test: language, proxies, accounts in the cloud."""
    for name in list(os.environ):
        if (name.startswith(("AWS_", "WEIR_")) and not name.startswith("WEIR_TEST_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(LC_ALL="C.UTF-8", TZ="UTC", AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null",
                      AWS_EC2_METADATA_DISABLED="true")
    # A shell without job control begins what runs in the background with these ignored, and so would everything that we begin.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def main():
    """Run the suite; exit status 0 when no case failed."""
    args = arguments()
    seed = os.environ.get("WEIR_TEST_SEED") or "1"
    seed = random.SystemRandom().randrange(1 << 31) if seed == "random" else int(seed)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    case_module.become_subreaper()
    clean_environment()
    try:
        kind = args.store or ("s3" if args.suite in S3_SUITES else "file")
        store = replica.DirStore() if kind == "file" else replica.S3Store(process.shared(SERVERS[kind]))
    except process.ServerError as error:
        sys.exit(f"run.py: {error}")
    options = case_module.Options(args.weir, args.bindir, seed, args.seeds, args.commits, args.seconds, args.full, store)
    module = importlib.import_module(args.suite)
    chosen = [(name, body) for name, body in module.cases(options)
              if fnmatch.fnmatch(name, args.case) or args.case in name]
    if not chosen:
        sys.exit(f"no case of {args.suite} matches {args.case!r}")
    return 1 if tap.run(chosen, lambda name: case_module.Case(options, name, seed)) else 0


if __name__ == "__main__":
    sys.exit(main())
