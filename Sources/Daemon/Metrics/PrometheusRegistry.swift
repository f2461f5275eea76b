// The backend of swift-metrics: counters, gauges and histograms in memory, written out in Prometheus' text format. Any thread
// may count; a scrape reads.

import CoreMetrics
import Reactor
import Synchronization
import Timers

/// Every metric of the process, by name and labels.
final class PrometheusRegistry: MetricsFactory, Sendable {
    private enum Kind: String { case counter, gauge, histogram }

    private struct Family {
        var kind: Kind
        var help: String
        var order: [String] = []
        var handlers: [String: any Exposed] = [:]
    }

    private struct State {
        var names: [String] = []
        var families: [String: Family] = [:]
    }

    private let state = Mutex(State())

    /// What `# HELP` says of a metric; to be called before the metric is made.
    func describe(_ name: String, _ help: String) {
        state.withLock { state in
            if state.families[name] == nil { state.names.append(name) }
            state.families[name, default: Family(kind: .gauge, help: help)].help = help
        }
    }

    private func handler<H: Exposed>(_ name: String, _ labels: [(String, String)], _ kind: Kind, _ make: () -> H) -> H {
        let name = PrometheusRegistry.name(name)
        let key = PrometheusRegistry.text(labels)
        return state.withLock { state in
            if state.families[name] == nil { state.names.append(name) }
            var family = state.families[name] ?? Family(kind: kind, help: "A metric of \(name).")
            if family.handlers.isEmpty { family.kind = kind }
            let handler = family.handlers[key] as? H ?? make()
            if family.handlers.updateValue(handler, forKey: key) == nil { family.order.append(key) }
            state.families[name] = family
            return handler
        }
    }

    // MARK: swift-metrics

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        handler(label.hasSuffix("_total") ? label : label + "_total", dimensions, .counter) { ExposedCounter() }
    }

    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        aggregate
            ? histogram(label, dimensions) as any RecorderHandler
            : handler(label, dimensions, .gauge) { ExposedGauge() } as any RecorderHandler
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        histogram(label.hasSuffix("_seconds") ? label : label + "_seconds", dimensions)
    }

    func histogram(_ label: String, _ dimensions: [(String, String)] = []) -> ExposedHistogram {
        handler(label, dimensions, .histogram) { ExposedHistogram() }
    }

    // A metric lives as long as the process: a series that comes and goes confuses rates more than a constant one.
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}

    // MARK: Text

    /// Everything, in the order in which it was made.
    var page: String {
        var text = ""
        state.withLock { state in
            for name in state.names {
                guard let family = state.families[name], !family.handlers.isEmpty else { continue }
                text += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.kind.rawValue)\n"
                for labels in family.order { family.handlers[labels]?.write(name, labels, into: &text) }
            }
        }
        return text
    }

    /// What Prometheus takes for a name: others' labels may hold dots.
    private static func name(_ label: String) -> String {
        var name = ""
        for scalar in label.unicodeScalars {
            let isGood = scalar == "_" || scalar == ":" || ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
            let isDigit = ("0"..."9").contains(scalar)
            name.unicodeScalars.append(isGood || isDigit && !name.isEmpty ? scalar : "_")
        }
        return name
    }

    private static func text(_ labels: [(String, String)]) -> String {
        labels.map { key, value in
            let escaped = value.flatMap { character -> [Character] in
                switch character {
                case "\\": ["\\", "\\"]
                case "\"": ["\\", "\""]
                case "\n": ["\\", "n"]
                default: [character]
                }
            }
            return "\(name(key))=\"\(String(escaped))\""
        }.joined(separator: ",")
    }
}

/// What a scrape reads of one series.
protocol Exposed: AnyObject, Sendable {
    func write(_ name: String, _ labels: String, into text: inout String)
}

extension Exposed {
    func line(_ name: String, _ labels: String, _ value: String) -> String {
        labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
    }
}

final class ExposedCounter: CounterHandler, Exposed {
    private let value = Atomic<Int64>(0)

    func increment(by amount: Int64) {
        value.wrappingAdd(amount, ordering: .relaxed)
    }

    /// Follows a count that is kept elsewhere, and only grows.
    func follow(_ total: UInt64) {
        value.store(Int64(clamping: total), ordering: .relaxed)
    }

    func reset() {
        value.store(0, ordering: .relaxed)
    }

    func write(_ name: String, _ labels: String, into text: inout String) {
        text += line(name, labels, String(value.load(ordering: .relaxed)))
    }
}

final class ExposedGauge: RecorderHandler, Exposed {
    private let bits = Atomic<UInt64>(0)

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    func write(_ name: String, _ labels: String, into text: inout String) {
        let value = Double(bitPattern: bits.load(ordering: .relaxed))
        let isWhole = value.rounded() == value && abs(value) < 1e15
        text += line(name, labels, isWhole ? String(Int64(value)) : String(value))
    }
}

/// Spans by size. Others' recorders are taken for seconds, as their names should say.
final class ExposedHistogram: TimerHandler, RecorderHandler, Exposed {
    private let spans = Mutex(SpanHistogram())

    func recordNanoseconds(_ duration: Int64) {
        spans.withLock { $0.add(Nanoseconds(UInt64(max(duration, 0)))) }
    }

    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        recordNanoseconds(Int64(clamping: Int(max(min(value, 1e9), 0) * 1e9)))
    }

    /// Follows a histogram that is kept elsewhere, and only grows.
    func follow(_ other: SpanHistogram) {
        spans.withLock { $0 = other }
    }

    func write(_ name: String, _ labels: String, into text: inout String) {
        let spans = spans.withLock { $0 }
        var sum: UInt64 = 0
        for index in 0..<SpanHistogram.bucketCount {
            sum &+= spans[index]
            let bound = SpanHistogram.bound(of: index).map { String(Double($0.count) / 1e9) } ?? "+Inf"
            let separator = labels.isEmpty ? "" : ","
            text += "\(name)_bucket{\(labels)\(separator)le=\"\(bound)\"} \(sum)\n"
        }
        text += line(name + "_sum", labels, String(Double(spans.sum) / 1e9))
        text += line(name + "_count", labels, String(sum))
    }
}
