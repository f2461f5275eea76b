// `reactor-node manual DIRECTORY`: manual pages in roff, written from the commands themselves, for packages to ship.

import ArgumentParser
import Daemon
import Glibc

struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual", abstract: "Writes the manual pages of all commands into a directory.", shouldDisplay: false)

    @Argument(help: ArgumentHelp("Where the pages are written", valueName: "directory"), completion: .directory) var directory: String

    func run() throws {
        let tool = try JSON(reading: ReactorNode._dumpHelp().utf8)
        guard let root = tool["command"] else { throw CommandFailure(70, "the commands do not describe themselves") }
        try write(root, path: ["reactor-node"], commands: root["subcommands"]?.elements ?? [])
    }

    private func write(_ command: JSON, path: [String], commands: [JSON]) throws {
        let page = ManualPage(command, path: path).text
        try ManualCommand.save(page, to: "\(directory)/\(path.joined(separator: "-")).1")
        for child in commands where ManualPage.isShown(child) {
            try write(child, path: path + [child["commandName"]?.text ?? ""], commands: child["subcommands"]?.elements ?? [])
        }
    }

    private static func save(_ text: String, to path: String) throws {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw CommandFailure(71, "cannot write \(path): \(ControlClient.text(errno))") }
        defer { close(descriptor) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw CommandFailure(71, "cannot write \(path): \(ControlClient.text(errno))") }
            rest = rest.dropFirst(count)
        }
    }
}

/// One page of section 1.
struct ManualPage {
    private let command: JSON
    private let path: [String]

    init(_ command: JSON, path: [String]) {
        self.command = command
        self.path = path
    }

    /// Hidden commands and the parser's own `help` have no page.
    static func isShown(_ command: JSON) -> Bool {
        command["commandName"]?.text != "help" && command["shouldDisplay"]?.truth != false
    }

    private var arguments: [JSON] { (command["arguments"]?.elements ?? []).filter { $0["shouldDisplay"]?.truth != false } }

    var text: String {
        let name = path.joined(separator: "-")
        var page = ".TH \(name.uppercased().replacing("-", with: "\\-")) 1 \"\" \"\(Version.text)\"\n.SH NAME\n"
        page += "\(roff(name)) \\- \(roff(lowered(command["abstract"]?.text ?? "")))\n.SH SYNOPSIS\n.B \(roff(path.joined(separator: " ")))\n"
        for argument in arguments { page += synopsis(argument) + "\n" }
        if let discussion = command["discussion"]?.text, !discussion.isEmpty {
            page += ".SH DESCRIPTION\n"
            for line in discussion.split(separator: "\n", omittingEmptySubsequences: false) { page += line.isEmpty ? ".PP\n" : roff(String(line)) + "\n" }
        }
        page += options
        let children = (command["subcommands"]?.elements ?? []).filter(ManualPage.isShown)
        if !children.isEmpty {
            page += ".SH COMMANDS\n"
            for child in children {
                let childName = (path + [child["commandName"]?.text ?? ""]).joined(separator: "-")
                page += ".TP\n.BR \(roff(childName)) (1)\n\(roff(child["abstract"]?.text ?? ""))\n"
            }
        }
        return page + "\(exits).SH SEE ALSO\n\(path.count > 1 ? ".BR reactor\\-node (1)" : "docs/Operating.md, docs/Control.md and docs/Why.md of the project")\n"
    }

    /// Options in the sections that the command's own help has.
    private var options: String {
        var text = "", section: String?
        for argument in arguments {
            let title = argument["sectionTitle"]?.text ?? "Options"
            if title != section { text += ".SH \(roff(title.uppercased()))\n" }
            section = title
            text += ".TP\n\(heading(argument))\n"
            var words = argument["abstract"]?.text ?? ""
            if let fallback = argument["defaultValue"]?.text, !fallback.isEmpty, !words.contains("default:") { words += " (default: \(fallback))" }
            text += (words.isEmpty ? "\\&" : roff(words)) + "\n"
        }
        return text
    }

    private var exits: String {
        """
        .SH EXIT STATUS
        0: done; 1: the node said no (health: degraded); 2: health: down; 64: a wrong command, option or value; 69: no node answers, or what it
        needs is taken; 70: something answered that is no node; 71: the system refused; 78: the settings do not fit this machine.

        """
    }

    private func names(_ argument: JSON) -> [String] {
        (argument["names"]?.elements ?? []).compactMap { name in
            name["name"]?.text.map { name["kind"]?.text == "long" ? "--\($0)" : "-\($0)" }
        }
    }

    private func heading(_ argument: JSON) -> String {
        let value = argument["valueName"]?.text ?? ""
        switch argument["kind"]?.text {
        case "positional": return ".I \(roff(value))"
        case "option": return ".BI \"\(roff(names(argument).joined(separator: ", ")))\" \" \(roff(value))\""
        default: return ".B \"\(roff(names(argument).joined(separator: ", ")))\""
        }
    }

    private func synopsis(_ argument: JSON) -> String {
        let value = argument["valueName"]?.text ?? ""
        let first = names(argument).last ?? ""
        let word =
            switch argument["kind"]?.text {
            case "positional": "\\fI\(roff(value))\\fR"
            case "option": "\\fB\(roff(first))\\fR \\fI\(roff(value))\\fR"
            default: "\\fB\(roff(first))\\fR"
            }
        let repeated = argument["isRepeating"]?.truth == true ? " ..." : ""
        return argument["isOptional"]?.truth == true ? "[\(word)\(repeated)]" : word + repeated
    }

    private func lowered(_ text: String) -> String {
        let sentence = text.hasSuffix(".") ? String(text.dropLast()) : text
        return sentence.prefix(1).lowercased() + sentence.dropFirst()
    }

    /// Text that roff takes as it is.
    private func roff(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "\"": result += "\\(dq"
            default: result.append(character)
            }
        }
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }
}
