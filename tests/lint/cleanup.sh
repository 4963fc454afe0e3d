#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A CLEANUP() variable has a value before the first way out of its block: what is cleaned up is never garbage.  Compilers
# do not see it, because its address is taken, and with -ftrivial-auto-var-init=zero no test does either.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
"$here/sources.sh" '*.c' core wal snapshot s3 tools | xargs python3 -c '
import re, sys

bad = 0
for path in sys.argv[1:]:
    lines = open(path, encoding="utf-8").read().split("\n")
    for number, line in enumerate(lines):
        found = re.search(r"CLEANUP\(\w+\)\s*(?:struct \w+|\w+) \*?(\w+)(?:\[\w+\])?;", line)
        if not found:
            continue
        name = re.compile(r"\b%s\b" % found.group(1))
        for later in lines[number + 1:]:
            if later.startswith("}") or name.search(later):
                break
            if re.search(r"\breturn\b|\bTRY(_CTX)?\(", later):
                print(f"{path}:{number + 1}: {found.group(1)} has no value yet at: {later.strip()}")
                bad = 1
                break
sys.exit(bad)
'
