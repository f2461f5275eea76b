#!/usr/bin/env python3
"""A node inside asyncio, through ctypes and nothing else.

    LD_LIBRARY_PATH=PREFIX/lib python3 echo.py 127.0.0.1:7004 127.0.0.1:7001

asyncio keeps its own loop; the node's loop is one more descriptor and one more timer of it.
"""
import asyncio
import ctypes
import signal
import sys

lib = ctypes.CDLL("libreactor.so.0")
GREETING, ECHO = 1000, 1001


class LinkInfo(ctypes.Structure):
    _fields_ = [("link", ctypes.c_uint64), ("peer", ctypes.c_char * 64), ("remote", ctypes.c_char * 64),
                ("is_outbound", ctypes.c_uint8), ("is_masternode", ctypes.c_uint8), ("is_native", ctypes.c_uint8),
                ("reserved", ctypes.c_uint8 * 5)]


LINK_UP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(LinkInfo))
LINK_DOWN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(LinkInfo), ctypes.c_char_p)
RECEIVED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t)
WATER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64)
STOPPED = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Callbacks(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("context", ctypes.c_void_p), ("link_up", LINK_UP), ("link_down", LINK_DOWN),
                ("received", RECEIVED), ("high_water", WATER), ("low_water", WATER), ("stopped", STOPPED)]


lib.reactor_loop_timeout.restype = ctypes.c_int64
lib.reactor_node_send.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]


def check(what, error):
    if error < 0:
        text = ctypes.create_string_buffer(128)
        lib.reactor_error_text(error, text, ctypes.c_size_t(128))
        raise SystemExit(f"{what}: {text.value.decode()}")


class Node:
    def __init__(self, ended):
        self.loop, self.node = ctypes.c_void_p(), ctypes.c_void_p()
        check("loop", lib.reactor_loop_create(None, ctypes.byref(self.loop)))
        # Kept as long as the node is: C holds no reference to them.
        self.callbacks = Callbacks()
        lib.reactor_node_callbacks_init(ctypes.byref(self.callbacks))
        self.callbacks.link_up = LINK_UP(self.link_up)
        self.callbacks.link_down = LINK_DOWN(self.link_down)
        self.callbacks.received = RECEIVED(self.received)
        self.callbacks.stopped = STOPPED(lambda context: ended.set())
        check("node", lib.reactor_node_create(self.loop, None, ctypes.byref(self.callbacks), ctypes.byref(self.node)))
        self.wake = None
        asyncio.get_running_loop().add_reader(lib.reactor_loop_backend_fd(self.loop), self.turn)

    def turn(self):
        """One iteration, and a timer for the next one that is due by itself."""
        lib.reactor_loop_run_once(self.loop, 0)
        if self.wake:
            self.wake.cancel()
        left = lib.reactor_loop_timeout(self.loop)
        self.wake = asyncio.get_running_loop().call_later(left / 1e9, self.turn) if left >= 0 else None

    def link_up(self, context, info):
        info = info.contents
        print("up", "->" if info.is_outbound else "<-", (info.peer or info.remote).decode(), flush=True)
        lib.reactor_node_send(self.node, info.link, GREETING, b"hello", 5)

    def link_down(self, context, info, reason):
        print("down", (info.contents.peer or info.contents.remote).decode(), reason.decode(), flush=True)

    def received(self, context, link, kind, data, count):
        body = ctypes.string_at(data, count)
        print("greeted" if kind == GREETING else "echoed", body.decode(), flush=True)
        if kind == GREETING:
            lib.reactor_node_send(self.node, link, ECHO, body, count)

    def close(self):
        asyncio.get_running_loop().remove_reader(lib.reactor_loop_backend_fd(self.loop))
        if self.wake:
            self.wake.cancel()
        lib.reactor_node_destroy(self.node)
        lib.reactor_loop_destroy(self.loop)


async def main(here, *peers):
    ended = asyncio.Event()
    node = Node(ended)
    bound = ctypes.create_string_buffer(64)
    check(here, lib.reactor_node_listen(node.node, here.encode(), bound, ctypes.c_size_t(64)))
    lib.reactor_node_advertise(node.node, bound)
    for peer in peers:
        check(peer, lib.reactor_node_connect(node.node, peer.encode()))
    print("listening on", bound.value.decode(), flush=True)
    lib.reactor_node_start(node.node)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: (lib.reactor_node_shutdown(node.node), node.turn()))
    node.turn()
    await ended.wait()
    node.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("usage: echo.py ADDRESS:PORT [PEER...]")
    asyncio.run(main(*sys.argv[1:]))
