"""Charts as SVG, by hand: light and dark by the reader's preference, axes with units, one colour a peer throughout."""

from html import escape

import servers

WIDTH, ROW, LEFT, RIGHT, TOP = 760, 26, 150, 130, 64

STYLE = """
  .ground { fill: #ffffff } .text { fill: #1f2937 } .faint { fill: #6b7280 }
  .grid { stroke: #e5e7eb } .axis { stroke: #6b7280 } .whisker { stroke: #1f2937 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
  .title { font-size: 15px; font-weight: 600 } .small { font-size: 11.5px }
"""
DARK = """
    .ground { fill: #111827 } .text { fill: #e5e7eb } .faint { fill: #9ca3af }
    .grid { stroke: #374151 } .axis { stroke: #9ca3af } .whisker { stroke: #f9fafb }
"""


def css_class(name):
    return "c-" + "".join(letter if letter.isalnum() else "-" for letter in name)


def colours(names):
    """The two grounds' colours of each name that has some: a peer's own, else one of a fixed few."""
    spare = [("#c2410c", "#fb923c"), ("#374151", "#d1d5db"), ("#1d4ed8", "#60a5fa"), ("#047857", "#34d399")]
    table = {peer.name: peer.colours for peer in servers.PEERS}
    for index, name in enumerate(name for name in names if name not in table):
        table[name] = spare[index % len(spare)]
    return {name: table[name] for name in names}


def head(width, height, title, subtitle, names):
    palette = colours(names)
    light = "".join(f"\n  .{css_class(name)} {{ fill: {pair[0]}; stroke: {pair[0]} }}" for name, pair in palette.items())
    dark = "".join(f"\n    .{css_class(name)} {{ fill: {pair[1]}; stroke: {pair[1]} }}" for name, pair in palette.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}">\n<style>{STYLE}{light}\n  @media (prefers-color-scheme: dark) {{{DARK}{dark}\n  }}\n'
        f'</style>\n<rect class="ground" width="{width}" height="{height}" rx="6"/>\n'
        f'<text class="text title" x="16" y="26">{escape(title)}</text>\n'
        f'<text class="faint small" x="16" y="45">{escape(subtitle)}</text>\n'
    )


def nice_step(top, parts=5):
    raw = top / parts
    power = 10 ** len(str(int(raw))) / 10 if raw >= 1 else 10 ** -(len(f"{raw:.12f}".split(".")[1]) - len(
        f"{raw:.12f}".split(".")[1].lstrip("0")) + 1)
    for factor in (1, 2, 2.5, 5, 10):
        if power * factor >= raw:
            return power * factor
    return power * 10


def number(value):
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def bars(title, subtitle, unit, rows):
    """Horizontal bars: `rows` is a list of (name, value, low, high, note); a value of None has its note alone."""
    top = max([row[3] or row[1] for row in rows if row[1] is not None] or [1]) or 1
    # One outlier must not flatten the rest: the axis ends at four times the third largest, and a longer bar says so.
    ordered = sorted((row[1] for row in rows if row[1] is not None), reverse=True)
    cut = top
    if len(ordered) > 3 and ordered[0] > 4 * ordered[2]:
        cut = 2 * ordered[2]
    step = nice_step(cut)
    height = TOP + ROW * len(rows) + 52
    scale = (WIDTH - LEFT - RIGHT) / cut
    parts = [head(WIDTH, height, title, subtitle, [row[0] for row in rows])]
    bottom = TOP + ROW * len(rows)
    for index in range(int(cut / step + 1e-9) + 1):
        x = LEFT + index * step * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="faint small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number(index * step)}</text>')
    parts.append(f'<text class="faint small" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{bottom + 36}" text-anchor="middle">{escape(unit)}</text>')
    for index, (name, value, low, high, note) in enumerate(rows):
        y = TOP + ROW * index
        parts.append(f'<text class="text" x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        if value is None:
            parts.append(f'<text class="faint small" x="{LEFT + 6}" y="{y + 15}">{escape(note)}</text>')
            continue
        end = min(value, cut) * scale
        parts.append(f'<rect class="{css_class(name)}" x="{LEFT}" y="{y + 2}" width="{max(end, 1):.1f}" height="{ROW - 8}" rx="2"/>')
        if value > cut:
            x = LEFT + end - 14
            parts.append(f'<path class="ground" d="M{x:.1f} {y} l5 0 l-6 {ROW - 4} l-5 0 z"/>')
        elif low is not None and high is not None and high > low:
            x1, x2, mid = LEFT + low * scale, LEFT + min(high, cut) * scale, y + ROW / 2 - 2
            parts.append(f'<line class="whisker" x1="{x1:.1f}" x2="{x2:.1f}" y1="{mid}" y2="{mid}"/>')
            end = max(end, x2 - LEFT)
        parts.append(f'<text class="text small" x="{LEFT + end + 8:.1f}" y="{y + 15}">{escape(note or number(value))}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{TOP - 6}" y2="{bottom}"/>\n</svg>\n')
    return "\n".join(parts)


def groups(title, subtitle, unit, categories, series):
    """Vertical bars in groups, on a logarithmic axis: `series` is {name: [value or None, …]}, one value a category."""
    from math import ceil, floor, log10

    values = [value for line in series.values() for value in line if value and value > 0]
    low, high = floor(log10(min(values))), ceil(log10(max(values)) + 0.05)
    left, top, bottom, right = 70, 84, 320, WIDTH - 24
    parts = [head(WIDTH, 372, title, subtitle, list(series))]

    def y_of(value):
        return bottom - (log10(value) - low) / (high - low) * (bottom - top)

    for power in range(low, high + 1):
        y = y_of(10 ** power)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="faint small" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{10 ** power:,g}</text>')
    parts.append(
        f'<text class="faint small" transform="translate(16 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">{escape(unit)}</text>'
    )
    span = (right - left) / len(categories)
    width = min(46, span * 0.8 / len(series))
    for index, category in enumerate(categories):
        middle = left + span * (index + 0.5)
        parts.append(f'<text class="text small" x="{middle:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(str(category))}</text>')
        for place, (name, line) in enumerate(series.items()):
            value = line[index]
            if not value or value <= 0:
                continue
            x = middle + (place - len(series) / 2) * width
            y = y_of(value)
            parts.append(f'<rect class="{css_class(name)}" x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{bottom - y:.1f}"/>')
            parts.append(f'<text class="text small" x="{x + width / 2:.1f}" y="{y - 4:.1f}" text-anchor="middle">{number(value)}</text>')
    parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    x = left
    for name in series:
        parts.append(f'<rect class="{css_class(name)}" x="{x}" y="58" width="11" height="11" rx="2"/>')
        parts.append(f'<text class="text small" x="{x + 17}" y="68">{escape(name)}</text>')
        x += 34 + 7 * len(name)
    parts.append(f'<text class="faint small" x="{(left + right) / 2}" y="{bottom + 42}" text-anchor="middle">logarithmic axis</text>\n</svg>\n')
    return "\n".join(parts)
