// The log: transitions and notices go in from other threads as plain records, lines come out of a descriptor on a thread of
// the log's own. A reader that blocks (a full pipe, a stopped terminal) delays this thread and nobody else; what the rings
// cannot hold meanwhile is lost, counted, and said.

import CEpoll
import PeerMesh
import Reactor
import Synchronization
import Timers

/// How a log writes.
struct LogSettings: Sendable {
    var level = LogLevel.info
    var format = LogFormat.text
    /// Equal transitions within this span are counted instead of printed; zero prints all.
    var repeatWindow = Nanoseconds.seconds(10)
    var descriptor: CInt = 2
}

extension LogSettings {
    init(_ configuration: NodeConfiguration) {
        level = configuration.logLevel
        format = configuration.logFormat
        repeatWindow = configuration.logRepeat
    }
}

/// The log of one process. Made when its node is, stopped after the loop.
final class Log: Sendable {
    let settings: LogSettings
    /// Written by the node, on the loop's thread.
    private let records: TransitionRing
    /// Written by the loop's thread, and no other.
    private let loopNotices = RecordRing<Notice>(capacity: 256)
    /// Lines of text from threads that may wait for a lock.
    private let spoken = Mutex<[StartLines.Line]>([])
    private let hasSpoken = Atomic<Bool>(false)
    private let lostSpoken = Atomic<UInt64>(0)
    private static let spokenLimit = 1_024
    private let isStopping = Atomic<Bool>(false)
    /// The level in force; an operator may change it.
    private let levelInForce: Atomic<UInt8>

    /// The least level that is written. Any thread; holds from the next batch on.
    var level: LogLevel {
        get { LogLevel(rawValue: levelInForce.load(ordering: .relaxed)) ?? .info }
        set { levelInForce.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// A log of what `records` brings.
    init(_ settings: LogSettings, records: TransitionRing) {
        self.settings = settings
        self.records = records
        levelInForce = Atomic(settings.level.rawValue)
    }

    /// Starts the thread. `opening` is written first.
    func start(_ opening: StartLines) throws(DaemonError) -> DaemonThread {
        try DaemonThread.start("log") { self.run(opening) }
    }

    /// Says something from the loop's thread.
    func say(_ notice: Notice) {
        loopNotices.push(notice)
        records.wake()
    }

    /// Says lines that are text already. Any thread but the loop's: it takes a lock. Beyond a bound they are lost and counted.
    func say(_ lines: StartLines) {
        spoken.withLock { spoken in
            let taken = lines.lines.prefix(max(0, Log.spokenLimit - spoken.count))
            spoken += taken
            if taken.count < lines.lines.count { lostSpoken.wrappingAdd(UInt64(lines.lines.count - taken.count), ordering: .relaxed) }
        }
        hasSpoken.store(true, ordering: .sequentiallyConsistent)
        records.wake()
    }

    /// Asks the thread to write what it has and to end. Any thread.
    func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        records.wake()
    }

    private var hasOtherWork: Bool {
        isStopping.load(ordering: .sequentiallyConsistent) || hasSpoken.load(ordering: .sequentiallyConsistent) || !loopNotices.isEmpty
    }

    private func run(_ opening: StartLines) {
        var writer = LogWriter(settings, opening)
        while true {
            // Read before the rings: what was said before the stop is written.
            let isLast = isStopping.load(ordering: .sequentiallyConsistent)
            drain(into: &writer, isLast: isLast)
            if isLast {
                writer.finish()
                return
            }
            if records.isClosed {
                // A closed ring no longer sleeps; what is left is the stop, which follows at once.
                Descriptors.waitReadable(-1, -1, milliseconds: 10)
            } else {
                records.wait(milliseconds: writer.sleepMilliseconds) { self.hasOtherWork }
            }
        }
    }

    private func drain(into writer: inout LogWriter, isLast: Bool) {
        writer.level = level
        writer.begin()
        var isIdle = false
        while !isIdle {
            isIdle = true
            while let record = records.pop() {
                writer.write(record)
                isIdle = false
            }
            while let notice = loopNotices.pop() {
                writer.write(notice)
                isIdle = false
            }
        }
        if hasSpoken.exchange(false, ordering: .sequentiallyConsistent) {
            let lines = spoken.withLock { spoken in
                defer { spoken.removeAll() }
                return spoken
            }
            for line in lines { writer.write(line) }
        }
        writer.report(lost: records.lost + loopNotices.dropped + lostSpoken.load(ordering: .relaxed), isLast: isLast)
        writer.flush()
    }
}

/// The writing side of a log: levels, repeats, the buffer and the descriptor. Owned by the log's thread.
struct LogWriter {
    private let settings: LogSettings
    var level: LogLevel
    private var formatter: LogFormatter
    private var repeats: RepeatTable
    private let buffer = LineBuffer(capacity: 64 * 1024)
    /// Lines in the buffer, for the count of what a failed write lost.
    private var bufferedLines: UInt64 = 0
    private var unwritten: UInt64 = 0
    private var reportedLost: UInt64 = 0
    /// Lines above the bound on lines a second.
    private var leftOut: UInt64 = 0
    private var reportedLeftOut: UInt64 = 0
    private var reportedAt = Instant.zero
    private var strangers: LineBudget
    private var own: LineBudget
    private var now: Instant

    /// More than the longest line: where the buffer has less room, it is written out first.
    private static let lineRoom = 8_192
    /// What was lost and left out is told this often.
    private static let reportInterval = Nanoseconds.seconds(1)

    init(_ settings: LogSettings, _ opening: StartLines) {
        self.settings = settings
        level = settings.level
        now = Instant(nanoseconds: cepoll_monotonic())
        strangers = .strangers(at: now)
        own = .own(at: now)
        formatter = LogFormatter(format: settings.format, epoch: 0)
        repeats = RepeatTable(window: settings.repeatWindow)
        begin()
        for line in opening.lines { write(line) }
        flush()
    }

    mutating func write(_ line: StartLines.Line) {
        guard line.level >= level else { return }
        makeRoom()
        line.append(to: buffer, settings.format, time: wallTime)
        bufferedLines += 1
    }

    private var wallTime: UInt64 { formatter.epoch &+ now.nanoseconds }

    /// Reads the clocks; once a batch. The wall clock may have been set since the last one.
    mutating func begin() {
        now = Instant(nanoseconds: cepoll_monotonic())
        formatter.epoch = cepoll_realtime() &- now.nanoseconds
    }

    mutating func write(_ record: NodeRecord) {
        guard LogFormatter.level(of: record) >= level else { return }
        if repeats.nextExpiry.map({ $0 <= record.at }) ?? false { expireRepeats(at: record.at) }
        guard repeats.admits(record), hasBudget(record) else { return }
        makeRoom()
        formatter.append(record, to: buffer)
        bufferedLines += 1
    }

    /// Whether the bound on lines a second lets it through. Who counts no repeats wants every line.
    private mutating func hasBudget(_ record: NodeRecord) -> Bool {
        guard settings.repeatWindow > .zero else { return true }
        let isWithin = record.isStrangers ? strangers.takes(at: now) : own.takes(at: now)
        if !isWithin { leftOut += 1 }
        return isWithin
    }

    mutating func write(_ notice: Notice) {
        guard notice.level >= level else { return }
        makeRoom()
        formatter.append(notice, at: wallTime, to: buffer)
        bufferedLines += 1
    }

    /// Says what was lost, if it grew: `ringLosses` in all by the rings, and what could not be written; and what was left out.
    mutating func report(lost ringLosses: UInt64, isLast: Bool) {
        let lost = ringLosses + unwritten
        guard lost > reportedLost || leftOut > reportedLeftOut, isLast || now - reportedAt >= LogWriter.reportInterval else { return }
        reportedAt = now
        if lost > reportedLost {
            makeRoom()
            formatter.appendLost(lost - reportedLost, at: wallTime, to: buffer)
            reportedLost = lost
            bufferedLines += 1
        }
        if leftOut > reportedLeftOut {
            makeRoom()
            formatter.appendLeftOut(leftOut - reportedLeftOut, at: wallTime, to: buffer)
            reportedLeftOut = leftOut
            bufferedLines += 1
        }
    }

    mutating func flush() {
        expireRepeats(at: now)
        guard bufferedLines > 0 else { return }
        if buffer.write(to: settings.descriptor) != 0 { unwritten += bufferedLines }
        bufferedLines = 0
    }

    /// Writes what is left, repeats included.
    mutating func finish() {
        expireRepeats(at: .never)
        flush()
    }

    /// How long the thread may sleep if nobody rings; -1 for ever.
    var sleepMilliseconds: CInt {
        if leftOut > reportedLeftOut { return CInt(LogWriter.reportInterval.count / 1_000_000) }
        guard let expiry = repeats.nextExpiry else { return -1 }
        let span = expiry - Instant(nanoseconds: cepoll_monotonic())
        return CInt(truncatingIfNeeded: min(span.count / 1_000_000 + 1, 60_000))
    }

    private mutating func expireRepeats(at now: Instant) {
        let (formatter, buffer) = (self.formatter, self.buffer)
        var added: UInt64 = 0
        repeats.expire(at: now) { entry in
            guard buffer.room >= LogWriter.lineRoom else { return }
            formatter.appendRepeated(entry, to: buffer)
            added += 1
        }
        bufferedLines += added
    }

    private mutating func makeRoom() {
        guard buffer.room < LogWriter.lineRoom else { return }
        if buffer.write(to: settings.descriptor) != 0 { unwritten += bufferedLines }
        bufferedLines = 0
    }
}
