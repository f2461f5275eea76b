"""Tables for the terminal and for results.md, and which chart shows what."""

import charts
import servers

COUNTED = [
    ("instructions", "user instructions a cycle"), ("ping_instructions", "… for one more ping"), ("allocations", "allocations"),
    ("calls", "system calls"),
]


class Text(str):
    """A cell that is read, not compared: not aligned to its column."""


def table(title, header, rows):
    widths = [max(len(str(row[column])) for row in [header, *rows] if not isinstance(row[column], Text)) for column in range(len(header))]
    lines = ["", f"### {title}", ""]
    for index, row in enumerate([header, *rows]):
        cells = [str(cell) if isinstance(cell, Text) else str(cell).ljust(width) if column == 0 else str(cell).rjust(width) for column, (cell, width) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
        if index == 0:
            lines.append("|" + "|".join("-" * (width + 2) if column == 0 else "-" * (width + 1) + ":" for column, width in enumerate(widths)) + "|")
    return "\n".join(lines)


def spread_cells(row):
    cells = [charts.number(row["median"]), f"{charts.number(row['min'])}–{charts.number(row['max'])}"]
    ratio = row.get("ratio")
    cells.append(f"{ratio['median']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]" if ratio else "–")
    cells.append(f"{row['foreign']['median']:.2f}" if "foreign" in row else "–")
    cells.append(f"{row['calm']} of {len(row['values'])}" if "calm" in row else "–")
    return cells


SPREAD = ["median", "min–max", f"ratio to {servers.FLOOR} [95 %]", "others' cores", "calm rounds"]


def spread_table(title, data):
    return table(title, ["", *SPREAD], [[name, *spread_cells(row)] for name, row in data.items()])


def spread_chart(title, subtitle, unit, data):
    rows = []
    for name, row in data.items():
        ratio = row.get("ratio")
        note = charts.number(row["median"]) + (f"  ({ratio['median']:.2f} ×)" if ratio and name != servers.FLOOR else "")
        rows.append((name, row["median"], row["min"], row["max"], note))
    return charts.bars(title, subtitle, unit, rows)


def churn(data):
    counts = data["counts"]
    rows = []
    for name, row in counts.items():
        rows.append([name, *[charts.number(row[key]) if key in row else "–" for key, _ in COUNTED]])
    calls = [
        [name, Text(", ".join(f"{call} {value:.2f}" for call, value in row["calls_by_name"].items()))] for name, row in counts.items()
    ]
    text = [
        table("churn: counted, a cycle", ["", *[text for _, text in COUNTED]], rows),
        table("churn: system calls by name", ["", "calls a cycle"], calls),
        spread_table("churn: server CPU a cycle, µs", data["cpu_us"]),
        spread_table("churn: of that in user mode, µs (in ticks of the kernel's accounting)", data["user_us"]),
        spread_table("churn: cycles a second", data["per_second"]),
    ]
    def missing(name):
        return "not countable: callgrind does not know its calls" if name == "io_uring" else "not counted: the run failed"

    chart = [
        ("churn-instructions", charts.bars(
            "User instructions of one connection's life", "accept, hello, ping, close, idle timer; counted, the kernel's not included",
            "instructions a cycle (callgrind)",
            [(name, row.get("instructions"), None, None, None if "instructions" in row else missing(name)) for name, row in counts.items()],
        )),
        ("churn-calls", charts.bars(
            "System calls of one connection's life", "counted by strace, 64 connections a wave", "calls a cycle",
            [(name, row["calls"], None, None, f"{row['calls']:.1f}") for name, row in counts.items()],
        )),
        ("churn-allocations", charts.bars(
            "Allocations of one connection's life", "counted by an interposed malloc (Go: its own statistics)", "allocations a cycle",
            [(name, row["allocations"], None, None, f"{row['allocations']:.1f}") for name, row in counts.items()],
        )),
        ("churn-cpu", spread_chart(
            "Processor time of one connection's life", "server only, user and kernel; median, whiskers are min and max",
            "µs of CPU a cycle", data["cpu_us"],
        )),
    ]
    return text, chart


def headline(title):
    return title[0].upper() + title[1:]


def echo(data):
    text, chart = [], []
    titles = {
        "cpu_ns": ("echo, 64 × 64 frames of 64 bytes in flight: server CPU a message", "ns"),
        "per_second": ("echo, 64 × 64 frames in flight: messages a second", "1/s"),
        "latency_us": ("echo, one frame at a time: round trip, median", "µs"),
        "latency_p99_us": ("echo, one frame at a time: round trip, 99th percentile", "µs"),
        "mib_per_second_64KiB": ("echo, frames of 64 KiB: throughput", "MiB/s"),
        "cpu_ns_per_kib_64KiB": ("echo, frames of 64 KiB: server CPU a KiB", "ns"),
        "mib_per_second_4MiB": ("echo, frames of 4 MiB: throughput", "MiB/s"),
        "cpu_ns_per_kib_4MiB": ("echo, frames of 4 MiB: server CPU a KiB", "ns"),
    }
    for key, (title, unit) in titles.items():
        text.append(spread_table(f"{title}, {unit}", data[key]))
    for key, name in (("cpu_ns", "echo-cpu"), ("latency_us", "echo-latency"), ("mib_per_second_64KiB", "echo-64k")):
        title, unit = titles[key]
        chart.append((name, spread_chart(headline(title.split(": ")[1]), title.split(": ")[0], unit, data[key])))
    return text, chart


def idle(data):
    rows, bars = [], []
    for name, runs in data["peers"].items():
        last = runs[-1]
        rows.append([
            name, charts.number(last["bytes_per_link"]), f"{last['resident_bytes'] / 2**20:.1f}", f"{last['ping_us']:.2f}",
            f"{last['quiet_cores'] * 1e3:.3f}",
        ])
        bars.append((name, last["bytes_per_link"], None, None, None))
    links = data["links"]
    text = [table(
        f"idle: {links[-1]:,} links, memory against {links[0]:,}",
        ["", "bytes a link", "resident MiB", "CPU a ping, µs", "CPU when silent, ms/s"], rows,
    )]
    chart = [("idle-memory", charts.bars(
        "Memory of an idle connection", f"resident bytes of the process, {links[-1]:,} links against {links[0]:,}", "bytes a link", bars
    ))]
    if "tables" in data:
        text.append(table("idle: the node's tables alone", ["rows", "bytes a row", "MiB", "ns a ping cycle"], [
            [f"{row['rows']:,}", row["bytes_per_row"], f"{row['bytes'] / 2**20:.0f}", charts.number(row["ping_ns"])] for row in data["tables"]
        ]))
    if "five" in data:
        five = data["five"]
        text.append(table("idle: five nodes", ["links", "resident MiB in all", "CPU ms a second in all, pings every 30 s"], [
            [f"{five['links']:,}", f"{five['resident_bytes'] / 2**20:.0f}", f"{five['cpu_per_second'] * 1e3:.1f}"]
        ]))
    return text, chart


def links(data):
    rows, series = [], {}
    for name, runs in data["subjects"].items():
        series[name] = [next((run["cpu_us"]["median"] for run in runs if run["idle"] == size), None) for size in data["idle"]]
        for run in runs:
            rows.append([
                name, f"{run['idle']:,}", *spread_cells(run["cpu_us"])[:2], f"{run['foreign']['median']:.2f}",
                charts.number(run["bytes_per_peer"]) if "bytes_per_peer" in run else "–", f"{run['quiet_cores'] * 1e3:.2f}",
                *[f"{run[key] * 1e3:.2f}" if key in run else "–" for key in ("quiet_user_cores", "talking_cores", "talking_user_cores")],
            ])
    text = [
        table("links: a whole link's life", [
            "", "idle peers", "CPU a link, µs", "min–max", "others' cores", "bytes a peer", "CPU while they answer pings, ms/s", "of that in user mode",
            "CPU while they ping, too, ms/s", "of that in user mode"
        ], rows),
        table("links: counted, a link", ["", "instructions", "system calls", "allocations"], [
            [name, charts.number(row["instructions"]), f"{row['calls']:.1f}", f"{row['allocations']:.2f}"] for name, row in data["calls"].items()
        ]),
    ]
    chart = [("links", charts.groups(
        "A whole link's life, beside idle peers", "TCP, both hellos, ping and pong, close; server CPU", "µs of CPU a link",
        [f"{size:,} idle peers" for size in data["idle"]], series,
    ))]
    return text, chart


def dial(data):
    rows = [
        [name, *spread_cells(row["cpu_us"])[:2], charts.number(row["per_second"]["median"]), f"{row['foreign']['median']:.2f}",
         charts.number(row["failed"]["median"])] for name, row in data["rows"].items()
    ]
    return [table("dial: connect, hello, close, dial again", [
        "", "CPU a link, µs", "min–max", "links a second", "others' cores", "failed dials"
    ], rows)], []


def storm(data):
    rows = []
    for name, row in data["rows"].items():
        for what in ("first", "restored"):
            run = row[what]
            rows.append([
                f"{name}, {what}", f"{run['seconds']:.2f}", f"{run['cpu']:.3f}", f"{run['dials']:,}", f"{run['peak']:,}"
            ])
    return [table(f"storm: {data['links']:,} links", ["dial rate", "seconds to whole", "CPU s", "dials", "peak dials a second"], rows)], []


def timers(data):
    rows, chart = [], []
    for size, peers in data["ns"].items():
        for name, row in peers.items():
            rows.append([f"{int(size):,} {name}", *[charts.number(row[op]["median"]) for op in data["operations"]]])
        chart.append((f"timers-{size}", charts.groups(
            f"Timers: {int(size):,} live", "nanoseconds an operation, random order", "ns", data["operations"],
            {name: [row[op]["median"] for op in data["operations"]] for name, row in peers.items()},
        )))
    text = [
        table("timers: ns an operation", ["", *data["operations"]], rows),
        table("timers: user instructions an operation (10,000 live)", ["", *data["operations"]], [
            [name, *[charts.number(row[op]) for op in data["operations"]]] for name, row in data["instructions"].items()
        ]),
    ]
    return text, chart[-1:]


def codec(data):
    rows = [
        [f"{row['dialect']}, bodies of {row['body']:,}", "whole" if row["chunk"] == 0 else f"reads of {row['chunk']:,}",
         f"{row['frames_per_second']['median'] / 1e6:.2f}", f"{row['bytes_per_second']['median'] / 2**20:,.0f}"] for row in data["rows"]
    ]
    return [table("codec: one core", ["", "reads", "million frames a second", "MiB a second"], rows)], []
