"""`reactor-node top` in a real terminal: what it draws, and that the terminal is as it was however it ends."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from checks import check

NODE = "127.0.0.1:24220"


class Terminal:
    """A pseudo-terminal with `top` in it."""

    def __init__(self, program, socket, columns=80, rows=24):
        self.ours, self.theirs = pty.openpty()
        self.columns, self.rows = columns, rows
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.theirs)
        self.bytes = b""
        self.process = subprocess.Popen([program, "top", "--socket", socket], stdin=self.theirs, stdout=self.theirs, stderr=self.theirs,
                                        start_new_session=True, env={**os.environ, "TERM": "xterm-256color"})

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys):
        os.write(self.ours, keys.encode())

    def read(self, seconds=.1):
        if select.select([self.ours], [], [], seconds)[0]:
            self.bytes += os.read(self.ours, 1 << 16)

    @property
    def lines(self):
        """The last whole frame, without its colours."""
        frames = re.findall(rb"\x1b\[\?2026h(.*?)\x1b\[\?2026l", self.bytes, re.S)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frames[-1].decode()) if frames else ""
        return text.split("\r\n")

    def wait(self, what, limit=90):
        """Waits for a frame; how long it took."""
        began = time.monotonic()
        while not what(self.lines):
            if time.monotonic() - began > limit:
                check("top", False, "never shown; the last frame:\n" + "\n".join(self.lines))
            self.read()
        return time.monotonic() - began

    def end(self, limit=90):
        """Waits for the end: the status, and whether the terminal is as it was."""
        deadline = time.monotonic() + limit
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        self.read()
        is_restored = termios.tcgetattr(self.theirs) == self.before and self.bytes.endswith(b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l")
        return self.process.poll(), is_restored

    def close(self):
        os.close(self.ours)
        os.close(self.theirs)


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="reactor-top-") as folder:
        socket = os.path.join(folder, "control.sock")
        node = subprocess.Popen([program, "run", "--listen", NODE, "--control-socket", socket, "--masternode", "127.0.0.1:24221", "127.0.0.1:24222",
                                 "[2001:db8:1111:2222:3333:4444:5555:6666]:24000"], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 90
            while subprocess.run([program, "status", "--socket", socket], capture_output=True).returncode and time.monotonic() < deadline:
                time.sleep(.1)
            look(program, socket)
            ends(program, socket, node)
        finally:
            node.send_signal(signal.SIGCONT)
            node.kill()
            node.wait()
    without_a_node(program)


def look(program, socket):
    top = Terminal(program, socket)
    top.wait(lambda lines: any("127.0.0.1:24222" in line for line in lines))
    for columns, rows in ((80, 24), (40, 10), (132, 40), (24, 8)):
        top.resize(columns, rows)
        top.wait(lambda lines: len(lines) == rows and "127.0.0.1" in "".join(lines[:6]))
        widest = max(map(len, top.lines))
        check(f"{columns} × {rows}: a frame fits", widest <= columns, f"{len(top.lines)} lines, the widest has {widest} columns")
    top.resize(80, 24)
    top.press("/24222\r")
    top.wait(lambda lines: "1 of 1" in lines[-1])
    top.press("\r")
    top.wait(lambda lines: lines[0].startswith(" 127.0.0.1:24222") and any("wanted     by registry" in line for line in lines))
    check("filter, then enter: why", True, next(line.strip() for line in top.lines if line.startswith(" why ")))
    top.press("\x1b")
    top.wait(lambda lines: "1 of 1" in lines[-1])
    top.press("q")
    status, is_restored = top.end()
    check("q ends, and the terminal is as it was", status == 0 and is_restored, f"status {status}")
    top.close()


def ends(program, socket, node):
    for name, number in (("SIGTERM", signal.SIGTERM), ("SIGINT", signal.SIGINT), ("SIGHUP", signal.SIGHUP)):
        top = Terminal(program, socket)
        top.wait(lambda lines: len(lines) == 24)
        top.process.send_signal(number)
        status, is_restored = top.end()
        check(f"{name} ends, and the terminal is as it was", status == 0 and is_restored, f"status {status}")
        top.close()

    top = Terminal(program, socket)
    top.wait(lambda lines: len(lines) == 24)
    os.close(top.ours)
    os.close(top.theirs)
    check("a connection that is lost ends it", top.process.wait(90) is not None, f"status {top.process.returncode}")

    top = Terminal(program, socket)
    top.wait(lambda lines: len(lines) == 24)
    node.send_signal(signal.SIGSTOP)
    top.wait(lambda lines: any("did not answer" in line for line in lines))
    top.press("?")
    took = top.wait(lambda lines: any("choose a peer" in line for line in lines))
    check("a node that does not answer makes no key wait", took < 2, f"help after {took * 1000:.0f} ms")
    node.send_signal(signal.SIGCONT)
    top.press("x")
    top.wait(lambda lines: "good" in lines[0] or "degraded" in lines[0])
    node.kill()
    top.wait(lambda lines: any("no node answers" in line for line in lines) and "down" in lines[0])
    top.press("q")
    status, is_restored = top.end()
    check("a node that is gone is said, and q still ends", status == 0 and is_restored, f"status {status}")
    top.close()


def without_a_node(program):
    top = Terminal(program, "/nonexistent.sock")
    top.process.wait(90)
    top.read(1)
    text = top.bytes.decode()
    check("without a node: one line, status 69, no screen taken", top.process.returncode == 69 and text.count("\n") == 1 and "\x1b" not in text, text.strip())
    top.close()


if __name__ == "__main__":
    main()
