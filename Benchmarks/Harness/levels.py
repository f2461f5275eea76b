"""What each level costs over the one below: one message of 64 bytes and its echo, at the server, counted. Called by scripts/levels."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import servers
from servers import BIN, Peer

LIBRARY = os.environ["REACTOR_C_PREFIX"] + "/lib"
FOR_C = {"LD_LIBRARY_PATH": ":".join([LIBRARY, os.environ["REACTOR_SWIFT_RUNTIME"]])}
HELLO = f"{measure.HELLO}:81"
DATA = "00000040" + "03" + "00" * 63 + ":83"

LEVELS = [
    Peer("raw epoll", (str(BIN / "epoll"),)),
    Peer("the loop, by callbacks", (str(BIN / "serve-loop"),)),
    Peer("the loop, from C", (str(BIN / "reactor-server"),), environment=FOR_C),
    Peer("the loop, in tasks", (str(BIN / "serve-tasks"), "loop")),
    Peer("a node, by callbacks", (str(BIN / "serve-mesh"),)),
    Peer("a node, in tasks", (str(BIN / "serve-tasks"), "node")),
    Peer("libuv's stream", (str(BIN / "libuv"),)),
    Peer("SwiftNIO's pipeline", (str(BIN / "nio"),)),
]


def per_message(peer, instrument, short=64, long=192, messages=8):
    """Cycles of one more message each, less cycles without them: what a connection costs falls out."""
    def run(cycles, count):
        with tempfile.TemporaryDirectory() as scratch:
            return measure.repeated(instrument)(peer, ["waves", cycles, 64, "be32", HELLO, *[DATA] * count], scratch)
    few = run(long, 1) - run(short, 1)
    many = run(long, 1 + messages) - run(short, 1 + messages)
    return (many - few) / (long - short) / messages


def pair(command, environment, tool):
    """Two nodes on one loop: a frame there and its echo back, both ends counted."""
    def run(count):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "out"
            full = dict(os.environ, **servers.ALLOCATOR, **environment)
            if tool == "instructions":
                prefix = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={out}"]
                subprocess.run([*prefix, *command, str(count)], check=True, env=full, stdout=subprocess.DEVNULL)
                return int(re.search(r"Collected : (\d+)", out.read_text()).group(1))
            full |= {"LD_PRELOAD": str(BIN / "alloc.so"), "MALLOC_COUNT_FILE": str(out)}
            subprocess.run([*command, str(count)], check=True, env=full, stdout=subprocess.DEVNULL)
            return int(out.read_text())
    return (run(5_000) - run(1_000)) / 4_000


def main(names):
    print("| a message of 64 bytes and its echo | user instructions | allocations |")
    print("|---|---:|---:|")
    for peer in LEVELS:
        if names and peer.name not in names:
            continue
        counts = [per_message(peer, instrument) for instrument in (measure.instructions, measure.allocations)]
        print(f"| {peer.name} | {counts[0]:,.0f} | {counts[1]:.2f} |", flush=True)
    if names:
        return
    print("\n| two nodes on one loop: a frame of 100 bytes and its echo, both ends | user instructions | allocations |")
    print("|---|---:|---:|")
    for name, command, environment in (
        ("by callbacks", [str(BIN / "node-pair"), "frame"], {}), ("from C", [str(BIN / "reactor-pair")], FOR_C),
    ):
        print(f"| {name} | {pair(command, environment, 'instructions'):,.0f} | {pair(command, environment, 'allocations'):.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
