# SPDX-License-Identifier: Apache-2.0
"""packaging: what an operator gets beside the program says what the program does: manual pages, completions, the reference of keys.

Manual pages and completions are made from the program's tables, so what is checked here is that nothing got lost on the way,
that they are well made, and that what a shell offers is right.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

from lib.case import wait_until
from lib.scene import Scene
from lib.tap import Skip, check, equal

ROOT = pathlib.Path(__file__).resolve().parents[2]


def need(program):
    """A tool that not every machine has."""
    found = shutil.which(program)
    if not found:
        raise Skip(f"no {program} here")
    return found


def built(case, *parts):
    """What the build made beside the program."""
    path = os.path.join(os.path.dirname(case.options.weir), *parts)
    if not os.path.exists(path):
        raise Skip(f"{path} was not built")
    return path


def described(case, *command):
    """The program's own table."""
    return json.loads(case.weir(*command, "--describe").stdout)


# --- manual pages ----------------------------------------------------------------------------------------------------


def pages(case):
    """All of them."""
    return sorted(str(page) for number in "15" for page in pathlib.Path(built(case, "man", f"man{number}")).iterdir())


def well_made(case):
    """Nothing that mandoc or man warn of."""
    need("mandoc")
    done = case.run("mandoc", "-Tlint", "-W", "warning", *pages(case), expect=None)
    equal((done.returncode, done.stdout), (0, ""), "mandoc -Tlint")
    if shutil.which("man") and shutil.which("groff"):
        for page in pages(case):
            equal(case.run("man", "--warnings", "-l", page, env={"MANPAGER": "cat"}).stderr, "", f"man --warnings {page}")


def plain(case, page):
    """As a terminal shows it, on one line."""
    return " ".join(case.run("mandoc", "-Tascii", "-O", "width=1000", page).stdout.replace("-\n", "-").split())


def undone(text):
    """Without the overstriking of bold and underlined letters."""
    return re.sub(".\b", "", text)


def complete(case):
    """Every command has a page, every page a command; every option with its whole help is on it, every example too."""
    need("mandoc")
    commands = [c["name"] for c in described(case)["commands"]]
    names = {os.path.basename(page) for page in pages(case)}
    equal(names, {"weir.1", "weir.yml.5"} | {f"weir-{c}.1" for c in commands}, "the pages")
    for command in commands:
        table = described(case, command)
        text = undone(plain(case, built(case, "man", "man1", f"weir-{command}.1")))
        for option in table["options"]:
            row = f"--{option['name']}" + (f" {option['argument']}" if option["argument"] else "")
            help_text = " ".join(option["help"].split())
            check(f"{row} {help_text}" in text, f"weir-{command}.1: {row} {help_text}\n{text}")
        for row in (table["examples"] or "").splitlines():
            check(" ".join(row.split()) in text, f"weir-{command}.1: {row}")
        check(f"weir-{command}(1)" in undone(plain(case, built(case, "man", "man1", "weir.1"))), f"weir.1 does not name {command}")


def helps(case):
    """The help of each command ends no line in a space, and loses no word to that."""
    for command in ["", *(c["name"] for c in described(case)["commands"])]:
        shown = case.weir(*command.split(), "--help").stdout
        for row in shown.splitlines():
            check(row == row.rstrip(), f"weir {command} --help: {row!r} ends in a space")
        if command:
            table = described(case, command)
            for text in (table["about"], *(option["help"] for option in table["options"])):
                check(" ".join(text.split()) in " ".join(shown.split()), f"weir {command} --help: {text}\n{shown}")


def reference(case):
    """The keys of docs/configuration.md (which is weir.yml.5, too) and those that the program knows are the same."""
    found = {"Databases": set(), "The whole": set()}
    section = None
    for row in (ROOT / "docs/configuration.md").read_text(encoding="utf-8").splitlines():
        section = row[3:] if row.startswith("## ") else section
        cell = re.match(r"\| ((?:`[a-z.-]+`(?:, )?)+) \|", row)
        if section not in found or not cell:
            continue
        names = re.findall("`([^`]+)`", cell[1])
        family = names[0].rpartition(".")[0]
        found[section].update(family + name if name.startswith(".") else name for name in names)
    known = described(case)
    equal(found["Databases"], {key["name"] for key in known["database_keys"]}, "the keys of a database")
    equal(found["The whole"], {key["name"] for key in known["keys"]}, "the keys of the whole")


# --- completions -----------------------------------------------------------------------------------------------------


def configuration(case):
    """A file with two databases, one of them with a space in its name."""
    with open(case.path("weir.yml"), "w", encoding="utf-8") as file:
        file.write("databases:\n"
                   "  - {path: /data/app.db, replica: 'file:///backup/app'}\n"
                   "  - {path: '/data/second one.db', replica: 'file:///backup/second'}\n")
    return case.path("weir.yml")


BASH = r"""
. "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_weir 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"""


def in_bash(case, *words):
    """What bash offers for the last of these words."""
    done = case.run("bash", "--norc", "-c", BASH, "bash", built(case, "completion", "weir"), case.options.weir, *words)
    return done.stdout.split("\n")[:-1]


def in_fish(case, line):
    """What fish offers behind this line, without the descriptions."""
    path = os.path.dirname(case.options.weir) + os.pathsep + os.environ["PATH"]
    done = case.run("fish", "--no-config", "-c", f"source {built(case, 'completion', 'weir.fish')}; complete -C '{line}'",
                    env={"PATH": path, "HOME": case.path()})
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


def bash_completes(case):
    """Commands, options, the words of an option, databases, files, programs."""
    commands = [c["name"] for c in described(case)["commands"]]
    equal(set(in_bash(case, "")), {*commands, "--help", "--version"}, "commands")
    equal(in_bash(case, "sna"), ["snapshot"], "a command")
    for command in commands:
        offered = set(in_bash(case, command, "--"))
        equal(offered, {"--help"} | {"--" + o["name"] for o in described(case, command)["options"]}, f"options of {command}")
    equal(set(in_bash(case, "replicate", "--log-level", "")), {"error", "warn", "info", "debug", "trace"}, "words")
    equal(in_bash(case, "replicate", "--log-limit", ""), [""], "an amount that nobody can guess")
    file = configuration(case)
    offered = in_bash(case, "restore", "-c", file, "/data/")
    check({"/data/app.db", "/data/second one.db"} <= set(offered), offered)
    check("/data/app.db" not in in_bash(case, "restore", "-c", case.path("none.yml"), "/data/"), "a database of nowhere")
    equal(in_bash(case, "restore", "-c", case.path("weir.y")), [file], "a file")
    check("true" in in_bash(case, "run", "/data/app.db", "file:///x", "--", "tru"), "a program")


def fish_completes(case):
    """The same."""
    need("fish")
    commands = {c["name"] for c in described(case)["commands"]}
    offered = set(in_fish(case, "weir "))
    check(commands <= offered, f"{commands - offered} missing")
    check("--timeline" in in_fish(case, "weir log --time"), "an option")
    equal(set(in_fish(case, "weir replicate --log-format ")), {"text", "json"}, "words")
    check("/data/app.db" in in_fish(case, f"weir ls -c {configuration(case)} /data/"), "a database")


def zsh_reads(case):
    """Every option is in a file that zsh takes."""
    need("zsh")
    path = built(case, "completion", "_weir")
    case.run("zsh", "-n", path)
    text = pathlib.Path(path).read_text(encoding="utf-8")
    for command in described(case)["commands"]:
        check(f"{command['name']}) _arguments" in text, command["name"])
        for option in described(case, command["name"])["options"]:
            check(f"--{option['name']}" in text, option["name"])


def databases(case):
    """What completion asks: silent and quick whatever is wrong."""
    equal(case.weir("--databases", configuration(case)).stdout, "/data/app.db\n/data/second one.db\n", "databases")
    for text in ("databases: [", "nonsense: true\n"):
        with open(case.path("bad.yml"), "w", encoding="utf-8") as file:
            file.write(text)
        done = case.weir("--databases", case.path("bad.yml"), expect=2)
        equal((done.stdout, done.stderr), ("", ""), "of a file that cannot be used")


# --- systemd ---------------------------------------------------------------------------------------------------------

# An exposure of 2.0 of 10; systemd calls that "OK", everything without a sandbox is at 9.
EXPOSURE = 20


def unit(case, name):
    """A copy that starts the program under test; the template is filled in with a user that there is."""
    text = pathlib.Path(built(case, "systemd", name)).read_text(encoding="utf-8")
    text, count = re.subn(r"^ExecStart=\S+", f"ExecStart={case.options.weir}", text, flags=re.MULTILINE)
    equal(count, 1, "lines with ExecStart")
    name = name.replace("@", "@root")
    with open(case.path(name), "w", encoding="utf-8") as file:
        file.write(text.replace("%i", "root"))
    return case.path(name)


def units(case):
    """systemd reads them without a word, and finds them locked up."""
    need("systemd-analyze")
    for name in ("weir.service", "weir@.service"):
        path = unit(case, name)
        done = case.run("systemd-analyze", "verify", "--man=no", path, expect=None)
        # What other units of this machine lack is told, too.
        said = [row for row in (done.stdout + done.stderr).splitlines() if "weir" in row]
        equal(said, [], f"systemd-analyze verify {name}")
        case.run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", path)
    shortest = {"TimeoutStopSec": 31}  # more than the default of shutdown-timeout
    for key, least in shortest.items():
        value = int(re.search(rf"^{key}=(\d+)$", pathlib.Path(path).read_text(encoding="utf-8"), re.MULTILINE)[1])
        check(value >= least, f"{key}={value}")


def allowed_calls(path):
    """The system calls that a unit's filter lets through, sets expanded by systemd itself."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    allowed = set()
    for value in re.findall(r"^SystemCallFilter=(\S+)$", text, re.MULTILINE):
        calls = expand(value.lstrip("~"))
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def expand(name):
    """Of one set, with the sets in it."""
    found = set()
    for row in subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[1:]:
        word = row.strip()
        if word.startswith("@"):
            found |= expand(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def system_calls(case):
    """What the daemon calls, from its start over snapshot and reload to its stop, is in the filter."""
    need("systemd-analyze")
    trace = case.path("trace")
    scene = Scene(case)
    with open(case.path("weir.yml"), "w", encoding="utf-8") as file:
        file.write(f"databases:\n  - {{path: {scene.db}, replica: '{scene.replica.url}'}}\nhttp: {{listen: '127.0.0.1:0'}}\n")
    daemon = case.spawn([need("strace"), "-f", "-qq", "-o", trace, case.options.weir, "replicate", "-c", case.path("weir.yml")],
                        stderr=subprocess.DEVNULL)
    wait_until(lambda: case.weir("status", scene.db, expect=None).returncode == 0, "the daemon replicates")
    scene.commit(20)
    case.weir("sync", scene.db, "--wait")
    case.weir("snapshot", scene.db)
    pid = json.loads(case.weir("status", scene.db, "--json").stdout)["pid"]
    os.kill(pid, signal.SIGHUP)
    scene.commit(20)
    case.weir("sync", scene.db, "--wait")
    os.kill(pid, signal.SIGTERM)
    equal(daemon.wait(), 0, "exit status")
    scene.end()
    called = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z0-9_]+)(?:\(| resumed)", pathlib.Path(trace).read_text(encoding="utf-8", errors="replace"), re.MULTILINE))
    check({"pwrite64", "fsync", "socket"} <= called, f"the trace is not one of the daemon: {sorted(called)}")
    equal(called - allowed_calls(built(case, "systemd", "weir.service")), set(), "calls outside of the filter")


# --- monitoring ------------------------------------------------------------------------------------------------------

MONITORING = ROOT / "docs/examples/monitoring"
# What neither a rule nor the dashboard has a use for: it tells when something was, how often, or where a history stands.
DETAILS = {"weir_configuration_time_seconds", "weir_failure_time_seconds", "weir_folder_gone_total", "weir_gap_time_seconds",
           "weir_local_txid", "weir_log_resets", "weir_parked", "weir_segments_shipped_total", "weir_start_time_seconds", "weir_timeline"}


def families(case):
    """The names of a daemon's /metrics, and the states that it knows."""
    scene = Scene(case)
    with open(case.path("weir.yml"), "w", encoding="utf-8") as file:
        file.write(f"databases:\n  - {{path: {scene.db}, replica: '{scene.replica.url}'}}\n"
                   f"  - {{dir: {case.path('folder')}, replica: '{case.replica('folder').url}'}}\n")
    os.mkdir(case.path("folder"))
    daemon = case.spawn([case.options.weir, "replicate", "-c", case.path("weir.yml")], stderr=subprocess.DEVNULL)
    wait_until(lambda: case.weir("status", scene.db, expect=None).returncode == 0, "the daemon replicates")
    case.weir("snapshot", scene.db)
    text = case.run("curl", "-s", "--unix-socket", scene.db + "-weir/control.sock", "http://localhost/metrics").stdout
    daemon.terminate()
    equal(daemon.wait(), 0, "exit status")
    scene.end()
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)), set(re.findall(r'^weir_state{.*state="([^"]+)"', text, re.MULTILINE))


def metric_names(case):
    """Those of the daemon, of docs/http.md, of the rules and of the dashboard."""
    known, _ = families(case)
    section = (ROOT / "docs/http.md").read_text(encoding="utf-8").partition("## Metrics")[2].partition("\n## ")[0]
    told = {re.sub("{.*", "", name) for row in re.findall(r"^\| (`weir.*?) \|", section, re.MULTILINE) for name in re.findall("`([^`]+)`", row)}
    equal(told, known, "the metrics of docs/http.md")
    everywhere = set()
    for name in ("alerts.yml", "grafana.json"):
        used = set(re.findall(r"\bweir_[a-z_]+", (MONITORING / name).read_text(encoding="utf-8")))
        check(len(used) > 8, f"{name} uses {used}")
        equal(used - known, set(), f"metrics of {name} that no daemon has")
        everywhere |= used
    equal(known - everywhere, DETAILS, "metrics that nobody is shown")
    # A series with a name that is right and labels that are not would be as silent.
    document = json.loads((MONITORING / "grafana.json").read_text(encoding="utf-8"))
    for panel in document["panels"]:
        for target in panel["targets"]:
            check("$instance" in target["expr"], f"{panel['title']}: {target['expr']}")


def alert_rules(case):
    """Each fires when it should, and an ordinary day is silent; promtool plays it through."""
    case.run(need("promtool"), "check", "rules", str(MONITORING / "alerts.yml"))
    case.run("promtool", "test", "rules", str(MONITORING / "alerts_test.yml"))
    tested = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", (MONITORING / "alerts_test.yml").read_text(encoding="utf-8")))
    equal(tested, alerts(), "alerts that were seen to fire")


def alerts():
    """Their names."""
    return set(re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text(encoding="utf-8")))


def runbook(case):
    """It has an entry for each state and each alert, and for nothing else."""
    _, states = families(case)
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    for section, names in (("States", states), ("Alerts", alerts())):
        entries = re.findall(r"^### (\S+)$", text.partition(f"\n## {section}\n")[2].partition("\n## ")[0], re.MULTILINE)
        equal(sorted(entries), sorted(names), f"the entries of {section}")
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    equal(set(re.findall(r"\]\(#([^)]+)\)", text)) - anchors, set(), "links that lead nowhere")
    document = json.loads((MONITORING / "grafana.json").read_text(encoding="utf-8"))
    equal(len({panel["id"] for panel in document["panels"]}), len(document["panels"]), "panels of the dashboard")
    places = [(x, y) for panel in document["panels"] for at in [panel["gridPos"]]
              for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    equal(len(set(places)), len(places), "places of the dashboard that two panels want")


def cases(_):
    """All of them."""
    return [
        ("manual pages: well made", well_made), ("manual pages: complete", complete), ("keys: the reference is complete", reference),
        ("the help of each command", helps),
        ("databases of the configuration", databases), ("completion: bash", bash_completes), ("completion: fish", fish_completes),
        ("completion: zsh", zsh_reads), ("systemd: the units", units), ("systemd: system calls", system_calls),
        ("monitoring: names of metrics", metric_names), ("monitoring: alert rules", alert_rules), ("the runbook is complete", runbook),
    ]
