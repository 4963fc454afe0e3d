# SPDX-License-Identifier: Apache-2.0
"""readme: what the README tells a newcomer to type does what it says: its own lines are run, in a folder and in a bucket.
And what it and the documents name is there: files, anchors, commands, subcommands of ./dev.
"""

import json
import os
import pathlib
import re

from lib.tap import Skip, check, equal

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = "/tmp/weir-try"
BUCKET_URL = "s3://my-bucket/notes"
CREDENTIALS = "export AWS_ACCESS_KEY_ID="


def read(name):
    """A document."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(kind):
    """What stands between fences in the quick start."""
    section = read("README.md").split("\n## Two minutes\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def script():
    """(how it is built, what is done in a folder, in a bucket)."""
    found = blocks("sh")
    build, folder, bucket = found[0], "".join(b for b in found[1:] if BUCKET_URL not in b), "".join(b for b in found if BUCKET_URL in b)
    check(FOLDER in folder, f"the quick start works in {FOLDER}")
    check(CREDENTIALS in bucket, "the quick start tells where credentials go")
    return build, folder, bucket


def typed(case, text, **variables):
    """As a person's shell does it, with this weir; what was printed."""
    path = case.path("script")
    pathlib.Path(path).write_text(text + "\nwait\n", encoding="utf-8")  # nothing may be left when it ends
    folder = os.path.dirname(case.options.weir)
    return case.run("bash", "-e", path, env={"PATH": f"{folder}:{os.environ['PATH']}", **variables}).stdout


def how_it_is_built(_):
    """What cannot be tried here, because it installs packages: at least nothing else is asked for, and it is there."""
    build, _, _ = script()
    equal(build.splitlines(), ["apt-get install -y sqlite3", "./dev build", "export PATH=$PWD/build/tools:$PATH"], "how it is built")
    check("\ncmd_build()" in read("dev"), "./dev build")


def in_a_folder(case):
    """The lines as they are, but for the folder."""
    _, text, _ = script()
    out = typed(case, text.replace(FOLDER, case.path("try")))
    shown, = blocks("text")
    check(out.endswith(shown), f"the README shows {shown!r}, printed was {out!r}")
    numbers = re.findall(r"^ +(\d+)  20\d\d-", out, re.MULTILINE)
    equal(numbers[-1:], re.findall(r"--before (\d+)", text), f"the last commit that weir log shows is the mistake: {out}")


def in_a_bucket(case):
    """The same with the URL of a bucket that is there; credentials are in the environment."""
    if case.options.store.kind == "file":
        raise Skip("about a bucket: --store s3")
    _, _, text = script()
    text = "\n".join(line for line in text.splitlines() if not line.startswith(CREDENTIALS)) + "\n"
    url = case.replica().url
    check("'" not in url, url)
    out = typed(case, f"cd {case.dir}\n" + text.replace(BUCKET_URL, f"'{url}'"))
    check(out.endswith("kept\n"), f"the last line is the restored row: {out!r}")


def commands(case):
    """The table has every command, and nothing else."""
    rows = re.findall(r"^\| (`.*?`) \|", read("README.md").split("| Command |")[1].split("\n\n")[0], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    described = [c["name"] for c in json.loads(case.weir("--describe").stdout)["commands"]]
    equal(sorted(named), sorted(described), "commands in the README")


def documents():
    """All that people read."""
    found = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "tests/README.md"]
    return found + [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))]


def anchors(text):
    """Of the headings, as forges make them."""
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def links(_):
    """Each leads somewhere, and so does every `docs/name.md`."""
    for document in documents():
        text, lost = read(document), []
        targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
        for target in (a or b for a, b in targets):
            name, _, anchor = target.partition("#")
            path = (ROOT / document).parent / name if name else ROOT / document
            if "://" in target:
                continue
            if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
                lost.append(target)
        lost += [name for name in re.findall(r"`(docs/[\w/.-]+)`", text) if not (ROOT / name).exists()]
        equal(lost, [], f"links of {document} that lead nowhere")


def listed(_):
    """No page is left out of the list."""
    text = read("docs/index.md")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    equal(pages - set(re.findall(r"\]\((\w[\w-]*\.md)\)", text)), set(), "pages that docs/index.md does not list")


def dev_commands(_):
    """Whatever stands behind ./dev is one of its commands; the same for its benchmarks."""
    dev = read("dev")
    known = set(re.findall(r"^cmd_(\w+)\(\)", dev, re.MULTILINE)) | {"help"}
    benches = set(re.search(r"^cmd_bench\(\) \{ # \[([\w| ]+)\]", dev, re.MULTILINE)[1].replace("many s3", "").split("|")) | {"quick"}
    for document in documents():
        text = read(document)
        equal(set(re.findall(r"\./dev ([a-z]\w*)", text)) - known, set(), f"commands of ./dev in {document}")
        equal(set(re.findall(r"\./dev bench ([a-z]\w*)", text)) - benches, set(), f"benchmarks in {document}")


def cases(_):
    """All of them."""
    return [("quick start: how it is built", how_it_is_built), ("quick start: in a folder", in_a_folder),
            ("quick start: in a bucket", in_a_bucket), ("commands", commands), ("links", links), ("all pages are listed", listed),
            ("commands of ./dev", dev_commands)]
