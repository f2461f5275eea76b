"""A thousand peers in one process: they speak the native dialect, each from an address of its own, and do as they are told.

    python3 peers.py --node 127.0.0.1:24200 --port 24201 --masternodes 300 --regular 700

Prints `ready` when it listens. Reads commands, one a line:
    dial               the regular ones dial the node
    churn RATE         so many links a second end, and come back
    drop N             peer N's link ends; answers `dropped N ADDRESS TIME`, the time in milliseconds since 1970
"""

import argparse
import asyncio
import random
import resource
import struct
import sys
import time

PING, PONG, HANDSHAKE = 36, 37, 10


def address(index):
    """Ten of them in a /24: as many as may be greeting at once."""
    return f"127.{30 + index // 2000}.{index // 10 % 200}.{1 + index % 10}"


def frame(kind, body=b""):
    return struct.pack(">I", 4 + len(body)) + struct.pack("<I", kind) + body


def hello(ip, port, nonce, is_masternode, verdict):
    network = b"reactor"
    body = b"RCTR" + struct.pack("<I", 2) + struct.pack("<Q", len(network)) + network + struct.pack("<I", 2344)
    body += b"RCTR\1\4" + bytes(map(int, ip.split("."))) + struct.pack("<H", port) + struct.pack("<QQB", nonce, int(is_masternode), verdict)
    return frame(HANDSHAKE, body)


class Peer(asyncio.Protocol):
    """One link of one peer."""

    def __init__(self, mesh, index, is_dialler):
        self.mesh, self.index, self.is_dialler = mesh, index, is_dialler
        self.bytes = bytearray()

    def connection_made(self, transport):
        self.transport = transport
        if self.index is None:
            self.index = self.mesh.indices[transport.get_extra_info("sockname")[0]]
        if self.is_dialler:
            transport.write(self.mesh.hello(self.index, 0))

    def data_received(self, data):
        self.bytes += data
        while len(self.bytes) >= 4:
            length = struct.unpack_from(">I", self.bytes)[0]
            if len(self.bytes) < 4 + length:
                return
            body = bytes(self.bytes[4:4 + length])
            del self.bytes[:4 + length]
            self.take(struct.unpack_from("<I", body)[0] if length >= 4 else 0, body[4:])

    def take(self, kind, body):
        if kind == HANDSHAKE:
            if not self.is_dialler:
                self.transport.write(self.mesh.hello(self.index, 1))
            self.mesh.links[self.index] = self
        elif kind == PING:
            # Far ones answer late: each peer has a distance of its own.
            delay = self.mesh.distances[self.index] * random.uniform(1, 1.2)
            asyncio.get_running_loop().call_later(delay, self.transport.write, frame(PONG, body[:17]))

    def connection_lost(self, error):
        if self.mesh.links.get(self.index) is self:
            del self.mesh.links[self.index]
        if self.is_dialler:
            asyncio.get_running_loop().call_later(random.uniform(2, 6), self.mesh.dial, self.index)


class Mesh:
    def __init__(self, options):
        self.host, port = options.node.rsplit(":", 1)
        self.node_port, self.port = int(port), options.port
        self.masternodes, self.count = options.masternodes, options.masternodes + options.regular
        self.indices = {address(i): i for i in range(self.count)}
        self.links, self.rate = {}, 0
        randomness = random.Random(7)
        self.nonces = [randomness.getrandbits(64) for _ in range(self.count)]
        self.distances = [randomness.lognormvariate(-4, .7) for _ in range(self.count)]
        self.tasks = set()

    def hello(self, index, verdict):
        return hello(address(index), self.port, self.nonces[index], index < self.masternodes, verdict)

    def dial(self, index):
        if index not in self.links:
            task = asyncio.get_running_loop().create_task(self.connect(index))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def connect(self, index):
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Peer(self, index, True), self.host, self.node_port, local_addr=(address(index), 0))
        except OSError:
            loop.call_later(2, self.dial, index)

    def drop(self, index):
        if index in self.links:
            self.links[index].transport.close()

    async def churn(self):
        while True:
            await asyncio.sleep(1 / self.rate if self.rate else .2)
            if self.rate and self.links:
                self.drop(random.choice(list(self.links)))

    async def obey(self, line):
        word, *rest = line.split()
        if word == "dial":
            # As fast as they may be greeting at once.
            for index in range(self.masternodes, self.count):
                self.dial(index)
                await asyncio.sleep(.01)
        elif word == "churn":
            self.rate = float(rest[0])
        elif word == "drop":
            print("dropped", rest[0], f"{address(int(rest[0]))}:{self.port}", time.time() * 1000, flush=True)
            self.drop(int(rest[0]))

    async def run(self):
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: Peer(self, None, False), "0.0.0.0", self.port, backlog=1024)
        churning = loop.create_task(self.churn())
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print("ready", flush=True)
        while line := await reader.readline():
            await self.obey(line.decode())
        churning.cancel()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--masternodes", type=int, default=300)
    parser.add_argument("--regular", type=int, default=700)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(Mesh(parser.parse_args()).run())


if __name__ == "__main__":
    main()
