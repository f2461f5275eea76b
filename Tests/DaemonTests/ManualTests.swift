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

    @Test("every setting is in the table of options, with its default, range and summary", arguments: Setting.all)
    func options(setting: Setting) {
        let range =
            switch setting.field {
            case .span(_, let range): "\(range.lowerBound.span) … \(range.upperBound.span)"
            case .count(_, let range): "\(range.lowerBound) … \(range.upperBound)"
            }
        let fallback = setting.text(in: MeshSettings(nonce: 0, seed: 0))
        #expect(manual.contains("| `--\(setting.name)` | \(fallback) | \(range) | \(setting.summary) |"))
    }

    @Test("every close reason is explained")
    func reasons() {
        let reasons: [CloseReason] = [
            .remoteClosed, .refused, .dialTimeout, .greetingTimeout, .frameTimeout, .keepaliveTimeout, .protocolViolation, .desync,
            .frameTooLarge, .slowConsumer, .superseded, .duplicate, .full, .evicted, .banned, .operator, .shutdown,
            .selfConnection, .wrongNetwork,
        ]
        for reason in reasons { #expect(manual.contains("| `\(reason.name)` |"), "\(reason.name)") }
        #expect(manual.contains("| `io(errno)` |"))
    }
}
