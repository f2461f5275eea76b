"""The suites that need no socket: timers against C and a heap, and both dialects' decoders."""

import json
import statistics
import tempfile
from pathlib import Path

import measure
import servers
from suites import run_tool

TIMERS = {
    "ours": (servers.SWIFT, "timer-wheel", []),
    "C wheel": (servers.BIN, "timers", ["wheel"]),
    "C heap": (servers.BIN, "timers", ["heap"]),
}
OPERATIONS = ["arm", "extend", "move", "cancel", "expire"]


def timers(options):
    """arm, extend, move, cancel, expire, with so many live ones."""
    sizes = [1_000, 100_000] if options.quick else [1_000, 100_000, 1_000_000]
    count = options.count(3, 7)
    data = {"sizes": sizes, "operations": OPERATIONS, "ns": {}, "instructions": {}}
    for size in sizes:
        runs = {name: [] for name in TIMERS}
        for _ in range(count):
            for name, (folder, tool, arguments) in TIMERS.items():
                runs[name].append(json.loads(run_tool(tool, *arguments, str(size), folder=folder)))
        data["ns"][size] = {
            name: {op: measure.spread([run[op] for run in results]) for op in OPERATIONS} for name, results in runs.items()
        }
        options.log(f"  {size} timers")
    data["instructions"] = {name: timer_instructions(name) for name in TIMERS}
    return data


def timer_instructions(name, size=10_000):
    """Of each operation: the run with it twice less the run with it once."""
    folder, tool, arguments = TIMERS[name]
    counts = {}
    for operation in [None, *OPERATIONS]:
        with tempfile.TemporaryDirectory() as scratch:
            log = Path(scratch) / "log"
            prefix = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]
            run_tool(tool, *arguments, str(size), *([operation] if operation else ["none"]), prefix=prefix, folder=folder)
            line = next(line for line in log.read_text().splitlines() if "Collected :" in line)
            counts[operation] = int(line.split(":")[1])
    cost = {operation: (counts[operation] - counts[None]) / size for operation in OPERATIONS}
    # Its run arms, cancels and arms again; the one with `none` arms.
    cost["arm"] -= cost["cancel"]
    return cost


def codec(options):
    """Frames and bytes a second of both dialects, in one piece and in split reads."""
    from links import DIALECTS

    rows = []
    for dialect in ("time", "bitcoin"):
        for body in (100, 1_000, 65_536):
            for chunk in (0, 1_448, 37):
                if chunk == 37 and body > 1_000:
                    continue
                runs = [
                    json.loads(run_tool("codec", dialect, str(body), str(chunk), folder=DIALECTS))
                    for _ in range(options.count(3, 7))
                ]
                rows.append({
                    "dialect": dialect, "body": body, "chunk": chunk,
                    "frames_per_second": measure.spread([run["frames_per_second"] for run in runs]),
                    "bytes_per_second": measure.spread([run["bytes_per_second"] for run in runs]),
                })
        options.log(f"  {dialect}")
    return {"rows": rows}
