// The loop's functions.

public import CReactor
import CEpoll
import PeerMesh
import Reactor
import Timers

/// What a `reactor_loop` points to: the loop, and the source that posts reach.
final class LoopBox {
    let loop: EventLoop
    let posts: PostSource
    let handle: SourceHandle

    init(_ configuration: EventLoop.Configuration) throws(SystemError) {
        loop = try EventLoop(configuration)
        posts = PostSource()
        handle = loop.makeHandle(for: posts)
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
    box.loop.withdraw(box.handle)
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
    unsafe lent(loop, LoopBox.self).loop.mailbox.stop()
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
    let box = unsafe lent(loop, LoopBox.self)
    let code = unsafe UInt64(UInt(bitPattern: unsafeBitCast(function, to: UnsafeRawPointer.self)))
    let job = Job(kind: 0, a: code, b: UInt64(UInt(bitPattern: context)))
    return box.loop.mailbox.post(job, to: box.handle).code
}
