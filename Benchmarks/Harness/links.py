"""The suites of whole links: in both dialects, against litecoind; dialled; cut and restored."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import measure
import servers
from measure import Load, calm, spread

DIALECTS = servers.BIN
CONCURRENT = 16


# --- What the clients say -----------------------------------------------------------------------------------------------


def time_frame(variant, body):
    return struct.pack(">I", 4 + len(body)) + struct.pack("<I", variant) + body


def time_steps():
    """A hello of the native dialect, whose endpoint and nonce are each client's own; a ping. Then the client closes."""
    head = struct.pack(">I", 0x52435452) + struct.pack("<IQ", 2, 7) + b"reactor" + struct.pack("<I", 2344)
    extension = struct.pack(">IBBI", 0x52435452, 1, 4, 0x7F000001) + struct.pack("<HQQB", 30_000, 1 << 32, 0, 0)
    hello = time_frame(10, head + extension)
    port = len(hello) - 19
    ping = time_frame(36, struct.pack("<QqB", 42, 1_700_000_000, 0))
    return ["be32", f"{hello.hex()}@{port}@{port + 2}:0a000000", f"{ping.hex()}:25000000"]


def bitcoin_message(command, body):
    digest = hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    return bytes.fromhex("fabfb5da") + command.ljust(12, b"\0") + struct.pack("<I", len(body)) + digest + body


def bitcoin_steps():
    """version, verack and a ping, as litecoind's own; then the client closes."""
    address = struct.pack("<Q", 0) + b"\0" * 10 + b"\xff\xff" + bytes([127, 0, 0, 1]) + struct.pack(">H", 19_444)
    agent = b"/benchmark:1/"
    version = (
        struct.pack("<iQq", 70_016, 0, int(time.time())) + address + address + struct.pack("<Q", 0xBEEF)
        + bytes([len(agent)]) + agent + struct.pack("<i?", 0, True)
    )
    verack = bitcoin_message(b"verack", b"")
    ping = bitcoin_message(b"ping", struct.pack("<Q", 42))
    return [
        "bitcoin", f"{bitcoin_message(b'version', version).hex()}:{b'verack'.hex()}", f"{(verack + ping).hex()}:{b'pong'.hex()}"
    ]


# --- Servers ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def node(dialect, capacity):
    port = servers.free_port()
    peer = servers.Peer(f"ours: {dialect}", (str(DIALECTS / "serve-dialect"),))
    with servers.Server(peer, prefix=measure.pinned(), arguments=[dialect, str(port), str(capacity)], port=port) as server:
        yield server.port, server.pid


@contextlib.contextmanager
def litecoind(capacity):
    """A regtest daemon on loopback, without a wallet, that dials nobody."""
    folder, port, rpc = tempfile.mkdtemp(), servers.free_port(), servers.free_port()
    command = [
        *measure.pinned(), "litecoind", "-regtest", f"-datadir={folder}", f"-bind=127.0.0.1:{port}", f"-rpcport={rpc}",
        "-dnsseed=0", "-upnp=0", "-discover=0", "-listenonion=0", "-disablewallet", f"-maxconnections={capacity}",
        "-connect=0", "-listen=1", "-printtoconsole=0", "-debuglogfile=/dev/null", "-par=1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        time.sleep(2)
        yield port, process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


SUBJECTS = {
    "ours, native dialect": (lambda size: node("time", size), time_steps),
    "ours, Bitcoin's dialect": (lambda size: node("bitcoin", size), bitcoin_steps),
    "litecoind": (litecoind, bitcoin_steps),
}


# --- links --------------------------------------------------------------------------------------------------------------


def links(options):
    """TCP, both hellos, ping and pong, close, beside so many idle peers."""
    sizes = [0, 1_000] if options.quick else [0, 1_000, 4_000, 10_000]
    count = options.count(2, 7)
    data = {"idle": sizes, "subjects": {name: [] for name in SUBJECTS}}
    for size in sizes:
        runs = {name: [] for name in SUBJECTS if not (name == "litecoind" and size > 4_000)}
        with contextlib.ExitStack() as stack:
            worlds = {name: world(name, size, stack, options) for name in runs}
            for _ in range(count):
                for name, one in worlds.items():
                    runs[name].append(calm(lambda: cycle(one.port, one.pid, one.steps, one.cycles)))
            # At the largest size for some rounds of pings.
            is_last = size == sizes[-1]
            quiet = quiet_cores(worlds, options.size(27.0 if is_last else 1.0, 54.0 if is_last else 20.0))
            talking = talking_cores(worlds, 30.0) if is_last and not options.quick else {}
            for name, one in worlds.items():
                row = {
                    "idle": size, "cpu_us": spread([run["cpu"] / run["cycles"] * 1e6 for run in runs[name]]),
                    "foreign": spread([run["foreign"] for run in runs[name]]),
                    "resident_bytes": measure.resident_bytes(one.pid),
                }
                data["subjects"][name].append(row | quiet[name] | talking.get(name, {}))
        options.log(f"  {size} idle peers")
    for rows in data["subjects"].values():
        for row in rows[1:]:
            row["bytes_per_peer"] = (row["resident_bytes"] - rows[0]["resident_bytes"]) / row["idle"]
    data["calls"] = {name: links_calls(name, options) for name in SUBJECTS if name != "litecoind"}
    return data


@dataclass
class World:
    """A server with its idle peers, which stay until the stack ends."""

    port: int
    pid: int
    steps: list
    cycles: int
    idle: object


def world(name, size, stack, options):
    serve, steps = SUBJECTS[name]
    port, pid = stack.enter_context(serve(size + 256))
    idle = None
    if size > 0:
        # One after the other within an interval of pings, so that these are spread over it as in the long run.
        idle = Load(["idle", port, f"{size}/{max(370, size // 27)}", 64, *steps()], pinned=False)
        stack.callback(idle.process.kill)
        idle.say()
    cycles = options.size(1_500, 8_000)
    if name == "litecoind":
        cycles = max(100, cycles // (10 + size // 40))
    return World(port, pid, steps(), cycles, idle)


def cycle(port, pid, steps, cycles):
    load = Load(["cycle", port, cycles, CONCURRENT, *steps])
    foreign = measure.Foreign([pid, load.pid])
    foreign.start()
    before = measure.cpu_seconds(pid)
    load.say()
    result = json.loads(load.answer())
    # What a daemon's other threads do late is its cost, too.
    time.sleep(0.3)
    result |= {"cpu": measure.cpu_seconds(pid) - before, "foreign": foreign.stop()}
    load.end()
    return result


def cores(worlds, span, key):
    """What each server uses for so long: all cores' worth, and of that in user mode."""
    before = {name: measure.cpu_seconds(one.pid) for name, one in worlds.items()}
    time.sleep(span)
    used = {name: (measure.cpu_seconds(one.pid) - before[name]) / span for name, one in worlds.items()}
    # Afterwards, as samples cost time of their own.
    shares = measure.user_shares([one.pid for one in worlds.values()], span)
    return {
        name: {f"{key}_cores": used[name], f"{key}_user_cores": used[name] * share} for name, share in zip(worlds, shares)
    }


def quiet_cores(worlds, span):
    """While its peers say nothing but the answers to its pings."""
    return cores(worlds, span, "quiet")


def talking_cores(worlds, span):
    """While each of them pings it every 30 s, too, one after the other."""
    for one in worlds.values():
        one.idle.say("talk 30")
        one.idle.answer()
    return cores(worlds, span, "talking")


def links_calls(name, options):
    """System calls of one cycle, and its instructions and allocations: of two lengths, the difference."""
    dialect = "time" if "native" in name else "bitcoin"
    steps = SUBJECTS[name][1]()

    def run(cycles, prefix, environment=None):
        port = servers.free_port()
        peer = servers.Peer(name, (str(DIALECTS / "serve-dialect"),))
        with servers.Server(
            peer, prefix=prefix, arguments=[dialect, str(port), "256"], port=port, environment=environment
        ) as server:
            load = Load(["waves", port, cycles, CONCURRENT, *steps], pinned=False)
            load.say(str(server.pid))
            load.say(str(server.pid))
            load.answer()
            load.end()

    low, high = 64, 320
    with tempfile.TemporaryDirectory() as scratch:
        def instructions(cycles):
            log = Path(scratch) / "callgrind"
            run(cycles, ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"))
            return int(next(line for line in log.read_text().splitlines() if "Collected :" in line).split(":")[1])

        def calls(cycles):
            log = Path(scratch) / "strace"
            run(cycles, ("strace", "-f", "-c", "-U", "name,calls", "-o", str(log)))
            rows = [line.split() for line in log.read_text().splitlines()]
            return sum(int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit() and row[0] != "total")

        def allocations(cycles):
            path = Path(scratch) / "allocations"
            run(cycles, (), {
                "LD_PRELOAD": str(servers.BIN / "alloc.so"), "MALLOC_COUNT_FILE": str(path), "MALLOC_COUNT_SIGNAL": "1"
            })
            return int(path.read_text())

        return {
            instrument.__name__: (instrument(high) - instrument(low)) / (high - low)
            for instrument in (instructions, calls, allocations)
        }


# --- dial ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def black_holes(count):
    """Ports that never answer a SYN: listeners whose queue is full."""
    holes, fillers = [], []
    for _ in range(count):
        hole = socket.socket()
        hole.bind(("127.0.0.1", servers.free_port()))
        hole.listen(0)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(hole.getsockname())
            fillers.append(filler)
        holes.append(hole)
    try:
        yield [hole.getsockname()[1] for hole in holes]
    finally:
        for one in [*fillers, *holes]:
            one.close()


def answering_server():
    """The floor's server, on all of 127.0.0.0/8, on the load's core: here it is the other side."""
    port = servers.free_port()
    arguments = [str(port), "600000", "any"]
    return servers.Server(
        servers.by_name(servers.FLOOR), prefix=measure.pinned(measure.LOAD_CORE), arguments=arguments, port=port
    )


def dialler(*arguments):
    command = [*measure.pinned(), str(servers.SWIFT / "dialler"), *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("ready"), "the dialler did not start"
    return process


def dial(options):
    """The outbound side: dial, greet, close, dial again; alone, and with targets that refuse or never answer."""
    cycles = options.size(4_000, 30_000)
    count = options.count(2, 7)
    kinds = {"all answer": (0, 0), "and 16 refuse, 4 never answer": (16, 4)}
    runs = {name: [] for name in ["C client (the load generator)", *kinds]}
    with answering_server() as server:
        for _ in range(count):
            runs["C client (the load generator)"].append(calm(lambda: client_cycle(server, cycles)))
            for name, (refused, holes) in kinds.items():
                with black_holes(holes) as ports:
                    runs[name].append(calm(lambda: dial_cycle(server, cycles, refused, ports)))
        options.log(f"  {count} rounds")
    return {
        "cycles": cycles,
        "rows": {
            name: {
                "cpu_us": spread([run["cpu"] / run["cycles"] * 1e6 for run in results]),
                "per_second": spread([run["cycles"] / run["seconds"] for run in results]),
                "foreign": spread([run["foreign"] for run in results]),
                "failed": spread([run.get("failed", 0) for run in results]),
            }
            for name, results in runs.items()
        },
    }


def dial_cycle(server, cycles, refused, holes):
    process = dialler("cycle", server.port, cycles, refused, ",".join(map(str, holes)))
    foreign = measure.Foreign([server.pid, process.pid])
    foreign.start()
    process.stdin.write("\n")
    process.stdin.flush()
    result = json.loads(process.stdout.readline())
    # The process has ended its work by now, and its processor time is in its own words.
    result["foreign"] = max(0.0, foreign.stop())
    process.stdin.close()
    process.wait(timeout=60)
    return result


def client_cycle(server, cycles):
    hello = measure.churn_steps()[:2]
    load = Load(["cycle", server.port, cycles, 64, *hello], pinned=False)
    os.sched_setaffinity(load.pid, {int(measure.SERVER_CORE)})
    foreign = measure.Foreign([server.pid, load.pid])
    foreign.start()
    before = measure.cpu_seconds(load.pid)
    load.say()
    result = json.loads(load.answer())
    result |= {"cpu": measure.cpu_seconds(load.pid) - before, "foreign": foreign.stop()}
    load.end()
    return result


# --- storm --------------------------------------------------------------------------------------------------------------


def storm(options):
    """Links cut all at once and restored."""
    size = options.size(2_000, 10_000)
    rates = {"unbounded": 0}
    if not options.quick:
        rates["the default, 64 a second"] = 64
    return {"links": size, "rows": {name: storm_run(size, rate) for name, rate in rates.items()}}


def storm_run(size, rate):
    server = answering_server()
    process = dialler("storm", server.port, size, rate)
    try:
        first = json.loads(process.stdout.readline())
        os.kill(server.pid, 9)
        server.process.wait()
        again = servers.Server(
            servers.by_name(servers.FLOOR), prefix=measure.pinned(measure.LOAD_CORE), port=server.port,
            arguments=[str(server.port), "600000", "any"],
        )
        restored = json.loads(process.stdout.readline())
        again.end()
        return {"first": first, "restored": restored}
    finally:
        process.kill()
        process.wait()
        server.end()
