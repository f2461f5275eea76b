// The report for people and for programs. Everything but the wall clock's lines is the same for the same seed.

extension Report {
    /// The report as people read it.
    public var text: String {
        var lines = [
            "\(scenario.name): \(scenario.nodes) nodes, \(scenario.masternodes) masternodes, \(Span.text(scenario.duration)), seed \(scenario.seed)", "",
        ]
        for phase in phases {
            let whole = phase.wholeAt.map { "whole after \(seconds($0 - phase.at))" } ?? "not whole"
            lines.append("  \(pad(Span.text(phase.at), 9)) \(phase.name): \(whole), at most \(phase.mostMissing) pairs missing")
        }
        lines += [
            "",
            "  pairs of masternodes   \(pairsExpected) wanted, \(pairsWithOne) with one link, \(pairsMissing) with none; most links of a pair at once \(maximumPerPair)",
            "  time to heal           \(heals) times, p50 \(seconds(healingTime(0.5))), p99 \(seconds(healingTime(0.99))), max \(seconds(slowestHeal)); bound \(seconds(scenario.bound))",
            "  dials                  \(dials); peak \(peakDialsOfNode) a second for a node, \(peakDialsOverall) overall",
            "  dials at a third party \(thirdPartyDials)",
            "  links at the end       \(linksUp); a node has \(linksPerNode[0]) to \(linksPerNode[2]), median \(linksPerNode[1]); most slots used \(slotPeak)",
            "  regular without links  \(isolated)",
            "  ends of links          \(list(closes))",
            "  unwanted closes        \(unwantedCloses) \(unwanted.isEmpty ? "" : list(unwanted))",
            "  rescues                \(rescues)",
            "  events                 \(events) and \(wakes) wakes; \(checks) full checks",
            "  speed                  \(Int(eventsPerSecond)) events/s of processor time; \(fixed(processorSeconds)) s, \(fixed(wallSeconds)) s by the clock",
            "  trace                  \(String(traceHash, radix: 16))",
            "",
        ]
        if violations.isEmpty { lines.append("  all invariants held") }
        for violation in violations { lines.append("  VIOLATION at \(seconds(violation.at)): \(violation.text)") }
        return lines.map { trimmed($0) }.joined(separator: "\n") + "\n"
    }

    /// The report as one JSON object.
    public var json: String {
        var fields = [
            "\"scenario\": \(quoted(scenario.name))", "\"nodes\": \(scenario.nodes)", "\"masternodes\": \(scenario.masternodes)",
            "\"milliseconds\": \(scenario.duration)", "\"seed\": \(scenario.seed)", "\"pairsExpected\": \(pairsExpected)",
            "\"pairsWithOneLink\": \(pairsWithOne)", "\"pairsMissing\": \(pairsMissing)", "\"mostLinksPerPair\": \(maximumPerPair)",
            "\"heals\": \(heals)", "\"healP50\": \(healingTime(0.5))", "\"healP99\": \(healingTime(0.99))", "\"healMax\": \(slowestHeal)",
            "\"bound\": \(scenario.bound)", "\"dials\": \(dials)", "\"peakDialsPerNode\": \(peakDialsOfNode)",
            "\"peakDialsOverall\": \(peakDialsOverall)", "\"links\": \(linksUp)", "\"linksPerNode\": \(linksPerNode)",
            "\"peakSlots\": \(slotPeak)", "\"isolatedRegular\": \(isolated)", "\"unwantedCloses\": \(unwantedCloses)",
            "\"rescues\": \(rescues)", "\"events\": \(events)", "\"wakes\": \(wakes)", "\"checks\": \(checks)",
            "\"eventsPerSecond\": \(Int(eventsPerSecond))", "\"wallSeconds\": \(fixed(wallSeconds))",
            "\"processorSeconds\": \(fixed(processorSeconds))",
            "\"trace\": \(quoted(String(traceHash, radix: 16)))",
        ]
        let ends = closes.sorted { $0.key < $1.key }.map { "\(quoted($0.key)): \($0.value)" }
        fields.append("\"closes\": {\(ends.joined(separator: ", "))}")
        let told = phases.map {
            "{\"name\": \(quoted($0.name)), \"at\": \($0.at), \"wholeAt\": \($0.wholeAt.map { "\($0)" } ?? "null"), \"mostMissing\": \($0.mostMissing)}"
        }
        fields.append("\"phases\": [\(told.joined(separator: ", "))]")
        let broken = violations.map { "{\"at\": \($0.at), \"text\": \(quoted($0.text))}" }
        fields.append("\"violations\": [\(broken.joined(separator: ", "))]")
        return "{\n  " + fields.joined(separator: ",\n  ") + "\n}\n"
    }

    private func list(_ counts: [String: Int]) -> String {
        counts.isEmpty ? "none" : counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }

    private func seconds(_ milliseconds: Int) -> String { "\(fixed(Double(milliseconds) / 1_000)) s" }

    /// Two decimals, without a formatter.
    private func fixed(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }

    private func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private func trimmed(_ line: String) -> String {
        var line = line
        while line.last == " " { line.removeLast() }
        return line
    }

    private func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 0x20: quoted += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
