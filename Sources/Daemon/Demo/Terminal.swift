// The terminal that the demo draws on: its size, its alternate screen, and writing to it without ever waiting for it.

import CEpoll
import Glibc

/// Standard output as a screen.
struct Terminal {
    private let descriptor: CInt = 1
    let isLive: Bool
    let hasColours: Bool

    /// Live if standard output is a terminal that can move its cursor. `NO_COLOR` (no-color.org) leaves the drawing and
    /// takes the colours.
    init() {
        isLive = Descriptors.isTerminal(1) && Terminal.variable("TERM") != "dumb"
        hasColours = (Terminal.variable("NO_COLOR") ?? "").isEmpty
    }

    private static func variable(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    /// Columns and rows now; 80 × 24 if it does not say.
    var size: (width: Int, height: Int) {
        var size = winsize()
        guard unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return (80, 24) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Takes the alternate screen and hides the cursor.
    func enter() {
        if isLive { write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J") }
    }

    /// Gives the screen back as it was.
    func leave() {
        if isLive { write("\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l") }
    }

    /// Shows a frame, unless the terminal is still busy with an earlier one: then this one is skipped.
    func show(_ canvas: Canvas) {
        guard Descriptors.waitWritable(descriptor, milliseconds: 0) else { return }
        // Synchronised update: a terminal that knows it shows the frame at once, others ignore it.
        var output = "\u{1b}[?2026h"
        canvas.append(to: &output, colours: hasColours)
        output += "\u{1b}[?2026l"
        write(output)
    }

    /// Writes text as it is.
    func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let n = unsafe bytes.withUnsafeBytes { unsafe cepoll_write(descriptor, $0.baseAddress, $0.count) }
            if n > 0 {
                bytes = bytes.dropFirst(n)
            } else if n == -Int(CEPOLL_EAGAIN) {
                _ = Descriptors.waitWritable(descriptor, milliseconds: 1_000)
            } else if n != -Int(CEPOLL_EINTR) {
                return
            }
        }
    }
}
