#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""analyze.py KNOWN < OUTPUT OF CLANG-TIDY: fails when there is a finding that is not in the list of known ones.

A line of the list: file, check, how many, why that is none.  Lines are not named, so that edits elsewhere in the file do not
matter; a list that names more than there is has to be shortened, so that nothing new hides behind it.
"""

import collections
import os
import re
import sys

FINDING = re.compile(r"^(\S+?):\d+:\d+: (?:warning|error): .*\[([a-zA-Z0-9.-]+)[],]")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def known(path):
    """{(file, check): count} of the list."""
    counts = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.startswith("#"):
                words = line.split(None, 3)
                if len(words) != 4:
                    sys.exit(f"{path}:{number}: must be FILE CHECK COUNT REASON")
                counts[words[0], words[1]] = int(words[2])
    return counts


def main():
    """Exit status 1 for anything that is not as the list says."""
    found = collections.defaultdict(set)
    for line in sys.stdin:
        match = FINDING.match(line)
        if match:
            path = os.path.relpath(os.path.realpath(os.path.join("build-tidy", match[1])), ROOT)
            found[path, match[2]].add(line.rstrip())
    listed, bad = known(sys.argv[1]), False
    for key in sorted(set(found) | set(listed)):
        count, allowed = len(found[key]), listed.get(key, 0)
        if count > allowed:
            bad = True
            print(*sorted(found[key]), sep="\n")
            print(f"{key[0]}: {count} of {key[1]}, {sys.argv[1]} knows {allowed}")
        elif count < allowed:
            bad = True
            print(f"{key[0]}: {count} of {key[1]}, {sys.argv[1]} knows {allowed}: correct it there")
    return bad


if __name__ == "__main__":
    sys.exit(main())
