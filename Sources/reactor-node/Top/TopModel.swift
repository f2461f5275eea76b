// What `top` shows, apart from how: the node's last answers, the order and the filter of the rows, which row is chosen. Keys
// change it; nothing here touches a terminal or a socket.

import Daemon

/// A key as the screen reads it.
enum Key: Hashable {
    case character(Character)
    case up, down, pageUp, pageDown, home, end, enter, escape, backspace
}

/// The state of one `top`.
struct TopModel {
    enum Order: String, CaseIterable {
        case peer, state, since, rtt, queue, failures, next
    }

    enum Page: Equatable {
        case peers
        /// One peer, and from which line on.
        case why(String, from: Int)
        case help
    }

    var status = JSON.null
    var slots = JSON.null
    var peers: [JSON] = []
    var why = JSON.null
    /// What went wrong with the last question; nil if nothing did.
    var trouble: String?

    var page = Page.peers
    var order = Order.peer
    var isReversed = false
    /// What the reader typed to find peers by: address, state, class, direction or reason.
    var filter = ""
    var isTyping = false
    /// The chosen peer stays chosen wherever its row goes.
    private(set) var chosen: String?
    private(set) var isOver = false
    /// The first row on the screen.
    private(set) var first = 0

    /// The peer whose `why` is open.
    var asked: String? {
        if case .why(let peer, _) = page { peer } else { nil }
    }

    /// The open `why` has no more lines than these to scroll.
    mutating func scroll(atMost lines: Int) {
        if case .why(let peer, let from) = page, from > lines { page = .why(peer, from: lines) }
    }

    /// Takes what the node said.
    mutating func take(_ answers: TopReader.Answers) {
        status = answers.status
        slots = answers.slots
        peers = answers.peers
        trouble = answers.trouble
        why = answers.asked == asked ? answers.why : .null
    }

    // MARK: Rows

    /// The rows that pass the filter, in order.
    var rows: [JSON] {
        let words = filter.lowercased().split(separator: " ")
        let shown = words.isEmpty ? peers : peers.filter { row in
            let text = TopModel.searchable(row)
            return words.allSatisfy { text.contains($0) }
        }
        let sorted = shown.enumerated().sorted { a, b in
            let (x, y) = (TopModel.rank(a.element, order), TopModel.rank(b.element, order))
            // The answer's own order, by address, decides between equals.
            return x == y ? a.offset < b.offset : x < y
        }
        let rows = sorted.map(\.element)
        return isReversed ? rows.reversed() : rows
    }

    private static func searchable(_ row: JSON) -> String {
        [row["id"], row["state"], row["class"], row["link"]?["direction"], row["lastCloseReason"]]
            .compactMap { $0?.text }.joined(separator: " ").lowercased()
    }

    private enum Rank: Comparable {
        case nothing
        case number(Double)
        case text(String)
    }

    private static func rank(_ row: JSON, _ order: Order) -> Rank {
        func number(_ value: JSON?, down: Bool = false) -> Rank { value?.real.map { .number(down ? -$0 : $0) } ?? .number(.infinity) }
        switch order {
        case .peer: return .nothing
        case .state: return .number(TopModel.trouble(ofState: row["state"]?.text ?? ""))
        // RFC 3339 in one zone sorts as text: the oldest first, those without one last.
        case .since: return .text(TopModel.began(row) ?? "~")
        case .rtt: return number(row["link"]?["rttSeconds"], down: true)
        case .queue: return number(row["link"]?["queueBytes"], down: true)
        case .failures: return number(row["failures"], down: true)
        case .next: return number(row["nextSeconds"])
        }
    }

    /// What needs a look first stands first.
    private static func trouble(ofState state: String) -> Double {
        let worstFirst = ["banned", "unresolved", "dormant", "backoff", "awaiting-inbound", "dialing", "connecting", "securing", "greeting", "held", "draining", "idle", "self"]
        return Double(worstFirst.firstIndex(of: state) ?? worstFirst.count)
    }

    /// Since when a row is in its state.
    static func began(_ row: JSON) -> String? { row["link"]?["since"]?.text ?? row["since"]?.text }

    /// Where the chosen row is; the first if it is gone.
    func chosenIndex(in rows: [JSON]) -> Int {
        rows.firstIndex { $0["id"]?.text == chosen } ?? 0
    }

    /// Scrolls so far that the chosen one of these rows is on a page of `height`, and no farther.
    mutating func keepInSight(height: Int) {
        let rows = rows, chosen = chosenIndex(in: rows)
        first = max(min(first, chosen, rows.count - height), chosen - height + 1, 0)
    }

    // MARK: Keys

    /// Takes a key. `height` is how many rows a page has.
    mutating func take(_ key: Key, height: Int) {
        if isTyping { return type(key) }
        switch page {
        case .help: page = .peers
        case .why(let peer, let from): takeInWhy(key, peer, from, height)
        case .peers: takeInPeers(key, height)
        }
    }

    private mutating func type(_ key: Key) {
        switch key {
        case .character(let character): filter.append(character)
        case .backspace: _ = filter.popLast()
        case .enter: isTyping = false
        case .escape:
            filter = ""
            isTyping = false
        case .up, .down, .pageUp, .pageDown, .home, .end: break
        }
    }

    private mutating func takeInWhy(_ key: Key, _ peer: String, _ from: Int, _ height: Int) {
        switch key {
        case .escape, .backspace, .enter, .character("q"): page = .peers
        case .down, .character("j"): page = .why(peer, from: from + 1)
        case .up, .character("k"): page = .why(peer, from: max(from - 1, 0))
        case .pageDown, .character(" "): page = .why(peer, from: from + height)
        case .pageUp: page = .why(peer, from: max(from - height, 0))
        case .home: page = .why(peer, from: 0)
        case .end: page = .why(peer, from: 1 << 20)
        case .character: break
        }
    }

    private mutating func takeInPeers(_ key: Key, _ height: Int) {
        switch key {
        case .character("q"): isOver = true
        case .character("?"), .character("h"): page = .help
        case .character("/"): isTyping = true
        case .character("s"): sort(1)
        case .character("S"): sort(-1)
        case .character("r"): isReversed.toggle()
        case .escape: filter = ""
        case .up, .character("k"): choose(-1)
        case .down, .character("j"): choose(1)
        case .pageUp: choose(-height)
        case .pageDown: choose(height)
        case .home, .character("g"): choose(-rows.count)
        case .end, .character("G"): choose(rows.count)
        case .enter:
            let rows = rows
            guard !rows.isEmpty, let id = rows[chosenIndex(in: rows)]["id"]?.text else { return }
            chosen = id
            why = .null
            page = .why(id, from: 0)
        case .backspace, .character: break
        }
    }

    private mutating func sort(_ steps: Int) {
        let all = Order.allCases
        order = all[((all.firstIndex(of: order) ?? 0) + steps + all.count) % all.count]
    }

    private mutating func choose(_ steps: Int) {
        let rows = rows
        guard !rows.isEmpty else { return }
        let index = min(max(chosenIndex(in: rows) + steps, 0), rows.count - 1)
        chosen = rows[index]["id"]?.text
    }

    /// The end was asked for otherwise than by a key.
    mutating func end() { isOver = true }
}
