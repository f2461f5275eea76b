// The scenario file: one word and its values a line. What is written here is read there, and the other way round.

import PeerMesh

/// A line of a scenario file, or an option, that cannot be read.
public struct ScenarioError: Error, Equatable {
    public var line: Int
    public var text: String
}

extension Scenario {
    /// The scenario as a file.
    public var text: String {
        var lines = [
            "name \(name)", "nodes \(nodes)", "masternodes \(masternodes)", "time \(Span.text(duration))", "seed \(seed)",
            "latency \(Span.text(latency))", "jitter \(Span.text(jitter))", "loss \(Share.text(loss))", "seeds \(seeds)",
        ]
        if let maxPeers { lines.append("max-peers \(maxPeers)") }
        if let book { lines.append("book \(book)") }
        if registryForAll { lines.append("registry all") }
        if let statedBound { lines.append("bound \(Span.text(statedBound))") }
        if let checkEvery { lines.append("check \(checkEvery)") }
        #if MESH_CANARIES
            if let canary { lines.append("canary \(canary)") }
        #endif
        lines += groups.map { "group \($0.name) \($0.size.text) \($0.among.rawValue)" }
        lines += steps.map { "at \(Span.text($0.at)) \($0.action.text)" }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Reads a scenario file. What it does not name stays as it is.
    public mutating func read(_ text: String) throws(ScenarioError) {
        groups = []
        steps = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let bare = line.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
            let words = bare.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\r" }).map(String.init)
            guard !words.isEmpty else { continue }
            guard readLine(words) else { throw ScenarioError(line: index + 1, text: String(line)) }
        }
        steps = steps.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    }

    private mutating func readLine(_ words: [String]) -> Bool {
        guard words.count >= 2 else { return false }
        switch words[0] {
        case "group": return readGroup(words)
        case "at": return readStep(words)
        default: return words.count == 2 && set(words[0], words[1])
        }
    }

    /// One setting by its name; the command line's options have the same names.
    mutating func set(_ name: String, _ value: String) -> Bool {
        switch name {
        case "name": self.name = value
        case "nodes": return Int(value).map { nodes = $0 } != nil
        case "masternodes": return Int(value).map { masternodes = $0 } != nil
        case "time": return Span.read(value).map { duration = $0 } != nil
        case "hours": return Double(value).flatMap { Span.whole($0 * 3_600_000) }.map { duration = $0 } != nil
        case "seed": return UInt64(value).map { seed = $0 } != nil
        case "latency": return Span.read(value).map { latency = max(1, $0) } != nil
        case "jitter": return Span.read(value).map { jitter = $0 } != nil
        case "loss": return Share.read(value).map { loss = $0 } != nil
        case "seeds": return Int(value).map { seeds = $0 } != nil
        case "max-peers": return Int(value).map { maxPeers = $0 } != nil
        case "book": return Int(value).map { book = $0 } != nil
        case "registry" where value == "all" || value == "masternodes": registryForAll = value == "all"
        case "bound": return Span.read(value).map { statedBound = $0 } != nil
        case "check": return Int(value).map { checkEvery = max(1, $0) } != nil
        #if MESH_CANARIES
            case "canary":
                canary = Canary.allCases.first { "\($0)" == value }
                return canary != nil
        #endif
        default: return false
        }
        return true
    }

    /// What the numbers must be for a world to be built; nil if they are.
    public var complaint: String? {
        if !(1...60_000).contains(nodes) { return "nodes must be 1 to 60,000" }
        if !(0...min(nodes, 4_096)).contains(masternodes) { return "masternodes must be at most as many as nodes, and at most 4,096" }
        if duration < 1_000 || duration > 480 * 3_600_000 { return "the time must be 1 s to 480 h" }
        if latency + jitter > 5_000 { return "latency and jitter must be at most 5 s together" }
        if !(0...1_000_000).contains(loss) { return "loss must be 0 to 100 %" }
        if groups.count > 16 { return "there are at most 16 groups" }
        if let maxPeers, !(1...10_000).contains(maxPeers) { return "max-peers must be 1 to 10,000" }
        if let book, !(1...1_000_000).contains(book) { return "book must be 1 to 1,000,000" }
        if !(0...100).contains(seeds) { return "seeds must be 0 to 100" }
        let settings = settings(role: .masternode, nonce: 0, seed: 0)
        if Int(settings.maxPeers) < masternodes - 1 {
            return "max-peers must hold the \(masternodes - 1) other masternodes: a link to each of them is what is checked"
        }
        // A registered node's own endpoint has a row, too.
        if Int(settings.bookCapacity) < masternodes {
            return "book must hold all \(masternodes) masternodes: a link to each other one is what is checked"
        }
        if nodes * Int(settings.maxPeers + settings.bookCapacity) > 100_000_000 {
            return "nodes × (max-peers + book) must be at most 100 million: every node has tables of that size"
        }
        for step in steps {
            if case .latency(let span, let jitter) = step.action, span + jitter > 5_000 {
                return "latency and jitter must be at most 5 s together, at \(Span.text(step.at)), too"
            }
            for group in step.action.groupNames where group != "all" {
                let plain = group.hasPrefix("!") ? String(group.dropFirst()) : group
                if !groups.contains(where: { $0.name == plain }) { return "there is no group \(plain)" }
            }
        }
        return nil
    }

    private mutating func readGroup(_ words: [String]) -> Bool {
        guard words.count == 3 || words.count == 4, !words[1].hasPrefix("!"), words[1] != "all" else { return false }
        guard !groups.contains(where: { $0.name == words[1] }), let size = Group.Size(words[2]) else { return false }
        guard let among = words.count == 4 ? Group.Among(rawValue: words[3]) : .all else { return false }
        groups.append(Group(words[1], size, of: among))
        return true
    }

    private mutating func readStep(_ words: [String]) -> Bool {
        guard words.count >= 3, let at = Span.read(words[1]), let action = Step.Action(Array(words[2...])) else { return false }
        steps.append(Step(at: at, action))
        return true
    }
}

extension Group.Size {
    var text: String {
        switch self {
        case .percent(let share): "\(share)%"
        case .count(let count): "\(count)"
        }
    }

    init?(_ text: String) {
        if text.hasSuffix("%"), let share = Int(text.dropLast()), (0...100).contains(share) {
            self = .percent(share)
        } else if let count = Int(text), count >= 0 {
            self = .count(count)
        } else {
            return nil
        }
    }
}

extension Step.Action {
    /// The step as the file says it.
    public var text: String {
        switch self {
        case .crash(let group, let silently): "crash \(group)" + (silently ? " silently" : "")
        case .restart(let group, let keepsBook, let over):
            "restart \(group)" + (keepsBook ? "" : " forgetting") + (over > 0 ? " over \(Span.text(over))" : "")
        case .roll(let group, let down, let over): "roll \(group) down \(Span.text(down)) over \(Span.text(over))"
        case .wall(let from, let to, let isTwoWay, let onlyDials):
            "wall \(from) \(to)" + (isTwoWay ? "" : " one-way") + (onlyDials ? " dials" : "")
        case .open: "open"
        case .silence(let share): "silence \(Share.text(share))"
        case .reset(let share): "reset \(Share.text(share))"
        case .freeze(let group): "freeze \(group)"
        case .thaw(let group): "thaw \(group)"
        case .jump(let group, let span): "jump \(group) \(Span.text(span))"
        case .flap(let group, let up, let down): "flap \(group) up \(Span.text(up)) down \(Span.text(down))"
        case .calm(let group): "calm \(group)"
        case .slow(let group, let span): "slow \(group) \(Span.text(span))"
        case .latency(let span, let jitter): "latency \(Span.text(span)) jitter \(Span.text(jitter))"
        case .loss(let share): "loss \(Share.text(share))"
        case .lie(let group, let lie): "lie \(group) \(lie?.rawValue ?? "none")"
        case .firewall(let group): "firewall \(group)"
        case .nat(let group): "nat \(group)"
        case .multihome(let group): "multihome \(group)"
        case .source(let group, let source): "source \(group) \(source.rawValue)"
        case .unregister(let group): "unregister \(group)"
        case .register(let group): "register \(group)"
        }
    }

    /// The groups that the step names.
    var groupNames: [String] {
        switch self {
        case .wall(let from, let to, _, _): [from, to]
        case .open, .silence, .reset, .latency, .loss: []
        case .crash(let group, _), .restart(let group, _, _), .roll(let group, _, _), .freeze(let group), .thaw(let group),
            .jump(let group, _), .flap(let group, _, _), .calm(let group), .slow(let group, _), .lie(let group, _), .firewall(let group),
            .nat(let group), .multihome(let group), .source(let group, _), .unregister(let group), .register(let group):
            [group]
        }
    }

    /// The step that these words of a file say; nil if they say none.
    init?(_ words: [String]) {
        let rest = Array(words.dropFirst())
        let group = rest.first ?? ""
        let flags = rest.dropFirst()
        func span(after word: String) -> Int? {
            guard let place = rest.firstIndex(of: word), place + 1 < rest.count else { return nil }
            return Span.read(rest[place + 1])
        }
        switch (words[0], rest.count) {
        case ("open", 0): self = .open
        case ("crash", 1...2) where flags.allSatisfy { $0 == "silently" }: self = .crash(group, silently: !flags.isEmpty)
        case ("restart", 1...4):
            let known = flags.filter { $0 == "forgetting" }.count + (span(after: "over") != nil ? 2 : 0)
            guard known == flags.count else { return nil }
            self = .restart(group, keepsBook: !flags.contains("forgetting"), over: span(after: "over") ?? 0)
        case ("roll", 5):
            guard let down = span(after: "down"), let over = span(after: "over") else { return nil }
            self = .roll(group, down: down, over: over)
        case ("wall", 2...4) where rest.dropFirst(2).allSatisfy { $0 == "one-way" || $0 == "dials" }:
            self = .wall(group, rest[1], isTwoWay: !rest.contains("one-way"), onlyDials: rest.contains("dials"))
        case ("flap", 5):
            guard let up = span(after: "up"), let down = span(after: "down") else { return nil }
            self = .flap(group, up: up, down: down)
        case ("latency", 3):
            guard let span0 = Span.read(rest[0]), let jitter = span(after: "jitter") else { return nil }
            self = .latency(span0, jitter: jitter)
        default:
            guard let simple = Step.Action(simple: words[0], rest) else { return nil }
            self = simple
        }
    }

    private init?(simple word: String, _ rest: [String]) {
        switch (word, rest.count) {
        case ("silence", 1): if let share = Share.read(rest[0]) { self = .silence(share) } else { return nil }
        case ("reset", 1): if let share = Share.read(rest[0]) { self = .reset(share) } else { return nil }
        case ("loss", 1): if let share = Share.read(rest[0]) { self = .loss(share) } else { return nil }
        case ("freeze", 1): self = .freeze(rest[0])
        case ("thaw", 1): self = .thaw(rest[0])
        case ("jump", 2): if let span = Span.read(rest[1]) { self = .jump(rest[0], span) } else { return nil }
        case ("slow", 2): if let span = Span.read(rest[1]), span <= 30_000 { self = .slow(rest[0], span) } else { return nil }
        case ("calm", 1): self = .calm(rest[0])
        case ("lie", 2) where rest[1] == "none": self = .lie(rest[0], nil)
        case ("lie", 2): if let lie = Lie(rawValue: rest[1]) { self = .lie(rest[0], lie) } else { return nil }
        case ("firewall", 1): self = .firewall(rest[0])
        case ("nat", 1): self = .nat(rest[0])
        case ("multihome", 1): self = .multihome(rest[0])
        case ("source", 2): if let source = Source(rawValue: rest[1]) { self = .source(rest[0], source) } else { return nil }
        case ("unregister", 1): self = .unregister(rest[0])
        case ("register", 1): self = .register(rest[0])
        default: return nil
        }
    }
}

/// Milliseconds as people write them: `250ms`, `90s`, `10m`, `1.5h`.
enum Span {
    static func read(_ text: String) -> Int? {
        let digits = text.prefix { $0.isNumber || $0 == "." }
        guard let number = Double(digits), number >= 0 else { return nil }
        let factor: Double
        switch text.dropFirst(digits.count) {
        case "ms": factor = 1
        case "s": factor = 1_000
        case "m": factor = 60_000
        case "h": factor = 3_600_000
        case "" where number == 0: factor = 0
        default: return nil
        }
        return whole(number * factor)
    }

    /// More than a year makes no sense anywhere, and would not fit into what is computed from it.
    static func whole(_ milliseconds: Double) -> Int? {
        (0...longest).contains(milliseconds) ? Int(milliseconds.rounded()) : nil
    }

    private static let longest = 366.0 * 24 * 3_600_000

    static func text(_ milliseconds: Int) -> String {
        if milliseconds == 0 { return "0s" }
        if milliseconds % 3_600_000 == 0 { return "\(milliseconds / 3_600_000)h" }
        if milliseconds % 60_000 == 0 { return "\(milliseconds / 60_000)m" }
        return milliseconds % 1_000 == 0 ? "\(milliseconds / 1_000)s" : "\(milliseconds)ms"
    }
}

/// Millionths as people write them: `2.5%`.
enum Share {
    static func read(_ text: String) -> Int? {
        guard let number = Double(text.hasSuffix("%") ? String(text.dropLast()) : text), (0...100).contains(number) else { return nil }
        return Int((number * 10_000).rounded())
    }

    static func text(_ millionths: Int) -> String {
        let whole = millionths / 10_000
        let rest = millionths % 10_000
        if rest == 0 { return "\(whole)%" }
        var digits = String(10_000 + rest).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return "\(whole).\(digits)%"
    }
}
