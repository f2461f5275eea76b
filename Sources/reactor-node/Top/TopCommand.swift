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
        let reader = try TopReader(try ControlClient.find(socket), every: every)
        guard let screen = TopScreen() else {
            throw CommandFailure(64, "top draws on a terminal, and this is none: `reactor-node peers` prints the same")
        }
        try reader.start()
        var model = TopModel()
        while !model.isOver, !screen.isEnded {
            model.take(reader.answers(about: model.asked))
            let (width, height) = screen.size
            let view = TopView(width: width, height: height, isColoured: Output.isColoured)
            model.scroll(atMost: view.hiddenLines(model))
            model.keepInSight(height: view.pageHeight)
            screen.show(view.lines(model))
            for key in screen.keys(milliseconds: 250, or: reader.bell) { model.take(key, height: view.pageHeight) }
        }
    }
}
