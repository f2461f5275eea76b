// A request's way to an operation: the target is split, matched against the table, and every value of it checked, so that what
// comes after deals in endpoints and spans, not in text.

import PeerMesh
import Timers

/// A request whose every value is known to be good.
struct Request: Sendable {
    let operation: Operation
    private(set) var values: [String: Value] = [:]
    /// The user at the other end of the Unix socket.
    var user: UInt32?
    /// Where a follower wants to go on.
    var lastEvent: UInt64?

    enum Value: Sendable, Equatable {
        case peer(PeerReference)
        case subnet(Subnet)
        case span(Nanoseconds)
        case count(UInt64)
        case flag(Bool)
        case text(String)
    }

    /// Reads a request, or says what is wrong with it.
    init(method: String, target: String, body: [UInt8]) throws(Problem) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let segments = try (parts.first ?? "").split(separator: "/").map { segment throws(Problem) in try Request.decode(segment, isQuery: false) }
        let matches = Operation.allCases.filter { Request.matches($0.route, segments) }
        guard !matches.isEmpty else {
            throw Problem.notFound("there is no '\(parts.first ?? "")'; `GET /` lists what there is")
        }
        guard let operation = matches.first(where: { $0.route.method.rawValue == method }) else {
            let allowed = matches.map(\.route.method.rawValue).joined(separator: ", ")
            throw Problem(405, "Method not allowed", "'\(parts.first ?? "")' takes \(allowed), not \(method)")
        }
        self.operation = operation
        let route = operation.route
        for (index, segment) in route.segments.enumerated() where segment.hasPrefix("{") {
            try take(String(segment.dropFirst().dropLast()), .string(segments[index]), in: route, from: [.path])
        }
        if parts.count == 2 { try takeQuery(parts[1], route) }
        try takeBody(body, route)
        for parameter in route.parameters where parameter.isRequired && values[parameter.name] == nil {
            throw Problem.badRequest("'\(parameter.name)' is missing: \(parameter.text)")
        }
    }

    static func methods(at target: String) -> [String] {
        let path = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
        let segments = path.split(separator: "/").map(String.init)
        return Operation.allCases.filter { matches($0.route, segments) }.map(\.route.method.rawValue)
    }

    private static func matches(_ route: Route, _ segments: [String]) -> Bool {
        let pattern = route.segments
        return pattern.count == segments.count
            && zip(pattern, segments).allSatisfy { $0.hasPrefix("{") || $0 == $1 }
    }

    private mutating func takeQuery(_ query: Substring, _ route: Route) throws(Problem) {
        for pair in query.split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try Request.decode(sides[0], isQuery: true)
            let value = sides.count == 2 ? try Request.decode(sides[1], isQuery: true) : "true"
            try take(name, .string(value), in: route, from: [.query, .body])
        }
    }

    private mutating func takeBody(_ body: [UInt8], _ route: Route) throws(Problem) {
        guard body.contains(where: { $0 > 0x20 }) else { return }
        let value: JSON
        do throws(JSONError) { value = try JSON(reading: body) } catch {
            throw Problem.badRequest("the body is not JSON: \(error)")
        }
        guard case .object(let members) = value else { throw Problem.badRequest("the body is JSON, but no object") }
        for member in members where !member.value.isNull { try take(member.key, member.value, in: route, from: [.body]) }
    }

    private mutating func take(_ name: String, _ value: JSON, in route: Route, from places: [Parameter.Place]) throws(Problem) {
        guard let parameter = route.parameters.first(where: { $0.name == name && places.contains($0.place) }) else {
            let known = route.parameters.filter { places.contains($0.place) }.map { "'\($0.name)'" }
            let accepted = known.isEmpty ? "takes none" : "takes \(known.joined(separator: ", "))"
            throw Problem.badRequest("\(route.method.rawValue) \(route.path) knows no '\(name)'; it \(accepted)")
        }
        guard values[name] == nil else { throw Problem.badRequest("'\(name)' is given twice") }
        values[name] = try Request.read(value, as: parameter)
    }

    private static func read(_ value: JSON, as parameter: Parameter) throws(Problem) -> Value {
        func refuse(_ accepted: String) -> Problem {
            .badValue("'\(parameter.name)' is \(value.line.prefix(120)): give \(accepted)")
        }
        switch parameter.kind {
        case .peer:
            guard let text = value.text, let reference = PeerReference(text) else {
                throw .badValue("'\((value.text ?? value.line).prefix(120))' is not a peer: give \(PeerName.acceptedForm)")
            }
            return .peer(reference)
        case .subject:
            if let subnet = value.text.flatMap({ Subnet($0) }) { return .subnet(subnet) }
            guard let reference = value.text.flatMap({ PeerReference($0) }) else {
                throw refuse("an address, a range such as 192.0.2.0/24 or 2001:db8::/32, or the name of a peer")
            }
            return .peer(reference)
        case .span:
            guard let text = value.text, let span = Nanoseconds(span: text) else { throw refuse(Nanoseconds.acceptedForm) }
            return .span(span)
        case .count:
            if let whole = value.whole, whole >= 0 { return .count(UInt64(whole)) }
            if let text = value.text, let whole = UInt64(text) { return .count(whole) }
            throw refuse("a whole number")
        case .flag:
            switch value {
            case .bool(let truth): return .flag(truth)
            case .string("true"): return .flag(true)
            case .string("false"): return .flag(false)
            case .null, .integer, .number, .string, .array, .object: throw refuse("true or false")
            }
        case .text:
            guard let text = value.text, text.utf8.count <= 256, text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f }) else {
                throw refuse("one line of at most 256 bytes")
            }
            return .text(text)
        case .choice(let choices):
            guard let text = value.text, choices.contains(text) else { throw refuse("one of \(choices.joined(separator: ", "))") }
            return .text(text)
        }
    }

    /// Percent signs to bytes, and those to text.
    private static func decode(_ text: Substring, isQuery: Bool) throws(Problem) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "%"):
                guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                    rest.first != UInt8(ascii: "+")
                else { throw Problem.badRequest("'\(text)' has a '%' without two hex digits") }
                bytes.append(value)
                rest = rest.dropFirst(2)
            case UInt8(ascii: "+") where isQuery: bytes.append(0x20)
            default: bytes.append(byte)
            }
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else { throw Problem.badRequest("'\(text)' is not UTF-8") }
        return decoded
    }
}

extension Request {
    func peer(_ name: String) -> PeerReference? { if case .peer(let value) = values[name] { value } else { nil } }
    func subnet(_ name: String) -> Subnet? { if case .subnet(let value) = values[name] { value } else { nil } }
    func span(_ name: String) -> Nanoseconds? { if case .span(let value) = values[name] { value } else { nil } }
    func count(_ name: String) -> UInt64? { if case .count(let value) = values[name] { value } else { nil } }
    func flag(_ name: String) -> Bool { values[name] == .flag(true) }
    func text(_ name: String) -> String? { if case .text(let value) = values[name] { value } else { nil } }
}
