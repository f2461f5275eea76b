import Foundation
import Testing

@testable import Daemon

@Suite("docs/Control.md")
struct MetricsManualTests {
    @Test("every metric is in the manual, with its help")
    func metrics() throws {
        var table = ""
        for metric in NodeMetrics.table { table += "| `\(metric.name)` | \(metric.help) |\n" }
        try expectManual("docs/Control.md", contains: table)
    }
}
