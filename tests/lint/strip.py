#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print C files as "path:line:code", without comments and the insides of strings, so that a grep finds code only."""

import re
import sys

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(match):
    text = match.group(0)
    if text.startswith("/"):
        return " " + "\n" * text.count("\n")
    return text[0] * 2


for line in sys.stdin:
    path = line.rstrip("\n")
    with open(path, encoding="utf-8") as source:
        code = TOKEN.sub(blank, source.read())
    for number, text in enumerate(code.split("\n"), 1):
        if text.strip():
            print(f"{path}:{number}:{text}")
