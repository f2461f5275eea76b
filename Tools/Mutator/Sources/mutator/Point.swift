// One place that can be made wrong, and how.

/// A mutation point. Its number is what `REACTOR_MUTANT` names; 0 is none.
struct Point {
    var number: Int
    var file: String
    var line: Int
    var kind: Kind
    /// The condition, or the comparison, as it stands.
    var text: String

    enum Kind: String {
        /// The condition of a guard is taken as true.
        case guardDropped = "guard dropped"
        /// One of several conditions of a guard is.
        case guardPart = "part of a guard dropped"
        case taken = "condition true"
        case skipped = "condition false"
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

    var row: String {
        let flat = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return "\(number)\t\(file):\(line)\t\(kind.rawValue)\t\(flat)"
    }
}
