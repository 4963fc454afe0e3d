# SPDX-License-Identifier: Apache-2.0
"""All that a daemon says about itself, looked at together: the status document, the command's text and exit status, metrics,
readiness, health, and what the service manager is told.  They must say the same, whatever that is."""

import json
import os
import re
import socket
import threading

from http_api import HttpDaemon, at_socket
from lib.case import tail, wait_until
from lib.tap import Fail, check

FENCED = 5
ERROR_SHOWN = 200  # characters of a message that every output has room for


class Told:
    """The line that the service manager was told last; it listens all the time."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.status = ""
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            message = self.sock.recv(8192).decode()
            if not message:
                return
            for line in message.split("\n"):
                name, _, value = line.partition("=")
                if name == "STATUS":
                    self.status = value

    def close(self):
        """Nobody is told any more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.sock.getsockname())
        self.thread.join()
        self.sock.close()


class Lights:
    """The outputs of one daemon.  `secrets` are in none of them."""

    def __init__(self, case, text, secrets=(), folder=None, **options):
        self.case, self.secrets, self.folder = case, list(secrets), folder
        self.told = Told(case.path("told"))
        env = {"NOTIFY_SOCKET": case.path("told"), "WEIR_TEST_FAILED_PAUSE": "700ms", **options.pop("env", {})}
        self.daemon = HttpDaemon(case, text, env=env, **options)
        # What it was begun with: the command reads it also while the daemon's own file is broken.
        self.file = case.path("asked.yml")
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)

    # --- asking -------------------------------------------------------------------------------------------------------

    def _command(self, *argv):
        done = self.case.weir("status", *argv, expect=(0, 1, FENCED))
        self._harmless(done.stdout + done.stderr, "weir status")
        return done.returncode, done.stdout

    def _page(self, page):
        answer = self.daemon.get(page)
        self._harmless(answer.text, page)
        return answer

    def _harmless(self, text, where):
        for secret in self.secrets:
            check(secret not in text, f"{where} has a secret: {text}")

    def document(self):
        """The status document."""
        return self._page("/api/v1/status").json()

    def of(self, db):
        """What it says of one database."""
        return next(one for one in self.document()["databases"] if one["path"] == db)

    # --- comparing ----------------------------------------------------------------------------------------------------

    def _database(self, one, metrics, reasons, broken):
        """What the outputs say of a database is what the document says."""
        db, error = one["path"], one["error"]
        label = re.escape(f'{{db="{db}"')

        def figure(name):
            found = re.search(rf"^{name}{label}}} (\S+)$", metrics, re.M)
            return found and float(found[1])
        # A database of a folder may be on its way back from being parked, or not be written yet.
        quiet = self.folder is not None and db.startswith(self.folder) and one["state"] in ("starting", "waiting") and one["ready"]
        yield "ready", one["ready"], error is None and (one["state"] == "replicating" or quiet)
        yield "weir_state", re.findall(rf'^weir_state{label},state="(\w+)"}} 1$', metrics, re.M), [one["state"]]
        yield "weir_error", figure("weir_error"), float(error is not None)
        yield "weir_ready", figure("weir_ready"), float(one["ready"])
        yield "weir_fenced", figure("weir_fenced"), float(one["state"] == "fenced")
        yield "weir_lag_commits", figure("weir_lag_commits") is not None, True
        yield "/readyz", reasons.get(db), None if one["ready"] else (one["state"], plain(error and error["message"]))
        code, text = self._command(db)
        yield "exit status of weir status DB", code, FENCED if one["state"] == "fenced" else int(not one["ready"] or broken)
        # Without local state the command cannot know where the daemon is; that is no green light either.
        if one["state"] == "failed" and not re.search("^  state      failed", text, re.M) and not os.path.exists(db + "-weir/control.sock"):
            return
        yield "state of weir status DB", re.findall(r"^  state      (\w+)", text, re.M), [one["state"]]
        shown = re.findall(r"^  error      (?!at \d)(.*)$", text, re.M)
        yield "error of weir status DB", [plain(line) for line in shown], [plain(error["message"])] if error else []
        if one["state"] in ("replicating", "behind", "spooling") and not (self.folder and db.startswith(self.folder)):
            answer = at_socket(db, "/api/v1/status", path=db).json()["databases"]
            yield "the control socket", [(a["state"], a["ready"]) for a in answer], [(one["state"], one["ready"])]

    def _process(self, document, reasons):
        """What is told of all is what is told of each."""
        wrong = [one for one in document["databases"] if not one["ready"]]
        broken = document["configuration"]["error"]
        blind = [one for one in document["folders"] if one["error"] is not None]
        well = not wrong and broken is None and not blind
        yield "ready", document["ready"], well
        ready = self._page("/readyz")
        yield "/readyz", (ready.status, ready.json()["ready"]), (200 if well else 503, well)
        yield "/readyz: how many", ready.json()["not_ready"], len(wrong) + len(blind) + (broken is not None)
        health = self._page("/healthz")
        yield "/healthz", (health.status, health.text), (200, "ok\n")
        code, text = self._command("-c", self.file)
        yield "exit status of weir status", code, FENCED if any(one["state"] == "fenced" for one in wrong) else int(not well)
        if broken is not None:
            yield "the configuration's error", broken["message"] in text and reasons[document["configuration"]["file"]][1], broken["message"]
        code, text = self._command("-c", self.file, "--json")
        yield "weir status --json", json.loads(text)["ready"], well
        yield "what the service manager is told", "nothing is wrong" in self.told.status, well
        if not well:
            first = ready.json()["reasons"][0]
            yield "whom the service manager is told of", first["path"] in self.told.status, True
            cause = plain(first["error"] or first["state"])[:ERROR_SHOWN]
            yield "what the service manager is told of it", cause in plain(self.told.status) or not cause.isascii(), True

    def _differences(self):
        """(document, differences); the document is None when it changed meanwhile."""
        document = self.document()
        metrics = self._page("/metrics").text
        broken = document["configuration"]["error"] is not None
        reasons = {one["path"]: (one["state"], plain(one["error"])) for one in self._page("/readyz").json()["reasons"]}
        found = [f"{what}: {got!r}, expected {want!r}" for what, got, want in self._process(document, reasons) if got != want]
        if f"weir_configuration_error {int(broken)}" not in metrics:
            found.append("weir_configuration_error")
        for one in document["databases"]:
            found += [f"{one['path']}: {what}: {got!r}, expected {want!r}"
                      for what, got, want in self._database(one, metrics, reasons, broken) if got != want]
        return (document if facts(self.document()) == facts(document) else None), found

    def agree(self):
        """The document, when everything says the same.  What differs for long is a lie."""
        agreed, found = None, []

        def look():
            nonlocal agreed, found
            agreed, found = self._differences()
            return agreed is not None and not found
        try:
            wait_until(look, "everything says the same", pause=0.05)
        except Fail:
            raise Fail("the outputs do not agree:\n" + "\n".join(found) + f"\n{tail(self.daemon.log())}") from None
        return agreed

    # --- the log ------------------------------------------------------------------------------------------------------

    def log_has(self, cause, as_json):
        """Some line of the log, and one alone, tells the cause."""
        text = self.daemon.log()
        self._harmless(text, "the log")
        for line in text.splitlines():
            if as_json:
                fields = json.loads(line)
                check(isinstance(fields, dict), f"a line that is no object: {line}")
                if any(cause in str(value) for value in fields.values()):
                    return True
            elif cause in line.replace('\\"', '"'):
                return True
        return False


def plain(message):
    """Without the names that each try makes anew."""
    return re.sub(r"(\.tmp/[a-z][0-9a-f]+|request tx\S+)", "...", message or "")


def facts(document):
    """What may not change while it is compared."""
    return [(one["path"], one["state"], one["ready"], plain(one["error"] and one["error"]["message"])) for one in document["databases"]] + \
        [document["ready"], document["configuration"]["error"], [one["error"] for one in document["folders"]]]
