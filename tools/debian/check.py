#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Build the Debian package, look at it, install it into a folder of its own, play the demo from there, take it away again.

    check.py FOLDER       the package stays in FOLDER

Needs root or fakeroot for the installation alone, and never touches the system's own packages.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# There is no address yet that could be written to.
SUPPRESSED = "bogus-mail-host,bogus-mail-host-in-debian-changelog"


def run(*argv, **options):
    """A command that must succeed; its output."""
    done = subprocess.run([str(a) for a in argv], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n{done.stdout[-8000:]}")
    return done.stdout


def need(condition, message):
    """A claim."""
    if not condition:
        sys.exit(f"check.py: {message}")


def dpkg(root, *argv):
    """dpkg in a folder of its own.  What the package depends on is not in there, and its scripts run with $DPKG_ROOT."""
    prefix = [] if os.geteuid() == 0 else ["fakeroot"]
    return run(*prefix, "dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", *argv)


def files(root):
    """All below a folder."""
    return {str(path.relative_to(root)) for path in pathlib.Path(root).rglob("*") if not path.is_dir()}


def install(package, root, version):
    """The package does what it should, and leaves what is not its own."""
    for folder in ("var/lib/dpkg", "var/lib/weir", "etc", "srv/app.db-weir"):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    for name in ("passwd", "group"):
        (root / "etc" / name).write_text("root:x:0:0:root:/root:/bin/sh\n" if name == "passwd" else "root:x:0:\n", encoding="utf-8")
    own = {"etc/weir.yml": "databases: []\n", "srv/app.db": "the application's", "srv/app.db-weir/state": "the daemon's", "var/lib/weir/x": "y"}
    for name, text in own.items():
        (root / name).write_text(text, encoding="utf-8")

    dpkg(root, "-i", package)
    weir = root / "usr/bin/weir"
    need(f"weir {version} " in run(weir, "--version"), "the version is not that of meson.build")
    need(re.search("^weir:", (root / "etc/passwd").read_text(encoding="utf-8"), re.MULTILINE), "there is no user weir")
    commands = set(re.findall(r"^  ([a-z]+) ", run(weir, "--help"), re.MULTILINE))
    installed = files(root)
    for name in {"lib/systemd/system/weir.service", "lib/systemd/system/weir@.service", "usr/share/man/man5/weir.yml.5.gz",
                 "usr/share/bash-completion/completions/weir", "usr/share/zsh/site-functions/_weir",
                 "usr/share/fish/vendor_completions.d/weir.fish"} | {f"usr/share/man/man1/weir-{c}.1.gz" for c in commands}:
        need(name in installed, f"{name} is missing")
    unit = (root / "lib/systemd/system/weir.service").read_text(encoding="utf-8")
    need("ExecStart=/usr/bin/weir replicate" in unit, "the unit starts something else")
    run("bash", ROOT / "tests/demo/demo.sh", weir)

    for how in ("-r", "-P"):
        dpkg(root, how, "weir")
        for name, text in own.items():
            need((root / name).read_text(encoding="utf-8") == text, f"dpkg {how} took {name}")
    left = {name for name in files(root) if "weir" in name} - set(own)
    need(not left, f"left behind: {sorted(left)}")


def main():
    """The whole."""
    missing = [name for name in ("dpkg-buildpackage", "dh", "lintian") if not shutil.which(name)]
    if missing:
        print(f"no {', '.join(missing)} here: ./dev package installs what is missing")
        sys.exit(77)
    out = pathlib.Path(sys.argv[1]).resolve()
    for old in out.glob("weir*"):
        old.unlink()
    version = re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(encoding="utf-8"), re.MULTILINE)[1]
    run("sh", HERE / "build.sh", out)
    changes, = out.glob(f"weir_{version}_*.changes")
    package, = out.glob(f"weir_{version}_*.deb")
    said = run("lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", SUPPRESSED, changes)
    need(not said.strip(), f"lintian: {said}")
    with tempfile.TemporaryDirectory() as folder:
        install(package, pathlib.Path(folder), version)
    print(package)


if __name__ == "__main__":
    main()
