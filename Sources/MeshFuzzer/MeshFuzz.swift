// One node's core under any order of strangers' and operators' events. After each the invariants are asked; at the end the state is
// written out and read back.

import PeerMesh
import Timers

/// Runs scripts of events.
public enum MeshFuzz {
    /// The nonce of the node under test.
    public static let ownNonce: UInt64 = 99

    /// Runs the script that `bytes` are. The first promise that was broken, in words; nil if none was.
    public static func run(_ bytes: [UInt8]) -> String? {
        var node = FuzzNode(EventScript(bytes))
        return node.run()
    }
}

struct FuzzNode: ~Copyable {
    private var script: EventScript
    private var mesh: Mesh
    private var driver: FuzzDriver
    private var now = Instant(nanoseconds: 1_000_000_000_000)
    private var tickets: UInt32 = 0
    private var broken: String?
    /// A longer script teaches nothing that a shorter one does not.
    private static let longest = 400

    init(_ script: consuming EventScript) {
        var script = script
        let settings = script.settings()
        mesh = Mesh(settings, now: now)
        driver = FuzzDriver(capacity: Int(settings.linkCapacity))
        self.script = script
    }

    mutating func run() -> String? {
        tell(.ownEndpoint(script.optionalEndpoint()))
        tell(.start)
        var steps = 0
        while broken == nil, !script.isAtEnd, steps < Self.longest {
            step()
            steps += 1
        }
        return broken ?? writtenOut()
    }

    private mutating func step() {
        switch script.number(below: 37) {
        case 0, 1: accept()
        case 2, 3: greetNewcomer()
        case 4, 5: answerDial()
        case 6: tell(.hello(link(), script.hello()))
        case 7: tell(.connected(link()))
        case 8: tell(.dialFailed(link(), script.reason()))
        case 9, 10: tell(.received(link(), frames: UInt32(script.number(below: 2)), partial: UInt32(script.number(below: 2)) * 500))
        case 11: tell(.sent(link(), bytes: UInt32(script.byte()) << 6, controlEmpty: script.flag()))
        case 12: tell(.ended(link(), script.reason()))
        case 13: tell(.ping(link(), nonce: 1))
        case 14: pong()
        case 15: tell(.asked(link()))
        case 16: tell(.learnt(link(), script.endpoint()))
        case 17: tell(.registered(script.endpoint()))
        case 18: tell(.unregistered(script.endpoint()))
        case 19: tell(.connect(script.endpoint()))
        case 20: tell(.disconnect(script.endpoint()))
        case 21: tell(.moved(from: script.endpoint(), to: script.endpoint()))
        case 22: tell(.redial(script.endpoint()))
        case 23: tell(.ban(script.subnet(), until: now + script.span(), by: script.flag() ? .operator : .automatic))
        case 24: tell(.unban(script.subnet()))
        case 25: tell(.trust(script.subnet()))
        case 26: tell(.untrust(script.subnet()))
        case 27: tell(.recalled(script.endpoint(), script.recollection(at: now)))
        case 28: tell(.ownEndpoint(script.optionalEndpoint()))
        case 29: if script.byte() == 0x55 { tell(.shutdown) }
        case 30: renumber()
        case 31: now = now + script.span()  // What is ready is told before what is due.
        case 32, 33: toNextDeadline()
        case 34: tell(.reading(link(), script.flag()))
        default: wait(script.span())
        }
    }

    /// Any slot of the table; of an older generation now and then.
    private mutating func link() -> LinkID {
        let number = script.byte()
        let id = driver.link(Int(number & 0x3f) % driver.standings.count)
        return number & 0xc0 == 0xc0 ? LinkID(slot: id.slot, generation: id.generation &- 1) : id
    }

    private mutating func accept() {
        tickets += 1
        let remote = Endpoint(script.address(), port: UInt16(40_000 + tickets % 20_000))
        tell(.accepted(ticket: tickets, from: remote), ticket: tickets)
    }

    /// The longer ways in a step: what a fuzzer would find by luck alone.
    private mutating func greetNewcomer() {
        accept()
        guard broken == nil, let id = newestOpen() else { return }
        tell(.hello(id, script.hello()))
    }

    private mutating func answerDial() {
        guard let id = newestOpen() else { return }
        tell(.connected(id))
        tell(.hello(id, script.hello()))
    }

    private func newestOpen() -> LinkID? {
        driver.standings.lastIndex(of: .open).map { driver.link($0) }
    }

    private mutating func pong() {
        let id = link()
        tell(.pong(id, nonce: driver.pings[Int(id.slot)] &+ (script.number(below: 4) == 0 ? 1 : 0)))
    }

    private mutating func renumber() {
        var settings = mesh.settings
        script.renumber(&settings)
        mesh.apply(settings, at: now)
        check("settings applied", ticket: nil)
    }

    private mutating func tell(_ event: Event, ticket: UInt32? = nil) {
        guard broken == nil else { return }
        mesh.handle(event, at: now)
        check("\(event)", ticket: ticket)
    }

    private mutating func toNextDeadline() {
        guard let deadline = mesh.nextDeadline else { return }
        now = max(now, deadline)
        advance()
    }

    /// Deadline by deadline, for a while; then in one leap, as after a long stall.
    private mutating func wait(_ span: Nanoseconds) {
        let end = now + span
        for _ in 0..<32 {
            guard broken == nil, let deadline = mesh.nextDeadline, deadline <= end else { break }
            now = max(now, deadline)
            advance()
        }
        now = end
        advance()
    }

    private mutating func advance() {
        mesh.advance(to: now)
        check("advanced", ticket: nil)
    }

    private mutating func check(_ what: @autoclosure () -> String, ticket: UInt32?) {
        driver.perform(&mesh, ticket: ticket, at: now)
        guard broken == nil, let why = driver.fault ?? mesh.brokenInvariant(at: now) else { return }
        broken = "\(why), after \(what())"
    }

    /// The state is read back as it was written.
    private borrowing func writtenOut() -> String? {
        var bytes: [UInt8] = []
        mesh.encode(into: &bytes)
        guard let copy = Mesh(mesh.settings, decoding: bytes, now: now) else { return "the state is not read back" }
        var again: [UInt8] = []
        copy.encode(into: &again)
        return bytes == again ? nil : "the state is read back as another one"
    }
}
