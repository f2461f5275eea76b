"""The servers that are compared: one table, in one order and with one colour each throughout, and how to run one."""

import itertools
import os
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "Peers" / "bin"
SWIFT = ROOT / ".build" / "release"


@dataclass(frozen=True)
class Peer:
    name: str
    command: tuple
    # On a light ground, on a dark one.
    colours: tuple = ("#888888", "#999999")
    environment: dict = field(default_factory=dict, hash=False)


# Ours first, then the floor, then the others as in the tables.
PEERS = [
    Peer("ours: loop", (str(BIN / "serve-loop"),), ("#c2410c", "#fb923c")),
    Peer("ours: mesh", (str(BIN / "serve-mesh"),), ("#9f1239", "#fb7185")),
    Peer("raw epoll", (str(BIN / "epoll"),), ("#374151", "#d1d5db")),
    Peer("io_uring", (str(BIN / "uring"),), ("#6b7280", "#9ca3af")),
    Peer("libev", (str(BIN / "libev"),), ("#1d4ed8", "#60a5fa")),
    Peer("libuv", (str(BIN / "libuv"),), ("#0e7490", "#22d3ee")),
    Peer("tokio", (str(BIN / "tokio"),), ("#047857", "#34d399")),
    Peer("Asio", (str(BIN / "asio"),), ("#4d7c0f", "#a3e635")),
    Peer("libevent", (str(BIN / "libevent"),), ("#7e22ce", "#c084fc")),
    Peer("Go", (str(BIN / "go"),), ("#0369a1", "#7dd3fc"), {"GOMAXPROCS": "1"}),
    Peer("SwiftNIO", (str(BIN / "nio"),), ("#a16207", "#facc15")),
]
FLOOR = "raw epoll"


def by_name(name):
    return next(peer for peer in PEERS if peer.name == name)


_ports = itertools.count(20_000 + os.getpid() % 4_000)
_ports_lock = threading.Lock()


def free_port():
    """Below the ports that the kernel gives out, and never the same one twice."""
    with _ports_lock:
        for port in _ports:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", 20_000 + port % 12_000))
                    return 20_000 + port % 12_000
                except OSError:
                    continue


# For all alike: blocks of large frames stay with the allocator instead of being new pages each time.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(16 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}


class Server:
    """One running server. `prefix` goes before its command: taskset, valgrind, strace."""

    def __init__(self, peer, idle_ms=120_000, prefix=(), environment=None, arguments=None, port=None):
        self.port = port or free_port()
        tail = arguments if arguments is not None else [str(self.port), str(idle_ms)]
        full = dict(os.environ, **ALLOCATOR, **peer.environment, **(environment or {}))
        self.process = subprocess.Popen(
            [*prefix, *peer.command, *tail], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=full
        )
        line = self.process.stdout.readline().split()
        if len(line) < 2 or line[0] != "ready":
            self.process.kill()
            raise RuntimeError(f"{peer.name} did not start: {line} {self.process.stderr.read()[-2000:]}")
        self.pid = int(line[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Asks it to end, and waits; what it said on standard error is returned."""
        if self.process.poll() is None:
            try:
                os.kill(self.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        try:
            _, errors = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, errors = self.process.communicate()
        return errors
