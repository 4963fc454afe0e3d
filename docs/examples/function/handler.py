#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands for a function: GET tells how many visits there were, POST adds one and answers when it is durable in the replica.

An instance may be frozen, or thrown away, as soon as it has answered.  So what must not be lost is shipped before the answer.
"""

import http.server
import os
import sqlite3
import subprocess

DB = os.environ["WEIR_DB"]


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):  # pylint: disable=invalid-name
        """How many."""
        self.answer(200, str(CONNECTION.execute("SELECT count(*) FROM visit").fetchone()[0]))

    def do_POST(self):  # pylint: disable=invalid-name
        """One more."""
        CONNECTION.execute("INSERT INTO visit(at) VALUES (datetime('now'))")
        done = subprocess.run(["weir", "sync", DB, "--wait", "--timeout", "5s"], check=False, stdout=subprocess.DEVNULL)
        self.answer(201 if done.returncode == 0 else 503, "")  # 503: kept here, but not yet durable

    def answer(self, status, text):
        """Plain text."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


CONNECTION = sqlite3.connect(DB, isolation_level=None, timeout=10)
CONNECTION.execute("PRAGMA journal_mode=WAL")
CONNECTION.execute("CREATE TABLE IF NOT EXISTS visit(id INTEGER PRIMARY KEY, at TEXT NOT NULL)")
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
