"""The dashboard in a real browser: a node with a thousand peers, and Chromium looking at it. scripts/dashboard-test runs it.

Each check prints what was seen; the first one that fails ends the run with status 1.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from checks import check, figure
from chromium import Chromium
from peers import address

NODE, PORT, CONTROL = "127.0.0.1:24210", 24211, "127.0.0.1:24212"
MASTERNODES, REGULAR = 300, 700


class World:
    """A node and its thousand peers."""

    def __init__(self, program, folder):
        here = os.path.dirname(os.path.abspath(__file__))
        registry = os.path.join(folder, "masternodes")
        self.address = lambda index: f"{address(index)}:{PORT}"
        with open(registry, "w") as file:
            file.writelines(f"{self.address(i)}\n" for i in range(MASTERNODES))
        self.peers = subprocess.Popen(
            [sys.executable, os.path.join(here, "peers.py"), "--node", NODE, "--port", str(PORT), "--masternodes", str(MASTERNODES), "--regular", str(REGULAR)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.peers.stdout.readline().strip() != "ready":
            raise RuntimeError("the peers did not begin")
        self.log = open(os.path.join(folder, "node.log"), "w")
        self.node = subprocess.Popen(
            [program, "run", "--listen", NODE, "--advertise", NODE, "--role", "masternode", "--registry", registry, "--max-peers", "1200", "--control-tcp", CONTROL,
             "--control-socket", os.path.join(folder, "control.sock"), "--pending-limit", "512", "--dial-limit", "256", "--draining-limit", "512",
             "--ping-interval", "5s", "--backoff-initial", "2s", "--backoff-max", "5s", "--log-level", "warning"],
            stdout=self.log, stderr=self.log)

    def tell(self, words):
        self.peers.stdin.write(words + "\n")
        self.peers.stdin.flush()

    def drop(self, index):
        """Ends a link; the peer's address and when, in milliseconds since 1970."""
        self.tell(f"drop {index}")
        _, _, peer, at = self.peers.stdout.readline().split()
        return peer, float(at)

    def end(self):
        for process in (self.node, self.peers):
            process.send_signal(signal.SIGTERM)
            process.wait(90)
        self.log.close()


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))]


# --- What is checked -------------------------------------------------------------------------------------------------------

def fill(world, page):
    """The page shows every peer. The links come one after the other while it looks."""
    page.wait_for("peers.size >= %d" % MASTERNODES)
    world.tell("dial")
    page.wait_for(f"gauges.up >= {MASTERNODES + REGULAR - 5}", limit=180)
    page.wait_for(f"[...peers.values()].filter((p) => p.state === 'established').length >= {MASTERNODES + REGULAR - 5}")
    rows = page.run("document.querySelectorAll('#table tbody tr').length")
    count = page.run("+$('table').getAttribute('aria-rowcount') - 1")
    check("a thousand peers, and lines only for those in sight", count >= MASTERNODES + REGULAR - 5 and rows < 80, f"{count} peers, {rows} lines")


def live(world, page, limit):
    """From a link's end to the changed line on the page."""
    page.run("$('find').value = ''; drawTable()")
    spans = []
    for index in range(5, 15):
        peer = world.address(index)
        page.run(f"""(() => {{
            $('find').value = '{peer}'; drawTable();
            window.seen_ = new Promise((done) => {{
                setTimeout(() => done(1e15), 30000);
                const look = () => {{ const line = lines.get('{peer}'); if (line && line.cells_[2].textContent !== 'established' && line.isConnected) {{ const at = Date.now(); requestAnimationFrame(() => setTimeout(() => done(Date.now()))); }} else requestAnimationFrame(look); }};
                const begin = () => {{ const line = lines.get('{peer}'); if (line && line.cells_[2].textContent === 'established') look(); else setTimeout(begin, 20); }};
                begin();
                window.ready_ = () => lines.get('{peer}') && lines.get('{peer}').cells_[2].textContent === 'established';
            }}); }})()""")
        page.wait_for("ready_()")
        page.pump(.1)
        _, began = world.drop(index)
        spans.append(min(page.run("seen_") - began, 30000))
        if spans[-1] == 30000:
            break
    page.run("$('find').value = ''; drawTable()")
    seen = f"median {statistics.median(spans):.0f} ms, most {max(spans):.0f} ms of {len(spans)}"
    check("a link's end is on the screen within a second", statistics.median(spans) < 1000 and max(spans) < limit, seen)


def smooth(world, page, seconds, rate, limit):
    """Frames and main-thread tasks while links come and go."""
    world.tell(f"churn {rate}")
    page.pump(5)
    page.run("""window.frames_ = []; window.looking_ = true; window.taken_ = 0;
        for (const kind of ['link', 'peer']) { const s = new EventSource('events'); s.addEventListener(kind, () => taken_++); (window.sources_ ||= []).push(s); }
        (() => { let last = performance.now(); const next = (now) => { frames_.push(now - last); last = now; if (looking_) requestAnimationFrame(next); }; requestAnimationFrame(next); })(); 0""")
    page.begin_trace()
    began = time.monotonic()
    # A reader who scrolls, sorts and points while it goes on.
    while time.monotonic() - began < seconds:
        page.run("$('scroll').scrollTop = Math.random() * $('scroll').scrollHeight; 0")
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=300 + int(time.monotonic() * 37) % 200, y=400)
        page.pump(.5)
    page.run("looking_ = false; sources_.forEach((s) => s.close()); 0")
    tasks, within = page.end_trace()
    frames, taken = page.run("frames_.slice(1)"), page.run("taken_")
    world.tell("churn 0")
    wall, processor = [t[0] for t in tasks], [t[1] for t in tasks]
    figure(f"{taken} transitions in {seconds} s, {len(frames)} frames: p50 {percentile(frames, .5):.1f}, p99 {percentile(frames, .99):.1f}, most {max(frames):.1f} ms")
    figure(f"main thread: {len(tasks)} tasks, {sum(processor) / seconds / 10:.1f} % of a processor; wall p99 {percentile(wall, .99):.2f}, most {max(wall):.1f} ms")
    figure("the longest task: " + ", ".join(f"{name} {ms:.1f}" for ms, name in within))
    over = sum(1 for ms in processor if ms > 50)
    check("no task holds the page's main thread for long", max(processor) <= limit,
          f"processor time p50 {percentile(processor, .5):.2f}, p99 {percentile(processor, .99):.2f}, most {max(processor):.1f} ms, {over} over 50 ms")


def focused(page):
    return page.run("(({ id, ariaLabel, textContent, attributes }) => id || ariaLabel || attributes['aria-labelledby']?.value || textContent)(document.activeElement)")


def keyboard(page):
    """From the page's top to a peer's why and back, without a mouse."""
    top = "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex'); scrollTo(0, 0)"
    page.run(top)
    page.press("Tab")
    first = focused(page)
    page.press("Enter")
    page.wait_for("document.activeElement.id === 'table'")
    page.run(top)
    path = []
    while len(path) < 30 and path[-1:] != ["table"]:
        page.press("Tab")
        path.append(focused(page))
    check("Tab reaches the peers, and the skip link does at once", first.startswith("Skip") and path[-1] == "table", " → ".join(path))
    for _ in range(3):
        page.press("ArrowDown")
    page.press("End")
    page.press("ArrowUp")
    chosen = page.run("chosen")
    active = page.run("document.getElementById($('table').getAttribute('aria-activedescendant'))?.cells[0].textContent")
    inside = page.run("(() => { const a = document.getElementById($('table').getAttribute('aria-activedescendant')).getBoundingClientRect(), b = $('scroll').getBoundingClientRect(); return a.top >= b.top && a.bottom <= b.bottom + 1; })()")
    check("the arrows choose a peer, and it is in sight", bool(chosen) and active == chosen and inside, f"{chosen} of {page.run('shown.length')}")
    page.press("Enter")
    page.wait_for("$('why').open")
    title = page.run("$('why-title').textContent")
    check("Enter asks why", title == chosen and page.run("$('why').contains(document.activeElement)"), page.run("$('why-sentence').textContent"))
    page.press("Escape")
    page.wait_for("!$('why').open")
    check("Escape comes back to where one was", focused(page) == "table", focused(page))


CONTRAST = """(() => {
    const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length === 3 ? [...n, 1] : n; };
    const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
    const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
    let worst = [99, ''];
    for (const e of document.querySelectorAll('body *')) {
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length || e.closest('noscript,option,.fresh')) continue;
        const s = getComputedStyle(e), a = light(parse(s.color)), b = light(ground(e)), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (ratio < worst[0]) worst = [ratio, `${e.tagName} '${e.textContent.trim().slice(0, 30)}' ${s.color}`];
    }
    return worst;
})()"""


def readable(page, scheme):
    page.colours(scheme)
    page.pump(.3)
    ratio, where = page.run(CONTRAST)
    check(f"{scheme}: text stands out, 4.5 : 1 or more", ratio >= 4.5, f"least {ratio:.2f} : 1, {where}")


def spoken(page):
    """What a screen reader is told."""
    tree = page.accessibility()
    needs = {"button", "link", "textbox", "searchbox", "combobox", "grid", "table", "image", "img", "dialog", "region", "heading", "columnheader", "row", "cell", "gridcell"}
    must = needs - {"row", "cell", "gridcell"}
    nameless = [(role, name) for role, name, _ in tree if role in must and not name.strip()]
    roles = {}
    for role, _, _ in tree:
        roles[role] = roles.get(role, 0) + 1
    check("everything that can be used or looked at has a name", not nameless, f"{nameless or {r: roles[r] for r in sorted(roles) if r in needs}}")
    words = page.run("$('spoken').textContent")
    # Health, the stream, and the sentence about what came and went; no number that changes every second.
    check("what matters is told when it changes, and nothing else", roles.get("status", 0) == 3, f"{roles.get('status')} live regions; the last sentence: '{words}'")


def clean(page):
    outside = [u for u in page.requests if not u.startswith((f"http://{CONTROL}/", "data:", "about:"))]
    check("no request goes anywhere else", not outside, f"{len(page.requests)} requests, all to the node" if not outside else outside[:5])
    check("nothing is complained of", not page.complaints, page.complaints[:5] or "no error, no warning")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=60, help="how long frames are looked at")
    parser.add_argument("--churn", type=float, default=10, help="links that end each second meanwhile")
    parser.add_argument("--task", type=float, default=50, help="milliseconds of processor time that a task may take")
    parser.add_argument("--page", help="a folder with the page's files, instead of those in the program")
    parser.add_argument("--pictures", help="a folder for screenshots")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reactor-dashboard-") as folder:
        world = World(options.program, folder)
        page = None
        try:
            deadline = time.monotonic() + 90
            page = Chromium(page_files=options.page)
            while subprocess.run([options.program, "status", "--socket", os.path.join(folder, "control.sock")], capture_output=True).returncode:
                if world.node.poll() is not None or time.monotonic() > deadline:
                    sys.exit("the node does not serve: " + open(world.log.name).read())
                time.sleep(.1)
            page.open(f"http://{CONTROL}/dashboard")
            fill(world, page)
            live(world, page, limit=5000)
            smooth(world, page, options.seconds, options.churn, options.task)
            keyboard(page)
            spoken(page)
            for scheme in ("dark", "light"):
                readable(page, scheme)
                if options.pictures:
                    page.resize(1320, 1500)
                    page.pump(1)
                    page.screenshot(os.path.join(options.pictures, f"thousand-{scheme}.png"))
            clean(page)
        except TimeoutError as missing:
            check("the page comes to what the next check looks at", False, missing)
        finally:
            if page:
                page.close()
            world.end()


if __name__ == "__main__":
    main()
