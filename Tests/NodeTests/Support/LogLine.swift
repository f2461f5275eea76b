// What a program says, line by line, as the tests read it.

import Foundation

/// One line of a program's output; if it is a JSON object, its fields.
struct LogLine: Sendable, CustomStringConvertible {
    let text: String
    let fields: [String: String]
    /// Seconds on the monotonic clock at which the test read it.
    let readAt: Double

    init(_ text: String) {
        self.text = text
        readAt = Clock.seconds
        guard text.hasPrefix("{"),
            let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        else {
            fields = [:]
            return
        }
        fields = object.mapValues { "\($0)" }
    }

    subscript(key: String) -> String? { fields[key] }

    /// When it happened, by the program's own word: seconds since 1970.
    var time: Double? {
        guard let text = fields["time"], let date = try? Date(text, strategy: .iso8601.year().month().day().time(includingFractionalSeconds: true)) else { return nil }
        return date.timeIntervalSince1970
    }
    var description: String { text }
}
