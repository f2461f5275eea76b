// A node's frames, and how it stands.

public import CReactor
import PeerMesh
import Reactor

/// What a `reactor_node_port` points to. Outlives the node.
final class FramePort: Sendable {
    private let port: NodePort
    private let maximumBody: Int

    init(_ port: NodePort, maximumBody: Int) {
        self.port = port
        self.maximumBody = maximumBody
    }

    func post(_ link: reactor_link, _ type: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int) -> CInt {
        guard let body = unsafe body(bytes, count) else { return REACTOR_EOPTION }
        // Refused before it is copied.
        guard body.count <= maximumBody else { return REACTOR_ETOOLARGE }
        return unsafe port.send(body.bytes, type: MessageType(type), to: LinkID(number: link)).code
    }
}

/// What C passes as bytes; nil if it names no memory. A size beyond half the address space is as large as that.
private func body(_ bytes: UnsafeRawPointer?, _ count: Int) -> UnsafeRawBufferPointer? {
    guard unsafe bytes != nil || count == 0 else { return nil }
    return unsafe UnsafeRawBufferPointer(start: bytes, count: count < 0 ? .max : count)
}

@c @implementation
public func reactor_node_send(
    _ node: OpaquePointer, _ link: reactor_link, _ type: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int
) -> CInt {
    guard let body = unsafe body(bytes, count) else { return REACTOR_EOPTION }
    return unsafe lent(node, NodeBox.self).node.send(body.bytes, type: MessageType(type), to: LinkID(number: link)).code
}

@c @implementation
public func reactor_node_post(
    _ node: OpaquePointer, _ link: reactor_link, _ type: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int
) -> CInt {
    unsafe lent(node, NodeBox.self).port.post(link, type, bytes, count)
}

@c @implementation
public func reactor_node_broadcast(_ node: OpaquePointer, _ type: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int) -> CInt {
    guard let body = unsafe body(bytes, count) else { return REACTOR_EOPTION }
    return CInt(clamping: unsafe lent(node, NodeBox.self).node.broadcast(body.bytes, type: MessageType(type)))
}

@c @implementation
public func reactor_node_open_port(_ node: OpaquePointer) -> OpaquePointer {
    unsafe handle(lent(node, NodeBox.self).port)
}

@c @implementation
public func reactor_node_port_retain(_ port: OpaquePointer) -> OpaquePointer {
    unsafe retained(port)
}

@c @implementation
public func reactor_node_port_release(_ port: OpaquePointer) {
    _ = unsafe taken(port, FramePort.self)
}

@c @implementation
public func reactor_node_port_post(
    _ port: OpaquePointer, _ link: reactor_link, _ type: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int
) -> CInt {
    unsafe lent(port, FramePort.self).post(link, type, bytes, count)
}

@c @implementation
public func reactor_node_get_state(_ node: OpaquePointer, _ state: UnsafeMutablePointer<reactor_node_state>) {
    let size = unsafe state.pointee.size
    guard size >= UInt32(MemoryLayout<reactor_node_state>.size) else { return }
    let node = unsafe lent(node, NodeBox.self).node
    let (census, counters) = (node.census, node.counters)
    unsafe state.pointee = reactor_node_state(
        size: size, masternodes: UInt32(census.establishedMasternodes), regular: UInt32(census.establishedRegular),
        dialing: UInt32(census.dialingMasternodes + census.dialingRegular), known_peers: UInt32(census.knownPeers),
        registered: UInt32(census.registered), frames_in: counters.framesIn, frames_out: counters.framesOut,
        bytes_in: counters.bytesIn, bytes_out: counters.bytesOut
    )
}
