#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print `N passed, N failed[, N skipped]` from meson's testlog.json files.  Exit 0 only when tests ran and none failed.

    summary.py STATUS LOG...

STATUS is the exit status of the run that wrote the logs: when it is not 0 and the logs name no failure (a build that
broke, a run that was cut short), that is counted as one failure.  A test that speaks TAP counts by its subtests.
"""
import json
import re
import sys

POINT = re.compile(r"^(not )?ok\b[^#\n]*(?:# *(SKIP|TODO))?", re.IGNORECASE | re.MULTILINE)
LINES = 20
GOOD, SKIPPED = {"OK", "EXPECTEDFAIL"}, {"SKIP"}


def count(test):
    """(passed, failed, skipped) of one record."""
    if test["result"] in SKIPPED:
        return 0, 0, 1
    good = test["result"] in GOOD
    passed = failed = skipped = 0
    for bad, directive in POINT.findall(test.get("stdout") or ""):
        if directive.upper() == "SKIP":
            skipped += 1
        elif bad and directive.upper() != "TODO":
            failed += 1
        else:
            passed += 1
    if passed + failed + skipped == 0 or (good and failed):  # no TAP, or a program that only prints such words
        return (1, 0, 0) if good else (0, 1, 0)
    if not good and not failed:  # died, or timed out, between two points
        failed = 1
    return passed, failed, skipped


def why(test):
    """The end of what a failed test printed, up to its first failed subtest: a run is often seen from afar, by its last lines."""
    lines = (test.get("stdout") or "").splitlines()
    first = next((n for n, line in enumerate(lines, 1) if line.startswith("not ok")), len(lines))
    return lines[max(0, first - LINES):first] + (test.get("stderr") or "").splitlines()[-LINES // 4:]


def main():
    status, totals, bad = int(sys.argv[1]), [0, 0, 0], []
    for path in sys.argv[2:]:
        try:
            with open(path, encoding="utf-8", errors="replace") as log:
                tests = [json.loads(line) for line in log if line.strip()]
        except FileNotFoundError:
            print(f"{path} is missing: its tests did not run")
            status = status or 1
            continue
        for test in tests:
            counts = count(test)
            totals = [a + b for a, b in zip(totals, counts)]
            if counts[1]:
                for line in why(test):
                    print("   ", line)
                bad.append(f"{path.split('/', 1)[0]}: {test['name']}: {test['result']}")
    if status != 0 and totals[1] == 0:
        bad.append(f"the run ended with status {status}")
        totals[1] = 1
    for line in bad:
        print("FAILED", line)
    passed, failed, skipped = totals
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
