// A node's functions: texts and numbers from C become events of the mesh.

import CEpoll
public import CReactor
import PeerMesh
import Reactor
import Timers

/// What a `reactor_node` points to.
final class NodeBox {
    let node: PeerNode
    let handler: CallbackHandler
    let port: FramePort

    init(_ node: PeerNode, _ handler: CallbackHandler) {
        self.node = node
        self.handler = handler
        port = FramePort(node.port, maximumBody: node.wire.maximumBody)
    }
}

extension LinkID {
    /// As C knows it.
    var number: UInt64 { UInt64(generation) << 32 | UInt64(slot) }

    init(number: UInt64) {
        self.init(slot: UInt32(truncatingIfNeeded: number), generation: UInt32(truncatingIfNeeded: number >> 32))
    }
}

@c @implementation
public func reactor_node_create(
    _ loop: OpaquePointer, _ options: UnsafePointer<reactor_node_options>?, _ callbacks: UnsafePointer<reactor_node_callbacks>,
    _ node: UnsafeMutablePointer<OpaquePointer?>
) -> CInt {
    unsafe node.pointee = nil
    guard unsafe callbacks.pointee.size >= UInt32(MemoryLayout<reactor_node_callbacks>.size) else { return REACTOR_EOPTION }
    var plan = NodePlan()
    if let options = unsafe options {
        let refusal = unsafe plan.take(options.pointee)
        guard refusal == 0 else { return refusal }
    }
    var words: (nonce: UInt64, seed: UInt64) = (0, 0)
    let drawn = unsafe cepoll_random(&words.nonce) == 0 ? cepoll_random(&words.seed) : -CEPOLL_EIO
    guard drawn == 0 else { return drawn }
    plan.mesh.nonce = words.nonce
    plan.mesh.seed = words.seed
    var settings = NodeSettings(mesh: plan.mesh)
    // Nobody reads records here: they reach the callbacks.
    settings.recordCapacity = 0
    let handler = unsafe CallbackHandler(callbacks.pointee)
    do throws(SystemError) {
        let made = try PeerNode(
            loop: unsafe lent(loop, LoopBox.self).loop, wire: TimeWire(network: plan.network), settings: settings, handler: handler
        )
        unsafe node.pointee = handle(NodeBox(made, handler))
        return 0
    } catch {
        return error.negated
    }
}

@c @implementation
public func reactor_node_destroy(_ node: OpaquePointer) {
    let box = unsafe taken(node, NodeBox.self)
    guard !box.handler.hasStopped else { return }
    box.node.loop.requireOutsideOfIteration()
    box.handler.silence()
    box.node.abandon()
    // Its sockets are closed in the loop's close phase.
    box.node.loop.runOnce(.noWait)
}

@c @implementation
public func reactor_node_listen(
    _ node: OpaquePointer, _ endpoint: UnsafePointer<CChar>, _ bound: UnsafeMutablePointer<CChar>?, _ size: Int
) -> CInt {
    guard let endpoint = unsafe ReactorC.endpoint(endpoint) else { return REACTOR_EENDPOINT }
    let box = unsafe lent(node, NodeBox.self)
    guard !box.handler.isEnding else { return REACTOR_ECLOSED }
    do throws(SystemError) {
        let real = try box.node.listen(on: endpoint)
        if let bound = unsafe bound { unsafe copy("\(real)", to: bound, size) }
        return 0
    } catch {
        return error.negated
    }
}

@c @implementation
public func reactor_node_advertise(_ node: OpaquePointer, _ endpoint: UnsafePointer<CChar>?) -> CInt {
    let box = unsafe lent(node, NodeBox.self)
    guard let endpoint = unsafe endpoint else {
        box.node.handle(.ownEndpoint(nil))
        return 0
    }
    guard let endpoint = unsafe ReactorC.endpoint(endpoint), endpoint.isDialable else { return REACTOR_EENDPOINT }
    box.node.handle(.ownEndpoint(endpoint))
    return 0
}

@c @implementation
public func reactor_node_start(_ node: OpaquePointer) {
    unsafe lent(node, NodeBox.self).node.start()
}

@c @implementation
public func reactor_node_shutdown(_ node: OpaquePointer) {
    let box = unsafe lent(node, NodeBox.self)
    box.handler.isEnding = true
    box.node.shutdown()
}

/// Hands an event about an endpoint that can be dialled to a node.
private func tell(_ node: OpaquePointer, _ endpoint: UnsafePointer<CChar>, _ event: (Endpoint) -> Event) -> CInt {
    guard let endpoint = unsafe ReactorC.endpoint(endpoint), endpoint.isDialable else { return REACTOR_EENDPOINT }
    unsafe lent(node, NodeBox.self).node.handle(event(endpoint))
    return 0
}

@c @implementation
public func reactor_node_connect(_ node: OpaquePointer, _ endpoint: UnsafePointer<CChar>) -> CInt {
    unsafe tell(node, endpoint) { .connect($0) }
}

@c @implementation
public func reactor_node_disconnect(_ node: OpaquePointer, _ endpoint: UnsafePointer<CChar>) -> CInt {
    unsafe tell(node, endpoint) { .disconnect($0) }
}

@c @implementation
public func reactor_node_add_masternode(_ node: OpaquePointer, _ endpoint: UnsafePointer<CChar>) -> CInt {
    unsafe tell(node, endpoint) { .registered($0) }
}

@c @implementation
public func reactor_node_remove_masternode(_ node: OpaquePointer, _ endpoint: UnsafePointer<CChar>) -> CInt {
    unsafe tell(node, endpoint) { .unregistered($0) }
}

@c @implementation
public func reactor_node_redial(_ node: OpaquePointer, _ endpoint: UnsafePointer<CChar>) -> CInt {
    unsafe tell(node, endpoint) { .redial($0) }
}

@c @implementation
public func reactor_node_ban(_ node: OpaquePointer, _ subnet: UnsafePointer<CChar>, _ nanoseconds: UInt64) -> CInt {
    guard let subnet = unsafe Subnet(String(cString: subnet)) else { return REACTOR_ESUBNET }
    let now = Instant(nanoseconds: cepoll_monotonic())
    let until = nanoseconds == .max ? Instant.never : now + Nanoseconds(nanoseconds)
    unsafe lent(node, NodeBox.self).node.handle(.ban(subnet, until: until, by: .operator))
    return 0
}

@c @implementation
public func reactor_node_unban(_ node: OpaquePointer, _ subnet: UnsafePointer<CChar>) -> CInt {
    guard let subnet = unsafe Subnet(String(cString: subnet)) else { return REACTOR_ESUBNET }
    unsafe lent(node, NodeBox.self).node.handle(.unban(subnet))
    return 0
}
