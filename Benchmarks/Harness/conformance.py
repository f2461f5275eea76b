"""What every server must do before it is timed. `python3 conformance.py NAME...` or all of them.

Each check talks to a fresh server on loopback. A server that fails one is not measured.
"""

import os
import socket
import struct
import sys
import time

import servers

LIMIT = 8 << 20
HELLO = struct.pack(">I", 32) + bytes([1]) + bytes(range(31))
IDLE_MS = 600


def frame(kind, body):
    return struct.pack(">I", 1 + len(body)) + bytes([kind]) + body


def answer(request):
    return request[:4] + bytes([request[4] | 0x80]) + request[5:]


class Client:
    """A connection with a limit on every wait."""

    def __init__(self, port, small_buffers=False):
        self.socket = socket.socket()
        if small_buffers:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.socket.sendall(data)

    def read(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(min(count - len(data), 1 << 16))
            if not piece:
                raise AssertionError(f"the connection ended after {len(data)} of {count} bytes")
            data += piece
        return bytes(data)

    def read_frame(self):
        """The next answer; a server may ask by itself (a mesh pings), which is none."""
        while True:
            head = self.read(4)
            body = self.read(struct.unpack(">I", head)[0])
            if body[0] & 0x80:
                return head + body

    def expect(self, request):
        got = self.read_frame()
        assert got == answer(request), f"wrong answer: {got[:40].hex()} to {request[:40].hex()}"

    def expect_end(self, reset_is_fine=False):
        """Nothing but the end comes; or requests of the server's own, before it."""
        try:
            while True:
                head = self.socket.recv(1 << 16)
                if not head:
                    return
                assert head[4] & 0x80 == 0, f"an answer where the end was due: {head[:40].hex()}"
        except (ConnectionResetError, BrokenPipeError):
            assert reset_is_fine, "a reset where an end was due"

    def close(self):
        self.socket.close()


def greeted(port, **options):
    client = Client(port, **options)
    client.send(HELLO)
    client.expect(HELLO)
    return client


def check_exchange(port, pid):
    """hello, ping, data; twenty clients at once, one after the other's first word"""
    clients = [greeted(port) for _ in range(20)]
    for client in clients:
        for kind, body in ((2, b"1234567"), (3, b""), (3, bytes(1000))):
            client.send(frame(kind, body))
            client.expect(frame(kind, body))
        client.close()


def check_split(port, pid):
    """a stream cut into single bytes, and many frames in one piece"""
    client = Client(port)
    requests = [HELLO, frame(2, b"abcdefg"), frame(3, b"x" * 70)]
    for byte in b"".join(requests):
        client.send(bytes([byte]))
        time.sleep(0.0005)
    for request in requests:
        client.expect(request)
    many = [frame(3, os.urandom(size % 97)) for size in range(500)]
    stream = b"".join(many)
    for start in range(0, len(stream), 777):
        client.send(stream[start:start + 777])
    for request in many:
        client.expect(request)
    client.close()


def check_large(port, pid):
    """frames of 64 KiB and 4 MiB, whole and in halves, with small ones between"""
    client = greeted(port)
    for size in (65_536, 4 << 20):
        request = frame(3, os.urandom(size - 1))
        client.send(request[:size // 2])
        time.sleep(0.02)
        client.send(request[size // 2:] + frame(2, b"between"))
        # A pong may overtake data.
        got = {client.read_frame(), client.read_frame()}
        assert got == {answer(request), answer(frame(2, b"between"))}, "wrong answers"
    client.close()


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def check_slow_reader(port, pid):
    """a client that does not read is slowed, costs little memory, and loses nothing"""
    client = greeted(port, small_buffers=True)
    before = resident(pid)
    request = frame(3, bytes(65_535))
    client.socket.settimeout(1.0)
    sent = 0
    try:
        while sent < 96 << 20:
            sent += client.socket.send(request[sent % len(request):])
    except TimeoutError:
        pass
    assert sent < 96 << 20, "the server took 96 MiB from a client that reads nothing"
    grown = resident(pid) - before
    assert grown < 48 << 20, f"a client that reads nothing costs {grown >> 20} MiB"
    client.socket.settimeout(20)
    whole = sent // len(request)
    for _ in range(whole):
        client.expect(request)
    client.send(request[sent % len(request):])
    client.expect(request)
    client.close()


def check_bad_length(port, pid):
    """no length, too great a length, an unknown kind, no hello: the connection ends"""
    for start in (b"", HELLO):
        for bad in (0, LIMIT + 1, 0xFFFFFFFF, 0x47455420):
            client = greeted(port) if start else Client(port)
            client.send(struct.pack(">I", bad) + b"\x03" * 8)
            client.expect_end(reset_is_fine=True)
            client.close()
    for bad in (frame(2, b"no hello"), frame(3, bytes(31))):
        client = Client(port)
        client.send(bad)
        client.expect_end(reset_is_fine=True)
        client.close()
    client = greeted(port)
    client.send(frame(9, b"unknown"))
    client.expect_end(reset_is_fine=True)
    client.close()
    client = greeted(port)
    client.close()


def check_half_close(port, pid):
    """what came before the client's end is answered, then the server ends, too"""
    client = greeted(port)
    requests = [frame(3, os.urandom(3000)) for _ in range(100)]
    client.send(b"".join(requests))
    client.socket.shutdown(socket.SHUT_WR)
    for request in requests:
        client.expect(request)
    client.expect_end()
    client.close()


def check_idle(port, pid):
    """silence ends a connection in time; a message puts that off; half a frame does not"""
    silent, active, dribbling = greeted(port), greeted(port), greeted(port)
    began = time.monotonic()
    for step in range(6):
        time.sleep(IDLE_MS / 1000 / 4)
        active.send(frame(2, b"stay up"))
        active.expect(frame(2, b"stay up"))
        if step < 2:
            dribbling.send(b"\0")
    silent.expect_end()
    dribbling.expect_end()
    began = time.monotonic()
    active.expect_end()
    waited = time.monotonic() - began
    assert waited > IDLE_MS / 1000 * 0.5, f"closed {waited:.3f} s after a message"
    assert waited < IDLE_MS / 1000 * 4 + 1, f"closed only {waited:.3f} s after a message"
    for client in (silent, active, dribbling):
        client.close()


CHECKS = [
    check_exchange, check_split, check_large, check_slow_reader, check_bad_length, check_half_close, check_idle,
]


def conforms(peer):
    """Runs all checks; prints what fails. True if nothing does."""
    passed = True
    for check in CHECKS:
        idle = IDLE_MS if check is check_idle else 120_000
        with servers.Server(peer, idle_ms=idle) as server:
            try:
                check(server.port, server.pid)
            except (AssertionError, OSError) as error:
                print(f"  {peer.name}: {check.__name__[6:]}: {error!r}")
                passed = False
    return passed


if __name__ == "__main__":
    wanted = sys.argv[1:]
    chosen = [peer for peer in servers.PEERS if not wanted or peer.name in wanted]
    results = [(peer, conforms(peer)) for peer in chosen]
    for peer, passed in results:
        print(f"{peer.name:12} {'conforms' if passed else 'FAILS'}")
    sys.exit(0 if all(passed for _, passed in results) else 1)
