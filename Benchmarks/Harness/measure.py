"""One run of one server under one load: what it cost, and how much of the machine others used meanwhile."""

import contextlib
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import servers

SERVER_CORE = "0"
LOAD_CORE = str((os.cpu_count() or 2) - 1)
TICK = os.sysconf("SC_CLK_TCK")
LOAD = servers.BIN / "load"

HELLO = "00000020" + "01" + "00" * 31
PING = "00000008" + "02" + "00" * 7


def churn_steps(pings=1):
    return ["be32", f"{HELLO}:81", *[f"{PING}:82"] * pings]


def cpu_seconds(pid):
    """Of all threads that still live, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def user_shares(pids, span):
    """What part of its CPU each process spends in user mode, by samples of its own clock, one in 0.1 ms of its CPU. The kernel's
    ticks do not tell: whoever sleeps most of the time, and wakes at whole milliseconds as they do, is seldom seen by them."""
    with tempfile.TemporaryDirectory() as scratch:
        def record(pid):
            path = Path(scratch) / str(pid)
            command = ["perf", "record", "-q", "-e", "cpu-clock", "-c", "100003", "-p", str(pid), "-o", str(path), "--", "sleep", str(span)]
            return path, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def share(path):
            command = ["perf", "script", "-i", str(path), "-F", "ip"]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            return sum(int(line, 16) >> 63 == 0 for line in lines) / max(len(lines), 1)

        running = [record(pid) for pid in pids]
        for _, process in running:
            assert process.wait() == 0, "perf record failed"
        return [share(path) for path, _ in running]


def user_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICK


def resident_bytes(pid):
    """Exact, by walking the pages: `statm` may be off by some hundred KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Rss:")).split()[1]) * 1024


def busy_seconds():
    """Of the whole machine: all but idle and waiting."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICK


class Foreign:
    """The cores that neither we nor those in `pids` used between `start` and `stop`."""

    def __init__(self, pids):
        self.pids = [*pids, os.getpid()]

    def own(self):
        total = 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                total += cpu_seconds(pid)
        return total

    def start(self):
        self.began, self.busy, self.used = time.monotonic(), busy_seconds(), self.own()

    def stop(self):
        span = time.monotonic() - self.began
        return max(0.0, (busy_seconds() - self.busy - (self.own() - self.used)) / span)


class Load:
    """The load generator, which waits for our word before it begins and before it ends."""

    def __init__(self, arguments, pinned=True):
        prefix = ["taskset", "-c", LOAD_CORE] if pinned else []
        self.process = subprocess.Popen(
            [*prefix, str(LOAD), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().strip() == "begin", f"the load did not start: {arguments}"

    @property
    def pid(self):
        return self.process.pid

    def say(self, line=""):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the load failed"
        return line.strip()

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0, "the load failed"


def pinned(core=SERVER_CORE):
    return ("taskset", "-c", core)


def timed(peer, load_arguments, **options):
    """Runs the load against a fresh server; what both say, the server's CPU and the foreign cores."""
    with servers.Server(peer, prefix=pinned(), **options) as server:
        load = Load([load_arguments[0], server.port, *load_arguments[1:]])
        foreign = Foreign([server.pid, load.pid])
        foreign.start()
        before, user_before = cpu_seconds(server.pid), user_seconds(server.pid)
        load.say()
        result = json.loads(load.answer())
        cpu, user = cpu_seconds(server.pid) - before, user_seconds(server.pid) - user_before
        result |= {"cpu": cpu, "user": user, "foreign": foreign.stop()}
        load.end()
    return result


class Patience:
    """How often a suite may repeat what others disturbed: on a machine that is never calm, it must come to an end."""

    left = 0


def calm(run, limit=0.2, tries=3):
    """Repeats a run that others disturbed; the calmest counts."""
    best = None
    for attempt in range(tries):
        result = run()
        if best is None or result["foreign"] < best["foreign"]:
            best = result
        if best["foreign"] <= limit or Patience.left <= 0:
            break
        Patience.left -= 1
        time.sleep(0.5 * attempt)
    best["calm"] = best["foreign"] <= limit
    return best


def rounds(peers, count, run, log, tries=3):
    """A B C … A B C …: interleaved, so that what changes with time hits all alike. Lists of results by peer's name."""
    results = {peer.name: [] for peer in peers}
    for number in range(count):
        for peer in peers:
            results[peer.name].append(calm(lambda: run(peer), tries=tries))
        log(f"  round {number + 1} of {count}")
    return results


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": values}


def ratio_to(floor, values):
    """The median of the ratio per round, and its 95 % interval (bootstrap, seeded)."""
    ratios = [value / base for value, base in zip(values, floor) if base > 0]
    if not ratios:
        return None
    generator = random.Random(1)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(2000))
    return {"median": statistics.median(ratios), "low": medians[50], "high": medians[1949]}


# --- Counts: they repeat on a busy machine, too -------------------------------------------------------------------------


def instructions(peer, load_arguments, scratch):
    log = Path(scratch) / "callgrind.log"
    prefix = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}")
    run_waves(peer, load_arguments, prefix)
    for line in log.read_text().splitlines():
        if "Collected :" in line:
            return int(line.split(":")[1])
    raise RuntimeError(f"callgrind said nothing of {peer.name}")


def repeated(instrument, tries=3):
    """A runtime of many threads now and then fails under an instrument."""
    def run(*arguments):
        for attempt in range(tries):
            try:
                return instrument(*arguments)
            except (RuntimeError, AssertionError):
                if attempt == tries - 1:
                    raise
    return run


def allocations(peer, load_arguments, scratch):
    path = Path(scratch) / "allocations"
    path.write_text("0\n")
    preload = {} if peer.name == "Go" else {"LD_PRELOAD": str(servers.BIN / "alloc.so")}
    run_waves(peer, load_arguments, (), environment={**preload, "MALLOC_COUNT_FILE": str(path), "MALLOC_COUNT_SIGNAL": "1"})
    return int(path.read_text())


def system_calls(peer, load_arguments, scratch):
    """By name."""
    path = Path(scratch) / "strace"
    run_waves(peer, load_arguments, ("strace", "-f", "-c", "-U", "name,calls", "-o", str(path)))
    calls = {}
    for line in path.read_text().splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[1].isdigit() and fields[0] != "total":
            calls[fields[0]] = int(fields[1])
    return calls


def run_waves(peer, load_arguments, prefix, environment=None):
    with servers.Server(peer, prefix=prefix, environment=environment) as server:
        load = Load([load_arguments[0], server.port, *load_arguments[1:]], pinned=False)
        load.say(str(server.pid))
        load.say(str(server.pid))
        load.answer()
        load.end()


def counted(peer, pings=8, short=128, long=640):
    """Instructions, allocations and system calls a churn cycle, and instructions for one more ping."""
    def per_cycle(instrument):
        with tempfile.TemporaryDirectory() as scratch:
            low = instrument(peer, ["waves", short, 64, *churn_steps()], scratch)
            high = instrument(peer, ["waves", long, 64, *churn_steps()], scratch)
        return low, high

    result = {}
    try:
        low, high = per_cycle(repeated(instructions))
        result["instructions"] = (high - low) / (long - short)
        with tempfile.TemporaryDirectory() as scratch:
            more = repeated(instructions)(peer, ["waves", short, 64, *churn_steps(1 + pings)], scratch)
            most = repeated(instructions)(peer, ["waves", long, 64, *churn_steps(1 + pings)], scratch)
        result["ping_instructions"] = ((most - more) - (high - low)) / (long - short) / pings
    except (RuntimeError, AssertionError, ValueError) as error:
        result["instructions_error"] = str(error)
    low, high = per_cycle(repeated(allocations))
    result["allocations"] = (high - low) / (long - short)
    low, high = per_cycle(repeated(system_calls))
    names = {name: (high[name] - low.get(name, 0)) / (long - short) for name in high}
    result["calls_by_name"] = {name: value for name, value in sorted(names.items()) if abs(value) > 0.005}
    result["calls"] = sum(names.values())
    return result
