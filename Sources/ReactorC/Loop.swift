// The loop's functions.

public import CReactor
import CEpoll
import PeerMesh
import Reactor
import Synchronization
import Timers

/// What a `reactor_loop` points to: the loop, and how posts reach it.
final class LoopBox {
    let loop: EventLoop
    let port: LoopPort

    init(_ configuration: EventLoop.Configuration) throws(SystemError) {
        loop = try EventLoop(configuration)
        port = LoopPort(loop.mailbox, loop.makeHandle(for: PostSource()))
    }
}

/// What a `reactor_loop_port` points to. Outlives the loop, whose source it is not: it has only a number of it.
final class LoopPort: Sendable {
    private let mailbox: Mailbox
    private let handle: SourceHandle
    private let isClosed = Atomic<Bool>(false)

    init(_ mailbox: Mailbox, _ handle: SourceHandle) {
        self.mailbox = mailbox
        self.handle = handle
    }

    func post(_ function: @convention(c) (UnsafeMutableRawPointer?) -> Void, _ context: UnsafeMutableRawPointer?) -> CInt {
        guard !isClosed.load(ordering: .acquiring) else { return REACTOR_ECLOSED }
        let code = unsafe UInt64(UInt(bitPattern: unsafeBitCast(function, to: UnsafeRawPointer.self)))
        let job = Job(kind: 0, a: code, b: UInt64(UInt(bitPattern: context)))
        return mailbox.post(job, to: handle).code
    }

    func stop() {
        if !isClosed.load(ordering: .acquiring) { mailbox.stop() }
    }

    /// The loop is being destroyed: what is still in its mailbox reaches nobody.
    func close(_ loop: EventLoop) {
        isClosed.store(true, ordering: .releasing)
        loop.withdraw(handle)
    }
}

/// Calls the functions that other threads post.
final class PostSource: Source {
    override func posted(_ job: Job) {
        guard let function = unsafe UnsafeRawPointer(bitPattern: UInt(job.a)) else { return }
        let call = unsafe unsafeBitCast(function, to: (@convention(c) (UnsafeMutableRawPointer?) -> Void).self)
        unsafe call(UnsafeMutableRawPointer(bitPattern: UInt(job.b)))
    }
}

@c @implementation
public func reactor_loop_options_init(_ options: UnsafeMutablePointer<reactor_loop_options>) {
    let defaults = EventLoop.Configuration()
    unsafe options.pointee = reactor_loop_options(
        size: UInt32(MemoryLayout<reactor_loop_options>.size), descriptors: UInt32(defaults.descriptorCapacity),
        timers: UInt32(defaults.timerCapacity), mailbox: UInt32(defaults.mailboxCapacity)
    )
}

/// The configuration that options describe; nil if one is out of its range.
private func configuration(_ options: UnsafePointer<reactor_loop_options>?) -> EventLoop.Configuration? {
    var configuration = EventLoop.Configuration()
    guard let options = unsafe options?.pointee else { return configuration }
    guard options.size >= UInt32(MemoryLayout<reactor_loop_options>.size) else { return nil }
    guard 1...1_048_576 ~= options.descriptors, 1...16_777_216 ~= options.timers, 2...1_048_576 ~= options.mailbox,
        options.mailbox & (options.mailbox - 1) == 0
    else { return nil }
    configuration.descriptorCapacity = Int(options.descriptors)
    configuration.timerCapacity = Int(options.timers)
    configuration.mailboxCapacity = Int(options.mailbox)
    return configuration
}

@c @implementation
public func reactor_loop_create(
    _ options: UnsafePointer<reactor_loop_options>?, _ loop: UnsafeMutablePointer<OpaquePointer?>
) -> CInt {
    unsafe loop.pointee = nil
    guard let configuration = unsafe configuration(options) else { return REACTOR_EOPTION }
    do throws(SystemError) {
        let box = try LoopBox(configuration)
        unsafe loop.pointee = handle(box)
        return 0
    } catch {
        return error.negated
    }
}

@c @implementation
public func reactor_loop_destroy(_ loop: OpaquePointer) {
    let box = unsafe lent(loop, LoopBox.self)
    box.loop.requireOutsideOfIteration()
    box.port.close(box.loop)
    _ = unsafe taken(loop, LoopBox.self)
}

@c @implementation
public func reactor_loop_run(_ loop: OpaquePointer) {
    unsafe lent(loop, LoopBox.self).loop.run()
}

@c @implementation
public func reactor_loop_run_once(_ loop: OpaquePointer, _ wait: CInt) {
    unsafe lent(loop, LoopBox.self).loop.runOnce(wait != 0 ? .wait : .noWait)
}

@c @implementation
public func reactor_loop_stop(_ loop: OpaquePointer) {
    unsafe lent(loop, LoopBox.self).port.stop()
}

@c @implementation
public func reactor_loop_backend_fd(_ loop: OpaquePointer) -> CInt {
    unsafe lent(loop, LoopBox.self).loop.backendFD
}

@c @implementation
public func reactor_loop_timeout(_ loop: OpaquePointer) -> Int64 {
    guard let deadline = unsafe lent(loop, LoopBox.self).loop.nextDeadline else { return -1 }
    let left = deadline - Instant(nanoseconds: cepoll_monotonic())
    return Int64(clamping: left.count)
}

@c @implementation
public func reactor_loop_now(_ loop: OpaquePointer) -> UInt64 {
    unsafe lent(loop, LoopBox.self).loop.now.nanoseconds
}

@c @implementation
public func reactor_loop_post(
    _ loop: OpaquePointer, _ function: @convention(c) (UnsafeMutableRawPointer?) -> Void, _ context: UnsafeMutableRawPointer?
) -> CInt {
    unsafe lent(loop, LoopBox.self).port.post(function, context)
}

@c @implementation
public func reactor_loop_open_port(_ loop: OpaquePointer) -> OpaquePointer {
    unsafe handle(lent(loop, LoopBox.self).port)
}

@c @implementation
public func reactor_loop_port_retain(_ port: OpaquePointer) -> OpaquePointer {
    unsafe retained(port)
}

@c @implementation
public func reactor_loop_port_release(_ port: OpaquePointer) {
    _ = unsafe taken(port, LoopPort.self)
}

@c @implementation
public func reactor_loop_port_post(
    _ port: OpaquePointer, _ function: @convention(c) (UnsafeMutableRawPointer?) -> Void, _ context: UnsafeMutableRawPointer?
) -> CInt {
    unsafe lent(port, LoopPort.self).post(function, context)
}

@c @implementation
public func reactor_loop_port_stop(_ port: OpaquePointer) {
    unsafe lent(port, LoopPort.self).stop()
}
