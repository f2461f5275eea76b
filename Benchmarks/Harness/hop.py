#!/usr/bin/env python3
"""What a hop onto a loop and back costs, ours and SwiftNIO's: counts, and with `time` the clock, too.

    swift build -c release --package-path Benchmarks/NIO --product hop
    python3 Benchmarks/Harness/hop.py                 # user instructions, system calls and allocations of one hop
    python3 Benchmarks/Harness/hop.py time 21         # the same, then 21 rounds by the clock, the sides in turns

Each count is the difference of two run lengths, divided; the whole process counts, all its threads.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "NIO/.build/release/hop"
HOP = ROOT / "Peers/bin/hop"
SIDES = ["ours", "nio"]
# Two lengths a way. Where every hop wakes a thread, valgrind, which runs one thread at a time, is slow.
WAYS = {"post": (500, 2500), "burst": (6400, 32000), "submit": (500, 2500), "actor": (500, 2500), "pair": (5000, 25000)}


def run(side, way, count, prefix=(), environment=None):
    subprocess.run(
        [*prefix, str(HOP), "count", side, way, str(count)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})},
    )


def instructions(side, way, count, scratch):
    log = scratch / "callgrind"
    run(side, way, count, ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"))
    return int(next(line for line in log.read_text().splitlines() if "Collected :" in line).split(":")[1])


def system_calls(side, way, count, scratch):
    log = scratch / "strace"
    run(side, way, count, ("strace", "-f", "-c", "-U", "name,calls", "-o", str(log)))
    return int(next(line for line in log.read_text().splitlines() if line.startswith("total")).split()[1])


def allocations(side, way, count, scratch):
    path = scratch / "allocations"
    run(side, way, count, environment={"LD_PRELOAD": str(scratch / "malloc-count.so"), "MALLOC_COUNT_FILE": str(path)})
    return int(path.read_text())


def main():
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        source = ROOT / "Tools/malloc-count.c"
        subprocess.run(["clang", "-O2", "-shared", "-fPIC", "-o", str(scratch / "malloc-count.so"), str(source)], check=True)
        # Without debug information, which this age of valgrind cannot read.
        HOP.parent.mkdir(exist_ok=True)
        subprocess.run(["strip", "-S", "-o", str(HOP), str(BUILT)], check=True)
        print(f"{'way':8}{'side':>6}{'instructions':>14}{'system calls':>14}{'allocations':>13}")
        for way, (short, long) in WAYS.items():
            for side in SIDES:
                row = []
                for instrument in (instructions, system_calls, allocations):
                    low, high = instrument(side, way, short, scratch), instrument(side, way, long, scratch)
                    row.append((high - low) / (long - short))
                print(f"{way:8}{side:>6}{row[0]:>14.0f}{row[1]:>14.2f}{row[2]:>13.2f}", flush=True)
    if sys.argv[1:2] == ["time"]:
        subprocess.run([str(HOP), "time", sys.argv[2] if len(sys.argv) > 2 else "21"], check=True)


main()
