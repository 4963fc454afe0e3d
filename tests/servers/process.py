# SPDX-License-Identifier: Apache-2.0
"""What all test servers share: a folder, free ports, and processes that never outlive the test run.

A server's processes are killed by pid at stop().  Should the test run itself be killed, the kernel does it
(PR_SET_PDEATHSIG), and the folder that is left is removed by whoever starts the next server: a folder in use is locked.
"""

import atexit
import contextlib
import ctypes
import fcntl
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
KEPT = set()  # pids of running servers: not left behind, though they outlive a case
PORTS = range(20000, 32000)  # below the ports that the kernel gives to outgoing connections
PREFIX = "weir-server-"
PATIENCE = 300  # seconds, for what takes one or two: only what hangs gets there


class ServerError(Exception):
    """A server cannot be had, or did not start."""


class MissingError(ServerError):
    """Programs that the server consists of are not installed."""


class Port:
    """A port of the loopback address that is ours until close(), whether somebody listens there or not.

    The socket that holds it never listens.  One that is bound to the same port with SO_REUSEADDR may, as servers do it; whoever
    looks for a free port, and the kernel for an outgoing connection, gets another one."""

    def __init__(self):
        chosen = random.SystemRandom()
        while True:
            self._socket = socket.socket()
            try:
                self._socket.bind(("127.0.0.1", chosen.choice(PORTS)))
                break
            except OSError:
                self._socket.close()
        # Not before: two who both had it would get the same port.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number = self._socket.getsockname()[1]

    def close(self):
        """Anybody may have it."""
        self._socket.close()


def free_ports(count):
    """Ports that nobody has at this moment, for programs that do not reuse addresses."""
    held = [Port() for _ in range(count)]
    for port in held:
        port.close()
    return [port.number for port in held]


def states_of(pid):
    """The letters that the kernel gives to the threads of a process; none when it is gone."""
    found = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii", errors="replace") as file:
                found.append(file.read().rpartition(")")[2].split()[0])
    return found


def die_with(parent):
    """For preexec_fn: the child ends when its parent does, however that happens."""
    def in_child():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
    return in_child


def sweep(base):
    """Remove the folders of servers whose test run was killed."""
    for name in os.listdir(base):
        folder = os.path.join(base, name)
        if not name.startswith(PREFIX):
            continue
        try:
            lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or just being made
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # in use
        finally:
            os.close(lock)


def scratch_folder(kind):
    """A new folder, and the descriptor whose lock keeps it from being swept."""
    base = os.environ.get("WEIR_TEST_TMPDIR") or tempfile.gettempdir()
    sweep(base)
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=base)
    lock = os.open(os.path.join(folder, "unlocked"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(os.path.join(folder, "unlocked"), os.path.join(folder, "lock"))
    return folder, lock


class Server:
    """One server and its processes; use with `with`, or start() and stop().  Subclasses fill in `_launch`."""

    kind = "server"
    needs = {}  # program -> Debian package
    region = "us-east-1"
    conditional = True  # of several who create one object, one wins

    def __init__(self):
        self.dir, self._lock = None, None
        self.processes = {}  # name -> Popen
        self._ports = []
        self.endpoint, self.tls_endpoint, self.ca_file = None, None, None
        self.access_key, self.secret_key = None, None

    # --- what a server is made of ------------------------------------------------------------------------------

    def _launch(self):
        raise NotImplementedError

    def path(self, *parts):
        """A path in the server's folder."""
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        """A small file in the folder; returns its path."""
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def ports(self, count):
        """So many ports, which are the server's until it is stopped."""
        taken = [Port() for _ in range(count)]
        self._ports += taken
        return [port.number for port in taken]

    def spawn(self, name, argv, env=None):
        """Start one of the server's processes; what it prints goes to NAME.log in the folder."""
        # The kernel sends the death signal when the *thread* ends that made the child.
        assert threading.current_thread() is threading.main_thread()
        with open(self.path(name + ".log"), "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,  # pylint: disable=consider-using-with
                                       env=dict(os.environ, **(env or {})), cwd=self.dir, preexec_fn=die_with(os.getpid()))
        KEPT.add(process.pid)
        self.processes[name] = process

    def command(self, *argv, env=None, timeout=PATIENCE):
        """Run a program to its end; it must succeed."""
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=self.dir, timeout=timeout,
                                  env=dict(os.environ, **(env or {})), preexec_fn=die_with(os.getpid()), check=False)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.kind}: {' '.join(argv)}: not done after {timeout} s\n{self.logs()}") from None
        if done.returncode != 0:
            raise ServerError(f"{self.kind}: {' '.join(argv)}: exit {done.returncode}\n{done.stderr[-2000:]}\n{self.logs()}")
        return done.stdout

    def wait_http(self, port, path="/", timeout=PATIENCE):
        """Wait until something that speaks HTTP answers there, with any status but a server's failure."""
        end = time.monotonic() + timeout
        while True:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise ServerError(f"{self.kind}: {name} ended with status {process.returncode}\n{self.logs()}")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", path)
                if connection.getresponse().status < 500:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            if time.monotonic() > end:
                raise ServerError(f"{self.kind}: no answer on port {port} after {timeout} s\n{self.logs()}")
            time.sleep(0.03)

    def logs(self):
        """The last lines of every process."""
        parts = []
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(self.path(name), encoding="utf-8", errors="replace") as file:
                    lines = file.read().splitlines()[-12:]
                parts += [f"--- {name}"] + lines if lines else []
        return "\n".join(parts)

    # --- for the tests -----------------------------------------------------------------------------------------

    @classmethod
    def missing(cls):
        """Debian packages that have to be installed first."""
        return sorted({package for program, package in cls.needs.items() if shutil.which(program) is None})

    def start(self):
        """Start it and return it, ready."""
        absent = self.missing()
        if absent:
            raise MissingError(f"{self.kind}: not installed: apt-get install --no-install-recommends {' '.join(absent)}")
        for attempt in range(3):
            self.dir, self._lock = scratch_folder(self.kind)
            try:
                self._launch()
                return self
            except BaseException as error:
                taken = "ddress already in use" in str(error)  # somebody else was faster at a port
                self.stop()
                if not (isinstance(error, ServerError) and taken and attempt < 2):
                    raise
        return None

    def stop(self):
        """Kill its processes, remove its folder.  Nothing of a test server is worth an orderly end."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
            KEPT.discard(process.pid)
        self.processes.clear()
        while self._ports:
            self._ports.pop().close()
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
            os.close(self._lock)
            self.dir = None

    def freeze(self, name):
        """Stop the process of that name in the middle of whatever it does."""
        process = self.processes[name]
        process.send_signal(signal.SIGSTOP)
        while set(states_of(process.pid)) - {"T", "Z"}:  # a thread may be in the midst of something
            time.sleep(0.001)

    def thaw(self, name):
        """Let it go on."""
        self.processes[name].send_signal(signal.SIGCONT)

    def environment(self):
        """The credentials as environment variables."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def url(self, bucket, prefix="", endpoint=None):
        """The URL of a replica on this server, or through a proxy in front of it."""
        where = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        return f"{where}?endpoint={endpoint or self.endpoint}&region={self.region}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


_shared = {}


def shared(kind):
    """The one server of that class in this test run: started at the first call, stopped at the end."""
    if kind not in _shared:
        server = kind().start()
        atexit.register(server.stop)
        _shared[kind] = server
    return _shared[kind]
