// The terminal under `top`: raw keys in, whole frames out, and everything as it was in the end, also after a signal.

import Glibc
import Synchronization

/// The screen and the keyboard.
struct TopScreen: ~Copyable {
    private let before: termios
    private static let isEnded = Atomic<Bool>(false)

    /// Takes the terminal; nil if there is none.
    init?() {
        var settings = termios()
        guard isatty(0) == 1, isatty(1) == 1, unsafe tcgetattr(0, &settings) == 0 else { return nil }
        before = settings
        unsafe cfmakeraw(&settings)
        _ = unsafe tcsetattr(0, TCSAFLUSH, &settings)
        for number in [SIGTERM, SIGHUP, SIGINT] {
            _ = signal(number) { _ in TopScreen.isEnded.store(true, ordering: .relaxed) }
        }
        // No line ever wraps: a screen that has just become narrower shows less of it.
        Output.write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[2J")
    }

    deinit {
        Output.write("\u{1b}[0m\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l")
        var settings = before
        _ = unsafe tcsetattr(0, TCSAFLUSH, &settings)
    }

    /// A signal asked for the end, or the terminal is gone.
    var isEnded: Bool { TopScreen.isEnded.load(ordering: .relaxed) }

    /// Columns and rows now.
    var size: (width: Int, height: Int) {
        var size = winsize()
        guard unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return (80, 24) }
        return (max(Int(size.ws_col), 24), max(Int(size.ws_row), 8))
    }

    /// Shows a frame, at once where the terminal knows how to.
    func show(_ lines: [String]) {
        var text = "\u{1b}[?2026h\u{1b}[H"
        for (index, line) in lines.enumerated() {
            // Emptied first: after a line of the whole width this would take its last character.
            text += "\u{1b}[0m\u{1b}[K" + line + (index == lines.count - 1 ? "" : "\r\n")
        }
        Output.write(text + "\u{1b}[?2026l")
    }

    /// The keys that come within so many milliseconds; the first one ends the wait, and so does a ring of `bell`.
    func keys(milliseconds: CInt, or bell: CInt) -> [Key] {
        var entries = [pollfd(fd: 0, events: Int16(POLLIN), revents: 0), pollfd(fd: bell, events: Int16(POLLIN), revents: 0)]
        guard unsafe poll(&entries, 2, milliseconds) > 0 else { return [] }
        if entries[1].revents != 0 { TopReader.hush(bell) }
        guard entries[0].revents != 0 else { return [] }
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = unsafe read(0, &buffer, buffer.count)
        guard count > 0 else {
            // The terminal went away.
            TopScreen.isEnded.store(true, ordering: .relaxed)
            return []
        }
        return TopScreen.keys(in: buffer[..<count])
    }

    /// Bytes of a keyboard as keys.
    static func keys(in bytes: some Collection<UInt8>) -> [Key] {
        let sequences: [(String, Key)] = [
            ("\u{1b}[A", .up), ("\u{1b}[B", .down), ("\u{1b}OA", .up), ("\u{1b}OB", .down), ("\u{1b}[5~", .pageUp), ("\u{1b}[6~", .pageDown),
            ("\u{1b}[H", .home), ("\u{1b}[F", .end), ("\u{1b}[1~", .home), ("\u{1b}[4~", .end),
        ]
        var rest = Substring(String(decoding: bytes, as: UTF8.self))
        var keys: [Key] = []
        while let first = rest.first {
            if let (sequence, key) = sequences.first(where: { rest.hasPrefix($0.0) }) {
                keys.append(key)
                rest = rest.dropFirst(sequence.count)
                continue
            }
            rest = rest.dropFirst()
            switch first {
            case "\u{1b}":
                // A sequence that nobody asked for is swallowed whole.
                if rest.first == "[" || rest.first == "O" { rest = rest.drop { !($0.isLetter && $0 != "O") && $0 != "~" }.dropFirst() } else { keys.append(.escape) }
            case "\r", "\n", "\r\n": keys.append(.enter)
            case "\u{7f}", "\u{8}": keys.append(.backspace)
            case "\u{3}", "\u{4}": TopScreen.isEnded.store(true, ordering: .relaxed)
            default: if !(first.unicodeScalars.first?.properties.generalCategory == .control) { keys.append(.character(first)) }
            }
        }
        return keys
    }
}
