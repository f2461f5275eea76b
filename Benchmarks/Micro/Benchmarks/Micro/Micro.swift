// The wheel, the decoder, the table and the hello, one by one. Each iteration does a thousand of the named thing, so that the
// clock's own cost disappears.

import Benchmark
import PeerMesh
import Reactor
import Timers

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput], scalingFactor: .kilo, maxDuration: .seconds(2), maxIterations: 10_000
    )

    wheelBenchmarks()
    wireBenchmarks()
    tableBenchmarks()
}

private let start = Instant(nanoseconds: 1_000_000_000_000)

private func wheelBenchmarks() {
    let size = 100_000

    Benchmark("wheel: arm and cancel among 100,000") { benchmark in
        var wheel = filledWheel(size)
        benchmark.startMeasurement()
        for step in benchmark.scaledIterations {
            wheel.arm(size, at: start + .milliseconds(UInt64(1 + step % 120_000)))
            wheel.cancel(size)
        }
        benchmark.stopMeasurement()
    }

    Benchmark("wheel: extend one of 100,000") { benchmark in
        var wheel = filledWheel(size)
        benchmark.startMeasurement()
        for step in benchmark.scaledIterations {
            wheel.arm(step, at: start + .seconds(UInt64(200 + step)))
        }
        benchmark.stopMeasurement()
    }
}

private func filledWheel(_ size: Int) -> TimerWheel {
    var wheel = TimerWheel(capacity: size + 1, now: start)
    for index in 0..<size {
        wheel.arm(index, at: start + .milliseconds(UInt64(1 + index * 7_919 % 120_000)))
    }
    return wheel
}

private func wireBenchmarks() {
    let wire = TimeWire(network: .reactor)
    let identity = OwnIdentity(
        endpoint: Endpoint("127.0.0.1:24200"), nonce: 42, role: .regular, unixTime: 0, remote: Endpoint(IPAddress(v4: 1), port: 1)
    )

    Benchmark("hello: encode and decode") { benchmark in
        let (frame, peers, reply) = (FrameBuffer(), PeerList(), FrameBuffer())
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations {
            var state = WireState(direction: .inbound)
            frame.removeAll()
            wire.encodeHello(into: frame, state: &state, identity: identity)
            blackHole(isFrame(wire.decode(frame.bytes, state: &state, peers: peers, reply: reply)))
        }
        benchmark.stopMeasurement()
    }

    Benchmark("ping: encode and decode") { benchmark in
        let (frame, peers, reply) = (FrameBuffer(), PeerList(), FrameBuffer())
        var state = WireState(direction: .inbound)
        wire.encodeHello(into: frame, state: &state, identity: identity)
        blackHole(isFrame(wire.decode(frame.bytes, state: &state, peers: peers, reply: reply)))
        benchmark.startMeasurement()
        for step in benchmark.scaledIterations {
            frame.removeAll()
            wire.encodePing(nonce: UInt64(step), unixTime: 0, into: frame, state: &state)
            blackHole(isFrame(wire.decode(frame.bytes, state: &state, peers: peers, reply: reply)))
        }
        benchmark.stopMeasurement()
    }
}

private func isFrame(_ decoded: Decoded) -> Bool {
    switch decoded {
    case .frame: true
    case .more, .broken: false
    }
}

private func tableBenchmarks() {
    Benchmark("table: a peer accepted, greeted, established and ended") { benchmark in
        var settings = MeshSettings(nonce: 1, seed: 1)
        settings.reservedSlots = 0
        var mesh = Mesh(settings, now: start)
        mesh.handle(.start, at: start)
        drain(&mesh)
        let remote = Endpoint(IPAddress(v4: 0x0b00_0001), port: 24_200)
        var now = start
        benchmark.startMeasurement()
        for step in benchmark.scaledIterations {
            now = now + .milliseconds(1)
            mesh.handle(.accepted(ticket: UInt32(step), from: remote), at: now)
            guard case .adopt(_, let link) = mesh.nextAction() else { fatalError("a peer was refused") }
            mesh.handle(.hello(link, Hello(isNative: true, endpoint: remote, nonce: 2)), at: now)
            drain(&mesh)
            mesh.handle(.ended(link, .remoteClosed), at: now)
            drain(&mesh)
        }
        benchmark.stopMeasurement()
    }
}

private func drain(_ mesh: inout Mesh) {
    while mesh.nextAction() != nil {}
    while mesh.nextTransition() != nil {}
}
