// What asks the node for `top`, on a thread of its own: a node that answers late, or not at all, never makes a key wait.

import Daemon
import Glibc
import Synchronization

/// Asks every so often, and at once when the reader turns to a peer.
final class TopReader: Sendable {
    /// What the node said last.
    struct Answers: Sendable {
        var status = JSON.null
        var slots = JSON.null
        var peers: [JSON] = []
        /// The peer that `why` is about.
        var asked: String?
        var why = JSON.null
        var trouble: String?
    }

    private struct State: Sendable {
        var answers: Answers
        var wanted: String?
    }

    private let client: ControlClient
    private let milliseconds: CInt
    private let state: Mutex<State>
    /// Whoever has news writes a byte, and the other side's wait ends: the screen's, and the thread's.
    let bell: CInt
    private let threadBell: CInt

    /// The first look is here and now: what is wrong with it is thrown, in one line.
    init(_ client: ControlClient, every seconds: Int) throws {
        var patient = client
        state = Mutex(State(answers: try TopReader.look(client, nil)))
        // Nobody looks at a silent node for long.
        patient.seconds = 2
        self.client = patient
        milliseconds = CInt(seconds * 1_000)
        var ends: [CInt] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw CommandFailure(71, "cannot make a socket: \(ControlClient.text(errno))")
        }
        bell = ends[0]
        threadBell = ends[1]
    }

    /// Starts the thread; it lives as long as the program.
    func start() throws {
        _ = try DaemonThread.start("top") { self.run() }
    }

    /// The last answers. From here on the thread also asks why `peer` is as it is.
    func answers(about peer: String?) -> Answers {
        let (answers, isNew) = state.withLock { state in
            let isNew = peer != nil && state.wanted != peer
            state.wanted = peer
            return (state.answers, isNew)
        }
        if isNew { TopReader.ring(bell) }
        return answers
    }

    private func run() {
        while true {
            var entry = pollfd(fd: threadBell, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&entry, 1, milliseconds) > 0 { TopReader.hush(threadBell) }
            let wanted = state.withLock(\.wanted)
            do {
                let answers = try TopReader.look(client, wanted)
                state.withLock { $0.answers = answers }
            } catch {
                // What it said before stays on the screen, under the line that says that it is old.
                state.withLock { $0.answers.trouble = "\(error)" }
            }
            TopReader.ring(threadBell)
        }
    }

    private static func look(_ client: ControlClient, _ peer: String?) throws -> Answers {
        var answers = Answers()
        answers.status = try client.send("GET", "/status").checked().json().visible
        answers.slots = try client.send("GET", "/slots").checked().json().visible
        answers.peers = try client.send("GET", "/peers").checked().json().visible.elements
        guard let peer else { return answers }
        answers.asked = peer
        let reply = try client.send("GET", "/peers/\(ClientOptions.escape(peer))/why")
        // A link that is nobody's yet has no answer, nor has a peer that has just left the book.
        if reply.status < 400 { answers.why = try reply.json() } else {
            answers.why = .members(("id", .string(peer)), ("state", .string("unknown")), ("sentence", .string("the node has nothing to say about this one")))
        }
        return answers
    }

    private static func ring(_ descriptor: CInt) {
        var byte: UInt8 = 1
        _ = unsafe send(descriptor, &byte, 1, CInt(MSG_NOSIGNAL | MSG_DONTWAIT))
    }

    /// Takes what rang.
    static func hush(_ descriptor: CInt) {
        var bytes = [UInt8](repeating: 0, count: 64)
        while unsafe recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT)) > 0 {}
    }
}
