// `reactor-node connect|disconnect|redial|ban|unban|trust|untrust|drain|reload|log-level`: what changes a running node.

import ArgumentParser
import Daemon

/// What a change came to, in a line.
enum ActionWords {
    static func write(_ answer: JSON) {
        let done = Say.text(answer["done"])
        if let peer = answer["peer"]?.text {
            let state = answer["now"]?["state"]?.text ?? "not known any more"
            return Output.line("\(done) \(peer): now \(Output.paint(state, Output.colour(ofState: state)))")
        }
        if let subject = answer["subject"]?.text {
            let peers = (answer["peers"]?.elements ?? []).compactMap(\.text)
            let length = answer["seconds"].map { $0.isNull ? " for ever" : " for \(Say.span($0))" } ?? ""
            let from = answer["from"]?.text.map { " from \($0)" } ?? ""
            let until = answer["until"]?.text.map { " until \($0)" } ?? ""
            return Output.line("\(done) \(subject)\(length)\(from)\(until)" + (peers.isEmpty ? "" : "; it covers \(peers.joined(separator: ", "))"))
        }
        if let level = answer["level"]?.text { return Output.line("\(done): \(level)") }
        Output.line("\(done): done")
    }
}

struct ConnectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "connect", abstract: "Keeps a link to this peer, for ever.")
    @Argument(help: ArgumentHelp("The peer: ADDRESS:PORT or HOST:PORT", valueName: "host:port")) var peer: String
    @OptionGroup var options: ClientOptions

    func run() throws { try options.post("/connect", .members(("peer", .string(peer)))) { ActionWords.write($0) } }
}

struct DisconnectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disconnect", abstract: "Closes a peer's links and wants it no longer.",
        discussion: "A masternode of the registry is dialled again all the same: `ban` keeps it away.")
    @Argument(help: ArgumentHelp("The peer: ADDRESS:PORT or HOST:PORT", valueName: "host:port")) var peer: String
    @OptionGroup var options: ClientOptions

    func run() throws { try options.post("/disconnect", .members(("peer", .string(peer)))) { ActionWords.write($0) } }
}

struct RedialCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "redial", abstract: "Dials now: forgets failures and waits, of one peer or of all.")
    @Argument(help: ArgumentHelp("The peer: ADDRESS:PORT or HOST:PORT", valueName: "host:port")) var peer: String?
    @Flag(help: "Every peer that waits") var all = false
    @OptionGroup var options: ClientOptions

    func validate() throws {
        if (peer == nil) != all { throw OptionConflict(option: "all", value: peer ?? "nothing", accepted: "a peer, or --all") }
    }

    func run() throws {
        let body: JSON = all ? .members(("all", .bool(true))) : .members(("peer", peer.map(JSON.string)))
        try options.post("/redial", body) { ActionWords.write($0) }
    }
}

struct BanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ban", abstract: "Bans an address or a range, and closes its links.",
        discussion: "An operator's ban stands above trust, and trust above an automatic ban.")
    @Argument(help: ArgumentHelp("An address, a range such as 192.0.2.0/24, or the name of a peer", valueName: "address[/bits]")) var subject: String
    @Option(name: .customLong("for"), help: ArgumentHelp("For how long: 30m, 12h (default: for ever)", valueName: "span")) var span: String?
    @Option(help: ArgumentHelp("Why, for those who read it later", valueName: "text")) var reason: String?
    @Option(help: ArgumentHelp("Who bans (default: the user)", valueName: "name")) var by: String?
    @Flag(help: "Needed for a range wider than /8 (IPv4) or /16 (IPv6)") var wide = false
    @OptionGroup var options: ClientOptions

    func run() throws {
        let body = JSON.members(
            ("subject", .string(subject)), ("for", span.map(JSON.string)), ("reason", reason.map(JSON.string)), ("by", by.map(JSON.string)),
            ("wide", wide ? .bool(true) : nil))
        try options.post("/ban", body) { ActionWords.write($0) }
    }
}

struct UnbanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "unban", abstract: "Lifts every ban of exactly this address or range.")
    @Argument(help: ArgumentHelp("As `bans` lists it", valueName: "address[/bits]")) var subject: String
    @OptionGroup var options: ClientOptions

    func run() throws { try options.post("/unban", .members(("subject", .string(subject)))) { ActionWords.write($0) } }
}

struct TrustCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "trust", abstract: "Trusts an address or a range: no automatic ban holds there.")
    @Argument(help: ArgumentHelp("An address, or a range", valueName: "address[/bits]")) var subject: String
    @Flag(help: "Needed for a range wider than /8 (IPv4) or /16 (IPv6)") var wide = false
    @OptionGroup var options: ClientOptions

    func run() throws {
        try options.post("/trust", .members(("subject", .string(subject)), ("wide", wide ? .bool(true) : nil))) { ActionWords.write($0) }
    }
}

struct UntrustCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "untrust", abstract: "Trusts an address or a range no longer.")
    @Argument(help: ArgumentHelp("As `bans` lists it", valueName: "address[/bits]")) var subject: String
    @OptionGroup var options: ClientOptions

    func run() throws { try options.post("/untrust", .members(("subject", .string(subject)))) { ActionWords.write($0) } }
}

struct DrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "drain", abstract: "Ends the node in order: drains every link, then stops.")
    @OptionGroup var options: ClientOptions

    func run() throws { try options.post("/drain", .null) { ActionWords.write($0) } }
}

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "reload", abstract: "Has the node read its settings again; says what changed, and what needs a restart.")
    @OptionGroup var options: ClientOptions

    func run() throws {
        try options.post("/reload", .null) { answer in
            func write(_ key: String, _ words: String) {
                for change in answer[key]?.elements ?? [] {
                    Output.line("\(words) \(Say.text(change["key"])): \(Say.text(change["old"])) -> \(Say.text(change["new"]))")
                }
            }
            write("applied", "applied")
            write("needRestart", "needs a restart")
            let count = (answer["applied"]?.elements.count ?? 0) + (answer["needRestart"]?.elements.count ?? 0)
            if count == 0 { Output.line("reload: nothing has changed") }
        }
    }
}

struct LogLevelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "log-level", abstract: "Sets how much the node logs, until its next start.")
    @Argument(help: ArgumentHelp("error, warning, info or debug", valueName: "level")) var level: String
    @OptionGroup var options: ClientOptions

    func run() throws { try options.post("/log-level", .members(("level", .string(level)))) { ActionWords.write($0) } }
}
