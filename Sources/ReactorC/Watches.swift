// Descriptors and timers: each handle is a source of its own, which the loop keeps while it is registered.

import CEpoll
public import CReactor
import Reactor
import Timers

extension Interest {
    /// Of the header's bits; nil if there are others.
    init?(bits: UInt32) {
        guard bits & ~(REACTOR_READ | REACTOR_WRITE) == 0 else { return nil }
        self.init(rawValue: UInt8(bits))
    }
}

/// What a `reactor_watch` points to.
@safe
final class WatchBox: Source {
    private let loop: EventLoop
    private let function: reactor_watch_function
    private let context: UnsafeMutableRawPointer?
    private var slot: SlotID?

    init(_ loop: EventLoop, _ function: @escaping reactor_watch_function, _ context: UnsafeMutableRawPointer?) {
        self.loop = loop
        unsafe self.function = function
        unsafe self.context = context
    }

    func begin(_ descriptor: CInt, _ interest: Interest) throws(SystemError) {
        slot = try loop.add(descriptor, interest: interest, source: self, tag: 0)
    }

    func set(_ interest: Interest) {
        if let slot { loop.setInterest(slot, interest) }
    }

    func end() {
        // The descriptor may be watched elsewhere, too, and live on: the kernel is told.
        if let slot { loop.remove(slot, staysOpen: true) }
        slot = nil
    }

    override func ready(_ readiness: Readiness, tag: UInt32) {
        guard slot != nil else { return }
        unsafe function(context, OpaquePointer(Unmanaged.passUnretained(self).toOpaque()), UInt32(readiness.rawValue))
    }
}

@c @implementation
public func reactor_watch_create(
    _ loop: OpaquePointer, _ descriptor: CInt, _ interest: UInt32, _ function: @escaping reactor_watch_function,
    _ context: UnsafeMutableRawPointer?, _ watch: UnsafeMutablePointer<OpaquePointer?>
) -> CInt {
    unsafe watch.pointee = nil
    guard let interest = Interest(bits: interest) else { return REACTOR_EOPTION }
    guard descriptor >= 0 else { return -CEPOLL_EBADF }
    let box = unsafe WatchBox(lent(loop, LoopBox.self).loop, function, context)
    do throws(SystemError) {
        try box.begin(descriptor, interest)
        unsafe watch.pointee = handle(box)
        return 0
    } catch {
        return error.negated
    }
}

@c @implementation
public func reactor_watch_set(_ watch: OpaquePointer, _ interest: UInt32) {
    unsafe lent(watch, WatchBox.self).set(Interest(rawValue: UInt8(truncatingIfNeeded: interest & (REACTOR_READ | REACTOR_WRITE))))
}

@c @implementation
public func reactor_watch_remove(_ watch: OpaquePointer) {
    let box = unsafe taken(watch, WatchBox.self)
    box.end()
}

/// What a `reactor_timer` points to.
@safe
final class TimerBox: Source {
    private let loop: EventLoop
    private let function: reactor_timer_function
    private let context: UnsafeMutableRawPointer?
    private var timer: TimerID?

    init(_ loop: EventLoop, _ function: @escaping reactor_timer_function, _ context: UnsafeMutableRawPointer?) {
        self.loop = loop
        unsafe self.function = function
        unsafe self.context = context
    }

    /// False if the loop has no room.
    func begin() -> Bool {
        timer = loop.makeTimerIfRoom(source: self, tag: 0)
        return timer != nil
    }

    func arm(_ span: Nanoseconds) {
        if let timer { loop.arm(timer, after: span) }
    }

    func cancel() {
        if let timer { loop.cancel(timer) }
    }

    func end() {
        if let timer { loop.destroy(timer) }
        timer = nil
    }

    override func timerFired(tag: UInt32) {
        guard timer != nil else { return }
        unsafe function(context, OpaquePointer(Unmanaged.passUnretained(self).toOpaque()))
    }
}

@c @implementation
public func reactor_timer_create(
    _ loop: OpaquePointer, _ function: @escaping reactor_timer_function, _ context: UnsafeMutableRawPointer?,
    _ timer: UnsafeMutablePointer<OpaquePointer?>
) -> CInt {
    unsafe timer.pointee = nil
    let box = unsafe TimerBox(lent(loop, LoopBox.self).loop, function, context)
    guard box.begin() else { return -CEPOLL_ENOSPC }
    unsafe timer.pointee = handle(box)
    return 0
}

@c @implementation
public func reactor_timer_arm(_ timer: OpaquePointer, _ nanoseconds: UInt64) {
    unsafe lent(timer, TimerBox.self).arm(Nanoseconds(nanoseconds))
}

@c @implementation
public func reactor_timer_cancel(_ timer: OpaquePointer) {
    unsafe lent(timer, TimerBox.self).cancel()
}

@c @implementation
public func reactor_timer_destroy(_ timer: OpaquePointer) {
    let box = unsafe taken(timer, TimerBox.self)
    box.end()
}
