// The fault table of test builds in Swift (REACTOR_FAULTS=1), and how a trap is tried: its scenario must pass, and fail once
// its guard is left out. In any other build the second half is not there.

import CEpoll
import Testing

@testable import Reactor

/// The wrappers of the shim, by the names of `cepoll_call`.
enum Call: Int32, Sendable {
    case add = 1, del, mod, epoll, wait, coarseWait, eventfd, eventfdAdd, socket, bind, listen, connect, accept, local
    case remote, socketError, option, recv, send, sendPieces, read, write, shutdown, close, reserve
}

/// This thread's fault table. Everything here does nothing in a build without one.
enum Faults {
    #if REACTOR_FAULTS
        static let areBuilt = true
    #else
        static let areBuilt = false
    #endif

    /// A call that was noted.
    struct Record: Equatable {
        var call: Call
        var descriptor: CInt
        var argument: Int64
        var result: Int64
    }

    /// Runs `body` with an empty table, which it may fill.
    static func with<Result>(_ body: () throws -> Result) rethrows -> Result {
        #if REACTOR_FAULTS
            cepoll_faults_begin()
            defer { cepoll_faults_end() }
        #endif
        return try body()
    }

    /// The call answers `value` and the kernel is not asked.
    static func answer(_ call: Call, _ value: Int64, fd: CInt = -1, after: Int32 = 0, times: Int32 = -1) {
        #if REACTOR_FAULTS
            add(call, CEPOLL_FAULT_ANSWERS, value, fd, after, times)
        #endif
    }

    /// The call moves at most so many bytes.
    static func limit(_ call: Call, _ bytes: Int64, fd: CInt = -1, after: Int32 = 0, times: Int32 = -1) {
        #if REACTOR_FAULTS
            add(call, CEPOLL_FAULT_LIMITS, bytes, fd, after, times)
        #endif
    }

    /// The events of a wait lose the bits that `mask` lacks.
    static func mask(_ mask: UInt32, times: Int32 = -1) {
        #if REACTOR_FAULTS
            add(.wait, CEPOLL_FAULT_MASKS, Int64(Int32(bitPattern: mask)), -1, 0, times)
        #endif
    }

    /// The next wait brings this event, too.
    static func event(_ events: UInt32, _ slot: SlotID) {
        #if REACTOR_FAULTS
            cepoll_faults_add_event(events, slot.index, slot.generation)
        #endif
    }

    static func shiftClock(seconds: UInt64) {
        #if REACTOR_FAULTS
            cepoll_faults_shift_clock(seconds * 1_000_000_000)
        #endif
    }

    static func leaveOut(_ trap: CInt) {
        #if REACTOR_FAULTS
            cepoll_faults_leave_out(trap)
        #endif
    }

    /// Whether this guard is left out now.
    static func isLeftOut(_ trap: CInt) -> Bool {
        #if REACTOR_FAULTS
            cepoll_faults_is_left_out(trap) != 0
        #else
            false
        #endif
    }

    /// What was called since `with` began.
    static var records: [Record] {
        #if REACTOR_FAULTS
            (0..<cepoll_faults_count()).map {
                let record = cepoll_faults_record($0)
                return Record(call: Call(rawValue: record.call)!, descriptor: record.fd, argument: record.argument, result: record.result)
            }
        #else
            []
        #endif
    }

    #if REACTOR_FAULTS
        private static func add(
            _ call: Call, _ effect: cepoll_fault_effect, _ value: Int64, _ fd: CInt, _ after: Int32, _ times: Int32
        ) {
            cepoll_faults_add(
                cepoll_fault(call: call.rawValue, fd: fd, after: after, times: times, effect: Int32(effect.rawValue), value: value)
            )
        }
    #endif
}

/// Tries a trap. `scenario` returns what went wrong, or nil: nil with the guard in place and, where there is a fault table,
/// something with the guard left out by `removal`. The second is printed, for docs/Traps.md.
func trap(
    _ number: Int, leftOut removal: () -> Void, location: SourceLocation = #_sourceLocation, _ scenario: () throws -> String?
) throws {
    let failure = try Faults.with(scenario)
    #expect(failure == nil, "trap \(number)", sourceLocation: location)
    guard Faults.areBuilt else { return }
    let bite = try Faults.with {
        removal()
        return try scenario()
    }
    #expect(bite != nil, "trap \(number) does not bite with its guard left out: what holds it shut?", sourceLocation: location)
    if let bite { print("trap \(number), guard left out: \(bite)") }
}
