#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the documents tell users to type exists: docs.py WEIR [FILE...].

Every `weir COMMAND` in code (fenced, indented, in backquotes, in the arrays of Dockerfiles), with its options and the number
of its arguments; every configuration, which the program reads; every WEIR_ variable, every metric, every file that is named.
"""

import contextlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Names that stand for something else in a text, or that are the tests' own.
NOT_SETTINGS = re.compile(r"WEIR_(TEST_.*|FAULT.*|VERSION|BUILD)?$")
NOT_CALLS = (["lock", "1"],)  # the text of a file of the local state
VARIABLES = ("WEIR_CONFIG", "WEIR_DB", "WEIR_REPLICA")


def documents():
    """All that users read: README, docs, examples of any kind."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*"))]
    return [path for path in found if path.is_file() and path.suffix not in (".json", ".html", ".png")]


# --- what is code in a document -----------------------------------------------------------------------------------------


def blocks(text):
    """(first line, text) of each fenced or indented block."""
    rows, found, number = text.split("\n"), [], 0
    while number < len(rows):
        start = number
        if rows[number].startswith("```"):
            end = next((n for n in range(number + 1, len(rows)) if rows[n].startswith("```")), len(rows))
            found.append((start + 2, "\n".join(rows[start + 1:end])))
            number = end + 1
        elif rows[number].startswith("    ") and (number == 0 or not rows[number - 1].strip()):
            while number < len(rows) and (rows[number].startswith("    ") or not rows[number].strip()):
                number += 1
            found.append((start + 1, "\n".join(row[4:] for row in rows[start:number]).rstrip("\n")))
        else:
            number += 1
    return found


def typed(path, text):
    """(line, text) of everything in a file that may be typed or run."""
    if path.suffix not in (".md", ".yml"):
        return [(number, row) for number, row in enumerate(joined(text), 1) if not row.lstrip().startswith("#")]
    found = [(first + n, row) for first, block in blocks(text) if path.suffix == ".md" for n, row in enumerate(joined(block))]
    for match in re.finditer(r"(?<!`)`([^`\n]+)`(?!`)", text):
        found.append((text.count("\n", 0, match.start()) + 1, match[1]))
    return found


def joined(text):
    """Lines, those that go on behind a backslash in one; as many as before."""
    out = []
    for row in text.split("\n"):
        if out and out[-1] is not None and out[-1].endswith("\\"):
            out[-1] = out[-1][:-1] + " " + row.strip()
            continue
        out.append(row)
    return out


# --- commands -----------------------------------------------------------------------------------------------------------


class Program:
    """What it says of itself."""

    def __init__(self, path):
        self.path = path
        self.about = self.ask("--describe")
        self.commands = {one["name"]: self.ask(one["name"], "--describe") for one in self.about["commands"]}

    def ask(self, *words):
        """One of its tables."""
        return json.loads(subprocess.run([self.path, *words], check=True, stdout=subprocess.PIPE, text=True).stdout)


def calls(row):
    """The words of each call of weir in a line of code, behind the name."""
    for array in re.findall(r'\["weir"[^\]]*\]', row):
        with contextlib.suppress(ValueError):  # an array of a program, with its variables
            yield json.loads(array)[1:]
    if re.match(r"\s*(systemctl|journalctl) ", row):
        return  # there weir is a unit
    for match in re.finditer(r"(?:^|[\s;&|($/=])weir (?=[a-z-])", row):
        if re.search(r"(?:^|\s)-[\w-]+\s*$", row[:match.start() + 1]):
            continue  # the value of somebody else's option
        text = re.split(r"[;|)&>…#]|\s<|\s\.\.\.", row[match.end():])[0]
        try:
            yield shlex.split(text)
        except ValueError:
            yield text.split()


def wrong_call(program, words):
    """What is wrong with it, or None."""
    if words[0].startswith("-"):
        return None if words[0] in ("--help", "--version", "--describe", "--databases") else f"there is no 'weir {words[0]}'"
    if words in NOT_CALLS or words[0].endswith(":") or not re.fullmatch(r"[a-z]+", words[0]):
        return None  # a message of that command, or a name that stands for a command
    command = program.commands.get(words[0])
    if command is None:
        return f"there is no 'weir {words[0]}'"
    options = {"--" + one["name"]: one["argument"] for one in command["options"]}
    options |= {"-" + one["letter"]: one["argument"] for one in command["options"] if one["letter"]}
    options["--help"] = None
    operands, rest = 0, iter(words[1:])
    for word in rest:
        if word == "--":
            return None
        name, _, value = word.partition("=")
        if word.startswith("-") and name not in options:
            return f"'weir {words[0]}' has no {name}"
        if word.startswith("-") and options[name] and not value:
            next(rest, None)
        operands += not word.startswith("-")
    most = command["operand_max"]
    return f"'weir {words[0]}' takes no more than {most}: {' '.join(words)}" if operands > most else None


# --- configurations -----------------------------------------------------------------------------------------------------


def configurations(program, path, text):
    """(line, YAML) of each: a file of its own, a block, or what a block writes into a file."""
    top = {"databases", "defaults"} | {key["name"].partition(".")[0] for key in program.about["keys"]}
    single = {key["name"].partition(".")[0] for key in program.about["database_keys"]}
    for first, block in blocks(text) if path.suffix == ".md" else [(1, text)]:
        here = re.search(r"<<-?'?(\w+)'?\n(.*?)\n\s*\1\b", block, re.S)
        first += block.count("\n", 0, here.start(2)) if here else 0
        block = here[2] if here else block
        keys = re.findall(r"^([a-z-]+):(?=\s|$)", block, re.M)
        if keys and keys[0] in top:
            yield first, block
        elif keys and keys[0] in single and path.suffix == ".md":
            yield first, "defaults:\n" + "".join(f"  {row}\n" for row in block.split("\n"))


def wrong_configuration(program, yaml):
    """What is wrong with it, or None.  Nothing is asked of any replica."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    env |= {name: "value" for name in re.findall(r"\$\{(\w+)\}", yaml)} | {"PWD": "/srv"}
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "weir.yml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(yaml)
        if subprocess.run([program.path, "--databases", file], env=env, stdout=subprocess.DEVNULL, check=False).returncode == 0:
            return None
        return subprocess.run([program.path, "check", "-c", file], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True, check=False).stderr.strip()


# --- variables and files ------------------------------------------------------------------------------------------------


def wrong_variable(program, name):
    """What is wrong with it, or None."""
    known = {"WEIR_" + re.sub("[.-]", "_", key["name"]).upper() for key in program.about["database_keys"] + program.about["keys"]}
    name = re.sub(r"^WEIR_DATABASES_\d+_(PATH|DIR)$", "WEIR_DB", re.sub(r"^WEIR_DATABASES_\d+_(?!PATH$|DIR$)", "WEIR_", name))
    if NOT_SETTINGS.match(name) or name in known or name in VARIABLES or name.startswith("WEIR_REPLICA_"):
        return None
    return f"no setting has the variable {name}"


def wrong_file(text):
    """Files of the repository that a document names and that are not there."""
    for name in re.findall(r"`((?:docs|tests|tools|core|wal|s3|snapshot)/[\w./-]+)`", text):
        if not (ROOT / name).exists() and not list(ROOT.glob(name + ".*")):
            yield name


def wrong_metric(name):
    """What is wrong with it, or None.  That those of docs/http.md are the daemon's is tested beside one that runs."""
    known = (ROOT / "docs" / "http.md").read_text(encoding="utf-8").partition("## Metrics")[2].partition("\n## ")[0]
    return None if name in re.findall(r"`(weir_[a-z_]+)", known) else f"docs/http.md has no metric {name}"


def complaints(program, path):
    """(line, what) of everything that is wrong in a document."""
    text = path.read_text(encoding="utf-8")
    for line, row in typed(path, text):
        for words in calls(row):
            why = wrong_call(program, words) if words else None
            if why:
                yield line, why
    for line, yaml in configurations(program, path, text):
        why = wrong_configuration(program, yaml)
        if why:
            yield line, why
    for match in re.finditer(r"\bWEIR_[A-Z0-9_]+\b", text):
        why = wrong_variable(program, match[0])
        if why:
            yield text.count("\n", 0, match.start()) + 1, why
    for match in re.finditer(r"`(weir_[a-z_]+)[`{]", text if path.name != "s3.md" else ""):  # there it is a name in JSON
        why = wrong_metric(match[1])
        if why:
            yield text.count("\n", 0, match.start()) + 1, why
    for name in wrong_file(text):
        yield text.count("\n", 0, text.index(f"`{name}`")) + 1, f"there is no {name}"


def main():
    """Exit status 1 when a document tells what is not."""
    program, count = Program(os.path.abspath(sys.argv[1])), 0
    for path in [pathlib.Path(name).resolve() for name in sys.argv[2:]] or documents():
        for line, why in complaints(program, path):
            print(f"{os.path.relpath(path, ROOT)}:{line}: {why}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
