"""Runs suites and writes results.json, results.md and the charts. Started by scripts/bench, which builds everything first."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import conformance
import links
import measure
import report
import servers
import suites
import timers_codec

SUITES = {
    "churn": suites.churn, "links": links.links, "dial": links.dial, "echo": suites.echo, "idle": suites.idle,
    "timers": timers_codec.timers, "storm": links.storm, "codec": timers_codec.codec,
}
# These compare the servers of the table; the rest have subjects of their own.
COMPARED = {"churn", "echo", "idle"}


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except OSError:
        return ""


def machine():
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    packages = ["libuv1-dev", "libevent-dev", "libev-dev", "libasio-dev", "liburing-dev", "librust-tokio-dev", "golang-go", "litecoind"]
    versions = {name: output("dpkg-query", "-W", "-f", "${Version}", name) for name in packages}
    return {
        "processor": processor, "cores": os.cpu_count(), "memory_mib": memory, "kernel": platform.release(),
        "virtual": output("systemd-detect-virt") or "unknown", "libc": " ".join(platform.libc_ver()),
        "compilers": {
            "swift": output("swift", "--version").splitlines()[0] if output("swift", "--version") else "",
            "cc": output("cc", "--version").splitlines()[0], "go": output("go", "version"), "rustc": output("rustc", "--version"),
        },
        "packages": versions, "swift-nio": "2.101.2", "commit": output("git", "rev-parse", "--short", "HEAD"),
        "cpu_governor": output("cat", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not visible",
        "load_average_before": os.getloadavg(),
    }


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures the loop and the node against what people would pick instead.")
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}; all without one")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: under 15 minutes, builds included")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each timed measurement")
    parser.add_argument("--peers", default="", help="comma-separated names, of those that are compared")
    parser.add_argument("--output", default="", help="a folder for the results; Benchmarks/results/DATE without it")
    options = parser.parse_args()
    for name in options.suites:
        if name not in SUITES:
            parser.error(f"no suite '{name}'; there are {', '.join(SUITES)}")
    return options


def earlier(folder):
    """What the same folder holds of other suites stays."""
    path = folder / "results.json"
    return json.loads(path.read_text())["suites"] if path.exists() else {}


def chosen_peers(text):
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    unknown = set(wanted) - {peer.name for peer in servers.PEERS}
    if unknown:
        sys.exit(f"scripts/bench: no peer {', '.join(unknown)}; there are {', '.join(peer.name for peer in servers.PEERS)}")
    return [peer for peer in servers.PEERS if not wanted or peer.name in wanted or peer.name == servers.FLOOR]


def main():
    arguments = parse()
    names = [name for name in SUITES if not arguments.suites or name in arguments.suites]
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    folder = Path(arguments.output) if arguments.output else servers.ROOT / "results" / (date + ("-quick" if arguments.quick else ""))
    folder.mkdir(parents=True, exist_ok=True)
    peers = chosen_peers(arguments.peers)
    data = {"date": date, "quick": arguments.quick, "machine": machine(), "suites": earlier(folder)}
    if COMPARED & set(names):
        print("conformance", flush=True)
        passing = [peer for peer in peers if conformance.conforms(peer)]
        for peer in peers:
            print(f"  {peer.name}: {'conforms' if peer in passing else 'FAILS, and is not measured'}", flush=True)
        peers = passing
        data["conforms"] = [peer.name for peer in peers]
    options = suites.Options(
        quick=arguments.quick, rounds=arguments.rounds, peers=peers, log=lambda line: print(line, flush=True)
    )
    for name in names:
        print(name, flush=True)
        began = time.monotonic()
        measure.Patience.left = 12 if arguments.quick else 200
        data["suites"][name] = SUITES[name](options)
        data["suites"][name]["took_seconds"] = time.monotonic() - began
        show(name, data["suites"][name], folder)
        # After each suite: what is measured is not lost if a later one is cut off.
        save(folder, data)
    print(f"\nresults and charts: {folder}")


def show(name, data, folder):
    text, chart = getattr(report, name)(data)
    print("\n".join(text) + "\n", flush=True)
    for file, svg in chart:
        (folder / f"{file}.svg").write_text(svg)


def save(folder, data):
    (folder / "results.json").write_text(json.dumps(data, indent=1, default=str) + "\n")
    lines = [f"# Results of {data['date']}{' (quick)' if data['quick'] else ''}", "", "```", json.dumps(data["machine"], indent=1), "```"]
    for name, suite in data["suites"].items():
        text, _ = getattr(report, name)(json.loads(json.dumps(suite)))
        lines += ["", f"## {name}", *text]
    (folder / "results.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
