// `reactor-node events|health|metrics`: a node watched.

import ArgumentParser
import Daemon
import Glibc

/// One transition in a line.
enum EventWords {
    static func line(_ event: JSON, withPeer: Bool) -> String {
        let to = Say.text(event["to"])
        var words = "\(Say.time(event["at"]))  \(Say.text(event["of"]))  "
        if withPeer { words += "\(Say.text(event["peer"]))  " }
        words += "\(Say.text(event["from"])) -> \(Output.paint(to, Output.colour(ofState: to)))"
        if event["reason"]?.text != nil { words += "  \(Say.reason(event["reason"]))" }
        if let direction = event["direction"]?.text { words += "  \(direction)" }
        if let failures = event["failures"]?.whole, failures > 0 { words += "  failures \(failures)" }
        return words
    }
}

struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Follows every transition as it happens, until ^C or the node's end.")
    @Option(help: ArgumentHelp("Only of this peer: ADDRESS:PORT or HOST:PORT", valueName: "host:port")) var peer: String?
    @OptionGroup var options: ClientOptions

    func run() throws {
        try options.client().follow(ClientOptions.target("/events", [("peer", peer)])) { line in
            guard line.hasPrefix("data: ") else { return true }
            let text = line.dropFirst(6)
            if options.json {
                Output.line(String(text))
            } else if let event = try? JSON(reading: text.utf8) {
                Output.line(event["records"].map { "\(Say.text($0)) records were missed" } ?? EventWords.line(event, withPeer: true))
            }
            return true
        }
    }
}

struct HealthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health", abstract: "Says whether the node does its work; exit status 0: good, 1: degraded, 2: down.",
        discussion: """
            Good: every threshold is met. Degraded: one is not. Down: the node's loop does not answer, or there is no node. Without \
            options the node's own thresholds hold.
            """)

    @Option(help: ArgumentHelp("Established links, at least", valueName: "n")) var minLinks: String?
    @Option(help: ArgumentHelp("… of them with masternodes", valueName: "n")) var minMasternodes: String?
    @Option(help: ArgumentHelp("… of them dialled by others", valueName: "n")) var minInbound: String?
    @Option(help: ArgumentHelp("… of them dialled by the node", valueName: "n")) var minOutbound: String?
    @Option(help: ArgumentHelp("How long its loop may take to answer", valueName: "span")) var maxLoopLag: String?
    @Option(help: ArgumentHelp("Descriptors that are still free, at least", valueName: "n")) var minDescriptors: String?
    @Option(help: ArgumentHelp("How long a masternode may be without a link (default: not judged)", valueName: "span")) var maxMasternodeGap: String?
    @OptionGroup var options: ClientOptions

    func run() throws {
        let target = ClientOptions.target(
            "/health/ready",
            [
                ("min-links", minLinks), ("min-masternodes", minMasternodes), ("min-inbound", minInbound),
                ("min-outbound", minOutbound), ("max-loop-lag", maxLoopLag), ("min-descriptors", minDescriptors),
                ("max-masternode-gap", maxMasternodeGap),
            ])
        let reply: Reply
        do {
            reply = try options.client().send("GET", target)
        } catch let failure as CommandFailure where failure.status == 69 {
            if options.json { Output.write(JSON.members(("status", .string("down")), ("checks", .array([]))).page) }
            else { Output.line("\(Output.paint("down", .red)): \(failure)") }
            Glibc.exit(2)
        }
        if reply.status != 503 { _ = try reply.checked() }
        let health = try reply.json()
        guard let status = health["status"]?.text, ["good", "degraded", "down"].contains(status) else {
            throw CommandFailure(2, health["detail"]?.text ?? "the node's answer names no status")
        }
        if options.json { Output.write(reply.text) } else { HealthCommand.write(health, status) }
        if status != "good" { Glibc.exit(status == "down" ? 2 : 1) }
    }

    private static func write(_ health: JSON, _ status: String) {
        Output.line(Output.paint(status, Output.colour(ofState: status)))
        for check in health["checks"]?.elements ?? [] where check["status"]?.text != "good" {
            Output.line("  \(Say.text(check["name"])): \(Say.text(check["message"]))")
        }
    }
}

struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "metrics", abstract: "Prints the node's metrics, as Prometheus reads them.")
    @OptionGroup var options: ClientOptions

    func run() throws { Output.write(try options.client().send("GET", "/metrics").checked().text) }
}

struct LoopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "loop", abstract: "Prints what the loop counted, and how fast it answers.")
    @OptionGroup var options: ClientOptions

    func run() throws { Output.write(try options.client().send("GET", "/loop").checked().text) }
}
