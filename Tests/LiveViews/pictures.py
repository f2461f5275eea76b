"""The dashboard's pictures for the docs: looks at the page of the node on 127.0.0.1:24290 until a file exists, then takes them.

    python3 pictures.py watch DIRECTORY FILE     scripts/pictures runs it
    python3 pictures.py render FILE.svg FILE.png one SVG as PNG, to look at it
"""

import os
import sys
import time

from chromium import Chromium


def watch(out, file):
    page = Chromium(width=1280, height=1330, page_files=os.environ.get("REACTOR_PAGE"))
    try:
        page.open("http://127.0.0.1:24290/dashboard")
        page.wait_for("peers.size > 20")
        while not os.path.exists(file):
            page.pump(.5)
        # What needs a look stands first.
        page.run("[...document.querySelectorAll('th button')].find((b) => b.textContent === 'State').click()")
        page.pump(3)
        for scheme in ("light", "dark"):
            page.colours(scheme)
            page.pump(2)
            page.screenshot(os.path.join(out, f"dashboard-{scheme}.png"))
        page.colours("light")
        page.resize(900, 760)
        page.run("why('198.51.100.4:24200')")
        page.wait_for("$('why').open")
        page.pump(1)
        page.screenshot(os.path.join(out, "dashboard-why.png"))
        if page.complaints:
            sys.exit(f"the page complains: {page.complaints[:3]}")
    finally:
        page.close()


def render(svg, png):
    import re
    text = open(svg).read()
    width, height = map(float, re.search(r'width="(\d+)" height="(\d+)"', text).groups())
    page = Chromium(width=int(width), height=int(height))
    try:
        page.open("file://" + os.path.abspath(svg))
        page.screenshot(png)
    finally:
        page.close()


if __name__ == "__main__":
    {"watch": watch, "render": render}[sys.argv[1]](*sys.argv[2:])
