// What every command that talks to a running node takes, and how a peer or a range gets into a request.

import ArgumentParser
import Daemon

struct ClientOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The node's control socket (default: $REACTOR_NODE_CONTROL_SOCKET, or that of the only node here)", valueName: "path"), completion: .file(extensions: ["sock"]))
    var socket: String?

    @Flag(help: "Print the API's JSON as it is") var json = false

    func client() throws -> ControlClient { try ControlClient.find(socket) }

    /// Asks, and prints JSON if that is wanted; else hands the answer on.
    func get(_ target: String, _ show: (JSON) throws -> Void) throws {
        let reply = try client().send("GET", target).checked()
        if json { Output.write(reply.text) } else { try show(try reply.json().visible) }
    }

    /// Changes something, and says what was done.
    func post(_ target: String, _ body: JSON, method: String = "POST", _ show: (JSON) throws -> Void) throws {
        let reply = try client().send(method, target, body).checked()
        if json { return Output.write(reply.text) }
        let answer = try reply.json().visible
        try show(answer)
        if let warning = answer["warning"]?.text { Output.line("warning: \(warning)") }
    }

    /// A value as one segment of a path, or one value of a query.
    static func escape(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e, 0x3a: result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                result += "%" + (hex.count == 1 ? "0" + hex : hex)
            }
        }
        return result
    }

    /// `path?a=b&c=d` of those values that are there.
    static func target(_ path: String, _ values: [(String, String?)]) -> String {
        let pairs = values.compactMap { name, value in value.map { "\(name)=\(escape($0))" } }
        return pairs.isEmpty ? path : path + "?" + pairs.joined(separator: "&")
    }
}
