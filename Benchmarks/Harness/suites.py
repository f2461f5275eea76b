"""What is measured. A suite is a function of `Options` that returns plain data, for the tables, the charts and the JSON."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import measure
import servers
from measure import Load, churn_steps, rounds, spread, timed


@dataclass
class Options:
    quick: bool = False
    rounds: int = 0
    peers: list = None
    log: object = print

    def count(self, quick, full):
        """Rounds: as asked for, else so many."""
        return self.rounds or (quick if self.quick else full)

    def size(self, quick, full):
        return quick if self.quick else full


def summary(results, value):
    """Per peer: the spread of a value, its ratio to the floor's in the same round, and the noise."""
    floor = [value(run) for run in results.get(servers.FLOOR, [])]
    table = {}
    for name, runs in results.items():
        values = [value(run) for run in runs]
        row = spread(values)
        row["ratio"] = measure.ratio_to(floor, values) if floor else None
        row["foreign"] = spread([run["foreign"] for run in runs])
        row["calm"] = sum(run["calm"] for run in runs)
        table[name] = row
    return table


# --- churn --------------------------------------------------------------------------------------------------------------


def churn(options):
    """connect, hello and answer, ping and pong, close; an idle timer armed, re-armed and cancelled; 64 at once."""
    cycles = options.size(6_000, 30_000)
    results = rounds(
        options.peers, options.count(3, 11), lambda peer: timed(peer, ["cycle", cycles, 64, *churn_steps()]), options.log
    )
    return {
        "cycles": cycles,
        "cpu_us": summary(results, lambda run: run["cpu"] / cycles * 1e6),
        "user_us": summary(results, lambda run: run["user"] / cycles * 1e6),
        "per_second": summary(results, lambda run: cycles / run["seconds"]),
        "counts": counts(options),
    }


def counts(options):
    """In twos: an instrument's numbers do not depend on who else runs."""
    def one(peer):
        result = measure.counted(peer)
        options.log(f"  counted {peer.name}")
        return peer.name, result
    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(one, options.peers))


# --- echo ---------------------------------------------------------------------------------------------------------------


def echo(options):
    """Frames that come back: many small ones in flight, one at a time, and large ones."""
    count = options.count(3, 9)
    small = options.size(400_000, 2_000_000)
    single = options.size(10_000, 50_000)
    medium, large = options.size(2_000, 20_000), options.size(40, 400)
    data = {"messages": small}
    options.log("  64 links × 64 frames of 64 bytes")
    results = rounds(options.peers, count, lambda peer: timed(peer, ["echo", 64, 64, 64, small]), options.log)
    data["cpu_ns"] = summary(results, lambda run: run["cpu"] / run["messages"] * 1e9)
    data["per_second"] = summary(results, lambda run: run["messages"] / run["seconds"])
    options.log("  1 link × 1 frame of 64 bytes")
    results = rounds(options.peers, count, lambda peer: timed(peer, ["echo", 1, 1, 64, single]), options.log)
    data["latency_us"] = summary(results, lambda run: run["p50_us"])
    data["latency_p99_us"] = summary(results, lambda run: run["p99_us"])
    for name, size, messages, links in (("64KiB", 65_536, medium, 8), ("4MiB", 4 << 20, large, 2)):
        options.log(f"  frames of {name}")
        results = rounds(
            options.peers, count, lambda peer: timed(peer, ["echo", links, 1, size, messages]), options.log, tries=2
        )
        data[f"mib_per_second_{name}"] = summary(results, lambda run: run["bytes"] / run["seconds"] / (1 << 20))
        data[f"cpu_ns_per_kib_{name}"] = summary(results, lambda run: run["cpu"] / run["bytes"] * 1024e9)
    return data


# --- idle ---------------------------------------------------------------------------------------------------------------


def idle(options):
    """Links that are silent but for a ping now and then: memory, processor time of a ping, and of silence."""
    sizes = options.size([1_000, 8_000], [1_000, 10_000, 19_000])
    data = {"links": sizes, "peers": {}}
    for peer in options.peers:
        data["peers"][peer.name] = [idle_run(peer, size, options) for size in sizes]
        options.log(f"  {peer.name}")
    for rows in data["peers"].values():
        add_slopes(rows)
    if "ours: mesh" in data["peers"]:
        data["tables"] = tables(options)
        if not options.quick:
            data["five"] = five_processes(options)
    return data


def idle_run(peer, links, options):
    # A node's tables are sized at its start: for what is asked of it.
    arguments = None
    port = servers.free_port()
    if peer.name == "ours: mesh":
        arguments = [str(port), "120000", str(links + 64)]
    with servers.Server(peer, prefix=measure.pinned(), arguments=arguments, port=port) as server:
        before = measure.resident_bytes(server.pid)
        load = Load(["idle", server.port, links, 64])
        load.say()
        time.sleep(0.3)
        resident = measure.resident_bytes(server.pid)
        quiet = measure.cpu_seconds(server.pid)
        span = options.size(2.0, 10.0)
        time.sleep(span)
        quiet = (measure.cpu_seconds(server.pid) - quiet) / span
        turns = 2 if options.quick else 5
        costs = []
        for _ in range(turns):
            cpu = measure.cpu_seconds(server.pid)
            load.say("ping")
            assert load.answer() == "done"
            costs.append((measure.cpu_seconds(server.pid) - cpu) / links * 1e6)
        after = measure.resident_bytes(server.pid)
        load.end()
    return {
        "links": links, "start_bytes": before, "resident_bytes": max(resident, after), "quiet_cores": quiet,
        "ping_us": statistics.median(costs),
    }


def add_slopes(rows):
    """Bytes a link: what the process grew by from the smallest number of links to each other one."""
    first = rows[0]
    for row in rows[1:]:
        row["bytes_per_link"] = (row["resident_bytes"] - first["resident_bytes"]) / (row["links"] - first["links"])


def five_processes(options):
    """95,000 links as five nodes of 19,000, for each of which a load generator holds the other ends."""
    count, links = 5, 19_000
    running = []
    try:
        for _ in range(count):
            port = servers.free_port()
            peer = servers.by_name("ours: mesh")
            server = servers.Server(peer, arguments=[str(port), "120000", str(links + 64)], port=port)
            running.append((server, Load(["idle", server.port, links, 64], pinned=False)))
        cpu = [measure.cpu_seconds(server.pid) for server, _ in running]
        # A round of pings and more, which the other ends answer.
        time.sleep(40)
        used = sum(measure.cpu_seconds(server.pid) for server, _ in running) - sum(cpu)
        resident = sum(measure.resident_bytes(server.pid) for server, _ in running)
        return {"links": count * links, "resident_bytes": resident, "cpu_per_second": used / 40, "ping_interval": 30}
    finally:
        for server, load in running:
            load.process.kill()
            server.end()


def tables(options):
    """The node's table and wheel without sockets."""
    sizes = options.size([100_000], [100_000, 1_000_000])
    return [json.loads(run_tool("mesh-table", str(size))) for size in sizes]


def run_tool(name, *arguments, prefix=None, folder=None):
    command = [*(prefix or measure.pinned()), str((folder or servers.SWIFT) / name), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=900).stdout
