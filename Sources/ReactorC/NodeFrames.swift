// A node's frames, and how it stands.

public import CReactor
import PeerMesh
import Reactor

@c @implementation
public func reactor_node_send(
    _ node: OpaquePointer, _ link: reactor_link, _ type: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int
) -> CInt {
    let body = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
    return unsafe lent(node, NodeBox.self).node.send(body.bytes, type: MessageType(type), to: LinkID(number: link)).code
}

@c @implementation
public func reactor_node_post(
    _ node: OpaquePointer, _ link: reactor_link, _ type: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int
) -> CInt {
    let body = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
    return unsafe lent(node, NodeBox.self).node.port.send(body.bytes, type: MessageType(type), to: LinkID(number: link)).code
}

@c @implementation
public func reactor_node_broadcast(_ node: OpaquePointer, _ type: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int) -> CInt {
    let body = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
    return CInt(clamping: unsafe lent(node, NodeBox.self).node.broadcast(body.bytes, type: MessageType(type)))
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
