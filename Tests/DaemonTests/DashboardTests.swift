// The page for browsers, as text: what a browser need not be asked. scripts/dashboard-test runs it in one.

import Foundation
import Testing

@testable import Daemon

@Suite("the dashboard's page")
struct DashboardTests {
    private let page = Dashboard.page.body
    private let style = Dashboard.style.body
    private let script = Dashboard.script.body

    @Test("it names nothing outside of this node: no address, no import, no font, no picture")
    func nothingOutside() {
        for text in [page, style, script] {
            for word in ["http://", "https://", "//cdn", "@import", "url(", "import("] { #expect(!text.contains(word), "\(word)") }
        }
        let links = page.matches(of: /(?:src|href)="([^"]*)"/).map { String($0.output.1) }
        #expect(Set(links) == ["dashboard.css", "dashboard.js", "data:,", "#table"])
    }

    @Test("every part that the script speaks of is on the page, once")
    func parts() {
        let wanted = Set(script.matches(of: /\$\("([a-z-]+)"\)/).map { String($0.output.1) })
        let there = page.matches(of: /\bid="([a-z-]+)"/).map { String($0.output.1) }
        #expect(wanted.count > 20)
        #expect(wanted.subtracting(there).isEmpty, "\(wanted.subtracting(there))")
        #expect(Set(there).count == there.count)
        for chart in ["links", "dials", "rtt", "lag"] { #expect(there.contains(chart) && there.contains("\(chart)-now")) }
    }

    @Test("the script is one, strict from its first statement on, and begins after everything is there")
    func order() throws {
        let strict = try #require(script.range(of: "\"use strict\";"))
        #expect(script[..<strict.lowerBound].split(separator: "\n").allSatisfy { $0.hasPrefix("//") })
        let begin = try #require(script.range(of: "\nfollow();"))
        for part in ["function showTable(", "function showMesh(", "function showChart(", "function tell(", "function take("] {
            let range = try #require(script.range(of: part), "\(part)")
            #expect(range.lowerBound < begin.lowerBound)
        }
    }

    @Test("every state that a peer or a link may have has a look, and a place when sorted by trouble")
    func states() throws {
        let worst = try #require(script.firstMatch(of: /const WORST = \[([^\]]*)\]/)).output.1
        for state in PeerRow.stateNames {
            #expect(script.contains("\n  \(state): [") || script.contains(" \(state): [") || script.contains("\"\(state)\": ["), "\(state)")
            #expect(worst.contains("\"\(state)\""), "\(state)")
        }
    }
}
