// `reactor-node bans`: who is kept out and who is trusted, as a table, and from one node to another.

import ArgumentParser
import Daemon
import PeerMesh

struct BansCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bans", abstract: "Lists bans and trust in force; takes over those of another node.",
        subcommands: [List.self, Import.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists bans and trust in force.")
        @OptionGroup var options: ClientOptions

        func run() throws {
            try options.get("/bans") { bans in
                var table = Table("SUBJECT", "KIND", "BY", "#LEFT", "SET", "REASON")
                for ban in bans.elements {
                    let kind = Say.text(ban["kind"])
                    table.add([
                        .init(text: Say.text(ban["subject"])), .init(text: kind, colour: kind == "ban" ? .red : .green),
                        .init(text: ban["setBy"]?.text ?? Say.text(ban["by"])),
                        .init(text: ban["seconds"]?.isNull == false ? Say.span(ban["seconds"]) : "for ever"),
                        .init(text: Say.date(ban["setAt"])), .init(text: ban["reason"]?.text ?? Say.text(ban["closeReason"])),
                    ])
                }
                table.write(orSay: "no bans")
            }
        }
    }

    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sets the bans and the trust that another node's `bans --json` lists.",
            discussion: """
                Each keeps its end, its reason and who set it, and becomes an operator's. What is in force already is set anew; nothing is lifted. \
                A list with one wrong entry is refused as a whole.
                """)
        @Argument(help: ArgumentHelp("The list; - is standard input", valueName: "file"), completion: .file(extensions: ["json"])) var file: String
        @Flag(help: "Take over ranges wider than /8 (IPv4) or /16 (IPv6), too") var wide = false
        @OptionGroup var options: ClientOptions

        func run() throws {
            let bytes: [UInt8]
            do throws(FileFault) {
                bytes = try file == "-" ? TextFile.text(descriptor: 0, limit: Import.largest) : TextFile.text(file, limit: Import.largest)
            } catch {
                throw CommandFailure(64, "\(file): \(error)")
            }
            let requests = try Import.requests(bytes, from: file)
            let client = try options.client()
            for (index, (target, body)) in requests.enumerated() {
                do { _ = try client.send("POST", target + (wide ? "?wide=true" : ""), body).checked() } catch let failure as CommandFailure {
                    throw CommandFailure(failure.status, "\(file): entry \(index + 1) of \(requests.count): \(failure); the \(index) before it are in force")
                }
            }
            let bans = requests.count { $0.0 == "/ban" }
            if options.json {
                Output.write(JSON.members(("done", .string("import")), ("bans", .count(bans)), ("trust", .count(requests.count - bans))).page)
            } else {
                Output.line("import: \(bans) bans, \(requests.count - bans) trusted")
            }
        }

        /// A full ban table with words beside each.
        private static let largest = 16 << 20

        /// What is to be asked of the node, entry by entry; or which entry is wrong.
        static func requests(_ bytes: [UInt8], from file: String) throws -> [(String, JSON)] {
            let list: JSON
            do { list = try JSON(reading: bytes) } catch { throw CommandFailure(64, "\(file): is not JSON: \(error)") }
            guard case .array(let entries) = list else { throw CommandFailure(64, "\(file): is no list; `reactor-node bans --json` writes one") }
            return try entries.enumerated().map { index, entry in
                guard let subject = entry["subject"]?.text, Subnet(subject) != nil, let kind = entry["kind"]?.text, ["ban", "trust"].contains(kind) else {
                    throw CommandFailure(64, "\(file): entry \(index + 1) is no ban: give \"subject\", an address or a range, and \"kind\", ban or trust")
                }
                if kind == "trust" { return ("/trust", .members(("subject", .string(subject)))) }
                guard entry["seconds"].map({ $0.isNull || ($0.real ?? -1) >= 0 }) ?? true else {
                    throw CommandFailure(64, "\(file): entry \(index + 1): \"seconds\" is what is left of the ban: give a number, or null for ever")
                }
                // Its last second is a whole one.
                let left = entry["seconds"]?.real.map { JSON.string("\(UInt64(min(max($0, 0), 1e9)) + 1)s") }
                let reason = entry["reason"]?.text ?? entry["closeReason"]?.text
                return ("/ban", .members(
                    ("subject", .string(subject)), ("for", left), ("reason", reason.map(JSON.string)), ("by", entry["setBy"]?.text.map(JSON.string))))
            }
        }
    }
}
