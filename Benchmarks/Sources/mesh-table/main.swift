// The node's tables and their wheel alone: `mesh-table ROWS` establishes so many peers, without a socket, and takes all of
// them through ping cycles. Prints bytes a row and nanoseconds a ping cycle (a due timer, a ping, its pong, the next
// deadline), as a line of JSON.

import Glibc
import PeerMesh
import Timers

func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Resident bytes of this process.
func resident() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    fgets(&line, 256, file)
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (Int(text.split(separator: " ")[1]) ?? 0) * Int(getpagesize())
}

guard CommandLine.arguments.count == 2, let rows = Int(CommandLine.arguments[1]), rows > 0, rows <= 4_000_000 else {
    print("usage: mesh-table ROWS")
    exit(64)
}
let before = resident()
var settings = MeshSettings(nonce: 1, seed: 1)
settings.maxPeers = UInt32(rows)
settings.bookCapacity = UInt32(rows)
settings.reservedSlots = 0
(settings.outboundSlots, settings.regularPerAddress, settings.regularPerSubnet) = (0, settings.maxPeers, settings.maxPeers)
let start = Instant(nanoseconds: 1_000_000_000)
var mesh = Mesh(settings, now: start)

func endpoint(_ number: Int) -> Endpoint {
    Endpoint(IPAddress(v4: 0x0b00_0000 + UInt32(number)), port: 24_200)
}

mesh.handle(.start, at: start)
while mesh.nextAction() != nil {}

// Each arrives, says a hello of the native dialect that states its source, and is established.
var established = 0
for number in 0..<rows {
    mesh.handle(.accepted(ticket: UInt32(number), from: endpoint(number)), at: start)
    var link: LinkID?
    while let action = mesh.nextAction() {
        if case .adopt(_, let id) = action { link = id }
        if case .refuse(_, let reason) = action { fatalError("\(reason)") }
    }
    guard let link else { fatalError("peer \(number) was refused") }
    let hello = Hello(isNative: true, endpoint: endpoint(number), nonce: UInt64(number) + 2)
    mesh.handle(.hello(link, hello), at: start)
    while let action = mesh.nextAction() {
        if case .up = action { established += 1 }
    }
    while mesh.nextTransition() != nil {}
}
precondition(established == rows, "\(established) of \(rows) were established")
let bytes = resident() - before

// Three turns of pings; the first is not counted.
var clock = start
var pings = 0
var spent: UInt64 = 0
var turns = 0
while turns < 3 {
    let goal = pings + rows
    let begin = now()
    while pings < goal, let deadline = mesh.nextDeadline {
        clock = max(clock, deadline)
        mesh.advance(to: clock)
        while let action = mesh.nextAction() {
            guard case .ping(let link, let nonce) = action else { continue }
            pings += 1
            mesh.handle(.received(link, frames: 1, partial: 0), at: clock)
            mesh.handle(.pong(link, nonce: nonce), at: clock)
        }
        while mesh.nextTransition() != nil {}
    }
    if turns > 0 { spent += now() - begin }
    turns += 1
}
print("{\"rows\": \(rows), \"bytes_per_row\": \(bytes / rows), \"bytes\": \(bytes), \"ping_ns\": \(Double(spent) / Double(2 * rows))}")
