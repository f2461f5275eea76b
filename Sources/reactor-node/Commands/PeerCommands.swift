// `reactor-node status|peers|masternodes|why|slots`: what an operator asks all day.

import ArgumentParser
import Daemon

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Says who the node is, how it is reached, and how many links it holds.")

    @OptionGroup var options: ClientOptions

    func run() throws {
        try options.get("/status") { status in
            let links = status["links"], peers = status["peers"]
            func count(_ object: JSON?, _ key: String) -> String { Say.text(object?[key]) }
            Output.line("\(Say.text(status["version"])), process \(Say.text(status["pid"])), up \(Say.span(status["uptimeSeconds"]))")
            let health = Say.text(status["health"])
            Output.line("health      \(Output.paint(health, Output.colour(ofState: health)))\(health == "good" ? "" : "; `reactor-node health` says why")")
            Output.line("network     \(Say.text(status["network"])), \(Say.text(status["dialect"])) dialect, as a \(Say.text(status["role"])) node")
            Output.line("listening   \((status["listening"]?.elements ?? []).compactMap(\.text).joined(separator: ", "))")
            for trouble in status["listenTrouble"]?.elements ?? [] {
                Output.line("            \(Output.paint("trouble", .red)): \(trouble["listen"]?.text.map { "\($0): " } ?? "")\(Say.text(trouble["text"]))")
            }
            Output.line("advertised  \(status["advertised"]?.text ?? "nothing")")
            if let rebuilds = status["loopRebuilds"]?.whole, rebuilds > 0 {
                Output.line("loop        epoll was made anew \(rebuilds) times: a child process holds sockets that were closed here")
            }
            if let trouble = status["store"]?["trouble"]?.text { Output.line("store       \(Output.paint("failing", .red)): \(trouble)") }
            else { Output.line("store       \(status["store"]?["path"]?.text ?? "none: what is done and learnt ends with the process")") }
            Output.line("seen as     \(StatusCommand.seen(status["reach"]))")
            Output.line("reach       \(Say.text(status["reach"]?["text"]))")
            if let warning = status["reach"]?["warning"]?.text { Output.line("            \(Output.paint("warning", .yellow)): \(warning)") }
            Output.line(
                "links       \(count(links, "established")) established (\(count(links, "masternodes")) masternodes, \(count(links, "regular")) regular; "
                    + "\(count(links, "inbound")) inbound, \(count(links, "outbound")) outbound), \(count(links, "dialing")) being dialled, "
                    + "\(count(links, "pending")) pending, \(count(links, "draining")) draining")
            Output.line(
                "peers       \(count(peers, "known")) known, \(count(peers, "wanted")) wanted, \(count(peers, "masternodes")) masternodes, \(count(peers, "banned")) banned")
        }
    }
}

extension StatusCommand {
    /// By which addresses others see the node.
    static func seen(_ reach: JSON?) -> String {
        let seen = (reach?["seenAs"]?.elements ?? []).map { "\(Say.text($0["address"])) by \(Say.text($0["peers"])) of the last peers" }
        return seen.isEmpty ? "nobody has said yet" : seen.joined(separator: ", ")
    }
}

/// Rows of peers as a table.
enum PeerTable {
    static func write(_ peers: JSON) {
        var table = Table("PEER", "STATE", "?CLASS", "DIR", "?SINCE", "#RTT", "?#QUEUE", "?#IN", "?#OUT", "?#FAILS", "#NEXT", "LAST CLOSE", "?WANTED BY", "?NAME")
        for peer in peers.elements {
            let link = peer["link"] ?? .null
            let isUp = link["state"]?.text == "established"
            let state = Say.text(peer["state"])
            let names = (peer["names"]?.elements ?? []).compactMap(\.text).joined(separator: ",")
            let wanted = (peer["wantedBy"]?.elements ?? []).compactMap(\.text).joined(separator: ",")
            table.add([
                .init(text: Say.text(peer["id"])), .init(text: state, colour: Output.colour(ofState: state)),
                .init(text: Say.text(peer["class"])), .init(text: link["direction"].map { $0.text == "inbound" ? "in" : "out" } ?? "-"),
                .init(text: Say.date(isUp ? link["since"] : peer["since"])), .init(text: Say.milliseconds(link["rttSeconds"])),
                .init(text: Say.bytes(link["queueBytes"])), .init(text: Say.bytes(link["bytesIn"])), .init(text: Say.bytes(link["bytesOut"])),
                .init(text: Say.text(peer["failures"])), .init(text: Say.span(peer["nextSeconds"])),
                .init(text: Say.reason(peer["lastCloseReason"])), .init(text: wanted.isEmpty ? "-" : wanted),
                .init(text: names.isEmpty ? "-" : names),
            ])
        }
        table.write(orSay: "no peers")
    }
}

struct PeersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peers", abstract: "Lists every peer of the book, and every link that is nobody's yet; or one peer.")

    @Argument(help: ArgumentHelp("Only this peer: ADDRESS:PORT or HOST:PORT", valueName: "host:port")) var peer: String?
    @Option(help: ArgumentHelp("Only peers in this state: established, backoff, banned …", valueName: "state")) var state: String?
    @Option(name: .customLong("class"), help: ArgumentHelp("Only masternode, or only regular", valueName: "class")) var role: String?
    @Option(help: ArgumentHelp("Only links that are inbound, or outbound", valueName: "direction")) var direction: String?
    @Flag(help: "Only peers that somebody wants") var wanted = false
    @OptionGroup var options: ClientOptions

    func run() throws {
        let target = ClientOptions.target(
            "/peers", [("state", state), ("class", role), ("direction", direction), ("wanted", wanted ? "true" : nil), ("peer", peer)])
        try options.get(target) { PeerTable.write($0) }
    }
}

struct MasternodesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "masternodes", abstract: "Lists the masternodes; adds one to a running node, or takes it back.",
        subcommands: [List.self, Add.self, Remove.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists the masternodes that the node keeps links to.")
        @OptionGroup var options: ClientOptions

        func run() throws { try options.get("/masternodes") { PeerTable.write($0) } }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Adds a masternode, beside those of the registry.")
        @Argument(help: ArgumentHelp("The masternode: ADDRESS:PORT or HOST:PORT", valueName: "host:port")) var peer: String
        @OptionGroup var options: ClientOptions

        func run() throws { try options.post("/masternodes", .members(("peer", .string(peer)))) { ActionWords.write($0) } }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Takes back a masternode that was added.")
        @Argument(help: ArgumentHelp("The masternode: ADDRESS:PORT or HOST:PORT", valueName: "host:port")) var peer: String
        @OptionGroup var options: ClientOptions

        func run() throws {
            try options.post("/masternodes/\(ClientOptions.escape(peer))", .null, method: "DELETE") { ActionWords.write($0) }
        }
    }
}

struct WhyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why", abstract: "Says why a peer is linked, or why it is not; what happens next, and when.",
        discussion: "The answer is the value by which the node itself decides. docs/Why.md lists every answer there is.")

    @Argument(help: ArgumentHelp("The peer: ADDRESS:PORT or HOST:PORT", valueName: "host:port")) var peer: String
    @OptionGroup var options: ClientOptions

    func run() throws {
        try options.get("/peers/\(ClientOptions.escape(peer))/why") { WhyWords.write($0) }
    }
}

/// The answer to "why?" on a screen.
enum WhyWords {
    static func write(_ why: JSON) {
        let state = Say.text(why["state"])
        Output.line("\(Say.text(why["id"]))  \(Output.paint(state, Output.colour(ofState: state)))")
        let names = (why["names"]?.elements ?? []).compactMap(\.text).filter { $0 != why["id"]?.text }
        if !names.isEmpty { Output.line("name      \(names.joined(separator: ", "))") }
        Output.line("why       \(Say.text(why["sentence"]))")
        let next = why["next"]
        let due = next?["seconds"]?.real == nil ? "" : ", in \(Say.span(next?["seconds"])) (\(Say.time(next?["at"])))"
        Output.line("next      \(Say.text(next?["step"]))\(due)")
        if let advice = why["advice"]?.text, !advice.isEmpty { Output.line("advice    \(advice)") }
        let by = (why["wanted"]?["by"]?.elements ?? []).compactMap(\.text).joined(separator: ", ")
        let wanted = why["wanted"]?["is"]?.truth == true
        Output.line("wanted    \(wanted ? "yes, by \(by)" : by.isEmpty ? "no" : "no; known as \(by)")")
        if let turn = why["turn"]?["text"]?.text { Output.line("turn      \(turn)") }
        if let ban = why["ban"], !ban.isNull {
            Output.line("ban       \(Say.text(ban["subject"])) by \(Say.text(ban["by"])), until \(ban["until"]?.text ?? "it is lifted")\(ban["reason"]?.text.map { ": \($0)" } ?? "")")
        }
        if let slots = why["slots"] {
            Output.line(
                "slots     \(Say.text(slots["taken"])) of \(Say.text(slots["slots"])) taken; regular peers: "
                    + "\(Say.text(slots["regularTaken"])) of \(Say.text(slots["regularSlots"]))")
        }
        if let attempts = why["attempts"] {
            Output.line(
                "attempts  \(Say.text(attempts["dials"])) dials, \(Say.text(attempts["established"])) links; "
                    + "\(Say.text(attempts["failuresInARow"])) failures in a row; last close: \(Say.reason(why["lastCloseReason"]))")
        }
        if let link = why["link"], !link.isNull {
            Output.line(
                "link      \(Say.text(link["state"])), \(Say.text(link["direction"])), since \(Say.date(link["since"])), rtt \(Say.milliseconds(link["rttSeconds"])), "
                    + "in \(Say.bytes(link["bytesIn"])), out \(Say.bytes(link["bytesOut"])), queue \(Say.bytes(link["queueBytes"])), misses \(Say.text(link["misses"]))")
        }
        let history = why["history"]?.elements ?? []
        guard !history.isEmpty else { return }
        Output.line("history")
        for entry in history { Output.line("  " + EventWords.line(entry, withPeer: false)) }
    }
}

struct SlotsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "slots", abstract: "Says how many slots there are, for whom, and how many are taken.")
    @OptionGroup var options: ClientOptions

    func run() throws {
        try options.get("/slots") { slots in
            var table = Table("", "#NOW", "#LIMIT")
            let regular = slots["regular"], masternodes = slots["masternodes"]
            let established = (regular?["established"]?.whole ?? 0) + (masternodes?["established"]?.whole ?? 0)
            table.add([.init(text: "linked peers"), .init(text: String(established)), .init(text: Say.text(slots["maxPeers"]))])
            table.add([.init(text: "  masternodes"), .init(text: Say.text(masternodes?["established"])), .init(text: Say.text(slots["maxPeers"]))])
            let taken = (regular?["established"]?.whole ?? 0) + (regular?["dialing"]?.whole ?? 0)
            table.add([.init(text: "  regular, linked or dialled"), .init(text: String(taken)), .init(text: Say.text(slots["regularSlots"]))])
            for name in ["dials", "pending", "draining"] {
                table.add([.init(text: name), .init(text: Say.text(slots[name]?["now"])), .init(text: Say.text(slots[name]?["limit"]))])
            }
            table.write(orSay: "no slots")
        }
    }
}
