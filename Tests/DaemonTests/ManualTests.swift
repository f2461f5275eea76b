import Foundation
import PeerMesh
import Testing

@testable import Daemon

@Suite("docs/Operating.md")
struct ManualTests {
    private let manual: String

    init() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        manual = try String(contentsOf: root.appendingPathComponent("docs/Operating.md"), encoding: .utf8)
    }

    @Test("every close reason is explained")
    func reasons() {
        let reasons: [CloseReason] = [
            .remoteClosed, .refused, .dialTimeout, .greetingTimeout, .frameTimeout, .keepaliveTimeout, .protocolViolation, .desync,
            .frameTooLarge, .slowConsumer, .superseded, .duplicate, .full, .crowded, .evicted, .banned, .operator, .shutdown,
            .selfConnection, .wrongNetwork, .internalError,
        ]
        for reason in reasons { #expect(manual.contains("| `\(reason.name)` |"), "\(reason.name)") }
        #expect(manual.contains("| `io(errno)` |"))
        #expect(manual.contains("| `local(errno)` |"))
    }
}

@Suite("docs/Settings.md")
struct SettingsManualTests {
    @Test("the page is what the table of settings makes of itself")
    func page() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let page = root.appendingPathComponent("docs/Settings.md")
        if ProcessInfo.processInfo.environment["REACTOR_WRITE_DOCS"] != nil {
            try SettingsText.manual.write(to: page, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOf: page, encoding: .utf8) == SettingsText.manual)
    }
}
