// `reactor-node top`: a node on one screen, live.

import ArgumentParser
import Daemon

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Shows a node's peers on one screen, live: sort, filter, ask why.",
        discussion: "Fits 80 columns. ? lists the keys. It reads over the control socket and changes nothing.")

    @Option(help: ArgumentHelp("Seconds between two looks, 1 to 60", valueName: "n")) var every = 1
    @Option(name: .customLong("socket"), help: ArgumentHelp("The node's control socket", valueName: "path")) var socket: String?

    func validate() throws {
        guard 1...60 ~= every else { throw ValidationError("The value '\(every)' is invalid for '--every': give a number from 1 to 60") }
    }

    func run() throws {
        let client = try ControlClient.find(socket)
        var model = TopModel()
        // The first look is outside of the screen: what is wrong with it is said in one line.
        try TopCommand.look(client, &model)
        guard let screen = TopScreen() else {
            throw CommandFailure(64, "top draws on a terminal, and this is none: `reactor-node peers` prints the same")
        }
        var ticks = 0
        while !model.isOver, !screen.isEnded {
            let (width, height) = screen.size
            let view = TopView(width: width, height: height, isColoured: Output.isColoured)
            screen.show(view.lines(model))
            let page = model.page
            for key in screen.keys(milliseconds: 250) { model.take(key, height: view.pageHeight) }
            ticks += 1
            guard ticks >= every * 4 || model.page != page else { continue }
            ticks = 0
            do {
                try TopCommand.look(client, &model)
                model.trouble = nil
            } catch let failure as CommandFailure {
                model.trouble = failure.description
            }
        }
    }

    private static func look(_ client: ControlClient, _ model: inout TopModel) throws {
        model.status = try client.send("GET", "/status").checked().json()
        model.slots = try client.send("GET", "/slots").checked().json()
        model.peers = try client.send("GET", "/peers").checked().json().elements
        if case .why(let peer, _) = model.page {
            model.why = try client.send("GET", "/peers/\(ClientOptions.escape(peer))/why").checked().json()
        }
    }
}
