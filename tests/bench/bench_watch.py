# SPDX-License-Identifier: Apache-2.0
"""What a benchmark observes from outside: files that appear in a replica, and a process's memory, CPU and descriptors.

Times are CLOCK_MONOTONIC in nanoseconds, the clock that load.c uses too.
"""
import ctypes
import ctypes.util
import os
import select
import struct
import threading
import time

IN_CREATE, IN_MOVED_TO, IN_ISDIR, IN_NONBLOCK = 0x100, 0x80, 0x40000000, 0o4000
TICKS = os.sysconf("SC_CLK_TCK")


class Arrivals(threading.Thread):
    """Records when each file first has its name below a directory, or below some of its folders (inotify, as soon as the
    kernel tells)."""

    def __init__(self, root, names=("",)):
        super().__init__(daemon=True)
        self.root = root
        self.seen = {}  # path relative to the root -> ns
        self._libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
        self._fd = self._libc.inotify_init1(IN_NONBLOCK)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._dirs, self._watched = {}, set()
        self._ended = False
        os.makedirs(root, exist_ok=True)
        for name in names:
            self._add(os.path.join(root, name) if name else root)
        self.start()

    def _add(self, path):
        wd = self._libc.inotify_add_watch(self._fd, path.encode(), IN_CREATE | IN_MOVED_TO)
        if wd < 0:
            return  # gone again
        self._dirs[wd] = path
        self._watched.add(path)
        with os.scandir(path) as entries:  # what came before the watch stood
            for entry in entries:
                self._note(entry.path, entry.is_dir(follow_symlinks=False))

    def _note(self, path, is_dir):
        if os.path.basename(path).startswith("."):
            return  # temporary files of either tool's making
        if is_dir:
            if path not in self._watched:
                self._add(path)
        else:
            self.seen.setdefault(os.path.relpath(path, self.root), time.monotonic_ns())

    def run(self):
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not self._ended:
            if not poll.poll(200):
                continue
            data, at = os.read(self._fd, 1 << 16), 0
            while at < len(data):
                wd, mask, _, size = struct.unpack_from("iIII", data, at)
                name = data[at + 16 : at + 16 + size].rstrip(b"\0").decode()
                at += 16 + size
                if wd in self._dirs:
                    self._note(os.path.join(self._dirs[wd], name), bool(mask & IN_ISDIR))

    def close(self):
        self._ended = True
        self.join()
        os.close(self._fd)

    def matching(self, pattern):
        """(match, ns) of all files seen so far whose path matches."""
        found = ((pattern.fullmatch(path), ns) for path, ns in list(self.seen.items()))
        return [(m, ns) for m, ns in found if m]

    def newest(self):
        return max(list(self.seen.values()), default=0)


def cpu_seconds(pid):
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fine_cpu_seconds(pid):
    """Processor time of all threads that live now, without the coarse ticks of cpu_seconds()."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptor_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def file_size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


class PeakRss(threading.Thread):
    """The largest RSS of a process that was just started.  What wait4() tells is no use: the kernel counts this process
    in, whose copy the child was before it became the program."""

    def __init__(self, pid, every_s=0.01):
        super().__init__(daemon=True)
        self.pid, self.every_s, self.bytes = pid, every_s, 0
        self._ended = threading.Event()
        self.start()

    def run(self):
        while not self._ended.wait(self.every_s):
            try:
                with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as f:
                    self.bytes = max([self.bytes, *(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM:"))])
            except (FileNotFoundError, ProcessLookupError):
                return  # it ended

    def close(self):
        self._ended.set()
        self.join()
        return self.bytes


class Sampler(threading.Thread):
    """Samples a process (may be None) and a log file: list of (seconds, RSS, descriptors, log size)."""

    def __init__(self, pid, log_path, every_s=0.05):
        super().__init__(daemon=True)
        self.pid, self.log_path, self.every_s = pid, log_path, every_s
        self.samples = []
        self._ended = threading.Event()
        self.start()

    def run(self):
        start = time.monotonic()
        while not self._ended.wait(self.every_s):
            try:
                rss = rss_bytes(self.pid) if self.pid else 0
                fds = descriptor_count(self.pid) if self.pid else 0
            except (FileNotFoundError, ProcessLookupError):
                return  # it ended
            self.samples.append((time.monotonic() - start, rss, fds, file_size(self.log_path)))

    def close(self):
        self._ended.set()
        self.join()
        return self

    def peak(self, column):
        return max((s[column] for s in self.samples), default=0)
