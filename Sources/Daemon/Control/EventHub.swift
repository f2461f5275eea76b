// Who follows the transitions, and what each of them is sent. A follower that reads too slowly misses events and is told how
// many; nobody waits for it.

import NIOCore
import PeerMesh

/// One client of `/events`.
final class Follower {
    /// Whether events of this endpoint are wanted.
    let isMeant: (Endpoint) -> Bool
    var isWritable = true
    var missed: UInt64 = 0
    let write: (ByteBuffer) -> Void

    init(isMeant: @escaping (Endpoint) -> Bool, write: @escaping (ByteBuffer) -> Void) {
        self.isMeant = isMeant
        self.write = write
    }
}

/// All followers. On the control thread only.
final class EventHub {
    private let eventLoop: any EventLoop
    private let chronicle: Chronicle
    private var followers: [Follower] = []
    private var beat: Scheduled<Void>?
    private var lostBefore: UInt64 = 0
    /// Hands a batch to this hub from the chronicle's thread.
    private let deliver: @Sendable ([ChronicleEntry]) -> Void

    /// A comment this often shows that the stream lives, and finds clients that are gone.
    private static let heartbeat = TimeAmount.seconds(15)

    init(_ eventLoop: any EventLoop, _ chronicle: Chronicle, deliver: @escaping @Sendable ([ChronicleEntry]) -> Void) {
        self.eventLoop = eventLoop
        self.chronicle = chronicle
        self.deliver = deliver
    }

    /// Adds a follower, and sends it first what it missed since `number`, if it names one.
    func add(_ follower: Follower, after number: UInt64?) {
        if followers.isEmpty {
            lostBefore = chronicle.counts.lost
            chronicle.follow(deliver)
            armBeat()
        }
        // Its own first words tell that it listens: what happens from now on will come.
        follower.write(ByteBuffer(string: ": following\n\n"))
        if let number { send(chronicle.entries(after: number), to: [follower]) }
        followers.append(follower)
    }

    func remove(_ follower: Follower) {
        followers.removeAll { $0 === follower }
        if followers.isEmpty {
            chronicle.follow(nil)
            beat?.cancel()
            beat = nil
        }
    }

    /// A follower reads again: it is told what it missed.
    func resumed(_ follower: Follower) {
        guard follower.missed > 0 else { return }
        let count = follower.missed
        follower.missed = 0
        follower.write(ByteBuffer(string: "event: missed\ndata: {\"records\":\(count)}\n\n"))
    }

    func take(_ batch: [ChronicleEntry]) {
        send(batch, to: followers)
        let lost = chronicle.counts.lost
        guard lost > lostBefore else { return }
        for follower in followers where follower.isWritable {
            follower.write(ByteBuffer(string: "event: missed\ndata: {\"records\":\(lost - lostBefore)}\n\n"))
        }
        lostBefore = lost
    }

    /// One text an event, however many read it.
    private func send(_ batch: [ChronicleEntry], to followers: [Follower]) {
        let moments = Moments()
        for entry in batch {
            var text: ByteBuffer?
            for follower in followers where follower.isMeant(entry.transition.endpoint) {
                guard follower.isWritable else {
                    follower.missed += 1
                    continue
                }
                let buffer = text ?? EventHub.text(entry, moments)
                text = buffer
                follower.write(buffer)
            }
        }
    }

    private static func text(_ entry: ChronicleEntry, _ moments: Moments) -> ByteBuffer {
        let kind = if case .link = entry.transition.subject { "link" } else { "peer" }
        return ByteBuffer(string: "id: \(entry.number)\nevent: \(kind)\ndata: \(Why.json(entry, moments).line)\n\n")
    }

    private func armBeat() {
        beat = eventLoop.assumeIsolated().scheduleTask(in: Self.heartbeat) { [weak self] in self?.sayAlive() }
    }

    private func sayAlive() {
        armBeat()
        for follower in followers where follower.isWritable { follower.write(ByteBuffer(string: ": alive\n\n")) }
    }
}
