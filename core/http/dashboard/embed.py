#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make a C table of the dashboard's files: embed.py OUTPUT PATH=TYPE=FILE...

Each file is there as it is and compressed, with its digest for ETag: the same input makes the same output.
"""

import gzip
import hashlib
import sys


def array(name, data):
    """A C array."""
    lines = [",".join(map(str, data[i : i + 32])) for i in range(0, len(data), 32)]
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(lines) + "};\n"


def split(entry):
    """PATH=TYPE=FILE; a type may have a "=" of its own, the others have none."""
    path, rest = entry.split("=", 1)
    return path, *rest.rsplit("=", 1)


def main(output, *entries):
    """Write the table."""
    arrays, rows = [], []
    for i, entry in enumerate(entries):
        path, kind, file = split(entry)
        with open(file, "rb") as source:
            data = source.read()
        packed = gzip.compress(data, 9, mtime=0)
        digest = hashlib.sha256(data).hexdigest()[:16]
        arrays += [array(f"plain{i}", data), array(f"packed{i}", packed)]
        rows.append(f'    {{"{path}", "{kind}", "\\"{digest}\\"", "\\"{digest}-gz\\"", plain{i}, packed{i}, sizeof plain{i}, sizeof packed{i}}},\n')
    with open(output, "w", encoding="ascii") as target:
        target.write("".join(arrays) + "static const struct dashboard_file files[] = {\n" + "".join(rows) + "};\n")


main(*sys.argv[1:])
