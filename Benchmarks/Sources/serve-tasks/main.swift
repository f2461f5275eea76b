// The compared protocol in tasks, for what comfort costs: `serve-tasks loop|node PORT [IDLE_MILLISECONDS]`.
//
// loop   a task a connection, on the loop's async sockets
// node   a whole node whose events one task takes

import BenchmarkWire
import Glibc
import PeerMesh
import Reactor

/// Answers all whole frames at the front, in place; returns their length, nil if the stream is broken.
func answer(_ bytes: UnsafeMutableRawBufferPointer, isGreeted: inout Bool) -> Int? {
    var done = 0
    while bytes.count - done > 4 {
        let length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: done, as: UInt32.self)))
        let kind = bytes[done + 4]
        guard length > 0, length <= 8 << 20, isGreeted ? kind == 2 || kind == 3 : kind == 1 && length == 32 else { return nil }
        guard bytes.count - done >= 4 + length else { break }
        bytes[done + 4] = kind | 0x80
        isGreeted = true
        done += 4 + length
    }
    return done
}

func serve(_ socket: AsyncSocket) async {
    var isGreeted = false
    var capacity = 4_096
    var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
    defer {
        buffer.deallocate()
        socket.close()
    }
    var count = 0
    while true {
        if count == capacity {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity * 2, alignment: 16)
            larger.copyMemory(from: UnsafeRawBufferPointer(buffer))
            buffer.deallocate()
            (buffer, capacity) = (larger, capacity * 2)
        }
        guard let came = try? await socket.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...])), came > 0 else { return }
        count += came
        guard let done = answer(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), isGreeted: &isGreeted) else { return }
        guard done > 0 else { continue }
        guard (try? await socket.write(UnsafeRawBufferPointer(rebasing: buffer[..<done]))) != nil else { return }
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[done..<count]))
        count -= done
    }
}

func serveLoop(on executor: LoopExecutor, _ here: Endpoint) async throws {
    let listener = try executor.listen(on: here)
    sayReady()
    try await listener.serve { socket in await serve(socket) }
}

func serveNode(on executor: LoopExecutor, _ here: Endpoint) async throws {
    var policies = MeshSettings(nonce: 0x5eed, seed: 0x5eed)
    policies.maxPeers = 1_024
    policies.reservedSlots = 0
    policies.pendingLimit = 128
    policies.pendingPerAddress = 128
    policies.outboundSlots = 0
    policies.regularPerAddress = policies.maxPeers
    policies.regularPerSubnet = policies.maxPeers
    policies.pendingPerSubnet = 128
    var settings = NodeSettings(mesh: policies)
    settings.recordCapacity = 0
    let node = try PeerNode(on: executor, wire: FrameWire(), settings: settings)
    try node.listen(on: here)
    node.start()
    sayReady()
    for await event in node.events {
        if case .received(let link, let type, let body) = event { try? await node.send(body, type: type, to: link) }
    }
}

func sayReady() {
    print("ready \(getpid())")
    fflush(nil)
}

let arguments = CommandLine.arguments
guard (3...4).contains(arguments.count), ["loop", "node"].contains(arguments[1]), let port = UInt16(arguments[2]) else {
    print("usage: serve-tasks loop|node PORT [IDLE_MILLISECONDS]")
    exit(64)
}
let isNode = arguments[1] == "node"
let loop = try EventLoop()
let executor = loop.executor
try loop.run {
    let here = Endpoint(IPAddress(v4: 127, 0, 0, 1), port: port)
    if isNode { try await serveNode(on: executor, here) } else { try await serveLoop(on: executor, here) }
}
