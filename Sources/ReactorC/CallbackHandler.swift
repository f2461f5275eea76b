// The application's side of a node, handed on to C.

public import CReactor
import PeerMesh
import Reactor

@c @implementation
public func reactor_node_callbacks_init(_ callbacks: UnsafeMutablePointer<reactor_node_callbacks>) {
    unsafe callbacks.pointee = reactor_node_callbacks()
    unsafe callbacks.pointee.size = UInt32(MemoryLayout<reactor_node_callbacks>.size)
}

/// Calls the callbacks that were given.
@safe
final class CallbackHandler: PeerHandler {
    private var callbacks: reactor_node_callbacks
    var isEnding = false
    private(set) var hasStopped = false

    init(_ callbacks: reactor_node_callbacks) {
        unsafe self.callbacks = callbacks
    }

    /// Nobody is told any more: the node is being destroyed.
    func silence() {
        isEnding = true
        unsafe callbacks = reactor_node_callbacks()
    }

    override func linkUp(_ link: LinkID, _ info: LinkInfo) {
        guard let call = unsafe callbacks.link_up else { return }
        var told = reactor_link_info(link, info)
        unsafe call(callbacks.context, &told)
    }

    override func linkDown(_ link: LinkID, _ info: LinkInfo, _ reason: CloseReason) {
        guard let call = unsafe callbacks.link_down else { return }
        var told = reactor_link_info(link, info)
        unsafe reason.name.withCString { unsafe call(callbacks.context, &told, $0) }
    }

    override func received(_ type: MessageType, _ body: RawSpan, from link: LinkID) {
        guard let call = unsafe callbacks.received else { return }
        let number = type.number ?? 0
        unsafe body.withUnsafeBytes { bytes in
            // An empty body still has an address: C code may pass it on to memcpy.
            if let start = bytes.baseAddress {
                unsafe call(callbacks.context, link.number, number, start.assumingMemoryBound(to: UInt8.self), bytes.count)
            } else {
                var nothing: UInt8 = 0
                unsafe call(callbacks.context, link.number, number, &nothing, 0)
            }
        }
    }

    override func highWater(_ link: LinkID) { unsafe callbacks.high_water?(callbacks.context, link.number) }

    override func lowWater(_ link: LinkID) { unsafe callbacks.low_water?(callbacks.context, link.number) }

    override func stopped() {
        hasStopped = true
        unsafe callbacks.stopped?(callbacks.context)
    }
}

extension reactor_link_info {
    init(_ link: LinkID, _ info: LinkInfo) {
        self.init()
        self.link = link.number
        is_outbound = info.direction == .outbound ? 1 : 0
        is_masternode = info.role == .masternode ? 1 : 0
        is_native = info.isNative ? 1 : 0
        if let peer = info.peer { write(peer, to: &self.peer) }
        write(info.remote, to: &remote)
    }

    /// Writes an endpoint's text; the longest has 47 bytes.
    private func write<Text: BitwiseCopyable>(_ endpoint: Endpoint, to text: inout Text) {
        unsafe withUnsafeMutableBytes(of: &text) { bytes in
            guard let start = bytes.baseAddress else { return }
            unsafe copy("\(endpoint)", to: start.assumingMemoryBound(to: CChar.self), bytes.count)
        }
    }
}
