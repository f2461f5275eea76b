// The control thread's view of the loop's tables: one snapshot, taken when the last one is too old for the question. However
// many clients ask, the loop is asked as often as `age` says and no oftener.

import CEpoll
import PeerMesh
import Reactor
import Timers

/// On the control thread only.
final class NodeView {
    private let port: NodePort
    private let request: SnapshotRequest
    private var takenAt: Instant?
    private var isOutstanding = false
    /// How long the loop took to answer last, from the post to the wake.
    private(set) var lag = Nanoseconds.zero

    /// How long the loop may take before the answer is "it does not answer".
    private static let patience: Int32 = 1_000
    /// A person's view is so old at most…
    static let fresh = Nanoseconds.milliseconds(50)
    /// …and a metric's.
    static let scraped = Nanoseconds.seconds(1)

    init(_ port: NodePort) throws(DaemonError) {
        self.port = port
        do throws(SystemError) { request = try SnapshotRequest() } catch {
            throw DaemonError.system("cannot make an eventfd", error.code)
        }
    }

    private var now: Instant { Instant(nanoseconds: cepoll_monotonic()) }

    /// What was done is to be seen: the next question asks the loop.
    func forget() {
        takenAt = nil
    }

    /// The node's state, `age` old at most.
    func snapshot(_ scope: NodeSnapshot.Scope = .everything, age: Nanoseconds = NodeView.fresh) throws(Problem) -> NodeSnapshot {
        if let takenAt, now - takenAt <= age, request.snapshot.scope >= scope { return request.snapshot }
        if isOutstanding {
            // The loop was too slow the last time; its answer must be taken before another can be asked for.
            guard request.wait(milliseconds: NodeView.patience) else { throw NodeView.silent }
            isOutstanding = false
        }
        takenAt = nil
        request.scope = scope
        let asked = now
        switch port.request(request) {
        case .posted: break
        case .full: throw Problem.unavailable("the loop has too much to do; try again")
        case .closed: throw Problem.unavailable("the node has ended")
        }
        guard request.wait(milliseconds: NodeView.patience) else {
            isOutstanding = true
            lag = now - asked
            throw NodeView.silent
        }
        takenAt = now
        lag = now - asked
        return request.snapshot
    }

    private static let silent = Problem.unavailable("the loop did not answer within a second")
}
