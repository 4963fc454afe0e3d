#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Build the Debian package, look at it, install it, try what was installed, take it away again.

    check.py FOLDER              the package stays in FOLDER
    check.py --tap FOLDER        the same as a test, with a line for each step; FOLDER also keeps what was compiled

As root it is installed by dpkg itself, with dependencies, maintainer scripts and all, into a copy of this system that costs nothing
and is gone afterwards: an overlay over / in a mount namespace.  Where that is not to be had (no root, or a container that may not
mount) it goes into an empty folder, by `dpkg --root`.  The system's own packages are never touched.
"""

import contextlib
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
OWN = {"etc/weir.yml": "databases: []\n", "srv/app.db": "the application's", "srv/app.db-weir/state": "the daemon's", "var/lib/weir/x": "y"}
NO_OVERLAY = 75  # the exit status of a process that could not make one


class Failed(Exception):
    """A claim that does not hold."""


def run(*argv, **options):
    """A command that must succeed; its output."""
    done = subprocess.run([str(a) for a in argv], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n{done.stdout[-8000:]}")
    return done.stdout


def need(condition, message):
    """A claim."""
    if not condition:
        raise Failed(message)


# --- where it is installed --------------------------------------------------------------------------------------------


class Folder:
    """An empty folder.  What the package depends on is not in there, and its scripts run with $DPKG_ROOT."""

    name = "into an empty folder (dpkg --root)"

    def __init__(self, root):
        self.root = self.changed = root
        (root / "var/lib/dpkg").mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "var/lib/dpkg/status").touch()
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="utf-8")
        (root / "etc/group").write_text("root:x:0:\n", encoding="utf-8")

    def dpkg(self, *argv):
        """dpkg in there."""
        prefix = [] if os.geteuid() == 0 else ["fakeroot"]
        return run(*prefix, "dpkg", f"--root={self.root}", "--force-depends", "--force-script-chrootless", *argv)

    def put(self, package):
        """How dpkg is told the package."""
        return package

    def try_it(self):
        """What can be tried of a program whose user is not one of this system."""


class Overlay:
    """This system, with all changes in memory.  In a mount namespace of its own, so it is gone with the process."""

    name = "by dpkg, over a copy of this system"

    def __init__(self, folder):
        def mount(*argv):
            done = subprocess.run(["mount", *map(str, argv)], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode != 0:
                print(f"mount {' '.join(map(str, argv))}: {done.stdout.strip()}")
                sys.exit(NO_OVERLAY)

        mount("-t", "tmpfs", "tmpfs", folder)
        self.root, self.changed = folder / "root", folder / "changed"
        for part in (self.root, self.changed, folder / "work"):
            part.mkdir()
        mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={self.changed},workdir={folder / 'work'}", self.root)
        mount("-t", "tmpfs", "tmpfs", self.root / "run")  # no service manager of this system is to hear of it
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", self.root / "tmp")
        for part in (self.root / "etc/dpkg/dpkg.cfg.d").glob("*"):
            part.unlink()  # images for containers leave manual pages out
        for part in ("proc", "dev"):
            mount("--rbind", f"/{part}", self.root / part)
        # Parts of this system may be on other disks, and so not in the copy; weir itself may be installed.
        there = subprocess.run(["chroot", str(self.root), "dpkg", "-s", "weir"], check=False, capture_output=True)
        if there.returncode == 0 or not (self.root / "usr/bin/dpkg").exists():
            print("this system has weir installed, or is no single file system")
            sys.exit(NO_OVERLAY)

    def inside(self, *argv):
        """A command in there."""
        return run("chroot", self.root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", *argv)

    def dpkg(self, *argv):
        """dpkg in there."""
        return self.inside("dpkg", *argv)

    def put(self, package):
        """A copy that can be seen from inside."""
        shutil.copy(package, self.root / "tmp" / package.name)
        return f"/tmp/{package.name}"

    def try_it(self):
        """As the user that the package made, from its place; and nothing differs from what dpkg installed."""
        need(not self.dpkg("--verify", "weir").strip(), "dpkg --verify finds something")
        need("all good" in self.inside("runuser", "-u", "weir", "--", "weir", "selftest", "--commits", "200"), "weir selftest")
        if (self.root / "usr/bin/man").exists():
            need("/weir.1" in self.inside("man", "-w", "weir"), "man does not find weir(1)")


def files(root):
    """All below a folder."""
    return {str(path.relative_to(root)) for path in pathlib.Path(root).rglob("*") if path.is_symlink() or path.is_file()}


def install(place, package, version):
    """The package does what it should, and leaves what is not its own."""
    root = place.root
    for name, text in OWN.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    before = files(place.changed)

    place.dpkg("-i", place.put(package))
    weir = root / "usr/bin/weir"
    need(f"weir {version} " in run(weir, "--version"), "the version is not that of meson.build")
    need(re.search("^weir:", (root / "etc/passwd").read_text(encoding="utf-8"), re.MULTILINE), "there is no user weir")
    commands = set(re.findall(r"^  ([a-z]+) ", run(weir, "--help"), re.MULTILINE))
    installed = files(place.changed) - before
    for name in {"systemd/system/weir.service", "systemd/system/weir@.service", "usr/share/man/man5/weir.yml.5.gz",
                 "usr/share/bash-completion/completions/weir", "usr/share/zsh/site-functions/_weir",
                 "usr/share/fish/vendor_completions.d/weir.fish"} | {f"usr/share/man/man1/weir-{c}.1.gz" for c in commands}:
        need(any(path.endswith(name) for path in installed), f"{name} is missing")
    unit = (root / "lib/systemd/system/weir.service").read_text(encoding="utf-8")
    need("ExecStart=/usr/bin/weir replicate" in unit, "the unit starts something else")
    run("bash", ROOT / "tests/demo/demo.sh", weir)
    place.try_it()

    for how in ("-r", "-P"):
        place.dpkg(how, "weir")
        for name, text in OWN.items():
            need((root / name).read_text(encoding="utf-8") == text, f"dpkg {how} took {name}")
    left = {name for name in files(place.changed) if "weir" in name} - set(OWN)
    need(not left, f"left behind: {sorted(left)}")


def install_somewhere(package, version):
    """The best place that is to be had; its name."""
    if os.geteuid() == 0 and shutil.which("unshare"):
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", sys.executable, __file__, "--inside", package, version],
                              check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode == 0:
            return Overlay.name
        # unshare itself ends with 1 where it may not do that, before anything of ours has run.
        need(done.returncode == NO_OVERLAY or done.stdout.startswith("unshare: "), done.stdout)
        print(f"# no copy of this system: {done.stdout.strip()}")
    with tempfile.TemporaryDirectory() as folder:
        install(Folder(pathlib.Path(folder)), package, version)
    return Folder.name


def inside(package, version):
    """In a mount namespace of our own."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            install(Overlay(pathlib.Path(folder)), pathlib.Path(package), version)
        finally:
            subprocess.run(["umount", "--recursive", "--lazy", folder], check=False, capture_output=True)


# --- the steps --------------------------------------------------------------------------------------------------------


def build(out, version, keep):
    """(the package, what lintian looks at)."""
    for old in out.glob("weir*"):
        if old.is_file():
            old.unlink()
    run("sh", HERE / "build.sh", out, env=dict(os.environ, **({"WEIR_PACKAGE_TREE": str(out / "tree")} if keep else {})))
    changes, = out.glob(f"weir_{version}_*.changes")
    package, = out.glob(f"weir_{version}_*.deb")
    return package, changes


def steps(out, version, keep):
    """What each of them has to say."""
    package, changes = build(out, version, keep)
    yield f"built {package.name}"
    said = run("lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", SUPPRESSED, changes)
    need(not said.strip(), f"lintian: {said}")
    yield "lintian has nothing to say"
    yield f"installed, tried, and removed without a trace {install_somewhere(package, version)}"
    if not keep:
        print(package)


def main():
    """The whole."""
    tap = sys.argv[1] == "--tap"
    version = re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(encoding="utf-8"), re.MULTILINE)[1]
    if sys.argv[1] == "--inside":
        inside(*sys.argv[2:])
        return
    missing = [name for name in ("dpkg-buildpackage", "dh", "lintian", "fakeroot") if not shutil.which(name)]
    if missing:
        reason = f"no {', '.join(missing)} here: ./dev package installs what is missing"
        print(f"1..0 # SKIP {reason}" if tap else reason)
        sys.exit(0 if tap else 77)
    out = pathlib.Path(sys.argv[2 if tap else 1]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    with contextlib.suppress(BrokenPipeError):
        try:
            for count, text in enumerate(steps(out, version, tap), 1):
                if tap:
                    print(f"ok {count} - {text}", flush=True)
        except Failed as error:
            if not tap:
                sys.exit(f"check.py: {error}")
            print("# " + str(error).replace("\n", "\n# "))
            print(f"not ok {count + 1} - step {count + 1} of 3")
            sys.exit(1)
        if tap:
            print(f"1..{count}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"check.py: {failure}")
