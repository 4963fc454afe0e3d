# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, asked over the WebDriver protocol: chromedriver speaks HTTP, so the standard library is enough."""

import base64
import http.client
import json
import os
import re
import shutil
import urllib.parse

from lib.case import PATIENCE, wait_until
from lib.tap import Skip

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"tab": "\ue004", "enter": "\ue007", "shift": "\ue008", "escape": "\ue00c", "left": "\ue012", "right": "\ue014",
        "home": "\ue011", "end": "\ue010", "pagedown": "\ue00f", "control": "\ue009"}
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage",
             "--disable-breakpad", "--no-default-browser-check", "--metrics-recording-only", "--password-store=basic",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


class Browser:
    """One window; use with `with`."""

    def __init__(self, case, width=1280, height=900, dark=False):
        driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
        if not driver or not chromium:
            raise Skip("chromium and chromedriver are not there (Debian: chromium, chromium-driver)")
        self.case, self.size, self.dark, self.session = case, (width, height), dark, None
        log = case.path("chromedriver.log")
        with open(log, "wb") as out:
            env = dict(os.environ, HOME=case.path(), TMPDIR=case.path(), XDG_CONFIG_HOME=case.path(), XDG_CACHE_HOME=case.path())
            self.process = case.spawn([driver, "--port=0"], stdout=out, stderr=out, env=env)
        self.port = int(wait_until(lambda: re.search(r"started successfully on port (\d+)", read(log)), "chromedriver listens")[1])
        self.open(chromium)

    def open(self, chromium):
        """A fresh profile."""
        options = {"binary": chromium, "args": ARGUMENTS + [f"--user-data-dir={self.case.path('profile')}", f"--window-size={self.size[0]},{self.size[1]}"],
                   "perfLoggingPrefs": {"enableNetwork": True}}
        answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}}}})
        self.session = answer["sessionId"]
        self.resize(*self.size)
        self.darken(self.dark)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.session:
            self.ask("DELETE", f"/session/{self.session}")
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.case.forget(self.process)

    def ask(self, method, path, body=None):
        """One WebDriver command."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, None if method != "POST" else json.dumps(body or {}), {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def do(self, command, body=None, method="POST"):
        """A command of the session."""
        return self.ask(method, f"/session/{self.session}/{command}", body)

    def cdp(self, command, **params):
        """A command of the developer tools."""
        return self.do("goog/cdp/execute", {"cmd": command, "params": params})

    def resize(self, width, height, mobile=False):
        """The viewport; a phone has touch, and two pixels for one."""
        self.size = (width, height)
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if mobile else 1, mobile=mobile)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def darken(self, dark):
        """What the system is said to prefer."""
        self.dark = dark
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def go(self, url):
        """Open a page."""
        self.do("url", {"url": url})

    def js(self, script, *args):
        """Run a function's body."""
        return self.do("execute/sync", {"script": script, "args": list(args)})

    def text(self, css):
        """The text of an element, "" when there is none."""
        return self.js("const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", css)

    def attribute(self, css, name):
        """An attribute of an element, None when there is none."""
        return self.js("const e = document.querySelector(arguments[0]); return e && e.getAttribute(arguments[1])", css, name)

    def element(self, css):
        """A reference to an element."""
        return self.do("element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css):
        """A click in its middle, as a person does."""
        self.do(f"element/{self.element(css)}/click")

    def type(self, css, text):
        """Replace the content of a field."""
        element = self.element(css)
        self.do(f"element/{element}/clear")
        self.do(f"element/{element}/value", {"text": text})

    def press(self, *keys):
        """Keys, one after the other, wherever the focus is; "shift+tab" holds one."""
        actions = []
        for key in keys:
            parts = [KEYS.get(part, part) for part in key.split("+")] if len(key) > 1 else [key]
            actions += [{"type": "keyDown", "value": part} for part in parts] + [{"type": "keyUp", "value": part} for part in reversed(parts)]
        self.do("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def point(self, css, x, y, kind="mouse"):
        """Press and release at a place relative to the middle of an element."""
        move = {"type": "pointerMove", "duration": 0, "x": x, "y": y, "origin": {ELEMENT: self.element(css)}}
        self.do("actions", {"actions": [{"type": "pointer", "id": kind, "parameters": {"pointerType": kind},
                                         "actions": [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]}]})

    def log(self, kind):
        """What came into a log since the last look: "browser" or "performance"."""
        return self.do("se/log", {"type": kind})

    def requested(self):
        """URLs that were asked for since the last look."""
        events = [json.loads(line["message"])["message"] for line in self.log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def screenshot(self, path, whole=False):
        """A PNG of the viewport, or of the whole page: for people, who want to see what a test sees."""
        data = self.cdp("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as out:
            out.write(base64.b64decode(data))


def read(path):
    """A log as it is so far."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def host_of(url):
    """host:port."""
    return urllib.parse.urlsplit(url).netloc
