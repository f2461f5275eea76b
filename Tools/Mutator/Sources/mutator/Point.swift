// One place that can be made wrong, and how.

/// A mutation point. Its number is what `REACTOR_MUTANT` names; 0 is none.
struct Point {
    var number: Int
    var file: String
    /// What it stands in: a function, an initialiser, a computed property.
    var function: String
    /// The how-manieth of its kind and text there, from 1.
    var occurrence: Int
    var line: Int
    var kind: Kind
    /// The condition, or the comparison, as it stands.
    var text: String

    enum Kind: String {
        /// A guard, or an `if`, no longer holds anything back.
        case guardDropped = "guard dropped"
        /// One of its several conditions does not.
        case guardPart = "part of a guard dropped"
        /// A `where` clause that lets everything through.
        case filterDropped = "filter dropped"
        /// One side of `&&` is taken as true.
        case andPart = "part of && true"
        /// One side of `||` is taken as false.
        case orPart = "part of || false"
        case less = "< to <="
        case lessOrEqual = "<= to <"
        case greater = "> to >="
        case greaterOrEqual = ">= to >"
        case equal = "== to !="
        case unequal = "!= to =="
        case minimum = "min to max"
        case maximum = "max to min"
    }

    /// Names the point for as long as nobody touches it, whatever moves above it.
    var key: String {
        let flat = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return "\(file) \(function): \(kind.rawValue): \(flat)" + (occurrence > 1 ? " (\(occurrence))" : "")
    }

    var row: String { "\(number)\t\(key)\t\(line)" }
}
