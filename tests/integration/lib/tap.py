# SPDX-License-Identifier: Apache-2.0
"""TAP output: one line per case, everything else as '#' lines, so that meson shows each case."""

import sys
import time
import traceback


class Skip(Exception):
    """The machine cannot run this case; the reason is shown."""


class Fail(AssertionError):
    """A claim of the case does not hold."""


def diag(text):
    """Print lines that TAP readers pass over."""
    for line in str(text).splitlines() or [""]:
        print("# " + line, flush=True)


def check(condition, message):
    """Fail the case with `message` unless the condition holds."""
    if not condition:
        raise Fail(message() if callable(message) else message)


def equal(got, want, what):
    """Fail the case unless both are the same."""
    if got != want:
        raise Fail(f"{what}: got {got!r}, expected {want!r}")


def run(cases, make_case):
    """Run (name, function) pairs.  `make_case(name)` gives the context manager that each function gets.  Returns the
    number of failures."""
    failures = 0
    print("TAP version 13")
    print(f"1..{len(cases)}", flush=True)
    for number, (name, function) in enumerate(cases, 1):
        began = time.monotonic()
        verdict, suffix = "ok", ""
        try:
            with make_case(name) as case:
                function(case)
        except Skip as skip:
            suffix = f" # SKIP {skip}"
        except Fail as fail:
            verdict = "not ok"
            diag(fail)
        except Exception:  # pylint: disable=broad-except
            verdict = "not ok"
            diag(traceback.format_exc())
        failures += verdict != "ok"
        print(f"{verdict} {number} - {name} ({time.monotonic() - began:.1f} s){suffix}", flush=True)
    if failures:
        print(f"{failures} of {len(cases)} cases failed", file=sys.stderr)
    return failures
