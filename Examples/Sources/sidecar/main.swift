// A masternode's sidecar: a process beside another program, in whatever language, that holds its links. The program starts it, writes
// commands to its standard input, and reads what happens from its standard output; a line each.
//
//     sidecar 127.0.0.1:7001
//
// Commands: masternode ENDPOINT · forget ENDPOINT · send ENDPOINT TEXT · status
// Events:   listening ENDPOINT · up ENDPOINT ROLE · down ENDPOINT REASON · said ENDPOINT TEXT · status N of M · error TEXT
//
// The end of its input ends it: a sidecar does not outlive its program.

import Glibc
import PeerMesh
import Reactor

let said = MessageType(1_000)

/// One line for the program, at once.
func tell(_ line: String) {
    print(line)
    fflush(nil)
}

/// Standard input, cut into lines. A descriptor of the loop like any other.
final class Lines: Source {
    private unowned let loop: EventLoop
    private let take: (String?) -> Void
    private var slot = SlotID.none
    private var rest: [UInt8] = []

    init(loop: EventLoop, take: @escaping (String?) -> Void) throws(SystemError) {
        self.loop = loop
        self.take = take
        super.init()
        slot = try loop.add(STDIN_FILENO, interest: .read, source: self, tag: 0)
    }

    override func ready(_ readiness: Readiness, tag: UInt32) {
        // One read per readiness never waits, so that the pipe, which is not ours alone, may stay a blocking one.
        let count = withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 1) { buffer in
            let count = read(STDIN_FILENO, buffer.baseAddress, buffer.count)
            if count > 0 { rest += buffer[..<count] }
            return count
        }
        guard count > 0 else {
            loop.remove(slot)
            return take(nil)
        }
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            take(String(decoding: rest[..<end], as: UTF8.self))
            rest.removeSubrange(...end)
        }
    }
}

/// What the node tells, as lines; and the program's commands.
final class Sidecar: PeerHandler {
    private let loop: EventLoop
    private(set) var node: PeerNode!
    private var links: [Endpoint: LinkID] = [:]

    init(loop: EventLoop, here: Endpoint) throws {
        self.loop = loop
        super.init()
        var settings = NodeSettings()
        settings.mesh.role = .masternode
        node = try PeerNode(loop: loop, wire: TimeWire(network: .reactor), settings: settings, handler: self)
        let endpoint = try node.listen(on: here)
        node.handle(.ownEndpoint(endpoint))
        node.start()
        tell("listening \(endpoint)")
    }

    func obey(_ line: String?) {
        guard let line else { return node.shutdown() }
        let words = line.split(separator: " ", maxSplits: 2)
        let endpoint = words.count > 1 ? Endpoint(String(words[1])) : nil
        switch (words.first, endpoint) {
        case ("masternode", let endpoint?): node.handle(.registered(endpoint))
        case ("forget", let endpoint?): node.handle(.unregistered(endpoint))
        case ("status", _): tell("status \(links.count) of \(node.census.registered)")
        case ("send", let endpoint?):
            let text = words.count > 2 ? Array(words[2].utf8) : []
            let result = links[endpoint].map { node.send(text, type: said, to: $0) } ?? .notLinked
            if result != .queued { tell("error \(endpoint) \(result)") }
        default: tell("error not a command: \(line)")
        }
    }

    override func linkUp(_ link: LinkID, _ info: LinkInfo) {
        let peer = info.peer ?? info.remote
        links[peer] = link
        tell("up \(peer) \(info.role)")
    }

    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        let peer = info.peer ?? info.remote
        if links[peer] == link { links[peer] = nil }
        tell("down \(peer) \(reason)")
    }

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        guard type == said, let peer = links.first(where: { $0.value == link })?.key else { return }
        tell("said \(peer) \(body.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })")
    }

    override func stopped() { loop.stop() }
}

guard CommandLine.arguments.count == 2, let here = Endpoint(CommandLine.arguments[1]) else {
    print("usage: sidecar ADDRESS:PORT")
    exit(64)
}
signal(SIGPIPE, SIG_IGN)
let loop = try EventLoop()
let sidecar = try Sidecar(loop: loop, here: here)
let lines = try Lines(loop: loop, take: sidecar.obey)
loop.run()
