# SPDX-License-Identifier: Apache-2.0
"""The shop's start script: migrate, then serve until SIGTERM.  start.py MIGRATION PORT-FILE

MIGRATION is the one to which this deployment brings the orders; the port that was free is written to PORT-FILE.
"""

import os
import pathlib
import signal
import socketserver
import sys
import threading
from wsgiref import simple_server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django  # noqa: E402  pylint: disable=wrong-import-position,import-error
from django.core.management import call_command  # noqa: E402  pylint: disable=wrong-import-position,import-error
from django.core.wsgi import get_wsgi_application  # noqa: E402  pylint: disable=wrong-import-position,import-error


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """A thread for each request, so each has a connection to the database of its own."""


class Handler(simple_server.WSGIRequestHandler):
    """Quiet."""

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """Nothing."""


def main():
    """Migrate and serve."""
    migration, port_file = sys.argv[1:]
    django.setup()
    for app in ("contenttypes", "auth", "sessions"):
        call_command("migrate", app, verbosity=0, interactive=False)
    call_command("migrate", "orders", migration, verbosity=0, interactive=False)
    server = simple_server.make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Server, handler_class=Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    with open(port_file + ".new", "w", encoding="ascii") as file:
        file.write(str(server.server_port))
    os.rename(port_file + ".new", port_file)
    server.serve_forever(poll_interval=0.05)
    server.server_close()  # waits for the requests under way


main()
