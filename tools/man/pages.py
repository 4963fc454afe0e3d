#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the manual pages: of each command from the program's own tables, of the configuration from its reference.

    pages.py WEIR CONFIGURATION.MD CHANGELOG.MD MAN1 MAN5

MAN1 and MAN5 are folders that this makes anew.  The pages are mdoc.  Their date is SOURCE_DATE_EPOCH, or when the
changelog was changed last, so that two builds of one source are the same.
"""

import os
import pathlib
import re
import shutil
import sys
import textwrap
import time

from program import Program

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z'`])")
WRAP = textwrap.TextWrapper(width=78, break_long_words=False, break_on_hyphens=False)


def safe(text):
    """Plain text that roff takes as it is."""
    text = text.replace("\\", "\\e").replace("`", "\\(ga").replace("'", "\\(aq").replace('"', "\\(dq")
    return text.replace("-", "\\-").replace("^", "\\(ha").replace("~", "\\(ti").replace("…", "\\&...")


def line(text):
    """A line of text that is no macro."""
    return "\\&" + text if text[:1] in (".", "'") else text


def inline(text):
    """Markdown within a paragraph: code and stress become bold."""
    parts = re.split(r"(`[^`]+`|\*\*.+?\*\*)", text)
    return "".join(
        f"\\fB{safe(part.strip('`*'))}\\fP" if part[:1] == "`" or part[:2] == "**" else safe(part) for part in parts)


def prose(text):
    """A paragraph, a sentence a line, as mdoc wants it."""
    return [line(row) for sentence in SENTENCE.split(" ".join(text.split())) for row in WRAP.wrap(inline(sentence))]


def paragraphs(text):
    """Several, with space between them."""
    out = []
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        out += ([".Pp"] if number else []) + prose(paragraph)
    return out


def literal(rows):
    """An example."""
    return [".Bd -literal -offset indent", *(line(safe(row)) if row else "" for row in rows), ".Ed"]


def head(name, section, about, date):
    """Of every page; a name's words are separated by a dash in the title alone."""
    return [".\\\" Made by tools/man/pages.py.", f".Dd {date}", f".Dt {name.replace(' ', '-').upper()} {section}", ".Os weir",
            ".Sh NAME", f".Nm {name.replace(' ', '-')}", f".Nd {safe(about.rstrip('.?'))}"]


# --- commands --------------------------------------------------------------------------------------------------------


def synopsis(text):
    """'SOURCE -o FILE [OPTION...]' in macros."""
    out = []
    for token in re.findall(r"\[|\]|[^\s\[\]]+", text):
        if token in "[]":
            out.append(".Oo" if token == "[" else ".Oc")
        elif token == "--":
            out.append(".Fl Fl")
        elif token.startswith("-"):
            out.append(f".Fl {safe(token[1:])}")
        else:
            word, dots, _ = token.partition("...")
            out.append((f".Ar {safe(word)}" if word else ".No") + (" ..." if dots else ""))
    return out


def option(entry):
    """One row of the table of options."""
    argument = f" Ar {safe(entry['argument'])}" if entry["argument"] else ""
    short = f"Fl {entry['letter']} , " if entry["letter"] else ""
    return [f".It {short}Fl Fl {safe(entry['name'])}{argument}", *paragraphs(entry["help"])]


def see_also(names):
    """Cross references, in the order that mandoc wants."""
    ordered = sorted(set(names), key=lambda n: (n[1], n[0]))
    return [".Sh SEE ALSO", *(f".Xr {n} {s}" + (" ," if i + 1 < len(ordered) else "") for i, (n, s) in enumerate(ordered))]


def command_page(command, program, date):
    """weir-COMMAND.1"""
    about = command["about"]
    text, mark, status = about.partition("Exit status")
    others = {m for m in re.findall(r"weir (\w+)", about + " ".join(o["help"] for o in command["options"]))
              if m in {c["command"] for c in program.commands}} - {command["command"]}
    out = head("weir " + command["command"], 1, command["headline"], date)
    out += [".Sh SYNOPSIS", ".Nm weir", f".Cm {command['command']}", *synopsis(command["synopsis"])]
    out += [".Sh DESCRIPTION", *paragraphs(text if mark else about)]
    out += [".Pp", "Options:", ".Bl -tag -width Ds"]
    for entry in command["options"]:
        out += option(entry)
    out += [".El", ".Sh EXIT STATUS"]
    out += paragraphs(mark + status) if mark else ["As told in", ".Xr weir 1 ."]
    if command["examples"]:
        rows = command["examples"].rstrip("\n").split("\n")
        out += [".Sh EXAMPLES", *literal([row.removeprefix("  ") for row in rows])]
    out += see_also([("weir", 1), ("weir.yml", 5)] + [("weir-" + name, 1) for name in others])
    return out


def whole_page(program, date):
    """weir.1"""
    out = head("weir", 1, "ships every commit of a SQLite database to a replica and restores any of them", date)
    out += [".Sh SYNOPSIS", ".Nm", ".Ar COMMAND", ".Op Ar OPTION ...", ".Op Ar ARGUMENT ...", ".Nm", ".Fl Fl version"]
    out += [".Sh DESCRIPTION"] + paragraphs(
        "weir follows the write-ahead log of live SQLite databases, ships every commit as page deltas to a replica (a directory, or "
        "a bucket of S3 and what is compatible with it), and restores any single commit. A replica is named by a URL, file:///path "
        "or s3://bucket/prefix, or by its database where the configuration has it.")
    out += [".Pp", "The commands, each with a page of its own:", ".Bl -tag -width Ds"]
    for command in program.commands:
        out += [f".It Xr weir-{command['command']} 1", *paragraphs(command["headline"])]
    out += [".El", ".Sh ENVIRONMENT", ".Bl -tag -width Ds", ".It Ev WEIR_CONFIG", "The configuration, instead of",
            ".Pa /etc/weir.yml .", ".It Ev WEIR_*", "Every key of the configuration; see", ".Xr weir.yml 5 .",
            ".It Ev AWS_*", "Credentials and region, as in the AWS tools.", ".El"]
    out += [".Sh FILES", ".Bl -tag -width Ds", ".It Pa /etc/weir.yml", "The configuration.", ".It Pa DATABASE\\-weir/",
            "Beside a database that is replicated: its local state and its control socket.", ".El",
            ".Sh EXIT STATUS", ".Bl -tag -width Ds"]
    for number, meaning in program.statuses:
        out += [f".It {number}", *prose(meaning)]
    out += [".El"]
    return out + see_also([("weir.yml", 5), ("sqlite3", 1)] + [("weir-" + c["command"], 1) for c in program.commands])


# --- the configuration ---------------------------------------------------------------------------------------------


def table(rows):
    """Of a Markdown table: the first cell is what is told, the others tell it."""
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))] for row in rows]
    out = [".Bl -tag -width Ds"]
    for row in cells[2:]:
        stands = len(row) > 2 and row[2]
        out += [f".It {inline(row[0])}", *prose(row[1] + ("." if stands and row[1] else ""))]
        out += prose(f"Default: {row[2]}.") if stands else []
    return out + [".El"]


def items(text, mark, kind):
    """A list; each entry may go on in indented lines."""
    out = [f".Bl -{kind}"]
    for entry in re.split(rf"^{mark} ", text, flags=re.MULTILINE)[1:]:
        out += [".It", *prose(entry)]
    return out + [".El"]


def block(rows):
    """One block of Markdown, without the space around it."""
    text = "\n".join(rows)
    if rows[0].startswith("|"):
        return table(rows)
    if rows[0].startswith("```"):
        return literal(rows[1:-1])
    if rows[0].startswith("    "):
        return literal([row[4:] for row in rows])
    if rows[0].startswith("- "):
        return items(text, "-", "bullet")
    if re.match(r"\d+\. ", rows[0]):
        return items(text, r"\d+\.", "enum")
    return [".Pp", *prose(text)]


def blocks(markdown):
    """Lines between empty lines; examples keep theirs."""
    found, literally = [[]], False
    for row in markdown.split("\n"):
        literally ^= row.startswith("```")
        indented = row.startswith("    ") and (not found[-1] or found[-1][0].startswith("    "))
        starts_list = re.match(r"(- |\d+\. |\|)", row) and found[-1] and not re.match(r"(- |\d+\. |\|)", found[-1][0])
        if not literally and (not row.strip() or (starts_list and not indented)):
            found.append([])
        if row.strip() or literally:
            found[-1].append(row)
    return [rows for rows in found if rows]


def configuration_page(markdown, date):
    """weir.yml.5"""
    out = head("weir.yml", 5, "configuration of weir", date) + [".Sh DESCRIPTION"]
    for rows in blocks(markdown):
        if rows[0].startswith("# "):
            continue
        if rows[0].startswith("## "):
            out.append(f".Sh {safe(rows[0][3:].upper())}")
            continue
        made = block(rows)
        out += made[1:] if made[0] == ".Pp" and out[-1].startswith(".Sh") else made
    return out + see_also([("weir", 1), ("weir-replicate", 1), ("weir-run", 1)])


def date_of(changelog):
    """In mdoc's form."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or os.stat(changelog).st_mtime)
    day = time.gmtime(seconds)
    return time.strftime("%B ", day) + f"{day.tm_mday}, {day.tm_year}"


def main():
    weir, configuration, changelog, man1, man5 = sys.argv[1:]
    program, date = Program(weir), date_of(changelog)
    pages = {f"{man1}/weir.1": whole_page(program, date),
             f"{man5}/weir.yml.5": configuration_page(pathlib.Path(configuration).read_text(encoding="utf-8"), date)}
    for command in program.commands:
        pages[f"{man1}/weir-{command['command']}.1"] = command_page(command, program, date)
    for folder in (man1, man5):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    for path, page in pages.items():
        pathlib.Path(path).write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
